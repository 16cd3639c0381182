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

/* TN_END: this is no call. */
static tn_status read_call(tn_tool_call *out, tn_arena *arena, tn_tool_form form, tn_str text,
                           tn_error *err) {
  const tn_json_options options = {.depth_max = JSON_DEPTH_MAX};
  tn_json *root = NULL;
  tn_status status = tn_json_parse(&root, arena, text, &options, err);
  if (status != TN_OK) return status == TN_ERR_MEMORY ? status : TN_END;
  const tn_json *name = tn_json_get(root, "name"), *arguments = tn_json_get(root, "arguments");
  if (form == TN_TOOL_BARE && !arguments) arguments = tn_json_get(root, "parameters");
  bool typed = form == TN_TOOL_BARE && tn_json_get(root, "type"); /* Llama adds it at times */
  if (!name || name->kind != TN_JSON_STRING || name->text.length == 0 || !arguments ||
      arguments->kind != TN_JSON_OBJECT || root->count != 2 + typed)
    return TN_END;
  out->name = name->text;
  return write_arguments(arguments, arena, &out->arguments, err);
}

/* ---- an answer ---- */

/* TN_END: not all is well-formed. */
static tn_status read_marked(tn_tool_answer *out, tn_arena *arena, tn_str text, tn_error *err) {
  size_t at = find(text, TN_STR(OPENING));
  if (at == text.length) return TN_END;
  out->text = trim_end((tn_str){text.data, at});
  for (text = behind(text, at); text.length > 0; text = tn_str_trim(text)) {
    if (!tn_str_starts(text, TN_STR(OPENING)) || out->count == TN_TOOL_CALLS_MAX) return TN_END;
    text = behind(text, sizeof OPENING - 1);
    size_t end = find(text, TN_STR(CLOSING));
    if (end == text.length) return TN_END;
    TN_TRY(
        read_call(&out->calls[out->count], arena, TN_TOOL_MARKED, (tn_str){text.data, end}, err));
    out->count++;
    text = behind(text, end + sizeof CLOSING - 1);
  }
  return TN_OK;
}

static tn_status read_bare(tn_tool_answer *out, tn_arena *arena, tn_str text, tn_error *err) {
  TN_TRY(read_call(&out->calls[0], arena, TN_TOOL_BARE, tn_str_trim(text), err));
  out->count = 1;
  return TN_OK;
}

tn_status tn_tool_answer_read(tn_tool_answer *out, tn_arena *arena, tn_tool_form form, tn_str text,
                              tn_error *err) {
  tn_status status = TN_END;
  out->text = (tn_str){text.data, 0};
  out->count = 0;
  if (form == TN_TOOL_MARKED) status = read_marked(out, arena, text, err);
  if (form == TN_TOOL_BARE) status = read_bare(out, arena, text, err);
  if (status != TN_END) return status;
  out->text = text;
  out->count = 0;
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
  bool good =
      !call.failed &&
      tn_tool_answer_read(&answer, arena, TN_TOOL_MARKED, tn_strbuf_view(&call), NULL) == TN_OK &&
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
