/* load_options.h - how commands load a model that they run: on all threads, with a bar on a
 * terminal, weights packed, and packed copies kept beside the model or under ~/.cache/tenon. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_LOAD_OPTIONS_H
#define TN_CLI_LOAD_OPTIONS_H
#include "cli/cli.h"
#include "model/transformer.h"

#define TN_NO_CACHE_HELP "keep no packed copy of the weights in a file (.tenon/ beside the model)"

#define TN_KV_HELP                                                                               \
  "type of keys and values: f32, f16, bf16, int8, fp8, or auto (the default): what the model's " \
  "file "                                                                                        \
  "asks for, else f16"

typedef struct tn_load_options {
  tn_model_options model; /* points into this struct: do not copy it */
  tn_progress progress;
  char cache_folder[4096];
} tn_load_options;
/* Whether --kv has a type of kv_cache.h; if not it has said so. */
bool tn_kv_word_is_good(const char *word);
void tn_load_options_init(tn_load_options *out, int32_t threads, bool quiet, bool no_cache);

#endif
