/* tokenizer_pattern.h - Oniguruma's regular expressions (Ruby syntax) rewritten for PCRE2.
 *
 * The engines agree on what tokenizers use, up to: \s (PCRE2 adds U+180E), \w, \d, \h (a hex digit
 * there), \p{Script}, and characters that Unicode 15 and 16 brought, which PCRE2 10.42 (Unicode 14)
 * does not know.  The exact translation spells all of these out as ranges.  The quick one leaves
 * newer characters and U+180E aside: it is right for every text without them, and faster. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_PATTERN_H
#define TN_MODEL_TOKENIZER_PATTERN_H
#include "base/str.h"

/* Appends the translation.  Nested classes and && are TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_pattern_translate(tn_str pattern, bool exact, tn_strbuf *out,
                                            tn_error *err);
/* Whether a text with this character needs the exact translation. */
bool tn_pattern_needs_exact(uint32_t code);

#endif
