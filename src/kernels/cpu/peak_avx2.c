/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/peak.h"

#if defined(__AVX2__)
#include <immintrin.h>

double tn_peak_f32_avx2(int64_t rounds) {
  TN_PEAK_LOOP(__m256, _mm256_set1_ps(0.5f), _mm256_fmadd_ps(s[i], a, a))
  return 2.0 * 8 * TN_PEAK_CHAINS * (double)rounds;
}

double tn_peak_int8_avx2(int64_t rounds) {
  TN_PEAK_LOOP(__m256i, _mm256_set1_epi8(1), _mm256_maddubs_epi16(s[i], a))
  return 2.0 * 32 * TN_PEAK_CHAINS * (double)rounds;
}
#else
double tn_peak_f32_avx2(int64_t rounds) {
  return 0;
}
double tn_peak_int8_avx2(int64_t rounds) {
  return 0;
}
#endif
