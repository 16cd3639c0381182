/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weight_room.h"

#include "base/mem.h"
#include "kernels/pack.h"

enum { ALIGN = 64, PIECE_MIN = 1 << 20, PIECE_MAX = 64 << 20 };

void tn_weight_room_init(tn_weight_room *room, size_t bytes) {
  *room = (tn_weight_room){.piece_bytes = bytes < PIECE_MIN   ? PIECE_MIN
                                          : bytes > PIECE_MAX ? PIECE_MAX
                                                              : bytes};
  pthread_mutex_init(&room->lock, NULL);
}

/* Room in the last piece, or in a new one. */
static tn_status make_room(tn_weight_room *room, size_t bytes, tn_error *err) {
  if (room->piece && bytes <= room->piece->bytes - room->used) return TN_OK;
  tn_buffer *piece;
  TN_TRY(tn_pack_buffer_new(&piece, bytes > room->piece_bytes ? bytes : room->piece_bytes, err));
  tn_buffer_drop(room->piece);
  room->piece = piece;
  room->used = 0;
  return TN_OK;
}

tn_status tn_weight_room_take(tn_weight_room *room, size_t bytes, tn_buffer **buffer,
                              int64_t *offset, tn_error *err) {
  size_t whole;
  if (!tn_add_size(bytes, ALIGN - 1, &whole)) return tn_fail_memory(err, "a weight", bytes);
  whole = whole / ALIGN * ALIGN;
  pthread_mutex_lock(&room->lock);
  tn_status status = make_room(room, whole, err);
  if (status == TN_OK) {
    *buffer = tn_buffer_share(room->piece);
    *offset = (int64_t)room->used;
    room->used += whole;
  }
  pthread_mutex_unlock(&room->lock);
  return status;
}

void tn_weight_room_clear(tn_weight_room *room) {
  tn_buffer_drop(room->piece);
  pthread_mutex_destroy(&room->lock);
}
