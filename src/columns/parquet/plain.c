/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/plain.h"

static tn_status bytes_end_early(int64_t done, int64_t count, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the page ends after %lld of %lld byte arrays", (long long)done,
                 (long long)count);
}

tn_status tn_parquet_plain_bytes(const uint8_t **in, const uint8_t *end, int64_t count,
                                 int32_t *ends, tn_parquet_bytes *data, tn_error *err) {
  const uint8_t *p = *in;
  size_t length = data->length, room = data->capacity;
  for (int64_t i = 0; i < count; i++) {
    size_t left = (size_t)(end - p), bytes;
    if (left < 4) return bytes_end_early(i, count, err);
    bytes = tn_load_u32(p);
    p += 4, left -= 4;
    if (bytes > left) return bytes_end_early(i, count, err);
    if (length + bytes + TN_PARQUET_SLACK > room) {
      data->length = length;
      TN_TRY(tn_parquet_bytes_reserve(data, bytes, err));
      room = data->capacity;
    }
    tn_copy_short(data->data + length, p, bytes, left);
    p += bytes;
    length += bytes;
    if (length > INT32_MAX) return TN_FULL;
    ends[i] = (int32_t)length;
  }
  data->length = length;
  *in = p;
  return TN_OK;
}
