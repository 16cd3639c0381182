/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>

#include "columns/csv.h"
#include "columns/csv_dialect.h"
#include "columns/value.h"

#define FLUSH_BYTES ((size_t)1 << 20)

typedef enum binary_form { BINARY_BASE64, BINARY_HEX, BINARY_TEXT, BINARY_COUNT } binary_form;
static const char *const binary_names[BINARY_COUNT] = {"base64", "hex", "text"};

struct tn_csv_writer {
  tn_sink *sink;
  tn_csv_dialect dialect;
  bool header_due, quote_all;
  bool check_all; /* the separator may occur in numbers and times too */
  binary_form binary;
  int64_t rows, not_finite;
  const char *not_text; /* the column of a binary value that is no text, though it should be */
  tn_str null_text;
  const char *const *null_texts; /* the caller's, alive as long as the writer */
  int32_t null_text_count;
  ArrowSchema schema;
  tn_arena arena;
  tn_field *fields;
  tn_strbuf text, value;
};

static tn_status flush(tn_csv_writer *w, tn_error *err) {
  TN_TRY(tn_strbuf_check(&w->text, err));
  TN_TRY(tn_strbuf_check(&w->value, err));
  if (w->text.length > 0) TN_TRY(tn_sink_write(w->sink, w->text.data, w->text.length, err));
  tn_strbuf_reset(&w->text);
  return TN_OK;
}

/* The empty text and a null text need quotes too: without, they would read back as null.  So do
 * what would pass for a comment or, at the file's start, for a byte order mark. */
static bool needs_quotes(const tn_csv_writer *w, tn_str value) {
  if (value.length == 0 || w->quote_all) return true;
  for (int32_t i = 0; i < w->null_text_count; i++)
    if (tn_str_is(value, w->null_texts[i])) return true;
  if (w->null_text.length && tn_str_equal(value, w->null_text)) return true;
  const char separator = w->dialect.separator[0], quote = w->dialect.quote;
  for (size_t i = 0; i < value.length; i++) {
    char c = value.data[i];
    if (c == separator || c == quote || c == '\n' || c == '\r') return true;
  }
  return (uint8_t)value.data[0] == 0xef || value.data[0] == '#';
}

static void add_text(tn_csv_writer *w, tn_str value) {
  if (!needs_quotes(w, value)) {
    tn_strbuf_add_str(&w->text, value);
    return;
  }
  const char quote = w->dialect.quote, escape = w->dialect.escape;
  tn_strbuf_add_char(&w->text, quote);
  if (escape != quote) { /* also in front of itself */
    for (size_t i = 0; i < value.length; i++) {
      if (value.data[i] == quote || value.data[i] == escape) tn_strbuf_add_char(&w->text, escape);
      tn_strbuf_add_char(&w->text, value.data[i]);
    }
    value.length = 0;
  }
  while (value.length > 0) {
    const char *at = memchr(value.data, quote, value.length);
    size_t run = at ? (size_t)(at - value.data) + 1 : value.length;
    tn_strbuf_append(&w->text, value.data, run);
    if (at) tn_strbuf_add_char(&w->text, quote);
    value = (tn_str){value.data + run, value.length - run};
  }
  tn_strbuf_add_char(&w->text, quote);
}

static void add_header(tn_csv_writer *w) {
  for (int64_t c = 0; c < w->schema.n_children; c++) {
    if (c > 0) tn_strbuf_add(&w->text, w->dialect.separator);
    const char *name = w->fields->children[c].name;
    if (*name || w->schema.n_children == 1) add_text(w, tn_str_of(name));
  }
  if (w->schema.n_children > 0) tn_strbuf_add(&w->text, w->dialect.line_end);
  w->header_due = false;
}

static tn_status check_separator(const tn_csv_dialect *d, const char *name, tn_error *err) {
  bool bad = false;
  for (const char *c = d->separator; *c; c++)
    bad |= strchr("+-.", *c) || isalnum((unsigned char)*c) || *c == d->quote || *c == '#';
  if (!bad && d->quote && d->escape) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "%s: separator '%s' and quote '%c' do not serve for writing CSV", name,
                 d->separator, d->quote ? d->quote : ' ');
}

static tn_status choose_binary(tn_csv_writer *w, const char *name, tn_error *err) {
  while (name && w->binary < BINARY_COUNT && strcmp(name, binary_names[w->binary]) != 0)
    w->binary++;
  if (w->binary < BINARY_COUNT) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "%s: binary '%s' is not known; known are base64, hex, text",
                 w->sink->name, name);
}

static tn_status open_writer(tn_csv_writer *w, const ArrowSchema *schema, const tn_csv_options *o,
                             tn_error *err) {
  TN_TRY(tn_csv_dialect_of_options(&w->dialect, o, err));
  TN_TRY(check_separator(&w->dialect, w->sink->name, err));
  w->header_due = w->dialect.header_rows > 0;
  w->check_all = !strchr(",;|\t", w->dialect.separator[0]);
  w->quote_all = o->quote_all;
  TN_TRY(choose_binary(w, o->binary, err));
  w->null_texts = o->null_texts;
  w->null_text_count = o->null_text_count;
  if (o->null_text) {
    size_t length = strlen(o->null_text);
    w->null_text = (tn_str){tn_arena_strndup(&w->arena, o->null_text, length), length};
    if (!w->null_text.data) return tn_fail_memory(err, "CSV writer", length);
    bool broken = false;
    for (const char *c = o->null_text; *c; c++)
      broken |= *c == w->dialect.separator[0] || *c == w->dialect.quote || *c == '\n' || *c == '\r';
    if (broken)
      return tn_fail(err, TN_ERR_ARGUMENT, "'%s' does not serve as CSV text for null",
                     o->null_text);
  }
  TN_TRY(tn_schema_copy(&w->schema, schema, err));
  return tn_field_tree(&w->fields, &w->arena, &w->schema, err);
}

