/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_body_read.h"

#include "columns/ipc_buffer.h"
#include "columns/ipc_check.h"
#include "columns/ipc_format.h"

/* ---- messages ---- */
static tn_status bad_batch(const tn_ipc_batch_reader *r, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: %s at byte %lld: %s", r->message->source->name, r->what,
                 (long long)r->message->at, what);
}

static tn_status in_column(const tn_ipc_batch_reader *r, tn_status status, tn_error *err) {
  tn_strbuf path = {0};
  for (int32_t i = 0; i < r->depth; i++) tn_strbuf_addf(&path, "%s%s", i ? "." : "", r->path[i]);
  status = tn_error_context(err, status, "%s: %s at byte %lld, column \"%.200s\"",
                            r->message->source->name, r->what, (long long)r->message->at,
                            path.data ? path.data : "");
  tn_strbuf_clear(&path);
  return status;
}

static tn_status bad_column(const tn_ipc_batch_reader *r, const char *what, tn_error *err) {
  return in_column(r, tn_fail(err, TN_ERR_DATA, "%s", what), err);
}

/* ---- the RecordBatch table ---- */
static tn_status read_compression(tn_ipc_batch_reader *r, const tn_flat_table *batch,
                                  tn_error *err) {
  tn_flat_table t = tn_flat_get_table(batch, TN_IPC_BATCH_COMPRESSION);
  r->codec = -1;
  if (!t.view) return TN_OK;
  int64_t codec = tn_flat_int(&t, TN_IPC_COMPRESSION_CODEC, 1, 0);
  int64_t method = tn_flat_int(&t, TN_IPC_COMPRESSION_METHOD, 1, 0);
  if (method != 0 || codec < TN_IPC_CODEC_LZ4_FRAME || codec > TN_IPC_CODEC_ZSTD)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: %s: codec %lld by method %lld",
                   r->message->source->name, r->what, (long long)codec, (long long)method);
  r->codec = (int32_t)codec;
  return TN_OK;
}

/* Buffers that the fields of a tree take, those of its views counted in. */
static bool count_buffers(const tn_ipc_batch_reader *r, const tn_ipc_node *n, uint32_t first_view,
                          uint64_t *out) {
  uint64_t count = n->buffers;
  if (r->message->version < TN_IPC_VERSION_5) count += n->unions;
  for (uint32_t i = 0; i < n->views; i++) {
    int64_t more = tn_flat_item_int(&r->views, first_view + i, 8, 0, 8);
    if (more < 0 || more > UINT32_MAX) return false;
    count += (uint64_t)more;
  }
  *out = count;
  return count <= UINT32_MAX;
}

/* What the lists of the metadata must hold for `n`, whose own node is not there when it is the
 * root. */
static tn_status open_batch(tn_ipc_batch_reader *r, const tn_flat_table *batch,
                            const tn_ipc_node *n, bool is_root, tn_error *err) {
  r->rows = tn_flat_int(batch, TN_IPC_BATCH_ROWS, 8, 0);
  r->nodes = tn_flat_get_vector(batch, TN_IPC_BATCH_NODES, TN_IPC_PAIR_BYTES);
  r->buffers = tn_flat_get_vector(batch, TN_IPC_BATCH_BUFFERS, TN_IPC_PAIR_BYTES);
  r->views = tn_flat_get_vector(batch, TN_IPC_BATCH_VARIADIC, 8);
  TN_TRY(read_compression(r, batch, err));
  if (!batch->view || batch->view->bad) return bad_batch(r, "its metadata is malformed", err);
  if (r->rows < 0 || r->rows > TN_IPC_ROWS_MAX)
    return bad_batch(r, "an impossible number of rows", err);
  uint64_t buffers = 0;
  if (r->nodes.count != n->nodes - is_root || r->views.count < n->views ||
      !count_buffers(r, n, 0, &buffers) || r->buffers.count != buffers - is_root)
    return bad_batch(r, "its columns or buffers do not match the schema", err);
  r->at = (tn_ipc_cursor){0};
  r->depth = 0;
  r->listed_bytes = 0;
  r->bytes_left = r->bytes_max;
  return TN_OK;
}

static void step_over(tn_ipc_batch_reader *r, const tn_ipc_node *n) {
  uint64_t buffers = 0;
  count_buffers(r, n, r->at.view, &buffers); /* all were in range when the batch was opened */
  r->at.node += n->nodes;
  r->at.view += n->views;
  r->at.buffer += (uint32_t)buffers;
}

