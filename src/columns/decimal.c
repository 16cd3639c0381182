/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/decimal.h"

enum { WORDS = TN_DECIMAL_WORDS, CHUNK_DIGITS = 18, DIGITS_ROOM = 80 };
__extension__ typedef unsigned __int128 wide;

static const uint64_t powers[CHUNK_DIGITS + 1] = {1,
                                                  10,
                                                  100,
                                                  1000,
                                                  10000,
                                                  100000,
                                                  1000000,
                                                  10000000,
                                                  100000000,
                                                  1000000000,
                                                  10000000000,
                                                  100000000000,
                                                  1000000000000,
                                                  10000000000000,
                                                  100000000000000,
                                                  1000000000000000,
                                                  10000000000000000,
                                                  100000000000000000,
                                                  1000000000000000000};

/* ---- words ---- */
static void negate(tn_decimal_value *v) {
  uint64_t carry = 1;
  for (int i = 0; i < WORDS; i++) {
    v->words[i] = ~v->words[i] + carry;
    carry = carry && v->words[i] == 0;
  }
}

/* *v without its sign, which is returned; -2^255 is its own magnitude, as an unsigned number. */
static bool take_sign(tn_decimal_value *v) {
  bool negative = tn_decimal_negative(v);
  if (negative) negate(v);
  return negative;
}

/* v * factor + more of an unsigned number; false on overflow of 256 bits. */
static bool multiply(tn_decimal_value *v, uint64_t factor, uint64_t more) {
  for (int i = 0; i < WORDS; i++) {
    wide product = (wide)v->words[i] * factor + more;
    v->words[i] = (uint64_t)product;
    more = (uint64_t)(product >> 64);
  }
  return more == 0;
}

static uint64_t divide(tn_decimal_value *v, uint64_t divisor) {
  uint64_t rest = 0;
  int top = WORDS - 1;
  while (top > 0 && v->words[top] == 0) top--;
  for (int i = top; i >= 0; i--) {
    wide part = (wide)rest << 64 | v->words[i];
    v->words[i] = (uint64_t)(part / divisor);
    rest = (uint64_t)(part % divisor);
  }
  return rest;
}

static bool is_zero(const tn_decimal_value *v) {
  return (v->words[0] | v->words[1] | v->words[2] | v->words[3]) == 0;
}

static bool is_small(const tn_decimal_value *v) { /* of an unsigned number */
  return (v->words[1] | v->words[2] | v->words[3]) == 0;
}

/* Decimal digits of an unsigned number, most significant first; returns how many, at least 1. */
static int32_t digits_of(tn_decimal_value v, char out[DIGITS_ROOM]) {
  char backwards[DIGITS_ROOM];
  int32_t n = 0;
  while (!is_small(&v)) {
    uint64_t chunk = divide(&v, powers[CHUNK_DIGITS]);
    for (int i = 0; i < CHUNK_DIGITS; i++, chunk /= 10) backwards[n++] = (char)('0' + chunk % 10);
  }
  for (uint64_t rest = v.words[0]; rest > 0 || n == 0; rest /= 10)
    backwards[n++] = (char)('0' + rest % 10);
  while (n > 1 && backwards[n - 1] == '0') n--; /* a last chunk may begin with zeros */
  for (int32_t i = 0; i < n; i++) out[i] = backwards[n - 1 - i];
  return n;
}

/* ---- bytes ---- */
tn_decimal_value tn_decimal_of_i64(int64_t value) {
  uint64_t sign = value < 0 ? UINT64_MAX : 0;
  return (tn_decimal_value){{(uint64_t)value, sign, sign, sign}};
}

tn_decimal_value tn_decimal_load(const void *bytes, int32_t bits) {
  int32_t low;
  int64_t word;
  if (bits == 32) {
    memcpy(&low, bytes, 4);
    return tn_decimal_of_i64(low);
  }
  memcpy(&word, (const char *)bytes + bits / 8 - 8, 8); /* the highest: it has the sign */
  tn_decimal_value v = tn_decimal_of_i64(word < 0 ? -1 : 0);
  memcpy(v.words, bytes, (size_t)bits / 8);
  return v;
}

