/* SPDX-License-Identifier: Apache-2.0 */
/* tn_str_to_i64, tn_str_to_u64, tn_str_to_f64: numbers out of text that somebody else wrote. */
#include <math.h>
#include <strings.h>

#include "base/number.h"

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Takes a sign off the front of *s; true for '-'. */
static bool take_sign(tn_str *s) {
  if (s->length == 0 || (s->data[0] != '-' && s->data[0] != '+')) return false;
  bool negative = s->data[0] == '-';
  *s = (tn_str){s->data + 1, s->length - 1};
  return negative;
}

static bool to_magnitude(tn_str s, uint64_t *out) {
  if (s.length == 0) return false;
  uint64_t value = 0;
  for (size_t i = 0; i < s.length; i++) {
    if (!is_digit(s.data[i])) return false;
    uint64_t digit = (uint64_t)(s.data[i] - '0');
    if (i < 19)
      value = value * 10 + digit;
    else if (__builtin_mul_overflow(value, 10, &value) ||
             __builtin_add_overflow(value, digit, &value))
      return false;
  }
  *out = value;
  return true;
}

bool tn_str_to_u64(tn_str s, uint64_t *out) {
  tn_str digits = s;
  if (take_sign(&digits)) return false;
  return to_magnitude(digits, out);
}

bool tn_str_to_i64(tn_str s, int64_t *out) {
  tn_str digits = s;
  bool negative = take_sign(&digits);
  uint64_t magnitude;
  if (!to_magnitude(digits, &magnitude)) return false;
  if (magnitude > (uint64_t)INT64_MAX + negative) return false;
  *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
  return true;
}

/* Takes the digits off the front of *s and into the mantissa. */
static tn_str take_digits(tn_str *s, tn_decimal *d) {
  const char *data = s->data;
  size_t n = 0;
  uint64_t mantissa = d->mantissa;
  for (; n < s->length && is_digit(data[n]); n++) {
    uint64_t digit = (uint64_t)(data[n] - '0');
    if (mantissa < UINT64_MAX / 10)
      mantissa = mantissa * 10 + digit;
    else
      d->mantissa_overflow = true;
  }
  d->mantissa = mantissa;
  *s = (tn_str){data + n, s->length - n};
  return (tn_str){data, n};
}

/* Exponents beyond any text's length are all alike: they are cut off at 10^15. */
static bool take_exponent(tn_str *s, int64_t *out) {
  *s = (tn_str){s->data + 1, s->length - 1};
  bool negative = take_sign(s);
  if (s->length == 0) return false;
  int64_t value = 0;
  while (s->length && is_digit(s->data[0])) {
    if (value < 1000000000000000) value = value * 10 + (s->data[0] - '0');
    *s = (tn_str){s->data + 1, s->length - 1};
  }
  *out = negative ? -value : value;
  return true;
}

static bool is_word(tn_str s, const char *word) {
  return s.length == strlen(word) && strncasecmp(s.data, word, s.length) == 0;
}

static bool to_special(tn_str s, bool negative, double *out) {
  if (is_word(s, "nan"))
    *out = negative ? -(double)NAN : (double)NAN;
  else if (is_word(s, "inf") || is_word(s, "infinity"))
    *out = negative ? -HUGE_VAL : HUGE_VAL;
  else
    return false;
  return true;
}

bool tn_str_to_f64(tn_str s, double *out) {
  tn_str rest = s;
  tn_decimal d = {.negative = take_sign(&rest)};
  if (rest.length && !is_digit(rest.data[0]) && rest.data[0] != '.')
    return to_special(rest, d.negative, out);
  d.whole = take_digits(&rest, &d);
  if (rest.length && rest.data[0] == '.') {
    rest = (tn_str){rest.data + 1, rest.length - 1};
    d.fraction = take_digits(&rest, &d);
  }
  if (d.whole.length + d.fraction.length == 0) return false;
  if (rest.length && (rest.data[0] == 'e' || rest.data[0] == 'E') &&
      !take_exponent(&rest, &d.exponent))
    return false;
  if (rest.length) return false;
  double value = tn_decimal_to_f64(&d);
  if (isinf(value)) return false; /* a finite number that does not fit */
  *out = value;
  return true;
}
