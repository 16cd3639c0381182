/* io.h - where bytes come from and where they go.
 *
 * A tn_source is a named run of bytes with ranged reads: a local file now, an S3 object or memory
 * behind the same three calls.  A tn_sink takes bytes in order and shows them under their final
 * name only on commit: a local sink writes a temporary file beside it, then fsync and rename, so
 * that a crash or Ctrl-C never leaves half a file under the final name. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_IO_H
#define TN_BASE_IO_H
#include "base/buffer.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct tn_source {
  const char *name;   /* for messages; lives as long as the source */
  int64_t size_bytes; /* -1: not known (a pipe) */
  /* Reads exactly `bytes` at `offset` into dst, or fails naming file and offset.  Any thread. */
  tn_status (*read_at)(struct tn_source *self, int64_t offset, void *dst, size_t bytes,
                       tn_error *err);
  /* A view of the range without a copy when the source can (mapped file, memory), else a fresh
   * buffer.  The caller drops *out; *data points into it. */
  tn_status (*view_at)(struct tn_source *self, int64_t offset, size_t bytes, tn_buffer **out,
                       const uint8_t **data, tn_error *err);
  /* Sequential: up to `bytes` into dst, *got 0 at the end.  For pipes and streaming parsers. */
  tn_status (*read)(struct tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err);
  void (*close)(struct tn_source *self); /* frees self */
  int64_t bytes_read;                    /* total handed out, for "bytes read" reports */
} tn_source;

/* Opens a local file for reading; "-" is standard input (sequential only). */
TN_NODISCARD tn_status tn_source_open_file(tn_source **out, const char *path, tn_error *err);
/* Over borrowed memory; `bytes` must outlive the source. */
TN_NODISCARD tn_status tn_source_open_memory(tn_source **out, const char *name, const void *bytes,
                                             size_t count, tn_error *err);
void tn_source_close(tn_source *source); /* NULL is fine */

typedef struct tn_sink {
  const char *name;
  int64_t bytes_written;
  tn_status (*write)(struct tn_sink *self, const void *bytes, size_t count, tn_error *err);
  tn_status (*commit)(struct tn_sink *self, tn_error *err); /* makes it visible and durable */
  void (*close)(
      struct tn_sink *self); /* frees self; without a commit before, nothing stays behind */
} tn_sink;

/* "-" is standard output (commit only flushes).  A pipe or a device is written in place; a symbolic
 * link stays one, an existing file keeps its mode.  After a failed write only close is of use. */
TN_NODISCARD tn_status tn_sink_open_file(tn_sink **out, const char *path, tn_error *err);
/* Appends to a tn_strbuf that the caller owns. */
TN_NODISCARD tn_status tn_sink_open_memory(tn_sink **out, const char *name, tn_strbuf *into,
                                           tn_error *err);
TN_NODISCARD tn_status tn_sink_write(tn_sink *sink, const void *bytes, size_t count, tn_error *err);
TN_NODISCARD tn_status tn_sink_commit(tn_sink *sink, tn_error *err);
void tn_sink_close(tn_sink *sink); /* NULL is fine */

/* Whole small files; limit_bytes 0: 1 GiB.  Replaces what *out holds; the text is
 * NUL-terminated beyond its length. */
TN_NODISCARD tn_status tn_file_read(const char *path, size_t limit_bytes, tn_strbuf *out,
                                    tn_error *err);
TN_NODISCARD tn_status tn_file_write_atomic(const char *path, tn_str content, tn_error *err);
bool tn_file_exists(const char *path);
bool tn_dir_exists(const char *path);
TN_NODISCARD tn_status tn_dir_make(const char *path,
                                   tn_error *err); /* with parents; exists: TN_OK */
/* As tn_dir_make; *made: the first folder of the path that was not there before, empty when all
 * were.  Set also after a failure, for tn_dir_unmake. */
TN_NODISCARD tn_status tn_dir_make_new(const char *path, tn_strbuf *made, tn_error *err);
/* After a failure: removes path and its parents up to `made`, as far as they are empty. */
void tn_dir_unmake(const char *path, const tn_strbuf *made);
TN_NODISCARD tn_status tn_dir_remove(const char *path, tn_error *err); /* with all inside; links are
                                                                        * not followed */
/* fsync of a directory, so that a rename inside it is durable. */
TN_NODISCARD tn_status tn_dir_sync(const char *path, tn_error *err);

#endif
