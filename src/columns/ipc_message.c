/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_message.h"

#include "columns/ipc_format.h"

enum { PIPE_STEP_BYTES = 16 << 20, METADATA_BYTES_LEAST = 8 };

tn_status tn_ipc_check_version(const char *name, int64_t version, int64_t oldest, tn_error *err) {
  if (version >= oldest && version <= TN_IPC_VERSION_5) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: Arrow metadata version V%lld; V4 and V5 are known",
                 name, (long long)version + 1);
}

static tn_status bad_message(const tn_ipc_message *m, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s: the message at byte %lld: %s", m->source->name,
                 (long long)m->at, what);
}

static tn_status parse(tn_ipc_message *m, tn_error *err) {
  tn_flat_table t = tn_flat_root(&m->view);
  if (m->view.bad) return bad_message(m, "its metadata is malformed", err);
  m->version = (int32_t)tn_flat_int(&t, TN_IPC_MESSAGE_VERSION, 2, 0);
  TN_TRY(tn_ipc_check_version(m->source->name, m->version, TN_IPC_VERSION_4, err));
  m->kind = (uint8_t)tn_flat_int(&t, TN_IPC_MESSAGE_HEADER_TYPE, 1, 0);
  m->header = tn_flat_get_table(&t, TN_IPC_MESSAGE_HEADER);
  m->body_bytes = tn_flat_int(&t, TN_IPC_MESSAGE_BODY_BYTES, 8, 0);
  if (m->view.bad || !m->header.view) return bad_message(m, "its metadata is malformed", err);
  if (m->body_bytes < 0) return bad_message(m, "a body of less than no bytes", err);
  return TN_OK;
}

static tn_status new_message(tn_ipc_message **out, tn_source *source, int64_t at, tn_error *err) {
  tn_ipc_message *m = tn_alloc(1, sizeof *m);
  if (!m) return tn_fail_memory(err, "an Arrow IPC message", sizeof *m);
  m->source = source;
  m->at = at;
  *out = m;
  return TN_OK;
}

void tn_ipc_message_free(tn_ipc_message *message) {
  if (!message) return;
  tn_buffer_drop(message->metadata);
  tn_buffer_drop(message->body);
  tn_free(message);
}

/* ---- in order ---- */
/* Up to `bytes`, fewer only at the end. */
static tn_status read_some(tn_ipc_input *in, void *dst, size_t bytes, size_t *got, tn_error *err) {
  char *to = dst;
  size_t done = 0;
  while (done < bytes && in->head_used < in->head_count) to[done++] = in->head[in->head_used++];
  for (size_t n = 1; done < bytes && n > 0; done += n) {
    n = 0;
    TN_TRY(in->source->read(in->source, to + done, bytes - done, &n, err));
  }
  *got = done;
  return TN_OK;
}

static tn_status ends_early(const tn_ipc_input *in, const char *what, int64_t want, int64_t got,
                            tn_error *err) {
  return tn_fail(err, TN_ERR_DATA,
                 "%s: %s at byte %lld wants %lld bytes, but there are %lld: is it truncated?",
                 in->source->name, what, (long long)in->position, (long long)want, (long long)got);
}

/* `bytes` from a pipe into a fresh buffer that grows with what has really come: a size that a
 * hostile stream claims costs nothing. */
static tn_status read_pipe(tn_ipc_input *in, const char *what, int64_t bytes, tn_buffer **out,
                           tn_error *err) {
  int64_t room = bytes < PIPE_STEP_BYTES ? bytes : PIPE_STEP_BYTES, have = 0;
  tn_buffer *buffer;
  TN_TRY(tn_buffer_new(&buffer, (size_t)room, err));
  for (;;) {
    size_t got = 0;
    tn_status status = read_some(in, (char *)buffer->data + have, (size_t)(room - have), &got, err);
    have += (int64_t)got;
    if (status == TN_OK && have < room) status = ends_early(in, what, bytes, have, err);
    if (status == TN_OK && have == bytes) break;
    tn_buffer *wider = NULL;
    room = room > bytes / 2 ? bytes : 2 * room;
    if (status == TN_OK) status = tn_buffer_new(&wider, (size_t)room, err);
    if (status == TN_OK) memcpy(wider->data, buffer->data, (size_t)have);
    tn_buffer_drop(buffer);
    if (status != TN_OK) return status;
    buffer = wider;
  }
  *out = buffer;
  return TN_OK;
}

static bool is_pipe(const tn_ipc_input *in) {
  return in->source->size_bytes < 0;
}

static tn_status check_left(const tn_ipc_input *in, const char *what, int64_t bytes,
                            tn_error *err) {
  int64_t left = in->source->size_bytes - in->position;
  return bytes <= left ? TN_OK : ends_early(in, what, bytes, left, err);
}

/* The next `bytes` as a buffer; *data points into it. */
static tn_status take(tn_ipc_input *in, const char *what, int64_t bytes, tn_buffer **out,
                      const uint8_t **data, tn_error *err) {
  if (is_pipe(in)) {
    TN_TRY(read_pipe(in, what, bytes, out, err));
    *data = (*out)->data;
  } else {
    TN_TRY(check_left(in, what, bytes, err));
    TN_TRY(in->source->view_at(in->source, in->position, (size_t)bytes, out, data, err));
  }
  in->position += bytes;
  return TN_OK;
}

/* One little-endian word; TN_END where nothing is left. */
static tn_status take_word(tn_ipc_input *in, int32_t *word, tn_error *err) {
  size_t got = 4;
  if (is_pipe(in)) {
    TN_TRY(read_some(in, word, 4, &got, err));
  } else {
    int64_t left = in->source->size_bytes - in->position;
    got = left < 4 ? (size_t)left : 4;
    TN_TRY(in->source->read_at(in->source, in->position, word, got, err));
  }
  if (got == 0) return TN_END;
  if (got < 4) return ends_early(in, "a message", 4, (int64_t)got, err);
  in->position += 4;
  return TN_OK;
}

