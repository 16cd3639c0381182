/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api_request.h"

#include <stdio.h>

enum { COMPLETION = 1, CHAT = 2, BOTH = 3 };

bool tn_api_problem_set(tn_api_problem *problem, int32_t status, const char *param,
                        const char *code, const char *format, ...) {
  va_list args;
  problem->status = status;
  problem->type = status >= 500   ? "server_error"
                  : status == 429 ? "rate_limit_error"
                                  : "invalid_request_error";
  problem->code = code;
  snprintf(problem->param, sizeof problem->param, "%s", param ? param : "");
  va_start(args, format);
  vsnprintf(problem->error.text, sizeof problem->error.text, format, args);
  va_end(args);
  return false;
}

void tn_api_problem_write(const tn_api_problem *problem, tn_strbuf *out) {
  tn_json_writer w = {.out = out};
  tn_json_begin_object(&w);
  tn_json_key(&w, "error");
  tn_json_begin_object(&w);
  tn_json_key(&w, "message");
  tn_json_cstr(&w, problem->error.text);
  tn_json_key(&w, "type");
  tn_json_cstr(&w, problem->type);
  tn_json_key(&w, "param");
  problem->param[0] ? tn_json_cstr(&w, problem->param) : tn_json_null(&w);
  tn_json_key(&w, "code");
  problem->code ? tn_json_cstr(&w, problem->code) : tn_json_null(&w);
  tn_json_end_object(&w);
  tn_json_end_object(&w);
}

static bool bad(tn_api_problem *p, const char *param, const tn_error *err) {
  return tn_api_problem_set(p, 400, param, NULL, "%s", err->text);
}

/* ---- which keys there are
 * ------------------------------------------------------------------------------ */

static bool is_off_number_one(const tn_json *v) {
  return v->kind == TN_JSON_NUMBER && v->number == 1;
}
static bool is_off_zero(const tn_json *v) {
  return v->kind == TN_JSON_NUMBER && v->number == 0;
}
static bool is_off_false(const tn_json *v) {
  return v->kind == TN_JSON_BOOL && !v->boolean;
}
static bool is_off_empty(const tn_json *v) {
  if (v->kind == TN_JSON_STRING) return v->text.length == 0;
  return (v->kind == TN_JSON_ARRAY || v->kind == TN_JSON_OBJECT) && v->count == 0;
}
static bool is_off_tool_choice(const tn_json *v) {
  return v->kind == TN_JSON_STRING && (tn_str_is(v->text, "none") || tn_str_is(v->text, "auto"));
}
static bool is_off_modalities(const tn_json *v) {
  return v->kind == TN_JSON_ARRAY && v->count == 1 && v->first->kind == TN_JSON_STRING &&
         tn_str_is(v->first->text, "text");
}
static bool is_off_never(const tn_json *v) {
  (void)v;
  return false;
}

typedef struct key_rule {
  const char *key;
  int32_t where;
  bool reads;                       /* by the functions below */
  bool (*is_off)(const tn_json *v); /* NULL and !reads: without effect on the answer */
} key_rule;

/* Keys of OpenAI's two requests, and the extensions that other servers share. */
static const key_rule key_rules[] = {
    {"model", BOTH, true, NULL},
    {"prompt", COMPLETION, true, NULL},
    {"messages", CHAT, true, NULL},
    {"max_tokens", BOTH, true, NULL},
    {"max_completion_tokens", CHAT, true, NULL},
    {"temperature", BOTH, true, NULL},
    {"top_p", BOTH, true, NULL},
    {"top_k", BOTH, true, NULL},
    {"min_p", BOTH, true, NULL},
    {"presence_penalty", BOTH, true, NULL},
    {"frequency_penalty", BOTH, true, NULL},
    {"seed", BOTH, true, NULL},
    {"stop", BOTH, true, NULL},
    {"stream", BOTH, true, NULL},
    {"stream_options", BOTH, true, NULL},
    {"echo", COMPLETION, true, NULL},
    {"ignore_eos", BOTH, true, NULL},
    {"logprobs", BOTH, true, NULL},
    {"top_logprobs", CHAT, true, NULL},
    {"n", BOTH, true, NULL},
    {"best_of", COMPLETION, true, NULL},
    {"logit_bias", BOTH, true, NULL},
    {"response_format", BOTH, true, NULL},
    {"user", BOTH, false, NULL},
    {"metadata", BOTH, false, NULL},
    {"service_tier", CHAT, false, NULL},
    {"safety_identifier", CHAT, false, NULL},
    {"prompt_cache_key", CHAT, false, NULL},
    {"prompt_cache_retention", CHAT, false, NULL},
    {"prediction", CHAT, false, NULL}, /* a hint for speed */
    {"tools", CHAT, true, NULL},
    {"tool_choice", CHAT, true, NULL},
    {"parallel_tool_calls", CHAT, true, NULL},
    {"suffix", COMPLETION, false, is_off_empty},
    {"functions", CHAT, false, is_off_empty},
    {"function_call", CHAT, false, is_off_tool_choice},
    {"modalities", CHAT, false, is_off_modalities},
    {"audio", CHAT, false, is_off_never},
    {"reasoning_effort", CHAT, false, is_off_never},
    {"verbosity", CHAT, false, is_off_never},
    {"web_search_options", CHAT, false, is_off_never},
    {"store", CHAT, false, is_off_false},
    {"repetition_penalty", BOTH, false, is_off_number_one},
    {"min_tokens", BOTH, false, is_off_zero},
};

