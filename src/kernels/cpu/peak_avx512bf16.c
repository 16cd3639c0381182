/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/peak.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

double tn_peak_bf16_avx512bf16(int64_t rounds) {
  TN_PEAK_LOOP(__m512, _mm512_set1_ps(0.5f), _mm512_dpbf16_ps(s[i], (__m512bh)a, (__m512bh)a))
  return 2.0 * 32 * TN_PEAK_CHAINS * (double)rounds;
}
#else
double tn_peak_bf16_avx512bf16(int64_t rounds) {
  return 0;
}
#endif
