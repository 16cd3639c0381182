/* SPDX-License-Identifier: Apache-2.0 */
/* Types of every node, literals made ready for the columns they meet, and folding. */
#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "columns/calendar.h"
#include "columns/csv_value.h"
#include "columns/expr_tree.h"

enum { TIME_TEXT_MAX = 64 };

/* ---- classes ---- */
static int32_t unit_digits(tn_time_unit unit) {
  static const int32_t digits[] = {0, 3, 6, 9};
  return digits[unit];
}

void tn_expr_classify(tn_expr_node *node, const tn_field *field) {
  while (field->dictionary || field->type.id == TN_TYPE_RUN_END)
    field = field->dictionary ? field->dictionary : &field->children[1];
  const tn_type *type = &field->type;
  node->class = TN_EXPR_OTHER;
  node->bits = type->bits;
  if (type->id == TN_TYPE_UINT64)
    node->class = TN_EXPR_U64;
  else if (tn_type_is_integer(type->id))
    node->class = TN_EXPR_I64;
  else if (tn_type_is_real(type->id))
    node->class = TN_EXPR_F64;
  else if (tn_type_is_bytes(type->id))
    node->class = TN_EXPR_TEXT;
  if (tn_type_is_decimal(type->id)) {
    node->class = TN_EXPR_DECIMAL;
    node->scale = type->scale;
  }
  switch (type->id) {
    case TN_TYPE_NULL:
      node->class = TN_EXPR_NULL;
      break;
    case TN_TYPE_BOOL:
      node->class = TN_EXPR_BOOL;
      break;
    case TN_TYPE_DATE32:
    case TN_TYPE_DATE64:
      node->class = TN_EXPR_DATE;
      node->scale = type->id == TN_TYPE_DATE64 ? 3 : 0;
      break;
    case TN_TYPE_TIME32:
    case TN_TYPE_TIME64:
      node->class = TN_EXPR_TIME;
      node->scale = unit_digits(type->unit);
      break;
    case TN_TYPE_TIMESTAMP:
      node->class = TN_EXPR_TIMESTAMP;
      node->scale = unit_digits(type->unit);
      node->zoned = type->timezone.length > 0;
      break;
    case TN_TYPE_DURATION:
      node->class = TN_EXPR_DURATION;
      node->scale = unit_digits(type->unit);
      break;
    default:
      break;
  }
}

static const char *class_name(tn_expr_class class) {
  switch (class) {
    case TN_EXPR_NULL:
      return "null";
    case TN_EXPR_BOOL:
      return "true or false";
    case TN_EXPR_I64:
    case TN_EXPR_U64:
      return "a whole number";
    case TN_EXPR_F64:
    case TN_EXPR_DECIMAL:
      return "a number";
    case TN_EXPR_TEXT:
      return "a text";
    case TN_EXPR_DATE:
      return "a date";
    case TN_EXPR_TIMESTAMP:
      return "a timestamp";
    case TN_EXPR_TIME:
      return "a time of day";
    case TN_EXPR_DURATION:
      return "a duration";
    case TN_EXPR_OTHER:
      break;
  }
  return "a nested value";
}

static bool is_number(tn_expr_class class) {
  return class >= TN_EXPR_I64 && class <= TN_EXPR_DECIMAL;
}
static bool is_literal(const tn_expr_node *node) {
  return node->kind == TN_EXPR_LITERAL;
}

/* ---- numbers ---- */
static void negate(tn_decimal_value *v) {
  uint64_t carry = 1;
  for (int i = 0; i < TN_DECIMAL_WORDS; i++) {
    v->words[i] = ~v->words[i] + carry;
    carry = carry && v->words[i] == 0;
  }
}

/* v / 10 of a number that is not negative, 32 bits at a time; returns the remainder. */
static uint32_t divide_by_10(tn_decimal_value *v) {
  uint64_t rest = 0;
  for (int i = TN_DECIMAL_WORDS - 1; i >= 0; i--) {
    uint64_t high = rest << 32 | v->words[i] >> 32;
    uint64_t low = (high % 10) << 32 | (v->words[i] & 0xFFFFFFFFu);
    v->words[i] = (high / 10) << 32 | low / 10;
    rest = low % 10;
  }
  return (uint32_t)rest;
}

