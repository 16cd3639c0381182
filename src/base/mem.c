/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Every block carries its size and the distance to what malloc gave, so that plain and aligned
 * blocks have one tn_free and one tn_realloc. */
typedef struct block_header {
  uint64_t bytes;
  uint32_t offset; /* from malloc's pointer to the user's */
  uint32_t magic;
} block_header;

enum { BLOCK_MAGIC = 0x746e6d65, ALIGN = 16, ALIGN_WIDE = 64 };
_Static_assert(sizeof(block_header) == ALIGN, "the header keeps malloc's alignment");

static _Atomic int64_t live_blocks;
static _Atomic int64_t fail_countdown;

static bool injected_failure(void) {
  if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) <= 0) return false;
  return atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) == 1;
}

static block_header *header_of(void *ptr) {
  return (block_header *)ptr - 1;
}

static void *finish_block(char *base, size_t offset, size_t bytes) {
  void *ptr = base + offset;
  *header_of(ptr) = (block_header){bytes, (uint32_t)offset, BLOCK_MAGIC};
  atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
  return ptr;
}

void *tn_alloc(size_t count, size_t size) {
  size_t bytes, total;
  if (!tn_mul_size(count, size, &bytes) || !tn_add_size(bytes, ALIGN, &total)) return NULL;
  if (total > PTRDIFF_MAX || injected_failure()) return NULL;
  char *base = calloc(1, total);
  return base ? finish_block(base, ALIGN, bytes) : NULL;
}

void *tn_alloc_aligned(size_t bytes) {
  size_t total;
  if (!tn_add_size(bytes, ALIGN + ALIGN_WIDE, &total)) return NULL;
  if (total > PTRDIFF_MAX || injected_failure()) return NULL;
  /* calloc rather than aligned_alloc and memset: large blocks come as untouched zero pages. */
  char *base = calloc(1, total);
  if (!base) return NULL;
  uintptr_t user = ((uintptr_t)base + ALIGN + ALIGN_WIDE - 1) & ~(uintptr_t)(ALIGN_WIDE - 1);
  return finish_block(base, user - (uintptr_t)base, bytes);
}

static void *realloc_wide(void *ptr, size_t bytes) {
  void *moved = tn_alloc_aligned(bytes);
  if (!moved) return NULL;
  size_t old = header_of(ptr)->bytes;
  memcpy(moved, ptr, old < bytes ? old : bytes);
  tn_free(ptr);
  return moved;
}

size_t tn_block_bytes(const void *ptr) {
  return ((const block_header *)ptr - 1)->bytes;
}

void *tn_realloc(void *ptr, size_t count, size_t size) {
  if (!ptr) return tn_alloc(count, size);
  size_t bytes, total;
  if (!tn_mul_size(count, size, &bytes) || !tn_add_size(bytes, ALIGN, &total)) return NULL;
  block_header *header = header_of(ptr);
  assert(header->magic == BLOCK_MAGIC); /* not ours */
  if (header->offset != ALIGN) return realloc_wide(ptr, bytes);
  if (total > PTRDIFF_MAX || injected_failure()) return NULL;
  char *base = realloc(header, total);
  if (!base) return NULL;
  ((block_header *)base)->bytes = bytes;
  return base + ALIGN;
}

void tn_free(void *ptr) {
  if (!ptr) return;
  block_header *header = header_of(ptr);
  assert(header->magic == BLOCK_MAGIC); /* not ours, or freed twice */
  header->magic = 0;
  atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
  free((char *)ptr - header->offset);
}

char *tn_strndup(const char *text, size_t length) {
  size_t bytes;
  if (!tn_add_size(length, 1, &bytes)) return NULL;
  char *copy = tn_alloc(bytes, 1);
  if (copy && length) memcpy(copy, text, length);
  return copy;
}

void tn_alloc_fail_at(int64_t n) {
  atomic_store(&fail_countdown, n);
}

int64_t tn_alloc_live(void) {
  return atomic_load(&live_blocks);
}

