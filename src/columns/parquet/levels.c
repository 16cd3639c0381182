/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/levels.h"

#include "columns/parquet/bits.h"

/* ---- packing: one function a width, so that every shift is a constant ------------------------ */

#define WIDTHS_8(X, a, b, c, d, e, f, g, h) X(a) X(b) X(c) X(d) X(e) X(f) X(g) X(h)
#define WIDTHS(X)                             \
  WIDTHS_8(X, 1, 2, 3, 4, 5, 6, 7, 8)         \
  WIDTHS_8(X, 9, 10, 11, 12, 13, 14, 15, 16)  \
  WIDTHS_8(X, 17, 18, 19, 20, 21, 22, 23, 24) \
  WIDTHS_8(X, 25, 26, 27, 28, 29, 30, 31, 32)

static inline uint32_t mask_of(int32_t width) {
  return width == 32 ? UINT32_MAX : ((uint32_t)1 << width) - 1;
}

/* One group of 8 values is `width` bytes.  Word loads read up to 7 bytes beyond. */
static inline __attribute__((always_inline)) void unpack_group(const uint8_t *in, uint32_t *out,
                                                               const int32_t width) {
  const uint32_t mask = mask_of(width);
  if (width <= 8) {
    uint64_t word = tn_load_u64(in);
    for (int32_t i = 0; i < 8; i++) out[i] = (uint32_t)(word >> (i * width)) & mask;
  } else {
    for (int32_t i = 0; i < 8; i++) {
      int32_t bit = i * width;
      out[i] = (uint32_t)(tn_load_u64(in + bit / 8) >> (bit % 8)) & mask;
    }
  }
}

static inline __attribute__((always_inline)) void pack_group(const uint32_t *in, uint8_t *out,
                                                             const int32_t width) {
  uint64_t word = 0;
  int32_t filled = 0;
  for (int32_t i = 0; i < 8; i++) {
    word |= (uint64_t)in[i] << filled;
    filled += width;
    if (filled >= 32) {
      tn_store_u32(out, (uint32_t)word);
      out += 4, word >>= 32, filled -= 32;
    }
  }
  for (; filled > 0; filled -= 8, word >>= 8) *out++ = (uint8_t)word;
}

#define X(w)                                                                          \
  static void unpack_##w(const uint8_t *in, uint32_t *out, int64_t groups) {          \
    for (int64_t g = 0; g < groups; g++, in += w, out += 8) unpack_group(in, out, w); \
  }                                                                                   \
  static void pack_##w(const uint32_t *in, uint8_t *out, int64_t groups) {            \
    for (int64_t g = 0; g < groups; g++, in += 8, out += w) pack_group(in, out, w);   \
  }
WIDTHS(X)
#undef X

typedef void unpack_fn(const uint8_t *in, uint32_t *out, int64_t groups);
typedef void pack_fn(const uint32_t *in, uint8_t *out, int64_t groups);
#define X(w) [w] = unpack_##w,
static unpack_fn *const unpackers[33] = {WIDTHS(X)};
#undef X
#define X(w) [w] = pack_##w,
static pack_fn *const packers[33] = {WIDTHS(X)};
#undef X

/* Value `index` of a run that is packed from the most significant bit on; width 1 to 8. */
static uint32_t unpack_msb(const uint8_t *in, const uint8_t *end, int32_t width, uint64_t index) {
  uint64_t bit = index * (uint64_t)width;
  const uint8_t *p = in + bit / 8;
  uint32_t word = (uint32_t)p[0] << 8 | (p + 1 < end ? p[1] : 0u);
  return word >> (16 - bit % 8 - (uint64_t)width) & mask_of(width);
}

/* Value `index` of a packed run, byte by byte: for the ends that whole words would overrun. */
static uint32_t unpack_one(const uint8_t *in, const uint8_t *end, int32_t width, uint64_t index) {
  uint64_t bit = index * (uint64_t)width, word = 0;
  const uint8_t *p = in + bit / 8;
  for (int32_t i = 0; i < 5 && p + i < end; i++) word |= (uint64_t)p[i] << (8 * i);
  return (uint32_t)(word >> (bit % 8)) & mask_of(width);
}

