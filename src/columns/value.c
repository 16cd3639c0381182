/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "columns/arrow.h"
#include "columns/calendar.h"

tn_str tn_array_str(const ArrowArray *a, int64_t row) {
  const int32_t *offsets = (const int32_t *)a->buffers[1] + a->offset + row;
  return (tn_str){(const char *)a->buffers[2] + offsets[0], (size_t)(offsets[1] - offsets[0])};
}

int64_t tn_array_i64(const ArrowArray *a, tn_column_type type, int64_t row) {
  const void *values = a->buffers[1];
  int64_t i = a->offset + row;
  switch (type) {
    case TN_COLUMN_BOOL:
      return (((const uint8_t *)values)[i >> 3] >> (i & 7)) & 1;
    case TN_COLUMN_INT8:
      return ((const int8_t *)values)[i];
    case TN_COLUMN_UINT8:
      return ((const uint8_t *)values)[i];
    case TN_COLUMN_INT16:
      return ((const int16_t *)values)[i];
    case TN_COLUMN_UINT16:
      return ((const uint16_t *)values)[i];
    case TN_COLUMN_INT32:
    case TN_COLUMN_DATE32:
      return ((const int32_t *)values)[i];
    case TN_COLUMN_UINT32:
      return ((const uint32_t *)values)[i];
    case TN_COLUMN_FLOAT:
      return (int64_t)((const float *)values)[i];
    case TN_COLUMN_DOUBLE:
      return (int64_t)((const double *)values)[i];
    case TN_COLUMN_STRING:
    case TN_COLUMN_BINARY:
      return 0;
    default:
      return ((const int64_t *)values)[i];
  }
}

double tn_array_f64(const ArrowArray *a, tn_column_type type, int64_t row) {
  const void *values = a->buffers[1];
  int64_t i = a->offset + row;
  if (type == TN_COLUMN_DOUBLE) return ((const double *)values)[i];
  if (type == TN_COLUMN_FLOAT) return ((const float *)values)[i];
  if (type == TN_COLUMN_UINT64) return (double)((const uint64_t *)values)[i];
  return (double)tn_array_i64(a, type, row);
}

/* ---- text ---- */
static void add_u64(tn_strbuf *out, uint64_t value, int32_t digits_min) {
  char text[20];
  int32_t at = 20;
  for (; value > 0 || 20 - at < digits_min; value /= 10) text[--at] = (char)('0' + value % 10);
  tn_strbuf_append(out, text + at, (size_t)(20 - at));
}

static void add_i64(tn_strbuf *out, int64_t value) {
  if (value < 0) tn_strbuf_add_char(out, '-');
  add_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
}

/* A value that is a whole number of 10^-k, k <= 6, prints exactly with k digits: both m and 10^k
 * are exact doubles, so their quotient is what a correct parser makes of the digits. */
static bool add_short_decimal(tn_strbuf *out, double value) {
  static const double scale[] = {10, 100, 1e3, 1e4, 1e5, 1e6};
  if (!(fabs(value) < 1e9) || (value == 0 && signbit(value))) return false;
  for (int32_t k = 0; k < 6; k++) {
    double scaled = nearbyint(value * scale[k]);
    if (scaled / scale[k] != value) continue;
    uint64_t digits = (uint64_t)fabs(scaled), unit = (uint64_t)scale[k];
    if (value < 0) tn_strbuf_add_char(out, '-');
    add_u64(out, digits / unit, 1);
    tn_strbuf_add_char(out, '.');
    add_u64(out, digits % unit, k + 1);
    return true;
  }
  return false;
}

/* Nine digits always read back as the same float. */
static void float_to_text(float value, char *text, size_t room) {
  for (int digits = 6; digits <= 9; digits++) {
    snprintf(text, room, "%.*g", digits, (double)value);
    double back;
    if (tn_str_to_f64(tn_str_of(text), &back) && (float)back == value) return;
  }
}

