/* ipc.h - Arrow IPC, the stream and the file format
 * (https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc).
 *
 *     stream:  schema message | dictionaries, batches, each with its body ... | end
 *     file:    "ARROW1\0\0" | the same | footer | int32 footer size | "ARROW1"
 *
 * Every type of the columnar format, both directions.  Written in V5, little-endian, every buffer
 * aligned to 64 bytes, so that a reader over a mapped file hands out views, no copies: this is the
 * form of token shards.  Read in V4 and V5, of either byte order, compressed or not.
 *
 * Bytes that are read are not trusted: bounds, offsets, views, type codes, run ends, dictionary
 * indices and null counts are checked; whether text is UTF-8 is not.
 *
 * Thread: one a writer; a file's batches may be fetched from any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_H
#define TN_COLUMNS_IPC_H
#include "base/io.h"
#include "columns/arrow.h"

/* ---- writing ----------------------------------------------------------------------------------
 */
typedef enum tn_ipc_codec { TN_IPC_PLAIN, TN_IPC_LZ4, TN_IPC_ZSTD } tn_ipc_codec;

typedef struct tn_ipc_write_options { /* all zero is the default */
  bool stream;                        /* the stream format instead of the file format */
  tn_ipc_codec codec;                 /* each buffer by itself; a reader cannot map those */
  int32_t level;                      /* of the codec; 0: its fastest usual one */
  /* Key, value, key, value ...; the count is of strings.  `metadata` joins what the schema itself
   * carries and wins over it; `footer_metadata` goes into a file's footer. */
  const char *const *metadata;
  int32_t metadata_count;
  const char *const *footer_metadata;
  int32_t footer_metadata_count;
} tn_ipc_write_options;

typedef struct tn_ipc_writer tn_ipc_writer;
/* Borrows `sink`.  options NULL: the default. */
TN_NODISCARD tn_status tn_ipc_writer_open(tn_ipc_writer **out, tn_sink *sink,
                                          const ArrowSchema *schema,
                                          const tn_ipc_write_options *options, tn_error *err);
/* A file with schema-level metadata (or NULL). */
TN_NODISCARD tn_status tn_ipc_writer_new(tn_ipc_writer **out, tn_sink *sink,
                                         const ArrowSchema *schema, const char *const *metadata,
                                         int32_t metadata_count, tn_error *err);
/* Any valid arrays of the schema, with offsets; what a slice does not show is not written.  A
 * dictionary goes before its first batch; one that extends the last goes as a delta.  Another one
 * takes its place in a stream; in a file, which has one for all batches, the values that are new go
 * as a delta, and what does not fit into one is TN_ERR_UNSUPPORTED
 * (columns/ipc_dictionary_write.h). */
TN_NODISCARD tn_status tn_ipc_writer_batch(tn_ipc_writer *w, const ArrowArray *batch,
                                           tn_error *err);
TN_NODISCARD tn_status tn_ipc_writer_finish(tn_ipc_writer *w, tn_error *err); /* end, footer */
/* Deltas so far of values that hold dictionaries themselves, which pyarrow does not read. */
int64_t tn_ipc_writer_nested_deltas(const tn_ipc_writer *w);
void tn_ipc_writer_free(tn_ipc_writer *w);

/* ---- reading ----------------------------------------------------------------------------------
 */
/* What one batch, or one dictionary, may decompress to. */
#define TN_IPC_BATCH_BYTES_MAX ((int64_t)4 << 30)

typedef struct tn_ipc_read_options { /* all zero is the default */
  const char *const *columns;        /* only these, in this order; NULL: all */
  int32_t column_count;
  int64_t batch_bytes_max; /* 0: TN_IPC_BATCH_BYTES_MAX */
} tn_ipc_read_options;

/* All batches in order, of a file or a stream: its first bytes tell.  A pipe will do.  Takes over
 * `source`, also on failure. */
TN_NODISCARD tn_status tn_ipc_read_with(ArrowArrayStream *out, tn_source *source,
                                        const tn_ipc_read_options *options, tn_error *err);
TN_NODISCARD tn_status tn_ipc_read(ArrowArrayStream *out, tn_source *source, tn_error *err);
TN_NODISCARD tn_status tn_ipc_read_columns(ArrowArrayStream *out, tn_source *source,
                                           const char *const *columns, int32_t column_count,
                                           tn_error *err);

/* A file's batches in any order. */
typedef struct tn_ipc_file tn_ipc_file;
/* Takes over `source`, also on failure. */
TN_NODISCARD tn_status tn_ipc_file_open_with(tn_ipc_file **out, tn_source *source,
                                             const tn_ipc_read_options *options, tn_error *err);
TN_NODISCARD tn_status tn_ipc_file_open(tn_ipc_file **out, tn_source *source, tn_error *err);
TN_NODISCARD tn_status tn_ipc_file_open_columns(tn_ipc_file **out, tn_source *source,
                                                const char *const *columns, int32_t column_count,
                                                tn_error *err);
void tn_ipc_file_close(tn_ipc_file *file);
int64_t tn_ipc_file_batches(const tn_ipc_file *file);
TN_NODISCARD tn_status tn_ipc_file_schema(const tn_ipc_file *file, ArrowSchema *out, tn_error *err);
/* Value of a schema-level metadata key; data NULL when absent.  Lives as long as the file. */
tn_str tn_ipc_file_metadata(const tn_ipc_file *file, const char *key);
/* Pairs of the footer in the C Data Interface's encoding; NULL: none.  Lives as long as the file.
 */
const char *tn_ipc_file_footer_metadata(const tn_ipc_file *file);
/* The batch's buffers are views of the mapped file and stay valid after close (counted). */
TN_NODISCARD tn_status tn_ipc_file_batch(tn_ipc_file *file, int64_t index, ArrowArray *out,
                                         tn_error *err);

#endif
