/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "columns/ipc.h"
#include "columns/ipc_format.h"

typedef struct block { /* as the footer holds it */
  int64_t offset;
  int32_t metadata_bytes, padding;
  int64_t body_bytes;
} block;
_Static_assert(sizeof(block) == TN_IPC_BLOCK_BYTES, "Block of File.fbs");

typedef struct pair {
  int64_t first, second;
} pair;

/* One buffer of a batch on its way to the file. */
typedef struct part {
  const void *data;
  int64_t bytes;
  void *owned; /* when the bytes had to be shifted or rebased */
} part;

struct tn_ipc_writer {
  tn_sink *sink;
  ArrowSchema schema;
  tn_column_type *types;
  tn_strbuf metadata; /* of the schema, in the C Data Interface's encoding */
  tn_strbuf message;
  int64_t position; /* bytes written */
  block *blocks;
  size_t block_count, block_capacity;
  part *parts; /* three a column */
  pair *nodes, *places;
  tn_error failed; /* sticky: a file with half a batch must not get a footer */
};

static int64_t aligned(int64_t bytes) {
  return (bytes + TN_IPC_ALIGN - 1) & ~(int64_t)(TN_IPC_ALIGN - 1);
}

static tn_status write_bytes(tn_ipc_writer *w, const void *bytes, int64_t count, tn_error *err) {
  if (count == 0) return TN_OK;
  TN_TRY(tn_sink_write(w->sink, bytes, (size_t)count, err));
  w->position += count;
  return TN_OK;
}

static tn_status write_padding(tn_ipc_writer *w, int64_t until, tn_error *err) {
  static const char zeros[TN_IPC_ALIGN];
  return write_bytes(w, zeros, until - w->position, err);
}

/* Prefix and metadata, padded so that the body behind begins at a multiple of 64. */
static tn_status write_message(tn_ipc_writer *w, int64_t body_bytes, tn_error *err) {
  TN_TRY(tn_strbuf_check(&w->message, err));
  int64_t start = w->position;
  int64_t end = aligned(start + 8 + (int64_t)w->message.length);
  if (end - start > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: %lld bytes of metadata, limit 2 GiB", w->sink->name,
                   (long long)(end - start));
  int32_t prefix[2] = {-1, (int32_t)(end - start - 8)};
  TN_TRY(write_bytes(w, prefix, 8, err));
  TN_TRY(write_bytes(w, w->message.data, (int64_t)w->message.length, err));
  return write_padding(w, end, err);
}

static size_t begin_message(tn_ipc_writer *w, uint64_t header_type, int64_t body_bytes) {
  tn_flat_field fields[] = {{TN_IPC_MESSAGE_BODY_BYTES, 8, (uint64_t)body_bytes},
                            {TN_IPC_MESSAGE_HEADER, 4},
                            {TN_IPC_MESSAGE_VERSION, 2, TN_IPC_VERSION_5},
                            {TN_IPC_MESSAGE_HEADER_TYPE, 1, header_type}};
  tn_flat_begin(&w->message);
  tn_flat_point(&w->message, 0, tn_flat_add_table(&w->message, fields, 4));
  return fields[1].at;
}

/* ---- opening ---- */
static bool is_replaced(tn_str key, const char *const *metadata, int32_t count) {
  for (int32_t i = 0; i < count; i++)
    if (tn_str_is(key, metadata[2 * i])) return true;
  return false;
}

static void add_text(tn_strbuf *b, tn_str text) {
  int32_t length = (int32_t)text.length;
  tn_strbuf_append(b, &length, 4);
  tn_strbuf_add_str(b, text);
}

/* The schema's own pairs, but for those with a new value, then the new ones. */
static void merge_metadata(tn_strbuf *out, const char *own, const char *const *metadata,
                           int32_t count) {
  int32_t own_pairs = 0, pairs = count;
  int64_t at = 4;
  if (own) memcpy(&own_pairs, own, 4);
  tn_strbuf_append(out, &pairs, 4);
  for (int32_t i = 0; i < own_pairs; i++) {
    tn_str key = tn_metadata_next(own, &at), value = tn_metadata_next(own, &at);
    if (is_replaced(key, metadata, count)) continue;
    add_text(out, key);
    add_text(out, value);
    pairs++;
  }
  for (int32_t i = 0; i < 2 * count; i++) add_text(out, tn_str_of(metadata[i]));
  if (!out->failed) memcpy(out->data, &pairs, 4);
  if (pairs == 0) tn_strbuf_clear(out);
}