/* All bits from bits - 1 on are the sign. */
static bool fits_bits(const tn_decimal_value *v, int32_t bits) {
  uint64_t sign = tn_decimal_negative(v) ? UINT64_MAX : 0;
  for (int32_t i = WORDS - 1; i >= 0; i--) {
    int32_t first = i * 64; /* bit of this word's lowest */
    if (first + 64 <= bits - 1) return true;
    int32_t skip = first >= bits - 1 ? 0 : bits - 1 - first;
    if ((v->words[i] ^ sign) >> skip != 0) return false;
  }
  return true;
}

bool tn_decimal_store(const tn_decimal_value *v, int32_t bits, void *out) {
  if (!fits_bits(v, bits)) return false;
  memcpy(out, v->words, (size_t)bits / 8);
  return true;
}

bool tn_decimal_from_be(tn_str bytes, tn_decimal_value *out) {
  const uint8_t *data = (const uint8_t *)bytes.data;
  uint8_t sign = bytes.length && data[0] & 0x80 ? 0xFF : 0;
  tn_decimal_value v = tn_decimal_of_i64(sign ? -1 : 0);
  for (size_t i = 0; i < bytes.length; i++) {
    size_t place = bytes.length - 1 - i; /* from the least significant byte */
    if (place >= 8 * WORDS) {
      if (data[i] != sign) return false;
      continue;
    }
    size_t shift = place % 8 * 8;
    v.words[place / 8] &= ~((uint64_t)0xFF << shift);
    v.words[place / 8] |= (uint64_t)data[i] << shift;
  }
  if (tn_decimal_negative(&v) != (sign != 0)) return false;
  *out = v;
  return true;
}

bool tn_decimal_to_be(const tn_decimal_value *v, size_t count, uint8_t *out) {
  uint8_t sign = tn_decimal_negative(v) ? 0xFF : 0;
  if (count == 0) return is_zero(v);
  if (count < 8 * WORDS && !fits_bits(v, (int32_t)count * 8)) return false;
  for (size_t i = 0; i < count; i++) {
    size_t place = count - 1 - i;
    out[i] = place >= 8 * WORDS ? sign : (uint8_t)(v->words[place / 8] >> place % 8 * 8);
  }
  return true;
}

/* ---- arithmetic ---- */
int tn_decimal_compare(const tn_decimal_value *a, const tn_decimal_value *b) {
  int64_t high_a = (int64_t)a->words[WORDS - 1], high_b = (int64_t)b->words[WORDS - 1];
  if (high_a != high_b) return high_a < high_b ? -1 : 1;
  for (int i = WORDS - 2; i >= 0; i--)
    if (a->words[i] != b->words[i]) return a->words[i] < b->words[i] ? -1 : 1;
  return 0;
}

int32_t tn_decimal_digits(const tn_decimal_value *v) {
  char digits[DIGITS_ROOM];
  tn_decimal_value magnitude = *v;
  take_sign(&magnitude);
  return digits_of(magnitude, digits);
}

bool tn_decimal_rescale(const tn_decimal_value *v, int32_t from_scale, int32_t to_scale,
                        tn_decimal_value *out) {
  int64_t steps = (int64_t)to_scale - from_scale;
  tn_decimal_value result = *v;
  bool negative = take_sign(&result);
  if (!is_zero(&result) && (steps > TN_DECIMAL_DIGITS_MAX || steps < -TN_DECIMAL_DIGITS_MAX))
    return false;
  while (!is_zero(&result) && steps != 0) {
    int64_t most = steps < 0 ? -steps : steps, step = most < CHUNK_DIGITS ? most : CHUNK_DIGITS;
    if (steps > 0 ? !multiply(&result, powers[step], 0) : divide(&result, powers[step]) != 0)
      return false;
    steps -= steps > 0 ? step : -step;
  }
  if (tn_decimal_digits(&result) > TN_DECIMAL_DIGITS_MAX || tn_decimal_negative(&result))
    return false;
  if (negative) negate(&result);
  *out = result;
  return true;
}

