/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"

const tn_ops tn_cpu_rows_avx512 = {0};
