/* shard_writer.c - documents into token shards; see shard.h for what a crash leaves. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "columns/array.h"
#include "columns/ipc.h"
#include "columns/schema.h"
#include "feed/shard.h"
#include "feed/shard_index.h"

#define SHARD_TOKENS_DEFAULT ((int64_t)16 << 20)
#define SHARD_TOKENS_MAX     ((int64_t)1 << 30)

struct tn_shard_writer {
  tn_shard_writer_options options;
  char *folder;
  int folder_fd; /* holds the lock; -1: none */
  tn_shard_index index;
  int32_t *tokens; /* of the open shard */
  size_t count, capacity;
  bool finished;
};

static tn_status folder_path(const tn_shard_writer *w, const char *file, tn_strbuf *out,
                             tn_error *err) {
  tn_strbuf_reset(out);
  tn_strbuf_addf(out, "%s/%s", w->folder, file);
  return tn_strbuf_check(out, err);
}

/* ---- making
 * ---------------------------------------------------------------------------------------- */
static tn_status check_options(tn_shard_writer_options *o, tn_error *err) {
  if (!o->shard_tokens) o->shard_tokens = SHARD_TOKENS_DEFAULT;
  if (o->shard_tokens < 1 || o->shard_tokens > SHARD_TOKENS_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "shards of %lld tokens, expected 1 to %lld",
                   (long long)o->shard_tokens, (long long)SHARD_TOKENS_MAX);
  if (o->vocab_size < 1 || o->vocab_size > TN_VOCAB_SIZE_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "vocabulary of %lld, expected 1 to %lld",
                   (long long)o->vocab_size, (long long)TN_VOCAB_SIZE_MAX);
  if (o->eos_id < 0 || o->eos_id >= o->vocab_size)
    return tn_fail(err, TN_ERR_ARGUMENT, "end-of-text id %d outside the vocabulary of %lld",
                   o->eos_id, (long long)o->vocab_size);
  return TN_OK;
}

/* The lock goes with the process, so a killed run leaves none. */
static tn_status lock_folder(tn_shard_writer *w, tn_error *err) {
  TN_TRY(tn_dir_make(w->folder, err));
  w->folder_fd = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (w->folder_fd < 0) return tn_fail_errno(err, errno, "%s", w->folder);
  if (flock(w->folder_fd, LOCK_EX | LOCK_NB) == 0) return TN_OK;
  if (errno == EWOULDBLOCK)
    return tn_fail(err, TN_ERR_EXISTS, "%s: another pack is writing into it", w->folder);
  return tn_fail_errno(err, errno, "%s", w->folder);
}

static tn_status writer_init(tn_shard_writer *w, const char *folder, tn_error *err) {
  TN_TRY(check_options(&w->options, err));
  w->folder = tn_strndup(folder, strlen(folder));
  if (!w->folder) return tn_fail_memory(err, "a path", strlen(folder));
  TN_TRY(lock_folder(w, err));
  tn_strbuf path = {0};
  tn_status status = folder_path(w, "index.json", &path, err);
  if (status == TN_OK && !w->options.replace && tn_file_exists(path.data))
    status = tn_fail(err, TN_ERR_EXISTS, "%s: already holds an index.json", folder);
  tn_strbuf_clear(&path);
  w->index.vocab_size = w->options.vocab_size;
  w->index.eos_id = w->options.eos_id;
  w->index.tokenizer_hash = w->options.tokenizer_hash;
  return status;
}

tn_status tn_shard_writer_new(tn_shard_writer **out, const char *folder,
                              const tn_shard_writer_options *options, tn_error *err) {
  tn_shard_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "a shard writer", sizeof *w);
  w->options = *options;
  w->folder_fd = -1;
  tn_status status = writer_init(w, folder, err);
  if (status != TN_OK) {
    tn_shard_writer_free(w);
    return status;
  }
  *out = w;
  return TN_OK;
}

/* ---- one shard
 * --------------------------------------------------------------------------------------- */
/* Borrowed memory as a buffer: the batch is released before the writer touches it again. */
static tn_status tokens_batch(const tn_shard_writer *w, ArrowArray *out, tn_error *err) {
  tn_buffer *values = NULL;
  ArrowArray column = {0};
  TN_TRY(tn_buffer_wrap(&values, w->tokens, w->count * sizeof *w->tokens, NULL, NULL, NULL, err));
  tn_buffer *const buffers[] = {NULL, values};
  tn_array_parts parts = {.length = (int64_t)w->count, .buffers = buffers, .buffer_count = 2};
  tn_status status = tn_array_make(&column, &parts, err);
  tn_buffer_drop(values);
  if (status == TN_OK) status = tn_batch_new(out, &column, 1, (int64_t)w->count, err);
  tn_array_clear(&column);
  return status;
}

static tn_status write_tokens(const tn_shard_writer *w, tn_sink *sink, tn_error *err) {
  static const char *const names[] = {TN_SHARD_COLUMN};
  static const char *const formats[] = {"i"};
  static const char *const metadata[] = {"tenon.format", TN_SHARD_FORMAT};
  ArrowSchema schema = {0};
  ArrowArray batch = {0};
  tn_ipc_writer *ipc = NULL;
  tn_status status = tn_schema_init_flat(&schema, names, formats, 1, err);
  if (status == TN_OK) {
    schema.children[0]->flags &= ~ARROW_FLAG_NULLABLE;
    status = tn_ipc_writer_new(&ipc, sink, &schema, metadata, 2, err);
  }
  if (status == TN_OK) status = tokens_batch(w, &batch, err);
  if (status == TN_OK) status = tn_ipc_writer_batch(ipc, &batch, err);
  if (status == TN_OK) status = tn_ipc_writer_finish(ipc, err);
  tn_array_clear(&batch);
  tn_ipc_writer_free(ipc);
  tn_schema_clear(&schema);
  return status;
}

