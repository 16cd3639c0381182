/* Server and client against each other, and the server against raw sockets that misbehave. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "net/http_server.h"

/* What the handlers of one test share. */
typedef struct rig {
  tn_http_server *server;
  char base[64];
  tn_http_exchange *held;
  atomic_int holds, observed, observed_status;
  atomic_bool observed_whole;
  pthread_t feeder;
  atomic_int written;
  atomic_int write_status;
} rig;

static void echo(void *context, tn_http_exchange *x) {
  (void)context;
  tn_http_set_header(x, "X-Test", "yes");
  tn_http_reply(x, 201, "text/plain", tn_http_body(x));
}

static void hello(void *context, tn_http_exchange *x) {
  (void)context;
  const char *name = tn_http_query(x, "name");
  tn_http_reply(x, 200, "text/plain", tn_str_of(name ? name : "nobody"));
}

static void forget(void *context, tn_http_exchange *x) {
  (void)context;
  (void)x;
}

static void hold(void *context, tn_http_exchange *x) {
  rig *r = context;
  r->held = tn_http_share(x);
  atomic_fetch_add(&r->holds, 1);
}

static void *feed_three(void *context) {
  rig *r = context;
  char text[32];
  for (int i = 0; i < 3; i++) {
    usleep(2000);
    snprintf(text, sizeof text, "tick %d", i);
    tn_http_stream_event(r->held, tn_str_of(text));
  }
  tn_http_stream_end(r->held);
  tn_http_drop(r->held);
  return NULL;
}

static void ticks(void *context, tn_http_exchange *x) {
  rig *r = context;
  r->held = tn_http_share(x);
  tn_http_stream_begin(x, "text/event-stream");
  pthread_create(&r->feeder, NULL, feed_three, r);
}

static void *feed_until_refused(void *context) {
  rig *r = context;
  char block[1001];
  memset(block, 'x', 1000);
  block[1000] = '\0';
  tn_status status = TN_OK;
  for (int i = 0; i < 100000 && status == TN_OK; i++) {
    status = tn_http_stream_event(r->held, tn_str_of(block));
    if (status == TN_OK) atomic_fetch_add(&r->written, 1);
  }
  atomic_store(&r->write_status, (int)status);
  tn_http_drop(r->held);
  return NULL;
}

static void flood(void *context, tn_http_exchange *x) {
  rig *r = context;
  r->held = tn_http_share(x);
  tn_http_stream_begin(x, "text/event-stream");
  pthread_create(&r->feeder, NULL, feed_until_refused, r);
}

static void observe(void *context, const char *path, int32_t status, int64_t duration_us,
                    bool whole) {
  rig *r = context;
  (void)path;
  assert_true(duration_us >= 0);
  atomic_store(&r->observed_status, status);
  atomic_store(&r->observed_whole, whole);
  atomic_fetch_add(&r->observed, 1);
}

static void hand_over(void *context, tn_http_exchange *x);
static tn_http_route routes[16];

static void start(rig *r, tn_http_server_options options) {
  memset(r, 0, sizeof *r);
  int n = 0;
  routes[n++] = (tn_http_route){"POST", "/echo", echo, r};
  routes[n++] = (tn_http_route){"GET", "/hello", hello, r};
  routes[n++] = (tn_http_route){"GET", "/forget", forget, r};
  routes[n++] = (tn_http_route){"GET", "/hold", hold, r};
  routes[n++] = (tn_http_route){"POST", "/hold", hold, r};
  routes[n++] = (tn_http_route){"POST", "/ticks", ticks, r};
  routes[n++] = (tn_http_route){"GET", "/flood", flood, r};
  routes[n++] = (tn_http_route){"GET", "/handed", hand_over, r};
  routes[n++] = (tn_http_route){0};
  options.observe = observe;
  options.context = r;
  tn_error err;
  if (tn_http_server_open(&r->server, routes, &options, &err) != TN_OK) fail_msg("%s", err.text);
  snprintf(r->base, sizeof r->base, "http://127.0.0.1:%d", tn_http_server_port(r->server));
}

static const char *url(const rig *r, const char *path) {
  static char text[128];
  snprintf(text, sizeof text, "%s%s", r->base, path);
  return text;
}

static bool wait_until(atomic_int *value, int wanted) {
  for (int i = 0; i < 500 && atomic_load(value) < wanted; i++) usleep(10000);
  return atomic_load(value) >= wanted;
}

static int connect_raw(const rig *r, int receive_bytes) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons((uint16_t)tn_http_server_port(r->server)),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  struct timeval patience = {.tv_sec = 10};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

