/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/engine.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/queue.h"
#include "serve/json_tokens.h"
#include "serve/scheduler.h"

/* Of a prompt: how many rows have their logits in memory at a time. */
enum { SCORED_ROWS = 64, SCORED_BYTES = 16 << 20 };

/* A generation that was accepted; the engine thread's alone once it is in the inbox. */
typedef struct job {
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
} job;

/* The arrays of one step, sized for the largest. */
typedef struct batch {
  int32_t *ids, *positions, *sequences, *slots, *logit_indices, *block_table;
  job **logit_jobs;
  int32_t scored_rows[SCORED_ROWS];
  tn_sample scored[SCORED_ROWS];
} batch;

typedef struct instruments {
  tn_metric *prompt_tokens, *generated_tokens, *preemptions, *steps, *step_tokens;
  tn_metric *first_token, *inter_token, *whole, *queued;
  tn_metric *waiting, *running, *blocks_free, *blocks_used;
} instruments;

struct tn_engine {
  tn_engine_options options;
  tn_model *model;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  tn_sampler *sampler;
  tn_scheduler *scheduler;
  batch batch;
  tn_strbuf text;              /* of the event under way */
  tn_json_tokens *json_tokens; /* NULL: there is no tokenizer */
  uint8_t *allowed;            /* [vocab_size] tokens that may come next in the answer under way */
  instruments metrics;
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

/* ---- jobs
 * -----------------------------------------------------------------------------------------------
 */

static void job_free(job *j) {
  if (!j) return;
  tn_text_stream_clear(&j->text);
  tn_sequence_free(j->sequence);
  tn_free(j->stop_bytes);
  tn_free(j->biases);
  tn_free(j);
}

static tn_status copy_stops(job *j, tn_error *err) {
  size_t bytes = 0, at = 0;
  for (int32_t i = 0; i < j->g.stop_count; i++) bytes += j->g.stops[i].length;
  j->stop_bytes = tn_alloc(bytes ? bytes : 1, 1);
  if (!j->stop_bytes) return tn_fail_memory(err, "stop strings", bytes);
  for (int32_t i = 0; i < j->g.stop_count; i++) {
    tn_str *stop = &j->g.stops[i];
    memcpy(j->stop_bytes + at, stop->data, stop->length);
    stop->data = j->stop_bytes + at;
    at += stop->length;
    j->text.stops[i] = *stop;
  }
  j->text.stop_count = j->g.stop_count;
  return TN_OK;
}

static tn_status copy_biases(job *j, int64_t vocab_size, tn_error *err) {
  tn_sampling *s = &j->g.sampling;
  size_t bytes = (size_t)s->bias_count * sizeof *j->biases;
  for (int32_t i = 0; i < s->bias_count; i++)
    if (s->biases[i].id < 0 || s->biases[i].id >= vocab_size)
      return tn_fail(err, TN_ERR_ARGUMENT, "a bias of token %d, wants 0 to %lld", s->biases[i].id,
                     (long long)vocab_size - 1);
  if (bytes == 0) return TN_OK;
  j->biases = tn_alloc((size_t)s->bias_count, sizeof *j->biases);
  if (!j->biases) return tn_fail_memory(err, "biases", bytes);
  memcpy(j->biases, s->biases, bytes);
  s->biases = j->biases;
  return TN_OK;
}

static tn_status job_new(job **out, tn_engine *e, const tn_generation *g, tn_error *err) {
  if (g->count < 1 || g->tokens_max < 0 || g->stop_count < 0 || g->stop_count > TN_STOPS_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "a generation of %lld tokens after %lld, with %d stop strings",
                   (long long)g->tokens_max, (long long)g->count, g->stop_count);
  }
  if (g->count > e->context || g->tokens_max > e->context - g->count) {
    return tn_fail(
        err, TN_ERR_LIMIT,
        "the prompt has %lld tokens and up to %lld are to follow, limit %lld tokens in all",
        (long long)g->count, (long long)g->tokens_max, (long long)e->context);
  }
  TN_TRY(tn_tokenizer_check_ids(e->options.tokenizer, g->ids, (size_t)g->count,
                                tn_model_config_of(e->model)->vocab_size, err));
  if (g->json && !e->options.tokenizer)
    return tn_fail(err, TN_ERR_ARGUMENT, "a JSON answer, and no tokenizer");
  job *j = tn_alloc(1, sizeof *j);
  if (!j) return tn_fail_memory(err, "request", sizeof *j);
  j->g = *g;
  j->number = atomic_fetch_add(&e->numbers, 1) + 1;
  j->submitted_us = tn_time_us();
  tn_status status = copy_stops(j, err);
  if (status == TN_OK) status = copy_biases(j, tn_model_config_of(e->model)->vocab_size, err);
  if (status == TN_OK) {
    status = tn_sequence_new(&j->sequence, g->ids, g->count, g->count + g->tokens_max,
                             e->options.block_tokens, j, err);
  }
  if (status != TN_OK) {
    job_free(j);
    return status;
  }
  *out = j;
  return TN_OK;
}

