/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/quantize.h"

#include <inttypes.h>
#include <stdio.h>

#include "quant/awq.h"
#include "quant/layer_file.h"
#include "quant/layer_weights.h"
#include "quant/unfinished.h"

static const double smooth_strength_default = 0.5;

typedef struct job {
  tn_quantized *out;
  tn_model *model;
  tn_weight_source *source;
  const tn_quantize_options *o;
  tn_calibration *calibration; /* NULL: none wanted */
  tn_stream *stream;
  tn_pool *pool;
  tn_layer_weights layer;
  tn_progress *progress;
  int64_t done; /* samples through a layer */
} job;

static tn_status count_step(void *context, tn_error *err) {
  job *j = context;
  return tn_progress_at(j->progress, ++j->done, err);
}

/* ---- one weight ---- */

static tn_grid grid_for(const job *j, const tn_layer_tensor_copy *t) {
  tn_grid g = j->o->grid;
  g.scale_dtype = t->file_dtype == TN_F16 || t->file_dtype == TN_BF16 ? t->file_dtype : TN_F32;
  if (j->o->half_scales) g.scale_dtype = TN_F16;
  return g;
}

static tn_status begin_weight(job *j, const tn_layer_tensor_copy *t, tn_quantized_tensor **out,
                              tn_error *err) {
  tn_grid grid = grid_for(j, t);
  *out = &j->out->tensors[t->place];
  tn_status status = tn_grid_matrix_init(&(*out)->matrix, &grid, t->rows, t->columns, err);
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "model.layers.%" PRId64 ".%s", j->layer.layer, t->name);
}

/* The model computes with what the codes say from here on. */
static void end_weight(job *j, tn_layer_tensor_copy *t, tn_quantized_tensor *q) {
  tn_grid_matrix_to_f32(&q->matrix, tn_layer_data(t), j->pool);
  q->is_quantized = true;
  q->file_dtype = t->file_dtype;
  q->values = t->buffer;
  t->buffer = NULL;
  j->out->quantized++;
}

/* Errors of queries and keys meet in a product: the error of each alone does not tell which range
 * is best (the published AWQ leaves them too). */
static bool has_searched_range(const tn_layer_tensor_copy *t) {
  return strcmp(t->name, "self_attn.q_proj.weight") != 0 &&
         strcmp(t->name, "self_attn.k_proj.weight") != 0;
}

static tn_status gptq_weight(const job *j, tn_grid_matrix *m, const tn_layer_tensor_copy *t,
                             const tn_site *site, const tn_gptq_factor *factor, tn_error *err) {
  if (site->drift)
    TN_TRY(tn_gptq_aim(tn_layer_data(t), t->rows, site->drift, site->residual_drift, factor,
                       j->pool, err));
  return tn_gptq_round(m, tn_layer_data(t), factor, j->pool, err);
}

static tn_status round_weight(job *j, int64_t place, const tn_site *site,
                              const tn_gptq_factor *factor, tn_error *err) {
  tn_layer_tensor_copy *t = tn_layer_weights_at(&j->layer, place);
  tn_quantized_tensor *q;
  if (!t || !t->is_linear) return TN_OK;
  TN_TRY(begin_weight(j, t, &q, err));
  if (factor)
    TN_TRY(gptq_weight(j, &q->matrix, t, site, factor, err));
  else if (site && has_searched_range(t))
    TN_TRY(tn_awq_round(&q->matrix, tn_layer_data(t), site->gram, j->pool, err));
  else
    tn_grid_matrix_round(&q->matrix, tn_layer_data(t), j->pool);
  end_weight(j, t, q);
  return TN_OK;
}

/* ---- round to nearest ---- */

/* All linears, or those that calibration did not reach: experts that no token was sent to. */
static tn_status round_rest(job *j, tn_error *err) {
  for (int32_t i = 0; i < j->layer.count; i++) {
    int64_t place = j->layer.tensors[i].place;
    if (!j->out->tensors[place].is_quantized) TN_TRY(round_weight(j, place, NULL, NULL, err));
  }
  return TN_OK;
}

