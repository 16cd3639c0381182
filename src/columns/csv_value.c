/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_value.h"

#include "columns/calendar.h"
#include "columns/fast_f64.h"

static inline bool is_digit(char c) {
  return (unsigned char)(c - '0') < 10;
}

bool tn_csv_to_bool(tn_str text, bool *out) {
  if (text.length == 4) {
    *out = true;
    return memcmp(text.data, "true", 4) == 0 || memcmp(text.data, "True", 4) == 0 ||
           memcmp(text.data, "TRUE", 4) == 0;
  }
  *out = false;
  if (text.length != 5) return false;
  return memcmp(text.data, "false", 5) == 0 || memcmp(text.data, "False", 5) == 0 ||
         memcmp(text.data, "FALSE", 5) == 0;
}

/* "+7", "007" -> "7", for a declared number. */
static tn_str plain_number(tn_str text, bool *negative) {
  *negative = text.length > 0 && text.data[0] == '-';
  if (text.length > 0 && (text.data[0] == '-' || text.data[0] == '+')) {
    text.data++;
    text.length--;
  }
  while (text.length > 1 && text.data[0] == '0' && is_digit(text.data[1])) {
    text.data++;
    text.length--;
  }
  return text;
}

static bool i64_of_digits(tn_str digits, bool negative, int64_t *out) {
  if (digits.length == 0 || digits.length > 19) return false;
  uint64_t value = 0; /* 19 digits always fit */
  for (size_t i = 0; i < digits.length; i++) {
    if (!is_digit(digits.data[i])) return false;
    value = value * 10 + (uint64_t)(digits.data[i] - '0');
  }
  if (value > (uint64_t)INT64_MAX + negative) return false;
  *out = negative ? (int64_t)(0 - value) : (int64_t)value;
  return true;
}

bool tn_csv_to_i64(tn_str text, bool lenient, int64_t *out) {
  bool negative;
  if (lenient) {
    text = plain_number(text, &negative);
    return i64_of_digits(text, negative, out);
  }
  if (text.length == 0) return false;
  negative = text.data[0] == '-';
  tn_str digits = {text.data + negative, text.length - negative};
  if (digits.length > 0 && digits.data[0] == '0' && (digits.length > 1 || negative)) return false;
  return i64_of_digits(digits, negative, out);
}

/* The parts of a decimal number; false when it is none. */
typedef struct decimal {
  uint64_t mantissa;
  int32_t digits;   /* significant ones in mantissa; over 19: it is not exact */
  int32_t exponent; /* value = mantissa * 10^exponent */
  bool leading_zero, has_fraction, negative;
} decimal;

static bool scan_exponent(const char **p, const char *end, int32_t *exponent) {
  const char *q = *p + 1;
  bool negative = q < end && *q == '-';
  if (q < end && (*q == '-' || *q == '+')) q++;
  if (q == end || !is_digit(*q)) return false;
  int32_t value = 0;
  for (; q < end && is_digit(*q); q++)
    if (value < 100000) value = value * 10 + (*q - '0');
  *exponent += negative ? -value : value;
  *p = q;
  return true;
}

static inline bool scan_decimal(tn_str text, decimal *d) {
  const char *p = text.data, *end = p + text.length;
  *d = (decimal){.negative = p < end && *p == '-'};
  p += d->negative;
  const char *whole = p;
  for (; p < end && is_digit(*p); p++) {
    d->mantissa = d->mantissa * 10 + (uint64_t)(*p - '0');
    d->digits += d->mantissa != 0;
  }
  int64_t count = p - whole;
  d->leading_zero = count > 1 && *whole == '0';
  if (p < end && *p == '.') {
    d->has_fraction = true;
    const char *fraction = ++p;
    for (; p < end && is_digit(*p); p++) {
      d->mantissa = d->mantissa * 10 + (uint64_t)(*p - '0');
      d->digits += d->mantissa != 0;
    }
    count += p - fraction;
    if (p - fraction > 100000) return false;
    d->exponent = -(int32_t)(p - fraction);
  }
  if (count == 0) return false;
  if (p < end && (*p == 'e' || *p == 'E')) {
    d->has_fraction = true;
    if (!scan_exponent(&p, end, &d->exponent)) return false;
  }
  return p == end;
}

