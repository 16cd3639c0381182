/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/calibration.h"

#include <inttypes.h>
#include <math.h>

struct tn_calibration {
  tn_model *model;
  tn_pool *pool;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  int64_t samples, tokens, hidden_size;
  int32_t *ids;                   /* [samples, tokens] */
  int32_t *positions, *sequences; /* [tokens] */
  int32_t block;                  /* the table: one block of `tokens` */
  float *hidden;                  /* [samples, tokens, hidden_size] */
  float *reference;               /* the same, through the layers as they were; NULL: not kept */
  float *work;                    /* one sample on its way through a layer */
  float *meant, *meant_residual;  /* of one sample: what the reference's site read and added to */
  size_t meant_capacity;
  bool is_meant, is_reached, wants_residual; /* is_reached: the site, by the sample at hand */
  tn_site *sites;
  int32_t site_count;
  size_t site_capacity;
  bool wants_gram;
  int64_t only_weight;
  const void *last_data; /* what the linear before read, where that belongs to the last site */
};

/* ---- life ---- */

static void clear_sites(tn_calibration *c) {
  for (int32_t i = 0; i < c->site_count; i++) {
    tn_free(c->sites[i].gram);
    tn_free(c->sites[i].drift);
    tn_free(c->sites[i].residual_drift);
    tn_free(c->sites[i].abs_sum);
    tn_free(c->sites[i].abs_max);
  }
  c->site_count = 0;
}

void tn_calibration_free(tn_calibration *c) {
  if (!c) return;
  clear_sites(c);
  tn_free(c->sites);
  tn_forward_free(c->forward);
  tn_kv_cache_free(c->kv);
  tn_stream_close(c->stream);
  tn_free(c->ids);
  tn_free(c->positions);
  tn_free(c->sequences);
  tn_free(c->hidden);
  tn_free(c->reference);
  tn_free(c->meant);
  tn_free(c->meant_residual);
  tn_free(c->work);
  tn_free(c);
}

static tn_status check_sizes(const tn_calibration *c, tn_error *err) {
  int64_t positions = tn_model_config_of(c->model)->positions_max;
  if (c->samples < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "%" PRId64 " calibration samples", c->samples);
  if (c->tokens >= 1 && c->tokens <= positions) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "calibration samples of %" PRId64 " tokens, must be 1 to %" PRId64, c->tokens,
                 positions);
}

static tn_forward_batch batch_of(const tn_calibration *c, int64_t sample) {
  return (tn_forward_batch){.rows = c->tokens,
                            .ids = c->ids + sample * c->tokens,
                            .positions = c->positions,
                            .sequences = c->sequences,
                            .slots = c->positions,
                            .sequence_count = 1,
                            .blocks_per_sequence = 1,
                            .block_table = &c->block};
}

static tn_status allocate(tn_calibration *c, const int32_t *ids, tn_error *err) {
  size_t tokens = (size_t)c->tokens, all, floats;
  if (!tn_mul_size((size_t)c->samples, tokens, &all) ||
      !tn_mul_size(all, (size_t)c->hidden_size, &floats))
    return tn_fail(err, TN_ERR_LIMIT, "%" PRId64 " calibration samples", c->samples);
  c->ids = tn_alloc(all, sizeof *c->ids);
  c->positions = tn_alloc(tokens, sizeof *c->positions);
  c->sequences = tn_alloc(tokens, sizeof *c->sequences);
  c->hidden = tn_alloc(floats, sizeof *c->hidden);
  c->work = tn_alloc(tokens * (size_t)c->hidden_size, sizeof *c->work);
  if (!c->ids || !c->positions || !c->sequences || !c->hidden || !c->work)
    return tn_fail_memory(err, "hidden states of the calibration samples", floats * sizeof(float));
  memcpy(c->ids, ids, all * sizeof *ids);
  for (int64_t i = 0; i < c->tokens; i++) c->positions[i] = (int32_t)i;
  TN_TRY(tn_stream_open(tn_device_cpu(), c->pool, &c->stream, err));
  TN_TRY(tn_kv_cache_new(&c->kv, c->model, TN_F32, 1, c->tokens, err));
  return tn_forward_new(&c->forward, c->model, c->stream, c->tokens, 1, 1, 1, err);
}

