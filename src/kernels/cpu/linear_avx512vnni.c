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
#define FEW_ROWS      8
#define FEW_TOGETHER  4    /* rows that share a pass over weights */
#define FEW_AHEAD     1024 /* bytes of each panel that are asked for ahead */

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

/* ---- few rows ---- */

/* Scales of a block at group 0 of s. */
static __attribute__((noinline)) void scales_of(tn_int_panel *s, tn_dtype dtype,
                                                const uint8_t *header) {
  expand_scales(s, dtype, 0, header);
}

/* The rows of x that a group meets, each TN_CHUNK elements (TN_CHUNK_GROUPS scales) behind the
 * other. */
typedef struct few_rows {
  const int8_t *q;
  const float *scale, *sum;
  const int32_t *start;
} few_rows;

INLINE few_rows rows_at(const tn_int_rows *x, int64_t at, int64_t g, const int32_t halves) {
  int64_t i = at * TN_CHUNK_GROUPS + g;
  return (few_rows){x->q + i * TN_GROUP, x->scale + i, x->sum ? x->sum + i : NULL,
                    x->start ? x->start + i * halves : NULL};
}

/* Words are unpacked in registers and used at once. */
INLINE void few_dot(const int32_t m, const tn_panel_kind kind, __m512i sum[][2], const int8_t *q,
                    const uint8_t *group) {
  const int32_t planes = kind == TN_PANEL_U5 ? 1 : kind == TN_PANEL_U6 ? 2 : 0;
#pragma GCC unroll 4
  for (int32_t j = 0; j < 4; j++) {
    bytes_v low, high;
    if (kind == TN_PANEL_S8) {
      low = load_bytes(group + j * TN_WORD_BYTES) ^ 0x80;
      high = load_bytes(group + (j + 4) * TN_WORD_BYTES) ^ 0x80;
    } else {
      unpack_words(&low, &high, group, group + planes * TN_WORD_BYTES, j, 0, planes);
    }
#pragma GCC unroll 4
    for (int32_t r = 0; r < m; r++) {
      const int8_t *four = q + r * TN_CHUNK + 4 * j;
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], (__m512i)low, four_of(four));
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], (__m512i)high, four_of(four + 16));
    }
  }
}

INLINE void few_group(const int32_t m, const tn_panel_kind kind, const bool minima, float *c,
                      int64_t ldc, few_rows x, const uint8_t *group, const float *scale,
                      const float *minimum) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1, starts = TN_CHUNK_GROUPS * halves;
  __m512i sum[FEW_TOGETHER][2];
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    sum[r][0] = x.start ? _mm512_set1_epi32(x.start[r * starts]) : _mm512_setzero_si512();
    sum[r][1] = x.start && halves == 2 ? _mm512_set1_epi32(x.start[r * starts + 1])
                                       : _mm512_setzero_si512();
  }
  few_dot(m, kind, sum, x.q, group);
  __m512 s = _mm512_loadu_ps(scale);
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    __m512 total = _mm512_loadu_ps(c + r * ldc), by = _mm512_set1_ps(x.scale[r * TN_CHUNK_GROUPS]);
    __m512i all = halves == 2 ? sum[r][0] : _mm512_add_epi32(sum[r][0], sum[r][1]);
    total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(all), _mm512_mul_ps(s, by), total);
    if (halves == 2)
      total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][1]),
                              _mm512_mul_ps(_mm512_loadu_ps(scale + TN_PANEL_ROWS), by), total);
    if (minima)
      total = _mm512_fmadd_ps(_mm512_loadu_ps(minimum), _mm512_set1_ps(x.sum[r * TN_CHUNK_GROUPS]),
                              total);
    _mm512_storeu_ps(c + r * ldc, total);
  }
}

/* Bytes [from, end), FEW_AHEAD further on in their panel; behind its end the panel that this
 * thread most likely reads next, `skip` bytes on. */
INLINE void ask_ahead(const uint8_t *from, const uint8_t *end, const uint8_t *panel_end,
                      int64_t skip) {
  for (; from < end; from += 64) {
    const uint8_t *ahead = from + FEW_AHEAD;
    __builtin_prefetch(ahead + (ahead < panel_end ? 0 : skip), 0, 3);
  }
}

