/* The scheduler under a simulation: random arrivals, lengths and aborts, tiny pools.  After every
 * plan the books are recounted; at the end everyone has finished. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"

static tn_scheduler *scheduler_of(int32_t blocks, int32_t block_tokens, int32_t running,
                                  int32_t step) {
  tn_scheduler *s = NULL;
  tn_error err;
  tn_scheduler_options o = {blocks, block_tokens, running, step};
  if (tn_scheduler_new(&s, &o, &err) != TN_OK) fail_msg("%s", err.text);
  return s;
}

static tn_sequence *sequence_of(int64_t prompt, int64_t limit, int32_t block_tokens) {
  int32_t ids[4096];
  tn_sequence *q = NULL;
  for (int i = 0; i < 4096; i++) ids[i] = i;
  assert_int_equal(tn_sequence_new(&q, ids, prompt, limit, block_tokens, NULL, NULL), TN_OK);
  return q;
}

static void checked(const tn_scheduler *s) {
  tn_error err;
  if (tn_scheduler_check(s, &err) != TN_OK) fail_msg("%s", err.text);
}

static void a_long_prompt_comes_in_chunks(void **state) {
  (void)state;
  tn_scheduler *s = scheduler_of(64, 4, 4, 10);
  tn_sequence *q = sequence_of(25, 30, 4);
  tn_sequence *const *plan;
  assert_int_equal(tn_scheduler_add(s, q, NULL), TN_OK);
  const int64_t wanted[] = {10, 10, 5};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tn_scheduler_plan(s, &plan), 1);
    assert_int_equal(plan[0]->scheduled, wanted[i]);
    checked(s);
    tn_scheduler_commit(s);
  }
  assert_int_equal(tn_scheduler_plan(s, &plan), 0); /* caught up */
  tn_sequence_append(q, 7);
  assert_int_equal(tn_scheduler_plan(s, &plan), 1);
  assert_int_equal(plan[0]->scheduled, 1);
  tn_scheduler_finish(s, q);
  tn_scheduler_finish(s, q);
  checked(s);
  assert_int_equal(tn_scheduler_count(s).blocks_free, 64);
  tn_sequence_free(q);
  tn_scheduler_free(s);
}

static void decoding_goes_on_beside_a_prefill(void **state) {
  (void)state;
  tn_scheduler *s = scheduler_of(64, 4, 4, 8);
  tn_sequence *a = sequence_of(4, 40, 4), *b = sequence_of(40, 44, 4);
  tn_sequence *const *plan;
  assert_int_equal(tn_scheduler_add(s, a, NULL), TN_OK);
  tn_scheduler_plan(s, &plan);
  tn_scheduler_commit(s);
  tn_sequence_append(a, 1);
  assert_int_equal(tn_scheduler_add(s, b, NULL), TN_OK);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(tn_scheduler_plan(s, &plan), 2);
    assert_ptr_equal(plan[0], a);
    assert_int_equal(a->scheduled, 1);
    assert_int_equal(b->scheduled, 7);
    tn_scheduler_commit(s);
    tn_sequence_append(a, 1);
  }
  tn_scheduler_finish(s, a);
  tn_scheduler_finish(s, b);
  tn_sequence_free(a);
  tn_sequence_free(b);
  tn_scheduler_free(s);
}

/* A sequence whose tokens cost more leaves room for others, and has all of it when alone. */
static void costly_tokens_come_few_at_a_time_beside_others(void **state) {
  (void)state;
  tn_scheduler *s = scheduler_of(64, 4, 4, 16);
  tn_sequence *costly = sequence_of(60, 61, 4), *other = sequence_of(9, 12, 4);
  tn_sequence *const *plan;
  costly->beside = 5;
  assert_int_equal(tn_scheduler_add(s, costly, NULL), TN_OK);
  assert_int_equal(tn_scheduler_plan(s, &plan), 1);
  assert_int_equal(costly->scheduled, 16);
  tn_scheduler_commit(s);
  assert_int_equal(tn_scheduler_add(s, other, NULL), TN_OK);
  assert_int_equal(tn_scheduler_plan(s, &plan), 2);
  assert_int_equal(costly->scheduled, 5);
  assert_int_equal(other->scheduled, 9);
  checked(s);
  tn_scheduler_commit(s);
  tn_scheduler_finish(s, other);
  assert_int_equal(tn_scheduler_plan(s, &plan), 1);
  assert_int_equal(costly->scheduled, 16);
  tn_scheduler_finish(s, costly);
  tn_sequence_free(costly);
  tn_sequence_free(other);
  tn_scheduler_free(s);
}

