/* simd.h - which of this folder's SIMD paths may run here. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SIMD_H
#define TN_COLUMNS_PARQUET_SIMD_H
#include <stdbool.h>

static inline bool tn_parquet_has_avx2(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

#endif
