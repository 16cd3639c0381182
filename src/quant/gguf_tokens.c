/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/gguf_tokens.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/io.h"
#include "base/json.h"

enum { FILE_BYTES_MAX = 256 << 20 };

/* The numbers of llama.cpp. */
typedef enum token_type {
  TOKEN_NORMAL = 1,
  TOKEN_UNKNOWN = 2,
  TOKEN_CONTROL = 3,
  TOKEN_USER_DEFINED = 4,
  TOKEN_UNUSED = 5,
  TOKEN_BYTE = 6
} token_type;

typedef struct vocabulary {
  tn_arena arena;
  tn_str *tokens;
  uint8_t *types;
  int64_t count;
  bool byte_fallback;
} vocabulary;

/* ---- files ---- */

static tn_status read_json(const char *folder, const char *name, tn_arena *arena, tn_strbuf *text,
                           tn_json **out, tn_error *err) {
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/%s", folder, name);
  tn_status status = tn_strbuf_check(&path, err);
  *out = NULL;
  if (status == TN_OK && tn_file_exists(path.data)) {
    status = tn_file_read(path.data, FILE_BYTES_MAX, text, err);
    if (status == TN_OK) {
      status = tn_json_parse(out, arena, tn_strbuf_view(text), NULL, err);
      if (status != TN_OK) status = tn_error_context(err, status, "%s", path.data);
    }
  }
  tn_strbuf_clear(&path);
  return status;
}

/* ---- tokens and their types ---- */

static tn_status put_token(vocabulary *v, int64_t id, tn_str text, token_type type, tn_error *err) {
  if (id < 0 || id >= v->count)
    return tn_fail(err, TN_ERR_DATA,
                   "tokenizer.json: token \"%.*s\" has id %" PRId64 ", the model has %" PRId64,
                   TN_STR_ARG(text), id, v->count);
  v->tokens[id] = text;
  v->types[id] = (uint8_t)type;
  return TN_OK;
}

static bool is_byte_token(tn_str s) { /* <0x0A> */
  return s.length == 6 && memcmp(s.data, "<0x", 3) == 0 && s.data[5] == '>';
}

static tn_status read_vocab(vocabulary *v, const tn_json *model, tn_error *err) {
  const tn_json *vocab = tn_json_get(model, "vocab");
  tn_str unknown = {0};
  TN_TRY(tn_json_get_str(model, "unk_token", &unknown, err));
  if (!vocab || vocab->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "tokenizer.json: model has no object \"vocab\"");
  for (const tn_json *item = vocab->first; item; item = item->next) {
    if (item->kind != TN_JSON_NUMBER || !item->is_integer)
      return tn_fail(err, TN_ERR_DATA, "tokenizer.json: token \"%.*s\" has no id",
                     TN_STR_ARG(item->key));
    token_type type = v->byte_fallback && is_byte_token(item->key) ? TOKEN_BYTE : TOKEN_NORMAL;
    if (unknown.data && tn_str_equal(item->key, unknown)) type = TOKEN_UNKNOWN;
    TN_TRY(put_token(v, item->integer, item->key, type, err));
  }
  return TN_OK;
}

static tn_status read_added(vocabulary *v, const tn_json *root, tn_error *err) {
  const tn_json *added = tn_json_get(root, "added_tokens");
  for (const tn_json *item = added ? added->first : NULL; item; item = item->next) {
    int64_t id = -1;
    bool special = false;
    tn_str content = {0};
    TN_TRY(tn_json_get_i64(item, "id", 0, INT32_MAX, &id, err));
    TN_TRY(tn_json_get_bool(item, "special", &special, err));
    TN_TRY(tn_json_get_str(item, "content", &content, err));
    if (id >= v->count) continue; /* the model has no such token */
    if (id >= 0 && v->types[id] == TOKEN_UNKNOWN) continue;
    TN_TRY(put_token(v, id, content, special ? TOKEN_CONTROL : TOKEN_USER_DEFINED, err));
  }
  return TN_OK;
}

/* A model may have more rows than its tokenizer has tokens. */
static tn_status fill_rest(vocabulary *v, tn_error *err) {
  for (int64_t i = 0; i < v->count; i++) {
    if (v->tokens[i].data) continue;
    char name[32];
    int length = snprintf(name, sizeof name, "[PAD%" PRId64 "]", i);
    const char *copy = tn_arena_strndup(&v->arena, name, (size_t)length);
    if (!copy) return tn_fail_memory(err, "tokens", (size_t)length);
    v->tokens[i] = (tn_str){copy, (size_t)length};
    v->types[i] = TOKEN_UNUSED;
  }
  return TN_OK;
}

