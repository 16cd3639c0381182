/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "any_array.h"
#include "columns/array.h"
#include "columns/equal.h"
#include "columns/gather.h"
#include "columns/validate.h"

static void good_arrays_pass(void **state) {
  any_array every;
  any_open(&every, any_type);
  for (uint64_t seed = 0; seed < 20; seed++) {
    any_random r = {.seed = seed, .null_percent = 20, .list_max = 4};
    ArrowArray batch, slice, empty;
    tn_shared_array *box;
    OK(any_make(&batch, every.field, &r, 60, &problem));
    OK(tn_array_validate(every.field, &batch, true, &problem));
    OK(tn_shared_array_new(&box, &batch, &problem));
    OK(tn_shared_batch_view(box, 11, 30, &slice, &problem));
    OK(tn_array_validate(every.field, &slice, true, &problem));
    tn_array_clear(&slice);
    OK(tn_shared_array_view(box, 60, 0, &slice, &problem));
    OK(tn_array_validate(every.field, &slice, true, &problem));
    tn_array_clear(&slice);
    tn_shared_array_drop(box);
    OK(any_make(&empty, every.field, &r, 0, &problem));
    OK(tn_array_validate(every.field, &empty, true, &problem));
    tn_array_clear(&empty);
  }
  any_close(&every);
}

/* What is done to an array of 8 rows without nulls; `buffer` is the one that is written to. */
typedef void harm(ArrowArray *a);
#define AT(type, a, buffer) ((type *)(uintptr_t)(a)->buffers[buffer])
static void no_release(ArrowArray *a) { /* put back by the test */
  a->release = NULL;
}
static void negative_length(ArrowArray *a) {
  a->length = -1;
}
static void negative_offset(ArrowArray *a) {
  a->offset = -1;
}
static void endless(ArrowArray *a) {
  a->offset = INT64_MAX - 3;
}
static void too_many_nulls(ArrowArray *a) {
  a->null_count = 9;
}
static void nulls_without_bitmap(ArrowArray *a) {
  a->null_count = 1;
}
static void fewer_buffers(ArrowArray *a) {
  a->n_buffers--;
}
static void no_values(ArrowArray *a) {
  a->buffers[1] = NULL;
}
static void fewer_children(ArrowArray *a) {
  a->n_children--;
}
static void no_dictionary(ArrowArray *a) {
  a->dictionary = NULL;
}
static void longer(ArrowArray *a) {
  a->length++;
}
static void moved_on(ArrowArray *a) {
  a->offset++;
}
static void offset_back(ArrowArray *a) {
  AT(int32_t, a, 1)[5] = AT(int32_t, a, 1)[4] - 1;
}
static void offset_negative(ArrowArray *a) {
  AT(int32_t, a, 1)[0] = -1;
}
static void offset_beyond(ArrowArray *a) {
  AT(int32_t, a, 1)[8] = 1000;
}
static void large_offset_beyond(ArrowArray *a) {
  AT(int64_t, a, 1)[8] = (int64_t)1 << 40;
}
static void size_negative(ArrowArray *a) {
  AT(int32_t, a, 2)[3] = -1;
}
static void size_beyond(ArrowArray *a) {
  AT(int32_t, a, 2)[7] = INT32_MAX;
}
static void no_bytes(ArrowArray *a) {
  a->buffers[2] = NULL;
}
static void view_negative(ArrowArray *a) {
  AT(int32_t, a, 1)[0] = -1;
}
static void view_long_beyond(ArrowArray *a) {
  AT(int32_t, a, 1)[0] = 1 << 20;
}
static void view_other_buffer(ArrowArray *a) {
  AT(int32_t, a, 1)[2] = 1;
}
static void view_before(ArrowArray *a) {
  AT(int32_t, a, 1)[3] = -1;
}
static void view_prefix(ArrowArray *a) {
  AT(char, a, 1)[4] ^= 1;
}
static void code_of_none(ArrowArray *a) {
  AT(int8_t, a, 0)[6] = 99;
}
static void code_negative(ArrowArray *a) {
  AT(int8_t, a, 0)[6] = -5;
}
static void value_beyond(ArrowArray *a) {
  AT(int32_t, a, 1)[6] = 8;
}
static void value_before(ArrowArray *a) {
  AT(int32_t, a, 1)[6] = -1;
}
static void run_back(ArrowArray *a) {
  AT(int16_t, a->children[0], 1)[1] = AT(int16_t, a->children[0], 1)[0];
}
static void run_short(ArrowArray *a) {
  a->children[0]->length--;
}
static void values_short(ArrowArray *a) {
  a->children[1]->length--;
}
static void index_beyond(ArrowArray *a) {
  AT(int8_t, a, 1)[2] = 100;
}
static void index_negative(ArrowArray *a) {
  AT(int8_t, a, 1)[2] = -1;
}
static void not_utf8(ArrowArray *a) {
  AT(char, a, 2)[0] = (char)0xFF;
}
static void cut_character(ArrowArray *a) { /* "é" becomes two rows of one byte each */
  AT(int32_t, a, 1)[1] = 1;
}

