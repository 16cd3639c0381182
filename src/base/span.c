/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"

#include <pthread.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"

typedef struct span {
  const char *name;
  uint64_t id;
  int64_t start_us, end_us;
  int32_t thread;
} span;

struct tn_spans {
  pthread_mutex_t lock;
  int32_t capacity;
  uint64_t added; /* ever; the newest stands at (added - 1) % capacity */
  span *ring;
};

tn_status tn_spans_new(tn_spans **out, int32_t capacity, tn_error *err) {
  if (capacity < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "a recorder of %d spans, wants at least 1", capacity);
  tn_spans *spans = tn_alloc(1, sizeof *spans);
  if (!spans) return tn_fail_memory(err, "a span recorder", sizeof *spans);
  spans->capacity = capacity;
  spans->ring = tn_alloc((size_t)capacity, sizeof *spans->ring);
  if (!spans->ring || pthread_mutex_init(&spans->lock, NULL) != 0) {
    tn_free(spans->ring);
    tn_free(spans);
    return tn_fail_memory(err, "a span recorder", (size_t)capacity * sizeof(span));
  }
  *out = spans;
  return TN_OK;
}

void tn_spans_free(tn_spans *spans) {
  if (!spans) return;
  pthread_mutex_destroy(&spans->lock);
  tn_free(spans->ring);
  tn_free(spans);
}

/* Asked of the kernel once a thread. */
static int32_t thread_id(void) {
  static _Thread_local int32_t id;
  if (id == 0) id = (int32_t)gettid();
  return id;
}

void tn_span_add(tn_spans *spans, const char *name, uint64_t id, int64_t start_us, int64_t end_us) {
  if (!spans) return;
  span s = {name, id, start_us, end_us, thread_id()};
  pthread_mutex_lock(&spans->lock);
  spans->ring[spans->added++ % (uint64_t)spans->capacity] = s;
  pthread_mutex_unlock(&spans->lock);
}

/* A complete event ("ph": "X") of the Chrome trace event format; times in microseconds. */
static void write_span(tn_json_writer *w, const span *s, int32_t process) {
  tn_json_begin_object(w);
  tn_json_key(w, "name");
  tn_json_cstr(w, s->name);
  tn_json_key(w, "ph");
  tn_json_cstr(w, "X");
  tn_json_key(w, "ts");
  tn_json_i64(w, s->start_us);
  tn_json_key(w, "dur");
  tn_json_i64(w, s->end_us > s->start_us ? s->end_us - s->start_us : 0);
  tn_json_key(w, "pid");
  tn_json_i64(w, process);
  tn_json_key(w, "tid");
  tn_json_i64(w, s->thread);
  tn_json_key(w, "args");
  tn_json_begin_object(w);
  tn_json_key(w, "id");
  tn_json_u64(w, s->id);
  tn_json_end_object(w);
  tn_json_end_object(w);
}

void tn_spans_write_chrome(const tn_spans *spans, tn_strbuf *out) {
  tn_json_writer w = {.out = out};
  tn_json_begin_object(&w);
  tn_json_key(&w, "displayTimeUnit");
  tn_json_cstr(&w, "ms");
  tn_json_key(&w, "traceEvents");
  tn_json_begin_array(&w);
  if (spans) {
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&spans->lock;
    pthread_mutex_lock(lock);
    uint64_t capacity = (uint64_t)spans->capacity;
    uint64_t from = spans->added > capacity ? spans->added - capacity : 0;
    for (uint64_t i = from; i < spans->added; i++)
      write_span(&w, &spans->ring[i % capacity], (int32_t)getpid());
    pthread_mutex_unlock(lock);
  }
  tn_json_end_array(&w);
  tn_json_end_object(&w);
}
