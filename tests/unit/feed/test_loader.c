/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_test.h"

#include "base/map.h"
#include "feed/loader.h"

enum { TOKENS = 1000, T = 7, WINDOWS = (TOKENS - 1) / T };

static int32_t ids[TOKENS];

/* Token i is i, so that a window tells where it comes from. */
static tn_token_set *make_set(void) {
  tn_token_set *set;
  tn_error err = {0};
  for (int32_t i = 0; i < TOKENS; i++) ids[i] = i;
  check_ok(tn_token_set_of_array(&set, ids, TOKENS, TOKENS, &err), &err);
  return set;
}

static tn_loader *make_loader(const tn_token_set *set, const tn_loader_options *options) {
  tn_loader *loader;
  tn_error err = {0};
  check_ok(tn_loader_new(&loader, set, options, &err), &err);
  return loader;
}

static tn_token_batch next(tn_loader *loader) {
  tn_token_batch batch;
  tn_error err = {0};
  check_ok(tn_loader_next(loader, &batch, &err), &err);
  return batch;
}

/* The first token of samples start .. start + count, however they are batched and dealt. */
static void walk(const tn_token_set *set, tn_loader_options o, int64_t start, int64_t count,
                 int32_t *firsts) {
  o.tokens = T;
  o.start = start;
  for (o.rank = 0; o.rank < o.ranks; o.rank++) {
    tn_loader *loader = make_loader(set, &o);
    int64_t steps = count / (o.batch * o.ranks);
    for (int64_t step = 0; step < steps; step++) {
      tn_token_batch batch = next(loader);
      assert_int_equal(batch.first_sample, start + step * o.batch * o.ranks + o.rank);
      for (int64_t row = 0; row < o.batch; row++) {
        const int32_t *inputs = batch.ids + row * T, *targets = batch.targets + row * T;
        for (int t = 0; t < T; t++) {
          assert_int_equal(inputs[t], inputs[0] + t);
          assert_int_equal(targets[t], inputs[t] + 1);
        }
        firsts[batch.first_sample - start + row * o.ranks] = inputs[0];
      }
      assert_int_equal(tn_loader_position(loader), start + (step + 1) * o.batch * o.ranks);
    }
    tn_loader_free(loader);
  }
}

static void any_ranks_and_batches_walk_one_sequence(void **state) {
  tn_token_set *set = make_set();
  enum { COUNT = 480 }; /* more than three epochs */
  static int32_t want[COUNT], got[COUNT];
  for (int order = TN_ORDER_SHUFFLE; order <= TN_ORDER_LINEAR; order++) {
    tn_loader_options o = {.seed = 5, .order = (tn_loader_order)order, .batch = 1, .ranks = 1};
    walk(set, o, 0, COUNT, want);
    uint64_t hash = tn_hash_bytes(want, sizeof want, 0);
    for (o.ranks = 1; o.ranks <= 4; o.ranks++) {
      static const int64_t batches[] = {1, 2, 3, 5, 8, 40};
      for (int b = 0; b < 6; b++) {
        if (COUNT % (batches[b] * o.ranks) != 0) continue;
        o.batch = batches[b];
        o.prefetch = 1 + b;
        memset(got, 0xFF, sizeof got);
        walk(set, o, 0, COUNT, got);
        assert_true(tn_hash_bytes(got, sizeof got, 0) == hash);
      }
    }
  }
  tn_token_set_close(set);
}

static void resume_goes_on_where_it_stopped(void **state) {
  tn_token_set *set = make_set();
  enum { COUNT = 240 };
  static int32_t whole[COUNT], rest[COUNT];
  tn_loader_options o = {.seed = 9, .batch = 4, .ranks = 1};
  walk(set, o, 0, COUNT, whole);
  for (int64_t start = 0; start < COUNT; start += 24) { /* also with another number of ranks */
    o.ranks = 1 + (int32_t)(start / 24 % 3);
    o.batch = 24 / o.ranks / 2;
    memset(rest, 0xFF, sizeof rest);
    walk(set, o, start, COUNT - start, rest);
    assert_memory_equal(rest, whole + start, (size_t)(COUNT - start) * sizeof *rest);
  }
  tn_token_set_close(set);
}

static void an_epoch_has_every_window_once(void **state) {
  tn_token_set *set = make_set();
  static int32_t two[2 * WINDOWS];
  tn_loader_options o = {.seed = 3, .batch = 1, .ranks = 1};
  walk(set, o, 0, 2 * WINDOWS, two);
  bool seen[2][WINDOWS] = {{0}};
  for (int i = 0; i < 2 * WINDOWS; i++) {
    assert_int_equal(two[i] % T, 0);
    bool *one = &seen[i / WINDOWS][two[i] / T];
    assert_false(*one);
    *one = true;
  }
  assert_true(memcmp(two, two + WINDOWS, sizeof two / 2) != 0); /* permuted anew */
  o.tokens = T;
  tn_loader *loader = make_loader(set, &o);
  assert_int_equal(tn_loader_epoch_samples(loader), WINDOWS);
  tn_loader_free(loader);
  tn_token_set_close(set);
}

static void linear_walks_in_order_and_wraps(void **state) {
  tn_token_set *set = make_set();
  static int32_t got[WINDOWS + 2];
  tn_loader_options o = {.order = TN_ORDER_LINEAR, .batch = 1, .ranks = 1};
  walk(set, o, 0, WINDOWS + 2, got);
  for (int i = 0; i < WINDOWS + 2; i++) assert_int_equal(got[i], i % WINDOWS * T);
  tn_token_set_close(set);
}