/* The literal at another scale, rounded down. */
static void scale_down(const tn_expr_node *literal, int32_t scale, tn_expr_constant *out) {
  tn_decimal_value v = literal->decimal;
  bool negative = tn_decimal_negative(&v);
  if (tn_decimal_rescale(&v, literal->scale, scale, &out->decimal)) return;
  if (literal->scale <= scale) { /* more than 76 digits */
    out->outside = negative ? -1 : 1;
    return;
  }
  if (negative) negate(&v);
  bool lost = false;
  for (int32_t i = scale; i < literal->scale; i++) lost |= divide_by_10(&v) != 0;
  for (int i = 0; negative && lost && i < TN_DECIMAL_WORDS; i++) /* away from zero is down */
    if (++v.words[i] != 0) break;
  if (negative) negate(&v);
  out->exact = !lost;
  out->decimal = v;
}

static void number_constant(const tn_expr_node *literal, int32_t scale, tn_expr_constant *out) {
  if (literal->has_decimal) {
    scale_down(literal, scale, out);
  } else if (fabs(literal->number) >= 1) { /* beyond 76 digits */
    out->outside = literal->number < 0 ? -1 : 1;
  } else { /* tiny */
    out->exact = literal->number == 0;
    out->decimal = tn_decimal_of_i64(literal->number < 0 ? -1 : 0);
  }
}

static void fit_i64(tn_expr_constant *c) {
  if (!c->outside && !tn_decimal_store(&c->decimal, 64, &c->i64))
    c->outside = tn_decimal_negative(&c->decimal) ? -1 : 1;
}

static void fit_u64(tn_expr_constant *c) {
  if (c->outside) return;
  if (tn_decimal_negative(&c->decimal))
    c->outside = -1;
  else if (c->decimal.words[1] | c->decimal.words[2] | c->decimal.words[3])
    c->outside = 1;
  c->u64 = c->decimal.words[0];
}

/* ---- dates and times ---- */
static int64_t power_of_ten(int32_t digits) {
  int64_t power = 1;
  for (; digits > 0; digits--) power *= 10;
  return power;
}

/* In units of 1/per_second, rounded down; false: no such text. */
static bool time_floor(tn_str text, int64_t per_second, tn_expr_constant *out, bool *has_zone) {
  int64_t value;
  if (tn_csv_to_time(text, per_second, &out->i64, has_zone)) return true;
  for (int64_t finer = 1000000000; finer > per_second; finer /= 1000) {
    if (!tn_csv_to_time(text, finer, &value, has_zone)) continue;
    out->i64 = tn_floor_div(value, finer / per_second);
    out->exact = out->i64 * (finer / per_second) == value;
    return true;
  }
  for (int64_t coarser = per_second / 1000; coarser >= 1; coarser /= 1000) {
    if (!tn_csv_to_time(text, coarser, &value, has_zone)) continue;
    out->outside = value < 0 ? -1 : 1; /* the unit cannot reach so far */
    return true;
  }
  return false;
}

static tn_status time_constant(const tn_expr *e, const tn_expr_node *column,
                               const tn_expr_node *literal, tn_expr_constant *out, tn_error *err) {
  char padded[TIME_TEXT_MAX + 32] = "1970-01-01T"; /* the parsers look 16 bytes beyond the end */
  size_t prefix = column->class == TN_EXPR_TIME ? 11 : 0;
  bool has_zone = false, known = literal->text.length <= TIME_TEXT_MAX;
  tn_str text = {padded, prefix + literal->text.length};
  memset(padded + prefix, 0, sizeof padded - prefix);
  if (known) memcpy(padded + prefix, literal->text.data, literal->text.length);
  bool days = column->class == TN_EXPR_DATE && column->scale == 0;
  if (!known) {
  } else if (days && tn_csv_to_date(text, &out->i64)) {
    return TN_OK;
  } else {
    known = time_floor(text, days ? 1 : power_of_ten(column->scale), out, &has_zone);
  }
  if (!known || (prefix && has_zone))
    return tn_expr_fail(e, literal->at, err, "'%.*s' is not %s; write %s",
                        (int)(literal->text.length < 40 ? literal->text.length : 40),
                        literal->text.data, class_name(column->class),
                        prefix ? "'10:30:00'" : "'2024-01-31' or '2024-01-31T10:30:00'");
  if (has_zone && !column->zoned)
    return tn_expr_fail(e, literal->at, err, "the literal has a time zone, the column has none");
  if (days) { /* seconds to days */
    int64_t day = tn_floor_div(out->i64, 86400);
    out->exact &= day * 86400 == out->i64;
    out->i64 = day;
  }
  return TN_OK;
}

