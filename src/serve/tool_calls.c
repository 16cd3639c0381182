/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/tool_calls.h"

#define OPENING "<tool_call>"
#define CLOSING "</tool_call>"

enum { JSON_DEPTH_MAX = 64 };

static bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static tn_str trim_end(tn_str s) {
  while (s.length > 0 && is_space(s.data[s.length - 1])) s.length--;
  return s;
}

static tn_str behind(tn_str s, size_t bytes) {
  return (tn_str){s.data + bytes, s.length - bytes};
}

/* Where `part` begins; s.length: nowhere. */
static size_t find(tn_str s, tn_str part) {
  int64_t at = tn_str_find(s, part);
  return at < 0 ? s.length : (size_t)at;
}

/* ---- one call ---- */

/* The tree's text again, as the API hands it on. */
static tn_status write_arguments(const tn_json *arguments, tn_arena *arena, tn_str *out,
                                 tn_error *err) {
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_json_copy(&w, arguments);
  char *copy = text.failed ? NULL : tn_arena_strndup(arena, text.data, text.length);
  *out = (tn_str){copy, text.length};
  tn_strbuf_clear(&text);
  return copy ? TN_OK : tn_fail_memory(err, "the arguments of a tool call", out->length);
}

tn_status tn_tool_names_copy(tn_tool_names *out, tn_arena *arena, const tn_json *tools,
                             tn_error *err) {
  *out = (tn_tool_names){.items = tn_arena_alloc(arena, (size_t)tools->count, sizeof *out->items)};
  for (const tn_json *t = tools->first; t && out->items; t = t->next) {
    tn_str name = tn_json_get(tn_json_get(t, "function"), "name")->text;
    out->items[out->count++] =
        (tn_str){tn_arena_strndup(arena, name.data, name.length), name.length};
  }
  return arena->failed ? tn_fail_memory(err, "the names of tools", arena->used_bytes) : TN_OK;
}

static bool is_told(const tn_tool_names *names, tn_str name) {
  for (int32_t i = 0; names && i < names->count; i++)
    if (tn_str_equal(names->items[i], name)) return true;
  return !names;
}

typedef struct reading {
  tn_tool_form form;
  const tn_tool_names *names;
  tn_arena *arena;
  tn_tool_answer *out;
  char *left; /* its text: room for all that is read */
} reading;

/* TN_END: this is no call. */
static tn_status read_call(const reading *r, tn_tool_call *out, tn_str text, tn_error *err) {
  const tn_json_options options = {.depth_max = JSON_DEPTH_MAX};
  tn_json *root = NULL;
  tn_status status = tn_json_parse(&root, r->arena, text, &options, err);
  if (status != TN_OK) return status == TN_ERR_MEMORY ? status : TN_END;
  const tn_json *name = tn_json_get(root, "name"), *arguments = tn_json_get(root, "arguments");
  if (r->form == TN_TOOL_BARE && !arguments) arguments = tn_json_get(root, "parameters");
  bool typed = r->form == TN_TOOL_BARE && tn_json_get(root, "type"); /* Llama adds it at times */
  if (!name || name->kind != TN_JSON_STRING || name->text.length == 0 || !arguments ||
      arguments->kind != TN_JSON_OBJECT || root->count != 2 + typed ||
      !is_told(r->names, name->text))
    return TN_END;
  out->name = name->text;
  return write_arguments(arguments, r->arena, &out->arguments, err);
}

/* ---- an answer ---- */

static tn_status take_call(reading *r, tn_str text, tn_error *err) {
  if (r->out->count == TN_TOOL_CALLS_MAX) return TN_END;
  TN_TRY(read_call(r, &r->out->calls[r->out->count], text, err));
  r->out->count++;
  return TN_OK;
}

static void keep(reading *r, tn_str text) {
  if (text.length > 0) memcpy(r->left + r->out->text.length, text.data, text.length);
  r->out->text.length += text.length;
}

/* A mark that opens no call is text, and the search goes on right behind it. */
static tn_status read_marked(reading *r, tn_str text, tn_error *err) {
  size_t kept = 0, at = 0, end = 0; /* end: of the call, where the next closing mark is */
  for (;;) {
    at += find(behind(text, at), TN_STR(OPENING));
    size_t inside = at + sizeof OPENING - 1;
    if (at == text.length) break;
    if (end < inside) end = inside + find(behind(text, inside), TN_STR(CLOSING));
    if (end == text.length) break;
    tn_status status = take_call(r, (tn_str){text.data + inside, end - inside}, err);
    if (status == TN_OK) keep(r, (tn_str){text.data + kept, at - kept});
    if (status == TN_OK) kept = end + sizeof CLOSING - 1;
    if (status != TN_OK && status != TN_END) return status;
    at = status == TN_OK ? kept : inside;
  }
  keep(r, behind(text, kept));
  return TN_OK;
}

/* Bytes of the object that the text begins with; 0: none, or it has no end. */
static size_t object_bytes(tn_str text) {
  int64_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.length; i++) {
    char c = text.data[i];
    if (c == '"') quoted = !quoted;
    if (quoted && c == '\\') i++;
    if (quoted) continue;
    depth += (c == '{') - (c == '}');
    if (depth == 0) return c == '}' ? i + 1 : 0;
  }
  return 0;
}

