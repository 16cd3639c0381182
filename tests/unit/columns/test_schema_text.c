/* Schemas written by people. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include "columns/schema_text.h"

static void expect_back(const char *text, const char *want) {
  ArrowSchema schema;
  tn_arena arena = {0};
  tn_field *root;
  tn_strbuf back = {0};
  OK(tn_schema_of_text(&schema, tn_str_of(text), &problem));
  OK(tn_field_tree(&root, &arena, &schema, &problem));
  tn_schema_text(root, &back);
  assert_string_equal(back.data, want);
  tn_strbuf_clear(&back);
  tn_arena_clear(&arena);
  tn_schema_clear(&schema);
}

static void test_every_type_reads_back(void **state) {
  static const char *const same[] = {
      "a: int8, b: uint8, c: int16, d: uint16, e: int32, f: uint32, g: int64, h: uint64",
      "a: halffloat, b: float, c: double, d: bool, e: null",
      "a: string, b: large_string, c: string_view, d: binary, e: large_binary, f: binary_view",
      "a: fixed_size_binary[16], b: date32[day], c: date64[ms]",
      "a: time32[s], b: time32[ms], c: time64[us], d: time64[ns], e: duration[ms]",
      "a: timestamp[ns], b: timestamp[us, tz=Europe/Berlin], c: timestamp[s, tz=+02:30]",
      "a: decimal32(9, 2), b: decimal64(18, 0), c: decimal128(38, -3), d: decimal256(76, 10)",
      "a: interval[months], b: interval[day_time], c: month_day_nano_interval",
      "a: list<item: int64>, b: large_list<x: string not null>, c: fixed_size_list<item: float>[3]",
      "a: list_view<item: int8>, b: large_list_view<item: int8>",
      "a: struct<x: int32 not null, y: list<item: struct<z: bool>>>, b: struct<>",
      "a: map<string, list<item: double>>, b: dictionary<values=string, indices=int32>",
      "\"a b\": int64, \"say \"\"x\"\"\": string not null, \"\": bool, größe: double",
  };
  for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) expect_back(same[i], same[i]);
}

static void test_short_names(void **state) {
  expect_back("a:text,b : date ,c:time,d:timestamp,e:float64",
              "a: string, b: date32[day], c: time64[us], d: timestamp[us], e: double");
  expect_back("a:decimal(10,2),b:decimal(39,1),c:decimal(5)",
              "a: decimal128(10, 2), b: decimal256(39, 1), c: decimal128(5, 0)");
  expect_back("a: list<int64>, b: list<list<string>>",
              "a: list<item: int64>, b: list<item: list<item: string>>");
}

static void test_mistakes(void **state) {
  static const struct {
    const char *text, *says;
  } bad[] = {
      {"", "byte 0: expected a column's name"},
      {"a", "byte 1: expected ':'"},
      {"a:", "byte 2: expected a type's name"},
      {"a: integr", "byte 3: expected a type's name, found \"integr\""},
      {"a: int64,", "a column's name"},
      {"a: int64 b", "',' or the end"},
      {"a: int64 not", "'null' after 'not'"},
      {"\"a: int64", "closing"},
      {"a: decimal(77, 2)", "a precision"},
      {"a: decimal32(10, 2)", "a precision"},
      {"a: decimal(0)", "a precision"},
      {"a: time32[us]", "a unit"},
      {"a: time32", "'[s]' or '[ms]'"},
      {"a: time64[s]", "a unit"},
      {"a: list<int64", "expected '>'"},
      {"a: dictionary<values=string, indices=string>", "an integer type"},
      {"a: dense_union<a: int8=0>", "a type's name"},
      {"a: fixed_size_binary", "expected '['"},
      {"a: fixed_size_binary[99999999999]", "a number"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    ArrowSchema schema;
    assert_int_equal(tn_schema_of_text(&schema, tn_str_of(bad[i].text), &problem), TN_ERR_ARGUMENT);
    CONTAINS(problem.text, bad[i].says);
    assert_null(schema.release);
  }
  tn_strbuf deep = {0};
  tn_strbuf_add(&deep, "a: ");
  for (int i = 0; i < 70; i++) tn_strbuf_add(&deep, "list<");
  ArrowSchema schema;
  assert_int_equal(tn_schema_of_text(&schema, tn_strbuf_view(&deep), &problem), TN_ERR_LIMIT);
  tn_strbuf_clear(&deep);
}

static tn_status read_one(void *context, tn_error *err) {
  ArrowSchema schema;
  TN_TRY(tn_schema_of_text(
      &schema, TN_STR("a: map<string, list<struct<x: int8, \"y z\": text>>>, b: decimal(9, 2)"),
      err));
  tn_schema_clear(&schema);
  return TN_OK;
}

static void test_out_of_memory(void **state) {
  assert_true(fail_each_allocation(read_one, NULL) > 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_type_reads_back),
      cmocka_unit_test(test_short_names),
      cmocka_unit_test(test_mistakes),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
