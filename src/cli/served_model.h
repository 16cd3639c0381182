/* served_model.h - a model folder with all that answering needs: weights, tokenizer, chat template
 * and the tokens that end an answer.  What `tenon serve` and `tenon run` open.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_SERVED_MODEL_H
#define TN_CLI_SERVED_MODEL_H
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "model/transformer.h"

enum { TN_SERVED_EOS_MAX = 16 };

typedef struct tn_served_model { /* all zero is valid */
  char *folder; /* without links: a newer checkpoint does not change what is served */
  char name[128];
  tn_model *model;
  tn_tokenizer *tokenizer;
  tn_chat_template *chat_template; /* NULL: the folder has none */
  int32_t eos_ids[TN_SERVED_EOS_MAX];
  int32_t eos_count;
  int32_t start_id; /* begins a text where nothing else does; -1: none */
} tn_served_model;

/* `word` is what the user wrote (model_path.h); name NULL: the last part of it.  On failure clear
 * it all the same. */
TN_NODISCARD tn_status tn_served_model_open(tn_served_model *out, const char *word,
                                            const char *name, const tn_model_options *options,
                                            tn_error *err);
void tn_served_model_clear(tn_served_model *s);
/* A next step for an error of opening; NULL: none. */
const char *tn_served_model_hint(const tn_error *err);

#endif
