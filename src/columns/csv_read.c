/* SPDX-License-Identifier: Apache-2.0 */
/* One or several CSV files as one stream: which columns, of which types, from which places. */

#include "columns/csv_reader.h"
#include "columns/schema.h"
#include "columns/schema_text.h"

typedef struct csv_stream {
  tn_csv_options options;
  tn_csv_reader **readers; /* each is freed when it is read */
  int32_t count, at;
  const char **names;           /* of the result */
  const ArrowSchema **declared; /* NULL: inferred */
  int32_t column_count;
  ArrowSchema schema, own_declared; /* own_declared: of schema_text */
  tn_arena arena;
  tn_error failed; /* sticky: a stream that has failed stays failed */
} csv_stream;

/* ---- which columns ---- */
static const char *name_at(const void *reader, int64_t i) {
  return ((const tn_csv_reader *)reader)->names[i];
}

static tn_status no_such_column(const tn_csv_reader *r, const char *name, tn_error *err) {
  tn_status status = tn_schema_name_missing(name, r->dialect.columns, name_at, r, err);
  return tn_error_context(err, status, "%s", r->input.source->name);
}

static tn_status add_column(csv_stream *s, const char *name, int32_t room, tn_error *err) {
  if (s->column_count == room) return tn_fail(err, TN_ERR_LIMIT, "CSV: more than %d columns", room);
  char *copy = tn_arena_strndup(&s->arena, name, strlen(name));
  if (!copy) return tn_fail_memory(err, "CSV columns", strlen(name));
  s->names[s->column_count++] = copy;
  return TN_OK;
}

static bool has_name(const csv_stream *s, const char *name) {
  for (int32_t i = 0; i < s->column_count; i++)
    if (strcmp(s->names[i], name) == 0) return true;
  return false;
}

static bool in_some_file(const csv_stream *s, const char *name) {
  int32_t files = s->options.union_by_name ? s->count : 1;
  for (int32_t k = 0; k < files; k++)
    if (tn_csv_reader_find(s->readers[k], name) >= 0) return true;
  return false;
}

static tn_status take_projection(csv_stream *s, int32_t room, tn_error *err) {
  const tn_csv_options *o = &s->options;
  for (int32_t i = 0; i < o->column_count; i++) {
    if (!o->missing_null && !in_some_file(s, o->columns[i]))
      return no_such_column(s->readers[0], o->columns[i], err);
    if (has_name(s, o->columns[i]))
      return tn_fail(err, TN_ERR_ARGUMENT, "%s: column \"%.60s\" is asked for twice",
                     s->readers[0]->input.source->name, o->columns[i]);
    TN_TRY(add_column(s, o->columns[i], room, err));
  }
  return TN_OK;
}

/* The first file's columns, and by name those that only others have. */
static tn_status take_all(csv_stream *s, int32_t room, tn_error *err) {
  const tn_csv_reader *first = s->readers[0];
  for (int32_t c = 0; c < first->dialect.columns; c++)
    TN_TRY(add_column(s, first->names[c], room, err));
  for (int32_t k = 1; k < s->count; k++) {
    const tn_csv_reader *r = s->readers[k];
    if (!s->options.union_by_name && r->dialect.columns != first->dialect.columns)
      return tn_fail(err, TN_ERR_DATA,
                     "%s: %d columns, but %s has %d; union_by_name would take what there is",
                     r->input.source->name, r->dialect.columns, first->input.source->name,
                     first->dialect.columns);
    for (int32_t c = 0; s->options.union_by_name && c < r->dialect.columns; c++)
      if (!has_name(s, r->names[c])) TN_TRY(add_column(s, r->names[c], room, err));
  }
  return TN_OK;
}

/* Taken by position, files with headers must agree on them: a swapped column would go unseen. */
static tn_status check_names(const csv_stream *s, tn_error *err) {
  const tn_csv_reader *first = s->readers[0];
  if (s->options.union_by_name || first->dialect.header_rows == 0) return TN_OK;
  for (int32_t k = 1; k < s->count; k++) {
    const tn_csv_reader *r = s->readers[k];
    for (int32_t c = 0; c < r->dialect.columns && c < first->dialect.columns; c++)
      if (r->dialect.header_rows > 0 && strcmp(r->names[c], first->names[c]) != 0)
        return tn_fail(
            err, TN_ERR_DATA,
            "%s: column %d is \"%.60s\", in %s it is \"%.60s\"; union_by_name would go by "
            "the names",
            r->input.source->name, c + 1, r->names[c], first->input.source->name, first->names[c]);
  }
  return TN_OK;
}

