/* SPDX-License-Identifier: Apache-2.0 */
/* Text to tree: words, then one function a level of precedence. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "columns/expr_tree.h"
#include "columns/schema.h"

enum { PATH_MAX_PARTS = 64, LIST_MAX = 1000000 };

typedef enum token_kind {
  TOKEN_END,
  TOKEN_NUMBER,
  TOKEN_TEXT,   /* '...' */
  TOKEN_QUOTED, /* "..." */
  TOKEN_NAME,   /* a bare word */
  TOKEN_COLUMN, /* `...` or [...] */
  TOKEN_SIGN,   /* an operator or bracket */
} token_kind;

typedef struct token {
  token_kind kind;
  int32_t at, end;
  tn_str text; /* as written; of quoted ones the inside, doubled quotes undone */
} token;

typedef struct parser {
  tn_expr *e;
  tn_str text;
  token now;
  int32_t depth;
  tn_error *err;
} parser;

/* ---- messages ---- */
static int32_t character_of(tn_str text, int32_t at) {
  int32_t characters = 1;
  for (int32_t i = 0; i < at && (size_t)i < text.length; i++)
    characters += ((uint8_t)text.data[i] & 0xC0) != 0x80;
  return characters;
}

tn_status tn_expr_fail(const tn_expr *e, int32_t at, tn_error *err, const char *format, ...) {
  char message[TN_ERROR_TEXT_BYTES - 60];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return tn_fail(err, TN_ERR_ARGUMENT, "predicate, character %d: %s", character_of(e->text, at),
                 message);
}

static tn_status fail_at(parser *p, int32_t at, const char *message) {
  return tn_expr_fail(p->e, at, p->err, "%s", message);
}

static tn_status expected(parser *p, const char *what) {
  char message[200];
  int32_t length = p->now.end - p->now.at;
  if (p->now.kind == TOKEN_END)
    snprintf(message, sizeof message, "expected %s, found the end", what);
  else
    snprintf(message, sizeof message, "expected %s, found %.*s", what, length < 60 ? length : 60,
             p->text.data + p->now.at);
  return fail_at(p, p->now.at, message);
}

/* ---- words ---- */
static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}
static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static char peek(const parser *p, int32_t at) {
  return (size_t)at < p->text.length ? p->text.data[at] : '\0';
}

/* 'it''s' -> it's, in the arena. */
static tn_status read_quoted(parser *p, char close) {
  int32_t from = p->now.at + 1, to = from;
  for (;; to++) {
    if ((size_t)to >= p->text.length) {
      char message[60];
      snprintf(message, sizeof message, "the quote %c is not closed", p->text.data[p->now.at]);
      return fail_at(p, p->now.at, message);
    }
    if (p->text.data[to] != close) continue;
    if (close == ']' || peek(p, to + 1) != close) break;
    to++;
  }
  char *copy = tn_arena_alloc(&p->e->arena, (size_t)(to - from) + 1, 1);
  if (!copy) return tn_fail_memory(p->err, "a predicate", (size_t)(to - from));
  size_t length = 0;
  for (int32_t at = from; at < to; at++) {
    copy[length++] = p->text.data[at];
    at += p->text.data[at] == close;
  }
  p->now.text = (tn_str){copy, length};
  p->now.end = to + 1;
  return TN_OK;
}

static void read_number(parser *p) {
  int32_t at = p->now.at;
  while (is_digit(peek(p, at))) at++;
  if (peek(p, at) == '.') at++;
  while (is_digit(peek(p, at))) at++;
  char c = peek(p, at);
  if (c == 'e' || c == 'E') {
    int32_t power = at + 1;
    if (peek(p, power) == '-' || peek(p, power) == '+') power++;
    if (is_digit(peek(p, power))) at = power;
    while (is_digit(peek(p, at))) at++;
  }
  p->now.kind = TOKEN_NUMBER;
  p->now.end = at;
}

