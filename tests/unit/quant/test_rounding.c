/* SPDX-License-Identifier: Apache-2.0 */
/* The grid, and GPTQ and AWQ against plain versions of what they are said to do. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"
#include "quant/awq.h"
#include "quant/gptq.h"
#include "quant/range_search.h"

enum { ROWS = 21, COLUMNS = 160, SAMPLES = 400 };

static void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

static const tn_grid int4_32 = {.bits = 4, .symmetric = true, .group = 32, .scale_dtype = TN_F32};

static float *random_floats(int64_t count, uint64_t stream) {
  float *x = tn_alloc((size_t)count, sizeof *x);
  for (int64_t i = 0; i < count; i++) x[i] = (float)tn_random_normal(3, stream, (uint64_t)i);
  return x;
}

/* Inputs that hang together, some of them large; one is always 0. */
typedef struct inputs {
  float *x, *gram;
} inputs;

static inputs make_inputs(void) {
  inputs in = {random_floats(SAMPLES * COLUMNS, 1), tn_alloc(COLUMNS * COLUMNS, sizeof(float))};
  for (int64_t s = 0; s < SAMPLES; s++) {
    float *row = in.x + s * COLUMNS;
    for (int64_t k = 1; k < COLUMNS; k++) row[k] = row[k] + 0.8f * row[k - 1];
    for (int64_t k = 0; k < COLUMNS; k++) row[k] *= k % 17 == 3 ? 12.0f : 0.5f;
    row[40] = 0;
  }
  for (int64_t s = 0; s < SAMPLES; s++)
    for (int64_t i = 0; i < COLUMNS; i++)
      for (int64_t k = 0; k < COLUMNS; k++)
        in.gram[i * COLUMNS + k] += in.x[s * COLUMNS + i] * in.x[s * COLUMNS + k];
  return in;
}

static void clear_inputs(inputs *in) {
  tn_free(in->x);
  tn_free(in->gram);
}

/* Sum of squares of (Q - W) x over the samples; scales NULL: 1. */
static double output_error(const inputs *in, const float *w, const tn_grid_matrix *m,
                           const float *scales) {
  float *q = tn_alloc((size_t)(m->rows * m->columns), sizeof *q);
  tn_grid_matrix_to_f32(m, q, NULL);
  double sum = 0;
  for (int64_t r = 0; r < m->rows; r++)
    for (int64_t s = 0; s < SAMPLES; s++) {
      double y = 0;
      for (int64_t k = 0; k < m->columns; k++) {
        double value = (double)q[r * m->columns + k] / (scales ? (double)scales[k] : 1);
        y += (value - (double)w[r * m->columns + k]) * (double)in->x[s * m->columns + k];
      }
      sum += y * y;
    }
  tn_free(q);
  return sum;
}

/* ---- the grid ---- */

static void codes_are_the_nearest(void **state) {
  static const tn_grid grids[] = {
      {.bits = 4, .symmetric = true, .group = 32, .scale_dtype = TN_F32},
      {.bits = 4, .symmetric = false, .group = 32, .scale_dtype = TN_F16},
      {.bits = 8, .symmetric = true, .group = 0, .scale_dtype = TN_BF16},
      {.bits = 8, .symmetric = false, .group = 64, .scale_dtype = TN_F32},
      {.bits = 8, .is_float = true, .symmetric = true, .group = 0, .scale_dtype = TN_BF16}};
  for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
    const tn_grid *grid = &grids[g];
    float *w = random_floats(64, 70 + g);
    for (int i = 0; i < 64; i++) w[i] += grid->symmetric ? 0 : 1.5f;
    tn_grid_scale s = tn_grid_fit_weights(grid, w, 64);
    int32_t low = grid->is_float ? 0 : tn_grid_low(grid);
    int32_t high = grid->is_float ? 255 : tn_grid_high(grid);
    for (int i = 0; i < 64; i++) {
      double got = fabs((double)tn_grid_value(grid, s, tn_grid_code(grid, s, w[i])) - w[i]);
      for (int32_t code = low; code <= high; code++) {
        double other = fabs((double)tn_grid_value(grid, s, (int8_t)code) - w[i]);
        if (isfinite(other)) assert_true(got <= other * (1 + 1e-5) + 1e-7);
      }
    }
    uint32_t bits;
    memcpy(&bits, &s.scale, 4);
    if (grid->scale_dtype == TN_BF16) assert_int_equal(bits & 0xffff, 0);
    if (grid->scale_dtype == TN_F16) assert_int_equal(bits & 0x1fff, 0);
    tn_free(w);
  }
}

