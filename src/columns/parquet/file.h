/* file.h - an opened Parquet file: its bytes and its parsed footer (private to this folder). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_FILE_H
#define TN_COLUMNS_PARQUET_FILE_H
#include "columns/parquet/crypt.h"
#include "columns/parquet/index.h"
#include "columns/parquet/parquet.h"
#include "columns/parquet/schema.h"

struct tn_parquet_file {
  tn_source *source;
  tn_arena arena; /* what the footer became */
  tn_parquet_footer footer;
  tn_parquet_crypt *crypt; /* NULL: nothing is encrypted */
  tn_buffer *footer_bytes; /* statistics are views of it */
  tn_parquet_tree tree;
  ArrowSchema schema;      /* the tree's nodes point into it */
  tn_parquet_leaf *leaves; /* the tree's: one a column chunk of a row group */
  int64_t leaf_count;
  int64_t data_end; /* where the footer starts */
  /* Offset indexes that were read: group after group, leaf_count each; NULL: none yet. */
  tn_parquet_offset_index *kept;
  size_t kept_bytes;
};

#endif
