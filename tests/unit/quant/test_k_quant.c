/* SPDX-License-Identifier: Apache-2.0 */
/* Super-blocks of Q4_K and Q6_K, read back by the reader of GGUF files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "quant/k_quant.h"
#include "tensor/quant.h"

enum { BLOCKS = 64, BLOCK_BYTES_MAX = 210 };

typedef void (*put_fn)(uint8_t *block, const float *x);

static double share_of_error(const float *x, const float *y) {
  double error = 0, whole = 0;
  for (int i = 0; i < TN_K_BLOCK; i++) {
    error += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    whole += (double)x[i] * (double)x[i];
  }
  return error / whole;
}

static void there_and_back(put_fn put, tn_dtype dtype, const float *x, float *y) {
  uint8_t block[BLOCK_BYTES_MAX + 1];
  memset(block, 0xa5, sizeof block); /* what was there before does not shine through */
  put(block, x);
  assert_int_equal(block[tn_dtype_bytes(dtype)], 0xa5);
  tn_quant_to_f32(y, block, dtype, TN_K_BLOCK);
}

/* Normal weights of very different sizes from group to group, some far out. */
static void make_block(float *x, int block) {
  for (int i = 0; i < TN_K_BLOCK; i++) {
    double size = 0.01 * (1 + (i / 16 * 7 + block) % 5);
    x[i] = (float)(size * tn_random_normal(9, (uint64_t)block, (uint64_t)i));
    if ((i + block) % 61 == 0) x[i] *= 3;
  }
}

/* Each group's whole range in 15 steps whose scale and minimum are not rounded. */
static void round_plainly(const float *x, float *y) {
  for (int g = 0; g < TN_K_BLOCK; g += 32) {
    float low = 0, high = 0;
    for (int i = g; i < g + 32; i++) {
      if (x[i] < low) low = x[i];
      if (x[i] > high) high = x[i];
    }
    float step = (high - low) / 15;
    for (int i = g; i < g + 32; i++) y[i] = low + step * rintf((x[i] - low) / step);
  }
}

/* ---- the search, group by group and weight by weight ---- */

typedef struct line {
  float scale, minimum;
} line;

static double code_of(line l, float x) {
  float q = l.scale > 0 ? rintf((x + l.minimum) / l.scale) : 0;
  return !(q > 0) ? 0 : q > 15 ? 15 : (double)q;
}

static line solve(line from, const float *x, const float *w) {
  double sw = 0, sq = 0, sqq = 0, sx = 0, sxq = 0;
  for (int i = 0; i < 32; i++) {
    double q = code_of(from, x[i]), v = (double)w[i], xi = (double)x[i];
    sw += v, sq += v * q, sqq += v * q * q, sx += v * xi, sxq += v * xi * q;
  }
  double det = sw * sqq - sq * sq;
  if (!(det > 0)) return from;
  double scale = (sw * sxq - sx * sq) / det, minimum = -(sqq * sx - sq * sxq) / det;
  if (minimum < 0) scale = sxq / sqq, minimum = 0;
  return scale > 0 ? (line){(float)scale, (float)minimum} : from;
}

static double error_of(line l, const float *x, const float *w) {
  double sum = 0;
  for (int i = 0; i < 32; i++) {
    double d = (double)x[i] - ((double)l.scale * code_of(l, x[i]) - (double)l.minimum);
    sum += (double)w[i] * d * d;
  }
  return sum;
}

static line search(const float *x) {
  float w[32], low = 0, high = 0;
  double squares = 0;
  for (int i = 0; i < 32; i++) {
    squares += (double)x[i] * (double)x[i];
    low = fminf(low, x[i]), high = fmaxf(high, x[i]);
  }
  for (int i = 0; i < 32; i++) w[i] = (float)sqrt(squares / 32) + fabsf(x[i]);
  if (!(high > low)) return (line){0, 0};
  line best = {(high - low) / 15, -low};
  double least = error_of(best, x, w);
  for (int attempt = 0; attempt < 21; attempt++) {
    float stretch = 0.9f + 0.01f * (float)attempt;
    line l = solve((line){(high - low) / (15 * stretch), -low}, x, w);
    double error = error_of(l, x, w);
    if (error < least) least = error, best = l;
  }
  return best;
}

static uint8_t share(float x, float step) {
  return step > 0 ? (uint8_t)fminf(rintf(x / step), 63) : 0;
}

/* Values that llama.cpp's layout gives back: 8 scales and minima of 6 bits, then the codes. */
static void search_block(const float *x, float *y) {
  line lines[8];
  float scale = 0, minimum = 0;
  for (int g = 0; g < 8; g++) {
    lines[g] = search(x + g * 32);
    scale = fmaxf(scale, lines[g].scale), minimum = fmaxf(minimum, lines[g].minimum);
  }
  float d = tn_f16_to_f32(tn_f32_to_f16(scale / 63)),
        m = tn_f16_to_f32(tn_f32_to_f16(minimum / 63));
  for (int g = 0; g < 8; g++) {
    line l = {d * (float)share(lines[g].scale, d), m * (float)share(lines[g].minimum, m)};
    for (int i = g * 32; i < g * 32 + 32; i++) y[i] = l.scale * (float)code_of(l, x[i]) - l.minimum;
  }
}

static float code_of_6(float scale, float x) {
  float q = scale != 0 ? rintf(x / scale) : 0;
  return !(q > -32) ? -32 : q > 31 ? 31 : q;
}