static void send_event(tn_engine *e, job *j, const tn_sample *sample, tn_finish finish,
                       const char *error) {
  tn_engine_event event = {
      .text = tn_strbuf_view(&e->text),
      .sample = sample,
      .of_prompt = sample && j->sequence->known == j->sequence->prompt,
      .finish = finish,
      .error = error,
      .sampled = j->sequence->known - j->sequence->prompt,
  };
  j->g.event(j->g.context, &event);
}

/* The last event, and the end of the job. */
static void finish(tn_engine *e, job *j, const tn_sample *sample, tn_finish how,
                   const char *error) {
  int64_t now_us = tn_time_us();
  tn_scheduler_finish(e->scheduler, j->sequence);
  if (!j->admitted) atomic_fetch_sub(&e->pending, 1);
  if (how == TN_FINISH_STOP || how == TN_FINISH_LENGTH) {
    tn_metric_observe(e->metrics.whole, (double)(now_us - j->submitted_us) * 1e-6);
    if (j->first_us) tn_span_add(e->options.spans, "decode", j->number, j->first_us, now_us);
  }
  send_event(e, j, sample, how, error);
  job_free(j);
}

/* ---- taking in and forgetting
 * ------------------------------------------------------------------------- */

static bool has_work(const tn_engine *e) {
  tn_scheduler_counts c = tn_scheduler_count(e->scheduler);
  return c.waiting + c.running > 0;
}

static void publish(tn_engine *e) {
  tn_scheduler_counts c = tn_scheduler_count(e->scheduler);
  tn_metric_add(e->metrics.preemptions, (double)(c.preemptions - atomic_load(&e->preemptions)));
  tn_metric_add(e->metrics.steps, (double)(c.steps - atomic_load(&e->steps)));
  atomic_store(&e->waiting, c.waiting);
  atomic_store(&e->running, c.running);
  atomic_store(&e->blocks_free, c.blocks_free);
  atomic_store(&e->preemptions, c.preemptions);
  atomic_store(&e->steps, c.steps);
  tn_metric_set(e->metrics.waiting, c.waiting + tn_queue_count(e->inbox));
  tn_metric_set(e->metrics.running, c.running);
  tn_metric_set(e->metrics.blocks_free, c.blocks_free);
  tn_metric_set(e->metrics.blocks_used, c.blocks_total - c.blocks_free);
}

/* Waits only when there is nothing to do; false once the inbox is closed and all is done. */
static bool take_new(tn_engine *e) {
  bool busy = has_work(e);
  tn_strbuf_reset(&e->text);
  for (;;) {
    void *item = NULL;
    if (!busy) publish(e);
    tn_status status = tn_queue_take(e->inbox, &item, busy ? 0 : -1);
    if (status == TN_END) return busy;
    if (status != TN_OK) return true;
    job *j = item;
    tn_error err;
    if (tn_scheduler_add(e->scheduler, j->sequence, &err) == TN_OK) {
      busy = true;
    } else {
      finish(e, j, NULL, TN_FINISH_ERROR, err.text);
      busy = has_work(e);
    }
  }
}

static void drop_unwanted_of(tn_engine *e, tn_sequence *first) {
  bool all = atomic_load(&e->cancelled);
  for (tn_sequence *q = first, *next; q; q = next) {
    job *j = q->owner;
    next = q->next;
    if (!all && (!j->g.wanted || j->g.wanted(j->g.context))) continue;
    tn_strbuf_reset(&e->text);
    finish(e, j, NULL, TN_FINISH_GONE, NULL);
  }
}

static void drop_unwanted(tn_engine *e) {
  drop_unwanted_of(e, tn_scheduler_first_running(e->scheduler));
  drop_unwanted_of(e, tn_scheduler_first_waiting(e->scheduler));
}

