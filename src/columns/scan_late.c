/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/scan_late.h"

#include "columns/parquet/file.h"

/* Nearer rows than this share a range: a page has to be decoded from its beginning anyway. */
enum { GAP_ROWS = 256, MANY_PERCENT = 40 };

/* Goes along ranges: the n-th row of them all is row ranges[range].first_row + at of the file. */
typedef struct cursor {
  const tn_row_range *ranges;
  int64_t count, range, at;
} cursor;

typedef struct row_list {
  int64_t *rows;
  int64_t count;
  size_t capacity;
} row_list;

struct tn_scan_late {
  tn_parquet_file *file;
  tn_scan_late_options options;
  tn_parquet_read_options read; /* of all columns */
  tn_expr *where;               /* over the predicate's columns */
  tn_expr *where_all;           /* over the columns of the batches, when they are read in one go */
  tn_row_range whole;           /* all rows, when there are no ranges */
  const tn_row_range *ranges;
  int64_t range_count, range; /* the next one */
  int64_t range_done;         /* rows of it already taken */
  int64_t group, group_end;   /* the row group looked at, the row behind it */
  tn_row_range *window;       /* parts of the ranges in that group */
  size_t window_capacity;
  int64_t window_count, window_rows;
  row_list wanted, relative; /* rows of the file; of the batch handed out */
  int64_t wanted_at;
  tn_row_range *near; /* ranges around the wanted rows */
  size_t near_capacity;
  int64_t near_count;
  cursor at;               /* of `stream` in near */
  ArrowArrayStream stream; /* of near, or of everything left */
  bool in_one_go;
};

/* ---- rows ---- */
static tn_status push_row(row_list *list, int64_t row, tn_error *err) {
  void *rows = list->rows;
  TN_TRY(tn_grow(&rows, &list->capacity, (size_t)list->count + 1, sizeof *list->rows, err));
  list->rows = rows;
  list->rows[list->count++] = row;
  return TN_OK;
}

static tn_status push_range(tn_row_range **ranges, size_t *capacity, int64_t *count, int64_t first,
                            int64_t rows, tn_error *err) {
  void *items = *ranges;
  TN_TRY(tn_grow(&items, capacity, (size_t)*count + 1, sizeof **ranges, err));
  *ranges = items;
  (*ranges)[(*count)++] = (tn_row_range){first, rows};
  return TN_OK;
}

/* The file's row `ahead` rows from where the cursor is; moves there. */
static int64_t move_to(cursor *c, int64_t ahead) {
  while (c->range < c->count && ahead >= c->ranges[c->range].rows - c->at) {
    ahead -= c->ranges[c->range].rows - c->at;
    c->range++;
    c->at = 0;
  }
  c->at += ahead;
  return c->range < c->count ? c->ranges[c->range].first_row + c->at : INT64_MAX;
}

/* ---- one row group ---- */
/* Cuts the next group's part out of the ranges; window_count 0: nothing is left. */
static tn_status next_window(tn_scan_late *l, tn_error *err) {
  const tn_parquet_footer *footer = &l->file->footer;
  l->window_count = l->window_rows = 0;
  while (l->window_count == 0 && l->range < l->range_count) {
    while (l->group < footer->group_count &&
           l->group_end <= l->ranges[l->range].first_row + l->range_done)
      l->group_end += footer->groups[l->group++].rows;
    while (l->range < l->range_count) {
      const tn_row_range *r = &l->ranges[l->range];
      int64_t first = r->first_row + l->range_done, left = r->rows - l->range_done;
      if (first >= l->group_end) break;
      int64_t rows = left < l->group_end - first ? left : l->group_end - first;
      if (rows > 0)
        TN_TRY(push_range(&l->window, &l->window_capacity, &l->window_count, first, rows, err));
      l->window_rows += rows;
      l->range_done += rows;
      if (l->range_done < r->rows) break;
      l->range++;
      l->range_done = 0;
    }
    if (l->group == footer->group_count && l->window_count == 0) break;
  }
  return TN_OK;
}

