/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "columns/builder.h"
#include "columns/csv.h"
#include "columns/csv_split.h"
#include "columns/csv_value.h"

#define BLOCK_BYTES_MIN   ((size_t)64 << 10) /* of the first read; full ones double it */
#define BLOCK_BYTES_MAX   ((size_t)1 << 20)
#define RECORD_BYTES_MAX  ((size_t)1 << 30)
#define INFER_ROWS        100000
#define INFER_BYTES_MAX   ((size_t)64 << 20) /* only while infer_rows is left to us */
#define BATCH_ROWS        65536
#define BATCH_TEXT_BYTES  ((int64_t)256 << 20) /* a batch of long text ends early */
#define CHUNK_FIELDS      16384
#define COLUMNS_MAX       100000
#define SHOWN_VALUE_BYTES 60

/* One column of the result. */
typedef struct output {
  int32_t column; /* in the file, from 0 */
  tn_column_type type;
  bool declared;
  uint32_t kinds; /* inference: what every value so far may be */
  bool seen_fraction, seen_huge, seen_value;
  tn_builder *builder;
} output;

typedef struct csv_reader {
  tn_source *source;
  tn_csv_splitter split;
  tn_arena arena; /* names, null texts */
  int64_t infer_rows, batch_rows, rows_inferred;
  bool infer_bytes_open; /* infer_rows was given: no limit in bytes */
  tn_str *null_texts;
  int32_t null_text_count;

  uint8_t *buffer; /* text, then TN_CSV_PADDING bytes */
  size_t filled, capacity, block_bytes;
  int64_t base_byte, base_line; /* of buffer[0] in the file, the line from 1 */

  int32_t column_count;
  char **names;
  int32_t *slots;
  output *outputs;
  int32_t output_count;
  tn_csv_field *fields; /* chunk_rows x output_count */
  int64_t chunk_rows;
  uint8_t *scratch;
  size_t scratch_bytes;
  ArrowSchema schema;
  tn_error failed; /* sticky: a reader that has failed stays failed */
} csv_reader;

/* ---- the window onto the file ---- */
static int64_t count_newlines(const uint8_t *p, size_t bytes) {
  int64_t lines = 0;
  for (size_t i = 0; i < bytes; i++) lines += p[i] == '\n';
  return lines;
}

static void set_end(csv_reader *r) {
  memset(r->buffer + r->filled, 0, TN_CSV_PADDING);
  r->buffer[r->filled] = '\n';
  r->split.end = r->buffer + r->filled;
}

/* Forgets everything before `at`. */
static void discard_read(csv_reader *r) {
  size_t gone = (size_t)(r->split.at - r->buffer);
  r->base_line += count_newlines(r->buffer, gone);
  r->base_byte += (int64_t)gone;
  r->filled -= gone;
  memmove(r->buffer, r->buffer + gone, r->filled);
  r->split.at = r->buffer;
  set_end(r);
}

static tn_status grow_window(csv_reader *r, tn_error *err) {
  size_t capacity = r->capacity ? 2 * r->capacity : 2 * BLOCK_BYTES_MIN;
  size_t at = r->buffer ? (size_t)(r->split.at - r->buffer) : 0;
  uint8_t *grown = tn_realloc(r->buffer, capacity + TN_CSV_PADDING, 1);
  if (!grown) return tn_fail_memory(err, "CSV window", capacity);
  r->buffer = grown;
  r->capacity = capacity;
  r->split.at = grown + at;
  set_end(r);
  return TN_OK;
}

/* Reads one more block behind what is there.  The blocks grow as long as the source fills them. */
static tn_status read_more(csv_reader *r, tn_error *err) {
  if (r->block_bytes == 0) r->block_bytes = BLOCK_BYTES_MIN;
  while (r->capacity - r->filled < r->block_bytes) TN_TRY(grow_window(r, err));
  size_t got = 0;
  TN_TRY(r->source->read(r->source, r->buffer + r->filled, r->block_bytes, &got, err));
  r->filled += got;
  r->split.last = got == 0;
  set_end(r);
  if (got == r->block_bytes && got < BLOCK_BYTES_MAX) r->block_bytes *= 2;
  return TN_OK;
}

