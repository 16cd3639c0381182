/* tokenizer_internal.h - what a tokenizer is made of; only tokenizer*.c may look.
 *
 * Everything but the scratch list is immutable after loading.  Token texts live in one arena.  A
 * scratch (match data, word cache, symbol arrays) is taken for the length of one encode, so that
 * encodes on different threads share nothing but the list's lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_INTERNAL_H
#define TN_MODEL_TOKENIZER_INTERNAL_H
#include <pthread.h>

#include "base/map.h"
#include "model/tokenizer.h"
#include "model/tokenizer_split.h"

#define TN_TOKENIZER_ID_MAX          4194303
#define TN_TOKENIZER_FILE_BYTES_MAX  ((size_t)128 << 20)
#define TN_TOKENIZER_PARSE_BYTES_MAX ((size_t)3 << 30)
#define TN_TOKENIZER_ADDED_MAX       65536
#define TN_TOKENIZER_ADDED_BYTES_MAX 4096

/* pair (left, right) -> the merged id; rank is the place in the list of merges, lower first. */
typedef struct tn_merge {
  uint64_t pair; /* left << 32 | right; TN_MERGE_NONE: empty slot */
  uint32_t rank;
  int32_t id;
} tn_merge;
#define TN_MERGE_NONE UINT64_MAX

typedef struct tn_merge_table { /* open addressing, at most half full */
  tn_merge *slots;
  uint64_t mask;
} tn_merge_table;

static inline uint64_t tn_merge_pair(int32_t left, int32_t right) {
  return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}
static inline uint64_t tn_merge_hash(uint64_t pair) {
  pair *= 0x9E3779B97F4A7C15u;
  return pair ^ pair >> 32;
}
static inline const tn_merge *tn_merge_find(const tn_merge_table *table, int32_t left,
                                            int32_t right) {
  uint64_t pair = tn_merge_pair(left, right);
  uint64_t slot = tn_merge_hash(pair) & table->mask;
  while (table->slots[slot].pair != TN_MERGE_NONE) {
    if (table->slots[slot].pair == pair) return &table->slots[slot];
    slot = (slot + 1) & table->mask;
  }
  return NULL;
}

typedef struct tn_added_token {
  tn_str content;
  int32_t id;
  bool special, normalized, lstrip, rstrip;
} tn_added_token;

typedef struct tn_encode_scratch tn_encode_scratch; /* tokenizer_encode.c */
void tn_encode_scratch_free(tn_encode_scratch *scratch);

struct tn_tokenizer {
  tn_arena arena;
  tn_str source; /* tokenizer.json as it was read: what save writes */
  uint64_t hash; /* xxh64 of source */

  int32_t id_count;  /* highest id + 1 */
  tn_str *written;   /* [id_count] as the file spells it; data NULL: no such id */
  tn_str *bytes;     /* [id_count] what it stands for */
  uint8_t *specials; /* [id_count] */
  tn_map ids;        /* written -> id */
  tn_map whole;      /* bytes -> id, with ignore_merges only */

  int32_t byte_ids[256]; /* -1: the vocabulary lacks the byte */
  int32_t unk_id;        /* -1: such bytes are dropped */
  bool fuse_unk, ignore_merges;
  tn_merge_table merges;

  tn_added_token *added; /* longest first */
  int32_t added_count;
  int32_t added_first[257]; /* added_order[added_first[b] ..) begin with byte b */
  int32_t *added_order;
  tn_splitter *splitter;

  pthread_mutex_t lock; /* guards `idle` */
  bool lock_made;
  tn_encode_scratch *idle;
};

/* tokenizer_load.c: fills a zeroed tokenizer from parsed JSON; on failure the caller frees it. */
TN_NODISCARD tn_status tn_tokenizer_load(tn_tokenizer *t, tn_str json, tn_error *err);

/* tokenizer_added.c */
TN_NODISCARD tn_status tn_tokenizer_index_added(tn_tokenizer *t, tn_error *err);
/* The next added token in text[from..): *start and *end are its bytes, white space that it strips
 * included.  NULL: none. */
const tn_added_token *tn_tokenizer_find_added(const tn_tokenizer *t, tn_str text, size_t from,
                                              bool parse_special, bool normalized, size_t *start,
                                              size_t *end);

#endif
