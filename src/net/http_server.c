/* http_server.c - the seam over libmicrohttpd.
 *
 * Three parties touch an exchange: the server thread that owns its connection, the holders that
 * answer it, and the watcher that looks every 100 ms whether clients of waiting exchanges are still
 * there (a suspended connection is in no poll set, so libmicrohttpd would not notice).  Locks: the
 * server's list lock, then an exchange's own; never the other way round. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

enum {
  WATCH_MS = 100,
  HEADERS_MAX = 8,
  HEADER_VALUE_BYTES = 128,
  /* Room for one request's headers and one chunk of an answer. */
  CONNECTION_MEMORY_BYTES = 32 * 1024,
  /* A body over the limit is read and thrown away up to this many bytes, because a client that is
   * still sending sees a reset instead of the 413. */
  DISCARD_BYTES_MAX = 64 * 1024 * 1024,
};

struct tn_http_exchange {
  tn_http_server *server;            /* valid while !over */
  struct MHD_Connection *connection; /* valid while !over */
  tn_http_exchange *previous, *next; /* the server's list, under its lock */
  const tn_http_route *route;
  char *path;
  int64_t started_us, stream_bytes_max;
  int fd;

  /* written by the server thread before the handler runs, then constant */
  tn_strbuf body;
  uint64_t body_bytes; /* received, kept or not */
  bool too_long;

  atomic_bool gone;
  atomic_bool dispatched;
  pthread_mutex_t lock; /* guards all below */
  int32_t holders;
  bool over; /* libmicrohttpd has let go of it */
  bool suspended;
  bool answered; /* the answer, or the start of the stream, is set */
  bool streaming, ended;
  int32_t status;
  const char *content_type;
  tn_strbuf answer; /* the whole answer, or what the stream has not sent yet */
  size_t sent;      /* bytes of `answer` that a stream has handed on */
  int32_t header_count;
  struct {
    const char *name;
    char value[HEADER_VALUE_BYTES];
  } headers[HEADERS_MAX];
};

struct tn_http_server {
  tn_http_server_options options;
  const tn_http_route *routes;
  struct MHD_Daemon *daemon;
  int listen_fd;
  int32_t port;
  pthread_t watcher;
  bool watching;
  struct pollfd *polled; /* the watcher's, connections_max */
  tn_http_exchange **polled_exchanges;
  atomic_bool stopping; /* no connection may be suspended any more */

  pthread_mutex_t lock; /* guards all below */
  pthread_cond_t changed;
  tn_http_exchange *first;
  int32_t count;
};

/* ---- exchange: life
 * ----------------------------------------------------------------------------------- */

static tn_http_exchange *exchange_new(tn_http_server *server, struct MHD_Connection *connection,
                                      const char *path) {
  tn_http_exchange *x = tn_alloc(1, sizeof *x);
  if (!x) return NULL;
  x->path = tn_strndup(path, strlen(path));
  if (!x->path) {
    tn_free(x);
    return NULL;
  }
  x->server = server;
  x->connection = connection;
  x->started_us = tn_time_us();
  x->stream_bytes_max = server->options.stream_bytes_max;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  x->fd = info ? info->connect_fd : -1;
  pthread_mutex_init(&x->lock, NULL);
  pthread_mutex_lock(&server->lock);
  x->next = server->first;
  if (x->next) x->next->previous = x;
  server->first = x;
  server->count++;
  pthread_mutex_unlock(&server->lock);
  return x;
}

static void exchange_free(tn_http_exchange *x) {
  pthread_mutex_destroy(&x->lock);
  tn_strbuf_clear(&x->body);
  tn_strbuf_clear(&x->answer);
  tn_free(x->path);
  tn_free(x);
}

static void wake(tn_http_exchange *x) { /* x->lock is held */
  if (x->over || !x->suspended) return;
  x->suspended = false;
  MHD_resume_connection(x->connection);
}

static void set_gone(tn_http_exchange *x) {
  pthread_mutex_lock(&x->lock);
  atomic_store(&x->gone, true);
  wake(x);
  pthread_mutex_unlock(&x->lock);
}

/* ---- the server's own answers
 * ----------------------------------------------------------------------- */

