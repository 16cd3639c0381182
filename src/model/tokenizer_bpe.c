/* tokenizer_bpe.c - see tokenizer_bpe.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_bpe.h"

#include <stdio.h>

#include "model/tokenizer_alphabet.h"
#include "model/tokenizer_json.h"
#include "model/tokenizer_unicode.h"

#define SHORT_PIECE  48
#define NO_RANK      UINT32_MAX
#define CHARS_TABLED 0x10000

/* A symbol of a long piece, linked to its neighbours by index. */
struct tn_bpe_symbol {
  int32_t id; /* -1: merged into its left neighbour */
  int32_t left, right;
};

struct tn_bpe_candidate {
  uint32_t rank;
  int32_t at;       /* the left symbol */
  int32_t from, to; /* both ids when the candidate was made; others now: it is stale */
  int32_t id;
};

void tn_bpe_scratch_clear(tn_bpe_scratch *s) {
  tn_free(s->symbols);
  tn_free(s->heap);
  *s = (tn_bpe_scratch){0};
}

void tn_bpe_clear(tn_bpe *bpe) {
  tn_free(bpe->merges.slots);
  tn_free(bpe->char_ids);
  tn_free(bpe->joins);
  tn_map_clear(&bpe->whole);
}

/* ---- the table of merges
 * -------------------------------------------------------------------------- */
static uint64_t pair_of(int32_t left, int32_t right) {
  return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}
static uint64_t hash_of(uint64_t pair) {
  pair *= 0x9E3779B97F4A7C15u;
  return pair ^ pair >> 32;
}

static inline tn_merge find_merge(const tn_bpe *bpe, int32_t left, int32_t right) {
  uint64_t pair = pair_of(left, right), slot = hash_of(pair) & bpe->merges.mask;
  while (bpe->merges.slots[slot].pair != TN_MERGE_NONE) {
    if (bpe->merges.slots[slot].pair == pair) return bpe->merges.slots[slot];
    slot = (slot + 1) & bpe->merges.mask;
  }
  return (tn_merge){.rank = NO_RANK};
}

static tn_status new_merges(tn_merge_table *table, int64_t count, tn_error *err) {
  uint64_t slots = 16;
  while (slots < (uint64_t)count * 2) slots *= 2;
  table->slots = tn_alloc(slots, sizeof *table->slots);
  if (!table->slots) return tn_fail_memory(err, "the merges", slots * sizeof *table->slots);
  for (uint64_t i = 0; i < slots; i++) table->slots[i].pair = TN_MERGE_NONE;
  table->mask = slots - 1;
  return TN_OK;
}

/* A pair that is listed twice keeps its later rank, as in Hugging Face. */
static void put_merge(tn_merge_table *table, int32_t left, int32_t right, uint32_t rank,
                      int32_t id) {
  uint64_t pair = pair_of(left, right), slot = hash_of(pair) & table->mask;
  while (table->slots[slot].pair != TN_MERGE_NONE && table->slots[slot].pair != pair)
    slot = (slot + 1) & table->mask;
  table->slots[slot] = (tn_merge){pair, rank, id};
}

/* "a b", or ["a", "b"] as newer files have it. */
static bool merge_parts(const tn_json *merge, tn_str *left, tn_str *right) {
  if (merge->kind == TN_JSON_STRING) {
    const char *space = memchr(merge->text.data, ' ', merge->text.length);
    if (!space) return false;
    size_t length = (size_t)(space - merge->text.data);
    *left = (tn_str){merge->text.data, length};
    *right = (tn_str){space + 1, merge->text.length - length - 1};
    return true;
  }
  const tn_json *first = merge->first, *second = first ? first->next : NULL;
  if (merge->kind != TN_JSON_ARRAY || merge->count != 2 || first->kind != TN_JSON_STRING ||
      second->kind != TN_JSON_STRING)
    return false;
  *left = first->text;
  *right = second->text;
  return true;
}

