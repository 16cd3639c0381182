/* cmd_data.c - `tenon data`: convert, head, and the way to inspect and bench. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_data.h"

#include "base/clock.h"
#include "cli/cli.h"
#include "columns/table.h"

/* ---- convert ---- */
typedef struct convert_options {
  const char *codec, *columns, *separator;
  int64_t row_group_rows, infer_rows, threads;
  bool no_header, quiet, json;
} convert_options;

/* "a,b,c" -> views that live as long as `text` (which is cut in place). */
static int32_t split_list(char *text, const char **items, int32_t room) {
  int32_t count = 0;
  for (char *at = text; at && count < room; count++) {
    char *comma = strchr(at, ',');
    items[count] = at;
    if (comma) *comma++ = '\0';
    at = comma;
  }
  return count;
}

static tn_status copy_batches(tn_table *in, tn_table_writer *out, tn_progress *progress,
                              int64_t *rows, tn_error *err) {
  for (;;) {
    ArrowArray batch = {0};
    tn_status status = tn_stream_next(&in->stream, &batch, err);
    if (status == TN_END) return TN_OK;
    TN_TRY(status);
    *rows += batch.length;
    status = tn_table_writer_batch(out, &batch, err);
    tn_array_clear(&batch);
    TN_TRY(status);
    TN_TRY(tn_progress_at(progress, in->source->bytes_read, err));
  }
}

static tn_status convert(const char *in_path, const char *out_path, const convert_options *o,
                         int64_t *rows, int64_t *bytes_in, int64_t *bytes_out, tn_error *err) {
  const char *names[1024];
  char *list = o->columns ? tn_strndup(o->columns, strlen(o->columns)) : NULL;
  tn_table_read_options read = {.csv = {.no_header = o->no_header, .infer_rows = o->infer_rows}};
  read.pool = tn_cli_pool((int32_t)o->threads);
  if (o->separator) read.csv.separator = o->separator[0];
  if (list) {
    read.columns = names;
    read.column_count = split_list(list, names, 1024);
  }
  tn_table_write_options write = {
      .codec = o->codec, .pool = read.pool, .parquet = {.row_group_rows = o->row_group_rows}};
  tn_progress progress = tn_cli_progress(o->quiet || o->json);
  tn_table in = {0};
  ArrowSchema schema = {0};
  tn_table_writer *out = NULL;
  tn_status status = tn_table_open(&in, in_path, &read, err);
  if (status == TN_OK) status = tn_stream_schema(&in.stream, &schema, err);
  if (status == TN_OK) status = tn_table_writer_new(&out, out_path, &schema, &write, err);
  if (status == TN_OK) {
    tn_progress_begin(&progress, "convert", "B", in.source->size_bytes);
    status = copy_batches(&in, out, &progress, rows, err);
    if (status == TN_OK) tn_progress_end(&progress);
  }
  if (status == TN_OK) status = tn_table_writer_finish(out, err);
  if (status == TN_OK) {
    *bytes_in = in.source->size_bytes;
    *bytes_out = tn_table_writer_bytes(out);
  }
  tn_table_writer_free(out);
  tn_schema_clear(&schema);
  tn_table_close(&in);
  tn_free(list);
  return status;
}

