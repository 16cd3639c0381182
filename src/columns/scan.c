/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/scan.h"

#include "base/map.h"
#include "columns/expr_tree.h"
#include "columns/gather.h"
#include "columns/parquet/parquet.h"
#include "columns/scan_late.h"
#include "columns/schema.h"
#include "columns/table_parquet.h"

struct tn_scan {
  tn_table_set *set; /* every format but Parquet */
  tn_table_read_options read;
  const char **paths; /* of Parquet one */
  int64_t path_count;
  ArrowSchema all;         /* every column of the file, then those of `path_row` */
  int64_t file_columns;    /* of `all` */
  ArrowSchema file_schema; /* a view of `all` that ends there */
  ArrowSchema path_schema; /* Parquet: columns of its path */
  ArrowArray path_row;     /* their values */
  tn_expr_bound bound;     /* both */
  const tn_hive *hive;     /* NULL: there are none */
  int64_t hive_file;
  tn_parquet_file *file;    /* Parquet */
  tn_source *source;        /* of it, borrowed: counts the bytes */
  ArrowArrayStream parquet; /* of the rows that pruning left */
  tn_scan_late *late;       /* or this one */
  tn_row_range *ranges;
  tn_expr *where;    /* over the table's columns; NULL: every row */
  ArrowSchema input; /* of the table's batches */
  ArrowSchema schema;
  tn_arena arena;
  tn_field *input_fields;
  int64_t *picked; /* for each of ours the column of the input; behind those, of the path */
  int64_t left;    /* rows until the limit */
  bool nothing;    /* pruning left no row */
  tn_scan_report report;
  tn_error failed; /* sticky */
};

/* ---- which columns ---- */
/* Names of what must be read: first of the selected columns in their order, then those that only
 * the predicate wants.  What is of the path need not be read. */
typedef struct needed {
  const char **names;
  int32_t count;
  int64_t *select; /* columns of `all` */
  int64_t selected;
} needed;

static tn_status add_name(tn_scan *scan, needed *out, const char *name, tn_error *err) {
  char *copy = tn_arena_strndup(&scan->arena, name, strlen(name));
  if (!copy) return tn_fail_memory(err, "a column name", strlen(name));
  out->names[out->count++] = copy;
  return TN_OK;
}

static tn_status need_columns(tn_scan *scan, const tn_scan_options *o, const tn_expr *where,
                              needed *out, tn_error *err) {
  const ArrowSchema *all = &scan->all;
  int64_t most = all->n_children, used = 0;
  bool *taken = tn_arena_alloc(&scan->arena, (size_t)most, 1);
  out->names = tn_arena_alloc(&scan->arena, (size_t)most, sizeof *out->names);
  out->select = tn_arena_alloc(&scan->arena, (size_t)most, sizeof *out->select);
  if (!taken || !out->names || !out->select)
    return tn_fail_memory(err, "a scan", (size_t)most * 17);
  for (int32_t i = 0; !o->no_columns && i < o->select_count; i++) {
    int64_t c = tn_schema_find(all, o->select[i]);
    if (c < 0) return tn_schema_no_column(all, o->select[i], err);
    if (taken[c])
      return tn_fail(err, TN_ERR_ARGUMENT, "column \"%.60s\" is asked for twice",
                     all->children[c]->name);
    taken[c] = true;
    out->select[out->selected++] = c;
    if (c < scan->file_columns) TN_TRY(add_name(scan, out, all->children[c]->name, err));
  }
  const int64_t *columns = where ? tn_expr_columns(where, &used) : NULL;
  for (int64_t i = 0; i < used; i++)
    if (!taken[columns[i]]) TN_TRY(add_name(scan, out, all->children[columns[i]]->name, err));
  if (out->count == 0 && scan->file_columns > 0) /* something has to tell how many rows there are */
    return add_name(scan, out, all->children[0]->name, err);
  return TN_OK;
}

/* A name that two columns share cannot be asked for. */
static tn_status are_names_unique(const ArrowSchema *schema, bool *unique, tn_error *err) {
  tn_map names = {0};
  tn_status status = TN_OK;
  *unique = true;
  for (int64_t i = 0; i < schema->n_children && *unique && status == TN_OK; i++) {
    tn_str name = tn_str_of(schema->children[i]->name);
    *unique = !tn_map_get(&names, name, NULL);
    if (*unique) status = tn_map_put(&names, name, 0, err);
  }
  tn_map_clear(&names);
  return status;
}

