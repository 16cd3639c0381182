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

/* sum[r] = products of `words` words, x[r] and w; depth of them fit 16 bits. */
INLINE void dot_unsigned(const int32_t m, const int32_t words, const int32_t depth,
                         __m256i (*sum)[2], const int8_t *x, const uint8_t *w) {
#pragma GCC unroll 4
  for (int32_t d = 0; d < words; d += depth) {
    __m256i pairs[TILE_ROWS][2];
#pragma GCC unroll 8
    for (int32_t j = d; j < d + depth; j++) {
      __m256i w0 = load(w + j * TN_WORD_BYTES), w1 = load(w + j * TN_WORD_BYTES + 32);
#pragma GCC unroll 4
      for (int32_t r = 0; r < m; r++) {
        __m256i a = four_of(x + r * TN_CHUNK + 4 * j);
        if (j == d) {
          pairs[r][0] = _mm256_maddubs_epi16(w0, a);
          pairs[r][1] = _mm256_maddubs_epi16(w1, a);
        } else {
          add16(&pairs[r][0], _mm256_maddubs_epi16(w0, a));
          add16(&pairs[r][1], _mm256_maddubs_epi16(w1, a));
        }
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

INLINE void dot_signed(const int32_t m, __m256i (*sum)[2], const int8_t *x, const uint8_t *w) {
#pragma GCC unroll 8
  for (int32_t j = 0; j < 8; j++, w += TN_WORD_BYTES) {
    __m256i w0 = load(w), w1 = load(w + 32);
    if (m == 2) __builtin_prefetch(w + TN_AHEAD_BYTES, 0, 3);
    __m256i u0 = _mm256_abs_epi8(w0), u1 = _mm256_abs_epi8(w1);
#pragma GCC unroll 4
    for (int32_t r = 0; r < m; r++) {
      __m256i a = four_of(x + r * TN_CHUNK + 4 * j);
      __m256i s0 = widen(_mm256_maddubs_epi16(u0, _mm256_sign_epi8(a, w0)));
      __m256i s1 = widen(_mm256_maddubs_epi16(u1, _mm256_sign_epi8(a, w1)));
      if (j == 0) {
        sum[r][0] = s0;
        sum[r][1] = s1;
      } else {
        add32(&sum[r][0], s0);
        add32(&sum[r][1], s1);
      }
    }
  }
}

/* What rows of x are besides their bytes, from a group on.  NULL: the type has none. */
typedef struct beside {
  const float *scale, *sum;
  const int32_t *start;
} beside;

INLINE void add_scaled(const int32_t m, const int32_t starts, float *c, int64_t ldc,
                       __m256i (*sum)[2], const float *scale, const float *minimum,
                       const beside *x) {
  __m256 s0 = _mm256_load_ps(scale), s1 = _mm256_load_ps(scale + 8);
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    if (x->start) {
      __m256i from = _mm256_set1_epi32(x->start[r * starts]);
      sum[r][0] = _mm256_add_epi32(sum[r][0], from);
      sum[r][1] = _mm256_add_epi32(sum[r][1], from);
    }
    __m256 xs = _mm256_set1_ps(x->scale[r * TN_CHUNK_GROUPS]);
    __m256 c0 = _mm256_loadu_ps(c + r * ldc), c1 = _mm256_loadu_ps(c + r * ldc + 8);
    c0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][0]), _mm256_mul_ps(s0, xs), c0);
    c1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r][1]), _mm256_mul_ps(s1, xs), c1);
    if (minimum) {
      __m256 x_sum = _mm256_set1_ps(x->sum[r * TN_CHUNK_GROUPS]);
      c0 = _mm256_fmadd_ps(_mm256_load_ps(minimum), x_sum, c0);
      c1 = _mm256_fmadd_ps(_mm256_load_ps(minimum + 8), x_sum, c1);
    }
    _mm256_storeu_ps(c + r * ldc, c0);
    _mm256_storeu_ps(c + r * ldc + 8, c1);
  }
}

