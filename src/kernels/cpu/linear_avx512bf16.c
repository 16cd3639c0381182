/* Products with packed bfloat16 weights, AVX-512 BF16: one VDPBF16PS after the other over pairs of
 * k. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_pairs.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#define INLINE      static inline __attribute__((always_inline))
#define TILE_ROWS   12 /* by two panels: 24 sums of 32 registers */
#define FEW_ROWS    4  /* up to here four panels together hide the latency of a chain */
#define BLOCK_ROWS  252
#define CHUNK_PAIRS 256 /* of K: two panels take 32 KiB */

static int64_t min64(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static void round_floats(uint16_t *out, const float *x, int64_t K) {
  int64_t k = 0;
  for (; k + 16 <= K; k += 16)
    _mm256_storeu_si256((void *)(out + k), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + k)));
  for (; k < K; k++) out[k] = tn_f32_to_bf16(x[k]);
}

/* c[m][16 together] += rows of x, pairs of K, by panels that lie panel_bytes apart. */
INLINE void tile_body(const int32_t m, const int32_t together, float *c, const uint32_t *x,
                      int64_t x_row, const uint8_t *w, int64_t panel_bytes, int64_t pairs) {
  __m512 sum[TILE_ROWS * 2];
#pragma GCC unroll 24
  for (int32_t i = 0; i < m * together; i++)
    sum[i] = _mm512_loadu_ps(c + i / together * TN_PAIRS_WIDTH + i % together * TN_PANEL_ROWS);
  for (int64_t k = 0; k < pairs; k++, w += TN_PAIR_BYTES) {
    __m512bh weights[4];
#pragma GCC unroll 4
    for (int32_t p = 0; p < together; p++)
      weights[p] = (__m512bh)_mm512_loadu_si512(w + p * panel_bytes);
#pragma GCC unroll 12
    for (int32_t r = 0; r < m; r++) {
      __m512bh xr = (__m512bh)_mm512_set1_epi32((int32_t)x[r * x_row + k]);
#pragma GCC unroll 4
      for (int32_t p = 0; p < together; p++)
        sum[r * together + p] = _mm512_dpbf16_ps(sum[r * together + p], weights[p], xr);
    }
  }
#pragma GCC unroll 24
  for (int32_t i = 0; i < m * together; i++)
    _mm512_storeu_ps(c + i / together * TN_PAIRS_WIDTH + i % together * TN_PANEL_ROWS, sum[i]);
}

#define TILE_CASE(m)                                       \
  case m:                                                  \
    if (together == 4 && m <= FEW_ROWS)                    \
      tile_body(m, 4, c, x, x_row, w, panel_bytes, pairs); \
    else if (together == 2)                                \
      tile_body(m, 2, c, x, x_row, w, panel_bytes, pairs); \
    else                                                   \
      tile_body(m, 1, c, x, x_row, w, panel_bytes, pairs); \
    break;

static void tile(int64_t m, int64_t together, float *c, const uint32_t *x, int64_t x_row,
                 const uint8_t *w, int64_t panel_bytes, int64_t pairs) {
  switch (m) {
    TILE_CASE(1)
    TILE_CASE(2)
    TILE_CASE(3)
    TILE_CASE(4)
    TILE_CASE(5)
    TILE_CASE(6)
    TILE_CASE(7)
    TILE_CASE(8)
    TILE_CASE(9)
    TILE_CASE(10)
    TILE_CASE(11)
    TILE_CASE(12)
  }
}

static void multiply(float *sums, const tn_pair_rows *x, int64_t row, int64_t rows,
                     const uint8_t *panel, int64_t panel_bytes, int64_t count) {
  int64_t chunk = rows <= FEW_ROWS ? x->pairs : CHUNK_PAIRS; /* few rows: one stream a panel */
  int64_t step = rows <= FEW_ROWS && count == 4 ? 4 : 2;
  memset(sums, 0, (size_t)(rows * TN_PAIRS_WIDTH) * sizeof *sums);
  for (int64_t k = 0; k < x->pairs; k += chunk) {
    int64_t pairs = min64(chunk, x->pairs - k);
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
      for (int64_t p = 0; p < count; p += step)
        tile(min64(TILE_ROWS, rows - r), min64(step, count - p),
             sums + r * TN_PAIRS_WIDTH + p * TN_PANEL_ROWS, x->x + (row + r) * x->pairs + k,
             x->pairs, panel + p * panel_bytes + k * TN_PAIR_BYTES, panel_bytes, pairs);
  }
}

static const tn_pairs_isa pairs_isa = {
    .block_rows = BLOCK_ROWS, .row_step = 1, .round = round_floats, .multiply = multiply};

static tn_status no_integers(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  if (!tn_linear_takes_pairs(args)) return tn_cpu_rows_avx512vnni.linear(stream, args, err);
  return tn_linear_pairs(&pairs_isa, stream, args, err);
}

static tn_status many(tn_stream *stream, const tn_linear_args *args, int32_t count, tn_error *err) {
  return tn_linear_each(&tn_linear_avx512vnni, no_integers, stream, args, count, err);
}
TN_LINEAR_FUNCTIONS(many)
const tn_ops tn_cpu_rows_avx512bf16 = {TN_LINEAR_ROWS};
#else
const tn_ops tn_cpu_rows_avx512bf16 = {0};
#endif