static void default_error_body(const char *text, tn_strbuf *out) {
  tn_json_writer w = {.out = out};
  tn_json_begin_object(&w);
  tn_json_key(&w, "error");
  tn_json_cstr(&w, text);
  tn_json_end_object(&w);
}

static void answer_error(tn_http_exchange *x, int32_t status, const char *text) {
  const tn_http_server_options *options = &x->server->options;
  tn_strbuf body = {0};
  if (options->error_body) {
    options->error_body(options->context, status, text, &body);
  } else {
    default_error_body(text, &body);
  }
  tn_http_reply_json(x, status, tn_strbuf_view(&body));
  tn_strbuf_clear(&body);
}

static void answer_too_long(tn_http_exchange *x) {
  char text[160];
  snprintf(text, sizeof text, "request body of %llu bytes, limit %lld bytes",
           (unsigned long long)x->body_bytes, (long long)x->server->options.body_bytes_max);
  answer_error(x, MHD_HTTP_CONTENT_TOO_LARGE, text);
}

/* The route for path and method; *allowed lists the methods that the path takes. */
static const tn_http_route *find_route(const tn_http_server *server, const char *path,
                                       const char *method, tn_strbuf *allowed) {
  if (strcmp(method, "HEAD") == 0) method = "GET";
  for (const tn_http_route *r = server->routes; r->method; r++) {
    if (strcmp(r->path, path) != 0) continue;
    if (strcmp(r->method, method) == 0) return r;
    tn_strbuf_addf(allowed, "%s%s", allowed->length ? ", " : "", r->method);
  }
  return NULL;
}

static void dispatch(tn_http_exchange *x, const char *method) {
  tn_strbuf allowed = {0}, text = {0};
  x->route = find_route(x->server, x->path, method, &allowed);
  if (x->too_long) {
    answer_too_long(x);
  } else if (x->body.failed) {
    answer_error(x, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory for the request body");
  } else if (x->route) {
    x->route->handle(x->route->context, x);
  } else if (allowed.length) {
    tn_http_set_header(x, "Allow", allowed.data);
    tn_strbuf_addf(&text, "%.40s is not allowed for %.200s, which takes %s", method, x->path,
                   allowed.data);
    answer_error(x, MHD_HTTP_METHOD_NOT_ALLOWED, text.failed ? "not allowed" : text.data);
  } else {
    tn_strbuf_addf(&text, "nothing at %.200s", x->path);
    answer_error(x, MHD_HTTP_NOT_FOUND, text.failed ? "not found" : text.data);
  }
  tn_strbuf_clear(&allowed);
  tn_strbuf_clear(&text);
}

/* ---- towards libmicrohttpd
 * ------------------------------------------------------------------------------ */

/* Hands the next bytes of a stream to its connection, or puts the connection to sleep. */
static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room) {
  tn_http_exchange *x = context;
  (void)position;
  ssize_t result = 0;
  pthread_mutex_lock(&x->lock);
  size_t left = x->answer.length - x->sent;
  if (atomic_load(&x->gone)) {
    result = MHD_CONTENT_READER_END_WITH_ERROR;
  } else if (left > 0) {
    size_t count = left < room ? left : room;
    memcpy(out, x->answer.data + x->sent, count);
    x->sent += count;
    if (x->sent == x->answer.length) {
      tn_strbuf_reset(&x->answer);
      x->sent = 0;
    }
    result = (ssize_t)count;
  } else if (x->ended) {
    result = MHD_CONTENT_READER_END_OF_STREAM;
  } else if (atomic_load(&x->server->stopping)) {
    result = MHD_CONTENT_READER_END_WITH_ERROR;
  } else {
    x->suspended = true;
    MHD_suspend_connection(x->connection);
  }
  pthread_mutex_unlock(&x->lock);
  return result;
}

/* What an answer consists of is constant once x->answered is seen.  Without x->lock: libmicrohttpd
 * holds the response's own lock around read_stream. */
