/* cmd_data_inspect.c - `tenon data inspect`: what a table file holds and how it is laid out. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_data.h"
#include "cli/data_options.h"
#include "columns/value.h"

/* ---- schema as a tree ---- */
static void print_field(const tn_field *f, int32_t depth, const int64_t *nulls) {
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "%*s%s", 2 * depth, "", f->name);
  printf("  %-28s ", text.data ? text.data : "");
  tn_strbuf_reset(&text);
  bool nested = tn_type_is_nested(f->type.id) && !f->dictionary;
  if (nested)
    tn_strbuf_add(&text, tn_type_name(f->type.id));
  else
    tn_field_text(f, &text);
  if (!f->nullable) tn_strbuf_add(&text, " not null");
  printf(nulls ? "%-32s" : "%s", text.data ? text.data : "");
  if (nulls) {
    tn_strbuf_reset(&text);
    tn_strbuf_add_count_human(&text, *nulls);
    printf(" %12s", text.data ? text.data : "");
  }
  putchar('\n');
  tn_strbuf_clear(&text);
  for (int64_t i = 0; nested && i < f->child_count; i++)
    print_field(&f->children[i], depth + 1, NULL);
}

void tn_cli_print_schema(const tn_field *root, const int64_t *nulls) {
  printf("\n  %-28s %-32s%s\n", "column", "type", nulls ? "        nulls" : "");
  for (int64_t c = 0; c < root->child_count; c++)
    print_field(&root->children[c], 0, nulls ? &nulls[c] : NULL);
}

void tn_cli_json_schema(tn_json_writer *w, const tn_field *f, const int64_t *nulls) {
  tn_strbuf text = {0};
  tn_field_text(f, &text);
  tn_json_begin_object(w);
  tn_cli_json_text(w, "name", f->name);
  tn_json_key(w, "type"), tn_json_str(w, tn_strbuf_view(&text));
  tn_cli_json_bool(w, "nullable", f->nullable);
  if (nulls) tn_cli_json_i64(w, "nulls", *nulls);
  if (tn_type_is_nested(f->type.id) && !f->dictionary) {
    tn_json_key(w, "children"), tn_json_begin_array(w);
    for (int64_t i = 0; i < f->child_count; i++) tn_cli_json_schema(w, &f->children[i], NULL);
    tn_json_end_array(w);
  }
  tn_json_end_object(w);
  tn_strbuf_clear(&text);
}

/* ---- all but Parquet: schema, and a count of rows and nulls by one scan ---- */
typedef struct scanned {
  tn_arena arena;
  tn_field *root;
  int64_t *nulls, rows;
} scanned;

static tn_status scan(tn_table *in, scanned *s, tn_progress *progress, tn_error *err) {
  tn_progress_begin(progress, "scan", "B", tn_table_bytes(in));
  for (;;) {
    ArrowArray batch = {0};
    tn_status status = tn_stream_next(&in->stream, &batch, err);
    if (status == TN_END) break;
    TN_TRY(status);
    s->rows += batch.length;
    for (int64_t c = 0; c < batch.n_children; c++)
      for (int64_t r = 0; r < batch.length; r++)
        s->nulls[c] += tn_value_is_null(&s->root->children[c], batch.children[c], r);
    tn_array_clear(&batch);
    TN_TRY(tn_progress_at(progress, tn_table_bytes_read(in), err));
  }
  tn_progress_end(progress);
  return TN_OK;
}

/* CSV and TSV: how the text is written. */
static bool has_dialect(const tn_table *in) {
  return in->format == TN_TABLE_CSV || in->format == TN_TABLE_TSV;
}

static void json_scanned(const tn_table *in, const scanned *s, const ArrowSchema *schema,
                         const tn_csv_dialect *dialect) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "format", tn_table_format_name(in->format));
  tn_cli_json_i64(&j.w, "bytes", tn_table_bytes(in));
  tn_cli_json_i64(&j.w, "rows", s->rows);
  if (has_dialect(in)) tn_json_key(&j.w, "dialect"), tn_csv_dialect_json(dialect, &j.w);
  tn_json_key(&j.w, "columns"), tn_json_begin_array(&j.w);
  for (int64_t c = 0; c < s->root->child_count; c++)
    tn_cli_json_schema(&j.w, &s->root->children[c], &s->nulls[c]);
  tn_json_end_array(&j.w);
  tn_cli_json_metadata(&j.w, schema->metadata);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void print_scanned(const char *path, const tn_table *in, const scanned *s,
                          const ArrowSchema *schema, const tn_csv_dialect *dialect) {
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "%s: %s, ", path, tn_table_format_name(in->format));
  tn_strbuf_add_count_human(&text, s->rows);
  tn_strbuf_addf(&text, " rows, %lld columns, ", (long long)s->root->child_count);
  tn_strbuf_add_bytes_human(&text, (double)tn_table_bytes(in));
  if (has_dialect(in)) tn_strbuf_add(&text, "\n  "), tn_csv_dialect_text(dialect, &text);
  if (!text.failed) printf("%s\n", text.data);
  tn_strbuf_clear(&text);
  tn_cli_print_schema(s->root, s->nulls);
  tn_cli_print_metadata(schema->metadata);
}

