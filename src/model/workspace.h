/* workspace.h - many tensors in one buffer, sized once.  Private to model/.
 *
 * tn_workspace_add notes a tensor and its place; tn_workspace_allocate makes the buffer and puts it
 * into all of them.  Failures in between are kept and reported by allocate, so that a list of adds
 * needs one check. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WORKSPACE_H
#define TN_MODEL_WORKSPACE_H
#include "tensor/device.h"
#include "tensor/tensor.h"

typedef struct tn_workspace { /* all zero is a valid empty workspace */
  tn_buffer *buffer;
  int64_t bytes;
  tn_tensor **tensors; /* until allocate */
  size_t count, capacity;
  bool overflow, no_memory;
} tn_workspace;

/* Contiguous, at a multiple of 64 bytes.  `t` must stay where it is until allocate. */
void tn_workspace_add(tn_workspace *w, tn_tensor *t, tn_dtype dtype, int32_t rank,
                      const int64_t *shape);
TN_NODISCARD tn_status tn_workspace_allocate(tn_workspace *w, tn_device *device, const char *what,
                                             tn_error *err);
void tn_workspace_clear(tn_workspace *w);

/* Between a tensor and host memory, through the stream; from_device waits for it. */
TN_NODISCARD tn_status tn_to_device(tn_stream *stream, const tn_tensor *dst, const void *src,
                                    int64_t count, tn_error *err);
TN_NODISCARD tn_status tn_from_device(tn_stream *stream, void *dst, const tn_tensor *src,
                                      int64_t count, tn_error *err);

#endif
