/* cmd_model_weight.c - `tenon model weight`: one weight as the model sees it, unpacked. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd_model.h"
#include "cli/npy.h"
#include "model/weight_source.h"

static tn_status write_weight(const tn_weight *w, const char *out, tn_error *err) {
  int64_t count = tn_tensor_count(&w->tensor);
  int64_t columns = w->tensor.rank > 0 ? w->tensor.shape[w->tensor.rank - 1] : 1;
  float *values = tn_alloc((size_t)count, sizeof *values);
  if (!values) return tn_fail_memory(err, "a weight", (size_t)count * sizeof *values);
  tn_weight_to_f32(w, values);
  tn_status status = tn_npy_write(out, values, columns ? count / columns : 0, columns, err);
  tn_free(values);
  return status;
}

static tn_status show(const char *path, const char *name, const char *out, tn_error *err) {
  tn_weight_source *source;
  tn_weight weight = {0};
  tn_strbuf text = {0};
  TN_TRY(tn_weight_source_open(&source, path, NULL, err));
  tn_status status = tn_weight_source_find(source, name, &weight, err);
  if (status == TN_OK && out) status = write_weight(&weight, out, err);
  if (status == TN_OK) {
    tn_tensor_describe(&weight.tensor, &text);
    if (weight.order.buffer) tn_strbuf_add(&text, ", columns in another order");
    status = tn_strbuf_check(&text, err);
  }
  if (status == TN_OK) puts(text.data);
  tn_strbuf_clear(&text);
  tn_weight_clear(&weight);
  tn_weight_source_close(source);
  return status;
}

int tn_cmd_model_weight(int argc, char **argv) {
  const char *out = NULL;
  const tn_option options[] = {
      {"--out", 'o', TN_OPTION_TEXT, &out, "FILE", "its values as float32, a .npy file"}, {0}};
  const tn_usage usage = {
      .words = "tenon model weight [options] DIR|FILE.gguf NAME",
      .about =
          "Says in which type a weight is held after loading and, with --out, what its values "
          "are.  NAME\nis the one that Hugging Face has, for every kind of file.",
      .example = "tenon model weight models/llama model.layers.0.mlp.up_proj.weight --out up.npy",
      .options = options,
      .words_min = 2,
      .words_max = 2};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  tn_error err = {0};
  return show(argv[1], argv[2], out, &err) == TN_OK ? 0 : tn_cli_fail(&err, NULL);
}
