/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <locale.h>
#include <math.h>

#include "base/clock.h"
#include "base/number.h"
#include "base/number_powers.h"
#include "base/random.h"

static uint64_t seed;
static uint64_t draw(uint64_t stream, uint64_t index, uint64_t n) {
  return tn_random_below(seed, stream, index, n);
}

static bool same_double(double a, double b) {
  return memcmp(&a, &b, sizeof a) == 0;
}

static void integers(void **state) {
  const struct {
    const char *text;
    bool is_i64, is_u64;
    int64_t i64;
    uint64_t u64;
  } cases[] = {
      {"0", true, true, 0, 0},
      {"-0", true, false, 0, 0},
      {"+7", true, true, 7, 7},
      {"007", true, true, 7, 7},
      {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
      {"9223372036854775808", false, true, 0, (uint64_t)INT64_MAX + 1},
      {"-9223372036854775808", true, false, INT64_MIN, 0},
      {"-9223372036854775809", false, false, 0, 0},
      {"18446744073709551615", false, true, 0, UINT64_MAX},
      {"18446744073709551616", false, false, 0, 0},
      {"99999999999999999999999", false, false, 0, 0},
      {"000000000000000000000000012", true, true, 12, 12},
      {"", false, false, 0, 0},
      {"-", false, false, 0, 0},
      {"+-1", false, false, 0, 0},
      {"1 ", false, false, 0, 0},
      {" 1", false, false, 0, 0},
      {"1x", false, false, 0, 0},
      {"0x10", false, false, 0, 0},
      {"1.0", false, false, 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t i64 = 0;
    uint64_t u64 = 0;
    if (tn_str_to_i64(tn_str_of(cases[i].text), &i64) != cases[i].is_i64 ||
        tn_str_to_u64(tn_str_of(cases[i].text), &u64) != cases[i].is_u64 || i64 != cases[i].i64 ||
        u64 != cases[i].u64)
      fail_msg("\"%s\": %lld, %llu", cases[i].text, (long long)i64, (unsigned long long)u64);
  }
}

static void check_like_strtod(const char *text) {
  double got = -1, want = strtod(text, NULL);
  bool fits = tn_str_to_f64(tn_str_of(text), &got);
  if (isinf(want) ? fits : !fits || !same_double(got, want))
    fail_msg("\"%s\": got %a, want %a", text, got, want);
}

static void hard_doubles(void **state) {
  const char *const cases[] = {
      "0",
      "-0",
      "0.0",
      "-0e999999999999",
      "1",
      "0.1",
      "1e22",
      "1e23",
      "8.5e22",
      "9007199254740993",
      "9007199254740992.5",
      "9007199254740993.00000000000000000000000000001",
      "123456789012345678",
      "1.7976931348623157e308",
      "1.7976931348623158e308",
      "1.7976931348623159e308",
      "2e308",
      "-1e309",
      "1e999999999999999999999",
      "4.9e-324",
      "2.4703282292062327e-324",
      "2.4703282292062328e-324",
      "2.2250738585072011e-308",
      "2.2250738585072014e-308",
      "1e-400",
      "1e-999999999999999999999",
      ".5",
      "5.",
      "1.e3",
      "00012.50",
      "6.02214076E+23",
      "0.000000000000000000000000000000000000000000000000000000000000000000000000000000001e80",
      "100000000000000000000000000000000000000000000000000000000000000000000000000000000e-80",
      "17976931348623158079372897140530341507993413271003782693617377898044496829276475094664901797"
      "7"
      "58720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484"
      "5"
      "81771153176447573027006985557136695962284291481986083493647529271907416844436551070434271155"
      "9"
      "699508093042880177904174497791.9999999999999999999999999999"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_like_strtod(cases[i]);
}

static void no_doubles(void **state) {
  const char *const cases[] = {"",      "-",   ".",   "e5",   "1e",   "1e+", "1.2.3", " 1",  "1 ",
                               "0x1p3", "1,5", "--1", "infx", "nan1", "in",  "1_000", "+.e1"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double value = 7;
    assert_false(tn_str_to_f64(tn_str_of(cases[i]), &value));
    assert_true(value == 7);
  }
  double value;
  assert_true(tn_str_to_f64(TN_STR("-Infinity"), &value) && isinf(value) && value < 0);
  assert_true(tn_str_to_f64(TN_STR("inf"), &value) && isinf(value) && value > 0);
  assert_true(tn_str_to_f64(TN_STR("NaN"), &value) && isnan(value));
}

/* Three kinds of text: short decimals, up to 40 digits with any exponent, and the bits of a double
 * written with 15 to 20 digits. */
static void random_decimal(uint64_t i, tn_strbuf *text) {
  uint64_t kind = draw(1, i, 3);
  tn_strbuf_reset(text);
  if (kind == 2) {
    uint64_t bits = tn_random_u64(seed, 2, i);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) value = 1.5;
    tn_strbuf_addf(text, "%.*e", (int)draw(3, i, 6) + 14, value);
    return;
  }
  uint64_t digits = 1 + draw(4, i, kind ? 40 : 17), point = draw(5, i, digits + 1);
  if (draw(6, i, 2)) tn_strbuf_add_char(text, '-');
  for (uint64_t d = 0; d < digits; d++) {
    if (d == point) tn_strbuf_add_char(text, '.');
    tn_strbuf_add_char(text, (char)('0' + draw(7 + d, i, 10)));
  }
  if (draw(60, i, 2))
    tn_strbuf_addf(text, "e%d", (int)draw(61, i, kind ? 700 : 50) - (kind ? 350 : 25));
}

static void random_texts_like_strtod(void **state) {
  tn_strbuf text = {0};
  for (uint64_t i = 0; i < 300000; i++) {
    random_decimal(i, &text);
    check_like_strtod(text.data);
  }
  tn_strbuf_clear(&text);
}

/* Ties between two doubles, exact and with one digit far behind them. */
static void ties_round_to_even(void **state) {
  char text[1400];
  for (uint64_t i = 0; i < 3000; i++) {
    uint64_t bits = tn_random_u64(seed, 100, i) & ~((uint64_t)1 << 63);
    uint64_t exponent = 1023 + draw(101, i, 120) - 60;
    bits = (bits & (((uint64_t)1 << 52) - 1)) | exponent << 52;
    double low, high;
    memcpy(&low, &bits, sizeof low);
    bits++;
    memcpy(&high, &bits, sizeof high);
    long double middle = ((long double)low + (long double)high) / 2;
    int length = snprintf(text, sizeof text, "%.130Lf", middle);
    check_like_strtod(text);
    memset(text + length, '0', 900);
    text[length + 900] = '\0';
    check_like_strtod(text);
    memcpy(text + length + 900, "1", 2);
    check_like_strtod(text);
  }
}

static void text_of_double_is_shortest(void **state) {
  const struct {
    double value;
    const char *text;
  } cases[] = {{0, "0"},
               {-0.0, "-0"},
               {1, "1"},
               {-3, "-3"},
               {0.1, "0.1"},
               {0.1 + 0.2, "0.30000000000000004"},
               {1e22, "1e+22"},
               {1.0 / 3, "0.3333333333333333"},
               {5e-324, "5e-324"},
               {1.7976931348623157e308, "1.7976931348623157e+308"},
               {123456789012, "123456789012"},
               {6.02214076e23, "6.02214076e+23"}};
  char text[TN_F64_TEXT_BYTES];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(tn_f64_to_text(cases[i].value, text), strlen(cases[i].text));
    assert_string_equal(text, cases[i].text);
  }
  for (uint64_t i = 0; i < 100000; i++) {
    uint64_t bits = tn_random_u64(seed, 200, i);
    double value, back = 0;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) continue;
    int length = tn_f64_to_text(value, text);
    assert_true(length < TN_F64_TEXT_BYTES);
    if (!tn_str_to_f64(tn_str_of(text), &back) || !same_double(value, back))
      fail_msg("%a became %s", value, text);
  }
}