/* ---- literals in the type of what they meet ---- */
static tn_status wrong_literal(const tn_expr *e, const tn_expr_node *left,
                               const tn_expr_node *literal, tn_error *err) {
  const char *hint = "";
  if (is_number(left->class) && literal->class == TN_EXPR_TEXT)
    hint = "; numbers go without quotes";
  if (left->class == TN_EXPR_TEXT && literal->class == TN_EXPR_DECIMAL)
    hint = "; texts go in quotes";
  return tn_expr_fail(e, literal->at, err, "%s cannot be compared with %s%s",
                      class_name(left->class), class_name(literal->class), hint);
}

static tn_status make_constant(const tn_expr *e, const tn_expr_node *left,
                               const tn_expr_node *literal, tn_expr_constant *out, tn_error *err) {
  *out = (tn_expr_constant){.exact = true};
  bool number = literal->class == TN_EXPR_DECIMAL, text = literal->class == TN_EXPR_TEXT;
  switch (left->class) {
    case TN_EXPR_NULL:
      return TN_OK;
    case TN_EXPR_BOOL:
      out->i64 = literal->boolean;
      return literal->class == TN_EXPR_BOOL ? TN_OK : wrong_literal(e, left, literal, err);
    case TN_EXPR_I64:
    case TN_EXPR_DURATION:
      if (!number) return wrong_literal(e, left, literal, err);
      number_constant(literal, 0, out);
      fit_i64(out);
      return TN_OK;
    case TN_EXPR_U64:
      if (!number) return wrong_literal(e, left, literal, err);
      number_constant(literal, 0, out);
      fit_u64(out);
      return TN_OK;
    case TN_EXPR_F64:
      out->f64 = left->bits < 64 && left->kind == TN_EXPR_COLUMN ? (double)(float)literal->number
                                                                 : literal->number;
      return number ? TN_OK : wrong_literal(e, left, literal, err);
    case TN_EXPR_DECIMAL:
      if (!number) return wrong_literal(e, left, literal, err);
      number_constant(literal, left->scale, out);
      return TN_OK;
    case TN_EXPR_TEXT:
      out->text = literal->text;
      return text ? TN_OK : wrong_literal(e, left, literal, err);
    case TN_EXPR_DATE:
    case TN_EXPR_TIMESTAMP:
    case TN_EXPR_TIME:
      return text ? time_constant(e, left, literal, out, err)
                  : wrong_literal(e, left, literal, err);
    case TN_EXPR_OTHER:
      break;
  }
  return tn_expr_fail(e, left->at, err, "%s can only be tested with is null",
                      class_name(left->class));
}

int tn_expr_compare_constants(tn_expr_class class, const tn_expr_constant *a,
                              const tn_expr_constant *b) {
  switch (class) {
    case TN_EXPR_U64:
      return (a->u64 > b->u64) - (a->u64 < b->u64);
    case TN_EXPR_F64:
      return (a->f64 > b->f64) - (a->f64 < b->f64);
    case TN_EXPR_DECIMAL:
      return tn_decimal_compare(&a->decimal, &b->decimal);
    case TN_EXPR_TEXT: {
      size_t n = a->text.length < b->text.length ? a->text.length : b->text.length;
      int order = n ? memcmp(a->text.data, b->text.data, n) : 0;
      if (order) return order < 0 ? -1 : 1;
      return (a->text.length > b->text.length) - (a->text.length < b->text.length);
    }
    default:
      return (a->i64 > b->i64) - (a->i64 < b->i64);
  }
}

/* ---- folding ---- */
void tn_expr_become_bool(tn_expr_node *node, bool is_null, bool value) {
  node->kind = TN_EXPR_LITERAL;
  node->class = TN_EXPR_BOOL;
  node->is_null = is_null;
  node->boolean = value;
  node->left = node->right = NULL;
}

bool tn_expr_holds(tn_expr_op op, int order) {
  switch (op) {
    case TN_EXPR_EQ:
      return order == 0;
    case TN_EXPR_NE:
      return order != 0;
    case TN_EXPR_LT:
      return order < 0;
    case TN_EXPR_LE:
      return order <= 0;
    case TN_EXPR_GT:
      return order > 0;
    default:
      return order >= 0;
  }
}

