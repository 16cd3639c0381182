/* byte_stream_split.h - BYTE_STREAM_SPLIT (Encodings.md): the first bytes of all values, then all
 * second bytes, and so on; bytes that are alike then lie side by side.
 *
 *     values aA bB cC  -->  abc ABC
 *
 * For FLOAT, DOUBLE, INT32, INT64 and FIXED_LEN_BYTE_ARRAY.  Any run of values can be read alone.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_BYTE_STREAM_SPLIT_H
#define TN_COLUMNS_PARQUET_BYTE_STREAM_SPLIT_H
#include <stdint.h>

/* Values [from, from + count) of the `total` values of `width` bytes each in `in`. */
void tn_parquet_bss_read(const uint8_t *in, int64_t total, int32_t width, int64_t from,
                         int64_t count, uint8_t *out);
/* The plain form, and the one that AVX2 has (widths 4 and 8); for tests. */
void tn_parquet_bss_read_plain(const uint8_t *in, int64_t total, int32_t width, int64_t from,
                               int64_t count, uint8_t *out);
void tn_parquet_bss_read_avx2(const uint8_t *in, int64_t total, int32_t width, int64_t from,
                              int64_t count, uint8_t *out);

#endif
