/* SPDX-License-Identifier: Apache-2.0 */
#include "model/transformer.h"

#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "model/weights.h"

/* ---- names and shapes ---- */

static const char *const LAYER_NAMES[TN_LAYER_WEIGHTS] = {
    [TN_W_INPUT_NORM] = "input_layernorm", [TN_W_Q] = "self_attn.q_proj",
    [TN_W_K] = "self_attn.k_proj",         [TN_W_V] = "self_attn.v_proj",
    [TN_W_O] = "self_attn.o_proj",         [TN_W_POST_NORM] = "post_attention_layernorm",
    [TN_W_GATE] = "mlp.gate_proj",         [TN_W_UP] = "mlp.up_proj",
    [TN_W_DOWN] = "mlp.down_proj",
};

/* [out features, in features]; rows 0: a norm, a vector of `columns`. */
typedef struct matrix_shape {
  int64_t rows, columns;
} matrix_shape;

static matrix_shape layer_shape(const tn_model_config *c, tn_layer_weight_id id) {
  int64_t C = c->hidden_size, F = c->intermediate_size;
  int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
  switch (id) {
    case TN_W_Q:
      return (matrix_shape){q, C};
    case TN_W_K:
    case TN_W_V:
      return (matrix_shape){kv, C};
    case TN_W_O:
      return (matrix_shape){C, q};
    case TN_W_GATE:
    case TN_W_UP:
      return (matrix_shape){F, C};
    case TN_W_DOWN:
      return (matrix_shape){C, F};
    default:
      return (matrix_shape){0, C};
  }
}

static void set_parameter(tn_model *m, int64_t place, const char *name, matrix_shape shape) {
  tn_parameter *p = &m->parameters[place];
  p->name = name;
  p->decays = shape.rows != 0;
  p->tensor = (tn_tensor){.dtype = TN_F32, .rank = 1, .shape = {shape.columns}, .strides = {1}};
  if (shape.rows != 0)
    p->tensor = (tn_tensor){.dtype = TN_F32,
                            .rank = 2,
                            .shape = {shape.rows, shape.columns},
                            .strides = {shape.columns, 1}};
}

static void set_layer(tn_model *m, int64_t layer) {
  char name[96];
  for (int id = 0; id < TN_LAYER_WEIGHTS; id++) {
    int length = snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer,
                          LAYER_NAMES[id]);
    set_parameter(m, tn_layer_weight_place(layer, (tn_layer_weight_id)id),
                  tn_arena_strndup(&m->names, name, (size_t)length),
                  layer_shape(&m->config, (tn_layer_weight_id)id));
  }
}

static void set_parameters(tn_model *m) {
  const tn_model_config *c = &m->config;
  matrix_shape table = {c->vocab_size, c->hidden_size}, norm = {0, c->hidden_size};
  set_parameter(m, 0, "model.embed_tokens.weight", table);
  for (int64_t layer = 0; layer < c->layers; layer++) set_layer(m, layer);
  set_parameter(m, tn_final_norm_place(m), "model.norm.weight", norm);
  if (!c->tied) set_parameter(m, tn_head_place(m), "lm_head.weight", table);
}

tn_status tn_model_new_shapes(tn_model **out, const tn_model_config *config, tn_device *device,
                              tn_error *err) {
  tn_model *m = tn_alloc(1, sizeof *m);
  if (!m) return tn_fail_memory(err, "a model", sizeof *m);
  m->config = *config;
  m->device = device;
  tn_status status = tn_model_config_check(&m->config, err);
  if (status != TN_OK) goto fail;
  m->parameter_count = tn_final_norm_place(m) + (m->config.tied ? 1 : 2);
  m->parameters = tn_alloc((size_t)m->parameter_count, sizeof *m->parameters);
  if (m->parameters) set_parameters(m);
  if (!m->parameters || m->names.failed) {
    status = tn_fail_memory(err, "a model's parameter list",
                            (size_t)m->parameter_count * sizeof *m->parameters);
    goto fail;
  }
  *out = m;
  return TN_OK;
fail:
  tn_model_free(m);
  return status;
}

