/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/panel.h"

#include <math.h>

#include "tensor/quant.h"

const tn_panel_format *tn_panel_format_of(tn_dtype dtype) {
  switch (dtype) {
#define X(type, kind, elements, header, planes, words, zero, span, minimum)                        \
  case type: {                                                                                     \
    static const tn_panel_format f = {kind, elements, header, planes, words, zero, span, minimum}; \
    return &f;                                                                                     \
  }
    TN_PANEL_LIST(X)
#undef X
    default:
      return NULL;
  }
}

/* ---- headers ---- */

/* Where the lists of a header begin. */
typedef struct lists {
  int32_t count;   /* of factors, and of minima */
  uint8_t *factor; /* NULL: all are 1 */
  uint8_t *unit, *minimum_unit, *minimum;
} lists;

static bool is_k_quant(const tn_panel_format *f) {
  return f->elements == TN_CHUNK;
}

static lists lists_of(const tn_panel_format *f, const uint8_t *header) {
  int32_t count = TN_CHUNK / (is_k_quant(f) ? f->span : f->elements);
  int32_t unit_bytes = (is_k_quant(f) ? 2 : 4) * TN_PANEL_ROWS;
  uint8_t *unit = (uint8_t *)header;
  uint8_t *behind = unit + (f->has_minimum ? 2 : 1) * unit_bytes;
  bool bytes = f->kind == TN_PANEL_S8;
  return (lists){.count = count,
                 .factor = bytes ? NULL : behind,
                 .unit = unit,
                 .minimum_unit = unit + unit_bytes,
                 .minimum = bytes ? behind : behind + count * TN_PANEL_ROWS};
}

static void put_k_scales(const tn_panel_format *f, const lists *l, const uint8_t *block,
                         int64_t row) {
  if (!f->has_minimum) { /* q6_k */
    memcpy(l->unit + 2 * row, block + 208, 2);
    for (int32_t j = 0; j < l->count; j++) l->factor[tn_panel_list_at(j, row)] = block[192 + j];
    return;
  }
  memcpy(l->unit + 2 * row, block, 2);
  memcpy(l->minimum_unit + 2 * row, block + 2, 2);
  for (int32_t j = 0; j < l->count; j++) {
    int32_t scale, minimum;
    tn_quant_k_scale(block + 4, j, &scale, &minimum);
    l->factor[tn_panel_list_at(j, row)] = (uint8_t)scale;
    l->minimum[tn_panel_list_at(j, row)] = (uint8_t)minimum;
  }
}

static float half_at(const uint8_t *at) {
  uint16_t bits;
  memcpy(&bits, at, 2);
  return tn_f16_to_f32(bits);
}

static float float_at(const uint8_t *at) {
  float f;
  memcpy(&f, at, 4);
  return f;
}

static void scale_of_block(tn_dtype dtype, const uint8_t *block, float *scale, float *minimum) {
  bool halves = dtype < TN_I4_G32;
  *scale = halves ? half_at(block) : float_at(block);
  if (halves)
    *minimum = dtype == TN_Q4_1 || dtype == TN_Q5_1 ? half_at(block + 2) : 0;
  else
    *minimum = -*scale * float_at(block + 4);
}

/* The unit of which values are whole multiples, the largest `top`; out: the multiples.  Not finite:
 * NaN of zeros. */
static float to_integers(int32_t *out, const float *values, int32_t count, float top) {
  float largest = 0;
  bool finite = true;
  for (int32_t i = 0; i < count; i++) {
    finite = finite && isfinite(values[i]);
    largest = fmaxf(largest, fabsf(values[i]));
  }
  bool usable = finite && largest > TN_TINY;
  for (int32_t i = 0; i < count; i++)
    out[i] = usable ? (int32_t)rintf(values[i] * (top / largest)) : 0;
  return usable ? largest / top : finite ? 0 : NAN;
}

/* Scales and minima of a row's chunk, as blocks have them. */
typedef struct scales {
  int32_t count; /* of blocks */
  float scale[TN_CHUNK_GROUPS], minimum[TN_CHUNK_GROUPS];
} scales;

static scales scales_of(const tn_panel_format *f, tn_dtype dtype, const uint8_t *blocks,
                        int32_t groups) {
  scales s = {.count = groups * TN_GROUP / f->elements};
  for (int32_t i = 0; i < s.count; i++, blocks += tn_dtype_bytes(dtype))
    scale_of_block(dtype, blocks, &s.scale[i], &s.minimum[i]);
  return s;
}

static void put_minima(const lists *l, const scales *s, int64_t row) {
  int32_t multiple[TN_CHUNK_GROUPS];
  float unit = to_integers(multiple, s->minimum, s->count, 32767);
  memcpy(l->minimum_unit + 4 * row, &unit, 4);
  for (int32_t i = 0; i < s->count; i++) {
    int16_t lowest = (int16_t)multiple[i];
    memcpy(l->minimum + tn_panel_list_at(i, row) * 2, &lowest, 2);
  }
}

