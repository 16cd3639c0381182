/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api_answer.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "serve/api_request.h"

tn_api_answer *tn_api_answer_new(tn_http_exchange *x, int32_t choice_count) {
  size_t bytes = sizeof(tn_api_answer) + (size_t)choice_count * sizeof(tn_api_choice);
  tn_api_answer *answer = tn_alloc(1, bytes);
  if (!answer) return NULL;
  answer->exchange = tn_http_share(x);
  answer->choice_count = choice_count;
  for (int32_t i = 0; i < choice_count; i++) {
    answer->choices[i].answer = answer;
    answer->choices[i].index = i;
  }
  return answer;
}

void tn_api_answer_free(tn_api_answer *answer) {
  if (!answer) return;
  for (int32_t i = 0; i < answer->choice_count; i++) {
    tn_api_choice *c = &answer->choices[i];
    tn_strbuf_clear(&c->text);
    tn_strbuf_clear(&c->held);
    tn_strbuf_clear(&c->calls);
    tn_strbuf_clear(&c->echo);
    tn_strbuf_clear(&c->logprobs);
    tn_strbuf_clear(&c->logprobs_top);
    tn_strbuf_clear(&c->logprobs_values);
    tn_strbuf_clear(&c->logprobs_offsets);
  }
  tn_strbuf_clear(&answer->json);
  tn_arena_clear(&answer->arena);
  tn_http_drop(answer->exchange);
  tn_free(answer);
}

/* ---- logprobs
 * ------------------------------------------------------------------------------------------- */

/* A token's bytes as text; tokens may be parts of characters. */
static void token_text(const tn_tokenizer *t, int32_t id, tn_strbuf *out) {
  tn_strbuf_reset(out);
  tn_utf8_append_repaired(out, tn_tokenizer_bytes(t, id));
}

static int64_t count_characters(tn_str text) {
  int64_t count = 0;
  for (size_t i = 0; i < text.length; i++) count += ((uint8_t)text.data[i] & 0xc0) != 0x80;
  return count;
}

static void write_chat_token(const tn_tokenizer *t, tn_json_writer *w, int32_t id, float logprob,
                             tn_strbuf *scratch) {
  tn_str bytes = tn_tokenizer_bytes(t, id);
  token_text(t, id, scratch);
  tn_json_key(w, "token");
  tn_json_str(w, tn_strbuf_view(scratch));
  tn_json_key(w, "logprob");
  tn_json_f64(w, (double)logprob);
  tn_json_key(w, "bytes");
  tn_json_begin_array(w);
  for (size_t i = 0; i < bytes.length; i++) tn_json_i64(w, (uint8_t)bytes.data[i]);
  tn_json_end_array(w);
}

/* One item of a chat's logprobs.content. */
static void add_chat_logprob(tn_api_choice *c, const tn_sample *s) {
  const tn_tokenizer *t = c->answer->tokenizer;
  tn_strbuf scratch = {0};
  if (c->logprobs.length) tn_strbuf_add_char(&c->logprobs, ',');
  tn_json_writer w = {.out = &c->logprobs};
  tn_json_begin_object(&w);
  write_chat_token(t, &w, s->id, s->logprob, &scratch);
  tn_json_key(&w, "top_logprobs");
  tn_json_begin_array(&w);
  for (int32_t i = 0; i < s->top_count; i++) {
    tn_json_begin_object(&w);
    write_chat_token(t, &w, s->top[i].id, s->top[i].logprob, &scratch);
    tn_json_end_object(&w);
  }
  tn_json_end_array(&w);
  tn_json_end_object(&w);
  tn_strbuf_clear(&scratch);
}

/* A token that is a part of characters is "bytes:\xe6\x97" in a completion, as OpenAI writes it:
 * the keys of top_logprobs have to tell such tokens apart. */
