/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/gptq.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "quant/linalg.h"
#include "quant/range_search.h"

enum { BLOCK = 128, ROWS = 16 };

static const double damping_default = 0.005;

/* ---- the factor ---- */

typedef struct ranked {
  float size;
  int32_t place; /* of a group or a column */
} ranked;

static int compare_falling(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->size != y->size) return x->size > y->size ? -1 : 1;
  return (x->place > y->place) - (x->place < y->place);
}

static float largest_of(const float *hessian, int64_t columns, int64_t first, int64_t count) {
  float most = 0;
  for (int64_t i = first; i < first + count; i++)
    if (hessian[i * columns + i] > most) most = hessian[i * columns + i];
  return most;
}

/* Groups by their largest, then the columns of each; equals as they are stored. */
static void rank_columns(tn_gptq_factor *f, const float *hessian, ranked *list) {
  int64_t n = f->columns, group = f->options.group ? f->options.group : n, at = 0;
  ranked *columns = list + n / group;
  for (int64_t g = 0; g < n / group; g++)
    list[g] = (ranked){largest_of(hessian, n, g * group, group), (int32_t)g};
  qsort(list, (size_t)(n / group), sizeof *list, compare_falling);
  for (int64_t g = 0; g < n / group; g++) {
    int64_t first = list[g].place * group;
    for (int64_t k = 0; k < group; k++)
      columns[k] = (ranked){hessian[(first + k) * (n + 1)], (int32_t)(first + k)};
    qsort(columns, (size_t)group, sizeof *columns, compare_falling);
    for (int64_t k = 0; k < group; k++) f->order[at++] = columns[k].place;
  }
}

static tn_status order_columns(tn_gptq_factor *f, const float *hessian, tn_error *err) {
  for (int64_t i = 0; i < f->columns; i++) f->order[i] = (int32_t)i;
  if (f->options.by_activation) {
    ranked *list = tn_alloc((size_t)f->columns * 2, sizeof *list);
    if (!list) return tn_fail_memory(err, "an order", (size_t)f->columns * 2 * sizeof *list);
    rank_columns(f, hessian, list);
    tn_free(list);
  }
  for (int64_t i = 0; i < f->columns; i++)
    f->diagonal[i] = hessian[(int64_t)f->order[i] * (f->columns + 1)];
  return TN_OK;
}

/* H in the order of work, damped, into `a`. */
static tn_status fill_hessian(const tn_gptq_factor *f, const float *hessian, double *a,
                              tn_error *err) {
  int64_t n = f->columns;
  double mean = 0;
  for (int64_t i = 0; i < n; i++) mean += (double)f->diagonal[i] / (double)n;
  if (!isfinite(mean) || mean < 0)
    return tn_fail(err, TN_ERR_DATA, "the calibration inputs hold numbers that are not finite");
  for (int64_t i = 0; i < n; i++) {
    const float *row = hessian + (int64_t)f->order[i] * n;
    for (int64_t j = 0; j < n; j++) a[i * n + j] = row[f->order[j]];
    if (!(a[i * n + i] > 0)) a[i * n + i] = mean > 0 ? mean : 1; /* the input was always 0 */
    a[i * n + i] += f->options.damping * mean;
  }
  return TN_OK;
}

static tn_status fill_u(tn_gptq_factor *f, const float *hessian, double *a, tn_pool *pool,
                        tn_error *err) {
  int64_t n = f->columns;
  TN_TRY(fill_hessian(f, hessian, a, err));
  for (int64_t i = 0; f->hessian && i < n * n; i++) f->hessian[i] = (float)a[i];
  tn_flip(a, n);
  TN_TRY(tn_cholesky(a, n, pool, err));
  TN_TRY(tn_lower_inverse(a, n, pool, err));
  tn_flip(a, n);
  for (int64_t i = 0; i < n * n; i++) f->u[i] = i % n < i / n ? 0 : (float)a[i];
  return TN_OK;
}

