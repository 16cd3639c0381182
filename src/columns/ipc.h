/* ipc.h - the Arrow IPC file format
 * (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format).
 *
 *     "ARROW1\0\0" | schema message | batch message, body ... | footer | int32 footer size |
 * "ARROW1"
 *
 * Written uncompressed with every buffer aligned to 64 bytes, so that a reader over a mapped file
 * hands out views, no copies: this is the form of token shards.
 *
 * Thread: one a writer; a reader's batches may be fetched from any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_H
#define TN_COLUMNS_IPC_H
#include "base/io.h"
#include "columns/arrow.h"

typedef struct tn_ipc_writer tn_ipc_writer;
/* Borrows `sink`.  metadata: key, value, key, value ... (schema-level), or NULL; metadata_count
 * counts the strings.  They join what the schema itself carries and win over it.  Nested and
 * dictionary columns are TN_ERR_UNSUPPORTED, naming column and type. */
TN_NODISCARD tn_status tn_ipc_writer_new(tn_ipc_writer **out, tn_sink *sink,
                                         const ArrowSchema *schema, const char *const *metadata,
                                         int32_t metadata_count, tn_error *err);
TN_NODISCARD tn_status tn_ipc_writer_batch(tn_ipc_writer *w, const ArrowArray *batch,
                                           tn_error *err);
TN_NODISCARD tn_status tn_ipc_writer_finish(tn_ipc_writer *w, tn_error *err); /* footer */
void tn_ipc_writer_free(tn_ipc_writer *w);

typedef struct tn_ipc_file tn_ipc_file;
/* Takes over `source`, also on failure.  Uncompressed flat columns; anything else is
 * TN_ERR_UNSUPPORTED.  Bounds, offsets of text and null counts are checked; whether text is UTF-8
 * is not. */
TN_NODISCARD tn_status tn_ipc_file_open(tn_ipc_file **out, tn_source *source, tn_error *err);
/* Only these columns, in this order; the others may be of any type (behind a union or a view type
 * nothing can be found).  columns NULL: all. */
TN_NODISCARD tn_status tn_ipc_file_open_columns(tn_ipc_file **out, tn_source *source,
                                                const char *const *columns, int32_t column_count,
                                                tn_error *err);
void tn_ipc_file_close(tn_ipc_file *file);
int64_t tn_ipc_file_batches(const tn_ipc_file *file);
TN_NODISCARD tn_status tn_ipc_file_schema(const tn_ipc_file *file, ArrowSchema *out, tn_error *err);
/* Value of a schema-level metadata key; data NULL when absent.  Lives as long as the file. */
tn_str tn_ipc_file_metadata(const tn_ipc_file *file, const char *key);
/* The batch's buffers are views of the mapped file and stay valid after close (counted). */
TN_NODISCARD tn_status tn_ipc_file_batch(tn_ipc_file *file, int64_t index, ArrowArray *out,
                                         tn_error *err);
/* All batches in order.  Takes over `source`, also on failure. */
TN_NODISCARD tn_status tn_ipc_read(ArrowArrayStream *out, tn_source *source, tn_error *err);
TN_NODISCARD tn_status tn_ipc_read_columns(ArrowArrayStream *out, tn_source *source,
                                           const char *const *columns, int32_t column_count,
                                           tn_error *err);

#endif
