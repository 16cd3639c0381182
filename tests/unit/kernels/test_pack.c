/* Packed weights and products with weights of integers: the same values and, on every instruction
 * set of a numerics (nibbles have two), in either layout, for any batch and number of threads, the
 * same bits. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"
#include "kernels/cpu/linear.h"
#include "kernels/pack.h"
#include "tensor/quant.h"

static const tn_dtype int_types[] = {TN_Q4_0,    TN_Q4_1,   TN_Q5_0,   TN_Q5_1,   TN_Q8_0,
                                     TN_Q4_K,    TN_Q5_K,   TN_Q6_K,   TN_I4_G32, TN_I4_G64,
                                     TN_I4_G128, TN_I8_G32, TN_I8_G128};
static const tn_dtype float_types[] = {TN_F32, TN_F16, TN_BF16, TN_F8_G32, TN_F8_G128};
#define FLOAT_TYPES ((int32_t)(sizeof float_types / sizeof float_types[0]))
#define INT_TYPES   ((int32_t)(sizeof int_types / sizeof int_types[0]))
static const char *const int_isas[] = {"plain",      "avx2",       "avx512", "plain_bytes",
                                       "avx512vnni", "avx512bf16", "amx"};
#define INT_ISAS    ((int32_t)(sizeof int_isas / sizeof int_isas[0]))
#define PLAIN_BYTES 3 /* from here on nibbles become bytes */
#define THREADS     3

static tn_pool *pool;

static int open_pool(void **state) {
  tn_error err = {0};
  if (tn_pool_new(&pool, THREADS, &err)) fail_msg("%s", err.text);
  return 0;
}
static int close_pool(void **state) {
  tn_pool_free(pool);
  return 0;
}

/* ---- random weights ---- */

static void put_half(uint8_t *at, double value) {
  uint16_t bits = tn_f32_to_f16((float)value);
  memcpy(at, &bits, 2);
}
static void put_float(uint8_t *at, double value) {
  float f = (float)value;
  memcpy(at, &f, 4);
}

/* Any bytes are integers of a block; its scales must be sensible numbers. */
static void fill_block(uint8_t *block, tn_dtype dtype) {
  for (int32_t i = 0; i < tn_dtype_bytes(dtype); i++) block[i] = (uint8_t)draw_below(256);
  switch (dtype) {
    case TN_Q4_0:
    case TN_Q5_0:
    case TN_Q8_0:
      put_half(block, 0.1 * draw_normal());
      break;
    case TN_Q6_K:
      put_half(block + 208, 0.01 * draw_normal());
      break;
    case TN_Q4_1:
    case TN_Q5_1:
    case TN_Q4_K:
    case TN_Q5_K:
      put_half(block, 0.1 * draw_normal());
      put_half(block + 2, 0.1 * draw_normal());
      break;
    case TN_F8_G32:
    case TN_F8_G128:
      put_float(block, 0.1 * draw_normal());
      for (int32_t i = 4; i < tn_dtype_bytes(dtype); i++) /* no NaN */
        block[i] = tn_f32_to_f8_e4m3((float)draw_normal());
      break;
    default:
      put_float(block, 0.1 * draw_normal());
      put_float(block + 4, draw_below(2) ? (double)draw(0, 15) : 8 + draw_normal());
  }
}

typedef struct weights {
  tn_buffer *rows_buffer, *packed_buffer;
  tn_tensor rows, packed;
} weights;

static void weights_init(weights *w, tn_dtype dtype, int64_t N, int64_t K) {
  tn_error err = {0};
  int64_t bytes = N * tn_dtype_bytes_of(dtype, K), packed = tn_pack_bytes(dtype, N, K);
  assert_true(packed > 0);
  if (tn_buffer_new(&w->rows_buffer, (size_t)bytes, &err)) fail_msg("%s", err.text);
  if (tn_tensor_view(&w->rows, w->rows_buffer, 0, dtype, 2, (int64_t[]){N, K}, &err))
    fail_msg("%s", err.text);
  if (tn_dtype_is_real(dtype)) {
    for (int64_t i = 0; i < N * K; i++) set(&w->rows, i, draw_normal());
  } else {
    uint8_t *block = w->rows_buffer->data;
    for (int64_t at = 0; at < bytes; at += tn_dtype_bytes(dtype)) fill_block(block + at, dtype);
  }
  /* one cache line behind is guarded */
  if (tn_pack_buffer_new(&w->packed_buffer, (size_t)packed + 64, &err)) fail_msg("%s", err.text);
  memset(w->packed_buffer->data, GUARD, w->packed_buffer->bytes);
  if (tn_pack(&w->packed, &w->rows, w->packed_buffer, 0, pool, &err)) fail_msg("%s", err.text);
  for (int32_t i = 0; i < 64; i++)
    assert_int_equal(((uint8_t *)w->packed_buffer->data)[packed + i], GUARD);
}

static void weights_clear(weights *w) {
  tn_buffer_drop(w->rows_buffer);
  tn_buffer_drop(w->packed_buffer);
}

static int64_t draw_k(tn_dtype dtype) {
  int64_t block = tn_dtype_block(dtype);
  return block * draw(1, block == 1 ? 600 : 1 + 800 / block);
}

