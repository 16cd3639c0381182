/* cmd_data_convert.c - `tenon data convert`: tables of any format into any other. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cmd_data.h"
#include "cli/data_options.h"
#include "cli/data_paths.h"
#include "cli/data_rows.h"
#include "columns/partition.h"
#include "columns/table_set.h"

typedef struct convert {
  bool quiet, json, force;
  const char *partition_by;
  int64_t partition_rows, open_max;
  data_options options;
  data_paths inputs;
  const char *out;
  tn_table_read_options read;
  tn_table_write_options write;
  tn_progress progress;
  tn_table_format out_format;
  char same_name[64]; /* of two columns; "": all differ */
  int64_t columns, rows, files, bytes_in, bytes_out, skipped, nulled, not_finite;
  int64_t nested_deltas;
  double seconds;
} convert;

/* One file, or a folder of parts. */
typedef struct destination {
  tn_table_writer *file;
  tn_partition *parts;
} destination;

static bool partitioned(const convert *c) {
  return c->partition_rows > 0 || c->partition_by;
}

static tn_status open_destination(convert *c, destination *d, const ArrowSchema *schema,
                                  tn_error *err) {
  if (!partitioned(c)) return tn_table_writer_new(&d->file, c->out, schema, &c->write, err);
  tn_partition_options o = {.rows = c->partition_rows,
                            .open_max = (int32_t)c->open_max,
                            .replace = c->force,
                            .write = &c->write,
                            .progress = &c->progress};
  const char *names[TN_PARTITION_BY_MAX];
  char *list = c->partition_by ? tn_strndup(c->partition_by, strlen(c->partition_by)) : NULL;
  if (c->partition_by && !list) return tn_fail_memory(err, "column names", strlen(c->partition_by));
  tn_status status = TN_OK;
  for (char *at = list; at && status == TN_OK;) {
    char *comma = strchr(at, ',');
    if (comma) *comma++ = '\0';
    if (o.by_count == TN_PARTITION_BY_MAX)
      status = tn_fail(err, TN_ERR_LIMIT, "--partition-by takes %d columns at most",
                       TN_PARTITION_BY_MAX);
    else
      names[o.by_count++] = at;
    at = comma;
  }
  o.by = names;
  if (status == TN_OK) status = tn_partition_new(&d->parts, c->out, schema, &o, err);
  tn_free(list);
  return status;
}

static tn_status write_batch(destination *d, const ArrowArray *batch, tn_error *err) {
  return d->file ? tn_table_writer_batch(d->file, batch, err)
                 : tn_partition_batch(d->parts, batch, err);
}

static tn_status finish(convert *c, destination *d, tn_error *err) {
  if (d->file) {
    TN_TRY(tn_table_writer_finish(d->file, err));
    c->bytes_out = tn_table_writer_bytes(d->file);
    c->not_finite = tn_table_writer_not_finite(d->file);
    c->nested_deltas = tn_table_writer_nested_deltas(d->file);
    c->files = 1;
    return TN_OK;
  }
  TN_TRY(tn_partition_finish(d->parts, err));
  c->bytes_out = tn_partition_bytes(d->parts);
  c->not_finite = tn_partition_not_finite(d->parts);
  c->nested_deltas = tn_partition_nested_deltas(d->parts);
  c->files = tn_partition_files(d->parts);
  return TN_OK;
}

/* What does not fit into the output came from an input. */
static tn_status blame(const tn_table_set *in, tn_status status, tn_error *err) {
  if (status != TN_ERR_DATA) return status;
  bool before;
  const char *path = tn_table_set_path(in, &before);
  return tn_error_context(err, status, "%s%s", path, before ? " (or an input before it)" : "");
}

