/* cmd_eval.c - `tenon eval`: perplexity of a text, and multiple choice by log-likelihood. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/load_options.h"
#include "cli/model_folder.h"
#include "cli/text_model.h"
#include "eval/choices.h"
#include "eval/perplexity.h"

#define EVAL_KV_HELP                                                                               \
  "type of keys and values: f32 (the default, to see the model itself), f16, bf16, int8, fp8, or " \
  "auto (as tenon serve has it)"

static double seconds_since(int64_t start_us) {
  return (double)(tn_time_us() - start_us) / 1e6;
}

/* ---- perplexity ---------------------------------------------------------------------------------
 */
typedef struct perplexity_words {
  tn_option_list data;
  const char *column, *kv;
  int64_t window, stride, tokens, threads;
  bool bos, quiet, json;
} perplexity_words;

typedef struct perplexity_result {
  tn_perplexity p;
  int64_t tokens, bytes; /* of the text */
  tn_dtype kv_dtype;
  int64_t kv_bytes; /* of 1,000 tokens */
  double seconds;
} perplexity_result;

/* The bytes that the tokens stand for: bits a byte does not depend on a tokenizer. */
static int64_t text_bytes(const tn_tokenizer *t, const tn_ids *ids) {
  int64_t bytes = 0;
  for (size_t i = 0; i < ids->count; i++)
    if (!tn_tokenizer_is_special(t, ids->items[i]))
      bytes += (int64_t)tn_tokenizer_bytes(t, ids->items[i]).length;
  return bytes;
}

static double bits_per_byte(const perplexity_result *r) {
  if (r->p.scored == 0 || r->bytes == 0) return 0;
  double nats_a_token = r->p.nats / (double)r->p.scored;
  return nats_a_token / log(2.0) * (double)r->tokens / (double)r->bytes;
}

static tn_status measure(const perplexity_words *w, const tn_text_model *m, tn_scorer *scorer,
                         tn_progress *progress, perplexity_result *r, tn_error *err) {
  tn_ids ids = {0};
  tn_perplexity_options o = {
      .window = w->window, .stride = w->stride, .bos_id = w->bos ? m->bos_id : -1};
  tn_status status = tn_text_model_ids(m, &ids, &w->data, w->column, w->tokens, progress, err);
  int64_t start_us = tn_time_us();
  if (status == TN_OK)
    status = tn_perplexity_run(&r->p, scorer, ids.items, (int64_t)ids.count, &o, progress, err);
  r->seconds = seconds_since(start_us);
  r->tokens = (int64_t)ids.count;
  r->bytes = text_bytes(m->tokenizer, &ids);
  tn_ids_clear(&ids);
  return status;
}

static tn_status perplexity(const perplexity_words *w, const char *folder, perplexity_result *r,
                            tn_error *err) {
  tn_progress progress = tn_cli_progress(w->quiet || w->json);
  tn_pool *pool = tn_cli_pool((int32_t)w->threads);
  tn_text_model m;
  tn_scorer *scorer = NULL;
  tn_status status = tn_text_model_open(&m, folder, err);
  if (status == TN_OK && w->bos && m.bos_id < 0)
    status = tn_fail(err, TN_ERR_DATA, "--bos: %s names no bos_token_id", m.folder.data);
  if (status == TN_OK) status = tn_kv_dtype_of_word(&r->kv_dtype, m.model, w->kv, err);
  if (status == TN_OK) {
    r->kv_bytes = tn_kv_cache_block_bytes(tn_model_config_of(m.model), r->kv_dtype, 1000);
    int64_t window = w->window > 0 ? w->window : tn_model_config_of(m.model)->positions_max;
    status = tn_scorer_new(&scorer, m.model, r->kv_dtype, pool, window, err);
  }
  if (status == TN_OK) status = measure(w, &m, scorer, &progress, r, err);
  tn_scorer_free(scorer);
  tn_text_model_clear(&m);
  return status;
}

