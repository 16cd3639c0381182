/* corpus.h - the tokens of a run, split into training and validation, and the tokenizer files that
 * its checkpoints carry.
 *
 *     | training tokens ...................... | validation |     the last share of one token set
 *
 * Two sources: a folder of token shards (feed/shard.h), or one text file whose vocabulary is its
 * own sorted distinct characters.  The second writes a byte-level BPE tokenizer.json without
 * merges, so that the server and Hugging Face read it like any other.
 *
 * Thread: immutable once open. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_CORPUS_H
#define TN_TRAIN_CORPUS_H
#include "feed/shard.h"
#include "train/run_config.h"

enum { TN_CORPUS_FILES_MAX = 4 };

typedef struct tn_side_file { /* goes into a checkpoint's folder as it is */
  const char *name;           /* "tokenizer.json"; a literal */
  tn_strbuf content;
} tn_side_file;

typedef struct tn_corpus {
  tn_token_set *set;
  int64_t train_tokens, validation_tokens; /* training comes first; validation may be 0 */
  int64_t vocab_size;
  int64_t eos_id; /* -1: none */
  tn_side_file files[TN_CORPUS_FILES_MAX];
  int32_t file_count;
} tn_corpus;

TN_NODISCARD tn_status tn_corpus_open(tn_corpus *out, const tn_run_config *config, tn_error *err);
void tn_corpus_close(tn_corpus *corpus); /* all zero is fine */

/* The tokenizer.json of a vocabulary of single bytes: ids[byte] is the id, -1 for a byte that does
 * not occur. */
void tn_byte_tokenizer_write(const int32_t ids[256], tn_strbuf *json);
#endif
