/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/scan.h"

#include "columns/expr_tree.h"
#include "columns/gather.h"
#include "columns/parquet/parquet.h"
#include "columns/scan_late.h"
#include "columns/schema.h"

struct tn_scan {
  tn_table_set *set; /* every format but Parquet */
  tn_table_read_options read;
  const char *path;
  ArrowSchema all;          /* every column of the file */
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
  int64_t *picked; /* column of the input for each of ours */
  int64_t left;    /* rows until the limit */
  bool nothing;    /* pruning left no row */
  tn_scan_report report;
  tn_error failed; /* sticky */
};

/* ---- which columns ---- */
/* Names of what must be read: first the selected ones in their order, then those that only the
 * predicate wants. */
typedef struct needed {
  const char **names;
  int32_t count, selected;
} needed;

static tn_status add_name(tn_scan *scan, needed *out, const char *name, tn_error *err) {
  char *copy = tn_arena_strndup(&scan->arena, name, strlen(name));
  if (!copy) return tn_fail_memory(err, "a column name", strlen(name));
  out->names[out->count++] = copy;
  return TN_OK;
}

static tn_status need_columns(tn_scan *scan, const tn_scan_options *o, const ArrowSchema *all,
                              const tn_expr *where, needed *out, tn_error *err) {
  int64_t most = all->n_children, used = 0;
  bool *taken = tn_arena_alloc(&scan->arena, (size_t)most, 1);
  out->names = tn_arena_alloc(&scan->arena, (size_t)most, sizeof *out->names);
  if (!taken || !out->names) return tn_fail_memory(err, "a scan", (size_t)most * 9);
  bool every = !o->no_columns && (!o->select || o->select_count == 0);
  int64_t selected = every ? most : o->no_columns ? 0 : o->select_count;
  for (int64_t i = 0; i < selected; i++) {
    int64_t c = every ? i : tn_schema_find(all, o->select[i]);
    if (c < 0) return tn_schema_no_column(all, o->select[i], err);
    if (taken[c])
      return tn_fail(err, TN_ERR_ARGUMENT, "column \"%.60s\" is asked for twice",
                     all->children[c]->name);
    taken[c] = true;
    TN_TRY(add_name(scan, out, all->children[c]->name, err));
  }
  out->selected = out->count;
  const int64_t *columns = where ? tn_expr_columns(where, &used) : NULL;
  for (int64_t i = 0; i < used; i++)
    if (!taken[columns[i]]) TN_TRY(add_name(scan, out, all->children[columns[i]]->name, err));
  if (out->count == 0 && most > 0) /* something has to tell how many rows there are */
    return add_name(scan, out, all->children[0]->name, err);
  return TN_OK;
}

/* A name that two columns share cannot be asked for. */
static bool names_are_unique(const ArrowSchema *schema) {
  for (int64_t i = 0; i < schema->n_children; i++)
    if (tn_schema_find(schema, schema->children[i]->name) != i) return false;
  return true;
}

/* ---- opening ---- */
static tn_status open_table(tn_scan *scan, tn_error *err) {
  tn_table_set_close(scan->set);
  scan->set = NULL;
  tn_schema_clear(&scan->input);
  TN_TRY(tn_table_set_open(&scan->set, &scan->path, 1, &scan->read, err));
  return tn_table_set_schema(scan->set, &scan->input, err);
}

/* Again, with only the columns needed.  What took a pass over all JSON is declared now. */
static tn_status reopen_narrow(tn_scan *scan, const needed *need, tn_error *err) {
  tn_table_read_options *read = &scan->read;
  read->columns = need->names;
  read->column_count = need->count;
  bool inferred = !read->declared && !read->schema && !read->schema_file && !read->jsonl.sample;
  if (inferred && tn_table_set_format(scan->set) == TN_TABLE_JSONL) read->declared = &scan->all;
  return open_table(scan, err);
}

static tn_status new_predicate(tn_scan *scan, const tn_scan_options *o, tn_expr **out,
                               tn_error *err) {
  *out = NULL;
  if (!o->where) return TN_OK;
  return tn_expr_new(out, tn_str_of(o->where), &scan->input, err);
}

static tn_status choose_output(tn_scan *scan, const needed *need, tn_error *err) {
  int64_t count = need->selected;
  scan->picked = tn_arena_alloc(&scan->arena, (size_t)count, sizeof *scan->picked);
  if (!scan->picked) return tn_fail_memory(err, "a scan", (size_t)count * sizeof *scan->picked);
  TN_TRY(tn_schema_init(&scan->schema, "+s", "", 0, err));
  TN_TRY(tn_schema_set_metadata(&scan->schema, scan->input.metadata, err));
  TN_TRY(tn_schema_add_children(&scan->schema, count, err));
  for (int64_t i = 0; i < count; i++) {
    scan->picked[i] = tn_schema_find(&scan->input, need->names[i]);
    TN_TRY(tn_schema_copy(scan->schema.children[i], scan->input.children[scan->picked[i]], err));
  }
  return tn_field_tree(&scan->input_fields, &scan->arena, &scan->input, err);
}

