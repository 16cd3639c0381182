/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/peak.h"

#if defined(__AVX512F__)
#include <immintrin.h>

double tn_peak_f32_avx512(int64_t rounds) {
  TN_PEAK_LOOP(__m512, _mm512_set1_ps(0.5f), _mm512_fmadd_ps(s[i], a, a))
  return 2.0 * 16 * TN_PEAK_CHAINS * (double)rounds;
}
#else
double tn_peak_f32_avx512(int64_t rounds) {
  return 0;
}
#endif