void tn_parquet_unpack(const uint8_t *in, const uint8_t *in_end, int32_t width, uint32_t *out,
                       int64_t count) {
  int64_t groups = count / 8, room = in_end - in - 8;
  int64_t safe = room > 0 ? room / width : 0; /* groups whose word loads stay inside */
  if (groups > safe) groups = safe;
  unpackers[width](in, out, groups);
  for (int64_t i = groups * 8; i < count; i++) {
    out[i] = unpack_one(in, in_end, width, (uint64_t)i);
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

void tn_parquet_levels_init(tn_parquet_levels *levels, const uint8_t *bytes, size_t count,
                            int32_t width) {
  *levels = (tn_parquet_levels){.at = bytes, .end = bytes + count, .width = width};
  if (width == 0) levels->repeat_left = UINT64_MAX;
}

void tn_parquet_levels_init_msb(tn_parquet_levels *levels, const uint8_t *bytes, size_t count,
                                int32_t width) {
  *levels = (tn_parquet_levels){.at = bytes + count, .end = bytes + count, .width = width};
  levels->msb = true;
  levels->packed = bytes;
  levels->packed_end = bytes + count;
  levels->packed_left = (uint64_t)count * 8 / (uint64_t)width;
}

static bool read_varint(tn_parquet_levels *l, uint64_t *out) {
  uint64_t value = 0;
  for (int shift = 0; shift < 35 && l->at < l->end; shift += 7) {
    uint8_t byte = *l->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) {
      *out = value;
      return true;
    }
  }
  return false;
}

/* Some writers cut the padding of the last packed group, so a run gives what its bytes hold. */
static bool start_packed(tn_parquet_levels *l, uint64_t groups) {
  uint64_t bytes = groups * (uint64_t)l->width; /* groups < 2^34: no overflow */
  uint64_t room = (uint64_t)(l->end - l->at);
  if (bytes > room) bytes = room;
  l->packed = l->at;
  l->at += bytes;
  l->packed_end = l->at;
  l->packed_at = 0;
  l->packed_left = bytes * 8 / (uint64_t)l->width;
  return l->packed_left > 0 || groups == 0;
}

static bool next_run(tn_parquet_levels *l) {
  uint64_t head;
  if (!read_varint(l, &head)) return false;
  if (head & 1) return start_packed(l, head >> 1);
  size_t bytes = (size_t)(l->width + 7) / 8;
  if ((size_t)(l->end - l->at) < bytes) return false;
  l->value = 0;
  for (size_t i = 0; i < bytes; i++) l->value |= (uint32_t)l->at[i] << (8 * i);
  l->at += bytes;
  l->repeat_left = head >> 1;
  return (l->value & ~mask_of(l->width)) == 0;
}

static int64_t read_packed(tn_parquet_levels *l, uint32_t *out, int64_t count) {
  int64_t n = (uint64_t)count < l->packed_left ? count : (int64_t)l->packed_left;
  int64_t i = 0;
  for (; l->msb && i < n; i++) {
    out[i] = unpack_msb(l->packed, l->packed_end, l->width, l->packed_at++);
  }
  for (; i < n && (l->packed_at & 7); i++) {
    out[i] = unpack_one(l->packed, l->packed_end, l->width, l->packed_at++);
  }
  const uint8_t *at = l->packed + l->packed_at / 8 * (uint64_t)l->width;
  if (i < n) tn_parquet_unpack(at, l->packed_end, l->width, out + i, n - i);
  l->packed_at += (uint64_t)(n - i);
  l->packed_left -= (uint64_t)n;
  return n;
}

bool tn_parquet_levels_read(tn_parquet_levels *l, uint32_t *out, int64_t count) {
  while (count > 0) {
    int64_t n;
    if (l->repeat_left > 0) {
      n = (uint64_t)count < l->repeat_left ? count : (int64_t)l->repeat_left;
      for (int64_t i = 0; i < n; i++) out[i] = l->value;
      l->repeat_left -= (uint64_t)n;
    } else if (l->packed_left > 0) {
      n = read_packed(l, out, count);
    } else {
      if (!next_run(l)) return false;
      continue;
    }
    out += n;
    count -= n;
  }
  return true;
}

/* Groups of 8 values of at most 8 bits, each group spread over the bytes of a word. */
static int64_t read_packed_u8(tn_parquet_levels *l, uint8_t *out, int64_t count) {
  uint32_t wide[256];
  int64_t n = (uint64_t)count < l->packed_left ? count : (int64_t)l->packed_left;
  if (n > (int64_t)(sizeof wide / sizeof *wide)) n = sizeof wide / sizeof *wide;
  n = read_packed(l, wide, n);
  for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)wide[i];
  return n;
}

