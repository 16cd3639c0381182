/* SPDX-License-Identifier: Apache-2.0 */
/* A dialect is judged by how regular it makes the sample: for each choice of separator, quote and
 * escape the records are counted that have the commonest number of fields.  Where two are equally
 * regular the longer separator wins (", " over ","), and then the order of the lists below. */
#include "columns/csv_dialect.h"

#include "columns/csv_value.h"

enum {
  SCORED_BYTES = 96 << 10, /* of the sample, for each candidate */
  COUNTS_MAX = 4096,       /* fields of a record; more count as this many */
  LOOKED_ROWS = 200,       /* for the header's sake */
  HEADER_ROWS_MAX = 8,
  FOOTNOTES_MAX = 10,
  PREAMBLE_MAX = 100,
};

/* `to` has room for every text of the lists below. */
static void set_text(char *to, const char *text) {
  memcpy(to, text, strlen(text) + 1);
}

/* ---- options ---- */
static tn_status one_byte(const char *what, const char *text, char *out, tn_error *err) {
  if (strcmp(text, "none") == 0) text = "";
  if (strcmp(text, "tab") == 0) text = "\t";
  if (strlen(text) > 1 || *text == '\n' || *text == '\r')
    return tn_fail(err, TN_ERR_ARGUMENT, "a CSV %s is one byte or none, got '%s'", what, text);
  *out = text[0];
  return TN_OK;
}

static tn_status take_separator(const char *text, tn_csv_dialect *out, tn_error *err) {
  if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0) text = "\t";
  size_t length = strlen(text);
  if (length < 1 || length > TN_CSV_SEPARATOR_MAX || strpbrk(text, "\r\n"))
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "a CSV separator has 1 to %d bytes and no line end, got '%s'",
                   TN_CSV_SEPARATOR_MAX, text);
  if ((*text >= '0' && *text <= '9') || *text == '.' || *text == '-' || *text == '+')
    return tn_fail(err, TN_ERR_ARGUMENT, "'%s' does not serve as a CSV separator", text);
  memcpy(out->separator, text, length + 1);
  return TN_OK;
}

static tn_status take_line_end(const char *name, tn_csv_dialect *out, tn_error *err) {
  static const char *const names[] = {"lf", "crlf", "cr"};
  static const char *const ends[] = {"\n", "\r\n", "\r"};
  for (int i = 0; i < 3; i++)
    if (strcasecmp(name, names[i]) == 0) {
      set_text(out->line_end, ends[i]);
      return TN_OK;
    }
  return tn_fail(err, TN_ERR_ARGUMENT, "CSV line end '%s' is not known; known are lf, crlf, cr",
                 name);
}

tn_status tn_csv_dialect_of_options(tn_csv_dialect *out, const tn_csv_options *o, tn_error *err) {
  *out = (tn_csv_dialect){
      .separator = ",", .quote = '"', .line_end = "\n", .tables = 1, .end_byte = -1};
  if (o->separator) TN_TRY(take_separator(o->separator, out, err));
  if (o->quote) TN_TRY(one_byte("quote", o->quote, &out->quote, err));
  out->escape = out->quote;
  if (o->escape) TN_TRY(one_byte("escape", o->escape, &out->escape, err));
  if (o->comment) TN_TRY(one_byte("comment", o->comment, &out->comment, err));
  if (o->line_end) TN_TRY(take_line_end(o->line_end, out, err));
  if (o->encoding) TN_TRY(tn_encoding_of(o->encoding, &out->encoding, err));
  if (out->quote && (out->quote == out->separator[0] || out->escape == out->separator[0]))
    return tn_fail(err, TN_ERR_ARGUMENT, "CSV separator '%s' and quote '%c' do not go together",
                   out->separator, out->quote);
  bool no_header = o->no_header;
  if (o->header && strcmp(o->header, "no") == 0)
    no_header = true;
  else if (o->header && strcmp(o->header, "yes") != 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "CSV header is \"yes\" or \"no\", got '%s'", o->header);
  out->header_rows = no_header ? 0 : o->header_rows > 0 ? o->header_rows : 1;
  out->skip_lines = o->skip_lines > 0 ? o->skip_lines : 0;
  return TN_OK;
}

