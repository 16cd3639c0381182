/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <errno.h>
#include <math.h>

static void types_have_name_format_and_bits(void **state) {
  assert_string_equal(tn_column_type_name(TN_COLUMN_TIMESTAMP_US_UTC), "timestamp[us, UTC]");
  assert_string_equal(tn_column_type_format(TN_COLUMN_DATE32), "tdD");
  assert_int_equal(tn_column_type_bits(TN_COLUMN_BOOL), 1);
  assert_int_equal(tn_column_type_bits(TN_COLUMN_STRING), 0);
  for (int t = 0; t < TN_COLUMN_TYPE_COUNT; t++) {
    ArrowSchema schema;
    tn_column_type type = (tn_column_type)t, back = TN_COLUMN_TYPE_COUNT;
    const char *name = "x";
    OK(tn_schema_new(&schema, &name, &type, 1, &problem));
    OK(tn_column_type_of(schema.children[0], &back, &problem));
    assert_int_equal(back, t);
    tn_schema_clear(&schema);
  }
}

static void foreign_types_are_named(void **state) {
  tn_column_type type;
  tn_error err = {0};
  ArrowSchema field = {.format = "+l", .name = "tags"};
  assert_int_equal(tn_column_type_of(&field, &type, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "tags");
  CONTAINS(err.text, "+l");
  ArrowSchema values = {.format = "u"};
  field = (ArrowSchema){.format = "i", .name = "city", .dictionary = &values};
  assert_int_equal(tn_column_type_of(&field, &type, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "dictionary");
}

/* Two pairs: "k" -> "value", "" -> ""; the literal's own NUL is the last byte. */
static const char metadata[] = "\2\0\0\0\1\0\0\0k\5\0\0\0value\0\0\0\0\0\0\0";

static void schemas_copy_whole(void **state) {
  const char *names[] = {"a", "b"};
  tn_column_type types[] = {TN_COLUMN_INT64, TN_COLUMN_STRING};
  ArrowSchema schema, copy;
  OK(tn_schema_new(&schema, names, types, 2, &problem));
  OK(tn_schema_set_metadata(&schema, metadata, &problem));
  OK(tn_schema_copy(&copy, &schema, &problem));
  tn_schema_clear(&schema);
  tn_schema_clear(&schema); /* released: nothing happens */
  assert_string_equal(copy.format, "+s");
  assert_int_equal(copy.n_children, 2);
  assert_int_equal(tn_metadata_bytes(copy.metadata), sizeof metadata);
  assert_memory_equal(copy.metadata, metadata, sizeof metadata);
  int64_t at = 4;
  assert_true(tn_str_is(tn_metadata_next(copy.metadata, &at), "k"));
  assert_true(tn_str_is(tn_metadata_next(copy.metadata, &at), "value"));
  assert_int_equal(tn_schema_find(&copy, "b"), 1);
  assert_int_equal(tn_schema_find(&copy, "c"), -1);
  ArrowSchema moved = *copy.children[1]; /* a consumer may move a child away */
  copy.children[1]->release = NULL;
  tn_schema_clear(&copy);
  assert_string_equal(moved.name, "b");
  assert_string_equal(moved.format, "u");
  tn_schema_clear(&moved);
}

static void endless_schemas_hit_a_limit(void **state) {
  ArrowSchema loop = {.format = "+s", .name = "", .n_children = 1};
  ArrowSchema *self = &loop;
  loop.children = &self;
  ArrowSchema copy;
  tn_error err = {0};
  assert_int_equal(tn_schema_copy(&copy, &loop, &err), TN_ERR_LIMIT);
  assert_null(copy.release);
}

static void builders_keep_values_and_nulls(void **state) {
  int64_t live = tn_alloc_live();
  for (int t = 0; t < TN_COLUMN_TYPE_COUNT; t++) {
    tn_column_type type = (tn_column_type)t;
    bool real = type == TN_COLUMN_FLOAT || type == TN_COLUMN_DOUBLE;
    bool text = tn_column_type_bits(type) == 0;
    tn_builder *b;
    OK(tn_builder_new(&b, type, &problem));
    for (int round = 0; round < 2; round++) { /* the builder is reusable */
      char word[16];
      for (int64_t i = 0; i < 1000; i++) {
        int64_t value = type == TN_COLUMN_BOOL ? i % 3 == 0 : i % 100;
        snprintf(word, sizeof word, "w%d", (int)i);
        if (i % 7 == 5)
          OK(tn_builder_append_null(b, &problem));
        else if (real)
          OK(tn_builder_append_f64(b, (double)i + 0.5, &problem));
        else if (text)
          OK(tn_builder_append_str(b, tn_str_of(word), &problem));
        else
          OK(tn_builder_append_i64(b, value, &problem));
      }
      assert_int_equal(tn_builder_length(b), 1000);
      ArrowArray a;
      OK(tn_builder_finish(b, &a, &problem));
      assert_int_equal(tn_builder_length(b), 0);
      assert_int_equal(a.length, 1000);
      assert_int_equal(a.null_count, 143);
      assert_int_equal((uintptr_t)a.buffers[1] % 64, 0);
      for (int64_t i = 0; i < 1000; i++) {
        int64_t value = type == TN_COLUMN_BOOL ? i % 3 == 0 : i % 100;
        snprintf(word, sizeof word, "w%d", (int)i);
        assert_int_equal(tn_array_is_null(&a, i), i % 7 == 5);
        if (i % 7 == 5) continue;
        if (real)
          assert_true(tn_array_f64(&a, type, i) == (double)i + 0.5);
        else if (text)
          assert_true(tn_str_is(tn_array_str(&a, i), word));
        else
          assert_int_equal(tn_array_i64(&a, type, i), value);
      }
      a.null_count = -1;
      assert_int_equal(tn_array_null_count(&a), 143);
      tn_array_clear(&a);
    }
    tn_builder_free(b);
  }
  assert_int_equal(tn_alloc_live(), live);
}

static void builders_refuse_other_kinds(void **state) {
  tn_builder *b;
  tn_error err = {0};
  OK(tn_builder_new(&b, TN_COLUMN_INT32, &problem));
  assert_int_equal(tn_builder_append_f64(b, 1, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_builder_append_str(b, TN_STR("1"), &err), TN_ERR_ARGUMENT);
  CONTAINS(err.text, "int32");
  ArrowArray a;
  OK(tn_builder_finish(b, &a, &problem)); /* empty, but with buffers */
  assert_int_equal(a.length, 0);
  assert_non_null(a.buffers[1]);
  tn_array_clear(&a);
  tn_builder_free(b);
}

static void text_beyond_two_gib_is_a_limit(void **state) {
  tn_builder *b;
  tn_error err = {0};
  OK(tn_builder_new(&b, TN_COLUMN_STRING, &problem));
  OK(tn_builder_append_str(b, TN_STR("x"), &problem));
  tn_str huge = {"", INT32_MAX}; /* never read: the check comes first */
  assert_int_equal(tn_builder_append_str(b, huge, &err), TN_ERR_LIMIT);
  assert_int_equal(tn_builder_length(b), 1);
  tn_builder_free(b);
}

static tn_status build_batch(void *context, tn_error *err) {
  const char *names[] = {"n", "s"};
  tn_column_type types[] = {TN_COLUMN_INT64, TN_COLUMN_STRING};
  ArrowSchema schema = {0}, copy = {0};
  ArrowArray children[2] = {{0}, {0}}, batch = {0};
  tn_builder *b[2] = {NULL, NULL};
  tn_status status = tn_schema_new(&schema, names, types, 2, err);
  if (status == TN_OK) status = tn_schema_copy(&copy, &schema, err);
  for (int i = 0; i < 2 && status == TN_OK; i++) status = tn_builder_new(&b[i], types[i], err);
  for (int i = 0; i < 300 && status == TN_OK; i++) {
    status = tn_builder_append_i64(b[0], i, err);
    if (status == TN_OK)
      status = i % 2 ? tn_builder_append_null(b[1], err)
                     : tn_builder_append_str(b[1], TN_STR("some words"), err);
  }
  for (int i = 0; i < 2 && status == TN_OK; i++)
    status = tn_builder_finish(b[i], &children[i], err);
  if (status == TN_OK) status = tn_batch_new(&batch, children, 2, 300, err);
  for (int i = 0; i < 2; i++) {
    tn_builder_free(b[i]);
    tn_array_clear(&children[i]);
  }
  tn_array_clear(&batch);
  tn_schema_clear(&schema);
  tn_schema_clear(&copy);
  return status;
}

static void every_allocation_may_fail(void **state) {
  assert_true(fail_each_allocation(build_batch, NULL) > 15);
}

static void batches_check_their_columns(void **state) {
  tn_builder *b;
  ArrowArray child, batch;
  tn_error err = {0};
  OK(tn_builder_new(&b, TN_COLUMN_INT8, &problem));
  OK(tn_builder_append_i64(b, -128, &problem));
  OK(tn_builder_finish(b, &child, &problem));
  assert_int_equal(tn_batch_new(&batch, &child, 1, 2, &err), TN_ERR_ARGUMENT);
  assert_non_null(child.release); /* still the caller's */
  OK(tn_batch_new(&batch, &child, 1, 1, &problem));
  assert_null(child.release);
  ArrowArray moved = *batch.children[0];
  batch.children[0]->release = NULL;
  tn_array_clear(&batch);
  assert_int_equal(tn_array_i64(&moved, TN_COLUMN_INT8, 0), -128);
  tn_array_clear(&moved);
  tn_builder_free(b);
}

static void wrapped_buffers_are_counted(void **state) {
  int64_t live = tn_alloc_live();
  tn_buffer *values;
  OK(tn_buffer_new(&values, 32, &problem));
  ((int32_t *)values->data)[3] = 42;
  tn_buffer *buffers[3] = {NULL, values, NULL};
  ArrowArray a;
  OK(tn_array_wrap(&a, TN_COLUMN_INT32, 8, 0, buffers, &problem));
  tn_buffer_drop(values);
  a.offset = 3;
  a.length = 1;
  assert_int_equal(tn_array_i64(&a, TN_COLUMN_INT32, 0), 42);
  tn_array_clear(&a);
  assert_int_equal(tn_alloc_live(), live);
}

static void text_is(tn_column_type type, int64_t value, double real, const char *expected) {
  tn_builder *b;
  ArrowArray a;
  tn_strbuf out = {0};
  OK(tn_builder_new(&b, type, &problem));
  if (type == TN_COLUMN_DOUBLE || type == TN_COLUMN_FLOAT)
    OK(tn_builder_append_f64(b, real, &problem));
  else
    OK(tn_builder_append_i64(b, value, &problem));
  OK(tn_builder_finish(b, &a, &problem));
  tn_array_text(&a, type, 0, &out);
  assert_string_equal(out.data, expected);
  tn_strbuf_clear(&out);
  tn_array_clear(&a);
  tn_builder_free(b);
}

static void values_become_text(void **state) {
  text_is(TN_COLUMN_INT64, INT64_MIN, 0, "-9223372036854775808");
  text_is(TN_COLUMN_UINT64, -1, 0, "18446744073709551615");
  text_is(TN_COLUMN_BOOL, 1, 0, "true");
  text_is(TN_COLUMN_DOUBLE, 0, 1, "1.0");
  text_is(TN_COLUMN_DOUBLE, 0, -0.0, "-0.0");
  text_is(TN_COLUMN_DOUBLE, 0, 0.1, "0.1");
  text_is(TN_COLUMN_DOUBLE, 0, -12.375, "-12.375");
  text_is(TN_COLUMN_DOUBLE, 0, 0.1 + 0.2, "0.30000000000000004");
  text_is(TN_COLUMN_DOUBLE, 0, 1e300, "1e+300");
  text_is(TN_COLUMN_DOUBLE, 0, NAN, "nan");
  text_is(TN_COLUMN_DOUBLE, 0, -INFINITY, "-inf");
  text_is(TN_COLUMN_FLOAT, 0, 0.1, "0.1");
  text_is(TN_COLUMN_DATE32, 0, 0, "1970-01-01");
  text_is(TN_COLUMN_DATE32, -1, 0, "1969-12-31");
  text_is(TN_COLUMN_DATE32, 19782, 0, "2024-02-29");
  text_is(TN_COLUMN_DATE32, -719529, 0, "-0001-12-31");
  text_is(TN_COLUMN_TIMESTAMP_US, 1709209800250000, 0, "2024-02-29T12:30:00.250000");
  text_is(TN_COLUMN_TIMESTAMP_US_UTC, 1709209800000000, 0, "2024-02-29T12:30:00Z");
  text_is(TN_COLUMN_TIMESTAMP_NS, -1, 0, "1969-12-31T23:59:59.999999999");
  text_is(TN_COLUMN_TIMESTAMP_US, INT64_MIN, 0, "-290308-12-21T19:59:05.224192");
  text_is(TN_COLUMN_TIMESTAMP_US, INT64_MAX, 0, "294247-01-10T04:00:54.775807");
  text_is(TN_COLUMN_TIMESTAMP_MS, 1, 0, "1970-01-01T00:00:00.001");
}

/* ---- streams ---- */
typedef struct counter {
  int next, freed;
  tn_status end;
} counter;

static tn_status counter_schema(void *reader, ArrowSchema *out, tn_error *err) {
  const char *name = "i";
  tn_column_type type = TN_COLUMN_INT64;
  return tn_schema_new(out, &name, &type, 1, err);
}
static tn_status counter_next(void *reader, ArrowArray *out, tn_error *err) {
  counter *c = reader;
  if (c->next == 2 && c->end == TN_END) return TN_END;
  if (c->next == 2) return tn_fail(err, c->end, "batch %d is broken", c->next);
  ArrowArray child;
  tn_builder *b;
  TN_TRY(tn_builder_new(&b, TN_COLUMN_INT64, err));
  tn_status status = tn_builder_append_i64(b, c->next++, err);
  if (status == TN_OK) status = tn_builder_finish(b, &child, err);
  tn_builder_free(b);
  TN_TRY(status);
  return tn_batch_new(out, &child, 1, 1, err);
}
static void counter_free(void *reader) {
  ((counter *)reader)->freed++;
}
static const tn_reader_ops counter_ops = {counter_schema, counter_next, counter_free};

static void own_streams_keep_their_status(void **state) {
  counter c = {.end = TN_ERR_CHECKSUM};
  ArrowArrayStream stream;
  ArrowSchema schema;
  ArrowArray batch;
  tn_error err = {0};
  OK(tn_stream_new(&stream, &counter_ops, &c, &problem));
  OK(tn_stream_schema(&stream, &schema, &problem));
  assert_string_equal(schema.children[0]->name, "i");
  tn_schema_clear(&schema);
  for (int i = 0; i < 2; i++) {
    OK(tn_stream_next(&stream, &batch, &problem));
    assert_int_equal(tn_array_i64(batch.children[0], TN_COLUMN_INT64, 0), i);
    tn_array_clear(&batch);
  }
  assert_int_equal(tn_stream_next(&stream, &batch, &err), TN_ERR_CHECKSUM);
  assert_string_equal(err.text, "batch 2 is broken");
  assert_int_equal(stream.get_next(&stream, &batch), EIO); /* as a foreigner sees it */
  assert_string_equal(stream.get_last_error(&stream), "batch 2 is broken");
  tn_stream_clear(&stream);
  tn_stream_clear(&stream);
  assert_int_equal(c.freed, 1);
}

static int foreign_next(ArrowArrayStream *s, ArrowArray *out) {
  int *calls = s->private_data;
  return (*calls)++ == 0 ? ENOSYS : 0;
}
static const char *foreign_error(ArrowArrayStream *s) {
  return "no such codec";
}

static void streams_end_and_foreign_errors_come_through(void **state) {
  counter c = {.next = 2, .end = TN_END};
  ArrowArrayStream stream;
  ArrowArray batch;
  tn_error err = {0};
  OK(tn_stream_new(&stream, &counter_ops, &c, &problem));
  assert_int_equal(tn_stream_next(&stream, &batch, &err), TN_END);
  assert_int_equal(stream.get_next(&stream, &batch), 0);
  assert_null(batch.release);
  tn_stream_clear(&stream);
  int calls = 0;
  ArrowArrayStream foreign = {
      .get_next = foreign_next, .get_last_error = foreign_error, .private_data = &calls};
  assert_int_equal(tn_stream_next(&foreign, &batch, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "no such codec");
  assert_int_equal(tn_stream_next(&foreign, &batch, &err), TN_END);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(types_have_name_format_and_bits),
      cmocka_unit_test(foreign_types_are_named),
      cmocka_unit_test(schemas_copy_whole),
      cmocka_unit_test(endless_schemas_hit_a_limit),
      cmocka_unit_test(builders_keep_values_and_nulls),
      cmocka_unit_test(builders_refuse_other_kinds),
      cmocka_unit_test(text_beyond_two_gib_is_a_limit),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(batches_check_their_columns),
      cmocka_unit_test(wrapped_buffers_are_counted),
      cmocka_unit_test(values_become_text),
      cmocka_unit_test(own_streams_keep_their_status),
      cmocka_unit_test(streams_end_and_foreign_errors_come_through),
  };
  return cmocka_run_group_tests_name("arrow", tests, NULL, NULL);
}
