/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include <math.h>

#include "base/io.h"
#include "base/log.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

/* Generous beyond any published model, and small enough that no product of them leaves int64. */
#define VOCAB_MAX        ((int64_t)1 << 24)
#define HIDDEN_MAX       ((int64_t)1 << 20)
#define INTERMEDIATE_MAX ((int64_t)1 << 22)
#define LAYERS_MAX       ((int64_t)1 << 12)
#define HEADS_MAX        ((int64_t)1 << 16)
#define HEAD_DIM_MAX     ((int64_t)1 << 12)
#define POSITIONS_MAX    ((int64_t)1 << 27)
#define PARAMETERS_MAX   ((int64_t)1 << 46)

/* Keys of a Llama config.json that are read here or that do not touch the arithmetic of inference.
 */
static const char *const KNOWN_KEYS[] = {"architectures",
                                         "attention_bias",
                                         "attention_dropout",
                                         "bos_token_id",
                                         "dtype",
                                         "eos_token_id",
                                         "head_dim",
                                         "hidden_act",
                                         "hidden_size",
                                         "initializer_range",
                                         "intermediate_size",
                                         "max_position_embeddings",
                                         "mlp_bias",
                                         "model_type",
                                         "num_attention_heads",
                                         "num_hidden_layers",
                                         "num_key_value_heads",
                                         "pad_token_id",
                                         "pretraining_tp",
                                         "quantization_config",
                                         "rms_norm_eps",
                                         "rope_parameters",
                                         "rope_scaling",
                                         "rope_theta",
                                         "tie_word_embeddings",
                                         "torch_dtype",
                                         "transformers_version",
                                         "use_cache",
                                         "vocab_size",
                                         "_name_or_path",
                                         "partial_rotary_factor"};

/* ---- checking ---- */

static tn_status check_range(const char *field, int64_t value, int64_t max, tn_error *err) {
  if (value >= 1 && value <= max) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s is %lld, must be 1 to %lld", field, (long long)value,
                 (long long)max);
}

static tn_status check_ranges(const tn_model_config *c, tn_error *err) {
  TN_TRY(check_range("vocab_size", c->vocab_size, VOCAB_MAX, err));
  TN_TRY(check_range("hidden_size", c->hidden_size, HIDDEN_MAX, err));
  TN_TRY(check_range("intermediate_size", c->intermediate_size, INTERMEDIATE_MAX, err));
  TN_TRY(check_range("num_hidden_layers", c->layers, LAYERS_MAX, err));
  TN_TRY(check_range("num_attention_heads", c->heads, HEADS_MAX, err));
  TN_TRY(check_range("num_key_value_heads", c->kv_heads, HEADS_MAX, err));
  return check_range("max_position_embeddings", c->positions_max, POSITIONS_MAX, err);
}

static tn_status check_heads(tn_model_config *c, tn_error *err) {
  if (c->heads % c->kv_heads != 0)
    return tn_fail(err, TN_ERR_DATA,
                   "num_attention_heads is %lld, must be a multiple of num_key_value_heads %lld",
                   (long long)c->heads, (long long)c->kv_heads);
  if (c->head_dim == 0) {
    if (c->hidden_size % c->heads != 0)
      return tn_fail(err, TN_ERR_DATA,
                     "hidden_size is %lld, must be a multiple of num_attention_heads %lld (or give "
                     "head_dim)",
                     (long long)c->hidden_size, (long long)c->heads);
    c->head_dim = c->hidden_size / c->heads;
  }
  TN_TRY(check_range("head_dim", c->head_dim, HEAD_DIM_MAX, err));
  if (c->head_dim % 2 != 0)
    return tn_fail(err, TN_ERR_DATA, "head_dim is %lld, must be even: rotary embedding turns pairs",
                   (long long)c->head_dim);
  return TN_OK;
}

static tn_status check_token(const char *field, int64_t id, tn_error *err) {
  if (id >= -1 && id <= INT32_MAX) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s is %lld, must be -1 (none) to %d", field, (long long)id,
                 INT32_MAX);
}

static tn_status check_tokens(const tn_model_config *c, tn_error *err) {
  TN_TRY(check_token("bos_token_id", c->bos_id, err));
  TN_TRY(check_token("eos_token_id", c->eos_id, err));
  if (c->eos_more_count < 0 || c->eos_more_count > TN_EOS_MORE_MAX)
    return tn_fail(err, TN_ERR_DATA, "eos_token_id has %lld entries, at most %d are taken",
                   (long long)c->eos_more_count + 1, TN_EOS_MORE_MAX + 1);
  for (int64_t i = 0; i < c->eos_more_count; i++)
    TN_TRY(check_token("eos_token_id", c->eos_more[i], err));
  return TN_OK;
}

