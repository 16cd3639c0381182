/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model_load.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "kernels/pack.h"
#include "model/packed_cache.h"
#include "model/weight_room.h"
#include "model/workspace.h"

/* ---- a tensor of a file becomes a parameter ---- */

/* What a kernel can take: a matrix in any weight's type, the rest in floating point. */
static bool is_usable(const tn_tensor *t) {
  if (t->rank >= 2) return tn_dtype_is_weight(t->dtype) && t->dtype != TN_F64;
  return t->dtype == TN_F32 || t->dtype == TN_BF16 || t->dtype == TN_F16;
}

tn_weight_shape tn_origin_shape(const tn_parameter *p, const tn_origin *o) {
  if (p->tensor.rank == 1) return (tn_weight_shape){1, 0, o->rows_total};
  int64_t columns = p->tensor.shape[1];
  if (o->form == TN_FORM_TRANSPOSED) return (tn_weight_shape){2, columns, o->rows_total};
  return (tn_weight_shape){2, o->rows_total, columns};
}

static bool has_shape(const tn_tensor *t, tn_weight_shape want) {
  if (t->rank != want.rank) return false;
  return want.rank == 1 ? t->shape[0] == want.columns
                        : t->shape[0] == want.rows && t->shape[1] == want.columns;
}

static tn_status check_found(const tn_parameter *p, const tn_origin *o, const tn_weight *found,
                             tn_error *err) {
  tn_weight_shape want = tn_origin_shape(p, o);
  bool same = has_shape(&found->tensor, want);
  if (same && is_usable(&found->tensor)) return TN_OK;
  tn_strbuf text = {0};
  tn_tensor_describe(&found->tensor, &text);
  if (same)
    tn_strbuf_add(&text, ", only float32, bfloat16 and float16 are supported");
  else if (want.rank == 1)
    tn_strbuf_addf(&text, ", config.json wants [%" PRId64 "]", want.columns);
  else
    tn_strbuf_addf(&text, ", config.json wants [%" PRId64 ", %" PRId64 "]", want.rows,
                   want.columns);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK)
    status = tn_fail(err, same ? TN_ERR_UNSUPPORTED : TN_ERR_DATA, "%s: tensor \"%s\" is %s",
                     found->path, o->name, text.data);
  tn_strbuf_clear(&text);
  return status;
}

/* ---- parts of fused tensors ---- */

int64_t tn_origin_row(const tn_origin *o, int64_t head_dim, int64_t r) {
  if (o->form != TN_FORM_BY_HEAD) return o->first_row + r;
  return (r / head_dim * o->parts + o->part) * head_dim + r % head_dim;
}

static void copy_rows(char *out, const char *in, const tn_origin *o, int64_t head_dim, int64_t rows,
                      size_t row_bytes) {
  for (int64_t r = 0; r < rows; r++)
    memcpy(out + (size_t)r * row_bytes, in + (size_t)tn_origin_row(o, head_dim, r) * row_bytes,
           row_bytes);
}

static void copy_transposed(char *out, const char *in, const tn_origin *o, int64_t rows,
                            int64_t columns, size_t bytes) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++)
      memcpy(out + (size_t)(r * columns + c) * bytes,
             in + (size_t)(c * o->rows_total + o->first_row + r) * bytes, bytes);
}

/* A tensor of its own with the part's rows in order. */
static tn_status gather_part(const tn_model *m, const tn_parameter *p, const tn_origin *o,
                             const tn_weight *found, tn_weight *out, tn_error *err) {
  const tn_tensor *t = &found->tensor;
  int64_t rows = p->tensor.shape[0], columns = p->tensor.rank == 2 ? p->tensor.shape[1] : 1;
  int64_t row_bytes = tn_dtype_bytes_of(t->dtype, columns);
  bool turned = o->form == TN_FORM_TRANSPOSED && p->tensor.rank == 2;
  if (turned && tn_dtype_block(t->dtype) > 1)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: tensor \"%s\" is %s and lies transposed, only floating types can",
                   found->path, o->name, tn_dtype_name(t->dtype));
  tn_buffer *buffer;
  TN_TRY(tn_buffer_new(&buffer, (size_t)(rows * row_bytes), err));
  if (turned)
    copy_transposed(buffer->data, tn_tensor_data(t), o, rows, columns,
                    (size_t)tn_dtype_bytes(t->dtype));
  else
    copy_rows(buffer->data, tn_tensor_data(t), o, m->config.head_dim, rows, (size_t)row_bytes);
  tn_status status =
      tn_tensor_view(&out->tensor, buffer, 0, t->dtype, p->tensor.rank, p->tensor.shape, err);
  if (status != TN_OK) tn_buffer_drop(buffer);
  return status;
}

