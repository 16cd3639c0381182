/* SPDX-License-Identifier: Apache-2.0 */
/* A scan: rounds of batches, decoded column by column, in parallel where a pool is given. */
#include <stdlib.h>

#include "columns/parquet/assembly.h"
#include "columns/parquet/file.h"
#include "columns/parquet/projection.h"

enum { BATCH_ROWS = 65536, BATCH_ROWS_MAX = 1 << 24 };
enum {
  BATCH_ROWS_CACHED = 8192,
  CACHE_BYTES = 1 << 20
}; /* what is delivered soon is still there */
enum { BATCH_BYTES = 32 << 20, THREAD_BYTES = 8 << 20, ROUND_BATCHES_MAX = 256 };
enum { SPARE_BYTES = 4 * THREAD_BYTES }; /* kept, a thread */
enum { AHEAD_BYTES = THREAD_BYTES };     /* of one column's pages, a thread */
enum { CHUNKS_FOR_THREADS = 256 };       /* fewer are looked at before other threads wake up */
enum { RANDOM_WINDOW_BYTES = 256 << 10 };

/* A page limit that holds one value of 1 GiB. */
static const int64_t page_bytes_default = ((int64_t)1 << 30) + (1 << 20);

typedef struct scan_piece { /* rows next to each other, in one row group */
  int64_t row, rows;
} scan_piece;

typedef struct scan_batch { /* of the round: planned, then decoded */
  int64_t group, rows;
  size_t piece, piece_count;
  int32_t lane;
} scan_batch;

/* Readers of one row group's columns.  A round uses several when row groups are small. */
typedef struct scan_lane {
  int64_t group; /* -1: none yet */
  tn_parquet_column_reader *columns;
  tn_parquet_offset_index *indexes; /* when ranges are read */
  tn_arena arena;                   /* of those */
} scan_lane;

typedef struct scan_page { /* a page ahead, of a column in the round */
  tn_parquet_pages *pages;
  int32_t at;
} scan_page;

typedef struct scan_task { /* one column of one lane in the round */
  tn_status status;        /* of the batch at which it stopped */
  int64_t stopped_at;
  tn_error error;
} scan_task;

typedef struct parquet_scan {
  tn_parquet_file *file;
  bool owns_file;
  tn_arena arena;
  tn_parquet_projection projection;
  tn_parquet_read_options options;
  tn_pool *pool;
  int32_t threads;
  tn_parquet_codecs *codecs; /* one a thread */
  tn_parquet_spare *spare;
  int64_t columns;
  int64_t *order; /* columns, those with the most bytes first */
  scan_lane *lanes;
  int32_t lane_count, lanes_used;
  /* The plan: rows not yet in a batch begin at row `row` of range `range`, or of the file. */
  tn_row_range *ranges;
  int64_t range_count, range;
  int64_t row, group, group_first; /* group: the row group that holds `row`, which begins there */
  bool rows_are_asked_for;         /* of a batch, by the caller */
  int64_t rows_cap;                /* rows of a batch, fewer after one was too large */
  /* The round. */
  scan_piece *pieces;
  size_t piece_count, piece_capacity;
  scan_batch batches[ROUND_BATCHES_MAX];
  int64_t batch_count, next;
  tn_parquet_part *parts; /* batch after batch, `columns` each */
  size_t part_capacity;
  scan_task *tasks; /* lane after lane, `columns` each */
  scan_page *pages; /* to load, on several threads */
  size_t page_count, page_capacity;
} parquet_scan;

static void drop_round(parquet_scan *s) {
  for (int64_t i = 0; i < s->batch_count * s->columns; i++) tn_parquet_part_clear(&s->parts[i]);
  s->batch_count = s->next = 0;
  s->piece_count = 0;
}

