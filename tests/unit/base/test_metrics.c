/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <math.h>

#include "base/metrics.h"
#include "base/thread.h"

static void text_format(void **state) {
  tn_metrics *m;
  assert_ok(tn_metrics_new(&m, NULL));
  tn_metric *ok =
      tn_metrics_counter(m, "tn_requests_total", "code=\"200\"", "Requests\\all\nof it");
  tn_metric *queue = tn_metrics_gauge(m, "tn_queue_items", "", "Waiting.");
  tn_metric *bad = tn_metrics_counter(m, "tn_requests_total", "code=\"400\"", "another help");
  const double bounds[] = {0.1, 0.5, 1};
  tn_metric *time = tn_metrics_histogram(m, "tn_time_seconds", "route=\"/v1\"", "Time.", bounds, 3);
  tn_metric_add(ok, 2);
  tn_metric_add(ok, 1);
  tn_metric_add(bad, 1);
  tn_metric_set(queue, 5);
  tn_metric_add(queue, -1.5);
  const double seen[] = {0.05, 0.1, 0.3, 2, 1};
  for (int i = 0; i < 5; i++) tn_metric_observe(time, seen[i]);
  tn_strbuf out = {0};
  tn_metrics_write_prometheus(m, &out);
  assert_string_equal(out.data,
                      "# HELP tn_requests_total Requests\\\\all\\nof it\n"
                      "# TYPE tn_requests_total counter\n"
                      "tn_requests_total{code=\"200\"} 3\n"
                      "tn_requests_total{code=\"400\"} 1\n"
                      "# HELP tn_queue_items Waiting.\n"
                      "# TYPE tn_queue_items gauge\n"
                      "tn_queue_items 3.5\n"
                      "# HELP tn_time_seconds Time.\n"
                      "# TYPE tn_time_seconds histogram\n"
                      "tn_time_seconds_bucket{route=\"/v1\",le=\"0.1\"} 2\n"
                      "tn_time_seconds_bucket{route=\"/v1\",le=\"0.5\"} 3\n"
                      "tn_time_seconds_bucket{route=\"/v1\",le=\"1\"} 4\n"
                      "tn_time_seconds_bucket{route=\"/v1\",le=\"+Inf\"} 5\n"
                      "tn_time_seconds_sum{route=\"/v1\"} 3.45\n"
                      "tn_time_seconds_count{route=\"/v1\"} 5\n");
  tn_strbuf_clear(&out);
  tn_metrics_free(m);
  tn_metrics_free(NULL);
}

static void unlabelled_histogram_and_special_values(void **state) {
  tn_metrics *m;
  assert_ok(tn_metrics_new(&m, NULL));
  const double bounds[] = {1, INFINITY};
  tn_metric *h = tn_metrics_histogram(m, "h", "", NULL, bounds, 2); /* +Inf not twice */
  tn_metric_observe(h, 7);
  tn_metric_set(tn_metrics_gauge(m, "g", "", NULL), NAN);
  tn_metric_set(tn_metrics_gauge(m, "i", "", NULL), -INFINITY);
  tn_strbuf out = {0};
  tn_metrics_write_prometheus(m, &out);
  assert_string_equal(out.data,
                      "# TYPE h histogram\nh_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 1\n"
                      "h_sum 7\nh_count 1\n# TYPE g gauge\ng NaN\n# TYPE i gauge\ni -Inf\n");
  tn_strbuf_clear(&out);
  tn_metrics_free(m);
}

static void same_name_and_labels_same_metric(void **state) {
  tn_metrics *m;
  assert_ok(tn_metrics_new(&m, NULL));
  tn_metric *a = tn_metrics_counter(m, "a", "x=\"1\"", "");
  assert_non_null(a);
  assert_ptr_equal(a, tn_metrics_counter(m, "a", "x=\"1\"", ""));
  assert_ptr_not_equal(a, tn_metrics_counter(m, "a", "x=\"2\"", ""));
  tn_metric_add(NULL, 1);
  tn_metric_set(NULL, 1);
  tn_metric_observe(NULL, 1);
  assert_true(tn_metric_value(NULL) == 0);
  tn_metrics_free(m);
}

static void count_up(void *context, int64_t item, int32_t worker) {
  tn_metrics *m = context;
  const double bounds[] = {100};
  tn_metric_add(tn_metrics_counter(m, "c", "", "counts"), 1);
  tn_metric_observe(tn_metrics_histogram(m, "h", "", "times", bounds, 1), (double)item);
}

static void updates_are_atomic(void **state) {
  tn_metrics *m;
  tn_pool *pool;
  assert_ok(tn_metrics_new(&m, NULL));
  assert_ok(tn_pool_new(&pool, 4, NULL));
  tn_pool_run(pool, 5000, count_up, m);
  tn_pool_free(pool);
  assert_true(tn_metric_value(tn_metrics_counter(m, "c", "", "")) == 5000);
  tn_strbuf out = {0};
  tn_metrics_write_prometheus(m, &out);
  assert_holds(out.data, "h_bucket{le=\"100\"} 101\n");
  assert_holds(out.data, "h_sum 12497500\n");
  assert_holds(out.data, "h_count 5000\n");
  tn_strbuf_clear(&out);
  tn_metrics_free(m);
}

static tn_status register_some(void *context, tn_error *err) {
  tn_metrics *m;
  TN_TRY(tn_metrics_new(&m, err));
  const double bounds[] = {1, 2};
  char name[3000];
  memset(name, 'n', sizeof name);
  name[sizeof name - 1] = '\0'; /* long names make the arena ask for chunk after chunk */
  bool whole = tn_metrics_counter(m, name, name, name) != NULL;
  whole = tn_metrics_histogram(m, "h", name, "help", bounds, 2) && whole;
  tn_strbuf out = {0};
  tn_metrics_write_prometheus(m, &out);
  whole = whole && !out.failed;
  tn_strbuf_clear(&out);
  tn_metrics_free(m);
  return whole ? TN_OK : tn_fail_memory(err, "metrics", 1);
}

static void allocation_failures(void **state) {
  assert_true(fail_each_allocation(register_some, NULL) >= 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_format),
      cmocka_unit_test(unlabelled_histogram_and_special_values),
      cmocka_unit_test(same_name_and_labels_same_metric),
      cmocka_unit_test(updates_are_atomic),
      cmocka_unit_test(allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
