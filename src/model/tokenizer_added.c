/* tokenizer_added.c - see tokenizer_added.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_added.h"

#include "model/tokenizer_unicode.h"

static tn_status build(tn_added *added, bool normalized, tn_trie_key *keys, tn_error *err) {
  size_t used = 0;
  for (int32_t i = 0; i < added->count; i++)
    if (added->tokens[i].normalized == normalized && added->tokens[i].sought.length)
      keys[used++] = (tn_trie_key){added->tokens[i].sought, i};
  return used ? tn_trie_build(&added->tries[normalized], keys, used, err) : TN_OK;
}

tn_status tn_added_index(tn_added *added, tn_error *err) {
  if (!added->count) return TN_OK;
  tn_trie_key *keys = tn_alloc((size_t)added->count, sizeof *keys);
  if (!keys) return tn_fail_memory(err, "the added tokens", (size_t)added->count * sizeof *keys);
  tn_status status = TN_OK;
  for (int32_t i = 0; i < added->count && status == TN_OK; i++)
    status = tn_map_put(&added->ids, added->tokens[i].content, (uint64_t)i, err);
  if (status == TN_OK) status = build(added, false, keys, err);
  if (status == TN_OK) status = build(added, true, keys, err);
  tn_free(keys);
  return status;
}

void tn_added_clear(tn_added *added) {
  tn_map_clear(&added->ids);
  for (int i = 0; i < 2; i++) tn_trie_clear(&added->tries[i]);
}

/* ---- around a match
 * ------------------------------------------------------------------------------- */
static size_t spaces_after(tn_str text, size_t at) {
  while (at < text.length) {
    uint32_t code;
    int length = tn_utf8_decode((const uint8_t *)text.data + at, text.length - at, &code);
    if (!length || !tn_unicode_is_space(code)) break;
    at += (size_t)length;
  }
  return at;
}

/* The character that ends at text[at); false when there is none. */
static bool character_before(tn_str text, size_t at, size_t floor, size_t *start, uint32_t *code) {
  if (at <= floor) return false;
  *start = at - 1;
  while (*start > floor && ((uint8_t)text.data[*start] & 0xC0) == 0x80) (*start)--;
  int length = tn_utf8_decode((const uint8_t *)text.data + *start, at - *start, code);
  return length > 0 && *start + (size_t)length == at;
}

static size_t spaces_before(tn_str text, size_t at, size_t floor) {
  size_t start;
  uint32_t code;
  while (character_before(text, at, floor, &start, &code) && tn_unicode_is_space(code)) at = start;
  return at;
}

static bool is_single_word(tn_str text, size_t start, size_t end) {
  size_t at;
  uint32_t code;
  if (character_before(text, start, 0, &at, &code) && tn_unicode_is_word(code)) return false;
  int length = end < text.length
                   ? tn_utf8_decode((const uint8_t *)text.data + end, text.length - end, &code)
                   : 0;
  return !length || !tn_unicode_is_word(code);
}

/* ---- finding
 * -------------------------------------------------------------------------------------- */
/* The leftmost longest match from `at` on; its end to *end; NULL when there is none. */
static const tn_added_token *match(const tn_added *added, const tn_trie *trie, tn_str text,
                                   size_t *at, size_t *end) {
  for (; *at < text.length; (*at)++) {
    if (!trie->root[(uint8_t)text.data[*at]]) continue;
    size_t length = 0;
    tn_str rest = {text.data + *at, text.length - *at};
    int32_t index = tn_trie_longest(trie, rest, &length);
    if (index < 0) continue;
    *end = *at + length;
    return &added->tokens[index];
  }
  return NULL;
}

const tn_added_token *tn_added_find(const tn_added *added, tn_str text, bool normalized,
                                    bool parse_special, tn_added_walk *walk, size_t *start,
                                    size_t *end) {
  const tn_trie *trie = &added->tries[normalized];
  if (!trie->count) return NULL;
  for (;;) {
    const tn_added_token *token = match(added, trie, text, &walk->at, end);
    if (!token) return NULL;
    *start = walk->at;
    walk->at = *end; /* also behind a match that does not count, as in Hugging Face */
    if (token->special && !parse_special) continue;
    if (token->single_word && !is_single_word(text, *start, *end)) continue;
    if (token->lstrip) *start = spaces_before(text, *start, walk->floor);
    if (token->rstrip) *end = spaces_after(text, *end);
    walk->floor = *end;
    return token;
  }
}
