/* tokenizer_load.c - tokenizer.json into a tn_tokenizer.
 *
 * Read: model BPE, pre-tokenizers ByteLevel, Split, Digits and Sequences of these, added tokens.
 * Not read, because encode adds no tokens and decode gives bytes: post_processor, truncation,
 * padding, decoder (but one that is not byte-level is refused). */
/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/json.h"
#include "model/tokenizer_alphabet.h"
#include "model/tokenizer_internal.h"

static tn_str text_member(const tn_json *object, const char *key) {
  const tn_json *value = tn_json_get(object, key);
  return value && value->kind == TN_JSON_STRING ? value->text : (tn_str){NULL, 0};
}
static bool is_null(const tn_json *value) {
  return !value || value->kind == TN_JSON_NULL;
}

/* How many bytes of a text a message shows: whole characters only. */
static int shown(tn_str s) {
  size_t length = s.length;
  if (length > 64)
    for (length = 64; length > 0 && ((uint8_t)s.data[length] & 0xC0) == 0x80;) length--;
  return (int)length;
}

static tn_status want_kind(const tn_json *value, tn_json_kind kind, const char *key,
                           tn_error *err) {
  if (value && value->kind == kind) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "\"%s\" is %s, expected %s", key,
                 value ? tn_json_kind_name(value->kind) : "missing", tn_json_kind_name(kind));
}

static tn_status unsupported(tn_error *err, const char *what, tn_str name) {
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s \"%.*s\"", what, shown(name),
                 name.data ? name.data : "");
}

/* ---- vocabulary
 * ------------------------------------------------------------------------------------ */
static tn_status check_id(const tn_json *value, tn_str token, tn_error *err) {
  if (value->kind == TN_JSON_NUMBER && value->is_integer && value->integer >= 0 &&
      value->integer <= TN_TOKENIZER_ID_MAX)
    return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "token \"%.*s\" has id %.*s, expected 0 to %d", shown(token),
                 token.data, (int)(value->text.length > 24 ? 24 : value->text.length),
                 value->text.data ? value->text.data : "?", TN_TOKENIZER_ID_MAX);
}

static tn_status count_ids(tn_tokenizer *t, const tn_json *vocab, const tn_json *added,
                           tn_error *err) {
  int64_t highest = -1;
  for (const tn_json *v = vocab->first; v; v = v->next) {
    TN_TRY(check_id(v, v->key, err));
    if (v->integer > highest) highest = v->integer;
  }
  for (const tn_json *a = added ? added->first : NULL; a; a = a->next) {
    const tn_json *id = tn_json_get(a, "id");
    if (!id) return tn_fail(err, TN_ERR_DATA, "an added token without \"id\"");
    TN_TRY(check_id(id, text_member(a, "content"), err));
    if (id->integer > highest) highest = id->integer;
  }
  if (highest < 0) return tn_fail(err, TN_ERR_DATA, "the vocabulary is empty");
  t->id_count = (int32_t)highest + 1;
  t->written = tn_arena_alloc(&t->arena, (size_t)t->id_count, sizeof *t->written);
  t->bytes = tn_arena_alloc(&t->arena, (size_t)t->id_count, sizeof *t->bytes);
  t->specials = tn_arena_alloc(&t->arena, (size_t)t->id_count, 1);
  if (!t->written || !t->bytes || !t->specials)
    return tn_fail_memory(err, "a vocabulary", (size_t)t->id_count * 2 * sizeof(tn_str));
  return TN_OK;
}

static tn_status add_id(tn_tokenizer *t, tn_str token, int32_t id, tn_error *err) {
  if (t->written[id].data)
    return tn_fail(err, TN_ERR_DATA, "id %d belongs to \"%.*s\" and to \"%.*s\"", id,
                   shown(t->written[id]), t->written[id].data, shown(token), token.data);
  char *copy = tn_arena_strndup(&t->arena, token.data, token.length);
  if (!copy) return tn_fail_memory(err, "a token", token.length);
  t->written[id] = (tn_str){copy, token.length};
  return tn_map_put(&t->ids, token, (uint64_t)id, err);
}

