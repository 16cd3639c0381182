/* SPDX-License-Identifier: Apache-2.0 */
#include "model/workspace.h"

#include "base/mem.h"

enum { PLACE_BYTES = 64 };

void tn_workspace_add(tn_workspace *w, tn_tensor *t, tn_dtype dtype, int32_t rank,
                      const int64_t *shape) {
  int64_t bytes = tn_dtype_bytes(dtype), stride = 1, padded, end;
  *t = (tn_tensor){.offset_bytes = w->bytes, .dtype = dtype, .rank = rank};
  for (int32_t d = rank - 1; d >= 0; d--) {
    t->shape[d] = shape[d];
    t->strides[d] = stride;
    w->overflow |= __builtin_mul_overflow(stride, shape[d], &stride);
    w->overflow |= __builtin_mul_overflow(bytes, shape[d], &bytes);
  }
  w->overflow |= __builtin_add_overflow(bytes, PLACE_BYTES - 1, &padded);
  padded &= ~(int64_t)(PLACE_BYTES - 1);
  w->overflow |= __builtin_add_overflow(w->bytes, padded, &end);
  if (w->overflow) return;
  if (tn_grow((void **)&w->tensors, &w->capacity, w->count + 1, sizeof *w->tensors, NULL) !=
      TN_OK) {
    w->no_memory = true;
    return;
  }
  w->bytes = end;
  w->tensors[w->count++] = t;
}

static tn_status allocate(tn_workspace *w, tn_device *device, const char *what, tn_error *err) {
  if (w->overflow) return tn_fail(err, TN_ERR_LIMIT, "%s: its size overflows 63 bits", what);
  if (w->no_memory) return tn_fail_memory(err, what, w->capacity * sizeof *w->tensors);
  tn_status status = tn_device_buffer_new(device, &w->buffer, (size_t)w->bytes, err);
  if (status != TN_OK) return tn_error_context(err, status, "%s", what);
  for (size_t i = 0; i < w->count; i++) w->tensors[i]->buffer = w->buffer;
  return TN_OK;
}

tn_status tn_workspace_allocate(tn_workspace *w, tn_device *device, const char *what,
                                tn_error *err) {
  tn_status status = allocate(w, device, what, err);
  tn_free(w->tensors);
  w->tensors = NULL;
  w->count = w->capacity = 0;
  return status;
}

void tn_workspace_clear(tn_workspace *w) {
  tn_free(w->tensors);
  tn_buffer_drop(w->buffer);
  *w = (tn_workspace){0};
}

tn_status tn_to_device(tn_stream *stream, const tn_tensor *dst, const void *src, int64_t count,
                       tn_error *err) {
  size_t bytes = (size_t)tn_dtype_bytes_of(dst->dtype, count);
  tn_buffer host = {.data = (void *)src, .bytes = bytes, .refs = 1}; /* only read from */
  return stream->device->table->copy(stream, dst->buffer, (size_t)dst->offset_bytes, &host, 0,
                                     bytes, err);
}

tn_status tn_from_device(tn_stream *stream, void *dst, const tn_tensor *src, int64_t count,
                         tn_error *err) {
  size_t bytes = (size_t)tn_dtype_bytes_of(src->dtype, count);
  tn_buffer host = {.data = dst, .bytes = bytes, .refs = 1};
  TN_TRY(stream->device->table->copy(stream, &host, 0, src->buffer, (size_t)src->offset_bytes,
                                     bytes, err));
  return tn_stream_synchronize(stream, err);
}
