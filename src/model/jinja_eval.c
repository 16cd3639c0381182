/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a compiled template: expressions give values, statements print into run->out. Loops
 * and macros open scopes; a set inside a loop is gone when the turn ends, as in Jinja2. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "model/jinja_value.h"

typedef tn_jinja_node node;
typedef tn_jinja_value value;
typedef tn_jinja_run run_t;

enum { STEPS_MAX = 5000000, OUTPUT_BYTES_MAX = 16 << 20, MEMORY_BYTES_MAX = 64 << 20 };

static value eval(run_t *run, const node *n);
static void exec_list(run_t *run, const node *n);

/* ---- scopes ---- */
static void scope_open(run_t *run, tn_jinja_scope *scope, tn_jinja_scope *above) {
  *scope = (tn_jinja_scope){.above = above};
  run->scope = scope;
}

static value *lookup(run_t *run, tn_str name) {
  for (tn_jinja_scope *s = run->scope; s; s = s->above) {
    value *found = tn_jinja_find_str(run, &s->names, name);
    if (found) return found;
  }
  return NULL;
}

static void define(run_t *run, tn_str name, value v) {
  tn_jinja_put(run, &run->scope->names, tn_jinja_str(name), v);
}

static bool enter(run_t *run) {
  if (run->depth < TN_JINJA_DEPTH_MAX) {
    run->depth++;
    return true;
  }
  tn_jinja_fail(run, TN_ERR_LIMIT, "nested deeper than %d", TN_JINJA_DEPTH_MAX);
  return false;
}

/* ---- output ---- */
static void emit(run_t *run, tn_str text) {
  if (run->status != TN_OK || text.length == 0) return;
  run->output_left -= (int64_t)text.length;
  if (run->output_left < 0) {
    tn_jinja_fail(run, TN_ERR_LIMIT, "the template prints more than allowed");
    return;
  }
  tn_strbuf_add_str(run->out, text);
}

/* What the statements print, as a string. */
static value capture(run_t *run, const node *list) {
  tn_strbuf text = {0}, *before = run->out;
  run->out = &text;
  exec_list(run, list);
  run->out = before;
  run->output_left += (int64_t)text.length;
  return tn_jinja_take(run, &text);
}

/* ---- lookups ---- */
static value callable(run_t *run, int kind, tn_str name, value self, int32_t function) {
  tn_jinja_callable *c = tn_jinja_alloc(run, 1, sizeof *c);
  if (!c) return tn_jinja_undefined("");
  c->kind = kind;
  c->name = name;
  c->self = self;
  c->function = function;
  return (value){.kind = TN_JINJA_CALLABLE, .callable = c};
}

static value missing(run_t *run, value object, tn_str name) {
  if (object.kind == TN_JINJA_UNDEFINED)
    return tn_jinja_fail(run, TN_ERR_DATA, "'%.*s' is undefined", TN_STR_ARG(object.text));
  return (value){.kind = TN_JINJA_UNDEFINED, .text = name};
}

static value *member(run_t *run, value object, tn_str name) {
  bool holds = object.kind == TN_JINJA_DICT || object.kind == TN_JINJA_SPACE;
  return holds ? tn_jinja_find_str(run, object.dict, name) : NULL;
}

value tn_jinja_attribute(run_t *run, value object, tn_str name) {
  int32_t method = tn_jinja_method_find(object, name);
  if (method >= 0) return callable(run, TN_JINJA_METHOD, name, object, method);
  value *found = member(run, object, name);
  return found ? *found : missing(run, object, name);
}

static value item_at(run_t *run, value object, int64_t index) {
  int64_t length = tn_jinja_length(run, object);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return tn_jinja_undefined("index out of range");
  if (object.kind != TN_JINJA_STR) return object.list->items[index];
  size_t at = tn_jinja_char_at(object.text, index);
  int bytes = tn_utf8_length((const uint8_t *)object.text.data + at, object.text.length - at);
  return tn_jinja_str((tn_str){object.text.data + at, bytes > 0 ? (size_t)bytes : 1});
}

value tn_jinja_item(run_t *run, value object, value key) {
  bool ordered = object.kind == TN_JINJA_STR || tn_jinja_is_sequence(object);
  if (ordered && (key.kind == TN_JINJA_INT || key.kind == TN_JINJA_BOOL))
    return item_at(run, object, tn_jinja_integer(key));
  if (object.kind == TN_JINJA_DICT || object.kind == TN_JINJA_SPACE) {
    value *found = tn_jinja_find(run, object.dict, key);
    if (found) return *found;
  }
  tn_str name = key.kind == TN_JINJA_STR ? key.text : tn_jinja_text(run, key);
  int32_t method = key.kind == TN_JINJA_STR ? tn_jinja_method_find(object, name) : -1;
  if (method >= 0) return callable(run, TN_JINJA_METHOD, name, object, method);
  return missing(run, object, name);
}

