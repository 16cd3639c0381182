/* SPDX-License-Identifier: Apache-2.0 */
/* The files of sentence-transformers that say what comes behind the transformer. */
#include "base/io.h"
#include "model/config_keys.h"
#include "model/encoder.h"

enum { FILE_BYTES_MAX = 1 << 20 };

typedef struct json_file {
  tn_strbuf path, text;
  tn_arena arena;
  tn_json *root; /* NULL: the file is not there */
} json_file;

static void clear_file(json_file *f) {
  tn_arena_clear(&f->arena);
  tn_strbuf_clear(&f->text);
  tn_strbuf_clear(&f->path);
}

/* folder/sub/name; the caller clears it, also after a failure. */
static tn_status read_file(json_file *f, const char *folder, tn_str sub, const char *name,
                           tn_error *err) {
  *f = (json_file){0};
  tn_strbuf_addf(&f->path, "%s/%.*s%s%s", folder, TN_STR_ARG(sub), sub.length ? "/" : "", name);
  TN_TRY(tn_strbuf_check(&f->path, err));
  if (!tn_file_exists(f->path.data)) return TN_OK;
  TN_TRY(tn_file_read(f->path.data, FILE_BYTES_MAX, &f->text, err));
  tn_status status = tn_json_parse(&f->root, &f->arena, tn_strbuf_view(&f->text), NULL, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", f->path.data);
}

/* ---- pooling ---- */

typedef struct pooling_key {
  const char *key;
  tn_pooling pooling;
} pooling_key;

static const pooling_key POOLING_KEYS[] = {
    {"pooling_mode_cls_token", TN_POOL_FIRST},
    {"pooling_mode_max_tokens", TN_POOL_MAX},
    {"pooling_mode_mean_tokens", TN_POOL_MEAN},
    {"pooling_mode_mean_sqrt_len_tokens", TN_POOL_MEAN_SQRT},
    {"pooling_mode_weightedmean_tokens", TN_POOL_WEIGHTED_MEAN},
    {"pooling_mode_lasttoken", TN_POOL_LAST}};

/* The older form: a truth value for each. */
static tn_status read_pooling_keys(const tn_json *root, tn_encoder_form *form, tn_error *err) {
  int found = 0;
  for (size_t i = 0; i < sizeof POOLING_KEYS / sizeof *POOLING_KEYS; i++) {
    bool on = false;
    TN_TRY(tn_json_get_bool(root, POOLING_KEYS[i].key, &on, err));
    if (on) form->pooling = POOLING_KEYS[i].pooling;
    found += on;
  }
  if (found <= 1) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%d poolings side by side are not supported, only one",
                 found);
}

static tn_status read_pooling_root(const tn_json *root, tn_encoder_form *form, tn_error *err) {
  bool included = true;
  TN_TRY(tn_json_get_bool(root, "include_prompt", &included, err));
  form->prompt_excluded = !included;
  const tn_json *mode = tn_json_get(root, "pooling_mode");
  if (tn_config_absent(mode)) return read_pooling_keys(root, form, err);
  if (mode->kind == TN_JSON_ARRAY && mode->count == 1) mode = mode->first;
  if (mode->kind == TN_JSON_STRING && tn_pooling_of_name(mode->text, &form->pooling)) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "pooling_mode is not one of mean, cls, lasttoken, max, mean_sqrt_len_tokens and "
                 "weightedmean");
}

static tn_status read_pooling(const char *folder, tn_str path, tn_encoder_form *form,
                              tn_error *err) {
  json_file f;
  tn_status status = read_file(&f, folder, path, "config.json", err);
  if (status == TN_OK && !f.root)
    status = tn_fail(err, TN_ERR_NOT_FOUND, "%s: is not there, modules.json names it", f.path.data);
  if (status == TN_OK) {
    status = read_pooling_root(f.root, form, err);
    if (status != TN_OK) status = tn_error_context(err, status, "%s", f.path.data);
  }
  clear_file(&f);
  return status;
}

