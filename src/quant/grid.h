/* grid.h - the numbers that a quantized weight can be, and matrices of them.
 *
 *     value = scale (code - zero)      integers: 4 bits -8 .. 7, 8 bits -128 .. 127
 *     value = scale e4m3(code)         float8: no zero
 *
 * A scale holds for `group` neighbours of a row, or for the whole row.  Scales are rounded to the
 * type in which they will be stored before any code is chosen, so a code is the best one for the
 * value that a reader will really see.
 *
 * Thread: pure functions; a matrix has one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_GRID_H
#define TN_QUANT_GRID_H
#include <math.h>

#include "base/thread.h"
#include "tensor/dtype.h"

typedef struct tn_grid {
  bool is_float;        /* float8 e4m3 */
  int32_t bits;         /* 4 or 8 */
  bool symmetric;       /* zero is 0; always so for float8 */
  int64_t group;        /* columns that share a scale; 0: the row */
  tn_dtype scale_dtype; /* F32, F16 or BF16 */
} tn_grid;

typedef struct tn_grid_scale {
  float scale; /* above 0 */
  int32_t zero;
} tn_grid_scale;

static inline int32_t tn_grid_low(const tn_grid *g) {
  return -(1 << (g->bits - 1));
}
static inline int32_t tn_grid_high(const tn_grid *g) {
  return (1 << (g->bits - 1)) - 1;
}
/* The scale whose grid just holds all of [low, high]. */
tn_grid_scale tn_grid_fit(const tn_grid *g, float low, float high);
tn_grid_scale tn_grid_fit_weights(const tn_grid *g, const float *w, int64_t count);

/* The nearest code, halves to even; float8: the byte. */
static inline int8_t tn_grid_code(const tn_grid *g, tn_grid_scale s, float x) {
  if (g->is_float) return (int8_t)tn_f32_to_f8_e4m3(x / s.scale);
  float low = (float)tn_grid_low(g), high = (float)tn_grid_high(g);
  float code = rintf(x / s.scale) + (float)s.zero;
  return (int8_t)(code < low ? low : code > high ? high : code);
}
static inline float tn_grid_value(const tn_grid *g, tn_grid_scale s, int8_t code) {
  if (g->is_float) return s.scale * tn_f8_e4m3_to_f32((uint8_t)code);
  return s.scale * (float)((int32_t)code - s.zero);
}

/* ---- a matrix on the grid ---- */

typedef struct tn_grid_matrix { /* all zero is a valid empty matrix */
  tn_grid grid;
  int64_t rows, columns;
  int64_t groups;        /* of a row */
  tn_grid_scale *scales; /* [rows, groups] */
  int8_t *codes;         /* [rows, columns] */
} tn_grid_matrix;

/* TN_ERR_UNSUPPORTED when `columns` is no multiple of the group. */
TN_NODISCARD tn_status tn_grid_matrix_init(tn_grid_matrix *m, const tn_grid *grid, int64_t rows,
                                           int64_t columns, tn_error *err);
void tn_grid_matrix_clear(tn_grid_matrix *m);
static inline int64_t tn_grid_group_columns(const tn_grid_matrix *m) {
  return m->grid.group ? m->grid.group : m->columns;
}
/* Round to nearest: each group's own range, each weight its nearest code. */
void tn_grid_matrix_round(tn_grid_matrix *m, const float *w, tn_pool *pool);
void tn_grid_matrix_to_f32(const tn_grid_matrix *m, float *out, tn_pool *pool);

#endif
