/* SPDX-License-Identifier: Apache-2.0 */
#include "model/jinja_ast.h"

typedef struct lexer {
  const char *source, *at, *end;
  int32_t line;
  tn_arena *arena;
  tn_jinja_tokens *out;
  bool trim_newline; /* a block tag has just ended: one newline goes */
  bool strip;        /* ... with a '-': all white space goes */
} lexer;

static tn_status push(lexer *x, tn_jinja_token_kind kind, tn_str text, tn_error *err) {
  size_t capacity = x->out->capacity;
  TN_TRY(
      tn_grow((void **)&x->out->items, &capacity, x->out->count + 1, sizeof(tn_jinja_token), err));
  x->out->capacity = capacity;
  x->out->items[x->out->count++] = (tn_jinja_token){.kind = kind, .line = x->line, .text = text};
  return TN_OK;
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
static bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
         (unsigned char)c >= 0x80;
}

static void count_lines(lexer *x, const char *from, const char *to) {
  for (; from < to; from++) x->line += *from == '\n';
}

/* ---- inside of tags ---- */
static int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* \xhh, \uhhhh, \Uhhhhhhhh; false when the digits are not there. */
static bool unescape_code(const char **at, const char *end, int digits, tn_strbuf *out) {
  uint32_t code = 0;
  if (end - *at < digits) return false;
  for (int i = 0; i < digits; i++) {
    int value = hex_value((*at)[i]);
    if (value < 0) return false;
    code = code << 4 | (uint32_t)value;
  }
  *at += digits;
  uint8_t utf8[4];
  int bytes = tn_utf8_encode(code, utf8);
  if (bytes == 0) return false;
  tn_strbuf_append(out, utf8, (size_t)bytes);
  return true;
}

static bool unescape_octal(const char **at, const char *end, tn_strbuf *out) {
  uint32_t code = 0;
  for (int i = 0; i < 3 && *at < end && **at >= '0' && **at <= '7'; i++, (*at)++)
    code = code << 3 | (uint32_t)(**at - '0');
  uint8_t utf8[4];
  tn_strbuf_append(out, utf8, (size_t)tn_utf8_encode(code, utf8));
  return true;
}

