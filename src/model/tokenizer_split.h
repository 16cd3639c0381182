/* tokenizer_split.h - cuts text into the pieces that BPE works on, by regular expressions.
 *
 * Patterns are data, written for Oniguruma (the engine behind Hugging Face tokenizers) and run by
 * PCRE2 with its JIT.  Where the two read a pattern differently (\s, \w, \d, \h, script names, and
 * characters newer than PCRE2's Unicode tables) the pattern is translated, so that both cut alike.
 *
 *     text -> pattern 1 -> its matches, and the gaps between them -> pattern 2 on each -> ... ->
 * pieces
 *
 * Every byte of the text is in exactly one piece.  A stretch of invalid UTF-8 is a piece of its
 * own.
 *
 * Thread: a splitter is immutable; each concurrent run needs its own scratch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_SPLIT_H
#define TN_MODEL_TOKENIZER_SPLIT_H
#include "base/str.h"

#define TN_SPLIT_PATTERNS_MAX      8
#define TN_SPLIT_PATTERN_BYTES_MAX 4096

/* What ByteLevel's use_regex stands for: GPT-2's pattern (Radford et al. 2019). */
extern const tn_str tn_split_gpt2;

typedef struct tn_splitter tn_splitter;
typedef struct tn_split_scratch tn_split_scratch;

/* No pattern at all (count 0): each valid stretch is one piece.  A pattern that does not compile is
 * TN_ERR_DATA with PCRE2's words and the byte; one that cannot be translated TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_splitter_new(tn_splitter **out, const tn_str *patterns, int32_t count,
                                       tn_error *err);
void tn_splitter_free(tn_splitter *s);

TN_NODISCARD tn_status tn_split_scratch_new(tn_split_scratch **out, tn_error *err);
void tn_split_scratch_free(tn_split_scratch *scratch);

typedef tn_status (*tn_split_fn)(void *context, tn_str piece, tn_error *err);
/* Calls `fn` for every piece in order; a status other than TN_OK ends the run and is returned.  A
 * pattern that backtracks without end is TN_ERR_LIMIT. */
TN_NODISCARD tn_status tn_splitter_run(const tn_splitter *s, tn_split_scratch *scratch, tn_str text,
                                       tn_split_fn fn, void *context, tn_error *err);

#endif
