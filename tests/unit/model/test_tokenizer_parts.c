/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/tokenizer.h"
#include "model/tokenizer_foreign.h"
#include "model/tokenizer_trie.h"
#include "model/tokenizer_unicode.h"

static void check_ok(tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("%s: %s", tn_status_text(status), err->text);
}

static tn_tokenizer *open_text(const char *json) {
  tn_tokenizer *t;
  tn_error err = {0};
  check_ok(tn_tokenizer_parse(&t, "test.json", tn_str_of(json), &err), &err);
  return t;
}

static void check_ids(const tn_ids *ids, const char *want) {
  char got[256] = "";
  size_t used = 0;
  for (size_t i = 0; i < ids->count && used < sizeof got; i++)
    used += (size_t)snprintf(got + used, sizeof got - used, "%s%d", i ? " " : "", ids->items[i]);
  assert_string_equal(got, want);
}

static void check_encoded(const tn_tokenizer *t, const char *text, const char *want) {
  tn_ids ids = {0};
  tn_error err = {0};
  check_ok(tn_tokenizer_encode(t, tn_str_of(text), true, &ids, &err), &err);
  check_ids(&ids, want);
  tn_ids_clear(&ids);
}

static void check_decoded(const tn_tokenizer *t, const int32_t *ids, size_t count,
                          const char *want) {
  tn_strbuf text = {0};
  tn_error err = {0};
  check_ok(tn_tokenizer_decode(t, ids, count, true, &text, &err), &err);
  assert_string_equal(text.data ? text.data : "", want);
  tn_strbuf_clear(&text);
}

/* ---- characters ---- */
static void check_form(const char *text, tn_unicode_form form, const char *want) {
  tn_strbuf out = {0};
  tn_error err = {0};
  check_ok(tn_unicode_normalize(tn_str_of(text), form, &out, &err), &err);
  assert_string_equal(out.data ? out.data : "", want);
  tn_strbuf_clear(&out);
}

static void normal_forms(void **state) {
  check_form("", TN_UNICODE_NFC, "");
  check_form("plain", TN_UNICODE_NFKD, "plain");
  check_form("cafe\xCC\x81!", TN_UNICODE_NFC, "caf\xC3\xA9!");
  check_form("caf\xC3\xA9!", TN_UNICODE_NFD, "cafe\xCC\x81!");
  check_form("\xEF\xAC\x81ne", TN_UNICODE_NFKC, "fine");
  /* a mark of Unicode 14, unknown to the forms, parts what would be reordered */
  check_form("a\xCC\x95\xE0\xA2\x98\xCC\xA3", TN_UNICODE_NFD, "a\xCC\x95\xE0\xA2\x98\xCC\xA3");
}

static void lower_case_is_rust_s(void **state) {
  uint32_t out[2];
  assert_int_equal(tn_unicode_lower(0x130, out), 2);
  assert_true(out[0] == 'i' && out[1] == 0x307);
  assert_int_equal(tn_unicode_lower(0x10D50, out), 1);
  assert_int_equal(out[0], 0x10D70);
  tn_unicode_lower(0x3A3, out); /* no final sigma */
  assert_int_equal(out[0], 0x3C3);
}

/* ---- trie ---- */
static void trie_finds_the_longest(void **state) {
  tn_trie trie = {0};
  tn_error err = {0};
  tn_trie_key keys[] = {{TN_STR("ab"), 1}, {TN_STR("abcd"), 2}, {TN_STR("b"), 3}, {TN_STR("b"), 4}};
  size_t length = 0;
  check_ok(tn_trie_build(&trie, keys, 4, &err), &err);
  assert_int_equal(tn_trie_longest(&trie, TN_STR("abcx"), &length), 1);
  assert_int_equal(length, 2);
  assert_int_equal(tn_trie_get(&trie, TN_STR("abcd")), 2);
  assert_int_equal(tn_trie_get(&trie, TN_STR("abc")), -1);
  assert_int_equal(tn_trie_get(&trie, TN_STR("b")), 4); /* the last of equals */
  assert_int_equal(tn_trie_get(&trie, TN_STR("c")), -1);
  tn_trie_clear(&trie);
}

