/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/layer_weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- roles ---- */

static const char *const LINEARS[] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj",
};

typedef struct fold_rule {
  const char *reader; /* the first linear of a site */
  const char *before; /* what stands before it */
  const char *around; /* the same where norms stand on both sides of a branch */
  bool is_norm;
} fold_rule;

static const fold_rule FOLDS[] = {
    {"self_attn.q_proj", "input_layernorm", "input_layernorm", true},
    {"self_attn.o_proj", "self_attn.v_proj", "self_attn.v_proj", false},
    {"mlp.gate_proj", "post_attention_layernorm", "pre_feedforward_layernorm", true},
    {"mlp.up_proj", "post_attention_layernorm", "pre_feedforward_layernorm", true}, /* ungated */
    {"mlp.down_proj", "mlp.up_proj", "mlp.up_proj", false},
};

static bool is_named(const tn_layer_tensor_copy *t, const char *module, const char *kind) {
  size_t length = strlen(module);
  return strncmp(t->name, module, length) == 0 && strcmp(t->name + length, kind) == 0;
}

static tn_layer_tensor_copy *find(tn_layer_weights *l, const char *module, const char *kind) {
  for (int32_t i = 0; i < l->count; i++)
    if (is_named(&l->tensors[i], module, kind)) return &l->tensors[i];
  return NULL;
}

/* "mlp.experts.3.gate_proj.weight", "block_sparse_moe.experts.3.w1.weight"; not the router */
static bool is_expert(const tn_layer_tensor_copy *t) {
  return strstr(t->name, ".experts.") != NULL;
}

static bool is_linear(const tn_layer_tensor_copy *t) {
  if (is_expert(t)) return true;
  for (size_t i = 0; i < sizeof LINEARS / sizeof *LINEARS; i++)
    if (is_named(t, LINEARS[i], ".weight")) return true;
  return false;
}

/* ---- loading ---- */

/* What is behind "model.layers.7." or NULL when the name is not of that layer. */
static const char *behind_prefix(const char *name, int64_t layer) {
  char part[48];
  int length = snprintf(part, sizeof part, "layers.%" PRId64 ".", layer);
  const char *at = strstr(name, part);
  return at && (at == name || at[-1] == '.') ? at + length : NULL;
}

/* Whether the name is of a part of a tensor that files hold fused: "...qkv_proj.weight[1]". */
static bool is_part(const char *name) {
  return strchr(name, '[') != NULL;
}

/* How it is named elsewhere: parts of Phi-3's fused tensors, and what GPT-NeoX has.  NULL: a part
 * of a tensor that is not known. */
static const char *role_of(const char *name) {
  static const char *const roles[][2] = {
      {"self_attn.qkv_proj.weight[0]", "self_attn.q_proj.weight"},
      {"self_attn.qkv_proj.weight[1]", "self_attn.k_proj.weight"},
      {"self_attn.qkv_proj.weight[2]", "self_attn.v_proj.weight"},
      {"mlp.gate_up_proj.weight[0]", "mlp.gate_proj.weight"},
      {"mlp.gate_up_proj.weight[1]", "mlp.up_proj.weight"},
      {"attention.query_key_value.weight[0]", "self_attn.q_proj.weight"},
      {"attention.query_key_value.weight[1]", "self_attn.k_proj.weight"},
      {"attention.query_key_value.weight[2]", "self_attn.v_proj.weight"},
      {"attention.query_key_value.bias[0]", "self_attn.q_proj.bias"},
      {"attention.query_key_value.bias[1]", "self_attn.k_proj.bias"},
      {"attention.query_key_value.bias[2]", "self_attn.v_proj.bias"},
      {"attention.dense.weight", "self_attn.o_proj.weight"},
      {"attention.dense.bias", "self_attn.o_proj.bias"},
      {"mlp.dense_h_to_4h.weight", "mlp.up_proj.weight"},
      {"mlp.dense_h_to_4h.bias", "mlp.up_proj.bias"},
      {"mlp.dense_4h_to_h.weight", "mlp.down_proj.weight"},
      {"mlp.dense_4h_to_h.bias", "mlp.down_proj.bias"},
  };
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
    if (strcmp(name, roles[i][0]) == 0) return roles[i][1];
  return is_part(name) ? NULL : name;
}

