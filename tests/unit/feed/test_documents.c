/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_test.h"

#include "columns/builder.h"
#include "columns/schema.h"
#include "columns/table.h"
#include "feed/documents.h"

static void path_in(char out[256], const char *folder, const char *file) {
  snprintf(out, 256, "%s/%s", folder, file);
}

/* Column "n" is a number, "text" a text that is null in every third row. */
static tn_status write_table(const char *path, int64_t first, int64_t rows, tn_error *err) {
  static const char *const names[] = {"n", "text"};
  static const char *const formats[] = {"l", "u"};
  ArrowSchema schema = {0};
  ArrowArray columns[2] = {{0}}, batch = {0};
  tn_builder *n = NULL, *text = NULL;
  tn_table_writer *w = NULL;
  tn_status status = tn_schema_init_flat(&schema, names, formats, 2, err);
  if (status == TN_OK) status = tn_builder_new_format(&n, formats[0], err);
  if (status == TN_OK) status = tn_builder_new_format(&text, formats[1], err);
  for (int64_t row = first; row < first + rows && status == TN_OK; row++) {
    char words[32];
    snprintf(words, sizeof words, "row %lld", (long long)row);
    status = tn_builder_append_i64(n, row, err);
    if (status == TN_OK)
      status = row % 3 == 2 ? tn_builder_append_null(text, err)
                            : tn_builder_append_str(text, tn_str_of(words), err);
  }
  if (status == TN_OK) status = tn_builder_finish(n, &columns[0], err);
  if (status == TN_OK) status = tn_builder_finish(text, &columns[1], err);
  if (status == TN_OK) status = tn_batch_new(&batch, columns, 2, rows, err);
  if (status == TN_OK) status = tn_table_writer_new(&w, path, &schema, NULL, err);
  if (status == TN_OK) status = tn_table_writer_batch(w, &batch, err);
  if (status == TN_OK) status = tn_table_writer_finish(w, err);
  tn_table_writer_free(w);
  tn_array_clear(&batch);
  tn_builder_free(n);
  tn_builder_free(text);
  tn_schema_clear(&schema);
  return status;
}

static void files_come_in_order_without_nulls(void **state) {
  char paths[3][256];
  const char *list[3] = {paths[0], paths[1], paths[2]};
  tn_error err = {0};
  path_in(paths[0], *state, "a.parquet");
  path_in(paths[1], *state, "b.txt");
  path_in(paths[2], *state, "c.csv");
  check_ok(write_table(paths[0], 0, 3000, &err), &err);
  check_ok(tn_file_write_atomic(paths[1], TN_STR("a whole\nfile"), &err), &err);
  check_ok(write_table(paths[2], 3000, 30, &err), &err);
  tn_documents *d;
  tn_document_batch batch;
  check_ok(tn_documents_open(&d, list, 3, "text", &err), &err);
  int64_t row = 0, files = 0;
  tn_status status;
  while ((status = tn_documents_next(d, &batch, &err)) == TN_OK) {
    for (int64_t i = 0; i < batch.count; i++) {
      if (row == 3000 && files++ == 0) {
        assert_true(tn_str_is(batch.texts[i], "a whole\nfile"));
        continue;
      }
      char want[32];
      if (row % 3 == 2) row++;
      snprintf(want, sizeof want, "row %lld", (long long)row++);
      assert_true(tn_str_is(batch.texts[i], want));
      if (row % 3 == 2) row++;
    }
    assert_true(tn_documents_bytes_done(d) <= tn_documents_bytes_total(d));
  }
  assert_int_equal(status, TN_END);
  assert_int_equal(row, 3030);
  assert_int_equal(tn_documents_nulls(d), 1010);
  assert_int_equal(tn_documents_bytes_done(d), tn_documents_bytes_total(d));
  tn_documents_close(d);
}

