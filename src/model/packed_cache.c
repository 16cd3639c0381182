/* SPDX-License-Identifier: Apache-2.0 */
#include "model/packed_cache.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "kernels/pack.h"
#include "model/safetensors.h"
#include "model/weight_files.h"

#define BYTES_MIN_DEFAULT ((int64_t)32 << 20)
#define IDENTITY          "tenon.identity"
#define CONTENT           "tenon.content"
#define TYPE_PREFIX       "tenon.type:"

struct tn_packed_cache {
  tn_safetensors *file;
};

typedef struct origin { /* the files that packed weights are made of */
  const tn_weight_source *source;
  tn_str identity;
} origin;

/* ---- where it lies ---- */

/* The folder beside the model, and the file in it. */
static tn_status name_beside(const char *model, tn_strbuf *folder, tn_strbuf *file, tn_error *err) {
  const char *slash = strrchr(model, '/');
  if (tn_dir_exists(model))
    tn_strbuf_addf(folder, "%s/.tenon", model);
  else if (slash)
    tn_strbuf_addf(folder, "%.*s/.tenon", (int)(slash - model), model);
  else
    tn_strbuf_add(folder, ".tenon");
  const char *name = tn_dir_exists(model) ? "packed" : slash ? slash + 1 : model;
  tn_strbuf_addf(file, "%s/%s-%s.safetensors", folder->failed ? "" : folder->data, name,
                 tn_pack_key());
  TN_TRY(tn_strbuf_check(folder, err));
  return tn_strbuf_check(file, err);
}

static tn_status name_in_cache(const char *model, const char *cache, tn_strbuf *file,
                               tn_error *err) {
  char whole[PATH_MAX];
  if (!realpath(model, whole)) return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no such path", model);
  tn_strbuf_addf(file, "%s/%016" PRIx64 "-%s.safetensors", cache,
                 tn_hash_bytes(whole, strlen(whole), 0), tn_pack_key());
  return tn_strbuf_check(file, err);
}

/* ---- reading ---- */

enum { CONTENT_BYTES = 17 };

static const char *write_content(char out[CONTENT_BYTES], const tn_weight_source *source) {
  snprintf(out, CONTENT_BYTES, "%016" PRIx64, tn_weight_source_content(source));
  return out;
}

/* Files that were copied or touched are looked into: they may hold what they held. */
static bool is_of(const tn_safetensors *file, const origin *from) {
  char content[CONTENT_BYTES];
  tn_str recorded = tn_safetensors_metadata(file, CONTENT);
  if (tn_str_equal(tn_safetensors_metadata(file, IDENTITY), from->identity)) return true;
  return recorded.data && tn_str_is(recorded, write_content(content, from->source));
}

/* TN_ERR_NOT_FOUND: it was made of other files. */
static tn_status check(const tn_safetensors *file, const char *path, const origin *from,
                       tn_error *err) {
  if (!is_of(file, from)) return tn_fail(err, TN_ERR_NOT_FOUND, "%s: is of other files", path);
  return tn_safetensors_verify(file, err);
}

/* *out stays NULL when the file is not there, or not good; only memory is an error. */
static tn_status open_file(tn_safetensors **out, const char *path, const origin *from,
                           tn_error *err) {
  tn_error why = {0};
  tn_safetensors *file = NULL;
  if (!tn_file_exists(path)) return TN_OK;
  tn_status status = tn_safetensors_open(&file, path, &why);
  if (status == TN_OK) status = check(file, path, from, &why);
  if (status == TN_OK) {
    *out = file;
    return TN_OK;
  }
  tn_safetensors_close(file);
  if (status == TN_ERR_MEMORY) {
    if (err) *err = why;
    return status;
  }
  if (status != TN_ERR_NOT_FOUND)
    tn_log(TN_LOG_WARN, "model", "packed weights are made anew: %s", why.text);
  return TN_OK;
}

static tn_status find_file(tn_safetensors **out, const char *model, const origin *from,
                           const tn_model_options *options, tn_error *err) {
  tn_strbuf folder = {0}, file = {0};
  tn_status status = name_beside(model, &folder, &file, err);
  if (status == TN_OK) status = open_file(out, file.data, from, err);
  if (status == TN_OK && !*out && options->cache_folder) {
    tn_strbuf_reset(&file);
    status = name_in_cache(model, options->cache_folder, &file, err);
    if (status == TN_OK) status = open_file(out, file.data, from, err);
  }
  tn_strbuf_clear(&folder);
  tn_strbuf_clear(&file);
  return status;
}

tn_status tn_packed_cache_open(tn_packed_cache **out, const char *model_path,
                               const tn_weight_source *source, const tn_model_options *options,
                               tn_error *err) {
  tn_strbuf identity = {0};
  tn_safetensors *file = NULL;
  *out = NULL;
  tn_status status = tn_weight_source_identity(source, &identity, err);
  const origin from = {source, tn_strbuf_view(&identity)};
  if (status == TN_OK) status = find_file(&file, model_path, &from, options, err);
  tn_strbuf_clear(&identity);
  if (!file) return status;
  *out = tn_alloc(1, sizeof **out);
  if (!*out) {
    tn_safetensors_close(file);
    return tn_fail_memory(err, "a cache", sizeof **out);
  }
  (*out)->file = file;
  return TN_OK;
}

