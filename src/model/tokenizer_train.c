/* tokenizer_train.c - training: counting words, and the merges of BPE and WordPiece.
 *
 * The text is cut into pieces, on many threads; each distinct piece is a word with a count.  Then,
 * over and over, the most frequent pair of neighbouring symbols becomes a new symbol (Sennrich,
 * Haddow, Birch 2016).  Only words that hold the pair are touched.  Ids are dealt as Hugging Face's
 * trainer does: specials, bytes in the order of their alphabet characters (WordPiece: characters,
 * then those inside words), then merges.  Unigram has a file of its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/utf8.h"
#include "model/tokenizer.h"
#include "model/tokenizer_alphabet.h"
#include "model/tokenizer_internal.h"
#include "model/tokenizer_pairs.h"
#include "model/tokenizer_train.h"
#include "model/tokenizer_unicode.h"
#include "model/tokenizer_write.h"

#define SPECIALS_MAX 4096

/* What one thread has counted. */
typedef struct counter {
  tn_map pieces;   /* piece -> index of its count */
  int64_t *counts; /* [pieces.count] */
  size_t count_capacity;
  size_t piece_bytes_max;
  bool text; /* pieces are characters, not bytes */
  tn_normalize_scratch normalize;
  tn_pretokenize_scratch scratch;
  tn_strbuf repaired;
  tn_status status;
  tn_error err;
} counter;

typedef struct word {
  size_t start; /* in `symbols` */
  int32_t length;
  uint32_t round; /* last round that rewrote it */
} word;

struct tn_tokenizer_trainer {
  tn_tokenizer_train_options options;
  tn_arena arena;
  tn_normalizer *normalizer; /* NULL: BPE */
  tn_pretokenizer *pre_tokenizer;
  counter *counters; /* [counter_count]; the first ends up with everything */
  int32_t counter_count;

  tn_str *tokens; /* [vocab_size] raw bytes of each id */
  int64_t token_count;
  tn_map known; /* spelled token -> id */
  int32_t byte_ids[256];
  tn_token_pair *merges;
  size_t merge_count, merge_capacity;
  int32_t *symbols; /* of all words, end to end */
  word *words;
  tn_pairs pairs;
  bool finished;
  uint32_t *risen; /* pairs that this round has made more frequent */
  size_t risen_count, risen_capacity;
};

static tn_trained_words trained_words(const tn_tokenizer_trainer *tr) {
  const counter *c = &tr->counters[0];
  return (tn_trained_words){c->pieces.entries, c->counts, (int64_t)c->pieces.count};
}

/* ---- making and feeding
 * ------------------------------------------------------------------------------ */
static tn_status check_options(tn_tokenizer_train_options *o, tn_error *err) {
  if (!o->vocab_size) o->vocab_size = 4096;
  if (!o->min_frequency) o->min_frequency = 2;
  if (!o->piece_bytes_max) o->piece_bytes_max = 1024;
  if (!o->alphabet_max) o->alphabet_max = 1000;
  if (o->special_count < 0 || o->special_count > SPECIALS_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "%d special tokens, limit %d", o->special_count,
                   SPECIALS_MAX);
  int64_t least = (o->model == TN_TRAIN_BPE ? 256 : 1) + o->special_count;
  if (o->vocab_size < least || o->vocab_size > TN_TOKENIZER_ID_MAX + 1)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "vocabulary of %lld, expected %lld (bytes and specials) to %d",
                   (long long)o->vocab_size, (long long)least, TN_TOKENIZER_ID_MAX + 1);
  if (o->min_frequency < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "minimum frequency %lld, expected 1 or more",
                   (long long)o->min_frequency);
  if (o->piece_bytes_max < 2 || o->piece_bytes_max > 1 << 20)
    return tn_fail(err, TN_ERR_ARGUMENT, "pieces of %lld bytes, expected 2 to %d",
                   (long long)o->piece_bytes_max, 1 << 20);
  return TN_OK;
}

