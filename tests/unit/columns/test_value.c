/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "any_array.h"
#include "columns/array.h"
#include "columns/value.h"

typedef struct column {
  any_array any;
  tn_builder *builder;
  ArrowArray array;
} column;

static tn_builder *column_open(column *c, const char *type) {
  memset(c, 0, sizeof *c);
  any_open(&c->any, type);
  OK(tn_builder_new_field(&c->builder, c->any.field, &problem));
  return c->builder;
}

static void column_close(column *c) {
  tn_builder_free(c->builder);
  tn_array_clear(&c->array);
  any_close(&c->any);
}

static void reads(const column *c, int64_t row, const char *text, const char *json) {
  tn_strbuf out = {0};
  tn_json_writer w = {.out = &out};
  tn_value_text(c->any.field, &c->array, row, &out);
  assert_string_equal(out.data ? out.data : "", text);
  tn_strbuf_reset(&out);
  tn_value_json(&w, c->any.field, &c->array, row);
  assert_string_equal(out.data, json);
  tn_strbuf_clear(&out);
}

static void whole_numbers_of_every_type_read(void **state) {
  static const struct {
    const char *type;
    int64_t value;
    const char *text, *json;
  } rows[] = {
      {"b", 1, "true", "true"},
      {"c", -128, "-128", "-128"},
      {"C", 255, "255", "255"},
      {"s", -32768, "-32768", "-32768"},
      {"S", 65535, "65535", "65535"},
      {"i", INT32_MIN, "-2147483648", "-2147483648"},
      {"I", UINT32_MAX, "4294967295", "4294967295"},
      {"l", INT64_MIN, "-9223372036854775808", "-9223372036854775808"},
      {"L", -1, "18446744073709551615", "18446744073709551615"},
      {"d:9,2,32", -1230, "-12.30", "-12.30"},
      {"d:18,0,64", 7, "7", "7"},
      {"d:38,38", 1, "0.00000000000000000000000000000000000001",
       "0.00000000000000000000000000000000000001"},
      {"d:70,-2,256", -5, "-500", "-500"},
      {"tdD", 19782, "2024-02-29", "\"2024-02-29\""},
      {"tdD", -719529, "-0001-12-31", "\"-0001-12-31\""},
      {"tdm", 86400000, "1970-01-02", "\"1970-01-02\""},
      {"tdm", -1, "1969-12-31T23:59:59.999", "\"1969-12-31T23:59:59.999\""},
      {"tts", 86399, "23:59:59", "\"23:59:59\""},
      {"ttm", 250, "00:00:00.250", "\"00:00:00.250\""},
      {"ttu", 45045000001, "12:30:45.000001", "\"12:30:45.000001\""},
      {"ttn", -1, "-00:00:00.000000001", "\"-00:00:00.000000001\""},
      {"tss:", -1, "1969-12-31T23:59:59", "\"1969-12-31T23:59:59\""},
      {"tsm:", 1500, "1970-01-01T00:00:01.500", "\"1970-01-01T00:00:01.500\""},
      {"tsu:UTC", 0, "1970-01-01T00:00:00Z", "\"1970-01-01T00:00:00Z\""},
      {"tsu:Europe/Berlin", 0, "1970-01-01T00:00:00Z", "\"1970-01-01T00:00:00Z\""},
      {"tss:+02:30", 79200, "1970-01-02T00:30:00+02:30", "\"1970-01-02T00:30:00+02:30\""},
      {"tsn:-0800", 1, "1969-12-31T16:00:00.000000001-08:00",
       "\"1969-12-31T16:00:00.000000001-08:00\""},
      {"tss:", INT64_MAX, "292277026596-12-04T15:30:07", "\"292277026596-12-04T15:30:07\""},
      {"tss:-23:59", INT64_MIN, "-292277022657-01-26T08:30:52-23:59",
       "\"-292277022657-01-26T08:30:52-23:59\""},
      {"tDs", -90, "PT-90S", "\"PT-90S\""},
      {"tDn", 1500000000, "PT1.5S", "\"PT1.5S\""},
      {"tDm", INT64_MIN, "PT-9223372036854775.808S", "\"PT-9223372036854775.808S\""},
      {"tiM", -14, "P-14M", "\"P-14M\""},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    column c;
    OK(tn_builder_append_i64(column_open(&c, rows[i].type), rows[i].value, &problem));
    OK(tn_builder_append_null(c.builder, &problem));
    OK(tn_builder_finish(c.builder, &c.array, &problem));
    reads(&c, 0, rows[i].text, rows[i].json);
    reads(&c, 1, "", "null");
    assert_int_equal(tn_value_i64(c.any.field, &c.array, 0), rows[i].value);
    assert_int_equal(tn_value_i64(c.any.field, &c.array, 1), 0);
    assert_false(tn_value_is_null(c.any.field, &c.array, 0));
    assert_true(tn_value_is_null(c.any.field, &c.array, 1));
    column_close(&c);
  }
}

