/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/json_guard.h"

enum {
  START, /* up to BEHIND: white space may come */
  VALUE,
  FIRST_ITEM,
  FIRST_KEY,
  KEY,
  COLON,
  BEHIND, /* a value */
  STRING,
  ESCAPE,
  HEX,
  LOW_SLASH, /* behind the first half of a pair */
  LOW_U,
  LITERAL,
  MINUS, /* up to POWER: a number */
  ZERO,
  DIGITS,
  POINT,
  FRACTION,
  EXPONENT,
  SIGN,
  POWER,
  DONE
};

static bool go(tn_json_guard *g, uint8_t state) {
  g->state = state;
  return true;
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* ---- between values ---- */

static bool open_container(tn_json_guard *g, bool is_array) {
  if (g->depth == TN_JSON_GUARD_DEPTH_MAX) return false;
  uint64_t bit = UINT64_C(1) << g->depth++;
  g->arrays = is_array ? g->arrays | bit : g->arrays & ~bit;
  return go(g, is_array ? FIRST_ITEM : FIRST_KEY);
}

static bool close_container(tn_json_guard *g) {
  return go(g, --g->depth > 0 ? BEHIND : DONE);
}

static bool open_string(tn_json_guard *g, bool is_key) {
  g->is_key = is_key;
  return go(g, STRING);
}

static bool open_literal(tn_json_guard *g, const char *rest) {
  g->rest = rest;
  return go(g, LITERAL);
}

static bool begin_value(tn_json_guard *g, char c) {
  switch (c) {
    case '{':
    case '[':
      return open_container(g, c == '[');
    case '"':
      return open_string(g, false);
    case 't':
      return open_literal(g, "rue");
    case 'f':
      return open_literal(g, "alse");
    case 'n':
      return open_literal(g, "ull");
    case '-':
      return go(g, MINUS);
    case '0':
      return go(g, ZERO);
    default:
      return is_digit(c) && go(g, DIGITS);
  }
}

static bool go_on(tn_json_guard *g, char c) { /* behind a value */
  bool in_array = g->arrays >> (g->depth - 1) & 1;
  if (c == ',') return go(g, in_array ? VALUE : KEY);
  return c == (in_array ? ']' : '}') && close_container(g);
}

static bool feed_between(tn_json_guard *g, char c) {
  if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
    return ++g->spaces <= TN_JSON_GUARD_SPACES_MAX;
  g->spaces = 0;
  switch (g->state) {
    case START:
      return c == '{' && open_container(g, false);
    case VALUE:
      return begin_value(g, c);
    case FIRST_ITEM:
      return c == ']' ? close_container(g) : begin_value(g, c);
    case FIRST_KEY:
      return c == '}' ? close_container(g) : c == '"' && open_string(g, true);
    case KEY:
      return c == '"' && open_string(g, true);
    case COLON:
      return c == ':' && go(g, VALUE);
    default:
      return go_on(g, c);
  }
}

/* ---- strings ---- */

static bool feed_escape(tn_json_guard *g, char c) {
  if (c == 'u') {
    g->unit = g->digits = 0;
    return go(g, HEX);
  }
  return c != '\0' && strchr("\"\\/bfnrt", c) && go(g, STRING);
}

static bool end_unit(tn_json_guard *g) {
  bool is_high = g->unit >= 0xd800 && g->unit < 0xdc00;
  bool is_low = g->unit >= 0xdc00 && g->unit < 0xe000;
  if (is_low != g->wants_low) return false;
  g->wants_low = is_high;
  return go(g, is_high ? LOW_SLASH : STRING);
}

static bool feed_hex(tn_json_guard *g, char c) {
  char lower = (char)(c | 0x20);
  int32_t digit = is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  if (digit < 0) return false;
  g->unit = (uint16_t)(g->unit << 4 | digit);
  return ++g->digits < 4 || end_unit(g);
}

static bool feed_string(tn_json_guard *g, char c) {
  if (c == '"') return go(g, g->is_key ? COLON : BEHIND);
  if (c == '\\') return go(g, ESCAPE);
  return (uint8_t)c >= 0x20;
}

/* ---- numbers ---- */

static bool end_number(tn_json_guard *g, char c) {
  g->state = BEHIND;
  return feed_between(g, c);
}

static bool feed_number(tn_json_guard *g, char c) {
  bool digit = is_digit(c), power = c == 'e' || c == 'E';
  switch (g->state) {
    case MINUS:
      return digit && go(g, c == '0' ? ZERO : DIGITS);
    case ZERO:
    case DIGITS:
      if (digit && g->state == DIGITS) return true;
      if (c == '.' || power) return go(g, power ? EXPONENT : POINT);
      return end_number(g, c);
    case POINT:
      return digit && go(g, FRACTION);
    case FRACTION:
      if (digit || power) return go(g, power ? EXPONENT : FRACTION);
      return end_number(g, c);
    case EXPONENT:
      if (c == '+' || c == '-') return go(g, SIGN);
      return digit && go(g, POWER);
    case SIGN:
      return digit && go(g, POWER);
    default:
      return digit || end_number(g, c);
  }
}

/* ---- all ---- */

static bool feed_byte(tn_json_guard *g, char c) {
  if (g->state <= BEHIND) return feed_between(g, c);
  if (g->state >= MINUS && g->state <= POWER) return feed_number(g, c);
  switch (g->state) {
    case STRING:
      return feed_string(g, c);
    case ESCAPE:
      return feed_escape(g, c);
    case HEX:
      return feed_hex(g, c);
    case LOW_SLASH:
      return c == '\\' && go(g, LOW_U);
    case LOW_U:
      return c == 'u' && feed_escape(g, c);
    case LITERAL:
      return c == *g->rest++ && (*g->rest || go(g, BEHIND));
    default:
      return false; /* DONE */
  }
}

bool tn_json_guard_feed(tn_json_guard *g, tn_str bytes) {
  for (size_t i = 0; i < bytes.length; i++)
    if (!feed_byte(g, bytes.data[i])) return false;
  return true;
}

bool tn_json_guard_done(const tn_json_guard *g) {
  return g->state == DONE;
}

bool tn_json_guard_in_string(const tn_json_guard *g) {
  return g->state == STRING;
}