/* One column "text" of the rows "one", null, "three"; in a dictionary those of index 1, null, 0. */
static tn_status write_text(const char *path, const char *format, tn_error *err) {
  ArrowSchema schema = {0};
  ArrowArray column = {0}, batch = {0};
  tn_arena arena = {0};
  tn_field *root;
  tn_builder *b = NULL;
  tn_table_writer *w = NULL;
  bool dictionary = strcmp(format, "c") == 0;
  tn_status status = tn_schema_init_flat(&schema, (const char *const[]){"text"}, &format, 1, err);
  if (status == TN_OK && dictionary) {
    status = tn_schema_add_dictionary(schema.children[0], err);
    if (status == TN_OK) status = tn_schema_init(schema.children[0]->dictionary, "u", "", 2, err);
  }
  if (status == TN_OK) status = tn_field_tree(&root, &arena, &schema, err);
  if (status == TN_OK) status = tn_builder_new_field(&b, &root->children[0], err);
  for (int row = 0; row < 3 && status == TN_OK; row++) {
    bool one = (row == 0) != dictionary; /* the dictionary is "three", "one" */
    tn_builder *values = dictionary ? tn_builder_dictionary(b) : b;
    status = row == 1 ? tn_builder_append_null(b, err)
                      : tn_builder_append_str(values, one ? TN_STR("one") : TN_STR("three"), err);
    if (dictionary && row != 1 && status == TN_OK) status = tn_builder_append_i64(b, row == 0, err);
  }
  if (status == TN_OK) status = tn_builder_finish(b, &column, err);
  if (status == TN_OK) status = tn_batch_new(&batch, &column, 1, 3, err);
  if (status == TN_OK) status = tn_table_writer_new(&w, path, &schema, NULL, err);
  if (status == TN_OK) status = tn_table_writer_batch(w, &batch, err);
  if (status == TN_OK) status = tn_table_writer_finish(w, err);
  tn_table_writer_free(w);
  tn_array_clear(&column);
  tn_array_clear(&batch);
  tn_builder_free(b);
  tn_arena_clear(&arena);
  tn_schema_clear(&schema);
  return status;
}

static void text_of_every_layout_is_read(void **state) {
  static const char *const formats[] = {"u", "U", "vu", "z", "Z", "vz", "c"};
  for (int i = 0; i < 7; i++) {
    char path[256];
    const char *list = path;
    tn_documents *d;
    tn_document_batch batch;
    tn_error err = {0};
    path_in(path, *state, "t.arrow");
    check_ok(write_text(path, formats[i], &err), &err);
    check_ok(tn_documents_open(&d, &list, 1, "text", &err), &err);
    check_ok(tn_documents_next(d, &batch, &err), &err);
    assert_int_equal(batch.count, 2);
    assert_true(tn_str_is(batch.texts[0], "one"));
    assert_true(tn_str_is(batch.texts[1], "three"));
    assert_int_equal(tn_documents_nulls(d), 1);
    tn_documents_close(d);
  }
}

static void check_refused(const char *path, const char *column, const char *names) {
  tn_documents *d;
  tn_document_batch batch;
  tn_error err = {0};
  tn_status status = tn_documents_open(&d, &path, 1, column, &err);
  if (status == TN_OK) {
    status = tn_documents_next(d, &batch, &err);
    tn_documents_close(d);
  }
  assert_true(status != TN_OK && status != TN_END);
  if (!strstr(err.text, names)) fail_msg("'%s' does not name '%s'", err.text, names);
}

static void wrong_inputs_are_named(void **state) {
  char path[256];
  tn_error err = {0};
  path_in(path, *state, "a.parquet");
  check_refused(path, "text", "a.parquet");
  check_ok(write_table(path, 0, 10, &err), &err);
  check_refused(path, "words", "words");
  check_refused(path, "n", "int64");
  path_in(path, *state, "a.doc");
  check_ok(tn_file_write_atomic(path, TN_STR("x"), &err), &err);
  check_refused(path, "text", ".txt");
}

static void survives_failing_allocations(void **state) {
  char path[256];
  const char *list = path;
  tn_error err = {0};
  path_in(path, *state, "a.csv");
  check_ok(write_table(path, 0, 10, &err), &err);
  int64_t live = tn_alloc_live(), failures = 0;
  for (int64_t n = 1;; n++) {
    tn_documents *d = NULL;
    tn_document_batch batch;
    tn_alloc_fail_at(n);
    tn_status status = tn_documents_open(&d, &list, 1, "text", &err);
    while (status == TN_OK) status = tn_documents_next(d, &batch, &err);
    tn_alloc_fail_at(0);
    tn_documents_close(d);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_END) break;
    if (status != TN_ERR_MEMORY) fail_msg("allocation %lld: %s", (long long)n, err.text);
    failures++;
  }
  assert_true(failures > 5);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(files_come_in_order_without_nulls),
      WITH_FOLDER(text_of_every_layout_is_read),
      WITH_FOLDER(wrong_inputs_are_named),
      WITH_FOLDER(survives_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