/* Rows that follow each other are a view.  The caller clears *out. */
static tn_status take_part(const tn_model *m, const tn_parameter *p, const tn_origin *o,
                           const tn_weight *found, tn_weight *out, tn_error *err) {
  *out = (tn_weight){.path = found->path};
  bool turned = o->form == TN_FORM_TRANSPOSED && p->tensor.rank == 2;
  if (turned || o->form == TN_FORM_BY_HEAD) {
    TN_TRY(gather_part(m, p, o, found, out, err));
  } else {
    out->tensor = tn_tensor_rows(&found->tensor, o->first_row, p->tensor.shape[0]);
    tn_buffer_share(out->tensor.buffer);
  }
  out->order = found->order;
  if (out->order.buffer) tn_buffer_share(out->order.buffer);
  return TN_OK;
}

/* ---- names ---- */

/* The names of a file, where they differ from those that Tenon writes. */
typedef struct file_names {
  const char *prefix, *written; /* found in the file; in origins */
  char text[256];
} file_names;

static const char *file_name(file_names *n, const char *name) {
  size_t length = strlen(n->written);
  if (strcmp(n->prefix, n->written) == 0 || strncmp(name, n->written, length) != 0) return name;
  snprintf(n->text, sizeof n->text, "%s%s", n->prefix, name + length);
  return n->text;
}

/* BERT's oldest files say gamma and beta. */
static const char *older_name(file_names *n, const char *name) {
  static const char *const pairs[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                         {"LayerNorm.bias", "LayerNorm.beta"}};
  size_t length = strlen(name);
  for (int i = 0; i < 2; i++) {
    size_t tail = strlen(pairs[i][0]);
    if (length < tail || strcmp(name + length - tail, pairs[i][0]) != 0) continue;
    char text[sizeof n->text];
    snprintf(text, sizeof text, "%.*s%s", (int)(length - tail), name, pairs[i][1]);
    memcpy(n->text, text, sizeof text);
    return n->text;
  }
  return name;
}

static file_names find_prefix(const tn_model_config *c, const tn_weight_source *source) {
  const tn_architecture *a = tn_architecture_of(c->arch);
  const char *embed = tn_weight_name_of(a->globals, TN_G_EMBED)->name;
  file_names n = {.written = tn_architecture_prefix(c)};
  n.prefix = n.written;
  for (size_t i = 0; i < sizeof a->prefixes / sizeof *a->prefixes && a->prefixes[i]; i++) {
    snprintf(n.text, sizeof n.text, "%s%s", a->prefixes[i], embed);
    if (!tn_weight_source_has(source, n.text)) continue;
    n.prefix = a->prefixes[i];
    break;
  }
  return n;
}

static tn_status find_weight(tn_weight_source *source, file_names *n, const char *name,
                             tn_weight *out, tn_error *err) {
  const char *there = file_name(n, name);
  if (!tn_weight_source_has(source, there)) {
    const char *older = older_name(n, there);
    if (tn_weight_source_has(source, older)) return tn_weight_source_find(source, older, out, err);
    there = file_name(n, name);
  }
  return tn_weight_source_find(source, there, out, err);
}

/* How the weight found lies, which is not always how Hugging Face has it. */
static tn_weight_form form_of(const tn_weight *found, tn_weight_form form) {
  bool plain = (form == TN_FORM_TRANSPOSED && found->out_in) ||
               (form == TN_FORM_BY_HEAD && found->parts_apart);
  return plain ? TN_FORM_PLAIN : form;
}

bool tn_model_file_has(const tn_model_config *config, const tn_weight_source *source,
                       const char *name) {
  file_names n = find_prefix(config, source);
  return tn_weight_source_has(source, file_name(&n, name));
}

static bool same_weight(const tn_weight *a, const tn_weight *b) {
  int64_t bytes = tn_tensor_bytes(&a->tensor);
  return a->tensor.dtype == b->tensor.dtype && tn_tensor_bytes(&b->tensor) == bytes &&
         memcmp(tn_tensor_data(&a->tensor), tn_tensor_data(&b->tensor), (size_t)bytes) == 0;
}

