/* fuzz_csv.c - any bytes as CSV of any dialect: the reader never crashes, says the same whether the
 * bytes come at once or in drops, in one block or in many, on one thread or on two, and what the
 * writer makes of the table reads back as the same table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "columns/csv.h"

typedef struct outcome {
  tn_status status;
  tn_error err;
  tn_strbuf text, bad;
  ArrowSchema schema;
} outcome;

typedef struct dripping {
  tn_source source;
  const uint8_t *at, *end;
  size_t drop_bytes;
} dripping;

static tn_status drip(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  dripping *d = (dripping *)self;
  size_t n = (size_t)(d->end - d->at);
  if (n > d->drop_bytes) n = d->drop_bytes;
  if (n > bytes) n = bytes;
  if (n) memcpy(dst, d->at, n);
  d->at += n;
  *got = n;
  return TN_OK;
}

static void drip_close(tn_source *self) {}

static tn_status write_all(ArrowArrayStream *stream, const ArrowSchema *schema, tn_sink *sink,
                           tn_error *err) {
  tn_csv_writer *w;
  ArrowArray batch;
  TN_TRY(tn_csv_writer_new(&w, sink, schema, NULL, err));
  tn_status status;
  while ((status = tn_stream_next(stream, &batch, err)) == TN_OK) {
    status = tn_csv_writer_batch(w, &batch, err);
    tn_array_clear(&batch);
    if (status != TN_OK) break;
  }
  if (status == TN_END) status = tn_csv_writer_finish(w, err);
  tn_csv_writer_free(w);
  return status;
}

static void read_source(outcome *o, tn_source *source, const tn_csv_options *options) {
  ArrowArrayStream stream;
  tn_sink *sink = NULL;
  o->status = tn_csv_read(&stream, source, options, &o->err);
  if (o->status != TN_OK) return;
  o->status = tn_stream_schema(&stream, &o->schema, &o->err);
  if (o->status == TN_OK) o->status = tn_sink_open_memory(&sink, "w", &o->text, &o->err);
  if (o->status == TN_OK) o->status = write_all(&stream, &o->schema, sink, &o->err);
  tn_sink_close(sink);
  tn_stream_clear(&stream);
}

/* drop_bytes 0: a file, else a pipe. */
static outcome read_csv(const uint8_t *data, size_t size, size_t drop_bytes, tn_on_error on_error,
                        tn_csv_options options) {
  outcome o = {0};
  dripping d = {{.name = "f", .size_bytes = -1, .read = drip, .close = drip_close},
                data,
                data + size,
                drop_bytes};
  tn_source *source = &d.source;
  tn_sink *sink = NULL;
  tn_status made = tn_sink_open_memory(&sink, "bad", &o.bad, &o.err);
  if (made == TN_OK && drop_bytes == 0)
    made = tn_source_open_memory(&source, "f", data, size, &o.err);
  assert(made == TN_OK);
  tn_bad_rows bad = {.on_error = on_error, .sink = sink};
  options.bad_rows = &bad;
  read_source(&o, source, &options);
  tn_sink_close(sink);
  return o;
}

static void clear(outcome *o) {
  tn_strbuf_clear(&o->text);
  tn_strbuf_clear(&o->bad);
  tn_schema_clear(&o->schema);
}

static void must_be_same(const outcome *a, const outcome *b) {
  assert(a->status == b->status);
  /* After a failure how much was written depends on where blocks end; the words do too, where two
   * things are wrong. */
  if (a->status != TN_OK) return;
  assert(tn_str_equal(tn_strbuf_view(&a->text), tn_strbuf_view(&b->text)));
  assert(tn_str_equal(tn_strbuf_view(&a->bad), tn_strbuf_view(&b->bad)));
}

static tn_pool *two_threads(void) {
  static tn_pool *pool;
  if (!pool && tn_pool_new(&pool, 2, NULL) != TN_OK) pool = NULL;
  return pool;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const separators[] = {NULL, ",", ";", ", ", "||", "tab", " ", NULL};
  static const char *const encodings[] = {NULL, "utf-8", "latin-1", "utf-16"};
  static const int64_t blocks[] = {0, 1, 7, 64};
  if (size < 4) return 0;
  tn_on_error on_error = (tn_on_error)(data[0] % 3);
  tn_csv_options options = {.separator = separators[data[1] & 7],
                            .encoding = encodings[data[1] >> 3 & 3],
                            .exact_dialect = data[1] & 32,
                            .no_header = data[1] & 64,
                            .all_text = data[1] & 128,
                            .escape = data[0] & 64 ? "\\" : NULL,
                            .comment = data[0] & 128 ? "#" : NULL,
                            .infer_rows = data[2] & 1 ? 2 : 0,
                            .batch_rows = data[2] & 2 ? 3 : 0,
                            .field_bytes_max = data[2] & 4 ? 50 : 0,
                            .header_rows = data[2] & 8 ? 2 : 0,
                            .table = data[2] & 16 ? 2 : 0};
  size_t drop_bytes = 1 + data[3] % 60;
  const int64_t block_bytes = blocks[data[2] >> 5 & 3];
  data += 4;
  size -= 4;
  outcome whole = read_csv(data, size, 0, on_error, options);
  outcome drops = read_csv(data, size, drop_bytes, on_error, options);
  must_be_same(&whole, &drops);
  tn_csv_options cut = options;
  cut.block_bytes = block_bytes ? block_bytes : 20;
  cut.pool = two_threads();
  outcome pieces = read_csv(data, size, 0, on_error, cut);
  must_be_same(&whole, &pieces);
  if (whole.status == TN_OK && whole.schema.n_children > 0) {
    tn_csv_options again = {.schema = &whole.schema, .exact_dialect = true};
    outcome back =
        read_csv((const uint8_t *)whole.text.data, whole.text.length, 0, TN_ON_ERROR_FAIL, again);
    assert(back.status == TN_OK);
    assert(tn_str_equal(tn_strbuf_view(&whole.text), tn_strbuf_view(&back.text)));
    clear(&back);
  }
  clear(&whole);
  clear(&drops);
  clear(&pieces);
  return 0;
}
