/* Products with weights of integers, AVX2: 32 products an instruction, of unsigned weights and
 * signed x, summed in pairs to 16 bits.  How many pairs 16 bits hold decides when they are
 * multiplied by the span's factor, which widens them: 2 * 127 * 15 * 8 and 2 * 127 * 31 * 4 and 2 *
 * 127 * 63 * 2 and 2 * 127 * 128 are below 2^15. Signed bytes give their sign to x (127 at most, so
 * that nothing overflows) and multiply as magnitudes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/linear.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <math.h>

#define INLINE         static inline __attribute__((always_inline))
#define ZERO_OF_BYTES  0
#define ROUNDS_NIBBLES 0
#define VECTOR_BYTES   32
#define TILE_ROWS      4

INLINE void halves_to_floats(float *out, const uint8_t *in) {
  _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128((const void *)in)));
  _mm256_storeu_ps(out + 8, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(in + 16))));
}

INLINE void bytes_to_pairs(tn_int_pairs out, const uint8_t *in, const bool is_signed) {
#pragma GCC unroll 2
  for (int32_t i = 0; i < TN_PANEL_ROWS; i += 8) {
    __m128i bytes = _mm_loadu_si128((const void *)(in + 2 * i));
    _mm256_store_si256((void *)out[i],
                       is_signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes));
  }
}

#include "kernels/cpu/expand.inc"

/* ---- x to int8, a chunk at a time ---- */

INLINE uint32_t largest_bits(const float *x, int64_t K) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i m[4] = {0};
  for (int64_t k = 0; k < K; k += TN_GROUP)
    for (int32_t i = 0; i < 4;
         i++) /* magnitudes of floats order like their bits; not finite: last */
      m[i] = _mm256_max_epi32(
          m[i], _mm256_and_si256(_mm256_loadu_si256((const void *)(x + k + 8 * i)), magnitude));
  __m256i a = _mm256_max_epi32(_mm256_max_epi32(m[0], m[1]), _mm256_max_epi32(m[2], m[3]));
  __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
  b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1));
  return (uint32_t)_mm_cvtsi128_si32(b);
}

/* Sums of bytes 0 to 15 and 16 to 31. */
INLINE void sums_of_bytes(int16_t *sums, __m256i q) {
  __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
  __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  __m256i s = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0x4e));
  s = _mm256_add_epi32(s, _mm256_shuffle_epi32(s, 0xb1));
  sums[0] = (int16_t)_mm256_cvtsi256_si32(s);
  sums[1] = (int16_t)_mm_cvtsi128_si32(_mm256_extracti128_si256(s, 1));
}

INLINE __m256i bytes_of_floats(const float *x, __m256 by) {
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  __m256i n[4];
  for (int32_t i = 0; i < 4; i++)
    n[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), by));
  /* 32 to 8 bits keeps the lanes of 128 apart */
  __m256i b = _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
  return _mm256_permutevar8x32_epi32(b, in_order);
}

static float quantize(int8_t *q, int16_t *sums, const float *x, int64_t K) {
  uint32_t bits = largest_bits(x, K);
  float largest;
  memcpy(&largest, &bits, 4);
  bool finite = bits < 0x7f800000;
  if (!finite || largest <= TN_TINY) {
    memset(q, 0, (size_t)K);
    return finite ? largest / 127 : NAN;
  }
  __m256 by = _mm256_set1_ps(127 / largest);
  for (int64_t k = 0; k < K; k += TN_GROUP) {
    __m256i b = bytes_of_floats(x + k, by);
    _mm256_storeu_si256((void *)(q + k), b);
    sums_of_bytes(sums + k / 16, b);
  }
  return largest / 127;
}

/* ---- tiles ---- */

INLINE __m256i load(const void *from) {
  return _mm256_loadu_si256(from);
}
INLINE __m256i four_of(const int8_t *x) {
  int32_t bits;
  memcpy(&bits, x, 4);
  return _mm256_set1_epi32(bits);
}

/* The factor of a span, twice in the 32 bits of each row: of rows 0 to 7 and 8 to 15. */
INLINE void factor_of(__m256i factor[2], const tn_int_panel *p, int32_t span) {
  __m256i by = load(factor_twice[span % 2]);
  factor[0] = _mm256_shuffle_epi8(load(p->factor[span / 2]), by);
  factor[1] = _mm256_shuffle_epi8(load(p->factor[span / 2] + 8), by);
}

