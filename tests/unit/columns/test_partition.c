/* A table as a folder of files, and several files as one table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <dirent.h>
#include <unistd.h>

#include "columns/partition.h"
#include "columns/table_set.h"
#include "columns/value.h"

static char folder[] = "/tmp/tenon-partition-XXXXXX";

static const char *place(const char *name) {
  static char path[4][300];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf(path[turn], sizeof path[0], "%s/%s", folder, name);
  return path[turn];
}

static void write_text(const char *name, const char *text) {
  OK(tn_file_write_atomic(place(name), tn_str_of(text), &problem));
}

static tn_status copy_rows(tn_table_set *in, tn_partition *out, tn_error *err) {
  for (;;) {
    ArrowArray batch = {0};
    tn_status status = tn_table_set_next(in, &batch, err);
    if (status == TN_END) return tn_partition_finish(out, err);
    TN_TRY(status);
    status = tn_partition_batch(out, &batch, err);
    tn_array_clear(&batch);
    TN_TRY(status);
  }
}

typedef struct job {
  const char *from, *to;
  tn_partition_options options;
  int64_t files;
} job;

static tn_status run(void *context, tn_error *err) {
  job *j = context;
  const char *from = place(j->from), *to = place(j->to);
  tn_table_set *in = NULL;
  tn_partition *out = NULL;
  ArrowSchema schema = {0};
  tn_table_read_options read = {.batch_rows = 7, .threads = 1};
  tn_status status = tn_table_set_open(&in, &from, 1, &read, err);
  if (status == TN_OK) status = tn_table_set_schema(in, &schema, err);
  if (status == TN_OK) status = tn_partition_new(&out, to, &schema, &j->options, err);
  if (status == TN_OK) status = copy_rows(in, out, err);
  if (status == TN_OK) j->files = tn_partition_files(out);
  tn_partition_free(out);
  tn_schema_clear(&schema);
  tn_table_set_close(in);
  return status;
}

static void expect_text(const char *name, const char *want) {
  tn_strbuf text = {0};
  OK(tn_file_read(place(name), 0, &text, &problem));
  assert_string_equal(text.data, want);
  tn_strbuf_clear(&text);
}

/* Nothing beside what was asked for: no temporary folder. */
static int64_t entries(const char *name) {
  DIR *dir = opendir(name);
  assert_non_null(dir);
  int64_t count = 0;
  while (readdir(dir)) count++;
  closedir(dir);
  return count - 2;
}

static const tn_table_write_options as_csv = {.format = "csv", .threads = 1};

static void test_by_rows(void **state) {
  write_text("a.csv", "id,name\n1,a\n2,b\n3,c\n4,d\n5,e\n");
  job j = {"a.csv", "rows", {.rows = 2, .write = &as_csv}, 0};
  int64_t before = entries(folder);
  OK(run(&j, &problem));
  assert_int_equal(j.files, 3);
  assert_int_equal(entries(folder), before + 1);
  expect_text("rows/part-00000.csv", "id,name\n1,a\n2,b\n");
  expect_text("rows/part-00002.csv", "id,name\n5,e\n");
  assert_int_equal(run(&j, &problem), TN_ERR_EXISTS);
  j.options.replace = true;
  j.options.rows = 100;
  OK(run(&j, &problem));
  assert_int_equal(entries(place("rows")), 1);
  assert_int_equal(entries(folder), before + 1);
  write_text("rows/_SUCCESS", "");
  OK(run(&j, &problem));
  write_text("rows/mine.txt", "precious");
  assert_int_equal(run(&j, &problem), TN_ERR_EXISTS);
  CONTAINS(problem.text, "rows/mine.txt is no part of a table");
  expect_text("rows/mine.txt", "precious");
  assert_int_equal(entries(folder), before + 1);
  write_text("none.csv", "id,name\n");
  OK(run(&(job){"none.csv", "empty", {.rows = 2, .write = &as_csv}, 0}, &problem));
  expect_text("empty/part-00000.csv", "id,name\n");
}

