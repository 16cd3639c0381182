/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/awq.h"

#include "quant/range_search.h"

enum { RATIOS = 20, FORMS = 2, ROWS_MAX = 1024 }; /* rows of a weight that the search looks at */

typedef struct search {
  const tn_awq_weight *weights;
  int32_t count;
  const tn_site *site;
  const tn_grid *grid;
  tn_stream *stream;
  float *inputs, *columns;            /* m and v of awq.h, [columns] */
  float *scales;                      /* the candidate */
  float *differences, *through;       /* [ROWS_MAX, columns]: d, and H d */
  double energy[TN_SITE_WEIGHTS_MAX]; /* of each weight's outputs: errors count as shares of it */
  const tn_awq_weight *weight;        /* whose rows are looked at */
  int64_t stride;                     /* every how many-th of them */
} search;

/* ---- candidates ---- */

static void mean_inputs(const search *s) {
  for (int64_t k = 0; k < s->site->columns; k++)
    s->inputs[k] = (float)(s->site->abs_sum[k] / (double)s->site->rows);
}

static void add_row(const search *s, const float *w, double *sums) {
  int64_t columns = s->site->columns, group = s->grid->group ? s->grid->group : columns;
  for (int64_t start = 0; start < columns; start += group) {
    float largest = 0;
    for (int64_t k = start; k < start + group; k++)
      if (fabsf(w[k]) > largest) largest = fabsf(w[k]);
    for (int64_t k = start; k < start + group; k++)
      sums[k] += (double)fabsf(w[k]) / ((double)largest + 1e-6);
  }
}

static tn_status mean_columns(const search *s, tn_error *err) {
  int64_t rows = 0, columns = s->site->columns;
  double *sums = tn_alloc((size_t)columns, sizeof *sums);
  if (!sums) return tn_fail_memory(err, "means of columns", (size_t)columns * sizeof *sums);
  for (int32_t i = 0; i < s->count; i++) {
    for (int64_t r = 0; r < s->weights[i].rows; r++)
      add_row(s, s->weights[i].w + r * columns, sums);
    rows += s->weights[i].rows;
  }
  for (int64_t k = 0; k < columns; k++) s->columns[k] = (float)(sums[k] / (double)rows);
  tn_free(sums);
  return TN_OK;
}

/* Columns that must have one scale get the means over all of them. */
static void share_means(float *means, int64_t columns, tn_awq_sharing sharing) {
  if (sharing.share <= 1) return;
  for (int64_t start = 0; start < columns; start += sharing.run * sharing.share)
    for (int64_t k = start; k < start + sharing.run; k++) {
      float sum = 0;
      for (int64_t i = 0; i < sharing.share; i++) sum += means[k + i * sharing.run];
      for (int64_t i = 0; i < sharing.share; i++)
        means[k + i * sharing.run] = sum / (float)sharing.share;
    }
}

static void make_scales(const search *s, int form, int ratio) {
  float r = (float)ratio / RATIOS, low = INFINITY, high = 0;
  for (int64_t k = 0; k < s->site->columns; k++) {
    float scale = powf(s->inputs[k], r);
    if (form == 1) scale /= powf(s->columns[k], 1 - r) + 1e-4f;
    s->scales[k] = scale > 1e-4f ? scale : 1e-4f;
    if (s->scales[k] < low) low = s->scales[k];
    if (s->scales[k] > high) high = s->scales[k];
  }
  float middle = sqrtf(low) * sqrtf(high);
  for (int64_t k = 0; k < s->site->columns; k++) s->scales[k] /= middle;
}

/* ---- what a candidate loses ---- */

static void difference_row(void *context, int64_t row, int32_t worker) {
  const search *s = context;
  int64_t columns = s->site->columns, group = s->grid->group ? s->grid->group : columns;
  const float *w = s->weight->w + row * s->stride * columns;
  float *d = s->differences + row * columns;
  for (int64_t k = 0; k < columns; k++) d[k] = w[k] * s->scales[k];
  for (int64_t start = 0; start < columns; start += group) {
    tn_grid_scale step = tn_grid_fit_weights(s->grid, d + start, group);
    for (int64_t k = start; k < start + group; k++)
      d[k] = tn_grid_value(s->grid, step, tn_grid_code(s->grid, step, d[k])) / s->scales[k] - w[k];
  }
}

static tn_tensor matrix_of(tn_buffer *buffer, int64_t rows, int64_t columns) {
  return (tn_tensor){.buffer = buffer,
                     .dtype = TN_F32,
                     .rank = 2,
                     .shape = {rows, columns},
                     .strides = {columns, 1}};
}

static tn_status multiply_by_gram(const search *s, int64_t rows, tn_error *err) {
  int64_t columns = s->site->columns;
  size_t bytes = (size_t)(rows * columns) * sizeof(float);
  tn_buffer x = {.data = s->differences, .bytes = bytes};
  tn_buffer y = {.data = s->through, .bytes = bytes};
  tn_buffer w = {.data = s->site->gram, .bytes = (size_t)(columns * columns) * sizeof(float)};
  const tn_linear_args args = {.y = matrix_of(&y, rows, columns),
                               .x = matrix_of(&x, rows, columns),
                               .w = matrix_of(&w, columns, columns)};
  return tn_ops_for(tn_device_cpu())->linear(s->stream, &args, err);
}

