/* column_writer.h - one leaf of a row group under construction: Arrow values in, pages out.
 *
 * Values are first numbered in a dictionary.  When that does not pay (too many distinct values, or
 * more bytes than allowed) what came so far is encoded without one, or kept as dictionary pages if
 * they came out much smaller, and the rest follows without:
 *
 *     Arrow array -> levels and a slice -> indices or `waiting` -> pages (encoded) -> packed
 *
 * Pages are cut at the borders of rows.  They wait, packed, until the row group is written; who
 * packs them, and on which thread, is the caller's business.  Thread: one at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_COLUMN_WRITER_H
#define TN_COLUMNS_PARQUET_COLUMN_WRITER_H
#include "columns/parquet/bloom.h"
#include "columns/parquet/interner.h"
#include "columns/parquet/page_write.h"
#include "columns/parquet/shred.h"
#include "columns/parquet/waiting.h"

typedef struct tn_parquet_column_writer { /* all zero is valid for clear */
  const tn_parquet_write_leaf *leaf;
  const tn_parquet_write_options *options; /* with every default filled in; borrowed */
  tn_parquet_encode encode;
  tn_parquet_packing packing;
  double bloom_probability; /* 0: no filter */

  /* of the row group */
  int64_t rows;               /* added */
  bool in_dictionary;         /* values go to `indices`, else to `waiting` */
  bool overflowed;            /* the dictionary may hold values that no row has */
  int32_t encoding;           /* of pages without a dictionary; -1: not yet chosen */
  tn_parquet_new_page *pages; /* the dictionary page first, if there is one */
  int64_t page_count, pages_packed;
  int64_t values, nulls, plain_bytes, byte_array_bytes;
  uint32_t encodings; /* bit e: encoding e is used */
  bool has_dictionary;
  tn_parquet_stats stats;
  int64_t *def_counts, *rep_counts; /* how often each level occurs; NULL without such levels */

  /* of the page being filled, and across row groups */
  tn_parquet_interner interner;
  tn_parquet_bytes indices; /* uint32 a value, of the rows in `waiting` */
  tn_parquet_waiting waiting;
  tn_parquet_stats page_stats;
  tn_parquet_shred shred;
  int64_t slice_rows;     /* added at once */
  int32_t plain_groups;   /* row groups for which the dictionary is not tried */
  int32_t settled_groups; /* row groups for which the last choice of an encoding stands */
  int32_t last_encoding;
  tn_parquet_bytes body;                 /* of the page being made */
  tn_parquet_bytes gathered;             /* the slice being added */
  tn_parquet_bytes room, places, replay; /* scratch */
  tn_parquet_bytes hashes;               /* uint64 a value of the row group, for the filter */
  size_t page_capacity;
} tn_parquet_column_writer;

/* `options` with defaults filled in; special NULL: nothing is said about this column.  All are
 * borrowed. */
TN_NODISCARD tn_status tn_parquet_column_writer_init(tn_parquet_column_writer *w,
                                                     const tn_parquet_write_leaf *leaf,
                                                     const tn_parquet_write_options *options,
                                                     const tn_parquet_column_options *special,
                                                     tn_error *err);
void tn_parquet_column_writer_clear(tn_parquet_column_writer *w);
void tn_parquet_column_writer_start(tn_parquet_column_writer *w); /* a new row group */
/* Rows [from, from + count) of the leaf's top-level array.  `packer` serves to try encodings out.
 */
TN_NODISCARD tn_status tn_parquet_column_writer_add(tn_parquet_column_writer *w,
                                                    const ArrowArray *array, int64_t from,
                                                    int64_t count, tn_parquet_packer *packer,
                                                    tn_error *err);
/* Closes the last page. */
TN_NODISCARD tn_status tn_parquet_column_writer_finish(tn_parquet_column_writer *w,
                                                       tn_parquet_packer *packer, tn_error *err);
/* The finished row group's Bloom filter; without blocks where none is wanted or there is no value.
 */
TN_NODISCARD tn_status tn_parquet_column_writer_bloom(tn_parquet_column_writer *w,
                                                      tn_parquet_bloom *out, tn_error *err);
/* Memory in use by what the row group has so far. */
int64_t tn_parquet_column_writer_bytes(const tn_parquet_column_writer *w);

#endif
