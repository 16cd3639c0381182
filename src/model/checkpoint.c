/* SPDX-License-Identifier: Apache-2.0 */
/* tn_model_open and tn_model_save: a Hugging Face folder, in and out. */
#include <inttypes.h>

#include "base/io.h"
#include "base/map.h"
#include "model/safetensors.h"
#include "model/weights.h"
#include "model/workspace.h"

enum { INDEX_BYTES_MAX = 64 << 20, SHARDS_MAX = 4096 };

/* ---- the files of a folder ---- */

typedef struct shard {
  const char *path;
  tn_safetensors *file;
} shard;

typedef struct checkpoint {
  const char *folder;
  tn_arena arena;
  shard *shards;
  size_t count, capacity;
  tn_map place;      /* of a file name in shards */
  tn_map weight_map; /* tensor -> place of its shard */
  bool sharded;
  const char *index_path;
} checkpoint;

static const char *join(tn_arena *arena, const char *folder, tn_str name) {
  size_t length = strlen(folder), bytes;
  if (!tn_add_size(length, name.length, &bytes) || !tn_add_size(bytes, 2, &bytes)) return NULL;
  char *path = tn_arena_alloc(arena, bytes, 1);
  if (!path) return NULL;
  memcpy(path, folder, length);
  path[length] = '/';
  memcpy(path + length + 1, name.data, name.length);
  return path;
}

static tn_status open_shard(checkpoint *c, tn_str name, tn_error *err) {
  if (c->count == SHARDS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: names more than %d files", c->index_path, SHARDS_MAX);
  TN_TRY(tn_grow((void **)&c->shards, &c->capacity, c->count + 1, sizeof *c->shards, err));
  shard *s = &c->shards[c->count];
  s->path = join(&c->arena, c->folder, name);
  if (!s->path) return tn_fail_memory(err, "a path", name.length);
  TN_TRY(tn_safetensors_open(&s->file, s->path, err));
  c->count++;
  TN_TRY(tn_map_put(&c->place, name, c->count - 1, err));
  return tn_safetensors_verify(s->file, err);
}

/* A file of this folder, nothing that leads out of it. */
static bool is_plain_name(tn_str name) {
  return name.length > 0 && name.data[0] != '.' && !memchr(name.data, '/', name.length) &&
         !memchr(name.data, '\0', name.length);
}

static tn_status add_weight(checkpoint *c, const tn_json *item, tn_error *err) {
  uint64_t place = 0;
  if (item->kind != TN_JSON_STRING || !is_plain_name(item->text))
    return tn_fail(err, TN_ERR_DATA, "%s: weight_map: \"%.*s\" does not name a file of the folder",
                   c->index_path, TN_STR_ARG(item->key));
  if (!tn_map_get(&c->place, item->text, &place)) {
    place = c->count;
    TN_TRY(open_shard(c, item->text, err));
  }
  return tn_map_put(&c->weight_map, item->key, place, err);
}

static tn_status read_index(checkpoint *c, const tn_json *root, tn_error *err) {
  const tn_json *map = tn_json_get(root, "weight_map");
  if (!map || map->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "%s: has no object weight_map", c->index_path);
  for (const tn_json *item = map->first; item; item = item->next) TN_TRY(add_weight(c, item, err));
  return TN_OK;
}

static tn_status open_index(checkpoint *c, tn_error *err) {
  tn_strbuf text = {0};
  tn_arena tree = {0};
  tn_json *root = NULL;
  c->sharded = true;
  tn_status status = tn_file_read(c->index_path, INDEX_BYTES_MAX, &text, err);
  if (status == TN_OK) {
    status = tn_json_parse(&root, &tree, tn_strbuf_view(&text), NULL, err);
    if (status != TN_OK) status = tn_error_context(err, status, "%s", c->index_path);
  }
  if (status == TN_OK) status = read_index(c, root, err);
  tn_arena_clear(&tree);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status open_files(checkpoint *c, tn_error *err) {
  const char *single = join(&c->arena, c->folder, TN_STR("model.safetensors"));
  c->index_path = join(&c->arena, c->folder, TN_STR("model.safetensors.index.json"));
  if (!single || !c->index_path) return tn_fail_memory(err, "a path", strlen(c->folder));
  if (tn_file_exists(single)) return open_shard(c, TN_STR("model.safetensors"), err);
  if (tn_file_exists(c->index_path)) return open_index(c, err);
  return tn_fail(err, TN_ERR_NOT_FOUND,
                 "%s: has neither model.safetensors nor model.safetensors.index.json", c->folder);
}

static void clear_checkpoint(checkpoint *c) {
  for (size_t i = 0; i < c->count; i++) tn_safetensors_close(c->shards[i].file);
  tn_free(c->shards);
  tn_map_clear(&c->place);
  tn_map_clear(&c->weight_map);
  tn_arena_clear(&c->arena);
}

static tn_status find_tensor(const checkpoint *c, const char *name, const shard **where,
                             tn_tensor *out, tn_error *err) {
  uint64_t place = 0;
  if (c->sharded && !tn_map_get(&c->weight_map, tn_str_of(name), &place))
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no tensor \"%s\"", c->index_path, name);
  *where = &c->shards[place];
  return tn_safetensors_get((*where)->file, name, out, err);
}

/* ---- a tensor of a file becomes a parameter ---- */

static tn_status check_parameter(const tn_parameter *p, const char *path, const tn_tensor *found,
                                 tn_error *err) {
  const tn_tensor *want = &p->tensor;
  bool same = found->rank == want->rank;
  for (int32_t d = 0; same && d < want->rank; d++) same = found->shape[d] == want->shape[d];
  if (same && (found->dtype == TN_F32 || found->dtype == TN_BF16 || found->dtype == TN_F16))
    return TN_OK;
  tn_strbuf text = {0};
  tn_tensor_describe(found, &text);
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
    status = tn_fail(err, same ? TN_ERR_UNSUPPORTED : TN_ERR_DATA, "%s: tensor \"%s\" is %s", path,
                     p->name, text.data);
  tn_strbuf_clear(&text);
  return status;
}

/* The bytes may lie at any address: a file promises no alignment. */
static void widen_halves(float *out, const char *in, tn_dtype dtype, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, in + 2 * i, 2);
    out[i] = dtype == TN_BF16 ? tn_bf16_to_f32(half) : tn_f16_to_f32(half);
  }
}

