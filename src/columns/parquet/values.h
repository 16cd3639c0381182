/* values.h - the values of one data page, whatever their encoding.
 *
 * A decoder is started on a page and gives its values in order, as Arrow values, into a leaf's
 * slots.  Which encodings a physical type may have is Encodings.md's table; any other pair is
 * refused by name.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_VALUES_H
#define TN_COLUMNS_PARQUET_VALUES_H
#include "columns/parquet/delta_bytes.h"
#include "columns/parquet/dictionary.h"
#include "columns/parquet/levels.h"
#include "columns/parquet/slots.h"

typedef struct tn_parquet_values { /* all zero is valid for clear */
  const tn_parquet_leaf *leaf;
  const tn_parquet_dictionary *dictionary; /* borrowed */
  int32_t encoding;
  const uint8_t *at, *end;   /* PLAIN: values not yet taken */
  int64_t bit_at;            /* PLAIN booleans: the next one's bit in `at` */
  int64_t split_at, split;   /* BYTE_STREAM_SPLIT: the next value, how many there are */
  tn_parquet_levels indices; /* dictionary indices, RLE booleans */
  tn_parquet_delta delta;
  tn_parquet_delta_bytes delta_bytes;
  tn_parquet_slots spare; /* what values go through that are passed over */
  tn_parquet_bytes scratch;
} tn_parquet_values;

TN_NODISCARD tn_status tn_parquet_values_start(tn_parquet_values *v, const tn_parquet_leaf *leaf,
                                               const tn_parquet_dictionary *dictionary,
                                               const tn_parquet_page *page, tn_error *err);
/* The next `count` values, densely behind the slots that are there; room for them is reserved.
 * TN_FULL: their bytes are more than int32 ends can count. */
TN_NODISCARD tn_status tn_parquet_values_read(tn_parquet_values *v, tn_parquet_slots *s,
                                              int64_t count, tn_error *err);
TN_NODISCARD tn_status tn_parquet_values_skip(tn_parquet_values *v, int64_t count, tn_error *err);
void tn_parquet_values_clear(tn_parquet_values *v);

#endif
