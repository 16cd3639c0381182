/* SPDX-License-Identifier: Apache-2.0 */
/* The byte ranges are table 3-7 of the Unicode Standard ("Well-Formed UTF-8 Byte Sequences"). */
#include "base/utf8.h"

static bool is_tail(uint8_t byte) {
  return (byte & 0xC0) == 0x80;
}

int tn_utf8_length(const uint8_t *s, size_t available) {
  if (available == 0) return 0;
  uint8_t first = s[0];
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  if (available < 2) return 0;
  if (first < 0xE0) return is_tail(s[1]) ? 2 : 0;
  /* The second byte excludes overlong forms, surrogates and what lies above U+10FFFF. */
  uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (s[1] < low || s[1] > high || available < 3 || !is_tail(s[2])) return 0;
  if (first < 0xF0) return 3;
  return available >= 4 && is_tail(s[3]) ? 4 : 0;
}

bool tn_utf8_valid(tn_str s) {
  const uint8_t *at = (const uint8_t *)s.data;
  size_t left = s.length;
  while (left) {
    uint64_t word;
    if (left >= 8 && (memcpy(&word, at, 8), (word & 0x8080808080808080u) == 0)) {
      at += 8;
      left -= 8;
      continue;
    }
    int length = tn_utf8_length(at, left);
    if (length == 0) return false;
    at += length;
    left -= (size_t)length;
  }
  return true;
}

size_t tn_utf8_part_length(const uint8_t *s, size_t available, bool *may_go_on) {
  if (may_go_on) *may_go_on = false;
  if (s[0] < 0xC2 || s[0] > 0xF4) return 1;
  size_t wanted = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2, i = 1;
  uint8_t low = 0x80, high = 0xBF; /* of the second byte: no overlong forms, no surrogates */
  if (s[0] == 0xE0) low = 0xA0;
  if (s[0] == 0xED) high = 0x9F;
  if (s[0] == 0xF0) low = 0x90;
  if (s[0] == 0xF4) high = 0x8F;
  for (; i < wanted && i < available; i++) {
    if (s[i] < low || s[i] > high) return i;
    low = 0x80;
    high = 0xBF;
  }
  if (may_go_on) *may_go_on = i < wanted;
  return i;
}

void tn_utf8_append_repaired(tn_strbuf *out, tn_str bytes) {
  const uint8_t *s = (const uint8_t *)bytes.data;
  size_t at = 0, good = 0; /* [good, at) is valid and not yet appended */
  while (at < bytes.length) {
    int length = tn_utf8_length(s + at, bytes.length - at);
    if (length > 0) {
      at += (size_t)length;
      continue;
    }
    if (at > good) tn_strbuf_append(out, s + good, at - good);
    tn_strbuf_add(out, "\xEF\xBF\xBD");
    at += tn_utf8_part_length(s + at, bytes.length - at, NULL);
    good = at;
  }
  if (at > good) tn_strbuf_append(out, s + good, at - good);
}

int tn_utf8_decode(const uint8_t *s, size_t available, uint32_t *code) {
  int length = tn_utf8_length(s, available);
  if (length == 0) return 0;
  static const uint8_t first_mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t value = s[0] & first_mask[length];
  for (int i = 1; i < length; i++) value = value << 6 | (s[i] & 0x3Fu);
  *code = value;
  return length;
}

int tn_utf8_encode(uint32_t code, uint8_t out[4]) {
  if (code < 0x80) {
    out[0] = (uint8_t)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (uint8_t)(0xC0 | code >> 6);
    out[1] = (uint8_t)(0x80 | (code & 0x3F));
    return 2;
  }
  if (code >= 0xD800 && code <= 0xDFFF) return 0;
  if (code < 0x10000) {
    out[0] = (uint8_t)(0xE0 | code >> 12);
    out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code & 0x3F));
    return 3;
  }
  if (code > 0x10FFFF) return 0;
  out[0] = (uint8_t)(0xF0 | code >> 18);
  out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
  out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
  out[3] = (uint8_t)(0x80 | (code & 0x3F));
  return 4;
}
