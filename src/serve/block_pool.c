/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/block_pool.h"

#include <assert.h>

#include "base/mem.h"

enum { NONE = -1 };

typedef struct block {
  int32_t refs;
  int32_t previous, next; /* in the free list, when refs is 0 */
} block;

struct tn_block_pool {
  block *blocks;
  int32_t count, free_count;
  int32_t first, last; /* of the free list */
};

static void push_last(tn_block_pool *pool, int32_t index) {
  block *b = &pool->blocks[index];
  b->previous = pool->last;
  b->next = NONE;
  if (pool->last == NONE) {
    pool->first = index;
  } else {
    pool->blocks[pool->last].next = index;
  }
  pool->last = index;
  pool->free_count++;
}

static void unlink_free(tn_block_pool *pool, int32_t index) {
  block *b = &pool->blocks[index];
  if (b->previous == NONE) {
    pool->first = b->next;
  } else {
    pool->blocks[b->previous].next = b->next;
  }
  if (b->next == NONE) {
    pool->last = b->previous;
  } else {
    pool->blocks[b->next].previous = b->previous;
  }
  b->previous = b->next = NONE;
  pool->free_count--;
}

tn_status tn_block_pool_new(tn_block_pool **out, int32_t blocks, tn_error *err) {
  if (blocks < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "block pool of %d blocks, wants 1 or more", blocks);
  tn_block_pool *pool = tn_alloc(1, sizeof *pool);
  if (pool) pool->blocks = tn_alloc((size_t)blocks, sizeof(block));
  if (!pool || !pool->blocks) {
    tn_free(pool);
    return tn_fail_memory(err, "block pool", (unsigned long long)blocks * sizeof(block));
  }
  pool->count = blocks;
  pool->first = pool->last = NONE;
  for (int32_t i = 0; i < blocks; i++) push_last(pool, i);
  *out = pool;
  return TN_OK;
}

void tn_block_pool_free(tn_block_pool *pool) {
  if (!pool) return;
  tn_free(pool->blocks);
  tn_free(pool);
}

int32_t tn_block_pool_take(tn_block_pool *pool) {
  int32_t index = pool->first;
  if (index == NONE) return -1;
  unlink_free(pool, index);
  pool->blocks[index].refs = 1;
  return index;
}

void tn_block_pool_share(tn_block_pool *pool, int32_t index) {
  assert(index >= 0 && index < pool->count);
  if (pool->blocks[index].refs++ == 0) unlink_free(pool, index);
}

void tn_block_pool_drop(tn_block_pool *pool, int32_t index) {
  assert(index >= 0 && index < pool->count && pool->blocks[index].refs > 0);
  if (--pool->blocks[index].refs == 0) push_last(pool, index);
}

int32_t tn_block_pool_total(const tn_block_pool *pool) {
  return pool->count;
}
int32_t tn_block_pool_free_count(const tn_block_pool *pool) {
  return pool->free_count;
}
int32_t tn_block_pool_refs(const tn_block_pool *pool, int32_t index) {
  return pool->blocks[index].refs;
}

tn_status tn_block_pool_check(const tn_block_pool *pool, tn_error *err) {
  int32_t listed = 0, previous = NONE;
  for (int32_t i = pool->first; i != NONE; i = pool->blocks[i].next) {
    if (i < 0 || i >= pool->count || ++listed > pool->count) {
      return tn_fail(err, TN_ERR_DATA, "block pool: the free list leads to block %d after %d", i,
                     listed);
    }
    const block *b = &pool->blocks[i];
    if (b->refs != 0 || b->previous != previous) {
      return tn_fail(err, TN_ERR_DATA,
                     "block pool: free block %d has %d references, previous %d (wants %d)", i,
                     b->refs, b->previous, previous);
    }
    previous = i;
  }
  if (listed != pool->free_count || previous != pool->last) {
    return tn_fail(err, TN_ERR_DATA, "block pool: %d blocks listed free, %d counted", listed,
                   pool->free_count);
  }
  int32_t used = 0;
  for (int32_t i = 0; i < pool->count; i++) used += pool->blocks[i].refs > 0;
  if (used + listed == pool->count) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "block pool: %d used and %d free of %d blocks", used, listed,
                 pool->count);
}