static tn_status next_token(parser *p) {
  int32_t at = p->now.end;
  while (peek(p, at) == ' ' || peek(p, at) == '\t' || peek(p, at) == '\n' || peek(p, at) == '\r')
    at++;
  p->now = (token){.at = at, .end = at};
  if ((size_t)at >= p->text.length) return TN_OK;
  char c = p->text.data[at], after = peek(p, at + 1);
  if (is_digit(c) || (c == '.' && is_digit(after))) {
    read_number(p);
  } else if (is_letter(c)) {
    while (is_letter(peek(p, at)) || is_digit(peek(p, at))) at++;
    p->now.kind = TOKEN_NAME;
    p->now.end = at;
  } else if (c == '\'' || c == '"' || c == '`' || c == '[') {
    p->now.kind = c == '\'' ? TOKEN_TEXT : c == '"' ? TOKEN_QUOTED : TOKEN_COLUMN;
    return read_quoted(p, c == '[' ? ']' : c);
  } else {
    static const char *const pairs[] = {"==", "!=", "<>", "<=", ">="};
    p->now.kind = TOKEN_SIGN;
    p->now.end = at + 1;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
      if (c == pairs[i][0] && after == pairs[i][1]) p->now.end = at + 2;
    if (p->now.end == at + 1 && !strchr("=<>+-*/%(),.", c)) return expected(p, "an operator");
  }
  p->now.text = (tn_str){p->text.data + p->now.at, (size_t)(p->now.end - p->now.at)};
  return TN_OK;
}

