/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"
#include "columns/parquet/arrow_schema_write.h"
#include "columns/parquet/bloom.h"
#include "columns/parquet/chunk_meta.h"
#include "columns/parquet/column_writer.h"
#include "columns/parquet/crypt.h"
#include "columns/parquet/parquet.h"
#include "columns/parquet/write_options.h"
#include "columns/schema.h"

enum {
  STEP_ROWS = 32768
}; /* encoded at once; then pages are packed and the row group is weighed */

/* One thread's share of a run over leaves or pages.  Of several failures the one of the first leaf
 * counts, so that the words do not depend on who was faster. */
typedef struct write_worker {
  tn_parquet_packer packer;
  tn_status status;
  int64_t failed_leaf;
  tn_error err;
} write_worker;

typedef struct page_job {
  int64_t leaf, page;
} page_job;

struct tn_parquet_writer {
  tn_sink *sink;
  tn_parquet_write_options options;
  tn_arena arena; /* schema, names, row groups' metadata, page indexes */
  ArrowSchema schema_copy;
  tn_field *root;
  tn_parquet_write_schema schema;
  tn_parquet_column_writer *columns; /* one a leaf */
  int64_t *order;                    /* leaves, those with most bytes first */
  write_worker *workers;
  int32_t worker_count;
  page_job *jobs;
  size_t job_capacity;
  const ArrowArray *batch; /* of the run in progress ... */
  int64_t from, count;
  int64_t group_rows;      /* in the open row group */
  int64_t written;         /* bytes of the file so far */
  tn_parquet_crypt *crypt; /* NULL: nothing is encrypted */
  tn_parquet_footer footer;
  size_t group_capacity;
  struct index_part *indexes; /* one a column chunk */
  size_t index_count, index_capacity;
  tn_status failed; /* sticky: after an error the file cannot become whole */
  bool started, finished;
};

typedef struct index_part {
  tn_str column, offset;
} index_part;

/* ---- opening --------------------------------------------------------------------------------- */

static tn_status init_schema(tn_parquet_writer *w, const ArrowSchema *schema, tn_error *err) {
  TN_TRY(tn_schema_copy(&w->schema_copy, schema, err));
  TN_TRY(tn_field_tree(&w->root, &w->arena, &w->schema_copy, err));
  TN_TRY(tn_parquet_write_schema_new(&w->schema, &w->arena, w->root, err));
  if (w->schema.leaf_count > TN_PARQUET_WRITE_LEAVES_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "%lld columns, limit %d", (long long)w->schema.leaf_count,
                   TN_PARQUET_WRITE_LEAVES_MAX);
  }
  w->footer.version = 2;
  w->footer.elements = w->schema.elements;
  w->footer.element_count = w->schema.element_count;
  return tn_parquet_options_apply(&w->options, &w->schema, err);
}

static tn_status init_crypt(tn_parquet_writer *w, tn_error *err) {
  size_t count = (size_t)w->schema.leaf_count;
  if (!w->options.encryption) return TN_OK;
  const char **names = tn_arena_alloc(&w->arena, count + 1, sizeof *names);
  if (!names) return tn_fail_memory(err, "names of encrypted columns", count);
  for (size_t i = 0; i < count; i++) names[i] = w->schema.leaves[i].name;
  return tn_parquet_crypt_new(&w->crypt, w->options.encryption, names, (int64_t)count, err);
}

static tn_status init_workers(tn_parquet_writer *w, tn_error *err) {
  int32_t threads = tn_pool_threads(w->options.pool);
  w->workers = tn_alloc((size_t)threads, sizeof *w->workers);
  if (!w->workers) return tn_fail_memory(err, "a Parquet writer's threads", (size_t)threads);
  w->worker_count = threads;
  return TN_OK;
}

