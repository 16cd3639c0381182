/* tokenizer_unicode.h - characters as Hugging Face tokenizers classes them, and the normal forms.
 *
 * utf8proc holds the tables (Unicode 15).  Hugging Face takes each class from another place and
 * version (Rust's standard library, two crates, its regex engine); where those differ from
 * utf8proc, tokenizer_unicode_deltas.inc says so.
 *
 * Thread: any; pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_UNICODE_H
#define TN_MODEL_TOKENIZER_UNICODE_H
#include "base/str.h"

typedef enum tn_unicode_form {
  TN_UNICODE_NFC,
  TN_UNICODE_NFD,
  TN_UNICODE_NFKC,
  TN_UNICODE_NFKD,
} tn_unicode_form;

bool tn_unicode_is_space(uint32_t code);        /* White_Space */
bool tn_unicode_is_nonspacing(uint32_t code);   /* Mn */
bool tn_unicode_is_combining(uint32_t code);    /* M */
bool tn_unicode_is_other(uint32_t code);        /* Cc, Cf, Co */
bool tn_unicode_is_punctuation(uint32_t code);  /* P, and every ASCII sign */
bool tn_unicode_is_numeric(uint32_t code);      /* N */
bool tn_unicode_is_word(uint32_t code);         /* \w of Rust's regex */
bool tn_unicode_is_newer_joiner(uint32_t code); /* of a grapheme cluster, unknown to utf8proc */
/* Lower case: one or two characters, as Rust's char::to_lowercase; returns how many. */
int tn_unicode_lower(uint32_t code, uint32_t out[2]);

/* Appends the normal form of `text`, which must be valid UTF-8. */
TN_NODISCARD tn_status tn_unicode_normalize(tn_str text, tn_unicode_form form, tn_strbuf *out,
                                            tn_error *err);
void tn_unicode_add(tn_strbuf *out, uint32_t code);

/* The character at text[at] of valid UTF-8, and its length to *length. */
static inline uint32_t tn_unicode_at(tn_str text, size_t at, size_t *length) {
  uint8_t first = (uint8_t)text.data[at];
  if (first < 0x80) {
    *length = 1;
    return first;
  }
  uint32_t code = 0;
  int bytes = tn_utf8_decode((const uint8_t *)text.data + at, text.length - at, &code);
  *length = bytes ? (size_t)bytes : 1;
  return bytes ? code : 0xFFFD;
}

#endif
