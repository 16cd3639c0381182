/* ipc_body_read.h - a batch's nodes and buffers to arrays.
 *
 * A batch lists one node {rows, nulls} for each field in the order of the schema, depth first, and
 * the buffers of all nodes in the same order; a tn_ipc_cursor says how far one has come in both.
 * Columns that nobody wants are stepped over without a look at their bytes.
 *
 * Thread: one a tn_ipc_batch_reader; many may share schema and dictionaries that no longer change.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_BODY_READ_H
#define TN_COLUMNS_IPC_BODY_READ_H
#include "columns/array.h"
#include "columns/ipc_message.h"
#include "columns/ipc_schema.h"

typedef struct tn_ipc_cursor {
  uint32_t node, buffer, view;
} tn_ipc_cursor;

typedef struct tn_ipc_batch_reader {
  const tn_ipc_message *message;
  const tn_ipc_schema *schema;
  const char *what; /* "batch 3", for messages */
  /* The dictionary of that number as it is now; *out is borrowed until the next call. */
  tn_status (*dictionary)(void *context, int32_t number, tn_shared_array **out, tn_error *err);
  void *context;
  int64_t bytes_max; /* what may be decompressed */

  /* private */
  int64_t bytes_left, rows;
  int64_t listed_bytes; /* of the buffers so far that had to be copied */
  int32_t codec;        /* -1: none */
  tn_flat_vector nodes, buffers, views;
  tn_ipc_cursor at;
  const char *path[TN_FIELD_DEPTH_MAX + 2]; /* names of the fields above */
  int32_t depth;
} tn_ipc_batch_reader;

/* Columns picks[0..count) of the schema, in that order, as a batch. */
TN_NODISCARD tn_status tn_ipc_read_batch(tn_ipc_batch_reader *r, const int32_t *picks,
                                         int32_t count, ArrowArray *out, tn_error *err);
/* What a dictionary message holds: one column of the dictionary's values. */
TN_NODISCARD tn_status tn_ipc_read_values(tn_ipc_batch_reader *r, const tn_ipc_node *values,
                                          ArrowArray *out, tn_error *err);

#endif
