/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "any_array.h"
#include "columns/half.h"

static tn_builder *builder_of(any_array *a, const char *type) {
  tn_builder *b;
  any_open(a, type);
  OK(tn_builder_new_field(&b, a->field, &problem));
  return b;
}

static void finished(tn_builder *b, any_array *a, ArrowArray *out) {
  OK(tn_builder_finish(b, out, &problem));
  tn_builder_free(b);
  any_close(a);
}

static void lists_close_what_was_appended(void **state) {
  static const char *const types[] = {"+l{item=l}", "+L{item=l}", "+vl{item=l}", "+vL{item=l}"};
  for (int t = 0; t < 4; t++) {
    any_array a;
    ArrowArray out;
    tn_builder *b = builder_of(&a, types[t]), *items = tn_builder_child(b, 0);
    OK(tn_builder_append_i64(items, 1, &problem));
    OK(tn_builder_append_i64(items, 2, &problem));
    OK(tn_builder_end_list(b, &problem));
    OK(tn_builder_append_null(b, &problem));
    OK(tn_builder_end_list(b, &problem));
    OK(tn_builder_append_null(items, &problem));
    OK(tn_builder_end_list(b, &problem));
    OK(tn_builder_append_i64(items, 9, &problem)); /* belongs to no value: cut off */
    finished(b, &a, &out);
    assert_int_equal(out.length, 4);
    assert_int_equal(out.null_count, 1);
    assert_int_equal(*(const uint8_t *)out.buffers[0], 13);
    assert_int_equal(out.children[0]->length, 3);
    assert_int_equal(out.children[0]->null_count, 1);
    static const int64_t offsets[] = {0, 2, 2, 2, 3}, sizes[] = {2, 0, 0, 1};
    for (int i = 0; i < 4 + (t < 2); i++)
      assert_int_equal(
          t % 2 ? ((const int64_t *)out.buffers[1])[i] : ((const int32_t *)out.buffers[1])[i],
          offsets[i]);
    for (int i = 0; t >= 2 && i < 4; i++)
      assert_int_equal(
          t % 2 ? ((const int64_t *)out.buffers[2])[i] : ((const int32_t *)out.buffers[2])[i],
          sizes[i]);
    tn_array_clear(&out);
  }
}

static void null_structs_fill_their_children(void **state) {
  any_array a;
  ArrowArray out;
  tn_builder *b = builder_of(
      &a, "+s{a=i;b!=u;c!=+w:2{item!=i};d!=+l{item=i};e!=c@{u};f!=+r{run_ends!=i;values!=l}}");
  OK(tn_builder_append_null(b, &problem));
  OK(tn_builder_append_null(b, &problem));
  finished(b, &a, &out);
  assert_int_equal(out.null_count, 2);
  static const int64_t nulls[] = {2, 0, 0, 0, 0, 0};
  for (int i = 0; i < 6; i++) {
    assert_int_equal(out.children[i]->length, 2);
    assert_int_equal(out.children[i]->null_count, nulls[i]);
  }
  assert_int_equal(out.children[2]->children[0]->length, 4);
  assert_int_equal(out.children[4]->dictionary->length, 1); /* index 0 must name something */
  assert_int_equal(out.children[5]->children[1]->length, 2);
  tn_array_clear(&out);
}

static void unions_keep_codes_and_offsets(void **state) {
  for (int dense = 0; dense < 2; dense++) {
    any_array a;
    ArrowArray out;
    tn_builder *b = builder_of(&a, dense ? "+ud:5,7{i=i;s=u}" : "+us:5,7{i=i;s=u}");
    OK(tn_builder_append_str(tn_builder_child(b, 1), TN_STR("x"), &problem));
    OK(tn_builder_append_union(b, 1, &problem));
    OK(tn_builder_append_i64(tn_builder_child(b, 0), 42, &problem));
    OK(tn_builder_append_union(b, 0, &problem));
    OK(tn_builder_append_null(b, &problem));
    OK(tn_builder_append_str(tn_builder_child(b, 1), TN_STR("dropped"), &problem));
    finished(b, &a, &out);
    assert_memory_equal(out.buffers[0], "\7\5\5", 3);
    assert_int_equal(out.n_buffers, dense ? 2 : 1);
    assert_int_equal(out.children[0]->length, dense ? 2 : 3);
    assert_int_equal(out.children[1]->length, dense ? 1 : 3);
    static const int32_t offsets[] = {0, 0, 1};
    if (dense) assert_memory_equal(out.buffers[1], offsets, sizeof offsets);
    tn_array_clear(&out);
  }
}

