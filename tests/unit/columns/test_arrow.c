/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <errno.h>

#include "columns/array.h"
#include "columns/schema.h"
#include "columns/value.h"

static tn_field field_of(const char *format) {
  tn_field field = {.name = ""};
  OK(tn_type_parse(format, &field.type, &problem));
  return field;
}

/* Two pairs: "k" -> "value", "" -> ""; the literal's own NUL is the last byte. */
static const char metadata[] = "\2\0\0\0\1\0\0\0k\5\0\0\0value\0\0\0\0\0\0\0";

static void schemas_copy_whole(void **state) {
  const char *names[] = {"a", "b"};
  const char *formats[] = {"l", "u"};
  ArrowSchema schema, copy;
  OK(tn_schema_init_flat(&schema, names, formats, 2, &problem));
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

static tn_status build_batch(void *context, tn_error *err) {
  const char *names[] = {"n", "s"};
  const char *formats[] = {"l", "u"};
  ArrowSchema schema = {0}, copy = {0};
  ArrowArray children[2] = {{0}, {0}}, batch = {0};
  tn_builder *b[2] = {NULL, NULL};
  tn_status status = tn_schema_init_flat(&schema, names, formats, 2, err);
  if (status == TN_OK) status = tn_schema_copy(&copy, &schema, err);
  for (int i = 0; i < 2 && status == TN_OK; i++)
    status = tn_builder_new_format(&b[i], formats[i], err);
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
  OK(tn_builder_new_format(&b, "c", &problem));
  OK(tn_builder_append_i64(b, -128, &problem));
  OK(tn_builder_finish(b, &child, &problem));
  assert_int_equal(tn_batch_new(&batch, &child, 1, 2, &err), TN_ERR_ARGUMENT);
  assert_non_null(child.release); /* still the caller's */
  OK(tn_batch_new(&batch, &child, 1, 1, &problem));
  assert_null(child.release);
  ArrowArray moved = *batch.children[0];
  batch.children[0]->release = NULL;
  tn_array_clear(&batch);
  tn_field field = field_of("c");
  assert_int_equal(tn_value_i64(&field, &moved, 0), -128);
  tn_array_clear(&moved);
  tn_builder_free(b);
}

static void buffers_of_arrays_are_counted(void **state) {
  int64_t live = tn_alloc_live();
  tn_buffer *values;
  tn_field field = field_of("i");
  OK(tn_buffer_new(&values, 32, &problem));
  ((int32_t *)values->data)[3] = 42;
  tn_buffer *const buffers[] = {NULL, values};
  tn_array_parts parts = {.length = 1, .offset = 3, .buffers = buffers, .buffer_count = 2};
  ArrowArray a;
  OK(tn_array_make(&a, &parts, &problem));
  tn_buffer_drop(values);
  assert_int_equal(tn_value_i64(&field, &a, 0), 42);
  tn_array_clear(&a);
  assert_int_equal(tn_alloc_live(), live);
}

static void nulls_are_counted_where_the_array_does_not_say(void **state) {
  tn_builder *b;
  ArrowArray a;
  OK(tn_builder_new_format(&b, "l", &problem));
  for (int i = 0; i < 1000; i++)
    OK(i % 7 == 5 ? tn_builder_append_null(b, &problem) : tn_builder_append_i64(b, i, &problem));
  OK(tn_builder_finish(b, &a, &problem));
  tn_builder_free(b);
  assert_int_equal(tn_array_null_count(&a), 143);
  a.null_count = -1;
  assert_int_equal(tn_array_null_count(&a), 143);
  a.offset = 5;
  a.length = 3;
  assert_int_equal(tn_array_null_count(&a), 1);
  tn_array_clear(&a);
}

/* ---- streams ---- */
typedef struct counter {
  int next, freed;
  tn_status end;
} counter;

static tn_status counter_schema(void *reader, ArrowSchema *out, tn_error *err) {
  const char *name = "i", *format = "l";
  return tn_schema_init_flat(out, &name, &format, 1, err);
}
static tn_status counter_next(void *reader, ArrowArray *out, tn_error *err) {
  counter *c = reader;
  if (c->next == 2 && c->end == TN_END) return TN_END;
  if (c->next == 2) return tn_fail(err, c->end, "batch %d is broken", c->next);
  ArrowArray child;
  tn_builder *b;
  TN_TRY(tn_builder_new_format(&b, "l", err));
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
  tn_field field = field_of("l");
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
    assert_int_equal(tn_value_i64(&field, batch.children[0], 0), i);
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
      cmocka_unit_test(schemas_copy_whole),
      cmocka_unit_test(endless_schemas_hit_a_limit),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(batches_check_their_columns),
      cmocka_unit_test(buffers_of_arrays_are_counted),
      cmocka_unit_test(nulls_are_counted_where_the_array_does_not_say),
      cmocka_unit_test(own_streams_keep_their_status),
      cmocka_unit_test(streams_end_and_foreign_errors_come_through),
  };
  return cmocka_run_group_tests_name("arrow", tests, NULL, NULL);
}