/* Columns wait for the first batch: only it shows how wide rows are. */
static tn_status start_columns(tn_parquet_writer *w, const ArrowArray *batch, tn_error *err) {
  size_t count = (size_t)w->schema.leaf_count;
  w->started = true;
  tn_parquet_write_options_fit(&w->options, w->root, batch);
  w->columns = tn_alloc(count + 1, sizeof *w->columns);
  w->order = tn_arena_alloc(&w->arena, count + 1, sizeof *w->order);
  if (!w->columns || !w->order) return tn_fail_memory(err, "a Parquet writer's columns", count);
  for (int64_t i = 0; i < w->schema.leaf_count; i++) {
    const tn_parquet_write_leaf *leaf = &w->schema.leaves[i];
    const tn_parquet_column_options *special = tn_parquet_options_for(&w->options, leaf);
    w->order[i] = i;
    TN_TRY(tn_parquet_column_writer_init(&w->columns[i], leaf, &w->options, special, err));
    if (!w->crypt || !tn_parquet_crypt_has(w->crypt, i)) continue;
    w->columns[i].packing.crypt = w->crypt;
    w->columns[i].packing.column = i;
  }
  return TN_OK;
}

static tn_status init_created_by(tn_parquet_writer *w, tn_error *err) {
  tn_strbuf text = {0};
  const char *suffix = w->options.created_by_suffix;
  tn_strbuf_addf(&text, "tenon version 0.1%s%s", suffix && *suffix ? " " : "",
                 suffix ? suffix : "");
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) {
    w->footer.created_by = tn_arena_strndup(&w->arena, text.data, text.length);
    if (!w->footer.created_by) status = tn_fail_memory(err, "created_by", text.length);
  }
  tn_strbuf_clear(&text);
  return status;
}

static tn_status put(tn_parquet_writer *w, const void *bytes, size_t count, tn_error *err) {
  TN_TRY(tn_sink_write(w->sink, bytes, count, err));
  w->written += (int64_t)count;
  return TN_OK;
}

static const char *magic_of(const tn_parquet_writer *w) {
  return w->crypt ? tn_parquet_crypt_magic(w->crypt) : "PAR1";
}

tn_status tn_parquet_writer_new(tn_parquet_writer **out, tn_sink *sink, const ArrowSchema *schema,
                                const tn_parquet_write_options *options, tn_error *err) {
  if (!schema->format || strcmp(schema->format, "+s") != 0) {
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: Parquet wants record batches (\"+s\"), got \"%s\"",
                   sink->name, schema->format ? schema->format : "");
  }
  tn_parquet_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "a Parquet writer", sizeof *w);
  w->sink = sink;
  if (options) w->options = *options;
  tn_status status = tn_parquet_write_options_fill(&w->options, err);
  if (status == TN_OK) status = init_schema(w, schema, err);
  if (status == TN_OK) status = init_workers(w, err);
  if (status == TN_OK) status = init_created_by(w, err);
  if (status == TN_OK) status = init_crypt(w, err);
  if (status == TN_OK) status = put(w, magic_of(w), 4, err);
  if (status != TN_OK) {
    tn_parquet_writer_free(w);
    return status;
  }
  *out = w;
  return TN_OK;
}

void tn_parquet_writer_free(tn_parquet_writer *w) {
  if (!w) return;
  for (int64_t i = 0; w->columns && i < w->schema.leaf_count; i++) {
    tn_parquet_column_writer_clear(&w->columns[i]);
  }
  for (int32_t i = 0; i < w->worker_count; i++) tn_parquet_packer_clear(&w->workers[i].packer);
  tn_parquet_crypt_free(w->crypt);
  tn_schema_clear(&w->schema_copy);
  tn_arena_clear(&w->arena);
  tn_free(w->workers);
  tn_free(w->footer.groups);
  tn_free(w->indexes);
  tn_free(w->jobs);
  tn_free(w->columns);
  tn_free(w);
}

/* ---- work for many threads ------------------------------------------------------------------- */

static void note_failure(write_worker *worker, int64_t leaf, tn_status status,
                         const tn_error *err) {
  if (worker->status != TN_OK && worker->failed_leaf <= leaf) return;
  worker->status = status;
  worker->failed_leaf = leaf;
  worker->err = *err;
}

static tn_status run_jobs(tn_parquet_writer *w, int64_t count, tn_pool_fn fn, tn_error *err) {
  const write_worker *first = NULL;
  for (int32_t i = 0; i < w->worker_count; i++) w->workers[i].status = TN_OK;
  tn_pool_run(w->options.pool, count, fn, w);
  for (int32_t i = 0; i < w->worker_count; i++) {
    const write_worker *worker = &w->workers[i];
    if (worker->status == TN_OK) continue;
    if (!first || worker->failed_leaf < first->failed_leaf) first = worker;
  }
  if (!first) return TN_OK;
  if (err) *err = first->err;
  return tn_error_context(err, first->status, "row group %lld: column \"%s\"",
                          (long long)w->footer.group_count,
                          w->schema.leaves[first->failed_leaf].name);
}

