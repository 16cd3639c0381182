/* cmd_models.c - `tenon models`: the models that others made. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_model.h"

static int run(int argc, char **argv) {
  static const tn_subcommand subs[] = {
      {"inspect", "what a model is and what it needs", tn_cmd_model_inspect}, {0}};
  return tn_dispatch("models", "Models of Hugging Face and GGUF files.", subs, argc, argv);
}

const tn_command tn_command_models = {"models", "what a model is and what it needs", run};
