/* tokenizer_unigram.c - see tokenizer_unigram.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_unigram.h"

#include <math.h>
#include <stdio.h>

#include "model/tokenizer_json.h"
#include "model/tokenizer_unicode.h"

#define UNK_PENALTY 10.0

struct tn_unigram_node { /* the best path that ends here */
  double score;
  int32_t id;
  uint32_t length; /* of its last token; 0: none ends here yet */
};

void tn_unigram_scratch_clear(tn_unigram_scratch *s) {
  tn_free(s->nodes);
  tn_free(s->ends);
  *s = (tn_unigram_scratch){0};
}

void tn_unigram_clear(tn_unigram *u) {
  tn_trie_clear(&u->trie);
  tn_free(u->scores);
}

/* ---- scores
 * ---------------------------------------------------------------------------------------
 * Sums that are equal on paper differ in their last bit, and that bit decides between two ways to
 * write a run of equal characters.  So a score is read as Hugging Face's JSON parser reads it (its
 * quick way, which is not correctly rounded): up to 19 digits as an integer, times or divided by a
 * power of ten. */
#define POWER_MAX 308

static double power_of_ten(int32_t exponent) {
  static const double low[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (exponent < (int32_t)(sizeof low / sizeof low[0])) return low[exponent];
  char text[8];
  double power = 0;
  int length = snprintf(text, sizeof text, "1e%d", exponent);
  return tn_str_to_f64((tn_str){text, (size_t)length}, &power) ? power : INFINITY;
}

static double scaled(double value, int64_t exponent) {
  for (; exponent < -POWER_MAX && value != 0; exponent += POWER_MAX) value /= 1e308;
  if (exponent < -POWER_MAX) return 0;
  if (exponent > POWER_MAX) return value == 0 ? 0 : INFINITY;
  return exponent < 0 ? value / power_of_ten((int32_t)-exponent)
                      : value * power_of_ten((int32_t)exponent);
}

/* `text` is a number of JSON. */
static double read_score(tn_str text) {
  bool negative = text.data[0] == '-', fraction = false, full = false;
  uint64_t digits = 0;
  int64_t exponent = 0, written = 0;
  size_t at = negative;
  for (; at < text.length && text.data[at] != 'e' && text.data[at] != 'E'; at++) {
    if (text.data[at] == '.') {
      fraction = true;
      continue;
    }
    uint64_t digit = (uint64_t)(text.data[at] - '0');
    full = full || digits > (UINT64_MAX - digit) / 10;
    if (!full) digits = digits * 10 + digit;
    if (full)
      exponent += !fraction; /* further digits of the integer only count */
    else
      exponent -= fraction;
  }
  if (at < text.length) at += 1 + (text.data[at + 1] == '+');
  if (at < text.length) tn_str_to_i64((tn_str){text.data + at, text.length - at}, &written);
  if (written > 100000) written = 100000;
  if (written < -100000) written = -100000;
  double value = scaled((double)digits, exponent + written);
  return negative ? -value : value;
}

/* ---- loading
 * -------------------------------------------------------------------------------------- */
tn_status tn_unigram_check(const tn_json *vocab, tn_error *err) {
  TN_TRY(tn_json_want(vocab, TN_JSON_ARRAY, "vocab", err));
  int64_t id = 0;
  for (const tn_json *v = vocab->first; v; v = v->next, id++) {
    const tn_json *token = v->first, *score = token ? token->next : NULL;
    bool good = v->kind == TN_JSON_ARRAY && v->count == 2 && token->kind == TN_JSON_STRING &&
                score->kind == TN_JSON_NUMBER && isfinite(read_score(score->text));
    if (!good)
      return tn_fail(err, TN_ERR_DATA, "vocab[%lld] is not a token and its score", (long long)id);
  }
  return TN_OK;
}

static tn_status load_vocab(tn_unigram *u, const tn_json *vocab, tn_error *err) {
  tn_trie_key *keys = tn_alloc((size_t)vocab->count, sizeof *keys);
  u->scores = tn_alloc((size_t)vocab->count, sizeof *u->scores);
  if (!keys || !u->scores) {
    tn_free(keys);
    return tn_fail_memory(err, "a vocabulary", (size_t)vocab->count * sizeof *keys);
  }
  size_t count = 0;
  double least = INFINITY;
  for (const tn_json *v = vocab->first; v; v = v->next) {
    u->scores[u->count] = read_score(v->first->next->text);
    if (u->scores[u->count] < least) least = u->scores[u->count];
    if (v->first->text.length) keys[count++] = (tn_trie_key){v->first->text, u->count};
    u->count++;
  }
  u->unk_score = least - UNK_PENALTY;
  tn_status status = tn_trie_build(&u->trie, keys, count, err);
  tn_free(keys);
  return status;
}

tn_status tn_unigram_load(tn_unigram *u, const tn_json *model, tn_error *err) {
  const tn_json *vocab = tn_json_get(model, "vocab");
  int64_t unk_id = -1;
  TN_TRY(load_vocab(u, vocab, err));
  if (!tn_json_is_null(tn_json_get(model, "unk_id"))) {
    if (vocab->count == 0) return tn_fail(err, TN_ERR_DATA, "the vocabulary is empty");
    TN_TRY(tn_json_get_i64(model, "unk_id", 0, vocab->count - 1, &unk_id, err));
  }
  u->unk_id = (int32_t)unk_id;
  TN_TRY(tn_json_get_bool(model, "byte_fallback", &u->byte_fallback, err));
  for (int byte = 0; byte < 256; byte++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", byte);
    u->byte_ids[byte] = tn_trie_get(&u->trie, tn_str_of(name));
  }
  return TN_OK;
}

/* ---- encoding
 * ------------------------------------------------------------------------------------- */
static void offer(tn_unigram_node *node, double score, int32_t id, size_t length) {
  if (node->length && score <= node->score) return;
  *node = (tn_unigram_node){score, id, (uint32_t)length};
}

/* Fills nodes[0..piece.length]; nodes[i] is the best way to write the first i bytes. */
static tn_status fill(const tn_unigram *u, tn_unigram_node *nodes, tn_str piece, tn_error *err) {
  memset(nodes, 0, (piece.length + 1) * sizeof *nodes);
  for (size_t at = 0, character; at < piece.length; at += character) {
    double here = nodes[at].score;
    bool single = false;
    uint32_t node = 0;
    tn_unicode_at(piece, at, &character);
    for (size_t i = at; i < piece.length; i++) {
      node = tn_trie_step(&u->trie, node, (uint8_t)piece.data[i]);
      if (!node) break;
      int32_t id = u->trie.nodes[node].value;
      if (id < 0) continue;
      size_t length = i + 1 - at;
      offer(&nodes[i + 1], u->scores[id] + here, id, length);
      single = single || length == character;
    }
    if (single) continue;
    if (u->unk_id < 0)
      return tn_fail(err, TN_ERR_DATA, "\"%.*s\" is unknown and there is no unk_id", (int)character,
                     piece.data + at);
    offer(&nodes[at + character], u->unk_score + here, u->unk_id, character);
  }
  return TN_OK;
}

/* A run of unknown characters is one token: that of its spelling, its bytes, or unk. */
static void add_unknown(const tn_unigram *u, tn_str run, tn_ids *ids) {
  int32_t id = tn_trie_get(&u->trie, run);
  bool bytes = id < 0 && u->byte_fallback;
  for (size_t i = 0; bytes && i < run.length; i++) bytes = u->byte_ids[(uint8_t)run.data[i]] >= 0;
  if (!bytes) {
    ids->items[ids->count++] = id >= 0 ? id : u->unk_id;
    return;
  }
  for (size_t i = 0; i < run.length; i++)
    ids->items[ids->count++] = u->byte_ids[(uint8_t)run.data[i]];
}

/* Walks the best path back, noting where its tokens end. */
static tn_status trace(tn_unigram_scratch *s, size_t bytes, size_t *count, tn_error *err) {
  *count = 0;
  for (size_t end = bytes; end > 0; end -= s->nodes[end].length) {
    TN_TRY(tn_grow((void **)&s->ends, &s->end_capacity, *count + 1, sizeof *s->ends, err));
    s->ends[(*count)++] = end;
  }
  return TN_OK;
}

tn_status tn_unigram_encode(const tn_unigram *u, tn_unigram_scratch *s, tn_str piece, tn_ids *ids,
                            tn_error *err) {
  if (piece.length > INT32_MAX / 4)
    return tn_fail(err, TN_ERR_LIMIT, "a piece of %zu bytes without a place to cut, limit %d",
                   piece.length, INT32_MAX / 4);
  TN_TRY(tn_ids_reserve(ids, piece.length, err));
  TN_TRY(tn_grow((void **)&s->nodes, &s->capacity, piece.length + 1, sizeof *s->nodes, err));
  TN_TRY(fill(u, s->nodes, piece, err));
  size_t count, start = 0, unknown = 0; /* bytes of the run of unknown characters before `start` */
  TN_TRY(trace(s, piece.length, &count, err));
  while (count--) {
    size_t end = s->ends[count];
    int32_t id = s->nodes[end].id;
    if (id == u->unk_id) {
      unknown += end - start;
    } else {
      if (unknown) add_unknown(u, (tn_str){piece.data + start - unknown, unknown}, ids);
      unknown = 0;
      ids->items[ids->count++] = id;
    }
    start = end;
  }
  if (unknown) add_unknown(u, (tn_str){piece.data + start - unknown, unknown}, ids);
  return TN_OK;
}