/* ---- values ---- */

static float half_of(const uint8_t *at) {
  uint16_t bits;
  memcpy(&bits, at, 2);
  return tn_f16_to_f32(bits);
}

/* Scale and minimum of the block that holds an element: of types that have floats for them. */
static void scale_of(const tn_tensor *w, int64_t n, int64_t k, float *scale, float *minimum) {
  const uint8_t *block = (const uint8_t *)tn_tensor_data(w) +
                         n * tn_dtype_bytes_of(w->dtype, w->shape[1]) +
                         k / tn_dtype_block(w->dtype) * tn_dtype_bytes(w->dtype);
  *scale = half_of(block);
  *minimum = w->dtype == TN_Q4_1 || w->dtype == TN_Q5_1 ? half_of(block + 2) : 0;
  if (w->dtype < TN_I4_G32) return;
  float zero;
  memcpy(scale, block, 4);
  memcpy(&zero, block + 4, 4);
  *minimum = -*scale * zero;
}

static double to_unit(float value, float largest, float top) {
  return largest > 0 ? (double)(largest / top) * (double)rintf(value * (top / largest)) : 0;
}

static bool has_bytes(tn_dtype dtype) {
  return dtype == TN_Q8_0 || dtype == TN_I8_G32 || dtype == TN_I8_G128;
}
static bool has_nibbles(tn_dtype dtype) {
  return dtype == TN_Q4_0 || dtype == TN_Q4_1 || dtype == TN_Q4_K || dtype == TN_I4_G32 ||
         dtype == TN_I4_G64 || dtype == TN_I4_G128;
}
static bool has_zero(tn_dtype dtype) {
  return dtype == TN_Q4_0 || dtype == TN_Q5_0;
}

/* The same where nibbles of a negative scale are turned; q, if not NULL, becomes what is packed. */
static void packed_scale_of(const tn_tensor *w, int64_t n, int64_t k, float *scale, float *minimum,
                            double *q) {
  scale_of(w, n, k, scale, minimum);
  if (q) *q = *scale != 0 ? rint(2 * (*q - (double)*minimum) / (double)*scale) / 2 : 0;
  if (has_zero(w->dtype) || has_bytes(w->dtype) || *scale >= 0) return;
  float top = w->dtype == TN_Q5_1 ? 31 : 15;
  if (q) *q = (double)top - *q;
  *minimum += top * *scale;
  *scale = -*scale;
}

/* What becomes of a scale: of bytes nothing, since they are rounded themselves. */
static double kept_scale(const tn_tensor *w, float scale, float most) {
  return has_bytes(w->dtype) ? (double)scale : to_unit(scale, most, has_zero(w->dtype) ? 127 : 255);
}

/* Largest scale of the chunk that holds an element. */
static float most_of(const tn_tensor *w, int64_t n, int64_t k) {
  int64_t K = w->shape[1], chunk = k / 256 * 256, end = chunk + 256 < K ? chunk + 256 : K;
  float scale, minimum, most = 0;
  for (int64_t i = chunk; i < end; i += 32) {
    packed_scale_of(w, n, i, &scale, &minimum, NULL);
    most = fmaxf(most, fabsf(scale));
  }
  return most;
}

/* The minimum that goes with the kept scale. */
static float minimum_of(const tn_tensor *w, int64_t n, int64_t k, float most) {
  float scale, minimum;
  packed_scale_of(w, n, k, &scale, &minimum, NULL);
  return scale > 0 ? minimum * ((float)kept_scale(w, scale, most) / scale) : minimum;
}

static double rounded_minimum(const tn_tensor *w, int64_t n, int64_t k) {
  int64_t K = w->shape[1], chunk = k / 256 * 256, end = chunk + 256 < K ? chunk + 256 : K;
  float most = most_of(w, n, k), lowest = 0;
  for (int64_t i = chunk; i < end; i += 32)
    lowest = fmaxf(lowest, fabsf(minimum_of(w, n, i, most)));
  return to_unit(minimum_of(w, n, k, most), lowest, 32767);
}

/* A weight as packing leaves it: scales and minima of a chunk are multiples of one unit; bytes are
 * multiples of the largest scale. */
static double rounded_weight(const tn_tensor *w, int64_t n, int64_t k) {
  float scale, minimum;
  double q = get(w, n * w->shape[1] + k);
  if (w->dtype == TN_Q4_K || w->dtype == TN_Q5_K || w->dtype == TN_Q6_K) return q;
  float most = most_of(w, n, k);
  double least = rounded_minimum(w, n, k);
  packed_scale_of(w, n, k, &scale, &minimum, &q);
  if (!has_bytes(w->dtype)) return kept_scale(w, scale, most) * q + least;
  float whole = most > 0 ? fminf(rintf((float)q * (scale / most)), 127) : 0;
  return (double)most * (double)whole + least;
}

