/* gptq.h - GPTQ: rounds the columns of a weight one after the other, and lets the columns that are
 * still to come make up for the error (Frantar et al. 2022, arXiv:2210.17323, algorithm 1).
 *
 *     H = X^T X / rows + damping;  H^-1 = U^T U, U upper triangular
 *     column c:  q = round(w_c);  e = (w_c - q) / U[c][c];  w_j -= e U[c][j] for the j behind c
 *
 * U comes without an inversion of H: with the order of rows and columns turned round, H = L L^T
 * gives U = (L^-1) turned back.  Columns go through in blocks, so that what is far behind is
 * changed once a block.  The scales of a group are chosen when its first column comes, from the
 * weights as they are then.
 *
 * Behind that come passes of coordinate descent: each weight in turn takes the code with the least
 * (q - t) H (q - t)^T, t the row that was given, with all others as they are.  No pass can raise
 * it.
 *
 * tn_gptq_aim makes up for what the layers before have lost: the weights of a row become
 *
 *     t = w + (w D + R) H^-1,   D = (X' - X)^T X,   R = (S' - S)^T X
 *
 * with X' and S' what the site read and the residual stream was before anything was quantized.
 * (q - t) H (q - t)^T is then, but for a constant, the distance of q X from w X' + S' - S: what the
 * unquantized model added to its stream, and what is missing there (after Li et al. 2025,
 * arXiv:2504.02692, which takes the first term into the columns' updates).
 *
 * With `by_activation` columns of large H[c][c] go first: group by group in the order of their
 * largest, and inside each group likewise (Gafni et al. 2025, arXiv:2505.14638), so that groups
 * stay together and nothing of the order reaches the file.
 *
 * Thread: pure functions; the pool works inside them, over rows of the weight. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANTIZE_GPTQ_H
#define TN_QUANTIZE_GPTQ_H
#include "quant/grid.h"

typedef struct tn_gptq_options { /* zero: the default */
  double damping;                /* added to the diagonal, as a share of its mean; default 0.005 */
  bool by_activation;
  int64_t group;  /* of the grid that will be rounded to; 0: the row */
  bool search;    /* scales by the least error weighted by H, not by the range */
  int32_t passes; /* of coordinate descent; 0: none */
} tn_gptq_options;

/* What all weights with the same inputs share. */
typedef struct tn_gptq_factor { /* all zero is a valid empty factor */
  int64_t columns;
  int32_t *order;  /* the c-th column to be rounded */
  float *u;        /* [columns, columns], rows and columns in `order` */
  float *hessian;  /* damped, likewise; NULL without passes */
  float *diagonal; /* of H, in `order` */
  tn_gptq_options options;
} tn_gptq_factor;

/* hessian: X^T X of the calibration inputs, any positive factor, [columns, columns].  An input that
 * was always 0 has its weights set to 0. */
TN_NODISCARD tn_status tn_gptq_factor_init(tn_gptq_factor *f, const float *hessian, int64_t columns,
                                           const tn_gptq_options *options, tn_pool *pool,
                                           tn_error *err);
void tn_gptq_factor_clear(tn_gptq_factor *f);
/* w, [rows, columns], becomes what its inputs as they are now want: drift is D, residual_drift R
 * [rows, columns] or NULL: 0 (calibration.h measures both). */
TN_NODISCARD tn_status tn_gptq_aim(float *w, int64_t rows, const float *drift,
                                   const float *residual_drift, const tn_gptq_factor *f,
                                   tn_pool *pool, tn_error *err);
/* Fills codes and scales of `m` (initialised) from w, [rows, columns]. */
TN_NODISCARD tn_status tn_gptq_round(tn_grid_matrix *m, const float *w, const tn_gptq_factor *f,
                                     tn_pool *pool, tn_error *err);
#endif
