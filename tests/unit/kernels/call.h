/* call.h - a random call of any row of ops.def: sizes, tensors, values, and guards around them.
 *
 * Every tensor lies in a buffer of its own between two zones of a known byte; call_guards_hold says
 * whether they still have it.  Values are normal numbers rounded to the tensor's type, index
 * tensors point where the row allows, statistics are plausible. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_KERNELS_CALL_H
#define TN_TESTS_KERNELS_CALL_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "kernels/ops.h"

#define GUARD_BYTES 256
#define GUARD       0xA5
#define CALL_NAMES  16

typedef struct call {
  tn_op_id op;
  const tn_op_info *info;
  _Alignas(16) char args[TN_OP_ARGS_MAX];
  tn_buffer *buffers[TN_OP_TENSORS_MAX];
  tn_str names[CALL_NAMES]; /* of sizes */
  int64_t sizes[CALL_NAMES];
  int32_t name_count;
} call;

/* ---- random numbers: one stream a test, printed so that a failure can be repeated ---- */

static uint64_t test_seed;
static uint64_t test_draws;

static inline int seed_setup(void **state) {
  const char *text = getenv("TENON_TEST_SEED");
  test_seed = text ? strtoull(text, NULL, 10) : (uint64_t)tn_time_unix_us() % 1000000000u;
  test_draws = 0;
  print_message("TENON_TEST_SEED=%" PRIu64 "\n", test_seed);
  return 0;
}
static inline int64_t draw_below(int64_t n) {
  return (int64_t)tn_random_below(test_seed, 1, test_draws++, (uint64_t)n);
}
static inline int64_t draw(int64_t min, int64_t max) {
  return min + draw_below(max - min + 1);
}
static inline double draw_normal(void) {
  return tn_random_normal(test_seed, 2, test_draws++);
}

/* ---- sizes ---- */

/* How large random sizes are: ONE all 1; EMPTY the rows are 0; SMALL for gradients; ODD anything.
 */
typedef enum call_sizes { SIZES_ONE, SIZES_EMPTY, SIZES_SMALL, SIZES_ODD } call_sizes;

static inline bool paged_op(tn_op_id op) {
  return op == TN_OP_kv_write || op == TN_OP_attention_paged || op == TN_OP_rope_kv_write;
}

static inline int64_t size_max(tn_op_id op, tn_str name) {
  static const struct {
    const char *name;
    int64_t max;
  } list[] = {{"T", 130}, {"C", 200}, {"V", 300}, {"M", 70},  {"N", 150},   {"K", 600},
              {"H", 5},   {"D", 80},  {"P", 40},  {"B", 3},   {"G", 5},     {"Hkv", 3},
              {"S", 4},   {"L", 5},   {"R", 20},  {"F", 300}, {"n", 40000}, {"one", 1},
              {"X", 20},  {"A", 4},   {"E", 40},  {"N0", 90}, {"N1", 50},   {"N2", 70}};
  if (paged_op(op) && tn_str_is(name, "N")) return 12;
  for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
    if (tn_str_is(name, list[i].name)) return list[i].max;
  fail_msg("ops.def has a size '%.*s' that this test does not know", TN_STR_ARG(name));
  return 1;
}

static inline int64_t draw_size(tn_op_id op, tn_str name, call_sizes mode) {
  int64_t max = size_max(op, name);
  bool rows =
      tn_str_is(name, "T") || tn_str_is(name, "M") || tn_str_is(name, "R") || tn_str_is(name, "n");
  if (mode == SIZES_ONE) return 1;
  if (mode == SIZES_EMPTY && rows) return 0;
  if (mode == SIZES_SMALL) return draw(1, max < 5 ? max : 5);
  bool even = paged_op(op) && draw_below(3) > 0; /* as caches have them */
  if (even && tn_str_is(name, "P")) return 16 * draw(1, 2);
  if (even && tn_str_is(name, "D")) return 16 * draw(1, 5);
  if (tn_str_is(name, "n")) return draw(1, draw_below(2) ? 100 : max);
  return draw(1, max);
}

static inline int64_t size_of(call *c, tn_str name, call_sizes mode) {
  for (int32_t i = 0; i < c->name_count; i++)
    if (tn_str_equal(c->names[i], name)) return c->sizes[i];
  int64_t size =
      tn_str_is(name, "Dr") ? draw(1, size_of(c, TN_STR("D"), mode)) : draw_size(c->op, name, mode);
  c->names[c->name_count] = name;
  return c->sizes[c->name_count++] = size;
}

static inline void set_size(call *c, const char *name, int64_t size) { /* before call_open */
  c->names[c->name_count] = tn_str_of(name);
  c->sizes[c->name_count++] = size;
}

