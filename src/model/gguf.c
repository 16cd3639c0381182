/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"

enum {
  KEY_BYTES_MAX = 65535, /* the format's own limit */
  NAME_BYTES_MAX = 1024,
  RANK_MAX = 4,
  NESTING_MAX = 4, /* arrays in arrays */
  ALIGNMENT_DEFAULT = 32,
  ALIGNMENT_MAX = 1 << 20,
  /* The least that a tensor's and a value's entry can take: counts are checked against the file. */
  TENSOR_BYTES_MIN = 8 + 4 + 4 + 8,
  VALUE_BYTES_MIN = 8 + 4 + 1,
};

typedef struct entry {
  tn_str name;
  tn_tensor tensor;
} entry;

struct tn_gguf {
  tn_buffer *map;
  tn_arena arena; /* path, values, strings, names */
  const char *path;
  tn_gguf_value *values;
  entry *entries;
  int64_t value_count, count;
  int64_t alignment;
  tn_map keys, names; /* -> place in values, in entries */
};

/* What is left of the header; `at` counts from the start of the file. */
typedef struct cursor {
  tn_gguf *file;
  const uint8_t *bytes;
  size_t at, size;
} cursor;

/* ---- numbers and strings ---- */

static uint64_t load(const uint8_t *bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

static tn_status take(cursor *c, size_t count, const uint8_t **out, const char *what,
                      tn_error *err) {
  if (count > c->size - c->at)
    return tn_fail(err, TN_ERR_DATA, "%s: %s at byte %zu wants %zu bytes, the file has %zu more%s",
                   c->file->path, what, c->at, count, c->size - c->at, " (a truncated file?)");
  *out = c->bytes + c->at;
  c->at += count;
  return TN_OK;
}

static tn_status take_u32(cursor *c, uint32_t *out, const char *what, tn_error *err) {
  const uint8_t *at = NULL;
  TN_TRY(take(c, 4, &at, what, err));
  *out = (uint32_t)load(at, 4);
  return TN_OK;
}

static tn_status take_u64(cursor *c, uint64_t *out, const char *what, tn_error *err) {
  const uint8_t *at = NULL;
  TN_TRY(take(c, 8, &at, what, err));
  *out = load(at, 8);
  return TN_OK;
}

static tn_status take_string(cursor *c, tn_str *out, const char *what, tn_error *err) {
  uint64_t length = 0;
  const uint8_t *at = NULL;
  TN_TRY(take_u64(c, &length, what, err));
  TN_TRY(take(c, length, &at, what, err));
  *out = (tn_str){(const char *)at, length};
  return TN_OK;
}

/* A key or a tensor's name: copied, so that it ends in NUL. */
static tn_status take_name(cursor *c, tn_str *out, size_t limit, const char *what, tn_error *err) {
  tn_str name = {0};
  TN_TRY(take_string(c, &name, what, err));
  if (name.length == 0 || memchr(name.data, '\0', name.length))
    return tn_fail(err, TN_ERR_DATA, "%s: %s before byte %zu is empty or holds a NUL",
                   c->file->path, what, c->at);
  if (name.length > limit)
    return tn_fail(err, TN_ERR_LIMIT, "%s: %s before byte %zu has %zu bytes, limit %zu",
                   c->file->path, what, c->at, name.length, limit);
  char *copy = tn_arena_strndup(&c->file->arena, name.data, name.length);
  if (!copy) return tn_fail_memory(err, what, name.length);
  *out = (tn_str){copy, name.length};
  return TN_OK;
}

/* ---- values ---- */

static const struct {
  size_t bytes; /* 0: not a number */
  const char *name;
} kinds[TN_GGUF_KIND_COUNT] = {
    [TN_GGUF_U8] = {1, "uint8"},    [TN_GGUF_I8] = {1, "int8"},    [TN_GGUF_U16] = {2, "uint16"},
    [TN_GGUF_I16] = {2, "int16"},   [TN_GGUF_U32] = {4, "uint32"}, [TN_GGUF_I32] = {4, "int32"},
    [TN_GGUF_F32] = {4, "float32"}, [TN_GGUF_BOOL] = {1, "bool"},  [TN_GGUF_STRING] = {0, "string"},
    [TN_GGUF_ARRAY] = {0, "array"}, [TN_GGUF_U64] = {8, "uint64"}, [TN_GGUF_I64] = {8, "int64"},
    [TN_GGUF_F64] = {8, "float64"},
};

const char *tn_gguf_kind_name(tn_gguf_kind kind) {
  return kinds[kind].name;
}

static tn_status fail_value(const cursor *c, const tn_gguf_value *v, tn_status status,
                            tn_error *err, const char *what) {
  return tn_fail(err, status, "%s: metadata \"%.*s\": %s", c->file->path, TN_STR_ARG(v->key), what);
}

static tn_status take_kind(cursor *c, const tn_gguf_value *v, tn_gguf_kind *out, tn_error *err) {
  uint32_t kind = 0;
  TN_TRY(take_u32(c, &kind, "a kind", err));
  if (kind >= TN_GGUF_KIND_COUNT)
    return tn_fail(err, TN_ERR_DATA, "%s: metadata \"%.*s\": kind %" PRIu32 ", there are %d",
                   c->file->path, TN_STR_ARG(v->key), kind, (int)TN_GGUF_KIND_COUNT);
  *out = (tn_gguf_kind)kind;
  return TN_OK;
}

static tn_status take_strings(cursor *c, tn_gguf_value *v, tn_error *err) {
  tn_str *list = tn_arena_alloc(&c->file->arena, (size_t)v->count, sizeof *list);
  if (!list) return tn_fail_memory(err, "strings", (size_t)v->count * sizeof *list);
  v->strings = list;
  for (int64_t i = 0; i < v->count; i++) TN_TRY(take_string(c, &list[i], "a string", err));
  return TN_OK;
}

static tn_status take_numbers(cursor *c, tn_gguf_value *v, tn_error *err) {
  size_t bytes;
  if (!tn_mul_size((size_t)v->count, kinds[v->kind].bytes, &bytes))
    return fail_value(c, v, TN_ERR_DATA, err, "its size overflows 64 bits");
  TN_TRY(take(c, bytes, &v->numbers, "metadata", err));
  for (int64_t i = 0; v->kind == TN_GGUF_BOOL && i < v->count; i++)
    if (v->numbers[i] > 1) return fail_value(c, v, TN_ERR_DATA, err, "a bool is neither 0 nor 1");
  return TN_OK;
}

static tn_status take_items(cursor *c, tn_gguf_value *v, int32_t depth, tn_error *err);

static tn_status take_arrays(cursor *c, tn_gguf_value *v, int32_t depth, tn_error *err) {
  if (depth == NESTING_MAX) return fail_value(c, v, TN_ERR_LIMIT, err, "arrays nest too deep");
  tn_gguf_value *list = tn_arena_alloc(&c->file->arena, (size_t)v->count, sizeof *list);
  if (!list) return tn_fail_memory(err, "arrays", (size_t)v->count * sizeof *list);
  v->arrays = list;
  for (int64_t i = 0; i < v->count; i++) {
    list[i].key = v->key;
    TN_TRY(take_items(c, &list[i], depth + 1, err));
  }
  return TN_OK;
}

/* Kind and count of an array, then its items.  Each takes at least a byte of the file, which bounds
 * what is allocated: 12 bytes an array, 8 a string. */
static tn_status take_items(cursor *c, tn_gguf_value *v, int32_t depth, tn_error *err) {
  uint64_t count = 0;
  v->is_array = true;
  TN_TRY(take_kind(c, v, &v->kind, err));
  TN_TRY(take_u64(c, &count, "an array's length", err));
  size_t least = v->kind == TN_GGUF_ARRAY ? 12 : v->kind == TN_GGUF_STRING ? 8 : 1;
  if (count > (c->size - c->at) / least)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: metadata \"%.*s\": %" PRIu64
                   " items do not fit into the %zu bytes behind it (a truncated file?)",
                   c->file->path, TN_STR_ARG(v->key), count, c->size - c->at);
  v->count = (int64_t)count;
  if (v->kind == TN_GGUF_ARRAY) return take_arrays(c, v, depth, err);
  return v->kind == TN_GGUF_STRING ? take_strings(c, v, err) : take_numbers(c, v, err);
}

