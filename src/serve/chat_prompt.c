/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/chat_prompt.h"

static const char *speaker(tn_str role) {
  if (tn_str_is(role, "system") || tn_str_is(role, "developer")) return "System";
  if (tn_str_is(role, "user")) return "User";
  if (tn_str_is(role, "assistant")) return "Assistant";
  return NULL;
}

static bool add_content(const tn_json *content, int64_t index, tn_strbuf *out, tn_api_problem *p) {
  if (content && content->kind == TN_JSON_STRING) {
    tn_strbuf_add_str(out, content->text);
    return true;
  }
  bool parts = content && content->kind == TN_JSON_ARRAY;
  for (const tn_json *part = parts ? content->first : NULL; part; part = part->next) {
    const tn_json *type = tn_json_get(part, "type"), *text = tn_json_get(part, "text");
    parts = type && type->kind == TN_JSON_STRING && tn_str_is(type->text, "text") && text &&
            text->kind == TN_JSON_STRING;
    if (!parts) break;
    tn_strbuf_add_str(out, text->text);
  }
  if (parts) return true;
  return tn_api_problem_set(p, 400, "messages", NULL,
                            "messages[%lld]: content wants a string or an array of text parts",
                            (long long)index);
}

static tn_str shortened(tn_str text) {
  return (tn_str){text.data, text.length > 60 ? 60 : text.length};
}

/* What would change the answer and is not read is refused; null and what is empty say nothing. */
static bool says_something(const tn_json *v) {
  bool empty = v->kind == TN_JSON_STRING
                   ? v->text.length == 0
                   : (v->kind == TN_JSON_ARRAY || v->kind == TN_JSON_OBJECT) && v->count == 0;
  return v->kind != TN_JSON_NULL && !empty;
}

/* Role and content of one message, and nothing else in it. */
static bool read_message(const tn_json *m, int64_t index, tn_str *role, tn_strbuf *content,
                         tn_api_problem *p) {
  tn_error err;
  if (m->kind != TN_JSON_OBJECT || tn_json_get_str(m, "role", role, &err) != TN_OK || !role->data) {
    return tn_api_problem_set(p, 400, "messages", NULL,
                              "messages[%lld]: wants an object with a role", (long long)index);
  }
  for (const tn_json *v = m->first; v; v = v->next) {
    bool known = tn_str_is(v->key, "role") || tn_str_is(v->key, "content");
    if (known || !says_something(v)) continue;
    return tn_api_problem_set(p, 400, "messages", "unsupported_parameter",
                              "messages[%lld]: '%.*s' is not supported", (long long)index,
                              TN_STR_ARG(shortened(v->key)));
  }
  return add_content(tn_json_get(m, "content"), index, content, p);
}

static bool out_of_memory(tn_api_problem *p) {
  return tn_api_problem_set(p, 500, NULL, NULL, "out of memory for the chat");
}

/* ---- plain ---- */
static bool render_plain(const tn_json *messages, tn_strbuf *out, tn_api_problem *p) {
  int64_t index = 0;
  for (const tn_json *m = messages->first; m; m = m->next, index++) {
    tn_str role = {0};
    tn_strbuf content = {0};
    bool good = read_message(m, index, &role, &content, p);
    const char *name = good ? speaker(role) : NULL;
    if (good && !name) {
      good = tn_api_problem_set(
          p, 400, "messages", NULL,
          "messages[%lld]: role '%.*s', wants system, developer, user or assistant",
          (long long)index, TN_STR_ARG(shortened(role)));
    }
    if (good) {
      tn_strbuf_addf(out, "%s: ", name);
      tn_strbuf_add_str(out, tn_strbuf_view(&content));
      tn_strbuf_add_char(out, '\n');
      out->failed = out->failed || content.failed;
    }
    tn_strbuf_clear(&content);
    if (!good) return false;
  }
  tn_strbuf_add(out, "Assistant:");
  return !out->failed || out_of_memory(p);
}

/* ---- by the model's template ---- */
/* The messages again, with every content as one string: what templates expect. */
static bool flatten(const tn_json *messages, tn_strbuf *json, tn_api_problem *p) {
  tn_json_writer w = {.out = json};
  int64_t index = 0;
  tn_json_begin_array(&w);
  for (const tn_json *m = messages->first; m; m = m->next, index++) {
    tn_str role = {0};
    tn_strbuf content = {0};
    bool good = read_message(m, index, &role, &content, p);
    if (good) {
      tn_json_begin_object(&w);
      tn_json_key(&w, "role"), tn_json_str(&w, role);
      tn_json_key(&w, "content"), tn_json_str(&w, tn_strbuf_view(&content));
      tn_json_end_object(&w);
      json->failed = json->failed || content.failed;
    }
    tn_strbuf_clear(&content);
    if (!good) return false;
  }
  tn_json_end_array(&w);
  return !json->failed || out_of_memory(p);
}

static bool render_template(const tn_chat_template *t, const tn_json *messages, tn_strbuf *out,
                            tn_api_problem *p) {
  tn_strbuf json = {0};
  tn_arena arena = {0};
  tn_json *flat = NULL;
  tn_error err;
  bool good = flatten(messages, &json, p);
  if (good && tn_json_parse(&flat, &arena, tn_strbuf_view(&json), NULL, &err) != TN_OK)
    good = out_of_memory(p);
  if (good) {
    tn_chat chat = {.messages = flat};
    tn_status status = tn_chat_template_render(t, &chat, NULL, out, &err);
    bool clients = status != TN_ERR_MEMORY;
    if (status != TN_OK)
      good = tn_api_problem_set(p, clients ? 400 : 500, "messages", NULL, "%s", err.text);
  }
  tn_arena_clear(&arena);
  tn_strbuf_clear(&json);
  return good;
}

bool tn_chat_prompt_render(const tn_chat_template *t, const tn_json *messages, tn_strbuf *out,
                           tn_api_problem *p) {
  return t ? render_template(t, messages, out, p) : render_plain(messages, out, p);
}

void tn_chat_prompt_stops(tn_str *stops, int32_t *count) {
  stops[(*count)++] = TN_STR("\nUser:");
  stops[(*count)++] = TN_STR("\nSystem:");
}