static void random_reaches_both_ends(void **state) {
  tn_token_set *set = make_set();
  static int32_t got[20000];
  tn_loader_options o = {.order = TN_ORDER_RANDOM, .batch = 100, .ranks = 1, .seed = 11};
  walk(set, o, 0, 20000, got);
  bool seen[TOKENS] = {0};
  for (int i = 0; i < 20000; i++) seen[got[i]] = true;
  assert_true(seen[0] && seen[1]);
  assert_true(seen[TOKENS - T - 1]); /* the last window that has all its targets */
  for (int i = TOKENS - T; i < TOKENS; i++) assert_false(seen[i]);
  tn_token_set_close(set);
}

static void a_part_of_the_set_stays_inside(void **state) {
  tn_token_set *set = make_set();
  for (int order = TN_ORDER_SHUFFLE; order <= TN_ORDER_LINEAR; order++) {
    tn_loader_options o = {.batch = 3,
                           .tokens = T,
                           .order = (tn_loader_order)order,
                           .token_start = 900,
                           .token_count = 50};
    tn_loader *loader = make_loader(set, &o);
    for (int step = 0; step < 100; step++) {
      tn_token_batch batch = next(loader);
      for (int i = 0; i < 3 * T; i++)
        assert_true(batch.ids[i] >= 900 && batch.ids[i] < 950 && batch.targets[i] < 950);
    }
    tn_loader_free(loader);
  }
  tn_token_set_close(set);
}

static void impossible_options_are_refused(void **state) {
  tn_token_set *set = make_set();
  const tn_loader_options wrong[] = {
      {.batch = 0, .tokens = 8},
      {.batch = 1, .tokens = 0},
      {.batch = -1, .tokens = 8},
      {.batch = INT64_MAX, .tokens = 8},
      {.batch = 1, .tokens = TOKENS},
      {.batch = 1, .tokens = INT64_MAX},
      {.batch = 1, .tokens = 8, .ranks = 2, .rank = 2},
      {.batch = 1, .tokens = 8, .ranks = -1},
      {.batch = 1, .tokens = 8, .rank = -1},
      {.batch = 1, .tokens = 8, .start = -1},
      {.batch = 1, .tokens = 8, .start = INT64_MAX},
      {.batch = 1, .tokens = 8, .prefetch = -1},
      {.batch = 1, .tokens = 8, .token_start = TOKENS + 1},
      {.batch = 1, .tokens = 8, .token_start = 995},
      {.batch = 1, .tokens = 8, .token_start = 10, .token_count = TOKENS},
      {.batch = 1, .tokens = 8, .token_count = -1},
      {.batch = 1, .tokens = 8, .order = (tn_loader_order)7},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    tn_error err = {0};
    tn_loader *loader;
    assert_int_equal(tn_loader_new(&loader, set, &wrong[i], &err), TN_ERR_ARGUMENT);
    assert_true(err.text[0]);
  }
  tn_token_set_close(set);
}

static void a_bad_token_is_an_error_that_stays(void **state) {
  tn_token_set *set;
  tn_error err = {0};
  static int32_t bad[64];
  bad[40] = 5;
  check_ok(tn_token_set_of_array(&set, bad, 64, 5, &err), &err);
  tn_loader_options o = {.batch = 1, .tokens = 10, .order = TN_ORDER_LINEAR};
  tn_loader *loader = make_loader(set, &o);
  tn_token_batch batch;
  for (int i = 0; i < 3; i++) next(loader);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tn_loader_next(loader, &batch, &err), TN_ERR_DATA);
    assert_non_null(strstr(err.text, "token 40 has id 5"));
    assert_int_equal(tn_loader_position(loader), 3);
  }
  tn_loader_free(loader);
  tn_token_set_close(set);
}

/* Freed while the thread is at work, before and after the first batch. */
static void free_at_any_time(void **state) {
  tn_token_set *set = make_set();
  for (int taken = 0; taken < 50; taken++) {
    tn_loader_options o = {.batch = 16, .tokens = 100, .prefetch = 1 + taken % 4};
    tn_loader *loader = make_loader(set, &o);
    for (int i = 0; i < taken; i++) next(loader);
    assert_true(tn_loader_wait_seconds(loader) >= 0);
    tn_loader_free(loader);
  }
  tn_token_set_close(set);
}

static void survives_failing_allocations(void **state) {
  tn_token_set *set = make_set();
  int64_t live = tn_alloc_live(), failures = 0;
  for (int64_t n = 1;; n++) {
    tn_loader_options o = {.batch = 2, .tokens = 10, .prefetch = 3};
    tn_error err = {0};
    tn_loader *loader;
    tn_alloc_fail_at(n);
    tn_status status = tn_loader_new(&loader, set, &o, &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) {
      tn_loader_free(loader);
      break;
    }
    assert_int_equal(status, TN_ERR_MEMORY);
    assert_int_equal(tn_alloc_live(), live);
    failures++;
  }
  assert_true(failures > 5);
  tn_token_set_close(set);
  assert_int_equal(tn_alloc_live(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_ranks_and_batches_walk_one_sequence),
      cmocka_unit_test(resume_goes_on_where_it_stopped),
      cmocka_unit_test(an_epoch_has_every_window_once),
      cmocka_unit_test(linear_walks_in_order_and_wraps),
      cmocka_unit_test(random_reaches_both_ends),
      cmocka_unit_test(a_part_of_the_set_stays_inside),
      cmocka_unit_test(impossible_options_are_refused),
      cmocka_unit_test(a_bad_token_is_an_error_that_stays),
      cmocka_unit_test(free_at_any_time),
      cmocka_unit_test(survives_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
