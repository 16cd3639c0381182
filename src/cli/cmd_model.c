/* cmd_model.c - `tenon model`: look at a checkpoint, start a new one, and run one by hand. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_model.h"

#include <inttypes.h>

#include "base/io.h"
#include "cli/cli.h"
#include "model/transformer.h"

/* ---- inspect ------------------------------------------------------------------------------------
 */
/* "bfloat16", or "bfloat16 and float32" where a checkpoint mixes. */
static void add_dtypes(const tn_model *model, tn_strbuf *out) {
  bool seen[TN_DTYPE_COUNT] = {0}, first = true;
  int64_t count;
  const tn_parameter *p = tn_model_parameters(model, &count);
  for (int64_t i = 0; i < count; i++) seen[p[i].tensor.dtype] = true;
  for (int d = 0; d < TN_DTYPE_COUNT; d++) {
    if (!seen[d]) continue;
    if (!first) tn_strbuf_add(out, " and ");
    tn_strbuf_add(out, tn_dtype_name((tn_dtype)d));
    first = false;
  }
}

static void json_i64(tn_json_writer *w, const char *key, int64_t value) {
  tn_json_key(w, key);
  tn_json_i64(w, value);
}

static void inspect_json(const tn_model *model) {
  const tn_model_config *c = tn_model_config_of(model);
  tn_strbuf dtypes = {0};
  add_dtypes(model, &dtypes);
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "architecture"), tn_json_cstr(&j.w, tn_model_config_class(c));
  json_i64(&j.w, "parameters", tn_model_config_parameters(c));
  tn_json_key(&j.w, "dtype"), tn_json_str(&j.w, tn_strbuf_view(&dtypes));
  json_i64(&j.w, "weight_bytes", tn_model_weight_bytes(model));
  json_i64(&j.w, "kv_bytes_per_1000_tokens", tn_kv_cache_block_bytes(c, 1000));
  json_i64(&j.w, "vocab_size", c->vocab_size);
  json_i64(&j.w, "hidden_size", c->hidden_size);
  json_i64(&j.w, "intermediate_size", c->intermediate_size);
  json_i64(&j.w, "layers", c->layers);
  json_i64(&j.w, "heads", c->heads);
  json_i64(&j.w, "kv_heads", c->kv_heads);
  json_i64(&j.w, "head_dim", c->head_dim);
  json_i64(&j.w, "positions_max", c->positions_max);
  tn_json_key(&j.w, "rope_theta"), tn_json_f64(&j.w, c->rope_theta);
  tn_json_key(&j.w, "norm_eps"), tn_json_f64(&j.w, c->norm_eps);
  tn_json_key(&j.w, "tied"), tn_json_bool(&j.w, c->tied);
  tn_json_key(&j.w, "eos_ids"), tn_json_begin_array(&j.w);
  if (c->eos_id >= 0) tn_json_i64(&j.w, c->eos_id);
  for (int64_t i = 0; i < c->eos_more_count; i++) tn_json_i64(&j.w, c->eos_more[i]);
  tn_json_end_array(&j.w);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
  tn_strbuf_clear(&dtypes);
}

static void inspect_text(const tn_model *model) {
  const tn_model_config *c = tn_model_config_of(model);
  tn_strbuf t = {0};
  tn_strbuf_addf(&t, "architecture  %s\n", tn_model_config_class(c));
  tn_strbuf_addf(&t,
                 "shape         %" PRId64 " layers, hidden %" PRId64 ", feed-forward %" PRId64 "\n",
                 c->layers, c->hidden_size, c->intermediate_size);
  tn_strbuf_addf(&t,
                 "attention     %" PRId64 " heads of %" PRId64 ", %" PRId64
                 " key/value heads; rope theta %g\n",
                 c->heads, c->head_dim, c->kv_heads, c->rope_theta);
  tn_strbuf_add(&t, "vocabulary    ");
  tn_strbuf_add_count_human(&t, c->vocab_size);
  tn_strbuf_addf(&t, ", the head is %s\n", c->tied ? "the embedding table" : "a table of its own");
  tn_strbuf_add(&t, "positions     up to ");
  tn_strbuf_add_count_human(&t, c->positions_max);
  tn_strbuf_add(&t, "\nparameters    ");
  tn_strbuf_add_count_human(&t, tn_model_config_parameters(c));
  tn_strbuf_add(&t, " in ");
  add_dtypes(model, &t);
  tn_strbuf_add(&t, "\nmemory        ");
  tn_strbuf_add_bytes_human(&t, (double)tn_model_weight_bytes(model));
  tn_strbuf_add(&t, " of weights at load\nKV cache      ");
  tn_strbuf_add_bytes_human(&t, (double)tn_kv_cache_block_bytes(c, 1000));
  tn_strbuf_add(&t, " per 1,000 tokens\n");
  if (!t.failed) fputs(t.data, stdout);
  tn_strbuf_clear(&t);
}

static const char *open_hint(const tn_error *err) {
  switch (err->status) {
    case TN_ERR_NOT_FOUND:
      return "a model folder holds config.json and model.safetensors, as Hugging Face saves them";
    case TN_ERR_CHECKSUM:
      return "the file was damaged after it was written; fetch or make it again";
    default:
      return NULL;
  }
}

static int run_inspect(int argc, char **argv) {
  bool json = false;
  const tn_option options[] = {
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "the result as one JSON object"}, {0}};
  const tn_usage usage = {.words = "tenon model inspect [options] DIR",
                          .about =
                              "Opens a checkpoint (checking every shape and recorded checksum) "
                              "and says what it is\nand what it needs.",
                          .example = "tenon model inspect runs/austen",
                          .options = options,
                          .words_min = 1,
                          .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  tn_error err = {0};
  tn_model *model;
  if (tn_model_open(&model, argv[1], tn_device_cpu(), &err) != TN_OK)
    return tn_cli_fail(&err, open_hint(&err));
  if (json)
    inspect_json(model);
  else
    inspect_text(model);
  tn_model_free(model);
  return 0;
}

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
  TN_TRY(tn_dir_make(folder, err));
  TN_TRY(tn_model_new(&model, &config, tn_device_cpu(), err));
  tn_model_init(model, (uint64_t)seed);
  tn_status status = tn_model_save(model, folder, dtype, err);
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
    tn_json_key(&j.w, "folder"), tn_json_cstr(&j.w, folder);
    json_i64(&j.w, "parameters", parameters);
    json_i64(&j.w, "seed", seed);
    tn_json_key(&j.w, "dtype"), tn_json_cstr(&j.w, tn_dtype_name(dtype));
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
  bool wide = strcmp(dtype_name, "f32") == 0;
  if (!wide && strcmp(dtype_name, "bf16") != 0)
    return tn_cli_usage_error("--dtype is '%s', must be f32 or bf16", dtype_name);
  if (seed < 0) return tn_cli_usage_error("--seed is %" PRId64 ", must be 0 or more", seed);
  tn_dtype dtype = wide ? TN_F32 : TN_BF16;
  tn_error err = {0};
  if (init_model(argv[1], argv[2], seed, dtype, force, &parameters, &err) != TN_OK)
    return tn_cli_fail(&err, err.status == TN_ERR_EXISTS ? "--force writes over it" : NULL);
  return report_init(argv[2], parameters, seed, dtype, json);
}

/* ---- the command --------------------------------------------------------------------------------
 */
static int run(int argc, char **argv) {
  static const tn_subcommand subs[] = {
      {"inspect", "what a checkpoint is and what it needs", run_inspect},
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