/* ---- opening ---- */
static tn_status open_table(tn_scan *scan, tn_error *err) {
  tn_table_set_close(scan->set);
  scan->set = NULL;
  tn_schema_clear(&scan->input);
  TN_TRY(tn_table_set_open(&scan->set, scan->paths, scan->path_count, &scan->read, err));
  return tn_table_set_schema(scan->set, &scan->input, err);
}

/* Again, with only the columns needed.  What took a pass over all JSON is declared now. */
static tn_status reopen_narrow(tn_scan *scan, const needed *need, tn_error *err) {
  tn_table_read_options *read = &scan->read;
  read->columns = need->names;
  read->column_count = need->count;
  bool inferred = !read->declared && !read->schema && !read->schema_file && !read->jsonl.sample &&
                  !read->hive && scan->path_count == 1;
  if (inferred && tn_table_set_format(scan->set) == TN_TABLE_JSONL) read->declared = &scan->all;
  return open_table(scan, err);
}

/* Without the columns of the path, which are the last. */
static void view_file_schema(tn_scan *scan) {
  scan->file_schema = scan->all;
  scan->file_columns = scan->all.n_children - (scan->hive ? scan->hive->count : 0);
  scan->file_schema.n_children = scan->file_columns;
}

static tn_status new_predicate(tn_scan *scan, const tn_scan_options *o, tn_expr **out,
                               tn_error *err) {
  *out = NULL;
  if (!o->where) return TN_OK;
  return tn_expr_new_bound(out, tn_str_of(o->where), &scan->file_schema,
                           scan->hive ? &scan->bound : NULL, err);
}

static tn_status room_for_output(tn_scan *scan, int64_t count, tn_error *err) {
  scan->picked = tn_arena_alloc(&scan->arena, (size_t)count, sizeof *scan->picked);
  if (!scan->picked) return tn_fail_memory(err, "a scan", (size_t)count * sizeof *scan->picked);
  TN_TRY(tn_schema_init(&scan->schema, "+s", "", 0, err));
  TN_TRY(tn_schema_set_metadata(&scan->schema, scan->input.metadata, err));
  TN_TRY(tn_schema_add_children(&scan->schema, count, err));
  return tn_field_tree(&scan->input_fields, &scan->arena, &scan->input, err);
}

static tn_status put_output(tn_scan *scan, int64_t at, int64_t picked, tn_error *err) {
  int64_t of_file = scan->input.n_children;
  scan->picked[at] = picked;
  return tn_schema_copy(scan->schema.children[at],
                        picked < of_file ? scan->input.children[picked]
                                         : scan->path_schema.children[picked - of_file],
                        err);
}

static tn_status choose_output(tn_scan *scan, const needed *need, tn_error *err) {
  TN_TRY(room_for_output(scan, need->selected, err));
  for (int64_t i = 0; i < need->selected; i++) {
    int64_t c = need->select[i];
    int64_t picked = c < scan->file_columns
                         ? tn_schema_find(&scan->input, scan->all.children[c]->name)
                         : scan->input.n_children + c - scan->file_columns;
    TN_TRY(put_output(scan, i, picked, err));
  }
  return TN_OK;
}

/* Every column in the table's order, whatever their names; then those of the path. */
static tn_status choose_all(tn_scan *scan, tn_error *err) {
  int64_t of_path = scan->hive ? scan->hive->count : 0, count = scan->input.n_children + of_path;
  TN_TRY(room_for_output(scan, count, err));
  for (int64_t i = 0; i < count; i++) TN_TRY(put_output(scan, i, i, err));
  return TN_OK;
}

static bool every_column(const tn_scan_options *o) {
  return !o->no_columns && (!o->select || o->select_count == 0);
}

static tn_status open_text(tn_scan *scan, const tn_scan_options *o, tn_error *err) {
  needed need = {0};
  TN_TRY(open_table(scan, err));
  TN_TRY(tn_schema_copy(&scan->all, &scan->input, err));
  view_file_schema(scan);
  TN_TRY(new_predicate(scan, o, &scan->where, err));
  if (every_column(o)) return choose_all(scan, err);
  TN_TRY(need_columns(scan, o, scan->where, &need, err));
  bool narrow = need.count < scan->all.n_children && tn_table_set_bytes(scan->set) >= 0;
  if (narrow) TN_TRY(are_names_unique(&scan->all, &narrow, err));
  if (narrow) {
    TN_TRY(reopen_narrow(scan, &need, err));
    if (scan->where) TN_TRY(tn_expr_narrow(scan->where, &scan->input, err));
  }
  return choose_output(scan, &need, err);
}