static void scan_free(void *self) {
  parquet_scan *s = self;
  if (!s) return;
  drop_round(s);
  for (int32_t l = 0; s->lanes && l < s->lane_count; l++) {
    for (int64_t c = 0; s->lanes[l].columns && c < s->columns; c++) {
      tn_parquet_column_reader_clear(&s->lanes[l].columns[c]);
    }
    tn_free(s->lanes[l].columns);
    tn_free(s->lanes[l].indexes);
    tn_arena_clear(&s->lanes[l].arena);
  }
  for (int32_t t = 0; s->codecs && t < s->threads; t++) tn_parquet_codecs_clear(&s->codecs[t]);
  tn_free(s->codecs);
  tn_free(s->lanes);
  tn_free(s->parts);
  tn_free(s->tasks);
  tn_free(s->pages);
  tn_free(s->pieces);
  tn_free(s->order);
  tn_free(s->ranges);
  tn_parquet_spare_close(s->spare);
  tn_parquet_projection_clear(&s->projection);
  tn_arena_clear(&s->arena);
  if (s->owns_file) tn_parquet_close(s->file);
  tn_free(s);
}

/* ---- one column of one batch ----------------------------------------------------------------- */

static const tn_parquet_leaf *leaf_of(const parquet_scan *s, int64_t column) {
  return &s->file->leaves[s->projection.leaves[column]];
}

/* The chunk's pages, held against the file's size.  Some writers give 0 for "no dictionary". */
static tn_status chunk_span(const tn_parquet_file *file, const tn_parquet_chunk_meta *chunk,
                            int64_t *at, int64_t *end, tn_error *err) {
  int64_t start = chunk->data_offset;
  if (chunk->dictionary_offset > 0 && chunk->dictionary_offset < start) {
    start = chunk->dictionary_offset;
  }
  if (start < 4 || start > file->data_end || chunk->compressed_bytes > file->data_end - start) {
    return tn_fail(err, TN_ERR_DATA,
                   "pages of %lld bytes at byte %lld, but the file's data end at byte %lld",
                   (long long)chunk->compressed_bytes, (long long)start, (long long)file->data_end);
  }
  *at = start;
  *end = start + chunk->compressed_bytes;
  return TN_OK;
}

static tn_status start_cipher(const parquet_scan *s, int64_t group, int64_t c,
                              tn_parquet_column_reader *column, tn_error *err) {
  const tn_parquet_footer *footer = &s->file->footer;
  const tn_parquet_chunk_meta *chunk = &footer->groups[group].chunks[s->projection.leaves[c]];
  tn_parquet_pages *pages = &column->pages;
  tn_parquet_cipher_clear(&pages->cipher);
  if (chunk->encryption == TN_PARQUET_PLAINTEXT) return TN_OK;
  bool dictionary = chunk->dictionary_offset > 0 && chunk->dictionary_offset < chunk->data_offset;
  pages->ordinal = dictionary ? -1 : 0;
  return tn_parquet_cipher_start(&pages->cipher, s->file->crypt,
                                 tn_parquet_group_ordinal(footer, group), s->projection.leaves[c],
                                 err);
}

static tn_status start_column(parquet_scan *s, scan_lane *lane, int64_t c, tn_error *err) {
  const tn_parquet_group_meta *group = &s->file->footer.groups[lane->group];
  const tn_parquet_chunk_meta *chunk = &group->chunks[s->projection.leaves[c]];
  tn_parquet_column_reader *column = &lane->columns[c];
  int64_t at = 0, end = 0;
  TN_TRY(start_cipher(s, lane->group, c, column, err));
  if (chunk->elsewhere) return tn_fail(err, TN_ERR_UNSUPPORTED, "its data are in another file");
  if (chunk->physical != column->leaf->element->physical) {
    return tn_fail(err, TN_ERR_DATA, "the column chunk is of type number %d, the schema says %s",
                   chunk->physical, tn_parquet_physical_name(column->leaf->element->physical));
  }
  TN_TRY(chunk_span(s->file, chunk, &at, &end, err));
  const tn_parquet_offset_index *index = s->options.ranges ? &lane->indexes[c] : NULL;
  return tn_parquet_column_reader_start(column, chunk, group->rows, at, end, index, err);
}

static tn_status read_batch_column(parquet_scan *s, scan_lane *lane, int64_t c,
                                   const scan_batch *batch, tn_parquet_part *part, tn_error *err) {
  tn_parquet_column_reader *column = &lane->columns[c];
  for (size_t i = 0; i < batch->piece_count; i++) {
    const scan_piece *piece = &s->pieces[batch->piece + i];
    TN_TRY(tn_parquet_column_reader_seek(column, piece->row, piece->rows, err));
    TN_TRY(tn_parquet_column_reader_read(column, piece->rows, part, err));
  }
  return TN_OK;
}

