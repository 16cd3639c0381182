/* ipc_buffer.h - one buffer of a batch on its way in: found, decompressed, swapped, aligned.
 *
 * Without compression, in our byte order and well aligned it stays a view of what the source gave:
 * no copy.
 *
 * Thread: any; nothing is shared. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_BUFFER_H
#define TN_COLUMNS_IPC_BUFFER_H
#include "base/buffer.h"

typedef struct tn_ipc_bytes {
  tn_buffer *owner; /* holds `data`; NULL: none */
  const uint8_t *data;
  int64_t bytes;
} tn_ipc_bytes;

void tn_ipc_bytes_clear(tn_ipc_bytes *bytes);

/* What a value of a buffer is made of, for another byte order and for alignment. */
typedef enum tn_ipc_words {
  TN_IPC_WORDS_1, /* bits, text, bytes: nothing to swap */
  TN_IPC_WORDS_2,
  TN_IPC_WORDS_4,
  TN_IPC_WORDS_8,
  TN_IPC_WORDS_16, /* a decimal is one number */
  TN_IPC_WORDS_32,
  TN_IPC_WORDS_4_4_8, /* month, day, nanoseconds */
  TN_IPC_WORDS_VIEW   /* length, then text of up to 12 bytes or prefix, buffer and offset */
} tn_ipc_words;

/* Bytes reversed word by word; a rest shorter than a value is copied. */
void tn_ipc_swap(uint8_t *to, const uint8_t *from, int64_t bytes, tn_ipc_words words);
/* Replaces *b by a swapped copy. */
TN_NODISCARD tn_status tn_ipc_swap_bytes(tn_ipc_bytes *b, tn_ipc_words words, tn_error *err);
/* Replaces *b by an aligned copy where it needs one. */
TN_NODISCARD tn_status tn_ipc_align_bytes(tn_ipc_bytes *b, tn_ipc_words words, tn_error *err);

/* codec: TN_IPC_CODEC_*.  *left is what may still be decompressed in this batch, of `limit`. */
TN_NODISCARD tn_status tn_ipc_decompress(tn_ipc_bytes *b, int32_t codec, int64_t *left,
                                         int64_t limit, tn_error *err);

/* The other way: *out is bytes with their length in front, or those of `b` behind a length of -1
 * where compression gains nothing.  The caller frees *out. */
typedef struct tn_ipc_compressor tn_ipc_compressor;
TN_NODISCARD tn_status tn_ipc_compressor_new(tn_ipc_compressor **out, int32_t codec, int32_t level,
                                             tn_error *err);
void tn_ipc_compressor_free(tn_ipc_compressor *c);
TN_NODISCARD tn_status tn_ipc_compress(tn_ipc_compressor *c, const void *data, int64_t bytes,
                                       void **out, int64_t *out_bytes, tn_error *err);

#endif
