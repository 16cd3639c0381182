/* tokenizer_encode.c - text to ids: added tokens, normalizer, pieces, model, post-processor.
 *
 * Most pieces are common words: a small cache answers those without asking the model. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"
#include "model/tokenizer_internal.h"
#include "model/tokenizer_json.h"
#include "model/tokenizer_unicode.h"

#define CACHE_KEY_BYTES 24
#define CACHE_IDS       8
#define CACHE_SLOTS     16384

typedef struct cache_slot {  /* one cache line */
  char key[CACHE_KEY_BYTES]; /* padded with zeros */
  uint8_t key_bytes, count;  /* key_bytes 0: empty */
  int32_t ids[CACHE_IDS];
} cache_slot;
_Static_assert(sizeof(cache_slot) <= 64, "a cache slot is at most one cache line");

struct tn_encode_scratch {
  tn_encode_scratch *next;
  tn_regex_scratch *regex;
  tn_normalize_scratch normalize;
  tn_pretokenize_scratch pretokenize;
  tn_bpe_scratch bpe;
  tn_unigram_scratch unigram;
  tn_strbuf repaired;
  cache_slot *cache;
};

/* ---- scratches
 * ------------------------------------------------------------------------------------ */
void tn_encode_scratch_free(tn_encode_scratch *scratch) {
  while (scratch) {
    tn_encode_scratch *next = scratch->next;
    tn_regex_scratch_free(scratch->regex);
    tn_normalize_scratch_clear(&scratch->normalize);
    tn_pretokenize_scratch_clear(&scratch->pretokenize);
    tn_bpe_scratch_clear(&scratch->bpe);
    tn_unigram_scratch_clear(&scratch->unigram);
    tn_strbuf_clear(&scratch->repaired);
    tn_free(scratch->cache);
    tn_free(scratch);
    scratch = next;
  }
}

static tn_status scratch_new(tn_encode_scratch **out, tn_error *err) {
  tn_encode_scratch *scratch = tn_alloc(1, sizeof *scratch);
  if (!scratch) return tn_fail_memory(err, "an encoder's scratch", sizeof *scratch);
  tn_status status = tn_regex_scratch_new(&scratch->regex, err);
  if (status == TN_OK) {
    scratch->normalize.regex = scratch->pretokenize.regex = scratch->regex;
    scratch->cache = tn_alloc_aligned(CACHE_SLOTS * sizeof *scratch->cache);
    if (!scratch->cache)
      status = tn_fail_memory(err, "a word cache", CACHE_SLOTS * sizeof *scratch->cache);
  }
  if (status != TN_OK) {
    tn_encode_scratch_free(scratch);
    return status;
  }
  *out = scratch;
  return TN_OK;
}

/* The list is the one mutable part of a tokenizer, and invisible from outside. */
static tn_status scratch_take(const tn_tokenizer *t, tn_encode_scratch **out, tn_error *err) {
  tn_tokenizer *shared = (tn_tokenizer *)t;
  pthread_mutex_lock(&shared->lock);
  tn_encode_scratch *scratch = shared->idle;
  if (scratch) shared->idle = scratch->next;
  pthread_mutex_unlock(&shared->lock);
  if (!scratch) return scratch_new(out, err);
  scratch->next = NULL;
  *out = scratch;
  return TN_OK;
}

static void scratch_give(const tn_tokenizer *t, tn_encode_scratch *scratch) {
  tn_tokenizer *shared = (tn_tokenizer *)t;
  pthread_mutex_lock(&shared->lock);
  scratch->next = shared->idle;
  shared->idle = scratch;
  pthread_mutex_unlock(&shared->lock);
}

/* ---- ids
 * ------------------------------------------------------------------------------------------ */
void tn_ids_clear(tn_ids *ids) {
  tn_free(ids->items);
  *ids = (tn_ids){0};
}

tn_status tn_ids_reserve(tn_ids *ids, size_t more, tn_error *err) {
  if (ids->capacity - ids->count >= more) return TN_OK;
  size_t want;
  if (!tn_add_size(ids->count, more, &want)) return tn_fail_memory(err, "ids", SIZE_MAX);
  return tn_grow((void **)&ids->items, &ids->capacity, want, sizeof *ids->items, err);
}

void tn_encoding_clear(tn_encoding *e) {
  tn_ids_clear(&e->ids);
  tn_ids_clear(&e->type_ids);
  tn_ids_clear(&e->mask);
}

/* ---- one piece
 * ------------------------------------------------------------------------------------ */
