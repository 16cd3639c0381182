/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "base/number.h"
#include "columns/calendar.h"
#include "columns/decimal.h"
#include "columns/half.h"
#include "columns/value.h"

/* ---- numbers ---- */
/* Texts of known size are put together in place: put_* write at `at` and return what is behind. */
enum { TEXT_ROOM = 80 };

static char *put_u64(char *at, uint64_t value, int32_t digits_min) {
  char text[20];
  int32_t first = 20;
  while (value >= 100) {
    uint64_t pair = value % 100;
    value /= 100;
    text[--first] = (char)('0' + pair % 10);
    text[--first] = (char)('0' + pair / 10);
  }
  for (; value > 0; value /= 10) text[--first] = (char)('0' + value % 10);
  while (20 - first < digits_min) text[--first] = '0';
  memcpy(at, text + first, (size_t)(20 - first));
  return at + (20 - first);
}

static uint64_t magnitude(int64_t value) {
  return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static char *put_i64(char *at, int64_t value) {
  if (value < 0) *at++ = '-';
  return put_u64(at, magnitude(value), 1);
}

static void add_text(tn_strbuf *out, const char *text, const char *end) {
  tn_strbuf_append(out, text, (size_t)(end - text));
}

/* The type's own value nearest to a double. */
static double nearest(double value, tn_type_id id) {
  if (id == TN_TYPE_DOUBLE) return value;
  return id == TN_TYPE_FLOAT ? (double)(float)value : (double)tn_half_to_f32(tn_half_of_f64(value));
}

/* A value that is nearest to a whole number of 10^-k, k <= 6, prints with k digits: both m and 10^k
 * are exact doubles, so their quotient is what a correct parser makes of the digits. */
static bool add_short_decimal(tn_strbuf *out, double value, tn_type_id id) {
  static const double scale[] = {10, 100, 1e3, 1e4, 1e5, 1e6};
  if (!(fabs(value) < 1e9) || (value == 0 && signbit(value))) return false;
  for (int32_t k = 0; k < 6; k++) {
    double scaled = nearbyint(value * scale[k]);
    if (nearest(scaled / scale[k], id) != value) continue;
    uint64_t digits = (uint64_t)fabs(scaled), unit = (uint64_t)scale[k];
    char text[TEXT_ROOM], *at = text;
    if (value < 0) *at++ = '-';
    at = put_u64(at, digits / unit, 1);
    *at++ = '.';
    add_text(out, text, put_u64(at, digits % unit, k + 1));
    return true;
  }
  return false;
}

/* The fewest digits that read back as the same half: at most 5. */
static void half_to_text(double value, char *text) {
  for (int digits = 1; digits <= 5; digits++) {
    char rounded[TN_F64_TEXT_BYTES];
    double back;
    snprintf(rounded, sizeof rounded, "%.*e", digits - 1, value);
    for (char *c = rounded; *c; c++)
      if (*c == ',') *c = '.'; /* of the locale */
    if (!tn_str_to_f64(tn_str_of(rounded), &back) || nearest(back, TN_TYPE_HALF) != value) continue;
    tn_f64_to_text(back, text);
    return;
  }
}

/* A whole number keeps ".0", so that it stays floating-point when types are inferred from text. */
static void add_real(tn_strbuf *out, double value, tn_type_id id) {
  if (isnan(value)) {
    tn_strbuf_add(out, "nan");
    return;
  }
  if (isinf(value)) {
    tn_strbuf_add(out, value < 0 ? "-inf" : "inf");
    return;
  }
  if (add_short_decimal(out, value, id)) return;
  char text[TN_F64_TEXT_BYTES];
  if (id == TN_TYPE_DOUBLE)
    tn_f64_to_text(value, text);
  else if (id == TN_TYPE_FLOAT)
    tn_f32_to_text((float)value, text);
  else
    half_to_text(value, text);
  tn_strbuf_add(out, text);
  if (!strpbrk(text, ".e")) tn_strbuf_add(out, ".0");
}

/* ---- dates and times ---- */
static char *put_date(char *at, int64_t days) {
  tn_date date = tn_date_of_days(days);
  if (date.year < 0) *at++ = '-';
  at = put_u64(at, magnitude(date.year), 4);
  *at++ = '-';
  at = put_u64(at, (uint64_t)date.month, 2);
  *at++ = '-';
  return put_u64(at, (uint64_t)date.day, 2);
}

/* The fraction has the digits of the unit, or is left out when 0. */
static char *put_clock(char *at, uint64_t seconds, uint64_t fraction, tn_time_unit unit) {
  at = put_u64(at, seconds / 3600, 2);
  *at++ = ':';
  at = put_u64(at, seconds / 60 % 60, 2);
  *at++ = ':';
  at = put_u64(at, seconds % 60, 2);
  if (fraction == 0) return at;
  *at++ = '.';
  return put_u64(at, fraction, 3 * (int32_t)unit);
}

/* `shift`: seconds to add, the offset of the zone it is shown in. */
static char *put_timestamp(char *at, int64_t value, tn_time_unit unit, int64_t shift) {
  int64_t per_second = tn_time_units_per_second(unit);
  int64_t seconds = tn_floor_div(value, per_second), fraction = value % per_second;
  if (fraction < 0) fraction += per_second;
  int64_t days = tn_floor_div(seconds, 86400), of_day = seconds % 86400 + shift;
  if (seconds % 86400 < 0) of_day += 86400;
  days += tn_floor_div(of_day, 86400);
  of_day -= tn_floor_div(of_day, 86400) * 86400;
  at = put_date(at, days);
  *at++ = 'T';
  return put_clock(at, (uint64_t)of_day, (uint64_t)fraction, unit);
}

static char *put_time_of_day(char *at, int64_t value, tn_time_unit unit) {
  uint64_t per_second = (uint64_t)tn_time_units_per_second(unit);
  if (value < 0) *at++ = '-';
  return put_clock(at, magnitude(value) / per_second, magnitude(value) % per_second, unit);
}

static bool two_digits(const char *text, int64_t *out) {
  if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') return false;
  *out = (text[0] - '0') * 10 + (text[1] - '0');
  return true;
}

bool tn_zone_offset(tn_str zone, int64_t *seconds) {
  static const char *const utc[] = {"UTC", "Z", "z", "utc", "Etc/UTC", "GMT"};
  *seconds = 0;
  for (size_t i = 0; i < sizeof utc / sizeof *utc; i++)
    if (tn_str_is(zone, utc[i])) return true;
  int64_t hours, minutes = 0;
  if ((zone.length != 3 && zone.length != 5 && zone.length != 6) ||
      (zone.data[0] != '+' && zone.data[0] != '-') || !two_digits(zone.data + 1, &hours))
    return false;
  if (zone.length == 6 && zone.data[3] != ':') return false;
  if (zone.length > 3 && !two_digits(zone.data + zone.length - 2, &minutes)) return false;
  if (hours > 23 || minutes > 59) return false;
  *seconds = (hours * 60 + minutes) * (zone.data[0] == '-' ? -60 : 60);
  return true;
}

static char *put_zoned(char *at, int64_t value, const tn_type *t) {
  int64_t shift = 0;
  if (t->timezone.length) tn_zone_offset(t->timezone, &shift);
  at = put_timestamp(at, value, t->unit, shift);
  if (!t->timezone.length) return at;
  uint64_t minutes = magnitude(shift) / 60;
  *at++ = shift == 0 ? 'Z' : shift < 0 ? '-' : '+';
  if (shift == 0) return at;
  at = put_u64(at, minutes / 60, 2);
  *at++ = ':';
  return put_u64(at, minutes % 60, 2);
}

static char *put_date64(char *at, int64_t millis) {
  int64_t days = tn_floor_div(millis, 86400000);
  return days * 86400000 == millis ? put_date(at, days) : put_timestamp(at, millis, TN_MILLIS, 0);
}

/* ---- durations, as ISO 8601 writes them ---- */
static char *put_seconds(char *at, int64_t value, tn_time_unit unit) {
  uint64_t per_second = (uint64_t)tn_time_units_per_second(unit), units = magnitude(value);
  uint64_t fraction = units % per_second;
  int32_t digits = 3 * (int32_t)unit;
  if (value < 0) *at++ = '-';
  at = put_u64(at, units / per_second, 1);
  for (; fraction && fraction % 10 == 0; fraction /= 10) digits--;
  if (fraction) {
    *at++ = '.';
    at = put_u64(at, fraction, digits);
  }
  *at++ = 'S';
  return at;
}

static char *put_part(char *at, int64_t value, char letter) {
  if (value == 0) return at;
  at = put_i64(at, value);
  *at++ = letter;
  return at;
}

static char *put_interval(char *at, int64_t months, int64_t days, int64_t rest, tn_time_unit unit) {
  *at++ = 'P';
  at = put_part(at, months, 'M');
  at = put_part(at, days, 'D');
  if (rest == 0 && (months || days)) return at;
  *at++ = 'T';
  return put_seconds(at, rest, unit);
}

static char *put_interval_of(char *at, tn_type_id id, const char *bytes) {
  int32_t first, second = 0;
  int64_t nanos;
  memcpy(&first, bytes, 4);
  if (id == TN_TYPE_INTERVAL_MONTHS) {
    *at++ = 'P';
    at = put_i64(at, first);
    *at++ = 'M';
    return at;
  }
  memcpy(&second, bytes + 4, 4);
  if (id == TN_TYPE_INTERVAL_DAY_TIME) return put_interval(at, 0, first, second, TN_MILLIS);
  memcpy(&nanos, bytes + 8, 8);
  return put_interval(at, first, second, nanos, TN_NANOS);
}

/* ---- bytes ---- */
void tn_value_add_hex(tn_strbuf *out, tn_str bytes) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < bytes.length; i++) {
    uint8_t byte = (uint8_t)bytes.data[i];
    char pair[2] = {digits[byte >> 4], digits[byte & 15]};
    tn_strbuf_append(out, pair, 2);
  }
}

