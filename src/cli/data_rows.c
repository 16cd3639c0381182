/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/data_rows.h"

#include "columns/value.h"

enum { CELL_CHARS_MAX = 40, WIDTH_ROWS = 200 };

tn_status data_rows_begin(data_rows *r, const ArrowSchema *schema, tn_json_writer *json,
                          tn_error *err) {
  *r = (data_rows){.json = json};
  TN_TRY(tn_field_tree(&r->root, &r->arena, schema, err));
  r->widths = tn_arena_alloc(&r->arena, (size_t)schema->n_children + 1, sizeof *r->widths);
  if (!r->widths) return tn_fail_memory(err, "column widths", (size_t)schema->n_children * 4);
  if (!json) return TN_OK;
  tn_json_key(json, "columns"), tn_json_begin_array(json);
  for (int64_t c = 0; c < r->root->child_count; c++) {
    tn_strbuf_reset(&r->text);
    tn_field_text(&r->root->children[c], &r->text);
    tn_json_begin_object(json);
    tn_cli_json_text(json, "name", r->root->children[c].name);
    tn_json_key(json, "type"), tn_json_str(json, tn_strbuf_view(&r->text));
    tn_json_end_object(json);
  }
  tn_json_end_array(json);
  tn_json_key(json, "rows"), tn_json_begin_array(json);
  return TN_OK;
}

/* Text on one line, cut to CELL_CHARS_MAX characters (not bytes); returns how many there are. */
static int32_t one_line(tn_str text, tn_strbuf *out) {
  int32_t chars = 0;
  tn_strbuf_reset(out);
  for (size_t i = 0; i < text.length; chars++) {
    if (chars == CELL_CHARS_MAX) {
      tn_strbuf_add(out, "\xe2\x80\xa6"); /* ... */
      return chars + 1;
    }
    int bytes = tn_utf8_length((const uint8_t *)text.data + i, text.length - i);
    uint8_t first = (uint8_t)text.data[i];
    if (bytes == 0 || first < 32 || first == 127)
      tn_strbuf_add_char(out, first < 32 && bytes ? ' ' : '?');
    else
      tn_strbuf_append(out, text.data + i, (size_t)bytes);
    i += bytes ? (size_t)bytes : 1;
  }
  return chars;
}

static int32_t cell(data_rows *r, const ArrowArray *batch, int64_t c, int64_t row, tn_strbuf *out) {
  const tn_field *field = &r->root->children[c];
  tn_strbuf_reset(&r->text);
  if (tn_value_is_null(field, batch->children[c], row))
    tn_strbuf_add(&r->text, "-");
  else
    tn_value_text(field, batch->children[c], row, &r->text);
  return one_line(tn_strbuf_view(&r->text), out);
}

static bool stands_right(const tn_field *f) {
  tn_type_id id = f->type.id;
  return !f->dictionary &&
         (tn_type_is_integer(id) || tn_type_is_real(id) || tn_type_is_decimal(id));
}

static void print_cell(const data_rows *r, int64_t c, const tn_strbuf *text, int32_t chars) {
  bool right = stands_right(&r->root->children[c]), last = c + 1 == r->root->child_count;
  int32_t pad = r->widths[c] > chars ? r->widths[c] - chars : 0;
  if (c) fputs("  ", stdout);
  if (right) printf("%*s", pad, "");
  if (text->data) fputs(text->data, stdout);
  if (!right && !last) printf("%*s", pad, "");
}

static void widen(data_rows *r, int64_t c, int32_t chars) {
  if (chars > r->widths[c]) r->widths[c] = chars;
}

static void find_widths(data_rows *r, const ArrowArray *batch, int64_t count) {
  tn_strbuf line = {0};
  for (int64_t c = 0; c < r->root->child_count; c++) {
    widen(r, c, one_line(tn_str_of(r->root->children[c].name), &line));
    tn_strbuf_reset(&r->text);
    tn_field_text(&r->root->children[c], &r->text);
    widen(r, c, one_line(tn_strbuf_view(&r->text), &line));
    for (int64_t row = 0; row < count && row < WIDTH_ROWS; row++)
      widen(r, c, cell(r, batch, c, row, &line));
  }
  for (int64_t c = 0; c < r->root->child_count; c++)
    print_cell(r, c, &line, one_line(tn_str_of(r->root->children[c].name), &line));
  putchar('\n');
  for (int64_t c = 0; c < r->root->child_count; c++) {
    tn_strbuf_reset(&r->text);
    tn_field_text(&r->root->children[c], &r->text);
    print_cell(r, c, &line, one_line(tn_strbuf_view(&r->text), &line));
  }
  putchar('\n');
  tn_strbuf_clear(&line);
  r->has_widths = true;
}

static void print_rows(data_rows *r, const ArrowArray *batch, int64_t count) {
  tn_strbuf line = {0};
  if (!r->has_widths) find_widths(r, batch, count);
  for (int64_t row = 0; row < count; row++) {
    for (int64_t c = 0; c < r->root->child_count; c++) {
      int32_t chars = cell(r, batch, c, row, &line);
      print_cell(r, c, &line, chars);
    }
    putchar('\n');
  }
  tn_strbuf_clear(&line);
}

void data_rows_batch(data_rows *r, const ArrowArray *batch, int64_t count) {
  if (!r->json) {
    print_rows(r, batch, count);
    return;
  }
  for (int64_t row = 0; row < count; row++) {
    tn_json_begin_object(r->json);
    for (int64_t c = 0; c < r->root->child_count; c++) {
      tn_json_key(r->json, r->root->children[c].name);
      tn_value_json(r->json, &r->root->children[c], batch->children[c], row);
    }
    tn_json_end_object(r->json);
  }
}

void data_note_not_finite(int64_t count) {
  if (count > 0)
    fprintf(stderr, "note: %lld numbers are null in JSON, which has no NaN and no infinity\n",
            (long long)count);
}

void data_note_nested_deltas(const char *path, int64_t count) {
  if (count > 0)
    fprintf(stderr,
            "note: %s: pyarrow does not read it: a dictionary grows, and its values hold "
            "dictionaries (arrow-rs does; .parquet is for both)\n",
            path);
}

void data_rows_end(data_rows *r, bool good) {
  if (good && r->root && r->widths && !r->json && !r->has_widths)
    print_rows(r, &(ArrowArray){0}, 0); /* the names of a table without rows */
  if (r->root && r->widths && r->json) tn_json_end_array(r->json);
  tn_strbuf_clear(&r->text);
  tn_arena_clear(&r->arena);
}