typedef struct encode_run {
  const tn_tokenizer *t;
  tn_encode_scratch *scratch;
  tn_ids *ids;
  bool parse_special;
} encode_run;

static tn_status add_id(tn_ids *ids, int32_t id, tn_error *err) {
  TN_TRY(tn_ids_reserve(ids, 1, err));
  ids->items[ids->count++] = id;
  return TN_OK;
}

static tn_status encode_word(const encode_run *run, tn_str piece, tn_error *err) {
  const tn_tokenizer *t = run->t;
  uint64_t id;
  if (tn_map_get(&t->ids, piece, &id)) return add_id(run->ids, (int32_t)id, err);
  if (t->wordpiece.unk_id >= 0) return add_id(run->ids, t->wordpiece.unk_id, err);
  return tn_fail(err, TN_ERR_DATA, "unk_token \"%.*s\" is not in the vocabulary, and is needed",
                 TN_SHOWN(t->wordpiece.unk));
}

static tn_status ask_model(const encode_run *run, tn_str piece, tn_error *err) {
  const tn_tokenizer *t = run->t;
  switch (t->model) {
    case TN_MODEL_BPE:
      return tn_bpe_encode(&t->bpe, &run->scratch->bpe, piece, run->ids, err);
    case TN_MODEL_UNIGRAM:
      return tn_unigram_encode(&t->unigram, &run->scratch->unigram, piece, run->ids, err);
    case TN_MODEL_WORDPIECE:
      return tn_wordpiece_encode(&t->wordpiece, piece, run->ids, err);
    case TN_MODEL_WORDLEVEL:
      return encode_word(run, piece, err);
  }
  return TN_OK;
}

/* Fibonacci hashing of three words; the key is padded, so equal pieces give equal words. */
static cache_slot *cache_find(tn_encode_scratch *s, const uint64_t key[3]) {
  uint64_t hash = key[0] * 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 29 ^ key[1]) * 0xBF58476D1CE4E5B9u;
  hash = (hash ^ hash >> 32 ^ key[2]) * 0x94D049BB133111EBu;
  return &s->cache[hash >> 40 & (CACHE_SLOTS - 1)];
}

static tn_status encode_cached(const encode_run *run, tn_str piece, tn_error *err) {
  if (piece.length > CACHE_KEY_BYTES) return ask_model(run, piece, err);
  uint64_t key[3] = {0};
  memcpy(key, piece.data, piece.length);
  cache_slot *slot = cache_find(run->scratch, key);
  if (slot->key_bytes == piece.length && memcmp(slot->key, key, CACHE_KEY_BYTES) == 0) {
    TN_TRY(tn_ids_reserve(run->ids, CACHE_IDS, err));
    memcpy(run->ids->items + run->ids->count, slot->ids, sizeof slot->ids);
    run->ids->count += slot->count;
    return TN_OK;
  }
  size_t first = run->ids->count;
  TN_TRY(ask_model(run, piece, err));
  size_t count = run->ids->count - first;
  if (count > CACHE_IDS) return TN_OK;
  memcpy(slot->key, key, CACHE_KEY_BYTES);
  slot->key_bytes = (uint8_t)piece.length;
  slot->count = (uint8_t)count;
  if (count) memcpy(slot->ids, run->ids->items + first, count * sizeof *slot->ids);
  return TN_OK;
}

static tn_status encode_piece(void *context, tn_str piece, tn_error *err) {
  const encode_run *run = context;
  const tn_tokenizer *t = run->t;
  if (t->model != TN_MODEL_BPE || !(t->bpe.cuts || t->bpe.ignore_merges))
    return encode_cached(run, piece, err);
  int32_t whole = tn_bpe_whole(&t->bpe, piece);
  if (whole >= 0) return add_id(run->ids, whole, err);
  if (!t->bpe.cuts) return encode_cached(run, piece, err);
  while (piece.length) {
    size_t end = tn_bpe_cut(&t->bpe, piece);
    TN_TRY(encode_cached(run, (tn_str){piece.data, end}, err));
    piece.data += end;
    piece.length -= end;
  }
  return TN_OK;
}

/* ---- whole texts
 * ---------------------------------------------------------------------------------- */
static tn_status encode_plain(encode_run *run, tn_str text, bool origin, tn_error *err) {
  const tn_tokenizer *t = run->t;
  return tn_pretokenizer_run(t->pre_tokenizer, &run->scratch->pretokenize, text, origin, t->raw,
                             encode_piece, run, err);
}

