/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t read_us(clockid_t id) {
  struct timespec t = {0};
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t tn_time_us(void) {
  return read_us(CLOCK_MONOTONIC);
}
int64_t tn_time_unix_us(void) {
  return read_us(CLOCK_REALTIME);
}
int64_t tn_time_cpu_us(void) {
  return read_us(CLOCK_PROCESS_CPUTIME_ID);
}

static int64_t real_now_us(void *context) {
  return tn_time_us();
}

const tn_clock tn_clock_real = {real_now_us, NULL};
