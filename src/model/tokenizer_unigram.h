/* tokenizer_unigram.h - the unigram language model (Kudo 2018): of all ways to write a piece with
 * the vocabulary, the one with the greatest sum of scores.
 *
 * Viterbi over byte positions, in doubles, and of equal sums the first found, as Hugging Face does;
 * a character that no token begins costs the lowest score less 10.
 *
 * Thread: immutable; each concurrent encode needs its own scratch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_UNIGRAM_H
#define TN_MODEL_TOKENIZER_UNIGRAM_H
#include "base/json.h"
#include "model/tokenizer.h"
#include "model/tokenizer_trie.h"

typedef struct tn_unigram {
  tn_trie trie;
  double *scores; /* [count] */
  int32_t count;
  double unk_score;
  int32_t unk_id; /* -1: a text that needs it cannot be encoded */
  bool byte_fallback;
  int32_t byte_ids[256];
} tn_unigram;

typedef struct tn_unigram_node tn_unigram_node;
typedef struct tn_unigram_scratch { /* all zero is valid; clear frees */
  tn_unigram_node *nodes;
  size_t capacity;
  size_t *ends; /* of the best path, last first */
  size_t end_capacity;
} tn_unigram_scratch;
void tn_unigram_scratch_clear(tn_unigram_scratch *s);

/* `vocab` is the model's array of [token, score], checked by tn_unigram_check. */
TN_NODISCARD tn_status tn_unigram_check(const tn_json *vocab, tn_error *err);
TN_NODISCARD tn_status tn_unigram_load(tn_unigram *u, const tn_json *model, tn_error *err);
void tn_unigram_clear(tn_unigram *u);
TN_NODISCARD tn_status tn_unigram_encode(const tn_unigram *u, tn_unigram_scratch *scratch,
                                         tn_str piece, tn_ids *ids, tn_error *err);

#endif
