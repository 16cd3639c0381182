/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/thread.h"

typedef struct job {
  tn_pool *pool;
  int32_t threads;
  int64_t count;
  int64_t *results;
  _Atomic int64_t ran, bad_worker;
} job;

static void square(void *context, int64_t item, int32_t worker) {
  job *j = context;
  j->results[item] += item * item + 1; /* += : a second run of the item would show */
  atomic_fetch_add(&j->ran, 1);
  if (worker < 0 || worker >= j->threads) atomic_fetch_add(&j->bad_worker, 1);
}

static void check_run(tn_pool *pool, int64_t count) {
  job j = {.pool = pool, .threads = tn_pool_threads(pool), .count = count};
  j.results = tn_alloc((size_t)count, sizeof *j.results);
  tn_pool_run(pool, count, square, &j);
  assert_int_equal(j.ran, count);
  assert_int_equal(j.bad_worker, 0);
  for (int64_t i = 0; i < count; i++) assert_int_equal(j.results[i], i * i + 1);
  tn_free(j.results);
}

static void every_item_runs_once(void **state) {
  check_run(NULL, 10);
  for (int32_t threads = 0; threads <= 5; threads++) {
    tn_pool *pool;
    assert_ok(tn_pool_new(&pool, threads, NULL));
    if (threads) assert_int_equal(tn_pool_threads(pool), threads);
    for (int64_t count = 0; count < 20; count++) check_run(pool, count);
    check_run(pool, 5000);
    tn_pool_free(pool);
  }
  tn_pool_free(NULL);
  assert_int_equal(tn_pool_threads(NULL), 1);
}

/* ---- neighbours ---- */

typedef struct near_job {
  job job;
  tn_pool_grain grain;
  _Atomic int64_t bad_grain;
} near_job;

static void square_near(void *context, int64_t first, int64_t count, int32_t worker) {
  near_job *j = context;
  bool last = first + count == j->job.count;
  if (count > j->grain.most || (count < j->grain.least && !last))
    atomic_fetch_add(&j->bad_grain, 1);
  for (int64_t i = first; i < first + count; i++) square(&j->job, i, worker);
}

static void check_near(tn_pool *pool, int64_t count, int64_t least, int64_t most) {
  near_job j = {.job = {.pool = pool, .threads = tn_pool_threads(pool), .count = count},
                .grain = {least, most}};
  j.job.results = tn_alloc((size_t)count, sizeof *j.job.results);
  tn_pool_run_near(pool, count, j.grain, square_near, &j);
  assert_int_equal(j.job.ran, count);
  assert_int_equal(j.job.bad_worker, 0);
  assert_int_equal(j.bad_grain, 0);
  for (int64_t i = 0; i < count; i++) assert_int_equal(j.job.results[i], i * i + 1);
  tn_free(j.job.results);
}

static void every_neighbour_runs_once(void **state) {
  check_near(NULL, 10, 1, 4);
  for (int32_t threads = 1; threads <= 5; threads++) {
    tn_pool *pool;
    assert_ok(tn_pool_new(&pool, threads, NULL));
    for (int64_t count = 0; count < 40; count++)
      for (int64_t least = 1; least <= 3; least++) check_near(pool, count, least, least * 2);
    for (int i = 0; i < 200; i++) check_near(pool, 5000, 1 + i % 3, 4);
    check_run(pool, 100); /* runs of both kinds take turns */
    tn_pool_free(pool);
  }
}

typedef struct held {
  _Atomic int64_t ran;
  int64_t count;
  _Atomic int32_t holder; /* 1 + the worker that waits */
} held;

/* Whoever comes first runs nothing more until the others have run all but what it took. */
static void hold_first(void *context, int64_t first, int64_t count, int32_t worker) {
  held *h = context;
  int32_t nobody = 0;
  if (atomic_compare_exchange_strong(&h->holder, &nobody, worker + 1))
    while (atomic_load(&h->ran) < h->count - count) sched_yield();
  atomic_fetch_add(&h->ran, count);
}

static void a_slow_thread_loses_its_stretch(void **state) {
  for (int32_t threads = 2; threads <= 4; threads++) {
    tn_pool *pool;
    assert_ok(tn_pool_new(&pool, threads, NULL));
    for (int i = 0; i < 50; i++) {
      held h = {.count = 64};
      tn_pool_run_near(pool, h.count, (tn_pool_grain){1, 4}, hold_first, &h);
      assert_int_equal(h.ran, h.count);
    }
    tn_pool_free(pool);
  }
}

typedef struct walk {
  int64_t next[8]; /* of each worker */
  _Atomic int64_t jumps;
} walk;

static void follow(void *context, int64_t first, int64_t count, int32_t worker) {
  walk *w = context;
  if (first != w->next[worker]) atomic_fetch_add(&w->jumps, 1);
  w->next[worker] = first + count;
}

