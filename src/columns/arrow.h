/* arrow.h - the in-memory form of every table: the Arrow C Data and C Stream Interface.
 *
 * The three structs of tenon/columns.h are the ABI of
 * https://arrow.apache.org/docs/format/CDataInterface.html, field for field, so a batch can be
 * handed to pyarrow, DuckDB or any other Arrow library by pointer.  Any reader of this room is an
 * ArrowArrayStream of record batches (struct arrays); any writer takes one.  No second in-memory
 * table exists.
 *
 * Ownership is Arrow's: whoever holds a struct calls its release once; release == NULL means
 * released or moved away.  Thread: a stream belongs to one thread at a time; arrays are immutable.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_ARROW_H
#define TN_COLUMNS_ARROW_H
#include "base/buffer.h"
#include "base/mem.h"
#include "base/str.h"
#include "tenon/columns.h" /* the structs */

typedef struct ArrowSchema ArrowSchema;
typedef struct ArrowArray ArrowArray;
typedef struct ArrowArrayStream ArrowArrayStream;

/* ---- schemas --------------------------------------------------------------------------------- */
TN_NODISCARD tn_status tn_schema_copy(ArrowSchema *out, const ArrowSchema *from, tn_error *err);
/* Replaces the metadata of a schema that this room made (NULL: none).  The bytes, of the C Data
 * Interface's own encoding (int32 pairs; then int32 length and bytes of each key and value), are
 * copied. */
TN_NODISCARD tn_status tn_schema_set_metadata(ArrowSchema *schema, const char *metadata,
                                              tn_error *err);
int64_t tn_metadata_bytes(const char *metadata); /* size of such an encoding; NULL: 0 */
/* The text at *at (begin with 4: behind the number of pairs); moves *at behind it. */
tn_str tn_metadata_next(const char *metadata, int64_t *at);
int64_t tn_schema_find(const ArrowSchema *schema, const char *name); /* child index, -1: none */
void tn_schema_clear(ArrowSchema *schema); /* release if held; NULL and released are fine */
void tn_array_clear(ArrowArray *array);
void tn_stream_clear(ArrowArrayStream *stream);

/* ---- arrays (builder.h makes them value by value, array.h any) ----------------------------------
 */
/* A record batch that takes over `count` child arrays (moves them; theirs become released).  One of
 * another length is TN_ERR_ARGUMENT, and all are still the caller's then. */
TN_NODISCARD tn_status tn_batch_new(ArrowArray *out, ArrowArray *children, int64_t count,
                                    int64_t rows, tn_error *err);

/* Of a layout with a validity bitmap: not of null, union and run-end arrays, and of a dictionary's
 * indices only (columns/value.h sees through all of them). */
static inline int tn_array_is_null(const ArrowArray *a, int64_t row) {
  const uint8_t *valid = a->n_buffers > 0 ? (const uint8_t *)a->buffers[0] : 0;
  int64_t i = a->offset + row;
  return valid ? !((valid[i >> 3] >> (i & 7)) & 1) : 0;
}
int64_t tn_array_null_count(const ArrowArray *a); /* counts when the array says -1 */

/* ---- streams ----------------------------------------------------------------------------------
 */
/* What a reader implements; tn_stream_new wraps it as an ArrowArrayStream and keeps the last error
 * text.  next: TN_END after the last batch.  `free` is called by the stream's release, and by
 * tn_stream_new itself when it fails. */
typedef struct tn_reader_ops {
  tn_status (*schema)(void *reader, ArrowSchema *out, tn_error *err);
  tn_status (*next)(void *reader, ArrowArray *out, tn_error *err);
  void (*free)(void *reader);
} tn_reader_ops;
TN_NODISCARD tn_status tn_stream_new(ArrowArrayStream *out, const tn_reader_ops *ops, void *reader,
                                     tn_error *err);
/* The other direction: calls a foreign or own stream with tn_status and tn_error.  The status of an
 * own stream comes through unchanged; a foreign errno becomes the nearest status. */
TN_NODISCARD tn_status tn_stream_schema(ArrowArrayStream *s, ArrowSchema *out, tn_error *err);
TN_NODISCARD tn_status tn_stream_next(ArrowArrayStream *s, ArrowArray *out, tn_error *err);

#endif