static void print_perplexity_json(const char *model, const perplexity_result *r) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "model", model);
  tn_cli_json_f64(&j.w, "perplexity", r->p.perplexity);
  tn_cli_json_f64(&j.w, "nats_per_token", r->p.nats / (double)r->p.scored);
  tn_cli_json_f64(&j.w, "bits_per_byte", bits_per_byte(r));
  tn_cli_json_i64(&j.w, "tokens", r->tokens);
  tn_cli_json_i64(&j.w, "scored", r->p.scored);
  tn_cli_json_i64(&j.w, "bytes", r->bytes);
  tn_cli_json_i64(&j.w, "windows", r->p.windows);
  tn_cli_json_i64(&j.w, "window", r->p.window);
  tn_cli_json_i64(&j.w, "stride", r->p.stride);
  tn_cli_json_text(&j.w, "kv_type", tn_kv_dtype_word(r->kv_dtype));
  tn_cli_json_i64(&j.w, "kv_bytes_per_1000_tokens", r->kv_bytes);
  tn_cli_json_f64(&j.w, "seconds", r->seconds);
  tn_cli_json_f64(&j.w, "tokens_per_second", (double)r->p.scored / r->seconds);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void print_perplexity(const perplexity_result *r) {
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "perplexity %.4f (%.4f nats a token, %.4f bits a byte) over ",
                 r->p.perplexity, r->p.nats / (double)r->p.scored, bits_per_byte(r));
  tn_strbuf_add_count_human(&text, r->p.scored);
  tn_strbuf_addf(&text, " tokens in %" PRId64 " windows of %" PRId64 ", stride %" PRId64 "; ",
                 r->p.windows, r->p.window, r->p.stride);
  tn_strbuf_add_duration_human(&text, r->seconds);
  tn_strbuf_addf(&text, ", %.0f tokens/s; KV cache in %s, ", (double)r->p.scored / r->seconds,
                 tn_kv_dtype_word(r->kv_dtype));
  tn_strbuf_add_bytes_human(&text, (double)r->kv_bytes);
  tn_strbuf_add(&text, " per 1,000 tokens");
  if (!text.failed) puts(text.data);
  tn_strbuf_clear(&text);
}

