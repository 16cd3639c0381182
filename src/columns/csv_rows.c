/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_rows.h"

#include "columns/csv_index.h"

/* Grows to `want` entries; new memory is not zeroed: most of `ends` is never touched. */
static tn_status room(void *items, size_t *capacity, size_t want, size_t size, tn_error *err) {
  if (want <= *capacity) return TN_OK;
  size_t grown = *capacity * 2 > want ? *capacity * 2 : want;
  void **slot = items;
  void *memory = tn_realloc(*slot, grown, size);
  if (!memory) return tn_fail_memory(err, "CSV rows", grown * size);
  *slot = memory;
  *capacity = grown;
  return TN_OK;
}

static tn_status add_segment(tn_csv_rows *r, const uint8_t *base, const uint32_t *ends,
                             int64_t rows, const uint32_t *places, tn_error *err) {
  TN_TRY(room(&r->segments, &r->segment_capacity, r->segment_count + 1, sizeof *r->segments, err));
  r->segments[r->segment_count++] = (tn_csv_segment){base, ends, rows, places};
  r->rows += rows;
  return TN_OK;
}

tn_status tn_csv_rows_add_flaw(tn_csv_rows *r, const tn_csv_flaw *flaw, tn_error *err) {
  TN_TRY(room(&r->flaws, &r->flaw_capacity, r->flaw_count + 1, sizeof *r->flaws, err));
  r->flaws[r->flaw_count++] = *flaw;
  return TN_OK;
}

uint32_t tn_csv_rows_place(const tn_csv_rows *r, const tn_csv_segment *s, int64_t row) {
  return s->places ? s->places[row] : s->ends[row * r->columns - 1] + 1;
}

/* ---- side segments ----
 * Their memory moves while it grows, so during the cut a side segment has base NULL and, as
 * pointers, the counts where its entries begin; connect_sides makes pointers of them. */
static void add_side_field(tn_csv_rows *r, const tn_csv_format *f, const tn_csv_field *field) {
  tn_str text = {(const char *)field->data, field->length};
  bool odd = text.length > 0 && (field->data[0] == f->quote || text.data[text.length - 1] == '\r');
  if (!(field->flags & TN_CSV_QUOTED) && !(f->quote && odd)) {
    tn_strbuf_add_str(&r->side, text);
    return;
  }
  tn_strbuf_add_char(&r->side, (char)f->quote);
  for (size_t i = 0; i < text.length; i++) {
    bool escaped = (field->flags & TN_CSV_ESCAPED) && f->escape && field->data[i] == f->escape &&
                   i + 1 < text.length &&
                   (field->data[i + 1] == f->quote || field->data[i + 1] == f->escape);
    if (escaped) i++;
    if (field->data[i] == f->quote) tn_strbuf_add_char(&r->side, (char)f->quote);
    tn_strbuf_add_char(&r->side, text.data[i]);
  }
  tn_strbuf_add_char(&r->side, (char)f->quote);
}

static bool in_side(const tn_csv_rows *r) {
  return r->segment_count > 0 && !r->segments[r->segment_count - 1].base;
}

/* Missing fields become null, surplus ones are left out. */
static tn_status add_side_row(tn_csv_rows *r, const tn_csv_format *f, uint32_t place,
                              tn_error *err) {
  size_t n = (size_t)r->columns;
  TN_TRY(room(&r->side_ends, &r->side_ends_capacity, r->side_ends_count + n + 1,
              sizeof *r->side_ends, err));
  TN_TRY(room(&r->side_places, &r->side_places_capacity, r->side_places_count + 1,
              sizeof *r->side_places, err));
  if (!in_side(r)) {
    r->side_ends[r->side_ends_count++] = (uint32_t)r->side.length - 1;
    TN_TRY(add_segment(r, NULL, (uint32_t *)r->side_ends_count, 0, (uint32_t *)r->side_places_count,
                       err));
  }
  for (size_t c = 0; c < n; c++) {
    if (c < (size_t)r->record.count) add_side_field(r, f, &r->record.fields[c]);
    r->side_ends[r->side_ends_count++] = (uint32_t)r->side.length;
    tn_strbuf_add_char(&r->side, c + 1 < n ? (char)f->separator[0] : (char)f->newline);
  }
  r->side_places[r->side_places_count++] = place;
  r->segments[r->segment_count - 1].rows++;
  r->rows++;
  if (r->side.length > UINT32_MAX / 2)
    return tn_fail(err, TN_ERR_LIMIT, "CSV records of more than 2 GiB in one block");
  return tn_strbuf_check(&r->side, err);
}

