/* stored.h - Arrow values in the form in which Parquet stores them.
 *
 * A tn_parquet_store says for one leaf what happens between the two: nothing for most types (the
 * slice then views the Arrow buffer itself), widening of short integers, days out of milliseconds,
 * big-endian bytes of a decimal.  A slice is a run of non-null values, densely:
 *
 *     Arrow rows   a  -  b  c  -        slice   a b c
 *
 * Physical and logical types: LogicalTypes.md of https://github.com/apache/parquet-format. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_STORED_H
#define TN_COLUMNS_PARQUET_STORED_H
#include "columns/parquet/bytes.h"
#include "columns/type.h"

typedef enum tn_parquet_put {
  TN_PARQUET_PUT_NONE, /* the null type: there are no values */
  TN_PARQUET_PUT_BITS, /* booleans */
  TN_PARQUET_PUT_RAW,  /* `width` bytes as they are */
  TN_PARQUET_PUT_I8,   /* to int32 */
  TN_PARQUET_PUT_U8,
  TN_PARQUET_PUT_I16,
  TN_PARQUET_PUT_U16,
  TN_PARQUET_PUT_DATE64,    /* milliseconds to days */
  TN_PARQUET_PUT_SECONDS32, /* int32 seconds to milliseconds */
  TN_PARQUET_PUT_SECONDS64,
  TN_PARQUET_PUT_INT96, /* timestamps of store->unit to nanoseconds of a Julian day, and that day */
  TN_PARQUET_PUT_DECIMAL_INT,   /* to int32 or int64, as `width` says */
  TN_PARQUET_PUT_DECIMAL_BYTES, /* to `width` bytes, big-endian */
  TN_PARQUET_PUT_MONTHS,        /* the three intervals to months, days, milliseconds */
  TN_PARQUET_PUT_DAY_TIME,
  TN_PARQUET_PUT_MONTH_DAY_NANO,
  TN_PARQUET_PUT_BYTES, /* text and binary of the three layouts */
  TN_PARQUET_PUT_LARGE_BYTES,
  TN_PARQUET_PUT_VIEW,
} tn_parquet_put;

/* How stored values compare, for minimum and maximum (TypeDefinedOrder). */
typedef enum tn_parquet_order {
  TN_PARQUET_BY_NOTHING, /* no order is defined: no statistics */
  TN_PARQUET_BY_INT32,
  TN_PARQUET_BY_INT64,
  TN_PARQUET_BY_UINT32,
  TN_PARQUET_BY_UINT64,
  TN_PARQUET_BY_BOOL,
  TN_PARQUET_BY_HALF,
  TN_PARQUET_BY_FLOAT,
  TN_PARQUET_BY_DOUBLE,
  TN_PARQUET_BY_BYTES,   /* unsigned, byte by byte */
  TN_PARQUET_BY_TEXT,    /* the same; cut at characters */
  TN_PARQUET_BY_DECIMAL, /* big-endian two's complement */
} tn_parquet_order;

typedef struct tn_parquet_store {
  tn_parquet_put put;
  tn_parquet_order order;
  int32_t physical;  /* TN_PARQUET_INT32 ... */
  int32_t width;     /* bytes of a stored value; 0: BOOLEAN and BYTE_ARRAY */
  int32_t arrow;     /* bytes of an Arrow value; 0: bits and variable size */
  tn_time_unit unit; /* INT96 alone */
} tn_parquet_store;

typedef struct tn_parquet_slice { /* exactly one of the three pointers is set */
  const uint8_t *fixed;           /* `width` bytes each */
  const tn_str *bytes;
  const uint8_t *bits; /* booleans from bit 0 on */
  int64_t count;
  int64_t plain_bytes; /* what they take as PLAIN */
} tn_parquet_slice;

/* `count` values, none of them null: those at places[0..count) of the array's buffers, or with
 * places NULL at from, from + 1 ...  The array's offset is already in them.  What had to be
 * converted lies in `room`, which is overwritten; the rest is a view of the array.
 * TN_ERR_ARGUMENT: offsets that run backwards; TN_ERR_DATA: a value that Parquet cannot hold. */
TN_NODISCARD tn_status tn_parquet_gather(const tn_parquet_store *store, const ArrowArray *array,
                                         const int64_t *places, int64_t from, int64_t count,
                                         tn_parquet_bytes *room, tn_parquet_slice *out,
                                         tn_error *err);

#endif
