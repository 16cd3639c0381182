/* ipc_body_write.h - arrays taken apart into the nodes and buffers of a batch.
 *
 * A row range of any array is written as if it were the whole: offsets begin with 0, bits with a
 * byte, children hold what the range uses and no more.  What need not be moved for that stays where
 * it is: a part then borrows the array's bytes.  Dictionary indices are put into the terms of the
 * dictionary that is written.
 *
 * Equal values give equal parts (views apart, whose data may be cut otherwise), bits behind the
 * last row are 0.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_BODY_WRITE_H
#define TN_COLUMNS_IPC_BODY_WRITE_H
#include "columns/ipc_schema.h"

typedef struct tn_ipc_part {
  const void *data;
  int64_t bytes;
  void *owned; /* data, where it had to be made */
} tn_ipc_part;

typedef struct tn_ipc_pair { /* a node {rows, nulls}, or a buffer's place {offset, bytes} */
  int64_t first, second;
} tn_ipc_pair;

/* Where the values of an array's dictionary lie in that which is written. */
typedef struct tn_ipc_places {
  int64_t *of; /* NULL: each at its own place */
  int64_t count;
} tn_ipc_places;

typedef struct tn_ipc_parts {  /* all zero is empty */
  const tn_ipc_places *places; /* by number of the dictionary; NULL: each value at its own place */
  tn_ipc_pair *nodes;
  tn_ipc_part *parts;
  int64_t *views; /* data buffers of each view array */
  size_t node_count, node_capacity, part_count, part_capacity, view_count, view_capacity;
} tn_ipc_parts;

/* Appends rows [from, from + rows) of `a`, a valid array of the node's type that outlives the
 * parts.  TN_ERR_ARGUMENT when it has not the shape of the type. */
TN_NODISCARD tn_status tn_ipc_parts_add(tn_ipc_parts *p, const tn_ipc_node *n, const ArrowArray *a,
                                        int64_t from, int64_t rows, tn_error *err);
void tn_ipc_parts_reset(tn_ipc_parts *p); /* empty; places and the lists' memory are kept */
void tn_ipc_parts_clear(tn_ipc_parts *p);

#endif