/* ---- messages ---- */
static int64_t line_of(const csv_reader *r, const uint8_t *at) {
  return r->base_line + count_newlines(r->buffer, (size_t)(at - r->buffer));
}
static int64_t byte_of(const csv_reader *r, const uint8_t *at) {
  return r->base_byte + (at - r->buffer);
}
static const char *name_of(const csv_reader *r, int32_t column) {
  return r->names && column < r->column_count ? r->names[column] : "";
}

/* Puts "file: line 7, column 3 "city" (byte 123): " before what a callee said. */
static tn_status at_field(const csv_reader *r, tn_status status, const uint8_t *at, int32_t column,
                          tn_error *err) {
  return tn_error_context(err, status, "%s: line %lld, column %d \"%.60s\" (byte %lld)",
                          r->source->name, (long long)line_of(r, at), column + 1,
                          name_of(r, column), (long long)byte_of(r, at));
}

static tn_status wrong_count(const csv_reader *r, tn_error *err) {
  const tn_csv_splitter *s = &r->split;
  bool few = s->fault == TN_CSV_FEW_FIELDS;
  int32_t column = few ? s->fault_column : r->column_count - 1;
  char names[100];
  snprintf(names, sizeof names,
           few ? "the first missing one is \"%.60s\"" : "the last is \"%.60s\"",
           name_of(r, column));
  bool cut = few && s->last && !memchr(s->fault_at, '\n', (size_t)(s->end - s->fault_at));
  return tn_fail(err, TN_ERR_DATA, "%s: line %lld (byte %lld): %d fields, expected %d; %s%s",
                 r->source->name, (long long)line_of(r, few ? s->fault_at : s->at),
                 (long long)byte_of(r, few ? s->fault_at : s->at), s->fault_column, r->column_count,
                 names, cut ? "; the file ends in this row: is it truncated?" : "");
}

static tn_status split_failed(const csv_reader *r, tn_error *err) {
  const tn_csv_splitter *s = &r->split;
  tn_status status;
  switch (s->fault) {
    case TN_CSV_OPEN_QUOTE:
      status = tn_fail(err, TN_ERR_DATA,
                       "a quote opened at line %lld is not closed at the end of the file (%lld "
                       "bytes): is the file truncated?",
                       (long long)line_of(r, s->fault_at), (long long)byte_of(r, s->end));
      break;
    case TN_CSV_TEXT_AFTER_QUOTE:
      status = tn_fail(err, TN_ERR_DATA,
                       "text after a closing quote; inside quotes, a quote is "
                       "written twice");
      break;
    case TN_CSV_FIELD_SIZE:
      status = tn_fail(err, TN_ERR_LIMIT, "a field of more than %lld bytes%s",
                       (long long)s->field_bytes_max,
                       *s->fault_at == s->quote ? ": is its closing quote missing?" : "");
      break;
    default:
      return wrong_count(r, err);
  }
  return at_field(r, status, s->fault_at, s->fault_column, err);
}

static tn_status record_too_long(const csv_reader *r, tn_error *err) {
  return tn_fail(err, TN_ERR_LIMIT, "%s: line %lld (byte %lld): a record of more than %zu bytes",
                 r->source->name, (long long)line_of(r, r->split.at),
                 (long long)byte_of(r, r->split.at), RECORD_BYTES_MAX);
}

static tn_str shown(tn_str value) {
  if (value.length > SHOWN_VALUE_BYTES) value.length = SHOWN_VALUE_BYTES;
  return value;
}

