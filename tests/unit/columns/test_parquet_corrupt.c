/* Damaged files: every cut, every flipped byte, wrong magics; and the files that others made. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_parquet_table.h"

#include <dirent.h>
#include <stdlib.h>

#include "columns/parquet/metadata.h"

static void small_file(tn_strbuf *out, tn_parquet_codec codec, int64_t rows) {
  tn_error err = {0};
  test_table table;
  table_make(&table, &(table_shape){31, 1, rows, 9, 1, 20, 20});
  tn_parquet_write_options o = {.codec = codec,
                                .row_group_rows = rows * 2 / 3,
                                .no_page_index = true}; /* a scan would not see damage there */
  CHECK_OK(table_write(&table, &o, out, &err), &err);
  table_clear(&table);
}

static tn_status read_copy(const char *data, size_t length, int64_t *rows, tn_error *err) {
  tn_strbuf copy = {0}; /* of the exact size, so that ASan sees a byte too far */
  copy.data = tn_alloc(length ? length : 1, 1);
  assert_non_null(copy.data);
  if (length) memcpy(copy.data, data, length);
  copy.length = length;
  tn_status status = read_all(&copy, rows, err);
  tn_free(copy.data);
  return status;
}

static void every_cut_is_an_error(void **state) {
  tn_strbuf bytes = {0};
  int64_t rows, live;
  small_file(&bytes, TN_PARQUET_SNAPPY, 30);
  live = tn_alloc_live();
  for (size_t n = 0; n < bytes.length; n++) {
    tn_error err = {0};
    assert_true(read_copy(bytes.data, n, &rows, &err) != TN_OK);
    assert_non_null(strstr(err.text, "memory"));
  }
  /* A hole in the middle: the footer is whole, the data are not where it says. */
  for (size_t n = 4; n < bytes.length - 12; n += 7) {
    tn_strbuf cut = {0};
    tn_strbuf_append(&cut, bytes.data, n);
    tn_strbuf_append(&cut, bytes.data + n + 3, bytes.length - n - 3);
    assert_true(read_copy(cut.data, cut.length, &rows, NULL) != TN_OK);
    tn_strbuf_clear(&cut);
  }
  assert_int_equal(tn_alloc_live(), live);
  tn_strbuf_clear(&bytes);
}

/* Which bytes lie in pages, not in their headers: those the CRC answers for. */
static void mark_bodies(const tn_strbuf *bytes, uint8_t *body) {
  tn_error err = {0};
  tn_source *source;
  tn_parquet_file *file;
  CHECK_OK(tn_source_open_memory(&source, "memory", bytes->data, bytes->length, &err), &err);
  CHECK_OK(tn_parquet_open(&file, source, &err), &err);
  for (int64_t g = 0; g < tn_parquet_row_groups(file); g++) {
    for (int64_t c = 0; c < tn_parquet_columns(file); c++) {
      tn_parquet_chunk_info info;
      tn_parquet_chunk(file, g, c, &info);
      int64_t at = info.offset, end = at + info.compressed_bytes;
      while (at < end) {
        tn_parquet_page_header header;
        size_t used;
        CHECK_OK(tn_parquet_page_header_parse(&header, bytes->data + at, (size_t)(end - at), at,
                                              &used, &err),
                 &err);
        assert_true(header.has_crc);
        at += (int64_t)used;
        memset(body + at, 1, (size_t)header.compressed_bytes);
        at += header.compressed_bytes;
      }
      assert_int_equal(at, end);
    }
  }
  tn_parquet_close(file);
}

static void every_flipped_byte_in_a_page_is_noticed(void **state) {
  for (int c = 0; c < 2; c++) {
    tn_strbuf bytes = {0};
    int64_t rows, live, bodies = 0;
    small_file(&bytes, c ? TN_PARQUET_ZSTD : TN_PARQUET_UNCOMPRESSED, 20);
    uint8_t *body = calloc(bytes.length, 1);
    assert_non_null(body);
    mark_bodies(&bytes, body);
    live = tn_alloc_live();
    for (size_t i = 0; i < bytes.length; i++) {
      for (int bit = 1; bit < 256; bit <<= 5) {
        tn_error err = {0};
        bytes.data[i] ^= (char)bit;
        tn_status status = read_copy(bytes.data, bytes.length, &rows, &err);
        bytes.data[i] ^= (char)bit;
        assert_int_equal(tn_alloc_live(), live);
        if (body[i] && status != TN_ERR_CHECKSUM) {
          fail_msg("byte %zu, bit %d: status %d, %s", i, bit, status, err.text);
        }
        bodies += body[i];
      }
    }
    assert_true(bodies > 1000);
    CHECK_OK(read_copy(bytes.data, bytes.length, &rows, NULL), &(tn_error){0});
    free(body);
    tn_strbuf_clear(&bytes);
  }
}

