/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation: a column becomes a plain vector of its class, each node a loop over vectors.
 * Conditions are bytes: 0 false, 1 unknown, 2 true, so that and is the smaller, or the larger, not
 * 2 - x. */
#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "columns/expr_tree.h"
#include "columns/half.h"
#include "columns/value.h"

enum { NO = 0, UNKNOWN = 1, YES = 2, SLICE_ROWS = 8192 };

typedef struct vector {
  tn_expr_class class;
  int32_t scale;
  int64_t count;
  const int64_t *i64; /* I64, BOOL, dates and times */
  const uint64_t *u64;
  const double *f64;
  const tn_decimal_value *decimal;
  const tn_str *text;
  const uint8_t *null; /* a byte a row, 1: null; NULL: none */
} vector;

typedef struct evaluation {
  tn_expr *e;
  const ArrowArray *batch;
  int64_t first, rows; /* the slice: intermediate values stay in the cache, and memory bounded */
  tn_error *err;
} evaluation;

static void *scratch(evaluation *v, int64_t count, size_t size, tn_status *status) {
  void *memory = tn_arena_alloc(&v->e->scratch, (size_t)count + 1, size);
  if (!memory && *status == TN_OK)
    *status = tn_fail_memory(v->err, "evaluating a predicate", (size_t)count * size);
  return memory;
}

/* ---- nulls ---- */
/* Rows [from, from + count), counted from the array's offset; *out stays NULL when none is null. */
static tn_status load_nulls(evaluation *v, const ArrowArray *a, tn_layout layout, int64_t from,
                            int64_t count, const uint8_t **out) {
  tn_status status = TN_OK;
  *out = NULL;
  if (layout == TN_LAYOUT_NONE) {
    uint8_t *all = scratch(v, count, 1, &status);
    if (all) memset(all, 1, (size_t)count);
    *out = all;
    return status;
  }
  if (!tn_layout_has_validity(layout) || a->null_count == 0 || !a->buffers[0]) return TN_OK;
  uint8_t *nulls = scratch(v, count, 1, &status);
  if (!nulls) return status;
  const uint8_t *valid = a->buffers[0];
  int64_t first = a->offset + from;
  for (int64_t i = 0; i < count; i++)
    nulls[i] = !((valid[(first + i) >> 3] >> ((first + i) & 7)) & 1);
  *out = nulls;
  return TN_OK;
}