/* The name that Tenon writes. */
static void name_global(char *out, size_t size, const file_names *n, const tn_weight_name *w) {
  bool below = w->name[0] != '/';
  snprintf(out, size, "%s%s", below ? n->written : "", below ? w->name : w->name + 1);
}

tn_status tn_model_file_unties(const tn_model_config *config, tn_weight_source *source, bool *out,
                               tn_error *err) {
  const tn_weight_name *globals = tn_architecture_of(config->arch)->globals;
  const tn_weight_name *head = tn_weight_name_of(globals, TN_G_HEAD);
  tn_weight table = {0}, own = {0};
  file_names n = find_prefix(config, source);
  char name[sizeof n.text];
  *out = false;
  if (!head) return TN_OK;
  name_global(name, sizeof name, &n, head);
  if (!tn_model_file_has(config, source, name)) return TN_OK;
  tn_status status = find_weight(source, &n, name, &own, err);
  name_global(name, sizeof name, &n, tn_weight_name_of(globals, TN_G_EMBED));
  if (status == TN_OK) status = find_weight(source, &n, name, &table, err);
  if (status == TN_OK) *out = !same_weight(&own, &table);
  tn_weight_clear(&own);
  tn_weight_clear(&table);
  return status;
}

/* ---- into a model ---- */

typedef struct worker_error {
  int64_t item;
  tn_status status;
  tn_error error;
} worker_error;

typedef struct loading {
  tn_model *model;
  tn_weight_source *source;
  const tn_model_options *options;
  tn_pool *pool; /* NULL where the work must be in order */
  tn_stream *stream;
  file_names names;
  tn_packed_cache *cache; /* NULL: none */
  int64_t *items;         /* first parameter of each item, and where the last one ends */
  int64_t item_count;
  tn_buffer **held, **orders; /* [parameters] what each lies in */
  tn_weight_room room;        /* of packed weights */
  int64_t total;              /* elements */
  worker_error *errors;       /* [workers] */
  _Atomic int64_t failed;     /* the first item that has failed; items behind it are left out */
  _Atomic int64_t done;       /* elements */
} loading;

static tn_status widen(tn_tensor *out, const tn_weight *in, tn_error *err) {
  tn_buffer *buffer;
  int64_t count = tn_tensor_count(&in->tensor);
  TN_TRY(tn_buffer_new(&buffer, (size_t)count * sizeof(float), err));
  tn_weight_to_f32(in, buffer->data);
  return tn_tensor_view(out, buffer, 0, TN_F32, in->tensor.rank, in->tensor.shape, err);
}

static tn_status copy_tensor(tn_stream *stream, const tn_tensor *dst, const tn_tensor *src,
                             tn_error *err) {
  TN_TRY(tn_to_device(stream, dst, tn_tensor_data(src), tn_tensor_count(src), err));
  return tn_stream_synchronize(stream, err);
}

/* Into the flat array of a trainable model, as float32. */
static tn_status fill_parameter(tn_stream *stream, const tn_parameter *p, const tn_weight *found,
                                tn_error *err) {
  if (found->tensor.dtype == TN_F32) return copy_tensor(stream, &p->tensor, &found->tensor, err);
  tn_tensor wide;
  TN_TRY(widen(&wide, found, err));
  tn_status status = copy_tensor(stream, &p->tensor, &wide, err);
  tn_buffer_drop(wide.buffer);
  return status;
}

/* Takes over `buffer`. */
static tn_status keep(loading *l, int64_t place, const tn_tensor *tensor, tn_buffer *buffer) {
  l->model->parameters[place].tensor = *tensor;
  l->held[place] = buffer;
  return TN_OK;
}

static tn_status keep_wide(loading *l, int64_t place, const tn_weight *part, tn_error *err) {
  tn_tensor wide;
  TN_TRY(widen(&wide, part, err));
  return keep(l, place, &wide, wide.buffer);
}

/* Blocks have no alignment of their own. */
static bool is_usable_in_place(const tn_model *m, const tn_tensor *t) {
  size_t alignment = tn_dtype_block(t->dtype) > 1 ? 1 : (size_t)tn_dtype_bytes(t->dtype);
  return m->device->kind == TN_CPU && (uintptr_t)tn_tensor_data(t) % alignment == 0;
}

