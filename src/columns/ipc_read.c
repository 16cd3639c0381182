/* SPDX-License-Identifier: Apache-2.0 */
/* tn_ipc_read*: a file or a stream as an ArrowArrayStream. */
#include <stdio.h>

#include "columns/ipc.h"
#include "columns/ipc_body_read.h"
#include "columns/ipc_dictionary.h"
#include "columns/ipc_format.h"

/* ---- a file, batch by batch ---- */
typedef struct file_reader {
  tn_ipc_file *file;
  int64_t next;
} file_reader;

static tn_status file_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_ipc_file_schema(((file_reader *)reader)->file, out, err);
}

static tn_status file_next(void *reader, ArrowArray *out, tn_error *err) {
  file_reader *r = reader;
  if (r->next >= tn_ipc_file_batches(r->file)) return TN_END;
  TN_TRY(tn_ipc_file_batch(r->file, r->next, out, err));
  r->next++;
  return TN_OK;
}

static void file_free(void *reader) {
  tn_ipc_file_close(((file_reader *)reader)->file);
  tn_free(reader);
}

static tn_status read_file(ArrowArrayStream *out, tn_source *source,
                           const tn_ipc_read_options *options, tn_error *err) {
  static const tn_reader_ops ops = {file_schema, file_next, file_free};
  file_reader *r = tn_alloc(1, sizeof *r);
  if (!r) {
    tn_source_close(source);
    return tn_fail_memory(err, "Arrow IPC stream", sizeof *r);
  }
  tn_status status = tn_ipc_file_open_with(&r->file, source, options, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, r, err);
  tn_free(r);
  return status;
}

/* ---- a stream, message by message ---- */
typedef struct stream_reader {
  tn_source *source;
  tn_ipc_input input;
  tn_ipc_schema schema;
  ArrowSchema picked;
  int32_t *picks, pick_count;
  int64_t bytes_max, batch;
  tn_ipc_dictionaries *dictionaries;
} stream_reader;

static void stream_free(void *reader) {
  stream_reader *r = reader;
  tn_ipc_dictionaries_free(r->dictionaries);
  tn_schema_clear(&r->picked);
  tn_ipc_schema_clear(&r->schema);
  tn_free(r->picks);
  tn_source_close(r->source);
  tn_free(r);
}

static tn_status stream_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &((stream_reader *)reader)->picked, err);
}

static tn_status dictionary(void *context, int32_t number, tn_shared_array **out, tn_error *err) {
  return tn_ipc_dictionaries_get(context, number, out, err);
}

static tn_status read_batch(stream_reader *r, tn_ipc_message *m, ArrowArray *out, tn_error *err) {
  char what[48];
  snprintf(what, sizeof what, "batch %lld", (long long)r->batch);
  if (r->pick_count >= r->schema.schema.n_children) TN_TRY(tn_ipc_message_load(m, err));
  tn_ipc_batch_reader b = {.message = m,
                           .schema = &r->schema,
                           .what = what,
                           .dictionary = dictionary,
                           .context = r->dictionaries,
                           .bytes_max = r->bytes_max};
  TN_TRY(tn_ipc_read_batch(&b, r->picks, r->pick_count, out, err));
  r->batch++;
  return TN_OK;
}

static tn_status wrong_kind(const tn_ipc_message *m, tn_error *err) {
  if (m->kind == TN_IPC_HEADER_SCHEMA)
    return tn_fail(err, TN_ERR_DATA, "%s: a second schema at byte %lld", m->source->name,
                   (long long)m->at);
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: a message of kind %d at byte %lld", m->source->name,
                 m->kind, (long long)m->at);
}

static tn_status stream_next(void *reader, ArrowArray *out, tn_error *err) {
  stream_reader *r = reader;
  for (;;) {
    tn_ipc_message *m;
    TN_TRY(tn_ipc_message_next(&m, &r->input, err));
    if (m->kind == TN_IPC_HEADER_DICTIONARY) {
      TN_TRY(tn_ipc_dictionaries_add(r->dictionaries, m, true, err));
      continue;
    }
    tn_status status =
        m->kind == TN_IPC_HEADER_BATCH ? read_batch(r, m, out, err) : wrong_kind(m, err);
    tn_ipc_message_free(m);
    return status;
  }
}

