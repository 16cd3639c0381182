/* cmd_model_embed.c - `tenon model embed` and `tenon model rerank`: texts to vectors, and texts in
 * the order of how well they answer a query. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/cmd_model.h"
#include "cli/encoder_inputs.h"
#include "cli/model_path.h"
#include "cli/npy.h"

static int fail_encoder(const tn_error *err) {
  return tn_cli_fail(err, err->status == TN_ERR_NOT_FOUND
                              ? "a model folder holds config.json and model.safetensors"
                              : NULL);
}

static tn_status open_encoder(tn_encoder **out, const char *word, const char *pooling,
                              bool unnormalised, tn_error *err) {
  tn_strbuf folder = {0};
  tn_encoder_form form = {0};
  tn_status status = tn_model_path(word, &folder, err);
  if (status == TN_OK) status = tn_encoder_form_read(&form, folder.data, err);
  if (status == TN_OK && pooling && !tn_pooling_of_name(tn_str_of(pooling), &form.pooling))
    status = tn_fail(err, TN_ERR_ARGUMENT,
                     "--pooling is '%s', must be mean, cls, lasttoken, max, mean_sqrt_len_tokens, "
                     "weightedmean or none",
                     pooling);
  if (unnormalised) form.normalised = false;
  if (status == TN_OK) status = tn_encoder_open(out, folder.data, &form, tn_cli_pool(0), err);
  tn_strbuf_clear(&folder);
  return status;
}

/* ---- embed --------------------------------------------------------------------------------------
 */
typedef struct embed_words {
  tn_option_list ids, types;
  const char *pooling, *out;
  bool unnormalised, json;
} embed_words;

static void print_vectors(const float *x, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++)
      printf(c + 1 < columns ? "%.9g " : "%.9g\n", (double)x[r * columns + c]);
}

static void json_vectors(const tn_encoder *e, const float *x, int64_t rows, int64_t columns) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "pooling"), tn_json_cstr(&j.w, tn_pooling_name(tn_encoder_form_of(e)->pooling));
  tn_json_key(&j.w, "normalised"), tn_json_bool(&j.w, tn_encoder_form_of(e)->normalised);
  tn_json_key(&j.w, "dimensions"), tn_json_i64(&j.w, columns);
  tn_json_key(&j.w, "embeddings"), tn_json_begin_array(&j.w);
  for (int64_t r = 0; r < rows; r++) {
    tn_json_begin_array(&j.w);
    for (int64_t c = 0; c < columns; c++) tn_json_f64(&j.w, (double)x[r * columns + c]);
    tn_json_end_array(&j.w);
  }
  tn_json_end_array(&j.w);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static tn_status show_vectors(const tn_encoder *e, const embed_words *w, const float *x,
                              int64_t rows, tn_error *err) {
  int64_t columns = tn_model_config_of(tn_encoder_model(e))->hidden_size;
  if (w->out) TN_TRY(tn_npy_write(w->out, x, rows, columns, err));
  if (w->json)
    json_vectors(e, x, rows, columns);
  else if (w->out)
    printf("%s: float32 [%" PRId64 ", %" PRId64 "]\n", w->out, rows, columns);
  else
    print_vectors(x, rows, columns);
  return TN_OK;
}

/* Pooling "none": the hidden state of every token of one sequence. */
static tn_status embed(const char *word, const embed_words *w, tn_error *err) {
  tn_encoder *e = NULL;
  tn_encoder_inputs in = {0};
  float *x = NULL;
  bool states = w->pooling && strcmp(w->pooling, "none") == 0;
  tn_status status = open_encoder(&e, word, states ? NULL : w->pooling, w->unnormalised, err);
  if (status == TN_OK) status = tn_encoder_inputs_add_ids(&in, &w->ids, &w->types, err);
  if (status == TN_OK && states && in.count != 1)
    status = tn_fail(err, TN_ERR_ARGUMENT, "--pooling none shows one sequence, not %zu", in.count);
  int64_t rows = status == TN_OK && states ? in.items[0].count : (int64_t)in.count;
  if (status == TN_OK) {
    size_t width = (size_t)tn_model_config_of(tn_encoder_model(e))->hidden_size;
    x = tn_alloc((size_t)rows, width * sizeof *x);
    if (!x) status = tn_fail_memory(err, "embeddings", (size_t)rows * width * sizeof *x);
  }
  if (status == TN_OK)
    status = states ? tn_encoder_states(e, in.items, x, err)
                    : tn_encoder_embed(e, in.items, (int64_t)in.count, x, err);
  if (status == TN_OK) status = show_vectors(e, w, x, rows, err);
  tn_free(x);
  tn_encoder_inputs_clear(&in);
  tn_encoder_free(e);
  return status;
}