static tn_status evaluate_batch(tn_scan_late *l, const ArrowArray *batch, cursor *at,
                                tn_error *err) {
  const int64_t *rows;
  int64_t count, passed = 0;
  TN_TRY(tn_expr_select(l->where, batch, &rows, &count, err));
  for (int64_t i = 0; i < count; i++) {
    int64_t row = move_to(at, rows[i] - passed);
    passed = rows[i];
    TN_TRY(push_row(&l->wanted, row, err));
  }
  move_to(at, batch->length - passed);
  return TN_OK;
}

/* The predicate, for the batches of a stream. */
static tn_status new_predicate(const tn_scan_late *l, ArrowArrayStream *stream, tn_expr **out,
                               tn_error *err) {
  const tn_scan_late_options *o = &l->options;
  ArrowSchema schema = {0};
  tn_status status = tn_expr_new_bound(out, tn_str_of(o->where), o->schema, o->bound, err);
  if (status == TN_OK) status = tn_stream_schema(stream, &schema, err);
  if (status == TN_OK) status = tn_expr_narrow(*out, &schema, err);
  tn_schema_clear(&schema);
  return status;
}

static tn_status find_wanted(tn_scan_late *l, tn_error *err) {
  tn_parquet_read_options read = l->read;
  ArrowArrayStream stream;
  cursor at = {.ranges = l->window, .count = l->window_count};
  read.columns = l->options.where_columns;
  read.column_count = l->options.where_count;
  read.ranges = l->window;
  read.range_count = l->window_count;
  l->wanted.count = l->wanted_at = 0;
  TN_TRY(tn_parquet_scan(l->file, &read, &stream, err));
  tn_status status = TN_OK;
  if (!l->where) status = new_predicate(l, &stream, &l->where, err);
  while (status == TN_OK) {
    ArrowArray batch;
    status = tn_stream_next(&stream, &batch, err);
    if (status == TN_OK) status = evaluate_batch(l, &batch, &at, err);
    tn_array_clear(&batch);
  }
  tn_stream_clear(&stream);
  return status == TN_END ? TN_OK : status;
}

/* Ranges around the wanted rows, none of them outside the window. */
static tn_status make_near(tn_scan_late *l, tn_error *err) {
  l->near_count = 0;
  cursor at = {.ranges = l->window, .count = l->window_count};
  for (int64_t i = 0; i < l->wanted.count; i++) {
    int64_t row = l->wanted.rows[i];
    while (row >= at.ranges[at.range].first_row + at.ranges[at.range].rows) at.range++;
    tn_row_range *last = l->near_count ? &l->near[l->near_count - 1] : NULL;
    int64_t end = last ? last->first_row + last->rows : 0;
    if (last && row - end < GAP_ROWS && end > at.ranges[at.range].first_row)
      last->rows = row + 1 - last->first_row;
    else
      TN_TRY(push_range(&l->near, &l->near_capacity, &l->near_count, row, 1, err));
  }
  return TN_OK;
}

/* ---- reading ---- */
static tn_status open_near(tn_scan_late *l, tn_error *err) {
  tn_parquet_read_options read = l->read;
  TN_TRY(make_near(l, err));
  read.ranges = l->near;
  read.range_count = l->near_count;
  l->at = (cursor){.ranges = l->near, .count = l->near_count};
  return tn_parquet_scan(l->file, &read, &l->stream, err);
}

/* Everything that is left, with the predicate's columns among the others. */
static tn_status open_rest(tn_scan_late *l, tn_error *err) {
  tn_parquet_read_options read = l->read;
  l->near_count = 0;
  for (; l->range < l->range_count; l->range++, l->range_done = 0)
    TN_TRY(push_range(&l->near, &l->near_capacity, &l->near_count,
                      l->ranges[l->range].first_row + l->range_done,
                      l->ranges[l->range].rows - l->range_done, err));
  if (l->near_count == 0) return TN_END;
  read.ranges = l->near;
  read.range_count = l->near_count;
  TN_TRY(tn_parquet_scan(l->file, &read, &l->stream, err));
  return new_predicate(l, &l->stream, &l->where_all, err);
}

