/* answer.h - one answer of an engine, made on its thread and taken on this one.
 *
 *     engine thread:  on_event appends to the answer's text, under its lock
 *     caller:         tn_answer_run submits, hands on what comes, returns when the answer ends
 *
 * Ctrl-C (tn_cli_stop_requested) ends an answer, not the program. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_ANSWER_H
#define TN_CLI_ANSWER_H
#include "serve/engine.h"

typedef struct tn_answer { /* all zero is valid; clear it */
  tn_strbuf text;
  tn_finish finish;
  int64_t prompt_tokens, sampled;
  int64_t first_us, total_us; /* from submission */
} tn_answer;

/* Fills in the callbacks of `generation` and runs it.  `show` (NULL: nobody) gets new text as it
 * comes. */
TN_NODISCARD tn_status tn_answer_run(tn_answer *out, tn_engine *engine, tn_generation *generation,
                                     void (*show)(tn_str text), tn_error *err);
void tn_answer_clear(tn_answer *a);
const char *tn_finish_name(tn_finish finish); /* "stop", "length", "stopped" (by Ctrl-C), "error" */

#endif
