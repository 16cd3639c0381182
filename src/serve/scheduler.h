/* scheduler.h - who computes how many tokens in the next step.
 *
 * One rule: a sequence knows some tokens (prompt, then what was sampled) and has computed K and V
 * for some of them; each step lets sequences catch up, under one budget of tokens.  Prefill,
 * chunked prefill, decode and the recomputation after a preemption are all "catch up by n".
 *
 *     waiting (by arrival) --admit--> running (by arrival) --finish--> out
 *          ^                             |
 *          +--------- preempt -----------+   youngest first, when blocks run out
 *
 * Running sequences are served first, oldest first; then waiting ones are admitted strictly in
 * order of arrival, each only when the blocks for all tokens that it knows are free.  The oldest
 * sequence is never preempted and every sequence fits the pool alone, so each one finishes.
 *
 * Pure logic: no clock, no thread, no model; a simulation can drive it.  Thread: the engine's. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_SCHEDULER_H
#define TN_SERVE_SCHEDULER_H
#include "serve/block_pool.h"

typedef enum tn_sequence_state {
  TN_SEQUENCE_NEW,
  TN_SEQUENCE_WAITING,
  TN_SEQUENCE_RUNNING,
  TN_SEQUENCE_DONE
} tn_sequence_state;

typedef struct tn_sequence {
  int32_t *ids;        /* [token_limit]: `known` of them are set */
  int64_t known;       /* prompt and sampled tokens */
  int64_t prompt;      /* how many of them came with the request */
  int64_t token_limit; /* prompt and the most that will be sampled */
  int64_t computed;    /* whose K and V lie in the blocks; <= known */
  int64_t scheduled;   /* of those in the step under way */
  int64_t beside;      /* the most tokens in a step while others are there; 0: as many as fit */
  int32_t *blocks;     /* block table; token i lies in blocks[i / block_tokens] */
  int32_t block_count;
  int32_t preemptions;
  tn_sequence_state state;
  uint64_t arrival;                    /* given by tn_scheduler_add: 1, 2, ... */
  struct tn_sequence *previous, *next; /* the scheduler's lists */
  void *owner;
} tn_sequence;

/* Takes over nothing: `ids` is copied.  token_limit >= prompt >= 1. */
TN_NODISCARD tn_status tn_sequence_new(tn_sequence **out, const int32_t *ids, int64_t prompt,
                                       int64_t token_limit, int32_t block_tokens, void *owner,
                                       tn_error *err);
void tn_sequence_free(tn_sequence *sequence); /* not while a scheduler has it */
/* One sampled token; the room for it was made at the start. */
void tn_sequence_append(tn_sequence *sequence, int32_t id);

typedef struct tn_scheduler_options {
  int32_t blocks, block_tokens;
  int32_t running_max; /* sequences in a step */
  int32_t step_tokens; /* tokens in a step; at least running_max, so that decoding never waits */
} tn_scheduler_options;

typedef struct tn_scheduler_counts {
  int32_t waiting, running, blocks_free, blocks_total;
  int64_t preemptions, steps;
} tn_scheduler_counts;

typedef struct tn_scheduler tn_scheduler;
TN_NODISCARD tn_status tn_scheduler_new(tn_scheduler **out, const tn_scheduler_options *options,
                                        tn_error *err);
/* Sequences still inside are the caller's to free. */
void tn_scheduler_free(tn_scheduler *s);

/* TN_ERR_LIMIT when the sequence could never fit the pool, naming blocks. */
TN_NODISCARD tn_status tn_scheduler_add(tn_scheduler *s, tn_sequence *sequence, tn_error *err);
/* Plans a step: sets `scheduled` of the sequences that take part and lists them, oldest first, in
 * an array that is valid until the next call.  0: there is nothing to do. */
int32_t tn_scheduler_plan(tn_scheduler *s, tn_sequence *const **plan);
/* The planned tokens have been computed. */
void tn_scheduler_commit(tn_scheduler *s);
/* Takes a sequence out in any state, at any time between plan and commit too; its blocks are free
 * again.  Again is harmless. */
void tn_scheduler_finish(tn_scheduler *s, tn_sequence *sequence);

tn_scheduler_counts tn_scheduler_count(const tn_scheduler *s);
tn_sequence *tn_scheduler_first_running(const tn_scheduler *s); /* then ->next */
tn_sequence *tn_scheduler_first_waiting(const tn_scheduler *s);
/* Recounts everything against the invariants above.  For tests and idle moments. */
TN_NODISCARD tn_status tn_scheduler_check(const tn_scheduler *s, tn_error *err);

#endif
