/* bench_kernels - each row of ops.def against what this machine can do, measured in the same run.
 *
 *     bench_kernels [--threads N] [--isa avx2|avx512|ref] [--op NAME] [--sizes TEXT] [--seconds S]
 *
 * A product is measured against the rate of independent fused multiply-adds in registers,
 * everything else against a plain loop over as many bytes: a sum where a row writes next to
 * nothing, an addition in place where it mostly updates, else a copy.  So what fits in a cache is
 * held to that cache's speed.  With one thread the clock is that thread's CPU time, so other
 * programs on the machine do not show; with more it is the wall's, best of many.  The last line is
 * JSON. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "kernels/ops.h"

#define TENSORS_MAX 12

/* Sizes by name; a training step of 12 sequences of 128 tokens of a model of width 384, then
 * decoding.
 */
static const struct bench_case {
  tn_op_id op;
  const char *sizes;
  tn_dtype weights; /* of w, table and caches, and of cast's result */
} cases[] = {
    {TN_OP_linear, "M=1536 N=384 K=384", TN_F32},
    {TN_OP_linear, "M=1536 N=1024 K=384", TN_F32},
    {TN_OP_linear, "M=1536 N=384 K=1024", TN_F32},
    {TN_OP_linear, "M=1536 N=4096 K=384", TN_F32},
    {TN_OP_linear, "M=1024 N=1536 K=1536", TN_F32},
    {TN_OP_linear, "M=512 N=512 K=512", TN_F32},
    {TN_OP_linear_backward_input, "M=1536 N=1024 K=384", TN_F32},
    {TN_OP_linear_backward_input, "M=1536 N=4096 K=384", TN_F32},
    {TN_OP_linear_backward_weight, "M=1536 N=1024 K=384", TN_F32},
    {TN_OP_linear_backward_weight, "M=1536 N=4096 K=384", TN_F32},
    {TN_OP_linear, "M=768 N=128 K=128", TN_F32},
    {TN_OP_linear, "M=1 N=4096 K=384", TN_F32},
    {TN_OP_linear, "M=1 N=1024 K=384", TN_BF16},
    {TN_OP_linear, "M=1 N=4096 K=4096", TN_F32},
    {TN_OP_linear, "M=1 N=4096 K=4096", TN_BF16},
    {TN_OP_linear, "M=4 N=4096 K=4096", TN_F32},
    {TN_OP_linear, "M=16 N=4096 K=4096", TN_BF16},
    {TN_OP_linear, "M=16 N=1024 K=384", TN_F32},
    {TN_OP_attention, "B=12 T=128 Hkv=6 G=1 D=64", TN_F32},
    {TN_OP_attention, "B=2 T=1024 Hkv=2 G=4 D=64", TN_F32},
    {TN_OP_attention_backward, "B=12 T=128 Hkv=6 G=1 D=64", TN_F32},
    {TN_OP_attention_backward, "B=2 T=1024 Hkv=2 G=4 D=64", TN_F32},
    {TN_OP_attention_paged, "R=16 Hkv=6 G=1 D=64 P=16 S=16 L=16 N=256", TN_F32},
    {TN_OP_attention_paged, "R=16 Hkv=2 G=4 D=64 P=16 S=16 L=128 N=2048", TN_F32},
    {TN_OP_attention_paged, "R=256 Hkv=6 G=1 D=64 P=16 S=1 L=16 N=16", TN_F32},
    {TN_OP_attention_paged, "R=512 Hkv=4 G=8 D=64 P=16 S=1 L=256 N=256", TN_BF16},
    {TN_OP_attention_paged, "R=1 Hkv=4 G=8 D=64 P=16 S=1 L=2048 N=2048", TN_F32},
    {TN_OP_attention_paged, "R=1 Hkv=4 G=8 D=64 P=16 S=1 L=2048 N=2048", TN_BF16},
    {TN_OP_attention_paged, "R=1 Hkv=4 G=8 D=64 P=16 S=1 L=2048 N=2048", TN_F16},
    {TN_OP_attention_paged, "R=1 Hkv=4 G=8 D=64 P=16 S=1 L=2048 N=2048", TN_I8},
    {TN_OP_attention_paged, "R=1 Hkv=4 G=8 D=64 P=16 S=1 L=2048 N=2048", TN_F8_E4M3},
    {TN_OP_attention_paged, "R=1 Hkv=8 G=4 D=128 P=16 S=1 L=512 N=512", TN_BF16},
    {TN_OP_attention_paged, "R=1 Hkv=32 G=1 D=128 P=16 S=1 L=512 N=512", TN_BF16},
    {TN_OP_attention_paged, "R=1 Hkv=32 G=1 D=128 P=16 S=1 L=512 N=512", TN_I8},
    {TN_OP_kv_write, "R=256 Hkv=6 P=16 D=64 N=64", TN_F32},
    {TN_OP_embed, "T=1536 C=384 V=4096", TN_F32},
    {TN_OP_embed_backward, "T=1536 C=384 V=4096", TN_F32},
    {TN_OP_rmsnorm, "T=1536 C=384", TN_F32},
    {TN_OP_rmsnorm_backward, "T=1536 C=384", TN_F32},
    {TN_OP_rope, "T=1536 H=6 D=64 P=128 Dr=64", TN_F32},
    {TN_OP_rope_backward, "T=1536 H=6 D=64 P=128 Dr=64", TN_F32},
    {TN_OP_glu, "T=1536 F=1024", TN_F32},
    {TN_OP_glu_backward, "T=1536 F=1024", TN_F32},
    {TN_OP_add, "n=589824", TN_F32},
    {TN_OP_cross_entropy, "T=1536 V=4096", TN_F32},
    {TN_OP_cross_entropy_backward, "T=1536 V=4096", TN_F32},
    {TN_OP_adamw, "n=10000000", TN_F32},
    {TN_OP_sum_squares, "n=40000000", TN_F32},
    {TN_OP_scale, "n=40000000", TN_F32},
    {TN_OP_fill, "n=40000000", TN_F32},
    {TN_OP_cast, "n=40000000", TN_BF16},
};

