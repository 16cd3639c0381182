/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/arrow.h"

#include <string.h>

#define SCHEMA_DEPTH_MAX 64

static const struct {
  const char *format, *name;
  int32_t bits;
} type_table[TN_COLUMN_TYPE_COUNT] = {
#define X(id, format, name, bits) [id] = {format, name, bits},
    TN_COLUMN_TYPE_LIST(X)
#undef X
};

const char *tn_column_type_name(tn_column_type type) {
  return type_table[type].name;
}
const char *tn_column_type_format(tn_column_type type) {
  return type_table[type].format;
}
int32_t tn_column_type_bits(tn_column_type type) {
  return type_table[type].bits;
}

tn_status tn_column_type_of(const ArrowSchema *field, tn_column_type *out, tn_error *err) {
  const char *name = field->name ? field->name : "";
  if (field->dictionary)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "column \"%s\": dictionary-encoded Arrow arrays", name);
  for (int32_t t = 0; t < TN_COLUMN_TYPE_COUNT; t++) {
    if (strcmp(field->format, type_table[t].format) != 0) continue;
    *out = (tn_column_type)t;
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_UNSUPPORTED, "column \"%s\": Arrow type with format \"%s\"", name,
                 field->format);
}

/* ---- schemas ---- */
static void release_schema(ArrowSchema *schema) {
  for (int64_t i = 0; schema->children && i < schema->n_children; i++) {
    tn_schema_clear(schema->children[i]); /* the consumer may have moved it away */
    tn_free(schema->children[i]);
  }
  tn_free(schema->children);
  tn_schema_clear(schema->dictionary);
  tn_free(schema->dictionary);
  tn_free(schema->private_data);
  schema->release = NULL;
}

int64_t tn_metadata_bytes(const char *metadata) {
  if (!metadata) return 0;
  int32_t pairs, length;
  memcpy(&pairs, metadata, 4);
  int64_t at = 4;
  for (int64_t i = 0; i < 2 * (int64_t)pairs; i++) {
    memcpy(&length, metadata + at, 4);
    at += 4 + (int64_t)length;
  }
  return at;
}

tn_str tn_metadata_next(const char *metadata, int64_t *at) {
  int32_t length;
  memcpy(&length, metadata + *at, 4);
  tn_str text = {metadata + *at + 4, (size_t)length};
  *at += 4 + (int64_t)length;
  return text;
}

/* One node without children.  Format, name and metadata are copied into one block. */
static tn_status schema_init(ArrowSchema *out, const char *format, const char *name,
                             const char *metadata, int64_t flags, tn_error *err) {
  memset(out, 0, sizeof *out);
  size_t format_bytes = strlen(format) + 1, name_bytes = strlen(name) + 1;
  size_t metadata_bytes = (size_t)tn_metadata_bytes(metadata);
  size_t total = metadata_bytes + format_bytes + name_bytes;
  char *block = tn_alloc(total, 1);
  if (!block) return tn_fail_memory(err, "Arrow schema", total);
  if (metadata) out->metadata = memcpy(block, metadata, metadata_bytes);
  out->format = memcpy(block + metadata_bytes, format, format_bytes);
  out->name = memcpy(block + metadata_bytes + format_bytes, name, name_bytes);
  out->flags = flags;
  out->private_data = block;
  out->release = release_schema;
  return TN_OK;
}

/* Room for `count` children, each a zeroed (released) struct. */
static tn_status schema_add_children(ArrowSchema *schema, int64_t count, tn_error *err) {
  if (count == 0) return TN_OK;
  schema->children = tn_alloc((size_t)count, sizeof *schema->children);
  if (!schema->children) return tn_fail_memory(err, "Arrow schema", (size_t)count * 8);
  schema->n_children = count;
  for (int64_t i = 0; i < count; i++) {
    schema->children[i] = tn_alloc(1, sizeof(ArrowSchema));
    if (!schema->children[i]) return tn_fail_memory(err, "Arrow schema", sizeof(ArrowSchema));
  }
  return TN_OK;
}

tn_status tn_schema_new(ArrowSchema *out, const char *const *names, const tn_column_type *types,
                        int64_t count, tn_error *err) {
  TN_TRY(schema_init(out, "+s", "", NULL, 0, err));
  tn_status status = schema_add_children(out, count, err);
  for (int64_t i = 0; status == TN_OK && i < count; i++)
    status = schema_init(out->children[i], tn_column_type_format(types[i]), names[i], NULL,
                         ARROW_FLAG_NULLABLE, err);
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}

static tn_status schema_copy(ArrowSchema *out, const ArrowSchema *from, int32_t depth,
                             tn_error *err) {
  if (depth > SCHEMA_DEPTH_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "Arrow schema: nested deeper than %d", SCHEMA_DEPTH_MAX);
  TN_TRY(schema_init(out, from->format, from->name ? from->name : "", from->metadata, from->flags,
                     err));
  TN_TRY(schema_add_children(out, from->n_children, err));
  for (int64_t i = 0; i < from->n_children; i++)
    TN_TRY(schema_copy(out->children[i], from->children[i], depth + 1, err));
  if (!from->dictionary) return TN_OK;
  out->dictionary = tn_alloc(1, sizeof(ArrowSchema));
  if (!out->dictionary) return tn_fail_memory(err, "Arrow schema", sizeof(ArrowSchema));
  return schema_copy(out->dictionary, from->dictionary, depth + 1, err);
}

