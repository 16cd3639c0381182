/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config_keys.h"

#include <math.h>
#include <stdio.h>

/* ---- small things ---- */

static tn_status read_i64(const tn_json *root, const char *key, int64_t *out, tn_error *err) {
  return tn_json_get_i64(root, key, INT64_MIN, INT64_MAX, out, err);
}

static void write_i64(tn_json_writer *w, const char *key, int64_t value) {
  tn_json_key(w, key);
  tn_json_i64(w, value);
}

static void write_bool(tn_json_writer *w, const char *key, bool value) {
  tn_json_key(w, key);
  tn_json_bool(w, value);
}

void tn_config_write_f64(tn_json_writer *w, const char *key, double value) {
  char text[32];
  tn_json_key(w, key);
  if (value == floor(value) && fabs(value) < 1e15) {
    snprintf(text, sizeof text, "%.1f", value);
    tn_json_raw(w, tn_str_of(text));
  } else {
    tn_json_f64(w, value);
  }
}

static tn_status refuse_if_true(const tn_json *root, const char *key, const char *why,
                                tn_error *err) {
  bool value = false;
  TN_TRY(tn_json_get_bool(root, key, &value, err));
  if (!value) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s true is not supported: %s", key, why);
}

/* ---- biases ---- */

static tn_status read_attention_bias(const tn_json *root, tn_model_config *c, tn_error *err) {
  bool biased = c->qkv_bias;
  TN_TRY(tn_json_get_bool(root, "attention_bias", &biased, err));
  c->qkv_bias = c->o_bias = biased;
  return TN_OK;
}

static void write_attention_bias(tn_json_writer *w, const tn_model_config *c) {
  write_bool(w, "attention_bias", c->qkv_bias);
}

static tn_status read_feed_forward_bias(const tn_json *root, tn_model_config *c, tn_error *err) {
  return tn_json_get_bool(root, "mlp_bias", &c->feed_forward_bias, err);
}

static void write_feed_forward_bias(tn_json_writer *w, const tn_model_config *c) {
  write_bool(w, "mlp_bias", c->feed_forward_bias);
}

/* ---- sliding windows ---- */

static void slide_all(tn_model_config *c) {
  for (int64_t i = 0; i < c->layers && i < TN_MODEL_LAYERS_MAX; i++)
    tn_layer_set_add(&c->sliding, i);
}

/* An explicit null means none, whatever the default. */
static tn_status read_window_size(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_json *value = tn_json_get(root, "sliding_window");
  if (!value) return TN_OK;
  if (value->kind == TN_JSON_NULL) {
    c->window = 0;
    return TN_OK;
  }
  TN_TRY(read_i64(root, "sliding_window", &c->window, err));
  if (c->window >= 1) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "sliding_window is %lld, must be null or 1 or more",
                 (long long)c->window);
}

static void write_window_size(tn_json_writer *w, const tn_model_config *c) {
  tn_json_key(w, "sliding_window");
  if (c->window > 0)
    tn_json_i64(w, c->window);
  else
    tn_json_null(w);
}

static tn_status read_window(const tn_json *root, tn_model_config *c, tn_error *err) {
  TN_TRY(read_window_size(root, c, err));
  if (c->window > 0) slide_all(c);
  return TN_OK;
}

static tn_status read_layer_types(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_json *list = tn_json_get(root, "layer_types");
  if (list->kind != TN_JSON_ARRAY || list->count != c->layers)
    return tn_fail(err, TN_ERR_DATA, "layer_types is not an array of %lld entries, one a layer",
                   (long long)c->layers);
  int64_t layer = 0;
  for (const tn_json *item = list->first; item && layer < TN_MODEL_LAYERS_MAX;
       item = item->next, layer++) {
    bool text = item->kind == TN_JSON_STRING;
    if (text && tn_str_is(item->text, "full_attention")) continue;
    if (!text || !tn_str_is(item->text, "sliding_attention"))
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "layer_types: entry %lld is neither full_attention nor sliding_attention",
                     (long long)layer);
    tn_layer_set_add(&c->sliding, layer);
  }
  return TN_OK;
}

static void write_layer_types(tn_json_writer *w, const tn_model_config *c) {
  tn_json_key(w, "layer_types");
  tn_json_begin_array(w);
  for (int64_t i = 0; i < c->layers; i++)
    tn_json_cstr(w, tn_layer_set_has(&c->sliding, i) ? "sliding_attention" : "full_attention");
  tn_json_end_array(w);
}