static const key_rule *find_rule(tn_str key, int32_t where) {
  for (size_t i = 0; i < sizeof key_rules / sizeof key_rules[0]; i++) {
    if ((key_rules[i].where & where) && tn_str_is(key, key_rules[i].key)) return &key_rules[i];
  }
  return NULL;
}

static bool check_keys(const tn_json *root, int32_t where, tn_api_problem *p) {
  for (const tn_json *v = root->first; v; v = v->next) {
    const key_rule *rule = find_rule(v->key, where);
    char name[64];
    snprintf(name, sizeof name, "%.*s", v->key.length > 60 ? 60 : (int)v->key.length, v->key.data);
    if (!rule) {
      return tn_api_problem_set(p, 400, name, "unknown_parameter", "unknown parameter '%s'", name);
    }
    if (rule->reads || !rule->is_off || v->kind == TN_JSON_NULL || rule->is_off(v)) continue;
    return tn_api_problem_set(p, 400, name, "unsupported_parameter",
                              "'%s' is not supported here with this value; leave it out", name);
  }
  return true;
}

/* ---- reading one key
 * ------------------------------------------------------------------------------------ */

static const tn_json *given(const tn_json *root, const char *key) {
  const tn_json *v = tn_json_get(root, key);
  return v && v->kind != TN_JSON_NULL ? v : NULL;
}

static bool read_integer(const tn_json *root, const char *key, int64_t min, int64_t max,
                         int64_t *out, tn_api_problem *p) {
  tn_error err;
  return tn_json_get_i64(root, key, min, max, out, &err) == TN_OK || bad(p, key, &err);
}
static bool read_real(const tn_json *root, const char *key, double *out, tn_api_problem *p) {
  tn_error err;
  return tn_json_get_f64(root, key, out, &err) == TN_OK || bad(p, key, &err);
}
static bool read_bool(const tn_json *root, const char *key, bool *out, tn_api_problem *p) {
  tn_error err;
  return tn_json_get_bool(root, key, out, &err) == TN_OK || bad(p, key, &err);
}

static bool read_sampling(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  tn_sampling *s = &r->sampling;
  int64_t top_k = 0, seed = 0;
  s->temperature = s->top_p = 1;
  if (!read_real(root, "temperature", &s->temperature, p) ||
      !read_real(root, "top_p", &s->top_p, p) || !read_real(root, "min_p", &s->min_p, p) ||
      !read_real(root, "presence_penalty", &s->presence_penalty, p) ||
      !read_real(root, "frequency_penalty", &s->frequency_penalty, p) ||
      !read_integer(root, "top_k", -1, INT32_MAX, &top_k, p) ||
      !read_integer(root, "seed", INT64_MIN, INT64_MAX, &seed, p)) {
    return false;
  }
  s->top_k = top_k < 0 ? 0 : (int32_t)top_k; /* others write -1 for off */
  r->seeded = given(root, "seed") != NULL;
  s->seed = (uint64_t)seed;
  return true;
}

