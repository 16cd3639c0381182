/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <assert.h>
#include <math.h>

enum { PHILOX_ROUNDS = 10 };

void tn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < PHILOX_ROUNDS; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0;
    uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u; /* the golden ratio */
    k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* Key: the seed.  Counter: the index below, the stream above. */
static void block(uint64_t seed, uint64_t stream, uint64_t index, uint64_t out[2]) {
  uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                         (uint32_t)(stream >> 32)};
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint32_t words[4];
  tn_philox(counter, key, words);
  out[0] = (uint64_t)words[1] << 32 | words[0];
  out[1] = (uint64_t)words[3] << 32 | words[2];
}

uint64_t tn_random_u64(uint64_t seed, uint64_t stream, uint64_t index) {
  uint64_t r[2];
  block(seed, stream, index, r);
  return r[0];
}

static uint64_t multiply_high(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 wide;
  return (uint64_t)((wide)a * b >> 64);
}

/* floor(n * r / 2^128) for the 128-bit r: the bias is below n / 2^128. */
uint64_t tn_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n) {
  assert(n >= 1);
  uint64_t r[2];
  block(seed, stream, index, r);
  uint64_t high = multiply_high(r[0], n), low = r[0] * n;
  uint64_t carry = multiply_high(r[1], n);
  return high + (low + carry < low);
}

static double unit_f64(uint64_t bits) {
  return (double)(bits >> 11) * 0x1p-53;
}

double tn_random_f64(uint64_t seed, uint64_t stream, uint64_t index) {
  return unit_f64(tn_random_u64(seed, stream, index));
}

/* Box and Muller 1958.  The radius takes 1 - u, which is never 0. */
double tn_random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
  uint64_t r[2];
  block(seed, stream, index, r);
  double radius = sqrt(-2.0 * log(1.0 - unit_f64(r[0])));
  return radius * cos(6.283185307179586476925286766559 * unit_f64(r[1]));
}

/* ---- permutation ----
 * A balanced Feistel network permutes the smallest 2^(2h) that holds n; values that leave [0, n)
 * are sent round again, which keeps the map a bijection (Black, Rogaway 2002: "Ciphers with
 * arbitrary finite domains").  The domain is below 4n, so that takes less than four rounds on
 * average. */

enum { FEISTEL_ROUNDS = 8 };

static uint32_t feistel_round(uint32_t half, uint64_t key) {
  uint64_t x = (half ^ key) * 0x9FB21C651E98DF25u;
  x ^= x >> 32;
  x = (x + (key >> 17)) * 0xD6E8FEB86659FD93u;
  return (uint32_t)(x >> 32) ^ (uint32_t)(x >> 9);
}

static uint64_t feistel(uint64_t value, int half_bits, const uint64_t keys[FEISTEL_ROUNDS]) {
  uint32_t mask = half_bits == 32 ? UINT32_MAX : ((uint32_t)1 << half_bits) - 1;
  uint32_t left = (uint32_t)(value >> half_bits) & mask, right = (uint32_t)value & mask;
  for (int round = 0; round < FEISTEL_ROUNDS; round++) {
    uint32_t next = left ^ (feistel_round(right, keys[round]) & mask);
    left = right;
    right = next;
  }
  return (uint64_t)left << half_bits | right;
}

uint64_t tn_random_permute(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n) {
  assert(index < n);
  if (n <= 1) return 0;
  int bits = 64 - __builtin_clzll(n - 1);
  int half_bits = (bits + 1) / 2;
  uint64_t keys[FEISTEL_ROUNDS];
  for (int i = 0; i < FEISTEL_ROUNDS; i += 2) block(seed, stream, ~(uint64_t)i, keys + i);
  do index = feistel(index, half_bits, keys);
  while (index >= n);
  return index;
}
