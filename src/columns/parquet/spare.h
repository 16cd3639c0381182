/* spare.h - memory of batches that are done with, kept for the next ones.
 *
 * A scan fills buffers, its consumer drops them, the scan wants as many again.  Given back to
 * malloc they may go to the system and come again as zeroed pages, which costs more than filling
 * them:
 *
 *     scan --take--> part --wrap--> array --release--> give --> scan ...
 *
 * Counted: every buffer that is out holds the store, which so outlives its scan.  It keeps a few
 * blocks only, and none after close.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SPARE_H
#define TN_COLUMNS_PARQUET_SPARE_H
#include "base/buffer.h"
#include "columns/parquet/bytes.h"

typedef struct tn_parquet_spare tn_parquet_spare;

/* Keeps blocks of at most `bytes_max` in all. */
TN_NODISCARD tn_status tn_parquet_spare_open(tn_parquet_spare **out, size_t bytes_max,
                                             tn_error *err);
void tn_parquet_spare_close(tn_parquet_spare *spare); /* by who opened it; NULL is fine */

/* Fills empty `bytes` with a block that has room for `want`, if there is one that is not much too
 * large; its contents are rubbish.  spare NULL: nothing happens. */
void tn_parquet_spare_take(tn_parquet_spare *spare, tn_parquet_bytes *bytes, size_t want);
/* A counted buffer that takes over the bytes and gives them back to `spare` (NULL: frees them);
 * borrowed ones stay where they are. */
TN_NODISCARD tn_status tn_parquet_spare_wrap(tn_parquet_spare *spare, tn_parquet_bytes *bytes,
                                             tn_buffer **out, tn_error *err);

#endif