void tn_value_add_base64(tn_strbuf *out, tn_str bytes) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.length; i += 3) {
    size_t left = bytes.length - i;
    const uint8_t *in = (const uint8_t *)bytes.data + i;
    uint32_t group = (uint32_t)in[0] << 16 | (left > 1 ? (uint32_t)in[1] << 8 : 0) |
                     (left > 2 ? (uint32_t)in[2] : 0);
    char four[4] = {letters[group >> 18], letters[group >> 12 & 63],
                    left > 1 ? letters[group >> 6 & 63] : '=',
                    left > 2 ? letters[group & 63] : '='};
    tn_strbuf_append(out, four, 4);
  }
}

/* ---- any value ---- */
static void add_decimal(tn_strbuf *out, const tn_value *v) {
  const tn_type *t = &v->field->type;
  const void *bytes = tn_value_bytes(v->field, v->array, v->row).data;
  tn_decimal_value decimal = tn_decimal_load(bytes, t->bits);
  tn_decimal_text(&decimal, t->scale, out);
}

/* Everything that JSON writes as this text too, with or without quotes. */
static void add_flat(tn_strbuf *out, const tn_value *v) {
  const tn_type *t = &v->field->type;
  int64_t value = tn_value_i64(v->field, v->array, v->row);
  char text[TEXT_ROOM], *end = text;
  switch (t->id) {
    case TN_TYPE_BOOL:
      tn_strbuf_add(out, value ? "true" : "false");
      return;
    case TN_TYPE_HALF:
    case TN_TYPE_FLOAT:
    case TN_TYPE_DOUBLE:
      add_real(out, tn_value_f64(v->field, v->array, v->row), t->id);
      return;
    case TN_TYPE_DECIMAL32:
    case TN_TYPE_DECIMAL64:
    case TN_TYPE_DECIMAL128:
    case TN_TYPE_DECIMAL256:
      add_decimal(out, v);
      return;
    case TN_TYPE_UINT64:
      end = put_u64(text, (uint64_t)value, 1);
      break;
    case TN_TYPE_DATE32:
      end = put_date(text, value);
      break;
    case TN_TYPE_DATE64:
      end = put_date64(text, value);
      break;
    case TN_TYPE_TIME32:
    case TN_TYPE_TIME64:
      end = put_time_of_day(text, value, t->unit);
      break;
    case TN_TYPE_TIMESTAMP:
      end = put_zoned(text, value, t);
      break;
    case TN_TYPE_DURATION:
      memcpy(text, "PT", 2);
      end = put_seconds(text + 2, value, t->unit);
      break;
    case TN_TYPE_INTERVAL_MONTHS:
    case TN_TYPE_INTERVAL_DAY_TIME:
    case TN_TYPE_INTERVAL_MONTH_DAY_NANO:
      end = put_interval_of(text, t->id, tn_value_bytes(v->field, v->array, v->row).data);
      break;
    default:
      end = put_i64(text, value);
      break;
  }
  add_text(out, text, end);
}