static bool read_bias(const tn_json *v, tn_logit_bias *out, tn_api_problem *p) {
  int64_t id;
  bool known = tn_str_to_i64(v->key, &id) && id >= 0 && id <= INT32_MAX;
  if (known && v->kind == TN_JSON_NUMBER) {
    *out = (tn_logit_bias){(int32_t)id, (float)v->number};
    return true;
  }
  return tn_api_problem_set(
      p, 400, "logit_bias", NULL, "'logit_bias' wants numbers by token id, got %s for '%.*s'",
      tn_json_kind_name(v->kind), v->key.length > 60 ? 60 : (int)v->key.length, v->key.data);
}

/* "7" and "07" name one token: which of two biases would count? */
static bool check_new_bias(const tn_sampling *s, int32_t id, tn_api_problem *p) {
  for (int32_t i = 0; i < s->bias_count; i++) {
    if (s->biases[i].id == id)
      return tn_api_problem_set(p, 400, "logit_bias", NULL, "'logit_bias' has token id %d twice",
                                id);
  }
  return true;
}

static bool read_biases(tn_api_request *r, tn_arena *arena, const tn_json *root,
                        tn_api_problem *p) {
  const tn_json *v = given(root, "logit_bias");
  if (!v) return true;
  if (v->kind != TN_JSON_OBJECT || v->count > TN_LOGIT_BIASES_MAX) {
    return tn_api_problem_set(p, 400, "logit_bias", NULL,
                              "'logit_bias' wants an object of at most %d token ids",
                              TN_LOGIT_BIASES_MAX);
  }
  tn_logit_bias *biases = tn_arena_alloc(arena, (size_t)v->count + 1, sizeof *biases);
  if (!biases) return tn_api_problem_set(p, 500, NULL, NULL, "out of memory for 'logit_bias'");
  r->sampling.biases = biases;
  for (const tn_json *item = v->first; item; item = item->next) {
    tn_logit_bias *bias = &biases[r->sampling.bias_count];
    if (!read_bias(item, bias, p) || !check_new_bias(&r->sampling, bias->id, p)) return false;
    r->sampling.bias_count++;
  }
  return true;
}

/* How many answers to each prompt.  `best_of` may say the same once more: there is no choosing
 * among more than are shown. */
static bool read_choices(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  int64_t n = 1, best_of = 0, prompts = r->prompt_count > 1 ? r->prompt_count : 1;
  if (!read_integer(root, "n", 1, TN_API_CHOICES_MAX, &n, p) ||
      !read_integer(root, "best_of", 1, TN_API_CHOICES_MAX, &best_of, p)) {
    return false;
  }
  if (best_of > 0 && best_of != n) {
    return tn_api_problem_set(p, 400, "best_of", "unsupported_parameter",
                              "'best_of' is %lld and 'n' %lld; they are supported when equal",
                              (long long)best_of, (long long)n);
  }
  if (n * prompts > TN_API_CHOICES_MAX) {
    return tn_api_problem_set(p, 400, "n", NULL, "'n' of %lld for %lld prompts, limit %d answers",
                              (long long)n, (long long)prompts, TN_API_CHOICES_MAX);
  }
  r->choices = (int32_t)n;
  return true;
}

static bool read_logprobs(tn_api_request *r, const tn_json *root, bool chat, tn_api_problem *p) {
  int64_t top = 0;
  if (chat) {
    if (!read_bool(root, "logprobs", &r->sampling.logprobs, p) ||
        !read_integer(root, "top_logprobs", 0, TN_TOP_LOGPROBS_MAX, &top, p)) {
      return false;
    }
    if (top > 0 && !r->sampling.logprobs) {
      return tn_api_problem_set(p, 400, "top_logprobs", NULL,
                                "'top_logprobs' wants 'logprobs': true");
    }
  } else {
    if (!read_integer(root, "logprobs", 0, 5, &top, p)) return false;
    r->sampling.logprobs = given(root, "logprobs") != NULL;
  }
  r->sampling.top_logprobs = (int32_t)top;
  return true;
}

static bool add_stop(tn_api_request *r, const tn_json *v, tn_api_problem *p) {
  if (v->kind != TN_JSON_STRING || v->text.length == 0 || v->text.length > 1024) {
    return tn_api_problem_set(p, 400, "stop", NULL, "'stop' wants strings of 1 to 1024 bytes");
  }
  r->stops[r->stop_count++] = v->text;
  return true;
}

static bool read_stops(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  const tn_json *v = given(root, "stop");
  if (!v) return true;
  if (v->kind != TN_JSON_ARRAY) return add_stop(r, v, p);
  if (v->count > TN_API_STOPS_MAX) {
    return tn_api_problem_set(p, 400, "stop", NULL, "'stop' has %lld strings, limit %d",
                              (long long)v->count, TN_API_STOPS_MAX);
  }
  for (const tn_json *item = v->first; item; item = item->next) {
    if (!add_stop(r, item, p)) return false;
  }
  return true;
}