static tn_expr_op swapped(tn_expr_op op) {
  switch (op) {
    case TN_EXPR_LT:
      return TN_EXPR_GT;
    case TN_EXPR_LE:
      return TN_EXPR_GE;
    case TN_EXPR_GT:
      return TN_EXPR_LT;
    case TN_EXPR_GE:
      return TN_EXPR_LE;
    default:
      return op;
  }
}

static tn_status fold_compare(const tn_expr *e, tn_expr_node *node, tn_error *err) {
  const tn_expr_node *a = node->left, *b = node->right;
  if (a->class != b->class) return wrong_literal(e, a, b, err);
  int order;
  if (a->class == TN_EXPR_BOOL) {
    order = (int)a->boolean - (int)b->boolean;
  } else if (a->class == TN_EXPR_TEXT) {
    tn_expr_constant x = {.text = a->text}, y = {.text = b->text};
    order = tn_expr_compare_constants(TN_EXPR_TEXT, &x, &y);
  } else {
    tn_decimal_value x, y;
    int32_t scale = a->scale > b->scale ? a->scale : b->scale;
    if (a->has_decimal && b->has_decimal && tn_decimal_rescale(&a->decimal, a->scale, scale, &x) &&
        tn_decimal_rescale(&b->decimal, b->scale, scale, &y))
      order = tn_decimal_compare(&x, &y);
    else
      order = (a->number > b->number) - (a->number < b->number);
  }
  tn_expr_become_bool(node, false, tn_expr_holds(node->op, order));
  return TN_OK;
}

static bool as_i64(const tn_expr_node *literal, int64_t *out) {
  return literal->has_decimal && literal->scale == 0 &&
         tn_decimal_store(&literal->decimal, 64, out);
}

/* a op b of two numbers; whole ones stay whole as long as they fit. */
static void fold_arithmetic(tn_expr_node *node) {
  const tn_expr_node *a = node->left, *b = node->right;
  int64_t x, y, whole = 0;
  double real = 0;
  char text[TN_F64_TEXT_BYTES];
  bool is_whole = node->op != TN_EXPR_DIV && as_i64(a, &x) && as_i64(b, &y);
  bool by_zero = b->number == 0 && (node->op == TN_EXPR_DIV || node->op == TN_EXPR_MOD);
  if (is_whole && !by_zero) switch (node->op) {
      case TN_EXPR_ADD:
        is_whole = !__builtin_add_overflow(x, y, &whole);
        break;
      case TN_EXPR_SUB:
        is_whole = !__builtin_sub_overflow(x, y, &whole);
        break;
      case TN_EXPR_MUL:
        is_whole = !__builtin_mul_overflow(x, y, &whole);
        break;
      default:
        whole = y == -1 ? 0 : x % y;
        break;
    }
  switch (node->op) {
    case TN_EXPR_ADD:
      real = a->number + b->number;
      break;
    case TN_EXPR_SUB:
      real = a->number - b->number;
      break;
    case TN_EXPR_MUL:
      real = a->number * b->number;
      break;
    case TN_EXPR_DIV:
      real = a->number / b->number;
      break;
    default:
      real = fmod(a->number, b->number);
      break;
  }
  node->kind = TN_EXPR_LITERAL;
  node->class = by_zero || !isfinite(real) ? TN_EXPR_NULL : TN_EXPR_DECIMAL;
  node->is_null = node->class == TN_EXPR_NULL;
  node->left = node->right = NULL;
  if (node->is_null) return;
  if (is_whole) {
    node->decimal = tn_decimal_of_i64(whole);
    node->has_decimal = true;
    node->scale = 0;
    node->number = (double)whole;
    return;
  }
  int length = tn_f64_to_text(real, text);
  tn_expr_set_number(node, (tn_str){text, (size_t)length});
}

