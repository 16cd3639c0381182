/* csv_block.h - one block of text to one batch: what a thread does on its own.
 *
 * A block owns the records that begin in it; the last one may end behind its border.  Where its
 * first record begins is known only when all text before is parsed, so a block that is parsed ahead
 * guesses it (the first line that reads as a record of the right number of fields), and whoever
 * puts blocks in order compares the guess with the end of the block before:
 *
 *     |-- block 0 --------|-- block 1 --------|
 *      record record rec|ord record record
 *                        ^ end of block 0 == start of block 1? else block 1 is parsed again
 *
 * Thread: any; a block has one owner, a plan is immutable. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_BLOCK_H
#define TN_COLUMNS_CSV_BLOCK_H
#include "columns/csv_column.h"

typedef struct tn_csv_plan { /* how every block of a file is parsed */
  tn_csv_format format;
  bool fast;
  tn_on_error on_error;
  tn_csv_column *columns; /* of the result */
  int32_t column_count;
  bool looking; /* only what the values may be, no arrays */
} tn_csv_plan;

typedef struct tn_csv_block {
  uint32_t start, limit; /* records that begin in [start, limit) */
  bool guess;            /* start is where a record may begin at the earliest */
  int64_t rows_max;      /* looking: rows that count */

  tn_csv_rows rows;
  ArrowArray *arrays;      /* column_count; released when there is a flaw or an error */
  tn_csv_kinds_seen *seen; /* looking */
  uint8_t *drop;
  size_t drop_bytes;
  tn_csv_flaw flaw; /* FAIL: the first in the text; FINE: none */
  tn_status status;
  tn_error err;
} tn_csv_block;

/* `text` holds [0, end) and padding.  Fills everything below rows_max. */
void tn_csv_block_run(tn_csv_block *block, const tn_csv_plan *plan, const uint8_t *text,
                      uint32_t end, bool last);
/* Forgets the arrays. */
void tn_csv_block_reset(tn_csv_block *block, const tn_csv_plan *plan);
void tn_csv_block_clear(tn_csv_block *block, const tn_csv_plan *plan);

#endif
