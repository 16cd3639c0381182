/* tokenizer_normalize.h - the normalizers of a tokenizer.json: text to the text that is split.
 *
 * A normalizer is a list of steps, each from one buffer to another (Sequences are laid flat).  All
 * of Hugging Face's are known: NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Replace,
 * Prepend, Nmt, Precompiled, BertNormalizer, ByteLevel.
 *
 * Thread: immutable; each concurrent run needs its own scratch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_NORMALIZE_H
#define TN_MODEL_TOKENIZER_NORMALIZE_H
#include "base/json.h"
#include "model/tokenizer_regex.h"

#define TN_NORMALIZER_STEPS_MAX 64

typedef struct tn_normalizer tn_normalizer;

/* JSON null gives NULL, which normalizes nothing. */
TN_NODISCARD tn_status tn_normalizer_read(tn_normalizer **out, const tn_json *json, tn_error *err);
void tn_normalizer_free(tn_normalizer *n);

typedef struct tn_normalize_scratch { /* all zero is valid; clear frees */
  tn_strbuf buffers[3];
  tn_regex_scratch *regex; /* borrowed */
} tn_normalize_scratch;
void tn_normalize_scratch_clear(tn_normalize_scratch *s);

/* *out is `text` itself or lies in the scratch until the next run.  *origin turns false when the
 * first character that is left does not come from the first one of the text. */
TN_NODISCARD tn_status tn_normalizer_run(const tn_normalizer *n, tn_normalize_scratch *scratch,
                                         tn_str text, tn_str *out, bool *origin, tn_error *err);

#endif
