/* encoder_inputs.h - texts or token ids from the command line as sequences for an encoder. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_ENCODER_INPUTS_H
#define TN_CLI_ENCODER_INPUTS_H
#include "base/mem.h"
#include "cli/cli.h"
#include "model/encoder.h"
#include "model/tokenizer.h"

typedef struct tn_encoder_inputs { /* all zero: none */
  tn_encoder_input *items;
  size_t count, capacity;
  tn_arena arena; /* what the items point to, or: */
  tn_encoding *texts;
  size_t text_count, text_capacity;
} tn_encoder_inputs;
void tn_encoder_inputs_clear(tn_encoder_inputs *in);
/* "1,2,3" each; types has as many words of as many numbers, or none. */
TN_NODISCARD tn_status tn_encoder_inputs_add_ids(tn_encoder_inputs *in, const tn_option_list *ids,
                                                 const tn_option_list *types, tn_error *err);
/* One text, or a query with its text, in as many tokens and with the types that the form of the
 * encoder says. */
TN_NODISCARD tn_status tn_encoder_inputs_add_text(tn_encoder_inputs *in, const tn_tokenizer *t,
                                                  tn_str text, const tn_str *pair, tn_encoder *e,
                                                  tn_error *err);

typedef struct tn_text_list { /* texts of --text and the lines of --input, in that order */
  tn_strbuf file;
  tn_str *items;
  size_t count, capacity;
} tn_text_list;
void tn_text_list_clear(tn_text_list *list);
/* path NULL: no file.  An empty line is an empty text: rows of a result line up with lines. */
TN_NODISCARD tn_status tn_text_list_read(tn_text_list *list, const tn_option_list *texts,
                                         const char *path, tn_error *err);
#endif
