/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/text_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"

typedef struct example {
  tn_str bytes;
  const char *stops[3];
  const char *text;
  bool stopped;
} example;

#define FFFD "\xef\xbf\xbd"

static const example examples[] = {
    {{"plain", sizeof("plain") - 1}, {0}, "plain", false},
    {{"said Emma.\nUser: no", sizeof("said Emma.\nUser: no") - 1}, {"\nUser:"}, "said Emma.", true},
    {{"a\nUse", sizeof("a\nUse") - 1}, {"\nUser:"}, "a\nUse", false},
    {{"aaab", sizeof("aaab") - 1}, {"aab"}, "a", true},
    {{"abcabd", sizeof("abcabd") - 1}, {"abd", "cab"}, "ab", true},
    {{"xENDy", sizeof("xENDy") - 1}, {"y", "END"}, "x", true},
    {{"ENDx", sizeof("ENDx") - 1}, {"END"}, "", true},
    {{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80!",
      sizeof("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80!") - 1},
     {0},
     "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80!",
     false},
    {{"\xe2\x82\xac\xe2\x82\xac", sizeof("\xe2\x82\xac\xe2\x82\xac") - 1},
     {"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"},
     "\xe2\x82\xac\xe2\x82\xac",
     false},
    {{"x\xe2\x82\xacy", sizeof("x\xe2\x82\xacy") - 1}, {"\xe2\x82\xac"}, "x", true},
    {{"cut \xe2\x82", sizeof("cut \xe2\x82") - 1}, {0}, "cut " FFFD, false},
    {{"bad \xff\xe2\x28\x80 \xf0\x9f\x41", sizeof("bad \xff\xe2\x28\x80 \xf0\x9f\x41") - 1},
     {0},
     "bad " FFFD FFFD "(" FFFD " " FFFD "A",
     false},
    {{"\xed\xa0\x80", sizeof("\xed\xa0\x80") - 1}, {0}, FFFD FFFD FFFD, false},
    {{"\xe2\x82\nUser:", sizeof("\xe2\x82\nUser:") - 1}, {"\nUser:"}, FFFD, true},
};

static void run(const example *e, const size_t *cuts, int cut_count) {
  tn_text_stream s = {0};
  tn_strbuf out = {0};
  for (; s.stop_count < 3 && e->stops[s.stop_count]; s.stop_count++) {
    s.stops[s.stop_count] = tn_str_of(e->stops[s.stop_count]);
  }
  size_t from = 0;
  for (int i = 0; i <= cut_count; i++) {
    size_t to = i < cut_count ? cuts[i] : e->bytes.length;
    tn_str part = {e->bytes.data + from, to - from};
    assert_int_equal(tn_text_stream_feed(&s, part, &out, NULL), TN_OK);
    if (out.length) assert_true(tn_utf8_valid(tn_strbuf_view(&out)));
    /* What has come out is final: a prefix of the whole. */
    assert_true(out.length <= strlen(e->text));
    assert_memory_equal(out.length ? out.data : "", e->text, out.length);
    from = to;
  }
  assert_int_equal(s.stopped, e->stopped);
  assert_int_equal(tn_text_stream_finish(&s, &out, NULL), TN_OK);
  assert_string_equal(out.data ? out.data : "", e->text);
  tn_text_stream_clear(&s);
  tn_strbuf_clear(&out);
}

static void every_pair_of_cuts_gives_the_same_text(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
    size_t n = examples[i].bytes.length;
    for (size_t a = 0; a <= n; a++) {
      for (size_t b = a; b <= n; b++) run(&examples[i], (size_t[]){a, b}, 2);
    }
    size_t singles[64];
    for (size_t c = 0; c < n; c++) singles[c] = c;
    run(&examples[i], singles, (int)n); /* byte by byte */
  }
}

static void nothing_is_held_without_need(void **state) {
  (void)state;
  tn_text_stream s = {.stops = {TN_STR("\nUser:")}, .stop_count = 1};
  tn_strbuf out = {0};
  assert_int_equal(tn_text_stream_feed(&s, TN_STR("one two"), &out, NULL), TN_OK);
  assert_string_equal(out.data, "one two");
  assert_int_equal(tn_text_stream_feed(&s, TN_STR("\nUs"), &out, NULL), TN_OK);
  assert_string_equal(out.data, "one two");
  assert_int_equal(tn_text_stream_feed(&s, TN_STR("ual"), &out, NULL), TN_OK);
  assert_string_equal(out.data, "one two\nUsual");
  tn_text_stream_clear(&s);
  tn_strbuf_clear(&out);
}

/* Random bytes, cut at random: always valid, and the same as uncut. */
static void random_bytes_come_out_valid(void **state) {
  (void)state;
  static const char alphabet[] = {'a',    'b',    '\xc3', '\xa9', '\xe2', '\x82',
                                  '\xac', '\xf0', '\x9f', '\x98', '\xed', '\xa0'};
  for (uint64_t seed = 1; seed <= 2000; seed++) {
    char bytes[40];
    tn_strbuf whole = {0}, cut = {0};
    tn_text_stream a = {.stops = {TN_STR("ab")}, .stop_count = 1}, b = a;
    size_t n = 1 + (size_t)tn_random_below(seed, 0, 0, sizeof bytes);
    for (size_t i = 0; i < n; i++)
      bytes[i] = alphabet[tn_random_below(seed, 1, i, sizeof alphabet)];
    assert_int_equal(tn_text_stream_feed(&a, (tn_str){bytes, n}, &whole, NULL), TN_OK);
    assert_int_equal(tn_text_stream_finish(&a, &whole, NULL), TN_OK);
    for (size_t at = 0, k = 0; at < n; k++) {
      size_t step = 1 + (size_t)tn_random_below(seed, 2, k, 4);
      if (step > n - at) step = n - at;
      assert_int_equal(tn_text_stream_feed(&b, (tn_str){bytes + at, step}, &cut, NULL), TN_OK);
      assert_true(tn_utf8_valid(tn_strbuf_view(&cut)));
      at += step;
    }
    assert_int_equal(tn_text_stream_finish(&b, &cut, NULL), TN_OK);
    assert_int_equal(a.stopped, b.stopped);
    if (!tn_str_equal(tn_strbuf_view(&whole), tn_strbuf_view(&cut))) fail_msg("seed %d", (int)seed);
    tn_text_stream_clear(&a);
    tn_text_stream_clear(&b);
    tn_strbuf_clear(&whole);
    tn_strbuf_clear(&cut);
  }
}

static void failed_allocations(void **state) {
  (void)state;
  int64_t live = tn_alloc_live();
  for (int64_t n = 1; n <= 2; n++) {
    tn_text_stream s = {0};
    tn_strbuf out = {0};
    tn_alloc_fail_at(n);
    assert_int_equal(tn_text_stream_feed(&s, TN_STR("text"), &out, NULL), TN_ERR_MEMORY);
    tn_alloc_fail_at(0);
    tn_text_stream_clear(&s);
    tn_strbuf_clear(&out);
    assert_int_equal(tn_alloc_live(), live);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_pair_of_cuts_gives_the_same_text),
      cmocka_unit_test(nothing_is_held_without_need),
      cmocka_unit_test(random_bytes_come_out_valid),
      cmocka_unit_test(failed_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
