/* The checks before every row: wrong shapes, types, places and indices are refused by name. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

static const tn_ops *checked(void) {
  return tn_ops_for(tn_device_cpu());
}

static void assert_refused(call *c, const char *a, const char *b) {
  tn_error err = {0};
  tn_stream *stream = open_stream(NULL);
  tn_status status = call_run(checked(), stream, c, &err);
  tn_stream_close(stream);
  if (status != TN_ERR_ARGUMENT || !strstr(err.text, a) || !strstr(err.text, b) ||
      strncmp(err.text, c->info->name, strlen(c->info->name)) != 0) {
    describe_call(c);
    fail_msg("status %d, \"%s\"; wanted \"%s\" and \"%s\"", (int)status, err.text, a, b);
  }
}

static void random_calls_pass(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++)
    for (int32_t mode = SIZES_ONE; mode <= SIZES_ODD; mode++) {
      call c = {0};
      tn_error err = {0};
      call_open(&c, (tn_op_id)op, (call_sizes)mode, TN_F32, NULL);
      tn_stream *stream = open_stream(NULL);
      if (call_run(checked(), stream, &c, &err)) fail_msg("%s", err.text);
      tn_stream_close(stream);
      call_close(&c);
    }
}

/* Is a size of this dimension also written elsewhere in the row? */
static bool is_shared(const call *c, int32_t tensor, tn_str name) {
  int32_t uses = 0;
  for (int32_t i = 0; i < c->info->tensor_count; i++)
    for (tn_str rest = tn_str_of(c->info->tensors[i].dims); rest.length > 0;) {
      tn_str dim = tn_str_cut(&rest, ' ');
      while (dim.length > 0) uses += tn_str_equal(tn_str_cut(&dim, '*'), name) && i != tensor;
    }
  return uses > 0;
}

/* A call that has tensor i. */
static void open_with(call *c, tn_op_id op, int32_t i, call_sizes mode) {
  for (;;) {
    call_open(c, op, mode, TN_F32, NULL);
    if (!is_absent(c, i)) return;
    call_close(c);
  }
}

/* Each dimension of each tensor one too large: refused, and the tensor or its size is named. */
static void check_dimension(tn_op_id op, int32_t i, int32_t d, tn_str dim) {
  call c = {0};
  bool product = memchr(dim.data, '*', dim.length) != NULL;
  open_with(&c, op, i, SIZES_ODD);
  if (!tn_str_is(dim, "one") && !product && !is_shared(&c, i, dim)) {
    call_close(&c);
    return;
  }
  int64_t shape[TN_RANK_MAX];
  memcpy(shape, call_tensor(&c, i)->shape, sizeof shape);
  shape[d]++;
  tn_dtype dtype = call_tensor(&c, i)->dtype;
  int32_t rank = call_tensor(&c, i)->rank;
  tn_buffer_drop(c.buffers[i]);
  make_tensor(&c, i, dtype, rank, shape);
  assert_refused(&c, c.info->tensors[i].name, "wants [");
  call_close(&c);
}

static void each_wrong_dimension_is_named(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    const tn_op_info *info = tn_op_describe((tn_op_id)op);
    for (int32_t i = 0; i < info->tensor_count; i++) {
      tn_str rest = tn_str_of(info->tensors[i].dims);
      for (int32_t d = 0; rest.length > 0; d++)
        check_dimension((tn_op_id)op, i, d, tn_str_cut(&rest, ' '));
    }
  }
}

static void each_wrong_tensor_is_named(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    const tn_op_info *info = tn_op_describe((tn_op_id)op);
    for (int32_t i = 0; i < info->tensor_count; i++) {
      call c = {0};
      open_with(&c, (tn_op_id)op, i, SIZES_ODD);
      tn_tensor *t = call_tensor(&c, i), good = *t;
      t->dtype = TN_U8;
      assert_refused(&c, info->tensors[i].name, "wants");
      *t = good;
      t->rank++;
      t->shape[t->rank - 1] = t->strides[t->rank - 1] = 1;
      assert_refused(&c, info->tensors[i].name, "wants [");
      *t = good;
      t->buffer = NULL;
      if (info->tensors[i].kind != TN_KIND_GAIN)
        assert_refused(&c, info->tensors[i].name, "no buffer");
      *t = good;
      t->offset_bytes += GUARD_BYTES + (int64_t)sizeof(double);
      assert_refused(&c, info->tensors[i].name, "reaches past its buffer");
      *t = good;
      if (tn_tensor_count(t) > 1 && t->shape[t->rank - 1] > 1) {
        t->strides[t->rank - 1] = 2;
        assert_refused(&c, info->tensors[i].name, "not contiguous");
      }
      *t = good;
      call_close(&c);
    }
  }
}