static tn_status keep_copy(loading *l, int64_t place, const tn_tensor *t, tn_error *err) {
  tn_tensor copy;
  tn_buffer *buffer;
  TN_TRY(tn_device_buffer_new(l->model->device, &buffer, (size_t)tn_tensor_bytes(t), err));
  tn_status status = tn_tensor_view(&copy, buffer, 0, t->dtype, t->rank, t->shape, err);
  if (status == TN_OK && l->model->device->kind == TN_CPU)
    memcpy(buffer->data, tn_tensor_data(t), (size_t)tn_tensor_bytes(t));
  else if (status == TN_OK)
    status = copy_tensor(l->stream, &copy, t, err);
  if (status == TN_OK) return keep(l, place, &copy, buffer);
  tn_buffer_drop(buffer);
  return status;
}

/* Now and in parallel, not one page after the other in the first forward pass.  A wish. */
static void bring_in(const loading *l, const tn_tensor *t) {
  enum { PAGE = 4096, POPULATE_READ = 22 }; /* MADV_POPULATE_READ, of Linux 5.14 */
  if (!l->options->pool) return;
  uintptr_t first = (uintptr_t)tn_tensor_data(t) / PAGE * PAGE;
  uintptr_t end = (uintptr_t)tn_tensor_data(t) + (size_t)tn_tensor_bytes(t);
  if (madvise((void *)first, end - first, POPULATE_READ) != 0)
    madvise((void *)first, end - first, MADV_WILLNEED);
}

static tn_status keep_mapped(loading *l, int64_t place, const tn_tensor *t) {
  bring_in(l, t);
  return keep(l, place, t, tn_buffer_share(t->buffer));
}

static tn_status keep_packed(loading *l, int64_t place, const tn_tensor *t, int64_t bytes,
                             tn_error *err) {
  tn_tensor packed;
  tn_buffer *buffer;
  int64_t at;
  TN_TRY(tn_weight_room_take(&l->room, (size_t)bytes, &buffer, &at, err));
  tn_status status = tn_pack(&packed, t, buffer, at, NULL, err);
  if (status == TN_OK) return keep(l, place, &packed, buffer);
  tn_buffer_drop(buffer);
  return status;
}

static tn_status keep_order(loading *l, int64_t place, const tn_weight *part, tn_error *err) {
  l->model->parameters[place].order = part->order;
  l->orders[place] = tn_buffer_share(part->order.buffer);
  return TN_OK;
}

static tn_status hold_parameter(loading *l, int64_t place, const tn_weight *part, tn_error *err) {
  const tn_tensor *t = &part->tensor;
  bool packs = l->options->packed && t->rank == 2 && l->model->device->kind == TN_CPU;
  /* Whoever looks at weights finds columns where they belong. */
  if ((part->order.buffer && !packs) || (t->dtype == TN_F16 && t->rank != 2))
    return keep_wide(l, place, part, err);
  if (part->order.buffer) TN_TRY(keep_order(l, place, part, err));
  int64_t bytes = packs ? tn_pack_bytes(t->dtype, t->shape[0], t->shape[1]) : 0;
  if (bytes > 0 && is_usable_in_place(l->model, t)) return keep_packed(l, place, t, bytes, err);
  if (is_usable_in_place(l->model, t)) return keep_mapped(l, place, t);
  return keep_copy(l, place, t, err);
}

/* From the cache, into memory of its own: that has huge pages, which a file has not. */
static tn_status take_cached(loading *l, int64_t place, bool *taken, tn_error *err) {
  const tn_parameter *p = &l->model->parameters[place];
  tn_tensor cached, packed;
  tn_dtype dtype;
  tn_buffer *buffer;
  int64_t at;
  *taken = false;
  if (!l->cache || p->tensor.rank != 2 || !tn_packed_cache_find(l->cache, p->name, &dtype, &cached))
    return TN_OK;
  int64_t bytes = tn_pack_bytes(dtype, p->tensor.shape[0], p->tensor.shape[1]);
  if (bytes <= 0 || bytes != tn_tensor_bytes(&cached)) return TN_OK;
  TN_TRY(tn_weight_room_take(&l->room, (size_t)bytes, &buffer, &at, err));
  memcpy((char *)buffer->data + at, tn_tensor_data(&cached), (size_t)bytes);
  tn_status status =
      tn_pack_view(&packed, buffer, at, dtype, p->tensor.shape[0], p->tensor.shape[1], err);
  *taken = status == TN_OK;
  if (status == TN_OK) return keep(l, place, &packed, buffer);
  tn_buffer_drop(buffer);
  return status;
}

