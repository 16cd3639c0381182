/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weight_source.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "model/weight_files.h"
#include "model/weight_gguf.h"
#include "model/weight_packed.h"
#include "tensor/quant.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

struct tn_weight_source {
  tn_arena arena;
  tn_weight_files files;
  tn_strbuf config;
  const char *config_path;
  tn_quant_config quant;
  tn_gguf_weights gguf; /* arch NULL: the files are safetensors */
};

/* ---- weights ---- */

void tn_weight_clear(tn_weight *weight) {
  tn_buffer_drop(weight->tensor.buffer);
  tn_buffer_drop(weight->order.buffer);
  *weight = (tn_weight){0};
}

static void row_to_f32(float *out, const tn_tensor *t, int64_t row, int64_t columns) {
  const char *data = (const char *)tn_tensor_data(t) + tn_dtype_bytes_of(t->dtype, row * columns);
  if (tn_dtype_block(t->dtype) > 1) {
    tn_quant_to_f32(out, data, t->dtype, columns);
    return;
  }
  for (int64_t i = 0; i < columns; i++) out[i] = (float)tn_element_get(data, t->dtype, i);
}

void tn_weight_to_f32(const tn_weight *weight, float *out) {
  const tn_tensor *t = &weight->tensor;
  int64_t columns = t->rank > 0 ? t->shape[t->rank - 1] : 1;
  int64_t rows = columns ? tn_tensor_count(t) / columns : 0;
  const int32_t *order = weight->order.buffer ? tn_tensor_data(&weight->order) : NULL;
  for (int64_t r = 0; r < rows; r++) {
    const char *data = (const char *)tn_tensor_data(t) + tn_dtype_bytes_of(t->dtype, r * columns);
    if (!order) row_to_f32(out + r * columns, t, r, columns);
    for (int64_t i = 0; order && i < columns; i++)
      out[r * columns + order[i]] = (float)tn_element_get(data, t->dtype, i);
  }
}

/* ---- opening ---- */

/* Before the weights, so that a folder which is no model at all is named as such. */
static tn_status read_config(tn_weight_source *s, const char *path, tn_error *err) {
  s->config_path = path;
  TN_TRY(tn_file_read(path, CONFIG_BYTES_MAX, &s->config, err));
  return tn_quant_config_parse(&s->quant, tn_strbuf_view(&s->config), path, err);
}

/* What the file says of itself goes before a config.json beside it, which may be of its original.
 */
static tn_status make_config(tn_weight_source *s, tn_error *err) {
  s->config_path = s->files.list_path;
  s->quant = (tn_quant_config){0};
  tn_strbuf_reset(&s->config);
  TN_TRY(tn_gguf_weights_init(&s->gguf, &s->files, err));
  return tn_gguf_arch_config(s->gguf.arch, &s->files, &s->config, err);
}

static tn_status open_source(tn_weight_source *s, const char *path, tn_pool *pool, tn_error *err) {
  bool folder = tn_dir_exists(path), config = false;
  if (folder) {
    const char *name = tn_path_join(&s->arena, path, TN_STR("config.json"));
    if (!name) return tn_fail_memory(err, "a path", strlen(path));
    config = tn_file_exists(name);
    if (config) TN_TRY(read_config(s, name, err));
  }
  TN_TRY(tn_weight_files_open(&s->files, path, pool, err));
  if (s->files.gguf) return make_config(s, err);
  if (config) return TN_OK;
  return tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no config.json", path);
}

tn_status tn_weight_source_open(tn_weight_source **out, const char *path, tn_pool *pool,
                                tn_error *err) {
  tn_weight_source *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a source of weights", sizeof *s);
  tn_status status = open_source(s, path, pool, err);
  if (status != TN_OK) {
    tn_weight_source_close(s);
    return status;
  }
  *out = s;
  return TN_OK;
}

void tn_weight_source_close(tn_weight_source *source) {
  if (!source) return;
  tn_weight_files_clear(&source->files);
  tn_strbuf_clear(&source->config);
  tn_arena_clear(&source->arena);
  tn_free(source);
}

tn_str tn_weight_source_config(const tn_weight_source *source, const char **path) {
  if (path) *path = source->config_path;
  return tn_strbuf_view(&source->config);
}

