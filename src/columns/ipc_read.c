/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "columns/ipc.h"
#include "columns/ipc_format.h"

#define METADATA_BYTES_MAX ((int64_t)256 << 20)
#define ROWS_MAX           ((int64_t)1 << 48)

struct tn_ipc_file {
  tn_source *source;
  ArrowSchema schema;
  tn_ipc_layout layout;
  tn_buffer *footer;
  tn_flat_view view; /* of the footer; read only while opening */
  tn_flat_vector blocks;
};

/* What is known of a batch while its columns are made. */
typedef struct batch_reader {
  const tn_ipc_file *file;
  int64_t index; /* for messages */
  tn_flat_view view;
  tn_flat_vector nodes, places;
  uint32_t next_place;
  int64_t rows;
  tn_buffer *body;
  const uint8_t *body_data;
  int64_t body_bytes;
  int64_t column;
} batch_reader;

/* ---- opening ---- */
static tn_status check_magic(tn_source *s, tn_error *err) {
  char head[8], tail[TN_IPC_MAGIC_BYTES];
  if (s->size_bytes < 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: an Arrow IPC file needs a source of known size",
                   s->name);
  if (s->size_bytes < 8 + 4 + TN_IPC_MAGIC_BYTES)
    return tn_fail(err, TN_ERR_DATA, "%s: %lld bytes are too few for an Arrow IPC file", s->name,
                   (long long)s->size_bytes);
  TN_TRY(s->read_at(s, 0, head, sizeof head, err));
  TN_TRY(s->read_at(s, s->size_bytes - TN_IPC_MAGIC_BYTES, tail, sizeof tail, err));
  if (memcmp(head, "\xff\xff\xff\xff", 4) == 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: this looks like an Arrow IPC stream, not a file",
                   s->name);
  if (memcmp(head, TN_IPC_MAGIC, TN_IPC_MAGIC_BYTES) != 0)
    return tn_fail(err, TN_ERR_DATA, "%s: no Arrow IPC file: it does not begin with " TN_IPC_MAGIC,
                   s->name);
  if (memcmp(tail, TN_IPC_MAGIC, TN_IPC_MAGIC_BYTES) != 0)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: does not end with " TN_IPC_MAGIC " (%lld bytes): is the file truncated?",
                   s->name, (long long)s->size_bytes);
  return TN_OK;
}

/* Old writers left the footer's version at its default, V1: there, `oldest` is that. */
static tn_status check_version(const char *name, int64_t version, int64_t oldest, tn_error *err) {
  if (version >= oldest && version <= TN_IPC_VERSION_5) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: Arrow metadata version V%lld; V4 and V5 are known",
                 name, (long long)version + 1);
}

static tn_status read_footer(tn_ipc_file *f, const char *const *columns, int32_t column_count,
                             tn_error *err) {
  tn_source *s = f->source;
  int32_t bytes;
  int64_t end = s->size_bytes - TN_IPC_MAGIC_BYTES - 4;
  const uint8_t *data;
  TN_TRY(s->read_at(s, end, &bytes, 4, err));
  if (bytes < 8 || bytes > end - 8 || bytes > METADATA_BYTES_MAX)
    return tn_fail(err, TN_ERR_DATA, "%s: a footer of %d bytes in a file of %lld", s->name, bytes,
                   (long long)s->size_bytes);
  TN_TRY(s->view_at(s, end - bytes, (size_t)bytes, &f->footer, &data, err));
  f->view = (tn_flat_view){data, (size_t)bytes, false};
  tn_flat_table footer = tn_flat_root(&f->view);
  if (!f->view.bad)
    TN_TRY(check_version(s->name, tn_flat_int(&footer, TN_IPC_FOOTER_VERSION, 2, 0), 0, err));
  tn_flat_table schema = tn_flat_get_table(&footer, TN_IPC_FOOTER_SCHEMA);
  f->blocks = tn_flat_get_vector(&footer, TN_IPC_FOOTER_BATCHES, TN_IPC_BLOCK_BYTES);
  if (f->view.bad || !schema.view)
    return tn_fail(err, TN_ERR_DATA, "%s: the footer at byte %lld is malformed", s->name,
                   (long long)end - bytes);
  tn_status status =
      tn_ipc_parse_schema(&schema, columns, column_count, &f->schema, &f->layout, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", s->name);
}

tn_status tn_ipc_file_open(tn_ipc_file **out, tn_source *source, tn_error *err) {
  return tn_ipc_file_open_columns(out, source, NULL, 0, err);
}

tn_status tn_ipc_file_open_columns(tn_ipc_file **out, tn_source *source, const char *const *columns,
                                   int32_t column_count, tn_error *err) {
  tn_ipc_file *f = tn_alloc(1, sizeof *f);
  if (!f) {
    tn_source_close(source);
    return tn_fail_memory(err, "Arrow IPC file", sizeof *f);
  }
  f->source = source;
  tn_status status = check_magic(source, err);
  if (status == TN_OK) status = read_footer(f, columns, column_count, err);
  if (status == TN_OK)
    *out = f;
  else
    tn_ipc_file_close(f);
  return status;
}

void tn_ipc_file_close(tn_ipc_file *file) {
  if (!file) return;
  tn_schema_clear(&file->schema);
  tn_free(file->layout.columns);
  tn_buffer_drop(file->footer);
  tn_source_close(file->source);
  tn_free(file);
}

int64_t tn_ipc_file_batches(const tn_ipc_file *file) {
  return file->blocks.count;
}

tn_status tn_ipc_file_schema(const tn_ipc_file *file, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &file->schema, err);
}