/* `spelled` is how the token stands in tokenizer.json, where every key must differ. */
static tn_status add_token(tn_tokenizer_trainer *tr, tn_str bytes, tn_str spelled, tn_error *err) {
  TN_TRY(tn_map_put(&tr->known, spelled, (uint64_t)tr->token_count, err));
  char *copy = tn_arena_strndup(&tr->arena, bytes.data, bytes.length);
  if (!copy) return tn_fail_memory(err, "a token", bytes.length);
  tr->tokens[tr->token_count++] = (tn_str){copy, bytes.length};
  return TN_OK;
}

static tn_status check_special(const tn_tokenizer_trainer *tr, int32_t number, tn_str text,
                               tn_error *err) {
  uint64_t before;
  uint32_t code;
  if (!text.length) return tn_fail(err, TN_ERR_ARGUMENT, "special token %d is empty", number);
  if (text.length > TN_TOKENIZER_ADDED_BYTES_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "special token %d \"%.64s...\" has %zu bytes, limit %d",
                   number, text.data, text.length, TN_TOKENIZER_ADDED_BYTES_MAX);
  if (!tn_utf8_valid(text))
    return tn_fail(err, TN_ERR_ARGUMENT, "special token %d \"%.64s\" is not UTF-8", number,
                   text.data);
  if (tn_map_get(&tr->known, text, &before))
    return tn_fail(err, TN_ERR_ARGUMENT, "special token %d \"%.64s\" is number %d already", number,
                   text.data, (int)before + 1);
  int first = tn_utf8_decode((const uint8_t *)text.data, text.length, &code);
  int32_t byte = (size_t)first == text.length ? tn_alphabet_byte(code) : -1;
  if (tr->options.model == TN_TRAIN_BPE && byte >= 0)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "special token %d \"%s\" is what tokenizer.json writes for byte 0x%02x", number,
                   text.data, (unsigned)byte);
  return TN_OK;
}

static tn_status add_specials(tn_tokenizer_trainer *tr, tn_error *err) {
  for (int32_t i = 0; i < tr->options.special_count; i++) {
    tn_str text = tn_str_of(tr->options.specials[i]);
    TN_TRY(check_special(tr, i + 1, text, err));
    TN_TRY(add_token(tr, text, text, err));
  }
  tr->options.specials = NULL; /* the caller's; ours are in `tokens` */
  return TN_OK;
}

static tn_status add_bytes(tn_tokenizer_trainer *tr, tn_error *err) {
  for (uint32_t code = 0; code < 0x144; code++) {
    int32_t byte = tn_alphabet_byte(code);
    if (byte < 0) continue;
    uint8_t utf8[4];
    char raw = (char)byte;
    int length = tn_utf8_encode(code, utf8);
    tr->byte_ids[byte] = (int32_t)tr->token_count;
    TN_TRY(add_token(tr, (tn_str){&raw, 1}, (tn_str){(const char *)utf8, (size_t)length}, err));
  }
  return TN_OK;
}

/* What the model's file cannot do without. */
static tn_status want_specials(const tn_tokenizer_trainer *tr, tn_error *err) {
  static const char *const wanted[][3] = {[TN_TRAIN_BPE] = {NULL},
                                          [TN_TRAIN_WORDPIECE] = {"[UNK]", "[CLS]", "[SEP]"},
                                          [TN_TRAIN_UNIGRAM] = {"<unk>"}};
  for (int i = 0; i < 3 && wanted[tr->options.model][i]; i++)
    if (!tn_map_get(&tr->known, tn_str_of(wanted[tr->options.model][i]), NULL))
      return tn_fail(err, TN_ERR_ARGUMENT, "special token %s is missing",
                     wanted[tr->options.model][i]);
  return TN_OK;
}

static void counter_clear(counter *c) {
  tn_regex_scratch_free(c->scratch.regex);
  tn_pretokenize_scratch_clear(&c->scratch);
  tn_normalize_scratch_clear(&c->normalize);
  tn_strbuf_clear(&c->repaired);
  tn_map_clear(&c->pieces);
  tn_free(c->counts);
}

