/* sse.h - reads server-sent events (https://html.spec.whatwg.org/#server-sent-events) from chunks.
 *
 * Bytes come in pieces of any size; each blank line ends an event, whose data lines are joined by
 * newlines.  Only `data` matters here; other fields and comments are skipped.  Lines end with LF or
 * CRLF.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_NET_SSE_H
#define TN_NET_SSE_H
#include "base/str.h"

typedef bool (*tn_sse_event)(void *context, tn_str data); /* false: stop */

typedef struct tn_sse { /* all zero is valid */
  tn_strbuf line, data;
  bool has_data;
  size_t bytes_max; /* of a line, and of an event; 0: 1 MiB */
} tn_sse;

/* Calls on_event for each whole event.  TN_END: the callback said stop; TN_ERR_LIMIT: a line or an
 * event beyond bytes_max. */
TN_NODISCARD tn_status tn_sse_feed(tn_sse *sse, tn_str bytes, tn_sse_event on_event, void *context,
                                   tn_error *err);
void tn_sse_clear(tn_sse *sse);

#endif
