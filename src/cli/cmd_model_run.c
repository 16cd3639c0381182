/* cmd_model_run.c - `tenon model logits` and `tenon model grads`: one sequence through the serving
 * pass and through the training pass, into files that NumPy and safetensors read.  They are what
 * other implementations are compared with. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/io.h"
#include "cli/cli.h"
#include "cli/cmd_model.h"
#include "cli/model_path.h"
#include "cli/npy.h"
#include "model/safetensors.h"
#include "model/transformer.h"

enum { BLOCK_TOKENS = 16, TOP = 5 };

/* ---- words --------------------------------------------------------------------------------------
 */
typedef struct token_list {
  int32_t *ids;
  int64_t count;
} token_list;

/* "1,2,3"; the ids themselves are checked by the passes, against the model's vocabulary. */
static tn_status parse_ids(token_list *out, const char *text, tn_error *err) {
  size_t commas = 0;
  for (const char *c = text; *c; c++) commas += *c == ',';
  out->ids = tn_alloc(commas + 1, sizeof *out->ids);
  if (!out->ids) return tn_fail_memory(err, "tokens", (commas + 1) * sizeof *out->ids);
  tn_str rest = tn_str_of(text);
  while (rest.data) {
    tn_str word = tn_str_cut(&rest, ',');
    int64_t id;
    if (!tn_str_to_i64(word, &id) || id < 0 || id > INT32_MAX)
      return tn_fail(err, TN_ERR_ARGUMENT, "--ids: '%.*s' is not a token id (0 to %d)",
                     TN_STR_ARG(word), INT32_MAX);
    out->ids[out->count++] = (int32_t)id;
  }
  return TN_OK;
}

static tn_status check_length(const tn_model *model, const token_list *tokens, tn_error *err) {
  int64_t max = tn_model_config_of(model)->positions_max;
  if (tokens->count <= max) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "--ids has %" PRId64 " tokens, the model takes %" PRId64,
                 tokens->count, max);
}

static int fail_model(const tn_error *err) {
  return tn_cli_fail(err, tn_model_hint(err));
}

/* ---- the serving pass over one sequence ---------------------------------------------------------
 */
typedef struct serving {
  tn_model *model;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  int32_t *table, *positions, *sequences, *wanted; /* [tokens]; a position is its slot too */
} serving;

static void close_serving(serving *s) {
  tn_forward_free(s->forward);
  tn_kv_cache_free(s->kv);
  tn_stream_close(s->stream);
  tn_model_free(s->model);
  tn_free(s->table);
  tn_free(s->positions);
  tn_free(s->sequences);
  tn_free(s->wanted);
}