tn_csv_format tn_csv_format_of(const tn_csv_dialect *d) {
  tn_csv_format f = {.separator_bytes = (uint8_t)strlen(d->separator),
                     .quote = (uint8_t)d->quote,
                     .escape = (uint8_t)d->escape,
                     .comment = (uint8_t)d->comment,
                     .newline = (uint8_t)(d->line_end[0] == '\r' && !d->line_end[1] ? '\r' : '\n'),
                     .columns = d->columns,
                     .field_bytes_max = 64u << 20};
  memcpy(f.separator, d->separator, f.separator_bytes);
  return f;
}

/* ---- for people and programs ---- */
static const char *line_end_name(const tn_csv_dialect *d) {
  if (d->line_end[0] == '\n') return "lf";
  return d->line_end[1] ? "crlf" : "cr";
}

static void add_mark(tn_strbuf *out, const char *name, char mark) {
  if (mark)
    tn_strbuf_addf(out, ", %s %c", name, mark);
  else
    tn_strbuf_addf(out, ", no %s", name);
}

void tn_csv_dialect_text(const tn_csv_dialect *d, tn_strbuf *out) {
  bool tab = strcmp(d->separator, "\t") == 0;
  tn_strbuf_addf(out, tab ? "separator %s" : "separator '%s'", tab ? "tab" : d->separator);
  add_mark(out, "quote", d->quote);
  if (d->escape != d->quote) add_mark(out, "escape", d->escape);
  if (d->comment) add_mark(out, "comment", d->comment);
  tn_strbuf_addf(out, ", %s%s, %s", tn_encoding_name(d->encoding), d->bom ? " with a mark" : "",
                 line_end_name(d));
  if (d->compression) tn_strbuf_addf(out, ", %s", tn_compression_name(d->compression));
  if (d->skip_lines) tn_strbuf_addf(out, ", %d lines before the header", d->skip_lines);
  if (d->header_rows == 0) tn_strbuf_add(out, ", no header");
  if (d->header_rows > 1) tn_strbuf_addf(out, ", %d header rows", d->header_rows);
  if (d->tables > 1) tn_strbuf_addf(out, ", %d tables", d->tables);
  if (d->end_byte >= 0) tn_strbuf_addf(out, ", ends at byte %lld", (long long)d->end_byte);
}

static void json_mark(tn_json_writer *w, const char *key, char mark) {
  char text[2] = {mark, 0};
  tn_json_key(w, key);
  if (mark)
    tn_json_cstr(w, text);
  else
    tn_json_null(w);
}

void tn_csv_dialect_json(const tn_csv_dialect *d, tn_json_writer *w) {
  tn_json_begin_object(w);
  tn_json_key(w, "separator"), tn_json_cstr(w, d->separator);
  json_mark(w, "quote", d->quote);
  json_mark(w, "escape", d->escape);
  json_mark(w, "comment", d->comment);
  tn_json_key(w, "encoding"), tn_json_cstr(w, tn_encoding_name(d->encoding));
  tn_json_key(w, "bom"), tn_json_bool(w, d->bom);
  tn_json_key(w, "compression"), tn_json_cstr(w, tn_compression_name(d->compression));
  tn_json_key(w, "line_end"), tn_json_cstr(w, line_end_name(d));
  tn_json_key(w, "skip_lines"), tn_json_i64(w, d->skip_lines);
  tn_json_key(w, "header_rows"), tn_json_i64(w, d->header_rows);
  tn_json_key(w, "tables"), tn_json_i64(w, d->tables);
  tn_json_key(w, "table_byte"), tn_json_i64(w, d->table_byte);
  tn_json_key(w, "end_byte");
  if (d->end_byte >= 0)
    tn_json_i64(w, d->end_byte);
  else
    tn_json_null(w);
  tn_json_end_object(w);
}

/* ---- the sample ---- */
typedef struct sample {
  const uint8_t *text, *end;
  bool whole;
  tn_csv_record record;
  bool no_memory; /* sticky */
} sample;

static tn_csv_outcome split(sample *s, const tn_csv_format *f, const uint8_t *at,
                            const uint8_t *end, bool last, tn_csv_record *record) {
  tn_csv_outcome why = tn_csv_split(f, at, end, last, record);
  s->no_memory |= why == TN_CSV_BROKEN && record->fault == TN_CSV_NO_MEMORY;
  return why;
}

