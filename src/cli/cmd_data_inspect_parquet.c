/* cmd_data_inspect_parquet.c - `tenon data inspect` of a Parquet file: everything is in the footer.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_data.h"
#include "columns/table_parquet.h"

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
  tn_cli_json_text(w, "column", info.name);
  tn_cli_json_text(w, "codec", chunk.codec);
  tn_cli_json_text(w, "encodings", chunk.encodings);
  tn_cli_json_i64(w, "values", chunk.values);
  tn_json_key(w, "nulls");
  if (chunk.nulls < 0)
    tn_json_null(w);
  else
    tn_json_i64(w, chunk.nulls);
  tn_cli_json_i64(w, "offset", chunk.offset);
  tn_cli_json_i64(w, "dictionary_bytes", chunk.dictionary_bytes);
  tn_cli_json_i64(w, "column_index_bytes", chunk.column_index_bytes);
  tn_cli_json_i64(w, "offset_index_bytes", chunk.offset_index_bytes);
  tn_cli_json_bool(w, "bloom_filter", chunk.has_bloom);
  tn_cli_json_bool(w, "encrypted", chunk.encrypted);
  tn_cli_json_i64(w, "compressed_bytes", chunk.compressed_bytes);
  tn_cli_json_i64(w, "uncompressed_bytes", chunk.uncompressed_bytes);
  if (chunk.has_min_max) {
    tn_cli_json_text(w, "min", chunk.min);
    tn_cli_json_text(w, "max", chunk.max);
  }
  if (chunk.geo[0]) tn_cli_json_text(w, "geospatial", chunk.geo);
  tn_json_end_object(w);
}

static void json_metadata(tn_json_writer *w, const tn_parquet_file *file) {
  tn_str key, value;
  tn_json_key(w, "metadata"), tn_json_begin_object(w);
  for (int64_t i = 0; tn_parquet_metadata(file, i, &key, &value); i++) {
    tn_json_key_str(w, key);
    if (value.data)
      tn_json_str(w, value);
    else
      tn_json_null(w);
  }
  tn_json_end_object(w);
}

static void json_schema(tn_json_writer *w, const tn_field *root) {
  tn_json_key(w, "schema"), tn_json_begin_array(w);
  for (int64_t c = 0; c < root->child_count; c++) tn_cli_json_schema(w, &root->children[c], NULL);
  tn_json_end_array(w);
}

static void json_parquet(const tn_parquet_file *file, const tn_field *root, int64_t size_bytes) {
  tn_strbuf text = {0};
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_writer *w = &j.w;
  tn_json_begin_object(w);
  tn_cli_json_text(w, "format", "parquet");
  tn_cli_json_i64(w, "bytes", size_bytes);
  tn_cli_json_i64(w, "rows", tn_parquet_rows(file));
  tn_cli_json_text(w, "created_by", tn_parquet_created_by(file));
  tn_parquet_encryption_text(file, &text);
  tn_json_key(w, "encryption"), tn_json_str(w, tn_strbuf_view(&text));
  json_metadata(w, file);
  json_schema(w, root);
  tn_json_key(w, "columns"), tn_json_begin_array(w);
  for (int64_t c = 0; c < tn_parquet_columns(file); c++) {
    tn_parquet_column_info info;
    tn_parquet_column(file, c, &info);
    tn_json_begin_object(w);
    tn_cli_json_text(w, "name", info.name);
    tn_cli_json_text(w, "type", info.type);
    tn_cli_json_text(w, "physical_type", info.physical_type);
    tn_cli_json_text(w, "logical_type", info.logical_type);
    tn_cli_json_bool(w, "nullable", info.nullable);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
  tn_json_key(w, "row_groups"), tn_json_begin_array(w);
  for (int64_t g = 0; g < tn_parquet_row_groups(file); g++) {
    tn_json_begin_object(w);
    tn_cli_json_i64(w, "rows", tn_parquet_group_rows(file, g));
    tn_strbuf_reset(&text);
    tn_parquet_group_sorting(file, g, &text);
    tn_json_key(w, "sorted"), tn_json_str(w, tn_strbuf_view(&text));
    tn_json_key(w, "chunks"), tn_json_begin_array(w);
    for (int64_t c = 0; c < tn_parquet_columns(file); c++) json_parquet_chunk(w, file, g, c);
    tn_json_end_array(w);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
  tn_json_end_object(w);
  tn_cli_json_finish(&j);
  tn_strbuf_clear(&text);
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

/* Of the longest column name, within reason. */
static int32_t name_width(const tn_parquet_file *file) {
  int32_t width = 12;
  for (int64_t c = 0; c < tn_parquet_columns(file); c++) {
    tn_parquet_column_info info;
    tn_parquet_column(file, c, &info);
    int32_t length = (int32_t)strnlen(info.name, 48);
    if (length > width) width = length;
  }
  return width;
}

