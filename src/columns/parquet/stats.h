/* stats.h - the smallest and the largest value of a column chunk, as the footer records them.
 *
 * The order is the column type's own (TypeDefinedOrder): signed or unsigned integers, bytes as
 * unsigned. NaN counts for nothing; a zero minimum is written as -0.0 and a zero maximum as +0.0,
 * so that readers may prune whatever the sign.  Of byte arrays 64 bytes are kept: a longer minimum
 * is cut (at a character of UTF-8), a longer maximum cut and its last character raised by one, or
 * left out if none can be.
 *
 * No call allocates. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_STATS_H
#define TN_COLUMNS_PARQUET_STATS_H
#include "columns/arrow.h"
#include "columns/parquet/metadata.h"

#define TN_PARQUET_STATS_BYTES 64

typedef struct tn_parquet_bound { /* one byte more than is written tells whether it was all */
  uint8_t bytes[TN_PARQUET_STATS_BYTES + 1];
  uint32_t length;
  uint64_t prefix; /* the first 8 bytes as a big-endian number: most comparisons end here */
} tn_parquet_bound;

typedef struct tn_parquet_stats {
  tn_column_type type;
  bool seen; /* at least one value that counts */
  union {
    struct {
      int64_t min, max;
    } i;
    struct {
      uint64_t min, max;
    } u;
    struct {
      double min, max;
    } f;
    struct {
      tn_parquet_bound min, max;
    } s;
  };
} tn_parquet_stats;

void tn_parquet_stats_start(tn_parquet_stats *stats, tn_column_type type);
/* Values in their stored form (4 or 8 bytes each). */
void tn_parquet_stats_fixed(tn_parquet_stats *stats, const void *values, int64_t count);
void tn_parquet_stats_bools(tn_parquet_stats *stats, int64_t falses, int64_t trues);
void tn_parquet_stats_bytes(tn_parquet_stats *stats, const tn_str *values, int64_t count);
/* Fills min, max, present and the exact flags; the strings are views of `room`, two times
 * TN_PARQUET_STATS_BYTES. */
void tn_parquet_stats_range(const tn_parquet_stats *stats, char *room, tn_parquet_range *out);

#endif