static void odd_groups_of_weights_are_fine(void **state) {
  const float zeros[4] = {0}, tiny[2] = {1e-30f, -1e-30f}, ones[2] = {2, 3};
  tn_grid g = int4_32;
  tn_grid_scale s = tn_grid_fit_weights(&g, zeros, 4);
  assert_true(s.scale > 0 && tn_grid_value(&g, s, tn_grid_code(&g, s, 0)) == 0);
  g.scale_dtype = TN_F16; /* the scale would round to 0 */
  s = tn_grid_fit_weights(&g, tiny, 2);
  assert_true(s.scale > 0 && tn_grid_value(&g, s, tn_grid_code(&g, s, tiny[0])) == 0);
  g.symmetric = false; /* all above 0: the range still begins there */
  s = tn_grid_fit_weights(&g, ones, 2);
  assert_true(fabs(tn_grid_value(&g, s, tn_grid_code(&g, s, 3)) - 3) < 1e-2);
  assert_true(tn_grid_value(&g, s, tn_grid_code(&g, s, 0)) == 0);
}

static void matrices_refuse_broken_groups(void **state) {
  tn_error err;
  tn_grid_matrix m;
  assert_int_equal(tn_grid_matrix_init(&m, &int4_32, 4, 80, &err), TN_ERR_UNSUPPORTED);
  assert_non_null(strstr(err.text, "80 columns"));
}

static void a_searched_range_loses_no_more(void **state) {
  inputs in = make_inputs();
  float *w = random_floats(ROWS * COLUMNS, 4), scratch[32];
  float h[32];
  int32_t better = 0;
  for (int64_t r = 0; r < ROWS; r++) {
    const float *group = w + r * COLUMNS + 32;
    for (int i = 0; i < 32; i++) h[i] = in.gram[(32 + i) * (COLUMNS + 1)];
    tn_grid_scale plain = tn_grid_fit_weights(&int4_32, group, 32);
    tn_grid_scale some[2] = {
        tn_range_search_diagonal(&int4_32, group, h, 32),
        tn_range_search_block(&int4_32, group, in.gram + 32 * (COLUMNS + 1), COLUMNS, 32, scratch)};
    for (int k = 0; k < 2; k++) {
      double before = 0, after = 0;
      for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32; j++) {
          if (k == 0 && i != j) continue;
          double weight = (double)in.gram[(32 + i) * COLUMNS + 32 + j];
#define D(s, n) \
  ((double)tn_grid_value(&int4_32, s, tn_grid_code(&int4_32, s, group[n])) - (double)group[n])
          before += D(plain, i) * weight * D(plain, j);
          after += D(some[k], i) * weight * D(some[k], j);
#undef D
        }
      assert_true(after <= before * (1 + 1e-4));
      better += after < before * 0.999;
    }
  }
  assert_true(better > ROWS / 2);
  tn_free(w);
  clear_inputs(&in);
}

/* ---- GPTQ ---- */

/* Gauss-Jordan, to have another way to the inverse. */
static void invert(double *a, double *out, int64_t n) {
  memset(out, 0, (size_t)(n * n) * sizeof *out);
  for (int64_t i = 0; i < n; i++) out[i * n + i] = 1;
  for (int64_t c = 0; c < n; c++) {
    double pivot = a[c * n + c];
    for (int64_t k = 0; k < n; k++) a[c * n + k] /= pivot, out[c * n + k] /= pivot;
    for (int64_t r = 0; r < n; r++) {
      double factor = a[r * n + c];
      if (r == c || factor == 0) continue;
      for (int64_t k = 0; k < n; k++) {
        a[r * n + k] -= factor * a[c * n + k];
        out[r * n + k] -= factor * out[c * n + k];
      }
    }
  }
}

/* As the factor does it: the input that is always 0 counts like a mean one. */
static void damp(const inputs *in, double share, double *hessian) {
  double mean = 0;
  for (int64_t k = 0; k < COLUMNS; k++) mean += (double)in->gram[k * (COLUMNS + 1)] / COLUMNS;
  for (int64_t i = 0; i < COLUMNS * COLUMNS; i++) hessian[i] = (double)in->gram[i];
  hessian[40 * (COLUMNS + 1)] = mean;
  for (int64_t k = 0; k < COLUMNS; k++) hessian[k * (COLUMNS + 1)] += share * mean;
}

