/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "serve/api_answer.h"
#include "serve/api_request.h"
#include "serve/chat_prompt.h"
#include "serve/tool_calls.h"

struct tn_api {
  tn_api_options options;
  tn_http_route routes[10];
  char *model_path; /* "/v1/models/<name>" */
  int64_t started_us;
  int64_t created;         /* Unix seconds */
  int64_t token_bytes_max; /* of any token */
  tn_tool_form tool_form;  /* of the chat template */
  atomic_bool draining;
};

/* ---- small answers
 * -------------------------------------------------------------------------------------- */

static void reply_problem(tn_http_exchange *x, const tn_api_problem *problem) {
  tn_strbuf body = {0};
  tn_api_problem_write(problem, &body);
  tn_http_reply_json(x, problem->status, tn_strbuf_view(&body));
  tn_strbuf_clear(&body);
}

void tn_api_error_body(void *context, int32_t status, const char *text, tn_strbuf *out) {
  (void)context;
  tn_api_problem problem;
  tn_api_problem_set(&problem, status, NULL, NULL, "%s", text);
  tn_api_problem_write(&problem, out);
}

void tn_api_observe(void *context, const char *path, int32_t status, int64_t duration_us,
                    bool whole) {
  const tn_api *api = context;
  char labels[256];
  snprintf(labels, sizeof labels, "route=\"%s\",code=\"%d\"", path ? path : "other", status);
  tn_metric_add(tn_metrics_counter(api->options.metrics, "tenon_http_requests_total", labels,
                                   "HTTP requests by route and status."),
                1);
  if (!whole) {
    tn_metric_add(tn_metrics_counter(api->options.metrics, "tenon_http_cut_total", "",
                                     "HTTP answers that their client did not take whole."),
                  1);
  }
  tn_log(TN_LOG_INFO, "serve", "%s %d %.1f ms%s", path ? path : "other", status,
         (double)duration_us * 1e-3, whole ? "" : " cut");
}

static void write_model(const tn_api *api, tn_json_writer *w) {
  tn_json_begin_object(w);
  tn_json_key(w, "id");
  tn_json_cstr(w, api->options.model_name);
  tn_json_key(w, "object");
  tn_json_cstr(w, "model");
  tn_json_key(w, "created");
  tn_json_i64(w, api->created);
  tn_json_key(w, "owned_by");
  tn_json_cstr(w, "tenon");
  tn_json_key(w, "max_model_len");
  tn_json_i64(w, tn_engine_look(api->options.engine).context);
  tn_json_end_object(w);
}

static void get_models(void *context, tn_http_exchange *x) {
  tn_strbuf body = {0};
  tn_json_writer w = {.out = &body};
  tn_json_begin_object(&w);
  tn_json_key(&w, "object");
  tn_json_cstr(&w, "list");
  tn_json_key(&w, "data");
  tn_json_begin_array(&w);
  write_model(context, &w);
  tn_json_end_array(&w);
  tn_json_end_object(&w);
  tn_http_reply_json(x, 200, tn_strbuf_view(&body));
  tn_strbuf_clear(&body);
}

static void get_model(void *context, tn_http_exchange *x) {
  tn_strbuf body = {0};
  tn_json_writer w = {.out = &body};
  write_model(context, &w);
  tn_http_reply_json(x, 200, tn_strbuf_view(&body));
  tn_strbuf_clear(&body);
}