/* What a token of the model stands for: its spelled bytes, or itself when it is not spelled so. */
static tn_status spell(tn_tokenizer *t, int32_t id, tn_error *err) {
  tn_str token = t->written[id];
  uint8_t *bytes = tn_arena_alloc(&t->arena, token.length + 1, 1);
  if (!bytes) return tn_fail_memory(err, "a token", token.length);
  size_t count;
  if (!tn_alphabet_read(token, bytes, &count)) {
    t->bytes[id] = token;
    return TN_OK;
  }
  t->bytes[id] = (tn_str){(const char *)bytes, count};
  if (count == 1) t->byte_ids[bytes[0]] = id;
  return t->ignore_merges ? tn_map_put(&t->whole, t->bytes[id], (uint64_t)id, err) : TN_OK;
}

static tn_status load_vocab(tn_tokenizer *t, const tn_json *vocab, tn_error *err) {
  memset(t->byte_ids, 0xFF, sizeof t->byte_ids);
  for (const tn_json *v = vocab->first; v; v = v->next) {
    if (tn_map_get(&t->ids, v->key, NULL))
      return tn_fail(err, TN_ERR_DATA, "token \"%.*s\" is in the vocabulary twice", shown(v->key),
                     v->key.data);
    TN_TRY(add_id(t, v->key, (int32_t)v->integer, err));
    TN_TRY(spell(t, (int32_t)v->integer, err));
  }
  return TN_OK;
}

/* ---- merges
 * ----------------------------------------------------------------------------------------- */
static tn_status new_merges(tn_merge_table *table, int64_t count, tn_error *err) {
  uint64_t slots = 16;
  while (slots < (uint64_t)count * 2) slots *= 2;
  table->slots = tn_alloc(slots, sizeof *table->slots);
  if (!table->slots) return tn_fail_memory(err, "the merges", slots * sizeof *table->slots);
  for (uint64_t i = 0; i < slots; i++) table->slots[i].pair = TN_MERGE_NONE;
  table->mask = slots - 1;
  return TN_OK;
}

/* A pair that is listed twice keeps its later rank, as in Hugging Face. */
static void put_merge(tn_merge_table *table, int32_t left, int32_t right, uint32_t rank,
                      int32_t id) {
  uint64_t pair = tn_merge_pair(left, right);
  uint64_t slot = tn_merge_hash(pair) & table->mask;
  while (table->slots[slot].pair != TN_MERGE_NONE && table->slots[slot].pair != pair)
    slot = (slot + 1) & table->mask;
  table->slots[slot] = (tn_merge){pair, rank, id};
}

/* "a b", or ["a", "b"] as newer files have it. */
static bool merge_parts(const tn_json *merge, tn_str *left, tn_str *right) {
  if (merge->kind == TN_JSON_STRING) {
    const char *space = memchr(merge->text.data, ' ', merge->text.length);
    if (!space) return false;
    size_t length = (size_t)(space - merge->text.data);
    *left = (tn_str){merge->text.data, length};
    *right = (tn_str){space + 1, merge->text.length - length - 1};
    return true;
  }
  const tn_json *first = merge->first, *second = first ? first->next : NULL;
  if (merge->kind != TN_JSON_ARRAY || merge->count != 2 || first->kind != TN_JSON_STRING ||
      second->kind != TN_JSON_STRING)
    return false;
  *left = first->text;
  *right = second->text;
  return true;
}

