/* SPDX-License-Identifier: Apache-2.0 */
/* A scan: opened, and its batches delivered. */
#include <stdlib.h>

#include "columns/parquet/assembly.h"
#include "columns/parquet/scan.h"

enum { BATCH_ROWS = 65536, BATCH_ROWS_MAX = 1 << 24 };
enum { SPARE_BYTES = 4 * TN_PARQUET_THREAD_BYTES }; /* kept, a thread */
enum { RANDOM_WINDOW_BYTES = 256 << 10 };

/* A page limit that holds one value of 1 GiB. */
static const int64_t page_bytes_default = ((int64_t)1 << 30) + (1 << 20);

static void clear_lane(const tn_parquet_scan_state *s, tn_parquet_lane *lane) {
  for (int64_t c = 0; lane->columns && c < s->columns; c++) {
    tn_parquet_column_reader_clear(&lane->columns[c]);
  }
  tn_free(lane->columns);
  tn_free(lane->indexes);
  tn_arena_clear(&lane->arena);
}

static void scan_free(void *self) {
  tn_parquet_scan_state *s = self;
  if (!s) return;
  tn_parquet_scan_drop(s);
  for (int32_t l = 0; s->lanes && l < s->lane_count; l++) clear_lane(s, &s->lanes[l]);
  for (int32_t t = 0; s->codecs && t < s->threads; t++) tn_parquet_codecs_clear(&s->codecs[t]);
  for (int32_t r = 0; r < 2; r++) {
    tn_free(s->rounds[r].parts);
    tn_free(s->rounds[r].tasks);
    tn_free(s->rounds[r].pages);
    tn_free(s->rounds[r].pieces);
  }
  for (int64_t c = 0; s->interners && c < s->columns; c++) {
    tn_parquet_interner_clear(&s->interners[c]);
  }
  tn_free(s->interners);
  tn_free(s->codecs);
  tn_free(s->lanes);
  tn_free(s->order);
  tn_free(s->ranges);
  tn_parquet_spare_close(s->spare);
  tn_parquet_projection_clear(&s->projection);
  tn_arena_clear(&s->arena);
  if (s->owns_file) tn_parquet_close(s->file);
  tn_free(s);
}

/* What kept a column from giving this batch.  TN_FULL: it must be planned with fewer rows. */
static tn_status check_tasks(tn_parquet_scan_state *s, int64_t b, tn_error *err) {
  const tn_parquet_batch *batch = &s->current->batches[b];
  for (int64_t c = 0; c < s->columns; c++) {
    const tn_parquet_task *task = &s->current->tasks[batch->lane * s->columns + c];
    if (task->stopped_at > b || task->status == TN_FULL) continue;
    if (err) *err = task->error;
    return tn_error_context(err, task->status, "%s: row group %lld: column \"%s\"",
                            s->file->source->name, (long long)batch->group,
                            tn_parquet_scan_leaf(s, c)->name);
  }
  for (int64_t c = 0; c < s->columns; c++) {
    const tn_parquet_task *task = &s->current->tasks[batch->lane * s->columns + c];
    if (task->stopped_at <= b) return TN_FULL;
  }
  return TN_OK;
}

static tn_status assemble(tn_parquet_scan_state *s, const tn_parquet_batch *batch,
                          tn_parquet_part *parts, ArrowArray *out, tn_error *err) {
  const tn_parquet_node *root = &s->projection.root;
  ArrowArray *children = tn_alloc((size_t)root->child_count, sizeof *children);
  tn_status status = children ? TN_OK : tn_fail_memory(err, "a batch", sizeof *children);
  for (int64_t i = 0; i < root->child_count && status == TN_OK; i++) {
    const tn_parquet_node *node = &root->children[i];
    status = tn_parquet_assemble(node, parts, batch->rows, &children[i], err);
    if (status == TN_OK) continue;
    status = tn_error_context(err, status, "%s: row group %lld: column \"%s\"",
                              s->file->source->name, (long long)batch->group, node->name);
  }
  if (status == TN_OK) status = tn_batch_new(out, children, root->child_count, batch->rows, err);
  for (int64_t i = 0; children && i < root->child_count; i++) tn_array_clear(&children[i]);
  tn_free(children);
  return status;
}

/* The round ahead is begun with the second batch: many want the first alone. */
static tn_status scan_next(void *self, ArrowArray *out, tn_error *err) {
  tn_parquet_scan_state *s = self;
  for (;;) {
    tn_parquet_round *round = s->current;
    if (round->next == round->batch_count) {
      TN_TRY(tn_parquet_scan_advance(s, err));
      round = s->current;
    }
    if (s->has_given) tn_parquet_scan_look_ahead(s);
    int64_t b = round->next;
    tn_status status = check_tasks(s, b, err);
    if (status == TN_FULL) {
      TN_TRY(tn_parquet_scan_plan_smaller(s, b, err));
      continue;
    }
    TN_TRY(status);
    TN_TRY(assemble(s, &round->batches[b], &round->parts[b * s->columns], out, err));
    int64_t most = s->options.batch_rows;
    s->rows_cap = s->rows_cap > most / 2 ? most : s->rows_cap * 2;
    s->has_given = true;
    round->next++;
    return TN_OK;
  }
}

