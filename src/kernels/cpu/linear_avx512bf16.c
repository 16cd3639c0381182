/* Products with packed bfloat16 weights, AVX-512 BF16: pairs of x and w, both bfloat16, multiplied
 * and added to float32 in one instruction.
 *
 *     y[m, n] = one chain of VDPBF16PS over pairs of k, rising from zero, x rounded to bfloat16
 *
 * x loses what bfloat16 does not hold, as in every engine that multiplies bfloat16 by bfloat16; so
 * weights in rows, which training uses, keep the exact products of gemm.inc.  The chain is the same
 * for every row, tile and thread, so a row has the same bits alone and in any batch. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#define INLINE      static inline __attribute__((always_inline))
#define TILE_ROWS   12 /* by two panels: 24 sums of 32 registers */
#define PASS_PANELS 4  /* share a pass over x */
#define FEW_ROWS    4  /* up to here four panels together hide the latency of a chain */
#define BLOCK_ROWS  252
#define CHUNK_PAIRS 256 /* of K: two panels take 32 KiB */
#define PAIR_BYTES  (4 * TN_PANEL_ROWS)
#define WIDTH       (PASS_PANELS * TN_PANEL_ROWS)
#define X_BYTES     (8 << 20) /* of x in bfloat16 */

typedef struct job {
  const tn_linear_args *args;
  const uint8_t *w;
  int64_t panel_bytes, M, N, K, pairs, panels;
  int64_t first, rows, column_items; /* of this pass */
  uint32_t *x;                       /* [rows][pairs], bfloat16 twice */
  float *sums;                       /* worker by worker: [BLOCK_ROWS][WIDTH] */
} job;

static int64_t min64(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static int64_t max64(int64_t a, int64_t b) {
  return a > b ? a : b;
}
static int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* ---- x ---- */

static float float_at(const void *data, tn_dtype dtype, int64_t i) {
  if (dtype == TN_F32) return ((const float *)data)[i];
  uint16_t half = ((const uint16_t *)data)[i];
  return dtype == TN_F16 ? tn_f16_to_f32(half) : tn_bf16_to_f32(half);
}

static void round_row(void *context, int64_t row, int32_t worker) {
  const job *j = context;
  const tn_tensor *x = &j->args->x;
  const void *data = tn_tensor_data(x);
  int64_t at = (j->first + row) * j->K, k = 0;
  uint16_t *out = (uint16_t *)(void *)(j->x + row * j->pairs);
  out[2 * j->pairs - 1] = 0; /* the partner of an odd last one */
  if (x->dtype == TN_F32) {
    const float *from = (const float *)data + at;
    for (; k + 16 <= j->K; k += 16)
      _mm256_storeu_si256((void *)(out + k),
                          (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + k)));
  }
  for (; k < j->K; k++) out[k] = tn_f32_to_bf16(float_at(data, x->dtype, at + k));
}

/* ---- tiles ---- */

