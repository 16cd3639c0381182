/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/expr_vector.h"

#include "columns/half.h"
#include "columns/value.h"

void *tn_expr_scratch(tn_expr_evaluation *v, int64_t count, size_t size, tn_status *status) {
  void *memory = tn_arena_alloc(&v->e->scratch, (size_t)count + 1, size);
  if (!memory && *status == TN_OK)
    *status = tn_fail_memory(v->err, "evaluating a predicate", (size_t)count * size);
  return memory;
}

/* ---- nulls ---- */
/* Rows [from, from + count), counted from the array's offset; *out stays NULL when none is null. */
static tn_status load_nulls(tn_expr_evaluation *v, const ArrowArray *a, tn_layout layout,
                            int64_t from, int64_t count, const uint8_t **out) {
  tn_status status = TN_OK;
  *out = NULL;
  if (layout == TN_LAYOUT_NONE) {
    uint8_t *all = tn_expr_scratch(v, count, 1, &status);
    if (all) memset(all, 1, (size_t)count);
    *out = all;
    return status;
  }
  if (!tn_layout_has_validity(layout) || a->null_count == 0 || !a->buffers[0]) return TN_OK;
  uint8_t *nulls = tn_expr_scratch(v, count, 1, &status);
  if (!nulls) return status;
  const uint8_t *valid = a->buffers[0];
  int64_t first = a->offset + from;
  for (int64_t i = 0; i < count; i++)
    nulls[i] = !((valid[(first + i) >> 3] >> ((first + i) & 7)) & 1);
  *out = nulls;
  return TN_OK;
}

tn_status tn_expr_join_nulls(tn_expr_evaluation *v, const uint8_t *a, const uint8_t *b,
                             int64_t count, const uint8_t **out) {
  *out = a ? a : b;
  if (!a || !b) return TN_OK;
  tn_status status = TN_OK;
  uint8_t *both = tn_expr_scratch(v, count, 1, &status);
  for (int64_t i = 0; both && i < count; i++) both[i] = a[i] | b[i];
  *out = both;
  return status;
}

/* ---- columns to vectors ---- */
#define WIDEN(type, to)                                       \
  do {                                                        \
    const type *values = (const type *)a->buffers[1] + first; \
    for (int64_t i = 0; i < count; i++) to[i] = values[i];    \
  } while (0)

static tn_status load_i64(tn_expr_evaluation *v, const tn_type *type, const ArrowArray *a,
                          int64_t first, int64_t count, tn_expr_vector *out) {
  if (type->bits == 64) {
    out->i64 = (const int64_t *)a->buffers[1] + first;
    return TN_OK;
  }
  tn_status status = TN_OK;
  int64_t *to = tn_expr_scratch(v, count, sizeof *to, &status);
  if (!to) return status;
  out->i64 = to;
  switch (type->id) {
    case TN_TYPE_BOOL: {
      const uint8_t *bits = a->buffers[1];
      for (int64_t i = 0; i < count; i++) to[i] = (bits[(first + i) >> 3] >> ((first + i) & 7)) & 1;
      break;
    }
    case TN_TYPE_INT8:
      WIDEN(int8_t, to);
      break;
    case TN_TYPE_UINT8:
      WIDEN(uint8_t, to);
      break;
    case TN_TYPE_INT16:
      WIDEN(int16_t, to);
      break;
    case TN_TYPE_UINT16:
      WIDEN(uint16_t, to);
      break;
    case TN_TYPE_UINT32:
      WIDEN(uint32_t, to);
      break;
    default:
      WIDEN(int32_t, to);
      break;
  }
  return TN_OK;
}

static tn_status load_f64(tn_expr_evaluation *v, const tn_type *type, const ArrowArray *a,
                          int64_t first, int64_t count, tn_expr_vector *out) {
  if (type->id == TN_TYPE_DOUBLE) {
    out->f64 = (const double *)a->buffers[1] + first;
    return TN_OK;
  }
  tn_status status = TN_OK;
  double *to = tn_expr_scratch(v, count, sizeof *to, &status);
  if (!to) return status;
  out->f64 = to;
  if (type->id == TN_TYPE_FLOAT) {
    WIDEN(float, to);
    return TN_OK;
  }
  const uint16_t *halves = (const uint16_t *)a->buffers[1] + first;
  for (int64_t i = 0; i < count; i++) to[i] = (double)tn_half_to_f32(halves[i]);
  return TN_OK;
}