/* ---- a step
 * --------------------------------------------------------------------------------------------- */

static void note_admitted(tn_engine *e, job *j) {
  if (j->admitted) return;
  j->admitted = true;
  j->admitted_us = tn_time_us();
  atomic_fetch_sub(&e->pending, 1);
  tn_metric_add(e->metrics.prompt_tokens, (double)j->sequence->prompt);
  tn_metric_observe(e->metrics.queued, (double)(j->admitted_us - j->submitted_us) * 1e-6);
  tn_span_add(e->options.spans, "queue", j->number, j->submitted_us, j->admitted_us);
}

static void add_rows(tn_engine *e, tn_forward_batch *b, int32_t place, const tn_sequence *q) {
  batch *a = &e->batch;
  int32_t block_tokens = e->options.block_tokens;
  for (int64_t i = 0; i < q->scheduled; i++) {
    int64_t position = q->computed + i, row = b->rows++;
    a->ids[row] = q->ids[position];
    a->positions[row] = (int32_t)position;
    a->sequences[row] = place;
    a->slots[row] =
        q->blocks[position / block_tokens] * block_tokens + (int32_t)(position % block_tokens);
  }
  if (q->computed + q->scheduled < q->known) return; /* more of the prompt is to come */
  a->logit_jobs[b->logit_rows] = q->owner;
  a->logit_indices[b->logit_rows++] = (int32_t)(b->rows - 1);
}

static tn_forward_batch build_batch(tn_engine *e, tn_sequence *const *plan, int32_t count) {
  batch *a = &e->batch;
  int64_t stride = 1;
  for (int32_t i = 0; i < count; i++) {
    if (plan[i]->block_count > stride) stride = plan[i]->block_count;
  }
  tn_forward_batch b = {.ids = a->ids,
                        .positions = a->positions,
                        .sequences = a->sequences,
                        .slots = a->slots,
                        .sequence_count = count,
                        .blocks_per_sequence = stride,
                        .block_table = a->block_table,
                        .logit_indices = a->logit_indices};
  for (int32_t i = 0; i < count; i++) {
    const tn_sequence *q = plan[i];
    int32_t *table = a->block_table + i * stride;
    memcpy(table, q->blocks, (size_t)q->block_count * sizeof *table);
    for (int64_t k = q->block_count; k < stride; k++) table[k] = 0; /* never read */
    note_admitted(e, q->owner);
    add_rows(e, &b, i, q);
  }
  return b;
}

static void observe_token(tn_engine *e, job *j) {
  int64_t now_us = tn_time_us();
  if (j->first_us == 0) {
    j->first_us = now_us;
    tn_metric_observe(e->metrics.first_token, (double)(now_us - j->submitted_us) * 1e-6);
    tn_span_add(e->options.spans, "prefill", j->number, j->admitted_us, now_us);
  } else {
    tn_metric_observe(e->metrics.inter_token, (double)(now_us - j->last_us) * 1e-6);
  }
  j->last_us = now_us;
  tn_metric_add(e->metrics.generated_tokens, 1);
}

static bool is_eos(const tn_engine *e, int32_t id) {
  for (int32_t i = 0; i < e->options.eos_count; i++) {
    if (e->eos_ids[i] == id) return true;
  }
  return false;
}

/* The text that this token makes certain, into e->text. */
static tn_status add_text(tn_engine *e, job *j, int32_t id, bool last, tn_error *err) {
  const tn_tokenizer *t = e->options.tokenizer;
  if (t && !tn_tokenizer_is_special(t, id)) {
    TN_TRY(tn_text_stream_feed(&j->text, tn_tokenizer_bytes(t, id), &e->text, err));
  }
  return last || j->text.stopped ? tn_text_stream_finish(&j->text, &e->text, err) : TN_OK;
}

/* As the request says; of JSON, only what can follow. */
static tn_sampling sampling_of(tn_engine *e, const job *j) {
  tn_sampling how = j->g.sampling;
  if (!j->g.json) return how;
  tn_json_tokens_allow(e->json_tokens, &j->guard, e->allowed);
  how.allowed = e->allowed;
  return how;
}

/* Whether that was the end of the object. */
static bool ends_json(tn_engine *e, job *j, int32_t id) {
  return j->g.json && tn_json_guard_feed(&j->guard, tn_tokenizer_bytes(e->options.tokenizer, id)) &&
         tn_json_guard_done(&j->guard);
}

