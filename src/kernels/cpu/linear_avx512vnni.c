/* Products with weights of integers, AVX-512 with VNNI: 64 products of unsigned weights and signed
 * x an instruction, added to 32-bit sums.  Signed bytes become unsigned ones by adding 128, which
 * the offset takes back.  Nibbles become bytes, of which a chunk has one unit: a tile knows whole
 * bytes, and the others, whose spans have factors.  Where few rows pass, products of nibbles are
 * multiplied in pairs of 16 bits at once, since joining them to bytes would cost as much. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

#if defined(__AVX512VNNI__)
#define ZERO_OF_BYTES 128
#define TILE_ROWS     12 /* 12 sums of a span, 12 of the chunk, and room for weights, of 32 */
#define FEW_ROWS      8
#define FEW_TOGETHER  4 /* rows that share a pass over weights */

#include "kernels/cpu/linear_avx512.inc"

/* sum + sums of a row's spans by pairs */
INLINE __m512i add_pairs(__m512i sum, const int16_t *sums, const void *pairs, const int32_t spans) {
#pragma GCC unroll 8
  for (int32_t i = 0; i < spans / 2; i++)
    sum = _mm512_dpwssd_epi32(sum, _mm512_loadu_si512((const tn_int_pairs *)pairs + i),
                              four_of(sums + 2 * i));
  return sum;
}

/* c[16] += the sums of a chunk, and what its zeros and minima make of the sums of x; at: the row */
INLINE void finish_row(const int32_t spans, const bool minima, float *c, __m512i sum,
                       const tn_int_rows *x, int64_t at, const tn_int_panel *p) {
  const int16_t *sums = x->sums + at * spans;
  __m512 scale = _mm512_set1_ps(x->scale[at]), total = _mm512_loadu_ps(c);
  if (p->has_offset) sum = add_pairs(sum, sums, p->offset, spans);
  total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(_mm512_loadu_ps(p->unit), scale),
                          total);
  if (minima) {
    __m512i lowest = add_pairs(_mm512_setzero_si512(), sums, p->minimum, spans);
    total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(lowest),
                            _mm512_mul_ps(_mm512_loadu_ps(p->minimum_unit), scale), total);
  }
  _mm512_storeu_ps(c, total);
}

/* Words of a group that share a factor. */
INLINE int32_t part_words(const tn_panel_kind kind) {
  return kind == TN_PANEL_U6 ? 4 : 8;
}

INLINE bool is_whole(const tn_panel_kind kind) {
  return kind == TN_PANEL_U4 || kind == TN_PANEL_S8;
}

INLINE __m512i times_factor(__m512i all, __m512i sum, __m512i twice) {
  return _mm512_add_epi32(all, _mm512_mullo_epi32(sum, _mm512_srai_epi32(twice, 16)));
}

/* all[r] += factor by the products of group g */
INLINE void tile_group(const int32_t m, const tn_panel_kind kind, __m512i *all, const int8_t *q,
                       const tn_int_panel *p, int32_t g) {
  const uint8_t *w = p->q[g];
  const int32_t words = part_words(kind);
#pragma GCC unroll 2
  for (int32_t h = 0; h < 8 / words; h++, q += 4 * words, w += words * TN_WORD_BYTES) {
    __m512i sum[TILE_ROWS];
#pragma GCC unroll 12
    for (int32_t r = 0; r < m; r++) sum[r] = is_whole(kind) ? all[r] : _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int32_t j = 0; j < words; j++) {
      __m512i wj = load(w + j * TN_WORD_BYTES);
#pragma GCC unroll 12
      for (int32_t r = 0; r < m; r++)
        sum[r] = _mm512_dpbusd_epi32(sum[r], wj, four_of(q + r * TN_CHUNK + 4 * j));
    }
    __m512i factor = factor_of(p, kind == TN_PANEL_U6 ? 2 * g + h : g);
#pragma GCC unroll 12
    for (int32_t r = 0; r < m; r++)
      all[r] = is_whole(kind) ? sum[r] : times_factor(all[r], sum[r], factor);
  }
}

INLINE void tile_body(const int32_t m, const tn_panel_kind kind, const bool minima, float *c,
                      int64_t ldc, const tn_int_rows *x, int64_t at, const tn_int_panel *p) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1;
  const int8_t *q = x->q + at * TN_CHUNK;
  __m512i all[TILE_ROWS];
#pragma GCC unroll 12
  for (int32_t r = 0; r < m; r++) all[r] = _mm512_setzero_si512();
  for (int32_t g = 0; g < p->groups; g++, q += TN_GROUP) tile_group(m, kind, all, q, p, g);
#pragma GCC unroll 12
  for (int32_t r = 0; r < m; r++)
    finish_row(TN_CHUNK_GROUPS * halves, minima, c + r * ldc, all[r], x, at + r, p);
}

#define TILE_BODY(m, kind, minima) tile_body(m, kind, minima, c, ldc, x, at, p)
#define TILE_CASE(m)                          \
  case m:                                     \
    TN_BY_KIND(f, m, TILE_BODY, TN_PANEL_S8); \
    break;

