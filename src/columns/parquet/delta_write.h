/* delta_write.h - the encodings that store differences, and the one that splits bytes
 * (Encodings.md).
 *
 *     DELTA_BINARY_PACKED      header, then blocks of 128 differences: the smallest, 4 widths, bits
 *     DELTA_LENGTH_BYTE_ARRAY  lengths so packed, then all bytes
 *     DELTA_BYTE_ARRAY         shared prefixes so packed, then the suffixes as above
 *     BYTE_STREAM_SPLIT        byte 0 of every value, byte 1 of every value ...
 *
 * All append to `out`.  Byte arrays come as lengths and one run of bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_DELTA_WRITE_H
#define TN_COLUMNS_PARQUET_DELTA_WRITE_H
#include "columns/parquet/bytes.h"

TN_NODISCARD tn_status tn_parquet_delta_write_32(tn_parquet_bytes *out, const void *values,
                                                 int64_t count, tn_error *err);
TN_NODISCARD tn_status tn_parquet_delta_write_64(tn_parquet_bytes *out, const void *values,
                                                 int64_t count, tn_error *err);
TN_NODISCARD tn_status tn_parquet_delta_length_write(tn_parquet_bytes *out, const uint32_t *lengths,
                                                     int64_t count, const uint8_t *bytes,
                                                     size_t byte_count, tn_error *err);
/* `room` is overwritten: prefixes and suffix lengths. */
TN_NODISCARD tn_status tn_parquet_delta_prefix_write(tn_parquet_bytes *out, const uint32_t *lengths,
                                                     int64_t count, const uint8_t *bytes,
                                                     tn_parquet_bytes *room, tn_error *err);
TN_NODISCARD tn_status tn_parquet_split_write(tn_parquet_bytes *out, const uint8_t *values,
                                              int32_t width, int64_t count, tn_error *err);

#endif
