/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/thread.h"
#include "model/tokenizer.h"
#include "model/tokenizer_alphabet.h"

#define SEED 20260727u

static void check_ok(tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("%s: %s", tn_status_text(status), err->text);
}

static const char rhyme[] =
    "She sells sea shells by the sea shore, and the shells she sells are sea shells, I'm sure.\n"
    "So if she sells sea shells by the sea shore, then I'm sure she sells sea-shore shells.\n";

static tn_tokenizer *train_text(tn_str text, int64_t vocab_size) {
  static const char *const specials[] = {"<|endoftext|>", "<|user|>"};
  tn_tokenizer_train_options options = {
      .vocab_size = vocab_size, .specials = specials, .special_count = 2};
  tn_error err = {0};
  tn_tokenizer_trainer *trainer;
  tn_tokenizer *t;
  check_ok(tn_tokenizer_trainer_new(&trainer, &options, &err), &err);
  check_ok(tn_tokenizer_trainer_add(trainer, text, &err), &err);
  check_ok(tn_tokenizer_trainer_finish(trainer, NULL, NULL, &t, &err), &err);
  tn_tokenizer_trainer_free(trainer);
  return t;
}

static tn_tokenizer *train_rhyme(void) {
  return train_text(TN_STR(rhyme), 276);
}

static void encode(const tn_tokenizer *t, tn_str text, bool parse_special, tn_ids *ids) {
  tn_error err = {0};
  check_ok(tn_tokenizer_encode(t, text, parse_special, ids, &err), &err);
}

static void check_round_trip(const tn_tokenizer *t, tn_str text) {
  tn_error err = {0};
  tn_ids ids = {0};
  tn_strbuf back = {0};
  encode(t, text, false, &ids);
  check_ok(tn_tokenizer_decode(t, ids.items, ids.count, true, &back, &err), &err);
  assert_int_equal(back.length, text.length);
  if (text.length) assert_memory_equal(back.data, text.data, text.length);
  tn_strbuf_clear(&back);
  tn_ids_clear(&ids);
}

/* ---- alphabet ---- */
static void alphabet_is_a_bijection(void **state) {
  for (int byte = 0; byte < 256; byte++)
    assert_int_equal(tn_alphabet_byte(tn_alphabet_char((uint8_t)byte)), byte);
  int signs = 0;
  for (uint32_t code = 0; code < 0x1000; code++) signs += tn_alphabet_byte(code) >= 0;
  assert_int_equal(signs, 256);
  assert_int_equal(tn_alphabet_char(' '), 0x120);
  assert_int_equal(tn_alphabet_char('\n'), 0x10A);
  assert_int_equal(tn_alphabet_char(0xAD), 0x143);
}

/* ---- training ---- */
static void training_takes_the_most_frequent_pair(void **state) {
  tn_tokenizer *t = train_text(TN_STR("ab ab ab cd cd xy"), 261);
  assert_int_equal(tn_tokenizer_vocab_size(t), 261);
  assert_int_equal(tn_tokenizer_id(t, TN_STR("<|endoftext|>")), 0);
  assert_int_equal(tn_tokenizer_id(t, TN_STR("!")), 2); /* bytes follow the specials */
  /* "ab" three times; then "Ġab" and "Ġc", "cd" twice each: the smaller ids win. */
  assert_int_equal(tn_tokenizer_id(t, TN_STR("ab")), 258);
  assert_int_equal(tn_tokenizer_id(t, TN_STR("cd")), 259);
  assert_int_equal(tn_tokenizer_id(t, TN_STR("\xC4\xA0"
                                             "ab")),
                   260);
  tn_tokenizer_free(t);
}

static void training_ends_when_nothing_repeats(void **state) {
  tn_tokenizer *t = train_text(TN_STR("abab"), 4096);
  assert_int_equal(tn_tokenizer_vocab_size(t), 259); /* "ab", and "abab" occurs once */
  tn_tokenizer_free(t);
}