/* ---- tensors ---- */

static inline tn_tensor *call_tensor(call *c, int32_t i) {
  return (tn_tensor *)(c->args + c->info->tensors[i].offset);
}
static inline int32_t call_find(const tn_op_info *info, const char *name) { /* -1: none */
  for (int32_t i = 0; i < info->tensor_count; i++)
    if (strcmp(info->tensors[i].name, name) == 0) return i;
  return -1;
}
static inline tn_tensor *call_named(call *c, const char *name) {
  int32_t i = call_find(c->info, name);
  assert_true(i >= 0);
  return call_tensor(c, i);
}
static inline double get(const tn_tensor *t, int64_t i) {
  return tn_element_get(tn_tensor_data(t), t->dtype, i);
}
static inline void set(const tn_tensor *t, int64_t i, double value) {
  tn_element_set(tn_tensor_data(t), t->dtype, i, value);
}

static inline void make_tensor(call *c, int32_t i, tn_dtype dtype, int32_t rank,
                               const int64_t *shape) {
  tn_error err = {0};
  size_t bytes = (size_t)tn_dtype_bytes(dtype);
  for (int32_t d = 0; d < rank; d++) bytes *= (size_t)shape[d];
  if (tn_buffer_new(&c->buffers[i], bytes + 2 * GUARD_BYTES, &err)) fail_msg("%s", err.text);
  memset(c->buffers[i]->data, GUARD, c->buffers[i]->bytes);
  if (tn_tensor_view(call_tensor(c, i), c->buffers[i], GUARD_BYTES, dtype, rank, shape, &err))
    fail_msg("%s", err.text);
}

static inline int32_t call_shape(call *c, int32_t i, call_sizes mode, int64_t *shape) {
  int32_t rank = 0;
  for (tn_str rest = tn_str_of(c->info->tensors[i].dims); rest.length > 0; rank++) {
    tn_str dim = tn_str_cut(&rest, ' ');
    shape[rank] = 1;
    while (dim.length > 0) shape[rank] *= size_of(c, tn_str_cut(&dim, '*'), mode);
  }
  return rank;
}

/* A scale or a gain that the call leaves out. */
static inline bool is_absent(const call *c, int32_t i) {
  return !c->buffers[i];
}

static inline bool call_guards_hold(call *c) {
  for (int32_t i = 0; i < c->info->tensor_count; i++) {
    if (is_absent(c, i)) continue;
    const uint8_t *bytes = c->buffers[i]->data;
    for (size_t j = 0; j < GUARD_BYTES; j++)
      if (bytes[j] != GUARD || bytes[c->buffers[i]->bytes - 1 - j] != GUARD) return false;
  }
  return true;
}

/* ---- values ---- */

static inline void fill_index(call *c, int32_t i) {
  const char *name = c->info->tensors[i].name;
  tn_tensor *t = call_tensor(c, i);
  int64_t count = tn_tensor_count(t), limit = 1;
  bool may_skip = false;
  if (strcmp(name, "ids") == 0)
    limit = call_named(c, c->op == TN_OP_embed ? "table" : "dtable")->shape[0];
  if (strcmp(name, "order") == 0) limit = call_named(c, "x")->shape[1];
  if (strcmp(name, "positions") == 0) limit = call_named(c, "table")->shape[0];
  bool fused = c->op == TN_OP_linear_cross_entropy || c->op == TN_OP_linear_cross_entropy_backward;
  if (strcmp(name, "targets") == 0 && fused)
    limit = call_named(c, "w")->shape[0], may_skip = true;
  else if (strcmp(name, "targets") == 0)
    limit = call_named(c, "logits")->shape[1], may_skip = true;
  if (strcmp(name, "experts") == 0 && c->op == TN_OP_route_order)
    limit = call_named(c, "counts")->shape[0], may_skip = true;
  if (strcmp(name, "places") == 0 && c->op == TN_OP_route_combine)
    limit = call_named(c, "y")->shape[0], may_skip = true;
  if (strcmp(name, "block_table") == 0) limit = call_named(c, "k_cache")->shape[0];
  if (strcmp(name, "row_sequence") == 0) limit = call_named(c, "block_table")->shape[0];
  if (strcmp(name, "row_position") == 0)
    limit = call_named(c, "block_table")->shape[1] * call_named(c, "v_cache")->shape[2];
  if (strcmp(name, "slots") == 0) { /* each at most once: two writes to one place race */
    limit = call_named(c, "k_cache")->shape[0] * call_named(c, "v_cache")->shape[2];
    uint64_t stream = (uint64_t)draw_below(1000);
    for (int64_t j = 0; j < count; j++)
      set(t, j,
          j >= limit || draw_below(5) == 0
              ? -1.0
              : (double)tn_random_permute(test_seed, stream, (uint64_t)j, (uint64_t)limit));
    return;
  }
  for (int64_t j = 0; j < count; j++)
    set(t, j, may_skip && draw_below(5) == 0 ? -1.0 : (double)draw_below(limit));
}

