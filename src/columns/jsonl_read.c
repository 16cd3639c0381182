/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/array.h"
#include "columns/inflate.h"
#include "columns/jsonl.h"
#include "columns/jsonl_blocks.h"
#include "columns/jsonl_parse.h"
#include "columns/schema.h"

#define BATCH_ROWS       65536
#define BLOCK_BYTES      ((int64_t)1 << 20)
#define RECORD_BYTES_MAX ((int64_t)256 << 20)
#define SAMPLE_BYTES     ((int64_t)16 << 20)
enum { SLOTS_A_THREAD = 2, SHOWN_RECORD_BYTES = 60 };

typedef struct slot { /* one block on its way */
  tn_jsonl_text text;
  tn_jsonl_walk walk;
  tn_arena arena; /* inference: the block's shape */
  ArrowArray batch;
  int64_t newlines;
  tn_status status; /* of making the batch */
  tn_error err;
} slot;

typedef struct jsonl_reader {
  tn_source *source, *counted; /* plain text; what it is read from, when it is compressed */
  tn_pool *pool;
  tn_bad_rows *bad;
  const tn_jsonl_engine *engine;
  int64_t batch_rows;
  tn_jsonl_walk settings; /* what every walk begins with */
  tn_jsonl_blocks blocks;
  tn_strbuf sample;
  bool sample_is_all;
  slot *slots;
  int32_t slot_count, filled, emitted;
  int64_t line; /* of the first byte of slots[emitted], from 1 */
  tn_arena arena;
  tn_jsonl_shape *shape;
  tn_jsonl_tree tree;
  ArrowSchema all, schema; /* of the file, of the batches */
  tn_shared_array *wide;   /* a batch of more rows than batch_rows, handed out in parts */
  int64_t wide_at;
  tn_error failed; /* sticky */
} jsonl_reader;

/* ---- blocks to slots ---- */
static int64_t count_newlines(const uint8_t *p, size_t bytes) {
  int64_t lines = 0;
  for (size_t i = 0; i < bytes; i++) lines += p[i] == '\n';
  return lines;
}

static tn_status fill_slots(jsonl_reader *r, tn_jsonl_blocks *blocks, tn_error *err) {
  r->filled = r->emitted = 0;
  while (r->filled < r->slot_count) {
    tn_status status = tn_jsonl_blocks_next(blocks, &r->slots[r->filled].text, err);
    if (status == TN_END) return TN_OK;
    TN_TRY(status);
    r->filled++;
  }
  return TN_OK;
}

static void start_walk(const jsonl_reader *r, slot *s, bool array) {
  tn_jsonl_walk *w = &s->walk, old = *w;
  *w = r->settings;
  w->scratch = old.scratch;
  w->rest = old.rest;
  w->bad = old.bad;
  w->bad_capacity = old.bad_capacity;
  w->columns = old.columns;
  w->begin = w->at = s->text.data;
  w->end = s->text.data + s->text.bytes;
  w->array = array;
  w->first = s->text.first;
  w->last = s->text.last;
  tn_strbuf_reset(&w->rest);
  s->newlines = count_newlines(s->text.data, s->text.bytes);
}

/* Puts "file: line 7 (byte 123): " before what is wrong. */
static tn_status slot_failed(const jsonl_reader *r, const slot *s, tn_error *err) {
  const tn_jsonl_fault *fault = &s->walk.fault;
  if (fault->status == TN_ERR_MEMORY)
    return tn_fail(err, TN_ERR_MEMORY, "%s: %s", r->source->name, fault->reason);
  size_t at = (size_t)(fault->at - s->text.data);
  if (at > s->text.bytes) at = s->text.bytes;
  long long line = r->line + count_newlines(s->text.data, at);
  long long byte = s->text.byte + (int64_t)at;
  const char *cut = fault->incomplete && s->text.last ? "; is the file truncated?" : "";
  if (!fault->node)
    return tn_fail(err, fault->status, "%s: line %lld (byte %lld): %s%s", r->source->name, line,
                   byte, fault->reason, cut);
  char path[200];
  tn_jsonl_node_path(fault->node, path, sizeof path);
  return tn_fail(err, fault->status, "%s: line %lld, column \"%s\" (byte %lld): %s",
                 r->source->name, line, path, byte, fault->reason);
}

