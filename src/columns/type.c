/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/type.h"

#include <stdio.h>

static const struct {
  const char *name;
  int32_t bits;
  tn_layout layout;
} type_table[TN_TYPE_COUNT] = {
#define X(id, name, bits, layout) [id] = {name, bits, layout},
    TN_TYPE_ROWS(X)
#undef X
};

const char *tn_type_name(tn_type_id id) {
  return type_table[id].name;
}

int64_t tn_time_units_per_second(tn_time_unit unit) {
  static const int64_t units[] = {1, 1000, 1000000, 1000000000};
  return units[unit];
}

int64_t tn_layout_buffers(tn_layout layout) {
  switch (layout) {
    case TN_LAYOUT_NONE:
    case TN_LAYOUT_RUN_END:
      return 0;
    case TN_LAYOUT_FIXED_LIST:
    case TN_LAYOUT_STRUCT:
    case TN_LAYOUT_SPARSE_UNION:
      return 1;
    case TN_LAYOUT_BYTES:
    case TN_LAYOUT_LARGE_BYTES:
    case TN_LAYOUT_VIEW:
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return 3;
    default:
      return 2;
  }
}

bool tn_layout_has_validity(tn_layout layout) {
  return layout != TN_LAYOUT_NONE && layout != TN_LAYOUT_RUN_END &&
         layout != TN_LAYOUT_DENSE_UNION && layout != TN_LAYOUT_SPARSE_UNION;
}

/* ---- formats ---- */
/* One-word formats; those with parameters are parsed below. */
static const struct {
  const char *format;
  tn_type_id id;
  tn_time_unit unit;
} plain_formats[] = {
    {"n", TN_TYPE_NULL, 0},
    {"b", TN_TYPE_BOOL, 0},
    {"c", TN_TYPE_INT8, 0},
    {"C", TN_TYPE_UINT8, 0},
    {"s", TN_TYPE_INT16, 0},
    {"S", TN_TYPE_UINT16, 0},
    {"i", TN_TYPE_INT32, 0},
    {"I", TN_TYPE_UINT32, 0},
    {"l", TN_TYPE_INT64, 0},
    {"L", TN_TYPE_UINT64, 0},
    {"e", TN_TYPE_HALF, 0},
    {"f", TN_TYPE_FLOAT, 0},
    {"g", TN_TYPE_DOUBLE, 0},
    {"u", TN_TYPE_STRING, 0},
    {"z", TN_TYPE_BINARY, 0},
    {"U", TN_TYPE_LARGE_STRING, 0},
    {"Z", TN_TYPE_LARGE_BINARY, 0},
    {"vu", TN_TYPE_STRING_VIEW, 0},
    {"vz", TN_TYPE_BINARY_VIEW, 0},
    {"tdD", TN_TYPE_DATE32, 0},
    {"tdm", TN_TYPE_DATE64, 0},
    {"tts", TN_TYPE_TIME32, TN_SECONDS},
    {"ttm", TN_TYPE_TIME32, TN_MILLIS},
    {"ttu", TN_TYPE_TIME64, TN_MICROS},
    {"ttn", TN_TYPE_TIME64, TN_NANOS},
    {"tDs", TN_TYPE_DURATION, TN_SECONDS},
    {"tDm", TN_TYPE_DURATION, TN_MILLIS},
    {"tDu", TN_TYPE_DURATION, TN_MICROS},
    {"tDn", TN_TYPE_DURATION, TN_NANOS},
    {"tiM", TN_TYPE_INTERVAL_MONTHS, 0},
    {"tiD", TN_TYPE_INTERVAL_DAY_TIME, 0},
    {"tin", TN_TYPE_INTERVAL_MONTH_DAY_NANO, 0},
    {"+l", TN_TYPE_LIST, 0},
    {"+L", TN_TYPE_LARGE_LIST, 0},
    {"+vl", TN_TYPE_LIST_VIEW, 0},
    {"+vL", TN_TYPE_LARGE_LIST_VIEW, 0},
    {"+s", TN_TYPE_STRUCT, 0},
    {"+m", TN_TYPE_MAP, 0},
    {"+r", TN_TYPE_RUN_END, 0},
};
enum { PLAIN_FORMATS = sizeof plain_formats / sizeof plain_formats[0] };
static const char unit_letters[] = "smun";

static void set_id(tn_type *t, tn_type_id id) {
  t->id = id;
  t->bits = type_table[id].bits;
  t->layout = type_table[id].layout;
}

/* The next of the integers in "10,2,256"; false when there is none or it is out of bounds. */
static bool next_number(tn_str *rest, int64_t min, int64_t max, int64_t *out) {
  tn_str part = tn_str_cut(rest, ',');
  return part.length > 0 && tn_str_to_i64(part, out) && *out >= min && *out <= max;
}

static bool parse_decimal(tn_str rest, tn_type *t) {
  static const int32_t digits[] = {9, 18, 38, 76};
  int64_t precision, scale, bits = 128;
  if (!next_number(&rest, 1, 76, &precision) || !next_number(&rest, -1000, 1000, &scale))
    return false;
  if (rest.length > 0 && !next_number(&rest, 32, 256, &bits)) return false;
  int which = bits == 32 ? 0 : bits == 64 ? 1 : bits == 128 ? 2 : bits == 256 ? 3 : -1;
  if (which < 0 || rest.length > 0 || precision > digits[which]) return false;
  set_id(t, TN_TYPE_DECIMAL32 + (tn_type_id)which);
  t->precision = (int32_t)precision;
  t->scale = (int32_t)scale;
  return true;
}