/* A thread jumps once to its stretch, and once each time that it takes the half of another's. */
static void threads_walk_through_neighbours(void **state) {
  enum { THREADS = 4, HALVINGS = 12 };
  tn_pool *pool;
  assert_ok(tn_pool_new(&pool, THREADS, NULL));
  for (int i = 0; i < 50; i++) {
    walk w = {.next = {-1, -1, -1, -1}};
    tn_pool_run_near(pool, 4096, (tn_pool_grain){1, 1}, follow, &w);
    assert_in_range(w.jumps, 1, THREADS * THREADS * HALVINGS);
  }
  tn_pool_free(pool);
}

/* Many short runs, some after the workers have gone to sleep: nothing is lost or seen too early. */
static void many_short_runs(void **state) {
  tn_pool *pool;
  assert_ok(tn_pool_new(&pool, 4, NULL));
  for (int i = 0; i < 2000; i++) {
    check_run(pool, 1 + i % 7);
    if (i % 400 == 0) usleep(2000);
  }
  tn_pool_free(pool);
}

static void nest(void *context, int64_t item, int32_t worker) {
  job *outer = context;
  job inner = {.pool = outer->pool, .threads = 1, .count = 20}; /* inline: worker 0 only */
  int64_t results[20] = {0};
  inner.results = results;
  tn_pool_run(outer->pool, 20, square, &inner);
  if (inner.ran == 20 && inner.bad_worker == 0) atomic_fetch_add(&outer->ran, 1);
}

static void nested_runs_are_inline(void **state) {
  tn_pool *pool;
  assert_ok(tn_pool_new(&pool, 3, NULL));
  job outer = {.pool = pool, .threads = 3};
  tn_pool_run(pool, 50, nest, &outer);
  assert_int_equal(outer.ran, 50);
  check_run(pool, 100); /* and the pool is free again */
  tn_pool_free(pool);
}

static void *run_from_another_thread(void *pool) {
  for (int i = 0; i < 200; i++) {
    job j = {.pool = pool, .threads = tn_pool_threads(pool)};
    int64_t results[30] = {0};
    j.results = results;
    tn_pool_run(pool, 30, square, &j);
    if (j.ran != 30 || j.bad_worker) return (void *)1;
  }
  return NULL;
}

static void concurrent_callers(void **state) {
  tn_pool *pool;
  pthread_t threads[3];
  assert_ok(tn_pool_new(&pool, 3, NULL));
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run_from_another_thread, pool), 0);
  for (int i = 0; i < 3; i++) {
    void *result = (void *)1;
    pthread_join(threads[i], &result);
    assert_null(result);
  }
  tn_pool_free(pool);
}

/* ---- started now, finished later ---- */

typedef struct later {
  job job;
  int64_t results[300];
} later;

static void set_later(later *l, tn_pool *pool) {
  *l = (later){.job = {.pool = pool, .threads = tn_pool_threads(pool), .count = 300}};
  l->job.results = l->results;
}

static void check_done(const later *l) {
  assert_int_equal(l->job.ran, 300);
  assert_int_equal(l->job.bad_worker, 0);
  for (int64_t i = 0; i < 300; i++) assert_int_equal(l->results[i], i * i + 1);
}

static void what_is_started_is_finished(void **state) {
  tn_pool *pool;
  later l;
  assert_ok(tn_pool_new(&pool, 3, NULL));
  for (int i = 0; i < 500; i++) {
    set_later(&l, pool);
    assert_true(tn_pool_start(pool, 300, square, &l.job));
    if (i % 50 == 0) usleep(1000);
    tn_pool_finish(pool);
    check_done(&l);
    tn_pool_finish(pool); /* nothing is left: returns */
  }
  assert_false(tn_pool_start(NULL, 300, square, &l.job));
  tn_pool_finish(NULL);
  tn_pool_free(pool);
}

static void the_next_run_finishes_what_was_started(void **state) {
  tn_pool *pool;
  later first, second;
  assert_ok(tn_pool_new(&pool, 3, NULL));
  for (int i = 0; i < 300; i++) {
    set_later(&first, pool);
    set_later(&second, pool);
    assert_true(tn_pool_start(pool, 300, square, &first.job));
    if (i % 2) {
      check_run(pool, 100);
      check_done(&first);
    }
    assert_true(tn_pool_start(pool, 300, square, &second.job));
    check_done(&first);
    check_run(pool, 1); /* a run of one item, too */
    check_done(&second);
  }
  set_later(&first, pool);
  assert_true(tn_pool_start(pool, 300, square, &first.job));
  tn_pool_free(pool);
  check_done(&first);
}

static void count_items(void *context, int64_t first, int64_t count, int32_t worker) {
  *(int64_t *)context += count;
}

/* More neighbours than a stretch can hold, too. */
static void a_near_run_finishes_what_was_started(void **state) {
  tn_pool *pool;
  later first;
  assert_ok(tn_pool_new(&pool, 3, NULL));
  for (int64_t count = 1; count <= INT64_C(1) << 40; count <<= 20)
    for (int i = 0; i < 50; i++) {
      int64_t ran = 0;
      set_later(&first, pool);
      assert_true(tn_pool_start(pool, 300, square, &first.job));
      tn_pool_run_near(pool, count, (tn_pool_grain){count, count}, count_items, &ran);
      check_done(&first);
      assert_int_equal(ran, count);
    }
  tn_pool_free(pool);
}

