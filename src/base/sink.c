/* SPDX-License-Identifier: Apache-2.0 */
/* tn_sink into a local file (a file without a name, fsync, a name beside the final one, rename,
 * fsync of the directory), into something that cannot be renamed over (standard output, a pipe, a
 * device), or into memory. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

enum { PENDING_BYTES = 128 << 10, TEMPORARY_TRIES = 100 };

typedef struct file_sink {
  tn_sink base;
  int fd;
  bool owns_fd;
  bool failed; /* sticky: what the file holds is no longer what was written */
  bool committed;
  char *path;      /* final name, symbolic links resolved */
  char *folder;    /* of it */
  char *temporary; /* NULL: written in place, or into a file without a name */
  bool unnamed;    /* until it is whole: a kill leaves nothing behind */
  char *name;      /* as the caller wrote it */
  char *pending;
  size_t pending_count;
  int64_t flushed_bytes;
} file_sink;

static tn_status write_all(file_sink *s, const char *bytes, size_t count, tn_error *err) {
  for (size_t done = 0; done < count;) {
    ssize_t n = write(s->fd, bytes + done, count - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      s->failed = true;
      return tn_fail_errno(err, errno, "%s: cannot write %zu bytes at byte %lld", s->name,
                           count - done, (long long)s->flushed_bytes);
    }
    done += (size_t)n;
    s->flushed_bytes += n;
  }
  return TN_OK;
}

static tn_status flush(file_sink *s, tn_error *err) {
  size_t count = s->pending_count;
  s->pending_count = 0;
  return write_all(s, s->pending, count, err);
}

static tn_status check_open(const file_sink *s, tn_error *err) {
  if (s->failed) return tn_fail(err, TN_ERR_IO, "%s: an earlier write has failed", s->name);
  if (s->committed) return tn_fail(err, TN_ERR_ARGUMENT, "%s: is already committed", s->name);
  return TN_OK;
}

static tn_status file_write(tn_sink *self, const void *bytes, size_t count, tn_error *err) {
  file_sink *s = (file_sink *)self;
  TN_TRY(check_open(s, err));
  if (count > PENDING_BYTES - s->pending_count) TN_TRY(flush(s, err));
  if (count >= PENDING_BYTES) {
    TN_TRY(write_all(s, bytes, count, err));
  } else if (count) {
    memcpy(s->pending + s->pending_count, bytes, count);
    s->pending_count += count;
  }
  self->bytes_written += (int64_t)count;
  return TN_OK;
}

