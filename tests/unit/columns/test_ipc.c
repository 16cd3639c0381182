/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "columns/ipc.h"
#include "columns/schema.h"
#include "columns/value.h"

/* One flat column of each; those of this room's first readers and writers. */
static const char *const formats[] = {"b", "c", "C", "s", "S",   "i",    "I",    "l",    "L",
                                      "f", "g", "u", "z", "tdD", "tsm:", "tsu:", "tsn:", "tsu:UTC"};
enum { COLUMNS = sizeof formats / sizeof *formats, BOOLS = 0, INT64S = 7, TEXTS = 11 };

static tn_field field_of(int column) {
  tn_field field = {.name = ""};
  OK(tn_type_parse(formats[column], &field.type, &problem));
  return field;
}

/* One column of every type; row r of column c is a function of r and c, every fifth is null. */
static bool is_null_at(int64_t row, int64_t column) {
  return column != 7 && (row + column) % 5 == 3;
}

static int64_t value_at(int column, int64_t row) {
  return column == BOOLS ? row % 3 == 0 : row % 90;
}

static tn_status make_column(int column, int64_t rows, ArrowArray *out, tn_error *err) {
  tn_builder *b;
  char word[24];
  tn_type type = field_of(column).type;
  TN_TRY(tn_builder_new_type(&b, &type, err));
  tn_status status = TN_OK;
  for (int64_t row = 0; status == TN_OK && row < rows; row++) {
    snprintf(word, sizeof word, "w%d", (int)row);
    if (is_null_at(row, column))
      status = tn_builder_append_null(b, err);
    else if (tn_type_is_real(type.id))
      status = tn_builder_append_f64(b, (double)row / 4, err);
    else if (tn_type_is_bytes(type.id))
      status = tn_builder_append_str(b, tn_str_of(word), err);
    else
      status = tn_builder_append_i64(b, value_at(column, row), err);
  }
  if (status == TN_OK) status = tn_builder_finish(b, out, err);
  tn_builder_free(b);
  return status;
}

static tn_status make_schema(ArrowSchema *out, tn_error *err) {
  TN_TRY(tn_schema_init_flat(out, formats, formats, COLUMNS, err)); /* named by its format */
  out->children[7]->flags = 0;                                      /* one that is not nullable */
  return TN_OK;
}

static tn_status make_batch(int64_t rows, ArrowArray *out, tn_error *err) {
  ArrowArray columns[COLUMNS];
  memset(columns, 0, sizeof columns);
  tn_status status = TN_OK;
  for (int t = 0; status == TN_OK && t < COLUMNS; t++)
    status = make_column(t, rows, &columns[t], err);
  if (status == TN_OK) status = tn_batch_new(out, columns, COLUMNS, rows, err);
  for (int t = 0; t < COLUMNS; t++) tn_array_clear(&columns[t]);
  return status;
}

/* Rows `first`.. of what make_batch made. */
static void check_batch(const ArrowArray *batch, int64_t first, int64_t rows) {
  char word[24];
  assert_int_equal(batch->length, rows);
  assert_int_equal(batch->n_children, COLUMNS);
  for (int t = 0; t < COLUMNS; t++) {
    tn_field f = field_of(t);
    const ArrowArray *a = batch->children[t];
    assert_int_equal(a->length, rows);
    for (int64_t i = 0; i < rows; i++) {
      int64_t row = first + i;
      snprintf(word, sizeof word, "w%d", (int)row);
      assert_int_equal(tn_array_is_null(a, i), is_null_at(row, t));
      if (is_null_at(row, t)) continue;
      if (tn_type_is_real(f.type.id))
        assert_true(tn_value_f64(&f, a, i) == (double)row / 4);
      else if (tn_type_is_bytes(f.type.id))
        assert_true(tn_str_is(tn_value_bytes(&f, a, i), word));
      else
        assert_int_equal(tn_value_i64(&f, a, i), value_at(t, row));
    }
  }
}

static const char *const pairs[] = {"tenon.format", "1", "empty", ""};