tn_str tn_ipc_file_metadata(const tn_ipc_file *file, const char *key) {
  int32_t pairs = 0;
  int64_t at = 4;
  if (file->schema.metadata) memcpy(&pairs, file->schema.metadata, 4);
  for (int32_t i = 0; i < pairs; i++) {
    tn_str found = tn_metadata_next(file->schema.metadata, &at);
    tn_str value = tn_metadata_next(file->schema.metadata, &at);
    if (tn_str_is(found, key)) return value;
  }
  return (tn_str){NULL, 0};
}

/* ---- buffers of a batch ---- */
static tn_status bad_column(const batch_reader *r, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: batch %lld, column \"%.100s\": %s", r->file->source->name,
                 (long long)r->index, r->file->schema.children[r->column]->name, what);
}

static void drop_parent(tn_buffer *view) {
  tn_buffer_drop(view->owner);
}

/* A counted view of the body; a copy where the file's alignment is less than the type's. */
static tn_status body_view(const batch_reader *r, int64_t offset, int64_t bytes, int32_t align,
                           tn_buffer **out, tn_error *err) {
  const uint8_t *data = r->body_data + offset;
  if ((uintptr_t)data % (uintptr_t)align != 0) {
    TN_TRY(tn_buffer_new(out, (size_t)bytes, err));
    memcpy((*out)->data, data, (size_t)bytes);
    return TN_OK;
  }
  tn_buffer *parent = tn_buffer_share(r->body);
  tn_status status =
      tn_buffer_wrap(out, (void *)(uintptr_t)data, (size_t)bytes, NULL, drop_parent, parent, err);
  if (status != TN_OK) tn_buffer_drop(parent);
  return status;
}

/* The next buffer that the batch lists: `want` bytes at least, or none at all (*out NULL). */
static tn_status next_buffer(batch_reader *r, int64_t want, int32_t align, tn_buffer **out,
                             tn_error *err) {
  uint32_t i = r->next_place++;
  int64_t offset = tn_flat_item_int(&r->places, i, TN_IPC_PAIR_BYTES, 0, 8);
  int64_t bytes = tn_flat_item_int(&r->places, i, TN_IPC_PAIR_BYTES, 8, 8);
  if (bytes == 0) return TN_OK;
  if (offset < 0 || bytes < 0 || offset > r->body_bytes || bytes > r->body_bytes - offset)
    return bad_column(r, "a buffer lies outside the batch's body", err);
  if (bytes < want) return bad_column(r, "a buffer is too short for the rows", err);
  return body_view(r, offset, bytes, align, out, err);
}

static int64_t count_valid(const uint8_t *bits, int64_t rows) {
  int64_t valid = 0, i = 0;
  for (uint64_t word; i + 64 <= rows; i += 64) {
    memcpy(&word, bits + i / 8, 8);
    valid += __builtin_popcountll(word);
  }
  for (; i < rows; i++) valid += (bits[i / 8] >> (i % 8)) & 1;
  return valid;
}

static tn_status check_validity(const batch_reader *r, const tn_buffer *validity, int64_t nulls,
                                tn_error *err) {
  if (nulls < 0 || nulls > r->rows) return bad_column(r, "an impossible number of nulls", err);
  if (!validity) return nulls == 0 ? TN_OK : bad_column(r, "nulls without a validity buffer", err);
  if (r->rows - count_valid(validity->data, r->rows) != nulls)
    return bad_column(r, "the validity bits do not add up to the number of nulls", err);
  return TN_OK;
}

/* Whoever reads a text later trusts its offsets. */
static tn_status check_offsets(const batch_reader *r, const tn_buffer *offsets,
                               const tn_buffer *text, tn_error *err) {
  const int32_t *p = offsets->data;
  int64_t text_bytes = text ? (int64_t)text->bytes : 0;
  int32_t out_of_order = p[0] < 0;
  for (int64_t i = 0; i < r->rows; i++) out_of_order |= p[i + 1] < p[i];
  if (out_of_order || p[r->rows] > text_bytes)
    return bad_column(r, "text offsets out of order or beyond the text", err);
  return TN_OK;
}

