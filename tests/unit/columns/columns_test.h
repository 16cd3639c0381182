/* columns_test.h - what the tests of this room share: cmocka, one error, allocation failures in
 * turn. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_COLUMNS_TEST_H
#define TN_TESTS_COLUMNS_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "columns/builder.h"

/* What a call inside OK() reports into: OK(tn_builder_new_format(&b, "l", &problem)). */
static tn_error problem;

static inline void must_be_ok(tn_status status, const char *file, int line) {
  if (status != TN_OK) print_error("%s: %s\n", tn_status_text(status), problem.text);
  _assert_int_equal(status, TN_OK, file, line);
}
#define OK(expr) must_be_ok((expr), __FILE__, __LINE__)

static inline void must_contain(const char *text, const char *part, const char *file, int line) {
  if (strstr(text, part)) return;
  print_error("\"%s\" does not contain \"%s\"\n", text, part);
  _fail(file, line);
}
#define CONTAINS(text, part) must_contain(text, part, __FILE__, __LINE__)

/* Runs `work` with its first, second, third ... allocation failing until it succeeds.  Each failure
 * must be TN_ERR_MEMORY and leave nothing allocated.  Returns how many allocations `work` makes. */
static inline int64_t fail_each_allocation(tn_status (*work)(void *context, tn_error *err),
                                           void *context) {
  int64_t live = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = work(context, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) return n - 1;
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_int_equal(err.status, TN_ERR_MEMORY);
  }
}

#endif