/* A file of three batches: 100 rows, none, and rows 13..50 of the first as a slice. */
static tn_status write_file(tn_strbuf *out, tn_error *err) {
  ArrowSchema schema = {0};
  ArrowArray batch = {0}, empty = {0};
  tn_sink *sink = NULL;
  tn_ipc_writer *w = NULL;
  tn_status status = tn_sink_open_memory(&sink, "t.arrow", out, err);
  if (status == TN_OK) status = make_schema(&schema, err);
  if (status == TN_OK) status = make_batch(100, &batch, err);
  if (status == TN_OK) status = make_batch(0, &empty, err);
  if (status == TN_OK) status = tn_ipc_writer_new(&w, sink, &schema, pairs, 4, err);
  if (status == TN_OK) status = tn_ipc_writer_batch(w, &batch, err);
  if (status == TN_OK) status = tn_ipc_writer_batch(w, &empty, err);
  if (status == TN_OK) {
    batch.offset = 13;
    batch.length = 37;
    status = tn_ipc_writer_batch(w, &batch, err);
  }
  if (status == TN_OK) status = tn_ipc_writer_finish(w, err);
  tn_ipc_writer_free(w);
  tn_array_clear(&batch);
  tn_array_clear(&empty);
  tn_schema_clear(&schema);
  tn_sink_close(sink);
  return status == TN_OK ? tn_strbuf_check(out, err) : status;
}

static void files_round_trip(void **state) {
  tn_strbuf bytes = {0};
  tn_source *source;
  tn_ipc_file *file;
  ArrowSchema schema;
  ArrowArray batch;
  OK(write_file(&bytes, &problem));
  OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
  OK(tn_ipc_file_open(&file, source, &problem));
  assert_int_equal(tn_ipc_file_batches(file), 3);
  assert_true(tn_str_is(tn_ipc_file_metadata(file, "tenon.format"), "1"));
  assert_non_null(tn_ipc_file_metadata(file, "empty").data);
  assert_int_equal(tn_ipc_file_metadata(file, "empty").length, 0);
  assert_null(tn_ipc_file_metadata(file, "absent").data);
  OK(tn_ipc_file_schema(file, &schema, &problem));
  for (int t = 0; t < COLUMNS; t++) {
    assert_string_equal(schema.children[t]->format, formats[t]);
    assert_int_equal(schema.children[t]->flags, t == 7 ? 0 : ARROW_FLAG_NULLABLE);
  }
  tn_schema_clear(&schema);
  const int64_t first[] = {0, 0, 13}, rows[] = {100, 0, 37};
  for (int64_t i = 0; i < 3; i++) {
    OK(tn_ipc_file_batch(file, i, &batch, &problem));
    check_batch(&batch, first[i], rows[i]);
    tn_array_clear(&batch);
  }
  tn_error err = {0};
  assert_int_equal(tn_ipc_file_batch(file, 3, &batch, &err), TN_ERR_ARGUMENT);
  tn_ipc_file_close(file);
  tn_strbuf_clear(&bytes);
}

static void columns_are_chosen_by_name(void **state) {
  const char *names[] = {formats[TEXTS], formats[BOOLS], formats[INT64S]};
  tn_field bools = field_of(BOOLS), int64s = field_of(INT64S);
  tn_strbuf bytes = {0};
  tn_source *source;
  ArrowArrayStream stream;
  ArrowArray batch;
  tn_error err = {0};
  OK(write_file(&bytes, &problem));
  OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
  OK(tn_ipc_read_columns(&stream, source, names, 3, &problem));
  OK(tn_stream_next(&stream, &batch, &problem));
  assert_int_equal(batch.n_children, 3);
  for (int64_t row = 0; row < 100; row++) {
    assert_int_equal(tn_array_is_null(batch.children[0], row), is_null_at(row, TEXTS));
    if (!is_null_at(row, BOOLS))
      assert_int_equal(tn_value_i64(&bools, batch.children[1], row), row % 3 == 0);
    assert_int_equal(tn_value_i64(&int64s, batch.children[2], row), row % 90);
  }
  tn_array_clear(&batch);
  tn_stream_clear(&stream);
  names[1] = "nope";
  OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
  assert_int_equal(tn_ipc_read_columns(&stream, source, names, 3, &err), TN_ERR_NOT_FOUND);
  CONTAINS(err.text, "\"nope\"");
  tn_strbuf_clear(&bytes);
}