static void take_token(tn_engine *e, job *j, const float *logits) {
  tn_sequence *q = j->sequence;
  tn_sample sample;
  tn_error err;
  tn_strbuf_reset(&e->text);
  if (q->known == q->token_limit) { /* nothing was to be sampled */
    finish(e, j, NULL, TN_FINISH_LENGTH, NULL);
    return;
  }
  tn_sampling how = sampling_of(e, j);
  tn_status status = tn_sampler_take(e->sampler, &how, logits, q->ids + q->prompt,
                                     q->known - q->prompt, &sample, &err);
  if (status != TN_OK) {
    finish(e, j, NULL, TN_FINISH_ERROR, err.text);
    return;
  }
  tn_sequence_append(q, sample.id);
  observe_token(e, j);
  bool eos = (!j->g.ignore_eos && is_eos(e, sample.id)) || ends_json(e, j, sample.id);
  bool full = q->known == q->token_limit;
  status = add_text(e, j, sample.id, eos || full, &err);
  if (status != TN_OK) {
    tn_strbuf_reset(&e->text);
    finish(e, j, NULL, TN_FINISH_ERROR, err.text);
  } else if (eos || j->text.stopped) {
    finish(e, j, &sample, TN_FINISH_STOP, NULL);
  } else if (full) {
    finish(e, j, &sample, TN_FINISH_LENGTH, NULL);
  } else {
    send_event(e, j, &sample, TN_FINISH_NONE, NULL);
  }
}

/* ---- how likely a prompt was ---- */

static bool is_scored(const job *j) {
  return j->g.prompt_logprobs && j->scored < j->sequence->prompt;
}

typedef struct scoring {
  const float *logits;
  int64_t vocab_size;
  const int32_t *ids; /* which came after each row */
  int32_t top;
  tn_sample *out; /* id -1: its row is none of a sound model */
} scoring;

static void score_row(void *context, int64_t row, int32_t worker) {
  const scoring *s = context;
  const float *logits = s->logits + row * s->vocab_size;
  (void)worker;
  if (!tn_sample_score(logits, s->vocab_size, s->ids[row], s->top, &s->out[row]))
    s->out[row].id = -1;
}

/* Tokens [scored, scored + count) of the prompt, from the rows before each. */
static tn_status score_tokens(tn_engine *e, job *j, int64_t first_row, int64_t count,
                              tn_error *err) {
  batch *a = &e->batch;
  scoring s = {.vocab_size = tn_model_config_of(e->model)->vocab_size,
               .ids = j->sequence->ids + j->scored,
               .top = j->g.sampling.top_logprobs,
               .out = a->scored};
  for (int64_t i = 0; i < count; i++) a->scored_rows[i] = (int32_t)(first_row + i);
  TN_TRY(tn_forward_logits(e->forward, a->scored_rows, count, &s.logits, err));
  tn_pool_run(e->options.pool, count, score_row, &s);
  for (int64_t i = 0; i < count; i++) {
    if (a->scored[i].id < 0)
      return tn_fail(
          err, TN_ERR_DATA,
          "the model's logits behind token %lld of the prompt hold nan or infinity: are its "
          "weights damaged?",
          (long long)j->scored - 1);
    send_event(e, j, &a->scored[i], TN_FINISH_NONE, NULL);
    j->scored++;
  }
  return TN_OK;
}

/* What the rows of this step say of the prompt; they begin at `row`.  A sequence that was preempted
 * computes rows again that have been looked at: those are passed over. */
static tn_status score_prompt(tn_engine *e, job *j, int64_t row, tn_error *err) {
  const tn_sequence *q = j->sequence;
  int64_t end = q->computed + q->scheduled + 1;
  if (end > q->prompt) end = q->prompt;
  if (j->scored == 0) {
    const tn_sample first = {.id = q->ids[0], .logprob = NAN};
    send_event(e, j, &first, TN_FINISH_NONE, NULL);
    j->scored = 1;
  }
  while (j->scored < end) {
    int64_t count = end - j->scored < e->scored_max ? end - j->scored : e->scored_max;
    TN_TRY(score_tokens(e, j, row + j->scored - 1 - q->computed, count, err));
  }
  return TN_OK;
}

