/* tokenizer_trained.c - see tokenizer_train.h: alphabets, and the files of trained WordPiece and
 * Unigram vocabularies. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "model/tokenizer_train.h"
#include "model/tokenizer_unicode.h"

#define META "\xE2\x96\x81"

/* ---- alphabet
 * ------------------------------------------------------------------------------------- */
static int by_count(const void *a, const void *b) {
  const tn_char_count *x = a, *y = b;
  if (x->count != y->count) return x->count > y->count ? -1 : 1;
  return x->code < y->code ? -1 : x->code > y->code;
}
static int by_code(const void *a, const void *b) {
  const tn_char_count *x = a, *y = b;
  return x->code < y->code ? -1 : x->code > y->code;
}

static void count_characters(const tn_trained_words *words, tn_char_count *table) {
  for (int64_t i = 0; i < words->count; i++) {
    tn_str word = words->words[i].key;
    for (size_t at = 0, length; at < word.length; at += length) {
      tn_char_count *c = &table[tn_unicode_at(word, at, &length)];
      c->count += words->counts[i];
      c->inside = c->inside || at > 0;
    }
  }
}

tn_status tn_trained_alphabet(const tn_trained_words *words, int64_t most, tn_char_count **out,
                              int64_t *count, tn_error *err) {
  tn_char_count *table = tn_alloc(0x110000, sizeof *table);
  if (!table) return tn_fail_memory(err, "an alphabet", 0x110000 * sizeof *table);
  count_characters(words, table);
  size_t used = 0;
  for (uint32_t code = 0; code < 0x110000; code++) {
    if (!table[code].count) continue;
    table[used] = table[code];
    table[used++].code = code;
  }
  if (used) qsort(table, used, sizeof *table, by_count);
  if ((int64_t)used > most) used = (size_t)most;
  if (used) qsort(table, used, sizeof *table, by_code);
  *out = table;
  *count = (int64_t)used;
  return TN_OK;
}

/* ---- the parts
 * ------------------------------------------------------------------------------------ */
static const char *normalizer_json(tn_train_model model, bool cased) {
  if (model == TN_TRAIN_UNIGRAM)
    return "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":\"Replace\","
           "\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"}]}";
  return cased ? "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
                 "\"strip_accents\":null,\"lowercase\":false}"
               : "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
                 "\"strip_accents\":null,\"lowercase\":true}";
}

static const char metaspace_json[] = "{\"type\":\"Metaspace\",\"replacement\":\"" META
                                     "\",\"prepend_scheme\":\"always\",\"split\":true}";

static const char *pre_tokenizer_json(tn_train_model model) {
  return model == TN_TRAIN_UNIGRAM ? metaspace_json : "{\"type\":\"BertPreTokenizer\"}";
}

static const char *decoder_json(tn_train_model model) {
  return model == TN_TRAIN_UNIGRAM ? metaspace_json
                                   : "{\"type\":\"WordPiece\",\"prefix\":\"" TN_WORDPIECE_PREFIX
                                     "\",\"cleanup\":true}";
}

tn_status tn_trained_parts(tn_train_model model, bool cased, tn_normalizer **normalizer,
                           tn_pretokenizer **pre_tokenizer, tn_error *err) {
  tn_arena arena = {0};
  tn_json *json;
  tn_status status =
      tn_json_parse(&json, &arena, tn_str_of(normalizer_json(model, cased)), NULL, err);
  if (status == TN_OK) status = tn_normalizer_read(normalizer, json, err);
  if (status == TN_OK)
    status = tn_json_parse(&json, &arena, tn_str_of(pre_tokenizer_json(model)), NULL, err);
  if (status == TN_OK) status = tn_pretokenizer_read(pre_tokenizer, json, err);
  tn_arena_clear(&arena);
  return status;
}

/* ---- the file
 * ------------------------------------------------------------------------------------- */
