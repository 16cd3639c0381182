/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "columns/ipc.h"
#include "columns/ipc_body_write.h"
#include "columns/ipc_buffer.h"
#include "columns/ipc_dictionary_write.h"
#include "columns/ipc_format.h"

typedef struct block { /* as the footer holds it */
  int64_t offset;
  int32_t metadata_bytes, padding;
  int64_t body_bytes;
} block;
_Static_assert(sizeof(block) == TN_IPC_BLOCK_BYTES, "Block of File.fbs");

typedef struct block_list {
  block *items;
  size_t count, capacity;
} block_list;

struct tn_ipc_writer {
  tn_sink *sink;
  bool stream;
  tn_ipc_schema schema;
  tn_strbuf metadata, footer_metadata; /* in the C Data Interface's encoding; empty: none */
  tn_strbuf message;
  int64_t position; /* bytes written */
  block_list batches, dictionaries;
  tn_ipc_parts parts;
  tn_ipc_pair *places; /* one a part */
  size_t place_capacity;
  tn_ipc_dictionary_writer *sent;
  tn_ipc_compressor *compressor; /* NULL: none */
  tn_ipc_codec codec;
  int64_t nested_deltas;
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
static tn_status write_message(tn_ipc_writer *w, tn_error *err) {
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

/* Returns where the header's offset lies. */
static size_t begin_message(tn_ipc_writer *w, uint64_t kind, int64_t body_bytes) {
  tn_flat_field fields[] = {{TN_IPC_MESSAGE_BODY_BYTES, 8, (uint64_t)body_bytes},
                            {TN_IPC_MESSAGE_HEADER, 4},
                            {TN_IPC_MESSAGE_VERSION, 2, TN_IPC_VERSION_5},
                            {TN_IPC_MESSAGE_HEADER_TYPE, 1, kind}};
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
  if (own_pairs == 0 && count == 0) return;
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
}

static tn_status write_start(tn_ipc_writer *w, tn_error *err) {
  TN_TRY(tn_strbuf_check(&w->metadata, err));
  TN_TRY(tn_strbuf_check(&w->footer_metadata, err));
  if (!w->stream) TN_TRY(write_bytes(w, TN_IPC_MAGIC "\0", 8, err));
  size_t header = begin_message(w, TN_IPC_HEADER_SCHEMA, 0);
  tn_flat_point(&w->message, header,
                tn_ipc_schema_write(&w->message, &w->schema, w->metadata.data));
  return write_message(w, err);
}

static tn_status writer_init(tn_ipc_writer *w, const ArrowSchema *schema,
                             const tn_ipc_write_options *o, tn_error *err) {
  tn_status status = tn_ipc_schema_copy(&w->schema, schema, err);
  if (status != TN_OK) return tn_error_context(err, status, "%s", w->sink->name);
  TN_TRY(tn_ipc_dictionary_writer_new(&w->sent, &w->schema, o->stream, err));
  w->parts.places = tn_ipc_dictionary_writer_places(w->sent);
  w->stream = o->stream;
  w->codec = o->codec;
  if (o->codec != TN_IPC_PLAIN)
    TN_TRY(tn_ipc_compressor_new(
        &w->compressor, o->codec == TN_IPC_ZSTD ? TN_IPC_CODEC_ZSTD : TN_IPC_CODEC_LZ4_FRAME,
        o->level, err));
  merge_metadata(&w->metadata, schema->metadata, o->metadata, o->metadata_count / 2);
  merge_metadata(&w->footer_metadata, NULL, o->footer_metadata, o->footer_metadata_count / 2);
  return write_start(w, err);
}

static tn_status check_pairs(const tn_sink *sink, int32_t count, tn_error *err) {
  if (count >= 0 && count % 2 == 0) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "%s: %d metadata strings; keys and values come in pairs",
                 sink->name, count);
}

tn_status tn_ipc_writer_open(tn_ipc_writer **out, tn_sink *sink, const ArrowSchema *schema,
                             const tn_ipc_write_options *options, tn_error *err) {
  static const tn_ipc_write_options defaults;
  if (!options) options = &defaults;
  TN_TRY(check_pairs(sink, options->metadata_count, err));
  TN_TRY(check_pairs(sink, options->footer_metadata_count, err));
  tn_ipc_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "Arrow IPC writer", sizeof *w);
  w->sink = sink;
  tn_status status = writer_init(w, schema, options, err);
  if (status == TN_OK)
    *out = w;
  else
    tn_ipc_writer_free(w);
  return status;
}

