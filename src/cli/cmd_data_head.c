/* cmd_data_head.c - `tenon data head`: the first rows of a table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_data.h"
#include "cli/data_options.h"
#include "cli/data_paths.h"
#include "cli/data_rows.h"
#include "columns/table_set.h"

static tn_status show(tn_table_set *in, data_rows *r, int64_t rows, tn_error *err) {
  while (rows > 0) {
    ArrowArray batch = {0};
    if (!r->json && ferror(stdout)) return TN_OK; /* main says why, if it is worth a word */
    if (tn_cli_stop_requested()) return tn_fail(err, TN_ERR_INTERRUPTED, "stopped");
    tn_status status = tn_table_set_next(in, &batch, err);
    if (status == TN_END) break;
    TN_TRY(status);
    int64_t count = batch.length < rows ? batch.length : rows;
    data_rows_batch(r, &batch, count);
    rows -= count;
    tn_array_clear(&batch);
  }
  return TN_OK;
}

static tn_status head(const data_paths *paths, const tn_table_read_options *read, int64_t rows,
                      tn_json_writer *json, tn_error *err) {
  tn_table_set *in = NULL;
  ArrowSchema schema = {0};
  data_rows r = {0};
  tn_status status =
      tn_table_set_open(&in, (const char *const *)paths->items, paths->count, read, err);
  if (status == TN_OK) status = tn_table_set_schema(in, &schema, err);
  if (status == TN_OK) {
    status = data_rows_begin(&r, &schema, json, err);
    if (status == TN_OK) status = show(in, &r, rows, err);
    data_rows_end(&r, status == TN_OK);
  }
  tn_schema_clear(&schema);
  tn_table_set_close(in);
  return status;
}

int tn_cmd_data_head(int argc, char **argv) {
  int64_t rows = 10;
  bool json = false;
  const tn_option own[] = {
      {"--rows", 'n', TN_OPTION_INT, &rows, "N", "how many rows (default 10)"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "columns and rows as one JSON object"},
      {0}};
  tn_error err = {0};
  data_options *options = tn_alloc(1, sizeof *options);
  if (!options) return tn_fail_memory(&err, "options", sizeof *options), tn_cli_fail(&err, NULL);
  data_options_init(options, own, true, false);
  const tn_usage usage = {.words = "tenon data head [options] FILE ...",
                          .about = "Shows the first rows of a table; '-' is null.",
                          .example = "tenon data head trips.parquet -n 5 --columns fare,tip",
                          .options = options->rows,
                          .words_min = 1,
                          .words_max = -1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code < 0 && rows < 0) code = tn_cli_usage_error("--rows wants a number from 0 on");
  if (code < 0) {
    tn_table_read_options read = {.batch_rows = rows > 0 && rows < 4096 ? rows : 4096};
    data_paths paths = {0};
    tn_cli_json j = {0};
    if (json) tn_cli_json_begin(&j), tn_json_begin_object(&j.w);
    tn_status status = data_options_read(options, &read, &err);
    tn_progress progress = tn_cli_progress(json);
    read.progress = &progress;
    read.pool = tn_cli_pool(read.threads);
    for (int32_t i = 0; i < words && status == TN_OK; i++)
      status = data_paths_add(&paths, argv[1 + i], read.format != NULL, &err);
    read.hive = read.hive || paths.hive;
    uint32_t formats = 0;
    if (status == TN_OK) status = data_paths_formats(&paths, read.format, &formats, &err);
    if (status == TN_OK) status = data_options_check(options, false, formats, paths.items[0], &err);
    if (status == TN_OK) status = head(&paths, &read, rows, json ? &j.w : NULL, &err);
    if (json && status == TN_OK) {
      data_note_not_finite(j.w.not_finite);
      tn_json_end_object(&j.w);
      tn_cli_json_finish(&j);
    }
    tn_strbuf_clear(&j.text);
    data_paths_clear(&paths);
    code = status == TN_OK ? 0 : tn_cli_fail(&err, NULL);
  }
  data_options_clear(options);
  tn_free(options);
  return code;
}
