/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/jsonl.h"
#include "columns/jsonl_parse.h"
#include "columns/schema.h"
#include "columns/value.h"

enum { FLUSH_BYTES = 1 << 18 };

/* A column, or a part of one. */
typedef struct output output;
struct output {
  const tn_field *field;
  tn_str key;       /* "\"name\":", with what stands before it */
  bool is_json;     /* JSON text, written as the JSON that it is */
  output *children; /* NULL: no JSON text within, or in a form that tn_value_json knows alone */
};

struct tn_jsonl_writer {
  tn_sink *sink;
  ArrowSchema schema;
  tn_arena arena;
  tn_field *root;
  output *outputs;
  tn_strbuf text;   /* not yet in the sink */
  tn_arena scratch; /* of one JSON text that is checked */
  int64_t not_finite;
};

static bool is_json(const tn_field *field) {
  tn_str extension = tn_schema_metadata(field->schema, "ARROW:extension:name");
  return extension.data && tn_str_is(extension, "arrow.json") && !field->dictionary &&
         tn_type_is_text(field->type.id);
}

static bool holds_json(const tn_field *field) {
  if (is_json(field)) return true;
  if (field->type.id != TN_TYPE_STRUCT && field->type.id != TN_TYPE_LIST) return false;
  for (int64_t i = 0; i < field->child_count; i++)
    if (holds_json(&field->children[i])) return true;
  return false;
}

static tn_status make_outputs(tn_jsonl_writer *w, const tn_field *parent, output **out,
                              tn_error *err) {
  int64_t count = parent->child_count;
  output *outputs = tn_arena_alloc(&w->arena, (size_t)count, sizeof *outputs);
  if (!outputs) return tn_fail_memory(err, "JSONL writer", (size_t)count * sizeof *outputs);
  for (int64_t c = 0; c < count; c++) {
    const tn_field *field = &parent->children[c];
    tn_strbuf key = {0};
    tn_json_writer j = {.out = &key};
    tn_strbuf_add_char(&key, c ? ',' : '{');
    tn_json_cstr(&j, field->name);
    tn_strbuf_add_char(&key, ':');
    char *copy = key.failed ? NULL : tn_arena_strndup(&w->arena, key.data, key.length);
    outputs[c] = (output){.field = field, .key = {copy, key.length}, .is_json = is_json(field)};
    tn_strbuf_clear(&key);
    if (!copy) return tn_fail_memory(err, "a column name", strlen(field->name));
    bool nested = !outputs[c].is_json && !field->dictionary && holds_json(field);
    if (nested) TN_TRY(make_outputs(w, field, &outputs[c].children, err));
  }
  *out = outputs;
  return TN_OK;
}

tn_status tn_jsonl_writer_new(tn_jsonl_writer **out, tn_sink *sink, const ArrowSchema *schema,
                              tn_error *err) {
  *out = NULL;
  tn_jsonl_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "JSONL writer", sizeof *w);
  w->sink = sink;
  tn_status status = tn_schema_copy(&w->schema, schema, err);
  if (status == TN_OK) status = tn_field_tree(&w->root, &w->arena, &w->schema, err);
  if (status == TN_OK && w->root->type.id != TN_TYPE_STRUCT)
    status = tn_fail(err, TN_ERR_ARGUMENT, "%s: a table's schema is a struct, not %s", sink->name,
                     tn_type_name(w->root->type.id));
  if (status == TN_OK) status = make_outputs(w, w->root, &w->outputs, err);
  if (status != TN_OK) {
    tn_jsonl_writer_free(w);
    return status;
  }
  *out = w;
  return TN_OK;
}

void tn_jsonl_writer_free(tn_jsonl_writer *w) {
  if (!w) return;
  tn_schema_clear(&w->schema);
  tn_strbuf_clear(&w->text);
  tn_arena_clear(&w->arena);
  tn_arena_clear(&w->scratch);
  tn_free(w);
}

/* ---- values ---- */
static void add_i64(tn_strbuf *out, int64_t value) {
  char text[20];
  int32_t at = sizeof text;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do text[--at] = (char)('0' + rest % 10);
  while ((rest /= 10) > 0);
  if (value < 0) text[--at] = '-';
  tn_strbuf_append(out, text + at, sizeof text - (size_t)at);
}

/* Plain ASCII that needs no escape: most text.  Eight bytes at a time, then the rest. */
static bool is_plain(tn_str text) {
  size_t i = 0;
  for (; i + 8 <= text.length; i += 8) {
    uint64_t word;
    memcpy(&word, text.data + i, 8);
    uint64_t quote = word ^ 0x2222222222222222u, slash = word ^ 0x5C5C5C5C5C5C5C5Cu;
    uint64_t special = word | (word - 0x2020202020202020u) | (quote - 0x0101010101010101u) |
                       (slash - 0x0101010101010101u);
    if (special & 0x8080808080808080u) return false;
  }
  for (; i < text.length; i++) {
    uint8_t c = (uint8_t)text.data[i];
    if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') return false;
  }
  return true;
}