/* ---- buffers ---- */
/* Where a buffer is copied, in whatever way, a hundred thousand buffers that are all the same bytes
 * would cost a hundred thousand times those.  Views of them cost nothing. */
static bool overlaps(tn_ipc_batch_reader *r, int64_t bytes) {
  if (r->message->body && !r->schema->big_endian && r->codec < 0) return false;
  r->listed_bytes += bytes; /* no overflow: each is at most the body */
  return r->listed_bytes > r->message->body_bytes;
}

static tn_status next_buffer(tn_ipc_batch_reader *r, tn_ipc_bytes *out, tn_error *err) {
  uint32_t i = r->at.buffer++;
  int64_t offset = tn_flat_item_int(&r->buffers, i, TN_IPC_PAIR_BYTES, 0, 8);
  int64_t bytes = tn_flat_item_int(&r->buffers, i, TN_IPC_PAIR_BYTES, 8, 8);
  int64_t body = r->message->body_bytes;
  *out = (tn_ipc_bytes){0};
  if (bytes == 0) return TN_OK;
  if (offset < 0 || bytes < 0 || offset > body || bytes > body - offset)
    return bad_column(r, "a buffer lies outside the batch's body", err);
  if (overlaps(r, bytes)) return bad_column(r, "a buffer overlaps another", err);
  TN_TRY(tn_ipc_message_range(r->message, offset, bytes, &out->owner, &out->data, err));
  out->bytes = bytes;
  if (r->codec < 0) return TN_OK;
  tn_status status = tn_ipc_decompress(out, r->codec, &r->bytes_left, r->bytes_max, err);
  return status == TN_OK ? TN_OK : in_column(r, status, err);
}

/* The next buffer as values of `words`, `want` bytes of them at least; none at all when nothing is
 * wanted of it. */
static tn_status next_values(tn_ipc_batch_reader *r, int64_t want, tn_ipc_words words,
                             tn_ipc_bytes *out, tn_error *err) {
  TN_TRY(next_buffer(r, out, err));
  if (want == 0) {
    tn_ipc_bytes_clear(out);
    return TN_OK;
  }
  if (out->bytes < want) return bad_column(r, "a buffer is too short for the rows", err);
  if (r->schema->big_endian) TN_TRY(tn_ipc_swap_bytes(out, words, err));
  const tn_buffer *before = out->owner;
  TN_TRY(tn_ipc_align_bytes(out, words, err));
  if (out->owner == before) return TN_OK;
  r->listed_bytes += out->bytes;
  return r->listed_bytes <= 2 * r->message->body_bytes
             ? TN_OK
             : bad_column(r, "a buffer overlaps another", err);
}

static tn_ipc_words words_of(const tn_type *t) {
  switch (t->id) {
    case TN_TYPE_FIXED_BINARY:
      return TN_IPC_WORDS_1;
    case TN_TYPE_INTERVAL_DAY_TIME:
      return TN_IPC_WORDS_4;
    case TN_TYPE_INTERVAL_MONTH_DAY_NANO:
      return TN_IPC_WORDS_4_4_8;
    default:
      break;
  }
  switch (t->bits) {
    case 16:
      return TN_IPC_WORDS_2;
    case 32:
      return TN_IPC_WORDS_4;
    case 64:
      return TN_IPC_WORDS_8;
    case 128:
      return TN_IPC_WORDS_16;
    case 256:
      return TN_IPC_WORDS_32;
    default:
      return TN_IPC_WORDS_1;
  }
}

/* What each buffer behind the validity bitmap must hold for so many rows. */
typedef struct wanted {
  int64_t bytes;
  tn_ipc_words words;
} wanted;

static int64_t times(int64_t rows, int64_t bytes) {
  int64_t product;
  return __builtin_mul_overflow(rows, bytes, &product) ? INT64_MAX : product;
}