/* ---- line ends ---- */
static void detect_line_end(const sample *s, tn_csv_dialect *d) {
  bool lf = memchr(s->text, '\n', (size_t)(s->end - s->text)) != NULL;
  const uint8_t *cr = memchr(s->text, '\r', (size_t)(s->end - s->text));
  if (!lf && cr && (cr + 1 < s->end || s->whole)) set_text(d->line_end, "\r");
  if (lf && cr && cr[1] == '\n') set_text(d->line_end, "\r\n");
}

/* ---- separator, quote, escape ---- */
typedef struct tally {
  int32_t rows, of_columns; /* records; those with `columns` fields */
  int32_t columns, faults, quoted;
  int32_t most; /* fields of any record */
  double score;
} tally;

static void count_record(int32_t *counts, tally *t, int32_t fields) {
  if (fields >= COUNTS_MAX) fields = COUNTS_MAX - 1;
  if (fields > t->most) t->most = fields;
  counts[fields]++;
  t->rows++;
}

static tally tally_up(sample *s, const tn_csv_format *f, int32_t *counts) {
  tally t = {0};
  const uint8_t *end = s->end - s->text > SCORED_BYTES ? s->text + SCORED_BYTES : s->end;
  bool last = s->whole && end == s->end;
  int32_t first = 0;
  for (const uint8_t *p = s->text; p < end;) {
    tn_csv_outcome why = split(s, f, p, end, last, &s->record);
    if (why == TN_CSV_INCOMPLETE) break;
    if (why == TN_CSV_BROKEN) { /* the line alone, as well as it can be read */
      const uint8_t *line_end = tn_csv_line_end(f, p, end, last);
      t.faults++;
      if (!line_end) break;
      p = line_end;
      t.rows++;
      continue;
    }
    p = s->record.next;
    if (why == TN_CSV_NOTHING) continue;
    if (!first) first = s->record.count;
    for (int32_t c = 0; c < s->record.count; c++)
      t.quoted += (s->record.fields[c].flags & TN_CSV_QUOTED) != 0;
    count_record(counts, &t, s->record.count);
  }
  t.columns = first ? first : 1;
  if (t.columns >= COUNTS_MAX) t.columns = COUNTS_MAX - 1;
  for (int32_t n = 1; n <= t.most; n++)
    if (counts[n] > counts[t.columns]) t.columns = n;
  t.of_columns = counts[t.columns];
  memset(counts, 0, ((size_t)t.most + 1) * sizeof *counts); /* as it was, for the next */
  double regular = t.rows ? (double)t.of_columns / t.rows : 0;
  t.score = t.columns > 1 ? regular * regular * (1 - 0.3 / t.columns) : 0;
  return t;
}

/* Whether reading the sample as one column gives values that a weak separator would cut: times of
 * day at a colon, dates with times at a space. */
static bool is_one_value(sample *s, const tn_csv_format *f) {
  tn_csv_format whole = *f;
  whole.separator[0] = ',';
  whole.separator_bytes = 1;
  whole.columns = 1;
  int32_t values = 0, rows = 0;
  for (const uint8_t *p = s->text; p < s->end && rows < 50; rows++) {
    if (split(s, &whole, p, s->end, s->whole, &s->record) != TN_CSV_RECORD) break;
    tn_str text = {(const char *)s->record.fields[0].data, s->record.fields[0].length};
    values += (tn_csv_kinds(text) & (TN_CSV_CLOCK | TN_CSV_TIME | TN_CSV_TIME_UTC)) != 0;
    p = s->record.next;
  }
  return values * 2 > rows;
}

typedef struct choice {
  const char *separator;
  bool weak; /* stands inside values too: only taken where it is regular throughout */
} choice;

static const choice choices[] = {{",", false},  {";", false},  {"\t", false},   {"|", false},
                                 {", ", false}, {"; ", false}, {" | ", false},  {"||", false},
                                 {"::", false}, {";;", false}, {"\t\t", false}, {"~", true},
                                 {"^", true},   {":", true},   {" ", true}};

static bool acceptable(sample *s, const choice *c, const tally *t, const tn_csv_format *f) {
  if (t->columns < 2) return false;
  if (!c->weak) return t->of_columns * 3 > t->rows;
  return t->rows > 1 && t->of_columns >= t->rows - t->rows / 20 && !is_one_value(s, f);
}

