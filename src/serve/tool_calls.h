/* tool_calls.h - the calls of a client's tools that a model writes into its answer.
 *
 * A model writes calls as its template spells those of earlier turns.  Two forms are known:
 *
 *     marked   <tool_call> {"name": "f", "arguments": {...}} </tool_call>    Qwen, Hermes
 *     bare     {"name": "f", "parameters": {...}}             Llama 3: where an answer begins with
 * it
 *
 * What is no whole and well-formed call of a function that the model was told of stays what it is,
 * text, and takes no call beside it along.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_TOOL_CALLS_H
#define TN_SERVE_TOOL_CALLS_H
#include "model/chat_template.h"

typedef enum tn_tool_form { TN_TOOL_NONE, TN_TOOL_MARKED, TN_TOOL_BARE } tn_tool_form;

/* Which form a template (NULL: none) has, found by rendering a conversation with a call. */
TN_NODISCARD tn_status tn_tool_form_of(tn_tool_form *out, const tn_chat_template *t, tn_error *err);

/* The functions that a request tells the model of. */
typedef struct tn_tool_names {
  tn_str *items;
  int32_t count;
} tn_tool_names;

/* Copies them into the arena; `tools` is a request's, checked.  Only TN_ERR_MEMORY. */
TN_NODISCARD tn_status tn_tool_names_copy(tn_tool_names *out, tn_arena *arena, const tn_json *tools,
                                          tn_error *err);

enum { TN_TOOL_CALLS_MAX = 64 };

typedef struct tn_tool_call {
  tn_str name, arguments; /* a JSON object as text */
} tn_tool_call;

typedef struct tn_tool_answer { /* lies in the arena and in the text it was read from */
  tn_str text; /* what is left without the calls, and then without white space at its end */
  tn_tool_call calls[TN_TOOL_CALLS_MAX];
  int32_t count;
} tn_tool_answer;

/* names NULL: of any function.  Calls above the limit are text.  Only TN_ERR_MEMORY. */
TN_NODISCARD tn_status tn_tool_answer_read(tn_tool_answer *out, tn_arena *arena, tn_tool_form form,
                                           const tn_tool_names *names, tn_str text, tn_error *err);
/* How many bytes at the front of an answer under way are text, whatever comes.  `begun`: text has
 * come before these bytes. */
size_t tn_tool_text_certain(tn_tool_form form, tn_str text, bool begun);

#endif
