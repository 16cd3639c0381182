/* tokenizer.h - text to token ids and back, as the tokenizer.json of Hugging Face says; and the
 * training of vocabularies.
 *
 *     text -> added tokens cut out -> normalizer -> pre-tokenizer -> model -> post-processor -> ids
 *
 * Models are BPE (over bytes or characters), Unigram, WordPiece and WordLevel.  A byte-level BPE
 * without a normalizer takes any byte string and decodes back to it; all others repair what is not
 * UTF-8 first (U+FFFD).
 *
 * Thread: a tokenizer is immutable once made; encode and decode from any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_H
#define TN_MODEL_TOKENIZER_H
#include "base/io.h"
#include "base/progress.h"
#include "base/thread.h"

typedef struct tn_tokenizer tn_tokenizer;

/* Reads tokenizer.json, SentencePiece's tokenizer.model or the vocabulary of a GGUF file, or the
 * one of these that a folder holds.  What it has and we do not know is TN_ERR_UNSUPPORTED, naming
 * it. */
TN_NODISCARD tn_status tn_tokenizer_open(tn_tokenizer **out, const char *path, tn_error *err);
/* The same from memory; `name` is for messages. */
TN_NODISCARD tn_status tn_tokenizer_parse(tn_tokenizer **out, const char *name, tn_str json,
                                          tn_error *err);
void tn_tokenizer_free(tn_tokenizer *t);
/* Writes tokenizer.json; one that was opened comes out byte for byte as it was. */
TN_NODISCARD tn_status tn_tokenizer_save(const tn_tokenizer *t, const char *path, tn_error *err);
/* The tokenizer_config.json by which transformers loads the folder. */
TN_NODISCARD tn_status tn_tokenizer_save_config(const tn_tokenizer *t, const char *path, tn_str eos,
                                                tn_error *err);

int64_t tn_tokenizer_vocab_size(const tn_tokenizer *t); /* highest id + 1, added tokens included */
/* Of a token as tokenizer.json spells it ("<|endoftext|>", "\u0120the"); -1: none. */
int64_t tn_tokenizer_id(const tn_tokenizer *t, tn_str token);
/* The other direction: as spelled, and the bytes it stands for in the middle of a text (streams are
 * made of these); data NULL where there is no such id. */
tn_str tn_tokenizer_token(const tn_tokenizer *t, int32_t id);
tn_str tn_tokenizer_bytes(const tn_tokenizer *t, int32_t id);
bool tn_tokenizer_is_special(const tn_tokenizer *t, int32_t id);
/* Fails on the first id that a model of vocab_size rows does not have, naming it: a tokenizer may
 * have added tokens above those of the model (Gemma 3's <image_soft_token>).  t NULL: no name. */
TN_NODISCARD tn_status tn_tokenizer_check_ids(const tn_tokenizer *t, const int32_t *ids,
                                              size_t count, int64_t vocab_size, tn_error *err);
uint64_t tn_tokenizer_hash(const tn_tokenizer *t); /* xxh64 of the file's bytes */
/* The end-of-text id: tokenizer_config.json's eos_token in `folder` (NULL: do not look), else
 * "<|endoftext|>", "</s>", "<|end_of_text|>", whichever is there first; -1: none. */
int32_t tn_tokenizer_eos(const tn_tokenizer *t, const char *folder);

typedef struct tn_ids { /* all zero is a valid empty list; clear frees */
  int32_t *items;
  size_t count, capacity;
} tn_ids;
void tn_ids_clear(tn_ids *ids);
TN_NODISCARD tn_status tn_ids_reserve(tn_ids *ids, size_t more, tn_error *err);

/* Appends the tokens of `text`, and no others (the post-processor is not run).  Special tokens
 * written in the text are recognised only when `parse_special`.  The text need not be valid UTF-8.
 */
TN_NODISCARD tn_status tn_tokenizer_encode(const tn_tokenizer *t, tn_str text, bool parse_special,
                                           tn_ids *ids, tn_error *err);

