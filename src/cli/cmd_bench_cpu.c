/* cmd_bench_cpu.c - `tenon bench cpu`: each row of ops.def against what this machine can do,
 * measured in the same run.
 *
 * A product is measured against the rate of independent multiply-adds in registers, of the type
 * that its weights are multiplied in; everything else against a plain loop over as many bytes: a
 * sum where a row writes next to nothing, an addition in place where it mostly updates, else a
 * copy.  So what fits in a cache is held to that cache's speed.  With one thread the clock is that
 * thread's CPU time, so other programs on the machine do not show; with more it is the wall's, best
 * of many. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/random.h"
#include "cli/cli.h"
#include "kernels/ops.h"
#include "kernels/pack.h"
#include "kernels/peak.h"

int tn_cmd_bench_cpu(int argc, char **argv);

/* Sizes by name; a training step of 12 sequences of 128 tokens of a model of width 384, then
 * decoding, then packed weights of a model of 1.1 B parameters: one token against its head, and 32
 * and 512 rows against its feed-forward. */
static const struct bench_case {
  tn_op_id op;
  const char *sizes;
  tn_dtype weights; /* of w, table and caches, and of cast's result */
  bool packed;
} cases[] = {{TN_OP_linear, "M=1536 N=384 K=384", TN_F32},
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
             {TN_OP_kv_write, "R=256 Hkv=6 P=16 D=64 N=64", TN_F16},
             {TN_OP_kv_write, "R=256 Hkv=6 P=16 D=64 N=64", TN_I8},
             {TN_OP_kv_write, "R=256 Hkv=6 P=16 D=64 N=64", TN_F8_E4M3},
             {TN_OP_rope_kv_write, "R=256 Hkv=6 G=1 P=16 D=64 N=64 E=128 Dr=64", TN_F32},
             {TN_OP_rope_kv_write, "R=256 Hkv=6 G=1 P=16 D=64 N=64 E=128 Dr=64", TN_F16},
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
             {TN_OP_linear_triple, "M=1 N0=2048 N1=256 N2=256 K=2048", TN_Q4_0, .packed = true},
             {TN_OP_linear_triple, "M=32 N0=2048 N1=256 N2=256 K=2048", TN_Q4_0, .packed = true},
             {TN_OP_linear_pair, "M=1 N0=5632 N1=5632 K=2048", TN_Q4_0, .packed = true},
             {TN_OP_linear_pair, "M=32 N0=5632 N1=5632 K=2048", TN_Q4_0, .packed = true},
#define PACKED(type)                                              \
  {TN_OP_linear, "M=1 N=32000 K=2048", type, .packed = true},     \
      {TN_OP_linear, "M=32 N=5632 K=2048", type, .packed = true}, \
      {TN_OP_linear, "M=512 N=5632 K=2048", type, .packed = true},
             PACKED(TN_F32) PACKED(TN_BF16) PACKED(TN_F16) PACKED(TN_Q8_0) PACKED(TN_Q4_0)
                 PACKED(TN_Q4_1) PACKED(TN_Q5_0) PACKED(TN_Q5_1) PACKED(TN_Q4_K) PACKED(TN_Q5_K)
                     PACKED(TN_Q6_K) PACKED(TN_I4_G128) PACKED(TN_I8_G128) PACKED(TN_F8_G128)
#undef PACKED
};
#define CASE_COUNT (sizeof cases / sizeof cases[0])

static struct {
  int64_t threads;
  const char *isa, *op, *sizes, *weights;
  double seconds; /* for each figure */
  bool limits, json;
} options;