/* ---- inference ---- */
static void infer_slot(void *context, int64_t item, int32_t worker) {
  jsonl_reader *r = context;
  slot *s = &r->slots[item];
  tn_jsonl_walk *w = &s->walk;
  start_walk(r, s, r->blocks.mode == TN_JSONL_ARRAY);
  tn_arena_reset(&s->arena);
  w->arena = &s->arena;
  w->shape = tn_jsonl_shape_new(&s->arena, w->dates);
  s->status = w->shape ? TN_OK : tn_fail_memory(&s->err, "a JSON shape", sizeof *w->shape);
  if (s->status == TN_OK)
    s->status = tn_jsonl_shape_join(w->shape, &s->arena, r->shape, w->dates, &s->err);
  if (s->status == TN_OK) r->engine->infer(w);
}

static bool spans_lines(const jsonl_reader *r, const slot *s) {
  const tn_jsonl_fault *fault = &s->walk.fault;
  return fault->status == TN_ERR_DATA && fault->incomplete && !s->text.last &&
         r->blocks.mode == TN_JSONL_LINES && r->settings.on_error == TN_ON_ERROR_FAIL;
}

/* Joins the blocks' shapes in their order.  TN_AGAIN: records span lines, begin again. */
static tn_status join_slots(jsonl_reader *r, tn_error *err) {
  for (; r->emitted < r->filled; r->emitted++) {
    slot *s = &r->slots[r->emitted];
    const tn_jsonl_fault *fault = &s->walk.fault;
    if (s->status != TN_OK) {
      if (err) *err = s->err;
      return s->status;
    }
    if (spans_lines(r, s)) return TN_AGAIN;
    if (fault->status != TN_OK) return slot_failed(r, s, err);
    TN_TRY(tn_jsonl_shape_join(r->shape, &r->arena, s->walk.shape, s->walk.dates, err));
    r->line += s->newlines;
  }
  return TN_OK;
}

static tn_status infer_all(jsonl_reader *r, tn_progress *progress, tn_error *err) {
  r->line = 1;
  r->shape = tn_jsonl_shape_new(&r->arena, r->settings.dates);
  if (!r->shape) return tn_fail_memory(err, "a JSON shape", sizeof *r->shape);
  r->shape->root = true;
  for (;;) {
    TN_TRY(fill_slots(r, &r->blocks, err));
    if (r->filled == 0) return TN_OK;
    tn_pool_run(r->pool, r->filled, infer_slot, r);
    TN_TRY(join_slots(r, err));
    TN_TRY(tn_progress_at(progress, r->counted->bytes_read, err));
  }
}

/* A compressed file; not a compressed pipe. */
static bool is_rewindable(tn_source *source) {
  return tn_inflate_compression(source) != TN_COMPRESSION_NONE &&
         tn_inflate_rewind(source, NULL) == TN_OK;
}

/* Sets the blocks to the beginning, for inference or for parsing. */
static tn_status rewind_blocks(jsonl_reader *r, tn_source *source, bool sample_only,
                               tn_error *err) {
  tn_jsonl_blocks *b = &r->blocks, old = *b;
  *b = (tn_jsonl_blocks){.source = source,
                         .by_offset = source && source->size_bytes >= 0,
                         .prefix = (const uint8_t *)r->sample.data,
                         .prefix_bytes = r->sample.length,
                         .drop_tail = sample_only && !r->sample_is_all,
                         .block_bytes = old.block_bytes,
                         .record_bytes_max = old.record_bytes_max,
                         .carry = old.carry};
  b->mode = old.mode == TN_JSONL_ARRAY ? TN_JSONL_LINES : old.mode;
  b->carry.bytes = 0;
  b->carry.byte = 0;
  b->offset = b->by_offset ? (int64_t)r->sample.length : 0;
  bool sequential = source && !b->by_offset && r->sample.length == 0;
  return sequential && is_rewindable(source) ? tn_inflate_rewind(source, err) : TN_OK;
}

static tn_status take_sample(jsonl_reader *r, size_t bytes, tn_error *err) {
  tn_source *source = r->source;
  tn_strbuf *sample = &r->sample;
  char piece[65536];
  while (sample->length < bytes) {
    size_t got = 0, want = bytes - sample->length;
    if (want > sizeof piece) want = sizeof piece;
    if (source->size_bytes >= 0) {
      int64_t left = source->size_bytes - (int64_t)sample->length;
      got = left < (int64_t)want ? (size_t)left : want;
      if (got) TN_TRY(source->read_at(source, (int64_t)sample->length, piece, got, err));
    } else {
      TN_TRY(source->read(source, piece, want, &got, err));
    }
    tn_strbuf_append(sample, piece, got);
    TN_TRY(tn_strbuf_check(sample, err));
    r->sample_is_all = got == 0;
    if (got == 0) break;
  }
  return TN_OK;
}

