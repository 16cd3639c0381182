/* loss_log.h - what happened at every step: one JSON object a line, appended and kept in memory.
 *
 *     {"step": 120, "loss": 3.41, "lr": 0.00098, "grad_norm": 0.71, "tokens_per_s": 8123, ...}
 *     {"step": 120, "validation_loss": 3.52}
 *
 * Each line is one write, so a killed run loses none.  A resumed run opens the log at its
 * checkpoint's step: what was logged beyond it will happen again and is cut off.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_LOSS_LOG_H
#define TN_TRAIN_LOSS_LOG_H
#include "base/str.h"

typedef struct tn_step_record {
  int64_t step;
  double loss, loss_average; /* average: exponential, weight 0.02 for the newest */
  double lr, grad_norm;
  double tokens_per_second;
  double wait_share;   /* of the step's time that it waited for the loader, 0 to 1 */
  double seconds_left; /* to the end of the run at this run's mean speed */
} tn_step_record;

typedef struct tn_loss_point {
  int64_t step;
  double loss;
} tn_loss_point;

typedef struct tn_loss_curve {
  tn_loss_point *points; /* ascending steps */
  size_t count, capacity;
} tn_loss_curve;

typedef struct tn_loss_log tn_loss_log;
/* Reads an existing file up to `last_step`, cuts off the rest, and appends from there. */
TN_NODISCARD tn_status tn_loss_log_open(tn_loss_log **out, const char *path, int64_t last_step,
                                        tn_error *err);
void tn_loss_log_close(tn_loss_log *log);
TN_NODISCARD tn_status tn_loss_log_step(tn_loss_log *log, const tn_step_record *record,
                                        tn_error *err);
TN_NODISCARD tn_status tn_loss_log_validation(tn_loss_log *log, int64_t step, double loss,
                                              tn_error *err);
TN_NODISCARD tn_status tn_loss_log_sync(tn_loss_log *log, tn_error *err); /* fsync */
const tn_loss_curve *tn_loss_log_training(const tn_loss_log *log);
const tn_loss_curve *tn_loss_log_validations(const tn_loss_log *log);
#endif