static tn_status take_value(cursor *c, tn_gguf_value *v, tn_error *err) {
  TN_TRY(take_name(c, &v->key, KEY_BYTES_MAX, "a metadata key", err));
  TN_TRY(take_kind(c, v, &v->kind, err));
  v->count = 1;
  if (v->kind == TN_GGUF_ARRAY) return take_items(c, v, 0, err);
  return v->kind == TN_GGUF_STRING ? take_strings(c, v, err) : take_numbers(c, v, err);
}

static tn_status take_values(cursor *c, uint64_t count, tn_error *err) {
  tn_gguf *f = c->file;
  if (count > (c->size - c->at) / VALUE_BYTES_MIN)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: %" PRIu64 " metadata values do not fit into a file of %zu bytes", f->path,
                   count, c->size);
  f->values = tn_arena_alloc(&f->arena, count, sizeof *f->values);
  if (!f->values) return tn_fail_memory(err, "metadata", count * sizeof *f->values);
  for (; f->value_count < (int64_t)count; f->value_count++) {
    tn_gguf_value *v = &f->values[f->value_count];
    TN_TRY(take_value(c, v, err));
    if (tn_map_get(&f->keys, v->key, NULL))
      return fail_value(c, v, TN_ERR_DATA, err, "is there twice");
    TN_TRY(tn_map_put(&f->keys, v->key, (uint64_t)f->value_count, err));
  }
  return TN_OK;
}

