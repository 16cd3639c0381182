/* cpu.h - the rows that the CPU has faster than ref/, one table an instruction set.
 *
 * The tables are data, so naming one runs no instruction of its set; call its rows only after CPUID
 * has said yes.  A row that is NULL, and every row of a table that this build lacks, is left to
 * ref/. Rows take float32, bfloat16 and float16 in any mix and hand float64 to ref/. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CPU_CPU_H
#define TN_KERNELS_CPU_CPU_H
#include "kernels/ops.h"

extern const tn_ops tn_cpu_rows_avx2;
extern const tn_ops tn_cpu_rows_avx512;
/* linear and embed alone */
extern const tn_ops tn_cpu_rows_plain;       /* any CPU */
extern const tn_ops tn_cpu_rows_plain_bytes; /* the numerics of the next three */
extern const tn_ops tn_cpu_rows_avx512vnni;
extern const tn_ops tn_cpu_rows_avx512bf16;
extern const tn_ops tn_cpu_rows_amx;

#endif