static bool is_special(tn_str text) {
  static const char *const words[] = {"nan",      "NaN",       "inf", "-inf",
                                      "Infinity", "-Infinity", "Inf", "-Inf"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (tn_str_is(text, words[i])) return true;
  return false;
}

static bool special_to_f64(tn_str text, double *out) {
  if (!is_special(text)) return false;
  bool negative = text.data[0] == '-';
  *out = text.data[negative] == 'n' || text.data[negative] == 'N' ? __builtin_nan("")
         : negative                                               ? -__builtin_inf()
                                                                  : __builtin_inf();
  return true;
}

bool tn_csv_to_f64(tn_str text, bool lenient, double *out) {
  decimal d;
  if (lenient && text.length > 1 && text.data[0] == '+' && text.data[1] != '-') {
    text.data++;
    text.length--;
  }
  if (!scan_decimal(text, &d)) return special_to_f64(text, out);
  if (d.leading_zero && !lenient) return false;
  if (d.digits <= 19 && tn_fast_f64(d.mantissa, d.exponent, out)) {
    if (d.negative) *out = -*out;
    return true;
  }
  return tn_str_to_f64(text, out);
}

static inline bool two_digits(const char *p, int32_t *out) {
  *out = (p[0] - '0') * 10 + (p[1] - '0');
  return is_digit(p[0]) && is_digit(p[1]);
}

static bool date_at(const char *p, int64_t *days) {
  int32_t century, year, month, day;
  if (!two_digits(p, &century) || !two_digits(p + 2, &year) || p[4] != '-' ||
      !two_digits(p + 5, &month) || p[7] != '-' || !two_digits(p + 8, &day))
    return false;
  if (!tn_date_valid(century * 100 + year, month, day)) return false;
  *days = tn_date_to_days(century * 100 + year, month, day);
  return true;
}

bool tn_csv_to_date(tn_str text, int64_t *days) {
  return text.length == 10 && date_at(text.data, days);
}

/* ".25" in units of 1/per_second; false when finer than that. */
static bool scan_fraction(const char **p, const char *end, int64_t per_second, int64_t *out) {
  const char *q = *p + 1;
  if (q == end || !is_digit(*q)) return false;
  int64_t unit = per_second, value = 0;
  for (; q < end && is_digit(*q); q++) {
    unit /= 10;
    if (unit == 0 && *q != '0') return false;
    value += unit * (*q - '0');
  }
  *p = q;
  *out = value;
  return true;
}

static bool scan_zone(const char **p, const char *end, int64_t *offset_seconds) {
  const char *q = *p;
  int32_t hours, minutes = 0;
  if (*q == 'Z') {
    *p = q + 1;
    return true;
  }
  if ((*q != '+' && *q != '-') || end - q < 3 || !two_digits(q + 1, &hours)) return false;
  int64_t sign = *q == '-' ? -1 : 1;
  q += 3;
  if (q < end && *q == ':') q++;
  if (q < end && (end - q < 2 || !two_digits(q, &minutes))) return false;
  if (q < end) q += 2;
  if (hours > 23 || minutes > 59) return false;
  *offset_seconds = sign * (hours * 3600 + minutes * 60);
  *p = q;
  return true;
}

/* "hh:mm[:ss[.f]][zone]" up to the end of the text. */
static bool scan_clock(const char *p, const char *end, int64_t per_second, int64_t *seconds,
                       int64_t *fraction, bool *has_zone) {
  int32_t hour, minute, second = 0;
  int64_t offset = 0;
  if (end - p < 5 || !two_digits(p, &hour) || p[2] != ':' || !two_digits(p + 3, &minute))
    return false;
  p += 5;
  if (p < end && *p == ':') {
    if (end - p < 3 || !two_digits(p + 1, &second)) return false;
    p += 3;
    if (p < end && *p == '.' && !scan_fraction(&p, end, per_second, fraction)) return false;
  }
  if (hour > 23 || minute > 59 || second > 59) return false;
  if (p < end) {
    if (!scan_zone(&p, end, &offset)) return false;
    *has_zone = true;
  }
  *seconds = hour * 3600 + minute * 60 + second - offset;
  return p == end;
}

bool tn_csv_to_time(tn_str text, int64_t per_second, int64_t *out, bool *has_zone) {
  int64_t days, seconds = 0, fraction = 0;
  *has_zone = false;
  if (text.length < 10 || !date_at(text.data, &days)) return false;
  if (text.length > 10) {
    if (text.data[10] != 'T' && text.data[10] != ' ') return false;
    const char *p = text.data + 11, *end = text.data + text.length;
    if (!scan_clock(p, end, per_second, &seconds, &fraction, has_zone)) return false;
  }
  int64_t value;
  if (__builtin_mul_overflow(days * 86400 + seconds, per_second, &value)) return false;
  return !__builtin_add_overflow(value, fraction, out);
}

bool tn_csv_to_clock(tn_str text, int64_t per_second, int64_t *out) {
  int64_t seconds = 0, fraction = 0;
  bool has_zone = false;
  if (!scan_clock(text.data, text.data + text.length, per_second, &seconds, &fraction, &has_zone) ||
      has_zone)
    return false;
  *out = seconds * per_second + fraction;
  return true;
}

/* "12" or "1.5" before one of the letters H, M and S, which come in this order, each once. */
static bool scan_part(const char **p, const char *end, int64_t per_second, const char **letters,
                      int64_t *total) {
  int64_t whole = 0, fraction = 0, seconds;
  bool negative = *p < end && **p == '-';
  const char *q = *p + negative, *first = q;
  for (; q < end && is_digit(*q); q++)
    if (__builtin_mul_overflow(whole, 10, &whole) ||
        __builtin_add_overflow(whole, *q - '0', &whole))
      return false;
  bool has_fraction = q < end && *q == '.';
  if (q == first || (has_fraction && !scan_fraction(&q, end, per_second, &fraction))) return false;
  const char *letter = q < end && *q ? strchr(*letters, *q) : NULL;
  if (!letter || (has_fraction && *letter != 'S')) return false;
  *letters = letter + 1;
  *p = q + 1;
  int64_t factor = *letter == 'H' ? 3600 : *letter == 'M' ? 60 : 1;
  return !__builtin_mul_overflow(whole, factor, &seconds) &&
         !__builtin_mul_overflow(seconds, per_second, &seconds) &&
         !__builtin_add_overflow(seconds, fraction, &seconds) &&
         !__builtin_add_overflow(*total, negative ? -seconds : seconds, total);
}

bool tn_csv_to_duration(tn_str text, int64_t per_second, int64_t *out) {
  const char *p = text.data, *end = p + text.length, *letters = "HMS";
  bool negative = p < end && *p == '-';
  p += negative;
  if (end - p < 4 || p[0] != 'P' || p[1] != 'T') return false;
  int64_t total = 0;
  for (p += 2; p < end;)
    if (!scan_part(&p, end, per_second, &letters, &total)) return false;
  *out = negative ? -total : total;
  return true;
}

static uint32_t number_kinds(tn_str text) {
  decimal d;
  if (!scan_decimal(text, &d) || d.leading_zero) return 0;
  int64_t ignored;
  double real;
  if (!tn_csv_to_f64(text, false, &real)) return 0; /* beyond the range of double */
  if (d.has_fraction) return TN_CSV_REAL | TN_CSV_FRACTION;
  if (tn_csv_to_i64(text, false, &ignored)) return TN_CSV_INT | TN_CSV_REAL;
  return d.digits == 0 ? TN_CSV_REAL : TN_CSV_REAL | TN_CSV_HUGE; /* "-0" is a real */
}

static uint32_t time_kinds(tn_str text) {
  int64_t ignored;
  bool has_zone;
  if (text.length > 4 && text.data[2] == ':')
    return tn_csv_to_clock(text, 1000000, &ignored) ? TN_CSV_CLOCK : 0;
  if (text.length < 10 || text.data[4] != '-') return 0;
  if (tn_csv_to_date(text, &ignored)) return TN_CSV_DATE | TN_CSV_TIME;
  if (!tn_csv_to_time(text, 1000000, &ignored, &has_zone)) return 0;
  return has_zone ? TN_CSV_TIME_UTC : TN_CSV_TIME;
}

uint32_t tn_csv_kinds(tn_str text) {
  if (text.length == 0) return TN_CSV_TEXT;
  bool ignored;
  uint32_t kinds = TN_CSV_TEXT;
  char c = text.data[0];
  if (is_digit(c) || c == '-' || c == '.') kinds |= number_kinds(text);
  if (is_digit(c)) kinds |= time_kinds(text);
  if (kinds == TN_CSV_TEXT && text.length <= 9) {
    if (tn_csv_to_bool(text, &ignored)) kinds |= TN_CSV_BOOL;
    if (is_special(text)) kinds |= TN_CSV_REAL | TN_CSV_FRACTION;
  }
  return kinds;
}