static void expand_any(tn_int_panel *p, tn_dtype dtype, const uint8_t *chunk) {
  if (tn_panel_format_of(dtype)->kind == TN_PANEL_U4)
    expand_nibbles(p, dtype, chunk);
  else
    expand(p, dtype, chunk);
}

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

/* Four sums of a row: of nibbles those of products[4]. */
typedef __m512i few_sums[4];

/* A word of nibbles, in the order of round_nibbles, those of odd elements negative: then halves are
 * rounded the other way.  A nibble that lies at bits 8 or 4 of 16 needs no shift; loads from a byte
 * before or behind put it there.  last: nothing behind the word may be read. */
INLINE void few_products(__m512i product[4], const uint8_t *word, const bool last, __m512i factor) {
  const __m512i at4 = _mm512_set1_epi16(0x00f0), at8 = _mm512_set1_epi16(0x0f00);
  const __m512i zero = _mm512_setzero_si512();
  __m512i f8 = _mm512_slli_epi16(factor, 3), f4 = _mm512_slli_epi16(factor, 7);
  __m512i behind = last ? _mm512_srli_epi16(load(word), 8) : load(word + 1);
  product[0] = _mm512_mulhrs_epi16(_mm512_and_si512(load(word - 1), at8), f8);
  product[1] = _mm512_mulhrs_epi16(_mm512_and_si512(load(word), at4), f4);
  product[2] = _mm512_mulhrs_epi16(_mm512_and_si512(load(word), at8), _mm512_sub_epi16(zero, f8));
  product[3] = _mm512_mulhrs_epi16(_mm512_and_si512(behind, at4), _mm512_sub_epi16(zero, f4));
}

/* all[r] += products of a packed group of nibbles, behind a header or another group; q: wide */
INLINE void few_nibbles(const int32_t m, few_sums *all, const int16_t *q, const uint8_t *group,
                        __m512i factor) {
#pragma GCC unroll 4
  for (int32_t j = 0; j < 4; j++, q += 4) {
    __m512i product[4];
    few_products(product, group + j * TN_WORD_BYTES, j == 3, factor);
#pragma GCC unroll 4
    for (int32_t r = 0; r < m; r++)
#pragma GCC unroll 4
      for (int32_t i = 0; i < 4; i++)
        all[r][i] = _mm512_dpwssd_epi32(all[r][i], product[i],
                                        four_of(q + r * TN_CHUNK + i / 2 * 2 + i % 2 * 16));
  }
}

/* sum[r][2] = products of a packed group: of elements 0 to 15 and 16 to 31.  Words are unpacked in
 * registers and used at once. */
INLINE void few_dot(const int32_t m, const tn_panel_kind kind, __m512i sum[][2], const int8_t *q,
                    const uint8_t *group) {
  const int32_t planes = kind == TN_PANEL_U5 ? 1 : kind == TN_PANEL_U6 ? 2 : 0;
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
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

/* all[r][0] += factor by the products of packed group g */
INLINE void few_group(const int32_t m, const tn_panel_kind kind, few_sums *all, const int8_t *q,
                      const uint8_t *group, const tn_int_panel *p, int32_t g) {
  __m512i sum[FEW_TOGETHER][2];
  few_dot(m, kind, sum, q, group);
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++)
    if (kind == TN_PANEL_U6) {
      all[r][0] = times_factor(all[r][0], sum[r][0], factor_of(p, 2 * g));
      all[r][0] = times_factor(all[r][0], sum[r][1], factor_of(p, 2 * g + 1));
    } else {
      __m512i both = _mm512_add_epi32(sum[r][0], sum[r][1]);
      all[r][0] = kind == TN_PANEL_S8 ? _mm512_add_epi32(all[r][0], both)
                                      : times_factor(all[r][0], both, factor_of(p, g));
    }
}

/* Panels that lie one behind the other are read side by side, a chunk of each: the memory serves
 * several pages at a time better than one (here; AVX2's few, on other CPUs, do better with one).
 * Of each panel the next chunk is asked for into the first-level cache, the one behind that into
 * the second, which has room for enough of them to keep the memory busy. */
typedef struct few_ahead {
  int64_t next, behind; /* bytes from a chunk to these */
} few_ahead;

/* skipped: bytes between the panels read now and those read then */
INLINE few_ahead few_ahead_of(int64_t chunk, int64_t chunks, int64_t chunk_bytes, int64_t skipped) {
  return (few_ahead){chunk_bytes + (chunk + 1 >= chunks ? skipped : 0),
                     2 * chunk_bytes + (chunk + 2 >= chunks ? skipped : 0)};
}

INLINE void ask_ahead(const few_ahead ahead, const uint8_t *from, const int32_t bytes) {
#pragma GCC unroll 8
  for (int32_t i = 0; i < bytes; i += 64) {
    __builtin_prefetch(from + ahead.next + i, 0, 3);
    __builtin_prefetch(from + ahead.behind + i, 0, 2);
  }
}

