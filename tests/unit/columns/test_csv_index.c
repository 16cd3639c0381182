/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <time.h>

#include "base/random.h"
#include "columns/csv_index.h"

enum { ROOM = 2000 };

static void both_agree(const tn_csv_marks *marks, const uint8_t *text, uint32_t from, uint32_t to) {
  static uint32_t plain[ROOM + TN_CSV_INDEX_SLACK], fast[ROOM + TN_CSV_INDEX_SLACK];
  tn_csv_index_result a, b;
  tn_csv_index_plain(marks, text, from, to, plain, &a);
  tn_csv_index_avx2(marks, text, from, to, fast, &b);
  assert_int_equal(a.count, b.count);
  assert_int_equal(a.line_ends, b.line_ends);
  assert_int_equal(a.stopped, b.stopped);
  assert_int_equal(a.in_quotes, b.in_quotes);
  assert_int_equal(a.ascii, b.ascii);
  assert_memory_equal(plain, fast, a.count * sizeof *plain);
}

/* Random bytes out of a small alphabet, so that quotes of all kinds occur, from and to anywhere. */
static void avx2_agrees_with_plain(void **state) {
  if (!tn_csv_index_has_avx2()) skip();
  static uint8_t text[ROOM + 128];
  static const char *const alphabets[] = {",\"\na\r", "abcdefgh,\n", "abcdefghijkl\"\",\n\xc3",
                                          ",\n",      "\"",          "a\r\n,\""};
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  for (uint64_t round = 0; round < 6000; round++) {
    const char *alphabet = alphabets[round % 6];
    uint64_t letters = strlen(alphabet), key = seed + round;
    uint32_t length = (uint32_t)tn_random_below(key, 1, 0, round % 10 ? 300 : ROOM);
    for (uint32_t i = 0; i < length + 64; i++)
      text[i] = (uint8_t)alphabet[tn_random_below(key, 2, i, letters)];
    tn_csv_marks marks = {',', '"', round % 7 == 0 ? '\r' : '\n', round % 5 != 0};
    uint32_t from = length ? (uint32_t)tn_random_below(key, 3, 0, length) : 0;
    both_agree(&marks, text, 0, length);
    both_agree(&marks, text, from, length);
  }
}

/* Every border between blocks falls once on every byte of records with all that is allowed. */
static void every_alignment_of_allowed_quotes(void **state) {
  static const char record[] = "12,\"a,\"\"b\"\"\nc\",,\"\"\r\nx,\"q\"\r\n\"\"\"\",y\n";
  static uint8_t text[ROOM];
  static uint32_t ends[ROOM + TN_CSV_INDEX_SLACK];
  tn_csv_marks marks = {',', '"', '\n', true};
  for (uint32_t shift = 0; shift < 64; shift++) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < shift; i++) text[n++] = '\n';
    for (int copies = 0; copies < 5; copies++) {
      memcpy(text + n, record, sizeof record - 1);
      n += sizeof record - 1;
    }
    memset(text + n, 'z', 64);
    tn_csv_index_result r;
    tn_csv_index(&marks, text, 0, n, ends, &r);
    assert_int_equal(r.stopped, n);
    assert_false(r.in_quotes);
    assert_int_equal(r.line_ends, shift + 15);
    assert_int_equal(r.count, shift + 5 * 8);
    if (tn_csv_index_has_avx2()) both_agree(&marks, text, 0, n);
  }
}

static void quotes_out_of_place_stop_it(void **state) {
  static const char *const bad[] = {"a\"b,c\n", "\"a\"b,c\n", "\"a\"\rb\n", "a,b\"\n",
                                    " \"a\",b\n"};
  static uint8_t text[ROOM];
  static uint32_t ends[ROOM + TN_CSV_INDEX_SLACK];
  tn_csv_marks marks = {',', '"', '\n', true};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    for (uint32_t before = 0; before < 200; before++) {
      uint32_t n = before + (uint32_t)strlen(bad[i]);
      memset(text, 'x', sizeof text);
      for (uint32_t k = 1; k < before; k += 2) text[k] = ',';
      if (before) text[before - 1] = '\n';
      memcpy(text + before, bad[i], strlen(bad[i]));
      tn_csv_index_result r;
      tn_csv_index(&marks, text, 0, n, ends, &r);
      assert_true(r.stopped <= before + 6 && r.stopped % 64 == 0);
      marks.has_quote = false;
      tn_csv_index(&marks, text, 0, n, ends, &r);
      assert_int_equal(r.stopped, n);
      marks.has_quote = true;
    }
  }
}

static void bytes_are_counted(void **state) {
  uint8_t text[300];
  int64_t many = 0;
  for (size_t i = 0; i < sizeof text; i++) {
    text[i] = (uint8_t)(i * 7 % 5);
    many += text[i] == 3;
    assert_int_equal(tn_csv_count_byte(text, i + 1, 3), many);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(avx2_agrees_with_plain),
      cmocka_unit_test(every_alignment_of_allowed_quotes),
      cmocka_unit_test(quotes_out_of_place_stop_it),
      cmocka_unit_test(bytes_are_counted),
  };
  return cmocka_run_group_tests_name("csv index", tests, NULL, NULL);
}
