/* tokenizer.h - byte-level BPE: training, encoding, decoding, and the tokenizer.json of Hugging Face.
 *
 * Text is split by a pre-tokenizer pattern (GPT-2's by default), each piece becomes bytes, and learned
 * merges join neighbours in order of rank.  Any byte string encodes and decodes back to itself.
 *
 * Thread: a tokenizer is immutable once made; encode and decode from any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_H
#define TN_MODEL_TOKENIZER_H
#include "base/io.h"
#include "base/progress.h"
#include "base/thread.h"

typedef struct tn_tokenizer tn_tokenizer;

/* Reads tokenizer.json: model BPE with a ByteLevel pre-tokenizer (plain, or Split with a regex
 * before it), added tokens, ignore_merges.  Anything else: TN_ERR_UNSUPPORTED naming it. */
TN_NODISCARD tn_status tn_tokenizer_open(tn_tokenizer **out, const char *path, tn_error *err);
/* The 256 bytes and no merges, plus special tokens. */
void tn_tokenizer_free(tn_tokenizer *t);
TN_NODISCARD tn_status tn_tokenizer_save(const tn_tokenizer *t, const char *path, tn_error *err);

int64_t tn_tokenizer_vocab_size(const tn_tokenizer *t); /* highest id + 1, added tokens included */
int64_t tn_tokenizer_id(const tn_tokenizer *t, tn_str token); /* of a vocabulary entry; -1: none */
bool tn_tokenizer_is_special(const tn_tokenizer *t, int32_t id);

typedef struct tn_ids { /* all zero is a valid empty list; clear frees */
  int32_t *items;
  size_t count, capacity;
} tn_ids;
void tn_ids_clear(tn_ids *ids);

/* Appends the tokens of `text`.  Special tokens written in the text are recognised only when
 * `parse_special`.  The text need not be valid UTF-8. */
TN_NODISCARD tn_status tn_tokenizer_encode(const tn_tokenizer *t, tn_str text, bool parse_special,
                                           tn_ids *ids, tn_error *err);
/* Appends the bytes of the tokens; special ones only when `keep_special`.  An id outside the
 * vocabulary is TN_ERR_ARGUMENT. */
TN_NODISCARD tn_status tn_tokenizer_decode(const tn_tokenizer *t, const int32_t *ids, size_t count,
                                           bool keep_special, tn_strbuf *out, tn_error *err);

typedef struct tn_tokenizer_train_options { /* zero: the default */
  int64_t vocab_size;                       /* with bytes and specials; default 4,096 */
  int64_t min_frequency;                    /* of a pair to be merged; default 2 */
  const char *const *specials;              /* get the first ids */
  int32_t special_count;
  int64_t piece_bytes_max;                  /* longer pre-token pieces are cut; default 1,024 */
} tn_tokenizer_train_options;

typedef struct tn_tokenizer_trainer tn_tokenizer_trainer;
TN_NODISCARD tn_status tn_tokenizer_trainer_new(tn_tokenizer_trainer **out,
                                                const tn_tokenizer_train_options *options,
                                                tn_error *err);
TN_NODISCARD tn_status tn_tokenizer_trainer_add(tn_tokenizer_trainer *tr, tn_str text, tn_error *err);
/* Learns the merges.  Ties go to the pair with the smaller ids, so the result is a pure function of
 * the text. */
TN_NODISCARD tn_status tn_tokenizer_trainer_finish(tn_tokenizer_trainer *tr, tn_progress *progress,
                                                   tn_tokenizer **out, tn_error *err);
void tn_tokenizer_trainer_free(tn_tokenizer_trainer *tr);

#endif