static tn_status check_type(const char *path, const char *name, tn_dtype dtype, tn_error *err) {
  if (tn_dtype_is_real(dtype)) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: \"%s\" is %s: it is quantized already", path, name,
                 tn_dtype_name(dtype));
}

static tn_status check_architecture(const tn_model_config *c, const char *path, tn_error *err) {
  if (c->encoder || c->task != TN_TASK_GENERATE)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: only models that generate text are quantized, not %s", path,
                   tn_model_config_class(c));
  if (c->arch != TN_ARCH_GPT2) return TN_OK;
  return tn_fail(
      err, TN_ERR_UNSUPPORTED,
      "%s: GPT-2 is not quantized, since transformers keeps its weights in Conv1D and no "
      "Linear; Llama, Mistral, Mixtral, Qwen, Gemma, Phi-3, OLMo 2 and GPT-NeoX are",
      path);
}

tn_status tn_layer_weights_check(const tn_model *model, const char *path, tn_error *err) {
  int64_t count;
  TN_TRY(check_architecture(tn_model_config_of(model), path, err));
  const tn_parameter *p = tn_model_parameters(model, &count);
  for (int64_t i = 0; i < count; i++) TN_TRY(check_type(path, p[i].name, p[i].tensor.dtype, err));
  return TN_OK;
}

static bool is_ignored(const tn_layer_tensor_copy *t, const char *const *ignore, int32_t count) {
  for (int32_t k = 0; k < count; k++)
    if (strstr(t->name, ignore[k]) || strstr(t->file_name, ignore[k])) return true;
  return false;
}

bool tn_layer_has_linears(const tn_model *model, int64_t layer, const char *const *ignore,
                          int32_t ignore_count) {
  int64_t count;
  const tn_parameter *p = tn_model_parameters(model, &count);
  for (int64_t i = 0; i < count; i++) {
    const char *name = behind_prefix(p[i].name, layer);
    const char *role = name && p[i].tensor.rank == 2 ? role_of(name) : name;
    if (name && !role) return true; /* loading says what is wrong with it */
    const tn_layer_tensor_copy t = {.name = role, .file_name = p[i].name};
    if (name && p[i].tensor.rank == 2 && is_linear(&t) && !is_ignored(&t, ignore, ignore_count))
      return true;
  }
  return false;
}

tn_status tn_layer_linears_check(const tn_model *model, const char *const *ignore,
                                 int32_t ignore_count, tn_error *err) {
  int64_t layers = tn_model_config_of(model)->layers;
  bool has_some = false;
  for (int64_t i = 0; i < layers; i++) {
    if (!tn_layer_has_linears(model, i, NULL, 0))
      return tn_fail(
          err, TN_ERR_UNSUPPORTED,
          "layer %" PRId64 " has no linear that is known by name (q_proj, gate_proj ...)", i);
    has_some = has_some || tn_layer_has_linears(model, i, ignore, ignore_count);
  }
  if (has_some) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "all linears of all %" PRId64 " layers are ignored: none is left to be quantized",
                 layers);
}

static tn_status check_found(const tn_weight *found, const tn_parameter *p, tn_error *err) {
  const tn_tensor *t = &found->tensor;
  TN_TRY(check_type(found->path, p->name, t->dtype, err));
  if (tn_tensor_count(t) == tn_tensor_count(&p->tensor)) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: \"%s\" has %" PRId64 " elements, the model %" PRId64,
                 found->path, p->name, tn_tensor_count(t), tn_tensor_count(&p->tensor));
}

