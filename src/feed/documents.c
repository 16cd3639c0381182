/* documents.c - see documents.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "feed/documents.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "columns/table.h"
#include "columns/value.h"

#define BATCH_ROWS     512
#define TEXT_BYTES_MAX ((size_t)1 << 30)
#define DOCUMENT_FILES 4096

struct tn_documents {
  char **paths;
  int64_t *sizes;
  int32_t path_count, at; /* `at`: the file that is open, or the next */
  char *column;
  bool is_open;
  tn_table table;
  ArrowSchema schema; /* of the open table; `field` is of its column */
  tn_arena arena;
  const tn_field *field;
  int64_t column_index;
  ArrowArray batch;
  tn_strbuf text; /* a .txt file */
  tn_str *texts;
  size_t text_capacity;
  int64_t nulls, done_before;
};

/* ---- making
 * ---------------------------------------------------------------------------------------- */
static tn_status add_path(tn_documents *d, const char *path, tn_error *err) {
  struct stat info;
  if (stat(path, &info) != 0) return tn_fail_errno(err, errno, "%s", path);
  d->sizes[d->path_count] = (int64_t)info.st_size;
  d->paths[d->path_count] = tn_strndup(path, strlen(path));
  if (!d->paths[d->path_count]) return tn_fail_memory(err, "a path", strlen(path));
  d->path_count++;
  return TN_OK;
}

static tn_status documents_init(tn_documents *d, const char *const *paths, int32_t path_count,
                                const char *column, tn_error *err) {
  if (path_count < 1 || path_count > DOCUMENT_FILES)
    return tn_fail(err, TN_ERR_ARGUMENT, "%d files, expected 1 to %d", path_count, DOCUMENT_FILES);
  d->paths = tn_alloc((size_t)path_count, sizeof *d->paths);
  d->sizes = tn_alloc((size_t)path_count, sizeof *d->sizes);
  d->column = tn_strndup(column, strlen(column));
  if (!d->paths || !d->sizes || !d->column) return tn_fail_memory(err, "a list of files", 0);
  for (int32_t i = 0; i < path_count; i++) TN_TRY(add_path(d, paths[i], err));
  return TN_OK;
}

tn_status tn_documents_open(tn_documents **out, const char *const *paths, int32_t path_count,
                            const char *column, tn_error *err) {
  tn_documents *d = tn_alloc(1, sizeof *d);
  if (!d) return tn_fail_memory(err, "a reader of documents", sizeof *d);
  tn_status status = documents_init(d, paths, path_count, column, err);
  if (status != TN_OK) {
    tn_documents_close(d);
    return status;
  }
  *out = d;
  return TN_OK;
}

static void close_file(tn_documents *d) {
  tn_array_clear(&d->batch);
  d->batch = (ArrowArray){0};
  if (d->is_open) tn_table_close(&d->table);
  d->is_open = false;
  tn_schema_clear(&d->schema);
  tn_arena_reset(&d->arena);
}

void tn_documents_close(tn_documents *d) {
  if (!d) return;
  close_file(d);
  for (int32_t i = 0; i < d->path_count; i++) tn_free(d->paths[i]);
  tn_free(d->paths);
  tn_free(d->sizes);
  tn_free(d->column);
  tn_free(d->texts);
  tn_strbuf_clear(&d->text);
  tn_arena_clear(&d->arena);
  tn_free(d);
}

/* ---- tables
 * ------------------------------------------------------------------------------------------- */
static tn_status no_column(const tn_documents *d, tn_error *err) {
  const ArrowSchema *schema = &d->schema;
  char names[200] = "";
  size_t used = 0;
  for (int64_t i = 0; i < schema->n_children && used < sizeof names; i++)
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                             schema->children[i]->name);
  return tn_fail(err, TN_ERR_DATA, "%s: no column \"%s\"; there is %s", d->paths[d->at], d->column,
                 names);
}

/* Text as it is, or behind a dictionary or run ends. */
static bool holds_text(const tn_field *f) {
  while (f->dictionary || f->type.layout == TN_LAYOUT_RUN_END)
    f = f->dictionary ? f->dictionary : &f->children[1];
  return tn_type_is_bytes(f->type.id) && f->type.id != TN_TYPE_FIXED_BINARY;
}

