/* tokenizer_added.c - finding added tokens in text: leftmost, then longest.
 *
 * A token with lstrip or rstrip also takes the white space on that side, as Hugging Face does. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "model/tokenizer_internal.h"

static int longest_first(const void *a, const void *b) {
  const tn_added_token *x = a, *y = b;
  if (x->content.length != y->content.length) return x->content.length < y->content.length ? 1 : -1;
  return x->id < y->id ? -1 : x->id > y->id;
}

tn_status tn_tokenizer_index_added(tn_tokenizer *t, tn_error *err) {
  if (t->added_count == 0) return TN_OK;
  qsort(t->added, (size_t)t->added_count, sizeof *t->added, longest_first);
  t->added_order = tn_arena_alloc(&t->arena, (size_t)t->added_count, sizeof *t->added_order);
  if (!t->added_order) return tn_fail_memory(err, "the index of added tokens", 0);
  int32_t filled = 0;
  for (int32_t byte = 0; byte < 256; byte++) {
    t->added_first[byte] = filled;
    for (int32_t i = 0; i < t->added_count; i++)
      if ((uint8_t)t->added[i].content.data[0] == byte) t->added_order[filled++] = i;
  }
  t->added_first[256] = filled;
  return TN_OK;
}

static const tn_added_token *added_at(const tn_tokenizer *t, tn_str text, size_t at,
                                      bool parse_special, bool normalized) {
  uint8_t byte = (uint8_t)text.data[at];
  for (int32_t i = t->added_first[byte]; i < t->added_first[byte + 1]; i++) {
    const tn_added_token *token = &t->added[t->added_order[i]];
    if (token->normalized != normalized || (token->special && !parse_special)) continue;
    if (token->content.length > text.length - at) continue;
    if (memcmp(text.data + at, token->content.data, token->content.length) == 0) return token;
  }
  return NULL;
}

/* Unicode's White_Space. */
static bool is_space(uint32_t code) {
  return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

static size_t spaces_after(tn_str text, size_t at) {
  while (at < text.length) {
    uint32_t code;
    int length = tn_utf8_decode((const uint8_t *)text.data + at, text.length - at, &code);
    if (!length || !is_space(code)) break;
    at += (size_t)length;
  }
  return at;
}

static size_t spaces_before(tn_str text, size_t at, size_t floor) {
  while (at > floor) {
    size_t start = at - 1;
    while (start > floor && ((uint8_t)text.data[start] & 0xC0) == 0x80) start--;
    uint32_t code;
    int length = tn_utf8_decode((const uint8_t *)text.data + start, at - start, &code);
    if (length != (int)(at - start) || !is_space(code)) break;
    at = start;
  }
  return at;
}

const tn_added_token *tn_tokenizer_find_added(const tn_tokenizer *t, tn_str text, size_t from,
                                              bool parse_special, bool normalized, size_t *start,
                                              size_t *end) {
  if (t->added_count == 0) return NULL;
  for (size_t at = from; at < text.length; at++) {
    uint8_t byte = (uint8_t)text.data[at];
    if (t->added_first[byte] == t->added_first[byte + 1]) continue;
    const tn_added_token *token = added_at(t, text, at, parse_special, normalized);
    if (!token) continue;
    *start = token->lstrip ? spaces_before(text, at, from) : at;
    *end = at + token->content.length;
    if (token->rstrip) *end = spaces_after(text, *end);
    return token;
  }
  return NULL;
}