/* Sums of a loop stay in their registers: given intrinsics, the compiler copies and spills them. */
INLINE void add16(__m256i *sum, __m256i a) {
  __asm__("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(a));
}
INLINE void add32(__m256i *sum, __m256i a) {
  __asm__("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(a));
}

/* sum[r] += factor by products of `words` words, x[r] and w; depth of them fit 16 bits. */
INLINE void dot_unsigned(const int32_t m, const int32_t words, const int32_t depth,
                         __m256i (*sum)[2], const int8_t *x, const uint8_t *w,
                         const __m256i factor[2]) {
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
    for (int32_t r = 0; r < m; r++) {
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(pairs[r][0], factor[0]));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(pairs[r][1], factor[1]));
    }
  }
}

INLINE void dot_signed(const int32_t m, __m256i (*sum)[2], const int8_t *x, const uint8_t *w) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i here[TILE_ROWS][2];
#pragma GCC unroll 8
  for (int32_t j = 0; j < 8; j++, w += TN_WORD_BYTES) {
    __m256i w0 = load(w), w1 = load(w + 32);
    if (m == 2) __builtin_prefetch(w + TN_AHEAD_BYTES, 0, 3);
    __m256i u0 = _mm256_abs_epi8(w0), u1 = _mm256_abs_epi8(w1);
#pragma GCC unroll 4
    for (int32_t r = 0; r < m; r++) {
      __m256i a = four_of(x + r * TN_CHUNK + 4 * j);
      __m256i s0 = _mm256_madd_epi16(_mm256_maddubs_epi16(u0, _mm256_sign_epi8(a, w0)), ones);
      __m256i s1 = _mm256_madd_epi16(_mm256_maddubs_epi16(u1, _mm256_sign_epi8(a, w1)), ones);
      if (j == 0) {
        here[r][0] = s0;
        here[r][1] = s1;
      } else {
        add32(&here[r][0], s0);
        add32(&here[r][1], s1);
      }
    }
  }
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    sum[r][0] = _mm256_add_epi32(sum[r][0], here[r][0]);
    sum[r][1] = _mm256_add_epi32(sum[r][1], here[r][1]);
  }
}

/* sum[h] + sums of a row's spans by pairs */
INLINE void add_pairs(__m256i sum[2], const int16_t *sums, const void *pairs, const int32_t spans) {
  const uint8_t *by = pairs;
#pragma GCC unroll 8
  for (int32_t i = 0; i < spans / 2; i++, by += sizeof(tn_int_pairs)) {
    __m256i two = four_of((const int8_t *)(sums + 2 * i));
    sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(load(by), two));
    sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(load(by + 32), two));
  }
}

INLINE void add_scaled(float *c, const __m256i sum[2], const float *unit, float x_scale) {
#pragma GCC unroll 2
  for (int32_t h = 0; h < 2; h++) {
    __m256 scale = _mm256_mul_ps(_mm256_load_ps(unit + 8 * h), _mm256_set1_ps(x_scale));
    _mm256_storeu_ps(
        c + 8 * h, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[h]), scale, _mm256_loadu_ps(c + 8 * h)));
  }
}

/* c[m] += the sums of a chunk, and what its zeros and minima make of the sums of x */
INLINE void finish_rows(const int32_t m, const int32_t spans, const bool minima, float *c,
                        int64_t ldc, __m256i (*sum)[2], const tn_int_rows *x, int64_t at,
                        const tn_int_panel *p) {
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    const int16_t *sums = x->sums + (at + r) * spans;
    float scale = x->scale[at + r];
    if (p->has_offset) add_pairs(sum[r], sums, p->offset, spans);
    add_scaled(c + r * ldc, sum[r], p->unit, scale);
    if (minima) {
      __m256i lowest[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
      add_pairs(lowest, sums, p->minimum, spans);
      add_scaled(c + r * ldc, lowest, p->minimum_unit, scale);
    }
  }
}

/* Types have a zero or minima, signed bytes no zero; minima have no spans of 16. */
INLINE void tile_body(const int32_t m, const tn_panel_kind kind, const bool minima, float *c,
                      int64_t ldc, const tn_int_rows *x, int64_t at, const tn_int_panel *p) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1, words = 8 / halves;
  const int32_t depth = kind == TN_PANEL_U4 ? 8 : kind == TN_PANEL_U5 ? 4 : 2;
  const int8_t *q = x->q + at * TN_CHUNK;
  __m256i sum[TILE_ROWS][2];
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  for (int32_t g = 0; g < p->groups; g++, q += TN_GROUP) {
#pragma GCC unroll 2
    for (int32_t h = 0; h < halves; h++) {
      __m256i factor[2];
      if (kind == TN_PANEL_S8) {
        dot_signed(m, sum, q, p->q[g]);
        continue;
      }
      factor_of(factor, p, g * halves + h);
      dot_unsigned(m, words, depth, sum, q + 16 * h, p->q[g] + h * words * TN_WORD_BYTES, factor);
    }
  }
  finish_rows(m, TN_CHUNK_GROUPS * halves, minima, c, ldc, sum, x, at, p);
}

