/* Every row of ops.def, on every instruction set that this machine has, against ref/ in double. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

static double unit_roundoff(tn_dtype dtype) {
  return dtype == TN_BF16  ? 0x1p-8
         : dtype == TN_F16 ? 0x1p-11
         : dtype == TN_F32 ? 0x1p-24
                           : 0x1p-53;
}

/* Float32 roundings that stand between inputs and an output, as a multiple of 2^-24 of the largest
 * element of any tensor that matters to it (differences may cancel, so the output alone is no
 * measure): a sum of K terms with random signs errs like sqrt(K), the rest is a few each. */
static double roundings(call *c) {
  double sum = 1;
  for (int32_t i = 0; i < c->name_count; i++) {
    bool summed = c->sizes[i] > (int64_t)sum && !tn_str_is(c->names[i], "n");
    if (summed) sum = (double)c->sizes[i];
  }
  bool attention = c->op == TN_OP_attention || c->op == TN_OP_attention_backward ||
                   c->op == TN_OP_attention_paged;
  /* exp turns an absolute error of a score (about 10, of D terms) into a relative one */
  bool linear_loss =
      c->op == TN_OP_linear_cross_entropy_backward; /* logits of about 40, times dloss */
  return (linear_loss ? 300 : attention ? 60 : 8) + 4 * sqrt(sum);
}

/* From code x of a cache to the next: what was computed beforehand may round to either. */
static double code_step(tn_dtype dtype, double x) {
  if (dtype == TN_I8) return 1;
  return dtype == TN_F8_E4M3 ? fmax(fabs(x) / 8, 0x1p-9) : 0;
}

static double largest(const tn_tensor *t) {
  double max = 0;
  if (!t->buffer) return 1; /* a scale that is left out */
  int64_t count = tn_tensor_count(t);
  for (int64_t i = 0; i < count; i++) max = fmax(max, fabs(get(t, i)));
  return max;
}

static double largest_involved(call *truth, int32_t output) {
  double max = largest(call_tensor(truth, output));
  for (int32_t i = 0; i < truth->info->tensor_count; i++) {
    const tn_op_tensor_info *info = &truth->info->tensors[i];
    double scale = info->kind == TN_KIND_CACHE && truth->op == TN_OP_attention_paged
                       ? largest(call_named(truth, info->name[0] == 'k' ? "k_scale" : "v_scale"))
                       : 1;
    if (info->role == TN_ROLE_IN && (info->kind == TN_KIND_REAL || info->kind == TN_KIND_CACHE))
      max = fmax(max, scale * largest(call_tensor(truth, i)));
  }
  return max;
}

static double worst_share; /* of the slack that an error used, over all rows */

static void compare(call *got, call *truth, const char *isa) {
  for (int32_t i = 0; i < got->info->tensor_count; i++) {
    const tn_tensor *x = call_tensor(got, i), *want = call_tensor(truth, i);
    if (is_absent(got, i)) continue;
    int64_t count = tn_tensor_count(x);
    double slack = roundings(got) * 0x1p-24 * largest_involved(truth, i);
    for (int64_t j = 0; j < count; j++) {
      double a = get(x, j), b = get(want, j);
      double rounded = 1.01 * unit_roundoff(x->dtype) * fabs(b); /* of the result itself */
      if (x->dtype == TN_F16) rounded += 0x1p-25;                /* subnormal */
      if (got->op == TN_OP_rope_kv_write) rounded += code_step(x->dtype, fmax(fabs(a), fabs(b)));
      double limit = is_written(got, i) ? rounded + slack : 0;
      if (fabs(a - b) <= limit) {
        if (limit > 0) worst_share = fmax(worst_share, (fabs(a - b) - rounded) / slack);
        continue;
      }
      describe_call(got);
      fail_msg("%s on %s: %s[%" PRId64 "] is %.9g, truth %.9g, limit %.3g", got->info->name, isa,
               got->info->tensors[i].name, j, a, b, limit);
    }
  }
}

