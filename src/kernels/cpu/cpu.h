/* cpu.h - the rows that the CPU has faster than ref/, one table an instruction set.
 *
 * The tables are data, so naming one runs no instruction of its set; call its rows only after CPUID
 * has said yes.  A row that is NULL, and every row of a table that this build lacks, is left to
 * ref/. Rows take float32, bfloat16 and float16 in any mix and hand float64 to ref/. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CPU_CPU_H
#define TN_KERNELS_CPU_CPU_H
#include "kernels/ops.h"

/* NULL: too little to share.  Threads that still spin pay from about 5 microseconds of work. */
static inline tn_pool *tn_cpu_pool_for(tn_stream *stream, int64_t operations) {
  return operations < 500000 ? NULL : stream->pool;
}

extern const tn_ops tn_cpu_rows_avx2;
extern const tn_ops tn_cpu_rows_avx512;
/* linear and embed alone */
extern const tn_ops tn_cpu_rows_plain;       /* any CPU */
extern const tn_ops tn_cpu_rows_plain_bytes; /* the numerics of the next three */
extern const tn_ops tn_cpu_rows_avx512vnni;
extern const tn_ops tn_cpu_rows_avx512bf16;
extern const tn_ops tn_cpu_rows_amx;

#endif
