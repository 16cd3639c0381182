/* levels.h - the RLE and bit-packed hybrid of Parquet (Encodings.md, "RLE").
 *
 *     run: varint (count << 1), value in ceil(width / 8) bytes            count times the value
 *        | varint (groups << 1 | 1), groups * width bytes                 8 * groups packed values
 *
 * It carries repetition and definition levels, dictionary indices (width 0 to 32) and booleans.
 * Width-1 data is read and written as bit runs, so the levels of flat columns become Arrow validity
 * without passing through integers.  The deprecated BIT_PACKED levels, most significant bit first,
 * are read by the same calls.  A decoder is a small value over borrowed bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_LEVELS_H
#define TN_COLUMNS_PARQUET_LEVELS_H
#include <stdbool.h>

#include "columns/parquet/bytes.h"

typedef struct tn_parquet_levels {
  const uint8_t *at, *end;
  int32_t width;
  bool msb;       /* BIT_PACKED: all of it is one packed run */
  uint32_t value; /* of the current repeated run */
  uint64_t repeat_left;
  const uint8_t *packed; /* the current packed run ... */
  const uint8_t *packed_end;
  uint64_t packed_at, packed_left; /* ... next value in it, values left */
} tn_parquet_levels;

/* width 0 to 32; with width 0 every value is 0 and no byte is read. */
void tn_parquet_levels_init(tn_parquet_levels *levels, const uint8_t *bytes, size_t count,
                            int32_t width);
/* BIT_PACKED levels (Encodings.md), most significant bit first; width 1 to 8. */
void tn_parquet_levels_init_msb(tn_parquet_levels *levels, const uint8_t *bytes, size_t count,
                                int32_t width);
/* Decodes `count` values; false when the bytes end before or are malformed. */
TN_NODISCARD bool tn_parquet_levels_read(tn_parquet_levels *levels, uint32_t *out, int64_t count);
/* The same for values of at most 8 bits. */
TN_NODISCARD bool tn_parquet_levels_read_u8(tn_parquet_levels *levels, uint8_t *out, int64_t count);
/* Passes over `count` values. */
TN_NODISCARD bool tn_parquet_levels_skip(tn_parquet_levels *levels, int64_t count);
/* Width 1: `count` bits into `bits` from bit `at` on.  *ones counts the set ones. */
TN_NODISCARD bool tn_parquet_levels_read_bits(tn_parquet_levels *levels, uint8_t *bits, int64_t at,
                                              int64_t count, int64_t *ones);

/* Appends the encoding of `count` values that fit into `width` bits. */
TN_NODISCARD tn_status tn_parquet_levels_write(tn_parquet_bytes *out, const uint32_t *values,
                                               int64_t count, int32_t width, tn_error *err);
/* Width 1, from the bits of `bits` from bit 0 on. */
TN_NODISCARD tn_status tn_parquet_levels_write_bits(tn_parquet_bytes *out, const uint8_t *bits,
                                                    int64_t count, tn_error *err);

/* `count` values of `width` bits (1 to 32), packed from bit 0 of `in` on; reads no further than
 * `in_end`. */
void tn_parquet_unpack(const uint8_t *in, const uint8_t *in_end, int32_t width, uint32_t *out,
                       int64_t count);

#endif