static tn_status read_tokens(vocabulary *v, const tn_json *root, const tn_json *model,
                             int64_t count, tn_error *err) {
  v->count = count;
  v->tokens = tn_arena_alloc(&v->arena, (size_t)count, sizeof *v->tokens);
  v->types = tn_arena_alloc(&v->arena, (size_t)count, sizeof *v->types);
  if (!v->tokens || !v->types)
    return tn_fail_memory(err, "a vocabulary", (size_t)count * sizeof *v->tokens);
  TN_TRY(tn_json_get_bool(model, "byte_fallback", &v->byte_fallback, err));
  TN_TRY(read_vocab(v, model, err));
  TN_TRY(read_added(v, root, err));
  return fill_rest(v, err);
}

/* ---- the pre-tokenizer's name ---- */

/* In the order in which they are looked for: the first pattern inside the text of one names it. */
static const struct {
  const char *part, *name;
} PATTERNS[] = {
    {"\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "llama-bpe"},
    {"\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "qwen2"},
};

static const char *name_of_pattern(tn_str pattern) {
  for (size_t i = 0; i < sizeof PATTERNS / sizeof *PATTERNS; i++)
    if (tn_str_ends(pattern, tn_str_of(PATTERNS[i].part))) return PATTERNS[i].name;
  return NULL;
}

static const char *name_of_step(const tn_json *step) {
  tn_str type = {0};
  bool use_regex = true;
  if (tn_json_get_str(step, "type", &type, NULL) != TN_OK) return NULL;
  if (tn_str_is(type, "ByteLevel"))
    return tn_json_get_bool(step, "use_regex", &use_regex, NULL) == TN_OK && use_regex ? "gpt-2"
                                                                                       : NULL;
  const tn_json *pattern = tn_json_get(tn_json_get(step, "pattern"), "Regex");
  if (!tn_str_is(type, "Split") || !pattern || pattern->kind != TN_JSON_STRING) return NULL;
  return name_of_pattern(pattern->text);
}

static tn_status put_pre_tokenizer(tn_gguf_writer *w, const tn_json *root, tn_error *err) {
  const tn_json *pre = tn_json_get(root, "pre_tokenizer");
  const tn_json *steps = pre ? tn_json_get(pre, "pretokenizers") : NULL;
  const char *name = pre && !steps ? name_of_step(pre) : NULL;
  /* Split by a known pattern, then bytes without a pattern: nothing else may stand there. */
  if (steps && steps->count == 2 && !name_of_step(steps->first->next))
    name = name_of_step(steps->first);
  if (!name)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "tokenizer.json: its pre_tokenizer has no name in GGUF files; GPT-2's, Llama "
                   "3's and Qwen 2's have");
  tn_gguf_put_str(w, "tokenizer.ggml.pre", tn_str_of(name));
  return TN_OK;
}

/* ---- what is put ---- */

static void put_lists(tn_gguf_writer *w, const vocabulary *v) {
  tn_gguf_put_strs(w, "tokenizer.ggml.tokens", v->count);
  for (int64_t i = 0; i < v->count; i++) tn_gguf_item_str(w, v->tokens[i]);
  tn_gguf_put_i32s(w, "tokenizer.ggml.token_type", v->count);
  for (int64_t i = 0; i < v->count; i++) tn_gguf_item_i32(w, v->types[i]);
}

/* "a b", whichever of its two forms a merge has. */
static tn_status put_merge(tn_gguf_writer *w, const tn_json *merge, tn_strbuf *text,
                           tn_error *err) {
  if (merge->kind == TN_JSON_STRING) {
    tn_gguf_item_str(w, merge->text);
    return TN_OK;
  }
  const tn_json *first = merge->first, *second = first ? first->next : NULL;
  if (merge->kind != TN_JSON_ARRAY || merge->count != 2 || first->kind != TN_JSON_STRING ||
      second->kind != TN_JSON_STRING)
    return tn_fail(err, TN_ERR_DATA, "tokenizer.json: a merge is not of two texts");
  tn_strbuf_reset(text);
  tn_strbuf_add_str(text, first->text);
  tn_strbuf_add_char(text, ' ');
  tn_strbuf_add_str(text, second->text);
  TN_TRY(tn_strbuf_check(text, err));
  tn_gguf_item_str(w, tn_strbuf_view(text));
  return TN_OK;
}

static tn_status put_merges(tn_gguf_writer *w, const tn_json *model, tn_error *err) {
  const tn_json *merges = tn_json_get(model, "merges");
  tn_strbuf text = {0};
  tn_status status = TN_OK;
  if (!merges || merges->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "tokenizer.json: model has no list \"merges\"");
  tn_gguf_put_strs(w, "tokenizer.ggml.merges", merges->count);
  for (const tn_json *m = merges->first; m && status == TN_OK; m = m->next)
    status = put_merge(w, m, &text, err);
  tn_strbuf_clear(&text);
  return status;
}

/* SentencePiece's BPE merges what has the highest score first: the order of the vocabulary. */
static void put_scores(tn_gguf_writer *w, const vocabulary *v) {
  tn_gguf_put_f32s(w, "tokenizer.ggml.scores", v->count);
  for (int64_t i = 0; i < v->count; i++) {
    bool merged = v->types[i] == TOKEN_NORMAL;
    tn_gguf_item_f32(w, merged ? -(float)i : v->types[i] == TOKEN_BYTE ? 0.0f : -1000.0f);
  }
}

static tn_status put_model(tn_gguf_writer *w, const vocabulary *v, const tn_json *root,
                           const tn_json *model, tn_error *err) {
  tn_gguf_put_str(w, "tokenizer.ggml.model", v->byte_fallback ? TN_STR("llama") : TN_STR("gpt2"));
  if (!v->byte_fallback) TN_TRY(put_pre_tokenizer(w, root, err));
  put_lists(w, v);
  if (!v->byte_fallback) return put_merges(w, model, err);
  put_scores(w, v);
  return TN_OK;
}

static void put_special(tn_gguf_writer *w, const tn_model_config *c) {
  if (c->bos_id >= 0 && c->bos_id < c->vocab_size)
    tn_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos_id);
  if (c->eos_id >= 0 && c->eos_id < c->vocab_size)
    tn_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)c->eos_id);
}