static tn_status bad_value(const csv_reader *r, const output *o, const tn_csv_field *field,
                           tn_error *err) {
  tn_str value = {(const char *)field->data, field->length};
  const char *more = value.length > SHOWN_VALUE_BYTES ? "..." : "";
  const char *type = tn_column_type_name(o->type);
  tn_status status;
  if (o->type == TN_COLUMN_STRING)
    status = tn_fail(err, TN_ERR_DATA,
                     "the text is not UTF-8; declare the column as binary, or "
                     "convert the file");
  else if (o->declared)
    status = tn_fail(err, TN_ERR_DATA, "\"%.*s%s\" is no %s, the declared type",
                     TN_STR_ARG(shown(value)), more, type);
  else
    status = tn_fail(err, TN_ERR_DATA,
                     "\"%.*s%s\" is no %s, the type inferred from the first %lld rows; a larger "
                     "infer_rows or a declared type would help",
                     TN_STR_ARG(shown(value)), more, type, (long long)r->rows_inferred);
  return at_field(r, status, field->data, o->column, err);
}

/* ---- header ---- */
static tn_status scratch_room(csv_reader *r, size_t bytes, tn_error *err) {
  if (bytes + 16 <= r->scratch_bytes) return TN_OK;
  uint8_t *grown = tn_realloc(r->scratch, bytes + 16, 1);
  if (!grown) return tn_fail_memory(err, "CSV field", bytes);
  r->scratch = grown;
  r->scratch_bytes = bytes + 16;
  return TN_OK;
}

/* The field's text; one with doubled quotes is made in the scratch and lives until the next call.
 */
static tn_status text_of(csv_reader *r, const tn_csv_field *field, tn_str *out, tn_error *err) {
  *out = (tn_str){(const char *)field->data, field->length};
  if (!(field->flags & TN_CSV_ESCAPED)) return TN_OK;
  TN_TRY(scratch_room(r, field->length, err));
  out->length = tn_csv_unescape(field, r->split.quote, r->scratch);
  out->data = (const char *)r->scratch;
  return TN_OK;
}

static tn_status skip_bom(csv_reader *r, tn_error *err) {
  const uint8_t *p = r->buffer;
  if (r->filled >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff)))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: UTF-16 text; convert it to UTF-8",
                   r->source->name);
  if (r->filled >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) r->split.at += 3;
  return TN_OK;
}

static tn_status check_name(csv_reader *r, const tn_csv_field *field, tn_str name, int32_t column,
                            tn_error *err) {
  tn_status status = TN_OK;
  if (memchr(name.data, '\0', name.length))
    status = tn_fail(err, TN_ERR_DATA, "a NUL byte in the header: is this a text file?");
  else if (!tn_utf8_valid(name))
    status = tn_fail(err, TN_ERR_DATA, "the header is not UTF-8; convert the file");
  else if (!(field->flags & TN_CSV_QUOTED) && memchr(name.data, '\r', name.length))
    status = tn_fail(err, TN_ERR_UNSUPPORTED,
                     "lines that end with a carriage return alone; convert them to newlines");
  return status == TN_OK ? TN_OK : at_field(r, status, field->data, column, err);
}

static tn_status name_columns(csv_reader *r, const tn_csv_field *fields, bool from_header,
                              tn_error *err) {
  char **names = tn_arena_alloc(&r->arena, (size_t)r->column_count, sizeof *names);
  if (!names) return tn_fail_memory(err, "CSV header", (size_t)r->column_count * sizeof *names);
  for (int32_t c = 0; c < r->column_count; c++) {
    char numbered[16];
    tn_str name = {numbered, (size_t)snprintf(numbered, sizeof numbered, "f%d", c)};
    if (from_header) {
      TN_TRY(text_of(r, &fields[c], &name, err));
      TN_TRY(check_name(r, &fields[c], name, c, err));
    }
    names[c] = tn_arena_strndup(&r->arena, name.data, name.length);
    if (!names[c]) return tn_fail_memory(err, "CSV header", name.length);
  }
  r->names = names;
  return TN_OK;
}