/* ---- Parquet ---- */
static tn_status is_parquet(const char *path, const tn_scan_options *o, bool *out, tn_error *err) {
  tn_table_format format;
  *out = o->read.format && strcmp(o->read.format, "parquet") == 0;
  if (o->read.format) return TN_OK;
  TN_TRY(tn_table_format_of(path, &format, err));
  *out = format == TN_TABLE_PARQUET;
  return TN_OK;
}

/* Two passes, where the columns beside the predicate's are large enough for that. */
static tn_status open_late(tn_scan *scan, const tn_scan_options *o, const tn_expr *where,
                           const tn_parquet_read_options *read, tn_error *err) {
  int64_t used, all = scan->input.n_children;
  const int64_t *columns = tn_expr_columns(where, &used);
  const char **names = tn_arena_alloc(&scan->arena, (size_t)all * 2 + 1, sizeof *names);
  tn_parquet_read_options *kept = tn_arena_alloc(&scan->arena, 1, sizeof *kept);
  if (!names || !kept) return tn_fail_memory(err, "a scan", (size_t)all * 2 * sizeof *names);
  const char **where_names = names + all;
  *kept = *read;
  if (!kept->columns) {
    for (int64_t c = 0; c < all; c++) {
      names[c] = tn_arena_strndup(&scan->arena, scan->input.children[c]->name,
                                  strlen(scan->input.children[c]->name));
      if (!names[c]) return tn_fail_memory(err, "a column name", 1);
    }
    kept->columns = names;
    kept->column_count = (int32_t)all;
  }
  for (int64_t i = 0; i < used; i++) {
    const char *name = scan->input.children[columns[i]]->name;
    where_names[i] = tn_arena_strndup(&scan->arena, name, strlen(name));
    if (!where_names[i]) return tn_fail_memory(err, "a column name", strlen(name));
  }
  tn_scan_late_options late = {.where = o->where,
                               .where_columns = where_names,
                               .where_count = (int32_t)used,
                               .schema = &scan->file_schema,
                               .bound = scan->hive ? &scan->bound : NULL,
                               .read = kept};
  bool unique;
  TN_TRY(are_names_unique(&scan->input, &unique, err));
  if (!unique || !tn_scan_late_pays(scan->file, &late)) return TN_OK;
  return tn_scan_late_open(&scan->late, scan->file, &late, err);
}

/* Opens the stream of the columns needed, of the row groups and pages that can matter. */
static tn_status open_pruned(tn_scan *scan, const tn_scan_options *o, const needed *need,
                             const tn_expr *where, tn_error *err) {
  tn_parquet_read_options read = o->read.parquet;
  int64_t range_count = 0;
  read.batch_rows = o->read.batch_rows;
  if (!read.pool) read.pool = o->read.pool;
  read.columns = need->count ? need->names : NULL;
  read.column_count = need->count;
  if (where && !o->no_pruning) {
    TN_TRY(tn_prune_parquet(scan->file, where, read.columns, read.column_count, &scan->ranges,
                            &range_count, &scan->report.prune, err));
    read.ranges = scan->ranges;
    read.range_count = range_count;
    scan->nothing = range_count == 0;
  }
  if (scan->nothing) { /* the schema alone is wanted of the stream */
    static const tn_row_range none[1];
    read.ranges = none;
  }
  if (where && !scan->nothing && !o->no_pruning) TN_TRY(open_late(scan, o, where, &read, err));
  TN_TRY(tn_parquet_scan(scan->file, &read, &scan->parquet, err));
  tn_schema_clear(&scan->input);
  return tn_stream_schema(&scan->parquet, &scan->input, err);
}

/* The columns of the path, as a schema and a row. */
static tn_status open_path(tn_scan *scan, const tn_scan_options *o, tn_error *err) {
  if (!o->hive || o->hive->count == 0) return TN_OK;
  scan->hive = o->hive;
  scan->hive_file = o->hive_file;
  TN_TRY(tn_schema_init(&scan->path_schema, "+s", "", 0, err));
  TN_TRY(tn_hive_add_schema(scan->hive, &scan->path_schema, err));
  TN_TRY(tn_hive_add_schema(scan->hive, &scan->all, err));
  TN_TRY(tn_batch_new(&scan->path_row, NULL, 0, 1, err));
  scan->bound = (tn_expr_bound){&scan->path_schema, &scan->path_row};
  return tn_hive_add_batch(scan->hive, scan->hive_file, &scan->path_row, err);
}