/* ---- smoothing ---- */

/* s_k = max |x_k|^a / max |w_k|^(1 - a), over all linears of the site. */
static void smooth_scales(job *j, const tn_site *site, float *scales) {
  double a = j->o->smooth_strength > 0 ? j->o->smooth_strength : smooth_strength_default;
  for (int64_t k = 0; k < site->columns; k++) {
    float largest = 0;
    for (int32_t i = 0; i < site->weight_count; i++) {
      const tn_layer_tensor_copy *t = tn_layer_weights_at(&j->layer, site->weights[i]);
      const float *w = tn_layer_data(t);
      for (int64_t r = 0; r < t->rows; r++)
        if (fabsf(w[r * t->columns + k]) > largest) largest = fabsf(w[r * t->columns + k]);
    }
    double s = pow((double)site->abs_max[k], a) / pow((double)largest, 1 - a);
    scales[k] = isfinite(s) && s > 1e-5 ? (float)s : 1; /* an input or a column of zeros */
  }
}

static tn_status smooth_site(job *j, const tn_site *site, tn_error *err) {
  int64_t run, share;
  if (!tn_layer_can_fold(&j->layer, site, &run, &share) || share != 1) return TN_OK;
  float *scales = tn_alloc((size_t)site->columns, sizeof *scales);
  if (!scales) return tn_fail_memory(err, "scales", (size_t)site->columns * sizeof *scales);
  smooth_scales(j, site, scales);
  tn_layer_fold(&j->layer, site, scales);
  tn_free(scales);
  return TN_OK;
}

static tn_status smooth_layer(job *j, tn_error *err) {
  const tn_site *sites;
  int32_t count;
  TN_TRY(tn_calibration_measure(j->calibration, j->layer.layer, false, -1, count_step, j, &sites,
                                &count, err));
  for (int32_t i = 0; i < count; i++) TN_TRY(smooth_site(j, &sites[i], err));
  return TN_OK;
}

/* ---- AWQ ---- */

/* X^T X of the inputs divided by the scales. */
static void divide_gram(const tn_site *site, const float *scales) {
  for (int64_t i = 0; i < site->columns; i++)
    for (int64_t k = 0; k < site->columns; k++)
      site->gram[i * site->columns + k] /= scales[i] * scales[k];
}

static tn_status search_site(job *j, const tn_site *site, float *scales, tn_error *err) {
  tn_awq_weight weights[TN_SITE_WEIGHTS_MAX];
  tn_awq_sharing sharing;
  tn_layer_can_fold(&j->layer, site, &sharing.run, &sharing.share);
  for (int32_t i = 0; i < site->weight_count; i++) {
    const tn_layer_tensor_copy *t = tn_layer_weights_at(&j->layer, site->weights[i]);
    weights[i] = (tn_awq_weight){tn_layer_data(t), t->rows};
  }
  tn_grid grid = grid_for(j, tn_layer_weights_at(&j->layer, site->weights[0]));
  TN_TRY(tn_awq_search(scales, weights, site->weight_count, site, &grid, sharing, j->stream, err));
  tn_layer_fold(&j->layer, site, scales);
  divide_gram(site, scales);
  return TN_OK;
}

static tn_status scale_site(job *j, const tn_site *site, tn_error *err) {
  int64_t run, share;
  if (!tn_layer_can_fold(&j->layer, site, &run, &share)) return TN_OK;
  float *scales = tn_alloc((size_t)site->columns, sizeof *scales);
  if (!scales) return tn_fail_memory(err, "scales", (size_t)site->columns * sizeof *scales);
  tn_status status = search_site(j, site, scales, err);
  tn_free(scales);
  return status;
}