static tn_status load_merge(tn_bpe *bpe, const tn_json *merge, int64_t rank, tn_strbuf *joined,
                            tn_error *err) {
  tn_str left, right;
  if (!merge_parts(merge, &left, &right))
    return tn_fail(err, TN_ERR_DATA, "merge %lld is not two tokens", (long long)rank);
  if (right.length < bpe->prefix.length)
    return tn_fail(err, TN_ERR_DATA, "merge %lld: \"%.*s\" is shorter than the prefix \"%.*s\"",
                   (long long)rank, TN_SHOWN(right), TN_SHOWN(bpe->prefix));
  tn_strbuf_reset(joined);
  tn_strbuf_add_str(joined, left);
  tn_strbuf_append(joined, right.data + bpe->prefix.length, right.length - bpe->prefix.length);
  TN_TRY(tn_strbuf_check(joined, err));
  const tn_str tokens[3] = {left, right, tn_strbuf_view(joined)};
  uint64_t ids[3];
  for (int i = 0; i < 3; i++)
    if (!tn_map_get(bpe->ids, tokens[i], &ids[i]))
      return tn_fail(err, TN_ERR_DATA, "merge %lld: \"%.*s\" is not in the vocabulary",
                     (long long)rank, TN_SHOWN(tokens[i]));
  put_merge(&bpe->merges, (int32_t)ids[0], (int32_t)ids[1], (uint32_t)rank, (int32_t)ids[2]);
  return TN_OK;
}

static tn_status load_merges(tn_bpe *bpe, const tn_json *merges, tn_error *err) {
  TN_TRY(tn_json_want(merges, TN_JSON_ARRAY, "merges", err));
  TN_TRY(new_merges(&bpe->merges, merges->count, err));
  tn_strbuf joined = {0};
  tn_status status = TN_OK;
  int64_t rank = 0;
  for (const tn_json *m = merges->first; m && status == TN_OK; m = m->next)
    status = load_merge(bpe, m, rank++, &joined, err);
  tn_strbuf_clear(&joined);
  return status;
}

/* ---- the vocabulary's single characters and bytes
 * ---------------------------------------------------- */
static tn_status index_raw(tn_bpe *bpe, const tn_str *tokens, int32_t count, tn_arena *arena,
                           tn_error *err) {
  for (int32_t id = 0; id < count; id++) {
    if (!tokens[id].data || (!bpe->ignore_merges && tokens[id].length > 2)) continue;
    uint8_t *bytes = tn_arena_alloc(arena, tokens[id].length + 1, 1);
    if (!bytes) return tn_fail_memory(err, "a token", tokens[id].length);
    size_t length;
    if (!tn_alphabet_read(tokens[id], bytes, &length)) continue;
    if (length == 1) bpe->byte_ids[bytes[0]] = id;
    if (bpe->ignore_merges && length)
      TN_TRY(tn_map_put(&bpe->whole, (tn_str){(char *)bytes, length}, (uint64_t)id, err));
  }
  return TN_OK;
}

static tn_status index_characters(tn_bpe *bpe, const tn_str *tokens, int32_t count, tn_error *err) {
  bpe->char_ids = tn_alloc(CHARS_TABLED, sizeof *bpe->char_ids);
  if (!bpe->char_ids) return tn_fail_memory(err, "a table of characters", CHARS_TABLED * 4);
  memset(bpe->char_ids, 0xFF, CHARS_TABLED * sizeof *bpe->char_ids);
  for (int32_t id = 0; id < count; id++) {
    size_t length;
    if (!tokens[id].data || tokens[id].length == 0 || tokens[id].length > 3) continue;
    uint32_t code = tn_unicode_at(tokens[id], 0, &length);
    if (length == tokens[id].length && code < CHARS_TABLED) bpe->char_ids[code] = id;
  }
  if (!bpe->byte_fallback) return TN_OK;
  for (int byte = 0; byte < 256; byte++) {
    char name[8];
    uint64_t id;
    snprintf(name, sizeof name, "<0x%02X>", byte);
    if (tn_map_get(bpe->ids, tn_str_of(name), &id)) bpe->byte_ids[byte] = (int32_t)id;
  }
  return TN_OK;
}

/* ---- cutting before U+2581
 * -------------------------------------------------------------------------
 * Without a pre-tokenizer a whole text is one piece.  Where no merge has x at the end of its left
 * part and U+2581 at the start of its right part, no token can lie across "x U+2581", and both
 * sides merge as if alone: the piece may be cut there, and words come from the cache. */
static const char meta[] = "\xE2\x96\x81";
#define META_CODE 0x2581

static uint32_t last_character(tn_str text) {
  size_t at = text.length - 1, length;
  while (at > 0 && ((uint8_t)text.data[at] & 0xC0) == 0x80) at--;
  return tn_unicode_at(text, at, &length);
}

static bool is_byte_id(const tn_bpe *bpe, int32_t id) {
  for (int i = 0; i < 256; i++)
    if (bpe->byte_ids[i] == id) return true;
  return false;
}