/* As Python reads a string literal: an unknown escape stays as it is. */
static bool unescape(const char *at, const char *end, tn_strbuf *out) {
  static const char plain[] = "\\'\"abfnrtv", means[] = "\\'\"\a\b\f\n\r\t\v";
  while (at < end) {
    if (*at != '\\' || at + 1 == end) {
      tn_strbuf_add_char(out, *at++);
      continue;
    }
    char c = at[1];
    const char *known = c ? strchr(plain, c) : NULL;
    bool good = true;
    if (c >= '0' && c <= '7') {
      at++;
      good = unescape_octal(&at, end, out);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      at += 2;
      good = unescape_code(&at, end, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
    } else {
      at += 2;
      if (c == '\n') continue;
      if (!known) tn_strbuf_add_char(out, '\\');
      tn_strbuf_add_char(out, known ? means[known - plain] : c);
    }
    if (!good) return false;
  }
  return true;
}

static tn_status lex_string(lexer *x, tn_error *err) {
  char quote = *x->at;
  const char *from = ++x->at;
  while (x->at < x->end && *x->at != quote) x->at += *x->at == '\\' && x->at + 1 < x->end ? 2 : 1;
  if (x->at >= x->end)
    return tn_fail(err, TN_ERR_DATA, "line %d: a string without its closing %c", x->line, quote);
  tn_strbuf text = {0};
  bool good = unescape(from, x->at, &text);
  char *copy = good && !text.failed
                   ? tn_arena_strndup(x->arena, text.data ? text.data : "", text.length)
                   : NULL;
  tn_str view = {copy, text.length};
  tn_strbuf_clear(&text);
  if (!good) return tn_fail(err, TN_ERR_DATA, "line %d: a broken escape in a string", x->line);
  if (!copy) return tn_fail_memory(err, "a template's string", view.length);
  TN_TRY(push(x, TN_JINJA_STRING, view, err));
  count_lines(x, from, x->at);
  x->at++;
  return TN_OK;
}

static tn_status lex_number(lexer *x, tn_error *err) {
  const char *from = x->at;
  bool real = false;
  while (x->at < x->end && (is_digit(*x->at) || *x->at == '_')) x->at++;
  if (x->at + 1 < x->end && *x->at == '.' && is_digit(x->at[1])) {
    real = true;
    x->at++;
    while (x->at < x->end && is_digit(*x->at)) x->at++;
  }
  if (x->at < x->end && (*x->at == 'e' || *x->at == 'E')) {
    const char *digits = x->at + 1;
    if (digits < x->end && (*digits == '+' || *digits == '-')) digits++;
    if (digits < x->end && is_digit(*digits)) {
      real = true;
      x->at = digits;
      while (x->at < x->end && is_digit(*x->at)) x->at++;
    }
  }
  char digits[64];
  size_t count = 0;
  for (const char *p = from; p < x->at; p++) {
    if (count == sizeof digits)
      return tn_fail(err, TN_ERR_LIMIT, "line %d: a number of more than 64 digits", x->line);
    if (*p != '_') digits[count++] = *p;
  }
  tn_str text = {digits, count};
  TN_TRY(push(x, real ? TN_JINJA_FLOAT : TN_JINJA_INTEGER, (tn_str){from, (size_t)(x->at - from)},
              err));
  tn_jinja_token *token = &x->out->items[x->out->count - 1];
  bool good = real ? tn_str_to_f64(text, &token->number) : tn_str_to_i64(text, &token->integer);
  if (!good)
    return tn_fail(err, TN_ERR_LIMIT, "line %d: the number %.*s does not fit", x->line,
                   TN_STR_ARG(text));
  return TN_OK;
}

static tn_status lex_operator(lexer *x, tn_error *err) {
  static const char *const two[] = {"==", "!=", "<=", ">=", "//", "**"};
  static const char one[] = "+-/*%~[](){}>=<.:|,;";
  for (size_t i = 0; i < sizeof two / sizeof two[0]; i++) {
    if (x->end - x->at < 2 || memcmp(x->at, two[i], 2) != 0) continue;
    TN_TRY(push(x, TN_JINJA_OPERATOR, (tn_str){x->at, 2}, err));
    x->at += 2;
    return TN_OK;
  }
  if (!*x->at || !strchr(one, *x->at))
    return tn_fail(err, TN_ERR_DATA, "line %d: unexpected character '%c' (0x%02x)", x->line,
                   *x->at >= ' ' && *x->at < 127 ? *x->at : '?', (unsigned char)*x->at);
  TN_TRY(push(x, TN_JINJA_OPERATOR, (tn_str){x->at, 1}, err));
  x->at++;
  return TN_OK;
}

/* Does the tag end here: "}}", "-}}", "%}", "-%}", "+%}"?  0: no, else the bytes of it. */
static int tag_end(const lexer *x, const char *close) {
  if (x->end - x->at >= 2 && memcmp(x->at, close, 2) == 0) return 2;
  bool sign = x->end - x->at >= 3 && (*x->at == '-' || *x->at == '+');
  return sign && memcmp(x->at + 1, close, 2) == 0 ? 3 : 0;
}

static tn_status lex_tag(lexer *x, bool block, tn_error *err) {
  const char *close = block ? "%}" : "}}";
  int32_t opened = x->line, depth = 0;
  TN_TRY(push(x, block ? TN_JINJA_BEGIN_BLOCK : TN_JINJA_BEGIN_PRINT, (tn_str){0}, err));
  for (;;) {
    while (x->at < x->end && is_space(*x->at)) x->line += *x->at++ == '\n';
    if (x->at >= x->end)
      return tn_fail(err, TN_ERR_DATA, "line %d: a tag without its closing %s", opened, close);
    int ends = depth == 0 ? tag_end(x, close) : 0;
    if (ends) {
      x->strip = *x->at == '-';
      x->trim_newline = block && *x->at != '+';
      TN_TRY(push(x, block ? TN_JINJA_END_BLOCK : TN_JINJA_END_PRINT, (tn_str){0}, err));
      x->at += ends;
      return TN_OK;
    }
    char c = *x->at;
    if (c == '(' || c == '[' || c == '{') depth++;
    if ((c == ')' || c == ']' || c == '}') && depth > 0) depth--;
    if (c == '"' || c == '\'') {
      TN_TRY(lex_string(x, err));
    } else if (is_digit(c)) {
      TN_TRY(lex_number(x, err));
    } else if (is_name(c)) {
      const char *from = x->at;
      while (x->at < x->end && is_name(*x->at)) x->at++;
      TN_TRY(push(x, TN_JINJA_NAME, (tn_str){from, (size_t)(x->at - from)}, err));
    } else {
      TN_TRY(lex_operator(x, err));
    }
  }
}

/* ---- between tags ---- */
/* The next "{{", "{%" or "{#"; the end when there is none. */
static const char *next_tag(const char *at, const char *end) {
  for (; end - at >= 2; at++)
    if (*at == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#')) return at;
  return end;
}

/* Text [from, to) before a tag: what the tags on both sides take away is left out. */
static tn_status push_text(lexer *x, const char *from, const char *to, bool strip_right,
                           bool strip_line, tn_error *err) {
  const char *begin = from;
  if (x->strip) {
    while (from < to && is_space(*from)) from++;
  } else if (x->trim_newline && from < to && *from == '\n') {
    from++;
  }
  const char *stop = to;
  if (strip_right) {
    while (stop > from && is_space(stop[-1])) stop--;
  } else if (strip_line) {
    const char *p = stop;
    while (p > begin && (p[-1] == ' ' || p[-1] == '\t')) p--;
    if (p == begin ? p == x->source : p[-1] == '\n') stop = p < from ? from : p;
  }
  if (stop > from) TN_TRY(push(x, TN_JINJA_TEXT, (tn_str){from, (size_t)(stop - from)}, err));
  count_lines(x, begin, to);
  x->strip = x->trim_newline = false;
  return TN_OK;
}

static tn_status lex_comment(lexer *x, tn_error *err) {
  const char *from = x->at;
  for (; x->end - x->at >= 2; x->at++) {
    if (memcmp(x->at, "#}", 2) != 0) continue;
    x->strip = x->at[-1] == '-';
    x->trim_newline = x->at[-1] != '+';
    x->at += 2;
    count_lines(x, from, x->at);
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_DATA, "line %d: a comment without its closing #}", x->line);
}

static bool is_block_word(const lexer *x, const char *at, const char *word) {
  size_t length = strlen(word);
  while (at < x->end && (is_space(*at) || *at == '-' || *at == '+')) at++;
  return (size_t)(x->end - at) > length && memcmp(at, word, length) == 0 && !is_name(at[length]);
}

/* The end of "raw -%}" or "raw %}" behind "{%"; NULL when the tag is another one. */
static const char *raw_tag_end(const lexer *x) {
  if (!is_block_word(x, x->at, "raw")) return NULL;
  const char *p = x->at;
  while (is_space(*p)) p++;
  if (memcmp(p, "raw", 3) != 0) return NULL;
  for (p += 3; p < x->end && is_space(*p); p++) {
  }
  if (x->end - p >= 3 && memcmp(p, "-%}", 3) == 0) return p + 3;
  return x->end - p >= 2 && memcmp(p, "%}", 2) == 0 ? p + 2 : NULL;
}

/* Everything up to "{% endraw %}" is text; `from` is where it begins. */
static tn_status lex_raw(lexer *x, const char *from, tn_error *err) {
  int32_t opened = x->line;
  x->strip = from[-3] == '-';
  x->trim_newline = false;
  for (const char *p = from; x->end - p >= 2; p++) {
    if (p[0] != '{' || p[1] != '%' || !is_block_word(x, p + 2, "endraw")) continue;
    TN_TRY(push_text(x, from, p, p[2] == '-', p[2] != '+', err));
    while (x->end - p >= 2 && memcmp(p, "%}", 2) != 0) p++;
    if (x->end - p < 2) break;
    x->strip = p[-1] == '-';
    x->trim_newline = p[-1] != '+';
    x->at = p + 2;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_DATA, "line %d: raw without endraw", opened);
}

tn_status tn_jinja_lex(tn_str source, tn_arena *arena, tn_jinja_tokens *out, tn_error *err) {
  lexer x = {source.data, source.data, source.data + source.length, 1, arena, out, false, false};
  if (source.length > 0 && x.end[-1] == '\n') x.end--; /* keep_trailing_newline is off */
  while (x.at < x.end) {
    const char *tag = next_tag(x.at, x.end);
    char kind = tag < x.end ? tag[1] : 0;
    char sign = x.end - tag > 2 ? tag[2] : 0;
    bool line = (kind == '%' || kind == '#') && sign != '+';
    TN_TRY(push_text(&x, x.at, tag, kind && sign == '-', kind && line, err));
    if (!kind) break;
    x.at = tag + 2 + ((sign == '-' || sign == '+') && (kind != '{' || sign == '-'));
    if (kind == '#') {
      TN_TRY(lex_comment(&x, err));
      continue;
    }
    const char *raw = kind == '%' ? raw_tag_end(&x) : NULL;
    TN_TRY(raw ? lex_raw(&x, raw, err) : lex_tag(&x, kind == '%', err));
  }
  return push(&x, TN_JINJA_EOF, (tn_str){0}, err);
}
