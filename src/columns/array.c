/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/array.h"

#include <stdatomic.h>
#include <string.h>

/* What a missing buffer points at: consumers may not expect NULL there. */
static _Alignas(64) const int64_t nothing[8];

typedef struct array_owner { /* of what tn_array_make made; one block with its arrays behind it */
  tn_buffer **buffers;
  const void **data;
  ArrowArray **pointers; /* what ArrowArray.children shows */
  ArrowArray *children;  /* child_count, then the dictionary */
  int64_t buffer_count, child_count;
  bool has_dictionary;
} array_owner;

static void release_made(ArrowArray *array) {
  array_owner *owner = array->private_data;
  for (int64_t i = 0; i < owner->buffer_count; i++) tn_buffer_drop(owner->buffers[i]);
  for (int64_t i = 0; i < owner->child_count + owner->has_dictionary; i++)
    tn_array_clear(&owner->children[i]);
  tn_free(owner);
  array->release = NULL;
}

static void clear_parts(const tn_array_parts *parts) {
  for (int64_t i = 0; i < parts->child_count; i++) tn_array_clear(&parts->children[i]);
  tn_array_clear(parts->dictionary);
}

/* One zeroed block for the owner and its four tables. */
static array_owner *owner_new(int64_t buffers, int64_t children, bool dictionary) {
  size_t arrays = (size_t)(children + dictionary);
  size_t bytes = sizeof(array_owner) + arrays * sizeof(ArrowArray) +
                 (size_t)children * sizeof(ArrowArray *) + (size_t)buffers * 2 * sizeof(void *);
  char *block = tn_alloc(bytes, 1);
  if (!block) return NULL;
  array_owner *owner = (array_owner *)block;
  owner->children = (ArrowArray *)(owner + 1);
  owner->pointers = (ArrowArray **)(owner->children + arrays);
  owner->buffers = (tn_buffer **)(owner->pointers + children);
  owner->data = (const void **)(owner->buffers + buffers);
  owner->buffer_count = buffers;
  owner->child_count = children;
  owner->has_dictionary = dictionary;
  return owner;
}

tn_status tn_array_make(ArrowArray *out, const tn_array_parts *parts, tn_error *err) {
  memset(out, 0, sizeof *out);
  array_owner *owner =
      owner_new(parts->buffer_count, parts->child_count, parts->dictionary != NULL);
  if (!owner) {
    clear_parts(parts);
    return tn_fail_memory(err, "Arrow array",
                          (unsigned long long)(parts->child_count + 1) * sizeof(ArrowArray));
  }
  for (int64_t i = 0; i < parts->buffer_count; i++) {
    tn_buffer *buffer = parts->buffers[i];
    if (buffer) owner->buffers[i] = tn_buffer_share(buffer);
    owner->data[i] = parts->data ? parts->data[i] : buffer ? buffer->data : NULL;
    if (!owner->data[i] && i > 0) owner->data[i] = nothing;
  }
  for (int64_t i = 0; i < parts->child_count; i++) {
    owner->children[i] = parts->children[i];
    parts->children[i].release = NULL;
    owner->pointers[i] = &owner->children[i];
  }
  if (parts->dictionary) {
    owner->children[parts->child_count] = *parts->dictionary;
    parts->dictionary->release = NULL;
    out->dictionary = &owner->children[parts->child_count];
  }
  out->length = parts->length;
  out->null_count = parts->null_count;
  out->offset = parts->offset;
  out->n_buffers = parts->buffer_count;
  out->buffers = owner->data;
  out->n_children = parts->child_count;
  out->children = owner->pointers;
  out->private_data = owner;
  out->release = release_made;
  return TN_OK;
}

/* ---- shared arrays ---- */
struct tn_shared_array {
  ArrowArray array;
  atomic_int refs;
};

tn_status tn_shared_array_new(tn_shared_array **out, ArrowArray *array, tn_error *err) {
  tn_shared_array *box = tn_alloc(1, sizeof *box);
  if (!box) {
    tn_array_clear(array);
    return tn_fail_memory(err, "shared Arrow array", sizeof *box);
  }
  box->array = *array;
  array->release = NULL;
  atomic_init(&box->refs, 1);
  *out = box;
  return TN_OK;
}

tn_shared_array *tn_shared_array_share(tn_shared_array *box) {
  atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
  return box;
}

void tn_shared_array_drop(tn_shared_array *box) {
  if (!box || atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) != 1) return;
  tn_array_clear(&box->array);
  tn_free(box);
}

const ArrowArray *tn_shared_array_get(const tn_shared_array *box) {
  return &box->array;
}

typedef struct view_owner { /* every node of a view holds the box: it may be moved away alone */
  tn_shared_array *box;
  ArrowArray **pointers;
  ArrowArray *children; /* then the dictionary */
  int64_t child_count;
  bool has_dictionary;
} view_owner;

static void release_view(ArrowArray *array) {
  view_owner *owner = array->private_data;
  for (int64_t i = 0; owner->children && i < owner->child_count + owner->has_dictionary; i++)
    tn_array_clear(&owner->children[i]);
  tn_shared_array_drop(owner->box);
  tn_free(owner->children);
  tn_free(owner->pointers);
  tn_free(owner);
  array->release = NULL;
}

static tn_status view_node(tn_shared_array *box, const ArrowArray *from, ArrowArray *out,
                           tn_error *err) {
  view_owner *owner = tn_alloc(1, sizeof *owner);
  if (!owner) return tn_fail_memory(err, "view of an Arrow array", sizeof *owner);
  *out = *from;
  out->private_data = owner;
  out->release = release_view;
  out->children = NULL;
  out->dictionary = NULL;
  owner->box = tn_shared_array_share(box);
  owner->child_count = from->n_children;
  owner->has_dictionary = from->dictionary != NULL;
  owner->children =
      tn_alloc((size_t)(owner->child_count + owner->has_dictionary), sizeof *owner->children);
  owner->pointers = tn_alloc((size_t)owner->child_count, sizeof *owner->pointers);
  if (!owner->children || !owner->pointers)
    return tn_fail_memory(err, "view of an Arrow array",
                          (unsigned long long)owner->child_count * sizeof *owner->children);
  out->children = owner->pointers;
  for (int64_t i = 0; i < owner->child_count; i++) {
    owner->pointers[i] = &owner->children[i];
    TN_TRY(view_node(box, from->children[i], owner->pointers[i], err));
  }
  if (!owner->has_dictionary) return TN_OK;
  out->dictionary = &owner->children[owner->child_count];
  return view_node(box, from->dictionary, out->dictionary, err);
}

tn_status tn_shared_array_view(tn_shared_array *box, int64_t from, int64_t length, ArrowArray *out,
                               tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_status status = view_node(box, &box->array, out, err);
  if (status != TN_OK) {
    tn_array_clear(out);
    return status;
  }
  if (length != out->length && out->null_count != 0) out->null_count = -1;
  out->length = length;
  out->offset += from;
  return TN_OK;
}

tn_status tn_shared_batch_view(tn_shared_array *box, int64_t from, int64_t length, ArrowArray *out,
                               tn_error *err) {
  TN_TRY(tn_shared_array_view(box, from, length, out, err));
  int64_t first = out->offset;
  out->offset = 0;
  for (int64_t i = 0; i < out->n_children; i++) {
    ArrowArray *child = out->children[i];
    if (length != child->length && child->null_count != 0) child->null_count = -1;
    child->offset += first;
    child->length = length;
  }
  return TN_OK;
}
