/* SPDX-License-Identifier: Apache-2.0 */
#include "model/transformer.h"

#include <math.h>
#include <stdio.h>

#include "base/random.h"
#include "kernels/pack.h"
#include "model/weights.h"

/* ---- names and shapes ---- */

enum { NAME_BYTES = 160, PARAMETER_COUNT_MAX = 1 << 22 };

/* One weight of the list that is being made. */
typedef struct listing {
  tn_model *m;
  const char *prefix; /* of the model, the layer or the expert */
  bool counting;      /* only counts: the list has no memory yet */
  int64_t count;
} listing;

static tn_tensor tensor_of(tn_weight_shape shape) {
  if (shape.rank == 1)
    return (tn_tensor){.dtype = TN_F32, .rank = 1, .shape = {shape.columns}, .strides = {1}};
  return (tn_tensor){.dtype = TN_F32,
                     .rank = 2,
                     .shape = {shape.rows, shape.columns},
                     .strides = {shape.columns, 1}};
}

static const char *join_name(tn_model *m, const char *prefix, const char *name, int32_t part,
                             int32_t parts) {
  char text[NAME_BYTES];
  bool bare = name[0] == '/';
  int length = snprintf(text, sizeof text, "%s%s", bare ? "" : prefix, bare ? name + 1 : name);
  if (parts > 1) length += snprintf(text + length, sizeof text - (size_t)length, "[%d]", (int)part);
  return tn_arena_strndup(&m->names, text, (size_t)length);
}

/* Returns the parameter's place. */
static int64_t list_weight(listing *l, const char *name, tn_weight_shape shape,
                           const tn_origin *origin) {
  int64_t place = l->count++;
  if (l->counting) return place;
  tn_parameter *p = &l->m->parameters[place];
  p->name = join_name(l->m, l->prefix, name, origin->part, origin->parts);
  p->tensor = tensor_of(shape);
  p->decays = shape.rank == 2;
  l->m->origins[place] = *origin;
  l->m->origins[place].name = origin->parts > 1 ? join_name(l->m, l->prefix, name, 0, 1) : p->name;
  return place;
}

static int64_t rows_of(tn_weight_shape shape) { /* a bias has one element a row */
  return shape.rank == 1 ? shape.columns : shape.rows;
}

static tn_weight_start global_start(const tn_model_config *c, int id) {
  bool norm = id == TN_G_EMBED_NORM || id == TN_G_FINAL_NORM;
  return norm && !c->norm_adds_one ? TN_START_ONE : TN_START_PLAIN;
}

static tn_weight_start layer_start(const tn_model_config *c, tn_layer_weight_id id) {
  switch (id) {
    case TN_W_O:
    case TN_W_DOWN:
      return TN_START_RESIDUAL;
    case TN_W_INPUT_NORM:
    case TN_W_Q_NORM:
    case TN_W_K_NORM:
    case TN_W_ATTENTION_OUT_NORM:
    case TN_W_POST_NORM:
    case TN_W_FEED_FORWARD_OUT_NORM:
      return c->norm_adds_one ? TN_START_PLAIN : TN_START_ONE;
    default:
      return TN_START_PLAIN;
  }
}

/* Which part of the file's tensor a layer's weight is: those of the same name come in order. */
static tn_origin layer_origin(const tn_model_config *c, int64_t layer, const tn_weight_name *list,
                              const tn_weight_name *this) {
  tn_origin o = {.form = this->form, .start = layer_start(c, (tn_layer_weight_id)this->id)};
  for (; list->name; list++) {
    tn_weight_shape shape = tn_layer_weight_shape(c, layer, (tn_layer_weight_id)list->id);
    if (shape.rank == 0 || strcmp(list->name, this->name) != 0) continue;
    if (list == this) o.part = o.parts, o.first_row = o.rows_total;
    o.parts++;
    o.rows_total += rows_of(shape);
  }
  return o;
}

