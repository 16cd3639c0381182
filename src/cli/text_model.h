/* text_model.h - a model with its tokenizer, and text files as its tokens: what `tenon eval` and
 * `tenon quantize` work on. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_TEXT_MODEL_H
#define TN_CLI_TEXT_MODEL_H
#include "cli/cli.h"
#include "model/tokenizer.h"
#include "model/transformer.h"

typedef struct tn_text_model {
  tn_strbuf folder; /* that holds config.json */
  tn_model *model;
  tn_tokenizer *tokenizer;
  int32_t bos_id, eos_id; /* below 0: none */
} tn_text_model;

/* `word`: a model's folder or a run's (model_path.h).  Clear it also after a failure. */
TN_NODISCARD tn_status tn_text_model_open(tn_text_model *out, const char *word, tn_error *err);
void tn_text_model_clear(tn_text_model *m);
/* Tokens of the files, at most tokens_max (0: all); column NULL: "text". */
TN_NODISCARD tn_status tn_text_model_ids(const tn_text_model *m, tn_ids *ids,
                                         const tn_option_list *paths, const char *column,
                                         int64_t tokens_max, tn_progress *progress, tn_error *err);
/* The words behind "hint: " for an error of the two calls above; NULL: none. */
/* Whether any of the files is a table: .txt files have no columns. */
bool tn_text_has_table(const tn_option_list *paths);
const char *tn_text_model_hint(const tn_error *err);
#endif
