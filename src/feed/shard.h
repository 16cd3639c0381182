/* shard.h - token shards: documents as token ids in Arrow IPC files that a loader maps without a
 * copy.
 *
 * A shard is one Arrow IPC file with one column `tokens` (int32, no nulls) holding whole documents
 * end to end, each followed by the end-of-text id.  A folder of shards has an index.json:
 * {"format": "tenon-tokens-1", "vocab_size", "eos_id", "tokens", "documents", "tokenizer_hash",
 * "shards": [{"file", "tokens", "xxh64"}]}; xxh64 is of the column's bytes, and part of the file's
 * name.
 *
 * The index is written last and at once, and names carry content, so a folder shows either its old
 * tokens or its new ones at any moment.  Files that no index names (a killed run leaves them) are
 * removed by the next run that finishes.
 *
 * Thread: one a writer; a reader may be used from any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_FEED_SHARD_H
#define TN_FEED_SHARD_H
#include "base/buffer.h"
#include "base/io.h"
#include "base/str.h"

typedef struct tn_shard_writer tn_shard_writer;
typedef struct tn_shard_writer_options { /* zero: the default */
  int64_t shard_tokens;                  /* default 16 Mi: 64 MiB a file */
  int64_t vocab_size;                    /* recorded, and every id is checked against it */
  int32_t eos_id;                        /* appended after each document */
  uint64_t tokenizer_hash;
  bool replace; /* a folder that holds an index.json is taken over when finish succeeds */
} tn_shard_writer_options;
/* `folder` is made when absent.  One that already holds an index.json, or that another writer is
 * filling right now, is TN_ERR_EXISTS (the first not with `replace`). */
TN_NODISCARD tn_status tn_shard_writer_new(tn_shard_writer **out, const char *folder,
                                           const tn_shard_writer_options *options, tn_error *err);
TN_NODISCARD tn_status tn_shard_writer_document(tn_shard_writer *w, const int32_t *ids,
                                                int64_t count, tn_error *err);
TN_NODISCARD tn_status tn_shard_writer_finish(tn_shard_writer *w,
                                              tn_error *err); /* index.json last */
void tn_shard_writer_free(tn_shard_writer *w);
int64_t tn_shard_writer_tokens(const tn_shard_writer *w);
int64_t tn_shard_writer_documents(const tn_shard_writer *w);
int64_t tn_shard_writer_shards(const tn_shard_writer *w); /* files written so far */

typedef struct tn_token_set tn_token_set; /* all shards of a folder as one run of tokens */
/* verify: recompute each shard's hash (TN_ERR_CHECKSUM).  Each shard's length is always checked. */
TN_NODISCARD tn_status tn_token_set_open(tn_token_set **out, const char *folder, bool verify,
                                         tn_error *err);
/* One array in memory (int32, copied): for tests and small corpora. */
TN_NODISCARD tn_status tn_token_set_of_array(tn_token_set **out, const int32_t *ids, int64_t count,
                                             int64_t vocab_size, tn_error *err);
void tn_token_set_close(tn_token_set *set);
int64_t tn_token_set_count(const tn_token_set *set); /* tokens */
int64_t tn_token_set_vocab_size(const tn_token_set *set);
int32_t tn_token_set_eos(const tn_token_set *set);
uint64_t tn_token_set_hash(const tn_token_set *set); /* of all content: names what was trained on */
uint64_t tn_token_set_tokenizer_hash(const tn_token_set *set);
int64_t tn_token_set_documents(const tn_token_set *set); /* -1: not known */
int64_t tn_token_set_shards(const tn_token_set *set);
/* The tokens of one shard where they lie, in the mapped file; *file is its name (NULL: not wanted).
 */
const int32_t *tn_token_set_shard(const tn_token_set *set, int64_t shard, int64_t *count,
                                  const char **file);
/* Copies tokens [start, start + count) across shard borders; an id outside the vocabulary is
 * TN_ERR_DATA naming shard and place. */
TN_NODISCARD tn_status tn_token_set_read(const tn_token_set *set, int64_t start, int64_t count,
                                         int32_t *out, tn_error *err);

#endif
