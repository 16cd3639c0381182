/* tokenizer_internal.h - what a tokenizer is made of; only tokenizer*.c may look.
 *
 * Everything but the scratch list is immutable after loading.  Token texts live in one arena.  A
 * scratch (match data, word cache, buffers) is taken for the length of one encode, so that encodes
 * on different threads share nothing but the list's lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_INTERNAL_H
#define TN_MODEL_TOKENIZER_INTERNAL_H
#include <pthread.h>

#include "base/map.h"
#include "model/tokenizer.h"
#include "model/tokenizer_added.h"
#include "model/tokenizer_bpe.h"
#include "model/tokenizer_decode.h"
#include "model/tokenizer_normalize.h"
#include "model/tokenizer_post.h"
#include "model/tokenizer_pretokenize.h"
#include "model/tokenizer_unigram.h"
#include "model/tokenizer_wordpiece.h"

#define TN_TOKENIZER_ID_MAX          4194303
#define TN_TOKENIZER_FILE_BYTES_MAX  ((size_t)128 << 20)
#define TN_TOKENIZER_PARSE_BYTES_MAX ((size_t)3 << 30)

typedef enum tn_tokenizer_model {
  TN_MODEL_BPE,
  TN_MODEL_UNIGRAM,
  TN_MODEL_WORDPIECE,
  TN_MODEL_WORDLEVEL,
} tn_tokenizer_model;

typedef struct tn_encode_scratch tn_encode_scratch; /* tokenizer_encode.c */
void tn_encode_scratch_free(tn_encode_scratch *scratch);

struct tn_tokenizer {
  tn_arena arena;
  tn_str source; /* tokenizer.json as it was read: what save writes */
  uint64_t hash; /* xxh64 of source */

  int32_t id_count;  /* highest id + 1 */
  tn_str *written;   /* [id_count] as the file spells it; data NULL: no such id */
  tn_str *decoded;   /* [id_count] what the decoder is given; mostly the same */
  tn_str *bytes;     /* [id_count] what it stands for */
  uint8_t *specials; /* [id_count] */
  tn_map ids;        /* the model's vocabulary: written -> id */

  tn_normalizer *normalizer;      /* NULL: none */
  tn_pretokenizer *pre_tokenizer; /* NULL: none */
  bool raw;                       /* pieces are bytes (tokenizer_pretokenize.h) */
  bool any_bytes;                 /* raw, and nothing before needs UTF-8 */
  tn_tokenizer_model model;
  tn_bpe bpe;
  tn_unigram unigram;
  tn_wordpiece wordpiece; /* and the unk token of WordLevel */
  tn_added added;
  tn_post post;
  tn_decoder *decoder; /* NULL: none */

  pthread_mutex_t lock; /* guards `idle` */
  bool lock_made;
  tn_encode_scratch *idle;
};

/* tokenizer_load.c: fills a zeroed tokenizer from parsed JSON; on failure the caller frees it. */
TN_NODISCARD tn_status tn_tokenizer_load(tn_tokenizer *t, tn_str json, tn_error *err);

#endif