/* ---- tensors ---- */

/* ggml's numbers.  `ours` TN_DTYPE_COUNT: a type that is not supported. */
static const struct {
  const char *name;
  tn_dtype ours;
} types[] = {
    [0] = {"F32", TN_F32},
    [1] = {"F16", TN_F16},
    [2] = {"Q4_0", TN_Q4_0},
    [3] = {"Q4_1", TN_Q4_1},
    [6] = {"Q5_0", TN_Q5_0},
    [7] = {"Q5_1", TN_Q5_1},
    [8] = {"Q8_0", TN_Q8_0},
    [9] = {"Q8_1", TN_DTYPE_COUNT},
    [10] = {"Q2_K", TN_DTYPE_COUNT},
    [11] = {"Q3_K", TN_DTYPE_COUNT},
    [12] = {"Q4_K", TN_Q4_K},
    [13] = {"Q5_K", TN_Q5_K},
    [14] = {"Q6_K", TN_Q6_K},
    [15] = {"Q8_K", TN_DTYPE_COUNT},
    [16] = {"IQ2_XXS", TN_DTYPE_COUNT},
    [17] = {"IQ2_XS", TN_DTYPE_COUNT},
    [18] = {"IQ3_XXS", TN_DTYPE_COUNT},
    [19] = {"IQ1_S", TN_DTYPE_COUNT},
    [20] = {"IQ4_NL", TN_DTYPE_COUNT},
    [21] = {"IQ3_S", TN_DTYPE_COUNT},
    [22] = {"IQ2_S", TN_DTYPE_COUNT},
    [23] = {"IQ4_XS", TN_DTYPE_COUNT},
    [24] = {"I8", TN_I8},
    [25] = {"I16", TN_I16},
    [26] = {"I32", TN_I32},
    [27] = {"I64", TN_I64},
    [28] = {"F64", TN_F64},
    [29] = {"IQ1_M", TN_DTYPE_COUNT},
    [30] = {"BF16", TN_BF16},
    [34] = {"TQ1_0", TN_DTYPE_COUNT},
    [35] = {"TQ2_0", TN_DTYPE_COUNT},
    [39] = {"MXFP4", TN_DTYPE_COUNT},
    [40] = {"NVFP4", TN_DTYPE_COUNT},
};