/* The fields of the first record; the caller frees *fields. */
static tn_status first_record(csv_reader *r, tn_csv_field **fields, int64_t *count, tn_error *err) {
  for (;;) {
    *count = tn_csv_split_header(&r->split, NULL, 0);
    if (*count >= 0) break;
    if (r->split.fault) return split_failed(r, err);
    if (r->filled > RECORD_BYTES_MAX) return record_too_long(r, err);
    TN_TRY(read_more(r, err));
  }
  if (*count == 0) return tn_fail(err, TN_ERR_DATA, "%s: the file is empty", r->source->name);
  if (*count > COLUMNS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: %lld columns, limit %d", r->source->name,
                   (long long)*count, COLUMNS_MAX);
  *fields = tn_alloc((size_t)*count, sizeof **fields);
  if (!*fields) return tn_fail_memory(err, "CSV header", (size_t)*count * sizeof **fields);
  return TN_OK;
}

static tn_status read_header(csv_reader *r, bool no_header, tn_error *err) {
  TN_TRY(read_more(r, err));
  while (r->filled < 3 && !r->split.last) TN_TRY(read_more(r, err));
  TN_TRY(skip_bom(r, err));
  const uint8_t *start = r->split.at;
  size_t start_at = (size_t)(start - r->buffer);
  tn_csv_field *fields = NULL;
  int64_t count;
  tn_status status = first_record(r, &fields, &count, err);
  if (status == TN_OK) {
    r->column_count = (int32_t)count;
    tn_csv_split_header(&r->split, fields, count);
    status = name_columns(r, fields, !no_header, err);
  }
  tn_free(fields);
  if (no_header) r->split.at = r->buffer + start_at;
  return status;
}

/* ---- which columns, which types ---- */
static tn_status no_such_column(const csv_reader *r, const char *name, tn_error *err) {
  char known[300];
  size_t used = 0;
  known[0] = 0;
  for (int32_t c = 0; c < r->column_count && used < sizeof known - 70; c++)
    used +=
        (size_t)snprintf(known + used, sizeof known - used, "%s%.60s", c ? ", " : "", r->names[c]);
  return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no column \"%.60s\" among %d: %s", r->source->name,
                 name, r->column_count, known);
}

static int32_t find_name(const csv_reader *r, const char *name) {
  for (int32_t c = 0; c < r->column_count; c++)
    if (strcmp(r->names[c], name) == 0) return c;
  return -1;
}

static tn_status choose_columns(csv_reader *r, const tn_csv_options *o, tn_error *err) {
  bool all = !o->columns || o->column_count == 0;
  r->output_count = all ? r->column_count : o->column_count;
  r->outputs = tn_alloc((size_t)r->output_count, sizeof *r->outputs);
  r->slots = tn_alloc((size_t)r->column_count, sizeof *r->slots);
  if (!r->outputs || !r->slots)
    return tn_fail_memory(err, "CSV columns", (size_t)r->column_count * sizeof *r->outputs);
  for (int32_t c = 0; c < r->column_count; c++) r->slots[c] = -1;
  for (int32_t i = 0; i < r->output_count; i++) {
    int32_t column = all ? i : find_name(r, o->columns[i]);
    if (column < 0) return no_such_column(r, o->columns[i], err);
    if (r->slots[column] >= 0)
      return tn_fail(err, TN_ERR_ARGUMENT, "%s: column \"%.60s\" is asked for twice",
                     r->source->name, o->columns[i]);
    r->slots[column] = i;
    r->outputs[i] = (output){.column = column, .kinds = TN_CSV_ALL};
  }
  r->split.columns = r->column_count;
  r->split.width = r->output_count;
  r->split.slots = r->slots;
  return TN_OK;
}

static tn_status declare_types(csv_reader *r, const tn_csv_options *o, tn_error *err) {
  if (o->type_count != r->column_count)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: %d columns, but %d declared types", r->source->name,
                   r->column_count, o->type_count);
  for (int32_t i = 0; i < r->output_count; i++) {
    r->outputs[i].type = o->types[r->outputs[i].column];
    r->outputs[i].declared = true;
  }
  return TN_OK;
}

/* ---- inference ---- */
static bool is_null(const csv_reader *r, const tn_csv_field *field) {
  if (field->flags & TN_CSV_QUOTED) return false;
  if (field->length == 0) return true;
  tn_str text = {(const char *)field->data, field->length};
  for (int32_t i = 0; i < r->null_text_count; i++)
    if (tn_str_equal(text, r->null_texts[i])) return true;
  return false;
}