/* No text of fewer digits reads back, and of as many digits none is nearer: the one that printf
 * rounds correctly, where that reads back. */
static void check_shortest(double value, const char *text, bool is_float) {
  int digits = 0;
  bool begun = false;
  for (const char *c = text; *c && *c != 'e'; c++) {
    begun |= *c >= '1' && *c <= '9';
    if (begun && *c >= '0' && *c <= '9') digits++;
  }
  if (!strchr(text, 'e') && !strchr(text, '.')) /* zeros at the end of a whole number */
    for (size_t n = strlen(text); n > 1 && text[n - 1] == '0'; n--) digits--;
  for (int n = digits > 1 ? digits - 1 : 1; n <= digits; n++) {
    char other[40];
    double back = 0, own = 0;
    snprintf(other, sizeof other, "%.*e", n - 1, value);
    if (!tn_str_to_f64(tn_str_of(other), &back) || !tn_str_to_f64(tn_str_of(text), &own)) continue;
    bool same = is_float ? (float)back == (float)value : back == value;
    if (same && (n < digits || back != own))
      fail_msg("%a became %s, shorter: %s", value, text, other);
  }
}

static void random_bits_become_shortest_text(void **state) {
  for (uint64_t i = 0; i < 200000; i++) {
    uint64_t bits = tn_random_u64(seed, 201, i);
    if (i % 3 == 1) bits &= (uint64_t)0xFFF << 52; /* a power of two */
    double value, back = 0;
    char text[TN_F64_TEXT_BYTES];
    memcpy(&value, &bits, sizeof value);
    if (i % 3 == 2) value = (double)(int64_t)bits / (double)(1 + i % 100000);
    if (!isfinite(value)) continue;
    int length = tn_f64_to_text(value, text);
    assert_int_equal(length, strlen(text));
    if (!tn_str_to_f64(tn_str_of(text), &back) || !same_double(value, back))
      fail_msg("%a became %s", value, text);
    check_shortest(value, text, false);
    float small;
    uint32_t low = (uint32_t)bits;
    if (i % 3 == 1) low = (uint32_t)(bits >> 32) & 0xFF800000;
    memcpy(&small, &low, sizeof small);
    if (!isfinite(small)) continue;
    length = tn_f32_to_text(small, text);
    assert_int_equal(length, strlen(text));
    if (!tn_str_to_f64(tn_str_of(text), &back) || (float)back != small)
      fail_msg("%a became %s", (double)small, text);
    check_shortest((double)small, text, true);
  }
}

