/* The driver of products with packed bfloat16 weights. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/linear_pairs.h"

#include "kernels/cpu/cpu.h"

#define X_BYTES (8 << 20) /* of x in bfloat16 */

typedef struct job {
  const tn_pairs_isa *isa;
  const tn_linear_args *args;
  const uint8_t *w;
  int64_t panel_bytes, M, N, K, panels;
  int64_t first, rows, column_items; /* of this pass */
  tn_pair_rows x;
  uint32_t *rounded;
  float *room; /* worker by worker: sums, a row of x */
  int64_t room_floats;
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
static int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

/* ---- x ---- */

static float float_at(const void *data, tn_dtype dtype, int64_t i) {
  if (dtype == TN_F32) return ((const float *)data)[i];
  uint16_t half = ((const uint16_t *)data)[i];
  return dtype == TN_F16 ? tn_f16_to_f32(half) : tn_bf16_to_f32(half);
}

static void round_row(void *context, int64_t row, int32_t worker) {
  const job *j = context;
  const tn_tensor *t = &j->args->x;
  const void *data = tn_tensor_data(t);
  float *room = j->room + worker * j->room_floats + TN_PAIRS_ROWS_MAX * TN_PAIRS_WIDTH;
  const float *x = (const float *)data + (j->first + row) * j->K;
  if (t->dtype != TN_F32) {
    for (int64_t k = 0; k < j->K; k++)
      room[k] = float_at(data, t->dtype, (j->first + row) * j->K + k);
    x = room;
  }
  for (int64_t pair = 0; pair < j->x.pairs; pair += j->x.piece) {
    uint32_t *to = j->rounded + (pair / j->x.piece * j->x.rows + row) * j->x.piece;
    int64_t k = 2 * pair, count = min64(2 * j->x.piece, j->K - k);
    to[j->x.piece - 1] = 0; /* the partner of an odd last one */
    j->isa->round((uint16_t *)(void *)to, x + k, count);
  }
}

/* ---- items: four panels by a block of rows ---- */

static void store(const job *j, int64_t at, const float *sums, int64_t count) {
  const tn_tensor *y = &j->args->y;
  void *data = tn_tensor_data(y);
  if (y->dtype == TN_F32 && !j->args->accumulate) {
    memcpy((float *)data + at, sums, (size_t)count * sizeof *sums);
    return;
  }
  for (int64_t i = 0; i < count; i++) {
    float sum = j->args->accumulate ? float_at(data, y->dtype, at + i) + sums[i] : sums[i];
    if (y->dtype == TN_F32)
      ((float *)data)[at + i] = sum;
    else
      ((uint16_t *)data)[at + i] = y->dtype == TN_F16 ? tn_f32_to_f16(sum) : tn_f32_to_bf16(sum);
  }
}

static void run_item(const job *j, int64_t item, float *sums) {
  int64_t block = j->isa->block_rows, row = item / j->column_items * block;
  int64_t rows = min64(block, j->rows - row), panel = item % j->column_items * TN_PAIRS_PANELS;
  int64_t count = min64(TN_PAIRS_PANELS, j->panels - panel), col = panel * TN_PANEL_ROWS;
  j->isa->multiply(sums, &j->x, row, rows, j->w + panel * j->panel_bytes, j->panel_bytes, count);
  for (int64_t r = 0; r < rows; r++)
    store(j, (j->first + row + r) * j->N + col, sums + r * TN_PAIRS_WIDTH,
          min64(count * TN_PANEL_ROWS, j->N - col));
}

static void run_items(void *context, int64_t first, int64_t count, int32_t worker) {
  const job *j = context;
  for (int64_t i = 0; i < count; i++) run_item(j, first + i, j->room + worker * j->room_floats);
}

/* ---- the call ---- */

static int64_t rows_touched(const job *j, int64_t rows) {
  return rows <= j->isa->row_step ? rows : round_up(rows, j->isa->row_step);
}

static void run_pass(const job *base, tn_stream *stream, int64_t first, int64_t rows) {
  job j = *base;
  j.first = first;
  j.rows = rows;
  j.x.rows = rows_touched(&j, rows);
  j.column_items = ceil_div(j.panels, TN_PAIRS_PANELS);
  tn_pool *pool = tn_cpu_pool_for(stream, (2 * rows + 6) * j.N * j.K);
  tn_pool_run(rows * j.K < 200000 ? NULL : stream->pool, rows, round_row, &j);
  tn_pool_run_near(pool, ceil_div(rows, j.isa->block_rows) * j.column_items, (tn_pool_grain){1, 1},
                   run_items, &j);
}

tn_status tn_linear_pairs(const tn_pairs_isa *isa, tn_stream *stream, const tn_linear_args *args,
                          tn_error *err) {
  int64_t K = args->x.shape[1], pairs = ceil_div(K, 2);
  job j = {.isa = isa,
           .args = args,
           .w = tn_tensor_data(&args->w),
           .M = args->x.shape[0],
           .N = args->w.shape[0],
           .K = K,
           .panels = ceil_div(args->w.shape[0], TN_PANEL_ROWS),
           .panel_bytes = tn_pack_bytes(TN_BF16, 1, K),
           .x = {.pairs = pairs, .piece = isa->piece ? isa->piece : pairs},
           .room_floats = round_up(TN_PAIRS_ROWS_MAX * TN_PAIRS_WIDTH + K, 16)};
  /* one item's rows: more would lie between its pieces and crowd them into half the cache's sets */
  int64_t rows = min64(min64(j.M, isa->block_rows), max64(1, X_BYTES / (4 * pairs)));
  int64_t room = tn_pool_threads(stream->pool) * j.room_floats;
  int64_t words = rows_touched(&j, rows) * round_up(pairs, j.x.piece);
  void *scratch;
  TN_TRY(tn_stream_scratch(stream, (size_t)(room + words) * 4, &scratch, err));
  j.room = scratch;
  j.rounded = (uint32_t *)scratch + room;
  j.x.x = j.rounded;
  for (int64_t first = 0; first < j.M; first += rows)
    run_pass(&j, stream, first, min64(rows, j.M - first));
  return TN_OK;
}

bool tn_linear_takes_pairs(const tn_linear_args *args) {
  bool doubles = args->x.dtype == TN_F64 || args->y.dtype == TN_F64;
  bool empty = args->x.shape[0] == 0 || args->w.shape[0] == 0 || args->x.shape[1] == 0;
  return args->w.layout && args->w.dtype == TN_BF16 && !doubles && !empty;
}
