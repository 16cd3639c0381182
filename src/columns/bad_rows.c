/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/bad_rows.h"

#include "base/json.h"

tn_status tn_on_error_of(const char *name, tn_on_error *out, tn_error *err) {
  static const char *const names[] = {"fail", "skip", "null"};
  for (int32_t i = 0; i < 3; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    *out = (tn_on_error)i;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_ARGUMENT, "'%.40s' is none of fail, skip, null", name);
}

static tn_str cut(tn_str text) {
  if (text.length > TN_BAD_ROW_BYTES_MAX) text.length = TN_BAD_ROW_BYTES_MAX;
  return text;
}

static tn_status write_row(tn_sink *sink, const tn_bad_row *row, tn_error *err) {
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_json_begin_object(&w);
  tn_json_key(&w, "file"), tn_json_cstr(&w, row->file);
  tn_json_key(&w, "line"), tn_json_i64(&w, row->line);
  tn_json_key(&w, "byte"), tn_json_i64(&w, row->byte);
  tn_json_key(&w, "column");
  if (row->column.data)
    tn_json_str(&w, row->column);
  else
    tn_json_null(&w);
  tn_json_key(&w, "reason"), tn_json_str(&w, row->reason);
  tn_json_key(&w, "row"), tn_json_str(&w, cut(row->row));
  tn_json_end_object(&w);
  tn_strbuf_add_char(&text, '\n');
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = tn_sink_write(sink, text.data, text.length, err);
  tn_strbuf_clear(&text);
  return status;
}

tn_status tn_bad_rows_add(tn_bad_rows *rows, const tn_bad_row *row, bool skipped, tn_error *err) {
  int64_t bad = rows->skipped + rows->nulled + 1;
  if (rows->rows_max > 0 && bad > rows->rows_max)
    return tn_fail(err, TN_ERR_LIMIT, "%s: line %lld: more than %lld bad rows; the last: %.*s",
                   row->file, (long long)row->line, (long long)rows->rows_max,
                   TN_STR_ARG(row->reason));
  if (rows->sink) TN_TRY(write_row(rows->sink, row, err));
  if (skipped)
    rows->skipped++;
  else
    rows->nulled++;
  return TN_OK;
}
