/* schedule.h - the learning rate as a pure function of the step.
 *
 *     lr |    ____
 *        |   /     \__          warm-up: linear from lr / (warmup + 1) up to lr
 *        |  /         \__       then cosine (Loshchilov, Hutter: "SGDR", 2017) or a line down to
 *        | /             ----   lr_min at the last step, or constant
 *        +-------------------- step */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_SCHEDULE_H
#define TN_TRAIN_SCHEDULE_H
#include <stdint.h>

typedef enum tn_schedule_kind {
  TN_SCHEDULE_COSINE,
  TN_SCHEDULE_LINEAR,
  TN_SCHEDULE_CONSTANT,
} tn_schedule_kind;

typedef struct tn_schedule {
  tn_schedule_kind kind;
  double lr, lr_min;
  int64_t warmup_steps, steps; /* steps: all of the run, warm-up included */
} tn_schedule;

/* Of the update numbered `step`, from 0.  Beyond the last step: lr_min (constant: lr). */
double tn_schedule_lr(const tn_schedule *schedule, int64_t step);
#endif