static void completion_token(const tn_tokenizer *t, int32_t id, tn_strbuf *out) {
  tn_str bytes = tn_tokenizer_bytes(t, id);
  token_text(t, id, out);
  if (tn_str_equal(tn_strbuf_view(out), bytes)) return;
  tn_strbuf_reset(out);
  tn_strbuf_add(out, "bytes:");
  for (size_t i = 0; i < bytes.length; i++) {
    uint8_t byte = (uint8_t)bytes.data[i];
    tn_strbuf_addf(out, byte < 0x80 ? "%c" : "\\x%02x", byte);
  }
}

static void add_top_item(const tn_tokenizer *t, tn_json_writer *w, int32_t id, float logprob,
                         tn_strbuf *scratch) {
  completion_token(t, id, scratch);
  tn_json_key_str(w, tn_strbuf_view(scratch));
  tn_json_f64(w, (double)logprob);
}

/* Whether one of the first `count` alternatives has these bytes: ids may share them. */
static bool is_among(const tn_tokenizer *t, const tn_sample *s, int32_t count, int32_t id) {
  tn_str bytes = tn_tokenizer_bytes(t, id);
  for (int32_t i = 0; i < count; i++)
    if (tn_str_equal(tn_tokenizer_bytes(t, s->top[i].id), bytes)) return true;
  return false;
}

/* The likeliest tokens by their text, and the token itself where it is none of them. */
static void add_top(const tn_tokenizer *t, tn_json_writer *w, const tn_sample *s,
                    tn_strbuf *scratch) {
  tn_json_begin_object(w);
  for (int32_t i = 0; i < s->top_count; i++)
    if (!is_among(t, s, i, s->top[i].id))
      add_top_item(t, w, s->top[i].id, s->top[i].logprob, scratch);
  if (!is_among(t, s, s->top_count, s->id)) add_top_item(t, w, s->id, s->logprob, scratch);
  tn_json_end_object(w);
}

/* A completion has parallel lists: tokens, token_logprobs, top_logprobs (objects), text_offset. The
 * first token of a prompt has null in two of them: nothing came before it. */
static void add_completion_logprob(tn_api_choice *c, const tn_sample *s) {
  const tn_tokenizer *t = c->answer->tokenizer;
  const char *comma = c->logprobs.length ? "," : "";
  tn_strbuf scratch = {0};
  tn_json_writer tokens = {.out = &c->logprobs}, values = {.out = &c->logprobs_values},
                 top = {.out = &c->logprobs_top};
  completion_token(t, s->id, &scratch);
  tn_strbuf_add(&c->logprobs, comma);
  tn_json_str(&tokens, tn_strbuf_view(&scratch));
  tn_strbuf_add(&c->logprobs_values, comma);
  tn_json_f64(&values, (double)s->logprob);
  tn_strbuf_addf(&c->logprobs_offsets, "%s%lld", comma, (long long)c->text_offset);
  tn_strbuf_add(&c->logprobs_top, comma);
  isnan(s->logprob) ? tn_json_null(&top) : add_top(t, &top, s, &scratch);
  tn_strbuf_clear(&scratch);
}

/* How many bytes at the front of the echoed text a token of the prompt stands for.  What the
 * tokenizer has added (<s>, a space in front) is not there. */
static size_t shown_bytes(const tn_tokenizer *t, int32_t id, tn_str rest) {
  tn_str token = tn_tokenizer_bytes(t, id);
  if (tn_str_starts(rest, token)) return token.length;
  if (tn_tokenizer_is_special(t, id)) return 0;
  if (token.data[0] == ' ' && tn_str_starts(rest, (tn_str){token.data + 1, token.length - 1}))
    return token.length - 1;
  return token.length < rest.length ? token.length : rest.length; /* a normalizer's doing */
}

static void add_prompt_logprob(tn_api_choice *c, const tn_sample *s) {
  tn_str rest = {c->echo.data + c->echoed, c->echo.length - c->echoed};
  size_t shown = shown_bytes(c->answer->tokenizer, s->id, rest);
  add_completion_logprob(c, s);
  c->text_offset += count_characters((tn_str){rest.data, shown});
  c->echoed += shown;
}

