/* linear_pairs.h - products with packed bfloat16 weights, where a CPU multiplies pairs of bfloat16.
 *
 *     y[m, n] = one chain over rising k from zero, x rounded to bfloat16
 *
 * x loses what bfloat16 does not hold, as in every engine that multiplies bfloat16 by bfloat16; so
 * weights in rows, which training uses, keep the exact products of gemm.inc.  What a link of the
 * chain is differs between instruction sets (a pair with AVX-512 BF16, 16 pairs with AMX), but is
 * the same for every row, tile and thread of one: a row has the same bits alone and in any batch.
 *
 * The driver (linear_pairs.c) rounds x, hands out items of four panels by a block of rows, and
 * stores their sums. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CPU_LINEAR_PAIRS_H
#define TN_KERNELS_CPU_LINEAR_PAIRS_H
#include "kernels/ops.h"
#include "kernels/pack.h"

#define TN_PAIRS_PANELS 4 /* of 16 columns share a pass over x */
#define TN_PAIRS_WIDTH  (TN_PAIRS_PANELS * TN_PANEL_ROWS)
#define TN_PAIR_BYTES   (4 * TN_PANEL_ROWS) /* of a panel, a pair of k */

/* x, rounded: [pairs / piece][rows][piece] of two bfloat16 */
typedef struct tn_pair_rows {
  const uint32_t *x;
  int64_t rows, piece, pairs;
} tn_pair_rows;

typedef struct tn_pairs_isa {
  int64_t block_rows; /* an item: at most TN_PAIRS_ROWS_MAX */
  int64_t piece;      /* pairs of a row that lie together; 0: all */
  int64_t row_step;   /* rows of x and of sums that are touched come in so many, beyond one step */
  /* K elements to bfloat16 */
  void (*round)(uint16_t *out, const float *x, int64_t K);
  /* sums[rows][TN_PAIRS_WIDTH] = rows [row, row + rows) of x by `count` panels */
  void (*multiply)(float *sums, const tn_pair_rows *x, int64_t row, int64_t rows,
                   const uint8_t *panel, int64_t panel_bytes, int64_t count);
} tn_pairs_isa;
#define TN_PAIRS_ROWS_MAX 256

extern const tn_pairs_isa tn_pairs_amx; /* K: a multiple of 32 */

/* The row linear for packed bfloat16 weights; no size is 0. */
TN_NODISCARD tn_status tn_linear_pairs(const tn_pairs_isa *isa, tn_stream *stream,
                                       const tn_linear_args *args, tn_error *err);
/* Is that what these arguments are? */
bool tn_linear_takes_pairs(const tn_linear_args *args);

#endif
