/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "train/schedule.h"

static void assert_near(double a, double b) {
  if (fabs(a - b) > 1e-12) fail_msg("%.15g is not %.15g", a, b);
}

static const tn_schedule cosine = {
    .kind = TN_SCHEDULE_COSINE, .lr = 1e-3, .lr_min = 1e-4, .warmup_steps = 100, .steps = 2000};

static void warms_up_in_a_line(void **state) {
  assert_near(tn_schedule_lr(&cosine, 0), 1e-3 / 101);
  assert_near(tn_schedule_lr(&cosine, 49), 1e-3 * 50 / 101);
  assert_near(tn_schedule_lr(&cosine, 99), 1e-3 * 100 / 101);
  assert_near(tn_schedule_lr(&cosine, 100), 1e-3);
}

static void cosine_ends_at_the_minimum(void **state) {
  assert_near(tn_schedule_lr(&cosine, 1050), (1e-3 + 1e-4) / 2);
  assert_near(tn_schedule_lr(&cosine, 575), 1e-4 + 0.5 * (1 + sqrt(0.5)) * 9e-4);
  assert_near(tn_schedule_lr(&cosine, 2000), 1e-4);
  assert_near(tn_schedule_lr(&cosine, 1 << 30), 1e-4);
  for (int64_t step = 101; step < 2000; step++)
    assert_true(tn_schedule_lr(&cosine, step) < tn_schedule_lr(&cosine, step - 1));
}

static void line_and_constant(void **state) {
  tn_schedule s = cosine;
  s.kind = TN_SCHEDULE_LINEAR;
  assert_near(tn_schedule_lr(&s, 1050), (1e-3 + 1e-4) / 2);
  assert_near(tn_schedule_lr(&s, 3000), 1e-4);
  s.kind = TN_SCHEDULE_CONSTANT;
  assert_near(tn_schedule_lr(&s, 0), 1e-3 / 101);
  assert_near(tn_schedule_lr(&s, 1999), 1e-3);
  assert_near(tn_schedule_lr(&s, 3000), 1e-3);
}

static void run_shorter_than_its_warm_up(void **state) {
  tn_schedule s = cosine;
  s.steps = 50;
  assert_near(tn_schedule_lr(&s, 49), 1e-3 * 50 / 101);
  s.steps = 100;
  assert_near(tn_schedule_lr(&s, 100), 1e-4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(warms_up_in_a_line),
      cmocka_unit_test(cosine_ends_at_the_minimum),
      cmocka_unit_test(line_and_constant),
      cmocka_unit_test(run_shorter_than_its_warm_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