static void check_row(tn_op_id op, call_sizes mode, tn_dtype real, tn_dtype (*pick)(void)) {
  call base = {0}, truth, run;
  call_open(&base, op, mode, real, pick);
  if (op == TN_OP_linear || op == TN_OP_linear_backward_input || op == TN_OP_linear_backward_weight)
    *(int32_t *)(base.args + base.info->scalars[0].offset) = (int32_t)draw_below(2);
  call_copy(&truth, &base, TN_F64);
  call_must_run(tn_ops_ref(), NULL, &truth);
  call_copy(&run, &base, TN_DTYPE_COUNT);
  call_must_run(tn_ops_ref(), NULL, &run);
  compare(&run, &truth, "ref");
  call_close(&run);
  tn_stream *stream = open_stream(NULL);
  for (int32_t i = 0; i < ISA_NAMES; i++) {
    const tn_ops *ops = tn_ops_cpu(isa_names[i]);
    if (!ops) continue;
    call_copy(&run, &base, TN_DTYPE_COUNT);
    call_must_run(ops, stream, &run);
    compare(&run, &truth, isa_names[i]);
    assert_true(call_guards_hold(&run));
    call_close(&run);
  }
  tn_stream_close(stream);
  call_close(&truth);
  call_close(&base);
}

static tn_dtype pick_small(void) {
  static const tn_dtype types[] = {TN_F32, TN_BF16, TN_F16};
  return types[draw_below(3)];
}

static void every_row_in_every_type(void **state) {
  static const tn_dtype types[] = {TN_F32, TN_BF16, TN_F16, TN_F64};
  for (int32_t op = 0; op < TN_OP_COUNT; op++)
    for (int32_t i = 0; i < 4; i++)
      for (int32_t round = 0; round < (i == 0 ? 6 : 2); round++)
        check_row((tn_op_id)op, SIZES_ODD, types[i], NULL);
  print_message("worst error: %.0f %% of its bound\n", 100 * worst_share);
}

static void every_row_with_mixed_types(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++)
    for (int32_t round = 0; round < 3; round++)
      check_row((tn_op_id)op, SIZES_ODD, TN_F32, pick_small);
}

static void every_row_of_size_one(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++) check_row((tn_op_id)op, SIZES_ONE, TN_F32, NULL);
}

static void every_row_without_rows(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++) check_row((tn_op_id)op, SIZES_EMPTY, TN_F32, NULL);
}

/* Sizes around the blocks of the fast products: 12 x 32 and 6 x 16 tiles, 256 of K. */
static void linear_at_the_edges_of_its_blocks(void **state) {
  static const int64_t m[] = {1, 5, 6, 7, 11, 12, 13, 24, 25},
                       n[] = {1, 15, 16, 17, 31, 32, 33, 65};
  static const int64_t k[] = {1, 3, 4, 255, 256, 257, 512, 513};
  static const tn_op_id ops[] = {TN_OP_linear, TN_OP_linear_backward_input,
                                 TN_OP_linear_backward_weight};
  for (int32_t i = 0; i < 9; i++)
    for (int32_t j = 0; j < 8; j++) {
      call run = {0}, truth;
      tn_op_id op = ops[(i + j) % 3];
      set_size(&run, "M", op == TN_OP_linear_backward_weight ? k[(i + j) % 8] : m[i]);
      set_size(&run, "N", op == TN_OP_linear_backward_input ? k[(i + j) % 8] : n[j]);
      set_size(&run, "K", op == TN_OP_linear ? k[(i + j) % 8] : n[j]);
      call_open(&run, op, SIZES_ODD, TN_F32, NULL);
      call_copy(&truth, &run, TN_F64);
      call_must_run(tn_ops_ref(), NULL, &truth);
      tn_stream *stream = open_stream(NULL);
      const tn_ops *fast = tn_ops_cpu(isa_names[(i + j) / 3 % ISA_NAMES]);
      call_must_run(fast ? fast : tn_ops_ref(), stream, &run);
      compare(&run, &truth, "edges");
      assert_true(call_guards_hold(&run));
      tn_stream_close(stream);
      call_close(&truth);
      call_close(&run);
    }
}