static tn_status infer(jsonl_reader *r, const tn_jsonl_options *o, tn_error *err) {
  bool twice = !o->sample && (r->source->size_bytes >= 0 || is_rewindable(r->source));
  int64_t sample = o->sample_bytes ? o->sample_bytes : SAMPLE_BYTES;
  if (!twice) TN_TRY(take_sample(r, (size_t)sample, err));
  tn_source *source = twice ? r->source : NULL;
  TN_TRY(rewind_blocks(r, source, !twice, err));
  int64_t size = r->counted->size_bytes;
  tn_progress_begin(o->progress, "types", "B", size > 0 ? size : 0);
  tn_status status = infer_all(r, o->progress, err);
  if (status == TN_AGAIN) {
    r->blocks.mode = TN_JSONL_DOCUMENTS;
    TN_TRY(rewind_blocks(r, source, !twice, err));
    r->counted->bytes_read = 0;
    status = infer_all(r, o->progress, err);
  }
  TN_TRY(status);
  tn_progress_leave(o->progress);
  r->settings.closed = !twice && !r->sample_is_all;
  r->counted->bytes_read = r->source->bytes_read = 0; /* progress counts the pass of batches */
  return tn_jsonl_shape_schema(r->shape, &r->all, err);
}

/* ---- parsing ---- */
static void parse_slot(void *context, int64_t item, int32_t worker) {
  jsonl_reader *r = context;
  slot *s = &r->slots[item];
  tn_jsonl_walk *w = &s->walk;
  start_walk(r, s, r->blocks.mode == TN_JSONL_ARRAY);
  s->status = TN_OK;
  if (!w->columns) {
    w->columns = tn_alloc((size_t)r->tree.column_count, sizeof *w->columns);
    if (!w->columns) {
      s->status = tn_fail_memory(&s->err, "JSON columns", sizeof *w->columns);
      return;
    }
  }
  if (!r->engine->parse(w)) return;
  s->status = tn_jsonl_columns_finish(w->columns, &r->tree, w->rows, &s->batch, &s->err);
}

static tn_status report_bad(jsonl_reader *r, const slot *s, tn_error *err) {
  const uint8_t *counted = s->text.data;
  int64_t line = r->line;
  for (size_t i = 0; i < s->walk.bad_count; i++) {
    const tn_jsonl_bad *bad = &s->walk.bad[i];
    const uint8_t *at = s->text.data + bad->from;
    char path[200];
    line += count_newlines(counted, (size_t)(at - counted));
    counted = at;
    tn_bad_row row = {.file = r->source->name,
                      .line = line,
                      .byte = s->text.byte + bad->from,
                      .reason = tn_str_of(bad->reason),
                      .row = {(const char *)at, (size_t)bad->bytes}};
    if (bad->node) {
      tn_jsonl_node_path(bad->node, path, sizeof path);
      row.column = tn_str_of(path);
    }
    TN_TRY(tn_bad_rows_add(r->bad, &row, bad->skipped, err));
  }
  return TN_OK;
}

static tn_status hand_out(jsonl_reader *r, ArrowArray *batch, ArrowArray *out, tn_error *err) {
  if (batch->length <= r->batch_rows) {
    *out = *batch;
    batch->release = NULL;
    return TN_OK;
  }
  r->wide_at = 0;
  return tn_shared_array_new(&r->wide, batch, err);
}

static tn_status next_wide(jsonl_reader *r, ArrowArray *out, tn_error *err) {
  int64_t left = tn_shared_array_get(r->wide)->length - r->wide_at;
  int64_t rows = left < r->batch_rows ? left : r->batch_rows;
  TN_TRY(tn_shared_batch_view(r->wide, r->wide_at, rows, out, err));
  r->wide_at += rows;
  if (left > rows) return TN_OK;
  tn_shared_array_drop(r->wide);
  r->wide = NULL;
  return TN_OK;
}

/* Lines were assumed, but a record goes on behind a block's end: from that record on, blocks are
 * cut at brackets.  What was read already becomes the prefix of what is still to come; the rows
 * before the record stay. */
