/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/conversation.h"

#include "serve/chat_prompt.h"

static void remove_turns(tn_conversation *c, size_t first, size_t count) {
  for (size_t i = first; i < first + count; i++) tn_strbuf_clear(&c->turns[i].content);
  memmove(c->turns + first, c->turns + first + count,
          (c->count - first - count) * sizeof *c->turns);
  c->count -= count;
}

void tn_conversation_clear(tn_conversation *c) {
  remove_turns(c, 0, c->count);
  tn_free(c->turns);
  *c = (tn_conversation){0};
}

tn_status tn_conversation_add(tn_conversation *c, const char *role, tn_str content, tn_error *err) {
  TN_TRY(tn_grow((void **)&c->turns, &c->capacity, c->count + 1, sizeof *c->turns, err));
  tn_turn turn = {.role = role};
  tn_strbuf_add_str(&turn.content, content);
  tn_status status = tn_strbuf_check(&turn.content, err);
  if (status == TN_OK)
    c->turns[c->count++] = turn;
  else
    tn_strbuf_clear(&turn.content);
  return status;
}

static bool has_system(const tn_conversation *c) {
  return c->count > 0 && strcmp(c->turns[0].role, "system") == 0;
}

tn_status tn_conversation_set_system(tn_conversation *c, tn_str content, tn_error *err) {
  if (has_system(c)) remove_turns(c, 0, 1);
  if (content.length == 0) return TN_OK;
  TN_TRY(tn_conversation_add(c, "system", content, err));
  tn_turn last = c->turns[c->count - 1];
  memmove(c->turns + 1, c->turns, (c->count - 1) * sizeof *c->turns);
  c->turns[0] = last;
  return TN_OK;
}

static bool is_question(const tn_turn *turn) {
  return strcmp(turn->role, "user") == 0;
}

bool tn_conversation_undo(tn_conversation *c) {
  for (size_t i = c->count; i-- > 0;) {
    if (!is_question(&c->turns[i])) continue;
    remove_turns(c, i, c->count - i);
    return true;
  }
  return false;
}

bool tn_conversation_drop_oldest(tn_conversation *c) {
  size_t first = has_system(c) ? 1 : 0, next = first + 1;
  while (next < c->count && !is_question(&c->turns[next])) next++;
  if (next >= c->count) return false;
  remove_turns(c, first, next - first);
  return true;
}

void tn_conversation_write(const tn_conversation *c, tn_json_writer *w) {
  tn_json_begin_array(w);
  for (size_t i = 0; i < c->count; i++) {
    tn_json_begin_object(w);
    tn_json_key(w, "role"), tn_json_cstr(w, c->turns[i].role);
    tn_json_key(w, "content"), tn_json_str(w, tn_strbuf_view(&c->turns[i].content));
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
}

tn_status tn_conversation_render(const tn_conversation *c, const tn_chat_template *t,
                                 tn_strbuf *out, tn_error *err) {
  tn_strbuf json = {0};
  tn_arena arena = {0};
  tn_json *messages = NULL;
  tn_api_problem problem = {0};
  tn_json_writer w = {.out = &json};
  tn_conversation_write(c, &w);
  tn_status status = tn_strbuf_check(&json, err);
  if (status == TN_OK) status = tn_json_parse(&messages, &arena, tn_strbuf_view(&json), NULL, err);
  if (status == TN_OK && !tn_chat_prompt_render(t, messages, NULL, out, &problem))
    status = tn_fail(err, TN_ERR_DATA, "%s", problem.error.text);
  tn_arena_clear(&arena);
  tn_strbuf_clear(&json);
  return status;
}
