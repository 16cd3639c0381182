/* engine.h - the one thread that owns model, scheduler and KV blocks.
 *
 *     tn_engine_submit --[bounded queue]--> engine thread --event()--> whoever asked
 *
 * Each turn of the engine takes in what has come, forgets what nobody wants any more, plans a step,
 * runs the model once over all rows of that step, and samples for every sequence that has caught
 * up.  What a request gets depends on its own tokens, sampling and seed only: not on who shares its
 * steps, on chunking or on preemption.
 *
 * Every accepted generation gets events, on the engine thread, until one with `finish` other than
 * NONE; after that one its callbacks are never called again. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_ENGINE_H
#define TN_SERVE_ENGINE_H
#include "base/metrics.h"
#include "base/span.h"
#include "base/str.h"
#include "base/thread.h"
#include "model/tokenizer.h"
#include "model/transformer.h"
#include "serve/sampler.h"
#include "serve/text_stream.h"

typedef enum tn_finish {
  TN_FINISH_NONE,
  TN_FINISH_STOP,   /* an end-of-text token, a stop string, the end of a JSON object */
  TN_FINISH_LENGTH, /* tokens_max reached */
  TN_FINISH_GONE,   /* nobody wanted it any more, or the engine was cancelled */
  TN_FINISH_ERROR,  /* see error */
} tn_finish;

typedef struct tn_engine_event { /* borrowed for the call */
  tn_str text;                   /* new text, often empty: see text_stream.h */
  const tn_sample *sample;       /* the token behind this event; NULL: none */
  bool of_prompt;                /* sample is a token of the prompt */
  tn_finish finish;
  const char *error; /* with TN_FINISH_ERROR */
  int64_t sampled;   /* tokens sampled so far, an end-of-text token included */
} tn_engine_event;

typedef struct tn_generation { /* all of it is copied by submit */
  const int32_t *ids;
  int64_t count;      /* of ids, at least 1 */
  int64_t tokens_max; /* to sample; 0: the prompt runs through the model, and that is all */
  /* The tokens of the prompt have events of their own, in order, before any other: how likely each
   * was (the first: NaN), with sampling.top_logprobs alternatives. */
  bool prompt_logprobs;
  tn_sampling sampling;
  tn_str stops[TN_STOPS_MAX];
  int32_t stop_count;
  bool ignore_eos;
  bool json; /* the answer is one JSON object (json_guard.h), which ends it; wants a tokenizer */
  /* Asked once a step; false ends the generation with TN_FINISH_GONE.  NULL: always wanted. */
  bool (*wanted)(void *context);
  void (*event)(void *context, const tn_engine_event *event); /* must not wait */
  void *context;
} tn_generation;

typedef struct tn_engine_options { /* zero: the default */
  int32_t running_max;             /* sequences in a step; default 16 */
  int32_t step_tokens;             /* default 512 */
  int32_t queue_max;               /* accepted but never yet run; default 64 */
  int32_t block_tokens;            /* default 16 */
  int64_t kv_bytes;  /* default 1 GiB; no more is taken than running_max full contexts need */
  tn_dtype kv_dtype; /* of kv_cache.h; default float32 */
  int64_t context;   /* tokens of a sequence; default what the model can */
  const int32_t *eos_ids;
  int32_t eos_count;
  const tn_tokenizer *tokenizer; /* NULL: events carry no text */
  tn_pool *pool;                 /* for kernels; NULL: the engine thread alone */
  tn_metrics *metrics;           /* NULL: none */
  tn_spans *spans;               /* NULL: none */
} tn_engine_options;

typedef struct tn_engine_stats {
  int64_t waiting, running; /* sequences; waiting counts those not yet taken in */
  int64_t blocks_free, blocks_total, block_bytes;
  tn_dtype kv_dtype;
  int64_t kv_bytes_per_1000_tokens;
  int64_t context; /* tokens that fit a sequence, prompt and answer */
  int64_t queue_max;
  int64_t preemptions, steps;
} tn_engine_stats;

typedef struct tn_engine tn_engine;
/* `model`, and what the options point to, must outlive the engine. */
TN_NODISCARD tn_status tn_engine_new(tn_engine **out, tn_model *model,
                                     const tn_engine_options *options, tn_error *err);
/* All generations or none.  TN_FULL: the queue has no room; TN_END: draining; TN_ERR_LIMIT: longer
 * than the context, naming tokens and limit.  Any thread. */
TN_NODISCARD tn_status tn_engine_submit(tn_engine *engine, const tn_generation *generations,
                                        int32_t count, tn_error *err);
void tn_engine_drain(tn_engine *engine); /* takes nothing new; what is accepted goes on */
void tn_engine_cancel(
    tn_engine *engine); /* drains, and ends what is accepted with TN_FINISH_GONE */
/* Whether everything accepted has ended, waiting up to wait_us for that; after a drain. */
bool tn_engine_wait(tn_engine *engine, int64_t wait_us);
void tn_engine_free(tn_engine *engine); /* cancels first; NULL is fine */

tn_engine_stats tn_engine_look(tn_engine *engine); /* any thread */

#endif
