/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/map.h"
#include "model/safetensors_sum.h"

typedef struct entry {
  tn_str name;
  int64_t begin, end; /* bytes behind the header */
  tn_tensor tensor;
} entry;

struct tn_safetensors {
  tn_buffer *map;
  tn_arena arena; /* path, names, metadata */
  const char *path;
  tn_str header;      /* inside the map */
  int64_t data_start; /* byte of the file where data begins */
  entry *entries;     /* in file order once sorted */
  int64_t count;
  tn_map index;    /* name -> place in entries */
  tn_map metadata; /* key -> place in values */
  tn_str *values;
  int64_t sum_at; /* where in the header its own checksum's digits are; -1: none */
};

/* ---- one entry of the header ---- */

static tn_status fail_entry(const tn_safetensors *f, tn_str name, tn_status status, tn_error *err,
                            const char *what) {
  return tn_fail(err, status, "%s: tensor \"%.*s\": %s", f->path, TN_STR_ARG(name), what);
}

static tn_status read_dtype(const tn_safetensors *f, const tn_json *item, tn_dtype *out,
                            tn_error *err) {
  const tn_json *dtype = tn_json_get(item, "dtype");
  if (!dtype || dtype->kind != TN_JSON_STRING)
    return fail_entry(f, item->key, TN_ERR_DATA, err, "has no dtype");
  for (int i = 0; i < TN_DTYPE_COUNT; i++) {
    const char *name = tn_dtype_safetensors_name((tn_dtype)i);
    if (!name || !tn_str_is(dtype->text, name)) continue;
    *out = (tn_dtype)i;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: tensor \"%.*s\": dtype %.*s is not supported",
                 f->path, TN_STR_ARG(item->key), TN_STR_ARG(dtype->text));
}

static tn_status read_shape(const tn_safetensors *f, const tn_json *item, int32_t *rank,
                            int64_t shape[TN_RANK_MAX], tn_error *err) {
  const tn_json *list = tn_json_get(item, "shape");
  if (!list || list->kind != TN_JSON_ARRAY)
    return fail_entry(f, item->key, TN_ERR_DATA, err, "has no shape");
  if (list->count > TN_RANK_MAX)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: tensor \"%.*s\" has %" PRId64 " dimensions, limit %d", f->path,
                   TN_STR_ARG(item->key), list->count, TN_RANK_MAX);
  *rank = 0;
  for (const tn_json *d = list->first; d; d = d->next) {
    if (d->kind != TN_JSON_NUMBER || !d->is_integer || d->integer < 0)
      return fail_entry(f, item->key, TN_ERR_DATA, err,
                        "shape must be a list of integers from 0 on");
    shape[(*rank)++] = d->integer;
  }
  return TN_OK;
}

static tn_status read_offsets(const tn_safetensors *f, const tn_json *item, int64_t *begin,
                              int64_t *end, tn_error *err) {
  const tn_json *list = tn_json_get(item, "data_offsets");
  if (!list || list->kind != TN_JSON_ARRAY || list->count != 2)
    return fail_entry(f, item->key, TN_ERR_DATA, err, "needs data_offsets [begin, end]");
  const tn_json *b = list->first, *e = b->next;
  if (b->kind != TN_JSON_NUMBER || !b->is_integer || e->kind != TN_JSON_NUMBER || !e->is_integer)
    return fail_entry(f, item->key, TN_ERR_DATA, err, "data_offsets must be two integers");
  int64_t data_bytes = (int64_t)f->map->bytes - f->data_start;
  *begin = b->integer;
  *end = e->integer;
  if (*begin >= 0 && *begin <= *end && *end <= data_bytes) return TN_OK;
  return tn_fail(err, TN_ERR_DATA,
                 "%s: tensor \"%.*s\": data_offsets [%" PRId64 ", %" PRId64
                 "] do not lie inside "
                 "the %" PRId64 " bytes of data (a truncated file?)",
                 f->path, TN_STR_ARG(item->key), *begin, *end, data_bytes);
}

/* An entry has these three members and no other. */
static tn_status check_members(const tn_safetensors *f, const tn_json *item, tn_error *err) {
  if (item->kind != TN_JSON_OBJECT)
    return fail_entry(f, item->key, TN_ERR_DATA, err, "its entry is not a JSON object");
  if (item->count == 3) return TN_OK;
  return tn_fail(err, TN_ERR_DATA,
                 "%s: tensor \"%.*s\": its entry has %" PRId64
                 " members, must be dtype, shape and data_offsets",
                 f->path, TN_STR_ARG(item->key), item->count);
}

