/* schema_write.h - from an Arrow schema to Parquet's.
 *
 * Elements are the footer's schema tree, depth first; a leaf is one physical column.  A leaf also
 * knows the way from its top-level Arrow array down to its own, in steps, and which levels each
 * step can give (the record shredding of Dremel, https://research.google/pubs/pub36632/):
 *
 *     optional list of required int32       steps: LIST (null: 0, empty: 1)   max_def 2, max_rep 1
 *
 * Lists and maps have the three-level form of LogicalTypes.md.  Dictionary, run-end, view and
 * list-view arrays are stored as the plain ones they stand for.  TN_ERR_UNSUPPORTED, naming the
 * field: unions, structs without fields, decimals whose scale is negative or above the precision.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SCHEMA_WRITE_H
#define TN_COLUMNS_PARQUET_SCHEMA_WRITE_H
#include "columns/parquet/metadata.h"
#include "columns/parquet/parquet.h"
#include "columns/parquet/stored.h"

typedef struct tn_parquet_step { /* what an array on the way is, and where to go from it */
  bool dictionary;               /* of indices: on to the dictionary; else `layout` says */
  tn_layout layout;              /* STRUCT, the lists, RUN_END; of a dictionary the indices' */
  int32_t index_bits;            /* dictionary, RUN_END (of the ends) */
  bool index_signed;
  bool optional;     /* nulls are allowed here */
  int32_t child;     /* STRUCT */
  int32_t size;      /* FIXED_LIST */
  uint8_t null_def;  /* definition level of a null here */
  uint8_t empty_def; /* lists: of an empty one */
  uint8_t rep;       /* lists: repetition level of all items but the first */
} tn_parquet_step;

typedef struct tn_parquet_write_leaf {
  const char *name; /* the path in the file, joined by dots */
  tn_str *path;
  uint32_t path_count;
  int64_t column; /* which child of the batch it lies in */
  int64_t element;
  tn_parquet_step *steps;
  int32_t step_count;
  bool optional;    /* the leaf's own values may be null */
  uint8_t null_def; /* definition level of such a null */
  uint8_t max_def, max_rep;
  tn_parquet_store store;
  const tn_field *field; /* of the values themselves */
} tn_parquet_write_leaf;

typedef struct tn_parquet_write_schema {
  tn_parquet_element *elements; /* [0] is the root */
  tn_parquet_write_leaf *leaves;
  int64_t element_count, leaf_count;
} tn_parquet_write_schema;

/* `root` is the field of a record batch.  Everything is in the arena. */
TN_NODISCARD tn_status tn_parquet_write_schema_new(tn_parquet_write_schema *out, tn_arena *arena,
                                                   const tn_field *root, tn_error *err);
/* TN_ERR_ARGUMENT: the leaf's type cannot be. */
TN_NODISCARD tn_status tn_parquet_write_schema_store_as(tn_parquet_write_schema *schema,
                                                        int64_t leaf, tn_parquet_store_as as,
                                                        tn_error *err);
/* Bytes that a decimal of `precision` digits needs. */
int32_t tn_parquet_decimal_bytes(int32_t precision);

#endif