/* Types have a zero or minima, signed bytes no zero; minima have no halves. */
INLINE void tile_body(const int32_t m, const tn_panel_kind kind, const bool minima, float *c,
                      int64_t ldc, const tn_int_rows *x, int64_t at, const tn_int_panel *p) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1, words = 8 / halves;
  const int32_t depth = kind == TN_PANEL_U4 ? 8 : kind == TN_PANEL_U5 ? 4 : 2;
  const int32_t starts = TN_CHUNK_GROUPS * halves;
  const bool zero = kind != TN_PANEL_S8 && !minima;
  const int8_t *q = x->q + at * TN_CHUNK;
  const beside first = {.scale = x->scale + at * TN_CHUNK_GROUPS,
                        .sum = minima ? x->sum + at * TN_CHUNK_GROUPS : NULL,
                        .start = zero ? x->start + at * starts : NULL};
  for (int32_t g = 0; g < p->groups; g++, q += TN_GROUP) {
#pragma GCC unroll 2
    for (int32_t h = 0; h < halves; h++) {
      __m256i sum[TILE_ROWS][2];
      const beside here = {.scale = first.scale + g,
                           .sum = minima ? first.sum + g : NULL,
                           .start = zero ? first.start + g * halves + h : NULL};
      if (kind == TN_PANEL_S8)
        dot_signed(m, sum, q, p->q[g]);
      else
        dot_unsigned(m, words, depth, sum, q + 16 * h, p->q[g] + h * words * TN_WORD_BYTES);
      add_scaled(m, starts, c, ldc, sum, p->scale[g * halves + h], minima ? p->minimum[g] : NULL,
                 &here);
    }
  }
}

#define KIND_CASE(m, kind)                         \
  case kind:                                       \
    if (f->has_minimum)                            \
      tile_body(m, kind, true, c, ldc, x, at, p);  \
    else                                           \
      tile_body(m, kind, false, c, ldc, x, at, p); \
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

static void tile(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                 const tn_int_panel *p, const tn_panel_format *f) {
  switch (m) {
    TILE_CASE(1)
    TILE_CASE(2)
    TILE_CASE(3)
    TILE_CASE(4)
  }
}

/* ---- a row alone: weights go from the packed panel to registers ---- */

/* sum[h] = products of x and a packed group: of all words, or of a half each. */
INLINE void dot_nibbles(const tn_panel_kind kind, __m256i sum[2][1][2], const int8_t *x,
                        const uint8_t *planes, const uint8_t *words) {
  const int32_t above = kind == TN_PANEL_U4 ? 0 : kind == TN_PANEL_U5 ? 1 : 2;
#pragma GCC unroll 2
  for (int32_t v = 0; v < 2; v++) {
    __m256i pairs[2], wide[2];
#pragma GCC unroll 4
    for (int32_t j = 0; j < 4; j++) {
      bytes_v low, high;
      unpack_words(&low, &high, planes, words, j, 32 * v, above);
      __m256i p0 = _mm256_maddubs_epi16((__m256i)low, four_of(x + 4 * j));
      __m256i p1 = _mm256_maddubs_epi16((__m256i)high, four_of(x + 4 * j + 16));
      if (j == 0 || (kind == TN_PANEL_U6 && j == 2)) {
        pairs[0] = p0;
        pairs[1] = p1;
      } else {
        add16(&pairs[0], p0);
        add16(&pairs[1], p1);
      }
      if (kind == TN_PANEL_U6 && j == 1) {
        wide[0] = widen(pairs[0]);
        wide[1] = widen(pairs[1]);
      }
    }
    if (kind == TN_PANEL_U6) {
      sum[0][0][v] = _mm256_add_epi32(wide[0], widen(pairs[0]));
      sum[1][0][v] = _mm256_add_epi32(wide[1], widen(pairs[1]));
    } else if (kind == TN_PANEL_U5) {
      sum[0][0][v] = _mm256_add_epi32(widen(pairs[0]), widen(pairs[1]));
    } else {
      sum[0][0][v] = widen(_mm256_add_epi16(pairs[0], pairs[1]));
    }
  }
}

