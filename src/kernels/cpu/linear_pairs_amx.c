/* Products with packed bfloat16 weights, AMX: 16 rows of x by 16 of w by 32 of K an instruction.
 *
 *     y[m, n] = a chain over rising blocks of 32 from zero:  + (sum of the even k + sum of the odd)
 *
 * Each of the two is a chain of 16 fused multiply-adds from zero, with subnormals taken and given
 * as zeros (Intel's manual, TDPBF16PS).  One row runs through the same instructions as many do. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/linear_pairs.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#include "kernels/cpu/amx.h"

#define INLINE       static inline __attribute__((always_inline))
#define VECTOR_ROWS  2                             /* up to here vectors */
#define ROWS         16                            /* of a tile */
#define BLOCK_PAIRS  16                            /* of K: a tile's row is 64 bytes */
#define BLOCK_BYTES  (BLOCK_PAIRS * TN_PAIR_BYTES) /* of a panel */
#define CHUNK_BLOCKS 8                             /* four panels take 32 KiB */
#define AHEAD_BYTES  (2 * BLOCK_BYTES)
#define SUMS_STRIDE  (TN_PAIRS_WIDTH * 4)

static void round_floats(uint16_t *out, const float *x, int64_t K) {
  for (int64_t k = 0; k < K; k += 16)
    _mm256_storeu_si256((void *)(out + k), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + k)));
}

/* ---- very few rows: vectors, which wait for memory less than tiles do ---- */

INLINE __m512 even_of(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}
INLINE __m512 odd_of(__m512i pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int32_t)0xffff0000)));
}

/* sums of m rows by `together` panels over all of K: a tile's chains, one operation after the
 * other.  Subnormals are zeros here too: MXCSR says so. */
INLINE void multiply_rows(const int32_t m, const int32_t together, float *sums, const uint32_t *x,
                          int64_t x_rows, const uint8_t *panel, int64_t panel_bytes,
                          int64_t blocks) {
  __m512 total[VECTOR_ROWS * TN_PAIRS_PANELS];
#pragma GCC unroll 8
  for (int32_t i = 0; i < m * together; i++) total[i] = _mm512_setzero_ps();
  for (int64_t b = 0; b < blocks; b++, panel += BLOCK_BYTES, x += x_rows * BLOCK_PAIRS) {
    __m512 even[VECTOR_ROWS * TN_PAIRS_PANELS], odd[VECTOR_ROWS * TN_PAIRS_PANELS];
#pragma GCC unroll 8
    for (int32_t i = 0; i < m * together; i++) even[i] = odd[i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < BLOCK_PAIRS; k++)
#pragma GCC unroll 4
      for (int32_t p = 0; p < together; p++) {
        const uint8_t *from = panel + p * panel_bytes + k * TN_PAIR_BYTES;
        __m512i w = _mm512_loadu_si512(from);
        __builtin_prefetch(from + AHEAD_BYTES, 0, 3);
#pragma GCC unroll 2
        for (int32_t r = 0; r < m; r++) {
          __m512i xr = _mm512_set1_epi32((int32_t)x[r * BLOCK_PAIRS + k]);
          even[r * together + p] = _mm512_fmadd_ps(even_of(xr), even_of(w), even[r * together + p]);
          odd[r * together + p] = _mm512_fmadd_ps(odd_of(xr), odd_of(w), odd[r * together + p]);
        }
      }
#pragma GCC unroll 8
    for (int32_t i = 0; i < m * together; i++)
      total[i] = _mm512_add_ps(total[i], _mm512_add_ps(even[i], odd[i]));
  }
#pragma GCC unroll 8
  for (int32_t i = 0; i < m * together; i++)
    _mm512_storeu_ps(sums + i / together * TN_PAIRS_WIDTH + i % together * TN_PANEL_ROWS, total[i]);
}