/* A chunk of one panel by m rows of x from `at` on; of p the header is used. */
INLINE void few_chunk(const int32_t m, const tn_panel_kind kind, const bool minima, float *c,
                      int64_t ldc, const tn_int_rows *x, int64_t at, const tn_int_panel *p,
                      int32_t header_bytes, const uint8_t *chunk, const few_ahead ahead) {
  const int32_t halves = kind == TN_PANEL_U6 ? 2 : 1;
  const int32_t planes = kind == TN_PANEL_U5 ? 1 : kind == TN_PANEL_U6 ? 2 : 0;
  const int32_t group_bytes = (planes + (kind == TN_PANEL_S8 ? 8 : 4)) * TN_WORD_BYTES;
  const int8_t *q = x->q + at * TN_CHUNK;
  const uint8_t *group = chunk + header_bytes;
  few_sums all[FEW_TOGETHER];
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++)
    all[r][0] = all[r][1] = all[r][2] = all[r][3] = _mm512_setzero_si512();
  ask_ahead(ahead, chunk, header_bytes);
  for (int32_t g = 0; g < p->groups; g++, q += TN_GROUP, group += group_bytes) {
    ask_ahead(ahead, group, group_bytes);
    if (kind == TN_PANEL_U4)
      few_nibbles(m, all, x->wide + at * TN_CHUNK + g * TN_GROUP, group, factor_of(p, g));
    else
      few_group(m, kind, all, q, group, p, g);
  }
#pragma GCC unroll 4
  for (int32_t r = 0; r < m; r++) {
    __m512i sum = all[r][0];
    if (kind == TN_PANEL_U4)
      sum = _mm512_sub_epi32(_mm512_add_epi32(sum, all[r][1]),
                             _mm512_add_epi32(all[r][2], all[r][3]));
    finish_row(TN_CHUNK_GROUPS * halves, minima, c + r * ldc, sum, x, at + r, p);
  }
}

INLINE void few_body(const int32_t m, const tn_panel_kind kind, const bool minima, float *c,
                     int64_t ldc, const tn_int_rows *x, int64_t row, int64_t groups,
                     const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype) {
  const tn_panel_format *f = tn_panel_format_of(dtype);
  const int64_t chunk_bytes = tn_panel_chunk_bytes(f);
  const int64_t chunks = (groups + TN_CHUNK_GROUPS - 1) / TN_CHUNK_GROUPS;
  tn_int_panel header;
  for (int64_t k = 0; k < chunks; k++) {
    const int64_t left = groups - k * TN_CHUNK_GROUPS;
    const few_ahead ahead = few_ahead_of(k, chunks, chunk_bytes, (panels - 1) * panel_bytes);
    const uint8_t *chunk = panel + k * chunk_bytes;
    header.groups = (int32_t)(left < TN_CHUNK_GROUPS ? left : TN_CHUNK_GROUPS);
    for (int64_t p = 0; p < panels; p++, chunk += panel_bytes) {
      header_of(&header, dtype, chunk);
      few_chunk(m, kind, minima, c + p * TN_PANEL_ROWS, ldc, x, row + k * x->rows, &header,
                f->header_bytes, chunk, ahead);
    }
  }
}

#define FEW_BODY(m, kind, minima) \
  few_body(m, kind, minima, c + r * ldc, ldc, x, r, groups, panel, panel_bytes, panels, dtype)
#define FEW_CASE(m)                          \
  case m:                                    \
    TN_BY_KIND(f, m, FEW_BODY, TN_PANEL_U4); \
    break;

static void few(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t groups,
                const uint8_t *panel, int64_t panel_bytes, int64_t panels, tn_dtype dtype) {
  const tn_panel_format *f = tn_panel_format_of(dtype);
  for (int64_t r = 0; r < m; r += FEW_TOGETHER)
    switch (m - r < FEW_TOGETHER ? m - r : FEW_TOGETHER) {
      FEW_CASE(1)
      FEW_CASE(2)
      FEW_CASE(3)
      FEW_CASE(4)
    }
}

const tn_linear_isa tn_linear_avx512vnni = {.tile_rows = TILE_ROWS,
                                            .block_rows = 256,
                                            .quantize = quantize,
                                            .expand = expand_any,
                                            .tile = tile,
                                            .few_rows = FEW_ROWS,
                                            .few_wide = true,
                                            .few = few};

static tn_status many(tn_stream *stream, const tn_linear_args *args, int32_t count, tn_error *err) {
  return tn_linear_each(&tn_linear_avx512vnni, tn_cpu_rows_avx512.linear, stream, args, count, err);
}
TN_LINEAR_FUNCTIONS(many)
const tn_ops tn_cpu_rows_avx512vnni = {TN_LINEAR_ROWS};
#else
const tn_linear_isa tn_linear_avx512vnni = {0};
const tn_ops tn_cpu_rows_avx512vnni = {0};
#endif
