/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/scheduler.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

typedef struct list {
  tn_sequence *first, *last;
  int32_t count;
} list;

struct tn_scheduler {
  tn_scheduler_options options;
  tn_block_pool *pool;
  list waiting, running; /* both in order of arrival */
  tn_sequence **plan;    /* [running_max] */
  int32_t planned;
  uint64_t arrivals;
  int64_t preemptions, steps;
};

/* ---- sequences
 * ------------------------------------------------------------------------------------------ */

static int64_t blocks_for(int64_t tokens, int32_t block_tokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

tn_status tn_sequence_new(tn_sequence **out, const int32_t *ids, int64_t prompt,
                          int64_t token_limit, int32_t block_tokens, void *owner, tn_error *err) {
  if (prompt < 1 || token_limit < prompt || token_limit > INT32_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT, "sequence of %lld tokens with room for %lld",
                   (long long)prompt, (long long)token_limit);
  }
  tn_sequence *sequence = tn_alloc(1, sizeof *sequence);
  if (!sequence) return tn_fail_memory(err, "sequence", sizeof *sequence);
  sequence->ids = tn_alloc((size_t)token_limit, sizeof *sequence->ids);
  sequence->blocks =
      tn_alloc((size_t)blocks_for(token_limit, block_tokens), sizeof *sequence->blocks);
  if (!sequence->ids || !sequence->blocks) {
    tn_sequence_free(sequence);
    return tn_fail_memory(err, "sequence", (unsigned long long)token_limit * sizeof(int32_t));
  }
  memcpy(sequence->ids, ids, (size_t)prompt * sizeof *ids);
  sequence->known = sequence->prompt = prompt;
  sequence->token_limit = token_limit;
  sequence->owner = owner;
  *out = sequence;
  return TN_OK;
}

void tn_sequence_free(tn_sequence *sequence) {
  if (!sequence) return;
  tn_free(sequence->ids);
  tn_free(sequence->blocks);
  tn_free(sequence);
}

void tn_sequence_append(tn_sequence *sequence, int32_t id) {
  assert(sequence->known < sequence->token_limit);
  sequence->ids[sequence->known++] = id;
}

/* ---- lists
 * ---------------------------------------------------------------------------------------------- */

static void list_add_last(list *l, tn_sequence *sequence) {
  sequence->previous = l->last;
  sequence->next = NULL;
  if (l->last) {
    l->last->next = sequence;
  } else {
    l->first = sequence;
  }
  l->last = sequence;
  l->count++;
}

static void list_add_first(list *l, tn_sequence *sequence) {
  sequence->previous = NULL;
  sequence->next = l->first;
  if (l->first) {
    l->first->previous = sequence;
  } else {
    l->last = sequence;
  }
  l->first = sequence;
  l->count++;
}

static void list_remove(list *l, tn_sequence *sequence) {
  if (sequence->previous) {
    sequence->previous->next = sequence->next;
  } else {
    l->first = sequence->next;
  }
  if (sequence->next) {
    sequence->next->previous = sequence->previous;
  } else {
    l->last = sequence->previous;
  }
  sequence->previous = sequence->next = NULL;
  l->count--;
}

/* ---- life
 * -----------------------------------------------------------------------------------------------
 */

tn_status tn_scheduler_new(tn_scheduler **out, const tn_scheduler_options *o, tn_error *err) {
  if (o->running_max < 1 || o->step_tokens < o->running_max || o->block_tokens < 1) {
    return tn_fail(
        err, TN_ERR_ARGUMENT,
        "scheduler: %d sequences, %d tokens a step, %d tokens a block: wants at least one of each "
        "and as many tokens as sequences",
        o->running_max, o->step_tokens, o->block_tokens);
  }
  tn_scheduler *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "scheduler", sizeof *s);
  s->options = *o;
  s->plan = tn_alloc((size_t)o->running_max, sizeof *s->plan);
  tn_status status = s->plan
                         ? tn_block_pool_new(&s->pool, o->blocks, err)
                         : tn_fail_memory(err, "scheduler", (unsigned long long)o->running_max * 8);
  if (status != TN_OK) {
    tn_scheduler_free(s);
    return status;
  }
  *out = s;
  return TN_OK;
}

void tn_scheduler_free(tn_scheduler *s) {
  if (!s) return;
  tn_block_pool_free(s->pool);
  tn_free(s->plan);
  tn_free(s);
}