static tn_status read_schema(stream_reader *r, const tn_ipc_read_options *options, tn_error *err) {
  const char *name = r->source->name;
  tn_ipc_message *m;
  tn_status status = tn_ipc_message_next(&m, &r->input, err);
  if (status == TN_END)
    return tn_fail(err, TN_ERR_DATA, "%s: an Arrow IPC stream without a schema", name);
  TN_TRY(status);
  if (m->kind != TN_IPC_HEADER_SCHEMA)
    status = tn_fail(err, TN_ERR_DATA, "%s: no schema at byte %lld", name, (long long)m->at);
  if (status == TN_OK) {
    status = tn_ipc_schema_read(&r->schema, &m->header, err);
    if (status == TN_OK)
      status = tn_ipc_schema_pick(&r->schema, options->columns, options->column_count, &r->picks,
                                  &r->pick_count, &r->picked, err);
    if (status != TN_OK) tn_error_context(err, status, "%s", name);
  }
  tn_ipc_message_free(m);
  TN_TRY(status);
  TN_TRY(tn_ipc_dictionaries_new(&r->dictionaries, name, &r->schema, r->bytes_max, err));
  for (int32_t i = 0; i < r->pick_count; i++)
    tn_ipc_dictionaries_want(r->dictionaries, &r->schema.root->children[r->picks[i]]);
  return TN_OK;
}

static tn_status read_stream(ArrowArrayStream *out, const tn_ipc_input *input,
                             const tn_ipc_read_options *options, tn_error *err) {
  static const tn_reader_ops ops = {stream_schema, stream_next, stream_free};
  stream_reader *r = tn_alloc(1, sizeof *r);
  if (!r) {
    tn_source_close(input->source);
    return tn_fail_memory(err, "Arrow IPC stream", sizeof *r);
  }
  r->source = input->source;
  r->input = *input;
  r->bytes_max = options->batch_bytes_max ? options->batch_bytes_max : TN_IPC_BATCH_BYTES_MAX;
  tn_status status = read_schema(r, options, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, r, err);
  stream_free(r);
  return status;
}

/* ---- which of them it is ---- */
enum { OLD_SCHEMA_BYTES_MAX = 64 << 20 };

/* The first bytes, up to 8; of a pipe they are kept for later. */
static tn_status look(tn_ipc_input *in, char head[8], int32_t *count, tn_error *err) {
  tn_source *s = in->source;
  memset(head, 0, 8);
  if (s->size_bytes >= 0) {
    *count = s->size_bytes < 8 ? (int32_t)s->size_bytes : 8;
    return s->read_at(s, 0, head, (size_t)*count, err);
  }
  for (size_t got = 1; in->head_count < 8 && got > 0; in->head_count += (int32_t)got)
    TN_TRY(s->read(s, in->head + in->head_count, (size_t)(8 - in->head_count), &got, err));
  memcpy(head, in->head, 8);
  *count = in->head_count;
  return TN_OK;
}

/* 0xffffffff; before Arrow 0.15 the schema's size, and behind it an offset within that. */
static bool begins_stream(const char head[8]) {
  int32_t words[2];
  memcpy(words, head, 8);
  return words[0] == -1 || words[0] == 0 ||
         (words[0] >= 8 && words[0] <= OLD_SCHEMA_BYTES_MAX && words[1] >= 4 &&
          words[1] < words[0]);
}

static tn_status neither(const tn_source *s, const char head[8], tn_error *err) {
  if (memcmp(head, "FEA1", 4) == 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: Feather version 1", s->name);
  return tn_fail(err, TN_ERR_DATA,
                 "%s: neither an Arrow IPC file, which begins with " TN_IPC_MAGIC
                 ", nor a stream of such messages",
                 s->name);
}

tn_status tn_ipc_read_with(ArrowArrayStream *out, tn_source *source,
                           const tn_ipc_read_options *options, tn_error *err) {
  static const tn_ipc_read_options defaults;
  if (!options) options = &defaults;
  memset(out, 0, sizeof *out);
  tn_ipc_input input = {.source = source};
  char head[8];
  int32_t count = 0;
  tn_status status = look(&input, head, &count, err);
  if (status == TN_OK && count >= TN_IPC_MAGIC_BYTES &&
      memcmp(head, TN_IPC_MAGIC, TN_IPC_MAGIC_BYTES) == 0) {
    if (source->size_bytes >= 0) return read_file(out, source, options, err);
    /* What is in front of the footer is a stream. */
    input.head_used = input.head_count;
    input.position = 8;
    return read_stream(out, &input, options, err);
  }
  if (status == TN_OK && count >= 4 && begins_stream(head))
    return read_stream(out, &input, options, err);
  if (status == TN_OK) status = neither(source, head, err);
  tn_source_close(source);
  return status;
}

tn_status tn_ipc_read(ArrowArrayStream *out, tn_source *source, tn_error *err) {
  return tn_ipc_read_with(out, source, NULL, err);
}

tn_status tn_ipc_read_columns(ArrowArrayStream *out, tn_source *source, const char *const *columns,
                              int32_t column_count, tn_error *err) {
  tn_ipc_read_options options = {.columns = columns, .column_count = column_count};
  return tn_ipc_read_with(out, source, &options, err);
}