tn_status tn_grow(void **items, size_t *capacity, size_t want, size_t size, tn_error *err) {
  if (want <= *capacity) return TN_OK;
  size_t target = *capacity ? *capacity : 8;
  while (target < want)
    if (!tn_mul_size(target, 2, &target)) target = want;
  void *moved = tn_realloc(*items, target, size);
  if (!moved) {
    size_t bytes = SIZE_MAX;
    if (!tn_mul_size(target, size, &bytes)) bytes = SIZE_MAX;
    return tn_fail_memory(err, "a growing array", bytes);
  }
  memset((char *)moved + *capacity * size, 0, (target - *capacity) * size);
  *items = moved;
  *capacity = target;
  return TN_OK;
}

/* ---- arenas ---- */

struct tn_arena_chunk {
  tn_arena_chunk *next;
  size_t bytes, used;
  size_t pad; /* keeps what follows 16-byte aligned */
};
_Static_assert(sizeof(tn_arena_chunk) % ALIGN == 0, "data behind the chunk stays aligned");

enum { CHUNK_BYTES_MIN = 4096, CHUNK_BYTES_MAX = 1 << 20 };

static char *chunk_data(tn_arena_chunk *chunk) {
  return (char *)(chunk + 1);
}

/* Doubles from chunk to chunk; a wish that would fill most of one gets a chunk of its own size. */
static size_t next_chunk_bytes(const tn_arena *arena, size_t wish) {
  size_t bytes = CHUNK_BYTES_MIN;
  if (arena->chunks) bytes = arena->chunks->bytes * 2;
  if (bytes > CHUNK_BYTES_MAX) bytes = CHUNK_BYTES_MAX;
  return bytes > wish ? bytes : wish;
}

static tn_arena_chunk *add_chunk(tn_arena *arena, size_t wish) {
  size_t bytes = next_chunk_bytes(arena, wish), total;
  if (!tn_add_size(bytes, sizeof(tn_arena_chunk), &total)) return NULL;
  tn_arena_chunk *chunk = tn_alloc(total, 1);
  if (!chunk) return NULL;
  chunk->bytes = bytes;
  tn_arena_chunk *head = arena->chunks;
  if (head && head->bytes - head->used > bytes - wish) { /* keep filling the roomier one */
    chunk->next = head->next;
    head->next = chunk;
  } else {
    chunk->next = head;
    arena->chunks = chunk;
  }
  return chunk;
}

static bool over_limit(const tn_arena *arena, size_t bytes) {
  size_t total;
  if (!tn_add_size(arena->used_bytes, bytes, &total)) return true;
  return arena->limit_bytes && total > arena->limit_bytes;
}

void *tn_arena_alloc(tn_arena *arena, size_t count, size_t size) {
  size_t bytes;
  if (!tn_mul_size(count, size, &bytes) || bytes > PTRDIFF_MAX) goto fail;
  bytes = bytes ? (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
  if (over_limit(arena, bytes)) goto fail;
  tn_arena_chunk *chunk = arena->chunks;
  if (!chunk || chunk->bytes - chunk->used < bytes) chunk = add_chunk(arena, bytes);
  if (!chunk) goto fail;
  void *ptr = chunk_data(chunk) + chunk->used;
  chunk->used += bytes;
  arena->used_bytes += bytes;
  return ptr;
fail:
  arena->failed = true;
  return NULL;
}

char *tn_arena_strndup(tn_arena *arena, const char *text, size_t length) {
  size_t bytes;
  if (!tn_add_size(length, 1, &bytes)) {
    arena->failed = true;
    return NULL;
  }
  char *copy = tn_arena_alloc(arena, bytes, 1);
  if (copy && length) memcpy(copy, text, length);
  return copy;
}

static void free_chunks(tn_arena_chunk *chunk, const tn_arena_chunk *except) {
  while (chunk) {
    tn_arena_chunk *next = chunk->next;
    if (chunk != except) tn_free(chunk);
    chunk = next;
  }
}

void tn_arena_reset(tn_arena *arena) {
  tn_arena_chunk *largest = arena->chunks;
  for (tn_arena_chunk *c = arena->chunks; c; c = c->next)
    if (c->bytes > largest->bytes) largest = c;
  free_chunks(arena->chunks, largest);
  if (largest) { /* what the arena gives out is zero: only what was used can be dirty */
    memset(chunk_data(largest), 0, largest->used);
    largest->used = 0;
    largest->next = NULL;
  }
  arena->chunks = largest;
  arena->used_bytes = 0;
  arena->failed = false;
}

void tn_arena_clear(tn_arena *arena) {
  free_chunks(arena->chunks, NULL);
  *arena = (tn_arena){0};
}
