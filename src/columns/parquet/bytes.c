/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/bytes.h"

tn_status tn_parquet_bytes_reserve(tn_parquet_bytes *bytes, size_t extra, tn_error *err) {
  size_t want;
  if (!tn_add_size(bytes->length, extra, &want) || !tn_add_size(want, TN_PARQUET_SLACK, &want)) {
    return tn_fail(err, TN_ERR_LIMIT, "a buffer of %zu bytes cannot take %zu more", bytes->length,
                   extra);
  }
  if (want <= bytes->capacity) return TN_OK;
  /* A large first reservation is taken as it is; growth from there doubles. */
  size_t capacity = bytes->capacity > SIZE_MAX / 2 ? want : bytes->capacity * 2;
  if (capacity < want) capacity = want;
  /* New memory would be zeroed; what grows is not. */
  uint8_t *own = bytes->lender ? NULL : bytes->data, *from = own ? own : tn_alloc(1, 1);
  uint8_t *data = from ? tn_realloc(from, capacity, 1) : NULL;
  if (!data) {
    if (!own) tn_free(from);
    return tn_fail_memory(err, "a Parquet buffer", capacity);
  }
  if (bytes->lender) {
    memcpy(data, bytes->data, bytes->length);
    tn_buffer_drop(bytes->lender);
    bytes->lender = NULL;
  }
  bytes->data = data;
  bytes->capacity = capacity;
  return TN_OK;
}

tn_status tn_parquet_bytes_append(tn_parquet_bytes *bytes, const void *data, size_t count,
                                  tn_error *err) {
  if (count == 0) return TN_OK;
  TN_TRY(tn_parquet_bytes_reserve(bytes, count, err));
  memcpy(bytes->data + bytes->length, data, count);
  bytes->length += count;
  return TN_OK;
}

void tn_parquet_bytes_clear(tn_parquet_bytes *bytes) {
  if (bytes->lender) {
    tn_buffer_drop(bytes->lender);
  } else {
    tn_free(bytes->data);
  }
  *bytes = (tn_parquet_bytes){0};
}

void tn_parquet_bytes_borrow(tn_parquet_bytes *bytes, const uint8_t *data, size_t count,
                             tn_buffer *lender) {
  tn_buffer_share(lender);
  tn_parquet_bytes_clear(bytes);
  *bytes = (tn_parquet_bytes){.data = (uint8_t *)data, .length = count, .lender = lender};
}