tn_status tn_scheduler_add(tn_scheduler *s, tn_sequence *sequence, tn_error *err) {
  int64_t need = blocks_for(sequence->token_limit, s->options.block_tokens);
  if (need > s->options.blocks) {
    return tn_fail(err, TN_ERR_LIMIT,
                   "a request of up to %lld tokens needs %lld KV blocks, there are %d",
                   (long long)sequence->token_limit, (long long)need, s->options.blocks);
  }
  sequence->arrival = ++s->arrivals;
  sequence->state = TN_SEQUENCE_WAITING;
  list_add_last(&s->waiting, sequence);
  return TN_OK;
}

/* Tails first: the blocks at the start of a sequence are the ones another could want again. */
static void drop_blocks(tn_scheduler *s, tn_sequence *sequence) {
  while (sequence->block_count > 0)
    tn_block_pool_drop(s->pool, sequence->blocks[--sequence->block_count]);
  sequence->computed = sequence->scheduled = 0;
}

void tn_scheduler_finish(tn_scheduler *s, tn_sequence *sequence) {
  if (sequence->state == TN_SEQUENCE_WAITING) list_remove(&s->waiting, sequence);
  if (sequence->state == TN_SEQUENCE_RUNNING) list_remove(&s->running, sequence);
  drop_blocks(s, sequence);
  sequence->state = TN_SEQUENCE_DONE;
}

/* ---- a step
 * --------------------------------------------------------------------------------------------- */

/* Extends the table until it covers `tokens`; false when the pool is empty (what was taken is
 * kept). */
static bool cover(tn_scheduler *s, tn_sequence *sequence, int64_t tokens) {
  int64_t need = blocks_for(tokens, s->options.block_tokens);
  while (sequence->block_count < need) {
    int32_t block = tn_block_pool_take(s->pool);
    if (block < 0) return false;
    sequence->blocks[sequence->block_count++] = block;
  }
  return true;
}

static void preempt(tn_scheduler *s, tn_sequence *victim) {
  drop_blocks(s, victim);
  list_remove(&s->running, victim);
  list_add_first(&s->waiting, victim);
  victim->state = TN_SEQUENCE_WAITING;
  victim->preemptions++;
  s->preemptions++;
}

static void schedule(tn_scheduler *s, tn_sequence *sequence, int64_t *budget) {
  int64_t count = sequence->known - sequence->computed;
  if (count > *budget) count = *budget;
  bool alone = s->running.count + s->waiting.count == 1;
  if (sequence->beside > 0 && !alone && count > sequence->beside) count = sequence->beside;
  sequence->scheduled = count;
  *budget -= count;
  s->plan[s->planned++] = sequence;
}

/* Oldest first; each may push out younger ones, which all come later in this walk, or at last
 * itself. */
static bool plan_running(tn_scheduler *s, int64_t *budget) {
  bool preempted = false;
  tn_sequence *next = s->running.first;
  while (next && *budget > 0) {
    tn_sequence *sequence = next;
    while (!cover(s, sequence, sequence->known)) {
      tn_sequence *victim = s->running.last;
      preempt(s, victim);
      preempted = true;
      if (victim == sequence) return true;
    }
    next = sequence->next;
    if (sequence->known > sequence->computed) schedule(s, sequence, budget);
  }
  return preempted;
}

/* A newcomer leaves one block for each that runs already, so that it is not the first to be pushed
 * out. */
static bool may_admit(const tn_scheduler *s, const tn_sequence *sequence) {
  int64_t need = blocks_for(sequence->known, s->options.block_tokens);
  return need + s->running.count <= tn_block_pool_free_count(s->pool);
}

static void admit_waiting(tn_scheduler *s, int64_t *budget) {
  while (s->waiting.first && *budget > 0 && s->running.count < s->options.running_max) {
    tn_sequence *sequence = s->waiting.first;
    if (!may_admit(s, sequence)) return;
    list_remove(&s->waiting, sequence);
    list_add_last(&s->running, sequence);
    sequence->state = TN_SEQUENCE_RUNNING;
    /* All its blocks now, or a second long prompt would be let in on blocks that this one still
     * needs. */
    bool covered = cover(s, sequence, sequence->known);
    assert(covered);
    (void)covered;
    schedule(s, sequence, budget);
  }
}

