/* sampler.h - from a row of logits to a token.
 *
 * Order: penalties and biases, then temperature, then top-k, then top-p, then min-p over what is
 * left, then one draw.  The draw is a pure function of (seed, stream, index), where index counts
 * the sampled tokens of the sequence: who else is in the batch, and when, does not matter.
 * Temperature 0 takes the largest logit, and of equal ones the lowest id.
 *
 * Thread: one owner (the workspace). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_SAMPLER_H
#define TN_SERVE_SAMPLER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { TN_TOP_LOGPROBS_MAX = 20, TN_LOGIT_BIASES_MAX = 1024 };

typedef struct tn_logit_bias {
  int32_t id;
  float bias; /* -100 to 100, added to the token's logit */
} tn_logit_bias;

typedef struct tn_sampling { /* all zero: greedy */
  double temperature;        /* 0 to 2; 0: greedy */
  double top_p;              /* in (0, 1]; 0: off, as 1 */
  double min_p;         /* in [0, 1]: drop what is less likely than min_p times the likeliest */
  int32_t top_k;        /* 0: off */
  int32_t top_logprobs; /* how many alternatives to report, 0 to 20 */
  bool logprobs;        /* report the chosen token's */
  double presence_penalty, frequency_penalty; /* -2 to 2, over the sampled tokens so far */
  const tn_logit_bias *biases;                /* borrowed; ids below vocab_size */
  int32_t bias_count;
  const uint8_t *allowed; /* [vocab_size], borrowed: tokens that are 0 cannot come; NULL: all can */
  uint64_t seed, stream;
} tn_sampling;

typedef struct tn_logprob {
  int32_t id;
  float logprob; /* natural, of the model's own distribution: before penalties, biases and
                    temperature */
} tn_logprob;

typedef struct tn_sample {
  int32_t id;
  float logprob; /* when asked for */
  int32_t top_count;
  tn_logprob top[TN_TOP_LOGPROBS_MAX]; /* most likely first */
} tn_sample;

typedef struct tn_sampler tn_sampler;
TN_NODISCARD tn_status tn_sampler_new(tn_sampler **out, int64_t vocab_size, tn_error *err);
void tn_sampler_free(tn_sampler *sampler);

/* `logits` [vocab_size] stays as it is.  `sampled` are the sequence's own tokens so far, for the
 * penalties and the index.  A row that holds NaN or plus infinity, or no finite logit that is
 * allowed, is TN_ERR_DATA. */
TN_NODISCARD tn_status tn_sampler_take(tn_sampler *sampler, const tn_sampling *how,
                                       const float *logits, const int32_t *sampled, int64_t count,
                                       tn_sample *out, tn_error *err);
/* How likely the model finds token `id`, with `top` alternatives.  false: the row holds NaN or
 * plus infinity, or nothing finite.  Any thread. */
bool tn_sample_score(const float *logits, int64_t vocab_size, int32_t id, int32_t top,
                     tn_sample *out);
/* TN_ERR_ARGUMENT names the parameter, its value and its range. */
TN_NODISCARD tn_status tn_sampling_check(const tn_sampling *how, tn_error *err);

#endif