static bool is_word(const parser *p, const char *word) {
  if (p->now.kind != TOKEN_NAME || p->now.text.length != strlen(word)) return false;
  return strncasecmp(p->now.text.data, word, p->now.text.length) == 0;
}
static bool is_sign(const parser *p, const char *sign) {
  return p->now.kind == TOKEN_SIGN && tn_str_is(p->now.text, sign);
}
static tn_status take_sign(parser *p, const char *sign, const char *what) {
  return is_sign(p, sign) ? next_token(p) : expected(p, what);
}
/* A word that the language keeps for itself: a column of that name needs `quotes`. */
static bool is_reserved(const parser *p) {
  static const char *const words[] = {"and",  "or",   "not",   "in",     "between", "is",
                                      "null", "like", "ilike", "escape", "true",    "false"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (is_word(p, words[i])) return true;
  return false;
}

/* ---- nodes ---- */
static tn_status new_node(parser *p, tn_expr_kind kind, int32_t at, tn_expr_node **out) {
  if (++p->e->nodes > TN_EXPR_NODES_MAX)
    return tn_fail(p->err, TN_ERR_LIMIT, "a predicate of more than %d terms", TN_EXPR_NODES_MAX);
  tn_expr_node *node = tn_arena_alloc(&p->e->arena, 1, sizeof *node);
  if (!node) return tn_fail_memory(p->err, "a predicate", sizeof *node);
  node->kind = kind;
  node->at = at;
  *out = node;
  return TN_OK;
}

static tn_status new_pair(parser *p, tn_expr_kind kind, tn_expr_op op, tn_expr_node *left,
                          tn_expr_node *right, tn_expr_node **out) {
  TN_TRY(new_node(p, kind, left->at, out));
  (*out)->op = op;
  (*out)->left = left;
  (*out)->right = right;
  return TN_OK;
}

static tn_status new_text(parser *p, tn_str text, int32_t at, tn_expr_node **out) {
  TN_TRY(new_node(p, TN_EXPR_LITERAL, at, out));
  (*out)->class = TN_EXPR_TEXT;
  (*out)->text = text;
  return TN_OK;
}

/* Digits behind the point that the literal's exact value needs. */
static int32_t scale_of(tn_str text) {
  int64_t fraction = 0, exponent = 0;
  bool in_fraction = false;
  for (size_t i = 0; i < text.length; i++) {
    char c = text.data[i];
    if (c == 'e' || c == 'E') {
      tn_str power = {text.data + i + 1, text.length - i - 1};
      if (power.length && power.data[0] == '+') power = (tn_str){power.data + 1, power.length - 1};
      if (!tn_str_to_i64(power, &exponent)) return -1;
      break;
    }
    fraction += in_fraction;
    if (c == '.') in_fraction = true;
  }
  if (exponent < -1000 || exponent > 1000 || fraction > 1000) return -1;
  return fraction > exponent ? (int32_t)(fraction - exponent) : 0;
}

bool tn_expr_set_number(tn_expr_node *node, tn_str text) {
  char copy[64];
  if (text.data[0] == '.' && text.length < sizeof copy - 1) { /* the strict parsers want "0.5" */
    copy[0] = '0';
    memcpy(copy + 1, text.data, text.length);
    text = (tn_str){copy, text.length + 1};
  }
  if (text.data[text.length - 1] == '.') text.length--;
  if (!tn_str_to_f64(text, &node->number)) return false;
  int32_t scale = scale_of(text);
  node->class = TN_EXPR_DECIMAL;
  node->scale = scale < 0 ? 0 : scale;
  node->has_decimal = scale >= 0 && scale <= TN_DECIMAL_DIGITS_MAX &&
                      tn_decimal_parse(text, TN_DECIMAL_DIGITS_MAX, scale, &node->decimal);
  return true;
}

static tn_status new_number(parser *p, tn_str text, int32_t at, tn_expr_node **out) {
  TN_TRY(new_node(p, TN_EXPR_LITERAL, at, out));
  if (tn_expr_set_number(*out, text)) return TN_OK;
  return fail_at(p, at, "this number is beyond double");
}

/* ---- columns ---- */
static int64_t find_child(const tn_field *field, tn_str name) {
  for (int64_t i = 0; i < field->child_count; i++)
    if (tn_str_is(name, field->children[i].name)) return i;
  return -1;
}

static int32_t distance(tn_str a, tn_str b) {
  enum { LONGEST = 64 };
  int32_t row[LONGEST + 1];
  if (a.length > LONGEST || b.length > LONGEST) return LONGEST;
  for (size_t j = 0; j <= b.length; j++) row[j] = (int32_t)j;
  for (size_t i = 1; i <= a.length; i++) {
    int32_t diagonal = row[0];
    row[0] = (int32_t)i;
    for (size_t j = 1; j <= b.length; j++) {
      int32_t best = diagonal + (a.data[i - 1] != b.data[j - 1]);
      diagonal = row[j];
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      if (row[j] + 1 < best) best = row[j] + 1;
      row[j] = best;
    }
  }
  return row[b.length];
}

static tn_status no_such_column(parser *p, const tn_field *parent, tn_str name, int32_t at) {
  const char *nearest = NULL;
  int32_t best = (int32_t)name.length / 3 + 2;
  char message[300];
  for (int64_t i = 0; i < parent->child_count; i++) {
    int32_t far = distance(name, tn_str_of(parent->children[i].name));
    if (far < best) nearest = parent->children[i].name;
    if (far < best) best = far;
  }
  int32_t length = name.length < 60 ? (int32_t)name.length : 60;
  if (nearest) {
    snprintf(message, sizeof message, "no column \"%.*s\"; did you mean \"%.60s\"?", length,
             name.data, nearest);
  } else {
    int used = snprintf(message, sizeof message, "no column \"%.*s\"%s", length, name.data,
                        parent->child_count ? "; there are" : "");
    for (int64_t i = 0; i < parent->child_count && used < 200; i++)
      used += snprintf(message + used, sizeof message - (size_t)used, "%s %.40s", i ? "," : "",
                       parent->children[i].name);
  }
  return fail_at(p, at, message);
}

/* One more step of a path: the member `name` of what the path leads to so far. */
static tn_status step(parser *p, tn_expr_node *node, int64_t child) {
  int32_t depth = node->path_count;
  const tn_field *parent = depth ? node->path[depth - 1] : p->e->root;
  if (depth == PATH_MAX_PARTS) return fail_at(p, node->at, "a column nested too deep");
  node->path[depth] = &parent->children[child];
  node->indices[depth] = (int32_t)child;
  node->path_count++;
  return TN_OK;
}

/* "a.b" as one name, when the words up to here and the next one make such a column. */
static int64_t find_dotted(parser *p, tn_str first, token *last) {
  parser ahead = *p;
  ahead.err = NULL;
  int64_t found = -1;
  const char *end = first.data + first.length;
  while (is_sign(&ahead, ".") && ahead.text.data + ahead.now.at == end) {
    if (next_token(&ahead) != TN_OK || ahead.now.kind != TOKEN_NAME) break;
    end = ahead.text.data + ahead.now.end;
    int64_t child = find_child(p->e->root, (tn_str){first.data, (size_t)(end - first.data)});
    if (child >= 0) {
      found = child;
      *last = ahead.now;
    }
    if (next_token(&ahead) != TN_OK) break;
  }
  return found;
}

static tn_status parse_column(parser *p, tn_expr_node **out) {
  tn_str name = p->now.text;
  bool bare = p->now.kind == TOKEN_NAME;
  int32_t at = p->now.at;
  TN_TRY(new_node(p, TN_EXPR_COLUMN, at, out));
  tn_expr_node *node = *out;
  node->path = tn_arena_alloc(&p->e->arena, PATH_MAX_PARTS, sizeof *node->path);
  node->indices = tn_arena_alloc(&p->e->arena, PATH_MAX_PARTS, sizeof *node->indices);
  if (!node->path || !node->indices) return tn_fail_memory(p->err, "a predicate", 1024);
  TN_TRY(next_token(p));
  int64_t child = find_child(p->e->root, name);
  token last;
  int64_t dotted = child < 0 && bare ? find_dotted(p, name, &last) : -1;
  if (dotted >= 0) {
    p->now = last;
    TN_TRY(next_token(p));
    child = dotted;
  }
  if (child < 0) return no_such_column(p, p->e->root, name, at);
  TN_TRY(step(p, node, child));
  while (is_sign(p, ".")) {
    TN_TRY(next_token(p));
    const tn_field *parent = node->path[node->path_count - 1];
    if (p->now.kind != TOKEN_NAME && p->now.kind != TOKEN_COLUMN && p->now.kind != TOKEN_QUOTED)
      return expected(p, "the name of a member");
    if (parent->type.id != TN_TYPE_STRUCT || parent->dictionary)
      return fail_at(p, p->now.at, "only a struct has members");
    child = find_child(parent, p->now.text);
    if (child < 0) return no_such_column(p, parent, p->now.text, p->now.at);
    TN_TRY(step(p, node, child));
    TN_TRY(next_token(p));
  }
  tn_expr_classify(node, node->path[node->path_count - 1]);
  return TN_OK;
}

/* ---- levels of precedence ---- */
static tn_status parse_or(parser *p, tn_expr_node **out);
static tn_status parse_sum(parser *p, tn_expr_node **out);

static tn_status new_match(parser *p, tn_expr_node *left, tn_str pattern, bool fold, int32_t escape,
                           tn_expr_node **out);

/* starts_with(a, 'x'): a like with nothing special in the text. */
static tn_status parse_function(parser *p, tn_expr_node **out) {
  static const struct {
    const char *name;
    int form;
  } functions[] = {{"starts_with", TN_MATCH_PREFIX},
                   {"ends_with", TN_MATCH_SUFFIX},
                   {"contains", TN_MATCH_CONTAINS}};
  token name = p->now;
  int form = -1;
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (is_word(p, functions[i].name)) form = functions[i].form;
  if (form < 0) {
    p->now.end = name.end;
    return expected(p, "starts_with, ends_with or contains before '('");
  }
  tn_expr_node *left, *node;
  TN_TRY(next_token(p));
  TN_TRY(take_sign(p, "(", "'('"));
  TN_TRY(parse_sum(p, &left));
  TN_TRY(take_sign(p, ",", "','"));
  if (p->now.kind != TOKEN_TEXT && p->now.kind != TOKEN_QUOTED) return expected(p, "a text");
  TN_TRY(new_match(p, left, p->now.text, false, -1, &node));
  node->at = name.at;
  node->pattern->form = form;
  node->pattern->text = p->now.text;
  *out = node;
  TN_TRY(next_token(p));
  return take_sign(p, ")", "')'");
}

static tn_status parse_name(parser *p, tn_expr_node **out) {
  bool is_null = is_word(p, "null"), is_true = is_word(p, "true");
  if (is_null || is_true || is_word(p, "false")) {
    TN_TRY(new_node(p, TN_EXPR_LITERAL, p->now.at, out));
    (*out)->class = is_null ? TN_EXPR_NULL : TN_EXPR_BOOL;
    (*out)->is_null = is_null;
    (*out)->boolean = is_true;
    return next_token(p);
  }
  if (is_reserved(p)) return expected(p, "a column or a value");
  parser ahead = *p;
  ahead.err = NULL;
  if (next_token(&ahead) == TN_OK && is_sign(&ahead, "(")) return parse_function(p, out);
  return parse_column(p, out);
}

static tn_status parse_value(parser *p, tn_expr_node **out) {
  switch (p->now.kind) {
    case TOKEN_NUMBER:
      TN_TRY(new_number(p, p->now.text, p->now.at, out));
      return next_token(p);
    case TOKEN_QUOTED:
      if (find_child(p->e->root, p->now.text) >= 0) return parse_column(p, out);
      /* fall through */
    case TOKEN_TEXT:
      TN_TRY(new_text(p, p->now.text, p->now.at, out));
      return next_token(p);
    case TOKEN_COLUMN:
      return parse_column(p, out);
    case TOKEN_NAME:
      return parse_name(p, out);
    default:
      break;
  }
  if (!is_sign(p, "(")) return expected(p, "a column or a value");
  TN_TRY(next_token(p));
  TN_TRY(parse_or(p, out));
  return take_sign(p, ")", "')'");
}

static tn_status parse_unary(parser *p, tn_expr_node **out) {
  if (!is_sign(p, "-") && !is_sign(p, "+")) return parse_value(p, out);
  bool minus = is_sign(p, "-");
  int32_t at = p->now.at;
  if (++p->depth > TN_EXPR_DEPTH_MAX)
    return tn_fail(p->err, TN_ERR_LIMIT, "a predicate nested deeper than %d", TN_EXPR_DEPTH_MAX);
  tn_expr_node *zero = NULL, *value;
  TN_TRY(next_token(p));
  TN_TRY(parse_unary(p, &value));
  p->depth--;
  *out = value;
  if (!minus) return TN_OK;
  if (value->kind == TN_EXPR_LITERAL && value->class == TN_EXPR_DECIMAL) {
    value->number = -value->number;
    tn_decimal_value *d = &value->decimal; /* two's complement */
    uint64_t carry = 1;
    for (int i = 0; i < TN_DECIMAL_WORDS; i++) {
      d->words[i] = ~d->words[i] + carry;
      carry = carry && d->words[i] == 0;
    }
    value->at = at;
    return TN_OK;
  }
  TN_TRY(new_number(p, TN_STR("0"), at, &zero));
  return new_pair(p, TN_EXPR_ARITHMETIC, TN_EXPR_SUB, zero, value, out);
}

static tn_status parse_product(parser *p, tn_expr_node **out) {
  tn_expr_node *right;
  TN_TRY(parse_unary(p, out));
  for (;;) {
    bool mul = is_sign(p, "*"), div = is_sign(p, "/");
    if (!mul && !div && !is_sign(p, "%")) return TN_OK;
    TN_TRY(next_token(p));
    TN_TRY(parse_unary(p, &right));
    tn_expr_op op = mul ? TN_EXPR_MUL : div ? TN_EXPR_DIV : TN_EXPR_MOD;
    TN_TRY(new_pair(p, TN_EXPR_ARITHMETIC, op, *out, right, out));
  }
}

static tn_status parse_sum(parser *p, tn_expr_node **out) {
  tn_expr_node *right;
  TN_TRY(parse_product(p, out));
  for (;;) {
    bool add = is_sign(p, "+");
    if (!add && !is_sign(p, "-")) return TN_OK;
    TN_TRY(next_token(p));
    TN_TRY(parse_product(p, &right));
    TN_TRY(new_pair(p, TN_EXPR_ARITHMETIC, add ? TN_EXPR_ADD : TN_EXPR_SUB, *out, right, out));
  }
}

static tn_status parse_list(parser *p, tn_expr_node *left, bool negated, tn_expr_node **out) {
  TN_TRY(new_node(p, TN_EXPR_IN, left->at, out));
  tn_expr_node *node = *out, **link = &node->right;
  node->left = left;
  node->negated = negated;
  TN_TRY(take_sign(p, "(", "'(' and a list"));
  for (;;) { /* the items hang on each other's `right`, until they are checked */
    tn_expr_node *item;
    int32_t before = p->e->nodes;
    TN_TRY(parse_sum(p, &item));
    if (item->kind != TN_EXPR_LITERAL)
      return fail_at(p, item->at, "a list holds plain values, no columns and no arithmetic");
    p->e->nodes = before;
    if (++node->item_count > LIST_MAX)
      return tn_fail(p->err, TN_ERR_LIMIT, "a list of more than %d values", LIST_MAX);
    *link = item;
    link = &item->right;
    if (!is_sign(p, ",")) break;
    TN_TRY(next_token(p));
  }
  return take_sign(p, ")", "',' or ')'");
}

static tn_status parse_between(parser *p, tn_expr_node *value, bool negated, tn_expr_node **out) {
  tn_expr_node *low, *high, *above = NULL, *below = NULL;
  TN_TRY(parse_sum(p, &low));
  if (!is_word(p, "and")) return expected(p, "'and' of between");
  TN_TRY(next_token(p));
  TN_TRY(parse_sum(p, &high));
  TN_TRY(new_pair(p, TN_EXPR_COMPARE, negated ? TN_EXPR_LT : TN_EXPR_GE, value, low, &above));
  TN_TRY(new_pair(p, TN_EXPR_COMPARE, negated ? TN_EXPR_GT : TN_EXPR_LE, value, high, &below));
  return new_pair(p, negated ? TN_EXPR_OR : TN_EXPR_AND, 0, above, below, out);
}

/* Which bytes of the pattern are wildcards, and whether it is one of the easy forms. */
static tn_status new_match(parser *p, tn_expr_node *left, tn_str pattern, bool fold, int32_t escape,
                           tn_expr_node **out) {
  TN_TRY(new_node(p, TN_EXPR_MATCH, left->at, out));
  tn_expr_pattern *m = tn_arena_alloc(&p->e->arena, 1, sizeof *m);
  char *text = tn_arena_alloc(&p->e->arena, pattern.length + 1, 1);
  bool *special = tn_arena_alloc(&p->e->arena, pattern.length + 1, 1);
  if (!m || !text || !special) return tn_fail_memory(p->err, "a pattern", pattern.length);
  size_t length = 0, specials = 0;
  for (size_t i = 0; i < pattern.length; i++) {
    char c = pattern.data[i];
    if (escape >= 0 && c == (char)escape) {
      if (++i == pattern.length) return fail_at(p, p->now.at, "the pattern ends in its escape");
      text[length++] = pattern.data[i];
      continue;
    }
    special[length] = c == '%' || c == '_';
    specials += special[length];
    text[length++] = c;
  }
  bool first = length > 0 && special[0] && text[0] == '%';
  bool last = length > 0 && special[length - 1] && text[length - 1] == '%';
  *m = (tn_expr_pattern){.form = TN_MATCH_GENERAL,
                         .general = {text, length},
                         .text = {text, length},
                         .special = special,
                         .fold = fold};
  if (specials == 0)
    m->form = TN_MATCH_EXACT;
  else if (specials == 1 && last)
    m->form = TN_MATCH_PREFIX, m->text.length--;
  else if (specials == 1 && first)
    m->form = TN_MATCH_SUFFIX, m->text = (tn_str){text + 1, length - 1};
  else if (specials == 2 && first && last && length >= 2)
    m->form = TN_MATCH_CONTAINS, m->text = (tn_str){text + 1, length - 2};
  (*out)->left = left;
  (*out)->pattern = m;
  return TN_OK;
}

static tn_status parse_like(parser *p, tn_expr_node *left, bool negated, bool fold,
                            tn_expr_node **out) {
  if (p->now.kind != TOKEN_TEXT && p->now.kind != TOKEN_QUOTED)
    return expected(p, "a pattern in quotes");
  tn_str pattern = p->now.text;
  int32_t escape = -1;
  TN_TRY(next_token(p));
  if (is_word(p, "escape")) {
    TN_TRY(next_token(p));
    if ((p->now.kind != TOKEN_TEXT && p->now.kind != TOKEN_QUOTED) || p->now.text.length != 1)
      return expected(p, "one character in quotes behind escape");
    escape = (uint8_t)p->now.text.data[0];
    TN_TRY(next_token(p));
  }
  TN_TRY(new_match(p, left, pattern, fold, escape, out));
  (*out)->negated = negated;
  return TN_OK;
}

static tn_status parse_is(parser *p, tn_expr_node *left, tn_expr_node **out) {
  TN_TRY(new_node(p, TN_EXPR_IS_NULL, left->at, out));
  (*out)->left = left;
  (*out)->negated = is_word(p, "not");
  if (is_word(p, "not")) TN_TRY(next_token(p));
  if (!is_word(p, "null")) return expected(p, "'null' or 'not null' behind is");
  return next_token(p);
}

static tn_status parse_predicate(parser *p, tn_expr_node **out) {
  static const struct {
    const char *sign;
    tn_expr_op op;
  } signs[] = {{"=", TN_EXPR_EQ}, {"==", TN_EXPR_EQ}, {"<>", TN_EXPR_NE}, {"!=", TN_EXPR_NE},
               {"<", TN_EXPR_LT}, {"<=", TN_EXPR_LE}, {">", TN_EXPR_GT},  {">=", TN_EXPR_GE}};
  tn_expr_node *left, *right;
  TN_TRY(parse_sum(p, &left));
  *out = left;
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    if (!is_sign(p, signs[i].sign)) continue;
    TN_TRY(next_token(p));
    TN_TRY(parse_sum(p, &right));
    return new_pair(p, TN_EXPR_COMPARE, signs[i].op, left, right, out);
  }
  bool negated = is_word(p, "not");
  if (is_word(p, "is")) {
    TN_TRY(next_token(p));
    return parse_is(p, left, out);
  }
  if (negated) TN_TRY(next_token(p));
  bool in = is_word(p, "in"), between = is_word(p, "between"), like = is_word(p, "like");
  if (in || between || like || is_word(p, "ilike")) {
    TN_TRY(next_token(p));
    if (in) return parse_list(p, left, negated, out);
    if (between) return parse_between(p, left, negated, out);
    return parse_like(p, left, negated, !like, out);
  }
  return negated ? expected(p, "in, between, like or ilike behind not") : TN_OK;
}