static enum MHD_Result queue_answer(tn_http_exchange *x) {
  struct MHD_Response *response =
      x->streaming ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, x, NULL)
                   /* The exchange keeps the bytes until libmicrohttpd is done with the connection's
                      request. */
                   : MHD_create_response_from_buffer(x->answer.length,
                                                     x->answer.data ? x->answer.data : (char *)"",
                                                     MHD_RESPMEM_PERSISTENT);
  if (!response) return MHD_NO;
  if (x->content_type) MHD_add_response_header(response, "Content-Type", x->content_type);
  if (x->streaming) MHD_add_response_header(response, "Cache-Control", "no-cache");
  for (int32_t i = 0; i < x->header_count; i++) {
    MHD_add_response_header(response, x->headers[i].name, x->headers[i].value);
  }
  enum MHD_Result queued = MHD_queue_response(x->connection, (unsigned)x->status, response);
  MHD_destroy_response(response);
  return queued;
}

static enum MHD_Result answer_or_sleep(tn_http_exchange *x) {
  enum MHD_Result result = MHD_YES;
  pthread_mutex_lock(&x->lock);
  bool answered = x->answered;
  if (!answered && (atomic_load(&x->gone) || atomic_load(&x->server->stopping))) {
    result = MHD_NO;
  } else if (!answered) {
    x->suspended = true;
    MHD_suspend_connection(x->connection);
  }
  pthread_mutex_unlock(&x->lock);
  return answered ? queue_answer(x) : result;
}

static uint64_t announced_bytes(struct MHD_Connection *connection) {
  const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
  uint64_t bytes = 0;
  return text && tn_str_to_u64(tn_str_of(text), &bytes) ? bytes : 0;
}

/* The first call for a request: only the headers are there.  An answer queued here closes the
 * connection, so that is done only where the body must not come at all. */
static enum MHD_Result begin_request(tn_http_server *server, struct MHD_Connection *connection,
                                     const char *path, void **state) {
  tn_http_exchange *x = exchange_new(server, connection, path);
  if (!x) return MHD_NO;
  *state = x;
  uint64_t bytes = announced_bytes(connection);
  if (bytes <= (uint64_t)server->options.body_bytes_max) return MHD_YES;
  x->too_long = true;
  const char *expect = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Expect");
  if (!expect && bytes <= DISCARD_BYTES_MAX) return MHD_YES;
  x->body_bytes = bytes;
  answer_too_long(x);
  return answer_or_sleep(x);
}

static enum MHD_Result take_body(tn_http_exchange *x, const char *bytes, size_t *count) {
  x->body_bytes += *count;
  if (x->body_bytes > (uint64_t)x->server->options.body_bytes_max) {
    x->too_long = true;
    tn_strbuf_clear(&x->body);
    if (x->body_bytes > DISCARD_BYTES_MAX) return MHD_NO;
  } else {
    tn_strbuf_append(&x->body, bytes, *count);
  }
  *count = 0;
  return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_bytes, void **state) {
  (void)version;
  tn_http_exchange *x = *state;
  if (!x) return begin_request(context, connection, path, state);
  if (*upload_bytes > 0) return take_body(x, upload, upload_bytes);
  if (!atomic_load(&x->dispatched)) {
    pthread_mutex_lock(&x->lock);
    x->holders = 1;
    pthread_mutex_unlock(&x->lock);
    atomic_store(&x->dispatched, true);
    dispatch(x, method);
    tn_http_drop(x); /* never the last: !over */
  }
  return answer_or_sleep(x);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
  tn_http_server *server = context;
  tn_http_exchange *x = *state;
  (void)connection;
  if (!x) return;
  *state = NULL;
  pthread_mutex_lock(&server->lock);
  if (x->previous) x->previous->next = x->next;
  if (x->next) x->next->previous = x->previous;
  if (server->first == x) server->first = x->next;
  server->count--;
  pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->lock);

  bool whole = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
  pthread_mutex_lock(&x->lock);
  bool streaming = x->streaming, ended = x->ended;
  int32_t status = x->answered ? x->status : 499; /* nginx's number for a client that left */
  x->over = true;
  if (!whole || (streaming && !ended)) atomic_store(&x->gone, true);
  bool last = x->holders == 0;
  const char *path = x->route ? x->route->path : NULL;
  int64_t duration_us = tn_time_us() - x->started_us;
  pthread_mutex_unlock(&x->lock); /* from here on another holder may free it */
  const tn_http_server_options *options = &server->options;
  if (options->observe) {
    options->observe(options->context, path, status, duration_us, whole && !(streaming && !ended));
  }
  if (last) exchange_free(x);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
  const tn_http_server *server = context;
  (void)socket_context;
  if (code != MHD_CONNECTION_NOTIFY_STARTED) return;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (!info) return;
  int bytes = server->options.send_buffer_bytes;
  unsigned silent_ms = (unsigned)server->options.idle_seconds * 1000u;
  setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  /* A peer that vanished without a word (no FIN) acknowledges nothing. */
  setsockopt(info->connect_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
}