static tn_status load_part(loading *l, int64_t place, const tn_weight *found, tn_error *err) {
  tn_model *m = l->model;
  tn_parameter *p = &m->parameters[place];
  tn_origin o = m->origins[place];
  tn_weight part;
  o.form = form_of(found, o.form);
  TN_TRY(check_found(p, &o, found, err));
  TN_TRY(take_part(m, p, &o, found, &part, err));
  tn_status status = m->flat.buffer ? fill_parameter(l->stream, p, &part, err)
                                    : hold_parameter(l, place, &part, err);
  tn_weight_clear(&part);
  return status;
}

static tn_status load_item(loading *l, int64_t first, int64_t end, tn_error *err) {
  tn_weight found = {0};
  tn_status status = TN_OK;
  for (int64_t place = first; place < end && status == TN_OK; place++) {
    bool taken;
    status = take_cached(l, place, &taken, err);
    if (status != TN_OK || taken) continue;
    file_names names = l->names;
    if (!found.tensor.buffer)
      status = find_weight(l->source, &names, l->model->origins[place].name, &found, err);
    if (status == TN_OK) status = load_part(l, place, &found, err);
  }
  tn_weight_clear(&found);
  return status;
}

/* ---- items on the pool ---- */

static int64_t elements_of(const loading *l, int64_t item) {
  int64_t elements = 0;
  for (int64_t place = l->items[item]; place < l->items[item + 1]; place++)
    elements += tn_tensor_count(&l->model->parameters[place].tensor);
  return elements;
}

static void note_failure(loading *l, int64_t item, int32_t worker, tn_status status) {
  l->errors[worker].item = item;
  l->errors[worker].status = status;
  int64_t first = atomic_load(&l->failed);
  while (item < first && !atomic_compare_exchange_weak(&l->failed, &first, item)) {
  }
}

static void run_item(void *context, int64_t item, int32_t worker) {
  loading *l = context;
  worker_error *e = &l->errors[worker];
  if (item > atomic_load(&l->failed)) return;
  tn_status status = load_item(l, l->items[item], l->items[item + 1], &e->error);
  int64_t elements = elements_of(l, item);
  int64_t done = atomic_fetch_add(&l->done, elements) + elements;
  if (status == TN_OK && worker == 0) /* the caller's own thread */
    status = tn_progress_at(l->options->progress, done, &e->error);
  if (status != TN_OK) note_failure(l, item, worker, status);
}

static tn_status first_error(const loading *l, int32_t workers, tn_error *err) {
  const worker_error *first = NULL;
  for (int32_t w = 0; w < workers; w++) {
    const worker_error *e = &l->errors[w];
    if (e->status != TN_OK && (!first || e->item < first->item)) first = e;
  }
  if (!first) return TN_OK;
  if (err) *err = first->error;
  return first->status;
}

/* Parts of one tensor come one behind the other. */
static void find_items(loading *l) {
  const tn_model *m = l->model;
  for (int64_t i = 0; i < m->parameter_count; i++) {
    bool same = i > 0 && strcmp(m->origins[i].name, m->origins[i - 1].name) == 0;
    if (!same) l->items[l->item_count++] = i;
    l->total += tn_tensor_count(&m->parameters[i].tensor);
  }
  l->items[l->item_count] = m->parameter_count;
  atomic_store(&l->failed, l->item_count);
}

static tn_status allocate(loading *l, int32_t workers, tn_error *err) {
  size_t count = (size_t)l->model->parameter_count;
  l->items = tn_alloc(count + 1, sizeof *l->items);
  l->held = tn_alloc(count, sizeof *l->held);
  l->orders = tn_alloc(count, sizeof *l->orders);
  l->errors = tn_alloc((size_t)workers, sizeof *l->errors);
  if (l->items && l->held && l->orders && l->errors) return TN_OK;
  return tn_fail_memory(err, "a list of weights", count * sizeof *l->held);
}

