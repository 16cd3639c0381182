/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/hive.h"

#include <stdio.h>

#include "columns/builder.h"

enum { COLUMNS_MAX = 64 };

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The text without %XX; a NUL byte, which no name can hold, stays escaped. */
static char *unescape(tn_arena *arena, tn_str text) {
  char *out = tn_arena_alloc(arena, text.length + 1, 1);
  for (size_t i = 0, n = 0; out && i < text.length; n++) {
    int high = i + 2 < text.length && text.data[i] == '%' ? hex_digit(text.data[i + 1]) : -1;
    int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
    bool escaped = low >= 0 && (high | low) != 0;
    out[n] = escaped ? (char)(high << 4 | low) : text.data[i];
    i += escaped ? 3 : 1;
  }
  return out;
}

/* The next "name=value" folder of a path; the last part is the file. */
static bool next_part(tn_str *rest, tn_str *name, tn_str *value) {
  while (rest->data) {
    tn_str part = tn_str_cut(rest, '/');
    const char *mark = rest->data ? memchr(part.data, '=', part.length) : NULL;
    if (!mark || mark == part.data) continue;
    *name = (tn_str){part.data, (size_t)(mark - part.data)};
    *value = (tn_str){mark + 1, part.length - name->length - 1};
    return true;
  }
  return false;
}

static tn_status take_names(tn_hive *h, const char *path, tn_error *err) {
  tn_str rest = tn_str_of(path), name, value;
  h->names = tn_arena_alloc(&h->arena, COLUMNS_MAX, sizeof *h->names);
  h->numbers = tn_arena_alloc(&h->arena, COLUMNS_MAX, sizeof *h->numbers);
  if (!h->names || !h->numbers) return tn_fail_memory(err, "columns of a path", COLUMNS_MAX * 8);
  while (next_part(&rest, &name, &value)) {
    if (h->count == COLUMNS_MAX)
      return tn_fail(err, TN_ERR_LIMIT, "%s: more than %d columns in the path", path, COLUMNS_MAX);
    h->numbers[h->count] = true;
    h->names[h->count] = unescape(&h->arena, name);
    if (!h->names[h->count++]) return tn_fail_memory(err, "columns of a path", name.length);
  }
  return TN_OK;
}

static bool is_number(const char *text) {
  int64_t value;
  char back[24];
  if (!tn_str_to_i64(tn_str_of(text), &value)) return false;
  snprintf(back, sizeof back, "%lld", (long long)value);
  return strcmp(back, text) == 0; /* "007" is text */
}

static tn_status take_values(tn_hive *h, const char *const *paths, int64_t file, tn_error *err) {
  tn_str rest = tn_str_of(paths[file]), name, value;
  int32_t column = 0;
  for (; next_part(&rest, &name, &value); column++) {
    const char *same = column < h->count ? unescape(&h->arena, name) : "";
    if (!same) return tn_fail_memory(err, "columns of a path", name.length);
    if (column >= h->count || strcmp(same, h->names[column]) != 0) break;
    if (tn_str_is(value, "__HIVE_DEFAULT_PARTITION__")) continue;
    const char *text = unescape(&h->arena, value);
    if (!text) return tn_fail_memory(err, "columns of a path", value.length);
    h->texts[file * h->count + column] = text;
    h->numbers[column] = h->numbers[column] && is_number(text);
  }
  if (column == h->count && !rest.data) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s has not the columns in its path that %s has", paths[file],
                 paths[0]);
}

tn_status tn_hive_open(tn_hive *out, const char *const *paths, int64_t count, tn_error *err) {
  *out = (tn_hive){.files = count};
  tn_status status = take_names(out, paths[0], err);
  size_t cells;
  if (status == TN_OK && out->count > 0) {
    if (!tn_mul_size((size_t)count, (size_t)out->count, &cells)) cells = SIZE_MAX;
    out->texts = tn_arena_alloc(&out->arena, cells, sizeof *out->texts);
    if (!out->texts) status = tn_fail_memory(err, "columns of paths", cells);
  }
  for (int64_t file = 0; status == TN_OK && out->count > 0 && file < count; file++)
    status = take_values(out, paths, file, err);
  if (status != TN_OK) tn_hive_clear(out);
  return status;
}