tn_status tn_schema_copy(ArrowSchema *out, const ArrowSchema *from, tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_status status = schema_copy(out, from, 0, err);
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}

tn_status tn_schema_set_metadata(ArrowSchema *schema, const char *metadata, tn_error *err) {
  ArrowSchema fresh;
  TN_TRY(schema_init(&fresh, schema->format, schema->name, metadata, schema->flags, err));
  tn_free(schema->private_data);
  schema->format = fresh.format;
  schema->name = fresh.name;
  schema->metadata = fresh.metadata;
  schema->private_data = fresh.private_data;
  return TN_OK;
}

int64_t tn_schema_find(const ArrowSchema *schema, const char *name) {
  for (int64_t i = 0; i < schema->n_children; i++)
    if (schema->children[i]->name && strcmp(schema->children[i]->name, name) == 0) return i;
  return -1;
}

void tn_schema_clear(ArrowSchema *schema) {
  if (schema && schema->release) schema->release(schema);
}

/* ---- arrays ---- */
typedef struct flat_owner {
  const void *pointers[3];
  tn_buffer *buffers[3];
} flat_owner;

typedef struct batch_owner {
  const void *no_validity[1];
  ArrowArray *children;  /* one block */
  ArrowArray **pointers; /* what ArrowArray.children shows */
} batch_owner;

/* What a missing buffer of an empty array points at: consumers may not expect NULL there. */
static const int64_t nothing[8];

void tn_array_clear(ArrowArray *array) {
  if (array && array->release) array->release(array);
}

static void release_flat(ArrowArray *array) {
  flat_owner *owner = array->private_data;
  for (int i = 0; i < 3; i++) tn_buffer_drop(owner->buffers[i]);
  tn_free(owner);
  array->release = NULL;
}

tn_status tn_array_wrap(ArrowArray *out, tn_column_type type, int64_t length, int64_t null_count,
                        tn_buffer *const buffers[3], tn_error *err) {
  memset(out, 0, sizeof *out);
  bool variable = tn_column_type_bits(type) == 0;
  if (length > 0 && !buffers[1])
    return tn_fail(err, TN_ERR_ARGUMENT, "%s array of %lld rows without its buffer",
                   tn_column_type_name(type), (long long)length);
  flat_owner *owner = tn_alloc(1, sizeof *owner);
  if (!owner) return tn_fail_memory(err, "Arrow array", sizeof *owner);
  int count = variable ? 3 : 2;
  for (int i = 0; i < count; i++) {
    owner->buffers[i] = buffers[i] ? tn_buffer_share(buffers[i]) : NULL;
    owner->pointers[i] = buffers[i] ? buffers[i]->data : i == 0 ? NULL : nothing;
    if (i > 0 && !owner->pointers[i]) owner->pointers[i] = nothing; /* a buffer of zero bytes */
  }
  out->length = length;
  out->null_count = buffers[0] ? null_count : 0;
  out->n_buffers = count;
  out->buffers = owner->pointers;
  out->private_data = owner;
  out->release = release_flat;
  return TN_OK;
}

static void release_batch(ArrowArray *array) {
  batch_owner *owner = array->private_data;
  for (int64_t i = 0; i < array->n_children; i++) tn_array_clear(&owner->children[i]);
  tn_free(owner->children);
  tn_free(owner->pointers);
  tn_free(owner);
  array->release = NULL;
}

tn_status tn_batch_new(ArrowArray *out, ArrowArray *children, int64_t count, int64_t rows,
                       tn_error *err) {
  memset(out, 0, sizeof *out);
  for (int64_t i = 0; i < count; i++)
    if (children[i].length != rows)
      return tn_fail(err, TN_ERR_ARGUMENT, "record batch of %lld rows: column %lld has %lld",
                     (long long)rows, (long long)i, (long long)children[i].length);
  batch_owner *owner = tn_alloc(1, sizeof *owner);
  ArrowArray *copies = tn_alloc((size_t)count, sizeof *copies);
  ArrowArray **pointers = tn_alloc((size_t)count, sizeof *pointers);
  if (!owner || !copies || !pointers) {
    tn_free(owner);
    tn_free(copies);
    tn_free(pointers);
    return tn_fail_memory(err, "record batch", (unsigned long long)count * sizeof *copies);
  }
  *owner = (batch_owner){.children = copies, .pointers = pointers};
  for (int64_t i = 0; i < count; i++) {
    copies[i] = children[i];
    children[i].release = NULL;
    pointers[i] = &copies[i];
  }
  out->length = rows;
  out->n_buffers = 1;
  out->buffers = owner->no_validity;
  out->n_children = count;
  out->children = pointers;
  out->private_data = owner;
  out->release = release_batch;
  return TN_OK;
}

int64_t tn_array_null_count(const ArrowArray *a) {
  if (a->null_count >= 0) return a->null_count;
  int64_t nulls = 0;
  for (int64_t i = 0; i < a->length; i++) nulls += tn_array_is_null(a, i);
  return nulls;
}
