/* SPDX-License-Identifier: Apache-2.0 */
/* tn_model_open and tn_model_save: a model's files, in and out. */
#include <inttypes.h>

#include "base/io.h"
#include "base/log.h"
#include "model/model_load.h"
#include "model/safetensors.h"
#include "model/weight_files.h"

enum { GENERATION_BYTES_MAX = 1 << 20 };

/* BERT encoders are saved with and without the dense layer behind them. */
static void find_pooler(tn_model_config *c, const tn_weight_source *source) {
  const tn_weight_name *name = tn_weight_name_of(tn_architecture_of(c->arch)->globals, TN_G_POOLER);
  if (c->task != TN_TASK_EMBED || !name || name->name[0] == '/') return;
  c->pooler = tn_model_file_has(c, source, name->name);
}

/* transformers ties only what is the same: a head of its own in the files counts. */
static tn_status find_head(tn_model_config *c, tn_weight_source *source, const char *path,
                           tn_error *err) {
  bool own = false;
  if (c->task != TN_TASK_GENERATE || !c->tied) return TN_OK;
  TN_TRY(tn_model_file_unties(c, source, &own, err));
  if (!own) return TN_OK;
  c->tied = false;
  tn_log(TN_LOG_WARN, "model",
         "%s says tie_word_embeddings, but the files have another head: that one is used", path);
  return TN_OK;
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

static tn_status read_model(tn_model **out, tn_weight_source *source, const char *name,
                            tn_device *device, const tn_model_options *options, bool trainable,
                            tn_error *err) {
  tn_model_config config;
  const char *path;
  tn_str text = tn_weight_source_config(source, &path);
  TN_TRY(tn_model_config_parse(&config, text, path, false, err));
  TN_TRY(read_generation(&config, path, err));
  find_pooler(&config, source);
  TN_TRY(find_head(&config, source, path, err));
  if (trainable)
    TN_TRY(tn_model_new(out, &config, device, err));
  else
    TN_TRY(tn_model_new_shapes(out, &config, device, err));
  return tn_model_load(*out, source, name, options, err);
}

static tn_status open_model(tn_model **out, const char *path, tn_device *device,
                            const tn_model_options *options, bool trainable, tn_error *err) {
  tn_model *m = NULL;
  tn_weight_source *source = NULL;
  TN_TRY(tn_weight_source_open(&source, path, options->pool, err));
  tn_status status = read_model(&m, source, path, device, options, trainable, err);
  tn_weight_source_close(source);
  if (status != TN_OK) {
    tn_model_free(m);
    return status;
  }
  *out = m;
  return TN_OK;
}

tn_status tn_model_open_with(tn_model **out, const char *path, tn_device *device,
                             const tn_model_options *options, tn_error *err) {
  return open_model(out, path, device, options, false, err);
}

tn_status tn_model_open(tn_model **out, const char *path, tn_device *device, tn_error *err) {
  const tn_model_options plain = {0};
  return open_model(out, path, device, &plain, false, err);
}

tn_status tn_model_open_trainable(tn_model **out, const char *path, tn_device *device,
                                  tn_error *err) {
  const tn_model_options plain = {0};
  return open_model(out, path, device, &plain, true, err);
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
    int64_t row = tn_origin_row(o, m->config.head_dim, r);
    for (int64_t c = 0; c < columns; c++)
      out[turned ? c * o->rows_total + row : row * columns + c] =
          (float)tn_element_get(data, p->tensor.dtype, r * columns + c);
  }
}

/* The file's tensor of the parameters [place, place + parts), in float32. */
static tn_status fuse(const tn_model *m, int64_t place, tn_buffer **buffer, tn_tensor *out,
                      tn_error *err) {
  const tn_origin *o = &m->origins[place];
  tn_weight_shape shape = tn_origin_shape(&m->parameters[place], o);
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
  bool blocks = !tn_dtype_is_real(m->parameters[place].tensor.dtype);
  if (o->parts == 1 && !turned && !blocks) return TN_OK;
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
