/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"

static tn_sampler *sampler_of(int64_t vocab) {
  tn_sampler *s = NULL;
  assert_int_equal(tn_sampler_new(&s, vocab, NULL), TN_OK);
  return s;
}

static tn_sample take(tn_sampler *s, const tn_sampling *how, const float *logits, int64_t index) {
  int32_t none[4096] = {0};
  tn_sample sample;
  tn_error err;
  if (tn_sampler_take(s, how, logits, none, index, &sample, &err) != TN_OK)
    fail_msg("%s", err.text);
  return sample;
}

static void greedy_takes_the_first_of_the_largest(void **state) {
  (void)state;
  const float logits[6] = {-1, 3, -INFINITY, 3, 1, 2};
  tn_sampler *s = sampler_of(6);
  assert_int_equal(take(s, &(tn_sampling){0}, logits, 0).id, 1);
  const float broken[3][6] = {{-1, 3, NAN, 3, 1, 2},
                              {-1, 3, INFINITY, 3, 1, 2},
                              {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}};
  for (int i = 0; i < 3; i++) {
    tn_sample sample;
    tn_error err;
    const tn_sampling how = {.temperature = i};
    assert_int_equal(tn_sampler_take(s, &how, broken[i], NULL, 0, &sample, &err), TN_ERR_DATA);
    assert_non_null(strstr(err.text, i < 2 ? "hold nan or infinity" : "none of the 6 logits"));
  }
  tn_sampler_free(s);
}

static void biases_move_logits(void **state) {
  (void)state;
  float logits[5] = {1, 4, 2, 0, -3}, before[5];
  const tn_logit_bias to[2] = {{3, 100}, {1, -100}}, away = {1, -2.5f};
  tn_sampler *s = sampler_of(5);
  memcpy(before, logits, sizeof logits);
  tn_sampling how = {.biases = to, .bias_count = 2, .logprobs = true, .top_logprobs = 1};
  tn_sample sample = take(s, &how, logits, 0);
  assert_int_equal(sample.id, 3);
  assert_int_equal(sample.top[0].id, 1); /* what the model itself says */
  assert_memory_equal(before, logits, sizeof logits);
  how.biases = &away, how.bias_count = 1;
  assert_int_equal(take(s, &how, logits, 0).id, 2);
  how.biases = to, how.bias_count = 2, how.temperature = 1;
  for (int i = 0; i < 200; i++) {
    how.stream = (uint64_t)i;
    assert_int_equal(take(s, &how, logits, 0).id, 3);
  }
  /* Beside penalties: 4 - 2 - 0.5 + 1 of the token that has come is above 2 - 0. */
  const int32_t came[1] = {1};
  const tn_logit_bias up = {1, 1};
  tn_error err;
  how = (tn_sampling){.presence_penalty = 2, .frequency_penalty = 0.5, .biases = &up};
  for (how.bias_count = 0; how.bias_count < 2; how.bias_count++) {
    assert_int_equal(tn_sampler_take(s, &how, logits, came, 1, &sample, &err), TN_OK);
    assert_int_equal(sample.id, how.bias_count ? 1 : 2);
  }
  const tn_logit_bias wrong[] = {{9, NAN}, {9, 100.1f}, {9, -INFINITY}};
  for (int i = 0; i < 3; i++) {
    how = (tn_sampling){.biases = &wrong[i], .bias_count = 1};
    assert_int_equal(tn_sampling_check(&how, &err), TN_ERR_ARGUMENT);
    assert_non_null(strstr(err.text, "logit_bias of token 9"));
  }
  tn_sampler_free(s);
}

