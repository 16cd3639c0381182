/* stats.h - the smallest and the largest value of a page or a column chunk, as footer and column
 * index record them.
 *
 * The order is the leaf's own (TypeDefinedOrder): signed or unsigned integers, bytes as unsigned,
 * decimals as numbers.  NaN counts for nothing; a zero minimum is written as -0.0 and a zero
 * maximum as +0.0, so that readers may prune whatever the sign.  Of byte arrays 64 bytes are kept:
 * a longer minimum is cut (at a character of UTF-8), a longer maximum cut and its last character
 * raised by one, or left out if none can be.  Binary of a fixed size beyond that has no range.
 *
 * No call allocates. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_STATS_H
#define TN_COLUMNS_PARQUET_STATS_H
#include "columns/parquet/metadata.h"
#include "columns/parquet/stored.h"

#define TN_PARQUET_STATS_BYTES 64

typedef struct tn_parquet_bound { /* one byte more than is written tells whether it was all */
  uint8_t bytes[TN_PARQUET_STATS_BYTES + 1];
  uint32_t length;
  uint64_t prefix; /* the first 8 bytes as a number in this order: most comparisons end here */
} tn_parquet_bound;

typedef struct tn_parquet_stats {
  tn_parquet_order order;
  int32_t width; /* of a value; 0: variable */
  bool seen;     /* at least one value that counts */
  bool nan;      /* one that does not */
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

void tn_parquet_stats_start(tn_parquet_stats *stats, const tn_parquet_store *store);
void tn_parquet_stats_see(tn_parquet_stats *stats, const tn_parquet_slice *values);
void tn_parquet_stats_merge(tn_parquet_stats *stats, const tn_parquet_stats *other);
/* How the minima and the maxima of two that have seen values compare: below, at or above 0. */
void tn_parquet_stats_compare(const tn_parquet_stats *a, const tn_parquet_stats *b, int *min,
                              int *max);
/* Fills min, max, the flags about them and present; the strings are views of `room`, two times
 * TN_PARQUET_STATS_BYTES. */
void tn_parquet_stats_range(const tn_parquet_stats *stats, char *room, tn_parquet_range *out);

#endif
