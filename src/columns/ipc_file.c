/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>

#include "columns/ipc.h"
#include "columns/ipc_body_read.h"
#include "columns/ipc_dictionary.h"
#include "columns/ipc_format.h"

struct tn_ipc_file {
  tn_source *source;
  tn_ipc_schema schema; /* of all columns */
  ArrowSchema picked;   /* of those that are wanted */
  int32_t *picks, pick_count;
  int64_t bytes_max;
  tn_buffer *footer;
  tn_flat_view view;
  tn_flat_vector batches, dictionary_blocks;
  tn_strbuf footer_metadata;
  tn_ipc_dictionaries *dictionaries;
  pthread_mutex_t lock; /* of the dictionaries, until they are loaded */
  bool loaded;
};

typedef struct block {
  int64_t at, metadata_bytes, body_bytes;
} block;

static block block_at(const tn_flat_vector *v, uint32_t i) {
  return (block){tn_flat_item_int(v, i, TN_IPC_BLOCK_BYTES, 0, 8),
                 tn_flat_item_int(v, i, TN_IPC_BLOCK_BYTES, 8, 4),
                 tn_flat_item_int(v, i, TN_IPC_BLOCK_BYTES, 16, 8)};
}

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
  if (memcmp(head, TN_IPC_MAGIC, TN_IPC_MAGIC_BYTES) != 0)
    return tn_fail(err, TN_ERR_DATA, "%s: no Arrow IPC file: it does not begin with " TN_IPC_MAGIC,
                   s->name);
  if (memcmp(tail, TN_IPC_MAGIC, TN_IPC_MAGIC_BYTES) != 0)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: does not end with " TN_IPC_MAGIC " (%lld bytes): is the file truncated?",
                   s->name, (long long)s->size_bytes);
  return TN_OK;
}

static tn_status bad_footer(const tn_ipc_file *f, int64_t at, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: the footer at byte %lld is malformed", f->source->name,
                 (long long)at);
}

/* Old writers left the footer's version at its default, V1. */
static tn_status parse_footer(tn_ipc_file *f, int64_t at, tn_error *err) {
  tn_flat_table footer = tn_flat_root(&f->view);
  if (f->view.bad) return bad_footer(f, at, err);
  int64_t version = tn_flat_int(&footer, TN_IPC_FOOTER_VERSION, 2, 0);
  TN_TRY(tn_ipc_check_version(f->source->name, version, 0, err));
  tn_flat_table schema = tn_flat_get_table(&footer, TN_IPC_FOOTER_SCHEMA);
  f->batches = tn_flat_get_vector(&footer, TN_IPC_FOOTER_BATCHES, TN_IPC_BLOCK_BYTES);
  f->dictionary_blocks =
      tn_flat_get_vector(&footer, TN_IPC_FOOTER_DICTIONARIES, TN_IPC_BLOCK_BYTES);
  tn_ipc_metadata_read(&footer, TN_IPC_FOOTER_METADATA, &f->footer_metadata);
  if (f->view.bad || !schema.view) return bad_footer(f, at, err);
  TN_TRY(tn_strbuf_check(&f->footer_metadata, err));
  tn_status status = tn_ipc_schema_read(&f->schema, &schema, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", f->source->name);
}

static tn_status read_footer(tn_ipc_file *f, tn_error *err) {
  tn_source *s = f->source;
  int32_t bytes;
  int64_t end = s->size_bytes - TN_IPC_MAGIC_BYTES - 4;
  const uint8_t *data;
  TN_TRY(s->read_at(s, end, &bytes, 4, err));
  if (bytes < 8 || bytes > end - 8)
    return tn_fail(err, TN_ERR_DATA, "%s: a footer of %d bytes in a file of %lld", s->name, bytes,
                   (long long)s->size_bytes);
  if (bytes > TN_IPC_METADATA_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: a footer of %d bytes, limit %lld", s->name, bytes,
                   (long long)TN_IPC_METADATA_BYTES_MAX);
  TN_TRY(s->view_at(s, end - bytes, (size_t)bytes, &f->footer, &data, err));
  f->view = (tn_flat_view){data, (size_t)bytes, false};
  return parse_footer(f, end - bytes, err);
}

static tn_status choose(tn_ipc_file *f, const tn_ipc_read_options *options, tn_error *err) {
  const char *name = f->source->name;
  tn_status status = tn_ipc_schema_pick(&f->schema, options->columns, options->column_count,
                                        &f->picks, &f->pick_count, &f->picked, err);
  if (status != TN_OK) return tn_error_context(err, status, "%s", name);
  TN_TRY(tn_ipc_dictionaries_new(&f->dictionaries, name, &f->schema, f->bytes_max, err));
  for (int32_t i = 0; i < f->pick_count; i++)
    tn_ipc_dictionaries_want(f->dictionaries, &f->schema.root->children[f->picks[i]]);
  return TN_OK;
}

tn_status tn_ipc_file_open_with(tn_ipc_file **out, tn_source *source,
                                const tn_ipc_read_options *options, tn_error *err) {
  static const tn_ipc_read_options defaults;
  if (!options) options = &defaults;
  tn_ipc_file *f = tn_alloc(1, sizeof *f);
  if (!f) {
    tn_source_close(source);
    return tn_fail_memory(err, "Arrow IPC file", sizeof *f);
  }
  f->source = source;
  f->bytes_max = options->batch_bytes_max ? options->batch_bytes_max : TN_IPC_BATCH_BYTES_MAX;
  pthread_mutex_init(&f->lock, NULL); /* cannot fail without attributes on Linux */
  tn_status status = check_magic(source, err);
  if (status == TN_OK) status = read_footer(f, err);
  if (status == TN_OK) status = choose(f, options, err);
  if (status == TN_OK)
    *out = f;
  else
    tn_ipc_file_close(f);
  return status;
}

tn_status tn_ipc_file_open(tn_ipc_file **out, tn_source *source, tn_error *err) {
  return tn_ipc_file_open_with(out, source, NULL, err);
}

tn_status tn_ipc_file_open_columns(tn_ipc_file **out, tn_source *source, const char *const *columns,
                                   int32_t column_count, tn_error *err) {
  tn_ipc_read_options options = {.columns = columns, .column_count = column_count};
  return tn_ipc_file_open_with(out, source, &options, err);
}

void tn_ipc_file_close(tn_ipc_file *file) {
  if (!file) return;
  tn_ipc_dictionaries_free(file->dictionaries);
  tn_schema_clear(&file->picked);
  tn_ipc_schema_clear(&file->schema);
  tn_free(file->picks);
  tn_strbuf_clear(&file->footer_metadata);
  tn_buffer_drop(file->footer);
  tn_source_close(file->source);
  pthread_mutex_destroy(&file->lock);
  tn_free(file);
}

/* ---- what it says of itself ---- */
int64_t tn_ipc_file_batches(const tn_ipc_file *file) {
  return file->batches.count;
}

tn_status tn_ipc_file_schema(const tn_ipc_file *file, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &file->picked, err);
}

