/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/json_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "serve/json_tokens.h"

static const char *const good[] = {
    "{}",
    " \n\t\r{ }",
    "{\"a\":1}",
    "{\"a\": -0.5e+10, \"b\": [0, -0, 12.25, 1E5, 0e-3]}",
    "{\"\":{\"\":{\"x\":[[],[{}],[true , false,null ]]}}}",
    "{\"k\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83e\\udd8a\": \"größe \\uFFFD {[\"}",
};

static const char *const bad[] = {
    "[",
    "1",
    "\"",
    "{,",
    "{1",
    "{\"a\",",
    "{\"a\":,",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"a\":[1,]",
    "{\"a\":[1}",
    "{\"a\":{\"b\":1]",
    "{\"a\":01",
    "{\"a\":+",
    "{\"a\":.",
    "{\"a\":1.e",
    "{\"a\":-}",
    "{\"a\":1e}",
    "{\"a\":tru}",
    "{\"a\":nul,",
    "{\"a\":T",
    "{\"a\\x",
    "{\"a\\u00g",
    "{\"a\n",
    "{\"\\udc00",
    "{\"\\ud800\"",
    "{\"\\ud800x",
    "{\"\\ud800\\n",
    "{\"\\ud800\\u0041",
    "{}}",
    "{} ",
};

static void every_beginning_can_go_on(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    size_t length = strlen(good[i]);
    tn_json_guard byte = {0}, whole = {0};
    for (size_t k = 0; k < length; k++) {
      assert_false(tn_json_guard_done(&byte));
      if (!tn_json_guard_feed(&byte, (tn_str){good[i] + k, 1}))
        fail_msg("%s: byte %zu is refused", good[i], k);
    }
    assert_true(tn_json_guard_done(&byte));
    assert_true(tn_json_guard_feed(&whole, tn_str_of(good[i])) && tn_json_guard_done(&whole));
    assert_false(tn_json_guard_feed(&whole, TN_STR(" ")));
  }
}

/* Each of the bad texts is one up to its last byte. */
static void what_cannot_follow_is_refused_at_once(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    tn_json_guard g = {0};
    tn_str text = tn_str_of(bad[i]), before = {text.data, text.length - 1};
    if (!tn_json_guard_feed(&g, before)) fail_msg("%s: refused too early", bad[i]);
    if (tn_json_guard_feed(&g, (tn_str){text.data + text.length - 1, 1}))
      fail_msg("%s: not refused", bad[i]);
  }
}

static void limits(void **state) {
  (void)state;
  tn_json_guard g = {0};
  for (int i = 0; i < TN_JSON_GUARD_DEPTH_MAX; i++)
    assert_true(tn_json_guard_feed(&g, tn_str_of(i % 2 ? "[" : "{\"a\":")));
  tn_json_guard deeper = g;
  assert_false(tn_json_guard_feed(&deeper, TN_STR("[")));
  assert_true(tn_json_guard_feed(&g, TN_STR("1")));
  for (int i = TN_JSON_GUARD_DEPTH_MAX; i-- > 0;) {
    assert_false(tn_json_guard_done(&g));
    assert_true(tn_json_guard_feed(&g, tn_str_of(i % 2 ? "]" : "}")));
  }
  assert_true(tn_json_guard_done(&g));
  g = (tn_json_guard){0};
  for (int i = 0; i < TN_JSON_GUARD_SPACES_MAX; i++)
    assert_true(tn_json_guard_feed(&g, TN_STR(" ")));
  assert_false(tn_json_guard_feed(&g, TN_STR("\n")));
}

/* Mutated texts: whole to the guard and to the parser, or to neither. */
static void agrees_with_the_parser(void **state) {
  (void)state;
  int whole = 0;
  for (uint64_t seed = 1; seed <= 60000; seed++) {
    char text[128];
    const char *from = good[seed % (sizeof good / sizeof good[0])];
    size_t length = strlen(from);
    memcpy(text, from, length);
    for (uint64_t k = 0; k <= tn_random_below(seed, 0, 0, 2); k++) {
      size_t at = (size_t)tn_random_below(seed, 1, k, length);
      if ((uint8_t)text[at] >= 0x80) continue; /* whether it is UTF-8 is not the guard's business */
      text[at] = tn_random_below(seed, 2, k, 2) ? text[tn_random_below(seed, 3, k, length)]
                                                : (char)tn_random_below(seed, 4, k, 128);
      if ((uint8_t)text[at] >= 0x80) text[at] = '0';
    }
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) && text[length - 1]) length--;
    tn_json_guard g = {0};
    bool ours = tn_json_guard_feed(&g, (tn_str){text, length}) && tn_json_guard_done(&g);
    tn_arena arena = {0};
    tn_json *root;
    bool theirs = tn_json_parse(&root, &arena, (tn_str){text, length}, NULL, NULL) == TN_OK &&
                  root->kind == TN_JSON_OBJECT;
    tn_arena_clear(&arena);
    if (ours != theirs)
      fail_msg("seed %llu: %.*s: %d and %d", (unsigned long long)seed, (int)length, text, ours,
               theirs);
    whole += ours;
  }
  assert_in_range(whole, 3000, 57000);
}