static tn_status copy_batches(convert *c, tn_table_set *in, destination *out, tn_error *err) {
  int64_t total = tn_table_set_bytes(in), before = tn_table_set_bytes_read(in); /* inference */
  tn_progress_begin(&c->progress, "convert", "B", total > 0 ? total : 0);
  for (;;) {
    ArrowArray batch = {0};
    tn_status status = tn_table_set_next(in, &batch, err);
    if (status == TN_END) break;
    TN_TRY(status);
    c->rows += batch.length;
    status = write_batch(out, &batch, err);
    tn_array_clear(&batch);
    if (status != TN_OK) return blame(in, status, err);
    int64_t done = tn_table_set_bytes_read(in) - before;
    TN_TRY(tn_progress_at(&c->progress, total > 0 && done > total ? total : done, err));
  }
  if (total > 0) c->progress.done = total;
  c->bytes_in = tn_table_set_bytes_read(in);
  if (total > 0) c->bytes_in = total;
  c->skipped = tn_table_set_bad(in)->skipped;
  c->nulled = tn_table_set_bad(in)->nulled;
  return TN_OK;
}

/* How the output is written, which open_destination would find too. */
static tn_status out_format(const convert *c, tn_table_format *out, tn_error *err) {
  if (partitioned(c) && !c->write.format) {
    *out = TN_TABLE_PARQUET;
    return TN_OK;
  }
  if (strcmp(c->out, "-") == 0 && !c->write.format)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "-: standard output has no extension that tells its format; --out-format NAME "
                   "does (csv, tsv, parquet, arrow, arrows, jsonl)");
  return tn_table_format_chosen(partitioned(c) ? "part" : c->out, c->write.format, out, err);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tn_status find_same_name(convert *c, const ArrowSchema *schema, tn_error *err) {
  size_t count = (size_t)schema->n_children;
  const char **names = tn_alloc(count + 1, sizeof *names);
  if (!names) return tn_fail_memory(err, "column names", count * sizeof *names);
  for (size_t i = 0; i < count; i++) names[i] = schema->children[i]->name;
  qsort(names, count, sizeof *names, compare_names);
  for (size_t i = 1; i < count; i++)
    if (strcmp(names[i - 1], names[i]) == 0)
      snprintf(c->same_name, sizeof c->same_name, "%s", names[i]);
  tn_free(names);
  return TN_OK;
}

static tn_status run_once(convert *c, tn_error *err) {
  tn_table_set *in = NULL;
  ArrowSchema schema = {0};
  destination out = {0};
  c->progress = tn_cli_progress(c->quiet || c->json);
  c->read.progress = &c->progress;
  tn_status status =
      tn_table_set_open(&in, (const char *const *)c->inputs.items, c->inputs.count, &c->read, err);
  if (status == TN_OK) status = tn_table_set_schema(in, &schema, err);
  c->columns = schema.n_children;
  if (status == TN_OK) status = find_same_name(c, &schema, err);
  if (status == TN_OK) status = open_destination(c, &out, &schema, err);
  if (status == TN_OK) status = copy_batches(c, in, &out, err);
  if (status == TN_OK) {
    status = finish(c, &out, err);
    if (status != TN_OK) status = blame(in, status, err);
  }
  if (status == TN_OK) tn_progress_end(&c->progress);
  tn_table_writer_free(out.file);
  tn_partition_free(out.parts);
  tn_schema_clear(&schema);
  tn_table_set_close(in);
  return status;
}

/* What detection left out of the table is said, on standard error: nothing goes missing in silence.
 */
static void say_left_out(const convert *c, const tn_csv_dialect *d) {
  if (c->json) return;
  if (d->tables > 1)
    fprintf(stderr,
            "note: %s: %d tables one behind the other, one of them is read (--table N, or "
            "--exact-dialect)\n",
            c->inputs.items[0], d->tables);
  else if (d->skip_lines > c->read.csv.skip_lines)
    fprintf(stderr,
            "note: %s: %d lines before the header are left out (--exact-dialect keeps them)\n",
            c->inputs.items[0], d->skip_lines - c->read.csv.skip_lines);
}

