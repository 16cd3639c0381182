/* tokenizer_convert.h - a vocabulary of another format (GGUF, SentencePiece) as the text of the
 * tokenizer.json that does the same.
 *
 * So there is one tokenizer, whatever the file; and `tenon tokenizer convert` can show what became
 * of it.  What the other formats leave to code is made explicit as Hugging Face's own converters do
 * it: the merges of a SentencePiece BPE out of its scores, the pre-tokenizer of a GGUF out of its
 * name. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_CONVERT_H
#define TN_MODEL_TOKENIZER_CONVERT_H
#include "base/str.h"

typedef enum tn_vocab_kind {
  TN_VOCAB_BYTE_BPE,  /* merges over bytes */
  TN_VOCAB_SCORE_BPE, /* SentencePiece's BPE: scores instead of merges */
  TN_VOCAB_UNIGRAM,
  TN_VOCAB_WORDPIECE,
} tn_vocab_kind;

/* The numbers of both formats. */
enum {
  TN_PIECE_NORMAL = 1,
  TN_PIECE_UNKNOWN = 2,
  TN_PIECE_CONTROL = 3,
  TN_PIECE_USER = 4,
  TN_PIECE_UNUSED = 5,
  TN_PIECE_BYTE = 6,
};

typedef struct tn_vocab { /* borrowed; ids: -1 for none */
  tn_vocab_kind kind;
  int64_t count;
  const tn_str *tokens;
  const double *scores; /* [count]; SCORE_BPE, UNIGRAM */
  const uint8_t *types; /* [count]; NULL: all normal */
  const tn_str *merges; /* "a b"; BYTE_BPE */
  int64_t merge_count;
  tn_str pre;      /* BYTE_BPE: llama.cpp's name of the pre-tokenizer; empty: GPT-2's */
  tn_str charsmap; /* raw bytes */
  bool prefix;     /* a space is put before the text */
  bool squeeze;    /* runs of spaces become one, those at the ends go */
  bool byte_fallback;
  int32_t add_bos, add_eos; /* 1, 0, or -1: as the kind of vocabulary has it */
  int64_t unk_id, bos_id, eos_id, cls_id, sep_id;
} tn_vocab;

/* A pre-tokenizer that we do not know is TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_vocab_write(const tn_vocab *vocab, tn_strbuf *out, tn_error *err);

#endif
