/* linear.h - products with weights of integers: x rounded to int8, exact integer sums, float
 * scales.
 *
 *     x[m]    groups of 32:  q = round(x 127 / max |x|), scale = max |x| / 127
 *     w[n]    groups of 32 (16):  scale (q - zero) [+ minimum], from a packed panel
 *     y[m, n] = the chain over groups g, in rising order from 0, of
 *                   fma(float(sum of q_x (q_w - zero)), scale_w scale_x, .)
 *                   [fma(minimum, scale_x float(sum of q_x), .)]
 *
 * Integer sums are exact and the chain is one order for every row, tile, thread and instruction
 * set, so y has the same bits from each of them.  A group of x that holds an infinity or NaN has
 * the scale NaN: y is NaN there.
 *
 * The driver (linear.c) hands out items of columns, expands a chunk of weights into a table that
 * stays in the first-level cache (tn_int_panel) and runs an instruction set's tile over it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CPU_LINEAR_H
#define TN_KERNELS_CPU_LINEAR_H
#include "kernels/ops.h"
#include "kernels/panel.h"

#define TN_CHUNK_GROUPS 8 /* 256 elements of K: whole blocks of every type */
#define TN_CHUNK        (TN_CHUNK_GROUPS * TN_GROUP)
#define TN_AHEAD_BYTES  2048      /* of weights that are asked for while others are used */
#define TN_FEW_PANELS   4         /* that few rows read side by side */
#define TN_TINY         0x1p-119f /* a group of x that stays below counts as zeros */

/* x, quantized, a chunk of K after the other: rows of a chunk lie side by side, so that a tile's
 * rows share few pages and never one set of the cache.  The last chunk is full too, in room. */
typedef struct tn_int_rows {
  int64_t rows;         /* a chunk */
  int32_t starts;       /* a group: 1, or 2 where weights have a scale for 16 */
  const int8_t *q;      /* [chunks][rows][TN_CHUNK], or in blocks of tile_rows */
  const float *scale;   /* [chunks][rows][TN_CHUNK_GROUPS] */
  const int32_t *start; /* [chunks][rows][TN_CHUNK_GROUPS * starts]: -zero sum(q); NULL: no zero */
  const float *sum;     /* [chunks][rows][TN_CHUNK_GROUPS]: scale sum(q); NULL: no minima */
} tn_int_rows;

/* A chunk of one panel, expanded: bytes [8 words][16 rows][4] a group */
typedef struct tn_int_panel {
  _Alignas(64) uint8_t room[TN_CHUNK_GROUPS][TN_GROUP_BYTES];
  float scale[2 * TN_CHUNK_GROUPS][TN_PANEL_ROWS]; /* of a group, or of its halves */
  float minimum[TN_CHUNK_GROUPS][TN_PANEL_ROWS];
  const uint8_t *q[TN_CHUNK_GROUPS]; /* room, or the packed panel itself */
  int32_t groups;
} tn_int_panel;

typedef struct tn_linear_isa {
  int32_t tile_rows;
  int32_t zero_of_bytes; /* 128: expand adds it to signed bytes; 0: tile takes them signed */
  bool centred;          /* expand takes the zeros off: sums start from nothing */
  bool blocks;           /* q of tile_rows rows lies together: [TN_CHUNK_GROUPS][rows][TN_GROUP] */
  /* K elements of x (some groups): q, scale a group, and sums of 16 */
  void (*quantize)(int8_t *q, float *scale, int32_t *sums, const float *x, int64_t K);
  /* p->groups groups from the start of a block */
  void (*expand)(tn_int_panel *p, tn_dtype dtype, const uint8_t *blocks);
  /* c[m][16] += m rows of a chunk of x by p;  at = chunk x->rows + first row,  m <= tile_rows */
  void (*tile)(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
               const tn_int_panel *p, const tn_panel_format *f);
  /* What follows may be missing. */
  /* The same for two panels: c[m][32] */
  void (*pair)(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
               const tn_int_panel *p, const tn_panel_format *f);
  /* All of K, without a table: c[m][16 panels] += rows [0, m) of x by packed panels, which are read
   * in one stream each;  m <= few_rows, panels <= TN_FEW_PANELS */
  int32_t few_rows;
  void (*few)(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t groups,
              const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype);
  /* around the tiles of a thread */
  void (*enter)(const tn_panel_format *f);
  void (*leave)(void);
} tn_linear_isa;

extern const tn_linear_isa tn_linear_plain, tn_linear_avx2, tn_linear_avx512vnni, tn_linear_amx;

/* The row linear for weights that tn_panel_format_of knows, packed or in rows. */
TN_NODISCARD tn_status tn_linear_int(const tn_linear_isa *isa, tn_stream *stream,
                                     const tn_linear_args *args, tn_error *err);
/* The error of packed weights beside float64. */
tn_status tn_linear_refuse_f64(const tn_linear_args *args, tn_error *err);
/* The row embed for every table: packed, quantized, float8. */
TN_NODISCARD tn_status tn_embed_weight(tn_stream *stream, const tn_embed_args *args, tn_error *err);
/* Does linear take this weight as integers?  Weights in rows beside float64 are left to ref/. */
bool tn_linear_takes_int(const tn_linear_args *args);

#endif