int tn_cmd_model_embed(int argc, char **argv) {
  embed_words w = {0};
  const tn_option options[] = {
      {"--ids", 0, TN_OPTION_LIST, &w.ids, "1,2,3", "a sequence of tokens; may be repeated"},
      {"--types", 0, TN_OPTION_LIST, &w.types, "0,0,1", "the token types of each --ids"},
      {"--pooling", 0, TN_OPTION_TEXT, &w.pooling, "KIND",
       "mean, cls, lasttoken, max or none (every token); default: as the folder says"},
      {"--unnormalised", 0, TN_OPTION_FLAG, &w.unnormalised, NULL, "leave the length as it is"},
      {"--out", 'o', TN_OPTION_TEXT, &w.out, "FILE.npy", "float32 [texts, dimensions]"},
      {"--json", 0, TN_OPTION_FLAG, &w.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon model embed [options] DIR",
      .about =
          "Sentence embeddings: a line of numbers for each text.  Pooling and normalising are "
          "as modules.json\nof the folder says (sentence-transformers); without it the mean, "
          "of length 1.",
      .example = "tenon model embed minilm --ids 101,7592,102",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (w.ids.count == 0) return tn_cli_usage_error("nothing to embed: give --ids");
  tn_error err = {0};
  return embed(argv[1], &w, &err) == TN_OK ? 0 : fail_encoder(&err);
}

/* ---- rerank -------------------------------------------------------------------------------------
 */
typedef struct rerank_words {
  tn_option_list ids, types;
  bool json;
} rerank_words;

typedef struct ranked {
  size_t index;
  double score;
} ranked;

static int by_score(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return x->index < y->index ? -1 : 1;
}

/* One label: its score, through a sigmoid unless the folder says otherwise. */
static double score_of(const tn_encoder *e, float logit) {
  return tn_encoder_form_of(e)->raw_scores ? (double)logit : 1 / (1 + exp(-(double)logit));
}

static void show_ranks(const ranked *list, size_t count, bool json) {
  if (!json) {
    for (size_t i = 0; i < count; i++) printf("%8.6f  %zu\n", list[i].score, list[i].index);
    return;
  }
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "results"), tn_json_begin_array(&j.w);
  for (size_t i = 0; i < count; i++) {
    tn_json_begin_object(&j.w);
    tn_json_key(&j.w, "index"), tn_json_u64(&j.w, list[i].index);
    tn_json_key(&j.w, "score"), tn_json_f64(&j.w, list[i].score);
    tn_json_end_object(&j.w);
  }
  tn_json_end_array(&j.w);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static tn_status rank(tn_encoder *e, const tn_encoder_inputs *in, ranked *list, tn_error *err) {
  const tn_model_config *c = tn_model_config_of(tn_encoder_model(e));
  int64_t labels = c->labels;
  if (c->task == TN_TASK_CLASSIFY && labels != 1)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "a reranker has one label, this model has %" PRId64,
                   labels);
  float *logits = tn_alloc(in->count, sizeof *logits);
  if (!logits) return tn_fail_memory(err, "scores", in->count * sizeof *logits);
  tn_status status = tn_encoder_classify(e, in->items, (int64_t)in->count, logits, err);
  for (size_t i = 0; i < in->count && status == TN_OK; i++)
    list[i] = (ranked){i, score_of(e, logits[i])};
  if (status == TN_OK) qsort(list, in->count, sizeof *list, by_score);
  tn_free(logits);
  return status;
}

static tn_status rerank(const char *word, const rerank_words *w, tn_error *err) {
  tn_encoder *e = NULL;
  tn_encoder_inputs in = {0};
  ranked *list = NULL;
  tn_status status = open_encoder(&e, word, NULL, false, err);
  if (status == TN_OK) status = tn_encoder_inputs_add_ids(&in, &w->ids, &w->types, err);
  if (status == TN_OK) {
    list = tn_alloc(in.count, sizeof *list);
    status =
        list ? rank(e, &in, list, err) : tn_fail_memory(err, "scores", in.count * sizeof *list);
  }
  if (status == TN_OK) show_ranks(list, in.count, w->json);
  tn_free(list);
  tn_encoder_inputs_clear(&in);
  tn_encoder_free(e);
  return status;
}

int tn_cmd_model_rerank(int argc, char **argv) {
  rerank_words w = {0};
  const tn_option options[] = {
      {"--ids", 0, TN_OPTION_LIST, &w.ids, "1,2,3", "a pair as tokens; may be repeated"},
      {"--types", 0, TN_OPTION_LIST, &w.types, "0,0,1", "the token types of each --ids"},
      {"--json", 0, TN_OPTION_FLAG, &w.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon model rerank [options] DIR",
      .about =
          "Scores texts against a query with a cross-encoder (*ForSequenceClassification, one "
          "label), best\nfirst: score and number of the text.",
      .example = "tenon model rerank reranker --ids 101,7592,102,2088,102 --types 0,0,0,1,1",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (w.ids.count == 0) return tn_cli_usage_error("nothing to score: give --ids");
  tn_error err = {0};
  return rerank(argv[1], &w, &err) == TN_OK ? 0 : fail_encoder(&err);
}