tn_status tn_gptq_factor_init(tn_gptq_factor *f, const float *hessian, int64_t columns,
                              const tn_gptq_options *options, tn_pool *pool, tn_error *err) {
  size_t count;
  *f = (tn_gptq_factor){.columns = columns, .options = *options};
  if (f->options.damping == 0) f->options.damping = damping_default;
  if (!tn_mul_size((size_t)columns, (size_t)columns, &count))
    return tn_fail(err, TN_ERR_LIMIT, "a Hessian of %" PRId64 " columns", columns);
  f->order = tn_alloc((size_t)columns, sizeof *f->order);
  f->diagonal = tn_alloc((size_t)columns, sizeof *f->diagonal);
  f->u = tn_alloc(count, sizeof *f->u);
  if (options->passes > 0) f->hessian = tn_alloc(count, sizeof *f->hessian);
  double *a = tn_alloc(count, sizeof *a);
  tn_status status = TN_OK;
  if (!f->order || !f->diagonal || !f->u || !a || (options->passes > 0 && !f->hessian))
    status = tn_fail_memory(err, "a Hessian", count * (sizeof *f->u + sizeof *a));
  if (status == TN_OK) status = order_columns(f, hessian, err);
  if (status == TN_OK) status = fill_u(f, hessian, a, pool, err);
  tn_free(a);
  if (status != TN_OK) tn_gptq_factor_clear(f);
  return status;
}

void tn_gptq_factor_clear(tn_gptq_factor *f) {
  tn_free(f->order);
  tn_free(f->diagonal);
  tn_free(f->u);
  tn_free(f->hessian);
  *f = (tn_gptq_factor){0};
}

/* ---- aiming ---- */

typedef struct aiming {
  float *w;
  int64_t rows;
  const float *drift, *residual_drift;
  const tn_gptq_factor *f;
  float *scratch; /* of each worker: two rows */
} aiming;

/* Eight sums side by side, in an order that the compiler may not change. */
static float dot(const float *x, const float *y, int64_t n) {
  float sum[8] = {0}, rest = 0;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int lane = 0; lane < 8; lane++) sum[lane] += x[i + lane] * y[i + lane];
  for (; i < n; i++) rest += x[i] * y[i];
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7])) + rest;
}

static void add_scaled(float *out, float factor, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] += factor * x[i];
}

/* wanted = w D + R */
static void want_row(const aiming *a, int64_t row, float *wanted) {
  int64_t n = a->f->columns;
  const float *w = a->w + row * n;
  if (a->residual_drift)
    memcpy(wanted, a->residual_drift + row * n, (size_t)n * sizeof *wanted);
  else
    memset(wanted, 0, (size_t)n * sizeof *wanted);
  for (int64_t k = 0; k < n; k++) add_scaled(wanted, w[k], a->drift + k * n, n);
}

/* w += wanted U^T U, each in its order. */
static void aim_row(void *context, int64_t row, int32_t worker) {
  const aiming *a = context;
  const tn_gptq_factor *f = a->f;
  int64_t n = f->columns;
  float *wanted = a->scratch + worker * 2 * n, *ordered = wanted + n, *w = a->w + row * n;
  want_row(a, row, wanted);
  for (int64_t c = 0; c < n; c++) ordered[c] = wanted[f->order[c]];
  memset(wanted, 0, (size_t)n * sizeof *wanted);
  for (int64_t c = 0; c < n; c++) {
    const float *u = f->u + c * n + c;
    add_scaled(wanted + c, dot(ordered + c, u, n - c), u, n - c);
  }
  for (int64_t c = 0; c < n; c++) w[f->order[c]] += wanted[c];
}