static tn_status take_type(cursor *c, tn_str name, tn_dtype *out, tn_error *err) {
  uint32_t type = 0;
  TN_TRY(take_u32(c, &type, "a tensor's type", err));
  if (type >= sizeof types / sizeof *types || !types[type].name)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: tensor \"%.*s\": type %" PRIu32 " is not known",
                   c->file->path, TN_STR_ARG(name), type);
  *out = types[type].ours;
  if (*out != TN_DTYPE_COUNT) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "%s: tensor \"%.*s\": type %s is not supported; of the smaller types Q4_0, Q4_1, "
                 "Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K are",
                 c->file->path, TN_STR_ARG(name), types[type].name);
}

static tn_status take_shape(cursor *c, tn_str name, int32_t *rank, int64_t shape[RANK_MAX],
                            tn_error *err) {
  uint32_t dimensions = 0;
  TN_TRY(take_u32(c, &dimensions, "a tensor's dimensions", err));
  if (dimensions > RANK_MAX)
    return tn_fail(err, TN_ERR_DATA, "%s: tensor \"%.*s\" has %" PRIu32 " dimensions, limit %d",
                   c->file->path, TN_STR_ARG(name), dimensions, RANK_MAX);
  *rank = (int32_t)dimensions;
  for (int32_t d = *rank - 1; d >= 0; d--) {
    uint64_t size = 0;
    TN_TRY(take_u64(c, &size, "a tensor's shape", err));
    if (size > INT64_MAX)
      return tn_fail(err, TN_ERR_DATA, "%s: tensor \"%.*s\": a dimension of %" PRIu64,
                     c->file->path, TN_STR_ARG(name), size);
    shape[d] = (int64_t)size;
  }
  return TN_OK;
}

/* The view is made once the start of the data is known; until then offset_bytes counts from it. */
static tn_status take_tensor(cursor *c, entry *e, tn_error *err) {
  tn_tensor *t = &e->tensor;
  uint64_t offset = 0;
  TN_TRY(take_name(c, &e->name, NAME_BYTES_MAX, "a tensor's name", err));
  TN_TRY(take_shape(c, e->name, &t->rank, t->shape, err));
  TN_TRY(take_type(c, e->name, &t->dtype, err));
  TN_TRY(take_u64(c, &offset, "a tensor's offset", err));
  if (offset % (uint64_t)c->file->alignment != 0 || offset > INT64_MAX)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: tensor \"%.*s\": offset %" PRIu64 ", must be a multiple of %" PRId64,
                   c->file->path, TN_STR_ARG(e->name), offset, c->file->alignment);
  t->offset_bytes = (int64_t)offset;
  return TN_OK;
}

static tn_status take_tensors(cursor *c, uint64_t count, tn_error *err) {
  tn_gguf *f = c->file;
  if (count > (c->size - c->at) / TENSOR_BYTES_MIN)
    return tn_fail(err, TN_ERR_DATA, "%s: %" PRIu64 " tensors do not fit into a file of %zu bytes",
                   f->path, count, c->size);
  f->entries = tn_arena_alloc(&f->arena, count, sizeof *f->entries);
  if (!f->entries) return tn_fail_memory(err, "a tensor list", count * sizeof *f->entries);
  for (; f->count < (int64_t)count; f->count++) {
    entry *e = &f->entries[f->count];
    TN_TRY(take_tensor(c, e, err));
    if (tn_map_get(&f->names, e->name, NULL))
      return tn_fail(err, TN_ERR_DATA, "%s: tensor \"%.*s\" is there twice", f->path,
                     TN_STR_ARG(e->name));
    TN_TRY(tn_map_put(&f->names, e->name, (uint64_t)f->count, err));
  }
  return TN_OK;
}

