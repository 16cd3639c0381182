/* Products with weights of integers, AMX: 16 rows of x by 16 of w and a whole group of K an
 * instruction.  A group has scales of its own, so its sums leave the tiles through memory that
 * stays in the first-level cache, and AVX-512 scales them.
 *
 *             w: 16 rows  16 rows
 *     x 16   [ tile 4 ] [ tile 5 ]     two by two tiles share what is loaded; UNITS groups of each
 *     x 16   [ tile 6 ] [ tile 7 ]     are multiplied, then all of them are scaled: vectors run at
 *                                      half their speed between tile instructions
 *
 * Bytes are signed on both sides: expand takes the zeros of unsigned ones off.
 *
 * Why integers: weights as bfloat16 would stay in the tiles over all of K, but 512 nibbles take
 * about 72 cycles of vectors to become scale (q - zero), rounded (Sapphire Rapids).  One row must
 * have the bits of many, and read memory at half its speed or less that way. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_pairs.h"

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
#include <immintrin.h>
#include <math.h>

#include "kernels/cpu/amx.h"

#define INLINE        static inline __attribute__((always_inline))
#define ZERO_OF_BYTES 0
#define VECTOR_BYTES  64
#define ROWS          16 /* of a tile */
#define UNITS         4  /* groups, or halves of groups, between two rounds of scaling */
#define FEW_ROWS      8  /* up to here the vectors alone are faster */

INLINE void halves_to_floats(float *out, const uint8_t *in) {
  _mm512_storeu_ps(out, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)in)));
}

#include "kernels/cpu/expand.inc"
#include "kernels/cpu/quantize.inc"

/* Signed bytes, aligned. */
static void expand_centred(tn_int_panel *p, tn_dtype dtype, const uint8_t *blocks) {
  const bytes_v zero = (bytes_v){0} + (uint8_t)tn_panel_format_of(dtype)->zero;
  expand(p, dtype, blocks);
  for (int32_t g = 0; g < p->groups; g++) {
    for (int32_t i = 0; i < TN_GROUP_BYTES; i += VECTOR_BYTES)
      store_bytes(p->room[g] + i, load_bytes(p->q[g] + i) - zero);
    p->q[g] = p->room[g];
  }
}

/* Sums of a unit: tile by tile, rows of x by rows of w */
typedef int32_t unit_sums[ROWS][TN_PANEL_ROWS];

/* Units [first, first + count) of a chunk; q: a block of x. */
INLINE void multiply_units(const int32_t halves, const bool tall, const bool wide,
                           unit_sums sums[4][UNITS], const int8_t *q, const tn_int_panel *p,
                           int32_t first, int32_t count) {
  for (int32_t u = 0; u < count; u++) {
    int32_t g = (first + u) / halves, half = (first + u) % halves;
    int32_t skip = half * TN_GROUP_BYTES / 2;
    const int8_t *a = q + g * 2 * ROWS * TN_GROUP + half * TN_GROUP / 2;
    TN_AMX_LOAD(0, a, TN_GROUP);
    TN_AMX_LOAD(2, p[0].q[g] + skip, TN_WORD_BYTES);
    TN_AMX_ZERO(4);
    TN_AMX_INT8(4, 0, 2);
    if (wide) {
      TN_AMX_LOAD(3, p[1].q[g] + skip, TN_WORD_BYTES);
      TN_AMX_ZERO(5);
      TN_AMX_INT8(5, 0, 3);
    }
    if (tall) {
      TN_AMX_LOAD(1, a + ROWS * TN_GROUP, TN_GROUP);
      TN_AMX_ZERO(6);
      TN_AMX_INT8(6, 1, 2);
    }
    if (tall && wide) {
      TN_AMX_ZERO(7);
      TN_AMX_INT8(7, 1, 3);
    }
    TN_AMX_STORE(4, sums[0][u], TN_WORD_BYTES);
    if (wide) TN_AMX_STORE(5, sums[1][u], TN_WORD_BYTES);
    if (tall) TN_AMX_STORE(6, sums[2][u], TN_WORD_BYTES);
    if (tall && wide) TN_AMX_STORE(7, sums[3][u], TN_WORD_BYTES);
  }
}

/* c[m][16] += the chain over units of sums, scales of w and of x (TN_CHUNK_GROUPS a row). */
INLINE void add_scaled(const int32_t m, const int32_t halves, const bool minima, float *c,
                       int64_t ldc, unit_sums *sums, const tn_int_panel *p, int32_t first,
                       int32_t count, const float *x_scale, const float *x_sum) {
  __m512 total[ROWS];
#pragma GCC unroll 16
  for (int32_t r = 0; r < m; r++) total[r] = _mm512_loadu_ps(c + r * ldc);
  for (int32_t u = 0; u < count; u++) {
    int32_t g = (first + u) / halves;
    __m512 scale = _mm512_loadu_ps(p->scale[first + u]);
#pragma GCC unroll 16
    for (int32_t r = 0; r < m; r++)
      total[r] = _mm512_fmadd_ps(
          _mm512_cvtepi32_ps(_mm512_loadu_si512(sums[u][r])),
          _mm512_mul_ps(scale, _mm512_set1_ps(x_scale[r * TN_CHUNK_GROUPS + g])), total[r]);
    if (!minima) continue;
    __m512 minimum = _mm512_loadu_ps(p->minimum[g]);
#pragma GCC unroll 16
    for (int32_t r = 0; r < m; r++)
      total[r] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(x_sum[r * TN_CHUNK_GROUPS + g]), total[r]);
  }
