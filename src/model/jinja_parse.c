/* SPDX-License-Identifier: Apache-2.0 */
/* Recursive descent, in Jinja2's order of precedence:
 *     if-else < or < and < not < comparison < + - < ~ < * / // % < ** < unary < postfix < | is */
#include <stdio.h>

#include "model/jinja_ast.h"

typedef struct parser {
  const tn_jinja_token *at;
  tn_arena *arena;
  tn_error *err;
  tn_status status; /* sticky: every function returns NULL from then on */
  int32_t depth, loops;
} parser;

typedef tn_jinja_node node;

static node *fail(parser *p, tn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static node *fail(parser *p, tn_status status, const char *format, ...) {
  if (p->status != TN_OK) return NULL;
  char text[300];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  p->status = tn_fail(p->err, status, "line %d: %s", p->at->line, text);
  return NULL;
}

static node *make(parser *p, tn_jinja_kind kind) {
  if (p->status != TN_OK) return NULL;
  node *n = tn_arena_alloc(p->arena, 1, sizeof *n);
  if (!n) {
    p->status = tn_fail_memory(p->err, "a template", sizeof *n);
    return NULL;
  }
  n->kind = kind;
  n->line = p->at->line;
  return n;
}

static node *make_two(parser *p, tn_jinja_kind kind, node *a, node *b) {
  node *n = make(p, kind);
  if (!n) return NULL;
  n->a = a;
  n->b = b;
  return n;
}

/* ---- tokens ---- */
static const char *token_text(const tn_jinja_token *t, char room[80]) {
  static const char *const names[] = {"text",     "{{",       "}}",       "{%",
                                      "%}",       "a name",   "a string", "a number",
                                      "a number", "operator", "the end"};
  if (t->kind == TN_JINJA_NAME || t->kind == TN_JINJA_OPERATOR)
    snprintf(room, 80, "'%.*s'", t->text.length < 60 ? (int)t->text.length : 60, t->text.data);
  else
    snprintf(room, 80, "%s", names[t->kind]);
  return room;
}

static bool is_operator(const parser *p, const char *text) {
  return p->at->kind == TN_JINJA_OPERATOR && tn_str_is(p->at->text, text);
}
static bool is_word(const parser *p, const char *text) {
  return p->at->kind == TN_JINJA_NAME && tn_str_is(p->at->text, text);
}
static bool take_operator(parser *p, const char *text) {
  if (p->status != TN_OK || !is_operator(p, text)) return false;
  p->at++;
  return true;
}
static bool take_word(parser *p, const char *text) {
  if (p->status != TN_OK || !is_word(p, text)) return false;
  p->at++;
  return true;
}
static void want_operator(parser *p, const char *text) {
  char room[80];
  if (!take_operator(p, text))
    fail(p, TN_ERR_DATA, "expected '%s', found %s", text, token_text(p->at, room));
}
static tn_str want_name(parser *p) {
  char room[80];
  if (p->status == TN_OK && p->at->kind == TN_JINJA_NAME) return (p->at++)->text;
  fail(p, TN_ERR_DATA, "expected a name, found %s", token_text(p->at, room));
  return (tn_str){0};
}
static void want_end(parser *p) {
  char room[80];
  if (p->status == TN_OK && p->at->kind == TN_JINJA_END_BLOCK) {
    p->at++;
    return;
  }
  fail(p, TN_ERR_DATA, "expected %%}, found %s", token_text(p->at, room));
}

static bool enter(parser *p) {
  if (p->status == TN_OK && p->depth >= TN_JINJA_DEPTH_MAX)
    fail(p, TN_ERR_LIMIT, "nested deeper than %d", TN_JINJA_DEPTH_MAX);
  p->depth++;
  return p->status == TN_OK;
}

/* ---- expressions ---- */
static node *parse_expression(parser *p);
static node *parse_unary(parser *p, bool with_filter);
static node *parse_postfix(parser *p, node *value);

/* Appends to a list; *tail is the last node. */
static void append(node **head, node **tail, node *item) {
  if (!item) return;
  if (*tail)
    (*tail)->next = item;
  else
    *head = item;
  *tail = item;
}

static node *parse_arguments(parser *p) {
  node *head = NULL, *tail = NULL;
  while (p->status == TN_OK && !is_operator(p, ")")) {
    if (head) want_operator(p, ",");
    if (is_operator(p, ")")) break;
    if (is_operator(p, "*") || is_operator(p, "**"))
      return fail(p, TN_ERR_UNSUPPORTED, "unpacked arguments are not supported");
    node *arg = make(p, TN_JINJA_NODE_ARG);
    if (!arg) return NULL;
    bool keyword = p->at->kind == TN_JINJA_NAME && p->at[1].kind == TN_JINJA_OPERATOR &&
                   tn_str_is(p->at[1].text, "=");
    if (keyword) {
      arg->text = p->at->text;
      p->at += 2;
    }
    arg->a = parse_expression(p);
    append(&head, &tail, arg);
  }
  want_operator(p, ")");
  return head;
}

/* Items up to `close`; a dict's are pairs. */
static node *parse_items(parser *p, tn_jinja_kind kind, const char *close) {
  node *list = make(p, kind), *tail = NULL;
  while (list && p->status == TN_OK && !is_operator(p, close)) {
    if (list->list) want_operator(p, ",");
    if (is_operator(p, close)) break;
    node *item = parse_expression(p);
    if (kind == TN_JINJA_NODE_DICT) {
      want_operator(p, ":");
      item = make_two(p, TN_JINJA_NODE_PAIR, item, parse_expression(p));
    } else {
      item = make_two(p, TN_JINJA_NODE_ARG, item, NULL);
    }
    append(&list->list, &tail, item);
  }
  want_operator(p, close);
  return list;
}

/* "(": an expression in parentheses, or a tuple. */
static node *parse_parenthesis(parser *p) {
  if (take_operator(p, ")")) return make(p, TN_JINJA_NODE_TUPLE);
  node *first = parse_expression(p);
  if (take_operator(p, ")")) return first;
  want_operator(p, ",");
  node *tuple = parse_items(p, TN_JINJA_NODE_TUPLE, ")");
  node *item = make_two(p, TN_JINJA_NODE_ARG, first, NULL);
  if (!tuple || !item) return NULL;
  item->next = tuple->list;
  tuple->list = item;
  return tuple;
}

static node *parse_strings(parser *p) {
  node *n = make(p, TN_JINJA_NODE_STRING);
  if (!n) return NULL;
  n->text = (p->at++)->text;
  while (p->at->kind == TN_JINJA_STRING) { /* "a" "b" is one string */
    tn_str more = (p->at++)->text;
    char *both = tn_arena_alloc(p->arena, n->text.length + more.length + 1, 1);
    if (!both) return fail(p, TN_ERR_MEMORY, "a string of %zu bytes", more.length);
    memcpy(both, n->text.data, n->text.length);
    memcpy(both + n->text.length, more.data, more.length);
    n->text = (tn_str){both, n->text.length + more.length};
  }
  return n;
}

static node *parse_name(parser *p) {
  static const struct {
    const char *word;
    tn_jinja_kind kind;
    int64_t value;
  } words[] = {
      {"true", TN_JINJA_NODE_BOOL, 1},  {"True", TN_JINJA_NODE_BOOL, 1},
      {"false", TN_JINJA_NODE_BOOL, 0}, {"False", TN_JINJA_NODE_BOOL, 0},
      {"none", TN_JINJA_NODE_NONE, 0},  {"None", TN_JINJA_NODE_NONE, 0},
  };
  node *n = make(p, TN_JINJA_NODE_NAME);
  if (!n) return NULL;
  n->text = (p->at++)->text;
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (!tn_str_is(n->text, words[i].word)) continue;
    n->kind = words[i].kind;
    n->integer = words[i].value;
  }
  return n;
}

