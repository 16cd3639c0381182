/* SPDX-License-Identifier: Apache-2.0 */
/* What was wrong with a CSV file, in words: where, what, and what would help. */
#include "columns/csv_index.h"
#include "columns/csv_reader.h"

#define SHOWN_VALUE_BYTES 60

/* Counts on from the last place asked for: flaws come in the order of the text. */
static int64_t line_of(const tn_csv_reader *r, uint32_t at) {
  tn_csv_line *known = r->line;
  if (known->base_byte != r->base_byte || at < known->at)
    *known = (tn_csv_line){r->base_byte, 0, r->base_line};
  known->line += tn_csv_count_byte(r->text + known->at, at - known->at, r->plan.format.newline);
  known->at = at;
  return known->line;
}

static int64_t byte_of(const tn_csv_reader *r, uint32_t at) {
  return r->base_byte + at;
}

static const char *name_of(const tn_csv_reader *r, int32_t column) {
  return column >= 0 && column < r->plan.format.columns ? r->names[column] : "";
}

/* The flaw's record, split again; the extent of the record in any case. */
typedef struct found {
  tn_csv_record record;
  const uint8_t *start, *end;
  bool split;
} found;

static found find_record(const tn_csv_reader *r, const tn_csv_flaw *flaw) {
  found f = {.start = r->text + flaw->record};
  const uint8_t *end = r->text + r->filled;
  const tn_csv_format *format = &r->plan.format;
  f.split = tn_csv_split(format, f.start, end, r->last, &f.record) == TN_CSV_RECORD;
  f.end = f.split ? f.record.next : tn_csv_line_end(format, f.start, end, r->last);
  if (!f.end) f.end = end;
  if (!f.split && flaw->output >= 0) tn_csv_repair(format, f.start, f.end, &f.record);
  return f;
}

static tn_str shown_value(const found *f, const tn_csv_flaw *flaw, const char **more) {
  if (flaw->column >= f->record.count) return (tn_str){"", 0};
  const tn_csv_field *field = &f->record.fields[flaw->column];
  tn_str value = {(const char *)field->data, field->length};
  *more = value.length > SHOWN_VALUE_BYTES ? "..." : "";
  if (value.length > SHOWN_VALUE_BYTES) value.length = SHOWN_VALUE_BYTES;
  return value;
}

static void bad_value(const tn_csv_reader *r, const tn_csv_flaw *flaw, const found *f,
                      tn_strbuf *out) {
  const tn_csv_column *column = &r->plan.columns[flaw->output];
  if (flaw->fault == TN_CSV_BAD_TEXT) {
    tn_strbuf_add(out,
                  "the text is not UTF-8; name the file's encoding, or declare the column as "
                  "binary");
    return;
  }
  const char *more = "";
  tn_str value = shown_value(f, flaw, &more);
  tn_field field = {.name = "", .type = column->type};
  if (value.length == 0 && column->required) {
    tn_strbuf_add(out, "null in a column that is declared without nulls");
    return;
  }
  tn_strbuf_addf(out, "\"%.*s%s\" is no ", TN_STR_ARG(value), more);
  tn_field_text(&field, out);
  if (column->declared)
    tn_strbuf_add(out, ", the declared type");
  else if (r->inferred_all)
    tn_strbuf_add(out, ", the type inferred from all rows");
  else
    tn_strbuf_addf(out,
                   ", the type inferred from %s %lld rows; infer_all, a larger infer_rows or a "
                   "declared type would help",
                   r->options->infer_rows > 0 ? "the first" : "a sample of",
                   (long long)r->rows_inferred);
}

static void wrong_count(const tn_csv_reader *r, const tn_csv_flaw *flaw, const found *f,
                        tn_strbuf *out) {
  bool few = flaw->fault == TN_CSV_FEW_FIELDS;
  int32_t columns = r->plan.format.columns;
  tn_strbuf_addf(out, "%d fields, expected %d; ", flaw->column, columns);
  if (few)
    tn_strbuf_addf(out, "the first missing one is \"%.60s\"", name_of(r, flaw->column));
  else
    tn_strbuf_addf(out, "the last is \"%.60s\"", name_of(r, columns - 1));
  bool cut =
      few && r->last && f->end == r->text + r->filled && f->end[-1] != r->plan.format.newline;
  if (cut) tn_strbuf_add(out, "; the file ends in this row: is it truncated?");
}