static void multiply_vectors(float *sums, const tn_pair_rows *x, const uint8_t *panel,
                             int64_t panel_bytes, int64_t count) {
  const uint32_t subnormals_are_zeros = 0x8040, old = _mm_getcsr();
  int64_t blocks = x->pairs / BLOCK_PAIRS;
  _mm_setcsr(old | subnormals_are_zeros);
  if (count == 4 && x->rows == 1)
    multiply_rows(1, 4, sums, x->x, 1, panel, panel_bytes, blocks);
  else if (count == 4)
    multiply_rows(2, 4, sums, x->x, 2, panel, panel_bytes, blocks);
  else
    for (int64_t p = 0; p < count; p++, panel += panel_bytes, sums += TN_PANEL_ROWS) {
      if (x->rows == 1)
        multiply_rows(1, 1, sums, x->x, 1, panel, panel_bytes, blocks);
      else
        multiply_rows(2, 1, sums, x->x, 2, panel, panel_bytes, blocks);
    }
  _mm_setcsr(old);
}

/* ---- tiles ---- */

static void ask_ahead(const uint8_t *block, int64_t panel_bytes, int64_t count) {
  for (int64_t p = 0; p < count; p++)
    for (int32_t i = 0; i < BLOCK_BYTES; i += 64)
      __builtin_prefetch(block + p * panel_bytes + i + AHEAD_BYTES, 0, 3);
}

/* Up to 16 rows by four panels over all of K; x is the first piece's row. */
static void multiply_few(float *sums, const uint32_t *x, int64_t x_rows, const uint8_t *panel,
                         int64_t panel_bytes, int64_t count, int64_t blocks) {
  const uint8_t *w1 = panel + (count > 1 ? panel_bytes : 0);
  const uint8_t *w2 = panel + (count > 2 ? 2 * panel_bytes : 0);
  const uint8_t *w3 = panel + (count > 3 ? 3 * panel_bytes : 0);
  TN_AMX_ZERO(4);
  TN_AMX_ZERO(5);
  TN_AMX_ZERO(6);
  TN_AMX_ZERO(7);
  for (int64_t b = 0; b < blocks; b++) {
    int64_t at = b * BLOCK_BYTES;
    ask_ahead(panel + at, panel_bytes, count);
    TN_AMX_LOAD(0, x + b * x_rows * BLOCK_PAIRS, 64);
    TN_AMX_LOAD(1, panel + at, 64);
    TN_AMX_BF16(4, 0, 1);
    TN_AMX_LOAD(2, w1 + at, 64);
    TN_AMX_BF16(5, 0, 2);
    TN_AMX_LOAD(3, w2 + at, 64);
    TN_AMX_BF16(6, 0, 3);
    TN_AMX_LOAD(1, w3 + at, 64);
    TN_AMX_BF16(7, 0, 1);
  }
  TN_AMX_STORE(4, sums, SUMS_STRIDE);
  if (count > 1) TN_AMX_STORE(5, sums + TN_PANEL_ROWS, SUMS_STRIDE);
  if (count > 2) TN_AMX_STORE(6, sums + 2 * TN_PANEL_ROWS, SUMS_STRIDE);
  if (count > 3) TN_AMX_STORE(7, sums + 3 * TN_PANEL_ROWS, SUMS_STRIDE);
}

/* sums[16 or 32][32] of two panels (w1 == w0: of one) over some blocks, from zero or added. */
INLINE void multiply_square(const bool tall, float *sums, bool add, const uint32_t *x,
                            int64_t x_rows, const uint8_t *w0, const uint8_t *w1, int64_t blocks) {
  float *below = sums + ROWS * TN_PAIRS_WIDTH;
  bool wide = w1 != w0;
  TN_AMX_ZERO(4);
  TN_AMX_ZERO(5);
  TN_AMX_ZERO(6);
  TN_AMX_ZERO(7);
  if (add) {
    TN_AMX_LOAD(4, sums, SUMS_STRIDE);
    if (wide) TN_AMX_LOAD(5, sums + TN_PANEL_ROWS, SUMS_STRIDE);
    if (tall) TN_AMX_LOAD(6, below, SUMS_STRIDE);
    if (tall && wide) TN_AMX_LOAD(7, below + TN_PANEL_ROWS, SUMS_STRIDE);
  }
  for (int64_t b = 0; b < blocks; b++, x += x_rows * BLOCK_PAIRS) {
    TN_AMX_LOAD(0, x, 64);
    TN_AMX_LOAD(2, w0 + b * BLOCK_BYTES, 64);
    TN_AMX_LOAD(3, w1 + b * BLOCK_BYTES, 64);
    if (tall) TN_AMX_LOAD(1, x + ROWS * BLOCK_PAIRS, 64);
    TN_AMX_BF16(4, 0, 2);
    TN_AMX_BF16(5, 0, 3);
    if (tall) {
      TN_AMX_BF16(6, 1, 2);
      TN_AMX_BF16(7, 1, 3);
    }
  }
  TN_AMX_STORE(4, sums, SUMS_STRIDE);
  if (wide) TN_AMX_STORE(5, sums + TN_PANEL_ROWS, SUMS_STRIDE);
  if (tall) TN_AMX_STORE(6, below, SUMS_STRIDE);
  if (tall && wide) TN_AMX_STORE(7, below + TN_PANEL_ROWS, SUMS_STRIDE);
}