void tn_hive_clear(tn_hive *hive) {
  tn_arena_clear(&hive->arena);
  *hive = (tn_hive){0};
}

int32_t tn_hive_find(const tn_hive *hive, const char *name) {
  for (int32_t c = 0; c < hive->count; c++)
    if (strcmp(hive->names[c], name) == 0) return c;
  return -1;
}

tn_status tn_hive_add_schema(const tn_hive *h, ArrowSchema *schema, tn_error *err) {
  ArrowSchema wider = {0};
  int64_t have = schema->n_children;
  tn_status status = tn_schema_init(&wider, "+s", "", 0, err);
  if (status == TN_OK) status = tn_schema_set_metadata(&wider, schema->metadata, err);
  if (status == TN_OK) status = tn_schema_add_children(&wider, have + h->count, err);
  for (int64_t c = 0; c < have && status == TN_OK; c++)
    status = tn_schema_copy(wider.children[c], schema->children[c], err);
  for (int32_t c = 0; c < h->count && status == TN_OK; c++)
    status = tn_schema_init(wider.children[have + c], h->numbers[c] ? "l" : "u", h->names[c],
                            ARROW_FLAG_NULLABLE, err);
  tn_schema_clear(schema);
  if (status == TN_OK)
    *schema = wider;
  else
    tn_schema_clear(&wider);
  return status;
}

/* One value, `rows` times. */
static tn_status constant(ArrowArray *out, bool number, const char *text, int64_t rows,
                          tn_error *err) {
  tn_type type;
  tn_builder *b = NULL;
  int64_t value = 0;
  TN_TRY(tn_type_parse(number ? "l" : "u", &type, err));
  TN_TRY(tn_builder_new_type(&b, &type, err));
  if (number && text && !tn_str_to_i64(tn_str_of(text), &value)) text = NULL;
  tn_status status = TN_OK;
  for (int64_t row = 0; row < rows && status == TN_OK; row++)
    status = !text    ? tn_builder_append_null(b, err)
             : number ? tn_builder_append_i64(b, value, err)
                      : tn_builder_append_str(b, tn_str_of(text), err);
  if (status == TN_OK) status = tn_builder_finish(b, out, err);
  tn_builder_free(b);
  return status;
}

tn_status tn_hive_column(const tn_hive *h, int64_t file, int32_t column, int64_t rows,
                         ArrowArray *out, tn_error *err) {
  return constant(out, h->numbers[column], h->texts[file * h->count + column], rows, err);
}

tn_status tn_hive_add_batch(const tn_hive *h, int64_t file, ArrowArray *batch, tn_error *err) {
  int64_t have = batch->n_children, rows = batch->length;
  ArrowArray *columns = tn_alloc((size_t)(have + h->count), sizeof *columns);
  tn_status status =
      columns ? TN_OK : tn_fail_memory(err, "columns", (size_t)(have + h->count) * sizeof *columns);
  for (int64_t c = 0; c < have && status == TN_OK; c++) {
    columns[c] = *batch->children[c]; /* moved out of the batch, as the interface allows */
    batch->children[c]->release = NULL;
  }
  for (int32_t c = 0; c < h->count && status == TN_OK; c++)
    status = tn_hive_column(h, file, c, rows, &columns[have + c], err);
  tn_array_clear(batch);
  if (status == TN_OK) status = tn_batch_new(batch, columns, have + h->count, rows, err);
  for (int64_t c = 0; columns && c < have + h->count; c++) tn_array_clear(&columns[c]);
  tn_free(columns);
  return status;
}