static node *parse_primary(parser *p) {
  char room[80];
  node *n;
  switch (p->at->kind) {
    case TN_JINJA_NAME:
      return parse_name(p);
    case TN_JINJA_STRING:
      return parse_strings(p);
    case TN_JINJA_INTEGER:
    case TN_JINJA_FLOAT:
      n = make(p, p->at->kind == TN_JINJA_FLOAT ? TN_JINJA_NODE_FLOAT : TN_JINJA_NODE_INTEGER);
      if (!n) return NULL;
      n->integer = p->at->integer;
      n->number = (p->at++)->number;
      return n;
    default:
      if (take_operator(p, "(")) return parse_parenthesis(p);
      if (take_operator(p, "[")) return parse_items(p, TN_JINJA_NODE_LIST, "]");
      if (take_operator(p, "{")) return parse_items(p, TN_JINJA_NODE_DICT, "}");
      return fail(p, TN_ERR_DATA, "expected a value, found %s", token_text(p->at, room));
  }
}

static bool ends_slice_part(const parser *p) {
  return is_operator(p, ":") || is_operator(p, "]");
}

/* Behind "[": an index or a slice. */
static node *parse_subscript(parser *p, node *value) {
  node *index = ends_slice_part(p) ? NULL : parse_expression(p);
  if (is_operator(p, ":")) {
    node *slice = make_two(p, TN_JINJA_NODE_SLICE, index, NULL);
    p->at++;
    if (slice && !ends_slice_part(p)) slice->b = parse_expression(p);
    if (slice && take_operator(p, ":") && !ends_slice_part(p)) slice->c = parse_expression(p);
    index = slice;
  } else if (!index) { /* x[]: by the empty tuple, which nothing has */
    index = make(p, TN_JINJA_NODE_TUPLE);
  }
  want_operator(p, "]");
  return make_two(p, TN_JINJA_NODE_ITEM, value, index);
}