/* Logits of 16 MiB are a chunk: here it takes three. */
static void a_large_vocabulary_takes_several_chunks(void **state) {
  static const tn_op_id ops[] = {TN_OP_linear_cross_entropy, TN_OP_linear_cross_entropy_backward};
  for (int32_t i = 0; i < 2; i++)
    for (int32_t isa = 0; isa < ISA_NAMES; isa++) {
      call run = {0}, truth;
      if (!tn_ops_cpu(isa_names[isa])) continue;
      set_size(&run, "T", 130);
      set_size(&run, "C", 3);
      set_size(&run, "V", 70001);
      call_open(&run, ops[i], SIZES_ODD, TN_F32, NULL);
      call_copy(&truth, &run, TN_F64);
      call_must_run(tn_ops_ref(), NULL, &truth);
      tn_stream *stream = open_stream(NULL);
      call_must_run(tn_ops_cpu(isa_names[isa]), stream, &run);
      compare(&run, &truth, isa_names[isa]);
      tn_stream_close(stream);
      call_close(&truth);
      call_close(&run);
    }
}

/* A tensor of heads, normed and turned by the rows for that, in `room`. */
static tn_tensor norm_and_rotate(const tn_ops *ops, tn_stream *stream,
                                 const tn_rope_kv_write_args *a, const tn_tensor *x,
                                 const tn_tensor *norm, tn_buffer *room) {
  tn_error err = {0};
  tn_tensor out;
  int64_t heads = x->shape[0] * x->shape[1], D = x->shape[2];
  const int64_t rows[2] = {heads, D};
  assert_int_equal(tn_tensor_view(&out, room, 0, TN_F32, 3, x->shape, &err), TN_OK);
  memcpy(tn_tensor_data(&out), tn_tensor_data(x), (size_t)tn_tensor_bytes(x));
  if (norm->buffer) {
    tn_rmsnorm_args n = {.weight = *norm, .eps = a->eps, .weight_offset = a->weight_offset};
    assert_int_equal(tn_tensor_view(&n.y, room, 0, TN_F32, 2, rows, &err), TN_OK);
    assert_int_equal(tn_tensor_view(&n.x, x->buffer, x->offset_bytes, TN_F32, 2, rows, &err),
                     TN_OK);
    assert_int_equal(tn_tensor_view(&n.rstd, room, heads * D * 4, TN_F32, 1, &heads, &err), TN_OK);
    assert_int_equal(ops->rmsnorm(stream, &n, &err), TN_OK);
  }
  tn_rope_args r = {.y = out, .x = out, .table = a->table, .positions = a->positions};
  assert_int_equal(ops->rope(stream, &r, &err), TN_OK);
  return out;
}

static void check_fused(const tn_ops *ops) {
  call base = {0}, fused, apart;
  tn_error err = {0};
  tn_buffer *room[2];
  call_open(&base, TN_OP_rope_kv_write, SIZES_ODD, TN_F32, NULL);
  call_copy(&fused, &base, TN_DTYPE_COUNT);
  call_copy(&apart, &base, TN_DTYPE_COUNT);
  tn_stream *stream = open_stream(NULL);
  call_must_run(ops, stream, &fused);
  const tn_rope_kv_write_args *a = (const void *)apart.args;
  int64_t floats = tn_tensor_count(&a->q) + a->q.shape[0] * a->q.shape[1];
  for (int32_t i = 0; i < 2; i++)
    assert_int_equal(tn_buffer_new(&room[i], (size_t)floats * 4, &err), TN_OK);
  tn_tensor q = norm_and_rotate(ops, stream, a, &a->q, &a->q_norm, room[0]);
  tn_tensor k = norm_and_rotate(ops, stream, a, &a->k, &a->k_norm, room[1]);
  memcpy(tn_tensor_data(&a->y), tn_tensor_data(&q), (size_t)tn_tensor_bytes(&a->y));
  tn_kv_write_args w = {.k_cache = a->k_cache,
                        .v_cache = a->v_cache,
                        .k_scale = a->k_scale,
                        .v_scale = a->v_scale,
                        .k = k,
                        .v = a->v,
                        .slots = a->slots};
  assert_int_equal(ops->kv_write(stream, &w, &err), TN_OK);
  assert_same_bits(&fused, &apart, "one after the other");
  for (int32_t i = 0; i < 2; i++) tn_buffer_drop(room[i]);
  tn_stream_close(stream);
  call_close(&apart);
  call_close(&fused);
  call_close(&base);
}

