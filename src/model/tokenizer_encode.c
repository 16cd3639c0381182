/* tokenizer_encode.c - text to ids: added tokens, pieces, merges.
 *
 * A piece becomes the ids of its bytes; then, while some neighbours have a merge, the one of lowest
 * rank (leftmost among equals) is applied.  Short pieces are searched anew for each merge, long
 * ones keep candidates in a heap, so that a megabyte without a space costs n log n.  Most pieces
 * are common words: a small cache answers those without merging. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_internal.h"

#define CACHE_KEY_BYTES 24
#define CACHE_IDS       8
#define CACHE_SLOTS     16384
#define SHORT_PIECE     48
#define NO_RANK         UINT32_MAX

typedef struct cache_slot {  /* one cache line */
  char key[CACHE_KEY_BYTES]; /* padded with zeros */
  uint8_t key_bytes, count;  /* key_bytes 0: empty */
  int32_t ids[CACHE_IDS];
} cache_slot;
_Static_assert(sizeof(cache_slot) <= 64, "a cache slot is at most one cache line");

/* A symbol of a long piece, linked to its neighbours by index. */
typedef struct symbol {
  int32_t id; /* -1: merged into its left neighbour */
  int32_t left, right;
} symbol;

typedef struct candidate {
  uint32_t rank;
  int32_t at;       /* the left symbol */
  int32_t from, to; /* both ids when the candidate was made; others now: it is stale */
  int32_t id;
} candidate;

struct tn_encode_scratch {
  tn_encode_scratch *next;
  tn_split_scratch *split;
  cache_slot *cache;
  symbol *symbols;
  size_t symbol_capacity;
  candidate *heap;
  size_t heap_count, heap_capacity;
};

/* ---- scratches
 * ---------------------------------------------------------------------------------------- */
void tn_encode_scratch_free(tn_encode_scratch *scratch) {
  while (scratch) {
    tn_encode_scratch *next = scratch->next;
    tn_split_scratch_free(scratch->split);
    tn_free(scratch->cache);
    tn_free(scratch->symbols);
    tn_free(scratch->heap);
    tn_free(scratch);
    scratch = next;
  }
}