static tn_status open_file(tn_scan *scan, const tn_scan_options *o, tn_error *err) {
  tn_parquet_open_options open = {o->read.parquet.keys, o->read.parquet.int96};
  tn_parquet_keys keys;
  tn_arena arena = {0}; /* of the keys, which opening takes what it needs of */
  TN_TRY(tn_table_parquet_int96(&open.int96, o->read.int96, err));
  tn_status status = TN_OK;
  if (o->read.key_file) {
    status = tn_table_parquet_keys(&keys, &arena, o->read.key_file, err);
    open.keys = &keys;
  }
  if (status == TN_OK) status = tn_source_open_file(&scan->source, scan->paths[0], err);
  if (status == TN_OK) status = tn_parquet_open_with(&scan->file, scan->source, &open, err);
  tn_arena_clear(&arena);
  return status;
}

static tn_status open_parquet(tn_scan *scan, const tn_scan_options *o, tn_error *err) {
  needed need = {0};
  if (scan->path_count != 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "Parquet files are scanned one by one, not %lld at once",
                   (long long)scan->path_count);
  TN_TRY(open_file(scan, o, err));
  TN_TRY(tn_parquet_schema(scan->file, &scan->input, err));
  TN_TRY(tn_schema_copy(&scan->all, &scan->input, err));
  TN_TRY(open_path(scan, o, err));
  view_file_schema(scan);
  TN_TRY(new_predicate(scan, o, &scan->where, err));
  bool every = every_column(o);
  if (!every) TN_TRY(need_columns(scan, o, scan->where, &need, err));
  TN_TRY(open_pruned(scan, o, &need, scan->where, err));
  if (scan->where) TN_TRY(tn_expr_narrow(scan->where, &scan->input, err));
  return every ? choose_all(scan, err) : choose_output(scan, &need, err);
}

static tn_status copy_paths(tn_scan *scan, const char *const *paths, int64_t count, tn_error *err) {
  scan->paths = tn_arena_alloc(&scan->arena, (size_t)count, sizeof *scan->paths);
  if (!scan->paths) return tn_fail_memory(err, "paths", (size_t)count * sizeof *scan->paths);
  scan->path_count = count;
  for (int64_t i = 0; i < count; i++) {
    scan->paths[i] = tn_arena_strndup(&scan->arena, paths[i], strlen(paths[i]));
    if (!scan->paths[i]) return tn_fail_memory(err, "a path", strlen(paths[i]));
  }
  return TN_OK;
}

tn_status tn_scan_open_many(tn_scan **out, const char *const *paths, int64_t count,
                            const tn_scan_options *options, tn_error *err) {
  static const tn_scan_options defaults;
  if (!options) options = &defaults;
  *out = NULL;
  if (count < 1) return tn_fail(err, TN_ERR_ARGUMENT, "a scan of no files");
  tn_scan *scan = tn_alloc(1, sizeof *scan);
  if (!scan) return tn_fail_memory(err, "a scan", sizeof *scan);
  scan->left = options->has_limit ? options->limit : INT64_MAX;
  scan->read = options->read;
  scan->read.columns = NULL;
  scan->read.column_count = 0;
  bool parquet;
  tn_status status = copy_paths(scan, paths, count, err);
  if (status == TN_OK) status = is_parquet(paths[0], options, &parquet, err);
  if (status == TN_OK)
    status = parquet ? open_parquet(scan, options, err) : open_text(scan, options, err);
  if (status != TN_OK) {
    tn_scan_close(scan);
    return status;
  }
  *out = scan;
  return TN_OK;
}

tn_status tn_scan_open(tn_scan **out, const char *path, const tn_scan_options *options,
                       tn_error *err) {
  return tn_scan_open_many(out, &path, 1, options, err);
}

void tn_scan_close(tn_scan *scan) {
  if (!scan) return;
  tn_table_set_close(scan->set);
  tn_scan_late_close(scan->late);
  tn_stream_clear(&scan->parquet);
  tn_parquet_close(scan->file);
  tn_free(scan->ranges);
  tn_expr_free(scan->where);
  tn_schema_clear(&scan->all);
  tn_schema_clear(&scan->path_schema);
  tn_array_clear(&scan->path_row);
  tn_schema_clear(&scan->input);
  tn_schema_clear(&scan->schema);
  tn_arena_clear(&scan->arena);
  tn_free(scan);
}

const ArrowSchema *tn_scan_schema(const tn_scan *scan) {
  return &scan->schema;
}

/* ---- batches ---- */
/* rows NULL: all rows, the columns move over and nothing is copied. */
static tn_status take_columns(const tn_scan *scan, ArrowArray *batch, const int64_t *rows,
                              int64_t count, ArrowArray *children, tn_error *err) {
  for (int64_t i = 0; i < scan->schema.n_children; i++) {
    int64_t c = scan->picked[i], of_path = c - scan->input.n_children;
    if (of_path >= 0) {
      TN_TRY(
          tn_hive_column(scan->hive, scan->hive_file, (int32_t)of_path, count, &children[i], err));
    } else if (rows) {
      TN_TRY(tn_array_gather(&children[i], &scan->input_fields->children[c], batch->children[c],
                             rows, count, err));
    } else {
      children[i] = *batch->children[c];
      batch->children[c]->release = NULL;
    }
  }
  return TN_OK;
}

