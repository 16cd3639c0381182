/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weight_files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"

enum { INDEX_BYTES_MAX = 64 << 20, FILES_MAX = 4096, SPLIT_DIGITS = 5 };

const char *tn_path_join(tn_arena *arena, const char *folder, tn_str name) {
  size_t length = strlen(folder), bytes;
  if (!tn_add_size(length, name.length, &bytes) || !tn_add_size(bytes, 2, &bytes)) return NULL;
  char *path = tn_arena_alloc(arena, bytes, 1);
  if (!path) return NULL;
  memcpy(path, folder, length);
  path[length] = '/';
  memcpy(path + length + 1, name.data, name.length);
  return path;
}

static tn_status add_tensor(tn_weight_files *w, tn_str name, tn_tensor tensor, const char *path,
                            tn_error *err) {
  uint64_t place;
  if (tn_map_get(&w->places, name, &place))
    return tn_fail(err, TN_ERR_DATA, "%s: tensor \"%.*s\" is in %s too", path, TN_STR_ARG(name),
                   w->tensors[place].path);
  TN_TRY(tn_grow((void **)&w->tensors, &w->capacity, w->count + 1, sizeof *w->tensors, err));
  TN_TRY(tn_map_put(&w->places, name, w->count, err));
  w->tensors[w->count++] = (tn_file_tensor){.name = name, .tensor = tensor, .path = path};
  return TN_OK;
}

tn_file_tensor *tn_weight_files_find(const tn_weight_files *files, tn_str name) {
  uint64_t place;
  return tn_map_get(&files->places, name, &place) ? &files->tensors[place] : NULL;
}

/* ---- safetensors, one or many ---- */

