/* prune.h - which rows of a Parquet file can make a predicate true: the others are never read.
 *
 *     row group   by the statistics of its chunks, then by their Bloom filters (= and in)
 *     pages       by the column index, where predicate columns have one
 *
 * A node of the predicate is not evaluated for a value but for all values that the bounds allow;
 * what comes out is the set of answers that may occur, of true, false and unknown.  Rows stay as
 * long as true may occur.  Statistics that are missing or mean nothing keep rows; so does an index
 * or a filter that is damaged.  Thread: one a file. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PRUNE_H
#define TN_COLUMNS_PRUNE_H
#include "columns/expr.h"
#include "columns/parquet/parquet.h"

typedef struct tn_prune_report {
  int64_t groups, groups_by_statistics, groups_by_bloom, groups_by_index; /* all, and left out by */
  int64_t rows, rows_left;
  int64_t pages_by_index; /* of the columns to read */
  int64_t bytes;          /* compressed, of the columns to read; the others of it are never read */
  int64_t bytes_by_statistics, bytes_by_bloom, bytes_by_index;
} tn_prune_report;

/* Ranges of rows of the whole file, ascending, not touching; the caller frees *out with tn_free.
 * `where` is over the file's columns, or over some of them by the same names; `columns` are those
 * that will be read (top-level names; NULL: all), for the bytes of the report. */
TN_NODISCARD tn_status tn_prune_parquet(tn_parquet_file *file, const tn_expr *where,
                                        const char *const *columns, int32_t column_count,
                                        tn_row_range **out, int64_t *count, tn_prune_report *report,
                                        tn_error *err);

#endif
