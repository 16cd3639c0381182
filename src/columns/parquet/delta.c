/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/delta.h"

#include "columns/parquet/levels.h"

enum { AT_ONCE = 32 };

static bool read_varint(tn_parquet_delta *d, uint64_t *out) {
  uint64_t value = 0;
  for (int shift = 0; shift < 70 && d->at < d->end; shift += 7) {
    uint8_t byte = *d->at++;
    if (shift == 63 && byte > 1) return false;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) {
      *out = value;
      return true;
    }
  }
  return false;
}

static bool read_zigzag(tn_parquet_delta *d, uint64_t *out) {
  uint64_t v;
  if (!read_varint(d, &v)) return false;
  *out = v >> 1 ^ (0 - (v & 1));
  return true;
}

tn_status tn_parquet_delta_init(tn_parquet_delta *d, const uint8_t *bytes, size_t count,
                                tn_error *err) {
  uint64_t block = 0, mini = 0;
  *d = (tn_parquet_delta){.at = bytes, .end = bytes + count, .first = true};
  if (!read_varint(d, &block) || !read_varint(d, &mini) || !read_varint(d, &d->left) ||
      !read_zigzag(d, &d->value)) {
    return tn_fail(err, TN_ERR_DATA, "the header of delta-packed values ends early");
  }
  if (block > TN_PARQUET_DELTA_BLOCK_MAX || mini > TN_PARQUET_DELTA_MINIBLOCKS_MAX) {
    return tn_fail(err, TN_ERR_LIMIT,
                   "delta blocks of %llu values in %llu miniblocks, limits %d and %d",
                   (unsigned long long)block, (unsigned long long)mini, TN_PARQUET_DELTA_BLOCK_MAX,
                   TN_PARQUET_DELTA_MINIBLOCKS_MAX);
  }
  if (mini == 0 || block == 0 || block % mini || block / mini % 32) {
    return tn_fail(err, TN_ERR_DATA, "delta blocks of %llu values cannot have %llu miniblocks",
                   (unsigned long long)block, (unsigned long long)mini);
  }
  d->block = (uint32_t)block;
  d->mini = (uint32_t)mini;
  d->mini_values = (uint32_t)(block / mini);
  d->mini_at = d->mini;
  return TN_OK;
}

/* ---- miniblocks ------------------------------------------------------------------------------ */

static bool next_miniblock(tn_parquet_delta *d) {
  if (d->mini_at == d->mini) {
    if (!read_zigzag(d, &d->min_delta)) return false;
    if ((size_t)(d->end - d->at) < d->mini) return false;
    d->widths = d->at;
    d->at += d->mini;
    d->mini_at = 0;
  }
  uint32_t width = d->widths[d->mini_at++];
  size_t bytes = (size_t)d->mini_values / 8 * width, room = (size_t)(d->end - d->at);
  /* Some writers cut the last miniblock behind its last value. */
  size_t needed = (size_t)((d->left < d->mini_values ? d->left : d->mini_values) * width + 7) / 8;
  if (width > 64 || needed > room) return false;
  d->packed = d->at;
  d->at += bytes < room ? bytes : room;
  d->mini_left = d->mini_values;
  return true;
}

/* 64 bits from bit `bit` on, byte by byte where a word would reach too far. */
static uint64_t load_bits(const uint8_t *in, const uint8_t *end, uint64_t bit) {
  const uint8_t *p = in + bit / 8;
  uint64_t word = 0;
  for (int i = 0; i < 8 && p + i < end; i++) word |= (uint64_t)p[i] << (8 * i);
  word >>= bit % 8;
  if (bit % 8 && p + 8 < end) word |= (uint64_t)p[8] << (64 - bit % 8);
  return word;
}

static uint64_t mask_of(uint32_t width) {
  return width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
}

/* Up to AT_ONCE differences of the current miniblock, from its value `from` on. */
static void unpack(const tn_parquet_delta *d, uint32_t from, uint32_t count, uint64_t *out) {
  uint32_t width = d->widths[d->mini_at - 1];
  uint64_t mask = mask_of(width), bit = (uint64_t)from * width;
  if (width == 0) {
    for (uint32_t i = 0; i < count; i++) out[i] = d->min_delta;
    return;
  }
  bool fast =
      width <= 56 && (size_t)(d->end - d->packed) >= (bit + (uint64_t)count * width) / 8 + 8;
  for (uint32_t i = 0; i < count; i++, bit += width) {
    uint64_t word =
        fast ? tn_load_u64(d->packed + bit / 8) >> bit % 8 : load_bits(d->packed, d->end, bit);
    out[i] = (word & mask) + d->min_delta;
  }
}

/* ---- 32 values at once: one function a width, so that every shift is a constant ---------------
 */

