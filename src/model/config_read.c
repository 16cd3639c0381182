/* SPDX-License-Identifier: Apache-2.0 */
/* config.json, in and out. */
#include <math.h>

#include "base/io.h"
#include "base/log.h"
#include "model/config_keys.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

/* ---- which architecture ---- */

static bool find_class(tn_str name, tn_arch_id *arch, tn_task *task) {
  for (int i = 0; i < TN_ARCH_COUNT; i++) {
    const tn_architecture *a = tn_architecture_of((tn_arch_id)i);
    *arch = (tn_arch_id)i;
    for (int k = 0; k <= TN_TASK_CLASSIFY; k++) {
      *task = (tn_task)k;
      if (a->classes[k] && tn_str_is(name, a->classes[k])) return true;
    }
    for (int k = 0; k < 2; k++) {
      *task = a->other_tasks[k];
      if (a->other_classes[k] && tn_str_is(name, a->other_classes[k])) return true;
    }
  }
  return false;
}

static bool is_type(const tn_architecture *a, tn_str type) {
  return tn_str_is(type, a->model_type) || (a->nested_type && tn_str_is(type, a->nested_type));
}

static bool find_type(tn_str type, tn_arch_id *arch, tn_task *task) {
  for (int i = 0; i < TN_ARCH_COUNT; i++) {
    const tn_architecture *a = tn_architecture_of((tn_arch_id)i);
    if (!is_type(a, type)) continue;
    *arch = (tn_arch_id)i;
    *task = a->classes[TN_TASK_GENERATE] ? TN_TASK_GENERATE : TN_TASK_EMBED;
    return true;
  }
  return false;
}

static tn_status fail_architecture(tn_error *err, const char *what, tn_str found) {
  tn_strbuf known = {0};
  tn_architecture_list(&known);
  tn_status status = tn_strbuf_check(&known, err);
  if (status == TN_OK)
    status = tn_fail(err, TN_ERR_UNSUPPORTED, "%s %.*s is not supported, only %s", what,
                     TN_STR_ARG(found), known.data);
  tn_strbuf_clear(&known);
  return status;
}

static tn_status read_class(const tn_json *list, tn_arch_id *arch, tn_task *task, tn_error *err) {
  if (list->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "architectures is a JSON %s, must be an array",
                   tn_json_kind_name(list->kind));
  for (const tn_json *item = list->first; item; item = item->next)
    if (item->kind == TN_JSON_STRING && find_class(item->text, arch, task)) return TN_OK;
  bool named = list->first && list->first->kind == TN_JSON_STRING;
  return fail_architecture(err, "architecture", named ? list->first->text : TN_STR("(empty)"));
}

static tn_status read_architecture(const tn_json *root, tn_arch_id *arch, tn_task *task,
                                   tn_error *err) {
  const tn_json *list = tn_json_get(root, "architectures");
  tn_str type = {0};
  TN_TRY(tn_json_get_str(root, "model_type", &type, err));
  if (tn_config_absent(list)) {
    if (!type.data)
      return tn_fail(err, TN_ERR_DATA, "neither architectures nor model_type is there");
    return find_type(type, arch, task) ? TN_OK : fail_architecture(err, "model_type", type);
  }
  TN_TRY(read_class(list, arch, task, err));
  if (!type.data || is_type(tn_architecture_of(*arch), type)) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "model_type %.*s is not supported with architecture %s",
                 TN_STR_ARG(type),
                 tn_architecture_of(*arch)->classes[*task]
                     ? tn_architecture_of(*arch)->classes[*task]
                     : tn_architecture_of(*arch)->model_type);
}

/* ---- sizes ---- */

static tn_status read_size(const tn_json *root, const char *key, int64_t *out, tn_error *err) {
  if (tn_config_absent(tn_json_get(root, key)) && *out == 0)
    return tn_fail(err, TN_ERR_DATA, "%s is missing", key);
  return tn_json_get_i64(root, key, INT64_MIN, INT64_MAX, out, err);
}

static tn_status read_optional(const tn_json *root, const char *key, int64_t *out, tn_error *err) {
  return key ? tn_json_get_i64(root, key, INT64_MIN, INT64_MAX, out, err) : TN_OK;
}

static tn_status read_heads(const tn_json *root, const tn_size_keys *keys, tn_model_config *c,
                            tn_error *err) {
  TN_TRY(read_size(root, keys->heads, &c->heads, err));
  if (!keys->kv_heads || c->kv_heads == 0) c->kv_heads = c->heads;
  const tn_json *kv = keys->kv_heads ? tn_json_get(root, keys->kv_heads) : NULL;
  if (kv && kv->kind == TN_JSON_NULL) c->kv_heads = c->heads;
  TN_TRY(read_optional(root, keys->kv_heads, &c->kv_heads, err));
  const tn_json *dim = keys->head_dim ? tn_json_get(root, keys->head_dim) : NULL;
  if (dim && dim->kind == TN_JSON_NULL) c->head_dim = 0;
  TN_TRY(read_optional(root, keys->head_dim, &c->head_dim, err));
  if (!tn_config_absent(dim) && c->head_dim == 0)
    return tn_fail(err, TN_ERR_DATA, "head_dim is 0, must be 1 or more");
  if (c->kv_heads != 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "num_key_value_heads is 0, must be 1 or more");
}