tn_status tn_model_config_check(tn_model_config *config, tn_error *err) {
  if (config->rope_theta == 0) config->rope_theta = 10000.0;
  if (config->norm_eps == 0) config->norm_eps = 1e-5;
  if (config->kv_heads == 0) config->kv_heads = config->heads;
  TN_TRY(check_ranges(config, err));
  TN_TRY(check_heads(config, err));
  TN_TRY(check_tokens(config, err));
  if (!(config->rope_theta > 0) || !isfinite(config->rope_theta))
    return tn_fail(err, TN_ERR_DATA, "rope_theta is %g, must be a positive number",
                   config->rope_theta);
  if (!(config->norm_eps > 0 && config->norm_eps < 1))
    return tn_fail(err, TN_ERR_DATA, "rms_norm_eps is %g, must be between 0 and 1",
                   config->norm_eps);
  int64_t parameters = tn_model_config_parameters(config);
  if (parameters > PARAMETERS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "these sizes make %lld parameters, limit %lld",
                   (long long)parameters, (long long)PARAMETERS_MAX);
  return TN_OK;
}

/* At most 2^63 - 1 for the largest sizes that check_ranges lets through. */
int64_t tn_model_config_parameters(const tn_model_config *c) {
  int64_t attention = c->hidden_size * c->head_dim * (2 * c->heads + 2 * c->kv_heads);
  int64_t feed_forward = 3 * c->hidden_size * c->intermediate_size;
  int64_t embeddings = c->vocab_size * c->hidden_size * (c->tied ? 1 : 2);
  return embeddings + c->layers * (attention + feed_forward + 2 * c->hidden_size) + c->hidden_size;
}

/* ---- reading ---- */

static bool is_null(const tn_json *value) {
  return !value || value->kind == TN_JSON_NULL;
}

static tn_status read_required(const tn_json *root, const char *key, int64_t *out, tn_error *err) {
  if (is_null(tn_json_get(root, key))) return tn_fail(err, TN_ERR_DATA, "%s is missing", key);
  return tn_json_get_i64(root, key, INT64_MIN, INT64_MAX, out, err);
}

static tn_status read_optional(const tn_json *root, const char *key, int64_t fallback, int64_t *out,
                               tn_error *err) {
  *out = fallback;
  return tn_json_get_i64(root, key, INT64_MIN, INT64_MAX, out, err);
}

static bool array_has(const tn_json *array, const char *text) {
  for (const tn_json *item = array->first; item; item = item->next)
    if (item->kind == TN_JSON_STRING && tn_str_is(item->text, text)) return true;
  return false;
}

static tn_status read_architecture(const tn_json *root, tn_error *err) {
  const tn_json *list = tn_json_get(root, "architectures");
  tn_str type = {0};
  TN_TRY(tn_json_get_str(root, "model_type", &type, err));
  if (!is_null(list)) {
    if (list->kind != TN_JSON_ARRAY)
      return tn_fail(err, TN_ERR_DATA, "architectures is a JSON %s, must be an array",
                     tn_json_kind_name(list->kind));
    if (!array_has(list, "LlamaForCausalLM")) {
      tn_str found = list->first && list->first->kind == TN_JSON_STRING ? list->first->text
                                                                        : TN_STR("(empty)");
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "architecture %.*s is not supported, only LlamaForCausalLM",
                     TN_STR_ARG(found));
    }
  }
  if (!type.data && is_null(list))
    return tn_fail(err, TN_ERR_DATA, "neither architectures nor model_type is there");
  if (type.data && !tn_str_is(type, "llama"))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "model_type %.*s is not supported, only llama",
                   TN_STR_ARG(type));
  return TN_OK;
}

static tn_status refuse_if_true(const tn_json *root, const char *key, tn_error *err) {
  bool value = false;
  TN_TRY(tn_json_get_bool(root, key, &value, err));
  if (!value) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s true is not supported: the model has no biases", key);
}

static tn_status read_unsupported(const tn_json *root, tn_error *err) {
  TN_TRY(refuse_if_true(root, "attention_bias", err));
  TN_TRY(refuse_if_true(root, "mlp_bias", err));
  tn_str act = TN_STR("silu");
  TN_TRY(tn_json_get_str(root, "hidden_act", &act, err));
  if (!tn_str_is(act, "silu") && !tn_str_is(act, "swish"))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "hidden_act %.*s is not supported, only silu",
                   TN_STR_ARG(act));
  return TN_OK;
}

static tn_status refuse_partial_rotary(const tn_json *object, tn_error *err) {
  double partial = 1;
  TN_TRY(tn_json_get_f64(object, "partial_rotary_factor", &partial, err));
  if (partial == 1) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "partial_rotary_factor %g is not supported, only 1",
                 partial);
}

