/* Variant values: built, shown, cut, hostile; shredded columns put together again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <time.h>

#include "base/random.h"
#include "columns/parquet/variant.h"
#include "columns/schema.h"
#include "columns/value.h"

/* {"a", "b", "long": ...}: names in order, as `sorted` says. */
static const char metadata_abc[] =
    "\x11\x03\x00\x01\x02\x03"
    "abc";
#define METADATA ((tn_str){metadata_abc, sizeof metadata_abc - 1})

static tn_variant_names names_abc(void) {
  tn_variant_names names;
  OK(tn_variant_names_open(&names, METADATA, &problem));
  return names;
}

/* Puts one value, adds what JSON is due. */
static void random_value(uint64_t seed, uint64_t *stream, int depth, tn_parquet_bytes *out,
                         tn_json_writer *w) {
  const char *const names[] = {"a", "b", "c"};
  uint64_t choice = tn_random_below(seed, (*stream)++, 0, depth < 4 ? 8 : 5);
  int64_t number =
      (int64_t)tn_random_u64(seed, *stream, 1) >> tn_random_below(seed, *stream, 2, 64);
  tn_str bytes = {(const char *)&number, sizeof number};
  char text[100];
  size_t start = out->length;
  tn_variant_entry entries[8];
  uint32_t count = 0;
  switch (choice) {
    case 0:
      OK(tn_variant_put(out, TN_VARIANT_NULL, (tn_str){0}, 0, &problem));
      tn_json_null(w);
      break;
    case 1:
      OK(tn_variant_put(out, TN_VARIANT_TRUE, (tn_str){0}, 0, &problem));
      tn_json_bool(w, true);
      break;
    case 2:
    case 3:
      OK(tn_variant_put(out, TN_VARIANT_INT64, bytes, 0, &problem));
      tn_json_i64(w, number);
      break;
    case 4:
      memset(text, 'x', sizeof text);
      bytes = (tn_str){text, (size_t)tn_random_below(seed, *stream, 3, sizeof text)};
      OK(tn_variant_put(out, TN_VARIANT_STRING, bytes, 0, &problem));
      tn_json_str(w, bytes);
      break;
    case 5:
    case 6:
      tn_json_begin_object(w);
      for (uint32_t i = 0; i < 3; i++) {
        if (tn_random_below(seed, *stream, 4 + i, 2)) continue;
        entries[count++] = (tn_variant_entry){tn_str_of(names[i]), i, out->length};
        tn_json_key(w, names[i]);
        random_value(seed, stream, depth + 1, out, w);
      }
      tn_json_end_object(w);
      OK(tn_variant_close(out, start, true, entries, count, &problem));
      break;
    default:
      tn_json_begin_array(w);
      for (; count < tn_random_below(seed, *stream, 9, 8); count++) {
        entries[count] = (tn_variant_entry){.start = out->length};
        random_value(seed, stream, depth + 1, out, w);
      }
      tn_json_end_array(w);
      OK(tn_variant_close(out, start, false, entries, count, &problem));
  }
}

static void random_trees(void **state) {
  uint64_t seed = (uint64_t)time(NULL), stream = 0;
  print_message("seed %llu\n", (unsigned long long)seed);
  tn_variant_names names = names_abc();
  for (int i = 0; i < 300; i++) {
    tn_parquet_bytes bytes = {0};
    tn_strbuf want = {0}, got = {0};
    tn_json_writer want_w = {.out = &want}, got_w = {.out = &got};
    random_value(seed, &stream, 0, &bytes, &want_w);
    tn_str value = {(const char *)bytes.data, bytes.length};
    OK(tn_variant_json(&got_w, &names, value, &problem));
    assert_string_equal(got.data, want.data);
    OK(tn_variant_check(&names, value, &problem));
    for (size_t cut = 0; cut < bytes.length && cut < 400; cut++) {
      char *exact = malloc(cut + 1);
      assert_non_null(exact);
      memcpy(exact, bytes.data, cut);
      assert_int_equal(tn_variant_check(&names, (tn_str){exact, cut}, NULL), TN_ERR_DATA);
      free(exact);
    }
    tn_parquet_bytes_clear(&bytes);
    tn_strbuf_clear(&want);
    tn_strbuf_clear(&got);
  }
}

static void shows(const char *bytes, size_t count, const char *json) {
  tn_variant_names names = names_abc();
  tn_strbuf got = {0};
  tn_json_writer w = {.out = &got};
  OK(tn_variant_json(&w, &names, (tn_str){bytes, count}, &problem));
  assert_string_equal(got.data, json);
  tn_strbuf_clear(&got);
}
#define SHOWS(literal, json) shows(literal, sizeof(literal) - 1, json)

