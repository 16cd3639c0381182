/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/column_writer.h"
#include "columns/parquet/parquet.h"
#include "columns/parquet/schema.h"

enum {
  ROW_GROUP_ROWS = 122880,
  PAGE_BYTES = 1 << 20,
  DICTIONARY_BYTES = 1 << 20,
  DICTIONARY_BYTES_MAX = 256 << 20,
  PAGE_BYTES_MAX = 1 << 30,
  GROUP_BYTES_MAX = 256 << 20, /* a row group that waits with more than this is closed early */
};

struct tn_parquet_writer {
  tn_sink *sink;
  tn_parquet_write_options options;
  tn_parquet_codecs codecs;
  tn_parquet_column_writer *columns;
  int64_t column_count;
  int64_t group_rows; /* in the open row group */
  int64_t written;    /* bytes of the file so far */
  tn_arena arena;     /* names, row groups' metadata */
  tn_parquet_footer footer;
  size_t group_capacity;
  tn_status failed; /* sticky: after an error the file cannot become whole */
  bool finished;
};

/* ---- opening --------------------------------------------------------------------------------- */

static tn_status fill_options(tn_parquet_write_options *o, tn_error *err) {
  TN_TRY(tn_parquet_codec_check((int32_t)o->codec, err));
  if (o->row_group_rows == 0) o->row_group_rows = ROW_GROUP_ROWS;
  if (o->page_bytes == 0) o->page_bytes = PAGE_BYTES;
  if (o->dictionary_bytes == 0) o->dictionary_bytes = DICTIONARY_BYTES;
  if (o->row_group_rows < 0 || o->row_group_rows > INT32_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT, "row groups of %lld rows; 1 to %d are possible",
                   (long long)o->row_group_rows, INT32_MAX);
  }
  if (o->page_bytes < 0 || o->page_bytes > PAGE_BYTES_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT, "pages of %lld bytes; 1 to %d are possible",
                   (long long)o->page_bytes, PAGE_BYTES_MAX);
  }
  if (o->dictionary_bytes < 0 || o->dictionary_bytes > DICTIONARY_BYTES_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT, "dictionaries of %lld bytes; 1 to %d are possible",
                   (long long)o->dictionary_bytes, DICTIONARY_BYTES_MAX);
  }
  return TN_OK;
}

static tn_status add_column(tn_parquet_writer *w, const ArrowSchema *field, int64_t index,
                            tn_error *err) {
  tn_parquet_column_writer *column = &w->columns[index];
  const char *name = field->name ? field->name : "";
  TN_TRY(tn_column_type_of(field, &column->type, err));
  column->name = tn_arena_strndup(&w->arena, name, strlen(name));
  if (!column->name) return tn_fail_memory(err, "a column's name", strlen(name));
  column->nullable = field->flags & ARROW_FLAG_NULLABLE;
  column->options = &w->options;
  column->codecs = &w->codecs;
  tn_parquet_element_for(column->type, column->name, column->nullable,
                         &w->footer.elements[index + 1]);
  tn_parquet_column_writer_start(column);
  return TN_OK;
}

static tn_status init_columns(tn_parquet_writer *w, const ArrowSchema *schema, tn_error *err) {
  size_t count = (size_t)schema->n_children;
  w->columns = tn_alloc(count, sizeof *w->columns);
  if (!w->columns) return tn_fail_memory(err, "a Parquet writer's columns", count);
  w->column_count = schema->n_children;
  w->footer.elements = tn_arena_alloc(&w->arena, count + 1, sizeof *w->footer.elements);
  if (!w->footer.elements) return tn_fail_memory(err, "a Parquet writer's schema", count);
  w->footer.element_count = schema->n_children + 1;
  w->footer.elements[0] = (tn_parquet_element){.name = "schema",
                                               .physical = -1,
                                               .repetition = -1,
                                               .converted = -1,
                                               .children = (int32_t)count};
  for (int64_t i = 0; i < w->column_count; i++) {
    TN_TRY(add_column(w, schema->children[i], i, err));
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
  tn_status status = fill_options(&w->options, err);
  if (status == TN_OK) status = init_columns(w, schema, err);
  if (status == TN_OK) status = init_created_by(w, err);
  if (status == TN_OK) status = put(w, "PAR1", 4, err);
  if (status != TN_OK) {
    tn_parquet_writer_free(w);
    return status;
  }
  *out = w;
  return TN_OK;
}

void tn_parquet_writer_free(tn_parquet_writer *w) {
  if (!w) return;
  for (int64_t i = 0; i < w->column_count; i++) tn_parquet_column_writer_clear(&w->columns[i]);
  tn_parquet_codecs_clear(&w->codecs);
  tn_arena_clear(&w->arena);
  tn_free(w->footer.groups);
  tn_free(w->columns);
  tn_free(w);
}

/* ---- row groups ------------------------------------------------------------------------------ */

static tn_status write_chunk(tn_parquet_writer *w, tn_parquet_column_writer *column,
                             tn_parquet_chunk_meta *out, tn_error *err) {
  char *room = tn_arena_alloc(&w->arena, 2, TN_PARQUET_STATS_BYTES);
  if (!room) return tn_fail_memory(err, "a column's statistics", 2 * TN_PARQUET_STATS_BYTES);
  TN_TRY(tn_parquet_column_writer_finish(column, room, err));
  *out = column->meta;
  out->data_offset += w->written;
  if (out->dictionary_offset >= 0) out->dictionary_offset += w->written;
  return put(w, column->chunk.data, column->chunk.length, err);
}

static tn_status flush_group(tn_parquet_writer *w, tn_error *err) {
  if (w->group_rows == 0) return TN_OK;
  tn_parquet_footer *footer = &w->footer;
  TN_TRY(tn_grow((void **)&footer->groups, &w->group_capacity, (size_t)footer->group_count + 1,
                 sizeof *footer->groups, err));
  tn_parquet_group_meta *group = &footer->groups[footer->group_count];
  *group = (tn_parquet_group_meta){.chunk_count = w->column_count, .rows = w->group_rows};
  group->chunks = tn_arena_alloc(&w->arena, (size_t)w->column_count, sizeof *group->chunks);
  if (!group->chunks) return tn_fail_memory(err, "a row group's metadata", sizeof *group->chunks);
  for (int64_t i = 0; i < w->column_count; i++) {
    tn_status status = write_chunk(w, &w->columns[i], &group->chunks[i], err);
    if (status != TN_OK) {
      return tn_error_context(err, status, "row group %lld: column \"%s\"",
                              (long long)footer->group_count, w->columns[i].name);
    }
    group->bytes += group->chunks[i].uncompressed_bytes;
    tn_parquet_column_writer_start(&w->columns[i]);
  }
  footer->group_count++;
  footer->rows += w->group_rows;
  w->group_rows = 0;
  return TN_OK;
}

static bool group_is_heavy(const tn_parquet_writer *w) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < w->column_count; i++) {
    bytes += tn_parquet_column_writer_bytes(&w->columns[i]);
  }
  return bytes > GROUP_BYTES_MAX;
}

