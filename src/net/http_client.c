/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_client.h"

#include <curl/curl.h>
#include <pthread.h>

#include "base/mem.h"

struct tn_http_client {
  CURL *curl;
  tn_http_client_options options;
  char message[CURL_ERROR_SIZE];
};

/* One request under way: where its bytes go. */
typedef struct transfer {
  tn_http_client *client;
  tn_http_answer *answer;
  tn_sse_event on_event; /* NULL: keep the body */
  void *context;
  tn_sse sse;
  tn_status status; /* why the callback stopped libcurl */
  tn_error *err;
} transfer;

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void start_curl(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
}

tn_status tn_http_client_new(tn_http_client **out, const tn_http_client_options *options,
                             tn_error *err) {
  pthread_once(&curl_once, start_curl);
  tn_http_client *client = tn_alloc(1, sizeof *client);
  if (!client) return tn_fail_memory(err, "HTTP client", sizeof *client);
  if (options) client->options = *options;
  tn_http_client_options *o = &client->options;
  if (o->connect_ms <= 0) o->connect_ms = 5000;
  if (o->silence_ms <= 0) o->silence_ms = 60000;
  if (o->answer_bytes_max <= 0) o->answer_bytes_max = 64 << 20;
  client->curl = curl_easy_init();
  if (!client->curl) {
    tn_free(client);
    return tn_fail_memory(err, "libcurl handle", 0);
  }
  *out = client;
  return TN_OK;
}

void tn_http_client_free(tn_http_client *client) {
  if (!client) return;
  curl_easy_cleanup(client->curl);
  tn_free(client);
}

void tn_http_answer_clear(tn_http_answer *answer) {
  tn_strbuf_clear(&answer->body);
  tn_strbuf_clear(&answer->headers);
  answer->status = 0;
}

static tn_status keep_body(transfer *t, tn_str bytes) {
  tn_strbuf *body = &t->answer->body;
  int64_t limit = t->client->options.answer_bytes_max;
  if ((int64_t)(body->length + bytes.length) > limit) {
    return tn_fail(t->err, TN_ERR_LIMIT, "answer body beyond %lld bytes", (long long)limit);
  }
  tn_strbuf_add_str(body, bytes);
  return tn_strbuf_check(body, t->err);
}

static size_t on_body(char *data, size_t size, size_t count, void *context) {
  transfer *t = context;
  tn_str bytes = {data, size * count};
  long code = 0;
  curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &code);
  t->status = t->on_event && code == 200
                  ? tn_sse_feed(&t->sse, bytes, t->on_event, t->context, t->err)
                  : keep_body(t, bytes);
  return t->status == TN_OK ? bytes.length : 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *context) {
  transfer *t = context;
  if (t->answer->headers.length + size * count > 256 << 10) {
    t->status = tn_fail(t->err, TN_ERR_LIMIT, "answer headers beyond 256 KiB");
    return 0;
  }
  tn_strbuf_append(&t->answer->headers, data, size * count);
  return size * count;
}

static void prepare(transfer *t, const char *url, struct curl_slist *headers) {
  CURL *curl = t->client->curl;
  curl_easy_reset(curl); /* keeps connections */
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->client->message);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)t->client->options.connect_ms);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                   (long)(t->client->options.silence_ms + 999) / 1000);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
}

static tn_status perform(transfer *t, const char *url) {
  tn_http_client *client = t->client;
  client->message[0] = '\0';
  CURLcode rc = curl_easy_perform(client->curl);
  long code = 0;
  curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &code);
  t->answer->status = (int32_t)code;
  tn_sse_clear(&t->sse);
  if (t->status == TN_END) return TN_END;
  if (t->status != TN_OK) return tn_error_context(t->err, t->status, "%s", url);
  if (rc == CURLE_OK) return TN_OK;
  return tn_fail(t->err, rc == CURLE_OUT_OF_MEMORY ? TN_ERR_MEMORY : TN_ERR_IO, "%s: %s", url,
                 client->message[0] ? client->message : curl_easy_strerror(rc));
}

static void answer_reset(tn_http_answer *answer) {
  answer->status = 0;
  tn_strbuf_reset(&answer->body);
  tn_strbuf_reset(&answer->headers);
}

tn_status tn_http_get(tn_http_client *client, const char *url, tn_http_answer *answer,
                      tn_error *err) {
  transfer t = {.client = client, .answer = answer, .err = err};
  answer_reset(answer);
  prepare(&t, url, NULL);
  return perform(&t, url);
}

static tn_status post(transfer *t, const char *url, const char *type, tn_str body) {
  char line[160];
  answer_reset(t->answer);
  snprintf(line, sizeof line, "Content-Type: %s", type);
  struct curl_slist *headers = curl_slist_append(NULL, line);
  /* Without this libcurl waits up to a second for a 100 before a body over 1 MiB. */
  struct curl_slist *all = headers ? curl_slist_append(headers, "Expect:") : NULL;
  if (!all) {
    curl_slist_free_all(headers);
    return tn_fail_memory(t->err, "request headers", sizeof line);
  }
  prepare(t, url, all);
  curl_easy_setopt(t->client->curl, CURLOPT_POST, 1L);
  curl_easy_setopt(t->client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.length);
  curl_easy_setopt(t->client->curl, CURLOPT_POSTFIELDS, body.length ? body.data : "");
  tn_status status = perform(t, url);
  curl_easy_setopt(t->client->curl, CURLOPT_HTTPHEADER, NULL);
  curl_slist_free_all(all);
  return status;
}

tn_status tn_http_post(tn_http_client *client, const char *url, const char *type, tn_str body,
                       tn_http_answer *answer, tn_error *err) {
  transfer t = {.client = client, .answer = answer, .err = err};
  return post(&t, url, type, body);
}

tn_status tn_http_post_stream(tn_http_client *client, const char *url, const char *type,
                              tn_str body, tn_sse_event on_event, void *context,
                              tn_http_answer *answer, tn_error *err) {
  transfer t = {
      .client = client, .answer = answer, .on_event = on_event, .context = context, .err = err};
  return post(&t, url, type, body);
}