static void scalars(void **state) {
  SHOWS("\x00", "null");
  SHOWS("\x08", "false");
  SHOWS("\x0c\xfe", "-2");
  SHOWS("\x10\xff\x7f", "32767");
  SHOWS("\x14\x00\x00\x00\x80", "-2147483648");
  SHOWS("\x1c\x00\x00\x00\x00\x00\x00\xf8\x3f", "1.5");
  SHOWS("\x20\x02\xd2\x04\x00\x00", "12.34");
  SHOWS("\x20\x03\xff\xff\xff\xff", "-0.001");
  SHOWS("\x24\x01\xff\xff\xff\xff\xff\xff\xff\xff", "-0.1");
  SHOWS("\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00",
        "18446744073709551616");
  SHOWS("\x2c\x01\x00\x00\x00", "\"1970-01-02\"");
  SHOWS("\x30\x00\x00\x00\x00\x00\x00\x00\x00", "\"1970-01-01T00:00:00Z\"");
  SHOWS("\x34\x00\x00\x00\x00\x00\x00\x00\x00", "\"1970-01-01T00:00:00\"");
  SHOWS("\x38\x00\x00\x00\x3f", "0.5");
  SHOWS(
      "\x3c\x03\x00\x00\x00"
      "abc",
      "\"YWJj\"");
  SHOWS(
      "\x40\x02\x00\x00\x00"
      "hi",
      "\"hi\"");
  SHOWS("\x09hi", "\"hi\"");
  SHOWS("\x44\x01\x00\x00\x00\x00\x00\x00\x00", "\"00:00:00.000001\"");
  SHOWS("\x48\x01\x00\x00\x00\x00\x00\x00\x00", "\"1970-01-01T00:00:00.000000001Z\"");
  SHOWS("\x50\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        "\"00010203-0405-0607-0809-0a0b0c0d0e0f\"");
  /* {"a": 1, "b": [true]}, the values in another order than the fields */
  SHOWS("\x02\x02\x00\x01\x05\x00\x07\x03\x01\x00\x01\x04\x0c\x01", "{\"a\":1,\"b\":[true]}");
}

static void refused(const char *bytes, size_t count, const char *what) {
  tn_variant_names names = names_abc();
  assert_int_not_equal(tn_variant_check(&names, (tn_str){bytes, count}, &problem), TN_OK);
  CONTAINS(problem.text, what);
}
#define REFUSED(literal, what) refused(literal, sizeof(literal) - 1, what)

static void hostile_values(void **state) {
  REFUSED("", "0 bytes");
  REFUSED("\x54", "type number 21");
  REFUSED("\x20\x27\x00\x00\x00\x00", "scale 39");
  REFUSED("\x05\xff", "UTF-8");
  REFUSED("\x02\x01\x03\x00\x01\x00", "name number 3");
  REFUSED("\x02\x02\x00\x00\x00\x01\x02\x00\x00", "two fields named \"a\"");
  REFUSED("\x02\x03\x01\x00\x01\x00\x01\x02\x03\x00\x00\x00", "two fields named \"b\"");
  REFUSED("\x03\x01\x01\x01\x00", "begins at byte");
  REFUSED("\x13\xff\xff\xff\xff\x00\x00", "cut");
}

/* Arrays in arrays, each item of one pointing at the next twice: 2^50 values in 300 bytes. */
static void bombs(void **state) {
  tn_variant_names names = names_abc();
  uint8_t bytes[600];
  size_t at = sizeof bytes;
  bytes[--at] = 0;
  for (int level = 0; level < 50; level++) {
    uint8_t inner = (uint8_t)(sizeof bytes - at > 255 ? 255 : sizeof bytes - at);
    if (inner == 255) break;
    const uint8_t head[] = {3, 2, 0, 0, inner};
    at -= sizeof head;
    memcpy(bytes + at, head, sizeof head);
  }
  tn_str value = {(const char *)bytes + at, sizeof bytes - at};
  assert_int_equal(tn_variant_check(&names, value, &problem), TN_ERR_DATA);
  CONTAINS(problem.text, "overlap");
  /* Deeper than the limit, with three bytes of header a level. */
  static uint8_t deep[4 * 100 + 1];
  at = sizeof deep;
  deep[--at] = 0;
  for (uint32_t level = 0; level < 62; level++) {
    const uint8_t head[] = {3, 1, 0, (uint8_t)(sizeof deep - at)};
    at -= sizeof head;
    memcpy(deep + at, head, sizeof head);
  }
  value = (tn_str){(const char *)deep + at, sizeof deep - at};
  assert_int_equal(tn_variant_check(&names, value, &problem), TN_ERR_LIMIT);
  CONTAINS(problem.text, "deeper than 60");
}