static tn_status load_decimal(tn_expr_evaluation *v, const tn_type *type, const ArrowArray *a,
                              int64_t first, int64_t count, tn_expr_vector *out) {
  tn_status status = TN_OK;
  tn_decimal_value *to = tn_expr_scratch(v, count, sizeof *to, &status);
  if (!to) return status;
  int64_t width = type->bits / 8;
  const char *values = (const char *)a->buffers[1] + first * width;
  for (int64_t i = 0; i < count; i++) to[i] = tn_decimal_load(values + i * width, type->bits);
  out->decimal = to;
  return TN_OK;
}

static tn_status load_text(tn_expr_evaluation *v, const tn_field *field, const ArrowArray *a,
                           int64_t from, int64_t count, tn_expr_vector *out) {
  tn_status status = TN_OK;
  tn_str *to = tn_expr_scratch(v, count, sizeof *to, &status);
  if (!to) return status;
  out->text = to;
  if (field->type.layout == TN_LAYOUT_BYTES) {
    const int32_t *offsets = (const int32_t *)a->buffers[1] + a->offset + from;
    const char *bytes = a->buffers[2];
    for (int64_t i = 0; i < count; i++)
      to[i] = (tn_str){bytes + offsets[i], (size_t)(offsets[i + 1] - offsets[i])};
    return TN_OK;
  }
  for (int64_t i = 0; i < count; i++)
    if (!out->null || !out->null[i]) to[i] = tn_value_bytes(field, a, from + i);
  return TN_OK;
}

static tn_status load(tn_expr_evaluation *v, const tn_field *field, const ArrowArray *a,
                      int64_t from, int64_t count, tn_expr_vector *out);

/* Row i of *out is row at[i] of `values`; a row that `null` marks need not be there. */
static tn_status pick(tn_expr_evaluation *v, const tn_expr_vector *values, const int64_t *at,
                      const uint8_t *null, int64_t count, tn_expr_vector *out) {
  tn_status status = TN_OK;
#define PICK(member, type)                                     \
  if (values->member) {                                        \
    type *to = tn_expr_scratch(v, count, sizeof *to, &status); \
    for (int64_t i = 0; to && i < count; i++)                  \
      if (!null || !null[i]) to[i] = values->member[at[i]];    \
    out->member = to;                                          \
  }
  PICK(i64, int64_t)
  PICK(u64, uint64_t)
  PICK(f64, double)
  PICK(decimal, tn_decimal_value)
  PICK(text, tn_str)
#undef PICK
  out->null = null;
  if (!values->null) return status;
  uint8_t *picked = tn_expr_scratch(v, count, 1, &status);
  for (int64_t i = 0; picked && i < count; i++)
    picked[i] = (null && null[i]) || values->null[at[i]];
  out->null = picked;
  return status;
}

/* Value by value: where a whole dictionary would be more than the rows asked for. */
static tn_status load_each(tn_expr_evaluation *v, const tn_field *field, const ArrowArray *a,
                           int64_t from, int64_t count, tn_expr_vector *out) {
  tn_status status = TN_OK;
  uint8_t *null = tn_expr_scratch(v, count, 1, &status);
  void *to = tn_expr_scratch(v, count, sizeof(tn_decimal_value), &status);
  if (status != TN_OK) return status;
  for (int64_t i = 0; i < count; i++) {
    tn_value value = {field, a, from + i};
    null[i] = !tn_value_find(&value) || tn_value_is_null(value.field, value.array, value.row);
    if (null[i]) continue;
    if (out->class == TN_EXPR_TEXT)
      ((tn_str *)to)[i] = tn_value_bytes(value.field, value.array, value.row);
    else if (out->class == TN_EXPR_F64)
      ((double *)to)[i] = tn_value_f64(value.field, value.array, value.row);
    else if (out->class == TN_EXPR_DECIMAL)
      ((tn_decimal_value *)to)[i] = tn_decimal_load(
          tn_value_bytes(value.field, value.array, value.row).data, value.field->type.bits);
    else
      ((int64_t *)to)[i] = tn_value_i64(value.field, value.array, value.row);
  }
  out->null = null;
  if (out->class == TN_EXPR_TEXT)
    out->text = to;
  else if (out->class == TN_EXPR_F64)
    out->f64 = to;
  else if (out->class == TN_EXPR_DECIMAL)
    out->decimal = to;
  else if (out->class == TN_EXPR_U64)
    out->u64 = to;
  else
    out->i64 = to;
  return TN_OK;
}

