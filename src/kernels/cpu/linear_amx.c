/* Products with weights of integers, AMX: 16 rows of x by 16 of w by 64 of K an instruction.
 *
 *                    w: two columns of tiles
 *     x 16          [ tile 4 ] [ tile 5 ]     what leaves the tiles is a chunk's sum:
 *     x 16          [ tile 6 ] [ tile 7 ]     AVX-512 scales it and adds it to c
 *
 * Weights of 4 and 8 bits are whole bytes with one unit a chunk: the columns are two panels.  Those
 * of 5 and 6 bits are the two bytes of factor (q - zero) = 256 high + low: the columns are one
 * panel's low and high, whose sums are joined first. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_pairs.h"

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
#include "kernels/cpu/amx.h"

#define ZERO_OF_BYTES  0
#define ROWS           16 /* of a tile */
#define STEP           64 /* of K */
#define TOGETHER       4 /* panels of whole bytes that stay in the first-level cache with x's rows */
#define TOGETHER_PAIRS 2 /* those of pairs of bytes */
#define FEW_ROWS       8 /* up to here the vectors alone are faster */
#include "kernels/cpu/linear_avx512.inc"

/* ---- weights ---- */

/* Bytes of the panel's q to those of their products. */
static void expand_bytes(tn_int_panel *p, const tn_panel_format *f) {
  const __m512i zero = _mm512_set1_epi8((int8_t)f->zero), below = _mm512_set1_epi16(0xff);
  const int32_t halves = f->span == 16 ? 2 : 1;
  for (int32_t g = 0; g < p->groups; g++)
#pragma GCC unroll 8
    for (int32_t j = 0; j < 8; j++) {
      int32_t at = j * TN_WORD_BYTES;
      __m512i factor = factor_of(p, g * halves + (halves == 2 ? j / 4 : 0));
      __m512i q = _mm512_sub_epi8(load(p->q[g] + at), zero);
      __m512i even = _mm512_srai_epi16(_mm512_slli_epi16(q, 8), 8), odd = _mm512_srai_epi16(q, 8);
      even = _mm512_mullo_epi16(even, factor);
      odd = _mm512_mullo_epi16(odd, factor);
      _mm512_store_si512(p->room[g] + at,
                         _mm512_or_si512(_mm512_and_si512(even, below), _mm512_slli_epi16(odd, 8)));
      _mm512_store_si512(p->high[g] + at, _mm512_or_si512(_mm512_srli_epi16(even, 8),
                                                          _mm512_andnot_si512(below, odd)));
    }
  p->has_offset = false;
}

/* The rest of a step. */
static void end_step(uint8_t room[][TN_GROUP_BYTES], int32_t groups) {
  if (groups % 2) memset(room[groups], 0, TN_GROUP_BYTES);
}

static void expand_digits(tn_int_panel *p, tn_dtype dtype, const uint8_t *chunk) {
  expand(p, dtype, chunk);
  expand_bytes(p, tn_panel_format_of(dtype));
  end_step(p->room, p->groups);
  end_step(p->high, p->groups);
}

/* Weights of 8 bits are tiles already; only a chunk that ends within a step is copied.  The place
 * of the next chunk is asked for. */
static const uint8_t *take_bytes(tn_int_panel *p, tn_dtype dtype, const uint8_t *chunk) {
  const tn_panel_format *f = tn_panel_format_of(dtype);
  const uint8_t *bytes = chunk + f->header_bytes, *next = chunk + tn_panel_chunk_bytes(f);
  if (f->kind == TN_PANEL_U4) {
    expand_nibbles(p, dtype, chunk);
    end_step(p->room, p->groups);
    return p->room[0];
  }
  header_of(p, dtype, chunk);
  for (int32_t i = 0; i < tn_panel_chunk_bytes(f); i += 64) __builtin_prefetch(next + i, 0, 3);
  if (p->groups % 2 == 0) return bytes;
  memcpy(p->room, bytes, (size_t)(p->groups * TN_GROUP_BYTES));
  end_step(p->room, p->groups);
  return p->room[0];
}

/* ---- products ---- */

typedef int32_t tile_sums[ROWS][TN_PANEL_ROWS];

/* 32 rows of x by two columns of tiles, which are a panel's digits or two panels of bytes. */
typedef struct square {
  float *c;
  int64_t m, at;
  const tn_int_panel *p;
  const uint8_t *left, *right; /* right NULL: one panel of bytes */
  tile_sums *sums;             /* left and right of rows 0 to 15, then of 16 to 31 */
} square;

/* What the bytes of a type are. */
typedef struct digits {
  bool whole; /* bytes, not digits */
  bool left_signed, right_signed, minima;
  int32_t spans;
} digits;

