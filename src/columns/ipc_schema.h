/* ipc_schema.h - a schema with what IPC adds to it: dictionary ids, and how many nodes and buffers
 * each field takes in a batch's metadata.
 *
 *     ArrowSchema --> tn_field tree --> tn_ipc_node tree
 *                                         `-- dictionaries: one entry an id, with its values' node
 *
 * Several fields may share one dictionary id; their values then are of one type (checked).
 *
 * Thread: immutable once made. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_SCHEMA_H
#define TN_COLUMNS_IPC_SCHEMA_H
#include "columns/flatbuf.h"
#include "columns/schema.h"

typedef struct tn_ipc_node tn_ipc_node;
struct tn_ipc_node {
  const tn_field *field; /* with a dictionary: of the indices */
  tn_ipc_node *children; /* field->child_count */
  tn_ipc_node *values;   /* of the dictionary; NULL: none */
  int32_t dictionary;    /* its place in the table; -1: none */
  bool inner;            /* somewhere below there is a dictionary */
  /* What this field and all below it take in a batch, dictionaries apart: entries in the list of
   * nodes, of buffers (without the data buffers of views), of numbers of such; and unions, which
   * had one buffer more before V5. */
  uint32_t nodes, buffers, views, unions;
};

typedef struct tn_ipc_dictionary_type {
  int64_t id;
  const tn_ipc_node *values;
} tn_ipc_dictionary_type;

typedef struct tn_ipc_schema {
  ArrowSchema schema;
  tn_arena arena;    /* of all below */
  tn_ipc_node *root; /* a STRUCT: its children are the columns */
  tn_ipc_dictionary_type *dictionaries;
  int32_t dictionary_count;
  bool big_endian;
} tn_ipc_schema;

/* From a Schema table.  Errors name the column; the caller adds the file. */
TN_NODISCARD tn_status tn_ipc_schema_read(tn_ipc_schema *out, const tn_flat_table *table,
                                          tn_error *err);
/* For writing: a copy of `schema`, dictionaries numbered from 0 in the order of the fields. */
TN_NODISCARD tn_status tn_ipc_schema_copy(tn_ipc_schema *out, const ArrowSchema *schema,
                                          tn_error *err);
/* Moves *schema in (also on failure) and builds the trees; ids in the order of the fields, NULL:
 * 0, 1, 2 ... */
TN_NODISCARD tn_status tn_ipc_schema_take(tn_ipc_schema *out, ArrowSchema *schema,
                                          const int64_t *ids, tn_error *err);
/* Places of the columns called names[0..count), in that order, and a schema of those alone; names
 * NULL: all.  TN_ERR_NOT_FOUND names the column.  The caller frees *picks and clears *picked. */
TN_NODISCARD tn_status tn_ipc_schema_pick(const tn_ipc_schema *schema, const char *const *names,
                                          int32_t count, int32_t **picks, int32_t *pick_count,
                                          ArrowSchema *picked, tn_error *err);
void tn_ipc_schema_clear(tn_ipc_schema *schema); /* all zero is fine */

/* Adds a Schema table; returns its position.  `metadata` replaces that of the schema itself and is
 * in the C Data Interface's encoding (NULL: none). */
size_t tn_ipc_schema_write(tn_strbuf *b, const tn_ipc_schema *schema, const char *metadata);
/* Adds a vector of KeyValue; a NULL `metadata` is none at all: do not point at it. */
size_t tn_ipc_metadata_write(tn_strbuf *b, const char *metadata);
/* A vector of KeyValue to the C Data Interface's encoding, appended to *out; nothing when it is
 * absent or empty.  What does not fit sets the view's `bad`. */
void tn_ipc_metadata_read(const tn_flat_table *t, int32_t slot, tn_strbuf *out);

#endif
