/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include "base/str.h"

static void prefixes_suffixes_and_find(void **state) {
  tn_str s = TN_STR("model.safetensors");
  assert_true(tn_str_starts(s, TN_STR("model")));
  assert_true(tn_str_starts(s, TN_STR("")));
  assert_false(tn_str_starts(TN_STR("mod"), TN_STR("model")));
  assert_true(tn_str_ends(s, TN_STR(".safetensors")));
  assert_false(tn_str_ends(s, TN_STR("x.safetensors")));
  assert_true(tn_str_ends((tn_str){0}, TN_STR("")));
  assert_int_equal(tn_str_find(s, TN_STR("safe")), 6);
  assert_int_equal(tn_str_find(s, TN_STR("Safe")), -1);
  assert_int_equal(tn_str_find(s, TN_STR("")), 0);
  assert_int_equal(tn_str_find((tn_str){0}, TN_STR("a")), -1);
}

static void trim_takes_space_off_both_ends(void **state) {
  assert_true(tn_str_is(tn_str_trim(TN_STR(" \t\r\n a b\v\f ")), "a b"));
  assert_int_equal(tn_str_trim(TN_STR(" \n")).length, 0);
}

static void cut_gives_every_part(void **state) {
  tn_str rest = TN_STR("a,,b,");
  const char *want[] = {"a", "", "b", ""};
  for (int i = 0; i < 4; i++) {
    assert_non_null(rest.data);
    assert_true(tn_str_is(tn_str_cut(&rest, ','), want[i]));
  }
  assert_null(rest.data);
}

static void strbuf_grows_and_terminates(void **state) {
  tn_strbuf buf = {0};
  tn_strbuf_add(&buf, "a");
  for (int i = 0; i < 100; i++) tn_strbuf_addf(&buf, "%d,", i);
  tn_strbuf_add_char(&buf, '!');
  tn_strbuf_add_str(&buf, TN_STR("end"));
  tn_strbuf_append(&buf, NULL, 0);
  assert_int_equal(buf.length, 1 + 10 * 2 + 90 * 3 + 1 + 3);
  assert_int_equal(strlen(buf.data), buf.length);
  assert_holds(buf.data, "a0,1,2,");
  assert_holds(buf.data, "98,99,!end");
  tn_strbuf_reset(&buf);
  assert_string_equal(buf.data, "");
  tn_strbuf_addf(&buf, "%s", "");
  assert_int_equal(buf.length, 0);
  tn_strbuf_clear(&buf);
  tn_strbuf_addf(&buf, "%0*d", 500, 7); /* longer than any first guess */
  assert_int_equal(buf.length, 500);
  tn_strbuf_clear(&buf);
}

static tn_status fill(void *context, tn_error *err) {
  tn_strbuf buf = {0};
  for (int i = 0; i < 200; i++) {
    tn_strbuf_addf(&buf, "%d ", i);
    tn_strbuf_add_char(&buf, 'x');
    tn_strbuf_add(&buf, "yz");
  }
  tn_status status = tn_strbuf_check(&buf, err);
  if (status != TN_OK) assert_int_equal(strlen(buf.data ? buf.data : ""), buf.length);
  tn_strbuf_clear(&buf);
  return status;
}

static void failure_is_sticky(void **state) {
  assert_true(fail_each_allocation(fill, NULL) >= 3);
}

static void add_human(tn_strbuf *buf, void (*add)(tn_strbuf *, double), double value,
                      const char *want) {
  tn_strbuf_reset(buf);
  add(buf, value);
  assert_string_equal(buf->data, want);
}

static void figures_for_people(void **state) {
  tn_strbuf buf = {0};
  add_human(&buf, tn_strbuf_add_bytes_human, 0, "0 B");
  add_human(&buf, tn_strbuf_add_bytes_human, 312, "312 B");
  add_human(&buf, tn_strbuf_add_bytes_human, 1023.9, "1.0 KiB");
  add_human(&buf, tn_strbuf_add_bytes_human, 1536, "1.5 KiB");
  add_human(&buf, tn_strbuf_add_bytes_human, 1048575, "1.0 MiB");
  add_human(&buf, tn_strbuf_add_bytes_human, 1.5 * (1 << 30), "1.5 GiB");
  add_human(&buf, tn_strbuf_add_duration_human, 0.00031, "310 us");
  add_human(&buf, tn_strbuf_add_duration_human, 0.0042, "4.2 ms");
  add_human(&buf, tn_strbuf_add_duration_human, 0.042, "42 ms");
  add_human(&buf, tn_strbuf_add_duration_human, 4.2, "4.2 s");
  add_human(&buf, tn_strbuf_add_duration_human, 59.99, "1 min 00 s");
  add_human(&buf, tn_strbuf_add_duration_human, 125, "2 min 05 s");
  add_human(&buf, tn_strbuf_add_duration_human, 2 * 3600 + 180, "2 h 03 min");
  add_human(&buf, tn_strbuf_add_duration_human, 86400 * 3 + 3600, "3 d 01 h");
  const struct {
    int64_t count;
    const char *text;
  } counts[] = {{0, "0"},          {999, "999"},
                {1000, "1,000"},   {1234567, "1,234,567"},
                {-1234, "-1,234"}, {INT64_MIN, "-9,223,372,036,854,775,808"}};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    tn_strbuf_reset(&buf);
    tn_strbuf_add_count_human(&buf, counts[i].count);
    assert_string_equal(buf.data, counts[i].text);
  }
  tn_strbuf_clear(&buf);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(prefixes_suffixes_and_find),
      cmocka_unit_test(trim_takes_space_off_both_ends),
      cmocka_unit_test(cut_gives_every_part),
      cmocka_unit_test(strbuf_grows_and_terminates),
      cmocka_unit_test(failure_is_sticky),
      cmocka_unit_test(figures_for_people),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