static node *parse_postfix(parser *p, node *value) {
  while (p->status == TN_OK) {
    if (take_operator(p, ".")) {
      node *n = make_two(p, TN_JINJA_NODE_ATTR, value, NULL);
      if (!n) return NULL;
      if (p->at->kind == TN_JINJA_INTEGER) {
        n->kind = TN_JINJA_NODE_ITEM;
        n->b = parse_primary(p);
      } else {
        n->text = want_name(p);
      }
      value = n;
    } else if (take_operator(p, "[")) {
      value = parse_subscript(p, value);
    } else if (take_operator(p, "(")) {
      node *n = make_two(p, TN_JINJA_NODE_CALL, value, NULL);
      if (n) n->list = parse_arguments(p);
      value = n;
    } else {
      return value;
    }
  }
  return NULL;
}

static node *parse_filter(parser *p, node *value) {
  node *n = make_two(p, TN_JINJA_NODE_FILTER, value, NULL);
  tn_str name = want_name(p);
  if (!n || p->status != TN_OK) return NULL;
  n->text = name;
  n->function = tn_jinja_filter_find(name);
  if (n->function < 0) return fail(p, TN_ERR_DATA, "no filter named '%.*s'", TN_STR_ARG(name));
  if (take_operator(p, "(")) n->list = parse_arguments(p);
  return n;
}

/* May a test's single argument start here, as in "is divisibleby 3"? */
static bool starts_argument(const parser *p) {
  static const char *const not_an_argument[] = {"else", "or", "and", "is", "in", "not", "if"};
  if (p->at->kind == TN_JINJA_NAME) {
    for (size_t i = 0; i < sizeof not_an_argument / sizeof not_an_argument[0]; i++)
      if (tn_str_is(p->at->text, not_an_argument[i])) return false;
    return true;
  }
  return p->at->kind == TN_JINJA_STRING || p->at->kind == TN_JINJA_INTEGER ||
         p->at->kind == TN_JINJA_FLOAT || is_operator(p, "[") || is_operator(p, "{");
}

