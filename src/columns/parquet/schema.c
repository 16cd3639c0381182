/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/schema.h"

/* ---- writing --------------------------------------------------------------------------------- */

static void integer(tn_parquet_element *e, int32_t physical, int8_t bits, bool is_signed) {
  e->physical = physical;
  e->logical.kind = TN_PARQUET_LOGICAL_INTEGER;
  e->logical.bits = bits;
  e->logical.is_signed = is_signed;
  int32_t step = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
  e->converted = step + (is_signed ? TN_PARQUET_CONVERTED_INT_8 : TN_PARQUET_CONVERTED_UINT_8);
}

static void timestamp(tn_parquet_element *e, int8_t unit, bool utc) {
  e->physical = TN_PARQUET_INT64;
  e->logical.kind = TN_PARQUET_LOGICAL_TIMESTAMP;
  e->logical.unit = unit;
  e->logical.utc = utc;
  /* The converted types mean UTC, and there is none for nanoseconds (LogicalTypes.md). */
  if (utc && unit == TN_PARQUET_MICROS) e->converted = TN_PARQUET_CONVERTED_TIMESTAMP_MICROS;
}

void tn_parquet_element_for(tn_column_type type, const char *name, bool nullable,
                            tn_parquet_element *out) {
  tn_parquet_element e = {.name = name, .converted = -1};
  e.repetition = nullable ? TN_PARQUET_OPTIONAL : TN_PARQUET_REQUIRED;
  switch (type) {
    case TN_COLUMN_BOOL:
      e.physical = TN_PARQUET_BOOLEAN;
      break;
    case TN_COLUMN_INT8:
      integer(&e, TN_PARQUET_INT32, 8, true);
      break;
    case TN_COLUMN_UINT8:
      integer(&e, TN_PARQUET_INT32, 8, false);
      break;
    case TN_COLUMN_INT16:
      integer(&e, TN_PARQUET_INT32, 16, true);
      break;
    case TN_COLUMN_UINT16:
      integer(&e, TN_PARQUET_INT32, 16, false);
      break;
    case TN_COLUMN_INT32:
      e.physical = TN_PARQUET_INT32;
      break;
    case TN_COLUMN_UINT32:
      integer(&e, TN_PARQUET_INT32, 32, false);
      break;
    case TN_COLUMN_INT64:
      e.physical = TN_PARQUET_INT64;
      break;
    case TN_COLUMN_UINT64:
      integer(&e, TN_PARQUET_INT64, 64, false);
      break;
    case TN_COLUMN_FLOAT:
      e.physical = TN_PARQUET_FLOAT;
      break;
    case TN_COLUMN_DOUBLE:
      e.physical = TN_PARQUET_DOUBLE;
      break;
    case TN_COLUMN_STRING:
      e.physical = TN_PARQUET_BYTE_ARRAY;
      e.logical.kind = TN_PARQUET_LOGICAL_STRING;
      e.converted = TN_PARQUET_CONVERTED_UTF8;
      break;
    case TN_COLUMN_DATE32:
      e.physical = TN_PARQUET_INT32;
      e.logical.kind = TN_PARQUET_LOGICAL_DATE;
      e.converted = TN_PARQUET_CONVERTED_DATE;
      break;
    case TN_COLUMN_TIMESTAMP_MS:
      timestamp(&e, TN_PARQUET_MILLIS, false);
      break;
    case TN_COLUMN_TIMESTAMP_US:
      timestamp(&e, TN_PARQUET_MICROS, false);
      break;
    case TN_COLUMN_TIMESTAMP_NS:
      timestamp(&e, TN_PARQUET_NANOS, false);
      break;
    case TN_COLUMN_TIMESTAMP_US_UTC:
      timestamp(&e, TN_PARQUET_MICROS, true);
      break;
    default:
      e.physical = TN_PARQUET_BYTE_ARRAY;
  }
  *out = e;
}

int32_t tn_parquet_stored_bytes(tn_column_type type) {
  int32_t bits = tn_column_type_bits(type);
  return bits <= 1 ? 0 : bits <= 32 ? 4 : 8;
}
