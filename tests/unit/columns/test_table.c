/* Tables by file extension, their options by name, and the library's public face over both. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <unistd.h>

#include "columns/table_options.h"
#include "tenon/columns.h"

static char folder[] = "/tmp/tenon-table-XXXXXX";

static const char *place(const char *name) {
  static char path[2][256];
  static int turn;
  turn ^= 1;
  snprintf(path[turn], sizeof path[0], "%s/%s", folder, name);
  return path[turn];
}

static void test_options_by_name(void **state) {
  tn_arena arena = {0};
  tn_table_read_options r = {0};
  OK(tn_table_read_option(&r, &arena, "columns", "a,b", &problem));
  assert_int_equal(r.column_count, 2);
  assert_string_equal(r.columns[1], "b");
  OK(tn_table_read_option(&r, &arena, "columns", "[\"a,b\",\"\"]", &problem));
  assert_int_equal(r.column_count, 2);
  assert_string_equal(r.columns[0], "a,b");
  OK(tn_table_read_option(&r, &arena, "batch_rows", "2k", &problem));
  assert_int_equal(r.batch_rows, 2000);
  OK(tn_table_read_option(&r, &arena, "separator", "tab", &problem));
  assert_string_equal(r.csv.separator, "tab");
  OK(tn_table_read_option(&r, &arena, "skip_crc", "true", &problem));
  assert_true(r.parquet.skip_crc);
  OK(tn_table_read_option(&r, &arena, "skip_crc", "false", &problem));
  assert_false(r.parquet.skip_crc);

  const char *const bad[][2] = {{"skip_crc", "yes"},        {"batch_rows", "many"},
                                {"batch_rows", "9999999T"}, {"columns", "[1]"},
                                {"columns", "[\"a\""},      {"columns", "[\"\\u0000\"]"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_not_equal(tn_table_read_option(&r, &arena, bad[i][0], bad[i][1], &problem), TN_OK);
    CONTAINS(problem.text, bad[i][0]);
  }
  assert_int_equal(tn_table_read_option(&r, &arena, "colums", "a", &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "columns");
  tn_table_write_options w = {0};
  assert_int_equal(tn_table_write_option(&w, &arena, "level", "3G", &problem), TN_ERR_ARGUMENT);
  tn_arena_clear(&arena);
}

static void write_text(const char *path, const char *text) {
  OK(tn_file_write_atomic(path, tn_str_of(text), &problem));
}

static tn_status through_every_format(void *context, tn_error *err) {
  const char *const *names = context; /* names[0] is read, the others are written in turn */
  for (int i = 0; names[i + 1]; i++) {
    char from[256];
    snprintf(from, sizeof from, "%s", place(names[i]));
    ArrowArrayStream stream;
    TN_TRY(tn_columns_open(&stream, from, NULL, err));
    TN_TRY(tn_columns_write(place(names[i + 1]), &stream, NULL, err));
    assert_null(stream.release);
  }
  return TN_OK;
}

static void test_every_format(void **state) {
  static const char *const names[] = {"a.csv", "b.parquet", "c.arrow", "d.tsv", "e.csv", NULL};
  const char *text = "id,name\n1,x\n2,\"y,z\"\n,\n";
  write_text(place("a.csv"), text);
  OK(through_every_format((void *)names, &problem));
  tn_strbuf back = {0};
  OK(tn_file_read(place("e.csv"), 0, &back, &problem));
  assert_string_equal(back.data, text);
  tn_strbuf_clear(&back);
  fail_each_allocation(through_every_format, (void *)names);
}

static tn_status through_devices(void *context, tn_error *err) {
  struct ArrowDeviceArrayStream stream;
  TN_TRY(tn_columns_open_device(&stream, place("p.csv"), NULL, err));
  assert_int_equal(stream.device_type, ARROW_DEVICE_CPU);
  return tn_columns_write_device(place("q.csv"), &stream, NULL, err);
}

static void test_device_streams(void **state) {
  const char *text = "id,name\n1,x\n2,y\n";
  tn_strbuf back = {0};
  write_text(place("p.csv"), text);
  OK(through_devices(NULL, &problem));
  OK(tn_file_read(place("q.csv"), 0, &back, &problem));
  assert_string_equal(back.data, text);
  tn_strbuf_clear(&back);
  fail_each_allocation(through_devices, NULL);
  struct ArrowDeviceArrayStream stream;
  OK(tn_columns_open_device(&stream, place("p.csv"), NULL, &problem));
  stream.device_type = ARROW_DEVICE_CUDA;
  assert_int_equal(tn_columns_write_device(place("q.csv"), &stream, NULL, &problem),
                   TN_ERR_UNSUPPORTED);
  assert_null(stream.release);
}