static tn_status embed_all(tn_calibration *c, tn_error *err) {
  for (int64_t i = 0; i < c->samples; i++) {
    tn_forward_batch batch = batch_of(c, i);
    float *hidden = c->hidden + i * c->tokens * c->hidden_size;
    TN_TRY(tn_forward_embed(c->forward, c->kv, &batch, hidden, err));
  }
  return TN_OK;
}

tn_status tn_calibration_new(tn_calibration **out, tn_model *model, tn_pool *pool,
                             const int32_t *ids, int64_t samples, int64_t tokens, tn_error *err) {
  tn_calibration *c = tn_alloc(1, sizeof *c);
  if (!c) return tn_fail_memory(err, "calibration", sizeof *c);
  c->model = model;
  c->pool = pool;
  c->samples = samples;
  c->tokens = tokens;
  c->hidden_size = tn_model_config_of(model)->hidden_size;
  tn_status status = check_sizes(c, err);
  if (status == TN_OK) status = allocate(c, ids, err);
  if (status == TN_OK) status = embed_all(c, err);
  if (status != TN_OK) {
    tn_calibration_free(c);
    return status;
  }
  *out = c;
  return TN_OK;
}

int64_t tn_calibration_samples(const tn_calibration *c) {
  return c->samples;
}

/* ---- statistics ---- */

static tn_status new_product(float **out, int64_t rows, int64_t columns, tn_error *err) {
  size_t count;
  if (!tn_mul_size((size_t)rows, (size_t)columns, &count))
    return tn_fail(err, TN_ERR_LIMIT, "a layer of %" PRId64 " columns", columns);
  *out = tn_alloc_aligned(count * sizeof **out);
  return *out ? TN_OK : tn_fail_memory(err, "X^T X of a layer", count * sizeof **out);
}

static tn_status new_products(const tn_calibration *c, tn_site *s, tn_error *err) {
  if (c->wants_gram) TN_TRY(new_product(&s->gram, s->columns, s->columns, err));
  if (!c->is_meant) return TN_OK;
  TN_TRY(new_product(&s->drift, s->columns, s->columns, err));
  return c->wants_residual ? new_product(&s->residual_drift, c->hidden_size, s->columns, err)
                           : TN_OK;
}

static tn_status new_site(tn_calibration *c, int64_t weight, int64_t columns, tn_site **out,
                          tn_error *err) {
  TN_TRY(tn_grow((void **)&c->sites, &c->site_capacity, (size_t)c->site_count + 1, sizeof *c->sites,
                 err));
  tn_site *s = &c->sites[c->site_count++];
  *s = (tn_site){0};
  s->weights[0] = weight;
  s->weight_count = 1;
  s->columns = columns;
  s->abs_sum = tn_alloc((size_t)columns, sizeof *s->abs_sum);
  s->abs_max = tn_alloc((size_t)columns, sizeof *s->abs_max);
  if (!s->abs_sum || !s->abs_max)
    return tn_fail_memory(err, "statistics of a layer", (size_t)columns * sizeof *s->abs_sum);
  *out = s;
  return new_products(c, s, err);
}

static tn_site *site_of(tn_calibration *c, int64_t weight) {
  for (int32_t i = 0; i < c->site_count; i++)
    for (int32_t k = 0; k < c->sites[i].weight_count; k++)
      if (c->sites[i].weights[k] == weight) return &c->sites[i];
  return NULL;
}

/* out += y^T x */
static tn_status add_product(const tn_calibration *c, float *out, const tn_tensor *y,
                             const tn_tensor *x, tn_error *err) {
  int64_t rows = y->shape[1], columns = x->shape[1];
  tn_buffer buffer = {.data = out, .bytes = (size_t)(rows * columns) * sizeof *out};
  const tn_linear_backward_weight_args args = {
      .dw = {.buffer = &buffer,
             .dtype = TN_F32,
             .rank = 2,
             .shape = {rows, columns},
             .strides = {columns, 1}},
      .dy = *y,
      .x = *x,
      .accumulate = 1,
  };
  return tn_ops_for(tn_device_cpu())->linear_backward_weight(c->stream, &args, err);
}

