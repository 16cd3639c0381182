/* bounds.h - what statistics let one be sure of: between which values all values of a chunk or of a
 * page lie, and how these compare.
 *
 * Only what is safe comes through.  min_value and max_value count where the file declares an order
 * for the column; the deprecated min and max where signed comparison is the type's own; bounds that
 * are NaN, of a wrong length, the wrong way round, or of a type without an order (INTERVAL,
 * VARIANT, GEOMETRY, an unknown logical type, INT96 without its own order) are dropped.  A bound
 * need not be a value that occurs: long ones are cut.  Nulls and NaNs lie outside all bounds.
 *
 * The rules: Statistics, ColumnOrder and ColumnIndex in parquet.thrift of parquet-format. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_BOUNDS_H
#define TN_COLUMNS_PARQUET_BOUNDS_H
#include "columns/parquet/index.h"

typedef enum tn_parquet_compare { /* how a column's values in PLAIN form compare */
                                  TN_PARQUET_COMPARE_NONE, /* no order is defined */
                                  TN_PARQUET_COMPARE_BOOL,
                                  TN_PARQUET_COMPARE_I32,
                                  TN_PARQUET_COMPARE_U32,
                                  TN_PARQUET_COMPARE_I64,
                                  TN_PARQUET_COMPARE_U64,
                                  TN_PARQUET_COMPARE_HALF, /* by value, -0 equals +0 */
                                  TN_PARQUET_COMPARE_FLOAT,
                                  TN_PARQUET_COMPARE_DOUBLE,
                                  TN_PARQUET_COMPARE_BYTES,   /* unsigned, a prefix is smaller */
                                  TN_PARQUET_COMPARE_DECIMAL, /* big-endian two's complement of any
                                                                 length */
                                  TN_PARQUET_COMPARE_INT96,   /* days, then nanoseconds */
} tn_parquet_compare;

typedef struct tn_parquet_bounds {
  tn_parquet_compare compare;
  tn_str min, max; /* in PLAIN form, valid for `compare`; where has_... */
  bool has_min, has_max;
  bool min_exact, max_exact; /* known to occur */
  bool all_null;             /* no value at all */
  bool maybe_nan;            /* NaNs may be there beside what the bounds say */
  bool only_nan;             /* every value that is not null is NaN */
  int64_t nulls;             /* -1: not known */
} tn_parquet_bounds;

/* The order of a column, by its type and its ColumnOrder (TN_PARQUET_ORDER_...). */
tn_parquet_compare tn_parquet_compare_of(const tn_parquet_element *element, uint8_t order);
/* Of a chunk, or of a page with the statistics in its header; `values` counts nulls too, -1: not
 * known. */
void tn_parquet_bounds_of_range(const tn_parquet_element *element, uint8_t order,
                                const tn_parquet_range *range, int64_t values,
                                tn_parquet_bounds *out);
/* Of one page by the column index. */
void tn_parquet_bounds_of_page(const tn_parquet_element *element, uint8_t order,
                               const tn_parquet_column_index *index, uint32_t page,
                               tn_parquet_bounds *out);
/* Of a column chunk of an opened file: the two above with the file's own order. */
void tn_parquet_bounds_of_chunk(const tn_parquet_file *file, int64_t group, int64_t column,
                                tn_parquet_bounds *out);
uint8_t tn_parquet_column_order(const tn_parquet_footer *footer, int64_t column);

/* Two valid values in PLAIN form: negative, 0, positive.  Not for NONE; no NaN. */
int tn_parquet_bound_compare(tn_parquet_compare compare, tn_str a, tn_str b);

typedef struct tn_parquet_number {
  enum { TN_PARQUET_SIGNED, TN_PARQUET_UNSIGNED, TN_PARQUET_REAL } kind;
  union {
    int64_t i;
    uint64_t u;
    double f;
  };
} tn_parquet_number;
/* A valid value as a number: a boolean as 0 or 1, a decimal without its scale, INT96 as nanoseconds
 * since 1970; false for bytes and for what does not fit. */
bool tn_parquet_bound_number(tn_parquet_compare compare, tn_str bound, tn_parquet_number *out);

#endif
