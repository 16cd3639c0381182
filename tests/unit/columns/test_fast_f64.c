/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <time.h>

#include "base/random.h"
#include "columns/fast_f64.h"

static void is_strtod(uint64_t mantissa, int32_t exponent, int64_t *answered) {
  char text[64];
  double ours;
  if (!tn_fast_f64(mantissa, exponent, &ours)) return;
  snprintf(text, sizeof text, "%llue%d", (unsigned long long)mantissa, exponent);
  double theirs = strtod(text, NULL);
  if (memcmp(&ours, &theirs, sizeof ours) != 0) print_error("%s: %.17g\n", text, ours);
  assert_memory_equal(&ours, &theirs, sizeof ours);
  (*answered)++;
}

static void agrees_with_strtod(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  int64_t answered = 0;
  for (uint64_t i = 0; i < 200000; i++) {
    uint64_t mantissa = tn_random_u64(seed, 1, i) >> tn_random_below(seed, 2, i, 64);
    is_strtod(mantissa, (int32_t)tn_random_below(seed, 3, i, 180) - 90, &answered);
  }
  assert_true(answered > 150000);
}

/* Half way between two doubles, and one above and below: 2^53 + 1 and its like at other scales. */
static void ties_go_to_even(void **state) {
  int64_t answered = 0;
  for (int32_t exponent = -30; exponent <= 30; exponent++)
    for (uint64_t k = 0; k < 200; k++)
      for (int64_t d = -1; d <= 1; d++) {
        is_strtod((((uint64_t)1 << 53) + 2 * k + 1 + (uint64_t)d) << k % 10, exponent, &answered);
        is_strtod(9007199254740993u * 1000 + (uint64_t)((int64_t)k * 1000 + d), exponent,
                  &answered);
      }
  assert_true(answered > 30000);
}

/* Doubles printed with 17 digits, as most programs write them. */
static void printed_doubles_come_back(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  for (uint64_t i = 0; i < 100000; i++) {
    double value = (double)tn_random_u64(seed, 4, i) * (i % 2 ? 0x1p-64 : 0x1p-90), back;
    char text[40];
    snprintf(text, sizeof text, "%.16e", value); /* d.dddde-XX */
    char *e = strchr(text, 'e');
    uint64_t mantissa = (uint64_t)(text[0] - '0');
    for (char *p = text + 2; p < e; p++) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    assert_true(tn_fast_f64(mantissa, (int32_t)strtol(e + 1, NULL, 10) - 16, &back));
    assert_memory_equal(&back, &value, sizeof value);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_strtod),
      cmocka_unit_test(ties_go_to_even),
      cmocka_unit_test(printed_doubles_come_back),
  };
  return cmocka_run_group_tests_name("fast f64", tests, NULL, NULL);
}