tn_status tn_ipc_writer_new(tn_ipc_writer **out, tn_sink *sink, const ArrowSchema *schema,
                            const char *const *metadata, int32_t metadata_count, tn_error *err) {
  tn_ipc_write_options options = {.metadata = metadata, .metadata_count = metadata_count};
  return tn_ipc_writer_open(out, sink, schema, &options, err);
}

void tn_ipc_writer_free(tn_ipc_writer *w) {
  if (!w) return;
  tn_ipc_dictionary_writer_free(w->sent);
  tn_ipc_schema_clear(&w->schema);
  tn_ipc_compressor_free(w->compressor);
  tn_ipc_parts_clear(&w->parts);
  tn_strbuf_clear(&w->metadata);
  tn_strbuf_clear(&w->footer_metadata);
  tn_strbuf_clear(&w->message);
  tn_free(w->batches.items);
  tn_free(w->dictionaries.items);
  tn_free(w->places);
  tn_free(w);
}

/* ---- batches ---- */
static tn_status check_batch(const tn_ipc_writer *w, const ArrowArray *batch, tn_error *err) {
  if (batch->n_children != w->schema.schema.n_children)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: a batch of %lld columns, expected %lld",
                   w->sink->name, (long long)batch->n_children,
                   (long long)w->schema.schema.n_children);
  if (batch->null_count != 0 && batch->n_buffers > 0 && batch->buffers[0])
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: a record batch with null rows", w->sink->name);
  for (int64_t c = 0; c < batch->n_children; c++)
    if (batch->children[c]->length < batch->offset + batch->length)
      return tn_fail(err, TN_ERR_ARGUMENT, "%s: column \"%s\" has %lld rows, the batch %lld",
                     w->sink->name, w->schema.schema.children[c]->name,
                     (long long)batch->children[c]->length, (long long)batch->length);
  return TN_OK;
}

static tn_status compress_parts(tn_ipc_writer *w, tn_error *err) {
  for (size_t i = 0; w->compressor && i < w->parts.part_count; i++) {
    tn_ipc_part *part = &w->parts.parts[i];
    tn_ipc_part packed = {0};
    if (part->bytes == 0) continue;
    TN_TRY(
        tn_ipc_compress(w->compressor, part->data, part->bytes, &packed.owned, &packed.bytes, err));
    packed.data = packed.owned;
    tn_free(part->owned);
    *part = packed;
  }
  return TN_OK;
}

/* Where each part will lie in the body, whose size is returned. */
static int64_t place_parts(tn_ipc_writer *w) {
  int64_t body = 0;
  for (size_t i = 0; i < w->parts.part_count; i++) {
    w->places[i] = (tn_ipc_pair){body, w->parts.parts[i].bytes};
    body += aligned(w->parts.parts[i].bytes);
  }
  return body;
}

static size_t add_compression(tn_ipc_writer *w) {
  tn_flat_field fields[] = {{TN_IPC_COMPRESSION_CODEC, 1,
                             w->codec == TN_IPC_ZSTD ? TN_IPC_CODEC_ZSTD : TN_IPC_CODEC_LZ4_FRAME},
                            {TN_IPC_COMPRESSION_METHOD, 1}};
  return tn_flat_add_table(&w->message, fields, 2);
}

