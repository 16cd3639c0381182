/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include <dirent.h>
#include <math.h>

#include "base/io.h"
#include "base/json.h"

static tn_arena arena;
static tn_error err;

static tn_json *parse(const char *text) {
  tn_json *root = NULL;
  if (tn_json_parse(&root, &arena, tn_str_of(text), NULL, &err) != TN_OK)
    fail_msg("%s: %s", text, err.text);
  return root;
}

static int clear_arena(void **state) {
  tn_arena_clear(&arena);
  return 0;
}

static void values(void **state) {
  tn_json *root = parse(" {\"a\": [1, -2.5e3, true, false, null], \"b\": {}, \"c\": \"x\"} ");
  assert_int_equal(root->kind, TN_JSON_OBJECT);
  assert_int_equal(root->count, 3);
  const tn_json *a = tn_json_get(root, "a");
  assert_int_equal(a->count, 5);
  assert_true(tn_json_at(a, 0)->is_integer);
  assert_int_equal(tn_json_at(a, 0)->integer, 1);
  assert_false(tn_json_at(a, 1)->is_integer);
  assert_true(tn_json_at(a, 1)->number == -2500);
  assert_true(tn_str_is(tn_json_at(a, 1)->text, "-2.5e3"));
  assert_true(tn_json_at(a, 2)->boolean);
  assert_false(tn_json_at(a, 3)->boolean);
  assert_int_equal(tn_json_at(a, 4)->kind, TN_JSON_NULL);
  assert_null(tn_json_at(a, 5));
  assert_null(tn_json_at(a, -1));
  assert_null(tn_json_at(root, 0));
  assert_int_equal(tn_json_get(root, "b")->count, 0);
  assert_true(tn_str_is(tn_json_get(root, "c")->text, "x"));
  assert_null(tn_json_get(root, "d"));
  assert_null(tn_json_get(a, "a"));
  assert_null(tn_json_get(NULL, "a"));
}

static void integers_and_doubles(void **state) {
  assert_true(parse("9223372036854775807")->is_integer);
  assert_true(parse("9223372036854775807")->integer == INT64_MAX);
  assert_true(parse("-9223372036854775808")->integer == INT64_MIN);
  assert_false(parse("9223372036854775808")->is_integer);
  assert_true(parse("9223372036854775808")->number == 9223372036854775808.0);
  assert_false(parse("1e2")->is_integer);
  assert_true(signbit(parse("-0")->number) && parse("-0")->integer == 0);
  assert_true(parse("0.1")->number == 0.1);
  assert_true(parse("123456789.123456789123456789")->number == 123456789.123456789123456789);
  assert_true(isinf(parse("-1e400")->number));
  assert_true(parse("1e-400")->number == 0);
}

static void strings(void **state) {
  const char *input = "\"plain text without escapes\"";
  assert_ptr_equal(parse(input)->text.data, input + 1); /* a view */
  tn_str s =
      parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83D\\uDE00\\u0000z\"")->text;
  assert_int_equal(s.length, 8 + 1 + 2 + 3 + 4 + 1 + 1);
  assert_memory_equal(s.data, "\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\0z", s.length);
  assert_true(tn_str_is(tn_json_get(parse("{\"k\\n\":7}"), "k\n")->text, "7"));
}

/* Each special byte at each place of the eight-byte steps. */
static void string_ends_at_every_offset(void **state) {
  for (int length = 0; length < 40; length++) {
    char text[64];
    memset(text, 'a', sizeof text);
    text[0] = text[length + 1] = '"';
    text[length + 2] = '\0';
    assert_int_equal(parse(text)->text.length, length);
    for (int at = 1; at <= length; at++) {
      tn_json *root;
      char bad[64];
      const char wrong[] = {'\x1F', '\x00', '\n', '\x80', '\xFF', '"'};
      for (size_t w = 0; w < sizeof wrong; w++) {
        memcpy(bad, text, sizeof bad);
        bad[at] = wrong[w];
        tn_str s = {bad, (size_t)length + 2};
        assert_int_equal(tn_json_parse(&root, &arena, s, NULL, &err), TN_ERR_DATA);
      }
      memcpy(bad, text, sizeof bad);
      bad[at] = '\x7F'; /* fine */
      assert_int_equal(parse(bad)->text.length, length);
    }
  }
}