static tn_status read_sizes(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_size_keys *keys = tn_architecture_of(c->arch)->sizes;
  TN_TRY(read_size(root, "vocab_size", &c->vocab_size, err));
  TN_TRY(read_size(root, keys->hidden, &c->hidden_size, err));
  if (c->arch == TN_ARCH_GPT2 && c->hidden_size > 0 && c->hidden_size < INT32_MAX)
    c->intermediate_size = 4 * c->hidden_size; /* where n_inner is null */
  TN_TRY(read_size(root, keys->intermediate, &c->intermediate_size, err));
  TN_TRY(read_size(root, keys->layers, &c->layers, err));
  TN_TRY(read_heads(root, keys, c, err));
  TN_TRY(read_optional(root, keys->positions, &c->positions_max, err));
  TN_TRY(tn_json_get_f64(root, keys->eps, &c->norm_eps, err));
  if (c->norm_eps == 0)
    return tn_fail(err, TN_ERR_DATA, "%s is 0, must be between 0 and 1", keys->eps);
  c->bos_id = -1;
  c->has_pad = !tn_config_absent(tn_json_get(root, "pad_token_id"));
  TN_TRY(read_optional(root, "pad_token_id", &c->pad_id, err));
  return read_optional(root, "bos_token_id", &c->bos_id, err);
}

/* ---- what every architecture has ---- */

typedef struct activation_name {
  const char *name;
  tn_activation activation;
} activation_name;

static const activation_name ACTIVATIONS[] = {
    {"silu", TN_ACT_SILU},           {"swish", TN_ACT_SILU},
    {"gelu", TN_ACT_GELU_ERF},       {"gelu_python", TN_ACT_GELU_ERF},
    {"gelu_new", TN_ACT_GELU_TANH},  {"gelu_pytorch_tanh", TN_ACT_GELU_TANH},
    {"gelu_fast", TN_ACT_GELU_TANH}, {"relu", TN_ACT_RELU}};

static tn_status read_activation(const tn_json *root, tn_model_config *c, tn_error *err) {
  const char *key = tn_architecture_of(c->arch)->sizes->act;
  tn_str name = {0};
  TN_TRY(tn_json_get_str(root, key, &name, err));
  if (!name.data) return TN_OK;
  for (size_t i = 0; i < sizeof ACTIVATIONS / sizeof *ACTIVATIONS; i++)
    if (tn_str_is(name, ACTIVATIONS[i].name)) {
      c->activation = ACTIVATIONS[i].activation;
      return TN_OK;
    }
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "%s %.*s is not supported, only silu, gelu, gelu_new, gelu_pytorch_tanh and relu",
                 key, TN_STR_ARG(name));
}

