/* One row has the same bits alone and in any batch, and every result the same bits on any number of
 * threads. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#define THREADS_MAX 3

static tn_pool *pools[THREADS_MAX + 1];

static int open_pools(void **state) {
  tn_error err = {0};
  for (int32_t i = 1; i <= THREADS_MAX; i++)
    if (tn_pool_new(&pools[i], i, &err)) fail_msg("%s", err.text);
  return 0;
}

static int close_pools(void **state) {
  for (int32_t i = 1; i <= THREADS_MAX; i++) tn_pool_free(pools[i]);
  return 0;
}

/* Does the tensor's first dimension count the rows of the batch? */
static bool is_batched(const call *c, int32_t i, const char *rows) {
  const char *dims = c->info->tensors[i].dims;
  size_t length = strlen(rows);
  return strncmp(dims, rows, length) == 0 && (dims[length] == ' ' || dims[length] == 0);
}

/* A call of row r alone: views of the batch's inputs, outputs of its own. */
static void check_alone(const tn_ops *ops, tn_stream *stream, call *batch, call *fresh,
                        const char *rows, int64_t r) {
  call alone;
  call_copy(&alone, fresh, TN_DTYPE_COUNT);
  for (int32_t i = 0; i < alone.info->tensor_count; i++)
    if (is_batched(&alone, i, rows))
      *call_tensor(&alone, i) = tn_tensor_rows(call_tensor(&alone, i), r, 1);
  call_must_run(ops, stream, &alone);
  for (int32_t i = 0; i < alone.info->tensor_count; i++) {
    if (!is_written(&alone, i) || !is_batched(&alone, i, rows)) continue;
    const tn_tensor *one = call_tensor(&alone, i);
    tn_tensor row = tn_tensor_rows(call_tensor(batch, i), r, 1);
    if (memcmp(tn_tensor_data(one), tn_tensor_data(&row), (size_t)tn_tensor_bytes(one)) == 0)
      continue;
    describe_call(batch);
    fail_msg("%s: row %" PRId64 " of %s has other bits alone", alone.info->name, r,
             alone.info->tensors[i].name);
  }
  call_close(&alone);
}

/* Rows 12 to 29 become a run of one sequence at rising positions, as prefill has them. */
static void make_prefill(call *c) {
  tn_tensor *position = call_named(c, "row_position"), *sequence = call_named(c, "row_sequence");
  int64_t tokens = call_named(c, "block_table")->shape[1] * call_named(c, "v_cache")->shape[2];
  for (int64_t r = 12; r < 30; r++) {
    set(sequence, r, get(sequence, 12));
    set(position, r, fmin(get(position, 12) + (double)(r - 12), (double)(tokens - 1)));
  }
}

static void check_row(const tn_ops *ops, tn_op_id op, const char *rows, int32_t threads,
                      tn_dtype (*pick)(void)) {
  call fresh = {0}, batch;
  set_size(&fresh, rows, 37);
  call_open(&fresh, op, SIZES_ODD, TN_F32, pick);
  if (op == TN_OP_attention_paged) make_prefill(&fresh);
  tn_stream *stream = open_stream(pools[threads]);
  call_copy(&batch, &fresh, TN_DTYPE_COUNT);
  call_must_run(ops, stream, &batch);
  for (int64_t r = 0; r < 37; r++) check_alone(ops, stream, &batch, &fresh, rows, r);
  tn_stream_close(stream);
  call_close(&batch);
  call_close(&fresh);
}

static tn_dtype pick_small(void) {
  static const tn_dtype types[] = {TN_F32, TN_BF16, TN_F16};
  return types[draw_below(3)];
}

static void a_row_alone_is_a_row_in_a_batch(void **state) {
  static const struct {
    tn_op_id op;
    const char *rows;
  } list[] = {{TN_OP_embed, "T"},
              {TN_OP_linear, "M"},
              {TN_OP_linear_pair, "M"},
              {TN_OP_linear_triple, "M"},
              {TN_OP_linear_backward_input, "M"},
              {TN_OP_rmsnorm, "T"},
              {TN_OP_rope, "T"},
              {TN_OP_glu, "T"},
              {TN_OP_bias, "T"},
              {TN_OP_layernorm, "T"},
              {TN_OP_activate, "T"},
              {TN_OP_route, "T"},
              {TN_OP_route_combine, "T"},
              {TN_OP_attention_paged, "R"},
              {TN_OP_rope_kv_write, "R"},
              {TN_OP_cross_entropy, "T"},
              {TN_OP_linear_cross_entropy, "T"},
              {TN_OP_cross_entropy_backward, "T"}};
  for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
    for (int32_t threads = 1; threads <= THREADS_MAX; threads++)
      for (int32_t isa = 0; isa < ISA_NAMES; isa++) {
        const tn_ops *ops = tn_ops_cpu(isa_names[isa]);
        check_row(ops ? ops : tn_ops_ref(), list[i].op, list[i].rows, threads, NULL);
        check_row(ops ? ops : tn_ops_ref(), list[i].op, list[i].rows, threads, pick_small);
      }
}

