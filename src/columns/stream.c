/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "columns/arrow.h"

/* The interface asks for one thread at a time; Python's readers are shared by threads all the same,
 * so they take turns. */
typedef struct own_stream {
  pthread_mutex_t turn;
  tn_reader_ops ops;
  void *reader;
  tn_error last;
} own_stream;

static int errno_of(tn_status status) {
  switch (status) {
    case TN_OK:
      return 0;
    case TN_ERR_MEMORY:
      return ENOMEM;
    case TN_ERR_UNSUPPORTED:
      return ENOTSUP;
    case TN_ERR_NOT_FOUND:
      return ENOENT;
    case TN_ERR_INTERRUPTED:
      return EINTR;
    case TN_ERR_ARGUMENT:
    case TN_ERR_DATA:
    case TN_ERR_LIMIT:
      return EINVAL;
    default:
      return EIO;
  }
}

static tn_status status_of(int errnum) {
  switch (errnum) {
    case ENOMEM:
      return TN_ERR_MEMORY;
    case ENOSYS:
    case ENOTSUP:
      return TN_ERR_UNSUPPORTED;
    case ENOENT:
      return TN_ERR_NOT_FOUND;
    case EINTR:
      return TN_ERR_INTERRUPTED;
    case EINVAL:
      return TN_ERR_DATA;
    default:
      return TN_ERR_IO;
  }
}

static void begin_turn(own_stream *own) {
  pthread_mutex_lock(&own->turn);
  memset(&own->last, 0, sizeof own->last);
}

static tn_status end_turn(own_stream *own, tn_status status, tn_error *err) {
  if (err && status != TN_OK && status != TN_END) *err = own->last;
  pthread_mutex_unlock(&own->turn);
  return status;
}

static tn_status own_schema(ArrowArrayStream *s, ArrowSchema *out, tn_error *err) {
  own_stream *own = s->private_data;
  memset(out, 0, sizeof *out);
  begin_turn(own);
  return end_turn(own, own->ops.schema(own->reader, out, &own->last), err);
}

static tn_status own_next(ArrowArrayStream *s, ArrowArray *out, tn_error *err) {
  own_stream *own = s->private_data;
  memset(out, 0, sizeof *out);
  begin_turn(own);
  return end_turn(own, own->ops.next(own->reader, out, &own->last), err);
}

static int stream_get_schema(ArrowArrayStream *s, ArrowSchema *out) {
  return errno_of(own_schema(s, out, NULL));
}

static int stream_get_next(ArrowArrayStream *s, ArrowArray *out) {
  tn_status status = own_next(s, out, NULL);
  return status == TN_END ? 0 : errno_of(status); /* the end: 0 and out->release == NULL */
}

static const char *stream_last_error(ArrowArrayStream *s) {
  own_stream *own = s->private_data;
  return own->last.status == TN_OK ? NULL : own->last.text;
}

static void stream_release(ArrowArrayStream *s) {
  own_stream *own = s->private_data;
  own->ops.free(own->reader);
  pthread_mutex_destroy(&own->turn);
  tn_free(own);
  s->release = NULL;
}

tn_status tn_stream_new(ArrowArrayStream *out, const tn_reader_ops *ops, void *reader,
                        tn_error *err) {
  memset(out, 0, sizeof *out);
  own_stream *own = tn_alloc(1, sizeof *own);
  if (!own) {
    ops->free(reader);
    return tn_fail_memory(err, "Arrow stream", sizeof *own);
  }
  pthread_mutex_init(&own->turn, NULL);
  own->ops = *ops;
  own->reader = reader;
  *out = (ArrowArrayStream){stream_get_schema, stream_get_next, stream_last_error, stream_release,
                            own};
  return TN_OK;
}

void tn_stream_clear(ArrowArrayStream *stream) {
  if (stream && stream->release) stream->release(stream);
}

/* Of an own stream the words and the exact status are known; of a foreign one they are guessed. */
static tn_status foreign_result(ArrowArrayStream *s, int errnum, tn_error *err) {
  if (errnum == 0) return TN_OK;
  const char *text = s->get_last_error ? s->get_last_error(s) : NULL;
  return tn_fail(err, status_of(errnum), "Arrow stream: %s", text ? text : strerror(errnum));
}

tn_status tn_stream_schema(ArrowArrayStream *s, ArrowSchema *out, tn_error *err) {
  if (s->release == stream_release) return own_schema(s, out, err);
  memset(out, 0, sizeof *out);
  return foreign_result(s, s->get_schema(s, out), err);
}

tn_status tn_stream_next(ArrowArrayStream *s, ArrowArray *out, tn_error *err) {
  if (s->release == stream_release) return own_next(s, out, err);
  memset(out, 0, sizeof *out);
  TN_TRY(foreign_result(s, s->get_next(s, out), err));
  return out->release ? TN_OK : TN_END;
}
