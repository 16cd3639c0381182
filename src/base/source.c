/* SPDX-License-Identifier: Apache-2.0 */
/* tn_source over a local file (mapped where that works, else pread), a pipe, or borrowed memory. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mapped.h"

typedef struct local_source { /* also the memory source: then fd is -1 */
  tn_source base;
  int fd;
  bool owns_fd;
  tn_buffer *whole; /* all bytes as one buffer; NULL: cannot be mapped */
  int64_t position; /* of read, where `whole` serves it */
  char *name;
} local_source;

static void count_read(tn_source *self, size_t bytes) {
  __atomic_fetch_add(&self->bytes_read, (int64_t)bytes, __ATOMIC_RELAXED);
}

static tn_status check_range(const tn_source *self, int64_t offset, size_t bytes, tn_error *err) {
  if (self->size_bytes < 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: a pipe can only be read in order", self->name);
  if (offset >= 0 && offset <= self->size_bytes && bytes <= (uint64_t)(self->size_bytes - offset))
    return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: wants %zu bytes at byte %lld, but it ends at byte %lld",
                 self->name, bytes, (long long)offset, (long long)self->size_bytes);
}

static tn_status read_exactly(local_source *s, int64_t offset, void *dst, size_t bytes,
                              tn_error *err) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(s->fd, (char *)dst + done, bytes - done, offset + (int64_t)done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return tn_fail_errno(err, errno, "%s: cannot read %zu bytes at byte %lld", s->name,
                           bytes - done, (long long)offset + (long long)done);
    if (got == 0)
      return tn_fail(err, TN_ERR_IO, "%s: was cut to %lld bytes while it was being read", s->name,
                     (long long)offset + (long long)done);
    done += (size_t)got;
  }
  return TN_OK;
}

static tn_status local_read_at(tn_source *self, int64_t offset, void *dst, size_t bytes,
                               tn_error *err) {
  local_source *s = (local_source *)self;
  TN_TRY(check_range(self, offset, bytes, err));
  if (s->fd < 0 && bytes) memcpy(dst, (const char *)s->whole->data + offset, bytes);
  if (s->fd >= 0) TN_TRY(read_exactly(s, offset, dst, bytes, err));
  count_read(self, bytes);
  return TN_OK;
}

static tn_status local_view_at(tn_source *self, int64_t offset, size_t bytes, tn_buffer **out,
                               const uint8_t **data, tn_error *err) {
  local_source *s = (local_source *)self;
  TN_TRY(check_range(self, offset, bytes, err));
  if (s->whole) {
    *out = tn_buffer_share(s->whole);
    *data = s->whole->data ? (const uint8_t *)s->whole->data + offset : NULL;
    count_read(self, bytes);
    return TN_OK;
  }
  tn_buffer *copy;
  TN_TRY(tn_buffer_new(&copy, bytes, err));
  tn_status status = local_read_at(self, offset, copy->data, bytes, err);
  if (status != TN_OK) {
    tn_buffer_drop(copy);
    return status;
  }
  *out = copy;
  *data = copy->data;
  return TN_OK;
}

static tn_status file_read(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  local_source *s = (local_source *)self;
  ssize_t n;
  do n = read(s->fd, dst, bytes);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return tn_fail_errno(err, errno, "%s: cannot read %zu bytes at byte %lld", s->name, bytes,
                         (long long)s->position);
  s->position += n;
  *got = (size_t)n;
  count_read(self, *got);
  return TN_OK;
}

static tn_status memory_read(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  local_source *s = (local_source *)self;
  size_t left = (size_t)(self->size_bytes - s->position);
  *got = bytes < left ? bytes : left;
  if (*got) memcpy(dst, (const char *)s->whole->data + s->position, *got);
  s->position += (int64_t)*got;
  count_read(self, *got);
  return TN_OK;
}

static void local_close(tn_source *self) {
  local_source *s = (local_source *)self;
  tn_buffer_drop(s->whole);
  if (s->owns_fd) close(s->fd);
  tn_free(s->name);
  tn_free(s);
}

static tn_status new_source(local_source **out, const char *name, tn_error *err) {
  local_source *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a source", sizeof *s);
  s->fd = -1;
  s->name = tn_strndup(name, strlen(name));
  if (!s->name) {
    tn_free(s);
    return tn_fail_memory(err, "the name of a source", strlen(name) + 1);
  }
  s->base = (tn_source){.name = s->name,
                        .size_bytes = -1,
                        .read_at = local_read_at,
                        .view_at = local_view_at,
                        .read = file_read,
                        .close = local_close};
  *out = s;
  return TN_OK;
}

static void unmap(tn_buffer *buffer) {
  tn_mapped_forget(buffer->data);
  munmap(buffer->data, buffer->bytes);
}

/* A file that cannot be mapped is no error: views are then copies. */
static tn_status try_map(local_source *s, tn_error *err) {
  size_t bytes = (size_t)s->base.size_bytes;
  if (bytes == 0) return TN_OK;
  void *data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, s->fd, 0);
  if (data == MAP_FAILED) return TN_OK;
  tn_status status = tn_buffer_wrap(&s->whole, data, bytes, NULL, unmap, NULL, err);
  if (status != TN_OK) munmap(data, bytes);
  if (status == TN_OK) tn_mapped_note(data, bytes, s->base.name);
  return status;
}

static tn_status open_descriptor(local_source *s, const char *path, tn_error *err) {
  bool standard_input = strcmp(path, "-") == 0;
  s->fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (s->fd < 0) return tn_fail_errno(err, errno, "%s: cannot open", path);
  s->owns_fd = !standard_input;
  struct stat info;
  if (fstat(s->fd, &info) != 0) return tn_fail_errno(err, errno, "%s: cannot read its size", path);
  if (S_ISDIR(info.st_mode)) return tn_fail_errno(err, EISDIR, "%s: cannot read", path);
  if (standard_input || !S_ISREG(info.st_mode)) return TN_OK;
  s->base.size_bytes = info.st_size;
  return try_map(s, err);
}

tn_status tn_source_open_file(tn_source **out, const char *path, tn_error *err) {
  local_source *s = NULL;
  TN_TRY(new_source(&s, strcmp(path, "-") == 0 ? "standard input" : path, err));
  tn_status status = open_descriptor(s, path, err);
  if (status != TN_OK) {
    local_close(&s->base);
    return status;
  }
  *out = &s->base;
  return TN_OK;
}

tn_status tn_source_open_memory(tn_source **out, const char *name, const void *bytes, size_t count,
                                tn_error *err) {
  local_source *s = NULL;
  TN_TRY(new_source(&s, name, err));
  /* The buffer is only ever read; tn_buffer has no const twin. */
  tn_status status =
      tn_buffer_wrap(&s->whole, (void *)(uintptr_t)bytes, count, NULL, NULL, NULL, err);
  if (status != TN_OK) {
    local_close(&s->base);
    return status;
  }
  s->base.size_bytes = (int64_t)count;
  s->base.read = memory_read;
  *out = &s->base;
  return TN_OK;
}

void tn_source_close(tn_source *source) {
  if (source) source->close(source);
}