static tn_status join_nulls(evaluation *v, const uint8_t *a, const uint8_t *b, int64_t count,
                            const uint8_t **out) {
  *out = a ? a : b;
  if (!a || !b) return TN_OK;
  tn_status status = TN_OK;
  uint8_t *both = scratch(v, count, 1, &status);
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

static tn_status load_i64(evaluation *v, const tn_type *type, const ArrowArray *a, int64_t first,
                          int64_t count, vector *out) {
  if (type->bits == 64) {
    out->i64 = (const int64_t *)a->buffers[1] + first;
    return TN_OK;
  }
  tn_status status = TN_OK;
  int64_t *to = scratch(v, count, sizeof *to, &status);
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

static tn_status load_f64(evaluation *v, const tn_type *type, const ArrowArray *a, int64_t first,
                          int64_t count, vector *out) {
  if (type->id == TN_TYPE_DOUBLE) {
    out->f64 = (const double *)a->buffers[1] + first;
    return TN_OK;
  }
  tn_status status = TN_OK;
  double *to = scratch(v, count, sizeof *to, &status);
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

static tn_status load_decimal(evaluation *v, const tn_type *type, const ArrowArray *a,
                              int64_t first, int64_t count, vector *out) {
  tn_status status = TN_OK;
  tn_decimal_value *to = scratch(v, count, sizeof *to, &status);
  if (!to) return status;
  int64_t width = type->bits / 8;
  const char *values = (const char *)a->buffers[1] + first * width;
  for (int64_t i = 0; i < count; i++) to[i] = tn_decimal_load(values + i * width, type->bits);
  out->decimal = to;
  return TN_OK;
}

static tn_status load_text(evaluation *v, const tn_field *field, const ArrowArray *a, int64_t from,
                           int64_t count, vector *out) {
  tn_status status = TN_OK;
  tn_str *to = scratch(v, count, sizeof *to, &status);
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

static tn_status load(evaluation *v, const tn_field *field, const ArrowArray *a, int64_t from,
                      int64_t count, vector *out);

/* Row i of *out is row at[i] of `values`; a row that `null` marks need not be there. */
static tn_status pick(evaluation *v, const vector *values, const int64_t *at, const uint8_t *null,
                      int64_t count, vector *out) {
  tn_status status = TN_OK;
#define PICK(member, type)                                  \
  if (values->member) {                                     \
    type *to = scratch(v, count, sizeof *to, &status);      \
    for (int64_t i = 0; to && i < count; i++)               \
      if (!null || !null[i]) to[i] = values->member[at[i]]; \
    out->member = to;                                       \
  }
  PICK(i64, int64_t)
  PICK(u64, uint64_t)
  PICK(f64, double)
  PICK(decimal, tn_decimal_value)
  PICK(text, tn_str)
#undef PICK
  out->null = null;
  if (!values->null) return status;
  uint8_t *picked = scratch(v, count, 1, &status);
  for (int64_t i = 0; picked && i < count; i++)
    picked[i] = (null && null[i]) || values->null[at[i]];
  out->null = picked;
  return status;
}

/* Value by value: where a whole dictionary would be more than the rows asked for. */
static tn_status load_each(evaluation *v, const tn_field *field, const ArrowArray *a, int64_t from,
                           int64_t count, vector *out) {
  tn_status status = TN_OK;
  uint8_t *null = scratch(v, count, 1, &status);
  void *to = scratch(v, count, sizeof(tn_decimal_value), &status);
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

static tn_status load_dictionary(evaluation *v, const tn_field *field, const ArrowArray *a,
                                 int64_t from, int64_t count, vector *out) {
  vector values = *out, indices = {.class = TN_EXPR_I64};
  const uint8_t *null;
  TN_TRY(load(v, field->dictionary, a->dictionary, 0, a->dictionary->length, &values));
  TN_TRY(load_nulls(v, a, field->type.layout, from, count, &null));
  TN_TRY(load_i64(v, &field->type, a, a->offset + from, count, &indices));
  return pick(v, &values, indices.i64, null, count, out);
}

static tn_status load_runs(evaluation *v, const tn_field *field, const ArrowArray *a, int64_t from,
                           int64_t count, vector *out) {
  const ArrowArray *ends_array = a->children[0], *values_array = a->children[1];
  vector values = *out, ends = {.class = TN_EXPR_I64};
  tn_status status = TN_OK;
  int64_t *at = scratch(v, count, sizeof *at, &status), runs = ends_array->length;
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

static tn_status load(evaluation *v, const tn_field *field, const ArrowArray *a, int64_t from,
                      int64_t count, vector *out) {
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

/* Nulls of a value that no vector holds: lists, unions ... */
static tn_status load_other(evaluation *v, const tn_field *field, const ArrowArray *a, int64_t from,
                            vector *out) {
  tn_status status = TN_OK;
  out->count = v->rows;
  uint8_t *null = scratch(v, v->rows, 1, &status);
  for (int64_t i = 0; null && i < v->rows; i++) null[i] = tn_value_is_null(field, a, from + i);
  out->null = null;
  return status;
}

static tn_status load_column(evaluation *v, const tn_expr_node *node, vector *out) {
  const ArrowArray *a = v->batch->children[node->indices[0]];
  int64_t from = v->batch->offset + v->first;
  const uint8_t *above = NULL, *null;
  for (int32_t i = 1; i < node->path_count; i++) { /* a member of a null struct is null */
    TN_TRY(load_nulls(v, a, node->path[i - 1]->type.layout, from, v->rows, &null));
    TN_TRY(join_nulls(v, above, null, v->rows, &above));
    from += a->offset;
    a = a->children[node->indices[i]];
  }
  const tn_field *field = node->path[node->path_count - 1];
  *out = (vector){.class = node->class, .scale = node->scale};
  TN_TRY(node->class == TN_EXPR_OTHER ? load_other(v, field, a, from, out)
                                      : load(v, field, a, from, v->rows, out));
  return join_nulls(v, above, out->null, v->rows, &out->null);
}

/* ---- numbers ---- */
static double decimal_to_f64(const tn_decimal_value *value, int32_t scale) {
  tn_strbuf text = {0};
  double real = 0;
  tn_decimal_text(value, scale, &text);
  if (!text.failed) tn_str_to_f64(tn_strbuf_view(&text), &real);
  tn_strbuf_clear(&text);
  return real;
}

static tn_status to_f64(evaluation *v, vector *x) {
  if (x->class == TN_EXPR_F64) return TN_OK;
  tn_status status = TN_OK;
  double *to = scratch(v, x->count, sizeof *to, &status);
  for (int64_t i = 0; to && i < x->count; i++) {
    if (x->null && x->null[i]) continue;
    to[i] = x->u64       ? (double)x->u64[i]
            : x->decimal ? decimal_to_f64(&x->decimal[i], x->scale)
                         : (double)x->i64[i];
  }
  x->f64 = to;
  x->class = TN_EXPR_F64;
  return status;
}

static tn_status to_i64(evaluation *v, const tn_expr_node *node, vector *x) {
  if (x->class != TN_EXPR_U64) return TN_OK;
  for (int64_t i = 0; i < x->count; i++)
    if (x->u64[i] > INT64_MAX && !(x->null && x->null[i]))
      return tn_expr_fail(v->e, node->at, v->err,
                          "%llu does not fit int64, in which this is computed",
                          (unsigned long long)x->u64[i]);
  x->i64 = (const int64_t *)x->u64;
  x->class = TN_EXPR_I64;
  return TN_OK;
}

static tn_status evaluate_value(evaluation *v, const tn_expr_node *node, vector *out);
static tn_status evaluate_condition(evaluation *v, const tn_expr_node *node, uint8_t **out);

static tn_status whole_arithmetic(evaluation *v, const tn_expr_node *node, const vector *a,
                                  const vector *b, int64_t *to, uint8_t *null) {
  for (int64_t i = 0; i < v->rows; i++) {
    if (null[i]) continue;
    int64_t x = a->i64[i], y = b->i64[i];
    bool over = false;
    switch (node->op) {
      case TN_EXPR_ADD:
        over = __builtin_add_overflow(x, y, &to[i]);
        break;
      case TN_EXPR_SUB:
        over = __builtin_sub_overflow(x, y, &to[i]);
        break;
      case TN_EXPR_MUL:
        over = __builtin_mul_overflow(x, y, &to[i]);
        break;
      default:
        null[i] = y == 0;
        to[i] = y == 0 || y == -1 ? 0 : x % y;
        break;
    }
    if (over)
      return tn_expr_fail(v->e, node->at, v->err,
                          "row %lld of a batch: %lld and %lld overflow int64", (long long)i,
                          (long long)x, (long long)y);
  }
  return TN_OK;
}

static void real_arithmetic(const tn_expr_node *node, const vector *a, const vector *b,
                            int64_t rows, double *to, uint8_t *null) {
  bool divides = node->op == TN_EXPR_DIV || node->op == TN_EXPR_MOD;
  for (int64_t i = 0; i < rows; i++) {
    double x = a->f64[i], y = b->f64[i];
    if (divides && y == 0) null[i] = 1;
    to[i] = node->op == TN_EXPR_ADD   ? x + y
            : node->op == TN_EXPR_SUB ? x - y
            : node->op == TN_EXPR_MUL ? x * y
            : node->op == TN_EXPR_DIV ? x / y
                                      : fmod(x, y);
  }
}

static tn_status evaluate_arithmetic(evaluation *v, const tn_expr_node *node, vector *out) {
  vector a, b;
  tn_status status = TN_OK;
  const uint8_t *nulls;
  TN_TRY(evaluate_value(v, node->left, &a));
  TN_TRY(evaluate_value(v, node->right, &b));
  TN_TRY(join_nulls(v, a.null, b.null, v->rows, &nulls));
  uint8_t *null = scratch(v, v->rows, 1, &status);
  void *to = scratch(v, v->rows, 8, &status);
  if (status != TN_OK) return status;
  if (nulls) memcpy(null, nulls, (size_t)v->rows);
  *out = (vector){.class = node->class, .count = v->rows, .null = null};
  if (node->class == TN_EXPR_I64) {
    TN_TRY(to_i64(v, node->left, &a));
    TN_TRY(to_i64(v, node->right, &b));
    out->i64 = to;
    return whole_arithmetic(v, node, &a, &b, to, null);
  }
  TN_TRY(to_f64(v, &a));
  TN_TRY(to_f64(v, &b));
  out->f64 = to;
  real_arithmetic(node, &a, &b, v->rows, to, null);
  return TN_OK;
}

/* A number literal as a vector, for arithmetic: whole when it is and the other side too. */
static tn_status literal_vector(evaluation *v, const tn_expr_node *node, vector *out) {
  tn_status status = TN_OK;
  int64_t whole;
  bool is_whole =
      node->has_decimal && node->scale == 0 && tn_decimal_store(&node->decimal, 64, &whole);
  *out = (vector){.class = is_whole ? TN_EXPR_I64 : TN_EXPR_F64, .count = v->rows};
  if (is_whole) {
    int64_t *to = scratch(v, v->rows, sizeof *to, &status);
    for (int64_t i = 0; to && i < v->rows; i++) to[i] = whole;
    out->i64 = to;
    return status;
  }
  double *to = scratch(v, v->rows, sizeof *to, &status);
  for (int64_t i = 0; to && i < v->rows; i++) to[i] = node->number;
  out->f64 = to;
  return status;
}

static tn_status condition_vector(evaluation *v, const tn_expr_node *node, vector *out) {
  uint8_t *bytes;
  tn_status status = TN_OK;
  TN_TRY(evaluate_condition(v, node, &bytes));
  int64_t *to = scratch(v, v->rows, sizeof *to, &status);
  uint8_t *null = scratch(v, v->rows, 1, &status);
  if (status != TN_OK) return status;
  for (int64_t i = 0; i < v->rows; i++) to[i] = bytes[i] == YES;
  for (int64_t i = 0; i < v->rows; i++) null[i] = bytes[i] == UNKNOWN;
  *out = (vector){.class = TN_EXPR_BOOL, .count = v->rows, .i64 = to, .null = null};
  return TN_OK;
}

static tn_status evaluate_value(evaluation *v, const tn_expr_node *node, vector *out) {
  if (node->kind == TN_EXPR_COLUMN) return load_column(v, node, out);
  if (node->kind == TN_EXPR_ARITHMETIC) return evaluate_arithmetic(v, node, out);
  if (node->kind == TN_EXPR_LITERAL && node->class == TN_EXPR_DECIMAL)
    return literal_vector(v, node, out);
  if (node->kind == TN_EXPR_LITERAL && node->class == TN_EXPR_NULL) {
    tn_status status = TN_OK;
    uint8_t *null = scratch(v, v->rows, 1, &status);
    if (null) memset(null, 1, (size_t)v->rows);
    *out = (vector){.class = TN_EXPR_NULL, .count = v->rows, .null = null};
    return status;
  }
  return condition_vector(v, node, out);
}

/* ---- comparisons with a literal ---- */
#define LOOP(test)                                                    \
  for (int64_t i = 0; i < count; i++) out[i] = (uint8_t)(2 * (test)); \
  break
#define COMPARE(values, constant)      \
  switch (op) {                        \
    case TN_EXPR_EQ:                   \
      LOOP((values)[i] == (constant)); \
    case TN_EXPR_NE:                   \
      LOOP((values)[i] != (constant)); \
    case TN_EXPR_LT:                   \
      LOOP((values)[i] < (constant));  \
    case TN_EXPR_LE:                   \
      LOOP((values)[i] <= (constant)); \
    case TN_EXPR_GT:                   \
      LOOP((values)[i] > (constant));  \
    default:                           \
      LOOP((values)[i] >= (constant)); \
  }

static int order_text(tn_str a, tn_str b) {
  size_t n = a.length < b.length ? a.length : b.length;
  int order = n ? memcmp(a.data, b.data, n) : 0;
  return order ? order : (a.length > b.length) - (a.length < b.length);
}

static void compare_text(tn_expr_op op, const vector *a, tn_str to, uint8_t *out) {
  int64_t count = a->count;
  const tn_str *text = a->text;
  if (op == TN_EXPR_EQ || op == TN_EXPR_NE) {
    bool same = op == TN_EXPR_EQ;
    for (int64_t i = 0; i < count; i++) out[i] = tn_str_equal(text[i], to) == same ? YES : NO;
    return;
  }
  for (int64_t i = 0; i < count; i++)
    out[i] = tn_expr_holds(op, order_text(text[i], to)) ? YES : NO;
}

static void compare_constant(tn_expr_op op, const vector *a, const tn_expr_constant *c,
                             uint8_t *out) {
  int64_t count = a->count;
  bool above = c->outside > 0; /* the literal is above every value, or below every one */
  if (c->outside || (!c->exact && (op == TN_EXPR_EQ || op == TN_EXPR_NE))) {
    bool yes = op == TN_EXPR_NE ||
               (c->outside && above && (op == TN_EXPR_LT || op == TN_EXPR_LE)) ||
               (c->outside && !above && (op == TN_EXPR_GT || op == TN_EXPR_GE));
    memset(out, yes ? YES : NO, (size_t)count);
    return;
  }
  if (!c->exact) /* between floor and the next value */
    op = op == TN_EXPR_LT || op == TN_EXPR_LE ? TN_EXPR_LE : TN_EXPR_GT;
  switch (a->class) {
    case TN_EXPR_NULL:
      memset(out, NO, (size_t)count);
      return;
    case TN_EXPR_U64:
      COMPARE(a->u64, c->u64)
      return;
    case TN_EXPR_F64:
      COMPARE(a->f64, c->f64)
      return;
    case TN_EXPR_DECIMAL:
      for (int64_t i = 0; i < count; i++)
        out[i] = tn_expr_holds(op, tn_decimal_compare(&a->decimal[i], &c->decimal)) ? YES : NO;
      return;
    case TN_EXPR_TEXT:
      compare_text(op, a, c->text, out);
      return;
    default:
      COMPARE(a->i64, c->i64)
      return;
  }
}

/* ---- comparisons of two columns ---- */
/* -1, 0, 1, and 2 when one is no number.  A long double holds every int64, uint64 and double. */
static int order_real(const vector *a, const vector *b, int64_t i) {
  long double x = a->f64   ? (long double)a->f64[i]
                  : a->u64 ? (long double)a->u64[i]
                           : (long double)a->i64[i];
  long double y = b->f64   ? (long double)b->f64[i]
                  : b->u64 ? (long double)b->u64[i]
                           : (long double)b->i64[i];
  if (x != x || y != y) return 2;
  return (x > y) - (x < y);
}

/* Both as decimals at the larger scale; what overflows 76 digits is beyond the other side. */
static int order_exact(const vector *a, const vector *b, int64_t i) {
  int32_t scale = a->scale > b->scale ? a->scale : b->scale;
  const vector *sides[] = {a, b};
  tn_decimal_value values[2];
  for (int k = 0; k < 2; k++) {
    const vector *s = sides[k];
    tn_decimal_value value = s->decimal ? s->decimal[i]
                             : s->u64   ? (tn_decimal_value){{s->u64[i], 0, 0, 0}}
                                        : tn_decimal_of_i64(s->i64[i]);
    if (tn_decimal_rescale(&value, s->scale, scale, &values[k])) continue;
    bool negative = tn_decimal_negative(&value);
    return (k == 0) == negative ? -1 : 1;
  }
  return tn_decimal_compare(&values[0], &values[1]);
}

/* Days become seconds, so that dates and timestamps share a scale. */
static tn_status days_to_seconds(evaluation *v, vector *x) {
  if (x->class != TN_EXPR_DATE || x->scale != 0) return TN_OK;
  tn_status status = TN_OK;
  int64_t *to = scratch(v, x->count, sizeof *to, &status);
  for (int64_t i = 0; to && i < x->count; i++) to[i] = x->i64[i] * 86400;
  x->i64 = to;
  return status;
}

static tn_status compare_vectors(evaluation *v, const tn_expr_node *node, vector *a, vector *b,
                                 uint8_t *out) {
  if (a->class == TN_EXPR_NULL || b->class == TN_EXPR_NULL) {
    memset(out, UNKNOWN, (size_t)v->rows);
    return TN_OK;
  }
  bool real = a->f64 || b->f64;
  if (real && a->class == TN_EXPR_DECIMAL) TN_TRY(to_f64(v, a));
  if (real && b->class == TN_EXPR_DECIMAL) TN_TRY(to_f64(v, b));
  TN_TRY(days_to_seconds(v, a));
  TN_TRY(days_to_seconds(v, b));
  const uint8_t *null;
  TN_TRY(join_nulls(v, a->null, b->null, v->rows, &null));
  tn_expr_op op = node->op;
  bool whole = a->i64 && b->i64 && a->scale == b->scale;
  for (int64_t i = 0; i < v->rows; i++) {
    if (null && null[i]) continue;
    int order;
    if (whole)
      order = (a->i64[i] > b->i64[i]) - (a->i64[i] < b->i64[i]);
    else if (real)
      order = order_real(a, b, i);
    else
      order = a->text ? order_text(a->text[i], b->text[i]) : order_exact(a, b, i);
    out[i] = order == 2 ? (op == TN_EXPR_NE ? YES : NO) : tn_expr_holds(op, order) ? YES : NO;
  }
  return TN_OK;
}

/* ---- conditions ---- */
static void mark_unknown(const uint8_t *null, int64_t count, uint8_t *out) {
  for (int64_t i = 0; null && i < count; i++) out[i] = null[i] ? UNKNOWN : out[i];
}

static tn_status evaluate_compare(evaluation *v, const tn_expr_node *node, uint8_t *out) {
  vector a, b;
  TN_TRY(evaluate_value(v, node->left, &a));
  const tn_expr_node *right = node->right;
  if (right->kind == TN_EXPR_LITERAL && !right->is_null) {
    compare_constant(node->op, &a, &node->constant, out);
    mark_unknown(a.null, v->rows, out);
    return TN_OK;
  }
  TN_TRY(evaluate_value(v, right, &b));
  TN_TRY(compare_vectors(v, node, &a, &b, out));
  mark_unknown(a.null, v->rows, out);
  mark_unknown(b.null, v->rows, out);
  return TN_OK;
}

static void value_at(const vector *a, int64_t i, tn_expr_constant *out) {
  if (a->text)
    out->text = a->text[i];
  else if (a->decimal)
    out->decimal = a->decimal[i];
  else if (a->f64)
    out->f64 = a->f64[i];
  else if (a->u64)
    out->u64 = a->u64[i];
  else
    out->i64 = a->i64[i];
}

static bool is_in(const tn_expr_node *node, tn_expr_class class, const tn_expr_constant *value) {
  int64_t low = 0, high = node->item_count;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    int order = tn_expr_compare_constants(class, &node->items[middle], value);
    if (order == 0) return true;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

static tn_status evaluate_in(evaluation *v, const tn_expr_node *node, uint8_t *out) {
  vector a;
  TN_TRY(evaluate_value(v, node->left, &a));
  uint8_t yes = node->negated ? NO : YES, no = node->has_null_item ? UNKNOWN : 2 - yes;
  tn_expr_constant value = {.exact = true};
  for (int64_t i = 0; i < v->rows; i++) {
    out[i] = UNKNOWN;
    if (a.class == TN_EXPR_NULL || (a.null && a.null[i])) continue;
    value_at(&a, i, &value);
    bool nan = a.f64 && value.f64 != value.f64;
    out[i] = !nan && is_in(node, a.class, &value) ? yes : no;
  }
  return TN_OK;
}

static tn_status evaluate_is_null(evaluation *v, const tn_expr_node *node, uint8_t *out) {
  vector a;
  TN_TRY(evaluate_value(v, node->left, &a));
  uint8_t yes = node->negated ? NO : YES;
  for (int64_t i = 0; i < v->rows; i++) out[i] = a.null && a.null[i] ? yes : 2 - yes;
  return TN_OK;
}

static tn_status evaluate_match(evaluation *v, const tn_expr_node *node, uint8_t *out) {
  vector a;
  TN_TRY(evaluate_value(v, node->left, &a));
  for (int64_t i = 0; i < v->rows; i++) {
    out[i] = UNKNOWN;
    if (a.null && a.null[i]) continue;
    out[i] = tn_expr_matches(node->pattern, a.text[i]) != node->negated ? YES : NO;
  }
  return TN_OK;
}

static tn_status evaluate_column(evaluation *v, const tn_expr_node *node, uint8_t *out) {
  vector a;
  TN_TRY(load_column(v, node, &a));
  for (int64_t i = 0; a.i64 && i < v->rows; i++) out[i] = a.i64[i] ? YES : NO;
  mark_unknown(a.null, v->rows, out);
  return TN_OK;
}

static tn_status evaluate_logic(evaluation *v, const tn_expr_node *node, uint8_t *out) {
  uint8_t *left, *right;
  TN_TRY(evaluate_condition(v, node->left, &left));
  TN_TRY(evaluate_condition(v, node->right, &right));
  if (node->kind == TN_EXPR_AND)
    for (int64_t i = 0; i < v->rows; i++) out[i] = left[i] < right[i] ? left[i] : right[i];
  else
    for (int64_t i = 0; i < v->rows; i++) out[i] = left[i] > right[i] ? left[i] : right[i];
  return TN_OK;
}

static tn_status evaluate_condition(evaluation *v, const tn_expr_node *node, uint8_t **out) {
  tn_status status = TN_OK;
  uint8_t *bytes = scratch(v, v->rows, 1, &status), *inner;
  if (!bytes) return status;
  *out = bytes;
  switch (node->kind) {
    case TN_EXPR_LITERAL:
      memset(bytes, node->is_null ? UNKNOWN : 2 * node->boolean, (size_t)v->rows);
      return TN_OK;
    case TN_EXPR_COLUMN:
      return evaluate_column(v, node, bytes);
    case TN_EXPR_COMPARE:
      return evaluate_compare(v, node, bytes);
    case TN_EXPR_IN:
      return evaluate_in(v, node, bytes);
    case TN_EXPR_IS_NULL:
      return evaluate_is_null(v, node, bytes);
    case TN_EXPR_MATCH:
      return evaluate_match(v, node, bytes);
    case TN_EXPR_NOT:
      TN_TRY(evaluate_condition(v, node->left, &inner));
      for (int64_t i = 0; i < v->rows; i++) bytes[i] = 2 - inner[i];
      return TN_OK;
    default:
      return evaluate_logic(v, node, bytes);
  }
}

tn_status tn_expr_evaluate(tn_expr *e, const ArrowArray *batch, const uint8_t **out,
                           tn_error *err) {
  if (batch->n_children != e->batch_columns)
    return tn_fail(err, TN_ERR_ARGUMENT, "a batch of %lld columns, the predicate's table has %lld",
                   (long long)batch->n_children, (long long)e->batch_columns);
  void *results = e->results;
  TN_TRY(tn_grow(&results, &e->result_capacity, (size_t)batch->length + 1, 1, err));
  e->results = results;
  for (int64_t first = 0; first < batch->length; first += SLICE_ROWS) {
    int64_t left = batch->length - first;
    evaluation v = {.e = e,
                    .batch = batch,
                    .first = first,
                    .rows = left < SLICE_ROWS ? left : SLICE_ROWS,
                    .err = err};
    tn_arena_reset(&e->scratch);
    uint8_t *bytes;
    TN_TRY(evaluate_condition(&v, e->top, &bytes));
    memcpy(e->results + first, bytes, (size_t)v.rows);
  }
  *out = e->results;
  return TN_OK;
}

tn_status tn_expr_select(tn_expr *e, const ArrowArray *batch, const int64_t **rows, int64_t *count,
                         tn_error *err) {
  const uint8_t *bytes;
  TN_TRY(tn_expr_evaluate(e, batch, &bytes, err));
  void *selected = e->selected;
  TN_TRY(tn_grow(&selected, &e->selected_capacity, (size_t)batch->length + 1, sizeof *e->selected,
                 err));
  e->selected = selected;
  int64_t n = 0;
  for (int64_t i = 0; i < batch->length; i++) {
    e->selected[n] = i;
    n += bytes[i] == YES;
  }
  *rows = e->selected;
  *count = n;
  return TN_OK;
}

/* ---- like ---- */
static uint8_t folded(uint8_t c) {
  return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool same_bytes(const char *a, const char *b, size_t count, bool fold) {
  if (!fold) return count == 0 || memcmp(a, b, count) == 0;
  for (size_t i = 0; i < count; i++)
    if (folded((uint8_t)a[i]) != folded((uint8_t)b[i])) return false;
  return true;
}

static bool contains(tn_str text, tn_str part, bool fold) {
  if (part.length == 0) return true;
  if (!fold) return text.length > 0 && memmem(text.data, text.length, part.data, part.length);
  for (size_t i = 0; i + part.length <= text.length; i++)
    if (same_bytes(text.data + i, part.data, part.length, true)) return true;
  return false;
}

/* Greedy with one step back, to the last %: as much as any pattern of this kind needs. */
static bool matches_general(const tn_expr_pattern *m, tn_str text) {
  size_t at = 0, p = 0, star = SIZE_MAX, resume = 0;
  while (at < text.length) {
    if (p < m->general.length && m->special[p] && m->general.data[p] == '%') {
      star = ++p;
      resume = at;
    } else if (p < m->general.length && m->special[p]) { /* one character */
      int bytes = tn_utf8_length((const uint8_t *)text.data + at, text.length - at);
      at += bytes > 0 ? (size_t)bytes : 1;
      p++;
    } else if (p < m->general.length &&
               same_bytes(text.data + at, m->general.data + p, 1, m->fold)) {
      at++;
      p++;
    } else if (star != SIZE_MAX) {
      p = star;
      int bytes = tn_utf8_length((const uint8_t *)text.data + resume, text.length - resume);
      at = resume += bytes > 0 ? (size_t)bytes : 1;
    } else {
      return false;
    }
  }
  while (p < m->general.length && m->special[p] && m->general.data[p] == '%') p++;
  return p == m->general.length;
}

bool tn_expr_matches(const tn_expr_pattern *m, tn_str text) {
  size_t n = m->text.length;
  switch (m->form) {
    case TN_MATCH_EXACT:
      return text.length == n && same_bytes(text.data, m->text.data, n, m->fold);
    case TN_MATCH_PREFIX:
      return text.length >= n && same_bytes(text.data, m->text.data, n, m->fold);
    case TN_MATCH_SUFFIX:
      return text.length >= n && same_bytes(text.data + text.length - n, m->text.data, n, m->fold);
    case TN_MATCH_CONTAINS:
      return contains(text, m->text, m->fold);
    default:
      return matches_general(m, text);
  }
}