static void the_youngest_makes_room(void **state) {
  (void)state;
  tn_scheduler *s = scheduler_of(6, 2, 3, 16);
  tn_sequence *q[3];
  tn_sequence *const *plan;
  for (int i = 0; i < 2; i++) {
    q[i] = sequence_of(2, 10, 2);
    assert_int_equal(tn_scheduler_add(s, q[i], NULL), TN_OK);
  }
  assert_int_equal(tn_scheduler_plan(s, &plan), 2);
  tn_scheduler_commit(s);
  bool preempted = false;
  for (int step = 0; step < 40 && q[1]->state != TN_SEQUENCE_DONE; step++) {
    for (int i = 0; i < 2; i++) {
      if (q[i]->state != TN_SEQUENCE_RUNNING || q[i]->computed < q[i]->known) continue;
      if (q[i]->known == q[i]->token_limit) {
        tn_scheduler_finish(s, q[i]);
      } else {
        tn_sequence_append(q[i], 9);
      }
    }
    tn_scheduler_plan(s, &plan);
    checked(s);
    assert_int_equal(q[0]->preemptions, 0);
    preempted = preempted || q[1]->preemptions > 0;
    tn_scheduler_commit(s);
  }
  assert_true(preempted);
  assert_int_equal(q[1]->state, TN_SEQUENCE_DONE);
  assert_int_equal(q[1]->known, 10);
  for (int i = 0; i < 2; i++) tn_sequence_free(q[i]);
  tn_scheduler_free(s);
}

static void what_can_never_fit_is_refused(void **state) {
  (void)state;
  tn_scheduler *s = scheduler_of(4, 4, 1, 4);
  tn_error err;
  tn_sequence *q = sequence_of(10, 17, 4);
  assert_int_equal(tn_scheduler_add(s, q, &err), TN_ERR_LIMIT);
  assert_non_null(strstr(err.text, "17 tokens needs 5 KV blocks, there are 4"));
  tn_sequence_free(q);
  tn_scheduler_options bad = {4, 4, 8, 4};
  assert_int_equal(tn_scheduler_new(&s, &bad, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_sequence_new(&q, NULL, 0, 4, 4, NULL, &err), TN_ERR_ARGUMENT);
  tn_scheduler_free(s);
}

/* ---- simulation
 * ------------------------------------------------------------------------------------------ */

enum { ARRIVALS = 60 };

typedef struct simulation {
  uint64_t seed, draws;
  tn_scheduler *s;
  tn_scheduler_options options;
  tn_sequence *all[ARRIVALS];
  int arrived, finished, aborted;
  int64_t waited_max;
} simulation;

static int64_t draw(simulation *m, int64_t low, int64_t high) {
  return low + (int64_t)tn_random_below(m->seed, 0, m->draws++, (uint64_t)(high - low + 1));
}

static void arrive(simulation *m) {
  int64_t room = (int64_t)m->options.blocks * m->options.block_tokens;
  int64_t prompt = draw(m, 1, room), limit = draw(m, prompt, room);
  m->all[m->arrived] = sequence_of(prompt, limit, m->options.block_tokens);
  assert_int_equal(tn_scheduler_add(m->s, m->all[m->arrived++], NULL), TN_OK);
}

static void abort_one(simulation *m) {
  tn_sequence *q = m->all[draw(m, 0, m->arrived - 1)];
  if (q->state == TN_SEQUENCE_DONE) return;
  tn_scheduler_finish(m->s, q);
  m->aborted++;
}

/* The model's part: everyone who has caught up gets a token, or is done. */
static void sample_all(simulation *m, tn_sequence *const *plan, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    tn_sequence *q = plan[i];
    if (q->state != TN_SEQUENCE_RUNNING || q->computed < q->known) continue;
    if (q->known == q->token_limit || draw(m, 0, 19) == 0) {
      tn_scheduler_finish(m->s, q);
      m->finished++;
    } else {
      tn_sequence_append(q, 1);
    }
  }
}