static node *parse_test(parser *p, node *value) {
  bool negated = take_word(p, "not");
  node *n = make_two(p, TN_JINJA_NODE_TEST, value, NULL);
  tn_str name = want_name(p);
  if (!n || p->status != TN_OK) return NULL;
  n->text = name;
  n->function = tn_jinja_test_find(name);
  if (n->function < 0) return fail(p, TN_ERR_DATA, "no test named '%.*s'", TN_STR_ARG(name));
  if (take_operator(p, "(")) {
    n->list = parse_arguments(p);
  } else if (starts_argument(p)) {
    node *arg = make(p, TN_JINJA_NODE_ARG);
    if (arg) arg->a = parse_postfix(p, parse_primary(p));
    n->list = arg;
  }
  return negated ? make_two(p, TN_JINJA_NODE_NOT, n, NULL) : n;
}

static node *parse_filters_and_tests(parser *p, node *value) {
  while (p->status == TN_OK) {
    if (take_operator(p, "|")) {
      value = parse_filter(p, value);
    } else if (take_word(p, "is")) {
      value = parse_test(p, value);
    } else if (take_operator(p, "(")) {
      node *call = make_two(p, TN_JINJA_NODE_CALL, value, NULL);
      if (call) call->list = parse_arguments(p);
      value = call;
    } else {
      return value;
    }
  }
  return NULL;
}

static node *parse_unary(parser *p, bool with_filter) {
  node *value = NULL;
  if (!enter(p)) return NULL;
  if (take_operator(p, "-")) {
    value = make_two(p, TN_JINJA_NODE_NEGATE, parse_unary(p, false), NULL);
  } else if (take_operator(p, "+")) {
    value = make_two(p, TN_JINJA_NODE_PLUS, parse_unary(p, false), NULL);
  } else {
    value = parse_primary(p);
  }
  value = parse_postfix(p, value);
  if (with_filter) value = parse_filters_and_tests(p, value);
  p->depth--;
  return value;
}

static node *binary(parser *p, node *left, node *(*operand)(parser *)) {
  node *n = make_two(p, TN_JINJA_NODE_BINARY, left, NULL);
  if (!n) return NULL;
  n->text = (p->at++)->text;
  n->b = operand(p);
  return n;
}

static node *parse_power_operand(parser *p) {
  return parse_unary(p, true);
}
static node *parse_power(parser *p) {
  node *left = parse_unary(p, true);
  while (p->status == TN_OK && is_operator(p, "**")) left = binary(p, left, parse_power_operand);
  return left;
}
static node *parse_product(parser *p) {
  node *left = parse_power(p);
  while (p->status == TN_OK && (is_operator(p, "*") || is_operator(p, "/") ||
                                is_operator(p, "//") || is_operator(p, "%")))
    left = binary(p, left, parse_power);
  return left;
}
static node *parse_concat(parser *p) {
  node *left = parse_product(p);
  while (p->status == TN_OK && is_operator(p, "~")) left = binary(p, left, parse_product);
  return left;
}
static node *parse_sum(parser *p) {
  node *left = parse_concat(p);
  while (p->status == TN_OK && (is_operator(p, "+") || is_operator(p, "-")))
    left = binary(p, left, parse_concat);
  return left;
}

/* The comparison that starts here, moved over; length 0: none. */
static tn_str take_comparison(parser *p) {
  static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
  for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
    if (take_operator(p, operators[i])) return tn_str_of(operators[i]);
  if (take_word(p, "in")) return TN_STR("in");
  if (is_word(p, "not") && p->at[1].kind == TN_JINJA_NAME && tn_str_is(p->at[1].text, "in")) {
    p->at += 2;
    return TN_STR("not in");
  }
  return (tn_str){0};
}