static inline void fill_values(call *c, int32_t i) {
  const tn_op_tensor_info *info = &c->info->tensors[i];
  tn_tensor *t = call_tensor(c, i);
  int64_t count = tn_tensor_count(t);
  if (is_absent(c, i)) return;
  bool positive = strcmp(info->name, "rstd") == 0 || (c->op == TN_OP_adamw && info->name[0] == 'v');
  for (int64_t j = 0; j < count; j++) {
    double x = draw_normal();
    if (info->kind == TN_KIND_SCALE) x = 0.01 * (0.5 + fabs(x));
    if (info->kind == TN_KIND_CACHE && !tn_dtype_is_real(t->dtype)) x = fmax(-127, 40 * x);
    set(t, j, positive ? 0.5 + fabs(x) : x);
  }
}

/* A backward row of attention needs out and lse that belong to its q, k, v. */
static inline void fill_attention(call *c) {
  tn_attention_backward_args *b = (void *)c->args;
  tn_attention_args a = {
      .out = b->out, .lse = b->lse, .q = b->q, .k = b->k, .v = b->v, .scale = b->scale};
  tn_error err = {0};
  if (tn_ops_ref()->attention(NULL, &a, &err)) fail_msg("%s", err.text);
}

/* And that of a loss the lse that belongs to its x and w. */
static inline void fill_linear_loss(call *c) {
  tn_linear_cross_entropy_backward_args *b = (void *)c->args;
  tn_error err = {0};
  tn_buffer *room;
  if (tn_buffer_new(&room, (size_t)tn_tensor_bytes(&b->lse), &err)) fail_msg("%s", err.text);
  tn_linear_cross_entropy_args a = {
      .loss = b->lse, .lse = b->lse, .x = b->x, .w = b->w, .targets = b->targets};
  a.loss.buffer = room;
  a.loss.offset_bytes = 0;
  if (tn_ops_ref()->linear_cross_entropy(NULL, &a, &err)) fail_msg("%s", err.text);
  tn_buffer_drop(room);
}

/* The example, or for what chooses a way, any. */
static inline void fill_scalars(call *c) {
  for (int32_t i = 0; i < c->info->scalar_count; i++) {
    const tn_op_scalar_info *s = &c->info->scalars[i];
    double value = s->example;
    if (strcmp(s->name, "activation") == 0) value = (double)draw_below(TN_ACT_COUNT);
    if (strcmp(s->name, "normalised") == 0 || strcmp(s->name, "weight_offset") == 0)
      value = (double)draw_below(2);
    if (strcmp(s->name, "window") == 0 && draw_below(2)) value = (double)draw(1, 100);
    if (strcmp(s->name, "softcap") == 0 && draw_below(2)) value = 2.0;
    if (strcmp(s->type, "float") == 0)
      *(float *)(c->args + s->offset) = (float)value;
    else
      *(int32_t *)(c->args + s->offset) = (int32_t)value;
  }
}

/* Of a cache a third each: codes of int8, of float8, the same as other reals. */
static inline tn_dtype pick_cache(tn_dtype real) {
  static const tn_dtype coded[] = {TN_I8, TN_F8_E4M3};
  int64_t i = draw_below(3);
  return i < 2 ? coded[i] : real;
}

/* k_cache's scale is k_scale.  One norm of three is left out. */
static inline bool is_left_out(call *c, int32_t i) {
  char cache[] = "k_cache";
  if (c->info->tensors[i].kind == TN_KIND_GAIN) return draw_below(3) == 0;
  if (c->info->tensors[i].kind != TN_KIND_SCALE) return false;
  cache[0] = c->info->tensors[i].name[0];
  return tn_dtype_is_real(call_named(c, cache)->dtype);
}

/* A random call; `pick` chooses the type of each real tensor (NULL: all `real`).  Sizes set before
 * with set_size stay. */