static void test_by_columns(void **state) {
  static const char *const by[] = {"land", "kind"};
  write_text("b.csv", "id,land,kind\n1,DE,a/b\n2,FR,x\n3,DE,a/b\n4,,x\n5,FR,x\n6,DE,x\n");
  job j = {"b.csv", "by", {.by = by, .by_count = 2, .write = &as_csv}, 0};
  OK(run(&j, &problem));
  assert_int_equal(j.files, 4);
  expect_text("by/land=DE/kind=a%2Fb/part-00000.csv", "id\n1\n3\n");
  expect_text("by/land=FR/kind=x/part-00000.csv", "id\n2\n5\n");
  expect_text("by/land=__HIVE_DEFAULT_PARTITION__/kind=x/part-00000.csv", "id\n4\n");
  /* One file open at a time: a value that comes again begins another part. */
  j.options.open_max = 1;
  j.to = "narrow";
  write_text("c.csv", "id,land\n1,a\n2,b\n3,a\n4,a\n5,a\n6,a\n7,a\n8,b\n9,a\n");
  j.from = "c.csv";
  j.options.by_count = 1;
  OK(run(&j, &problem));
  expect_text("narrow/land=a/part-00000.csv", "id\n1\n3\n4\n5\n6\n7\n");
  expect_text("narrow/land=a/part-00001.csv", "id\n9\n");
  expect_text("narrow/land=b/part-00001.csv", "id\n8\n");
}

static void test_what_cannot_be(void **state) {
  static const char *const missing[] = {"nix"}, *const all[] = {"id", "land"};
  job j = {"c.csv", "no", {.by = missing, .by_count = 1, .write = &as_csv}, 0};
  assert_int_equal(run(&j, &problem), TN_ERR_NOT_FOUND);
  CONTAINS(problem.text, "nix");
  j.options.by = all;
  j.options.by_count = 2;
  assert_int_equal(run(&j, &problem), TN_ERR_ARGUMENT);
  write_text("broken.csv", "id,land\n1,a\n2\n");
  j = (job){"broken.csv", "no", {.rows = 1, .write = &as_csv}, 0};
  assert_int_not_equal(run(&j, &problem), TN_OK);
  assert_false(tn_dir_exists(place("no")));
}

static void test_out_of_memory(void **state) {
  static const char *const by[] = {"land"};
  job j = {"c.csv", "memory", {.by = by, .by_count = 1, .replace = true, .write = &as_csv}, 0};
  int64_t before = entries(folder);
  fail_each_allocation(run, &j);
  assert_int_equal(entries(folder), before + 1);
}

/* ---- several files as one ---- */
static tn_status set_schema(const char *const *paths, int64_t count, tn_strbuf *text, int64_t *rows,
                            tn_error *err) {
  tn_table_set *set;
  ArrowSchema schema = {0};
  tn_arena arena = {0};
  tn_field *root;
  tn_table_read_options read = {.threads = 1};
  *rows = 0;
  TN_TRY(tn_table_set_open(&set, paths, count, &read, err));
  tn_status status = tn_table_set_schema(set, &schema, err);
  if (status == TN_OK) status = tn_field_tree(&root, &arena, &schema, err);
  for (int64_t c = 0; status == TN_OK && c < root->child_count; c++) {
    tn_strbuf_addf(text, "%s%s: ", c ? ", " : "", root->children[c].name);
    tn_field_text(&root->children[c], text);
  }
  while (status == TN_OK) {
    ArrowArray batch = {0};
    status = tn_table_set_next(set, &batch, err);
    if (status != TN_OK) break;
    assert_int_equal(batch.n_children, schema.n_children);
    *rows += batch.length;
    tn_array_clear(&batch);
  }
  if (status == TN_END) status = TN_OK;
  if (status == TN_OK) assert_int_equal(tn_table_set_bytes(set) > 0, 1);
  tn_arena_clear(&arena);
  tn_schema_clear(&schema);
  tn_table_set_close(set);
  return status;
}

static void test_json_lines_join(void **state) {
  write_text("1.jsonl", "{\"a\":1,\"b\":\"x\"}\n");
  write_text("2.jsonl", "{\"a\":1.5,\"c\":[1]}\n{\"a\":null}\n");
  write_text("3.jsonl", "{\"a\":2,\"b\":3}\n");
  const char *paths[] = {place("1.jsonl"), place("2.jsonl"), place("3.jsonl")};
  tn_strbuf text = {0};
  int64_t rows;
  OK(set_schema(paths, 3, &text, &rows, &problem));
  assert_string_equal(text.data, "a: double, b: string, c: list<item: int64>");
  assert_int_equal(rows, 4);
  tn_strbuf_clear(&text);
}

