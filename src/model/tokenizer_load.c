/* tokenizer_load.c - tokenizer.json into a tn_tokenizer: the vocabulary, the added tokens, and the
 * parts, each of which reads its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "model/tokenizer_internal.h"
#include "model/tokenizer_json.h"

/* ---- vocabulary
 * ----------------------------------------------------------------------------------- */
static tn_status check_id(const tn_json *value, tn_str token, tn_error *err) {
  if (value->kind == TN_JSON_NUMBER && value->is_integer && value->integer >= 0 &&
      value->integer <= TN_TOKENIZER_ID_MAX)
    return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "token \"%.*s\" has id %.*s, expected 0 to %d", TN_SHOWN(token),
                 (int)(value->text.length > 24 ? 24 : value->text.length),
                 value->text.data ? value->text.data : "?", TN_TOKENIZER_ID_MAX);
}

/* An object's values are the ids; an array's items (Unigram) stand in the order of theirs. */
static tn_status count_vocab(const tn_json *vocab, int64_t *highest, tn_error *err) {
  if (vocab->kind == TN_JSON_ARRAY) {
    *highest = vocab->count - 1;
    if (*highest <= TN_TOKENIZER_ID_MAX) return tn_unigram_check(vocab, err);
    return tn_fail(err, TN_ERR_LIMIT, "a vocabulary of %lld, limit %d", (long long)vocab->count,
                   TN_TOKENIZER_ID_MAX + 1);
  }
  for (const tn_json *v = vocab->first; v; v = v->next) {
    TN_TRY(check_id(v, v->key, err));
    if (v->integer > *highest) *highest = v->integer;
  }
  return TN_OK;
}

static tn_status count_ids(tn_tokenizer *t, const tn_json *vocab, const tn_json *added,
                           tn_error *err) {
  int64_t highest = -1;
  TN_TRY(count_vocab(vocab, &highest, err));
  for (const tn_json *a = added ? added->first : NULL; a; a = a->next) {
    const tn_json *id = tn_json_get(a, "id");
    if (!id) return tn_fail(err, TN_ERR_DATA, "an added token without \"id\"");
    TN_TRY(check_id(id, tn_json_text(a, "content"), err));
    if (id->integer > highest) highest = id->integer;
  }
  if (highest < 0) return tn_fail(err, TN_ERR_DATA, "the vocabulary is empty");
  t->id_count = (int32_t)highest + 1;
  tn_str **const tables[] = {&t->written, &t->decoded, &t->bytes};
  for (int i = 0; i < 3; i++) {
    *tables[i] = tn_arena_alloc(&t->arena, (size_t)t->id_count, sizeof(tn_str));
    if (!*tables[i])
      return tn_fail_memory(err, "a vocabulary", (size_t)t->id_count * sizeof(tn_str));
  }
  t->specials = tn_arena_alloc(&t->arena, (size_t)t->id_count, 1);
  return t->specials ? TN_OK : tn_fail_memory(err, "a vocabulary", (size_t)t->id_count);
}

static tn_status add_written(tn_tokenizer *t, tn_str token, int32_t id, tn_error *err) {
  if (t->written[id].data)
    return tn_fail(err, TN_ERR_DATA, "id %d belongs to \"%.*s\" and to \"%.*s\"", id,
                   TN_SHOWN(t->written[id]), TN_SHOWN(token));
  char *copy = tn_arena_strndup(&t->arena, token.data ? token.data : "", token.length);
  if (!copy) return tn_fail_memory(err, "a token", token.length);
  t->written[id] = t->decoded[id] = (tn_str){copy, token.length};
  return TN_OK;
}

static tn_status load_array(tn_tokenizer *t, const tn_json *vocab, tn_error *err) {
  int32_t id = 0;
  for (const tn_json *v = vocab->first; v; v = v->next, id++) {
    TN_TRY(add_written(t, v->first->text, id, err));
    TN_TRY(tn_map_put(&t->ids, v->first->text, (uint64_t)id, err));
  }
  return TN_OK;
}

static tn_status load_vocab(tn_tokenizer *t, const tn_json *vocab, tn_error *err) {
  if (vocab->kind == TN_JSON_ARRAY) return load_array(t, vocab, err);
  for (const tn_json *v = vocab->first; v; v = v->next) {
    if (tn_map_get(&t->ids, v->key, NULL))
      return tn_fail(err, TN_ERR_DATA, "token \"%.*s\" is in the vocabulary twice",
                     TN_SHOWN(v->key));
    TN_TRY(add_written(t, v->key, (int32_t)v->integer, err));
    TN_TRY(tn_map_put(&t->ids, v->key, (uint64_t)v->integer, err));
  }
  return TN_OK;
}

/* ---- model
 * ---------------------------------------------------------------------------------------- */