/* Returns how many there are; a text's bytes and a view's data are not among them. */
static int32_t wants_of(const tn_type *t, int64_t rows, wanted out[2]) {
  int64_t offsets = rows ? rows + 1 : 0; /* what an empty array has may be less than one */
  switch (t->layout) {
    case TN_LAYOUT_BITS:
      out[0] = (wanted){(rows + 7) / 8, TN_IPC_WORDS_1};
      return 1;
    case TN_LAYOUT_FIXED:
      out[0] = (wanted){times(rows, t->bits / 8), words_of(t)};
      return 1;
    case TN_LAYOUT_BYTES:
    case TN_LAYOUT_LIST:
      out[0] = (wanted){4 * offsets, TN_IPC_WORDS_4};
      return 1;
    case TN_LAYOUT_LARGE_BYTES:
    case TN_LAYOUT_LARGE_LIST:
      out[0] = (wanted){8 * offsets, TN_IPC_WORDS_8};
      return 1;
    case TN_LAYOUT_VIEW:
      out[0] = (wanted){16 * rows, TN_IPC_WORDS_VIEW};
      return 1;
    case TN_LAYOUT_LIST_VIEW:
      out[0] = out[1] = (wanted){4 * rows, TN_IPC_WORDS_4};
      return 2;
    case TN_LAYOUT_LARGE_LIST_VIEW:
      out[0] = out[1] = (wanted){8 * rows, TN_IPC_WORDS_8};
      return 2;
    case TN_LAYOUT_DENSE_UNION:
      out[0] = (wanted){rows, TN_IPC_WORDS_1};
      out[1] = (wanted){4 * rows, TN_IPC_WORDS_4};
      return 2;
    case TN_LAYOUT_SPARSE_UNION:
      out[0] = (wanted){rows, TN_IPC_WORDS_1};
      return 1;
    default:
      return 0;
  }
}

/* A union of V4 has a validity bitmap too; V5 has no place for what it says. */
static tn_status drop_union_validity(tn_ipc_batch_reader *r, int64_t nulls, tn_error *err) {
  r->at.buffer++;
  return nulls == 0 ? TN_OK : bad_column(r, "a V4 union that is itself null in places", err);
}

/* Buffers in the order of the C Data Interface; `b` has room for `count`. */
static tn_status read_buffers(tn_ipc_batch_reader *r, const tn_type *t, int64_t rows, int64_t nulls,
                              tn_ipc_bytes *b, int64_t count, tn_error *err) {
  wanted want[2];
  int64_t used = 0;
  bool is_union = t->layout == TN_LAYOUT_DENSE_UNION || t->layout == TN_LAYOUT_SPARSE_UNION;
  if (is_union && r->message->version < TN_IPC_VERSION_5)
    TN_TRY(drop_union_validity(r, nulls, err));
  if (tn_layout_has_validity(t->layout)) {
    tn_ipc_bytes *validity = &b[used++];
    TN_TRY(next_buffer(r, validity, err));
    if (validity->data && validity->bytes < (rows + 7) / 8)
      return bad_column(r, "a validity buffer is too short for the rows", err);
  }
  int32_t wants = wants_of(t, rows, want);
  for (int32_t i = 0; i < wants; i++)
    TN_TRY(next_values(r, want[i].bytes, want[i].words, &b[used++], err));
  while (used < count) TN_TRY(next_buffer(r, &b[used++], err));
  return TN_OK;
}

/* ---- arrays ---- */
typedef struct loading { /* of one array; cleared by read_node whatever happens */
  const tn_ipc_node *node;
  int64_t rows, nulls;
  tn_ipc_bytes *buffers, fixed[4];
  int64_t buffer_count, made_count; /* with what is made here: sizes of views */
  ArrowArray *children, dictionary;
} loading;

static tn_status read_node(tn_ipc_batch_reader *r, const tn_ipc_node *n, ArrowArray *out,
                           tn_error *err);

/* Also the room for the int64 sizes of a view's data buffers. */
static tn_status make_room(tn_ipc_batch_reader *r, loading *l, tn_error *err) {
  const tn_type *t = &l->node->field->type;
  int64_t more = 0;
  if (t->layout == TN_LAYOUT_VIEW) more = tn_flat_item_int(&r->views, r->at.view++, 8, 0, 8);
  l->made_count = tn_layout_buffers(t->layout) + more;
  l->buffer_count = l->made_count - (t->layout == TN_LAYOUT_VIEW);
  l->buffers = l->fixed;
  if (l->made_count <= 4) return TN_OK;
  l->buffers = tn_alloc((size_t)l->made_count, sizeof *l->buffers);
  return l->buffers ? TN_OK
                    : tn_fail_memory(err, "an Arrow array's buffers",
                                     (unsigned long long)l->made_count * sizeof *l->buffers);
}

