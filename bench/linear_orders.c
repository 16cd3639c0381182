/* linear_orders.c - what one order of accumulation costs, for bench_invariance.py.
 *
 *     linear_orders ours|free TYPE M N K THREADS
 *
 * `ours` runs the row linear, whose sums have the same order for every M; `free` is a product of
 * one row that sums as suits it best: weights in rows, read once, four vectors of sums along K
 * added at the end.  Answers each line of stdin with the seconds of one call, best of a few, as
 * JSON: {"wall": , "cpu": }; weights are packed as a model's are. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "tensor/quant.h"

#define LANES 16
#define CALLS 5

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES), aligned(2)));

typedef struct product {
  bool free_order;
  tn_dtype dtype;
  int64_t M, N, K;
  tn_buffer *x, *w, *packed, *y;
  tn_linear_args args;
  tn_pool *pool;
  tn_stream *stream;
  const tn_ops *ops;
} product;

static double seconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void fail(const char *what, const tn_error *err) {
  fprintf(stderr, "linear_orders: %s: %s\n", what, err->text);
  exit(1);
}

/* ---- a product of one row in any order ---- */

#define CLONES __attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512")))

static inline __attribute__((always_inline)) vf widened(const uint16_t *at) {
  return (vf)(__builtin_convertvector(*(const vh *)at, vu) << 16);
}

CLONES static float dot_f32(const float *x, const float *w, int64_t K) {
  vf sum[4] = {{0}};
  for (int64_t k = 0; k < K; k += 4 * LANES)
    for (int32_t j = 0; j < 4; j++)
      sum[j] += *(const vf *)(x + k + j * LANES) * *(const vf *)(w + k + j * LANES);
  vf all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float total = 0;
  for (int32_t i = 0; i < LANES; i++) total += all[i];
  return total;
}

CLONES static float dot_bf16(const float *x, const uint16_t *w, int64_t K) {
  vf sum[4] = {{0}};
  for (int64_t k = 0; k < K; k += 4 * LANES)
    for (int32_t j = 0; j < 4; j++)
      sum[j] += *(const vf *)(x + k + j * LANES) * widened(w + k + j * LANES);
  vf all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float total = 0;
  for (int32_t i = 0; i < LANES; i++) total += all[i];
  return total;
}

#define ROWS_AN_ITEM 64

static void rows_in_any_order(void *context, int64_t item, int32_t worker) {
  product *p = context;
  int64_t end = (item + 1) * ROWS_AN_ITEM < p->N ? (item + 1) * ROWS_AN_ITEM : p->N;
  float *y = p->y->data;
  for (int64_t n = item * ROWS_AN_ITEM; n < end; n++)
    y[n] = p->dtype == TN_F32 ? dot_f32(p->x->data, (const float *)p->w->data + n * p->K, p->K)
                              : dot_bf16(p->x->data, (const uint16_t *)p->w->data + n * p->K, p->K);
}