#define TILE_BODY(m, kind, minima) tile_body(m, kind, minima, c, ldc, x, at, p)
#define TILE_CASE(m)                          \
  case m:                                     \
    TN_BY_KIND(f, m, TILE_BODY, TN_PANEL_U4); \
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

/* sum += factor by products of x and packed group g. */
INLINE void dot_nibbles(const tn_panel_kind kind, __m256i sum[2], const int8_t *x,
                        const uint8_t *planes, const uint8_t *words, const tn_int_panel *p,
                        int32_t g) {
  const int32_t above = kind == TN_PANEL_U4 ? 0 : kind == TN_PANEL_U5 ? 1 : 2;
  __m256i low_factor[2], high_factor[2];
  factor_of(low_factor, p, kind == TN_PANEL_U6 ? 2 * g : g);
  factor_of(high_factor, p, kind == TN_PANEL_U6 ? 2 * g + 1 : g);
#pragma GCC unroll 2
  for (int32_t v = 0; v < 2; v++) {
    __m256i pairs[2];
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
      if ((kind == TN_PANEL_U6 && j == 1) || (kind != TN_PANEL_U4 && j == 3)) {
        sum[v] = _mm256_add_epi32(sum[v], _mm256_madd_epi16(pairs[0], low_factor[v]));
        sum[v] = _mm256_add_epi32(sum[v], _mm256_madd_epi16(pairs[1], high_factor[v]));
      }
    }
    if (kind == TN_PANEL_U4)
      sum[v] = _mm256_add_epi32(
          sum[v], _mm256_madd_epi16(_mm256_add_epi16(pairs[0], pairs[1]), low_factor[v]));
  }
}

/* Every line once: one that is missing stalls the row. */
INLINE void ask_ahead(const uint8_t *from, const int32_t bytes) {
#pragma GCC unroll 8
  for (int32_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + TN_AHEAD_BYTES + i, 0, 3);
}

/* Everything about the type is a constant where this is called. */
INLINE void row_body(float *c, const tn_int_rows *x, int64_t at, tn_int_panel *p,
                     const uint8_t *chunk, const tn_panel_kind kind, const int32_t header_bytes,
                     const int32_t planes, const int32_t words, const bool minima) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1,
                group_bytes = (planes + words) * TN_WORD_BYTES;
  const int8_t *q = x->q + at * TN_CHUNK;
  const uint8_t *group = chunk + header_bytes;
  __m256i sum[1][2] = {{_mm256_setzero_si256(), _mm256_setzero_si256()}};
  ask_ahead(chunk, header_bytes);
  for (int32_t g = 0; g < p->groups; g++, q += TN_GROUP, group += group_bytes) {
    ask_ahead(group, group_bytes);
    if (kind == TN_PANEL_S8)
      dot_signed(1, sum, q, group);
    else
      dot_nibbles(kind, sum[0], q, group, group + planes * TN_WORD_BYTES, p, g);
  }
  finish_rows(1, TN_CHUNK_GROUPS * halves, minima, c, 0, sum, x, at, p);
}

/* c[16] += the row of x at a chunk by a packed chunk; of p the header is used. */
static void row(float *c, const tn_int_rows *x, int64_t at, tn_int_panel *p, tn_dtype dtype,
                const uint8_t *chunk) {
  header_of(p, dtype, chunk);
  switch (dtype) {
#define X(type, kind, elements, header, planes, words, zero, span, minimum) \
  case type:                                                                \
    row_body(c, x, at, p, chunk, kind, header, planes, words, minimum);     \
    break;
    TN_PANEL_LIST(X)
#undef X
    default:
      break;
  }
}

/* Panels lie, and are read, one behind the other. */
static void few(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t groups,
                const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype) {
  int64_t chunk_bytes = tn_panel_chunk_bytes(tn_panel_format_of(dtype));
  tn_int_panel header;
  (void)ldc, (void)m; /* one row */
  for (int64_t p = 0; p < panels; p++, c += TN_PANEL_ROWS)
    for (int64_t g = 0; g < groups; g += TN_CHUNK_GROUPS) {
      int64_t chunk = g / TN_CHUNK_GROUPS;
      header.groups = (int32_t)(groups - g < TN_CHUNK_GROUPS ? groups - g : TN_CHUNK_GROUPS);
      row(c, x, chunk * x->rows, &header, dtype, panel + p * panel_bytes + chunk * chunk_bytes);
    }
}

const tn_linear_isa tn_linear_avx2 = {.tile_rows = TILE_ROWS,
                                      .block_rows = 256,
                                      .quantize = quantize,
                                      .expand = expand,
                                      .tile = tile,
                                      .few_rows = 1,
                                      .few = few};
#else
const tn_linear_isa tn_linear_avx2 = {0};
#endif
