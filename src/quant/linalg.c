/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/linalg.h"

#include <inttypes.h>
#include <math.h>

#include "base/mem.h"

enum { BLOCK = 64, LANES = 4 };

/* ---- Cholesky, left-looking by blocks of columns ---- */

typedef struct panel {
  double *a;
  int64_t n, begin, end; /* columns */
} panel;

/* Four sums side by side, in an order that the compiler may not change. */
static double dot(const double *x, const double *y, int64_t n) {
  double sum[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int lane = 0; lane < LANES; lane++) sum[lane] += x[i + lane] * y[i + lane];
  double rest = 0;
  for (; i < n; i++) rest += x[i] * y[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

/* Columns [begin, end) of the rows of the diagonal block. */
static tn_status factor_diagonal(const panel *p, tn_error *err) {
  for (int64_t i = p->begin; i < p->end; i++) {
    double *row = p->a + i * p->n;
    for (int64_t j = p->begin; j <= i; j++) {
      const double *other = p->a + j * p->n;
      double rest = row[j] - dot(row, other, j);
      if (j < i) {
        row[j] = rest / other[j];
        continue;
      }
      if (!(rest > 0) || !isfinite(rest))
        return tn_fail(err, TN_ERR_DATA,
                       "matrix of %" PRId64 " rows is not positive definite: row %" PRId64
                       " leaves %g",
                       p->n, i, rest);
      row[i] = sqrt(rest);
    }
  }
  return TN_OK;
}

static void solve_row(void *context, int64_t item, int32_t worker) {
  const panel *p = context;
  double *row = p->a + (p->end + item) * p->n;
  for (int64_t j = p->begin; j < p->end; j++) {
    const double *other = p->a + j * p->n;
    row[j] = (row[j] - dot(row, other, j)) / other[j];
  }
}

tn_status tn_cholesky(double *a, int64_t n, tn_pool *pool, tn_error *err) {
  for (int64_t begin = 0; begin < n; begin += BLOCK) {
    panel p = {a, n, begin, begin + BLOCK < n ? begin + BLOCK : n};
    TN_TRY(factor_diagonal(&p, err));
    tn_pool_run(pool, n - p.end, solve_row, &p);
  }
  return TN_OK;
}

/* ---- inverse of a lower triangle, a stripe of columns at a time ---- */

typedef struct stripes {
  const double *l;
  double *out;
  int64_t n;
} stripes;

/* Row i of the inverse X: X[i] = (e_i - sum over k < i of L[i][k] X[k]) / L[i][i]. */
static void invert_stripe(void *context, int64_t item, int32_t worker) {
  const stripes *s = context;
  int64_t n = s->n, begin = item * BLOCK, end = begin + BLOCK < n ? begin + BLOCK : n;
  for (int64_t i = begin; i < n; i++) {
    double sum[BLOCK] = {0};
    for (int64_t k = begin; k < i; k++) {
      double factor = s->l[i * n + k];
      const double *x = s->out + k * n;
      int64_t last = k + 1 < end ? k + 1 : end;
      for (int64_t j = begin; j < last; j++) sum[j - begin] += factor * x[j];
    }
    double *row = s->out + i * n, diagonal = s->l[i * n + i];
    for (int64_t j = begin; j < end && j <= i; j++)
      row[j] = ((i == j ? 1.0 : 0.0) - sum[j - begin]) / diagonal;
  }
}

tn_status tn_lower_inverse(double *l, int64_t n, tn_pool *pool, tn_error *err) {
  size_t count, bytes;
  if (!tn_mul_size((size_t)n, (size_t)n, &count) || !tn_mul_size(count, sizeof(double), &bytes))
    return tn_fail(err, TN_ERR_LIMIT, "a matrix of %" PRId64 " rows", n);
  double *out = tn_alloc_aligned(bytes);
  if (!out) return tn_fail_memory(err, "the inverse of a matrix", bytes);
  stripes s = {l, out, n};
  tn_pool_run(pool, (n + BLOCK - 1) / BLOCK, invert_stripe, &s);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++) l[i * n + j] = out[i * n + j];
  tn_free(out);
  return TN_OK;
}

void tn_flip(double *a, int64_t n) {
  for (int64_t i = 0, j = n * n - 1; i < j; i++, j--) {
    double other = a[i];
    a[i] = a[j];
    a[j] = other;
  }
}