static tn_status connect_sides(tn_csv_rows *r, tn_error *err) {
  for (int i = 0; i < TN_CSV_PADDING; i++) tn_strbuf_add_char(&r->side, 0);
  TN_TRY(tn_strbuf_check(&r->side, err));
  for (size_t i = 0; i < r->segment_count; i++) {
    tn_csv_segment *s = &r->segments[i];
    if (s->base) continue;
    s->base = (const uint8_t *)r->side.data;
    s->ends = r->side_ends + (uintptr_t)s->ends;
    s->places = r->side_places + (uintptr_t)s->places;
  }
  return TN_OK;
}

/* ---- one record with care ---- */
static tn_csv_flaw flaw_of(const tn_csv_rows *r, tn_csv_fault fault, uint32_t at, bool skipped) {
  const tn_csv_record *record = &r->record;
  tn_csv_flaw flaw = {fault, at, at, record->count, -1, skipped, -1};
  if (fault != TN_CSV_FEW_FIELDS && fault != TN_CSV_MANY_FIELDS) {
    flaw.place = (uint32_t)(record->fault_at - r->text);
    flaw.column = record->fault_column;
  }
  return flaw;
}

/* A record that cannot be taken apart, or has the wrong number of fields: fails, is left out, or is
 * mended.  *next: where to go on. */
static tn_status mend(tn_csv_rows *r, const tn_csv_cut *cut, uint32_t at, tn_csv_fault fault,
                      const uint8_t **next, tn_error *err) {
  const tn_csv_format *f = cut->format;
  const uint8_t *p = cut->text + at, *end = cut->text + cut->end;
  if (fault == TN_CSV_NO_MEMORY) return tn_fail_memory(err, "CSV record", r->record.capacity * 32);
  bool counted = fault == TN_CSV_FEW_FIELDS || fault == TN_CSV_MANY_FIELDS;
  if (cut->on_error == TN_ON_ERROR_FAIL) {
    r->fault = flaw_of(r, fault, at, false);
    return TN_OK;
  }
  const uint8_t *line_end = tn_csv_line_end(f, p, end, cut->last);
  if (!line_end) {
    r->incomplete = true;
    return TN_OK;
  }
  bool skip = cut->on_error == TN_ON_ERROR_SKIP || fault == TN_CSV_FIELD_SIZE;
  *next = counted ? r->record.next : line_end;
  tn_csv_flaw flaw = flaw_of(r, fault, at, skip);
  bool quotes = f->quote && memchr(p, f->quote, (size_t)(line_end - p));
  if (!skip && quotes) {
    bool whole = tn_csv_repair(f, p, line_end, &r->record);
    if (!whole && r->record.fault == TN_CSV_NO_MEMORY)
      return tn_fail_memory(err, "CSV record", r->record.capacity * 32);
    if (whole) *next = line_end;
    if (!whole && counted) tn_csv_split(f, p, end, cut->last, &r->record);
  }
  TN_TRY(tn_csv_rows_add_flaw(r, &flaw, err));
  return skip ? TN_OK : add_side_row(r, f, at, err);
}

/* The record at *at, and behind it.  Leaves *at where it is when the record is incomplete or
 * faulty. */
static tn_status take_record(tn_csv_rows *r, const tn_csv_cut *cut, uint32_t *at, tn_error *err) {
  const uint8_t *p = cut->text + *at, *next = NULL;
  tn_csv_outcome why = tn_csv_split(cut->format, p, cut->text + cut->end, cut->last, &r->record);
  r->incomplete = why == TN_CSV_INCOMPLETE;
  if (why == TN_CSV_INCOMPLETE) return TN_OK;
  if (why != TN_CSV_BROKEN) next = r->record.next;
  if (why == TN_CSV_BROKEN)
    TN_TRY(mend(r, cut, *at, r->record.fault, &next, err));
  else if (why == TN_CSV_RECORD && r->record.count == r->columns)
    TN_TRY(add_side_row(r, cut->format, *at, err));
  else if (why == TN_CSV_RECORD)
    TN_TRY(mend(r, cut, *at, r->record.count < r->columns ? TN_CSV_FEW_FIELDS : TN_CSV_MANY_FIELDS,
                &next, err));
  if (!r->incomplete && !r->fault.fault) *at = (uint32_t)(next - cut->text);
  return TN_OK;
}

static bool stopped(const tn_csv_rows *r) {
  return r->incomplete || r->fault.fault;
}

/* ---- the index's rows ---- */
/* How many rows from entry 0 on are whole: `columns` entries of which the last alone is a line end.
 * Where all are, a look at the last ones and the number of line ends tells. */
static int64_t whole_rows(const tn_csv_rows *r, uint8_t newline, const uint32_t *ends,
                          int64_t count, int64_t line_ends) {
  const int64_t n = r->columns, rows = count / n;
  int64_t row = 0, in_tail = 0;
  for (int64_t k = rows * n; k < count; k++) in_tail += r->text[ends[k]] == newline;
  if (line_ends - in_tail == rows) {
    while (row < rows && r->text[ends[row * n + n - 1]] == newline) row++;
    if (row == rows) return rows;
  }
  for (row = 0; row < rows; row++) {
    const uint32_t *e = ends + row * n;
    int64_t c = 0;
    while (c < n && r->text[e[c]] != newline) c++;
    if (c != n - 1) break;
  }
  return row;
}