static void send_text(int fd, const char *text) {
  assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void answers_and_keeps_the_connection(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  tn_http_client *client;
  tn_http_answer answer = {0};
  tn_error err;
  assert_int_equal(tn_http_client_new(&client, NULL, &err), TN_OK);
  for (int i = 0; i < 50; i++) {
    tn_status status =
        tn_http_post(client, url(&r, "/echo"), "text/plain", TN_STR("body"), &answer, &err);
    if (status != TN_OK) fail_msg("%s", err.text);
    assert_int_equal(answer.status, 201);
    assert_string_equal(answer.body.data, "body");
    assert_non_null(strstr(answer.headers.data, "X-Test: yes"));
    assert_null(strstr(answer.headers.data, "Connection: close"));
    assert_null(strstr(answer.headers.data, "Access-Control"));
  }
  assert_int_equal(tn_http_get(client, url(&r, "/hello?name=Ada%20L"), &answer, &err), TN_OK);
  assert_string_equal(answer.body.data, "Ada L");
  tn_http_answer_clear(&answer);
  tn_http_client_free(client);
  tn_http_server_close(r.server, 1000);
  assert_int_equal(atomic_load(&r.observed), 51);
}

static void wrong_paths_and_methods(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  tn_http_client *client;
  tn_http_answer answer = {0};
  tn_error err;
  assert_int_equal(tn_http_client_new(&client, NULL, &err), TN_OK);
  assert_int_equal(tn_http_get(client, url(&r, "/nothing"), &answer, &err), TN_OK);
  assert_int_equal(answer.status, 404);
  assert_string_equal(answer.body.data, "{\"error\":\"nothing at /nothing\"}");
  assert_int_equal(tn_http_get(client, url(&r, "/echo"), &answer, &err), TN_OK);
  assert_int_equal(answer.status, 405);
  assert_non_null(strstr(answer.headers.data, "Allow: POST"));
  assert_int_equal(
      tn_http_post(client, url(&r, "/hello"), "text/plain", TN_STR("x"), &answer, &err), TN_OK);
  assert_int_equal(answer.status, 405);
  assert_int_equal(tn_http_get(client, url(&r, "/forget"), &answer, &err), TN_OK);
  assert_int_equal(answer.status, 500); /* a handler that neither answers nor keeps it */
  tn_http_answer_clear(&answer);
  tn_http_client_free(client);
  tn_http_server_close(r.server, 1000);
}

static void bodies_have_a_limit(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){.body_bytes_max = 1000});
  tn_http_client *client;
  tn_http_answer answer = {0};
  tn_error err;
  assert_int_equal(tn_http_client_new(&client, NULL, &err), TN_OK);
  tn_strbuf body = {0};
  for (int i = 0; i < 1000; i++) tn_strbuf_add_char(&body, 'a');
  assert_int_equal(
      tn_http_post(client, url(&r, "/echo"), "text/plain", tn_strbuf_view(&body), &answer, &err),
      TN_OK);
  assert_int_equal(answer.status, 201);
  assert_int_equal(answer.body.length, 1000);
  tn_strbuf_add_char(&body, 'a');
  assert_int_equal(
      tn_http_post(client, url(&r, "/echo"), "text/plain", tn_strbuf_view(&body), &answer, &err),
      TN_OK);
  assert_int_equal(answer.status, 413);
  assert_non_null(strstr(answer.body.data, "1001 bytes, limit 1000 bytes"));
  /* Ten megabytes that the client sends whole before it looks: it still gets to read the 413. */
  for (int i = 0; i < 10 << 20; i++) tn_strbuf_add_char(&body, 'b');
  tn_status status =
      tn_http_post(client, url(&r, "/echo"), "text/plain", tn_strbuf_view(&body), &answer, &err);
  if (status != TN_OK) fail_msg("%s", err.text);
  assert_int_equal(answer.status, 413);
  tn_strbuf_clear(&body);

  /* Chunked, so nothing is announced; and an announced one that waits for the go-ahead. */
  int fd = connect_raw(&r, 0);
  char text[4096], chunk[1200];
  memset(chunk, 'c', sizeof chunk);
  send_text(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n4b0\r\n");
  send(fd, chunk, 1200, MSG_NOSIGNAL);
  send_text(fd, "\r\n0\r\n\r\n");
  ssize_t got = recv(fd, text, sizeof text - 1, 0);
  assert_true(got > 0);
  assert_memory_equal(text, "HTTP/1.1 413", 12);
  close(fd);
  fd = connect_raw(&r, 0);
  send_text(fd,
            "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\nExpect: "
            "100-continue\r\n\r\n");
  got = recv(fd, text, sizeof text - 1, 0);
  assert_true(got > 0);
  assert_memory_equal(text, "HTTP/1.1 413", 12);
  close(fd);
  tn_http_answer_clear(&answer);
  tn_http_client_free(client);
  tn_http_server_close(r.server, 1000);
}

