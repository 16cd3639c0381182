/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/jsonl_parse.h"

#include "base/json.h"

#include <stdio.h>

#define ENGINE      tn_jsonl_plain
#define ENGINE_NAME "plain"
#include "columns/jsonl_parse.inc"

const tn_jsonl_engine *tn_jsonl_engine_best(void) {
#if defined(__x86_64__)
  if (tn_jsonl_avx2.parse && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
    return &tn_jsonl_avx2;
#endif
  return &tn_jsonl_plain;
}

/* ---- faults ---- */
bool tn_jsonl_fail(tn_jsonl_walk *w, const uint8_t *at, tn_status status, const char *reason) {
  w->fault = (tn_jsonl_fault){.status = status, .at = at, .incomplete = at >= w->end};
  snprintf(w->fault.reason, sizeof w->fault.reason, "%.*s", TN_JSONL_REASON_BYTES - 1, reason);
  return false;
}

bool tn_jsonl_expected(tn_jsonl_walk *w, const uint8_t *at, const char *what) {
  char reason[TN_JSONL_REASON_BYTES];
  if (at >= w->end)
    snprintf(reason, sizeof reason, "expected %s, found the end", what);
  else if (*at > 0x20 && *at < 0x7F)
    snprintf(reason, sizeof reason, "expected %s, found '%c'", what, *at);
  else
    snprintf(reason, sizeof reason, "expected %s, found byte 0x%02X", what, *at);
  return tn_jsonl_fail(w, at, TN_ERR_DATA, reason);
}

bool tn_jsonl_no_memory(tn_jsonl_walk *w) {
  return tn_jsonl_fail(w, w->at, TN_ERR_MEMORY, "out of memory, or 2 GiB of text in one block");
}

bool tn_jsonl_unknown_key(tn_jsonl_walk *w, const uint8_t *at, tn_str key) {
  char reason[TN_JSONL_REASON_BYTES];
  snprintf(reason, sizeof reason,
           "key \"%.*s\" was not in the sample that the schema was made from; a larger sample, a "
           "declared schema or a rest column would help",
           (int)(key.length < 40 ? key.length : 40), key.data);
  tn_jsonl_fail(w, at, TN_ERR_DATA, reason);
  w->fault.incomplete = false;
  w->fault.misfit = true;
  return false;
}

bool tn_jsonl_misfit(tn_jsonl_walk *w, const tn_jsonl_node *node, tn_str value) {
  char reason[TN_JSONL_REASON_BYTES];
  bool cut = value.length > 40;
  snprintf(reason, sizeof reason, "%.*s%s is no %s, the %s type", (int)(cut ? 40 : value.length),
           value.data, cut ? "..." : "", tn_type_name(node->type.id),
           node->declared ? "declared" : "inferred");
  tn_jsonl_fail(w, (const uint8_t *)value.data, TN_ERR_DATA, reason);
  w->fault.misfit = true;
  w->fault.node = node;
  return false;
}

bool tn_jsonl_note_bad(tn_jsonl_walk *w, const uint8_t *record_end, bool skipped) {
  void *items = w->bad;
  if (tn_grow(&items, &w->bad_capacity, w->bad_count + 1, sizeof *w->bad, NULL) != TN_OK)
    return tn_jsonl_no_memory(w);
  w->bad = items;
  tn_jsonl_bad *bad = &w->bad[w->bad_count++];
  *bad = (tn_jsonl_bad){.from = w->record - w->begin,
                        .bytes = record_end - w->record,
                        .node = w->fault.node,
                        .skipped = skipped};
  memcpy(bad->reason, w->fault.reason, sizeof bad->reason);
  w->fault = (tn_jsonl_fault){0};
  return true;
}

void tn_jsonl_walk_clear(tn_jsonl_walk *w) {
  tn_strbuf_clear(&w->scratch);
  tn_strbuf_clear(&w->rest);
  tn_free(w->bad);
  w->bad = NULL;
  w->bad_count = w->bad_capacity = 0;
}

/* ---- escapes ---- */
static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* -1: not four digits (a zero byte behind the block ends the look). */
static int32_t hex4(const uint8_t *at) {
  int32_t value = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

bool tn_jsonl_skip_escape(tn_jsonl_walk *w, const uint8_t **at) {
  const uint8_t *p = *at + 1;
  if (*p != 'u') {
    if (*p == 0 || !strchr("\"\\/bfnrt", *p))
      return tn_jsonl_expected(w, p, "an escape: one of \"\\/bfnrtu");
    *at = p + 1;
    return true;
  }
  int32_t unit = hex4(p + 1);
  if (unit < 0) {
    for (p++; hex_digit(*p) >= 0;) p++;
    return tn_jsonl_expected(w, p, "four hexadecimal digits");
  }
  *at = p + 5;
  if (unit < 0xD800 || unit > 0xDFFF) return true;
  if (unit > 0xDBFF)
    return tn_jsonl_fail(w, p - 1, TN_ERR_DATA, "a low surrogate without a high one before it");
  int32_t low = p[5] == '\\' && p[6] == 'u' ? hex4(p + 7) : -1;
  if (low < 0xDC00 || low > 0xDFFF)
    return tn_jsonl_fail(w, p - 1, TN_ERR_DATA, "a high surrogate without a low one behind it");
  *at = p + 11;
  return true;
}

size_t tn_jsonl_unescape(const uint8_t *from, size_t bytes, uint8_t *to) {
  const uint8_t *end = from + bytes, *begin = to;
  while (from < end) {
    if (*from != '\\') {
      *to++ = *from++;
      continue;
    }
    if (from[1] != 'u') {
      *to++ = (uint8_t)tn_json_plain_escape((char)from[1]);
      from += 2;
      continue;
    }
    uint32_t code = (uint32_t)hex4(from + 2);
    from += 6;
    if (code >= 0xD800 && code <= 0xDBFF) {
      code = 0x10000 + ((code - 0xD800) << 10) + ((uint32_t)hex4(from + 2) - 0xDC00);
      from += 6;
    }
    to += tn_utf8_encode(code, to);
  }
  return (size_t)(to - begin);
}

size_t tn_jsonl_minify(const uint8_t *from, size_t bytes, uint8_t *to) {
  const uint8_t *end = from + bytes, *begin = to;
  bool in_string = false;
  while (from < end) {
    uint8_t c = *from++;
    if (!in_string && c <= 0x20) continue;
    *to++ = c;
    if (c == '"') in_string = !in_string;
    if (c == '\\') *to++ = *from++; /* only inside strings */
  }
  return (size_t)(to - begin);
}
