/* api.h - OpenAI's HTTP interface on top of an engine.
 *
 *     GET  /v1/models, /v1/models/<name>      GET /health     GET /metrics
 *     POST /v1/completions, /v1/chat/completions: plain, or streamed as server-sent events
 *
 * A server thread reads and checks a request, turns it into tokens and submits it; from then on the
 * engine thread alone writes its answer.  A chat is rendered by the model's own template, or as
 * plain text where its folder has none (chat_prompt.h); the answer says which:
 * "x-tenon-chat-template: model" or "plain".
 *
 * Refusals: 400 what is asked cannot be done as asked (the parameter is named), 404 unknown model
 * or path, 413 body too long, 429 queue full (with Retry-After), 503 draining. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_API_H
#define TN_SERVE_API_H
#include "base/metrics.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "net/http_server.h"
#include "serve/engine.h"

typedef struct tn_api_options {
  tn_engine *engine;
  const tn_tokenizer *tokenizer;
  const tn_chat_template *chat_template; /* NULL: chats are rendered as plain text */
  tn_metrics *metrics;
  const char *model_name;
  const char *version;
  int64_t parameters;
  int64_t vocab_size; /* of the model */
  int32_t start_id;   /* stands for an empty prompt; -1: an empty prompt is refused */
} tn_api_options;

typedef struct tn_api tn_api;
TN_NODISCARD tn_status tn_api_new(tn_api **out, const tn_api_options *options, tn_error *err);
/* After the server is closed and the engine has ended. */
void tn_api_free(tn_api *api);
const tn_http_route *tn_api_routes(const tn_api *api);
/* From now on new completions get 503; /health says "draining". */
void tn_api_drain(tn_api *api);

/* For tn_http_server_options, with the api as context: OpenAI's error form, and the request
 * counters. */
void tn_api_error_body(void *api, int32_t status, const char *text, tn_strbuf *out);
void tn_api_observe(void *api, const char *path, int32_t status, int64_t duration_us, bool whole);

#endif
