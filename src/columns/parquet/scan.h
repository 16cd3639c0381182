/* scan.h - the parts of a scan (private to this folder).
 *
 *     plan (scan_plan.c)  the next rows of the file -> a round: some batches
 *     run (scan_round.c)  a round -> decoded parts: pages and columns are items, shared by threads
 *     give (reader.c)     parts -> batches, one a call
 *
 * There are two rounds: the consumer has one, the threads meanwhile work on the next.  Which one a
 * batch was in shows nowhere but in how long it took. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SCAN_H
#define TN_COLUMNS_PARQUET_SCAN_H
#include <stdatomic.h>

#include "columns/parquet/column_reader.h"
#include "columns/parquet/file.h"
#include "columns/parquet/projection.h"

/* A round, so that threads seldom meet, and what they have just read is still in a cache. */
#define TN_PARQUET_THREAD_BYTES (6 << 20) /* decoded, a thread */
#define TN_PARQUET_ROUND_BYTES  (1 << 30) /* whatever the number of threads */
#define TN_PARQUET_BATCHES_MAX  256

typedef struct tn_parquet_piece { /* rows next to each other, in one row group */
  int64_t row, rows;
} tn_parquet_piece;

typedef struct tn_parquet_batch {
  int64_t group, rows;
  size_t piece, piece_count;
  int32_t lane;
} tn_parquet_batch;

/* Readers of one row group's columns.  A round uses several when row groups are small. */
typedef struct tn_parquet_lane {
  int64_t group; /* -1: none yet */
  tn_parquet_column_reader *columns;
  tn_parquet_offset_index *indexes; /* when ranges are read */
  tn_arena arena;                   /* of those */
} tn_parquet_lane;

typedef struct tn_parquet_task { /* one column of one lane in a round */
  tn_status status;              /* of the batch at which it stopped */
  int64_t stopped_at;            /* INT64_MAX: nowhere */
  tn_error error;
  _Atomic int32_t loading; /* pages that are items of their own and not loaded yet */
  atomic_bool taken;
} tn_parquet_task;

typedef struct tn_parquet_page_item {
  tn_parquet_pages *pages;
  tn_parquet_task *task;
  int32_t at;
} tn_parquet_page_item;

typedef struct tn_parquet_round { /* all zero: no batch */
  tn_parquet_piece *pieces;
  size_t piece_count, piece_capacity;
  tn_parquet_batch batches[TN_PARQUET_BATCHES_MAX];
  int64_t batch_count, next; /* next: which the consumer gets */
  tn_parquet_part *parts;    /* batch after batch, `columns` each */
  size_t part_capacity;
  tn_parquet_task *tasks; /* lane after lane, `columns` each */
  tn_parquet_page_item *pages;
  size_t page_count, page_capacity;
  _Atomic int64_t first_task; /* those before it are taken */
} tn_parquet_round;

typedef struct tn_parquet_scan_state {
  tn_parquet_file *file;
  bool owns_file;
  tn_arena arena;
  tn_parquet_projection projection;
  tn_parquet_read_options options;
  tn_pool *pool;
  int32_t threads;
  tn_parquet_codecs *codecs; /* one a thread */
  tn_parquet_spare *spare;
  tn_parquet_interner *interners; /* one a column */
  int64_t columns;
  int64_t *order;      /* columns, those with the most bytes first */
  int64_t text_column; /* the largest whose pages can be lent to arrays; -1: none */
  tn_parquet_lane *lanes;
  int32_t lane_count, lanes_used; /* by the round that was planned last */
  /* The plan: rows not yet in a batch begin at row `row` of range `range`, or of the file. */
  tn_row_range *ranges;
  int64_t range_count, range;
  int64_t row, group, group_first; /* group: the row group that holds `row`, which begins there */
  bool rows_are_asked_for;         /* of a batch, by the caller */
  int64_t rows_cap;                /* rows of a batch, fewer after one was too large */
  bool has_given;                  /* a batch */
  tn_parquet_round rounds[2];
  tn_parquet_round *current, *ahead; /* ahead: planned, and being decoded, while is_ahead */
  tn_parquet_round *working;         /* whose items are run, or were last */
  bool is_ahead;
  tn_status ahead_status; /* of its plan */
  tn_error ahead_error;
  atomic_bool stop; /* nobody wants what is decoded now */
} tn_parquet_scan_state;

/* Plans `round`, which holds none: TN_END when no row is left. */
TN_NODISCARD tn_status tn_parquet_scan_plan(tn_parquet_scan_state *s, tn_parquet_round *round,
                                            tn_error *err);
/* Plans again from batch `b` of the current round on, which was too large, with fewer rows. */
TN_NODISCARD tn_status tn_parquet_scan_plan_smaller(tn_parquet_scan_state *s, int64_t b,
                                                    tn_error *err);

/* Starts column c's reader on the lane's row group. */
TN_NODISCARD tn_status tn_parquet_scan_start_column(tn_parquet_scan_state *s, tn_parquet_lane *lane,
                                                    int64_t c, tn_error *err);
/* The next round becomes the current one, decoded: the one ahead, or one that is planned now. */
TN_NODISCARD tn_status tn_parquet_scan_advance(tn_parquet_scan_state *s, tn_error *err);
/* The pool's other threads begin with the round behind the current one, where there are some.  What
 * is wrong with it is said when it becomes the current one. */
void tn_parquet_scan_look_ahead(tn_parquet_scan_state *s);
/* Drops both rounds; threads still at work are waited for. */
void tn_parquet_scan_drop(tn_parquet_scan_state *s);

static inline const tn_parquet_leaf *tn_parquet_scan_leaf(const tn_parquet_scan_state *s,
                                                          int64_t column) {
  return &s->file->leaves[s->projection.leaves[column]];
}

#endif