/* ---- models ---- */
#define WORDPIECE                                                                                  \
  "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": "                \
  "\"BertPreTokenizer\"}, \"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\"}, "            \
  "\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"[CLS]\", 1], \"sep\": "          \
  "[\"[SEP]\", 2]}, \"truncation\": {\"max_length\": 6, \"strategy\": \"LongestFirst\", "          \
  "\"stride\": 0}, \"padding\": {\"strategy\": \"BatchLongest\", \"direction\": \"Left\", "        \
  "\"pad_to_multiple_of\": 4, \"pad_id\": 7, \"pad_type_id\": 0}, \"added_tokens\": [{\"id\": 1, " \
  "\"content\": \"[CLS]\", \"special\": true}], \"model\": {\"type\": \"WordPiece\", \"vocab\": "  \
  "{\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, \"cafe\": 3, \"##s\": 4, \"!\": 5, \"\xE4\xBD\xA0\"" \
  ": 6, \"[PAD]\": 7}}}"

static void wordpiece_with_bert_s_parts(void **state) {
  tn_tokenizer *t = open_text(WORDPIECE);
  check_encoded(t, "Caf\xC3\xA9s! x \xE4\xBD\xA0\xE4\xBD\xA0", "3 4 5 0 6 6");
  check_encoded(t, "[CLS]cafe\x01s", "1 3 4");
  const int32_t ids[] = {3, 4, 5, 6};
  check_decoded(t, ids, 4, "cafes! \xE4\xBD\xA0");
  tn_tokenizer_free(t);
}

static void truncation_pairs_and_padding(void **state) {
  tn_tokenizer *t = open_text(WORDPIECE);
  tn_error err = {0};
  tn_encoding batch[2] = {{{0}}};
  const tn_encode_options options = {.add_special = true, .truncate = true};
  tn_str pair = TN_STR("cafe cafe cafe");
  check_ok(tn_tokenizer_encode_input(t, TN_STR("! ! !"), &pair, &options, &batch[0], &err), &err);
  check_ids(&batch[0].ids, "1 5 2 3 3 2"); /* three of six are the processor's: 1 and 2 are left */
  check_ids(&batch[0].type_ids, "0 0 0 1 1 1");
  check_ok(tn_tokenizer_encode_input(t, TN_STR("!"), NULL, &options, &batch[1], &err), &err);
  check_ok(tn_tokenizer_pad(t, batch, 2, &err), &err);
  check_ids(&batch[0].ids, "7 7 1 5 2 3 3 2"); /* six, up to a multiple of four */
  check_ids(&batch[1].ids, "7 7 7 7 7 1 5 2");
  check_ids(&batch[1].mask, "0 0 0 0 0 1 1 1");
  for (int i = 0; i < 2; i++) tn_encoding_clear(&batch[i]);
  tn_tokenizer_free(t);
}

#define UNIGRAM                                                                                   \
  "{\"normalizer\": {\"type\": \"NFKC\"}, \"pre_tokenizer\": {\"type\": \"Metaspace\", "          \
  "\"replacement\": \"\xE2\x96\x81\", \"prepend_scheme\": \"first\"}, \"decoder\": {\"type\": "   \
  "\"Metaspace\", \"replacement\": \"\xE2\x96\x81\"}, \"added_tokens\": [{\"id\": 5, "            \
  "\"content\": \"<m>\", \"special\": true, \"rstrip\": true}], \"model\": {\"type\": "           \
  "\"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"\xE2\x96\x81\", -2], [\"a\", -3], " \
  "[\"\xE2\x96\x81"                                                                               \
  "a\", -3.5], [\"aa\", -4.5], [\"<m>\", 0]]}}"

static void unigram_takes_the_best_path(void **state) {
  tn_tokenizer *t = open_text(UNIGRAM);
  check_encoded(t, "aaa", "3 4");         /* _a + aa = -8, before _ + aa + a = -9.5 */
  check_encoded(t, "a xyz a", "3 1 0 3"); /* unknown ones in a row are one */
  check_encoded(t, "a<m>  a", "3 5 2");   /* no space is put before what does not begin the text */
  const int32_t ids[] = {3, 3};
  check_decoded(t, ids, 2, "a a");
  assert_true(tn_str_is(tn_tokenizer_bytes(t, 3), " a"));
  tn_tokenizer_free(t);
}

