/* random_rows.c - one row at a time, all columns, at random, of a Parquet file that is open: what
 * bench_columns.py runs for random access.
 *
 *     random_rows FILE [reads]        the column `id` must count the rows: it is checked
 *
 * The first reads warm the page cache and are not counted.  Prints p50 and p99 as one JSON line, of
 * the clock and of this thread's CPU time: on a machine that does other work too, the clock's p99
 * is the time that others were given. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "columns/arrow.h"
#include "tenon/columns.h"

static int64_t now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum { READS_DEFAULT = 5000, READS_MAX = 1 << 20, WARM = 2000 };

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static tn_status read_row(tn_columns_parquet *file, int64_t row, tn_error *err) {
  ArrowArrayStream stream;
  ArrowArray batch = {0};
  TN_TRY(tn_columns_parquet_take(file, &row, 1, &stream, err));
  tn_status status = tn_stream_next(&stream, &batch, err);
  if (status == TN_OK) {
    const ArrowArray *id = batch.children[0];
    if (batch.length != 1 || ((const int64_t *)id->buffers[1])[id->offset] != row)
      status = tn_fail(err, TN_ERR_DATA, "row %lld came out wrong", (long long)row);
  }
  tn_array_clear(&batch);
  tn_stream_clear(&stream);
  return status;
}

int main(int argc, char **argv) {
  static int64_t took_ns[READS_MAX], cpu_ns[READS_MAX];
  int64_t reads = argc > 2 ? strtoll(argv[2], NULL, 10) : READS_DEFAULT;
  const char *const options[] = {"threads", "1", NULL};
  tn_columns_parquet *file = NULL;
  tn_error err = {0};
  tn_status status = TN_OK;
  if (argc < 2 || reads < 1 || reads > READS_MAX)
    status =
        tn_fail(&err, TN_ERR_ARGUMENT, "usage: random_rows FILE [reads, at most %d]", READS_MAX);
  if (status == TN_OK) status = tn_columns_parquet_open(&file, argv[1], options, &err);
  int64_t rows = status == TN_OK ? tn_columns_parquet_rows(file) : 0;
  for (int64_t i = -WARM; i < reads && status == TN_OK; i++) {
    int64_t row = (int64_t)tn_random_below(7, 0, (uint64_t)(i + WARM), (uint64_t)rows);
    int64_t start_ns = now_ns(CLOCK_MONOTONIC), cpu_start_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    status = read_row(file, row, &err);
    if (i < 0) continue;
    cpu_ns[i] = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_start_ns;
    took_ns[i] = now_ns(CLOCK_MONOTONIC) - start_ns;
  }
  if (status == TN_OK) {
    qsort(took_ns, (size_t)reads, sizeof took_ns[0], compare);
    qsort(cpu_ns, (size_t)reads, sizeof cpu_ns[0], compare);
    printf("{\"rows\": %lld, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p99_cpu_us\": %.1f}\n",
           (long long)rows, (double)took_ns[reads / 2] / 1e3,
           (double)took_ns[reads * 99 / 100] / 1e3, (double)cpu_ns[reads * 99 / 100] / 1e3);
  } else {
    fprintf(stderr, "error: %s\n", err.text);
  }
  tn_columns_parquet_close(file);
  return status == TN_OK ? 0 : 1;
}