static tn_status plan_cuts(tn_bpe *bpe, const tn_str *tokens, tn_error *err) {
  bool all_bytes = bpe->byte_fallback;
  for (int i = 0; i < 256; i++) all_bytes = all_bytes && bpe->byte_ids[i] >= 0;
  if (bpe->prefix.length || bpe->suffix.length || bpe->char_ids[META_CODE] < 0) return TN_OK;
  if (!all_bytes && bpe->unk_id < 0) return TN_OK; /* what is dropped makes others neighbours */
  bpe->joins = tn_alloc(CHARS_TABLED / 8, 1);
  if (!bpe->joins) return tn_fail_memory(err, "a table of characters", CHARS_TABLED / 8);
  for (uint64_t i = 0; i <= bpe->merges.mask; i++) {
    if (bpe->merges.slots[i].pair == TN_MERGE_NONE) continue;
    int32_t left = (int32_t)(bpe->merges.slots[i].pair >> 32);
    int32_t right = (int32_t)bpe->merges.slots[i].pair;
    if (!tn_str_starts(tokens[right], TN_STR(meta)) || !tokens[left].length) continue;
    if (left == bpe->unk_id || is_byte_id(bpe, left)) return TN_OK;
    uint32_t code = last_character(tokens[left]);
    if (code < CHARS_TABLED) bpe->joins[code / 8] |= (uint8_t)(1u << code % 8);
  }
  bpe->cuts = true;
  return TN_OK;
}

size_t tn_bpe_cut(const tn_bpe *bpe, tn_str piece) {
  size_t at = 1;
  while (at < piece.length) {
    const char *found = memmem(piece.data + at, piece.length - at, meta, 3);
    if (!found) break;
    at = (size_t)(found - piece.data);
    uint32_t code = last_character((tn_str){piece.data, at});
    bool joins =
        code >= CHARS_TABLED || code == META_CODE || (bpe->joins[code / 8] >> code % 8 & 1);
    if (!joins) return at;
    at += 3;
  }
  return piece.length;
}

/* ---- loading
 * -------------------------------------------------------------------------------------- */
static tn_status load_options(tn_bpe *bpe, const tn_json *model, tn_arena *arena, tn_error *err) {
  double dropout = 0;
  TN_TRY(tn_json_get_f64(model, "dropout", &dropout, err));
  if (dropout != 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "BPE dropout %g (encoding by chance)", dropout);
  TN_TRY(tn_json_get_bool(model, "fuse_unk", &bpe->fuse_unk, err));
  TN_TRY(tn_json_get_bool(model, "ignore_merges", &bpe->ignore_merges, err));
  TN_TRY(tn_json_get_bool(model, "byte_fallback", &bpe->byte_fallback, err));
  tn_str unk = {NULL, 0}, *const affixes[] = {&bpe->prefix, &bpe->suffix, &unk};
  static const char *const keys[] = {"continuing_subword_prefix", "end_of_word_suffix",
                                     "unk_token"};
  for (int i = 0; i < 3; i++) {
    tn_str text = {NULL, 0};
    TN_TRY(tn_json_get_str(model, keys[i], &text, err));
    char *copy = tn_arena_strndup(arena, text.data ? text.data : "", text.length);
    if (!copy) return tn_fail_memory(err, keys[i], text.length);
    *affixes[i] = (tn_str){copy, text.length};
  }
  uint64_t id;
  bpe->unk_id = -1;
  if (unk.length && tn_map_get(bpe->ids, unk, &id))
    bpe->unk_id = (int32_t)id;
  else
    bpe->unk_missing = unk;
  return TN_OK;
}

tn_status tn_bpe_load(tn_bpe *bpe, const tn_json *model, const tn_map *ids, const tn_str *tokens,
                      int32_t count, bool raw, tn_arena *arena, tn_error *err) {
  bpe->ids = ids;
  memset(bpe->byte_ids, 0xFF, sizeof bpe->byte_ids);
  TN_TRY(load_options(bpe, model, arena, err));
  bpe->raw = raw && !bpe->byte_fallback && !bpe->prefix.length && !bpe->suffix.length;
  TN_TRY(load_merges(bpe, tn_json_get(model, "merges"), err));
  if (bpe->raw) return index_raw(bpe, tokens, count, arena, err);
  TN_TRY(index_characters(bpe, tokens, count, err));
  return plan_cuts(bpe, tokens, err);
}

/* ---- first symbols
 * --------------------------------------------------------------------------------
 * What the vocabulary lacks becomes unk_id (a run of them one, with fuse_unk) or, without one,
 * nothing, as in Hugging Face. */
typedef struct symbols {
  const tn_bpe *bpe;
  int32_t *out;
  int32_t count;
  bool pending; /* an unknown character that is not noted down yet */
  bool missing;
} symbols;

