/* trainer.h - model, optimizer, data and position of one run, and one step of it.
 *
 *     step:  accumulate x ( batch -> forward -> loss -> backward into grads )
 *            -> global norm -> clip -> AdamW
 *
 * Invariant: after k steps the weights are a pure function of (config, data, k).  Batches come from
 * the loader by position, there is no other random state, and every sum has a fixed order; so a run
 * that is saved, killed and loaded goes on with the same bytes, on any number of threads.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_TRAINER_H
#define TN_TRAIN_TRAINER_H
#include "train/checkpoint.h"
#include "train/loss_log.h"

typedef struct tn_trainer tn_trainer;
/* New weights (or those of config's `init`) when `checkpoint` is NULL, else the state of that
 * folder. Borrows config and pool. */
TN_NODISCARD tn_status tn_trainer_new(tn_trainer **out, const tn_run_config *config, tn_pool *pool,
                                      const char *checkpoint, tn_error *err);
void tn_trainer_free(tn_trainer *trainer);

/* One update.  A loss or gradient norm that is not finite is TN_ERR_DATA and changes no weight.
 * record->seconds_left is left alone. */
TN_NODISCARD tn_status tn_trainer_step(tn_trainer *trainer, tn_step_record *record, tn_error *err);

/* Mean loss over the validation part, in order, each window once.  stop (NULL: never) is asked
 * between batches: TN_ERR_INTERRUPTED.  No validation part: TN_END. */
TN_NODISCARD tn_status tn_trainer_evaluate(tn_trainer *trainer, bool (*stop)(void *context),
                                           void *context, double *loss, tn_error *err);

/* Views for saving; valid until the next step. */
tn_checkpoint tn_trainer_checkpoint(const tn_trainer *trainer);
const tn_train_state *tn_trainer_state(const tn_trainer *trainer);
const tn_corpus *tn_trainer_corpus(const tn_trainer *trainer);
const tn_model *tn_trainer_model(const tn_trainer *trainer);
int64_t tn_trainer_epoch_samples(const tn_trainer *trainer);

typedef struct tn_trainer_memory { /* bytes */
  int64_t weights, gradients, moments, activations;
} tn_trainer_memory;
tn_trainer_memory tn_trainer_memory_of(const tn_trainer *trainer);
#endif