static void errors_name_line_column_and_wish(void **state) {
  const struct {
    const char *text, *message;
  } cases[] = {
      {"{\n \"a\": 1,\n \"b\": [1 2]}", "line 3, column 10: expected ',' or ']', found '2'"},
      {"{\"a\" 1}", "line 1, column 6: expected ':', found '1'"},
      {"{\"a\":1,}", "line 1, column 8: expected a key in quotes, found '}'"},
      {"[1,]", "line 1, column 4: expected a value, found ']'"},
      {"", "line 1, column 1: expected a value, found the end"},
      {"[1", "line 1, column 3: expected ',' or ']', found the end"},
      {"{\"a\":1", "line 1, column 7: expected ',' or '}', found the end"},
      {"1 x", "line 1, column 3: expected the end, found 'x'"},
      {"nul", "line 1, column 1: expected a value, found 'n'"},
      {"-x", "line 1, column 2: expected a digit, found 'x'"},
      {"01", "line 1, column 1: expected a number without leading zeros"},
      {"1.", "line 1, column 3: expected a digit behind the point, found the end"},
      {"1e+", "line 1, column 4: expected a digit of the exponent, found the end"},
      {"\"abc", "line 1, column 1: this string has no end: expected '\"'"},
      {"\"\\x\"", "line 1, column 2: expected one of \" \\ / b f n r t u behind a backslash"},
      {"\"\\u12g4\"", "line 1, column 2: expected four hexadecimal digits behind \\u"},
      {"\"\\udc00\"", "line 1, column 2: a low surrogate without a high one before it"},
      {"\"\\ud800\\u0041\"", "line 1, column 2: a high surrogate without a low one behind it"},
      {"\"\xE2\x82\xAC\n\"",
       "line 1, column 3: expected a control character as \\uXXXX, found it raw"},
      {"\"ab\xC0\"", "line 1, column 4: expected UTF-8, found an invalid byte"},
      {"\xEF\xBB\xBF{}", "line 1, column 1: expected a value, found byte 0xEF"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tn_json *root = NULL;
    assert_int_equal(tn_json_parse(&root, &arena, tn_str_of(cases[i].text), NULL, &err),
                     TN_ERR_DATA);
    assert_string_equal(err.text, cases[i].message);
    assert_null(root);
  }
}

/* The tree points into *text. */
static tn_status parse_nested(int depth, int depth_max, tn_strbuf *text, tn_json **root) {
  tn_strbuf_reset(text);
  for (int i = 0; i < depth; i++) tn_strbuf_add(text, i % 2 ? "{\"k\":" : "[");
  if (depth % 2 == 0) tn_strbuf_add_char(text, '0');
  for (int i = depth; i-- > 0;) tn_strbuf_add_char(text, i % 2 ? '}' : ']');
  tn_json_options options = {.depth_max = depth_max};
  return tn_json_parse(root, &arena, tn_strbuf_view(text), &options, &err);
}

static void depth_has_a_limit(void **state) {
  tn_json *root, *back;
  tn_strbuf text = {0}, copy = {0};
  assert_ok(parse_nested(512, 0, &text, &root));
  assert_int_equal(parse_nested(513, 0, &text, &root), TN_ERR_LIMIT);
  assert_holds(err.text, "nested deeper than the limit of 512 levels");
  assert_int_equal(parse_nested(4, 3, &text, &root), TN_ERR_LIMIT);
  /* No recursion anywhere: only memory is the limit. */
  assert_ok(parse_nested(200000, 200000, &text, &root));
  tn_json_writer w = {.out = &copy};
  tn_json_copy(&w, root);
  assert_int_equal(w.depth, 0);
  assert_true(tn_str_equal(tn_strbuf_view(&text), tn_strbuf_view(&copy)));
  tn_json_options options = {.depth_max = 200000};
  assert_ok(tn_json_parse(&back, &arena, tn_strbuf_view(&copy), &options, &err));
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&copy);
}

static void bytes_have_a_limit(void **state) {
  tn_arena small = {.limit_bytes = 1000};
  tn_json *root;
  tn_str text = TN_STR("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]");
  assert_int_equal(tn_json_parse(&root, &small, text, NULL, &err), TN_ERR_LIMIT);
  assert_holds(err.text, "limit of 1000 bytes");
  tn_arena_clear(&small);
}

