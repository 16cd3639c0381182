/* ipc_message.h - one encapsulated message: found, framed, its header taken apart.
 *
 *     0xffffffff | int32 metadata bytes | Message table, padded | body
 *
 * Files before Arrow 0.15 lack the first word.  A message holds its metadata; the body of a source
 * of known size stays there until it is asked for, range by range, so that what nobody wants is
 * never read; from a pipe it comes along.
 *
 * Thread: a message belongs to one thread at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_MESSAGE_H
#define TN_COLUMNS_IPC_MESSAGE_H
#include "base/io.h"
#include "columns/flatbuf.h"

typedef struct tn_ipc_message {
  tn_source *source;   /* borrowed */
  int64_t at;          /* byte where it begins */
  tn_buffer *metadata; /* what `view` shows */
  tn_flat_view view;
  int32_t version, kind; /* TN_IPC_VERSION_*, TN_IPC_HEADER_* */
  tn_flat_table header;
  int64_t body_at, body_bytes;
  tn_buffer *body; /* NULL: still in the source */
  const uint8_t *body_data;
} tn_ipc_message;

/* Messages one after another, from a pipe too. */
typedef struct tn_ipc_input {
  tn_source *source; /* borrowed */
  int64_t position;  /* of the next message */
  char head[8];      /* of a pipe: bytes read ahead to tell file from stream */
  int32_t head_count, head_used;
} tn_ipc_input;

/* The next message; TN_END at the mark of the end and where the source ends between two messages.
 * The caller frees *out. */
TN_NODISCARD tn_status tn_ipc_message_next(tn_ipc_message **out, tn_ipc_input *in, tn_error *err);
/* The message of a footer's block, which gives its place; `what` names it in errors ("batch 3"). */
TN_NODISCARD tn_status tn_ipc_message_at(tn_ipc_message **out, tn_source *source, const char *what,
                                         int64_t at, int64_t metadata_bytes, int64_t body_bytes,
                                         tn_error *err);
void tn_ipc_message_free(tn_ipc_message *message); /* NULL is fine */

/* Holds the whole body from now on: one read instead of many where the source is not mapped. */
TN_NODISCARD tn_status tn_ipc_message_load(tn_ipc_message *message, tn_error *err);
/* Bytes of the body, within it; the caller drops *out. */
TN_NODISCARD tn_status tn_ipc_message_range(const tn_ipc_message *message, int64_t offset,
                                            int64_t bytes, tn_buffer **out, const uint8_t **data,
                                            tn_error *err);
/* "t.arrow: ...": TN_ERR_UNSUPPORTED beyond V4 and V5; `oldest` may be less where writers never set
 * it. */
TN_NODISCARD tn_status tn_ipc_check_version(const char *name, int64_t version, int64_t oldest,
                                            tn_error *err);

#endif