static void training_counts_overlapping_runs(void **state) {
  tn_tokenizer *t = train_text(TN_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 300);
  check_round_trip(t, TN_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aaa"));
  assert_true(tn_tokenizer_id(t, TN_STR("aaaa")) >= 0);
  tn_tokenizer_free(t);
}

static void training_is_a_function_of_the_text(void **state) {
  tn_tokenizer *a = train_rhyme(), *b = train_rhyme();
  assert_int_equal(tn_tokenizer_hash(a), tn_tokenizer_hash(b));
  assert_int_equal(tn_tokenizer_vocab_size(a), 276);
  tn_tokenizer_free(a);
  tn_tokenizer_free(b);
}

static void text_never_becomes_a_special_token(void **state) {
  tn_tokenizer *t = train_text(TN_STR("<|user|> <|user|> <|user|> <|user|> <|user|>"), 300);
  tn_ids ids = {0};
  encode(t, TN_STR("<|user|>"), false, &ids);
  for (size_t i = 0; i < ids.count; i++) assert_false(tn_tokenizer_is_special(t, ids.items[i]));
  ids.count = 0;
  encode(t, TN_STR("<|user|>"), true, &ids);
  assert_int_equal(ids.count, 1);
  assert_int_equal(ids.items[0], 1);
  tn_ids_clear(&ids);
  tn_tokenizer_free(t);
}

static void training_refuses_impossible_options(void **state) {
  static const char *const twice[] = {"<s>", "<s>"}, *const byte[] = {"!"}, *const empty[] = {""};
  const tn_tokenizer_train_options wrong[] = {
      {.vocab_size = 255},    {.vocab_size = (int64_t)1 << 40},
      {.min_frequency = -1},  {.specials = twice, .special_count = 2},
      {.piece_bytes_max = 1}, {.specials = byte, .special_count = 1},
      {.special_count = -1},  {.specials = empty, .special_count = 1},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    tn_error err = {0};
    tn_tokenizer_trainer *trainer;
    assert_int_equal(tn_tokenizer_trainer_new(&trainer, &wrong[i], &err), TN_ERR_ARGUMENT);
    assert_true(err.text[0]);
  }
}

/* ---- encoding ---- */
/* BPE by its definition: apply the best merge of the whole piece, again and again.  A merge's rank
 * is the id of its result here, because training deals ids in that order. */
static size_t merge_by_definition(const tn_tokenizer *t, tn_str piece, int32_t *ids) {
  size_t count = piece.length;
  tn_strbuf joined = {0};
  for (size_t i = 0; i < count; i++) {
    tn_strbuf_reset(&joined);
    tn_alphabet_write((tn_str){piece.data + i, 1}, &joined);
    ids[i] = (int32_t)tn_tokenizer_id(t, tn_strbuf_view(&joined));
  }
  for (;;) {
    int64_t best = INT64_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < count; i++) {
      tn_strbuf_reset(&joined);
      tn_strbuf_add_str(&joined, tn_tokenizer_token(t, ids[i]));
      tn_strbuf_add_str(&joined, tn_tokenizer_token(t, ids[i + 1]));
      int64_t id = tn_tokenizer_id(t, tn_strbuf_view(&joined));
      if (id < 0 || id >= best) continue;
      best = id;
      at = i;
    }
    if (best == INT64_MAX) break;
    ids[at] = (int32_t)best;
    memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof *ids);
    count--;
  }
  tn_strbuf_clear(&joined);
  return count;
}

/* Letters only, so that a text is one piece; lengths on both sides of the border between the two
 * merge algorithms. */
static void merging_follows_the_definition(void **state) {
  tn_tokenizer *t =
      train_text(TN_STR("abba baab aabb bbaa abab baba aaab bbba abbb baaa ab ba"), 290);
  for (uint64_t trial = 0; trial < 400; trial++) {
    char text[200];
    int32_t want[200];
    size_t length = 1 + tn_random_below(SEED, trial, 1000, sizeof text);
    for (size_t i = 0; i < length; i++)
      text[i] = (char)('a' + tn_random_below(SEED, trial, i, trial % 5 == 0 ? 3 : 2));
    tn_ids ids = {0};
    encode(t, (tn_str){text, length}, false, &ids);
    size_t count = merge_by_definition(t, (tn_str){text, length}, want);
    if (ids.count != count || memcmp(ids.items, want, count * sizeof *want) != 0)
      fail_msg("seed %u, trial %llu: %.*s", SEED, (unsigned long long)trial, (int)length, text);
    tn_ids_clear(&ids);
  }
  tn_tokenizer_free(t);
}