static tn_status widen(tn_tensor *out, const tn_tensor *in, tn_error *err) {
  tn_buffer *buffer;
  int64_t count = tn_tensor_count(in);
  TN_TRY(tn_buffer_new(&buffer, (size_t)count * sizeof(float), err));
  widen_halves(buffer->data, tn_tensor_data(in), in->dtype, count);
  return tn_tensor_view(out, buffer, 0, TN_F32, in->rank, in->shape, err);
}

static tn_status copy_tensor(tn_stream *stream, const tn_tensor *dst, const tn_tensor *src,
                             tn_error *err) {
  TN_TRY(tn_to_device(stream, dst, tn_tensor_data(src), tn_tensor_count(src), err));
  return tn_stream_synchronize(stream, err);
}

/* Into the flat array of a trainable model, as float32. */
static tn_status fill_parameter(tn_stream *stream, const tn_parameter *p, const tn_tensor *found,
                                tn_error *err) {
  if (found->dtype == TN_F32) return copy_tensor(stream, &p->tensor, found, err);
  tn_tensor wide;
  TN_TRY(widen(&wide, found, err));
  tn_status status = copy_tensor(stream, &p->tensor, &wide, err);
  tn_buffer_drop(wide.buffer);
  return status;
}

static bool is_usable_in_place(const tn_model *m, const tn_tensor *t) {
  return m->device->kind == TN_CPU && t->dtype != TN_F16 &&
         (uintptr_t)tn_tensor_data(t) % (size_t)tn_dtype_bytes(t->dtype) == 0;
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
                                const tn_tensor *found, tn_error *err) {
  if (is_usable_in_place(m, found)) {
    p->tensor = *found;
    return TN_OK;
  }
  if (found->dtype != TN_F16) return copy_to_own_buffer(m, stream, p, found, err);
  tn_tensor wide;
  TN_TRY(widen(&wide, found, err));
  tn_status status = copy_to_own_buffer(m, stream, p, &wide, err);
  tn_buffer_drop(wide.buffer);
  return status;
}

/* ---- nothing in the files may be left unused: it would change what the model computes ---- */