static void the_message_is_as_promised(void **state) {
  call c = {0};
  tn_error err = {0};
  set_size(&c, "T", 2);
  set_size(&c, "C", 128);
  call_open(&c, TN_OP_rmsnorm, SIZES_ODD, TN_F32, NULL);
  tn_buffer_drop(c.buffers[3]);
  make_tensor(&c, 3, TN_F32, 1, (const int64_t[]){129});
  assert_int_equal(tn_op_check(TN_OP_rmsnorm, c.args, &err), TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "rmsnorm: weight is float32[129], wants [C] with C = 128 (from x)");
  call_close(&c);
}

static void statistics_are_double_where_reals_are(void **state) {
  call c = {0};
  tn_error err = {0};
  call_open(&c, TN_OP_rmsnorm, SIZES_SMALL, TN_F64, NULL);
  assert_int_equal(tn_op_check(TN_OP_rmsnorm, c.args, &err), TN_OK);
  tn_buffer_drop(c.buffers[1]);
  make_tensor(&c, 1, TN_F32, 1, (const int64_t[]){call_named(&c, "x")->shape[0]});
  assert_refused(&c, "rstd is float32", "wants float64");
  call_close(&c);
}

static void outputs_may_not_overlap(void **state) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    const tn_op_info *info = tn_op_describe((tn_op_id)op);
    bool in_place = strstr(info->summary, "in place") != NULL;
    for (int32_t i = 0; i < info->tensor_count; i++)
      for (int32_t j = 0; j < info->tensor_count; j++) {
        const tn_op_tensor_info *a = &info->tensors[i], *b = &info->tensors[j];
        bool both = a->role != TN_ROLE_IN && b->role == TN_ROLE_IN && a->kind == b->kind;
        if (!both || strcmp(a->dims, b->dims) != 0) continue;
        call c = {0};
        call_open(&c, (tn_op_id)op, SIZES_ODD, TN_F32, NULL);
        *call_tensor(&c, i) = *call_tensor(&c, j);
        if (!in_place) assert_refused(&c, a->name, "overlap in memory");
        call_tensor(&c, i)->offset_bytes -= 4; /* half on, half off is never allowed */
        if (tn_tensor_bytes(call_tensor(&c, i)) > 4)
          assert_refused(&c, a->name, "overlap in memory");
        call_close(&c);
      }
  }
}

static void check_index(tn_op_id op, const char *name, double value, const char *text) {
  call c = {0};
  call_open(&c, op, SIZES_ODD, TN_F32, NULL);
  const tn_tensor *t = call_named(&c, name);
  set(t, tn_tensor_count(t) - 1, value);
  assert_refused(&c, name, text);
  call_close(&c);
}

static void indices_outside_are_refused(void **state) {
  check_index(TN_OP_embed, "ids", 100000, "is 100000, wants 0 to");
  check_index(TN_OP_embed, "ids", -1, "is -1, wants 0 to");
  check_index(TN_OP_embed_backward, "ids", 100000, "is 100000");
  check_index(TN_OP_take_columns, "order", 100000, "is 100000");
  check_index(TN_OP_take_columns, "order", -1, "is -1");
  check_index(TN_OP_rope, "positions", 100000, "is 100000");
  check_index(TN_OP_rope, "positions", -1, "is -1");
  check_index(TN_OP_rope_backward, "positions", 100000, "is 100000");
  check_index(TN_OP_kv_write, "slots", 1e8, "is 100000000");
  check_index(TN_OP_route_order, "experts", 100000, "is 100000");
  check_index(TN_OP_route_combine, "places", 100000, "is 100000");
  check_index(TN_OP_linear_cross_entropy, "targets", 100000, "is 100000");
  check_index(TN_OP_linear_cross_entropy_backward, "targets", 100000, "is 100000");
  check_index(TN_OP_cross_entropy, "targets", 100000, "is 100000");
  check_index(TN_OP_cross_entropy_backward, "targets", 100000, "is 100000");
  check_index(TN_OP_rope_kv_write, "slots", 1e8, "is 100000000");
  check_index(TN_OP_rope_kv_write, "positions", 100000, "is 100000");
  check_index(TN_OP_rope_kv_write, "positions", -1, "is -1");
  check_index(TN_OP_attention_paged, "row_sequence", 100000, "is 100000");
  check_index(TN_OP_attention_paged, "row_sequence", -1, "is -1");
  check_index(TN_OP_attention_paged, "row_position", 100000, "is 100000");
  check_index(TN_OP_attention_paged, "row_position", -1, "is -1");
}