/* Sum of d^T H d over the rows that are looked at, of what difference_row or copy_row gives. */
static tn_status sum_of_weight(search *s, const tn_awq_weight *weight, tn_pool_fn fill, double *sum,
                               tn_error *err) {
  s->weight = weight;
  s->stride = (weight->rows + ROWS_MAX - 1) / ROWS_MAX;
  int64_t rows = (weight->rows + s->stride - 1) / s->stride;
  tn_pool_run(s->stream->pool, rows, fill, s);
  TN_TRY(multiply_by_gram(s, rows, err));
  *sum = 0;
  for (int64_t i = 0; i < rows * s->site->columns; i++)
    *sum += (double)s->differences[i] * (double)s->through[i];
  return TN_OK;
}

static void copy_row(void *context, int64_t row, int32_t worker) {
  const search *s = context;
  size_t columns = (size_t)s->site->columns;
  memcpy(s->differences + row * s->site->columns, s->weight->w + row * s->stride * s->site->columns,
         columns * sizeof(float));
}

static tn_status measure_energy(search *s, tn_error *err) {
  for (int32_t i = 0; i < s->count; i++)
    TN_TRY(sum_of_weight(s, &s->weights[i], copy_row, &s->energy[i], err));
  return TN_OK;
}

static tn_status loss_of(search *s, double *loss, tn_error *err) {
  *loss = 0;
  for (int32_t i = 0; i < s->count; i++) {
    double sum;
    TN_TRY(sum_of_weight(s, &s->weights[i], difference_row, &sum, err));
    *loss += s->energy[i] > 0 ? sum / s->energy[i] : sum;
  }
  return TN_OK;
}

static tn_status try_all(search *s, float *best, tn_error *err) {
  size_t bytes = (size_t)s->site->columns * sizeof *best;
  double least, loss;
  for (int64_t k = 0; k < s->site->columns; k++) s->scales[k] = best[k] = 1;
  TN_TRY(measure_energy(s, err));
  TN_TRY(loss_of(s, &least, err));
  for (int form = 0; form < FORMS; form++)
    for (int ratio = 0; ratio < RATIOS; ratio++) {
      make_scales(s, form, ratio);
      TN_TRY(loss_of(s, &loss, err));
      if (loss >= least) continue;
      least = loss;
      memcpy(best, s->scales, bytes);
    }
  return TN_OK;
}

tn_status tn_awq_search(float *scales, const tn_awq_weight *weights, int32_t count,
                        const tn_site *site, const tn_grid *grid, tn_awq_sharing sharing,
                        tn_stream *stream, tn_error *err) {
  size_t columns = (size_t)site->columns, floats = columns * (3 + 2 * ROWS_MAX);
  float *memory = tn_alloc(floats, sizeof *memory);
  if (!memory) return tn_fail_memory(err, "a search for scales", floats * sizeof *memory);
  search s = {.weights = weights,
              .count = count,
              .site = site,
              .grid = grid,
              .stream = stream,
              .inputs = memory,
              .columns = memory + columns,
              .scales = memory + 2 * columns,
              .differences = memory + 3 * columns,
              .through = memory + (3 + ROWS_MAX) * columns};
  mean_inputs(&s);
  tn_status status = mean_columns(&s, err);
  share_means(s.inputs, site->columns, sharing);
  share_means(s.columns, site->columns, sharing);
  if (status == TN_OK) status = try_all(&s, scales, err);
  tn_free(memory);
  return status;
}

/* ---- rounding within searched ranges ---- */

typedef struct rounding {
  tn_grid_matrix *m;
  const float *w, *gram;
  float *scratch; /* a group for each worker */
} rounding;

static void round_row(void *context, int64_t row, int32_t worker) {
  const rounding *r = context;
  const tn_grid_matrix *m = r->m;
  int64_t group = tn_grid_group_columns(m), at = row * m->columns;
  for (int64_t i = 0; i < m->groups; i++, at += group) {
    const float *block = r->gram + i * group * (m->columns + 1);
    tn_grid_scale s = tn_range_search_block(&m->grid, r->w + at, block, m->columns, group,
                                            r->scratch + worker * group);
    m->scales[row * m->groups + i] = s;
    for (int64_t k = at; k < at + group; k++) m->codes[k] = tn_grid_code(&m->grid, s, r->w[k]);
  }
}

tn_status tn_awq_round(tn_grid_matrix *m, const float *w, const float *gram, tn_pool *pool,
                       tn_error *err) {
  size_t floats = (size_t)(tn_pool_threads(pool) * tn_grid_group_columns(m));
  rounding r = {m, w, gram, tn_alloc(floats, sizeof(float))};
  if (!r.scratch) return tn_fail_memory(err, "a search for ranges", floats * sizeof(float));
  tn_pool_run(pool, m->rows, round_row, &r);
  tn_free(r.scratch);
  return TN_OK;
}
