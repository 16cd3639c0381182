/* gguf_tokens.h - a tokenizer.json as the metadata that llama.cpp reads a vocabulary from.
 *
 *     BPE over bytes            "gpt2": tokens, types, merges, the name of the pre-tokenizer
 *     BPE with byte fallback    "llama": tokens, types, scores (as the merges of SentencePiece had)
 *
 * llama.cpp knows pre-tokenizers by name, not by their patterns; those whose pattern is recognised
 * here are GPT-2's, Llama 3's and Qwen 2's.  Source: llama.cpp's conversion scripts.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_GGUF_TOKENS_H
#define TN_QUANT_GGUF_TOKENS_H
#include "model/config.h"
#include "quant/gguf_write.h"

/* Puts tokenizer.ggml.* and the chat template of `folder`.  TN_ERR_UNSUPPORTED names what the
 * tokenizer has that such metadata cannot say. */
TN_NODISCARD tn_status tn_gguf_put_tokens(tn_gguf_writer *w, const char *folder,
                                          const tn_model_config *config, tn_error *err);
#endif
