/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/table_set.h"

#include "columns/hive.h"
#include "columns/schema.h"
#include "columns/schema_text.h"

enum { CSV_FILES_MAX = 1 << 20 };

struct tn_table_set {
  const char *const *paths;
  int64_t count, at; /* at: of the file that is open, or to be opened next */
  tn_table_read_options options;
  tn_table_format format;
  tn_table table;
  bool open;
  ArrowSchema declared; /* by the user, or what the survey of text files found */
  ArrowSchema schema;   /* of all files together; released: the open file's */
  int64_t bytes, bytes_before;
  tn_bad_rows bad;
  tn_sink *errors;
  tn_hive hive;
  int64_t *pick; /* of the columns of file and path, those that were asked for; NULL: all */
  int64_t pick_count;
  tn_arena arena;
};

static bool is_csv(tn_table_format format) {
  return format == TN_TABLE_CSV || format == TN_TABLE_TSV;
}

/* CSV files are read as one by csv.h, but one by one when each has columns of its path. */
static bool all_at_once(const tn_table_set *set) {
  return is_csv(set->format) && set->hive.count == 0;
}

/* ---- options that are texts ---- */
static tn_status declare_schema(tn_table_set *set, tn_error *err) {
  const tn_table_read_options *o = &set->options;
  if (o->schema && o->schema_file)
    return tn_fail(err, TN_ERR_ARGUMENT, "a schema and a schema file are both given");
  if (o->schema) return tn_schema_of_text(&set->declared, tn_str_of(o->schema), err);
  if (!o->schema_file) return TN_OK;
  tn_strbuf text = {0};
  tn_status status = tn_file_read(o->schema_file, 1 << 20, &text, err);
  if (status == TN_OK) {
    status = tn_schema_of_text(&set->declared, tn_strbuf_view(&text), err);
    if (status != TN_OK) tn_error_context(err, status, "%s", o->schema_file);
  }
  tn_strbuf_clear(&text);
  return status;
}

static tn_status open_errors(tn_table_set *set, tn_error *err) {
  const tn_table_read_options *o = &set->options;
  if (o->on_error) TN_TRY(tn_on_error_of(o->on_error, &set->bad.on_error, err));
  set->bad.rows_max = o->errors_max;
  if (!o->errors) return TN_OK;
  if (set->bad.on_error == TN_ON_ERROR_FAIL)
    return tn_fail(err, TN_ERR_ARGUMENT, "an error file wants bad rows to be skipped or null");
  TN_TRY(tn_sink_open_file(&set->errors, o->errors, err));
  set->bad.sink = set->errors;
  return TN_OK;
}

/* ---- one schema for all files ---- */
static bool is_number(const char *format) {
  return strcmp(format, "l") == 0 || strcmp(format, "L") == 0 || strcmp(format, "g") == 0;
}

/* The format that holds the values of both; NULL: there is none.  Flat columns of text files. */
static const char *common_format(const ArrowSchema *a, const ArrowSchema *b) {
  if (tn_schema_equal(a, b, false)) return a->format;
  if (a->n_children || b->n_children) return NULL;
  if (strcmp(a->format, "n") == 0) return b->format;
  if (strcmp(b->format, "n") == 0) return a->format;
  if (is_number(a->format) && is_number(b->format)) return "g";
  return "u";
}

/* A fresh node of what both columns hold. */
static tn_status join_column(ArrowSchema *out, const ArrowSchema *a, const ArrowSchema *b,
                             bool *fits, tn_error *err) {
  if (strcmp(a->format, "n") == 0) return tn_schema_copy(out, b, err);
  const char *format = strcmp(b->format, "n") == 0 ? a->format : common_format(a, b);
  *fits = format != NULL;
  if (!format) return TN_OK;
  if (strcmp(format, a->format) == 0) return tn_schema_copy(out, a, err);
  return tn_schema_init(out, format, a->name, ARROW_FLAG_NULLABLE, err);
}