/* Every column in the table's order, whatever their names. */
static tn_status choose_all(tn_scan *scan, tn_error *err) {
  int64_t count = scan->input.n_children;
  scan->picked = tn_arena_alloc(&scan->arena, (size_t)count, sizeof *scan->picked);
  if (!scan->picked) return tn_fail_memory(err, "a scan", (size_t)count * sizeof *scan->picked);
  for (int64_t i = 0; i < count; i++) scan->picked[i] = i;
  TN_TRY(tn_schema_copy(&scan->schema, &scan->input, err));
  return tn_field_tree(&scan->input_fields, &scan->arena, &scan->input, err);
}

static bool every_column(const tn_scan_options *o) {
  return !o->no_columns && (!o->select || o->select_count == 0);
}

static tn_status open_text(tn_scan *scan, const tn_scan_options *o, tn_error *err) {
  needed need = {0};
  TN_TRY(open_table(scan, err));
  TN_TRY(tn_schema_copy(&scan->all, &scan->input, err));
  TN_TRY(new_predicate(scan, o, &scan->where, err));
  if (every_column(o)) return choose_all(scan, err);
  TN_TRY(need_columns(scan, o, &scan->all, scan->where, &need, err));
  if (need.count < scan->all.n_children && tn_table_set_bytes(scan->set) >= 0 &&
      names_are_unique(&scan->all)) {
    tn_expr_free(scan->where);
    scan->where = NULL;
    TN_TRY(reopen_narrow(scan, &need, err));
    TN_TRY(new_predicate(scan, o, &scan->where, err));
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
  tn_scan_late_options late = {
      .where = o->where, .where_columns = where_names, .where_count = (int32_t)used, .read = kept};
  if (!names_are_unique(&scan->input) || !tn_scan_late_pays(scan->file, &late)) return TN_OK;
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

static tn_status open_parquet(tn_scan *scan, const tn_scan_options *o, tn_error *err) {
  tn_expr *where = NULL;
  needed need = {0};
  const tn_parquet_keys *keys = o->read.parquet.keys;
  TN_TRY(tn_source_open_file(&scan->source, scan->path, err));
  TN_TRY(keys ? tn_parquet_open_keys(&scan->file, scan->source, keys, err)
              : tn_parquet_open(&scan->file, scan->source, err));
  TN_TRY(tn_parquet_schema(scan->file, &scan->input, err));
  TN_TRY(tn_schema_copy(&scan->all, &scan->input, err));
  TN_TRY(new_predicate(scan, o, &where, err));
  bool every = every_column(o);
  tn_status status = every ? TN_OK : need_columns(scan, o, &scan->all, where, &need, err);
  if (status == TN_OK) status = open_pruned(scan, o, &need, where, err);
  tn_expr_free(where);
  TN_TRY(status);
  TN_TRY(new_predicate(scan, o, &scan->where, err));
  return every ? choose_all(scan, err) : choose_output(scan, &need, err);
}

tn_status tn_scan_open(tn_scan **out, const char *path, const tn_scan_options *options,
                       tn_error *err) {
  static const tn_scan_options defaults;
  if (!options) options = &defaults;
  *out = NULL;
  tn_scan *scan = tn_alloc(1, sizeof *scan);
  if (!scan) return tn_fail_memory(err, "a scan", sizeof *scan);
  scan->left = options->has_limit ? options->limit : INT64_MAX;
  scan->read = options->read;
  scan->read.columns = NULL;
  scan->read.column_count = 0;
  scan->path = tn_arena_strndup(&scan->arena, path, strlen(path));
  if (!scan->path) {
    tn_scan_close(scan);
    return tn_fail_memory(err, "a path", strlen(path));
  }
  bool parquet;
  tn_status status = is_parquet(path, options, &parquet, err);
  if (status == TN_OK)
    status = parquet ? open_parquet(scan, options, err) : open_text(scan, options, err);
  if (status != TN_OK) {
    tn_scan_close(scan);
    return status;
  }
  *out = scan;
  return TN_OK;
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
  tn_schema_clear(&scan->input);
  tn_schema_clear(&scan->schema);
  tn_arena_clear(&scan->arena);
  tn_free(scan);
}

const ArrowSchema *tn_scan_schema(const tn_scan *scan) {
  return &scan->schema;
}

/* ---- batches ---- */
/* All rows: the columns move over, nothing is copied. */
static void move_columns(const tn_scan *scan, ArrowArray *batch, ArrowArray *children) {
  for (int64_t i = 0; i < scan->schema.n_children; i++) {
    ArrowArray *from = batch->children[scan->picked[i]];
    children[i] = *from;
    from->release = NULL;
  }
}

static tn_status gather_columns(const tn_scan *scan, const ArrowArray *batch, const int64_t *rows,
                                int64_t count, ArrowArray *children, tn_error *err) {
  for (int64_t i = 0; i < scan->schema.n_children; i++) {
    int64_t c = scan->picked[i];
    TN_TRY(tn_array_gather(&children[i], &scan->input_fields->children[c], batch->children[c], rows,
                           count, err));
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
  tn_status status = TN_OK;
  if (all)
    move_columns(scan, batch, children);
  else
    status = gather_columns(scan, batch, rows, count, children, err);
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
