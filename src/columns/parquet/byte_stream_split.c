/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/byte_stream_split.h"

#include "columns/parquet/simd.h"

void tn_parquet_bss_read_plain(const uint8_t *in, int64_t total, int32_t width, int64_t from,
                               int64_t count, uint8_t *out) {
  for (int32_t k = 0; k < width; k++) {
    const uint8_t *stream = in + k * total + from;
    for (int64_t i = 0; i < count; i++) out[i * width + k] = stream[i];
  }
}

void tn_parquet_bss_read(const uint8_t *in, int64_t total, int32_t width, int64_t from,
                         int64_t count, uint8_t *out) {
  if ((width == 4 || width == 8) && tn_parquet_has_avx2()) {
    tn_parquet_bss_read_avx2(in, total, width, from, count, out);
  } else {
    tn_parquet_bss_read_plain(in, total, width, from, count, out);
  }
}
