/* SPDX-License-Identifier: Apache-2.0 */
/* tn_json_parse: one pass, no recursion; the open containers stand on an explicit stack. */
#include <stdio.h>

#include "base/json.h"
#include "base/map.h"
#include "base/number.h"

enum { DEPTH_MAX_DEFAULT = 512, FRAMES_INLINE = 32, KEYS_FEW = 8 };

typedef struct frame {
  tn_json *node;
  tn_json **tail; /* where the next child is linked */
} frame;

typedef struct parser {
  const char *begin, *at, *end;
  tn_arena *arena;
  tn_error *err;
  int32_t depth, depth_max;
  bool unique_keys;
  frame *frames; /* `few` until that is full, then on the heap */
  size_t frame_capacity;
  frame few[FRAMES_INLINE];
} parser;

/* ---- errors ---- */

static tn_status fail_at(parser *p, const char *at, tn_status status, const char *message) {
  long long line = 1, column = 1;
  for (const char *c = p->begin; c < at; c++) {
    if (*c == '\n') {
      line++;
      column = 1;
    } else if (((unsigned char)*c & 0xC0) != 0x80) { /* columns count characters, not bytes */
      column++;
    }
  }
  return tn_fail(p->err, status, "line %lld, column %lld: %s", line, column, message);
}

static tn_status fail_expected(parser *p, const char *expected) {
  char message[200];
  unsigned char c = p->at < p->end ? (unsigned char)*p->at : 0;
  if (p->at >= p->end)
    snprintf(message, sizeof message, "expected %s, found the end", expected);
  else if (c > 0x20 && c < 0x7F)
    snprintf(message, sizeof message, "expected %s, found '%c'", expected, c);
  else
    snprintf(message, sizeof message, "expected %s, found byte 0x%02X", expected, c);
  return fail_at(p, p->at, TN_ERR_DATA, message);
}

static tn_status fail_memory(parser *p) {
  const tn_arena *arena = p->arena;
  if (!arena->limit_bytes) return tn_fail_memory(p->err, "a JSON tree", arena->used_bytes);
  return tn_fail(p->err, TN_ERR_LIMIT, "a JSON tree wants more than the limit of %zu bytes",
                 arena->limit_bytes);
}

/* ---- strings ---- */