static void score_prompts(tn_engine *e, tn_sequence *const *plan, int32_t count, int64_t samples) {
  int64_t row = 0;
  tn_strbuf_reset(&e->text);
  for (int32_t i = 0; i < count; i++) {
    job *j = plan[i]->owner;
    tn_error err;
    int64_t rows = plan[i]->scheduled;
    if (is_scored(j) && score_prompt(e, j, row, &err) != TN_OK) {
      for (int64_t k = 0; k < samples; k++)
        if (e->batch.logit_jobs[k] == j) e->batch.logit_jobs[k] = NULL;
      finish(e, j, NULL, TN_FINISH_ERROR, err.text);
    }
    row += rows;
  }
}

static void fail_step(tn_engine *e, tn_sequence *const *plan, int32_t count, const tn_error *err) {
  tn_strbuf_reset(&e->text);
  for (int32_t i = 0; i < count; i++) finish(e, plan[i]->owner, NULL, TN_FINISH_ERROR, err->text);
}

/* The next token of every sequence that has caught up. */
static void take_tokens(tn_engine *e, int64_t count, const float *logits) {
  int64_t vocab_size = tn_model_config_of(e->model)->vocab_size;
  for (int64_t i = 0; i < count; i++)
    if (e->batch.logit_jobs[i]) take_token(e, e->batch.logit_jobs[i], logits + i * vocab_size);
}

static void fail_samples(tn_engine *e, int64_t count, const tn_error *err) {
  tn_strbuf_reset(&e->text);
  for (int64_t i = 0; i < count; i++)
    if (e->batch.logit_jobs[i]) finish(e, e->batch.logit_jobs[i], NULL, TN_FINISH_ERROR, err->text);
}

static void run_step(tn_engine *e) {
  tn_sequence *const *plan;
  tn_error err = {TN_OK, ""};
  const float *logits = NULL;
  int32_t count = tn_scheduler_plan(e->scheduler, &plan);
  publish(e); /* whoever sees a first token also sees its request running */
  if (count == 0) return;
  int64_t start_us = tn_time_us();
  tn_forward_batch b = build_batch(e, plan, count);
  int64_t samples = b.logit_rows;
  bool scores = false;
  for (int32_t i = 0; i < count; i++) scores |= is_scored(plan[i]->owner);
  if (scores) b.logit_rows = 0; /* the prompts' come first, in the same memory */
  tn_status status = tn_forward_run(e->forward, e->kv, &b, &logits, &err);
  if (status != TN_OK) {
    fail_step(e, plan, count, &err);
    return;
  }
  if (scores) {
    score_prompts(e, plan, count, samples);
    status = tn_forward_logits(e->forward, b.logit_indices, samples, &logits, &err);
  }
  tn_scheduler_commit(e->scheduler);
  tn_metric_observe(e->metrics.step_tokens, (double)b.rows);
  tn_span_add(e->options.spans, "step", 0, start_us, tn_time_us());
  status == TN_OK ? take_tokens(e, samples, logits) : fail_samples(e, samples, &err);
}

static void *engine_main(void *context) {
  tn_engine *e = context;
  while (take_new(e)) {
    drop_unwanted(e);
    run_step(e);
    publish(e);
  }
  publish(e);
  pthread_mutex_lock(&e->lock);
  e->ended = true;
  pthread_cond_broadcast(&e->changed);
  pthread_mutex_unlock(&e->lock);
  return NULL;
}

/* ---- submit, drain
 * -------------------------------------------------------------------------------------- */

static tn_status submit_jobs(tn_engine *e, job **jobs, int32_t count) {
  tn_status status = TN_OK;
  int32_t put = 0;
  pthread_mutex_lock(&e->lock);
  if (e->draining) {
    status = TN_END;
  } else if (atomic_load(&e->pending) > e->options.queue_max - count) {
    status = TN_FULL;
  } else {
    atomic_fetch_add(&e->pending, count);
    /* The inbox has queue_max places and holds only what is pending: there is always room. */
    while (put < count && status == TN_OK) status = tn_queue_put(e->inbox, jobs[put++], 0);
  }
  pthread_mutex_unlock(&e->lock);
  return status;
}