tn_status tn_model_own_buffer(tn_model *model, tn_buffer *buffer, tn_error *err) {
  tn_status status = tn_grow((void **)&model->buffers, &model->buffer_capacity,
                             model->buffer_count + 1, sizeof *model->buffers, err);
  if (status == TN_OK)
    model->buffers[model->buffer_count++] = buffer;
  else
    tn_buffer_drop(buffer);
  return status;
}

/* ---- life ---- */

static tn_status allocate_flat(tn_model *m, tn_error *err) {
  int64_t count = tn_model_config_parameters(&m->config);
  tn_buffer *buffer;
  TN_TRY(tn_device_buffer_new(m->device, &buffer, (size_t)count * sizeof(float), err));
  TN_TRY(tn_model_own_buffer(m, buffer, err));
  TN_TRY(tn_tensor_view(&m->flat, buffer, 0, TN_F32, 1, &count, err));
  int64_t offset = 0;
  for (int64_t i = 0; i < m->parameter_count; i++) {
    tn_tensor *t = &m->parameters[i].tensor;
    t->buffer = buffer;
    t->offset_bytes = offset;
    offset += tn_tensor_bytes(t);
  }
  return TN_OK;
}

tn_status tn_model_new(tn_model **out, const tn_model_config *config, tn_device *device,
                       tn_error *err) {
  tn_model *m = NULL;
  TN_TRY(tn_model_new_shapes(&m, config, device, err));
  tn_status status = allocate_flat(m, err);
  if (status != TN_OK) {
    long long parameters = tn_model_config_parameters(&m->config);
    tn_model_free(m);
    return tn_error_context(err, status, "a model of %lld parameters", parameters);
  }
  *out = m;
  return TN_OK;
}

void tn_model_free(tn_model *model) {
  if (!model) return;
  for (size_t i = 0; i < model->buffer_count; i++) tn_buffer_drop(model->buffers[i]);
  tn_free(model->buffers);
  tn_free(model->parameters);
  tn_arena_clear(&model->names);
  tn_free(model);
}

/* A parameter is its own random stream, so its start does not depend on what comes before it. */
static void init_parameter(const tn_parameter *p, uint64_t seed, uint64_t stream,
                           double deviation) {
  float *x = tn_tensor_data(&p->tensor);
  int64_t count = tn_tensor_count(&p->tensor);
  for (int64_t i = 0; i < count; i++)
    x[i] = p->decays ? (float)(deviation * tn_random_normal(seed, stream, (uint64_t)i)) : 1.0f;
}

void tn_model_init(tn_model *model, uint64_t seed) {
  const double base = 0.02, residual = base / sqrt(2.0 * (double)model->config.layers);
  for (int64_t i = 0; i < model->parameter_count; i++) {
    int64_t id = i >= 1 && i < tn_final_norm_place(model) ? (i - 1) % TN_LAYER_WEIGHTS : -1;
    bool to_residual = id == TN_W_O || id == TN_W_DOWN;
    init_parameter(&model->parameters[i], seed, (uint64_t)i, to_residual ? residual : base);
  }
}

/* ---- looking ---- */

const tn_model_config *tn_model_config_of(const tn_model *model) {
  return &model->config;
}

const tn_parameter *tn_model_parameters(const tn_model *model, int64_t *count) {
  if (count) *count = model->parameter_count;
  return model->parameters;
}

void tn_model_set_parameter(tn_model *model, int64_t place, const tn_tensor *tensor) {
  model->parameters[place].tensor = *tensor;
}

tn_tensor tn_model_flat(const tn_model *model) {
  return model->flat;
}

int64_t tn_model_weight_bytes(const tn_model *model) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < model->parameter_count; i++)
    bytes += tn_tensor_bytes(&model->parameters[i].tensor);
  return bytes;
}
