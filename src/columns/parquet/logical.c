/* Names, logical types and statistics: what metadata_parse.c and page_header.c share. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/metadata_parts.h"

const char *tn_parquet_physical_name(int32_t physical) {
  switch (physical) {
#define X(id, code, name) \
  case code:              \
    return name;
    TN_PARQUET_PHYSICAL_LIST(X)
#undef X
    default:
      return NULL;
  }
}

const char *tn_parquet_encoding_name(int32_t encoding) {
  switch (encoding) {
#define X(id, code, name) \
  case code:              \
    return name;
    TN_PARQUET_ENCODING_LIST(X)
#undef X
    default:
      return NULL;
  }
}

/* ---- logical types --------------------------------------------------------------------------- */

static void as_time(tn_parquet_logical *l, int16_t kind, int8_t unit) {
  l->kind = kind;
  l->unit = unit;
}

tn_parquet_logical tn_parquet_logical_of_converted(int32_t converted) {
  tn_parquet_logical l = {.converted = true, .utc = true};
  switch (converted) {
    case TN_PARQUET_CONVERTED_UTF8:
      l.kind = TN_PARQUET_LOGICAL_STRING;
      break;
    case TN_PARQUET_CONVERTED_MAP:
    case TN_PARQUET_CONVERTED_MAP_KEY_VALUE:
      l.kind = TN_PARQUET_LOGICAL_MAP;
      break;
    case TN_PARQUET_CONVERTED_LIST:
      l.kind = TN_PARQUET_LOGICAL_LIST_;
      break;
    case TN_PARQUET_CONVERTED_ENUM:
      l.kind = TN_PARQUET_LOGICAL_ENUM;
      break;
    case TN_PARQUET_CONVERTED_DECIMAL:
      l.kind = TN_PARQUET_LOGICAL_DECIMAL;
      break;
    case TN_PARQUET_CONVERTED_DATE:
      l.kind = TN_PARQUET_LOGICAL_DATE;
      break;
    case TN_PARQUET_CONVERTED_TIME_MILLIS:
      as_time(&l, TN_PARQUET_LOGICAL_TIME, TN_PARQUET_MILLIS);
      break;
    case TN_PARQUET_CONVERTED_TIME_MICROS:
      as_time(&l, TN_PARQUET_LOGICAL_TIME, TN_PARQUET_MICROS);
      break;
    case TN_PARQUET_CONVERTED_TIMESTAMP_MILLIS:
      as_time(&l, TN_PARQUET_LOGICAL_TIMESTAMP, TN_PARQUET_MILLIS);
      break;
    case TN_PARQUET_CONVERTED_TIMESTAMP_MICROS:
      as_time(&l, TN_PARQUET_LOGICAL_TIMESTAMP, TN_PARQUET_MICROS);
      break;
    case TN_PARQUET_CONVERTED_JSON:
      l.kind = TN_PARQUET_LOGICAL_JSON;
      break;
    case TN_PARQUET_CONVERTED_BSON:
      l.kind = TN_PARQUET_LOGICAL_BSON;
      break;
    case TN_PARQUET_CONVERTED_INTERVAL:
      l.kind = TN_PARQUET_LOGICAL_INTERVAL;
      break;
    default:
      if (converted < TN_PARQUET_CONVERTED_UINT_8 || converted > TN_PARQUET_CONVERTED_INT_8 + 3) {
        break;
      }
      l.kind = TN_PARQUET_LOGICAL_INTEGER;
      l.bits = (int8_t)(8 << ((converted - TN_PARQUET_CONVERTED_UINT_8) & 3));
      l.is_signed = converted >= TN_PARQUET_CONVERTED_INT_8;
  }
  return l;
}

static int8_t parse_unit(tn_thrift_reader *r, const tn_thrift_field *field) {
  int8_t unit = 0;
  tn_thrift_field f;
  if (!tn_thrift_is_struct(r, field)) return 0;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id >= TN_PARQUET_MILLIS && f.id <= TN_PARQUET_NANOS) unit = (int8_t)f.id;
    tn_thrift_skip(r, &f);
  }
  return unit;
}

