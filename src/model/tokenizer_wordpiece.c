/* tokenizer_wordpiece.c - see tokenizer_wordpiece.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_wordpiece.h"

#include "model/tokenizer_json.h"

static tn_status copy_text(const tn_json *model, const char *key, tn_str otherwise, tn_arena *arena,
                           tn_str *out, tn_error *err) {
  tn_str text = otherwise;
  TN_TRY(tn_json_get_str(model, key, &text, err));
  char *copy = tn_arena_strndup(arena, text.data, text.length);
  if (!copy) return tn_fail_memory(err, key, text.length);
  *out = (tn_str){copy, text.length};
  return TN_OK;
}

static tn_status build(tn_wordpiece *w, const tn_str *tokens, int32_t count, tn_error *err) {
  tn_trie_key *keys = tn_alloc((size_t)count, sizeof *keys);
  if (!keys) return tn_fail_memory(err, "a vocabulary", (size_t)count * sizeof *keys);
  size_t used = 0;
  for (int32_t id = 0; id < count; id++)
    if (tokens[id].length) keys[used++] = (tn_trie_key){tokens[id], id};
  tn_status status = tn_trie_build(&w->first, keys, used, err);
  used = 0;
  for (int32_t id = 0; id < count; id++) {
    if (tokens[id].length <= w->prefix.length || !tn_str_starts(tokens[id], w->prefix)) continue;
    tn_str rest = {tokens[id].data + w->prefix.length, tokens[id].length - w->prefix.length};
    keys[used++] = (tn_trie_key){rest, id};
  }
  if (status == TN_OK) status = tn_trie_build(&w->inside, keys, used, err);
  tn_free(keys);
  return status;
}

tn_status tn_wordpiece_load(tn_wordpiece *w, const tn_json *model, const tn_map *ids,
                            const tn_str *tokens, int32_t count, tn_arena *arena, tn_error *err) {
  uint64_t id;
  w->characters_max = 100;
  TN_TRY(copy_text(model, "unk_token", TN_STR("[UNK]"), arena, &w->unk, err));
  TN_TRY(copy_text(model, "continuing_subword_prefix", TN_STR("##"), arena, &w->prefix, err));
  TN_TRY(tn_json_get_i64(model, "max_input_chars_per_word", 0, INT64_MAX, &w->characters_max, err));
  w->unk_id = tn_map_get(ids, w->unk, &id) ? (int32_t)id : -1;
  return build(w, tokens, count, err);
}

void tn_wordpiece_clear(tn_wordpiece *w) {
  tn_trie_clear(&w->first);
  tn_trie_clear(&w->inside);
}

static int64_t count_characters(tn_str text) {
  int64_t count = 0;
  for (size_t i = 0; i < text.length; i++) count += ((uint8_t)text.data[i] & 0xC0) != 0x80;
  return count;
}

tn_status tn_wordpiece_encode(const tn_wordpiece *w, tn_str word, tn_ids *ids, tn_error *err) {
  size_t before = ids->count, at = 0, length = 0;
  TN_TRY(tn_ids_reserve(ids, word.length, err));
  bool known =
      (int64_t)word.length <= w->characters_max || count_characters(word) <= w->characters_max;
  while (known && at < word.length) {
    tn_str rest = {word.data + at, word.length - at};
    int32_t id = tn_trie_longest(at ? &w->inside : &w->first, rest, &length);
    known = id >= 0;
    at += length;
    if (known) ids->items[ids->count++] = id;
  }
  if (known) return TN_OK;
  ids->count = before;
  if (w->unk_id < 0)
    return tn_fail(err, TN_ERR_DATA, "unk_token \"%.*s\" is not in the vocabulary, and is needed",
                   TN_SHOWN(w->unk));
  ids->items[ids->count++] = w->unk_id;
  return TN_OK;
}