static tn_status load_merge(tn_tokenizer *t, const tn_json *merge, int64_t rank, tn_strbuf *joined,
                            tn_error *err) {
  tn_str left, right;
  if (!merge_parts(merge, &left, &right))
    return tn_fail(err, TN_ERR_DATA, "merge %lld is not two tokens", (long long)rank);
  tn_strbuf_reset(joined);
  tn_strbuf_add_str(joined, left);
  tn_strbuf_add_str(joined, right);
  TN_TRY(tn_strbuf_check(joined, err));
  const tn_str tokens[3] = {left, right, tn_strbuf_view(joined)};
  uint64_t ids[3];
  for (int i = 0; i < 3; i++)
    if (!tn_map_get(&t->ids, tokens[i], &ids[i]))
      return tn_fail(err, TN_ERR_DATA, "merge %lld: \"%.*s\" is not in the vocabulary",
                     (long long)rank, shown(tokens[i]), tokens[i].data ? tokens[i].data : "");
  put_merge(&t->merges, (int32_t)ids[0], (int32_t)ids[1], (uint32_t)rank, (int32_t)ids[2]);
  return TN_OK;
}

static tn_status load_merges(tn_tokenizer *t, const tn_json *merges, tn_error *err) {
  TN_TRY(new_merges(&t->merges, merges->count, err));
  tn_strbuf joined = {0};
  tn_status status = TN_OK;
  int64_t rank = 0;
  for (const tn_json *m = merges->first; m && status == TN_OK; m = m->next)
    status = load_merge(t, m, rank++, &joined, err);
  tn_strbuf_clear(&joined);
  return status;
}

/* ---- model
 * ------------------------------------------------------------------------------------------ */
static tn_status check_model(const tn_json *model, tn_error *err) {
  TN_TRY(want_kind(model, TN_JSON_OBJECT, "model", err));
  tn_str type = text_member(model, "type");
  /* Files older than tokenizers 0.9 do not say; only BPE has merges. */
  if (type.data ? !tn_str_is(type, "BPE") : !tn_json_get(model, "merges"))
    return unsupported(err, "tokenizer model", type);
  if (!is_null(tn_json_get(model, "dropout"))) {
    double dropout = 0;
    TN_TRY(tn_json_get_f64(model, "dropout", &dropout, err));
    if (dropout != 0) return tn_fail(err, TN_ERR_UNSUPPORTED, "BPE dropout %g", dropout);
  }
  static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
  for (int i = 0; i < 2; i++) {
    tn_str affix = text_member(model, affixes[i]);
    if (affix.length) return unsupported(err, affixes[i], affix);
  }
  bool byte_fallback = false;
  TN_TRY(tn_json_get_bool(model, "byte_fallback", &byte_fallback, err));
  if (byte_fallback)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "byte_fallback (a SentencePiece vocabulary)");
  TN_TRY(want_kind(tn_json_get(model, "vocab"), TN_JSON_OBJECT, "vocab", err));
  return want_kind(tn_json_get(model, "merges"), TN_JSON_ARRAY, "merges", err);
}

static tn_status load_unk(tn_tokenizer *t, const tn_json *model, tn_error *err) {
  t->unk_id = -1;
  tn_str unk = {NULL, 0};
  TN_TRY(tn_json_get_str(model, "unk_token", &unk, err));
  TN_TRY(tn_json_get_bool(model, "fuse_unk", &t->fuse_unk, err));
  if (unk.length == 0) return TN_OK;
  uint64_t id;
  if (!tn_map_get(&t->ids, unk, &id))
    return unsupported(err, "unk_token outside the vocabulary:", unk);
  t->unk_id = (int32_t)id;
  return TN_OK;
}

static tn_status load_model(tn_tokenizer *t, const tn_json *model, const tn_json *added,
                            tn_error *err) {
  TN_TRY(check_model(model, err));
  const tn_json *vocab = tn_json_get(model, "vocab");
  TN_TRY(tn_json_get_bool(model, "ignore_merges", &t->ignore_merges, err));
  TN_TRY(count_ids(t, vocab, added, err));
  TN_TRY(load_vocab(t, vocab, err));
  TN_TRY(load_unk(t, model, err));
  return load_merges(t, tn_json_get(model, "merges"), err);
}

/* ---- added tokens
 * ------------------------------------------------------------------------------------ */