static void any_bytes_round_trip(void **state) {
  tn_tokenizer *t = train_rhyme();
  check_round_trip(t, TN_STR(""));
  check_round_trip(t, TN_STR("\x80"));
  check_round_trip(t, TN_STR("sea \xFF\xFE shells \xE2\x82"));
  check_round_trip(t, (tn_str){"a\0b\0\0", 5});
  check_round_trip(t, TN_STR("F\xC3\xBChrer \xF0\x9F\x98\x80\xE1\xA0\x8E \xF0\xB1\x8D\x90!"));
  for (uint64_t trial = 0; trial < 300; trial++) {
    char text[256];
    size_t length = tn_random_below(SEED, trial, 1000, sizeof text);
    uint64_t kinds = trial % 3 == 0 ? 256 : trial % 3 == 1 ? 128 : 8;
    for (size_t i = 0; i < length; i++)
      text[i] = (char)(tn_random_below(SEED, trial, i, kinds) + (kinds == 8 ? 0xC0 : 0));
    check_round_trip(t, (tn_str){text, length});
  }
  tn_tokenizer_free(t);
}

static void a_megabyte_without_a_space(void **state) {
  size_t length = 1 << 20;
  char *text = tn_alloc(length, 1);
  assert_non_null(text);
  memset(text, 's', length);
  tn_tokenizer *t = train_rhyme();
  check_round_trip(t, (tn_str){text, length});
  memset(text, ' ', length);
  check_round_trip(t, (tn_str){text, length});
  tn_free(text);
  tn_tokenizer_free(t);
}

static void encode_appends(void **state) {
  tn_tokenizer *t = train_rhyme();
  tn_ids ids = {0}, both = {0};
  encode(t, TN_STR("sea"), false, &ids);
  size_t first = ids.count;
  encode(t, TN_STR(" shells"), false, &ids);
  encode(t, TN_STR("sea shells"), false, &both);
  assert_true(first > 0 && ids.count == both.count);
  assert_memory_equal(ids.items, both.items, ids.count * sizeof *ids.items);
  tn_ids_clear(&ids);
  tn_ids_clear(&both);
  tn_tokenizer_free(t);
}

static void decode_checks_ids_and_hides_specials(void **state) {
  tn_tokenizer *t = train_rhyme();
  tn_error err = {0};
  tn_strbuf out = {0};
  int32_t sea = (int32_t)tn_tokenizer_id(t, TN_STR("s"));
  const int32_t ids[] = {0, sea, 1};
  check_ok(tn_tokenizer_decode(t, ids, 3, false, &out, &err), &err);
  assert_string_equal(out.data, "s");
  tn_strbuf_reset(&out);
  check_ok(tn_tokenizer_decode(t, ids, 3, true, &out, &err), &err);
  assert_string_equal(out.data, "<|endoftext|>s<|user|>");
  const int32_t wrong[] = {-1, 300, INT32_MAX};
  for (int i = 0; i < 3; i++)
    assert_int_equal(tn_tokenizer_decode(t, wrong + i, 1, true, &out, &err), TN_ERR_ARGUMENT);
  tn_strbuf_clear(&out);
  tn_tokenizer_free(t);
}

static const tn_tokenizer *shared;
static _Atomic int mismatches;

static void encode_item(void *context, int64_t item, int32_t worker) {
  const tn_ids *want = context;
  tn_ids ids = {0};
  bool same = tn_tokenizer_encode(shared, TN_STR(rhyme), false, &ids, NULL) == TN_OK &&
              ids.count == want->count &&
              memcmp(ids.items, want->items, ids.count * sizeof *ids.items) == 0;
  if (!same) mismatches++;
  tn_ids_clear(&ids);
}

