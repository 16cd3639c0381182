/* SPDX-License-Identifier: Apache-2.0 */
#include "any_array.h"
#include "columns/array.h"
#include "columns/gather.h"
#include "columns/value.h"

static tn_strbuf wanted, found; /* texts of one row */

static void json_of(tn_strbuf *out, const tn_field *f, const ArrowArray *a, int64_t row) {
  tn_json_writer w = {.out = out};
  tn_strbuf_reset(out);
  tn_value_json(&w, f, a, row);
  assert_false(out->failed);
}

static void same_row(const tn_field *f, const ArrowArray *a, int64_t row, const tn_field *g,
                     const ArrowArray *b, int64_t other) {
  json_of(&wanted, f, a, row);
  json_of(&found, g, b, other);
  assert_string_equal(found.data, wanted.data);
}

/* The number of nulls that the array claims is that of its bitmap, at every depth. */
static void counts_hold(const ArrowArray *a, const tn_field *f) {
  if (tn_layout_has_validity(f->type.layout)) {
    int64_t nulls = 0;
    for (int64_t i = 0; i < a->length; i++) nulls += tn_array_is_null(a, i);
    assert_int_equal(a->null_count, nulls);
    assert_int_equal(a->offset, 0);
  }
  for (int64_t i = 0; i < f->child_count; i++) counts_hold(a->children[i], &f->children[i]);
  if (f->dictionary) counts_hold(a->dictionary, f->dictionary);
}

static void gathered_rows_are_the_rows(void **state) {
  enum { ROWS = 200, FROM = 21, COUNT = 150, TAKE = 120 };
  any_array every;
  any_open(&every, any_type);
  for (int64_t c = 0; c < every.field->child_count; c++) {
    const tn_field *f = &every.field->children[c];
    any_random r = {.seed = 17 + (uint64_t)c, .null_percent = 20, .list_max = 4};
    ArrowArray whole, slice, out;
    tn_shared_array *box;
    int64_t rows[TAKE];
    OK(any_make(&whole, f, &r, ROWS, &problem));
    OK(tn_shared_array_new(&box, &whole, &problem));
    OK(tn_shared_array_view(box, FROM, COUNT, &slice, &problem));
    for (int i = 0; i < TAKE; i++) { /* stretches, single rows, nulls */
      rows[i] = i && any_below(&r, 3) && rows[i - 1] >= 0 && rows[i - 1] + 1 < COUNT
                    ? rows[i - 1] + 1
                    : any_in(&r, -1, COUNT - 1);
    }
    OK(tn_array_gather(&out, f, &slice, rows, TAKE, &problem));
    assert_int_equal(out.length, TAKE);
    counts_hold(&out, f);
    for (int i = 0; i < TAKE; i++) {
      if (rows[i] >= 0)
        same_row(f, &slice, rows[i], f, &out, i);
      else if (f->nullable && f->type.layout != TN_LAYOUT_DENSE_UNION &&
               f->type.layout != TN_LAYOUT_SPARSE_UNION)
        assert_true(tn_value_is_null(f, &out, i));
      else if (!f->nullable && f->type.layout != TN_LAYOUT_RUN_END)
        assert_false(tn_array_is_null(&out, i));
    }
    tn_array_clear(&out);
    OK(tn_array_gather(&out, f, &slice, rows, 0, &problem));
    assert_int_equal(out.length, 0);
    tn_array_clear(&out);
    tn_array_clear(&slice);
    tn_shared_array_drop(box);
  }
  any_close(&every);
}

static void rows_outside_are_refused(void **state) {
  any_array a;
  ArrowArray array, out;
  any_random r = {.seed = 1};
  tn_error err = {0};
  any_open(&a, "l");
  OK(any_make(&array, a.field, &r, 3, &problem));
  for (int64_t row = -2; row <= 3; row += 5) {
    assert_int_equal(tn_array_gather(&out, a.field, &array, &row, 1, &err), TN_ERR_ARGUMENT);
    assert_null(out.release);
  }
  tn_array_clear(&array);
  any_close(&a);
}

