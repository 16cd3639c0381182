/* scan.h - the rows of a table file that a predicate wants, with the columns that are wanted.
 *
 *     file --only the columns needed--> batches --predicate--> rows --gather--> batches
 *
 * Works for every format of table.h.  Of a Parquet file only those row groups and pages are read
 * that can hold a row for which the predicate is true (prune.h); and where few rows are left, the
 * columns of the predicate are read first and the others for the rows that are left alone.
 *
 * The stream is a plain one, filtered batches in file order, none of them empty.
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_SCAN_H
#define TN_COLUMNS_SCAN_H
#include "columns/expr.h"
#include "columns/hive.h"
#include "columns/prune.h"
#include "columns/table_set.h"

typedef struct tn_scan_options { /* zero: the default, every row and column */
  const char *where;             /* expr.h; NULL: every row */
  const char *const *select;     /* columns, in this order; NULL: all */
  int32_t select_count;
  bool has_limit;
  int64_t limit;       /* rows at most, where has_limit */
  bool no_columns;     /* batches of no column: only their lengths count; select is not used */
  bool no_pruning;     /* Parquet: read every page, for tests and comparisons */
  const tn_hive *hive; /* Parquet: columns of the paths; outlives the scan */
  int64_t hive_file;   /* which of its files this is */
  tn_table_read_options read; /* its projection is set from the above; its texts outlive the scan */
} tn_scan_options;

typedef struct tn_scan_report {
  int64_t rows_seen;     /* that the predicate was evaluated for */
  int64_t rows_selected; /* handed out */
  int64_t bytes_file, bytes_read;
  int64_t rows_skipped, values_nulled; /* bad ones, with on_error */
  tn_prune_report prune;               /* Parquet with a predicate; else all zero */
} tn_scan_report;

typedef struct tn_scan tn_scan;
TN_NODISCARD tn_status tn_scan_open(tn_scan **out, const char *path, const tn_scan_options *options,
                                    tn_error *err);
/* Several files of one format as one table, as table_set.h does it; of Parquet one file a scan.
 * Columns of the paths of other formats are the set's (read.hive). */
TN_NODISCARD tn_status tn_scan_open_many(tn_scan **out, const char *const *paths, int64_t count,
                                         const tn_scan_options *options, tn_error *err);
void tn_scan_close(tn_scan *scan); /* NULL is fine */
/* The schema of the batches; lives as long as the scan. */
const ArrowSchema *tn_scan_schema(const tn_scan *scan);
/* The next batch; TN_END behind the last. */
TN_NODISCARD tn_status tn_scan_next(tn_scan *scan, ArrowArray *out, tn_error *err);
void tn_scan_report_now(const tn_scan *scan, tn_scan_report *out);
/* The scan as a stream, which takes it over (also on failure). */
TN_NODISCARD tn_status tn_scan_stream(ArrowArrayStream *out, tn_scan *scan, tn_error *err);

#endif