/* ---- modules ---- */

/* "sentence_transformers.models.Pooling" and, since 5, "....modules.pooling.Pooling" */
static bool is_module(tn_str type, const char *name) {
  tn_str wanted = tn_str_of(name);
  return tn_str_ends(type, wanted) && type.length > wanted.length &&
         type.data[type.length - wanted.length - 1] == '.';
}

/* A sub-folder of this folder, nothing that leads out of it. */
static bool is_plain_path(tn_str path) {
  return path.length < 200 && !memchr(path.data, '/', path.length) &&
         !memchr(path.data, '\0', path.length) && !tn_str_starts(path, TN_STR(".."));
}

static tn_status read_module(const tn_json *module, const char *folder, tn_encoder_form *form,
                             tn_error *err) {
  tn_str type = TN_STR(""), path = TN_STR("");
  TN_TRY(tn_json_get_str(module, "type", &type, err));
  TN_TRY(tn_json_get_str(module, "path", &path, err));
  if (path.length > 0 && !is_plain_path(path))
    return tn_fail(err, TN_ERR_DATA, "modules.json: path \"%.*s\" is no folder in this one",
                   TN_STR_ARG(path));
  if (is_module(type, "Transformer")) {
    memcpy(form->model, path.data, path.length);
    form->model[path.length] = '\0';
    return TN_OK;
  }
  if (is_module(type, "Pooling")) return read_pooling(folder, path, form, err);
  if (is_module(type, "Normalize")) {
    form->normalised = true;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "modules.json: module \"%.*s\" is not supported, only Transformer, Pooling and "
                 "Normalize",
                 TN_STR_ARG(type));
}

static tn_status read_modules(const tn_json *root, const char *folder, tn_encoder_form *form,
                              tn_error *err) {
  if (root->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "modules.json: a JSON %s, must be an array",
                   tn_json_kind_name(root->kind));
  for (const tn_json *m = root->first; m; m = m->next) TN_TRY(read_module(m, folder, form, err));
  return TN_OK;
}

/* ---- lengths and scores ---- */

static tn_status read_length(const char *folder, tn_encoder_form *form, tn_error *err) {
  json_file f;
  tn_status status =
      read_file(&f, folder, tn_str_of(form->model), "sentence_bert_config.json", err);
  if (status == TN_OK && f.root)
    status = tn_json_get_i64(f.root, "max_seq_length", 1, INT32_MAX, &form->tokens_max, err);
  clear_file(&f);
  return status;
}

/* config.json of a cross-encoder: which function it applies to a single score. */
static tn_status read_activation(const char *folder, tn_encoder_form *form, tn_error *err) {
  json_file f;
  tn_str name = TN_STR("");
  tn_status status = read_file(&f, folder, tn_str_of(form->model), "config.json", err);
  if (status == TN_OK && f.root)
    status = tn_json_get_str(f.root, "sbert_ce_default_activation_function", &name, err);
  if (status == TN_OK && f.root)
    status =
        tn_json_get_str(tn_json_get(f.root, "sentence_transformers"), "activation_fn", &name, err);
  if (status == TN_OK && name.length > 0) {
    form->raw_scores = tn_str_ends(name, TN_STR(".Identity"));
    if (!form->raw_scores && !tn_str_ends(name, TN_STR(".Sigmoid")))
      status = tn_fail(err, TN_ERR_UNSUPPORTED,
                       "%s: activation %.*s is not supported, only Identity and Sigmoid",
                       f.path.data, TN_STR_ARG(name));
  }
  clear_file(&f);
  return status;
}

/* ---- token types ---- */

