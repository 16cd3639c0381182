/* loader.h - which tokens feed which step.
 *
 * The order of samples is a pure function of (token set, seed, epoch, position): sample i of epoch
 * e is a window of T + 1 tokens chosen by a counter-based permutation, so a loader has no state to
 * save beyond one integer, the global sample index, and any number of ranks or batch sizes walks
 * the same sequence.  A prefetch thread keeps `prefetch` batches ready.
 *
 * Windows start every T tokens, so their inputs are disjoint and every token but the first is once
 * a target; a rest shorter than a window is left out.
 *
 *     index i -> epoch i / n, place i % n -> window permute(seed, epoch, place) -> tokens
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_FEED_LOADER_H
#define TN_FEED_LOADER_H
#include "feed/shard.h"

typedef enum tn_loader_order {
  TN_ORDER_SHUFFLE, /* disjoint windows, permuted anew each epoch */
  TN_ORDER_RANDOM,  /* windows at random offsets, with replacement (nanoGPT's recipe) */
  TN_ORDER_LINEAR,  /* disjoint windows in order: validation */
} tn_loader_order;

typedef struct tn_loader_options { /* zero: the default where one is named */
  int64_t batch, tokens;           /* B and T of a batch; required */
  uint64_t seed;
  tn_loader_order order;
  int64_t start; /* global sample index to begin at, the same on every rank: exact resume */
  int64_t token_start, token_count; /* part of the set: a validation split; count 0: to the end */
  int32_t rank, ranks; /* this rank takes samples rank, rank + ranks, ...; ranks 0: 1 */
  int32_t prefetch;    /* batches ready ahead; default 2 */
} tn_loader_options;

typedef struct tn_token_batch {
  const int32_t *ids, *targets; /* [batch, tokens]; valid until the next call */
  int64_t first_sample;         /* global index of row 0 */
} tn_token_batch;

typedef struct tn_loader tn_loader;
/* Borrows `set`, which must outlive the loader. */
TN_NODISCARD tn_status tn_loader_new(tn_loader **out, const tn_token_set *set,
                                     const tn_loader_options *options, tn_error *err);
void tn_loader_free(tn_loader *loader);
TN_NODISCARD tn_status tn_loader_next(tn_loader *loader, tn_token_batch *out, tn_error *err);
/* Global index of the next sample over all ranks: what `start` wants on resume, whatever their
 * number. */
int64_t tn_loader_position(const tn_loader *loader);
int64_t tn_loader_epoch_samples(const tn_loader *loader); /* windows in an epoch */
double tn_loader_wait_seconds(const tn_loader *loader); /* time next() spent waiting: starvation */

#endif
