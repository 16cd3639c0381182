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

typedef struct message { /* of the request; calls NULL: none */
  tn_str role, name, call_id;
  const tn_json *calls;
  tn_strbuf content;
} message;

/* What belongs to tools has a meaning only for a template. */
static bool is_known(const message *m, tn_str key, bool by_template) {
  if (tn_str_is(key, "role") || tn_str_is(key, "content")) return true;
  if (!by_template) return false;
  if (tn_str_is(key, "tool_calls")) return tn_str_is(m->role, "assistant");
  return tn_str_is(m->role, "tool") && (tn_str_is(key, "tool_call_id") || tn_str_is(key, "name"));
}

static bool read_tool_parts(const tn_json *from, int64_t index, message *m, tn_api_problem *p) {
  tn_error err;
  const tn_json *calls = tn_json_get(from, "tool_calls");
  if (tn_json_get_str(from, "tool_call_id", &m->call_id, &err) != TN_OK ||
      tn_json_get_str(from, "name", &m->name, &err) != TN_OK) {
    return tn_api_problem_set(p, 400, "messages", NULL, "messages[%lld]: %s", (long long)index,
                              err.text);
  }
  if (calls && says_something(calls)) m->calls = calls;
  if (!m->calls || m->calls->kind == TN_JSON_ARRAY) return true;
  return tn_api_problem_set(p, 400, "messages", NULL, "messages[%lld]: tool_calls wants an array",
                            (long long)index);
}

/* One message, and nothing in it that is not read. */
static bool read_message(const tn_json *from, int64_t index, bool by_template, message *m,
                         tn_api_problem *p) {
  tn_error err;
  if (from->kind != TN_JSON_OBJECT || tn_json_get_str(from, "role", &m->role, &err) != TN_OK ||
      !m->role.data) {
    return tn_api_problem_set(p, 400, "messages", NULL,
                              "messages[%lld]: wants an object with a role", (long long)index);
  }
  for (const tn_json *v = from->first; v; v = v->next) {
    if (is_known(m, v->key, by_template) || !says_something(v)) continue;
    return tn_api_problem_set(p, 400, "messages", "unsupported_parameter",
                              "messages[%lld]: '%.*s' is not supported", (long long)index,
                              TN_STR_ARG(shortened(v->key)));
  }
  if (by_template && !read_tool_parts(from, index, m, p)) return false;
  const tn_json *content = tn_json_get(from, "content");
  bool may_lack = m->calls && (!content || content->kind == TN_JSON_NULL);
  return may_lack || add_content(content, index, &m->content, p);
}

static bool out_of_memory(tn_api_problem *p) {
  return tn_api_problem_set(p, 500, NULL, NULL, "out of memory for the chat");
}

/* ---- plain ---- */
static bool add_plain(const message *m, int64_t index, tn_strbuf *out, tn_api_problem *p) {
  const char *name = speaker(m->role);
  if (!name) {
    return tn_api_problem_set(p, 400, "messages", NULL,
                              "messages[%lld]: role '%.*s', wants system, developer, user or "
                              "assistant",
                              (long long)index, TN_STR_ARG(shortened(m->role)));
  }
  tn_strbuf_addf(out, "%s: ", name);
  tn_strbuf_add_str(out, tn_strbuf_view(&m->content));
  tn_strbuf_add_char(out, '\n');
  out->failed = out->failed || m->content.failed;
  return true;
}

static bool render_plain(const tn_json *messages, tn_strbuf *out, tn_api_problem *p) {
  int64_t index = 0;
  for (const tn_json *from = messages->first; from; from = from->next, index++) {
    message m = {0};
    bool good = read_message(from, index, false, &m, p) && add_plain(&m, index, out, p);
    tn_strbuf_clear(&m.content);
    if (!good) return false;
  }
  tn_strbuf_add(out, "Assistant:");
  return !out->failed || out_of_memory(p);
}

/* ---- by the model's template ---- */
/* Templates want an object; the API has it as text, which a model wrote and may have got wrong. */
static bool write_arguments(tn_json_writer *w, tn_str text, tn_api_problem *p) {
  const tn_json_options options = {.depth_max = 64};
  tn_arena arena = {0};
  tn_json *root;
  tn_error err;
  tn_status status = tn_json_parse(&root, &arena, text, &options, &err);
  if (status == TN_OK && root->kind == TN_JSON_OBJECT)
    tn_json_copy(w, root);
  else
    tn_json_str(w, text);
  tn_arena_clear(&arena);
  return status != TN_ERR_MEMORY || out_of_memory(p);
}

static bool write_call(tn_json_writer *w, const tn_json *call, int64_t index, tn_api_problem *p) {
  const tn_json *function = tn_json_get(call, "function"), *id = tn_json_get(call, "id"),
                *name = tn_json_get(function, "name"),
                *arguments = tn_json_get(function, "arguments");
  if (!name || name->kind != TN_JSON_STRING || !arguments || arguments->kind != TN_JSON_STRING) {
    return tn_api_problem_set(p, 400, "messages", NULL,
                              "messages[%lld]: a call in tool_calls wants a function with a name "
                              "and arguments, both strings",
                              (long long)index);
  }
  tn_json_begin_object(w);
  if (id && id->kind == TN_JSON_STRING) tn_json_key(w, "id"), tn_json_str(w, id->text);
  tn_json_key(w, "type"), tn_json_cstr(w, "function");
  tn_json_key(w, "function");
  tn_json_begin_object(w);
  tn_json_key(w, "name"), tn_json_str(w, name->text);
  tn_json_key(w, "arguments");
  bool good = write_arguments(w, arguments->text, p);
  tn_json_end_object(w);
  tn_json_end_object(w);
  return good;
}