/* Also of files that are read to their end while others are still to come. */
static void test_bytes_read_of_many_files(void **state) {
  static const char text[] = "a,b\n1,2\n3,4\n";
  const int64_t bytes = sizeof text - 1;
  const char *paths[] = {place("m1.csv"), place("m2.csv"), place("m3.csv")};
  for (int i = 0; i < 3; i++) OK(tn_file_write_atomic(paths[i], tn_str_of(text), &problem));
  tn_table_read_options read = {.threads = 1};
  tn_table_set *set;
  ArrowArray batch;
  OK(tn_table_set_open(&set, paths, 3, &read, &problem));
  int64_t before = tn_table_set_bytes_read(set);
  for (int i = 0; i < 3; i++) {
    OK(tn_table_set_next(set, &batch, &problem));
    assert_int_equal(batch.length, 2);
    tn_array_clear(&batch);
    int64_t read_bytes = tn_table_set_bytes_read(set);
    assert_true(read_bytes >= before && read_bytes >= (i + 1) * bytes && read_bytes < 100 * bytes);
    before = read_bytes;
  }
  assert_int_equal(tn_table_set_next(set, &batch, &problem), TN_END);
  tn_table_set_close(set);
}

static tn_status read_by_value(void *context, tn_error *err) {
  const char *paths[] = {place("by/land=DE/kind=a%2Fb/part-00000.csv"),
                         place("by/land=FR/kind=x/part-00000.csv"),
                         place("by/land=__HIVE_DEFAULT_PARTITION__/kind=x/part-00000.csv")};
  static const char *const columns[] = {"kind", "id", "land"};
  tn_table_set *set;
  ArrowSchema schema = {0};
  tn_table_read_options read = {.threads = 1, .hive = true};
  if (context) read.columns = columns, read.column_count = 3;
  TN_TRY(tn_table_set_open(&set, paths, 3, &read, err));
  tn_status status = tn_table_set_schema(set, &schema, err);
  if (status == TN_OK) {
    assert_int_equal(schema.n_children, 3);
    assert_string_equal(schema.children[context ? 0 : 2]->name, "kind");
    assert_string_equal(schema.children[context ? 1 : 0]->name, "id");
  }
  for (int64_t file = 0; status == TN_OK; file++) {
    ArrowArray batch = {0};
    status = tn_table_set_next(set, &batch, err);
    if (status != TN_OK) break;
    const ArrowArray *land = batch.children[context ? 2 : 1];
    assert_int_equal(tn_array_is_null(land, 0), file == 2);
    tn_field kind = {.name = "kind"};
    OK(tn_type_parse(schema.children[context ? 0 : 2]->format, &kind.type, &problem));
    tn_str text = tn_value_bytes(&kind, batch.children[context ? 0 : 2], 1);
    if (file == 0) assert_true(tn_str_is(text, "a/b"));
    tn_array_clear(&batch);
  }
  tn_schema_clear(&schema);
  tn_table_set_close(set);
  return status == TN_END ? TN_OK : status;
}

static void test_columns_of_the_path(void **state) {
  OK(read_by_value(NULL, &problem));
  OK(read_by_value((void *)1, &problem));
  fail_each_allocation(read_by_value, NULL);
  fail_each_allocation(read_by_value, (void *)1);
}

static void test_files_that_do_not_fit(void **state) {
  write_text("x.csv", "a,b\n1,2\n");
  write_text("y.csv", "a,c\n1,2\n");
  write_text("z.csv", "a\n1\n");
  tn_strbuf text = {0};
  int64_t rows;
  const char *names[] = {place("x.csv"), place("y.csv")};
  assert_int_equal(set_schema(names, 2, &text, &rows, &problem), TN_ERR_DATA);
  CONTAINS(problem.text, "column 2 is \"c\"");
  const char *counts[] = {place("x.csv"), place("z.csv")};
  assert_int_equal(set_schema(counts, 2, &text, &rows, &problem), TN_ERR_DATA);
  CONTAINS(problem.text, "1 columns");
  write_text("o.jsonl", "{\"a\":{\"x\":1}}\n");
  write_text("p.jsonl", "{\"a\":[1]}\n");
  const char *shapes[] = {place("o.jsonl"), place("p.jsonl")};
  assert_int_equal(set_schema(shapes, 2, &text, &rows, &problem), TN_ERR_DATA);
  CONTAINS(problem.text, "column \"a\"");
  tn_strbuf_clear(&text);
}

static int make_folder(void **state) {
  return mkdtemp(folder) ? 0 : -1;
}
static int remove_folder(void **state) {
  return tn_dir_remove(folder, NULL) == TN_OK ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_rows),
      cmocka_unit_test(test_by_columns),
      cmocka_unit_test(test_what_cannot_be),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_json_lines_join),
      cmocka_unit_test(test_bytes_read_of_many_files),
      cmocka_unit_test(test_columns_of_the_path),
      cmocka_unit_test(test_files_that_do_not_fit),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