#pragma GCC unroll 16
  for (int32_t r = 0; r < m; r++) _mm512_storeu_ps(c + r * ldc, total[r]);
}

/* One tile's m rows. */
INLINE void scale_tile(const int32_t halves, const bool minima, int64_t m, float *c, int64_t ldc,
                       unit_sums *sums, const tn_int_panel *p, int32_t first, int32_t count,
                       const float *x_scale, const float *x_sum) {
  if (m >= ROWS) {
    add_scaled(ROWS, halves, minima, c, ldc, sums, p, first, count, x_scale, x_sum);
    return;
  }
  for (int64_t r = 0; r < m; r++)
    add_scaled(1, halves, minima, c + r * ldc, ldc, (unit_sums *)(sums[0] + r), p, first, count,
               x_scale + r * TN_CHUNK_GROUPS, x_sum + (minima ? r * TN_CHUNK_GROUPS : 0));
}

INLINE void tiles_body(const int32_t halves, const bool minima, const bool tall, const bool wide,
                       float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                       const tn_int_panel *p) {
  _Alignas(64) unit_sums sums[4][UNITS];
  const int8_t *q = x->q + at * TN_CHUNK;
  const float *scale = x->scale + at * TN_CHUNK_GROUPS;
  const float *sum = minima ? x->sum + at * TN_CHUNK_GROUPS : NULL;
  int32_t units = p->groups * halves;
  for (int32_t first = 0; first < units; first += UNITS) {
    int32_t count = units - first < UNITS ? units - first : UNITS;
    multiply_units(halves, tall, wide, sums, q, p, first, count);
    for (int32_t t = 0; t < 4; t++) {
      int32_t row = t / 2 * ROWS, panel = t % 2;
      if ((row && !tall) || (panel && !wide)) continue;
      scale_tile(halves, minima, m - row, c + row * ldc + panel * TN_PANEL_ROWS, ldc, sums[t],
                 p + panel, first, count, scale + row * TN_CHUNK_GROUPS,
                 minima ? sum + row * TN_CHUNK_GROUPS : NULL);
    }
  }
}

#define TILES(halves, minima, wide)                              \
  if (m > ROWS)                                                  \
    tiles_body(halves, minima, true, wide, c, ldc, m, x, at, p); \
  else                                                           \
    tiles_body(halves, minima, false, wide, c, ldc, m, x, at, p);

static void tile(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                 const tn_int_panel *p, const tn_panel_format *f) {
  if (x->starts == 2) {
    TILES(2, false, false)
  } else if (x->sum) {
    TILES(1, true, false)
  } else {
    TILES(1, false, false)
  }
}

static void pair(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                 const tn_int_panel *p, const tn_panel_format *f) {
  if (x->starts == 2) {
    TILES(2, false, true)
  } else if (x->sum) {
    TILES(1, true, true)
  } else {
    TILES(1, false, true)
  }
}

static void enter(const tn_panel_format *f) {
  static const tn_amx_shapes group = TN_AMX_SHAPES(8), half = TN_AMX_SHAPES(4);
  if (f->scale_group == 16)
    TN_AMX_SET(half);
  else
    TN_AMX_SET(group);
}

static void leave(void) {
  TN_AMX_DROP();
}

const tn_linear_isa tn_linear_amx = {.tile_rows = 2 * ROWS,
                                     .zero_of_bytes = ZERO_OF_BYTES,
                                     .centred = true,
                                     .blocks = true,
                                     .quantize = quantize,
                                     .expand = expand_centred,
                                     .tile = tile,
                                     .pair = pair,
                                     .enter = enter,
                                     .leave = leave};

static tn_status linear(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  if (tn_linear_takes_pairs(args) && args->x.shape[1] % 32 == 0)
    return tn_linear_pairs(&tn_pairs_amx, stream, args, err);
  if (!tn_linear_takes_int(args)) return tn_cpu_rows_avx512bf16.linear(stream, args, err);
  const tn_linear_isa *isa = args->x.shape[0] <= FEW_ROWS ? &tn_linear_avx512vnni : &tn_linear_amx;
  return tn_linear_int(isa, stream, args, err);
}
const tn_ops tn_cpu_rows_amx = {.linear = linear};
#else
const tn_linear_isa tn_linear_amx = {0};
const tn_ops tn_cpu_rows_amx = {0};
#endif
