/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/arrow.h"

#include <string.h>

#include "columns/parquet/bits.h"

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
  const uint8_t *valid = a->n_buffers > 0 ? a->buffers[0] : NULL;
  return valid ? a->length - tn_bits_count(valid, a->offset, a->length) : 0;
}
