/* tokenizer_alphabet.c - see tokenizer_alphabet.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_alphabet.h"

/* Bytes without a printable character of their own: 0x00-0x20, 0x7F-0xA0, 0xAD; 68 of them. */
#define HIDDEN_LOW    33 /* 0x00 to 0x20 */
#define HIDDEN_MIDDLE 34 /* 0x7F to 0xA0 */

uint32_t tn_alphabet_char(uint8_t byte) {
  if (byte < HIDDEN_LOW) return 0x100u + byte;
  if (byte >= 0x7F && byte <= 0xA0) return 0x100u + HIDDEN_LOW + (byte - 0x7Fu);
  if (byte == 0xAD) return 0x100u + HIDDEN_LOW + HIDDEN_MIDDLE;
  return byte;
}

int32_t tn_alphabet_byte(uint32_t code) {
  if (code < 0x100) return tn_alphabet_char((uint8_t)code) == code ? (int32_t)code : -1;
  uint32_t hidden = code - 0x100;
  if (hidden < HIDDEN_LOW) return (int32_t)hidden;
  if (hidden < HIDDEN_LOW + HIDDEN_MIDDLE) return (int32_t)(0x7F + hidden - HIDDEN_LOW);
  return hidden == HIDDEN_LOW + HIDDEN_MIDDLE ? 0xAD : -1;
}

void tn_alphabet_write(tn_str bytes, tn_strbuf *out) {
  for (size_t i = 0; i < bytes.length; i++) {
    uint8_t utf8[4];
    int length = tn_utf8_encode(tn_alphabet_char((uint8_t)bytes.data[i]), utf8);
    tn_strbuf_append(out, utf8, (size_t)length);
  }
}

bool tn_alphabet_read(tn_str spelled, uint8_t *out, size_t *count) {
  *count = 0;
  for (size_t at = 0; at < spelled.length;) {
    uint32_t code;
    int length = tn_utf8_decode((const uint8_t *)spelled.data + at, spelled.length - at, &code);
    int32_t byte = length ? tn_alphabet_byte(code) : -1;
    if (byte < 0) return false;
    out[(*count)++] = (uint8_t)byte;
    at += (size_t)length;
  }
  return true;
}
