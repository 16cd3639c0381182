/* encoder_text.h - the tokens of a text, or of a pair of texts, as an encoder is fed them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_ENCODER_TEXT_H
#define TN_MODEL_ENCODER_TEXT_H
#include "model/tokenizer.h"

/* Appends to an empty *out what the tokenizer's post-processor makes of `text` (and `pair`, NULL:
 * none), with no more than tokens_max tokens: what is too much is cut from the ends of the texts,
 * of the longer one first, as Hugging Face tokenizers does it ("longest_first").
 * TN_ERR_ARGUMENT: the special tokens alone are more than tokens_max. */
TN_NODISCARD tn_status tn_encoder_tokenize(const tn_tokenizer *t, tn_str text, const tn_str *pair,
                                           int64_t tokens_max, tn_encoding *out, tn_error *err);

#endif