static void call(product *p) {
  tn_error err = {0};
  if (p->free_order)
    tn_pool_run(p->pool, (p->N + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM, rows_in_any_order, p);
  else if (p->ops->linear(p->stream, &p->args, &err))
    fail("linear", &err);
}

/* ---- the operands ---- */

static void fill(tn_buffer *into, tn_dtype dtype, int64_t count, uint64_t seed) {
  for (int64_t i = 0; i < count; i++)
    tn_element_set(into->data, dtype, i, tn_random_f64(3, seed, (uint64_t)i) - 0.5);
}

static tn_status view(tn_tensor *out, tn_buffer *buffer, tn_dtype dtype, int64_t rows, int64_t cols,
                      tn_error *err) {
  return tn_tensor_view(out, buffer, 0, dtype, 2, (int64_t[]){rows, cols}, err);
}

static tn_status make(product *p, tn_error *err) {
  int64_t w_bytes = tn_dtype_bytes_of(p->dtype, p->N * p->K);
  int64_t packed = tn_pack_bytes(p->dtype, p->N, p->K);
  TN_TRY(tn_buffer_new(&p->x, (size_t)(p->M * p->K) * 4, err));
  TN_TRY(tn_buffer_new(&p->y, (size_t)(p->M * p->N) * 4, err));
  TN_TRY(tn_pack_buffer_new(&p->w, (size_t)w_bytes, err));
  fill(p->x, TN_F32, p->M * p->K, 1);
  fill(p->w, p->dtype, p->N * p->K, 2);
  tn_linear_args *a = &p->args;
  TN_TRY(view(&a->x, p->x, TN_F32, p->M, p->K, err));
  TN_TRY(view(&a->y, p->y, TN_F32, p->M, p->N, err));
  TN_TRY(view(&a->w, p->w, p->dtype, p->N, p->K, err));
  if (packed <= 0 || p->free_order) return TN_OK;
  TN_TRY(tn_pack_buffer_new(&p->packed, (size_t)packed, err));
  tn_tensor rows = a->w;
  return tn_pack(&a->w, &rows, p->packed, 0, p->pool, err);
}

/* y of the first elements beside a sum in double precision: both sides must have computed it. */
static void check(product *p) {
  const float *x = p->x->data, *y = p->y->data;
  for (int64_t n = 0; n < 8 && n < p->N; n++) {
    double sum = 0;
    for (int64_t k = 0; k < p->K; k++)
      sum += (double)x[k] * tn_element_get(p->w->data, p->dtype, n * p->K + k);
    double off = sum - (double)y[n];
    if (off * off > 1e-4 * (1 + sum * sum)) {
      fprintf(stderr, "linear_orders: y[0, %d] is %g and not %g\n", (int)n, (double)y[n], sum);
      exit(1);
    }
  }
}

static int64_t number(const char *text) {
  int64_t value = 0;
  if (!tn_str_to_i64(tn_str_of(text), &value) || value < 1) {
    fprintf(stderr, "linear_orders: '%s' is not a size\n", text);
    exit(2);
  }
  return value;
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: linear_orders ours|free float32|bfloat16 M N K THREADS\n");
    return 2;
  }
  product p = {.free_order = strcmp(argv[1], "free") == 0,
               .dtype = strcmp(argv[2], "bfloat16") == 0 ? TN_BF16 : TN_F32,
               .M = number(argv[3]),
               .N = number(argv[4]),
               .K = number(argv[5])};
  tn_error err = {0};
  if (p.free_order && (p.M != 1 || p.K % (4 * LANES) != 0)) {
    fprintf(stderr, "linear_orders: free takes M = 1 and K in multiples of %d\n", 4 * LANES);
    return 2;
  }
  if (tn_pool_new(&p.pool, (int32_t)number(argv[6]), &err)) fail("threads", &err);
  if (tn_stream_open(tn_device_cpu(), p.pool, &p.stream, &err)) fail("stream", &err);
  p.ops = tn_ops_for(tn_device_cpu());
  if (make(&p, &err)) fail("operands", &err);
  call(&p);
  check(&p);
  printf("ready\n"), fflush(stdout);
  for (char line[64]; fgets(line, sizeof line, stdin);) {
    double wall = 1e9, cpu = 1e9;
    for (int32_t i = 0; i < CALLS; i++) {
      double w0 = seconds_of(CLOCK_MONOTONIC), c0 = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
      call(&p);
      double c = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - c0, w = seconds_of(CLOCK_MONOTONIC) - w0;
      if (w < wall) wall = w;
      if (c < cpu) cpu = c;
    }
    printf("{\"wall\": %.9f, \"cpu\": %.9f}\n", wall, cpu), fflush(stdout);
  }
  tn_buffer_drop(p.x), tn_buffer_drop(p.y), tn_buffer_drop(p.w), tn_buffer_drop(p.packed);
  tn_stream_close(p.stream);
  tn_pool_free(p.pool);
  return 0;
}