static void look_at(const csv_reader *r, output *o, const tn_csv_field *field) {
  if (o->kinds == TN_CSV_TEXT || is_null(r, field)) return;
  tn_str text = {(const char *)field->data, field->length};
  uint32_t kinds = field->flags & TN_CSV_ESCAPED ? TN_CSV_TEXT : tn_csv_kinds(text);
  o->kinds &= kinds;
  o->seen_fraction |= (kinds & TN_CSV_FRACTION) != 0;
  o->seen_huge |= (kinds & TN_CSV_HUGE) != 0;
  o->seen_value = true;
}

static tn_column_type inferred_type(const output *o) {
  static const struct {
    uint32_t kind;
    tn_column_type type;
  } order[] = {
      {TN_CSV_BOOL, TN_COLUMN_BOOL},         {TN_CSV_INT, TN_COLUMN_INT64},
      {TN_CSV_REAL, TN_COLUMN_DOUBLE},       {TN_CSV_DATE, TN_COLUMN_DATE32},
      {TN_CSV_TIME, TN_COLUMN_TIMESTAMP_US}, {TN_CSV_TIME_UTC, TN_COLUMN_TIMESTAMP_US_UTC}};
  if (!o->seen_value) return TN_COLUMN_STRING;
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    if (!(o->kinds & order[i].kind)) continue;
    /* Integers of which some pass int64 are identifiers: as doubles they would be rounded. */
    bool rounds = order[i].kind == TN_CSV_REAL && o->seen_huge && !o->seen_fraction;
    return rounds ? TN_COLUMN_STRING : order[i].type;
  }
  return TN_COLUMN_STRING;
}

/* Looks at the first rows, keeps their bytes in the window and goes back to the first of them. */
static tn_status infer_types(csv_reader *r, tn_error *err) {
  discard_read(r); /* the header */
  while (r->rows_inferred < r->infer_rows) {
    int64_t want = r->infer_rows - r->rows_inferred;
    if (want > r->chunk_rows) want = r->chunk_rows;
    const uint8_t *start = r->split.at;
    int64_t rows = tn_csv_split(&r->split, r->fields, want);
    for (int64_t row = 0; row < rows; row++)
      for (int32_t i = 0; i < r->output_count; i++)
        look_at(r, &r->outputs[i], &r->fields[row * r->output_count + i]);
    r->rows_inferred += rows;
    if (r->split.fault) return split_failed(r, err);
    if (rows == want || r->split.at > start) continue;
    if (r->split.last && r->split.at == r->split.end) break;
    if (!r->infer_bytes_open && r->filled >= INFER_BYTES_MAX && r->rows_inferred > 0) break;
    if (r->split.end - r->split.at > (int64_t)RECORD_BYTES_MAX) return record_too_long(r, err);
    TN_TRY(read_more(r, err));
  }
  r->split.at = r->buffer;
  for (int32_t i = 0; i < r->output_count; i++) r->outputs[i].type = inferred_type(&r->outputs[i]);
  return TN_OK;
}

/* ---- values ---- */
static bool has_high_bit(const uint8_t *p, size_t count) {
  uint64_t all = 0, word;
  for (; count >= 8; p += 8, count -= 8) {
    memcpy(&word, p, 8);
    all |= word;
  }
  for (; count > 0; p++, count--) all |= (uint64_t)*p << 56 | (uint64_t)*p;
  return all & 0x8080808080808080u;
}

static tn_status put_text(const csv_reader *r, output *o, const tn_csv_field *field,
                          tn_error *err) {
  tn_builder *b = o->builder;
  if (b->bytes_length + field->length > b->bytes_capacity || !b->bytes)
    TN_TRY(tn_builder_reserve(b, 0, field->length, err));
  uint8_t *to = b->bytes + b->bytes_length;
  uint32_t length = field->length;
  if (field->flags & TN_CSV_ESCAPED)
    length = tn_csv_unescape(field, r->split.quote, to);
  else
    memcpy(to, field->data, length);
  if (o->type == TN_COLUMN_STRING && has_high_bit(to, length) &&
      !tn_utf8_valid((tn_str){(const char *)to, length}))
    return bad_value(r, o, field, err);
  tn_builder_put_written(b, length);
  return TN_OK;
}

