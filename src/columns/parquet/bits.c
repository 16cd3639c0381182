/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/bits.h"

#include <string.h>

#include "columns/parquet/bytes.h"

/* 64 bits that start at bit `at`; reads a ninth byte only when a bit of it is wanted. */
static uint64_t load_bits(const uint8_t *bits, int64_t at) {
  const uint8_t *p = bits + (at >> 3);
  int shift = (int)(at & 7);
  uint64_t word = tn_load_u64(p);
  return shift ? word >> shift | (uint64_t)p[8] << (64 - shift) : word;
}

void tn_bits_copy(uint8_t *to, int64_t to_at, const uint8_t *from, int64_t from_at, int64_t count) {
  while (count > 0 && (to_at & 7)) {
    tn_bit_put(to, to_at++, tn_bit_get(from, from_at++));
    count--;
  }
  if ((from_at & 7) == 0) {
    size_t whole = (size_t)(count >> 3);
    if (whole) memcpy(to + (to_at >> 3), from + (from_at >> 3), whole);
    to_at += (int64_t)whole * 8, from_at += (int64_t)whole * 8, count -= (int64_t)whole * 8;
  }
  for (; count >= 64; count -= 64, to_at += 64, from_at += 64) {
    tn_store_u64(to + (to_at >> 3), load_bits(from, from_at));
  }
  for (; count > 0; count--) tn_bit_put(to, to_at++, tn_bit_get(from, from_at++));
}

void tn_bits_fill(uint8_t *to, int64_t at, int64_t count, bool value) {
  for (; count > 0 && (at & 7); count--) tn_bit_put(to, at++, value);
  size_t whole = (size_t)(count >> 3);
  if (whole) memset(to + (at >> 3), value ? 0xff : 0, whole);
  at += (int64_t)whole * 8, count -= (int64_t)whole * 8;
  for (; count > 0; count--) tn_bit_put(to, at++, value);
}

int64_t tn_bits_count(const uint8_t *bits, int64_t at, int64_t count) {
  int64_t ones = 0;
  for (; count > 0 && (at & 7); count--) ones += tn_bit_get(bits, at++);
  for (; count >= 64; count -= 64, at += 64) {
    ones += __builtin_popcountll(tn_load_u64(bits + (at >> 3)));
  }
  for (; count > 0; count--) ones += tn_bit_get(bits, at++);
  return ones;
}