static tn_status choose_columns(csv_stream *s, tn_error *err) {
  TN_TRY(check_names(s, err));
  bool all = !s->options.columns || s->options.column_count == 0;
  int64_t room = all ? 0 : s->options.column_count;
  for (int32_t k = 0; all && k < s->count; k++) room += s->readers[k]->dialect.columns;
  if (room > TN_CSV_COLUMNS_MAX * (int64_t)2) room = TN_CSV_COLUMNS_MAX * 2;
  s->names = tn_arena_alloc(&s->arena, (size_t)room, sizeof *s->names);
  s->declared = tn_arena_alloc(&s->arena, (size_t)room, sizeof *s->declared);
  if (!s->names || !s->declared) return tn_fail_memory(err, "CSV columns", (size_t)room * 16);
  return all ? take_all(s, (int32_t)room, err) : take_projection(s, (int32_t)room, err);
}

static tn_status declare_types(csv_stream *s, tn_error *err) {
  const ArrowSchema *schema = s->options.schema;
  for (int64_t i = 0; schema && i < schema->n_children; i++) {
    const char *name = schema->children[i]->name ? schema->children[i]->name : "";
    if (!s->options.missing_null && !in_some_file(s, name))
      return no_such_column(s->readers[0], name, err);
    for (int32_t c = 0; c < s->column_count; c++)
      if (!s->declared[c] && strcmp(s->names[c], name) == 0) {
        s->declared[c] = schema->children[i];
        break;
      }
  }
  return TN_OK;
}

/* ---- the columns of one file ---- */
/* Where the result's column i is in a file. */
static int32_t place_of(const csv_stream *s, const tn_csv_reader *r, int32_t i) {
  bool all = !s->options.columns || s->options.column_count == 0;
  const tn_csv_reader *first = s->readers[0];
  if (s->options.union_by_name && s->count > 1) {
    if (r == first && all && i < first->dialect.columns) return i;
    return tn_csv_reader_find(r, s->names[i]);
  }
  return all ? i : tn_csv_reader_find(first, s->names[i]);
}

static tn_status plan_file(csv_stream *s, tn_csv_reader *r, tn_error *err) {
  tn_csv_plan *plan = &r->plan;
  plan->columns = tn_alloc((size_t)s->column_count, sizeof *plan->columns);
  if (!plan->columns)
    return tn_fail_memory(err, "CSV columns", (size_t)s->column_count * sizeof *plan->columns);
  plan->column_count = s->column_count;
  for (int32_t i = 0; i < s->column_count; i++) {
    int32_t column = place_of(s, r, i);
    if (column >= r->dialect.columns) column = -1;
    plan->columns[i] = (tn_csv_column){
        .column = column,
        .declared = s->declared[i] != NULL,
        .strip_cr = column == r->dialect.columns - 1 && plan->format.newline == '\n',
        .quote = plan->format.quote,
        .null_texts = r->null_texts,
        .null_text_count = s->options.null_text_count};
  }
  return TN_OK;
}

/* ---- types ---- */
static tn_status set_type(tn_csv_column *column, const ArrowSchema *field, tn_error *err) {
  tn_type index = {0};
  TN_TRY(tn_type_parse(field->format, &index, err));
  column->type = index;
  column->index = TN_TYPE_NULL;
  column->required = column->declared && !(field->flags & ARROW_FLAG_NULLABLE);
  if (field->dictionary) {
    TN_TRY(tn_type_parse(field->dictionary->format, &column->type, err));
    column->index = index.id;
    if (column->type.id != TN_TYPE_STRING)
      return tn_fail(err, TN_ERR_UNSUPPORTED, "a CSV column cannot be read as a dictionary of %s",
                     tn_type_name(column->type.id));
  }
  return tn_csv_column_check(&column->type, err);
}

static tn_status make_schema(csv_stream *s, const tn_csv_kinds_seen *seen, tn_error *err) {
  TN_TRY(tn_schema_init(&s->schema, "+s", "", 0, err));
  TN_TRY(tn_schema_add_children(&s->schema, s->column_count, err));
  for (int32_t i = 0; i < s->column_count; i++) {
    ArrowSchema *child = s->schema.children[i];
    if (s->declared[i])
      TN_TRY(tn_schema_copy(child, s->declared[i], err));
    else
      TN_TRY(tn_schema_init(child, tn_csv_kinds_format(&seen[i]), s->names[i], ARROW_FLAG_NULLABLE,
                            err));
    for (int32_t k = 0; k < s->count; k++) {
      tn_status status = set_type(&s->readers[k]->plan.columns[i], child, err);
      if (status != TN_OK)
        return tn_error_context(err, status, "%s: column \"%.60s\"",
                                s->readers[k]->input.source->name, s->names[i]);
    }
  }
  return TN_OK;
}

