/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include "base/log.h"
#include "base/thread.h"

typedef struct seen {
  int count, inside, overlaps;
  tn_log_level level;
  char room[32], text[3000];
} seen;

static void remember(void *context, tn_log_level level, const char *room, const char *text) {
  seen *s = context;
  if (s->inside++) s->overlaps++;
  s->count++;
  s->level = level;
  snprintf(s->room, sizeof s->room, "%s", room);
  snprintf(s->text, sizeof s->text, "%s", text);
  s->inside--;
}

static void messages_go_to_the_sink(void **state) {
  seen s = {0};
  tn_log(TN_LOG_ERROR, "base", "nobody listens");
  tn_log_to(remember, &s, TN_LOG_INFO);
  tn_log(TN_LOG_DEBUG, "base", "too low");
  assert_int_equal(s.count, 0);
  tn_log(TN_LOG_WARN, "store", "%d retries", 3);
  assert_int_equal(s.count, 1);
  assert_int_equal(s.level, TN_LOG_WARN);
  assert_string_equal(s.room, "store");
  assert_string_equal(s.text, "3 retries");
  tn_log(TN_LOG_INFO, "base", "%05000d", 1); /* cut, not overrun */
  assert_int_equal(s.count, 2);
  assert_in_range(strlen(s.text), 1000, 4999);
  tn_log_to(NULL, NULL, TN_LOG_DEBUG);
  tn_log(TN_LOG_ERROR, "base", "nobody again");
  assert_int_equal(s.count, 2);
}

static void log_some(void *context, int64_t item, int32_t worker) {
  tn_log(TN_LOG_INFO, "base", "item %lld", (long long)item);
}

static void one_message_at_a_time(void **state) {
  seen s = {0};
  tn_pool *pool;
  assert_ok(tn_pool_new(&pool, 4, NULL));
  tn_log_to(remember, &s, TN_LOG_DEBUG);
  tn_pool_run(pool, 500, log_some, NULL);
  tn_log_to(NULL, NULL, TN_LOG_DEBUG);
  tn_pool_free(pool);
  assert_int_equal(s.count, 500);
  assert_int_equal(s.overlaps, 0);
}

static void levels_have_names(void **state) {
  assert_string_equal(tn_log_level_name(TN_LOG_DEBUG), "debug");
  assert_string_equal(tn_log_level_name(TN_LOG_ERROR), "error");
  assert_string_equal(tn_log_level_name((tn_log_level)77), "unknown");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_go_to_the_sink),
      cmocka_unit_test(one_message_at_a_time),
      cmocka_unit_test(levels_have_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