static bool int_fits(tn_column_type type, int64_t value) {
  switch (type) {
    case TN_COLUMN_INT8:
      return value == (int8_t)value;
    case TN_COLUMN_UINT8:
      return value == (uint8_t)value;
    case TN_COLUMN_INT16:
      return value == (int16_t)value;
    case TN_COLUMN_UINT16:
      return value == (uint16_t)value;
    case TN_COLUMN_INT32:
      return value == (int32_t)value;
    case TN_COLUMN_UINT32:
      return value == (uint32_t)value;
    default:
      return true;
  }
}

static int64_t units_per_second(tn_column_type type) {
  if (type == TN_COLUMN_TIMESTAMP_MS) return 1000;
  return type == TN_COLUMN_TIMESTAMP_NS ? 1000000000 : 1000000;
}

/* A column without a zone takes no text with one; a UTC column takes both when declared. */
static bool time_value(const output *o, tn_str text, int64_t *value) {
  bool has_zone, utc = o->type == TN_COLUMN_TIMESTAMP_US_UTC;
  if (!tn_csv_to_time(text, units_per_second(o->type), value, &has_zone)) return false;
  return utc ? has_zone || o->declared : !has_zone;
}

static bool u64_value(tn_str text, int64_t *value) {
  uint64_t bits;
  while (text.length > 1 && text.data[0] == '0') text = (tn_str){text.data + 1, text.length - 1};
  if (!tn_str_to_u64(text, &bits)) return false;
  *value = (int64_t)bits;
  return true;
}

/* Everything but text.  false: the value breaks the column's type. */
static bool scalar_value(const output *o, tn_str text, int64_t *value, double *real) {
  bool flag;
  switch (o->type) {
    case TN_COLUMN_BOOL:
      if (!tn_csv_to_bool(text, &flag)) return false;
      *value = flag;
      return true;
    case TN_COLUMN_FLOAT:
    case TN_COLUMN_DOUBLE:
      return tn_csv_to_f64(text, o->declared, real);
    case TN_COLUMN_DATE32:
      return tn_csv_to_date(text, value);
    case TN_COLUMN_TIMESTAMP_MS:
    case TN_COLUMN_TIMESTAMP_US:
    case TN_COLUMN_TIMESTAMP_NS:
    case TN_COLUMN_TIMESTAMP_US_UTC:
      return time_value(o, text, value);
    case TN_COLUMN_UINT64:
      return u64_value(text, value);
    default:
      return tn_csv_to_i64(text, o->declared, value) && int_fits(o->type, *value);
  }
}

static tn_status put_scalar(csv_reader *r, output *o, const tn_csv_field *field, tn_error *err) {
  tn_str text;
  int64_t value = 0;
  double real = 0;
  TN_TRY(text_of(r, field, &text, err));
  if (!scalar_value(o, text, &value, &real)) return bad_value(r, o, field, err);
  if (o->type == TN_COLUMN_FLOAT || o->type == TN_COLUMN_DOUBLE)
    return tn_builder_append_f64(o->builder, real, err);
  return tn_builder_append_i64(o->builder, value, err);
}

/* The two commonest types without the detours of put_scalar; false: take the long way. */
static inline bool put_fast(const output *o, const tn_csv_field *field) {
  if (field->flags & TN_CSV_ESCAPED) return false;
  tn_str text = {(const char *)field->data, field->length};
  int64_t value;
  double real;
  if (o->type == TN_COLUMN_INT64) {
    if (!tn_csv_to_i64(text, o->declared, &value)) return false;
    tn_builder_put_i64(o->builder, value);
    return true;
  }
  if (o->type != TN_COLUMN_DOUBLE || !tn_csv_to_f64(text, o->declared, &real)) return false;
  tn_builder_put_f64(o->builder, real);
  return true;
}