tn_status tn_csv_writer_new(tn_csv_writer **out, tn_sink *sink, const ArrowSchema *schema,
                            const tn_csv_options *options, tn_error *err) {
  static const tn_csv_options defaults;
  tn_csv_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "CSV writer", sizeof *w);
  w->sink = sink;
  tn_status status = open_writer(w, schema, options ? options : &defaults, err);
  if (status == TN_OK)
    *out = w;
  else
    tn_csv_writer_free(w);
  return status;
}

/* Whether the text of a type may hold anything; numbers and times never need quotes. */
static bool is_free_text(const tn_field *field) {
  return field->dictionary || tn_type_is_bytes(field->type.id) || tn_type_is_nested(field->type.id);
}

/* CSV is text, and has no place for other bytes. */
static void put_binary(tn_csv_writer *w, const char *column, tn_str bytes) {
  switch (w->binary) {
    case BINARY_HEX:
      tn_value_add_hex(&w->value, bytes);
      return;
    case BINARY_TEXT:
      if (!tn_utf8_valid(bytes)) w->not_text = column;
      tn_strbuf_add_str(&w->value, bytes);
      return;
    default:
      tn_value_add_base64(&w->value, bytes);
      return;
  }
}

static void put_json(tn_csv_writer *w, const tn_value *v) {
  tn_json_writer j = {.out = &w->value};
  tn_value_json(&j, v->field, v->array, v->row);
  w->not_finite += j.not_finite;
}

static void add_value(tn_csv_writer *w, const tn_field *field, const ArrowArray *column,
                      int64_t row) {
  if (tn_value_is_null(field, column, row)) {
    tn_strbuf_add_str(&w->text, w->null_text);
    return;
  }
  if (!is_free_text(field) && !w->check_all && !w->null_text.length && w->null_text_count == 0) {
    tn_value_text(field, column, row, &w->text);
    return;
  }
  if (!field->dictionary && tn_type_is_text(field->type.id)) {
    add_text(w, tn_value_bytes(field, column, row));
    return;
  }
  tn_strbuf_reset(&w->value);
  tn_value v = {field, column, row};
  tn_type_id id = tn_value_find(&v) ? v.field->type.id : TN_TYPE_NULL;
  if (tn_type_is_bytes(id) && !tn_type_is_text(id))
    put_binary(w, field->name, tn_value_bytes(v.field, v.array, v.row));
  else if (tn_type_is_nested(id))
    put_json(w, &v);
  else
    tn_value_text(v.field, v.array, v.row, &w->value);
  w->text.failed |= w->value.failed;
  bool quote_all = w->quote_all;
  if (!is_free_text(field)) w->quote_all = false;
  add_text(w, tn_strbuf_view(&w->value));
  w->quote_all = quote_all;
}

tn_status tn_csv_writer_batch(tn_csv_writer *w, const ArrowArray *batch, tn_error *err) {
  if (batch->n_children != w->schema.n_children)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: a batch of %lld columns, expected %lld",
                   w->sink->name, (long long)batch->n_children, (long long)w->schema.n_children);
  if (w->header_due) add_header(w);
  if (batch->n_children == 0) return TN_OK;
  for (int64_t row = 0; row < batch->length; row++) {
    for (int64_t c = 0; c < batch->n_children; c++) {
      if (c > 0) tn_strbuf_add(&w->text, w->dialect.separator);
      add_value(w, &w->fields->children[c], batch->children[c], batch->offset + row);
    }
    if (w->not_text)
      return tn_fail(err, TN_ERR_DATA,
                     "%s: column \"%s\", row %lld: bytes that are no UTF-8 text (binary: base64 or "
                     "hex writes any bytes)",
                     w->sink->name, w->not_text, (long long)(w->rows + row));
    tn_strbuf_add(&w->text, w->dialect.line_end);
    if (w->text.length >= FLUSH_BYTES) TN_TRY(flush(w, err));
  }
  w->rows += batch->length;
  return tn_strbuf_check(&w->text, err);
}

int64_t tn_csv_writer_not_finite(const tn_csv_writer *w) {
  return w->not_finite;
}

tn_status tn_csv_writer_finish(tn_csv_writer *w, tn_error *err) {
  if (w->header_due) add_header(w);
  return flush(w, err);
}

void tn_csv_writer_free(tn_csv_writer *w) {
  if (!w) return;
  tn_schema_clear(&w->schema);
  tn_arena_clear(&w->arena);
  tn_strbuf_clear(&w->text);
  tn_strbuf_clear(&w->value);
  tn_free(w);
}
