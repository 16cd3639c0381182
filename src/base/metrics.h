/* metrics.h - counters, gauges and histograms, and their Prometheus text.
 *
 * A registry owns its metrics; tn_metric pointers stay valid as long as the registry.  Updates are
 * atomic and lock-free.  Names and labels follow the Prometheus data model; units are base units
 * (seconds, bytes) as its naming rules ask.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_METRICS_H
#define TN_BASE_METRICS_H
#include "base/str.h"

typedef struct tn_metrics tn_metrics;
typedef struct tn_metric tn_metric;

TN_NODISCARD tn_status tn_metrics_new(tn_metrics **out, tn_error *err);
void tn_metrics_free(tn_metrics *metrics);

/* `labels`: "" or e.g. "route=\"/v1/models\",code=\"200\"".  Asking again for the same name and
 * labels gives the same metric.  NULL only when out of memory; updating NULL does nothing. */
tn_metric *tn_metrics_counter(tn_metrics *m, const char *name, const char *labels,
                              const char *help);
tn_metric *tn_metrics_gauge(tn_metrics *m, const char *name, const char *labels, const char *help);
/* bounds: ascending upper bounds, +Inf is implied; copied. */
tn_metric *tn_metrics_histogram(tn_metrics *m, const char *name, const char *labels,
                                const char *help, const double *bounds, int32_t bound_count);
void tn_metric_add(tn_metric *metric, double value);     /* counter, gauge */
void tn_metric_set(tn_metric *metric, double value);     /* gauge */
void tn_metric_observe(tn_metric *metric, double value); /* histogram */
double tn_metric_value(const tn_metric *metric);         /* histogram: the sum */
void tn_metrics_write_prometheus(const tn_metrics *m, tn_strbuf *out);

#endif
