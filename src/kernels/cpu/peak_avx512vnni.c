/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/peak.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

double tn_peak_int8_avx512vnni(int64_t rounds) {
  TN_PEAK_LOOP(__m512i, _mm512_set1_epi8(1), _mm512_dpbusd_epi32(s[i], a, a))
  return 2.0 * 64 * TN_PEAK_CHAINS * (double)rounds;
}
#else
double tn_peak_int8_avx512vnni(int64_t rounds) {
  return 0;
}
#endif
