/* api_request.h - the JSON body of a completion or chat completion, checked key by key.
 *
 * Every key is either read, or known to leave the answer as it is (user, metadata ...), or accepted
 * only with the value that means "off" (store false, suffix "" ...).  All else is refused with a
 * 400 that names the parameter: nothing that would change the answer is ignored.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_API_REQUEST_H
#define TN_SERVE_API_REQUEST_H
#include "base/json.h"
#include "base/str.h"
#include "serve/sampler.h"

enum {
  TN_API_STOPS_MAX = 4,
  TN_API_PROMPTS_MAX = 128,
  TN_API_CHOICES_MAX = 128,
  TN_API_TOOLS_MAX = 128
};

typedef struct tn_api_prompt {
  tn_str text;        /* when no ids were given */
  const tn_json *ids; /* array of integers, or NULL */
} tn_api_prompt;

typedef struct tn_api_request { /* strings and trees lie in the arena or the body */
  tn_str model;                 /* data NULL: not given */
  tn_api_prompt prompts[TN_API_PROMPTS_MAX];
  int32_t prompt_count;
  const tn_json *messages; /* chat */
  const tn_json *tools;    /* likewise, an array of functions; NULL: none */
  bool one_call;           /* of them in an answer */
  int32_t choices;         /* of each prompt; all together no more than TN_API_CHOICES_MAX */
  int64_t tokens_max;      /* -1: not given */
  tn_sampling sampling;
  bool seeded;
  tn_str stops[TN_API_STOPS_MAX];
  int32_t stop_count;
  bool stream, include_usage, echo, ignore_eos, json;
} tn_api_request;

typedef struct tn_api_problem { /* an answer in OpenAI's error form */
  int32_t status;
  const char *type; /* "invalid_request_error" */
  const char *code; /* NULL: none */
  char param[64];   /* "": none */
  tn_error error;
} tn_api_problem;

/* false: *problem says why not. */
bool tn_api_request_read(tn_api_request *out, tn_arena *arena, tn_str body, bool chat,
                         tn_api_problem *problem);

bool tn_api_problem_set(tn_api_problem *problem, int32_t status, const char *param,
                        const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* {"error": {"message", "type", "param", "code"}} */
void tn_api_problem_write(const tn_api_problem *problem, tn_strbuf *out);

#endif
