/* mem.h - the one door to the heap, and arenas.
 *
 * Every allocation of the library goes through tn_alloc and tn_realloc: count times size is
 * overflow-checked, new memory is zeroed, and a test can make the n-th call fail.
 *
 * An arena serves things that die together (a parsed footer, a request, a step): allocation is a
 * pointer bump, there is no single free.  Its `failed` flag is sticky, so a parser may check once
 * at the end instead of after every node.
 *
 * Thread: tn_alloc and friends from any; an arena belongs to one thread at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_MEM_H
#define TN_BASE_MEM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* count * size zeroed bytes, 16-byte aligned; NULL when out of memory or when the product
 * overflows.  A zero product gives a unique pointer.  The caller frees with tn_free. */
void *tn_alloc(size_t count, size_t size);
/* Resizes to count * size; new bytes are NOT zeroed; on failure NULL and `ptr` stays valid. */
void *tn_realloc(void *ptr, size_t count, size_t size);
size_t tn_block_bytes(const void *ptr); /* of a block of tn_alloc: what it was asked for */
void tn_free(void *ptr);                /* NULL is fine */
/* Zeroed and aligned to 64 bytes, for SIMD and device copies.  Freed with tn_free. */
void *tn_alloc_aligned(size_t bytes);
char *tn_strndup(const char *text, size_t length); /* NUL-terminated copy, tn_free */

/* For tests: the n-th allocation from now on (1 = the next) fails, all later ones succeed;
 * 0 switches that off.  tn_alloc_live() counts the blocks not yet freed. */
void tn_alloc_fail_at(int64_t n);
int64_t tn_alloc_live(void);

/* Checked arithmetic for sizes that come from outside: false on overflow, *out untouched. */
static inline bool tn_mul_size(size_t a, size_t b, size_t *out) {
  size_t product;
  if (__builtin_mul_overflow(a, b, &product)) return false;
  *out = product;
  return true;
}
static inline bool tn_add_size(size_t a, size_t b, size_t *out) {
  size_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return false;
  *out = sum;
  return true;
}

/* Grows an array of `size`-byte items so that it holds at least `want`: doubles *capacity, moves
 * *items.  New items are zeroed.  TN_ERR_MEMORY leaves both as they were. */
TN_NODISCARD tn_status tn_grow(void **items, size_t *capacity, size_t want, size_t size,
                               tn_error *err);

typedef struct tn_arena_chunk tn_arena_chunk;
typedef struct tn_arena { /* all zero is a valid empty arena */
  tn_arena_chunk *chunks;
  size_t used_bytes;  /* handed out since the last reset */
  size_t limit_bytes; /* 0: no limit; beyond it allocations fail */
  bool failed;        /* sticky: an allocation has failed since the last reset */
} tn_arena;

void *tn_arena_alloc(tn_arena *arena, size_t count, size_t size); /* zeroed, 16-byte aligned */
char *tn_arena_strndup(tn_arena *arena, const char *text, size_t length);
void tn_arena_reset(tn_arena *arena); /* forgets everything, keeps the largest chunk */
void tn_arena_clear(tn_arena *arena); /* frees everything; the arena is all zero again */

#endif