static void what_is_fused_has_the_bits_of_its_parts(void **state) {
  for (int32_t isa = 0; isa < ISA_NAMES; isa++) {
    const tn_ops *ops = tn_ops_cpu(isa_names[isa]);
    /* sets without this row have ref/'s, which rounds once at the end */
    if (!ops || ops->rope_kv_write == tn_ops_ref()->rope_kv_write) continue;
    for (int32_t i = 0; i < 30; i++) check_fused(ops);
  }
}

/* Every code of float8, the two that are no numbers too, read alone and among many queries. */
static void open_coded(call *run, int64_t rows) {
  static const char *const names[] = {"Hkv", "G", "D", "P", "L", "S", "R"};
  const int64_t sizes[] = {1, 1, 16, 16, 1, 1, rows};
  const tn_attention_paged_args *a = (const void *)run->args;
  for (;;) {
    for (int32_t i = 0; i < 7; i++) set_size(run, names[i], sizes[i]);
    call_open(run, TN_OP_attention_paged, SIZES_ODD, TN_F32, NULL);
    if (a->v_cache.dtype == TN_F8_E4M3 && a->k_cache.dtype == TN_F32) return;
    call_close(run);
  }
}

static void check_codes(const tn_ops *ops, int64_t rows) {
  call run = {0};
  tn_stream *stream = open_stream(NULL);
  tn_attention_paged_args *a = (void *)run.args;
  open_coded(&run, rows);
  uint8_t *codes = tn_tensor_data(&a->v_cache);
  const float *scale = tn_tensor_data(&a->v_scale);
  int32_t *position = tn_tensor_data(&a->row_position), *table = tn_tensor_data(&a->block_table);
  for (int64_t r = 0; r < rows; r++) position[r] = 0; /* the value of one token alone comes out */
  a->window = 0;
  for (int32_t first = 0; first < 256; first += 16) {
    for (int32_t i = 0; i < 16; i++) codes[table[0] * 256 + i] = (uint8_t)(first + i);
    call_must_run(ops, stream, &run);
    for (int64_t j = 0; j < rows * 16; j++) {
      float want = tn_f8_e4m3_to_f32((uint8_t)(first + j % 16)) * scale[table[0] * 16];
      float got = ((const float *)tn_tensor_data(&a->out))[j];
      if (isnan(want) ? !isnan(got) : fabsf(got - want) > 1e-6f * fabsf(want))
        fail_msg("code %d is %g, must be %g", (int)(first + j % 16), (double)got, (double)want);
    }
  }
  tn_stream_close(stream);
  call_close(&run);
}

static void each_code_of_float8_is_read(void **state) {
  for (int32_t isa = 0; isa < ISA_NAMES; isa++)
    for (int32_t many = 0; many < 2 && tn_ops_cpu(isa_names[isa]); many++)
      check_codes(tn_ops_cpu(isa_names[isa]), many ? 20 : 1);
}

static void open_written(call *run) {
  static const char *const names[] = {"R", "Hkv", "D", "P"};
  const int64_t sizes[] = {1, 1, 256, 16};
  const tn_kv_write_args *a = (const void *)run->args;
  for (;;) {
    for (int32_t i = 0; i < 4; i++) set_size(run, names[i], sizes[i]);
    call_open(run, TN_OP_kv_write, SIZES_ODD, TN_F32, NULL);
    if (a->k_cache.dtype == TN_F8_E4M3 && a->v_cache.dtype == TN_F8_E4M3) return;
    call_close(run);
  }
}