static void run_task(void *context, int64_t item, int32_t worker) {
  parquet_scan *s = context;
  int32_t l = (int32_t)(item % s->lanes_used);
  int64_t c = s->order[item / s->lanes_used];
  scan_lane *lane = &s->lanes[l];
  scan_task *task = &s->tasks[l * s->columns + c];
  task->status = TN_OK;
  task->stopped_at = INT64_MAX;
  lane->columns[c].pages.codecs = &s->codecs[worker];
  for (int64_t b = 0; b < s->batch_count && task->status == TN_OK; b++) {
    const scan_batch *batch = &s->batches[b];
    if (batch->lane != l) continue;
    task->stopped_at = b;
    if (lane->columns[c].rows < 0) task->status = start_column(s, lane, c, &task->error);
    if (task->status == TN_OK) {
      tn_parquet_part *part = &s->parts[b * s->columns + c];
      task->status = read_batch_column(s, lane, c, batch, part, &task->error);
    }
  }
  if (task->status == TN_OK) task->stopped_at = INT64_MAX;
}

/* ---- pages ahead: one column may be most of a file, so threads share its pages too -------------
 */

static void find_pages(void *context, int64_t item, int32_t worker) {
  parquet_scan *s = context;
  int32_t l = (int32_t)(item % s->lanes_used);
  int64_t c = item / s->lanes_used, rows = 0;
  scan_lane *lane = &s->lanes[l];
  for (int64_t b = 0; b < s->batch_count; b++) {
    if (s->batches[b].lane == l) rows += s->batches[b].rows;
  }
  if (lane->columns[c].rows < 0 && start_column(s, lane, c, NULL) != TN_OK) return; /* said later */
  tn_parquet_column_reader_look_ahead(&lane->columns[c], rows, (size_t)s->threads * AHEAD_BYTES);
}

static void load_page(void *context, int64_t item, int32_t worker) {
  parquet_scan *s = context;
  scan_page *page = &s->pages[item];
  tn_parquet_pages_load_ahead(page->pages, page->at, &s->codecs[worker]);
}

/* A page that finds no room here is loaded by whoever reads it. */
static void list_pages(parquet_scan *s, tn_parquet_pages *pages) {
  for (int32_t i = pages->ahead_at; i < pages->ahead_count; i++) {
    if (pages->ahead[i].loaded) continue;
    size_t count = s->page_count + 1;
    if (tn_grow((void **)&s->pages, &s->page_capacity, count, sizeof *s->pages, NULL) != TN_OK)
      return;
    s->pages[s->page_count++] = (scan_page){pages, i};
  }
}

static void load_pages(parquet_scan *s) {
  if (s->threads == 1 || s->options.ranges) return;
  int64_t chunks = s->columns * s->lanes_used;
  tn_pool_run(chunks < CHUNKS_FOR_THREADS ? NULL : s->pool, chunks, find_pages, s);
  s->page_count = 0;
  for (int64_t i = 0; i < s->columns; i++) {
    for (int32_t l = 0; l < s->lanes_used; l++)
      list_pages(s, &s->lanes[l].columns[s->order[i]].pages);
  }
  if (s->page_count > 1) tn_pool_run(s->pool, (int64_t)s->page_count, load_page, s);
}

/* ---- planning a round ------------------------------------------------------------------------ */

static tn_status load_indexes(parquet_scan *s, scan_lane *lane, tn_error *err) {
  tn_arena_reset(&lane->arena);
  for (int64_t c = 0; c < s->columns; c++) {
    lane->indexes[c] = (tn_parquet_offset_index){0};
    tn_status status = tn_parquet_offset_index_get(&lane->indexes[c], s->file, lane->group,
                                                   s->projection.leaves[c], &lane->arena, err);
    if (status == TN_END) lane->indexes[c] = (tn_parquet_offset_index){0};
    if (status != TN_OK && status != TN_END) return status;
  }
  return TN_OK;
}