static inline __attribute__((always_inline)) uint64_t add_up(const uint8_t *in, uint64_t min_delta,
                                                             uint64_t value, uint64_t *out,
                                                             const uint32_t width) {
  const uint64_t mask = ((uint64_t)1 << width) - 1;
  for (int g = 0; g < AT_ONCE / 8; g++, in += width, out += 8) {
    for (uint32_t i = 0; i < 8; i++) { /* a word begins at most 7 bits before its value */
      uint32_t bit = i * width;
      value += (tn_load_u64(in + bit / 8) >> bit % 8 & mask) + min_delta;
      out[i] = value;
    }
  }
  return value;
}

#define WIDTHS_8(X, a, b, c, d, e, f, g, h) X(a) X(b) X(c) X(d) X(e) X(f) X(g) X(h)
#define WIDTHS(X)                             \
  WIDTHS_8(X, 1, 2, 3, 4, 5, 6, 7, 8)         \
  WIDTHS_8(X, 9, 10, 11, 12, 13, 14, 15, 16)  \
  WIDTHS_8(X, 17, 18, 19, 20, 21, 22, 23, 24) \
  WIDTHS_8(X, 25, 26, 27, 28, 29, 30, 31, 32) \
  WIDTHS_8(X, 33, 34, 35, 36, 37, 38, 39, 40)

enum { FAST_WIDTH_MAX = 40 };

#define X(w)                                                                                     \
  static uint64_t add_up_##w(const uint8_t *in, uint64_t min_delta, uint64_t v, uint64_t *out) { \
    return add_up(in, min_delta, v, out, w);                                                     \
  }
WIDTHS(X)
#undef X

typedef uint64_t add_up_fn(const uint8_t *in, uint64_t min_delta, uint64_t value, uint64_t *out);
#define X(w) [w] = add_up_##w,
static add_up_fn *const adders[FAST_WIDTH_MAX + 1] = {WIDTHS(X)};
#undef X

/* The next AT_ONCE values of the current miniblock, when whole words may be loaded for them. */
static bool add_up_fast(tn_parquet_delta *d, uint64_t *out) {
  uint32_t width = d->widths[d->mini_at - 1], from = d->mini_values - d->mini_left;
  if (width == 0) {
    for (uint32_t i = 0; i < AT_ONCE; i++) out[i] = d->value + d->min_delta * (i + 1);
    d->value = out[AT_ONCE - 1];
    return true;
  }
  size_t begin = (size_t)from / 8 * width, room = (size_t)(d->end - d->packed);
  if (width > FAST_WIDTH_MAX || room < begin + AT_ONCE / 8 * width + 8) return false;
  d->value = adders[width](d->packed + begin, d->min_delta, d->value, out);
  return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The next up to AT_ONCE values; 0: malformed, or none left. */
static uint32_t next_values(tn_parquet_delta *d, int64_t most, uint64_t *out) {
  if (d->left == 0) return 0;
  if (d->first) {
    d->first = false;
    d->left--;
    out[0] = d->value;
    return 1;
  }
  if (d->mini_left == 0 && !next_miniblock(d)) return 0;
  uint32_t n = d->mini_left < AT_ONCE ? d->mini_left : AT_ONCE;
  if (most < n) n = (uint32_t)most;
  if (d->left < n) n = (uint32_t)d->left;
  bool aligned = n == AT_ONCE && d->mini_left % 8 == 0;
  if (!aligned || !add_up_fast(d, out)) {
    unpack(d, d->mini_values - d->mini_left, n, out);
    uint64_t value = d->value;
    for (uint32_t i = 0; i < n; i++) out[i] = value += out[i];
    d->value = value;
  }
  d->mini_left -= n;
  d->left -= n;
  return n;
}

bool tn_parquet_delta_read_i64(tn_parquet_delta *d, int64_t *out, int64_t count) {
  while (count > 0) {
    uint32_t n = next_values(d, count, (uint64_t *)out);
    if (n == 0) return false;
    out += n;
    count -= n;
  }
  return true;
}

bool tn_parquet_delta_read_i32(tn_parquet_delta *d, int32_t *out, int64_t count) {
  uint64_t some[AT_ONCE];
  while (count > 0) {
    uint32_t n = next_values(d, count, some);
    if (n == 0) return false;
    for (uint32_t i = 0; i < n; i++) out[i] = (int32_t)(uint32_t)some[i];
    out += n;
    count -= n;
  }
  return true;
}

bool tn_parquet_delta_finish(tn_parquet_delta *d) {
  if (d->left > 0 && d->first) d->first = false, d->left--;
  while (d->left > 0) { /* the widths alone tell where the miniblocks end */
    if (d->mini_left == 0 && !next_miniblock(d)) return false;
    uint32_t n = d->left < d->mini_left ? (uint32_t)d->left : d->mini_left;
    d->left -= n;
    d->mini_left -= n;
  }
  return true; /* miniblocks of the last block without a value take no bytes */
}