static tn_status read_entry(tn_safetensors *f, const tn_json *item, entry *out, tn_error *err) {
  tn_dtype dtype = TN_F32;
  int32_t rank = 0;
  int64_t shape[TN_RANK_MAX], begin = 0, end = 0;
  TN_TRY(check_members(f, item, err));
  TN_TRY(read_dtype(f, item, &dtype, err));
  TN_TRY(read_shape(f, item, &rank, shape, err));
  TN_TRY(read_offsets(f, item, &begin, &end, err));
  tn_status status =
      tn_tensor_view(&out->tensor, f->map, f->data_start + begin, dtype, rank, shape, err);
  if (status == TN_OK && tn_tensor_bytes(&out->tensor) != end - begin)
    status =
        tn_fail(err, TN_ERR_DATA, "shape and dtype make %" PRId64 " bytes, data_offsets %" PRId64,
                tn_tensor_bytes(&out->tensor), end - begin);
  if (status != TN_OK) /* always what the file says, whatever the view calls it */
    return tn_error_context(err, TN_ERR_DATA, "%s: tensor \"%.*s\"", f->path,
                            TN_STR_ARG(item->key));
  out->begin = begin;
  out->end = end;
  char *name = tn_arena_strndup(&f->arena, item->key.data, item->key.length);
  if (!name) return tn_fail_memory(err, "a tensor's name", item->key.length);
  out->name = (tn_str){name, item->key.length};
  return TN_OK;
}

/* ---- the header ---- */

static tn_status read_metadata(tn_safetensors *f, const tn_json *object, tn_error *err) {
  if (object->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "%s: " TN_ST_METADATA " is not a JSON object", f->path);
  f->values = tn_arena_alloc(&f->arena, (size_t)object->count, sizeof *f->values);
  if (!f->values) return tn_fail_memory(err, "metadata", (size_t)object->count * sizeof(tn_str));
  uint64_t place = 0;
  for (const tn_json *item = object->first; item; item = item->next, place++) {
    if (item->kind != TN_JSON_STRING)
      return tn_fail(err, TN_ERR_DATA, "%s: metadata \"%.*s\" is not a string", f->path,
                     TN_STR_ARG(item->key));
    char *copy = tn_arena_strndup(&f->arena, item->text.data, item->text.length);
    if (!copy) return tn_fail_memory(err, "metadata", item->text.length);
    f->values[place] = (tn_str){copy, item->text.length};
    TN_TRY(tn_map_put(&f->metadata, item->key, place, err));
    uintptr_t at = (uintptr_t)item->text.data, start = (uintptr_t)f->header.data;
    if (tn_str_is(item->key, TN_SUM_HEADER) && item->text.length == TN_SUM_DIGITS && at >= start &&
        at + TN_SUM_DIGITS <= start + f->header.length)
      f->sum_at = (int64_t)(at - start);
  }
  return TN_OK;
}