static tn_status make_views(tn_gguf *f, int64_t data_start, tn_error *err) {
  for (int64_t i = 0; i < f->count; i++) {
    entry *e = &f->entries[i];
    tn_tensor t = e->tensor;
    int64_t offset;
    tn_status status = TN_OK;
    if (__builtin_add_overflow(t.offset_bytes, data_start, &offset))
      status = tn_fail(err, TN_ERR_DATA, "offset %" PRId64 " overflows", t.offset_bytes);
    if (status == TN_OK)
      status = tn_tensor_view(&e->tensor, f->map, offset, t.dtype, t.rank, t.shape, err);
    if (status != TN_OK) /* always what the file says, whatever the view calls it */
      return tn_error_context(err, TN_ERR_DATA, "%s: tensor \"%.*s\" (a truncated file?)", f->path,
                              TN_STR_ARG(e->name));
  }
  return TN_OK;
}

static int compare_place(const void *a, const void *b) {
  const entry *x = *(const entry *const *)a, *y = *(const entry *const *)b;
  int64_t left = x->tensor.offset_bytes, right = y->tensor.offset_bytes;
  if (left != right) return left < right ? -1 : 1;
  left = tn_tensor_bytes(&x->tensor), right = tn_tensor_bytes(&y->tensor);
  return (left > right) - (left < right);
}

static tn_status check_overlap(tn_gguf *f, tn_error *err) {
  const entry **order = tn_alloc((size_t)f->count, sizeof *order);
  if (!order) return tn_fail_memory(err, "a tensor list", (size_t)f->count * sizeof *order);
  for (int64_t i = 0; i < f->count; i++) order[i] = &f->entries[i];
  if (f->count > 1) qsort(order, (size_t)f->count, sizeof *order, compare_place);
  tn_status status = TN_OK;
  for (int64_t i = 1; i < f->count && status == TN_OK; i++) {
    const entry *before = order[i - 1], *e = order[i];
    int64_t end = before->tensor.offset_bytes + tn_tensor_bytes(&before->tensor);
    if (e->tensor.offset_bytes < end)
      status = tn_fail(err, TN_ERR_DATA,
                       "%s: tensor \"%.*s\" begins at byte %" PRId64 ", \"%.*s\" ends at %" PRId64,
                       f->path, TN_STR_ARG(e->name), e->tensor.offset_bytes,
                       TN_STR_ARG(before->name), end);
  }
  tn_free(order);
  return status;
}

/* ---- the file ---- */

static tn_status take_start(cursor *c, uint64_t *tensors, uint64_t *values, tn_error *err) {
  const uint8_t *magic = NULL;
  uint32_t version = 0;
  TN_TRY(take(c, 4, &magic, "the first four letters", err));
  if (memcmp(magic, "GGUF", 4) != 0)
    return tn_fail(err, TN_ERR_DATA, "%s: does not begin with \"GGUF\" (not a GGUF file?)",
                   c->file->path);
  TN_TRY(take_u32(c, &version, "the version", err));
  if (version == 0x02000000u || version == 0x03000000u)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: a big-endian GGUF file, only little-endian ones are supported",
                   c->file->path);
  if (version != 2 && version != 3)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: GGUF version %" PRIu32 ", supported are versions 2 and 3", c->file->path,
                   version);
  TN_TRY(take_u64(c, tensors, "the number of tensors", err));
  return take_u64(c, values, "the number of metadata values", err);
}

static tn_status read_alignment(tn_gguf *f, tn_error *err) {
  f->alignment = ALIGNMENT_DEFAULT;
  TN_TRY(tn_gguf_get_i64(f, "general.alignment", 1, ALIGNMENT_MAX, &f->alignment, err));
  if ((f->alignment & (f->alignment - 1)) == 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: general.alignment is %" PRId64 ", must be a power of two",
                 f->path, f->alignment);
}