tn_status tn_engine_submit(tn_engine *e, const tn_generation *generations, int32_t count,
                           tn_error *err) {
  if (count < 1) return tn_fail(err, TN_ERR_ARGUMENT, "%d generations submitted", count);
  if (count > e->options.queue_max) {
    return tn_fail(err, TN_ERR_LIMIT, "%d answers at once, limit %d", count, e->options.queue_max);
  }
  job **jobs = tn_alloc((size_t)count, sizeof *jobs);
  if (!jobs) return tn_fail_memory(err, "requests", (unsigned long long)count * sizeof *jobs);
  tn_status status = TN_OK;
  int32_t made = 0;
  while (made < count && status == TN_OK) {
    status = job_new(&jobs[made], e, &generations[made], err);
    if (status == TN_OK) made++;
  }
  if (status == TN_OK) status = submit_jobs(e, jobs, count);
  if (status != TN_OK) {
    for (int32_t i = 0; i < made; i++) job_free(jobs[i]);
  }
  tn_free(jobs);
  return status;
}

void tn_engine_drain(tn_engine *e) {
  pthread_mutex_lock(&e->lock);
  e->draining = true;
  tn_queue_close(e->inbox);
  pthread_mutex_unlock(&e->lock);
}

void tn_engine_cancel(tn_engine *e) {
  atomic_store(&e->cancelled, true);
  tn_engine_drain(e);
}

bool tn_engine_wait(tn_engine *e, int64_t wait_us) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  int64_t ns = until.tv_nsec + wait_us % 1000000 * 1000;
  until.tv_sec += wait_us / 1000000 + ns / 1000000000;
  until.tv_nsec = ns % 1000000000;
  pthread_mutex_lock(&e->lock);
  while (!e->ended && pthread_cond_timedwait(&e->changed, &e->lock, &until) != ETIMEDOUT) {
  }
  bool ended = e->ended;
  pthread_mutex_unlock(&e->lock);
  return ended;
}

tn_engine_stats tn_engine_look(tn_engine *e) {
  return (tn_engine_stats){
      .waiting = atomic_load(&e->waiting) + tn_queue_count(e->inbox),
      .running = atomic_load(&e->running),
      .blocks_free = atomic_load(&e->blocks_free),
      .blocks_total = e->blocks,
      .block_bytes = e->block_bytes,
      .kv_dtype = e->options.kv_dtype,
      .kv_bytes_per_1000_tokens = e->block_bytes * 1000 / e->options.block_tokens,
      .context = e->context,
      .queue_max = e->options.queue_max,
      .preemptions = atomic_load(&e->preemptions),
      .steps = atomic_load(&e->steps),
  };
}

/* ---- new and free
 * --------------------------------------------------------------------------------------- */

static void make_instruments(instruments *i, tn_metrics *m) {
  static const double seconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                   0.5,   1,      2.5,   5,    10,    30,   60};
  static const double tokens[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};
  enum { SECONDS = sizeof seconds / sizeof seconds[0], TOKENS = sizeof tokens / sizeof tokens[0] };
  if (!m) return;
  i->prompt_tokens = tn_metrics_counter(m, "tenon_prompt_tokens_total", "",
                                        "Prompt tokens of requests that began to run.");
  i->generated_tokens =
      tn_metrics_counter(m, "tenon_generated_tokens_total", "", "Sampled tokens.");
  i->preemptions = tn_metrics_counter(m, "tenon_preemptions_total", "",
                                      "Sequences that gave up their KV blocks to older ones.");
  i->steps = tn_metrics_counter(m, "tenon_steps_total", "", "Forward passes.");
  i->step_tokens =
      tn_metrics_histogram(m, "tenon_step_tokens", "", "Tokens in a forward pass.", tokens, TOKENS);
  i->first_token = tn_metrics_histogram(m, "tenon_time_to_first_token_seconds", "",
                                        "From submission to the first token.", seconds, SECONDS);
  i->inter_token = tn_metrics_histogram(m, "tenon_inter_token_seconds", "",
                                        "Between two tokens of a request.", seconds, SECONDS);
  i->whole = tn_metrics_histogram(m, "tenon_request_seconds", "",
                                  "From submission to the last token.", seconds, SECONDS);
  i->queued = tn_metrics_histogram(m, "tenon_queue_seconds", "",
                                   "From submission to the first step.", seconds, SECONDS);
  i->waiting =
      tn_metrics_gauge(m, "tenon_requests_waiting", "", "Sequences that wait for a place.");
  i->running =
      tn_metrics_gauge(m, "tenon_requests_running", "", "Sequences that take part in steps.");
  i->blocks_free = tn_metrics_gauge(m, "tenon_kv_blocks", "state=\"free\"", "KV blocks by state.");
  i->blocks_used = tn_metrics_gauge(m, "tenon_kv_blocks", "state=\"used\"", "KV blocks by state.");
}