static void report_convert(const char *in, const char *out, const convert_options *o, int64_t rows,
                           int64_t bytes_in, int64_t bytes_out, double seconds) {
  if (o->json) {
    tn_cli_json j;
    tn_cli_json_begin(&j);
    tn_json_begin_object(&j.w);
    tn_json_key(&j.w, "rows"), tn_json_i64(&j.w, rows);
    tn_json_key(&j.w, "bytes_in"), tn_json_i64(&j.w, bytes_in);
    tn_json_key(&j.w, "bytes_out"), tn_json_i64(&j.w, bytes_out);
    tn_json_key(&j.w, "seconds"), tn_json_f64(&j.w, seconds);
    tn_json_end_object(&j.w);
    tn_cli_json_finish(&j);
    return;
  }
  tn_strbuf line = {0};
  tn_strbuf_addf(&line, "%s: ", out);
  tn_strbuf_add_count_human(&line, rows);
  tn_strbuf_add(&line, " rows, ");
  tn_strbuf_add_bytes_human(&line, (double)bytes_out);
  if (bytes_in > 0) {
    tn_strbuf_addf(&line, " (%.1f %% of ", 100.0 * (double)bytes_out / (double)bytes_in);
    tn_strbuf_add_bytes_human(&line, (double)bytes_in);
    tn_strbuf_add(&line, ")");
  }
  tn_strbuf_add(&line, " in ");
  tn_strbuf_add_duration_human(&line, seconds);
  if (!line.failed) puts(line.data);
  tn_strbuf_clear(&line);
}

static const char *convert_hint(const tn_error *err) {
  switch (err->status) {
    case TN_ERR_INTERRUPTED:
      return "nothing was left under the output's name";
    case TN_ERR_CHECKSUM:
      return "the file was damaged after it was written; fetch or make it again";
    case TN_ERR_NOT_FOUND:
      return "`tenon data convert --help` shows an example";
    default:
      return NULL;
  }
}