static tn_status read_window_switch(const tn_json *root, tn_model_config *c, tn_error *err) {
  bool on = false;
  TN_TRY(tn_json_get_bool(root, "use_sliding_window", &on, err));
  TN_TRY(read_window_size(root, c, err));
  if (!on) c->window = 0;
  bool by_layer = tn_architecture_of(c->arch)->keys & TN_KEYS_WINDOW_LAYERS;
  if (c->window > 0 && !by_layer) slide_all(c);
  return TN_OK;
}

static void write_window_switch(tn_json_writer *w, const tn_model_config *c) {
  write_bool(w, "use_sliding_window", c->window > 0);
  write_window_size(w, c);
}

static tn_status read_window_layers(const tn_json *root, tn_model_config *c, tn_error *err) {
  int64_t from = 28;
  TN_TRY(read_i64(root, "max_window_layers", &from, err));
  if (!tn_config_absent(tn_json_get(root, "layer_types"))) {
    TN_TRY(read_layer_types(root, c, err));
    if (c->window > 0) return TN_OK;
    for (int64_t i = 0; i < c->layers && i < TN_MODEL_LAYERS_MAX; i++)
      if (tn_layer_set_has(&c->sliding, i))
        return tn_fail(err, TN_ERR_DATA,
                       "layer_types: layer %lld is sliding_attention, but use_sliding_window is "
                       "false",
                       (long long)i);
    return TN_OK;
  }
  for (int64_t i = from < 0 ? 0 : from; i < c->layers && i < TN_MODEL_LAYERS_MAX && c->window > 0;
       i++)
    tn_layer_set_add(&c->sliding, i);
  return TN_OK;
}

/* Every layer but each pattern-th slides. */
static tn_status read_window_pattern(const tn_json *root, tn_model_config *c, tn_error *err) {
  int64_t pattern = c->arch == TN_ARCH_GEMMA3 ? 6 : 2;
  TN_TRY(read_window_size(root, c, err));
  if (!tn_config_absent(tn_json_get(root, "layer_types"))) return read_layer_types(root, c, err);
  TN_TRY(read_i64(root, "_sliding_window_pattern", &pattern, err));
  TN_TRY(read_i64(root, "sliding_window_pattern", &pattern, err));
  if (pattern < 1)
    return tn_fail(err, TN_ERR_DATA, "sliding_window_pattern is %lld, must be 1 or more",
                   (long long)pattern);
  for (int64_t i = 0; i < c->layers && i < TN_MODEL_LAYERS_MAX; i++)
    if ((i + 1) % pattern != 0) tn_layer_set_add(&c->sliding, i);
  return TN_OK;
}

static void write_window_pattern(tn_json_writer *w, const tn_model_config *c) {
  write_window_size(w, c);
  write_layer_types(w, c);
}

/* ---- Gemma ---- */

