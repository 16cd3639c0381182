/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of the first, flat list of types. */
#include "columns/arrow.h"
#include "columns/schema.h"
#include "columns/value.h"

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

void tn_array_text(const ArrowArray *a, tn_column_type type, int64_t row, tn_strbuf *out) {
  static const tn_field fields[TN_COLUMN_TYPE_COUNT] = {
#define FLAT(id, bits, layout) {"", {id, layout, bits}}
      [TN_COLUMN_BOOL] = FLAT(TN_TYPE_BOOL, 1, TN_LAYOUT_BITS),
      [TN_COLUMN_INT8] = FLAT(TN_TYPE_INT8, 8, TN_LAYOUT_FIXED),
      [TN_COLUMN_UINT8] = FLAT(TN_TYPE_UINT8, 8, TN_LAYOUT_FIXED),
      [TN_COLUMN_INT16] = FLAT(TN_TYPE_INT16, 16, TN_LAYOUT_FIXED),
      [TN_COLUMN_UINT16] = FLAT(TN_TYPE_UINT16, 16, TN_LAYOUT_FIXED),
      [TN_COLUMN_INT32] = FLAT(TN_TYPE_INT32, 32, TN_LAYOUT_FIXED),
      [TN_COLUMN_UINT32] = FLAT(TN_TYPE_UINT32, 32, TN_LAYOUT_FIXED),
      [TN_COLUMN_INT64] = FLAT(TN_TYPE_INT64, 64, TN_LAYOUT_FIXED),
      [TN_COLUMN_UINT64] = FLAT(TN_TYPE_UINT64, 64, TN_LAYOUT_FIXED),
      [TN_COLUMN_FLOAT] = FLAT(TN_TYPE_FLOAT, 32, TN_LAYOUT_FIXED),
      [TN_COLUMN_DOUBLE] = FLAT(TN_TYPE_DOUBLE, 64, TN_LAYOUT_FIXED),
      [TN_COLUMN_STRING] = FLAT(TN_TYPE_STRING, 0, TN_LAYOUT_BYTES),
      [TN_COLUMN_BINARY] = FLAT(TN_TYPE_BINARY, 0, TN_LAYOUT_BYTES),
      [TN_COLUMN_DATE32] = FLAT(TN_TYPE_DATE32, 32, TN_LAYOUT_FIXED),
#undef FLAT
#define TIME(unit, ...) {"", {TN_TYPE_TIMESTAMP, TN_LAYOUT_FIXED, 64, unit, __VA_ARGS__}}
      [TN_COLUMN_TIMESTAMP_MS] = TIME(TN_MILLIS, 0),
      [TN_COLUMN_TIMESTAMP_US] = TIME(TN_MICROS, 0),
      [TN_COLUMN_TIMESTAMP_NS] = TIME(TN_NANOS, 0),
      [TN_COLUMN_TIMESTAMP_US_UTC] = TIME(TN_MICROS, .timezone = {"UTC", 3}),
#undef TIME
  };
  tn_value_text(&fields[type], a, row, out);
}

tn_status tn_schema_new(ArrowSchema *out, const char *const *names, const tn_column_type *types,
                        int64_t count, tn_error *err) {
  const char **formats = tn_alloc((size_t)count, sizeof *formats);
  if (!formats) return tn_fail_memory(err, "formats", (size_t)count * sizeof *formats);
  for (int64_t i = 0; i < count; i++) formats[i] = tn_column_type_format(types[i]);
  tn_status status = tn_schema_init_flat(out, names, formats, count, err);
  tn_free(formats);
  return status;
}
