/* csv_reader.h - one CSV file as it is being read: the window onto its text, and its blocks.
 *
 * The window holds whole rounds of blocks; block borders lie at fixed places of the text, whatever
 * the number of threads, and so do batches.
 *
 *     opened: dialect and names are known  ->  planned: types too  ->  next, next, ...
 *
 * csv_read.c puts one or several of these behind an ArrowArrayStream.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_READER_H
#define TN_COLUMNS_CSV_READER_H
#include "columns/array.h"
#include "columns/csv_block.h"
#include "columns/csv_dialect.h"
#include "columns/csv_input.h"

typedef struct tn_csv_line { /* a place of which the line is known */
  int64_t base_byte;         /* of the window it was in */
  uint32_t at;
  int64_t line;
} tn_csv_line;

typedef struct tn_csv_reader {
  const tn_csv_options *options; /* of the stream */
  tn_csv_input input;
  tn_csv_dialect dialect;
  tn_csv_plan plan;
  tn_arena arena;
  char **names; /* dialect.columns */
  tn_str *null_texts;
  tn_bad_rows *bad_rows, own_bad_rows;
  int64_t data_byte, data_line; /* where the first row begins */
  int64_t look_rows;            /* inference: of a round, that count */
  int64_t rows_inferred;
  bool inferred_all;

  uint8_t *text; /* the window, then TN_CSV_PADDING bytes */
  size_t filled, capacity;
  int64_t base_byte, base_line; /* of text[0] */
  tn_csv_line *line;            /* &line_known: for the messages */
  tn_csv_line line_known;
  bool last;       /* the window reaches the end of the text */
  uint32_t parsed; /* of the window, by the last round */

  tn_csv_block *blocks;
  int32_t block_count, round_count, block_at; /* made; of this round; the next to hand out */
  int32_t rounds;
  tn_shared_array *batch; /* being handed out in slices */
  int64_t batch_at;
  tn_error failed; /* sticky; comes when the blocks before it are handed out */
  bool streaming, ended;
} tn_csv_reader;

/* Takes over `source`, also on failure; dialect and names are known then. */
TN_NODISCARD tn_status tn_csv_reader_open(tn_csv_reader **out, tn_source *source,
                                          const tn_csv_options *options, tn_error *err);
/* What the values of the plan's columns may be, as the options ask; seen[plan.column_count]. */
TN_NODISCARD tn_status tn_csv_reader_infer(tn_csv_reader *r, tn_csv_kinds_seen *seen,
                                           tn_error *err);
/* TN_END behind the last batch. */
TN_NODISCARD tn_status tn_csv_reader_next(tn_csv_reader *r, ArrowArray *out, tn_error *err);
int32_t tn_csv_reader_find(const tn_csv_reader *r, const char *name); /* column, -1: none */
/* Behind the last batch: frees all but the source, which stays open for whoever reports progress.
 */
void tn_csv_reader_rest(tn_csv_reader *r);
void tn_csv_reader_free(tn_csv_reader *r);

/* csv_report.c: a flaw of a block in words, as an error or into the bad rows. */
TN_NODISCARD tn_status tn_csv_report_error(tn_csv_reader *r, const tn_csv_flaw *flaw,
                                           tn_error *err);
TN_NODISCARD tn_status tn_csv_report_flaws(tn_csv_reader *r, const tn_csv_rows *rows,
                                           tn_error *err);
TN_NODISCARD tn_status tn_csv_report_long_record(const tn_csv_reader *r, uint32_t at,
                                                 tn_error *err);

#endif