/* Optimal Brain Quantization in fixed order: after each column its row and column are removed from
 * the inverse Hessian.  GPTQ says that this is what the Cholesky factor does. */
static void plain_row(const double *hessian, const float *w, int8_t *codes, tn_grid_scale *scales) {
  static double a[COLUMNS * COLUMNS], inverse[COLUMNS * COLUMNS];
  double left[COLUMNS];
  memcpy(a, hessian, sizeof a);
  invert(a, inverse, COLUMNS);
  for (int64_t k = 0; k < COLUMNS; k++) left[k] = (double)w[k];
  for (int64_t c = 0; c < COLUMNS; c++) {
    if (c % 32 == 0) {
      float group[32];
      for (int i = 0; i < 32; i++) group[i] = (float)left[c + i];
      scales[c / 32] = tn_grid_fit_weights(&int4_32, group, 32);
    }
    codes[c] = tn_grid_code(&int4_32, scales[c / 32], (float)left[c]);
    double d = left[c] - (double)tn_grid_value(&int4_32, scales[c / 32], codes[c]);
    double pivot = inverse[c * COLUMNS + c];
    for (int64_t k = c; k < COLUMNS; k++) left[k] -= d / pivot * inverse[c * COLUMNS + k];
    for (int64_t i = c + 1; i < COLUMNS; i++) {
      double factor = inverse[i * COLUMNS + c] / pivot;
      for (int64_t k = c; k < COLUMNS; k++)
        inverse[i * COLUMNS + k] -= factor * inverse[c * COLUMNS + k];
    }
  }
}

static void gptq_is_brain_quantization_in_order(void **state) {
  tn_error err;
  inputs in = make_inputs();
  static double hessian[COLUMNS * COLUMNS];
  damp(&in, 0.02, hessian);
  float *w = random_floats(ROWS * COLUMNS, 2);
  const tn_gptq_options o = {.damping = 0.02, .group = 32};
  tn_gptq_factor f;
  tn_grid_matrix m;
  must(tn_gptq_factor_init(&f, in.gram, COLUMNS, &o, NULL, &err));
  must(tn_grid_matrix_init(&m, &int4_32, ROWS, COLUMNS, &err));
  must(tn_gptq_round(&m, w, &f, NULL, &err));
  int64_t same = 0;
  for (int64_t r = 0; r < ROWS; r++) {
    int8_t codes[COLUMNS];
    tn_grid_scale scales[COLUMNS / 32];
    w[r * COLUMNS + 40] = 0;
    plain_row(hessian, w + r * COLUMNS, codes, scales);
    for (int64_t k = 0; k < COLUMNS; k++) same += codes[k] == m.codes[r * COLUMNS + k];
    assert_int_equal(m.codes[r * COLUMNS + 40], 0); /* an input that is always 0 */
  }
  /* Float against double: a tie may fall the other way, and what follows it. */
  assert_true(same > ROWS * COLUMNS * 98 / 100);
  tn_gptq_factor_clear(&f);
  tn_grid_matrix_clear(&m);
  tn_free(w);
  clear_inputs(&in);
}

static void gptq_loses_less_than_rounding(void **state) {
  static const tn_gptq_options ways[] = {{0},
                                         {.by_activation = true},
                                         {.search = true},
                                         {.by_activation = true, .search = true, .passes = 1}};
  tn_error err;
  inputs in = make_inputs();
  float *w = random_floats(ROWS * COLUMNS, 2);
  for (int64_t r = 0; r < ROWS; r++) w[r * COLUMNS + 40] = 0;
  for (int64_t group = 0; group <= 32; group += 32) {
    tn_grid grid = int4_32;
    grid.group = group;
    tn_grid_matrix m;
    must(tn_grid_matrix_init(&m, &grid, ROWS, COLUMNS, &err));
    tn_grid_matrix_round(&m, w, NULL);
    double rounded = output_error(&in, w, &m, NULL);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
      tn_gptq_factor f;
      tn_gptq_options way = ways[i];
      way.group = group;
      way.damping = 0.01; /* inputs here differ in size more than the default is made for */
      must(tn_gptq_factor_init(&f, in.gram, COLUMNS, &way, NULL, &err));
      must(tn_gptq_round(&m, w, &f, NULL, &err));
      double error = output_error(&in, w, &m, NULL);
      if (error > 0.5 * rounded) fail_msg("way %zu: %g, rounded %g", i, error, rounded);
      tn_gptq_factor_clear(&f);
    }
    tn_grid_matrix_clear(&m);
  }
  tn_free(w);
  clear_inputs(&in);
}

