/* Mixture of experts: who goes where, and the way back. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/ref/ref.h"

/* The expert with the largest logit among those that `chosen` of `count` do not hold; -1: none. */
static int64_t best_expert(const double *logits, int64_t X, const double *chosen, int64_t count) {
  int64_t best = -1;
  for (int64_t x = 0; x < X; x++) {
    bool taken = false;
    for (int64_t i = 0; i < count; i++) taken |= (int64_t)chosen[i] == x;
    if (!taken && (best < 0 || logits[x] > logits[best])) best = x;
  }
  return best;
}

void tn_ref_run_route(const tn_route_args *args, const tn_ref_route *d) {
  int64_t T = args->logits.shape[0], X = args->logits.shape[1], A = args->experts.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *logits = d->logits + t * X;
    double *experts = d->experts + t * A, *weights = d->weights + t * A, sum = 0, max = -INFINITY;
    for (int64_t a = 0; a < A; a++) experts[a] = (double)best_expert(logits, X, experts, a);
    for (int64_t x = 0; x < X; x++) max = fmax(max, logits[x]);
    for (int64_t a = 0; a < A; a++) {
      weights[a] = experts[a] < 0 ? 0 : exp(logits[(int64_t)experts[a]] - max);
      sum += weights[a];
    }
    if (!args->normalised) sum = 0;
    for (int64_t x = 0; !args->normalised && x < X; x++) sum += exp(logits[x] - max);
    for (int64_t a = 0; a < A; a++) weights[a] /= sum;
  }
}

void tn_ref_run_route_order(const tn_route_order_args *args, const tn_ref_route_order *d) {
  int64_t T = args->experts.shape[0], A = args->experts.shape[1], X = args->counts.shape[0];
  int64_t next = 0;
  for (int64_t i = 0; i < T * A; i++) d->places[i] = -1;
  for (int64_t x = 0; x < X; x++)
    for (int64_t i = 0; i < T * A; i++) {
      if ((int64_t)d->experts[i] != x) continue;
      d->counts[x]++;
      d->rows[next] = (double)(i / A);
      d->places[i] = (double)next++;
    }
}

void tn_ref_run_route_combine(const tn_route_combine_args *args, const tn_ref_route_combine *d) {
  int64_t T = args->out.shape[0], C = args->out.shape[1], A = args->places.shape[1];
  for (int64_t t = 0; t < T; t++)
    for (int64_t a = 0; a < A; a++) {
      int64_t place = (int64_t)d->places[t * A + a];
      for (int64_t c = 0; place >= 0 && c < C; c++)
        d->out[t * C + c] += d->weights[t * A + a] * d->y[place * C + c];
    }
}
