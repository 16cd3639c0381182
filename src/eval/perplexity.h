/* perplexity.h - exp of the mean negative log-likelihood of a text's tokens, in windows.
 *
 *     tokens    0 ............................................. n
 *     window 1  [* s s s s s s s]                      * context only, s scored
 *     window 2          [* * * * s s s s]              begins `stride` later, scores what is new
 *     window 3                  [* * * * s s s s]
 *
 * A window holds `window` tokens and the next begins `stride` tokens later; each token is scored
 * once, in the first window that holds it, given all tokens before it in that window.  The very
 * first token of a window that is not preceded by `bos_id` has nothing to be predicted from: it is
 * not scored, so with stride == window (chunks) every chunk scores window - 1 tokens.  This is the
 * computation of the transformers documentation ("Perplexity of fixed-length models"), with the
 * mean taken over the tokens that were really scored.
 *
 * Thread: a pure function of its arguments. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_EVAL_PERPLEXITY_H
#define TN_EVAL_PERPLEXITY_H
#include "eval/scorer.h"

typedef struct tn_perplexity_options {
  int64_t window; /* tokens, bos included; 0: all that the scorer takes */
  int64_t stride; /* 1 to window; 0: window without bos */
  int64_t bos_id; /* put before every window; below 0: none */
} tn_perplexity_options;

typedef struct tn_perplexity {
  double perplexity;      /* exp(nats / scored) */
  double nats;            /* sum of negative log-likelihoods */
  int64_t scored;         /* tokens */
  int64_t windows;        /* sequences run */
  int64_t window, stride; /* as they were taken */
} tn_perplexity;

/* TN_ERR_DATA when there are not two tokens to work with. */
TN_NODISCARD tn_status tn_perplexity_run(tn_perplexity *out, tn_scorer *scorer, const int32_t *ids,
                                         int64_t count, const tn_perplexity_options *options,
                                         tn_progress *progress, tn_error *err);
#endif