static void print_parquet_schema(const tn_parquet_file *file) {
  int32_t width = name_width(file);
  printf("\n  %-*s %-16s %-12s %-22s %s\n", width, "column", "type", "physical", "logical",
         "nulls");
  for (int64_t c = 0; c < tn_parquet_columns(file); c++) {
    tn_parquet_column_info info;
    tn_parquet_column(file, c, &info);
    printf("  %-*s %-16s %-12s %-22s %s\n", width, info.name, info.type, info.physical_type,
           info.logical_type, info.nullable ? "allowed" : "none");
  }
}

static const char *index_text(const tn_parquet_chunk_info *chunk) {
  static const char *const texts[] = {"-", "O", "C", "CO", "B", "OB", "CB", "COB"};
  int bits = (chunk->offset_index_bytes > 0) | (chunk->column_index_bytes > 0) << 1 |
             chunk->has_bloom << 2;
  return texts[bits];
}

static tn_status print_chunk(tn_parquet_file *file, int64_t group, int64_t column, tn_error *err) {
  tn_parquet_chunk_info chunk;
  tn_parquet_column_info info;
  tn_strbuf text = {0};
  int64_t pages = -1;
  tn_parquet_chunk(file, group, column, &chunk);
  tn_parquet_column(file, column, &info);
  if (chunk.readable) TN_TRY(tn_parquet_page_count(file, group, column, &pages, err));
  add_bytes(&text, chunk.compressed_bytes);
  double ratio = chunk.compressed_bytes > 0
                     ? (double)chunk.uncompressed_bytes / (double)chunk.compressed_bytes
                     : 0;
  printf("  %-*s %10s %6.1fx %8lld ", name_width(file), info.name, text.data ? text.data : "",
         ratio, (long long)chunk.nulls);
  if (pages >= 0)
    printf("%6lld", (long long)pages);
  else
    printf("%6s", "");
  printf(" %-5s %-26s ", index_text(&chunk), chunk.encodings);
  print_cell(chunk.has_min_max ? chunk.min : "", 20);
  putchar(' ');
  print_cell(chunk.has_min_max ? chunk.max : "", 20);
  putchar('\n');
  if (chunk.geo[0]) printf("  %-*s %s\n", name_width(file), "", chunk.geo);
  tn_strbuf_clear(&text);
  return TN_OK;
}

static tn_status print_parquet_group(tn_parquet_file *file, int64_t group, tn_error *err) {
  tn_strbuf text = {0}, sorted = {0};
  tn_strbuf_addf(&text, "\n  row group %lld: ", (long long)group);
  tn_strbuf_add_count_human(&text, tn_parquet_group_rows(file, group));
  tn_strbuf_add(&text, " rows");
  tn_parquet_group_sorting(file, group, &sorted);
  if (sorted.length) tn_strbuf_addf(&text, ", sorted by %s", sorted.data);
  if (!text.failed) printf("%s\n", text.data);
  printf("  %-*s %10s %7s %8s %6s %-5s %-26s %-20s %s\n", name_width(file), "column", "bytes",
         "ratio", "nulls", "pages", "index", "encodings", "min", "max");
  tn_status status = TN_OK;
  for (int64_t c = 0; c < tn_parquet_columns(file) && status == TN_OK; c++)
    status = print_chunk(file, group, c, err);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&sorted);
  return status;
}

