/* tokenizer_write.h - a byte-level BPE vocabulary as the text of a tokenizer.json. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_WRITE_H
#define TN_MODEL_TOKENIZER_WRITE_H
#include "base/json.h"

typedef struct tn_token_pair {
  int32_t left, right;
} tn_token_pair;

typedef struct tn_tokenizer_plan { /* borrowed */
  const tn_str *tokens; /* [token_count] raw bytes; the first special_count are specials */
  int64_t token_count, special_count;
  const tn_token_pair *merges; /* by rank */
  int64_t merge_count;
} tn_tokenizer_plan;

TN_NODISCARD tn_status tn_tokenizer_write(const tn_tokenizer_plan *plan, tn_strbuf *out,
                                          tn_error *err);

#endif
