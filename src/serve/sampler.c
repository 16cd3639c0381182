/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

/* A token that may still be drawn.  `weight` is exp((logit - largest) / temperature). */
typedef struct candidate {
  int32_t id;
  float logit;
  double weight;
} candidate;

struct tn_sampler {
  int64_t vocab_size;
  float *adjusted;       /* [vocab_size] logits with penalties and biases */
  candidate *candidates; /* [vocab_size] */
};

tn_status tn_sampler_new(tn_sampler **out, int64_t vocab_size, tn_error *err) {
  if (vocab_size < 1 || vocab_size > INT32_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT, "sampler for a vocabulary of %lld", (long long)vocab_size);
  }
  tn_sampler *sampler = tn_alloc(1, sizeof *sampler);
  if (!sampler) return tn_fail_memory(err, "sampler", sizeof *sampler);
  sampler->vocab_size = vocab_size;
  sampler->adjusted = tn_alloc((size_t)vocab_size, sizeof *sampler->adjusted);
  sampler->candidates = tn_alloc((size_t)vocab_size, sizeof *sampler->candidates);
  if (!sampler->adjusted || !sampler->candidates) {
    tn_sampler_free(sampler);
    return tn_fail_memory(err, "sampler", (unsigned long long)vocab_size * sizeof(candidate));
  }
  *out = sampler;
  return TN_OK;
}

void tn_sampler_free(tn_sampler *sampler) {
  if (!sampler) return;
  tn_free(sampler->adjusted);
  tn_free(sampler->candidates);
  tn_free(sampler);
}

static tn_status check_range(const char *name, double value, double low, double high,
                             tn_error *err) {
  if (value >= low && value <= high) return TN_OK; /* NaN fails */
  return tn_fail(err, TN_ERR_ARGUMENT, "%s %g, wants %g to %g", name, value, low, high);
}

static tn_status check_biases(const tn_sampling *how, tn_error *err) {
  if (how->bias_count < 0 || how->bias_count > TN_LOGIT_BIASES_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "logit_bias of %d tokens, limit %d", how->bias_count,
                   TN_LOGIT_BIASES_MAX);
  for (int32_t i = 0; i < how->bias_count; i++) {
    const tn_logit_bias *b = &how->biases[i];
    if (b->bias >= -100 && b->bias <= 100) continue; /* NaN fails */
    return tn_fail(err, TN_ERR_ARGUMENT, "logit_bias of token %d is %g, wants -100 to 100", b->id,
                   (double)b->bias);
  }
  return TN_OK;
}

tn_status tn_sampling_check(const tn_sampling *how, tn_error *err) {
  TN_TRY(check_range("temperature", how->temperature, 0, 2, err));
  TN_TRY(check_range("top_p", how->top_p, 0, 1, err));
  TN_TRY(check_range("min_p", how->min_p, 0, 1, err));
  TN_TRY(check_range("top_k", how->top_k, 0, INT32_MAX, err));
  TN_TRY(check_range("top_logprobs", how->top_logprobs, 0, TN_TOP_LOGPROBS_MAX, err));
  TN_TRY(check_range("presence_penalty", how->presence_penalty, -2, 2, err));
  TN_TRY(check_range("frequency_penalty", how->frequency_penalty, -2, 2, err));
  return check_biases(how, err);
}

static int32_t largest(const float *logits, int64_t n) {
  int32_t best = -1;
  for (int64_t i = 0; i < n; i++) {
    if (isfinite(logits[i]) && (best < 0 || logits[i] > logits[best])) best = (int32_t)i;
  }
  return best;
}

/* Minus infinity says that a token cannot come; no sound model computes NaN or plus infinity. */
static bool is_sound(const float *logits, int64_t n) {
  int64_t sound = 0;
  for (int64_t i = 0; i < n; i++) sound += logits[i] < INFINITY;
  return sound == n;
}

/* logit -= presence + frequency * times, for every token sampled so far; then += bias; what is not
 * allowed is nothing at all. */
static const float *adjust(tn_sampler *sampler, const tn_sampling *how, const float *logits,
                           const int32_t *sampled, int64_t count) {
  bool penalizes = count > 0 && (how->presence_penalty != 0 || how->frequency_penalty != 0);
  if (!penalizes && how->bias_count == 0 && !how->allowed) return logits;
  float *out = sampler->adjusted;
  memcpy(out, logits, (size_t)sampler->vocab_size * sizeof *out);
  for (int64_t i = 0; penalizes && i < count; i++) {
    int32_t id = sampled[i];
    if (out[id] == logits[id]) out[id] -= (float)how->presence_penalty;
    out[id] -= (float)how->frequency_penalty;
  }
  for (int32_t i = 0; i < how->bias_count; i++) out[how->biases[i].id] += how->biases[i].bias;
  for (int64_t i = 0; how->allowed && i < sampler->vocab_size; i++)
    if (!how->allowed[i]) out[i] = -INFINITY;
  return out;
}