/* Columns of `have`, each joined with its namesake in `more`; then those that are new. */
static tn_status join_schemas(const tn_table_set *set, ArrowSchema *have, const ArrowSchema *more,
                              int64_t file, tn_error *err) {
  ArrowSchema joined;
  int64_t fresh = 0, at = have->n_children;
  bool fits = true;
  for (int64_t c = 0; c < more->n_children; c++)
    fresh += tn_schema_find(have, more->children[c]->name) < 0;
  tn_status status = tn_schema_init(&joined, "+s", "", 0, err);
  if (status == TN_OK) status = tn_schema_add_children(&joined, have->n_children + fresh, err);
  for (int64_t c = 0; c < have->n_children && status == TN_OK; c++) {
    int64_t other = tn_schema_find(more, have->children[c]->name);
    status = other < 0 ? tn_schema_copy(joined.children[c], have->children[c], err)
                       : join_column(joined.children[c], have->children[c], more->children[other],
                                     &fits, err);
    if (status == TN_OK && !fits)
      status = tn_fail(err, TN_ERR_DATA, "%s: column \"%s\" has not the shape it has in %s",
                       set->paths[file], have->children[c]->name, set->paths[0]);
  }
  for (int64_t c = 0; c < more->n_children && status == TN_OK; c++)
    if (tn_schema_find(have, more->children[c]->name) < 0)
      status = tn_schema_copy(joined.children[at++], more->children[c], err);
  if (status == TN_OK) {
    tn_schema_clear(have);
    *have = joined;
  } else {
    tn_schema_clear(&joined);
  }
  return status;
}

static tn_status same_names(const tn_table_set *set, const ArrowSchema *have,
                            const ArrowSchema *more, int64_t file, tn_error *err) {
  if (have->n_children != more->n_children)
    return tn_fail(err, TN_ERR_DATA, "%s has %lld columns, %s has %lld", set->paths[file],
                   (long long)more->n_children, set->paths[0], (long long)have->n_children);
  for (int64_t c = 0; c < have->n_children; c++)
    if (strcmp(have->children[c]->name, more->children[c]->name) != 0)
      return tn_fail(err, TN_ERR_DATA, "%s: column %lld is \"%s\", in %s it is \"%s\"",
                     set->paths[file], (long long)c + 1, more->children[c]->name, set->paths[0],
                     have->children[c]->name);
  return TN_OK;
}

/* The type of a column, in words that people write. */
static void add_type(tn_strbuf *out, const ArrowSchema *column) {
  tn_arena arena = {0};
  tn_field *field;
  if (tn_field_tree(&field, &arena, column, NULL) == TN_OK)
    tn_field_text(field, out);
  else
    tn_strbuf_add(out, column->format);
  if (column->flags & ARROW_FLAG_MAP_KEYS_SORTED) tn_strbuf_add(out, " of sorted keys");
  if (column->flags & ARROW_FLAG_DICTIONARY_ORDERED) tn_strbuf_add(out, ", ordered");
  tn_arena_clear(&arena);
}

static tn_status another_type(const tn_table_set *set, const ArrowSchema *have,
                              const ArrowSchema *more, int64_t file, tn_error *err) {
  tn_strbuf text = {0};
  add_type(&text, more);
  tn_strbuf_addf(&text, ", in %s it is ", set->paths[0]);
  add_type(&text, have);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK)
    status = tn_fail(err, TN_ERR_DATA, "%s: column \"%s\" is %s", set->paths[file], have->name,
                     text.data);
  tn_strbuf_clear(&text);
  return status;
}

/* Equal types; a column may be null when it may be in any of the files. */
static tn_status same_types(const tn_table_set *set, ArrowSchema *have, const ArrowSchema *more,
                            int64_t file, tn_error *err) {
  TN_TRY(same_names(set, have, more, file, err));
  for (int64_t c = 0; c < have->n_children; c++) {
    ArrowSchema *a = have->children[c], *b = more->children[c];
    a->flags |= b->flags & ARROW_FLAG_NULLABLE;
    ArrowSchema twin = *b;
    twin.flags = a->flags;
    if (!tn_schema_equal(a, &twin, false)) return another_type(set, a, b, file, err);
  }
  return TN_OK;
}