static tn_status switch_to_documents(jsonl_reader *r, slot *s, tn_error *err) {
  tn_jsonl_blocks *b = &r->blocks;
  tn_jsonl_walk *w = &s->walk;
  size_t at = (size_t)(w->record - w->begin);
  tn_strbuf rest = {0};
  for (int32_t i = r->emitted; i < r->filled; i++) {
    size_t from = i == r->emitted ? at : 0;
    tn_strbuf_append(&rest, r->slots[i].text.data + from, r->slots[i].text.bytes - from);
  }
  tn_strbuf_append(&rest, b->carry.data, b->carry.bytes);
  tn_strbuf_append(&rest, b->prefix ? b->prefix + b->prefix_at : NULL,
                   b->prefix_bytes - b->prefix_at);
  tn_status status = tn_strbuf_check(&rest, err);
  if (status != TN_OK) {
    tn_strbuf_clear(&rest);
    return status;
  }
  tn_strbuf_clear(&r->sample);
  r->sample = rest;
  b->prefix = (const uint8_t *)rest.data;
  b->prefix_bytes = rest.length;
  b->prefix_at = 0;
  b->mode = TN_JSONL_DOCUMENTS;
  b->exhausted = b->finished = false;
  b->carry.bytes = 0;
  b->carry.byte = s->text.byte + (int64_t)at;
  r->filled = r->emitted + 1;
  s->newlines = count_newlines(s->text.data, at);
  w->fault = (tn_jsonl_fault){0};
  tn_jsonl_columns_cut(w->columns, &r->tree.root, w->rows);
  tn_strbuf_reset(&w->rest);
  return tn_jsonl_columns_finish(w->columns, &r->tree, w->rows, &s->batch, err);
}

static tn_status next_batch(jsonl_reader *r, ArrowArray *out, tn_error *err) {
  while (!out->release) {
    if (r->wide) return next_wide(r, out, err);
    if (r->emitted == r->filled) {
      TN_TRY(fill_slots(r, &r->blocks, err));
      if (r->filled == 0) return TN_END;
      tn_pool_run(r->pool, r->filled, parse_slot, r);
    }
    slot *s = &r->slots[r->emitted];
    if (s->status != TN_OK) {
      if (err) *err = s->err;
      return s->status;
    }
    TN_TRY(report_bad(r, s, err));
    if (spans_lines(r, s)) TN_TRY(switch_to_documents(r, s, err));
    if (s->walk.fault.status != TN_OK) return slot_failed(r, s, err);
    r->line += s->newlines;
    r->emitted++;
    if (s->batch.length > 0) TN_TRY(hand_out(r, &s->batch, out, err));
    tn_array_clear(&s->batch);
  }
  return TN_OK;
}

static tn_status jsonl_next(void *reader, ArrowArray *out, tn_error *err) {
  jsonl_reader *r = reader;
  if (r->failed.status != TN_OK) {
    if (err) *err = r->failed;
    return r->failed.status;
  }
  tn_status status = next_batch(r, out, &r->failed);
  if (status == TN_END) return TN_END;
  if (status != TN_OK && err) *err = r->failed;
  return status;
}

static tn_status jsonl_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &((jsonl_reader *)reader)->schema, err);
}

static void jsonl_free(void *reader) {
  jsonl_reader *r = reader;
  for (int32_t i = 0; r->slots && i < r->slot_count; i++) {
    slot *s = &r->slots[i];
    tn_jsonl_text_clear(&s->text);
    tn_jsonl_walk_clear(&s->walk);
    tn_jsonl_columns_clear(s->walk.columns, r->tree.column_count);
    tn_arena_clear(&s->arena);
    tn_array_clear(&s->batch);
  }
  tn_free(r->slots);
  tn_shared_array_drop(r->wide);
  tn_jsonl_text_clear(&r->blocks.carry);
  tn_strbuf_clear(&r->sample);
  tn_schema_clear(&r->all);
  tn_schema_clear(&r->schema);
  tn_jsonl_tree_clear(&r->tree);
  tn_arena_clear(&r->arena);
  tn_source_close(r->source);
  tn_free(r);
}

/* ---- opening ---- */
static tn_status check_range(const char *what, int64_t value, int64_t most, tn_error *err) {
  if (value >= 0 && value <= most) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "JSONL option %s: %lld, from 0 (default) to %lld", what,
                 (long long)value, (long long)most);
}