/* `key` is rope_parameters (transformers 5) or rope_scaling (before). */
static tn_status read_rope_object(const tn_json *root, const char *key, double *theta,
                                  tn_error *err) {
  const tn_json *rope = tn_json_get(root, key);
  if (is_null(rope)) return TN_OK;
  if (rope->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "%s is a JSON %s, must be an object", key,
                   tn_json_kind_name(rope->kind));
  tn_str type = TN_STR("default");
  TN_TRY(tn_json_get_str(rope, "type", &type, err));
  TN_TRY(tn_json_get_str(rope, "rope_type", &type, err));
  if (!tn_str_is(type, "default"))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: rope_type %.*s is not supported, only default",
                   key, TN_STR_ARG(type));
  TN_TRY(refuse_partial_rotary(rope, err));
  return tn_json_get_f64(rope, "rope_theta", theta, err);
}

static tn_status read_rope(const tn_json *root, tn_model_config *c, tn_error *err) {
  c->rope_theta = 10000.0;
  TN_TRY(refuse_partial_rotary(root, err));
  TN_TRY(tn_json_get_f64(root, "rope_theta", &c->rope_theta, err));
  TN_TRY(read_rope_object(root, "rope_scaling", &c->rope_theta, err));
  TN_TRY(read_rope_object(root, "rope_parameters", &c->rope_theta, err));
  if (c->rope_theta != 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "rope_theta is 0, must be a positive number");
}

static tn_status read_eos(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_json *eos = tn_json_get(root, "eos_token_id");
  c->eos_id = -1;
  if (is_null(eos)) return TN_OK;
  if (eos->kind != TN_JSON_ARRAY)
    return tn_json_get_i64(root, "eos_token_id", INT64_MIN, INT64_MAX, &c->eos_id, err);
  if (eos->count > TN_EOS_MORE_MAX + 1)
    return tn_fail(err, TN_ERR_LIMIT, "eos_token_id has %lld entries, at most %d are taken",
                   (long long)eos->count, TN_EOS_MORE_MAX + 1);
  int64_t taken = 0;
  for (const tn_json *item = eos->first; item; item = item->next) {
    if (item->kind != TN_JSON_NUMBER || !item->is_integer)
      return tn_fail(err, TN_ERR_DATA, "eos_token_id: entry %lld is not an integer",
                     (long long)taken);
    if (taken++ == 0)
      c->eos_id = item->integer;
    else
      c->eos_more[c->eos_more_count++] = item->integer;
  }
  return TN_OK;
}

static tn_status read_sizes(const tn_json *root, tn_model_config *c, tn_error *err) {
  TN_TRY(read_required(root, "vocab_size", &c->vocab_size, err));
  TN_TRY(read_required(root, "hidden_size", &c->hidden_size, err));
  TN_TRY(read_required(root, "intermediate_size", &c->intermediate_size, err));
  TN_TRY(read_required(root, "num_hidden_layers", &c->layers, err));
  TN_TRY(read_required(root, "num_attention_heads", &c->heads, err));
  TN_TRY(read_optional(root, "num_key_value_heads", c->heads, &c->kv_heads, err));
  TN_TRY(read_optional(root, "max_position_embeddings", 2048, &c->positions_max, err));
  TN_TRY(read_optional(root, "bos_token_id", -1, &c->bos_id, err));
  TN_TRY(read_optional(root, "head_dim", 0, &c->head_dim, err));
  if (c->head_dim == 0 && !is_null(tn_json_get(root, "head_dim")))
    return tn_fail(err, TN_ERR_DATA, "head_dim is 0, must be 1 to %lld", (long long)HEAD_DIM_MAX);
  return check_range("num_key_value_heads", c->kv_heads, HEADS_MAX, err);
}

static tn_status check_keys(const tn_json *root, const char *name, bool strict, tn_error *err) {
  for (const tn_json *item = root->first; item; item = item->next) {
    bool known = false;
    for (size_t i = 0; i < sizeof KNOWN_KEYS / sizeof *KNOWN_KEYS && !known; i++)
      known = tn_str_is(item->key, KNOWN_KEYS[i]);
    if (known) continue;
    if (strict)
      return tn_fail(err, TN_ERR_DATA, "key \"%.*s\" is not a key of a Llama config.json",
                     TN_STR_ARG(item->key));
    tn_log(TN_LOG_WARN, "model", "%s: key \"%.*s\" is not known and has no effect", name,
           TN_STR_ARG(item->key));
  }
  return TN_OK;
}