static tn_status awq_layer(job *j, tn_error *err) {
  const tn_site *sites;
  int32_t count;
  TN_TRY(tn_calibration_measure(j->calibration, j->layer.layer, true, -1, count_step, j, &sites,
                                &count, err));
  for (int32_t i = 0; i < count; i++) TN_TRY(scale_site(j, &sites[i], err));
  for (int32_t i = 0; i < count; i++)
    for (int32_t k = 0; k < sites[i].weight_count; k++)
      TN_TRY(round_weight(j, sites[i].weights[k], &sites[i], NULL, err));
  return TN_OK;
}

/* ---- GPTQ ---- */

static tn_status gptq_site(job *j, const tn_site *site, tn_error *err) {
  tn_gptq_factor factor;
  tn_gptq_options options = j->o->gptq;
  options.group = j->o->grid.group;
  tn_status status =
      tn_gptq_factor_init(&factor, site->gram, site->columns, &options, j->pool, err);
  if (status != TN_OK) return tn_error_context(err, status, "layer %" PRId64, j->layer.layer);
  for (int32_t i = 0; i < site->weight_count && status == TN_OK; i++)
    status = round_weight(j, site->weights[i], site, &factor, err);
  tn_gptq_factor_clear(&factor);
  return status;
}

static bool is_expert(const job *j, int64_t place) {
  return strstr(tn_model_parameters(j->model, NULL)[place].name, ".experts.") != NULL;
}

/* Ignored linears may share a site with others. */
static bool has_linear(job *j, const tn_site *site) {
  for (int32_t i = 0; i < site->weight_count; i++) {
    const tn_layer_tensor_copy *t = tn_layer_weights_at(&j->layer, site->weights[i]);
    if (t && t->is_linear) return true;
  }
  return false;
}

/* First weights of the sites outside experts, to be freed; *count of them. */
static tn_status find_sites(job *j, int64_t **first, int32_t *count, tn_error *err) {
  const tn_site *sites;
  int32_t all;
  TN_TRY(tn_calibration_measure(j->calibration, j->layer.layer, false, -1, NULL, NULL, &sites, &all,
                                err));
  *first = tn_alloc((size_t)all, sizeof **first);
  if (!*first) return tn_fail_memory(err, "a list of sites", (size_t)all * sizeof **first);
  *count = 0;
  for (int32_t i = 0; i < all; i++) {
    int64_t place = sites[i].weights[0];
    if (has_linear(j, &sites[i]) && !is_expert(j, place)) (*first)[(*count)++] = place;
  }
  return TN_OK;
}

static void use_weights(void *context, bool as_they_were) {
  tn_layer_weights_use(&((job *)context)->layer, as_they_were);
}

/* Whether the outputs go into the residual stream as they are. */
static bool adds_to_residual(job *j, int64_t place) {
  const char *name = tn_layer_weights_at(&j->layer, place)->name;
  return tn_model_config_of(j->model)->norm_place == TN_NORM_BEFORE &&
         (strcmp(name, "self_attn.o_proj.weight") == 0 ||
          strcmp(name, "mlp.down_proj.weight") == 0);
}

static tn_status measure_site(job *j, int64_t weight, const tn_site **site, tn_error *err) {
  const tn_site *sites;
  int32_t count;
  if (j->o->aim)
    return tn_calibration_compare(j->calibration, j->layer.layer, weight,
                                  adds_to_residual(j, weight), use_weights, count_step, j, site,
                                  err);
  TN_TRY(tn_calibration_measure(j->calibration, j->layer.layer, true, weight, count_step, j, &sites,
                                &count, err));
  *site = count == 1 ? &sites[0] : NULL;
  return TN_OK;
}

/* Site after site, each measured with the quantized ones before it. */
static tn_status gptq_in_turn(job *j, const int64_t *first, int32_t count, tn_error *err) {
  const tn_site *site;
  for (int32_t i = 0; i < count; i++) {
    TN_TRY(measure_site(j, first[i], &site, err));
    if (!site) return tn_fail(err, TN_ERR_DATA, "layer %" PRId64 " changed", j->layer.layer);
    TN_TRY(gptq_site(j, site, err));
  }
  return TN_OK;
}