tn_str tn_ipc_file_metadata(const tn_ipc_file *file, const char *key) {
  return tn_schema_metadata(&file->picked, key);
}

const char *tn_ipc_file_footer_metadata(const tn_ipc_file *file) {
  return file->footer_metadata.data;
}

/* ---- dictionaries ---- */
static tn_status add_dictionary(tn_ipc_file *f, uint32_t i, tn_error *err) {
  char what[48];
  block b = block_at(&f->dictionary_blocks, i);
  tn_ipc_message *m;
  snprintf(what, sizeof what, "dictionary block %u", i);
  TN_TRY(tn_ipc_message_at(&m, f->source, what, b.at, b.metadata_bytes, b.body_bytes, err));
  return tn_ipc_dictionaries_add(f->dictionaries, m, false, err);
}

static tn_status load_dictionaries(tn_ipc_file *f, tn_error *err) {
  bool inner = false;
  for (int32_t i = 0; i < f->pick_count; i++) inner |= f->schema.root->children[f->picks[i]].inner;
  for (uint32_t i = 0; inner && i < f->dictionary_blocks.count; i++)
    TN_TRY(add_dictionary(f, i, err));
  for (int32_t i = 0; i < f->pick_count; i++)
    TN_TRY(
        tn_ipc_dictionaries_prepare(f->dictionaries, &f->schema.root->children[f->picks[i]], err));
  return TN_OK;
}

/* Once, before the first batch; afterwards they only are read.  A failure is tried again from the
 * start, and fails again. */
static tn_status need_dictionaries(tn_ipc_file *f, tn_error *err) {
  if (f->schema.dictionary_count == 0) return TN_OK;
  tn_status status = TN_OK;
  pthread_mutex_lock(&f->lock);
  if (!f->loaded) {
    tn_ipc_dictionaries_forget(f->dictionaries);
    status = load_dictionaries(f, err);
    f->loaded = status == TN_OK;
  }
  pthread_mutex_unlock(&f->lock);
  return status;
}

/* ---- batches ---- */
static tn_status dictionary(void *context, int32_t number, tn_shared_array **out, tn_error *err) {
  return tn_ipc_dictionaries_get(context, number, out, err);
}

tn_status tn_ipc_file_batch(tn_ipc_file *file, int64_t index, ArrowArray *out, tn_error *err) {
  tn_source *s = file->source;
  char what[48];
  memset(out, 0, sizeof *out);
  if (index < 0 || index >= file->batches.count)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: batch %lld of %u", s->name, (long long)index,
                   file->batches.count);
  TN_TRY(need_dictionaries(file, err));
  block b = block_at(&file->batches, (uint32_t)index);
  tn_ipc_message *m;
  snprintf(what, sizeof what, "batch %lld", (long long)index);
  TN_TRY(tn_ipc_message_at(&m, s, what, b.at, b.metadata_bytes, b.body_bytes, err));
  tn_status status = TN_OK;
  if (file->pick_count >= file->schema.schema.n_children) status = tn_ipc_message_load(m, err);
  tn_ipc_batch_reader r = {.message = m,
                           .schema = &file->schema,
                           .what = what,
                           .dictionary = dictionary,
                           .context = file->dictionaries,
                           .bytes_max = file->bytes_max};
  if (status == TN_OK) status = tn_ipc_read_batch(&r, file->picks, file->pick_count, out, err);
  tn_ipc_message_free(m);
  return status;
}
