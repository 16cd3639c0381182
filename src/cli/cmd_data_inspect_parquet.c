/* cmd_data_inspect_parquet.c - `tenon data inspect` of a Parquet file: everything is in the footer.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_data.h"
#include "columns/table.h"

static void add_bytes(tn_strbuf *out, int64_t bytes) {
  tn_strbuf_add_bytes_human(out, (double)bytes);
}

static void json_parquet_chunk(tn_json_writer *w, const tn_parquet_file *file, int64_t group,
                               int64_t column) {
  tn_parquet_chunk_info chunk;
  tn_parquet_column_info info;
  tn_parquet_chunk(file, group, column, &chunk);
  tn_parquet_column(file, column, &info);
  tn_json_begin_object(w);
  tn_json_key(w, "column"), tn_json_cstr(w, info.name);
  tn_json_key(w, "codec"), tn_json_cstr(w, chunk.codec);
  tn_json_key(w, "encodings"), tn_json_cstr(w, chunk.encodings);
  tn_json_key(w, "values"), tn_json_i64(w, chunk.values);
  tn_json_key(w, "nulls");
  if (chunk.nulls < 0)
    tn_json_null(w);
  else
    tn_json_i64(w, chunk.nulls);
  tn_json_key(w, "offset"), tn_json_i64(w, chunk.offset);
  tn_json_key(w, "compressed_bytes"), tn_json_i64(w, chunk.compressed_bytes);
  tn_json_key(w, "uncompressed_bytes"), tn_json_i64(w, chunk.uncompressed_bytes);
  if (chunk.has_min_max) {
    tn_json_key(w, "min"), tn_json_cstr(w, chunk.min);
    tn_json_key(w, "max"), tn_json_cstr(w, chunk.max);
  }
  tn_json_end_object(w);
}

static void json_parquet(const tn_parquet_file *file, int64_t size_bytes) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_writer *w = &j.w;
  tn_json_begin_object(w);
  tn_json_key(w, "format"), tn_json_cstr(w, "parquet");
  tn_json_key(w, "bytes"), tn_json_i64(w, size_bytes);
  tn_json_key(w, "rows"), tn_json_i64(w, tn_parquet_rows(file));
  tn_json_key(w, "created_by"), tn_json_cstr(w, tn_parquet_created_by(file));
  tn_json_key(w, "columns"), tn_json_begin_array(w);
  for (int64_t c = 0; c < tn_parquet_columns(file); c++) {
    tn_parquet_column_info info;
    tn_parquet_column(file, c, &info);
    tn_json_begin_object(w);
    tn_json_key(w, "name"), tn_json_cstr(w, info.name);
    tn_json_key(w, "type"), tn_json_cstr(w, info.type);
    tn_json_key(w, "physical_type"), tn_json_cstr(w, info.physical_type);
    tn_json_key(w, "logical_type"), tn_json_cstr(w, info.logical_type);
    tn_json_key(w, "nullable"), tn_json_bool(w, info.nullable);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
  tn_json_key(w, "row_groups"), tn_json_begin_array(w);
  for (int64_t g = 0; g < tn_parquet_row_groups(file); g++) {
    tn_json_begin_object(w);
    tn_json_key(w, "rows"), tn_json_i64(w, tn_parquet_group_rows(file, g));
    tn_json_key(w, "chunks"), tn_json_begin_array(w);
    for (int64_t c = 0; c < tn_parquet_columns(file); c++) json_parquet_chunk(w, file, g, c);
    tn_json_end_array(w);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
  tn_json_end_object(w);
  tn_cli_json_finish(&j);
}

/* Cuts text to a cell without splitting a UTF-8 character. */
static void print_cell(const char *text, int32_t chars) {
  size_t length = strlen(text), i = 0;
  int32_t used = 0;
  while (i < length && used < chars) {
    int bytes = tn_utf8_length((const uint8_t *)text + i, length - i);
    if (bytes == 0)
      putchar('?');
    else
      fwrite(text + i, 1, (size_t)bytes, stdout);
    i += bytes ? (size_t)bytes : 1;
    used++;
  }
  printf("%*s", chars - used, "");
}