static void list_globals(listing *l, int first, int end) {
  tn_model *m = l->m;
  const tn_weight_name *names = tn_architecture_of(m->config.arch)->globals;
  l->prefix = tn_architecture_prefix(&m->config);
  for (int id = first; id < end; id++) {
    tn_weight_shape shape = tn_global_weight_shape(&m->config, (tn_global_weight_id)id);
    const tn_weight_name *name = tn_weight_name_of(names, id);
    m->places[id] = -1;
    if (shape.rank == 0 || !name) continue;
    const tn_origin origin = {.form = name->form,
                              .parts = 1,
                              .rows_total = rows_of(shape),
                              .start = global_start(&m->config, id)};
    m->places[id] = list_weight(l, name->name, shape, &origin);
  }
}

static void list_experts(listing *l, int64_t layer, const char *layer_prefix, int64_t *places) {
  const tn_model_config *c = &l->m->config;
  const tn_architecture *a = tn_architecture_of(c->arch);
  char prefix[NAME_BYTES];
  places[TN_LAYER_EXPERTS] = tn_model_config_routes(c, layer) ? l->count : -1;
  if (!tn_model_config_routes(c, layer)) return;
  if (l->counting) {
    l->count += c->experts * TN_EXPERT_WEIGHTS;
    return;
  }
  for (int64_t e = 0; e < c->experts; e++) {
    l->prefix = prefix;
    snprintf(prefix, sizeof prefix, "%s%s%lld.", layer_prefix, a->experts, (long long)e);
    for (int id = 0; id < TN_EXPERT_WEIGHTS; id++) {
      tn_weight_shape shape = tn_expert_weight_shape(c, (tn_expert_weight_id)id);
      const tn_origin origin = {.parts = 1,
                                .rows_total = shape.rows,
                                .start = id == TN_E_DOWN ? TN_START_RESIDUAL : TN_START_PLAIN};
      list_weight(l, a->expert_weights[id], shape, &origin);
    }
  }
  l->prefix = NULL;
}

static void list_layer(listing *l, int64_t layer) {
  tn_model *m = l->m;
  const tn_model_config *c = &m->config;
  const tn_architecture *a = tn_architecture_of(c->arch);
  int64_t *places = m->places + TN_GLOBAL_WEIGHTS + layer * TN_LAYER_PLACES;
  char prefix[NAME_BYTES / 2];
  snprintf(prefix, sizeof prefix, "%s%s%lld.", tn_architecture_prefix(c), a->layer,
           (long long)layer);
  l->prefix = prefix;
  for (int id = 0; id < TN_LAYER_WEIGHTS; id++) {
    tn_weight_shape shape = tn_layer_weight_shape(c, layer, (tn_layer_weight_id)id);
    const tn_weight_name *name = tn_weight_name_of(a->layer_weights, id);
    places[id] = -1;
    if (shape.rank == 0 || !name) continue;
    const tn_origin origin = layer_origin(c, layer, a->layer_weights, name);
    places[id] = list_weight(l, name->name, shape, &origin);
  }
  list_experts(l, layer, prefix, places);
  l->prefix = NULL;
}

static int64_t list_parameters(tn_model *m, bool counting) {
  listing l = {.m = m, .counting = counting};
  list_globals(&l, 0, TN_G_FINAL_NORM);
  for (int64_t layer = 0; layer < m->config.layers; layer++) list_layer(&l, layer);
  list_globals(&l, TN_G_FINAL_NORM, TN_GLOBAL_WEIGHTS);
  return l.count;
}