static tn_status read_file(tn_gguf *f, const char *path, tn_error *err) {
  uint64_t tensors = 0, values = 0;
  f->path = tn_arena_strndup(&f->arena, path, strlen(path));
  if (!f->path) return tn_fail_memory(err, "a path", strlen(path));
  TN_TRY(tn_buffer_map(&f->map, path, err));
  cursor c = {f, f->map->data, 0, f->map->bytes};
  TN_TRY(take_start(&c, &tensors, &values, err));
  TN_TRY(take_values(&c, values, err));
  TN_TRY(read_alignment(f, err));
  TN_TRY(take_tensors(&c, tensors, err));
  int64_t rest = (int64_t)c.at % f->alignment;
  TN_TRY(make_views(f, (int64_t)c.at + (rest ? f->alignment - rest : 0), err));
  return check_overlap(f, err);
}

tn_status tn_gguf_open(tn_gguf **out, const char *path, tn_error *err) {
  tn_gguf *f = tn_alloc(1, sizeof *f);
  if (!f) return tn_fail_memory(err, "a GGUF reader", sizeof *f);
  tn_status status = read_file(f, path, err);
  if (status != TN_OK) {
    tn_gguf_close(f);
    return status;
  }
  *out = f;
  return TN_OK;
}

void tn_gguf_close(tn_gguf *file) {
  if (!file) return;
  tn_map_clear(&file->keys);
  tn_map_clear(&file->names);
  tn_buffer_drop(file->map);
  tn_arena_clear(&file->arena);
  tn_free(file);
}

const char *tn_gguf_path(const tn_gguf *file) {
  return file->path;
}

bool tn_gguf_is_file(const char *path) {
  char magic[4] = {0};
  FILE *f = fopen(path, "rb");
  size_t got = f ? fread(magic, 1, sizeof magic, f) : 0;
  if (f) fclose(f);
  return got == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
}

/* ---- looking at metadata ---- */

int64_t tn_gguf_value_count(const tn_gguf *file) {
  return file->value_count;
}

const tn_gguf_value *tn_gguf_value_at(const tn_gguf *file, int64_t index) {
  return &file->values[index];
}

const tn_gguf_value *tn_gguf_find(const tn_gguf *file, const char *key) {
  uint64_t place;
  return tn_map_get(&file->keys, tn_str_of(key), &place) ? &file->values[place] : NULL;
}

bool tn_gguf_item_i64(const tn_gguf_value *value, int64_t i, int64_t *out) {
  size_t bytes = kinds[value->kind].bytes;
  if (bytes == 0 || i < 0 || i >= value->count) return false;
  uint64_t bits = load(value->numbers + (size_t)i * bytes, bytes);
  switch (value->kind) {
    case TN_GGUF_U64:
      if (bits > INT64_MAX) return false; /* fall through */
    case TN_GGUF_U8:
    case TN_GGUF_U16:
    case TN_GGUF_U32:
    case TN_GGUF_I64:
      *out = (int64_t)bits;
      return true;
    case TN_GGUF_I8:
      *out = (int8_t)bits;
      return true;
    case TN_GGUF_I16:
      *out = (int16_t)bits;
      return true;
    case TN_GGUF_I32:
      *out = (int32_t)bits;
      return true;
    default:
      return false;
  }
}

bool tn_gguf_item_f64(const tn_gguf_value *value, int64_t i, double *out) {
  int64_t whole;
  float narrow;
  if (tn_gguf_item_i64(value, i, &whole)) {
    *out = (double)whole;
    return true;
  }
  if (i < 0 || i >= value->count) return false;
  if (value->kind == TN_GGUF_F32) {
    memcpy(&narrow, value->numbers + i * 4, 4);
    *out = (double)narrow;
    return true;
  }
  if (value->kind == TN_GGUF_F64) memcpy(out, value->numbers + i * 8, 8);
  return value->kind == TN_GGUF_F64;
}