static tn_status load_buffers(batch_reader *r, tn_column_type type, int64_t nulls,
                              tn_buffer *buffers[3], tn_error *err) {
  int32_t bits = tn_column_type_bits(type);
  int64_t values = bits == 0   ? (r->rows + 1) * 4
                   : bits == 1 ? (r->rows + 7) / 8
                               : r->rows * (bits / 8);
  int32_t align = bits == 0 ? 4 : bits == 1 ? 1 : bits / 8;
  TN_TRY(next_buffer(r, (r->rows + 7) / 8, 1, &buffers[0], err));
  TN_TRY(next_buffer(r, r->rows ? values : 0, align, &buffers[1], err));
  if (bits == 0) TN_TRY(next_buffer(r, 0, 1, &buffers[2], err));
  TN_TRY(check_validity(r, buffers[0], nulls, err));
  if (r->rows == 0) { /* what is there may be less than one offset */
    tn_buffer_drop(buffers[1]);
    buffers[1] = NULL;
    return TN_OK;
  }
  if (!buffers[1]) return bad_column(r, "rows without a buffer of values", err);
  return bits == 0 ? check_offsets(r, buffers[1], buffers[2], err) : TN_OK;
}

static tn_status load_column(batch_reader *r, ArrowArray *out, tn_error *err) {
  const tn_ipc_column *column = &r->file->layout.columns[r->column];
  tn_column_type type = column->type;
  tn_buffer *buffers[3] = {NULL, NULL, NULL};
  int64_t rows = tn_flat_item_int(&r->nodes, column->node, TN_IPC_PAIR_BYTES, 0, 8);
  int64_t nulls = tn_flat_item_int(&r->nodes, column->node, TN_IPC_PAIR_BYTES, 8, 8);
  r->next_place = column->place;
  tn_status status = TN_OK;
  if (rows != r->rows) status = bad_column(r, "not as many rows as the batch", err);
  if (status == TN_OK) status = load_buffers(r, type, nulls, buffers, err);
  if (status == TN_OK) status = tn_array_wrap(out, type, rows, nulls, buffers, err);
  for (int i = 0; i < 3; i++) tn_buffer_drop(buffers[i]);
  return status;
}

/* ---- batches ---- */
static tn_status bad_batch(const batch_reader *r, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: batch %lld: %s", r->file->source->name, (long long)r->index,
                 what);
}

static tn_status parse_batch(batch_reader *r, const tn_flat_table *message, tn_error *err) {
  const tn_ipc_file *f = r->file;
  if (tn_flat_int(message, TN_IPC_MESSAGE_HEADER_TYPE, 1, 0) != TN_IPC_HEADER_BATCH)
    return bad_batch(r, "its message is not a record batch", err);
  TN_TRY(check_version(f->source->name, tn_flat_int(message, TN_IPC_MESSAGE_VERSION, 2, 0),
                       TN_IPC_VERSION_4, err));
  tn_flat_table batch = tn_flat_get_table(message, TN_IPC_MESSAGE_HEADER);
  r->rows = tn_flat_int(&batch, TN_IPC_BATCH_ROWS, 8, 0);
  r->nodes = tn_flat_get_vector(&batch, TN_IPC_BATCH_NODES, TN_IPC_PAIR_BYTES);
  r->places = tn_flat_get_vector(&batch, TN_IPC_BATCH_BUFFERS, TN_IPC_PAIR_BYTES);
  if (tn_flat_has(&batch, TN_IPC_BATCH_COMPRESSION)) {
    tn_flat_table codec = tn_flat_get_table(&batch, TN_IPC_BATCH_COMPRESSION);
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: batch %lld is compressed (%s)", f->source->name,
                   (long long)r->index, tn_flat_int(&codec, 0, 1, 0) == 0 ? "lz4" : "zstd");
  }
  if (r->view.bad || !batch.view) return bad_batch(r, "its metadata is malformed", err);
  if (r->rows < 0 || r->rows > ROWS_MAX) return bad_batch(r, "an impossible number of rows", err);
  /* Behind columns that cannot be counted there may be more, never less. */
  bool enough = r->nodes.count >= f->layout.nodes && r->places.count >= f->layout.places;
  bool more = r->nodes.count > f->layout.nodes || r->places.count > f->layout.places;
  if (!enough || (f->layout.whole && more))
    return bad_batch(r, "its columns or buffers do not match the schema", err);
  return TN_OK;
}

/* The message behind its prefix: 0xffffffff and a size, or only a size in files before Arrow 0.15.
 */