static void get_health(void *context, tn_http_exchange *x) {
  const tn_api *api = context;
  bool draining = atomic_load(&api->draining);
  tn_engine_stats s = tn_engine_look(api->options.engine);
  tn_strbuf body = {0};
  tn_json_writer w = {.out = &body};
  tn_json_begin_object(&w);
  tn_json_key(&w, "status");
  tn_json_cstr(&w, draining ? "draining" : "ok");
  tn_json_key(&w, "model");
  tn_json_cstr(&w, api->options.model_name);
  tn_json_key(&w, "version");
  tn_json_cstr(&w, api->options.version);
  tn_json_key(&w, "kv_type");
  tn_json_cstr(&w, tn_kv_dtype_word(s.kv_dtype));
  const struct {
    const char *key;
    int64_t value;
  } numbers[] = {{"parameters", api->options.parameters},
                 {"context", s.context},
                 {"running", s.running},
                 {"queue", s.waiting},
                 {"queue_max", s.queue_max},
                 {"kv_blocks_free", s.blocks_free},
                 {"kv_blocks", s.blocks_total},
                 {"kv_bytes_per_1000_tokens", s.kv_bytes_per_1000_tokens},
                 {"preemptions", s.preemptions},
                 {"steps", s.steps}};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    tn_json_key(&w, numbers[i].key);
    tn_json_i64(&w, numbers[i].value);
  }
  tn_json_key(&w, "uptime_seconds");
  tn_json_f64(&w, (double)(tn_time_us() - api->started_us) / 1e6);
  tn_json_end_object(&w);
  tn_http_reply_json(x, draining ? 503 : 200, tn_strbuf_view(&body));
  tn_strbuf_clear(&body);
}

static void get_metrics(void *context, tn_http_exchange *x) {
  const tn_api *api = context;
  tn_strbuf body = {0};
  tn_metrics_write_prometheus(api->options.metrics, &body);
  tn_http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", tn_strbuf_view(&body));
  tn_strbuf_clear(&body);
}

/* ---- from a request to generations
 * --------------------------------------------------------------------- */

/* What one request needs until it is submitted. */
typedef struct draft {
  const tn_api *api;
  tn_api_request request;
  tn_arena arena;
  tn_ids ids[TN_API_PROMPTS_MAX];
  int32_t choice_count; /* the answers to a prompt lie one behind the other */
  tn_generation generations[TN_API_CHOICES_MAX];
  tn_api_answer *answer;
  tn_api_problem problem;
} draft;

static void draft_free(draft *d) {
  for (int32_t i = 0; i < TN_API_PROMPTS_MAX; i++) tn_ids_clear(&d->ids[i]);
  tn_arena_clear(&d->arena);
  tn_free(d);
}

static bool check_model(draft *d) {
  tn_str model = d->request.model;
  if (!model.data || tn_str_is(model, d->api->options.model_name)) return true;
  return tn_api_problem_set(
      &d->problem, 404, "model", "model_not_found", "there is no model '%.*s' here, only '%s'",
      model.length > 100 ? 100 : (int)model.length, model.data, d->api->options.model_name);
}

static bool add_id(draft *d, tn_ids *ids, int32_t id) {
  tn_error err;
  if (tn_grow((void **)&ids->items, &ids->capacity, ids->count + 1, sizeof id, &err) != TN_OK) {
    return tn_api_problem_set(&d->problem, 500, NULL, NULL, "%s", err.text);
  }
  ids->items[ids->count++] = id;
  return true;
}

static bool copy_ids(draft *d, const tn_json *array, tn_ids *ids) {
  for (const tn_json *v = array->first; v; v = v->next) {
    if (v->integer < 0 || v->integer >= d->api->options.vocab_size) {
      return tn_api_problem_set(&d->problem, 400, "prompt", NULL, "token id %lld, wants 0 to %lld",
                                (long long)v->integer, (long long)d->api->options.vocab_size - 1);
    }
    if (!add_id(d, ids, (int32_t)v->integer)) return false;
  }
  return true;
}

/* Special tokens written out in a completion's prompt count as such, and so do those of a model's
 * chat template; in a plain chat they are the user's text.  What the tokenizer puts around a text
 * (<s>) comes only where no template has written it. */
static bool encode_text(draft *d, tn_str text, bool chat, tn_ids *ids) {
  bool special = !chat || d->api->options.chat_template;
  bool add = !chat || !d->api->options.chat_template;
  tn_error err;
  int64_t context = tn_engine_look(d->api->options.engine).context;
  int64_t at_least = (int64_t)text.length / d->api->token_bytes_max;
  if (at_least >= context) { /* megabytes need no encoding to be too long */
    return tn_api_problem_set(&d->problem, 400, chat ? "messages" : "prompt",
                              "context_length_exceeded",
                              "the prompt has %zu bytes, at least %lld tokens, limit %lld tokens",
                              text.length, (long long)at_least, (long long)context);
  }
  tn_status status =
      tn_tokenizer_encode_prompt(d->api->options.tokenizer, text, special, add, ids, &err);
  if (status != TN_OK) return tn_api_problem_set(&d->problem, 500, NULL, NULL, "%s", err.text);
  status = tn_tokenizer_check_ids(d->api->options.tokenizer, ids->items, ids->count,
                                  d->api->options.vocab_size, &err);
  if (status != TN_OK)
    return tn_api_problem_set(&d->problem, 400, chat ? "messages" : "prompt", NULL, "%s", err.text);
  if (ids->count > 0) return true;
  if (d->api->options.start_id >= 0) return add_id(d, ids, d->api->options.start_id);
  return tn_api_problem_set(&d->problem, 400, "prompt", NULL, "the prompt is empty");
}

