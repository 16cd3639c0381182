/* loader.c - see loader.h.
 *
 * Slots go round: the prefetch thread takes an empty one from `spare`, fills it and puts it into
 * `ready`; next() does the opposite.  The queues' locks are the only meeting place. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "feed/loader.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/random.h"

#define PREFETCH_DEFAULT 2
#define PREFETCH_MAX     1024
#define BATCH_TOKENS_MAX ((int64_t)1 << 32)
/* Parts the draws of TN_ORDER_RANDOM from an epoch's permutation, whose stream is the epoch. */
#define STREAM_RANDOM ((uint64_t)0x66656564 << 32)

typedef struct slot {
  int32_t *ids, *targets; /* [batch, tokens] each, one block */
  int64_t first_sample;
  tn_status status;
  tn_error error;
} slot;

struct tn_loader {
  const tn_token_set *set;
  tn_loader_options options;
  int64_t windows;  /* of an epoch */
  int64_t position; /* of the next batch that the caller gets */
  int64_t wait_us;
  slot *slots;
  int32_t slot_count;
  slot *held; /* what the caller looks at */
  tn_queue *spare, *ready;
  pthread_t thread;
  bool running;
  int32_t *window; /* [tokens + 1], the thread's */
};

/* ---- what sample i is
 * ----------------------------------------------------------------------------- */
static int64_t sample_token(const tn_loader *l, int64_t sample) {
  const tn_loader_options *o = &l->options;
  uint64_t epoch = (uint64_t)(sample / l->windows), place = (uint64_t)(sample % l->windows);
  if (o->order == TN_ORDER_RANDOM)
    return o->token_start + (int64_t)tn_random_below(o->seed, STREAM_RANDOM, (uint64_t)sample,
                                                     (uint64_t)(o->token_count - o->tokens));
  if (o->order == TN_ORDER_SHUFFLE)
    place = tn_random_permute(o->seed, epoch, place, (uint64_t)l->windows);
  return o->token_start + (int64_t)place * o->tokens;
}

static tn_status fill(tn_loader *l, slot *s, int64_t first, tn_error *err) {
  const tn_loader_options *o = &l->options;
  s->first_sample = first + o->rank;
  for (int64_t row = 0; row < o->batch; row++) {
    int64_t at = sample_token(l, s->first_sample + row * o->ranks);
    TN_TRY(tn_token_set_read(l->set, at, o->tokens + 1, l->window, err));
    memcpy(s->ids + row * o->tokens, l->window, (size_t)o->tokens * sizeof(int32_t));
    memcpy(s->targets + row * o->tokens, l->window + 1, (size_t)o->tokens * sizeof(int32_t));
  }
  return TN_OK;
}

/* Runs until the queues close or a batch fails; the failure travels in the slot. */
static void *prefetch(void *context) {
  tn_loader *l = context;
  int64_t step = l->options.batch * l->options.ranks;
  for (int64_t first = l->options.start;; first += step) {
    void *item;
    if (tn_queue_take(l->spare, &item, -1) != TN_OK) return NULL;
    slot *s = item;
    s->status = fill(l, s, first, &s->error);
    bool failed = s->status != TN_OK;
    if (tn_queue_put(l->ready, s, -1) != TN_OK || failed) return NULL;
  }
}

/* ---- making
 * -------------------------------------------------------------------------------------------- */
static tn_status check_part(const tn_token_set *set, tn_loader_options *o, tn_error *err) {
  int64_t total = tn_token_set_count(set);
  if (o->token_start < 0 || o->token_start > total)
    return tn_fail(err, TN_ERR_ARGUMENT, "tokens from %lld on, the set has %lld",
                   (long long)o->token_start, (long long)total);
  if (o->token_count == 0) o->token_count = total - o->token_start;
  if (o->token_count < 0 || o->token_count > total - o->token_start)
    return tn_fail(err, TN_ERR_ARGUMENT, "%lld tokens from %lld on, the set has %lld",
                   (long long)o->token_count, (long long)o->token_start, (long long)total);
  if (o->token_count <= o->tokens)
    return tn_fail(err, TN_ERR_ARGUMENT, "%lld tokens are less than one window of %lld + 1",
                   (long long)o->token_count, (long long)o->tokens);
  return TN_OK;
}

