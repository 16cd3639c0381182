/* clock.h - time, real or virtual.
 *
 * Code whose behaviour depends on time (scheduler, time-outs, rates) takes a tn_clock, so that
 * tests can turn the hands themselves. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_CLOCK_H
#define TN_BASE_CLOCK_H
#include <stdint.h>

typedef struct tn_clock {
  int64_t (*now_us)(void *context); /* monotonic microseconds from an arbitrary start */
  void *context;
} tn_clock;

extern const tn_clock tn_clock_real;
static inline int64_t tn_clock_now_us(const tn_clock *clock) {
  return clock->now_us(clock->context);
}

int64_t tn_time_us(void);      /* monotonic, the real clock */
int64_t tn_time_unix_us(void); /* since 1970 */
int64_t tn_time_cpu_us(void);  /* CPU time of this process, all threads */

#endif
