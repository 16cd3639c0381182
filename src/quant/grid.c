/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/grid.h"

#include <inttypes.h>

#include "base/mem.h"

static const float float8_max = 448;

/* ---- scales ---- */

/* To what a reader will see; a range too small for the type gets its smallest normal number. */
static float round_scale(tn_dtype dtype, float scale) {
  static const float f16_min = 6.1035156e-05f, f16_max = 65504, tiny = 1.1754944e-38f;
  if (dtype == TN_F16) {
    if (scale > f16_max) scale = f16_max;
    return scale < f16_min ? f16_min : tn_f16_to_f32(tn_f32_to_f16(scale));
  }
  if (dtype == TN_BF16) scale = tn_bf16_to_f32(tn_f32_to_bf16(scale));
  return scale < tiny ? tiny : scale;
}

tn_grid_scale tn_grid_fit(const tn_grid *g, float low, float high) {
  float largest = fabsf(low) > fabsf(high) ? fabsf(low) : fabsf(high);
  tn_grid_scale s = {1, 0};
  if (!(largest > 0)) return s; /* nothing but zeros */
  if (g->is_float || g->symmetric) {
    float steps = g->is_float ? float8_max : (float)(tn_grid_high(g) - tn_grid_low(g)) / 2;
    s.scale = round_scale(g->scale_dtype, largest / steps);
    return s;
  }
  if (low > 0) low = 0; /* zero is always one of the values */
  if (high < 0) high = 0;
  s.scale = round_scale(g->scale_dtype, (high - low) / (float)(tn_grid_high(g) - tn_grid_low(g)));
  float zero = (float)tn_grid_low(g) - rintf(low / s.scale);
  s.zero = zero > (float)tn_grid_high(g) ? tn_grid_high(g) : (int32_t)zero;
  return s;
}

tn_grid_scale tn_grid_fit_weights(const tn_grid *g, const float *w, int64_t count) {
  float low = w[0], high = w[0];
  for (int64_t i = 1; i < count; i++) {
    if (w[i] < low) low = w[i];
    if (w[i] > high) high = w[i];
  }
  return tn_grid_fit(g, low, high);
}

/* ---- matrices ---- */

tn_status tn_grid_matrix_init(tn_grid_matrix *m, const tn_grid *grid, int64_t rows, int64_t columns,
                              tn_error *err) {
  int64_t group = grid->group ? grid->group : columns;
  size_t codes;
  if (columns % group != 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%" PRId64 " columns are no multiple of the group of %" PRId64, columns, group);
  *m = (tn_grid_matrix){.grid = *grid, .rows = rows, .columns = columns, .groups = columns / group};
  if (!tn_mul_size((size_t)rows, (size_t)columns, &codes))
    return tn_fail(err, TN_ERR_LIMIT, "a matrix of %" PRId64 " rows", rows);
  m->codes = tn_alloc(codes, sizeof *m->codes);
  m->scales = tn_alloc((size_t)(rows * m->groups), sizeof *m->scales);
  if (m->codes && m->scales) return TN_OK;
  tn_grid_matrix_clear(m);
  return tn_fail_memory(err, "a quantized matrix", codes);
}

void tn_grid_matrix_clear(tn_grid_matrix *m) {
  tn_free(m->codes);
  tn_free(m->scales);
  *m = (tn_grid_matrix){0};
}

typedef struct row_work {
  tn_grid_matrix *m;
  const float *w;
  float *out;
} row_work;

static void round_row(void *context, int64_t row, int32_t worker) {
  const row_work *c = context;
  tn_grid_matrix *m = c->m;
  int64_t group = tn_grid_group_columns(m), at = row * m->columns;
  for (int64_t i = 0; i < m->groups; i++) {
    tn_grid_scale *s = &m->scales[row * m->groups + i];
    *s = tn_grid_fit_weights(&m->grid, c->w + at, group);
    for (int64_t end = at + group; at < end; at++)
      m->codes[at] = tn_grid_code(&m->grid, *s, c->w[at]);
  }
}

void tn_grid_matrix_round(tn_grid_matrix *m, const float *w, tn_pool *pool) {
  row_work c = {.m = m, .w = w};
  tn_pool_run(pool, m->rows, round_row, &c);
}

static void row_to_f32(void *context, int64_t row, int32_t worker) {
  const row_work *c = context;
  const tn_grid_matrix *m = c->m;
  int64_t group = tn_grid_group_columns(m), at = row * m->columns;
  for (int64_t i = 0; i < m->columns; i++)
    c->out[at + i] =
        tn_grid_value(&m->grid, m->scales[row * m->groups + i / group], m->codes[at + i]);
}

void tn_grid_matrix_to_f32(const tn_grid_matrix *m, float *out, tn_pool *pool) {
  row_work c = {.m = (tn_grid_matrix *)m, .out = out};
  tn_pool_run(pool, m->rows, row_to_f32, &c);
}
