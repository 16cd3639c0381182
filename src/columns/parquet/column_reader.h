/* column_reader.h - one leaf column of a scan: pages in, rows out.
 *
 * A reader is started on a column chunk and asked for rows until the row group is done, then
 * started on the next chunk; dictionary and scratch memory are kept.  It holds one page at a time
 * and delivers exactly the rows asked for, across page borders; rows may be passed over, whole
 * pages of them unread.
 *
 * A column that is neither nested nor repeated turns its definition levels straight into validity.
 * Every other keeps its levels beside its slots, for assembly.h to join them with its neighbours.
 * Thread: one owner at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_COLUMN_READER_H
#define TN_COLUMNS_PARQUET_COLUMN_READER_H
#include "columns/parquet/index.h"
#include "columns/parquet/values.h"

typedef struct tn_parquet_part { /* rows of a column; all zero is valid for clear */
  tn_parquet_slots slots;
  tn_parquet_bytes defs,
      reps; /* a byte an entry; reps only where lists are, none of flat columns */
  int64_t entries;
} tn_parquet_part;
void tn_parquet_part_clear(tn_parquet_part *part);

typedef struct tn_parquet_column_reader { /* all zero is valid for clear */
  const tn_parquet_leaf *leaf;
  tn_parquet_spare *spare;       /* borrowed, of the parts; NULL: none */
  tn_parquet_interner *interner; /* likewise */
  tn_parquet_pages pages;
  tn_parquet_dictionary dictionary;
  tn_parquet_values values;
  tn_parquet_levels defs, reps;     /* of the current page */
  uint8_t *ahead_defs, *ahead_reps; /* its entries that are decoded but not yet taken */
  int32_t ahead_at, ahead_count;
  bool whole_rows;                /* the current page ends with a row */
  int64_t page_left, page_values; /* entries of the current page not yet decoded, and all */
  int64_t page_offset;
  int64_t chunk_at, chunk_end;      /* its bytes in the file */
  int64_t chunk_values, chunk_left; /* of the chunk; behind the current page */
  int64_t row, rows;                /* the next one, and how many the row group has */
  double bytes_a_row;               /* of a part before: what the next one will want */
  bool jumped;                      /* pages were passed over by an index: chunk_left is a bound */
  const tn_parquet_offset_index *index; /* borrowed; NULL: none */
  int64_t index_page;                   /* the page that comes next, after a jump */
} tn_parquet_column_reader;

/* The caller has set leaf and the pages' source and limits.  [at, end) lies in the file.  `index`
 * may be NULL. */
TN_NODISCARD tn_status tn_parquet_column_reader_start(tn_parquet_column_reader *r,
                                                      const tn_parquet_chunk_meta *chunk,
                                                      int64_t rows, int64_t at, int64_t end,
                                                      const tn_parquet_offset_index *index,
                                                      tn_error *err);
/* The next row to come is `row` of the row group, not before the present one.  The caller will read
 * `rows` rows from there: with an index no byte is asked for behind their last page. */
TN_NODISCARD tn_status tn_parquet_column_reader_seek(tn_parquet_column_reader *r, int64_t row,
                                                     int64_t rows, tn_error *err);
/* Finds the pages of the next `rows` rows, of at most `bytes_max` bytes: page.h. */
void tn_parquet_column_reader_look_ahead(tn_parquet_column_reader *r, int64_t rows,
                                         size_t bytes_max);
/* Rows from `row` of the row group on to the end of its page, if that was looked at; 0: unknown. */
int64_t tn_parquet_column_reader_page_rows(const tn_parquet_column_reader *r, int64_t row);
/* Appends the next `rows` rows to the part.  TN_FULL: its bytes would be more than int32 ends can
 * count, or its nested values more than 2^28; reader and part are of no use then. */
TN_NODISCARD tn_status tn_parquet_column_reader_read(tn_parquet_column_reader *r, int64_t rows,
                                                     tn_parquet_part *part, tn_error *err);
void tn_parquet_column_reader_clear(tn_parquet_column_reader *r);
/* Is it a column whose levels nobody else needs? */
bool tn_parquet_leaf_is_flat(const tn_parquet_leaf *leaf);

#endif