static void schema_metadata_goes_round(void **state) {
  ArrowSchema schema, back;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_source *source;
  tn_ipc_writer *w;
  tn_ipc_file *file;
  const char own[] = "\2\0\0\0\1\0\0\0a\1\0\0\0x\1\0\0\0b\1\0\0\0y";
  const char *more[] = {"b", "new"};
  OK(make_schema(&schema, &problem));
  OK(tn_schema_set_metadata(&schema, own, &problem));
  OK(tn_schema_set_metadata(schema.children[2], own, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  OK(tn_ipc_writer_new(&w, sink, &schema, more, 2, &problem));
  OK(tn_ipc_writer_finish(w, &problem));
  OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
  OK(tn_ipc_file_open(&file, source, &problem));
  assert_true(tn_str_is(tn_ipc_file_metadata(file, "a"), "x"));
  assert_true(tn_str_is(tn_ipc_file_metadata(file, "b"), "new"));
  OK(tn_ipc_file_schema(file, &back, &problem));
  assert_int_equal(tn_metadata_bytes(back.children[2]->metadata), sizeof own - 1);
  assert_memory_equal(back.children[2]->metadata, own, sizeof own - 1);
  assert_null(back.children[3]->metadata);
  tn_schema_clear(&back);
  tn_schema_clear(&schema);
  tn_ipc_file_close(file);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
}

static bool is_view_of(const ArrowArray *batch, int column, const void *start, size_t bytes) {
  uintptr_t p = (uintptr_t)batch->children[column]->buffers[1], from = (uintptr_t)start;
  return p >= from && p < from + bytes;
}

static void batches_are_views_that_outlive_the_file(void **state) {
  char path[] = "/tmp/tenon-ipc-XXXXXX";
  tn_strbuf bytes = {0};
  tn_source *source;
  tn_ipc_file *file;
  ArrowArray batch;
  int64_t live = tn_alloc_live();
  OK(write_file(&bytes, &problem));
  OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
  OK(tn_ipc_file_open(&file, source, &problem));
  OK(tn_ipc_file_batch(file, 0, &batch, &problem));
  for (int t = 0; t < COLUMNS; t++) assert_true(is_view_of(&batch, t, bytes.data, bytes.length));
  tn_array_clear(&batch);
  tn_ipc_file_close(file);

  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, bytes.data, bytes.length), bytes.length);
  close(fd);
  OK(tn_source_open_file(&source, path, &problem));
  OK(tn_ipc_file_open(&file, source, &problem));
  OK(tn_ipc_file_batch(file, 0, &batch, &problem));
  for (int t = 0; t < COLUMNS; t++) /* mapped at a page, so each buffer is where the file has it */
    assert_int_equal((uintptr_t)batch.children[t]->buffers[1] % 64, 0);
  tn_ipc_file_close(file);
  unlink(path);
  check_batch(&batch, 0, 100); /* the mapping is still held */
  tn_array_clear(&batch);
  tn_strbuf_clear(&bytes);
  assert_int_equal(tn_alloc_live(), live);
}

