/* Written tables read back equal; statistics, projection, options and failing allocations. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_parquet_table.h"

#include <math.h>
#include <time.h>

static const tn_parquet_codec codecs[] = {TN_PARQUET_UNCOMPRESSED, TN_PARQUET_SNAPPY,
                                          TN_PARQUET_GZIP, TN_PARQUET_ZSTD};

static void round_trip(const table_shape *shape, const tn_parquet_write_options *options,
                       int64_t batch_rows) {
  tn_error err = {0};
  tn_strbuf bytes = {0};
  test_table table;
  table_make(&table, shape);
  CHECK_OK(table_write(&table, options, &bytes, &err), &err);
  table_check(&table, &bytes, batch_rows);
  table_clear(&table);
  tn_strbuf_clear(&bytes);
}

static void every_type_and_codec(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  int64_t live = tn_alloc_live();
  for (size_t c = 0; c < 4; c++) {
    table_shape s = {seed + c, 3, 1000, 0, 1, 20, 60};
    round_trip(&s, &(tn_parquet_write_options){.codec = codecs[c]}, 333);
    s = (table_shape){seed + c, 2, 3000, 50, 1, 5, 20};
    round_trip(&s, &(tn_parquet_write_options){.codec = codecs[c], .row_group_rows = 1111}, 4096);
  }
  assert_int_equal(tn_alloc_live(), live);
}

static void sizes_and_nulls(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  const int64_t rows[] = {0, 1, 2, 7, 8, 9, 63, 64, 65, 1023, 2047, 2048, 2049};
  const int32_t nulls[] = {0, 1, 50, 99, 100};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    for (size_t n = 0; n < sizeof nulls / sizeof *nulls; n++) {
      table_shape s = {seed + r * 10 + n, 1, rows[r], n % 2 ? 5 : 0, n == 2 ? 13 : 1, nulls[n], 10};
      round_trip(&s, NULL, 100);
    }
  }
}

/* Small pages and dictionaries: every path by which a dictionary is given up or kept. */
static void pages_and_dictionaries(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  const int64_t dictionary_bytes[] = {1, 64, 1000, 20000};
  const int64_t distinct[] = {1, 2, 3, 100, 3000, 0};
  for (size_t d = 0; d < 4; d++) {
    for (size_t k = 0; k < 6; k++) {
      table_shape s = {seed + d * 10 + k, 2, 5000, distinct[k], k % 2 ? 1 : 40, 10, 12};
      tn_parquet_write_options o = {.codec = TN_PARQUET_ZSTD,
                                    .page_bytes = 700,
                                    .dictionary_bytes = dictionary_bytes[d],
                                    .row_group_rows = 8000};
      round_trip(&s, &o, 1000);
    }
  }
  table_shape s = {seed, 2, 20000, 0, 1, 10, 8};
  round_trip(&s, &(tn_parquet_write_options){0}, 65536); /* the trial finds no repetition */
  round_trip(&s, &(tn_parquet_write_options){.no_dictionary = true, .page_bytes = 1}, 65536);
}

/* A dictionary that pays until it is full is kept, and PLAIN pages follow in the same chunk. */
static void dictionary_then_plain(void **state) {
  tn_error err = {0};
  tn_strbuf bytes = {0};
  test_table table;
  table_make(&table, &(table_shape){7, 2, 6000, 40, 1, 0, 60});
  table_shape fresh = {8, 1, 6000, 0, 1, 0, 60};
  for (int64_t c = 0; c < table.columns; c++) { /* the second half: all different */
    tn_array_clear(table.batches[1].children[c]);
    fill_column(&fresh, table.types[c], c % 2 == 0, (uint64_t)c, table.batches[1].children[c],
                &err);
  }
  tn_parquet_write_options o = {.dictionary_bytes = 2000};
  CHECK_OK(table_write(&table, &o, &bytes, &err), &err);
  table_check(&table, &bytes, 4096);
  tn_source *source;
  tn_parquet_file *file;
  CHECK_OK(tn_source_open_memory(&source, "memory", bytes.data, bytes.length, &err), &err);
  CHECK_OK(tn_parquet_open(&file, source, &err), &err);
  tn_parquet_chunk_info info;
  tn_parquet_chunk(file, 0, 2 * TABLE_INT64, &info);
  assert_string_equal(info.encodings, "PLAIN RLE RLE_DICTIONARY");
  tn_parquet_close(file);
  table_clear(&table);
  tn_strbuf_clear(&bytes);
}

