/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/peak.h"

#include "kernels/cpu/peak.h"
#include "kernels/ops.h"

static double f32_plain(int64_t rounds) {
  float s[TN_PEAK_CHAINS] = {0}, a = 0.5f;
  for (int64_t r = 0; r < rounds; r++)
    for (int32_t i = 0; i < TN_PEAK_CHAINS; i++) {
      s[i] = s[i] * a + a;
      __asm__ volatile("" : "+m"(s[i]));
    }
  return 2.0 * TN_PEAK_CHAINS * (double)rounds;
}

double tn_peak_run(tn_peak_kind kind, int64_t rounds) {
  switch (kind) {
    case TN_PEAK_F32:
      return tn_ops_cpu("avx512") ? tn_peak_f32_avx512(rounds)
             : tn_ops_cpu("avx2") ? tn_peak_f32_avx2(rounds)
                                  : f32_plain(rounds);
    case TN_PEAK_BF16:
      return tn_ops_cpu("amx")          ? tn_peak_bf16_amx(rounds)
             : tn_ops_cpu("avx512bf16") ? tn_peak_bf16_avx512bf16(rounds)
                                        : 0;
    case TN_PEAK_INT8:
      return tn_ops_cpu("amx")          ? tn_peak_int8_amx(rounds)
             : tn_ops_cpu("avx512vnni") ? tn_peak_int8_avx512vnni(rounds)
             : tn_ops_cpu("avx2")       ? tn_peak_int8_avx2(rounds)
                                        : 0;
    case TN_PEAK_KINDS:
      break;
  }
  return 0;
}