static tn_status write_start(tn_ipc_writer *w, tn_error *err) {
  TN_TRY(tn_strbuf_check(&w->metadata, err));
  TN_TRY(write_bytes(w, TN_IPC_MAGIC "\0", 8, err));
  size_t header = begin_message(w, TN_IPC_HEADER_SCHEMA, 0);
  tn_flat_point(&w->message, header,
                tn_ipc_add_schema(&w->message, &w->schema, w->types, w->metadata.data));
  return write_message(w, 0, err);
}

static tn_status writer_init(tn_ipc_writer *w, const ArrowSchema *schema,
                             const char *const *metadata, int32_t metadata_count, tn_error *err) {
  size_t columns = (size_t)schema->n_children;
  w->types = tn_alloc(columns, sizeof *w->types);
  w->parts = tn_alloc(3 * columns, sizeof *w->parts);
  w->nodes = tn_alloc(columns, sizeof *w->nodes);
  w->places = tn_alloc(3 * columns, sizeof *w->places);
  if (!w->types || !w->parts || !w->nodes || !w->places)
    return tn_fail_memory(err, "Arrow IPC writer", columns * 8 * sizeof(int64_t));
  TN_TRY(tn_schema_copy(&w->schema, schema, err));
  for (size_t c = 0; c < columns; c++)
    TN_TRY(tn_column_type_of(schema->children[c], &w->types[c], err));
  merge_metadata(&w->metadata, schema->metadata, metadata, metadata_count / 2);
  return write_start(w, err);
}

/* metadata_count counts strings: two a pair. */
tn_status tn_ipc_writer_new(tn_ipc_writer **out, tn_sink *sink, const ArrowSchema *schema,
                            const char *const *metadata, int32_t metadata_count, tn_error *err) {
  if (metadata_count < 0 || metadata_count % 2)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: %d metadata strings; keys and values come in pairs",
                   sink->name, metadata_count);
  tn_ipc_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "Arrow IPC writer", sizeof *w);
  w->sink = sink;
  tn_status status = writer_init(w, schema, metadata, metadata_count, err);
  if (status == TN_OK)
    *out = w;
  else
    tn_ipc_writer_free(w);
  return status;
}

void tn_ipc_writer_free(tn_ipc_writer *w) {
  if (!w) return;
  tn_schema_clear(&w->schema);
  tn_strbuf_clear(&w->metadata);
  tn_strbuf_clear(&w->message);
  tn_free(w->types);
  tn_free(w->blocks);
  tn_free(w->parts);
  tn_free(w->nodes);
  tn_free(w->places);
  tn_free(w);
}

/* ---- batches ---- */
/* `count` bits from bit `from` on, moved to begin at a byte. */
static tn_status bit_part(part *out, const uint8_t *bits, int64_t from, int64_t count,
                          tn_error *err) {
  int64_t bytes = (count + 7) / 8;
  *out = (part){bits + from / 8, bytes, NULL};
  int32_t shift = (int32_t)(from % 8);
  if (shift == 0 || bytes == 0) return TN_OK;
  uint8_t *moved = tn_alloc((size_t)bytes, 1);
  if (!moved) return tn_fail_memory(err, "shifted bits", (unsigned long long)bytes);
  int64_t last = (from + count - 1) / 8 - from / 8; /* no byte behind this one is read */
  const uint8_t *p = bits + from / 8;
  for (int64_t i = 0; i < bytes; i++)
    moved[i] = (uint8_t)((p[i] >> shift) | (i < last ? p[i + 1] << (8 - shift) : 0));
  *out = (part){moved, bytes, moved};
  return TN_OK;
}

