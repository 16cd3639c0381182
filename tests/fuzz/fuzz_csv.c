/* fuzz_csv.c - any bytes as CSV: the reader never crashes, says the same whether the bytes come at
 * once or in drops, and what the writer makes of the table reads back as the same table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "columns/csv.h"

enum { COLUMNS_MAX = 64 };

typedef struct outcome {
  tn_status status;
  tn_error err;
  tn_strbuf text;
  tn_column_type types[COLUMNS_MAX];
  int32_t columns; /* more than COLUMNS_MAX: types are not kept */
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

static outcome read_csv(const uint8_t *data, size_t size, size_t drop_bytes,
                        const tn_csv_options *options) {
  outcome o = {0};
  dripping d = {{.name = "f", .size_bytes = -1, .read = drip, .close = drip_close},
                data,
                data + size,
                drop_bytes};
  ArrowArrayStream stream;
  ArrowSchema schema = {0};
  tn_sink *sink = NULL;
  o.status = tn_csv_read(&stream, &d.source, options, &o.err);
  if (o.status != TN_OK) return o;
  o.status = tn_stream_schema(&stream, &schema, &o.err);
  if (o.status == TN_OK) o.status = tn_sink_open_memory(&sink, "w", &o.text, &o.err);
  for (int64_t c = 0; o.status == TN_OK && c < schema.n_children && c < COLUMNS_MAX; c++)
    o.status = tn_column_type_of(schema.children[c], &o.types[c], &o.err);
  o.columns = (int32_t)schema.n_children;
  if (o.status == TN_OK) o.status = write_all(&stream, &schema, sink, &o.err);
  tn_sink_close(sink);
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
  return o;
}

static bool same_text(const outcome *a, const outcome *b) {
  return a->text.length == b->text.length &&
         (a->text.length == 0 || memcmp(a->text.data, b->text.data, a->text.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  tn_csv_options options = {.separator = data[0] & 1 ? ";" : ",",
                            .no_header = data[0] & 2,
                            .infer_rows = data[0] & 4 ? 2 : 0,
                            .batch_rows = data[0] & 8 ? 3 : 0,
                            .field_bytes_max = data[0] & 16 ? 50 : 0};
  size_t drop_bytes = 1 + data[1] % 60;
  outcome whole = read_csv(data + 2, size - 2, size, &options);
  outcome drops = read_csv(data + 2, size - 2, drop_bytes, &options);
  assert(whole.status == drops.status);
  /* After a failure how much was written depends on where the drops end; the words do too, where
   * two things are wrong. */
  if (whole.status == TN_OK) assert(same_text(&whole, &drops));
  if (whole.status == TN_OK && whole.columns <= COLUMNS_MAX) {
    tn_csv_options declared = {.types = whole.types, .type_count = whole.columns};
    outcome again = read_csv((const uint8_t *)whole.text.data, whole.text.length, 1000, &declared);
    assert(again.status == TN_OK && same_text(&whole, &again));
    tn_strbuf_clear(&again.text);
  }
  tn_strbuf_clear(&whole.text);
  tn_strbuf_clear(&drops.text);
  return 0;
}