/* A mark at the content's end shows whether the template has used the message. */
static void add_mark(tn_strbuf *out, int64_t index) {
  tn_strbuf_addf(out, "[tenon %lld]", (long long)index);
}

/* The roles for which no template needs to be asked.  What an assistant has said may be dropped:
 * its thoughts, or the words beside a call. */
static bool is_surely_used(tn_str role) {
  return tn_str_is(role, "user") || tn_str_is(role, "assistant");
}

/* OpenAI's name for the system's instructions, which few templates have. */
static tn_str template_role(const tn_chat_template *t, tn_str role) {
  bool renamed = tn_str_is(role, "developer") && !tn_chat_template_knows_developer(t);
  return renamed ? TN_STR("system") : role;
}

static bool write_message(tn_json_writer *w, const message *m, int64_t index, tn_api_problem *p) {
  bool good = true;
  tn_json_begin_object(w);
  tn_json_key(w, "role"), tn_json_str(w, m->role);
  tn_json_key(w, "content"), tn_json_str(w, tn_strbuf_view(&m->content));
  if (m->name.data) tn_json_key(w, "name"), tn_json_str(w, m->name);
  if (m->call_id.data) tn_json_key(w, "tool_call_id"), tn_json_str(w, m->call_id);
  if (m->calls) {
    tn_json_key(w, "tool_calls");
    tn_json_begin_array(w);
    for (const tn_json *call = m->calls->first; call && good; call = call->next)
      good = write_call(w, call, index, p);
    tn_json_end_array(w);
  }
  tn_json_end_object(w);
  return good && (!m->content.failed || out_of_memory(p));
}

/* The messages again, with every content as one string: what templates expect. */
static bool flatten(const tn_chat_template *t, const tn_json *messages, bool marked,
                    tn_strbuf *json, tn_api_problem *p) {
  tn_json_writer w = {.out = json};
  int64_t index = 0;
  tn_json_begin_array(&w);
  for (const tn_json *from = messages->first; from; from = from->next, index++) {
    message m = {0};
    bool good = read_message(from, index, true, &m, p);
    m.role = template_role(t, m.role);
    if (marked && !is_surely_used(m.role)) add_mark(&m.content, index);
    good = good && write_message(&w, &m, index, p);
    tn_strbuf_clear(&m.content);
    if (!good) return false;
  }
  tn_json_end_array(&w);
  return !json->failed || out_of_memory(p);
}

static bool render_once(const tn_chat_template *t, const tn_json *messages, const tn_json *tools,
                        bool marked, tn_strbuf *out, tn_api_problem *p) {
  tn_strbuf json = {0};
  tn_arena arena = {0};
  tn_json *flat = NULL;
  tn_error err;
  bool good = flatten(t, messages, marked, &json, p);
  if (good && tn_json_parse(&flat, &arena, tn_strbuf_view(&json), NULL, &err) != TN_OK)
    good = out_of_memory(p);
  if (good) {
    tn_chat chat = {.messages = flat, .tools = tools};
    tn_status status = tn_chat_template_render(t, &chat, NULL, out, &err);
    bool clients = status != TN_ERR_MEMORY;
    if (status != TN_OK)
      good = tn_api_problem_set(p, clients ? 400 : 500, "messages", NULL, "%s", err.text);
  }
  tn_arena_clear(&arena);
  tn_strbuf_clear(&json);
  return good;
}

static bool holds_mark(tn_str prompt, int64_t index) {
  tn_strbuf mark = {0};
  add_mark(&mark, index);
  bool found = mark.failed || tn_str_find(prompt, tn_strbuf_view(&mark)) >= 0;
  tn_strbuf_clear(&mark);
  return found;
}

static bool find_marks(const tn_json *messages, tn_str prompt, tn_api_problem *p) {
  int64_t index = 0;
  for (const tn_json *m = messages->first; m; m = m->next, index++) {
    tn_str role = tn_json_get(m, "role")->text;
    if (is_surely_used(role) || holds_mark(prompt, index)) continue;
    return tn_api_problem_set(p, 400, "messages", NULL,
                              "messages[%lld]: the model's chat template leaves a message of role "
                              "'%.*s' out",
                              (long long)index, TN_STR_ARG(shortened(role)));
  }
  return true;
}

/* Templates pass over what they do not know.  One that refuses the marked conversation has at least
 * looked at it. */
static bool check_used(const tn_chat_template *t, const tn_json *messages, const tn_json *tools,
                       tn_api_problem *p) {
  bool needed = false;
  for (const tn_json *m = messages->first; m && !needed; m = m->next)
    needed = !is_surely_used(tn_json_get(m, "role")->text);
  if (!needed) return true;
  tn_strbuf marked = {0};
  tn_api_problem refusal = {0};
  bool good = render_once(t, messages, tools, true, &marked, &refusal)
                  ? find_marks(messages, tn_strbuf_view(&marked), p)
                  : refusal.status != 500 || out_of_memory(p);
  tn_strbuf_clear(&marked);
  return good;
}

static bool render_template(const tn_chat_template *t, const tn_json *messages,
                            const tn_json *tools, tn_strbuf *out, tn_api_problem *p) {
  return render_once(t, messages, tools, false, out, p) && check_used(t, messages, tools, p);
}

bool tn_chat_prompt_render(const tn_chat_template *t, const tn_json *messages, const tn_json *tools,
                           tn_strbuf *out, tn_api_problem *p) {
  return t ? render_template(t, messages, tools, out, p) : render_plain(messages, out, p);
}

void tn_chat_prompt_stops(tn_str *stops, int32_t *count) {
  stops[(*count)++] = TN_STR("\nUser:");
  stops[(*count)++] = TN_STR("\nSystem:");
}