static tn_status encode_normalized(encode_run *run, tn_str text, bool origin, tn_error *err) {
  TN_TRY(
      tn_normalizer_run(run->t->normalizer, &run->scratch->normalize, text, &text, &origin, err));
  tn_added_walk walk = {0};
  size_t at = 0, start, end;
  const tn_added_token *token;
  while ((token =
              tn_added_find(&run->t->added, text, true, run->parse_special, &walk, &start, &end))) {
    if (at < start)
      TN_TRY(encode_plain(run, (tn_str){text.data + at, start - at}, origin && at == 0, err));
    TN_TRY(add_id(run->ids, token->id, err));
    at = end;
  }
  tn_str rest = {text.data + at, text.length - at};
  return rest.length ? encode_plain(run, rest, origin && at == 0, err) : TN_OK;
}

/* Added tokens that are not normalized are cut out before normalization, the others after it. */
static tn_status encode_text(encode_run *run, tn_str text, tn_error *err) {
  tn_added_walk walk = {0};
  size_t at = 0, start, end;
  const tn_added_token *token;
  while ((token = tn_added_find(&run->t->added, text, false, run->parse_special, &walk, &start,
                                &end))) {
    if (at < start)
      TN_TRY(encode_normalized(run, (tn_str){text.data + at, start - at}, at == 0, err));
    TN_TRY(add_id(run->ids, token->id, err));
    at = end;
  }
  tn_str rest = {text.data + at, text.length - at};
  return rest.length ? encode_normalized(run, rest, at == 0, err) : TN_OK;
}

static tn_status encode_repaired(encode_run *run, tn_str text, tn_error *err) {
  if (run->t->any_bytes || tn_utf8_valid(text)) return encode_text(run, text, err);
  tn_strbuf_reset(&run->scratch->repaired);
  tn_utf8_append_repaired(&run->scratch->repaired, text);
  TN_TRY(tn_strbuf_check(&run->scratch->repaired, err));
  return encode_text(run, tn_strbuf_view(&run->scratch->repaired), err);
}

tn_status tn_tokenizer_encode(const tn_tokenizer *t, tn_str text, bool parse_special, tn_ids *ids,
                              tn_error *err) {
  encode_run run = {.t = t, .ids = ids, .parse_special = parse_special};
  size_t count = ids->count;
  if (!text.length) return TN_OK;
  TN_TRY(scratch_take(t, &run.scratch, err));
  tn_status status = encode_repaired(&run, text, err);
  scratch_give(t, run.scratch);
  if (status != TN_OK) ids->count = count;
  return status;
}

tn_status tn_tokenizer_encode_input(const tn_tokenizer *t, tn_str text, const tn_str *pair,
                                    const tn_encode_options *options, tn_encoding *out,
                                    tn_error *err) {
  tn_ids first = {0}, second = {0}, *other = pair ? &second : NULL;
  const size_t counts[3] = {out->ids.count, out->type_ids.count, out->mask.count};
  tn_status status = tn_tokenizer_encode(t, text, options->parse_special, &first, err);
  if (status == TN_OK && pair)
    status = tn_tokenizer_encode(t, *pair, options->parse_special, &second, err);
  if (status == TN_OK && options->truncate)
    status = tn_post_truncate(&t->post, options->add_special, &first, other, err);
  if (status == TN_OK)
    status = tn_post_join(&t->post, options->add_special, &first, other, out, err);
  tn_ids_clear(&first);
  tn_ids_clear(&second);
  if (status == TN_OK) return TN_OK;
  out->ids.count = counts[0];
  out->type_ids.count = counts[1];
  out->mask.count = counts[2];
  return status;
}

tn_status tn_tokenizer_encode_prompt(const tn_tokenizer *t, tn_str text, bool parse_special,
                                     bool add_special, tn_ids *ids, tn_error *err) {
  if (!add_special) return tn_tokenizer_encode(t, text, parse_special, ids, err);
  tn_encoding e = {.ids = *ids};
  const tn_encode_options options = {.parse_special = parse_special, .add_special = true};
  tn_status status = tn_tokenizer_encode_input(t, text, NULL, &options, &e, err);
  *ids = e.ids;
  e.ids = (tn_ids){0};
  tn_encoding_clear(&e);
  return status;
}

tn_status tn_tokenizer_pad(const tn_tokenizer *t, tn_encoding *items, size_t count, tn_error *err) {
  return tn_post_pad(&t->post, items, count, err);
}
