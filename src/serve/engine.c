/* The engine thread: taking in, a step, and who may submit. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/engine_internal.h"

/* ---- taking in and forgetting ---- */

static bool has_work(const tn_engine *e) {
  tn_scheduler_counts c = tn_scheduler_count(e->scheduler);
  return c.waiting + c.running > 0;
}

void tn_engine_publish(tn_engine *e) {
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
    if (!busy) tn_engine_publish(e);
    tn_status status = tn_queue_take(e->inbox, &item, busy ? 0 : -1);
    if (status == TN_END) return busy;
    if (status != TN_OK) return true;
    tn_job *j = item;
    tn_error err;
    if (tn_scheduler_add(e->scheduler, j->sequence, &err) == TN_OK) {
      busy = true;
    } else {
      tn_job_finish(e, j, NULL, TN_FINISH_ERROR, err.text);
      busy = has_work(e);
    }
  }
}

static void drop_unwanted_of(tn_engine *e, tn_sequence *first) {
  bool all = atomic_load(&e->cancelled);
  for (tn_sequence *q = first, *next; q; q = next) {
    tn_job *j = q->owner;
    next = q->next;
    if (!all && (!j->g.wanted || j->g.wanted(j->g.context))) continue;
    tn_strbuf_reset(&e->text);
    tn_job_finish(e, j, NULL, TN_FINISH_GONE, NULL);
  }
}

static void drop_unwanted(tn_engine *e) {
  drop_unwanted_of(e, tn_scheduler_first_running(e->scheduler));
  drop_unwanted_of(e, tn_scheduler_first_waiting(e->scheduler));
}

/* ---- a step ---- */

static void note_admitted(tn_engine *e, tn_job *j) {
  if (j->admitted) return;
  j->admitted = true;
  j->admitted_us = tn_time_us();
  atomic_fetch_sub(&e->pending, 1);
  tn_metric_add(e->metrics.prompt_tokens, (double)j->sequence->prompt);
  tn_metric_observe(e->metrics.queued, (double)(j->admitted_us - j->submitted_us) * 1e-6);
  tn_span_add(e->options.spans, "queue", j->number, j->submitted_us, j->admitted_us);
}