static tn_status read_eos(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_json *eos = tn_json_get(root, "eos_token_id");
  c->eos_id = -1;
  c->eos_more_count = 0;
  if (tn_config_absent(eos)) return TN_OK;
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

static tn_status check_keys(const tn_json *root, const tn_architecture *a, const char *name,
                            bool strict, tn_error *err) {
  for (const tn_json *item = root->first; item; item = item->next) {
    if (tn_config_knows_key(a, item->key)) continue;
    if (strict)
      return tn_fail(err, TN_ERR_DATA, "key \"%.*s\" is not a key of a %s config.json",
                     TN_STR_ARG(item->key), a->model_type);
    tn_log(TN_LOG_WARN, "model", "%s: key \"%.*s\" is not known and has no effect", name,
           TN_STR_ARG(item->key));
  }
  return TN_OK;
}

/* ---- the whole ---- */

/* The object that the text model is described in: the root, or a member of a multimodal one. */
static const tn_json *text_root(const tn_json *root, const tn_architecture *a) {
  const tn_json *nested = tn_json_get(root, "text_config");
  return a->nested_type && !tn_config_absent(nested) ? nested : root;
}

static tn_status read_root(tn_model_config *c, const tn_json *root, const char *name, bool strict,
                           tn_error *err) {
  tn_arch_id arch = TN_ARCH_LLAMA;
  tn_task task = TN_TASK_GENERATE;
  if (root->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "a JSON %s, must be an object", tn_json_kind_name(root->kind));
  TN_TRY(read_architecture(root, &arch, &task, err));
  const tn_architecture *a = tn_architecture_of(arch);
  const tn_json *text = text_root(root, a);
  *c = a->defaults;
  c->arch = arch;
  c->task = task;
  TN_TRY(check_keys(text, a, name, strict, err));
  TN_TRY(read_activation(text, c, err));
  TN_TRY(read_sizes(text, c, err));
  TN_TRY(read_eos(tn_config_absent(tn_json_get(text, "eos_token_id")) ? root : text, c, err));
  TN_TRY(tn_json_get_bool(root, "tie_word_embeddings", &c->tied, err));
  TN_TRY(tn_json_get_bool(text, "tie_word_embeddings", &c->tied, err));
  TN_TRY(tn_config_read_groups(text, c, err));
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

static tn_status read_generation(tn_model_config *c, const tn_json *root, tn_error *err) {
  if (root->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "a JSON %s, must be an object", tn_json_kind_name(root->kind));
  if (tn_config_absent(tn_json_get(root, "eos_token_id"))) return TN_OK;
  TN_TRY(read_eos(root, c, err));
  return tn_model_config_check(c, err);
}

tn_status tn_model_config_parse_generation(tn_model_config *config, tn_str json, const char *name,
                                           tn_error *err) {
  tn_arena arena = {0};
  tn_json *root = NULL;
  tn_model_config changed = *config;
  tn_status status = tn_json_parse(&root, &arena, json, NULL, err);
  if (status == TN_OK) status = read_generation(&changed, root, err);
  tn_arena_clear(&arena);
  if (status != TN_OK) return tn_error_context(err, status, "%s", name);
  *config = changed;
  return TN_OK;
}

/* ---- writing ---- */

static void write_i64(tn_json_writer *w, const char *key, int64_t value) {
  if (!key) return;
  tn_json_key(w, key);
  tn_json_i64(w, value);
}

static void write_cstr(tn_json_writer *w, const char *key, const char *value) {
  tn_json_key(w, key);
  tn_json_cstr(w, value);
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

static const char *activation_text(const tn_model_config *c) {
  if (c->activation == TN_ACT_GELU_TANH)
    return c->arch == TN_ARCH_GPT2 ? "gelu_new" : "gelu_pytorch_tanh";
  for (size_t i = 0; i < sizeof ACTIVATIONS / sizeof *ACTIVATIONS; i++)
    if (ACTIVATIONS[i].activation == c->activation) return ACTIVATIONS[i].name;
  return "silu";
}

/* What max_position_embeddings means to each. */
static int64_t positions_written(const tn_model_config *c) {
  if (c->rope.kind == TN_ROPE_DYNAMIC) return c->rope.original_positions;
  return c->positions_max + c->position_offset;
}

/* RoBERTa's positions begin behind it. */
static int64_t pad_written(const tn_model_config *c) {
  if (c->position_offset > 0) return c->position_offset - 1;
  return c->has_pad ? c->pad_id : -1;
}

static void write_sizes(tn_json_writer *w, const tn_model_config *c) {
  const tn_size_keys *keys = tn_architecture_of(c->arch)->sizes;
  write_i64(w, "vocab_size", c->vocab_size);
  write_i64(w, keys->hidden, c->hidden_size);
  write_i64(w, keys->intermediate, c->intermediate_size);
  write_i64(w, keys->layers, c->layers);
  write_i64(w, keys->heads, c->heads);
  write_i64(w, keys->kv_heads, c->kv_heads);
  write_i64(w, keys->head_dim, c->head_dim);
  write_i64(w, keys->positions, positions_written(c));
  tn_json_key(w, keys->eps);
  tn_json_f64(w, c->norm_eps);
  write_cstr(w, keys->act, activation_text(c));
}

void tn_model_config_write_as(const tn_model_config *config, const char *dtype, tn_strbuf *json) {
  const tn_architecture *a = tn_architecture_of(config->arch);
  tn_json_writer w = {.out = json, .indent = 2};
  tn_json_begin_object(&w);
  tn_json_key(&w, "architectures");
  tn_json_begin_array(&w);
  tn_json_cstr(&w, tn_model_config_class(config));
  tn_json_end_array(&w);
  write_cstr(&w, "model_type", a->model_type);
  write_token(&w, "bos_token_id", config->bos_id);
  write_token(&w, "pad_token_id", pad_written(config));
  if (dtype) write_cstr(&w, "dtype", dtype);
  write_eos(&w, config);
  write_sizes(&w, config);
  tn_config_write_groups(&w, config);
  tn_json_key(&w, "tie_word_embeddings");
  tn_json_bool(&w, config->tied);
  tn_json_end_object(&w);
  tn_strbuf_add_char(json, '\n');
}

void tn_model_config_write(const tn_model_config *config, tn_strbuf *json) {
  tn_model_config_write_as(config, NULL, json);
}
