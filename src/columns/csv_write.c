/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "columns/csv.h"

#define FLUSH_BYTES ((size_t)1 << 20)

struct tn_csv_writer {
  tn_sink *sink;
  char separator, quote;
  bool header_due;
  const char *const *null_texts; /* the caller's, alive as long as the writer */
  int32_t null_text_count;
  ArrowSchema schema;
  tn_column_type *types;
  tn_strbuf text;
};

static tn_status flush(tn_csv_writer *w, tn_error *err) {
  TN_TRY(tn_strbuf_check(&w->text, err));
  if (w->text.length > 0) TN_TRY(tn_sink_write(w->sink, w->text.data, w->text.length, err));
  tn_strbuf_reset(&w->text);
  return TN_OK;
}

/* The empty text and a null text need quotes too: without, they would read back as null. */
static bool needs_quotes(const tn_csv_writer *w, tn_str value) {
  if (value.length == 0) return true;
  for (int32_t i = 0; i < w->null_text_count; i++)
    if (tn_str_is(value, w->null_texts[i])) return true;
  for (size_t i = 0; i < value.length; i++) {
    char c = value.data[i];
    if (c == w->separator || c == w->quote || c == '\n' || c == '\r') return true;
  }
  return (uint8_t)value.data[0] == 0xef; /* would pass for a byte order mark at the file's start */
}

static void add_field(tn_csv_writer *w, tn_str value) {
  if (!needs_quotes(w, value)) {
    tn_strbuf_add_str(&w->text, value);
    return;
  }
  tn_strbuf_add_char(&w->text, w->quote);
  while (value.length > 0) {
    const char *quote = memchr(value.data, w->quote, value.length);
    size_t run = quote ? (size_t)(quote - value.data) + 1 : value.length;
    tn_strbuf_append(&w->text, value.data, run);
    if (quote) tn_strbuf_add_char(&w->text, w->quote);
    value = (tn_str){value.data + run, value.length - run};
  }
  tn_strbuf_add_char(&w->text, w->quote);
}

static void add_header(tn_csv_writer *w) {
  for (int64_t c = 0; c < w->schema.n_children; c++) {
    if (c > 0) tn_strbuf_add_char(&w->text, w->separator);
    const char *name = w->schema.children[c]->name;
    if (*name || w->schema.n_children == 1) add_field(w, tn_str_of(name));
  }
  tn_strbuf_add_char(&w->text, '\n');
  w->header_due = false;
}

tn_status tn_csv_writer_new(tn_csv_writer **out, tn_sink *sink, const ArrowSchema *schema,
                            const tn_csv_options *options, tn_error *err) {
  static const tn_csv_options defaults;
  const tn_csv_options *o = options ? options : &defaults;
  tn_csv_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "CSV writer", sizeof *w);
  w->sink = sink;
  w->separator = o->separator ? o->separator : ',';
  w->quote = o->quote ? o->quote : '"';
  w->header_due = !o->no_header;
  w->null_texts = o->null_texts;
  w->null_text_count = o->null_text_count;
  if (strchr("+-.:\r\n", w->separator) || isalnum((unsigned char)w->separator) ||
      w->separator == w->quote) {
    tn_free(w);
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: 0x%02x does not serve as a CSV separator", sink->name,
                   (unsigned)(unsigned char)(o->separator ? o->separator : ','));
  }
  w->types = tn_alloc((size_t)schema->n_children, sizeof *w->types);
  tn_status status = w->types ? TN_OK : tn_fail_memory(err, "CSV writer", sizeof *w);
  if (status == TN_OK) status = tn_schema_copy(&w->schema, schema, err);
  for (int64_t c = 0; status == TN_OK && c < schema->n_children; c++)
    status = tn_column_type_of(schema->children[c], &w->types[c], err);
  if (status == TN_OK)
    *out = w;
  else
    tn_csv_writer_free(w);
  return status;
}

static void add_value(tn_csv_writer *w, const ArrowArray *column, tn_column_type type,
                      int64_t row) {
  if (tn_array_is_null(column, row)) return;
  if (type == TN_COLUMN_STRING || type == TN_COLUMN_BINARY)
    add_field(w, tn_array_str(column, row));
  else
    tn_array_text(column, type, row, &w->text);
}

tn_status tn_csv_writer_batch(tn_csv_writer *w, const ArrowArray *batch, tn_error *err) {
  if (batch->n_children != w->schema.n_children)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: a batch of %lld columns, expected %lld",
                   w->sink->name, (long long)batch->n_children, (long long)w->schema.n_children);
  if (w->header_due) add_header(w);
  for (int64_t row = 0; row < batch->length; row++) {
    for (int64_t c = 0; c < batch->n_children; c++) {
      if (c > 0) tn_strbuf_add_char(&w->text, w->separator);
      add_value(w, batch->children[c], w->types[c], batch->offset + row);
    }
    tn_strbuf_add_char(&w->text, '\n');
    if (w->text.length >= FLUSH_BYTES) TN_TRY(flush(w, err));
  }
  return tn_strbuf_check(&w->text, err);
}

tn_status tn_csv_writer_finish(tn_csv_writer *w, tn_error *err) {
  if (w->header_due) add_header(w);
  return flush(w, err);
}

void tn_csv_writer_free(tn_csv_writer *w) {
  if (!w) return;
  tn_schema_clear(&w->schema);
  tn_free(w->types);
  tn_strbuf_clear(&w->text);
  tn_free(w);
}
