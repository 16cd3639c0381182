/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/byte_stream_split.h"

#ifdef __AVX2__
#include <immintrin.h>

static __m128i load(const uint8_t *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}
static void store(uint8_t *p, __m128i v) {
  _mm_storeu_si128((__m128i *)(void *)p, v);
}

/* 16 values of 4 bytes: two rounds of interleaving. */
static void sixteen_of_4(const uint8_t *in, int64_t total, uint8_t *out) {
  __m128i a = load(in), b = load(in + total), c = load(in + 2 * total), d = load(in + 3 * total);
  __m128i ab0 = _mm_unpacklo_epi8(a, b), ab1 = _mm_unpackhi_epi8(a, b);
  __m128i cd0 = _mm_unpacklo_epi8(c, d), cd1 = _mm_unpackhi_epi8(c, d);
  store(out, _mm_unpacklo_epi16(ab0, cd0));
  store(out + 16, _mm_unpackhi_epi16(ab0, cd0));
  store(out + 32, _mm_unpacklo_epi16(ab1, cd1));
  store(out + 48, _mm_unpackhi_epi16(ab1, cd1));
}

/* 16 values of 8 bytes: three rounds. */
static void sixteen_of_8(const uint8_t *in, int64_t total, uint8_t *out) {
  __m128i two[4][2], four[2][4];
  for (int k = 0; k < 4; k++) {
    __m128i a = load(in + 2 * k * total), b = load(in + (2 * k + 1) * total);
    two[k][0] = _mm_unpacklo_epi8(a, b);
    two[k][1] = _mm_unpackhi_epi8(a, b);
  }
  for (int k = 0; k < 2; k++) {
    for (int h = 0; h < 2; h++) {
      four[k][2 * h] = _mm_unpacklo_epi16(two[2 * k][h], two[2 * k + 1][h]);
      four[k][2 * h + 1] = _mm_unpackhi_epi16(two[2 * k][h], two[2 * k + 1][h]);
    }
  }
  for (int h = 0; h < 4; h++) {
    store(out + 32 * h, _mm_unpacklo_epi32(four[0][h], four[1][h]));
    store(out + 32 * h + 16, _mm_unpackhi_epi32(four[0][h], four[1][h]));
  }
}

void tn_parquet_bss_read_avx2(const uint8_t *in, int64_t total, int32_t width, int64_t from,
                              int64_t count, uint8_t *out) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    if (width == 4) {
      sixteen_of_4(in + from + i, total, out + i * 4);
    } else {
      sixteen_of_8(in + from + i, total, out + i * 8);
    }
  }
  tn_parquet_bss_read_plain(in, total, width, from + i, count - i, out + i * width);
}
#else
void tn_parquet_bss_read_avx2(const uint8_t *in, int64_t total, int32_t width, int64_t from,
                              int64_t count, uint8_t *out) {
  tn_parquet_bss_read_plain(in, total, width, from, count, out);
}
#endif
