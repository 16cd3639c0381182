/* chunk_meta.h - what footer and page index say about a column chunk, from its finished pages. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_CHUNK_META_H
#define TN_COLUMNS_PARQUET_CHUNK_META_H
#include "columns/parquet/column_writer.h"

/* `at`: where in the file the chunk's first page is or will be.  All memory is the arena's. */
TN_NODISCARD tn_status tn_parquet_chunk_meta_of(const tn_parquet_column_writer *w, int64_t at,
                                                tn_arena *arena, tn_parquet_chunk_meta *out,
                                                tn_error *err);
/* The two parts of the page index, as they go to the file, in the arena.  *column_index stays empty
 * where a page has values but no minimum and maximum. */
TN_NODISCARD tn_status tn_parquet_page_index_of(const tn_parquet_column_writer *w, int64_t at,
                                                tn_arena *arena, tn_str *column_index,
                                                tn_str *offset_index, tn_error *err);

#endif
