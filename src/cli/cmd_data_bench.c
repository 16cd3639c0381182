/* cmd_data_bench.c - `tenon data bench`: the same question to several layouts of the same table.
 *
 * Each file is read twice over: one column, then all columns, `rounds` times alternating between
 * the files, so that a noisy neighbour hits all of them; the median counts. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cmd_data.h"
#include "cli/data_bars.h"
#include "columns/table.h"

#define FILES_MAX  DATA_BARS_MAX
#define ROUNDS_MAX 99

typedef struct measure {
  double seconds[ROUNDS_MAX];
  int64_t bytes_read, rows;
} measure;

typedef struct bench {
  const char *paths[FILES_MAX];
  int32_t files, rounds;
  const char *column;
  measure one[FILES_MAX], all[FILES_MAX];
} bench;

static tn_status read_all(tn_table *in, int64_t *rows, tn_error *err) {
  *rows = 0;
  for (;;) {
    if (tn_cli_stop_requested()) return tn_fail(err, TN_ERR_INTERRUPTED, "stopped");
    ArrowArray batch = {0};
    tn_status status = tn_stream_next(&in->stream, &batch, err);
    if (status == TN_END) return TN_OK;
    TN_TRY(status);
    *rows += batch.length;
    tn_array_clear(&batch);
  }
}

static tn_status measure_read(const char *path, const char *column, measure *m, int32_t round,
                              tn_error *err) {
  tn_table_read_options options = {
      .columns = column ? &column : NULL, .column_count = column != NULL, .pool = tn_cli_pool(0)};
  tn_table in = {0};
  int64_t start_us = tn_time_us();
  tn_status status = tn_table_open(&in, path, &options, err);
  if (status == TN_OK) status = read_all(&in, &m->rows, err);
  if (status == TN_OK) m->bytes_read = tn_table_bytes_read(&in);
  tn_table_close(&in);
  m->seconds[round] = (double)(tn_time_us() - start_us) / 1e6;
  return status;
}

static tn_status run_rounds(bench *b, tn_progress *progress, tn_error *err) {
  int64_t done = 0;
  tn_progress_begin(progress, "bench", "reads", (int64_t)b->rounds * b->files * 2);
  for (int32_t round = 0; round < b->rounds; round++)
    for (int32_t f = 0; f < b->files; f++) {
      TN_TRY(measure_read(b->paths[f], b->column, &b->one[f], round, err));
      TN_TRY(measure_read(b->paths[f], NULL, &b->all[f], round, err));
      done += 2;
      TN_TRY(tn_progress_at(progress, done, err));
    }
  tn_progress_end(progress);
  for (int32_t f = 1; f < b->files; f++)
    if (b->all[f].rows != b->all[0].rows)
      return tn_fail(err, TN_ERR_DATA, "%s has %lld rows, %s has %lld: not the same table",
                     b->paths[0], (long long)b->all[0].rows, b->paths[f],
                     (long long)b->all[f].rows);
  return TN_OK;
}

static int compare_seconds(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}
static double median(measure *m, int32_t rounds) {
  qsort(m->seconds, (size_t)rounds, sizeof m->seconds[0], compare_seconds);
  return m->seconds[rounds / 2];
}

/* The first file is the yardstick: ratios say how many times less the others read and wait. */
static void print_part(bench *b, const char *title, measure *m) {
  double base_seconds = median(&m[0], b->rounds);
  printf("\n%s\n  %-34s %12s %10s %11s %11s\n", title, "file", "bytes read", "seconds",
         "bytes less", "time less");
  for (int32_t f = 0; f < b->files; f++) {
    double seconds = median(&m[f], b->rounds);
    tn_strbuf bytes = {0};
    tn_strbuf_add_bytes_human(&bytes, (double)m[f].bytes_read);
    printf("  %-34s %12s %10.4f %10.1fx %10.1fx\n", b->paths[f], bytes.data ? bytes.data : "",
           seconds, (double)m[0].bytes_read / (double)(m[f].bytes_read ? m[f].bytes_read : 1),
           seconds > 0 ? base_seconds / seconds : 0);
    tn_strbuf_clear(&bytes);
  }
}