static void add_job(void *context, int64_t item, int32_t index) {
  tn_parquet_writer *w = context;
  write_worker *worker = &w->workers[index];
  tn_error err = {0};
  int64_t leaf = w->order[item];
  tn_parquet_column_writer *column = &w->columns[leaf];
  const ArrowArray *array = w->batch->children[column->leaf->column];
  tn_status status = tn_parquet_column_writer_add(column, array, w->batch->offset + w->from,
                                                  w->count, &worker->packer, &err);
  if (status != TN_OK) note_failure(worker, leaf, status, &err);
}

static void finish_job(void *context, int64_t item, int32_t index) {
  tn_parquet_writer *w = context;
  write_worker *worker = &w->workers[index];
  tn_error err = {0};
  int64_t leaf = w->order[item];
  tn_status status = tn_parquet_column_writer_finish(&w->columns[leaf], &worker->packer, &err);
  if (status != TN_OK) note_failure(worker, leaf, status, &err);
}

static void pack_job(void *context, int64_t item, int32_t index) {
  tn_parquet_writer *w = context;
  write_worker *worker = &w->workers[index];
  tn_error err = {0};
  page_job job = w->jobs[item];
  tn_parquet_column_writer *column = &w->columns[job.leaf];
  tn_status status =
      tn_parquet_page_pack(&column->pages[job.page], &column->packing, &worker->packer, &err);
  if (status != TN_OK) note_failure(worker, job.leaf, status, &err);
}

/* Packs the pages that have come since the last time. */
static tn_status pack_pages(tn_parquet_writer *w, tn_error *err) {
  size_t count = 0;
  for (int64_t i = 0; i < w->schema.leaf_count; i++) {
    tn_parquet_column_writer *column = &w->columns[w->order[i]];
    size_t more = (size_t)(column->page_count - column->pages_packed);
    TN_TRY(tn_grow((void **)&w->jobs, &w->job_capacity, count + more, sizeof *w->jobs, err));
    while (column->pages_packed < column->page_count) {
      w->jobs[count++] = (page_job){w->order[i], column->pages_packed++};
    }
  }
  TN_TRY(run_jobs(w, (int64_t)count, pack_job, err));
  for (size_t i = 0; i < count; i++) { /* one body is kept for the column's next page */
    tn_parquet_column_writer *column = &w->columns[w->jobs[i].leaf];
    tn_parquet_bytes *body = &column->pages[w->jobs[i].page].body;
    if (!column->body.data) {
      column->body = *body;
      *body = (tn_parquet_bytes){0};
    }
    tn_parquet_bytes_clear(body);
  }
  return TN_OK;
}

/* ---- row groups ------------------------------------------------------------------------------ */

/* A module in its place of the file: as it is, or encrypted. */
static tn_status put_module(tn_parquet_writer *w, const tn_parquet_packing *how, int module,
                            tn_str bytes, tn_error *err) {
  if (!how->crypt) return put(w, bytes.data, bytes.length, err);
  tn_parquet_bytes sealed = {0};
  tn_status status = tn_parquet_seal(how, module, 0, bytes.data, bytes.length, &sealed, err);
  if (status == TN_OK) status = put(w, sealed.data, sealed.length, err);
  tn_parquet_bytes_clear(&sealed);
  return status;
}

static tn_status write_bloom(tn_parquet_writer *w, tn_parquet_column_writer *column,
                             tn_parquet_chunk_meta *chunk, tn_error *err) {
  tn_parquet_bloom bloom = {0};
  tn_strbuf header = {0};
  int64_t start = w->written;
  tn_status status = tn_parquet_column_writer_bloom(column, &bloom, err);
  if (status == TN_OK && bloom.blocks > 0) {
    tn_str bits = {(const char *)bloom.bits, (size_t)bloom.blocks * TN_PARQUET_BLOOM_BLOCK};
    tn_parquet_bloom_header_write(&bloom, &header);
    status = tn_strbuf_check(&header, err);
    if (status == TN_OK) {
      status = put_module(w, &column->packing, TN_PARQUET_MODULE_BLOOM_HEADER,
                          tn_strbuf_view(&header), err);
    }
    if (status == TN_OK) {
      status = put_module(w, &column->packing, TN_PARQUET_MODULE_BLOOM_BITS, bits, err);
    }
    chunk->bloom_offset = start;
    chunk->bloom_bytes = (int32_t)(w->written - start);
  }
  tn_strbuf_clear(&header);
  tn_parquet_bloom_clear(&bloom);
  return status;
}

