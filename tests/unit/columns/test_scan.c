/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <unistd.h>

#include "columns/scan.h"
#include "columns/value.h"

static char folder[] = "/tmp/tenon-scan-XXXXXX";
static char csv_path[64], jsonl_path[64], parquet_path[64], arrow_path[64];

static void write_text(const char *path, const char *text) {
  OK(tn_file_write_atomic(path, tn_str_of(text), &problem));
}

static tn_status convert(const char *from, const char *to, tn_error *err) {
  tn_table in;
  ArrowSchema schema = {0};
  tn_table_writer *out = NULL;
  TN_TRY(tn_table_open(&in, from, NULL, err));
  tn_status status = tn_stream_schema(&in.stream, &schema, err);
  if (status == TN_OK) status = tn_table_writer_new(&out, to, &schema, NULL, err);
  while (status == TN_OK) {
    ArrowArray batch;
    status = tn_stream_next(&in.stream, &batch, err);
    if (status == TN_OK) status = tn_table_writer_batch(out, &batch, err);
    tn_array_clear(&batch);
  }
  if (status == TN_END) status = tn_table_writer_finish(out, err);
  tn_table_writer_free(out);
  tn_schema_clear(&schema);
  tn_table_close(&in);
  return status;
}

static int set_up(void **state) {
  assert_non_null(mkdtemp(folder));
  snprintf(csv_path, sizeof csv_path, "%s/t.csv", folder);
  snprintf(jsonl_path, sizeof jsonl_path, "%s/t.jsonl", folder);
  snprintf(parquet_path, sizeof parquet_path, "%s/t.parquet", folder);
  snprintf(arrow_path, sizeof arrow_path, "%s/t.arrow", folder);
  tn_strbuf text = {0};
  tn_strbuf_add(&text, "id,name,price\n");
  for (int i = 0; i < 1000; i++)
    tn_strbuf_addf(&text, "%d,n%d,%s\n", i, i % 7, i % 10 ? "1.5" : "");
  write_text(csv_path, text.data);
  tn_strbuf_clear(&text);
  OK(convert(csv_path, jsonl_path, &problem));
  OK(convert(csv_path, parquet_path, &problem));
  OK(convert(csv_path, arrow_path, &problem));
  return 0;
}

static int tear_down(void **state) {
  OK(tn_dir_remove(folder, &problem));
  return 0;
}

typedef struct answer {
  tn_strbuf text; /* JSON lines of the rows */
  tn_scan_report report;
  tn_status status;
  tn_error err;
} answer;

static tn_status read_all(tn_scan *scan, answer *a, tn_error *err) {
  tn_arena arena = {0};
  tn_field *root = NULL;
  tn_status status = tn_field_tree(&root, &arena, tn_scan_schema(scan), err);
  while (status == TN_OK) {
    ArrowArray batch;
    status = tn_scan_next(scan, &batch, err);
    if (status != TN_OK) break;
    assert_true(batch.length > 0);
    for (int64_t row = 0; row < batch.length; row++) {
      for (int64_t c = 0; c < batch.n_children; c++) {
        tn_strbuf_add_char(&a->text, c ? ',' : ' ');
        tn_value_text(&root->children[c], batch.children[c], row, &a->text);
      }
    }
    tn_array_clear(&batch);
  }
  tn_arena_clear(&arena);
  tn_scan_report_now(scan, &a->report);
  return status == TN_END ? tn_strbuf_check(&a->text, err) : status;
}

static answer scan(const char *path, const tn_scan_options *options) {
  answer a = {0};
  tn_scan *s;
  a.status = tn_scan_open(&s, path, options, &a.err);
  if (a.status != TN_OK) return a;
  a.status = read_all(s, &a, &a.err);
  tn_scan_close(s);
  return a;
}

static void gives(const tn_scan_options *options, const char *text, int64_t rows) {
  const char *const paths[] = {csv_path, jsonl_path, parquet_path, arrow_path};
  for (int i = 0; i < 4; i++) {
    answer a = scan(paths[i], options);
    if (a.status != TN_OK) print_error("%s: %s\n", paths[i], a.err.text);
    assert_int_equal(a.status, TN_OK);
    if (text) assert_string_equal(a.text.data ? a.text.data : "", text);
    assert_int_equal(a.report.rows_selected, rows);
    tn_strbuf_clear(&a.text);
  }
}

static void every_format_gives_the_same_rows(void **state) {
  const char *const select[] = {"price", "id"};
  gives(&(tn_scan_options){.where = "id between 8 and 11"}, " 8,n1,1.5 9,n2,1.5 10,n3, 11,n4,1.5",
        4);
  gives(&(tn_scan_options){.where = "name = 'n3' and price is null and id < 200",
                           .select = select,
                           .select_count = 2},
        " ,10 ,80 ,150", 3);
  gives(&(tn_scan_options){.select = select, .select_count = 2, .has_limit = true, .limit = 3},
        " ,0 1.5,1 1.5,2", 3);
  gives(&(tn_scan_options){.where = "id >= 997", .has_limit = true, .limit = 2},
        " 997,n3,1.5 998,n4,1.5", 2);
  gives(&(tn_scan_options){.where = "id < 0"}, "", 0);
  gives(&(tn_scan_options){.where = "1 = 2"}, "", 0);
  gives(&(tn_scan_options){.has_limit = true}, "", 0);
  gives(&(tn_scan_options){0}, NULL, 1000);
  gives(&(tn_scan_options){.no_columns = true}, "", 1000);
  gives(&(tn_scan_options){.no_columns = true, .where = "name in ('n1', 'n2')"}, "", 286);
}

