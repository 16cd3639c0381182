/* weight_room.h - memory for packed weights, which lie one behind the other in large pieces: huge
 * pages cover those nearly whole, of single weights only what lies between their borders.
 *
 * Thread: take may be called by several at once. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WEIGHT_ROOM_H
#define TN_MODEL_WEIGHT_ROOM_H
#include <pthread.h>

#include "base/buffer.h"

typedef struct tn_weight_room {
  pthread_mutex_t lock;
  size_t piece_bytes; /* of pieces to come; larger where a weight is */
  tn_buffer *piece;   /* the last one; NULL: none yet */
  size_t used;        /* of it */
} tn_weight_room;

/* bytes: about what all weights take; pieces are no larger than that helps. */
void tn_weight_room_init(tn_weight_room *room, size_t bytes);
/* Zeroed room for `bytes` at *offset, a multiple of 64, of *buffer, which the caller then shares.
 */
TN_NODISCARD tn_status tn_weight_room_take(tn_weight_room *room, size_t bytes, tn_buffer **buffer,
                                           int64_t *offset, tn_error *err);
/* What was taken stays. */
void tn_weight_room_clear(tn_weight_room *room);

#endif
