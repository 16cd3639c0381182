/* schema.h - Parquet's schema tree as Arrow's: nodes, leaves, and how stored values become Arrow
 * ones.
 *
 * A leaf is one physical column; a node is one Arrow field.  Lists and maps in all their historical
 * forms (LogicalTypes.md, "Backward-compatibility rules") become one kind of node each:
 *
 *     optional group a (LIST) { repeated group list { required int32 element } }
 *     LIST a  def 1 rep 0  -->  LEAF element  max_def 2, max_rep 1, slot_def 2
 *
 * Levels (Dremel, https://research.google/pubs/pub36632/): a node's value is not null from
 * definition level `def` on; it has a slot at all from `slot_def` on, the item level of the list
 * around it; its slots begin at repetition levels up to `rep`.  A list's items begin at definition
 * level def + 1 and repetition level rep + 1.
 *
 * What a type cannot be taken for by its logical type is read as its physical type. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SCHEMA_H
#define TN_COLUMNS_PARQUET_SCHEMA_H
#include "columns/parquet/metadata.h"
#include "columns/parquet/parquet.h"
#include "columns/type.h"

typedef enum tn_parquet_form {
  TN_PARQUET_FORM_NULL, /* the Arrow type null: nothing but nulls */
  TN_PARQUET_FORM_BITS, /* bit -> bit */
  TN_PARQUET_FORM_COPY, /* fixed width as it is */
  TN_PARQUET_FORM_I8,   /* INT32 -> int8, uint8, int16, uint16 */
  TN_PARQUET_FORM_U8,
  TN_PARQUET_FORM_I16,
  TN_PARQUET_FORM_U16,
  TN_PARQUET_FORM_INT96_NS,  /* nanoseconds of day, Julian day -> nanoseconds since 1970 */
  TN_PARQUET_FORM_INT96_US,  /* ... microseconds, of which there are more years */
  TN_PARQUET_FORM_INT96_CUT, /* ... microseconds, what is finer is cut off */
  TN_PARQUET_FORM_WIDEN,     /* INT32, INT64 -> decimal */
  TN_PARQUET_FORM_BIG,       /* big-endian FIXED_LEN_BYTE_ARRAY -> decimal */
  TN_PARQUET_FORM_BYTES,     /* BYTE_ARRAY -> offsets and bytes, or views, or a dictionary */
  TN_PARQUET_FORM_BIG_BYTES, /* big-endian BYTE_ARRAY -> decimal */
} tn_parquet_form;

typedef struct tn_parquet_leaf {
  const char *name; /* the path, joined by dots */
  const tn_parquet_element *element;
  int64_t field; /* which child of the root it belongs to */
  uint8_t max_def, max_rep, slot_def;
  bool nullable; /* its own values may be null */
  bool is_key;   /* of a map: a null is an error */
  tn_parquet_form form;
  int32_t stored, width; /* bytes of a value in the file and in Arrow; 0: bits, variable, none */
  const char *format;    /* of the Arrow type; with a dictionary of its values */
  tn_type type;
  bool dictionary;  /* becomes indices (int32) and a dictionary */
  const char *text; /* the type for people */
} tn_parquet_leaf;

typedef enum tn_parquet_node_kind {
  TN_PARQUET_NODE_LEAF,
  TN_PARQUET_NODE_STRUCT,
  TN_PARQUET_NODE_LIST, /* one child */
  TN_PARQUET_NODE_MAP,  /* one child, a struct of key and value */
} tn_parquet_node_kind;

typedef struct tn_parquet_node tn_parquet_node;
struct tn_parquet_node {
  const char *name;
  const tn_parquet_element *element;
  tn_parquet_node_kind kind;
  bool nullable;
  uint8_t def, rep, slot_def;
  tn_layout layout;  /* LIST: of the Arrow array */
  int32_t list_size; /* FIXED_LIST */
  int64_t leaf;      /* the first leaf below; LEAF: it */
  int64_t leaf_count;
  int64_t child_count;
  tn_parquet_node *children;
  const ArrowSchema *schema; /* this field in the file's Arrow schema */
  /* In a projection, of a VARIANT that is there with all its leaves: */
  bool variant;                    /* it is not taken for a mere struct */
  struct tn_variant_plan *unshred; /* its array is put together by this; NULL: it is as stored */
};

typedef struct tn_parquet_tree {
  tn_parquet_node root; /* STRUCT of the columns */
  tn_parquet_leaf *leaves;
  int64_t leaf_count;
} tn_parquet_tree;

/* The tree with types by the file's own logical types; all in the arena. */
TN_NODISCARD tn_status tn_parquet_tree_new(tn_parquet_tree *out, const tn_parquet_footer *footer,
                                           tn_parquet_int96 int96, tn_arena *arena, tn_error *err);
/* leaf_type.c: sets form, widths and Arrow type.  `spark`: Spark wrote the file, its INT96 are
 * whole microseconds. */
TN_NODISCARD tn_status tn_parquet_leaf_resolve(tn_parquet_leaf *leaf, tn_arena *arena,
                                               tn_parquet_int96 int96, bool spark, tn_error *err);
/* Another Arrow type for the same stored values. */
TN_NODISCARD tn_status tn_parquet_leaf_set_format(tn_parquet_leaf *leaf, tn_arena *arena,
                                                  const char *format, tn_error *err);
/* The file's Arrow schema; every node's `schema` points into it afterwards.  Where the file carries
 * the schema it was made from (key ARROW:schema), types are chosen after that as far as the stored
 * values allow, and its metadata is kept. */
TN_NODISCARD tn_status tn_parquet_arrow_schema(tn_parquet_tree *tree,
                                               const tn_parquet_footer *footer, tn_arena *arena,
                                               ArrowSchema *out, tn_error *err);

/* "STRING", "INTEGER(8, unsigned)", "TIMESTAMP(us, UTC)"; "" when none.  A literal. */
const char *tn_parquet_logical_text(const tn_parquet_logical *logical);

#endif