static void threads_share_a_tokenizer(void **state) {
  tn_tokenizer *t = train_rhyme();
  tn_ids want = {0};
  tn_pool *pool;
  tn_error err = {0};
  encode(t, TN_STR(rhyme), false, &want);
  check_ok(tn_pool_new(&pool, 4, &err), &err);
  shared = t;
  tn_pool_run(pool, 200, encode_item, &want);
  assert_int_equal(mismatches, 0);
  tn_pool_free(pool);
  tn_ids_clear(&want);
  tn_tokenizer_free(t);
}

/* ---- files ---- */
static void saved_is_opened_again(void **state) {
  char folder[] = "/tmp/tn-test-tokenizer-XXXXXX", path[96];
  tn_error err = {0};
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  tn_tokenizer *t = train_rhyme(), *back;
  check_ok(tn_tokenizer_save(t, path, &err), &err);
  check_ok(tn_tokenizer_open(&back, folder, &err), &err);
  assert_int_equal(tn_tokenizer_hash(t), tn_tokenizer_hash(back));
  tn_ids a = {0}, b = {0};
  encode(t, TN_STR(rhyme), false, &a);
  encode(back, TN_STR(rhyme), false, &b);
  assert_int_equal(a.count, b.count);
  assert_memory_equal(a.items, b.items, a.count * sizeof *a.items);
  tn_ids_clear(&a);
  tn_ids_clear(&b);
  assert_int_equal(tn_tokenizer_eos(back, folder), 0);
  snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
  check_ok(tn_tokenizer_save_config(back, path, TN_STR("<|user|>"), &err), &err);
  assert_int_equal(tn_tokenizer_eos(back, folder), 1);
  assert_int_equal(tn_tokenizer_save_config(back, path, TN_STR("<no>"), &err), TN_ERR_ARGUMENT);
  tn_tokenizer_free(back);
  assert_int_equal(tn_tokenizer_open(&back, "/nonexistent/tokenizer.json", &err), TN_ERR_NOT_FOUND);
  tn_tokenizer_free(t);
  check_ok(tn_dir_remove(folder, &err), &err);
}

/* A small file of the other shape: Split before ByteLevel, pairs as arrays, missing bytes. */
#define MODEL_HEAD "{\"added_tokens\": ["
#define MODEL_REST                                                                            \
  "], \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", " \
  "\"pattern\": {\"Regex\": \"\\\\p{N}{1,3}|\\\\s+|[^\\\\s\\\\p{N}]+\"}, \"behavior\": "      \
  "\"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, " \
  "\"use_regex\": false}]}, \"model\": {\"type\": \"BPE\", "

static tn_status parse(const char *json, tn_tokenizer **out, tn_error *err) {
  return tn_tokenizer_parse(out, "test.json", tn_str_of(json), err);
}

static void ids_above_the_model_are_named(void **state) {
  (void)state;
  tn_tokenizer *t = NULL;
  tn_error err;
  const int32_t ids[] = {0, 4, 1};
  check_ok(parse(MODEL_HEAD "{\"id\": 4, \"content\": \"<image>\"}" MODEL_REST
                            "\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}}",
                 &t, &err),
           &err);
  check_ok(tn_tokenizer_check_ids(t, ids, 3, 5, &err), &err);
  assert_int_equal(tn_tokenizer_check_ids(t, ids, 3, 4, &err), TN_ERR_ARGUMENT);
  assert_string_equal(err.text,
                      "token <image>, id 4 at place 2: the model's vocab_size is 4, so it has no "
                      "such token");
  check_ok(tn_tokenizer_check_ids(t, ids, 1, 4, &err), &err);
  assert_int_equal(tn_tokenizer_check_ids(NULL, ids, 3, 4, &err), TN_ERR_ARGUMENT);
  assert_string_equal(
      err.text, "token id 4 at place 2: the model's vocab_size is 4, so it has no such token");
  tn_tokenizer_free(t);
}

