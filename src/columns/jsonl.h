/* jsonl.h - JSON objects, one a line or one behind the other, to record batches and back.
 *
 * Objects become rows, nested objects structs, arrays lists.  A stream has one schema, so types are
 * found first: a source that can be read again (a file, compressed or not) is read twice, the first
 * time by a fast walk over every value, and the schema holds for the whole file: a key that appears
 * late is null before it.  A pipe is sampled; a key or a type that the sample did not show is an
 * error that names line and key, unless `rest_column` takes unknown keys in.
 *
 *     values of one column           its type
 *     null only                      null
 *     true, false                    bool
 *     whole numbers                  int64; uint64 where some need it and none is negative; string
 * where some fit neither (digits as written) numbers                        double, correctly
 * rounded; string where some are beyond its range strings                        string; date32,
 * timestamp[us], timestamp[us, UTC] when all are such scalars of different kinds     string:
 * strings as they are, the others as written objects / arrays only          struct / list of the
 * same rules either with anything else      JSON text (extension arrow.json), white space outside
 * strings cut
 *
 * The same goes for objects of more than TN_JSONL_KEYS_MAX keys below the top, and for what is
 * nested deeper than a schema may be.  Of a repeated key the last value counts.  What is read is
 * checked as base/json checks it (RFC 8259, UTF-8), skipped values too.  A file that holds one
 * array of objects is a table as well.
 *
 * Batches are the same whatever the number of threads.  Memory is bounded by a few blocks.
 * Thread: one a reader or writer; the reader's pool works inside its calls. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_JSONL_H
#define TN_COLUMNS_JSONL_H
#include "base/io.h"
#include "base/progress.h"
#include "base/thread.h"
#include "columns/arrow.h"
#include "columns/bad_rows.h"

enum {
  TN_JSONL_KEYS_MAX = 1000,      /* of an object below the top; more: the column is JSON text */
  TN_JSONL_COLUMNS_MAX = 100000, /* of a schema, nested ones counted */
  TN_JSONL_DEPTH_MAX = 512,      /* of nesting, the default and the most */
};

typedef struct tn_jsonl_options { /* zero: the default */
  int64_t batch_rows;             /* at most; default 65,536 */
  int64_t block_bytes;            /* parsed at once by one thread; default 1 MiB */
  int64_t record_bytes_max;       /* default 256 MiB */
  int64_t sample_bytes;           /* of a pipe, for inference; default 16 MiB */
  bool sample;                    /* a file too: types by the sample, one pass */
  bool no_dates;                  /* strings stay strings */
  int32_t depth_max;              /* default TN_JSONL_DEPTH_MAX */
  const char *const *columns;     /* projection of top-level keys in this order; NULL: all */
  int32_t column_count;
  const ArrowSchema *schema; /* declared: no inference; keys outside it are skipped */
  const char *rest_column;   /* a string column for unknown top-level keys, as a JSON object */
  tn_bad_rows *bad;          /* NULL: fail */
  tn_pool *pool;             /* NULL: this thread alone */
  tn_progress *progress;     /* of a pass over the file for its types; NULL: nobody waits */
} tn_jsonl_options;

/* Takes over `source` (closed with the stream, also on failure).  gzip and zstd are inflated. */
TN_NODISCARD tn_status tn_jsonl_read(ArrowArrayStream *out, tn_source *source,
                                     const tn_jsonl_options *options, tn_error *err);

typedef struct tn_jsonl_writer tn_jsonl_writer;
/* One object a row with every column in it, null for null, as tn_value_json writes values; a column
 * of JSON text (extension arrow.json) is written as the JSON that it is.  Borrows `sink`. */
TN_NODISCARD tn_status tn_jsonl_writer_new(tn_jsonl_writer **out, tn_sink *sink,
                                           const ArrowSchema *schema, tn_error *err);
TN_NODISCARD tn_status tn_jsonl_writer_batch(tn_jsonl_writer *w, const ArrowArray *batch,
                                             tn_error *err);
TN_NODISCARD tn_status tn_jsonl_writer_finish(tn_jsonl_writer *w, tn_error *err);
/* Numbers that JSON has not (NaN, infinity) so far: they are null. */
int64_t tn_jsonl_writer_not_finite(const tn_jsonl_writer *w);
void tn_jsonl_writer_free(tn_jsonl_writer *w);

#endif