/* Types that hold what every file's column may be. */
static tn_status infer_types(csv_stream *s, tn_csv_kinds_seen *seen, tn_csv_kinds_seen *one,
                             tn_error *err) {
  for (int32_t k = 0; k < s->count; k++) {
    memset(one, 0, (size_t)s->column_count * sizeof *one);
    TN_TRY(plan_file(s, s->readers[k], err));
    if (!s->options.all_text) TN_TRY(tn_csv_reader_infer(s->readers[k], one, err));
    for (int32_t i = 0; i < s->column_count; i++) tn_csv_kinds_merge(&seen[i], &one[i]);
    if (s->count > 1) tn_csv_input_drop_head(&s->readers[k]->input);
  }
  return make_schema(s, seen, err);
}

static tn_status find_types(csv_stream *s, tn_error *err) {
  TN_TRY(declare_types(s, err));
  size_t count = (size_t)s->column_count;
  tn_csv_kinds_seen *seen = tn_alloc(count, sizeof *seen), *one = tn_alloc(count, sizeof *one);
  tn_status status = seen && one ? infer_types(s, seen, one, err)
                                 : tn_fail_memory(err, "CSV types", count * sizeof *seen);
  tn_free(seen);
  tn_free(one);
  return status;
}

/* ---- the stream ---- */
static tn_status next(csv_stream *s, ArrowArray *out, tn_error *err) {
  for (; s->at < s->count; s->at++) {
    tn_csv_reader *reader = s->readers[s->at];
    tn_status status = tn_csv_reader_next(reader, out, err);
    if (status != TN_END) return status;
    tn_csv_reader_rest(reader);
  }
  return TN_END;
}

static tn_status csv_next(void *stream, ArrowArray *out, tn_error *err) {
  csv_stream *s = stream;
  if (s->failed.status != TN_OK) {
    if (err) *err = s->failed;
    return s->failed.status;
  }
  tn_status status = next(s, out, &s->failed);
  if (status != TN_OK && status != TN_END && err) *err = s->failed;
  return status;
}

static tn_status csv_schema(void *stream, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &((csv_stream *)stream)->schema, err);
}

static void csv_free(void *stream) {
  csv_stream *s = stream;
  for (int32_t k = 0; s->readers && k < s->count; k++) tn_csv_reader_free(s->readers[k]);
  tn_schema_clear(&s->schema);
  tn_schema_clear(&s->own_declared);
  tn_arena_clear(&s->arena);
  tn_free(s->readers);
  tn_free(s);
}

static void close_sources(tn_source *const *sources, int32_t from, int32_t count) {
  for (int32_t k = from; k < count; k++) tn_source_close(sources[k]);
}

static tn_status open_files(csv_stream *s, tn_source *const *sources, tn_error *err) {
  tn_status parsed = TN_OK;
  if (s->options.schema_text && !s->options.schema) {
    parsed = tn_schema_of_text(&s->own_declared, tn_str_of(s->options.schema_text), err);
    s->options.schema = &s->own_declared;
  }
  if (parsed != TN_OK) {
    close_sources(sources, 0, s->count);
    return parsed;
  }
  for (int32_t k = 0; k < s->count; k++) {
    tn_status status = tn_csv_reader_open(&s->readers[k], sources[k], &s->options, err);
    if (status == TN_OK) continue;
    close_sources(sources, k + 1, s->count);
    return status;
  }
  TN_TRY(choose_columns(s, err));
  return find_types(s, err);
}

tn_status tn_csv_read_many(ArrowArrayStream *out, tn_source *const *sources, int32_t count,
                           const tn_csv_options *options, tn_error *err) {
  static const tn_reader_ops ops = {csv_schema, csv_next, csv_free};
  memset(out, 0, sizeof *out);
  if (count < 1) return tn_fail(err, TN_ERR_ARGUMENT, "CSV: no file to read");
  csv_stream *s = tn_alloc(1, sizeof *s);
  if (s) s->readers = tn_alloc((size_t)count, sizeof *s->readers);
  if (!s || !s->readers) {
    close_sources(sources, 0, count);
    tn_free(s);
    return tn_fail_memory(err, "CSV reader", sizeof *s);
  }
  s->count = count;
  if (options) s->options = *options;
  if (s->options.needs_wider) *s->options.needs_wider = false;
  tn_status status = open_files(s, sources, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, s, err);
  csv_free(s);
  return status;
}

tn_status tn_csv_read(ArrowArrayStream *out, tn_source *source, const tn_csv_options *options,
                      tn_error *err) {
  return tn_csv_read_many(out, &source, 1, options, err);
}
