/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include "base/json.h"
#include "base/span.h"
#include "base/thread.h"

/* Writes the recorder's spans and reads them back; gives the array of events. */
static const tn_json *events_of(const tn_spans *spans, tn_strbuf *text, tn_arena *arena) {
  tn_json *root;
  tn_strbuf_reset(text);
  tn_spans_write_chrome(spans, text);
  assert_ok(tn_json_parse(&root, arena, tn_strbuf_view(text), NULL, NULL));
  const tn_json *events = tn_json_get(root, "traceEvents");
  assert_non_null(events);
  return events;
}

static int64_t figure(const tn_json *object, const char *key) {
  int64_t value = -1;
  assert_ok(tn_json_get_i64(object, key, INT64_MIN, INT64_MAX, &value, NULL));
  return value;
}

static void the_ring_keeps_the_last(void **state) {
  tn_spans *spans;
  tn_strbuf text = {0};
  tn_arena arena = {0};
  assert_ok(tn_spans_new(&spans, 4, NULL));
  assert_int_equal(events_of(spans, &text, &arena)->count, 0);
  for (int i = 0; i < 10; i++) tn_span_add(spans, "step", (uint64_t)i, i * 100, i * 100 + 30);
  const tn_json *events = events_of(spans, &text, &arena);
  assert_int_equal(events->count, 4);
  for (int i = 0; i < 4; i++) {
    const tn_json *event = tn_json_at(events, i);
    assert_true(tn_str_is(tn_json_get(event, "name")->text, "step"));
    assert_true(tn_str_is(tn_json_get(event, "ph")->text, "X"));
    assert_int_equal(figure(event, "ts"), (i + 6) * 100);
    assert_int_equal(figure(event, "dur"), 30);
    assert_int_equal(figure(tn_json_get(event, "args"), "id"), i + 6);
  }
  tn_spans_free(spans);
  tn_arena_clear(&arena);
  tn_strbuf_clear(&text);
}

static void null_recorder(void **state) {
  tn_strbuf text = {0};
  tn_arena arena = {0};
  tn_span_add(NULL, "x", 1, 2, 3);
  assert_int_equal(events_of(NULL, &text, &arena)->count, 0);
  tn_spans_free(NULL);
  tn_arena_clear(&arena);
  tn_strbuf_clear(&text);
  tn_error err;
  tn_spans *spans;
  assert_int_equal(tn_spans_new(&spans, 0, &err), TN_ERR_ARGUMENT);
}

static void add_one(void *context, int64_t item, int32_t worker) {
  tn_span_add(context, "item", (uint64_t)item, item, item + 1);
}

static void any_thread_may_add(void **state) {
  tn_spans *spans;
  tn_pool *pool;
  tn_strbuf text = {0};
  tn_arena arena = {0};
  assert_ok(tn_spans_new(&spans, 1000, NULL));
  assert_ok(tn_pool_new(&pool, 4, NULL));
  tn_pool_run(pool, 1000, add_one, spans);
  tn_pool_free(pool);
  const tn_json *events = events_of(spans, &text, &arena);
  assert_int_equal(events->count, 1000);
  int64_t sum = 0;
  for (const tn_json *e = events->first; e; e = e->next) sum += figure(e, "ts");
  assert_int_equal(sum, 999 * 500);
  tn_spans_free(spans);
  tn_arena_clear(&arena);
  tn_strbuf_clear(&text);
}

static tn_status make_spans(void *context, tn_error *err) {
  tn_spans *spans;
  TN_TRY(tn_spans_new(&spans, 2, err));
  tn_spans_free(spans);
  return TN_OK;
}

static void allocation_failures(void **state) {
  assert_int_equal(fail_each_allocation(make_spans, NULL), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_ring_keeps_the_last),
      cmocka_unit_test(null_recorder),
      cmocka_unit_test(any_thread_may_add),
      cmocka_unit_test(allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
