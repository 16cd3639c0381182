/* SPDX-License-Identifier: Apache-2.0 */
#include "model/chat_template.h"

#include <stdio.h>

#include "base/io.h"
#include "model/gguf.h"

enum { CONFIG_BYTES_MAX = 64 << 20 };

struct tn_chat_template {
  tn_jinja *plain, *with_tools; /* with_tools NULL: plain serves both */
  tn_strbuf config;             /* tokenizer_config.json */
  tn_arena arena;
  const tn_json *root; /* of the config; NULL: none */
  bool knows_developer;
};

void tn_chat_template_free(tn_chat_template *t) {
  if (!t) return;
  tn_jinja_free(t->plain);
  tn_jinja_free(t->with_tools);
  tn_strbuf_clear(&t->config);
  tn_arena_clear(&t->arena);
  tn_free(t);
}

/* ---- opening ---- */
static bool holds(tn_str text, const char *part) {
  return tn_str_find(text, tn_str_of(part)) >= 0;
}

static tn_status compile(tn_chat_template *t, tn_jinja **slot, const char *label, tn_str text,
                         tn_error *err) {
  t->knows_developer |= holds(text, "'developer'") || holds(text, "\"developer\"");
  return tn_jinja_compile(slot, label, text, err);
}

static tn_status compile_file(tn_chat_template *t, const char *path, tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_file_read(path, (size_t)1 << 20, &text, err);
  if (status == TN_OK) status = compile(t, &t->plain, path, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status read_config(tn_chat_template *t, const char *folder, tn_error *err) {
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/tokenizer_config.json", folder);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK && tn_file_exists(path.data)) {
    tn_json *root = NULL;
    status = tn_file_read(path.data, CONFIG_BYTES_MAX, &t->config, err);
    if (status == TN_OK) {
      status = tn_json_parse(&root, &t->arena, tn_strbuf_view(&t->config), NULL, err);
      if (status != TN_OK) status = tn_error_context(err, status, "%s", path.data);
    }
    t->root = root;
  }
  tn_strbuf_clear(&path);
  return status;
}

/* One template of the config's list; the text is in the config's tree. */
static tn_status take_named(tn_chat_template *t, const tn_json *item, const char *folder,
                            tn_error *err) {
  tn_str name = {0}, text = {0};
  TN_TRY(tn_json_get_str(item, "name", &name, err));
  TN_TRY(tn_json_get_str(item, "template", &text, err));
  tn_jinja **slot = tn_str_is(name, "default")    ? &t->plain
                    : tn_str_is(name, "tool_use") ? &t->with_tools
                                                  : NULL;
  if (!slot || *slot || !text.data) return TN_OK;
  char label[300];
  snprintf(label, sizeof label, "%.200s: chat template \"%.*s\"", folder, TN_STR_ARG(name));
  return compile(t, slot, label, text, err);
}

static tn_status take_from_config(tn_chat_template *t, const char *folder, tn_error *err) {
  const tn_json *given = tn_json_get(t->root, "chat_template");
  if (!given || given->kind == TN_JSON_NULL) return TN_OK;
  if (given->kind == TN_JSON_STRING) {
    char label[300];
    snprintf(label, sizeof label, "%.200s: chat template", folder);
    return compile(t, &t->plain, label, given->text, err);
  }
  if (given->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "%s/tokenizer_config.json: chat_template is a JSON %s", folder,
                   tn_json_kind_name(given->kind));
  for (const tn_json *item = given->first; item; item = item->next)
    TN_TRY(take_named(t, item, folder, err));
  return TN_OK;
}

static tn_status open_folder(tn_chat_template *t, const char *folder, tn_error *err) {
  TN_TRY(read_config(t, folder, err));
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/chat_template.jinja", folder);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK && tn_file_exists(path.data))
    status = compile_file(t, path.data, err);
  else if (status == TN_OK && t->root)
    status = take_from_config(t, folder, err);
  tn_strbuf_clear(&path);
  return status;
}

/* The token whose number the metadata has under `key`, as tokenizer_config.json names it. */
static tn_status add_token(tn_json_writer *w, const tn_gguf *g, const char *key, const char *name,
                           tn_error *err) {
  const tn_gguf_value *tokens;
  int64_t id = -1;
  TN_TRY(tn_gguf_get_array(g, "tokenizer.ggml.tokens", TN_GGUF_STRING, &tokens, err));
  TN_TRY(tn_gguf_get_i64(g, key, 0, UINT32_MAX, &id, err));
  if (!tokens || id < 0 || id >= tokens->count) return TN_OK;
  tn_json_key(w, name);
  tn_json_str(w, tokens->strings[id]);
  return TN_OK;
}

/* As the tokenizer_config.json that such a file was made from. */
static tn_status write_config(tn_chat_template *t, const tn_gguf *g, tn_error *err) {
  tn_json_writer w = {.out = &t->config};
  tn_str text = {0};
  TN_TRY(tn_gguf_get_str(g, "tokenizer.chat_template", &text, err));
  tn_json_begin_object(&w);
  TN_TRY(add_token(&w, g, "tokenizer.ggml.bos_token_id", "bos_token", err));
  TN_TRY(add_token(&w, g, "tokenizer.ggml.eos_token_id", "eos_token", err));
  TN_TRY(add_token(&w, g, "tokenizer.ggml.unknown_token_id", "unk_token", err));
  TN_TRY(add_token(&w, g, "tokenizer.ggml.padding_token_id", "pad_token", err));
  if (text.data) {
    tn_json_key(&w, "chat_template");
    tn_json_str(&w, text);
  }
  tn_json_end_object(&w);
  return tn_strbuf_check(&t->config, err);
}

static tn_status open_gguf(tn_chat_template *t, const char *path, tn_error *err) {
  tn_gguf *g;
  tn_json *root = NULL;
  TN_TRY(tn_gguf_open(&g, path, err));
  tn_status status = write_config(t, g, err);
  tn_gguf_close(g);
  if (status == TN_OK)
    status = tn_json_parse(&root, &t->arena, tn_strbuf_view(&t->config), NULL, err);
  t->root = root;
  return status == TN_OK ? take_from_config(t, path, err) : status;
}

tn_status tn_chat_template_open(tn_chat_template **out, const char *path, tn_error *err) {
  tn_chat_template *t = tn_alloc(1, sizeof *t);
  *out = NULL;
  if (!t) return tn_fail_memory(err, "a chat template", sizeof *t);
  tn_status status = tn_dir_exists(path)     ? open_folder(t, path, err)
                     : tn_gguf_is_file(path) ? open_gguf(t, path, err)
                                             : compile_file(t, path, err);
  if (status != TN_OK || !t->plain) {
    tn_chat_template_free(t);
    return status;
  }
  *out = t;
  return TN_OK;
}

bool tn_chat_template_knows_developer(const tn_chat_template *t) {
  return t->knows_developer;
}

/* ---- rendering ---- */
typedef struct variables { /* a JSON object under construction, in an arena */
  tn_arena *arena;
  tn_json *object, *last;
} variables;

/* A shallow copy of `from` as a member; children are shared. */
static void add(variables *v, const char *key, const tn_json *from) {
  tn_json *copy = tn_arena_alloc(v->arena, 1, sizeof *copy);
  if (!copy) return; /* the arena's sticky flag tells */
  *copy = *from;
  copy->key = tn_str_of(key);
  copy->next = NULL;
  if (v->last)
    v->last->next = copy;
  else
    v->object->first = copy;
  v->last = copy;
  v->object->count++;
}

/* A special token is a string, or an object that holds it in "content". */
static void add_special(variables *v, const tn_json *config, const char *key) {
  const tn_json *token = tn_json_get(config, key);
  if (token && token->kind == TN_JSON_OBJECT) token = tn_json_get(token, "content");
  if (token && token->kind == TN_JSON_STRING) add(v, key, token);
}

tn_status tn_chat_template_render(const tn_chat_template *t, const tn_chat *chat,
                                  const tn_jinja_options *options, tn_strbuf *out, tn_error *err) {
  static const char *const specials[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};
  static const tn_json none = {.kind = TN_JSON_NULL};
  const tn_json generation = {.kind = TN_JSON_BOOL, .boolean = !chat->continue_last};
  tn_arena arena = {0};
  tn_json object = {.kind = TN_JSON_OBJECT};
  variables v = {&arena, &object, NULL};
  for (size_t i = 0; t->root && i < sizeof specials / sizeof specials[0]; i++)
    add_special(&v, t->root, specials[i]);
  add(&v, "messages", chat->messages);
  add(&v, "tools", chat->tools ? chat->tools : &none);
  add(&v, "documents", &none);
  add(&v, "add_generation_prompt", &generation);
  for (const tn_json *m = chat->extra ? chat->extra->first : NULL; m; m = m->next) {
    char *key = tn_arena_strndup(&arena, m->key.data, m->key.length);
    if (key) add(&v, key, m);
  }
  const tn_jinja *jinja = chat->tools && t->with_tools ? t->with_tools : t->plain;
  tn_status status = arena.failed ? tn_fail_memory(err, "a chat's variables", arena.used_bytes)
                                  : tn_jinja_render(jinja, &object, options, out, err);
  tn_arena_clear(&arena);
  return status;
}