static node *parse_compare(parser *p) {
  node *left = parse_sum(p), *n = NULL, *tail = NULL;
  while (p->status == TN_OK) {
    tn_str operator= take_comparison(p);
    if (operator.length == 0) break;
    if (!n) n = make_two(p, TN_JINJA_NODE_COMPARE, left, NULL);
    node *link = make(p, TN_JINJA_NODE_COMPARE);
    if (!n || !link) return NULL;
    link->text = operator;
    link->a = parse_sum(p);
    append(&n->list, &tail, link);
  }
  return n ? n : left;
}

static node *parse_not(parser *p) {
  if (!take_word(p, "not")) return parse_compare(p);
  if (!enter(p)) return NULL;
  node *n = make_two(p, TN_JINJA_NODE_NOT, parse_not(p), NULL);
  p->depth--;
  return n;
}
static node *parse_and(parser *p) {
  node *left = parse_not(p);
  while (take_word(p, "and")) left = make_two(p, TN_JINJA_NODE_AND, left, parse_not(p));
  return left;
}
static node *parse_or(parser *p) {
  node *left = parse_and(p);
  while (take_word(p, "or")) left = make_two(p, TN_JINJA_NODE_OR, left, parse_and(p));
  return left;
}

static node *parse_expression(parser *p) {
  if (!enter(p)) return NULL;
  node *value = parse_or(p);
  while (take_word(p, "if")) {
    node *n = make_two(p, TN_JINJA_NODE_CHOOSE, value, parse_or(p));
    if (n && take_word(p, "else")) n->c = parse_expression(p);
    value = n;
  }
  p->depth--;
  return value;
}

/* An expression, or several with commas between: a tuple. */
static node *parse_tuple(parser *p, node *(*item)(parser *)) {
  node *first = item(p);
  if (!is_operator(p, ",")) return first;
  node *tuple = make(p, TN_JINJA_NODE_TUPLE), *tail = NULL;
  if (!tuple) return NULL;
  append(&tuple->list, &tail, make_two(p, TN_JINJA_NODE_ARG, first, NULL));
  while (take_operator(p, ",")) {
    if (p->at->kind == TN_JINJA_END_BLOCK || p->at->kind == TN_JINJA_END_PRINT) break;
    append(&tuple->list, &tail, make_two(p, TN_JINJA_NODE_ARG, item(p), NULL));
  }
  return tuple;
}

/* ---- statements ---- */
/* The statements up to one of the words in `ends` ("endif|else|elif"), which is not taken. */
static node *parse_body(parser *p, const char *ends);

static bool one_of(tn_str word, const char *list) {
  tn_str rest = tn_str_of(list);
  while (rest.data) {
    tn_str item = tn_str_cut(&rest, '|');
    if (tn_str_equal(item, word)) return true;
  }
  return false;
}

/* "{% word %}" */
static void take_end(parser *p, const char *word) {
  if (p->status != TN_OK) return;
  p->at++; /* parse_body stopped at {% */
  if (!take_word(p, word)) fail(p, TN_ERR_DATA, "expected %s", word);
  want_end(p);
}

static node *parse_target_item(parser *p) {
  if (take_operator(p, "(")) {
    node *inner = parse_tuple(p, parse_target_item);
    want_operator(p, ")");
    return inner;
  }
  node *n = make(p, TN_JINJA_NODE_NAME);
  if (!n) return NULL;
  n->text = want_name(p);
  if (!take_operator(p, ".")) return n;
  node *attribute = make_two(p, TN_JINJA_NODE_ATTR, n, NULL);
  if (attribute) attribute->text = want_name(p);
  return attribute;
}

static node *parse_if(parser *p) {
  node *n = make(p, TN_JINJA_NODE_IF);
  if (!n) return NULL;
  n->a = parse_tuple(p, parse_expression);
  want_end(p);
  n->list = parse_body(p, "elif|else|endif");
  if (p->status != TN_OK) return NULL;
  p->at++;
  if (take_word(p, "elif")) {
    n->other = parse_if(p);
    return n; /* the innermost one takes endif */
  }
  if (take_word(p, "else")) {
    want_end(p);
    n->other = parse_body(p, "endif");
    if (p->status != TN_OK) return NULL;
    p->at++;
  }
  if (!take_word(p, "endif")) return fail(p, TN_ERR_DATA, "expected endif");
  want_end(p);
  return n;
}

