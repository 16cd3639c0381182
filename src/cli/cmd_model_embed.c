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
  return tn_cli_fail(err, tn_model_hint(err));
}

/* An encoder with its tokenizer, where texts ask for one. */
typedef struct opened {
  tn_strbuf folder;
  tn_encoder *encoder;
  tn_tokenizer *tokenizer;
  tn_text_list texts;
  tn_encoder_inputs inputs;
} opened;

static void clear_opened(opened *o) {
  tn_encoder_inputs_clear(&o->inputs);
  tn_text_list_clear(&o->texts);
  tn_tokenizer_free(o->tokenizer);
  tn_encoder_free(o->encoder);
  tn_strbuf_clear(&o->folder);
}

static tn_status open_tokenizer(opened *o, tn_error *err) {
  tn_strbuf path = {0};
  const char *sub = tn_encoder_form_of(o->encoder)->model;
  if (o->texts.count == 0) return TN_OK;
  tn_strbuf_addf(&path, "%s%s%s", o->folder.data, sub[0] ? "/" : "", sub);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = tn_tokenizer_open(&o->tokenizer, path.data, err);
  tn_strbuf_clear(&path);
  return status;
}

/* What both commands are given, and its rows in their tables of options. */
typedef struct text_words {
  tn_option_list texts, ids, types;
  const char *input;
  bool json;
} text_words;

#define TEXT_OPTIONS(w)                                                                       \
  {"--text", 0, TN_OPTION_LIST, &(w).texts, "TEXT", "may be repeated"},                       \
      {"--input",  0,      TN_OPTION_TEXT,                                                    \
       &(w).input, "FILE", "a text in every line, also in an empty one"},                     \
      {"--ids", 0, TN_OPTION_LIST, &(w).ids, "1,2,3", "for developers: tokens, not a text"},  \
      {"--types", 0, TN_OPTION_LIST, &(w).types, "0,0,1", "the token types of each --ids"}, { \
    "--json", 0, TN_OPTION_FLAG, &(w).json, NULL, "the result as one JSON object"             \
  }

static bool has_texts(const text_words *w) {
  return w->texts.count > 0 || w->input;
}

typedef struct form_words {
  const char *pooling, *prompt;
  bool unnormalised;
} form_words;

static tn_status open_encoder(opened *o, const char *word, const form_words *w, tn_error *err) {
  tn_encoder_form form = {0};
  const char *pooling = w->pooling;
  tn_status status = tn_model_path(word, &o->folder, err);
  if (status == TN_OK) status = tn_encoder_form_read(&form, o->folder.data, err);
  if (status == TN_OK && w->prompt)
    status = tn_encoder_form_prompt(&form, o->folder.data, w->prompt, err);
  if (status == TN_OK && pooling && !tn_pooling_of_name(tn_str_of(pooling), &form.pooling))
    status = tn_fail(err, TN_ERR_ARGUMENT,
                     "--pooling is '%s', must be mean, cls, lasttoken, max, mean_sqrt_len_tokens, "
                     "weightedmean or none",
                     pooling);
  if (w->unnormalised) form.normalised = false;
  if (status == TN_OK)
    status = tn_encoder_open(&o->encoder, o->folder.data, &form, tn_cli_pool(0), err);
  return status == TN_OK ? open_tokenizer(o, err) : status;
}

/* ---- embed --------------------------------------------------------------------------------------
 */
typedef struct embed_words {
  text_words given;
  const char *out;
  form_words form;
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
  tn_cli_json_text(&j.w, "pooling", tn_pooling_name(tn_encoder_form_of(e)->pooling));
  tn_cli_json_bool(&j.w, "normalised", tn_encoder_form_of(e)->normalised);
  tn_cli_json_i64(&j.w, "dimensions", columns);
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
  if (w->given.json)
    json_vectors(e, x, rows, columns);
  else if (w->out)
    printf("%s: float32 [%" PRId64 ", %" PRId64 "]\n", w->out, rows, columns);
  else
    print_vectors(x, rows, columns);
  return TN_OK;
}

static tn_status add_texts(opened *o, tn_error *err) {
  const tn_encoder_form *form = tn_encoder_form_of(o->encoder);
  tn_strbuf text = {0};
  tn_status status = TN_OK;
  for (size_t i = 0; i < o->texts.count && status == TN_OK; i++) {
    tn_strbuf_reset(&text);
    tn_strbuf_addf(&text, "%s%.*s", form->prompt, TN_STR_ARG(o->texts.items[i]));
    status = tn_strbuf_check(&text, err);
    if (status == TN_OK)
      status = tn_encoder_inputs_add_text(&o->inputs, o->tokenizer, tn_strbuf_view(&text), NULL,
                                          o->encoder, err);
  }
  tn_strbuf_clear(&text);
  return status;
}

/* Pooling "none": the hidden state of every token of one sequence. */
static tn_status embed_all(opened *o, const embed_words *w, bool states, tn_error *err) {
  const tn_encoder_input *items = o->inputs.items;
  if (states && o->inputs.count != 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "--pooling none shows one sequence, not %zu",
                   o->inputs.count);
  int64_t count = (int64_t)o->inputs.count, rows = states ? items[0].count : count;
  size_t width = (size_t)tn_model_config_of(tn_encoder_model(o->encoder))->hidden_size;
  float *x = tn_alloc((size_t)rows, width * sizeof *x);
  if (!x) return tn_fail_memory(err, "embeddings", (size_t)rows * width * sizeof *x);
  tn_status status = states ? tn_encoder_states(o->encoder, items, x, err)
                            : tn_encoder_embed(o->encoder, items, count, x, err);
  if (status == TN_OK) status = show_vectors(o->encoder, w, x, rows, err);
  tn_free(x);
  return status;
}