static void flush_unknown(symbols *s) {
  if (s->pending) s->out[s->count++] = s->bpe->unk_id;
  s->pending = false;
}

static void add_unknown(symbols *s) {
  if (s->bpe->unk_missing.length) s->missing = true;
  if (s->bpe->unk_id < 0) return;
  if (!s->bpe->fuse_unk) flush_unknown(s);
  s->pending = true;
}

static void add_known(symbols *s, int32_t id) {
  flush_unknown(s);
  s->out[s->count++] = id;
}

static void split_bytes(symbols *s, tn_str piece) {
  for (size_t i = 0; i < piece.length; i++) {
    int32_t id = s->bpe->byte_ids[(uint8_t)piece.data[i]];
    if (id >= 0)
      add_known(s, id);
    else
      add_unknown(s);
  }
}

static int32_t id_of(const tn_bpe *bpe, tn_str token) {
  uint64_t id;
  return tn_map_get(bpe->ids, token, &id) ? (int32_t)id : -1;
}

/* An unknown character is noted down at the next known one, so fallback bytes overtake it; this is
 * what Hugging Face does. */
static bool add_fallback(symbols *s, tn_str token) {
  for (size_t i = 0; i < token.length; i++)
    if (s->bpe->byte_ids[(uint8_t)token.data[i]] < 0) return false;
  for (size_t i = 0; i < token.length; i++)
    s->out[s->count++] = s->bpe->byte_ids[(uint8_t)token.data[i]];
  return true;
}

static void add_token(symbols *s, tn_str token, int32_t id) {
  if (id >= 0)
    add_known(s, id);
  else if (!s->bpe->byte_fallback || !add_fallback(s, token))
    add_unknown(s);
}

static void split_characters(symbols *s, tn_str piece) {
  for (size_t at = 0, length; at < piece.length; at += length) {
    uint32_t code = tn_unicode_at(piece, at, &length);
    tn_str token = {piece.data + at, length};
    add_token(s, token, code < CHARS_TABLED ? s->bpe->char_ids[code] : id_of(s->bpe, token));
  }
}

/* With a prefix for all but the first character, or a suffix for the last. */
static tn_status split_affixed(symbols *s, tn_str piece, tn_error *err) {
  tn_strbuf token = {0};
  for (size_t at = 0, length; at < piece.length; at += length) {
    tn_unicode_at(piece, at, &length);
    tn_strbuf_reset(&token);
    if (at > 0) tn_strbuf_add_str(&token, s->bpe->prefix);
    tn_strbuf_append(&token, piece.data + at, length);
    if (at + length == piece.length) tn_strbuf_add_str(&token, s->bpe->suffix);
    if (token.failed) break;
    add_token(s, tn_strbuf_view(&token), id_of(s->bpe, tn_strbuf_view(&token)));
  }
  tn_status status = tn_strbuf_check(&token, err);
  tn_strbuf_clear(&token);
  return status;
}

/* ---- short pieces
 * ---------------------------------------------------------------------------------
 * merges[i] belongs to symbols i and i + 1. */
static int32_t merge_short(const tn_bpe *bpe, int32_t *ids, int32_t count) {
  tn_merge merges[SHORT_PIECE];
  for (int32_t i = 0; i + 1 < count; i++) merges[i] = find_merge(bpe, ids[i], ids[i + 1]);
  while (count > 1) {
    int32_t best = 0;
    for (int32_t i = 1; i + 1 < count; i++)
      if (merges[i].rank < merges[best].rank) best = i;
    if (merges[best].rank == NO_RANK) break;
    ids[best] = merges[best].id;
    count--;
    for (int32_t i = best + 1; i < count; i++) {
      ids[i] = ids[i + 1];
      merges[i - 1] = merges[i];
    }
    if (best > 0) merges[best - 1] = find_merge(bpe, ids[best - 1], ids[best]);
    if (best + 1 < count) merges[best] = find_merge(bpe, ids[best], ids[best + 1]);
  }
  return count;
}

/* ---- long pieces
 * ---------------------------------------------------------------------------------- */