/* Readers of the group's columns start when their first task runs. */
static tn_status open_lane(parquet_scan *s, scan_lane *lane, int64_t group, tn_error *err) {
  lane->group = group;
  for (int64_t c = 0; c < s->columns; c++) lane->columns[c].rows = -1;
  return s->options.ranges ? load_indexes(s, lane, err) : TN_OK;
}

/* The lane of a batch's group; a new one in this round when none has it.  -1: no lane is left. */
static tn_status find_lane(parquet_scan *s, int64_t group, int32_t *out, tn_error *err) {
  *out = -1;
  for (int32_t l = 0; l < s->lane_count; l++) {
    if (s->lanes[l].group != group) continue;
    if (l >= s->lanes_used) { /* of the round before: it moves to the front */
      scan_lane lane = s->lanes[l];
      s->lanes[l] = s->lanes[s->lanes_used];
      s->lanes[s->lanes_used] = lane;
      l = s->lanes_used++;
    }
    *out = l;
    return TN_OK;
  }
  if (s->lanes_used == s->lane_count) return TN_OK;
  *out = s->lanes_used++;
  return open_lane(s, &s->lanes[*out], group, err);
}

/* Decoded bytes of a row, roughly: encodings make less of it in the file. */
static int64_t row_bytes(const parquet_scan *s, int64_t group) {
  const tn_parquet_group_meta *g = &s->file->footer.groups[group];
  double bytes = 1;
  for (int64_t c = 0; c < s->columns; c++) {
    const tn_parquet_chunk_meta *chunk = &g->chunks[s->projection.leaves[c]];
    int32_t levels = tn_parquet_leaf_is_flat(leaf_of(s, c)) ? 0 : 2;
    bytes += (double)chunk->uncompressed_bytes +
             (double)(leaf_of(s, c)->width + levels) * (double)chunk->values;
  }
  bytes /= (double)(g->rows ? g->rows : 1);
  return bytes < 1e15 ? (int64_t)bytes + 1 : (int64_t)1e15;
}

/* Moves the plan to the row group that holds its next row.  TN_END: no row is left. */
static tn_status find_rows(parquet_scan *s) {
  const tn_parquet_footer *footer = &s->file->footer;
  while (s->range < s->range_count &&
         s->row >= s->ranges[s->range].first_row + s->ranges[s->range].rows) {
    if (++s->range < s->range_count) s->row = s->ranges[s->range].first_row;
  }
  if (s->range == s->range_count) return TN_END;
  while (s->group < footer->group_count &&
         s->row - s->group_first >= footer->groups[s->group].rows) {
    s->group_first += footer->groups[s->group++].rows;
  }
  return s->group < footer->group_count ? TN_OK : TN_END;
}

static tn_status add_piece(parquet_scan *s, int64_t row, int64_t rows, tn_error *err) {
  TN_TRY(
      tn_grow((void **)&s->pieces, &s->piece_capacity, s->piece_count + 1, sizeof *s->pieces, err));
  s->pieces[s->piece_count++] = (scan_piece){row, rows};
  return TN_OK;
}

/* As many rows as the caller asked for, or as lie in the cache, unless they are huge. */
static int64_t batch_rows_of(const parquet_scan *s, int64_t group) {
  int64_t each = row_bytes(s, group), most = BATCH_BYTES / each, cached = CACHE_BYTES / each;
  if (cached < BATCH_ROWS_CACHED) cached = BATCH_ROWS_CACHED;
  if (!s->rows_are_asked_for && cached < most) most = cached;
  return most > 1 ? most : 1;
}

/* The next batch: rows of one row group, from one range or several. */
static tn_status plan_batch(parquet_scan *s, scan_batch *batch, tn_error *err) {
  int64_t group_rows = s->file->footer.groups[s->group].rows, group = s->group;
  int64_t most = batch_rows_of(s, group);
  if (most > s->rows_cap) most = s->rows_cap;
  *batch = (scan_batch){.group = group, .piece = s->piece_count};
  while (batch->rows < most && find_rows(s) == TN_OK && s->group == group) {
    const tn_row_range *range = &s->ranges[s->range];
    int64_t rows = range->first_row + range->rows - s->row, at = s->row - s->group_first;
    if (rows > group_rows - at) rows = group_rows - at;
    if (rows > most - batch->rows) rows = most - batch->rows;
    TN_TRY(add_piece(s, at, rows, err));
    batch->piece_count++;
    batch->rows += rows;
    s->row += rows;
  }
  return TN_OK;
}