/* ---- slices ---- */
static bool slice_part(run_t *run, const node *n, int64_t otherwise, int64_t *out) {
  *out = otherwise;
  if (!n) return true;
  value v = eval(run, n);
  if (v.kind == TN_JINJA_NONE) return true;
  if (v.kind != TN_JINJA_INT && v.kind != TN_JINJA_BOOL) {
    tn_jinja_fail(run, TN_ERR_DATA, "a slice wants integers, found '%s'", tn_jinja_kind_name(v));
    return false;
  }
  *out = tn_jinja_integer(v);
  return true;
}

static int64_t clamp(int64_t i, int64_t low, int64_t high) {
  return i < low ? low : i > high ? high : i;
}

static value slice(run_t *run, value object, const node *n) {
  int64_t length = tn_jinja_length(run, object), step, from, to;
  if (object.kind != TN_JINJA_STR && !tn_jinja_is_sequence(object))
    return tn_jinja_fail(run, TN_ERR_DATA, "'%s' cannot be sliced", tn_jinja_kind_name(object));
  if (!slice_part(run, n->c, 1, &step)) return tn_jinja_none();
  if (step == 0) return tn_jinja_fail(run, TN_ERR_DATA, "a slice with step zero");
  bool down = step < 0;
  if (!slice_part(run, n->a, down ? INT64_MAX : 0, &from) ||
      !slice_part(run, n->b, down ? INT64_MIN : INT64_MAX, &to))
    return tn_jinja_none();
  if (from < 0) from += length;
  if (to < 0 && to != INT64_MIN) to += length;
  from = clamp(from, down ? -1 : 0, down ? length - 1 : length);
  to = clamp(to, down ? -1 : 0, down ? length - 1 : length);
  if (step < -length - 1) step = -length - 1; /* one turn, and no overflow */
  if (step > length + 1) step = length + 1;
  if (object.kind == TN_JINJA_STR && step == 1) {
    size_t a = tn_jinja_char_at(object.text, from), b = tn_jinja_char_at(object.text, to);
    return tn_jinja_str((tn_str){object.text.data + a, b > a ? b - a : 0});
  }
  value all = tn_jinja_iterate(run, object), picked = tn_jinja_list_new(run);
  for (int64_t i = from; run->status == TN_OK && (down ? i > to : i < to); i += step)
    tn_jinja_push(run, picked.list, all.list->items[i]);
  if (object.kind != TN_JINJA_STR) {
    picked.kind = object.kind;
    return picked;
  }
  tn_strbuf text = {0};
  for (size_t i = 0; i < picked.list->count; i++)
    tn_strbuf_add_str(&text, picked.list->items[i].text);
  return tn_jinja_take(run, &text);
}

/* ---- arithmetic ---- */
static value wrong_operands(run_t *run, tn_str operator, value a, value b) {
  if (a.kind == TN_JINJA_UNDEFINED || b.kind == TN_JINJA_UNDEFINED) {
    tn_str name = a.kind == TN_JINJA_UNDEFINED ? a.text : b.text;
    return tn_jinja_fail(run, TN_ERR_DATA, "'%.*s' is undefined", TN_STR_ARG(name));
  }
  return tn_jinja_fail(run, TN_ERR_DATA, "'%s' %.*s '%s' makes no sense", tn_jinja_kind_name(a),
                       TN_STR_ARG(operator), tn_jinja_kind_name(b));
}

static value repeat(run_t *run, value what, int64_t count) {
  if (count < 0) count = 0;
  int64_t size = what.kind == TN_JINJA_STR ? (int64_t)what.text.length : (int64_t)what.list->count;
  int64_t total;
  if (__builtin_mul_overflow(size, count, &total) || !tn_jinja_step(run, total / 16))
    return tn_jinja_fail(run, TN_ERR_LIMIT, "a repetition of %lld times", (long long)count);
  if (what.kind == TN_JINJA_STR) {
    tn_strbuf text = {0};
    for (int64_t i = 0; i < count && total > 0; i++) tn_strbuf_add_str(&text, what.text);
    return tn_jinja_take(run, &text);
  }
  value list = tn_jinja_list_new(run);
  list.kind = what.kind;
  for (int64_t i = 0; i < total && run->status == TN_OK; i++)
    tn_jinja_push(run, list.list, what.list->items[i % size]);
  return list;
}

static value join_lists(run_t *run, value a, value b) {
  value list = tn_jinja_list_new(run);
  list.kind = a.kind;
  for (size_t i = 0; i < a.list->count; i++) tn_jinja_push(run, list.list, a.list->items[i]);
  for (size_t i = 0; i < b.list->count; i++) tn_jinja_push(run, list.list, b.list->items[i]);
  return list;
}

