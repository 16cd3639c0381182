/* bench.h - what the programs under bench/ share: two clocks, and an end with a message. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BENCH_BENCH_H
#define TN_BENCH_BENCH_H
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

static inline double wall_s(void) {
  return (double)tn_time_us() / 1e6;
}

/* of all threads */
static inline double cpu_s(void) {
  return (double)tn_time_cpu_us() / 1e6;
}

static inline _Noreturn void die(const char *text) {
  fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
  exit(1);
}

#endif