static tn_status parse_not(parser *p, tn_expr_node **out) {
  if (!is_word(p, "not")) return parse_predicate(p, out);
  int32_t at = p->now.at;
  if (++p->depth > TN_EXPR_DEPTH_MAX)
    return tn_fail(p->err, TN_ERR_LIMIT, "a predicate nested deeper than %d", TN_EXPR_DEPTH_MAX);
  tn_expr_node *inner;
  TN_TRY(next_token(p));
  TN_TRY(parse_not(p, &inner));
  p->depth--;
  TN_TRY(new_node(p, TN_EXPR_NOT, at, out));
  (*out)->left = inner;
  return TN_OK;
}

static tn_status parse_and(parser *p, tn_expr_node **out) {
  tn_expr_node *right;
  TN_TRY(parse_not(p, out));
  while (is_word(p, "and")) {
    TN_TRY(next_token(p));
    TN_TRY(parse_not(p, &right));
    TN_TRY(new_pair(p, TN_EXPR_AND, 0, *out, right, out));
  }
  return TN_OK;
}

static tn_status parse_or(parser *p, tn_expr_node **out) {
  tn_expr_node *right;
  if (++p->depth > TN_EXPR_DEPTH_MAX)
    return tn_fail(p->err, TN_ERR_LIMIT, "a predicate nested deeper than %d", TN_EXPR_DEPTH_MAX);
  TN_TRY(parse_and(p, out));
  while (is_word(p, "or")) {
    TN_TRY(next_token(p));
    TN_TRY(parse_and(p, &right));
    TN_TRY(new_pair(p, TN_EXPR_OR, 0, *out, right, out));
  }
  p->depth--;
  return TN_OK;
}

