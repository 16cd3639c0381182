/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/plain.h"

#include "columns/parquet/bits.h"

static tn_status bytes_end_early(int64_t done, int64_t count, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the page ends after %lld of %lld byte arrays", (long long)done,
                 (long long)count);
}

tn_status tn_parquet_plain_bytes(const uint8_t **in, const uint8_t *end, int64_t count,
                                 int32_t *ends, tn_parquet_bytes *data, tn_error *err) {
  const uint8_t *p = *in;
  /* What the page has left bounds what its values can take, so the loop needs no other check. */
  TN_TRY(tn_parquet_bytes_reserve(data, (size_t)(end - p), err));
  uint8_t *to = data->data;
  size_t length = data->length;
  for (int64_t i = 0; i < count; i++) {
    size_t room = (size_t)(end - p), bytes;
    if (room < 4) return bytes_end_early(i, count, err);
    bytes = tn_load_u32(p);
    p += 4, room -= 4;
    if (bytes > room) return bytes_end_early(i, count, err);
    tn_copy_short(to + length, p, bytes, room);
    p += bytes;
    length += bytes;
    if (length > INT32_MAX) return TN_FULL;
    ends[i] = (int32_t)length;
  }
  data->length = length;
  *in = p;
  return TN_OK;
}

/* ---- encoding -------------------------------------------------------------------------------- */

#define GATHER(name, from_type, to_type)                                                    \
  static int64_t name(const from_type *in, int64_t rows, const uint8_t *valid, int64_t bit, \
                      to_type *out) {                                                       \
    int64_t n = 0;                                                                          \
    if (!valid) {                                                                           \
      for (int64_t i = 0; i < rows; i++) out[i] = (to_type)in[i];                           \
      return rows;                                                                          \
    }                                                                                       \
    for (int64_t i = 0; i < rows; i++) {                                                    \
      out[n] = (to_type)in[i];                                                              \
      n += tn_bit_get(valid, bit + i);                                                      \
    }                                                                                       \
    return n;                                                                               \
  }
GATHER(gather_i8, int8_t, int32_t)
GATHER(gather_u8, uint8_t, int32_t)
GATHER(gather_i16, int16_t, int32_t)
GATHER(gather_u16, uint16_t, int32_t)
GATHER(gather_32, uint32_t, uint32_t)
GATHER(gather_64, uint64_t, uint64_t)
#undef GATHER

int64_t tn_parquet_plain_gather(tn_column_type type, const void *values, int64_t from, int64_t rows,
                                const uint8_t *valid, int64_t valid_from, void *out) {
  if (rows == 0) return 0; /* an empty array may have no buffers at all */
  switch (type) {
    case TN_COLUMN_INT8:
      return gather_i8((const int8_t *)values + from, rows, valid, valid_from, out);
    case TN_COLUMN_UINT8:
      return gather_u8((const uint8_t *)values + from, rows, valid, valid_from, out);
    case TN_COLUMN_INT16:
      return gather_i16((const int16_t *)values + from, rows, valid, valid_from, out);
    case TN_COLUMN_UINT16:
      return gather_u16((const uint16_t *)values + from, rows, valid, valid_from, out);
    default:
      break;
  }
  if (tn_parquet_stored_bytes(type) == 4) {
    return gather_32((const uint32_t *)values + from, rows, valid, valid_from, out);
  }
  return gather_64((const uint64_t *)values + from, rows, valid, valid_from, out);
}