static tn_status take_options(jsonl_reader *r, const tn_jsonl_options *o, tn_error *err) {
  const int64_t most = (int64_t)1 << 30;
  TN_TRY(check_range("batch_rows", o->batch_rows, INT32_MAX, err));
  TN_TRY(check_range("block_bytes", o->block_bytes, most, err));
  TN_TRY(check_range("record_bytes_max", o->record_bytes_max, most, err));
  TN_TRY(check_range("sample_bytes", o->sample_bytes, most, err));
  TN_TRY(check_range("depth_max", o->depth_max, TN_JSONL_DEPTH_MAX, err));
  r->batch_rows = o->batch_rows ? o->batch_rows : BATCH_ROWS;
  r->blocks.block_bytes = (size_t)(o->block_bytes ? o->block_bytes : BLOCK_BYTES);
  r->blocks.record_bytes_max =
      (size_t)(o->record_bytes_max ? o->record_bytes_max : RECORD_BYTES_MAX);
  r->pool = o->pool;
  r->bad = o->bad;
  r->settings.depth_max = o->depth_max ? o->depth_max : TN_JSONL_DEPTH_MAX;
  r->settings.on_error = o->bad ? o->bad->on_error : TN_ON_ERROR_FAIL;
  r->settings.dates = !o->no_dates;
  r->settings.tree = &r->tree;
  r->engine = tn_jsonl_engine_best();
  int32_t threads = tn_pool_threads(o->pool);
  r->slot_count = threads > 1 ? threads * SLOTS_A_THREAD : 1;
  r->slots = tn_alloc((size_t)r->slot_count, sizeof *r->slots);
  return r->slots ? TN_OK : tn_fail_memory(err, "JSONL blocks", (size_t)r->slot_count);
}

/* The schema of the file with the rest column behind, when it is not there yet. */
static tn_status add_rest(jsonl_reader *r, const char *name, tn_error *err) {
  if (tn_schema_find(&r->all, name) >= 0) return TN_OK;
  ArrowSchema old = r->all;
  memset(&r->all, 0, sizeof r->all);
  tn_status status = tn_schema_init(&r->all, "+s", "", 0, err);
  if (status == TN_OK) status = tn_schema_add_children(&r->all, old.n_children + 1, err);
  for (int64_t i = 0; status == TN_OK && i < old.n_children; i++)
    status = tn_schema_copy(r->all.children[i], old.children[i], err);
  ArrowSchema *rest = status == TN_OK ? r->all.children[old.n_children] : NULL;
  if (status == TN_OK) status = tn_schema_init(rest, "u", name, ARROW_FLAG_NULLABLE, err);
  if (status == TN_OK)
    status =
        tn_schema_add_metadata(rest, TN_STR("ARROW:extension:name"), TN_STR("arrow.json"), err);
  tn_schema_clear(&old);
  return status;
}

static tn_status open_reader(jsonl_reader *r, const tn_jsonl_options *o, tn_error *err) {
  TN_TRY(take_options(r, o, err));
  TN_TRY(o->schema ? tn_schema_copy(&r->all, o->schema, err) : infer(r, o, err));
  if (o->rest_column) TN_TRY(add_rest(r, o->rest_column, err));
  TN_TRY(tn_jsonl_tree_init(&r->tree, &r->all, o->schema != NULL, o->columns, o->column_count,
                            o->rest_column, r->source->name, err));
  TN_TRY(tn_jsonl_tree_schema(&r->tree, &r->all, &r->schema, err));
  TN_TRY(rewind_blocks(r, r->source, false, err));
  r->line = 1;
  r->filled = r->emitted = 0;
  return TN_OK;
}

tn_status tn_jsonl_read(ArrowArrayStream *out, tn_source *source, const tn_jsonl_options *options,
                        tn_error *err) {
  static const tn_reader_ops ops = {jsonl_schema, jsonl_next, jsonl_free};
  static const tn_jsonl_options defaults;
  memset(out, 0, sizeof *out);
  if (!options) options = &defaults;
  jsonl_reader *r = tn_alloc(1, sizeof *r);
  if (!r) {
    tn_source_close(source);
    return tn_fail_memory(err, "JSONL reader", sizeof *r);
  }
  r->counted = source;
  tn_status status = tn_inflate_open(&r->source, source, err);
  if (status == TN_OK) status = open_reader(r, options, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, r, err);
  jsonl_free(r);
  return status;
}