static tn_status read_cap(const tn_json *root, const char *key, double *cap, tn_error *err) {
  const tn_json *value = tn_json_get(root, key);
  if (value && value->kind == TN_JSON_NULL) *cap = 0;
  TN_TRY(tn_json_get_f64(root, key, cap, err));
  if (tn_config_absent(value) || *cap > 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s is %g, must be null or a positive number", key, *cap);
}

static tn_status read_softcap(const tn_json *root, tn_model_config *c, tn_error *err) {
  double scalar = 1 / (c->attention_scale * c->attention_scale);
  TN_TRY(read_cap(root, "attn_logit_softcapping", &c->attention_softcap, err));
  TN_TRY(read_cap(root, "final_logit_softcapping", &c->logit_softcap, err));
  TN_TRY(tn_json_get_f64(root, "query_pre_attn_scalar", &scalar, err));
  if (!(scalar > 0) || !isfinite(scalar))
    return tn_fail(err, TN_ERR_DATA, "query_pre_attn_scalar is %g, must be a positive number",
                   scalar);
  c->attention_scale = 1 / sqrt(scalar);
  return TN_OK;
}

static void write_cap(tn_json_writer *w, const char *key, double cap) {
  if (cap != 0) {
    tn_config_write_f64(w, key, cap);
    return;
  }
  tn_json_key(w, key);
  tn_json_null(w);
}

static void write_softcap(tn_json_writer *w, const tn_model_config *c) {
  write_cap(w, "attn_logit_softcapping", c->attention_softcap);
  write_cap(w, "final_logit_softcapping", c->logit_softcap);
  double scalar = 1 / (c->attention_scale * c->attention_scale);
  bool whole = scalar < 1e12 && fabs(scalar - round(scalar)) < 1e-9 * scalar;
  if (whole) /* as transformers wants it */
    write_i64(w, "query_pre_attn_scalar", llround(scalar));
  else
    tn_config_write_f64(w, "query_pre_attn_scalar", scalar);
}

static tn_status read_bidirectional(const tn_json *root, tn_model_config *c, tn_error *err) {
  return refuse_if_true(root, "use_bidirectional_attention", "decoders look back only", err);
}

static void write_nothing(tn_json_writer *w, const tn_model_config *c) {}

/* ---- experts ---- */

static tn_status read_experts(const tn_json *root, tn_model_config *c, tn_error *err) {
  TN_TRY(read_i64(root, "num_experts", &c->experts, err));
  TN_TRY(read_i64(root, "num_local_experts", &c->experts, err));
  TN_TRY(read_i64(root, "num_experts_per_tok", &c->experts_per_token, err));
  if (c->experts < 1)
    return tn_fail(err, TN_ERR_DATA, "num_local_experts is %lld, must be 1 or more",
                   (long long)c->experts);
  if (c->expert_size == 0) c->expert_size = c->intermediate_size;
  return TN_OK;
}

static void write_experts(tn_json_writer *w, const tn_model_config *c) {
  bool sparse = tn_architecture_of(c->arch)->keys & TN_KEYS_EXPERTS_SPARSE;
  write_i64(w, sparse ? "num_experts" : "num_local_experts", c->experts);
  write_i64(w, "num_experts_per_tok", c->experts_per_token);
}

static tn_status read_dense_layers(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_json *list = tn_json_get(root, "mlp_only_layers");
  if (tn_config_absent(list)) return TN_OK;
  if (list->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "mlp_only_layers is a JSON %s, must be an array",
                   tn_json_kind_name(list->kind));
  for (const tn_json *item = list->first; item; item = item->next) {
    if (item->kind != TN_JSON_NUMBER || !item->is_integer || item->integer < 0 ||
        item->integer >= c->layers || item->integer >= TN_MODEL_LAYERS_MAX)
      return tn_fail(err, TN_ERR_DATA, "mlp_only_layers: an entry is no layer number below %lld",
                     (long long)c->layers);
    tn_layer_set_add(&c->dense, item->integer);
  }
  return TN_OK;
}

/* Layer i has experts when step divides i + 1 and the list does not name it. */
static tn_status read_experts_sparse(const tn_json *root, tn_model_config *c, tn_error *err) {
  int64_t step = 1;
  bool normalised = !c->experts_unnormalised;
  TN_TRY(read_i64(root, "moe_intermediate_size", &c->expert_size, err));
  TN_TRY(tn_json_get_bool(root, "norm_topk_prob", &normalised, err));
  c->experts_unnormalised = !normalised;
  TN_TRY(read_i64(root, "decoder_sparse_step", &step, err));
  if (step < 1)
    return tn_fail(err, TN_ERR_DATA, "decoder_sparse_step is %lld, must be 1 or more",
                   (long long)step);
  TN_TRY(read_dense_layers(root, c, err));
  for (int64_t i = 0; i < c->layers && i < TN_MODEL_LAYERS_MAX; i++)
    if ((i + 1) % step != 0) tn_layer_set_add(&c->dense, i);
  return TN_OK;
}

static void write_experts_sparse(tn_json_writer *w, const tn_model_config *c) {
  write_i64(w, "moe_intermediate_size", c->expert_size);
  write_bool(w, "norm_topk_prob", !c->experts_unnormalised);
  write_i64(w, "decoder_sparse_step", 1);
  tn_json_key(w, "mlp_only_layers");
  tn_json_begin_array(w);
  for (int64_t i = 0; i < c->layers; i++)
    if (tn_layer_set_has(&c->dense, i)) tn_json_i64(w, i);
  tn_json_end_array(w);
}

/* ---- GPT-2 and GPT-NeoX ---- */

static tn_status read_gpt2(const tn_json *root, tn_model_config *c, tn_error *err) {
  bool scaled = true;
  TN_TRY(refuse_if_true(root, "add_cross_attention", "there is no encoder", err));
  TN_TRY(tn_json_get_bool(root, "scale_attn_weights", &scaled, err));
  if (!scaled) c->attention_scale = 1;
  return tn_json_get_bool(root, "scale_attn_by_inverse_layer_idx", &c->scale_by_layer, err);
}

static void write_gpt2(tn_json_writer *w, const tn_model_config *c) {
  write_bool(w, "scale_attn_weights", c->attention_scale != 1);
  write_bool(w, "scale_attn_by_inverse_layer_idx", c->scale_by_layer);
}

static tn_status read_parallel(const tn_json *root, tn_model_config *c, tn_error *err) {
  return tn_json_get_bool(root, "use_parallel_residual", &c->parallel, err);
}

static void write_parallel(tn_json_writer *w, const tn_model_config *c) {
  write_bool(w, "use_parallel_residual", c->parallel);
}

/* ---- encoders ---- */

static tn_status read_labels(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_json *names = tn_json_get(root, "id2label");
  if (!tn_config_absent(names)) {
    if (names->kind != TN_JSON_OBJECT)
      return tn_fail(err, TN_ERR_DATA, "id2label is a JSON %s, must be an object",
                     tn_json_kind_name(names->kind));
    c->labels = names->count;
  }
  return read_i64(root, "num_labels", &c->labels, err);
}

static tn_status read_encoder(const tn_json *root, tn_model_config *c, tn_error *err) {
  tn_str kind = TN_STR("absolute");
  int64_t pad = 1;
  TN_TRY(refuse_if_true(root, "is_decoder", "it is an encoder here", err));
  TN_TRY(refuse_if_true(root, "add_cross_attention", "it is an encoder here", err));
  TN_TRY(tn_json_get_str(root, "position_embedding_type", &kind, err));
  if (!tn_str_is(kind, "absolute"))
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "position_embedding_type %.*s is not supported, only absolute",
                   TN_STR_ARG(kind));
  TN_TRY(read_i64(root, "type_vocab_size", &c->token_types, err));
  if (c->position_offset > 0) { /* RoBERTa: positions follow the padding token's */
    TN_TRY(read_i64(root, "pad_token_id", &pad, err));
    if (pad < 0 || pad >= c->positions_max)
      return tn_fail(err, TN_ERR_DATA, "pad_token_id is %lld, must be 0 to %lld", (long long)pad,
                     (long long)c->positions_max - 1);
    c->position_offset = pad + 1;
    c->positions_max -= c->position_offset;
  }
  return read_labels(root, c, err);
}