static void check_ids(const tn_tokenizer *t, const char *text, const char *want) {
  tn_ids ids = {0};
  char got[256] = "";
  size_t used = 0;
  encode(t, tn_str_of(text), true, &ids);
  for (size_t i = 0; i < ids.count; i++)
    used += (size_t)snprintf(got + used, sizeof got - used, "%s%d", i ? " " : "", ids.items[i]);
  tn_ids_clear(&ids);
  assert_string_equal(got, want);
}

static void missing_bytes_and_array_merges(void **state) {
  tn_error err = {0};
  tn_tokenizer *t;
  check_ok(parse(MODEL_HEAD MODEL_REST
                 "\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"1\": 3, \"11\": 4}, \"merges\": "
                 "[[\"a\", \"b\"], [\"1\", \"1\"]]}}",
                 &t, &err),
           &err);
  check_ids(t, "abxab", "2 2"); /* no unk: the byte goes, and its neighbours meet */
  check_ids(t, "axb", "2");
  check_ids(t, "1111", "4 3 3"); /* three digits, then one */
  tn_tokenizer_free(t);
  for (int fuse = 0; fuse < 2; fuse++) {
    char json[1024];
    snprintf(json, sizeof json,
             MODEL_HEAD MODEL_REST
             "\"unk_token\": \"?\", \"fuse_unk\": %s, \"vocab\": {\"?\": 0, \"a\": 1}, "
             "\"merges\": []}}",
             fuse ? "true" : "false");
    check_ok(parse(json, &t, &err), &err);
    check_ids(t, "axya", fuse ? "1 0 1" : "1 0 0 1");
    tn_tokenizer_free(t);
  }
}

static void ignore_merges_takes_whole_pieces(void **state) {
  tn_error err = {0};
  tn_tokenizer *t;
  check_ok(parse(MODEL_HEAD MODEL_REST
                 "\"ignore_merges\": true, \"vocab\": {\"a\": 0, \"b\": 1, \"c\": 2, \"abc\": 3, "
                 "\"ab\": 4}, \"merges\": [\"a b\"]}}",
                 &t, &err),
           &err);
  check_ids(t, "abc", "3");
  check_ids(t, "abcc", "4 2 2");
  tn_tokenizer_free(t);
}

static void added_tokens_leftmost_longest_and_strip(void **state) {
  tn_error err = {0};
  tn_tokenizer *t;
  check_ok(
      parse(MODEL_HEAD
            "{\"id\": 2, \"content\": \"<x>\", \"special\": true},"
            "{\"id\": 3, \"content\": \"<x><y>\", \"special\": true},"
            "{\"id\": 4, \"content\": \"[m]\", \"special\": true, \"lstrip\": true, "
            "\"rstrip\": true}, {\"id\": 5, \"content\": \"aa\", \"special\": false}" MODEL_REST
            "\"vocab\": {\"a\": 0, \"\xC4\xA0\": 1}, \"merges\": []}}",
            &t, &err),
      &err);
  check_ids(t, "a<x>a", "0 2 0");
  check_ids(t, "<x><y><x>", "3 2");
  check_ids(t, "a  [m] \xE3\x80\x80 a", "0 4 0");
  check_ids(t, "aaa", "5 0");
  assert_true(tn_tokenizer_is_special(t, 4));
  assert_false(tn_tokenizer_is_special(t, 5));
  assert_int_equal(tn_tokenizer_vocab_size(t), 6);
  tn_tokenizer_free(t);
}

/* ---- hostile files ---- */
#define GOOD_PRE   "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}"
#define GOOD_MODEL "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}"