/* Field `f` of the member `out->kind`. */
static void parse_member_field(tn_thrift_reader *r, const tn_thrift_field *f,
                               tn_parquet_logical *out) {
  enum { MEMBER_FIELDS = 4 };
#define FIELD(kind, id) ((kind)*MEMBER_FIELDS + (id))
  if (f->id < 1 || f->id >= MEMBER_FIELDS) {
    tn_thrift_skip(r, f);
    return;
  }
  switch (FIELD(out->kind, f->id)) {
    case FIELD(TN_PARQUET_LOGICAL_DECIMAL, 1):
      out->scale = tn_thrift_i32(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_DECIMAL, 2):
      out->precision = tn_thrift_i32(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_TIME, 1):
    case FIELD(TN_PARQUET_LOGICAL_TIMESTAMP, 1):
      out->utc = tn_thrift_bool(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_TIME, 2):
    case FIELD(TN_PARQUET_LOGICAL_TIMESTAMP, 2):
      out->unit = parse_unit(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_INTEGER, 1):
      out->bits = tn_thrift_byte(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_INTEGER, 2):
      out->is_signed = tn_thrift_bool(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_VARIANT, 1):
      out->version = tn_thrift_byte(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_GEOMETRY, 1):
    case FIELD(TN_PARQUET_LOGICAL_GEOGRAPHY, 1):
      out->crs = tn_thrift_binary(r, f);
      break;
    case FIELD(TN_PARQUET_LOGICAL_GEOGRAPHY, 2):
      out->edges = tn_thrift_i32(r, f);
      break;
    default:
      tn_thrift_skip(r, f);
  }
#undef FIELD
}

void tn_parquet_logical_parse(tn_thrift_reader *r, tn_parquet_logical *out) {
  tn_thrift_field member, f;
  *out = (tn_parquet_logical){0};
  tn_thrift_begin(r, &member);
  while (tn_thrift_next(r, &member)) {
    bool known = member.id >= TN_PARQUET_LOGICAL_STRING && member.id <= TN_PARQUET_LOGICAL_FILE &&
                 member.id != 9;
    out->kind = known ? member.id : TN_PARQUET_LOGICAL_OTHER;
    if (!known) {
      tn_thrift_skip(r, &member);
      continue;
    }
    if (!tn_thrift_is_struct(r, &member)) return;
    tn_thrift_begin(r, &f);
    while (tn_thrift_next(r, &f)) parse_member_field(r, &f, out);
  }
}

static void write_time(tn_thrift_writer *w, const tn_parquet_logical *l) {
  tn_thrift_write_bool(w, 1, l->utc);
  tn_thrift_write_struct(w, 2);
  tn_thrift_write_begin(w);
  tn_thrift_write_empty(w, l->unit);
  tn_thrift_write_end(w);
}

static void write_member_fields(tn_thrift_writer *w, const tn_parquet_logical *l) {
  switch (l->kind) {
    case TN_PARQUET_LOGICAL_DECIMAL:
      tn_thrift_write_i32(w, 1, l->scale);
      tn_thrift_write_i32(w, 2, l->precision);
      break;
    case TN_PARQUET_LOGICAL_TIME:
    case TN_PARQUET_LOGICAL_TIMESTAMP:
      write_time(w, l);
      break;
    case TN_PARQUET_LOGICAL_INTEGER:
      tn_thrift_write_byte(w, 1, l->bits);
      tn_thrift_write_bool(w, 2, l->is_signed);
      break;
    case TN_PARQUET_LOGICAL_VARIANT:
      if (l->version) tn_thrift_write_byte(w, 1, l->version);
      break;
    case TN_PARQUET_LOGICAL_GEOMETRY:
    case TN_PARQUET_LOGICAL_GEOGRAPHY:
      if (l->crs.data) tn_thrift_write_binary(w, 1, l->crs);
      if (l->edges != TN_PARQUET_SPHERICAL) tn_thrift_write_i32(w, 2, l->edges);
      break;
    default:
      break;
  }
}

void tn_parquet_logical_write(tn_thrift_writer *w, int16_t id, const tn_parquet_logical *l) {
  /* INTERVAL is a converted type alone, and what we do not know we cannot say. */
  if (l->kind == TN_PARQUET_LOGICAL_NONE || l->kind > TN_PARQUET_LOGICAL_FILE) return;
  tn_thrift_write_struct(w, id);
  tn_thrift_write_begin(w);
  tn_thrift_write_struct(w, l->kind);
  tn_thrift_write_begin(w);
  write_member_fields(w, l);
  tn_thrift_write_end(w);
  tn_thrift_write_end(w);
}

/* ---- statistics ------------------------------------------------------------------------------ */