static _Noreturn void die(const char *what, const tn_error *err) {
  fprintf(stderr, "error: bench cpu: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
  exit(1);
}

/* ---- clock: the best of many ---- */

static double now_s(void) {
  struct timespec t;
  clock_gettime(options.threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define SURE_S 1.0 /* of work leave little to chance: less is done three times at least */

typedef void (*work_fn)(void *context);

static double best_s(work_fn fn, void *context) {
  double best = INFINITY, spent = 0;
  for (int32_t i = 0; (i < 3 && spent < SURE_S) || spent < options.seconds; i++) {
    double start = now_s();
    fn(context);
    double took = now_s() - start;
    spent += took;
    best = took < best ? took : best;
  }
  return best;
}

/* ---- the machine's limits ---- */

#define PEAK_ROUNDS 200000

typedef struct machine {
  tn_pool *pool;
  tn_buffer *buffer; /* for copies and sums */
  char *bytes;
  size_t size;
  tn_peak_kind kind;          /* what is being measured */
  double peak[TN_PEAK_KINDS]; /* operations a second; 0: no such instruction */
  double read, copy;          /* bytes a second, of memory */
} machine;

static void peak_item(void *context, int64_t item, int32_t worker) {
  tn_peak_run(((machine *)context)->kind, PEAK_ROUNDS);
}

static void run_peak(void *context) {
  machine *m = context;
  tn_pool_run(m->pool, options.threads, peak_item, m);
}

static void measure_peaks(machine *m) {
  for (m->kind = 0; m->kind < TN_PEAK_KINDS; m->kind++) {
    double operations = tn_peak_run(m->kind, 1) * PEAK_ROUNDS * (double)options.threads;
    if (operations > 0) m->peak[m->kind] = operations / best_s(run_peak, m);
  }
}

/* Products are of integers for quantized weights, of bfloat16 where the CPU has them. */
static tn_peak_kind peak_of(const machine *m, const struct bench_case *c) {
  bool integers = c->packed && tn_dtype_block(c->weights) > 1 && c->weights != TN_F8_G32 &&
                  c->weights != TN_F8_G128;
  if (integers && m->peak[TN_PEAK_INT8] > 0) return TN_PEAK_INT8;
  if (c->packed && c->weights == TN_BF16 && m->peak[TN_PEAK_BF16] > 0) return TN_PEAK_BF16;
  return TN_PEAK_F32;
}
static const char *const peak_names[] = {"float32", "bfloat16", "int8"};

typedef enum traffic_kind { READ, COPY, UPDATE, FILL } traffic_kind;
static const char *const traffic_names[] = {"read", "copy", "update", "fill"};

typedef struct traffic {
  machine *m;
  int64_t bytes; /* read and written in all */
  traffic_kind kind;
  int32_t streams; /* that are read side by side */
  uint64_t sums[256];
} traffic;

/* From where a piece is read; a copy is written behind that. */
static int64_t traffic_span(const traffic *t) {
  return t->kind == READ ? t->bytes : t->bytes / 2;
}

#define PIECE_BYTES 65536
#define READ_AHEAD  1024
#define STREAMS_MAX 8

/* So many streams of equal length, cache line by cache line, each asked for ahead. */
static uint64_t sum_of(const uint64_t *words, int64_t n, int32_t streams) {
  uint64_t sum[8] = {0};
  int64_t each = n / streams / 64 * 8; /* words */
  for (int64_t i = 0; i < each; i += 8)
    for (int32_t s = 0; s < streams; s++) {
      const uint64_t *line = words + s * each + i;
      if (streams > 1) __builtin_prefetch((const char *)line + READ_AHEAD, 0, 3);
      for (int32_t j = 0; j < 8; j++) sum[j] += line[j];
    }
  for (int32_t j = 1; j < 8; j++) sum[0] += sum[j];
  return sum[0];
}

static void move_piece(void *context, int64_t item, int32_t worker) {
  traffic *t = context;
  int64_t span = traffic_span(t), at = item * PIECE_BYTES;
  int64_t n = span - at < PIECE_BYTES ? span - at : PIECE_BYTES;
  uint64_t *words = (uint64_t *)(t->m->bytes + at);
  if (t->kind == COPY) {
    memcpy(t->m->bytes + span + at, words, (size_t)n);
  } else if (t->kind == FILL) {
    for (int64_t i = 0; i < n / 8; i++) words[i] = (uint64_t)at;
  } else if (t->kind == UPDATE) {
    for (int64_t i = 0; i < n / 8; i++) words[i] += 1;
  } else {
    t->sums[worker % 256] += sum_of(words, n, t->streams);
  }
}

static void run_traffic(void *context) {
  traffic *t = context;
  tn_pool_run(t->m->pool, (traffic_span(t) + PIECE_BYTES - 1) / PIECE_BYTES, move_piece, t);
}

/* Bytes a second, read and written together; read by the best number of streams. */
static double measure_traffic(machine *m, int64_t bytes, traffic_kind kind) {
  if ((size_t)bytes > m->size) bytes = (int64_t)m->size;
  if (bytes < 16384) bytes = 16384; /* less is call overhead */
  traffic t = {.m = m, .bytes = bytes / 512 * 512, .kind = kind};
  double best = INFINITY;
  for (t.streams = 1; t.streams <= (kind == READ ? STREAMS_MAX : 1); t.streams *= 2)
    best = fmin(best, best_s(run_traffic, &t));
  return (double)t.bytes / best;
}

/* ---- a call from a case ---- */

typedef struct bench_call {
  const struct bench_case *c;
  const tn_op_info *info;
  const tn_ops *ops;
  tn_stream *stream;
  _Alignas(16) char args[TN_OP_ARGS_MAX];
  tn_buffer *buffers[TN_OP_TENSORS_MAX];
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

/* Is it of the case's type of weights? */
static bool is_weights(tn_op_id op, const tn_op_tensor_info *info) {
  return info->kind == TN_KIND_WEIGHT || info->kind == TN_KIND_CACHE ||
         (op == TN_OP_cast && strcmp(info->name, "y") == 0);
}

static int64_t pack(bench_call *b, int32_t i) {
  tn_tensor *t = tensor_at(b, i), rows = *t;
  int64_t bytes = tn_pack_bytes(t->dtype, t->shape[0], t->shape[1]);
  tn_buffer *buffer;
  tn_error err;
  if (tn_pack_buffer_new(&buffer, (size_t)bytes, &err)) die(b->info->name, &err);
  if (tn_pack(t, &rows, buffer, 0, b->stream->pool, &err)) die(b->info->name, &err);
  tn_buffer_drop(b->buffers[i]);
  b->buffers[i] = buffer;
  return bytes;
}

static void make_tensor(bench_call *b, int32_t i) {
  const tn_op_tensor_info *info = &b->info->tensors[i];
  int64_t shape[TN_RANK_MAX];
  int32_t rank = shape_of(info->dims, b->c->sizes, shape);
  tn_dtype dtype = info->kind == TN_KIND_INDEX  ? TN_I32
                   : is_weights(b->c->op, info) ? b->c->weights
                                                : TN_F32;
  int64_t count = 1;
  for (int32_t d = 0; d < rank; d++) count *= shape[d];
  int64_t bytes = tn_dtype_bytes_of(dtype, count);
  tn_error err;
  tn_tensor *t = tensor_at(b, i);
  if (info->kind == TN_KIND_SCALE && tn_dtype_is_real(b->c->weights)) return;
  if (tn_buffer_new(&b->buffers[i], (size_t)bytes, &err)) die(b->info->name, &err);
  if (tn_tensor_view(t, b->buffers[i], 0, dtype, rank, shape, &err)) die(b->info->name, &err);
  if (info->kind == TN_KIND_INDEX)
    fill_index(b, info->name, t);
  else if (tn_dtype_block(dtype) > 1)
    memset(t->buffer->data, 0x25, (size_t)bytes); /* small scales, middling integers */
  else
    for (int64_t j = 0; j < count; j++)
      tn_element_set(t->buffer->data, dtype, j, 0.1 + tn_random_f64(3, (uint64_t)i, (uint64_t)j));
  if (b->c->packed && info->kind == TN_KIND_WEIGHT) bytes = pack(b, i);
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
    b->written_bytes = b->read_bytes / 4 * tn_dtype_bytes(a->k_cache.dtype);
    b->updated_bytes = 0;
  }
  if (b->c->op == TN_OP_rope_kv_write) {
    const tn_rope_kv_write_args *a = (const void *)b->args;
    double kv = (double)(tn_tensor_bytes(&a->k) + tn_tensor_bytes(&a->v));
    b->read_bytes = kv + (double)tn_tensor_bytes(&a->q);
    b->written_bytes = (double)tn_tensor_bytes(&a->y) + kv / 4 * tn_dtype_bytes(a->k_cache.dtype);
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
    case TN_OP_linear_pair:
      return N("M") < 12 ? 0 : 2 * N("M") * (N("N0") + N("N1")) * N("K");
    case TN_OP_linear_triple:
      return N("M") < 12 ? 0 : 2 * N("M") * (N("N0") + N("N1") + N("N2")) * N("K");
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
  tn_peak_kind peak = peak_of(m, b->c);
  double limit = flops > 0 ? m->peak[peak] : measure_traffic(m, (int64_t)bytes, kind);
  double rate = (flops > 0 ? flops : bytes) / seconds;
  const char *of = flops > 0 ? peak_names[peak] : traffic_names[kind];
  const char *weights =
      b->c->weights == TN_F32 && !b->c->packed ? "" : tn_dtype_name(b->c->weights);
  if (!options.json)
    printf("%-24s %-43s %-11s %10.1f us %8.1f %-5s %5.0f %% of %7.1f (%s)\n", b->info->name,
           b->c->sizes, weights, 1e6 * seconds, 1e-9 * rate, flops > 0 ? "Gop/s" : "GB/s",
           100 * rate / limit, 1e-9 * limit, of);
  fflush(stdout);
  tn_json_begin_object(w);
  tn_cli_json_text(w, "op", b->info->name);
  tn_cli_json_text(w, "sizes", b->c->sizes);
  tn_cli_json_text(w, "weights", tn_dtype_name(b->c->weights));
  tn_cli_json_bool(w, "packed", b->c->packed);
  tn_cli_json_f64(w, "bytes", bytes);
  tn_cli_json_f64(w, "ops", flops);
  tn_cli_json_f64(w, "seconds", seconds);
  tn_cli_json_text(w, "limit", of);
  tn_cli_json_f64(w, "rate_per_s", rate);
  tn_cli_json_f64(w, "limit_per_s", limit);
  tn_cli_json_f64(w, "share", rate / limit);
  tn_json_end_object(w);
}

static bool is_ref(const char *isa) {
  return isa && strcmp(isa, "ref") == 0;
}

static bool is_wanted(const struct bench_case *c) {
  if (options.op && strcmp(options.op, tn_op_describe(c->op)->name) != 0) return false;
  if (options.weights && strcmp(options.weights, tn_dtype_name(c->weights)) != 0) return false;
  return !options.sizes || strstr(c->sizes, options.sizes) != NULL;
}

static bool any_is_wanted(void) {
  for (size_t i = 0; i < CASE_COUNT; i++)
    if (is_wanted(&cases[i])) return true;
  return false;
}

static void report_all(machine *m, const tn_ops *ops, tn_stream *stream, tn_json_writer *w) {
  tn_json_key(w, "results");
  tn_json_begin_array(w);
  for (size_t i = 0; i < CASE_COUNT && !tn_cli_stop_requested(); i++) {
    struct bench_case c = cases[i];
    bench_call b = {.c = &c, .ops = ops, .stream = stream};
    if (!is_wanted(&c)) continue;
    if (is_ref(options.isa)) c.packed = false; /* it takes all types, but in rows */
    open_call(&b);
    report(m, &b, w);
    close_call(&b);
  }
  tn_json_end_array(w);
}

static void report_limits(const machine *m, const char *rows, tn_json_writer *w) {
  if (!options.json)
    printf(
        "kernels: %s, threads: %d; this machine: %.1f Gop/s float32, %.1f bfloat16, %.1f int8; "
        "memory %.1f GB/s read, %.1f GB/s copy\n",
        rows, (int)options.threads, 1e-9 * m->peak[TN_PEAK_F32], 1e-9 * m->peak[TN_PEAK_BF16],
        1e-9 * m->peak[TN_PEAK_INT8], 1e-9 * m->read, 1e-9 * m->copy);
  tn_cli_json_text(w, "bench", "cpu");
  tn_cli_json_text(w, "kernels", rows);
  tn_cli_json_i64(w, "threads", options.threads);
  tn_cli_json_f64(w, "f32_ops_per_s", m->peak[TN_PEAK_F32]);
  tn_cli_json_f64(w, "bf16_ops_per_s", m->peak[TN_PEAK_BF16]);
  tn_cli_json_f64(w, "int8_ops_per_s", m->peak[TN_PEAK_INT8]);
  tn_cli_json_f64(w, "read_bytes_per_s", m->read);
  tn_cli_json_f64(w, "copy_bytes_per_s", m->copy);
}

static const tn_ops *choose_rows(void) {
  if (!options.isa) return tn_ops_for(tn_device_cpu());
  return is_ref(options.isa) ? tn_ops_ref() : tn_ops_cpu(options.isa);
}

/* ---- wrong words ---- */

static void add_name(tn_strbuf *names, const char *name) {
  tn_strbuf_addf(names, "%s%s", names->length ? ", " : "", name);
}

static int no_such(const char *option, const char *word, const char *what, tn_strbuf *names) {
  int code =
      tn_cli_usage_error("%s %s %s %s", option, word, what, names->failed ? "others" : names->data);
  tn_strbuf_clear(names);
  return code;
}

static int no_such_isa(void) {
  tn_strbuf names = {0};
  for (int32_t i = 0; tn_ops_isa(i); i++)
    if (tn_ops_cpu(tn_ops_isa(i))) add_name(&names, tn_ops_isa(i));
  add_name(&names, "ref");
  return no_such("--isa", options.isa, "is not here: this machine or build has", &names);
}

static bool is_op(const struct bench_case *c, int32_t op) {
  return c->op == (tn_op_id)op;
}
static bool is_type(const struct bench_case *c, int32_t type) {
  return c->weights == (tn_dtype)type;
}
static const char *op_name(int32_t op) {
  return tn_op_describe((tn_op_id)op)->name;
}
static const char *type_name(int32_t type) {
  return tn_dtype_name((tn_dtype)type);
}

/* -1: the cases have what the word names; else they are listed. */
static int check_word(const char *option, const char *word, int32_t count,
                      bool (*is)(const struct bench_case *, int32_t),
                      const char *(*name)(int32_t)) {
  tn_strbuf names = {0};
  bool found = !word;
  for (int32_t value = 0; value < count && !found; value++)
    for (size_t i = 0; i < CASE_COUNT; i++) {
      if (!is(&cases[i], value)) continue;
      add_name(&names, name(value));
      found = strcmp(name(value), word) == 0;
      break;
    }
  if (!found) return no_such(option, word, "is not measured; these are:", &names);
  tn_strbuf_clear(&names);
  return -1;
}

static void open_machine(machine *m) {
  tn_error err;
  m->size = (size_t)256 << 20;
  m->pool = tn_cli_pool((int32_t)options.threads);
  if (!m->pool) die("no thread pool", NULL);
  options.threads = tn_pool_threads(m->pool);
  if (tn_pack_buffer_new(&m->buffer, m->size, &err)) die("room", &err);
  m->bytes = m->buffer->data;
  memset(m->bytes, 1, m->size); /* pages of its own, not the zero page */
  measure_peaks(m);
  m->read = measure_traffic(m, (int64_t)m->size, READ);
  m->copy = measure_traffic(m, (int64_t)m->size, COPY);
}

static int read_words(int argc, char **argv) {
  static const tn_option table[] = {
      {"--threads", 't', TN_OPTION_INT, &options.threads, "N", "threads (0: all CPUs)"},
      {"--op", 0, TN_OPTION_TEXT, &options.op, "NAME", "this operation alone"},
      {"--sizes", 0, TN_OPTION_TEXT, &options.sizes, "TEXT", "cases whose sizes hold this"},
      {"--weights", 0, TN_OPTION_TEXT, &options.weights, "TYPE", "cases of this type: q4_0"},
      {"--isa", 0, TN_OPTION_TEXT, &options.isa, "NAME",
       "kernels of one instruction set (the best here): amx, avx512bf16, avx512vnni, avx512, avx2, "
       "plain; or ref, which takes weights in rows, not packed"},
      {"--seconds", 0, TN_OPTION_REAL, &options.seconds, "S", "for each figure (0.3)"},
      {"--limits", 0, TN_OPTION_FLAG, &options.limits, NULL, "the machine's limits alone"},
      {"--json", 0, TN_OPTION_FLAG, &options.json, NULL, "one JSON object on stdout"},
      {0}};
  static const tn_usage usage = {
      "tenon bench cpu [options]",
      "Measures each kernel against its floor: bytes or operations, time, and the share of what\n"
      "this machine's memory or registers can do at most, measured in the same run.",
      "tenon bench cpu --op linear --weights q4_0 --threads 2\n"
      "  tenon bench cpu --limits",
      table,
      0,
      0};
  int32_t count;
  options.seconds = 0.3;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (options.threads < 0 || options.threads > 1024)
    return tn_cli_usage_error("--threads: 0 to 1024");
  if (!(options.seconds > 0 && options.seconds <= 3600))
    return tn_cli_usage_error("--seconds %g: above 0, at most 3600", options.seconds);
  code = check_word("--op", options.op, TN_OP_COUNT, is_op, op_name);
  if (code >= 0) return code;
  code = check_word("--weights", options.weights, TN_DTYPE_COUNT, is_type, type_name);
  if (code >= 0) return code;
  if (!options.limits && !any_is_wanted())
    return tn_cli_usage_error("no case fits --op, --sizes and --weights; without them all are run");
  if (options.isa) tn_ops_limit(options.isa);
  return choose_rows() ? -1 : no_such_isa();
}

int tn_cmd_bench_cpu(int argc, char **argv) {
  tn_error err = {0};
  machine m = {0};
  tn_stream *stream;
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  int code = read_words(argc, argv);
  if (code >= 0) return code;
  const tn_ops *ops = choose_rows();
  open_machine(&m);
  if (tn_stream_open(tn_device_cpu(), m.pool, &stream, &err)) die("stream", &err);
  tn_json_begin_object(&w);
  report_limits(&m, options.isa ? options.isa : tn_op_source(tn_device_cpu(), TN_OP_linear), &w);
  if (!options.limits) report_all(&m, ops, stream, &w);
  tn_json_end_object(&w);
  code = tn_strbuf_check(&text, &err) ? tn_cli_fail(&err, NULL) : 0;
  if (code == 0 && options.json) printf("%s\n", text.data);
  if (code == 0 && tn_cli_stop_requested()) code = TN_EXIT_INTERRUPTED;
  tn_strbuf_clear(&text);
  tn_stream_close(stream);
  tn_buffer_drop(m.buffer);
  return code;
}
