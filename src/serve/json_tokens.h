/* json_tokens.h - which tokens of a vocabulary can go on with a JSON object (json_guard.h).
 *
 * Most are decided by a table: within a string by whether a token has quotes, backslashes or
 * control characters, elsewhere by its first byte, and the next where that is a space.  Only what
 * is left has its bytes tried.  Special tokens and those that end a text never come.
 *
 * Immutable once made.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_JSON_TOKENS_H
#define TN_SERVE_JSON_TOKENS_H
#include "model/tokenizer.h"
#include "serve/json_guard.h"

typedef struct tn_json_tokens tn_json_tokens;
/* vocab_size is the model's, which may have more than the tokenizer; that must outlive this. */
TN_NODISCARD tn_status tn_json_tokens_new(tn_json_tokens **out, const tn_tokenizer *tokenizer,
                                          int64_t vocab_size, const int32_t *eos_ids,
                                          int32_t eos_count, tn_error *err);
void tn_json_tokens_free(tn_json_tokens *t); /* NULL is fine */
/* allowed: [vocab_size], 1 of a token that can come next, else 0. */
void tn_json_tokens_allow(const tn_json_tokens *t, const tn_json_guard *guard, uint8_t *allowed);

#endif
