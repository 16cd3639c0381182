/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/perplexity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct windows {
  tn_scorer *scorer;
  const int32_t *ids;
  int64_t count;
  int64_t text_tokens; /* of a window, without bos */
  int64_t bos_id;
  int32_t *sequence; /* one window, behind bos */
  tn_token_score *scores;
} windows;

static tn_status check(const tn_perplexity *p, int64_t bos, int64_t count, int64_t max,
                       tn_error *err) {
  if (p->window < 2 || p->window > max)
    return tn_fail(err, TN_ERR_ARGUMENT, "window of %" PRId64 " tokens, must be 2 to %" PRId64,
                   p->window, max);
  int64_t stride_max = bos >= 0 ? p->window - 1 : p->window;
  if (p->stride < 1 || p->stride > stride_max)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "stride of %" PRId64 " tokens, must be 1 to %" PRId64
                   ": each token is scored once",
                   p->stride, stride_max);
  if (count >= 2) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "the text has %" PRId64 " tokens, perplexity wants 2 or more",
                 count);
}

/* Tokens [begin, end) of the text, of which those from `scored_to` on are new. */
static tn_status run_window(windows *w, int64_t begin, int64_t end, int64_t scored_to,
                            tn_perplexity *p, tn_error *err) {
  int64_t bos = w->bos_id >= 0, count = bos + end - begin, from = bos + scored_to - begin;
  if (bos) w->sequence[0] = (int32_t)w->bos_id;
  memcpy(w->sequence + bos, w->ids + begin, (size_t)(end - begin) * sizeof *w->ids);
  if (from < 1) from = 1;
  p->windows++;
  if (from >= count) return TN_OK; /* one token at the end, with nothing before it */
  TN_TRY(tn_scorer_run(w->scorer, w->sequence, count, from, w->scores, err));
  for (int64_t i = 0; i < count - from; i++) p->nats -= w->scores[i].log_probability;
  p->scored += count - from;
  return TN_OK;
}

static tn_status run_windows(windows *w, tn_perplexity *p, tn_progress *progress, tn_error *err) {
  int64_t end = 0;
  tn_progress_begin(progress, "perplexity", "tokens", w->count);
  for (int64_t begin = 0; end < w->count; begin += p->stride) {
    int64_t scored_to = end;
    end = begin + w->text_tokens < w->count ? begin + w->text_tokens : w->count;
    TN_TRY(run_window(w, begin, end, scored_to, p, err));
    if (progress)
      snprintf(progress->note, sizeof progress->note, "perplexity %.3f",
               exp(p->nats / (double)(p->scored > 0 ? p->scored : 1)));
    TN_TRY(tn_progress_at(progress, end, err));
  }
  tn_progress_end(progress);
  return TN_OK;
}

tn_status tn_perplexity_run(tn_perplexity *out, tn_scorer *scorer, const int32_t *ids,
                            int64_t count, const tn_perplexity_options *options,
                            tn_progress *progress, tn_error *err) {
  int64_t max = tn_scorer_tokens_max(scorer), bos = options->bos_id >= 0;
  tn_perplexity p = {.window = options->window, .stride = options->stride};
  if (p.window == 0) p.window = max;
  if (p.stride == 0) p.stride = p.window - bos;
  TN_TRY(check(&p, options->bos_id, count, max, err));
  windows w = {.scorer = scorer,
               .ids = ids,
               .count = count,
               .text_tokens = p.window - bos,
               .bos_id = options->bos_id};
  w.sequence = tn_alloc((size_t)p.window, sizeof *w.sequence);
  w.scores = tn_alloc((size_t)p.window, sizeof *w.scores);
  tn_status status = TN_OK;
  if (!w.sequence || !w.scores)
    status = tn_fail_memory(err, "a window", (size_t)p.window * sizeof *w.scores);
  if (status == TN_OK) status = run_windows(&w, &p, progress, err);
  tn_free(w.sequence);
  tn_free(w.scores);
  if (status != TN_OK) return status;
  if (p.scored > 0) p.perplexity = exp(p.nats / (double)p.scored);
  *out = p;
  return TN_OK;
}
