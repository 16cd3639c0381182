/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include "columns/bad_rows.h"

static const tn_bad_row row = {.file = "a.csv",
                               .line = 7,
                               .byte = 123,
                               .column = {"price", 5},
                               .reason = {"\"x\" is no int64", 15},
                               .row = {"1,x,3", 5}};

static void rows_are_counted_and_written(void **state) {
  tn_strbuf text = {0};
  tn_bad_rows rows = {.on_error = TN_ON_ERROR_SKIP};
  OK(tn_sink_open_memory(&rows.sink, "bad", &text, &problem));
  OK(tn_bad_rows_add(&rows, &row, true, &problem));
  tn_bad_row whole = row;
  whole.column = (tn_str){0};
  OK(tn_bad_rows_add(&rows, &whole, false, &problem));
  assert_int_equal(rows.skipped, 1);
  assert_int_equal(rows.nulled, 1);
  assert_string_equal(text.data,
                      "{\"file\":\"a.csv\",\"line\":7,\"byte\":123,\"column\":\"price\","
                      "\"reason\":\"\\\"x\\\" is no int64\",\"row\":\"1,x,3\"}\n"
                      "{\"file\":\"a.csv\",\"line\":7,\"byte\":123,\"column\":null,"
                      "\"reason\":\"\\\"x\\\" is no int64\",\"row\":\"1,x,3\"}\n");
  tn_sink_close(rows.sink);
  tn_strbuf_clear(&text);
}

static void a_limit_is_named(void **state) {
  tn_bad_rows rows = {.on_error = TN_ON_ERROR_SKIP, .rows_max = 1};
  OK(tn_bad_rows_add(&rows, &row, true, &problem));
  assert_int_equal(tn_bad_rows_add(&rows, &row, true, &problem), TN_ERR_LIMIT);
  CONTAINS(problem.text, "a.csv: line 7: more than 1 bad rows");
  assert_int_equal(rows.skipped, 1);
}

static void names_are_read(void **state) {
  tn_on_error mode;
  OK(tn_on_error_of("null", &mode, &problem));
  assert_int_equal(mode, TN_ON_ERROR_NULL);
  assert_int_equal(tn_on_error_of("ignore", &mode, &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "'ignore' is none of fail, skip, null");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_counted_and_written),
                                     cmocka_unit_test(a_limit_is_named),
                                     cmocka_unit_test(names_are_read)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