static void concatenated_rows_follow_each_other(void **state) {
  enum { ARRAYS = 4, ROWS = 50 };
  any_array every;
  any_open(&every, any_type);
  for (int64_t c = 0; c <= every.field->child_count; c++) { /* each, then the whole struct */
    const tn_field *f = c < every.field->child_count ? &every.field->children[c] : every.field;
    any_random r = {.seed = 99 + (uint64_t)c, .null_percent = 10, .list_max = 3};
    ArrowArray arrays[ARRAYS], out;
    const ArrowArray *pointers[ARRAYS];
    for (int i = 0; i < ARRAYS; i++) {
      OK(any_make(&arrays[i], f, &r, i == 1 ? 0 : ROWS, &problem));
      pointers[i] = &arrays[i];
    }
    arrays[2].offset = 7; /* as a slice */
    arrays[2].length = ROWS - 9;
    if (arrays[2].null_count > 0) arrays[2].null_count = -1;
    OK(tn_array_concat(&out, f, pointers, ARRAYS, &problem));
    counts_hold(&out, f);
    int64_t at = 0;
    for (int i = 0; i < ARRAYS; i++)
      for (int64_t row = 0; row < arrays[i].length; row++)
        same_row(f, &arrays[i], row, f, &out, at++);
    assert_int_equal(out.length, at);
    tn_array_clear(&out);
    OK(tn_array_concat(&out, f, NULL, 0, &problem));
    assert_int_equal(out.length, 0);
    tn_array_clear(&out);
    for (int i = 0; i < ARRAYS; i++) tn_array_clear(&arrays[i]);
  }
  any_close(&every);
}

/* A dictionary column of these values (NULL: null), one row each. */
static void dictionary_column(ArrowArray *out, const tn_field *f, const char *const *values,
                              int64_t count) {
  tn_builder *b;
  OK(tn_builder_new_field(&b, f, &problem));
  for (int64_t i = 0; i < count; i++) {
    tn_builder *d = tn_builder_dictionary(b);
    if (values[i])
      OK(tn_builder_append_str(d, tn_str_of(values[i]), &problem));
    else
      OK(tn_builder_append_null(d, &problem));
    OK(tn_builder_append_i64(b, i, &problem));
  }
  OK(tn_builder_finish(b, out, &problem));
  tn_builder_free(b);
}

static void dictionaries_become_one(void **state) {
  any_array a;
  ArrowArray arrays[2], out;
  const ArrowArray *pointers[] = {&arrays[0], &arrays[1], &arrays[0]};
  static const char *const first[] = {"a", NULL, "b"}, *const second[] = {"c", "b", NULL, "a"};
  any_open(&a, "c@{u}");
  dictionary_column(&arrays[0], a.field, first, 3);
  dictionary_column(&arrays[1], a.field, second, 4);
  OK(tn_array_concat(&out, a.field, pointers, 3, &problem));
  assert_int_equal(out.dictionary->length, 4); /* a, null, b, c */
  assert_memory_equal(out.buffers[1], "\0\1\2\3\2\1\0\0\1\2", 10);
  tn_array_clear(&out);
  OK(tn_array_concat(&out, a.field, &pointers[1], 1, &problem)); /* alone: as it is */
  assert_int_equal(out.dictionary->length, 4);
  assert_memory_equal(out.buffers[1], "\0\1\2\3", 4);
  tn_array_clear(&out);
  tn_array_clear(&arrays[0]);
  tn_array_clear(&arrays[1]);
  any_close(&a);
}

static void what_no_longer_counts_is_a_limit(void **state) {
  any_array a;
  ArrowArray arrays[2], out;
  const ArrowArray *pointers[] = {&arrays[0], &arrays[1]};
  tn_error err = {0};
  any_open(&a, "c@{u}"); /* 127 values at most beside index 0 */
  for (int k = 0; k < 2; k++) {
    char words[100][8];
    const char *values[100];
    for (int i = 0; i < 100; i++) {
      snprintf(words[i], sizeof words[i], "%d", 100 * k + i);
      values[i] = words[i];
    }
    dictionary_column(&arrays[k], a.field, values, 100);
  }
  assert_int_equal(tn_array_concat(&out, a.field, pointers, 2, &err), TN_ERR_LIMIT);
  CONTAINS(err.text, "200 values in one dictionary, indices are int8");
  assert_null(out.release);
  for (int k = 0; k < 2; k++) tn_array_clear(&arrays[k]);
  any_close(&a);
  tn_builder *b;
  any_open(&a, "+r{run_ends!=s;values=i}");
  OK(tn_builder_new_field(&b, a.field, &problem));
  OK(tn_builder_append_i64(tn_builder_child(b, 1), 5, &problem));
  OK(tn_builder_append_run(b, 20000, &problem));
  OK(tn_builder_finish(b, &arrays[0], &problem));
  tn_builder_free(b);
  pointers[1] = &arrays[0];
  assert_int_equal(tn_array_concat(&out, a.field, pointers, 2, &err), TN_ERR_LIMIT);
  CONTAINS(err.text, "40000 rows in one run-end array, run ends are int16");
  tn_array_clear(&arrays[0]);
  any_close(&a);
  /* 2 GiB of text without 2 GiB of memory: many arrays that show the same text */
  any_open(&a, "u");
  any_random r = {.seed = 4};
  OK(any_make(&arrays[0], a.field, &r, 1, &problem));
  tn_array_clear(&arrays[0]);
  OK(tn_builder_new_field(&b, a.field, &problem));
  char *text = tn_alloc(1 << 22, 1);
  OK(tn_builder_append_str(b, (tn_str){text, 1 << 22}, &problem));
  OK(tn_builder_finish(b, &arrays[0], &problem));
  tn_builder_free(b);
  tn_free(text);
  int64_t rows[513] = {0};
  assert_int_equal(tn_array_gather(&out, a.field, &arrays[0], rows, 513, &err), TN_ERR_LIMIT);
  CONTAINS(err.text, "bytes in one string array");
  tn_array_clear(&arrays[0]);
  any_close(&a);
}