static void runs_end_where_they_end(void **state) {
  any_array a;
  ArrowArray out;
  tn_error err = {0};
  tn_builder *b = builder_of(&a, "+r{run_ends!=s;values=u}");
  OK(tn_builder_append_str(tn_builder_child(b, 1), TN_STR("x"), &problem));
  OK(tn_builder_append_run(b, 30000, &problem));
  OK(tn_builder_append_null(b, &problem));
  OK(tn_builder_append_str(tn_builder_child(b, 1), TN_STR("y"), &problem));
  assert_int_equal(tn_builder_append_run(b, 3000, &err), TN_ERR_LIMIT);
  CONTAINS(err.text, "int16");
  OK(tn_builder_append_run(b, 2000, &problem));
  tn_builder_cut(b, 30500); /* inside the third run */
  finished(b, &a, &out);
  assert_int_equal(out.length, 30500);
  assert_int_equal(out.n_buffers, 0);
  static const int16_t ends[] = {30000, 30001, 30500};
  assert_int_equal(out.children[0]->length, 3);
  assert_memory_equal(out.children[0]->buffers[1], ends, sizeof ends);
  assert_int_equal(out.children[1]->length, 3);
  tn_array_clear(&out);
}

static void views_hold_short_text(void **state) {
  any_array a;
  ArrowArray out;
  tn_builder *b = builder_of(&a, "vu");
  OK(tn_builder_append_str(b, TN_STR("exactly12by."), &problem));
  OK(tn_builder_append_null(b, &problem));
  OK(tn_builder_append_str(b, TN_STR("thirteen byte"), &problem));
  finished(b, &a, &out);
  assert_int_equal(out.n_buffers, 4);
  assert_int_equal(*(const int64_t *)out.buffers[3], 13);
  assert_memory_equal(out.buffers[1], "\14\0\0\0exactly12by.", 16);
  assert_memory_equal((const char *)out.buffers[1] + 32, "\15\0\0\0thir\0\0\0\0\0\0\0\0", 16);
  assert_memory_equal(out.buffers[2], "thirteen byte", 13);
  tn_array_clear(&out);
  b = builder_of(&a, "vz"); /* nothing long: no data buffer, but the sizes */
  OK(tn_builder_append_str(b, TN_STR("short"), &problem));
  finished(b, &a, &out);
  assert_int_equal(out.n_buffers, 3);
  assert_non_null(out.buffers[2]);
  tn_array_clear(&out);
}