static tn_status add_file(tn_strbuf *out, const char *path, tn_error *err) {
  struct stat st;
  const char *slash = strrchr(path, '/');
  if (stat(path, &st) != 0) return tn_fail_errno(err, errno, "%s", path);
  tn_strbuf_addf(out,
                 "%s %" PRId64 " %" PRId64 ".%09" PRId64 " %" PRId64 ".%09" PRId64 " %" PRIu64 "\n",
                 slash ? slash + 1 : path, (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
                 (int64_t)st.st_mtim.tv_nsec, (int64_t)st.st_ctim.tv_sec,
                 (int64_t)st.st_ctim.tv_nsec, (uint64_t)st.st_ino);
  return TN_OK;
}

tn_status tn_weight_source_identity(const tn_weight_source *source, tn_strbuf *out, tn_error *err) {
  const tn_weight_files *f = &source->files;
  for (size_t i = 0; i < f->count; i++) /* tensors of one file come one behind the other */
    if (i == 0 || f->tensors[i].path != f->tensors[i - 1].path)
      TN_TRY(add_file(out, f->tensors[i].path, err));
  tn_str config = tn_strbuf_view(&source->config);
  tn_strbuf_addf(out, "config %016" PRIx64, tn_hash_bytes(config.data, config.length, 0));
  return tn_strbuf_check(out, err);
}

uint64_t tn_weight_source_content(const tn_weight_source *source) {
  const tn_weight_files *f = &source->files;
  tn_str config = tn_strbuf_view(&source->config);
  uint64_t hash = tn_hash_bytes(config.data, config.length, 0);
  for (size_t i = 0; i < f->count; i++) {
    const tn_tensor *t = &f->tensors[i].tensor;
    const int32_t kind[2] = {(int32_t)t->dtype, t->rank};
    hash = tn_hash_bytes(f->tensors[i].name.data, f->tensors[i].name.length, hash);
    hash = tn_hash_bytes(kind, sizeof kind, hash);
    hash = tn_hash_bytes(t->shape, (size_t)t->rank * sizeof *t->shape, hash);
    hash = tn_hash_bytes(tn_tensor_data(t), (size_t)tn_tensor_bytes(t), hash);
  }
  return hash;
}

/* ---- looking ---- */

const tn_quant_config *tn_weight_source_quant(const tn_weight_source *source) {
  return &source->quant;
}

bool tn_weight_source_has(const tn_weight_source *source, const char *name) {
  if (source->gguf.arch) return tn_gguf_weights_has(&source->gguf, &source->files, name);
  return tn_weight_files_find(&source->files, tn_str_of(name)) ||
         tn_packed_weight_is_there(&source->files, &source->quant, name);
}

tn_status tn_weight_source_find(tn_weight_source *source, const char *name, tn_weight *out,
                                tn_error *err) {
  tn_packed_weight packed;
  bool is_packed;
  if (source->gguf.arch) return tn_gguf_weights_find(&source->gguf, &source->files, name, out, err);
  TN_TRY(tn_packed_weight_find(&packed, &source->files, &source->quant, name, &is_packed, err));
  if (is_packed) return tn_packed_weight_unpack(&packed, out, err);
  tn_file_tensor *t = tn_weight_files_find(&source->files, tn_str_of(name));
  if (!t)
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no tensor \"%s\"", source->files.list_path,
                   name);
  t->used = true;
  *out = (tn_weight){.tensor = t->tensor, .path = t->path};
  tn_buffer_share(out->tensor.buffer);
  return TN_OK;
}

/* AutoGPTQ writes biases of zeros for models that have none. */
static bool is_zero_bias(const tn_weight_source *s, const tn_file_tensor *t) {
  bool written = s->quant.method == TN_QUANT_GPTQ || s->quant.method == TN_QUANT_AWQ;
  if (!written || !tn_str_ends(t->name, TN_STR(".bias"))) return false;
  for (int64_t i = 0; i < tn_tensor_count(&t->tensor); i++)
    if (tn_element_get(tn_tensor_data(&t->tensor), t->tensor.dtype, i) != 0) return false;
  return true;
}

bool tn_weight_source_unused(const tn_weight_source *source, int64_t *place, tn_str *name,
                             const char **path) {
  while (*place < (int64_t)source->files.count) {
    const tn_file_tensor *t = &source->files.tensors[(*place)++];
    if (t->used || tn_packed_weight_is_aside(&source->quant, t->name) || is_zero_bias(source, t))
      continue;
    *name = t->name;
    *path = t->path;
    return true;
  }
  return false;
}
