/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <math.h>

#include "base/random.h"

/* The known answers that the authors of Philox publish for philox4x32, 10 rounds. */
static void philox_known_answers(void **state) {
  const struct {
    uint32_t counter[4], key[2], out[4];
  } cases[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t out[4];
    tn_philox(cases[i].counter, cases[i].key, out);
    assert_memory_equal(out, cases[i].out, sizeof out);
  }
}

/* u64 is the first half of the block; nothing of seed, stream and index is lost. */
static void u64_is_a_function_of_all_its_inputs(void **state) {
  assert_true(tn_random_u64(0, 0, 0) == 0xe169c58d6627e8d5u);
  uint64_t base = tn_random_u64(1, 2, 3);
  assert_true(base == tn_random_u64(1, 2, 3));
  for (int bit = 0; bit < 64; bit++) {
    uint64_t flip = (uint64_t)1 << bit;
    assert_true(base != tn_random_u64(1 ^ flip, 2, 3));
    assert_true(base != tn_random_u64(1, 2 ^ flip, 3));
    assert_true(base != tn_random_u64(1, 2, 3 ^ flip));
  }
}

/* Chi-square of 10 cells, 9 degrees of freedom: 33.7 is passed with a chance of 1 in 10,000, and
 * the numbers are the same on every run. */
static void below_is_uniform(void **state) {
  enum { DRAWS = 100000, N = 10 };
  int cells[N] = {0};
  for (uint64_t i = 0; i < DRAWS; i++) {
    uint64_t r = tn_random_below(7, 1, i, N);
    assert_true(r < N);
    cells[r]++;
  }
  double chi = 0;
  for (int i = 0; i < N; i++) chi += pow(cells[i] - DRAWS / N, 2) / (DRAWS / N);
  assert_true(chi < 33.7);
  for (uint64_t i = 0; i < 100; i++) {
    assert_true(tn_random_below(7, 2, i, 1) == 0);
    assert_true(tn_random_below(7, 3, i, UINT64_MAX) < UINT64_MAX);
  }
}

static void f64_and_normal_have_their_moments(void **state) {
  enum { DRAWS = 200000 };
  double sum = 0, sum2 = 0, n1 = 0, n2 = 0, n4 = 0;
  for (uint64_t i = 0; i < DRAWS; i++) {
    double u = tn_random_f64(3, 0, i), z = tn_random_normal(3, 1, i);
    assert_true(u >= 0 && u < 1 && isfinite(z));
    sum += u;
    sum2 += u * u;
    n1 += z;
    n2 += z * z;
    n4 += z * z * z * z;
  }
  /* five standard errors each */
  assert_true(fabs(sum / DRAWS - 0.5) < 5 * 0.2887 / sqrt(DRAWS));
  assert_true(fabs(sum2 / DRAWS - 1.0 / 3) < 5 * 0.2981 / sqrt(DRAWS));
  assert_true(fabs(n1 / DRAWS) < 5 / sqrt(DRAWS));
  assert_true(fabs(n2 / DRAWS - 1) < 5 * sqrt(2) / sqrt(DRAWS));
  assert_true(fabs(n4 / DRAWS - 3) < 5 * sqrt(96) / sqrt(DRAWS));
}

static void permute_is_a_bijection(void **state) {
  const uint64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100, 1000, 4096, 65537};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    uint64_t n = sizes[s];
    for (uint64_t seed = 0; seed < 5; seed++) {
      uint8_t *hit = tn_alloc(n, 1);
      for (uint64_t i = 0; i < n; i++) {
        uint64_t at = tn_random_permute(seed, 9, i, n);
        assert_true(at < n && !hit[at]);
        hit[at] = 1;
      }
      tn_free(hit);
    }
  }
  const uint64_t large[] = {UINT32_MAX, ((uint64_t)1 << 32) + 1, (uint64_t)1 << 63, UINT64_MAX};
  for (size_t s = 0; s < 4; s++)
    for (uint64_t i = 0; i < 50; i++) {
      uint64_t at = tn_random_permute(1, 1, i, large[s]);
      assert_true(at < large[s]);
      for (uint64_t j = 0; j < i; j++) assert_true(at != tn_random_permute(1, 1, j, large[s]));
    }
}

/* Over many seeds every permutation of 4 comes about equally often: 23 degrees of freedom, 53 is
 * passed with a chance of about 1 in 3,000. */
static void permutations_are_equally_likely(void **state) {
  enum { DRAWS = 48000, KINDS = 256 };
  int counts[KINDS] = {0}, kinds = 0;
  for (uint64_t seed = 0; seed < DRAWS; seed++) {
    uint64_t code = 0;
    for (uint64_t i = 0; i < 4; i++) code = code << 2 | tn_random_permute(seed, 0, i, 4);
    counts[code]++;
  }
  double chi = 0, want = DRAWS / 24.0;
  for (int i = 0; i < KINDS; i++) {
    if (!counts[i]) continue;
    kinds++;
    chi += pow(counts[i] - want, 2) / want;
  }
  assert_int_equal(kinds, 24);
  if (chi >= 53) fail_msg("chi-square %.1f", chi);
}

/* Where an element lands is uniform, and neighbours do not stay neighbours. */
static void permute_mixes(void **state) {
  enum { N = 1000, SEEDS = 2000 };
  int cells[10] = {0}, close = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    int64_t a = (int64_t)tn_random_permute(seed, 5, 0, N);
    int64_t b = (int64_t)tn_random_permute(seed, 5, 1, N);
    cells[a / 100]++;
    close += llabs(a - b) < 50;
  }
  double chi = 0;
  for (int i = 0; i < 10; i++) chi += pow(cells[i] - SEEDS / 10, 2) / (SEEDS / 10);
  assert_true(chi < 33.7);
  /* expected 2 * 49 / 1000 of 2000 = 196, deviation 13 */
  assert_in_range(close, 130, 262);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(philox_known_answers),
      cmocka_unit_test(u64_is_a_function_of_all_its_inputs),
      cmocka_unit_test(below_is_uniform),
      cmocka_unit_test(f64_and_normal_have_their_moments),
      cmocka_unit_test(permute_is_a_bijection),
      cmocka_unit_test(permutations_are_equally_likely),
      cmocka_unit_test(permute_mixes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