/* Objects at the front; between calls Llama may write a semicolon. */
static tn_status read_bare(reading *r, tn_str text, tn_error *err) {
  size_t kept = 0, at = 0, bytes;
  for (;; at += bytes) {
    while (at < text.length && (is_space(text.data[at]) || (r->out->count && text.data[at] == ';')))
      at++;
    bytes = object_bytes(behind(text, at));
    if (bytes == 0) break;
    tn_status status = take_call(r, (tn_str){text.data + at, bytes}, err);
    if (status != TN_OK && status != TN_END) return status;
    if (status == TN_END) continue;
    tn_str between = {text.data + kept, at - kept};
    if (!tn_str_is(tn_str_trim(between), ";")) keep(r, between);
    kept = at + bytes;
  }
  keep(r, behind(text, kept));
  return TN_OK;
}

tn_status tn_tool_answer_read(tn_tool_answer *out, tn_arena *arena, tn_tool_form form,
                              const tn_tool_names *names, tn_str text, tn_error *err) {
  reading r = {form, names, arena, out, tn_arena_alloc(arena, 1, text.length + 1)};
  out->text = (tn_str){r.left, 0};
  out->count = 0;
  if (!r.left) return tn_fail_memory(err, "the text of an answer", text.length);
  if (form == TN_TOOL_MARKED) TN_TRY(read_marked(&r, text, err));
  if (form == TN_TOOL_BARE) TN_TRY(read_bare(&r, text, err));
  out->text = out->count > 0 ? trim_end(out->text) : text;
  return TN_OK;
}

/* The first place where a mark begins, or may begin when more comes. */
static size_t find_mark(tn_str text) {
  const tn_str mark = TN_STR(OPENING);
  for (size_t i = 0; i < text.length; i++) {
    tn_str rest = behind(text, i);
    if (tn_str_starts(rest, mark) || tn_str_starts(mark, rest)) return i;
  }
  return text.length;
}

size_t tn_tool_text_certain(tn_tool_form form, tn_str text, bool begun) {
  tn_str rest = tn_str_trim(text);
  if (form == TN_TOOL_MARKED) return trim_end((tn_str){text.data, find_mark(text)}).length;
  bool may_be_call = form == TN_TOOL_BARE && !begun && (rest.length == 0 || rest.data[0] == '{');
  return may_be_call ? 0 : text.length;
}

/* ---- which form ---- */

static const char probe_messages[] =
    "[{\"role\":\"user\",\"content\":\"q\"},"
    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"call00001\","
    "\"type\":\"function\",\"function\":{\"name\":\"tn_probe\",\"arguments\":{\"x\":1}}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"call00001\",\"name\":\"tn_probe\",\"content\":\"y\"}]";
static const char probe_tools[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"tn_probe\",\"description\":\"d\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}}}}}]";

/* The last mark of the prompt: before it a template may explain the form. */
static bool spells_marked(tn_str prompt, tn_arena *arena) {
  tn_tool_answer answer;
  tn_str last = {prompt.data, 0};
  for (tn_str rest = prompt; rest.length > 0;) {
    size_t at = find(rest, TN_STR(OPENING));
    if (at == rest.length) break;
    last = behind(rest, at);
    rest = behind(last, sizeof OPENING - 1);
  }
  last.length = find(last, TN_STR(CLOSING));
  tn_strbuf call = {0};
  tn_strbuf_add_str(&call, last);
  tn_strbuf_add(&call, CLOSING);
  bool good = !call.failed &&
              tn_tool_answer_read(&answer, arena, TN_TOOL_MARKED, NULL, tn_strbuf_view(&call),
                                  NULL) == TN_OK &&
              answer.count == 1 && tn_str_is(answer.calls[0].name, "tn_probe");
  tn_strbuf_clear(&call);
  return good;
}

static tn_status probe(tn_tool_form *out, const tn_chat_template *t, tn_arena *arena,
                       tn_strbuf *prompt, tn_error *err) {
  const tn_str bare = TN_STR("{\"name\": \"tn_probe\", \"parameters\": ");
  tn_json *messages, *tools;
  TN_TRY(tn_json_parse(&messages, arena, tn_str_of(probe_messages), NULL, err));
  TN_TRY(tn_json_parse(&tools, arena, tn_str_of(probe_tools), NULL, err));
  const tn_chat chat = {.messages = messages, .tools = tools};
  tn_status status = tn_chat_template_render(t, &chat, NULL, prompt, err);
  if (status != TN_OK) return status == TN_ERR_MEMORY ? status : TN_OK; /* it knows no tools */
  tn_str text = tn_strbuf_view(prompt);
  if (spells_marked(text, arena))
    *out = TN_TOOL_MARKED;
  else if (find(text, bare) < text.length)
    *out = TN_TOOL_BARE;
  return TN_OK;
}

tn_status tn_tool_form_of(tn_tool_form *out, const tn_chat_template *t, tn_error *err) {
  *out = TN_TOOL_NONE;
  if (!t) return TN_OK;
  tn_arena arena = {0};
  tn_strbuf prompt = {0};
  tn_status status = probe(out, t, &arena, &prompt, err);
  tn_strbuf_clear(&prompt);
  tn_arena_clear(&arena);
  return status;
}
