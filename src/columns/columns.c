/* columns.c - the public face of this room, include/tenon/columns.h: options by name, tables as
 * Arrow streams. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "tenon/columns.h"

#include "columns/arrow_device.h"
#include "columns/import.h"
#include "columns/table_options.h"
#include "columns/table_parquet.h"
#include "columns/table_set.h"

/* ---- options ---- */
static tn_status read_options(tn_table_read_options *out, tn_arena *arena,
                              const char *const *options, tn_error *err) {
  for (; options && options[0]; options += 2)
    TN_TRY(tn_table_read_option(out, arena, options[0], options[1] ? options[1] : "", err));
  return TN_OK;
}

static tn_status write_options(tn_table_write_options *out, tn_arena *arena,
                               const char *const *options, tn_error *err) {
  for (; options && options[0]; options += 2)
    TN_TRY(tn_table_write_option(out, arena, options[0], options[1] ? options[1] : "", err));
  return TN_OK;
}

const char *tn_columns_option(int32_t writing, int32_t index, const char **help) {
  int32_t count;
  const tn_table_option *list =
      writing ? tn_table_write_option_list(&count) : tn_table_read_option_list(&count);
  if (index < 0 || index >= count) return NULL;
  if (help) *help = list[index].help;
  return list[index].key;
}

/* ---- whole tables ---- */
/* Path and options live as long as the stream: readers borrow their texts. */
typedef struct open_table {
  tn_table_set *set;
  const char *path;
  tn_table_read_options options;
  tn_arena arena;
} open_table;

static tn_status open_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_table_set_schema(((open_table *)reader)->set, out, err);
}

static tn_status open_next(void *reader, ArrowArray *out, tn_error *err) {
  return tn_table_set_next(((open_table *)reader)->set, out, err);
}

static void open_free(void *reader) {
  open_table *open = reader;
  tn_table_set_close(open->set);
  tn_arena_clear(&open->arena);
  tn_free(open);
}

tn_status tn_columns_open(ArrowArrayStream *out, const char *path, const char *const *options,
                          tn_error *err) {
  static const tn_reader_ops ops = {open_schema, open_next, open_free};
  *out = (ArrowArrayStream){0};
  open_table *open = tn_alloc(1, sizeof *open);
  if (!open) return tn_fail_memory(err, path, sizeof *open);
  open->path = tn_arena_strndup(&open->arena, path, strlen(path));
  tn_status status = open->path ? TN_OK : tn_fail_memory(err, path, strlen(path));
  if (status == TN_OK) status = read_options(&open->options, &open->arena, options, err);
  if (status == TN_OK)
    status = tn_table_options_check(false, options, path, open->options.format, err);
  if (status == TN_OK) status = tn_table_set_open(&open->set, &open->path, 1, &open->options, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, open, err);
  open_free(open);
  return status;
}

static tn_status copy_stream(tn_table_writer *writer, ArrowArrayStream *in, tn_error *err) {
  for (;;) {
    ArrowArray batch = {0};
    tn_status status = tn_stream_next(in, &batch, err);
    if (status == TN_END) return tn_table_writer_finish(writer, err);
    TN_TRY(status);
    status = tn_table_writer_batch(writer, &batch, err);
    tn_array_clear(&batch);
    TN_TRY(status);
  }
}

tn_status tn_columns_write(const char *path, ArrowArrayStream *in, const char *const *options,
                           tn_error *err) {
  tn_arena arena = {0};
  tn_table_write_options write = {0};
  tn_table_writer *writer = NULL;
  ArrowSchema schema = {0};
  ArrowArrayStream checked = {0};
  tn_status status = write_options(&write, &arena, options, err);
  if (status == TN_OK) status = tn_table_options_check(true, options, path, write.format, err);
  if (status == TN_OK) status = tn_stream_import(&checked, in, err);
  if (status == TN_OK) status = tn_stream_schema(&checked, &schema, err);
  if (status == TN_OK) status = tn_table_writer_new(&writer, path, &schema, &write, err);
  if (status == TN_OK) status = copy_stream(writer, &checked, err);
  tn_table_writer_free(writer);
  tn_schema_clear(&schema);
  tn_stream_clear(&checked);
  tn_stream_clear(in);
  tn_arena_clear(&arena);
  return status;
}

/* ---- through the device interface ---- */
tn_status tn_columns_open_device(ArrowDeviceArrayStream *out, const char *path,
                                 const char *const *options, tn_error *err) {
  ArrowArrayStream stream;
  memset(out, 0, sizeof *out);
  TN_TRY(tn_columns_open(&stream, path, options, err));
  return tn_arrow_device_stream_from_host(out, &stream, err);
}

tn_status tn_columns_write_device(const char *path, ArrowDeviceArrayStream *in,
                                  const char *const *options, tn_error *err) {
  ArrowArrayStream stream;
  TN_TRY(tn_arrow_device_stream_to_host(&stream, in, err));
  return tn_columns_write(path, &stream, options, err);
}