static int compare_place(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

/* Every byte of data belongs to exactly one tensor. */
static tn_status check_cover(const tn_safetensors *f, tn_error *err) {
  int64_t at = 0, data_bytes = (int64_t)f->map->bytes - f->data_start;
  for (int64_t i = 0; i < f->count; i++) {
    const entry *e = &f->entries[i];
    if (e->begin != at)
      return tn_fail(
          err, TN_ERR_DATA,
          "%s: tensor \"%.*s\" begins at byte %" PRId64 " of the data, %s ends at %" PRId64,
          f->path, TN_STR_ARG(e->name), e->begin,
          e->begin < at ? "but the one before it" : "which leaves a hole: the one before", at);
    at = e->end;
  }
  if (at == data_bytes) return TN_OK;
  return tn_fail(err, TN_ERR_DATA,
                 "%s: the tensors end at byte %" PRId64 " of the data, the file at %" PRId64,
                 f->path, at, data_bytes);
}

static tn_status build_index(tn_safetensors *f, tn_error *err) {
  if (f->count > 1) qsort(f->entries, (size_t)f->count, sizeof *f->entries, compare_place);
  for (int64_t i = 0; i < f->count; i++) {
    tn_str name = f->entries[i].name;
    if (tn_map_get(&f->index, name, NULL))
      return fail_entry(f, name, TN_ERR_DATA, err, "is there twice");
    TN_TRY(tn_map_put(&f->index, name, (uint64_t)i, err));
  }
  return check_cover(f, err);
}

static tn_status read_root(tn_safetensors *f, const tn_json *root, tn_error *err) {
  if (root->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "%s: the header is not a JSON object", f->path);
  f->entries = tn_alloc((size_t)root->count, sizeof *f->entries);
  if (!f->entries)
    return tn_fail_memory(err, "a tensor list", (size_t)root->count * sizeof *f->entries);
  bool has_metadata = false;
  for (const tn_json *item = root->first; item; item = item->next) {
    if (!tn_str_is(item->key, TN_ST_METADATA)) {
      TN_TRY(read_entry(f, item, &f->entries[f->count], err));
      f->count++;
      continue;
    }
    if (has_metadata)
      return tn_fail(err, TN_ERR_DATA, "%s: " TN_ST_METADATA " is there twice", f->path);
    has_metadata = true;
    TN_TRY(read_metadata(f, item, err));
  }
  return build_index(f, err);
}

static uint64_t load_le64(const uint8_t *bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
  return value;
}

static tn_status find_header(tn_safetensors *f, tn_error *err) {
  const uint8_t *bytes = f->map->data;
  size_t size = f->map->bytes;
  if (size < TN_ST_LENGTH_BYTES)
    return tn_fail(err, TN_ERR_DATA, "%s: %zu bytes, a safetensors file has at least %d", f->path,
                   size, TN_ST_LENGTH_BYTES);
  uint64_t length = load_le64(bytes);
  if (length > TN_ST_HEADER_MAX)
    return tn_fail(err, TN_ERR_LIMIT,
                   "%s: header wants %" PRIu64 " bytes, limit %d (not a safetensors file?)",
                   f->path, length, TN_ST_HEADER_MAX);
  if (length > size - TN_ST_LENGTH_BYTES)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: header wants %" PRIu64
                   " bytes, the file has %zu behind its length "
                   "(a truncated file?)",
                   f->path, length, size - TN_ST_LENGTH_BYTES);
  if (length == 0 || bytes[TN_ST_LENGTH_BYTES] != '{')
    return tn_fail(err, TN_ERR_DATA, "%s: the header does not begin with '{'", f->path);
  f->header = (tn_str){(const char *)bytes + TN_ST_LENGTH_BYTES, (size_t)length};
  f->data_start = TN_ST_LENGTH_BYTES + (int64_t)length;
  return TN_OK;
}

static tn_status read_file(tn_safetensors *f, const char *path, tn_error *err) {
  f->path = tn_arena_strndup(&f->arena, path, strlen(path));
  if (!f->path) return tn_fail_memory(err, "a path", strlen(path));
  TN_TRY(tn_buffer_map(&f->map, path, err));
  TN_TRY(find_header(f, err));
  tn_arena tree = {0};
  tn_json *root = NULL;
  const tn_json_options options = {.depth_max = 8};
  tn_status status = tn_json_parse(&root, &tree, f->header, &options, err);
  if (status != TN_OK)
    status = tn_error_context(err, status, "%s: header", path);
  else
    status = read_root(f, root, err);
  tn_arena_clear(&tree);
  return status;
}

tn_status tn_safetensors_open(tn_safetensors **out, const char *path, tn_error *err) {
  tn_safetensors *f = tn_alloc(1, sizeof *f);
  if (!f) return tn_fail_memory(err, "a safetensors reader", sizeof *f);
  f->sum_at = -1;
  tn_status status = read_file(f, path, err);
  if (status != TN_OK) {
    tn_safetensors_close(f);
    return status;
  }
  *out = f;
  return TN_OK;
}

void tn_safetensors_close(tn_safetensors *file) {
  if (!file) return;
  tn_map_clear(&file->index);
  tn_map_clear(&file->metadata);
  tn_free(file->entries);
  tn_buffer_drop(file->map);
  tn_arena_clear(&file->arena);
  tn_free(file);
}

/* ---- looking ---- */

int64_t tn_safetensors_count(const tn_safetensors *file) {
  return file->count;
}

