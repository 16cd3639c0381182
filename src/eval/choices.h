/* choices.h - multiple choice by log-likelihood, as EleutherAI's lm-evaluation-harness defines it.
 *
 *     {"context": "The sky is", "choices": ["blue", "made of stone"], "answer": 0}     a line each
 *
 * A choice's log-likelihood is the sum over the tokens of delimiter + choice, given the context.
 * The pair is encoded as one text (white space at the context's end goes to the choice) and cut at
 * the number of tokens that the context alone has.  Special tokens written in a text count as such,
 * as in transformers and in what `tenon serve` scores.  Without a context the model starts from its
 * begin-of-text token, or the end-of-text token where there is none.  What is longer than the model
 * takes loses its beginning.
 *
 *     acc         the choice of the largest log-likelihood is the answer
 *     acc_norm    ... of the largest log-likelihood / characters (Unicode) of the choice
 *     acc_bytes   ... of the largest log-likelihood / bytes (UTF-8) of the choice
 *
 * Of equals the first counts.  The error of a mean is the sample's deviation / sqrt(items).
 *
 * Thread: a pure function of its arguments. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_EVAL_CHOICES_H
#define TN_EVAL_CHOICES_H
#include "eval/scorer.h"
#include "model/tokenizer.h"

enum { TN_CHOICES_MAX = 256 }; /* of one item */

typedef struct tn_choice_score {
  double log_likelihood;
  int64_t tokens, characters, bytes; /* the last two without the delimiter */
  bool is_greedy;                    /* every token was the likeliest one */
} tn_choice_score;

typedef struct tn_choice_item {
  int64_t line; /* of the file, from 1 */
  const tn_choice_score *scores;
  int32_t count, answer;
  int32_t picked, picked_characters, picked_bytes; /* by the three rules */
} tn_choice_item;

typedef struct tn_choices_options {
  const char *delimiter;  /* between context and choice; NULL: one space */
  int32_t bos_id, eos_id; /* below 0: none */
  bool add_bos;           /* before every context */
  int64_t items_max;      /* stop there; 0: all */
  tn_status (*each)(void *context, const tn_choice_item *item, tn_error *err); /* may be NULL */
  void *context;
} tn_choices_options;

typedef struct tn_choices {
  int64_t items, scored; /* scored: tokens */
  double acc, acc_norm, acc_bytes;
  double acc_error, acc_norm_error, acc_bytes_error; /* standard errors */
} tn_choices;

/* Reads and scores the JSON lines of a file.  A line that is no such object: TN_ERR_DATA naming
 * file and line. */
TN_NODISCARD tn_status tn_choices_run(tn_choices *out, tn_scorer *scorer,
                                      const tn_tokenizer *tokenizer, const char *path,
                                      const tn_choices_options *options, tn_progress *progress,
                                      tn_error *err);
#endif