typedef struct tn_encode_options { /* zero: the default */
  bool parse_special;              /* special tokens written in the text are recognised */
  bool add_special;                /* the post-processor adds its tokens ([CLS], <s>, ...) */
  bool truncate;                   /* as the file's "truncation" says, where it says something */
} tn_encode_options;

typedef struct tn_encoding { /* all zero is valid and empty; clear frees */
  tn_ids ids;
  tn_ids type_ids; /* which sequence a token belongs to */
  tn_ids mask;     /* 0: padding */
} tn_encoding;
void tn_encoding_clear(tn_encoding *e);

/* Appends what a model is fed for `text`, or for a pair of texts (pair NULL: none). */
TN_NODISCARD tn_status tn_tokenizer_encode_input(const tn_tokenizer *t, tn_str text,
                                                 const tn_str *pair,
                                                 const tn_encode_options *options, tn_encoding *out,
                                                 tn_error *err);
/* Appends the ids alone, without truncation. */
TN_NODISCARD tn_status tn_tokenizer_encode_prompt(const tn_tokenizer *t, tn_str text,
                                                  bool parse_special, bool add_special, tn_ids *ids,
                                                  tn_error *err);
/* Pads a batch as the file's "padding" says; nothing where it says nothing. */
TN_NODISCARD tn_status tn_tokenizer_pad(const tn_tokenizer *t, tn_encoding *items, size_t count,
                                        tn_error *err);

/* Appends the text of the tokens, special ones only when `keep_special`, as the file's decoder
 * makes it; where that is ByteLevel, the bytes themselves.  An id outside the vocabulary is
 * TN_ERR_ARGUMENT. */
TN_NODISCARD tn_status tn_tokenizer_decode(const tn_tokenizer *t, const int32_t *ids, size_t count,
                                           bool keep_special, tn_strbuf *out, tn_error *err);

typedef enum tn_train_model {
  TN_TRAIN_BPE,       /* over bytes, cut by GPT-2's pattern */
  TN_TRAIN_WORDPIECE, /* over characters, as BERT: its normalizer and pre-tokenizer */
  TN_TRAIN_UNIGRAM,   /* NFKC, Metaspace; EM and pruning (Kudo 2018) */
} tn_train_model;

typedef struct tn_tokenizer_train_options { /* zero: the default */
  tn_train_model model;
  int64_t vocab_size;    /* with bytes (or characters) and specials; default 4,096 */
  int64_t min_frequency; /* of a pair to be merged; default 2 */
  /* Get the first ids.  WordPiece wants [UNK], [CLS] and [SEP] among them, Unigram <unk>. */
  const char *const *specials;
  int32_t special_count;
  bool cased;              /* WordPiece: keep capitals and accents */
  int64_t alphabet_max;    /* WordPiece, Unigram: the most frequent characters; default 1,000 */
  int64_t piece_bytes_max; /* longer pre-token pieces are cut; default 1,024 */
} tn_tokenizer_train_options;

typedef struct tn_tokenizer_trainer tn_tokenizer_trainer;
TN_NODISCARD tn_status tn_tokenizer_trainer_new(tn_tokenizer_trainer **out,
                                                const tn_tokenizer_train_options *options,
                                                tn_error *err);
TN_NODISCARD tn_status tn_tokenizer_trainer_add(tn_tokenizer_trainer *tr, tn_str text,
                                                tn_error *err);
/* The same for many, on the pool's threads (NULL: on this one). */
TN_NODISCARD tn_status tn_tokenizer_trainer_add_many(tn_tokenizer_trainer *tr, const tn_str *texts,
                                                     int64_t count, tn_pool *pool, tn_error *err);
/* Learns the vocabulary; the pool serves Unigram.  Ties go to the pair with the smaller ids, sums
 * are added in a fixed order: the result is a pure function of the texts, not of their order or of
 * the threads. */
TN_NODISCARD tn_status tn_tokenizer_trainer_finish(tn_tokenizer_trainer *tr, tn_progress *progress,
                                                   tn_pool *pool, tn_tokenizer **out,
                                                   tn_error *err);
void tn_tokenizer_trainer_free(tn_tokenizer_trainer *tr);

#endif
