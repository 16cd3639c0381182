/* random.h - counter-based random numbers.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC11).
 * A number is a pure function of (seed, stream, index): there is no state to save, any thread
 * can make any number, and a resumed run draws what the first run would have drawn. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_RANDOM_H
#define TN_BASE_RANDOM_H
#include <stdint.h>

/* The raw block function: 128 bits for key and counter. */
void tn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

uint64_t tn_random_u64(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0, n) without modulo bias beyond 2^-64; n >= 1. */
uint64_t tn_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n);
double tn_random_f64(uint64_t seed, uint64_t stream, uint64_t index);    /* uniform in [0, 1) */
double tn_random_normal(uint64_t seed, uint64_t stream, uint64_t index); /* mean 0, deviation 1 */
/* A bijection of [0, n): the index-th element of the permutation named by (seed, stream), in O(1)
 * memory (Feistel network with cycle walking). */
uint64_t tn_random_permute(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n);

#endif
