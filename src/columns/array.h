/* array.h - making ArrowArray trees over counted buffers, and sharing them.
 *
 * tn_array_make is the one place where this room's arrays come into being: it takes over children
 * and dictionary and counts its buffers up; release undoes both.  Any node may be moved out of its
 * parent by a consumer, as the C Data Interface allows.
 *
 * A tn_shared_array lets several ArrowArrays show one array: dictionaries that many batches use,
 * slices of a batch.
 *
 *     box (count) ---> the array          view, view, view: offset and length of their own
 *
 * Thread: making belongs to one thread; finished arrays are immutable, boxes are counted
 * atomically. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_ARRAY_H
#define TN_COLUMNS_ARRAY_H
#include "columns/type.h"

typedef struct tn_array_parts {
  int64_t length;
  int64_t null_count; /* -1: not known */
  int64_t offset;
  tn_buffer *const *buffers; /* each shared (+1); an entry may be NULL */
  const void *const *data;   /* where each buffer's bytes start; NULL: at buffers[i]->data */
  int64_t buffer_count;
  ArrowArray *children; /* moved (theirs become released), also on failure */
  int64_t child_count;
  ArrowArray *dictionary; /* moved, also on failure; NULL: none */
} tn_array_parts;

/* A missing buffer other than the validity bitmap (index 0) points at zeros, so that an empty array
 * is never NULL inside. */
TN_NODISCARD tn_status tn_array_make(ArrowArray *out, const tn_array_parts *parts, tn_error *err);

typedef struct tn_shared_array tn_shared_array;
/* Moves *array into a box with one reference, also on failure. */
TN_NODISCARD tn_status tn_shared_array_new(tn_shared_array **out, ArrowArray *array, tn_error *err);
tn_shared_array *tn_shared_array_share(tn_shared_array *box);
void tn_shared_array_drop(tn_shared_array *box); /* NULL is fine */
/* Another ArrowArray over rows [from, from + length) of the box's array; holds the box. */
TN_NODISCARD tn_status tn_shared_array_view(tn_shared_array *box, int64_t from, int64_t length,
                                            ArrowArray *out, tn_error *err);
/* The same of a record batch (a struct array without nulls): the children carry the slice, the
 * batch's own offset is 0, which is what most readers of batches expect. */
TN_NODISCARD tn_status tn_shared_batch_view(tn_shared_array *box, int64_t from, int64_t length,
                                            ArrowArray *out, tn_error *err);
const ArrowArray *tn_shared_array_get(const tn_shared_array *box);

#endif