static void write_encoder(tn_json_writer *w, const tn_model_config *c) {
  char name[32];
  write_i64(w, "type_vocab_size", c->token_types);
  if (c->task != TN_TASK_CLASSIFY) return;
  tn_json_key(w, "id2label");
  tn_json_begin_object(w);
  for (int64_t i = 0; i < c->labels; i++) {
    snprintf(name, sizeof name, "%lld", (long long)i);
    tn_json_key(w, name);
    snprintf(name, sizeof name, "LABEL_%lld", (long long)i);
    tn_json_cstr(w, name);
  }
  tn_json_end_object(w);
}

/* ---- the groups ---- */

typedef struct key_group {
  uint32_t flag;
  const char *keys[8];
  tn_status (*read)(const tn_json *root, tn_model_config *c, tn_error *err);
  void (*write)(tn_json_writer *w, const tn_model_config *c);
} key_group;

/* In an order in which each finds what it builds on. */
static const key_group GROUPS[] = {
    {TN_KEYS_ENCODER,
     {"type_vocab_size", "position_embedding_type", "is_decoder", "add_cross_attention", "id2label",
      "label2id", "num_labels", "gradient_checkpointing"},
     read_encoder,
     write_encoder},
    {TN_KEYS_ROTARY,
     {"rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor",
      "original_max_position_embeddings"},
     tn_config_read_rotary,
     tn_config_write_rotary},
    {TN_KEYS_ROTARY_BY_LAYER, {"rope_local_base_freq"}, NULL, NULL},
    {TN_KEYS_ROTARY_NEOX, {"rotary_pct", "rotary_emb_base", "is_decoder"}, NULL, NULL},
    {TN_KEYS_ATTENTION_BIAS, {"attention_bias"}, read_attention_bias, write_attention_bias},
    {TN_KEYS_FEED_FORWARD_BIAS, {"mlp_bias"}, read_feed_forward_bias, write_feed_forward_bias},
    {TN_KEYS_WINDOW, {"sliding_window"}, read_window, write_window_size},
    {TN_KEYS_WINDOW_SWITCH,
     {"use_sliding_window", "sliding_window", "max_window_layers"},
     read_window_switch,
     write_window_switch},
    {TN_KEYS_WINDOW_LAYERS,
     {"max_window_layers", "layer_types"},
     read_window_layers,
     write_layer_types},
    {TN_KEYS_WINDOW_PATTERN,
     {"sliding_window", "layer_types", "sliding_window_pattern", "_sliding_window_pattern"},
     read_window_pattern,
     write_window_pattern},
    {TN_KEYS_SOFTCAP,
     {"attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar"},
     read_softcap,
     write_softcap},
    {TN_KEYS_EXPERTS_SPARSE,
     {"moe_intermediate_size", "norm_topk_prob", "decoder_sparse_step", "mlp_only_layers"},
     read_experts_sparse,
     write_experts_sparse},
    {TN_KEYS_EXPERTS,
     {"num_experts", "num_local_experts", "num_experts_per_tok", "output_router_logits",
      "router_aux_loss_coef", "router_jitter_noise"},
     read_experts,
     write_experts},
    {TN_KEYS_GPT2,
     {"scale_attn_weights", "scale_attn_by_inverse_layer_idx", "add_cross_attention",
      "reorder_and_upcast_attn"},
     read_gpt2,
     write_gpt2},
    {TN_KEYS_PARALLEL, {"use_parallel_residual"}, read_parallel, write_parallel},
    {TN_KEYS_BIDIRECTIONAL, {"use_bidirectional_attention"}, read_bidirectional, write_nothing},
};
enum { GROUP_COUNT = sizeof GROUPS / sizeof *GROUPS };