static bool before(const tn_bpe_candidate *a, const tn_bpe_candidate *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static tn_status heap_push(tn_bpe_scratch *s, tn_bpe_candidate c, tn_error *err) {
  TN_TRY(tn_grow((void **)&s->heap, &s->heap_capacity, s->heap_count + 1, sizeof *s->heap, err));
  size_t at = s->heap_count++;
  while (at > 0 && before(&c, &s->heap[(at - 1) / 2])) {
    s->heap[at] = s->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  s->heap[at] = c;
  return TN_OK;
}

static tn_bpe_candidate heap_pop(tn_bpe_scratch *s) {
  tn_bpe_candidate top = s->heap[0], last = s->heap[--s->heap_count];
  size_t at = 0, child;
  while ((child = at * 2 + 1) < s->heap_count) {
    if (child + 1 < s->heap_count && before(&s->heap[child + 1], &s->heap[child])) child++;
    if (!before(&s->heap[child], &last)) break;
    s->heap[at] = s->heap[child];
    at = child;
  }
  s->heap[at] = last;
  return top;
}

static tn_status offer(const tn_bpe *bpe, tn_bpe_scratch *s, int32_t at, tn_error *err) {
  int32_t right = at < 0 ? -1 : s->symbols[at].right;
  if (right < 0) return TN_OK;
  int32_t from = s->symbols[at].id, to = s->symbols[right].id;
  tn_merge merge = find_merge(bpe, from, to);
  if (merge.rank == NO_RANK) return TN_OK;
  return heap_push(s, (tn_bpe_candidate){merge.rank, at, from, to, merge.id}, err);
}

static tn_status merge_linked(const tn_bpe *bpe, tn_bpe_scratch *s, int32_t count, tn_error *err) {
  s->heap_count = 0;
  for (int32_t i = 0; i + 1 < count; i++) TN_TRY(offer(bpe, s, i, err));
  while (s->heap_count) {
    tn_bpe_candidate c = heap_pop(s);
    tn_bpe_symbol *left = &s->symbols[c.at];
    if (left->id != c.from || left->right < 0) continue;
    tn_bpe_symbol *right = &s->symbols[left->right];
    if (right->id != c.to) continue;
    left->id = c.id;
    right->id = -1;
    left->right = right->right;
    if (left->right >= 0) s->symbols[left->right].left = c.at;
    TN_TRY(offer(bpe, s, left->left, err));
    TN_TRY(offer(bpe, s, c.at, err));
  }
  return TN_OK;
}

/* ids holds `count` first symbols; they are merged in place. */
static tn_status merge_long(const tn_bpe *bpe, tn_bpe_scratch *s, int32_t *ids, int32_t *count,
                            tn_error *err) {
  TN_TRY(
      tn_grow((void **)&s->symbols, &s->symbol_capacity, (size_t)*count, sizeof *s->symbols, err));
  for (int32_t i = 0; i < *count; i++)
    s->symbols[i] = (tn_bpe_symbol){ids[i], i - 1, i + 1 < *count ? i + 1 : -1};
  TN_TRY(merge_linked(bpe, s, *count, err));
  int32_t kept = 0;
  for (int32_t i = 0; i >= 0 && i < *count; i = s->symbols[i].right) ids[kept++] = s->symbols[i].id;
  *count = kept;
  return TN_OK;
}

/* ---- one piece
 * ------------------------------------------------------------------------------------ */
int32_t tn_bpe_whole(const tn_bpe *bpe, tn_str piece) {
  uint64_t id;
  if (!bpe->ignore_merges) return -1;
  return tn_map_get(bpe->raw ? &bpe->whole : bpe->ids, piece, &id) ? (int32_t)id : -1;
}

tn_status tn_bpe_encode(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_str piece, tn_ids *ids,
                        tn_error *err) {
  if (piece.length > INT32_MAX / 4)
    return tn_fail(err, TN_ERR_LIMIT, "a piece of %zu bytes without a place to cut, limit %d",
                   piece.length, INT32_MAX / 4);
  /* Every character gives at most its bytes, and the suffix's. */
  TN_TRY(tn_ids_reserve(ids, piece.length * (1 + bpe->prefix.length) + bpe->suffix.length, err));
  symbols s = {.bpe = bpe, .out = ids->items + ids->count};
  if (bpe->raw)
    split_bytes(&s, piece);
  else if (bpe->prefix.length || bpe->suffix.length)
    TN_TRY(split_affixed(&s, piece, err));
  else
    split_characters(&s, piece);
  flush_unknown(&s);
  if (s.missing)
    return tn_fail(err, TN_ERR_DATA, "unk_token \"%.*s\" is not in the vocabulary, and is needed",
                   TN_SHOWN(bpe->unk_missing));
  int32_t count = s.count;
  if (count <= SHORT_PIECE)
    count = merge_short(bpe, s.out, count);
  else
    TN_TRY(merge_long(bpe, scratch, s.out, &count, err));
  ids->count += (size_t)count;
  return TN_OK;
}