static void broken_metadata(void **state) {
  tn_variant_names names;
  const char *const broken[] = {"\x02\x00",          "\x01\x01",     "\x01\x02\x02\x01\x00zz",
                                "\x01\x01\x00\x02z", "\xc1\xff\xff", "\x01\x01\x00\x01\xff"};
  const size_t lengths[] = {2, 2, 7, 5, 3, 5};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    assert_int_not_equal(tn_variant_names_open(&names, (tn_str){broken[i], lengths[i]}, &problem),
                         TN_OK);
  }
  names = names_abc();
  assert_int_equal(tn_variant_name_find(&names, TN_STR("b")), 1);
  assert_int_equal(tn_variant_name_find(&names, TN_STR("bb")), -1);
  OK(tn_variant_names_open(&names,
                           (tn_str){"\x01\x02\x00\x01\x02"
                                    "ba",
                                    7},
                           &problem));
  assert_int_equal(tn_variant_name_find(&names, TN_STR("a")), 1); /* not sorted */
}

static void random_bytes(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  tn_variant_names names = names_abc();
  for (uint64_t i = 0; i < 30000; i++) {
    uint8_t bytes[48];
    size_t count = tn_random_below(seed, i, 0, sizeof bytes + 1);
    for (size_t k = 0; k < count; k++) {
      bytes[k] = (uint8_t)(tn_random_u64(seed, i, k + 1) & (k % 3 ? 7 : 255));
    }
    tn_str value = {(const char *)bytes, count};
    tn_strbuf text = {0};
    tn_json_writer w = {.out = &text};
    tn_variant_names other;
    tn_status checked = tn_variant_check(&names, value, NULL);
    assert_int_equal(tn_variant_json(&w, &names, value, NULL), checked);
    if (tn_variant_names_open(&other, value, NULL) == TN_OK) {
      for (uint32_t k = 0; k < other.count; k++) tn_variant_name(&other, k);
    }
    tn_strbuf_clear(&text);
  }
}

/* ---- shredding ------------------------------------------------------------------------------- */

/* struct<metadata: binary, value: binary, typed_value: struct<a: struct<value, typed_value: int64>,
 * b: struct<value, typed_value: list<element: struct<value, typed_value: string>>>>> */
static void pair_schema(ArrowSchema *out, const char *name, const char *typed) {
  OK(tn_schema_init(out, "+s", name, 0, &problem));
  OK(tn_schema_add_children(out, 2, &problem));
  OK(tn_schema_init(out->children[0], "z", "value", ARROW_FLAG_NULLABLE, &problem));
  OK(tn_schema_init(out->children[1], typed, "typed_value", ARROW_FLAG_NULLABLE, &problem));
}

static void stored_schema(ArrowSchema *out) {
  OK(tn_schema_init(out, "+s", "v", ARROW_FLAG_NULLABLE, &problem));
  OK(tn_schema_add_children(out, 3, &problem));
  OK(tn_schema_init(out->children[0], "z", "metadata", 0, &problem));
  OK(tn_schema_init(out->children[1], "z", "value", ARROW_FLAG_NULLABLE, &problem));
  ArrowSchema *typed = out->children[2];
  OK(tn_schema_init(typed, "+s", "typed_value", ARROW_FLAG_NULLABLE, &problem));
  OK(tn_schema_add_children(typed, 2, &problem));
  pair_schema(typed->children[0], "a", "l");
  pair_schema(typed->children[1], "b", "+l");
  ArrowSchema *list = typed->children[1]->children[1];
  OK(tn_schema_add_children(list, 1, &problem));
  pair_schema(list->children[0], "element", "u");
}

typedef struct shredded {
  ArrowSchema schema;
  tn_arena arena;
  tn_field *field;
  tn_builder *b, *metadata, *value, *typed, *a, *list, *element;
} shredded;

static void open_shredded(shredded *s) {
  stored_schema(&s->schema);
  OK(tn_field_tree(&s->field, &s->arena, &s->schema, &problem));
  OK(tn_builder_new_field(&s->b, s->field, &problem));
  s->metadata = tn_builder_child(s->b, 0);
  s->value = tn_builder_child(s->b, 1);
  s->typed = tn_builder_child(s->b, 2);
  s->a = tn_builder_child(s->typed, 0);
  s->list = tn_builder_child(s->typed, 1);
  s->element = tn_builder_child(tn_builder_child(s->list, 1), 0);
}