/* All experts of a layer are measured at once: a run over the samples for each would never end. */
static tn_status gptq_experts(job *j, tn_error *err) {
  const tn_site *sites;
  int32_t count;
  TN_TRY(tn_calibration_measure(j->calibration, j->layer.layer, true, -1, count_step, j, &sites,
                                &count, err));
  for (int32_t i = 0; i < count; i++)
    if (is_expert(j, sites[i].weights[0])) TN_TRY(gptq_site(j, &sites[i], err));
  return TN_OK;
}

static bool routes(const job *j, int64_t layer) {
  return tn_model_config_routes(tn_model_config_of(j->model), layer);
}

static bool has_reference(const job *j) {
  return j->o->aim && j->o->method == TN_QUANTIZE_GPTQ;
}

static tn_status advance_reference(job *j, tn_error *err) {
  tn_layer_weights_use(&j->layer, true);
  tn_status status =
      tn_calibration_advance_reference(j->calibration, j->layer.layer, count_step, j, err);
  tn_layer_weights_use(&j->layer, false);
  return status;
}

static tn_status gptq_layer(job *j, tn_error *err) {
  int64_t *first = NULL;
  int32_t count = 0;
  if (has_reference(j)) TN_TRY(tn_layer_weights_keep(&j->layer, err));
  tn_status status = find_sites(j, &first, &count, err);
  if (status == TN_OK) status = gptq_in_turn(j, first, count, err);
  if (status == TN_OK && routes(j, j->layer.layer)) status = gptq_experts(j, err);
  tn_free(first);
  if (status == TN_OK && has_reference(j)) status = advance_reference(j, err);
  return status;
}

/* ---- layers ---- */

/* Norms and biases that took scales go into the result as they are now. */
static void keep_changed(job *j) {
  for (int32_t i = 0; i < j->layer.count; i++) {
    tn_layer_tensor_copy *t = &j->layer.tensors[i];
    if (!t->buffer || !t->is_changed) continue;
    tn_quantized_tensor *q = &j->out->tensors[t->place];
    q->is_changed = true;
    q->file_dtype = t->file_dtype;
    q->values = t->buffer;
    t->buffer = NULL;
  }
}

/* A layer whose linears are all ignored stays as it is. */
static bool is_left(const job *j, int64_t layer) {
  return !tn_layer_has_linears(j->model, layer, j->o->ignore, j->o->ignore_count);
}

static tn_status work_on_layer(job *j, tn_error *err) {
  if (is_left(j, j->layer.layer)) return has_reference(j) ? advance_reference(j, err) : TN_OK;
  if (j->o->smooth) TN_TRY(smooth_layer(j, err));
  if (j->o->method == TN_QUANTIZE_AWQ) TN_TRY(awq_layer(j, err));
  if (j->o->method == TN_QUANTIZE_GPTQ) TN_TRY(gptq_layer(j, err));
  return round_rest(j, err);
}

/* Before any work is done on the layer. */
static tn_status check_groups(const job *j, tn_error *err) {
  int64_t group = j->o->grid.group;
  for (int32_t i = 0; group > 0 && i < j->layer.count; i++) {
    const tn_layer_tensor_copy *t = &j->layer.tensors[i];
    if (!t->is_linear || t->columns % group == 0) continue;
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "model.layers.%" PRId64 ".%s: %" PRId64
                   " columns are no multiple of the group of %" PRId64,
                   j->layer.layer, t->name, t->columns, group);
  }
  return TN_OK;
}

/* ---- layers that are done already ---- */

static int64_t resumed_layers(const job *j) {
  return j->o->unfinished ? tn_unfinished_resumed(j->o->unfinished) : 0;
}

