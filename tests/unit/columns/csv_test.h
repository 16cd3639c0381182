/* csv_test.h - a whole CSV read and written again, for the tests of CSV. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_CSV_TEST_H
#define TN_TESTS_CSV_TEST_H
#include "columns_test.h"

#include "columns/csv.h"

/* A whole CSV as the writer shows it after the reader has read it; `types` is "name:type ...". */
typedef struct result {
  tn_strbuf types, text;
  int64_t rows, batches;
  tn_status status;
  tn_error err;
} result;

static inline void clear(result *r) {
  tn_strbuf_clear(&r->types);
  tn_strbuf_clear(&r->text);
}

static inline tn_status drain(ArrowArrayStream *stream, result *r, tn_sink *sink, tn_error *err) {
  ArrowSchema schema = {0};
  ArrowArray batch;
  tn_csv_writer *w = NULL;
  tn_arena arena = {0};
  tn_field *fields = NULL;
  TN_TRY(tn_stream_schema(stream, &schema, err));
  tn_status status = tn_field_tree(&fields, &arena, &schema, err);
  for (int64_t c = 0; status == TN_OK && c < schema.n_children; c++) {
    tn_strbuf_addf(&r->types, "%s%s:", c ? " " : "", schema.children[c]->name);
    tn_field_text(&fields->children[c], &r->types);
  }
  tn_arena_clear(&arena);
  if (status == TN_OK) status = tn_csv_writer_new(&w, sink, &schema, NULL, err);
  tn_schema_clear(&schema);
  while (status == TN_OK) {
    status = tn_stream_next(stream, &batch, err);
    if (status != TN_OK) break;
    r->rows += batch.length;
    r->batches++;
    status = tn_csv_writer_batch(w, &batch, err);
    tn_array_clear(&batch);
  }
  /* What came before a failure counts too. */
  if (w) {
    tn_status finished = tn_csv_writer_finish(w, status == TN_END ? err : NULL);
    if (status == TN_END) status = finished;
  }
  tn_csv_writer_free(w);
  return status == TN_OK ? tn_strbuf_check(&r->types, err) : status;
}

static inline result read_sources(tn_source *const *sources, int32_t count,
                                  const tn_csv_options *options) {
  ArrowArrayStream stream;
  tn_sink *sink;
  result r = {0};
  r.status = tn_csv_read_many(&stream, sources, count, options, &r.err);
  if (r.status != TN_OK) return r;
  r.status = tn_sink_open_memory(&sink, "out", &r.text, &r.err);
  if (r.status == TN_OK) {
    r.status = drain(&stream, &r, sink, &r.err);
    tn_sink_close(sink);
  }
  tn_stream_clear(&stream);
  return r;
}

static inline result read_bytes(const void *text, size_t length, const tn_csv_options *options) {
  tn_source *source;
  OK(tn_source_open_memory(&source, "t.csv", text, length, &problem));
  return read_sources(&source, 1, options);
}

#endif