/* More likely first; of equal ones the lower id, so that a cut never depends on the sort. */
static int by_logit(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* Puts the k first of the order at the front (quickselect by the middle of three), unsorted. */
static void select_first(candidate *items, int64_t count, int64_t k) {
  int64_t low = 0, high = count - 1;
  while (low < high) {
    candidate pivot = items[low + (high - low) / 2];
    int64_t i = low, j = high;
    while (i <= j) {
      while (by_logit(&items[i], &pivot) < 0) i++;
      while (by_logit(&items[j], &pivot) > 0) j--;
      if (i > j) break;
      candidate swap = items[i];
      items[i++] = items[j];
      items[j--] = swap;
    }
    if (k - 1 <= j) {
      high = j;
    } else if (k - 1 >= i) {
      low = i;
    } else {
      return;
    }
  }
}

static double total_weight(const candidate *items, int64_t count) {
  double total = 0;
  for (int64_t i = 0; i < count; i++) total += items[i].weight;
  return total;
}

/* The smallest set of the likeliest whose share reaches top_p.  A token below (1 - p) / count of
 * the whole cannot be in it (all such together weigh less than 1 - p), so few are left to sort. */
static int64_t cut_top_p(candidate *items, int64_t count, double top_p) {
  double total = total_weight(items, count), floor = total * (1 - top_p) / (double)count;
  int64_t kept = 0;
  for (int64_t i = 0; i < count; i++) {
    if (items[i].weight >= floor) items[kept++] = items[i];
  }
  qsort(items, (size_t)kept, sizeof *items, by_logit);
  double sum = 0;
  for (int64_t i = 0; i < kept; i++) {
    sum += items[i].weight;
    if (sum >= top_p * total) return i + 1;
  }
  return kept;
}

static int64_t cut_min_p(candidate *items, int64_t count, double min_p) {
  double most = 0;
  int64_t kept = 0;
  for (int64_t i = 0; i < count; i++) most = items[i].weight > most ? items[i].weight : most;
  for (int64_t i = 0; i < count; i++) {
    if (items[i].weight >= min_p * most) items[kept++] = items[i];
  }
  return kept;
}

static int32_t draw(tn_sampler *sampler, const tn_sampling *how, const float *logits, float most,
                    uint64_t index) {
  candidate *items = sampler->candidates;
  int64_t count = 0;
  for (int64_t i = 0; i < sampler->vocab_size; i++) {
    if (!isfinite(logits[i])) continue;
    double weight = exp(((double)logits[i] - most) / how->temperature);
    items[count++] = (candidate){(int32_t)i, logits[i], weight};
  }
  if (how->top_k > 0 && how->top_k < count) {
    select_first(items, count, how->top_k);
    count = how->top_k;
    qsort(items, (size_t)count, sizeof *items, by_logit);
  }
  if (how->top_p > 0 && how->top_p < 1) count = cut_top_p(items, count, how->top_p);
  if (how->min_p > 0) count = cut_min_p(items, count, how->min_p);
  double left = tn_random_f64(how->seed, how->stream, index) * total_weight(items, count);
  for (int64_t i = 0; i < count - 1; i++) {
    left -= items[i].weight;
    if (left < 0) return items[i].id;
  }
  return items[count - 1].id;
}

/* Puts a token that comes behind all so far by its id where its logit wants it. */
static void insert_top(tn_sample *s, int32_t top, int32_t id, float logit) {
  int32_t at = s->top_count;
  if (at == top && (top == 0 || logit <= s->top[at - 1].logprob)) return;
  if (at == top)
    at--;
  else
    s->top_count++;
  for (; at > 0 && s->top[at - 1].logprob < logit; at--) s->top[at] = s->top[at - 1];
  s->top[at] = (tn_logprob){id, logit};
}

bool tn_sample_score(const float *logits, int64_t vocab_size, int32_t id, int32_t top,
                     tn_sample *out) {
  double sum = 0;
  int32_t best = largest(logits, vocab_size);
  *out = (tn_sample){.id = id};
  if (best < 0 || !is_sound(logits, vocab_size)) return false;
  for (int64_t i = 0; i < vocab_size; i++) {
    if (!isfinite(logits[i])) continue;
    sum += exp((double)logits[i] - logits[best]);
    insert_top(out, top, (int32_t)i, logits[i]);
  }
  double log_sum = logits[best] + log(sum);
  out->logprob = (float)(logits[id] - log_sum);
  for (int32_t i = 0; i < out->top_count; i++)
    out->top[i].logprob = (float)(out->top[i].logprob - log_sum);
  return true;
}

tn_status tn_sampler_take(tn_sampler *sampler, const tn_sampling *how, const float *logits,
                          const int32_t *sampled, int64_t count, tn_sample *out, tn_error *err) {
  if (!is_sound(logits, sampler->vocab_size))
    return tn_fail(
        err, TN_ERR_DATA,
        "the model's logits behind %lld tokens of the answer hold nan or infinity: are its "
        "weights damaged?",
        (long long)count);
  const float *adjusted = adjust(sampler, how, logits, sampled, count);
  int32_t best = largest(adjusted, sampler->vocab_size);
  if (best < 0) {
    return tn_fail(err, TN_ERR_DATA, "none of the %lld logits%s is a finite number",
                   (long long)sampler->vocab_size, how->allowed ? " of tokens that may come" : "");
  }
  out->top_count = 0;
  out->logprob = 0;
  out->id =
      how->temperature > 0 ? draw(sampler, how, adjusted, adjusted[best], (uint64_t)count) : best;
  if (how->logprobs)
    (void)tn_sample_score(logits, sampler->vocab_size, out->id, how->top_logprobs, out);
  return TN_OK;
}