/* (q - t) H (q - t)^T with H damped as the factor is, in double; a row. */
static double damped_error(const double *hessian, const float *w, const tn_grid_matrix *m,
                           int64_t row) {
  double d[COLUMNS], sum = 0;
  for (int64_t k = 0; k < COLUMNS; k++)
    d[k] = (double)tn_grid_value(&m->grid, m->scales[row * m->groups + k / 32],
                                 m->codes[row * COLUMNS + k]) -
           (double)w[row * COLUMNS + k];
  for (int64_t i = 0; i < COLUMNS; i++)
    for (int64_t k = 0; k < COLUMNS; k++) sum += d[i] * hessian[i * COLUMNS + k] * d[k];
  return sum;
}

/* Each pass loses less, and behind many no single code can be better. */
static void passes_end_where_no_code_can_be_better(void **state) {
  static const int32_t passes[] = {0, 1, 2, 50};
  static double hessian[COLUMNS * COLUMNS];
  tn_error err;
  inputs in = make_inputs();
  float *w = random_floats(ROWS * COLUMNS, 2);
  double before = INFINITY;
  for (int64_t r = 0; r < ROWS; r++) w[r * COLUMNS + 40] = 0;
  damp(&in, 0.02, hessian);
  tn_grid_matrix m;
  must(tn_grid_matrix_init(&m, &int4_32, ROWS, COLUMNS, &err));
  for (size_t p = 0; p < sizeof passes / sizeof *passes; p++) {
    const tn_gptq_options o = {
        .damping = 0.02, .by_activation = true, .group = 32, .passes = passes[p]};
    tn_gptq_factor f;
    double sum = 0;
    must(tn_gptq_factor_init(&f, in.gram, COLUMNS, &o, NULL, &err));
    must(tn_gptq_round(&m, w, &f, NULL, &err));
    tn_gptq_factor_clear(&f);
    for (int64_t r = 0; r < ROWS; r++) sum += damped_error(hessian, w, &m, r);
    if (passes[p] < 50 ? sum >= before : sum > before)
      fail_msg("%d passes: %g, before %g", passes[p], sum, before);
    before = sum;
  }
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
    double least = damped_error(hessian, w, &m, i / COLUMNS);
    int8_t code = m.codes[i];
    for (int step = -1; step <= 1; step += 2) {
      if (code + step < -8 || code + step > 7) continue;
      m.codes[i] = (int8_t)(code + step);
      assert_true(damped_error(hessian, w, &m, i / COLUMNS) > least * (1 - 1e-5));
    }
    m.codes[i] = code;
  }
  tn_grid_matrix_clear(&m);
  tn_free(w);
  clear_inputs(&in);
}

/* t = w + (w D + R) H^-1 by another inverse. */
static void aim_is_the_least_squares_answer(void **state) {
  static double hessian[COLUMNS * COLUMNS], inverse[COLUMNS * COLUMNS];
  tn_error err;
  inputs in = make_inputs();
  float *w = random_floats(ROWS * COLUMNS, 2), *aimed = tn_alloc(ROWS * COLUMNS, sizeof *aimed);
  float *drift = random_floats(COLUMNS * COLUMNS, 7), *residual = random_floats(ROWS * COLUMNS, 8);
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) residual[i] *= 100;
  damp(&in, 0.02, hessian);
  invert(hessian, inverse, COLUMNS);
  for (int way = 0; way < 4; way++) {
    const tn_gptq_options o = {.damping = 0.02, .by_activation = way & 1, .group = 32};
    tn_gptq_factor f;
    must(tn_gptq_factor_init(&f, in.gram, COLUMNS, &o, NULL, &err));
    memcpy(aimed, w, ROWS * COLUMNS * sizeof *aimed);
    must(tn_gptq_aim(aimed, ROWS, drift, way & 2 ? residual : NULL, &f, NULL, &err));
    tn_gptq_factor_clear(&f);
    for (int64_t r = 0; r < ROWS; r++) {
      double wanted[COLUMNS] = {0};
      for (int64_t k = 0; k < COLUMNS; k++) {
        if (way & 2) wanted[k] = (double)residual[r * COLUMNS + k];
        for (int64_t i = 0; i < COLUMNS; i++)
          wanted[k] += (double)w[r * COLUMNS + i] * (double)drift[i * COLUMNS + k];
      }
      for (int64_t k = 0; k < COLUMNS; k++) {
        double t = (double)w[r * COLUMNS + k];
        for (int64_t i = 0; i < COLUMNS; i++) t += wanted[i] * inverse[i * COLUMNS + k];
        double got = (double)aimed[r * COLUMNS + k];
        if (fabs(got - t) > 1e-3) fail_msg("way %d: %g, expected %g", way, got, t);
      }
    }
  }
  tn_free(drift);
  tn_free(residual);
  tn_free(aimed);
  tn_free(w);
  clear_inputs(&in);
}