/* A variation that an architecture has no tensor for cannot be loaded, saved or run. */
static tn_status check_named(const tn_model_config *c, tn_error *err) {
  const tn_architecture *a = tn_architecture_of(c->arch);
  for (int id = 0; id < TN_GLOBAL_WEIGHTS; id++)
    if (tn_global_weight_shape(c, (tn_global_weight_id)id).rank &&
        !tn_weight_name_of(a->globals, id))
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "a %s model has no tensor for weight %d around layers", a->model_type, id);
  for (int64_t layer = 0; layer < c->layers; layer++)
    for (int id = 0; id < TN_LAYER_WEIGHTS; id++)
      if (tn_layer_weight_shape(c, layer, (tn_layer_weight_id)id).rank &&
          !tn_weight_name_of(a->layer_weights, id))
        return tn_fail(err, TN_ERR_UNSUPPORTED, "a %s model has no tensor for weight %d of a layer",
                       a->model_type, id);
  return TN_OK;
}

static tn_status make_list(tn_model *m, tn_error *err) {
  TN_TRY(tn_model_config_check(&m->config, err));
  TN_TRY(check_named(&m->config, err));
  size_t places = TN_GLOBAL_WEIGHTS + (size_t)m->config.layers * TN_LAYER_PLACES;
  m->places = tn_alloc(places, sizeof *m->places);
  if (!m->places) return tn_fail_memory(err, "a model's parameter list", places * 8);
  m->parameter_count = list_parameters(m, true);
  if (m->parameter_count > PARAMETER_COUNT_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "these sizes make %lld tensors, limit %d",
                   (long long)m->parameter_count, PARAMETER_COUNT_MAX);
  m->parameters = tn_alloc((size_t)m->parameter_count, sizeof *m->parameters);
  m->origins = tn_alloc((size_t)m->parameter_count, sizeof *m->origins);
  if (m->parameters && m->origins) list_parameters(m, false);
  if (m->parameters && m->origins && !m->names.failed) return TN_OK;
  return tn_fail_memory(err, "a model's parameter list",
                        (size_t)m->parameter_count * sizeof *m->parameters);
}

tn_status tn_model_new_shapes(tn_model **out, const tn_model_config *config, tn_device *device,
                              tn_error *err) {
  tn_model *m = tn_alloc(1, sizeof *m);
  if (!m) return tn_fail_memory(err, "a model", sizeof *m);
  m->config = *config;
  m->device = device;
  tn_status status = make_list(m, err);
  if (status != TN_OK) {
    tn_model_free(m);
    return status;
  }
  *out = m;
  return TN_OK;
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
  tn_free(model->origins);
  tn_free(model->places);
  tn_arena_clear(&model->names);
  tn_free(model);
}

/* A parameter is its own random stream, so its start does not depend on what comes before it. */
static void init_matrix(const tn_parameter *p, uint64_t seed, uint64_t stream, double deviation) {
  float *x = tn_tensor_data(&p->tensor);
  int64_t count = tn_tensor_count(&p->tensor);
  for (int64_t i = 0; i < count; i++)
    x[i] = (float)(deviation * tn_random_normal(seed, stream, (uint64_t)i));
}

static void init_vector(const tn_parameter *p, float value) {
  float *x = tn_tensor_data(&p->tensor);
  int64_t count = tn_tensor_count(&p->tensor);
  for (int64_t i = 0; i < count; i++) x[i] = value;
}

void tn_model_init(tn_model *model, uint64_t seed) {
  const double base = 0.02, to_residual = base / sqrt(2.0 * (double)model->config.layers);
  for (int64_t i = 0; i < model->parameter_count; i++) {
    const tn_parameter *p = &model->parameters[i];
    tn_weight_start start = model->origins[i].start;
    if (p->tensor.rank == 2)
      init_matrix(p, seed, (uint64_t)i, start == TN_START_RESIDUAL ? to_residual : base);
    else
      init_vector(p, start == TN_START_ONE ? 1.0f : 0.0f);
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
  for (int64_t i = 0; i < model->parameter_count; i++) {
    const tn_tensor *t = &model->parameters[i].tensor;
    bytes += t->layout ? tn_pack_bytes(t->dtype, t->shape[0], t->shape[1]) : tn_tensor_bytes(t);
  }
  return bytes;
}
