/* cmd_data_scan.c - `tenon data scan`: the rows that a predicate wants, and how little was read. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cmd_data.h"
#include "cli/data_options.h"
#include "cli/data_paths.h"
#include "cli/data_rows.h"
#include "columns/scan.h"
#include "columns/schema.h"

enum { SELECT_MAX = 4096 };

typedef struct scan {
  const char *where, *select, *as, *out;
  int64_t limit; /* INT64_MAX: none */
  bool count, quiet, json;
  data_options options;
  data_paths inputs;
  uint32_t formats;  /* of the inputs, a bit each */
  tn_progress types; /* of a pass for them */
  tn_hive hive;      /* Parquet: columns of the paths */
  tn_table_read_options read;
  tn_table_write_options write;
  const char *names[SELECT_MAX];
  int32_t name_count;
  /* where rows go: exactly one, or none with --count */
  tn_table_writer *writer;
  data_rows rows;
  tn_cli_json j;
  bool shows, begun;
  ArrowSchema schema; /* of the first input's rows */
  tn_scan_report total;
  double seconds;
} scan;

/* ---- where the rows go ---- */
static tn_status begin_output(scan *s, tn_error *err) {
  s->begun = true;
  if (s->count) return TN_OK;
  if (s->out) return tn_table_writer_new(&s->writer, s->out, &s->schema, &s->write, err);
  if (s->json || strcmp(s->as, "table") == 0) {
    s->shows = true;
    return data_rows_begin(&s->rows, &s->schema, s->json ? &s->j.w : NULL, err);
  }
  s->write.format = s->as;
  return tn_table_writer_new(&s->writer, "-", &s->schema, &s->write, err);
}

static tn_status put_batch(scan *s, const ArrowArray *batch, tn_error *err) {
  if (s->writer) return tn_table_writer_batch(s->writer, batch, err);
  if (s->shows) data_rows_batch(&s->rows, batch, batch->length);
  if (s->shows && !s->json && ferror(stdout)) return tn_fail(err, TN_ERR_IO, "standard output");
  return TN_OK;
}

static tn_status end_output(scan *s, tn_error *err) {
  if (s->writer) {
    TN_TRY(tn_table_writer_finish(s->writer, err));
    data_note_not_finite(tn_table_writer_not_finite(s->writer));
    if (!s->json)
      data_note_nested_deltas(s->out ? s->out : "-", tn_table_writer_nested_deltas(s->writer));
  }
  if (s->shows) data_rows_end(&s->rows, true);
  s->shows = false;
  return TN_OK;
}

/* ---- one input ---- */
static void add_report(tn_scan_report *total, const tn_scan_report *r) {
  total->rows_seen += r->rows_seen;
  total->rows_selected += r->rows_selected;
  total->bytes_file += r->bytes_file > 0 ? r->bytes_file : r->bytes_read;
  total->bytes_read += r->bytes_read;
  total->rows_skipped += r->rows_skipped;
  total->values_nulled += r->values_nulled;
  total->prune.groups += r->prune.groups;
  total->prune.groups_by_statistics += r->prune.groups_by_statistics;
  total->prune.groups_by_bloom += r->prune.groups_by_bloom;
  total->prune.groups_by_index += r->prune.groups_by_index;
  total->prune.rows += r->prune.rows;
  total->prune.rows_left += r->prune.rows_left;
  total->prune.pages_by_index += r->prune.pages_by_index;
  total->prune.bytes += r->prune.bytes;
  total->prune.bytes_by_statistics += r->prune.bytes_by_statistics;
  total->prune.bytes_by_bloom += r->prune.bytes_by_bloom;
  total->prune.bytes_by_index += r->prune.bytes_by_index;
}

static tn_status check_schema(scan *s, const char *path, const ArrowSchema *schema, tn_error *err) {
  if (!s->schema.release) return tn_schema_copy(&s->schema, schema, err);
  if (tn_schema_equal(&s->schema, schema, false)) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: other columns or types than %s has", path,
                 s->inputs.items[0]);
}

