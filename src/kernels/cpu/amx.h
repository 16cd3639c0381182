/* amx.h - the tile registers of Intel's AMX: eight of 16 rows of 64 bytes, a matrix product an
 * instruction.
 *
 *     c[16][16] += a[16][words] b[words][16]     words of 4 bytes (2 bfloat16) along K
 *
 * Instructions are written as assembly, since the compilers' own words for them leave out which
 * memory is read.  The system gives the registers' memory to a process that asks for it once
 * (tn_amx_here); each thread sets the tiles' shapes before it uses them and drops them behind, so
 * that a switch of threads saves nothing. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CPU_AMX_H
#define TN_KERNELS_CPU_AMX_H
#include <stdbool.h>
#include <stdint.h>

/* Has the CPU tiles for int8 and bfloat16, and has the system granted them?  Asks once. */
bool tn_amx_here(void);

/* Tiles 0 and 1 hold a, 2 and 3 b, 4 to 7 c. */
typedef struct tn_amx_shapes {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tn_amx_shapes;
#define TN_AMX_SHAPES(words)                                                       \
  {                                                                                \
    .palette = 1, .row_bytes = {4 * (words), 4 * (words), 64, 64, 64, 64, 64, 64}, \
    .rows = {16, 16, (words), (words), 16, 16, 16, 16},                            \
  }

#define TN_AMX_SET(shapes) __asm__ volatile("ldtilecfg %0" : : "m"(shapes))
#define TN_AMX_DROP()      __asm__ volatile("tilerelease")
#define TN_AMX_ZERO(t)     __asm__ volatile("tilezero %%tmm" #t : :)
#define TN_AMX_LOAD(t, from, stride)                   \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t     \
                   :                                   \
                   : "r"(from), "r"((int64_t)(stride)) \
                   : "memor"                           \
                     "y")
#define TN_AMX_STORE(t, to, stride)                    \
  __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" \
                   :                                   \
                   : "r"(to), "r"((int64_t)(stride))   \
                   : "memory")
/* c += a b: signed bytes, and signed by unsigned ones, into int32; pairs of bfloat16 into float32
 */
#define TN_AMX_INT8(c, a, b)  __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define TN_AMX_BYTES(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define TN_AMX_BF16(c, a, b)  __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

#endif
