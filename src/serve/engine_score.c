/* How likely the tokens of a prompt were. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "serve/engine_internal.h"

bool tn_job_is_scored(const tn_job *j) {
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
static tn_status score_tokens(tn_engine *e, tn_job *j, int64_t first_row, int64_t count,
                              tn_error *err) {
  tn_step_arrays *a = &e->batch;
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
    tn_job_send(e, j, &a->scored[i], TN_FINISH_NONE, NULL);
    j->scored++;
  }
  return TN_OK;
}

/* What the rows of this step say of the prompt; they begin at `row`.  A sequence that was preempted
 * computes rows again that have been looked at: those are passed over. */
static tn_status score_prompt(tn_engine *e, tn_job *j, int64_t row, tn_error *err) {
  const tn_sequence *q = j->sequence;
  int64_t end = q->computed + q->scheduled + 1;
  if (end > q->prompt) end = q->prompt;
  if (j->scored == 0) {
    const tn_sample first = {.id = q->ids[0], .logprob = NAN};
    tn_job_send(e, j, &first, TN_FINISH_NONE, NULL);
    j->scored = 1;
  }
  while (j->scored < end) {
    int64_t count = end - j->scored < e->scored_max ? end - j->scored : e->scored_max;
    TN_TRY(score_tokens(e, j, row + j->scored - 1 - q->computed, count, err));
  }
  return TN_OK;
}

void tn_score_prompts(tn_engine *e, tn_sequence *const *plan, int32_t count, int64_t samples) {
  int64_t row = 0;
  tn_strbuf_reset(&e->text);
  for (int32_t i = 0; i < count; i++) {
    tn_job *j = plan[i]->owner;
    tn_error err;
    int64_t rows = plan[i]->scheduled;
    if (tn_job_is_scored(j) && score_prompt(e, j, row, &err) != TN_OK) {
      for (int64_t k = 0; k < samples; k++)
        if (e->batch.logit_jobs[k] == j) e->batch.logit_jobs[k] = NULL;
      tn_job_finish(e, j, NULL, TN_FINISH_ERROR, err.text);
    }
    row += rows;
  }
}