/* Without other threads a round is one batch; else what keeps each busy for a while: threads meet
 * twice a round.  Its bytes are in memory at once. */
static tn_status plan_round(parquet_scan *s, tn_error *err) {
  int64_t bytes = 0, batches_max = s->threads > 1 ? ROUND_BATCHES_MAX : 1;
  s->lanes_used = 0;
  while (s->batch_count < batches_max && find_rows(s) == TN_OK) {
    int64_t each = row_bytes(s, s->group);
    if (s->batch_count > 0 &&
        bytes + each * batch_rows_of(s, s->group) > s->threads * (int64_t)THREAD_BYTES)
      break;
    scan_batch *batch = &s->batches[s->batch_count];
    int32_t lane;
    TN_TRY(find_lane(s, s->group, &lane, err));
    if (lane < 0) break;
    TN_TRY(plan_batch(s, batch, err));
    batch->lane = lane;
    bytes += each * batch->rows;
    s->batch_count++;
  }
  return s->batch_count ? TN_OK : TN_END;
}

static tn_status run_round(parquet_scan *s, tn_error *err) {
  drop_round(s);
  TN_TRY(plan_round(s, err));
  size_t parts = (size_t)(s->batch_count * s->columns);
  tn_status status = tn_grow((void **)&s->parts, &s->part_capacity, parts, sizeof *s->parts, err);
  if (status != TN_OK) {
    s->batch_count = 0;
    return status;
  }
  memset(s->parts, 0, parts * sizeof *s->parts);
  load_pages(s);
  tn_pool_run(s->pool, s->columns * s->lanes_used, run_task, s);
  return TN_OK;
}

/* ---- delivering batches ---------------------------------------------------------------------- */

/* Plans again from a batch on that was too large, with fewer rows. */
static tn_status plan_smaller(parquet_scan *s, const scan_batch *batch, tn_error *err) {
  int64_t first = 0, row;
  if (batch->rows == 1) {
    return tn_fail(err, TN_ERR_LIMIT,
                   "%s: a row has more than 2 GiB, or 2^28 values, of one column",
                   s->file->source->name);
  }
  s->rows_cap = batch->rows / 2;
  for (int64_t g = 0; g < batch->group; g++) first += s->file->footer.groups[g].rows;
  row = first + s->pieces[batch->piece].row;
  s->group = batch->group;
  s->group_first = first;
  s->row = row;
  s->range = 0;
  while (row >= s->ranges[s->range].first_row + s->ranges[s->range].rows) s->range++;
  for (int32_t l = 0; l < s->lane_count; l++) s->lanes[l].group = -1;
  drop_round(s);
  return TN_OK;
}

/* What kept a column from giving this batch.  TN_FULL: it must be planned with fewer rows. */
static tn_status check_tasks(parquet_scan *s, int64_t b, tn_error *err) {
  const scan_batch *batch = &s->batches[b];
  for (int64_t c = 0; c < s->columns; c++) {
    const scan_task *task = &s->tasks[batch->lane * s->columns + c];
    if (task->stopped_at > b || task->status == TN_FULL) continue;
    if (err) *err = task->error;
    return tn_error_context(err, task->status, "%s: row group %lld: column \"%s\"",
                            s->file->source->name, (long long)batch->group, leaf_of(s, c)->name);
  }
  for (int64_t c = 0; c < s->columns; c++) {
    const scan_task *task = &s->tasks[batch->lane * s->columns + c];
    if (task->stopped_at <= b) return TN_FULL;
  }
  return TN_OK;
}

