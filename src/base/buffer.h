/* buffer.h - reference-counted bytes with an owner.
 *
 * Everything large is a view into a tn_buffer: a mapped file, a decoded column, weights, KV blocks.
 * The last tn_buffer_drop calls the owner's release function, exactly once.  `data` and `bytes`
 * never change during a buffer's life.  A buffer with a device other than NULL holds that device's
 * memory: `data` is then an address the host must not touch.
 *
 * Thread: share and drop from any thread (atomic count). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_BUFFER_H
#define TN_BASE_BUFFER_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tn_device; /* tensor/device.h; base only carries the pointer */

typedef struct tn_buffer {
  void *data;
  size_t bytes;
  struct tn_device *device;                /* NULL: host memory */
  int32_t refs;                            /* private; touched only by share and drop */
  void (*release)(struct tn_buffer *self); /* private; frees data, not the struct */
  void *owner;                             /* private; what release needs */
} tn_buffer;

/* Zeroed host memory, 64-byte aligned. */
TN_NODISCARD tn_status tn_buffer_new(tn_buffer **out, size_t bytes, tn_error *err);
/* Takes over foreign bytes; release(self) is called once by the last drop (NULL: nothing to do).
 * After a failure the bytes are still the caller's. */
TN_NODISCARD tn_status tn_buffer_wrap(tn_buffer **out, void *data, size_t bytes,
                                      struct tn_device *device, void (*release)(tn_buffer *),
                                      void *owner, tn_error *err);
/* Maps a whole file read-only.  Needs no write permission.  An empty file gives zero bytes. */
TN_NODISCARD tn_status tn_buffer_map(tn_buffer **out, const char *path, tn_error *err);

tn_buffer *tn_buffer_share(tn_buffer *buffer); /* one more reference; returns its argument */
void tn_buffer_drop(tn_buffer *buffer);        /* NULL is fine */

#endif