/* ---- key-value metadata, in the C Data Interface's encoding ---- */
enum { METADATA_SHOWN = 100 };

void tn_cli_json_metadata(tn_json_writer *w, const char *metadata) {
  int32_t pairs = 0;
  int64_t at = 4;
  if (metadata) memcpy(&pairs, metadata, 4);
  tn_json_key(w, "metadata"), tn_json_begin_object(w);
  for (int32_t i = 0; i < pairs; i++) {
    tn_json_key_str(w, tn_metadata_next(metadata, &at));
    tn_json_str(w, tn_metadata_next(metadata, &at));
  }
  tn_json_end_object(w);
}

void tn_cli_print_metadata(const char *metadata) {
  int32_t pairs = 0;
  int64_t at = 4;
  if (metadata) memcpy(&pairs, metadata, 4);
  if (pairs > 0) printf("\n  metadata\n");
  for (int32_t i = 0; i < pairs; i++) {
    tn_str key = tn_metadata_next(metadata, &at), value = tn_metadata_next(metadata, &at);
    printf("  %-28.*s ", TN_STR_ARG(key));
    for (size_t b = 0; b < value.length && b < METADATA_SHOWN; b++)
      putchar((uint8_t)value.data[b] < 32 ? ' ' : value.data[b]);
    if (value.length > METADATA_SHOWN) printf(" ... (%zu bytes)", value.length);
    putchar('\n');
  }
}

static tn_status inspect_by_scan(const char *path, const tn_table_read_options *read, bool json,
                                 tn_error *err) {
  tn_progress progress = tn_cli_progress(json);
  tn_table in = {0};
  ArrowSchema schema = {0};
  scanned s = {0};
  tn_csv_dialect dialect = {0};
  tn_table_read_options options = *read;
  options.csv.dialect = &dialect;
  tn_status status = tn_table_open(&in, path, &options, err);
  if (status == TN_OK) status = tn_stream_schema(&in.stream, &schema, err);
  if (status == TN_OK) status = tn_field_tree(&s.root, &s.arena, &schema, err);
  if (status == TN_OK) {
    s.nulls = tn_arena_alloc(&s.arena, (size_t)schema.n_children + 1, sizeof *s.nulls);
    if (!s.nulls) status = tn_fail_memory(err, "null counts", (size_t)schema.n_children * 8);
  }
  if (status == TN_OK) status = scan(&in, &s, &progress, err);
  if (status == TN_OK && json) json_scanned(&in, &s, &schema, &dialect);
  if (status == TN_OK && !json) print_scanned(path, &in, &s, &schema, &dialect);
  tn_arena_clear(&s.arena);
  tn_schema_clear(&schema);
  tn_table_close(&in);
  return status;
}

int tn_cmd_data_inspect(int argc, char **argv) {
  bool json = false;
  int64_t groups = 2;
  const tn_option own[] = {
      {"--groups", 0, TN_OPTION_INT, &groups, "N", "Parquet: row groups shown (default 2)"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "everything as one JSON object"},
      {0}};
  tn_error err = {0};
  data_options *options = tn_alloc(1, sizeof *options);
  if (!options) return tn_fail_memory(&err, "options", sizeof *options), tn_cli_fail(&err, NULL);
  data_options_init(options, own, true, false);
  const tn_usage usage = {
      .words = "tenon data inspect [options] FILE",
      .about =
          "Shows a table's schema and layout. Parquet: row groups, encodings, sizes and\n"
          "statistics from the footer alone. The others: types, rows and nulls by one scan.",
      .example = "tenon data inspect trips.parquet",
      .options = options->rows,
      .words_min = 1,
      .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code < 0) {
    tn_table_read_options read = {0};
    tn_table_format format;
    tn_status status = data_options_read(options, &read, &err);
    tn_progress progress = tn_cli_progress(json);
    read.progress = &progress;
    read.pool = tn_cli_pool(read.threads);
    if (status == TN_OK) status = tn_table_format_chosen(argv[1], read.format, &format, &err);
    if (status == TN_OK)
      status = format == TN_TABLE_PARQUET
                   ? tn_cmd_data_inspect_parquet(argv[1], read.key_file, json, groups, &err)
                   : inspect_by_scan(argv[1], &read, json, &err);
    code = status == TN_OK ? 0 : tn_cli_fail(&err, NULL);
  }
  data_options_clear(options);
  tn_free(options);
  return code;
}
