/* csv.h - CSV (RFC 4180) to record batches and back.
 *
 * The reader streams: memory is bounded by one block and one batch, whatever the file's size. Types
 * are inferred from the first rows (or declared): bool, int64, double, date32, timestamp, string;
 * an empty unquoted field is null, a quoted empty one an empty string.  A value that breaks an
 * inferred type later on is an error that names line, column and value.
 *
 * Thread: one a reader. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_H
#define TN_COLUMNS_CSV_H
#include "base/io.h"
#include "columns/arrow.h"

typedef struct tn_csv_options {  /* zero: the default */
  char separator;                /* default: ',' */
  char quote;                    /* default: '"' */
  bool no_header;                /* columns are named f0, f1, ... */
  int64_t infer_rows;            /* rows looked at for types; default 100,000 */
  int64_t batch_rows;            /* default 65,536 */
  int64_t field_bytes_max;       /* default 64 MiB */
  const char *const *null_texts; /* besides the empty field; default none */
  int32_t null_text_count;
  const char *const *columns; /* projection: only these, in this order; NULL: all */
  int32_t column_count;
  const tn_column_type *types; /* declared types for all columns of the file; NULL: infer */
  int32_t type_count;
} tn_csv_options;

/* Takes over `source` (closed with the stream, also on failure). */
TN_NODISCARD tn_status tn_csv_read(ArrowArrayStream *out, tn_source *source,
                                   const tn_csv_options *options, tn_error *err);

typedef struct tn_csv_writer tn_csv_writer;
/* Borrows `sink`; the caller commits and closes it. */
TN_NODISCARD tn_status tn_csv_writer_new(tn_csv_writer **out, tn_sink *sink,
                                         const ArrowSchema *schema, const tn_csv_options *options,
                                         tn_error *err);
TN_NODISCARD tn_status tn_csv_writer_batch(tn_csv_writer *w, const ArrowArray *batch,
                                           tn_error *err);
TN_NODISCARD tn_status tn_csv_writer_finish(tn_csv_writer *w, tn_error *err);
void tn_csv_writer_free(tn_csv_writer *w);

#endif