static tn_status convert_column(csv_reader *r, int32_t slot, int64_t rows, tn_error *err) {
  output *o = &r->outputs[slot];
  bool text = o->type == TN_COLUMN_STRING || o->type == TN_COLUMN_BINARY;
  const tn_csv_field *field = r->fields + slot;
  TN_TRY(tn_builder_reserve(o->builder, rows, 0, err));
  for (int64_t row = 0; row < rows; row++, field += r->output_count) {
    if (is_null(r, field))
      TN_TRY(tn_builder_append_null(o->builder, err));
    else if (text)
      TN_TRY(put_text(r, o, field, err));
    else if (!put_fast(o, field))
      TN_TRY(put_scalar(r, o, field, err));
  }
  return TN_OK;
}

/* ---- the stream ---- */
static int64_t text_bytes(const csv_reader *r) {
  int64_t bytes = 0;
  for (int32_t i = 0; i < r->output_count; i++) bytes += r->outputs[i].builder->bytes_length;
  return bytes;
}

/* Fills the builders; *rows 0 at the end of the file. */
static tn_status fill_batch(csv_reader *r, int64_t *rows, tn_error *err) {
  while (*rows < r->batch_rows && text_bytes(r) < BATCH_TEXT_BYTES) {
    int64_t want = r->batch_rows - *rows;
    if (want > r->chunk_rows) want = r->chunk_rows;
    const uint8_t *start = r->split.at;
    int64_t got = tn_csv_split(&r->split, r->fields, want);
    for (int32_t i = 0; i < r->output_count; i++) TN_TRY(convert_column(r, i, got, err));
    *rows += got;
    if (r->split.fault) return split_failed(r, err);
    if (got == want || r->split.at > start) continue;
    if (r->split.last && r->split.at == r->split.end) break;
    if (r->split.end - r->split.at > (int64_t)RECORD_BYTES_MAX) return record_too_long(r, err);
    discard_read(r);
    TN_TRY(read_more(r, err));
  }
  return TN_OK;
}

static tn_status finish_batch(csv_reader *r, int64_t rows, ArrowArray *out, tn_error *err) {
  ArrowArray *children = tn_alloc((size_t)r->output_count, sizeof *children);
  if (!children)
    return tn_fail_memory(err, "record batch", (size_t)r->output_count * sizeof *children);
  tn_status status = TN_OK;
  for (int32_t i = 0; status == TN_OK && i < r->output_count; i++)
    status = tn_builder_finish(r->outputs[i].builder, &children[i], err);
  if (status == TN_OK) status = tn_batch_new(out, children, r->output_count, rows, err);
  for (int32_t i = 0; i < r->output_count; i++) tn_array_clear(&children[i]);
  tn_free(children);
  return status;
}

static tn_status csv_next(void *reader, ArrowArray *out, tn_error *err) {
  csv_reader *r = reader;
  if (r->failed.status != TN_OK) {
    if (err) *err = r->failed;
    return r->failed.status;
  }
  int64_t rows = 0;
  tn_status status = fill_batch(r, &rows, &r->failed);
  if (status == TN_OK && rows == 0) return TN_END;
  if (status == TN_OK) status = finish_batch(r, rows, out, &r->failed);
  if (status != TN_OK && err) *err = r->failed;
  return status;
}

static tn_status csv_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &((csv_reader *)reader)->schema, err);
}

static void csv_free(void *reader) {
  csv_reader *r = reader;
  for (int32_t i = 0; r->outputs && i < r->output_count; i++)
    tn_builder_free(r->outputs[i].builder);
  tn_schema_clear(&r->schema);
  tn_free(r->outputs);
  tn_free(r->slots);
  tn_free(r->fields);
  tn_free(r->scratch);
  tn_free(r->buffer);
  tn_arena_clear(&r->arena);
  tn_source_close(r->source);
  tn_free(r);
}