INLINE void few_body(const int32_t m, const tn_panel_kind kind, const bool minima, float *c,
                     int64_t ldc, const tn_int_rows *x, int64_t row, int64_t groups,
                     const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype) {
  const tn_panel_format *f = tn_panel_format_of(dtype);
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1;
  int32_t group_bytes = tn_panel_group_bytes(f), header_bytes = f->header_bytes;
  int64_t block_groups = f->elements / TN_GROUP, skip = (panels - 1) * panel_bytes;
  bool plain = dtype == TN_Q4_0 || dtype == TN_Q5_0 || dtype == TN_Q8_0;
  tn_int_panel s;
  for (int64_t first = 0; first < groups; first += block_groups) {
    int64_t at = first / TN_CHUNK_GROUPS * x->rows + row, place = first % TN_CHUNK_GROUPS;
    const uint8_t *block = panel + first / block_groups * tn_panel_block_bytes(f);
    for (int64_t p = 0; p < panels; p++, block += panel_bytes) {
      const uint8_t *group = block + header_bytes, *end = panel + (p + 1) * panel_bytes;
      ask_ahead(block, group, end, skip);
      if (plain)
        halves_to_floats(s.scale[0], block);
      else
        scales_of(&s, dtype, block);
      for (int64_t g = 0; g < block_groups; g++, group += group_bytes) {
        ask_ahead(group, group + group_bytes, end, skip);
        few_group(m, kind, minima, c + p * TN_PANEL_ROWS, ldc, rows_at(x, at, place + g, halves),
                  group, s.scale[g * halves], s.minimum[g]);
      }
    }
  }
}

#define FEW_BODY(m, kind, minima) \
  few_body(m, kind, minima, c + r * ldc, ldc, x, r, groups, panel, panel_bytes, panels, dtype)
#define FEW_CASE(m)                                                      \
  case m:                                                                \
    if (kind == TN_PANEL_U4 && !minima) FEW_BODY(m, TN_PANEL_U4, false); \
    if (kind == TN_PANEL_U4 && minima) FEW_BODY(m, TN_PANEL_U4, true);   \
    if (kind == TN_PANEL_U5 && !minima) FEW_BODY(m, TN_PANEL_U5, false); \
    if (kind == TN_PANEL_U5 && minima) FEW_BODY(m, TN_PANEL_U5, true);   \
    if (kind == TN_PANEL_U6) FEW_BODY(m, TN_PANEL_U6, false);            \
    if (kind == TN_PANEL_S8 && !minima) FEW_BODY(m, TN_PANEL_S8, false); \
    if (kind == TN_PANEL_S8 && minima) FEW_BODY(m, TN_PANEL_S8, true);   \
    break;

static void few(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t groups,
                const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype) {
  tn_panel_kind kind = tn_panel_format_of(dtype)->kind;
  bool minima = x->sum != NULL;
  for (int64_t r = 0; r < m; r += FEW_TOGETHER)
    switch (m - r < FEW_TOGETHER ? m - r : FEW_TOGETHER) {
      FEW_CASE(1)
      FEW_CASE(2)
      FEW_CASE(3)
      FEW_CASE(4)
    }
}

const tn_linear_isa tn_linear_avx512vnni = {.tile_rows = TILE_ROWS,
                                            .zero_of_bytes = ZERO_OF_BYTES,
                                            .quantize = quantize,
                                            .expand = expand,
                                            .tile = tile,
                                            .few_rows = FEW_ROWS,
                                            .few = few};

static tn_status linear(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  if (!tn_linear_takes_int(args)) return tn_cpu_rows_avx512.linear(stream, args, err);
  return tn_linear_int(&tn_linear_avx512vnni, stream, args, err);
}
const tn_ops tn_cpu_rows_avx512vnni = {.linear = linear};
#else
const tn_linear_isa tn_linear_avx512vnni = {0};
const tn_ops tn_cpu_rows_avx512vnni = {0};
#endif