#define SPM                                                                                        \
  "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", "           \
  "\"prepend\": \"\xE2\x96\x81\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, "     \
  "\"content\": \"\xE2\x96\x81\"}]}, \"decoder\": {\"type\": \"Sequence\", \"decoders\": "         \
  "[{\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, \"content\": \" \"}, "    \
  "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \" \", " \
  "\"start\": 1, \"stop\": 0}]}, \"post_processor\": {\"type\": \"TemplateProcessing\", "          \
  "\"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": "   \
  "\"A\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "         \
  "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], \"special_tokens\": {\"<s>\": {\"id\": "      \
  "\"<s>\", \"ids\": [1], \"tokens\": [\"<s>\"]}}}, \"model\": {\"type\": \"BPE\", "               \
  "\"unk_token\": "                                                                                \
  "\"<unk>\", \"fuse_unk\": true, \"byte_fallback\": true, \"vocab\": {\"<unk>\": 0, \"<s>\": 1, " \
  "\"\xE2\x96\x81\": 2, \"a\": 3, \"\xE2\x96\x81"                                                  \
  "a\": 4, \"<0xC3>\": 5, \"<0xA9>\": 6}, "                                                        \
  "\"merges\": [[\"\xE2\x96\x81\", \"a\"]]}}"

static void sentencepiece_bpe_and_bytes(void **state) {
  tn_tokenizer *t = open_text(SPM);
  tn_ids ids = {0};
  tn_error err = {0};
  check_encoded(t, "a a  aa", "4 4 2 4 3");
  check_encoded(t, "\xC3\xA9zz", "2 5 6 0");
  check_ok(tn_tokenizer_encode_prompt(t, TN_STR("a"), true, true, &ids, &err), &err);
  check_ids(&ids, "1 4");
  tn_ids_clear(&ids);
  const int32_t good[] = {4, 5, 6, 4}, bad[] = {4, 5, 4};
  check_decoded(t, good, 4, "a\xC3\xA9 a");
  check_decoded(t, bad, 3, "a\xEF\xBF\xBD a");
  assert_true(tn_str_is(tn_tokenizer_bytes(t, 5), "\xC3")); /* a stream may go on to a character */
  tn_tokenizer_free(t);
}

/* ---- SentencePiece files ---- */
static const char piece_model[] =
    "\x0A\x0E\x0A\x05<unk>"
    "\x15\x00\x00\x00\x00\x18\x02\x0A\x0A\x0A\x03\xE2\x96\x81\x15\x00\x00\x80\xBF"
    "\x0A\x08\x0A\x01"
    "a\x15\x00\x00\x00\xC0\x12\x05\x18\x01\xC0\x02\x00";

static void sentencepiece_files(void **state) {
  tn_str bytes = {piece_model, sizeof piece_model - 1};
  tn_strbuf json = {0};
  tn_error err = {0};
  check_ok(tn_sentencepiece_vocab(bytes, &json, &err), &err);
  tn_tokenizer *t = open_text(json.data);
  check_encoded(t, "a  a", "1 2 1 2");
  tn_tokenizer_free(t);
  for (size_t cut = 1; cut < bytes.length; cut++) { /* cut anywhere: an error, or fewer pieces */
    tn_strbuf_reset(&json);
    tn_status status = tn_sentencepiece_vocab((tn_str){bytes.data, cut}, &json, &err);
    assert_true(status == TN_OK || status == TN_ERR_DATA);
  }
  tn_strbuf_clear(&json);
}

/* ---- every allocation fails in turn ---- */
static const char *const files[] = {WORDPIECE, UNIGRAM, SPM};

static void loading_survives_failing_allocations(void **state) {
  for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
    int64_t live = tn_alloc_live(), n = 1;
    for (;; n++) {
      tn_tokenizer *t;
      tn_error err = {0};
      tn_alloc_fail_at(n);
      tn_status status = tn_tokenizer_parse(&t, "test.json", tn_str_of(files[f]), &err);
      tn_alloc_fail_at(0);
      if (status == TN_OK) tn_tokenizer_free(t);
      assert_int_equal(tn_alloc_live(), live);
      if (status == TN_OK) break;
      if (status != TN_ERR_MEMORY)
        fail_msg("file %zu, allocation %lld: %s", f, (long long)n, err.text);
    }
    assert_true(n > 20);
  }
}

