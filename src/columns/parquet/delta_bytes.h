/* delta_bytes.h - DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY (Encodings.md).
 *
 *     length: delta-packed lengths | the bytes of all values
 *     prefix: delta-packed prefix lengths | suffixes in the form above
 *
 * where a prefix is what a value shares with the one before it.  Lengths are unpacked as values are
 * asked for, so a page costs memory by what is read of it, not by what it claims. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_DELTA_BYTES_H
#define TN_COLUMNS_PARQUET_DELTA_BYTES_H
#include "columns/parquet/delta.h"

typedef struct tn_parquet_delta_bytes { /* all zero is valid for clear */
  tn_parquet_delta lengths, prefixes;
  bool prefixed;
  const uint8_t *at, *end; /* bytes not yet taken */
  tn_parquet_bytes last;   /* the value given last, when prefixed */
  tn_buffer *lender; /* borrowed, of the bytes when they may be given as they lie; else NULL */
} tn_parquet_delta_bytes;

/* The memory of `last` is kept. */
TN_NODISCARD tn_status tn_parquet_delta_bytes_init(tn_parquet_delta_bytes *d, const uint8_t *bytes,
                                                   size_t count, bool prefixed, tn_error *err);
/* `count` values: appends their bytes to `data` and their ends to ends[0..count).  TN_FULL: beyond
 * what int32 ends can count.  With `fixed` > 0 every value must have that length. */
TN_NODISCARD tn_status tn_parquet_delta_bytes_read(tn_parquet_delta_bytes *d, int64_t count,
                                                   int32_t fixed, int32_t *ends,
                                                   tn_parquet_bytes *data, tn_error *err);
void tn_parquet_delta_bytes_clear(tn_parquet_delta_bytes *d);

#endif
