/* SPDX-License-Identifier: Apache-2.0 */
#include "any_array.h"
#include "columns/equal.h"
#include "columns/gather.h"
#include "columns/import.h"

/* A foreign stream of one batch. */
typedef struct giver {
  const any_array *any;
  ArrowArray batch;
  bool freed;
} giver;

static tn_status giver_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &((giver *)reader)->any->schema, err);
}
static tn_status giver_next(void *reader, ArrowArray *out, tn_error *err) {
  giver *g = reader;
  if (!g->batch.release) return TN_END;
  *out = g->batch;
  g->batch.release = NULL;
  return TN_OK;
}
static void giver_free(void *reader) {
  giver *g = reader;
  tn_array_clear(&g->batch);
  g->freed = true;
}
static const tn_reader_ops giver_ops = {giver_schema, giver_next, giver_free};

static void slices_move_into_the_children(void **state) {
  any_array every;
  any_random r = {.seed = 41, .null_percent = 15, .list_max = 3};
  any_open(&every, any_type);
  giver g = {.any = &every};
  ArrowArray whole, out;
  const ArrowArray *pointer = &g.batch;
  ArrowArrayStream foreign, stream;
  ArrowSchema schema;
  OK(any_make(&g.batch, every.field, &r, 50, &problem));
  g.batch.offset = 20; /* children stay longer than offset and length need */
  g.batch.length = 25;
  OK(tn_array_concat(&whole, every.field, &pointer, 1, &problem));
  OK(tn_stream_new(&foreign, &giver_ops, &g, &problem));
  OK(tn_stream_import(&stream, &foreign, &problem));
  assert_null(foreign.release);
  OK(tn_stream_schema(&stream, &schema, &problem));
  assert_true(tn_schema_equal(&schema, &every.schema, true));
  tn_schema_clear(&schema);
  OK(tn_stream_next(&stream, &out, &problem));
  assert_int_equal(out.offset, 0);
  assert_int_equal(out.length, 25);
  for (int64_t i = 0; i < out.n_children; i++) {
    assert_int_equal(out.children[i]->length, 25);
    assert_int_equal(out.children[i]->offset, 20);
  }
  assert_true(tn_array_equal(every.field, &whole, every.field, &out));
  tn_array_clear(&out);
  assert_int_equal(tn_stream_next(&stream, &out, &problem), TN_END);
  tn_stream_clear(&stream);
  assert_true(g.freed);
  tn_array_clear(&whole);
  any_close(&every);
}

static void what_is_bad_is_refused(void **state) {
  for (int nulls = 0; nulls < 2; nulls++) {
    any_array any;
    any_random r = {.seed = 2};
    tn_builder *b;
    tn_error err = {0};
    ArrowArrayStream foreign, stream;
    ArrowArray out;
    any_open(&any, "+s{a=c@{u}}");
    giver g = {.any = &any};
    OK(tn_builder_new_field(&b, any.field, &problem));
    for (int i = 0; i < 5; i++) OK(any_append(b, any.field, &r, &problem));
    if (nulls) OK(tn_builder_append_null(b, &problem));
    OK(tn_builder_finish(b, &g.batch, &problem));
    tn_builder_free(b);
    if (!nulls) ((int8_t *)(uintptr_t)g.batch.children[0]->buffers[1])[3] = 99;
    OK(tn_stream_new(&foreign, &giver_ops, &g, &problem));
    OK(tn_stream_import(&stream, &foreign, &problem));
    assert_int_equal(tn_stream_next(&stream, &out, &err), nulls ? TN_ERR_UNSUPPORTED : TN_ERR_DATA);
    CONTAINS(err.text, nulls ? "batch 0: 1 rows that are null" : "\"a\": row 3: index 99");
    tn_stream_clear(&stream);
    any_close(&any);
  }
  any_array any;
  ArrowArrayStream foreign, stream;
  tn_error err = {0};
  any_open(&any, "l");
  giver g = {.any = &any};
  OK(tn_stream_new(&foreign, &giver_ops, &g, &problem));
  assert_int_equal(tn_stream_import(&stream, &foreign, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "arrays of int64, not record batches");
  assert_true(g.freed);
  any_close(&any);
}

static tn_status import_all(void *context, tn_error *err) {
  const any_array *any = context;
  any_random r = {.seed = 3, .null_percent = 10, .list_max = 2};
  giver g = {.any = any};
  ArrowArrayStream foreign, stream;
  ArrowArray out;
  TN_TRY(any_make(&g.batch, any->field, &r, 4, err));
  g.batch.offset = 1;
  g.batch.length = 2;
  TN_TRY(tn_stream_new(&foreign, &giver_ops, &g, err));
  TN_TRY(tn_stream_import(&stream, &foreign, err));
  tn_status status = tn_stream_next(&stream, &out, err);
  if (status == TN_OK) tn_array_clear(&out);
  tn_stream_clear(&stream);
  return status;
}

static void every_allocation_may_fail(void **state) {
  any_array any;
  any_open(&any, "+s{a=l;b=+l{item=u};c=c@{u}}");
  assert_true(fail_each_allocation(import_all, &any) > 20);
  any_close(&any);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slices_move_into_the_children),
      cmocka_unit_test(what_is_bad_is_refused),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