static tn_status copy_weight(tn_layer_tensor_copy *t, tn_weight_source *source,
                             const tn_parameter *p, tn_error *err) {
  tn_weight found;
  TN_TRY(tn_weight_source_find(source, p->name, &found, err));
  tn_status status = check_found(&found, p, err);
  t->file_dtype = found.tensor.dtype;
  if (status == TN_OK)
    status = tn_buffer_new(&t->buffer, (size_t)tn_tensor_count(&p->tensor) * sizeof(float), err);
  if (status == TN_OK) tn_weight_to_f32(&found, t->buffer->data);
  tn_weight_clear(&found);
  return status;
}

/* The model has the rows of a part by themselves, in the file's type. */
static tn_status copy_part(tn_layer_tensor_copy *t, const tn_parameter *p, tn_error *err) {
  const void *data = tn_tensor_data(&p->tensor);
  int64_t count = tn_tensor_count(&p->tensor);
  TN_TRY(check_type("model", p->name, p->tensor.dtype, err));
  t->file_dtype = p->tensor.dtype;
  TN_TRY(tn_buffer_new(&t->buffer, (size_t)count * sizeof(float), err));
  float *out = t->buffer->data;
  for (int64_t i = 0; i < count; i++) out[i] = (float)tn_element_get(data, t->file_dtype, i);
  return TN_OK;
}

static void put_into_model(const tn_layer_weights *l, const tn_layer_tensor_copy *t,
                           tn_buffer *buffer) {
  tn_tensor mine = t->before;
  mine.buffer = buffer;
  mine.offset_bytes = 0;
  mine.dtype = TN_F32;
  mine.layout = 0;
  tn_model_set_parameter(l->model, t->place, &mine);
}

/* A GGUF file has q, k and v of GPT-NeoX apart, and what is written would be neither. */
static tn_status check_order(const tn_model *model, tn_weight_source *source, const char *part,
                             tn_error *err) {
  char whole[256];
  tn_weight found;
  if (tn_model_config_of(model)->arch != TN_ARCH_GPT_NEOX) return TN_OK;
  snprintf(whole, sizeof whole, "%.*s", (int)strcspn(part, "["), part);
  TN_TRY(tn_weight_source_find(source, whole, &found, err));
  tn_status status = TN_OK;
  if (found.parts_apart)
    status = tn_fail(err, TN_ERR_UNSUPPORTED,
                     "%s: GPT-NeoX is quantized from a Hugging Face folder, not from a GGUF file",
                     found.path);
  tn_weight_clear(&found);
  return status;
}

static tn_status load_tensor(tn_layer_weights *l, tn_weight_source *source, int64_t place,
                             const tn_parameter *p, const char *name, tn_error *err) {
  const char *role = role_of(name);
  if (!role)
    return tn_fail(
        err, TN_ERR_UNSUPPORTED,
        "\"%s\" is a part of a tensor whose rows are mixed: Llama, Mistral, Mixtral, Qwen, "
        "Gemma, Phi-3, OLMo 2 and GPT-NeoX are quantized",
        p->name);
  if (is_part(name)) TN_TRY(check_order(l->model, source, p->name, err));
  TN_TRY(
      tn_grow((void **)&l->tensors, &l->capacity, (size_t)l->count + 1, sizeof *l->tensors, err));
  tn_layer_tensor_copy *t = &l->tensors[l->count];
  *t = (tn_layer_tensor_copy){
      .place = place, .name = role, .file_name = p->name, .before = p->tensor};
  t->rows = p->tensor.rank == 2 ? p->tensor.shape[0] : 1;
  t->columns = p->tensor.shape[p->tensor.rank - 1];
  t->is_linear = p->tensor.rank == 2 && is_linear(t);
  TN_TRY(is_part(name) ? copy_part(t, p, err) : copy_weight(t, source, p, err));
  l->count++;
  put_into_model(l, t, t->buffer);
  return TN_OK;
}

