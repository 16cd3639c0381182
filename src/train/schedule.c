/* SPDX-License-Identifier: Apache-2.0 */
#include "train/schedule.h"

#include <math.h>

/* How far the decay is: 0 at the first step after warm-up, 1 at the end of the run. */
static double decay_progress(const tn_schedule *s, int64_t step) {
  int64_t decay_steps = s->steps - s->warmup_steps;
  if (decay_steps <= 0 || step >= s->steps) return 1;
  return (double)(step - s->warmup_steps) / (double)decay_steps;
}

double tn_schedule_lr(const tn_schedule *s, int64_t step) {
  if (step < s->warmup_steps) return s->lr * (double)(step + 1) / (double)(s->warmup_steps + 1);
  double progress = decay_progress(s, step);
  switch (s->kind) {
    case TN_SCHEDULE_COSINE:
      return s->lr_min + 0.5 * (1 + cos(3.14159265358979323846 * progress)) * (s->lr - s->lr_min);
    case TN_SCHEDULE_LINEAR:
      return s->lr + (s->lr_min - s->lr) * progress;
    case TN_SCHEDULE_CONSTANT:
      break;
  }
  return s->lr;
}
