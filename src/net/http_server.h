/* http_server.h - HTTP/1.1 for APIs: routes, whole bodies, plain answers and long streams.
 *
 * A small seam over libmicrohttpd.  A handler runs on one of the server's threads once the whole
 * body has arrived.  It answers at once (tn_http_reply), or keeps the exchange (tn_http_share) and
 * lets another thread answer or feed a stream later; meanwhile the connection costs no thread.
 *
 *     handler --share--> engine thread --write--> [bounded bytes] --http thread--> socket
 *
 * One invariant: every exchange gets exactly one answer.  When the last holder drops an exchange
 * that nobody answered, the server answers 500 (or cuts the stream).  A client that leaves, or
 * reads too slowly for its stream's bound, makes tn_http_gone true, within about 100 ms; whoever
 * produces for it should look and stop.
 *
 * Thread: calls on an exchange from any thread; the server itself from its owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_NET_HTTP_SERVER_H
#define TN_NET_HTTP_SERVER_H
#include "base/str.h"

typedef struct tn_http_server tn_http_server;
typedef struct tn_http_exchange tn_http_exchange;
typedef void (*tn_http_handler)(void *context, tn_http_exchange *x);

typedef struct tn_http_route {
  const char *method; /* "GET" (which answers HEAD too), "POST" ...; NULL ends the table */
  const char *path;   /* compared whole, without the query */
  tn_http_handler handle;
  void *context;
} tn_http_route;

typedef struct tn_http_server_options { /* zero: the default */
  const char *host;                     /* default "127.0.0.1": nobody but this machine */
  int32_t port;                         /* 0: any free one, see tn_http_server_port */
  int32_t threads;                      /* default 2 */
  int32_t connections_max;              /* default 1,024; more wait in the listen backlog */
  int32_t idle_seconds;                 /* default 30: no byte either way */
  int32_t receive_seconds;              /* default 60: from the headers to the end of the body */
  int64_t body_bytes_max;               /* default 4 MiB; beyond: 413 */
  int64_t stream_bytes_max;             /* default 256 KiB: written to a stream but not yet sent */
  int32_t send_buffer_bytes;            /* default 128 KiB: the kernel's part of a stream's bound */
  /* Writes the body (application/json) of the server's own answers: 404, 405, 413, 500.  NULL:
   * plain
   * {"error": ...}.  Any server thread. */
  void (*error_body)(void *context, int32_t status, const char *text, tn_strbuf *out);
  /* Called once an exchange is over.  `path` is the route's, NULL when none matched; `whole` says
   * whether the client took the complete answer.  Any server thread. */
  void (*observe)(void *context, const char *path, int32_t status, int64_t duration_us, bool whole);
  void *context;
} tn_http_server_options;

/* Binds, listens and serves.  `routes` must outlive the server.  A taken port is TN_ERR_IO naming
 * host and port. */
TN_NODISCARD tn_status tn_http_server_open(tn_http_server **out, const tn_http_route *routes,
                                           const tn_http_server_options *options, tn_error *err);
int32_t tn_http_server_port(const tn_http_server *server);
int32_t tn_http_server_exchanges(tn_http_server *server); /* not yet over */
/* Accepts no more connections, waits up to wait_ms for the exchanges at work, cuts the rest, frees.
 * Holders may keep (and must drop) exchanges beyond this call.  NULL is fine. */
void tn_http_server_close(tn_http_server *server, int32_t wait_ms);

/* ---- what was asked; valid while the exchange is held
 * ---------------------------------------------- */
tn_str tn_http_body(const tn_http_exchange *x);
const char *tn_http_path(const tn_http_exchange *x);
/* Valid only inside the handler; NULL: not there. */
const char *tn_http_header(const tn_http_exchange *x, const char *name);
const char *tn_http_query(const tn_http_exchange *x, const char *name);

/* ---- answering
 * ---------------------------------------------------------------------------------------- */
tn_http_exchange *tn_http_share(tn_http_exchange *x); /* one more holder; returns its argument */
void tn_http_drop(tn_http_exchange *x);
bool tn_http_gone(const tn_http_exchange *x); /* nobody will read what is written from now on */

/* Before the answer; at most 8, value cut at 127 bytes. */
void tn_http_set_header(tn_http_exchange *x, const char *literal_name, const char *value);
/* Copies `body`.  Only the first answer counts.  Out of memory becomes an empty 500. */
void tn_http_reply(tn_http_exchange *x, int32_t status, const char *literal_type, tn_str body);
void tn_http_reply_json(tn_http_exchange *x, int32_t status, tn_str body);

/* A 200 with chunked encoding.  Then write as often as you like and end once. */
void tn_http_stream_begin(tn_http_exchange *x, const char *literal_type);
/* TN_FULL: the client is too slow, its bound is reached: the stream is cut and the exchange is
 * gone. TN_END: it was gone already.  Never waits. */
tn_status tn_http_stream_write(tn_http_exchange *x, tn_str bytes);
void tn_http_stream_end(tn_http_exchange *x);
/* "data: <payload>\n\n"; the payload must be one line. */
tn_status tn_http_stream_event(tn_http_exchange *x, tn_str payload);

#endif