static void hostile_files_are_refused(void **state) {
  static const struct {
    const char *json;
    tn_status want;
  } cases[] = {
      {"", TN_ERR_DATA},
      {"[]", TN_ERR_DATA},
      {"{}", TN_ERR_DATA},
      {"{" GOOD_MODEL, TN_ERR_DATA},
      {"{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", TN_ERR_DATA},
      {"{\"model\": {\"type\": \"Neural\", \"vocab\": []}}", TN_ERR_UNSUPPORTED},
      {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 1], [\"b\"]]}}", TN_ERR_DATA},
      {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 1]], \"unk_id\": 1}}", TN_ERR_DATA},
      {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": [\"a\"]}}", TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": [], \"merges\": []}, " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}, " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}, " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1e3}, \"merges\": []}, " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": \"0\"}, \"merges\": []}, " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 4000000000}, \"merges\": []}, " GOOD_PRE
       "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}, " GOOD_PRE
       "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"a\": 1}, \"merges\": []}, " GOOD_PRE
       "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a a\"]}, " GOOD_PRE
       "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [7]}, " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]}, " GOOD_PRE
       "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": {}}, " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{\"model\": {\"type\": \"BPE\", \"dropout\": 0.1, \"vocab\": {\"a\": 0}, "
       "\"merges\": []}, " GOOD_PRE "}",
       TN_ERR_UNSUPPORTED},
      {"{" GOOD_MODEL ", \"decoder\": {\"type\": \"Metaspace\"}, " GOOD_PRE "}", TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"pre_tokenizer\": {\"type\": \"Metaspace\"}}", TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}}", TN_ERR_UNSUPPORTED},
      {"{" GOOD_MODEL ", \"normalizer\": {\"type\": \"Rot13\"}}", TN_ERR_UNSUPPORTED},
      {"{" GOOD_MODEL ", \"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": "
       "\"////AAAA\"}}",
       TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"a\", 7], "
       "\"sep\": [\"b\", 1]}}",
       TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": 1}}",
       TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": 3}}",
       TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", "
       "\"pattern\": {\"Regex\": \"(\"}}}",
       TN_ERR_DATA},
      {"{" GOOD_MODEL
       ", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
       "\"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"(\"}}, {\"type\": "
       "\"ByteLevel\", \"add_prefix_space\": false}]}}",
       TN_ERR_DATA},
      {"{" GOOD_MODEL
       ", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
       "\"Split\", \"behavior\": \"Shredded\", \"pattern\": {\"Regex\": \"a\"}}]}}",
       TN_ERR_UNSUPPORTED},
      {"{" GOOD_MODEL ", \"added_tokens\": 5, " GOOD_PRE "}", TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"added_tokens\": [5], " GOOD_PRE "}", TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"added_tokens\": [{\"id\": 9}], " GOOD_PRE "}", TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"added_tokens\": [{\"id\": 1, \"content\": \"x\"}], " GOOD_PRE "}",
       TN_ERR_DATA},
      {"{" GOOD_MODEL ", \"added_tokens\": [{\"id\": 1, \"content\": \"a\"}], " GOOD_PRE "}",
       TN_ERR_DATA},
  };
  int64_t live = tn_alloc_live();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tn_error err = {0};
    tn_tokenizer *t;
    tn_status status = parse(cases[i].json, &t, &err);
    if (status != cases[i].want)
      fail_msg("case %zu: %s (%s), expected %s", i, tn_status_text(status), err.text,
               tn_status_text(cases[i].want));
    assert_non_null(strstr(err.text, "test.json"));
    assert_int_equal(tn_alloc_live(), live);
  }
}

/* Exponential backtracking ends with an answer, and soon. */
static void a_pattern_without_end_is_a_limit(void **state) {
  tn_error err = {0};
  tn_tokenizer *t;
  check_ok(parse("{" GOOD_MODEL ", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": "
                 "[{\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": "
                 "\"(a|a)*(a|a)*(a|a)*c\"}}, {\"type\": \"ByteLevel\", \"add_prefix_space\": "
                 "false, \"use_regex\": false}]}}",
                 &t, &err),
           &err);
  tn_ids ids = {0};
  assert_int_equal(tn_tokenizer_encode(t, TN_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabc"),
                                       false, &ids, &err),
                   TN_ERR_LIMIT);
  assert_int_equal(ids.count, 0);
  tn_ids_clear(&ids);
  tn_tokenizer_free(t);
}