/* The first rows of a batch, when there is no predicate to say which. */
static tn_status first_rows(tn_scan *scan, int64_t count, const int64_t **rows, tn_error *err) {
  int64_t *list = tn_arena_alloc(&scan->arena, (size_t)count, sizeof *list);
  if (!list) return tn_fail_memory(err, "selected rows", (size_t)count * sizeof *list);
  for (int64_t i = 0; i < count; i++) list[i] = i;
  *rows = list;
  return TN_OK;
}

/* rows NULL: all of them.  *out stays released when no row of the batch is wanted. */
static tn_status filter(tn_scan *scan, ArrowArray *batch, const int64_t *rows, int64_t count,
                        ArrowArray *out, tn_error *err) {
  int64_t columns = scan->schema.n_children;
  if (count > scan->left) count = scan->left;
  if (count == 0) return TN_OK;
  bool all = count == batch->length && batch->offset == 0;
  if (!all && !rows) TN_TRY(first_rows(scan, count, &rows, err));
  ArrowArray *children = tn_alloc((size_t)columns, sizeof *children);
  if (!children) return tn_fail_memory(err, "a batch", (size_t)columns * sizeof *children);
  tn_status status = take_columns(scan, batch, all ? NULL : rows, count, children, err);
  if (status == TN_OK) status = tn_batch_new(out, children, columns, count, err);
  for (int64_t i = 0; i < columns; i++) tn_array_clear(&children[i]);
  tn_free(children);
  scan->left -= count;
  scan->report.rows_selected += count;
  return status;
}

static tn_status read_batch(tn_scan *scan, ArrowArray *batch, const int64_t **rows, int64_t *count,
                            tn_error *err) {
  if (scan->late) {
    int64_t seen;
    tn_status status = tn_scan_late_next(scan->late, batch, rows, count, &seen, err);
    scan->report.rows_seen += seen;
    return status;
  }
  TN_TRY(scan->set ? tn_table_set_next(scan->set, batch, err)
                   : tn_stream_next(&scan->parquet, batch, err));
  scan->report.rows_seen += batch->length;
  *count = batch->length;
  return scan->where ? tn_expr_select(scan->where, batch, rows, count, err) : TN_OK;
}

static tn_status next_batch(tn_scan *scan, ArrowArray *out, tn_error *err) {
  bool never = scan->where && tn_expr_decided(scan->where) == 0;
  while (!out->release) {
    ArrowArray batch = {0};
    if (scan->left == 0 || never || scan->nothing) return TN_END;
    const int64_t *rows = NULL;
    int64_t count = 0;
    tn_status status = read_batch(scan, &batch, &rows, &count, err);
    if (status == TN_OK) status = filter(scan, &batch, rows, count, out, err);
    tn_array_clear(&batch);
    TN_TRY(status);
  }
  return TN_OK;
}

tn_status tn_scan_next(tn_scan *scan, ArrowArray *out, tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_status status = scan->failed.status;
  if (status == TN_OK) status = next_batch(scan, out, &scan->failed);
  if (status != TN_OK && status != TN_END && err) *err = scan->failed;
  return status;
}

void tn_scan_report_now(const tn_scan *scan, tn_scan_report *out) {
  *out = scan->report;
  out->bytes_file = scan->set ? tn_table_set_bytes(scan->set) : scan->source->size_bytes;
  out->bytes_read = scan->set ? tn_table_set_bytes_read(scan->set) : scan->source->bytes_read;
  const tn_bad_rows *bad = scan->set ? tn_table_set_bad(scan->set) : NULL;
  out->rows_skipped = bad ? bad->skipped : 0;
  out->values_nulled = bad ? bad->nulled : 0;
}

/* ---- as a stream ---- */
static tn_status stream_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &((tn_scan *)reader)->schema, err);
}
static tn_status stream_next(void *reader, ArrowArray *out, tn_error *err) {
  return tn_scan_next(reader, out, err);
}
static void stream_free(void *reader) {
  tn_scan_close(reader);
}

tn_status tn_scan_stream(ArrowArrayStream *out, tn_scan *scan, tn_error *err) {
  static const tn_reader_ops ops = {stream_schema, stream_next, stream_free};
  return tn_stream_new(out, &ops, scan, err);
}
