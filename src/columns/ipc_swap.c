/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "columns/ipc_buffer.h"

enum { VIEW_INLINE_MAX = 12 };

static const struct {
  int32_t value_bytes, align;
} words_table[] = {
    [TN_IPC_WORDS_1] = {1, 1},      [TN_IPC_WORDS_2] = {2, 2},     [TN_IPC_WORDS_4] = {4, 4},
    [TN_IPC_WORDS_8] = {8, 8},      [TN_IPC_WORDS_16] = {16, 8},   [TN_IPC_WORDS_32] = {32, 8},
    [TN_IPC_WORDS_4_4_8] = {16, 8}, [TN_IPC_WORDS_VIEW] = {16, 8},
};

void tn_ipc_bytes_clear(tn_ipc_bytes *bytes) {
  tn_buffer_drop(bytes->owner);
  *bytes = (tn_ipc_bytes){0};
}

static void reverse(uint8_t *to, const uint8_t *from, int32_t count) {
  for (int32_t i = 0; i < count; i++) to[i] = from[count - 1 - i];
}

static void swap_view(uint8_t *to, const uint8_t *from) {
  uint32_t length;
  reverse(to, from, 4);
  memcpy(&length, to, 4);
  memcpy(to + 4, from + 4, 12);
  if (length <= VIEW_INLINE_MAX) return;
  reverse(to + 8, from + 8, 4);
  reverse(to + 12, from + 12, 4);
}

static void swap_value(uint8_t *to, const uint8_t *from, tn_ipc_words words) {
  switch (words) {
    case TN_IPC_WORDS_4_4_8:
      reverse(to, from, 4);
      reverse(to + 4, from + 4, 4);
      reverse(to + 8, from + 8, 8);
      break;
    case TN_IPC_WORDS_VIEW:
      swap_view(to, from);
      break;
    default:
      reverse(to, from, words_table[words].value_bytes);
  }
}

void tn_ipc_swap(uint8_t *to, const uint8_t *from, int64_t bytes, tn_ipc_words words) {
  int64_t step = words_table[words].value_bytes, i = 0;
  for (; i + step <= bytes; i += step) swap_value(to + i, from + i, words);
  if (i < bytes) memcpy(to + i, from + i, (size_t)(bytes - i));
}

/* Takes the place of *b with `copy`, which it holds from now on. */
static void replace(tn_ipc_bytes *b, tn_buffer *copy) {
  int64_t bytes = b->bytes;
  tn_ipc_bytes_clear(b);
  *b = (tn_ipc_bytes){copy, copy->data, bytes};
}

tn_status tn_ipc_swap_bytes(tn_ipc_bytes *b, tn_ipc_words words, tn_error *err) {
  tn_buffer *copy;
  if (words == TN_IPC_WORDS_1 || b->bytes == 0) return TN_OK;
  TN_TRY(tn_buffer_new(&copy, (size_t)b->bytes, err));
  tn_ipc_swap(copy->data, b->data, b->bytes, words);
  replace(b, copy);
  return TN_OK;
}

tn_status tn_ipc_align_bytes(tn_ipc_bytes *b, tn_ipc_words words, tn_error *err) {
  tn_buffer *copy;
  if (b->bytes == 0 || (uintptr_t)b->data % (uintptr_t)words_table[words].align == 0) return TN_OK;
  TN_TRY(tn_buffer_new(&copy, (size_t)b->bytes, err));
  memcpy(copy->data, b->data, (size_t)b->bytes);
  replace(b, copy);
  return TN_OK;
}
