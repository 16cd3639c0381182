/* tokenizer_trie.c - see tokenizer_trie.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_trie.h"

#include <stdlib.h>

static int by_text(const void *a, const void *b) {
  const tn_trie_key *x = a, *y = b;
  size_t least = x->text.length < y->text.length ? x->text.length : y->text.length;
  int order = memcmp(x->text.data, y->text.data, least);
  if (order) return order;
  if (x->text.length != y->text.length) return x->text.length < y->text.length ? -1 : 1;
  return x->value < y->value ? -1 : x->value > y->value;
}

static tn_status add_nodes(tn_trie *trie, size_t more, tn_error *err) {
  if (trie->count + more > UINT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "a trie of more than %u nodes", UINT32_MAX);
  TN_TRY(tn_grow((void **)&trie->nodes, &trie->capacity, trie->count + more, sizeof *trie->nodes,
                 err));
  TN_TRY(tn_grow((void **)&trie->bytes, &trie->bytes_capacity, trie->count + more, 1, err));
  trie->count += more;
  return TN_OK;
}

typedef struct span { /* keys[start..end) share their first `depth` bytes, which lead to `node` */
  size_t start, end, depth;
  uint32_t node;
} span;

typedef struct span_list {
  span *items;
  size_t count, capacity;
} span_list;

static tn_status push(span_list *list, span item, tn_error *err) {
  TN_TRY(tn_grow((void **)&list->items, &list->capacity, list->count + 1, sizeof item, err));
  list->items[list->count++] = item;
  return TN_OK;
}

static tn_status grow_node(tn_trie *trie, span_list *todo, const tn_trie_key *keys, span s,
                           tn_error *err) {
  for (; s.start < s.end && keys[s.start].text.length == s.depth; s.start++)
    trie->nodes[s.node].value = keys[s.start].value;
  size_t children = 0;
  for (size_t i = s.start; i < s.end; i++)
    children += i == s.start || keys[i].text.data[s.depth] != keys[i - 1].text.data[s.depth];
  uint32_t child = (uint32_t)trie->count;
  TN_TRY(add_nodes(trie, children, err));
  trie->nodes[s.node].first = child;
  trie->nodes[s.node].count = (uint16_t)children;
  for (size_t i = s.start, next; i < s.end; i = next, child++) {
    char byte = keys[i].text.data[s.depth];
    for (next = i + 1; next < s.end && keys[next].text.data[s.depth] == byte;) next++;
    trie->nodes[child].value = -1;
    trie->bytes[child] = (uint8_t)byte;
    if (s.node == 0) trie->root[(uint8_t)byte] = child;
    TN_TRY(push(todo, (span){i, next, s.depth + 1, child}, err));
  }
  return TN_OK;
}

tn_status tn_trie_build(tn_trie *trie, tn_trie_key *keys, size_t count, tn_error *err) {
  span_list todo = {0};
  qsort(keys, count, sizeof *keys, by_text);
  tn_status status = add_nodes(trie, 1, err);
  if (status == TN_OK) {
    trie->nodes[0].value = -1;
    status = push(&todo, (span){0, count, 0, 0}, err);
  }
  while (status == TN_OK && todo.count)
    status = grow_node(trie, &todo, keys, todo.items[--todo.count], err);
  tn_free(todo.items);
  return status;
}

void tn_trie_clear(tn_trie *trie) {
  tn_free(trie->nodes);
  tn_free(trie->bytes);
  *trie = (tn_trie){0};
}