static tn_status scan_schema(void *self, ArrowSchema *out, tn_error *err) {
  tn_parquet_scan_state *s = self;
  return tn_schema_copy(out, &s->projection.schema, err);
}

static const tn_reader_ops scan_ops = {scan_schema, scan_next, scan_free};

/* ---- opening --------------------------------------------------------------------------------- */

/* Ranges as they are kept: within the file; one over all of it when none are given. */
static tn_status take_ranges(tn_parquet_scan_state *s, tn_error *err) {
  const tn_parquet_read_options *o = &s->options;
  int64_t count = o->ranges ? o->range_count : 1, behind = 0, rows = s->file->footer.rows;
  s->ranges = tn_alloc((size_t)count, sizeof *s->ranges);
  if (!s->ranges) return tn_fail_memory(err, "ranges", (size_t)count * sizeof *s->ranges);
  s->range_count = count;
  if (!o->ranges) {
    s->ranges[0] = (tn_row_range){0, rows};
    return TN_OK;
  }
  for (int64_t i = 0; i < count; i++) {
    const tn_row_range *r = &o->ranges[i];
    if (r->first_row < behind || r->rows < 0 || r->first_row > rows ||
        r->rows > rows - r->first_row) {
      return tn_fail(err, TN_ERR_ARGUMENT,
                     "%s: %lld rows from row %lld: ranges must be sorted, apart and within the "
                     "%lld rows",
                     s->file->source->name, (long long)r->rows, (long long)r->first_row,
                     (long long)rows);
    }
    s->ranges[i] = *r;
    behind = r->first_row + r->rows;
  }
  if (count > 0) s->row = s->ranges[0].first_row;
  return TN_OK;
}