void tn_value_text(const tn_field *field, const ArrowArray *array, int64_t row, tn_strbuf *out) {
  tn_value v = {field, array, row};
  if (!tn_value_find(&v)) return;
  if (tn_type_is_bytes(v.field->type.id)) {
    tn_strbuf_add_str(out, tn_value_bytes(v.field, v.array, v.row));
  } else if (tn_type_is_nested(v.field->type.id)) {
    tn_json_writer w = {.out = out};
    tn_value_json(&w, v.field, v.array, v.row);
  } else {
    add_flat(out, &v);
  }
}

/* ---- JSON ---- */
/* Neither base64 nor a date has anything to escape. */
static void json_quoted(tn_json_writer *w, const tn_value *v) {
  tn_json_raw(w, TN_STR("\"")); /* with the comma in front; the rest goes straight behind it */
  if (tn_type_is_bytes(v->field->type.id))
    tn_value_add_base64(w->out, tn_value_bytes(v->field, v->array, v->row));
  else
    add_flat(w->out, v);
  tn_strbuf_add_char(w->out, '"');
}

static void json_number(tn_json_writer *w, const tn_value *v) {
  if (tn_type_is_real(v->field->type.id) && !isfinite(tn_value_f64(v->field, v->array, v->row))) {
    w->not_finite++;
    tn_json_null(w);
    return;
  }
  tn_json_raw(w, TN_STR("")); /* comma and new line; then the number itself */
  add_flat(w->out, v);
}

