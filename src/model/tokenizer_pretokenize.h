/* tokenizer_pretokenize.h - cuts normalized text into the pieces that the model works on.
 *
 * A pre-tokenizer is a list of steps (Sequences are laid flat); each cuts, and some rewrite, every
 * piece that the one before it made:
 *
 *     text -> step 1 -> its pieces, one by one -> step 2 on each -> ... -> fn
 *
 * Pieces are handed on depth first, so a piece is valid only during the call.  Known are all of
 * Hugging Face's: ByteLevel, Split, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit,
 * BertPreTokenizer, CharDelimiterSplit, FixedLength; not UnicodeScripts.
 *
 * A ByteLevel at the end may be left unspelled (`raw`): then its pieces are the text's own bytes,
 * which need not be valid UTF-8; a stretch that is not is a piece of its own.
 *
 * Thread: immutable; each concurrent run needs its own scratch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_PRETOKENIZE_H
#define TN_MODEL_TOKENIZER_PRETOKENIZE_H
#include "base/json.h"
#include "model/tokenizer_regex.h"

#define TN_PRETOKENIZER_STEPS_MAX 16

typedef struct tn_pretokenizer tn_pretokenizer;

/* JSON null gives NULL, which hands the text on in one piece. */
TN_NODISCARD tn_status tn_pretokenizer_read(tn_pretokenizer **out, const tn_json *json,
                                            tn_error *err);
/* What ByteLevel alone does, without add_prefix_space: GPT-2's pattern. */
TN_NODISCARD tn_status tn_pretokenizer_gpt2(tn_pretokenizer **out, tn_error *err);
void tn_pretokenizer_free(tn_pretokenizer *p);
/* Whether the last step is ByteLevel, so that a run may be raw. */
bool tn_pretokenizer_ends_in_bytes(const tn_pretokenizer *p);

typedef struct tn_pretokenize_scratch { /* all zero is valid; clear frees */
  tn_strbuf buffers[TN_PRETOKENIZER_STEPS_MAX];
  tn_regex_scratch *regex; /* borrowed */
} tn_pretokenize_scratch;
void tn_pretokenize_scratch_clear(tn_pretokenize_scratch *s);

typedef tn_status (*tn_piece_fn)(void *context, tn_str piece, tn_error *err);
/* `origin`: the text begins where the whole input begins (Metaspace asks).  Calls `fn` for every
 * piece in order; a status other than TN_OK ends the run and is returned. */
TN_NODISCARD tn_status tn_pretokenizer_run(const tn_pretokenizer *p,
                                           tn_pretokenize_scratch *scratch, tn_str text,
                                           bool origin, bool raw, tn_piece_fn fn, void *context,
                                           tn_error *err);

#endif
