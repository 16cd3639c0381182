/* tokenizer_regex.h - the regular expressions of a tokenizer.json.
 *
 * They are written for Oniguruma (the engine behind Hugging Face tokenizers) and run by PCRE2 with
 * its JIT.  Where the two read a pattern differently (\s, \w, \d, \h, script names, and characters
 * newer than PCRE2's Unicode tables) the pattern is translated (tokenizer_pattern.h), so that both
 * match alike.  There are two translations: the exact one is for texts that hold a character for
 * which tn_regex_needs_exact is true, the quick one for all others.
 *
 * Thread: a regex is immutable; each concurrent search needs its own scratch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_REGEX_H
#define TN_MODEL_TOKENIZER_REGEX_H
#include "base/str.h"

#define TN_REGEX_BYTES_MAX 4096

typedef struct tn_regex tn_regex;
typedef struct tn_regex_scratch tn_regex_scratch;

/* A pattern that does not compile is TN_ERR_DATA with PCRE2's words and the byte; one that cannot
 * be translated TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_regex_new(tn_regex **out, tn_str pattern, tn_error *err);
void tn_regex_free(tn_regex *r);

TN_NODISCARD tn_status tn_regex_scratch_new(tn_regex_scratch **out, tn_error *err);
void tn_regex_scratch_free(tn_regex_scratch *scratch);

/* Whether valid UTF-8 holds a character that asks for the exact translation. */
bool tn_regex_needs_exact(tn_str text);
/* The first match in text[at..), which must be valid UTF-8; TN_END when there is none.  A pattern
 * that backtracks without end is TN_ERR_LIMIT. */
TN_NODISCARD tn_status tn_regex_find(const tn_regex *r, tn_regex_scratch *scratch, bool exact,
                                     tn_str text, size_t at, size_t *start, size_t *end,
                                     tn_error *err);

typedef struct tn_regex_walk { /* all zero: at the start of a text */
  size_t at, last_end;
  bool has_last;
} tn_regex_walk;
/* The next match as Oniguruma's iterator gives it: one that is empty and touches the last is left
 * out.  TN_END behind the last. */
TN_NODISCARD tn_status tn_regex_next(const tn_regex *r, tn_regex_scratch *scratch, bool exact,
                                     tn_str text, tn_regex_walk *walk, size_t *start, size_t *end,
                                     tn_error *err);

#endif