static tn_status read_children(tn_ipc_batch_reader *r, loading *l, tn_error *err) {
  int64_t count = l->node->field->child_count;
  if (count == 0) return TN_OK;
  l->children = tn_alloc((size_t)count, sizeof *l->children);
  if (!l->children)
    return tn_fail_memory(err, "an Arrow array's children", (size_t)count * sizeof *l->children);
  for (int64_t i = 0; i < count; i++)
    TN_TRY(read_node(r, &l->node->children[i], &l->children[i], err));
  return TN_OK;
}

static tn_status read_dictionary(tn_ipc_batch_reader *r, loading *l, tn_error *err) {
  tn_shared_array *values;
  if (!l->node->values) return TN_OK;
  TN_TRY(r->dictionary(r->context, l->node->dictionary, &values, err));
  int64_t length = tn_shared_array_get(values)->length;
  return tn_shared_array_view(values, 0, length, &l->dictionary, err);
}

static tn_status add_view_sizes(loading *l, tn_error *err) {
  int64_t count = l->buffer_count - 2;
  tn_buffer *sizes;
  TN_TRY(tn_buffer_new(&sizes, (size_t)count * 8, err));
  for (int64_t i = 0; i < count; i++) ((int64_t *)sizes->data)[i] = l->buffers[2 + i].bytes;
  l->buffers[l->buffer_count] = (tn_ipc_bytes){sizes, sizes->data, count * 8};
  return TN_OK;
}

static tn_status make(loading *l, ArrowArray *out, tn_error *err) {
  const tn_field *f = l->node->field;
  if (f->type.layout == TN_LAYOUT_VIEW) TN_TRY(add_view_sizes(l, err));
  tn_buffer **owners = tn_alloc((size_t)l->made_count, sizeof *owners);
  const void **data = tn_alloc((size_t)l->made_count, sizeof *data);
  tn_status status = TN_OK;
  if (!owners || !data)
    status = tn_fail_memory(err, "an Arrow array", (size_t)l->made_count * sizeof *owners);
  for (int64_t i = 0; status == TN_OK && i < l->made_count; i++) {
    owners[i] = l->buffers[i].owner;
    data[i] = l->buffers[i].data;
  }
  if (status == TN_OK) {
    /* A bitmap of ones says nothing, and need not be looked at. */
    bool no_validity = tn_layout_has_validity(f->type.layout) && l->nulls == 0;
    if (no_validity) owners[0] = NULL, data[0] = NULL;
    tn_array_parts parts = {.length = l->rows,
                            .null_count = l->nulls,
                            .buffers = owners,
                            .data = data,
                            .buffer_count = l->made_count,
                            .children = l->children,
                            .child_count = f->child_count,
                            .dictionary = l->node->values ? &l->dictionary : NULL};
    status = tn_array_make(out, &parts, err);
  }
  tn_free(owners);
  tn_free(data);
  return status;
}

/* Rows that take no bytes could be any number in a file of any size. */
static bool rows_are_free(const tn_field *f) {
  const tn_type *t = &f->type;
  return t->layout == TN_LAYOUT_NONE || t->layout == TN_LAYOUT_RUN_END ||
         (t->layout == TN_LAYOUT_STRUCT && f->child_count == 0) ||
         (t->size == 0 && (t->id == TN_TYPE_FIXED_BINARY || t->id == TN_TYPE_FIXED_LIST));
}

static tn_status check_rows(const tn_ipc_batch_reader *r, const loading *l, tn_error *err) {
  if (l->rows < 0 || l->rows > TN_IPC_ROWS_MAX)
    return bad_column(r, "an impossible number of rows", err);
  if (l->rows <= TN_IPC_FREE_ROWS_MAX || !rows_are_free(l->node->field)) return TN_OK;
  tn_status status = tn_fail(err, TN_ERR_LIMIT, "%lld rows that take no bytes, limit %lld",
                             (long long)l->rows, (long long)TN_IPC_FREE_ROWS_MAX);
  return in_column(r, status, err);
}

static tn_status load(tn_ipc_batch_reader *r, loading *l, ArrowArray *out, tn_error *err) {
  const tn_field *f = l->node->field;
  TN_TRY(check_rows(r, l, err));
  TN_TRY(make_room(r, l, err));
  TN_TRY(read_buffers(r, &f->type, l->rows, l->nulls, l->buffers, l->buffer_count, err));
  TN_TRY(read_children(r, l, err));
  TN_TRY(read_dictionary(r, l, err));
  if (f->type.layout == TN_LAYOUT_NONE) l->nulls = l->rows;
  if (!tn_layout_has_validity(f->type.layout) && f->type.layout != TN_LAYOUT_NONE) l->nulls = 0;
  const char *wrong = tn_ipc_check_array(f, l->rows, l->nulls, l->buffers, l->buffer_count,
                                         l->children, l->node->values ? &l->dictionary : NULL);
  return wrong ? bad_column(r, wrong, err) : make(l, out, err);
}