static int compare_order(const void *a, const void *b) {
  const int64_t *x = a, *y = b; /* bytes, column */
  return x[0] != y[0] ? (x[0] < y[0] ? 1 : -1) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* The largest columns first: then all threads are done at about the same time. */
static tn_status order_columns(tn_parquet_scan_state *s, tn_error *err) {
  int64_t(*pairs)[2] = tn_alloc((size_t)s->columns, sizeof *pairs);
  s->order = tn_alloc((size_t)s->columns, sizeof *s->order);
  if (!pairs || !s->order) {
    tn_free(pairs);
    return tn_fail_memory(err, "a Parquet scan's columns", (size_t)s->columns * sizeof *pairs);
  }
  for (int64_t c = 0; c < s->columns; c++) {
    const tn_parquet_footer *footer = &s->file->footer;
    pairs[c][1] = c;
    if (footer->group_count) {
      pairs[c][0] = footer->groups[0].chunks[s->projection.leaves[c]].uncompressed_bytes;
    }
  }
  if (s->threads > 1) qsort(pairs, (size_t)s->columns, sizeof *pairs, compare_order);
  for (int64_t c = 0; c < s->columns; c++) s->order[c] = pairs[c][1];
  tn_free(pairs);
  return TN_OK;
}

static tn_status init_lane(tn_parquet_scan_state *s, tn_parquet_lane *lane, tn_error *err) {
  lane->group = -1;
  lane->columns = tn_alloc((size_t)s->columns, sizeof *lane->columns);
  if (!lane->columns) {
    return tn_fail_memory(err, "a Parquet scan's columns",
                          (size_t)s->columns * sizeof *lane->columns);
  }
  if (s->options.ranges) {
    lane->indexes = tn_alloc((size_t)s->columns, sizeof *lane->indexes);
    if (!lane->indexes) return tn_fail_memory(err, "page indexes", sizeof *lane->indexes);
  }
  for (int64_t c = 0; c < s->columns; c++) {
    tn_parquet_column_reader *column = &lane->columns[c];
    column->leaf = tn_parquet_scan_leaf(s, c);
    column->spare = s->spare;
    column->interner = &s->interners[c];
    column->pages.source = s->file->source;
    column->pages.spare = s->spare;
    column->pages.skip_crc = s->options.skip_crc;
    column->pages.page_bytes_max = s->options.page_bytes_max;
    if (s->options.ranges) column->pages.window_bytes = RANDOM_WINDOW_BYTES;
  }
  return TN_OK;
}

/* By the first row group. */
static int64_t find_text_column(const tn_parquet_scan_state *s) {
  int64_t best = -1, most = 0;
  for (int64_t c = 0; c < s->columns && s->file->footer.group_count > 0; c++) {
    const tn_parquet_leaf *leaf = tn_parquet_scan_leaf(s, c);
    const tn_parquet_chunk_meta *chunk = &s->file->footer.groups[0].chunks[s->projection.leaves[c]];
    bool lends = tn_parquet_slots_are_bytes(leaf) && tn_parquet_leaf_is_flat(leaf) &&
                 (chunk->encodings >> TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY & 1);
    if (!lends || chunk->uncompressed_bytes <= most) continue;
    most = chunk->uncompressed_bytes;
    best = c;
  }
  return best;
}

static tn_status make_tasks(tn_parquet_scan_state *s, tn_error *err) {
  size_t count = (size_t)(s->lane_count * s->columns);
  for (int32_t r = 0; r < (s->threads > 1 ? 2 : 1); r++) {
    s->rounds[r].tasks = tn_alloc(count, sizeof *s->rounds[r].tasks);
    if (!s->rounds[r].tasks) {
      return tn_fail_memory(err, "a Parquet scan", count * sizeof *s->rounds[r].tasks);
    }
  }
  return TN_OK;
}

static tn_status init_scan(tn_parquet_scan_state *s, tn_error *err) {
  const tn_parquet_read_options *o = &s->options;
  TN_TRY(tn_parquet_projection_new(&s->projection, s->file, o->columns, o->column_count,
                                   o->variant_json, &s->arena, err));
  s->columns = s->projection.leaf_count;
  TN_TRY(take_ranges(s, err));
  TN_TRY(order_columns(s, err));
  s->text_column = find_text_column(s);
  TN_TRY(tn_parquet_spare_open(&s->spare, (size_t)s->threads * SPARE_BYTES, err));
  s->lane_count = s->threads > 1 && !o->ranges ? 2 * s->threads : 1;
  s->codecs = tn_alloc((size_t)s->threads, sizeof *s->codecs);
  s->lanes = tn_alloc((size_t)s->lane_count, sizeof *s->lanes);
  s->interners = tn_alloc((size_t)s->columns, sizeof *s->interners);
  if (!s->codecs || !s->lanes || !s->interners) {
    return tn_fail_memory(err, "a Parquet scan", (size_t)s->columns * sizeof *s->interners);
  }
  TN_TRY(make_tasks(s, err));
  for (int32_t l = 0; l < s->lane_count; l++) TN_TRY(init_lane(s, &s->lanes[l], err));
  return TN_OK;
}

/* On failure the file stays the caller's. */
static tn_status open_scan(tn_parquet_file *file, const tn_parquet_read_options *options,
                           tn_parquet_scan_state **out, tn_error *err) {
  tn_parquet_read_options o = options ? *options : (tn_parquet_read_options){0};
  if (o.batch_rows == 0) o.batch_rows = BATCH_ROWS;
  if (o.page_bytes_max == 0) o.page_bytes_max = page_bytes_default;
  if (o.batch_rows < 0 || o.batch_rows > BATCH_ROWS_MAX || o.page_bytes_max < 0) {
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: batches of %lld rows; 1 to %d are possible",
                   file->source->name, (long long)o.batch_rows, BATCH_ROWS_MAX);
  }
  tn_parquet_scan_state *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a Parquet scan", sizeof *s);
  s->file = file;
  s->options = o;
  s->rows_are_asked_for = options && options->batch_rows > 0;
  s->rows_cap = o.batch_rows;
  s->pool = o.pool;
  s->threads = tn_pool_threads(o.pool);
  s->current = &s->rounds[0];
  s->ahead = &s->rounds[1];
  tn_status status = init_scan(s, err);
  if (status != TN_OK) {
    scan_free(s);
    return status;
  }
  *out = s;
  return TN_OK;
}

tn_status tn_parquet_scan(tn_parquet_file *file, const tn_parquet_read_options *options,
                          ArrowArrayStream *out, tn_error *err) {
  tn_parquet_scan_state *scan = NULL;
  TN_TRY(open_scan(file, options, &scan, err));
  return tn_stream_new(out, &scan_ops, scan, err);
}

tn_status tn_parquet_read(ArrowArrayStream *out, tn_source *source,
                          const tn_parquet_read_options *options, tn_error *err) {
  tn_parquet_file *file;
  tn_parquet_scan_state *scan = NULL;
  tn_parquet_open_options open = {0};
  if (options) open = (tn_parquet_open_options){options->keys, options->int96};
  TN_TRY(tn_parquet_open_with(&file, source, &open, err));
  tn_status status = open_scan(file, options, &scan, err);
  if (status != TN_OK) {
    tn_parquet_close(file);
    return status;
  }
  scan->owns_file = true;
  return tn_stream_new(out, &scan_ops, scan, err);
}