static bool collect(void *context, tn_str data) {
  tn_strbuf_add_str(context, data);
  tn_strbuf_add_char(context, ';');
  return true;
}

static void stream_from_another_thread(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  tn_http_client *client;
  tn_http_answer answer = {0};
  tn_error err;
  tn_strbuf all = {0};
  assert_int_equal(tn_http_client_new(&client, NULL, &err), TN_OK);
  for (int i = 0; i < 20; i++) {
    tn_strbuf_reset(&all);
    tn_status status = tn_http_post_stream(client, url(&r, "/ticks"), "text/plain", TN_STR("x"),
                                           collect, &all, &answer, &err);
    if (status != TN_OK) fail_msg("%s", err.text);
    assert_string_equal(all.data, "tick 0;tick 1;tick 2;");
    assert_int_equal(answer.body.length, 0);
    pthread_join(r.feeder, NULL);
  }
  assert_int_equal(tn_http_post_stream(client, url(&r, "/nothing"), "text/plain", TN_STR("x"),
                                       collect, &all, &answer, &err),
                   TN_OK);
  assert_int_equal(answer.status, 404); /* no event stream: the body is kept */
  assert_true(answer.body.length > 0);
  tn_strbuf_clear(&all);
  tn_http_answer_clear(&answer);
  tn_http_client_free(client);
  tn_http_server_close(r.server, 1000);
  assert_true(atomic_load(&r.observed_whole));
}

static void slow_reader_is_cut(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){.stream_bytes_max = 16 << 10, .send_buffer_bytes = 4096});
  int fd = connect_raw(&r, 4096);
  send_text(fd, "GET /flood HTTP/1.1\r\nHost: t\r\n\r\n");
  /* Reads nothing: the stream's bound must be reached, and the connection must end without our
   * help. */
  assert_true(wait_until(&r.observed, 1));
  pthread_join(r.feeder, NULL);
  assert_int_equal(atomic_load(&r.write_status), TN_FULL);
  assert_true(atomic_load(&r.written) < 200);
  assert_false(atomic_load(&r.observed_whole));
  close(fd);
  tn_http_server_close(r.server, 1000);
}

static void client_that_leaves_is_noticed(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  int fd = connect_raw(&r, 0);
  send_text(fd, "GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
  assert_true(wait_until(&r.holds, 1));
  assert_false(tn_http_gone(r.held));
  usleep(250000); /* the watcher has looked and leaves it alone */
  assert_false(tn_http_gone(r.held));
  close(fd);
  assert_true(wait_until(&r.observed, 1));
  assert_true(tn_http_gone(r.held));
  assert_int_equal(atomic_load(&r.observed_status), 499);
  tn_http_reply(r.held, 200, "text/plain", TN_STR("too late"));
  tn_http_drop(r.held);
  tn_http_server_close(r.server, 1000);
}

static void close_while_exchanges_are_held(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  int fd = connect_raw(&r, 0);
  send_text(fd, "GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
  assert_true(wait_until(&r.holds, 1));
  int64_t start_us = tn_time_us();
  tn_http_server_close(r.server, 50);
  assert_true(tn_time_us() - start_us < 5000000);
  assert_true(tn_http_gone(r.held));
  assert_int_equal(tn_http_body(r.held).length, 0);
  assert_string_equal(tn_http_path(r.held), "/hold");
  tn_http_drop(r.held);
  close(fd);
}

static void *answer_late(void *context) {
  rig *r = context;
  usleep(100000);
  tn_http_reply(r->held, 200, "text/plain", TN_STR("late"));
  tn_http_drop(r->held);
  return NULL;
}

static void *answer_then_linger(void *context) {
  tn_http_exchange *x = context;
  tn_http_reply(x, 200, "text/plain", TN_STR("now"));
  usleep(20000); /* the answer is out before the last holder lets go */
  tn_http_drop(x);
  return NULL;
}

static void hand_over(void *context, tn_http_exchange *x) {
  rig *r = context;
  pthread_create(&r->feeder, NULL, answer_then_linger, tn_http_share(x));
}

static void holders_may_outlive_the_answer(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  tn_http_client *client;
  tn_http_answer answer = {0};
  tn_error err;
  assert_int_equal(tn_http_client_new(&client, NULL, &err), TN_OK);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(tn_http_get(client, url(&r, "/handed"), &answer, &err), TN_OK);
    assert_string_equal(answer.body.data, "now");
    pthread_join(r.feeder, NULL);
  }
  tn_http_answer_clear(&answer);
  tn_http_client_free(client);
  tn_http_server_close(r.server, 1000);
}

static void close_waits_for_answers(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  int fd = connect_raw(&r, 0);
  send_text(fd, "GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
  assert_true(wait_until(&r.holds, 1));
  pthread_create(&r.feeder, NULL, answer_late, &r);
  tn_http_server_close(r.server, 5000);
  pthread_join(r.feeder, NULL);
  char text[4096] = {0};
  assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
  assert_memory_equal(text, "HTTP/1.1 200", 12);
  close(fd);
}

static void slow_senders_are_cut(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){.receive_seconds = 1});
  int fd = connect_raw(&r, 0);
  send_text(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\n");
  char text[256];
  int64_t start_us = tn_time_us();
  int sent = 0;
  for (; sent < 60; sent++) {
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) break;
    usleep(100000);
  }
  assert_true(tn_time_us() - start_us < 5000000);
  assert_true(recv(fd, text, sizeof text, 0) <= 0);
  close(fd);
  tn_http_server_close(r.server, 1000);
}

