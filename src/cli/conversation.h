/* conversation.h - the turns of one chat, as the messages that a chat template takes.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_CONVERSATION_H
#define TN_CLI_CONVERSATION_H
#include "base/json.h"
#include "model/chat_template.h"

typedef struct tn_turn {
  const char *role; /* "system", "user", "assistant" */
  tn_strbuf content;
} tn_turn;

typedef struct tn_conversation { /* all zero: empty */
  tn_turn *turns;
  size_t count, capacity;
} tn_conversation;

void tn_conversation_clear(tn_conversation *c);
/* role: a string literal. */
TN_NODISCARD tn_status tn_conversation_add(tn_conversation *c, const char *role, tn_str content,
                                           tn_error *err);
/* The system message, which is always the first; empty text: none. */
TN_NODISCARD tn_status tn_conversation_set_system(tn_conversation *c, tn_str content,
                                                  tn_error *err);
/* Takes the last question and what followed it away; false: there was none. */
bool tn_conversation_undo(tn_conversation *c);
/* Takes the oldest question and its answer away, never the system message nor the last question;
 * false: there is nothing to take. */
bool tn_conversation_drop_oldest(tn_conversation *c);
/* [{"role": ..., "content": ...}, ...] */
void tn_conversation_write(const tn_conversation *c, tn_json_writer *w);
/* Appends the prompt that asks for the next answer; NULL template: plain text, as `tenon serve`
 * has it. */
TN_NODISCARD tn_status tn_conversation_render(const tn_conversation *c, const tn_chat_template *t,
                                              tn_strbuf *out, tn_error *err);

#endif