/* Schema and size of one file; the schema joins those before. */
static tn_status survey_file(tn_table_set *set, int64_t file, ArrowSchema *all, tn_error *err) {
  tn_table table = {0};
  ArrowSchema schema = {0};
  tn_table_read_options options = set->options;
  bool jsonl = set->format == TN_TABLE_JSONL;
  if (jsonl) options.columns = NULL, options.column_count = 0; /* all are declared */
  TN_TRY(tn_table_open(&table, set->paths[file], &options, err));
  int64_t size = tn_table_bytes(&table);
  set->bytes = size < 0 || set->bytes < 0 ? -1 : set->bytes + size;
  tn_status status = tn_stream_schema(&table.stream, &schema, err);
  tn_table_close(&table);
  if (status == TN_OK && !all->release) {
    *all = schema;
    return TN_OK;
  }
  if (status == TN_OK)
    status = jsonl ? join_schemas(set, all, &schema, file, err)
                   : same_types(set, all, &schema, file, err);
  tn_schema_clear(&schema);
  return status;
}

static tn_status survey(tn_table_set *set, tn_error *err) {
  ArrowSchema all = {0};
  for (int64_t file = 0; file < set->count; file++) {
    tn_status status = survey_file(set, file, &all, err);
    if (status != TN_OK) {
      tn_schema_clear(&all);
      return status;
    }
  }
  if (set->format != TN_TABLE_JSONL) {
    set->schema = all;
  } else if (set->declared.release) {
    tn_schema_clear(&all);
  } else {
    set->declared = all;
    set->options.declared = &set->declared;
  }
  return TN_OK;
}

static tn_status one_format(tn_table_set *set, tn_error *err) {
  TN_TRY(tn_table_format_chosen(set->paths[0], set->options.format, &set->format, err));
  for (int64_t file = 1; file < set->count; file++) {
    tn_table_format format;
    TN_TRY(tn_table_format_chosen(set->paths[file], set->options.format, &format, err));
    if (format != set->format)
      return tn_fail(err, TN_ERR_ARGUMENT, "%s is %s, %s is %s: one table is of one format",
                     set->paths[0], tn_table_format_name(set->format), set->paths[file],
                     tn_table_format_name(format));
  }
  return TN_OK;
}

/* ---- columns of the path ---- */
/* Of the first file, by its name: something has to tell how many rows there are. */
static tn_status first_column(tn_table_set *set, const char **out, tn_error *err) {
  tn_table table = {0};
  ArrowSchema schema = {0};
  tn_table_read_options options = set->options;
  options.columns = NULL, options.column_count = 0;
  TN_TRY(tn_table_open(&table, set->paths[0], &options, err));
  tn_status status = tn_stream_schema(&table.stream, &schema, err);
  tn_table_close(&table);
  if (status == TN_OK && schema.n_children == 0)
    status =
        tn_fail(err, TN_ERR_UNSUPPORTED, "%s has no columns but those of its path", set->paths[0]);
  if (status == TN_OK) {
    const char *name = schema.children[0]->name;
    *out = tn_arena_strndup(&set->arena, name, strlen(name));
    if (!*out) status = tn_fail_memory(err, "a column name", strlen(name));
  }
  tn_schema_clear(&schema);
  return status;
}

/* Divides what is asked for into columns of the files and of the path. */
static tn_status divide_columns(tn_table_set *set, tn_error *err) {
  tn_table_read_options *o = &set->options;
  int64_t files = 0;
  const char **names = tn_arena_alloc(&set->arena, (size_t)o->column_count + 1, sizeof *names);
  set->pick = tn_arena_alloc(&set->arena, (size_t)o->column_count + 1, sizeof *set->pick);
  if (!names || !set->pick) return tn_fail_memory(err, "columns", (size_t)o->column_count * 16);
  set->pick_count = o->column_count;
  for (int32_t i = 0; i < o->column_count; i++)
    if (tn_hive_find(&set->hive, o->columns[i]) < 0) names[files++] = o->columns[i];
  if (files == 0) TN_TRY(first_column(set, &names[files++], err));
  for (int64_t i = 0, file = 0; i < o->column_count; i++) {
    int32_t in_path = tn_hive_find(&set->hive, o->columns[i]);
    set->pick[i] = in_path < 0 ? file++ : files + in_path;
  }
  o->columns = names;
  o->column_count = (int32_t)files;
  return TN_OK;
}