static tn_status fail_kind(const tn_gguf *f, const tn_gguf_value *v, const char *wanted,
                           tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: metadata \"%.*s\" is %s%s, must be %s", f->path,
                 TN_STR_ARG(v->key), v->is_array ? "an array of " : "", kinds[v->kind].name,
                 wanted);
}

tn_status tn_gguf_get_i64(const tn_gguf *file, const char *key, int64_t min, int64_t max,
                          int64_t *out, tn_error *err) {
  const tn_gguf_value *v = tn_gguf_find(file, key);
  int64_t value;
  if (!v) return TN_OK;
  if (v->is_array || !tn_gguf_item_i64(v, 0, &value)) return fail_kind(file, v, "an integer", err);
  if (value < min || value > max)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: metadata \"%s\" is %" PRId64 ", must be %" PRId64 " to %" PRId64,
                   file->path, key, value, min, max);
  *out = value;
  return TN_OK;
}

tn_status tn_gguf_get_f64(const tn_gguf *file, const char *key, double *out, tn_error *err) {
  const tn_gguf_value *v = tn_gguf_find(file, key);
  if (!v || (!v->is_array && tn_gguf_item_f64(v, 0, out))) return TN_OK;
  return fail_kind(file, v, "a number", err);
}

tn_status tn_gguf_get_bool(const tn_gguf *file, const char *key, bool *out, tn_error *err) {
  const tn_gguf_value *v = tn_gguf_find(file, key);
  if (!v) return TN_OK;
  if (v->is_array || v->kind != TN_GGUF_BOOL) return fail_kind(file, v, "a bool", err);
  *out = v->numbers[0] != 0;
  return TN_OK;
}

tn_status tn_gguf_get_str(const tn_gguf *file, const char *key, tn_str *out, tn_error *err) {
  const tn_gguf_value *v = tn_gguf_find(file, key);
  if (!v) return TN_OK;
  if (v->is_array || v->kind != TN_GGUF_STRING) return fail_kind(file, v, "a string", err);
  *out = v->strings[0];
  return TN_OK;
}

static bool is_of_kind(const tn_gguf_value *v, tn_gguf_kind wanted) {
  bool is_float = v->kind == TN_GGUF_F32 || v->kind == TN_GGUF_F64;
  if (wanted == TN_GGUF_STRING || wanted == TN_GGUF_BOOL) return v->kind == wanted;
  bool is_number = kinds[v->kind].bytes > 0 && v->kind != TN_GGUF_BOOL;
  return is_number && (wanted == TN_GGUF_F64 || !is_float);
}

tn_status tn_gguf_get_array(const tn_gguf *file, const char *key, tn_gguf_kind kind,
                            const tn_gguf_value **out, tn_error *err) {
  const tn_gguf_value *v = tn_gguf_find(file, key);
  *out = NULL;
  if (v && (!v->is_array || !is_of_kind(v, kind))) {
    const char *wanted = kind == TN_GGUF_STRING ? "an array of string"
                         : kind == TN_GGUF_BOOL ? "an array of bool"
                         : kind == TN_GGUF_F64  ? "an array of numbers"
                                                : "an array of integers";
    return fail_kind(file, v, wanted, err);
  }
  *out = v;
  return TN_OK;
}

/* ---- looking at tensors ---- */

int64_t tn_gguf_count(const tn_gguf *file) {
  return file->count;
}

void tn_gguf_at(const tn_gguf *file, int64_t index, tn_str *name, tn_tensor *out) {
  *name = file->entries[index].name;
  *out = file->entries[index].tensor;
}

bool tn_gguf_has(const tn_gguf *file, const char *name) {
  return tn_map_get(&file->names, tn_str_of(name), NULL);
}

tn_status tn_gguf_get(const tn_gguf *file, const char *name, tn_tensor *out, tn_error *err) {
  uint64_t place;
  if (!tn_map_get(&file->names, tn_str_of(name), &place))
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no tensor \"%s\"", file->path, name);
  *out = file->entries[place].tensor;
  return TN_OK;
}