/* ---- nodes ---- */
static tn_status check_arithmetic(const tn_expr *e, tn_expr_node *node, tn_error *err) {
  const tn_expr_node *sides[] = {node->left, node->right};
  for (int i = 0; i < 2; i++)
    if (!is_number(sides[i]->class) && sides[i]->class != TN_EXPR_NULL)
      return tn_expr_fail(e, sides[i]->at, err, "arithmetic is for numbers, not for %s",
                          class_name(sides[i]->class));
  for (int i = 0; i < 2; i++) {
    if (sides[i]->class != TN_EXPR_NULL) continue;
    *node = (tn_expr_node){
        .kind = TN_EXPR_LITERAL, .class = TN_EXPR_NULL, .is_null = true, .at = node->at};
    return TN_OK;
  }
  if (is_literal(node->left) && is_literal(node->right)) {
    fold_arithmetic(node);
    return TN_OK;
  }
  bool whole = node->op != TN_EXPR_DIV;
  int64_t value;
  for (int i = 0; i < 2; i++)
    whole &= is_literal(sides[i])
                 ? as_i64(sides[i], &value)
                 : sides[i]->class == TN_EXPR_I64 || sides[i]->class == TN_EXPR_U64;
  node->class = whole ? TN_EXPR_I64 : TN_EXPR_F64;
  node->bits = 64;
  return TN_OK;
}

static bool is_day_or_instant(tn_expr_class class) {
  return class == TN_EXPR_DATE || class == TN_EXPR_TIMESTAMP;
}

static bool go_together(const tn_expr_node *a, const tn_expr_node *b) {
  if (a->class == TN_EXPR_NULL || b->class == TN_EXPR_NULL) return true;
  if (is_number(a->class) && is_number(b->class)) return true;
  if (is_day_or_instant(a->class) && is_day_or_instant(b->class)) return a->zoned == b->zoned;
  return a->class == b->class && a->class != TN_EXPR_OTHER;
}

static tn_status check_compare(tn_expr *e, tn_expr_node *node, tn_error *err) {
  if (is_literal(node->left) && !is_literal(node->right)) {
    tn_expr_node *left = node->left;
    node->left = node->right;
    node->right = left;
    node->op = swapped(node->op);
  }
  const tn_expr_node *a = node->left, *b = node->right;
  node->class = TN_EXPR_BOOL;
  const tn_expr_node *null = is_literal(b) && b->is_null   ? b
                             : is_literal(a) && a->is_null ? a
                                                           : NULL;
  if (null)
    return tn_expr_fail(e, null->at, err, "nothing is equal to null; write is null or is not null");
  if (is_literal(a)) return fold_compare(e, node, err);
  if (is_literal(b)) return make_constant(e, a, b, &node->constant, err);
  if (go_together(a, b)) return TN_OK;
  return tn_expr_fail(e, b->at, err, "%s cannot be compared with %s%s", class_name(a->class),
                      class_name(b->class),
                      is_day_or_instant(a->class) && is_day_or_instant(b->class)
                          ? ": one has a time zone, the other none"
                          : "");
}

static int order_i64(const void *a, const void *b) {
  return tn_expr_compare_constants(TN_EXPR_I64, a, b);
}
static int order_u64(const void *a, const void *b) {
  return tn_expr_compare_constants(TN_EXPR_U64, a, b);
}
static int order_f64(const void *a, const void *b) {
  return tn_expr_compare_constants(TN_EXPR_F64, a, b);
}
static int order_decimal(const void *a, const void *b) {
  return tn_expr_compare_constants(TN_EXPR_DECIMAL, a, b);
}
static int order_text(const void *a, const void *b) {
  return tn_expr_compare_constants(TN_EXPR_TEXT, a, b);
}

static void sort_items(tn_expr_node *node) {
  tn_expr_class class = node->left->class;
  qsort(node->items, (size_t)node->item_count, sizeof *node->items,
        class == TN_EXPR_U64       ? order_u64
        : class == TN_EXPR_F64     ? order_f64
        : class == TN_EXPR_DECIMAL ? order_decimal
        : class == TN_EXPR_TEXT    ? order_text
                                   : order_i64);
}

static tn_status check_in(tn_expr *e, tn_expr_node *node, tn_error *err) {
  node->class = TN_EXPR_BOOL;
  if (is_literal(node->left))
    return tn_expr_fail(e, node->left->at, err, "'in' wants a column on its left");
  size_t count = (size_t)node->item_count;
  node->items = tn_arena_alloc(&e->arena, count, sizeof *node->items);
  if (!node->items) return tn_fail_memory(err, "a list", count * sizeof *node->items);
  node->item_count = 0;
  for (tn_expr_node *item = node->right; item; item = item->right) {
    tn_expr_constant *c = &node->items[node->item_count];
    if (item->is_null) {
      node->has_null_item = true;
      continue;
    }
    TN_TRY(make_constant(e, node->left, item, c, err));
    node->item_count += c->exact && !c->outside; /* no value is equal to any other */
  }
  node->right = NULL;
  sort_items(node);
  return TN_OK;
}

