/* linear.h - products with weights of integers: x rounded to int8, exact integer sums, one float
 * product a chunk of 256.
 *
 *     x[m]    chunks of 256:  q = round(x 127 / max |x|), scale = max |x| / 127
 *     w[n]    from a packed panel:  unit factor (q - zero) [+ minimum_unit minimum]     (panel.h)
 *     y[m, n] = the chain over chunks, in rising order from 0, of
 *                   fma(float(sum of q_x factor (q_w - zero)), unit scale_x, .)
 *                   [fma(float(sum of minimum q_x), minimum_unit scale_x, .)]
 *
 * AVX-512 with VNNI and AMX multiply whole bytes, 64 an instruction, and take from weights of 4
 * bits
 *
 *     fma(float(sum of q_x b), (16 / times) unit scale_x, .)
 *     b = (q - zero) times factor / 16, rounded           a byte; times: 2 with a zero, so that the
 *                                                         zero stays 0; 4 for K-quants; else 1
 *
 * where halves are rounded up in even places of K and down in odd ones: many products are halves,
 * and rounded one way they would add up.
 *
 * Integer sums are exact (below 2^31) and the chain is one order for every row, tile and thread, so
 * y has the same bits from each of them; and from every instruction set, but that nibbles have the
 * two forms above.  A chunk of x or of scales that holds an infinity or NaN has the scale NaN: y is
 * NaN there.
 *
 * The driver (linear.c) hands out items of columns, expands a chunk of weights into a table that
 * stays in the first-level cache (tn_int_panel) and runs an instruction set's tile over it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CPU_LINEAR_H
#define TN_KERNELS_CPU_LINEAR_H
#include "kernels/ops.h"
#include "kernels/panel.h"

#define TN_SPANS_MAX      (2 * TN_CHUNK_GROUPS)
#define TN_AHEAD_BYTES    2048 /* of weights that are asked for while others are used */
#define TN_BLOCK_ROWS_MAX 512

/* x, quantized, a chunk of K after the other: rows of a chunk lie side by side, so that a tile's
 * rows share few pages and never one set of the cache.  The last chunk is full too: of zeros. */
typedef struct tn_int_rows {
  int64_t rows;        /* a chunk */
  int32_t spans;       /* a chunk: 8 of 32 elements, or 16 of 16 */
  const int8_t *q;     /* [chunks][rows][TN_CHUNK], or in blocks of tile_rows */
  const float *scale;  /* [chunks][rows] */
  const int16_t *sums; /* [chunks][rows][spans] of q */
  const int16_t *wide; /* [chunks][rows][TN_CHUNK], q in the order 0, 2, 1, 3 of each 4; or NULL */
} tn_int_rows;

/* Integers of 16 rows for two neighbours: elements, or spans */
typedef int16_t tn_int_pairs[TN_PANEL_ROWS][2];

/* What factors are multiplied with, so that products of nibbles are sixteenths of bytes. */
static inline int32_t tn_nibble_times(int32_t zero, bool is_k_quant) {
  return zero ? 2 : is_k_quant ? 4 : 1;
}

/* A chunk of one panel, expanded. */
typedef struct tn_int_panel {
  _Alignas(64) uint8_t room[TN_CHUNK_GROUPS][TN_GROUP_BYTES]; /* [8 words][16 rows][4] a group */
  uint8_t high[TN_CHUNK_GROUPS][TN_GROUP_BYTES]; /* where factor (q - zero) takes two bytes */
  tn_int_pairs factor[TN_SPANS_MAX / 2];         /* of spans */
  tn_int_pairs offset[TN_SPANS_MAX / 2];         /* to be multiplied with sums of x: -zero factor */
  tn_int_pairs minimum[TN_SPANS_MAX / 2];        /* the same */
  float unit[TN_PANEL_ROWS], minimum_unit[TN_PANEL_ROWS];
  const uint8_t *q[TN_CHUNK_GROUPS]; /* room, or the packed panel itself */
  int32_t groups;
  bool has_offset;
} tn_int_panel;

