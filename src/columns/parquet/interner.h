/* interner.h - the distinct values of a column chunk, numbered in order of appearance.
 *
 * Open addressing with linear probing; a slot is 64 bits: a 32-bit tag and the value's number + 1,
 * so that a probe touches the values only on a likely match.  `values` is the body of the
 * dictionary page: PLAIN, byte arrays behind their length. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_INTERNER_H
#define TN_COLUMNS_PARQUET_INTERNER_H
#include "base/str.h"
#include "columns/parquet/bytes.h"

typedef struct tn_parquet_interner { /* all zero, then width and bytes_max, is valid and empty */
  int32_t width;                     /* stored bytes of a value; 0: byte arrays */
  size_t bytes_max;                  /* of `values` */
  uint32_t count;
  tn_parquet_bytes values;
  tn_parquet_bytes starts; /* byte arrays: uint32 a value, its length's place in `values` */
  uint64_t *slots;
  int32_t slot_bits;
} tn_parquet_interner;

/* Numbers of `count` values into indices[0..count).  TN_FULL: a new value would pass bytes_max;
 * some of the values may have been taken in. */
TN_NODISCARD tn_status tn_parquet_intern_fixed(tn_parquet_interner *interner, const void *values,
                                               int64_t count, uint32_t *indices, tn_error *err);
TN_NODISCARD tn_status tn_parquet_intern_bytes(tn_parquet_interner *interner, const tn_str *values,
                                               int64_t count, uint32_t *indices, tn_error *err);
tn_str tn_parquet_interner_str(const tn_parquet_interner *interner, uint32_t index);
void tn_parquet_interner_reset(tn_parquet_interner *interner); /* keeps the memory */
void tn_parquet_interner_clear(tn_parquet_interner *interner);

#endif