static void close_shredded(shredded *s) {
  tn_builder_free(s->b);
  tn_arena_clear(&s->arena);
  tn_schema_clear(&s->schema);
}

/* NULL: a null. */
static void put(tn_builder *b, const char *bytes, size_t count) {
  if (bytes) {
    OK(tn_builder_append_str(b, (tn_str){bytes, count}, &problem));
  } else {
    OK(tn_builder_append_null(b, &problem));
  }
}

static void put_a(shredded *s, const char *value, size_t count, const int64_t *typed) {
  put(tn_builder_child(s->a, 0), value, count);
  if (typed) {
    OK(tn_builder_append_i64(tn_builder_child(s->a, 1), *typed, &problem));
  } else {
    OK(tn_builder_append_null(tn_builder_child(s->a, 1), &problem));
  }
  OK(tn_builder_end_struct(s->a, &problem));
}

static void put_element(shredded *s, const char *value, size_t count, const char *text) {
  put(tn_builder_child(s->element, 0), value, count);
  put(tn_builder_child(s->element, 1), text, text ? strlen(text) : 0);
  OK(tn_builder_end_struct(s->element, &problem));
}

static void end_b(shredded *s, bool list) {
  put(tn_builder_child(s->list, 0), NULL, 0);
  if (list) {
    OK(tn_builder_end_list(tn_builder_child(s->list, 1), &problem));
  } else {
    OK(tn_builder_append_null(tn_builder_child(s->list, 1), &problem));
  }
  OK(tn_builder_end_struct(s->list, &problem));
}

static void end_row(shredded *s, const char *value, size_t count, bool typed) {
  OK(tn_builder_append_str(s->metadata, METADATA, &problem));
  put(s->value, value, count);
  if (typed) {
    OK(tn_builder_end_struct(s->typed, &problem));
  } else {
    OK(tn_builder_append_null(s->typed, &problem));
  }
  OK(tn_builder_end_struct(s->b, &problem));
}

static const char *const expected[] = {
    "{\"a\":7,\"b\":[\"x\",null,\"y\"],\"c\":true}", "{}", "\"hi\"", NULL, "null", "{\"a\":false}"};

static void six_rows(shredded *s) {
  const int64_t seven = 7;
  put_a(s, NULL, 0, &seven); /* partially shredded: c is left over, and an `a` that is ignored */
  put_element(s, NULL, 0, "x");
  put_element(s, "\0", 1, NULL);
  put_element(s, NULL, 0, "y");
  end_b(s, true);
  end_row(s, "\x02\x02\x00\x02\x01\x00\x02\x04\x08", 9, true);
  put_a(s, NULL, 0, NULL); /* an object without a field */
  end_b(s, false);
  end_row(s, NULL, 0, true);
  end_row(s, "\x09hi", 3, false); /* not an object */
  OK(tn_builder_append_null(s->b, &problem));
  end_row(s, NULL, 0, false); /* missing: null */
  put_a(s, "\x08", 1, NULL);  /* a field of another type than its column */
  end_b(s, false);
  end_row(s, NULL, 0, true);
}

static void check_rows(shredded *s, const ArrowArray *stored, int64_t from) {
  for (int as_json = 0; as_json < 2; as_json++) {
    tn_variant_plan *plan = NULL;
    ArrowArray out;
    ArrowSchema schema;
    tn_field *field;
    OK(tn_variant_plan_new(&plan, s->field, as_json, &problem));
    assert_true(tn_variant_plan_is_shredded(plan));
    OK(tn_variant_plan_run(plan, stored, from, 6 - from, &out, &problem));
    OK(tn_variant_schema(&schema, s->field, as_json, &problem));
    OK(tn_field_tree(&field, &s->arena, &schema, &problem));
    assert_int_equal(out.length, 6 - from);
    for (int64_t i = 0; i < out.length; i++) {
      const char *want = expected[from + i];
      assert_int_equal(tn_value_is_null(field, &out, i), !want);
      if (!want) continue;
      tn_strbuf text = {0};
      if (as_json) {
        tn_value_text(field, &out, i, &text);
      } else {
        tn_json_writer w = {.out = &text};
        tn_variant_names names;
        OK(tn_variant_names_open(&names, tn_value_bytes(&field->children[0], out.children[0], i),
                                 &problem));
        OK(tn_variant_json(&w, &names, tn_value_bytes(&field->children[1], out.children[1], i),
                           &problem));
      }
      assert_string_equal(text.data, want);
      tn_strbuf_clear(&text);
    }
    tn_schema_clear(&schema);
    tn_array_clear(&out);
    tn_variant_plan_free(plan);
  }
}