static void use_survives_failing_allocations(void **state) {
  for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
    for (int64_t n = 1;; n++) {
      tn_tokenizer *t = open_text(files[f]);
      tn_encoding e = {{0}};
      tn_strbuf text = {0};
      tn_error err = {0};
      const tn_encode_options options = {.add_special = true, .parse_special = true};
      tn_alloc_fail_at(n);
      tn_status status =
          tn_tokenizer_encode_input(t, TN_STR("Caf\xC3\xA9s \xFF aaaa"), NULL, &options, &e, &err);
      if (status == TN_OK) status = tn_tokenizer_pad(t, &e, 1, &err);
      if (status == TN_OK)
        status = tn_tokenizer_decode(t, e.ids.items, e.ids.count, true, &text, &err);
      tn_alloc_fail_at(0);
      if (status != TN_OK && status != TN_ERR_MEMORY) fail_msg("file %zu: %s", f, err.text);
      tn_strbuf_clear(&text);
      tn_encoding_clear(&e);
      tn_tokenizer_free(t);
      assert_int_equal(tn_alloc_live(), 0);
      if (status == TN_OK) break;
    }
  }
}

static const char *const bert_specials[] = {"[UNK]", "[CLS]", "[SEP]"}, *const unk[] = {"<unk>"};

static tn_status train(tn_train_model model, tn_tokenizer **t, tn_error *err) {
  bool bert = model == TN_TRAIN_WORDPIECE;
  tn_tokenizer_train_options options = {.model = model,
                                        .vocab_size = 30,
                                        .specials = bert ? bert_specials : unk,
                                        .special_count = bert ? 3 : 1};
  tn_tokenizer_trainer *trainer;
  TN_TRY(tn_tokenizer_trainer_new(&trainer, &options, err));
  const tn_str texts[] = {TN_STR("she sells sea shells"), TN_STR("by the sea shore she sells")};
  tn_status status = tn_tokenizer_trainer_add_many(trainer, texts, 2, NULL, err);
  if (status == TN_OK) status = tn_tokenizer_trainer_finish(trainer, NULL, NULL, t, err);
  tn_tokenizer_trainer_free(trainer);
  return status;
}

static void training_of_each_kind(void **state) {
  for (int model = TN_TRAIN_WORDPIECE; model <= TN_TRAIN_UNIGRAM; model++) {
    tn_tokenizer *t;
    tn_error err = {0};
    check_ok(train((tn_train_model)model, &t, &err), &err);
    tn_ids ids = {0};
    check_ok(tn_tokenizer_encode(t, TN_STR("she sells"), true, &ids, &err), &err);
    assert_true(ids.count >= 2 && ids.count <= 5);
    for (size_t i = 0; i < ids.count; i++) assert_false(tn_tokenizer_is_special(t, ids.items[i]));
    tn_ids_clear(&ids);
    tn_tokenizer_free(t);
    for (int64_t n = 1;; n++) {
      tn_alloc_fail_at(n);
      tn_status status = train((tn_train_model)model, &t, &err);
      tn_alloc_fail_at(0);
      if (status == TN_OK) tn_tokenizer_free(t);
      assert_int_equal(tn_alloc_live(), 0);
      if (status == TN_OK) break;
      if (status != TN_ERR_MEMORY) fail_msg("allocation %lld: %s", (long long)n, err.text);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(normal_forms),
      cmocka_unit_test(lower_case_is_rust_s),
      cmocka_unit_test(trie_finds_the_longest),
      cmocka_unit_test(wordpiece_with_bert_s_parts),
      cmocka_unit_test(truncation_pairs_and_padding),
      cmocka_unit_test(unigram_takes_the_best_path),
      cmocka_unit_test(sentencepiece_bpe_and_bytes),
      cmocka_unit_test(sentencepiece_files),
      cmocka_unit_test(loading_survives_failing_allocations),
      cmocka_unit_test(use_survives_failing_allocations),
      cmocka_unit_test(training_of_each_kind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