static tn_status grow_counters(tn_tokenizer_trainer *tr, int32_t count, tn_error *err) {
  if (count <= tr->counter_count) return TN_OK;
  counter *grown = tn_realloc(tr->counters, (size_t)count, sizeof *grown);
  if (!grown) return tn_fail_memory(err, "counters", (size_t)count * sizeof *grown);
  tr->counters = grown;
  while (tr->counter_count < count) {
    counter *c = &tr->counters[tr->counter_count];
    *c = (counter){.piece_bytes_max = (size_t)tr->options.piece_bytes_max,
                   .text = tr->options.model != TN_TRAIN_BPE};
    TN_TRY(tn_regex_scratch_new(&c->scratch.regex, err));
    c->normalize.regex = c->scratch.regex;
    tr->counter_count++;
  }
  return TN_OK;
}

static tn_status trainer_init(tn_tokenizer_trainer *tr, tn_error *err) {
  TN_TRY(check_options(&tr->options, err));
  tr->tokens = tn_alloc((size_t)tr->options.vocab_size, sizeof *tr->tokens);
  if (!tr->tokens)
    return tn_fail_memory(err, "a vocabulary", (size_t)tr->options.vocab_size * sizeof(tn_str));
  TN_TRY(add_specials(tr, err));
  TN_TRY(want_specials(tr, err));
  TN_TRY(grow_counters(tr, 1, err));
  if (tr->options.model != TN_TRAIN_BPE)
    return tn_trained_parts(tr->options.model, tr->options.cased, &tr->normalizer,
                            &tr->pre_tokenizer, err);
  TN_TRY(add_bytes(tr, err));
  return tn_pretokenizer_gpt2(&tr->pre_tokenizer, err);
}

tn_status tn_tokenizer_trainer_new(tn_tokenizer_trainer **out,
                                   const tn_tokenizer_train_options *options, tn_error *err) {
  tn_tokenizer_trainer *tr = tn_alloc(1, sizeof *tr);
  if (!tr) return tn_fail_memory(err, "a trainer", sizeof *tr);
  if (options) tr->options = *options;
  tn_status status = trainer_init(tr, err);
  if (status != TN_OK) {
    tn_tokenizer_trainer_free(tr);
    return status;
  }
  *out = tr;
  return TN_OK;
}

void tn_tokenizer_trainer_free(tn_tokenizer_trainer *tr) {
  if (!tr) return;
  for (int32_t i = 0; i < tr->counter_count; i++) counter_clear(&tr->counters[i]);
  tn_free(tr->counters);
  tn_normalizer_free(tr->normalizer);
  tn_pretokenizer_free(tr->pre_tokenizer);
  tn_map_clear(&tr->known);
  tn_free(tr->tokens);
  tn_free(tr->merges);
  tn_free(tr->symbols);
  tn_free(tr->words);
  tn_free(tr->risen);
  tn_pairs_clear(&tr->pairs);
  tn_arena_clear(&tr->arena);
  tn_free(tr);
}

static tn_status count_piece(counter *c, tn_str piece, int64_t times, tn_error *err) {
  uint64_t index;
  if (!tn_map_get(&c->pieces, piece, &index)) {
    index = c->pieces.count;
    TN_TRY(tn_grow((void **)&c->counts, &c->count_capacity, (size_t)index + 1, sizeof *c->counts,
                   err));
    c->counts[index] = 0;
    TN_TRY(tn_map_put(&c->pieces, piece, index, err));
  }
  c->counts[index] += times;
  return TN_OK;
}

/* A piece that is too long is cut, where it is text before a character. */
static tn_status take_piece(void *context, tn_str piece, tn_error *err) {
  counter *c = context;
  while (piece.length > c->piece_bytes_max) {
    size_t end = c->piece_bytes_max;
    while (end > 1 && c->text && ((uint8_t)piece.data[end] & 0xC0) == 0x80) end--;
    TN_TRY(count_piece(c, (tn_str){piece.data, end}, 1, err));
    piece.data += end;
    piece.length -= end;
  }
  return count_piece(c, piece, 1, err);
}