static void an_error_says_where(void **state) {
  tn_strbuf bytes = {0};
  tn_error err = {0};
  int64_t rows;
  small_file(&bytes, TN_PARQUET_UNCOMPRESSED, 30);
  uint8_t *body = calloc(bytes.length, 1);
  assert_non_null(body);
  mark_bodies(&bytes, body);
  size_t at = 0;
  while (!body[at]) at++;
  bytes.data[at] ^= 1;
  assert_int_equal(read_copy(bytes.data, bytes.length, &rows, &err), TN_ERR_CHECKSUM);
  assert_non_null(strstr(err.text, "memory: row group 0: column \"b 0\": page at byte 4: "));
  free(body);
  tn_strbuf_clear(&bytes);
}

static void magics(void **state) {
  tn_strbuf bytes = {0};
  tn_error err = {0};
  int64_t rows;
  small_file(&bytes, TN_PARQUET_UNCOMPRESSED, 30);
  bytes.data[0] = 'X';
  assert_int_equal(read_copy(bytes.data, bytes.length, &rows, &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "does not begin with \"PAR1\""));
  bytes.data[0] = 'P';
  bytes.data[bytes.length - 1] = 'X';
  assert_int_equal(read_copy(bytes.data, bytes.length, &rows, &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "does not end with \"PAR1\""));
  bytes.data[bytes.length - 1] = 'E';
  assert_int_equal(read_copy(bytes.data, bytes.length, &rows, &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "begins with \"PAR1\" and ends with \"PARE\""));
  bytes.data[3] = 'E'; /* a plain footer is no encrypted one */
  assert_int_equal(read_copy(bytes.data, bytes.length, &rows, &err), TN_ERR_DATA);
  tn_strbuf_clear(&bytes);
}

static void page_limit(void **state) {
  tn_strbuf bytes = {0};
  tn_error err = {0};
  ArrowArrayStream stream;
  ArrowArray batch;
  small_file(&bytes, TN_PARQUET_SNAPPY, 2000);
  tn_parquet_read_options o = {.page_bytes_max = 50};
  CHECK_OK(open_memory(&bytes, &o, &stream, &err), &err);
  assert_int_equal(tn_stream_next(&stream, &batch, &err), TN_ERR_LIMIT);
  assert_non_null(strstr(err.text, "limit 50"));
  tn_stream_clear(&stream);
  tn_strbuf_clear(&bytes);
}

/* ---- files of others ------------------------------------------------------------------------- */

static tn_status read_path(const char *path, const tn_parquet_read_options *options, int64_t *rows,
                           tn_error *err) {
  tn_source *source;
  ArrowArrayStream stream = {0};
  *rows = 0;
  TN_TRY(tn_source_open_file(&source, path, err));
  TN_TRY(tn_parquet_read(&stream, source, options, err));
  tn_status status = TN_OK;
  while (status == TN_OK) {
    ArrowArray batch = {0};
    status = tn_stream_next(&stream, &batch, err);
    if (status == TN_OK) *rows += batch.length;
    tn_array_clear(&batch);
  }
  tn_stream_clear(&stream);
  return status == TN_END ? TN_OK : status;
}

static const char *testdata(void) {
  const char *folder = getenv("TENON_TESTDATA");
  return folder ? folder : "../shared/testdata";
}