static void real_numbers_read(void **state) {
  static const struct {
    const char *type;
    double value;
    const char *text, *json;
  } rows[] = {
      {"g", 1, "1.0", "1.0"},
      {"g", -0.0, "-0.0", "-0.0"},
      {"g", 0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"},
      {"g", 1e300, "1e+300", "1e+300"},
      {"g", 123456789012, "123456789012.0", "123456789012.0"},
      {"g", 5e-324, "5e-324", "5e-324"},
      {"g", NAN, "nan", "null"},
      {"g", -INFINITY, "-inf", "null"},
      {"f", 0.1, "0.1", "0.1"},
      {"f", 16777216, "16777216.0", "16777216.0"},
      {"f", 3.4028234663852886e38, "3.4028235e+38", "3.4028235e+38"},
      {"e", 0.1, "0.1", "0.1"},
      {"e", 65504, "65504.0", "65504.0"},
      {"e", 0x1p-24, "6e-08", "6e-08"},
      {"f", 1e-30, "1e-30", "1e-30"},
      {"f", 1e6, "1000000.0", "1000000.0"},
      {"e", INFINITY, "inf", "null"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    column c;
    OK(tn_builder_append_f64(column_open(&c, rows[i].type), rows[i].value, &problem));
    OK(tn_builder_finish(c.builder, &c.array, &problem));
    reads(&c, 0, rows[i].text, rows[i].json);
    column_close(&c);
  }
  column c;
  OK(tn_builder_append_f64(column_open(&c, "g"), 1e19, &problem));
  OK(tn_builder_append_f64(c.builder, NAN, &problem));
  OK(tn_builder_append_f64(c.builder, -7.9, &problem));
  OK(tn_builder_finish(c.builder, &c.array, &problem));
  assert_int_equal(tn_value_i64(c.any.field, &c.array, 0), INT64_MAX);
  assert_int_equal(tn_value_i64(c.any.field, &c.array, 1), 0);
  assert_int_equal(tn_value_i64(c.any.field, &c.array, 2), -7);
  column_close(&c);
  OK(tn_builder_append_i64(column_open(&c, "d:20,3,256"), 12345, &problem));
  OK(tn_builder_finish(c.builder, &c.array, &problem));
  assert_true(tn_value_f64(c.any.field, &c.array, 0) == 12.345);
  column_close(&c);
}

static void text_and_binary_of_every_layout_read(void **state) {
  static const char *const types[] = {"u", "U", "vu", "z", "Z", "vz", "w:14"};
  for (int i = 0; i < 7; i++) {
    column c;
    OK(tn_builder_append_str(column_open(&c, types[i]), TN_STR("fourteen \"by\"e"), &problem));
    OK(tn_builder_finish(c.builder, &c.array, &problem));
    reads(&c, 0, "fourteen \"by\"e",
          i < 3 ? "\"fourteen \\\"by\\\"e\"" : "\"Zm91cnRlZW4gImJ5ImU=\"");
    assert_true(tn_str_is(tn_value_bytes(c.any.field, &c.array, 0), "fourteen \"by\"e"));
    column_close(&c);
  }
}

static void intervals_read(void **state) {
  column c;
  int32_t day_time[] = {3, -250};
  struct {
    int32_t months, days;
    int64_t nanos;
  } mixed[] = {{1, -2, 3000000004}, {0, 0, 0}, {0, 5, 0}};
  OK(tn_builder_append_str(column_open(&c, "tiD"), (tn_str){(char *)day_time, 8}, &problem));
  OK(tn_builder_finish(c.builder, &c.array, &problem));
  reads(&c, 0, "P3DT-0.25S", "\"P3DT-0.25S\"");
  column_close(&c);
  column_open(&c, "tin");
  for (int i = 0; i < 3; i++)
    OK(tn_builder_append_str(c.builder, (tn_str){(char *)&mixed[i], 16}, &problem));
  OK(tn_builder_finish(c.builder, &c.array, &problem));
  reads(&c, 0, "P1M-2DT3.000000004S", "\"P1M-2DT3.000000004S\"");
  reads(&c, 1, "PT0S", "\"PT0S\"");
  reads(&c, 2, "P5D", "\"P5D\"");
  column_close(&c);
}

static void nested_values_read_as_json(void **state) {
  column c;
  tn_builder *b = column_open(&c, "+l{item=+s{a=i;b=u}}"), *s = tn_builder_child(b, 0);
  OK(tn_builder_append_i64(tn_builder_child(s, 0), 1, &problem));
  OK(tn_builder_append_str(tn_builder_child(s, 1), TN_STR("x"), &problem));
  OK(tn_builder_end_struct(s, &problem));
  OK(tn_builder_append_null(s, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_finish(b, &c.array, &problem));
  reads(&c, 0, "[{\"a\":1,\"b\":\"x\"},null]", "[{\"a\":1,\"b\":\"x\"},null]");
  reads(&c, 1, "[]", "[]");
  column_close(&c);
  for (int text = 0; text < 2; text++) {
    b = column_open(&c, text ? "+m{e!=+s{k!=c@{u};v=d:5,1}}" : "+m{e!=+s{k!=i;v=d:5,1}}");
    s = tn_builder_child(b, 0);
    tn_builder *keys = tn_builder_child(s, 0), *values = tn_builder_child(s, 1);
    if (text) OK(tn_builder_append_str(tn_builder_dictionary(keys), TN_STR("k\"0"), &problem));
    OK(tn_builder_append_i64(keys, 0, &problem));
    OK(tn_builder_append_i64(values, 25, &problem));
    OK(tn_builder_end_struct(s, &problem));
    OK(tn_builder_append_i64(keys, 0, &problem));
    OK(tn_builder_append_null(values, &problem));
    OK(tn_builder_end_struct(s, &problem));
    OK(tn_builder_end_list(b, &problem));
    OK(tn_builder_finish(b, &c.array, &problem));
    const char *expected = text ? "{\"k\\\"0\":2.5,\"k\\\"0\":null}" : "[[0,2.5],[0,null]]";
    reads(&c, 0, expected, expected);
    column_close(&c);
  }
}

static void numbers_stand_on_lines_of_their_own(void **state) {
  column c;
  tn_builder *b = column_open(&c, "+l{item=i}");
  OK(tn_builder_append_i64(tn_builder_child(b, 0), 1, &problem));
  OK(tn_builder_append_i64(tn_builder_child(b, 0), 2, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_finish(b, &c.array, &problem));
  tn_strbuf out = {0};
  tn_json_writer w = {.out = &out, .indent = 1};
  tn_value_json(&w, c.any.field, &c.array, 0);
  assert_string_equal(out.data, "[\n 1,\n 2\n]");
  tn_strbuf_clear(&out);
  column_close(&c);
}

static void indirect_values_are_found(void **state) {
  column c;
  tn_builder *b = column_open(&c, "+r{r!=i;v=+ud:4,2{a=u;b=c@{vu}}}"), *u = tn_builder_child(b, 1);
  OK(tn_builder_append_str(tn_builder_child(u, 0), TN_STR("plain"), &problem));
  OK(tn_builder_append_union(u, 0, &problem));
  OK(tn_builder_append_run(b, 2, &problem));
  tn_builder *indices = tn_builder_child(u, 1);
  OK(tn_builder_append_null(tn_builder_dictionary(indices), &problem));
  OK(tn_builder_append_str(tn_builder_dictionary(indices), TN_STR("by index"), &problem));
  for (int64_t i = 0; i < 2; i++) {
    OK(tn_builder_append_i64(indices, 1 - i, &problem));
    OK(tn_builder_append_union(u, 1, &problem));
    OK(tn_builder_append_run(b, 3, &problem));
  }
  OK(tn_builder_finish(b, &c.array, &problem));
  static const char *const texts[] = {"plain",    "plain", "by index", "by index",
                                      "by index", "",      "",         ""};
  for (int64_t i = 0; i < 8; i++) {
    tn_strbuf out = {0};
    tn_value_text(c.any.field, &c.array, i, &out);
    assert_string_equal(out.data ? out.data : "", texts[i]);
    tn_strbuf_clear(&out);
    assert_int_equal(tn_value_is_null(c.any.field, &c.array, i), i > 4);
  }
  column_close(&c);
}

/* Every row of a slice reads as the same row of the whole, and all JSON is JSON. */
static void slices_read_as_the_whole(void **state) {
  enum { ROWS = 60, FROM = 13, COUNT = 31 };
  any_array every;
  any_random r = {.seed = 11, .null_percent = 15, .list_max = 4};
  ArrowArray batch, slice;
  tn_shared_array *box;
  tn_strbuf whole = {0}, part = {0};
  any_open(&every, any_type);
  OK(any_make(&batch, every.field, &r, ROWS, &problem));
  OK(tn_shared_array_new(&box, &batch, &problem));
  for (int batch_view = 0; batch_view < 2; batch_view++) {
    OK(batch_view ? tn_shared_batch_view(box, FROM, COUNT, &slice, &problem)
                  : tn_shared_array_view(box, FROM, COUNT, &slice, &problem));
    for (int64_t i = 0; i < COUNT; i++) {
      tn_json_writer w = {.out = &whole}, v = {.out = &part};
      tn_strbuf_reset(&whole);
      tn_strbuf_reset(&part);
      tn_value_json(&w, every.field, tn_shared_array_get(box), FROM + i);
      tn_value_json(&v, every.field, &slice, i);
      assert_string_equal(whole.data, part.data);
      tn_arena arena = {0};
      tn_json *parsed;
      OK(tn_json_parse(&parsed, &arena, tn_strbuf_view(&part), NULL, &problem));
      assert_int_equal(parsed->count, every.field->child_count);
      tn_arena_clear(&arena);
    }
    tn_array_clear(&slice);
  }
  tn_strbuf_clear(&whole);
  tn_strbuf_clear(&part);
  tn_shared_array_drop(box);
  any_close(&every);
}

static void bytes_become_hex_and_base64(void **state) {
  static const char *const base64[] = {"", "AA==", "AP8=", "AP8Q", "AP8Q/w=="};
  static const char *const hex[] = {"", "00", "00ff", "00ff10", "00ff10ff"};
  for (size_t n = 0; n < 5; n++) {
    tn_strbuf out = {0};
    tn_value_add_base64(&out, (tn_str){"\x00\xff\x10\xff", n});
    assert_string_equal(out.data ? out.data : "", base64[n]);
    tn_strbuf_reset(&out);
    tn_value_add_hex(&out, (tn_str){"\x00\xff\x10\xff", n});
    if (n) assert_string_equal(out.data, hex[n]);
    tn_strbuf_clear(&out);
  }
}

static void zones_have_offsets(void **state) {
  static const struct {
    const char *zone;
    int64_t seconds; /* -1: a name */
  } rows[] = {{"UTC", 0},        {"Z", 0},       {"+00:00", 0},  {"+02:30", 9000},
              {"-0800", -28800}, {"+01", 3600},  {"Etc/UTC", 0}, {"Europe/Berlin", -1},
              {"+24:00", -1},    {"+02:60", -1}, {"+2:30", -1},  {"", -1},
              {"+02-30", -1},    {"2:30", -1}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int64_t seconds = 0;
    bool fixed = tn_zone_offset(tn_str_of(rows[i].zone), &seconds);
    assert_int_equal(fixed ? seconds : -1, rows[i].seconds);
  }
}

static tn_status read_every_type(void *context, tn_error *err) {
  const column *c = context;
  tn_strbuf out = {0};
  for (int64_t i = 0; i < c->array.length; i++) tn_value_text(c->any.field, &c->array, i, &out);
  tn_status status = tn_strbuf_check(&out, err);
  tn_strbuf_clear(&out);
  return status;
}

static void every_allocation_may_fail(void **state) {
  column c;
  any_random r = {.seed = 2, .null_percent = 10, .list_max = 2};
  column_open(&c, any_type);
  OK(any_make(&c.array, c.any.field, &r, 3, &problem));
  assert_true(fail_each_allocation(read_every_type, &c) > 3);
  column_close(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_numbers_of_every_type_read),
      cmocka_unit_test(real_numbers_read),
      cmocka_unit_test(text_and_binary_of_every_layout_read),
      cmocka_unit_test(intervals_read),
      cmocka_unit_test(nested_values_read_as_json),
      cmocka_unit_test(numbers_stand_on_lines_of_their_own),
      cmocka_unit_test(indirect_values_are_found),
      cmocka_unit_test(slices_read_as_the_whole),
      cmocka_unit_test(bytes_become_hex_and_base64),
      cmocka_unit_test(zones_have_offsets),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