static inline void call_open(call *c, tn_op_id op, call_sizes mode, tn_dtype real,
                             tn_dtype (*pick)(void)) {
  int64_t shape[TN_RANK_MAX];
  c->op = op;
  c->info = tn_op_describe(op);
  assert_true(c->info->args_bytes <= sizeof c->args);
  for (int32_t i = 0; i < c->info->tensor_count; i++) {
    tn_op_kind kind = c->info->tensors[i].kind;
    tn_dtype dtype = kind == TN_KIND_INDEX   ? TN_I32
                     : kind == TN_KIND_SCALE ? TN_F32
                     : kind == TN_KIND_STAT  ? (real == TN_F64 ? TN_F64 : TN_F32)
                     : pick                  ? pick()
                                             : real;
    if (kind == TN_KIND_CACHE) dtype = pick_cache(dtype);
    if (is_left_out(c, i)) continue;
    int32_t rank = call_shape(c, i, mode, shape);
    make_tensor(c, i, dtype, rank, shape);
  }
  fill_scalars(c);
  for (int32_t i = 0; i < c->info->tensor_count; i++) {
    if (c->info->tensors[i].kind == TN_KIND_INDEX)
      fill_index(c, i);
    else
      fill_values(c, i); /* outputs too: a row must not depend on what was there */
  }
  if (op == TN_OP_attention_backward) fill_attention(c);
  if (op == TN_OP_linear_cross_entropy_backward) fill_linear_loss(c);
}

/* The same call with its own tensors; reals and statistics as `dtype` unless it is TN_DTYPE_COUNT.
 */
static inline void call_copy(call *to, call *from, tn_dtype dtype) {
  *to = *from;
  for (int32_t i = 0; i < to->info->tensor_count; i++) {
    const tn_tensor *old = call_tensor(from, i);
    tn_op_kind kind = to->info->tensors[i].kind;
    bool keep = dtype == TN_DTYPE_COUNT || kind == TN_KIND_INDEX || kind == TN_KIND_SCALE ||
                (kind == TN_KIND_CACHE && !tn_dtype_is_real(old->dtype));
    if (is_absent(from, i)) continue;
    make_tensor(to, i, keep ? old->dtype : dtype, old->rank, old->shape);
    int64_t count = tn_tensor_count(old);
    for (int64_t j = 0; j < count; j++) set(call_tensor(to, i), j, get(old, j));
  }
}

static inline void call_close(call *c) {
  for (int32_t i = 0; i < c->info->tensor_count; i++) tn_buffer_drop(c->buffers[i]);
  memset(c, 0, sizeof *c);
}

/* ---- running ---- */

static inline tn_status call_run(const tn_ops *ops, tn_stream *stream, call *c, tn_error *err) {
  const void *args = c->args;
  switch (c->op) {
#define TN_GRAD(forward, backward)
#define TN_OP(name, summary, tensors, scalars) \
  case TN_OP_##name:                           \
    return ops->name(stream, args, err);
#include "kernels/ops.def"
#undef TN_OP
#undef TN_GRAD
    case TN_OP_COUNT:
      break;
  }
  return TN_ERR_ARGUMENT;
}

static inline void call_must_run(const tn_ops *ops, tn_stream *stream, call *c) {
  tn_error err = {0};
  tn_status status = call_run(ops, stream, c, &err);
  if (status) fail_msg("%s: status %d: %s", c->info->name, (int)status, err.text);
}

static inline tn_stream *open_stream(tn_pool *pool) {
  tn_stream *stream;
  tn_error err = {0};
  if (tn_stream_open(tn_device_cpu(), pool, &stream, &err)) fail_msg("%s", err.text);
  return stream;
}

static inline bool is_written(const call *c, int32_t i) {
  return !is_absent(c, i) && c->info->tensors[i].role != TN_ROLE_IN;
}

/* Bit-equal in everything that the row writes, and inputs untouched. */
static inline void assert_same_bits(call *a, call *b, const char *what) {
  for (int32_t i = 0; i < a->info->tensor_count; i++) {
    const tn_tensor *x = call_tensor(a, i), *y = call_tensor(b, i);
    if (is_absent(a, i)) continue;
    if (memcmp(tn_tensor_data(x), tn_tensor_data(y), (size_t)tn_tensor_bytes(x)) == 0) continue;
    int64_t j = 0;
    while (get(x, j) == get(y, j)) j++;
    fail_msg("%s: %s: %s[%" PRId64 "] is %.9g and %.9g", a->info->name, what,
             a->info->tensors[i].name, j, get(x, j), get(y, j));
  }
}

static inline void describe_call(call *c) {
  print_message("%s:", c->info->name);
  for (int32_t i = 0; i < c->info->tensor_count; i++) {
    tn_strbuf text = {0};
    if (is_absent(c, i)) continue;
    tn_tensor_describe(call_tensor(c, i), &text);
    print_message(" %s %s", c->info->tensors[i].name, text.data);
    tn_strbuf_clear(&text);
  }
  print_message("\n");
}

/* The fast tables of this machine. */
static const char *const isa_names[] = {"avx2",       "avx512", "avx512vnni",
                                        "avx512bf16", "amx",    "plain"};
#define ISA_NAMES ((int32_t)(sizeof isa_names / sizeof isa_names[0]))

#endif
