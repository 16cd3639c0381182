/* loop.h - a whole training run: resume, steps, validation, checkpoints, log, picture.
 *
 *     runs/austen/   config.yaml   what the run was started with, all defaults written out
 *                    log.jsonl     every step                  (loss_log.h)
 *                    loss.svg      both curves                 (loss_plot.h)
 *                    checkpoints/, latest                      (checkpoint.h)
 *
 * The loop never prints: who watches gets calls.  One process a run folder: a lock says so.  Asked
 * to stop, it finishes the step, saves, and returns TN_ERR_INTERRUPTED.  Several ranks, devices and
 * sharded state will come between trainer and loop; the loop knows only steps.
 *
 * Thread: the caller's. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_LOOP_H
#define TN_TRAIN_LOOP_H
#include "base/progress.h"
#include "base/thread.h"
#include "train/loss_log.h"
#include "train/run_config.h"

typedef struct tn_train_watch {                                   /* any may be NULL */
  bool (*stop)(void *context);                                    /* asked between steps */
  void (*begun)(void *context, int64_t step, int64_t parameters); /* step > 0: resumed there */
  void (*stepped)(void *context, const tn_step_record *record);
  void (*validated)(void *context, int64_t step, double loss);
  void (*saved)(void *context, int64_t step, const char *folder, double seconds);
  void (*noted)(void *context, const char *text); /* nothing is lost, but you should know */
  void *context;
} tn_train_watch;

typedef struct tn_train_options { /* zero: the default */
  bool fresh;                     /* removes the checkpoints, log and picture of an earlier run */
  const char *from;               /* "step-000100": go back to it; NULL: the latest */
  tn_pool *pool;                  /* NULL: one thread */
  tn_progress *progress;
  tn_train_watch watch;
} tn_train_options;

typedef struct tn_train_result {
  int64_t start_step, step;   /* before and after this call */
  int64_t parameters, tokens; /* tokens: trained on in this call */
  double loss, loss_average;  /* of the last step; NaN: no step was made */
  double validation_loss;     /* the last known; NaN: none */
  double step_seconds;        /* in steps alone, without validation and saving */
  double wait_seconds;        /* of these, for data */
  int64_t saved_step;         /* the newest checkpoint; -1: none */
  int64_t
      whole_step; /* after a damaged checkpoint: the newest earlier one that is whole; else -1 */
} tn_train_result;

/* Fills *result on errors too, as far as it came. */
TN_NODISCARD tn_status tn_train_run(const tn_run_config *config, const tn_train_options *options,
                                    tn_train_result *result, tn_error *err);
#endif
