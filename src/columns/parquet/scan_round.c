/* SPDX-License-Identifier: Apache-2.0 */
/* A round of a scan, decoded: its pages and its columns are items that threads share.
 *
 *     items:  page, page, ...  |  column of a lane, ...
 *
 * One column may be most of a file, so its pages are items too.  Pages come first: whoever begins
 * with a column then waits at most for those that other threads are in the middle of. */
#include <sched.h>

#include "columns/parquet/scan.h"

enum { AHEAD_BYTES = TN_PARQUET_THREAD_BYTES }; /* of one column's pages, a thread */
enum { CHUNKS_FOR_THREADS = 256 }; /* fewer are looked at before other threads wake up */

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

static tn_status start_cipher(const tn_parquet_scan_state *s, int64_t group, int64_t c,
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

tn_status tn_parquet_scan_start_column(tn_parquet_scan_state *s, tn_parquet_lane *lane, int64_t c,
                                       tn_error *err) {
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

/* Tasks in the order in which they are to be done: large columns first. */
static tn_parquet_task *task_of(tn_parquet_scan_state *s, int64_t at) {
  int64_t l = at % s->lanes_used, c = s->order[at / s->lanes_used];
  return &s->working->tasks[l * s->columns + c];
}

static bool is_loading(tn_parquet_task *task) {
  return atomic_load_explicit(&task->loading, memory_order_acquire) > 0;
}

/* The first task that nobody has, of those whose pages are there; when there is none, the first. */
static int64_t take_task(tn_parquet_scan_state *s) {
  tn_parquet_round *round = s->working;
  int64_t count = s->lanes_used * s->columns, first = round->first_task;
  for (int32_t pass = 0;; pass++) {
    for (int64_t at = first; at < count; at++) {
      tn_parquet_task *task = task_of(s, at);
      if (task->taken) {
        if (at == first && pass == 0) round->first_task = first = at + 1;
        continue;
      }
      if (pass == 0 && is_loading(task)) continue;
      if (atomic_exchange(&task->taken, true)) continue;
      while (is_loading(task)) sched_yield();
      return at;
    }
  }
}

static tn_status read_batch_column(tn_parquet_column_reader *column, const tn_parquet_round *round,
                                   const tn_parquet_batch *batch, tn_parquet_part *part,
                                   tn_error *err) {
  for (size_t i = 0; i < batch->piece_count; i++) {
    const tn_parquet_piece *piece = &round->pieces[batch->piece + i];
    TN_TRY(tn_parquet_column_reader_seek(column, piece->row, piece->rows, err));
    TN_TRY(tn_parquet_column_reader_read(column, piece->rows, part, err));
  }
  return TN_OK;
}

static void read_column(tn_parquet_scan_state *s, int64_t at, int32_t worker) {
  tn_parquet_round *round = s->working;
  int32_t l = (int32_t)(at % s->lanes_used);
  int64_t c = s->order[at / s->lanes_used];
  tn_parquet_lane *lane = &s->lanes[l];
  tn_parquet_column_reader *column = &lane->columns[c];
  tn_parquet_task *task = task_of(s, at);
  column->pages.codecs = &s->codecs[worker];
  for (int64_t b = 0; b < round->batch_count && task->status == TN_OK; b++) {
    const tn_parquet_batch *batch = &round->batches[b];
    if (batch->lane != l) continue;
    task->stopped_at = b;
    if (column->rows < 0) task->status = tn_parquet_scan_start_column(s, lane, c, &task->error);
    if (task->status == TN_OK) {
      tn_parquet_part *part = &round->parts[b * s->columns + c];
      task->status = read_batch_column(column, round, batch, part, &task->error);
    }
  }
  if (task->status == TN_OK) task->stopped_at = INT64_MAX;
}

static void load_page(tn_parquet_scan_state *s, tn_parquet_page_item *page, int32_t worker) {
  if (!s->stop) tn_parquet_pages_load_ahead(page->pages, page->at, &s->codecs[worker]);
  atomic_fetch_sub_explicit(&page->task->loading, 1, memory_order_release);
}

static void run_item(void *context, int64_t item, int32_t worker) {
  tn_parquet_scan_state *s = context;
  int64_t pages = (int64_t)s->working->page_count;
  if (item < pages) {
    load_page(s, &s->working->pages[item], worker);
  } else if (!s->stop) {
    read_column(s, take_task(s), worker);
  }
}

/* ---- which items ----------------------------------------------------------------------------- */

static void find_pages(void *context, int64_t item, int32_t worker) {
  tn_parquet_scan_state *s = context;
  const tn_parquet_round *round = s->working;
  int32_t l = (int32_t)(item % s->lanes_used);
  int64_t c = item / s->lanes_used, rows = 0;
  tn_parquet_lane *lane = &s->lanes[l];
  for (int64_t b = 0; b < round->batch_count; b++) {
    if (round->batches[b].lane == l) rows += round->batches[b].rows;
  }
  if (lane->columns[c].rows < 0 && tn_parquet_scan_start_column(s, lane, c, NULL) != TN_OK)
    return; /* said later */
  tn_parquet_column_reader_look_ahead(&lane->columns[c], rows, (size_t)s->threads * AHEAD_BYTES);
}

/* Pages of a column that has several: one alone is as well loaded by whoever reads it, and so is
 * one that finds no room here. */
static void list_pages(tn_parquet_round *round, tn_parquet_pages *pages, tn_parquet_task *task) {
  size_t before = round->page_count;
  for (int32_t i = pages->ahead_at; i < pages->ahead_count; i++) {
    if (pages->ahead[i].loaded) continue;
    size_t count = round->page_count + 1;
    if (tn_grow((void **)&round->pages, &round->page_capacity, count, sizeof *round->pages, NULL) !=
        TN_OK)
      break;
    round->pages[round->page_count++] = (tn_parquet_page_item){pages, task, i};
  }
  if (round->page_count == before + 1) round->page_count = before;
  task->loading = (int32_t)(round->page_count - before);
}

static void list_all_pages(tn_parquet_scan_state *s, tn_parquet_round *round) {
  if (s->threads == 1 || s->options.ranges) return;
  int64_t chunks = s->columns * s->lanes_used;
  tn_pool_run(chunks < CHUNKS_FOR_THREADS ? NULL : s->pool, chunks, find_pages, s);
  for (int64_t i = 0; i < s->columns; i++) {
    for (int32_t l = 0; l < s->lanes_used; l++) {
      int64_t c = s->order[i];
      list_pages(round, &s->lanes[l].columns[c].pages, &round->tasks[l * s->columns + c]);
    }
  }
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void drop_round(tn_parquet_scan_state *s, tn_parquet_round *round) {
  for (int64_t i = 0; i < round->batch_count * s->columns; i++) {
    tn_parquet_part_clear(&round->parts[i]);
  }
  round->batch_count = round->next = 0;
  round->piece_count = round->page_count = 0;
}

/* Plans a round and lists its items, which `working` then are. */
static tn_status prepare(tn_parquet_scan_state *s, tn_parquet_round *round, tn_error *err) {
  tn_status status = tn_parquet_scan_plan(s, round, err);
  size_t parts = (size_t)(round->batch_count * s->columns);
  if (status == TN_OK) {
    status =
        tn_grow((void **)&round->parts, &round->part_capacity, parts, sizeof *round->parts, err);
  }
  if (status != TN_OK) {
    round->batch_count = 0;
    return status;
  }
  memset(round->parts, 0, parts * sizeof *round->parts);
  for (int64_t i = 0; i < s->lanes_used * s->columns; i++) {
    round->tasks[i].status = TN_OK;
    round->tasks[i].stopped_at = INT64_MAX;
    round->tasks[i].loading = 0;
    round->tasks[i].taken = false;
  }
  round->first_task = 0;
  s->working = round;
  list_all_pages(s, round);
  return TN_OK;
}

static int64_t item_count(const tn_parquet_scan_state *s) {
  return (int64_t)s->working->page_count + s->lanes_used * s->columns;
}

void tn_parquet_scan_look_ahead(tn_parquet_scan_state *s) {
  if (s->is_ahead || s->threads == 1) return;
  s->is_ahead = true;
  s->ahead_status = prepare(s, s->ahead, &s->ahead_error);
  if (s->ahead_status != TN_OK) return;
  if (!tn_pool_start(s->pool, item_count(s), run_item, s)) {
    tn_pool_run(s->pool, item_count(s), run_item, s);
  }
}

/* The round ahead becomes the current one. */
static tn_status take_ahead(tn_parquet_scan_state *s, tn_error *err) {
  if (s->ahead_status != TN_OK) {
    if (err && s->ahead_status != TN_END) *err = s->ahead_error;
    return s->ahead_status;
  }
  tn_parquet_round *done = s->current;
  s->current = s->ahead;
  s->ahead = done;
  s->is_ahead = false;
  tn_pool_finish(s->pool);
  return TN_OK;
}

tn_status tn_parquet_scan_advance(tn_parquet_scan_state *s, tn_error *err) {
  drop_round(s, s->current);
  if (s->is_ahead) return take_ahead(s, err);
  TN_TRY(prepare(s, s->current, err));
  tn_pool_run(s->pool, item_count(s), run_item, s);
  return TN_OK;
}

void tn_parquet_scan_drop(tn_parquet_scan_state *s) {
  if (s->is_ahead) {
    s->stop = true;
    tn_pool_finish(s->pool);
    s->stop = s->is_ahead = false;
  }
  drop_round(s, s->current);
  drop_round(s, s->ahead);
}
