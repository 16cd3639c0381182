/* csv_fast.h - numbers, dates and times of the usual forms, eight bytes at a time (little-endian).
 *
 * Each says false for what it does not know, which csv_value.h then looks at with care; 16 bytes
 * must be readable from where a text begins.  Private to csv_column.c, whose loops it is inlined
 * into. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_FAST_H
#define TN_COLUMNS_CSV_FAST_H
#include <string.h>

#include "columns/calendar.h"
#include "columns/fast_f64.h"

#define ALL(byte) ((uint64_t)0x0101010101010101 * (byte))
#define HIGH      ALL(0x80)

static inline uint64_t load8(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

/* The number that eight digits (0 to 9, the first in the lowest byte) say. */
static inline uint64_t eight_digits(uint64_t d) {
  d = d * 10 + (d >> 8);
  return (((d & 0x000000ff000000ff) * 0x000f424000000064) +
          ((d >> 16 & 0x000000ff000000ff) * 0x0000271000000001)) >>
         32;
}

static inline bool are_digits(uint64_t d) { /* every byte below 10 */
  return (((d + ALL(0x76)) | d) & HIGH) == 0;
}

/* 1 to 8 characters in the low bytes of `word`. */
static inline bool short_number(uint64_t word, uint32_t length, uint64_t *out) {
  uint32_t shift = 64 - 8 * length;
  uint64_t d = (word << shift) ^ (ALL(0x30) << shift);
  *out = eight_digits(d);
  return are_digits(d);
}

static inline bool fast_i64(const uint8_t *p, const uint8_t *q, bool lenient, int64_t *out) {
  uint32_t length = (uint32_t)(q - p);
  uint64_t high, low;
  if (length > 18 || (*p == '0' && length > 1 && !lenient)) return false;
  if (length <= 8) {
    if (!short_number(load8(p), length, &low)) return false;
    *out = (int64_t)low;
    return true;
  }
  uint64_t d = load8(p) ^ ALL(0x30);
  if (!are_digits(d)) return false;
  high = eight_digits(d);
  if (length > 16) {
    uint64_t middle = load8(p + 8) ^ ALL(0x30);
    if (!are_digits(middle) || !short_number(load8(p + 16), length - 16, &low)) return false;
    *out = (int64_t)((high * 100000000 + eight_digits(middle)) * (length == 17 ? 10 : 100) + low);
    return true;
  }
  static const uint64_t power[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  if (!short_number(load8(p + 8), length - 8, &low)) return false;
  *out = (int64_t)(high * power[length - 8] + low);
  return true;
}

/* "12.5" in at most 8 characters: the point is taken out of the word. */
static inline bool short_f64(const uint8_t *p, uint32_t length, double *out) {
  uint64_t word = load8(p), x = word ^ ALL('.');
  uint64_t hit = (x - ALL(1)) & ~x & HIGH, digits;
  static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};
  uint32_t dot = hit ? (uint32_t)__builtin_ctzll(hit) >> 3 : 8;
  if (dot >= length) {
    if (!short_number(word, length, &digits) || (*p == '0' && length > 1)) return false;
    *out = (double)digits;
    return true;
  }
  if (dot == 0 || dot + 1 == length || (dot > 1 && *p == '0')) return false;
  uint64_t below = word & (((uint64_t)1 << 8 * dot) - 1);
  uint64_t above = word >> 8 * dot >> 8 << 8 * dot;
  if (!short_number(below | above, length - 1, &digits)) return false;
  *out = (double)digits / power[length - 1 - dot];
  return true;
}

static inline bool fast_f64(const uint8_t *p, const uint8_t *q, double *out) {
  bool negative = *p == '-';
  p += negative;
  if (p == q) return false;
  if (q - p <= 8) {
    if (!short_f64(p, (uint32_t)(q - p), out)) return false;
    *out = negative ? -*out : *out;
    return true;
  }
  const uint8_t *start = p;
  uint64_t mantissa = 0;
  int32_t exponent = 0;
  for (; (uint8_t)(*p - '0') < 10; p++) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
  if (p == start || p > q || (p - start > 1 && *start == '0')) return false;
  if (p < q) {
    if (*p != '.' || q - start > 20 + (*start == '0')) return false;
    const uint8_t *point = ++p;
    uint64_t d, rest = 0;
    for (; q - p >= 8; p += 8) {
      d = load8(p) ^ ALL(0x30);
      if (!are_digits(d)) return false;
      mantissa = mantissa * 100000000 + eight_digits(d);
    }
    static const uint64_t power[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    if (q > p && !short_number(load8(p), (uint32_t)(q - p), &rest)) return false;
    mantissa = mantissa * power[q - p] + rest;
    exponent = -(int32_t)(q - point);
  } else if (q - start > 19) {
    return false;
  }
  if (!tn_fast_f64(mantissa, exponent, out)) return false;
  *out = negative ? -*out : *out;
  return true;
}

/* YYYY-MM-DD at p; the last date is remembered, since rows in order of time repeat it. */
typedef struct last_date {
  uint64_t text, text_end; /* the eight bytes and the two behind them */
  int64_t days;
} last_date;

static inline bool fast_date(const uint8_t *p, last_date *last, int64_t *days) {
  uint64_t word = load8(p), end = (uint64_t)p[8] << 8 | p[9];
  if (word != last->text || end != last->text_end) {
    uint64_t d = word ^ 0x2d30302d30303030; /* "0000-00-" */
    if ((((d + 0x7f76767f76767676) | d) & HIGH) != 0) return false;
    uint8_t tens = (uint8_t)(p[8] - '0'), ones = (uint8_t)(p[9] - '0');
    if (tens > 9 || ones > 9) return false;
    uint64_t t = d * 10 + (d >> 8); /* pairs in bytes 0, 2 and 5 */
    int64_t year = (int64_t)((t & 0xff) * 100 + (t >> 16 & 0xff));
    int32_t month = (int32_t)(t >> 40 & 0xff), day = tens * 10 + ones;
    if (!tn_date_valid(year, month, day)) return false;
    *last = (last_date){word, end, tn_date_to_days(year, month, day)};
  }
  *days = last->days;
  return true;
}

static inline bool fast_clock(const uint8_t *p, int64_t *seconds) { /* hh:mm:ss */
  uint64_t d = load8(p) ^ 0x30303a30303a3030;
  if ((((d + 0x76767f76767f7676) | d) & HIGH) != 0) return false;
  uint64_t t = d * 10 + (d >> 8);
  uint64_t hour = t & 0xff, minute = t >> 24 & 0xff, second = t >> 48 & 0xff;
  *seconds = (int64_t)(hour * 3600 + minute * 60 + second);
  return hour < 24 && minute < 60 && second < 60;
}

#endif