static void sliced_arrays(void **state) {
  tn_error err = {0};
  tn_strbuf bytes = {0};
  test_table table, part;
  table_make(&table, &(table_shape){11, 1, 500, 0, 1, 30, 20});
  part = table;
  ArrowArray batch = table.batches[0]; /* a borrowed look at rows 37 to 436 */
  batch.offset = 37, batch.length = 400;
  part.batches[0] = batch;
  CHECK_OK(table_write(&part, &(tn_parquet_write_options){.row_group_rows = 90}, &bytes, &err),
           &err);
  ArrowArrayStream stream = {0};
  ArrowArray got = {0};
  CHECK_OK(open_memory(&bytes, NULL, &stream, &err), &err);
  for (int64_t row = 0; row < 400; row += got.length) {
    tn_array_clear(&got);
    CHECK_OK(tn_stream_next(&stream, &got, &err), &err);
    for (int64_t c = 0; c < table.columns; c++) {
      for (int64_t i = 0; i < got.length; i++) {
        assert_true(same_value(table.types[c], table.batches[0].children[c], 37 + row + i,
                               got.children[c], i));
      }
    }
  }
  tn_array_clear(&got);
  tn_stream_clear(&stream);
  table_clear(&table);
  tn_strbuf_clear(&bytes);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static tn_parquet_file *one_column(table_type type, const double *reals, const char **texts,
                                   int64_t count, tn_strbuf *bytes) {
  tn_error err = {0};
  test_table t = {.batch_count = 1, .columns = 1, .rows = count};
  const char *name = "x";
  tn_builder *b;
  ArrowArray column;
  CHECK_OK(tn_schema_init_flat(&t.schema, &name, &table_formats[type], 1, &err), &err);
  CHECK_OK(tn_builder_new_format(&b, table_formats[type], &err), &err);
  for (int64_t i = 0; i < count; i++) {
    if (texts && !texts[i]) {
      CHECK_OK(tn_builder_append_null(b, &err), &err);
    } else if (texts) {
      CHECK_OK(tn_builder_append_str(b, tn_str_of(texts[i]), &err), &err);
    } else if (type == TABLE_FLOAT || type == TABLE_DOUBLE) {
      CHECK_OK(tn_builder_append_f64(b, reals[i], &err), &err);
    } else {
      CHECK_OK(tn_builder_append_i64(b, (int64_t)reals[i], &err), &err);
    }
  }
  CHECK_OK(tn_builder_finish(b, &column, &err), &err);
  tn_builder_free(b);
  CHECK_OK(tn_batch_new(&t.batches[0], &column, 1, count, &err), &err);
  CHECK_OK(table_write(&t, NULL, bytes, &err), &err);
  table_clear(&t);
  tn_source *source;
  tn_parquet_file *file;
  CHECK_OK(tn_source_open_memory(&source, "memory", bytes->data, bytes->length, &err), &err);
  CHECK_OK(tn_parquet_open(&file, source, &err), &err);
  return file;
}

static void check_range(table_type type, const double *reals, const char **texts, int64_t count,
                        const char *min, const char *max) {
  tn_strbuf bytes = {0};
  tn_parquet_file *file = one_column(type, reals, texts, count, &bytes);
  tn_parquet_chunk_info info;
  tn_parquet_chunk(file, 0, 0, &info);
  assert_int_equal(info.has_min_max, min != NULL);
  if (min) {
    assert_string_equal(info.min, min);
    assert_string_equal(info.max, max);
  }
  tn_parquet_close(file);
  tn_strbuf_clear(&bytes);
}

static void ranges(void **state) {
  check_range(TABLE_INT8, (double[]){3, -100, 100}, NULL, 3, "-100", "100");
  check_range(TABLE_UINT8, (double[]){3, 200, 100}, NULL, 3, "3", "200");
  check_range(TABLE_UINT32, (double[]){4294967295.0, 5}, NULL, 2, "5", "4294967295");
  check_range(TABLE_DATE32, (double[]){0, 19000}, NULL, 2, "1970-01-01", "2022-01-08");
  check_range(TABLE_BOOL, (double[]){1, 1}, NULL, 2, "true", "true");
  check_range(TABLE_BOOL, (double[]){1, 0}, NULL, 2, "false", "true");
  check_range(TABLE_DOUBLE, (double[]){NAN, 2.5, -1.5, NAN}, NULL, 4, "-1.5", "2.5");
  check_range(TABLE_FLOAT, (double[]){NAN, NAN}, NULL, 2, NULL, NULL);
  check_range(TABLE_STRING, NULL, (const char *[]){"b", NULL, "abc", "\xc3\xa9"}, 4, "abc",
              "\xc3\xa9");
  check_range(TABLE_STRING, NULL, (const char *[]){NULL, NULL}, 2, NULL, NULL);
}

static void zeros_keep_their_signs(void **state) {
  tn_strbuf bytes = {0};
  tn_parquet_file *file = one_column(TABLE_DOUBLE, (double[]){0.0, 0.0}, NULL, 2, &bytes);
  tn_parquet_chunk_info info;
  tn_parquet_chunk(file, 0, 0, &info);
  double min = 1, max = 1;
  assert_true(info.has_min_max);
  assert_true(tn_str_to_f64(tn_str_of(info.min), &min) && tn_str_to_f64(tn_str_of(info.max), &max));
  assert_true(min == 0 && signbit(min));
  assert_true(max == 0 && !signbit(max));
  tn_parquet_close(file);
  tn_strbuf_clear(&bytes);
}

/* ---- projection ------------------------------------------------------------------------------ */

static void projection_reads_only_its_bytes(void **state) {
  tn_error err = {0};
  tn_strbuf bytes = {0};
  test_table table;
  table_make(&table, &(table_shape){3, 2, 5000, 0, 1, 10, 30});
  CHECK_OK(table_write(&table, NULL, &bytes, &err), &err);
  tn_source *source;
  tn_parquet_file *file;
  CHECK_OK(tn_source_open_memory(&source, "memory", bytes.data, bytes.length, &err), &err);
  CHECK_OK(tn_parquet_open(&file, source, &err), &err);
  int64_t footer = tn_parquet_bytes_read(file), wanted = 0;
  assert_true(footer > 0 && footer < 100000);
  const char *names[] = {"u 1", "b 0"};
  const int64_t indices[] = {2 * TABLE_STRING + 1, 2 * TABLE_BOOL};
  for (int i = 0; i < 2; i++) {
    tn_parquet_chunk_info info;
    tn_parquet_chunk(file, 0, indices[i], &info);
    wanted += info.compressed_bytes;
  }
  ArrowArrayStream stream;
  tn_parquet_read_options o = {.columns = names, .column_count = 2, .batch_rows = 20000};
  CHECK_OK(tn_parquet_scan(file, &o, &stream, &err), &err);
  ArrowArray batch = {0};
  CHECK_OK(tn_stream_next(&stream, &batch, &err), &err);
  assert_int_equal(batch.n_children, 2);
  assert_int_equal(batch.length, 10000);
  for (int64_t i = 0; i < 5000; i++) {
    assert_true(
        same_value(TABLE_STRING, table.batches[0].children[indices[0]], i, batch.children[0], i));
  }
  assert_int_equal(tn_parquet_bytes_read(file) - footer, wanted);
  tn_array_clear(&batch);
  tn_stream_clear(&stream);
  names[1] = "nobody";
  assert_int_equal(tn_parquet_scan(file, &o, &stream, &err), TN_ERR_NOT_FOUND);
  assert_non_null(strstr(err.text, "no column \"nobody\""));
  tn_parquet_close(file);
  table_clear(&table);
  tn_strbuf_clear(&bytes);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Rounds of several MiB begin and end inside pages, and pages of the next one are found while this
 * one is still being read. */
static void pages_ahead_across_rounds(void **state) {
  tn_error err = {0};
  test_table table;
  table_make(&table, &(table_shape){17, 2, 12000, 3000, 1, 10, 60});
  for (int32_t threads = 2; threads <= 4; threads++) {
    tn_pool *pool;
    CHECK_OK(tn_pool_new(&pool, threads, &err), &err);
    for (int32_t version = 1; version <= 2; version++) {
      tn_strbuf bytes = {0};
      tn_parquet_write_options o = {.codec = TN_PARQUET_ZSTD,
                                    .data_page_version = version,
                                    .page_bytes = threads * 7000,
                                    .row_group_rows = threads == 3 ? 9000 : 24000};
      CHECK_OK(table_write(&table, &o, &bytes, &err), &err);
      table_check_on(&table, &bytes, 1000, pool);
      tn_strbuf_clear(&bytes);
    }
    tn_pool_free(pool);
  }
  table_clear(&table);
}

/* Threads say of a damaged page what one alone says. */
static void damage_is_the_same_on_threads(void **state) {
  tn_error err = {0};
  tn_strbuf bytes = {0};
  test_table table;
  tn_pool *pool;
  int64_t rows, failures = 0;
  table_make(&table, &(table_shape){19, 1, 300, 50, 1, 10, 30});
  tn_parquet_write_options o = {.codec = TN_PARQUET_ZSTD, .page_bytes = 500, .row_group_rows = 200};
  CHECK_OK(table_write(&table, &o, &bytes, &err), &err);
  CHECK_OK(tn_pool_new(&pool, 2, &err), &err);
  int64_t live = tn_alloc_live();
  for (size_t at = 4; at < bytes.length; at += 151) {
    tn_error alone = {0}, together = {0};
    bytes.data[at] ^= 0x24;
    tn_status want = read_all_on(&bytes, NULL, &rows, &alone);
    assert_int_equal(read_all_on(&bytes, pool, &rows, &together), want);
    assert_string_equal(together.text, alone.text);
    bytes.data[at] ^= 0x24;
    failures += want != TN_OK;
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_true(failures > 30);
  tn_pool_free(pool);
  table_clear(&table);
  tn_strbuf_clear(&bytes);
}

/* ---- misuse and memory ----------------------------------------------------------------------- */

static void nulls_in_a_required_column(void **state) {
  tn_error err = {0};
  tn_strbuf bytes = {0};
  test_table table;
  table_make(&table, &(table_shape){5, 1, 100, 0, 1, 50, 30});
  table.schema.children[0]->flags = 0;
  assert_int_equal(table_write(&table, NULL, &bytes, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "b 0"));
  table_clear(&table);
  tn_strbuf_clear(&bytes);
}

static void bad_options(void **state) {
  tn_error err = {0};
  tn_strbuf bytes = {0};
  test_table table;
  table_make(&table, &(table_shape){5, 1, 10, 0, 1, 50, 30});
  tn_parquet_write_options bad[] = {{.codec = (tn_parquet_codec)3},
                                    {.codec = (tn_parquet_codec)99},
                                    {.row_group_rows = -1},
                                    {.page_bytes = -1},
                                    {.dictionary_bytes = (int64_t)1 << 40}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    err.text[0] = '\0';
    tn_status status = table_write(&table, &bad[i], &bytes, &err);
    assert_true(status >= TN_ERR_MEMORY);
    assert_true(strlen(err.text) > 10);
    bytes.length = 0;
  }
  table_clear(&table);
  tn_strbuf_clear(&bytes);
}

/* Each allocation of a write and of a read fails in turn; nothing leaks, and in the end it works.
 */
static void failing_allocations(void **state) {
  tn_error err = {0};
  test_table table;
  table_make(&table, &(table_shape){21, 2, 60, 6, 1, 20, 30});
  tn_parquet_write_options o = {
      .codec = TN_PARQUET_SNAPPY, .row_group_rows = 80, .dictionary_bytes = 100};
  tn_strbuf good = {0};
  CHECK_OK(table_write(&table, &o, &good, &err), &err);
  int64_t live = tn_alloc_live(), failures = 0;
  for (int64_t n = 1;; n++) {
    tn_strbuf bytes = {0};
    tn_alloc_fail_at(n);
    tn_status status = table_write(&table, &o, &bytes, &err);
    tn_alloc_fail_at(0);
    tn_strbuf_clear(&bytes);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    failures++;
  }
  assert_true(failures > 100);
  failures = 0;
  for (int64_t n = 1;; n++) {
    int64_t rows;
    tn_alloc_fail_at(n);
    tn_status status = read_all(&good, &rows, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
    failures++;
  }
  assert_true(failures > 100);
  tn_pool *pool;
  CHECK_OK(tn_pool_new(&pool, 2, &err), &err);
  live = tn_alloc_live();
  for (int64_t n = 1; n < 3 * failures; n++) { /* what finds no room ahead is read later */
    int64_t rows;
    tn_alloc_fail_at(n);
    tn_status status = read_all_on(&good, pool, &rows, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    assert_true(status == TN_ERR_MEMORY || (status == TN_OK && rows == table.rows));
  }
  tn_pool_free(pool);
  table_clear(&table);
  tn_strbuf_clear(&good);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type_and_codec),
      cmocka_unit_test(sizes_and_nulls),
      cmocka_unit_test(pages_and_dictionaries),
      cmocka_unit_test(dictionary_then_plain),
      cmocka_unit_test(sliced_arrays),
      cmocka_unit_test(ranges),
      cmocka_unit_test(zeros_keep_their_signs),
      cmocka_unit_test(projection_reads_only_its_bytes),
      cmocka_unit_test(pages_ahead_across_rounds),
      cmocka_unit_test(damage_is_the_same_on_threads),
      cmocka_unit_test(nulls_in_a_required_column),
      cmocka_unit_test(bad_options),
      cmocka_unit_test(failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