static struct {
  int32_t threads;
  const char *isa, *op, *sizes;
  double seconds; /* for each figure */
} options = {.seconds = 0.3};

static _Noreturn void die(const char *what, const tn_error *err) {
  fprintf(stderr, "bench_kernels: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
  exit(1);
}

/* ---- clock: the best of many ---- */

static double now_s(void) {
  struct timespec t;
  clock_gettime(options.threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef void (*work_fn)(void *context);

static double best_s(work_fn fn, void *context) {
  double best = INFINITY, spent = 0;
  for (int32_t i = 0; i < 3 || spent < options.seconds; i++) {
    double start = now_s();
    fn(context);
    double took = now_s() - start;
    spent += took;
    best = took < best ? took : best;
  }
  return best;
}

/* ---- the machine's limits ---- */

#define FMA_ROUNDS 200000
#define FMA_CHAINS 12
static volatile float fma_inputs[2] = {0.999f, 1e-3f}; /* so that nothing is known before the run */
static float fma_results[256][16]; /* a worker each: so that all lanes are used */

#define FMA_LOOP(lanes)                                                                        \
  typedef float vector __attribute__((vector_size(4 * lanes)));                                \
  vector sum[FMA_CHAINS], a = {0}, b = {0};                                                    \
  a += fma_inputs[0];                                                                          \
  b += fma_inputs[1];                                                                          \
  for (int32_t i = 0; i < FMA_CHAINS; i++) sum[i] = b + (float)i;                              \
  for (int32_t r = 0; r < FMA_ROUNDS; r++)                                                     \
    _Pragma("GCC unroll 12") for (int32_t i = 0; i < FMA_CHAINS; i++) sum[i] = sum[i] * a + b; \
  for (int32_t i = 1; i < FMA_CHAINS; i++) sum[0] += sum[i];                                   \
  memcpy(fma_results[worker % 256], &sum[0], sizeof sum[0]);

#if defined(__x86_64__)
__attribute__((target("arch=x86-64-v4"))) static void fma_avx512(void *context, int64_t item,
                                                                 int32_t worker) {
  FMA_LOOP(16)
}
__attribute__((target("arch=x86-64-v3"))) static void fma_avx2(void *context, int64_t item,
                                                               int32_t worker) {
  FMA_LOOP(8)
}
#endif
static void fma_plain(void *context, int64_t item, int32_t worker) {
  FMA_LOOP(4)
}

typedef struct machine {
  tn_pool *pool;
  char *bytes; /* for copies and sums */
  size_t size;
  tn_pool_fn fma;
  double lanes;
  double peak_flops;
} machine;

static void run_fma(void *context) {
  machine *m = context;
  tn_pool_run(m->pool, options.threads, m->fma, m);
}

static void measure_peak(machine *m) {
  m->fma = fma_plain;
  m->lanes = 4;
#if defined(__x86_64__)
  if (tn_ops_cpu("avx2")) m->fma = fma_avx2, m->lanes = 8;
  if (tn_ops_cpu("avx512")) m->fma = fma_avx512, m->lanes = 16;
#endif
  double flops = 2.0 * m->lanes * FMA_CHAINS * FMA_ROUNDS * options.threads;
  m->peak_flops = flops / best_s(run_fma, m);
}

typedef enum traffic_kind { READ, COPY, UPDATE, FILL } traffic_kind;
static const char *const traffic_names[] = {"read", "copy", "update", "fill"};

typedef struct traffic {
  machine *m;
  int64_t bytes; /* read and written in all */
  traffic_kind kind;
  uint64_t sums[256];
} traffic;

/* From where a piece is read; a copy is written behind that. */
static int64_t traffic_span(const traffic *t) {
  return t->kind == READ ? t->bytes : t->bytes / 2;
}

#define PIECE_BYTES 65536

static void move_piece(void *context, int64_t item, int32_t worker) {
  traffic *t = context;
  int64_t span = traffic_span(t), at = item * PIECE_BYTES;
  int64_t n = span - at < PIECE_BYTES ? span - at : PIECE_BYTES;
  uint64_t *words = (uint64_t *)(t->m->bytes + at), sum[8] = {0};
  if (t->kind == COPY) {
    memcpy(t->m->bytes + span + at, words, (size_t)n);
  } else if (t->kind == FILL) {
    for (int64_t i = 0; i < n / 8; i++) words[i] = (uint64_t)at;
  } else if (t->kind == UPDATE) {
    for (int64_t i = 0; i < n / 8; i++) words[i] += 1;
  } else {
    for (int64_t i = 0; i + 8 <= n / 8; i += 8)
      for (int32_t j = 0; j < 8; j++) sum[j] += words[i + j];
    for (int32_t j = 0; j < 8; j++) t->sums[worker % 256] += sum[j];
  }
}

static void run_traffic(void *context) {
  traffic *t = context;
  tn_pool_run(t->m->pool, (traffic_span(t) + PIECE_BYTES - 1) / PIECE_BYTES, move_piece, t);
}

/* Bytes a second, read and written together. */
static double measure_traffic(machine *m, int64_t bytes, traffic_kind kind) {
  if ((size_t)bytes > m->size) bytes = (int64_t)m->size;
  if (bytes < 16384) bytes = 16384; /* less is call overhead */
  traffic t = {.m = m, .bytes = bytes / 128 * 128, .kind = kind};
  return (double)t.bytes / best_s(run_traffic, &t);
}

/* ---- a call from a case ---- */

typedef struct bench_call {
  const struct bench_case *c;
  const tn_op_info *info;
  const tn_ops *ops;
  tn_stream *stream;
  _Alignas(16) char args[2048];
  tn_buffer *buffers[TENSORS_MAX];
  double read_bytes, written_bytes, updated_bytes; /* updated: of those written, in place */
} bench_call;

static int64_t size_named(const char *sizes, tn_str name) {
  for (tn_str rest = tn_str_of(sizes); rest.length > 0;) {
    tn_str item = tn_str_cut(&rest, ' '), key = tn_str_cut(&item, '=');
    int64_t value;
    if (tn_str_equal(key, name) && tn_str_to_i64(item, &value)) return value;
  }
  return 1; /* "one" */
}

static int32_t shape_of(const char *dims, const char *sizes, int64_t *shape) {
  int32_t rank = 0;
  for (tn_str rest = tn_str_of(dims); rest.length > 0; rank++) {
    tn_str dim = tn_str_cut(&rest, ' ');
    shape[rank] = 1;
    while (dim.length > 0) shape[rank] *= size_named(sizes, tn_str_cut(&dim, '*'));
  }
  return rank;
}

static tn_tensor *tensor_at(bench_call *b, int32_t i) {
  return (tn_tensor *)(b->args + b->info->tensors[i].offset);
}

/* Indices that suit every row: rows of sequence r mod S at its last tokens, each sequence with its
 * own blocks, other indices spread over what they point into. */
static void fill_index(bench_call *b, const char *name, tn_tensor *t) {
  const char *sizes = b->c->sizes;
  int32_t *values = tn_tensor_data(t);
  int64_t count = tn_tensor_count(t), S = size_named(sizes, TN_STR("S"));
  int64_t L = size_named(sizes, TN_STR("L")), P = size_named(sizes, TN_STR("P"));
  int64_t R = size_named(sizes, TN_STR("R")), limit = size_named(sizes, TN_STR("V"));
  if (strcmp(name, "positions") == 0) limit = P;
  for (int64_t i = 0; i < count; i++) {
    values[i] = (int32_t)tn_random_below(1, 2, (uint64_t)i, (uint64_t)limit);
    if (strcmp(name, "slots") == 0 || strcmp(name, "block_table") == 0) values[i] = (int32_t)i;
    if (strcmp(name, "row_sequence") == 0) values[i] = (int32_t)(i % S);
    if (strcmp(name, "row_position") == 0)
      values[i] = (int32_t)(S == 1 ? L * P - R + i : L * P - 1);
  }
}

static bool is_weights(tn_op_id op, const char *name) {
  return strcmp(name, "w") == 0 || (strcmp(name, "y") == 0 && op == TN_OP_cast) ||
         strcmp(name, "table") == 0 || strstr(name, "_cache") != NULL;
}

static void make_tensor(bench_call *b, int32_t i) {
  const tn_op_tensor_info *info = &b->info->tensors[i];
  int64_t shape[TN_RANK_MAX];
  int32_t rank = shape_of(info->dims, b->c->sizes, shape);
  tn_dtype dtype = info->kind == TN_KIND_INDEX        ? TN_I32
                   : is_weights(b->c->op, info->name) ? b->c->weights
                                                      : TN_F32;
  int64_t bytes = tn_dtype_bytes(dtype);
  for (int32_t d = 0; d < rank; d++) bytes *= shape[d];
  tn_error err;
  tn_tensor *t = tensor_at(b, i);
  if (info->kind == TN_KIND_SCALE && tn_dtype_is_real(b->c->weights)) return;
  if (tn_buffer_new(&b->buffers[i], (size_t)bytes, &err)) die(b->info->name, &err);
  if (tn_tensor_view(t, b->buffers[i], 0, dtype, rank, shape, &err)) die(b->info->name, &err);
  int64_t count = tn_tensor_count(t);
  if (info->kind == TN_KIND_INDEX)
    fill_index(b, info->name, t);
  else
    for (int64_t j = 0; j < count; j++)
      tn_element_set(t->buffer->data, dtype, j, 0.1 + tn_random_f64(3, (uint64_t)i, (uint64_t)j));
  if (info->role != TN_ROLE_OUT) b->read_bytes += (double)bytes;
  if (info->role != TN_ROLE_IN) b->written_bytes += (double)bytes;
  if (info->role == TN_ROLE_ACC || info->role == TN_ROLE_MOD) b->updated_bytes += (double)bytes;
}

static void set_scalars(bench_call *b) {
  for (int32_t i = 0; i < b->info->scalar_count; i++) {
    const tn_op_scalar_info *s = &b->info->scalars[i];
    if (strcmp(s->type, "float") == 0)
      *(float *)(b->args + s->offset) = (float)s->example;
    else
      *(int32_t *)(b->args + s->offset) = (int32_t)s->example;
  }
}

static void open_call(bench_call *b) {
  b->info = tn_op_describe(b->c->op);
  set_scalars(b);
  for (int32_t i = 0; i < b->info->tensor_count; i++) make_tensor(b, i);
  /* gathers touch the rows they name, not the whole table */
  double rows = (double)tn_tensor_bytes(tensor_at(b, 0));
  if (b->c->op == TN_OP_embed) b->read_bytes = rows;
  if (b->c->op == TN_OP_embed_backward) {
    double touched = (double)tn_tensor_bytes(tensor_at(b, 1));
    b->read_bytes = 2 * touched;
    b->written_bytes = b->updated_bytes = touched;
  }
  if (b->c->op == TN_OP_kv_write) {
    const tn_kv_write_args *a = (const void *)b->args;
    b->read_bytes = (double)(tn_tensor_bytes(&a->k) + tn_tensor_bytes(&a->v));
    b->written_bytes = b->read_bytes;
    b->updated_bytes = 0;
  }
}

static void close_call(bench_call *b) {
  for (int32_t i = 0; i < b->info->tensor_count; i++) tn_buffer_drop(b->buffers[i]);
}

static void run_call(void *context) {
  bench_call *b = context;
  const void *args = b->args;
  tn_error err = {0};
  tn_status status = TN_OK;
  switch (b->c->op) {
#define TN_GRAD(forward, backward)
#define TN_OP(name, summary, tensors, scalars)    \
  case TN_OP_##name:                              \
    status = b->ops->name(b->stream, args, &err); \
    break;
#include "kernels/ops.def"
#undef TN_OP
#undef TN_GRAD
    case TN_OP_COUNT:
      break;
  }
  if (status) die(b->info->name, &err);
}

/* Multiplications and additions of a product, 0 for rows that are bound by memory. */
static double flops_of(const struct bench_case *c) {
#define N(name) ((double)size_named(c->sizes, TN_STR(name)))
  double T = N("T"), heads = N("Hkv") * N("G"), D = N("D");
  switch (c->op) {
    case TN_OP_linear:
      return N("M") < 12 ? 0 : 2 * N("M") * N("N") * N("K");
    case TN_OP_linear_backward_input:
    case TN_OP_linear_backward_weight:
      return 2 * N("M") * N("N") * N("K");
    case TN_OP_attention:
      return 4 * N("B") * heads * D * T * (T + 1) / 2;
    case TN_OP_attention_backward:
      return 10 * N("B") * heads * D * T * (T + 1) / 2;
    case TN_OP_attention_paged: /* one sequence of many rows is a product, many of one row are not
                                 */
      return N("S") > 1 || N("R") == 1
                 ? 0
                 : 4 * heads * D * N("R") * (N("L") * N("P") - (N("R") - 1) / 2);
    default:
      return 0;
  }
#undef N
}

/* ---- report ---- */

static void report(machine *m, bench_call *b, tn_json_writer *w) {
  double seconds = best_s(run_call, b), flops = flops_of(b->c);
  double bytes = b->read_bytes + b->written_bytes;
  traffic_kind kind = b->read_bytes == 0                          ? FILL
                      : b->written_bytes < 0.1 * b->read_bytes    ? READ
                      : b->updated_bytes > 0.5 * b->written_bytes ? UPDATE
                                                                  : COPY;
  double limit = flops > 0 ? m->peak_flops : measure_traffic(m, (int64_t)bytes, kind);
  double rate = (flops > 0 ? flops : bytes) / seconds;
  const char *unit = flops > 0 ? "GFLOP/s" : "GB/s";
  const char *weights = b->c->weights == TN_F32 ? "" : tn_dtype_safetensors_name(b->c->weights);
  printf("%-23s %-43s %-5s %9.1f us %8.1f %-7s %5.0f %% of %6.1f (%s)\n", b->info->name,
         b->c->sizes, weights, 1e6 * seconds, 1e-9 * rate, unit, 100 * rate / limit, 1e-9 * limit,
         flops > 0 ? "fma" : traffic_names[kind]);
  fflush(stdout);
  tn_json_begin_object(w);
  tn_json_key(w, "op"), tn_json_cstr(w, b->info->name);
  tn_json_key(w, "sizes"), tn_json_cstr(w, b->c->sizes);
  tn_json_key(w, "weights"), tn_json_cstr(w, tn_dtype_name(b->c->weights));
  tn_json_key(w, "seconds"), tn_json_f64(w, seconds);
  tn_json_key(w, flops > 0 ? "flops_per_s" : "bytes_per_s"), tn_json_f64(w, rate);
  tn_json_key(w, "limit_per_s"), tn_json_f64(w, limit);
  tn_json_key(w, "share"), tn_json_f64(w, rate / limit);
  tn_json_end_object(w);
}

static void usage(void) {
  die("usage: bench_kernels [--threads N] [--isa NAME] [--op NAME] [--sizes TEXT] [--seconds S]",
      NULL);
}

static void read_options(int argc, char **argv) {
  for (int i = 1; i < argc; i += 2) {
    const char *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (!value) usage();
    int64_t threads;
    if (strcmp(argv[i], "--threads") == 0 && tn_str_to_i64(tn_str_of(value), &threads))
      options.threads = (int32_t)threads;
    else if (strcmp(argv[i], "--isa") == 0)
      options.isa = value;
    else if (strcmp(argv[i], "--op") == 0)
      options.op = value;
    else if (strcmp(argv[i], "--sizes") == 0)
      options.sizes = value;
    else if (strcmp(argv[i], "--seconds") != 0 ||
             !tn_str_to_f64(tn_str_of(value), &options.seconds))
      usage();
  }
}

static const tn_ops *choose_rows(void) {
  if (!options.isa) options.isa = tn_op_source(tn_device_cpu(), TN_OP_linear);
  const tn_ops *ops = strcmp(options.isa, "ref") == 0 ? tn_ops_ref() : tn_ops_cpu(options.isa);
  if (!ops) die("this machine does not have that instruction set", NULL);
  return ops;
}

int main(int argc, char **argv) {
  tn_error err;
  read_options(argc, argv);
  machine m = {.size = (size_t)256 << 20};
  const tn_ops *ops = choose_rows();
  tn_stream *stream;
  if (tn_pool_new(&m.pool, options.threads, &err)) die("pool", &err);
  options.threads = tn_pool_threads(m.pool);
  if (tn_stream_open(tn_device_cpu(), m.pool, &stream, &err)) die("stream", &err);
  m.bytes = tn_alloc_aligned(m.size);
  if (!m.bytes) die("out of memory", NULL);
  memset(m.bytes, 1, m.size); /* pages of its own, not the zero page */
  measure_peak(&m);
  double read = measure_traffic(&m, (int64_t)m.size, READ);
  double copy = measure_traffic(&m, (int64_t)m.size, COPY);
  printf(
      "rows: %s, threads: %d; this machine: %.1f GFLOP/s fused multiply-add (float32), memory %.1f "
      "GB/s read, %.1f GB/s copy\n",
      options.isa, (int)options.threads, 1e-9 * m.peak_flops, 1e-9 * read, 1e-9 * copy);
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_json_begin_object(&w);
  tn_json_key(&w, "bench"), tn_json_cstr(&w, "kernels");
  tn_json_key(&w, "rows"), tn_json_cstr(&w, options.isa);
  tn_json_key(&w, "threads"), tn_json_i64(&w, options.threads);
  tn_json_key(&w, "peak_flops"), tn_json_f64(&w, m.peak_flops);
  tn_json_key(&w, "read_bytes_per_s"), tn_json_f64(&w, read);
  tn_json_key(&w, "copy_bytes_per_s"), tn_json_f64(&w, copy);
  tn_json_key(&w, "results");
  tn_json_begin_array(&w);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    bench_call b = {.c = &cases[i], .ops = ops, .stream = stream};
    if (options.op && strcmp(options.op, tn_op_describe(b.c->op)->name) != 0) continue;
    if (options.sizes && !strstr(b.c->sizes, options.sizes)) continue;
    open_call(&b);
    report(&m, &b, &w);
    close_call(&b);
  }
  tn_json_end_array(&w);
  tn_json_end_object(&w);
  if (tn_strbuf_check(&text, &err)) die("report", &err);
  printf("%s\n", text.data);
  tn_strbuf_clear(&text);
  tn_free(m.bytes);
  tn_stream_close(stream);
  tn_pool_free(m.pool);
  return 0;
}
