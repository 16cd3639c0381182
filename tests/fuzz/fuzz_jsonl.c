/* fuzz_jsonl.c - any bytes as JSON lines: the reader never crashes, says the same whatever the size
 * of its blocks, both engines agree, and what the writer makes of the table reads back as itself.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "columns/jsonl.h"
#include "columns/jsonl_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct outcome {
  tn_status status;
  tn_error err;
  tn_strbuf text;
  int64_t skipped;
} outcome;

static void check(bool holds) {
  if (!holds) abort();
}

static tn_status rewrite(ArrowArrayStream *stream, tn_strbuf *out, tn_error *err) {
  ArrowSchema schema = {0};
  ArrowArray batch;
  tn_jsonl_writer *w = NULL;
  tn_sink *sink = NULL;
  tn_status status = tn_sink_open_memory(&sink, "w", out, err);
  if (status == TN_OK) status = tn_stream_schema(stream, &schema, err);
  if (status == TN_OK) status = tn_jsonl_writer_new(&w, sink, &schema, err);
  while (status == TN_OK) {
    status = tn_stream_next(stream, &batch, err);
    if (status != TN_OK) break;
    status = tn_jsonl_writer_batch(w, &batch, err);
    tn_array_clear(&batch);
  }
  if (status == TN_END) status = tn_jsonl_writer_finish(w, err);
  tn_jsonl_writer_free(w);
  tn_sink_close(sink);
  tn_schema_clear(&schema);
  return status;
}

static outcome read_jsonl(const uint8_t *data, size_t size, tn_jsonl_options o, tn_on_error mode) {
  outcome r = {0};
  tn_bad_rows bad = {.on_error = mode};
  tn_source *source;
  ArrowArrayStream stream;
  o.bad = &bad;
  check(tn_source_open_memory(&source, "f", data, size, &r.err) == TN_OK);
  r.status = tn_jsonl_read(&stream, source, &o, &r.err);
  if (r.status != TN_OK) return r;
  r.status = rewrite(&stream, &r.text, &r.err);
  r.skipped = bad.skipped;
  tn_stream_clear(&stream);
  return r;
}

static bool same_text(const outcome *a, const outcome *b) {
  return tn_str_equal(tn_strbuf_view(&a->text), tn_strbuf_view(&b->text));
}

static bool infers(const tn_jsonl_engine *engine, const uint8_t *data, size_t size,
                   tn_jsonl_fault *fault) {
  uint8_t *block = tn_alloc(size + TN_JSONL_PADDING, 1);
  check(block);
  if (size) memcpy(block, data, size);
  tn_arena arena = {0};
  tn_jsonl_walk w = {.begin = block,
                     .at = block,
                     .end = block + size,
                     .depth_max = 100,
                     .dates = true,
                     .arena = &arena,
                     .shape = tn_jsonl_shape_new(&arena, true)};
  w.shape->root = true;
  bool ok = engine->infer(&w);
  *fault = w.fault;
  fault->at = w.fault.at ? (const uint8_t *)(w.fault.at - block) : NULL; /* an offset, to compare */
  tn_jsonl_walk_clear(&w);
  tn_arena_clear(&arena);
  tn_free(block);
  return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  int64_t live = tn_alloc_live();
  tn_jsonl_options o = {.no_dates = data[0] & 1,
                        .sample = data[0] & 2,
                        .sample_bytes = data[0] & 2 ? 20 : 0,
                        .rest_column = data[0] & 4 ? "rest" : NULL,
                        .batch_rows = data[0] & 8 ? 3 : 0,
                        .depth_max = data[0] & 16 ? 5 : 0};
  tn_on_error mode = (data[0] >> 5) % 3;
  const uint8_t *text = data + 2;
  size -= 2;
  outcome whole = read_jsonl(text, size, o, mode);
  o.block_bytes = 1 + data[1];
  outcome blocks = read_jsonl(text, size, o, mode);
  check(whole.status == blocks.status);
  if (whole.status == TN_OK) {
    check(same_text(&whole, &blocks) && whole.skipped == blocks.skipped);
  }
  /* What the rest column holds comes back as a struct, with a null for each key it lacks. */
  if (whole.status == TN_OK && !o.rest_column) {
    tn_jsonl_options again = {.no_dates = o.no_dates};
    outcome back =
        read_jsonl((const uint8_t *)whole.text.data, whole.text.length, again, TN_ON_ERROR_FAIL);
    check(back.status == TN_OK && same_text(&whole, &back));
    tn_strbuf_clear(&back.text);
  }
  if (whole.status != TN_OK) {
    check(whole.err.status == whole.status && whole.err.text[0]);
  }
  tn_jsonl_fault plain = {0}, best = {0};
  check(infers(&tn_jsonl_plain, text, size, &plain) ==
        infers(tn_jsonl_engine_best(), text, size, &best));
  check(plain.status == best.status && plain.at == best.at &&
        strcmp(plain.reason, best.reason) == 0);
  tn_strbuf_clear(&whole.text);
  tn_strbuf_clear(&blocks.text);
  check(tn_alloc_live() == live);
  return 0;
}