static const char *const model_names[] = {
    [TN_MODEL_BPE] = "BPE",
    [TN_MODEL_UNIGRAM] = "Unigram",
    [TN_MODEL_WORDPIECE] = "WordPiece",
    [TN_MODEL_WORDLEVEL] = "WordLevel",
};

/* Files older than tokenizers 0.9 do not say which model they hold; its members do. */
static tn_status model_kind(const tn_json *model, tn_tokenizer_model *out, tn_error *err) {
  TN_TRY(tn_json_want(model, TN_JSON_OBJECT, "model", err));
  tn_str type = tn_json_text(model, "type");
  for (int i = 0; i < 4; i++) {
    if (!tn_str_is(type, model_names[i])) continue;
    *out = (tn_tokenizer_model)i;
    return TN_OK;
  }
  if (type.data) return tn_json_unsupported(err, "tokenizer model", type);
  const tn_json *vocab = tn_json_get(model, "vocab");
  *out = tn_json_get(model, "merges")                      ? TN_MODEL_BPE
         : vocab && vocab->kind == TN_JSON_ARRAY           ? TN_MODEL_UNIGRAM
         : tn_json_get(model, "continuing_subword_prefix") ? TN_MODEL_WORDPIECE
                                                           : TN_MODEL_WORDLEVEL;
  return TN_OK;
}

static tn_status load_wordlevel(tn_tokenizer *t, const tn_json *model, tn_error *err) {
  tn_str unk = TN_STR("<unk>");
  uint64_t id;
  TN_TRY(tn_json_get_str(model, "unk_token", &unk, err));
  char *copy = tn_arena_strndup(&t->arena, unk.data, unk.length);
  if (!copy) return tn_fail_memory(err, "unk_token", unk.length);
  t->wordpiece.unk = (tn_str){copy, unk.length};
  t->wordpiece.unk_id = tn_map_get(&t->ids, unk, &id) ? (int32_t)id : -1;
  return TN_OK;
}

static tn_status load_model(tn_tokenizer *t, const tn_json *model, const tn_json *added,
                            tn_error *err) {
  TN_TRY(model_kind(model, &t->model, err));
  const tn_json *vocab = tn_json_get(model, "vocab");
  bool array = t->model == TN_MODEL_UNIGRAM;
  TN_TRY(tn_json_want(vocab, array ? TN_JSON_ARRAY : TN_JSON_OBJECT, "vocab", err));
  TN_TRY(count_ids(t, vocab, added, err));
  TN_TRY(load_vocab(t, vocab, err));
  switch (t->model) {
    case TN_MODEL_UNIGRAM:
      return tn_unigram_load(&t->unigram, model, err);
    case TN_MODEL_WORDPIECE:
      return tn_wordpiece_load(&t->wordpiece, model, &t->ids, t->written, t->id_count, &t->arena,
                               err);
    case TN_MODEL_WORDLEVEL:
      return load_wordlevel(t, model, err);
    case TN_MODEL_BPE:
      break;
  }
  TN_TRY(tn_bpe_load(&t->bpe, model, &t->ids, t->written, t->id_count, t->raw, &t->arena, err));
  t->raw = t->bpe.raw;
  return TN_OK;
}

/* ---- added tokens
 * --------------------------------------------------------------------------------- */
static tn_status read_added(const tn_json *value, tn_added_token *out, tn_error *err) {
  TN_TRY(tn_json_want(value, TN_JSON_OBJECT, "added_tokens[]", err));
  TN_TRY(tn_json_want_text(value, "content", &out->content, err));
  if (out->content.length > TN_TOKENIZER_ADDED_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "an added token of %zu bytes, limit %d", out->content.length,
                   TN_TOKENIZER_ADDED_BYTES_MAX);
  out->id = (int32_t)tn_json_get(value, "id")->integer;
  TN_TRY(tn_json_get_bool(value, "special", &out->special, err));
  TN_TRY(tn_json_get_bool(value, "lstrip", &out->lstrip, err));
  TN_TRY(tn_json_get_bool(value, "rstrip", &out->rstrip, err));
  TN_TRY(tn_json_get_bool(value, "single_word", &out->single_word, err));
  out->normalized = !out->special;
  return tn_json_get_bool(value, "normalized", &out->normalized, err);
}

static tn_status add_added(tn_tokenizer *t, tn_added_token *token, tn_error *err) {
  uint64_t known;
  if (!tn_map_get(&t->ids, token->content, &known)) {
    TN_TRY(add_written(t, token->content, token->id, err));
  } else if (known != (uint64_t)token->id) {
    return tn_fail(err, TN_ERR_DATA, "added token \"%.*s\" has id %d, in the vocabulary %lld",
                   TN_SHOWN(token->content), token->id, (long long)known);
  }
  token->content = token->sought = t->written[token->id];
  t->specials[token->id] = token->special;
  return TN_OK;
}