/* ---- the whole ---- */
static void mark_columns(const tn_expr_node *node, bool *used) {
  if (!node) return;
  if (node->kind == TN_EXPR_COLUMN) used[node->indices[0]] = true;
  mark_columns(node->left, used);
  if (node->kind != TN_EXPR_IN) mark_columns(node->right, used);
}

static tn_status collect_columns(tn_expr *e, tn_error *err) {
  size_t count = (size_t)e->root->child_count;
  bool *used = tn_arena_alloc(&e->arena, count, 1);
  e->columns = tn_arena_alloc(&e->arena, count, sizeof *e->columns);
  if (!used || !e->columns) return tn_fail_memory(err, "a predicate", count * 9);
  mark_columns(e->top, used);
  for (size_t i = 0; i < count; i++)
    if (used[i]) e->columns[e->column_count++] = (int64_t)i;
  return TN_OK;
}

static tn_status parse_all(tn_expr *e, tn_str text, tn_error *err) {
  parser p = {.e = e, .err = err};
  if (text.length > TN_EXPR_TEXT_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "a predicate of %zu bytes, limit %d", text.length,
                   TN_EXPR_TEXT_MAX);
  p.text = (tn_str){tn_arena_strndup(&e->arena, text.data, text.length), text.length};
  if (!p.text.data) return tn_fail_memory(err, "a predicate", text.length);
  e->text = p.text;
  TN_TRY(next_token(&p));
  if (p.now.kind == TOKEN_END) return expected(&p, "a condition, like price > 10");
  TN_TRY(parse_or(&p, &e->top));
  if (p.now.kind != TOKEN_END) return expected(&p, "and, or, or the end");
  return TN_OK;
}