/* Pipes and devices have nothing to sync and say EINVAL or EROFS. */
static tn_status sync_descriptor(file_sink *s, tn_error *err) {
  if (fsync(s->fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP) return TN_OK;
  s->failed = true;
  return tn_fail_errno(err, errno, "%s: cannot make %lld bytes durable", s->name,
                       (long long)s->flushed_bytes);
}

/* NULL: no memory. */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return tn_strndup(".", 1);
  return tn_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* ".name.<pid>-<time>-<count>.tmp" beside the final file: hidden, in the same file system, and
 * unlike that of any other process. */
static char *temporary_name(const char *path) {
  static _Atomic uint32_t serial;
  const char *slash = strrchr(path, '/');
  const char *last = slash ? slash + 1 : path;
  /* Names have at most 255 bytes: a long one is cut. */
  tn_strbuf text = {0};
  tn_strbuf_append(&text, path, (size_t)(last - path));
  tn_strbuf_addf(&text, ".%.190s.%d-%llx-%x.tmp", last, (int)getpid(),
                 (unsigned long long)tn_time_unix_us(), atomic_fetch_add(&serial, 1));
  if (!text.failed) return text.data;
  tn_strbuf_clear(&text);
  return NULL;
}

static tn_status no_temporary_name(const file_sink *s, tn_error *err) {
  return tn_fail_memory(err, "the name of a temporary file", strlen(s->path) + 64);
}

/* What proc calls the open file. */
static void descriptor_path(char path[32], int fd) {
  snprintf(path, 32, "/proc/self/fd/%d", fd);
}

/* A whole file gets a name, so that it can be renamed over another. */
static tn_status name_file(file_sink *s, tn_error *err) {
  char from[32];
  descriptor_path(from, s->fd);
  for (int i = 0; i < TEMPORARY_TRIES; i++) {
    char *name = temporary_name(s->path);
    if (!name) return no_temporary_name(s, err);
    if (linkat(AT_FDCWD, from, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
      s->temporary = name;
      return TN_OK;
    }
    tn_free(name);
    if (errno != EEXIST) break;
  }
  s->failed = true;
  return tn_fail_errno(err, errno, "%s: cannot give the finished file a name", s->name);
}

static tn_status file_commit(tn_sink *self, tn_error *err) {
  file_sink *s = (file_sink *)self;
  TN_TRY(check_open(s, err));
  TN_TRY(flush(s, err));
  if (!s->owns_fd) {
    s->committed = true;
    return TN_OK;
  }
  TN_TRY(sync_descriptor(s, err));
  if (s->unnamed) TN_TRY(name_file(s, err));
  if (s->temporary && rename(s->temporary, s->path) != 0) {
    s->failed = true;
    return tn_fail_errno(err, errno, "%s: cannot rename %s to it", s->name, s->temporary);
  }
  s->committed = true;
  return s->temporary ? tn_dir_sync(s->folder, err) : TN_OK;
}

static void file_close(tn_sink *self) {
  file_sink *s = (file_sink *)self;
  if (s->owns_fd && s->fd >= 0) {
    close(s->fd);
    if (s->temporary && !s->committed) unlink(s->temporary);
  }
  tn_free(s->path);
  tn_free(s->folder);
  tn_free(s->temporary);
  tn_free(s->name);
  tn_free(s->pending);
  tn_free(s);
}

static tn_status cannot_create(const file_sink *s, int reason, tn_error *err) {
  const char *slash = strrchr(s->path, '/');
  if (reason != ENOENT || !slash)
    return tn_fail_errno(err, reason, "%s: cannot create a file beside it", s->name);
  return tn_fail(err, TN_ERR_NOT_FOUND, "%s: the folder %.*s does not exist", s->name,
                 (int)(slash - s->path), s->path);
}

/* A file without a name in the folder of the final one; false where the system has none. */
static bool open_unnamed(file_sink *s, mode_t mode) {
  char there[32];
  s->fd = open(s->folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, mode);
  if (s->fd < 0) return false;
  descriptor_path(there, s->fd);
  s->unnamed = access(there, F_OK) == 0; /* else it could never get one */
  if (!s->unnamed) close(s->fd);
  return s->unnamed;
}

static tn_status open_temporary(file_sink *s, mode_t mode, tn_error *err) {
  if (open_unnamed(s, mode)) return TN_OK;
  for (int i = 0; i < TEMPORARY_TRIES; i++) {
    char *name = temporary_name(s->path);
    if (!name) return no_temporary_name(s, err);
    s->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (s->fd >= 0) {
      s->temporary = name;
      return TN_OK;
    }
    tn_free(name);
    if (errno != EEXIST) break;
  }
  return cannot_create(s, errno, err);
}

/* An existing regular file keeps its mode; what is no regular file cannot be renamed over and is
 * written in place. */
static tn_status open_target(file_sink *s, tn_error *err) {
  s->owns_fd = true;
  struct stat info;
  if (stat(s->path, &info) != 0) return open_temporary(s, 0666, err);
  if (S_ISDIR(info.st_mode)) return tn_fail_errno(err, EISDIR, "%s: cannot write", s->name);
  if (!S_ISREG(info.st_mode)) {
    s->fd = open(s->path, O_WRONLY | O_CLOEXEC);
    if (s->fd < 0) return tn_fail_errno(err, errno, "%s: cannot open for writing", s->name);
    return TN_OK;
  }
  TN_TRY(open_temporary(s, 0600, err));
  if (fchmod(s->fd, info.st_mode & 0777) != 0)
    return tn_fail_errno(err, errno, "%s: cannot keep mode %o", s->name, info.st_mode & 0777u);
  return TN_OK;
}

/* A symbolic link stays one: the file behind it is replaced. */
static char *resolve(const char *path) {
  char real[PATH_MAX];
  const char *final = realpath(path, real) ? real : path;
  return tn_strndup(final, strlen(final));
}

static tn_status set_up(file_sink *s, const char *path, tn_error *err) {
  bool standard_output = strcmp(path, "-") == 0;
  const char *name = standard_output ? "standard output" : path;
  s->fd = -1;
  s->name = tn_strndup(name, strlen(name));
  s->path = resolve(path);
  s->folder = s->path ? folder_of(s->path) : NULL;
  s->pending = tn_alloc(PENDING_BYTES, 1);
  if (!s->name || !s->folder || !s->pending)
    return tn_fail_memory(err, "a sink", PENDING_BYTES + 2 * strlen(path));
  s->base =
      (tn_sink){.name = s->name, .write = file_write, .commit = file_commit, .close = file_close};
  if (!standard_output) return open_target(s, err);
  s->fd = STDOUT_FILENO;
  return TN_OK;
}

tn_status tn_sink_open_file(tn_sink **out, const char *path, tn_error *err) {
  if (path[0] == '\0') return tn_fail(err, TN_ERR_ARGUMENT, "the name of a file to write is empty");
  file_sink *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a sink", sizeof *s);
  tn_status status = set_up(s, path, err);
  if (status != TN_OK) {
    file_close(&s->base);
    return status;
  }
  *out = &s->base;
  return TN_OK;
}

/* ---- memory ---- */

typedef struct memory_sink {
  tn_sink base;
  tn_strbuf *into;
  char *name;
} memory_sink;

static tn_status memory_write(tn_sink *self, const void *bytes, size_t count, tn_error *err) {
  memory_sink *s = (memory_sink *)self;
  tn_strbuf_append(s->into, bytes, count);
  TN_TRY(tn_strbuf_check(s->into, err));
  self->bytes_written += (int64_t)count;
  return TN_OK;
}

static tn_status memory_commit(tn_sink *self, tn_error *err) {
  return tn_strbuf_check(((memory_sink *)self)->into, err);
}

static void memory_close(tn_sink *self) {
  memory_sink *s = (memory_sink *)self;
  tn_free(s->name);
  tn_free(s);
}

tn_status tn_sink_open_memory(tn_sink **out, const char *name, tn_strbuf *into, tn_error *err) {
  memory_sink *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a sink", sizeof *s);
  s->name = tn_strndup(name, strlen(name));
  if (!s->name) {
    tn_free(s);
    return tn_fail_memory(err, "the name of a sink", strlen(name) + 1);
  }
  s->into = into;
  s->base = (tn_sink){
      .name = s->name, .write = memory_write, .commit = memory_commit, .close = memory_close};
  *out = &s->base;
  return TN_OK;
}

tn_status tn_sink_write(tn_sink *sink, const void *bytes, size_t count, tn_error *err) {
  return sink->write(sink, bytes, count, err);
}

tn_status tn_sink_commit(tn_sink *sink, tn_error *err) {
  return sink->commit(sink, err);
}

void tn_sink_close(tn_sink *sink) {
  if (sink) sink->close(sink);
}