static tn_status next_group(tn_scan_late *l, int64_t *seen, tn_error *err) {
  for (;;) {
    if (l->in_one_go) return open_rest(l, err);
    TN_TRY(next_window(l, err));
    if (l->window_count == 0) return TN_END;
    TN_TRY(find_wanted(l, err));
    *seen += l->window_rows;
    l->in_one_go = l->wanted.count * 100 > l->window_rows * MANY_PERCENT;
    if (l->wanted.count > 0) return open_near(l, err);
  }
}

/* Which rows of a batch of `near` are wanted. */
static tn_status place_wanted(tn_scan_late *l, int64_t length, tn_error *err) {
  l->relative.count = 0;
  int64_t passed = 0;
  while (passed < length && l->wanted_at < l->wanted.count) {
    int64_t row = move_to(&l->at, 0), target = l->wanted.rows[l->wanted_at];
    const tn_row_range *range = &l->near[l->at.range];
    int64_t ahead = target < range->first_row + range->rows ? target - row : range->rows - l->at.at;
    if (ahead >= length - passed) break;
    if (ahead > 0) move_to(&l->at, ahead);
    passed += ahead;
    if (move_to(&l->at, 0) != target) continue; /* the next range */
    TN_TRY(push_row(&l->relative, passed, err));
    l->wanted_at++;
    move_to(&l->at, 1);
    passed++;
  }
  move_to(&l->at, length - passed);
  return TN_OK;
}

static tn_status rows_of_batch(tn_scan_late *l, const ArrowArray *batch, const int64_t **rows,
                               int64_t *count, int64_t *seen, tn_error *err) {
  if (l->where_all) {
    *seen += batch->length;
    return tn_expr_select(l->where_all, batch, rows, count, err);
  }
  TN_TRY(place_wanted(l, batch->length, err));
  *rows = l->relative.rows;
  *count = l->relative.count;
  return TN_OK;
}

tn_status tn_scan_late_next(tn_scan_late *l, ArrowArray *batch, const int64_t **rows,
                            int64_t *count, int64_t *seen, tn_error *err) {
  *seen = 0;
  for (;;) {
    if (!l->stream.release) TN_TRY(next_group(l, seen, err));
    tn_status status = tn_stream_next(&l->stream, batch, err);
    if (status == TN_OK) return rows_of_batch(l, batch, rows, count, seen, err);
    if (status != TN_END) return status;
    tn_stream_clear(&l->stream);
    if (l->where_all) return TN_END;
  }
}

/* ---- opening ---- */
static int64_t bytes_of(const tn_parquet_file *file, const char *const *names, int32_t count) {
  int64_t bytes = 0;
  for (int64_t g = 0; g < file->footer.group_count; g++) {
    const tn_parquet_group_meta *group = &file->footer.groups[g];
    for (int64_t c = 0; c < group->chunk_count; c++)
      for (int32_t i = 0; i < count && group->chunks[c].path_count > 0; i++)
        if (tn_str_is(group->chunks[c].path[0], names[i]))
          bytes += group->chunks[c].compressed_bytes;
  }
  return bytes;
}

bool tn_scan_late_pays(const tn_parquet_file *file, const tn_scan_late_options *o) {
  int64_t first = bytes_of(file, o->where_columns, o->where_count);
  int64_t all = bytes_of(file, o->read->columns, o->read->column_count);
  return o->where_count > 0 && all > 2 * first;
}

tn_status tn_scan_late_open(tn_scan_late **out, tn_parquet_file *file,
                            const tn_scan_late_options *options, tn_error *err) {
  *out = NULL;
  tn_scan_late *l = tn_alloc(1, sizeof *l);
  if (!l) return tn_fail_memory(err, "a scan", sizeof *l);
  l->file = file;
  l->options = *options;
  l->read = *options->read;
  l->whole = (tn_row_range){0, tn_parquet_rows(file)};
  l->ranges = l->read.ranges ? l->read.ranges : &l->whole;
  l->range_count = l->read.ranges ? l->read.range_count : 1;
  *out = l;
  return TN_OK;
}

void tn_scan_late_close(tn_scan_late *l) {
  if (!l) return;
  tn_stream_clear(&l->stream);
  tn_expr_free(l->where);
  tn_expr_free(l->where_all);
  tn_free(l->window);
  tn_free(l->near);
  tn_free(l->wanted.rows);
  tn_free(l->relative.rows);
  tn_free(l);
}
