/* optimizer.h - AdamW over the flat array of a model's parameters (Loshchilov, Hutter: "Decoupled
 * Weight Decay Regularization", 2019).
 *
 *     flat:  | embed | q k v o | norm | gate up down | norm | ...
 *     runs:  [--- decays ------)[--)[-- decays -----)[--)        one adamw call a run
 *
 * m, v and gradients are flat arrays of the same shape, so a checkpoint is two more tensors and the
 * global norm is one sum.  The sum has a fixed order: the same gradients give the same bytes on any
 * number of threads.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_OPTIMIZER_H
#define TN_TRAIN_OPTIMIZER_H
#include "model/transformer.h"

typedef struct tn_optimizer_options {
  double beta1, beta2, eps, weight_decay;
  double clip; /* the largest global gradient norm; 0: no limit */
} tn_optimizer_options;

typedef struct tn_optimizer tn_optimizer;
/* Zero moments for `model`, which must outlive the optimizer, on the stream's device. */
TN_NODISCARD tn_status tn_optimizer_new(tn_optimizer **out, const tn_model *model,
                                        tn_stream *stream, const tn_optimizer_options *options,
                                        tn_error *err);
void tn_optimizer_free(tn_optimizer *optimizer);

/* One update, numbered `step` from 1, with `grads` (flat float32).  *grad_norm is the norm before
 * clipping.  When it is not finite nothing is changed and TN_ERR_DATA says so. */
TN_NODISCARD tn_status tn_optimizer_step(tn_optimizer *optimizer, const tn_tensor *grads,
                                         int64_t step, double lr, double *grad_norm, tn_error *err);

tn_tensor tn_optimizer_m(const tn_optimizer *optimizer); /* flat float32, for checkpoints */
tn_tensor tn_optimizer_v(const tn_optimizer *optimizer);
#endif