/* Where nibbles become bytes: factor times integer in units of bytes, and what is apart. */
static double byte_weight(const tn_tensor *w, int64_t n, int64_t k) {
  bool k_quant = w->dtype == TN_Q4_K;
  int32_t zero = has_zero(w->dtype) ? 8 : 0, times = zero ? 2 : k_quant ? 4 : 1;
  double value = rounded_weight(w, n, k), least = 0, unit, factor, q;
  if (k_quant) {
    const uint8_t *block = (const uint8_t *)tn_tensor_data(w) +
                           n * tn_dtype_bytes_of(w->dtype, w->shape[1]) + k / 256 * 144;
    int32_t multiple, minimum;
    tn_quant_k_scale(block + 4, (int32_t)(k % 256 / 32), &multiple, &minimum);
    unit = (double)half_of(block);
    factor = multiple;
    least = -(double)half_of(block + 2) * minimum;
  } else {
    float scale, minimum, most = most_of(w, n, k);
    packed_scale_of(w, n, k, &scale, &minimum, NULL);
    unit = (double)most / (zero ? 127 : 255);
    factor = most > 0 ? rint(scale * ((zero ? 127 : 255) / most)) : 0;
    least = rounded_minimum(w, n, k);
  }
  if (unit == 0 || factor == 0) return least;
  q = rint((value - least) / (unit * factor));
  double byte = q * factor * times / 16;
  return unit * (16 / times) * (k % 2 ? ceil(byte - 0.5) : floor(byte + 0.5)) + least;
}

/* K-quants, floats: the very values. */
static bool is_kept(tn_dtype dtype, double packed, double value, double rounded) {
  bool exact = tn_dtype_is_real(dtype) || dtype == TN_F8_G32 || dtype == TN_F8_G128 ||
               (dtype >= TN_Q4_K && dtype <= TN_Q6_K);
  if (exact) return packed == (double)(float)value;
  return fabs(packed - rounded) <= 0x1p-20 * (fabs(rounded) + 16);
}

static void packing_rounds_as_it_says(void **state) {
  for (int32_t i = 0; i < INT_TYPES + FLOAT_TYPES; i++) {
    weights w;
    tn_dtype dtype = i < INT_TYPES ? int_types[i] : float_types[i - INT_TYPES];
    int64_t N = draw(1, 50), K = draw_k(dtype);
    weights_init(&w, dtype, N, K);
    float *row = tn_alloc((size_t)K, sizeof *row);
    assert_non_null(row);
    for (int64_t n = 0; n < N; n++) {
      tn_pack_row_to_f32(row, &w.packed, n);
      for (int64_t k = 0; k < K; k++)
        if (!is_kept(dtype, (double)row[k], get(&w.rows, n * K + k),
                     i < INT_TYPES ? rounded_weight(&w.rows, n, k) : 0))
          fail_msg("%s: element %d, %d is %.9g packed, %.9g in rows", tn_dtype_name(dtype), (int)n,
                   (int)k, (double)row[k], get(&w.rows, n * K + k));
    }
    tn_free(row);
    weights_clear(&w);
  }
}

static double as(tn_dtype dtype, float value) {
  return (double)(dtype == TN_F32 ? value : tn_bf16_to_f32(tn_f32_to_bf16(value)));
}

static void embed_reads_either_layout(void **state) {
  for (int32_t i = 0; i < INT_TYPES; i++)
    for (int32_t isa = 0; isa < INT_ISAS; isa++) {
      const tn_ops *ops = tn_ops_cpu(int_isas[isa]);
      if (!ops || isa > 2) continue; /* the others have rows of linear alone */
      weights w;
      int64_t N = draw(1, 50), K = draw_k(int_types[i]);
      weights_init(&w, int_types[i], N, K);
      call rows = {0}, packed;
      set_size(&rows, "V", N), set_size(&rows, "C", K);
      call_open(&rows, TN_OP_embed, SIZES_ODD, draw_below(2) ? TN_F32 : TN_BF16, NULL);
      call_copy(&packed, &rows, TN_DTYPE_COUNT);
      *call_named(&rows, "table") = w.rows;
      *call_named(&packed, "table") = w.packed;
      tn_stream *stream = open_stream(pool);
      call_must_run(ops, stream, &rows);
      call_must_run(ops, stream, &packed);
      const tn_tensor *a = call_named(&rows, "out"), *b = call_named(&packed, "out");
      const int32_t *ids = tn_tensor_data(call_named(&rows, "ids"));
      float *row = tn_alloc((size_t)K, sizeof *row);
      assert_non_null(row);
      for (int64_t j = 0; j < tn_tensor_count(a); j++) { /* rounded to float32 first */
        if (j % K == 0) tn_pack_row_to_f32(row, &w.packed, ids[j / K]);
        assert_true(get(a, j) == as(a->dtype, (float)get(&w.rows, ids[j / K] * K + j % K)));
        assert_true(get(b, j) == as(b->dtype, row[j % K]));
      }
      tn_free(row);
      assert_true(call_guards_hold(&packed));
      tn_stream_close(stream);
      call_close(&rows);
      call_close(&packed);
      weights_clear(&w);
    }
}

/* ---- products ---- */