static void add_text(tn_strbuf *out, tn_str text) {
  if (is_plain(text)) {
    tn_strbuf_add_char(out, '"');
    tn_strbuf_add_str(out, text);
    tn_strbuf_add_char(out, '"');
    return;
  }
  tn_json_writer j = {.out = out};
  tn_json_str(&j, text);
}

/* JSON text as it is; what is no JSON stays a string. */
static void add_json(tn_jsonl_writer *w, tn_str text) {
  tn_json *ignored;
  tn_arena_reset(&w->scratch);
  tn_status status = tn_json_parse(&ignored, &w->scratch, text, NULL, NULL);
  if (status == TN_ERR_MEMORY) {
    w->text.failed = true;
    return;
  }
  if (status != TN_OK) {
    add_text(&w->text, text);
    return;
  }
  size_t before = w->text.length;
  tn_strbuf_add_str(&w->text, text);
  if (w->text.failed) return;
  uint8_t *copy = (uint8_t *)w->text.data + before;
  w->text.length = before + tn_jsonl_minify(copy, text.length, copy);
  w->text.data[w->text.length] = '\0';
}

static void add_value(tn_jsonl_writer *w, const output *o, const ArrowArray *column, int64_t row);

static void add_nested(tn_jsonl_writer *w, const output *o, const ArrowArray *column, int64_t i) {
  if (o->field->type.id == TN_TYPE_STRUCT) {
    for (int64_t c = 0; c < o->field->child_count; c++) {
      tn_strbuf_add_str(&w->text, o->children[c].key);
      add_value(w, &o->children[c], column->children[c], i);
    }
    tn_strbuf_add_char(&w->text, '}');
    return;
  }
  const int32_t *offsets = (const int32_t *)column->buffers[1] + i;
  tn_strbuf_add_char(&w->text, '[');
  for (int32_t k = offsets[0]; k < offsets[1]; k++) {
    if (k > offsets[0]) tn_strbuf_add_char(&w->text, ',');
    add_value(w, &o->children[0], column->children[0], k);
  }
  tn_strbuf_add_char(&w->text, ']');
}

static void add_value(tn_jsonl_writer *w, const output *o, const ArrowArray *column, int64_t row) {
  const tn_field *field = o->field;
  int64_t i = column->offset + row;
  if (!field->dictionary && tn_layout_has_validity(field->type.layout) &&
      tn_array_is_null(column, row)) {
    tn_strbuf_add(&w->text, "null");
    return;
  }
  if (o->children) {
    add_nested(w, o, column, i);
    return;
  }
  switch (field->dictionary ? TN_TYPE_COUNT : field->type.id) {
    case TN_TYPE_INT32:
      add_i64(&w->text, ((const int32_t *)column->buffers[1])[i]);
      return;
    case TN_TYPE_INT64:
      add_i64(&w->text, ((const int64_t *)column->buffers[1])[i]);
      return;
    case TN_TYPE_STRING: {
      const int32_t *offsets = (const int32_t *)column->buffers[1] + i;
      tn_str text = {(const char *)column->buffers[2] + offsets[0],
                     (size_t)(offsets[1] - offsets[0])};
      if (o->is_json)
        add_json(w, text);
      else
        add_text(&w->text, text);
      return;
    }
    default:
      break;
  }
  if (o->is_json) {
    add_json(w, tn_value_bytes(field, column, row));
    return;
  }
  tn_json_writer j = {.out = &w->text};
  tn_value_json(&j, field, column, row);
  w->not_finite += j.not_finite;
}

static tn_status flush(tn_jsonl_writer *w, tn_error *err) {
  TN_TRY(tn_strbuf_check(&w->text, err));
  if (w->text.length == 0) return TN_OK;
  TN_TRY(tn_sink_write(w->sink, w->text.data, w->text.length, err));
  tn_strbuf_reset(&w->text);
  return TN_OK;
}

tn_status tn_jsonl_writer_batch(tn_jsonl_writer *w, const ArrowArray *batch, tn_error *err) {
  int64_t count = w->root->child_count;
  if (batch->n_children != count)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: a batch of %lld columns, expected %lld",
                   w->sink->name, (long long)batch->n_children, (long long)count);
  for (int64_t row = 0; row < batch->length; row++) {
    for (int64_t c = 0; c < count; c++) {
      tn_strbuf_add_str(&w->text, w->outputs[c].key);
      add_value(w, &w->outputs[c], batch->children[c], batch->offset + row);
    }
    tn_strbuf_add(&w->text, count ? "}\n" : "{}\n");
    if (w->text.length >= FLUSH_BYTES || w->text.failed) TN_TRY(flush(w, err));
  }
  return TN_OK;
}

int64_t tn_jsonl_writer_not_finite(const tn_jsonl_writer *w) {
  return w->not_finite;
}

tn_status tn_jsonl_writer_finish(tn_jsonl_writer *w, tn_error *err) {
  return flush(w, err);
}