static void sliced_children_are_moved_to_zero(void **state) {
  ArrowSchema schema;
  ArrowArray batch;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_source *source;
  tn_ipc_writer *w;
  ArrowArrayStream stream;
  OK(make_schema(&schema, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  OK(tn_ipc_writer_new(&w, sink, &schema, NULL, 0, &problem));
  for (int64_t from = 0; from < 20; from++) {
    OK(make_batch(100, &batch, &problem));
    for (int t = 0; t < COLUMNS; t++) {
      batch.children[t]->offset = from;
      batch.children[t]->length = 77;
      batch.children[t]->null_count = -1;
    }
    batch.length = 77;
    OK(tn_ipc_writer_batch(w, &batch, &problem));
    tn_array_clear(&batch);
  }
  OK(tn_ipc_writer_finish(w, &problem));
  OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
  OK(tn_ipc_read(&stream, source, &problem));
  for (int64_t from = 0; from < 20; from++) {
    OK(tn_stream_next(&stream, &batch, &problem));
    check_batch(&batch, from, 77);
    tn_array_clear(&batch);
  }
  assert_int_equal(tn_stream_next(&stream, &batch, &problem), TN_END);
  tn_stream_clear(&stream);
  tn_ipc_writer_free(w);
  tn_schema_clear(&schema);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
}

/* Writes what was read, which touches every byte of it. */
static tn_status write_again(tn_ipc_writer *w, const ArrowArray *batch, tn_error *err) {
  tn_status status = tn_ipc_writer_batch(w, batch, err);
  return status == TN_ERR_UNSUPPORTED ? TN_OK : status; /* a field that became a dictionary */
}

/* Reads everything there is; any status is fine, a value must be safe to touch. */
static tn_status read_all(const char *data, size_t length, tn_error *err) {
  tn_source *source;
  ArrowArrayStream stream;
  ArrowArray batch;
  ArrowSchema schema;
  tn_strbuf again = {0};
  tn_sink *sink = NULL;
  tn_ipc_writer *w = NULL;
  TN_TRY(tn_source_open_memory(&source, "t.arrow", data, length, err));
  TN_TRY(tn_ipc_read(&stream, source, err));
  tn_status status = tn_stream_schema(&stream, &schema, err);
  if (status == TN_OK) status = tn_sink_open_memory(&sink, "again.arrow", &again, err);
  if (status == TN_OK) status = tn_ipc_writer_new(&w, sink, &schema, NULL, 0, err);
  while (status == TN_OK && (status = tn_stream_next(&stream, &batch, err)) == TN_OK) {
    status = write_again(w, &batch, err);
    tn_array_clear(&batch);
  }
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_strbuf_clear(&again);
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
  return status == TN_END ? TN_OK : status;
}

static void every_truncation_is_an_error(void **state) {
  tn_strbuf bytes = {0};
  OK(write_file(&bytes, &problem));
  OK(read_all(bytes.data, bytes.length, &problem));
  for (size_t length = 0; length < bytes.length; length += length < 200 ? 1 : 37) {
    tn_error err = {0};
    char *cut = malloc(length + 1); /* exactly so long, for the sanitizer's eyes */
    memcpy(cut, bytes.data, length);
    assert_int_equal(read_all(cut, length, &err), TN_ERR_DATA);
    CONTAINS(err.text, "t.arrow");
    free(cut);
  }
  tn_strbuf_clear(&bytes);
}

static void flipped_bytes_never_crash(void **state) {
  uint64_t seed = (uint64_t)time(NULL), errors = 0;
  print_message("seed %llu\n", (unsigned long long)seed);
  tn_strbuf bytes = {0};
  OK(write_file(&bytes, &problem));
  int64_t live = tn_alloc_live();
  char *copy = malloc(bytes.length);
  for (uint64_t i = 0; i < 3000; i++) {
    memcpy(copy, bytes.data, bytes.length);
    for (uint64_t k = 0; k <= i % 3; k++) {
      /* every second time in the footer, where a byte does most */
      size_t span = i % 2 ? 4000 : bytes.length;
      size_t at = bytes.length - 1 - (size_t)tn_random_below(seed, i, k, span);
      copy[at] = (char)tn_random_u64(seed, i, 10 + k);
    }
    tn_error err = {0};
    tn_status status = read_all(copy, bytes.length, &err);
    errors += status != TN_OK;
    assert_true(status == TN_OK || err.text[0]);
    assert_int_equal(tn_alloc_live(), live);
  }
  assert_true(errors > 100);
  free(copy);
  tn_strbuf_clear(&bytes);
}

static tn_status write_and_read(void *context, tn_error *err) {
  tn_strbuf bytes = {0};
  tn_status status = write_file(&bytes, err);
  tn_source *source;
  tn_ipc_file *file;
  ArrowArray batch;
  if (status == TN_OK)
    status = tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, err);
  if (status == TN_OK && (status = tn_ipc_file_open(&file, source, err)) == TN_OK) {
    for (int64_t i = 0; status == TN_OK && i < 3; i++) {
      status = tn_ipc_file_batch(file, i, &batch, err);
      tn_array_clear(&batch);
    }
    tn_ipc_file_close(file);
  }
  tn_strbuf_clear(&bytes);
  return status;
}

static void every_allocation_may_fail(void **state) {
  assert_true(fail_each_allocation(write_and_read, NULL) > 200);
}

static tn_status full_disk(tn_sink *self, const void *bytes, size_t count, tn_error *err) {
  self->bytes_written += (int64_t)count;
  if (self->bytes_written < 5000) return TN_OK;
  return tn_fail(err, TN_ERR_IO, "%s: no space left", self->name);
}

static void a_writer_that_failed_stays_failed(void **state) {
  tn_sink sink = {.name = "disk", .write = full_disk};
  ArrowSchema schema;
  ArrowArray batch;
  tn_ipc_writer *w;
  tn_error err = {0};
  OK(make_schema(&schema, &problem));
  OK(make_batch(1000, &batch, &problem));
  OK(tn_ipc_writer_new(&w, &sink, &schema, NULL, 0, &problem));
  assert_int_equal(tn_ipc_writer_batch(w, &batch, &err), TN_ERR_IO);
  memset(&err, 0, sizeof err);
  sink.bytes_written = 0;
  assert_int_equal(tn_ipc_writer_finish(w, &err), TN_ERR_IO);
  CONTAINS(err.text, "no space left");
  tn_ipc_writer_free(w);
  tn_array_clear(&batch);
  tn_schema_clear(&schema);
}

static void wrong_batches_are_refused(void **state) {
  tn_strbuf bytes = {0};
  tn_sink *sink;
  ArrowSchema schema;
  ArrowArray batch;
  tn_ipc_writer *w;
  tn_error err = {0};
  const char *odd[] = {"key"};
  OK(make_schema(&schema, &problem));
  OK(make_batch(10, &batch, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  assert_int_equal(tn_ipc_writer_new(&w, sink, &schema, odd, 1, &err), TN_ERR_ARGUMENT);
  OK(tn_ipc_writer_new(&w, sink, &schema, NULL, 0, &problem));
  batch.length = 11;
  assert_int_equal(tn_ipc_writer_batch(w, &batch, &err), TN_ERR_ARGUMENT);
  batch.length = 10;
  batch.n_children--;
  assert_int_equal(tn_ipc_writer_batch(w, &batch, &err), TN_ERR_ARGUMENT);
  batch.n_children++;
  OK(tn_ipc_writer_batch(w, &batch, &problem)); /* a refused batch breaks nothing */
  OK(tn_ipc_writer_finish(w, &problem));
  OK(read_all(bytes.data, bytes.length, &problem));
  tn_ipc_writer_free(w);
  tn_array_clear(&batch);
  tn_schema_clear(&schema);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
}

static void other_files_are_told_apart(void **state) {
  tn_error err = {0};
  char stream[64] = "\xff\xff\xff\xff", text[64] = "a,b\n", feather[64] = "FEA1";
  assert_int_equal(read_all(stream, sizeof stream, &err), TN_ERR_DATA);
  CONTAINS(err.text, "without a schema");
  assert_int_equal(read_all(text, sizeof text, &err), TN_ERR_DATA);
  CONTAINS(err.text, "ARROW1");
  assert_int_equal(read_all(feather, sizeof feather, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "Feather");
}

static void a_table_without_columns(void **state) {
  ArrowSchema schema;
  ArrowArray batch;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_ipc_writer *w;
  OK(tn_schema_init_flat(&schema, NULL, NULL, 0, &problem));
  OK(tn_batch_new(&batch, NULL, 0, 5, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  OK(tn_ipc_writer_new(&w, sink, &schema, NULL, 0, &problem));
  OK(tn_ipc_writer_batch(w, &batch, &problem));
  OK(tn_ipc_writer_finish(w, &problem));
  OK(read_all(bytes.data, bytes.length, &problem));
  tn_ipc_writer_free(w);
  tn_array_clear(&batch);
  tn_schema_clear(&schema);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(files_round_trip),
      cmocka_unit_test(columns_are_chosen_by_name),
      cmocka_unit_test(schema_metadata_goes_round),
      cmocka_unit_test(batches_are_views_that_outlive_the_file),
      cmocka_unit_test(sliced_children_are_moved_to_zero),
      cmocka_unit_test(every_truncation_is_an_error),
      cmocka_unit_test(flipped_bytes_never_crash),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(a_writer_that_failed_stays_failed),
      cmocka_unit_test(wrong_batches_are_refused),
      cmocka_unit_test(other_files_are_told_apart),
      cmocka_unit_test(a_table_without_columns),
  };
  return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}