/* A call of linear with weights of its own. */
static void open_product(call *c, weights *w, int64_t M, int64_t N, int64_t K, tn_dtype dtype,
                         tn_dtype (*pick)(void)) {
  *c = (call){0};
  set_size(c, "M", M), set_size(c, "N", N), set_size(c, "K", K);
  call_open(c, TN_OP_linear, SIZES_ODD, TN_F32, pick);
  weights_init(w, dtype, N, K);
  *call_named(c, "w") = w->rows;
  ((tn_linear_args *)(void *)c->args)->accumulate = (int32_t)draw_below(2);
}

static void close_product(call *c, weights *w) {
  call_close(c);
  weights_clear(w);
}

static tn_dtype pick_small(void) {
  static const tn_dtype types[] = {TN_F32, TN_BF16, TN_F16};
  return types[draw_below(3)];
}

/* Runs a copy of c with w in the given layout; returns y's bytes, to be freed by the caller. */
static void *run_product(const char *isa, call *c, const tn_tensor *w, int32_t threads) {
  call run;
  const tn_ops *ops = strcmp(isa, "ref") == 0 ? tn_ops_ref() : tn_ops_cpu(isa);
  tn_tensor rows = *call_named(c, "w");
  call_tensor(c, 2)[0] = *w;
  run = *c;
  const tn_tensor *old = call_named(c, "y");
  make_tensor(&run, 0, old->dtype, old->rank, old->shape);
  size_t bytes = (size_t)tn_tensor_bytes(old);
  memcpy(tn_tensor_data(call_tensor(&run, 0)), tn_tensor_data(old), bytes);
  tn_stream *stream = open_stream(threads > 1 ? pool : NULL);
  call_must_run(ops, stream, &run);
  tn_stream_close(stream);
  void *y = tn_alloc(bytes, 1);
  assert_non_null(y);
  memcpy(y, tn_tensor_data(call_tensor(&run, 0)), bytes);
  const uint8_t *all = run.buffers[0]->data;
  for (size_t i = 0; i < GUARD_BYTES; i++)
    assert_true(all[i] == GUARD && all[run.buffers[0]->bytes - 1 - i] == GUARD);
  tn_buffer_drop(run.buffers[0]);
  call_tensor(c, 2)[0] = rows;
  return y;
}

static void assert_bits(const call *c, const void *a, const void *b, size_t bytes, const char *isa,
                        const char *what, tn_dtype dtype) {
  if (memcmp(a, b, bytes) == 0) return;
  const tn_linear_args *args = (const void *)c->args;
  fail_msg("%s, %s weights [%d, %d], %d rows: %s has other bits", isa, tn_dtype_name(dtype),
           (int)args->w.shape[0], (int)args->w.shape[1], (int)args->x.shape[0], what);
}

static void every_set_and_layout_has_the_same_bits(void **state) {
  for (int32_t round = 0; round < 4; round++)
    for (int32_t i = 0; i < INT_TYPES; i++) {
      call c;
      weights w;
      open_product(&c, &w, round == 0 ? 1 : draw(1, 60), draw(1, 130), draw_k(int_types[i]),
                   int_types[i], pick_small);
      size_t bytes = (size_t)tn_tensor_bytes(call_named(&c, "y"));
      void *wants[] = {run_product("plain", &c, &w.rows, 1),
                       run_product("plain_bytes", &c, &w.rows, 1)};
      for (int32_t isa = 0; isa < INT_ISAS; isa++) {
        const void *want = wants[isa >= PLAIN_BYTES];
        if (!tn_ops_cpu(int_isas[isa])) continue;
        for (int32_t threads = 1; threads <= THREADS; threads += THREADS - 1)
          for (int32_t packed = 0; packed < 2; packed++) {
            void *y = run_product(int_isas[isa], &c, packed ? &w.packed : &w.rows, threads);
            assert_bits(&c, want, y, bytes, int_isas[isa], packed ? "packed" : "in rows",
                        int_types[i]);
            tn_free(y);
          }
      }
      tn_free(wants[0]);
      tn_free(wants[1]);
      close_product(&c, &w);
    }
}

/* Panels give the bits of rows; ref/ says that they are right. */
static void floats_too(void **state) {
  for (int32_t round = 0; round < 24; round++)
    for (int32_t i = 0; i < FLOAT_TYPES; i++) {
      call c;
      weights w;
      int64_t M = round < 9 ? round + 1 : draw(1, 60), N = draw(1, 130), K = draw_k(float_types[i]);
      open_product(&c, &w, M, N, K, float_types[i], pick_small);
      const tn_tensor *y = call_named(&c, "y");
      tn_tensor truth = *y, x64 = *call_named(&c, "x");
      size_t bytes = (size_t)tn_tensor_bytes(y);
      void *want = run_product("ref", &c, &w.rows, 1);
      for (int32_t isa = 0; isa < INT_ISAS; isa++) {
        if (!tn_ops_cpu(int_isas[isa])) continue;
        void *rows = run_product(int_isas[isa], &c, &w.rows, 1);
        void *packed = run_product(int_isas[isa], &c, &w.packed, 1 + (int32_t)draw_below(2) * 2);
        /* AVX-512 BF16 rounds x where both are bfloat16: 2^-9 of each product at most */
        bool rounds = float_types[i] == TN_BF16 && (strcmp(int_isas[isa], "avx512bf16") == 0 ||
                                                    strcmp(int_isas[isa], "amx") == 0);
        double slack = (rounds ? 0x1p-9 : 0x1p-20) * sqrt((double)x64.shape[1]) * 8;
        if (isa > 0 && isa != PLAIN_BYTES && !rounds)
          assert_bits(&c, rows, packed, bytes, int_isas[isa], "packed", float_types[i]);
        for (int64_t j = 0; j < M * N; j++) {
          double a = tn_element_get(packed, truth.dtype, j),
                 b = tn_element_get(want, truth.dtype, j);
          double unit = truth.dtype == TN_BF16 ? 0x1p-7 : truth.dtype == TN_F16 ? 0x1p-10 : 0x1p-20;
          if (fabs(a - b) > unit * fabs(b) + slack)
            fail_msg("%s %s: y[%d] is %.9g, wants %.9g", int_isas[isa],
                     tn_dtype_name(float_types[i]), (int)j, a, b);
        }
        tn_free(rows);
        tn_free(packed);
      }
      tn_free(want);
      close_product(&c, &w);
    }
}

