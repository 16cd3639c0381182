/* level_masks.h - comparing runs of levels, a byte each, with a bound.  AVX2 where there is one. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_LEVEL_MASKS_H
#define TN_COLUMNS_PARQUET_LEVEL_MASKS_H
#include <stdint.h>

/* How many of the levels are at least `min`. */
int64_t tn_parquet_levels_count(const uint8_t *levels, int64_t count, uint8_t min);
/* A bit a level, from bit `at` of `bits` on: is it at least `min`? */
void tn_parquet_levels_mask(const uint8_t *levels, int64_t count, uint8_t min, uint8_t *bits,
                            int64_t at);
/* The same, the plain way and with AVX2; for tests. */
void tn_parquet_levels_mask_plain(const uint8_t *levels, int64_t count, uint8_t min, uint8_t *bits,
                                  int64_t at);
void tn_parquet_levels_mask_avx2(const uint8_t *levels, int64_t count, uint8_t min, uint8_t *bits,
                                 int64_t at);

#endif
