/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/level_masks.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/simd.h"

int64_t tn_parquet_levels_count(const uint8_t *levels, int64_t count, uint8_t min) {
  int64_t n = 0;
  for (int64_t i = 0; i < count; i++) n += levels[i] >= min;
  return n;
}

void tn_parquet_levels_mask_plain(const uint8_t *levels, int64_t count, uint8_t min, uint8_t *bits,
                                  int64_t at) {
  int64_t i = 0;
  for (; i < count && (at & 7); i++) tn_bit_put(bits, at++, levels[i] >= min);
  for (; i + 8 <= count; i += 8, at += 8) {
    uint32_t byte = 0;
    for (int k = 0; k < 8; k++) byte |= (uint32_t)(levels[i + k] >= min) << k;
    bits[at >> 3] = (uint8_t)byte;
  }
  for (; i < count; i++) tn_bit_put(bits, at++, levels[i] >= min);
}

void tn_parquet_levels_mask(const uint8_t *levels, int64_t count, uint8_t min, uint8_t *bits,
                            int64_t at) {
  if (tn_parquet_has_avx2()) {
    tn_parquet_levels_mask_avx2(levels, count, min, bits, at);
  } else {
    tn_parquet_levels_mask_plain(levels, count, min, bits, at);
  }
}