static tn_status count_text(const tn_tokenizer_trainer *tr, counter *c, tn_str text,
                            tn_error *err) {
  bool raw = tr->options.model == TN_TRAIN_BPE, origin = true;
  if (!raw) {
    tn_strbuf_reset(&c->repaired);
    tn_utf8_append_repaired(&c->repaired, text);
    TN_TRY(tn_strbuf_check(&c->repaired, err));
    text = tn_strbuf_view(&c->repaired);
    TN_TRY(tn_normalizer_run(tr->normalizer, &c->normalize, text, &text, &origin, err));
  }
  return tn_pretokenizer_run(tr->pre_tokenizer, &c->scratch, text, origin, raw, take_piece, c, err);
}

tn_status tn_tokenizer_trainer_add(tn_tokenizer_trainer *tr, tn_str text, tn_error *err) {
  return count_text(tr, &tr->counters[0], text, err);
}

typedef struct count_run {
  tn_tokenizer_trainer *tr;
  const tn_str *texts;
} count_run;

static void count_item(void *context, int64_t item, int32_t worker) {
  const count_run *run = context;
  counter *c = &run->tr->counters[worker];
  if (c->status == TN_OK) c->status = count_text(run->tr, c, run->texts[item], &c->err);
}

tn_status tn_tokenizer_trainer_add_many(tn_tokenizer_trainer *tr, const tn_str *texts,
                                        int64_t count, tn_pool *pool, tn_error *err) {
  count_run run = {tr, texts};
  TN_TRY(grow_counters(tr, tn_pool_threads(pool), err));
  tn_pool_run(pool, count, count_item, &run);
  for (int32_t i = 0; i < tr->counter_count; i++) {
    tn_status status = tr->counters[i].status;
    tr->counters[i].status = TN_OK;
    if (status != TN_OK) {
      if (err) *err = tr->counters[i].err;
      return status;
    }
  }
  return TN_OK;
}

/* What all threads have counted, into the first counter. */
static tn_status join_counters(tn_tokenizer_trainer *tr, tn_error *err) {
  while (tr->counter_count > 1) {
    counter *c = &tr->counters[tr->counter_count - 1];
    for (size_t i = 0; i < c->pieces.count; i++)
      TN_TRY(count_piece(&tr->counters[0], c->pieces.entries[i].key, c->counts[i], err));
    counter_clear(c);
    tr->counter_count--;
  }
  return TN_OK;
}

/* ---- the characters of WordPiece
 * ----------------------------------------------------------------------
 * The alphabet_max most frequent, in order of their codes: first as they stand at the start of a
 * word, then as they go on ("##a"). */
typedef struct alphabet {
  tn_map ids; /* spelled -> id */
  tn_strbuf spelled;
} alphabet;

static tn_status add_character(tn_tokenizer_trainer *tr, alphabet *a, tn_str character, bool inside,
                               tn_error *err) {
  tn_strbuf_reset(&a->spelled);
  if (inside) tn_strbuf_add(&a->spelled, TN_WORDPIECE_PREFIX);
  tn_strbuf_add_str(&a->spelled, character);
  TN_TRY(tn_strbuf_check(&a->spelled, err));
  tn_str token = tn_strbuf_view(&a->spelled);
  if (tn_map_get(&tr->known, token, NULL)) return TN_OK; /* a special token of one character */
  if (tr->token_count >= tr->options.vocab_size)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "vocabulary of %lld: fewer than the special tokens and the characters of the "
                   "text (--alphabet-max limits those)",
                   (long long)tr->options.vocab_size);
  TN_TRY(tn_map_put(&a->ids, token, (uint64_t)tr->token_count, err));
  return add_token(tr, token, token, err);
}

