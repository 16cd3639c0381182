/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/peak.h"

#if defined(__AVX512BF16__)
#include "kernels/cpu/amx.h"

#define TILES 4 /* of sums: two by two */

/* Whole tiles: 16 rows by 16 by 64 bytes of K. */
double tn_peak_int8_amx(int64_t rounds) {
  static const tn_amx_shapes shapes = TN_AMX_SHAPES(16);
  TN_AMX_SET(shapes);
  for (int64_t r = 0; r < rounds; r++) {
    TN_AMX_INT8(4, 0, 2);
    TN_AMX_INT8(5, 0, 3);
    TN_AMX_INT8(6, 1, 2);
    TN_AMX_INT8(7, 1, 3);
  }
  TN_AMX_DROP();
  return 2.0 * 16 * 16 * 64 * TILES * (double)rounds;
}

double tn_peak_bf16_amx(int64_t rounds) {
  static const tn_amx_shapes shapes = TN_AMX_SHAPES(16);
  TN_AMX_SET(shapes);
  for (int64_t r = 0; r < rounds; r++) {
    TN_AMX_BF16(4, 0, 2);
    TN_AMX_BF16(5, 0, 3);
    TN_AMX_BF16(6, 1, 2);
    TN_AMX_BF16(7, 1, 3);
  }
  TN_AMX_DROP();
  return 2.0 * 16 * 16 * 32 * TILES * (double)rounds;
}
#else
double tn_peak_int8_amx(int64_t rounds) {
  return 0;
}
double tn_peak_bf16_amx(int64_t rounds) {
  return 0;
}
#endif