/* A step of K: q, the step's piece of a block of x. */
INLINE void multiply_step(const digits d, const bool tall, const bool wide, const int8_t *q,
                          const uint8_t *left, const uint8_t *right) {
  TN_AMX_LOAD(0, q, STEP);
  TN_AMX_LOAD(2, left, TN_WORD_BYTES);
  if (d.left_signed)
    TN_AMX_INT8(4, 0, 2);
  else
    TN_AMX_BYTES(4, 0, 2);
  if (wide) TN_AMX_LOAD(3, right, TN_WORD_BYTES);
  if (wide && d.right_signed)
    TN_AMX_INT8(5, 0, 3);
  else if (wide)
    TN_AMX_BYTES(5, 0, 3);
  if (!tall) return;
  TN_AMX_LOAD(1, q + ROWS * STEP, STEP);
  if (d.left_signed)
    TN_AMX_INT8(6, 1, 2);
  else
    TN_AMX_BYTES(6, 1, 2);
  if (wide && d.right_signed)
    TN_AMX_INT8(7, 1, 3);
  else if (wide)
    TN_AMX_BYTES(7, 1, 3);
}

/* The tiles' sums of a square. */
INLINE void multiply(const digits d, const bool tall, const bool wide, const square *s,
                     const tn_int_rows *x) {
  const int8_t *q = x->q + s->at * TN_CHUNK;
  TN_AMX_ZERO(4);
  if (wide) TN_AMX_ZERO(5);
  if (tall) TN_AMX_ZERO(6);
  if (tall && wide) TN_AMX_ZERO(7);
  for (int32_t g = 0; g < s->p->groups; g += 2, q += 2 * ROWS * STEP)
    multiply_step(d, tall, wide, q, s->left + g * TN_GROUP_BYTES,
                  wide ? s->right + g * TN_GROUP_BYTES : NULL);
  TN_AMX_STORE(4, s->sums[0], TN_WORD_BYTES);
  if (wide) TN_AMX_STORE(5, s->sums[1], TN_WORD_BYTES);
  if (tall) TN_AMX_STORE(6, s->sums[2], TN_WORD_BYTES);
  if (tall && wide) TN_AMX_STORE(7, s->sums[3], TN_WORD_BYTES);
}

/* m rows of a tile, or of two whose digits make one sum, to c.  What is the same for every row
 * stays in registers. */
INLINE void finish_tile(const digits d, float *c, int64_t ldc, int64_t m, tile_sums *tiles,
                        const tn_int_rows *x, int64_t at, const tn_int_panel *p) {
  const __m512 unit = _mm512_load_ps(p->unit), minimum_unit = _mm512_load_ps(p->minimum_unit);
  const int16_t *sums = x->sums + at * d.spans;
  __m512i minima[TN_CHUNK_GROUPS / 2];
  for (int32_t i = 0; i < TN_CHUNK_GROUPS / 2; i++)
    minima[i] = d.minima ? load(p->minimum[i]) : _mm512_setzero_si512();
#pragma GCC unroll 4
  for (int64_t r = 0; r < m; r++, c += ldc, sums += d.spans) {
    __m512 scale = _mm512_set1_ps(x->scale[at + r]), total = _mm512_loadu_ps(c);
    __m512i sum = load(tiles[0][r]);
    if (!d.whole) sum = _mm512_add_epi32(sum, _mm512_slli_epi32(load(tiles[1][r]), 8));
    total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(unit, scale), total);
    if (d.minima) {
      __m512i lowest = _mm512_setzero_si512();
#pragma GCC unroll 4
      for (int32_t i = 0; i < TN_CHUNK_GROUPS / 2; i++)
        lowest = _mm512_dpwssd_epi32(lowest, minima[i], four_of(sums + 2 * i));
      total =
          _mm512_fmadd_ps(_mm512_cvtepi32_ps(lowest), _mm512_mul_ps(minimum_unit, scale), total);
    }
    _mm512_storeu_ps(c, total);
  }
}

/* A square's sums to c. */
INLINE void finish(const digits d, const square *s, int64_t ldc, const tn_int_rows *x) {
  for (int64_t r = 0; r < s->m; r += ROWS) {
    tile_sums *tiles = s->sums + r / ROWS * 2;
    int64_t m = s->m - r < ROWS ? s->m - r : ROWS;
    float *c = s->c + r * ldc;
    for (int32_t i = 0; i < (d.whole && s->right ? 2 : 1); i++, c += TN_PANEL_ROWS)
      if (m == ROWS)
        finish_tile(d, c, ldc, ROWS, tiles + i, x, s->at + r, s->p + i);
      else
        finish_tile(d, c, ldc, m, tiles + i, x, s->at + r, s->p + i);
  }
}

INLINE void run_square(const digits d, const square *s, int64_t ldc, const tn_int_rows *x) {
  if (s->m > ROWS && s->right)
    multiply(d, true, true, s, x);
  else if (s->m > ROWS)
    multiply(d, true, false, s, x);
  else if (s->right)
    multiply(d, false, true, s, x);
  else
    multiply(d, false, false, s, x);
  finish(d, s, ldc, x);
}