static tn_status copy_rows(scan *s, tn_scan *in, tn_error *err) {
  tn_progress progress = tn_cli_progress(s->quiet || s->json || (!s->out && !s->count));
  tn_scan_report now;
  tn_scan_report_now(in, &now);
  tn_progress_begin(&progress, "scan", "B", now.bytes_file);
  for (;;) {
    ArrowArray batch;
    tn_status status = tn_scan_next(in, &batch, err);
    if (status == TN_END) break;
    TN_TRY(status);
    status = put_batch(s, &batch, err);
    tn_array_clear(&batch);
    TN_TRY(status);
    tn_scan_report_now(in, &now);
    TN_TRY(tn_progress_at(&progress, now.bytes_read, err));
  }
  tn_progress_end(&progress);
  return TN_OK;
}

/* Files [first, first + count) as one table. */
static tn_status scan_files(scan *s, int64_t first, int64_t count, tn_error *err) {
  tn_scan_options o = {.where = s->where,
                       .select = s->names,
                       .select_count = s->name_count,
                       .has_limit = s->limit < INT64_MAX,
                       .limit = s->limit - s->total.rows_selected,
                       .no_columns = s->count,
                       .hive = s->hive.count ? &s->hive : NULL,
                       .hive_file = first,
                       .read = s->read};
  tn_scan *in;
  tn_scan_report report;
  const char *const *paths = (const char *const *)s->inputs.items + first;
  TN_TRY(tn_scan_open_many(&in, paths, count, &o, err));
  tn_status status = check_schema(s, paths[0], tn_scan_schema(in), err);
  if (status == TN_OK && !s->begun) status = begin_output(s, err);
  if (status == TN_OK) status = copy_rows(s, in, err);
  tn_scan_report_now(in, &report);
  add_report(&s->total, &report);
  tn_scan_close(in);
  return status;
}

/* Parquet files are pruned one by one; files of one other format are one table, whose types hold
 * the values of all of them. */
static tn_status scan_all(scan *s, tn_error *err) {
  bool parquet = s->formats == 1u << TN_TABLE_PARQUET;
  bool one_format = (s->formats & (s->formats - 1)) == 0;
  if (s->read.hive && !one_format)
    return tn_fail(err, TN_ERR_ARGUMENT, "columns of the path want files of one format");
  if (s->read.hive && parquet)
    TN_TRY(tn_hive_open(&s->hive, (const char *const *)s->inputs.items, s->inputs.count, err));
  int64_t step = one_format && !parquet ? s->inputs.count : 1;
  for (int64_t i = 0; i < s->inputs.count; i += step) {
    if (tn_cli_stop_requested()) return tn_fail(err, TN_ERR_INTERRUPTED, "stopped");
    if (i > 0 && s->total.rows_selected >= s->limit) break;
    TN_TRY(scan_files(s, i, step, err));
  }
  return end_output(s, err);
}

/* ---- the report ---- */
/* Some bytes may have been read twice: the predicate's columns. */
static int64_t never_read(const tn_scan_report *t) {
  return t->bytes_read < t->bytes_file ? t->bytes_file - t->bytes_read : 0;
}

static void report_json(scan *s) {
  const tn_scan_report *t = &s->total;
  const tn_prune_report *p = &t->prune;
  const struct {
    const char *name;
    int64_t value;
  } members[] = {{"rows_selected", t->rows_selected},
                 {"rows_evaluated", t->rows_seen},
                 {"bytes_file", t->bytes_file},
                 {"bytes_read", t->bytes_read},
                 {"bytes_never_read", never_read(t)},
                 {"rows_skipped", t->rows_skipped},
                 {"values_nulled", t->values_nulled},
                 {"row_groups", p->groups},
                 {"row_groups_by_statistics", p->groups_by_statistics},
                 {"row_groups_by_bloom", p->groups_by_bloom},
                 {"row_groups_by_index", p->groups_by_index},
                 {"pages_by_index", p->pages_by_index},
                 {"bytes_by_statistics", p->bytes_by_statistics},
                 {"bytes_by_bloom", p->bytes_by_bloom},
                 {"bytes_by_index", p->bytes_by_index}};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++)
    tn_json_key(&s->j.w, members[i].name), tn_json_i64(&s->j.w, members[i].value);
  tn_cli_json_f64(&s->j.w, "seconds", s->seconds);
}

static void add_reason(tn_strbuf *out, int64_t count, const char *what, int64_t bytes) {
  if (count == 0) return;
  tn_strbuf_add(out, "  ");
  tn_strbuf_add_count_human(out, count);
  tn_strbuf_addf(out, " %s, ", what);
  tn_strbuf_add_bytes_human(out, (double)bytes);
  tn_strbuf_add_char(out, '\n');
}