static void only_what_is_allowed_comes(void **state) {
  (void)state;
  const float logits[5] = {1, 4, -INFINITY, 3, -3};
  const uint8_t some[5] = {1, 0, 1, 0, 1}, none[5] = {0, 0, 1, 0, 0};
  const tn_logit_bias up = {1, 100};
  tn_sampler *s = sampler_of(5);
  tn_sample sample;
  tn_error err;
  tn_sampling how = {.allowed = some, .biases = &up, .bias_count = 1};
  assert_int_equal(take(s, &how, logits, 0).id, 0);
  how.temperature = 2;
  int seen[5] = {0};
  for (int i = 0; i < 300; i++) {
    how.stream = (uint64_t)i;
    seen[take(s, &how, logits, 0).id]++;
  }
  assert_true(seen[0] > 0 && seen[4] > 0 && seen[0] + seen[4] == 300);
  how.allowed = none;
  assert_int_equal(tn_sampler_take(s, &how, logits, NULL, 0, &sample, &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "of tokens that may come"));
  tn_sampler_free(s);
}

static void given_tokens_have_scores(void **state) {
  (void)state;
  enum { N = 40 };
  float logits[N];
  tn_sampler *s = sampler_of(N);
  for (int i = 0; i < N; i++) logits[i] = (float)tn_random_below(3, 1, (uint64_t)i, 9) - 4;
  logits[5] = logits[6] = -INFINITY, logits[7] = logits[30] = 6;
  double sum = 0, whole = 0;
  for (int i = 0; i < N; i++)
    if (isfinite(logits[i])) sum += exp((double)logits[i]);
  tn_sample got, sampled;
  for (int32_t top = 0; top <= TN_TOP_LOGPROBS_MAX; top += 5) {
    whole = 0;
    for (int32_t id = 0; id < N; id++) {
      assert_true(tn_sample_score(logits, N, id, top, &got));
      assert_int_equal(got.id, id);
      assert_int_equal(got.top_count, top);
      for (int32_t k = 1; k < top; k++) {
        float a = logits[got.top[k - 1].id], b = logits[got.top[k].id];
        assert_true(a > b || (a == b && got.top[k - 1].id < got.top[k].id));
      }
      if (!isfinite(logits[id])) continue;
      assert_true(fabs(got.logprob - (logits[id] - log(sum))) < 1e-6);
      whole += exp((double)got.logprob);
    }
    assert_true(fabs(whole - 1) < 1e-6);
  }
  assert_true(got.top[0].id == 7 && got.top[1].id == 30);
  /* A sampled token's is the same, bit for bit. */
  sampled = take(s, &(tn_sampling){.logprobs = true, .top_logprobs = 20}, logits, 0);
  assert_true(tn_sample_score(logits, N, sampled.id, 20, &got));
  assert_memory_equal(&sampled.logprob, &got.logprob, sizeof(float));
  assert_memory_equal(sampled.top, got.top, sizeof got.top);
  const float broken[3][2] = {{1, NAN}, {INFINITY, 1}, {-INFINITY, -INFINITY}};
  for (int i = 0; i < 3; i++) assert_false(tn_sample_score(broken[i], 2, 0, 1, &got));
  tn_sampler_free(s);
}