/* Integers of a negative scale are packed as those of a positive one, `top` - q.  Where a zero is
 * taken off, factors have signs instead. */
static bool is_turned(const tn_panel_format *f, const scales *s, int32_t i) {
  return !f->zero && f->kind != TN_PANEL_S8 && s->scale[i] < 0;
}

/* Factors of whole multiples, and the minima that go with them. */
static void put_factors(const tn_panel_format *f, const lists *l, scales s, int64_t row) {
  const float top = f->kind == TN_PANEL_U5 ? 31 : 15;
  int32_t multiple[TN_CHUNK_GROUPS];
  for (int32_t i = 0; i < s.count; i++) {
    if (!is_turned(f, &s, i)) continue;
    s.minimum[i] += top * s.scale[i];
    s.scale[i] = -s.scale[i];
  }
  float unit = to_integers(multiple, s.scale, s.count, f->zero ? 127 : 255);
  memcpy(l->unit + 4 * row, &unit, 4);
  for (int32_t i = 0; i < s.count; i++) l->factor[tn_panel_list_at(i, row)] = (uint8_t)multiple[i];
  if (!f->has_minimum) return;
  for (int32_t i = 0; i < s.count; i++) /* what is 0 stays 0 */
    if (s.scale[i] > 0) s.minimum[i] *= unit * (float)multiple[i] / s.scale[i];
  put_minima(l, &s, row);
}

/* Whole bytes have one unit, and minima of their own; returns the unit. */
static float put_unit(const tn_panel_format *f, const lists *l, const scales *s, int64_t row) {
  int32_t unused[TN_CHUNK_GROUPS];
  float unit = to_integers(unused, s->scale, s->count, 1);
  memcpy(l->unit + 4 * row, &unit, 4);
  if (f->has_minimum) put_minima(l, s, row);
  return unit;
}

/* ---- words: planes first, then the words of a group, as one row has them ---- */

static uint32_t word(const uint8_t *bytes, int32_t i) {
  uint32_t w;
  memcpy(&w, bytes + 4 * i, 4);
  return w;
}

static void copy_words(uint32_t *out, const uint8_t *bytes, int32_t count) {
  memcpy(out, bytes, 4 * (size_t)count);
}

/* Bit 4 j + i of `bits` is the fifth bit of element 4 j + i. */
static uint32_t plane_of_bits(uint32_t bits) {
  uint32_t plane = 0;
  for (int32_t j = 0; j < 8; j++)
    for (int32_t i = 0; i < 4; i++) plane |= (bits >> (4 * j + i) & 1) << (8 * i + j);
  return plane;
}

/* 32 nibbles, the low or the high halves of 32 bytes. */
static void k_nibbles(uint32_t out[4], const uint8_t *bytes, int32_t shift) {
  for (int32_t j = 0; j < 4; j++)
    out[j] = (word(bytes, j) >> shift & 0x0f0f0f0f) | (word(bytes, j + 4) >> shift & 0x0f0f0f0f)
                                                          << 4;
}

static void q5_k_words(uint32_t out[5], const uint8_t *block, int32_t g) {
  out[0] = 0;
  for (int32_t j = 0; j < 8; j++) out[0] |= (word(block + 16, j) >> g & 0x01010101) << j;
  k_nibbles(out + 1, block + 48 + g / 2 * 32, g % 2 * 4);
}

static void q6_k_words(uint32_t out[6], const uint8_t *block, int32_t g) {
  int32_t part = g / 4, quarter = g % 4;
  const uint8_t *high = block + 128 + part * 32;
  out[0] = out[1] = 0;
  for (int32_t j = 0; j < 8; j++)
    out[j / 4] |= (word(high, j) >> 2 * quarter & 0x03030303) << j % 4 * 2;
  k_nibbles(out + 2, block + part * 64 + quarter % 2 * 32, quarter / 2 * 4);
}

static void group_words(uint32_t out[8], tn_dtype dtype, const uint8_t *block, int32_t g) {
  switch (dtype) {
    case TN_Q4_0:
      copy_words(out, block + 2, 4);
      break;
    case TN_Q4_1:
      copy_words(out, block + 4, 4);
      break;
    case TN_Q5_0:
      out[0] = plane_of_bits(word(block + 2, 0));
      copy_words(out + 1, block + 6, 4);
      break;
    case TN_Q5_1:
      out[0] = plane_of_bits(word(block + 4, 0));
      copy_words(out + 1, block + 8, 4);
      break;
    case TN_Q8_0:
      copy_words(out, block + 2, 8);
      break;
    case TN_Q4_K:
      k_nibbles(out, block + 16 + g / 2 * 32, g % 2 * 4);
      break;
    case TN_Q5_K:
      q5_k_words(out, block, g);
      break;
    case TN_Q6_K:
      q6_k_words(out, block, g);
      break;
    case TN_I8_G32:
    case TN_I8_G128:
      copy_words(out, block + 8 + g * 32, 8);
      break;
    default:
      copy_words(out, block + 8 + g * 16, 4);
  }
}