static void report_people(const scan *s) {
  const tn_scan_report *t = &s->total;
  const tn_prune_report *p = &t->prune;
  int64_t never = never_read(t), other = p->bytes ? t->bytes_file - p->bytes : 0;
  tn_strbuf line = {0};
  tn_strbuf_add_count_human(&line, t->rows_selected);
  tn_strbuf_add(&line, " rows; read ");
  tn_strbuf_add_bytes_human(&line, (double)t->bytes_read);
  tn_strbuf_add(&line, " of ");
  tn_strbuf_add_bytes_human(&line, (double)t->bytes_file);
  if (never > 0 && t->bytes_file > 0) {
    tn_strbuf_add(&line, ", never read ");
    tn_strbuf_add_bytes_human(&line, (double)never);
    tn_strbuf_addf(&line, " (%.1f %%)", 100.0 * (double)never / (double)t->bytes_file);
  }
  tn_strbuf_add(&line, ", in ");
  tn_strbuf_add_duration_human(&line, s->seconds);
  tn_strbuf_add_char(&line, '\n');
  add_reason(&line, p->groups_by_statistics, "row groups left out by statistics",
             p->bytes_by_statistics);
  add_reason(&line, p->groups_by_bloom, "row groups left out by Bloom filters", p->bytes_by_bloom);
  if (p->pages_by_index)
    add_reason(&line, p->pages_by_index, "pages left out by the page index", p->bytes_by_index);
  else
    add_reason(&line, p->groups_by_index, "row groups left out by the page index",
               p->bytes_by_index);
  if (t->rows_skipped || t->values_nulled)
    tn_strbuf_addf(&line, "  bad rows left out: %lld, bad values made null: %lld\n",
                   (long long)t->rows_skipped, (long long)t->values_nulled);
  if (other > 0 && p->groups > 0) {
    tn_strbuf_add(&line, "  columns that nobody asked for and the footer, ");
    tn_strbuf_add_bytes_human(&line, (double)other);
    tn_strbuf_add_char(&line, '\n');
  }
  if (!line.failed) fputs(line.data, stderr);
  tn_strbuf_clear(&line);
}

static const char *scan_hint(const tn_error *err) {
  if (err->status == TN_ERR_ARGUMENT && strncmp(err->text, "predicate", 9) == 0)
    return "a predicate reads like price > 10 and country = \"DE\"";
  return err->status == TN_ERR_NOT_FOUND ? "`tenon data scan --help` shows an example" : NULL;
}

/* ---- the command ---- */
/* --select is --columns by another name; it takes ["a,b"] too. */
static tn_status take_names(scan *s, tn_error *err) {
  if (s->select)
    TN_TRY(tn_table_read_option(&s->read, &s->options.arena, "columns", s->select, err));
  if (s->read.column_count > SELECT_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "--select takes %d columns at most", SELECT_MAX);
  for (int32_t i = 0; i < s->read.column_count; i++) s->names[s->name_count++] = s->read.columns[i];
  s->read.columns = NULL;
  s->read.column_count = 0;
  return TN_OK;
}

static tn_status check_writing(scan *s, tn_error *err) {
  tn_table_format format;
  const char *name = s->write.format;
  if (s->count || s->json || (!s->out && strcmp(s->as, "table") == 0))
    return data_options_refuse_writing(&s->options, "--out FILE or --as csv writes", err);
  if (!s->out) name = s->as;
  TN_TRY(tn_table_format_chosen(s->out ? s->out : "standard output", name, &format, err));
  return data_options_check(&s->options, true, 1u << format, s->out ? s->out : "standard output",
                            err);
}

static tn_status prepare(scan *s, char **words, int32_t count, tn_error *err) {
  TN_TRY(data_options_read(&s->options, &s->read, err));
  TN_TRY(data_options_write(&s->options, &s->write, err));
  s->types = tn_cli_progress(s->quiet || s->json);
  s->read.progress = &s->types;
  s->read.pool = s->write.pool = tn_cli_pool(s->read.threads);
  TN_TRY(take_names(s, err));
  for (int32_t i = 0; i < count; i++)
    TN_TRY(data_paths_add(&s->inputs, words[i], s->read.format != NULL, err));
  if (s->out && strcmp(s->out, "-") != 0 && data_paths_hold(&s->inputs, s->out))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s is read and cannot be written at the same time",
                   s->out);
  s->read.hive = s->read.hive || s->inputs.hive;
  TN_TRY(data_paths_formats(&s->inputs, s->read.format, &s->formats, err));
  TN_TRY(data_options_check(&s->options, false, s->formats, s->inputs.items[0], err));
  return check_writing(s, err);
}