static node *parse_for(parser *p) {
  node *n = make(p, TN_JINJA_NODE_FOR);
  if (!n) return NULL;
  n->a = parse_tuple(p, parse_target_item);
  if (!take_word(p, "in")) return fail(p, TN_ERR_DATA, "expected in");
  n->b = parse_tuple(p, parse_or);
  if (take_word(p, "if")) n->c = parse_expression(p);
  if (is_word(p, "recursive"))
    return fail(p, TN_ERR_UNSUPPORTED, "recursive loops are not supported");
  want_end(p);
  p->loops++;
  n->list = parse_body(p, "else|endfor");
  p->loops--;
  if (p->status != TN_OK) return NULL;
  p->at++;
  if (take_word(p, "else")) {
    want_end(p);
    n->other = parse_body(p, "endfor");
    if (p->status != TN_OK) return NULL;
    p->at++;
  }
  if (!take_word(p, "endfor")) return fail(p, TN_ERR_DATA, "expected endfor");
  want_end(p);
  return n;
}

static node *parse_filter_chain(parser *p, bool first) {
  node *chain = NULL;
  while (p->status == TN_OK && (first || take_operator(p, "|"))) {
    first = false;
    chain = parse_filter(p, chain);
  }
  return chain;
}

static node *parse_set(parser *p) {
  node *n = make(p, TN_JINJA_NODE_SET);
  if (!n) return NULL;
  n->a = parse_tuple(p, parse_target_item);
  if (take_operator(p, "=")) {
    n->b = parse_tuple(p, parse_expression);
    want_end(p);
    return n;
  }
  n->kind = TN_JINJA_NODE_SET_BLOCK;
  n->b = parse_filter_chain(p, false);
  want_end(p);
  n->list = parse_body(p, "endset");
  take_end(p, "endset");
  return n;
}

/* "(a, b=1)": ARG nodes with defaults. */
static node *parse_parameters(parser *p) {
  node *head = NULL, *tail = NULL;
  want_operator(p, "(");
  while (p->status == TN_OK && !is_operator(p, ")")) {
    if (head) want_operator(p, ",");
    node *arg = make(p, TN_JINJA_NODE_ARG);
    if (!arg) return NULL;
    arg->text = want_name(p);
    if (take_operator(p, "=")) arg->a = parse_expression(p);
    append(&head, &tail, arg);
  }
  want_operator(p, ")");
  return head;
}

static node *parse_macro(parser *p) {
  node *n = make(p, TN_JINJA_NODE_MACRO);
  if (!n) return NULL;
  n->text = want_name(p);
  n->other = parse_parameters(p);
  want_end(p);
  int32_t loops = p->loops;
  p->loops = 0;
  n->list = parse_body(p, "endmacro");
  p->loops = loops;
  take_end(p, "endmacro");
  return n;
}

static node *parse_call_block(parser *p) {
  node *n = make(p, TN_JINJA_NODE_CALL_BLOCK);
  if (!n) return NULL;
  if (is_operator(p, "(")) n->other = parse_parameters(p);
  n->a = parse_expression(p);
  if (n->a && n->a->kind != TN_JINJA_NODE_CALL) return fail(p, TN_ERR_DATA, "expected a call");
  want_end(p);
  n->list = parse_body(p, "endcall");
  take_end(p, "endcall");
  return n;
}

static node *parse_filter_block(parser *p) {
  node *n = make(p, TN_JINJA_NODE_FILTER_BLOCK);
  if (!n) return NULL;
  n->a = parse_filter_chain(p, true);
  want_end(p);
  n->list = parse_body(p, "endfilter");
  take_end(p, "endfilter");
  return n;
}

