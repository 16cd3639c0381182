/* bad_rows.h - what a reader of text does with a row that breaks its format, and where it says so.
 *
 * The CSV and JSONL readers share this: with `fail` the first bad row is the reader's error; with
 * `skip` it is left out; with `null` a value that does not fit its column becomes null and a row
 * that cannot be taken apart at all is left out.  Whatever is left out or made null is counted and,
 * when there is a sink, written there as one JSON object a line:
 *
 *     {"file":"a.csv","line":7,"byte":123,"column":"price","reason":"...","row":"1,x,3"}
 *
 * Thread: one at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_BAD_ROWS_H
#define TN_COLUMNS_BAD_ROWS_H
#include "base/io.h"

typedef enum tn_on_error { TN_ON_ERROR_FAIL, TN_ON_ERROR_SKIP, TN_ON_ERROR_NULL } tn_on_error;

/* "fail", "skip" or "null"; TN_ERR_ARGUMENT names what was given. */
TN_NODISCARD tn_status tn_on_error_of(const char *name, tn_on_error *out, tn_error *err);

typedef struct tn_bad_row {
  const char *file;
  int64_t line, byte; /* where the row begins: line from 1, byte from 0 */
  tn_str column;      /* data NULL: the whole row */
  tn_str reason;      /* "\"x\" is no int64, the declared type" */
  tn_str row;         /* as it stands in the file; cut to TN_BAD_ROW_BYTES_MAX */
} tn_bad_row;

enum { TN_BAD_ROW_BYTES_MAX = 65536 };

typedef struct tn_bad_rows { /* zero: fail */
  tn_on_error on_error;
  tn_sink *sink;    /* borrowed; NULL: only counted */
  int64_t rows_max; /* one more is TN_ERR_LIMIT; 0: no limit */
  int64_t skipped;  /* rows left out so far */
  int64_t nulled;   /* values made null so far */
} tn_bad_rows;

/* Counts a row that is left out (`skipped`) or a value made null, and writes it to the sink.  */
TN_NODISCARD tn_status tn_bad_rows_add(tn_bad_rows *rows, const tn_bad_row *row, bool skipped,
                                       tn_error *err);

#endif