static bool read_stream(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  const tn_json *options = given(root, "stream_options");
  if (!read_bool(root, "stream", &r->stream, p)) return false;
  if (!options) return true;
  if (options->kind != TN_JSON_OBJECT || !r->stream) {
    return tn_api_problem_set(p, 400, "stream_options", NULL,
                              "'stream_options' is an object that goes with 'stream': true");
  }
  for (const tn_json *v = options->first; v; v = v->next) {
    /* include_obfuscation pads events against eavesdroppers; without TLS there is nothing to hide.
     */
    if (tn_str_is(v->key, "include_usage") || tn_str_is(v->key, "include_obfuscation")) continue;
    return tn_api_problem_set(p, 400, "stream_options", "unknown_parameter",
                              "unknown parameter 'stream_options.%.*s'",
                              v->key.length > 60 ? 60 : (int)v->key.length, v->key.data);
  }
  return read_bool(options, "include_usage", &r->include_usage, p);
}

static bool read_format(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  const tn_json *v = given(root, "response_format"), *type = v ? tn_json_get(v, "type") : NULL;
  if (!v) return true;
  if (v->kind != TN_JSON_OBJECT || !type || type->kind != TN_JSON_STRING) {
    return tn_api_problem_set(p, 400, "response_format", NULL,
                              "'response_format' wants an object with a 'type'");
  }
  r->json = tn_str_is(type->text, "json_object");
  if (v->count == 1 && (r->json || tn_str_is(type->text, "text"))) return true;
  return tn_api_problem_set(p, 400, "response_format", "unsupported_parameter",
                            "'response_format' of type '%.*s' is not supported; {\"type\": "
                            "\"json_object\"} is, without a "
                            "schema",
                            type->text.length > 60 ? 60 : (int)type->text.length, type->text.data);
}

static bool is_id_array(const tn_json *v) {
  if (v->kind != TN_JSON_ARRAY || v->count == 0) return false;
  for (const tn_json *item = v->first; item; item = item->next) {
    if (!item->is_integer) return false;
  }
  return true;
}

static bool add_prompt(tn_api_request *r, const tn_json *v, tn_api_problem *p) {
  tn_api_prompt *prompt = &r->prompts[r->prompt_count];
  if (v->kind == TN_JSON_STRING) {
    prompt->text = v->text;
  } else if (is_id_array(v)) {
    prompt->ids = v;
  } else {
    return tn_api_problem_set(
        p, 400, "prompt", NULL,
        "'prompt' wants a string, an array of token ids, or an array of either");
  }
  r->prompt_count++;
  return true;
}

static bool read_prompts(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  const tn_json *v = given(root, "prompt");
  if (!v) return tn_api_problem_set(p, 400, "prompt", NULL, "'prompt' is missing");
  if (v->kind != TN_JSON_ARRAY || is_id_array(v)) return add_prompt(r, v, p);
  if (v->count < 1 || v->count > TN_API_PROMPTS_MAX) {
    return tn_api_problem_set(p, 400, "prompt", NULL, "'prompt' has %lld items, wants 1 to %d",
                              (long long)v->count, TN_API_PROMPTS_MAX);
  }
  for (const tn_json *item = v->first; item; item = item->next) {
    if (!add_prompt(r, item, p)) return false;
  }
  return true;
}

static bool is_name(tn_str name) {
  for (size_t i = 0; i < name.length; i++) {
    char c = name.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
  }
  return name.length >= 1 && name.length <= 64;
}

static bool is_text(const tn_json *v, const char *text) {
  return v && v->kind == TN_JSON_STRING && tn_str_is(v->text, text);
}

static bool check_tool(const tn_json *tool, int64_t index, tn_api_problem *p) {
  const tn_json *function = tn_json_get(tool, "function"), *name = tn_json_get(function, "name"),
                *strict = tn_json_get(function, "strict");
  if (!is_text(tn_json_get(tool, "type"), "function") || !name || name->kind != TN_JSON_STRING ||
      !is_name(name->text)) {
    return tn_api_problem_set(
        p, 400, "tools", NULL,
        "tools[%lld]: wants {\"type\": \"function\", \"function\": {\"name\": "
        "1 to 64 letters, digits, _ and -, ...}}",
        (long long)index);
  }
  if (!strict || strict->kind == TN_JSON_NULL || is_off_false(strict)) return true;
  return tn_api_problem_set(p, 400, "tools", "unsupported_parameter",
                            "tools[%lld]: 'strict' is not supported; leave it out",
                            (long long)index);
}

