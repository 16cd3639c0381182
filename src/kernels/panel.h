/* panel.h - the inside of packed weights: how a block of 16 rows lies, type by type.
 *
 *     header    scales (and minima) of the 16 rows
 *     groups    of 32 elements each:  planes of 64 bytes, then words
 *
 * A group's words are [words][16 rows][4 bytes]: 8 words of whole bytes, or 4 of nibbles where byte
 * i of word j holds element 4 j + i below and element 4 (j + 4) + i above.  A plane holds one bit
 * (two) of each element above the fourth: bit j of byte i of a row belongs to element 4 j + i; with
 * two bits an element there are two planes, of words 0 to 3 and 4 to 7. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_PANEL_H
#define TN_KERNELS_PANEL_H
#include "kernels/pack.h"

#define TN_GROUP       32                         /* elements that share a scale of x */
#define TN_GROUP_BYTES (TN_GROUP * TN_PANEL_ROWS) /* one byte an element */
#define TN_WORD_BYTES  (4 * TN_PANEL_ROWS)        /* one word of 16 rows */

/* What the integers of a type are: how far they reach decides how many products fit 16 bits. */
typedef enum tn_panel_kind { TN_PANEL_U4, TN_PANEL_U5, TN_PANEL_U6, TN_PANEL_S8 } tn_panel_kind;

typedef struct tn_panel_format {
  tn_panel_kind kind;
  int32_t elements; /* of K a block */
  int32_t header_bytes;
  int32_t planes;      /* a group */
  int32_t words;       /* a group: 4 nibbles, 8 bytes */
  int32_t zero;        /* value = scale (q - zero), and + minimum where has_minimum */
  int32_t scale_group; /* elements that share a scale: 32, or 16 */
  bool has_minimum;
} tn_panel_format;

/* type, kind, elements, header bytes, planes, words, zero, scale group, minimum.  Headers: halves
 * of one field take 32 bytes, floats 64; q4_k and q5_k have 8 scales and 8 minima of a byte
 * besides, q6_k 16 scales. */
#define TN_PANEL_LIST(X)                                      \
  X(TN_Q4_0, TN_PANEL_U4, 32, 32, 0, 4, 8, 32, false)         \
  X(TN_Q4_1, TN_PANEL_U4, 32, 64, 0, 4, 0, 32, true)          \
  X(TN_Q5_0, TN_PANEL_U5, 32, 32, 1, 4, 16, 32, false)        \
  X(TN_Q5_1, TN_PANEL_U5, 32, 64, 1, 4, 0, 32, true)          \
  X(TN_Q8_0, TN_PANEL_S8, 32, 32, 0, 8, 0, 32, false)         \
  X(TN_Q4_K, TN_PANEL_U4, 256, 64 + 256, 0, 4, 0, 32, true)   \
  X(TN_Q5_K, TN_PANEL_U5, 256, 64 + 256, 1, 4, 0, 32, true)   \
  X(TN_Q6_K, TN_PANEL_U6, 256, 32 + 256, 2, 4, 32, 16, false) \
  X(TN_I4_G32, TN_PANEL_U4, 32, 128, 0, 4, 0, 32, true)       \
  X(TN_I4_G64, TN_PANEL_U4, 64, 128, 0, 4, 0, 32, true)       \
  X(TN_I4_G128, TN_PANEL_U4, 128, 128, 0, 4, 0, 32, true)     \
  X(TN_I8_G32, TN_PANEL_S8, 32, 128, 0, 8, 0, 32, true)       \
  X(TN_I8_G128, TN_PANEL_S8, 128, 128, 0, 8, 0, 32, true)

/* NULL: the type has no integers. */
const tn_panel_format *tn_panel_format_of(tn_dtype dtype);
static inline int32_t tn_panel_group_bytes(const tn_panel_format *f) {
  return (f->planes + f->words) * TN_WORD_BYTES;
}
static inline int32_t tn_panel_block_bytes(const tn_panel_format *f) {
  return f->header_bytes + f->elements / TN_GROUP * tn_panel_group_bytes(f);
}
/* Float8: { float scale[16]; uint8 e4m3[elements][16] } a block. */
static inline int32_t tn_panel_float8_bytes(tn_dtype dtype) {
  return (4 + tn_dtype_block(dtype)) * TN_PANEL_ROWS;
}
/* Packs one block of `rows` <= 16 rows that lie row_bytes apart. */
void tn_panel_pack_block(uint8_t *out, const tn_panel_format *f, tn_dtype dtype,
                         const uint8_t *blocks, int64_t row_bytes, int64_t rows);

#endif