/* Bytes of one scale to those of another, the unit: ratio is 1 at most. */
static void rescale(uint32_t words[8], float ratio) {
  int8_t bytes[TN_GROUP];
  memcpy(bytes, words, sizeof bytes);
  for (int32_t i = 0; i < TN_GROUP; i++) {
    float q = rintf((float)bytes[i] * ratio);
    bytes[i] = (int8_t)(q > 127 ? 127 : q);
  }
  memcpy(words, bytes, sizeof bytes);
}

static void turn(uint32_t words[8], int32_t count) {
  for (int32_t j = 0; j < count; j++) words[j] = ~words[j];
}

/* One row of a chunk; out: the first row's chunk. */
static void pack_row(uint8_t *out, const tn_panel_format *f, tn_dtype dtype, const uint8_t *blocks,
                     int64_t row, int32_t groups) {
  int32_t count = f->planes + f->words, block_groups = f->elements / TN_GROUP;
  lists l = lists_of(f, out);
  scales s = {0};
  float unit = 0;
  if (is_k_quant(f))
    put_k_scales(f, &l, blocks, row);
  else
    s = scales_of(f, dtype, blocks, groups);
  if (f->kind == TN_PANEL_S8)
    unit = put_unit(f, &l, &s, row);
  else if (!is_k_quant(f))
    put_factors(f, &l, s, row);
  for (int32_t g = 0; g < groups; g++) {
    uint32_t words[8];
    int32_t i = g / block_groups;
    uint8_t *to = out + f->header_bytes + g * count * TN_WORD_BYTES + row * 4;
    group_words(words, dtype, blocks + i * tn_dtype_bytes(dtype), g % block_groups);
    if (f->kind == TN_PANEL_S8) rescale(words, unit > 0 ? s.scale[i] / unit : 0);
    if (!is_k_quant(f) && is_turned(f, &s, i)) turn(words, count);
    for (int32_t j = 0; j < count; j++) memcpy(to + j * TN_WORD_BYTES, &words[j], 4);
  }
}

void tn_panel_pack_chunk(uint8_t *out, const tn_panel_format *f, tn_dtype dtype,
                         const uint8_t *blocks, int64_t row_bytes, int64_t rows, int32_t groups) {
  memset(out, 0, (size_t)(f->header_bytes + groups * tn_panel_group_bytes(f)));
  for (int64_t row = 0; row < rows; row++, blocks += row_bytes)
    pack_row(out, f, dtype, blocks, row, groups);
}

/* ---- one row back ---- */

static int32_t integer_at(const tn_panel_format *f, const uint8_t *group, int64_t lane, int32_t e) {
  const uint8_t *words = group + f->planes * TN_WORD_BYTES + lane * 4 + e % 4;
  int32_t j = e / 4;
  if (f->words == 8) return (int8_t)words[j * TN_WORD_BYTES];
  int32_t q = words[j % 4 * TN_WORD_BYTES] >> (j < 4 ? 0 : 4) & 15;
  const uint8_t *planes = group + lane * 4 + e % 4;
  if (f->planes == 1) q |= (planes[0] >> j & 1) << 4;
  if (f->planes == 2) q |= (planes[j / 4 * TN_WORD_BYTES] >> j % 4 * 2 & 3) << 4;
  return q;
}

/* Scale and minimum of the i-th list, in the order of operations of quant.c for K-quants. */
static void scale_at(const tn_panel_format *f, const lists *l, int64_t lane, int32_t i,
                     double *scale, double *minimum) {
  int64_t at = tn_panel_list_at(i, lane);
  int32_t factor = !l->factor ? 1 : f->zero ? (int8_t)l->factor[at] : l->factor[at];
  *minimum = 0;
  if (is_k_quant(f)) {
    *scale = (double)half_at(l->unit + 2 * lane) * factor;
    if (f->has_minimum) *minimum = (double)half_at(l->minimum_unit + 2 * lane) * -l->minimum[at];
    return;
  }
  int16_t lowest = 0;
  *scale = (double)float_at(l->unit + 4 * lane) * factor;
  if (!f->has_minimum) return;
  memcpy(&lowest, l->minimum + 2 * at, 2);
  *minimum = (double)float_at(l->minimum_unit + 4 * lane) * lowest;
}

void tn_panel_chunk_to_f32(float *out, const tn_panel_format *f, const uint8_t *chunk, int64_t lane,
                           int32_t groups) {
  lists l = lists_of(f, chunk);
  int32_t share = TN_CHUNK / l.count, end = groups * TN_GROUP;
  for (int32_t from = 0; from < end; from += f->span) {
    const uint8_t *group = chunk + f->header_bytes + from / TN_GROUP * tn_panel_group_bytes(f);
    double scale, minimum;
    scale_at(f, &l, lane, from / share, &scale, &minimum);
    for (int32_t e = from; e < from + f->span; e++)
      out[e] = (float)(scale * (integer_at(f, group, lane, e % TN_GROUP) - f->zero) + minimum);
  }
}