/* Ten row groups; `pad` is wide enough for the predicate's columns to be read first. */
static char groups_path[64];

static void make_groups(void) {
  char path[64];
  tn_table in;
  ArrowSchema schema;
  tn_table_writer *out;
  tn_strbuf text = {0};
  snprintf(path, sizeof path, "%s/groups.csv", folder);
  snprintf(groups_path, sizeof groups_path, "%s/groups.parquet", folder);
  tn_strbuf_add(&text, "id,k,word,pad\n");
  for (int i = 0; i < 1000; i++) {
    char k[20] = "";
    if (i % 13) snprintf(k, sizeof k, "%d", i % 10);
    tn_strbuf_addf(&text, "%d,%s,w%03d,\"%d of a long text that does not repeat: %d\"\n", i, k,
                   i / 7, i * 7919, i * i);
  }
  write_text(path, text.data);
  tn_strbuf_clear(&text);
  OK(tn_table_open(&in, path, &(tn_table_read_options){.batch_rows = 100}, &problem));
  OK(tn_stream_schema(&in.stream, &schema, &problem));
  tn_table_write_options o = {.parquet.row_group_rows = 100};
  OK(tn_table_writer_new(&out, groups_path, &schema, &o, &problem));
  ArrowArray batch;
  while (tn_stream_next(&in.stream, &batch, &problem) == TN_OK) {
    OK(tn_table_writer_batch(out, &batch, &problem));
    tn_array_clear(&batch);
  }
  OK(tn_table_writer_finish(out, &problem));
  tn_table_writer_free(out);
  tn_schema_clear(&schema);
  tn_table_close(&in);
}

static void pruning_changes_nothing(void **state) {
  static const char *const predicates[] = {"id between 250 and 260",
                                           "id < 100 or id >= 950",
                                           "k is null and id > 500",
                                           "word = 'w050'",
                                           "word in ('w001', 'w142')",
                                           "word like 'w10%'",
                                           "not (id > 30)",
                                           "k = 3",
                                           "k = 3 and word >= 'w12'",
                                           "id % 100 = 7",
                                           "word > 'x'",
                                           "id <> 5 and id < 10",
                                           "k not in (1, 2, 3)",
                                           "k is not null",
                                           "id < 5 or word = 'w142' or k = 9",
                                           "not (k = 1 or id < 990)"};
  int64_t left_out = 0;
  make_groups();
  for (size_t i = 0; i < sizeof predicates / sizeof *predicates; i++) {
    for (int64_t limit = -1; limit < 20; limit += 15) {
      tn_scan_options o = {.where = predicates[i], .has_limit = limit >= 0, .limit = limit};
      answer pruned = scan(groups_path, &o);
      o.no_pruning = true;
      answer whole = scan(groups_path, &o);
      if (pruned.status != TN_OK) print_error("%s: %s\n", predicates[i], pruned.err.text);
      assert_int_equal(pruned.status, TN_OK);
      assert_string_equal(pruned.text.data ? pruned.text.data : "",
                          whole.text.data ? whole.text.data : "");
      assert_int_equal(pruned.report.rows_selected, whole.report.rows_selected);
      left_out += pruned.report.prune.groups_by_statistics;
      tn_strbuf_clear(&pruned.text);
      tn_strbuf_clear(&whole.text);
    }
  }
  assert_true(left_out > 50);
  answer one = scan(groups_path, &(tn_scan_options){.where = "id = 250"});
  assert_int_equal(one.report.prune.groups, 10);
  assert_int_equal(one.report.prune.groups_by_statistics, 9);
  assert_int_equal(one.report.rows_seen, 100);
  tn_strbuf_clear(&one.text);
}

/* Columns change places when only some are read: each node's once, though `between` has one twice.
 */
static void columns_that_move(void **state) {
  static const char *const select[] = {"price", "id"};
  const char *const paths[] = {csv_path, jsonl_path, parquet_path, arrow_path};
  for (size_t i = 0; i < 4; i++) {
    answer a = scan(paths[i], &(tn_scan_options){.where = "name between 'n3' and 'n4' and id < 5",
                                                 .select = select,
                                                 .select_count = 2});
    assert_int_equal(a.status, TN_OK);
    assert_string_equal(a.text.data, " 1.5,3 1.5,4");
    tn_strbuf_clear(&a.text);
  }
}