static tn_status scan_after_close(void *context, tn_error *err) {
  const char *const options[] = {"columns", "name", NULL};
  tn_columns_parquet *file;
  ArrowArrayStream stream = {0};
  ArrowArray batch = {0};
  TN_TRY(tn_columns_parquet_open(&file, place("f.parquet"), options, err));
  assert_int_equal(tn_columns_parquet_rows(file), 2);
  tn_status status = tn_columns_parquet_scan(file, &stream, err);
  tn_columns_parquet_close(file);
  if (status == TN_OK) status = tn_stream_next(&stream, &batch, err);
  if (status == TN_OK) {
    assert_int_equal(batch.n_children, 1);
    assert_int_equal(batch.length, 2);
  }
  tn_array_clear(&batch);
  tn_stream_clear(&stream);
  return status;
}

static void test_stream_outlives_file(void **state) {
  write_text(place("f.csv"), "id,name\n1,x\n2,y\n");
  ArrowArrayStream stream;
  OK(tn_columns_open(&stream, place("f.csv"), NULL, &problem));
  OK(tn_columns_write(place("f.parquet"), &stream, NULL, &problem));
  OK(scan_after_close(NULL, &problem));
  fail_each_allocation(scan_after_close, NULL);
}

static tn_status take_rows(void *context, tn_error *err) {
  static const int64_t rows[] = {1, 2, 7};
  tn_columns_parquet *file;
  ArrowArrayStream stream = {0};
  int64_t count = 0, sum = 0;
  TN_TRY(tn_columns_parquet_open(&file, place("h.parquet"), NULL, err));
  tn_status status = tn_columns_parquet_take(file, rows, 3, &stream, err);
  while (status == TN_OK) {
    ArrowArray batch = {0};
    status = tn_stream_next(&stream, &batch, err);
    if (status != TN_OK) break;
    const int64_t *ids = batch.children[0]->buffers[1];
    for (int64_t i = 0; i < batch.length; i++) sum += ids[batch.children[0]->offset + i];
    count += batch.length;
    tn_array_clear(&batch);
  }
  if (status == TN_END) {
    assert_int_equal(count, 3);
    assert_int_equal(sum, 10 + 20 + 70);
    status = TN_OK;
  }
  tn_stream_clear(&stream);
  tn_columns_parquet_close(file);
  return status;
}

static void test_take_rows(void **state) {
  const char *const options[] = {"profile", "training", "page_rows", "2", NULL};
  const char *const threads[] = {"threads", "1", NULL};
  write_text(place("h.csv"), "id\n0\n10\n20\n30\n40\n50\n60\n70\n80\n");
  ArrowArrayStream stream;
  OK(tn_columns_open(&stream, place("h.csv"), threads, &problem));
  OK(tn_columns_write(place("h.parquet"), &stream, options, &problem));
  OK(take_rows(NULL, &problem));
  fail_each_allocation(take_rows, NULL);
  tn_columns_parquet *file;
  OK(tn_columns_parquet_open(&file, place("h.parquet"), NULL, &problem));
  const int64_t wrong[][2] = {{3, 3}, {4, 3}, {0, 9}, {-1, 0}};
  const char *const said[] = {"row 3 is asked for behind row 3; rows must ascend",
                              "row 3 is asked for behind row 4; rows must ascend",
                              "h.parquet: row 9 is asked for; the file has 9, from 0 on",
                              "h.parquet: row -1 is asked for; the file has 9, from 0 on"};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(tn_columns_parquet_take(file, wrong[i], 2, &stream, &problem),
                     TN_ERR_ARGUMENT);
    CONTAINS(problem.text, said[i]);
  }
  tn_columns_parquet_close(file);
}

static void test_wrong_words(void **state) {
  ArrowArrayStream stream;
  const char *const unknown[] = {"colour", "red", NULL};
  write_text(place("g.csv"), "id\n1\n");
  assert_int_equal(tn_columns_open(&stream, place("g.csv"), unknown, &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "colour");
  assert_int_equal(tn_columns_open(&stream, place("none.csv"), NULL, &problem), TN_ERR_NOT_FOUND);
  assert_int_equal(tn_columns_open(&stream, place("g.txt"), NULL, &problem), TN_ERR_UNSUPPORTED);
  const char *const format[] = {"format", "csv", NULL};
  write_text(place("g.txt"), "id\n1\n");
  OK(tn_columns_open(&stream, place("g.txt"), format, &problem));
  tn_stream_clear(&stream);
  const char *help = NULL;
  assert_string_equal(tn_columns_option(0, 0, &help), "format");
  assert_non_null(help);
  assert_null(tn_columns_option(1, 10000, NULL));
  assert_string_equal(tn_version(), TENON_VERSION);
}

static int make_folder(void **state) {
  return mkdtemp(folder) ? 0 : -1;
}
static int remove_folder(void **state) {
  return tn_dir_remove(folder, NULL) == TN_OK ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_options_by_name), cmocka_unit_test(test_every_format),
      cmocka_unit_test(test_device_streams),  cmocka_unit_test(test_stream_outlives_file),
      cmocka_unit_test(test_take_rows),       cmocka_unit_test(test_wrong_words),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