/* ---- the watcher
 * -------------------------------------------------------------------------------------- */

/* Looks at every socket once.  Under the list lock a listed exchange's descriptor is open:
 * on_completed unlists it before libmicrohttpd closes the socket. */
static void watch_once(tn_http_server *server) {
  int64_t now_us = tn_time_us();
  nfds_t count = 0;
  for (tn_http_exchange *x = server->first; x; x = x->next) {
    if (x->fd < 0) continue;
    bool late = !atomic_load(&x->dispatched) &&
                now_us - x->started_us > (int64_t)server->options.receive_seconds * 1000000;
    if (late || atomic_load(&x->gone)) shutdown(x->fd, SHUT_RDWR);
    if (!atomic_load(&x->dispatched) || atomic_load(&x->gone)) continue;
    if (count == (nfds_t)server->options.connections_max) break;
    server->polled[count] = (struct pollfd){.fd = x->fd, .events = POLLRDHUP};
    server->polled_exchanges[count++] = x;
  }
  if (count == 0 || poll(server->polled, count, 0) <= 0) return;
  for (nfds_t i = 0; i < count; i++) {
    if (server->polled[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) {
      set_gone(server->polled_exchanges[i]);
    }
  }
}

static struct timespec deadline_after_ms(int64_t ms) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  int64_t ns = t.tv_nsec + (ms % 1000) * 1000000;
  t.tv_sec += ms / 1000 + ns / 1000000000;
  t.tv_nsec = ns % 1000000000;
  return t;
}

static void *watch(void *context) {
  tn_http_server *server = context;
  pthread_mutex_lock(&server->lock);
  while (server->watching) {
    struct timespec until = deadline_after_ms(WATCH_MS);
    while (server->watching &&
           pthread_cond_timedwait(&server->changed, &server->lock, &until) != ETIMEDOUT) {
    }
    watch_once(server);
  }
  pthread_mutex_unlock(&server->lock);
  return NULL;
}

/* ---- open and close
 * ----------------------------------------------------------------------------------- */

static tn_status listen_on(const char *host, int32_t port, int *fd, int32_t *bound, int *family,
                           tn_error *err) {
  struct addrinfo hints = {
      .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
  struct addrinfo *found = NULL;
  char service[16];
  if (port < 0 || port > 65535) {
    return tn_fail(err, TN_ERR_ARGUMENT, "port %d, wants 0 to 65535", port);
  }
  snprintf(service, sizeof service, "%d", port);
  int rc = getaddrinfo(host, service, &hints, &found);
  if (rc != 0) return tn_fail(err, TN_ERR_IO, "host %s: %s", host, gai_strerror(rc));
  int s = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  tn_status status = TN_OK;
  if (s < 0) {
    status = tn_fail_errno(err, errno, "socket for %s", host);
  } else {
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, found->ai_addr, found->ai_addrlen) != 0 || listen(s, 1024) != 0) {
      status = tn_fail_errno(err, errno, "listening on %s port %d", host, port);
      close(s);
    }
  }
  *family = found->ai_family;
  freeaddrinfo(found);
  if (status != TN_OK) return status;
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  getsockname(s, (struct sockaddr *)&address, &length);
  *bound = ntohs(*family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                     : ((struct sockaddr_in *)&address)->sin_port);
  *fd = s;
  return TN_OK;
}

static void set_defaults(tn_http_server_options *o) {
  if (!o->host) o->host = "127.0.0.1";
  if (o->threads <= 0) o->threads = 2;
  if (o->connections_max <= 0) o->connections_max = 1024;
  if (o->connections_max < o->threads) o->connections_max = o->threads;
  if (o->idle_seconds <= 0) o->idle_seconds = 30;
  if (o->receive_seconds <= 0) o->receive_seconds = 60;
  if (o->body_bytes_max <= 0) o->body_bytes_max = 4 << 20;
  if (o->stream_bytes_max <= 0) o->stream_bytes_max = 256 << 10;
  if (o->send_buffer_bytes <= 0) o->send_buffer_bytes = 128 << 10;
}