static int run(scan *s, char **words, int32_t count) {
  tn_error err = {0};
  int64_t start_us = tn_time_us();
  if (s->json) tn_cli_json_begin(&s->j), tn_json_begin_object(&s->j.w);
  tn_status status = prepare(s, words, count, &err);
  if (status == TN_OK) status = scan_all(s, &err);
  s->seconds = (double)(tn_time_us() - start_us) / 1e6;
  if (status != TN_OK) {
    tn_strbuf_clear(&s->j.text);
    return tn_cli_fail(&err, scan_hint(&err));
  }
  if (s->json) {
    data_note_not_finite(s->j.w.not_finite);
    report_json(s);
    tn_json_end_object(&s->j.w);
    tn_cli_json_finish(&s->j);
    return 0;
  }
  if (s->count) printf("%lld\n", (long long)s->total.rows_selected);
  if (!s->quiet) report_people(s);
  return 0;
}

static void clear(scan *s) {
  if (s->shows) data_rows_end(&s->rows, false);
  tn_table_writer_free(s->writer);
  tn_schema_clear(&s->schema);
  tn_hive_clear(&s->hive);
  data_paths_clear(&s->inputs);
  data_options_clear(&s->options);
  tn_free(s);
}

int tn_cmd_data_scan(int argc, char **argv) {
  tn_error err = {0};
  scan *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(&err, "a scan", sizeof *s), tn_cli_fail(&err, NULL);
  s->limit = INT64_MAX;
  s->as = "table";
  const tn_option own[] = {
      {"--where", 'w', TN_OPTION_TEXT, &s->where, "TEXT",
       "rows for which this is true: price > 10 and country = \"DE\""},
      {"--select", 's', TN_OPTION_TEXT, &s->select, "A,B",
       "these columns, in this order; names with commas: '[\"a,b\"]'"},
      {"--limit", 'n', TN_OPTION_INT, &s->limit, "N", "rows at most"},
      {"--count", 0, TN_OPTION_FLAG, &s->count, NULL, "only how many rows there are"},
      {"--as", 0, TN_OPTION_TEXT, &s->as, "NAME", "print rows as table (default), csv or jsonl"},
      {"--out", 'o', TN_OPTION_TEXT, &s->out, "FILE", "write the rows there, in any format"},
      {"--quiet", 'q', TN_OPTION_FLAG, &s->quiet, NULL, "no progress bar, no report"},
      {"--json", 0, TN_OPTION_FLAG, &s->json, NULL, "rows and report as one JSON object"},
      {0}};
  data_options_init(&s->options, own, true, true);
  const tn_usage usage = {
      .words = "tenon data scan [options] FILE ...",
      .about =
          "Reads the rows that a predicate wants, and only their columns. Of Parquet files, row\n"
          "groups and pages that cannot hold such a row are left out by statistics, page index\n"
          "and Bloom filters; how many bytes were never read is said at the end.\n"
          "Predicates: = <> < <= > >= and or not in (...) between like ilike is null + - * / %\n"
          "'text' \"text\" `column` a.b dates as '2024-01-31' starts_with(a, 'x')",
      .example =
          "tenon data scan trips.parquet --where 'price > 10 and country = \"DE\"' "
          "--select id,price\n"
          "  tenon data scan trips.parquet --where \"day >= '2024-06-01'\" --out june.csv",
      .options = s->options.rows,
      .words_min = 1,
      .words_max = -1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code < 0 && strcmp(s->as, "table") && strcmp(s->as, "csv") && strcmp(s->as, "jsonl"))
    code = tn_cli_usage_error("--as wants table, csv or jsonl, got '%s'", s->as);
  if (code < 0 && s->limit < 0) code = tn_cli_usage_error("--limit wants a number from 0 on");
  if (code < 0) code = run(s, argv + 1, words);
  clear(s);
  return code;
}
