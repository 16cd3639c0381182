/* block_pool.h - which KV blocks are free, and how many hold each of the others.
 *
 * A fixed set of numbered blocks.  A block is either free (count 0, in the free list) or
 * referenced. The free list links through the records themselves, so that taking, dropping and
 * later picking one from the middle (a cached block that is wanted again) are all O(1) without
 * memory.  The block freed longest ago is taken first.  Thread: the engine's. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_BLOCK_POOL_H
#define TN_SERVE_BLOCK_POOL_H
#include <stdint.h>

#include "base/error.h"

typedef struct tn_block_pool tn_block_pool;

TN_NODISCARD tn_status tn_block_pool_new(tn_block_pool **out, int32_t blocks, tn_error *err);
void tn_block_pool_free(tn_block_pool *pool);

/* A block with one reference, or -1 when all are in use. */
int32_t tn_block_pool_take(tn_block_pool *pool);
void tn_block_pool_share(tn_block_pool *pool, int32_t block); /* one more reference */
void tn_block_pool_drop(tn_block_pool *pool, int32_t block);  /* the last one frees it */

int32_t tn_block_pool_total(const tn_block_pool *pool);
int32_t tn_block_pool_free_count(const tn_block_pool *pool);
int32_t tn_block_pool_refs(const tn_block_pool *pool, int32_t block);
/* Walks everything; an error names the first broken link or count.  For tests and idle moments. */
TN_NODISCARD tn_status tn_block_pool_check(const tn_block_pool *pool, tn_error *err);

#endif
