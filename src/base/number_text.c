/* SPDX-License-Identifier: Apache-2.0 */
/* Binary to shortest decimal: the Schubfach algorithm (Raffaello Giulietti, "The Schubfach way to
 * render doubles", 2021).  Between the halfway points to both neighbours of a value lies at least
 * one decimal of the shortest length; which one, three products with a 128-bit power of ten tell.
 */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/number_powers.h"

__extension__ typedef unsigned __int128 wide;

typedef struct shortest { /* digits * 10^exponent */
  uint64_t digits;
  int32_t exponent;
} shortest;

/* The upper 64 of the 192 bits of power * factor; its last bit is 1 also when something is cut. */
static uint64_t round_to_odd(const uint64_t power[2], uint64_t factor) {
  wide low = (wide)power[1] * factor;
  wide high = (wide)power[0] * factor + (uint64_t)(low >> 64);
  return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* Of c * 2^q; an even c reads back from its boundaries too.  `closer`: the neighbour below is only
 * half as far away, at a power of two. */
static shortest shortest_of(uint64_t c, int32_t q, bool closer) {
  int32_t k = (q * 1262611 - (closer ? 524031 : 0)) >> 22; /* floor(log10 of the interval) */
  int32_t h = q + ((-k * 1741647) >> 19) + 1;              /* floor(log2(10^-k)) */
  const uint64_t *power = tn_powers_of_ten[-k - TN_POWER_MIN];
  uint64_t odd = c & 1;
  uint64_t lower = round_to_odd(power, (4 * c - 2 + closer) << h) + odd;
  uint64_t value = round_to_odd(power, 4 * c << h);
  uint64_t upper = round_to_odd(power, (4 * c + 2) << h) - odd;
  uint64_t s = value / 4; /* all in quarters of 10^k */
  if (s >= 10) {
    uint64_t tens = s / 10;
    bool below = lower <= 40 * tens, above = 40 * tens + 40 <= upper;
    if (below != above) return (shortest){tens + above, k + 1};
  }
  bool below = lower <= 4 * s, above = 4 * s + 4 <= upper;
  if (below != above) return (shortest){s + above, k};
  uint64_t middle = 4 * s + 2;
  return (shortest){s + (value > middle || (value == middle && (s & 1))), k};
}

/* ---- text ---- */
static int put_digits(uint64_t value, char *out) { /* most significant first */
  char backwards[20];
  int n = 0;
  do {
    backwards[n++] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  for (int i = 0; i < n; i++) out[i] = backwards[n - 1 - i];
  return n;
}

static char *put_zeros(char *at, int count) {
  for (; count > 0; count--) *at++ = '0';
  return at;
}

/* "d.ddde+xx": at least two digits of exponent, as printf has them. */
static char *put_scientific(char *at, const char *digits, int n, int exponent) {
  *at++ = digits[0];
  if (n > 1) {
    *at++ = '.';
    memcpy(at, digits + 1, (size_t)n - 1);
    at += n - 1;
  }
  *at++ = 'e';
  *at++ = exponent < 0 ? '-' : '+';
  int magnitude = exponent < 0 ? -exponent : exponent;
  if (magnitude < 10) *at++ = '0';
  return at + put_digits((uint64_t)magnitude, at);
}

static char *put_fixed(char *at, const char *digits, int n, int exponent) {
  if (exponent < 0) { /* 0.000ddd */
    *at++ = '0';
    *at++ = '.';
    at = put_zeros(at, -exponent - 1);
    memcpy(at, digits, (size_t)n);
    return at + n;
  }
  int whole = exponent + 1 < n ? exponent + 1 : n;
  memcpy(at, digits, (size_t)whole);
  at = put_zeros(at + whole, exponent + 1 - whole);
  if (n == whole) return at;
  *at++ = '.';
  memcpy(at, digits + whole, (size_t)(n - whole));
  return at + (n - whole);
}

/* `places`: from so many digits before the point on, scientific. */
static int to_text(shortest s, bool negative, int places, char out[TN_F64_TEXT_BYTES]) {
  char digits[20], *at = out;
  int n = put_digits(s.digits, digits), exponent = s.exponent + n - 1; /* of the first digit */
  while (n > 1 && digits[n - 1] == '0') n--;
  if (negative) *at++ = '-';
  if (exponent < -4 || exponent >= (n > places ? n : places))
    at = put_scientific(at, digits, n, exponent);
  else
    at = put_fixed(at, digits, n, exponent);
  *at = '\0';
  return (int)(at - out);
}

/* Fields of a binary format with `bits` of fraction; false for 0. */
static bool split(uint64_t magnitude, int bits, int bias, uint64_t *c, int32_t *q, bool *closer) {
  uint64_t fraction = magnitude & (((uint64_t)1 << bits) - 1);
  int32_t exponent = (int32_t)(magnitude >> bits);
  *c = exponent ? fraction | (uint64_t)1 << bits : fraction;
  *q = (exponent ? exponent : 1) - bias - bits;
  *closer = fraction == 0 && exponent > 1;
  return *c != 0;
}

int tn_f64_to_text(double value, char out[TN_F64_TEXT_BYTES]) {
  enum { PLACES = 15 };
  uint64_t image, c;
  int32_t q;
  bool closer;
  memcpy(&image, &value, sizeof image);
  bool negative = image >> 63;
  if (fabs(value) < 1e15 && value == (double)(int64_t)value) /* whole, zero too */
    return to_text((shortest){(uint64_t)fabs(value), 0}, negative, PLACES, out);
  if (!split(image << 1 >> 1, 52, 1023, &c, &q, &closer)) return 0;
  return to_text(shortest_of(c, q, closer), negative, PLACES, out);
}

int tn_f32_to_text(float value, char out[TN_F64_TEXT_BYTES]) {
  enum { PLACES = 9 };
  uint32_t image;
  uint64_t c;
  int32_t q;
  bool closer;
  memcpy(&image, &value, sizeof image);
  bool negative = image >> 31;
  if (!split(image << 1 >> 1, 23, 127, &c, &q, &closer))
    return to_text((shortest){0, 0}, negative, PLACES, out);
  return to_text(shortest_of(c, q, closer), negative, PLACES, out);
}