static tn_status view_message(batch_reader *r, const uint8_t *data, int64_t bytes, tn_error *err) {
  int32_t prefix[2];
  memcpy(prefix, data, 8);
  int64_t skip = prefix[0] == -1 ? 8 : 4;
  int64_t message_bytes = prefix[0] == -1 ? prefix[1] : prefix[0];
  if (message_bytes < 8 || message_bytes > bytes - skip)
    return bad_batch(r, "its message does not fit where the footer puts it", err);
  r->view = (tn_flat_view){data + skip, (size_t)message_bytes, false};
  return TN_OK;
}

static tn_status load_columns(batch_reader *r, ArrowArray *out, tn_error *err) {
  int64_t columns = r->file->schema.n_children;
  ArrowArray *children = tn_alloc((size_t)columns, sizeof *children);
  if (!children) return tn_fail_memory(err, "record batch", (size_t)columns * sizeof *children);
  tn_status status = TN_OK;
  for (r->column = 0; status == TN_OK && r->column < columns; r->column++)
    status = load_column(r, &children[r->column], err);
  if (status == TN_OK) status = tn_batch_new(out, children, columns, r->rows, err);
  for (int64_t c = 0; c < columns; c++) tn_array_clear(&children[c]);
  tn_free(children);
  return status;
}

static tn_status load_batch(batch_reader *r, const uint8_t *metadata, int64_t metadata_bytes,
                            int64_t body_at, ArrowArray *out, tn_error *err) {
  tn_source *s = r->file->source;
  TN_TRY(view_message(r, metadata, metadata_bytes, err));
  tn_flat_table message = tn_flat_root(&r->view);
  if (r->view.bad) return bad_batch(r, "its metadata is malformed", err);
  TN_TRY(parse_batch(r, &message, err));
  if (r->body_bytes > 0)
    TN_TRY(s->view_at(s, body_at, (size_t)r->body_bytes, &r->body, &r->body_data, err));
  return load_columns(r, out, err);
}

tn_status tn_ipc_file_batch(tn_ipc_file *file, int64_t index, ArrowArray *out, tn_error *err) {
  tn_source *s = file->source;
  memset(out, 0, sizeof *out);
  if (index < 0 || index >= file->blocks.count)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: batch %lld of %u", s->name, (long long)index,
                   file->blocks.count);
  batch_reader r = {.file = file, .index = index};
  uint32_t i = (uint32_t)index;
  int64_t offset = tn_flat_item_int(&file->blocks, i, TN_IPC_BLOCK_BYTES, 0, 8);
  int64_t metadata_bytes = tn_flat_item_int(&file->blocks, i, TN_IPC_BLOCK_BYTES, 8, 4);
  r.body_bytes = tn_flat_item_int(&file->blocks, i, TN_IPC_BLOCK_BYTES, 16, 8);
  if (offset < 8 || offset > s->size_bytes || metadata_bytes < 16 ||
      metadata_bytes > METADATA_BYTES_MAX || metadata_bytes > s->size_bytes - offset ||
      r.body_bytes < 0 || r.body_bytes > s->size_bytes - offset - metadata_bytes)
    return bad_batch(&r, "the footer puts it outside the file", err);
  tn_buffer *metadata = NULL;
  const uint8_t *data;
  TN_TRY(s->view_at(s, offset, (size_t)metadata_bytes, &metadata, &data, err));
  tn_status status = load_batch(&r, data, metadata_bytes, offset + metadata_bytes, out, err);
  tn_buffer_drop(r.body);
  tn_buffer_drop(metadata);
  return status;
}

/* ---- as a stream ---- */
typedef struct ipc_stream {
  tn_ipc_file *file;
  int64_t next;
} ipc_stream;

static tn_status stream_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_ipc_file_schema(((ipc_stream *)reader)->file, out, err);
}

static tn_status stream_next(void *reader, ArrowArray *out, tn_error *err) {
  ipc_stream *s = reader;
  if (s->next >= tn_ipc_file_batches(s->file)) return TN_END;
  TN_TRY(tn_ipc_file_batch(s->file, s->next, out, err));
  s->next++;
  return TN_OK;
}

static void stream_free(void *reader) {
  tn_ipc_file_close(((ipc_stream *)reader)->file);
  tn_free(reader);
}

tn_status tn_ipc_read(ArrowArrayStream *out, tn_source *source, tn_error *err) {
  return tn_ipc_read_columns(out, source, NULL, 0, err);
}

tn_status tn_ipc_read_columns(ArrowArrayStream *out, tn_source *source, const char *const *columns,
                              int32_t column_count, tn_error *err) {
  static const tn_reader_ops ops = {stream_schema, stream_next, stream_free};
  memset(out, 0, sizeof *out);
  ipc_stream *s = tn_alloc(1, sizeof *s);
  if (!s) {
    tn_source_close(source);
    return tn_fail_memory(err, "Arrow IPC stream", sizeof *s);
  }
  tn_status status = tn_ipc_file_open_columns(&s->file, source, columns, column_count, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, s, err);
  tn_free(s);
  return status;
}
