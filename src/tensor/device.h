/* device.h - memory and order of work on a CPU or a GPU, behind one small table.
 *
 * A tn_device hands out counted buffers and opens streams.  Work given to one stream happens in
 * order; two streams are ordered only by events.  On the CPU a stream runs its work at once, on the
 * pool it was opened with, so every call has finished when it returns; on CUDA it is queued.
 *
 * Thread: a device from any, a stream from one at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TENSOR_DEVICE_H
#define TN_TENSOR_DEVICE_H
#include "base/buffer.h"
#include "base/thread.h"

typedef enum tn_device_kind { TN_CPU, TN_CUDA } tn_device_kind;

typedef struct tn_stream tn_stream;
typedef struct tn_event tn_event;
typedef struct tn_device tn_device;

typedef struct tn_device_table {
  tn_status (*buffer_new)(tn_device *device, tn_buffer **out, size_t bytes, tn_error *err);
  tn_status (*stream_open)(tn_device *device, tn_pool *pool, tn_stream **out, tn_error *err);
  void (*stream_close)(tn_stream *stream);
  /* Copies between any two of host and this device; ordered in the stream. */
  tn_status (*copy)(tn_stream *stream, tn_buffer *dst, size_t dst_offset, const tn_buffer *src,
                    size_t src_offset, size_t bytes, tn_error *err);
  tn_status (*synchronize)(tn_stream *stream, tn_error *err);
  tn_status (*event_record)(tn_stream *stream, tn_event **out, tn_error *err);
  tn_status (*event_wait)(tn_stream *stream, tn_event *event, tn_error *err);
  void (*event_free)(tn_event *event);
} tn_device_table;

struct tn_device {
  tn_device_kind kind;
  int32_t index;
  const char *name;     /* "cpu", "cuda:0" */
  int64_t memory_bytes; /* in all */
  const tn_device_table *table;
  void *context; /* the device's own */
};

struct tn_stream {
  tn_device *device;
  tn_pool *pool; /* CPU: the threads that kernels may use; NULL: the caller alone */
  void *handle;  /* CUDA: the cudaStream_t */
};

tn_device *tn_device_cpu(void); /* static, never freed; its buffers have device == NULL */

TN_NODISCARD tn_status tn_stream_open(tn_device *device, tn_pool *pool, tn_stream **out,
                                      tn_error *err); /* pool must outlive the stream */
void tn_stream_close(tn_stream *stream);
TN_NODISCARD tn_status tn_stream_synchronize(tn_stream *stream, tn_error *err);
/* Zeroed.  On the CPU a large one asks for huge pages, which read up to a fifth faster. */
TN_NODISCARD tn_status tn_device_buffer_new(tn_device *device, tn_buffer **out, size_t bytes,
                                            tn_error *err);
/* CPU streams: `bytes` of 64-byte aligned room for the kernel that runs now, kept by the stream
 * (nobody frees it) and overwritten by the next kernel that asks.  Not zeroed. */
TN_NODISCARD tn_status tn_stream_scratch(tn_stream *stream, size_t bytes, void **out,
                                         tn_error *err);

#endif