static void set_defaults(tn_engine_options *o) {
  if (o->running_max <= 0) o->running_max = 16;
  if (o->step_tokens <= 0) o->step_tokens = 512;
  if (o->step_tokens < o->running_max) o->step_tokens = o->running_max;
  if (o->queue_max <= 0) o->queue_max = 64;
  if (o->block_tokens <= 0) o->block_tokens = 16;
  if (o->kv_bytes <= 0) o->kv_bytes = INT64_C(1) << 30;
}

/* How many blocks, and how long a sequence may be. */
static tn_status size_memory(tn_engine *e, tn_error *err) {
  const tn_engine_options *o = &e->options;
  const tn_model_config *config = tn_model_config_of(e->model);
  if (o->context > config->positions_max) {
    return tn_fail(err, TN_ERR_ARGUMENT, "context of %lld tokens, the model was made for %lld",
                   (long long)o->context, (long long)config->positions_max);
  }
  e->context = o->context > 0 ? o->context : config->positions_max;
  e->block_bytes = tn_kv_cache_block_bytes(config, o->kv_dtype, o->block_tokens);
  if (e->block_bytes <= 0) return tn_fail(err, TN_ERR_LIMIT, "the size of a KV block overflows");
  int64_t blocks = o->kv_bytes / e->block_bytes;
  int64_t whole =
      (e->context + o->block_tokens - 1) / o->block_tokens; /* blocks of one full sequence */
  if (blocks > whole * o->running_max) blocks = whole * o->running_max;
  /* Slots are 32-bit. */
  if (blocks > INT32_MAX / o->block_tokens) blocks = INT32_MAX / o->block_tokens;
  if (blocks < 1) {
    return tn_fail(err, TN_ERR_LIMIT, "KV memory of %lld bytes, one block of %d tokens takes %lld",
                   (long long)o->kv_bytes, o->block_tokens, (long long)e->block_bytes);
  }
  if (e->context > blocks * o->block_tokens) e->context = blocks * o->block_tokens;
  e->blocks_per_sequence = (e->context + o->block_tokens - 1) / o->block_tokens;
  e->blocks = (int32_t)blocks;
  return TN_OK;
}

static void show_kv_size(const tn_engine *e) {
  char labels[32];
  if (!e->options.metrics) return;
  snprintf(labels, sizeof labels, "type=\"%s\"", tn_kv_dtype_word(e->options.kv_dtype));
  tn_metric_set(tn_metrics_gauge(e->options.metrics, "tenon_kv_bytes_per_1000_tokens", labels,
                                 "Memory that keys and values of 1,000 tokens take."),
                (double)(e->block_bytes * 1000 / e->options.block_tokens));
}

static tn_status make_batch(tn_engine *e, tn_error *err) {
  batch *a = &e->batch;
  size_t rows = (size_t)e->options.step_tokens, running = (size_t)e->options.running_max;
  size_t table;
  if (!tn_mul_size(running, (size_t)e->blocks_per_sequence, &table)) table = SIZE_MAX;
  a->ids = tn_alloc(rows, sizeof(int32_t));
  a->positions = tn_alloc(rows, sizeof(int32_t));
  a->sequences = tn_alloc(rows, sizeof(int32_t));
  a->slots = tn_alloc(rows, sizeof(int32_t));
  a->logit_indices = tn_alloc(running, sizeof(int32_t));
  a->logit_jobs = tn_alloc(running, sizeof(job *));
  a->block_table = tn_alloc(table, sizeof(int32_t));
  if (a->ids && a->positions && a->sequences && a->slots && a->logit_indices && a->logit_jobs &&
      a->block_table) {
    return TN_OK;
  }
  return tn_fail_memory(err, "step arrays",
                        (unsigned long long)(table + 4 * rows) * sizeof(int32_t));
}

static tn_status make_json(tn_engine *e, tn_error *err) {
  int64_t vocab_size = tn_model_config_of(e->model)->vocab_size;
  if (!e->options.tokenizer) return TN_OK;
  e->allowed = tn_alloc((size_t)vocab_size, 1);
  if (!e->allowed) return tn_fail_memory(err, "tokens of JSON", (unsigned long long)vocab_size);
  return tn_json_tokens_new(&e->json_tokens, e->options.tokenizer, vocab_size, e->eos_ids,
                            e->options.eos_count, err);
}