static void plain_arrays_hold_the_same_values(void **state) {
  enum { ROWS = 80 };
  any_array every, plain = {0};
  any_random r = {.seed = 23, .null_percent = 15, .list_max = 3};
  ArrowArray batch, copy, out;
  any_open(&every, any_type);
  OK(tn_plain_schema(&plain.schema, &every.schema, &problem));
  OK(tn_field_tree(&plain.field, &plain.arena, &plain.schema, &problem));
  assert_false(tn_field_is_plain(every.field));
  assert_true(tn_field_is_plain(plain.field));
  OK(any_make(&batch, every.field, &r, ROWS, &problem));
  const ArrowArray *pointer = &batch;
  OK(tn_array_concat(&copy, every.field, &pointer, 1, &problem));
  batch.offset = 9; /* as a slice */
  batch.length = ROWS - 20;
  const void *kept = batch.children[tn_schema_find(&every.schema, "i64")]->buffers[1];
  OK(tn_array_plain(&out, every.field, &batch, &problem));
  assert_null(batch.release);
  assert_int_equal(out.length, ROWS - 20);
  for (int64_t i = 0; i < out.length; i++)
    same_row(every.field, &copy, 9 + i, plain.field, &out, i);
  assert_ptr_equal(out.children[tn_schema_find(&plain.schema, "i64")]->buffers[1], kept);
  static const char *const formats[][2] = {{"vstr", "u"},   {"vbin", "z"},     {"dict", "u"},
                                           {"ddict", "+l"}, {"vlist", "+l"},   {"lvlist", "+L"},
                                           {"ree", "u"},    {"ree16", "d:6,1"}};
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    int64_t c = tn_schema_find(&plain.schema, formats[i][0]);
    assert_string_equal(plain.schema.children[c]->format, formats[i][1]);
  }
  int64_t required = tn_schema_find(&plain.schema, "i64");
  assert_int_equal(plain.schema.children[required]->flags, 0);
  tn_array_clear(&copy);
  tn_array_clear(&out);
  any_close(&plain);
  any_close(&every);
}

typedef struct material {
  any_array any;
  ArrowArray a, b;
} material;

static tn_status take_and_join(void *context, tn_error *err) {
  const material *m = context;
  const ArrowArray *pointers[] = {&m->a, &m->b};
  static const int64_t rows[] = {3, -1, 4, 5, 0, 0};
  ArrowArray joined, taken, plain;
  TN_TRY(tn_array_concat(&joined, m->any.field, pointers, 2, err));
  tn_status status = tn_array_gather(&taken, m->any.field, &joined, rows, 6, err);
  tn_array_clear(&joined);
  if (status != TN_OK) return status;
  TN_TRY(tn_array_plain(&plain, m->any.field, &taken, err));
  tn_array_clear(&plain);
  ArrowSchema schema;
  TN_TRY(tn_plain_schema(&schema, &m->any.schema, err));
  tn_schema_clear(&schema);
  return TN_OK;
}

static void every_allocation_may_fail(void **state) {
  material m;
  any_random r = {.seed = 5, .null_percent = 15, .list_max = 2};
  any_open(&m.any, any_type);
  OK(any_make(&m.a, m.any.field, &r, 5, &problem));
  OK(any_make(&m.b, m.any.field, &r, 4, &problem));
  assert_true(fail_each_allocation(take_and_join, &m) > 300);
  tn_array_clear(&m.a);
  tn_array_clear(&m.b);
  any_close(&m.any);
}

static int free_texts(void **state) {
  tn_strbuf_clear(&wanted);
  tn_strbuf_clear(&found);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gathered_rows_are_the_rows),
      cmocka_unit_test(rows_outside_are_refused),
      cmocka_unit_test(concatenated_rows_follow_each_other),
      cmocka_unit_test(dictionaries_become_one),
      cmocka_unit_test(what_no_longer_counts_is_a_limit),
      cmocka_unit_test(plain_arrays_hold_the_same_values),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, free_texts);
}
