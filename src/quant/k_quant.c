/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/k_quant.h"

#include <math.h>
#include <string.h>

enum { GROUP_4 = 32, GROUPS_4 = 8, GROUP_6 = 16, GROUPS_6 = 16, TRIES = 21 };

static float clamped(float x, float low, float high) {
  return !(x > low) ? low : x > high ? high : x; /* no number: low */
}

static void put_half(uint8_t *out, float x) {
  uint16_t half = tn_f32_to_f16(x);
  out[0] = (uint8_t)half;
  out[1] = (uint8_t)(half >> 8);
}

static float rounded(float x) {
  return tn_f16_to_f32(tn_f32_to_f16(x));
}

/* What an error of each weight counts: its size and that of its neighbours. */
static void importances(float *w, const float *x, int32_t count) {
  double sum = 0;
  for (int32_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
  float middle = (float)sqrt(sum / count);
  for (int32_t i = 0; i < count; i++) w[i] = middle + fabsf(x[i]);
}

/* From 90 % to 110 % of the codes that the range has. */
static float stretch(int32_t attempt) {
  return 0.9f + 0.01f * (float)attempt;
}

/* Choices by masks: compilers make vectors of these, and none of ?: between floats. */
static inline uint32_t mask_of(bool is_so) {
  return -(uint32_t)is_so;
}

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* rintf of what is between -2^22 and 2^22, in a form of which compilers make vectors. */
static inline float nearest(float x) {
  const float shift = 12582912; /* 1.5 * 2^23: no bits are left for a fraction */
  return (x + shift) - shift;
}

/* ---- Q4_K ----
 * The groups of a block lie side by side, so that one step works on all of them.  Each group's sums
 * are taken from its first weight to its last. */

typedef struct lines { /* of all groups: x = scale q - minimum */
  float scale[GROUPS_4], minimum[GROUPS_4];
} lines;

typedef struct block_4 {
  float x[GROUP_4][GROUPS_4], q[GROUP_4][GROUPS_4];
  double w[GROUP_4][GROUPS_4]; /* what an error of each weight counts */
  double sw[GROUPS_4], sx[GROUPS_4];
} block_4;

static void find_codes(block_4 *b, const lines *l) {
  for (int32_t i = 0; i < GROUP_4; i++)
    for (int32_t g = 0; g < GROUPS_4; g++) {
      float v = (b->x[i][g] + l->minimum[g]) / l->scale[g];
      /* No number is 0, as what is below 0 and every weight of a scale of 0. */
      uint32_t inside = mask_of(v > 0) & mask_of(v < 15) & mask_of(l->scale[g] > 0);
      uint32_t above = mask_of(v >= 15) & mask_of(l->scale[g] > 0);
      b->q[i][g] = nearest(float_of((bits_of(v) & inside) | (bits_of(15) & above)));
    }
}

/* The lines of least error through the weights with the codes that `l` gives them; a minimum below
 * 0 has no place in the block. */
static void solve_lines(block_4 *b, lines *l) {
  double sq[GROUPS_4] = {0}, sqq[GROUPS_4] = {0}, sxq[GROUPS_4] = {0};
  find_codes(b, l);
  for (int32_t i = 0; i < GROUP_4; i++)
    for (int32_t g = 0; g < GROUPS_4; g++) {
      double q = (double)b->q[i][g], w = b->w[i][g], wq = w * q;
      sq[g] += wq, sqq[g] += wq * q, sxq[g] += w * (double)b->x[i][g] * q;
    }
  for (int32_t g = 0; g < GROUPS_4; g++) {
    double det = b->sw[g] * sqq[g] - sq[g] * sq[g];
    if (!(det > 0)) continue;
    double scale = (b->sw[g] * sxq[g] - b->sx[g] * sq[g]) / det;
    double minimum = -(sqq[g] * b->sx[g] - sq[g] * sxq[g]) / det;
    if (minimum < 0) scale = sxq[g] / sqq[g], minimum = 0;
    if (scale > 0) l->scale[g] = (float)scale, l->minimum[g] = (float)minimum;
  }
}

static void find_errors(block_4 *b, const lines *l, double *errors) {
  find_codes(b, l);
  for (int32_t g = 0; g < GROUPS_4; g++) errors[g] = 0;
  for (int32_t i = 0; i < GROUP_4; i++)
    for (int32_t g = 0; g < GROUPS_4; g++) {
      double y = (double)l->scale[g] * (double)b->q[i][g] - (double)l->minimum[g];
      double d = (double)b->x[i][g] - y;
      errors[g] += b->w[i][g] * d * d;
    }
}

static void set_block(block_4 *b, const float *x, float *low, float *high) {
  for (int32_t g = 0; g < GROUPS_4; g++) {
    float w[GROUP_4];
    importances(w, x + g * GROUP_4, GROUP_4);
    low[g] = high[g] = 0;
    b->sw[g] = b->sx[g] = 0;
    for (int32_t i = 0; i < GROUP_4; i++) {
      float v = x[g * GROUP_4 + i];
      b->x[i][g] = v, b->w[i][g] = (double)w[i];
      b->sw[g] += (double)w[i], b->sx[g] += (double)w[i] * (double)v;
      if (v < low[g]) low[g] = v;
      if (v > high[g]) high[g] = v;
    }
  }
}

static void best_lines(lines *best, const float *x) {
  block_4 b;
  float low[GROUPS_4], high[GROUPS_4];
  double least[GROUPS_4], errors[GROUPS_4];
  set_block(&b, x, low, high);
  for (int32_t g = 0; g < GROUPS_4; g++)
    best->scale[g] = (high[g] - low[g]) / 15, best->minimum[g] = -low[g];
  find_errors(&b, best, least);
  for (int32_t attempt = 0; attempt < TRIES; attempt++) {
    lines l;
    for (int32_t g = 0; g < GROUPS_4; g++)
      l.scale[g] = (high[g] - low[g]) / (15 * stretch(attempt)), l.minimum[g] = -low[g];
    solve_lines(&b, &l);
    find_errors(&b, &l, errors);
    for (int32_t g = 0; g < GROUPS_4; g++)
      if (errors[g] < least[g])
        least[g] = errors[g], best->scale[g] = l.scale[g], best->minimum[g] = l.minimum[g];
  }
  for (int32_t g = 0; g < GROUPS_4; g++)
    if (!(high[g] > low[g])) best->scale[g] = best->minimum[g] = 0;
}

/* Scales and minima in 6 bits: the first four whole, of the others four bits and the two that
 * the first four leave free. */
static void put_scales(uint8_t *out, const uint8_t *scales, const uint8_t *minima) {
  for (int32_t i = 0; i < 4; i++) {
    out[i] = (uint8_t)(scales[i] | scales[i + 4] >> 4 << 6);
    out[i + 4] = (uint8_t)(minima[i] | minima[i + 4] >> 4 << 6);
    out[i + 8] = (uint8_t)((scales[i + 4] & 15) | (minima[i + 4] & 15) << 4);
  }
}

static int32_t code_4(float scale, float minimum, float x) {
  return scale > 0 ? (int32_t)clamped(rintf((x + minimum) / scale), 0, 15) : 0;
}

static uint8_t share_of(float x, float step) {
  return step > 0 ? (uint8_t)clamped(rintf(x / step), 0, 63) : 0;
}

void tn_q4_k_put(uint8_t *block, const float *x) {
  lines best;
  uint8_t scales[GROUPS_4], minima[GROUPS_4], *codes = block + 16;
  float scale = 0, minimum = 0;
  best_lines(&best, x);
  for (int32_t g = 0; g < GROUPS_4; g++) {
    if (best.scale[g] > scale) scale = best.scale[g];
    if (best.minimum[g] > minimum) minimum = best.minimum[g];
  }
  float d = rounded(scale / 63), m = rounded(minimum / 63);
  memset(codes, 0, TN_K_BLOCK / 2);
  for (int32_t g = 0; g < GROUPS_4; g++) {
    scales[g] = share_of(best.scale[g], d);
    minima[g] = share_of(best.minimum[g], m);
    float step = d * (float)scales[g], offset = m * (float)minima[g];
    for (int32_t i = 0; i < GROUP_4; i++)
      codes[g / 2 * GROUP_4 + i] |=
          (uint8_t)(code_4(step, offset, x[g * GROUP_4 + i]) << g % 2 * 4);
  }
  put_half(block, d);
  put_half(block + 2, m);
  put_scales(block + 4, scales, minima);
}

/* ---- Q6_K, groups side by side too ---- */

typedef struct block_6 {
  float x[GROUP_6][GROUPS_6], largest[GROUPS_6]; /* largest: of a group, with its sign */
  double w[GROUP_6][GROUPS_6], wx[GROUP_6][GROUPS_6];
} block_6;

static float code_6(float scale, float x) {
  float v = x / scale;
  uint32_t inside = mask_of(v > -32) & mask_of(v < 31), above = mask_of(v >= 31);
  uint32_t bits =
      (bits_of(v) & inside) | (bits_of(31) & above) | (bits_of(-32) & ~(inside | above));
  return nearest(float_of(bits & mask_of(scale != 0)));
}

/* How much of the weights codes with these scales explain: xq^2 / qq. */
static void sum_codes(const block_6 *b, const float *scales, double *xq, double *qq) {
  float codes[GROUP_6][GROUPS_6];
  double sxq[GROUPS_6] = {0}, sqq[GROUPS_6] = {0};
  for (int32_t i = 0; i < GROUP_6; i++)
    for (int32_t g = 0; g < GROUPS_6; g++) codes[i][g] = code_6(scales[g], b->x[i][g]);
  for (int32_t i = 0; i < GROUP_6; i++)
    for (int32_t g = 0; g < GROUPS_6; g++) {
      double q = (double)codes[i][g];
      sxq[g] += b->wx[i][g] * q, sqq[g] += b->w[i][g] * q * q;
    }
  memcpy(xq, sxq, sizeof sxq);
  memcpy(qq, sqq, sizeof sqq);
}

static void set_block_6(block_6 *b, const float *x) {
  for (int32_t g = 0; g < GROUPS_6; g++) {
    const float *group = x + g * GROUP_6;
    float w[GROUP_6];
    importances(w, group, GROUP_6);
    b->largest[g] = 0;
    for (int32_t i = 0; i < GROUP_6; i++) {
      if (fabsf(group[i]) > fabsf(b->largest[g])) b->largest[g] = group[i];
      b->x[i][g] = group[i];
      b->w[i][g] = (double)w[i], b->wx[i][g] = (double)w[i] * (double)group[i];
    }
  }
}

/* The scales of least error; below 0 where the largest weight is above 0, since there is one code
 * more on that side. */
static void best_scales(float *best, const float *x) {
  block_6 b;
  float scales[GROUPS_6];
  double most[GROUPS_6] = {0}, xq[GROUPS_6], qq[GROUPS_6];
  set_block_6(&b, x);
  for (int32_t g = 0; g < GROUPS_6; g++) best[g] = b.largest[g] == 0 ? 0 : b.largest[g] / -32;
  for (int32_t attempt = 0; attempt < TRIES; attempt++) {
    for (int32_t g = 0; g < GROUPS_6; g++) scales[g] = b.largest[g] / (-32 * stretch(attempt));
    sum_codes(&b, scales, xq, qq);
    for (int32_t g = 0; g < GROUPS_6; g++) {
      if (!(qq[g] > 0) || xq[g] * xq[g] <= most[g] * qq[g]) continue;
      most[g] = xq[g] * xq[g] / qq[g];
      best[g] = (float)(xq[g] / qq[g]);
    }
  }
}

static void put_code_6(uint8_t *block, int32_t i, int32_t code) {
  int32_t part = i / 128, quarter = i % 128 / 32, l = i % 32;
  block[part * 64 + quarter % 2 * 32 + l] |= (uint8_t)((code & 15) << quarter / 2 * 4);
  block[128 + part * 32 + l] |= (uint8_t)(code >> 4 << quarter * 2);
}

void tn_q6_k_put(uint8_t *block, const float *x) {
  float scales[GROUPS_6], largest = 0;
  best_scales(scales, x);
  for (int32_t g = 0; g < GROUPS_6; g++)
    if (fabsf(scales[g]) > fabsf(largest)) largest = scales[g];
  float d = rounded(largest / -128);
  memset(block, 0, 192);
  for (int32_t g = 0; g < GROUPS_6; g++) {
    float share = d != 0 ? clamped(rintf(scales[g] / d), -128, 127) : 0;
    block[192 + g] = (uint8_t)(int8_t)share;
    for (int32_t i = g * GROUP_6; i < (g + 1) * GROUP_6; i++)
      put_code_6(block, i, (int32_t)code_6(d * share, x[i]) + 32);
  }
  put_half(block + 208, d);
}