/* Every line once, planes and scales too: one that is missing stalls the row. */
INLINE void ask_ahead(const uint8_t *from, const int32_t bytes) {
#pragma GCC unroll 8
  for (int32_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + TN_AHEAD_BYTES + i, 0, 3);
}

/* Everything about the type is a constant where this is called. */
INLINE void row_body(float *c, const tn_int_rows *x, int64_t at, tn_int_panel *p,
                     const uint8_t *blocks, const tn_dtype dtype, const tn_panel_kind kind,
                     const int32_t elements, const int32_t header_bytes, const int32_t planes,
                     const int32_t words, const bool minima) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1, starts = TN_CHUNK_GROUPS * halves;
  const bool zero = kind != TN_PANEL_S8 && !minima;
  const int8_t *q = x->q + at * TN_CHUNK;
  beside here = {.scale = x->scale + at * TN_CHUNK_GROUPS,
                 .sum = minima ? x->sum + at * TN_CHUNK_GROUPS : NULL,
                 .start = zero ? x->start + at * starts : NULL};
  for (int32_t g = 0; g < p->groups; g++) {
    if (g % (elements / TN_GROUP) == 0) {
      ask_ahead(blocks, header_bytes);
      expand_scales(p, dtype, g, blocks);
      blocks += header_bytes;
    }
    ask_ahead(blocks, (planes + words) * TN_WORD_BYTES);
    __m256i sum[2][1][2];
    if (kind == TN_PANEL_S8)
      dot_signed(1, sum[0], q, blocks);
    else
      dot_nibbles(kind, sum, q, blocks, blocks + planes * TN_WORD_BYTES);
#pragma GCC unroll 2
    for (int32_t h = 0; h < halves; h++) {
      add_scaled(1, starts, c, 0, sum[h], p->scale[g * halves + h], minima ? p->minimum[g] : NULL,
                 &here);
      if (zero) here.start++;
    }
    here.scale++;
    if (minima) here.sum++;
    q += TN_GROUP;
    blocks += (planes + words) * TN_WORD_BYTES;
  }
}

/* c[16] += the row of x at a chunk by `groups` groups of packed blocks; of p scales are used. */
static void row(float *c, const tn_int_rows *x, int64_t at, tn_int_panel *p, tn_dtype dtype,
                const uint8_t *blocks) {
  switch (dtype) {
#define X(type, kind, elements, header, planes, words, zero, group, minimum)             \
  case type:                                                                             \
    row_body(c, x, at, p, blocks, type, kind, elements, header, planes, words, minimum); \
    break;
    TN_PANEL_LIST(X)
#undef X
    default:
      break;
  }
}

/* Panels take turns chunk by chunk: one stream each. */
static void few(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t groups,
                const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype) {
  const tn_panel_format *f = tn_panel_format_of(dtype);
  int64_t chunk_bytes = TN_CHUNK / f->elements * tn_panel_block_bytes(f);
  tn_int_panel scales;
  (void)ldc, (void)m; /* one row */
  for (int64_t g = 0; g < groups; g += TN_CHUNK_GROUPS, panel += chunk_bytes) {
    scales.groups = (int32_t)(groups - g < TN_CHUNK_GROUPS ? groups - g : TN_CHUNK_GROUPS);
    for (int64_t p = 0; p < panels; p++)
      row(c + p * TN_PANEL_ROWS, x, g / TN_CHUNK_GROUPS * x->rows, &scales, dtype,
          panel + p * panel_bytes);
  }
}

const tn_linear_isa tn_linear_avx2 = {.tile_rows = TILE_ROWS,
                                      .zero_of_bytes = ZERO_OF_BYTES,
                                      .quantize = quantize,
                                      .expand = expand,
                                      .tile = tile,
                                      .few_rows = 1,
                                      .few = few};
#else
const tn_linear_isa tn_linear_avx2 = {0};
#endif
