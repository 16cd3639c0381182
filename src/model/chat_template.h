/* chat_template.h - how a model wants a conversation spelled out: the Jinja template in its folder.
 *
 *     chat_template.jinja, or tokenizer_config.json: "chat_template": "..."
 *                                                    | [{"name": "default", "template": "..."},
 * ...]
 *
 *     a GGUF file: tokenizer.chat_template
 *
 * The template sees what Hugging Face transformers shows it: messages, tools, documents,
 * add_generation_prompt and the special tokens of tokenizer_config.json by name (bos_token ...).
 *
 * Thread: immutable; render from any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_CHAT_TEMPLATE_H
#define TN_MODEL_CHAT_TEMPLATE_H
#include "model/jinja.h"

typedef struct tn_chat_template tn_chat_template;

/* A folder without a template: TN_OK and *out NULL.  `path` may also be a .jinja or a GGUF file. */
TN_NODISCARD tn_status tn_chat_template_open(tn_chat_template **out, const char *path,
                                             tn_error *err);
void tn_chat_template_free(tn_chat_template *t);
/* Whether it asks for the role `developer`.  One that writes any role out does not know it. */
bool tn_chat_template_knows_developer(const tn_chat_template *t);

typedef struct tn_chat {
  const tn_json *messages; /* an array of objects */
  const tn_json *tools;    /* NULL: none */
  const tn_json *extra;    /* further variables, an object that wins over the others; NULL: none */
  bool continue_last;      /* no generation prompt: the last message goes on */
} tn_chat;
/* Appends the prompt to *out; errors as tn_jinja_render's. */
TN_NODISCARD tn_status tn_chat_template_render(const tn_chat_template *t, const tn_chat *chat,
                                               const tn_jinja_options *options, tn_strbuf *out,
                                               tn_error *err);

#endif