/* ---- text ---- */
static void add_zeros(tn_strbuf *out, int64_t count) {
  static const char zeros[] = "0000000000000000";
  for (; count > 0; count -= 16) tn_strbuf_append(out, zeros, count < 16 ? (size_t)count : 16);
}

void tn_decimal_text(const tn_decimal_value *v, int32_t scale, tn_strbuf *out) {
  char digits[DIGITS_ROOM];
  tn_decimal_value magnitude = *v;
  if (take_sign(&magnitude)) tn_strbuf_add_char(out, '-');
  bool zero = is_zero(&magnitude);
  int32_t n = digits_of(magnitude, digits);
  if (scale <= 0) {
    tn_strbuf_append(out, digits, (size_t)n);
    if (!zero) add_zeros(out, -(int64_t)scale);
    return;
  }
  int32_t whole = n > scale ? n - scale : 0;
  tn_strbuf_append(out, whole ? digits : "0", whole ? (size_t)whole : 1);
  tn_strbuf_add_char(out, '.');
  add_zeros(out, (int64_t)scale - (n - whole));
  tn_strbuf_append(out, digits + whole, (size_t)(n - whole));
}

typedef struct written { /* a number as text has it: digits * 10^exponent */
  tn_str whole, fraction;
  int64_t exponent;
  bool negative;
} written;

static tn_str take_digits(tn_str *rest) {
  size_t n = 0;
  while (n < rest->length && rest->data[n] >= '0' && rest->data[n] <= '9') n++;
  tn_str digits = {rest->data, n};
  *rest = (tn_str){rest->data + n, rest->length - n};
  return digits;
}

static bool take(tn_str *rest, char a, char b) {
  if (rest->length == 0 || (rest->data[0] != a && rest->data[0] != b)) return false;
  *rest = (tn_str){rest->data + 1, rest->length - 1};
  return true;
}

static bool split(tn_str text, written *out) {
  *out = (written){.negative = take(&text, '-', '-')};
  if (!out->negative) take(&text, '+', '+');
  out->whole = take_digits(&text);
  if (take(&text, '.', '.')) out->fraction = take_digits(&text);
  if (out->whole.length + out->fraction.length == 0) return false;
  if (text.length == 0) return true;
  if (!take(&text, 'e', 'E')) return false;
  bool down = take(&text, '-', '-');
  if (!down) take(&text, '+', '+');
  tn_str digits = take_digits(&text);
  if (digits.length == 0 || text.length > 0) return false;
  for (size_t i = 0; i < digits.length && out->exponent < 1000000; i++)
    out->exponent = out->exponent * 10 + (digits.data[i] - '0');
  if (down) out->exponent = -out->exponent;
  return true;
}

/* Digit i of whole and fraction together. */
static char digit_at(const written *w, size_t i) {
  return i < w->whole.length ? w->whole.data[i] : w->fraction.data[i - w->whole.length];
}

bool tn_decimal_parse(tn_str text, int32_t precision, int32_t scale, tn_decimal_value *out) {
  written w;
  if (!split(text, &w)) return false;
  size_t count = w.whole.length + w.fraction.length, first = 0;
  int64_t zeros = w.exponent - (int64_t)w.fraction.length + scale; /* to append; below 0: to drop */
  while (first < count && digit_at(&w, first) == '0') first++;
  while (count > first && zeros < 0 && digit_at(&w, count - 1) == '0') {
    count--;
    zeros++;
  }
  tn_decimal_value v = {{0}};
  if (first < count) {
    if (zeros < 0 || (int64_t)(count - first) + zeros > precision) return false;
    for (size_t i = first; i < count; i++)
      if (!multiply(&v, 10, (uint64_t)(digit_at(&w, i) - '0'))) return false;
    for (; zeros > 0; zeros--)
      if (!multiply(&v, 10, 0)) return false;
  }
  if (w.negative) negate(&v);
  *out = v;
  return true;
}
