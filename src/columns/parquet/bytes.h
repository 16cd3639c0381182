/* bytes.h - a growing run of raw bytes for encoders and decoders.
 *
 * Unlike tn_strbuf it has no sticky flag and no NUL: room is reserved first, then hot loops write
 * with plain stores.  Memory behind `length` is not zeroed.  At least TN_PARQUET_SLACK bytes beyond
 * what was reserved may be overwritten with rubbish, so that short copies can move whole words.
 *
 * Bytes may also be borrowed from a buffer that somebody else keeps, to be read where they lie;
 * the first reservation copies them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_BYTES_H
#define TN_COLUMNS_PARQUET_BYTES_H
#include <string.h>

#include "base/buffer.h"
#include "base/mem.h"

#define TN_PARQUET_SLACK 64

typedef struct tn_parquet_bytes { /* all zero is a valid empty run */
  uint8_t *data;
  size_t length, capacity;
  tn_buffer *lender; /* whose memory it is, not to be written to (capacity 0); NULL: its own */
} tn_parquet_bytes;

/* Makes room for `extra` more bytes behind `length` (plus the slack). */
TN_NODISCARD tn_status tn_parquet_bytes_reserve(tn_parquet_bytes *bytes, size_t extra,
                                                tn_error *err);
TN_NODISCARD tn_status tn_parquet_bytes_append(tn_parquet_bytes *bytes, const void *data,
                                               size_t count, tn_error *err);
void tn_parquet_bytes_clear(tn_parquet_bytes *bytes);
/* Becomes `count` bytes at `data`, which lie in `lender`. */
void tn_parquet_bytes_borrow(tn_parquet_bytes *bytes, const uint8_t *data, size_t count,
                             tn_buffer *lender);

/* Little-endian loads and stores at any address. */
static inline uint32_t tn_load_u32(const void *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline uint64_t tn_load_u64(const void *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void tn_store_u32(void *p, uint32_t v) {
  memcpy(p, &v, sizeof v);
}
static inline void tn_store_u64(void *p, uint64_t v) {
  memcpy(p, &v, sizeof v);
}

/* Copies `count` bytes of a string: short ones as two whole words when both sides have them.
 * `from_room` is how many bytes may be read at `from`; `to` must have count + TN_PARQUET_SLACK. */
static inline void tn_copy_short(uint8_t *to, const uint8_t *from, size_t count, size_t from_room) {
  if (count <= 16 && from_room >= 16) {
    memcpy(to, from, 16);
  } else if (count <= 32 && from_room >= 32) {
    memcpy(to, from, 32);
  } else {
    memcpy(to, from, count);
  }
}

#endif