static void clear(loading *l) {
  for (int64_t i = 0; l->buffers && i < l->made_count; i++) tn_ipc_bytes_clear(&l->buffers[i]);
  if (l->buffers != l->fixed) tn_free(l->buffers);
  for (int64_t i = 0; l->children && i < l->node->field->child_count; i++)
    tn_array_clear(&l->children[i]);
  tn_free(l->children);
  tn_array_clear(&l->dictionary);
}

static tn_status read_node(tn_ipc_batch_reader *r, const tn_ipc_node *n, ArrowArray *out,
                           tn_error *err) {
  uint32_t i = r->at.node++;
  loading l = {.node = n,
               .rows = tn_flat_item_int(&r->nodes, i, TN_IPC_PAIR_BYTES, 0, 8),
               .nulls = tn_flat_item_int(&r->nodes, i, TN_IPC_PAIR_BYTES, 8, 8)};
  r->path[r->depth++] = n->field->name;
  tn_status status = load(r, &l, out, err);
  r->depth--;
  clear(&l);
  return status;
}

/* ---- whole batches ---- */
static tn_status read_column(tn_ipc_batch_reader *r, int32_t column, ArrowArray *out,
                             tn_error *err) {
  const tn_ipc_node *n = &r->schema->root->children[column];
  TN_TRY(read_node(r, n, out, err));
  if (out->length == r->rows) return TN_OK;
  r->path[0] = n->field->name;
  r->depth = 1;
  return bad_column(r, "not as many rows as the batch", err);
}

/* Where each column begins; the caller frees *out. */
static tn_status place_columns(tn_ipc_batch_reader *r, tn_ipc_cursor **out, tn_error *err) {
  const tn_ipc_node *root = r->schema->root;
  size_t count = (size_t)root->field->child_count;
  *out = tn_alloc(count, sizeof **out);
  if (!*out) return tn_fail_memory(err, "the places of a batch's columns", count * sizeof **out);
  for (size_t c = 0; c < count; c++) {
    (*out)[c] = r->at;
    step_over(r, &root->children[c]);
  }
  return TN_OK;
}

static tn_status read_columns(tn_ipc_batch_reader *r, const int32_t *picks, int32_t count,
                              ArrowArray *out, tn_error *err) {
  tn_ipc_cursor *places;
  tn_buffer *no_validity = NULL;
  TN_TRY(place_columns(r, &places, err));
  ArrowArray *columns = tn_alloc((size_t)count, sizeof *columns);
  tn_status status = TN_OK;
  if (!columns) status = tn_fail_memory(err, "a record batch", (size_t)count * sizeof *columns);
  for (int32_t i = 0; status == TN_OK && i < count; i++) {
    r->at = places[picks[i]];
    status = read_column(r, picks[i], &columns[i], err);
  }
  tn_array_parts parts = {.length = r->rows,
                          .buffers = &no_validity,
                          .buffer_count = 1,
                          .children = columns,
                          .child_count = count};
  if (status == TN_OK) status = tn_array_make(out, &parts, err);
  for (int32_t i = 0; columns && i < count; i++) tn_array_clear(&columns[i]);
  tn_free(columns);
  tn_free(places);
  return status;
}

tn_status tn_ipc_read_batch(tn_ipc_batch_reader *r, const int32_t *picks, int32_t count,
                            ArrowArray *out, tn_error *err) {
  memset(out, 0, sizeof *out);
  if (r->message->kind != TN_IPC_HEADER_BATCH)
    return bad_batch(r, "its message is not a record batch", err);
  tn_flat_table batch = r->message->header;
  TN_TRY(open_batch(r, &batch, r->schema->root, true, err));
  return read_columns(r, picks, count, out, err);
}

tn_status tn_ipc_read_values(tn_ipc_batch_reader *r, const tn_ipc_node *values, ArrowArray *out,
                             tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_flat_table batch = tn_flat_get_table(&r->message->header, TN_IPC_DICTIONARY_DATA);
  TN_TRY(open_batch(r, &batch, values, false, err));
  TN_TRY(read_node(r, values, out, err));
  if (out->length == r->rows) return TN_OK;
  tn_array_clear(out);
  return bad_batch(r, "not as many values as it says", err);
}