/* ---- several passes over x ---- */

/* So long that a pass takes 8 rows; the last pass takes one. */
static void passes_have_the_same_bits(void **state) {
  static const tn_dtype types[] = {TN_Q4_0, TN_Q6_K};
  for (int32_t i = 0; i < 2; i++) {
    call c;
    weights w;
    open_product(&c, &w, 9, 3, 1 << 20, types[i], NULL);
    size_t bytes = (size_t)tn_tensor_bytes(call_named(&c, "y"));
    void *wants[] = {run_product("plain", &c, &w.packed, THREADS),
                     run_product("plain_bytes", &c, &w.packed, THREADS)};
    for (int32_t isa = 1; isa < INT_ISAS; isa++) {
      if (!tn_ops_cpu(int_isas[isa]) || isa == PLAIN_BYTES) continue;
      void *y = run_product(int_isas[isa], &c, &w.packed, THREADS);
      assert_bits(&c, wants[isa >= PLAIN_BYTES], y, bytes, int_isas[isa], "in passes", types[i]);
      tn_free(y);
    }
    tn_free(wants[0]);
    tn_free(wants[1]);
    close_product(&c, &w);
  }
}

static int32_t few_calls, few_without_wide;

static void count_few(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t groups,
                      const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype) {
  few_calls++;
  few_without_wide += !x->wide;
}

/* Whoever takes few rows finds them wide, whatever the passes. */
static void few_rows_are_wide(void **state) {
  tn_linear_isa isa = tn_linear_plain_bytes;
  isa.few_rows = 8;
  isa.few_wide = true;
  isa.few = count_few;
  for (int64_t M = 8; M <= 9; M++) {
    call c;
    weights w;
    tn_error err = {0};
    open_product(&c, &w, M, 3, 1 << 20, TN_Q4_0, NULL);
    tn_linear_args args = *(tn_linear_args *)(void *)c.args;
    args.w = w.packed;
    tn_stream *stream = open_stream(NULL);
    few_calls = few_without_wide = 0;
    if (tn_linear_int(&isa, stream, &args, 1, &err)) fail_msg("%s", err.text);
    assert_int_equal(few_calls > 0, M <= 8);
    assert_int_equal(few_without_wide, 0);
    tn_stream_close(stream);
    close_product(&c, &w);
  }
}

/* ---- weights that share x ---- */

#define SHARED_MAX 3

typedef struct shared {
  call call;
  int32_t count;
  weights w[SHARED_MAX];
} shared;

/* Weights of any types, packed or in rows, that a call of linear_pair or linear_triple reads. */
static void open_shared(shared *s, int64_t M) {
  static const char *const sizes[] = {"N0", "N1", "N2"}, *const names[] = {"w0", "w1", "w2"};
  *s = (shared){.count = (int32_t)draw(2, SHARED_MAX)};
  int64_t K = 256 * draw(1, 4);
  set_size(&s->call, "M", M), set_size(&s->call, "K", K);
  for (int32_t i = 0; i < s->count; i++) set_size(&s->call, sizes[i], draw(1, 300));
  call_open(&s->call, s->count == 2 ? TN_OP_linear_pair : TN_OP_linear_triple, SIZES_ODD, TN_F32,
            pick_small);
  int32_t first = (int32_t)draw_below(INT_TYPES + FLOAT_TYPES);
  for (int32_t i = 0; i < s->count; i++) {
    tn_tensor *w = call_named(&s->call, names[i]);
    int32_t type = draw_below(2) ? first : (int32_t)draw_below(INT_TYPES + FLOAT_TYPES);
    weights_init(&s->w[i], type < INT_TYPES ? int_types[type] : float_types[type - INT_TYPES],
                 w->shape[0], K);
    *w = draw_below(4) ? s->w[i].packed : s->w[i].rows;
  }
}

static void close_shared(shared *s) {
  call_close(&s->call);
  for (int32_t i = 0; i < s->count; i++) weights_clear(&s->w[i]);
}

