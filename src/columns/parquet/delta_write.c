/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/delta_write.h"

enum { BLOCK = 128, MINIBLOCKS = 4, MINIBLOCK = BLOCK / MINIBLOCKS, SPLIT_BLOCK = 256 };

static uint8_t *put_varint(uint8_t *to, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *to++ = (uint8_t)(v | 0x80);
  *to++ = (uint8_t)v;
  return to;
}

static uint8_t *put_zigzag(uint8_t *to, int64_t v) {
  return put_varint(to, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

/* 32 values of `width` bits: 4 * width bytes; up to 8 more are overwritten. */
static uint8_t *pack(uint8_t *to, const uint64_t *values, int32_t width) {
  uint64_t word = 0;
  int32_t filled = 0;
  uint8_t *end = to + MINIBLOCK / 8 * width;
  if (width == 0) return to;
  for (int32_t i = 0; i < MINIBLOCK; i++) {
    word |= values[i] << filled;
    filled += width;
    if (filled < 64) continue;
    tn_store_u64(to, word);
    to += 8;
    filled -= 64;
    word = filled ? values[i] >> (width - filled) : 0;
  }
  tn_store_u64(to, word);
  return end;
}

/* `deltas` are above the smallest one. */
static uint8_t *put_block(uint8_t *to, uint64_t *deltas, int32_t count, int64_t min) {
  uint8_t *widths = put_zigzag(to, min);
  to = widths + MINIBLOCKS;
  memset(widths, 0, MINIBLOCKS);
  for (int32_t i = count; i < BLOCK; i++) deltas[i] = 0;
  for (int32_t m = 0; m * MINIBLOCK < count; m++) {
    uint64_t *d = deltas + m * MINIBLOCK, all = 0;
    for (int32_t i = 0; i < MINIBLOCK; i++) all |= d[i];
    widths[m] = all ? (uint8_t)(64 - __builtin_clzll(all)) : 0;
    to = pack(to, d, widths[m]);
  }
  return to;
}

/* Differences wrap around in the type's own width, so that none needs more bits than it has. */
#define DELTA_WRITE(name, type, unsigned_type)                                              \
  tn_status name(tn_parquet_bytes *out, const void *values, int64_t count, tn_error *err) { \
    const uint8_t *in = values;                                                             \
    size_t blocks = (size_t)count / BLOCK + 1, bytes;                                       \
    if (!tn_mul_size(blocks, BLOCK * sizeof(type) + 16, &bytes)) bytes = SIZE_MAX / 2;      \
    TN_TRY(tn_parquet_bytes_reserve(out, bytes + 64, err));                                 \
    uint8_t *to = out->data + out->length;                                                  \
    type last = 0;                                                                          \
    if (count > 0) memcpy(&last, in, sizeof last);                                          \
    to = put_varint(put_varint(put_varint(to, BLOCK), MINIBLOCKS), (uint64_t)count);        \
    to = put_zigzag(to, last);                                                              \
    for (int64_t from = 1; from < count; from += BLOCK) {                                   \
      int32_t n = (int32_t)(count - from < BLOCK ? count - from : BLOCK);                   \
      uint64_t deltas[BLOCK];                                                               \
      type block[BLOCK + 1], min;                                                           \
      memcpy(block, in + (size_t)(from - 1) * sizeof last, (size_t)(n + 1) * sizeof last);  \
      min = (type)((unsigned_type)block[1] - (unsigned_type)block[0]);                      \
      for (int32_t i = 0; i < n; i++) {                                                     \
        type delta = (type)((unsigned_type)block[i + 1] - (unsigned_type)block[i]);         \
        min = delta < min ? delta : min;                                                    \
      }                                                                                     \
      for (int32_t i = 0; i < n; i++) {                                                     \
        deltas[i] = (unsigned_type)((unsigned_type)block[i + 1] - (unsigned_type)block[i] - \
                                    (unsigned_type)min);                                    \
      }                                                                                     \
      to = put_block(to, deltas, n, min);                                                   \
    }                                                                                       \
    out->length = (size_t)(to - out->data);                                                 \
    return TN_OK;                                                                           \
  }
DELTA_WRITE(tn_parquet_delta_write_32, int32_t, uint32_t)
DELTA_WRITE(tn_parquet_delta_write_64, int64_t, uint64_t)
#undef DELTA_WRITE

tn_status tn_parquet_delta_length_write(tn_parquet_bytes *out, const uint32_t *lengths,
                                        int64_t count, const uint8_t *bytes, size_t byte_count,
                                        tn_error *err) {
  TN_TRY(tn_parquet_delta_write_32(out, lengths, count, err));
  return tn_parquet_bytes_append(out, bytes, byte_count, err);
}

static uint32_t shared_prefix(const uint8_t *a, uint32_t a_length, const uint8_t *b,
                              uint32_t b_length) {
  uint32_t limit = a_length < b_length ? a_length : b_length, n = 0;
  while (n + 8 <= limit) {
    uint64_t differ = tn_load_u64(a + n) ^ tn_load_u64(b + n);
    if (differ) return n + (uint32_t)__builtin_ctzll(differ) / 8;
    n += 8;
  }
  while (n < limit && a[n] == b[n]) n++;
  return n;
}

tn_status tn_parquet_delta_prefix_write(tn_parquet_bytes *out, const uint32_t *lengths,
                                        int64_t count, const uint8_t *bytes, tn_parquet_bytes *room,
                                        tn_error *err) {
  size_t half = (size_t)count * sizeof(uint32_t), suffix_bytes = 0;
  room->length = 0;
  TN_TRY(tn_parquet_bytes_reserve(room, 2 * half, err));
  uint32_t *prefixes = (uint32_t *)(void *)room->data, *suffixes = prefixes + count;
  const uint8_t *at = bytes, *before = bytes;
  for (int64_t i = 0; i < count; i++) {
    prefixes[i] = i ? shared_prefix(before, lengths[i - 1], at, lengths[i]) : 0;
    suffixes[i] = lengths[i] - prefixes[i];
    suffix_bytes += suffixes[i];
    before = at;
    at += lengths[i];
  }
  TN_TRY(tn_parquet_delta_write_32(out, prefixes, count, err));
  TN_TRY(tn_parquet_delta_write_32(out, suffixes, count, err));
  TN_TRY(tn_parquet_bytes_reserve(out, suffix_bytes, err));
  at = bytes;
  for (int64_t i = 0; i < count; i++) {
    if (suffixes[i]) memcpy(out->data + out->length, at + prefixes[i], suffixes[i]);
    out->length += suffixes[i];
    at += lengths[i];
  }
  return TN_OK;
}

/* One block of values at a time, so that it stays in the nearest cache for all its bytes. */
tn_status tn_parquet_split_write(tn_parquet_bytes *out, const uint8_t *values, int32_t width,
                                 int64_t count, tn_error *err) {
  size_t bytes;
  if (!tn_mul_size((size_t)count, (size_t)width, &bytes)) bytes = SIZE_MAX / 2;
  TN_TRY(tn_parquet_bytes_reserve(out, bytes, err));
  uint8_t *to = out->data + out->length;
  for (int64_t from = 0; from < count; from += SPLIT_BLOCK) {
    int64_t n = count - from < SPLIT_BLOCK ? count - from : SPLIT_BLOCK;
    const uint8_t *in = values + from * width;
    for (int32_t b = 0; b < width; b++) {
      uint8_t *stream = to + b * count + from;
      for (int64_t i = 0; i < n; i++) stream[i] = in[i * width + b];
    }
  }
  out->length += bytes;
  return TN_OK;
}
