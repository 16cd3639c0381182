/* cmd_model.c - `tenon model`: look at a checkpoint, start a new one, and run one by hand. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_model.h"

#include <inttypes.h>

#include "base/io.h"
#include "cli/cli.h"
#include "model/transformer.h"

/* ---- init ---------------------------------------------------------------------------------------
 */
static tn_status read_new_config(tn_model_config *config, const char *path, tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_file_read(path, 1 << 20, &text, err);
  if (status == TN_OK)
    status = tn_model_config_parse(config, tn_strbuf_view(&text), path, true, err);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status refuse_to_overwrite(const char *folder, tn_error *err) {
  static const char *const names[] = {"config.json", "model.safetensors",
                                      "model.safetensors.index.json"};
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  for (size_t i = 0; i < 3 && status == TN_OK; i++) {
    tn_strbuf_reset(&path);
    tn_strbuf_addf(&path, "%s/%s", folder, names[i]);
    status = tn_strbuf_check(&path, err);
    if (status == TN_OK && tn_file_exists(path.data))
      status = tn_fail(err, TN_ERR_EXISTS, "%s is there already", path.data);
  }
  tn_strbuf_clear(&path);
  return status;
}

static tn_status init_model(const char *config_path, const char *folder, int64_t seed,
                            tn_dtype dtype, bool force, int64_t *parameters, tn_error *err) {
  tn_model_config config;
  tn_model *model = NULL;
  TN_TRY(read_new_config(&config, config_path, err));
  if (!force) TN_TRY(refuse_to_overwrite(folder, err));
  TN_TRY(tn_model_new(&model, &config, tn_device_cpu(), err));
  tn_model_init(model, (uint64_t)seed);
  tn_status status = tn_dir_make(folder, err);
  if (status == TN_OK) status = tn_model_save(model, folder, dtype, err);
  tn_model_free(model);
  *parameters = tn_model_config_parameters(&config);
  return status;
}

static int report_init(const char *folder, int64_t parameters, int64_t seed, tn_dtype dtype,
                       bool json) {
  if (json) {
    tn_cli_json j;
    tn_cli_json_begin(&j);
    tn_json_begin_object(&j.w);
    tn_cli_json_text(&j.w, "folder", folder);
    tn_cli_json_i64(&j.w, "parameters", parameters);
    tn_cli_json_i64(&j.w, "seed", seed);
    tn_cli_json_text(&j.w, "dtype", tn_dtype_name(dtype));
    tn_json_end_object(&j.w);
    tn_cli_json_finish(&j);
    return 0;
  }
  tn_strbuf line = {0};
  tn_strbuf_addf(&line, "%s: ", folder);
  tn_strbuf_add_count_human(&line, parameters);
  tn_strbuf_addf(&line, " random parameters in %s, seed %" PRId64, tn_dtype_name(dtype), seed);
  if (!line.failed) puts(line.data);
  tn_strbuf_clear(&line);
  return 0;
}

static int run_init(int argc, char **argv) {
  const char *dtype_name = "f32";
  int64_t seed = 0, parameters = 0;
  bool json = false, force = false;
  const tn_option options[] = {
      {"--seed", 0, TN_OPTION_INT, &seed, "N", "the same seed gives the same weights (default 0)"},
      {"--dtype", 0, TN_OPTION_TEXT, &dtype_name, "TYPE", "f32 (default) or bf16"},
      {"--force", 0, TN_OPTION_FLAG, &force, NULL, "write over a checkpoint that is there"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon model init [options] CONFIG.json DIR",
      .about =
          "Writes a new checkpoint with random weights: config.json and model.safetensors, "
          "as\nHugging Face transformers loads them.  CONFIG.json is in its form; a key that "
          "its\narchitecture does not have is refused.",
      .example = "tenon model init small.json runs/small --seed 7 --dtype bf16",
      .options = options,
      .words_min = 2,
      .words_max = 2};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  tn_dtype dtype;
  if ((code = tn_cli_float_type(dtype_name, &dtype)) >= 0) return code;
  if (seed < 0) return tn_cli_usage_error("--seed is %" PRId64 ", must be 0 or more", seed);
  tn_error err = {0};
  if (init_model(argv[1], argv[2], seed, dtype, force, &parameters, &err) != TN_OK)
    return tn_cli_fail(&err, err.status == TN_ERR_EXISTS ? "--force writes over it" : NULL);
  return report_init(argv[2], parameters, seed, dtype, json);
}

/* ---- the command --------------------------------------------------------------------------------
 */
static int run(int argc, char **argv) {
  static const tn_subcommand subs[] = {
      {"inspect", "what a checkpoint is and what it needs", tn_cmd_model_inspect},
      {"init", "a new checkpoint with random weights", run_init},
      {"export", "any model that opens, as a Hugging Face folder", tn_cmd_model_export},
      {"embed", "vectors of texts, by a sentence encoder", tn_cmd_model_embed},
      {"rerank", "texts in the order of how well they answer a query", tn_cmd_model_rerank},
      {"template", "the prompt that a conversation becomes", tn_cmd_model_template},
      {"weight", "for developers: one weight, unpacked, as .npy", tn_cmd_model_weight},
      {"logits", "for developers: logits of given tokens, as .npy", tn_cmd_model_logits},
      {"grads", "for developers: loss and gradients of given tokens", tn_cmd_model_grads},
      {0}};
  return tn_dispatch("model", "Model checkpoints in Hugging Face form.", subs, argc, argv);
}

const tn_command tn_command_model = {"model", "look into checkpoints, start new ones", run};
