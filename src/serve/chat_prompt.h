/* chat_prompt.h - the messages of a chat request as one prompt.
 *
 * A model's own template (model/chat_template.h) decides where its folder has one; what it refuses
 * by raise_exception is the client's mistake (400).  Without one the messages become plain text:
 *
 *     System: <content>\n   User: <content>\n   Assistant: <content>\n   ...   Assistant:
 *
 * where `developer` counts as system, and an answer also ends at "\nUser:" and "\nSystem:".  It
 * does so too for a template that does not know that role; a message that the template leaves out
 * of the prompt is refused (400), by its role. Content may be a string or an array of text parts,
 * which are joined.  A template also sees the calls of tools that an assistant's message has, and
 * what tools have answered.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_CHAT_PROMPT_H
#define TN_SERVE_CHAT_PROMPT_H
#include "model/chat_template.h"
#include "serve/api_request.h"

/* Appends to *out; false: *problem says why not.  t NULL: plain text, which knows no tools; tools
 * NULL: none. */
bool tn_chat_prompt_render(const tn_chat_template *t, const tn_json *messages, const tn_json *tools,
                           tn_strbuf *out, tn_api_problem *problem);

/* Where an answer without a template also ends: appends TN_CHAT_STOPS strings. */
enum { TN_CHAT_STOPS = 2 };
void tn_chat_prompt_stops(tn_str *stops, int32_t *count);

#endif