static void skip_ignored(tn_layer_weights *l, const char *const *ignore, int32_t count) {
  for (int32_t i = 0; i < l->count; i++)
    if (is_ignored(&l->tensors[i], ignore, count)) l->tensors[i].is_linear = false;
}

tn_status tn_layer_weights_load(tn_layer_weights *l, tn_model *model, tn_weight_source *source,
                                int64_t layer, const char *const *ignore, int32_t ignore_count,
                                tn_error *err) {
  int64_t count;
  const tn_parameter *p = tn_model_parameters(model, &count);
  *l = (tn_layer_weights){.model = model, .layer = layer};
  for (int64_t i = 0; i < count; i++) {
    const char *name = behind_prefix(p[i].name, layer);
    if (name) TN_TRY(load_tensor(l, source, i, &p[i], name, err));
  }
  skip_ignored(l, ignore, ignore_count);
  return TN_OK;
}

tn_status tn_layer_weights_keep(tn_layer_weights *l, tn_error *err) {
  for (int32_t i = 0; i < l->count; i++) {
    tn_layer_tensor_copy *t = &l->tensors[i];
    if (!t->is_linear) continue;
    TN_TRY(tn_buffer_new(&t->original, t->buffer->bytes, err));
    memcpy(t->original->data, t->buffer->data, t->buffer->bytes);
  }
  return TN_OK;
}

void tn_layer_weights_use(tn_layer_weights *l, bool original) {
  if (l->is_original == original) return;
  const tn_parameter *p = tn_model_parameters(l->model, NULL);
  for (int32_t i = 0; i < l->count; i++) {
    tn_layer_tensor_copy *t = &l->tensors[i];
    if (!t->original) continue;
    if (original) {
      t->became = p[t->place].tensor;
      put_into_model(l, t, t->original);
    } else {
      tn_model_set_parameter(l->model, t->place, &t->became);
    }
  }
  l->is_original = original;
}

void tn_layer_weights_clear(tn_layer_weights *l) {
  tn_layer_weights_use(l, false);
  for (int32_t i = 0; i < l->count; i++) {
    const tn_layer_tensor_copy *t = &l->tensors[i];
    if (t->buffer) tn_model_set_parameter(l->model, t->place, &t->before);
    tn_buffer_drop(t->buffer);
    tn_buffer_drop(t->original);
  }
  tn_free(l->tensors);
  *l = (tn_layer_weights){0};
}

tn_layer_tensor_copy *tn_layer_weights_at(tn_layer_weights *l, int64_t place) {
  for (int32_t i = 0; i < l->count; i++)
    if (l->tensors[i].place == place) return &l->tensors[i];
  return NULL;
}

/* ---- folding ---- */

static const fold_rule *rule_of(tn_layer_weights *l, const tn_site *site) {
  const tn_layer_tensor_copy *reader = tn_layer_weights_at(l, site->weights[0]);
  for (size_t i = 0; reader && i < sizeof FOLDS / sizeof *FOLDS; i++)
    if (is_named(reader, FOLDS[i].reader, ".weight")) return &FOLDS[i];
  return NULL;
}

/* Every linear of the site has to change with it. */
static bool site_is_whole(tn_layer_weights *l, const tn_site *site) {
  for (int32_t i = 0; i < site->weight_count; i++) {
    const tn_layer_tensor_copy *t = tn_layer_weights_at(l, site->weights[i]);
    if (!t || !t->is_linear) return false;
  }
  return true;
}

/* The tensor that takes the scales; NULL: none can.  What stands between an ungated up_proj and
 * down_proj is not linear.  A bias that is a part of a tensor cannot change without the others. */
