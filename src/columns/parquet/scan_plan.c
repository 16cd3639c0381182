/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a round of a scan reads: batches of one row group each, and the readers for them. */
#include "columns/parquet/scan.h"

enum {
  BATCH_ROWS_CACHED = 8192,
  CACHE_BYTES = 1 << 20
}; /* what is delivered soon is still there */
enum { BATCH_BYTES = 32 << 20 };

static tn_status load_indexes(tn_parquet_scan_state *s, tn_parquet_lane *lane, tn_error *err) {
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
static tn_status open_lane(tn_parquet_scan_state *s, tn_parquet_lane *lane, int64_t group,
                           tn_error *err) {
  lane->group = group;
  for (int64_t c = 0; c < s->columns; c++) lane->columns[c].rows = -1;
  return s->options.ranges ? load_indexes(s, lane, err) : TN_OK;
}

/* The lane of a batch's group; a new one in this round when none has it.  -1: no lane is left. */
static tn_status find_lane(tn_parquet_scan_state *s, int64_t group, int32_t *out, tn_error *err) {
  *out = -1;
  for (int32_t l = 0; l < s->lane_count; l++) {
    if (s->lanes[l].group != group) continue;
    if (l >= s->lanes_used) { /* of the round before: it moves to the front */
      tn_parquet_lane lane = s->lanes[l];
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
static int64_t row_bytes(const tn_parquet_scan_state *s, int64_t group) {
  const tn_parquet_group_meta *g = &s->file->footer.groups[group];
  double bytes = 1;
  for (int64_t c = 0; c < s->columns; c++) {
    const tn_parquet_chunk_meta *chunk = &g->chunks[s->projection.leaves[c]];
    int32_t levels = tn_parquet_leaf_is_flat(tn_parquet_scan_leaf(s, c)) ? 0 : 2;
    bytes += (double)chunk->uncompressed_bytes +
             (double)(tn_parquet_scan_leaf(s, c)->width + levels) * (double)chunk->values;
  }
  bytes /= (double)(g->rows ? g->rows : 1);
  return bytes < 1e15 ? (int64_t)bytes + 1 : (int64_t)1e15;
}

/* Moves the plan to the row group that holds its next row.  TN_END: no row is left. */
static tn_status find_rows(tn_parquet_scan_state *s) {
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

static tn_status add_piece(tn_parquet_round *round, int64_t row, int64_t rows, tn_error *err) {
  TN_TRY(tn_grow((void **)&round->pieces, &round->piece_capacity, round->piece_count + 1,
                 sizeof *round->pieces, err));
  round->pieces[round->piece_count++] = (tn_parquet_piece){row, rows};
  return TN_OK;
}

/* As many rows as the caller asked for, or as lie in the cache, unless they are huge. */
static int64_t batch_rows_of(const tn_parquet_scan_state *s, int64_t group) {
  int64_t each = row_bytes(s, group), most = BATCH_BYTES / each, cached = CACHE_BYTES / each;
  if (cached < BATCH_ROWS_CACHED) cached = BATCH_ROWS_CACHED;
  if (!s->rows_are_asked_for && cached < most) most = cached;
  return most > 1 ? most : 1;
}

/* Rows of the batch that begins at row `at` of the lane's group: about `most`.  Where the largest
 * column of text lies in its pages as it will lie in the arrays, batches end where its pages do,
 * and it is not copied. */
static int64_t rows_to_page(tn_parquet_scan_state *s, tn_parquet_lane *lane, int64_t at,
                            int64_t most) {
  int64_t c = s->text_column;
  if (c < 0 || s->rows_are_asked_for || s->options.ranges) return most;
  tn_parquet_column_reader *column = &lane->columns[c];
  if (column->rows < 0 && tn_parquet_scan_start_column(s, lane, c, NULL) != TN_OK) return most;
  tn_parquet_column_reader_look_ahead(column, at + 1 - column->row, SIZE_MAX);
  int64_t rows = tn_parquet_column_reader_page_rows(column, at);
  if (rows < most / 2) return most;
  return rows / ((rows + most / 2) / most); /* the page in equal pieces */
}

/* The next batch: rows of one row group, from one range or several. */
static tn_status plan_batch(tn_parquet_scan_state *s, tn_parquet_round *round,
                            tn_parquet_lane *lane, tn_parquet_batch *batch, tn_error *err) {
  int64_t group_rows = s->file->footer.groups[s->group].rows, group = s->group;
  int64_t most = rows_to_page(s, lane, s->row - s->group_first, batch_rows_of(s, group));
  if (most > s->rows_cap) most = s->rows_cap;
  *batch = (tn_parquet_batch){.group = group, .piece = round->piece_count};
  while (batch->rows < most && find_rows(s) == TN_OK && s->group == group) {
    const tn_row_range *range = &s->ranges[s->range];
    int64_t rows = range->first_row + range->rows - s->row, at = s->row - s->group_first;
    if (rows > group_rows - at) rows = group_rows - at;
    if (rows > most - batch->rows) rows = most - batch->rows;
    TN_TRY(add_piece(round, at, rows, err));
    batch->piece_count++;
    batch->rows += rows;
    s->row += rows;
  }
  return TN_OK;
}

/* Without other threads a round is one batch. */
tn_status tn_parquet_scan_plan(tn_parquet_scan_state *s, tn_parquet_round *round, tn_error *err) {
  int64_t bytes = 0, batches_max = s->threads > 1 ? TN_PARQUET_BATCHES_MAX : 1;
  int64_t bytes_max = s->threads * (int64_t)TN_PARQUET_THREAD_BYTES;
  if (bytes_max > TN_PARQUET_ROUND_BYTES) bytes_max = TN_PARQUET_ROUND_BYTES;
  s->lanes_used = 0;
  while (round->batch_count < batches_max && find_rows(s) == TN_OK) {
    int64_t each = row_bytes(s, s->group);
    if (round->batch_count > 0 && bytes + each * batch_rows_of(s, s->group) > bytes_max) break;
    tn_parquet_batch *batch = &round->batches[round->batch_count];
    int32_t lane;
    TN_TRY(find_lane(s, s->group, &lane, err));
    if (lane < 0) break;
    TN_TRY(plan_batch(s, round, &s->lanes[lane], batch, err));
    batch->lane = lane;
    bytes += each * batch->rows;
    round->batch_count++;
  }
  return round->batch_count ? TN_OK : TN_END;
}

tn_status tn_parquet_scan_plan_smaller(tn_parquet_scan_state *s, int64_t b, tn_error *err) {
  tn_parquet_batch batch = s->current->batches[b];
  int64_t first = 0, row = s->current->pieces[batch.piece].row;
  if (batch.rows == 1) {
    return tn_fail(err, TN_ERR_LIMIT,
                   "%s: a row has more than 2 GiB, or 2^28 values, of one column",
                   s->file->source->name);
  }
  tn_parquet_scan_drop(s);
  for (int64_t g = 0; g < batch.group; g++) first += s->file->footer.groups[g].rows;
  row += first;
  s->rows_cap = batch.rows / 2;
  s->group = batch.group;
  s->group_first = first;
  s->row = row;
  s->range = 0;
  while (row >= s->ranges[s->range].first_row + s->ranges[s->range].rows) s->range++;
  for (int32_t l = 0; l < s->lane_count; l++) s->lanes[l].group = -1;
  return TN_OK;
}
