/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include "base/utf8.h"

/* Every code point there is, against the definition of UTF-8 (RFC 3629, section 3). */
static void every_code_point_goes_round(void **state) {
  for (uint32_t code = 0; code <= 0x110010; code++) {
    uint8_t bytes[4];
    int length = tn_utf8_encode(code, bytes);
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      assert_int_equal(length, 0);
      continue;
    }
    int want = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    uint32_t back = UINT32_MAX;
    if (length != want || tn_utf8_decode(bytes, 4, &back) != want || back != code ||
        tn_utf8_length(bytes, (size_t)want - 1) != 0)
      fail_msg("U+%04X", code);
  }
}

/* A decoder by the book: value from the bits, then the range checks. */
static int slow_length(const uint8_t *s, size_t available) {
  if (available == 0) return 0;
  int length = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
  if (length == 0 || (size_t)length > available) return 0;
  if (length == 1) return 1;
  uint32_t code = s[0] & (0x7Fu >> length);
  for (int i = 1; i < length; i++) {
    if (s[i] >> 6 != 2) return 0;
    code = code << 6 | (s[i] & 0x3Fu);
  }
  const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return 0;
  return length;
}

static void every_three_byte_start_is_judged_right(void **state) {
  const uint8_t lasts[] = {0x00, 0x7F, 0x80, 0x8F, 0xBF, 0xC0, 0xFF};
  for (uint32_t head = 0; head < 1u << 24; head += head < 0xC00000 ? 97 : 1) {
    for (size_t l = 0; l < sizeof lasts; l++) {
      uint8_t s[4] = {(uint8_t)(head >> 16), (uint8_t)(head >> 8), (uint8_t)head, lasts[l]};
      if (tn_utf8_length(s, 4) != slow_length(s, 4)) fail_msg("bytes %06X %02X", head, lasts[l]);
      if (s[0] < 0xF0) break; /* the fourth byte does not matter */
    }
  }
}

static void whole_texts(void **state) {
  assert_true(tn_utf8_valid((tn_str){0}));
  assert_true(tn_utf8_valid(TN_STR("plain ascii that is longer than a word")));
  assert_true(tn_utf8_valid(TN_STR("12345678\xE2\x82\xAC\xF0\x9F\x98\x80z")));
  assert_false(tn_utf8_valid(TN_STR("12345678\xE2\x82")));
  assert_false(tn_utf8_valid(TN_STR("\xC0\x80")));         /* overlong NUL */
  assert_false(tn_utf8_valid(TN_STR("\xED\xA0\x80")));     /* surrogate */
  assert_false(tn_utf8_valid(TN_STR("\xF4\x90\x80\x80"))); /* U+110000 */
  assert_false(tn_utf8_valid(TN_STR("aaaaaaa\x80")));
  uint32_t code = 5;
  assert_int_equal(tn_utf8_decode((const uint8_t *)"\xFF", 1, &code), 0);
  assert_int_equal(code, 5);
}

static void repair_replaces_maximal_parts(void **state) {
  tn_strbuf out = {0};
  tn_utf8_append_repaired(&out, TN_STR("a\xE2\x82z\xFF\xF0\x9F\x98"));
  assert_string_equal(out.data, "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
  tn_strbuf_reset(&out);
  tn_utf8_append_repaired(&out, TN_STR("\xED\xA0\x80 \xC3\xA9 \xF4\x90")); /* each byte by itself */
  assert_string_equal(out.data,
                      "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xC3\xA9 "
                      "\xEF\xBF\xBD\xEF\xBF\xBD");
  tn_strbuf_clear(&out);
}

static void a_part_may_go_on_at_the_end(void **state) {
  bool may_go_on = false;
  assert_int_equal(tn_utf8_part_length((const uint8_t *)"\xF0\x9F\x98", 3, &may_go_on), 3);
  assert_true(may_go_on);
  assert_int_equal(tn_utf8_part_length((const uint8_t *)"\xF0\x9Fz", 3, &may_go_on), 2);
  assert_false(may_go_on);
  assert_int_equal(tn_utf8_part_length((const uint8_t *)"\x80", 1, &may_go_on), 1);
  assert_false(may_go_on);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_point_goes_round),
      cmocka_unit_test(every_three_byte_start_is_judged_right),
      cmocka_unit_test(whole_texts),
      cmocka_unit_test(repair_replaces_maximal_parts),
      cmocka_unit_test(a_part_may_go_on_at_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
