/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_block.h"

#include <stdlib.h>

enum { GUESSES_MAX = 100 };

/* The first line start at or behind `from` at which a record of the right width begins. */
static uint32_t guess_start(tn_csv_block *b, const tn_csv_format *f, const uint8_t *text,
                            uint32_t from, uint32_t end, bool last) {
  const uint8_t *p = text + from - 1, *stop = text + end;
  uint32_t first = end;
  for (int tries = 0; tries < GUESSES_MAX && p < stop; tries++) {
    p = memchr(p, f->newline, (size_t)(stop - p));
    if (!p || ++p == stop) break;
    if (first == end) first = (uint32_t)(p - text);
    tn_csv_outcome why = tn_csv_split(f, p, stop, last, &b->rows.record);
    if (why == TN_CSV_BROKEN && b->rows.record.fault == TN_CSV_NO_MEMORY)
      b->status = tn_fail_memory(&b->err, "CSV record", b->rows.record.capacity * 32);
    if (b->status != TN_OK || why == TN_CSV_INCOMPLETE) return (uint32_t)(p - text);
    if (why == TN_CSV_RECORD && b->rows.record.count == f->columns) return (uint32_t)(p - text);
  }
  return first;
}

static tn_status arrays_room(tn_csv_block *b, const tn_csv_plan *plan) {
  if (b->arrays) return TN_OK;
  size_t count = (size_t)plan->column_count;
  b->arrays = tn_alloc(count, sizeof *b->arrays);
  b->seen = tn_alloc(count, sizeof *b->seen);
  if (b->arrays && b->seen) return TN_OK;
  return tn_fail_memory(&b->err, "CSV block", count * sizeof *b->arrays);
}

static tn_status drop_room(tn_csv_block *b) {
  size_t bytes = (size_t)b->rows.rows / 8 + 1;
  if (bytes > b->drop_bytes) {
    uint8_t *grown = tn_realloc(b->drop, bytes, 1);
    if (!grown) return tn_fail_memory(&b->err, "CSV block", bytes);
    b->drop = grown;
    b->drop_bytes = bytes;
  }
  memset(b->drop, 0, bytes);
  return TN_OK;
}

static void clear_arrays(tn_csv_block *b, const tn_csv_plan *plan) {
  for (int32_t i = 0; b->arrays && i < plan->column_count; i++) tn_array_clear(&b->arrays[i]);
}

static tn_status convert_columns(tn_csv_block *b, const tn_csv_plan *plan, tn_on_error on_error) {
  tn_csv_flaw first = {0};
  for (int32_t i = 0; i < plan->column_count; i++) {
    tn_csv_flaw here = {0};
    const tn_csv_misfits misfits = {on_error, i, b->drop, &here};
    TN_TRY(tn_csv_column_convert(&plan->columns[i], &b->rows, &misfits, &b->arrays[i], &b->err));
    if (here.fault && (!first.fault || here.row < first.row)) first = here;
  }
  if (first.fault) b->flaw = first; /* its row is before whatever stopped the cut */
  return TN_OK;
}

static bool any_bit(const uint8_t *bits, int64_t count) {
  for (int64_t i = 0; i < (count + 7) / 8; i++)
    if (bits[i]) return true;
  return false;
}

/* In the order of the text, those of the rows before those of values. */
static int by_place(const void *left, const void *right) {
  const tn_csv_flaw *a = left, *b = right;
  if (a->record != b->record) return a->record < b->record ? -1 : 1;
  return (a->output > b->output) - (a->output < b->output);
}

static tn_status convert_all(tn_csv_block *b, const tn_csv_plan *plan) {
  TN_TRY(arrays_room(b, plan));
  bool skip = plan->on_error == TN_ON_ERROR_SKIP;
  if (skip) TN_TRY(drop_room(b));
  TN_TRY(convert_columns(b, plan, plan->on_error));
  if (skip && any_bit(b->drop, b->rows.rows)) {
    clear_arrays(b, plan);
    TN_TRY(tn_csv_rows_drop(&b->rows, b->drop, &b->err));
    TN_TRY(convert_columns(b, plan, TN_ON_ERROR_FAIL)); /* nothing is left that could */
  }
  if (b->rows.flaw_count > 1)
    qsort(b->rows.flaws, b->rows.flaw_count, sizeof *b->rows.flaws, by_place);
  return TN_OK;
}

static tn_status look_at_all(tn_csv_block *b, const tn_csv_plan *plan) {
  TN_TRY(arrays_room(b, plan));
  memset(b->seen, 0, (size_t)plan->column_count * sizeof *b->seen);
  for (int32_t i = 0; i < plan->column_count; i++)
    if (!plan->columns[i].declared && plan->columns[i].column >= 0)
      TN_TRY(tn_csv_column_look(&plan->columns[i], &b->rows, b->rows_max, &b->seen[i], &b->err));
  return TN_OK;
}

void tn_csv_block_run(tn_csv_block *b, const tn_csv_plan *plan, const uint8_t *text, uint32_t end,
                      bool last) {
  tn_csv_block_reset(b, plan);
  if (b->guess) b->start = guess_start(b, &plan->format, text, b->start, end, last);
  if (b->status != TN_OK) return;
  const tn_csv_cut cut = {.format = &plan->format,
                          .on_error = plan->on_error,
                          .fast = plan->fast,
                          .text = text,
                          .start = b->start,
                          .limit = b->limit,
                          .end = end,
                          .last = last};
  b->status = tn_csv_rows_cut(&b->rows, &cut, &b->err);
  b->flaw = b->rows.fault;
  if (b->status != TN_OK || (b->rows.incomplete && !plan->looking)) return;
  b->status = plan->looking ? look_at_all(b, plan) : convert_all(b, plan);
}

void tn_csv_block_reset(tn_csv_block *b, const tn_csv_plan *plan) {
  clear_arrays(b, plan);
  b->flaw = (tn_csv_flaw){0};
  b->status = TN_OK;
}

void tn_csv_block_clear(tn_csv_block *b, const tn_csv_plan *plan) {
  clear_arrays(b, plan);
  tn_free(b->arrays);
  tn_free(b->seen);
  tn_free(b->drop);
  tn_csv_rows_clear(&b->rows);
  *b = (tn_csv_block){0};
}