static int run_perplexity(int argc, char **argv) {
  perplexity_words w = {.kv = "f32"};
  const tn_option options[] = {
      {"--data", 'd', TN_OPTION_LIST, &w.data, "FILE",
       "text to score: .txt, or a table (.parquet, .csv ...); may be repeated"},
      {"--column", 'c', TN_OPTION_TEXT, &w.column, "NAME", "text column of tables (default text)"},
      {"--window", 'w', TN_OPTION_COUNT, &w.window, "N",
       "tokens a window (default: all that the model takes)"},
      {"--stride", 's', TN_OPTION_COUNT, &w.stride, "N",
       "tokens between the beginnings of windows (default: a window, so that none overlap)"},
      {"--bos", 0, TN_OPTION_FLAG, &w.bos, NULL, "begin every window with the begin-of-text token"},
      {"--tokens", 'n', TN_OPTION_COUNT, &w.tokens, "N", "score the first N tokens (default all)"},
      {"--kv", 0, TN_OPTION_TEXT, &w.kv, "TYPE", EVAL_KV_HELP},
      {"--threads", 't', TN_OPTION_INT, &w.threads, "N", "0: all CPUs (default)"},
      {"--quiet", 'q', TN_OPTION_FLAG, &w.quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &w.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon eval perplexity [options] --data FILE MODEL",
      .about =
          "Perplexity: exp of the mean negative log-likelihood of the text's tokens.  Documents "
          "are encoded one\nby one with the end-of-text token between them.  The first window "
          "holds the first N tokens, the next\nbegins `stride` tokens later; every token is "
          "scored once, in the first window that holds it, given all\ntokens before it in that "
          "window.  The first token of a window has nothing before it and is not\nscored, unless "
          "--bos puts a token there.  A smaller stride gives tokens more to go by and takes "
          "longer.",
      .example = "tenon eval perplexity runs/austen --data books.parquet --window 256 --stride 128",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (w.data.count == 0)
    return tn_cli_usage_error("--data is missing: a .txt file, or a table with a text column");
  if (w.column && !tn_text_has_table(&w.data))
    return tn_cli_usage_error("--column goes with a table (.parquet, .csv ...), not with .txt");
  if (!tn_kv_word_is_good(w.kv)) return TN_EXIT_USAGE;
  if (w.threads < 0 || w.threads > 1024) return tn_cli_usage_error("--threads: 0 to 1024");
  tn_error err = {0};
  perplexity_result r = {0};
  if (perplexity(&w, argv[1], &r, &err) != TN_OK)
    return tn_cli_fail(&err, tn_text_model_hint(&err));
  if (w.json)
    print_perplexity_json(argv[1], &r);
  else
    print_perplexity(&r);
  return 0;
}

/* ---- choices ------------------------------------------------------------------------------------
 */
typedef struct choices_words {
  const char *data, *delimiter, *out, *kv;
  int64_t limit, threads;
  bool bos, quiet, json;
} choices_words;

/* One line an item: what it was compared by. */
static tn_status write_item(void *context, const tn_choice_item *item, tn_error *err) {
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_json_begin_object(&w);
  tn_cli_json_i64(&w, "line", item->line);
  tn_cli_json_i64(&w, "answer", item->answer);
  tn_cli_json_i64(&w, "picked", item->picked);
  tn_cli_json_i64(&w, "picked_norm", item->picked_characters);
  tn_cli_json_i64(&w, "picked_bytes", item->picked_bytes);
  tn_json_key(&w, "log_likelihoods");
  tn_json_begin_array(&w);
  for (int32_t i = 0; i < item->count; i++) tn_json_f64(&w, item->scores[i].log_likelihood);
  tn_json_end_array(&w);
  tn_json_key(&w, "greedy");
  tn_json_begin_array(&w);
  for (int32_t i = 0; i < item->count; i++) tn_json_bool(&w, item->scores[i].is_greedy);
  tn_json_end_array(&w);
  tn_json_end_object(&w);
  tn_strbuf_add_char(&text, '\n');
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = tn_sink_write(context, text.data, text.length, err);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status score(const choices_words *w, const tn_text_model *m, tn_sink *sink,
                       tn_choices *out, tn_error *err) {
  tn_progress progress = tn_cli_progress(w->quiet || w->json);
  tn_scorer *scorer;
  tn_choices_options o = {.delimiter = w->delimiter,
                          .bos_id = m->bos_id,
                          .eos_id = m->eos_id,
                          .add_bos = w->bos,
                          .items_max = w->limit,
                          .each = sink ? write_item : NULL,
                          .context = sink};
  tn_dtype kv_dtype;
  TN_TRY(tn_kv_dtype_of_word(&kv_dtype, m->model, w->kv, err));
  TN_TRY(tn_scorer_new(&scorer, m->model, kv_dtype, tn_cli_pool((int32_t)w->threads),
                       tn_model_config_of(m->model)->positions_max + 1, err));
  tn_status status = tn_choices_run(out, scorer, m->tokenizer, w->data, &o, &progress, err);
  tn_scorer_free(scorer);
  return status;
}

/* The scores replace an older file of that name, but nothing that is read. */
static tn_status check_out(const choices_words *w, const char *model, tn_error *err) {
  if (tn_is_same_place(w->out, w->data) || tn_is_same_place(w->out, model))
    return tn_fail(err, TN_ERR_ARGUMENT, "--out %s is an input: it wants a name of its own",
                   w->out);
  return TN_OK;
}

static tn_status choices(const choices_words *w, const char *folder, tn_choices *out,
                         tn_error *err) {
  tn_text_model m;
  tn_sink *sink = NULL;
  if (w->out) TN_TRY(check_out(w, folder, err));
  tn_status status = tn_text_model_open(&m, folder, err);
  if (status == TN_OK && w->out) status = tn_sink_open_file(&sink, w->out, err);
  if (status == TN_OK) status = score(w, &m, sink, out, err);
  if (status == TN_OK && sink) status = tn_sink_commit(sink, err);
  tn_sink_close(sink);
  tn_text_model_clear(&m);
  return status;
}

static void print_choices_json(const char *model, const tn_choices *c, double seconds) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "model", model);
  tn_cli_json_i64(&j.w, "items", c->items);
  tn_cli_json_i64(&j.w, "scored", c->scored);
  tn_cli_json_f64(&j.w, "acc", c->acc);
  tn_cli_json_f64(&j.w, "acc_stderr", c->acc_error);
  tn_cli_json_f64(&j.w, "acc_norm", c->acc_norm);
  tn_cli_json_f64(&j.w, "acc_norm_stderr", c->acc_norm_error);
  tn_cli_json_f64(&j.w, "acc_bytes", c->acc_bytes);
  tn_cli_json_f64(&j.w, "acc_bytes_stderr", c->acc_bytes_error);
  tn_cli_json_f64(&j.w, "seconds", seconds);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void print_choices(const tn_choices *c, double seconds) {
  printf("acc        %.4f +- %.4f   of the larger log-likelihood\n", c->acc, c->acc_error);
  printf("acc_norm   %.4f +- %.4f   ... a character\n", c->acc_norm, c->acc_norm_error);
  printf("acc_bytes  %.4f +- %.4f   ... a byte\n", c->acc_bytes, c->acc_bytes_error);
  printf("%" PRId64 " items, %" PRId64 " tokens scored in %.1f s\n", c->items, c->scored, seconds);
}

static int run_choices(int argc, char **argv) {
  choices_words w = {.kv = "f32"};
  const tn_option options[] = {
      {"--data", 'd', TN_OPTION_TEXT, &w.data, "FILE.jsonl",
       "a line an item: {\"context\": text, \"choices\": [texts], \"answer\": place from 0}"},
      {"--delimiter", 0, TN_OPTION_TEXT, &w.delimiter, "TEXT",
       "between context and choice (default one space)"},
      {"--bos", 0, TN_OPTION_FLAG, &w.bos, NULL, "put the begin-of-text token before each context"},
      {"--out", 'o', TN_OPTION_TEXT, &w.out, "FILE.jsonl",
       "log-likelihoods and picks, item by item"},
      {"--limit", 'n', TN_OPTION_COUNT, &w.limit, "N", "score the first N items (default all)"},
      {"--kv", 0, TN_OPTION_TEXT, &w.kv, "TYPE", EVAL_KV_HELP},
      {"--threads", 't', TN_OPTION_INT, &w.threads, "N", "0: all CPUs (default)"},
      {"--quiet", 'q', TN_OPTION_FLAG, &w.quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &w.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon eval choices [options] --data FILE.jsonl MODEL",
      .about =
          "Multiple choice as lm-evaluation-harness defines it.  A choice's log-likelihood is the "
          "sum over the\ntokens of delimiter + choice, given the context; acc counts items whose "
          "likeliest choice is the\nanswer, acc_norm divides by the characters of the choice "
          "first, acc_bytes by its UTF-8 bytes.\nWhat is longer than the model takes loses its "
          "beginning.",
      .example = "tenon eval choices models/llama --data piqa.jsonl --out scores.jsonl",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (!w.data) return tn_cli_usage_error("--data is missing: a file of JSON lines");
  if (!tn_kv_word_is_good(w.kv)) return TN_EXIT_USAGE;
  if (w.threads < 0 || w.threads > 1024) return tn_cli_usage_error("--threads: 0 to 1024");
  if (w.limit < 0) return tn_cli_usage_error("--limit is %" PRId64 ", must be 1 or more", w.limit);
  tn_error err = {0};
  tn_choices c;
  int64_t start_us = tn_time_us();
  if (choices(&w, argv[1], &c, &err) != TN_OK) return tn_cli_fail(&err, tn_text_model_hint(&err));
  if (w.json)
    print_choices_json(argv[1], &c, seconds_since(start_us));
  else
    print_choices(&c, seconds_since(start_us));
  return 0;
}

static const tn_subcommand subs[] = {
    {"perplexity", "how well a model predicts a text", run_perplexity},
    {"choices", "multiple choice by log-likelihood: acc and acc_norm", run_choices},
    {0}};

static int run(int argc, char **argv) {
  return tn_dispatch("eval", "Measures a model: perplexity of a text, accuracy on multiple choice.",
                     subs, argc, argv);
}

const tn_command tn_command_eval = {"eval", "measure a model: perplexity, multiple choice", run};
