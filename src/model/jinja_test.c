/* SPDX-License-Identifier: Apache-2.0 */
/* value is test(argument): one table, one function a test. */
#include "model/jinja_value.h"

typedef tn_jinja_value value;
typedef tn_jinja_run run_t;
typedef bool (*test_fn)(run_t *run, value v, value argument);

static bool t_defined(run_t *run, value v, value a) {
  return v.kind != TN_JINJA_UNDEFINED;
}
static bool t_undefined(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_UNDEFINED;
}
static bool t_none(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_NONE;
}
static bool t_string(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_STR;
}
static bool t_mapping(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_DICT;
}
static bool t_sequence(run_t *run, value v, value a) {
  return tn_jinja_is_sequence(v) || v.kind == TN_JINJA_STR || v.kind == TN_JINJA_DICT ||
         v.kind == TN_JINJA_UNDEFINED;
}
static bool t_boolean(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_BOOL;
}
static bool t_true(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_BOOL && v.boolean;
}
static bool t_false(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_BOOL && !v.boolean;
}
static bool t_number(run_t *run, value v, value a) {
  return tn_jinja_is_number(v);
}
static bool t_integer(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_INT;
}
static bool t_float(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_REAL;
}
static bool t_callable(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_CALLABLE;
}
static bool t_eq(run_t *run, value v, value a) {
  return tn_jinja_equal(run, v, a);
}
static bool t_ne(run_t *run, value v, value a) {
  return !tn_jinja_equal(run, v, a);
}
static bool t_lt(run_t *run, value v, value a) {
  return tn_jinja_order(run, v, a) < 0;
}
static bool t_le(run_t *run, value v, value a) {
  return tn_jinja_order(run, v, a) <= 0;
}
static bool t_gt(run_t *run, value v, value a) {
  return tn_jinja_order(run, v, a) > 0;
}
static bool t_ge(run_t *run, value v, value a) {
  return tn_jinja_order(run, v, a) >= 0;
}
static bool t_in(run_t *run, value v, value a) {
  return tn_jinja_contains(run, a, v);
}
static bool t_sameas(run_t *run, value v, value a) {
  if (v.kind != a.kind) return false;
  if (tn_jinja_is_sequence(v)) return v.list == a.list;
  if (v.kind == TN_JINJA_DICT || v.kind == TN_JINJA_SPACE) return v.dict == a.dict;
  return tn_jinja_equal(run, v, a);
}

static bool remainder_is(run_t *run, value v, value divisor, int64_t wanted) {
  value rest = tn_jinja_arithmetic(run, TN_STR("%"), v, divisor);
  return run->status == TN_OK && tn_jinja_is_number(rest) &&
         tn_jinja_number(rest) == (double)wanted;
}
static bool t_odd(run_t *run, value v, value a) {
  return remainder_is(run, v, tn_jinja_int(2), 1);
}
static bool t_even(run_t *run, value v, value a) {
  return remainder_is(run, v, tn_jinja_int(2), 0);
}
static bool t_divisibleby(run_t *run, value v, value a) {
  return remainder_is(run, v, a, 0);
}

/* Is every letter of this case, and is there one? */
static bool has_case(run_t *run, value v, const char *method) {
  static const tn_jinja_args nothing;
  value text = tn_jinja_str(tn_jinja_text(run, v));
  value made = tn_jinja_method(run, tn_jinja_method_find(text, tn_str_of(method)), text, &nothing);
  const char *other = strcmp(method, "upper") == 0 ? "lower" : "upper";
  value changed =
      tn_jinja_method(run, tn_jinja_method_find(text, tn_str_of(other)), text, &nothing);
  return run->status == TN_OK && tn_str_equal(made.text, text.text) &&
         !tn_str_equal(changed.text, text.text);
}
static bool t_lower(run_t *run, value v, value a) {
  return has_case(run, v, "lower");
}
static bool t_upper(run_t *run, value v, value a) {
  return has_case(run, v, "upper");
}

static bool t_filter(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_STR && tn_jinja_filter_find(v.text) >= 0;
}
static bool t_test(run_t *run, value v, value a) {
  return v.kind == TN_JINJA_STR && tn_jinja_test_find(v.text) >= 0;
}

static const struct {
  const char *name;
  test_fn holds;
  bool wants_argument;
} tests[] = {
    {"defined", t_defined, false},
    {"undefined", t_undefined, false},
    {"none", t_none, false},
    {"string", t_string, false},
    {"mapping", t_mapping, false},
    {"iterable", t_sequence, false},
    {"sequence", t_sequence, false},
    {"boolean", t_boolean, false},
    {"true", t_true, false},
    {"false", t_false, false},
    {"number", t_number, false},
    {"integer", t_integer, false},
    {"float", t_float, false},
    {"callable", t_callable, false},
    {"odd", t_odd, false},
    {"even", t_even, false},
    {"lower", t_lower, false},
    {"upper", t_upper, false},
    {"filter", t_filter, false},
    {"test", t_test, false},
    {"eq", t_eq, true},
    {"==", t_eq, true},
    {"equalto", t_eq, true},
    {"ne", t_ne, true},
    {"!=", t_ne, true},
    {"lt", t_lt, true},
    {"<", t_lt, true},
    {"lessthan", t_lt, true},
    {"le", t_le, true},
    {"<=", t_le, true},
    {"gt", t_gt, true},
    {">", t_gt, true},
    {"greaterthan", t_gt, true},
    {"ge", t_ge, true},
    {">=", t_ge, true},
    {"in", t_in, true},
    {"sameas", t_sameas, true},
    {"divisibleby", t_divisibleby, true},
};
enum { TESTS = sizeof tests / sizeof tests[0] };

int32_t tn_jinja_test_find(tn_str name) {
  for (int32_t i = 0; i < TESTS; i++)
    if (tn_str_is(name, tests[i].name)) return i;
  return -1;
}

bool tn_jinja_test(run_t *run, int32_t test, value v, const tn_jinja_args *args) {
  if (!tn_jinja_step(run, 1)) return false;
  if (tests[test].wants_argument && args->count < 1) {
    tn_jinja_fail(run, TN_ERR_DATA, "test '%s' wants an argument", tests[test].name);
    return false;
  }
  return tests[test].holds(run, v, args->count > 0 ? args->positional[0] : tn_jinja_none());
}
