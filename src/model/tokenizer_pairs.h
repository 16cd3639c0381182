/* tokenizer_pairs.h - the book-keeping of BPE training: how often each pair of symbols occurs, in
 * which words, and which is the most frequent.
 *
 * A pair's record never moves to another index.  The heap holds at least one entry with a count not
 * below the true one for every pair worth merging; entries that turned stale are corrected when
 * they come up.  So a falling count costs nothing, and a rising one a push. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_PAIRS_H
#define TN_MODEL_TOKENIZER_PAIRS_H
#include "base/mem.h"

typedef struct tn_pair {
  int32_t left, right;
  int64_t count;
  uint32_t words;  /* first node of the list of words that may hold it; 0: none */
  uint32_t queued; /* last round in which it was marked as risen */
} tn_pair;

typedef struct tn_pair_node {
  uint32_t word, next;
} tn_pair_node;

typedef struct tn_pair_entry {
  int64_t count;
  int32_t left, right;
  uint32_t pair;
} tn_pair_entry;

typedef struct tn_pairs { /* all zero is valid and empty */
  tn_pair *items;
  size_t count, capacity;
  uint32_t *slots; /* index + 1; 0 empty */
  size_t slot_count;
  tn_pair_node *nodes; /* [0] is unused */
  size_t node_count, node_capacity;
  uint32_t free_node;
  tn_pair_entry *heap;
  size_t heap_count, heap_capacity;
} tn_pairs;

void tn_pairs_clear(tn_pairs *p);
/* Adds `delta` occurrences; the pair's index goes to *index (NULL: not wanted). */
TN_NODISCARD tn_status tn_pairs_add(tn_pairs *p, int32_t left, int32_t right, int64_t delta,
                                    uint32_t *index, tn_error *err);
/* Notes that `word` holds the pair. */
TN_NODISCARD tn_status tn_pairs_note(tn_pairs *p, uint32_t index, uint32_t word, tn_error *err);
/* The list's first node; the list is the caller's and is given back node by node. */
uint32_t tn_pairs_take_words(tn_pairs *p, uint32_t index);
void tn_pairs_give_node(tn_pairs *p, uint32_t node);
/* Enters the pair with its present count. */
TN_NODISCARD tn_status tn_pairs_push(tn_pairs *p, uint32_t index, tn_error *err);
/* The most frequent pair with at least `floor` occurrences, smaller ids first among equals; TN_END
 * when there is none. */
TN_NODISCARD tn_status tn_pairs_pop(tn_pairs *p, int64_t floor, uint32_t *index, tn_error *err);

#endif