tn_status tn_gptq_aim(float *w, int64_t rows, const float *drift, const float *residual_drift,
                      const tn_gptq_factor *f, tn_pool *pool, tn_error *err) {
  size_t floats = (size_t)(tn_pool_threads(pool) * 2 * f->columns);
  aiming a = {w, rows, drift, residual_drift, f, tn_alloc(floats, sizeof(float))};
  if (!a.scratch) return tn_fail_memory(err, "rows to aim", floats * sizeof(float));
  tn_pool_run(pool, rows, aim_row, &a);
  tn_free(a.scratch);
  return TN_OK;
}

/* ---- rounding, a few rows at a time ---- */

typedef struct rounding {
  tn_grid_matrix *m;
  const float *w;
  const tn_gptq_factor *f;
  float *scratch; /* of each worker: ROWS rows of weights, in the order of work, of errors, and of
                     weights as they were given and slopes */
} rounding;

static int64_t scratch_floats(int64_t columns) {
  return ROWS * (3 * columns + BLOCK);
}

/* The scale of the group that begins with column c of the order of work, from w at that place. */
static void fit_group(const rounding *r, int64_t row, int64_t c, const float *w) {
  const tn_grid_matrix *m = r->m;
  int64_t count = tn_grid_group_columns(m), group = r->f->order[c] / count;
  m->scales[row * m->groups + group] =
      r->f->options.search ? tn_range_search_diagonal(&m->grid, w, r->f->diagonal + c, count)
                           : tn_grid_fit_weights(&m->grid, w, count);
}

/* Rounds column c of the rows and spreads the errors over the rest of the block. */
static void round_column(const rounding *r, int64_t first_row, int64_t rows, int64_t c,
                         int64_t block_end, float *w, float *errors, int64_t in_block) {
  const tn_grid_matrix *m = r->m;
  int64_t n = m->columns, column = r->f->order[c], group = column / tn_grid_group_columns(m);
  const float *u = r->f->u + c * n;
  for (int64_t i = 0; i < rows; i++) {
    float *row = w + i * n;
    int64_t at = (first_row + i) * n + column;
    tn_grid_scale s = m->scales[(first_row + i) * m->groups + group];
    m->codes[at] = tn_grid_code(&m->grid, s, row[c]);
    float e = (row[c] - tn_grid_value(&m->grid, s, m->codes[at])) / u[c];
    errors[i * BLOCK + in_block] = e;
    for (int64_t j = c + 1; j < block_end; j++) row[j] -= e * u[j];
  }
}

static void spread_block(const rounding *r, int64_t rows, int64_t begin, int64_t end, float *w,
                         const float *errors) {
  int64_t n = r->m->columns;
  for (int64_t c = begin; c < end; c++) {
    const float *u = r->f->u + c * n;
    for (int64_t i = 0; i < rows; i++) {
      float e = errors[i * BLOCK + c - begin];
      float *row = w + i * n;
      for (int64_t j = end; j < n; j++) row[j] -= e * u[j];
    }
  }
}

/* In the order of work; what reads an input that was always 0 becomes 0. */
static void load_rows(const rounding *r, int64_t first_row, int64_t rows, float *w) {
  int64_t n = r->m->columns;
  for (int64_t i = 0; i < rows; i++) {
    const float *from = r->w + (first_row + i) * n;
    for (int64_t c = 0; c < n; c++) w[i * n + c] = r->f->diagonal[c] > 0 ? from[r->f->order[c]] : 0;
  }
}

/* ---- coordinate descent ---- */

/* Of the column at c of the order of work. */
static tn_grid_scale *scale_of(const rounding *r, int64_t row, int64_t c) {
  const tn_grid_matrix *m = r->m;
  return &m->scales[row * m->groups + r->f->order[c] / tn_grid_group_columns(m)];
}

static int8_t *code_of(const rounding *r, int64_t row, int64_t c) {
  return &r->m->codes[row * r->m->columns + r->f->order[c]];
}

static float value_of(const rounding *r, int64_t row, int64_t c) {
  return tn_grid_value(&r->m->grid, *scale_of(r, row, c), *code_of(r, row, c));
}

