/* tokenizer_charsmap.h - SentencePiece's precompiled_charsmap: strings and what replaces them.
 *
 * Layout (google/sentencepiece, normalizer.cc): u32 bytes of a double array (darts-clone), the
 * array as u32 units, then the replacements, each ended by a NUL; a key's value is the offset of
 * its replacement.  Everything is little endian and untrusted: a unit that points outside ends the
 * search. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_CHARSMAP_H
#define TN_MODEL_TOKENIZER_CHARSMAP_H
#include "base/mem.h"
#include "base/str.h"

typedef struct tn_charsmap { /* all zero is valid and replaces nothing */
  uint32_t *units;
  size_t unit_count;
  char *texts;
  size_t text_bytes;
} tn_charsmap;

/* `base64` as tokenizer.json spells it. */
TN_NODISCARD tn_status tn_charsmap_read(tn_charsmap *map, tn_str base64, tn_error *err);
void tn_charsmap_clear(tn_charsmap *map);
/* Replaces a whole text by what stands for its shortest known prefix, which is what Hugging Face
 * does with a grapheme; false when no prefix is known. */
bool tn_charsmap_find(const tn_charsmap *map, tn_str text, tn_str *out);

#endif