static void taken_port_is_an_error(void **state) {
  (void)state;
  rig r;
  start(&r, (tn_http_server_options){0});
  tn_http_server *second;
  tn_error err;
  tn_http_server_options options = {.port = tn_http_server_port(r.server)};
  int64_t live = tn_alloc_live();
  assert_int_equal(tn_http_server_open(&second, routes, &options, &err), TN_ERR_IO);
  assert_non_null(strstr(err.text, "listening on 127.0.0.1 port"));
  assert_int_equal(tn_alloc_live(), live);
  options.port = 70000;
  assert_int_equal(tn_http_server_open(&second, routes, &options, &err), TN_ERR_ARGUMENT);
  tn_http_server_close(r.server, 1000);
}

static void failed_allocations(void **state) {
  (void)state;
  int64_t live = tn_alloc_live();
  for (int64_t n = 1; n <= 4; n++) {
    tn_http_server *server = NULL;
    tn_http_client *client = NULL;
    tn_http_server_options options = {0};
    tn_alloc_fail_at(n);
    tn_status status = tn_http_server_open(&server, routes, &options, NULL);
    if (status == TN_OK) status = tn_http_client_new(&client, NULL, NULL);
    tn_alloc_fail_at(0);
    assert_int_equal(status, TN_ERR_MEMORY);
    tn_http_client_free(client);
    tn_http_server_close(server, 0);
    assert_int_equal(tn_alloc_live(), live);
  }
}

/* Out of memory while a request is served: an error answer or a closed connection, and no leak. */
static void failed_allocations_in_a_request(void **state) {
  (void)state;
  int64_t live = tn_alloc_live();
  rig r;
  start(&r, (tn_http_server_options){0});
  for (int64_t n = 1; n <= 8; n++) {
    int fd = connect_raw(&r, 0);
    int seen = atomic_load(&r.observed);
    tn_alloc_fail_at(n);
    send_text(
        fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
    char text[1024] = {0};
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    tn_alloc_fail_at(0);
    if (got > 0) {
      assert_true(strstr(text, "HTTP/1.1 500") == text || strstr(text, "HTTP/1.1 201") == text);
      wait_until(&r.observed, seen + 1);
    }
    close(fd);
  }
  tn_http_server_close(r.server, 1000);
  assert_int_equal(tn_alloc_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_and_keeps_the_connection),
      cmocka_unit_test(wrong_paths_and_methods),
      cmocka_unit_test(bodies_have_a_limit),
      cmocka_unit_test(stream_from_another_thread),
      cmocka_unit_test(slow_reader_is_cut),
      cmocka_unit_test(client_that_leaves_is_noticed),
      cmocka_unit_test(close_while_exchanges_are_held),
      cmocka_unit_test(holders_may_outlive_the_answer),
      cmocka_unit_test(close_waits_for_answers),
      cmocka_unit_test(slow_senders_are_cut),
      cmocka_unit_test(taken_port_is_an_error),
      cmocka_unit_test(failed_allocations),
      cmocka_unit_test(failed_allocations_in_a_request),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