static tn_status embed(const char *word, const embed_words *w, tn_error *err) {
  opened o = {0};
  form_words form = w->form;
  bool states = form.pooling && strcmp(form.pooling, "none") == 0;
  if (states) form.pooling = NULL;
  tn_status status = tn_text_list_read(&o.texts, &w->given.texts, w->given.input, err);
  if (status == TN_OK) status = open_encoder(&o, word, &form, err);
  if (status == TN_OK) status = add_texts(&o, err);
  if (status == TN_OK)
    status = tn_encoder_inputs_add_ids(&o.inputs, &w->given.ids, &w->given.types, err);
  if (status == TN_OK) status = embed_all(&o, w, states, err);
  clear_opened(&o);
  return status;
}

int tn_cmd_model_embed(int argc, char **argv) {
  embed_words w = {0};
  const tn_option options[] = {
      {"--prompt", 0, TN_OPTION_TEXT, &w.form.prompt, "NAME",
       "the folder's prompt of that name before each text (\"query\")"},
      {"--pooling", 0, TN_OPTION_TEXT, &w.form.pooling, "KIND",
       "mean, cls, lasttoken, max or none (every token); default: as the folder says"},
      {"--unnormalised", 0, TN_OPTION_FLAG, &w.form.unnormalised, NULL,
       "leave the length as it is"},
      {"--out", 'o', TN_OPTION_TEXT, &w.out, "FILE.npy", "float32 [texts, dimensions]"},
      TEXT_OPTIONS(w.given),
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
  if (w.given.ids.count == 0 && !has_texts(&w.given))
    return tn_cli_usage_error("nothing to embed: give --text or --input");
  tn_error err = {0};
  return embed(argv[1], &w, &err) == TN_OK ? 0 : fail_encoder(&err);
}

/* ---- rerank -------------------------------------------------------------------------------------
 */
typedef struct rerank_words {
  text_words given;
  const char *query;
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

static void json_ranks(const opened *o, const ranked *list) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "results"), tn_json_begin_array(&j.w);
  for (size_t i = 0; i < o->inputs.count; i++) {
    tn_json_begin_object(&j.w);
    tn_json_key(&j.w, "index"), tn_json_u64(&j.w, list[i].index);
    tn_cli_json_f64(&j.w, "score", list[i].score);
    if (list[i].index < o->texts.count)
      tn_json_key(&j.w, "text"), tn_json_str(&j.w, o->texts.items[list[i].index]);
    tn_json_end_object(&j.w);
  }
  tn_json_end_array(&j.w);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void show_ranks(const opened *o, const ranked *list, bool json) {
  if (json) {
    json_ranks(o, list);
    return;
  }
  for (size_t i = 0; i < o->inputs.count; i++) {
    tn_str text = list[i].index < o->texts.count ? o->texts.items[list[i].index] : TN_STR("");
    printf("%9.6f  %zu  %.*s\n", list[i].score, list[i].index, TN_STR_ARG(text));
  }
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

static tn_status add_pairs(opened *o, const char *query, tn_error *err) {
  for (size_t i = 0; i < o->texts.count; i++)
    TN_TRY(tn_encoder_inputs_add_text(&o->inputs, o->tokenizer, tn_str_of(query),
                                      &o->texts.items[i], o->encoder, err));
  return TN_OK;
}

static tn_status rank_all(opened *o, bool json, tn_error *err) {
  ranked *list = tn_alloc(o->inputs.count, sizeof *list);
  if (!list) return tn_fail_memory(err, "scores", o->inputs.count * sizeof *list);
  tn_status status = rank(o->encoder, &o->inputs, list, err);
  if (status == TN_OK) show_ranks(o, list, json);
  tn_free(list);
  return status;
}

static tn_status rerank(const char *word, const rerank_words *w, tn_error *err) {
  opened o = {0};
  const form_words form = {0};
  tn_status status = tn_text_list_read(&o.texts, &w->given.texts, w->given.input, err);
  if (status == TN_OK) status = open_encoder(&o, word, &form, err);
  if (status == TN_OK) status = add_pairs(&o, w->query, err);
  if (status == TN_OK)
    status = tn_encoder_inputs_add_ids(&o.inputs, &w->given.ids, &w->given.types, err);
  if (status == TN_OK) status = rank_all(&o, w->given.json, err);
  clear_opened(&o);
  return status;
}

int tn_cmd_model_rerank(int argc, char **argv) {
  rerank_words w = {0};
  const tn_option options[] = {
      {"--query", 0, TN_OPTION_TEXT, &w.query, "TEXT", "what the texts should answer"},
      TEXT_OPTIONS(w.given),
      {0}};
  const tn_usage usage = {
      .words = "tenon model rerank [options] DIR",
      .about =
          "Scores texts against a query with a cross-encoder (*ForSequenceClassification, one "
          "label), best\nfirst: score and number of the text.",
      .example = "tenon model rerank reranker --query \"What is a tenon?\" --input passages.txt",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (w.given.ids.count == 0 && !has_texts(&w.given))
    return tn_cli_usage_error("nothing to score: give --query with --text or --input");
  if (has_texts(&w.given) && !w.query)
    return tn_cli_usage_error("--query is missing: what to score texts against");
  tn_error err = {0};
  return rerank(argv[1], &w, &err) == TN_OK ? 0 : fail_encoder(&err);
}
