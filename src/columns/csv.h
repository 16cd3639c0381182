/* csv.h - CSV of any dialect to record batches and back.
 *
 * Reading: what an option does not say is detected from the first TN_CSV_SAMPLE_BYTES: compression,
 * encoding, separator, quotes, lines before the header, the header, where a second table begins.
 * Types are those that hold every value of a sample (the file's beginning, and places spread over
 * the rest where the source is a file), of the whole file with `infer_all`, or the ones declared:
 * bool, int64, double, date32, time64[us], timestamp[us] with or without UTC, string.  No value is
 * ever lost to a type: "007", integers beyond int64 and fractions of a second below a microsecond
 * make a column text, and a value behind the sample that breaks its column's type is a bad row;
 * with on_error `fail` the error names line, column and value, and `needs_wider` tells that another
 * reading with `infer_all` will do.
 *
 * An empty field without quotes is null, a quoted empty one is an empty string.
 *
 * Memory: a few blocks of 1 MiB a thread, or the longest record where that is longer.  Rows, their
 * batches and all errors are the same for any number of threads.
 *
 * Thread: one a reader; blocks are parsed in the pool. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_H
#define TN_COLUMNS_CSV_H
#include "base/io.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/thread.h"
#include "columns/arrow.h"
#include "columns/bad_rows.h"
#include "columns/inflate.h"
#include "columns/transcode.h"

enum {
  TN_CSV_SAMPLE_BYTES = 1 << 20, /* that a dialect is detected from */
  TN_CSV_COLUMNS_MAX = 100000,
};

/* How a file is written.  Texts are NUL-terminated. */
typedef struct tn_csv_dialect {
  tn_compression compression;
  tn_encoding encoding;
  bool bom;
  char separator[9]; /* ",", ", ", "||" ... */
  char quote;        /* 0: none */
  char escape;       /* inside quotes; equal to quote: quotes are doubled; 0: none */
  char comment;      /* of lines; 0: none */
  char line_end[3];  /* "\n", "\r\n" or "\r" */
  int32_t columns;
  int32_t skip_lines;  /* before the header */
  int32_t header_rows; /* 0: there is none */
  int32_t tables;      /* found in the sample */
  int64_t table_byte;  /* where the table that is read begins, in the decoded text */
  int64_t end_byte;    /* where it ends: another table or a footnote; -1: with the file */
} tn_csv_dialect;

typedef struct tn_csv_options { /* zero: detected, or the default */
  const char *separator;        /* 1 to 8 bytes; "tab" too */
  const char *quote;            /* one byte; "" or "none": none */
  const char *escape;           /* one byte; "none": quotes are not escaped */
  const char *comment;          /* lines that begin with this byte are left out */
  const char *line_end;         /* "lf", "crlf" (both read both) or "cr" */
  const char *encoding;         /* a name of tn_encoding_of */
  const char *header;           /* "yes" or "no" */
  int32_t header_rows;          /* their texts are joined with a space; default 1 */
  int32_t skip_lines;           /* before the header; -1: none */
  int32_t table;                /* of several in one file, from 1; default the first */
  bool no_header;               /* header "no": columns are named f0, f1, ... */
  bool exact_dialect; /* nothing is detected: the defaults are , " \n UTF-8 and a header */

  int64_t infer_rows;            /* rows looked at for types; default: a sample of about 4 MiB */
  bool all_text;                 /* no inference: columns that are not declared are text */
  bool infer_all;                /* look at every row first; not for pipes */
  int64_t batch_rows;            /* at most; default 65,536 */
  int64_t block_bytes;           /* of text parsed as one piece; default 1 MiB */
  int64_t field_bytes_max;       /* default 64 MiB */
  const char *const *null_texts; /* besides the empty field; default none */
  int32_t null_text_count;
  const char *const *columns; /* projection: only these, in this order; NULL: all */
  int32_t column_count;
  const ArrowSchema *schema; /* declared types, by name (without a header by position); columns that
                                it does not name are inferred */
  const char *schema_text;   /* the same as people write it: schema_text.h */
  tn_bad_rows *bad_rows;     /* what to do with bad rows, where to write them; NULL: fail */
  const char *on_error;      /* "fail", "skip" or "null", where bad_rows is NULL */
  bool union_by_name;        /* several files: by name, missing columns null; else by position */
  bool missing_null;         /* columns that are asked for or declared and in no file are null; else
                                they are an error */
  tn_pool *pool;             /* NULL: this thread alone */
  tn_progress *progress;     /* of a pass over the file for its types; NULL: nobody waits */
  tn_csv_dialect *dialect;   /* filled in when the reader opens; NULL: not wanted */
  bool *needs_wider;         /* set when a value did not fit a type inferred from a sample: another
                                reading with infer_all will do; NULL: not wanted */

  /* writing */
  const char *null_text; /* how null is written; default nothing */
  const char *binary;    /* "base64" (default), "hex", or "text": as it is, which must be UTF-8 */
  bool quote_all;        /* every text, not only where it must be */
} tn_csv_options;

/* Takes over `source` (closed with the stream, also on failure). */
TN_NODISCARD tn_status tn_csv_read(ArrowArrayStream *out, tn_source *source,
                                   const tn_csv_options *options, tn_error *err);
/* Several files as one table: columns and their types are what all files together need.  Takes over
 * all sources, also on failure. */
TN_NODISCARD tn_status tn_csv_read_many(ArrowArrayStream *out, tn_source *const *sources,
                                        int32_t count, const tn_csv_options *options,
                                        tn_error *err);

/* The dialect of decoded text, of which `bytes` begin the file (`whole`: are all of it); 64 more
 * bytes must be readable behind them. */
TN_NODISCARD tn_status tn_csv_detect(tn_csv_dialect *out, const char *name, const uint8_t *sample,
                                     size_t bytes, bool whole, const tn_csv_options *options,
                                     tn_error *err);

/* separator ';', quote ", utf-16le, crlf, 2 lines before the header, 2 tables */
void tn_csv_dialect_text(const tn_csv_dialect *dialect, tn_strbuf *out);
void tn_csv_dialect_json(const tn_csv_dialect *dialect, tn_json_writer *w); /* an object */

typedef struct tn_csv_writer tn_csv_writer;
/* Borrows `sink`; the caller commits and closes it.  Of the options it takes separator, quote,
 * line_end, no_header, null_text, binary and quote_all; every other type than text is written
 * without quotes, nested values as JSON. */
TN_NODISCARD tn_status tn_csv_writer_new(tn_csv_writer **out, tn_sink *sink,
                                         const ArrowSchema *schema, const tn_csv_options *options,
                                         tn_error *err);
TN_NODISCARD tn_status tn_csv_writer_batch(tn_csv_writer *w, const ArrowArray *batch,
                                           tn_error *err);
TN_NODISCARD tn_status tn_csv_writer_finish(tn_csv_writer *w, tn_error *err);
/* Numbers inside nested values that JSON has not (NaN, infinity): they are null. */
int64_t tn_csv_writer_not_finite(const tn_csv_writer *w);
void tn_csv_writer_free(tn_csv_writer *w);

#endif
