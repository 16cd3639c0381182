/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "columns/decimal.h"
#include "columns_test.h"

static void text_is(const tn_decimal_value *v, int32_t scale, const char *expected) {
  tn_strbuf out = {0};
  tn_decimal_text(v, scale, &out);
  assert_string_equal(out.data, expected);
  tn_strbuf_clear(&out);
}

static void decimals_become_text(void **state) {
  static const struct {
    int64_t value;
    int32_t scale;
    const char *text;
  } rows[] = {{0, 0, "0"},
              {0, 2, "0.00"},
              {0, -3, "0"},
              {-1, 0, "-1"},
              {1230, 2, "12.30"},
              {-5, 3, "-0.005"},
              {5, 1, "0.5"},
              {-123, -3, "-123000"},
              {INT64_MIN, 18, "-9.223372036854775808"},
              {100, 2, "1.00"},
              {-100, 3, "-0.100"},
              {7, 20, "0.00000000000000000007"},
              {INT64_MAX, 0, "9223372036854775807"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    tn_decimal_value v = tn_decimal_of_i64(rows[i].value);
    text_is(&v, rows[i].scale, rows[i].text);
  }
  tn_decimal_value lowest = {{0, 0, 0, (uint64_t)1 << 63}};
  text_is(&lowest, 0,
          "-57896044618658097711785492504343953926634992332820282019728792003956564819968");
  tn_decimal_value ones = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, INT64_MAX}};
  text_is(&ones, 76,
          "5.7896044618658097711785492504343953926634992332820282019728792003956564819967");
  tn_decimal_value word = {{0, 1, 0, 0}}; /* 2^64: chunks with zeros at their front */
  text_is(&word, 0, "18446744073709551616");
}

static void text_becomes_decimals(void **state) {
  static const struct {
    const char *text;
    int32_t precision, scale;
    const char *back; /* NULL: refused */
  } rows[] = {
      {"12.3", 5, 2, "12.30"},
      {"-.5", 5, 2, "-0.50"},
      {"+7.", 5, 2, "7.00"},
      {"0012.30", 4, 2, "12.30"},
      {"12.3400", 4, 2, "12.34"},
      {"12.345", 5, 2, NULL}, /* a digit too many behind the point */
      {"1234.5", 5, 2, NULL}, /* 123450 has six digits */
      {"123.45", 5, 2, "123.45"},
      {"1.5e3", 6, 2, "1500.00"},
      {"15E-1", 6, 2, "1.50"},
      {"15e-3", 6, 2, NULL},
      {"123000", 5, -3, "123000"},
      {"123400", 5, -3, NULL},
      {"0", 1, 0, "0"},
      {"-0.000", 1, 0, "0"},
      {"0e999999999999", 3, 1, "0.0"},
      {"1e999999999999", 76, 0, NULL},
      {"1e-999999999999", 76, 70, NULL},
      {"9999999999999999999999999999999999999999999999999999999999999999999999999999", 76, 0,
       "9999999999999999999999999999999999999999999999999999999999999999999999999999"},
      {"10000000000000000000000000000000000000000000000000000000000000000000000000000", 76, 0,
       NULL},
      {"", 5, 2, NULL},
      {".", 5, 2, NULL},
      {"-", 5, 2, NULL},
      {"1e", 5, 2, NULL},
      {"1 ", 5, 2, NULL},
      {"--1", 5, 2, NULL},
      {"1.2.3", 5, 2, NULL},
      {"nan", 5, 2, NULL},
      {"0x1", 5, 2, NULL},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    tn_decimal_value v;
    bool good = tn_decimal_parse(tn_str_of(rows[i].text), rows[i].precision, rows[i].scale, &v);
    if (good != (rows[i].back != NULL)) fail_msg("\"%s\"", rows[i].text);
    if (good) text_is(&v, rows[i].scale, rows[i].back);
  }
}

static tn_decimal_value random_value(uint64_t i) {
  tn_decimal_value v = {{0}};
  uint64_t bits = 1 + tn_random_below(5, 1, i, 255);
  for (uint64_t w = 0; w < 4; w++) v.words[w] = tn_random_u64(5, 2 + w, i);
  for (uint64_t b = bits; b < 256; b++) { /* sign extended from bit `bits` - 1 */
    uint64_t sign = v.words[(bits - 1) / 64] >> (bits - 1) % 64 & 1;
    v.words[b / 64] &= ~((uint64_t)1 << b % 64);
    v.words[b / 64] |= sign << b % 64;
  }
  return v;
}