int32_t tn_scheduler_plan(tn_scheduler *s, tn_sequence *const **plan) {
  int64_t budget = s->options.step_tokens;
  s->planned = 0;
  for (tn_sequence *q = s->running.first; q; q = q->next) q->scheduled = 0;
  if (!plan_running(s, &budget)) admit_waiting(s, &budget);
  if (s->planned > 0) s->steps++;
  *plan = s->plan;
  return s->planned;
}

void tn_scheduler_commit(tn_scheduler *s) {
  for (tn_sequence *q = s->running.first; q; q = q->next) {
    q->computed += q->scheduled;
    q->scheduled = 0;
  }
}

/* ---- looking in
 * ------------------------------------------------------------------------------------------ */

tn_scheduler_counts tn_scheduler_count(const tn_scheduler *s) {
  return (tn_scheduler_counts){
      .waiting = s->waiting.count,
      .running = s->running.count,
      .blocks_free = tn_block_pool_free_count(s->pool),
      .blocks_total = tn_block_pool_total(s->pool),
      .preemptions = s->preemptions,
      .steps = s->steps,
  };
}

tn_sequence *tn_scheduler_first_running(const tn_scheduler *s) {
  return s->running.first;
}
tn_sequence *tn_scheduler_first_waiting(const tn_scheduler *s) {
  return s->waiting.first;
}

static tn_status check_list(const list *l, tn_sequence_state state, const char *name,
                            uint64_t *newest, tn_error *err) {
  int32_t count = 0;
  for (const tn_sequence *q = l->first; q; q = q->next) {
    if (++count > l->count || q->state != state) {
      return tn_fail(err, TN_ERR_DATA, "%s list: sequence %llu in state %d at place %d of %d", name,
                     (unsigned long long)q->arrival, q->state, count, l->count);
    }
    if (q->arrival <= *newest) {
      return tn_fail(err, TN_ERR_DATA, "%s list: sequence %llu after %llu", name,
                     (unsigned long long)q->arrival, (unsigned long long)*newest);
    }
    *newest = q->arrival;
  }
  if (count == l->count) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s list: %d sequences, %d counted", name, count, l->count);
}

static tn_status check_running(const tn_scheduler *s, const tn_sequence *q, tn_error *err) {
  int64_t reached = q->computed + q->scheduled;
  if (q->computed < 0 || reached > q->known || q->known > q->token_limit ||
      (int64_t)q->block_count * s->options.block_tokens < reached ||
      q->block_count > blocks_for(q->known, s->options.block_tokens)) {
    return tn_fail(err, TN_ERR_DATA,
                   "sequence %llu: %lld + %lld of %lld tokens computed, %d blocks",
                   (unsigned long long)q->arrival, (long long)q->computed, (long long)q->scheduled,
                   (long long)q->known, q->block_count);
  }
  return TN_OK;
}

tn_status tn_scheduler_check(const tn_scheduler *s, tn_error *err) {
  uint64_t newest = 0;
  TN_TRY(tn_block_pool_check(s->pool, err));
  TN_TRY(check_list(&s->running, TN_SEQUENCE_RUNNING, "running", &newest, err));
  TN_TRY(check_list(&s->waiting, TN_SEQUENCE_WAITING, "waiting", &newest, err));
  if (s->running.count > s->options.running_max) {
    return tn_fail(err, TN_ERR_DATA, "%d sequences run, limit %d", s->running.count,
                   s->options.running_max);
  }
  int64_t scheduled = 0, held = 0;
  for (const tn_sequence *q = s->running.first; q; q = q->next) {
    TN_TRY(check_running(s, q, err));
    scheduled += q->scheduled;
    held += q->block_count;
    for (int32_t i = 0; i < q->block_count; i++) {
      if (tn_block_pool_refs(s->pool, q->blocks[i]) != 1) {
        return tn_fail(err, TN_ERR_DATA, "block %d of sequence %llu has %d references",
                       q->blocks[i], (unsigned long long)q->arrival,
                       tn_block_pool_refs(s->pool, q->blocks[i]));
      }
    }
  }
  for (const tn_sequence *q = s->waiting.first; q; q = q->next)
    held += q->block_count + q->computed;
  if (held + tn_block_pool_free_count(s->pool) != s->options.blocks) {
    return tn_fail(err, TN_ERR_DATA, "%lld blocks held and %d free of %d", (long long)held,
                   tn_block_pool_free_count(s->pool), s->options.blocks);
  }
  if (scheduled <= s->options.step_tokens) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%lld tokens in a step, limit %d", (long long)scheduled,
                 s->options.step_tokens);
}