static tn_status wrong_column(const tn_documents *d, tn_error *err) {
  tn_strbuf type = {0};
  tn_field_text(d->field, &type);
  tn_status status = tn_fail(err, TN_ERR_DATA, "%s: column \"%s\" is %s, expected string",
                             d->paths[d->at], d->column, type.data ? type.data : "of another type");
  tn_strbuf_clear(&type);
  return status;
}

static tn_status find_column(tn_documents *d, tn_error *err) {
  tn_field *root;
  TN_TRY(tn_stream_schema(&d->table.stream, &d->schema, err));
  d->column_index = tn_schema_find(&d->schema, d->column);
  if (d->column_index < 0) return no_column(d, err);
  TN_TRY(tn_field_tree(&root, &d->arena, &d->schema, err));
  d->field = &root->children[d->column_index];
  return holds_text(d->field) ? TN_OK : wrong_column(d, err);
}

static tn_status open_table(tn_documents *d, tn_error *err) {
  const char *path = d->paths[d->at];
  const char *columns[] = {d->column};
  tn_table_read_options options = {.columns = columns, .column_count = 1, .batch_rows = BATCH_ROWS};
  tn_table_format format;
  tn_status status = tn_table_format_of(path, &format, err);
  if (status != TN_OK)
    return tn_error_context(err, status, "documents come from tables or from .txt");
  if (format == TN_TABLE_ARROW) options.column_count = 0; /* mapped: nothing is saved by choosing */
  TN_TRY(tn_table_open(&d->table, path, &options, err));
  d->is_open = true;
  return find_column(d, err);
}

static tn_status next_rows(tn_documents *d, tn_document_batch *out, tn_error *err) {
  tn_array_clear(&d->batch);
  d->batch = (ArrowArray){0};
  TN_TRY(tn_stream_next(&d->table.stream, &d->batch, err));
  size_t rows = (size_t)d->batch.length;
  TN_TRY(tn_grow((void **)&d->texts, &d->text_capacity, rows, sizeof *d->texts, err));
  const ArrowArray *column = d->batch.children[d->column_index];
  out->texts = d->texts;
  out->count = 0;
  for (int64_t row = 0; row < d->batch.length; row++) {
    if (tn_value_is_null(d->field, column, row))
      d->nulls++;
    else
      d->texts[out->count++] = tn_value_bytes(d->field, column, row);
  }
  return TN_OK;
}

/* ---- whole files
 * ---------------------------------------------------------------------------------------- */
static tn_status read_text(tn_documents *d, tn_document_batch *out, tn_error *err) {
  tn_strbuf_reset(&d->text);
  TN_TRY(tn_grow((void **)&d->texts, &d->text_capacity, 1, sizeof *d->texts, err));
  TN_TRY(tn_file_read(d->paths[d->at], TEXT_BYTES_MAX, &d->text, err));
  d->texts[0] = tn_strbuf_view(&d->text);
  *out = (tn_document_batch){d->texts, 1};
  return TN_OK;
}

static void next_file(tn_documents *d) {
  close_file(d);
  d->done_before += d->sizes[d->at++];
}

tn_status tn_documents_next(tn_documents *d, tn_document_batch *out, tn_error *err) {
  while (d->at < d->path_count) {
    if (!d->is_open && tn_str_ends(tn_str_of(d->paths[d->at]), TN_STR(".txt"))) {
      TN_TRY(read_text(d, out, err));
      next_file(d);
      return TN_OK;
    }
    if (!d->is_open) TN_TRY(open_table(d, err));
    tn_status status = next_rows(d, out, err);
    if (status != TN_END) return status;
    next_file(d);
  }
  return TN_END;
}

int64_t tn_documents_bytes_total(const tn_documents *d) {
  int64_t total = 0;
  for (int32_t i = 0; i < d->path_count; i++) total += d->sizes[i];
  return total;
}

int64_t tn_documents_bytes_done(const tn_documents *d) {
  if (!d->is_open) return d->done_before;
  int64_t here = d->table.source ? d->table.source->bytes_read : 0;
  return d->done_before + (here < d->sizes[d->at] ? here : d->sizes[d->at]);
}

int64_t tn_documents_nulls(const tn_documents *d) {
  return d->nulls;
}