static void add_sampled_logprob(tn_api_choice *c, const tn_sample *s) {
  tn_strbuf text = {0};
  if (c->answer->chat) {
    add_chat_logprob(c, s);
    return;
  }
  add_completion_logprob(c, s);
  token_text(c->answer->tokenizer, s->id, &text);
  c->text_offset += count_characters(tn_strbuf_view(&text));
  tn_strbuf_clear(&text);
}

static void write_list(tn_json_writer *w, const char *key, tn_strbuf *items) {
  tn_strbuf list = {0};
  tn_strbuf_add_char(&list, '[');
  tn_strbuf_add_str(&list, tn_strbuf_view(items));
  tn_strbuf_add_char(&list, ']');
  tn_json_key(w, key);
  tn_json_raw(w, tn_strbuf_view(&list));
  tn_strbuf_clear(&list);
  tn_strbuf_reset(items);
}

static void write_logprobs(tn_json_writer *w, tn_api_choice *c) {
  tn_json_key(w, "logprobs");
  if (!c->answer->logprobs) {
    tn_json_null(w);
    return;
  }
  tn_json_begin_object(w);
  if (c->answer->chat) {
    write_list(w, "content", &c->logprobs);
  } else {
    write_list(w, "tokens", &c->logprobs);
    write_list(w, "token_logprobs", &c->logprobs_values);
    write_list(w, "top_logprobs", &c->logprobs_top);
    write_list(w, "text_offset", &c->logprobs_offsets);
  }
  tn_json_end_object(w);
}

/* ---- JSON
 * ------------------------------------------------------------------------------------------------
 */

static void write_finish(tn_json_writer *w, const tn_api_choice *c) {
  tn_json_key(w, "finish_reason");
  if (c->finish == TN_FINISH_NONE) {
    tn_json_null(w);
  } else if (c->finish == TN_FINISH_LENGTH) {
    tn_json_cstr(w, "length");
  } else {
    tn_json_cstr(w, c->calls.length ? "tool_calls" : "stop");
  }
}

static void write_usage(tn_json_writer *w, const tn_api_answer *a) {
  int64_t prompt = 0, sampled = 0;
  for (int32_t i = 0; i < a->choice_count; i++) {
    prompt += a->choices[i].prompt_tokens;
    sampled += a->choices[i].sampled;
  }
  tn_json_key(w, "usage");
  tn_json_begin_object(w);
  tn_json_key(w, "prompt_tokens");
  tn_json_i64(w, prompt);
  tn_json_key(w, "completion_tokens");
  tn_json_i64(w, sampled);
  tn_json_key(w, "total_tokens");
  tn_json_i64(w, prompt + sampled);
  tn_json_end_object(w);
}

static tn_json_writer begin_answer(tn_api_answer *a, const char *object) {
  tn_strbuf_reset(&a->json);
  tn_json_writer w = {.out = &a->json};
  tn_json_begin_object(&w);
  tn_json_key(&w, "id");
  tn_json_cstr(&w, a->id);
  tn_json_key(&w, "object");
  tn_json_cstr(&w, object);
  tn_json_key(&w, "created");
  tn_json_i64(&w, a->created);
  tn_json_key(&w, "model");
  tn_json_cstr(&w, a->model_name);
  tn_json_key(&w, "choices");
  tn_json_begin_array(&w);
  return w;
}

static void write_message(tn_json_writer *w, const tn_api_choice *c, bool with_role) {
  tn_json_begin_object(w);
  if (with_role) {
    tn_json_key(w, "role");
    tn_json_cstr(w, "assistant");
  }
  tn_json_key(w, "content");
  if (c->calls.length && c->text.length == 0)
    tn_json_null(w);
  else
    tn_json_str(w, tn_strbuf_view(&c->text));
  if (c->calls.length) {
    tn_json_key(w, "tool_calls");
    tn_json_begin_array(w);
    tn_json_raw(w, tn_strbuf_view(&c->calls));
    tn_json_end_array(w);
  }
  tn_json_end_object(w);
}