static struct MHD_Daemon *start_daemon(tn_http_server *server, int family) {
  const tn_http_server_options *o = &server->options;
  struct MHD_OptionItem pool[2] = {{MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}};
  if (o->threads > 1)
    pool[0] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, o->threads, NULL};
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
  if (family == AF_INET6) flags |= MHD_USE_IPv6;
  return MHD_start_daemon(
      flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->listen_fd,
      MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
      (unsigned)o->idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
      (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
      MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
}

static void init_sync(tn_http_server *server) {
  pthread_condattr_t attributes;
  pthread_mutex_init(&server->lock, NULL);
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&server->changed, &attributes);
  pthread_condattr_destroy(&attributes);
}

static void server_free(tn_http_server *server) {
  pthread_cond_destroy(&server->changed);
  pthread_mutex_destroy(&server->lock);
  tn_free(server->polled);
  tn_free(server->polled_exchanges);
  tn_free(server);
}

tn_status tn_http_server_open(tn_http_server **out, const tn_http_route *routes,
                              const tn_http_server_options *options, tn_error *err) {
  tn_http_server *server = tn_alloc(1, sizeof *server);
  if (!server) return tn_fail_memory(err, "HTTP server", sizeof *server);
  if (options) server->options = *options;
  set_defaults(&server->options);
  server->routes = routes;
  init_sync(server);
  size_t slots = (size_t)server->options.connections_max;
  server->polled = tn_alloc(slots, sizeof *server->polled);
  server->polled_exchanges = tn_alloc(slots, sizeof *server->polled_exchanges);
  tn_status status = TN_OK;
  int family = AF_INET;
  if (!server->polled || !server->polled_exchanges) {
    status = tn_fail_memory(err, "HTTP server's connection table", slots * sizeof(struct pollfd));
    goto fail;
  }
  status = listen_on(server->options.host, server->options.port, &server->listen_fd, &server->port,
                     &family, err);
  if (status != TN_OK) goto fail;
  server->daemon = start_daemon(server, family);
  if (!server->daemon) {
    close(server->listen_fd);
    status = tn_fail(err, TN_ERR_IO, "libmicrohttpd did not start on %s port %d",
                     server->options.host, server->port);
    goto fail;
  }
  server->watching = true;
  if (pthread_create(&server->watcher, NULL, watch, server) != 0) {
    MHD_stop_daemon(server->daemon);
    status = tn_fail(err, TN_ERR_IO, "HTTP server: no thread for the watcher");
    goto fail;
  }
  *out = server;
  return TN_OK;
fail:
  server_free(server);
  return status;
}

int32_t tn_http_server_port(const tn_http_server *server) {
  return server->port;
}

int32_t tn_http_server_exchanges(tn_http_server *server) {
  pthread_mutex_lock(&server->lock);
  int32_t count = server->count;
  pthread_mutex_unlock(&server->lock);
  return count;
}

void tn_http_server_close(tn_http_server *server, int32_t wait_ms) {
  if (!server) return;
  int fd = MHD_quiesce_daemon(server->daemon);
  if (fd >= 0) close(fd);
  struct timespec until = deadline_after_ms(wait_ms);
  pthread_mutex_lock(&server->lock);
  while (server->count > 0 && wait_ms > 0 &&
         pthread_cond_timedwait(&server->changed, &server->lock, &until) != ETIMEDOUT) {
  }
  server->watching = false;
  pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->lock);
  pthread_join(server->watcher, NULL);

  /* libmicrohttpd panics on a suspended connection at its stop; one that is gone never sleeps
   * again. */
  pthread_mutex_lock(&server->lock);
  for (tn_http_exchange *x = server->first; x; x = x->next) set_gone(x);
  pthread_mutex_unlock(&server->lock);
  MHD_stop_daemon(server->daemon);
  server_free(server);
}

/* ---- what was asked
 * ------------------------------------------------------------------------------------- */

tn_str tn_http_body(const tn_http_exchange *x) {
  return tn_strbuf_view(&x->body);
}
const char *tn_http_path(const tn_http_exchange *x) {
  return x->path;
}

const char *tn_http_header(const tn_http_exchange *x, const char *name) {
  return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}
