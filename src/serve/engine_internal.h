/* engine_internal.h - what the files of the engine share: a generation that was accepted, the
 * arrays of a step, the engine itself.  Private to serve/engine*.c:
 *
 *     engine.c        taking in, a step, submit and drain
 *     engine_job.c    a generation's start, events and end
 *     engine_score.c  how likely the tokens of a prompt were
 *     engine_new.c    parts, their sizes, and their end */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_ENGINE_INTERNAL_H
#define TN_SERVE_ENGINE_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>

#include "base/queue.h"
#include "serve/engine.h"
#include "serve/json_tokens.h"
#include "serve/scheduler.h"

/* Of a prompt: how many rows have their logits in memory at a time. */
enum { TN_SCORED_ROWS = 64, TN_SCORED_BYTES = 16 << 20 };

/* A generation that was accepted; the engine thread's alone once it is in the inbox. */
typedef struct tn_job {
  tn_generation g;
  char *stop_bytes;
  tn_logit_bias *biases;
  tn_sequence *sequence;
  tn_text_stream text;
  tn_json_guard guard;
  uint64_t number;
  bool admitted;  /* has run at least once */
  int64_t scored; /* tokens of the prompt that have had their event */
  int64_t submitted_us, admitted_us, first_us, last_us;
} tn_job;

/* The arrays of one step, sized for the largest. */
typedef struct tn_step_arrays {
  int32_t *ids, *positions, *sequences, *slots, *logit_indices, *block_table;
  tn_job **logit_jobs;
  int32_t scored_rows[TN_SCORED_ROWS];
  tn_sample scored[TN_SCORED_ROWS];
} tn_step_arrays;

typedef struct tn_instruments {
  tn_metric *prompt_tokens, *generated_tokens, *preemptions, *steps, *step_tokens;
  tn_metric *first_token, *inter_token, *whole, *queued;
  tn_metric *waiting, *running, *blocks_free, *blocks_used;
} tn_instruments;

struct tn_engine {
  tn_engine_options options;
  tn_model *model;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  tn_sampler *sampler;
  tn_scheduler *scheduler;
  tn_step_arrays batch;
  tn_strbuf text;              /* of the event under way */
  tn_json_tokens *json_tokens; /* NULL: there is no tokenizer */
  uint8_t *allowed;            /* [vocab_size] tokens that may come next in the answer under way */
  tn_instruments metrics;
  int64_t context, blocks_per_sequence, block_bytes;
  int32_t blocks, scored_max; /* rows of a prompt scored at a time */
  int32_t *eos_ids;

  tn_queue *inbox;
  pthread_t thread;
  bool started;
  atomic_int pending; /* submitted and never yet run: what queue_max bounds */
  atomic_bool cancelled;
  atomic_llong waiting, running, blocks_free, preemptions, steps; /* for tn_engine_look */
  atomic_ullong numbers;

  pthread_mutex_t lock; /* guards the two below, and makes a submit whole */
  pthread_cond_t changed;
  bool draining, ended;
};

/* ---- engine_job.c ---- */

/* Copies what g points to; refuses what does not fit the engine's context and model. */
TN_NODISCARD tn_status tn_job_new(tn_job **out, tn_engine *e, const tn_generation *g,
                                  tn_error *err);
void tn_job_free(tn_job *j); /* NULL is fine */
/* An event with the engine's text. */
void tn_job_send(tn_engine *e, tn_job *j, const tn_sample *sample, tn_finish finish,
                 const char *error);
/* The last event, and the end of the job. */
void tn_job_finish(tn_engine *e, tn_job *j, const tn_sample *sample, tn_finish how,
                   const char *error);

/* ---- engine_score.c ---- */

/* Are tokens of its prompt still to have their events? */
bool tn_job_is_scored(const tn_job *j);
/* Events of the prompts' tokens that this step's rows score, before the last of `samples` rows are
 * sampled from; a job whose logits are not numbers ends. */
void tn_score_prompts(tn_engine *e, tn_sequence *const *plan, int32_t count, int64_t samples);

/* ---- engine.c ---- */

void tn_engine_publish(tn_engine *e); /* the scheduler's counts, for other threads */
void *tn_engine_main(void *engine);   /* the engine thread */

#endif