static void write_choice(tn_json_writer *w, tn_api_choice *c, const char *message_key,
                         bool with_role) {
  tn_json_begin_object(w);
  tn_json_key(w, "index");
  tn_json_i64(w, c->index);
  if (c->answer->chat) {
    tn_json_key(w, message_key);
    write_message(w, c, with_role);
  } else {
    tn_json_key(w, "text");
    tn_json_str(w, tn_strbuf_view(&c->text));
  }
  write_logprobs(w, c);
  write_finish(w, c);
  tn_json_end_object(w);
}

/* ---- streamed
 * ------------------------------------------------------------------------------------------- */

static void begin_stream(tn_api_answer *a) {
  if (a->begun) return;
  a->begun = true;
  tn_http_stream_begin(a->exchange, "text/event-stream");
}

/* The text since the last event.  A refused write makes the exchange gone, which ends the
 * generation at its next step. */
static void send_chunk(tn_api_choice *c, bool with_role) {
  tn_api_answer *a = c->answer;
  begin_stream(a);
  tn_json_writer w = begin_answer(a, a->chat ? "chat.completion.chunk" : "text_completion");
  write_choice(&w, c, "delta", with_role);
  tn_json_end_array(&w);
  if (a->include_usage) {
    tn_json_key(&w, "usage");
    tn_json_null(&w);
  }
  tn_json_end_object(&w);
  if (!a->json.failed) (void)tn_http_stream_event(a->exchange, tn_strbuf_view(&a->json));
  tn_strbuf_reset(&c->text);
}

static void send_error_event(tn_api_answer *a) {
  tn_api_problem problem;
  tn_api_problem_set(&problem, a->error_status, NULL, NULL, "%s", a->error);
  tn_strbuf_reset(&a->json);
  tn_api_problem_write(&problem, &a->json);
  (void)tn_http_stream_event(a->exchange, tn_strbuf_view(&a->json));
}

static void end_stream(tn_api_answer *a) {
  begin_stream(a);
  if (a->error[0]) send_error_event(a);
  if (a->include_usage && !a->error[0]) {
    tn_json_writer w = begin_answer(a, a->chat ? "chat.completion.chunk" : "text_completion");
    tn_json_end_array(&w);
    write_usage(&w, a);
    tn_json_end_object(&w);
    (void)tn_http_stream_event(a->exchange, tn_strbuf_view(&a->json));
  }
  (void)tn_http_stream_event(a->exchange, TN_STR("[DONE]"));
  tn_http_stream_end(a->exchange);
}

/* ---- plain
 * ---------------------------------------------------------------------------------------------- */

static void reply_whole(tn_api_answer *a) {
  if (a->error[0]) {
    tn_api_problem problem;
    tn_api_problem_set(&problem, a->error_status, NULL, NULL, "%s", a->error);
    tn_api_problem_write(&problem, &a->json);
    tn_http_reply_json(a->exchange, a->error_status, tn_strbuf_view(&a->json));
    return;
  }
  tn_json_writer w = begin_answer(a, a->chat ? "chat.completion" : "text_completion");
  for (int32_t i = 0; i < a->choice_count; i++) write_choice(&w, &a->choices[i], "message", true);
  tn_json_end_array(&w);
  write_usage(&w, a);
  tn_json_end_object(&w);
  if (!a->json.failed) tn_http_reply_json(a->exchange, 200, tn_strbuf_view(&a->json));
}

/* ---- events
 * --------------------------------------------------------------------------------------------- */

bool tn_api_choice_wanted(void *context) {
  const tn_api_choice *c = context;
  return !tn_http_gone(c->answer->exchange);
}

static void write_call(tn_json_writer *w, const tn_api_choice *c, int32_t number,
                       const tn_tool_call *call) {
  char id[80];
  const char *random = strchr(c->answer->id, '-') + 1;
  snprintf(id, sizeof id, "call_%s_%d_%d", random, c->index, number);
  tn_json_begin_object(w);
  if (c->answer->stream) tn_json_key(w, "index"), tn_json_i64(w, number);
  tn_json_key(w, "id"), tn_json_cstr(w, id);
  tn_json_key(w, "type"), tn_json_cstr(w, "function");
  tn_json_key(w, "function");
  tn_json_begin_object(w);
  tn_json_key(w, "name"), tn_json_str(w, call->name);
  tn_json_key(w, "arguments"), tn_json_str(w, call->arguments);
  tn_json_end_object(w);
  tn_json_end_object(w);
}