static tn_status read_added(const tn_json *value, tn_added_token *out, tn_error *err) {
  TN_TRY(want_kind(value, TN_JSON_OBJECT, "added_tokens[]", err));
  TN_TRY(want_kind(tn_json_get(value, "content"), TN_JSON_STRING, "content", err));
  out->content = text_member(value, "content");
  if (out->content.length == 0 || out->content.length > TN_TOKENIZER_ADDED_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "an added token of %zu bytes, limit 1 to %d",
                   out->content.length, TN_TOKENIZER_ADDED_BYTES_MAX);
  bool single_word = false;
  TN_TRY(tn_json_get_bool(value, "single_word", &single_word, err));
  if (single_word) return unsupported(err, "single_word of added token", out->content);
  out->id = (int32_t)tn_json_get(value, "id")->integer;
  TN_TRY(tn_json_get_bool(value, "special", &out->special, err));
  TN_TRY(tn_json_get_bool(value, "lstrip", &out->lstrip, err));
  TN_TRY(tn_json_get_bool(value, "rstrip", &out->rstrip, err));
  out->normalized = !out->special;
  return tn_json_get_bool(value, "normalized", &out->normalized, err);
}

static tn_status add_added(tn_tokenizer *t, tn_added_token *token, tn_error *err) {
  uint64_t known;
  if (!tn_map_get(&t->ids, token->content, &known)) {
    TN_TRY(add_id(t, token->content, token->id, err));
  } else if (known != (uint64_t)token->id) {
    return tn_fail(err, TN_ERR_DATA, "added token \"%.*s\" has id %d, in the vocabulary %lld",
                   shown(token->content), token->content.data, token->id, (long long)known);
  }
  token->content = t->written[token->id];
  t->bytes[token->id] = token->content;
  t->specials[token->id] = token->special;
  return TN_OK;
}

static tn_status load_added(tn_tokenizer *t, const tn_json *added, tn_error *err) {
  if (is_null(added)) return TN_OK;
  if (added->count > TN_TOKENIZER_ADDED_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%lld added tokens, limit %d", (long long)added->count,
                   TN_TOKENIZER_ADDED_MAX);
  t->added = tn_arena_alloc(&t->arena, (size_t)added->count, sizeof *t->added);
  if (!t->added) return tn_fail_memory(err, "added tokens", 0);
  for (const tn_json *a = added->first; a; a = a->next) {
    tn_added_token *token = &t->added[t->added_count];
    TN_TRY(read_added(a, token, err));
    TN_TRY(add_added(t, token, err));
    t->added_count++;
  }
  return tn_tokenizer_index_added(t, err);
}

/* ---- pre-tokenizer
 * ------------------------------------------------------------------------------------- */
typedef struct pattern_list {
  tn_str items[TN_SPLIT_PATTERNS_MAX];
  int32_t count;
  bool byte_level;
  tn_arena *arena;
} pattern_list;

static tn_status add_pattern(pattern_list *list, tn_str pattern, tn_error *err) {
  if (list->count == TN_SPLIT_PATTERNS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "more than %d pre-tokenizer patterns", TN_SPLIT_PATTERNS_MAX);
  list->items[list->count++] = pattern;
  return TN_OK;
}

static tn_status read_byte_level(const tn_json *value, pattern_list *list, tn_error *err) {
  bool prefix = true, regex = true; /* what Hugging Face takes where the file is silent */
  TN_TRY(tn_json_get_bool(value, "add_prefix_space", &prefix, err));
  TN_TRY(tn_json_get_bool(value, "use_regex", &regex, err));
  if (prefix) return tn_fail(err, TN_ERR_UNSUPPORTED, "ByteLevel with add_prefix_space");
  list->byte_level = true;
  return regex ? add_pattern(list, tn_split_gpt2, err) : TN_OK;
}

