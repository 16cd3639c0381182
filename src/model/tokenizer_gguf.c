/* tokenizer_gguf.c - the vocabulary in a GGUF file's metadata; see tokenizer_foreign.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gguf.h"
#include "model/tokenizer_foreign.h"
#include "model/tokenizer_json.h"

#define KEY(name) "tokenizer.ggml." name

static tn_status read_kind(const tn_gguf *file, tn_vocab_kind *out, tn_error *err) {
  static const struct {
    const char *name;
    tn_vocab_kind kind;
  } kinds[] = {{"gpt2", TN_VOCAB_BYTE_BPE},
               {"llama", TN_VOCAB_SCORE_BPE},
               {"t5", TN_VOCAB_UNIGRAM},
               {"bert", TN_VOCAB_WORDPIECE}};
  tn_str model = {NULL, 0};
  TN_TRY(tn_gguf_get_str(file, KEY("model"), &model, err));
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (!tn_str_is(model, kinds[i].name)) continue;
    *out = kinds[i].kind;
    return TN_OK;
  }
  return tn_json_unsupported(err, "GGUF tokenizer (gpt2, llama, t5 and bert are known)", model);
}

static tn_status read_ids(const tn_gguf *file, tn_vocab *v, tn_error *err) {
  const struct {
    const char *key;
    int64_t *out;
  } ids[] = {{KEY("unknown_token_id"), &v->unk_id},
             {KEY("bos_token_id"), &v->bos_id},
             {KEY("eos_token_id"), &v->eos_id},
             {KEY("cls_token_id"), &v->cls_id},
             {KEY("seperator_token_id"), &v->sep_id}}; /* the format's own spelling */
  for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
    *ids[i].out = -1;
    TN_TRY(tn_gguf_get_i64(file, ids[i].key, 0, UINT32_MAX, ids[i].out, err));
    if (*ids[i].out >= v->count) *ids[i].out = -1;
  }
  if (v->cls_id < 0) v->cls_id = v->bos_id;
  if (v->sep_id < 0) v->sep_id = v->eos_id;
  return TN_OK;
}

static tn_status read_flags(const tn_gguf *file, tn_vocab *v, tn_error *err) {
  const struct {
    const char *key;
    int32_t *out;
  } ends[] = {{KEY("add_bos_token"), &v->add_bos}, {KEY("add_eos_token"), &v->add_eos}};
  for (int i = 0; i < 2; i++) {
    bool value = false;
    *ends[i].out = -1;
    TN_TRY(tn_gguf_get_bool(file, ends[i].key, &value, err));
    if (tn_gguf_find(file, ends[i].key)) *ends[i].out = value;
  }
  v->prefix = true;
  TN_TRY(tn_gguf_get_bool(file, KEY("add_space_prefix"), &v->prefix, err));
  return tn_gguf_get_bool(file, KEY("remove_extra_whitespaces"), &v->squeeze, err);
}

static tn_status read_scores(const tn_gguf *file, tn_vocab *v, tn_arena *arena, tn_error *err) {
  const tn_gguf_value *scores;
  TN_TRY(tn_gguf_get_array(file, KEY("scores"), TN_GGUF_F64, &scores, err));
  if (!scores || scores->count != v->count)
    return tn_fail(err, TN_ERR_DATA, KEY("scores") ": %lld for %lld tokens",
                   scores ? (long long)scores->count : 0, (long long)v->count);
  double *out = tn_arena_alloc(arena, (size_t)v->count, sizeof *out);
  if (!out) return tn_fail_memory(err, "scores", (size_t)v->count * sizeof *out);
  for (int64_t i = 0; i < v->count; i++) tn_gguf_item_f64(scores, i, &out[i]);
  v->scores = out;
  return TN_OK;
}

static tn_status read_types(const tn_gguf *file, tn_vocab *v, tn_arena *arena, tn_error *err) {
  const tn_gguf_value *types;
  TN_TRY(tn_gguf_get_array(file, KEY("token_type"), TN_GGUF_I64, &types, err));
  if (!types) return TN_OK;
  if (types->count != v->count)
    return tn_fail(err, TN_ERR_DATA, KEY("token_type") ": %lld for %lld tokens",
                   (long long)types->count, (long long)v->count);
  uint8_t *out = tn_arena_alloc(arena, (size_t)v->count, 1);
  if (!out) return tn_fail_memory(err, "token types", (size_t)v->count);
  for (int64_t i = 0; i < v->count; i++) {
    int64_t type = 0;
    tn_gguf_item_i64(types, i, &type);
    out[i] = type >= 1 && type <= 6 ? (uint8_t)type : TN_PIECE_NORMAL;
    v->byte_fallback = v->byte_fallback || out[i] == TN_PIECE_BYTE;
  }
  v->types = out;
  return TN_OK;
}

static tn_status read_charsmap(const tn_gguf *file, tn_vocab *v, tn_arena *arena, tn_error *err) {
  const tn_gguf_value *map;
  TN_TRY(tn_gguf_get_array(file, KEY("precompiled_charsmap"), TN_GGUF_I64, &map, err));
  if (!map || !map->count) return TN_OK;
  char *out = tn_arena_alloc(arena, (size_t)map->count, 1);
  if (!out) return tn_fail_memory(err, "a charsmap", (size_t)map->count);
  for (int64_t i = 0; i < map->count; i++) {
    int64_t byte = 0;
    tn_gguf_item_i64(map, i, &byte);
    out[i] = (char)byte;
  }
  v->charsmap = (tn_str){out, (size_t)map->count};
  return TN_OK;
}

static tn_status read_vocab(const tn_gguf *file, tn_vocab *v, tn_arena *arena, tn_error *err) {
  const tn_gguf_value *tokens, *merges;
  TN_TRY(read_kind(file, &v->kind, err));
  TN_TRY(tn_gguf_get_array(file, KEY("tokens"), TN_GGUF_STRING, &tokens, err));
  if (!tokens || !tokens->count) return tn_fail(err, TN_ERR_DATA, KEY("tokens") " is missing");
  v->count = tokens->count;
  v->tokens = tokens->strings;
  TN_TRY(read_ids(file, v, err));
  TN_TRY(read_flags(file, v, err));
  TN_TRY(read_types(file, v, arena, err));
  if (v->kind == TN_VOCAB_SCORE_BPE || v->kind == TN_VOCAB_UNIGRAM)
    TN_TRY(read_scores(file, v, arena, err));
  if (v->kind == TN_VOCAB_UNIGRAM) return read_charsmap(file, v, arena, err);
  if (v->kind != TN_VOCAB_BYTE_BPE) return TN_OK;
  TN_TRY(tn_gguf_get_str(file, KEY("pre"), &v->pre, err));
  TN_TRY(tn_gguf_get_array(file, KEY("merges"), TN_GGUF_STRING, &merges, err));
  if (!merges) return tn_fail(err, TN_ERR_DATA, KEY("merges") " is missing");
  v->merges = merges->strings;
  v->merge_count = merges->count;
  return TN_OK;
}

tn_status tn_gguf_vocab(const char *path, tn_strbuf *json, tn_error *err) {
  tn_gguf *file;
  tn_arena arena = {0};
  tn_vocab vocab = {0};
  TN_TRY(tn_gguf_open(&file, path, err));
  tn_status status = read_vocab(file, &vocab, &arena, err);
  if (status == TN_OK) status = tn_vocab_write(&vocab, json, err);
  if (status != TN_OK) status = tn_error_context(err, status, "%s", path);
  tn_arena_clear(&arena);
  tn_gguf_close(file);
  return status;
}