static void print_parquet_schema(const tn_parquet_file *file) {
  printf("\n  %-22s %-16s %-12s %-22s %s\n", "column", "type", "physical", "logical", "nulls");
  for (int64_t c = 0; c < tn_parquet_columns(file); c++) {
    tn_parquet_column_info info;
    tn_parquet_column(file, c, &info);
    printf("  %-22s %-16s %-12s %-22s %s\n", info.name, info.type, info.physical_type,
           info.logical_type, info.nullable ? "allowed" : "none");
  }
}

static void print_parquet_group(const tn_parquet_file *file, int64_t group) {
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "\n  row group %lld: ", (long long)group);
  tn_strbuf_add_count_human(&text, tn_parquet_group_rows(file, group));
  if (!text.failed) printf("%s rows\n", text.data);
  printf("  %-22s %10s %7s %8s  %-26s %-20s %s\n", "column", "bytes", "ratio", "nulls", "encodings",
         "min", "max");
  for (int64_t c = 0; c < tn_parquet_columns(file); c++) {
    tn_parquet_chunk_info chunk;
    tn_parquet_column_info info;
    tn_parquet_chunk(file, group, c, &chunk);
    tn_parquet_column(file, c, &info);
    tn_strbuf_reset(&text);
    add_bytes(&text, chunk.compressed_bytes);
    double ratio = chunk.compressed_bytes > 0
                       ? (double)chunk.uncompressed_bytes / (double)chunk.compressed_bytes
                       : 0;
    printf("  %-22s %10s %6.1fx %8lld  %-26s ", info.name, text.data ? text.data : "", ratio,
           (long long)chunk.nulls, chunk.encodings);
    print_cell(chunk.has_min_max ? chunk.min : "", 20);
    putchar(' ');
    print_cell(chunk.has_min_max ? chunk.max : "", 20);
    putchar('\n');
  }
  tn_strbuf_clear(&text);
}

static void print_parquet(const char *path, const tn_parquet_file *file, int64_t size_bytes,
                          int64_t groups_shown) {
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "%s: Parquet, ", path);
  tn_strbuf_add_count_human(&text, tn_parquet_rows(file));
  tn_strbuf_addf(&text, " rows, %lld columns, %lld row groups, ",
                 (long long)tn_parquet_columns(file), (long long)tn_parquet_row_groups(file));
  add_bytes(&text, size_bytes);
  tn_parquet_chunk_info first = {.codec = ""};
  if (tn_parquet_row_groups(file) > 0 && tn_parquet_columns(file) > 0)
    tn_parquet_chunk(file, 0, 0, &first);
  if (!text.failed) printf("%s\n", text.data);
  printf("  written by %s, codec %s\n", tn_parquet_created_by(file), first.codec);
  tn_strbuf_clear(&text);
  print_parquet_schema(file);
  int64_t groups = tn_parquet_row_groups(file);
  for (int64_t g = 0; g < groups && g < groups_shown; g++) print_parquet_group(file, g);
  if (groups > groups_shown)
    printf("\n  ... and %lld more row groups (--groups N shows them)\n",
           (long long)(groups - groups_shown));
}

tn_status tn_cmd_data_inspect_parquet(const char *path, bool json, int64_t groups, tn_error *err) {
  tn_source *source;
  tn_parquet_file *file;
  TN_TRY(tn_source_open_file(&source, path, err));
  int64_t size_bytes = source->size_bytes;
  TN_TRY(tn_parquet_open(&file, source, err));
  if (json)
    json_parquet(file, size_bytes);
  else
    print_parquet(path, file, size_bytes, groups);
  tn_parquet_close(file);
  return TN_OK;
}