static void text_of_float_is_shortest(void **state) {
  const struct {
    float value;
    const char *text;
  } cases[] = {{0, "0"},
               {-0.0f, "-0"},
               {0.1f, "0.1"},
               {16777216, "16777216"},
               {1e9f, "1e+09"},
               {3.4028234663852886e38f, "3.4028235e+38"},
               {1e-45f, "1e-45"},
               {0.000123f, "0.000123"},
               {1.17549435e-38f, "1.1754944e-38"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[TN_F64_TEXT_BYTES];
    tn_f32_to_text(cases[i].value, text);
    assert_string_equal(text, cases[i].text);
  }
}

/* ---- the table of powers, each computed again exactly ---- */
enum { BIG_WORDS = 36 }; /* 32 bits a word: 10^324 and 10^292 times 2^128 fit */
typedef struct big {
  uint32_t words[BIG_WORDS];
} big;

static void big_multiply(big *b, uint32_t factor) {
  uint64_t carry = 0;
  for (int i = 0; i < BIG_WORDS; i++) {
    carry += (uint64_t)b->words[i] * factor;
    b->words[i] = (uint32_t)carry;
    carry >>= 32;
  }
  assert_int_equal(carry, 0);
}

static int big_compare(const big *a, const big *b) {
  for (int i = BIG_WORDS - 1; i >= 0; i--)
    if (a->words[i] != b->words[i]) return a->words[i] < b->words[i] ? -1 : 1;
  return 0;
}

static void big_subtract(big *a, const big *b) {
  int64_t borrow = 0;
  for (int i = 0; i < BIG_WORDS; i++) {
    borrow += (int64_t)a->words[i] - b->words[i];
    a->words[i] = (uint32_t)borrow;
    borrow >>= 32;
  }
}

/* The first 128 bits of a / b, rounded up, by long division; a and b are not 0. */
static void big_quotient(big a, big b, uint64_t out[2]) {
  while (big_compare(&a, &b) >= 0) big_multiply(&b, 2);
  out[0] = out[1] = 0;
  bool begun = false;
  for (int bits = 0; bits < 128;) { /* a < b */
    big_multiply(&a, 2);
    bool one = big_compare(&a, &b) >= 0;
    if (one) big_subtract(&a, &b);
    begun |= one;
    if (!begun) continue;
    out[0] = out[0] << 1 | out[1] >> 63;
    out[1] = out[1] << 1 | one;
    bits++;
  }
  big zero = {{0}};
  if (big_compare(&a, &zero) == 0) return;
  out[0] += ++out[1] == 0;
}

static void powers_of_ten_are_exact(void **state) {
  for (int32_t k = TN_POWER_MIN; k <= TN_POWER_MAX; k++) {
    big ten = {{1}}, one = {{1}};
    for (int32_t i = 0; i < (k < 0 ? -k : k); i++) big_multiply(&ten, 10);
    uint64_t wanted[2];
    if (k < 0)
      big_quotient(one, ten, wanted);
    else
      big_quotient(ten, one, wanted);
    assert_memory_equal(wanted, tn_powers_of_ten[k - TN_POWER_MIN], sizeof wanted);
  }
}

static void locale_does_not_matter(void **state) {
  const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
  bool set = false;
  for (size_t i = 0; i < 3 && !set; i++) set = setlocale(LC_ALL, names[i]) != NULL;
  if (!set) skip();
  double value = 0;
  char text[TN_F64_TEXT_BYTES];
  bool parsed = tn_str_to_f64(TN_STR("1.23456789012345678901234567890"), &value);
  tn_f64_to_text(0.1, text);
  setlocale(LC_ALL, "C");
  assert_true(parsed && value == 1.2345678901234567);
  assert_string_equal(text, "0.1");
}

int main(void) {
  const char *given = getenv("TENON_SEED");
  seed = given ? strtoull(given, NULL, 10) : (uint64_t)tn_time_unix_us();
  printf("seed %llu (TENON_SEED)\n", (unsigned long long)seed);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(integers),
      cmocka_unit_test(hard_doubles),
      cmocka_unit_test(no_doubles),
      cmocka_unit_test(random_texts_like_strtod),
      cmocka_unit_test(ties_round_to_even),
      cmocka_unit_test(text_of_double_is_shortest),
      cmocka_unit_test(random_bits_become_shortest_text),
      cmocka_unit_test(text_of_float_is_shortest),
      cmocka_unit_test(powers_of_ten_are_exact),
      cmocka_unit_test(locale_does_not_matter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
