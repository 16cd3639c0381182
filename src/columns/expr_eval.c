/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation: a column becomes a plain vector of its class, each node a loop over vectors.
 * Conditions are bytes: 0 false, 1 unknown, 2 true, so that and is the smaller, or the larger, not
 * 2 - x. */
#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "columns/expr_vector.h"

enum { NO = 0, UNKNOWN = 1, YES = 2, SLICE_ROWS = 8192 };

/* ---- numbers ---- */
static double decimal_to_f64(const tn_decimal_value *value, int32_t scale) {
  tn_strbuf text = {0};
  double real = 0;
  tn_decimal_text(value, scale, &text);
  if (!text.failed) tn_str_to_f64(tn_strbuf_view(&text), &real);
  tn_strbuf_clear(&text);
  return real;
}

static tn_status to_f64(tn_expr_evaluation *v, tn_expr_vector *x) {
  if (x->class == TN_EXPR_F64) return TN_OK;
  tn_status status = TN_OK;
  double *to = tn_expr_scratch(v, x->count, sizeof *to, &status);
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

static tn_status to_i64(tn_expr_evaluation *v, const tn_expr_node *node, tn_expr_vector *x) {
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

static tn_status evaluate_value(tn_expr_evaluation *v, const tn_expr_node *node,
                                tn_expr_vector *out);
static tn_status evaluate_condition(tn_expr_evaluation *v, const tn_expr_node *node, uint8_t **out);

static tn_status whole_arithmetic(tn_expr_evaluation *v, const tn_expr_node *node,
                                  const tn_expr_vector *a, const tn_expr_vector *b, int64_t *to,
                                  uint8_t *null) {
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

static void real_arithmetic(const tn_expr_node *node, const tn_expr_vector *a,
                            const tn_expr_vector *b, int64_t rows, double *to, uint8_t *null) {
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

static tn_status evaluate_arithmetic(tn_expr_evaluation *v, const tn_expr_node *node,
                                     tn_expr_vector *out) {
  tn_expr_vector a, b;
  tn_status status = TN_OK;
  const uint8_t *nulls;
  TN_TRY(evaluate_value(v, node->left, &a));
  TN_TRY(evaluate_value(v, node->right, &b));
  TN_TRY(tn_expr_join_nulls(v, a.null, b.null, v->rows, &nulls));
  uint8_t *null = tn_expr_scratch(v, v->rows, 1, &status);
  void *to = tn_expr_scratch(v, v->rows, 8, &status);
  if (status != TN_OK) return status;
  if (nulls) memcpy(null, nulls, (size_t)v->rows);
  *out = (tn_expr_vector){.class = node->class, .count = v->rows, .null = null};
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
static tn_status literal_vector(tn_expr_evaluation *v, const tn_expr_node *node,
                                tn_expr_vector *out) {
  tn_status status = TN_OK;
  int64_t whole;
  bool is_whole =
      node->has_decimal && node->scale == 0 && tn_decimal_store(&node->decimal, 64, &whole);
  *out = (tn_expr_vector){.class = is_whole ? TN_EXPR_I64 : TN_EXPR_F64, .count = v->rows};
  if (is_whole) {
    int64_t *to = tn_expr_scratch(v, v->rows, sizeof *to, &status);
    for (int64_t i = 0; to && i < v->rows; i++) to[i] = whole;
    out->i64 = to;
    return status;
  }
  double *to = tn_expr_scratch(v, v->rows, sizeof *to, &status);
  for (int64_t i = 0; to && i < v->rows; i++) to[i] = node->number;
  out->f64 = to;
  return status;
}

static tn_status condition_vector(tn_expr_evaluation *v, const tn_expr_node *node,
                                  tn_expr_vector *out) {
  uint8_t *bytes;
  tn_status status = TN_OK;
  TN_TRY(evaluate_condition(v, node, &bytes));
  int64_t *to = tn_expr_scratch(v, v->rows, sizeof *to, &status);
  uint8_t *null = tn_expr_scratch(v, v->rows, 1, &status);
  if (status != TN_OK) return status;
  for (int64_t i = 0; i < v->rows; i++) to[i] = bytes[i] == YES;
  for (int64_t i = 0; i < v->rows; i++) null[i] = bytes[i] == UNKNOWN;
  *out = (tn_expr_vector){.class = TN_EXPR_BOOL, .count = v->rows, .i64 = to, .null = null};
  return TN_OK;
}

static tn_status evaluate_value(tn_expr_evaluation *v, const tn_expr_node *node,
                                tn_expr_vector *out) {
  if (node->kind == TN_EXPR_COLUMN) return tn_expr_load_column(v, node, out);
  if (node->kind == TN_EXPR_ARITHMETIC) return evaluate_arithmetic(v, node, out);
  if (node->kind == TN_EXPR_LITERAL && node->class == TN_EXPR_DECIMAL)
    return literal_vector(v, node, out);
  if (node->kind == TN_EXPR_LITERAL && node->class == TN_EXPR_NULL) {
    tn_status status = TN_OK;
    uint8_t *null = tn_expr_scratch(v, v->rows, 1, &status);
    if (null) memset(null, 1, (size_t)v->rows);
    *out = (tn_expr_vector){.class = TN_EXPR_NULL, .count = v->rows, .null = null};
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

static void compare_text(tn_expr_op op, const tn_expr_vector *a, tn_str to, uint8_t *out) {
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

static void compare_constant(tn_expr_op op, const tn_expr_vector *a, const tn_expr_constant *c,
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
static int order_real(const tn_expr_vector *a, const tn_expr_vector *b, int64_t i) {
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
static int order_exact(const tn_expr_vector *a, const tn_expr_vector *b, int64_t i) {
  int32_t scale = a->scale > b->scale ? a->scale : b->scale;
  const tn_expr_vector *sides[] = {a, b};
  tn_decimal_value values[2];
  for (int k = 0; k < 2; k++) {
    const tn_expr_vector *s = sides[k];
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
static tn_status days_to_seconds(tn_expr_evaluation *v, tn_expr_vector *x) {
  if (x->class != TN_EXPR_DATE || x->scale != 0) return TN_OK;
  tn_status status = TN_OK;
  int64_t *to = tn_expr_scratch(v, x->count, sizeof *to, &status);
  for (int64_t i = 0; to && i < x->count; i++) to[i] = x->i64[i] * 86400;
  x->i64 = to;
  return status;
}

static tn_status compare_vectors(tn_expr_evaluation *v, const tn_expr_node *node, tn_expr_vector *a,
                                 tn_expr_vector *b, uint8_t *out) {
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
  TN_TRY(tn_expr_join_nulls(v, a->null, b->null, v->rows, &null));
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

static tn_status evaluate_compare(tn_expr_evaluation *v, const tn_expr_node *node, uint8_t *out) {
  tn_expr_vector a, b;
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

static void value_at(const tn_expr_vector *a, int64_t i, tn_expr_constant *out) {
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

static tn_status evaluate_in(tn_expr_evaluation *v, const tn_expr_node *node, uint8_t *out) {
  tn_expr_vector a;
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

static tn_status evaluate_is_null(tn_expr_evaluation *v, const tn_expr_node *node, uint8_t *out) {
  tn_expr_vector a;
  TN_TRY(evaluate_value(v, node->left, &a));
  uint8_t yes = node->negated ? NO : YES;
  for (int64_t i = 0; i < v->rows; i++) out[i] = a.null && a.null[i] ? yes : 2 - yes;
  return TN_OK;
}

static tn_status evaluate_match(tn_expr_evaluation *v, const tn_expr_node *node, uint8_t *out) {
  tn_expr_vector a;
  TN_TRY(evaluate_value(v, node->left, &a));
  for (int64_t i = 0; i < v->rows; i++) {
    out[i] = UNKNOWN;
    if (a.null && a.null[i]) continue;
    out[i] = tn_expr_matches(node->pattern, a.text[i]) != node->negated ? YES : NO;
  }
  return TN_OK;
}

static tn_status evaluate_column(tn_expr_evaluation *v, const tn_expr_node *node, uint8_t *out) {
  tn_expr_vector a;
  TN_TRY(tn_expr_load_column(v, node, &a));
  for (int64_t i = 0; a.i64 && i < v->rows; i++) out[i] = a.i64[i] ? YES : NO;
  mark_unknown(a.null, v->rows, out);
  return TN_OK;
}

static tn_status evaluate_logic(tn_expr_evaluation *v, const tn_expr_node *node, uint8_t *out) {
  uint8_t *left, *right;
  TN_TRY(evaluate_condition(v, node->left, &left));
  TN_TRY(evaluate_condition(v, node->right, &right));
  if (node->kind == TN_EXPR_AND)
    for (int64_t i = 0; i < v->rows; i++) out[i] = left[i] < right[i] ? left[i] : right[i];
  else
    for (int64_t i = 0; i < v->rows; i++) out[i] = left[i] > right[i] ? left[i] : right[i];
  return TN_OK;
}

static tn_status evaluate_condition(tn_expr_evaluation *v, const tn_expr_node *node,
                                    uint8_t **out) {
  tn_status status = TN_OK;
  uint8_t *bytes = tn_expr_scratch(v, v->rows, 1, &status), *inner;
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
    tn_expr_evaluation v = {.e = e,
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
