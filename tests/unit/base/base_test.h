/* base_test.h - what every unit test of base includes before anything else. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TEST_BASE_TEST_H
#define TN_TEST_BASE_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define assert_ok(expr)                                                       \
  do {                                                                        \
    tn_status status_ = (expr);                                               \
    if (status_ != TN_OK) fail_msg("%s: %s", #expr, tn_status_text(status_)); \
  } while (0)

#define assert_holds(text, part)                                              \
  do {                                                                        \
    if (!strstr((text), (part))) fail_msg("\"%s\" lacks \"%s\"", text, part); \
  } while (0)

/* Runs attempt(context) with its first, second, ... allocation failing until one run needs fewer
 * allocations.  Every failing run must say TN_ERR_MEMORY and leave no block behind; `attempt` frees
 * what it made.  Gives the number of runs that failed. */
static inline int fail_each_allocation(tn_status (*attempt)(void *, tn_error *), void *context) {
  for (int n = 1; n < 10000; n++) {
    tn_error err = {0};
    int64_t live = tn_alloc_live();
    tn_alloc_fail_at(n);
    tn_status status = attempt(context, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) return n - 1;
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_int_equal(err.status, TN_ERR_MEMORY);
    assert_true(err.text[0] != '\0');
  }
  fail_msg("still failing after 10000 allocations");
  return -1;
}

#endif