static void files_of_others(void **state) {
  static const struct {
    const char *name;
    tn_status status;
    int64_t rows;
  } files[] = {
      {"data/alltypes_dictionary", TN_OK, 2},
      {"data/alltypes_plain", TN_OK, 8},
      {"data/alltypes_plain.snappy", TN_OK, 2},
      {"data/alltypes_tiny_pages", TN_OK, 7300},
      {"data/alltypes_tiny_pages_plain", TN_OK, 7300},
      {"data/binary", TN_OK, 12},
      {"data/data_index_bloom_encoding_stats", TN_OK, 14},
      {"data/datapage_v1-snappy-compressed-checksum", TN_OK, 5120},
      {"data/datapage_v1-uncompressed-checksum", TN_OK, 5120},
      {"data/datapage_v1-corrupt-checksum", TN_ERR_CHECKSUM, 0},
      {"data/nan_in_stats", TN_OK, 2},
      {"data/rle_boolean_encoding", TN_OK, 68},
      {"data/sort_columns", TN_OK, 6},
      {"data/byte_array_decimal", TN_OK, 24},
      {"data/byte_stream_split.zstd", TN_OK, 300},
      {"data/datapage_v2.snappy", TN_OK, 5},
      {"data/delta_binary_packed", TN_OK, 200},
      {"data/delta_encoding_required_column", TN_OK, 100},
      {"data/delta_length_byte_array", TN_OK, 1000},
      {"data/fixed_length_decimal", TN_OK, 24},
      {"data/float16_nonzeros_and_nans", TN_OK, 8},
      {"data/hadoop_lz4_compressed", TN_OK, 4},
      {"data/int32_decimal", TN_OK, 24},
      {"data/int64_decimal", TN_OK, 24},
      {"data/int96_from_spark", TN_OK, 6},
      {"data/list_columns", TN_OK, 3},
      {"data/lz4_raw_compressed", TN_OK, 4},
      {"data/nested_lists.snappy", TN_OK, 3},
      {"data/null_list", TN_OK, 1},
      {"data/nullable.impala", TN_OK, 7},
      {"data/repeated_no_annotation", TN_OK, 6},
      {"data/repeated_primitive_no_list", TN_OK, 4},
      {"bad/ARROW-RS-GH-6229-DICTHEADER", TN_ERR_DATA, 0},
      {"bad/PARQUET-1481", TN_ERR_DATA, 0},
      {"bad/ARROW-GH-41321", TN_ERR_DATA, 0},
  };
  char path[4096];
  snprintf(path, sizeof path, "%s/parquet/data", testdata());
  if (!tn_dir_exists(path)) skip();
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    tn_error err = {0};
    int64_t rows;
    snprintf(path, sizeof path, "%s/parquet/%s.parquet", testdata(), files[i].name);
    tn_status status = read_path(path, NULL, &rows, &err);
    if (status != files[i].status || (status == TN_OK && rows != files[i].rows)) {
      fail_msg("%s: status %d, %lld rows, %s", files[i].name, status, (long long)rows, err.text);
    }
    if (status != TN_OK) assert_non_null(strstr(err.text, files[i].name));
  }
}

/* Parts of nested columns, by their paths. */
static void parts_of_nested_files(void **state) {
  char path[4096];
  tn_error err = {0};
  int64_t rows;
  snprintf(path, sizeof path, "%s/parquet/data/repeated_no_annotation.parquet", testdata());
  if (!tn_file_exists(path)) skip();
  const char *names[] = {"phoneNumbers.phone.kind", "id", "phoneNumbers.phone.number"};
  tn_parquet_read_options o = {.columns = names, .column_count = 2};
  tn_source *source;
  ArrowArrayStream stream;
  ArrowSchema schema;
  CHECK_OK(tn_source_open_file(&source, path, &err), &err);
  CHECK_OK(tn_parquet_read(&stream, source, &o, &err), &err);
  CHECK_OK(tn_stream_schema(&stream, &schema, &err), &err);
  assert_int_equal(schema.n_children, 2);
  assert_string_equal(schema.children[0]->name, "phoneNumbers");
  const ArrowSchema *phone = schema.children[0]->children[0];
  assert_string_equal(phone->format, "+l");
  assert_int_equal(phone->children[0]->n_children, 1);
  assert_string_equal(phone->children[0]->children[0]->name, "kind");
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
  o.column_count = 3;
  CHECK_OK(read_path(path, &o, &rows, &err), &err);
  assert_int_equal(rows, 6);
  names[0] = "phoneNumbers.phone.colour";
  assert_int_equal(read_path(path, &o, &rows, &err), TN_ERR_NOT_FOUND);
  assert_non_null(strstr(err.text, "phoneNumbers.phone.number"));
}

/* Every file, whatever it is, with each byte in turn changed: nothing breaks. */
static void mutated_files_of_others(void **state) {
  char path[4096];
  snprintf(path, sizeof path, "%s/parquet/data", testdata());
  DIR *dir = opendir(path);
  if (!dir) skip();
  int64_t live = tn_alloc_live();
  for (struct dirent *entry; (entry = readdir(dir));) {
    tn_strbuf bytes = {0};
    int64_t rows;
    if (!tn_str_ends(tn_str_of(entry->d_name), TN_STR(".parquet"))) continue;
    snprintf(path, sizeof path, "%s/parquet/data/%s", testdata(), entry->d_name);
    if (tn_file_read(path, 20000, &bytes, NULL) == TN_OK) {
      size_t step = bytes.length / 500 + 1;
      for (size_t i = 0; i < bytes.length; i += step) {
        char was = bytes.data[i];
        bytes.data[i] = (char)tn_random_u64(1, 2, i);
        (void)!read_copy(bytes.data, bytes.length, &rows, NULL);
        bytes.data[i] = was;
      }
    }
    tn_strbuf_clear(&bytes);
  }
  closedir(dir);
  assert_int_equal(tn_alloc_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_cut_is_an_error),
      cmocka_unit_test(every_flipped_byte_in_a_page_is_noticed),
      cmocka_unit_test(an_error_says_where),
      cmocka_unit_test(magics),
      cmocka_unit_test(page_limit),
      cmocka_unit_test(files_of_others),
      cmocka_unit_test(parts_of_nested_files),
      cmocka_unit_test(mutated_files_of_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
