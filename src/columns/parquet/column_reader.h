/* column_reader.h - one column of a scan: pages in, Arrow arrays out.
 *
 * A reader is started on a column chunk and asked for the next rows until the row group is done,
 * then started on the next chunk; dictionary, scratch and codec memory are kept.  It holds one page
 * at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_COLUMN_READER_H
#define TN_COLUMNS_PARQUET_COLUMN_READER_H
#include "columns/parquet/dictionary.h"
#include "columns/parquet/index.h"
#include "columns/parquet/levels.h"

typedef struct tn_parquet_column_reader { /* all zero is valid for clear */
  const tn_parquet_leaf *leaf;
  tn_parquet_pages pages;
  tn_parquet_dictionary dictionary;
  tn_parquet_levels levels;  /* of the current page: definition levels ... */
  tn_parquet_levels indices; /* ... and dictionary indices or RLE booleans */
  int32_t encoding;
  const uint8_t *at, *end; /* PLAIN values not yet taken */
  int64_t bit_at;          /* PLAIN booleans: the next one's bit in `at` */
  int64_t page_left;       /* rows of the current page not yet taken */
  int64_t page_offset;
  int64_t chunk_values, chunk_left; /* of the chunk; behind the current page */
  /* Where the pages are, for skipping; NULL: one behind the other.  Set after start. */
  const tn_parquet_offset_index *offsets;
  uint32_t next_page; /* of offsets */
} tn_parquet_column_reader;

/* The caller has set leaf and the pages' source, codecs, limits.  [at, end) lies in the file. */
TN_NODISCARD tn_status tn_parquet_column_reader_start(tn_parquet_column_reader *r,
                                                      const tn_parquet_chunk_meta *chunk,
                                                      int64_t at, int64_t end, tn_error *err);
/* Exactly the next `rows` rows. */
TN_NODISCARD tn_status tn_parquet_column_reader_next(tn_parquet_column_reader *r, int64_t rows,
                                                     ArrowArray *out, tn_error *err);
/* Passes over the next `rows` rows; pages with none but these are not read when `offsets` tells
 * where they end. */
TN_NODISCARD tn_status tn_parquet_column_reader_skip(tn_parquet_column_reader *r, int64_t rows,
                                                     tn_error *err);
void tn_parquet_column_reader_clear(tn_parquet_column_reader *r);

#endif