static bool check_tools(draft *d) {
  if (!d->request.tools || d->api->tool_form != TN_TOOL_NONE) return true;
  return tn_api_problem_set(&d->problem, 400, "tools", "unsupported_parameter",
                            "'tools' wants a model whose chat template spells calls as <tool_call> "
                            "or as {\"name\", \"parameters\"}; that of '%s' does not",
                            d->api->options.model_name);
}

static bool encode_all(draft *d, bool chat) {
  if (chat) {
    tn_strbuf text = {0};
    d->request.prompt_count = 1;
    bool good = check_tools(d) &&
                tn_chat_prompt_render(d->api->options.chat_template, d->request.messages,
                                      d->request.tools, &text, &d->problem) &&
                encode_text(d, tn_strbuf_view(&text), true, &d->ids[0]);
    tn_strbuf_clear(&text);
    return good;
  }
  for (int32_t i = 0; i < d->request.prompt_count; i++) {
    const tn_api_prompt *p = &d->request.prompts[i];
    if (!(p->ids ? copy_ids(d, p->ids, &d->ids[i]) : encode_text(d, p->text, false, &d->ids[i]))) {
      return false;
    }
  }
  return true;
}

/* How many tokens an answer may have: what was asked; else 16, as OpenAI's completions do, or
 * in a chat all that fits. */
static bool set_length(draft *d, tn_generation *g, bool chat, int64_t context) {
  int64_t prompt = g->count, wanted = d->request.tokens_max;
  if (prompt > context || (prompt == context && wanted != 0)) {
    return tn_api_problem_set(
        &d->problem, 400, chat ? "messages" : "prompt", "context_length_exceeded",
        "the prompt has %lld tokens, limit %lld tokens with at least one for the answer",
        (long long)prompt, (long long)context);
  }
  if (wanted > context - prompt) {
    return tn_api_problem_set(
        &d->problem, 400, chat ? "messages" : "prompt", "context_length_exceeded",
        "the prompt has %lld tokens and max_tokens is %lld, limit %lld tokens in all",
        (long long)prompt, (long long)wanted, (long long)context);
  }
  if (wanted < 0) wanted = chat || context - prompt < 16 ? context - prompt : 16;
  g->tokens_max = wanted;
  return true;
}

static void set_stops(const draft *d, tn_generation *g, bool chat) {
  for (int32_t i = 0; i < d->request.stop_count; i++)
    g->stops[g->stop_count++] = d->request.stops[i];
  if (!chat || d->api->options.chat_template) return;
  tn_chat_prompt_stops(g->stops, &g->stop_count);
}

static bool check_biases(draft *d) {
  const tn_sampling *s = &d->request.sampling;
  for (int32_t i = 0; i < s->bias_count; i++) {
    if (s->biases[i].id < d->api->options.vocab_size) continue;
    return tn_api_problem_set(&d->problem, 400, "logit_bias", NULL,
                              "'logit_bias' has token id %d, wants 0 to %lld", s->biases[i].id,
                              (long long)d->api->options.vocab_size - 1);
  }
  return true;
}

static bool check_choices(draft *d, int64_t queue_max) {
  if (d->choice_count <= queue_max) return true;
  return tn_api_problem_set(&d->problem, 400, d->request.choices > 1 ? "n" : "prompt", NULL,
                            "%d answers at once, limit %lld", d->choice_count,
                            (long long)queue_max);
}