/* Offsets that begin with 0, and the bytes that they cover. */
static tn_status text_parts(part parts[2], const ArrowArray *a, int64_t from, int64_t rows,
                            tn_error *err) {
  static const int32_t zero;
  parts[0] = (part){&zero, 4, NULL};
  parts[1] = (part){NULL, 0, NULL};
  if (rows == 0) return TN_OK;
  const int32_t *offsets = (const int32_t *)a->buffers[1] + from;
  parts[0] = (part){offsets, (rows + 1) * 4, NULL};
  parts[1] = (part){(const uint8_t *)a->buffers[2] + offsets[0], offsets[rows] - offsets[0], NULL};
  if (offsets[0] == 0) return TN_OK;
  int32_t *rebased = tn_alloc((size_t)rows + 1, 4);
  if (!rebased) return tn_fail_memory(err, "text offsets", (unsigned long long)(rows + 1) * 4);
  for (int64_t i = 0; i <= rows; i++) rebased[i] = offsets[i] - offsets[0];
  parts[0] = (part){rebased, (rows + 1) * 4, rebased};
  return TN_OK;
}

static int64_t count_nulls(const ArrowArray *a, int64_t first, int64_t rows) {
  int64_t nulls = 0;
  if (a->null_count == 0 || !a->buffers[0]) return 0;
  for (int64_t i = 0; i < rows; i++) nulls += tn_array_is_null(a, first + i);
  return nulls;
}

/* Rows first..first+rows of a column as parts; *count of them. */
static tn_status column_parts(tn_ipc_writer *w, int64_t c, const ArrowArray *a, int64_t first,
                              int64_t rows, part *parts, int32_t *count, tn_error *err) {
  int32_t bits = tn_column_type_bits(w->types[c]);
  int64_t from = a->offset + first;
  int64_t nulls = count_nulls(a, first, rows);
  w->nodes[c] = (pair){rows, nulls};
  *count = bits == 0 ? 3 : 2;
  if (nulls > 0) TN_TRY(bit_part(&parts[0], a->buffers[0], from, rows, err));
  if (bits == 0) return text_parts(parts + 1, a, from, rows, err);
  if (rows == 0) return TN_OK;
  if (bits == 1) return bit_part(&parts[1], a->buffers[1], from, rows, err);
  int64_t width = bits / 8;
  parts[1] = (part){(const uint8_t *)a->buffers[1] + from * width, rows * width, NULL};
  return TN_OK;
}

static tn_status check_batch(const tn_ipc_writer *w, const ArrowArray *batch, tn_error *err) {
  if (batch->n_children != w->schema.n_children)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: a batch of %lld columns, expected %lld",
                   w->sink->name, (long long)batch->n_children, (long long)w->schema.n_children);
  if (batch->null_count != 0 && batch->n_buffers > 0 && batch->buffers[0])
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: a record batch with null rows", w->sink->name);
  for (int64_t c = 0; c < batch->n_children; c++)
    if (batch->children[c]->length < batch->offset + batch->length)
      return tn_fail(err, TN_ERR_ARGUMENT, "%s: column \"%s\" has %lld rows, the batch %lld",
                     w->sink->name, w->schema.children[c]->name,
                     (long long)batch->children[c]->length, (long long)batch->length);
  return TN_OK;
}