static void say_lost(const convert *c) {
  if (c->json) return;
  data_note_not_finite(c->not_finite);
  data_note_nested_deltas(c->out, c->nested_deltas);
  if (c->rows == 0 && c->columns > 0 && c->out_format == TN_TABLE_JSONL)
    fprintf(stderr,
            "note: %s: no rows, and JSON lines know columns only by them: %lld columns are lost "
            "(.parquet, .arrow and .csv keep them)\n",
            c->out, (long long)c->columns);
  if (*c->same_name && c->out_format == TN_TABLE_JSONL)
    fprintf(stderr,
            "note: %s: several columns are named \"%s\", and most readers of JSON keep one of "
            "them\n",
            c->out, c->same_name);
}

/* Types of CSV are inferred from a sample.  Where a value behind it fits none of them, all values
 * are looked at, and the conversion begins again: nothing of the first try is seen yet, unless it
 * goes to a pipe. */
static tn_status run(convert *c, tn_error *err) {
  bool needs_wider = false;
  tn_csv_dialect dialect = {0};
  c->read.csv.needs_wider = &needs_wider;
  c->read.csv.dialect = &dialect;
  tn_status status = run_once(c, err);
  struct stat info;
  bool in_place = strcmp(c->out, "-") == 0 ||
                  (stat(c->out, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode));
  if (status == TN_ERR_DATA && needs_wider && !in_place) {
    if (!c->quiet && !c->json)
      fprintf(stderr, "%s; once more, with the types of all rows\n", err ? err->text : "");
    c->read.csv.infer_all = true;
    c->rows = c->skipped = c->nulled = 0;
    status = run_once(c, err);
  }
  if (status == TN_OK) {
    say_left_out(c, &dialect);
    say_lost(c);
  }
  return status;
}

/* ---- what people see ---- */
static void report_json(const convert *c) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_i64(&j.w, "rows", c->rows);
  tn_cli_json_i64(&j.w, "files_in", c->inputs.count);
  tn_cli_json_i64(&j.w, "files_out", c->files);
  tn_cli_json_i64(&j.w, "bytes_in", c->bytes_in);
  tn_cli_json_i64(&j.w, "bytes_out", c->bytes_out);
  tn_cli_json_i64(&j.w, "rows_skipped", c->skipped);
  tn_cli_json_i64(&j.w, "values_nulled", c->nulled);
  tn_cli_json_i64(&j.w, "not_finite_nulled", c->not_finite);
  tn_cli_json_f64(&j.w, "seconds", c->seconds);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void report(const convert *c) {
  tn_strbuf line = {0};
  tn_strbuf_addf(&line, "%s: ", c->out);
  tn_strbuf_add_count_human(&line, c->rows);
  tn_strbuf_add(&line, " rows");
  if (partitioned(c)) tn_strbuf_addf(&line, " in %lld files", (long long)c->files);
  tn_strbuf_add(&line, ", ");
  tn_strbuf_add_bytes_human(&line, (double)c->bytes_out);
  if (c->bytes_in > 0) {
    tn_strbuf_addf(&line, " (%.1f %% of ", 100.0 * (double)c->bytes_out / (double)c->bytes_in);
    tn_strbuf_add_bytes_human(&line, (double)c->bytes_in);
    tn_strbuf_add(&line, ")");
  }
  tn_strbuf_add(&line, " in ");
  tn_strbuf_add_duration_human(&line, c->seconds);
  if (c->skipped) tn_strbuf_addf(&line, "; %lld bad rows left out", (long long)c->skipped);
  if (c->nulled) tn_strbuf_addf(&line, "; %lld bad values made null", (long long)c->nulled);
  /* Rows may have gone to standard output. */
  if (!line.failed) fprintf(strcmp(c->out, "-") == 0 ? stderr : stdout, "%s\n", line.data);
  tn_strbuf_clear(&line);
}

static const char *hint(const convert *c, const tn_error *err) {
  switch (err->status) {
    case TN_ERR_INTERRUPTED:
      return "nothing was left under the output's name";
    case TN_ERR_CHECKSUM:
      return "the file was damaged after it was written; fetch or make it again";
    case TN_ERR_NOT_FOUND:
      return "`tenon data convert --help` shows examples";
    case TN_ERR_EXISTS:
      return c->force || tn_file_exists(c->out) ? NULL : "--force replaces the folder as a whole";
    default:
      return NULL;
  }
}