/* y of product i, by linear alone */
static void run_alone(const tn_ops *ops, tn_stream *stream, shared *s, int32_t i) {
  static const char *const ys[] = {"y0", "y1", "y2"}, *const ws[] = {"w0", "w1", "w2"};
  tn_error err = {0};
  const tn_linear_args args = {.y = *call_named(&s->call, ys[i]),
                               .x = *call_named(&s->call, "x"),
                               .w = *call_named(&s->call, ws[i])};
  if (ops->linear(stream, &args, &err)) fail_msg("%s", err.text);
}

static void check_shared(const char *isa, shared *s, int32_t threads) {
  static const char *const ys[] = {"y0", "y1", "y2"};
  const tn_ops *ops = tn_ops_cpu(isa);
  tn_stream *stream = open_stream(threads > 1 ? pool : NULL);
  call_must_run(ops, stream, &s->call);
  for (int32_t i = 0; i < s->count; i++) {
    const tn_tensor *y = call_named(&s->call, ys[i]);
    size_t bytes = (size_t)tn_tensor_bytes(y);
    void *got = tn_alloc(bytes, 1);
    assert_non_null(got);
    memcpy(got, tn_tensor_data(y), bytes);
    memset(tn_tensor_data(y), 0x55, bytes);
    run_alone(ops, stream, s, i);
    if (memcmp(got, tn_tensor_data(y), bytes))
      fail_msg("%s, %d threads: product %d of %d (%s) has other bits than alone", isa, (int)threads,
               (int)i, (int)s->count, tn_dtype_name(s->w[i].rows.dtype));
    tn_free(got);
  }
  assert_true(call_guards_hold(&s->call));
  tn_stream_close(stream);
}

static void weights_that_share_x_give_the_bits_of_each(void **state) {
  for (int32_t round = 0; round < 60; round++) {
    shared s;
    open_shared(&s, round % 2 ? draw(1, 9) : draw(10, 70));
    for (int32_t isa = 0; isa < INT_ISAS; isa++)
      if (tn_ops_cpu(int_isas[isa]) && isa != PLAIN_BYTES) /* has linear alone */
        check_shared(int_isas[isa], &s, round % 3 ? THREADS : 1);
    close_shared(&s);
  }
}

/* Rows of x, times a power of two, again alone. */
static void check_rows_alone(tn_dtype dtype, const char *isa, const tn_ops *ops, double times) {
  call c;
  weights w;
  open_product(&c, &w, 512, draw(60, 90), 768, dtype, NULL);
  ((tn_linear_args *)(void *)c.args)->accumulate = 0;
  const tn_tensor *x = call_named(&c, "x"), *y = call_named(&c, "y");
  for (int64_t i = 0; i < tn_tensor_count(x); i++) set(x, i, get(x, i) * times);
  float *all = run_product(isa, &c, &w.packed, THREADS);
  tn_stream *stream = open_stream(NULL);
  static const int64_t batches[] = {1,  1,  1,  2,  3,  4,  5,  8,   9,
                                    15, 16, 17, 31, 32, 33, 64, 255, 257};
  for (size_t j = 0; j < sizeof batches / sizeof *batches; j++) {
    int64_t rows = batches[j], r = draw(0, 512 - rows), N = y->shape[1];
    tn_error err = {0};
    tn_linear_args alone = {
        .y = tn_tensor_rows(y, r, rows), .x = tn_tensor_rows(x, r, rows), .w = w.packed};
    if (ops->linear(stream, &alone, &err)) fail_msg("%s", err.text);
    assert_bits(&c, all + r * N, tn_tensor_data(&alone.y), (size_t)(rows * N) * sizeof *all, isa,
                "a row alone", dtype);
  }
  tn_stream_close(stream);
  tn_free(all);
  close_product(&c, &w);
}

/* Sizes beyond one block of rows and one pass of columns, each row again alone; and products that
 * are subnormal. */
static void a_row_is_the_same_in_any_batch(void **state) {
  for (int32_t i = 0; i < INT_TYPES + FLOAT_TYPES; i++)
    for (int32_t isa = 1; isa < INT_ISAS; isa++) {
      tn_dtype dtype = i < INT_TYPES ? int_types[i] : float_types[i - INT_TYPES];
      const tn_ops *ops = tn_ops_cpu(int_isas[isa]);
      if (!ops) continue;
      check_rows_alone(dtype, int_isas[isa], ops, 1);
      if (dtype == TN_BF16) check_rows_alone(dtype, int_isas[isa], ops, 0x1p-124);
    }
}

/* x as the kernels round it: a chunk's scale and integers, in double. */
static double rounded_x(const tn_tensor *x, int64_t row, int64_t k, double *half_step) {
  int64_t K = x->shape[1], chunk = k / 256 * 256, end = chunk + 256 < K ? chunk + 256 : K;
  float largest = 0;
  for (int64_t i = chunk; i < end; i++) largest = fmaxf(largest, fabsf((float)get(x, row * K + i)));
  float q = largest > 0 ? rintf((float)get(x, row * K + k) * (127 / largest)) : 0;
  *half_step = 0.5 * (double)(largest / 127) * 1.0001;
  return (double)(largest / 127) * (double)q;
}