static void detect_marks(sample *s, const tn_csv_options *o, tn_csv_dialect *d, int32_t *counts) {
  static const char quotes[] = {'"', '\''};
  tn_csv_dialect best = *d;
  double best_score = -1;
  bool plain =
      false; /* RFC 4180 fits every record, the first too: what else stands in values is text */
  for (size_t c = 0; c < sizeof choices / sizeof *choices; c++) {
    if (o->separator && c > 0) break;
    if (plain && choices[c].separator[0] != ',') continue;
    for (int q = 0; q < (o->quote ? 1 : 2); q++)
      for (int e = 0; e < (o->escape ? 1 : 2); e++) {
        tn_csv_dialect trial = *d;
        if (!o->separator) set_text(trial.separator, choices[c].separator);
        if (!o->quote) trial.quote = quotes[q];
        if (!o->escape) trial.escape = e ? '\\' : trial.quote;
        if (trial.quote == trial.separator[0] || (e && !trial.quote)) continue;
        tn_csv_format f = tn_csv_format_of(&trial);
        tally t = tally_up(s, &f, counts);
        if (!o->separator && !acceptable(s, &choices[c], &t, &f)) continue;
        /* Another quote or escape must be used, and be better, not merely as good. */
        bool usual = (q == 0 || o->quote) && (e == 0 || o->escape);
        plain |= c == 0 && usual && t.rows > 1 && t.of_columns == t.rows && t.faults == 0;
        double score = t.score - 0.5 * t.faults / (t.rows ? t.rows : 1) - (usual ? 0 : 1e-4) -
                       (choices[c].weak && !o->separator ? 0.05 : 0);
        if (!usual && t.quoted == 0) continue;
        size_t length = strlen(trial.separator), best_length = strlen(best.separator);
        bool longer = length > best_length;
        /* Each one doubled: the single one would give an empty column between any two. */
        bool doubled = length == 2 * best_length && t.of_columns == t.rows && t.columns > 1 &&
                       best.columns == 2 * t.columns - 1 && trial.separator[0] == best.separator[0];
        if (score > best_score + 1e-9 || (longer && score > best_score - 1e-9) || doubled) {
          best = trial;
          best.columns = t.columns;
          best_score = score;
        }
      }
  }
  *d = best;
}

/* ---- records of the chosen dialect ---- */
typedef struct row {
  const uint8_t *at;
  int32_t fields;
  bool after_blank, broken;
} row;

typedef struct rows {
  row *items;
  size_t count, capacity;
} rows;

static tn_status list_rows(sample *s, const tn_csv_format *f, rows *out, tn_error *err) {
  bool blank = false;
  for (const uint8_t *p = s->text; p < s->end;) {
    tn_csv_outcome why = split(s, f, p, s->end, s->whole, &s->record);
    if (why == TN_CSV_INCOMPLETE) break;
    if (s->no_memory) return TN_OK; /* said at the end */
    const uint8_t *next =
        why == TN_CSV_BROKEN ? tn_csv_line_end(f, p, s->end, s->whole) : s->record.next;
    if (!next) break;
    if (why != TN_CSV_NOTHING) {
      TN_TRY(
          tn_grow((void **)&out->items, &out->capacity, out->count + 1, sizeof *out->items, err));
      out->items[out->count++] =
          (row){p, why == TN_CSV_BROKEN ? 0 : s->record.count, blank, why == TN_CSV_BROKEN};
    }
    blank = why == TN_CSV_NOTHING && *p != f->comment;
    p = next;
  }
  return TN_OK;
}

/* The commonest number of fields; of equally common ones the first that occurs. */
static int32_t usual_fields(const rows *r, int32_t *counts) {
  memset(counts, 0, COUNTS_MAX * sizeof *counts);
  int32_t best = 0;
  for (size_t i = 0; i < r->count; i++)
    if (r->items[i].fields < COUNTS_MAX) counts[r->items[i].fields]++;
  for (size_t i = 0; i < r->count; i++) {
    int32_t n = r->items[i].fields;
    if (n > 0 && n < COUNTS_MAX && (best == 0 || counts[n] > counts[best])) best = n;
  }
  return best ? best : r->count ? r->items[0].fields : 0;
}