/* An instruction set has expand and tile, or chunk. */
typedef struct tn_linear_isa {
  int32_t tile_rows;
  int32_t block_rows; /* of x, about, an item: their sums stay in the second-level cache */
  bool blocks;        /* q of tile_rows rows lies together: [TN_CHUNK / 64][rows][64] */
  /* K <= TN_CHUNK elements of x: q, its sums of 16, and the scale, which is returned */
  float (*quantize)(int8_t *q, int16_t *sums, const float *x, int64_t K);
  /* p->groups groups of a packed chunk */
  void (*expand)(tn_int_panel *p, tn_dtype dtype, const uint8_t *chunk);
  /* c[m][16] += m rows of a chunk of x by p;  at = chunk x->rows + first row,  m <= tile_rows */
  void (*tile)(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
               const tn_int_panel *p, const tn_panel_format *f);
  /* c[rows][16 panels] += rows of a chunk of x by packed chunks, which p has room for */
  void (*chunk)(float *c, int64_t ldc, int64_t rows, const tn_int_rows *x, int64_t at,
                tn_int_panel *p, const uint8_t *const *chunks, int64_t panels, tn_dtype dtype);
  /* What follows may be missing. */
  /* All of K, without a table: c[m][16 panels] += rows [0, m) of x by packed panels;
   * m <= few_rows */
  int32_t few_rows;
  bool few_wide; /* x->wide is there for weights of 4 bits */
  void (*few)(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t groups,
              const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype);
  /* around the tiles of a thread */
  void (*enter)(void);
  void (*leave)(void);
} tn_linear_isa;

/* CALL(m, kind, minima) with constants, one for each kind of format f; nibbles: what goes for U4.
 */
#define TN_BY_KIND(f, m, CALL, nibbles)                    \
  do {                                                     \
    if ((f)->kind == TN_PANEL_U4 && (f)->has_minimum)      \
      CALL(m, nibbles, true);                              \
    else if ((f)->kind == TN_PANEL_U4)                     \
      CALL(m, nibbles, false);                             \
    else if ((f)->kind == TN_PANEL_U5 && (f)->has_minimum) \
      CALL(m, TN_PANEL_U5, true);                          \
    else if ((f)->kind == TN_PANEL_U5)                     \
      CALL(m, TN_PANEL_U5, false);                         \
    else if ((f)->kind == TN_PANEL_U6)                     \
      CALL(m, TN_PANEL_U6, false);                         \
    else if ((f)->has_minimum)                             \
      CALL(m, TN_PANEL_S8, true);                          \
    else                                                   \
      CALL(m, TN_PANEL_S8, false);                         \
  } while (0)

extern const tn_linear_isa tn_linear_plain, tn_linear_avx2, tn_linear_avx512vnni, tn_linear_amx;
/* The numerics of the last two, in plain C. */
extern const tn_linear_isa tn_linear_plain_bytes;

#define TN_LINEAR_PARTS_MAX 3 /* linear_triple */
typedef tn_status (*tn_linear_fn)(tn_stream *, const tn_linear_args *, tn_error *);

/* `count` calls of linear with one x and weights that tn_linear_takes_int takes: x is quantized
 * once, and threads walk through all weights in one run, where factors span alike. */
TN_NODISCARD tn_status tn_linear_int(const tn_linear_isa *isa, tn_stream *stream,
                                     const tn_linear_args *args, int32_t count, tn_error *err);
/* Any weights: those that are no integers go through `other` one by one. */
TN_NODISCARD tn_status tn_linear_each(const tn_linear_isa *isa, tn_linear_fn other,
                                      tn_stream *stream, const tn_linear_args *args, int32_t count,
                                      tn_error *err);

/* The rows linear, linear_pair and linear_triple of an instruction set, from its own
 * MANY(stream, args[count], count, err). */
#define TN_LINEAR_FUNCTIONS(MANY)                                                         \
  static tn_status linear(tn_stream *stream, const tn_linear_args *args, tn_error *err) { \
    return MANY(stream, args, 1, err);                                                    \
  }                                                                                       \
  static tn_status linear_pair(tn_stream *stream, const tn_linear_pair_args *args,        \
                               tn_error *err) {                                           \
    const tn_linear_args each[] = {{.y = args->y0, .x = args->x, .w = args->w0},          \
                                   {.y = args->y1, .x = args->x, .w = args->w1}};         \
    return MANY(stream, each, 2, err);                                                    \
  }                                                                                       \
  static tn_status linear_triple(tn_stream *stream, const tn_linear_triple_args *args,    \
                                 tn_error *err) {                                         \
    const tn_linear_args each[] = {{.y = args->y0, .x = args->x, .w = args->w0},          \
                                   {.y = args->y1, .x = args->x, .w = args->w1},          \
                                   {.y = args->y2, .x = args->x, .w = args->w2}};         \
    return MANY(stream, each, 3, err);                                                    \
  }
#define TN_LINEAR_ROWS .linear = linear, .linear_pair = linear_pair, .linear_triple = linear_triple

/* The error of packed weights beside float64. */
tn_status tn_linear_refuse_f64(const tn_linear_args *args, tn_error *err);
/* The row embed for every table: packed, quantized, float8. */
TN_NODISCARD tn_status tn_embed_weight(tn_stream *stream, const tn_embed_args *args, tn_error *err);
/* Does linear take this weight as integers?  Weights in rows beside float64 are left to ref/. */
bool tn_linear_takes_int(const tn_linear_args *args);

#endif
