/* api_answer.h - one completion request under way, and the JSON that answers it.
 *
 * Made by a server thread, then written by the engine thread only: one or more choices for each
 * prompt, filled by its events; when the last choice has ended the answer is complete and the whole
 * frees itself.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_API_ANSWER_H
#define TN_SERVE_API_ANSWER_H
#include "model/tokenizer.h"
#include "net/http_server.h"
#include "serve/engine.h"
#include "serve/tool_calls.h"

typedef struct tn_api_answer tn_api_answer;

typedef struct tn_api_choice {
  tn_api_answer *answer;
  int32_t index;
  tn_strbuf text;     /* what is not yet sent; of a plain answer: all */
  tn_strbuf held;     /* with tools: what may be a call */
  tn_strbuf calls;    /* JSON of its calls, one behind the other; empty: none */
  tn_strbuf echo;     /* the prompt, when it is to come first */
  size_t echoed;      /* bytes of it that its tokens so far stand for */
  bool begun;         /* the prompt is behind it */
  bool has_text;      /* with tools: some is certain */
  tn_strbuf logprobs; /* JSON fragments of the tokens not yet sent: see api_answer.c */
  tn_strbuf logprobs_top, logprobs_values, logprobs_offsets; /* completions keep four lists */
  int64_t text_offset;                                       /* characters of the tokens so far */
  int64_t prompt_tokens; /* of the first choice for a prompt: each prompt counts once */
  int64_t sampled;
  tn_finish finish;
} tn_api_choice;

struct tn_api_answer {
  tn_http_exchange *exchange; /* held */
  const tn_tokenizer *tokenizer;
  const char *model_name;
  char id[48];
  int64_t created;
  bool chat, stream, include_usage, logprobs;
  tn_tool_form tool_form; /* NONE: there are no tools */
  tn_tool_names tools;    /* in the arena */
  tn_arena arena;
  bool one_call;
  bool begun;      /* the stream */
  char error[256]; /* of the first choice that failed */
  int32_t error_status;
  tn_strbuf json; /* of the event or answer under way */
  int32_t choice_count, ended;
  tn_api_choice choices[];
};

/* Shares the exchange.  NULL: out of memory. */
tn_api_answer *tn_api_answer_new(tn_http_exchange *x, int32_t choice_count);
void tn_api_answer_free(tn_api_answer *answer);

/* For tn_generation, with a tn_api_choice as context. */
bool tn_api_choice_wanted(void *choice);
void tn_api_choice_event(void *choice, const tn_engine_event *event);

#endif