/* out += (meant - is)^T x; meant becomes the difference. */
static tn_status add_drift(const tn_calibration *c, float *out, float *meant, const float *is,
                           int64_t columns, const tn_tensor *x, tn_error *err) {
  int64_t count = x->shape[0] * columns;
  tn_buffer buffer = {.data = meant, .bytes = (size_t)count * sizeof *meant};
  const tn_tensor y = {.buffer = &buffer,
                       .dtype = TN_F32,
                       .rank = 2,
                       .shape = {x->shape[0], columns},
                       .strides = {columns, 1}};
  for (int64_t i = 0; i < count; i++) meant[i] -= is[i];
  return add_product(c, out, &y, x, err);
}

static tn_status add_rows(tn_calibration *c, tn_site *s, const tn_tensor *x, tn_error *err) {
  const float *row = tn_tensor_data(x);
  for (int64_t r = 0; r < x->shape[0]; r++, row += s->columns)
    for (int64_t k = 0; k < s->columns; k++) {
      float size = fabsf(row[k]);
      s->abs_sum[k] += (double)size;
      if (size > s->abs_max[k]) s->abs_max[k] = size;
    }
  s->rows += x->shape[0];
  c->is_reached = true;
  if (s->gram) TN_TRY(add_product(c, s->gram, x, x, err));
  if (s->drift) TN_TRY(add_drift(c, s->drift, c->meant, tn_tensor_data(x), s->columns, x, err));
  if (!s->residual_drift) return TN_OK;
  return add_drift(c, s->residual_drift, c->meant_residual, tn_forward_residual(c->forward),
                   c->hidden_size, x, err);
}

static tn_status join_site(tn_site *s, int64_t weight, tn_error *err) {
  if (s->weight_count == TN_SITE_WEIGHTS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "more than %d linears read the same input",
                   TN_SITE_WEIGHTS_MAX);
  s->weights[s->weight_count++] = weight;
  return TN_OK;
}

/* Consecutive linears that read the same memory share a site.  TN_END: the one site that is wanted
 * has all its linears. */
static tn_status watch(void *context, int64_t weight, tn_tensor *x, tn_error *err) {
  tn_calibration *c = context;
  const void *data = tn_tensor_data(x), *before = c->last_data;
  tn_site *s = site_of(c, weight);
  c->last_data = data;
  if (!s && before == data) return join_site(&c->sites[c->site_count - 1], weight, err);
  if (!s && c->only_weight >= 0 && weight != c->only_weight) {
    c->last_data = NULL;
    return c->is_reached ? TN_END : TN_OK;
  }
  if (!s) TN_TRY(new_site(c, weight, x->shape[1], &s, err));
  return s->weights[0] == weight ? add_rows(c, s, x, err) : TN_OK;
}

/* ---- layers ---- */

static tn_status run_sample(tn_calibration *c, int64_t layer, int64_t sample, float *hidden,
                            tn_error *err) {
  tn_forward_batch batch = batch_of(c, sample);
  c->last_data = NULL;
  c->is_reached = false;
  return tn_forward_layer(c->forward, c->kv, &batch, layer, hidden, err);
}

/* The states stay as they are; a watch may end the layer early. */
static tn_status watch_sample(tn_calibration *c, int64_t layer, int64_t sample, const float *states,
                              tn_forward_watch by, tn_error *err) {
  int64_t floats = c->tokens * c->hidden_size;
  memcpy(c->work, states + sample * floats, (size_t)floats * sizeof *c->work);
  tn_forward_set_watch(c->forward, by, c);
  tn_status status = run_sample(c, layer, sample, c->work, err);
  tn_forward_set_watch(c->forward, NULL, NULL);
  return status == TN_END ? TN_OK : status;
}