static bool prepare(draft *d, bool chat) {
  tn_engine_stats engine = tn_engine_look(d->api->options.engine);
  uint64_t seed = d->request.sampling.seed;
  if (!d->request.seeded && getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
    seed = (uint64_t)tn_time_us();
  }
  d->choice_count = d->request.prompt_count * d->request.choices;
  if (!check_choices(d, engine.queue_max) || !check_biases(d)) return false;
  for (int32_t i = 0; i < d->choice_count; i++) {
    tn_generation *g = &d->generations[i];
    const tn_ids *ids = &d->ids[i / d->request.choices];
    g->ids = ids->items;
    g->count = (int64_t)ids->count;
    if (!set_length(d, g, chat, engine.context)) return false;
    g->sampling = d->request.sampling;
    g->sampling.seed = seed;
    /* with a seed a prompt's answers are those that it gets alone; else no two are alike */
    g->sampling.stream = (uint64_t)(d->request.seeded ? i % d->request.choices : i);
    g->prompt_logprobs = d->request.echo && g->sampling.logprobs;
    g->ignore_eos = d->request.ignore_eos;
    g->json = d->request.json;
    set_stops(d, g, chat);
  }
  return true;
}

static bool echo_prompt(draft *d, int32_t i, tn_strbuf *out) {
  const tn_api_prompt *p = &d->request.prompts[i];
  tn_error err;
  if (!p->ids) {
    tn_strbuf_add_str(out, p->text);
    return true;
  }
  tn_strbuf bytes = {0};
  tn_status status = tn_tokenizer_decode(d->api->options.tokenizer, d->ids[i].items,
                                         d->ids[i].count, true, &bytes, &err);
  tn_utf8_append_repaired(out, tn_strbuf_view(&bytes));
  tn_strbuf_clear(&bytes);
  return status == TN_OK || tn_api_problem_set(&d->problem, 400, "prompt", NULL, "%s", err.text);
}

static bool make_answer(draft *d, tn_http_exchange *x, bool chat) {
  const tn_api_request *r = &d->request;
  uint64_t number[2] = {0, 0};
  tn_api_answer *a = tn_api_answer_new(x, d->choice_count);
  if (!a) return tn_api_problem_set(&d->problem, 500, NULL, NULL, "out of memory for the answer");
  d->answer = a;
  if (getrandom(number, sizeof number, 0) < 0) number[0] = (uint64_t)tn_time_us();
  snprintf(a->id, sizeof a->id, "%s-%016llx%08llx", chat ? "chatcmpl" : "cmpl",
           (unsigned long long)number[0], (unsigned long long)(number[1] >> 32));
  a->created = tn_time_unix_us() / 1000000;
  a->tokenizer = d->api->options.tokenizer;
  a->model_name = d->api->options.model_name;
  a->chat = chat;
  a->stream = r->stream;
  a->include_usage = r->include_usage;
  a->tool_form = r->tools ? d->api->tool_form : TN_TOOL_NONE;
  if (r->tools && tn_tool_names_copy(&a->tools, &a->arena, r->tools, NULL) != TN_OK)
    return tn_api_problem_set(&d->problem, 500, NULL, NULL, "out of memory for the tools");
  a->one_call = r->one_call;
  a->logprobs = r->sampling.logprobs;
  for (int32_t i = 0; i < d->choice_count; i++) {
    int32_t prompt = i / r->choices;
    if (i % r->choices == 0) a->choices[i].prompt_tokens = (int64_t)d->ids[prompt].count;
    if (r->echo && !echo_prompt(d, prompt, &a->choices[i].echo)) return false;
    d->generations[i].wanted = tn_api_choice_wanted;
    d->generations[i].event = tn_api_choice_event;
    d->generations[i].context = &a->choices[i];
  }
  tn_http_set_header(x, "x-request-id", a->id);
  const char *rendering = d->api->options.chat_template ? "model" : "plain";
  if (chat) tn_http_set_header(x, "x-tenon-chat-template", rendering);
  return true;
}

