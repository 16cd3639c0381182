/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/json_tokens.h"

#include "base/mem.h"

typedef enum token_kind { NEVER, PLAIN /* any string may hold it */, TRIED } token_kind;

struct tn_json_tokens {
  const tn_tokenizer *tokenizer;
  int64_t vocab_size;
  uint8_t *kinds, *firsts, *seconds; /* [vocab_size]; second: only behind a space, else a space */
};

static token_kind kind_of(const tn_tokenizer *t, int32_t id) {
  tn_str bytes = tn_tokenizer_bytes(t, id);
  if (bytes.length == 0 || tn_tokenizer_is_special(t, id)) return NEVER;
  for (size_t i = 0; i < bytes.length; i++) {
    uint8_t c = (uint8_t)bytes.data[i];
    if (c < 0x20 || c == '"' || c == '\\') return TRIED;
  }
  return PLAIN;
}

static void look_at(tn_json_tokens *t, int32_t id) {
  tn_str bytes = tn_tokenizer_bytes(t->tokenizer, id);
  t->kinds[id] = kind_of(t->tokenizer, id);
  if (t->kinds[id] == NEVER) return;
  t->firsts[id] = (uint8_t)bytes.data[0];
  t->seconds[id] = bytes.data[0] == ' ' && bytes.length > 1 ? (uint8_t)bytes.data[1] : ' ';
}

tn_status tn_json_tokens_new(tn_json_tokens **out, const tn_tokenizer *tokenizer,
                             int64_t vocab_size, const int32_t *eos_ids, int32_t eos_count,
                             tn_error *err) {
  tn_json_tokens *t = tn_alloc(1, sizeof *t);
  if (!t) return tn_fail_memory(err, "tokens of JSON", sizeof *t);
  *t = (tn_json_tokens){.tokenizer = tokenizer, .vocab_size = vocab_size};
  t->kinds = tn_alloc((size_t)vocab_size, 1);
  t->firsts = tn_alloc((size_t)vocab_size, 1);
  t->seconds = tn_alloc((size_t)vocab_size, 1);
  if (!t->kinds || !t->firsts || !t->seconds) {
    tn_json_tokens_free(t);
    return tn_fail_memory(err, "tokens of JSON", 3 * (unsigned long long)vocab_size);
  }
  for (int64_t id = 0; id < vocab_size; id++) look_at(t, (int32_t)id);
  for (int32_t i = 0; i < eos_count; i++)
    if (eos_ids[i] >= 0 && eos_ids[i] < vocab_size) t->kinds[eos_ids[i]] = NEVER;
  *out = t;
  return TN_OK;
}

void tn_json_tokens_free(tn_json_tokens *t) {
  if (!t) return;
  tn_free(t->kinds);
  tn_free(t->firsts);
  tn_free(t->seconds);
  tn_free(t);
}

static bool can_follow(const tn_json_guard *guard, tn_str bytes) {
  tn_json_guard tried = *guard;
  return tn_json_guard_feed(&tried, bytes);
}

void tn_json_tokens_allow(const tn_json_tokens *t, const tn_json_guard *guard, uint8_t *allowed) {
  bool begins[256], behind_space[256], in_string = tn_json_guard_in_string(guard);
  for (int32_t c = 0; c < 256; c++) {
    const char text[2] = {' ', (char)c};
    begins[c] = can_follow(guard, (tn_str){text + 1, 1});
    behind_space[c] = c == ' ' || can_follow(guard, (tn_str){text, 2});
  }
  for (int64_t id = 0; id < t->vocab_size; id++) {
    uint8_t kind = t->kinds[id];
    allowed[id] = kind != NEVER && begins[t->firsts[id]] && behind_space[t->seconds[id]];
    if (!allowed[id] || (kind == PLAIN && in_string)) continue;
    allowed[id] = can_follow(guard, tn_tokenizer_bytes(t->tokenizer, (int32_t)id));
  }
}
