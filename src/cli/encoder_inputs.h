/* encoder_inputs.h - texts or token ids from the command line as sequences for an encoder. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_ENCODER_INPUTS_H
#define TN_CLI_ENCODER_INPUTS_H
#include "base/mem.h"
#include "cli/cli.h"
#include "model/encoder.h"

typedef struct tn_encoder_inputs { /* all zero: none */
  tn_encoder_input *items;
  size_t count, capacity;
  tn_arena arena; /* what the items point to */
} tn_encoder_inputs;
void tn_encoder_inputs_clear(tn_encoder_inputs *in);
/* "1,2,3" each; types has as many words of as many numbers, or none. */
TN_NODISCARD tn_status tn_encoder_inputs_add_ids(tn_encoder_inputs *in, const tn_option_list *ids,
                                                 const tn_option_list *types, tn_error *err);
/* The lines of a text file, without their ends; empty ones are left out.  `lines` views memory of
 * in->arena. */
TN_NODISCARD tn_status tn_encoder_inputs_read_lines(tn_encoder_inputs *in, const char *path,
                                                    tn_str **lines, size_t *count, tn_error *err);
#endif