static tn_status open_hive(tn_table_set *set, tn_error *err) {
  if (!set->options.hive) return TN_OK;
  TN_TRY(tn_hive_open(&set->hive, set->paths, set->count, err));
  if (set->hive.count == 0 || !set->options.columns) return TN_OK;
  return divide_columns(set, err);
}

static tn_status pick_schema(const tn_table_set *set, ArrowSchema *schema, tn_error *err) {
  ArrowSchema picked = {0};
  tn_status status = tn_schema_init(&picked, "+s", "", 0, err);
  if (status == TN_OK) status = tn_schema_set_metadata(&picked, schema->metadata, err);
  if (status == TN_OK) status = tn_schema_add_children(&picked, set->pick_count, err);
  for (int64_t c = 0; c < set->pick_count && status == TN_OK; c++)
    status = tn_schema_copy(picked.children[c], schema->children[set->pick[c]], err);
  tn_schema_clear(schema);
  if (status == TN_OK)
    *schema = picked;
  else
    tn_schema_clear(&picked);
  return status;
}

static tn_status pick_columns(const tn_table_set *set, ArrowArray *batch, tn_error *err) {
  ArrowArray *columns = tn_alloc((size_t)set->pick_count + 1, sizeof *columns);
  tn_status status = columns ? TN_OK : tn_fail_memory(err, "columns", sizeof *columns);
  for (int64_t c = 0; c < set->pick_count && status == TN_OK; c++) {
    columns[c] = *batch->children[set->pick[c]];
    batch->children[set->pick[c]]->release = NULL;
  }
  int64_t rows = batch->length;
  tn_array_clear(batch);
  if (status == TN_OK) status = tn_batch_new(batch, columns, set->pick_count, rows, err);
  for (int64_t c = 0; columns && c < set->pick_count; c++) tn_array_clear(&columns[c]);
  tn_free(columns);
  return status;
}

static tn_status finish_schema(const tn_table_set *set, ArrowSchema *schema, tn_error *err) {
  if (set->hive.count == 0) return TN_OK;
  TN_TRY(tn_hive_add_schema(&set->hive, schema, err));
  return set->pick ? pick_schema(set, schema, err) : TN_OK;
}

static tn_status finish_batch(const tn_table_set *set, ArrowArray *batch, tn_error *err) {
  if (set->hive.count == 0) return TN_OK;
  TN_TRY(tn_hive_add_batch(&set->hive, set->at, batch, err));
  return set->pick ? pick_columns(set, batch, err) : TN_OK;
}

/* A file that lacks columns of the others has them as null. */
static tn_status ask_for_all(tn_table_set *set, tn_error *err) {
  tn_table_read_options *o = &set->options;
  int64_t count = set->declared.n_children;
  o->csv.missing_null = true;
  if (o->columns) return TN_OK;
  const char **names = tn_arena_alloc(&set->arena, (size_t)count + 1, sizeof *names);
  if (!names) return tn_fail_memory(err, "columns", (size_t)count * sizeof *names);
  for (int64_t c = 0; c < count; c++) names[c] = set->declared.children[c]->name;
  o->columns = names;
  o->column_count = (int32_t)count;
  return TN_OK;
}

/* CSV files one by one want the types of all of them first. */
static tn_status declare_csv(tn_table_set *set, tn_error *err) {
  tn_table all = {0};
  tn_table_read_options options = set->options;
  options.columns = NULL, options.column_count = 0;
  TN_TRY(tn_table_open_csv_files(&all, set->paths, (int32_t)set->count, &options, err));
  tn_schema_clear(&set->declared);
  set->bytes = tn_table_bytes(&all);
  tn_status status = tn_stream_schema(&all.stream, &set->declared, err);
  set->options.declared = &set->declared;
  tn_table_close(&all);
  return status == TN_OK && options.csv.union_by_name ? ask_for_all(set, err) : status;
}

