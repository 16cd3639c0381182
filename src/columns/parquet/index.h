/* index.h - the page index of a column chunk: where its pages are, and what is in each.
 *
 *     offset index:  page -> its bytes in the file, its first row in the row group
 *     column index:  page -> smallest and largest value, nulls; all pages in some order or none
 *
 * Both stand apart from the pages, near the footer, so that a reader may choose pages before it
 * reads any.  Format: PageIndex.md and parquet.thrift of parquet-format.  Parsing allocates in the
 * caller's arena; what min and max mean is said by bounds.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_INDEX_H
#define TN_COLUMNS_PARQUET_INDEX_H
#include "columns/parquet/metadata.h"
#include "columns/parquet/parquet.h"

enum { TN_PARQUET_INDEX_BYTES_MAX = 256 << 20, TN_PARQUET_KEPT_BYTES = 16 << 20 };

typedef struct tn_parquet_page_location {
  int64_t offset; /* of the page's header in the file */
  int64_t first_row;
  int32_t bytes; /* with the header */
} tn_parquet_page_location;

typedef struct tn_parquet_offset_index { /* data pages alone, in file order */
  tn_parquet_page_location *pages;
  uint32_t page_count;
  int64_t *byte_array_bytes; /* a page: unencoded bytes of its values; NULL: not recorded */
} tn_parquet_offset_index;

enum { TN_PARQUET_UNORDERED, TN_PARQUET_ASCENDING, TN_PARQUET_DESCENDING };

typedef struct tn_parquet_column_index { /* arrays of page_count */
  uint32_t page_count;
  bool *null_pages; /* nothing but nulls: min and max mean nothing */
  tn_str *min, *max;
  int32_t order;                      /* TN_PARQUET_UNORDERED ... */
  int64_t *nulls, *nans;              /* NULL: not recorded */
  int64_t *repetitions, *definitions; /* level histograms, page after page; NULL: not recorded */
  uint32_t repetition_count, definition_count; /* of all pages together */
} tn_parquet_column_index;

/* Checked: equal lengths of all lists; offsets and sizes not negative, rows ascending from 0. */
TN_NODISCARD tn_status tn_parquet_offset_index_parse(tn_parquet_offset_index *out, tn_arena *arena,
                                                     const void *bytes, size_t count, int64_t base,
                                                     tn_error *err);
/* min and max are views of `bytes`. */
TN_NODISCARD tn_status tn_parquet_column_index_parse(tn_parquet_column_index *out, tn_arena *arena,
                                                     const void *bytes, size_t count, int64_t base,
                                                     tn_error *err);
void tn_parquet_offset_index_write(const tn_parquet_offset_index *index, tn_strbuf *out);
void tn_parquet_column_index_write(const tn_parquet_column_index *index, tn_strbuf *out);

/* The index of a column chunk, all of it in the arena.  TN_END: the chunk has none.  Checked
 * besides: pages lie in the file, rows in the row group; the two agree on the number of pages only
 * if the caller compares them. */
TN_NODISCARD tn_status tn_parquet_offset_index_read(tn_parquet_offset_index *out,
                                                    tn_parquet_file *file, int64_t group,
                                                    int64_t column, tn_arena *arena, tn_error *err);
/* The same, read once: indexes stay with the file up to TN_PARQUET_KEPT_BYTES, for readers of
 * single rows; beyond that it is in the arena.  Without byte_array_bytes. */
TN_NODISCARD tn_status tn_parquet_offset_index_get(tn_parquet_offset_index *out,
                                                   tn_parquet_file *file, int64_t group,
                                                   int64_t column, tn_arena *arena, tn_error *err);
void tn_parquet_offset_indexes_drop(tn_parquet_file *file); /* all that were kept */
TN_NODISCARD tn_status tn_parquet_column_index_read(tn_parquet_column_index *out,
                                                    tn_parquet_file *file, int64_t group,
                                                    int64_t column, tn_arena *arena, tn_error *err);

#endif