/* A block that no row reaches may hold anything; one that is read may not. */
static void only_blocks_that_are_read_are_checked(void **state) {
  call c = {0};
  tn_error err = {0};
  set_size(&c, "S", 1);
  set_size(&c, "L", 3);
  set_size(&c, "R", 2);
  call_open(&c, TN_OP_attention_paged, SIZES_ODD, TN_F32, NULL);
  double block = (double)call_named(&c, "v_cache")->shape[2];
  set(call_named(&c, "row_position"), 0, 0);
  set(call_named(&c, "row_position"), 1, 2 * block - 1);
  set(call_named(&c, "block_table"), 2, -1);
  tn_stream *stream = open_stream(NULL);
  if (call_run(checked(), stream, &c, &err)) fail_msg("%s", err.text);
  tn_stream_close(stream);
  set(call_named(&c, "block_table"), 1, -1);
  assert_refused(&c, "block_table[0][1] is -1", "row 1");
  call_close(&c);
}

static void a_stream_is_needed(void **state) {
  call c = {0};
  tn_error err = {0};
  call_open(&c, TN_OP_fill, SIZES_ODD, TN_F32, NULL);
  assert_int_equal(call_run(checked(), NULL, &c, &err), TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "fill: no stream");
  call_close(&c);
}

typedef tn_status (*any_row)(void);

static any_row row_of(const tn_ops *ops, int32_t op) {
  any_row row;
  memcpy(&row, (const char *)ops + (size_t)op * sizeof row, sizeof row);
  return row;
}

/* The CPU runs for each row the best table that has it, and says which. */
static void sources_are_told(void **state) {
  const char *const best_first[] = {"amx", "avx512bf16", "avx512vnni", "avx512", "avx2", "plain"};
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    const char *best = "ref";
    for (size_t i = 0; i < sizeof best_first / sizeof *best_first; i++) {
      const tn_ops *rows = tn_ops_cpu(best_first[i]);
      if (!rows || row_of(rows, op) == row_of(tn_ops_ref(), op)) continue;
      best = best_first[i];
      break;
    }
    assert_string_equal(tn_op_source(tn_device_cpu(), (tn_op_id)op), best);
  }
  assert_null(tn_ops_cpu("none"));
}

static void scalars_outside_are_refused(void **state) {
  static const tn_op_id ops[] = {TN_OP_activate, TN_OP_activate_backward, TN_OP_glu,
                                 TN_OP_glu_backward};
  for (int32_t i = 0; i < 4; i++) {
    call c = {0};
    call_open(&c, ops[i], SIZES_ODD, TN_F32, NULL);
    *(int32_t *)(c.args + c.info->scalars[0].offset) = TN_ACT_COUNT;
    assert_refused(&c, "activation is 4", "wants 0 to 3");
    call_close(&c);
  }
}

static void a_table_may_not_turn_more_than_a_head_has(void **state) {
  call c = {0};
  set_size(&c, "D", 8);
  set_size(&c, "Dr", 9);
  call_open(&c, TN_OP_rope, SIZES_ODD, TN_F32, NULL);
  assert_refused(&c, "turns 9 values", "a head has 8");
  call_close(&c);
}

static void codes_want_a_scale(void **state) {
  call c = {0};
  for (;;) {
    open_with(&c, TN_OP_kv_write, 3, SIZES_ODD);
    if (call_named(&c, "v_cache")->dtype == TN_I8) break;
    call_close(&c);
  }
  call_named(&c, "v_scale")->buffer = NULL;
  assert_refused(&c, "v_cache is int8 and wants v_scale", "no buffer");
  call_close(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(random_calls_pass, seed_setup),
      cmocka_unit_test_setup(each_wrong_dimension_is_named, seed_setup),
      cmocka_unit_test_setup(each_wrong_tensor_is_named, seed_setup),
      cmocka_unit_test(the_message_is_as_promised),
      cmocka_unit_test_setup(statistics_are_double_where_reals_are, seed_setup),
      cmocka_unit_test_setup(outputs_may_not_overlap, seed_setup),
      cmocka_unit_test_setup(indices_outside_are_refused, seed_setup),
      cmocka_unit_test_setup(only_blocks_that_are_read_are_checked, seed_setup),
      cmocka_unit_test_setup(scalars_outside_are_refused, seed_setup),
      cmocka_unit_test_setup(a_table_may_not_turn_more_than_a_head_has, seed_setup),
      cmocka_unit_test_setup(codes_want_a_scale, seed_setup),
      cmocka_unit_test_setup(a_stream_is_needed, seed_setup),
      cmocka_unit_test(sources_are_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