/* The model decides whether it calls one, or is not told of them. */
static bool read_tools(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  const tn_json *v = given(root, "tools"), *choice = given(root, "tool_choice");
  bool several = true;
  int64_t index = 0;
  if (!read_bool(root, "parallel_tool_calls", &several, p)) return false;
  r->one_call = !several;
  if (v && (v->kind != TN_JSON_ARRAY || v->count > TN_API_TOOLS_MAX)) {
    return tn_api_problem_set(p, 400, "tools", NULL, "'tools' wants an array of at most %d",
                              TN_API_TOOLS_MAX);
  }
  for (const tn_json *tool = v ? v->first : NULL; tool; tool = tool->next)
    if (!check_tool(tool, index++, p)) return false;
  if (choice && !is_off_tool_choice(choice)) {
    return tn_api_problem_set(p, 400, "tool_choice", "unsupported_parameter",
                              "'tool_choice' is supported as \"auto\" and \"none\"");
  }
  if (v && v->count > 0 && !is_text(choice, "none")) r->tools = v;
  if (!r->tools || !r->json) return true;
  return tn_api_problem_set(p, 400, "response_format", "unsupported_parameter",
                            "'response_format' of type 'json_object' beside 'tools' is not "
                            "supported");
}

static bool read_messages(tn_api_request *r, const tn_json *root, tn_api_problem *p) {
  r->messages = given(root, "messages");
  if (r->messages && r->messages->kind == TN_JSON_ARRAY && r->messages->count > 0) return true;
  return tn_api_problem_set(p, 400, "messages", NULL,
                            "'messages' wants an array of at least one message");
}

/* No answer at all is of use where the prompt is shown. */
static bool read_length(tn_api_request *r, const tn_json *root, bool chat, tn_api_problem *p) {
  r->tokens_max = -1;
  if (!read_integer(root, "max_tokens", r->echo ? 0 : 1, INT32_MAX, &r->tokens_max, p))
    return false;
  return !chat || read_integer(root, "max_completion_tokens", 1, INT32_MAX, &r->tokens_max, p);
}

bool tn_api_request_read(tn_api_request *r, tn_arena *arena, tn_str body, bool chat,
                         tn_api_problem *p) {
  tn_json *root = NULL;
  tn_error err;
  tn_json_options options = {.depth_max = 64};
  memset(r, 0, sizeof *r);
  tn_status status = tn_json_parse(&root, arena, body, &options, &err);
  if (status == TN_ERR_MEMORY) return tn_api_problem_set(p, 500, NULL, NULL, "%s", err.text);
  if (status != TN_OK) {
    return tn_api_problem_set(p, 400, NULL, "invalid_json", "the body is not valid JSON: %s",
                              err.text);
  }
  if (root->kind != TN_JSON_OBJECT) {
    return tn_api_problem_set(p, 400, NULL, NULL, "the body is a JSON %s, wants an object",
                              tn_json_kind_name(root->kind));
  }
  if (!check_keys(root, chat ? CHAT : COMPLETION, p)) return false;
  if (tn_json_get_str(root, "model", &r->model, &err) != TN_OK) return bad(p, "model", &err);
  if (!read_bool(root, "echo", &r->echo, p) || !read_bool(root, "ignore_eos", &r->ignore_eos, p) ||
      !read_length(r, root, chat, p) || !read_sampling(r, root, p) ||
      !read_biases(r, arena, root, p) || !read_logprobs(r, root, chat, p) ||
      !read_stops(r, root, p) || !read_stream(r, root, p) || !read_format(r, root, p) ||
      !read_tools(r, root, p)) {
    return false;
  }
  if (tn_sampling_check(&r->sampling, &err) != TN_OK) {
    char name[32]; /* the message begins with the parameter's name */
    snprintf(name, sizeof name, "%.*s", (int)strcspn(err.text, " "), err.text);
    return bad(p, name, &err);
  }
  return (chat ? read_messages(r, root, p) : read_prompts(r, root, p)) && read_choices(r, root, p);
}