static tn_status check_match(const tn_expr *e, tn_expr_node *node, tn_error *err) {
  node->class = TN_EXPR_BOOL;
  if (node->left->class == TN_EXPR_NULL) {
    tn_expr_become_bool(node, true, false);
    return TN_OK;
  }
  if (node->left->class != TN_EXPR_TEXT)
    return tn_expr_fail(e, node->left->at, err, "like is for texts, not for %s",
                        class_name(node->left->class));
  if (is_literal(node->left))
    tn_expr_become_bool(node, false,
                        tn_expr_matches(node->pattern, node->left->text) != node->negated);
  return TN_OK;
}

static tn_status check_is_null(tn_expr_node *node) {
  node->class = TN_EXPR_BOOL;
  if (is_literal(node->left))
    tn_expr_become_bool(node, false, node->left->is_null != node->negated);
  return TN_OK;
}

/* 2 true, 1 unknown, 0 false; -1: not decided */
static int decided(const tn_expr_node *node) {
  if (!is_literal(node)) return -1;
  return node->is_null ? 1 : 2 * node->boolean;
}

static tn_status want_bool(const tn_expr *e, tn_expr_node *node, tn_error *err) {
  if (node->class == TN_EXPR_NULL && (is_literal(node) || node->kind == TN_EXPR_COLUMN)) {
    tn_expr_become_bool(node, true, false);
    return TN_OK;
  }
  if (node->class == TN_EXPR_BOOL) return TN_OK;
  return tn_expr_fail(e, node->at, err, "expected a condition, found %s; compare it with something",
                      class_name(node->class));
}

/* and: the smaller of the two decides when it is false; or: the larger when it is true. */
static tn_status check_logic(const tn_expr *e, tn_expr_node *node, tn_error *err) {
  TN_TRY(want_bool(e, node->left, err));
  TN_TRY(want_bool(e, node->right, err));
  node->class = TN_EXPR_BOOL;
  bool and = node->kind == TN_EXPR_AND;
  int a = decided(node->left), b = decided(node->right), winner = and? 0 : 2, neutral = 2 - winner;
  if (a == winner || b == winner)
    tn_expr_become_bool(node, false, !and);
  else if (a >= 0 && b >= 0)
    tn_expr_become_bool(node, a == 1 || b == 1, and);
  else if (a == neutral || b == neutral) {
    tn_expr_node kept = a == neutral ? *node->right : *node->left;
    *node = kept;
  }
  return TN_OK;
}

static tn_status check_not(const tn_expr *e, tn_expr_node *node, tn_error *err) {
  TN_TRY(want_bool(e, node->left, err));
  node->class = TN_EXPR_BOOL;
  int value = decided(node->left);
  if (value >= 0) tn_expr_become_bool(node, value == 1, value == 0);
  return TN_OK;
}

tn_status tn_expr_check_again(tn_expr *e, tn_expr_node *node, tn_error *err) {
  switch (node->kind) {
    case TN_EXPR_ARITHMETIC:
      return check_arithmetic(e, node, err);
    case TN_EXPR_COMPARE:
      return check_compare(e, node, err);
    case TN_EXPR_IN:
      return check_in(e, node, err);
    case TN_EXPR_IS_NULL:
      return check_is_null(node);
    case TN_EXPR_MATCH:
      return check_match(e, node, err);
    case TN_EXPR_NOT:
      return check_not(e, node, err);
    default:
      return check_logic(e, node, err);
  }
}

static tn_status check_node(tn_expr *e, tn_expr_node *node, tn_error *err) {
  if (node->kind == TN_EXPR_LITERAL || node->kind == TN_EXPR_COLUMN) return TN_OK;
  TN_TRY(check_node(e, node->left, err));
  if (node->right && node->kind != TN_EXPR_IN) TN_TRY(check_node(e, node->right, err));
  return tn_expr_check_again(e, node, err);
}

tn_status tn_expr_check(tn_expr *e, tn_error *err) {
  TN_TRY(check_node(e, e->top, err));
  return want_bool(e, e->top, err);
}
