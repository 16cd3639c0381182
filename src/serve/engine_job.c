/* A generation that was accepted: its start, its events, its end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "serve/engine_internal.h"

void tn_job_free(tn_job *j) {
  if (!j) return;
  tn_text_stream_clear(&j->text);
  tn_sequence_free(j->sequence);
  tn_free(j->stop_bytes);
  tn_free(j->biases);
  tn_free(j);
}

static tn_status copy_stops(tn_job *j, tn_error *err) {
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

static tn_status copy_biases(tn_job *j, int64_t vocab_size, tn_error *err) {
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

tn_status tn_job_new(tn_job **out, tn_engine *e, const tn_generation *g, tn_error *err) {
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
  tn_job *j = tn_alloc(1, sizeof *j);
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
  /* each of its rows has logits over the whole vocabulary: others would wait for hundreds */
  if (status == TN_OK && g->prompt_logprobs) j->sequence->beside = e->scored_max;
  if (status != TN_OK) {
    tn_job_free(j);
    return status;
  }
  *out = j;
  return TN_OK;
}

void tn_job_send(tn_engine *e, tn_job *j, const tn_sample *sample, tn_finish finish,
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

void tn_job_finish(tn_engine *e, tn_job *j, const tn_sample *sample, tn_finish how,
                   const char *error) {
  int64_t now_us = tn_time_us();
  tn_scheduler_finish(e->scheduler, j->sequence);
  if (!j->admitted) atomic_fetch_sub(&e->pending, 1);
  if (how == TN_FINISH_STOP || how == TN_FINISH_LENGTH) {
    tn_metric_observe(e->metrics.whole, (double)(now_us - j->submitted_us) * 1e-6);
    if (j->first_us) tn_span_add(e->options.spans, "decode", j->number, j->first_us, now_us);
  }
  tn_job_send(e, j, sample, how, error);
  tn_job_free(j);
}
