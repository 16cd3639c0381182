/* tokenizer_train_unigram.c - learning a unigram vocabulary (Kudo 2018; google/sentencepiece,
 * unigram_model_trainer.cc).
 *
 *     seeds: characters, and frequent substrings (from sorted suffixes)
 *     again and again: two rounds of EM, then the pieces whose loss costs least are dropped,
 *     until a tenth more than wanted are left; the best of those stay
 *
 * Words are taken in sorted order and in a fixed number of parts, whose sums are added in order, so
 * that threads change nothing. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "model/tokenizer_train.h"
#include "model/tokenizer_trie.h"
#include "model/tokenizer_unicode.h"

#define PARTS            16
#define SEEDS_MAX        1000000
#define SUFFIXES_MAX     50000000
#define PIECE_CHARACTERS 16
#define SHRINKING        0.75
#define SUB_ROUNDS       2
#define EXPECTED_LEAST   0.5

typedef struct sentence {
  tn_str text;
  double count;
} sentence;

typedef struct piece {
  tn_str text; /* in the words' own memory */
  double score;
  bool single, gone;
} piece;

typedef struct learner {
  const tn_unigram_plan *plan;
  tn_pool *pool;
  sentence *sentences;
  int64_t sentence_count;
  piece *pieces;
  size_t count, capacity;
  tn_trie trie; /* of the pieces that are not gone */
} learner;

/* ---- sentences
 * ------------------------------------------------------------------------------------ */
static int by_text(const void *a, const void *b) {
  const sentence *x = a, *y = b;
  size_t least = x->text.length < y->text.length ? x->text.length : y->text.length;
  int order = memcmp(x->text.data, y->text.data, least);
  if (order) return order;
  return x->text.length < y->text.length ? -1 : x->text.length > y->text.length;
}

static bool is_covered(tn_str text, const uint8_t *known) {
  for (size_t at = 0, length; at < text.length; at += length) {
    uint32_t code = tn_unicode_at(text, at, &length);
    if (!(known[code / 8] >> code % 8 & 1)) return false;
  }
  return true;
}

/* Words with a character outside the alphabet are left out. */
static tn_status take_words(learner *l, const tn_trained_words *words,
                            const tn_char_count *alphabet, int64_t alphabet_count, tn_error *err) {
  uint8_t *known = tn_alloc(0x110000 / 8, 1);
  l->sentences = tn_alloc((size_t)words->count, sizeof *l->sentences);
  if (!known || !l->sentences) {
    tn_free(known);
    return tn_fail_memory(err, "the words to learn from", (size_t)words->count * sizeof(sentence));
  }
  for (int64_t i = 0; i < alphabet_count; i++)
    known[alphabet[i].code / 8] |= (uint8_t)(1u << alphabet[i].code % 8);
  for (int64_t i = 0; i < words->count; i++)
    if (is_covered(words->words[i].key, known))
      l->sentences[l->sentence_count++] = (sentence){words->words[i].key, (double)words->counts[i]};
  tn_free(known);
  if (l->sentence_count)
    qsort(l->sentences, (size_t)l->sentence_count, sizeof *l->sentences, by_text);
  return TN_OK;
}

/* ---- seeds
 * ---------------------------------------------------------------------------------------- */
typedef struct suffix {
  const char *data;
  uint16_t bytes;             /* of its first PIECE_CHARACTERS characters */
  uint8_t characters, common; /* common: with the suffix before it */
  double count;
} suffix;

static int by_suffix(const void *a, const void *b) {
  const suffix *x = a, *y = b;
  size_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
  int order = memcmp(x->data, y->data, least);
  return order ? order : (int)x->bytes - (int)y->bytes;
}

static void measure(suffix *s, size_t available) {
  for (size_t at = 0, length; at < available && s->characters < PIECE_CHARACTERS; at += length) {
    tn_unicode_at((tn_str){s->data, available}, at, &length);
    s->characters++;
    s->bytes = (uint16_t)(at + length);
  }
}

