/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/number.h"

typedef enum metric_kind { COUNTER, GAUGE, HISTOGRAM } metric_kind;

struct tn_metric {
  tn_metric *next; /* of the same family, in order of creation */
  metric_kind kind;
  tn_str labels;
  _Atomic uint64_t value; /* bits of a double; histogram: the sum */
  int32_t bound_count;
  double *bounds;
  _Atomic uint64_t *buckets; /* bound_count + 1, each its own count: not yet cumulative */
};

/* All metrics of one name: they share HELP and TYPE, which the text has once. */
typedef struct family {
  struct family *next;
  metric_kind kind;
  tn_str name, help;
  tn_metric *first, **tail;
} family;

struct tn_metrics {
  pthread_mutex_t lock; /* of the lists; updates of a metric take none */
  tn_arena arena;
  family *first, **tail;
};

tn_status tn_metrics_new(tn_metrics **out, tn_error *err) {
  tn_metrics *m = tn_alloc(1, sizeof *m);
  if (!m) return tn_fail_memory(err, "a metrics registry", sizeof *m);
  if (pthread_mutex_init(&m->lock, NULL) != 0) {
    tn_free(m);
    return tn_fail_memory(err, "a mutex", sizeof(pthread_mutex_t));
  }
  m->tail = &m->first;
  *out = m;
  return TN_OK;
}

void tn_metrics_free(tn_metrics *metrics) {
  if (!metrics) return;
  pthread_mutex_destroy(&metrics->lock);
  tn_arena_clear(&metrics->arena);
  tn_free(metrics);
}

/* ---- registration ---- */

static tn_str copy_text(tn_arena *arena, const char *text) {
  tn_str s = tn_str_of(text);
  return (tn_str){tn_arena_strndup(arena, s.data, s.length), s.length};
}

static family *find_family(const tn_metrics *m, const char *name) {
  for (family *f = m->first; f; f = f->next)
    if (tn_str_is(f->name, name)) return f;
  return NULL;
}

/* Linked only when whole, so that a failed allocation leaves no half of it. */
static family *add_family(tn_metrics *m, metric_kind kind, const char *name, const char *help) {
  family *f = tn_arena_alloc(&m->arena, 1, sizeof *f);
  if (!f) return NULL;
  f->kind = kind;
  f->name = copy_text(&m->arena, name);
  f->help = copy_text(&m->arena, help ? help : "");
  f->tail = &f->first;
  if (!f->name.data || !f->help.data) return NULL;
  *m->tail = f;
  m->tail = &f->next;
  return f;
}

static tn_metric *find_metric(const family *f, const char *labels) {
  for (tn_metric *metric = f->first; metric; metric = metric->next)
    if (tn_str_is(metric->labels, labels)) return metric;
  return NULL;
}

static tn_metric *add_metric(tn_metrics *m, family *f, const char *labels, const double *bounds,
                             int32_t bound_count) {
  tn_metric *metric = tn_arena_alloc(&m->arena, 1, sizeof *metric);
  if (!metric) return NULL;
  metric->kind = f->kind;
  metric->labels = copy_text(&m->arena, labels);
  if (!metric->labels.data) return NULL;
  if (f->kind == HISTOGRAM) {
    size_t count = (size_t)bound_count;
    metric->bound_count = bound_count;
    metric->bounds = tn_arena_alloc(&m->arena, count, sizeof *metric->bounds);
    metric->buckets = tn_arena_alloc(&m->arena, count + 1, sizeof *metric->buckets);
    if (!metric->bounds || !metric->buckets) return NULL;
    if (count) memcpy(metric->bounds, bounds, count * sizeof *bounds);
  }
  *f->tail = metric;
  f->tail = &metric->next;
  return metric;
}

static tn_metric *find_or_add(tn_metrics *m, metric_kind kind, const char *name, const char *labels,
                              const char *help, const double *bounds, int32_t bound_count) {
  if (!labels) labels = "";
  pthread_mutex_lock(&m->lock);
  family *f = find_family(m, name);
  if (!f) f = add_family(m, kind, name, help);
  assert(!f || f->kind == kind); /* one name, two kinds: a bug of the caller */
  tn_metric *metric = f ? find_metric(f, labels) : NULL;
  if (f && !metric) metric = add_metric(m, f, labels, bounds, bound_count);
  pthread_mutex_unlock(&m->lock);
  return metric;
}

tn_metric *tn_metrics_counter(tn_metrics *m, const char *name, const char *labels,
                              const char *help) {
  return find_or_add(m, COUNTER, name, labels, help, NULL, 0);
}

tn_metric *tn_metrics_gauge(tn_metrics *m, const char *name, const char *labels, const char *help) {
  return find_or_add(m, GAUGE, name, labels, help, NULL, 0);
}

tn_metric *tn_metrics_histogram(tn_metrics *m, const char *name, const char *labels,
                                const char *help, const double *bounds, int32_t bound_count) {
  assert(bound_count >= 0);
  for (int32_t i = 1; i < bound_count; i++) assert(bounds[i - 1] < bounds[i]);
  if (bound_count && isinf(bounds[bound_count - 1])) bound_count--; /* +Inf is implied */
  return find_or_add(m, HISTOGRAM, name, labels, help, bounds, bound_count);
}

/* ---- updates ---- */

