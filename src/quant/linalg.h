/* linalg.h - the little dense linear algebra that GPTQ needs, in double.
 *
 * Matrices are square, row by row, n x n.  Sums run in a fixed order, so the result does not depend
 * on the number of threads.  Source: Golub and Van Loan, Matrix Computations, sections 4.2 and 3.1.
 *
 * Thread: pure functions; the pool (NULL: the caller alone) works inside them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_LINALG_H
#define TN_QUANT_LINALG_H
#include "base/thread.h"

/* A = L L^T: overwrites the lower triangle of a symmetric A with L; the upper one is neither read
 * nor written.  TN_ERR_DATA names the row where A turns out not to be positive definite. */
TN_NODISCARD tn_status tn_cholesky(double *a, int64_t n, tn_pool *pool, tn_error *err);
/* The lower triangle of `l` (its diagonal nowhere 0) becomes that of its inverse; the upper one is
 * neither read nor written. */
TN_NODISCARD tn_status tn_lower_inverse(double *l, int64_t n, tn_pool *pool, tn_error *err);
/* Turns rows and columns round: a[i][j] <-> a[n - 1 - i][n - 1 - j]. */
void tn_flip(double *a, int64_t n);

#endif
