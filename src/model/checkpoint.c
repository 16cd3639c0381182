/* SPDX-License-Identifier: Apache-2.0 */
/* tn_model_open and tn_model_save: a Hugging Face folder, in and out. */
#include <inttypes.h>

#include "base/io.h"
#include "model/safetensors.h"
#include "model/weight_files.h"
#include "model/weight_source.h"
#include "model/weights.h"
#include "model/workspace.h"

/* ---- a tensor of a file becomes a parameter ---- */

/* What a kernel can take: a matrix in any weight's type, the rest in floating point. */
static bool is_usable(const tn_tensor *t) {
  if (t->rank >= 2) return tn_dtype_is_weight(t->dtype) && t->dtype != TN_F64;
  return t->dtype == TN_F32 || t->dtype == TN_BF16 || t->dtype == TN_F16;
}

static tn_status check_parameter(const tn_parameter *p, const tn_weight *found, tn_error *err) {
  const tn_tensor *want = &p->tensor, *is = &found->tensor;
  bool same = is->rank == want->rank;
  for (int32_t d = 0; same && d < want->rank; d++) same = is->shape[d] == want->shape[d];
  if (same && is_usable(is)) return TN_OK;
  tn_strbuf text = {0};
  tn_tensor_describe(is, &text);
  if (same) {
    tn_strbuf_add(&text, ", only float32, bfloat16 and float16 are supported");
  } else {
    tn_strbuf_add(&text, ", config.json wants [");
    for (int32_t d = 0; d < want->rank; d++)
      tn_strbuf_addf(&text, d ? ", %" PRId64 : "%" PRId64, want->shape[d]);
    tn_strbuf_add(&text, "]");
  }
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK)
    status = tn_fail(err, same ? TN_ERR_UNSUPPORTED : TN_ERR_DATA, "%s: tensor \"%s\" is %s",
                     found->path, p->name, text.data);
  tn_strbuf_clear(&text);
  return status;
}

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
  if (tn_str_ends(name, TN_STR(".rotary_emb.inv_freq"))) return true; /* a table, made here */
  return m->config.tied && tn_str_is(name, "lm_head.weight");
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

static tn_status load_parameter(tn_model *m, tn_weight_source *source, tn_stream *stream,
                                tn_parameter *p, tn_error *err) {
  tn_weight found = {0};
  TN_TRY(tn_weight_source_find(source, p->name, &found, err));
  tn_status status = check_parameter(p, &found, err);
  if (status == TN_OK)
    status = m->flat.buffer ? fill_parameter(stream, p, &found, err)
                            : hold_parameter(m, stream, p, &found, err);
  tn_weight_clear(&found);
  return status;
}

static tn_status load(tn_model *m, tn_weight_source *source, tn_error *err) {
  tn_stream *stream = NULL;
  tn_status status = tn_stream_open(m->device, NULL, &stream, err);
  for (int64_t i = 0; i < m->parameter_count && status == TN_OK; i++)
    status = load_parameter(m, source, stream, &m->parameters[i], err);
  if (status == TN_OK) status = check_all_used(m, source, err);
  tn_stream_close(stream);
  return status;
}

static tn_status read_model(tn_model **out, tn_weight_source *source, tn_device *device,
                            bool trainable, tn_error *err) {
  tn_model_config config;
  const char *path;
  tn_str text = tn_weight_source_config(source, &path);
  TN_TRY(tn_model_config_parse(&config, text, path, false, err));
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

static tn_status save_weights(const tn_model *m, const char *path, tn_dtype dtype, tn_error *err) {
  static const char *const metadata[] = {"format", "pt"}; /* transformers asks for it */
  size_t count = (size_t)m->parameter_count;
  tn_named_tensor *list = tn_alloc(count, sizeof *list);
  if (!list) return tn_fail_memory(err, "a tensor list", count * sizeof *list);
  for (size_t i = 0; i < count; i++)
    list[i] = (tn_named_tensor){m->parameters[i].name, m->parameters[i].tensor};
  tn_status status =
      tn_safetensors_write_as(path, list, m->parameter_count, dtype, metadata, 1, err);
  tn_free(list);
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
