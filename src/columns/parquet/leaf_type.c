/* SPDX-License-Identifier: Apache-2.0 */
/* Which Arrow type a physical column becomes, and how its stored values become that. */
#include <stdio.h>

#include "columns/parquet/schema.h"

enum { DECIMAL_DIGITS_MAX = 76, DECIMAL128_DIGITS = 38, DECIMAL256_BYTES = 32, UUID_BYTES = 16 };

tn_status tn_parquet_leaf_set_format(tn_parquet_leaf *leaf, tn_arena *arena, const char *format,
                                     tn_error *err) {
  const char *kept = tn_arena_strndup(arena, format, strlen(format));
  if (!kept) return tn_fail_memory(err, "a column's type", strlen(format));
  TN_TRY(tn_type_parse(kept, &leaf->type, err));
  leaf->format = kept;
  leaf->width = leaf->type.bits / 8;
  return TN_OK;
}

static tn_status take(tn_parquet_leaf *leaf, tn_arena *arena, tn_parquet_form form, int32_t stored,
                      const char *format, tn_error *err) {
  leaf->form = form;
  leaf->stored = stored;
  return tn_parquet_leaf_set_format(leaf, arena, format, err);
}

static bool is_decimal(const tn_parquet_logical *l) {
  return l->kind == TN_PARQUET_LOGICAL_DECIMAL && l->precision > 0 && l->scale >= 0 &&
         l->precision <= DECIMAL_DIGITS_MAX && l->scale <= l->precision;
}

static tn_status take_decimal(tn_parquet_leaf *leaf, tn_arena *arena, tn_parquet_form form,
                              int32_t stored, tn_error *err) {
  const tn_parquet_logical *l = &leaf->element->logical;
  char format[48];
  snprintf(format, sizeof format, "d:%d,%d%s", l->precision, l->scale,
           l->precision > DECIMAL128_DIGITS ? ",256" : "");
  return take(leaf, arena, form, stored, format, err);
}

static tn_status resolve_int32(tn_parquet_leaf *leaf, tn_arena *arena, tn_error *err) {
  const tn_parquet_logical *l = &leaf->element->logical;
  if (l->kind == TN_PARQUET_LOGICAL_DATE) {
    return take(leaf, arena, TN_PARQUET_FORM_COPY, 4, "tdD", err);
  }
  if (l->kind == TN_PARQUET_LOGICAL_TIME && l->unit == TN_PARQUET_MILLIS) {
    return take(leaf, arena, TN_PARQUET_FORM_COPY, 4, "ttm", err);
  }
  if (is_decimal(l)) return take_decimal(leaf, arena, TN_PARQUET_FORM_WIDEN, 4, err);
  switch (l->kind != TN_PARQUET_LOGICAL_INTEGER ? 0 : l->is_signed ? l->bits : -l->bits) {
    case 8:
      return take(leaf, arena, TN_PARQUET_FORM_I8, 4, "c", err);
    case 16:
      return take(leaf, arena, TN_PARQUET_FORM_I16, 4, "s", err);
    case -8:
      return take(leaf, arena, TN_PARQUET_FORM_U8, 4, "C", err);
    case -16:
      return take(leaf, arena, TN_PARQUET_FORM_U16, 4, "S", err);
    case -32:
      return take(leaf, arena, TN_PARQUET_FORM_COPY, 4, "I", err);
    default:
      return take(leaf, arena, TN_PARQUET_FORM_COPY, 4, "i", err);
  }
}

/* A ConvertedType says "UTC" for every timestamp; writers of that age did not mean a zone by it,
 * and pyarrow reads them without one. */
static const char *timestamp_format(const tn_parquet_logical *l) {
  bool utc = l->utc && !l->converted;
  switch (l->unit) {
    case TN_PARQUET_MILLIS:
      return utc ? "tsm:UTC" : "tsm:";
    case TN_PARQUET_MICROS:
      return utc ? "tsu:UTC" : "tsu:";
    default:
      return utc ? "tsn:UTC" : "tsn:";
  }
}

static tn_status resolve_int64(tn_parquet_leaf *leaf, tn_arena *arena, tn_error *err) {
  const tn_parquet_logical *l = &leaf->element->logical;
  const char *format = "l";
  if (is_decimal(l)) return take_decimal(leaf, arena, TN_PARQUET_FORM_WIDEN, 8, err);
  if (l->kind == TN_PARQUET_LOGICAL_TIMESTAMP && l->unit) format = timestamp_format(l);
  if (l->kind == TN_PARQUET_LOGICAL_TIME && l->unit == TN_PARQUET_MICROS) format = "ttu";
  if (l->kind == TN_PARQUET_LOGICAL_TIME && l->unit == TN_PARQUET_NANOS) format = "ttn";
  if (l->kind == TN_PARQUET_LOGICAL_INTEGER && l->bits == 64 && !l->is_signed) format = "L";
  return take(leaf, arena, TN_PARQUET_FORM_COPY, 8, format, err);
}

