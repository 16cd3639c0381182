/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"

#if defined(__AVX512F__)
#define ROWS_TABLE tn_cpu_rows_avx512
#include "kernels/cpu/rows.inc"
#else
const tn_ops tn_cpu_rows_avx512 = {0};
#endif
