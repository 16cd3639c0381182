/* Better instruction sets stay unused: a program of its own, since the choice is made once. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

static void better_sets_stay_unused(void **state) {
  assert_false(tn_ops_limit("none such"));
  assert_true(tn_ops_limit("avx2"));
  assert_null(tn_ops_cpu("amx"));
  assert_null(tn_ops_cpu("avx512"));
  assert_non_null(tn_ops_cpu("plain"));
  const char *source = tn_op_source(tn_device_cpu(), TN_OP_linear);
  assert_string_equal(source, tn_ops_cpu("avx2") ? "avx2" : "plain");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(better_sets_stay_unused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