enum { METADATA_SHOWN = 90 };

static void print_metadata(const tn_parquet_file *file) {
  tn_str key, value;
  for (int64_t i = 0; tn_parquet_metadata(file, i, &key, &value); i++) {
    if (i == 0) printf("\n  metadata\n");
    printf("  %-22.*s ", TN_STR_ARG(key));
    for (size_t b = 0; b < value.length && b < METADATA_SHOWN; b++)
      putchar((uint8_t)value.data[b] < 32 ? ' ' : value.data[b]);
    if (value.length > METADATA_SHOWN) printf(" ... (%zu bytes)", value.length);
    putchar('\n');
  }
}

static bool has_nested(const tn_field *root) {
  for (int64_t c = 0; c < root->child_count; c++)
    if (tn_type_is_nested(root->children[c].type.id)) return true;
  return false;
}

static tn_status print_parquet(const char *path, tn_parquet_file *file, const tn_field *root,
                               int64_t size_bytes, int64_t groups_shown, tn_error *err) {
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "%s: Parquet, ", path);
  tn_strbuf_add_count_human(&text, tn_parquet_rows(file));
  tn_strbuf_addf(&text, " rows, %lld columns, %lld row groups, ", (long long)root->child_count,
                 (long long)tn_parquet_row_groups(file));
  add_bytes(&text, size_bytes);
  tn_parquet_chunk_info first = {.codec = "none"}; /* no row group, no codec */
  if (tn_parquet_row_groups(file) > 0 && tn_parquet_columns(file) > 0)
    tn_parquet_chunk(file, 0, 0, &first);
  if (!text.failed) printf("%s\n", text.data);
  tn_strbuf_reset(&text);
  tn_parquet_encryption_text(file, &text);
  printf("  written by %s, codec %s, encrypted: %s\n", tn_parquet_created_by(file), first.codec,
         text.data ? text.data : "");
  tn_strbuf_clear(&text);
  if (has_nested(root)) tn_cli_print_schema(root, NULL);
  print_parquet_schema(file);
  int64_t groups = tn_parquet_row_groups(file);
  for (int64_t g = 0; g < groups && g < groups_shown; g++)
    TN_TRY(print_parquet_group(file, g, err));
  if (groups > 0) printf("\n  index: C column index, O offset index, B Bloom filter\n");
  if (groups > groups_shown)
    printf("  ... and %lld more row groups (--groups N shows them)\n",
           (long long)(groups - groups_shown));
  print_metadata(file);
  return TN_OK;
}

static tn_status open_file(tn_parquet_file **out, const char *path, const char *key_file,
                           int64_t *size_bytes, tn_error *err) {
  tn_source *source;
  tn_arena arena = {0};
  tn_parquet_keys keys = {0};
  tn_status status = key_file ? tn_table_parquet_keys(&keys, &arena, key_file, err) : TN_OK;
  if (status == TN_OK) status = tn_source_open_file(&source, path, err);
  if (status == TN_OK) {
    *size_bytes = source->size_bytes;
    status = tn_parquet_open_with(out, source,
                                  &(tn_parquet_open_options){.keys = key_file ? &keys : NULL}, err);
  }
  tn_arena_clear(&arena);
  return status;
}

tn_status tn_cmd_data_inspect_parquet(const char *path, const char *key_file, bool json,
                                      int64_t groups, tn_error *err) {
  tn_parquet_file *file;
  tn_arena arena = {0};
  tn_field *root;
  ArrowSchema schema = {0};
  int64_t size_bytes = 0;
  TN_TRY(open_file(&file, path, key_file, &size_bytes, err));
  tn_status status = tn_parquet_schema(file, &schema, err);
  if (status == TN_OK) status = tn_field_tree(&root, &arena, &schema, err);
  if (status == TN_OK && json) json_parquet(file, root, size_bytes);
  if (status == TN_OK && !json) status = print_parquet(path, file, root, size_bytes, groups, err);
  tn_schema_clear(&schema);
  tn_arena_clear(&arena);
  tn_parquet_close(file);
  return status;
}