/* Read for every architecture, or without effect on inference. */
static const char *const COMMON_KEYS[] = {"architectures",
                                          "attention_dropout",
                                          "attention_probs_dropout_prob",
                                          "attn_pdrop",
                                          "bos_token_id",
                                          "classifier_dropout",
                                          "dtype",
                                          "embd_pdrop",
                                          "eos_token_id",
                                          "hidden_dropout",
                                          "hidden_dropout_prob",
                                          "initializer_range",
                                          "model_type",
                                          "pad_token_id",
                                          "pretraining_tp",
                                          "quantization_config",
                                          "resid_pdrop",
                                          "summary_activation",
                                          "summary_first_dropout",
                                          "summary_proj_to_labels",
                                          "summary_type",
                                          "summary_use_proj",
                                          "task_specific_params",
                                          "tie_word_embeddings",
                                          "torch_dtype",
                                          "transformers_version",
                                          "use_cache",
                                          "vocab_size",
                                          "_name_or_path"};

tn_status tn_config_read_groups(const tn_json *root, tn_model_config *config, tn_error *err) {
  uint32_t wanted = tn_architecture_of(config->arch)->keys;
  for (int i = 0; i < GROUP_COUNT; i++)
    if ((wanted & GROUPS[i].flag) && GROUPS[i].read) TN_TRY(GROUPS[i].read(root, config, err));
  return TN_OK;
}

void tn_config_write_groups(tn_json_writer *w, const tn_model_config *config) {
  uint32_t wanted = tn_architecture_of(config->arch)->keys;
  for (int i = 0; i < GROUP_COUNT; i++)
    if ((wanted & GROUPS[i].flag) && GROUPS[i].write) GROUPS[i].write(w, config);
}

static bool group_has(const key_group *group, tn_str key) {
  for (size_t k = 0; k < sizeof group->keys / sizeof *group->keys; k++)
    if (group->keys[k] && tn_str_is(key, group->keys[k])) return true;
  return false;
}

bool tn_config_knows_key(const tn_architecture *a, tn_str key) {
  const tn_size_keys *s = a->sizes;
  const char *const sizes[] = {s->hidden,   s->intermediate, s->layers, s->heads, s->kv_heads,
                               s->head_dim, s->positions,    s->eps,    s->act};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i] && tn_str_is(key, sizes[i])) return true;
  for (size_t i = 0; i < sizeof COMMON_KEYS / sizeof *COMMON_KEYS; i++)
    if (tn_str_is(key, COMMON_KEYS[i])) return true;
  for (int i = 0; i < GROUP_COUNT; i++)
    if ((a->keys & GROUPS[i].flag) && group_has(&GROUPS[i], key)) return true;
  return false;
}
