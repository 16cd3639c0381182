/* ipc_format.h - the tables of Arrow's Schema.fbs, Message.fbs and File.fbs that flat columns use.
 *
 * Numbers are the field slots and enum values of those files (https://github.com/apache/arrow,
 * format/).  Both directions of a schema live here, so that they stay each other's mirror. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_FORMAT_H
#define TN_COLUMNS_IPC_FORMAT_H
#include "columns/arrow.h"
#include "columns/flatbuf.h"

#define TN_IPC_MAGIC "ARROW1"
enum { TN_IPC_MAGIC_BYTES = 6, TN_IPC_ALIGN = 64 };
enum { TN_IPC_VERSION_4 = 3, TN_IPC_VERSION_5 = 4 };

enum { TN_IPC_HEADER_SCHEMA = 1, TN_IPC_HEADER_DICTIONARY = 2, TN_IPC_HEADER_BATCH = 3 };
enum {
  TN_IPC_MESSAGE_VERSION,
  TN_IPC_MESSAGE_HEADER_TYPE,
  TN_IPC_MESSAGE_HEADER,
  TN_IPC_MESSAGE_BODY_BYTES
};
enum {
  TN_IPC_BATCH_ROWS,
  TN_IPC_BATCH_NODES,   /* struct {int64 rows, nulls} */
  TN_IPC_BATCH_BUFFERS, /* struct {int64 offset, bytes} */
  TN_IPC_BATCH_COMPRESSION
};
enum {
  TN_IPC_FOOTER_VERSION,
  TN_IPC_FOOTER_SCHEMA,
  TN_IPC_FOOTER_DICTIONARIES,
  TN_IPC_FOOTER_BATCHES /* struct {int64 offset, int32 metadata bytes, padding, int64 body bytes} */
};
enum { TN_IPC_BLOCK_BYTES = 24, TN_IPC_PAIR_BYTES = 16 };

/* Adds a Schema table; returns its position.  `metadata` replaces that of the schema itself and is
 * in the C Data Interface's encoding (NULL: none). */
size_t tn_ipc_add_schema(tn_strbuf *b, const ArrowSchema *schema, const tn_column_type *types,
                         const char *metadata);
/* Where a column lies in every batch: its node and its first buffer. */
typedef struct tn_ipc_column {
  tn_column_type type;
  uint32_t node, place;
} tn_ipc_column;

typedef struct tn_ipc_layout {
  tn_ipc_column *columns; /* one a field of the schema; tn_free */
  uint32_t nodes, places; /* of a whole batch, */
  bool whole;             /* when all its types are known */
} tn_ipc_layout;

/* The other way: the fields called names[0..count) in that order, or all (names NULL).  The others
 * only have to be of a type whose buffers can be counted.  TN_ERR_UNSUPPORTED names column and
 * type. */
TN_NODISCARD tn_status tn_ipc_parse_schema(const tn_flat_table *table, const char *const *names,
                                           int32_t count, ArrowSchema *out, tn_ipc_layout *layout,
                                           tn_error *err);

#endif