/* ---- every allocation fails in turn ---- */
static void open_survives_failing_allocations(void **state) {
  tn_tokenizer *t = train_rhyme(), *copy;
  char path[] = "/tmp/tn-test-tokenizer-XXXXXX";
  tn_error err = {0};
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  check_ok(tn_tokenizer_save(t, path, &err), &err);
  int64_t live = tn_alloc_live(), n = 1;
  for (;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = tn_tokenizer_open(&copy, path, &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) {
      tn_tokenizer_free(copy);
      assert_int_equal(tn_alloc_live(), live);
      if (n > 20) break; /* PCRE2 shrugs at a failing JIT, so early successes happen */
      continue;
    }
    if (status != TN_ERR_MEMORY) fail_msg("allocation %lld: %s", (long long)n, err.text);
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_true(n > 20);
  unlink(path);
  tn_tokenizer_free(t);
}

static void encode_survives_failing_allocations(void **state) {
  int64_t failures = 0;
  for (int64_t n = 1;; n++) {
    tn_tokenizer *t = train_rhyme();
    int64_t live = tn_alloc_live();
    tn_error err = {0};
    tn_ids ids = {0};
    tn_alloc_fail_at(n);
    tn_status status = tn_tokenizer_encode(
        t, TN_STR("sea shells sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"),
        false, &ids, &err);
    tn_alloc_fail_at(0);
    if (status != TN_OK) {
      assert_int_equal(status, TN_ERR_MEMORY);
      assert_int_equal(ids.count, 0);
      failures++;
    }
    tn_ids_clear(&ids);
    assert_true(tn_alloc_live() >= live);
    tn_tokenizer_free(t);
    if (status == TN_OK) break;
  }
  assert_true(failures > 5);
  assert_int_equal(tn_alloc_live(), 0);
}

static void training_survives_failing_allocations(void **state) {
  int64_t failures = 0;
  for (int64_t n = 1;; n++) {
    tn_tokenizer_train_options options = {.vocab_size = 280};
    tn_tokenizer_trainer *trainer = NULL;
    tn_tokenizer *t = NULL;
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = tn_tokenizer_trainer_new(&trainer, &options, &err);
    if (status == TN_OK) status = tn_tokenizer_trainer_add(trainer, TN_STR(rhyme), &err);
    if (status == TN_OK) status = tn_tokenizer_trainer_finish(trainer, NULL, NULL, &t, &err);
    tn_alloc_fail_at(0);
    if (status != TN_OK) assert_int_equal(status, TN_ERR_MEMORY);
    failures += status != TN_OK;
    tn_tokenizer_free(t);
    if (trainer && (status == TN_OK || t == NULL)) tn_tokenizer_trainer_free(trainer);
    assert_int_equal(tn_alloc_live(), 0);
    if (status == TN_OK && failures > 20) break;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ids_above_the_model_are_named),
      cmocka_unit_test(alphabet_is_a_bijection),
      cmocka_unit_test(training_takes_the_most_frequent_pair),
      cmocka_unit_test(training_ends_when_nothing_repeats),
      cmocka_unit_test(training_counts_overlapping_runs),
      cmocka_unit_test(training_is_a_function_of_the_text),
      cmocka_unit_test(text_never_becomes_a_special_token),
      cmocka_unit_test(training_refuses_impossible_options),
      cmocka_unit_test(merging_follows_the_definition),
      cmocka_unit_test(any_bytes_round_trip),
      cmocka_unit_test(a_megabyte_without_a_space),
      cmocka_unit_test(encode_appends),
      cmocka_unit_test(decode_checks_ids_and_hides_specials),
      cmocka_unit_test(threads_share_a_tokenizer),
      cmocka_unit_test(saved_is_opened_again),
      cmocka_unit_test(missing_bytes_and_array_merges),
      cmocka_unit_test(ignore_merges_takes_whole_pieces),
      cmocka_unit_test(added_tokens_leftmost_longest_and_strip),
      cmocka_unit_test(hostile_files_are_refused),
      cmocka_unit_test(a_pattern_without_end_is_a_limit),
      cmocka_unit_test(open_survives_failing_allocations),
      cmocka_unit_test(encode_survives_failing_allocations),
      cmocka_unit_test(training_survives_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