static tn_status assemble(parquet_scan *s, const scan_batch *batch, tn_parquet_part *parts,
                          ArrowArray *out, tn_error *err) {
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

static tn_status scan_next(void *self, ArrowArray *out, tn_error *err) {
  parquet_scan *s = self;
  for (;;) {
    if (s->next == s->batch_count) TN_TRY(run_round(s, err));
    const scan_batch *batch = &s->batches[s->next];
    tn_status status = check_tasks(s, s->next, err);
    if (status == TN_FULL) {
      TN_TRY(plan_smaller(s, batch, err));
      continue;
    }
    TN_TRY(status);
    TN_TRY(assemble(s, batch, &s->parts[s->next * s->columns], out, err));
    int64_t most = s->options.batch_rows;
    s->rows_cap = s->rows_cap > most / 2 ? most : s->rows_cap * 2;
    s->next++;
    return TN_OK;
  }
}

static tn_status scan_schema(void *self, ArrowSchema *out, tn_error *err) {
  parquet_scan *s = self;
  return tn_schema_copy(out, &s->projection.schema, err);
}

static const tn_reader_ops scan_ops = {scan_schema, scan_next, scan_free};

/* ---- opening --------------------------------------------------------------------------------- */

/* Ranges as they are kept: within the file; one over all of it when none are given. */
static tn_status take_ranges(parquet_scan *s, tn_error *err) {
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
static tn_status order_columns(parquet_scan *s, tn_error *err) {
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

static tn_status init_lane(parquet_scan *s, scan_lane *lane, tn_error *err) {
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
    column->leaf = leaf_of(s, c);
    column->spare = s->spare;
    column->pages.source = s->file->source;
    column->pages.skip_crc = s->options.skip_crc;
    column->pages.page_bytes_max = s->options.page_bytes_max;
    if (s->options.ranges) column->pages.window_bytes = RANDOM_WINDOW_BYTES;
  }
  return TN_OK;
}

static tn_status init_scan(parquet_scan *s, tn_error *err) {
  const tn_parquet_read_options *o = &s->options;
  TN_TRY(tn_parquet_projection_new(&s->projection, s->file, o->columns, o->column_count,
                                   o->variant_json, &s->arena, err));
  s->columns = s->projection.leaf_count;
  TN_TRY(take_ranges(s, err));
  TN_TRY(order_columns(s, err));
  TN_TRY(tn_parquet_spare_open(&s->spare, (size_t)s->threads * SPARE_BYTES, err));
  s->lane_count = s->threads > 1 && !o->ranges ? 2 * s->threads : 1;
  s->codecs = tn_alloc((size_t)s->threads, sizeof *s->codecs);
  s->lanes = tn_alloc((size_t)s->lane_count, sizeof *s->lanes);
  s->tasks = tn_alloc((size_t)(s->lane_count * s->columns), sizeof *s->tasks);
  if (!s->codecs || !s->lanes || !s->tasks) {
    return tn_fail_memory(err, "a Parquet scan", (size_t)s->columns * sizeof *s->tasks);
  }
  for (int32_t l = 0; l < s->lane_count; l++) TN_TRY(init_lane(s, &s->lanes[l], err));
  return TN_OK;
}

/* On failure the file stays the caller's. */
static tn_status open_scan(tn_parquet_file *file, const tn_parquet_read_options *options,
                           parquet_scan **out, tn_error *err) {
  tn_parquet_read_options o = options ? *options : (tn_parquet_read_options){0};
  if (o.batch_rows == 0) o.batch_rows = BATCH_ROWS;
  if (o.page_bytes_max == 0) o.page_bytes_max = page_bytes_default;
  if (o.batch_rows < 0 || o.batch_rows > BATCH_ROWS_MAX || o.page_bytes_max < 0) {
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: batches of %lld rows; 1 to %d are possible",
                   file->source->name, (long long)o.batch_rows, BATCH_ROWS_MAX);
  }
  parquet_scan *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a Parquet scan", sizeof *s);
  s->file = file;
  s->options = o;
  s->rows_are_asked_for = options && options->batch_rows > 0;
  s->rows_cap = o.batch_rows;
  s->pool = o.pool;
  s->threads = tn_pool_threads(o.pool);
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
  parquet_scan *scan = NULL;
  TN_TRY(open_scan(file, options, &scan, err));
  return tn_stream_new(out, &scan_ops, scan, err);
}

tn_status tn_parquet_read(ArrowArrayStream *out, tn_source *source,
                          const tn_parquet_read_options *options, tn_error *err) {
  tn_parquet_file *file;
  parquet_scan *scan = NULL;
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