static void all_forms_come_back(void **state) {
  for (uint64_t i = 0; i < 20000; i++) {
    tn_decimal_value v = random_value(i), back;
    int32_t scale = (int32_t)tn_random_below(5, 6, i, 80) - 3;
    tn_strbuf text = {0};
    tn_decimal_text(&v, scale, &text);
    if (tn_decimal_digits(&v) <= TN_DECIMAL_DIGITS_MAX) {
      assert_true(tn_decimal_parse(tn_strbuf_view(&text), 76, scale, &back));
      assert_memory_equal(&v, &back, sizeof v);
    }
    size_t digits = 0; /* the text has as many, zeros in front and behind aside */
    for (size_t c = 0; c < text.length; c++) {
      if (text.data[c] < '0' || text.data[c] > '9' || (digits == 0 && text.data[c] == '0'))
        continue;
      digits++;
    }
    if (scale >= 0 && digits > 0) assert_int_equal(digits, tn_decimal_digits(&v));
    tn_strbuf_clear(&text);
    for (int32_t bits = 32; bits <= 256; bits *= 2) {
      uint8_t bytes[32], be[40];
      bool fits = tn_decimal_store(&v, bits, bytes);
      assert_int_equal(tn_decimal_to_be(&v, (size_t)bits / 8, be), fits);
      if (!fits) continue;
      back = tn_decimal_load(bytes, bits);
      assert_memory_equal(&v, &back, sizeof v);
      for (int32_t b = 0; b < bits / 8; b++) assert_int_equal(bytes[b], be[bits / 8 - 1 - b]);
      assert_true(tn_decimal_from_be((tn_str){(char *)be, (size_t)bits / 8}, &back));
      assert_memory_equal(&v, &back, sizeof v);
      assert_true(tn_decimal_to_be(&v, 40, be)); /* longer than needed: sign bytes in front */
      assert_true(tn_decimal_from_be((tn_str){(char *)be, 40}, &back));
      assert_memory_equal(&v, &back, sizeof v);
    }
  }
}

static void bytes_that_do_not_fit_are_refused(void **state) {
  tn_decimal_value v;
  char wide[33] = {1};
  assert_false(tn_decimal_from_be((tn_str){wide, 33}, &v));
  wide[0] = 0;
  wide[1] = (char)0x80; /* positive, but bit 255 is set */
  assert_false(tn_decimal_from_be((tn_str){wide, 33}, &v));
  assert_true(tn_decimal_from_be((tn_str){"", 0}, &v));
  text_is(&v, 0, "0");
  uint8_t out[4];
  assert_true(tn_decimal_to_be(&v, 0, out));
  v = tn_decimal_of_i64(-1);
  assert_false(tn_decimal_to_be(&v, 0, out));
  v = tn_decimal_of_i64(-129);
  assert_false(tn_decimal_to_be(&v, 1, out));
  v = tn_decimal_of_i64(-128);
  assert_true(tn_decimal_to_be(&v, 1, out));
  assert_int_equal(out[0], 0x80);
  v = tn_decimal_of_i64((int64_t)INT32_MAX + 1);
  assert_false(tn_decimal_store(&v, 32, out));
}

static void order_is_that_of_numbers(void **state) {
  for (uint64_t i = 0; i < 5000; i++) {
    int64_t a = (int64_t)tn_random_u64(6, 1, i), b = i % 5 ? (int64_t)tn_random_u64(6, 2, i) : a;
    tn_decimal_value x = tn_decimal_of_i64(a), y = tn_decimal_of_i64(b);
    assert_int_equal(tn_decimal_compare(&x, &y), a < b ? -1 : a > b);
  }
  tn_decimal_value low = {{0, 0, 1, 0}}, high = {{1, 0, 1, 0}};
  assert_int_equal(tn_decimal_compare(&low, &high), -1);
}

static void rescaling_loses_nothing(void **state) {
  tn_decimal_value v = tn_decimal_of_i64(-12300), out;
  assert_true(tn_decimal_rescale(&v, 4, 2, &out));
  text_is(&out, 2, "-1.23");
  assert_false(tn_decimal_rescale(&v, 4, 1, &out));
  assert_true(tn_decimal_rescale(&v, 4, 40, &out));
  text_is(&out, 40, "-1.2300000000000000000000000000000000000000");
  assert_false(tn_decimal_rescale(&v, 0, 72, &out)); /* 77 digits */
  assert_true(tn_decimal_rescale(&v, 0, 71, &out));
  v = tn_decimal_of_i64(0);
  assert_true(tn_decimal_rescale(&v, 0, 1000, &out));
  text_is(&out, 0, "0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(decimals_become_text),
      cmocka_unit_test(text_becomes_decimals),
      cmocka_unit_test(all_forms_come_back),
      cmocka_unit_test(bytes_that_do_not_fit_are_refused),
      cmocka_unit_test(order_is_that_of_numbers),
      cmocka_unit_test(rescaling_loses_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