static node *parse_with(parser *p) {
  node *n = make(p, TN_JINJA_NODE_WITH), *tail = NULL;
  while (n && p->status == TN_OK && p->at->kind != TN_JINJA_END_BLOCK) {
    if (n->other) want_operator(p, ",");
    node *set = make_two(p, TN_JINJA_NODE_SET, parse_target_item(p), NULL);
    want_operator(p, "=");
    if (set) set->b = parse_expression(p);
    append(&n->other, &tail, set);
  }
  want_end(p);
  node *body = parse_body(p, "endwith");
  take_end(p, "endwith");
  if (n) n->list = body;
  return n;
}

static node *parse_generation(parser *p) {
  node *n = make(p, TN_JINJA_NODE_GROUP);
  want_end(p);
  node *body = parse_body(p, "endgeneration");
  take_end(p, "endgeneration");
  if (n) n->list = body;
  return n;
}

static node *parse_loop_control(parser *p, tn_jinja_kind kind, tn_str word) {
  if (p->loops == 0) return fail(p, TN_ERR_DATA, "%.*s outside of a loop", TN_STR_ARG(word));
  node *n = make(p, kind);
  want_end(p);
  return n;
}

static node *parse_statement(parser *p) {
  static const char elsewhere[] = "include|import|from|extends|block|do|autoescape|trans|debug";
  tn_str word = want_name(p);
  if (p->status != TN_OK) return NULL;
  if (tn_str_is(word, "if")) return parse_if(p);
  if (tn_str_is(word, "for")) return parse_for(p);
  if (tn_str_is(word, "set")) return parse_set(p);
  if (tn_str_is(word, "macro")) return parse_macro(p);
  if (tn_str_is(word, "call")) return parse_call_block(p);
  if (tn_str_is(word, "filter")) return parse_filter_block(p);
  if (tn_str_is(word, "with")) return parse_with(p);
  if (tn_str_is(word, "generation")) return parse_generation(p);
  if (tn_str_is(word, "break")) return parse_loop_control(p, TN_JINJA_NODE_BREAK, word);
  if (tn_str_is(word, "continue")) return parse_loop_control(p, TN_JINJA_NODE_CONTINUE, word);
  if (one_of(word, elsewhere))
    return fail(p, TN_ERR_UNSUPPORTED, "the tag '%.*s' is not supported in a chat template",
                TN_STR_ARG(word));
  return fail(p, TN_ERR_DATA, "unexpected tag '%.*s'", TN_STR_ARG(word));
}

static node *parse_print(parser *p) {
  char room[80];
  node *n = make(p, TN_JINJA_NODE_PRINT);
  if (!n) return NULL;
  n->a = parse_tuple(p, parse_expression);
  if (p->status == TN_OK && p->at->kind != TN_JINJA_END_PRINT)
    return fail(p, TN_ERR_DATA, "expected }}, found %s", token_text(p->at, room));
  p->at++;
  return n;
}

static node *parse_body(parser *p, const char *ends) {
  node *head = NULL, *tail = NULL;
  if (!enter(p)) return NULL;
  while (p->status == TN_OK) {
    node *n = NULL;
    if (p->at->kind == TN_JINJA_EOF) {
      if (*ends) fail(p, TN_ERR_DATA, "the template ends before %s", ends);
      break;
    }
    if (p->at->kind == TN_JINJA_TEXT) {
      n = make(p, TN_JINJA_NODE_TEXT);
      if (n) n->text = (p->at++)->text;
    } else if (p->at->kind == TN_JINJA_BEGIN_PRINT) {
      p->at++;
      n = parse_print(p);
    } else {
      if (p->at[1].kind == TN_JINJA_NAME && one_of(p->at[1].text, ends)) break;
      p->at++;
      n = parse_statement(p);
    }
    append(&head, &tail, n);
  }
  p->depth--;
  return head;
}

tn_status tn_jinja_parse(tn_jinja *jinja, const tn_jinja_tokens *tokens, tn_error *err) {
  parser p = {.at = tokens->items, .arena = &jinja->arena, .err = err};
  jinja->body = parse_body(&p, "");
  return p.status;
}
