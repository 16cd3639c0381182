/* http_client.h - HTTP requests out, over libcurl: GET, POST, and POST with a streamed answer.
 *
 * A client keeps its connection open between requests.  An HTTP error status is not an error of the
 * call: it is in the answer.  Proxies and redirects are not followed; only http and https are
 * spoken.
 *
 * Thread: one at a time a client; several clients at once are fine. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_NET_HTTP_CLIENT_H
#define TN_NET_HTTP_CLIENT_H
#include "base/str.h"
#include "net/sse.h"

typedef struct tn_http_client tn_http_client;

typedef struct tn_http_client_options { /* zero: the default */
  int32_t connect_ms;                   /* default 5,000 */
  int32_t silence_ms;                   /* default 60,000: give up when nothing comes for so long */
  int64_t answer_bytes_max;             /* default 64 MiB; of a body that is kept */
} tn_http_client_options;

typedef struct tn_http_answer { /* all zero is valid; clear frees; reusable */
  int32_t status;
  tn_strbuf body;    /* of a stream: only when it was no event stream */
  tn_strbuf headers; /* as received, for messages and tests */
} tn_http_answer;

TN_NODISCARD tn_status tn_http_client_new(tn_http_client **out,
                                          const tn_http_client_options *options, tn_error *err);
void tn_http_client_free(tn_http_client *client);
void tn_http_answer_clear(tn_http_answer *answer);

/* TN_ERR_IO names the URL and what went wrong. */
TN_NODISCARD tn_status tn_http_get(tn_http_client *client, const char *url, tn_http_answer *answer,
                                   tn_error *err);
TN_NODISCARD tn_status tn_http_post(tn_http_client *client, const char *url, const char *type,
                                    tn_str body, tn_http_answer *answer, tn_error *err);
/* As post; the data of each server-sent event of a 200 answer goes to on_event.  TN_END: the
 * callback said stop, and the connection is closed. */
TN_NODISCARD tn_status tn_http_post_stream(tn_http_client *client, const char *url,
                                           const char *type, tn_str body, tn_sse_event on_event,
                                           void *context, tn_http_answer *answer, tn_error *err);

#endif