/* {"String": s} means s itself: every character that could mean more is escaped. */
static tn_status quote(pattern_list *list, tn_str literal, tn_str *out, tn_error *err) {
  char *text = tn_arena_alloc(list->arena, literal.length + 1, 2);
  if (!text) return tn_fail_memory(err, "a split pattern", literal.length * 2);
  size_t length = 0;
  for (size_t i = 0; i < literal.length; i++) {
    if (memchr("\\^$.[]|()?*+{}-&#", literal.data[i], 17)) text[length++] = '\\';
    text[length++] = literal.data[i];
  }
  *out = (tn_str){text, length};
  return TN_OK;
}

static tn_status read_split(const tn_json *value, pattern_list *list, tn_error *err) {
  tn_str behavior = text_member(value, "behavior");
  if (!tn_str_is(behavior, "Isolated")) return unsupported(err, "Split with behavior", behavior);
  const tn_json *pattern = tn_json_get(value, "pattern");
  tn_str regex = text_member(pattern, "Regex"), literal = text_member(pattern, "String");
  if (regex.data) return add_pattern(list, regex, err);
  if (!literal.length) return tn_fail(err, TN_ERR_DATA, "Split without a pattern");
  TN_TRY(quote(list, literal, &regex, err));
  return add_pattern(list, regex, err);
}

static tn_status read_digits(const tn_json *value, pattern_list *list, tn_error *err) {
  bool individual = false;
  TN_TRY(tn_json_get_bool(value, "individual_digits", &individual, err));
  return add_pattern(list, individual ? TN_STR("\\p{N}") : TN_STR("\\p{N}+"), err);
}

/* One member; Sequences do not nest in files that exist. */
static tn_status read_step(const tn_json *value, pattern_list *list, tn_error *err) {
  tn_str type = text_member(value, "type");
  if (list->byte_level) /* later steps would see spelled bytes */
    return unsupported(err, "a pre-tokenizer behind ByteLevel:", type);
  if (tn_str_is(type, "ByteLevel")) return read_byte_level(value, list, err);
  if (tn_str_is(type, "Split")) return read_split(value, list, err);
  if (tn_str_is(type, "Digits")) return read_digits(value, list, err);
  return unsupported(err, "pre-tokenizer", type);
}

static tn_status load_pre_tokenizer(tn_tokenizer *t, const tn_json *value, tn_error *err) {
  if (is_null(value)) return tn_fail(err, TN_ERR_UNSUPPORTED, "a BPE without a pre-tokenizer");
  pattern_list list = {.arena = &t->arena};
  if (tn_str_is(text_member(value, "type"), "Sequence")) {
    const tn_json *steps = tn_json_get(value, "pretokenizers");
    TN_TRY(want_kind(steps, TN_JSON_ARRAY, "pretokenizers", err));
    for (const tn_json *s = steps->first; s; s = s->next) TN_TRY(read_step(s, &list, err));
  } else {
    TN_TRY(read_step(value, &list, err));
  }
  if (!list.byte_level)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "a BPE without a ByteLevel pre-tokenizer");
  return tn_splitter_new(&t->splitter, list.items, list.count, err);
}

/* ---- the whole file
 * ------------------------------------------------------------------------------------- */
static tn_status load_root(tn_tokenizer *t, const tn_json *root, tn_error *err) {
  TN_TRY(want_kind(root, TN_JSON_OBJECT, "the file", err));
  const tn_json *normalizer = tn_json_get(root, "normalizer");
  if (!is_null(normalizer)) return unsupported(err, "normalizer", text_member(normalizer, "type"));
  const tn_json *decoder = tn_json_get(root, "decoder");
  tn_str decoder_type = text_member(decoder, "type");
  if (!is_null(decoder) && !tn_str_is(decoder_type, "ByteLevel"))
    return unsupported(err, "decoder", decoder_type);
  const tn_json *added = tn_json_get(root, "added_tokens");
  if (!is_null(added)) TN_TRY(want_kind(added, TN_JSON_ARRAY, "added_tokens", err));
  TN_TRY(load_model(t, tn_json_get(root, "model"), is_null(added) ? NULL : added, err));
  TN_TRY(load_added(t, added, err));
  return load_pre_tokenizer(t, tn_json_get(root, "pre_tokenizer"), err);
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