/* A RecordBatch table over w->parts and w->places; returns its position. */
static size_t add_batch(tn_ipc_writer *w, int64_t rows) {
  tn_strbuf *b = &w->message;
  tn_flat_field fields[5] = {
      {TN_IPC_BATCH_ROWS, 8, (uint64_t)rows}, {TN_IPC_BATCH_NODES, 4}, {TN_IPC_BATCH_BUFFERS, 4}};
  int32_t count = 3, compression = -1, views = -1;
  if (w->compressor) {
    compression = count;
    fields[count++] = (tn_flat_field){TN_IPC_BATCH_COMPRESSION, 4};
  }
  if (w->parts.view_count) {
    views = count;
    fields[count++] = (tn_flat_field){TN_IPC_BATCH_VARIADIC, 4};
  }
  size_t table = tn_flat_add_table(b, fields, count);
  tn_flat_point(
      b, fields[1].at,
      tn_flat_add_vector(b, w->parts.nodes, (uint32_t)w->parts.node_count, TN_IPC_PAIR_BYTES, 8));
  tn_flat_point(
      b, fields[2].at,
      tn_flat_add_vector(b, w->places, (uint32_t)w->parts.part_count, TN_IPC_PAIR_BYTES, 8));
  if (compression >= 0) tn_flat_point(b, fields[compression].at, add_compression(w));
  if (views >= 0)
    tn_flat_point(b, fields[views].at,
                  tn_flat_add_vector(b, w->parts.views, (uint32_t)w->parts.view_count, 8, 8));
  return table;
}

static tn_status write_body(tn_ipc_writer *w, tn_error *err) {
  for (size_t i = 0; i < w->parts.part_count; i++) {
    TN_TRY(write_bytes(w, w->parts.parts[i].data, w->parts.parts[i].bytes, err));
    TN_TRY(write_padding(w, aligned(w->position), err));
  }
  return TN_OK;
}

