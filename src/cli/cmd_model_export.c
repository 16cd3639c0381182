/* cmd_model_export.c - `tenon model export`: any model that opens, as a Hugging Face folder. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "cli/cli.h"
#include "cli/cmd_model.h"
#include "cli/model_folder.h"
#include "cli/model_path.h"
#include "model/side_files.h"
#include "model/transformer.h"

typedef struct exported {
  int64_t parameters;
  const char *architecture;
  int32_t companions;
} exported;

typedef struct source {
  const char *folder; /* or file */
  const tn_model *model;
  tn_dtype dtype;
  exported *done;
} source;

/* Whoever asked to stop waits for the weights, and finds nothing then. */
static tn_status go_on(tn_error *err) {
  if (!tn_cli_stop_requested()) return TN_OK;
  return tn_fail(err, TN_ERR_INTERRUPTED, "interrupted; nothing was written");
}

static tn_status fill_folder(void *context, const char *folder, tn_error *err) {
  const source *s = context;
  const tn_model_config *config = tn_model_config_of(s->model);
  TN_TRY(go_on(err));
  TN_TRY(tn_model_save(s->model, folder, s->dtype, err));
  TN_TRY(go_on(err));
  s->done->parameters = tn_model_config_parameters(config);
  s->done->architecture = tn_model_config_class(config);
  return tn_side_files_copy(s->folder, folder, &s->done->companions, err);
}

static tn_status export_model(const char *word, const char *out, tn_dtype dtype, bool force,
                              exported *done, tn_error *err) {
  tn_strbuf folder = {0};
  tn_model *model = NULL;
  tn_status status = tn_model_path(word, &folder, err);
  if (status == TN_OK) status = tn_model_folder_check(out, force, word, folder.data, err);
  if (status == TN_OK) status = tn_model_open(&model, folder.data, tn_device_cpu(), err);
  source from = {folder.data, model, dtype, done};
  if (status == TN_OK) status = tn_model_folder_write(out, force, NULL, fill_folder, &from, err);
  tn_model_free(model);
  tn_strbuf_clear(&folder);
  return status;
}

static void report(const exported *done, const char *out, tn_dtype dtype, bool json) {
  if (!json) {
    tn_strbuf line = {0};
    tn_strbuf_addf(&line, "%s: %s, ", out, done->architecture);
    tn_strbuf_add_count_human(&line, done->parameters);
    tn_strbuf_addf(&line, " parameters in %s, and %d other files", tn_dtype_name(dtype),
                   done->companions);
    if (!line.failed) puts(line.data);
    tn_strbuf_clear(&line);
    return;
  }
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "folder", out);
  tn_cli_json_text(&j.w, "architecture", done->architecture);
  tn_cli_json_i64(&j.w, "parameters", done->parameters);
  tn_cli_json_text(&j.w, "dtype", tn_dtype_name(dtype));
  tn_cli_json_i64(&j.w, "other_files", done->companions);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

int tn_cmd_model_export(int argc, char **argv) {
  const char *dtype_name = "bf16";
  bool json = false, force = false;
  const tn_option options[] = {
      {"--dtype", 0, TN_OPTION_TEXT, &dtype_name, "TYPE", "bf16 (default) or f32"},
      {"--force", 0, TN_OPTION_FLAG, &force, NULL, "replace DIR, a model's folder"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon model export [options] MODEL DIR",
      .about =
          "Writes a model as config.json and model.safetensors, in the layout that Hugging Face "
          "transformers\nloads for its architecture (fused and transposed tensors included), "
          "with the tokenizer's files\nbeside them.  Quantized weights become numbers again.  "
          "The tokenizer inside a GGUF file is not\nwritten.",
      .example = "tenon model export llama.gguf llama-hf --dtype bf16",
      .options = options,
      .words_min = 2,
      .words_max = 2};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  for (size_t end = strlen(argv[2]); end > 1 && argv[2][end - 1] == '/';) argv[2][--end] = '\0';
  tn_dtype dtype;
  if ((code = tn_cli_float_type(dtype_name, &dtype)) >= 0) return code;
  exported done = {0};
  tn_error err = {0};
  if (export_model(argv[1], argv[2], dtype, force, &done, &err) != TN_OK)
    return tn_cli_fail(&err,
                       err.status == TN_ERR_EXISTS ? "--force replaces a model's folder" : NULL);
  report(&done, argv[2], dtype, json);
  return 0;
}
