/* tokenizer_alphabet.h - the printable character that stands for each byte in a byte-level
 * vocabulary.
 *
 * GPT-2's map (Radford et al. 2019, openai/gpt-2 encoder.py): bytes that are printable in Latin-1
 * stand for themselves, the other 68 take U+0100 and up in order.  So space is U+0120, and every
 * vocabulary can be written as text. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_ALPHABET_H
#define TN_MODEL_TOKENIZER_ALPHABET_H
#include "base/str.h"

uint32_t tn_alphabet_char(uint8_t byte);
int32_t tn_alphabet_byte(uint32_t code); /* -1: stands for no byte */
/* Appends `bytes` spelled in the alphabet. */
void tn_alphabet_write(tn_str bytes, tn_strbuf *out);
/* Reads a spelled token into out[spelled.length]; false when a character stands for no byte. */
bool tn_alphabet_read(tn_str spelled, uint8_t *out, size_t *count);

#endif
