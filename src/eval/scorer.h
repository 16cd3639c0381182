/* scorer.h - how likely a model finds given tokens: log-probabilities, one sequence at a time.
 *
 *     ids       c c c c a a a          `from` = 4: what comes before is context only
 *     scored            * * *          log p(ids[i] | ids[0 .. i - 1]) for i = from .. count - 1
 *
 * Runs through the serving pass and its paged KV.  A beginning that the sequence before had too is
 * not computed again; since a row's logits do not depend on how a sequence is cut into steps, that
 * changes no bit of a result.
 *
 * Thread: one owner; the pool works inside its calls. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_EVAL_SCORER_H
#define TN_EVAL_SCORER_H
#include "model/transformer.h"

typedef struct tn_scorer tn_scorer;

typedef struct tn_token_score {
  double log_probability; /* natural */
  bool is_likeliest;      /* no other token has a larger logit */
} tn_token_score;

/* For sequences of up to tokens_max, at most one more than the model has positions: the last token
 * is scored, never fed.  kv_dtype: F32, to see the model itself, or another type of kv_cache.h. The
 * model and the pool (may be NULL) must outlive it. */
TN_NODISCARD tn_status tn_scorer_new(tn_scorer **out, tn_model *model, tn_dtype kv_dtype,
                                     tn_pool *pool, int64_t tokens_max, tn_error *err);
void tn_scorer_free(tn_scorer *s);
/* 1 <= from < count <= tokens_max; out has count - from items.  A token outside the vocabulary is
 * TN_ERR_ARGUMENT, logits that give no probability (NaN, infinity) are TN_ERR_DATA. */
TN_NODISCARD tn_status tn_scorer_run(tn_scorer *s, const int32_t *ids, int64_t count, int64_t from,
                                     tn_token_score *out, tn_error *err);
int64_t tn_scorer_tokens_max(const tn_scorer *s);
const tn_model_config *tn_scorer_config(const tn_scorer *s);
tn_forward *tn_scorer_forward(tn_scorer *s);    /* its serving pass, to be watched */
int64_t tn_scorer_rows_run(const tn_scorer *s); /* tokens that went through the model so far */

#endif