static bool is_harmless(const tn_model *m, tn_str name) {
  if (tn_str_ends(name, TN_STR(".rotary_emb.inv_freq"))) return true; /* a table, made here */
  return m->config.tied && tn_str_is(name, "lm_head.weight");
}

static tn_status check_unused(const tn_model *m, const checkpoint *c, const tn_map *wanted,
                              tn_error *err) {
  for (size_t i = 0; i < c->count; i++)
    for (int64_t k = 0; k < tn_safetensors_count(c->shards[i].file); k++) {
      tn_str name;
      tn_tensor t;
      tn_safetensors_at(c->shards[i].file, k, &name, &t);
      if (tn_map_get(wanted, name, NULL) || is_harmless(m, name)) continue;
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "%s: tensor \"%.*s\" has no place in the model of config.json",
                     c->shards[i].path, TN_STR_ARG(name));
    }
  return TN_OK;
}

static tn_status check_all_used(const tn_model *m, const checkpoint *c, tn_error *err) {
  tn_map wanted = {0};
  tn_status status = TN_OK;
  for (int64_t i = 0; i < m->parameter_count && status == TN_OK; i++)
    status = tn_map_put(&wanted, tn_str_of(m->parameters[i].name), 1, err);
  if (status == TN_OK) status = check_unused(m, c, &wanted, err);
  tn_map_clear(&wanted);
  return status;
}

/* ---- opening ---- */

static tn_status load_parameters(tn_model *m, const checkpoint *c, tn_stream *stream,
                                 tn_error *err) {
  for (int64_t i = 0; i < m->parameter_count; i++) {
    tn_parameter *p = &m->parameters[i];
    const shard *where = NULL;
    tn_tensor found;
    TN_TRY(find_tensor(c, p->name, &where, &found, err));
    TN_TRY(check_parameter(p, where->path, &found, err));
    if (m->flat.buffer)
      TN_TRY(fill_parameter(stream, p, &found, err));
    else
      TN_TRY(hold_parameter(m, stream, p, &found, err));
  }
  return check_all_used(m, c, err);
}

/* The maps outlive their readers where parameters point into them. */
static tn_status keep_maps(tn_model *m, const checkpoint *c, tn_error *err) {
  for (size_t i = 0; i < c->count; i++) {
    tn_str name;
    tn_tensor t;
    if (tn_safetensors_count(c->shards[i].file) == 0) continue;
    tn_safetensors_at(c->shards[i].file, 0, &name, &t);
    TN_TRY(tn_model_own_buffer(m, tn_buffer_share(t.buffer), err));
  }
  return TN_OK;
}

static tn_status load(tn_model *m, const char *folder, tn_error *err) {
  checkpoint c = {.folder = folder};
  tn_stream *stream = NULL;
  tn_status status = tn_stream_open(m->device, NULL, &stream, err);
  if (status == TN_OK) status = open_files(&c, err);
  if (status == TN_OK && !m->flat.buffer) status = keep_maps(m, &c, err);
  if (status == TN_OK) status = load_parameters(m, &c, stream, err);
  tn_stream_close(stream);
  clear_checkpoint(&c);
  return status;
}

static tn_status read_config(tn_model_config *config, const char *folder, tn_error *err) {
  tn_arena arena = {0};
  const char *path = join(&arena, folder, TN_STR("config.json"));
  tn_status status = path ? tn_model_config_read(config, path, err)
                          : tn_fail_memory(err, "a path", strlen(folder));
  tn_arena_clear(&arena);
  return status;
}

static tn_status open_model(tn_model **out, const char *folder, tn_device *device, bool trainable,
                            tn_error *err) {
  tn_model_config config;
  tn_model *m = NULL;
  TN_TRY(read_config(&config, folder, err));
  if (trainable)
    TN_TRY(tn_model_new(&m, &config, device, err));
  else
    TN_TRY(tn_model_new_shapes(&m, &config, device, err));
  tn_status status = load(m, folder, err);
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
  const char *weights = join(&arena, folder, TN_STR("model.safetensors"));
  const char *config = join(&arena, folder, TN_STR("config.json"));
  tn_status status = TN_OK;
  if (!weights || !config) status = tn_fail_memory(err, "a path", strlen(folder));
  if (status == TN_OK) status = save_weights(model, weights, dtype, err);
  if (status == TN_OK) status = save_config(model, config, dtype, err);
  tn_arena_clear(&arena);
  return status;
}