static void mistakes_are_named(void **state) {
  answer a = scan(csv_path, &(tn_scan_options){.where = "pricee > 1"});
  assert_int_equal(a.status, TN_ERR_ARGUMENT);
  CONTAINS(a.err.text, "did you mean \"price\"?");
  const char *const twice[] = {"id", "id"}, *const wrong[] = {"idd"};
  a = scan(csv_path, &(tn_scan_options){.select = twice, .select_count = 2});
  CONTAINS(a.err.text, "asked for twice");
  a = scan(csv_path, &(tn_scan_options){.select = wrong, .select_count = 1});
  CONTAINS(a.err.text, "no column \"idd\" among 3: id, name, price");
}

static tn_status scan_again(void *context, tn_error *err) {
  const char *const select[] = {"name"};
  tn_scan *s;
  answer a = {0};
  TN_TRY(tn_scan_open(
      &s, context,
      &(tn_scan_options){.where = "id < 5", .select = select, .select_count = 1, .read.threads = 1},
      err));
  tn_status status = read_all(s, &a, err);
  tn_scan_close(s);
  tn_strbuf_clear(&a.text);
  return status;
}

/* Pruned, and the predicate's column first. */
static tn_status scan_again_wide(void *context, tn_error *err) {
  tn_scan *s;
  answer a = {0};
  TN_TRY(tn_scan_open(&s, context, &(tn_scan_options){.where = "k = 3 and id > 700"}, err));
  tn_status status = read_all(s, &a, err);
  tn_scan_close(s);
  tn_strbuf_clear(&a.text);
  return status;
}

/* ---- columns of the path ---- */
typedef struct by_path {
  const char *where, *path;
} by_path;

static tn_status scan_by_path(const by_path *b, answer *a, tn_error *err) {
  static const char *const paths[] = {"t/land=DE/year=2024/a.parquet",
                                      "t/land=__HIVE_DEFAULT_PARTITION__/year=7/a.parquet"};
  static const char *const select[] = {"year", "id", "land"};
  tn_hive hive;
  tn_scan *s;
  TN_TRY(tn_hive_open(&hive, paths, 2, err));
  tn_scan_options o = {.where = b->where,
                       .select = select,
                       .select_count = 3,
                       .hive = &hive,
                       .hive_file = strchr(b->path, 'n') ? 1 : 0,
                       .read.threads = 1};
  tn_status status = tn_scan_open(&s, groups_path, &o, err);
  if (status == TN_OK) {
    status = read_all(s, a, err);
    tn_scan_report_now(s, &a->report);
    tn_scan_close(s);
  }
  tn_hive_clear(&hive);
  return status;
}

static void selects_by_path(const char *path, const char *where, const char *rows) {
  answer a = {0};
  tn_status status = scan_by_path(&(by_path){where, path}, &a, &problem);
  if (status != TN_OK) print_error("%s: %s\n", where, problem.text);
  assert_int_equal(status, TN_OK);
  assert_string_equal(a.text.data ? a.text.data : "", rows);
  if (!*rows) assert_true(a.report.bytes_read < a.report.bytes_file / 2);
  tn_strbuf_clear(&a.text);
}

static void the_path_has_columns(void **state) {
  selects_by_path("DE", "land = 'DE' and year > 2000 and id = 5", " 2024,5,DE");
  selects_by_path("DE", "id = 5 and (land in ('FR', 'DE') or id = 6)", " 2024,5,DE");
  selects_by_path("DE", "not (land <> 'DE') and id in (3, 4)", " 2024,3,DE 2024,4,DE");
  selects_by_path("DE", "land = 'FR' or id = 1 and year % 2 = 1", "");
  selects_by_path("DE", "land is null", "");
  selects_by_path("DE", "id = 5 and (year = 2024 or k = 77)", " 2024,5,DE"); /* k is not needed */
}

static tn_status scan_again_by_path(void *context, tn_error *err) {
  answer a = {0};
  tn_status status = scan_by_path(context, &a, err);
  tn_strbuf_clear(&a.text);
  return status;
}

static void a_path_without_a_value(void **state) {
  selects_by_path("null", "land is null and id = 5 and year = 7", " 7,5,");
  selects_by_path("null", "land = 'DE'", "");
  selects_by_path("null", "not (land = 'DE')", ""); /* unknown */
  by_path mixed = {"id > year", "DE"};
  assert_int_equal(scan_again_by_path(&mixed, &problem), TN_ERR_ARGUMENT);
  CONTAINS(problem.text, "character 6: a column of the path is compared with one of the file");
}

static void every_allocation_may_fail(void **state) {
  by_path b = {"land = 'DE' and id = 5 and k < 9", "DE"};
  assert_true(fail_each_allocation(scan_again_by_path, &b) > 100);
  assert_true(fail_each_allocation(scan_again, parquet_path) > 20);
  assert_true(fail_each_allocation(scan_again_wide, groups_path) > 100);
  assert_true(fail_each_allocation(scan_again, jsonl_path) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_format_gives_the_same_rows),
                                     cmocka_unit_test(pruning_changes_nothing),
                                     cmocka_unit_test(columns_that_move),
                                     cmocka_unit_test(mistakes_are_named),
                                     cmocka_unit_test(the_path_has_columns),
                                     cmocka_unit_test(a_path_without_a_value),
                                     cmocka_unit_test(every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