/* Other threads work while the one that started does something else. */
static void wait_for_flag(void *context, int64_t item, int32_t worker) {
  while (!atomic_load((_Atomic int *)context)) sched_yield();
}

static void the_caller_goes_on(void **state) {
  tn_pool *pool;
  _Atomic int flag = 0;
  assert_ok(tn_pool_new(&pool, 2, NULL));
  assert_true(tn_pool_start(pool, 1, wait_for_flag, &flag));
  atomic_store(&flag, 1);
  tn_pool_finish(pool);
  tn_pool_free(pool);
}

static void start_nested(void *context, int64_t item, int32_t worker) {
  job *outer = context;
  if (!tn_pool_start(outer->pool, 20, square, NULL)) atomic_fetch_add(&outer->ran, 1);
  job inner = {.pool = outer->pool, .threads = 1, .count = 20};
  int64_t results[20] = {0};
  inner.results = results;
  tn_pool_run(outer->pool, 20, square, &inner);
  if (inner.ran != 20 || inner.bad_worker) atomic_fetch_add(&outer->bad_worker, 1);
}

static void items_start_nothing(void **state) {
  tn_pool *pool;
  assert_ok(tn_pool_new(&pool, 3, NULL));
  job outer = {.pool = pool, .threads = 3};
  assert_true(tn_pool_start(pool, 50, start_nested, &outer));
  tn_pool_finish(pool);
  assert_int_equal(outer.ran, 50);
  assert_int_equal(outer.bad_worker, 0);
  tn_pool_free(pool);
}

static void *start_from_another_thread(void *pool) {
  for (int i = 0; i < 200; i++) {
    later l;
    set_later(&l, pool);
    if (!tn_pool_start(pool, 300, square, &l.job)) tn_pool_run(pool, 300, square, &l.job);
    tn_pool_finish(pool);
    if (l.job.ran != 300 || l.job.bad_worker) return (void *)1;
  }
  return NULL;
}

static void concurrent_starters(void **state) {
  tn_pool *pool;
  pthread_t threads[4];
  assert_ok(tn_pool_new(&pool, 3, NULL));
  for (int i = 0; i < 4; i++) {
    void *(*body)(void *) = i % 2 ? start_from_another_thread : run_from_another_thread;
    assert_int_equal(pthread_create(&threads[i], NULL, body, pool), 0);
  }
  for (int i = 0; i < 4; i++) {
    void *result = (void *)1;
    pthread_join(threads[i], &result);
    assert_null(result);
  }
  tn_pool_free(pool);
}

/* Two items that wait for each other can only end when two threads really run them. */
typedef struct meeting {
  _Atomic int arrived;
} meeting;

static void meet(void *context, int64_t item, int32_t worker) {
  meeting *m = context;
  atomic_fetch_add(&m->arrived, 1);
  while (atomic_load(&m->arrived) < 2) sched_yield();
}

static void threads_really_run(void **state) {
  tn_pool *pool;
  assert_ok(tn_pool_new(&pool, 2, NULL));
  for (int i = 0; i < 20; i++) {
    meeting m = {0};
    tn_pool_run(pool, 2, meet, &m);
    assert_int_equal(m.arrived, 2);
  }
  tn_pool_free(pool);
}

static void bad_thread_counts_are_refused(void **state) {
  tn_pool *pool;
  tn_error err;
  assert_int_equal(tn_pool_new(&pool, -1, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_pool_new(&pool, 1000000, &err), TN_ERR_ARGUMENT);
  assert_holds(err.text, "1000000 threads");
}

static tn_status make_pool(void *context, tn_error *err) {
  tn_pool *pool;
  TN_TRY(tn_pool_new(&pool, 2, err));
  tn_pool_free(pool);
  return TN_OK;
}

static void allocation_failures(void **state) {
  assert_int_equal(fail_each_allocation(make_pool, NULL), 3);
}

static void cpu_count_follows_affinity(void **state) {
  int32_t cpus = tn_cpu_count();
  assert_in_range(cpus, 1, sysconf(_SC_NPROCESSORS_CONF));
  cpu_set_t before, one;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  int32_t alone = tn_cpu_count();
  sched_setaffinity(0, sizeof before, &before);
  assert_int_equal(alone, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_item_runs_once),
      cmocka_unit_test(every_neighbour_runs_once),
      cmocka_unit_test(a_slow_thread_loses_its_stretch),
      cmocka_unit_test(threads_walk_through_neighbours),
      cmocka_unit_test(many_short_runs),
      cmocka_unit_test(nested_runs_are_inline),
      cmocka_unit_test(concurrent_callers),
      cmocka_unit_test(threads_really_run),
      cmocka_unit_test(bad_thread_counts_are_refused),
      cmocka_unit_test(allocation_failures),
      cmocka_unit_test(cpu_count_follows_affinity),
      cmocka_unit_test(what_is_started_is_finished),
      cmocka_unit_test(the_next_run_finishes_what_was_started),
      cmocka_unit_test(a_near_run_finishes_what_was_started),
      cmocka_unit_test(the_caller_goes_on),
      cmocka_unit_test(items_start_nothing),
      cmocka_unit_test(concurrent_starters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