static bool load(sample *s, const tn_csv_format *f, const row *at) {
  return split(s, f, at->at, s->end, s->whole, &s->record) == TN_CSV_RECORD;
}

static tn_str field_text(const tn_csv_record *r, int32_t c) {
  return (tn_str){(const char *)r->fields[c].data, r->fields[c].length};
}

static int32_t filled_fields(sample *s, const tn_csv_format *f, const row *at) {
  int32_t filled = 0;
  if (!load(s, f, at)) return at->fields;
  for (int32_t c = 0; c < s->record.count; c++) filled += s->record.fields[c].length > 0;
  return filled;
}

/* Titles, notes and empty rows before the header. */
static size_t preamble_rows(sample *s, const tn_csv_format *f, const rows *r, int32_t n) {
  size_t skipped = 0;
  for (; skipped < r->count && skipped < PREAMBLE_MAX; skipped++) {
    const row *at = &r->items[skipped];
    if (at->broken) break;
    bool short_row = n > 1 && at->fields * 2 <= n;
    bool hollow = n > 2 && at->fields == n && filled_fields(s, f, at) <= 1;
    if (!short_row && !hollow) break;
  }
  /* Behind them must come what they precede. */
  if (skipped == r->count || skipped == PREAMBLE_MAX || skipped == 0) return 0;
  const row *next = &r->items[skipped];
  if (next->broken || filled_fields(s, f, next) * 2 <= n) return 0;
  return skipped;
}

/* ---- header ---- */
static bool is_year(tn_str s) {
  return s.length == 4 && s.data[0] >= '1' && s.data[0] <= '2' && tn_csv_kinds(s) & TN_CSV_INT;
}

/* Whether the first row is like those below it: in each column that they have a type, it has the
 * same, and there is such a column.  Years over columns of other numbers are a header. */
static tn_status first_row_is_data(sample *s, const tn_csv_format *f, const rows *r, size_t from,
                                   int32_t n, bool *out, tn_error *err) {
  *out = false;
  size_t to = from + 1 + LOOKED_ROWS < r->count ? from + 1 + LOOKED_ROWS : r->count;
  if (r->items[from].broken || r->items[from].fields != n) return TN_OK;
  struct kinds {
    uint32_t all, first;
    bool seen, years, year;
  } *kinds = tn_alloc((size_t)n, sizeof *kinds);
  if (!kinds) return tn_fail_memory(err, "CSV dialect", (size_t)n * sizeof *kinds);
  for (size_t i = from; i < to; i++) {
    if (r->items[i].fields != n || !load(s, f, &r->items[i])) continue;
    for (int32_t c = 0; c < n; c++) {
      tn_str text = field_text(&s->record, c);
      if (i == from) {
        kinds[c].first = text.length ? tn_csv_kinds(text) & TN_CSV_ALL : 0;
        kinds[c].year = is_year(text);
        kinds[c].all = TN_CSV_ALL;
        kinds[c].years = true;
      } else if (text.length) {
        kinds[c].all &= tn_csv_kinds(text);
        kinds[c].seen = true;
        kinds[c].years &= is_year(text);
      }
    }
  }
  int32_t alike = 0, unlike = 0, years = 0;
  for (int32_t c = 0; c < n; c++) {
    bool typed = kinds[c].seen && (kinds[c].all & ~(uint32_t)TN_CSV_TEXT) != 0;
    if (!typed || kinds[c].first == 0) continue;
    bool same = (kinds[c].all & kinds[c].first & ~(uint32_t)TN_CSV_TEXT) != 0;
    alike += same;
    unlike += !same;
    years += same && kinds[c].year && !kinds[c].years;
  }
  tn_free(kinds);
  *out = alike > 0 && unlike == 0 && alike > years;
  return TN_OK;
}

static bool same_row(sample *s, const tn_csv_format *f, const row *a, const row *b) {
  if (a->fields != b->fields || a->broken || b->broken) return false;
  tn_csv_record x = {0}, y = {0};
  bool same = split(s, f, a->at, s->end, s->whole, &x) == TN_CSV_RECORD &&
              split(s, f, b->at, s->end, s->whole, &y) == TN_CSV_RECORD && x.count == y.count;
  for (int32_t c = 0; same && c < x.count; c++)
    same = tn_str_equal(field_text(&x, c), field_text(&y, c));
  tn_csv_record_clear(&x);
  tn_csv_record_clear(&y);
  return same;
}

