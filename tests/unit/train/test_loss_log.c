/* SPDX-License-Identifier: Apache-2.0 */
#include "train_test.h"

#include <math.h>

#include "train/loss_log.h"
#include "train/loss_plot.h"

static tn_loss_log *open_at(int64_t step) {
  tn_loss_log *log;
  tn_error err = {0};
  assert_ok(tn_loss_log_open(&log, "log.jsonl", step, &err));
  return log;
}

static void add_steps(tn_loss_log *log, int64_t first, int64_t last) {
  tn_error err = {0};
  for (int64_t step = first; step <= last; step++) {
    assert_ok(
        tn_loss_log_step(log, &(tn_step_record){.step = step, .loss = 1.0 / (double)step}, &err));
    if (step % 4 == 0) assert_ok(tn_loss_log_validation(log, step, 2.0 / (double)step, &err));
  }
}

static void assert_counts(const tn_loss_log *log, size_t training, size_t validations) {
  assert_int_equal(tn_loss_log_training(log)->count, training);
  assert_int_equal(tn_loss_log_validations(log)->count, validations);
}

static void resumes_at_a_step(void **state) {
  tn_loss_log *log = open_at(0);
  add_steps(log, 1, 10);
  tn_loss_log_close(log);
  log = open_at(8);
  assert_counts(log, 8, 2);
  add_steps(log, 9, 12);
  tn_loss_log_close(log);
  log = open_at(100);
  assert_counts(log, 12, 3);
  for (size_t i = 0; i < 12; i++) {
    assert_int_equal(tn_loss_log_training(log)->points[i].step, (int64_t)i + 1);
    assert_true(tn_loss_log_training(log)->points[i].loss == 1.0 / (double)(i + 1));
  }
  tn_loss_log_close(log);
  tn_loss_log_close(open_at(0));
  log = open_at(100);
  assert_counts(log, 0, 0);
  tn_loss_log_close(log);
}

/* A crash of the machine can leave half a line, or zeros: they and all behind them go. */
static void torn_lines_are_cut_off(void **state) {
  static const char *const tails[] = {"{\"step\": 5, \"lo", "{\"step\": 5, \"loss\": 2}",
                                      "nonsense\n", "\n", "{\"loss\": 1}\n"};
  for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
    tn_error err = {0};
    tn_strbuf text = {0};
    tn_loss_log_close(open_at(0));
    tn_loss_log *log = open_at(0);
    add_steps(log, 1, 4);
    tn_loss_log_close(log);
    assert_ok(tn_file_read("log.jsonl", 0, &text, &err));
    size_t whole = text.length;
    tn_strbuf_add(&text, tails[i]);
    assert_ok(tn_file_write_atomic("log.jsonl", tn_strbuf_view(&text), &err));
    log = open_at(100);
    assert_counts(log, 4, 1);
    tn_loss_log_close(log);
    assert_ok(tn_file_read("log.jsonl", 0, &text, &err));
    assert_int_equal(text.length, whole);
    tn_strbuf_clear(&text);
  }
}

static void every_allocation_may_fail(void **state) {
  tn_loss_log *log = open_at(0);
  add_steps(log, 1, 20);
  tn_loss_log_close(log);
  int64_t before = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = tn_loss_log_open(&log, "log.jsonl", 100, &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) assert_counts(log, 20, 5); /* a failed open must not have cut anything */
    tn_loss_log_close(log);
    assert_int_equal(tn_alloc_live(), before);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
  }
}

static size_t count_of(const char *text, const char *what) {
  size_t count = 0;
  for (const char *at = strstr(text, what); at; at = strstr(at + 1, what)) count++;
  return count;
}

static void draws_both_curves(void **state) {
  enum { POINTS = 5000 };
  tn_loss_point *points = tn_alloc(POINTS, sizeof *points);
  for (int i = 0; i < POINTS; i++) points[i] = (tn_loss_point){i + 1, 4 - i * 2.0 / POINTS};
  points[17].loss = NAN;
  tn_loss_point dots[] = {{1000, 3.7}, {5000, 2.125}};
  tn_loss_curve training = {.points = points, .count = POINTS};
  tn_loss_curve validation = {.points = dots, .count = 2};
  tn_strbuf svg = {0};
  tn_loss_plot_write(&training, &validation, "a < b & c", &svg);
  assert_false(svg.failed);
  assert_true(count_of(svg.data, "<polyline") == 2);
  assert_true(count_of(svg.data, "<circle") == 2);
  assert_non_null(strstr(svg.data, "a &#60; b &#38; c"));
  assert_non_null(strstr(svg.data, ">step<"));
  assert_non_null(strstr(svg.data, ">5000<"));
  assert_non_null(strstr(svg.data, "validation, last 2.125"));
  assert_null(strstr(svg.data, "nan"));
  assert_true(svg.length < 40000); /* averaged down */
  tn_strbuf_reset(&svg);
  tn_loss_plot_write(&(tn_loss_curve){0}, &(tn_loss_curve){0}, "", &svg);
  assert_non_null(strstr(svg.data, "</svg>"));
  assert_null(strstr(svg.data, "nan"));
  assert_null(strstr(svg.data, "inf"));
  tn_strbuf_clear(&svg);
  tn_free(points);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(resumes_at_a_step),
      cmocka_unit_test(torn_lines_are_cut_off),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(draws_both_curves),
  };
  return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
