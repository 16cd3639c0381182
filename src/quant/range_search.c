/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/range_search.h"

enum { STEPS = 20, HALF = 10 }; /* the whole range and 95 % down to 50 % of it */

typedef struct range {
  float low, high;
} range;

static range range_of(const float *w, int64_t count) {
  range r = {w[0], w[0]};
  for (int64_t i = 1; i < count; i++) {
    if (w[i] < r.low) r.low = w[i];
    if (w[i] > r.high) r.high = w[i];
  }
  return r;
}

static tn_grid_scale narrowed(const tn_grid *g, range r, int step) {
  float share = 1.0f - (float)step / STEPS;
  return tn_grid_fit(g, r.low * share, r.high * share);
}

static float difference(const tn_grid *g, tn_grid_scale s, float w) {
  return w - tn_grid_value(g, s, tn_grid_code(g, s, w));
}

static double error_diagonal(const tn_grid *g, tn_grid_scale s, const float *w, const float *h,
                             int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) {
    double d = (double)difference(g, s, w[i]);
    sum += (double)h[i] * d * d;
  }
  return sum;
}

tn_grid_scale tn_range_search_diagonal(const tn_grid *g, const float *w, const float *h,
                                       int64_t count) {
  range r = range_of(w, count);
  tn_grid_scale best = narrowed(g, r, 0);
  double least = error_diagonal(g, best, w, h, count);
  for (int step = 1; step <= HALF; step++) {
    tn_grid_scale s = narrowed(g, r, step);
    double error = error_diagonal(g, s, w, h, count);
    if (error < least) least = error, best = s;
  }
  return best;
}

static double error_block(const tn_grid *g, tn_grid_scale s, const float *w, const float *h,
                          int64_t stride, int64_t count, float *d) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) d[i] = difference(g, s, w[i]);
  for (int64_t i = 0; i < count; i++) {
    float along = 0;
    const float *row = h + i * stride;
    for (int64_t j = 0; j < count; j++) along += row[j] * d[j];
    sum += (double)along * (double)d[i];
  }
  return sum;
}

tn_grid_scale tn_range_search_block(const tn_grid *g, const float *w, const float *h,
                                    int64_t stride, int64_t count, float *scratch) {
  range r = range_of(w, count);
  tn_grid_scale best = narrowed(g, r, 0);
  double least = error_block(g, best, w, h, stride, count, scratch);
  for (int step = 1; step <= HALF; step++) {
    tn_grid_scale s = narrowed(g, r, step);
    double error = error_block(g, s, w, h, stride, count, scratch);
    if (error < least) least = error, best = s;
  }
  return best;
}
