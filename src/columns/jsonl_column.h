/* jsonl_column.h - where the JSONL parser puts values: a tree of nodes, one for each column and
 * nested column, and for each block a column of growing Arrow buffers beside each node.
 *
 *     node tree (one a reader, immutable)        columns[node.id] (one set a block)
 *     root -- a: I64 -------------------------- values
 *          -- b: STRUCT -- x: TEXT ------------ offsets, bytes
 *          -- c: SKIP                           (none: known, not wanted)
 *
 * A row's values are complete when every column of the root is one longer; tn_jsonl_columns_cut
 * takes an incomplete row, or the earlier value of a repeated key, back.  Thread: nodes any,
 * columns one. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_JSONL_COLUMN_H
#define TN_COLUMNS_JSONL_COLUMN_H
#include "columns/jsonl_shape.h"
#include "columns/type.h"

typedef enum tn_jsonl_kind {
  TN_JSONL_SKIP, /* known, but outside the projection: no column */
  TN_JSONL_NONE, /* the null type */
  TN_JSONL_BOOL,
  TN_JSONL_INT, /* every integer type */
  TN_JSONL_F64,
  TN_JSONL_F32,
  TN_JSONL_DATE,    /* date32 */
  TN_JSONL_TIME,    /* timestamp */
  TN_JSONL_DECIMAL, /* of every width */
  TN_JSONL_TEXT,    /* string: strings unescaped, other scalars as written */
  TN_JSONL_RAW,     /* JSON text of any value */
  TN_JSONL_LIST,
  TN_JSONL_STRUCT,
} tn_jsonl_kind;

typedef struct tn_jsonl_node tn_jsonl_node;
struct tn_jsonl_node {
  tn_jsonl_kind kind;
  int32_t id, position; /* of its column; among its siblings */
  tn_type type;
  bool declared; /* in messages: the declared type, not the inferred one */
  const char *name;
  const tn_jsonl_node *parent;
  tn_jsonl_keys keys; /* STRUCT: of its members, in the order of `members` */
  tn_jsonl_node *members;
  int32_t member_count, wanted; /* wanted: those that are not SKIP */
};

typedef struct tn_jsonl_tree {
  tn_arena arena;
  tn_jsonl_node root;
  int32_t column_count;
  int32_t *order; /* root members in the order of the projection, root.wanted of them */
  int32_t rest;   /* root member that takes unknown keys, -1: none */
} tn_jsonl_tree;

/* Nodes for a record-batch schema; of its top-level columns only those named (NULL: all).
 * TN_ERR_UNSUPPORTED names a column whose type JSON is not read into, TN_ERR_NOT_FOUND an unknown
 * one of `names`.  Errors begin with `source_name`. */
TN_NODISCARD tn_status tn_jsonl_tree_init(tn_jsonl_tree *tree, const ArrowSchema *schema,
                                          bool declared, const char *const *names, int32_t count,
                                          const char *rest_column, const char *source_name,
                                          tn_error *err);
void tn_jsonl_tree_clear(tn_jsonl_tree *tree);
/* "a.b.item" */
void tn_jsonl_node_path(const tn_jsonl_node *node, char *out, size_t room);
/* The schema of the batches: the tree's wanted columns. */
TN_NODISCARD tn_status tn_jsonl_tree_schema(const tn_jsonl_tree *tree, const ArrowSchema *all,
                                            ArrowSchema *out, tn_error *err);

typedef struct tn_jsonl_column {
  int64_t length, capacity, null_count;
  uint8_t *valid; /* NULL: no null so far; bits beyond length are 0 */
  void *values;   /* values, bits (0 beyond length), int32 offsets (offsets[length] is set) */
  uint8_t *bytes; /* of strings */
  int64_t bytes_length, bytes_capacity;
  int64_t row_hint, bytes_hint; /* the last block's size */
} tn_jsonl_column;

/* Room for one more value, and for `bytes` more of text. false: out of memory, or 2 GiB of text. */
bool tn_jsonl_column_grow(tn_jsonl_column *column, const tn_jsonl_node *node);
bool tn_jsonl_column_grow_bytes(tn_jsonl_column *column, int64_t bytes);
bool tn_jsonl_columns_null(tn_jsonl_column *columns, const tn_jsonl_node *node);
/* Takes back all values from `length` on. */
void tn_jsonl_columns_cut(tn_jsonl_column *columns, const tn_jsonl_node *node, int64_t length);
/* Moves the columns into a batch; they are empty and reusable, also after a failure. */
TN_NODISCARD tn_status tn_jsonl_columns_finish(tn_jsonl_column *columns, const tn_jsonl_tree *tree,
                                               int64_t rows, ArrowArray *out, tn_error *err);
void tn_jsonl_columns_clear(tn_jsonl_column *columns, int32_t count);

static inline void tn_jsonl_mark_valid(tn_jsonl_column *c) {
  if (c->valid) c->valid[c->length >> 3] |= (uint8_t)(1u << (c->length & 7));
  c->length++;
}

#endif