static tn_status restore_tensor(job *j, const tn_layer_file *file, tn_layer_tensor_copy *t,
                                tn_error *err) {
  tn_quantized_tensor *q;
  if (!t->is_linear)
    return tn_layer_file_values(file, t->file_name, tn_layer_data(t), t->rows * t->columns,
                                &t->is_changed, err);
  TN_TRY(begin_weight(j, t, &q, err));
  TN_TRY(tn_layer_file_matrix(file, t->file_name, &q->matrix, err));
  end_weight(j, t, q);
  return TN_OK;
}

static tn_status restore_weights(job *j, const char *path, tn_error *err) {
  tn_layer_file file;
  TN_TRY(tn_layer_file_open(&file, path, tn_unfinished_run(j->o->unfinished), j->layer.layer, err));
  tn_status status = TN_OK;
  for (int32_t i = 0; i < j->layer.count && status == TN_OK; i++)
    status = restore_tensor(j, &file, &j->layer.tensors[i], err);
  tn_layer_file_close(&file);
  return status;
}

/* The linears as the reference has them: the file does not hold what they were divided by. */
static tn_status restore_reference(job *j, tn_error *err) {
  if (!has_reference(j) || is_left(j, j->layer.layer)) return TN_OK;
  if (j->o->smooth) TN_TRY(smooth_layer(j, err));
  return tn_layer_weights_keep(&j->layer, err);
}

static tn_status restore_layer(job *j, tn_error *err) {
  tn_strbuf path = {0};
  tn_status status = restore_reference(j, err);
  if (status == TN_OK) status = tn_unfinished_path(j->o->unfinished, j->layer.layer, &path, err);
  if (status == TN_OK) status = restore_weights(j, path.data, err);
  tn_strbuf_clear(&path);
  return status == TN_OK && has_reference(j) ? advance_reference(j, err) : status;
}

static tn_status store_layer(job *j, tn_error *err) {
  tn_unfinished *u = j->o->unfinished;
  tn_strbuf path = {0};
  if (!u || j->layer.layer < resumed_layers(j)) return TN_OK;
  tn_status status = tn_unfinished_path(u, j->layer.layer, &path, err);
  if (status == TN_OK)
    status = tn_layer_file_write(path.data, tn_unfinished_run(u), &j->layer, j->out, err);
  if (status == TN_OK) tn_unfinished_count(u);
  tn_strbuf_clear(&path);
  return status;
}

/* ---- all layers ---- */

static tn_status quantize_layer(job *j, int64_t layer, tn_error *err) {
  TN_TRY(tn_layer_weights_load(&j->layer, j->model, j->source, layer, j->o->ignore,
                               j->o->ignore_count, err));
  TN_TRY(check_groups(j, err));
  TN_TRY(layer < resumed_layers(j) ? restore_layer(j, err) : work_on_layer(j, err));
  keep_changed(j);
  TN_TRY(store_layer(j, err));
  if (!j->calibration) return TN_OK;
  float *k_max = j->out->k_max ? &j->out->k_max[layer] : NULL;
  float *v_max = j->out->v_max ? &j->out->v_max[layer] : NULL;
  return tn_calibration_advance(j->calibration, layer, k_max, v_max, count_step, j, err);
}

/* Runs over the samples. */
static int64_t runs_of_layer(const job *j, int64_t layer) {
  const tn_quantize_options *o = j->o;
  if (is_left(j, layer)) return has_reference(j) ? 2 : 1;
  if (layer < resumed_layers(j)) return has_reference(j) ? o->smooth ? 3 : 2 : 1;
  int64_t in_turn = routes(j, layer) ? 3 : 4;
  int64_t measured = o->method == TN_QUANTIZE_GPTQ ? in_turn : o->method == TN_QUANTIZE_AWQ ? 1 : 0;
  return measured + (o->smooth ? 1 : 0) + (has_reference(j) ? 1 : 0) + 1;
}