/* ---- Parquet ---- */
struct tn_columns_parquet {
  tn_parquet_file *file;
  tn_parquet_read_options read;
  tn_arena arena;
  int32_t refs; /* the handle itself and each of its streams */
};

static void parquet_drop(tn_columns_parquet *p) {
  if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  if (p->file) tn_parquet_close(p->file);
  tn_arena_clear(&p->arena);
  tn_free(p);
}

tn_status tn_columns_parquet_open(tn_columns_parquet **out, const char *path,
                                  const char *const *options, tn_error *err) {
  *out = NULL;
  tn_columns_parquet *p = tn_alloc(1, sizeof *p);
  if (!p) return tn_fail_memory(err, path, sizeof *p);
  p->refs = 1;
  tn_table_read_options read = {0};
  tn_source *source = NULL;
  tn_parquet_keys keys = {0};
  tn_status status = read_options(&read, &p->arena, options, err);
  if (status == TN_OK) status = tn_table_options_check(false, options, path, "parquet", err);
  if (status == TN_OK) status = tn_table_parquet_int96(&read.parquet.int96, read.int96, err);
  if (status == TN_OK && read.key_file)
    status = tn_table_parquet_keys(&keys, &p->arena, read.key_file, err);
  if (status == TN_OK) status = tn_source_open_file(&source, path, err);
  if (status == TN_OK)
    status = tn_parquet_open_with(
        &p->file, source,
        &(tn_parquet_open_options){read.key_file ? &keys : NULL, read.parquet.int96}, err);
  if (status != TN_OK) {
    parquet_drop(p);
    return status;
  }
  p->read = read.parquet;
  p->read.columns = read.columns;
  p->read.column_count = read.column_count;
  p->read.batch_rows = read.batch_rows;
  *out = p;
  return TN_OK;
}

void tn_columns_parquet_close(tn_columns_parquet *file) {
  if (file) parquet_drop(file);
}

int64_t tn_columns_parquet_rows(const tn_columns_parquet *file) {
  return tn_parquet_rows(file->file);
}

typedef struct parquet_stream {
  ArrowArrayStream stream;
  tn_columns_parquet *owner;
  tn_row_range *ranges;
} parquet_stream;

static tn_status parquet_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_stream_schema(&((parquet_stream *)reader)->stream, out, err);
}

static tn_status parquet_next(void *reader, ArrowArray *out, tn_error *err) {
  return tn_stream_next(&((parquet_stream *)reader)->stream, out, err);
}

static void parquet_free(void *reader) {
  parquet_stream *s = reader;
  tn_stream_clear(&s->stream);
  parquet_drop(s->owner);
  tn_free(s->ranges);
  tn_free(s);
}

/* Takes over `ranges`. */
static tn_status open_scan(tn_columns_parquet *file, tn_row_range *ranges, int64_t range_count,
                           ArrowArrayStream *out, tn_error *err) {
  static const tn_reader_ops ops = {parquet_schema, parquet_next, parquet_free};
  parquet_stream *s = tn_alloc(1, sizeof *s);
  if (!s) {
    tn_free(ranges);
    return tn_fail_memory(err, "Parquet stream", sizeof *s);
  }
  s->owner = file;
  s->ranges = ranges;
  __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
  tn_parquet_read_options read = file->read;
  read.ranges = ranges;
  read.range_count = range_count;
  tn_status status = tn_parquet_scan(file->file, &read, &s->stream, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, s, err);
  parquet_free(s);
  return status;
}

tn_status tn_columns_parquet_scan(tn_columns_parquet *file, ArrowArrayStream *out, tn_error *err) {
  *out = (ArrowArrayStream){0};
  return open_scan(file, NULL, 0, out, err);
}

/* Of rows that ascend: `last` is the one before, -1: none. */
static tn_status check_row(const tn_columns_parquet *file, int64_t row, int64_t last,
                           tn_error *err) {
  int64_t rows = tn_parquet_rows(file->file);
  if (row < 0 || row >= rows)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: row %lld is asked for; the file has %lld, from 0 on",
                   tn_parquet_name(file->file), (long long)row, (long long)rows);
  if (row > last) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "%s: row %lld is asked for behind row %lld; rows must ascend",
                 tn_parquet_name(file->file), (long long)row, (long long)last);
}

tn_status tn_columns_parquet_take(tn_columns_parquet *file, const int64_t *rows, int64_t count,
                                  ArrowArrayStream *out, tn_error *err) {
  *out = (ArrowArrayStream){0};
  int64_t last = -1, range = -1;
  tn_row_range *ranges = tn_alloc(count > 0 ? (size_t)count : 1, sizeof *ranges);
  if (!ranges) return tn_fail_memory(err, "row ranges", (size_t)count * sizeof *ranges);
  for (int64_t i = 0; i < count; i++) {
    tn_status status = check_row(file, rows[i], last, err);
    if (status != TN_OK) {
      tn_free(ranges);
      return status;
    }
    if (range < 0 || rows[i] != last + 1) ranges[++range] = (tn_row_range){rows[i], 0};
    ranges[range].rows++;
    last = rows[i];
  }
  return open_scan(file, ranges, range + 1, out, err);
}