static tn_status put_vocabulary(tn_gguf_writer *w, const tn_json *root, const tn_model_config *c,
                                tn_error *err) {
  const tn_json *model = tn_json_get(root, "model");
  tn_str type = {0};
  vocabulary v = {0};
  if (!model) return tn_fail(err, TN_ERR_DATA, "tokenizer.json: has no model");
  TN_TRY(tn_json_get_str(model, "type", &type, err));
  if (type.data && !tn_str_is(type, "BPE"))
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "tokenizer.json: model %.*s is not written to GGUF files, only BPE",
                   TN_STR_ARG(type));
  tn_status status = read_tokens(&v, root, model, c->vocab_size, err);
  if (status == TN_OK) status = put_model(w, &v, root, model, err);
  tn_arena_clear(&v.arena);
  return status;
}

/* tokenizer_config.json: add_bos_token, add_eos_token, and the template where it has one. */
static tn_status put_config(tn_gguf_writer *w, const tn_json *config, tn_error *err) {
  static const char *const keys[] = {"add_bos_token", "add_eos_token"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const tn_json *value = tn_json_get(config, keys[i]);
    char key[64];
    if (!value || value->kind != TN_JSON_BOOL) continue;
    snprintf(key, sizeof key, "tokenizer.ggml.%s", keys[i]);
    tn_gguf_put_bool(w, key, value->boolean);
  }
  tn_str chat = {0};
  const tn_json *value = tn_json_get(config, "chat_template");
  if (!value || value->kind != TN_JSON_STRING) return TN_OK;
  TN_TRY(tn_json_get_str(config, "chat_template", &chat, err));
  tn_gguf_put_str(w, "tokenizer.chat_template", chat);
  return TN_OK;
}

static tn_status put_template_file(tn_gguf_writer *w, const char *folder, tn_error *err) {
  tn_strbuf path = {0}, text = {0};
  tn_strbuf_addf(&path, "%s/chat_template.jinja", folder);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK && tn_file_exists(path.data)) {
    status = tn_file_read(path.data, FILE_BYTES_MAX, &text, err);
    if (status == TN_OK) tn_gguf_put_str(w, "tokenizer.chat_template", tn_strbuf_view(&text));
  }
  tn_strbuf_clear(&path);
  tn_strbuf_clear(&text);
  return status;
}

tn_status tn_gguf_put_tokens(tn_gguf_writer *w, const char *folder, const tn_model_config *config,
                             tn_error *err) {
  tn_arena arena = {0};
  tn_strbuf text = {0}, more = {0};
  tn_json *root, *settings = NULL;
  tn_status status = read_json(folder, "tokenizer.json", &arena, &text, &root, err);
  if (status == TN_OK && !root)
    status = tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no tokenizer.json", folder);
  if (status == TN_OK) status = put_vocabulary(w, root, config, err);
  if (status == TN_OK) put_special(w, config);
  if (status == TN_OK)
    status = read_json(folder, "tokenizer_config.json", &arena, &more, &settings, err);
  if (status == TN_OK && settings) status = put_config(w, settings, err);
  const tn_json *own = settings ? tn_json_get(settings, "chat_template") : NULL;
  if (status == TN_OK && !(own && own->kind == TN_JSON_STRING))
    status = put_template_file(w, folder, err);
  tn_arena_clear(&arena);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&more);
  return status;
}