/* The plain reference: sorts everything, cuts, and gives each token's exact probability. */
static void reference(const tn_sampling *how, const float *logits, int n, double *p) {
  int order[64];
  double weight[64], total = 0;
  for (int i = 0; i < n; i++) {
    int at = i;
    for (; at > 0 && logits[order[at - 1]] < logits[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  int kept = how->top_k > 0 && how->top_k < n ? how->top_k : n;
  for (int i = 0; i < kept; i++) {
    weight[i] = exp((logits[order[i]] - logits[order[0]]) / how->temperature);
    total += weight[i];
  }
  if (how->top_p > 0 && how->top_p < 1) {
    double sum = 0;
    int i = 0;
    while (i < kept && sum < how->top_p * total) sum += weight[i++];
    kept = i;
  }
  if (how->min_p > 0) {
    int i = 0;
    while (i < kept && weight[i] >= how->min_p * weight[0]) i++;
    kept = i;
  }
  total = 0;
  for (int i = 0; i < kept; i++) total += weight[i];
  memset(p, 0, (size_t)n * sizeof *p);
  for (int i = 0; i < kept; i++) p[order[i]] = weight[i] / total;
}

/* Chi-square against the reference; the draws are fixed by their seed, so this either holds or does
 * not. */
static void compare_with_reference(const tn_sampling *how, const float *logits, int n) {
  enum { DRAWS = 20000 };
  double p[64], chi = 0;
  int64_t seen[64] = {0};
  int cells = 0;
  tn_sampler *s = sampler_of(n);
  reference(how, logits, n, p);
  tn_sampling now = *how;
  for (int i = 0; i < DRAWS; i++) {
    now.stream = (uint64_t)i;
    seen[take(s, &now, logits, 3).id]++;
  }
  for (int i = 0; i < n; i++) {
    if (p[i] == 0) assert_int_equal(seen[i], 0);
    double expected = p[i] * DRAWS;
    if (expected < 5) continue;
    chi += ((double)seen[i] - expected) * ((double)seen[i] - expected) / expected;
    cells++;
  }
  assert_true(cells >= 1);
  /* Mean of chi-square: cells - 1; beyond four deviations something is wrong. */
  double freedom = cells > 1 ? cells - 1 : 0;
  if (chi > freedom + 4 * sqrt(2 * freedom) + 1e-9) {
    fail_msg("chi-square %g over %d cells (temperature %g, k %d, p %g, min %g)", chi, cells,
             how->temperature, how->top_k, how->top_p, how->min_p);
  }
  tn_sampler_free(s);
}

static void draws_follow_the_distribution(void **state) {
  (void)state;
  float logits[48];
  for (int i = 0; i < 48; i++) logits[i] = (float)(2 * tn_random_normal(5, 0, (uint64_t)i));
  const tn_sampling cases[] = {
      {.temperature = 1, .seed = 11},
      {.temperature = 0.3, .seed = 12},
      {.temperature = 2, .seed = 13},
      {.temperature = 1, .top_k = 5, .seed = 14},
      {.temperature = 1, .top_k = 1, .seed = 15},
      {.temperature = 1, .top_p = 0.9, .seed = 16},
      {.temperature = 1, .top_p = 0.05, .seed = 17},
      {.temperature = 1.5, .top_k = 20, .top_p = 0.8, .seed = 18},
      {.temperature = 1, .min_p = 0.1, .seed = 19},
      {.temperature = 1, .top_k = 100, .top_p = 1, .min_p = 1, .seed = 20},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    compare_with_reference(&cases[i], logits, 48);
  }
}

static void cuts_agree_with_sorting_on_random_rows(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 300; seed++) {
    float logits[64];
    double p[64];
    int n = 2 + (int)tn_random_below(seed, 0, 0, 62);
    /* Whole numbers, so that ties are common. */
    for (int i = 0; i < n; i++) logits[i] = (float)tn_random_below(seed, 1, (uint64_t)i, 6);
    tn_sampling how = {.temperature = 1,
                       .top_k = (int32_t)tn_random_below(seed, 2, 0, 70),
                       .top_p = tn_random_f64(seed, 2, 1),
                       .min_p = tn_random_f64(seed, 2, 2) * 0.3,
                       .seed = seed};
    tn_sampler *s = sampler_of(n);
    reference(&how, logits, n, p);
    bool seen[64] = {false};
    int support = 0, covered = 0;
    for (int i = 0; i < 2000; i++) {
      how.stream = (uint64_t)i;
      int32_t id = take(s, &how, logits, 0).id;
      if (p[id] == 0) fail_msg("seed %d: token %d is outside the cut", (int)seed, id);
      seen[id] = true;
    }
    for (int i = 0; i < n; i++) {
      support += p[i] > 0.01;
      covered += p[i] > 0.01 && seen[i];
    }
    assert_int_equal(covered, support);
    tn_sampler_free(s);
  }
}

static void a_draw_depends_on_seed_and_index_only(void **state) {
  (void)state;
  float logits[256];
  for (int i = 0; i < 256; i++) logits[i] = (float)tn_random_normal(9, 0, (uint64_t)i);
  tn_sampler *a = sampler_of(256), *b = sampler_of(256);
  tn_sampling how = {.temperature = 1, .seed = 42};
  int differ_by_index = 0, differ_by_seed = 0;
  for (int64_t i = 0; i < 100; i++) {
    int32_t id = take(a, &how, logits, i).id;
    take(b, &(tn_sampling){.temperature = 2, .seed = 1}, logits, i); /* somebody else in between */
    assert_int_equal(take(b, &how, logits, i).id, id);
    differ_by_index += take(a, &how, logits, i + 1).id != id;
    differ_by_seed += take(a, &(tn_sampling){.temperature = 1, .seed = 43}, logits, i).id != id;
  }
  assert_true(differ_by_index > 50 && differ_by_seed > 50);
  tn_sampler_free(a);
  tn_sampler_free(b);
}

static void penalties_and_logprobs(void **state) {
  (void)state;
  const float logits[4] = {2, 1.5f, 1, 0};
  const int32_t sampled[3] = {0, 0, 1};
  tn_sampler *s = sampler_of(4);
  tn_sample out;
  tn_sampling how = {.frequency_penalty = 1, .logprobs = true, .top_logprobs = 3};
  /* 2 - 2, 1.5 - 1, 1, 0: token 2 wins; its logprob is the model's own. */
  assert_int_equal(tn_sampler_take(s, &how, logits, sampled, 3, &out, NULL), TN_OK);
  assert_int_equal(out.id, 2);
  double sum = exp(2) + exp(1.5) + exp(1) + 1;
  assert_true(fabs(out.logprob - (1 - log(sum))) < 1e-6);
  assert_int_equal(out.top_count, 3);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(out.top[i].id, i);
    assert_true(fabs(out.top[i].logprob - (logits[i] - log(sum))) < 1e-6);
  }
  how = (tn_sampling){.presence_penalty = 0.75};
  /* 1.25, 0.75, 1, 0 */
  assert_int_equal(tn_sampler_take(s, &how, logits, sampled, 3, &out, NULL), TN_OK);
  assert_int_equal(out.id, 0);
  tn_sampler_free(s);
}

static void parameters_have_ranges(void **state) {
  (void)state;
  tn_error err;
  assert_int_equal(tn_sampling_check(&(tn_sampling){.temperature = 2, .top_p = 1}, &err), TN_OK);
  assert_int_equal(tn_sampling_check(&(tn_sampling){.temperature = 2.5}, &err), TN_ERR_ARGUMENT);
  assert_string_equal(err.text, "temperature 2.5, wants 0 to 2");
  assert_int_equal(tn_sampling_check(&(tn_sampling){.temperature = NAN}, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_sampling_check(&(tn_sampling){.top_k = -1}, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_sampling_check(&(tn_sampling){.top_logprobs = 21}, &err), TN_ERR_ARGUMENT);
}

static void failed_allocations(void **state) {
  (void)state;
  int64_t live = tn_alloc_live();
  for (int64_t n = 1; n <= 3; n++) {
    tn_sampler *s;
    tn_alloc_fail_at(n);
    assert_int_equal(tn_sampler_new(&s, 100, NULL), TN_ERR_MEMORY);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(greedy_takes_the_first_of_the_largest),
      cmocka_unit_test(biases_move_logits),
      cmocka_unit_test(only_what_is_allowed_comes),
      cmocka_unit_test(given_tokens_have_scores),
      cmocka_unit_test(draws_follow_the_distribution),
      cmocka_unit_test(cuts_agree_with_sorting_on_random_rows),
      cmocka_unit_test(a_draw_depends_on_seed_and_index_only),
      cmocka_unit_test(penalties_and_logprobs),
      cmocka_unit_test(parameters_have_ranges),
      cmocka_unit_test(failed_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
