/* panel.h - the inside of packed weights: how a chunk of 256 elements of 16 rows lies, type by
 * type.
 *
 *     header    scales (and minima) of the 16 rows
 *     groups    of 32 elements each, as many as there are:  planes of 64 bytes, then words
 *
 * A weight is unit factor (q - zero) [+ minimum_unit minimum], all but the units integers.  With
 * n = 256 / elements of a block, headers are
 *
 *     q4_k, q5_k   half unit[16], minimum_unit[16]; uint8 factor[8][16], -minimum[8][16]
 *     q6_k         half unit[16]; int8 factor[16][16]
 *     a zero       float unit[16]; int8 factor[n][16]
 *     bytes        float unit[16]; [float minimum_unit[16]; int16 minimum[n][16]]
 *     others       float unit[16], minimum_unit[16]; uint8 factor[n][16]; int16 minimum[n][16]
 *
 * where lists of factors and minima lie in pairs of neighbours, [n / 2][16][2], as products with
 * sums of x take them.
 *
 * K-quants have these in their blocks.  For others of 4 and 5 bits unit = max |scale| / 255 (with a
 * zero 127) over the chunk and factor = round(scale / unit): all weights of a block change by one
 * ratio that is nearly 1, and what is 0 stays 0.  Without a zero factors have no sign: integers of
 * a negative scale are turned (15 - q, 31 - q).  Whole bytes are rounded once more, to multiples of
 * unit = max |scale|: factor is 1, and weights with one scale a row stay what they are.
 * minimum_unit = max |minimum| / 32767.
 *
 * A group's words are [words][16 rows][4 bytes]: 8 words of whole bytes, or 4 of nibbles where byte
 * i of word j holds element 4 j + i below and element 4 (j + 4) + i above.  A plane holds one bit
 * (two) of each element above the fourth: bit j of byte i of a row belongs to element 4 j + i; with
 * two bits an element there are two planes, of words 0 to 3 and 4 to 7. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_PANEL_H
#define TN_KERNELS_PANEL_H
#include "kernels/pack.h"

#define TN_GROUP        32                         /* elements of K */
#define TN_GROUP_BYTES  (TN_GROUP * TN_PANEL_ROWS) /* one byte an element */
#define TN_WORD_BYTES   (4 * TN_PANEL_ROWS)        /* one word of 16 rows */
#define TN_CHUNK_GROUPS 8                          /* whole blocks of every type */
#define TN_CHUNK        (TN_CHUNK_GROUPS * TN_GROUP)
#define TN_TINY         0x1p-119f /* scales (and x) of a chunk that stay below count as zeros */

/* What the integers of a type are: how far they reach decides how many products fit 16 bits. */
typedef enum tn_panel_kind { TN_PANEL_U4, TN_PANEL_U5, TN_PANEL_U6, TN_PANEL_S8 } tn_panel_kind;

typedef struct tn_panel_format {
  tn_panel_kind kind;
  int32_t elements;     /* of K a block of the type in rows */
  int32_t header_bytes; /* a chunk */
  int32_t planes;       /* a group */
  int32_t words;        /* a group: 4 nibbles, 8 bytes */
  int32_t zero;
  int32_t span; /* elements that share a factor: 32, or 16 */
  bool has_minimum;
} tn_panel_format;

/* type, kind, elements, header bytes, planes, words, zero, span, minimum.  Headers are padded to
 * whole lines. */
#define TN_PANEL_LIST(X)                                  \
  X(TN_Q4_0, TN_PANEL_U4, 32, 192, 0, 4, 8, 32, false)    \
  X(TN_Q4_1, TN_PANEL_U4, 32, 512, 0, 4, 0, 32, true)     \
  X(TN_Q5_0, TN_PANEL_U5, 32, 192, 1, 4, 16, 32, false)   \
  X(TN_Q5_1, TN_PANEL_U5, 32, 512, 1, 4, 0, 32, true)     \
  X(TN_Q8_0, TN_PANEL_S8, 32, 64, 0, 8, 0, 32, false)     \
  X(TN_Q4_K, TN_PANEL_U4, 256, 320, 0, 4, 0, 32, true)    \
  X(TN_Q5_K, TN_PANEL_U5, 256, 320, 1, 4, 0, 32, true)    \
  X(TN_Q6_K, TN_PANEL_U6, 256, 320, 2, 4, 32, 16, false)  \
  X(TN_I4_G32, TN_PANEL_U4, 32, 512, 0, 4, 0, 32, true)   \
  X(TN_I4_G64, TN_PANEL_U4, 64, 320, 0, 4, 0, 32, true)   \
  X(TN_I4_G128, TN_PANEL_U4, 128, 256, 0, 4, 0, 32, true) \
  X(TN_I8_G32, TN_PANEL_S8, 32, 384, 0, 8, 0, 32, true)   \
  X(TN_I8_G128, TN_PANEL_S8, 128, 192, 0, 8, 0, 32, true)

/* NULL: the type has no integers. */
const tn_panel_format *tn_panel_format_of(tn_dtype dtype);
static inline int32_t tn_panel_group_bytes(const tn_panel_format *f) {
  return (f->planes + f->words) * TN_WORD_BYTES;
}
static inline int32_t tn_panel_chunk_bytes(const tn_panel_format *f) {
  return f->header_bytes + TN_CHUNK_GROUPS * tn_panel_group_bytes(f);
}
/* The place of row `row` in the i-th list of a header: lists lie in pairs of neighbours. */
static inline int64_t tn_panel_list_at(int64_t i, int64_t row) {
  return (i / 2 * TN_PANEL_ROWS + row) * 2 + i % 2;
}
/* Float8: { float scale[16]; uint8 e4m3[elements][16] } a block. */
static inline int32_t tn_panel_float8_bytes(tn_dtype dtype) {
  return (4 + tn_dtype_block(dtype)) * TN_PANEL_ROWS;
}
/* Packs `groups` groups of `rows` <= 16 rows that lie row_bytes apart; blocks: the first row's. */
void tn_panel_pack_chunk(uint8_t *out, const tn_panel_format *f, tn_dtype dtype,
                         const uint8_t *blocks, int64_t row_bytes, int64_t rows, int32_t groups);
/* Elements of row `lane` of a packed chunk. */
void tn_panel_chunk_to_f32(float *out, const tn_panel_format *f, const uint8_t *chunk, int64_t lane,
                           int32_t groups);

#endif