/* What w->parts holds as one message; `dictionary` is a node with one, NULL: a batch. */
static tn_status write_parts(tn_ipc_writer *w, int64_t rows, const tn_ipc_node *dictionary,
                             bool is_delta, tn_error *err) {
  block_list *list = dictionary ? &w->dictionaries : &w->batches;
  tn_strbuf *b = &w->message;
  if (w->parts.part_count > INT32_MAX / TN_IPC_PAIR_BYTES)
    return tn_fail(err, TN_ERR_LIMIT, "%s: a batch of %zu buffers", w->sink->name,
                   w->parts.part_count);
  TN_TRY(tn_grow((void **)&w->places, &w->place_capacity, w->parts.part_count, sizeof *w->places,
                 err));
  TN_TRY(
      tn_grow((void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items, err));
  TN_TRY(compress_parts(w, err));
  int64_t body = place_parts(w);
  size_t header =
      begin_message(w, dictionary ? TN_IPC_HEADER_DICTIONARY : TN_IPC_HEADER_BATCH, body);
  if (dictionary) {
    tn_flat_field fields[] = {
        {TN_IPC_DICTIONARY_ID, 8, (uint64_t)w->schema.dictionaries[dictionary->dictionary].id},
        {TN_IPC_DICTIONARY_DATA, 4},
        {TN_IPC_DICTIONARY_IS_DELTA, 1, is_delta}};
    tn_flat_point(b, header, tn_flat_add_table(b, fields, 3));
    header = fields[1].at;
  }
  tn_flat_point(b, header, add_batch(w, rows));
  int64_t start = w->position;
  TN_TRY(write_message(w, err));
  list->items[list->count++] = (block){start, (int32_t)(w->position - start), 0, body};
  return write_body(w, err);
}

/* ---- dictionaries ---- */
/* Those of a field and below, the inner ones first. */
static tn_status write_dictionaries(tn_ipc_writer *w, const tn_ipc_node *n, const ArrowArray *a,
                                    tn_error *err) {
  if (!n->inner) return TN_OK;
  if (a->n_children != n->field->child_count || (n->values && !a->dictionary))
    return tn_fail(err, TN_ERR_ARGUMENT, "column \"%.100s\": an array not of the schema's type",
                   n->field->name);
  for (int64_t i = 0; i < n->field->child_count; i++)
    TN_TRY(write_dictionaries(w, &n->children[i], a->children[i], err));
  if (!n->values) return TN_OK;
  TN_TRY(write_dictionaries(w, n->values, a->dictionary, err));
  tn_ipc_dictionary_step step;
  TN_TRY(tn_ipc_dictionary_writer_next(w->sent, n, a->dictionary, &step, err));
  if (!step.is_new) return TN_OK;
  w->nested_deltas += step.is_delta && n->values->inner;
  tn_ipc_parts_reset(&w->parts);
  TN_TRY(tn_ipc_parts_add(&w->parts, n->values, step.values, step.from, step.count, err));
  return write_parts(w, step.count, n, step.is_delta, err);
}

static tn_status write_batch(tn_ipc_writer *w, const ArrowArray *batch, tn_error *err) {
  const tn_ipc_node *root = w->schema.root;
  for (int64_t c = 0; c < batch->n_children; c++)
    TN_TRY(write_dictionaries(w, &root->children[c], batch->children[c], err));
  tn_ipc_parts_reset(&w->parts);
  for (int64_t c = 0; c < batch->n_children; c++)
    TN_TRY(tn_ipc_parts_add(&w->parts, &root->children[c], batch->children[c], batch->offset,
                            batch->length, err));
  return write_parts(w, batch->length, NULL, false, err);
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
  tn_status status = write_batch(w, batch, &w->failed);
  if (status == TN_ERR_ARGUMENT || status == TN_ERR_UNSUPPORTED)
    tn_error_context(&w->failed, status, "%s", w->sink->name);
  tn_ipc_parts_reset(&w->parts);
  return keep_failure(w, status, err);
}

/* ---- the end ---- */
static tn_status write_footer(tn_ipc_writer *w, tn_error *err) {
  tn_strbuf *b = &w->message;
  tn_flat_field fields[] = {{TN_IPC_FOOTER_SCHEMA, 4},
                            {TN_IPC_FOOTER_DICTIONARIES, 4},
                            {TN_IPC_FOOTER_BATCHES, 4},
                            {TN_IPC_FOOTER_VERSION, 2, TN_IPC_VERSION_5},
                            {TN_IPC_FOOTER_METADATA, 4}};
  const block_list *lists[] = {&w->dictionaries, &w->batches};
  const char *pairs = w->footer_metadata.data;
  tn_flat_begin(b);
  tn_flat_point(b, 0, tn_flat_add_table(b, fields, pairs ? 5 : 4));
  tn_flat_point(b, fields[0].at, tn_ipc_schema_write(b, &w->schema, w->metadata.data));
  for (int i = 0; i < 2; i++) {
    if (lists[i]->count > INT32_MAX / TN_IPC_BLOCK_BYTES)
      return tn_fail(err, TN_ERR_LIMIT, "%s: %zu record batches in one file", w->sink->name,
                     lists[i]->count);
    tn_flat_point(
        b, fields[1 + i].at,
        tn_flat_add_vector(b, lists[i]->items, (uint32_t)lists[i]->count, TN_IPC_BLOCK_BYTES, 8));
  }
  if (pairs) tn_flat_point(b, fields[4].at, tn_ipc_metadata_write(b, pairs));
  TN_TRY(tn_strbuf_check(b, err));
  if (b->length > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: a footer of %zu bytes, limit 2 GiB", w->sink->name,
                   b->length);
  int32_t bytes = (int32_t)b->length;
  TN_TRY(write_bytes(w, b->data, bytes, err));
  TN_TRY(write_bytes(w, &bytes, 4, err));
  return write_bytes(w, TN_IPC_MAGIC, TN_IPC_MAGIC_BYTES, err);
}

static tn_status write_end(tn_ipc_writer *w, tn_error *err) {
  static const int32_t end_of_stream[2] = {-1, 0};
  TN_TRY(write_bytes(w, end_of_stream, 8, err));
  return w->stream ? TN_OK : write_footer(w, err);
}

tn_status tn_ipc_writer_finish(tn_ipc_writer *w, tn_error *err) {
  if (w->failed.status != TN_OK) return failed_before(w, err);
  return keep_failure(w, write_end(w, &w->failed), err);
}

int64_t tn_ipc_writer_nested_deltas(const tn_ipc_writer *w) {
  return w->nested_deltas;
}
