/* tokenizer_foreign.h - vocabularies of other formats, read into tokenizer_convert.h's form. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_FOREIGN_H
#define TN_MODEL_TOKENIZER_FOREIGN_H
#include "base/mem.h"
#include "model/tokenizer_convert.h"

/* The tokenizer of a GGUF file (tokenizer.ggml.*: gpt2, llama, bert, t5) as tokenizer.json. */
TN_NODISCARD tn_status tn_gguf_vocab(const char *path, tn_strbuf *json, tn_error *err);
/* SentencePiece's tokenizer.model (a protobuf: BPE or Unigram) as tokenizer.json.  Errors name
 * byte and field. */
TN_NODISCARD tn_status tn_sentencepiece_vocab(tn_str bytes, tn_strbuf *json, tn_error *err);

#endif