static tn_status gather_inputs(convert *c, char **words, int32_t count, tn_error *err) {
  bool any = c->read.format != NULL;
  for (int32_t i = 0; i < count; i++) TN_TRY(data_paths_add(&c->inputs, words[i], any, err));
  c->read.hive = c->read.hive || c->inputs.hive;
  uint32_t formats;
  TN_TRY(data_paths_formats(&c->inputs, c->read.format, &formats, err));
  TN_TRY(data_options_check(&c->options, false, formats, c->inputs.items[0], err));
  TN_TRY(out_format(c, &c->out_format, err));
  TN_TRY(data_options_check(&c->options, true, 1u << c->out_format, c->out, err));
  if (data_paths_hold(&c->inputs, c->out))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s is an input: the output wants a name of its own",
                   c->out);
  return TN_OK;
}

static int check_counts(convert *c) {
  int64_t *counts[] = {&c->partition_rows, &c->open_max};
  for (size_t i = 0; i < 2; i++) {
    if (*counts[i] == INT64_MIN)
      *counts[i] = 0;
    else if (*counts[i] < 1)
      return tn_cli_usage_error("--partition-rows and --open-max want a positive number");
  }
  return -1;
}

int tn_cmd_data_convert(int argc, char **argv) {
  convert *c = tn_alloc(1, sizeof *c);
  tn_error err = {0};
  if (!c) return tn_fail_memory(&err, "convert", sizeof *c), tn_cli_fail(&err, NULL);
  const tn_option own[] = {
      {"--partition-rows", 0, TN_OPTION_INT, &c->partition_rows, "N",
       "OUT is a folder of files of N rows"},
      {"--partition-by", 0, TN_OPTION_TEXT, &c->partition_by, "A,B",
       "OUT is a folder of A=value/B=value/ folders"},
      {"--open-max", 0, TN_OPTION_INT, &c->open_max, "N",
       "--partition-by: files open at once (default 64)"},
      {"--force", 'f', TN_OPTION_FLAG, &c->force, NULL, "replace a folder that is there"},
      {"--quiet", 'q', TN_OPTION_FLAG, &c->quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &c->json, NULL, "the result as one JSON object"},
      {0}};
  data_options_init(&c->options, own, true, true);
  const tn_usage usage = {
      .words = "tenon data convert [options] IN ... OUT",
      .about =
          "Converts tables between CSV, TSV, JSON lines, Parquet and Arrow IPC; the extensions\n"
          "tell which. Many inputs, folders and quoted globs become one table. The output\n"
          "appears under its name only when it is whole.",
      .example =
          "tenon data convert trips.csv trips.parquet\n"
          "  tenon data convert 'trips/2024-*.csv.gz' trips.parquet --codec zstd --level 3\n"
          "  tenon data convert trips.parquet trips/ --partition-by year,month",
      .options = c->options.rows,
      .words_min = 2,
      .words_max = -1};
  int32_t words;
  c->partition_rows = c->open_max = INT64_MIN; /* not given */
  int code = tn_args(&usage, argc, argv, &words);
  if (code < 0) code = check_counts(c);
  if (code < 0) {
    int64_t start_us = tn_time_us();
    c->out = argv[words];
    tn_status status = data_options_read(&c->options, &c->read, &err);
    if (status == TN_OK) status = data_options_write(&c->options, &c->write, &err);
    c->read.pool = c->write.pool = tn_cli_pool(c->read.threads);
    if (status == TN_OK) status = gather_inputs(c, argv + 1, words - 1, &err);
    if (status == TN_OK) status = run(c, &err);
    c->seconds = (double)(tn_time_us() - start_us) / 1e6;
    if (status != TN_OK)
      code = tn_cli_fail(&err, hint(c, &err));
    else if (c->json)
      report_json(c);
    else
      report(c);
  }
  data_paths_clear(&c->inputs);
  data_options_clear(&c->options);
  tn_free(c);
  return code < 0 ? 0 : code;
}
