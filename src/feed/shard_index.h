/* shard_index.h - index.json of a folder of token shards, as text and as a struct. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_FEED_SHARD_INDEX_H
#define TN_FEED_SHARD_INDEX_H
#include "base/json.h"

#define TN_SHARD_FORMAT   "tenon-tokens-1"
#define TN_SHARD_COLUMN   "tokens"
#define TN_SHARDS_MAX     1000000
#define TN_SHARD_NAME_MAX 64
#define TN_VOCAB_SIZE_MAX ((int64_t)1 << 31)
#define TN_SET_TOKENS_MAX ((int64_t)1 << 60)

typedef struct tn_shard_entry {
  char file[TN_SHARD_NAME_MAX];
  int64_t tokens;
  uint64_t hash;
} tn_shard_entry;

typedef struct tn_shard_index { /* all zero is valid and empty */
  int64_t vocab_size, tokens, documents;
  int32_t eos_id;
  uint64_t tokenizer_hash;
  tn_shard_entry *shards;
  size_t shard_count, shard_capacity;
} tn_shard_index;

void tn_shard_index_clear(tn_shard_index *index);
/* "tokens-00012-0123456789abcdef.arrow" */
void tn_shard_name(char out[TN_SHARD_NAME_MAX], int64_t number, uint64_t hash);
/* Whether a file in the folder is a shard, or a shard or index that a killed run left unfinished.
 */
bool tn_shard_name_is(const char *file);
void tn_shard_index_write(const tn_shard_index *index, tn_strbuf *out);
/* *out must be empty; on failure the caller clears it. */
TN_NODISCARD tn_status tn_shard_index_parse(tn_shard_index *out, tn_str json, tn_error *err);

#endif