bool tn_parquet_levels_read_u8(tn_parquet_levels *l, uint8_t *out, int64_t count) {
  while (count > 0) {
    int64_t n;
    if (l->repeat_left > 0) {
      n = (uint64_t)count < l->repeat_left ? count : (int64_t)l->repeat_left;
      memset(out, (int)l->value, (size_t)n);
      l->repeat_left -= (uint64_t)n;
    } else if (l->packed_left > 0) {
      n = read_packed_u8(l, out, count);
    } else {
      if (!next_run(l)) return false;
      continue;
    }
    out += n;
    count -= n;
  }
  return true;
}

bool tn_parquet_levels_skip(tn_parquet_levels *l, int64_t count) {
  while (count > 0) {
    int64_t n;
    if (l->repeat_left > 0) {
      n = (uint64_t)count < l->repeat_left ? count : (int64_t)l->repeat_left;
      l->repeat_left -= (uint64_t)n;
    } else if (l->packed_left > 0) {
      n = (uint64_t)count < l->packed_left ? count : (int64_t)l->packed_left;
      l->packed_at += (uint64_t)n;
      l->packed_left -= (uint64_t)n;
    } else {
      if (!next_run(l)) return false;
      continue;
    }
    count -= n;
  }
  return true;
}

static int64_t read_bits_msb(tn_parquet_levels *l, uint8_t *bits, int64_t at, int64_t count) {
  int64_t n = (uint64_t)count < l->packed_left ? count : (int64_t)l->packed_left;
  for (int64_t i = 0; i < n; i++) {
    tn_bit_put(bits, at + i, unpack_msb(l->packed, l->packed_end, 1, l->packed_at++));
  }
  l->packed_left -= (uint64_t)n;
  return n;
}

