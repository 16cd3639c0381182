/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"

static bool collect(void *context, tn_str data) {
  tn_strbuf *all = context;
  tn_strbuf_add_char(all, '[');
  tn_strbuf_add_str(all, data);
  tn_strbuf_add_char(all, ']');
  return !tn_str_is(data, "stop");
}

static const char stream_text[] =
    ": comment\n\ndata: one\n\nevent: x\ndata:two\r\ndata:  three\r\n\r\ndata\n\ndata: \n\nid: "
    "7\n\n"
    "data: cut";

static void every_split_gives_the_same_events(void **state) {
  (void)state;
  const size_t length = sizeof stream_text - 1;
  for (size_t cut = 0; cut <= length; cut++) {
    tn_sse sse = {0};
    tn_strbuf all = {0};
    tn_error err;
    assert_int_equal(tn_sse_feed(&sse, (tn_str){stream_text, cut}, collect, &all, &err), TN_OK);
    tn_str rest = {stream_text + cut, length - cut};
    assert_int_equal(tn_sse_feed(&sse, rest, collect, &all, &err), TN_OK);
    assert_string_equal(all.data, "[one][two\n three][]");
    tn_strbuf_clear(&all);
    tn_sse_clear(&sse);
  }
}

static void callback_stops_it(void **state) {
  (void)state;
  tn_sse sse = {0};
  tn_strbuf all = {0};
  tn_error err;
  assert_int_equal(tn_sse_feed(&sse, TN_STR("data: stop\n\ndata: more\n\n"), collect, &all, &err),
                   TN_END);
  assert_string_equal(all.data, "[stop]");
  tn_strbuf_clear(&all);
  tn_sse_clear(&sse);
}

static void long_lines_and_events_are_refused(void **state) {
  (void)state;
  tn_sse sse = {.bytes_max = 10};
  tn_strbuf all = {0};
  tn_error err;
  assert_int_equal(tn_sse_feed(&sse, TN_STR("data: 12345"), collect, &all, &err), TN_ERR_LIMIT);
  assert_non_null(strstr(err.text, "11 bytes, limit 10"));
  tn_sse_clear(&sse);
  assert_int_equal(
      tn_sse_feed(&sse, TN_STR("data:12345\ndata:12345\ndata:1\n"), collect, &all, &err),
      TN_ERR_LIMIT);
  tn_strbuf_clear(&all);
  tn_sse_clear(&sse);
}

static void failed_allocations_are_reported(void **state) {
  (void)state;
  int64_t live = tn_alloc_live();
  bool failed_once = false;
  for (int64_t n = 1; n < 20; n++) {
    tn_sse sse = {0};
    tn_strbuf all = {0};
    tn_alloc_fail_at(n);
    tn_status status = tn_sse_feed(&sse, TN_STR("data: one\n\ndata: two\n\n"), collect, &all, NULL);
    tn_alloc_fail_at(0);
    assert_true(status == TN_OK || status == TN_ERR_MEMORY);
    if (status == TN_ERR_MEMORY) failed_once = true;
    tn_strbuf_clear(&all);
    tn_sse_clear(&sse);
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_true(failed_once);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_split_gives_the_same_events),
      cmocka_unit_test(callback_stops_it),
      cmocka_unit_test(long_lines_and_events_are_refused),
      cmocka_unit_test(failed_allocations_are_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