static tn_status make_schema(csv_reader *r, tn_error *err) {
  const char **names = tn_alloc((size_t)r->output_count, sizeof *names);
  tn_column_type *types = tn_alloc((size_t)r->output_count, sizeof *types);
  tn_status status = TN_OK;
  if (!names || !types) status = tn_fail_memory(err, "CSV schema", (size_t)r->output_count * 12);
  for (int32_t i = 0; status == TN_OK && i < r->output_count; i++) {
    names[i] = r->names[r->outputs[i].column];
    types[i] = r->outputs[i].type;
    status = tn_builder_new(&r->outputs[i].builder, types[i], err);
  }
  if (status == TN_OK) status = tn_schema_new(&r->schema, names, types, r->output_count, err);
  tn_free(names);
  tn_free(types);
  return status;
}

static tn_status take_options(csv_reader *r, const tn_csv_options *o, tn_error *err) {
  int64_t field_max = o->field_bytes_max ? o->field_bytes_max : (int64_t)64 << 20;
  r->split.separator = (uint8_t)(o->separator ? o->separator : ',');
  r->split.quote = (uint8_t)(o->quote ? o->quote : '"');
  r->infer_rows = o->infer_rows ? o->infer_rows : INFER_ROWS;
  r->infer_bytes_open = o->infer_rows != 0;
  r->batch_rows = o->batch_rows ? o->batch_rows : BATCH_ROWS;
  if (r->split.separator == r->split.quote || strchr("\r\n", r->split.separator) ||
      strchr("\r\n", r->split.quote))
    return tn_fail(err, TN_ERR_ARGUMENT, "CSV separator 0x%02x and quote 0x%02x do not go together",
                   r->split.separator, r->split.quote);
  if (field_max < 1 || field_max > (int64_t)RECORD_BYTES_MAX || r->infer_rows < 0 ||
      r->batch_rows < 1)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "CSV limits: field_bytes_max %lld (1 to %zu), infer_rows %lld, batch_rows %lld",
                   (long long)field_max, RECORD_BYTES_MAX, (long long)r->infer_rows,
                   (long long)r->batch_rows);
  r->split.field_bytes_max = (uint32_t)field_max;
  r->null_texts = tn_arena_alloc(&r->arena, (size_t)o->null_text_count, sizeof *r->null_texts);
  for (int32_t i = 0; r->null_texts && i < o->null_text_count; i++) {
    size_t length = strlen(o->null_texts[i]);
    r->null_texts[i] = (tn_str){tn_arena_strndup(&r->arena, o->null_texts[i], length), length};
  }
  if (r->arena.failed) return tn_fail_memory(err, "CSV options", (size_t)o->null_text_count * 16);
  r->null_text_count = o->null_text_count;
  return TN_OK;
}

static tn_status open_reader(csv_reader *r, const tn_csv_options *options, tn_error *err) {
  TN_TRY(take_options(r, options, err));
  TN_TRY(read_header(r, options->no_header, err));
  TN_TRY(choose_columns(r, options, err));
  r->chunk_rows = CHUNK_FIELDS / r->output_count;
  if (r->chunk_rows < 16) r->chunk_rows = 16;
  size_t fields = (size_t)r->chunk_rows * (size_t)r->output_count;
  r->fields = tn_alloc(fields, sizeof *r->fields);
  if (!r->fields) return tn_fail_memory(err, "CSV fields", fields * sizeof *r->fields);
  TN_TRY(options->types ? declare_types(r, options, err) : infer_types(r, err));
  return make_schema(r, err);
}

tn_status tn_csv_read(ArrowArrayStream *out, tn_source *source, const tn_csv_options *options,
                      tn_error *err) {
  static const tn_reader_ops ops = {csv_schema, csv_next, csv_free};
  static const tn_csv_options defaults;
  memset(out, 0, sizeof *out);
  csv_reader *r = tn_alloc(1, sizeof *r);
  if (!r) {
    tn_source_close(source);
    return tn_fail_memory(err, "CSV reader", sizeof *r);
  }
  r->source = source;
  r->base_line = 1;
  tn_status status = open_reader(r, options ? options : &defaults, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, r, err);
  csv_free(r);
  return status;
}
