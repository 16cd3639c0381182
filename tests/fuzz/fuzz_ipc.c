/* fuzz_ipc.c - any bytes as an Arrow IPC file or stream, from memory and from a pipe: an error, or
 * arrays that validate, that can be written in every form, and read again with the same values. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "columns/equal.h"
#include "columns/ipc.h"
#include "columns/validate.h"

enum { ROWS_COMPARED_MAX = 3000, BATCHES_KEPT_MAX = 8 };

static const tn_ipc_write_options forms[] = {{0},
                                             {.stream = true},
                                             {.stream = true, .codec = TN_IPC_ZSTD},
                                             {.stream = true, .codec = TN_IPC_LZ4}};

/* Of all nodes together: what comparing and writing may cost. */
static int64_t rows_of(const ArrowArray *a) {
  int64_t rows = a->length;
  for (int64_t i = 0; i < a->n_children; i++) rows += rows_of(a->children[i]);
  return a->dictionary ? rows + rows_of(a->dictionary) : rows;
}

typedef struct table {
  ArrowSchema schema;
  tn_arena arena;
  tn_field *root;
  ArrowArray batches[BATCHES_KEPT_MAX];
  int count;
} table;

/* What is read, up to a few batches; true when it ended without an error. */
static bool read_table(ArrowArrayStream *stream, table *t) {
  tn_error err = {0};
  tn_status status = TN_OK;
  if (tn_stream_schema(stream, &t->schema, &err) != TN_OK) __builtin_trap();
  if (tn_field_tree(&t->root, &t->arena, &t->schema, &err) != TN_OK) __builtin_trap();
  while (t->count < BATCHES_KEPT_MAX) {
    ArrowArray *batch = &t->batches[t->count];
    status = tn_stream_next(stream, batch, &err);
    if (status != TN_OK) break;
    t->count++;
    if (rows_of(batch) > ROWS_COMPARED_MAX) return false;
    if (tn_array_validate(t->root, batch, false, &err) != TN_OK) __builtin_trap();
  }
  assert(status == TN_OK || status == TN_END || err.text[0]);
  return status == TN_OK || status == TN_END;
}

static void table_clear(table *t) {
  for (int i = 0; i < t->count; i++) tn_array_clear(&t->batches[i]);
  tn_schema_clear(&t->schema);
  tn_arena_clear(&t->arena);
}

static tn_status write_table(const table *t, const tn_ipc_write_options *form, tn_strbuf *out) {
  tn_sink *sink;
  tn_ipc_writer *w;
  tn_error err = {0};
  if (tn_sink_open_memory(&sink, "w", out, NULL) != TN_OK) __builtin_trap();
  tn_status status = tn_ipc_writer_open(&w, sink, &t->schema, form, &err);
  assert(status == TN_OK);
  for (int i = 0; status == TN_OK && i < t->count; i++)
    status = tn_ipc_writer_batch(w, &t->batches[i], &err);
  if (status == TN_OK) status = tn_ipc_writer_finish(w, &err);
  /* Only a dictionary that changes cannot go into a file. */
  assert(status == TN_OK || (status == TN_ERR_UNSUPPORTED && !form->stream));
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  return status;
}

static void must_read_the_same(const table *t, const tn_strbuf *bytes) {
  tn_source *source;
  ArrowArrayStream stream;
  table again = {0};
  if (tn_source_open_memory(&source, "again", bytes->data, bytes->length, NULL) != TN_OK) return;
  if (tn_ipc_read(&stream, source, NULL) != TN_OK) __builtin_trap();
  if (!read_table(&stream, &again)) __builtin_trap();
  assert(again.count == t->count);
  for (int i = 0; i < t->count; i++)
    assert(tn_array_equal(t->root, &t->batches[i], again.root, &again.batches[i]));
  table_clear(&again);
  tn_stream_clear(&stream);
}

static void go_round(ArrowArrayStream *stream, size_t pick) {
  table t = {0};
  if (read_table(stream, &t)) {
    tn_strbuf bytes = {0};
    if (write_table(&t, &forms[pick % 4], &bytes) == TN_OK) must_read_the_same(&t, &bytes);
    tn_strbuf_clear(&bytes);
  }
  table_clear(&t);
}

static void read_source(tn_source *source, const char *const *columns, int32_t count, size_t pick) {
  ArrowArrayStream stream;
  tn_error err = {0};
  tn_ipc_read_options options = {
      .columns = columns, .column_count = count, .batch_bytes_max = 1 << 20};
  if (tn_ipc_read_with(&stream, source, &options, &err) != TN_OK) {
    assert(err.text[0]);
    return;
  }
  go_round(&stream, pick);
  tn_stream_clear(&stream);
}

/* ---- a pipe over the same bytes ---- */
typedef struct pipe_source {
  tn_source base;
  const uint8_t *data;
  size_t size;
} pipe_source;

static tn_status pipe_read(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  pipe_source *p = (pipe_source *)self;
  *got = bytes < 13 ? bytes : 13;
  if (*got > p->size) *got = p->size;
  if (*got) memcpy(dst, p->data, *got);
  p->data += *got;
  p->size -= *got;
  return TN_OK;
}
static void pipe_close(tn_source *self) {}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A name of the seeds; what is beside it is stepped over. */
  static const char *const one[] = {"s"};
  tn_source *source;
  pipe_source pipe = {{"pipe", -1, .read = pipe_read, .close = pipe_close}, data, size};
  if (tn_source_open_memory(&source, "f", data, size, NULL) != TN_OK) return 0;
  read_source(source, NULL, 0, size);
  if (tn_source_open_memory(&source, "f", data, size, NULL) != TN_OK) return 0;
  read_source(source, one, 1, size);
  read_source(&pipe.base, NULL, 0, size + 1);
  return 0;
}
