/* tokenizer_decode.h - the decoder of a tokenizer.json: a list of tokens back to text.
 *
 * A decoder is a list of steps over a list of texts (Sequences are laid flat), as in Hugging Face:
 * ByteLevel, Metaspace, WordPiece, BPEDecoder, ByteFallback, Fuse, Strip, Replace, CTC.  Without a
 * decoder tokens are joined by spaces.  The one difference: what ends in ByteLevel comes out as the
 * bytes themselves, not repaired to UTF-8.
 *
 * Thread: immutable; any number of concurrent runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_DECODE_H
#define TN_MODEL_TOKENIZER_DECODE_H
#include "base/json.h"
#include "base/mem.h"

#define TN_DECODER_STEPS_MAX 32

typedef struct tn_decoder tn_decoder;

/* JSON null gives NULL. */
TN_NODISCARD tn_status tn_decoder_read(tn_decoder **out, const tn_json *json, tn_error *err);
void tn_decoder_free(tn_decoder *d);
/* Whether the text is simply the bytes of the tokens (tn_decoder_pieces), one after the other. */
bool tn_decoder_is_plain(const tn_decoder *d);
/* Appends the text of `tokens`, which are as the vocabulary spells them. */
TN_NODISCARD tn_status tn_decoder_run(const tn_decoder *d, const tn_str *tokens, size_t count,
                                      tn_strbuf *out, tn_error *err);
/* out[i]: the bytes that tokens[i] stands for in the middle of a text, in `arena`; tokens without
 * data are left out. */
TN_NODISCARD tn_status tn_decoder_pieces(const tn_decoder *d, const tn_str *tokens, size_t count,
                                         tn_arena *arena, tn_str *out, tn_error *err);

#endif