static tn_status add_alphabet(tn_tokenizer_trainer *tr, alphabet *a, tn_error *err) {
  tn_trained_words words = trained_words(tr);
  tn_char_count *characters;
  int64_t count;
  TN_TRY(tn_trained_alphabet(&words, tr->options.alphabet_max, &characters, &count, err));
  tn_status status = TN_OK;
  for (int inside = 0; inside < 2; inside++)
    for (int64_t i = 0; i < count && status == TN_OK; i++) {
      uint8_t utf8[4];
      int length = tn_utf8_encode(characters[i].code, utf8);
      if (!inside || characters[i].inside)
        status = add_character(tr, a, (tn_str){(char *)utf8, (size_t)length}, inside, err);
    }
  tn_free(characters);
  return status;
}

/* A word with a character outside the alphabet is left out. */
static tn_status spell_word(alphabet *a, tn_str piece, int32_t *symbols, int32_t *count,
                            tn_error *err) {
  *count = 0;
  for (size_t at = 0, length; at < piece.length; at += length) {
    uint64_t id;
    tn_unicode_at(piece, at, &length);
    tn_strbuf_reset(&a->spelled);
    if (at) tn_strbuf_add(&a->spelled, TN_WORDPIECE_PREFIX);
    tn_strbuf_append(&a->spelled, piece.data + at, length);
    TN_TRY(tn_strbuf_check(&a->spelled, err));
    if (!tn_map_get(&a->ids, tn_strbuf_view(&a->spelled), &id)) {
      *count = 0;
      return TN_OK;
    }
    symbols[(*count)++] = (int32_t)id;
  }
  return TN_OK;
}

/* ---- words and their first pairs
 * ------------------------------------------------------------------------ */
static tn_status spell_words(tn_tokenizer_trainer *tr, alphabet *a, tn_error *err) {
  const counter *c = &tr->counters[0];
  size_t at = 0;
  if (tr->options.model == TN_TRAIN_WORDPIECE) TN_TRY(add_alphabet(tr, a, err));
  for (size_t i = 0; i < c->pieces.count; i++) {
    tn_str piece = c->pieces.entries[i].key;
    tr->words[i] = (word){.start = at, .length = (int32_t)piece.length};
    if (tr->options.model == TN_TRAIN_WORDPIECE) {
      TN_TRY(spell_word(a, piece, tr->symbols + at, &tr->words[i].length, err));
      at += (size_t)tr->words[i].length;
      continue;
    }
    for (size_t j = 0; j < piece.length; j++)
      tr->symbols[at++] = tr->byte_ids[(uint8_t)piece.data[j]];
  }
  return TN_OK;
}