static void repeated_keys(void **state) {
  int64_t value = 0;
  tn_json_options unique = {.unique_keys = true};
  tn_json *root = parse("{\"a\":1,\"b\":2,\"a\":3}");
  assert_ok(tn_json_get_i64(root, "a", 0, 9, &value, &err));
  assert_int_equal(value, 3);
  const char *bad[] = {
      "{\"a\":1,\"b\":2,\"a\":3}",
      "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"\\u0061\":0}",
      "[{\"x\":{\"a\":1,\"a\":1}}]"};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tn_json_parse(&root, &arena, tn_str_of(bad[i]), &unique, &err), TN_ERR_DATA);
    assert_holds(err.text, "repeats the key \"a\"");
  }
  assert_ok(
      tn_json_parse(&root, &arena, TN_STR("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), &unique, &err));
}

static void typed_members(void **state) {
  tn_json *root = parse(
      "{\"i\":12,\"f\":1.5,\"e\":1e3,\"b\":true,\"s\":\"x\",\"n\":null,\"o\":{},\"h\":1e400,"
      "\"big\":1e300}");
  int64_t i = -1;
  double f = -1;
  bool b = false;
  tn_str s = TN_STR("kept");
  assert_ok(tn_json_get_i64(root, "absent", 0, 1, &i, &err));
  assert_ok(tn_json_get_i64(root, "n", 0, 1, &i, &err));
  assert_int_equal(i, -1);
  assert_ok(tn_json_get_i64(root, "i", 0, 12, &i, &err));
  assert_int_equal(i, 12);
  assert_ok(tn_json_get_i64(root, "e", 0, 1000, &i, &err));
  assert_int_equal(i, 1000);
  assert_int_equal(tn_json_get_i64(root, "i", 0, 11, &i, &err), TN_ERR_DATA);
  assert_string_equal(err.text, "\"i\": 12 is outside 0 to 11");
  assert_int_equal(tn_json_get_i64(root, "f", 0, 11, &i, &err), TN_ERR_DATA);
  assert_string_equal(err.text, "\"f\": expected an integer, found 1.5");
  assert_int_equal(tn_json_get_i64(root, "big", 0, 11, &i, &err), TN_ERR_DATA);
  assert_int_equal(tn_json_get_i64(root, "s", 0, 11, &i, &err), TN_ERR_DATA);
  assert_string_equal(err.text, "\"s\": expected an integer, found string");
  assert_ok(tn_json_get_f64(root, "f", &f, &err));
  assert_true(f == 1.5);
  assert_ok(tn_json_get_f64(root, "i", &f, &err));
  assert_true(f == 12);
  assert_int_equal(tn_json_get_f64(root, "h", &f, &err), TN_ERR_DATA);
  assert_int_equal(tn_json_get_f64(root, "o", &f, &err), TN_ERR_DATA);
  assert_string_equal(err.text, "\"o\": expected a number, found object");
  assert_ok(tn_json_get_bool(root, "b", &b, &err));
  assert_true(b);
  assert_int_equal(tn_json_get_bool(root, "i", &b, &err), TN_ERR_DATA);
  assert_ok(tn_json_get_str(root, "absent", &s, &err));
  assert_true(tn_str_is(s, "kept"));
  assert_ok(tn_json_get_str(root, "s", &s, &err));
  assert_true(tn_str_is(s, "x"));
  assert_int_equal(tn_json_get_str(root, "b", &s, &err), TN_ERR_DATA);
  assert_string_equal(err.text, "\"b\": expected a string, found boolean");
}

/* ---- writer ---- */

static void write_sample(tn_json_writer *w) {
  tn_json_begin_object(w);
  tn_json_key(w, "a");
  tn_json_begin_array(w);
  tn_json_i64(w, INT64_MIN);
  tn_json_u64(w, UINT64_MAX);
  tn_json_f64(w, 0.1);
  tn_json_f64(w, NAN);
  tn_json_bool(w, true);
  tn_json_begin_object(w);
  tn_json_end_object(w);
  tn_json_end_array(w);
  tn_json_key(w, "s\"");
  tn_json_str(w, TN_STR("q\"\\\n\t\x01\xE2\x82\xAC\xFF!"));
  tn_json_key(w, "e");
  tn_json_begin_array(w);
  tn_json_end_array(w);
  tn_json_key(w, "n");
  tn_json_cstr(w, NULL);
  tn_json_end_object(w);
}

static void writes_one_line_or_indented(void **state) {
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  write_sample(&w);
  assert_string_equal(
      text.data,
      "{\"a\":[-9223372036854775808,18446744073709551615,0.1,null,true,{}],"
      "\"s\\\"\":\"q\\\"\\\\\\n\\t\\u0001\xE2\x82\xAC\xEF\xBF\xBD!\",\"e\":[],\"n\":null}");
  tn_strbuf_reset(&text);
  w = (tn_json_writer){.out = &text, .indent = 2};
  write_sample(&w);
  assert_holds(text.data, "{\n  \"a\": [\n    -9223372036854775808,\n    18446744073709551615,");
  assert_holds(text.data, "    {}\n  ],\n  \"s\\\"\": ");
  assert_holds(text.data, "  \"e\": [],\n  \"n\": null\n}");
  parse(text.data);
  tn_strbuf_reset(&text);
  w = (tn_json_writer){.out = &text};
  tn_json_i64(&w, 1); /* one document behind another, as JSON lines do */
  tn_strbuf_add_char(&text, '\n');
  tn_json_raw(&w, TN_STR("[1]"));
  assert_string_equal(text.data, "1\n[1]");
  tn_strbuf_clear(&text);
}

static void assert_same_tree(const tn_json *a, const tn_json *b) {
  assert_int_equal(a->kind, b->kind);
  assert_true(tn_str_equal(a->key, b->key) && tn_str_equal(a->text, b->text));
  assert_true(a->count == b->count && a->boolean == b->boolean && a->integer == b->integer);
  const tn_json *x = a->first, *y = b->first;
  for (; x && y; x = x->next, y = y->next) assert_same_tree(x, y);
  assert_true(!x && !y);
}

/* ---- the suite: y_ must parse, n_ must not, i_ may do either ---- */

static const char *suite_folder(void) {
  static char path[4096];
  const char *data = getenv("TENON_TESTDATA");
  snprintf(path, sizeof path, "%s/json/test_parsing", data ? data : "../shared/testdata");
  return path;
}

static void check_suite_file(const char *name) {
  char path[8192];
  snprintf(path, sizeof path, "%s/%s", suite_folder(), name);
  tn_strbuf text = {0}, copy = {0};
  assert_ok(tn_file_read(path, 0, &text, &err));
  char *exact = tn_strndup(text.data, text.length); /* a reader beyond the end meets ASan */
  tn_json *root = NULL, *back = NULL;
  tn_status status = tn_json_parse(&root, &arena, (tn_str){exact, text.length}, NULL, &err);
  if (name[0] == 'y' && status != TN_OK) fail_msg("%s: refused: %s", name, err.text);
  if (name[0] == 'n' && status == TN_OK) fail_msg("%s: accepted", name);
  if (status != TN_OK) assert_true(err.status == status && err.text[0]);
  if (status == TN_OK) {
    tn_json_writer w = {.out = &copy, .indent = 1};
    tn_json_copy(&w, root);
    assert_ok(tn_json_parse(&back, &arena, tn_strbuf_view(&copy), NULL, &err));
    assert_same_tree(root, back);
  }
  tn_free(exact);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&copy);
}

static void conformance_suite(void **state) {
  DIR *dir = opendir(suite_folder());
  if (!dir) {
    print_message("no %s: skipped\n", suite_folder());
    skip();
  }
  int count = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    if (!strstr(e->d_name, ".json")) continue;
    check_suite_file(e->d_name);
    count++;
  }
  closedir(dir);
  assert_true(count >= 300);
}