/* c[m][16 together] += rows of x, pairs of K, by panels that lie panel_bytes apart. */
INLINE void tile_body(const int32_t m, const int32_t together, float *c, const uint32_t *x,
                      int64_t x_row, const uint8_t *w, int64_t panel_bytes, int64_t pairs) {
  __m512 sum[TILE_ROWS * 2];
#pragma GCC unroll 24
  for (int32_t i = 0; i < m * together; i++)
    sum[i] = _mm512_loadu_ps(c + i / together * WIDTH + i % together * TN_PANEL_ROWS);
  for (int64_t k = 0; k < pairs; k++, w += PAIR_BYTES) {
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
    _mm512_storeu_ps(c + i / together * WIDTH + i % together * TN_PANEL_ROWS, sum[i]);
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

/* ---- items: four panels by a block of rows ---- */

static void multiply(const job *j, float *sums, int64_t panel, int64_t count, int64_t row,
                     int64_t rows) {
  int64_t chunk = rows <= FEW_ROWS ? j->pairs : CHUNK_PAIRS; /* few rows: one stream a panel */
  int64_t step = rows <= FEW_ROWS && count == 4 ? 4 : 2;
  memset(sums, 0, (size_t)(rows * WIDTH) * sizeof *sums);
  for (int64_t k = 0; k < j->pairs; k += chunk) {
    int64_t pairs = min64(chunk, j->pairs - k);
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
      for (int64_t p = 0; p < count; p += step)
        tile(min64(TILE_ROWS, rows - r), min64(step, count - p),
             sums + r * WIDTH + p * TN_PANEL_ROWS, j->x + (row + r) * j->pairs + k, j->pairs,
             j->w + (panel + p) * j->panel_bytes + k * PAIR_BYTES, j->panel_bytes, pairs);
  }
}

static void store(const job *j, int64_t at, const float *sums, int64_t count) {
  const tn_tensor *y = &j->args->y;
  void *data = tn_tensor_data(y);
  for (int64_t i = 0; i < count; i++) {
    float sum = j->args->accumulate ? float_at(data, y->dtype, at + i) + sums[i] : sums[i];
    if (y->dtype == TN_F32)
      ((float *)data)[at + i] = sum;
    else
      ((uint16_t *)data)[at + i] = y->dtype == TN_F16 ? tn_f32_to_f16(sum) : tn_f32_to_bf16(sum);
  }
}

static void run_item(void *context, int64_t item, int32_t worker) {
  const job *j = context;
  float *sums = j->sums + worker * BLOCK_ROWS * WIDTH;
  int64_t row = item / j->column_items * BLOCK_ROWS, rows = min64(BLOCK_ROWS, j->rows - row);
  int64_t panel = item % j->column_items * PASS_PANELS;
  int64_t count = min64(PASS_PANELS, j->panels - panel), col = panel * TN_PANEL_ROWS;
  multiply(j, sums, panel, count, row, rows);
  for (int64_t r = 0; r < rows; r++)
    store(j, (j->first + row + r) * j->N + col, sums + r * WIDTH,
          min64(count * TN_PANEL_ROWS, j->N - col));
}

/* ---- the call ---- */

static void run_pass(const job *base, tn_stream *stream, int64_t first, int64_t rows) {
  job j = *base;
  j.first = first;
  j.rows = rows;
  j.column_items = ceil_div(j.panels, PASS_PANELS);
  /* waking threads pays from about 20 microseconds of work */
  tn_pool *pool = (2 * rows + 6) * j.N * j.K < 2000000 ? NULL : stream->pool;
  tn_pool_run(rows * j.K < 200000 ? NULL : stream->pool, rows, round_row, &j);
  tn_pool_run(pool, ceil_div(rows, BLOCK_ROWS) * j.column_items, run_item, &j);
}

static tn_status linear_bf16(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  job j = {.args = args,
           .w = tn_tensor_data(&args->w),
           .M = args->x.shape[0],
           .N = args->w.shape[0],
           .K = args->x.shape[1],
           .pairs = ceil_div(args->x.shape[1], 2),
           .panels = ceil_div(args->w.shape[0], TN_PANEL_ROWS),
           .panel_bytes = tn_pack_bytes(TN_BF16, 1, args->x.shape[1])};
  int64_t rows = min64(j.M, max64(1, X_BYTES / (4 * j.pairs)));
  int64_t sums = tn_pool_threads(stream->pool) * BLOCK_ROWS * WIDTH;
  void *room;
  TN_TRY(tn_stream_scratch(stream, (size_t)(sums + rows * j.pairs) * 4, &room, err));
  j.sums = room;
  j.x = (uint32_t *)room + sums;
  for (int64_t first = 0; first < j.M; first += rows)
    run_pass(&j, stream, first, min64(rows, j.M - first));
  return TN_OK;
}

static tn_status linear(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  bool doubles = args->x.dtype == TN_F64 || args->y.dtype == TN_F64;
  bool empty = args->x.shape[0] == 0 || args->w.shape[0] == 0 || args->x.shape[1] == 0;
  if (!args->w.layout || args->w.dtype != TN_BF16 || doubles || empty)
    return tn_cpu_rows_avx512vnni.linear(stream, args, err);
  return linear_bf16(stream, args, err);
}
const tn_ops tn_cpu_rows_avx512bf16 = {.linear = linear};
#else
const tn_ops tn_cpu_rows_avx512bf16 = {0};
#endif