static tn_status cut_indexed(tn_csv_rows *r, const tn_csv_cut *cut, uint32_t *at, size_t *used,
                             tn_error *err) {
  const tn_csv_format *f = cut->format;
  tn_csv_marks marks = {f->separator[0], f->quote, f->newline, f->quote != 0};
  tn_csv_index_result index;
  size_t need = *used + 1 + (cut->limit - *at) + TN_CSV_INDEX_SLACK;
  if (need > r->ends_capacity) return tn_fail(err, TN_ERR_LIMIT, "CSV index is full");
  uint32_t *ends = r->ends + *used + 1;
  ends[-1] = *at - 1;
  tn_csv_index(&marks, cut->text, *at, cut->limit, ends, &index);
  *used += 1 + index.count;
  int64_t left = index.count, line_ends = index.line_ends;
  bool ascii = index.ascii;
  while (*at < cut->limit && !stopped(r)) {
    int64_t rows = whole_rows(r, f->newline, ends, left, line_ends);
    if (rows > 0) {
      TN_TRY(add_segment(r, cut->text, ends, rows, NULL, err));
      ends += rows * r->columns;
      left -= rows * r->columns;
      line_ends -= rows;
      *at = ends[-1] + 1;
      continue;
    }
    TN_TRY(take_record(r, cut, at, err));
    if (*at > index.stopped) break;
    for (; left > 0 && *ends < *at; ends++, left--) line_ends -= cut->text[*ends] == f->newline;
    if (ends[-1] + 1 != *at) break; /* out of step: index again from here */
  }
  r->plain_text &= ascii;
  return TN_OK;
}

/* Whether all that was cut is UTF-8.  (plain_text so far: the indexed part is ASCII.) */
static bool is_plain_text(const tn_csv_rows *r) {
  if (r->plain_text && tn_utf8_valid(tn_strbuf_view(&r->side))) return true;
  return tn_utf8_valid((tn_str){(const char *)r->text + r->start, r->end - r->start});
}

tn_status tn_csv_rows_cut(tn_csv_rows *r, const tn_csv_cut *cut, tn_error *err) {
  r->segment_count = r->flaw_count = r->side_ends_count = r->side_places_count = 0;
  r->rows = 0;
  r->columns = cut->format->columns;
  r->text = cut->text;
  r->start = r->end = cut->start;
  r->incomplete = false;
  r->plain_text = true;
  r->fault = (tn_csv_flaw){0};
  tn_strbuf_reset(&r->side);
  size_t used = 0;
  if (cut->limit > cut->start) /* each record may begin a segment of its own */
    TN_TRY(room(&r->ends, &r->ends_capacity,
                2 * (size_t)(cut->limit - cut->start) + 2 + TN_CSV_INDEX_SLACK, sizeof *r->ends,
                err));
  uint32_t at = cut->start;
  while (at < cut->limit && !stopped(r)) {
    if (cut->fast)
      TN_TRY(cut_indexed(r, cut, &at, &used, err));
    else
      TN_TRY(take_record(r, cut, &at, err));
  }
  r->end = at;
  r->plain_text = is_plain_text(r);
  return connect_sides(r, err);
}

/* ---- leaving rows out ---- */
tn_status tn_csv_rows_drop(tn_csv_rows *r, const uint8_t *drop, tn_error *err) {
  tn_csv_segment *old = r->segments;
  size_t old_count = r->segment_count;
  r->segments = NULL;
  r->segment_count = r->segment_capacity = 0;
  r->rows = 0;
  int64_t row = 0;
  tn_status status = TN_OK;
  for (size_t i = 0; i < old_count; i++) {
    const tn_csv_segment *s = &old[i];
    for (int64_t from = 0; from < s->rows && status == TN_OK;) {
      int64_t to = from;
      while (to < s->rows && !(drop[(row + to) >> 3] >> ((row + to) & 7) & 1)) to++;
      if (to > from)
        status = add_segment(r, s->base, s->ends + from * r->columns, to - from,
                             s->places ? s->places + from : NULL, err);
      from = to + 1;
    }
    row += s->rows;
  }
  tn_free(old);
  return status;
}

void tn_csv_rows_clear(tn_csv_rows *r) {
  tn_free(r->segments);
  tn_free(r->flaws);
  tn_free(r->ends);
  tn_free(r->side_ends);
  tn_free(r->side_places);
  tn_strbuf_clear(&r->side);
  tn_csv_record_clear(&r->record);
  *r = (tn_csv_rows){0};
}