static tn_status check_batch(const tn_parquet_writer *w, const ArrowArray *batch, tn_error *err) {
  if (batch->n_children != w->column_count) {
    return tn_fail(err, TN_ERR_ARGUMENT, "a batch of %lld columns, the schema has %lld",
                   (long long)batch->n_children, (long long)w->column_count);
  }
  for (int64_t row = 0; batch->null_count != 0 && row < batch->length; row++) {
    if (!tn_array_is_null(batch, row)) continue;
    return tn_fail(err, TN_ERR_ARGUMENT, "row %lld of a batch is null as a whole", (long long)row);
  }
  for (int64_t i = 0; i < w->column_count; i++) {
    if (batch->children[i]->length >= batch->offset + batch->length) continue;
    return tn_fail(err, TN_ERR_ARGUMENT, "column \"%s\" has %lld rows, its batch %lld",
                   w->columns[i].name, (long long)batch->children[i]->length,
                   (long long)(batch->offset + batch->length));
  }
  return TN_OK;
}

static tn_status add_rows(tn_parquet_writer *w, const ArrowArray *batch, int64_t from,
                          int64_t count, tn_error *err) {
  for (int64_t i = 0; i < w->column_count; i++) {
    tn_status status = tn_parquet_column_writer_add(&w->columns[i], batch->children[i],
                                                    batch->offset + from, count, err);
    if (status != TN_OK) {
      return tn_error_context(err, status, "row group %lld: column \"%s\"",
                              (long long)w->footer.group_count, w->columns[i].name);
    }
  }
  w->group_rows += count;
  return TN_OK;
}

static tn_status add_batch(tn_parquet_writer *w, const ArrowArray *batch, tn_error *err) {
  const int64_t step = 16384; /* how often the open row group is weighed */
  TN_TRY(check_batch(w, batch, err));
  for (int64_t from = 0; from < batch->length;) {
    int64_t n = batch->length - from, room = w->options.row_group_rows - w->group_rows;
    if (n > room) n = room;
    if (n > step) n = step;
    TN_TRY(add_rows(w, batch, from, n, err));
    from += n;
    if (w->group_rows == w->options.row_group_rows || group_is_heavy(w)) {
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

/* ---- the footer ------------------------------------------------------------------------------ */

static tn_status write_footer(tn_parquet_writer *w, tn_error *err) {
  tn_strbuf text = {0};
  tn_parquet_footer_write(&w->footer, &text);
  tn_status status = tn_strbuf_check(&text, err);
  uint32_t length = (uint32_t)text.length;
  if (status == TN_OK && text.length > INT32_MAX) {
    status = tn_fail(err, TN_ERR_LIMIT, "a footer of %zu bytes, limit %d", text.length, INT32_MAX);
  }
  if (status == TN_OK) status = put(w, text.data, text.length, err);
  if (status == TN_OK) status = put(w, &length, sizeof length, err);
  if (status == TN_OK) status = put(w, "PAR1", 4, err);
  tn_strbuf_clear(&text);
  return status;
}

tn_status tn_parquet_writer_finish(tn_parquet_writer *w, tn_error *err) {
  if (w->failed || w->finished) return refuse(w, err);
  w->failed = flush_group(w, err);
  if (!w->failed) w->failed = write_footer(w, err);
  if (w->failed) return tn_error_context(err, w->failed, "%s", w->sink->name);
  w->finished = true;
  return TN_OK;
}
