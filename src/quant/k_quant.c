/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/k_quant.h"

#include <math.h>
#include <string.h>

enum { GROUP_4 = 32, GROUPS_4 = 8, GROUP_6 = 16, GROUPS_6 = 16, TRIES = 21 };

typedef struct line { /* x = scale q - minimum */
  float scale, minimum;
} line;

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

/* ---- Q4_K ---- */

static int32_t code_4(line l, float x) {
  return l.scale > 0 ? (int32_t)clamped(rintf((x + l.minimum) / l.scale), 0, 15) : 0;
}

/* The line of least error through the weights with the codes that `from` gives them; a minimum
 * below 0 has no place in the block. */
static line solve_line(line from, const float *x, const float *w) {
  double sw = 0, sq = 0, sqq = 0, sx = 0, sxq = 0;
  for (int32_t i = 0; i < GROUP_4; i++) {
    double q = code_4(from, x[i]), v = (double)w[i], xi = (double)x[i];
    sw += v, sq += v * q, sqq += v * q * q, sx += v * xi, sxq += v * xi * q;
  }
  double det = sw * sqq - sq * sq;
  if (!(det > 0)) return from;
  double scale = (sw * sxq - sx * sq) / det, minimum = -(sqq * sx - sq * sxq) / det;
  if (minimum < 0) scale = sxq / sqq, minimum = 0;
  return scale > 0 ? (line){(float)scale, (float)minimum} : from;
}

static double error_4(line l, const float *x, const float *w) {
  double sum = 0;
  for (int32_t i = 0; i < GROUP_4; i++) {
    double d = (double)x[i] - ((double)l.scale * code_4(l, x[i]) - (double)l.minimum);
    sum += (double)w[i] * d * d;
  }
  return sum;
}

static line best_line(const float *x) {
  float w[GROUP_4], low = 0, high = 0;
  for (int32_t i = 0; i < GROUP_4; i++) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
  }
  if (!(high > low)) return (line){0, 0};
  importances(w, x, GROUP_4);
  line best = {(high - low) / 15, -low};
  double least = error_4(best, x, w);
  for (int32_t attempt = 0; attempt < TRIES; attempt++) {
    line l = solve_line((line){(high - low) / (15 * stretch(attempt)), -low}, x, w);
    double error = error_4(l, x, w);
    if (error < least) least = error, best = l;
  }
  return best;
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

static uint8_t share_of(float x, float step) {
  return step > 0 ? (uint8_t)clamped(rintf(x / step), 0, 63) : 0;
}

void tn_q4_k_put(uint8_t *block, const float *x) {
  line lines[GROUPS_4];
  uint8_t scales[GROUPS_4], minima[GROUPS_4], *codes = block + 16;
  float scale = 0, minimum = 0;
  for (int32_t g = 0; g < GROUPS_4; g++) {
    lines[g] = best_line(x + g * GROUP_4);
    if (lines[g].scale > scale) scale = lines[g].scale;
    if (lines[g].minimum > minimum) minimum = lines[g].minimum;
  }
  float d = rounded(scale / 63), m = rounded(minimum / 63);
  memset(codes, 0, TN_K_BLOCK / 2);
  for (int32_t g = 0; g < GROUPS_4; g++) {
    scales[g] = share_of(lines[g].scale, d);
    minima[g] = share_of(lines[g].minimum, m);
    line l = {d * (float)scales[g], m * (float)minima[g]};
    for (int32_t i = 0; i < GROUP_4; i++)
      codes[g / 2 * GROUP_4 + i] |= (uint8_t)(code_4(l, x[g * GROUP_4 + i]) << g % 2 * 4);
  }
  put_half(block, d);
  put_half(block + 2, m);
  put_scales(block + 4, scales, minima);
}

/* ---- Q6_K ---- */

static int32_t code_6(float scale, float x) {
  return scale != 0 ? (int32_t)clamped(rintf(x / scale), -32, 31) : 0;
}

/* The scale of least error; below 0 where the largest weight is above 0, since there is one code
 * more on that side. */
static float best_scale(const float *x) {
  float w[GROUP_6], largest = 0;
  double most = 0;
  for (int32_t i = 0; i < GROUP_6; i++)
    if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
  if (largest == 0) return 0;
  importances(w, x, GROUP_6);
  float best = largest / -32;
  for (int32_t attempt = 0; attempt < TRIES; attempt++) {
    float scale = largest / (-32 * stretch(attempt));
    double xq = 0, qq = 0;
    for (int32_t i = 0; i < GROUP_6; i++) {
      double q = code_6(scale, x[i]), v = (double)w[i];
      xq += v * (double)x[i] * q, qq += v * q * q;
    }
    if (!(qq > 0) || xq * xq <= most * qq) continue;
    most = xq * xq / qq; /* what the codes explain of the weights */
    best = (float)(xq / qq);
  }
  return best;
}

static void put_code_6(uint8_t *block, int32_t i, int32_t code) {
  int32_t part = i / 128, quarter = i % 128 / 32, l = i % 32;
  block[part * 64 + quarter % 2 * 32 + l] |= (uint8_t)((code & 15) << quarter / 2 * 4);
  block[128 + part * 32 + l] |= (uint8_t)(code >> 4 << quarter * 2);
}

void tn_q6_k_put(uint8_t *block, const float *x) {
  float scales[GROUPS_6], largest = 0;
  for (int32_t g = 0; g < GROUPS_6; g++) {
    scales[g] = best_scale(x + g * GROUP_6);
    if (fabsf(scales[g]) > fabsf(largest)) largest = scales[g];
  }
  float d = rounded(largest / -128);
  memset(block, 0, 192);
  for (int32_t g = 0; g < GROUPS_6; g++) {
    float share = d != 0 ? clamped(rintf(scales[g] / d), -128, 127) : 0;
    block[192 + g] = (uint8_t)(int8_t)share;
    for (int32_t i = g * GROUP_6; i < (g + 1) * GROUP_6; i++)
      put_code_6(block, i, code_6(d * share, x[i]) + 32);
  }
  put_half(block + 208, d);
}