static tn_status open_serving(serving *s, const char *folder, const token_list *tokens,
                              int64_t chunk, tn_error *err) {
  size_t count = (size_t)tokens->count;
  int64_t blocks = (tokens->count + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
  const tn_model_options options = {.pool = tn_cli_pool(0), .packed = true};
  TN_TRY(tn_model_open_with(&s->model, folder, tn_device_cpu(), &options, err));
  TN_TRY(check_length(s->model, tokens, err));
  TN_TRY(tn_stream_open(tn_device_cpu(), tn_cli_pool(0), &s->stream, err));
  TN_TRY(tn_kv_cache_new(&s->kv, s->model, TN_F32, blocks, BLOCK_TOKENS, err));
  TN_TRY(tn_forward_new(&s->forward, s->model, s->stream, chunk, chunk, 1, blocks, err));
  s->table = tn_alloc((size_t)blocks, sizeof(int32_t));
  s->positions = tn_alloc(count, sizeof(int32_t));
  s->sequences = tn_alloc(count, sizeof(int32_t));
  s->wanted = tn_alloc(count, sizeof(int32_t));
  if (!s->table || !s->positions || !s->sequences || !s->wanted)
    return tn_fail_memory(err, "a batch", count * sizeof(int32_t));
  for (int64_t i = 0; i < blocks; i++) s->table[i] = (int32_t)i;
  for (size_t i = 0; i < count; i++) s->positions[i] = s->wanted[i] = (int32_t)i;
  return TN_OK;
}

static tn_status run_serving(serving *s, const token_list *tokens, int64_t chunk, float *out,
                             tn_error *err) {
  int64_t vocab = tn_model_config_of(s->model)->vocab_size;
  for (int64_t at = 0; at < tokens->count; at += chunk) {
    int64_t rows = tokens->count - at < chunk ? tokens->count - at : chunk;
    const tn_forward_batch batch = {.rows = rows,
                                    .ids = tokens->ids + at,
                                    .positions = s->positions + at,
                                    .sequences = s->sequences,
                                    .slots = s->positions + at,
                                    .sequence_count = 1,
                                    .blocks_per_sequence = s->kv->blocks,
                                    .block_table = s->table,
                                    .logit_rows = rows,
                                    .logit_indices = s->wanted};
    const float *logits;
    TN_TRY(tn_forward_run(s->forward, s->kv, &batch, &logits, err));
    memcpy(out + at * vocab, logits, (size_t)(rows * vocab) * sizeof(float));
  }
  return TN_OK;
}

/* ---- logits out ---------------------------------------------------------------------------------
 */

/* The likeliest tokens after the last one: a look by eye. */
static void print_top(const float *row, int64_t vocab) {
  int64_t taken[TOP];
  for (int k = 0; k < TOP && k < vocab; k++) {
    int64_t best = -1;
    for (int64_t i = 0; i < vocab; i++) {
      bool used = false;
      for (int j = 0; j < k; j++) used |= taken[j] == i;
      if (!used && (best < 0 || row[i] > row[best])) best = i;
    }
    taken[k] = best;
    printf("%8" PRId64 "  %.6g\n", best, row[best]);
  }
}

static tn_status make_logits(const char *folder, const char *ids, const char *out_path,
                             int64_t chunk, tn_error *err) {
  token_list tokens = {0};
  serving s = {0};
  float *logits = NULL;
  tn_status status = parse_ids(&tokens, ids, err);
  if (status == TN_OK && (chunk == 0 || chunk > tokens.count)) chunk = tokens.count;
  if (status == TN_OK) status = open_serving(&s, folder, &tokens, chunk, err);
  int64_t vocab = status == TN_OK ? tn_model_config_of(s.model)->vocab_size : 0;
  if (status == TN_OK) {
    logits = tn_alloc((size_t)tokens.count, (size_t)vocab * sizeof(float));
    status = logits ? run_serving(&s, &tokens, chunk, logits, err)
                    : tn_fail_memory(err, "logits", (size_t)(tokens.count * vocab) * sizeof(float));
  }
  if (status == TN_OK && out_path)
    status = tn_npy_write(out_path, logits, tokens.count, vocab, err);
  if (status == TN_OK && out_path)
    printf("%s: float32 [%" PRId64 ", %" PRId64 "]\n", out_path, tokens.count, vocab);
  else if (status == TN_OK)
    print_top(logits + (tokens.count - 1) * vocab, vocab);
  tn_free(logits);
  tn_free(tokens.ids);
  close_serving(&s);
  return status;
}

int tn_cmd_model_logits(int argc, char **argv) {
  const char *ids = NULL, *out = NULL;
  int64_t chunk = 0;
  const tn_option options[] = {
      {"--ids", 0, TN_OPTION_TEXT, &ids, "1,2,3", "the tokens"},
      {"--out", 'o', TN_OPTION_TEXT, &out, "FILE.npy",
       "float32 [tokens, vocabulary]; without it the five likeliest next tokens are printed"},
      {"--chunk", 0, TN_OPTION_COUNT, &chunk, "N",
       "feed N tokens a step (default all at once); changes no bit of the result"},
      {0}};
  const tn_usage usage = {.words = "tenon model logits [options] --ids 1,2,3 DIR",
                          .about =
                              "For developers: runs one sequence through the serving pass "
                              "(paged keys and values) and\ngives the logits of every token.",
                          .example = "tenon model logits runs/austen --ids 5,17,256 --out l.npy",
                          .options = options,
                          .words_min = 1,
                          .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (!ids) return tn_cli_usage_error("--ids is missing: the tokens to run, as 1,2,3");
  tn_error err = {0};
  if (make_logits(argv[1], ids, out, chunk, &err) != TN_OK) return fail_model(&err);
  return 0;
}

/* ---- the training pass over one sequence --------------------------------------------------------
 */
static tn_status write_grads(const tn_model *model, const tn_tensor *grads, const char *path,
                             tn_error *err) {
  int64_t count, offset = 0;
  const tn_parameter *p = tn_model_parameters(model, &count);
  tn_named_tensor *list = tn_alloc((size_t)count, sizeof *list);
  if (!list) return tn_fail_memory(err, "a tensor list", (size_t)count * sizeof *list);
  for (int64_t i = 0; i < count; i++) {
    list[i] = (tn_named_tensor){p[i].name, p[i].tensor};
    list[i].tensor.buffer = grads->buffer;
    list[i].tensor.offset_bytes = offset;
    offset += tn_tensor_bytes(&list[i].tensor);
  }
  static const char *const metadata[] = {"format", "pt"};
  tn_status status = tn_safetensors_write(path, list, count, metadata, 1, err);
  tn_free(list);
  return status;
}

static tn_status train_once(tn_model *model, tn_stream *stream, const token_list *tokens,
                            tn_tensor *grads, double *loss, int64_t *counted, tn_error *err) {
  tn_train_pass *pass = NULL;
  int32_t *targets = tn_alloc((size_t)tokens->count, sizeof *targets);
  if (!targets) return tn_fail_memory(err, "targets", (size_t)tokens->count * sizeof *targets);
  for (int64_t i = 0; i < tokens->count; i++)
    targets[i] = i + 1 < tokens->count ? tokens->ids[i + 1] : -1;
  tn_status status = tn_train_pass_new(&pass, model, stream, 1, tokens->count, err);
  if (status == TN_OK)
    status = tn_train_pass_forward(pass, tokens->ids, targets, loss, counted, err);
  if (status == TN_OK) status = tn_train_pass_backward(pass, grads, 1.0, true, err);
  tn_train_pass_free(pass);
  tn_free(targets);
  return status;
}

static tn_status make_grads(const char *folder, const char *ids, const char *out_path, double *loss,
                            int64_t *counted, tn_error *err) {
  token_list tokens = {0};
  tn_model *model = NULL;
  tn_stream *stream = NULL;
  tn_buffer *buffer = NULL;
  tn_status status = parse_ids(&tokens, ids, err);
  if (status == TN_OK) status = tn_model_open_trainable(&model, folder, tn_device_cpu(), err);
  if (status == TN_OK) status = tn_stream_open(tn_device_cpu(), tn_cli_pool(0), &stream, err);
  if (status == TN_OK) {
    tn_tensor grads = tn_model_flat(model);
    status = tn_buffer_new(&buffer, (size_t)tn_tensor_bytes(&grads), err);
    grads.buffer = buffer;
    if (status == TN_OK) status = train_once(model, stream, &tokens, &grads, loss, counted, err);
    if (status == TN_OK) status = write_grads(model, &grads, out_path, err);
  }
  tn_buffer_drop(buffer);
  tn_stream_close(stream);
  tn_model_free(model);
  tn_free(tokens.ids);
  return status;
}

int tn_cmd_model_grads(int argc, char **argv) {
  const char *ids = NULL, *out = NULL;
  bool json = false;
  double loss = 0;
  int64_t counted = 0;
  const tn_option options[] = {
      {"--ids", 0, TN_OPTION_TEXT, &ids, "1,2,3", "the tokens; each predicts the next"},
      {"--out", 'o', TN_OPTION_TEXT, &out, "FILE.safetensors",
       "gradients of the mean loss, under the parameters' names"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon model grads [options] --ids 1,2,3 --out FILE DIR",
      .about = "For developers: runs one sequence through the training pass, forward and backward.",
      .example = "tenon model grads runs/austen --ids 5,17,256 --out g.safetensors",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (!ids || !out) return tn_cli_usage_error("--%s is missing", ids ? "out" : "ids");
  tn_error err = {0};
  if (make_grads(argv[1], ids, out, &loss, &counted, &err) != TN_OK) return fail_model(&err);
  if (json) {
    tn_cli_json j;
    tn_cli_json_begin(&j);
    tn_json_begin_object(&j.w);
    tn_cli_json_f64(&j.w, "loss", loss);
    tn_cli_json_i64(&j.w, "counted", counted);
    tn_json_end_object(&j.w);
    tn_cli_json_finish(&j);
  } else {
    printf("%s: mean loss %.7g over %" PRId64 " tokens\n", out, loss, counted);
  }
  return 0;
}