static void flat_values_fill_their_width(void **state) {
  static const struct {
    const char *type;
    int64_t value;
    const char *bytes;
    size_t count;
  } rows[] = {
      {"d:5,2,32", -2, "\xfe\xff\xff\xff", 4},
      {"d:30,2", -2, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16},
      {"tts", 5, "\5\0\0\0", 4},
      {"ttn", 5, "\5\0\0\0\0\0\0\0", 8},
      {"tDs", -1, "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
      {"tiM", 14, "\16\0\0\0", 4},
      {"tdm", 86400000, "\0\x5c\x26\5\0\0\0\0", 8},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    any_array a;
    ArrowArray out;
    tn_builder *b = builder_of(&a, rows[i].type);
    OK(tn_builder_append_i64(b, rows[i].value, &problem));
    OK(tn_builder_append_str(b, (tn_str){rows[i].bytes, rows[i].count}, &problem));
    finished(b, &a, &out);
    assert_memory_equal(out.buffers[1], rows[i].bytes, rows[i].count);
    assert_memory_equal((const char *)out.buffers[1] + rows[i].count, rows[i].bytes, rows[i].count);
    tn_array_clear(&out);
  }
}

static void what_does_not_fit_is_refused(void **state) {
  any_array a;
  tn_error err = {0};
  tn_builder *b = builder_of(&a, "w:3");
  assert_int_equal(tn_builder_append_str(b, TN_STR("four"), &err), TN_ERR_ARGUMENT);
  CONTAINS(err.text, "4 bytes");
  assert_int_equal(tn_builder_append_i64(b, 1, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_builder_end_list(b, &err), TN_ERR_ARGUMENT);
  tn_builder_free(b);
  any_close(&a);
  b = builder_of(&a, "+s{a=i;b=i}");
  OK(tn_builder_append_i64(tn_builder_child(b, 0), 1, &problem));
  assert_int_equal(tn_builder_end_struct(b, &err), TN_ERR_ARGUMENT);
  CONTAINS(err.text, "child 1 has 0 values");
  assert_int_equal(tn_builder_append_union(b, 0, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_builder_append_run(b, 1, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_builder_append_str(b, TN_STR("x"), &err), TN_ERR_ARGUMENT);
  tn_builder *flat;
  assert_int_equal(tn_builder_new_type(&flat, &a.field->type, &err), TN_ERR_ARGUMENT);
  tn_builder_free(b);
  any_close(&a);
  b = builder_of(&a, "+w:2{item=i}");
  OK(tn_builder_append_i64(tn_builder_child(b, 0), 1, &problem));
  assert_int_equal(tn_builder_end_list(b, &err), TN_ERR_ARGUMENT);
  OK(tn_builder_append_i64(tn_builder_child(b, 0), 1, &problem));
  OK(tn_builder_end_list(b, &problem));
  tn_builder_free(b);
  any_close(&a);
  b = builder_of(&a, "+ud:{}");
  assert_int_equal(tn_builder_append_null(b, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_builder_append_union(b, 0, &err), TN_ERR_ARGUMENT);
  tn_builder_free(b);
  any_close(&a);
}

static void offsets_of_32_bits_end_at_two_gib(void **state) {
  any_array a;
  tn_error err = {0};
  tn_str huge = {"", INT32_MAX}; /* never read: the check comes first */
  static const char *const types[] = {"u", "vz"};
  for (int i = 0; i < 2; i++) {
    tn_builder *b = builder_of(&a, types[i]);
    OK(tn_builder_append_str(b, TN_STR("more than twelve bytes"), &problem));
    assert_int_equal(tn_builder_append_str(b, huge, &err), TN_ERR_LIMIT);
    CONTAINS(err.text, "2 GiB");
    assert_int_equal(tn_builder_length(b), 1);
    tn_builder_free(b);
    any_close(&a);
  }
  tn_builder *b = builder_of(&a, "+l{item=n}"); /* items without memory */
  tn_builder *items = tn_builder_child(b, 0);
  items->length = items->null_count = (int64_t)INT32_MAX + 1; /* nulls are only counted */
  assert_int_equal(tn_builder_end_list(b, &err), TN_ERR_LIMIT);
  tn_builder_free(b);
  any_close(&a);
}

static void halves_round_once(void **state) {
  static const struct {
    double value;
    uint16_t half;
  } rows[] = {{0, 0},
              {-0.0, 0x8000},
              {1, 0x3C00},
              {-2, 0xC000},
              {65504, 0x7BFF},
              {65519.99, 0x7BFF},
              {65520, 0x7C00},
              {1e300, 0x7C00},
              {-INFINITY, 0xFC00},
              {0x1p-24, 1},
              {0x1p-25, 0},
              {0x1.0000001p-25, 1},
              {0x1p-14, 0x0400},
              {1 + 0x1p-11, 0x3C00},           /* a tie: to even */
              {1 + 0x1p-11 + 0x1p-40, 0x3C01}, /* above it, but not as a float */
              {1 + 3 * 0x1p-11, 0x3C02},       /* a tie: to even */
              {1 + 3 * 0x1p-11 - 0x1p-40, 0x3C01}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_int_equal(tn_half_of_f64(rows[i].value), rows[i].half);
  assert_true(isnan(tn_half_to_f32(tn_half_of_f64(NAN))));
  for (uint32_t h = 0; h < 65536; h++) /* every half comes back as itself */
    if (!isnan(tn_half_to_f32((uint16_t)h)))
      assert_int_equal(tn_half_of_f64((double)tn_half_to_f32((uint16_t)h)), h);
}

/* Buffers of the same values: all meaningful bytes, and nulls. */
static void same_array(const ArrowArray *a, const ArrowArray *b) {
  assert_int_equal(a->length, b->length);
  assert_int_equal(a->null_count, b->null_count);
  assert_int_equal(a->n_buffers, b->n_buffers);
  assert_int_equal(a->n_children, b->n_children);
  for (int64_t i = 0; i < a->length; i++)
    if (a->n_buffers > 1) assert_int_equal(tn_array_is_null(a, i), tn_array_is_null(b, i));
  for (int64_t i = 0; i < a->n_children; i++) same_array(a->children[i], b->children[i]);
}

static bool has_dictionary(const tn_field *f) {
  for (int64_t i = 0; i < f->child_count; i++)
    if (has_dictionary(&f->children[i])) return true;
  return f->dictionary != NULL;
}

/* Half done values and a row count in the middle: what is left equals what was built without. */
static void cut_builders_equal_shorter_ones(void **state) {
  any_array every;
  any_open(&every, any_type);
  for (int64_t c = 0; c < every.field->child_count; c++) {
    const tn_field *f = &every.field->children[c];
    for (int64_t keep = 0; keep <= 40; keep += 8) {
      tn_builder *b, *plain;
      ArrowArray cut, whole;
      any_random r = {.seed = 3, .null_percent = 20, .list_max = 3}, same = r;
      OK(tn_builder_new_field(&b, f, &problem));
      OK(tn_builder_new_field(&plain, f, &problem));
      for (int64_t i = 0; i < 40; i++) OK(any_append(b, f, &r, &problem));
      tn_builder_cut(b, keep);
      for (int64_t i = 0; i < keep; i++) OK(any_append(plain, f, &same, &problem));
      r = same;
      for (int64_t i = 0; !has_dictionary(f) && i < 20; i++) { /* whose values are not cut */
        OK(any_append(b, f, &r, &problem));
        OK(any_append(plain, f, &same, &problem));
      }
      OK(tn_builder_finish(b, &cut, &problem));
      OK(tn_builder_finish(plain, &whole, &problem));
      same_array(&cut, &whole);
      tn_array_clear(&cut);
      tn_array_clear(&whole);
      tn_builder_free(b);
      tn_builder_free(plain);
    }
  }
  any_close(&every);
}

static tn_status build_every_type(void *context, tn_error *err) {
  const any_array *every = context;
  any_random r = {.seed = 1, .null_percent = 10, .list_max = 3};
  ArrowArray batch;
  TN_TRY(any_make(&batch, every->field, &r, 30, err));
  tn_array_clear(&batch);
  return TN_OK;
}

static void every_allocation_may_fail(void **state) {
  any_array every;
  any_open(&every, any_type);
  assert_true(fail_each_allocation(build_every_type, &every) > 200);
  any_close(&every);
}

static void builders_are_reusable(void **state) {
  any_array every;
  any_open(&every, any_type);
  for (int64_t c = 0; c < every.field->child_count; c++) {
    const tn_field *f = &every.field->children[c];
    tn_builder *b;
    ArrowArray first, second;
    OK(tn_builder_new_field(&b, f, &problem));
    for (int round = 0; round < 2; round++) {
      any_random r = {.seed = 8, .null_percent = 30, .list_max = 4};
      for (int64_t i = 0; i < 200; i++) OK(any_append(b, f, &r, &problem));
      OK(tn_builder_finish(b, round ? &second : &first, &problem));
      assert_int_equal(tn_builder_length(b), 0);
    }
    same_array(&first, &second);
    for (int64_t i = 1; i < first.n_buffers; i++) /* views' sizes and short tables aside */
      if (f->type.layout != TN_LAYOUT_VIEW) assert_int_equal((uintptr_t)first.buffers[i] % 64, 0);
    tn_array_clear(&first);
    tn_array_clear(&second);
    OK(tn_builder_finish(b, &first, &problem)); /* empty */
    assert_int_equal(first.length, 0);
    tn_array_clear(&first);
    tn_builder_free(b);
  }
  any_close(&every);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lists_close_what_was_appended),
      cmocka_unit_test(null_structs_fill_their_children),
      cmocka_unit_test(unions_keep_codes_and_offsets),
      cmocka_unit_test(runs_end_where_they_end),
      cmocka_unit_test(views_hold_short_text),
      cmocka_unit_test(flat_values_fill_their_width),
      cmocka_unit_test(what_does_not_fit_is_refused),
      cmocka_unit_test(offsets_of_32_bits_end_at_two_gib),
      cmocka_unit_test(halves_round_once),
      cmocka_unit_test(cut_builders_equal_shorter_ones),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(builders_are_reusable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