/* Whether transformers' tokenizer of that name makes token types, where its file does not say. */
static bool makes_types(tn_str name) {
  static const char *const without[] = {
      "PreTrainedTokenizer", "TokenizersBackend", "Roberta", "XLMRoberta", "MPNet", "DistilBert"};
  for (size_t i = 0; i < sizeof without / sizeof *without; i++)
    if (tn_str_starts(name, tn_str_of(without[i]))) return false;
  return true;
}

static bool lists_types(const tn_json *inputs) {
  for (const tn_json *i = inputs->first; i; i = i->next)
    if (i->kind == TN_JSON_STRING && tn_str_is(i->text, "token_type_ids")) return true;
  return false;
}

static tn_status read_types(const char *folder, tn_encoder_form *form, tn_error *err) {
  json_file f;
  tn_str name = TN_STR("");
  tn_status status = read_file(&f, folder, tn_str_of(form->model), "tokenizer_config.json", err);
  if (status == TN_OK && f.root) status = tn_json_get_str(f.root, "tokenizer_class", &name, err);
  if (status == TN_OK && f.root) {
    const tn_json *inputs = tn_json_get(f.root, "model_input_names");
    form->untyped = tn_config_absent(inputs) ? !makes_types(name) : !lists_types(inputs);
  }
  clear_file(&f);
  return status;
}

/* ---- prompts ---- */

/* name NULL: the file's own choice, often none. */
static tn_status read_prompt(const char *folder, const char *name, tn_encoder_form *form,
                             tn_error *err) {
  json_file f;
  tn_str wanted = tn_str_of(name ? name : ""), text = TN_STR("");
  tn_status status = read_file(&f, folder, TN_STR(""), "config_sentence_transformers.json", err);
  if (status == TN_OK && f.root && !name)
    status = tn_json_get_str(f.root, "default_prompt_name", &wanted, err);
  const tn_json *prompts = status == TN_OK ? tn_json_get(f.root, "prompts") : NULL;
  bool there = false;
  for (const tn_json *p = prompts ? prompts->first : NULL; p && wanted.length > 0; p = p->next)
    if (p->kind == TN_JSON_STRING && tn_str_equal(p->key, wanted)) {
      text = p->text;
      there = true;
    }
  if (status == TN_OK && wanted.length > 0 && !there)
    status = tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no prompt \"%.*s\"", f.path.data,
                     TN_STR_ARG(wanted));
  if (status == TN_OK && text.length >= sizeof form->prompt)
    status = tn_fail(err, TN_ERR_LIMIT, "%s: a prompt has %zu bytes, limit %zu", f.path.data,
                     text.length, sizeof form->prompt - 1);
  if (status == TN_OK && text.length > 0 && form->prompt_excluded)
    status = tn_fail(err, TN_ERR_UNSUPPORTED,
                     "%s: include_prompt false with a prompt is not supported", f.path.data);
  if (status == TN_OK) {
    memcpy(form->prompt, text.data, text.length);
    form->prompt[text.length] = '\0';
  }
  clear_file(&f);
  return status;
}

tn_status tn_encoder_form_prompt(tn_encoder_form *form, const char *folder, const char *name,
                                 tn_error *err) {
  return read_prompt(folder, name, form, err);
}

tn_status tn_encoder_form_read(tn_encoder_form *out, const char *folder, tn_error *err) {
  json_file f;
  tn_encoder_form form = {.pooling = TN_POOL_MEAN};
  tn_status status = read_file(&f, folder, TN_STR(""), "modules.json", err);
  if (status == TN_OK && f.root)
    status = read_modules(f.root, folder, &form, err);
  else
    form.normalised = true;
  clear_file(&f);
  if (status == TN_OK) status = read_length(folder, &form, err);
  if (status == TN_OK) status = read_activation(folder, &form, err);
  if (status == TN_OK) status = read_types(folder, &form, err);
  if (status == TN_OK) status = read_prompt(folder, NULL, &form, err);
  if (status != TN_OK) return tn_error_context(err, status, "%s", folder);
  *out = form;
  return TN_OK;
}