static tn_layer_tensor_copy *find_before(tn_layer_weights *l, const fold_rule *rule) {
  const tn_model_config *c = tn_model_config_of(l->model);
  if (!rule->is_norm) {
    const tn_layer_tensor_copy *bias = find(l, rule->before, ".bias");
    if (c->ungated && strcmp(rule->before, "mlp.up_proj") == 0) return NULL;
    if (bias && is_part(bias->file_name)) return NULL;
    tn_layer_tensor_copy *weight = find(l, rule->before, ".weight");
    return weight && weight->is_linear ? weight : NULL; /* an ignored one stays */
  }
  if (c->norm_place != TN_NORM_BEFORE && c->norm_place != TN_NORM_AROUND) return NULL;
  const char *name = c->norm_place == TN_NORM_AROUND ? rule->around : rule->before;
  return find(l, name, ".weight");
}

bool tn_layer_can_fold(tn_layer_weights *l, const tn_site *site, int64_t *run, int64_t *share) {
  const tn_model_config *c = tn_model_config_of(l->model);
  const fold_rule *rule = rule_of(l, site);
  *run = *share = 1;
  if (!rule || !site_is_whole(l, site)) return false;
  const tn_layer_tensor_copy *before = find_before(l, rule);
  if (!before) return false;
  if (rule->is_norm) return before->columns == site->columns;
  if (before->rows == site->columns) return true;
  *run = c->head_dim;
  *share = c->heads / c->kv_heads;
  return before->rows * *share == site->columns && before->rows == c->kv_heads * c->head_dim;
}

static float round_to(tn_dtype dtype, float x) {
  if (dtype == TN_BF16) return tn_bf16_to_f32(tn_f32_to_bf16(x));
  return dtype == TN_F16 ? tn_f16_to_f32(tn_f32_to_f16(x)) : x;
}

/* Divides by s, in the type of the file; s becomes what was really divided by. */
static void divide_norm(tn_layer_tensor_copy *norm, float offset, float *scales) {
  float *w = tn_layer_data(norm);
  for (int64_t k = 0; k < norm->columns; k++) {
    float factor = w[k] + offset; /* what the norm multiplies with */
    float divided = round_to(norm->file_dtype, factor / scales[k] - offset);
    if (divided + offset == 0 || !isfinite(divided)) {
      scales[k] = 1; /* nothing to divide, or nothing left */
      continue;
    }
    scales[k] = factor / (divided + offset);
    w[k] = divided;
  }
  norm->is_changed = true;
}

/* Output o of the linear before is read as column o, or as several of them. */
static int64_t column_of(int64_t output, int64_t run, int64_t share) {
  return output / run * run * share + output % run;
}

static void divide_rows(tn_layer_tensor_copy *t, const float *scales, int64_t run, int64_t share) {
  float *w = tn_layer_data(t);
  int64_t outputs = t->rows > 1 ? t->rows : t->columns, width = t->rows > 1 ? t->columns : 1;
  for (int64_t o = 0; o < outputs; o++) {
    float s = scales[column_of(o, run, share)];
    for (int64_t k = 0; k < width; k++) w[o * width + k] /= s;
  }
  t->is_changed = true;
}

void tn_layer_fold(tn_layer_weights *l, const tn_site *site, float *scales) {
  int64_t run, share;
  const fold_rule *rule = rule_of(l, site);
  if (!tn_layer_can_fold(l, site, &run, &share)) return;
  tn_layer_tensor_copy *before = find_before(l, rule);
  tn_layer_tensor_copy *bias = find(l, rule->before, ".bias");
  if (rule->is_norm)
    divide_norm(before, tn_model_config_of(l->model)->norm_adds_one ? 1 : 0, scales);
  else
    divide_rows(before, scales, run, share);
  if (bias) divide_rows(bias, scales, run, share);
  for (int32_t i = 0; i < site->weight_count; i++) {
    tn_layer_tensor_copy *t = tn_layer_weights_at(l, site->weights[i]);
    float *w = tn_layer_data(t);
    for (int64_t r = 0; r < t->rows; r++)
      for (int64_t k = 0; k < t->columns; k++) w[r * t->columns + k] *= scales[k];
    t->is_changed = true;
  }
}
