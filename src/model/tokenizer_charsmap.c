/* tokenizer_charsmap.c - see tokenizer_charsmap.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_charsmap.h"

static int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static tn_status decode_base64(tn_str text, uint8_t **out, size_t *count, tn_error *err) {
  while (text.length && text.data[text.length - 1] == '=') text.length--;
  uint8_t *bytes = tn_alloc(text.length / 4 * 3 + 3, 1);
  if (!bytes) return tn_fail_memory(err, "a charsmap", text.length);
  uint32_t bits = 0;
  *count = 0;
  for (size_t i = 0; i < text.length; i++) {
    int value = base64_value(text.data[i]);
    if (value < 0) {
      tn_free(bytes);
      return tn_fail(err, TN_ERR_DATA, "precompiled_charsmap: byte %zu is no base64", i);
    }
    bits = bits << 6 | (uint32_t)value;
    if (i % 4) bytes[(*count)++] = (uint8_t)(bits >> (6 - i % 4 * 2));
  }
  *out = bytes;
  return TN_OK;
}

static tn_status parse(tn_charsmap *map, const uint8_t *bytes, size_t count, tn_error *err) {
  uint32_t trie_bytes = 0;
  if (count >= 4) memcpy(&trie_bytes, bytes, 4);
  if (count < 4 || trie_bytes > count - 4 || trie_bytes % 4 != 0)
    return tn_fail(err, TN_ERR_DATA, "precompiled_charsmap: an array of %u bytes in %zu",
                   trie_bytes, count);
  map->unit_count = trie_bytes / 4;
  map->text_bytes = count - 4 - trie_bytes;
  map->units = tn_alloc(map->unit_count, 4);
  map->texts = tn_alloc(map->text_bytes + 1, 1);
  if (!map->units || !map->texts) return tn_fail_memory(err, "a charsmap", count);
  memcpy(map->units, bytes + 4, trie_bytes);
  memcpy(map->texts, bytes + 4 + trie_bytes, map->text_bytes);
  if (!tn_utf8_valid((tn_str){map->texts, map->text_bytes}))
    return tn_fail(err, TN_ERR_DATA, "precompiled_charsmap: its replacements are not UTF-8");
  return TN_OK;
}

tn_status tn_charsmap_read(tn_charsmap *map, tn_str base64, tn_error *err) {
  uint8_t *bytes = NULL;
  size_t count = 0;
  TN_TRY(decode_base64(base64, &bytes, &count, err));
  tn_status status = count ? parse(map, bytes, count, err) : TN_OK;
  tn_free(bytes);
  return status;
}

void tn_charsmap_clear(tn_charsmap *map) {
  tn_free(map->units);
  tn_free(map->texts);
  *map = (tn_charsmap){0};
}

/* darts-clone's unit: bits 0 to 7 label, bit 31 leaf, bit 8 has a leaf, bits 10 to 30 the distance
 * to its children, in units of 256 where bit 9 is set. */
static size_t children_of(uint32_t unit) {
  return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

bool tn_charsmap_find(const tn_charsmap *map, tn_str text, tn_str *out) {
  if (!map->unit_count) return false;
  size_t at = children_of(map->units[0]);
  for (size_t i = 0; i < text.length; i++) {
    uint8_t byte = (uint8_t)text.data[i];
    at ^= byte;
    if (byte == 0 || at >= map->unit_count) return false;
    uint32_t unit = map->units[at];
    if ((unit & (1u << 31 | 0xFFu)) != byte) return false;
    at ^= children_of(unit);
    if (!(unit & 1u << 8)) continue;
    if (at >= map->unit_count) return false;
    size_t value = map->units[at] & ~(1u << 31);
    if (value > map->text_bytes) return false;
    /* A start in the middle of a character is what no real map has. */
    if (((uint8_t)map->texts[value] & 0xC0) == 0x80) return false;
    *out = (tn_str){map->texts + value, strlen(map->texts + value)};
    return true;
  }
  return false;
}
