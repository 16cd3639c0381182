/* plain.h - PLAIN values (Encodings.md): fixed-width ones back to back, byte arrays each behind a
 * four-byte length, booleans as bits.  Decoding also turns the stored form into the Arrow one.  */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_PLAIN_H
#define TN_COLUMNS_PARQUET_PLAIN_H
#include "columns/parquet/bytes.h"
#include "columns/parquet/schema.h"

int32_t tn_parquet_form_stored(tn_parquet_form form); /* bytes in the file; 0: variable or bits */
int32_t tn_parquet_form_arrow(tn_parquet_form form);  /* bytes in the Arrow array; 0 likewise */

/* `count` values of a fixed-width form; `in` holds them all.  A value that its declared type cannot
 * hold is TN_ERR_DATA. */
TN_NODISCARD tn_status tn_parquet_plain_fixed(tn_parquet_form form, const uint8_t *in,
                                              int64_t count, void *out, tn_error *err);
/* `count` byte arrays from *in, which moves on.  Appends their bytes to `data` and writes the
 * `count` ends (offsets[0] is the first value's end).  `fixed`: bytes a value, -1: behind their
 * length. */
TN_NODISCARD tn_status tn_parquet_plain_bytes(const uint8_t **in, const uint8_t *end, int32_t fixed,
                                              int64_t count, int32_t *offsets,
                                              tn_parquet_bytes *data, tn_error *err);

/* Arrow value buffer at row `from` -> stored values, for types of 8 to 64 bits; only rows whose bit
 * in `valid` (from bit `valid_from` on) is set, NULL: all.  `out` holds rows * stored bytes;
 * returns how many were taken. */
int64_t tn_parquet_plain_gather(tn_column_type type, const void *values, int64_t from, int64_t rows,
                                const uint8_t *valid, int64_t valid_from, void *out);

#endif