static tn_status add_index(tn_parquet_writer *w, const tn_parquet_column_writer *column,
                           tn_error *err) {
  TN_TRY(tn_grow((void **)&w->indexes, &w->index_capacity, w->index_count + 1, sizeof *w->indexes,
                 err));
  index_part *part = &w->indexes[w->index_count];
  *part = (index_part){0};
  if (!w->options.no_page_index) {
    TN_TRY(
        tn_parquet_page_index_of(column, w->written, &w->arena, &part->column, &part->offset, err));
  }
  w->index_count++;
  return TN_OK;
}

static tn_status write_chunk(tn_parquet_writer *w, tn_parquet_column_writer *column,
                             tn_parquet_chunk_meta *out, tn_error *err) {
  TN_TRY(tn_parquet_chunk_meta_of(column, w->written, &w->arena, out, err));
  TN_TRY(add_index(w, column, err));
  for (int64_t i = 0; i < column->page_count; i++) {
    const tn_parquet_bytes *stored = &column->pages[i].stored;
    TN_TRY(put(w, stored->data, stored->length, err));
  }
  return TN_OK;
}

static tn_status set_sorting(tn_parquet_writer *w, tn_parquet_group_meta *group, tn_error *err) {
  size_t count = (size_t)w->options.sort_key_count;
  if (count == 0) return TN_OK;
  group->sorting = tn_arena_alloc(&w->arena, count, sizeof *group->sorting);
  if (!group->sorting) return tn_fail_memory(err, "sorting columns", count);
  for (size_t i = 0; i < count; i++) {
    const tn_parquet_sort_key *key = &w->options.sort_keys[i];
    group->sorting[i] = (tn_parquet_sorting){(int32_t)tn_parquet_leaf_find(&w->schema, key->path),
                                             key->descending, key->nulls_first};
  }
  group->sorting_count = (uint32_t)count;
  return TN_OK;
}

/* The leaves that gave most bytes are begun first: then all threads end at about the same time. */
static void sort_leaves(tn_parquet_writer *w, const tn_parquet_chunk_meta *chunks) {
  if (w->worker_count == 1 || w->schema.leaf_count > 256) return;
  for (int64_t i = 1; i < w->schema.leaf_count; i++) {
    int64_t leaf = w->order[i], at = i;
    for (; at > 0; at--) {
      if (chunks[w->order[at - 1]].uncompressed_bytes >= chunks[leaf].uncompressed_bytes) break;
      w->order[at] = w->order[at - 1];
    }
    w->order[at] = leaf;
  }
}

static tn_status flush_group(tn_parquet_writer *w, tn_error *err) {
  if (w->group_rows == 0) return TN_OK;
  int64_t leaves = w->schema.leaf_count;
  tn_parquet_footer *footer = &w->footer;
  TN_TRY(run_jobs(w, leaves, finish_job, err));
  TN_TRY(pack_pages(w, err));
  TN_TRY(tn_grow((void **)&footer->groups, &w->group_capacity, (size_t)footer->group_count + 1,
                 sizeof *footer->groups, err));
  tn_parquet_group_meta *group = &footer->groups[footer->group_count];
  *group = (tn_parquet_group_meta){.chunk_count = leaves, .rows = w->group_rows};
  group->has_ordinal = footer->group_count <= INT16_MAX;
  group->ordinal = (int16_t)footer->group_count;
  group->chunks = tn_arena_alloc(&w->arena, (size_t)leaves, sizeof *group->chunks);
  if (!group->chunks) return tn_fail_memory(err, "a row group's metadata", sizeof *group->chunks);
  TN_TRY(set_sorting(w, group, err));
  for (int64_t i = 0; i < leaves; i++) {
    tn_status status = write_chunk(w, &w->columns[i], &group->chunks[i], err);
    if (status != TN_OK) {
      return tn_error_context(err, status, "row group %lld: column \"%s\"",
                              (long long)footer->group_count, w->schema.leaves[i].name);
    }
    group->bytes += group->chunks[i].uncompressed_bytes;
  }
  for (int64_t i = 0; i < leaves; i++) {
    TN_TRY(write_bloom(w, &w->columns[i], &group->chunks[i], err));
    tn_parquet_column_writer_start(&w->columns[i]);
    w->columns[i].packing.group = footer->group_count + 1;
  }
  sort_leaves(w, group->chunks);
  footer->group_count++;
  footer->rows += w->group_rows;
  w->group_rows = 0;
  return TN_OK;
}