static tn_status load_dictionary(tn_expr_evaluation *v, const tn_field *field, const ArrowArray *a,
                                 int64_t from, int64_t count, tn_expr_vector *out) {
  tn_expr_vector values = *out, indices = {.class = TN_EXPR_I64};
  const uint8_t *null;
  TN_TRY(load(v, field->dictionary, a->dictionary, 0, a->dictionary->length, &values));
  TN_TRY(load_nulls(v, a, field->type.layout, from, count, &null));
  TN_TRY(load_i64(v, &field->type, a, a->offset + from, count, &indices));
  return pick(v, &values, indices.i64, null, count, out);
}

static tn_status load_runs(tn_expr_evaluation *v, const tn_field *field, const ArrowArray *a,
                           int64_t from, int64_t count, tn_expr_vector *out) {
  const ArrowArray *ends_array = a->children[0], *values_array = a->children[1];
  tn_expr_vector values = *out, ends = {.class = TN_EXPR_I64};
  tn_status status = TN_OK;
  int64_t *at = tn_expr_scratch(v, count, sizeof *at, &status), runs = ends_array->length;
  if (!at) return status;
  TN_TRY(load(v, &field->children[1], values_array, 0, values_array->length, &values));
  TN_TRY(load_i64(v, &field->children[0].type, ends_array, ends_array->offset, runs, &ends));
  int64_t run = 0, first = a->offset + from;
  for (int64_t i = 0; i < count; i++) {
    while (run < runs - 1 && ends.i64[run] <= first + i) run++;
    at[i] = run;
  }
  return pick(v, &values, at, NULL, count, out);
}

static tn_status load(tn_expr_evaluation *v, const tn_field *field, const ArrowArray *a,
                      int64_t from, int64_t count, tn_expr_vector *out) {
  out->count = count;
  int64_t encoded = field->dictionary                   ? a->dictionary->length
                    : field->type.id == TN_TYPE_RUN_END ? a->children[1]->length
                                                        : 0;
  if (encoded > count) return load_each(v, field, a, from, count, out);
  if (field->dictionary) return load_dictionary(v, field, a, from, count, out);
  if (field->type.id == TN_TYPE_RUN_END) return load_runs(v, field, a, from, count, out);
  TN_TRY(load_nulls(v, a, field->type.layout, from, count, &out->null));
  int64_t first = a->offset + from;
  switch (out->class) {
    case TN_EXPR_NULL:
    case TN_EXPR_OTHER:
      return TN_OK;
    case TN_EXPR_U64:
      out->u64 = (const uint64_t *)a->buffers[1] + first;
      return TN_OK;
    case TN_EXPR_F64:
      return load_f64(v, &field->type, a, first, count, out);
    case TN_EXPR_DECIMAL:
      return load_decimal(v, &field->type, a, first, count, out);
    case TN_EXPR_TEXT:
      return load_text(v, field, a, from, count, out);
    default:
      return load_i64(v, &field->type, a, first, count, out);
  }
}

/* Nulls of a value that no tn_expr_vector holds: lists, unions ... */
static tn_status load_other(tn_expr_evaluation *v, const tn_field *field, const ArrowArray *a,
                            int64_t from, tn_expr_vector *out) {
  tn_status status = TN_OK;
  out->count = v->rows;
  uint8_t *null = tn_expr_scratch(v, v->rows, 1, &status);
  for (int64_t i = 0; null && i < v->rows; i++) null[i] = tn_value_is_null(field, a, from + i);
  out->null = null;
  return status;
}

tn_status tn_expr_load_column(tn_expr_evaluation *v, const tn_expr_node *node,
                              tn_expr_vector *out) {
  const ArrowArray *a = v->batch->children[node->indices[0]];
  int64_t from = v->batch->offset + v->first;
  const uint8_t *above = NULL, *null;
  for (int32_t i = 1; i < node->path_count; i++) { /* a member of a null struct is null */
    TN_TRY(load_nulls(v, a, node->path[i - 1]->type.layout, from, v->rows, &null));
    TN_TRY(tn_expr_join_nulls(v, above, null, v->rows, &above));
    from += a->offset;
    a = a->children[node->indices[i]];
  }
  const tn_field *field = node->path[node->path_count - 1];
  *out = (tn_expr_vector){.class = node->class, .scale = node->scale};
  TN_TRY(node->class == TN_EXPR_OTHER ? load_other(v, field, a, from, out)
                                      : load(v, field, a, from, v->rows, out));
  return tn_expr_join_nulls(v, above, out->null, v->rows, &out->null);
}
