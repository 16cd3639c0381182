/* scan_late.h - a Parquet scan that reads the predicate's columns first, and of the others only
 * what is near the rows that it left.
 *
 *     row group: predicate columns --> rows that are wanted --> ranges around them --> all columns
 *
 * Groups of which much is wanted show that this does not pay; the rest is then read in one go.
 * Thread: one owner (private to scan.c). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_SCAN_LATE_H
#define TN_COLUMNS_SCAN_LATE_H
#include "columns/expr.h"
#include "columns/parquet/parquet.h"

typedef struct tn_scan_late tn_scan_late;

typedef struct tn_scan_late_options {
  const char *where;
  const char *const *where_columns; /* names of what the predicate reads */
  int32_t where_count;
  const ArrowSchema *schema;  /* of the whole file, which the predicate is checked against */
  const tn_expr_bound *bound; /* columns of the path; NULL: none */
  const tn_parquet_read_options *read; /* the columns of the batches; with `ranges` after pruning */
} tn_scan_late_options;

/* Whether the columns to come are so much larger than the predicate's that two passes may pay. */
bool tn_scan_late_pays(const tn_parquet_file *file, const tn_scan_late_options *options);
/* The file, names and ranges outlive it. */
TN_NODISCARD tn_status tn_scan_late_open(tn_scan_late **out, tn_parquet_file *file,
                                         const tn_scan_late_options *options, tn_error *err);
void tn_scan_late_close(tn_scan_late *late); /* NULL is fine */
/* A batch of the read columns and which of its rows are wanted, ascending (until the next call);
 * *seen counts rows that the predicate was evaluated for.  TN_END: no more. */
TN_NODISCARD tn_status tn_scan_late_next(tn_scan_late *late, ArrowArray *batch,
                                         const int64_t **rows, int64_t *count, int64_t *seen,
                                         tn_error *err);

#endif