/* What was held back, once nothing more can come: text, calls, or both. */
static void take_calls(tn_api_choice *c) {
  tn_api_answer *a = c->answer;
  tn_arena arena = {0};
  tn_tool_answer answer;
  tn_error err;
  tn_status status =
      tn_tool_answer_read(&answer, &arena, a->tool_form, &a->tools, tn_strbuf_view(&c->held), &err);
  if (status == TN_OK) {
    tn_strbuf_add_str(&c->text, answer.text);
    if (a->one_call && answer.count > 1) answer.count = 1;
    for (int32_t i = 0; i < answer.count; i++) {
      tn_json_writer w = {.out = &c->calls};
      if (i > 0) tn_strbuf_add_char(&c->calls, ',');
      write_call(&w, c, i, &answer.calls[i]);
    }
  } else if (!a->error[0]) {
    a->error_status = 500;
    snprintf(a->error, sizeof a->error, "%.200s", err.text);
  }
  tn_strbuf_reset(&c->held);
  tn_arena_clear(&arena);
}

/* With tools, only what is certainly text goes out before the end. */
static void add_text(tn_api_choice *c, const tn_engine_event *event) {
  tn_tool_form form = c->answer->tool_form;
  if (form == TN_TOOL_NONE) {
    tn_strbuf_add_str(&c->text, event->text);
    return;
  }
  tn_strbuf_add_str(&c->held, event->text);
  tn_str held = tn_strbuf_view(&c->held);
  size_t certain = tn_tool_text_certain(form, held, c->has_text);
  if (certain > 0) {
    c->has_text = true;
    tn_strbuf_add_str(&c->text, (tn_str){held.data, certain});
    memmove(c->held.data, c->held.data + certain, held.length - certain);
    c->held.length -= certain;
  }
  if (event->finish == TN_FINISH_STOP || event->finish == TN_FINISH_LENGTH) take_calls(c);
}

static void note_failure(tn_api_answer *a, const tn_engine_event *event) {
  if (a->error[0]) return;
  a->error_status = event->finish == TN_FINISH_GONE ? 503 : 500;
  if (event->finish == TN_FINISH_ERROR) {
    snprintf(a->error, sizeof a->error, "%s", event->error ? event->error : "the step failed");
  } else if (event->finish == TN_FINISH_GONE) { /* nobody reads it, or the drain's time was up */
    snprintf(a->error, sizeof a->error, "the server stopped before the answer was complete");
  }
}

static void begin_choice(tn_api_choice *c) {
  c->begun = true;
  tn_strbuf_add_str(&c->text, tn_strbuf_view(&c->echo));
  c->text_offset = count_characters(tn_strbuf_view(&c->echo));
}

void tn_api_choice_event(void *context, const tn_engine_event *event) {
  tn_api_choice *c = context;
  tn_api_answer *a = c->answer;
  if (event->of_prompt) {
    add_prompt_logprob(c, event->sample);
    return;
  }
  bool failed = event->finish == TN_FINISH_ERROR || event->finish == TN_FINISH_GONE;
  bool first = !c->begun && !failed;
  if (first) begin_choice(c);
  c->sampled = event->sampled;
  c->finish = event->finish;
  add_text(c, event);
  if (a->logprobs && event->sample) add_sampled_logprob(c, event->sample);
  note_failure(a, event);
  bool news = c->text.length > 0 || c->logprobs.length > 0 || event->finish != TN_FINISH_NONE;
  /* The first token always shows, even when all its text is held back: the client sees that it
   * began. */
  if (a->stream && !failed && (news || first)) send_chunk(c, first && a->chat);
  if (event->finish == TN_FINISH_NONE || ++a->ended < a->choice_count) return;
  a->stream ? end_stream(a) : reply_whole(a);
  tn_api_answer_free(a);
}