/* Eight rows: every text is `text`, every other value small. */
static tn_status eight(tn_builder *b, const tn_field *f, const char *text, tn_error *err) {
  for (int i = 0; i < 8; i++) {
    any_random r = {.seed = (uint64_t)i, .list_max = 2};
    if (tn_type_is_text(f->type.id) && !f->dictionary)
      TN_TRY(tn_builder_append_str(b, tn_str_of(text), err));
    else
      TN_TRY(any_append(b, f, &r, err));
  }
  return TN_OK;
}

static void harm_is_found(void **state) {
  static const struct {
    const char *type, *text;
    harm *harm;
    const char *message;
  } rows[] = {
      {"i", "", no_release, "released"},
      {"i", "", negative_length, "length -1"},
      {"i", "", negative_offset, "offset -1"},
      {"i", "", endless, "ends at"},
      {"i", "", too_many_nulls, "9 nulls in 8 rows"},
      {"i", "", nulls_without_bitmap, "buffer 0 is missing"},
      {"i", "", fewer_buffers, "1 buffers, expected 2"},
      {"vu", "", fewer_buffers, "2 buffers, expected 3 or more"},
      {"i", "", no_values, "buffer 1 is missing"},
      {"+s{a=i;b=i}", "", fewer_children, "1 children, expected 2"},
      {"+s{a=i;b=i}", "", longer, "child \"a\" has 8 rows, 9 are needed"},
      {"+s{a=i;b=i}", "", moved_on, "child \"a\" has 8 rows, 9 are needed"},
      {"+w:2{item=i}", "", longer, "child \"item\" has 16 rows, 18 are needed"},
      {"+us:1,2{a=i;b=i}", "", longer, "child \"a\" has 8 rows, 9 are needed"},
      {"c@{u}", "", no_dictionary, "without their dictionary"},
      {"u", "word", offset_back, "row 5: offset 15 behind 16"},
      {"u", "word", offset_negative, "offset -1 behind 0"},
      {"u", "word", no_bytes, "without a buffer of bytes"},
      {"+l{item=i}", "", offset_back, "behind"},
      {"+l{item=i}", "", offset_beyond, "offsets reach 1000"},
      {"+L{item=i}", "", large_offset_beyond, "offsets reach 1099511627776"},
      {"+m{e!=+s{k!=i;v=i}}", "", offset_beyond, "offsets reach 1000"},
      {"+vl{item=i}", "", size_negative, "row 3"},
      {"+vl{item=i}", "", size_beyond, "2147483647 more"},
      {"vu", "a view of long text", view_negative, "text of -1 bytes"},
      {"vu", "a view of long text", view_long_beyond, "are outside"},
      {"vu", "a view of long text", view_other_buffer, "data buffer 1 are outside"},
      {"vu", "a view of long text", view_before, "at -1 of"},
      {"vu", "a view of long text", view_prefix, "prefix"},
      {"+us:1,2{a=i;b=i}", "", code_of_none, "row 6: type code 99"},
      {"+ud:1,2{a=i;b=i}", "", code_negative, "type code -5"},
      {"+ud:1,2{a=i;b=i}", "", value_beyond, "row 6: value 8 of child"},
      {"+ud:1,2{a=i;b=i}", "", value_before, "value -1 of child"},
      {"+r{run_ends!=s;values=i}", "", run_back, "run 1 ends at 1"},
      {"+r{run_ends!=s;values=i}", "", run_short, "runs end at 7, rows 0 to 8"},
      {"+r{run_ends!=s;values=i}", "", values_short, "child \"values\" has 7 rows, 8 are needed"},
      {"c@{u}", "", index_beyond, "row 2: index 100 of a dictionary"},
      {"c@{u}", "", index_negative, "row 2: index -1"},
      {"u", "word", not_utf8, "row 0: text that is not UTF-8"},
      {"u", "\xc3\xa9", cut_character, "row 0: text that is not UTF-8"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    any_array a;
    tn_builder *b;
    ArrowArray array, harmed;
    tn_error err = {0};
    any_open(&a, rows[i].type);
    OK(tn_builder_new_field(&b, a.field, &problem));
    OK(eight(b, a.field, rows[i].text, &problem));
    OK(tn_builder_finish(b, &array, &problem));
    tn_builder_free(b);
    OK(tn_array_validate(a.field, &array, true, &problem));
    const void *buffers[4];
    ArrowArray children[2];
    for (int64_t k = 0; k < array.n_buffers; k++) buffers[k] = array.buffers[k];
    for (int64_t k = 0; k < array.n_children; k++) children[k] = *array.children[k];
    harmed = array;
    rows[i].harm(&harmed);
    if (tn_array_validate(a.field, &harmed, true, &err) != TN_ERR_DATA)
      fail_msg("row %zu passed: %s", i, rows[i].message);
    CONTAINS(err.text, rows[i].message);
    for (int64_t k = 0; k < array.n_buffers; k++) array.buffers[k] = buffers[k];
    for (int64_t k = 0; k < array.n_children; k++) *array.children[k] = children[k];
    tn_array_clear(&array);
    any_close(&a);
  }
}

static void errors_name_the_path(void **state) {
  any_array a;
  tn_builder *b;
  ArrowArray array;
  tn_error err = {0};
  any_random r = {.seed = 1, .list_max = 3};
  any_open(&a, "+s{a=+l{item=+s{b=c@{u}}}}");
  OK(tn_builder_new_field(&b, a.field, &problem));
  for (int i = 0; i < 9; i++) OK(any_append(b, a.field, &r, &problem));
  OK(tn_builder_finish(b, &array, &problem));
  tn_builder_free(b);
  AT(int8_t, array.children[0]->children[0]->children[0], 1)[0] = 120;
  assert_int_equal(tn_array_validate(a.field, &array, false, &err), TN_ERR_DATA);
  CONTAINS(err.text, "\"a\": \"item\": \"b\": row 0: index 120");
  tn_array_clear(&array);
  any_close(&a);
}

static void what_nulls_hide_is_allowed(void **state) {
  any_array a;
  tn_builder *b;
  ArrowArray array;
  static const char *const types[] = {"c@{u}", "vu", "u", "+vl{item=i}"};
  for (int t = 0; t < 4; t++) {
    any_open(&a, types[t]);
    OK(tn_builder_new_field(&b, a.field, &problem));
    OK(tn_builder_append_null(b, &problem));
    if (t == 2) OK(tn_builder_append_str(b, TN_STR("\xc3\xa9"), &problem));
    OK(tn_builder_finish(b, &array, &problem));
    tn_builder_free(b);
    if (t == 0) AT(int8_t, &array, 1)[0] = 77;
    if (t == 1) memset(AT(char, &array, 1), 0x77, 16);
    if (t == 2) AT(int32_t, &array, 1)[1] = 1; /* half a character under the null ... */
    if (t == 2) AT(char, &array, 2)[1] = 'x';  /* ... and the other row is whole */
    if (t == 3) AT(int32_t, &array, 2)[0] = 77;
    OK(tn_array_validate(a.field, &array, true, &problem));
    tn_array_clear(&array);
    any_close(&a);
  }
}

/* ---- equality ---- */
static void layouts_do_not_matter(void **state) {
  any_array every, plain = {0};
  any_random r = {.seed = 31, .null_percent = 15, .list_max = 3};
  ArrowArray batch, copy, out;
  const ArrowArray *pointer = &batch;
  any_open(&every, any_type);
  OK(any_make(&batch, every.field, &r, 100, &problem));
  OK(tn_array_concat(&copy, every.field, &pointer, 1, &problem));
  assert_int_equal(tn_array_difference(every.field, &batch, every.field, &copy), -1);
  OK(tn_plain_schema(&plain.schema, &every.schema, &problem));
  OK(tn_field_tree(&plain.field, &plain.arena, &plain.schema, &problem));
  OK(tn_array_plain(&out, every.field, &copy, &problem));
  OK(tn_array_validate(plain.field, &out, true, &problem));
  assert_true(tn_array_equal(every.field, &batch, plain.field, &out));
  for (int64_t c = 0; c < out.n_children; c++) { /* one changed row is found, in every column */
    const tn_field *f = &every.field->children[c];
    int64_t rows[100];
    ArrowArray other;
    for (int64_t i = 0; i < 100; i++) rows[i] = i == 73 ? (i + 1) % 100 : i;
    while (rows[73] < 99) { /* a row that reads differently */
      int64_t one[] = {73}, another[] = {rows[73]};
      ArrowArray x, y;
      OK(tn_array_gather(&x, f, batch.children[c], one, 1, &problem));
      OK(tn_array_gather(&y, f, batch.children[c], another, 1, &problem));
      bool same = tn_array_equal(f, &x, f, &y);
      tn_array_clear(&x);
      tn_array_clear(&y);
      if (!same) break;
      rows[73]++;
    }
    if (rows[73] == 99) continue; /* all alike: null, nothing */
    OK(tn_array_gather(&other, f, batch.children[c], rows, 100, &problem));
    assert_int_equal(tn_array_difference(f, batch.children[c], f, &other), 73);
    tn_array_clear(&other);
  }
  tn_array_clear(&batch);
  tn_array_clear(&out);
  any_close(&plain);
  any_close(&every);
}

static void one_of(ArrowArray *out, any_array *a, const char *type, int64_t value, double real) {
  tn_builder *b;
  any_open(a, type);
  OK(tn_builder_new_field(&b, a->field, &problem));
  if (tn_type_is_real(a->field->type.id))
    OK(tn_builder_append_f64(b, real, &problem));
  else
    OK(tn_builder_append_i64(b, value, &problem));
  OK(tn_builder_finish(b, out, &problem));
  tn_builder_free(b);
}

static void types_and_values_matter(void **state) {
  static const struct {
    const char *a, *b;
    double x, y;
    bool same;
  } rows[] = {
      {"g", "g", 0.0, -0.0, false},     {"g", "g", NAN, -NAN, true},
      {"g", "g", 1, NAN, false},        {"i", "i", 1, 1, true},
      {"i", "i", 1, 2, false},          {"i", "l", 1, 1, false},
      {"f", "g", 1, 1, false},          {"i", "g", 1, 1, false},
      {"tsm:", "tsm:", 1, 1, true},     {"tsm:", "tsu:", 1, 1, false},
      {"tsm:", "tsm:UTC", 1, 1, false}, {"d:9,2,32", "d:30,2", -5, -5, true},
      {"d:9,2", "d:9,3", 5, 5, false},  {"d:9,2,32", "d:70,2,256", -5, -6, false},
      {"tdD", "i", 1, 1, false},        {"b", "b", 1, 0, false},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    any_array a, b;
    ArrowArray x, y;
    one_of(&x, &a, rows[i].a, isnan(rows[i].x) ? 0 : (int64_t)rows[i].x, rows[i].x);
    one_of(&y, &b, rows[i].b, isnan(rows[i].y) ? 0 : (int64_t)rows[i].y, rows[i].y);
    if (tn_array_equal(a.field, &x, b.field, &y) != rows[i].same) fail_msg("row %zu", i);
    x.length = 0;
    assert_int_equal(tn_array_difference(a.field, &x, b.field, &y), 0); /* shorter */
    tn_array_clear(&x);
    tn_array_clear(&y);
    any_close(&a);
    any_close(&b);
  }
}

static void codes_of_unions_matter(void **state) {
  any_array a;
  ArrowArray x[2];
  any_open(&a, "+us:1,2{a=i;b=i}");
  for (int64_t k = 0; k < 2; k++) {
    tn_builder *b;
    OK(tn_builder_new_field(&b, a.field, &problem));
    OK(tn_builder_append_i64(tn_builder_child(b, k), 5, &problem));
    OK(tn_builder_append_union(b, k, &problem));
    OK(tn_builder_finish(b, &x[k], &problem));
    tn_builder_free(b);
  }
  assert_true(tn_array_equal(a.field, &x[0], a.field, &x[0]));
  assert_false(tn_array_equal(a.field, &x[0], a.field, &x[1]));
  tn_array_clear(&x[0]);
  tn_array_clear(&x[1]);
  any_close(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_arrays_pass),       cmocka_unit_test(harm_is_found),
      cmocka_unit_test(errors_name_the_path),   cmocka_unit_test(what_nulls_hide_is_allowed),
      cmocka_unit_test(layouts_do_not_matter),  cmocka_unit_test(types_and_values_matter),
      cmocka_unit_test(codes_of_unions_matter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