/* Panels whose weights are digits. */
INLINE void digits_body(const digits d, float *c, int64_t ldc, int64_t rows, const tn_int_rows *x,
                        int64_t at, tn_int_panel *p, const uint8_t *const *chunks, int64_t panels,
                        tn_dtype dtype) {
  _Alignas(64) tile_sums sums[4];
  for (int64_t first = 0; first < panels; first += TOGETHER_PAIRS)
    for (int64_t r = 0; r < rows; r += 2 * ROWS)
      for (int64_t i = first; i < first + TOGETHER_PAIRS && i < panels; i++) {
        int64_t m = rows - r < 2 * ROWS ? rows - r : 2 * ROWS;
        float *to = c + r * ldc + i * TN_PANEL_ROWS;
        if (r == 0) expand_digits(p + i, dtype, chunks[i]);
        square s = {to, m, at + r, p + i, p[i].room[0], p[i].high[0], sums};
        run_square(d, &s, ldc, x);
      }
}

/* Panels whose weights are bytes, two at a time: all of them pass while a block of x is in the
 * first-level cache. */
INLINE void bytes_body(const digits d, float *c, int64_t ldc, int64_t rows, const tn_int_rows *x,
                       int64_t at, tn_int_panel *p, const uint8_t *const *chunks, int64_t panels,
                       tn_dtype dtype) {
  _Alignas(64) tile_sums sums[4];
  for (int64_t first = 0; first < panels; first += TOGETHER) {
    const uint8_t *bytes[TOGETHER + 1] = {0};
    int64_t count = panels - first < TOGETHER ? panels - first : TOGETHER;
    for (int64_t i = 0; i < count; i++)
      bytes[i] = take_bytes(p + first + i, dtype, chunks[first + i]);
    for (int64_t r = 0; r < rows; r += 2 * ROWS) {
      int64_t m = rows - r < 2 * ROWS ? rows - r : 2 * ROWS;
      for (int64_t i = 0; i < count; i += 2) {
        float *to = c + r * ldc + (first + i) * TN_PANEL_ROWS;
        square s = {to, m, at + r, p + first + i, bytes[i], bytes[i + 1], sums};
        run_square(d, &s, ldc, x);
      }
    }
  }
}

#define BODY(body, ...) body((digits){__VA_ARGS__}, c, ldc, rows, x, at, p, chunks, panels, dtype)

static void chunk(float *c, int64_t ldc, int64_t rows, const tn_int_rows *x, int64_t at,
                  tn_int_panel *p, const uint8_t *const *chunks, int64_t panels, tn_dtype dtype) {
  const tn_panel_format *f = tn_panel_format_of(dtype);
  if (f->kind == TN_PANEL_U4 && f->has_minimum)
    BODY(bytes_body, .whole = true, .spans = TN_CHUNK_GROUPS, .minima = true);
  else if (f->kind == TN_PANEL_S8 && f->has_minimum)
    BODY(bytes_body, .whole = true, .left_signed = true, .right_signed = true,
         .spans = TN_CHUNK_GROUPS, .minima = true);
  else if (f->kind == TN_PANEL_U4 || f->kind == TN_PANEL_S8)
    BODY(bytes_body, .whole = true, .left_signed = true, .right_signed = true,
         .spans = TN_CHUNK_GROUPS);
  else if (f->kind == TN_PANEL_U6)
    BODY(digits_body, .right_signed = true, .spans = TN_SPANS_MAX);
  else if (f->has_minimum)
    BODY(digits_body, .right_signed = true, .spans = TN_CHUNK_GROUPS, .minima = true);
  else
    BODY(digits_body, .right_signed = true, .spans = TN_CHUNK_GROUPS);
}

static void enter(void) {
  static const tn_amx_shapes shapes = TN_AMX_SHAPES(STEP / 4);
  TN_AMX_SET(shapes);
}

static void leave(void) {
  TN_AMX_DROP();
}

const tn_linear_isa tn_linear_amx = {.tile_rows = 2 * ROWS,
                                     .block_rows = 512,
                                     .blocks = true,
                                     .quantize = quantize,
                                     .chunk = chunk,
                                     .enter = enter,
                                     .leave = leave};

static tn_status no_integers(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  if (tn_linear_takes_pairs(args) && args->x.shape[1] % 32 == 0)
    return tn_linear_pairs(&tn_pairs_amx, stream, args, err);
  return tn_cpu_rows_avx512bf16.linear(stream, args, err);
}

static tn_status many(tn_stream *stream, const tn_linear_args *args, int32_t count, tn_error *err) {
  const tn_linear_isa *isa = args->x.shape[0] <= FEW_ROWS ? &tn_linear_avx512vnni : &tn_linear_amx;
  return tn_linear_each(isa, no_integers, stream, args, count, err);
}
TN_LINEAR_FUNCTIONS(many)
const tn_ops tn_cpu_rows_amx = {TN_LINEAR_ROWS};
#else
const tn_linear_isa tn_linear_amx = {0};
const tn_ops tn_cpu_rows_amx = {0};
#endif
