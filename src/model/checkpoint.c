/* SPDX-License-Identifier: Apache-2.0 */
/* tn_model_open and tn_model_save: a Hugging Face folder, in and out. */
#include <inttypes.h>
#include <stdio.h>

#include "base/io.h"
#include "model/safetensors.h"
#include "model/weight_files.h"
#include "model/weight_source.h"
#include "model/weights.h"
#include "model/workspace.h"

enum { GENERATION_BYTES_MAX = 1 << 20 };

/* ---- a tensor of a file becomes a parameter ---- */

/* What a kernel can take: a matrix in any weight's type, the rest in floating point. */
static bool is_usable(const tn_tensor *t) {
  if (t->rank >= 2) return tn_dtype_is_weight(t->dtype) && t->dtype != TN_F64;
  return t->dtype == TN_F32 || t->dtype == TN_BF16 || t->dtype == TN_F16;
}

/* What the file should have under the name of a parameter's origin. */
static tn_weight_shape file_shape(const tn_parameter *p, const tn_origin *o) {
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
  tn_weight_shape want = file_shape(p, o);
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

/* The row of the file's tensor (its column when transposed) that row r of a part is. */
static int64_t file_row(const tn_origin *o, int64_t head_dim, int64_t r) {
  if (o->form != TN_FORM_BY_HEAD) return o->first_row + r;
  return (r / head_dim * o->parts + o->part) * head_dim + r % head_dim;
}

static void copy_rows(char *out, const char *in, const tn_origin *o, int64_t head_dim, int64_t rows,
                      size_t row_bytes) {
  for (int64_t r = 0; r < rows; r++)
    memcpy(out + (size_t)r * row_bytes, in + (size_t)file_row(o, head_dim, r) * row_bytes,
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

/* ---- into a model ---- */

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

/* Blocks have no alignment of their own. */
static bool is_usable_in_place(const tn_model *m, const tn_tensor *t) {
  size_t alignment = tn_dtype_block(t->dtype) > 1 ? 1 : (size_t)tn_dtype_bytes(t->dtype);
  return m->device->kind == TN_CPU && (uintptr_t)tn_tensor_data(t) % alignment == 0;
}

static tn_status copy_to_own_buffer(tn_model *m, tn_stream *stream, tn_parameter *p,
                                    const tn_tensor *src, tn_error *err) {
  tn_buffer *buffer;
  TN_TRY(tn_device_buffer_new(m->device, &buffer, (size_t)tn_tensor_bytes(src), err));
  TN_TRY(tn_model_own_buffer(m, buffer, err));
  TN_TRY(tn_tensor_view(&p->tensor, buffer, 0, src->dtype, src->rank, src->shape, err));
  return copy_tensor(stream, &p->tensor, src, err);
}

static tn_status hold_parameter(tn_model *m, tn_stream *stream, tn_parameter *p,
                                const tn_weight *found, tn_error *err) {
  const tn_tensor *t = &found->tensor;
  if (t->dtype == TN_F16 || found->order.buffer) {
    tn_tensor wide;
    TN_TRY(widen(&wide, found, err));
    tn_status status = copy_to_own_buffer(m, stream, p, &wide, err);
    tn_buffer_drop(wide.buffer);
    return status;
  }
  if (!is_usable_in_place(m, t)) return copy_to_own_buffer(m, stream, p, t, err);
  p->tensor = *t;
  return tn_model_own_buffer(m, tn_buffer_share(t->buffer), err);
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

/* ---- opening ---- */

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

typedef struct loading {
  tn_model *model;
  tn_weight_source *source;
  tn_stream *stream;
  file_names names;
  const char *last_name; /* of `last`: parts of one tensor come one behind the other */
  tn_weight last;
} loading;

static tn_status load_parameter(loading *l, int64_t place, tn_error *err) {
  tn_model *m = l->model;
  tn_parameter *p = &m->parameters[place];
  tn_origin o = m->origins[place];
  tn_weight part;
  if (!l->last_name || strcmp(l->last_name, o.name) != 0) {
    tn_weight_clear(&l->last);
    l->last = (tn_weight){0};
    l->last_name = NULL;
    TN_TRY(find_weight(l->source, &l->names, o.name, &l->last, err));
    l->last_name = o.name;
  }
  o.form = form_of(&l->last, o.form);
  TN_TRY(check_found(p, &o, &l->last, err));
  TN_TRY(take_part(m, p, &o, &l->last, &part, err));
  tn_status status = m->flat.buffer ? fill_parameter(l->stream, p, &part, err)
                                    : hold_parameter(m, l->stream, p, &part, err);
  tn_weight_clear(&part);
  return status;
}

static tn_status load(tn_model *m, tn_weight_source *source, tn_error *err) {
  loading l = {.model = m, .source = source, .names = find_prefix(&m->config, source)};
  tn_status status = tn_stream_open(m->device, NULL, &l.stream, err);
  for (int64_t i = 0; i < m->parameter_count && status == TN_OK; i++)
    status = load_parameter(&l, i, err);
  if (status == TN_OK) status = check_all_used(m, source, err);
  tn_weight_clear(&l.last);
  tn_stream_close(l.stream);
  return status;
}

/* BERT encoders are saved with and without the dense layer behind them. */
static void find_pooler(tn_model_config *c, const tn_weight_source *source) {
  const tn_weight_name *name = tn_weight_name_of(tn_architecture_of(c->arch)->globals, TN_G_POOLER);
  if (c->task != TN_TASK_EMBED || !name || name->name[0] == '/') return;
  file_names n = find_prefix(c, source);
  c->pooler = tn_weight_source_has(source, file_name(&n, name->name));
}

/* The end tokens of a generation_config.json beside config.json. */
static tn_status read_generation(tn_model_config *config, const char *config_path, tn_error *err) {
  const char *slash = strrchr(config_path, '/');
  tn_strbuf path = {0}, text = {0};
  if (!slash || !tn_str_is(tn_str_of(slash), "/config.json")) return TN_OK; /* made from a GGUF */
  tn_strbuf_addf(&path, "%.*s/generation_config.json", (int)(slash - config_path), config_path);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK && tn_file_exists(path.data)) {
    status = tn_file_read(path.data, GENERATION_BYTES_MAX, &text, err);
    if (status == TN_OK)
      status = tn_model_config_parse_generation(config, tn_strbuf_view(&text), path.data, err);
  }
  tn_strbuf_clear(&path);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status read_model(tn_model **out, tn_weight_source *source, tn_device *device,
                            bool trainable, tn_error *err) {
  tn_model_config config;
  const char *path;
  tn_str text = tn_weight_source_config(source, &path);
  TN_TRY(tn_model_config_parse(&config, text, path, false, err));
  TN_TRY(read_generation(&config, path, err));
  find_pooler(&config, source);
  if (trainable)
    TN_TRY(tn_model_new(out, &config, device, err));
  else
    TN_TRY(tn_model_new_shapes(out, &config, device, err));
  return load(*out, source, err);
}

static tn_status open_model(tn_model **out, const char *folder, tn_device *device, bool trainable,
                            tn_error *err) {
  tn_model *m = NULL;
  tn_weight_source *source = NULL;
  TN_TRY(tn_weight_source_open(&source, folder, NULL, err));
  tn_status status = read_model(&m, source, device, trainable, err);
  tn_weight_source_close(source);
  if (status != TN_OK) {
    tn_model_free(m);
    return status;
  }
  *out = m;
  return TN_OK;
}

tn_status tn_model_open(tn_model **out, const char *folder, tn_device *device, tn_error *err) {
  return open_model(out, folder, device, false, err);
}

tn_status tn_model_open_trainable(tn_model **out, const char *folder, tn_device *device,
                                  tn_error *err) {
  return open_model(out, folder, device, true, err);
}

/* ---- saving ---- */

/* The tensors of a file: each parameter, or the whole that some of them are parts of. */
typedef struct file_list {
  tn_named_tensor *tensors;
  tn_buffer **fused; /* [count], NULL for a parameter itself */
  int64_t count;
} file_list;

static void clear_list(file_list *list) {
  for (int64_t i = 0; i < list->count; i++) tn_buffer_drop(list->fused[i]);
  tn_free(list->fused);
  tn_free(list->tensors);
}

static void put_part(float *out, const tn_model *m, const tn_parameter *p, const tn_origin *o) {
  int64_t rows = p->tensor.shape[0], columns = p->tensor.rank == 2 ? p->tensor.shape[1] : 1;
  bool turned = o->form == TN_FORM_TRANSPOSED && p->tensor.rank == 2;
  const void *data = tn_tensor_data(&p->tensor);
  for (int64_t r = 0; r < rows; r++) {
    int64_t row = file_row(o, m->config.head_dim, r);
    for (int64_t c = 0; c < columns; c++)
      out[turned ? c * o->rows_total + row : row * columns + c] =
          (float)tn_element_get(data, p->tensor.dtype, r * columns + c);
  }
}

/* The file's tensor of the parameters [place, place + parts), in float32. */
static tn_status fuse(const tn_model *m, int64_t place, tn_buffer **buffer, tn_tensor *out,
                      tn_error *err) {
  const tn_origin *o = &m->origins[place];
  tn_weight_shape shape = file_shape(&m->parameters[place], o);
  const int64_t sizes[2] = {shape.rank == 2 ? shape.rows : shape.columns, shape.columns};
  int64_t count = sizes[0] * (shape.rank == 2 ? sizes[1] : 1);
  TN_TRY(tn_buffer_new(buffer, (size_t)count * sizeof(float), err));
  for (int32_t i = 0; i < o->parts; i++)
    put_part((*buffer)->data, m, &m->parameters[place + i], &m->origins[place + i]);
  return tn_tensor_view(out, *buffer, 0, TN_F32, shape.rank, sizes, err);
}

static tn_status add_to_list(file_list *list, const tn_model *m, int64_t place, tn_error *err) {
  const tn_origin *o = &m->origins[place];
  if (o->part > 0) return TN_OK;
  int64_t at = list->count++;
  list->tensors[at] = (tn_named_tensor){o->name, m->parameters[place].tensor};
  bool turned = o->form == TN_FORM_TRANSPOSED && m->parameters[place].tensor.rank == 2;
  if (o->parts == 1 && !turned) return TN_OK;
  return fuse(m, place, &list->fused[at], &list->tensors[at].tensor, err);
}

static tn_status make_list(file_list *list, const tn_model *m, tn_error *err) {
  size_t count = (size_t)m->parameter_count;
  list->tensors = tn_alloc(count, sizeof *list->tensors);
  list->fused = tn_alloc(count, sizeof *list->fused);
  if (!list->tensors || !list->fused)
    return tn_fail_memory(err, "a tensor list", count * sizeof *list->tensors);
  for (int64_t i = 0; i < m->parameter_count; i++) TN_TRY(add_to_list(list, m, i, err));
  return TN_OK;
}

static tn_status save_weights(const tn_model *m, const char *path, tn_dtype dtype, tn_error *err) {
  static const char *const metadata[] = {"format", "pt"}; /* transformers asks for it */
  file_list list = {0};
  tn_status status = make_list(&list, m, err);
  if (status == TN_OK)
    status = tn_safetensors_write_as(path, list.tensors, list.count, dtype, metadata, 1, err);
  clear_list(&list);
  return status;
}

static tn_status save_config(const tn_model *m, const char *path, tn_dtype dtype, tn_error *err) {
  tn_strbuf text = {0};
  tn_model_config_write_as(&m->config, tn_dtype_name(dtype), &text);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = tn_file_write_atomic(path, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  return status;
}

tn_status tn_model_save(const tn_model *model, const char *folder, tn_dtype dtype, tn_error *err) {
  if (dtype != TN_F32 && dtype != TN_BF16)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: cannot save weights as %s, only float32 or bfloat16",
                   folder, tn_dtype_name(dtype));
  tn_arena arena = {0};
  const char *weights = tn_path_join(&arena, folder, TN_STR("model.safetensors"));
  const char *config = tn_path_join(&arena, folder, TN_STR("config.json"));
  tn_status status = TN_OK;
  if (!weights || !config) status = tn_fail_memory(err, "a path", strlen(folder));
  if (status == TN_OK) status = save_weights(model, weights, dtype, err);
  if (status == TN_OK) status = save_config(model, config, dtype, err);
  tn_arena_clear(&arena);
  return status;
}