static tn_status write_file(const tn_shard_writer *w, const char *file, tn_error *err) {
  tn_strbuf path = {0};
  tn_sink *sink = NULL;
  tn_status status = folder_path(w, file, &path, err);
  if (status == TN_OK) status = tn_sink_open_file(&sink, path.data, err);
  if (status == TN_OK) status = write_tokens(w, sink, err);
  if (status == TN_OK) status = tn_sink_commit(sink, err);
  tn_sink_close(sink);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status flush(tn_shard_writer *w, tn_error *err) {
  if (w->count == 0) return TN_OK;
  tn_shard_index *index = &w->index;
  if (index->shard_count == TN_SHARDS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: more than %d shards", w->folder, TN_SHARDS_MAX);
  TN_TRY(tn_grow((void **)&index->shards, &index->shard_capacity, index->shard_count + 1,
                 sizeof *index->shards, err));
  tn_shard_entry entry = {.tokens = (int64_t)w->count,
                          .hash = XXH64(w->tokens, w->count * sizeof *w->tokens, 0)};
  tn_shard_name(entry.file, (int64_t)index->shard_count, entry.hash);
  TN_TRY(write_file(w, entry.file, err));
  index->shards[index->shard_count++] = entry;
  w->count = 0;
  return TN_OK;
}

/* ---- documents
 * ------------------------------------------------------------------------------------------ */
static tn_status check_ids(const tn_shard_writer *w, const int32_t *ids, int64_t count,
                           tn_error *err) {
  for (int64_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= w->options.vocab_size)
      return tn_fail(
          err, TN_ERR_DATA, "document %lld, token %lld: id %d outside the vocabulary of %lld",
          (long long)w->index.documents, (long long)i, ids[i], (long long)w->options.vocab_size);
  return TN_OK;
}

tn_status tn_shard_writer_document(tn_shard_writer *w, const int32_t *ids, int64_t count,
                                   tn_error *err) {
  if (w->finished) return tn_fail(err, TN_ERR_ARGUMENT, "%s: already finished", w->folder);
  if (count < 0 || count >= SHARD_TOKENS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "document %lld: %lld tokens, limit %lld",
                   (long long)w->index.documents, (long long)count,
                   (long long)SHARD_TOKENS_MAX - 1);
  TN_TRY(check_ids(w, ids, count, err));
  if ((int64_t)w->count + count + 1 > w->options.shard_tokens) TN_TRY(flush(w, err));
  size_t want = w->count + (size_t)count + 1;
  TN_TRY(tn_grow((void **)&w->tokens, &w->capacity, want, sizeof *w->tokens, err));
  if (count) memcpy(w->tokens + w->count, ids, (size_t)count * sizeof *ids);
  w->tokens[want - 1] = w->options.eos_id;
  w->count = want;
  w->index.tokens += count + 1;
  w->index.documents++;
  return TN_OK;
}

/* ---- the end
 * ---------------------------------------------------------------------------------------------- */
static bool is_named(const tn_shard_index *index, const char *file) {
  for (size_t i = 0; i < index->shard_count; i++)
    if (strcmp(index->shards[i].file, file) == 0) return true;
  return false;
}

/* What the new index does not name is from an older set or a killed run.  A file that cannot be
 * removed only takes room, so failures do not matter. */
static void remove_strays(const tn_shard_writer *w) {
  DIR *folder = opendir(w->folder);
  if (!folder) return;
  for (struct dirent *e; (e = readdir(folder));)
    if (tn_shard_name_is(e->d_name) && !is_named(&w->index, e->d_name))
      unlinkat(w->folder_fd, e->d_name, 0);
  closedir(folder);
}

tn_status tn_shard_writer_finish(tn_shard_writer *w, tn_error *err) {
  if (w->finished) return tn_fail(err, TN_ERR_ARGUMENT, "%s: already finished", w->folder);
  TN_TRY(flush(w, err));
  tn_strbuf path = {0}, text = {0};
  tn_shard_index_write(&w->index, &text);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = folder_path(w, "index.json", &path, err);
  if (status == TN_OK) status = tn_file_write_atomic(path.data, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&path);
  tn_strbuf_clear(&text);
  if (status != TN_OK) return status;
  w->finished = true;
  remove_strays(w);
  return TN_OK;
}

void tn_shard_writer_free(tn_shard_writer *w) {
  if (!w) return;
  if (w->folder_fd >= 0) close(w->folder_fd);
  tn_shard_index_clear(&w->index);
  tn_free(w->tokens);
  tn_free(w->folder);
  tn_free(w);
}

int64_t tn_shard_writer_tokens(const tn_shard_writer *w) {
  return w->index.tokens;
}
int64_t tn_shard_writer_documents(const tn_shard_writer *w) {
  return w->index.documents;
}
int64_t tn_shard_writer_shards(const tn_shard_writer *w) {
  return (int64_t)w->index.shard_count;
}
