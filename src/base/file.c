/* SPDX-License-Identifier: Apache-2.0 */
/* tn_file_* and tn_dir_*: whole small files, and directories. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

enum { READ_STEP_BYTES = 64 << 10 };
static const size_t file_limit_default = (size_t)1 << 30;

static tn_status over_limit(const char *path, size_t limit_bytes, tn_error *err) {
  return tn_fail(err, TN_ERR_LIMIT, "%s: is larger than the limit of %zu bytes", path, limit_bytes);
}

/* Reads one byte more than the limit at most, so that exactly the limit is still fine. */
static tn_status read_rest(tn_source *source, const char *path, size_t limit_bytes, tn_strbuf *out,
                           tn_error *err) {
  char *step = tn_alloc(READ_STEP_BYTES, 1);
  if (!step) return tn_fail_memory(err, "reading a file", READ_STEP_BYTES);
  tn_status status = TN_OK;
  for (size_t got = 1; status == TN_OK && got;) {
    status = source->read(source, step, READ_STEP_BYTES, &got, err);
    if (status != TN_OK) break;
    tn_strbuf_append(out, step, got);
    status =
        out->length > limit_bytes ? over_limit(path, limit_bytes, err) : tn_strbuf_check(out, err);
  }
  tn_free(step);
  return status;
}

tn_status tn_file_read(const char *path, size_t limit_bytes, tn_strbuf *out, tn_error *err) {
  if (limit_bytes == 0) limit_bytes = file_limit_default;
  tn_strbuf_reset(out);
  tn_source *source;
  TN_TRY(tn_source_open_file(&source, path, err));
  tn_status status = TN_OK;
  if (source->size_bytes > 0 && (uint64_t)source->size_bytes > limit_bytes)
    status = over_limit(path, limit_bytes, err);
  else
    status = read_rest(source, path, limit_bytes, out, err);
  tn_source_close(source);
  return status;
}

tn_status tn_file_write_atomic(const char *path, tn_str content, tn_error *err) {
  tn_sink *sink;
  TN_TRY(tn_sink_open_file(&sink, path, err));
  tn_status status = tn_sink_write(sink, content.data, content.length, err);
  if (status == TN_OK) status = tn_sink_commit(sink, err);
  tn_sink_close(sink);
  return status;
}

bool tn_file_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

bool tn_dir_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static tn_status make_one(const char *path, tn_error *err) {
  if (mkdir(path, 0777) == 0) return TN_OK;
  int reason = errno;
  if (reason == EEXIST && tn_dir_exists(path)) return TN_OK;
  return tn_fail_errno(err, reason, "%s: cannot make the directory", path);
}

tn_status tn_dir_make(const char *path, tn_error *err) {
  size_t length = strlen(path);
  char *part = tn_strndup(path, length);
  if (!part) return tn_fail_memory(err, "a path", length + 1);
  tn_status status = TN_OK;
  for (size_t i = 1; i < length && status == TN_OK; i++) {
    if (part[i] != '/' || part[i - 1] == '/') continue;
    part[i] = '\0';
    status = make_one(part, err);
    part[i] = '/';
  }
  if (status == TN_OK) status = make_one(path, err);
  tn_free(part);
  return status;
}

/* The first folder of the path that is not there. */
static void first_missing(const char *path, tn_strbuf *out) {
  size_t length = strlen(path);
  for (size_t i = 1; i <= length; i++) {
    if (i < length && (path[i] != '/' || path[i - 1] == '/')) continue;
    tn_strbuf_reset(out);
    tn_strbuf_append(out, path, i);
    struct stat info;
    if (out->failed || lstat(out->data, &info) != 0) return;
  }
  tn_strbuf_reset(out);
}

tn_status tn_dir_make_new(const char *path, tn_strbuf *made, tn_error *err) {
  tn_strbuf_reset(made);
  first_missing(path, made);
  TN_TRY(tn_strbuf_check(made, err));
  return tn_dir_make(path, err);
}

void tn_dir_unmake(const char *path, const tn_strbuf *made) {
  size_t length = strlen(path);
  char *part = made->length > 0 ? tn_strndup(path, length) : NULL;
  while (part && length >= made->length) {
    part[length] = '\0';
    if (rmdir(part) != 0 && errno != ENOENT) break;
    while (length > 0 && part[length - 1] != '/') length--;
    while (length > 0 && part[length - 1] == '/') length--;
  }
  tn_free(part);
}

/* fts walks without recursion and never follows a symbolic link out of the tree. */
static tn_status remove_entry(const FTSENT *entry, tn_error *err) {
  switch (entry->fts_info) {
    case FTS_D: /* before its content */
      return TN_OK;
    case FTS_NS:
    case FTS_DNR:
    case FTS_ERR:
      return tn_fail_errno(err, entry->fts_errno, "%s: cannot remove", entry->fts_path);
    default:
      if (remove(entry->fts_accpath) == 0 || errno == ENOENT) return TN_OK;
      return tn_fail_errno(err, errno, "%s: cannot remove", entry->fts_path);
  }
}

tn_status tn_dir_remove(const char *path, tn_error *err) {
  char *roots[] = {tn_strndup(path, strlen(path)), NULL};
  if (!roots[0]) return tn_fail_memory(err, "a path", strlen(path) + 1);
  FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  tn_status status = TN_OK;
  if (!tree) status = tn_fail_errno(err, errno, "%s: cannot list", path);
  while (tree && status == TN_OK) {
    errno = 0;
    FTSENT *entry = fts_read(tree);
    if (!entry) {
      if (errno) status = tn_fail_errno(err, errno, "%s: cannot list", path);
      break;
    }
    status = remove_entry(entry, err);
  }
  if (tree) fts_close(tree);
  tn_free(roots[0]);
  return status;
}

tn_status tn_dir_sync(const char *path, tn_error *err) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return tn_fail_errno(err, errno, "%s: cannot open the directory", path);
  /* Some file systems cannot sync a directory and say EINVAL. */
  int reason = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
  close(fd);
  if (reason) return tn_fail_errno(err, reason, "%s: cannot make the directory durable", path);
  return TN_OK;
}