/* The reason without the place. */
static void say(const tn_csv_reader *r, const tn_csv_flaw *flaw, const found *f, tn_strbuf *out) {
  switch (flaw->fault) {
    case TN_CSV_FEW_FIELDS:
    case TN_CSV_MANY_FIELDS:
      wrong_count(r, flaw, f, out);
      return;
    case TN_CSV_OPEN_QUOTE:
      tn_strbuf_addf(out,
                     "a quote opened at line %lld is not closed at the end of the file (%lld "
                     "bytes): is the file truncated?",
                     (long long)line_of(r, flaw->place),
                     (long long)byte_of(r, (uint32_t)r->filled));
      return;
    case TN_CSV_TEXT_AFTER_QUOTE:
      tn_strbuf_add(out, "text after a closing quote; inside quotes, a quote is written twice");
      return;
    case TN_CSV_FIELD_SIZE:
      tn_strbuf_addf(
          out, "a field of more than %lld bytes%s", (long long)r->plan.format.field_bytes_max,
          r->text[flaw->place] == r->plan.format.quote ? ": is its closing quote missing?" : "");
      return;
    default:
      bad_value(r, flaw, f, out);
  }
}

static bool has_column(const tn_csv_flaw *flaw) {
  return flaw->fault != TN_CSV_FEW_FIELDS && flaw->fault != TN_CSV_MANY_FIELDS;
}

/* Where a value stands; a field inside quotes begins behind the quote. */
static uint32_t place_of(const tn_csv_reader *r, const tn_csv_flaw *flaw, const found *f) {
  if (flaw->output < 0 || flaw->column < 0 || flaw->column >= f->record.count) return flaw->place;
  return (uint32_t)(f->record.fields[flaw->column].data - r->text);
}

tn_status tn_csv_report_error(tn_csv_reader *r, const tn_csv_flaw *flaw, tn_error *err) {
  found f = find_record(r, flaw);
  tn_strbuf reason = {0};
  say(r, flaw, &f, &reason);
  uint32_t place = has_column(flaw) ? place_of(r, flaw, &f) : flaw->record;
  tn_status kind = flaw->fault == TN_CSV_FIELD_SIZE ? TN_ERR_LIMIT : TN_ERR_DATA;
  tn_status status = tn_strbuf_check(&reason, err);
  if (status == TN_OK && has_column(flaw))
    status = tn_fail(err, kind, "%s: line %lld, column %d \"%.60s\" (byte %lld): %s",
                     r->input.source->name, (long long)line_of(r, place), flaw->column + 1,
                     name_of(r, flaw->column), (long long)byte_of(r, place), reason.data);
  else if (status == TN_OK)
    status = tn_fail(err, kind, "%s: line %lld (byte %lld): %s", r->input.source->name,
                     (long long)line_of(r, place), (long long)byte_of(r, place), reason.data);
  bool value = flaw->output >= 0 && flaw->fault == TN_CSV_BAD_VALUE;
  if (value && !r->plan.columns[flaw->output].declared && !r->inferred_all &&
      r->options->needs_wider)
    *r->options->needs_wider = true;
  tn_strbuf_clear(&reason);
  tn_csv_record_clear(&f.record);
  return status;
}

static tn_status report_flaw(tn_csv_reader *r, const tn_csv_flaw *flaw, tn_error *err) {
  found f = find_record(r, flaw);
  const uint8_t *end = f.end;
  while (end > f.start && (end[-1] == '\n' || end[-1] == '\r')) end--;
  tn_strbuf reason = {0};
  say(r, flaw, &f, &reason);
  const tn_bad_row row = {.file = r->input.source->name,
                          .line = line_of(r, flaw->record),
                          .byte = byte_of(r, flaw->record),
                          .column = has_column(flaw) && flaw->column < r->plan.format.columns
                                        ? tn_str_of(name_of(r, flaw->column))
                                        : (tn_str){0},
                          .reason = tn_strbuf_view(&reason),
                          .row = {(const char *)f.start, (size_t)(end - f.start)}};
  tn_status status = tn_strbuf_check(&reason, err);
  if (status == TN_OK) status = tn_bad_rows_add(r->bad_rows, &row, flaw->skipped, err);
  tn_strbuf_clear(&reason);
  tn_csv_record_clear(&f.record);
  return status;
}

tn_status tn_csv_report_flaws(tn_csv_reader *r, const tn_csv_rows *rows, tn_error *err) {
  for (size_t i = 0; i < rows->flaw_count; i++) TN_TRY(report_flaw(r, &rows->flaws[i], err));
  return TN_OK;
}

tn_status tn_csv_report_long_record(const tn_csv_reader *r, uint32_t at, tn_error *err) {
  return tn_fail(err, TN_ERR_LIMIT, "%s: line %lld (byte %lld): a record of more than 1 GiB",
                 r->input.source->name, (long long)line_of(r, at), (long long)byte_of(r, at));
}
