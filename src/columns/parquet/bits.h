/* bits.h - runs of bits, least significant first: Arrow validity, Parquet booleans and level runs.
 *
 * All positions count bits.  Functions touch only the bits named, so neighbours in the same byte
 * keep their value. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_BITS_H
#define TN_COLUMNS_PARQUET_BITS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool tn_bit_get(const uint8_t *bits, int64_t at) {
  return (bits[at >> 3] >> (at & 7)) & 1;
}
static inline void tn_bit_put(uint8_t *bits, int64_t at, bool value) {
  uint8_t mask = (uint8_t)(1u << (at & 7));
  bits[at >> 3] = (uint8_t)(value ? bits[at >> 3] | mask : bits[at >> 3] & ~mask);
}
static inline size_t tn_bits_bytes(int64_t count) {
  return (size_t)((count + 7) >> 3);
}

void tn_bits_copy(uint8_t *to, int64_t to_at, const uint8_t *from, int64_t from_at, int64_t count);
void tn_bits_fill(uint8_t *to, int64_t at, int64_t count, bool value);
int64_t tn_bits_count(const uint8_t *bits, int64_t at, int64_t count); /* how many are 1 */

#endif
