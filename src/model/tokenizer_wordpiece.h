/* tokenizer_wordpiece.h - WordPiece: a word is the longest token it starts with, then the longest
 * continuing token ("##ing"), and so on; a word that cannot be written so is the unknown token.
 *
 * Thread: immutable. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_WORDPIECE_H
#define TN_MODEL_TOKENIZER_WORDPIECE_H
#include "base/json.h"
#include "base/map.h"
#include "model/tokenizer.h"
#include "model/tokenizer_trie.h"

typedef struct tn_wordpiece {
  tn_trie first, inside; /* inside: without the prefix */
  int32_t unk_id;        /* -1: a text that needs it cannot be encoded */
  tn_str unk, prefix;    /* borrowed */
  int64_t characters_max;
} tn_wordpiece;

/* `tokens`: [count], data NULL where an id is free; they and `model` must outlive the load, the
 * tokens also the model. */
TN_NODISCARD tn_status tn_wordpiece_load(tn_wordpiece *w, const tn_json *model, const tn_map *ids,
                                         const tn_str *tokens, int32_t count, tn_arena *arena,
                                         tn_error *err);
void tn_wordpiece_clear(tn_wordpiece *w);
TN_NODISCARD tn_status tn_wordpiece_encode(const tn_wordpiece *w, tn_str word, tn_ids *ids,
                                           tn_error *err);

#endif