static void add_rows(tn_engine *e, tn_forward_batch *b, int32_t place, const tn_sequence *q) {
  tn_step_arrays *a = &e->batch;
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
  tn_step_arrays *a = &e->batch;
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

static void observe_token(tn_engine *e, tn_job *j) {
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
static tn_status add_text(tn_engine *e, tn_job *j, int32_t id, bool last, tn_error *err) {
  const tn_tokenizer *t = e->options.tokenizer;
  if (t && !tn_tokenizer_is_special(t, id)) {
    TN_TRY(tn_text_stream_feed(&j->text, tn_tokenizer_bytes(t, id), &e->text, err));
  }
  return last || j->text.stopped ? tn_text_stream_finish(&j->text, &e->text, err) : TN_OK;
}

/* As the request says; of JSON, only what can follow. */
static tn_sampling sampling_of(tn_engine *e, const tn_job *j) {
  tn_sampling how = j->g.sampling;
  if (!j->g.json) return how;
  tn_json_tokens_allow(e->json_tokens, &j->guard, e->allowed);
  how.allowed = e->allowed;
  return how;
}

/* Whether that was the end of the object. */
static bool ends_json(tn_engine *e, tn_job *j, int32_t id) {
  return j->g.json && tn_json_guard_feed(&j->guard, tn_tokenizer_bytes(e->options.tokenizer, id)) &&
         tn_json_guard_done(&j->guard);
}

static void take_token(tn_engine *e, tn_job *j, const float *logits) {
  tn_sequence *q = j->sequence;
  tn_sample sample;
  tn_error err;
  tn_strbuf_reset(&e->text);
  if (q->known == q->token_limit) { /* nothing was to be sampled */
    tn_job_finish(e, j, NULL, TN_FINISH_LENGTH, NULL);
    return;
  }
  tn_sampling how = sampling_of(e, j);
  tn_status status = tn_sampler_take(e->sampler, &how, logits, q->ids + q->prompt,
                                     q->known - q->prompt, &sample, &err);
  if (status != TN_OK) {
    tn_job_finish(e, j, NULL, TN_FINISH_ERROR, err.text);
    return;
  }
  tn_sequence_append(q, sample.id);
  observe_token(e, j);
  bool eos = (!j->g.ignore_eos && is_eos(e, sample.id)) || ends_json(e, j, sample.id);
  bool full = q->known == q->token_limit;
  status = add_text(e, j, sample.id, eos || full, &err);
  if (status != TN_OK) {
    tn_strbuf_reset(&e->text);
    tn_job_finish(e, j, NULL, TN_FINISH_ERROR, err.text);
  } else if (eos || j->text.stopped) {
    tn_job_finish(e, j, &sample, TN_FINISH_STOP, NULL);
  } else if (full) {
    tn_job_finish(e, j, &sample, TN_FINISH_LENGTH, NULL);
  } else {
    tn_job_send(e, j, &sample, TN_FINISH_NONE, NULL);
  }
}

static void fail_step(tn_engine *e, tn_sequence *const *plan, int32_t count, const tn_error *err) {
  tn_strbuf_reset(&e->text);
  for (int32_t i = 0; i < count; i++)
    tn_job_finish(e, plan[i]->owner, NULL, TN_FINISH_ERROR, err->text);
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
    if (e->batch.logit_jobs[i])
      tn_job_finish(e, e->batch.logit_jobs[i], NULL, TN_FINISH_ERROR, err->text);
}

static void run_step(tn_engine *e) {
  tn_sequence *const *plan;
  tn_error err = {TN_OK, ""};
  const float *logits = NULL;
  int32_t count = tn_scheduler_plan(e->scheduler, &plan);
  tn_engine_publish(e); /* whoever sees a first token also sees its request running */
  if (count == 0) return;
  int64_t start_us = tn_time_us();
  tn_forward_batch b = build_batch(e, plan, count);
  int64_t samples = b.logit_rows;
  bool scores = false;
  for (int32_t i = 0; i < count; i++) scores |= tn_job_is_scored(plan[i]->owner);
  if (scores) b.logit_rows = 0; /* the prompts' come first, in the same memory */
  tn_status status = tn_forward_run(e->forward, e->kv, &b, &logits, &err);
  if (status != TN_OK) {
    fail_step(e, plan, count, &err);
    return;
  }
  if (scores) {
    tn_score_prompts(e, plan, count, samples);
    status = tn_forward_logits(e->forward, b.logit_indices, samples, &logits, &err);
  }
  tn_scheduler_commit(e->scheduler);
  tn_metric_observe(e->metrics.step_tokens, (double)b.rows);
  tn_span_add(e->options.spans, "step", 0, start_us, tn_time_us());
  status == TN_OK ? take_tokens(e, samples, logits) : fail_samples(e, samples, &err);
}

void *tn_engine_main(void *context) {
  tn_engine *e = context;
  while (take_new(e)) {
    drop_unwanted(e);
    run_step(e);
    tn_engine_publish(e);
  }
  tn_engine_publish(e);
  pthread_mutex_lock(&e->lock);
  e->ended = true;
  pthread_cond_broadcast(&e->changed);
  pthread_mutex_unlock(&e->lock);
  return NULL;
}

/* ---- submit, drain ---- */

static tn_status submit_jobs(tn_engine *e, tn_job **jobs, int32_t count) {
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
  tn_job **jobs = tn_alloc((size_t)count, sizeof *jobs);
  if (!jobs) return tn_fail_memory(err, "requests", (unsigned long long)count * sizeof *jobs);
  tn_status status = TN_OK;
  int32_t made = 0;
  while (made < count && status == TN_OK) {
    status = tn_job_new(&jobs[made], e, &generations[made], err);
    if (status == TN_OK) made++;
  }
  if (status == TN_OK) status = submit_jobs(e, jobs, count);
  if (status != TN_OK) {
    for (int32_t i = 0; i < made; i++) tn_job_free(jobs[i]);
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