/* The fewest digits that read back as the same value.  A whole number keeps ".0", so that it stays
 * floating-point when types are inferred from the text. */
static void add_real(tn_strbuf *out, double value, bool is_float) {
  if (isnan(value)) {
    tn_strbuf_add(out, "nan");
    return;
  }
  if (isinf(value)) {
    tn_strbuf_add(out, value < 0 ? "-inf" : "inf");
    return;
  }
  if (!is_float && add_short_decimal(out, value)) return;
  char text[TN_F64_TEXT_BYTES];
  if (is_float)
    float_to_text((float)value, text, sizeof text);
  else
    tn_f64_to_text(value, text);
  tn_strbuf_add(out, text);
  if (!strpbrk(text, ".e")) tn_strbuf_add(out, ".0");
}

static void add_date(tn_strbuf *out, int64_t days) {
  tn_date date = tn_date_of_days(days);
  if (date.year < 0) tn_strbuf_add_char(out, '-');
  add_u64(out, (uint64_t)(date.year < 0 ? -date.year : date.year), 4);
  tn_strbuf_add_char(out, '-');
  add_u64(out, (uint64_t)date.month, 2);
  tn_strbuf_add_char(out, '-');
  add_u64(out, (uint64_t)date.day, 2);
}

/* `digits` of a second's fraction are in `value`; a zero fraction is left out. */
static void add_time(tn_strbuf *out, int64_t value, int64_t per_second, int32_t digits) {
  int64_t seconds = tn_floor_div(value, per_second);
  int64_t days = tn_floor_div(seconds, 86400);
  int64_t fraction = value % per_second, of_day = seconds - days * 86400;
  if (fraction < 0) fraction += per_second;
  add_date(out, days);
  tn_strbuf_add_char(out, 'T');
  add_u64(out, (uint64_t)(of_day / 3600), 2);
  tn_strbuf_add_char(out, ':');
  add_u64(out, (uint64_t)(of_day / 60 % 60), 2);
  tn_strbuf_add_char(out, ':');
  add_u64(out, (uint64_t)(of_day % 60), 2);
  if (fraction == 0) return;
  tn_strbuf_add_char(out, '.');
  add_u64(out, (uint64_t)fraction, digits);
}

void tn_array_text(const ArrowArray *a, tn_column_type type, int64_t row, tn_strbuf *out) {
  if (tn_array_is_null(a, row)) return;
  switch (type) {
    case TN_COLUMN_STRING:
    case TN_COLUMN_BINARY:
      tn_strbuf_add_str(out, tn_array_str(a, row));
      break;
    case TN_COLUMN_BOOL:
      tn_strbuf_add(out, tn_array_i64(a, type, row) ? "true" : "false");
      break;
    case TN_COLUMN_UINT64:
      add_u64(out, (uint64_t)tn_array_i64(a, type, row), 1);
      break;
    case TN_COLUMN_FLOAT:
    case TN_COLUMN_DOUBLE:
      add_real(out, tn_array_f64(a, type, row), type == TN_COLUMN_FLOAT);
      break;
    case TN_COLUMN_DATE32:
      add_date(out, tn_array_i64(a, type, row));
      break;
    case TN_COLUMN_TIMESTAMP_MS:
      add_time(out, tn_array_i64(a, type, row), 1000, 3);
      break;
    case TN_COLUMN_TIMESTAMP_US:
      add_time(out, tn_array_i64(a, type, row), 1000000, 6);
      break;
    case TN_COLUMN_TIMESTAMP_NS:
      add_time(out, tn_array_i64(a, type, row), 1000000000, 9);
      break;
    case TN_COLUMN_TIMESTAMP_US_UTC:
      add_time(out, tn_array_i64(a, type, row), 1000000, 6);
      tn_strbuf_add_char(out, 'Z');
      break;
    default:
      add_i64(out, tn_array_i64(a, type, row));
      break;
  }
}
