/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/level_masks.h"

#include "columns/parquet/bits.h"

#ifdef __AVX2__
#include <immintrin.h>

#include "columns/parquet/bytes.h"

void tn_parquet_levels_mask_avx2(const uint8_t *levels, int64_t count, uint8_t min, uint8_t *bits,
                                 int64_t at) {
  int64_t i = 0;
  __m256i bound = _mm256_set1_epi8((char)min);
  for (; i < count && (at & 7); i++) tn_bit_put(bits, at++, levels[i] >= min);
  for (; i + 32 <= count; i += 32, at += 32) {
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(levels + i));
    __m256i is = _mm256_cmpeq_epi8(_mm256_max_epu8(v, bound), v);
    tn_store_u32(bits + (at >> 3), (uint32_t)_mm256_movemask_epi8(is));
  }
  tn_parquet_levels_mask_plain(levels + i, count - i, min, bits, at);
}
#else
void tn_parquet_levels_mask_avx2(const uint8_t *levels, int64_t count, uint8_t min, uint8_t *bits,
                                 int64_t at) {
  tn_parquet_levels_mask_plain(levels, count, min, bits, at);
}
#endif