/* The size of the metadata; TN_END at a size of zero. */
static tn_status take_size(tn_ipc_input *in, int64_t *bytes, tn_error *err) {
  int64_t start = in->position;
  int32_t word;
  TN_TRY(take_word(in, &word, err));
  if (word == -1) {
    tn_status status = take_word(in, &word, err);
    if (status == TN_END) return ends_early(in, "a message", 4, 0, err);
    TN_TRY(status);
  }
  if (word == 0) return TN_END;
  if (word < METADATA_BYTES_LEAST)
    return tn_fail(err, TN_ERR_DATA, "%s: a message of %d bytes at byte %lld", in->source->name,
                   word, (long long)start);
  if (word > TN_IPC_METADATA_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT,
                   "%s: the message at byte %lld has %d bytes of metadata, limit %lld",
                   in->source->name, (long long)start, word, (long long)TN_IPC_METADATA_BYTES_MAX);
  *bytes = word;
  return TN_OK;
}

static tn_status take_body(tn_ipc_input *in, tn_ipc_message *m, tn_error *err) {
  m->body_at = in->position;
  if (!is_pipe(in)) {
    TN_TRY(check_left(in, "a message's body", m->body_bytes, err));
    in->position += m->body_bytes;
    return TN_OK;
  }
  if (m->body_bytes > TN_IPC_PIPE_BODY_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT,
                   "%s: the message at byte %lld has a body of %lld bytes, limit %lld from a pipe",
                   in->source->name, (long long)m->at, (long long)m->body_bytes,
                   (long long)TN_IPC_PIPE_BODY_BYTES_MAX);
  return take(in, "a message's body", m->body_bytes, &m->body, &m->body_data, err);
}

tn_status tn_ipc_message_next(tn_ipc_message **out, tn_ipc_input *in, tn_error *err) {
  int64_t bytes = 0, start = in->position;
  tn_ipc_message *m = NULL;
  TN_TRY(take_size(in, &bytes, err));
  TN_TRY(new_message(&m, in->source, start, err));
  const uint8_t *data;
  tn_status status = take(in, "a message", bytes, &m->metadata, &data, err);
  if (status == TN_OK) {
    m->view = (tn_flat_view){data, (size_t)bytes, false};
    status = parse(m, err);
  }
  if (status == TN_OK) status = take_body(in, m, err);
  if (status == TN_OK)
    *out = m;
  else
    tn_ipc_message_free(m);
  return status;
}

/* ---- at a place that a footer gives ---- */
/* Skips the prefix: 0xffffffff and a size, or only a size. */
static tn_status unwrap(tn_ipc_message *m, const uint8_t *data, int64_t bytes, tn_error *err) {
  int32_t prefix[2];
  memcpy(prefix, data, 8);
  int64_t skip = prefix[0] == -1 ? 8 : 4;
  int64_t message_bytes = prefix[0] == -1 ? prefix[1] : prefix[0];
  if (message_bytes < METADATA_BYTES_LEAST || message_bytes > bytes - skip)
    return bad_message(m, "it does not fit where the footer puts it", err);
  m->view = (tn_flat_view){data + skip, (size_t)message_bytes, false};
  return TN_OK;
}

static tn_status load_at(tn_ipc_message *m, int64_t metadata_bytes, int64_t body_bytes,
                         tn_error *err) {
  const uint8_t *data;
  TN_TRY(m->source->view_at(m->source, m->at, (size_t)metadata_bytes, &m->metadata, &data, err));
  TN_TRY(unwrap(m, data, metadata_bytes, err));
  TN_TRY(parse(m, err));
  /* The footer's word counts: old writers padded the body without saying so in the message. */
  m->body_at = m->at + metadata_bytes;
  m->body_bytes = body_bytes;
  return TN_OK;
}

tn_status tn_ipc_message_at(tn_ipc_message **out, tn_source *source, const char *what, int64_t at,
                            int64_t metadata_bytes, int64_t body_bytes, tn_error *err) {
  int64_t size = source->size_bytes;
  if (at < TN_IPC_MAGIC_BYTES || at > size || metadata_bytes < 8 + METADATA_BYTES_LEAST ||
      metadata_bytes > TN_IPC_METADATA_BYTES_MAX || metadata_bytes > size - at || body_bytes < 0 ||
      body_bytes > size - at - metadata_bytes)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: %s: the footer puts it outside the file (%lld and %lld bytes at byte %lld "
                   "of %lld)",
                   source->name, what, (long long)metadata_bytes, (long long)body_bytes,
                   (long long)at, (long long)size);
  tn_ipc_message *m = NULL;
  TN_TRY(new_message(&m, source, at, err));
  tn_status status = load_at(m, metadata_bytes, body_bytes, err);
  if (status == TN_OK)
    *out = m;
  else
    tn_ipc_message_free(m);
  return status;
}

/* ---- bodies ---- */
tn_status tn_ipc_message_load(tn_ipc_message *m, tn_error *err) {
  if (m->body || m->body_bytes == 0) return TN_OK;
  return m->source->view_at(m->source, m->body_at, (size_t)m->body_bytes, &m->body, &m->body_data,
                            err);
}

tn_status tn_ipc_message_range(const tn_ipc_message *m, int64_t offset, int64_t bytes,
                               tn_buffer **out, const uint8_t **data, tn_error *err) {
  if (!m->body)
    return m->source->view_at(m->source, m->body_at + offset, (size_t)bytes, out, data, err);
  *out = tn_buffer_share(m->body);
  *data = m->body_data + offset;
  return TN_OK;
}