static bool group_is_heavy(const tn_parquet_writer *w) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < w->schema.leaf_count; i++) {
    bytes += tn_parquet_column_writer_bytes(&w->columns[i]);
  }
  return bytes > w->options.row_group_bytes;
}

static tn_status check_batch(const tn_parquet_writer *w, const ArrowArray *batch, tn_error *err) {
  if (batch->n_children != w->root->child_count) {
    return tn_fail(err, TN_ERR_ARGUMENT, "a batch of %lld columns, the schema has %lld",
                   (long long)batch->n_children, (long long)w->root->child_count);
  }
  for (int64_t row = 0; batch->null_count != 0 && row < batch->length; row++) {
    if (!tn_array_is_null(batch, row)) continue;
    return tn_fail(err, TN_ERR_ARGUMENT, "row %lld of a batch is null as a whole", (long long)row);
  }
  for (int64_t i = 0; i < batch->n_children; i++) {
    if (batch->children[i]->length >= batch->offset + batch->length) continue;
    return tn_fail(err, TN_ERR_ARGUMENT, "column \"%s\" has %lld rows, its batch %lld",
                   w->root->children[i].name, (long long)batch->children[i]->length,
                   (long long)(batch->offset + batch->length));
  }
  return TN_OK;
}

static tn_status add_batch(tn_parquet_writer *w, const ArrowArray *batch, tn_error *err) {
  TN_TRY(check_batch(w, batch, err));
  if (batch->length == 0) return TN_OK;
  if (!w->started) TN_TRY(start_columns(w, batch, err));
  w->batch = batch;
  for (int64_t from = 0; from < batch->length; from += w->count) {
    int64_t n = batch->length - from, room = w->options.row_group_rows - w->group_rows;
    if (n > room) n = room;
    if (n > STEP_ROWS) n = STEP_ROWS;
    w->from = from;
    w->count = n;
    TN_TRY(run_jobs(w, w->schema.leaf_count, add_job, err));
    TN_TRY(pack_pages(w, err));
    w->group_rows += n;
    bool whole = w->options.page_rows == 0 || w->group_rows % w->options.page_rows == 0;
    if (w->group_rows == w->options.row_group_rows || (whole && group_is_heavy(w))) {
      TN_TRY(flush_group(w, err));
    }
  }
  return TN_OK;
}

static tn_status refuse(const tn_parquet_writer *w, tn_error *err) {
  return tn_fail(err, w->failed ? w->failed : TN_ERR_ARGUMENT, "%s: the Parquet writer has %s",
                 w->sink->name, w->failed ? "failed before" : "finished before");
}

tn_status tn_parquet_writer_batch(tn_parquet_writer *w, const ArrowArray *batch, tn_error *err) {
  if (w->failed || w->finished) return refuse(w, err);
  w->failed = add_batch(w, batch, err);
  return w->failed ? tn_error_context(err, w->failed, "%s", w->sink->name) : TN_OK;
}

/* ---- the end of the file --------------------------------------------------------------------- */

/* Column indexes of all chunks, then offset indexes of all chunks, as readers like to fetch them.
 */