/* The next chunk of the panels: it comes while this one multiplies. */
static void ask_chunk(const uint8_t *chunk, int64_t panel_bytes, int64_t count, int64_t bytes) {
  for (int64_t p = 0; p < count; p++)
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(chunk + p * panel_bytes + i, 0, 2);
}

static void multiply_many(float *sums, const tn_pair_rows *x, int64_t row, int64_t rows,
                          const uint8_t *panel, int64_t panel_bytes, int64_t count) {
  int64_t blocks = x->pairs / BLOCK_PAIRS;
  for (int64_t b = 0; b < blocks; b += CHUNK_BLOCKS) {
    int64_t some = blocks - b < CHUNK_BLOCKS ? blocks - b : CHUNK_BLOCKS;
    const uint8_t *chunk = panel + b * BLOCK_BYTES;
    ask_chunk(chunk + CHUNK_BLOCKS * BLOCK_BYTES, panel_bytes, count, some * BLOCK_BYTES);
    for (int64_t r = 0; r < rows; r += 2 * ROWS)
      for (int64_t p = 0; p < count; p += 2) {
        const uint32_t *from = x->x + (b * x->rows + row + r) * BLOCK_PAIRS;
        float *to = sums + r * TN_PAIRS_WIDTH + p * TN_PANEL_ROWS;
        const uint8_t *w0 = chunk + p * panel_bytes, *w1 = p + 1 < count ? w0 + panel_bytes : w0;
        if (rows - r > ROWS)
          multiply_square(true, to, b > 0, from, x->rows, w0, w1, some);
        else
          multiply_square(false, to, b > 0, from, x->rows, w0, w1, some);
      }
  }
}

static void multiply(float *sums, const tn_pair_rows *x, int64_t row, int64_t rows,
                     const uint8_t *panel, int64_t panel_bytes, int64_t count) {
  tn_amx_shapes shapes = TN_AMX_SHAPES(BLOCK_PAIRS);
  if (x->rows <= VECTOR_ROWS) {
    multiply_vectors(sums, x, panel, panel_bytes, count);
    return;
  }
  if (x->rows >= ROWS) {
    TN_AMX_SET(shapes);
  } else { /* tiles of as many rows as there are */
    shapes.rows[0] = (uint8_t)x->rows;
    for (int32_t t = 4; t < 8; t++) shapes.rows[t] = (uint8_t)x->rows;
    TN_AMX_SET(shapes);
  }
  if (x->rows <= ROWS)
    multiply_few(sums, x->x, x->rows, panel, panel_bytes, count, x->pairs / BLOCK_PAIRS);
  else
    multiply_many(sums, x, row, rows, panel, panel_bytes, count);
  TN_AMX_DROP();
}

const tn_pairs_isa tn_pairs_amx = {.block_rows = TN_PAIRS_ROWS_MAX,
                                   .piece = BLOCK_PAIRS,
                                   .row_step = ROWS,
                                   .round = round_floats,
                                   .multiply = multiply};
#else
const tn_pairs_isa tn_pairs_amx = {0};
#endif