static tn_status open_shard(tn_weight_files *w, const char *path, tn_error *err) {
  if (w->shard_count == FILES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: names more than %d files", w->list_path, FILES_MAX);
  TN_TRY(
      tn_grow((void **)&w->shards, &w->shard_capacity, w->shard_count + 1, sizeof *w->shards, err));
  TN_TRY(tn_safetensors_open(&w->shards[w->shard_count], path, err));
  w->shard_count++;
  return TN_OK;
}

static tn_status open_single(tn_weight_files *w, tn_error *err) {
  TN_TRY(open_shard(w, w->list_path, err));
  for (int64_t i = 0; i < tn_safetensors_count(w->shards[0]); i++) {
    tn_str name;
    tn_tensor t;
    tn_safetensors_at(w->shards[0], i, &name, &t);
    TN_TRY(add_tensor(w, name, t, w->list_path, err));
  }
  return TN_OK;
}

/* A file of this folder, nothing that leads out of it. */
static bool is_plain_name(tn_str name) {
  return name.length > 0 && name.data[0] != '.' && !memchr(name.data, '/', name.length) &&
         !memchr(name.data, '\0', name.length);
}

/* Opens the shard of each entry when it is met first; places: file name -> shard. */
static tn_status open_entry(tn_weight_files *w, tn_map *places, const char **paths,
                            const tn_json *item, tn_error *err) {
  if (item->kind != TN_JSON_STRING || !is_plain_name(item->text))
    return tn_fail(err, TN_ERR_DATA, "%s: weight_map: \"%.*s\" does not name a file of the folder",
                   w->list_path, TN_STR_ARG(item->key));
  if (tn_map_get(places, item->text, NULL)) return TN_OK;
  const char *path = tn_path_join(&w->arena, w->folder, item->text);
  if (!path) return tn_fail_memory(err, "a path", item->text.length);
  TN_TRY(open_shard(w, path, err));
  paths[w->shard_count - 1] = path;
  return tn_map_put(places, item->text, w->shard_count - 1, err);
}

/* Every entry is in its shard, and no shard has a tensor that the index does not know. */
static tn_status add_entries(tn_weight_files *w, const tn_map *places, const char **paths,
                             const tn_json *map, tn_error *err) {
  for (const tn_json *item = map->first; item; item = item->next) {
    uint64_t place = 0;
    tn_map_get(places, item->text, &place);
    char *name = tn_arena_strndup(&w->arena, item->key.data, item->key.length);
    if (!name) return tn_fail_memory(err, "a tensor's name", item->key.length);
    tn_tensor t;
    TN_TRY(tn_safetensors_get(w->shards[place], name, &t, err));
    TN_TRY(add_tensor(w, (tn_str){name, item->key.length}, t, paths[place], err));
  }
  for (size_t s = 0; s < w->shard_count; s++)
    for (int64_t i = 0; i < tn_safetensors_count(w->shards[s]); i++) {
      tn_str name;
      tn_tensor t;
      tn_safetensors_at(w->shards[s], i, &name, &t);
      if (!tn_weight_files_find(w, name))
        return tn_fail(err, TN_ERR_DATA, "%s: has no tensor \"%.*s\", %s has", w->list_path,
                       TN_STR_ARG(name), paths[s]);
    }
  return TN_OK;
}

static tn_status read_index(tn_weight_files *w, const tn_json *root, tn_error *err) {
  const tn_json *map = tn_json_get(root, "weight_map");
  if (!map || map->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "%s: has no object weight_map", w->list_path);
  tn_map places = {0};
  const char **paths = tn_arena_alloc(&w->arena, FILES_MAX, sizeof *paths);
  tn_status status = paths ? TN_OK : tn_fail_memory(err, "a file list", FILES_MAX * sizeof *paths);
  for (const tn_json *item = map->first; item && status == TN_OK; item = item->next)
    status = open_entry(w, &places, paths, item, err);
  if (status == TN_OK) status = add_entries(w, &places, paths, map, err);
  tn_map_clear(&places);
  return status;
}

static tn_status open_index(tn_weight_files *w, tn_error *err) {
  tn_strbuf text = {0};
  tn_arena tree = {0};
  tn_json *root = NULL;
  const tn_json_options options = {.unique_keys = true};
  tn_status status = tn_file_read(w->list_path, INDEX_BYTES_MAX, &text, err);
  if (status == TN_OK) {
    status = tn_json_parse(&root, &tree, tn_strbuf_view(&text), &options, err);
    if (status != TN_OK) status = tn_error_context(err, status, "%s", w->list_path);
  }
  if (status == TN_OK) status = read_index(w, root, err);
  tn_arena_clear(&tree);
  tn_strbuf_clear(&text);
  return status;
}

/* ---- GGUF, one or split ---- */

static tn_status open_gguf(tn_weight_files *w, const char *path, tn_error *err) {
  TN_TRY(tn_grow((void **)&w->ggufs, &w->gguf_capacity, w->gguf_count + 1, sizeof *w->ggufs, err));
  TN_TRY(tn_gguf_open(&w->ggufs[w->gguf_count], path, err));
  const tn_gguf *g = w->ggufs[w->gguf_count++];
  for (int64_t i = 0; i < tn_gguf_count(g); i++) {
    tn_str name;
    tn_tensor t;
    tn_gguf_at(g, i, &name, &t);
    TN_TRY(add_tensor(w, name, t, tn_gguf_path(g), err));
  }
  return TN_OK;
}

/* "model-00001-of-00003.gguf" -> "model-00002-of-00003.gguf"; arena memory. */
static tn_status name_part(tn_weight_files *w, int64_t part, int64_t parts, char **out,
                           tn_error *err) {
  char tail[64];
  size_t length = strlen(w->list_path);
  int tail_length = snprintf(tail, sizeof tail, "-%0*d-of-%0*" PRId64 ".gguf", SPLIT_DIGITS, 1,
                             SPLIT_DIGITS, parts);
  if (!tn_str_ends(tn_str_of(w->list_path), (tn_str){tail, (size_t)tail_length}))
    return tn_fail(err, TN_ERR_DATA,
                   "%s: the first of %" PRId64 " files, whose name must end in %s to find the rest",
                   w->list_path, parts, tail);
  *out = tn_arena_strndup(&w->arena, w->list_path, length);
  if (!*out) return tn_fail_memory(err, "a path", length);
  snprintf(tail, sizeof tail, "%0*" PRId64, SPLIT_DIGITS, part);
  memcpy(*out + length - (size_t)tail_length + 1, tail, SPLIT_DIGITS);
  return TN_OK;
}

static tn_status open_ggufs(tn_weight_files *w, const char *path, tn_error *err) {
  int64_t parts = 1, number = 0;
  w->list_path = path;
  TN_TRY(open_gguf(w, path, err));
  w->gguf = w->ggufs[0];
  TN_TRY(tn_gguf_get_i64(w->gguf, "split.count", 0, FILES_MAX, &parts, err));
  TN_TRY(tn_gguf_get_i64(w->gguf, "split.no", 0, FILES_MAX, &number, err));
  if (number != 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: part %" PRId64 " of %" PRId64 ", name the first part",
                   path, number + 1, parts);
  for (int64_t part = 2; part <= parts; part++) {
    char *name = NULL;
    TN_TRY(name_part(w, part, parts, &name, err));
    TN_TRY(open_gguf(w, name, err));
  }
  return TN_OK;
}

/* ---- which files ---- */

/* The only .gguf file of the folder (of a split one, the first part); NULL: none. */
static tn_status find_gguf(tn_weight_files *w, const char **out, tn_error *err) {
  DIR *dir = opendir(w->folder);
  if (!dir) return tn_fail_errno(err, errno, "%s: cannot list", w->folder);
  tn_status status = TN_OK;
  *out = NULL;
  for (struct dirent *d; status == TN_OK && (d = readdir(dir));) {
    tn_str name = tn_str_of(d->d_name);
    int64_t of = tn_str_find(name, TN_STR("-of-"));
    if (!tn_str_ends(name, TN_STR(".gguf"))) continue;
    if (of >= SPLIT_DIGITS && memcmp(name.data + of - SPLIT_DIGITS, "00001", SPLIT_DIGITS) != 0)
      continue;
    if (*out)
      status = tn_fail(err, TN_ERR_ARGUMENT, "%s: holds more than one GGUF file, name one of them",
                       w->folder);
    else if (!(*out = tn_path_join(&w->arena, w->folder, name)))
      status = tn_fail_memory(err, "a path", name.length);
  }
  closedir(dir);
  return status;
}

static tn_status fail_no_weights(const tn_weight_files *w, tn_error *err) {
  tn_arena arena = {0};
  const char *pickled = NULL, *names[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
  for (int i = 0; i < 2 && !pickled; i++) {
    const char *path = tn_path_join(&arena, w->folder, tn_str_of(names[i]));
    if (path && tn_file_exists(path)) pickled = names[i];
  }
  tn_arena_clear(&arena);
  if (pickled)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: has only pickled weights (%s), which are programs and are not run; save it "
                   "as safetensors",
                   w->folder, pickled);
  return tn_fail(err, TN_ERR_NOT_FOUND,
                 "%s: has neither model.safetensors nor model.safetensors.index.json nor a .gguf "
                 "file",
                 w->folder);
}

static tn_status open_folder(tn_weight_files *w, tn_error *err) {
  const char *single = tn_path_join(&w->arena, w->folder, TN_STR("model.safetensors"));
  const char *index = tn_path_join(&w->arena, w->folder, TN_STR("model.safetensors.index.json"));
  if (!single || !index) return tn_fail_memory(err, "a path", strlen(w->folder));
  w->list_path = tn_file_exists(single) ? single : index;
  if (w->list_path == single) return open_single(w, err);
  if (tn_file_exists(index)) return open_index(w, err);
  const char *gguf = NULL;
  TN_TRY(find_gguf(w, &gguf, err));
  return gguf ? open_ggufs(w, gguf, err) : fail_no_weights(w, err);
}

static tn_status open_path(tn_weight_files *w, const char *path, tn_error *err) {
  const char *copy = tn_arena_strndup(&w->arena, path, strlen(path));
  if (!copy) return tn_fail_memory(err, "a path", strlen(path));
  if (tn_dir_exists(copy)) {
    w->folder = copy;
    return open_folder(w, err);
  }
  if (!tn_file_exists(copy))
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no such folder or file", copy);
  if (tn_gguf_is_file(copy)) return open_ggufs(w, copy, err);
  return tn_fail(err, TN_ERR_DATA, "%s: neither a model folder nor a GGUF file", copy);
}

/* ---- recorded checksums, a file an item ---- */

typedef struct verification {
  const tn_weight_files *files;
  tn_status *statuses;
  tn_error *errors;
} verification;

static void verify_shard(void *context, int64_t item, int32_t worker) {
  verification *v = context;
  v->statuses[item] = tn_safetensors_verify(v->files->shards[item], &v->errors[item]);
}

static tn_status verify(const tn_weight_files *w, tn_pool *pool, tn_error *err) {
  verification v = {w, tn_alloc(w->shard_count, sizeof *v.statuses),
                    tn_alloc(w->shard_count, sizeof *v.errors)};
  tn_status status = TN_OK;
  if (v.statuses && v.errors)
    tn_pool_run(pool, (int64_t)w->shard_count, verify_shard, &v);
  else
    status = tn_fail_memory(err, "a list of checks", w->shard_count * sizeof *v.errors);
  for (size_t i = 0; i < w->shard_count && status == TN_OK; i++)
    if ((status = v.statuses[i]) != TN_OK && err) *err = v.errors[i];
  tn_free(v.statuses);
  tn_free(v.errors);
  return status;
}

tn_status tn_weight_files_open(tn_weight_files *out, const char *path, tn_pool *pool,
                               tn_error *err) {
  *out = (tn_weight_files){0};
  tn_status status = open_path(out, path, err);
  if (status == TN_OK) status = verify(out, pool, err);
  if (status != TN_OK) tn_weight_files_clear(out);
  return status;
}

void tn_weight_files_clear(tn_weight_files *files) {
  for (size_t i = 0; i < files->shard_count; i++) tn_safetensors_close(files->shards[i]);
  for (size_t i = 0; i < files->gguf_count; i++) tn_gguf_close(files->ggufs[i]);
  tn_free(files->shards);
  tn_free(files->ggufs);
  tn_free(files->tensors);
  tn_map_clear(&files->places);
  tn_arena_clear(&files->arena);
  *files = (tn_weight_files){0};
}