static tn_status detect_header(sample *s, const tn_csv_format *f, const rows *r, size_t from,
                               const tn_csv_options *o, tn_csv_dialect *d, tn_error *err) {
  if (o->no_header || o->header || o->header_rows > 0 || r->count <= from) return TN_OK;
  bool data = false;
  TN_TRY(first_row_is_data(s, f, r, from, d->columns, &data, err));
  const row *first = &r->items[from];
  d->header_rows = data ? 0 : 1;
  while (!data && d->header_rows < HEADER_ROWS_MAX && from + (size_t)d->header_rows < r->count &&
         d->columns > 1 && same_row(s, f, first, &r->items[from + (size_t)d->header_rows]))
    d->header_rows++;
  if (from + (size_t)d->header_rows == r->count) d->header_rows = data ? 0 : 1;
  if (d->header_rows == HEADER_ROWS_MAX) d->header_rows = 0; /* repeated that often it is data */
  return TN_OK;
}

/* ---- several tables, footnotes ---- */
/* How many of its texts the header has too. */
static int32_t shared_names(const tn_csv_record *header, const tn_csv_record *r) {
  int32_t shared = 0;
  for (int32_t c = 0; c < r->count; c++) {
    tn_str text = field_text(r, c);
    bool found = false;
    for (int32_t h = 0; h < header->count && h < 1000 && text.length > 0 && !found; h++)
      found = tn_str_equal(text, field_text(header, h));
    shared += found;
  }
  return shared;
}

static bool all_text(const tn_csv_record *r) {
  for (int32_t c = 0; c < r->count; c++)
    if (tn_csv_kinds(field_text(r, c)) != TN_CSV_TEXT || r->fields[c].length == 0) return false;
  return true;
}

/* A row that heads another table: the header again; or, with another number of fields than its
 * table has, mostly the header's names; or, behind a blank line, only texts over rows that have
 * numbers.  The rows below must have as many fields as it has. */
static bool heads_table(sample *s, const tn_csv_format *f, const rows *r, size_t at, int32_t n,
                        const tn_csv_record *header) {
  const row *here = &r->items[at];
  int32_t m = here->fields;
  if (here->broken || m < 2 || header->count == 0) return false;
  if (m == n && !here->after_blank && here->at[0] != header->fields[0].data[0] &&
      here->at[0] != f->quote)
    return false;
  for (size_t k = at + 1; k < at + 3 && k < r->count; k++)
    if (r->items[k].fields != m) return false;
  if (!load(s, f, here)) return false;
  int32_t shared = shared_names(header, &s->record);
  if (m == n && shared == n && all_text(&s->record)) return true;
  if (m != n && shared * 2 >= m && at + 1 < r->count) return true;
  if (!here->after_blank || m == n || !all_text(&s->record) || at + 2 >= r->count) return false;
  return load(s, f, &r->items[at + 1]) && !all_text(&s->record);
}

static bool is_footnote(sample *s, const tn_csv_format *f, const row *at, int32_t n) {
  if (at->broken || at->fields * 2 > n || !load(s, f, at)) return false;
  tn_str text = field_text(&s->record, 0);
  bool prose = memchr(text.data, ' ', text.length) && tn_csv_kinds(text) == TN_CSV_TEXT;
  return prose && (at->after_blank || n > 2);
}

static int64_t byte_of(const sample *s, const rows *r, size_t at) {
  return at < r->count ? r->items[at].at - s->text : -1;
}

