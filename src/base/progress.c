/* SPDX-License-Identifier: Apache-2.0 */
#include "base/progress.h"

#include <stddef.h>

#include "base/clock.h"

enum { EVERY_US_DEFAULT = 100000 };

static bool show(tn_progress *p, int64_t now_us, bool last) {
  p->shown_us = now_us;
  return !p->show || p->show(p->context, p, last);
}

void tn_progress_begin(tn_progress *p, const char *label, const char *unit, int64_t total) {
  if (!p) return;
  p->label = label;
  p->unit = unit;
  p->done = 0;
  p->total = total;
  p->note[0] = '\0';
  p->started_us = p->shown_us = tn_time_us();
}

tn_status tn_progress_at(tn_progress *p, int64_t done, tn_error *err) {
  if (!p) return TN_OK;
  p->done = done;
  int64_t now_us = tn_time_us();
  int64_t every_us = p->every_us > 0 ? p->every_us : EVERY_US_DEFAULT;
  if (now_us - p->shown_us < every_us || show(p, now_us, false)) return TN_OK;
  return tn_fail(err, TN_ERR_INTERRUPTED, "%s: interrupted at %lld of %lld %s", p->label,
                 (long long)done, (long long)p->total, p->unit);
}

void tn_progress_end(tn_progress *p) {
  if (p) show(p, tn_time_us(), true);
}

void tn_progress_leave(tn_progress *p) {
  if (p && p->shown_us > p->started_us) tn_progress_end(p);
}

double tn_progress_rate(const tn_progress *p) {
  if (!p) return 0;
  int64_t elapsed_us = tn_time_us() - p->started_us;
  return elapsed_us > 0 ? (double)p->done * 1e6 / (double)elapsed_us : 0;
}

double tn_progress_seconds_left(const tn_progress *p) {
  double rate = tn_progress_rate(p);
  if (!p || p->total <= 0 || rate <= 0) return -1;
  return p->done >= p->total ? 0 : (double)(p->total - p->done) / rate;
}