/* Groups of 32 by their largest input, and so inside each. */
static void order_keeps_groups_together(void **state) {
  tn_error err;
  inputs in = make_inputs();
  const tn_gptq_options o = {.by_activation = true, .group = 32};
  tn_gptq_factor f;
  must(tn_gptq_factor_init(&f, in.gram, COLUMNS, &o, NULL, &err));
  bool seen[COLUMNS] = {0};
  for (int64_t c = 0; c < COLUMNS; c++) {
    assert_false(seen[f.order[c]]);
    seen[f.order[c]] = true;
    assert_int_equal(f.order[c] / 32, f.order[c / 32 * 32] / 32);
    assert_true(f.diagonal[c] == in.gram[f.order[c] * (COLUMNS + 1)]);
    if (c % 32 > 0) assert_true(f.diagonal[c] <= f.diagonal[c - 1]);
    if (c % 32 == 0 && c > 0) assert_true(f.diagonal[c] <= f.diagonal[c - 32]);
  }
  tn_gptq_factor_clear(&f);
  clear_inputs(&in);
}

static void threads_change_no_code(void **state) {
  tn_error err;
  tn_pool *pool;
  inputs in = make_inputs();
  float *w = random_floats(ROWS * COLUMNS, 2);
  const tn_gptq_options o = {.by_activation = true, .search = true, .group = 32, .passes = 2};
  tn_gptq_factor f;
  tn_grid_matrix one, more;
  must(tn_pool_new(&pool, 3, &err));
  must(tn_grid_matrix_init(&one, &int4_32, ROWS, COLUMNS, &err));
  must(tn_grid_matrix_init(&more, &int4_32, ROWS, COLUMNS, &err));
  must(tn_gptq_factor_init(&f, in.gram, COLUMNS, &o, NULL, &err));
  must(tn_gptq_round(&one, w, &f, NULL, &err));
  must(tn_gptq_round(&more, w, &f, pool, &err));
  assert_memory_equal(one.codes, more.codes, ROWS * COLUMNS);
  must(tn_awq_round(&one, w, in.gram, NULL, &err));
  must(tn_awq_round(&more, w, in.gram, pool, &err));
  assert_memory_equal(one.codes, more.codes, ROWS * COLUMNS);
  tn_gptq_factor_clear(&f);
  tn_grid_matrix_clear(&one);
  tn_grid_matrix_clear(&more);
  tn_pool_free(pool);
  tn_free(w);
  clear_inputs(&in);
}

/* ---- AWQ ---- */

static tn_site site_for(const inputs *in) {
  tn_site s = {.columns = COLUMNS, .rows = SAMPLES, .gram = in->gram};
  s.abs_sum = tn_alloc(COLUMNS, sizeof *s.abs_sum);
  for (int64_t i = 0; i < SAMPLES * COLUMNS; i++) s.abs_sum[i % COLUMNS] += fabs((double)in->x[i]);
  return s;
}

