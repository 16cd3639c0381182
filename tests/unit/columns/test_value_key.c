/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of values: the same just for equal ones, in random columns of every type. */
#include "ipc_test.h"

#include "columns/value_key.h"

enum { ROWS = 60, SKIPPED = 7, ROUNDS = 4 };

static bool has_reals(const tn_field *f) {
  if (tn_type_is_real(f->type.id) || (f->dictionary && has_reals(f->dictionary))) return true;
  for (int64_t i = 0; i < f->child_count; i++)
    if (has_reals(&f->children[i])) return true;
  return false;
}

static ArrowArray rows_of(const ArrowArray *column, int64_t row, int64_t count) {
  ArrowArray part = *column;
  part.offset += row;
  part.length = count;
  if (part.null_count != 0) part.null_count = -1;
  return part;
}

static void make_keys(tn_strbuf keys[ROWS], const tn_field *f, const ArrowArray *column) {
  for (int row = 0; row < ROWS; row++) {
    tn_strbuf_reset(&keys[row]);
    tn_value_key((tn_value){f, column, row}, &keys[row]);
    OK(tn_strbuf_check(&keys[row], &problem));
  }
}

/* Of two columns whose dictionaries, runs and views differ.  Returns how many pairs are equal. */
static int64_t compare(const tn_field *f, const ArrowArray *a, const ArrowArray *b) {
  static tn_strbuf x[ROWS], y[ROWS];
  int64_t equal = 0;
  make_keys(x, f, a);
  make_keys(y, f, b);
  for (int i = 0; i < ROWS; i++)
    for (int k = 0; k < ROWS; k++) {
      ArrowArray one = rows_of(a, i, 1), other = rows_of(b, k, 1);
      bool same = tn_array_equal(f, &one, f, &other);
      bool same_key = tn_str_equal(tn_strbuf_view(&x[i]), tn_strbuf_view(&y[k]));
      if (same_key ? !same : same && !has_reals(f)) /* NaN equals NaN, its key does not */
        fail_msg("column %s, rows %d and %d: %s", f->name, i, k, same ? "one value" : "one key");
      equal += same;
    }
  for (int i = 0; i < ROWS; i++) {
    tn_strbuf_clear(&x[i]);
    tn_strbuf_clear(&y[i]);
  }
  return equal;
}

static void keys_are_the_same_for_equal_values(void **state) {
  for (uint64_t round = 0; round < ROUNDS; round++) {
    dice d = {.state = 1000 * round};
    ArrowSchema schema;
    tn_arena arena = {0};
    tn_field *root;
    ArrowArray a, b;
    OK(random_schema(&schema, &d, &problem));
    OK(tn_field_tree(&root, &arena, &schema, &problem));
    OK(random_batch(&a, root, ROWS, &d, &problem));
    OK(random_batch(&b, root, SKIPPED + ROWS, &d, &problem));
    for (int64_t c = 0; c < root->child_count; c++) {
      ArrowArray part = rows_of(b.children[c], SKIPPED, ROWS);
      int64_t equal = compare(&root->children[c], a.children[c], &part);
      if (root->children[c].type.id == TN_TYPE_BOOL)
        assert_true(equal > ROWS && equal < ROWS * ROWS);
    }
    tn_array_clear(&a);
    tn_array_clear(&b);
    tn_schema_clear(&schema);
    tn_arena_clear(&arena);
  }
}

static void no_key_begins_another(void **state) {
  static const char *const texts[] = {"", "a", "ab", "b"};
  tn_builder *b;
  ArrowArray column;
  ArrowSchema schema;
  tn_arena arena = {0};
  tn_field *field;
  tn_strbuf keys[5] = {{0}};
  OK(tn_schema_init(&schema, "u", "c", ARROW_FLAG_NULLABLE, &problem));
  OK(tn_field_tree(&field, &arena, &schema, &problem));
  OK(tn_builder_new_format(&b, "u", &problem));
  for (int i = 0; i < 4; i++) OK(tn_builder_append_str(b, tn_str_of(texts[i]), &problem));
  OK(tn_builder_append_null(b, &problem));
  OK(tn_builder_finish(b, &column, &problem));
  for (int i = 0; i < 5; i++) tn_value_key((tn_value){field, &column, i}, &keys[i]);
  for (int i = 0; i < 5; i++)
    for (int k = 0; k < 5; k++)
      assert_int_equal(tn_str_starts(tn_strbuf_view(&keys[i]), tn_strbuf_view(&keys[k])), i == k);
  for (int i = 0; i < 5; i++) tn_strbuf_clear(&keys[i]);
  tn_array_clear(&column);
  tn_builder_free(b);
  tn_schema_clear(&schema);
  tn_arena_clear(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_are_the_same_for_equal_values),
      cmocka_unit_test(no_key_begins_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