/* A row for each sequence; more, for prompts, while they are small. */
static int64_t logit_rows_of(const tn_engine *e) {
  int64_t row_bytes = tn_model_config_of(e->model)->vocab_size * (int64_t)sizeof(float);
  int64_t rows = SCORED_BYTES / row_bytes < SCORED_ROWS ? SCORED_BYTES / row_bytes : SCORED_ROWS;
  if (rows > e->options.step_tokens) rows = e->options.step_tokens;
  return rows > e->options.running_max ? rows : e->options.running_max;
}

static tn_status make_parts(tn_engine *e, tn_error *err) {
  const tn_engine_options *o = &e->options;
  tn_scheduler_options scheduler = {e->blocks, o->block_tokens, o->running_max, o->step_tokens};
  size_t eos_bytes = (size_t)o->eos_count * sizeof *e->eos_ids;
  e->eos_ids = tn_alloc((size_t)o->eos_count, sizeof *e->eos_ids);
  if (!e->eos_ids) return tn_fail_memory(err, "end-of-text ids", eos_bytes);
  if (eos_bytes) memcpy(e->eos_ids, o->eos_ids, eos_bytes);
  TN_TRY(make_json(e, err));
  TN_TRY(make_batch(e, err));
  TN_TRY(tn_scheduler_new(&e->scheduler, &scheduler, err));
  TN_TRY(tn_sampler_new(&e->sampler, tn_model_config_of(e->model)->vocab_size, err));
  TN_TRY(tn_queue_new(&e->inbox, o->queue_max, err));
  TN_TRY(tn_kv_cache_new(&e->kv, e->model, o->kv_dtype, e->blocks, o->block_tokens, err));
  TN_TRY(tn_stream_open(tn_device_cpu(), o->pool, &e->stream, err));
  int64_t logit_rows = logit_rows_of(e);
  e->scored_max = (int32_t)(logit_rows < SCORED_ROWS ? logit_rows : SCORED_ROWS);
  return tn_forward_new(&e->forward, e->model, e->stream, o->step_tokens, logit_rows,
                        o->running_max, e->blocks_per_sequence, err);
}

static void init_sync(tn_engine *e) {
  pthread_condattr_t attributes;
  pthread_mutex_init(&e->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&e->changed, &attributes);
  pthread_condattr_destroy(&attributes);
}

tn_status tn_engine_new(tn_engine **out, tn_model *model, const tn_engine_options *options,
                        tn_error *err) {
  if (tn_model_config_of(model)->task != TN_TASK_GENERATE)
    return tn_fail(
        err, TN_ERR_UNSUPPORTED,
        "this model has no head over a vocabulary, so it cannot generate text (tenon model "
        "embed and tenon model rerank run encoders)");
  tn_engine *e = tn_alloc(1, sizeof *e);
  if (!e) return tn_fail_memory(err, "engine", sizeof *e);
  if (options) e->options = *options;
  e->model = model;
  set_defaults(&e->options);
  init_sync(e);
  make_instruments(&e->metrics, e->options.metrics);
  tn_status status = size_memory(e, err);
  if (status == TN_OK) status = make_parts(e, err);
  if (status == TN_OK) {
    show_kv_size(e);
    publish(e);
    e->started = pthread_create(&e->thread, NULL, engine_main, e) == 0;
    if (!e->started) status = tn_fail(err, TN_ERR_IO, "no thread for the engine");
  }
  if (status != TN_OK) {
    tn_engine_free(e);
    return status;
  }
  *out = e;
  return TN_OK;
}

void tn_engine_free(tn_engine *e) {
  if (!e) return;
  if (e->started) {
    tn_engine_cancel(e);
    pthread_join(e->thread, NULL);
  }
  tn_forward_free(e->forward);
  tn_stream_close(e->stream);
  tn_kv_cache_free(e->kv);
  tn_queue_free(e->inbox);
  tn_sampler_free(e->sampler);
  tn_scheduler_free(e->scheduler);
  batch *a = &e->batch;
  tn_free(a->ids);
  tn_free(a->positions);
  tn_free(a->sequences);
  tn_free(a->slots);
  tn_free(a->logit_indices);
  tn_free(a->logit_jobs);
  tn_free(a->block_table);
  tn_free(e->eos_ids);
  tn_json_tokens_free(e->json_tokens);
  tn_free(e->allowed);
  tn_strbuf_clear(&e->text);
  pthread_cond_destroy(&e->changed);
  pthread_mutex_destroy(&e->lock);
  tn_free(e);
}