void tn_packed_cache_close(tn_packed_cache *cache) {
  if (!cache) return;
  tn_safetensors_close(cache->file);
  tn_free(cache);
}

bool tn_packed_cache_find(const tn_packed_cache *cache, const char *name, tn_dtype *dtype,
                          tn_tensor *bytes) {
  char key[256];
  int length = snprintf(key, sizeof key, TYPE_PREFIX "%s", name);
  if (length < 0 || (size_t)length >= sizeof key) return false;
  tn_str type = tn_safetensors_metadata(cache->file, key);
  return type.data && tn_dtype_of_name(type, dtype) &&
         tn_safetensors_get(cache->file, name, bytes, NULL) == TN_OK && bytes->dtype == TN_U8;
}

/* ---- writing ---- */

typedef struct content { /* what goes into the file */
  tn_arena arena;
  tn_named_tensor *tensors;
  const char **metadata; /* key, value, ... */
  int64_t count, bytes, bytes_min;
  int32_t pairs;
} content;

static tn_status add_parameter(content *c, const tn_parameter *p, tn_error *err) {
  const tn_tensor *t = &p->tensor;
  int64_t bytes = tn_pack_bytes(t->dtype, t->shape[0], t->shape[1]);
  size_t length = strlen(TYPE_PREFIX) + strlen(p->name);
  char *key = tn_arena_alloc(&c->arena, length + 1, 1);
  if (!key) return tn_fail_memory(err, "a name", length);
  snprintf(key, length + 1, TYPE_PREFIX "%s", p->name);
  tn_named_tensor *item = &c->tensors[c->count++];
  item->name = p->name;
  c->bytes += bytes;
  c->metadata[2 * c->pairs] = key;
  c->metadata[2 * c->pairs++ + 1] = tn_dtype_name(t->dtype);
  return tn_tensor_view(&item->tensor, t->buffer, t->offset_bytes, TN_U8, 1, &bytes, err);
}

/* Floating types are packed about as fast as a file is read, and are large. */
static bool is_kept(const tn_parameter *p) {
  bool packed = p->tensor.layout == TN_LAYOUT_PANELS && tn_dtype_block(p->tensor.dtype) > 1;
  return packed && !p->order.buffer; /* whose order would have to be kept as well */
}

static tn_status collect(content *c, const tn_model *m, const origin *from, tn_error *err) {
  size_t count = (size_t)m->parameter_count;
  c->tensors = tn_arena_alloc(&c->arena, count, sizeof *c->tensors);
  c->metadata = tn_arena_alloc(&c->arena, 2 * count + 4, sizeof *c->metadata);
  char *text = tn_arena_strndup(&c->arena, from->identity.data, from->identity.length);
  char *hash = tn_arena_alloc(&c->arena, CONTENT_BYTES, 1);
  if (!c->tensors || !c->metadata || !text || !hash)
    return tn_fail_memory(err, "a list of packed weights", count * sizeof *c->tensors);
  c->metadata[0] = IDENTITY;
  c->metadata[1] = text;
  c->metadata[2] = CONTENT;
  c->metadata[3] = hash;
  c->pairs = 2;
  for (int64_t i = 0; i < m->parameter_count; i++)
    if (is_kept(&m->parameters[i])) TN_TRY(add_parameter(c, &m->parameters[i], err));
  if (c->bytes >= c->bytes_min) write_content(hash, from->source);
  return TN_OK;
}

static tn_status write_file(const content *c, const char *folder, const char *path, tn_error *err) {
  TN_TRY(tn_dir_make(folder, err));
  return tn_safetensors_write(path, c->tensors, c->count, c->metadata, c->pairs, err);
}

static tn_status write_somewhere(const content *c, const char *model,
                                 const tn_model_options *options, tn_error *err) {
  tn_strbuf folder = {0}, file = {0};
  tn_status status = name_beside(model, &folder, &file, err);
  if (status == TN_OK) status = write_file(c, folder.data, file.data, err);
  if (status == TN_ERR_IO && options->cache_folder) {
    tn_strbuf_reset(&file);
    status = name_in_cache(model, options->cache_folder, &file, err);
    if (status == TN_OK) status = write_file(c, options->cache_folder, file.data, err);
  }
  tn_strbuf_clear(&folder);
  tn_strbuf_clear(&file);
  return status;
}

tn_status tn_packed_cache_write(const tn_model *model, const char *model_path,
                                const tn_weight_source *source, const tn_model_options *options,
                                tn_error *err) {
  content c = {.bytes_min =
                   options->cache_bytes_min > 0 ? options->cache_bytes_min : BYTES_MIN_DEFAULT};
  tn_strbuf identity = {0};
  tn_error why = {0};
  tn_status status = tn_weight_source_identity(source, &identity, &why);
  const origin from = {source, tn_strbuf_view(&identity)};
  if (status == TN_OK) status = collect(&c, model, &from, &why);
  if (status == TN_OK && c.bytes >= c.bytes_min)
    status = write_somewhere(&c, model_path, options, &why);
  tn_strbuf_clear(&identity);
  tn_arena_clear(&c.arena);
  if (status == TN_ERR_MEMORY && err) *err = why;
  if (status == TN_OK || status == TN_ERR_MEMORY) return status;
  tn_log(TN_LOG_WARN, "model", "packed weights are not kept: %s", why.text);
  return TN_OK;
}
