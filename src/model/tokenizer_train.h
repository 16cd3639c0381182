/* tokenizer_train.h - what the trainers share: words with their counts, and the tokenizer.json that
 * comes out.  Only tokenizer*.c may look. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_TRAIN_H
#define TN_MODEL_TOKENIZER_TRAIN_H
#include "base/map.h"
#include "model/tokenizer.h"
#include "model/tokenizer_normalize.h"
#include "model/tokenizer_pretokenize.h"

#define TN_WORDPIECE_PREFIX "##"

typedef struct tn_trained_words { /* borrowed; in any order */
  const tn_map_entry *words;
  const int64_t *counts;
  int64_t count;
} tn_trained_words;

typedef struct tn_char_count {
  uint32_t code;
  bool inside; /* stands somewhere behind the start of a word */
  int64_t count;
} tn_char_count;
/* The `most` most frequent characters, in order of their codes; the caller frees. */
TN_NODISCARD tn_status tn_trained_alphabet(const tn_trained_words *words, int64_t most,
                                           tn_char_count **out, int64_t *count, tn_error *err);

/* The normalizer and pre-tokenizer of a trained WordPiece or Unigram. */
TN_NODISCARD tn_status tn_trained_parts(tn_train_model model, bool cased,
                                        tn_normalizer **normalizer, tn_pretokenizer **pre_tokenizer,
                                        tn_error *err);

typedef struct tn_trained { /* a WordPiece or Unigram; borrowed */
  tn_train_model model;
  bool cased;
  const tn_str *tokens; /* as spelled; the first special_count are specials */
  const double *scores; /* UNIGRAM */
  int64_t token_count, special_count;
} tn_trained;
TN_NODISCARD tn_status tn_trained_write(const tn_trained *trained, tn_strbuf *out, tn_error *err);

typedef struct tn_unigram_plan {
  int64_t vocab_size, alphabet_max;
  const tn_str *specials;
  int64_t special_count;
} tn_unigram_plan;
/* Learns a Unigram vocabulary and writes its tokenizer.json. */
TN_NODISCARD tn_status tn_unigram_learn(const tn_trained_words *words, const tn_unigram_plan *plan,
                                        tn_progress *progress, tn_pool *pool, tn_strbuf *json,
                                        tn_error *err);

#endif