static tn_status check_options(const tn_token_set *set, tn_loader_options *o, tn_error *err) {
  if (!o->ranks) o->ranks = 1;
  if (!o->prefetch) o->prefetch = PREFETCH_DEFAULT;
  if (o->batch < 1 || o->tokens < 1 || o->batch > BATCH_TOKENS_MAX / o->tokens)
    return tn_fail(err, TN_ERR_ARGUMENT, "batch of %lld x %lld tokens, expected 1 to %lld",
                   (long long)o->batch, (long long)o->tokens, (long long)BATCH_TOKENS_MAX);
  if (o->ranks < 1 || o->rank < 0 || o->rank >= o->ranks)
    return tn_fail(err, TN_ERR_ARGUMENT, "rank %d of %d", o->rank, o->ranks);
  if (o->prefetch < 1 || o->prefetch > PREFETCH_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "prefetch of %d batches, expected 1 to %d", o->prefetch,
                   PREFETCH_MAX);
  if (o->start < 0 || o->start > INT64_MAX / 2)
    return tn_fail(err, TN_ERR_ARGUMENT, "start at sample %lld", (long long)o->start);
  if (o->order != TN_ORDER_SHUFFLE && o->order != TN_ORDER_RANDOM && o->order != TN_ORDER_LINEAR)
    return tn_fail(err, TN_ERR_ARGUMENT, "unknown order %d", (int)o->order);
  return check_part(set, o, err);
}

static tn_status make_slots(tn_loader *l, tn_error *err) {
  size_t cells = (size_t)(l->options.batch * l->options.tokens);
  l->slot_count = l->options.prefetch + 1; /* one is in the caller's hands */
  l->slots = tn_alloc((size_t)l->slot_count, sizeof *l->slots);
  l->window = tn_alloc((size_t)l->options.tokens + 1, sizeof *l->window);
  if (!l->slots || !l->window) return tn_fail_memory(err, "a loader", cells * sizeof(int32_t));
  TN_TRY(tn_queue_new(&l->spare, l->slot_count, err));
  TN_TRY(tn_queue_new(&l->ready, l->slot_count, err));
  for (int32_t i = 0; i < l->slot_count; i++) {
    slot *s = &l->slots[i];
    s->ids = tn_alloc_aligned(cells * 2 * sizeof *s->ids);
    if (!s->ids) return tn_fail_memory(err, "a batch", cells * 2 * sizeof *s->ids);
    s->targets = s->ids + cells;
    tn_queue_put(l->spare, s, 0); /* as many places as slots */
  }
  return TN_OK;
}

tn_status tn_loader_new(tn_loader **out, const tn_token_set *set, const tn_loader_options *options,
                        tn_error *err) {
  tn_loader *l = tn_alloc(1, sizeof *l);
  if (!l) return tn_fail_memory(err, "a loader", sizeof *l);
  l->set = set;
  l->options = *options;
  tn_status status = check_options(set, &l->options, err);
  if (status == TN_OK) status = make_slots(l, err);
  if (status == TN_OK) {
    l->windows = (l->options.token_count - 1) / l->options.tokens;
    l->position = l->options.start;
    int failed = pthread_create(&l->thread, NULL, prefetch, l);
    l->running = !failed;
    if (failed) status = tn_fail_errno(err, failed, "the loader's thread");
  }
  if (status != TN_OK) {
    tn_loader_free(l);
    return status;
  }
  *out = l;
  return TN_OK;
}

void tn_loader_free(tn_loader *loader) {
  if (!loader) return;
  if (loader->spare) tn_queue_close(loader->spare);
  if (loader->ready) tn_queue_close(loader->ready);
  if (loader->running) pthread_join(loader->thread, NULL);
  for (int32_t i = 0; loader->slots && i < loader->slot_count; i++) tn_free(loader->slots[i].ids);
  tn_queue_free(loader->spare);
  tn_queue_free(loader->ready);
  tn_free(loader->slots);
  tn_free(loader->window);
  tn_free(loader);
}

/* ---- using
 * ------------------------------------------------------------------------------------------------
 */
static slot *take_ready(tn_loader *l) {
  void *item;
  if (tn_queue_take(l->ready, &item, 0) == TN_OK) return item;
  int64_t start_us = tn_time_us();
  if (tn_queue_take(l->ready, &item, -1) != TN_OK) item = NULL;
  l->wait_us += tn_time_us() - start_us;
  return item;
}

tn_status tn_loader_next(tn_loader *loader, tn_token_batch *out, tn_error *err) {
  /* After a failure the thread has ended; the failed slot stays, and so does its answer. */
  if (!loader->held || loader->held->status == TN_OK) {
    if (loader->held) tn_queue_put(loader->spare, loader->held, 0);
    loader->held = take_ready(loader);
  }
  slot *s = loader->held;
  if (!s) return tn_fail(err, TN_ERR_ARGUMENT, "the loader is closed");
  if (s->status != TN_OK) {
    if (err) *err = s->error;
    return s->status;
  }
  *out = (tn_token_batch){s->ids, s->targets, s->first_sample};
  loader->position += loader->options.batch * loader->options.ranks;
  return TN_OK;
}

int64_t tn_loader_position(const tn_loader *loader) {
  return loader->position;
}
int64_t tn_loader_epoch_samples(const tn_loader *loader) {
  return loader->windows;
}
double tn_loader_wait_seconds(const tn_loader *loader) {
  return (double)loader->wait_us / 1e6;
}