static tn_status resolve_bytes(tn_parquet_leaf *leaf, tn_arena *arena, tn_error *err) {
  const tn_parquet_logical *l = &leaf->element->logical;
  if (is_decimal(l)) return take_decimal(leaf, arena, TN_PARQUET_FORM_BIG_BYTES, 0, err);
  bool text = l->kind == TN_PARQUET_LOGICAL_STRING || l->kind == TN_PARQUET_LOGICAL_ENUM ||
              l->kind == TN_PARQUET_LOGICAL_JSON;
  return take(leaf, arena, TN_PARQUET_FORM_BYTES, 0, text ? "u" : "z", err);
}

static tn_status resolve_fixed(tn_parquet_leaf *leaf, tn_arena *arena, tn_error *err) {
  const tn_parquet_logical *l = &leaf->element->logical;
  int32_t length = leaf->element->length;
  char format[24];
  if (length == 0) {
    return tn_fail(err, TN_ERR_DATA, "column \"%s\" has a fixed length of 0 bytes", leaf->name);
  }
  if (is_decimal(l) && length <= DECIMAL256_BYTES) {
    return take_decimal(leaf, arena, TN_PARQUET_FORM_BIG, length, err);
  }
  if (l->kind == TN_PARQUET_LOGICAL_FLOAT16 && length == 2) {
    return take(leaf, arena, TN_PARQUET_FORM_COPY, 2, "e", err);
  }
  snprintf(format, sizeof format, "w:%d", length);
  return take(leaf, arena, TN_PARQUET_FORM_COPY, length, format, err);
}

static tn_status resolve_int96(tn_parquet_leaf *leaf, tn_arena *arena, tn_parquet_int96 int96,
                               bool spark, tn_error *err) {
  if (int96 == TN_PARQUET_INT96_AS_US)
    return take(leaf, arena, TN_PARQUET_FORM_INT96_CUT, 12, "tsu:", err);
  if (spark) return take(leaf, arena, TN_PARQUET_FORM_INT96_US, 12, "tsu:", err);
  return take(leaf, arena, TN_PARQUET_FORM_INT96_NS, 12, "tsn:", err);
}

tn_status tn_parquet_leaf_resolve(tn_parquet_leaf *leaf, tn_arena *arena, tn_parquet_int96 int96,
                                  bool spark, tn_error *err) {
  static const int32_t stored[] = {0, 4, 8, 12, 4, 8, 0, 0};
  int32_t physical = leaf->element->physical;
  if (leaf->element->logical.kind == TN_PARQUET_LOGICAL_UNKNOWN) {
    return take(leaf, arena, TN_PARQUET_FORM_NULL, stored[physical], "n", err);
  }
  switch (physical) {
    case TN_PARQUET_BOOLEAN:
      return take(leaf, arena, TN_PARQUET_FORM_BITS, 0, "b", err);
    case TN_PARQUET_INT32:
      return resolve_int32(leaf, arena, err);
    case TN_PARQUET_INT64:
      return resolve_int64(leaf, arena, err);
    case TN_PARQUET_INT96:
      return resolve_int96(leaf, arena, int96, spark, err);
    case TN_PARQUET_FLOAT:
      return take(leaf, arena, TN_PARQUET_FORM_COPY, 4, "f", err);
    case TN_PARQUET_DOUBLE:
      return take(leaf, arena, TN_PARQUET_FORM_COPY, 8, "g", err);
    case TN_PARQUET_BYTE_ARRAY:
      return resolve_bytes(leaf, arena, err);
    default:
      return resolve_fixed(leaf, arena, err);
  }
}

/* ---- for people ------------------------------------------------------------------------------ */

static const char *integer_text(const tn_parquet_logical *l) {
  switch (l->is_signed ? l->bits : -l->bits) {
    case 8:
      return "INTEGER(8, signed)";
    case 16:
      return "INTEGER(16, signed)";
    case 32:
      return "INTEGER(32, signed)";
    case 64:
      return "INTEGER(64, signed)";
    case -8:
      return "INTEGER(8, unsigned)";
    case -16:
      return "INTEGER(16, unsigned)";
    case -32:
      return "INTEGER(32, unsigned)";
    case -64:
      return "INTEGER(64, unsigned)";
    default:
      return "INTEGER";
  }
}

const char *tn_parquet_logical_text(const tn_parquet_logical *l) {
  static const char *const timestamps[2][4] = {
      {"TIMESTAMP", "TIMESTAMP(ms)", "TIMESTAMP(us)", "TIMESTAMP(ns)"},
      {"TIMESTAMP(UTC)", "TIMESTAMP(ms, UTC)", "TIMESTAMP(us, UTC)", "TIMESTAMP(ns, UTC)"}};
  static const char *const times[4] = {"TIME", "TIME(ms)", "TIME(us)", "TIME(ns)"};
  switch (l->kind) {
    case TN_PARQUET_LOGICAL_TIMESTAMP:
      return timestamps[l->utc][l->unit & 3];
    case TN_PARQUET_LOGICAL_TIME:
      return times[l->unit & 3];
    case TN_PARQUET_LOGICAL_INTEGER:
      return integer_text(l);
    default:
      break;
  }
  switch (l->kind) {
#define X(id, code, name) \
  case code:              \
    return name;
    TN_PARQUET_LOGICAL_LIST(X)
#undef X
    default:
      return "an unknown logical type";
  }
}
