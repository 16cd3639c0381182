/* Products with weights of integers, AVX2: 32 products an instruction, of unsigned weights and
 * signed x, summed in pairs to 16 bits.  How many pairs 16 bits hold decides when they are widened:
 * 2 * 127 * 15 * 8 and 2 * 127 * 31 * 4 and 2 * 127 * 63 * 2 and 2 * 127 * 128 are below 2^15.
 * Signed bytes give their sign to x (127 at most, so that nothing overflows) and multiply as
 * magnitudes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/linear.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <math.h>

#define INLINE        static inline __attribute__((always_inline))
#define ZERO_OF_BYTES 0
#define VECTOR_BYTES  32
#define TILE_ROWS     4

INLINE void halves_to_floats(float *out, const uint8_t *in) {
  _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128((const void *)in)));
  _mm256_storeu_ps(out + 8, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(in + 16))));
}

#include "kernels/cpu/expand.inc"
#include "kernels/cpu/quantize.inc"

INLINE __m256i load(const void *from) {
  return _mm256_loadu_si256(from);
}
INLINE __m256i four_of(const int8_t *x) {
  int32_t bits;
  memcpy(&bits, x, 4);
  return _mm256_set1_epi32(bits);
}
INLINE __m256i widen(__m256i pairs) {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* Sums of a loop stay in their registers: given intrinsics, the compiler copies and spills them. */
INLINE void add16(__m256i *sum, __m256i a) {
  __asm__("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(a));
}
INLINE void add32(__m256i *sum, __m256i a) {
  __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(a));
}

/* sum[r] = products of `words` words, x[r] and w; depth of them fit 16 bits.  The loops over words
 * stay loops: unrolled whole, the compiler keeps more sums than there are registers. */
INLINE void dot_unsigned(const int32_t m, const int32_t words, const int32_t depth,
                         __m256i sum[TILE_ROWS][2], const int8_t *x, int64_t K, const uint8_t *w) {
#pragma GCC unroll 4
  for (int32_t d = 0; d < words; d += depth) {
    __m256i pairs[TILE_ROWS][2];
#pragma GCC unroll 4
    for (int32_t r = 0; r < m; r++) pairs[r][0] = pairs[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int32_t j = 0; j < depth; j++, x += 4, w += TN_WORD_BYTES) {
      __m256i w0 = load(w), w1 = load(w + 32);
#pragma GCC unroll 4
      for (int32_t r = 0; r < m; r++) {
        __m256i a = four_of(x + r * K);
        add16(&pairs[r][0], _mm256_maddubs_epi16(w0, a));
        add16(&pairs[r][1], _mm256_maddubs_epi16(w1, a));
      }
    }
#pragma GCC unroll 4
    for (int32_t r = 0; r < m; r++)
#pragma GCC unroll 2
      for (int32_t h = 0; h < 2; h++) {
        __m256i wide = widen(pairs[r][h]);
        sum[r][h] = d == 0 ? wide : _mm256_add_epi32(sum[r][h], wide);
      }
  }
}

INLINE void dot_signed(const int32_t m, __m256i sum[TILE_ROWS][2], const int8_t *x, int64_t K,
                       const uint8_t *w) {
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
  for (int32_t j = 0; j < 8; j++, x += 4, w += TN_WORD_BYTES) {
    __m256i w0 = load(w), w1 = load(w + 32);
    if (m <= 2) __builtin_prefetch(w + TN_AHEAD_BYTES, 0, 3);
    __m256i u0 = _mm256_abs_epi8(w0), u1 = _mm256_abs_epi8(w1);
#pragma GCC unroll 4
    for (int32_t r = 0; r < m; r++) {
      __m256i a = four_of(x + r * K);
      add32(&sum[r][0], widen(_mm256_maddubs_epi16(u0, _mm256_sign_epi8(a, w0))));
      add32(&sum[r][1], widen(_mm256_maddubs_epi16(u1, _mm256_sign_epi8(a, w1))));
    }
  }
}