static void json_struct(tn_json_writer *w, const tn_value *v) {
  tn_json_begin_object(w);
  for (int64_t i = 0; i < v->field->child_count; i++) {
    tn_json_key(w, v->field->children[i].name);
    tn_value_json(w, &v->field->children[i], v->array->children[i], v->array->offset + v->row);
  }
  tn_json_end_object(w);
}

static void json_list(tn_json_writer *w, const tn_value *v) {
  int64_t from, count = tn_value_items(v->field, v->array, v->row, &from);
  tn_json_begin_array(w);
  for (int64_t i = 0; i < count; i++)
    tn_value_json(w, &v->field->children[0], v->array->children[0], from + i);
  tn_json_end_array(w);
}

/* The field of what a map's keys come to behind a dictionary or run ends. */
static bool keys_are_text(const tn_field *key) {
  while (key->dictionary || key->type.layout == TN_LAYOUT_RUN_END)
    key = key->dictionary ? key->dictionary : &key->children[1];
  return tn_type_is_text(key->type.id);
}

static void json_map(tn_json_writer *w, const tn_value *v) {
  const tn_field *entries = &v->field->children[0], *key = &entries->children[0];
  const ArrowArray *structs = v->array->children[0];
  int64_t from, count = tn_value_items(v->field, v->array, v->row, &from);
  bool object = keys_are_text(key);
  if (object)
    tn_json_begin_object(w);
  else
    tn_json_begin_array(w);
  for (int64_t i = 0; i < count; i++) {
    int64_t row = structs->offset + from + i;
    if (object) {
      tn_json_key_str(w, tn_value_bytes(key, structs->children[0], row));
    } else {
      tn_json_begin_array(w);
      tn_value_json(w, key, structs->children[0], row);
    }
    tn_value_json(w, &entries->children[1], structs->children[1], row);
    if (!object) tn_json_end_array(w);
  }
  if (object)
    tn_json_end_object(w);
  else
    tn_json_end_array(w);
}

void tn_value_json(tn_json_writer *w, const tn_field *field, const ArrowArray *array, int64_t row) {
  tn_value v = {field, array, row};
  if (!tn_value_find(&v)) {
    tn_json_null(w);
    return;
  }
  tn_type_id id = v.field->type.id;
  if (tn_type_is_text(id))
    tn_json_str(w, tn_value_bytes(v.field, v.array, v.row));
  else if (id == TN_TYPE_BOOL || tn_type_is_integer(id) || tn_type_is_real(id) ||
           tn_type_is_decimal(id))
    json_number(w, &v);
  else if (!tn_type_is_nested(id))
    json_quoted(w, &v);
  else if (id == TN_TYPE_STRUCT)
    json_struct(w, &v);
  else if (id == TN_TYPE_MAP)
    json_map(w, &v);
  else
    json_list(w, &v);
}