static tn_status scratch_new(tn_encode_scratch **out, tn_error *err) {
  tn_encode_scratch *scratch = tn_alloc(1, sizeof *scratch);
  if (!scratch) return tn_fail_memory(err, "an encoder's scratch", sizeof *scratch);
  tn_status status = tn_split_scratch_new(&scratch->split, err);
  if (status == TN_OK) {
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
 * -------------------------------------------------------------------------------------------------
 */
void tn_ids_clear(tn_ids *ids) {
  tn_free(ids->items);
  *ids = (tn_ids){0};
}

static tn_status ids_reserve(tn_ids *ids, size_t more, tn_error *err) {
  if (ids->capacity - ids->count >= more) return TN_OK;
  size_t want;
  if (!tn_add_size(ids->count, more, &want)) return tn_fail_memory(err, "ids", SIZE_MAX);
  return tn_grow((void **)&ids->items, &ids->capacity, want, sizeof *ids->items, err);
}

/* ---- bytes to first symbols
 * -------------------------------------------------------------------------------- A byte that the
 * vocabulary lacks becomes unk_id (a run of them one, with fuse_unk) or, without one, nothing, as
 * in Hugging Face. */
static int32_t first_symbols(const tn_tokenizer *t, tn_str piece, int32_t *out) {
  int32_t count = 0;
  bool in_unk = false;
  for (size_t i = 0; i < piece.length; i++) {
    int32_t id = t->byte_ids[(uint8_t)piece.data[i]];
    if (id >= 0) {
      out[count++] = id;
      in_unk = false;
    } else if (t->unk_id >= 0) {
      if (!(in_unk && t->fuse_unk)) out[count++] = t->unk_id;
      in_unk = true;
    }
  }
  return count;
}

static tn_merge find_merge(const tn_tokenizer *t, int32_t left, int32_t right) {
  const tn_merge *merge = tn_merge_find(&t->merges, left, right);
  return merge ? *merge : (tn_merge){.rank = NO_RANK};
}

/* ---- short pieces
 * -------------------------------------------------------------------------------------------
 * merges[i] belongs to symbols i and i + 1. */
static int32_t merge_short(const tn_tokenizer *t, int32_t *ids, int32_t count) {
  tn_merge merges[SHORT_PIECE];
  for (int32_t i = 0; i + 1 < count; i++) merges[i] = find_merge(t, ids[i], ids[i + 1]);
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
    if (best > 0) merges[best - 1] = find_merge(t, ids[best - 1], ids[best]);
    if (best + 1 < count) merges[best] = find_merge(t, ids[best], ids[best + 1]);
  }
  return count;
}

/* ---- long pieces
 * ---------------------------------------------------------------------------------------------- */
static bool before(const candidate *a, const candidate *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static tn_status heap_push(tn_encode_scratch *s, candidate c, tn_error *err) {
  TN_TRY(tn_grow((void **)&s->heap, &s->heap_capacity, s->heap_count + 1, sizeof *s->heap, err));
  size_t at = s->heap_count++;
  while (at > 0 && before(&c, &s->heap[(at - 1) / 2])) {
    s->heap[at] = s->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  s->heap[at] = c;
  return TN_OK;
}

static candidate heap_pop(tn_encode_scratch *s) {
  candidate top = s->heap[0], last = s->heap[--s->heap_count];
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

static tn_status offer(const tn_tokenizer *t, tn_encode_scratch *s, int32_t at, tn_error *err) {
  int32_t right = at < 0 ? -1 : s->symbols[at].right;
  if (right < 0) return TN_OK;
  int32_t from = s->symbols[at].id, to = s->symbols[right].id;
  tn_merge merge = find_merge(t, from, to);
  if (merge.rank == NO_RANK) return TN_OK;
  return heap_push(s, (candidate){merge.rank, at, from, to, merge.id}, err);
}

static tn_status merge_linked(const tn_tokenizer *t, tn_encode_scratch *s, int32_t count,
                              tn_error *err) {
  s->heap_count = 0;
  for (int32_t i = 0; i + 1 < count; i++) TN_TRY(offer(t, s, i, err));
  while (s->heap_count) {
    candidate c = heap_pop(s);
    symbol *left = &s->symbols[c.at];
    if (left->id != c.from || left->right < 0) continue;
    symbol *right = &s->symbols[left->right];
    if (right->id != c.to) continue;
    left->id = c.id;
    right->id = -1;
    left->right = right->right;
    if (left->right >= 0) s->symbols[left->right].left = c.at;
    TN_TRY(offer(t, s, left->left, err));
    TN_TRY(offer(t, s, c.at, err));
  }
  return TN_OK;
}

/* ids holds `count` first symbols; they are merged in place. */
static tn_status merge_long(const tn_tokenizer *t, tn_encode_scratch *s, int32_t *ids,
                            int32_t *count, tn_error *err) {
  TN_TRY(
      tn_grow((void **)&s->symbols, &s->symbol_capacity, (size_t)*count, sizeof *s->symbols, err));
  for (int32_t i = 0; i < *count; i++)
    s->symbols[i] = (symbol){ids[i], i - 1, i + 1 < *count ? i + 1 : -1};
  TN_TRY(merge_linked(t, s, *count, err));
  int32_t kept = 0;
  for (int32_t i = 0; i >= 0 && i < *count; i = s->symbols[i].right) ids[kept++] = s->symbols[i].id;
  *count = kept;
  return TN_OK;
}

/* ---- one piece
 * -------------------------------------------------------------------------------------------------
 */
typedef struct encode_run {
  const tn_tokenizer *t;
  tn_encode_scratch *scratch;
  tn_ids *ids;
  bool parse_special;
} encode_run;

static tn_status encode_bytes(const encode_run *run, tn_str piece, tn_error *err) {
  const tn_tokenizer *t = run->t;
  if (piece.length > INT32_MAX / 2)
    return tn_fail(err, TN_ERR_LIMIT, "a piece of %zu bytes without a place to cut, limit %d",
                   piece.length, INT32_MAX / 2);
  TN_TRY(ids_reserve(run->ids, piece.length, err));
  uint64_t whole;
  int32_t *ids = run->ids->items + run->ids->count;
  if (t->ignore_merges && tn_map_get(&t->whole, piece, &whole)) {
    *ids = (int32_t)whole;
    run->ids->count++;
    return TN_OK;
  }
  int32_t count = first_symbols(t, piece, ids);
  if (count <= SHORT_PIECE)
    count = merge_short(t, ids, count);
  else
    TN_TRY(merge_long(t, run->scratch, ids, &count, err));
  run->ids->count += (size_t)count;
  return TN_OK;
}

/* Fibonacci hashing of three words; the key is padded, so equal pieces give equal words. */
static cache_slot *cache_find(tn_encode_scratch *s, const uint64_t key[3]) {
  uint64_t hash = key[0] * 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 29 ^ key[1]) * 0xBF58476D1CE4E5B9u;
  hash = (hash ^ hash >> 32 ^ key[2]) * 0x94D049BB133111EBu;
  return &s->cache[hash >> 40 & (CACHE_SLOTS - 1)];
}

static tn_status encode_piece(void *context, tn_str piece, tn_error *err) {
  const encode_run *run = context;
  if (piece.length > CACHE_KEY_BYTES) return encode_bytes(run, piece, err);
  uint64_t key[3] = {0};
  memcpy(key, piece.data, piece.length);
  cache_slot *slot = cache_find(run->scratch, key);
  if (slot->key_bytes == piece.length && memcmp(slot->key, key, CACHE_KEY_BYTES) == 0) {
    TN_TRY(ids_reserve(run->ids, CACHE_IDS, err));
    memcpy(run->ids->items + run->ids->count, slot->ids, sizeof slot->ids);
    run->ids->count += slot->count;
    return TN_OK;
  }
  size_t first = run->ids->count;
  TN_TRY(encode_bytes(run, piece, err));
  size_t count = run->ids->count - first;
  if (count > CACHE_IDS) return TN_OK;
  memcpy(slot->key, key, CACHE_KEY_BYTES);
  slot->key_bytes = (uint8_t)piece.length;
  slot->count = (uint8_t)count;
  if (count) memcpy(slot->ids, run->ids->items + first, count * sizeof *slot->ids);
  return TN_OK;
}

/* ---- whole texts
 * ------------------------------------------------------------------------------------------------
 */
static tn_status encode_plain(encode_run *run, tn_str text, tn_error *err) {
  return tn_splitter_run(run->t->splitter, run->scratch->split, text, encode_piece, run, err);
}

/* Added tokens are cut out first, those that stand before normalization (the special ones) in a
 * pass of their own: Hugging Face's order, which shows when tokens overlap. */
static tn_status encode_pass(encode_run *run, tn_str text, bool normalized, tn_error *err) {
  size_t at = 0, start, end;
  while (at < text.length) {
    const tn_added_token *token =
        tn_tokenizer_find_added(run->t, text, at, run->parse_special, normalized, &start, &end);
    tn_str rest = {text.data + at, (token ? start : text.length) - at};
    TN_TRY(normalized ? encode_plain(run, rest, err) : encode_pass(run, rest, true, err));
    if (!token) return TN_OK;
    TN_TRY(ids_reserve(run->ids, 1, err));
    run->ids->items[run->ids->count++] = token->id;
    at = end;
  }
  return TN_OK;
}

tn_status tn_tokenizer_encode(const tn_tokenizer *t, tn_str text, bool parse_special, tn_ids *ids,
                              tn_error *err) {
  encode_run run = {.t = t, .ids = ids, .parse_special = parse_special};
  size_t count = ids->count;
  TN_TRY(scratch_take(t, &run.scratch, err));
  tn_status status = encode_pass(&run, text, false, err);
  scratch_give(t, run.scratch);
  if (status != TN_OK) ids->count = count;
  return status;
}