static void write_specials(tn_json_writer *w, const tn_trained *t) {
  static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};
  tn_json_key(w, "added_tokens");
  tn_json_begin_array(w);
  for (int64_t id = 0; id < t->special_count; id++) {
    tn_json_begin_object(w);
    tn_json_key(w, "id"), tn_json_i64(w, id);
    tn_json_key(w, "content"), tn_json_str(w, t->tokens[id]);
    for (int i = 0; i < 4; i++) tn_json_key(w, flags[i]), tn_json_bool(w, false);
    tn_json_key(w, "special"), tn_json_bool(w, true);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
}

static int64_t find(const tn_trained *t, const char *token) {
  for (int64_t id = 0; id < t->special_count; id++)
    if (tn_str_is(t->tokens[id], token)) return id;
  return -1;
}

/* [CLS] A [SEP] B [SEP] */
static void write_post(tn_json_writer *w, const tn_trained *t) {
  static const char *const keys[] = {"sep", "cls"}, *const names[] = {"[SEP]", "[CLS]"};
  tn_json_key(w, "post_processor");
  if (t->model == TN_TRAIN_UNIGRAM) {
    tn_json_null(w);
    return;
  }
  tn_json_begin_object(w);
  tn_json_key(w, "type"), tn_json_cstr(w, "BertProcessing");
  for (int i = 0; i < 2; i++) {
    tn_json_key(w, keys[i]);
    tn_json_begin_array(w);
    tn_json_cstr(w, names[i]);
    tn_json_i64(w, find(t, names[i]));
    tn_json_end_array(w);
  }
  tn_json_end_object(w);
}

static void write_wordpiece(tn_json_writer *w, const tn_trained *t) {
  tn_json_key(w, "type"), tn_json_cstr(w, "WordPiece");
  tn_json_key(w, "unk_token"), tn_json_cstr(w, "[UNK]");
  tn_json_key(w, "continuing_subword_prefix"), tn_json_cstr(w, TN_WORDPIECE_PREFIX);
  tn_json_key(w, "max_input_chars_per_word"), tn_json_i64(w, 100);
  tn_json_key(w, "vocab");
  tn_json_begin_object(w);
  for (int64_t id = 0; id < t->token_count; id++) {
    tn_json_key_str(w, t->tokens[id]);
    tn_json_i64(w, id);
  }
  tn_json_end_object(w);
}

static void write_unigram(tn_json_writer *w, const tn_trained *t) {
  tn_json_key(w, "type"), tn_json_cstr(w, "Unigram");
  tn_json_key(w, "unk_id"), tn_json_i64(w, find(t, "<unk>"));
  tn_json_key(w, "vocab");
  tn_json_begin_array(w);
  for (int64_t id = 0; id < t->token_count; id++) {
    tn_json_begin_array(w);
    tn_json_str(w, t->tokens[id]);
    tn_json_f64(w, t->scores[id]);
    tn_json_end_array(w);
  }
  tn_json_end_array(w);
  tn_json_key(w, "byte_fallback"), tn_json_bool(w, false);
}

tn_status tn_trained_write(const tn_trained *t, tn_strbuf *out, tn_error *err) {
  tn_json_writer writer = {.out = out, .indent = 1}, *w = &writer;
  tn_json_begin_object(w);
  tn_json_key(w, "version"), tn_json_cstr(w, "1.0");
  tn_json_key(w, "truncation"), tn_json_null(w);
  tn_json_key(w, "padding"), tn_json_null(w);
  write_specials(w, t);
  tn_json_key(w, "normalizer"), tn_json_raw(w, tn_str_of(normalizer_json(t->model, t->cased)));
  tn_json_key(w, "pre_tokenizer"), tn_json_raw(w, tn_str_of(pre_tokenizer_json(t->model)));
  write_post(w, t);
  tn_json_key(w, "decoder"), tn_json_raw(w, tn_str_of(decoder_json(t->model)));
  tn_json_key(w, "model");
  tn_json_begin_object(w);
  (t->model == TN_TRAIN_UNIGRAM ? write_unigram : write_wordpiece)(w, t);
  tn_json_end_object(w);
  tn_json_end_object(w);
  return tn_strbuf_check(out, err);
}
