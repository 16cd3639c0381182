/* tokenizer_pairs.c - see tokenizer_pairs.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_pairs.h"

#include <string.h>

#define INDEX_MAX (UINT32_MAX - 1)

void tn_pairs_clear(tn_pairs *p) {
  tn_free(p->items);
  tn_free(p->slots);
  tn_free(p->nodes);
  tn_free(p->heap);
  *p = (tn_pairs){0};
}

/* ---- records
 * ------------------------------------------------------------------------------------- */
static size_t slot_of(const tn_pairs *p, int32_t left, int32_t right) {
  uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
  key *= 0x9E3779B97F4A7C15u;
  size_t slot = (size_t)(key ^ key >> 32) & (p->slot_count - 1);
  while (p->slots[slot]) {
    const tn_pair *pair = &p->items[p->slots[slot] - 1];
    if (pair->left == left && pair->right == right) break;
    slot = (slot + 1) & (p->slot_count - 1);
  }
  return slot;
}

static tn_status grow_slots(tn_pairs *p, tn_error *err) {
  if (p->slot_count >= (p->count + 1) * 2) return TN_OK;
  size_t count = p->slot_count ? p->slot_count * 2 : 4096;
  uint32_t *slots = tn_alloc(count, sizeof *slots);
  if (!slots) return tn_fail_memory(err, "the table of pairs", count * sizeof *slots);
  tn_free(p->slots);
  p->slots = slots;
  p->slot_count = count;
  for (size_t i = 0; i < p->count; i++)
    p->slots[slot_of(p, p->items[i].left, p->items[i].right)] = (uint32_t)i + 1;
  return TN_OK;
}

tn_status tn_pairs_add(tn_pairs *p, int32_t left, int32_t right, int64_t delta, uint32_t *index,
                       tn_error *err) {
  TN_TRY(grow_slots(p, err));
  size_t slot = slot_of(p, left, right);
  if (!p->slots[slot]) {
    if (p->count >= INDEX_MAX) return tn_fail(err, TN_ERR_LIMIT, "more than %u pairs", INDEX_MAX);
    TN_TRY(tn_grow((void **)&p->items, &p->capacity, p->count + 1, sizeof *p->items, err));
    p->items[p->count++] = (tn_pair){.left = left, .right = right};
    p->slots[slot] = (uint32_t)p->count;
  }
  uint32_t at = p->slots[slot] - 1;
  p->items[at].count += delta;
  if (index) *index = at;
  return TN_OK;
}

/* ---- lists of words
 * ---------------------------------------------------------------------------------- */
tn_status tn_pairs_note(tn_pairs *p, uint32_t index, uint32_t word, tn_error *err) {
  tn_pair *pair = &p->items[index];
  if (pair->words && p->nodes[pair->words].word == word) return TN_OK;
  uint32_t node = p->free_node;
  if (node) {
    p->free_node = p->nodes[node].next;
  } else {
    if (p->node_count == 0) p->node_count = 1;
    if (p->node_count >= INDEX_MAX)
      return tn_fail(err, TN_ERR_LIMIT, "more than %u places of pairs in words", INDEX_MAX);
    TN_TRY(
        tn_grow((void **)&p->nodes, &p->node_capacity, p->node_count + 1, sizeof *p->nodes, err));
    node = (uint32_t)p->node_count++;
  }
  p->nodes[node] = (tn_pair_node){word, pair->words};
  pair->words = node;
  return TN_OK;
}

uint32_t tn_pairs_take_words(tn_pairs *p, uint32_t index) {
  uint32_t first = p->items[index].words;
  p->items[index].words = 0;
  return first;
}

void tn_pairs_give_node(tn_pairs *p, uint32_t node) {
  p->nodes[node].next = p->free_node;
  p->free_node = node;
}

/* ---- the heap
 * ------------------------------------------------------------------------------------------- */
static bool before(const tn_pair_entry *a, const tn_pair_entry *b) {
  if (a->count != b->count) return a->count > b->count;
  if (a->left != b->left) return a->left < b->left;
  return a->right < b->right;
}

tn_status tn_pairs_push(tn_pairs *p, uint32_t index, tn_error *err) {
  TN_TRY(tn_grow((void **)&p->heap, &p->heap_capacity, p->heap_count + 1, sizeof *p->heap, err));
  const tn_pair *pair = &p->items[index];
  tn_pair_entry entry = {pair->count, pair->left, pair->right, index};
  size_t at = p->heap_count++;
  while (at > 0 && before(&entry, &p->heap[(at - 1) / 2])) {
    p->heap[at] = p->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  p->heap[at] = entry;
  return TN_OK;
}

static tn_pair_entry pop_entry(tn_pairs *p) {
  tn_pair_entry top = p->heap[0], last = p->heap[--p->heap_count];
  size_t at = 0, child;
  while ((child = at * 2 + 1) < p->heap_count) {
    if (child + 1 < p->heap_count && before(&p->heap[child + 1], &p->heap[child])) child++;
    if (!before(&p->heap[child], &last)) break;
    p->heap[at] = p->heap[child];
    at = child;
  }
  p->heap[at] = last;
  return top;
}

tn_status tn_pairs_pop(tn_pairs *p, int64_t floor, uint32_t *index, tn_error *err) {
  while (p->heap_count) {
    tn_pair_entry top = pop_entry(p);
    int64_t now = p->items[top.pair].count;
    if (now < floor) continue;
    if (top.count == now) {
      *index = top.pair;
      return TN_OK;
    }
    /* Fallen since: enter it anew.  Risen since: its newer entry is still inside. */
    if (top.count > now) TN_TRY(tn_pairs_push(p, top.pair, err));
  }
  return TN_END;
}