static void detect_borders(sample *s, const tn_csv_format *f, const rows *r, size_t from,
                           const tn_csv_options *o, tn_csv_dialect *d) {
  tn_csv_record header = {0};
  int32_t wanted = o->table > 0 ? o->table : 1, n = d->columns;
  size_t begin = from, end = r->count;
  bool has_header = d->header_rows > 0 && from < r->count &&
                    split(s, f, r->items[from].at, s->end, s->whole, &header) == TN_CSV_RECORD;
  for (size_t i = from + (size_t)d->header_rows + 1; has_header && i < r->count; i++) {
    if (!heads_table(s, f, r, i, n, &header)) continue;
    d->tables++;
    if (d->tables == wanted) begin = i;
    if (d->tables == wanted + 1) end = i;
    n = r->items[i].fields;
    split(s, f, r->items[i].at, s->end, s->whole, &header);
    i++;
  }
  if (s->whole && end == r->count)
    for (int k = 0; k < FOOTNOTES_MAX && end > begin + 2; k++, end--)
      if (!is_footnote(s, f, &r->items[end - 1], d->columns)) break;
  d->table_byte = byte_of(s, r, begin);
  d->end_byte = byte_of(s, r, end);
  if (begin != from) d->columns = r->items[begin].fields;
  tn_csv_record_clear(&header);
}

/* ---- comments ---- */
/* '#' lines among the data that have another number of fields than the data. */
static bool has_comments(const rows *r, int32_t n) {
  bool seen_data = false;
  for (size_t i = 0; i < r->count; i++) {
    bool hash = r->items[i].at[0] == '#';
    if (hash && r->items[i].fields == n && n > 1) return false;
    if (hash && seen_data && n > 1) return true;
    seen_data |= !hash;
  }
  return false;
}

/* ---- all of it ---- */
static const uint8_t *skip_lines(const sample *s, const tn_csv_format *f, int32_t lines) {
  const uint8_t *p = s->text;
  for (; lines > 0 && p && p < s->end; lines--) p = tn_csv_line_end(f, p, s->end, s->whole);
  return p ? p : s->end;
}

static tn_status detect(tn_csv_dialect *d, sample *s, const tn_csv_options *o, int32_t *counts,
                        rows *r, tn_error *err) {
  const uint8_t *start = s->text;
  if (!o->line_end) detect_line_end(s, d);
  tn_csv_format f = tn_csv_format_of(d);
  s->text = skip_lines(s, &f, d->skip_lines);
  detect_marks(s, o, d, counts);
  f = tn_csv_format_of(d);
  TN_TRY(list_rows(s, &f, r, err));
  d->columns = usual_fields(r, counts);
  if (!o->comment && has_comments(r, d->columns)) {
    d->comment = '#';
    f = tn_csv_format_of(d);
    r->count = 0;
    TN_TRY(list_rows(s, &f, r, err));
    d->columns = usual_fields(r, counts);
  }
  f.columns = d->columns;
  size_t from = o->skip_lines == 0 ? preamble_rows(s, &f, r, d->columns) : 0;
  TN_TRY(detect_header(s, &f, r, from, o, d, err));
  detect_borders(s, &f, r, from, o, d);
  int64_t before = s->text - start;
  if (d->table_byte < 0) d->table_byte = 0;
  const uint8_t *table = s->text + d->table_byte;
  for (const uint8_t *p = s->text; p < table; p++) d->skip_lines += *p == f.newline;
  d->table_byte += before;
  if (d->end_byte >= 0) d->end_byte += before;
  return TN_OK;
}

tn_status tn_csv_detect(tn_csv_dialect *out, const char *name, const uint8_t *text, size_t bytes,
                        bool whole, const tn_csv_options *options, tn_error *err) {
  static const tn_csv_options defaults;
  const tn_csv_options *o = options ? options : &defaults;
  TN_TRY(tn_csv_dialect_of_options(out, o, err));
  sample s = {.text = text, .end = text + bytes, .whole = whole};
  if (o->exact_dialect) {
    tn_csv_format f = tn_csv_format_of(out);
    out->table_byte = skip_lines(&s, &f, out->skip_lines) - text;
    return TN_OK;
  }
  int32_t *counts = tn_alloc(COUNTS_MAX, sizeof *counts);
  if (!counts) return tn_fail_memory(err, "CSV dialect", COUNTS_MAX * sizeof *counts);
  rows r = {0};
  tn_status status = detect(out, &s, o, counts, &r, err);
  if (s.no_memory) status = tn_fail_memory(err, "CSV dialect", s.record.capacity * 32);
  if (status == TN_OK && o->table > out->tables)
    status =
        tn_fail(err, TN_ERR_NOT_FOUND, "%s: table %d is asked for, found %d in the first %zu bytes",
                name, o->table, out->tables, bytes);
  tn_csv_record_clear(&s.record);
  tn_free(r.items);
  tn_free(counts);
  return status;
}