/* The form in which a normalized token is sought and decoded. */
static tn_status normalize_added(tn_tokenizer *t, tn_added_token *token,
                                 tn_normalize_scratch *scratch, tn_error *err) {
  tn_str found;
  bool origin = true;
  if (!token->normalized || !t->normalizer) return TN_OK;
  if (!scratch->regex) TN_TRY(tn_regex_scratch_new(&scratch->regex, err));
  TN_TRY(tn_normalizer_run(t->normalizer, scratch, token->content, &found, &origin, err));
  char *copy = tn_arena_strndup(&t->arena, found.data, found.length);
  if (!copy) return tn_fail_memory(err, "an added token", found.length);
  token->sought = t->decoded[token->id] = (tn_str){copy, found.length};
  return TN_OK;
}

static tn_status load_tokens(tn_tokenizer *t, const tn_json *added, tn_error *err) {
  tn_normalize_scratch scratch = {0};
  tn_status status = TN_OK;
  for (const tn_json *a = added->first; a && status == TN_OK; a = a->next) {
    tn_added_token *token = &t->added.tokens[t->added.count];
    *token = (tn_added_token){0};
    status = read_added(a, token, err);
    if (status != TN_OK || !token->content.length) continue; /* an empty one is never found */
    status = add_added(t, token, err);
    if (status == TN_OK) status = normalize_added(t, token, &scratch, err);
    t->added.count++;
  }
  tn_regex_scratch_free(scratch.regex);
  tn_normalize_scratch_clear(&scratch);
  return status;
}

static tn_status load_added(tn_tokenizer *t, const tn_json *added, tn_error *err) {
  if (!added) return TN_OK;
  if (added->count > TN_TOKENIZER_ADDED_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%lld added tokens, limit %d", (long long)added->count,
                   TN_TOKENIZER_ADDED_MAX);
  t->added.tokens = tn_arena_alloc(&t->arena, (size_t)added->count + 1, sizeof *t->added.tokens);
  if (!t->added.tokens) return tn_fail_memory(err, "added tokens", 0);
  TN_TRY(load_tokens(t, added, err));
  TN_TRY(tn_added_index(&t->added, err));
  uint64_t index; /* a Unigram vocabulary may spell a special token twice */
  for (int32_t id = 0; t->model == TN_MODEL_UNIGRAM && id < t->id_count; id++)
    if (t->written[id].length && tn_map_get(&t->added.ids, t->written[id], &index))
      t->specials[id] = t->added.tokens[index].special;
  return TN_OK;
}

/* ---- the whole file
 * ------------------------------------------------------------------------------- */
static tn_status load_root(tn_tokenizer *t, const tn_json *root, tn_error *err) {
  TN_TRY(tn_json_want(root, TN_JSON_OBJECT, "the file", err));
  const tn_json *added = tn_json_get(root, "added_tokens");
  if (tn_json_is_null(added)) added = NULL;
  if (added) TN_TRY(tn_json_want(added, TN_JSON_ARRAY, "added_tokens", err));
  TN_TRY(tn_normalizer_read(&t->normalizer, tn_json_get(root, "normalizer"), err));
  TN_TRY(tn_pretokenizer_read(&t->pre_tokenizer, tn_json_get(root, "pre_tokenizer"), err));
  t->raw = tn_pretokenizer_ends_in_bytes(t->pre_tokenizer);
  TN_TRY(load_model(t, tn_json_get(root, "model"), added, err));
  t->raw = t->raw && t->model == TN_MODEL_BPE;
  t->any_bytes = t->raw && !t->normalizer;
  TN_TRY(load_added(t, added, err));
  TN_TRY(tn_post_read(&t->post, root, t->written, t->id_count, &t->arena, err));
  TN_TRY(tn_decoder_read(&t->decoder, tn_json_get(root, "decoder"), err));
  return tn_decoder_pieces(t->decoder, t->decoded, (size_t)t->id_count, &t->arena, t->bytes, err);
}

tn_status tn_tokenizer_load(tn_tokenizer *t, tn_str json, tn_error *err) {
  char *copy = tn_arena_strndup(&t->arena, json.data, json.length);
  if (!copy) return tn_fail_memory(err, "tokenizer.json", json.length);
  t->source = (tn_str){copy, json.length};
  t->hash = XXH64(json.data, json.length, 0);
  tn_arena nodes = {.limit_bytes = TN_TOKENIZER_PARSE_BYTES_MAX};
  tn_json *root;
  tn_status status = tn_json_parse(&root, &nodes, t->source, NULL, err);
  /* The parser takes any failure of a limited arena for the limit; far from it, memory ran out. */
  if (nodes.failed && nodes.used_bytes < TN_TOKENIZER_PARSE_BYTES_MAX / 2)
    status = tn_fail_memory(err, "a JSON tree", nodes.used_bytes);
  if (status == TN_OK) status = load_root(t, root, err);
  tn_arena_clear(&nodes);
  return status;
}