static tn_status write_batch(tn_ipc_writer *w, int64_t rows, int32_t part_count, tn_error *err) {
  int64_t body = 0;
  for (int32_t i = 0; i < part_count; i++) {
    w->places[i] = (pair){body, w->parts[i].bytes};
    body += aligned(w->parts[i].bytes);
  }
  size_t header = begin_message(w, TN_IPC_HEADER_BATCH, body);
  tn_strbuf *b = &w->message;
  tn_flat_field fields[] = {
      {TN_IPC_BATCH_ROWS, 8, (uint64_t)rows}, {TN_IPC_BATCH_NODES, 4}, {TN_IPC_BATCH_BUFFERS, 4}};
  tn_flat_point(b, header, tn_flat_add_table(b, fields, 3));
  tn_flat_point(b, fields[1].at,
                tn_flat_add_vector(b, w->nodes, (uint32_t)w->schema.n_children, 16, 8));
  tn_flat_point(b, fields[2].at, tn_flat_add_vector(b, w->places, (uint32_t)part_count, 16, 8));
  TN_TRY(
      tn_grow((void **)&w->blocks, &w->block_capacity, w->block_count + 1, sizeof *w->blocks, err));
  int64_t start = w->position;
  TN_TRY(write_message(w, body, err));
  w->blocks[w->block_count++] = (block){start, (int32_t)(w->position - start), 0, body};
  for (int32_t i = 0; i < part_count; i++) {
    TN_TRY(write_bytes(w, w->parts[i].data, w->parts[i].bytes, err));
    TN_TRY(write_padding(w, aligned(w->position), err));
  }
  return TN_OK;
}

static tn_status failed_before(const tn_ipc_writer *w, tn_error *err) {
  if (err) *err = w->failed;
  return w->failed.status;
}

static tn_status keep_failure(tn_ipc_writer *w, tn_status status, tn_error *err) {
  if (status != TN_OK && err) *err = w->failed;
  return status;
}

tn_status tn_ipc_writer_batch(tn_ipc_writer *w, const ArrowArray *batch, tn_error *err) {
  if (w->failed.status != TN_OK) return failed_before(w, err);
  TN_TRY(check_batch(w, batch, err));
  memset(w->parts, 0, 3 * (size_t)batch->n_children * sizeof *w->parts);
  int32_t part_count = 0;
  tn_status status = TN_OK;
  for (int64_t c = 0; status == TN_OK && c < batch->n_children; c++) {
    int32_t count = 0;
    status = column_parts(w, c, batch->children[c], batch->offset, batch->length,
                          w->parts + part_count, &count, &w->failed);
    part_count += count;
  }
  if (status == TN_OK) status = write_batch(w, batch->length, part_count, &w->failed);
  for (int32_t i = 0; i < part_count; i++) tn_free(w->parts[i].owned);
  return keep_failure(w, status, err);
}

static tn_status write_footer(tn_ipc_writer *w, tn_error *err) {
  static const int32_t end_of_stream[2] = {-1, 0};
  tn_strbuf *b = &w->message;
  tn_flat_field fields[] = {{TN_IPC_FOOTER_SCHEMA, 4},
                            {TN_IPC_FOOTER_DICTIONARIES, 4},
                            {TN_IPC_FOOTER_BATCHES, 4},
                            {TN_IPC_FOOTER_VERSION, 2, TN_IPC_VERSION_5}};
  if (w->block_count > INT32_MAX / TN_IPC_BLOCK_BYTES)
    return tn_fail(err, TN_ERR_LIMIT, "%s: %zu record batches in one file", w->sink->name,
                   w->block_count);
  tn_flat_begin(b);
  tn_flat_point(b, 0, tn_flat_add_table(b, fields, 4));
  tn_flat_point(b, fields[0].at, tn_ipc_add_schema(b, &w->schema, w->types, w->metadata.data));
  tn_flat_point(b, fields[1].at, tn_flat_add_vector(b, NULL, 0, TN_IPC_BLOCK_BYTES, 8));
  tn_flat_point(b, fields[2].at,
                tn_flat_add_vector(b, w->blocks, (uint32_t)w->block_count, TN_IPC_BLOCK_BYTES, 8));
  TN_TRY(tn_strbuf_check(b, err));
  int32_t bytes = (int32_t)b->length;
  TN_TRY(write_bytes(w, end_of_stream, 8, err));
  TN_TRY(write_bytes(w, b->data, bytes, err));
  TN_TRY(write_bytes(w, &bytes, 4, err));
  return write_bytes(w, TN_IPC_MAGIC, TN_IPC_MAGIC_BYTES, err);
}

tn_status tn_ipc_writer_finish(tn_ipc_writer *w, tn_error *err) {
  if (w->failed.status != TN_OK) return failed_before(w, err);
  return keep_failure(w, write_footer(w, &w->failed), err);
}