static float search_6(const float *x) {
  float w[16], largest = 0;
  double squares = 0, most = 0;
  for (int i = 0; i < 16; i++) {
    squares += (double)x[i] * (double)x[i];
    if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
  }
  if (largest == 0) return 0;
  for (int i = 0; i < 16; i++) w[i] = (float)sqrt(squares / 16) + fabsf(x[i]);
  float best = largest / -32;
  for (int attempt = 0; attempt < 21; attempt++) {
    float scale = largest / (-32 * (0.9f + 0.01f * (float)attempt));
    double xq = 0, qq = 0;
    for (int i = 0; i < 16; i++) {
      double q = (double)code_of_6(scale, x[i]), v = (double)w[i];
      xq += v * (double)x[i] * q, qq += v * q * q;
    }
    if (!(qq > 0) || xq * xq <= most * qq) continue;
    most = xq * xq / qq;
    best = (float)(xq / qq);
  }
  return best;
}

static void search_block_6(const float *x, float *y) {
  float scales[16], largest = 0;
  for (int g = 0; g < 16; g++) {
    scales[g] = search_6(x + g * 16);
    if (fabsf(scales[g]) > fabsf(largest)) largest = scales[g];
  }
  float d = tn_f16_to_f32(tn_f32_to_f16(largest / -128));
  for (int g = 0; g < 16; g++) {
    float share = d != 0 ? fminf(fmaxf(rintf(scales[g] / d), -128), 127) : 0;
    for (int i = g * 16; i < g * 16 + 16; i++) y[i] = d * share * code_of_6(d * share, x[i]);
  }
}

/* Blocks of every kind: groups of zeros, one sign alone, very small and very large. */
static void make_odd_block(float *x, int block) {
  make_block(x, block);
  for (int i = 0; i < TN_K_BLOCK; i++) {
    if (block % 6 == 1) x[i] = fabsf(x[i]);
    if (block % 6 == 2) x[i] = -fabsf(x[i]);
    if (block % 6 == 3 && i / 32 % 3 == 0) x[i] = 0;
    if (block % 6 == 4) x[i] = ldexpf(x[i], i / 32 * 4 - 24);
    if (block % 6 == 5) x[i] = (float)(i * 7 % 16) - 8;
  }
}

static void compare_searches(put_fn put, tn_dtype dtype,
                             void (*in_turn)(const float *x, float *y)) {
  float x[TN_K_BLOCK], y[TN_K_BLOCK], want[TN_K_BLOCK];
  for (int block = 0; block < 6 * BLOCKS; block++) {
    make_odd_block(x, block);
    there_and_back(put, dtype, x, y);
    in_turn(x, want);
    for (int i = 0; i < TN_K_BLOCK; i++)
      if (y[i] != want[i])
        fail_msg("block %d, weight %d: %g, not %g", block, i, (double)y[i], (double)want[i]);
  }
}

static void all_groups_at_once_find_what_one_finds(void **state) {
  compare_searches(tn_q4_k_put, TN_Q4_K, search_block);
  compare_searches(tn_q6_k_put, TN_Q6_K, search_block_6);
}

static void four_bits_lose_less_than_plain_rounding(void **state) {
  double ours = 0, plain = 0;
  for (int b = 0; b < BLOCKS; b++) {
    float x[TN_K_BLOCK], y[TN_K_BLOCK], z[TN_K_BLOCK];
    make_block(x, b);
    there_and_back(tn_q4_k_put, TN_Q4_K, x, y);
    round_plainly(x, z);
    ours += share_of_error(x, y);
    plain += share_of_error(x, z);
  }
  assert_true(ours < 0.97 * plain);
}

static void six_bits_are_close(void **state) {
  for (int b = 0; b < BLOCKS; b++) {
    float x[TN_K_BLOCK], y[TN_K_BLOCK];
    make_block(x, b);
    there_and_back(tn_q6_k_put, TN_Q6_K, x, y);
    assert_true(share_of_error(x, y) < 0.0006);
    for (int i = 0; i < TN_K_BLOCK; i++) {
      float largest = 0;
      for (int k = i / 16 * 16; k < i / 16 * 16 + 16; k++)
        if (fabsf(x[k]) > largest) largest = fabsf(x[k]);
      assert_true(fabsf(x[i] - y[i]) < 0.1f * largest);
    }
  }
}

static void borders(void **state) {
  static const float constants[] = {0, 0.5f, -0.5f, 1e-30f, -1e-30f};
  float x[TN_K_BLOCK], y[TN_K_BLOCK];
  for (size_t c = 0; c < sizeof constants / sizeof *constants; c++) {
    for (int i = 0; i < TN_K_BLOCK; i++) x[i] = constants[c];
    there_and_back(tn_q4_k_put, TN_Q4_K, x, y);
    for (int i = 0; i < TN_K_BLOCK; i++) assert_true(fabsf(x[i] - y[i]) < 2e-3f);
    there_and_back(tn_q6_k_put, TN_Q6_K, x, y);
    for (int i = 0; i < TN_K_BLOCK; i++) assert_true(fabsf(x[i] - y[i]) < 2e-3f);
  }
  x[3] = NAN, x[40] = INFINITY, x[80] = -INFINITY; /* nothing sensible, and no crash */
  there_and_back(tn_q4_k_put, TN_Q4_K, x, y);
  there_and_back(tn_q6_k_put, TN_Q6_K, x, y);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_groups_at_once_find_what_one_finds),
      cmocka_unit_test(four_bits_lose_less_than_plain_rounding),
      cmocka_unit_test(six_bits_are_close),
      cmocka_unit_test(borders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