static tn_status read_root(tn_model_config *c, const tn_json *root, const char *name, bool strict,
                           tn_error *err) {
  if (root->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "a JSON %s, must be an object", tn_json_kind_name(root->kind));
  TN_TRY(read_architecture(root, err));
  TN_TRY(read_unsupported(root, err));
  TN_TRY(check_keys(root, name, strict, err));
  TN_TRY(read_sizes(root, c, err));
  TN_TRY(read_rope(root, c, err));
  TN_TRY(read_eos(root, c, err));
  c->norm_eps = 1e-6; /* what transformers takes when the key is absent */
  TN_TRY(tn_json_get_f64(root, "rms_norm_eps", &c->norm_eps, err));
  if (c->norm_eps == 0)
    return tn_fail(err, TN_ERR_DATA, "rms_norm_eps is 0, must be between 0 and 1");
  TN_TRY(tn_json_get_bool(root, "tie_word_embeddings", &c->tied, err));
  return tn_model_config_check(c, err);
}

tn_status tn_model_config_parse(tn_model_config *out, tn_str json, const char *name, bool strict,
                                tn_error *err) {
  tn_arena arena = {0}; /* the limit on the text bounds it */
  tn_json *root = NULL;
  tn_model_config config = {0};
  tn_status status = tn_json_parse(&root, &arena, json, NULL, err);
  if (status == TN_OK) status = read_root(&config, root, name, strict, err);
  tn_arena_clear(&arena);
  if (status != TN_OK) return tn_error_context(err, status, "%s", name);
  *out = config;
  return TN_OK;
}

tn_status tn_model_config_read(tn_model_config *out, const char *path, tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_file_read(path, CONFIG_BYTES_MAX, &text, err);
  if (status == TN_OK) status = tn_model_config_parse(out, tn_strbuf_view(&text), path, false, err);
  tn_strbuf_clear(&text);
  return status;
}

/* ---- writing ---- */

static void write_i64(tn_json_writer *w, const char *key, int64_t value) {
  tn_json_key(w, key);
  tn_json_i64(w, value);
}

static void write_token(tn_json_writer *w, const char *key, int64_t id) {
  tn_json_key(w, key);
  if (id < 0)
    tn_json_null(w);
  else
    tn_json_i64(w, id);
}

static void write_eos(tn_json_writer *w, const tn_model_config *c) {
  if (c->eos_more_count == 0) {
    write_token(w, "eos_token_id", c->eos_id);
    return;
  }
  tn_json_key(w, "eos_token_id");
  tn_json_begin_array(w);
  tn_json_i64(w, c->eos_id);
  for (int64_t i = 0; i < c->eos_more_count; i++) tn_json_i64(w, c->eos_more[i]);
  tn_json_end_array(w);
}

/* Both forms: rope_parameters for transformers 5, rope_theta for those before. */
static void write_rope(tn_json_writer *w, const tn_model_config *c) {
  tn_json_key(w, "rope_parameters");
  tn_json_begin_object(w);
  tn_json_key(w, "rope_theta");
  tn_json_f64(w, c->rope_theta);
  tn_json_key(w, "rope_type");
  tn_json_cstr(w, "default");
  tn_json_end_object(w);
  tn_json_key(w, "rope_theta");
  tn_json_f64(w, c->rope_theta);
}

static void write_shape(tn_json_writer *w, const tn_model_config *c) {
  write_i64(w, "head_dim", c->head_dim);
  tn_json_key(w, "hidden_act");
  tn_json_cstr(w, "silu");
  write_i64(w, "hidden_size", c->hidden_size);
  write_i64(w, "intermediate_size", c->intermediate_size);
  write_i64(w, "max_position_embeddings", c->positions_max);
  tn_json_key(w, "mlp_bias");
  tn_json_bool(w, false);
  tn_json_key(w, "model_type");
  tn_json_cstr(w, "llama");
  write_i64(w, "num_attention_heads", c->heads);
  write_i64(w, "num_hidden_layers", c->layers);
  write_i64(w, "num_key_value_heads", c->kv_heads);
  tn_json_key(w, "rms_norm_eps");
  tn_json_f64(w, c->norm_eps);
}

void tn_model_config_write_as(const tn_model_config *config, const char *dtype, tn_strbuf *json) {
  tn_json_writer w = {.out = json, .indent = 2};
  tn_json_begin_object(&w);
  tn_json_key(&w, "architectures");
  tn_json_begin_array(&w);
  tn_json_cstr(&w, "LlamaForCausalLM");
  tn_json_end_array(&w);
  tn_json_key(&w, "attention_bias");
  tn_json_bool(&w, false);
  write_token(&w, "bos_token_id", config->bos_id);
  if (dtype) {
    tn_json_key(&w, "dtype");
    tn_json_cstr(&w, dtype);
  }
  write_eos(&w, config);
  write_shape(&w, config);
  write_rope(&w, config);
  tn_json_key(&w, "tie_word_embeddings");
  tn_json_bool(&w, config->tied);
  write_i64(&w, "vocab_size", config->vocab_size);
  tn_json_end_object(&w);
  tn_strbuf_add_char(json, '\n');
}

void tn_model_config_write(const tn_model_config *config, tn_strbuf *json) {
  tn_model_config_write_as(config, NULL, json);
}