static tn_status write_indexes(tn_parquet_writer *w, tn_error *err) {
  int64_t leaves = w->schema.leaf_count;
  for (int part = 0; part < 2; part++) {
    for (size_t i = 0; i < w->index_count; i++) {
      tn_parquet_chunk_meta *chunk =
          &w->footer.groups[(int64_t)i / leaves].chunks[(int64_t)i % leaves];
      tn_str bytes = part == 0 ? w->indexes[i].column : w->indexes[i].offset;
      if (bytes.length == 0) continue;
      if (bytes.length > INT32_MAX - TN_PARQUET_MODULE_EXTRA) {
        return tn_fail(err, TN_ERR_LIMIT, "a page index of %zu bytes, limit %d", bytes.length,
                       INT32_MAX);
      }
      int64_t start = w->written;
      tn_parquet_packing how = w->columns[(int64_t)i % leaves].packing;
      how.group = (int64_t)i / leaves;
      TN_TRY(put_module(w, &how,
                        part == 0 ? TN_PARQUET_MODULE_COLUMN_INDEX : TN_PARQUET_MODULE_OFFSET_INDEX,
                        bytes, err));
      if (part == 0) {
        chunk->column_index_offset = start;
        chunk->column_index_bytes = (int32_t)(w->written - start);
      } else {
        chunk->offset_index_offset = start;
        chunk->offset_index_bytes = (int32_t)(w->written - start);
      }
    }
  }
  return TN_OK;
}

static tn_status add_arrow_schema(tn_parquet_writer *w, tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_parquet_arrow_schema_write(&w->schema_copy, &text, err);
  if (status == TN_OK) {
    tn_str value = {tn_arena_strndup(&w->arena, text.data, text.length), text.length};
    if (!value.data) status = tn_fail_memory(err, "the Arrow schema", text.length);
    w->footer.pairs[w->footer.pair_count++] =
        (tn_parquet_pair){TN_STR(TN_PARQUET_ARROW_SCHEMA_KEY), value, true};
  }
  tn_strbuf_clear(&text);
  return status;
}

static tn_status set_metadata(tn_parquet_writer *w, tn_error *err) {
  const char *own = w->schema_copy.metadata;
  int32_t own_count = 0;
  if (own) memcpy(&own_count, own, sizeof own_count);
  size_t count = (size_t)own_count + (size_t)w->options.metadata_count + 1, n = 0;
  w->footer.pairs = tn_arena_alloc(&w->arena, count, sizeof *w->footer.pairs);
  if (!w->footer.pairs) return tn_fail_memory(err, "key-value metadata", count);
  int64_t at = 4;
  for (int32_t i = 0; i < own_count; i++) {
    tn_str key = tn_metadata_next(own, &at), value = tn_metadata_next(own, &at);
    if (tn_str_is(key, TN_PARQUET_ARROW_SCHEMA_KEY)) continue; /* of the file this came from */
    w->footer.pairs[n++] = (tn_parquet_pair){key, value, true};
  }
  for (int32_t i = 0; i < w->options.metadata_count; i++) {
    const tn_parquet_key_value *pair = &w->options.metadata[i];
    w->footer.pairs[n++] =
        (tn_parquet_pair){tn_str_of(pair->key), tn_str_of(pair->value), pair->value != NULL};
  }
  w->footer.pair_count = (uint32_t)n;
  return w->options.no_arrow_schema ? TN_OK : add_arrow_schema(w, err);
}

static tn_status write_footer(tn_parquet_writer *w, tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = TN_OK;
  if (w->crypt) {
    status = tn_parquet_crypt_footer(w->crypt, &w->footer, &w->arena, &text, err);
  } else {
    tn_parquet_footer_write(&w->footer, &text);
  }
  if (status == TN_OK) status = tn_strbuf_check(&text, err);
  uint32_t length = (uint32_t)text.length;
  if (status == TN_OK && text.length > INT32_MAX) {
    status = tn_fail(err, TN_ERR_LIMIT, "a footer of %zu bytes, limit %d", text.length, INT32_MAX);
  }
  if (status == TN_OK) status = put(w, text.data, text.length, err);
  if (status == TN_OK) status = put(w, &length, sizeof length, err);
  if (status == TN_OK) status = put(w, magic_of(w), 4, err);
  tn_strbuf_clear(&text);
  return status;
}

tn_status tn_parquet_writer_finish(tn_parquet_writer *w, tn_error *err) {
  if (w->failed || w->finished) return refuse(w, err);
  w->failed = w->started ? flush_group(w, err) : TN_OK;
  if (!w->failed) w->failed = write_indexes(w, err);
  if (!w->failed) w->failed = set_metadata(w, err);
  if (!w->failed) w->failed = write_footer(w, err);
  if (w->failed) return tn_error_context(err, w->failed, "%s", w->sink->name);
  w->finished = true;
  return TN_OK;
}
