/* tokenizer_added.h - added tokens: what is cut out of a text before all else.
 *
 * Tokens that are `normalized` are sought in normalized text, in their own normalized form; all
 * others before, in the text as it is.  Of several the leftmost counts, then the longest.  A token
 * with lstrip or rstrip also takes the white space on that side; one with single_word counts only
 * where no word character touches it.
 *
 * Thread: immutable. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_ADDED_H
#define TN_MODEL_TOKENIZER_ADDED_H
#include "base/map.h"
#include "model/tokenizer_trie.h"

#define TN_TOKENIZER_ADDED_MAX       65536
#define TN_TOKENIZER_ADDED_BYTES_MAX 4096

typedef struct tn_added_token {
  tn_str content; /* as written */
  tn_str sought;  /* normalized, where it is */
  int32_t id;
  bool special, normalized, lstrip, rstrip, single_word;
} tn_added_token;

typedef struct tn_added { /* all zero is valid and empty; clear frees */
  tn_added_token *tokens;
  int32_t count;
  tn_map ids;       /* content -> index in tokens */
  tn_trie tries[2]; /* of indices: not normalized, normalized */
} tn_added;

/* Builds what find needs; `tokens` and `count` are set, and outlive it. */
TN_NODISCARD tn_status tn_added_index(tn_added *added, tn_error *err);
void tn_added_clear(tn_added *added);

typedef struct tn_added_walk { /* all zero: at the start of a text */
  size_t at;                   /* where to search on */
  size_t floor;                /* what lies before is taken */
} tn_added_walk;
/* The next added token of valid UTF-8 or any bytes: *start and *end are its bytes, white space that
 * it strips included; it may begin in white space that the one before has taken.  NULL: none. */
const tn_added_token *tn_added_find(const tn_added *added, tn_str text, bool normalized,
                                    bool parse_special, tn_added_walk *walk, size_t *start,
                                    size_t *end);

#endif