/* Against x rounded to int8 and scales to integers, then exact: only float32 roundings of a sum of
 * chunks remain.  Against the exact product: what those two roundings make, besides. */
static void sums_are_exact_but_for_rounding(void **state) {
  for (int32_t i = 0; i < INT_TYPES; i++)
    for (int32_t isa = 0; isa < INT_ISAS; isa++) {
      if (!tn_ops_cpu(int_isas[isa])) continue;
      call c;
      weights w;
      int64_t M = 3, N = 21, K = draw_k(int_types[i]);
      open_product(&c, &w, M, N, K, int_types[i], NULL);
      ((tn_linear_args *)(void *)c.args)->accumulate = 0;
      const tn_tensor *x = call_named(&c, "x");
      float *y = run_product(int_isas[isa], &c, &w.packed, 1);
      for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
          double exact = 0, rounded = 0, terms = 0, steps = 0;
          for (int64_t k = 0; k < K; k++) {
            double half_step, q = rounded_x(x, m, k, &half_step);
            double weight = get(&w.rows, n * K + k);
            double taken = has_nibbles(int_types[i]) && isa >= PLAIN_BYTES
                               ? byte_weight(&w.rows, n, k)
                               : rounded_weight(&w.rows, n, k);
            exact += get(x, m * K + k) * weight;
            rounded += q * taken;
            /* scale q and minimum are summed apart, and are larger than their difference */
            terms += fabs(q) * (fabs(weight) + 12);
            steps += half_step * fabs(taken) + fabs(get(x, m * K + k) * (taken - weight));
          }
          double slack = (8 + sqrt((double)K)) * 0x1p-24 * terms;
          if (fabs((double)y[m * N + n] - rounded) > slack ||
              fabs((double)y[m * N + n] - exact) > slack + steps)
            fail_msg("%s, %s, K = %d: %.9g, rounded %.9g (within %.2g), exact %.9g (within %.2g)",
                     int_isas[isa], tn_dtype_name(int_types[i]), (int)K, (double)y[m * N + n],
                     rounded, slack, exact, slack + steps);
        }
      tn_free(y);
      close_product(&c, &w);
    }
}

/* The largest magnitudes everywhere: where a 16-bit sum would overflow, it does here. */
static void the_largest_integers_do_not_overflow(void **state) {
  for (int32_t i = 0; i < INT_TYPES; i++)
    for (int32_t isa = 0; isa < INT_ISAS; isa++)
      for (int32_t fill = 0; fill < 4; fill++) {
        if (!tn_ops_cpu(int_isas[isa])) continue;
        call c;
        weights w;
        int64_t N = 16, K = 256;
        open_product(&c, &w, 4, N, K, int_types[i], NULL);
        uint8_t *block = w.rows_buffer->data;
        size_t bytes = w.rows_buffer->bytes;
        memset(block, fill % 2 ? 0x80 : 0xff, bytes);
        if (int_types[i] == TN_I8_G32 || int_types[i] == TN_I8_G128 || int_types[i] == TN_Q8_0)
          memset(block, fill % 2 ? 0x80 : 0x7f, bytes);
        for (size_t at = 0; at < bytes; at += (size_t)tn_dtype_bytes(int_types[i])) {
          if (int_types[i] == TN_Q6_K) put_half(block + at + 208, 1);
          if (int_types[i] < TN_I4_G32 && int_types[i] != TN_Q6_K) put_half(block + at, 1);
          if (int_types[i] == TN_Q4_1 || int_types[i] == TN_Q5_1 || int_types[i] == TN_Q4_K ||
              int_types[i] == TN_Q5_K)
            put_half(block + at + 2, 1);
          if (int_types[i] >= TN_I4_G32) put_float(block + at, 1), put_float(block + at + 4, 0);
        }
        tn_error err = {0};
        if (tn_pack(&w.packed, &w.rows, w.packed_buffer, 0, NULL, &err)) fail_msg("%s", err.text);
        const tn_tensor *x = call_named(&c, "x");
        for (int64_t k = 0; k < 4 * K; k++) set(x, k, fill / 2 ? -127 : 127);
        ((tn_linear_args *)(void *)c.args)->accumulate = 0;
        float *y = run_product(int_isas[isa], &c, &w.packed, 1);
        double want = 0, terms = 0, half = 0; /* of what nibbles are rounded to */
        if (isa >= PLAIN_BYTES && has_nibbles(int_types[i]))
          half = int_types[i] == TN_Q4_K ? 2 : 8.0 / 254;
        for (int64_t k = 0; k < K; k++) {
          want += get(x, k) * get(&w.rows, k);
          terms += 127 * (fabs(get(&w.rows, k)) + 63);
        }
        if (fabs((double)y[0] - want) > 0x1p-20 * terms + 127 * half * (double)K)
          fail_msg("%s, %s: %.9g, wants %.9g", int_isas[isa], tn_dtype_name(int_types[i]),
                   (double)y[0], want);
        tn_free(y);
        close_product(&c, &w);
      }
}