void tn_safetensors_at(const tn_safetensors *file, int64_t index, tn_str *name, tn_tensor *out) {
  *name = file->entries[index].name;
  *out = file->entries[index].tensor;
}

tn_status tn_safetensors_get(const tn_safetensors *file, const char *name, tn_tensor *out,
                             tn_error *err) {
  uint64_t place;
  if (!tn_map_get(&file->index, tn_str_of(name), &place))
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no tensor \"%s\"", file->path, name);
  *out = file->entries[place].tensor;
  return TN_OK;
}

tn_str tn_safetensors_metadata(const tn_safetensors *file, const char *key) {
  uint64_t place;
  if (!tn_map_get(&file->metadata, tn_str_of(key), &place)) return (tn_str){0};
  return file->values[place];
}

/* ---- checksums ---- */

static bool sum_matches(tn_str digits, uint64_t sum) {
  char text[TN_SUM_DIGITS + 1];
  snprintf(text, sizeof text, "%016" PRIx64, sum);
  return tn_str_is(digits, text);
}

static tn_status verify_header(const tn_safetensors *f, tn_error *err) {
  static const char zeros[TN_SUM_DIGITS] = "0000000000000000";
  if (f->sum_at < 0)
    return tn_fail(err, TN_ERR_CHECKSUM, "%s: tensors have checksums, the header has none",
                   f->path);
  XXH64_state_t *state = XXH64_createState();
  if (!state) return tn_fail_memory(err, "a checksum", sizeof(void *));
  const char *header = f->header.data, *digits = header + f->sum_at;
  size_t before = (size_t)f->sum_at, behind = before + TN_SUM_DIGITS;
  XXH64_reset(state, 0);
  XXH64_update(state, header, before);
  XXH64_update(state, zeros, TN_SUM_DIGITS);
  XXH64_update(state, header + behind, f->header.length - behind);
  uint64_t sum = XXH64_digest(state);
  XXH64_freeState(state);
  if (sum_matches((tn_str){digits, TN_SUM_DIGITS}, sum)) return TN_OK;
  return tn_fail(err, TN_ERR_CHECKSUM,
                 "%s: header of %zu bytes: XXH64 is %016" PRIx64 ", recorded %.*s", f->path,
                 f->header.length, sum, TN_SUM_DIGITS, digits);
}

static tn_status verify_entry(const tn_safetensors *f, const entry *e, tn_strbuf *key,
                              tn_error *err) {
  tn_strbuf_reset(key);
  tn_strbuf_add(key, TN_SUM_PREFIX);
  tn_strbuf_add_str(key, e->name);
  TN_TRY(tn_strbuf_check(key, err));
  uint64_t place;
  if (!tn_map_get(&f->metadata, tn_strbuf_view(key), &place))
    return fail_entry(f, e->name, TN_ERR_CHECKSUM, err, "has no checksum, others have");
  size_t bytes = (size_t)(e->end - e->begin);
  uint64_t sum = XXH64(tn_tensor_data(&e->tensor), bytes, 0);
  tn_str recorded = f->values[place];
  if (sum_matches(recorded, sum)) return TN_OK;
  return tn_fail(
      err, TN_ERR_CHECKSUM,
      "%s: tensor \"%.*s\" (%zu bytes at byte %" PRId64 "): XXH64 is %016" PRIx64 ", recorded %.*s",
      f->path, TN_STR_ARG(e->name), bytes, f->data_start + e->begin, sum, TN_STR_ARG(recorded));
}

static bool has_sums(const tn_safetensors *f) {
  if (tn_map_get(&f->metadata, TN_STR(TN_SUM_HEADER), NULL)) return true;
  for (size_t i = 0; i < f->metadata.count; i++)
    if (tn_str_starts(f->metadata.entries[i].key, TN_STR(TN_SUM_PREFIX))) return true;
  return false;
}

tn_status tn_safetensors_verify(const tn_safetensors *file, tn_error *err) {
  if (!has_sums(file)) return TN_OK;
  TN_TRY(verify_header(file, err));
  tn_strbuf key = {0};
  tn_status status = TN_OK;
  for (int64_t i = 0; i < file->count && status == TN_OK; i++)
    status = verify_entry(file, &file->entries[i], &key, err);
  tn_strbuf_clear(&key);
  return status;
}