static tn_status quantize_layers(job *j, const tn_calibration_text *text, tn_error *err) {
  int64_t layers = tn_model_config_of(j->model)->layers;
  int64_t total = j->calibration ? 0 : layers;
  for (int64_t i = 0; i < layers && j->calibration; i++)
    total += text->samples * runs_of_layer(j, i);
  tn_progress_begin(j->progress, "quantize", j->calibration ? "samples" : "layers", total);
  for (int64_t i = 0; i < layers; i++) {
    if (j->progress)
      snprintf(j->progress->note, sizeof j->progress->note, "layer %" PRId64 " of %" PRId64, i + 1,
               layers);
    tn_status status = quantize_layer(j, i, err);
    tn_layer_weights_clear(&j->layer);
    TN_TRY(status);
    if (!j->calibration) TN_TRY(tn_progress_at(j->progress, i + 1, err));
  }
  tn_progress_end(j->progress);
  return TN_OK;
}

/* ---- the whole ---- */

static bool wants_text(const tn_quantize_options *o) {
  return o->method != TN_QUANTIZE_RTN || o->smooth || o->kv_scales;
}

static tn_status check_model(const tn_model *model, const tn_quantize_options *o, tn_error *err) {
  const tn_model_config *c = tn_model_config_of(model);
  if (c->encoder || c->task != TN_TASK_GENERATE)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "only models that generate text are quantized");
  return tn_layer_linears_check(model, o->ignore, o->ignore_count, err);
}

static tn_status allocate(job *j, const tn_calibration_text *text, tn_error *err) {
  tn_quantized *out = j->out;
  int64_t layers = tn_model_config_of(j->model)->layers;
  tn_model_parameters(j->model, &out->count);
  out->model = j->model;
  out->tensors = tn_alloc((size_t)out->count, sizeof *out->tensors);
  if (!out->tensors)
    return tn_fail_memory(err, "a quantized model", (size_t)out->count * sizeof *out->tensors);
  if (j->o->kv_scales) {
    out->k_max = tn_alloc((size_t)layers, sizeof *out->k_max);
    out->v_max = tn_alloc((size_t)layers, sizeof *out->v_max);
    if (!out->k_max || !out->v_max)
      return tn_fail_memory(err, "largest keys and values", (size_t)layers * sizeof *out->k_max);
  }
  TN_TRY(tn_stream_open(tn_device_cpu(), j->pool, &j->stream, err));
  if (!wants_text(j->o)) return TN_OK;
  if (text->samples < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "this way of quantizing wants calibration text");
  TN_TRY(tn_calibration_new(&j->calibration, j->model, j->pool, text->ids, text->samples,
                            text->tokens, err));
  return has_reference(j) ? tn_calibration_keep_reference(j->calibration, err) : TN_OK;
}

tn_status tn_quantize(tn_quantized *out, tn_model *model, tn_weight_source *source,
                      const tn_calibration_text *text, const tn_quantize_options *options,
                      tn_pool *pool, tn_progress *progress, tn_error *err) {
  *out = (tn_quantized){.ignore = options->ignore, .ignore_count = options->ignore_count};
  job j = {.out = out,
           .model = model,
           .source = source,
           .o = options,
           .pool = pool,
           .progress = progress};
  tn_status status = check_model(model, options, err);
  if (status == TN_OK) status = allocate(&j, text, err);
  if (status == TN_OK) status = quantize_layers(&j, text, err);
  tn_calibration_free(j.calibration);
  tn_stream_close(j.stream);
  if (status != TN_OK) tn_quantized_clear(out);
  return status;
}

void tn_quantized_clear(tn_quantized *q) {
  for (int64_t i = 0; q->tensors && i < q->count; i++) {
    tn_grid_matrix_clear(&q->tensors[i].matrix);
    tn_buffer_drop(q->tensors[i].values);
  }
  tn_free(q->tensors);
  tn_free(q->k_max);
  tn_free(q->v_max);
  *q = (tn_quantized){0};
}