static void json_part(bench *b, tn_json_writer *w, const char *key, measure *m) {
  double base_seconds = median(&m[0], b->rounds);
  tn_json_key(w, key), tn_json_begin_array(w);
  for (int32_t f = 0; f < b->files; f++) {
    double seconds = median(&m[f], b->rounds);
    tn_json_begin_object(w);
    tn_cli_json_text(w, "file", b->paths[f]);
    tn_cli_json_i64(w, "bytes_read", m[f].bytes_read);
    tn_cli_json_f64(w, "seconds", seconds);
    tn_cli_json_f64(w, "bytes_ratio",
                    (double)m[0].bytes_read / (double)(m[f].bytes_read ? m[f].bytes_read : 1));
    tn_cli_json_f64(w, "time_ratio", seconds > 0 ? base_seconds / seconds : 0);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
}

static tn_status first_column(const char *path, tn_strbuf *name, tn_error *err) {
  tn_table in = {0};
  ArrowSchema schema = {0};
  tn_table_read_options options = {.threads = 1};
  TN_TRY(tn_table_open(&in, path, &options, err));
  tn_status status = tn_stream_schema(&in.stream, &schema, err);
  if (status == TN_OK && schema.n_children == 0)
    status = tn_fail(err, TN_ERR_DATA, "%s has no columns", path);
  if (status == TN_OK) tn_strbuf_add(name, schema.children[0]->name);
  tn_schema_clear(&schema);
  tn_table_close(&in);
  TN_TRY(status);
  return tn_strbuf_check(name, err);
}

static void report(bench *b, bool json) {
  if (!json) {
    tn_strbuf title = {0};
    tn_strbuf_addf(&title, "one column (%s)", b->column);
    print_part(b, title.data ? title.data : "one column", b->one);
    print_part(b, "all columns", b->all);
    tn_strbuf_clear(&title);
    return;
  }
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_i64(&j.w, "rows", b->all[0].rows);
  tn_cli_json_text(&j.w, "column", b->column);
  tn_cli_json_i64(&j.w, "rounds", b->rounds);
  json_part(b, &j.w, "one_column", b->one);
  json_part(b, &j.w, "all_columns", b->all);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

/* After report, whose medians have put the seconds in order. */
static tn_status write_plot(bench *b, tn_sink *sink, tn_error *err) {
  tn_strbuf title = {0}, one = {0}, svg = {0};
  tn_strbuf_add_count_human(&title, b->all[0].rows);
  tn_strbuf_addf(&title, " rows, median of %d reads", b->rounds);
  tn_strbuf_addf(&one, "column %s: ", b->column);
  tn_status status = tn_strbuf_check(&title, err);
  if (status == TN_OK) status = tn_strbuf_check(&one, err);
  char names[2][160];
  snprintf(names[0], sizeof names[0], "%.120s bytes read", one.data ? one.data : "");
  snprintf(names[1], sizeof names[1], "%.120s time", one.data ? one.data : "");
  data_panel panels[DATA_PANELS] = {{.title = names[0]},
                                    {.title = names[1], .seconds = true},
                                    {.title = "all columns: bytes read"},
                                    {.title = "all columns: time", .seconds = true}};
  for (int32_t f = 0; f < b->files; f++) {
    panels[0].values[f] = (double)b->one[f].bytes_read;
    panels[1].values[f] = median(&b->one[f], b->rounds);
    panels[2].values[f] = (double)b->all[f].bytes_read;
    panels[3].values[f] = median(&b->all[f], b->rounds);
  }
  if (status == TN_OK) data_bars_svg(title.data, b->paths, b->files, panels, &svg);
  if (status == TN_OK) status = tn_strbuf_check(&svg, err);
  if (status == TN_OK) status = tn_sink_write(sink, svg.data, svg.length, err);
  if (status == TN_OK) status = tn_sink_commit(sink, err);
  tn_strbuf_clear(&title);
  tn_strbuf_clear(&one);
  tn_strbuf_clear(&svg);
  return status;
}

int tn_cmd_data_bench(int argc, char **argv) {
  const char *column = NULL, *plot = NULL;
  bool json = false, quiet = false;
  int64_t rounds = 5, threads = 0;
  const tn_option options[] = {
      {"--column", 0, TN_OPTION_TEXT, &column, "NAME", "the one column (default: the first)"},
      {"--rounds", 0, TN_OPTION_INT, &rounds, "N",
       "reads of each kind, the median counts (default 5)"},
      {"--threads", 0, TN_OPTION_INT, &threads, "N", "0: all CPUs (default)"},
      {"--plot", 0, TN_OPTION_TEXT, &plot, "FILE.svg", "the figures as bars"},
      {"--quiet", 'q', TN_OPTION_FLAG, &quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "the figures as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon data bench [options] FILE FILE ...",
      .about =
          "Reads one column, then all columns, of the same table in several layouts; shows the\n"
          "bytes read and the seconds. The first file is the yardstick.",
      .example = "tenon data bench trips.csv trips.parquet --column fare --plot bench.svg",
      .options = options,
      .words_min = 1,
      .words_max = FILES_MAX};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (rounds < 1 || rounds > ROUNDS_MAX)
    return tn_cli_usage_error("--rounds wants 1 to %d, got %lld", ROUNDS_MAX, (long long)rounds);
  if (plot && !tn_str_ends(tn_str_of(plot), TN_STR(".svg")))
    return tn_cli_usage_error("--plot writes SVG: '%s' does not end in .svg", plot);
  tn_error err = {0};
  tn_strbuf name = {0};
  tn_sink *sink = NULL; /* opened first: nobody wants to hear of a bad path after minutes */
  bench *b = tn_alloc(1, sizeof *b);
  tn_status status = b ? TN_OK : tn_fail_memory(&err, "bench", sizeof *b);
  if (status == TN_OK && plot) status = tn_sink_open_file(&sink, plot, &err);
  if (status == TN_OK && !column) status = first_column(argv[1], &name, &err);
  if (status == TN_OK) {
    tn_cli_pool((int32_t)threads); /* made once, here */
    b->files = words;
    b->rounds = (int32_t)rounds;
    b->column = column ? column : name.data;
    for (int32_t f = 0; f < words; f++) b->paths[f] = argv[f + 1];
    tn_progress progress = tn_cli_progress(json || quiet);
    status = run_rounds(b, &progress, &err);
  }
  if (status == TN_OK) report(b, json);
  if (status == TN_OK && plot) status = write_plot(b, sink, &err);
  tn_sink_close(sink);
  tn_free(b);
  tn_strbuf_clear(&name);
  return status == TN_OK ? 0 : tn_cli_fail(&err, NULL);
}
