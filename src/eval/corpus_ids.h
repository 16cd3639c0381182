/* corpus_ids.h - the text of files as one run of token ids, as `tenon feed pack` lays it out:
 *
 *     document | end of text | document | end of text | document
 *
 * but special tokens written in a text count as such, as in transformers and in `tenon serve`.
 * Every document is encoded by itself; the token between two of them is left out where the
 * tokenizer has none.  The ids are held in memory (4 bytes a token); a limit cuts them.
 *
 * Thread: a pure function of the files. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_EVAL_CORPUS_IDS_H
#define TN_EVAL_CORPUS_IDS_H
#include "base/progress.h"
#include "model/tokenizer.h"

typedef struct tn_corpus_ids_options {
  const char *column; /* of tables; NULL: "text" */
  int64_t tokens_max; /* stop there; 0: all */
  int64_t vocab_size; /* of the model: a token above is TN_ERR_ARGUMENT; 0: not checked */
  int32_t eos_id;     /* between documents; below 0: none */
} tn_corpus_ids_options;

/* Appends to *ids.  Files: .txt is one document, tables have one a row (feed/documents.h). */
TN_NODISCARD tn_status tn_corpus_ids_read(tn_ids *ids, const tn_tokenizer *tokenizer,
                                          const char *const *paths, int32_t path_count,
                                          const tn_corpus_ids_options *options,
                                          tn_progress *progress, tn_error *err);
#endif