/* ---- file after file; CSV files all at once ---- */
static tn_status open_next(tn_table_set *set, tn_error *err) {
  if (all_at_once(set)) {
    if (set->count > CSV_FILES_MAX)
      return tn_fail(err, TN_ERR_LIMIT, "%lld CSV files as one table, limit %d",
                     (long long)set->count, CSV_FILES_MAX);
    TN_TRY(
        tn_table_open_csv_files(&set->table, set->paths, (int32_t)set->count, &set->options, err));
  } else {
    TN_TRY(tn_table_open(&set->table, set->paths[set->at], &set->options, err));
  }
  set->open = true;
  if (set->count == 1 || all_at_once(set)) set->bytes = tn_table_bytes(&set->table);
  return TN_OK;
}

static void close_current(tn_table_set *set) {
  if (!set->open) return;
  set->bytes_before += tn_table_bytes_read(&set->table);
  tn_table_close(&set->table);
  set->open = false;
}

tn_status tn_table_set_open(tn_table_set **out, const char *const *paths, int64_t count,
                            const tn_table_read_options *options, tn_error *err) {
  *out = NULL;
  if (count < 1) return tn_fail(err, TN_ERR_ARGUMENT, "a table of no files");
  tn_table_set *set = tn_alloc(1, sizeof *set);
  if (!set) return tn_fail_memory(err, "table set", sizeof *set);
  set->paths = paths;
  set->count = count;
  if (options) set->options = *options;
  tn_status status = one_format(set, err);
  if (status == TN_OK) status = declare_schema(set, err);
  if (status == TN_OK && set->declared.release) set->options.declared = &set->declared;
  if (status == TN_OK) status = open_hive(set, err);
  if (status == TN_OK && count > 1 && !is_csv(set->format)) status = survey(set, err);
  if (status == TN_OK && is_csv(set->format) && !all_at_once(set)) status = declare_csv(set, err);
  if (status == TN_OK) status = open_errors(set, err);
  if (status == TN_OK) set->options.bad = &set->bad;
  if (status == TN_OK) status = open_next(set, err);
  if (status != TN_OK) {
    tn_table_set_close(set);
    return status;
  }
  *out = set;
  return TN_OK;
}

void tn_table_set_close(tn_table_set *set) {
  if (!set) return;
  close_current(set);
  tn_sink_close(set->errors);
  tn_schema_clear(&set->declared);
  tn_schema_clear(&set->schema);
  tn_hive_clear(&set->hive);
  tn_arena_clear(&set->arena);
  tn_free(set);
}

tn_status tn_table_set_schema(tn_table_set *set, ArrowSchema *out, tn_error *err) {
  tn_status status = set->schema.release ? tn_schema_copy(out, &set->schema, err)
                                         : tn_stream_schema(&set->table.stream, out, err);
  return status == TN_OK ? finish_schema(set, out, err) : status;
}

tn_status tn_table_set_next(tn_table_set *set, ArrowArray *out, tn_error *err) {
  *out = (ArrowArray){0};
  while (set->at < set->count) {
    if (!set->open) TN_TRY(open_next(set, err));
    tn_status status = tn_stream_next(&set->table.stream, out, err);
    if (status == TN_OK) return finish_batch(set, out, err);
    if (status != TN_END) return status;
    close_current(set);
    set->at = all_at_once(set) ? set->count : set->at + 1;
  }
  if (set->errors) {
    TN_TRY(tn_sink_commit(set->errors, err));
    tn_sink_close(set->errors);
    set->errors = NULL;
  }
  return TN_END;
}

int64_t tn_table_set_bytes(const tn_table_set *set) {
  return set->bytes;
}

int64_t tn_table_set_bytes_read(const tn_table_set *set) {
  return set->bytes_before + (set->open ? tn_table_bytes_read(&set->table) : 0);
}

const char *tn_table_set_path(const tn_table_set *set, bool *more) {
  int64_t at = set->at < set->count ? set->at : set->count - 1;
  *more = at > 0 || (set->count > 1 && all_at_once(set));
  return set->paths[at];
}

tn_table_format tn_table_set_format(const tn_table_set *set) {
  return set->format;
}

const tn_bad_rows *tn_table_set_bad(const tn_table_set *set) {
  return &set->bad;
}
