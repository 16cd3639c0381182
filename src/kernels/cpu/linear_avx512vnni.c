/* Products with weights of integers, AVX-512 with VNNI: 64 products of unsigned weights and signed
 * x an instruction, added to 32-bit sums.  Signed bytes become unsigned ones by adding 128, which
 * the start of the sum takes back. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#include <math.h>

#define INLINE        static inline __attribute__((always_inline))
#define ZERO_OF_BYTES 128
#define VECTOR_BYTES  64
#define TILE_ROWS     12 /* 12 sums, 12 rows of c, and room for weights and scales, of 32 */

INLINE void halves_to_floats(float *out, const uint8_t *in) {
  _mm512_storeu_ps(out, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)in)));
}

#include "kernels/cpu/expand.inc"
#include "kernels/cpu/quantize.inc"

INLINE __m512i four_of(const int8_t *x) {
  int32_t bits;
  memcpy(&bits, x, 4);
  return _mm512_set1_epi32(bits);
}

INLINE void tile_body(const int32_t m, const int32_t halves, const bool minima, float *c,
                      int64_t ldc, const tn_int_rows *x, int64_t at, const tn_int_panel *p) {
  const int32_t words = 8 / halves, groups = TN_CHUNK_GROUPS, starts = groups * halves;
  __m512 total[TILE_ROWS];
#pragma GCC unroll 12
  for (int32_t r = 0; r < m; r++) total[r] = _mm512_loadu_ps(c + r * ldc);
  for (int32_t g = 0; g < p->groups; g++) {
    const int8_t *q = x->q + at * TN_CHUNK + g * TN_GROUP;
    const float *scale = x->scale + at * groups + g;
#pragma GCC unroll 2
    for (int32_t h = 0; h < halves; h++, q += 16) {
      __m512i sum[TILE_ROWS];
      const uint8_t *w = p->q[g] + h * words * TN_WORD_BYTES;
      const int32_t *start = x->start ? x->start + at * starts + g * halves + h : NULL;
#pragma GCC unroll 12
      for (int32_t r = 0; r < m; r++)
        sum[r] = start ? _mm512_set1_epi32(start[r * starts]) : _mm512_setzero_si512();
#pragma GCC unroll 8
      for (int32_t j = 0; j < words; j++) {
        __m512i wj = _mm512_loadu_si512(w + j * TN_WORD_BYTES);
#pragma GCC unroll 12
        for (int32_t r = 0; r < m; r++)
          sum[r] = _mm512_dpbusd_epi32(sum[r], wj, four_of(q + r * TN_CHUNK + 4 * j));
      }
      __m512 s = _mm512_loadu_ps(p->scale[g * halves + h]);
#pragma GCC unroll 12
      for (int32_t r = 0; r < m; r++)
        total[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r]),
                                   _mm512_mul_ps(s, _mm512_set1_ps(scale[r * groups])), total[r]);
    }
    if (!minima) continue;
    __m512 minimum = _mm512_loadu_ps(p->minimum[g]);
    const float *sum = x->sum + at * groups + g;
#pragma GCC unroll 12
    for (int32_t r = 0; r < m; r++)
      total[r] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(sum[r * groups]), total[r]);
  }
#pragma GCC unroll 12
  for (int32_t r = 0; r < m; r++) _mm512_storeu_ps(c + r * ldc, total[r]);
}

#define TILE_CASE(m)                            \
  case m:                                       \
    if (x->starts == 2)                         \
      tile_body(m, 2, false, c, ldc, x, at, p); \
    else if (x->sum)                            \
      tile_body(m, 1, true, c, ldc, x, at, p);  \
    else                                        \
      tile_body(m, 1, false, c, ldc, x, at, p); \
    break;

static void tile(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                 const tn_int_panel *p, const tn_panel_format *f) {
  switch (m) {
    TILE_CASE(1)
    TILE_CASE(2)
    TILE_CASE(3)
    TILE_CASE(4)
    TILE_CASE(5)
    TILE_CASE(6)
    TILE_CASE(7)
    TILE_CASE(8)
    TILE_CASE(9)
    TILE_CASE(10)
    TILE_CASE(11)
    TILE_CASE(12)
  }
}

const tn_linear_isa tn_linear_avx512vnni = {.tile_rows = TILE_ROWS,
                                            .zero_of_bytes = ZERO_OF_BYTES,
                                            .quantize = quantize,
                                            .expand = expand,
                                            .tile = tile};

static tn_status linear(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  if (!tn_linear_takes_int(args)) return tn_cpu_rows_avx512.linear(stream, args, err);
  return tn_linear_int(&tn_linear_avx512vnni, stream, args, err);
}
const tn_ops tn_cpu_rows_avx512vnni = {.linear = linear};
#else
const tn_linear_isa tn_linear_avx512vnni = {0};
const tn_ops tn_cpu_rows_avx512vnni = {0};
#endif
