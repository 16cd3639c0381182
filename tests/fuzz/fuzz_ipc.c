/* fuzz_ipc.c - any bytes as an Arrow IPC file: an error or values that are safe to touch, and what
 * was read can be written and read again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "columns/ipc.h"

/* Shows every value; a buffer that is too short for its rows is found here. */
static void touch(const ArrowArray *batch, const ArrowSchema *schema, tn_strbuf *text) {
  for (int64_t c = 0; c < batch->n_children; c++) {
    tn_column_type type;
    if (tn_column_type_of(schema->children[c], &type, NULL) != TN_OK) __builtin_trap();
    const ArrowArray *a = batch->children[c];
    assert(a->null_count >= 0 && a->null_count <= a->length);
    for (int64_t row = 0; row < a->length; row++) {
      tn_array_text(a, type, row, text);
      tn_strbuf_add_char(text, '|');
    }
  }
}

/* Reads all batches into text and, where `w` is given, writes them. */
static tn_status read_all(ArrowArrayStream *stream, const ArrowSchema *schema, tn_ipc_writer *w,
                          tn_strbuf *text) {
  ArrowArray batch;
  tn_error err = {0};
  tn_status status;
  while ((status = tn_stream_next(stream, &batch, &err)) == TN_OK) {
    touch(&batch, schema, text);
    if (w && tn_ipc_writer_batch(w, &batch, &err) != TN_OK) __builtin_trap();
    tn_array_clear(&batch);
  }
  assert(status == TN_END || err.text[0]);
  return status;
}

static void read_again(const tn_strbuf *file, const ArrowSchema *schema,
                       const tn_strbuf *expected) {
  tn_source *source;
  ArrowArrayStream stream;
  tn_strbuf text = {0};
  if (tn_source_open_memory(&source, "again", file->data, file->length, NULL) != TN_OK) return;
  if (tn_ipc_read(&stream, source, NULL) != TN_OK) __builtin_trap();
  if (read_all(&stream, schema, NULL, &text) != TN_END) __builtin_trap();
  assert(text.length == expected->length);
  assert(text.length == 0 || memcmp(text.data, expected->data, text.length) == 0);
  tn_strbuf_clear(&text);
  tn_stream_clear(&stream);
}

static void go_round(ArrowArrayStream *stream) {
  ArrowSchema schema;
  tn_strbuf text = {0}, file = {0};
  tn_sink *sink;
  tn_ipc_writer *w;
  if (tn_stream_schema(stream, &schema, NULL) != TN_OK) return;
  if (tn_sink_open_memory(&sink, "w", &file, NULL) != TN_OK) __builtin_trap();
  if (tn_ipc_writer_new(&w, sink, &schema, NULL, 0, NULL) != TN_OK) __builtin_trap();
  bool whole = read_all(stream, &schema, w, &text) == TN_END;
  if (whole && tn_ipc_writer_finish(w, NULL) != TN_OK) __builtin_trap();
  if (whole) read_again(&file, &schema, &text);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_schema_clear(&schema);
  tn_strbuf_clear(&file);
  tn_strbuf_clear(&text);
}

static void read_file(const uint8_t *data, size_t size, const char *const *columns, int32_t count) {
  tn_source *source;
  ArrowArrayStream stream;
  tn_error err = {0};
  if (tn_source_open_memory(&source, "f", data, size, NULL) != TN_OK) return;
  if (tn_ipc_read_columns(&stream, source, columns, count, &err) != TN_OK) {
    assert(err.text[0]);
    return;
  }
  go_round(&stream);
  tn_stream_clear(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const one[] = {
      "s"}; /* a name of the seeds; what is beside it is stepped over */
  read_file(data, size, NULL, 0);
  read_file(data, size, one, 1);
  return 0;
}
