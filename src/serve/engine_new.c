/* The engine's parts: how large they are, how they are made, and their end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>

#include "base/mem.h"
#include "serve/engine_internal.h"

static void make_instruments(tn_instruments *i, tn_metrics *m) {
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
  tn_step_arrays *a = &e->batch;
  size_t rows = (size_t)e->options.step_tokens, running = (size_t)e->options.running_max;
  size_t table;
  if (!tn_mul_size(running, (size_t)e->blocks_per_sequence, &table)) table = SIZE_MAX;
  a->ids = tn_alloc(rows, sizeof(int32_t));
  a->positions = tn_alloc(rows, sizeof(int32_t));
  a->sequences = tn_alloc(rows, sizeof(int32_t));
  a->slots = tn_alloc(rows, sizeof(int32_t));
  a->logit_indices = tn_alloc(running, sizeof(int32_t));
  a->logit_jobs = tn_alloc(running, sizeof(tn_job *));
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
  int64_t rows =
      TN_SCORED_BYTES / row_bytes < TN_SCORED_ROWS ? TN_SCORED_BYTES / row_bytes : TN_SCORED_ROWS;
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
  e->scored_max = (int32_t)(logit_rows < TN_SCORED_ROWS ? logit_rows : TN_SCORED_ROWS);
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
    tn_engine_publish(e);
    e->started = pthread_create(&e->thread, NULL, tn_engine_main, e) == 0;
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
  tn_step_arrays *a = &e->batch;
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
