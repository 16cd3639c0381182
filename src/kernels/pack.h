/* pack.h - weights in the layout that the CPU's kernels read in one stream.
 *
 * A packed weight is a tn_tensor of the same type and shape whose layout is TN_LAYOUT_PANELS:
 *
 *     w[N, K]  ->  panels of 16 rows; inside a panel, pieces of K, one after the other
 *
 *     quantized   chunk of 256 = the 16 rows' scales, then words of 4 elements: [K / 4][16 rows][4]
 *                 (panel.h)
 *     float       [K][16 rows];  bfloat16 in pairs, [K / 2][16 rows][2];  float8 with the 16 rows'
 *                 scales before each block
 *
 * linear gives the same bits for both layouts, and embed reads rows of either.  Values of floats
 * and K-quants stay what they are.  Scales of other types become 8-bit multiples of one unit a
 * chunk, and weights of 8 bits are rounded to one scale a chunk (panel.h; linear takes them so from
 * rows too).  Missing rows of the last panel
 * are zeros.  The layout is the same on every CPU of this build; tn_pack_key names it, for files
 * that keep packed weights beside a model.
 *
 * Thread: tn_pack uses the pool that it is given; everything else is a pure function. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_PACK_H
#define TN_KERNELS_PACK_H
#include "base/thread.h"
#include "tensor/tensor.h"

#define TN_LAYOUT_PANELS 1
#define TN_PANEL_ROWS    16

/* Bytes of the packed copy of a weight of `dtype`, [rows, cols].  0: this type has no packed layout
 * and is used as it is.  -1: more than 63 bits. */
int64_t tn_pack_bytes(tn_dtype dtype, int64_t rows, int64_t cols);
/* Packs w, [N, K] in rows, into `into` from offset_bytes (a multiple of 64) on; *out is the view.
 * pool NULL: the caller alone. */
TN_NODISCARD tn_status tn_pack(tn_tensor *out, const tn_tensor *w, tn_buffer *into,
                               int64_t offset_bytes, tn_pool *pool, tn_error *err);
/* A view of bytes that tn_pack wrote before: of a file whose key is tn_pack_key's. */
TN_NODISCARD tn_status tn_pack_view(tn_tensor *out, tn_buffer *buffer, int64_t offset_bytes,
                                    tn_dtype dtype, int64_t rows, int64_t cols, tn_error *err);
/* Names the layout and what it depends on: "panels16.4-le". */
const char *tn_pack_key(void);
/* A zeroed buffer of the CPU for packed weights. */
TN_NODISCARD tn_status tn_pack_buffer_new(tn_buffer **out, size_t bytes, tn_error *err);
/* Row `row` of a packed weight as floats. */
void tn_pack_row_to_f32(float *out, const tn_tensor *packed, int64_t row);

#endif