static void step(simulation *m) {
  tn_sequence *const *plan;
  const tn_sequence *oldest = tn_scheduler_first_running(m->s);
  int32_t before = oldest ? oldest->preemptions : 0;
  int32_t count = tn_scheduler_plan(m->s, &plan);
  checked(m->s);
  if (oldest) assert_int_equal(oldest->preemptions, before);
  tn_scheduler_counts c = tn_scheduler_count(m->s);
  assert_true(count > 0 || (c.running == 0 && c.waiting == 0));
  int64_t tokens = 0;
  for (int32_t i = 0; i < count; i++) {
    assert_true(plan[i]->scheduled > 0);
    tokens += plan[i]->scheduled;
    if (i > 0) assert_true(plan[i - 1]->arrival < plan[i]->arrival);
  }
  assert_true(tokens <= m->options.step_tokens);
  if (m->arrived > 0 && draw(m, 0, 9) == 0) abort_one(m); /* between plan and commit */
  tn_scheduler_commit(m->s);
  sample_all(m, plan, count);
  checked(m->s);
}

static int64_t simulate(uint64_t seed) {
  simulation m = {.seed = seed};
  m.options.blocks = (int32_t)draw(&m, 1, 12);
  m.options.block_tokens = (int32_t)draw(&m, 1, 5);
  m.options.running_max = (int32_t)draw(&m, 1, 6);
  m.options.step_tokens = (int32_t)draw(&m, m.options.running_max, 20);
  m.s = scheduler_of(m.options.blocks, m.options.block_tokens, m.options.running_max,
                     m.options.step_tokens);
  int64_t steps = 0;
  for (; steps < 200000 && m.finished + m.aborted < ARRIVALS; steps++) {
    if (m.arrived < ARRIVALS && draw(&m, 0, 3) == 0) arrive(&m);
    if (m.arrived > 0) step(&m);
  }
  if (m.finished + m.aborted != ARRIVALS) {
    fail_msg("seed %llu: %d of %d finished after %lld steps", (unsigned long long)seed,
             m.finished + m.aborted, ARRIVALS, (long long)steps);
  }
  tn_scheduler_counts c = tn_scheduler_count(m.s);
  assert_int_equal(c.blocks_free, m.options.blocks);
  for (int i = 0; i < ARRIVALS; i++) tn_sequence_free(m.all[i]);
  tn_scheduler_free(m.s);
  return c.preemptions;
}

static void everyone_finishes_whatever_comes(void **state) {
  (void)state;
  int64_t live = tn_alloc_live(), preemptions = 0;
  for (uint64_t seed = 1; seed <= 150; seed++) {
    fprintf(stderr, "seed %llu\r", (unsigned long long)seed);
    preemptions += simulate(seed);
  }
  assert_true(preemptions > 100); /* or the simulation is too easy */
  assert_int_equal(tn_alloc_live(), live);
}

static void failed_allocations(void **state) {
  (void)state;
  int64_t live = tn_alloc_live();
  tn_scheduler_options o = {4, 4, 2, 8};
  int32_t ids[2] = {1, 2};
  for (int64_t n = 1; n <= 4; n++) {
    tn_scheduler *s = NULL;
    tn_sequence *q = NULL;
    tn_alloc_fail_at(n);
    assert_int_equal(tn_scheduler_new(&s, &o, NULL), TN_ERR_MEMORY);
    tn_alloc_fail_at(n > 3 ? 3 : n);
    assert_int_equal(tn_sequence_new(&q, ids, 2, 4, 4, NULL, NULL), TN_ERR_MEMORY);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_long_prompt_comes_in_chunks),
      cmocka_unit_test(decoding_goes_on_beside_a_prefill),
      cmocka_unit_test(costly_tokens_come_few_at_a_time_beside_others),
      cmocka_unit_test(the_youngest_makes_room),
      cmocka_unit_test(what_can_never_fit_is_refused),
      cmocka_unit_test(everyone_finishes_whatever_comes),
      cmocka_unit_test(failed_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
