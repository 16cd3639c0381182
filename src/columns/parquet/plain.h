/* plain.h - PLAIN values (Encodings.md): fixed-width ones back to back, byte arrays each behind a
 * four-byte length, booleans as bits.  form.h turns fixed-width ones into Arrow values. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_PLAIN_H
#define TN_COLUMNS_PARQUET_PLAIN_H
#include "columns/parquet/bytes.h"
#include "columns/parquet/schema.h"

/* `count` byte arrays from *in, which moves on.  Appends their bytes to `data` and writes the
 * `count` ends (ends[0] is the first value's end).  TN_FULL: beyond what int32 ends can count. */
TN_NODISCARD tn_status tn_parquet_plain_bytes(const uint8_t **in, const uint8_t *end, int64_t count,
                                              int32_t *ends, tn_parquet_bytes *data, tn_error *err);

#endif
