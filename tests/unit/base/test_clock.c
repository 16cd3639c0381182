/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <time.h>

#include "base/clock.h"

static void real_clock_goes_forward(void **state) {
  int64_t before = tn_time_us(), clock = tn_clock_now_us(&tn_clock_real);
  struct timespec nap = {0, 3000000};
  nanosleep(&nap, NULL);
  int64_t after = tn_time_us();
  assert_true(before <= clock && clock + 3000 <= after);
}

static void unix_time_agrees_with_libc(void **state) {
  int64_t low = (int64_t)time(NULL) - 1, now_us = tn_time_unix_us();
  assert_in_range(now_us / 1000000, low, low + 60);
}

static void cpu_time_counts_work(void **state) {
  int64_t before = tn_time_cpu_us();
  volatile uint64_t sum = 0;
  int64_t stop_us = tn_time_us() + 20000000;
  while (tn_time_cpu_us() < before + 5000 && tn_time_us() < stop_us)
    for (int i = 0; i < 1000; i++) sum = sum + 1;
  assert_true(tn_time_cpu_us() >= before + 5000);
}

static int64_t read_hands(void *context) {
  return *(int64_t *)context;
}

static void a_test_turns_the_hands(void **state) {
  int64_t hands = 5;
  tn_clock clock = {read_hands, &hands};
  assert_int_equal(tn_clock_now_us(&clock), 5);
  hands = 1000;
  assert_int_equal(tn_clock_now_us(&clock), 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(real_clock_goes_forward),
      cmocka_unit_test(unix_time_agrees_with_libc),
      cmocka_unit_test(cpu_time_counts_work),
      cmocka_unit_test(a_test_turns_the_hands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
