/* arrow.h - the in-memory form of every table: the Arrow C Data and C Stream Interface.
 *
 * The three structs below are the ABI of https://arrow.apache.org/docs/format/CDataInterface.html,
 * field for field, so a batch can be handed to pyarrow, DuckDB or any other Arrow library by
 * pointer.  Any reader of this room is an ArrowArrayStream of record batches (struct arrays); any
 * writer takes one.  No second in-memory table exists.
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

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE           2
#define ARROW_FLAG_MAP_KEYS_SORTED    4
struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};
#endif
typedef struct ArrowSchema ArrowSchema;
typedef struct ArrowArray ArrowArray;
typedef struct ArrowArrayStream ArrowArrayStream;

/* The types this room reads and writes so far: flat columns.  Nested ones are a later step; their
 * place is a new row here and a new case in each reader and writer. */
#define TN_COLUMN_TYPE_LIST(X)                                           \
  /* id, Arrow format, name for people, bits of a value (0: variable) */ \
  X(TN_COLUMN_BOOL, "b", "bool", 1)                                      \
  X(TN_COLUMN_INT8, "c", "int8", 8)                                      \
  X(TN_COLUMN_UINT8, "C", "uint8", 8)                                    \
  X(TN_COLUMN_INT16, "s", "int16", 16)                                   \
  X(TN_COLUMN_UINT16, "S", "uint16", 16)                                 \
  X(TN_COLUMN_INT32, "i", "int32", 32)                                   \
  X(TN_COLUMN_UINT32, "I", "uint32", 32)                                 \
  X(TN_COLUMN_INT64, "l", "int64", 64)                                   \
  X(TN_COLUMN_UINT64, "L", "uint64", 64)                                 \
  X(TN_COLUMN_FLOAT, "f", "float", 32)                                   \
  X(TN_COLUMN_DOUBLE, "g", "double", 64)                                 \
  X(TN_COLUMN_STRING, "u", "string", 0)                                  \
  X(TN_COLUMN_BINARY, "z", "binary", 0)                                  \
  X(TN_COLUMN_DATE32, "tdD", "date32[day]", 32)                          \
  X(TN_COLUMN_TIMESTAMP_MS, "tsm:", "timestamp[ms]", 64)                 \
  X(TN_COLUMN_TIMESTAMP_US, "tsu:", "timestamp[us]", 64)                 \
  X(TN_COLUMN_TIMESTAMP_NS, "tsn:", "timestamp[ns]", 64)                 \
  X(TN_COLUMN_TIMESTAMP_US_UTC, "tsu:UTC", "timestamp[us, UTC]", 64)

typedef enum tn_column_type {
#define X(id, format, name, bits) id,
  TN_COLUMN_TYPE_LIST(X)
#undef X
      TN_COLUMN_TYPE_COUNT
} tn_column_type;

const char *tn_column_type_name(tn_column_type type);   /* "int64" */
const char *tn_column_type_format(tn_column_type type); /* "l" */
int32_t tn_column_type_bits(tn_column_type type);       /* 64; 0 for string and binary */
/* TN_ERR_UNSUPPORTED names the format and the column. */
TN_NODISCARD tn_status tn_column_type_of(const ArrowSchema *field, tn_column_type *out,
                                         tn_error *err);

/* ---- schemas --------------------------------------------------------------------------------- */
/* A record-batch schema ("+s") with `count` flat nullable fields. */
TN_NODISCARD tn_status tn_schema_new(ArrowSchema *out, const char *const *names,
                                     const tn_column_type *types, int64_t count, tn_error *err);
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
/* A flat array over existing buffers, without a copy.  buffers[0] validity (NULL: no nulls),
 * buffers[1] values or int32 offsets, buffers[2] string bytes; each is shared (+1) and dropped on
 * release.  Unused entries NULL. */
TN_NODISCARD tn_status tn_array_wrap(ArrowArray *out, tn_column_type type, int64_t length,
                                     int64_t null_count, tn_buffer *const buffers[3],
                                     tn_error *err);
/* A record batch that takes over `count` child arrays (moves them; theirs become released). */
TN_NODISCARD tn_status tn_batch_new(ArrowArray *out, ArrowArray *children, int64_t count,
                                    int64_t rows, tn_error *err);

/* ---- reading values (generic and slow; hot loops go to the buffers themselves) ------------------
 */
static inline int tn_array_is_null(const ArrowArray *a, int64_t row) {
  const uint8_t *valid = a->n_buffers > 0 ? (const uint8_t *)a->buffers[0] : 0;
  int64_t i = a->offset + row;
  return valid ? !((valid[i >> 3] >> (i & 7)) & 1) : 0;
}
int64_t tn_array_null_count(const ArrowArray *a);      /* counts when the array says -1 */
tn_str tn_array_str(const ArrowArray *a, int64_t row); /* string and binary */
int64_t tn_array_i64(const ArrowArray *a, tn_column_type type, int64_t row);
double tn_array_f64(const ArrowArray *a, tn_column_type type, int64_t row);
/* Text of any value as CSV shows it ("" for null): the shortest number that reads back the same,
 * ISO dates and times ("2024-02-29T12:30:00.250", fraction of 3, 6 or 9 digits, "Z" for UTC). */
void tn_array_text(const ArrowArray *a, tn_column_type type, int64_t row, tn_strbuf *out);

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