/* Values around the middle between two codes; the largest, 448, keeps the scale at 1. */
static void fill_between(float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint8_t code = (uint8_t)(draw_below(0x7e) | (draw_below(2) << 7));
    float a = tn_f8_e4m3_to_f32(code), b = tn_f8_e4m3_to_f32((uint8_t)(code + 1));
    float middle = (a + b) / 2;
    int64_t which = draw_below(4);
    x[i] = which == 0 ? a : which == 1 ? middle : nextafterf(middle, which == 2 ? 500 : -500);
  }
  x[draw_below(n)] = 448;
}

static void check_written(const uint8_t *codes, int64_t step, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (codes[i * step] != tn_f32_to_f8_e4m3(x[i]))
      fail_msg("%.9g is code %d, must be %d", (double)x[i], codes[i * step],
               tn_f32_to_f8_e4m3(x[i]));
}

/* Every code of float8 is written as it rounds one by one. */
static void each_code_of_float8_is_written(void **state) {
  for (int32_t isa = 0; isa < ISA_NAMES; isa++) {
    const tn_ops *ops = tn_ops_cpu(isa_names[isa]);
    if (!ops) continue;
    call run = {0};
    tn_stream *stream = open_stream(NULL);
    open_written(&run);
    const tn_kv_write_args *a = (const void *)run.args;
    ((int32_t *)tn_tensor_data(&a->slots))[0] = 3;
    float *k = tn_tensor_data(&a->k), *v = tn_tensor_data(&a->v);
    for (int32_t i = 0; i < 40; i++) {
      fill_between(k, 256);
      fill_between(v, 256);
      call_must_run(ops, stream, &run);
      assert_true(((const float *)tn_tensor_data(&a->k_scale))[3] == 1);
      check_written((const uint8_t *)tn_tensor_data(&a->k_cache) + 3, 16, k, 256);
      check_written((const uint8_t *)tn_tensor_data(&a->v_cache) + 3 * 256, 1, v, 256);
    }
    tn_stream_close(stream);
    call_close(&run);
  }
}

static bool same_place(const call *c, int32_t out, int32_t in) {
  const tn_op_tensor_info *a = &c->info->tensors[out], *b = &c->info->tensors[in];
  return a->role == TN_ROLE_OUT && b->role == TN_ROLE_IN && a->kind == b->kind &&
         strcmp(a->dims, b->dims) == 0;
}

/* Gives tensor `out` the memory of tensor `in`. */
static void alias(call *c, int32_t out, int32_t in) {
  *call_tensor(c, out) = *call_tensor(c, in);
}

static void assert_same_outputs(call *a, call *b, const char *what) {
  for (int32_t i = 0; i < a->info->tensor_count; i++) {
    const tn_tensor *x = call_tensor(a, i), *y = call_tensor(b, i);
    if (!is_written(a, i)) continue;
    if (memcmp(tn_tensor_data(x), tn_tensor_data(y), (size_t)tn_tensor_bytes(x)))
      fail_msg("%s: %s: %s differs", a->info->name, what, a->info->tensors[i].name);
  }
}

static void check_in_place(const tn_ops *ops, tn_op_id op, tn_dtype real) {
  call base = {0}, plain, placed;
  call_open(&base, op, SIZES_ODD, real, NULL);
  tn_stream *stream = open_stream(NULL);
  call_copy(&plain, &base, TN_DTYPE_COUNT);
  call_must_run(ops, stream, &plain);
  int32_t count = base.info->tensor_count, pairs = 0;
  for (int32_t out = 0; out < count; out++)
    for (int32_t in = 0; in < count; in++) {
      if (!same_place(&base, out, in)) continue;
      pairs++;
      call_copy(&placed, &base, TN_DTYPE_COUNT);
      alias(&placed, out, in);
      tn_error err = {0};
      if (tn_op_check(op, placed.args, &err)) fail_msg("%s", err.text);
      call_must_run(ops, stream, &placed);
      assert_same_outputs(&plain, &placed, "in place");
      call_close(&placed);
    }
  assert_true(pairs > 0);
  if (op == TN_OP_glu_backward) { /* both at once, as the summary says */
    call_copy(&placed, &base, TN_DTYPE_COUNT);
    alias(&placed, call_find(base.info, "dgate"), call_find(base.info, "gate"));
    alias(&placed, call_find(base.info, "dup"), call_find(base.info, "up"));
    call_must_run(ops, stream, &placed);
    assert_same_outputs(&plain, &placed, "in place");
    call_close(&placed);
  }
  tn_stream_close(stream);
  call_close(&plain);
  call_close(&base);
}