static void awq_scales_lose_less_and_can_be_shared(void **state) {
  tn_error err;
  tn_stream *stream;
  inputs in = make_inputs();
  tn_site site = site_for(&in);
  float *w = random_floats(2 * ROWS * COLUMNS, 2), scales[COLUMNS];
  float *scaled = tn_alloc(ROWS * COLUMNS, sizeof *scaled);
  const tn_awq_weight weights[2] = {{w, ROWS}, {w + ROWS * COLUMNS, ROWS}};
  must(tn_stream_open(tn_device_cpu(), NULL, &stream, &err));
  must(tn_awq_search(scales, weights, 2, &site, &int4_32, (tn_awq_sharing){1, 1}, stream, &err));
  tn_grid_matrix m;
  must(tn_grid_matrix_init(&m, &int4_32, ROWS, COLUMNS, &err));
  tn_grid_matrix_round(&m, w, NULL);
  double rounded = output_error(&in, w, &m, NULL);
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) scaled[i] = w[i] * scales[i % COLUMNS];
  tn_grid_matrix_round(&m, scaled, NULL);
  double error = output_error(&in, w, &m, scales);
  if (error > 0.7 * rounded) fail_msg("with scales %g, without %g", error, rounded);
  /* The ranges of the scaled weights searched as well, by the inputs as they are then. */
  for (int64_t i = 0; i < COLUMNS; i++)
    for (int64_t k = 0; k < COLUMNS; k++) in.gram[i * COLUMNS + k] /= scales[i] * scales[k];
  must(tn_awq_round(&m, scaled, in.gram, NULL, &err));
  assert_true(output_error(&in, w, &m, scales) < error);
  must(tn_awq_search(scales, weights, 2, &site, &int4_32, (tn_awq_sharing){20, 4}, stream, &err));
  for (int64_t k = 0; k < COLUMNS; k++)
    assert_true(scales[k] == scales[k / 80 * 80 + k % 20]); /* runs of 20, four alike */
  tn_grid_matrix_clear(&m);
  tn_stream_close(stream);
  tn_free(site.abs_sum);
  tn_free(scaled);
  tn_free(w);
  clear_inputs(&in);
}

static void out_of_memory_is_reported(void **state) {
  tn_error err;
  inputs in = make_inputs();
  tn_site site = site_for(&in);
  float *w = random_floats(ROWS * COLUMNS, 2), scales[COLUMNS];
  const tn_awq_weight weight = {w, ROWS};
  tn_stream *stream;
  must(tn_stream_open(tn_device_cpu(), NULL, &stream, &err));
  int64_t live = tn_alloc_live(), n = 0;
  for (tn_status status = TN_ERR_MEMORY; status != TN_OK;) {
    tn_grid_matrix m = {0};
    tn_gptq_factor f = {0};
    const tn_gptq_options o = {.by_activation = true, .group = 32, .passes = 1};
    tn_alloc_fail_at(++n);
    status = tn_gptq_factor_init(&f, in.gram, COLUMNS, &o, NULL, &err);
    if (status == TN_OK) status = tn_grid_matrix_init(&m, &int4_32, ROWS, COLUMNS, &err);
    if (status == TN_OK) status = tn_gptq_aim(w, ROWS, in.gram, NULL, &f, NULL, &err);
    if (status == TN_OK) status = tn_gptq_round(&m, w, &f, NULL, &err);
    if (status == TN_OK) status = tn_awq_round(&m, w, in.gram, NULL, &err);
    if (status == TN_OK)
      status =
          tn_awq_search(scales, &weight, 1, &site, &int4_32, (tn_awq_sharing){1, 1}, stream, &err);
    tn_alloc_fail_at(0);
    tn_gptq_factor_clear(&f);
    tn_grid_matrix_clear(&m);
    if (status != TN_OK) {
      assert_int_equal(status, TN_ERR_MEMORY);
      assert_int_equal(tn_alloc_live(), live);
    }
  }
  assert_true(n > 11);
  tn_stream_close(stream);
  tn_free(site.abs_sum);
  tn_free(w);
  clear_inputs(&in);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_are_the_nearest),
      cmocka_unit_test(odd_groups_of_weights_are_fine),
      cmocka_unit_test(matrices_refuse_broken_groups),
      cmocka_unit_test(a_searched_range_loses_no_more),
      cmocka_unit_test(gptq_is_brain_quantization_in_order),
      cmocka_unit_test(gptq_loses_less_than_rounding),
      cmocka_unit_test(passes_end_where_no_code_can_be_better),
      cmocka_unit_test(aim_is_the_least_squares_answer),
      cmocka_unit_test(order_keeps_groups_together),
      cmocka_unit_test(threads_change_no_code),
      cmocka_unit_test(awq_scales_lose_less_and_can_be_shared),
      cmocka_unit_test(out_of_memory_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