static uint64_t has_zero_byte(uint64_t word) {
  return (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

/* A byte that ends a plain run: a quote, a backslash, a control character, or one above 0x7F. */
static bool is_special(unsigned char c) {
  return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

/* Skips plain ASCII, eight bytes at a time.  In a word without high bits, the subtraction of 0x20
 * from each byte borrows exactly where some byte is below 0x20 (a borrow may also mark bytes behind
 * the first such one, which does not matter here). */
static const char *skip_plain(const char *at, const char *end) {
  while (end - at >= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    uint64_t special = (word - 0x2020202020202020u) | word;
    special &= 0x8080808080808080u;
    special |= has_zero_byte(word ^ 0x2222222222222222u);
    special |= has_zero_byte(word ^ 0x5C5C5C5C5C5C5C5Cu);
    if (special) break;
    at += 8;
  }
  while (at < end && !is_special((unsigned char)*at)) at++;
  return at;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX; -1 when there are not four. */
static int32_t read_hex4(const char *at, const char *end) {
  if (end - at < 4) return -1;
  int32_t value = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

static bool is_high_surrogate(int32_t unit) {
  return unit >= 0xD800 && unit <= 0xDBFF;
}
static bool is_low_surrogate(int32_t unit) {
  return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* *at stands behind "\u"; moves it behind the digits, of a pair too. */
static const char *read_unicode_escape(const char **at, const char *end, uint32_t *code) {
  int32_t unit = read_hex4(*at, end);
  if (unit < 0) return "expected four hexadecimal digits behind \\u";
  *at += 4;
  *code = (uint32_t)unit;
  if (is_low_surrogate(unit)) return "a low surrogate without a high one before it";
  if (!is_high_surrogate(unit)) return NULL;
  int32_t low = -1;
  if (end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') low = read_hex4(*at + 2, end);
  if (!is_low_surrogate(low)) return "a high surrogate without a low one behind it";
  *at += 6;
  *code = 0x10000 + ((uint32_t)(unit - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
  return NULL;
}

char tn_json_plain_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
    case '/':
      return c;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return 0;
  }
}

/* *at stands on a backslash; writes at most 4 bytes and never more than the escape has. */
static const char *read_escape(const char **at, const char *end, char **to) {
  if (end - *at < 2) return "expected an escape, found the end";
  char c = (*at)[1];
  if (c == 'u') {
    uint32_t code;
    *at += 2;
    const char *problem = read_unicode_escape(at, end, &code);
    if (!problem) *to += tn_utf8_encode(code, (uint8_t *)*to);
    return problem;
  }
  char plain = tn_json_plain_escape(c);
  if (!plain) return "expected one of \" \\ / b f n r t u behind a backslash";
  *(*to)++ = plain;
  *at += 2;
  return NULL;
}

/* From the opening quote to behind the closing one; only looks for the end and checks the bytes.
 * Escapes are checked when they are replaced. */
static tn_status find_string_end(parser *p, const char **out, bool *escaped) {
  const char *at = p->at + 1;
  for (;;) {
    at = skip_plain(at, p->end);
    if (at >= p->end)
      return fail_at(p, p->at, TN_ERR_DATA, "this string has no end: expected '\"'");
    unsigned char c = (unsigned char)*at;
    if (c == '"') break;
    if (c == '\\') {
      *escaped = true;
      at += p->end - at < 2 ? 1 : 2;
    } else if (c >= 0x80) {
      int length = tn_utf8_length((const uint8_t *)at, (size_t)(p->end - at));
      if (length == 0) return fail_at(p, at, TN_ERR_DATA, "expected UTF-8, found an invalid byte");
      at += length;
    } else {
      return fail_at(p, at, TN_ERR_DATA, "expected a control character as \\uXXXX, found it raw");
    }
  }
  *out = at;
  return TN_OK;
}

static tn_status unescape(parser *p, const char *at, const char *end, tn_str *out) {
  char *text = tn_arena_alloc(p->arena, (size_t)(end - at) + 1, 1);
  if (!text) return fail_memory(p);
  char *to = text;
  while (at < end) {
    const char *escape = memchr(at, '\\', (size_t)(end - at));
    size_t plain = (size_t)((escape ? escape : end) - at);
    memcpy(to, at, plain);
    to += plain;
    at += plain;
    if (!escape) break;
    const char *problem = read_escape(&at, end, &to);
    if (problem) return fail_at(p, escape, TN_ERR_DATA, problem);
  }
  *out = (tn_str){text, (size_t)(to - text)};
  return TN_OK;
}

static tn_status parse_string(parser *p, tn_str *out) {
  const char *end = NULL, *begin = p->at + 1;
  bool escaped = false;
  TN_TRY(find_string_end(p, &end, &escaped));
  if (escaped)
    TN_TRY(unescape(p, begin, end, out));
  else
    *out = (tn_str){begin, (size_t)(end - begin)};
  p->at = end + 1;
  return TN_OK;
}

/* ---- numbers ---- */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static tn_str take_digits(parser *p, tn_decimal *d) {
  const char *at = p->at, *begin = at;
  uint64_t mantissa = d->mantissa;
  for (; at < p->end && is_digit(*at); at++) {
    uint64_t digit = (uint64_t)(*at - '0');
    if (mantissa < UINT64_MAX / 10)
      mantissa = mantissa * 10 + digit;
    else
      d->mantissa_overflow = true;
  }
  d->mantissa = mantissa;
  p->at = at;
  return (tn_str){begin, (size_t)(at - begin)};
}

static tn_status take_exponent(parser *p, tn_decimal *d) {
  p->at++;
  bool negative = p->at < p->end && *p->at == '-';
  if (p->at < p->end && (*p->at == '-' || *p->at == '+')) p->at++;
  if (p->at >= p->end || !is_digit(*p->at)) return fail_expected(p, "a digit of the exponent");
  int64_t value = 0;
  for (; p->at < p->end && is_digit(*p->at); p->at++)
    if (value < 1000000000000000) value = value * 10 + (*p->at - '0');
  d->exponent = negative ? -value : value;
  return TN_OK;
}

static void set_integer(tn_json *node, const tn_decimal *d) {
  if (d->mantissa_overflow || d->mantissa > (uint64_t)INT64_MAX + d->negative) return;
  node->is_integer = true;
  node->integer = d->negative ? (int64_t)(0 - d->mantissa) : (int64_t)d->mantissa;
}

static tn_status parse_number(parser *p, tn_json *node) {
  const char *begin = p->at;
  tn_decimal d = {.negative = *p->at == '-'};
  p->at += d.negative;
  if (p->at >= p->end || !is_digit(*p->at)) return fail_expected(p, "a digit");
  const char *first = p->at;
  d.whole = take_digits(p, &d);
  if (*first == '0' && d.whole.length > 1)
    return fail_at(p, first, TN_ERR_DATA, "expected a number without leading zeros");
  bool whole_only = true;
  if (p->at < p->end && *p->at == '.') {
    whole_only = false;
    p->at++;
    if (p->at >= p->end || !is_digit(*p->at)) return fail_expected(p, "a digit behind the point");
    d.fraction = take_digits(p, &d);
  }
  if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
    whole_only = false;
    TN_TRY(take_exponent(p, &d));
  }
  node->kind = TN_JSON_NUMBER;
  node->text = (tn_str){begin, (size_t)(p->at - begin)};
  if (whole_only) set_integer(node, &d);
  node->number = tn_decimal_to_f64(&d);
  return TN_OK;
}

/* ---- values ---- */

static void skip_space(parser *p) {
  const char *at = p->at;
  while (at < p->end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
  p->at = at;
}

static tn_status parse_word(parser *p, const char *word, tn_json *node, tn_json_kind kind) {
  size_t length = strlen(word);
  if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0)
    return fail_expected(p, "a value");
  p->at += length;
  node->kind = kind;
  node->boolean = kind == TN_JSON_BOOL && word[0] == 't';
  return TN_OK;
}

static tn_status grow_frames(parser *p) {
  size_t capacity = p->frame_capacity;
  void *frames = p->frames == p->few ? NULL : p->frames;
  if (!frames) capacity = 0;
  TN_TRY(tn_grow(&frames, &capacity, p->frame_capacity * 2, sizeof(frame), p->err));
  if (p->frames == p->few) memcpy(frames, p->few, sizeof p->few);
  p->frames = frames;
  p->frame_capacity = capacity;
  return TN_OK;
}

static tn_status open_container(parser *p, tn_json *node, tn_json_kind kind) {
  if (p->depth == p->depth_max) {
    char message[80];
    snprintf(message, sizeof message, "nested deeper than the limit of %d levels", p->depth_max);
    return fail_at(p, p->at, TN_ERR_LIMIT, message);
  }
  if ((size_t)p->depth == p->frame_capacity) TN_TRY(grow_frames(p));
  node->kind = kind;
  p->frames[p->depth++] = (frame){node, &node->first};
  p->at++;
  return TN_OK;
}

static tn_status parse_value(parser *p, tn_json *node) {
  if (p->at >= p->end) return fail_expected(p, "a value");
  switch (*p->at) {
    case '{':
      return open_container(p, node, TN_JSON_OBJECT);
    case '[':
      return open_container(p, node, TN_JSON_ARRAY);
    case '"':
      node->kind = TN_JSON_STRING;
      return parse_string(p, &node->text);
    case 't':
      return parse_word(p, "true", node, TN_JSON_BOOL);
    case 'f':
      return parse_word(p, "false", node, TN_JSON_BOOL);
    case 'n':
      return parse_word(p, "null", node, TN_JSON_NULL);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
      return parse_number(p, node);
    default:
      return fail_expected(p, "a value");
  }
}

static tn_status fail_repeated(parser *p, tn_str key) {
  char message[160];
  int length = key.length > 80 ? 80 : (int)key.length;
  snprintf(message, sizeof message, "the object that ends here repeats the key \"%.*s\"", length,
           key.data);
  return fail_at(p, p->at, TN_ERR_DATA, message);
}

/* Small objects pairwise, others through a map. */
static tn_status check_unique(parser *p, const tn_json *object) {
  if (object->count <= KEYS_FEW) {
    for (const tn_json *a = object->first; a; a = a->next)
      for (const tn_json *b = a->next; b; b = b->next)
        if (tn_str_equal(a->key, b->key)) return fail_repeated(p, b->key);
    return TN_OK;
  }
  tn_map seen = {0};
  tn_status status = TN_OK;
  for (const tn_json *m = object->first; m && status == TN_OK; m = m->next)
    status = tn_map_get(&seen, m->key, NULL) ? fail_repeated(p, m->key)
                                             : tn_map_put(&seen, m->key, 1, p->err);
  tn_map_clear(&seen);
  return status;
}

static tn_status close_container(parser *p) {
  const tn_json *node = p->frames[p->depth - 1].node;
  if (p->unique_keys && node->kind == TN_JSON_OBJECT) TN_TRY(check_unique(p, node));
  p->at++;
  p->depth--;
  return TN_OK;
}

static tn_status parse_key(parser *p, tn_json *child) {
  if (p->at >= p->end || *p->at != '"') return fail_expected(p, "a key in quotes");
  TN_TRY(parse_string(p, &child->key));
  skip_space(p);
  if (p->at >= p->end || *p->at != ':') return fail_expected(p, "':'");
  p->at++;
  skip_space(p);
  return TN_OK;
}

/* One step inside the innermost container: its end, or the next child. */
static tn_status parse_member(parser *p) {
  frame *top = &p->frames[p->depth - 1];
  tn_json *node = top->node;
  bool object = node->kind == TN_JSON_OBJECT;
  skip_space(p);
  if (p->at < p->end && *p->at == (object ? '}' : ']')) return close_container(p);
  if (node->count) {
    if (p->at >= p->end || *p->at != ',')
      return fail_expected(p, object ? "',' or '}'" : "',' or ']'");
    p->at++;
    skip_space(p);
  }
  tn_json *child = tn_arena_alloc(p->arena, 1, sizeof *child);
  if (!child) return fail_memory(p);
  *top->tail = child;
  top->tail = &child->next;
  node->count++;
  if (object) TN_TRY(parse_key(p, child));
  return parse_value(p, child);
}

static tn_status parse_document(parser *p, tn_json *root) {
  skip_space(p);
  TN_TRY(parse_value(p, root));
  while (p->depth) TN_TRY(parse_member(p));
  skip_space(p);
  return p->at == p->end ? TN_OK : fail_expected(p, "the end");
}

tn_status tn_json_parse(tn_json **out, tn_arena *arena, tn_str text, const tn_json_options *options,
                        tn_error *err) {
  parser p = {.begin = text.data,
              .at = text.data,
              .end = text.length ? text.data + text.length : text.data,
              .arena = arena,
              .err = err,
              .depth_max = DEPTH_MAX_DEFAULT,
              .frame_capacity = FRAMES_INLINE};
  p.frames = p.few;
  if (options && options->depth_max > 0) p.depth_max = options->depth_max;
  if (options) p.unique_keys = options->unique_keys;
  tn_json *root = tn_arena_alloc(arena, 1, sizeof *root);
  if (!root) return fail_memory(&p);
  tn_status status = parse_document(&p, root);
  if (p.frames != p.few) tn_free(p.frames);
  if (status == TN_OK) *out = root;
  return status;
}