/* slopes = (q - t) H, half the slope of the error. */
static void find_slopes(const rounding *r, int64_t first, int64_t rows, const float *given,
                        float *slopes) {
  int64_t n = r->m->columns;
  memset(slopes, 0, (size_t)(rows * n) * sizeof *slopes);
  for (int64_t c = 0; c < n; c++)
    for (int64_t i = 0; i < rows; i++)
      add_scaled(slopes + i * n, value_of(r, first + i, c) - given[i * n + c],
                 r->f->hessian + c * n, n);
}

/* The code of column c with the least error, all others as they are. */
static void move_code(const rounding *r, int64_t row, int64_t c, float *slopes) {
  int64_t n = r->m->columns;
  const float *h = r->f->hessian + c * n;
  tn_grid_scale s = *scale_of(r, row, c);
  int8_t *code = code_of(r, row, c);
  float before = tn_grid_value(&r->m->grid, s, *code);
  int8_t best = tn_grid_code(&r->m->grid, s, before - slopes[c] / h[c]);
  if (best == *code) return;
  *code = best;
  add_scaled(slopes, tn_grid_value(&r->m->grid, s, best) - before, h, n);
}

static void descend(const rounding *r, int64_t first, int64_t rows, const float *given,
                    float *slopes) {
  int64_t n = r->m->columns;
  if (r->f->options.passes > 0) find_slopes(r, first, rows, given, slopes);
  for (int32_t pass = 0; pass < r->f->options.passes; pass++)
    for (int64_t c = 0; c < n; c++)
      for (int64_t i = 0; i < rows; i++) move_code(r, first + i, c, slopes + i * n);
}

static void round_rows(void *context, int64_t item, int32_t worker) {
  const rounding *r = context;
  const tn_grid_matrix *m = r->m;
  int64_t n = m->columns, first = item * ROWS, group = tn_grid_group_columns(m);
  int64_t rows = first + ROWS < m->rows ? ROWS : m->rows - first;
  float *w = r->scratch + worker * scratch_floats(n), *errors = w + ROWS * n;
  float *given = errors + ROWS * BLOCK, *slopes = given + ROWS * n;
  load_rows(r, first, rows, w);
  memcpy(given, w, (size_t)(rows * n) * sizeof *given);
  for (int64_t begin = 0; begin < n; begin += BLOCK) {
    int64_t end = begin + BLOCK < n ? begin + BLOCK : n;
    for (int64_t c = begin; c < end; c++) {
      for (int64_t i = 0; c % group == 0 && i < rows; i++)
        fit_group(r, first + i, c, w + i * n + c);
      round_column(r, first, rows, c, end, w, errors, c - begin);
    }
    spread_block(r, rows, begin, end, w, errors);
  }
  descend(r, first, rows, given, slopes);
}

tn_status tn_gptq_round(tn_grid_matrix *m, const float *w, const tn_gptq_factor *f, tn_pool *pool,
                        tn_error *err) {
  if (m->columns != f->columns)
    return tn_fail(err, TN_ERR_ARGUMENT, "a weight of %" PRId64 " columns, a Hessian of %" PRId64,
                   m->columns, f->columns);
  if (m->grid.group > BLOCK || m->grid.group != f->options.group)
    return tn_fail(err, TN_ERR_ARGUMENT, "GPTQ with groups of %" PRId64 ", prepared for %" PRId64,
                   m->grid.group, f->options.group);
  size_t floats = (size_t)(tn_pool_threads(pool) * scratch_floats(m->columns));
  rounding r = {.m = m, .w = w, .f = f, .scratch = tn_alloc(floats, sizeof(float))};
  if (!r.scratch) return tn_fail_memory(err, "rows to round", floats * sizeof(float));
  tn_pool_run(pool, (m->rows + ROWS - 1) / ROWS, round_rows, &r);
  tn_free(r.scratch);
  return TN_OK;
}