static tn_status make_words(tn_tokenizer_trainer *tr, tn_error *err) {
  const counter *c = &tr->counters[0];
  size_t total = 0;
  if (c->pieces.count >= UINT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%zu distinct pieces, limit %u", c->pieces.count, UINT32_MAX);
  for (size_t i = 0; i < c->pieces.count; i++) total += c->pieces.entries[i].key.length;
  tr->symbols = tn_alloc(total, sizeof *tr->symbols);
  tr->words = tn_alloc(c->pieces.count, sizeof *tr->words);
  if (!tr->symbols || !tr->words)
    return tn_fail_memory(err, "the words to learn from", total * sizeof *tr->symbols);
  alphabet a = {0};
  tn_status status = spell_words(tr, &a, err);
  tn_map_clear(&a.ids);
  tn_strbuf_clear(&a.spelled);
  return status;
}

static tn_status count_pairs(tn_tokenizer_trainer *tr, tn_error *err) {
  for (size_t i = 0; i < tr->counters[0].pieces.count; i++) {
    const int32_t *symbols = tr->symbols + tr->words[i].start;
    for (int32_t j = 0; j + 1 < tr->words[i].length; j++) {
      uint32_t pair;
      TN_TRY(tn_pairs_add(&tr->pairs, symbols[j], symbols[j + 1], tr->counters[0].counts[i], &pair,
                          err));
      TN_TRY(tn_pairs_note(&tr->pairs, pair, (uint32_t)i, err));
    }
  }
  for (size_t i = 0; i < tr->pairs.count; i++) TN_TRY(tn_pairs_push(&tr->pairs, (uint32_t)i, err));
  return TN_OK;
}

/* ---- one merge
 * ---------------------------------------------------------------------------------------------- */
static tn_status mark_risen(tn_tokenizer_trainer *tr, uint32_t pair, uint32_t round,
                            tn_error *err) {
  if (tr->pairs.items[pair].queued == round) return TN_OK;
  tr->pairs.items[pair].queued = round;
  TN_TRY(tn_grow((void **)&tr->risen, &tr->risen_capacity, tr->risen_count + 1, sizeof *tr->risen,
                 err));
  tr->risen[tr->risen_count++] = pair;
  return TN_OK;
}

/* Replaces left right by `id` in one word: its old pairs are taken back, its new ones counted. */
static tn_status rewrite_word(tn_tokenizer_trainer *tr, uint32_t index, tn_token_pair merge,
                              int32_t id, uint32_t round, tn_error *err) {
  word *w = &tr->words[index];
  int32_t *symbols = tr->symbols + w->start, length = 0;
  int64_t count = tr->counters[0].counts[index];
  for (int32_t i = 0; i + 1 < w->length; i++)
    TN_TRY(tn_pairs_add(&tr->pairs, symbols[i], symbols[i + 1], -count, NULL, err));
  for (int32_t i = 0; i < w->length; i++) {
    bool here = i + 1 < w->length && symbols[i] == merge.left && symbols[i + 1] == merge.right;
    symbols[length++] = here ? id : symbols[i];
    i += here;
  }
  w->length = length;
  for (int32_t i = 0; i + 1 < length; i++) {
    uint32_t pair;
    TN_TRY(tn_pairs_add(&tr->pairs, symbols[i], symbols[i + 1], count, &pair, err));
    if (symbols[i] != id && symbols[i + 1] != id) continue;
    TN_TRY(tn_pairs_note(&tr->pairs, pair, index, err));
    TN_TRY(mark_risen(tr, pair, round, err));
  }
  return TN_OK;
}

static tn_status apply_merge(tn_tokenizer_trainer *tr, uint32_t pair, int32_t id, uint32_t round,
                             tn_error *err) {
  tn_token_pair merge = {tr->pairs.items[pair].left, tr->pairs.items[pair].right};
  uint32_t node = tn_pairs_take_words(&tr->pairs, pair);
  tr->risen_count = 0;
  while (node) {
    tn_pair_node item = tr->pairs.nodes[node];
    tn_pairs_give_node(&tr->pairs, node);
    node = item.next;
    if (tr->words[item.word].round == round) continue;
    tr->words[item.word].round = round;
    TN_TRY(rewrite_word(tr, item.word, merge, id, round, err));
  }
  for (size_t i = 0; i < tr->risen_count; i++) TN_TRY(tn_pairs_push(&tr->pairs, tr->risen[i], err));
  return TN_OK;
}

/* The id of left + right: new, or the one that another merge has already given these bytes.  -1:
 * the bytes are spelled like a special token, which text must not become. */
static tn_status merged_id(tn_tokenizer_trainer *tr, uint32_t pair, int32_t *id, tn_error *err) {
  tn_str left = tr->tokens[tr->pairs.items[pair].left];
  tn_str right = tr->tokens[tr->pairs.items[pair].right];
  tn_strbuf bytes = {0}, spelled = {0};
  bool wordpiece = tr->options.model == TN_TRAIN_WORDPIECE;
  if (wordpiece) right = (tn_str){right.data + 2, right.length - 2}; /* always inside a word */
  tn_strbuf_add_str(&bytes, left);
  tn_strbuf_add_str(&bytes, right);
  if (wordpiece)
    tn_strbuf_add_str(&spelled, tn_strbuf_view(&bytes));
  else
    tn_alphabet_write(tn_strbuf_view(&bytes), &spelled);
  tn_status status = tn_strbuf_check(&bytes, err);
  if (status == TN_OK) status = tn_strbuf_check(&spelled, err);
  uint64_t known;
  if (status == TN_OK && tn_map_get(&tr->known, tn_strbuf_view(&spelled), &known)) {
    *id = known < (uint64_t)tr->options.special_count ? -1 : (int32_t)known;
  } else if (status == TN_OK) {
    *id = (int32_t)tr->token_count;
    status = add_token(tr, tn_strbuf_view(&bytes), tn_strbuf_view(&spelled), err);
  }
  tn_strbuf_clear(&bytes);
  tn_strbuf_clear(&spelled);
  return status;
}

static tn_status learn(tn_tokenizer_trainer *tr, tn_progress *progress, tn_error *err) {
  uint32_t round = 0, pair;
  while (tr->token_count < tr->options.vocab_size) {
    tn_status status = tn_pairs_pop(&tr->pairs, tr->options.min_frequency, &pair, err);
    if (status == TN_END) return TN_OK; /* the text has no more to give */
    TN_TRY(status);
    int32_t id;
    TN_TRY(merged_id(tr, pair, &id, err));
    if (id < 0) continue;
    TN_TRY(tn_grow((void **)&tr->merges, &tr->merge_capacity, tr->merge_count + 1,
                   sizeof *tr->merges, err));
    tr->merges[tr->merge_count++] =
        (tn_token_pair){tr->pairs.items[pair].left, tr->pairs.items[pair].right};
    TN_TRY(apply_merge(tr, pair, id, ++round, err));
    TN_TRY(tn_progress_at(progress, tr->token_count, err));
  }
  return TN_OK;
}

/* ---- the result
 * ------------------------------------------------------------------------------------------------
 */
static tn_status learn_merges(tn_tokenizer_trainer *tr, tn_progress *progress, tn_strbuf *json,
                              tn_error *err) {
  TN_TRY(make_words(tr, err));
  TN_TRY(count_pairs(tr, err));
  tn_progress_begin(progress, "merges", "tokens", tr->options.vocab_size);
  tn_status status = learn(tr, progress, err);
  tn_progress_end(progress);
  if (status != TN_OK) return status;
  if (tr->options.model == TN_TRAIN_WORDPIECE) {
    const tn_trained trained = {.model = TN_TRAIN_WORDPIECE,
                                .cased = tr->options.cased,
                                .tokens = tr->tokens,
                                .token_count = tr->token_count,
                                .special_count = tr->options.special_count};
    return tn_trained_write(&trained, json, err);
  }
  tn_tokenizer_plan plan = {
      .tokens = tr->tokens,
      .token_count = tr->token_count,
      .special_count = tr->options.special_count,
      .merges = tr->merges,
      .merge_count = (int64_t)tr->merge_count,
  };
  return tn_tokenizer_write(&plan, json, err);
}

tn_status tn_tokenizer_trainer_finish(tn_tokenizer_trainer *tr, tn_progress *progress,
                                      tn_pool *pool, tn_tokenizer **out, tn_error *err) {
  if (tr->finished) return tn_fail(err, TN_ERR_ARGUMENT, "this trainer has finished before");
  tr->finished = true;
  TN_TRY(join_counters(tr, err));
  tn_strbuf json = {0};
  tn_trained_words words = trained_words(tr);
  const tn_unigram_plan plan = {.vocab_size = tr->options.vocab_size,
                                .alphabet_max = tr->options.alphabet_max,
                                .specials = tr->tokens,
                                .special_count = tr->options.special_count};
  tn_status status = tr->options.model == TN_TRAIN_UNIGRAM
                         ? tn_unigram_learn(&words, &plan, progress, pool, &json, err)
                         : learn_merges(tr, progress, &json, err);
  if (status == TN_OK)
    status = tn_tokenizer_parse(out, "the trained tokenizer", tn_strbuf_view(&json), err);
  tn_strbuf_clear(&json);
  return status;
}
