/* shred.h - rows of a nested column as the levels and values of one leaf.
 *
 * An entry is one slot of the leaf's pages: a definition level (how far down the path something is
 * there), a repetition level (at which list it goes on; 0: a new row), and, when the definition
 * level is the highest, a value.
 *
 *     [[1, 2], null, []]      rep 0 1 0 0    def 2 2 0 1    values 1 2
 *
 * The way down is taken step by step over all entries at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SHRED_H
#define TN_COLUMNS_PARQUET_SHRED_H
#include "columns/parquet/schema_write.h"

enum { TN_PARQUET_SHRED_ENTRIES = 65536 };

typedef struct tn_parquet_shred { /* all zero is valid; memory is kept from call to call */
  tn_parquet_bytes def, rep;      /* uint8 an entry */
  tn_parquet_bytes places;        /* int64 a value: where it is in the leaf's buffers */
  int64_t entries, values;
  const ArrowArray *leaf;
  tn_parquet_bytes at; /* int64 an entry: its index in the array of the step; -1: none */
  tn_parquet_bytes next_at, next_def, next_rep;
} tn_parquet_shred;

/* Rows [from, from + count) of the top-level array `column` (its own offset not yet added).
 * TN_FULL: these are more than TN_PARQUET_SHRED_ENTRIES entries and more than one row, ask for
 * fewer.  TN_ERR_ARGUMENT: a null where none is allowed, offsets outside the child. */
TN_NODISCARD tn_status tn_parquet_shred_rows(tn_parquet_shred *shred,
                                             const tn_parquet_write_leaf *leaf,
                                             const ArrowArray *column, int64_t from, int64_t count,
                                             tn_error *err);
void tn_parquet_shred_clear(tn_parquet_shred *shred);

#endif
