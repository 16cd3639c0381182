/* column_writer.h - one column of a row group under construction: Arrow values in, pages out.
 *
 * Values are first numbered in a dictionary.  When that does not pay (too many distinct values, or
 * more bytes than allowed) what came so far is turned into PLAIN pages, or kept as dictionary
 * pages if they came out much smaller, and the rest follows as PLAIN.  Finished pages wait,
 * compressed, in `chunk` until the row group is written. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_COLUMN_WRITER_H
#define TN_COLUMNS_PARQUET_COLUMN_WRITER_H
#include "columns/parquet/interner.h"
#include "columns/parquet/page.h"
#include "columns/parquet/stats.h"

typedef struct tn_parquet_waiting { /* the validity of rows that wait for their page */
  tn_parquet_bytes valid;           /* optional columns: a bit a row */
  int64_t rows, nulls;
} tn_parquet_waiting;

typedef struct tn_parquet_column_writer { /* all zero is valid for clear */
  const char *name;
  tn_column_type type;
  bool nullable;
  const tn_parquet_write_options *options; /* with every default filled in; borrowed */
  tn_parquet_codecs *codecs;               /* borrowed */
  bool in_dictionary;                      /* values go to `indices`, else to `values` */
  int32_t plain_groups;                    /* row groups for which the dictionary is not tried */
  tn_parquet_interner interner;
  tn_parquet_bytes indices; /* uint32 a non-null value */
  tn_parquet_bytes values;  /* the PLAIN page being filled */
  tn_parquet_waiting rows;  /* of the values waiting in `indices` or `values` */
  tn_parquet_bytes body;    /* of the page being made */
  tn_parquet_bytes scratch; /* of the slice being added */
  tn_parquet_bytes replay;  /* of a slice taken back out of the dictionary meanwhile */
  tn_parquet_bytes chunk;   /* finished pages */
  int64_t plain_bytes;      /* what the values in `indices` would take as PLAIN */
  tn_parquet_stats stats;
  tn_parquet_chunk_meta meta; /* sums up; offsets count from the chunk's start */
} tn_parquet_column_writer;

void tn_parquet_column_writer_start(tn_parquet_column_writer *w); /* a new row group */
/* Rows [from, from + count) of an array of the column's type. */
TN_NODISCARD tn_status tn_parquet_column_writer_add(tn_parquet_column_writer *w,
                                                    const ArrowArray *array, int64_t from,
                                                    int64_t count, tn_error *err);
/* Closes the last page; then `chunk` and `meta` are whole.  The range's strings are views of
 * `room`, two times TN_PARQUET_STATS_BYTES. */
TN_NODISCARD tn_status tn_parquet_column_writer_finish(tn_parquet_column_writer *w, char *room,
                                                       tn_error *err);
int64_t tn_parquet_column_writer_bytes(const tn_parquet_column_writer *w); /* memory in use */
void tn_parquet_column_writer_clear(tn_parquet_column_writer *w);

#endif
