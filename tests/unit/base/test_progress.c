/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <unistd.h>

#include "base/progress.h"

typedef struct watcher {
  int shown, last;
  int64_t done;
  bool go_on;
} watcher;

static bool show(void *context, const tn_progress *p, bool last) {
  watcher *w = context;
  w->shown++;
  w->last += last;
  w->done = p->done;
  return w->go_on;
}

static void null_is_fine(void **state) {
  tn_progress_begin(NULL, "x", "B", 1);
  assert_ok(tn_progress_at(NULL, 1, NULL));
  tn_progress_end(NULL);
  assert_true(tn_progress_rate(NULL) == 0);
  assert_true(tn_progress_seconds_left(NULL) == -1);
  tn_progress silent = {0}; /* nobody watches */
  tn_progress_begin(&silent, "x", "B", 1);
  silent.every_us = 1;
  usleep(100);
  assert_ok(tn_progress_at(&silent, 1, NULL));
  tn_progress_end(&silent);
}

static void shows_now_and_then_and_at_the_end(void **state) {
  watcher w = {.go_on = true};
  tn_progress p = {.show = show, .context = &w, .every_us = (int64_t)3600 * 1000000};
  tn_progress_begin(&p, "convert", "rows", 1000);
  for (int i = 1; i <= 1000; i++) assert_ok(tn_progress_at(&p, i, NULL));
  assert_int_equal(w.shown, 0);
  p.every_us = 1;
  usleep(1000);
  assert_ok(tn_progress_at(&p, 500, NULL));
  assert_int_equal(w.shown, 1);
  assert_int_equal(w.done, 500);
  tn_progress_end(&p);
  assert_int_equal(w.shown, 2);
  assert_int_equal(w.last, 1);
}

static void stop_becomes_interrupted(void **state) {
  watcher w = {.go_on = false};
  tn_progress p = {.show = show, .context = &w, .every_us = 1};
  tn_error err = {0};
  tn_progress_begin(&p, "train", "tokens", 99);
  usleep(100);
  assert_int_equal(tn_progress_at(&p, 7, &err), TN_ERR_INTERRUPTED);
  assert_string_equal(err.text, "train: interrupted at 7 of 99 tokens");
}

static void rate_and_time_left(void **state) {
  tn_progress p = {0};
  tn_progress_begin(&p, "x", "B", 300);
  assert_true(tn_progress_seconds_left(&p) == -1); /* nothing done yet */
  p.started_us -= 10000000;                        /* as if begun ten seconds ago */
  assert_ok(tn_progress_at(&p, 100, NULL));
  double rate = tn_progress_rate(&p), left = tn_progress_seconds_left(&p);
  assert_true(rate > 9 && rate <= 10);
  assert_true(left >= 20 && left < 23);
  assert_ok(tn_progress_at(&p, 300, NULL));
  assert_true(tn_progress_seconds_left(&p) == 0);
  p.total = 0;
  assert_true(tn_progress_seconds_left(&p) == -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(null_is_fine),
      cmocka_unit_test(shows_now_and_then_and_at_the_end),
      cmocka_unit_test(stop_becomes_interrupted),
      cmocka_unit_test(rate_and_time_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
