/* peak.h - the most products a second that this CPU's registers do: independent chains of one
 * instruction, no memory.  What benches measure kernels against.
 *
 *     float32   fused multiply-adds of the widest vectors
 *     bfloat16  tiles (AMX), or pair products (AVX-512 BF16)
 *     int8      tiles of 64 bytes of K (AMX; a scale for every 32 halves that), or products of
 *               unsigned and signed bytes added to 32 bits (VNNI), or to 16 (AVX2)
 *
 * Thread: any; each call is one thread's work. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_PEAK_H
#define TN_KERNELS_PEAK_H
#include <stdint.h>

typedef enum tn_peak_kind { TN_PEAK_F32, TN_PEAK_BF16, TN_PEAK_INT8, TN_PEAK_KINDS } tn_peak_kind;

/* Runs `rounds` rounds; returns multiplications and additions done, 0 where the CPU has no such
 * instruction. */
double tn_peak_run(tn_peak_kind kind, int64_t rounds);

#endif