static tn_status sort_suffixes(const learner *l, suffix **out, size_t *count, tn_error *err) {
  size_t total = 0;
  for (int64_t i = 0; i < l->sentence_count; i++) total += l->sentences[i].text.length;
  if (total > SUFFIXES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%zu bytes of distinct words, limit %d", total, SUFFIXES_MAX);
  suffix *s = tn_alloc(total, sizeof *s);
  if (!s) return tn_fail_memory(err, "the suffixes of the words", total * sizeof *s);
  *count = 0;
  for (int64_t i = 0; i < l->sentence_count; i++) {
    tn_str text = l->sentences[i].text;
    for (size_t at = 0, length; at < text.length; at += length) {
      tn_unicode_at(text, at, &length);
      s[*count] = (suffix){.data = text.data + at, .count = l->sentences[i].count};
      measure(&s[(*count)++], text.length - at);
    }
  }
  if (*count) qsort(s, *count, sizeof *s, by_suffix);
  *out = s;
  return TN_OK;
}

static void find_common(suffix *s, size_t count) {
  for (size_t i = 1; i < count; i++) {
    size_t least = s[i].bytes < s[i - 1].bytes ? s[i].bytes : s[i - 1].bytes, at = 0;
    while (at < least) {
      size_t length;
      tn_unicode_at((tn_str){s[i].data, s[i].bytes}, at, &length);
      if (at + length > least || memcmp(s[i].data + at, s[i - 1].data + at, length) != 0) break;
      s[i].common++;
      at += length;
    }
  }
}

static tn_status add_piece(learner *l, tn_str text, double score, bool single, tn_error *err) {
  TN_TRY(tn_grow((void **)&l->pieces, &l->capacity, l->count + 1, sizeof *l->pieces, err));
  l->pieces[l->count++] = (piece){.text = text, .score = score, .single = single};
  return TN_OK;
}

static size_t bytes_of(const suffix *s, int characters) {
  size_t at = 0, length;
  for (int i = 0; i < characters; i++, at += length)
    tn_unicode_at((tn_str){s->data, s->bytes}, at, &length);
  return at;
}

/* The substrings of `length` characters that occur more than once and are not always followed by
 * the same character (then the longer one says it all); and, of length 1, all. */
static tn_status add_substrings(learner *l, const suffix *s, size_t count, int length,
                                tn_error *err) {
  for (size_t i = 0, end; i < count; i = end) {
    double weight = s[i].count;
    bool branches = s[i].characters == length;
    for (end = i + 1; end < count && s[end].common >= length; end++) {
      weight += s[end].count;
      branches = branches || s[end].common == length;
    }
    if (s[i].characters < length || (length > 1 && (weight < 2 || !branches))) continue;
    tn_str text = {s[i].data, bytes_of(&s[i], length)};
    TN_TRY(add_piece(l, text, weight * length, length == 1, err));
  }
  return TN_OK;
}

static int by_score(const void *a, const void *b) {
  const piece *x = a, *y = b;
  if (x->single != y->single) return x->single ? -1 : 1;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  sentence u = {x->text, 0}, v = {y->text, 0};
  return by_text(&u, &v);
}

static tn_status make_seeds(learner *l, tn_error *err) {
  suffix *s = NULL;
  size_t count = 0;
  TN_TRY(sort_suffixes(l, &s, &count, err));
  find_common(s, count);
  tn_status status = TN_OK;
  for (int length = 1; length <= PIECE_CHARACTERS && status == TN_OK; length++)
    status = add_substrings(l, s, count, length, err);
  tn_free(s);
  TN_TRY(status);
  if (l->count) qsort(l->pieces, l->count, sizeof *l->pieces, by_score);
  if (l->count > SEEDS_MAX) l->count = SEEDS_MAX;
  double sum = 0;
  for (size_t i = 0; i < l->count; i++) sum += l->pieces[i].score;
  for (size_t i = 0; i < l->count; i++) l->pieces[i].score = log(l->pieces[i].score / sum);
  return TN_OK;
}

/* Forgets the pieces that are gone, and indexes the others. */
static tn_status index_pieces(learner *l, tn_error *err) {
  size_t kept = 0;
  for (size_t i = 0; i < l->count; i++)
    if (!l->pieces[i].gone) l->pieces[kept++] = l->pieces[i];
  l->count = kept;
  tn_trie_key *keys = tn_alloc(l->count, sizeof *keys);
  if (!keys) return tn_fail_memory(err, "the pieces", l->count * sizeof *keys);
  for (size_t i = 0; i < l->count; i++) keys[i] = (tn_trie_key){l->pieces[i].text, (int32_t)i};
  tn_trie_clear(&l->trie);
  tn_status status = tn_trie_build(&l->trie, keys, l->count, err);
  tn_free(keys);
  return status;
}

/* ---- the lattice of one text
 * --------------------------------------------------------------------------- */
typedef struct edge {
  uint32_t from, to;
  int32_t id;
} edge;

typedef struct lattice { /* all zero is valid; reused from text to text */
  edge *edges;           /* in order of `from` */
  size_t count, capacity;
  double *alpha, *beta; /* [bytes + 1] */
  int32_t *back;        /* [bytes + 1] the edge by which the best path comes */
  size_t alpha_capacity, beta_capacity, back_capacity;
} lattice;

static void lattice_clear(lattice *g) {
  tn_free(g->edges);
  tn_free(g->alpha);
  tn_free(g->beta);
  tn_free(g->back);
}

/* Every piece at every place, but for the piece `without` (-1: none). */
static tn_status build(const learner *l, tn_str text, int32_t without, lattice *g, tn_error *err) {
  size_t want = text.length + 1;
  TN_TRY(tn_grow((void **)&g->alpha, &g->alpha_capacity, want, sizeof *g->alpha, err));
  TN_TRY(tn_grow((void **)&g->beta, &g->beta_capacity, want, sizeof *g->beta, err));
  TN_TRY(tn_grow((void **)&g->back, &g->back_capacity, want, sizeof *g->back, err));
  g->count = 0;
  for (size_t at = 0, length; at < text.length; at += length) {
    uint32_t node = 0;
    tn_unicode_at(text, at, &length);
    for (size_t i = at; i < text.length; i++) {
      node = tn_trie_step(&l->trie, node, (uint8_t)text.data[i]);
      if (!node) break;
      int32_t id = l->trie.nodes[node].value;
      if (id < 0 || id == without || l->pieces[id].gone) continue;
      TN_TRY(tn_grow((void **)&g->edges, &g->capacity, g->count + 1, sizeof *g->edges, err));
      g->edges[g->count++] = (edge){(uint32_t)at, (uint32_t)i + 1, id};
    }
  }
  return TN_OK;
}

static double log_add(double a, double b) {
  if (a == -INFINITY) return b;
  if (b == -INFINITY) return a;
  double high = a > b ? a : b, low = a > b ? b : a;
  return high + log1p(exp(low - high));
}

/* Adds how often each piece is expected, over all ways to write the text. */
static void expect(const learner *l, size_t bytes, double count, lattice *g, double *expected) {
  for (size_t i = 0; i <= bytes; i++) g->alpha[i] = g->beta[i] = -INFINITY;
  g->alpha[0] = g->beta[bytes] = 0;
  for (size_t i = 0; i < g->count; i++) {
    const edge *e = &g->edges[i];
    g->alpha[e->to] = log_add(g->alpha[e->to], g->alpha[e->from] + l->pieces[e->id].score);
  }
  for (size_t i = g->count; i-- > 0;) {
    const edge *e = &g->edges[i];
    g->beta[e->from] = log_add(g->beta[e->from], g->beta[e->to] + l->pieces[e->id].score);
  }
  double all = g->alpha[bytes];
  if (all == -INFINITY) return;
  for (size_t i = 0; i < g->count; i++) {
    const edge *e = &g->edges[i];
    double path = g->alpha[e->from] + l->pieces[e->id].score + g->beta[e->to] - all;
    expected[e->id] += count * exp(path);
  }
}

/* The best path's score; g->back leads along it from the end.  -INFINITY: there is none. */
static double best_path(const learner *l, size_t bytes, lattice *g) {
  for (size_t i = 0; i <= bytes; i++) g->alpha[i] = -INFINITY;
  g->alpha[0] = 0;
  for (size_t i = 0; i < g->count; i++) {
    const edge *e = &g->edges[i];
    double score = g->alpha[e->from] + l->pieces[e->id].score;
    if (score <= g->alpha[e->to]) continue;
    g->alpha[e->to] = score;
    g->back[e->to] = (int32_t)i;
  }
  return g->alpha[bytes];
}

/* ---- over all sentences
 * ------------------------------------------------------------------------------- */
typedef struct tally {
  const learner *l;
  bool best; /* count the pieces of best paths, not expectations */
  double *sums[PARTS];
  tn_status status[PARTS];
  tn_error errors[PARTS];
} tally;

static tn_status tally_part(tally *t, int64_t part, tn_error *err) {
  const learner *l = t->l;
  int64_t first = l->sentence_count * part / PARTS, end = l->sentence_count * (part + 1) / PARTS;
  lattice g = {0};
  tn_status status = TN_OK;
  t->sums[part] = tn_alloc(l->count, sizeof(double));
  if (!t->sums[part]) return tn_fail_memory(err, "counts of pieces", l->count * sizeof(double));
  for (int64_t i = first; i < end && status == TN_OK; i++) {
    const sentence *s = &l->sentences[i];
    status = build(l, s->text, -1, &g, err);
    if (status != TN_OK) break;
    if (!t->best) {
      expect(l, s->text.length, s->count, &g, t->sums[part]);
    } else if (best_path(l, s->text.length, &g) > -INFINITY) {
      for (uint32_t at = (uint32_t)s->text.length; at > 0; at = g.edges[g.back[at]].from)
        t->sums[part][g.edges[g.back[at]].id] += s->count;
    }
  }
  lattice_clear(&g);
  return status;
}

static void tally_item(void *context, int64_t part, int32_t worker) {
  tally *t = context;
  t->status[part] = tally_part(t, part, &t->errors[part]);
}

/* `sums`: [l->count] */
static tn_status tally_all(const learner *l, bool best, double *sums, tn_error *err) {
  tally t = {.l = l, .best = best};
  tn_status status = TN_OK;
  tn_pool_run(l->pool, PARTS, tally_item, &t);
  for (size_t i = 0; i < l->count; i++) sums[i] = 0;
  for (int part = 0; part < PARTS; part++) {
    for (size_t i = 0; t.status[part] == TN_OK && i < l->count; i++) sums[i] += t.sums[part][i];
    if (t.status[part] != TN_OK && status == TN_OK) {
      status = t.status[part];
      if (err) *err = t.errors[part];
    }
    tn_free(t.sums[part]);
  }
  return status;
}

/* The derivative of ln gamma: the expected logarithm under a sparse prior, as in SentencePiece. */
static double digamma(double x) {
  double result = 0;
  for (; x < 7; x++) result -= 1 / x;
  x -= 0.5;
  double y = 1 / (x * x);
  return result + log(x) + y / 24 - 7 * y * y / 960 + 31 * y * y * y / 8064 -
         127 * y * y * y * y / 30720;
}

static tn_status em_round(learner *l, double *expected, tn_error *err) {
  TN_TRY(tally_all(l, false, expected, err));
  double sum = 0;
  for (size_t i = 0; i < l->count; i++) {
    piece *p = &l->pieces[i];
    p->gone = p->gone || (expected[i] < EXPECTED_LEAST && !p->single);
    if (p->single && expected[i] < EXPECTED_LEAST) expected[i] = EXPECTED_LEAST;
    if (!p->gone) sum += expected[i];
  }
  double log_sum = digamma(sum);
  for (size_t i = 0; i < l->count; i++)
    if (!l->pieces[i].gone) l->pieces[i].score = digamma(expected[i]) - log_sum;
  return TN_OK;
}

/* ---- pruning
 * -------------------------------------------------------------------------------------- */
typedef struct candidate {
  size_t id;
  double loss;
} candidate;

static int by_loss(const void *a, const void *b) {
  const candidate *x = a, *y = b;
  if (x->loss != y->loss) return x->loss > y->loss ? -1 : 1;
  return x->id < y->id ? -1 : 1;
}

/* How much less likely the text becomes when the piece is written by others.  *stays: it must;
 * *goes: nobody would miss it. */
static tn_status loss_of(const learner *l, size_t id, const double *counts, double sum, lattice *g,
                         double *loss, bool *stays, bool *goes, tn_error *err) {
  const piece *p = &l->pieces[id];
  TN_TRY(build(l, p->text, (int32_t)id, g, err));
  double other = best_path(l, p->text.length, g);
  *stays = other == -INFINITY;
  *goes = !*stays && counts[id] == 0;
  if (*stays || *goes) return TN_OK;
  *stays = other > p->score; /* others write it better, and yet it is used */
  int64_t parts = 0;
  double alternative = 0;
  for (uint32_t at = (uint32_t)p->text.length; at > 0; at = g->edges[g->back[at]].from) parts++;
  double log_sum = log(sum + counts[id] * (double)(parts - 1));
  for (uint32_t at = (uint32_t)p->text.length; at > 0; at = g->edges[g->back[at]].from)
    alternative += log(counts[g->edges[g->back[at]].id] + counts[id]) - log_sum;
  *loss = counts[id] / sum * (log(counts[id]) - log(sum) - alternative);
  return TN_OK;
}

static tn_status judge(learner *l, const double *counts, candidate *out, size_t *count,
                       size_t *kept, tn_error *err) {
  lattice g = {0};
  double sum = 0;
  tn_status status = TN_OK;
  *count = *kept = 0;
  for (size_t i = 0; i < l->count; i++) sum += counts[i];
  for (size_t i = 0; i < l->count && status == TN_OK; i++) {
    bool stays = l->pieces[i].single, goes = false;
    double loss = 0;
    if (!stays) status = loss_of(l, i, counts, sum, &g, &loss, &stays, &goes, err);
    l->pieces[i].gone = goes;
    *kept += stays;
    if (!stays && !goes) out[(*count)++] = (candidate){i, loss};
  }
  lattice_clear(&g);
  return status;
}

static tn_status prune(learner *l, size_t wanted, double *counts, tn_error *err) {
  size_t count, kept, target = (size_t)((double)l->count * SHRINKING);
  if (target < wanted) target = wanted;
  TN_TRY(tally_all(l, true, counts, err));
  candidate *candidates = tn_alloc(l->count, sizeof *candidates);
  if (!candidates) return tn_fail_memory(err, "candidates", l->count * sizeof *candidates);
  tn_status status = judge(l, counts, candidates, &count, &kept, err);
  if (status == TN_OK && count) qsort(candidates, count, sizeof *candidates, by_loss);
  for (size_t i = 0; status == TN_OK && i < count; i++)
    if (kept + i >= target) l->pieces[candidates[i].id].gone = true;
  tn_free(candidates);
  return status == TN_OK ? index_pieces(l, err) : status;
}

/* ---- the whole
 * ------------------------------------------------------------------------------------ */
static tn_status learn(learner *l, tn_progress *progress, tn_error *err) {
  size_t wanted = (size_t)l->plan->vocab_size * 11 / 10;
  double *sums = tn_alloc(l->count, sizeof *sums);
  if (!sums) return tn_fail_memory(err, "counts of pieces", l->count * sizeof *sums);
  double start = (double)l->count, shrink = log(start / (double)wanted) / -log(SHRINKING);
  tn_progress_begin(progress, "EM", "rounds", SUB_ROUNDS * (int64_t)(shrink > 0 ? shrink + 2 : 1));
  tn_status status = index_pieces(l, err);
  for (int64_t round = 0; status == TN_OK;) {
    for (int i = 0; i < SUB_ROUNDS && status == TN_OK; i++) {
      status = em_round(l, sums, err);
      if (status == TN_OK) status = tn_progress_at(progress, ++round, err);
    }
    size_t before = l->count;
    if (status == TN_OK) status = index_pieces(l, err);
    if (status != TN_OK || l->count <= wanted) break;
    status = prune(l, wanted, sums, err);
    if (l->count >= before) break; /* nothing more can go */
  }
  tn_progress_end(progress);
  tn_free(sums);
  return status;
}

static int by_rank(const void *a, const void *b) {
  const piece *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  sentence u = {x->text, 0}, v = {y->text, 0};
  return by_text(&u, &v);
}

/* Specials, then all characters and the best other pieces, in order of their scores. */
static tn_status write(learner *l, tn_strbuf *json, tn_error *err) {
  const tn_unigram_plan *plan = l->plan;
  size_t room = (size_t)(plan->vocab_size - plan->special_count);
  if (l->count) qsort(l->pieces, l->count, sizeof *l->pieces, by_score);
  if (l->count > room) l->count = room;
  if (l->count) qsort(l->pieces, l->count, sizeof *l->pieces, by_rank);
  size_t total = (size_t)plan->special_count + l->count;
  tn_str *tokens = tn_alloc(total, sizeof *tokens);
  double *scores = tn_alloc(total, sizeof *scores);
  tn_status status = TN_OK;
  if (!tokens || !scores) status = tn_fail_memory(err, "a vocabulary", total * sizeof *tokens);
  if (status == TN_OK) {
    memcpy(tokens, plan->specials, (size_t)plan->special_count * sizeof *tokens);
    for (size_t i = 0; i < l->count; i++) {
      tokens[(size_t)plan->special_count + i] = l->pieces[i].text;
      scores[(size_t)plan->special_count + i] = l->pieces[i].score;
    }
    const tn_trained trained = {.model = TN_TRAIN_UNIGRAM,
                                .tokens = tokens,
                                .scores = scores,
                                .token_count = (int64_t)total,
                                .special_count = plan->special_count};
    status = tn_trained_write(&trained, json, err);
  }
  tn_free(tokens);
  tn_free(scores);
  return status;
}

/* A piece that is spelled like a special token would be found twice. */
static void drop_specials(learner *l) {
  for (size_t i = 0; i < l->count; i++)
    for (int64_t j = 0; j < l->plan->special_count; j++)
      if (tn_str_equal(l->pieces[i].text, l->plan->specials[j])) l->pieces[i].gone = true;
}

static tn_status run(learner *l, const tn_trained_words *words, tn_progress *progress,
                     tn_strbuf *json, tn_error *err) {
  tn_char_count *alphabet;
  int64_t count;
  TN_TRY(tn_trained_alphabet(words, l->plan->alphabet_max, &alphabet, &count, err));
  tn_status status = TN_OK;
  if (count > l->plan->vocab_size - l->plan->special_count)
    status = tn_fail(err, TN_ERR_ARGUMENT,
                     "vocabulary of %lld: fewer than %lld special tokens and %lld characters "
                     "(--alphabet-max limits those)",
                     (long long)l->plan->vocab_size, (long long)l->plan->special_count,
                     (long long)count);
  if (status == TN_OK) status = take_words(l, words, alphabet, count, err);
  tn_free(alphabet);
  TN_TRY(status);
  TN_TRY(make_seeds(l, err));
  drop_specials(l);
  TN_TRY(learn(l, progress, err));
  return write(l, json, err);
}

tn_status tn_unigram_learn(const tn_trained_words *words, const tn_unigram_plan *plan,
                           tn_progress *progress, tn_pool *pool, tn_strbuf *json, tn_error *err) {
  learner l = {.plan = plan, .pool = pool};
  tn_status status = run(&l, words, progress, json, err);
  tn_free(l.sentences);
  tn_free(l.pieces);
  tn_trie_clear(&l.trie);
  return status;
}