/* The model owns what its parameters lie in, also when something has failed. */
static tn_status hand_over(loading *l, tn_buffer **list, tn_error *err) {
  tn_status status = TN_OK;
  for (int64_t i = 0; list && i < l->model->parameter_count; i++) {
    if (!list[i]) continue;
    tn_status own = tn_model_own_buffer(l->model, list[i], status == TN_OK ? err : NULL);
    if (status == TN_OK) status = own;
  }
  return status;
}

static tn_status run_items(loading *l, tn_error *err) {
  int32_t workers = tn_pool_threads(l->pool);
  TN_TRY(allocate(l, workers, err));
  find_items(l);
  tn_weight_room_init(&l->room, (size_t)l->total * sizeof(float));
  tn_progress_begin(l->options->progress, "load", "parameters", l->total);
  tn_pool_run(l->pool, l->item_count, run_item, l);
  bool whole = atomic_load(&l->failed) == l->item_count;
  /* The last items may have been those of other threads, which show nothing. */
  if (l->options->progress && whole) l->options->progress->done = l->total;
  tn_progress_end(l->options->progress);
  tn_weight_room_clear(&l->room);
  return first_error(l, workers, err);
}

/* ---- nothing in the files may be left unused: it would change what the model computes ---- */

static bool is_harmless(const tn_model *m, tn_str name) {
  const tn_architecture *a = tn_architecture_of(m->config.arch);
  if (tn_str_ends(name, TN_STR(".rotary_emb.inv_freq"))) return true; /* a table, made here */
  if (m->config.arch == TN_ARCH_GPT2 &&                               /* a triangle of ones */
      (tn_str_ends(name, TN_STR(".attn.bias")) || tn_str_ends(name, TN_STR(".attn.masked_bias"))))
    return true;
  if (m->config.arch == TN_ARCH_GPT_NEOX && (tn_str_ends(name, TN_STR(".attention.bias")) ||
                                             tn_str_ends(name, TN_STR(".attention.masked_bias"))))
    return true;
  for (size_t i = 0; i < sizeof a->ignored / sizeof *a->ignored && a->ignored[i]; i++)
    if (tn_str_starts(name, tn_str_of(a->ignored[i]))) return true;
  const tn_weight_name *head = tn_weight_name_of(a->globals, TN_G_HEAD);
  return m->config.tied && head && tn_str_is(name, head->name + 1);
}

static tn_status check_all_used(const tn_model *m, const tn_weight_source *source, tn_error *err) {
  tn_str name;
  const char *path;
  for (int64_t place = 0; tn_weight_source_unused(source, &place, &name, &path);)
    if (!is_harmless(m, name))
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "%s: tensor \"%.*s\" has no place in the model of config.json", path,
                     TN_STR_ARG(name));
  return TN_OK;
}

/* ---- the whole ---- */

static bool uses_cache(const tn_model *m, const tn_model_options *o) {
  return o->packed && o->cached && !m->flat.buffer && m->device->kind == TN_CPU;
}

tn_status tn_model_load(tn_model *model, tn_weight_source *source, const char *path,
                        const tn_model_options *options, tn_error *err) {
  bool in_order = model->flat.buffer || model->device->kind != TN_CPU;
  model->kv_dtype = tn_weight_source_quant(source)->kv_dtype;
  loading l = {.model = model,
               .source = source,
               .options = options,
               .pool = in_order ? NULL : options->pool,
               .names = find_prefix(&model->config, source)};
  tn_status status = tn_stream_open(model->device, NULL, &l.stream, err);
  if (status == TN_OK && uses_cache(model, options))
    status = tn_packed_cache_open(&l.cache, path, source, options, err);
  if (status == TN_OK) status = run_items(&l, err);
  tn_status owned = hand_over(&l, l.held, status == TN_OK ? err : NULL);
  if (status == TN_OK) status = owned;
  owned = hand_over(&l, l.orders, status == TN_OK ? err : NULL);
  if (status == TN_OK) status = owned;
  if (status == TN_OK && !l.cache) status = check_all_used(model, source, err);
  if (status == TN_OK && !l.cache && uses_cache(model, options))
    status = tn_packed_cache_write(model, path, source, options, err);
  tn_packed_cache_close(l.cache);
  tn_stream_close(l.stream);
  tn_free(l.items);
  tn_free(l.held);
  tn_free(l.orders);
  tn_free(l.errors);
  return status;
}