/* A vocabulary of all bytes and a few longer tokens: what is allowed is what the guard takes. */
static tn_tokenizer *tokenizer_of(void) {
  static const char *const longer[] = {"ab",    "\\\"",  "\\\":",   "}}",    "]}", "12", "-1.5e",
                                       "tru",   "e,\\n", "\\\\u00", "\\\\n", "{}", "  ", "a\\\"b",
                                       "<end>", " a",    " {",      " }",    " 1", " ,"};
  tn_strbuf json = {0};
  tn_strbuf_add(&json,
                "{\"added_tokens\":[{\"id\":300,\"content\":\"<s>\",\"special\":true}],\"model\":{"
                "\"type\":\"BPE\",\"vocab\":{\"<0x00>\":0");
  for (int i = 1; i < 256; i++) tn_strbuf_addf(&json, ",\"<0x%02X>\":%d", i, i);
  for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++)
    tn_strbuf_addf(&json, ",\"%s\":%d", longer[i], 256 + (int)i);
  tn_strbuf_add(&json,
                "},\"merges\":[],\"byte_fallback\":true},\"decoder\":{\"type\":\"ByteFallback\"}}");
  tn_tokenizer *t = NULL;
  tn_error err;
  if (tn_tokenizer_parse(&t, "made", tn_strbuf_view(&json), &err) != TN_OK)
    fail_msg("%s", err.text);
  tn_strbuf_clear(&json);
  return t;
}

static void tokens_that_can_follow(void **state) {
  (void)state;
  enum { VOCAB = 310, END = 270 };
  static const char *const after[] = {
      "",          "{",           "{\"a",      "{\"a\"",           "{\"a\":",
      "{\"a\": [", "{\"a\": [1",  "{\"\\",     "{\"a\\u00",        "{\"a\":tru",
      "{\"a\":-",  "{\"a\":[[1]", "{\"a\":{}", "{\"a\":\"\\ud800", "{}"};
  uint8_t allowed[VOCAB];
  int64_t live = tn_alloc_live();
  tn_tokenizer *t = tokenizer_of();
  tn_json_tokens *tokens = NULL;
  const int32_t eos[2] = {END, -1};
  assert_int_equal(tn_json_tokens_new(&tokens, t, VOCAB, eos, 2, NULL), TN_OK);
  assert_true(tn_tokenizer_is_special(t, 300) && tn_tokenizer_bytes(t, 300).length > 0);
  int some = 0;
  for (size_t i = 0; i < sizeof after / sizeof after[0]; i++) {
    tn_json_guard g = {0};
    assert_true(tn_json_guard_feed(&g, tn_str_of(after[i])));
    tn_json_tokens_allow(tokens, &g, allowed);
    for (int32_t id = 0; id < VOCAB; id++) {
      tn_json_guard tried = g;
      tn_str bytes = tn_tokenizer_bytes(t, id);
      bool can = bytes.length > 0 && id != END && id != 300 && tn_json_guard_feed(&tried, bytes);
      if (allowed[id] != can)
        fail_msg("after %s: token %d '%.*s'", after[i], id, TN_STR_ARG(bytes));
      some += can && id > 255;
    }
  }
  assert_true(some > 20);
  tn_json_tokens_free(tokens);
  int64_t n = 1;
  for (; n < 10; n++) {
    tn_alloc_fail_at(n);
    tn_status status = tn_json_tokens_new(&tokens, t, VOCAB, eos, 2, NULL);
    tn_alloc_fail_at(0);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
  }
  assert_int_equal(n, 5);
  tn_json_tokens_free(tokens);
  tn_tokenizer_free(t);
  assert_int_equal(tn_alloc_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_beginning_can_go_on),
      cmocka_unit_test(what_cannot_follow_is_refused_at_once),
      cmocka_unit_test(limits),
      cmocka_unit_test(agrees_with_the_parser),
      cmocka_unit_test(tokens_that_can_follow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