static bool parse_sized(tn_str rest, tn_type_id id, tn_type *t) {
  int64_t size;
  if (!tn_str_to_i64(rest, &size) || size < 0 || size > INT32_MAX) return false;
  set_id(t, id);
  t->size = (int32_t)size;
  if (id != TN_TYPE_FIXED_BINARY) return true;
  if (size > INT32_MAX / 8) return false;
  t->bits = t->size * 8;
  return true;
}

static bool parse_union(tn_str rest, tn_type_id id, tn_type *t) {
  set_id(t, id);
  bool used[128] = {false};
  while (rest.length > 0) {
    int64_t code;
    if (t->code_count == TN_UNION_CHILDREN_MAX || !next_number(&rest, 0, 127, &code) || used[code])
      return false;
    used[code] = true;
    t->codes[t->code_count++] = (int8_t)code;
  }
  return true;
}

static bool parse_timestamp(const char *format, tn_type *t) {
  const char *letter = format[2] ? strchr(unit_letters, format[2]) : NULL;
  if (!letter || format[3] != ':') return false;
  set_id(t, TN_TYPE_TIMESTAMP);
  t->unit = (tn_time_unit)(letter - unit_letters);
  t->timezone = tn_str_of(format + 4);
  return true;
}

static bool parse_parametric(const char *format, tn_type *t) {
  if (strncmp(format, "ts", 2) == 0) return parse_timestamp(format, t);
  if (strncmp(format, "d:", 2) == 0) return parse_decimal(tn_str_of(format + 2), t);
  if (strncmp(format, "w:", 2) == 0)
    return parse_sized(tn_str_of(format + 2), TN_TYPE_FIXED_BINARY, t);
  if (strncmp(format, "+w:", 3) == 0)
    return parse_sized(tn_str_of(format + 3), TN_TYPE_FIXED_LIST, t);
  if (strncmp(format, "+ud:", 4) == 0)
    return parse_union(tn_str_of(format + 4), TN_TYPE_DENSE_UNION, t);
  if (strncmp(format, "+us:", 4) == 0)
    return parse_union(tn_str_of(format + 4), TN_TYPE_SPARSE_UNION, t);
  return false;
}

tn_status tn_type_parse(const char *format, tn_type *out, tn_error *err) {
  *out = (tn_type){0};
  if (!format) return tn_fail(err, TN_ERR_ARGUMENT, "an Arrow field without a format");
  for (int i = 0; i < PLAIN_FORMATS; i++) {
    if (strcmp(format, plain_formats[i].format) != 0) continue;
    set_id(out, plain_formats[i].id);
    out->unit = plain_formats[i].unit;
    return TN_OK;
  }
  if (parse_parametric(format, out)) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "Arrow type with format \"%.100s\"", format);
}

static void format_union(const tn_type *t, const char *head, char *out) {
  size_t used = (size_t)snprintf(out, TN_TYPE_FORMAT_BYTES, "%s", head);
  for (int32_t i = 0; i < t->code_count; i++)
    used += (size_t)snprintf(out + used, TN_TYPE_FORMAT_BYTES - used, "%s%d", i ? "," : "",
                             t->codes[i]);
}

void tn_type_format(const tn_type *t, char out[TN_TYPE_FORMAT_BYTES]) {
  for (int i = 0; i < PLAIN_FORMATS; i++) {
    if (plain_formats[i].id != t->id) continue;
    bool timed = t->id == TN_TYPE_TIME32 || t->id == TN_TYPE_TIME64 || t->id == TN_TYPE_DURATION;
    if (timed && plain_formats[i].unit != t->unit) continue;
    snprintf(out, TN_TYPE_FORMAT_BYTES, "%s", plain_formats[i].format);
    return;
  }
  switch (t->id) {
    case TN_TYPE_TIMESTAMP:
      snprintf(out, TN_TYPE_FORMAT_BYTES, "ts%c:%.*s", unit_letters[t->unit],
               TN_STR_ARG(t->timezone));
      break;
    case TN_TYPE_FIXED_BINARY:
      snprintf(out, TN_TYPE_FORMAT_BYTES, "w:%d", t->size);
      break;
    case TN_TYPE_FIXED_LIST:
      snprintf(out, TN_TYPE_FORMAT_BYTES, "+w:%d", t->size);
      break;
    case TN_TYPE_DENSE_UNION:
      format_union(t, "+ud:", out);
      break;
    case TN_TYPE_SPARSE_UNION:
      format_union(t, "+us:", out);
      break;
    case TN_TYPE_DECIMAL128:
      snprintf(out, TN_TYPE_FORMAT_BYTES, "d:%d,%d", t->precision, t->scale);
      break;
    default:
      snprintf(out, TN_TYPE_FORMAT_BYTES, "d:%d,%d,%d", t->precision, t->scale, t->bits);
      break;
  }
}