INLINE void add_scaled(const int32_t m, float *c, int64_t ldc, __m256i sum[TILE_ROWS][2],
                       const float *scale, const float *x_scale, int64_t groups,
                       const int32_t *start, int64_t starts) {
  __m256 s0 = _mm256_load_ps(scale), s1 = _mm256_load_ps(scale + 8);
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    if (start) {
      __m256i from = _mm256_set1_epi32(start[r * starts]);
      sum[r][0] = _mm256_add_epi32(sum[r][0], from);
      sum[r][1] = _mm256_add_epi32(sum[r][1], from);
    }
    __m256 xs = _mm256_set1_ps(x_scale[r * groups]);
    __m256 c0 = _mm256_loadu_ps(c + r * ldc), c1 = _mm256_loadu_ps(c + r * ldc + 8);
    c0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][0]), _mm256_mul_ps(s0, xs), c0);
    c1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][1]), _mm256_mul_ps(s1, xs), c1);
    _mm256_storeu_ps(c + r * ldc, c0);
    _mm256_storeu_ps(c + r * ldc + 8, c1);
  }
}

INLINE void add_minima(const int32_t m, float *c, int64_t ldc, const float *minimum,
                       const float *x_sum, int64_t groups) {
  __m256 m0 = _mm256_load_ps(minimum), m1 = _mm256_load_ps(minimum + 8);
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    __m256 xs = _mm256_set1_ps(x_sum[r * groups]);
    float *at = c + r * ldc;
    _mm256_storeu_ps(at, _mm256_fmadd_ps(m0, xs, _mm256_loadu_ps(at)));
    _mm256_storeu_ps(at + 8, _mm256_fmadd_ps(m1, xs, _mm256_loadu_ps(at + 8)));
  }
}

INLINE void tile_body(const int32_t m, const tn_panel_kind kind, float *c, int64_t ldc,
                      const tn_int_rows *x, int64_t row, int64_t group, const tn_int_panel *p) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1, words = 8 / halves;
  const int32_t depth = kind == TN_PANEL_U4 ? 8 : kind == TN_PANEL_U5 ? 4 : 2;
  int64_t groups = x->groups, starts = groups * halves;
  for (int32_t g = 0; g < p->groups; g++) {
    int64_t at = row * groups + group + g;
    const int8_t *q = x->q + row * x->K + (group + g) * TN_GROUP;
#pragma GCC unroll 2
    for (int32_t h = 0; h < halves; h++) {
      __m256i sum[TILE_ROWS][2];
      if (kind == TN_PANEL_S8)
        dot_signed(m, sum, q, x->K, p->q[g]);
      else
        dot_unsigned(m, words, depth, sum, q + 16 * h, x->K, p->q[g] + h * words * TN_WORD_BYTES);
      const int32_t *start = x->start ? x->start + row * starts + (group + g) * halves + h : NULL;
      add_scaled(m, c, ldc, sum, p->scale[g * halves + h], x->scale + at, groups, start, starts);
    }
    if (x->sum) add_minima(m, c, ldc, p->minimum[g], x->sum + at, groups);
  }
}

#define KIND_CASE(m, kind)                        \
  case kind:                                      \
    tile_body(m, kind, c, ldc, x, row, group, p); \
    break;
#define TILE_CASE(m)            \
  case m:                       \
    switch (f->kind) {          \
      KIND_CASE(m, TN_PANEL_U4) \
      KIND_CASE(m, TN_PANEL_U5) \
      KIND_CASE(m, TN_PANEL_U6) \
      KIND_CASE(m, TN_PANEL_S8) \
    }                           \
    break;

static void tile(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t row, int64_t group,
                 const tn_int_panel *p, const tn_panel_format *f) {
  switch (m) {
    TILE_CASE(1)
    TILE_CASE(2)
    TILE_CASE(3)
    TILE_CASE(4)
  }
}

const tn_linear_isa tn_linear_avx2 = {.tile_rows = TILE_ROWS,
                                      .zero_of_bytes = ZERO_OF_BYTES,
                                      .quantize = quantize,
                                      .expand = expand,
                                      .tile = tile};
#else
const tn_linear_isa tn_linear_avx2 = {0};
#endif