/* The schema's columns, then the bound ones. */
static tn_status all_columns(ArrowSchema *out, const ArrowSchema *schema,
                             const tn_expr_bound *bound, tn_error *err) {
  if (!bound) return tn_schema_copy(out, schema, err);
  int64_t count = schema->n_children, more = bound->schema->n_children;
  TN_TRY(tn_schema_init(out, schema->format, "", 0, err));
  TN_TRY(tn_schema_add_children(out, count + more, err));
  for (int64_t i = 0; i < count; i++)
    TN_TRY(tn_schema_copy(out->children[i], schema->children[i], err));
  for (int64_t i = 0; i < more; i++)
    TN_TRY(tn_schema_copy(out->children[count + i], bound->schema->children[i], err));
  return TN_OK;
}

tn_status tn_expr_new_bound(tn_expr **out, tn_str text, const ArrowSchema *schema,
                            const tn_expr_bound *bound, tn_error *err) {
  *out = NULL;
  tn_expr *e = tn_alloc(1, sizeof *e);
  if (!e) return tn_fail_memory(err, "a predicate", sizeof *e);
  tn_status status = all_columns(&e->schema, schema, bound, err);
  if (status == TN_OK) status = tn_field_tree(&e->root, &e->arena, &e->schema, err);
  if (status == TN_OK && e->root->type.id != TN_TYPE_STRUCT)
    status = tn_fail(err, TN_ERR_ARGUMENT, "a predicate wants a table, not %s",
                     tn_type_name(e->root->type.id));
  if (status == TN_OK) e->batch_columns = e->root->child_count;
  if (status == TN_OK) status = parse_all(e, text, err);
  if (status == TN_OK) status = tn_expr_check(e, err);
  if (status == TN_OK && bound) status = tn_expr_bind(e, schema->n_children, bound->row, err);
  if (status == TN_OK) status = collect_columns(e, err);
  if (status != TN_OK) {
    tn_expr_free(e);
    return status;
  }
  *out = e;
  return TN_OK;
}

tn_status tn_expr_new(tn_expr **out, tn_str text, const ArrowSchema *schema, tn_error *err) {
  return tn_expr_new_bound(out, text, schema, NULL, err);
}

void tn_expr_free(tn_expr *e) {
  if (!e) return;
  tn_schema_clear(&e->schema);
  tn_arena_clear(&e->arena);
  tn_arena_clear(&e->scratch);
  tn_free(e->results);
  tn_free(e->selected);
  tn_free(e);
}

const int64_t *tn_expr_columns(const tn_expr *e, int64_t *count) {
  *count = e->column_count;
  return e->columns;
}

int tn_expr_decided(const tn_expr *e) {
  if (e->top->kind != TN_EXPR_LITERAL) return -1;
  return !e->top->is_null && e->top->boolean;
}
