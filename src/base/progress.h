/* progress.h - how far a long job is.
 *
 * Library code tells a tn_progress what is done; who watches decides how it looks (`cli` draws a
 * bar on a terminal, plain lines elsewhere).  A NULL progress is fine everywhere.  The sink also
 * answers whether to go on: false means the user asked to stop (Ctrl-C) and the job ends with
 * TN_ERR_INTERRUPTED.  Thread: one at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_PROGRESS_H
#define TN_BASE_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct tn_progress {
  const char *label;   /* "convert" */
  const char *unit;    /* "B", "rows", "tokens": done and total are in it */
  int64_t done, total; /* total 0: unknown */
  int64_t started_us, shown_us;
  char note[96]; /* free text behind the bar: "loss 3.41" */
  bool (*show)(void *context, const struct tn_progress *progress, bool last);
  void *context;
  int64_t every_us; /* how often to call show at most; 0: 100 ms */
} tn_progress;

void tn_progress_begin(tn_progress *p, const char *label, const char *unit, int64_t total);
/* TN_ERR_INTERRUPTED when the watcher said stop, else TN_OK. */
TN_NODISCARD tn_status tn_progress_at(tn_progress *p, int64_t done, tn_error *err);
void tn_progress_end(tn_progress *p);
void tn_progress_leave(tn_progress *p);        /* the same, but silent when nothing was shown yet */
double tn_progress_rate(const tn_progress *p); /* units a second since begin */
double tn_progress_seconds_left(const tn_progress *p); /* -1: unknown */

#endif