const char *tn_http_query(const tn_http_exchange *x, const char *name) {
  return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- answering
 * ------------------------------------------------------------------------------------------ */

tn_http_exchange *tn_http_share(tn_http_exchange *x) {
  pthread_mutex_lock(&x->lock);
  x->holders++;
  pthread_mutex_unlock(&x->lock);
  return x;
}

void tn_http_drop(tn_http_exchange *x) {
  if (!x) return;
  pthread_mutex_lock(&x->lock);
  bool last = --x->holders == 0;
  if (last && !x->over && !x->answered) {
    x->answered = true;
    x->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    wake(x);
  } else if (last && x->streaming && !x->ended) {
    atomic_store(&x->gone, true);
    wake(x);
  }
  bool unused = last && x->over;
  pthread_mutex_unlock(&x->lock);
  if (unused) exchange_free(x);
}

bool tn_http_gone(const tn_http_exchange *x) {
  return atomic_load(&x->gone);
}

void tn_http_set_header(tn_http_exchange *x, const char *literal_name, const char *value) {
  pthread_mutex_lock(&x->lock);
  if (!x->answered && x->header_count < HEADERS_MAX) {
    x->headers[x->header_count].name = literal_name;
    snprintf(x->headers[x->header_count++].value, HEADER_VALUE_BYTES, "%s", value);
  }
  pthread_mutex_unlock(&x->lock);
}

void tn_http_reply(tn_http_exchange *x, int32_t status, const char *literal_type, tn_str body) {
  pthread_mutex_lock(&x->lock);
  if (!x->answered && !x->over) {
    x->answered = true;
    x->status = status;
    x->content_type = literal_type;
    tn_strbuf_add_str(&x->answer, body);
    if (x->answer.failed) {
      tn_strbuf_clear(&x->answer);
      x->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    wake(x);
  }
  pthread_mutex_unlock(&x->lock);
}

void tn_http_reply_json(tn_http_exchange *x, int32_t status, tn_str body) {
  tn_http_reply(x, status, "application/json", body);
}

void tn_http_stream_begin(tn_http_exchange *x, const char *literal_type) {
  pthread_mutex_lock(&x->lock);
  if (!x->answered && !x->over) {
    x->answered = x->streaming = true;
    x->status = MHD_HTTP_OK;
    x->content_type = literal_type;
    wake(x);
  }
  pthread_mutex_unlock(&x->lock);
}

/* Appends all parts or none; x->lock is held. */
static tn_status stream_append(tn_http_exchange *x, const tn_str *parts, int32_t count) {
  if (x->over || atomic_load(&x->gone) || !x->streaming || x->ended) return TN_END;
  size_t bytes = x->answer.length - x->sent;
  for (int32_t i = 0; i < count; i++) bytes += parts[i].length;
  bool fits = bytes <= (size_t)x->stream_bytes_max;
  if (fits && x->sent > 0 && x->sent >= x->answer.length - x->sent) {
    memmove(x->answer.data, x->answer.data + x->sent, x->answer.length - x->sent);
    x->answer.length -= x->sent;
    x->sent = 0;
  }
  for (int32_t i = 0; fits && i < count; i++) tn_strbuf_add_str(&x->answer, parts[i]);
  if (fits && !x->answer.failed) return TN_OK;
  atomic_store(&x->gone, true); /* the watcher shuts the socket */
  return TN_FULL;
}

static tn_status stream_write(tn_http_exchange *x, const tn_str *parts, int32_t count) {
  pthread_mutex_lock(&x->lock);
  tn_status status = stream_append(x, parts, count);
  wake(x);
  pthread_mutex_unlock(&x->lock);
  return status;
}

tn_status tn_http_stream_write(tn_http_exchange *x, tn_str bytes) {
  return stream_write(x, &bytes, 1);
}

tn_status tn_http_stream_event(tn_http_exchange *x, tn_str payload) {
  const tn_str parts[3] = {TN_STR("data: "), payload, TN_STR("\n\n")};
  return stream_write(x, parts, 3);
}

void tn_http_stream_end(tn_http_exchange *x) {
  pthread_mutex_lock(&x->lock);
  x->ended = true;
  wake(x);
  pthread_mutex_unlock(&x->lock);
}