enum { OLD_MAX, OLD_MIN, NEW_MAX, NEW_MIN, BOUNDS };

/* The deprecated pair counts only where nothing of the new one is there. */
static void take_bounds(const tn_str bounds[BOUNDS], const bool found[BOUNDS],
                        tn_parquet_range *out) {
  bool any_new = found[NEW_MAX] || found[NEW_MIN];
  out->has_max = any_new ? found[NEW_MAX] : found[OLD_MAX];
  out->has_min = any_new ? found[NEW_MIN] : found[OLD_MIN];
  out->max = any_new ? bounds[NEW_MAX] : bounds[OLD_MAX];
  out->min = any_new ? bounds[NEW_MIN] : bounds[OLD_MIN];
  out->present = out->has_min && out->has_max;
  out->old_order = !any_new && (out->has_min || out->has_max);
}

void tn_parquet_range_parse(tn_thrift_reader *r, tn_parquet_range *out) {
  tn_str bounds[BOUNDS] = {{0}};
  bool found[BOUNDS] = {false};
  tn_thrift_field f;
  tn_thrift_begin(r, &f);
  *out = (tn_parquet_range){.nulls = -1, .min_exact = true, .max_exact = true};
  while (tn_thrift_next(r, &f)) {
    switch (f.id) {
      case 1:
        bounds[OLD_MAX] = tn_thrift_binary(r, &f), found[OLD_MAX] = true;
        break;
      case 2:
        bounds[OLD_MIN] = tn_thrift_binary(r, &f), found[OLD_MIN] = true;
        break;
      case 3:
        out->nulls = tn_thrift_i64(r, &f);
        break;
      case 4:
        out->distinct = tn_thrift_i64(r, &f), out->has_distinct = true;
        break;
      case 5:
        bounds[NEW_MAX] = tn_thrift_binary(r, &f), found[NEW_MAX] = true;
        break;
      case 6:
        bounds[NEW_MIN] = tn_thrift_binary(r, &f), found[NEW_MIN] = true;
        break;
      case 7:
        out->max_exact = tn_thrift_bool(r, &f), out->has_max_exact = true;
        break;
      case 8:
        out->min_exact = tn_thrift_bool(r, &f), out->has_min_exact = true;
        break;
      case 9:
        out->nans = tn_thrift_i64(r, &f), out->has_nans = true;
        break;
      default:
        tn_thrift_skip(r, &f);
    }
  }
  take_bounds(bounds, found, out);
}

void tn_parquet_range_write(tn_thrift_writer *w, int16_t id, const tn_parquet_range *range) {
  bool min = range->present || range->has_min, max = range->present || range->has_max;
  tn_thrift_write_struct(w, id);
  tn_thrift_write_begin(w);
  if (max && range->old_order) tn_thrift_write_binary(w, 1, range->max);
  if (min && range->old_order) tn_thrift_write_binary(w, 2, range->min);
  if (range->nulls >= 0) tn_thrift_write_i64(w, 3, range->nulls);
  if (range->has_distinct) tn_thrift_write_i64(w, 4, range->distinct);
  if (!range->old_order) {
    if (max) tn_thrift_write_binary(w, 5, range->max);
    if (min) tn_thrift_write_binary(w, 6, range->min);
    if (max) tn_thrift_write_bool(w, 7, range->max_exact);
    if (min) tn_thrift_write_bool(w, 8, range->min_exact);
  }
  if (range->has_nans) tn_thrift_write_i64(w, 9, range->nans);
  tn_thrift_write_end(w);
}

/* ---- lists of numbers ------------------------------------------------------------------------ */

int64_t *tn_parquet_i64s_parse(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                               uint32_t *count) {
  uint32_t found = tn_thrift_list(r, f, TN_THRIFT_I64);
  *count = 0;
  int64_t *values = found ? tn_arena_alloc(arena, found, sizeof *values) : NULL;
  if (!values) return NULL;
  for (uint32_t i = 0; i < found; i++) values[i] = tn_thrift_element_i64(r);
  *count = found;
  return values;
}

void tn_parquet_i64s_write(tn_thrift_writer *w, int16_t id, const int64_t *values, uint32_t count) {
  tn_thrift_write_list(w, id, TN_THRIFT_I64, count);
  for (uint32_t i = 0; i < count; i++) tn_thrift_write_element_i64(w, values[i]);
}
