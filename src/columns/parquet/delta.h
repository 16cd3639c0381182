/* delta.h - DELTA_BINARY_PACKED integers (Encodings.md): differences, packed in blocks.
 *
 *     header: values a block, miniblocks a block, values in all, first value
 *     block:  smallest difference, a bit width a miniblock, the miniblocks
 *
 * A decoder is a small value over borrowed bytes and goes forward only; it serves 32 and 64-bit
 * values, whose arithmetic wraps.  DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY use it for their
 * lengths.  The encoder is in delta_write.c. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_DELTA_H
#define TN_COLUMNS_PARQUET_DELTA_H
#include <stdbool.h>

#include "columns/parquet/bytes.h"

enum { TN_PARQUET_DELTA_BLOCK_MAX = 1 << 20, TN_PARQUET_DELTA_MINIBLOCKS_MAX = 1 << 12 };

typedef struct tn_parquet_delta {
  const uint8_t *at, *end;
  uint64_t left;                     /* values not yet given */
  bool first;                        /* the next one is the header's */
  uint64_t value;                    /* the last one given, or the header's */
  uint64_t min_delta;                /* of the current block */
  uint32_t block, mini, mini_values; /* values a block, miniblocks a block, values a miniblock */
  const uint8_t *widths;             /* of the current block's miniblocks */
  uint32_t mini_at, mini_left;       /* the current miniblock, values left in it */
  const uint8_t *packed;             /* the current miniblock */
} tn_parquet_delta;

/* TN_ERR_DATA: no header, or one that is not possible; TN_ERR_LIMIT: blocks beyond the limits
 * above.
 */
TN_NODISCARD tn_status tn_parquet_delta_init(tn_parquet_delta *delta, const uint8_t *bytes,
                                             size_t count, tn_error *err);
/* Exactly `count` values; false when there are fewer or the bytes end. */
TN_NODISCARD bool tn_parquet_delta_read_i64(tn_parquet_delta *delta, int64_t *out, int64_t count);
TN_NODISCARD bool tn_parquet_delta_read_i32(tn_parquet_delta *delta, int32_t *out, int64_t count);
/* Goes through all values that are left; the bytes behind them then begin at `at`. */
TN_NODISCARD bool tn_parquet_delta_finish(tn_parquet_delta *delta);

#endif