static void rows_work_in_place_where_they_say_so(void **state) {
  int32_t rows = 0;
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    if (!strstr(tn_op_describe((tn_op_id)op)->summary, "in place")) continue;
    rows++;
    for (int32_t i = 0; i < 3; i++) {
      check_in_place(tn_ops_ref(), (tn_op_id)op, i ? TN_BF16 : TN_F32);
      for (int32_t isa = 0; isa < ISA_NAMES; isa++)
        if (tn_ops_cpu(isa_names[isa]))
          check_in_place(tn_ops_cpu(isa_names[isa]), (tn_op_id)op, i ? TN_BF16 : TN_F32);
    }
  }
  assert_true(rows >= 5);
}

/* Rows of several products may have written one when they fail. */
static bool may_have_written(const call *c, int32_t i) {
  bool several = c->op == TN_OP_linear_pair || c->op == TN_OP_linear_triple;
  return several && c->info->tensors[i].role == TN_ROLE_OUT;
}

static void forget_written(call *to, call *from) {
  for (int32_t i = 0; i < to->info->tensor_count; i++) {
    const tn_tensor *t = call_tensor(to, i);
    if (may_have_written(to, i))
      memcpy(tn_tensor_data(t), tn_tensor_data(call_tensor(from, i)), (size_t)tn_tensor_bytes(t));
  }
}

/* Each allocation fails in turn: an ordinary error, nothing leaks, and nothing has been written. */
static void check_memory(const tn_ops *ops, tn_op_id op) {
  call base = {0}, run;
  call_open(&base, op, SIZES_ODD, TN_F32, NULL);
  call_copy(&run, &base, TN_DTYPE_COUNT);
  tn_stream *stream = open_stream(NULL);
  int64_t live = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = call_run(ops, stream, &run, &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_true(err.text[0] != 0);
    assert_int_equal(tn_alloc_live(), live);
    forget_written(&run, &base);
    assert_same_bits(&base, &run, "after a failure");
    assert_true(n < 100);
  }
  tn_stream_close(stream);
  call_close(&run);
  call_close(&base);
}

static void out_of_memory_is_an_ordinary_error(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    check_memory(tn_ops_ref(), (tn_op_id)op);
    for (int32_t isa = 0; isa < ISA_NAMES; isa++)
      if (tn_ops_cpu(isa_names[isa])) check_memory(tn_ops_cpu(isa_names[isa]), (tn_op_id)op);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(every_row_in_every_type, seed_setup),
      cmocka_unit_test_setup(every_row_with_mixed_types, seed_setup),
      cmocka_unit_test_setup(every_row_of_size_one, seed_setup),
      cmocka_unit_test_setup(every_row_without_rows, seed_setup),
      cmocka_unit_test_setup(linear_at_the_edges_of_its_blocks, seed_setup),
      cmocka_unit_test_setup(a_large_vocabulary_takes_several_chunks, seed_setup),
      cmocka_unit_test_setup(what_is_fused_has_the_bits_of_its_parts, seed_setup),
      cmocka_unit_test_setup(each_code_of_float8_is_read, seed_setup),
      cmocka_unit_test_setup(each_code_of_float8_is_written, seed_setup),
      cmocka_unit_test_setup(rows_work_in_place_where_they_say_so, seed_setup),
      cmocka_unit_test_setup(out_of_memory_is_an_ordinary_error, seed_setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
