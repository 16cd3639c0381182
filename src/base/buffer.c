/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mapped.h"
#include "base/mem.h"

static void release_heap(tn_buffer *self) {
  tn_free(self->data);
}

static void release_map(tn_buffer *self) {
  if (!self->bytes) return;
  tn_mapped_forget(self->data);
  munmap(self->data, self->bytes);
}

tn_status tn_buffer_wrap(tn_buffer **out, void *data, size_t bytes, struct tn_device *device,
                         void (*release)(tn_buffer *), void *owner, tn_error *err) {
  tn_buffer *buffer = tn_alloc(1, sizeof *buffer);
  if (!buffer) return tn_fail_memory(err, "a buffer's header", sizeof *buffer);
  *buffer = (tn_buffer){.data = data,
                        .bytes = bytes,
                        .device = device,
                        .refs = 1,
                        .release = release,
                        .owner = owner};
  *out = buffer;
  return TN_OK;
}

tn_status tn_buffer_new(tn_buffer **out, size_t bytes, tn_error *err) {
  void *data = tn_alloc_aligned(bytes);
  if (!data) return tn_fail_memory(err, "a buffer", bytes);
  tn_status status = tn_buffer_wrap(out, data, bytes, NULL, release_heap, NULL, err);
  if (status != TN_OK) tn_free(data);
  return status;
}

static tn_status map_descriptor(tn_buffer **out, int fd, const char *path, tn_error *err) {
  struct stat info;
  if (fstat(fd, &info) != 0) return tn_fail_errno(err, errno, "%s: cannot read its size", path);
  if (!S_ISREG(info.st_mode))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: not a regular file, cannot be mapped", path);
  size_t bytes = (size_t)info.st_size;
  void *data = NULL;
  if (bytes) {
    data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
      return tn_fail_errno(err, errno, "%s: cannot map %zu bytes", path, bytes);
  }
  tn_status status = tn_buffer_wrap(out, data, bytes, NULL, release_map, NULL, err);
  if (status != TN_OK && bytes) munmap(data, bytes);
  if (status == TN_OK && bytes) tn_mapped_note(data, bytes, path);
  return status;
}

tn_status tn_buffer_map(tn_buffer **out, const char *path, tn_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is refused, not waited for */
  if (fd < 0) return tn_fail_errno(err, errno, "%s: cannot open", path);
  tn_status status = map_descriptor(out, fd, path, err);
  close(fd);
  return status;
}

tn_buffer *tn_buffer_share(tn_buffer *buffer) {
  if (buffer) __atomic_fetch_add(&buffer->refs, 1, __ATOMIC_RELAXED);
  return buffer;
}

void tn_buffer_drop(tn_buffer *buffer) {
  if (!buffer) return;
  int32_t before = __atomic_fetch_sub(&buffer->refs, 1, __ATOMIC_ACQ_REL);
  assert(before > 0);
  if (before != 1) return;
  if (buffer->release) buffer->release(buffer);
  tn_free(buffer);
}
