/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <errno.h>

#include "base/error.h"
#include "base/str.h"

static void fail_fills_status_and_text(void **state) {
  tn_error err = {0};
  assert_int_equal(tn_fail(&err, TN_ERR_DATA, "%s: %d rows", "a.csv", -3), TN_ERR_DATA);
  assert_int_equal(err.status, TN_ERR_DATA);
  assert_string_equal(err.text, "a.csv: -3 rows");
  assert_int_equal(tn_fail(NULL, TN_ERR_LIMIT, "x"), TN_ERR_LIMIT);
}

static void errno_is_classified(void **state) {
  tn_error err = {0};
  assert_int_equal(tn_fail_errno(&err, ENOMEM, "m"), TN_ERR_MEMORY);
  assert_int_equal(tn_fail_errno(&err, EINTR, "m"), TN_ERR_INTERRUPTED);
  assert_int_equal(tn_fail_errno(&err, ENOSPC, "m"), TN_ERR_IO);
  assert_int_equal(tn_fail_errno(&err, ENOENT, "%s: cannot open", "x"), TN_ERR_NOT_FOUND);
  assert_string_equal(err.text, "x: cannot open: No such file or directory");
  assert_int_equal(tn_fail_errno(NULL, EACCES, "m"), TN_ERR_IO);
}

static void context_goes_before_the_message(void **state) {
  tn_error err = {0};
  tn_fail(&err, TN_ERR_CHECKSUM, "page at byte 4096");
  assert_int_equal(tn_error_context(&err, TN_ERR_CHECKSUM, "part-%d", 3), TN_ERR_CHECKSUM);
  assert_string_equal(err.text, "part-3: page at byte 4096");
  tn_fail(&err, TN_ERR_DATA, "again: %s", err.text); /* its own text as an argument */
  assert_string_equal(err.text, "again: part-3: page at byte 4096");
}

static void long_text_is_cut_at_a_character(void **state) {
  tn_error err;
  char text[3 * 300 + 1] = "";
  for (int i = 0; i < 300; i++) memcpy(text + 3 * i, "\xE2\x82\xAC", 4);
  for (int shift = 0; shift < 4; shift++) {
    tn_fail(&err, TN_ERR_DATA, "%.*s%s", shift, "xxxx", text);
    size_t length = strlen(err.text);
    assert_in_range(length, TN_ERROR_TEXT_BYTES - 4, TN_ERROR_TEXT_BYTES - 1);
    assert_true(tn_utf8_valid(tn_str_of(err.text)));
    tn_error_context(&err, TN_ERR_DATA, "c%.*s", shift, "yyyy");
    assert_true(tn_utf8_valid(tn_str_of(err.text)));
  }
}

static void every_status_has_its_text(void **state) {
  assert_string_equal(tn_status_text(TN_OK), "ok");
  assert_string_equal(tn_status_text(TN_ERR_DEVICE), "device error");
  assert_string_equal(tn_status_text((tn_status)999), "unknown status");
}

static void memory_names_what_and_bytes(void **state) {
  tn_error err;
  assert_int_equal(tn_fail_memory(&err, "a page", 77), TN_ERR_MEMORY);
  assert_holds(err.text, "a page");
  assert_holds(err.text, "77 bytes");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fail_fills_status_and_text),
      cmocka_unit_test(errno_is_classified),
      cmocka_unit_test(context_goes_before_the_message),
      cmocka_unit_test(long_text_is_cut_at_a_character),
      cmocka_unit_test(every_status_has_its_text),
      cmocka_unit_test(memory_names_what_and_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
