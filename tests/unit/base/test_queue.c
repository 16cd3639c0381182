/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/queue.h"

static int items[8];

static void first_in_first_out_and_bounded(void **state) {
  tn_queue *queue;
  void *item;
  assert_ok(tn_queue_new(&queue, 3, NULL));
  for (int round = 0; round < 5; round++) { /* the ring wraps */
    assert_int_equal(tn_queue_take(queue, &item, 0), TN_AGAIN);
    for (int i = 0; i < 3; i++) assert_ok(tn_queue_put(queue, &items[i], 0));
    assert_int_equal(tn_queue_put(queue, &items[3], 0), TN_FULL);
    assert_int_equal(tn_queue_count(queue), 3);
    for (int i = 0; i < 2; i++) {
      assert_ok(tn_queue_take(queue, &item, -1));
      assert_ptr_equal(item, &items[i]);
    }
    assert_ok(tn_queue_put(queue, &items[4], -1));
    assert_ok(tn_queue_take(queue, &item, 1000));
    assert_ptr_equal(item, &items[2]);
    assert_ok(tn_queue_take(queue, &item, 0));
    assert_ptr_equal(item, &items[4]);
  }
  tn_queue_free(queue);
  tn_queue_free(NULL);
}

static void waits_have_an_end(void **state) {
  tn_queue *queue;
  void *item;
  assert_ok(tn_queue_new(&queue, 1, NULL));
  int64_t before = tn_time_us();
  assert_int_equal(tn_queue_take(queue, &item, 5000), TN_AGAIN);
  assert_ok(tn_queue_put(queue, items, 5000));
  assert_int_equal(tn_queue_put(queue, items, 5000), TN_FULL);
  assert_true(tn_time_us() - before >= 10000);
  tn_queue_free(queue);
}

static void closed_gives_out_what_it_holds(void **state) {
  tn_queue *queue;
  void *item;
  assert_ok(tn_queue_new(&queue, 4, NULL));
  assert_ok(tn_queue_put(queue, &items[0], 0));
  tn_queue_close(queue);
  assert_int_equal(tn_queue_put(queue, &items[1], -1), TN_END);
  assert_ok(tn_queue_take(queue, &item, -1));
  assert_ptr_equal(item, &items[0]);
  assert_int_equal(tn_queue_take(queue, &item, -1), TN_END);
  tn_queue_free(queue);
}

static void *take_until_end(void *context) {
  tn_queue *queue = context;
  void *item;
  intptr_t sum = 0;
  while (tn_queue_take(queue, &item, -1) == TN_OK) sum += (intptr_t)item;
  return (void *)sum;
}

typedef struct producer {
  tn_queue *queue;
  intptr_t from, to;
  int refused;
} producer;

static void *put_range(void *context) {
  producer *p = context;
  for (intptr_t i = p->from; i < p->to; i++)
    if (tn_queue_put(p->queue, (void *)i, -1) != TN_OK) p->refused++;
  return NULL;
}

static void producers_and_consumers(void **state) {
  enum { EACH = 2000 };
  tn_queue *queue;
  pthread_t puts[3], takes[3];
  producer producers[3];
  assert_ok(tn_queue_new(&queue, 5, NULL));
  for (int i = 0; i < 3; i++) {
    producers[i] = (producer){queue, i * EACH + 1, (i + 1) * EACH + 1, 0};
    pthread_create(&puts[i], NULL, put_range, &producers[i]);
    pthread_create(&takes[i], NULL, take_until_end, queue);
  }
  for (int i = 0; i < 3; i++) pthread_join(puts[i], NULL);
  tn_queue_close(queue); /* wakes all takers, once it is empty */
  intptr_t total = 0;
  for (int i = 0; i < 3; i++) {
    void *sum;
    pthread_join(takes[i], &sum);
    total += (intptr_t)sum;
    assert_int_equal(producers[i].refused, 0);
  }
  assert_int_equal(total, (intptr_t)3 * EACH * (3 * EACH + 1) / 2);
  tn_queue_free(queue);
}

static tn_status make_queue(void *context, tn_error *err) {
  tn_queue *queue;
  TN_TRY(tn_queue_new(&queue, 3, err));
  tn_queue_free(queue);
  return TN_OK;
}

static void bad_capacity_and_allocation_failures(void **state) {
  tn_queue *queue;
  tn_error err;
  assert_int_equal(tn_queue_new(&queue, 0, &err), TN_ERR_ARGUMENT);
  assert_int_equal(fail_each_allocation(make_queue, NULL), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_in_first_out_and_bounded),
      cmocka_unit_test(waits_have_an_end),
      cmocka_unit_test(closed_gives_out_what_it_holds),
      cmocka_unit_test(producers_and_consumers),
      cmocka_unit_test(bad_capacity_and_allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