static void shredded_rows(void **state) {
  shredded s = {0};
  ArrowArray stored;
  open_shredded(&s);
  six_rows(&s);
  OK(tn_builder_finish(s.b, &stored, &problem));
  check_rows(&s, &stored, 0);
  check_rows(&s, &stored, 2);
  stored.offset = 1, stored.length = 5; /* a slice */
  tn_variant_plan *plan = NULL;
  ArrowArray out;
  OK(tn_variant_plan_new(&plan, s.field, true, &problem));
  OK(tn_variant_plan_run(plan, &stored, 0, 5, &out, &problem));
  const char *text = (const char *)out.buffers[2];
  assert_memory_equal(text, "{}\"hi\"null{\"a\":false}", 21);
  tn_array_clear(&out);
  tn_variant_plan_free(plan);
  tn_array_clear(&stored);
  close_shredded(&s);
}

typedef struct plan_work {
  const tn_field *field;
  const ArrowArray *stored;
} plan_work;

static tn_status run_plan(void *context, tn_error *err) {
  const plan_work *work = context;
  tn_variant_plan *plan = NULL;
  ArrowArray out = {0};
  TN_TRY(tn_variant_plan_new(&plan, work->field, true, err));
  tn_status status = tn_variant_plan_run(plan, work->stored, 0, work->stored->length, &out, err);
  tn_array_clear(&out);
  tn_variant_plan_free(plan);
  return status;
}

static void shredded_without_memory(void **state) {
  shredded s = {0};
  ArrowArray stored;
  open_shredded(&s);
  six_rows(&s);
  OK(tn_builder_finish(s.b, &stored, &problem));
  plan_work work = {s.field, &stored};
  assert_true(fail_each_allocation(run_plan, &work) > 5);
  tn_array_clear(&stored);
  close_shredded(&s);
}

static void one_bad_row(const char *value, size_t count, bool element_conflict, const char *what) {
  shredded s = {0};
  ArrowArray stored, out;
  tn_variant_plan *plan = NULL;
  open_shredded(&s);
  put_a(&s, NULL, 0, NULL);
  if (element_conflict) put_element(&s, "\0", 1, "x");
  end_b(&s, element_conflict);
  end_row(&s, value, count, true);
  OK(tn_builder_finish(s.b, &stored, &problem));
  OK(tn_variant_plan_new(&plan, s.field, false, &problem));
  assert_int_equal(tn_variant_plan_run(plan, &stored, 0, 1, &out, &problem), TN_ERR_DATA);
  CONTAINS(problem.text, "row 0: ");
  CONTAINS(problem.text, what);
  tn_variant_plan_free(plan);
  tn_array_clear(&stored);
  close_shredded(&s);
}

static void bad_rows(void **state) {
  one_bad_row("\x09hi", 3, false, "no object");
  one_bad_row(NULL, 0, true, "both a value and a typed_value");
  one_bad_row("\x02\x01\x07\x00\x01\x00", 6, false, "name number 7");
}

static void types_that_cannot_be(void **state) {
  const char *const formats[] = {"I", "w:4", "w:16", "tts", "tsm:", "e"};
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    ArrowSchema schema;
    tn_arena arena = {0};
    tn_field *field;
    tn_variant_plan *plan = NULL;
    OK(tn_schema_init(&schema, "+s", "v", 0, &problem));
    OK(tn_schema_add_children(&schema, 2, &problem));
    OK(tn_schema_init(schema.children[0], "z", "metadata", 0, &problem));
    OK(tn_schema_init(schema.children[1], formats[i], "typed_value", 0, &problem));
    OK(tn_field_tree(&field, &arena, &schema, &problem));
    assert_int_equal(tn_variant_plan_new(&plan, field, false, &problem), TN_ERR_UNSUPPORTED);
    CONTAINS(problem.text, "cannot be shredded to");
    tn_arena_clear(&arena);
    tn_schema_clear(&schema);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_trees),    cmocka_unit_test(scalars),
      cmocka_unit_test(hostile_values),  cmocka_unit_test(bombs),
      cmocka_unit_test(broken_metadata), cmocka_unit_test(random_bytes),
      cmocka_unit_test(shredded_rows),   cmocka_unit_test(shredded_without_memory),
      cmocka_unit_test(bad_rows),        cmocka_unit_test(types_that_cannot_be),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