static int run_convert(int argc, char **argv) {
  convert_options o = {0};
  const tn_option options[] = {
      {"--codec", 0, TN_OPTION_TEXT, &o.codec, "NAME",
       "Parquet: zstd (default), snappy, gzip, uncompressed"},
      {"--columns", 0, TN_OPTION_TEXT, &o.columns, "A,B", "only these columns, in this order"},
      {"--row-group-rows", 0, TN_OPTION_INT, &o.row_group_rows, "N", "Parquet (default 122,880)"},
      {"--separator", 0, TN_OPTION_TEXT, &o.separator, "C", "CSV in (default ',')"},
      {"--no-header", 0, TN_OPTION_FLAG, &o.no_header, NULL, "CSV in: the first line is data"},
      {"--infer-rows", 0, TN_OPTION_INT, &o.infer_rows, "N",
       "CSV in: rows looked at for types (default 100,000)"},
      {"--threads", 0, TN_OPTION_INT, &o.threads, "N", "default: all CPUs"},
      {"--quiet", 'q', TN_OPTION_FLAG, &o.quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &o.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon data convert [options] IN OUT",
      .about =
          "Converts a table between CSV, TSV, Parquet and Arrow IPC; the extensions tell which.\n"
          "The output appears under its name only when it is whole.",
      .example = "tenon data convert trips.csv trips.parquet",
      .options = options,
      .words_min = 2,
      .words_max = 2};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (o.separator && strlen(o.separator) != 1)
    return tn_cli_usage_error("--separator wants one byte, got '%s'", o.separator);
  tn_error err = {0};
  int64_t rows = 0, bytes_in = 0, bytes_out = 0, start_us = tn_time_us();
  if (convert(argv[1], argv[2], &o, &rows, &bytes_in, &bytes_out, &err) != TN_OK)
    return tn_cli_fail(&err, convert_hint(&err));
  double seconds = (double)(tn_time_us() - start_us) / 1e6;
  report_convert(argv[1], argv[2], &o, rows, bytes_in, bytes_out, seconds);
  return 0;
}

/* ---- head ---- */
void tn_cli_json_value(tn_json_writer *w, const ArrowArray *column, tn_column_type type,
                       int64_t row) {
  if (tn_array_is_null(column, row)) {
    tn_json_null(w);
    return;
  }
  switch (type) {
    case TN_COLUMN_BOOL:
      tn_json_bool(w, tn_array_i64(column, type, row) != 0);
      return;
    case TN_COLUMN_INT8:
    case TN_COLUMN_INT16:
    case TN_COLUMN_INT32:
    case TN_COLUMN_INT64:
    case TN_COLUMN_UINT8:
    case TN_COLUMN_UINT16:
    case TN_COLUMN_UINT32:
      tn_json_i64(w, tn_array_i64(column, type, row));
      return;
    case TN_COLUMN_UINT64:
      tn_json_u64(w, (uint64_t)tn_array_i64(column, type, row));
      return;
    case TN_COLUMN_FLOAT:
    case TN_COLUMN_DOUBLE:
      tn_json_f64(w, tn_array_f64(column, type, row));
      return;
    case TN_COLUMN_STRING:
      tn_json_str(w, tn_array_str(column, row));
      return;
    default:
      break;
  }
  tn_strbuf text = {0};
  tn_array_text(column, type, row, &text);
  tn_json_str(w, tn_strbuf_view(&text));
  tn_strbuf_clear(&text);
}

tn_status tn_cli_column_types(const ArrowSchema *schema, tn_column_type **out, tn_error *err) {
  *out = tn_alloc((size_t)schema->n_children, sizeof **out);
  if (!*out) return tn_fail_memory(err, "column types", (size_t)schema->n_children * sizeof **out);
  for (int64_t c = 0; c < schema->n_children; c++)
    TN_TRY(tn_column_type_of(schema->children[c], &(*out)[c], err));
  return TN_OK;
}

static void json_rows(tn_json_writer *w, const ArrowArray *batch, const tn_column_type *types,
                      const ArrowSchema *schema, int64_t count) {
  for (int64_t r = 0; r < count; r++) {
    tn_json_begin_object(w);
    for (int64_t c = 0; c < batch->n_children; c++) {
      tn_json_key(w, schema->children[c]->name);
      tn_cli_json_value(w, batch->children[c], types[c], r);
    }
    tn_json_end_object(w);
  }
}

#define CELL_CHARS 28

/* One cell as text on one line, cut to CELL_CHARS characters (not bytes). */
static void cell_text(const ArrowArray *column, tn_column_type type, int64_t row, tn_strbuf *cell) {
  tn_strbuf text = {0};
  tn_strbuf_reset(cell);
  if (tn_array_is_null(column, row))
    tn_strbuf_add(&text, "-");
  else
    tn_array_text(column, type, row, &text);
  int32_t chars = 0;
  for (size_t i = 0; i < text.length && chars < CELL_CHARS; chars++) {
    int bytes = tn_utf8_length((const uint8_t *)text.data + i, text.length - i);
    uint8_t first = (uint8_t)text.data[i];
    if (bytes == 0 || first < 32)
      tn_strbuf_add_char(cell, first < 32 ? ' ' : '?');
    else
      tn_strbuf_append(cell, text.data + i, (size_t)bytes);
    i += bytes ? (size_t)bytes : 1;
  }
  for (; chars < CELL_CHARS; chars++) tn_strbuf_add_char(cell, ' ');
  tn_strbuf_clear(&text);
}

static void print_rows(const ArrowArray *batch, const tn_column_type *types, int64_t count) {
  tn_strbuf cell = {0};
  for (int64_t r = 0; r < count; r++) {
    for (int64_t c = 0; c < batch->n_children; c++) {
      cell_text(batch->children[c], types[c], r, &cell);
      printf("%s%s", c ? "  " : "", cell.data ? cell.data : "");
    }
    putchar('\n');
  }
  tn_strbuf_clear(&cell);
}

static void print_head_names(const ArrowSchema *schema, const tn_column_type *types) {
  for (int64_t c = 0; c < schema->n_children; c++)
    printf("%s%-*.*s", c ? "  " : "", CELL_CHARS, CELL_CHARS, schema->children[c]->name);
  putchar('\n');
  for (int64_t c = 0; c < schema->n_children; c++)
    printf("%s%-*.*s", c ? "  " : "", CELL_CHARS, CELL_CHARS, tn_column_type_name(types[c]));
  putchar('\n');
}

static tn_status head(tn_table *in, int64_t rows, tn_cli_json *j, tn_error *err) {
  ArrowSchema schema = {0};
  tn_column_type *types = NULL;
  tn_status status = tn_stream_schema(&in->stream, &schema, err);
  if (status == TN_OK) status = tn_cli_column_types(&schema, &types, err);
  if (status == TN_OK && j) {
    tn_json_key(&j->w, "columns"), tn_json_begin_array(&j->w);
    for (int64_t c = 0; c < schema.n_children; c++) {
      tn_json_begin_object(&j->w);
      tn_json_key(&j->w, "name"), tn_json_cstr(&j->w, schema.children[c]->name);
      tn_json_key(&j->w, "type"), tn_json_cstr(&j->w, tn_column_type_name(types[c]));
      tn_json_end_object(&j->w);
    }
    tn_json_end_array(&j->w);
    tn_json_key(&j->w, "rows"), tn_json_begin_array(&j->w);
  } else if (status == TN_OK) {
    print_head_names(&schema, types);
  }
  while (status == TN_OK && rows > 0) {
    ArrowArray batch = {0};
    status = tn_stream_next(&in->stream, &batch, err);
    if (status != TN_OK) break;
    int64_t count = batch.length < rows ? batch.length : rows;
    if (j)
      json_rows(&j->w, &batch, types, &schema, count);
    else
      print_rows(&batch, types, count);
    rows -= count;
    tn_array_clear(&batch);
  }
  if (status == TN_END) status = TN_OK;
  if (status == TN_OK && j) tn_json_end_array(&j->w);
  tn_free(types);
  tn_schema_clear(&schema);
  return status;
}

static int run_head(int argc, char **argv) {
  int64_t rows = 10;
  const char *columns = NULL;
  bool json = false;
  const tn_option options[] = {
      {"--rows", 'n', TN_OPTION_INT, &rows, "N", "how many rows (default 10)"},
      {"--columns", 0, TN_OPTION_TEXT, &columns, "A,B", "only these columns, in this order"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "columns and rows as one JSON object"},
      {0}};
  const tn_usage usage = {.words = "tenon data head [options] FILE",
                          .about = "Shows the first rows of a table; '-' is null.",
                          .example = "tenon data head trips.parquet -n 5 --columns fare,tip",
                          .options = options,
                          .words_min = 1,
                          .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  const char *names[1024];
  char *list = columns ? tn_strndup(columns, strlen(columns)) : NULL;
  tn_table_read_options read = {.columns = list ? names : NULL, .batch_rows = 4096};
  if (list) read.column_count = split_list(list, names, 1024);
  tn_error err = {0};
  tn_table in = {0};
  tn_cli_json j = {0};
  if (json) tn_cli_json_begin(&j), tn_json_begin_object(&j.w);
  tn_status status = tn_table_open(&in, argv[1], &read, &err);
  if (status == TN_OK) status = head(&in, rows, json ? &j : NULL, &err);
  if (json && status == TN_OK) {
    tn_json_end_object(&j.w);
    tn_cli_json_finish(&j);
  }
  tn_strbuf_clear(&j.text);
  tn_table_close(&in);
  tn_free(list);
  return status == TN_OK ? 0 : tn_cli_fail(&err, NULL);
}

/* ---- the command ---- */
static int run_data(int argc, char **argv) {
  static const tn_subcommand subs[] = {
      {"convert", "CSV, TSV, Parquet and Arrow IPC into each other", run_convert},
      {"inspect", "schema, row groups, encodings, statistics", tn_cmd_data_inspect},
      {"head", "the first rows", run_head},
      {"bench", "row against column layout: bytes read and seconds", tn_cmd_data_bench},
      {0}};
  return tn_dispatch("data", "Tables: convert, look inside, read, compare layouts.", subs, argc,
                     argv);
}
const tn_command tn_command_data = {"data", "tables: convert, inspect, head, bench", run_data};