static tn_status parse_and_write(void *context, tn_error *e) {
  tn_arena own = {0};
  tn_json *root;
  tn_strbuf text = {0}, out = {0};
  for (int i = 0; i < 100; i++) tn_strbuf_add(&text, "[{\"k\\n\":");
  tn_strbuf_add(
      &text, "[1,2,3,\"a\\tb\"],\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":2");
  for (int i = 0; i < 100; i++) tn_strbuf_add(&text, "}]");
  tn_status status = tn_strbuf_check(&text, e);
  tn_json_options options = {.unique_keys = true};
  if (status == TN_OK) status = tn_json_parse(&root, &own, tn_strbuf_view(&text), &options, e);
  if (status == TN_OK) {
    tn_json_writer w = {.out = &out, .indent = 2};
    tn_json_begin_array(&w);
    tn_json_copy(&w, root);
    tn_json_end_array(&w); /* the writer's levels are right even when the copy broke off */
    status = tn_strbuf_check(&out, e);
  }
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&out);
  tn_arena_clear(&own);
  return status;
}

static void allocation_failures(void **state) {
  assert_true(fail_each_allocation(parse_and_write, NULL) >= 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(values, clear_arena),
      cmocka_unit_test_teardown(integers_and_doubles, clear_arena),
      cmocka_unit_test_teardown(strings, clear_arena),
      cmocka_unit_test_teardown(string_ends_at_every_offset, clear_arena),
      cmocka_unit_test_teardown(errors_name_line_column_and_wish, clear_arena),
      cmocka_unit_test_teardown(depth_has_a_limit, clear_arena),
      cmocka_unit_test_teardown(bytes_have_a_limit, clear_arena),
      cmocka_unit_test_teardown(repeated_keys, clear_arena),
      cmocka_unit_test_teardown(typed_members, clear_arena),
      cmocka_unit_test_teardown(writes_one_line_or_indented, clear_arena),
      cmocka_unit_test_teardown(conformance_suite, clear_arena),
      cmocka_unit_test_teardown(allocation_failures, clear_arena),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