tn_status tn_calibration_measure(tn_calibration *c, int64_t layer, bool gram, int64_t only_weight,
                                 tn_calibration_step step, void *context, const tn_site **sites,
                                 int32_t *count, tn_error *err) {
  clear_sites(c);
  c->wants_gram = gram;
  c->is_meant = false;
  c->only_weight = only_weight;
  tn_status status = TN_OK;
  for (int64_t i = 0; i < c->samples && status == TN_OK; i++) {
    status = watch_sample(c, layer, i, c->hidden, watch, err);
    if (status == TN_OK && step) status = step(context, err);
  }
  *sites = c->sites;
  *count = c->site_count;
  return status;
}

/* ---- the reference ---- */

tn_status tn_calibration_keep_reference(tn_calibration *c, tn_error *err) {
  size_t floats = (size_t)(c->samples * c->tokens * c->hidden_size);
  c->reference = tn_alloc(floats, sizeof *c->reference);
  c->meant_residual = tn_alloc((size_t)(c->tokens * c->hidden_size), sizeof *c->meant_residual);
  if (!c->reference || !c->meant_residual)
    return tn_fail_memory(err, "hidden states of the reference", floats * sizeof *c->reference);
  memcpy(c->reference, c->hidden, floats * sizeof *c->reference);
  return TN_OK;
}

/* Keeps what the wanted linear reads, then ends the layer. */
static tn_status watch_reference(void *context, int64_t weight, tn_tensor *x, tn_error *err) {
  tn_calibration *c = context;
  size_t count = (size_t)tn_tensor_count(x);
  if (weight != c->only_weight) return TN_OK;
  TN_TRY(tn_grow((void **)&c->meant, &c->meant_capacity, count, sizeof *c->meant, err));
  memcpy(c->meant, tn_tensor_data(x), count * sizeof *c->meant);
  if (c->wants_residual)
    memcpy(c->meant_residual, tn_forward_residual(c->forward),
           (size_t)(c->tokens * c->hidden_size) * sizeof *c->meant_residual);
  c->is_meant = true;
  return TN_END;
}

tn_status tn_calibration_compare(tn_calibration *c, int64_t layer, int64_t weight, bool residual,
                                 tn_calibration_use use, tn_calibration_step step, void *context,
                                 const tn_site **site, tn_error *err) {
  tn_status status = TN_OK;
  clear_sites(c);
  c->wants_gram = true;
  c->is_meant = false;
  c->only_weight = weight;
  c->wants_residual = residual;
  for (int64_t i = 0; i < c->samples && status == TN_OK; i++) {
    use(context, true);
    status = watch_sample(c, layer, i, c->reference, watch_reference, err);
    use(context, false);
    if (status == TN_OK) status = watch_sample(c, layer, i, c->hidden, watch, err);
    if (status == TN_OK && step) status = step(context, err);
  }
  *site = c->site_count == 1 ? &c->sites[0] : NULL;
  return status;
}

tn_status tn_calibration_advance_reference(tn_calibration *c, int64_t layer,
                                           tn_calibration_step step, void *context, tn_error *err) {
  int64_t floats = c->tokens * c->hidden_size;
  for (int64_t i = 0; i < c->samples; i++) {
    TN_TRY(run_sample(c, layer, i, c->reference + i * floats, err));
    if (step) TN_TRY(step(context, err));
  }
  return TN_OK;
}

static float largest(const tn_tensor *t) {
  const float *x = tn_tensor_data(t);
  int64_t count = tn_tensor_count(t);
  float most = 0;
  for (int64_t i = 0; i < count; i++)
    if (fabsf(x[i]) > most) most = fabsf(x[i]);
  return most;
}

tn_status tn_calibration_advance(tn_calibration *c, int64_t layer, float *k_max, float *v_max,
                                 tn_calibration_step step, void *context, tn_error *err) {
  int64_t floats = c->tokens * c->hidden_size;
  if (k_max) *k_max = 0;
  if (v_max) *v_max = 0;
  for (int64_t i = 0; i < c->samples; i++) {
    TN_TRY(run_sample(c, layer, i, c->hidden + i * floats, err));
    if (k_max) *k_max = fmaxf(*k_max, largest(&c->kv->k[layer]));
    if (v_max) *v_max = fmaxf(*v_max, largest(&c->kv->v[layer]));
    if (step) TN_TRY(step(context, err));
  }
  return TN_OK;
}
