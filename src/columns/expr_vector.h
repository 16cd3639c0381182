/* expr_vector.h - a slice of a column as a plain vector of its class: what an expression is
 * evaluated on.
 *
 *     column of the batch --dictionaries, run ends, views, units undone--> values, and a byte a row
 *                                                                          for null
 *
 * Everything lies in the expression's scratch arena, or in the column's own buffers; it lives until
 * the next slice.  Thread: the expression's owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_EXPR_VECTOR_H
#define TN_COLUMNS_EXPR_VECTOR_H
#include "columns/expr_tree.h"

typedef struct tn_expr_vector {
  tn_expr_class class;
  int32_t scale;
  int64_t count;
  const int64_t *i64; /* I64, BOOL, dates and times */
  const uint64_t *u64;
  const double *f64;
  const tn_decimal_value *decimal;
  const tn_str *text;
  const uint8_t *null; /* a byte a row, 1: null; NULL: none */
} tn_expr_vector;

typedef struct tn_expr_evaluation {
  tn_expr *e;
  const ArrowArray *batch;
  int64_t first, rows; /* the slice: intermediate values stay in the cache, and memory bounded */
  tn_error *err;
} tn_expr_evaluation;

/* Zeroed room for count + 1 items; on failure NULL, and *status says so. */
void *tn_expr_scratch(tn_expr_evaluation *v, int64_t count, size_t size, tn_status *status);
/* The values of a column node in the slice. */
TN_NODISCARD tn_status tn_expr_load_column(tn_expr_evaluation *v, const tn_expr_node *node,
                                           tn_expr_vector *out);
/* Null where one of them is; either may be NULL. */
TN_NODISCARD tn_status tn_expr_join_nulls(tn_expr_evaluation *v, const uint8_t *a, const uint8_t *b,
                                          int64_t count, const uint8_t **out);

#endif
