/* tokenizer_trie.h - a set of byte strings, each with a number, walked byte by byte.
 *
 * The children of a node lie side by side, their bytes in one array: a step is one memchr over a
 * few bytes, and through a table of 256 at the root.
 *
 *     node 0 (root): first child 1, 2 children     bytes[1..3) = "ab"
 *
 * Thread: immutable after building. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_TRIE_H
#define TN_MODEL_TOKENIZER_TRIE_H
#include "base/mem.h"
#include "base/str.h"

typedef struct tn_trie_key {
  tn_str text; /* not empty */
  int32_t value;
} tn_trie_key;

typedef struct tn_trie_node {
  uint32_t first; /* child */
  int32_t value;  /* -1: no key ends here */
  uint16_t count; /* of children */
} tn_trie_node;

typedef struct tn_trie { /* all zero is valid and empty; clear frees */
  tn_trie_node *nodes;
  uint8_t *bytes; /* bytes[i]: the byte that leads to node i */
  size_t count, capacity, bytes_capacity;
  uint32_t root[256]; /* 0: no child */
} tn_trie;

/* Sorts `keys`; of equal ones the last in order stays. */
TN_NODISCARD tn_status tn_trie_build(tn_trie *trie, tn_trie_key *keys, size_t count, tn_error *err);
void tn_trie_clear(tn_trie *trie);

/* The child of `node` (0: the root) by `byte`; 0 when there is none. */
static inline uint32_t tn_trie_step(const tn_trie *trie, uint32_t node, uint8_t byte) {
  if (node == 0) return trie->root[byte];
  const tn_trie_node *n = &trie->nodes[node];
  const uint8_t *bytes = trie->bytes + n->first;
  if (n->count <= 4) {
    for (uint32_t i = 0; i < n->count; i++)
      if (bytes[i] == byte) return n->first + i;
    return 0;
  }
  const uint8_t *found = memchr(bytes, byte, n->count);
  return found ? n->first + (uint32_t)(found - bytes) : 0;
}

/* The longest key that `text` starts with; its value, or -1; *length is its bytes. */
static inline int32_t tn_trie_longest(const tn_trie *trie, tn_str text, size_t *length) {
  int32_t value = -1;
  uint32_t node = 0;
  for (size_t i = 0; i < text.length; i++) {
    node = tn_trie_step(trie, node, (uint8_t)text.data[i]);
    if (!node) break;
    if (trie->nodes[node].value < 0) continue;
    value = trie->nodes[node].value;
    *length = i + 1;
  }
  return value;
}

/* The value of exactly this key, or -1. */
static inline int32_t tn_trie_get(const tn_trie *trie, tn_str key) {
  size_t length = 0;
  int32_t value = tn_trie_longest(trie, key, &length);
  return value >= 0 && length == key.length ? value : -1;
}

#endif
