/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/device.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

struct tn_event {
  tn_device *device; /* a CPU stream has always finished: an event has nothing to remember */
};

typedef struct cpu_stream {
  tn_stream stream; /* first: a tn_stream of this device is a cpu_stream */
  void *scratch;
  size_t scratch_bytes;
} cpu_stream;

/* A wish: where it is not granted, the pages are small. */
static void wish_huge_pages(void *data, size_t bytes) {
  enum { HUGE_PAGE = 2 << 20 };
  uintptr_t first = ((uintptr_t)data + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  uintptr_t end = ((uintptr_t)data + bytes) / HUGE_PAGE * HUGE_PAGE;
  if (end > first) madvise((void *)first, end - first, MADV_HUGEPAGE);
}

static tn_status cpu_buffer_new(tn_device *device, tn_buffer **out, size_t bytes, tn_error *err) {
  TN_TRY(tn_buffer_new(out, bytes, err));
  wish_huge_pages((*out)->data, bytes);
  return TN_OK;
}

static tn_status cpu_stream_open(tn_device *device, tn_pool *pool, tn_stream **out, tn_error *err) {
  cpu_stream *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a stream", sizeof *s);
  s->stream = (tn_stream){.device = device, .pool = pool};
  *out = &s->stream;
  return TN_OK;
}

static void cpu_stream_close(tn_stream *stream) {
  cpu_stream *s = (cpu_stream *)stream;
  tn_free(s->scratch);
  tn_free(s);
}

static tn_status check_range(const tn_buffer *buffer, size_t offset, size_t bytes, const char *what,
                             tn_error *err) {
  if (offset <= buffer->bytes && bytes <= buffer->bytes - offset) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "copy: %zu bytes at byte %zu reach past a %s of %zu bytes",
                 bytes, offset, what, buffer->bytes);
}

static tn_status cpu_copy(tn_stream *stream, tn_buffer *dst, size_t dst_offset,
                          const tn_buffer *src, size_t src_offset, size_t bytes, tn_error *err) {
  TN_TRY(check_range(dst, dst_offset, bytes, "destination", err));
  TN_TRY(check_range(src, src_offset, bytes, "source", err));
  if (dst->device || src->device)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "copy: the CPU's stream copies host memory only");
  if (bytes > 0)
    memmove((char *)dst->data + dst_offset, (const char *)src->data + src_offset, bytes);
  return TN_OK;
}

static tn_status cpu_synchronize(tn_stream *stream, tn_error *err) {
  return TN_OK;
}

static tn_status cpu_event_record(tn_stream *stream, tn_event **out, tn_error *err) {
  tn_event *event = tn_alloc(1, sizeof *event);
  if (!event) return tn_fail_memory(err, "an event", sizeof *event);
  event->device = stream->device;
  *out = event;
  return TN_OK;
}

static tn_status cpu_event_wait(tn_stream *stream, tn_event *event, tn_error *err) {
  return TN_OK;
}

static void cpu_event_free(tn_event *event) {
  tn_free(event);
}

static const tn_device_table cpu_table = {
    .buffer_new = cpu_buffer_new,
    .stream_open = cpu_stream_open,
    .stream_close = cpu_stream_close,
    .copy = cpu_copy,
    .synchronize = cpu_synchronize,
    .event_record = cpu_event_record,
    .event_wait = cpu_event_wait,
    .event_free = cpu_event_free,
};

static tn_device cpu_device = {.kind = TN_CPU, .name = "cpu", .table = &cpu_table};

static void measure_memory(void) {
  cpu_device.memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

tn_device *tn_device_cpu(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, measure_memory);
  return &cpu_device;
}

tn_status tn_stream_open(tn_device *device, tn_pool *pool, tn_stream **out, tn_error *err) {
  return device->table->stream_open(device, pool, out, err);
}

void tn_stream_close(tn_stream *stream) {
  if (stream) stream->device->table->stream_close(stream);
}

tn_status tn_stream_synchronize(tn_stream *stream, tn_error *err) {
  return stream->device->table->synchronize(stream, err);
}

tn_status tn_device_buffer_new(tn_device *device, tn_buffer **out, size_t bytes, tn_error *err) {
  return device->table->buffer_new(device, out, bytes, err);
}

tn_status tn_stream_scratch(tn_stream *stream, size_t bytes, void **out, tn_error *err) {
  if (stream->device->kind != TN_CPU)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: scratch is for streams of the CPU",
                   stream->device->name);
  cpu_stream *s = (cpu_stream *)stream;
  if (bytes > s->scratch_bytes) {
    /* Never shrinks, and grows by more than asked for, so that sizes that creep up settle. */
    size_t want = bytes + bytes / 2;
    void *fresh = tn_alloc_aligned(want);
    if (!fresh) fresh = tn_alloc_aligned(want = bytes);
    if (!fresh) return tn_fail_memory(err, "a kernel's scratch", bytes);
    wish_huge_pages(fresh, want);
    tn_free(s->scratch);
    s->scratch = fresh;
    s->scratch_bytes = want;
  }
  *out = s->scratch;
  return TN_OK;
}