static void what_is_not_finite_shows(void **state) {
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int32_t isa = 0; isa < INT_ISAS; isa++)
    for (int32_t i = 0; i < 3; i++) {
      if (!tn_ops_cpu(int_isas[isa])) continue;
      call c;
      weights w;
      open_product(&c, &w, 2, 20, 96, TN_Q4_0, NULL);
      const tn_tensor *x = call_named(&c, "x");
      set(x, draw_below(96), (double)bad[i]);
      for (int64_t k = 96; k < 128; k++) set(x, k, 0x1p-140 * (double)k); /* tiny: zeros */
      float *y = run_product(int_isas[isa], &c, &w.packed, 1);
      for (int64_t n = 0; n < 20; n++) {
        assert_true(isnan(y[n]));
        assert_true(isfinite(y[20 + n]));
      }
      tn_free(y);
      close_product(&c, &w);
    }
}

/* ---- refusals ---- */

static void assert_refused(tn_status status, tn_status want, const tn_error *err,
                           const char *text) {
  if (status != want || !strstr(err->text, text))
    fail_msg("status %d, \"%s\"; wanted \"%s\"", (int)status, err->text, text);
}

static void wrong_packed_weights_are_refused(void **state) {
  tn_error err = {0};
  call c;
  weights w;
  tn_tensor t;
  const tn_ops *ops = tn_ops_for(tn_device_cpu());
  open_product(&c, &w, 2, 20, 64, TN_Q8_0, NULL);
  tn_linear_args args = *(tn_linear_args *)(void *)c.args;
  args.w = w.packed;
  tn_stream *stream = open_stream(NULL);
  assert_refused(tn_ops_ref()->linear(stream, &args, &err), TN_ERR_UNSUPPORTED, &err, "packed");
  args.w.layout = 7;
  assert_refused(ops->linear(stream, &args, &err), TN_ERR_ARGUMENT, &err, "layout 7");
  args.w = w.packed;
  args.w.offset_bytes = 1 << 20;
  assert_refused(ops->linear(stream, &args, &err), TN_ERR_ARGUMENT, &err, "past its buffer");
  args.w = w.packed;
  args.x.dtype = TN_F64;
  args.x.shape[0] = args.y.shape[0] = 1;
  assert_refused(ops->linear(stream, &args, &err), TN_ERR_UNSUPPORTED, &err, "float64");
  tn_linear_backward_input_args back = {.dx = args.y, .dy = args.y, .w = w.packed};
  assert_refused(ops->linear_backward_input(stream, &back, &err), TN_ERR_ARGUMENT, &err, "rows");
  assert_refused(tn_pack_view(&t, w.packed_buffer, 32, TN_Q8_0, 16, 32, &err), TN_ERR_ARGUMENT,
                 &err, "multiple of 64");
  assert_refused(tn_pack_view(&t, w.packed_buffer, 0, TN_Q8_0, 1 << 20, 64, &err), TN_ERR_ARGUMENT,
                 &err, "past their buffer");
  assert_refused(tn_pack_view(&t, w.packed_buffer, 0, TN_I64, 16, 32, &err), TN_ERR_ARGUMENT, &err,
                 "cannot be packed");
  assert_refused(tn_pack(&t, &w.packed, w.packed_buffer, 0, NULL, &err), TN_ERR_ARGUMENT, &err,
                 "in rows");
  assert_int_equal(tn_pack_bytes(TN_Q8_0, 16, 33), 0);
  assert_int_equal(tn_pack_bytes(TN_Q8_0, INT64_MAX, 1 << 20), -1);
  assert_int_equal(tn_pack_bytes(TN_Q8_0, -1, 32), -1);
  tn_stream_close(stream);
  close_product(&c, &w);
}

static void out_of_memory_is_an_ordinary_error(void **state) {
  tn_buffer *buffer = NULL;
  tn_error err = {0};
  for (int64_t n = 1; n <= 2; n++) {
    int64_t live = tn_alloc_live();
    tn_alloc_fail_at(n);
    assert_int_equal(tn_pack_buffer_new(&buffer, 1 << 22, &err), TN_ERR_MEMORY);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(packing_rounds_as_it_says, seed_setup),
      cmocka_unit_test_setup(embed_reads_either_layout, seed_setup),
      cmocka_unit_test_setup(every_set_and_layout_has_the_same_bits, seed_setup),
      cmocka_unit_test_setup(floats_too, seed_setup),
      cmocka_unit_test_setup(passes_have_the_same_bits, seed_setup),
      cmocka_unit_test_setup(few_rows_are_wide, seed_setup),
      cmocka_unit_test_setup(weights_that_share_x_give_the_bits_of_each, seed_setup),
      cmocka_unit_test_setup(a_row_is_the_same_in_any_batch, seed_setup),
      cmocka_unit_test_setup(sums_are_exact_but_for_rounding, seed_setup),
      cmocka_unit_test_setup(the_largest_integers_do_not_overflow, seed_setup),
      cmocka_unit_test_setup(what_is_not_finite_shows, seed_setup),
      cmocka_unit_test_setup(wrong_packed_weights_are_refused, seed_setup),
      cmocka_unit_test_setup(out_of_memory_is_an_ordinary_error, seed_setup),
  };
  return cmocka_run_group_tests(tests, open_pool, close_pool);
}