static bool submit(draft *d, tn_http_exchange *x) {
  tn_error err;
  tn_status status =
      tn_engine_submit(d->api->options.engine, d->generations, d->choice_count, &err);
  if (status == TN_OK) {
    d->answer = NULL; /* the engine's now */
    return true;
  }
  if (status == TN_FULL) {
    tn_http_set_header(x, "Retry-After", "1");
    return tn_api_problem_set(&d->problem, 429, NULL, "queue_full",
                              "the queue is full: %lld requests wait already; try again later",
                              (long long)tn_engine_look(d->api->options.engine).queue_max);
  }
  if (status == TN_END) {
    return tn_api_problem_set(&d->problem, 503, NULL, "draining", "the server is shutting down");
  }
  bool theirs = status == TN_ERR_LIMIT || status == TN_ERR_ARGUMENT;
  return tn_api_problem_set(&d->problem, theirs ? 400 : 500, theirs ? "prompt" : NULL, NULL, "%s",
                            err.text);
}

static void complete(const tn_api *api, tn_http_exchange *x, bool chat) {
  tn_api_problem problem;
  draft *d = NULL;
  if (atomic_load(&api->draining)) {
    tn_api_problem_set(&problem, 503, NULL, "draining", "the server is shutting down");
  } else {
    d = tn_alloc(1, sizeof *d);
    if (!d) tn_api_problem_set(&problem, 500, NULL, NULL, "out of memory for the request");
  }
  if (!d) {
    reply_problem(x, &problem);
    return;
  }
  d->api = api;
  bool good = tn_api_request_read(&d->request, &d->arena, tn_http_body(x), chat, &d->problem) &&
              check_model(d) && encode_all(d, chat) && prepare(d, chat) &&
              make_answer(d, x, chat) && submit(d, x);
  if (!good) reply_problem(x, &d->problem);
  tn_api_answer_free(d->answer);
  draft_free(d);
}

static void post_completion(void *context, tn_http_exchange *x) {
  complete(context, x, false);
}
static void post_chat(void *context, tn_http_exchange *x) {
  complete(context, x, true);
}

/* ---- life
 * -----------------------------------------------------------------------------------------------
 */

static int64_t longest_token(const tn_tokenizer *t) {
  int64_t longest = 1, count = tn_tokenizer_vocab_size(t);
  for (int64_t id = 0; id < count; id++) {
    int64_t bytes = (int64_t)tn_tokenizer_bytes(t, (int32_t)id).length;
    if (bytes > longest) longest = bytes;
  }
  return longest;
}

tn_status tn_api_new(tn_api **out, const tn_api_options *options, tn_error *err) {
  for (const char *c = options->model_name; *c; c++) {
    if ((uint8_t)*c > ' ' && *c != '"' && *c != '\\' && *c != 0x7f) continue;
    return tn_fail(err, TN_ERR_ARGUMENT, "model name '%s': wants no spaces, quotes or backslashes",
                   options->model_name);
  }
  tn_tool_form tool_form;
  TN_TRY(tn_tool_form_of(&tool_form, options->chat_template, err));
  tn_api *api = tn_alloc(1, sizeof *api);
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "/v1/models/%s", options->model_name);
  if (!api || path.failed) {
    tn_strbuf_clear(&path);
    tn_free(api);
    return tn_fail_memory(err, "API", sizeof *api);
  }
  api->options = *options;
  api->tool_form = tool_form;
  api->model_path = path.data; /* keeps the buffer's memory */
  api->token_bytes_max = longest_token(options->tokenizer);
  api->started_us = tn_time_us();
  api->created = tn_time_unix_us() / 1000000;
  const tn_http_route routes[] = {
      {"GET", "/v1/models", get_models, api},
      {"GET", api->model_path, get_model, api},
      {"POST", "/v1/completions", post_completion, api},
      {"POST", "/v1/chat/completions", post_chat, api},
      {"GET", "/health", get_health, api},
      {"GET", "/metrics", get_metrics, api},
      {NULL, NULL, NULL, NULL},
  };
  memcpy(api->routes, routes, sizeof routes);
  *out = api;
  return TN_OK;
}

void tn_api_free(tn_api *api) {
  if (!api) return;
  tn_free(api->model_path);
  tn_free(api);
}

const tn_http_route *tn_api_routes(const tn_api *api) {
  return api->routes;
}
void tn_api_drain(tn_api *api) {
  atomic_store(&api->draining, true);
}