bool tn_parquet_levels_read_bits(tn_parquet_levels *l, uint8_t *bits, int64_t at, int64_t count,
                                 int64_t *ones) {
  *ones = 0;
  while (count > 0) {
    int64_t n;
    if (l->repeat_left > 0) {
      n = (uint64_t)count < l->repeat_left ? count : (int64_t)l->repeat_left;
      tn_bits_fill(bits, at, n, l->value != 0);
      l->repeat_left -= (uint64_t)n;
      *ones += l->value ? n : 0;
    } else if (l->packed_left > 0 && l->msb) {
      n = read_bits_msb(l, bits, at, count);
      *ones += tn_bits_count(bits, at, n);
    } else if (l->packed_left > 0) {
      n = (uint64_t)count < l->packed_left ? count : (int64_t)l->packed_left;
      tn_bits_copy(bits, at, l->packed, (int64_t)l->packed_at, n);
      *ones += tn_bits_count(bits, at, n);
      l->packed_at += (uint64_t)n;
      l->packed_left -= (uint64_t)n;
    } else {
      if (!next_run(l)) return false;
      continue;
    }
    at += n;
    count -= n;
  }
  return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_varint(tn_parquet_bytes *out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->data[out->length++] = (uint8_t)(v | 0x80);
  out->data[out->length++] = (uint8_t)v;
}

/* Room for a run's header and value lies in the slack that the caller reserved. */
static void put_repeat(tn_parquet_bytes *out, uint32_t value, int64_t count, int32_t width) {
  put_varint(out, (uint64_t)count << 1);
  for (int32_t i = 0; i < width; i += 8, value >>= 8) out->data[out->length++] = (uint8_t)value;
}

static void put_packed(tn_parquet_bytes *out, const uint32_t *values, int64_t count,
                       int32_t width) {
  int64_t groups = count / 8;
  put_varint(out, (uint64_t)((count + 7) / 8) << 1 | 1);
  packers[width](values, out->data + out->length, groups);
  out->length += (size_t)groups * (size_t)width;
  if (count % 8) {
    uint32_t last[8] = {0};
    memcpy(last, values + groups * 8, (size_t)(count % 8) * sizeof *last);
    packers[width](last, out->data + out->length, 1);
    out->length += (size_t)width;
  }
}

static int64_t run_length(const uint32_t *values, int64_t count) {
  int64_t n = 1;
  while (n < count && values[n] == values[0]) n++;
  return n;
}

tn_status tn_parquet_levels_write(tn_parquet_bytes *out, const uint32_t *values, int64_t count,
                                  int32_t width, tn_error *err) {
  if (width == 0) { /* one run of zeros: no value bytes, but readers want to see the run */
    TN_TRY(tn_parquet_bytes_reserve(out, 16, err));
    if (count > 0) put_repeat(out, 0, count, 0);
    return TN_OK;
  }
  /* A repeated run stands for at least 8 values, which packed would take `width` bytes; its own
   * header and value take at most 14. */
  size_t bound = ((size_t)count / 8 + 1) * ((size_t)width + 16) + 64;
  TN_TRY(tn_parquet_bytes_reserve(out, bound, err));
  int64_t pending = 0,
          i = 0; /* values[pending..i) wait to be packed; a multiple of 8 before a run */
  while (i < count) {
    int64_t run = run_length(values + i, count - i);
    int64_t fill = (8 - (i - pending) % 8) % 8; /* of the run, to complete the packed group */
    if (run - fill < 8) {
      i += run;
      continue;
    }
    i += fill;
    if (i > pending) put_packed(out, values + pending, i - pending, width);
    put_repeat(out, values[i], run - fill, width);
    i += run - fill;
    pending = i;
  }
  if (i > pending) put_packed(out, values + pending, i - pending, width);
  return TN_OK;
}

/* Whole bytes of equal bits, from byte `at` on. */
static int64_t byte_run(const uint8_t *bits, int64_t at, int64_t end) {
  int64_t n = at;
  if (bits[at] != 0 && bits[at] != 0xff) return 0;
  while (n < end && bits[n] == bits[at]) n++;
  return n - at;
}

static void put_packed_bits(tn_parquet_bytes *out, const uint8_t *bits, int64_t bytes) {
  if (bytes == 0) return;
  put_varint(out, (uint64_t)bytes << 1 | 1);
  memcpy(out->data + out->length, bits, (size_t)bytes);
  out->length += (size_t)bytes;
}

tn_status tn_parquet_levels_write_bits(tn_parquet_bytes *out, const uint8_t *bits, int64_t count,
                                       tn_error *err) {
  int64_t whole = count / 8, pending = 0, i = 0, tail = count % 8;
  TN_TRY(tn_parquet_bytes_reserve(out, (size_t)whole * 2 + 64, err));
  while (i < whole) {
    int64_t run = byte_run(bits, i, whole);
    if (run < 4) { /* a run's two headers would not pay */
      i += run ? run : 1;
      continue;
    }
    put_packed_bits(out, bits + pending, i - pending);
    bool last = i + run == whole;
    uint8_t mask = (uint8_t)((1u << tail) - 1);
    bool joins = last && tail && (bits[whole] & mask) == (bits[i] & mask);
    put_repeat(out, bits[i] & 1, run * 8 + (joins ? tail : 0), 1);
    i += run;
    pending = i;
    if (joins) return TN_OK;
  }
  put_packed_bits(out, bits + pending, whole - pending);
  if (tail) {
    uint8_t rest = (uint8_t)(bits[whole] & ((1u << tail) - 1));
    put_packed_bits(out, &rest, 1);
  }
  return TN_OK;
}