static value join_texts(run_t *run, tn_str a, tn_str b) {
  char *both = tn_jinja_alloc(run, a.length + b.length + 1, 1);
  if (!both || !tn_jinja_step(run, (int64_t)(a.length + b.length) / 64))
    return tn_jinja_undefined("");
  if (a.length) memcpy(both, a.data, a.length);
  if (b.length) memcpy(both + a.length, b.data, b.length);
  return tn_jinja_str((tn_str){both, a.length + b.length});
}

static int64_t floor_div(int64_t a, int64_t b) {
  int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static value integers(run_t *run, tn_str operator, int64_t a, int64_t b) {
  int64_t out;
  bool lost = false;
  switch (operator.data[0]) {
    case '+':
      lost = __builtin_add_overflow(a, b, &out);
      break;
    case '-':
      lost = __builtin_sub_overflow(a, b, &out);
      break;
    case '*':
      if (operator.length == 1) {
        lost = __builtin_mul_overflow(a, b, &out);
        break;
      }
      if (b < 0) return tn_jinja_real(pow((double)a, (double)b));
      out = 1;
      for (int64_t i = 0; i < b && !lost && out != 0 && !(out == 1 && i > 0 && a == 1); i++) {
        if (!tn_jinja_step(run, 1)) break;
        lost = __builtin_mul_overflow(out, a, &out);
      }
      break;
    default: /* / // % */
      if (b == 0) return tn_jinja_fail(run, TN_ERR_DATA, "division by zero");
      if (operator.data[0] == '/' && operator.length == 1)
        return tn_jinja_real((double)a / (double)b);
      lost = a == INT64_MIN && b == -1;
      if (!lost) out = operator.data[0] == '%' ? a - floor_div(a, b) * b : floor_div(a, b);
      break;
  }
  if (lost) return tn_jinja_fail(run, TN_ERR_LIMIT, "an integer beyond 64 bits");
  return tn_jinja_int(out);
}

static value reals(run_t *run, tn_str operator, double a, double b) {
  switch (operator.data[0]) {
    case '+':
      return tn_jinja_real(a + b);
    case '-':
      return tn_jinja_real(a - b);
    case '*':
      return tn_jinja_real(operator.length == 1 ? a * b : pow(a, b));
    default:
      if (b == 0) return tn_jinja_fail(run, TN_ERR_DATA, "division by zero");
      if (operator.data[0] == '%') return tn_jinja_real(a - floor(a / b) * b);
      return tn_jinja_real(operator.length == 1 ? a / b : floor(a / b));
  }
}

value tn_jinja_arithmetic(run_t *run, tn_str operator, value a, value b) {
  char sign = operator.data[0];
  if (sign == '~') return join_texts(run, tn_jinja_text(run, a), tn_jinja_text(run, b));
  if (tn_jinja_is_number(a) && tn_jinja_is_number(b)) {
    if (a.kind == TN_JINJA_REAL || b.kind == TN_JINJA_REAL)
      return reals(run, operator, tn_jinja_number(a), tn_jinja_number(b));
    return integers(run, operator, tn_jinja_integer(a), tn_jinja_integer(b));
  }
  bool one = operator.length == 1;
  if (sign == '+' && a.kind == TN_JINJA_STR && b.kind == TN_JINJA_STR)
    return join_texts(run, a.text, b.text);
  if (sign == '+' && tn_jinja_is_sequence(a) && a.kind == b.kind) return join_lists(run, a, b);
  bool repeats = a.kind == TN_JINJA_STR || tn_jinja_is_sequence(a);
  if (sign == '*' && one && repeats && b.kind == TN_JINJA_INT) return repeat(run, a, b.integer);
  if (sign == '*' && one && a.kind == TN_JINJA_INT &&
      (b.kind == TN_JINJA_STR || tn_jinja_is_sequence(b)))
    return repeat(run, b, a.integer);
  if (sign == '%' && a.kind == TN_JINJA_STR) {
    tn_jinja_args args = {.positional = {b}, .count = 1};
    bool many = b.kind == TN_JINJA_TUPLE && b.list->count <= TN_JINJA_ARGUMENTS_MAX;
    for (size_t i = 0; many && i < b.list->count; i++) args.positional[i] = b.list->items[i];
    if (many) args.count = (int32_t)b.list->count;
    return tn_jinja_format_percent(run, a.text, &args);
  }
  return wrong_operands(run, operator, a, b);
}

static bool compare(run_t *run, tn_str operator, value a, value b) {
  if (tn_str_is(operator, "==")) return tn_jinja_equal(run, a, b);
  if (tn_str_is(operator, "!=")) return !tn_jinja_equal(run, a, b);
  if (tn_str_is(operator, "in")) return tn_jinja_contains(run, b, a);
  if (tn_str_is(operator, "not in")) return !tn_jinja_contains(run, b, a);
  if (a.kind == TN_JINJA_UNDEFINED || b.kind == TN_JINJA_UNDEFINED) {
    wrong_operands(run, operator, a, b);
    return false;
  }
  bool nan =
      (a.kind == TN_JINJA_REAL && isnan(a.number)) || (b.kind == TN_JINJA_REAL && isnan(b.number));
  int order = tn_jinja_order(run, a, b);
  if (nan) return false;
  bool equal = operator.length == 2 && order == 0;
  return equal || (operator.data[0] == '<' ? order < 0 : order> 0);
}

/* ---- calls ---- */
static bool read_args(run_t *run, const node *list, tn_jinja_args *args) {
  args->count = args->keyword_count = 0;
  for (const node *n = list; n && run->status == TN_OK; n = n->next) {
    value v = eval(run, n->a);
    if (args->count + args->keyword_count == TN_JINJA_ARGUMENTS_MAX) {
      tn_jinja_fail(run, TN_ERR_LIMIT, "more than %d arguments", TN_JINJA_ARGUMENTS_MAX);
    } else if (n->text.length) {
      args->names[args->keyword_count] = n->text;
      args->keywords[args->keyword_count++] = v;
    } else {
      args->positional[args->count++] = v;
    }
  }
  return run->status == TN_OK;
}

const value *tn_jinja_arg(const tn_jinja_args *args, int32_t index, const char *name) {
  if (index < args->count) return &args->positional[index];
  for (int32_t i = 0; name && i < args->keyword_count; i++)
    if (tn_str_is(args->names[i], name)) return &args->keywords[i];
  return NULL;
}

enum { GLOBAL_NAMESPACE, GLOBAL_RAISE, GLOBAL_RANGE, GLOBAL_STRFTIME, GLOBAL_DICT, GLOBALS };
static const char *const global_names[GLOBALS] = {"namespace", "raise_exception", "range",
                                                  "strftime_now", "dict"};

static value make_space(run_t *run, const tn_jinja_args *args, tn_jinja_value_kind kind) {
  value space = tn_jinja_dict_new(run);
  space.kind = kind;
  if (args->count > 0 && args->positional[0].kind == TN_JINJA_DICT) {
    const tn_jinja_dict *from = args->positional[0].dict;
    for (size_t i = 0; i < from->count; i++)
      tn_jinja_put(run, space.dict, from->keys[i], from->values[i]);
  }
  for (int32_t i = 0; i < args->keyword_count; i++)
    tn_jinja_put(run, space.dict, tn_jinja_str(args->names[i]), args->keywords[i]);
  return space;
}

static value make_range(run_t *run, const tn_jinja_args *args) {
  int64_t bounds[3] = {0, 0, 1};
  for (int32_t i = 0; i < args->count && i < 3; i++) {
    value v = args->positional[i];
    if (v.kind != TN_JINJA_INT && v.kind != TN_JINJA_BOOL)
      return tn_jinja_fail(run, TN_ERR_DATA, "range wants integers, found '%s'",
                           tn_jinja_kind_name(v));
    bounds[i] = tn_jinja_integer(v);
  }
  int64_t from = args->count > 1 ? bounds[0] : 0, to = args->count > 1 ? bounds[1] : bounds[0];
  int64_t step = bounds[2];
  if (args->count == 0 || args->count > 3 || step == 0)
    return tn_jinja_fail(run, TN_ERR_DATA, "range takes 1 to 3 integers, the last not zero");
  value list = tn_jinja_list_new(run);
  for (int64_t i = from; run->status == TN_OK && (step > 0 ? i < to : i > to);) {
    tn_jinja_push(run, list.list, tn_jinja_int(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return list;
}

static value format_time(run_t *run, const tn_jinja_args *args) {
  char text[256];
  const value *format = tn_jinja_arg(args, 0, "format");
  if (!format || format->kind != TN_JINJA_STR || format->text.length >= sizeof text - 1)
    return tn_jinja_fail(run, TN_ERR_DATA, "strftime_now wants a format of at most %zu bytes",
                         sizeof text - 2);
  memcpy(text, format->text.data, format->text.length);
  text[format->text.length] = '\0';
  time_t seconds = (time_t)(run->time_us / 1000000);
  struct tm parts;
  localtime_r(&seconds, &parts);
  char shown[1024];
  size_t length = strftime(shown, sizeof shown, text, &parts);
  tn_strbuf copy = {0};
  tn_strbuf_append(&copy, shown, length);
  return tn_jinja_take(run, &copy);
}

static value call_global(run_t *run, int32_t function, const tn_jinja_args *args) {
  switch (function) {
    case GLOBAL_NAMESPACE:
      return make_space(run, args, TN_JINJA_SPACE);
    case GLOBAL_DICT:
      return make_space(run, args, TN_JINJA_DICT);
    case GLOBAL_RANGE:
      return make_range(run, args);
    case GLOBAL_STRFTIME:
      return format_time(run, args);
    default: {
      const value *words = tn_jinja_arg(args, 0, "message");
      tn_str text = words ? tn_jinja_text(run, *words) : TN_STR("");
      return tn_jinja_fail(run, TN_ERR_ARGUMENT, "%.*s", text.length < 300 ? (int)text.length : 300,
                           text.data ? text.data : "");
    }
  }
}

static value call_macro(run_t *run, const tn_jinja_callable *macro, const tn_jinja_args *args) {
  tn_jinja_scope scope, *before = run->scope;
  int32_t leaving = run->leaving;
  if (!enter(run)) return tn_jinja_undefined("");
  scope_open(run, &scope, macro->scope);
  int32_t at = 0;
  for (const node *p = macro->node->other; p && run->status == TN_OK; p = p->next, at++) {
    char name[128];
    snprintf(name, sizeof name, "%.*s", TN_STR_ARG(p->text));
    const value *given = tn_jinja_arg(args, at, name);
    value v = given  ? *given
              : p->a ? eval(run, p->a)
                     : (value){.kind = TN_JINJA_UNDEFINED, .text = p->text};
    define(run, p->text, v);
  }
  if (args->count > at)
    tn_jinja_fail(run, TN_ERR_DATA, "macro '%.*s' takes %d arguments, got %d",
                  TN_STR_ARG(macro->name), at, args->count);
  if (macro->caller.kind == TN_JINJA_CALLABLE) define(run, TN_STR("caller"), macro->caller);
  value text = capture(run, macro->node->list);
  run->leaving = leaving;
  run->scope = before;
  run->depth--;
  return text;
}

value tn_jinja_call(run_t *run, value function, const tn_jinja_args *args) {
  if (!tn_jinja_step(run, 1)) return tn_jinja_undefined("");
  if (function.kind == TN_JINJA_UNDEFINED)
    return tn_jinja_fail(run, TN_ERR_DATA, "'%.*s' is undefined", TN_STR_ARG(function.text));
  if (function.kind != TN_JINJA_CALLABLE)
    return tn_jinja_fail(run, TN_ERR_DATA, "a value of type '%s' cannot be called",
                         tn_jinja_kind_name(function));
  const tn_jinja_callable *c = function.callable;
  switch (c->kind) {
    case TN_JINJA_FUNCTION:
      return call_global(run, c->function, args);
    case TN_JINJA_METHOD:
      return tn_jinja_method(run, c->function, c->self, args);
    case TN_JINJA_CYCLE:
      if (args->count == 0) return tn_jinja_fail(run, TN_ERR_DATA, "cycle wants arguments");
      return args->positional[c->self.integer % args->count];
    default:
      return call_macro(run, c, args);
  }
}

/* ---- expressions ---- */
static value eval_name(run_t *run, const node *n) {
  value *found = lookup(run, n->text);
  if (found) return *found;
  for (int32_t i = 0; i < GLOBALS; i++)
    if (tn_str_is(n->text, global_names[i]))
      return callable(run, TN_JINJA_FUNCTION, n->text, tn_jinja_none(), i);
  return (value){.kind = TN_JINJA_UNDEFINED, .text = n->text};
}

static value eval_items(run_t *run, const node *n) {
  value out = n->kind == TN_JINJA_NODE_DICT ? tn_jinja_dict_new(run) : tn_jinja_list_new(run);
  if (n->kind == TN_JINJA_NODE_TUPLE) out.kind = TN_JINJA_TUPLE;
  for (const node *item = n->list; item && run->status == TN_OK; item = item->next) {
    value first = eval(run, item->a);
    if (n->kind == TN_JINJA_NODE_DICT)
      tn_jinja_put(run, out.dict, first, eval(run, item->b));
    else
      tn_jinja_push(run, out.list, first);
  }
  return out;
}

static value eval_call(run_t *run, const node *n) {
  tn_jinja_args args;
  value function = eval(run, n->a);
  return read_args(run, n->list, &args) ? tn_jinja_call(run, function, &args)
                                        : tn_jinja_undefined("");
}

static value apply_filter(run_t *run, const node *n, value v) {
  tn_jinja_args args;
  return read_args(run, n->list, &args) ? tn_jinja_filter(run, n->function, v, &args)
                                        : tn_jinja_undefined("");
}

static value eval_test(run_t *run, const node *n) {
  tn_jinja_args args;
  value v = eval(run, n->a);
  return tn_jinja_bool(read_args(run, n->list, &args) && tn_jinja_test(run, n->function, v, &args));
}

static value eval_compare(run_t *run, const node *n) {
  value left = eval(run, n->a);
  for (const node *link = n->list; link && run->status == TN_OK; link = link->next) {
    value right = eval(run, link->a);
    if (!compare(run, link->text, left, right)) return tn_jinja_bool(false);
    left = right;
  }
  return tn_jinja_bool(true);
}

static value eval_sign(run_t *run, const node *n) {
  value v = eval(run, n->a);
  if (!tn_jinja_is_number(v))
    return tn_jinja_fail(run, TN_ERR_DATA, "a sign before a value of type '%s'",
                         tn_jinja_kind_name(v));
  if (n->kind == TN_JINJA_NODE_PLUS) return v;
  return tn_jinja_arithmetic(run, TN_STR("-"), tn_jinja_int(0), v);
}

static value eval_kind(run_t *run, const node *n) {
  value v;
  switch (n->kind) {
    case TN_JINJA_NODE_NONE:
      return tn_jinja_none();
    case TN_JINJA_NODE_BOOL:
      return tn_jinja_bool(n->integer != 0);
    case TN_JINJA_NODE_INTEGER:
      return tn_jinja_int(n->integer);
    case TN_JINJA_NODE_FLOAT:
      return tn_jinja_real(n->number);
    case TN_JINJA_NODE_STRING:
      return tn_jinja_str(n->text);
    case TN_JINJA_NODE_NAME:
      return eval_name(run, n);
    case TN_JINJA_NODE_LIST:
    case TN_JINJA_NODE_TUPLE:
    case TN_JINJA_NODE_DICT:
      return eval_items(run, n);
    case TN_JINJA_NODE_ATTR:
      return tn_jinja_attribute(run, eval(run, n->a), n->text);
    case TN_JINJA_NODE_ITEM:
      v = eval(run, n->a);
      if (n->b->kind == TN_JINJA_NODE_SLICE) return slice(run, v, n->b);
      return tn_jinja_item(run, v, eval(run, n->b));
    case TN_JINJA_NODE_CALL:
      return eval_call(run, n);
    case TN_JINJA_NODE_FILTER:
      return apply_filter(run, n, eval(run, n->a));
    case TN_JINJA_NODE_TEST:
      return eval_test(run, n);
    case TN_JINJA_NODE_NOT:
      return tn_jinja_bool(!tn_jinja_truth(eval(run, n->a)));
    case TN_JINJA_NODE_NEGATE:
    case TN_JINJA_NODE_PLUS:
      return eval_sign(run, n);
    case TN_JINJA_NODE_BINARY:
      v = eval(run, n->a);
      return tn_jinja_arithmetic(run, n->text, v, eval(run, n->b));
    case TN_JINJA_NODE_COMPARE:
      return eval_compare(run, n);
    case TN_JINJA_NODE_AND:
      v = eval(run, n->a);
      return tn_jinja_truth(v) ? eval(run, n->b) : v;
    case TN_JINJA_NODE_OR:
      v = eval(run, n->a);
      return tn_jinja_truth(v) ? v : eval(run, n->b);
    case TN_JINJA_NODE_CHOOSE:
      if (tn_jinja_truth(eval(run, n->b))) return eval(run, n->a);
      return n->c ? eval(run, n->c) : tn_jinja_undefined("the missing else");
    default:
      return tn_jinja_undefined("");
  }
}

static value eval(run_t *run, const node *n) {
  run->line = n->line;
  if (!tn_jinja_step(run, 1) || !enter(run)) return tn_jinja_undefined("");
  value v = eval_kind(run, n);
  run->depth--;
  return run->status == TN_OK ? v : tn_jinja_undefined("");
}

/* ---- statements ---- */
static void assign(run_t *run, const node *target, value v) {
  if (target->kind == TN_JINJA_NODE_NAME) {
    define(run, target->text, v);
  } else if (target->kind == TN_JINJA_NODE_ATTR) {
    value space = eval(run, target->a);
    if (space.kind == TN_JINJA_SPACE)
      tn_jinja_put(run, space.dict, tn_jinja_str(target->text), v);
    else
      tn_jinja_fail(run, TN_ERR_DATA, "only a namespace's members can be set, not those of a '%s'",
                    tn_jinja_kind_name(space));
  } else {
    value items = tn_jinja_iterate(run, v);
    size_t at = 0;
    for (const node *part = target->list; part && run->status == TN_OK; part = part->next, at++) {
      if (at < items.list->count) assign(run, part->a, items.list->items[at]);
    }
    if (run->status == TN_OK && at != items.list->count)
      tn_jinja_fail(run, TN_ERR_DATA, "%zu values for %zu names", items.list->count, at);
  }
}

/* The items that pass the loop's own condition. */
static value loop_items(run_t *run, const node *n) {
  value all = tn_jinja_iterate(run, eval(run, n->b));
  if (!n->c || run->status != TN_OK) return all;
  value kept = tn_jinja_list_new(run);
  tn_jinja_scope scope, *before = run->scope;
  for (size_t i = 0; i < all.list->count && run->status == TN_OK; i++) {
    scope_open(run, &scope, before);
    assign(run, n->a, all.list->items[i]);
    if (run->status == TN_OK && tn_jinja_truth(eval(run, n->c)))
      tn_jinja_push(run, kept.list, all.list->items[i]);
  }
  run->scope = before;
  return kept;
}

static value loop_variable(run_t *run, const tn_jinja_list *items, size_t i, int64_t depth) {
  value loop = tn_jinja_dict_new(run);
  int64_t count = (int64_t)items->count, at = (int64_t)i;
  value before = i > 0 ? items->items[i - 1] : tn_jinja_undefined("there is no previous item");
  value after = at + 1 < count ? items->items[i + 1] : tn_jinja_undefined("there is no next item");
  const struct {
    const char *name;
    value v;
  } members[] = {
      {"index", tn_jinja_int(at + 1)},
      {"index0", tn_jinja_int(at)},
      {"first", tn_jinja_bool(i == 0)},
      {"last", tn_jinja_bool(at + 1 == count)},
      {"length", tn_jinja_int(count)},
      {"revindex", tn_jinja_int(count - at)},
      {"revindex0", tn_jinja_int(count - at - 1)},
      {"depth", tn_jinja_int(depth)},
      {"depth0", tn_jinja_int(depth - 1)},
      {"previtem", before},
      {"nextitem", after},
      {"cycle", callable(run, TN_JINJA_CYCLE, TN_STR("cycle"), tn_jinja_int(at), 0)},
  };
  for (size_t m = 0; m < sizeof members / sizeof members[0]; m++)
    tn_jinja_put(run, loop.dict, tn_jinja_str(tn_str_of(members[m].name)), members[m].v);
  loop.kind = TN_JINJA_SPACE; /* its members, and no methods of a dict */
  return loop;
}

static void exec_for(run_t *run, const node *n) {
  value items = loop_items(run, n);
  if (run->status != TN_OK) return;
  if (items.list->count == 0) {
    exec_list(run, n->other);
    return;
  }
  tn_jinja_scope scope, *before = run->scope;
  for (size_t i = 0; i < items.list->count && run->status == TN_OK; i++) {
    scope_open(run, &scope, before);
    define(run, TN_STR("loop"), loop_variable(run, items.list, i, 1));
    assign(run, n->a, items.list->items[i]);
    exec_list(run, n->list);
    int32_t leaving = run->leaving;
    run->leaving = 0;
    if (leaving == 1) break;
  }
  run->scope = before;
}

static value filter_chain(run_t *run, const node *chain, value v) {
  if (!chain) return v;
  return apply_filter(run, chain, filter_chain(run, chain->a, v));
}

static value make_macro(run_t *run, const node *n, tn_str name) {
  value macro = callable(run, TN_JINJA_MACRO, name, tn_jinja_none(), 0);
  if (macro.kind != TN_JINJA_CALLABLE) return macro;
  macro.callable->node = n;
  return macro;
}

/* The body becomes a macro named caller, seen by the macro that is called. */
static void exec_call_block(run_t *run, const node *n) {
  tn_jinja_args args;
  value function = eval(run, n->a->a);
  if (!read_args(run, n->a->list, &args)) return;
  if (function.kind == TN_JINJA_CALLABLE && function.callable->kind == TN_JINJA_MACRO) {
    value caller = make_macro(run, n, TN_STR("caller"));
    tn_jinja_callable *with_caller = tn_jinja_alloc(run, 1, sizeof *with_caller);
    if (!with_caller || caller.kind != TN_JINJA_CALLABLE) return;
    caller.callable->scope = run->scope;
    *with_caller = *function.callable;
    with_caller->caller = caller;
    function.callable = with_caller;
  }
  value text = tn_jinja_call(run, function, &args);
  if (run->status == TN_OK) emit(run, tn_jinja_text(run, text));
}

static void exec_with(run_t *run, const node *n) {
  tn_jinja_scope scope, *before = run->scope;
  scope_open(run, &scope, before);
  for (const node *set = n->other; set && run->status == TN_OK; set = set->next)
    assign(run, set->a, eval(run, set->b));
  exec_list(run, n->list);
  run->scope = before;
}

static void exec(run_t *run, const node *n) {
  value v;
  run->line = n->line;
  switch (n->kind) {
    case TN_JINJA_NODE_TEXT:
      emit(run, n->text);
      break;
    case TN_JINJA_NODE_PRINT:
      v = eval(run, n->a);
      if (run->status == TN_OK) emit(run, tn_jinja_text(run, v));
      break;
    case TN_JINJA_NODE_IF:
      v = eval(run, n->a);
      if (run->status != TN_OK) break;
      if (tn_jinja_truth(v))
        exec_list(run, n->list);
      else
        exec_list(run, n->other);
      break;
    case TN_JINJA_NODE_FOR:
      exec_for(run, n);
      break;
    case TN_JINJA_NODE_SET:
      v = eval(run, n->b);
      if (run->status == TN_OK) assign(run, n->a, v);
      break;
    case TN_JINJA_NODE_SET_BLOCK:
      v = filter_chain(run, n->b, capture(run, n->list));
      if (run->status == TN_OK) assign(run, n->a, v);
      break;
    case TN_JINJA_NODE_MACRO:
      v = make_macro(run, n, n->text);
      if (v.kind == TN_JINJA_CALLABLE) v.callable->scope = run->root;
      define(run, n->text, v);
      break;
    case TN_JINJA_NODE_CALL_BLOCK:
      exec_call_block(run, n);
      break;
    case TN_JINJA_NODE_FILTER_BLOCK:
      v = filter_chain(run, n->a, capture(run, n->list));
      if (run->status == TN_OK) emit(run, tn_jinja_text(run, v));
      break;
    case TN_JINJA_NODE_WITH:
      exec_with(run, n);
      break;
    case TN_JINJA_NODE_GROUP:
      exec_list(run, n->list);
      break;
    default:
      run->leaving = n->kind == TN_JINJA_NODE_BREAK ? 1 : 2;
      break;
  }
}

static void exec_list(run_t *run, const node *n) {
  if (!enter(run)) return;
  for (; n && run->leaving == 0 && tn_jinja_step(run, 1); n = n->next) exec(run, n);
  run->depth--;
}

/* ---- rendering ---- */
tn_status tn_jinja_render(const tn_jinja *jinja, const tn_json *variables,
                          const tn_jinja_options *options, tn_strbuf *out, tn_error *err) {
  static const tn_jinja_options defaults;
  if (!options) options = &defaults;
  if (variables->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: its variables are a JSON %s, expected an object",
                   jinja->name, tn_json_kind_name(variables->kind));
  int64_t memory = options->memory_bytes_max ? options->memory_bytes_max : MEMORY_BYTES_MAX;
  tn_arena arena = {.limit_bytes = (size_t)memory};
  tn_strbuf text = {0};
  tn_jinja_scope root;
  run_t run = {
      .jinja = jinja,
      .arena = &arena,
      .out = &text,
      .root = &root,
      .line = 1,
      .err = err,
      .steps_left = options->steps_max ? options->steps_max : STEPS_MAX,
      .output_left = options->output_bytes_max ? options->output_bytes_max : OUTPUT_BYTES_MAX,
      .time_us = options->time_us ? options->time_us : tn_time_unix_us(),
  };
  scope_open(&run, &root, NULL);
  for (const tn_json *v = variables->first; v; v = v->next)
    define(&run, v->key, tn_jinja_of_json(&run, v));
  exec_list(&run, jinja->body);
  if (run.status == TN_OK && text.failed)
    run.status = tn_fail_memory(err, "a rendered template", text.length);
  if (run.status == TN_OK) {
    tn_strbuf_add_str(out, tn_strbuf_view(&text));
    run.status = tn_strbuf_check(out, err);
  }
  tn_strbuf_clear(&text);
  tn_arena_clear(&arena);
  return run.status;
}

tn_status tn_jinja_compile(tn_jinja **out, const char *name, tn_str source, tn_error *err) {
  if (source.length > TN_JINJA_SOURCE_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: a template of %zu bytes, limit %d", name, source.length,
                   TN_JINJA_SOURCE_BYTES_MAX);
  tn_jinja *jinja = tn_alloc(1, sizeof *jinja);
  if (!jinja) return tn_fail_memory(err, "a template", sizeof *jinja);
  jinja->name = tn_strndup(name, strlen(name));
  tn_jinja_tokens tokens = {0};
  char *copy = tn_arena_strndup(&jinja->arena, source.data ? source.data : "", source.length);
  size_t length = 0; /* line ends become \n, as Jinja2 reads them */
  for (size_t i = 0; copy && i < source.length; i++) {
    if (copy[i] == '\r') {
      copy[length++] = '\n';
      if (i + 1 < source.length && copy[i + 1] == '\n') i++;
    } else {
      copy[length++] = copy[i];
    }
  }
  tn_status status = jinja->name && copy ? TN_OK : tn_fail_memory(err, "a template", source.length);
  if (status == TN_OK) status = tn_jinja_lex((tn_str){copy, length}, &jinja->arena, &tokens, err);
  if (status == TN_OK) status = tn_jinja_parse(jinja, &tokens, err);
  tn_free(tokens.items);
  if (status != TN_OK) {
    status = tn_error_context(err, status, "%s", name);
    tn_jinja_free(jinja);
    return status;
  }
  *out = jinja;
  return TN_OK;
}

void tn_jinja_free(tn_jinja *jinja) {
  if (!jinja) return;
  tn_arena_clear(&jinja->arena);
  tn_free(jinja->name);
  tn_free(jinja);
}