/* A product large enough that the rows are shared among threads, with K in several blocks. */
static void a_large_product_too(void **state) {
  for (int32_t isa = 0; isa < ISA_NAMES; isa++) {
    const tn_ops *ops = tn_ops_cpu(isa_names[isa]);
    if (!ops) continue;
    call fresh = {0}, runs[THREADS_MAX + 1];
    set_size(&fresh, "M", 150);
    set_size(&fresh, "K", 700);
    set_size(&fresh, "N", 100);
    call_open(&fresh, TN_OP_linear, SIZES_ODD, TN_F32, NULL);
    for (int32_t threads = 1; threads <= THREADS_MAX; threads++) {
      tn_stream *stream = open_stream(pools[threads]);
      call_copy(&runs[threads], &fresh, TN_DTYPE_COUNT);
      call_must_run(ops, stream, &runs[threads]);
      assert_same_bits(&runs[1], &runs[threads], "other threads");
      check_alone(ops, stream, &runs[threads], &fresh, "M", draw_below(150));
      tn_stream_close(stream);
    }
    for (int32_t threads = 1; threads <= THREADS_MAX; threads++) call_close(&runs[threads]);
    call_close(&fresh);
  }
}

static void zero_last_row(tn_tensor *t) {
  tn_tensor row = tn_tensor_rows(t, t->shape[0] - 1, 1);
  memset(tn_tensor_data(&row), 0, (size_t)tn_tensor_bytes(&row));
}

/* Up to 512 rows of a batch a weight's gradient is made row block by row block, beyond in column
 * groups: a further row of zeros changes nothing. */
static void gradients_of_weights_have_one_order_of_sums(void **state) {
  for (int32_t isa = 0; isa < ISA_NAMES; isa++) {
    const tn_ops *ops = tn_ops_cpu(isa_names[isa]);
    if (!ops) continue;
    call fresh = {0}, longer, shorter;
    set_size(&fresh, "M", 513);
    set_size(&fresh, "N", draw(193, 420)); /* some blocks of 96 or 192 rows of dw */
    set_size(&fresh, "K", draw(100, 200));
    call_open(&fresh, TN_OP_linear_backward_weight, SIZES_ODD, TN_F32, NULL);
    zero_last_row(call_named(&fresh, "dy"));
    for (int32_t threads = 1; threads <= THREADS_MAX; threads++) {
      tn_stream *stream = open_stream(pools[threads]);
      call_copy(&longer, &fresh, TN_DTYPE_COUNT);
      call_copy(&shorter, &fresh, TN_DTYPE_COUNT);
      *call_named(&shorter, "dy") = tn_tensor_rows(call_named(&shorter, "dy"), 0, 512);
      *call_named(&shorter, "x") = tn_tensor_rows(call_named(&shorter, "x"), 0, 512);
      call_must_run(ops, stream, &longer);
      call_must_run(ops, stream, &shorter);
      assert_same_bits(&longer, &shorter, "a row of zeros");
      assert_true(call_guards_hold(&shorter));
      tn_stream_close(stream);
      call_close(&longer);
      call_close(&shorter);
    }
    call_close(&fresh);
  }
}

static void threads_do_not_show(void **state) {
  for (int32_t isa = 0; isa < ISA_NAMES; isa++) {
    const tn_ops *ops = tn_ops_cpu(isa_names[isa]);
    for (int32_t op = 0; ops && op < TN_OP_COUNT; op++) {
      call fresh = {0}, one, many;
      call_open(&fresh, (tn_op_id)op, SIZES_ODD, TN_F32, NULL);
      tn_stream *stream = open_stream(pools[1]);
      call_copy(&one, &fresh, TN_DTYPE_COUNT);
      call_must_run(ops, stream, &one);
      tn_stream_close(stream);
      for (int32_t threads = 2; threads <= THREADS_MAX; threads++) {
        stream = open_stream(pools[threads]);
        call_copy(&many, &fresh, TN_DTYPE_COUNT);
        call_must_run(ops, stream, &many);
        assert_same_bits(&one, &many, "other threads");
        call_close(&many);
        tn_stream_close(stream);
      }
      call_close(&one);
      call_close(&fresh);
    }
  }
}

/* The linear rows promise the same bits from every instruction set. */
static void linear_has_the_same_bits_everywhere(void **state) {
  static const tn_op_id ops[] = {TN_OP_linear, TN_OP_linear_backward_input,
                                 TN_OP_linear_backward_weight};
  const tn_ops *a = tn_ops_cpu(isa_names[0]), *b = tn_ops_cpu(isa_names[1]);
  if (!a || !b) skip();
  for (int32_t i = 0; i < 30; i++) {
    call first = {0}, second;
    call_open(&first, ops[i % 3], SIZES_ODD, TN_F32, NULL);
    call_copy(&second, &first, TN_DTYPE_COUNT);
    tn_stream *stream = open_stream(pools[2]);
    call_must_run(a, stream, &first);
    call_must_run(b, stream, &second);
    assert_same_bits(&first, &second, "avx2 and avx512");
    tn_stream_close(stream);
    call_close(&second);
    call_close(&first);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(a_row_alone_is_a_row_in_a_batch, seed_setup),
      cmocka_unit_test_setup(a_large_product_too, seed_setup),
      cmocka_unit_test_setup(gradients_of_weights_have_one_order_of_sums, seed_setup),
      cmocka_unit_test_setup(threads_do_not_show, seed_setup),
      cmocka_unit_test_setup(linear_has_the_same_bits_everywhere, seed_setup),
  };
  return cmocka_run_group_tests(tests, open_pools, close_pools);
}