static double to_double(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint64_t to_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static void add(_Atomic uint64_t *cell, double value) {
  uint64_t before = atomic_load_explicit(cell, memory_order_relaxed), after;
  do after = to_bits(to_double(before) + value);
  while (!atomic_compare_exchange_weak_explicit(cell, &before, after, memory_order_relaxed,
                                                memory_order_relaxed));
}

void tn_metric_add(tn_metric *metric, double value) {
  if (!metric) return;
  assert(metric->kind != HISTOGRAM && (metric->kind == GAUGE || !(value < 0)));
  add(&metric->value, value);
}

void tn_metric_set(tn_metric *metric, double value) {
  if (!metric) return;
  assert(metric->kind == GAUGE);
  atomic_store_explicit(&metric->value, to_bits(value), memory_order_relaxed);
}

void tn_metric_observe(tn_metric *metric, double value) {
  if (!metric) return;
  assert(metric->kind == HISTOGRAM);
  int32_t low = 0, high = metric->bound_count; /* the first bound that is not below the value */
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    if (metric->bounds[middle] >= value)
      high = middle;
    else
      low = middle + 1;
  }
  atomic_fetch_add_explicit(&metric->buckets[low], 1, memory_order_relaxed);
  add(&metric->value, value);
}

double tn_metric_value(const tn_metric *metric) {
  return metric ? to_double(atomic_load_explicit(&metric->value, memory_order_relaxed)) : 0;
}

/* ---- Prometheus text exposition format 0.0.4 ---- */

static void add_number(tn_strbuf *out, double value) {
  char text[TN_F64_TEXT_BYTES];
  if (isnan(value)) {
    tn_strbuf_add(out, "NaN");
  } else if (isinf(value)) {
    tn_strbuf_add(out, value > 0 ? "+Inf" : "-Inf");
  } else {
    tn_f64_to_text(value, text);
    tn_strbuf_add(out, text);
  }
}

/* HELP text escapes backslash and line feed. */
static void add_help(tn_strbuf *out, tn_str help) {
  for (size_t i = 0; i < help.length; i++) {
    char c = help.data[i];
    if (c == '\\')
      tn_strbuf_add(out, "\\\\");
    else if (c == '\n')
      tn_strbuf_add(out, "\\n");
    else
      tn_strbuf_add_char(out, c);
  }
}

/* "name_suffix{labels} " */
static void add_series(tn_strbuf *out, tn_str name, const char *suffix, tn_str labels) {
  tn_strbuf_add_str(out, name);
  tn_strbuf_add(out, suffix);
  if (labels.length) {
    tn_strbuf_add_char(out, '{');
    tn_strbuf_add_str(out, labels);
    tn_strbuf_add_char(out, '}');
  }
  tn_strbuf_add_char(out, ' ');
}

/* "name_bucket{labels,le="0.5"} " */
static void add_bucket(tn_strbuf *out, tn_str name, tn_str labels, double bound, uint64_t count) {
  tn_strbuf_add_str(out, name);
  tn_strbuf_add(out, "_bucket{");
  tn_strbuf_add_str(out, labels);
  tn_strbuf_add(out, labels.length ? ",le=\"" : "le=\"");
  add_number(out, bound);
  tn_strbuf_addf(out, "\"} %llu\n", (unsigned long long)count);
}

/* _count is the +Inf bucket by construction, whatever other threads observe meanwhile. */
static void add_histogram(tn_strbuf *out, tn_str name, const tn_metric *metric) {
  uint64_t total = 0;
  for (int32_t i = 0; i <= metric->bound_count; i++) {
    total += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
    double bound = i < metric->bound_count ? metric->bounds[i] : HUGE_VAL;
    add_bucket(out, name, metric->labels, bound, total);
  }
  add_series(out, name, "_sum", metric->labels);
  add_number(out, tn_metric_value(metric));
  tn_strbuf_add_char(out, '\n');
  add_series(out, name, "_count", metric->labels);
  tn_strbuf_addf(out, "%llu\n", (unsigned long long)total);
}

static void add_family_text(tn_strbuf *out, const family *f) {
  static const char *const kinds[] = {"counter", "gauge", "histogram"};
  if (f->help.length) {
    tn_strbuf_add(out, "# HELP ");
    tn_strbuf_add_str(out, f->name);
    tn_strbuf_add_char(out, ' ');
    add_help(out, f->help);
    tn_strbuf_add_char(out, '\n');
  }
  tn_strbuf_add(out, "# TYPE ");
  tn_strbuf_add_str(out, f->name);
  tn_strbuf_addf(out, " %s\n", kinds[f->kind]);
  for (const tn_metric *metric = f->first; metric; metric = metric->next) {
    if (f->kind == HISTOGRAM) {
      add_histogram(out, f->name, metric);
      continue;
    }
    add_series(out, f->name, "", metric->labels);
    add_number(out, tn_metric_value(metric));
    tn_strbuf_add_char(out, '\n');
  }
}

void tn_metrics_write_prometheus(const tn_metrics *m, tn_strbuf *out) {
  pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&m->lock; /* the registry stays as it is */
  pthread_mutex_lock(lock);
  for (const family *f = m->first; f; f = f->next)
    if (f->first) add_family_text(out, f);
  pthread_mutex_unlock(lock);
}
