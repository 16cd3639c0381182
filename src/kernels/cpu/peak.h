/* peak.h - one loop an instruction set.  Call them only after CPUID has said yes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CPU_PEAK_H
#define TN_KERNELS_CPU_PEAK_H
#include <stdint.h>

/* Products and sums of a round; 0: not in this build. */
double tn_peak_f32_avx2(int64_t rounds);
double tn_peak_int8_avx2(int64_t rounds);
double tn_peak_f32_avx512(int64_t rounds);
double tn_peak_int8_avx512vnni(int64_t rounds);
double tn_peak_bf16_avx512bf16(int64_t rounds);
double tn_peak_int8_amx(int64_t rounds);
double tn_peak_bf16_amx(int64_t rounds);

/* CHAINS registers, each changed by `step` (of s[i] and a) once a round. */
#define TN_PEAK_CHAINS 12
#define TN_PEAK_LOOP(vector, start, step)                                              \
  vector s[TN_PEAK_CHAINS], a = start;                                                 \
  _Pragma("GCC unroll 12") for (int32_t i = 0; i < TN_PEAK_CHAINS; i++) s[i] = start;  \
  for (int64_t r = 0; r < rounds; r++)                                                 \
    _Pragma("GCC unroll 12") for (int32_t i = 0; i < TN_PEAK_CHAINS; i++) {            \
      __asm__ volatile("" : "+v"(s[i]), "+v"(a)); /* or nothing would be left of it */ \
      s[i] = step;                                                                     \
    }                                                                                  \
  _Pragma("GCC unroll 12") for (int32_t i = 0; i < TN_PEAK_CHAINS;                     \
                                i++) __asm__ volatile("" : "+v"(s[i]));

#endif
