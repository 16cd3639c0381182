/* cmd_bench_serve.c - `tenon bench serve`: how fast a running server answers.
 *
 * Streams completions from any OpenAI-compatible server with a fixed number of clients, each on its
 * own thread and connection, and reports what they saw: time to the first token, time per further
 * token (a request's mean), the gaps between chunks (a chunk may hold several tokens), tokens a
 * second over all. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "net/http_client.h"

int tn_cmd_bench_serve(int argc, char **argv);

typedef struct bench_words {
  const char *url, *model, *prompt, *prompt_file;
  int64_t concurrency, requests, tokens_max, seed;
  double temperature;
  bool stream_one, ignore_eos, json;
} bench_words;

/* Microseconds, in the order in which they came. */
typedef struct samples {
  int64_t *items;
  size_t count, capacity;
} samples;

static void add_sample(samples *s, int64_t us) {
  if (tn_grow((void **)&s->items, &s->capacity, s->count + 1, sizeof us, NULL) == TN_OK) {
    s->items[s->count++] = us;
  }
}

typedef struct bench {
  const bench_words *words;
  tn_strbuf url, body;
  atomic_int_fast64_t next;
  pthread_mutex_t lock; /* guards the results */
  samples first, per_token, gaps, whole;
  int64_t prompt_tokens, tokens, succeeded, failed;
  char problem[300]; /* the first failure */
} bench;

/* One request as its client sees it. */
typedef struct watch {
  bench *b;
  int64_t sent_us, first_us, last_us;
  samples gaps;
  int64_t prompt_tokens, tokens;
  bool done, print;
  char problem[300];
} watch;

/* ---- one request
 * ---------------------------------------------------------------------------------------- */

static void note_text(watch *w, const tn_json *choice) {
  int64_t now_us = tn_time_us();
  const tn_json *text = tn_json_get(choice, "text");
  if (w->first_us == 0) {
    w->first_us = now_us;
  } else {
    add_sample(&w->gaps, now_us - w->last_us);
  }
  w->last_us = now_us;
  if (w->print && text && text->kind == TN_JSON_STRING) {
    fwrite(text->text.data, 1, text->text.length, stdout);
    fflush(stdout);
  }
}

static void note_event(watch *w, const tn_json *event) {
  const tn_json *error = tn_json_get(event, "error"), *choices = tn_json_get(event, "choices");
  const tn_json *usage = tn_json_get(event, "usage"), *message = tn_json_get(error, "message");
  if (error) {
    tn_str text =
        message && message->kind == TN_JSON_STRING ? message->text : TN_STR("an error event");
    snprintf(w->problem, sizeof w->problem, "%.*s", (int)(text.length < 250 ? text.length : 250),
             text.data);
  }
  if (choices && choices->kind == TN_JSON_ARRAY && choices->count > 0) note_text(w, choices->first);
  if (usage && usage->kind == TN_JSON_OBJECT) {
    bool whole =
        tn_json_get_i64(usage, "prompt_tokens", 0, INT64_MAX, &w->prompt_tokens, NULL) == TN_OK &&
        tn_json_get_i64(usage, "completion_tokens", 0, INT64_MAX, &w->tokens, NULL) == TN_OK;
    if (!whole) snprintf(w->problem, sizeof w->problem, "a usage whose counts are no numbers");
  }
}

static bool on_event(void *context, tn_str data) {
  watch *w = context;
  tn_arena arena = {0};
  tn_json *event = NULL;
  tn_error err;
  if (tn_str_is(data, "[DONE]")) {
    w->done = true;
  } else if (tn_json_parse(&event, &arena, data, NULL, &err) == TN_OK) {
    note_event(w, event);
  } else {
    snprintf(w->problem, sizeof w->problem, "an event that is no JSON: %.200s", err.text);
  }
  tn_arena_clear(&arena);
  return !tn_cli_stop_requested();
}

static void ask(watch *w, tn_http_client *client) {
  tn_http_answer answer = {0};
  tn_error err;
  w->sent_us = tn_time_us();
  tn_status status = tn_http_post_stream(client, w->b->url.data, "application/json",
                                         tn_strbuf_view(&w->b->body), on_event, w, &answer, &err);
  if (status == TN_END) {
    snprintf(w->problem, sizeof w->problem, "stopped");
  } else if (status != TN_OK) {
    snprintf(w->problem, sizeof w->problem, "%.250s", err.text);
  } else if (answer.status != 200) {
    snprintf(w->problem, sizeof w->problem, "HTTP %d: %.200s", answer.status,
             answer.body.data ? answer.body.data : "");
  } else if (!w->done && !w->problem[0]) {
    snprintf(w->problem, sizeof w->problem, "the stream ended without [DONE]");
  }
  tn_http_answer_clear(&answer);
}

static void add_result(bench *b, const watch *w) {
  pthread_mutex_lock(&b->lock);
  if (w->problem[0]) {
    b->failed++;
    if (!b->problem[0]) snprintf(b->problem, sizeof b->problem, "%s", w->problem);
  } else {
    b->succeeded++;
    b->tokens += w->tokens;
    b->prompt_tokens += w->prompt_tokens;
    add_sample(&b->first, w->first_us - w->sent_us);
    add_sample(&b->whole, w->last_us - w->sent_us);
    if (w->tokens > 1) add_sample(&b->per_token, (w->last_us - w->first_us) / (w->tokens - 1));
    for (size_t i = 0; i < w->gaps.count; i++) add_sample(&b->gaps, w->gaps.items[i]);
  }
  pthread_mutex_unlock(&b->lock);
}

static void *client_main(void *context) {
  bench *b = context;
  tn_http_client *client = NULL;
  tn_error err;
  if (tn_http_client_new(&client, NULL, &err) != TN_OK) return NULL;
  while (!tn_cli_stop_requested() && atomic_fetch_add(&b->next, 1) < b->words->requests) {
    watch w = {.b = b, .print = b->words->stream_one};
    ask(&w, client);
    add_result(b, &w);
    tn_free(w.gaps.items);
  }
  tn_http_client_free(client);
  return NULL;
}

/* ---- before and after
 * ----------------------------------------------------------------------------------- */

/* The first model that the server lists. */
static tn_status find_model(const char *url, tn_strbuf *model, tn_error *err) {
  tn_http_client *client = NULL;
  tn_http_answer answer = {0};
  tn_arena arena = {0};
  tn_json *root = NULL;
  tn_strbuf where = {0};
  tn_strbuf_addf(&where, "%s/v1/models", url);
  tn_status status = tn_strbuf_check(&where, err);
  if (status == TN_OK) status = tn_http_client_new(&client, NULL, err);
  if (status == TN_OK) status = tn_http_get(client, where.data, &answer, err);
  if (status == TN_OK)
    status = tn_json_parse(&root, &arena, tn_strbuf_view(&answer.body), NULL, err);
  const tn_json *list = status == TN_OK ? tn_json_get(root, "data") : NULL;
  const tn_json *id = list ? tn_json_get(tn_json_at(list, 0), "id") : NULL;
  if (status == TN_OK && (!id || id->kind != TN_JSON_STRING)) {
    status =
        tn_fail(err, TN_ERR_DATA, "%s: HTTP %d and no list of models", where.data, answer.status);
  }
  if (status == TN_OK) tn_strbuf_add_str(model, id->text);
  tn_http_client_free(client);
  tn_http_answer_clear(&answer);
  tn_arena_clear(&arena);
  tn_strbuf_clear(&where);
  return status;
}

static tn_status make_body(bench *b, const bench_words *w, tn_error *err) {
  tn_strbuf model = {0}, prompt = {0};
  tn_status status = TN_OK;
  if (w->model) {
    tn_strbuf_add(&model, w->model);
  } else {
    status = find_model(w->url, &model, err);
  }
  if (status == TN_OK && w->prompt_file)
    status = tn_file_read(w->prompt_file, 64 << 20, &prompt, err);
  if (!w->prompt_file) tn_strbuf_add(&prompt, w->prompt);
  tn_json_writer j = {.out = &b->body};
  tn_json_begin_object(&j);
  tn_json_key(&j, "model");
  tn_json_str(&j, tn_strbuf_view(&model));
  tn_json_key(&j, "prompt");
  tn_json_str(&j, tn_strbuf_view(&prompt));
  tn_cli_json_i64(&j, "max_tokens", w->tokens_max);
  tn_cli_json_f64(&j, "temperature", w->temperature);
  if (w->seed >= 0) {
    tn_cli_json_i64(&j, "seed", w->seed);
  }
  if (w->ignore_eos) {
    tn_cli_json_bool(&j, "ignore_eos", true);
  }
  tn_cli_json_bool(&j, "stream", true);
  tn_json_key(&j, "stream_options");
  tn_json_raw(&j, TN_STR("{\"include_usage\":true}"));
  tn_json_end_object(&j);
  tn_strbuf_addf(&b->url, "%s/v1/completions", w->url);
  if (status == TN_OK) status = tn_strbuf_check(&b->body, err);
  if (status == TN_OK) status = tn_strbuf_check(&b->url, err);
  tn_strbuf_clear(&model);
  tn_strbuf_clear(&prompt);
  return status;
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* Nearest rank; 0 without samples. */
static double quantile_ms(const samples *s, double q) {
  if (s->count == 0) return 0;
  size_t rank = (size_t)(q * (double)(s->count - 1) + 0.5);
  return (double)s->items[rank] / 1e3;
}

static void sort(samples *s) {
  if (s->count) qsort(s->items, s->count, sizeof *s->items, by_value);
}

static void print_json(const bench *b, double seconds) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  const struct {
    const char *key;
    double value;
  } numbers[] = {
      {"requests", (double)(b->succeeded + b->failed)},
      {"errors", (double)b->failed},
      {"concurrency", (double)b->words->concurrency},
      {"seconds", seconds},
      {"prompt_tokens", (double)b->prompt_tokens},
      {"output_tokens", (double)b->tokens},
      {"output_tokens_per_second", (double)b->tokens / seconds},
      {"time_to_first_token_ms_p50", quantile_ms(&b->first, 0.5)},
      {"time_to_first_token_ms_p99", quantile_ms(&b->first, 0.99)},
      {"inter_token_ms_p50", quantile_ms(&b->per_token, 0.5)},
      {"inter_token_ms_p99", quantile_ms(&b->per_token, 0.99)},
      {"chunk_gap_ms_p50", quantile_ms(&b->gaps, 0.5)},
      {"chunk_gap_ms_p99", quantile_ms(&b->gaps, 0.99)},
      {"request_ms_p50", quantile_ms(&b->whole, 0.5)},
      {"request_ms_p99", quantile_ms(&b->whole, 0.99)},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    tn_json_key(&j.w, numbers[i].key);
    tn_json_f64(&j.w, numbers[i].value);
  }
  if (b->problem[0]) {
    tn_cli_json_text(&j.w, "first_error", b->problem);
  }
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void print_table(const bench *b, double seconds) {
  printf("%" PRId64 " requests, %" PRId64 " at once, %.2f s: %" PRId64
         " tokens, %.1f tokens/s, %" PRId64 " errors\n",
         b->succeeded + b->failed, b->words->concurrency, seconds, b->tokens,
         (double)b->tokens / seconds, b->failed);
  printf("  %-22s %10s %10s\n", "", "p50", "p99");
  const struct {
    const char *name;
    const samples *s;
  } rows[] = {{"time to first token", &b->first},
              {"per further token", &b->per_token},
              {"gap between chunks", &b->gaps},
              {"whole request", &b->whole}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    printf("  %-22s %7.1f ms %7.1f ms\n", rows[i].name, quantile_ms(rows[i].s, 0.5),
           quantile_ms(rows[i].s, 0.99));
  }
}

static void print_one(const bench *b, double seconds) {
  double first_ms = quantile_ms(&b->first, 0.5);
  double rest = seconds - first_ms / 1e3;
  printf("\n[%" PRId64 " tokens; first after %.1f ms, then %.1f tokens/s]\n", b->tokens, first_ms,
         b->tokens > 1 && rest > 0 ? (double)(b->tokens - 1) / rest : 0);
}

static void run_clients(bench *b) {
  pthread_t threads[256];
  int64_t wanted = b->words->concurrency, started = 0;
  while (started < wanted && pthread_create(&threads[started], NULL, client_main, b) == 0)
    started++;
  if (started == 0) client_main(b);
  for (int64_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

static int bench_serve(const bench_words *w) {
  bench b = {.words = w};
  tn_error err;
  pthread_mutex_init(&b.lock, NULL);
  int code = 0;
  if (make_body(&b, w, &err) != TN_OK) {
    code = tn_cli_fail(
        &err, err.status == TN_ERR_IO ? "is the server up?  tenon serve FOLDER starts one" : NULL);
  } else {
    int64_t start_us = tn_time_us();
    run_clients(&b);
    double seconds = (double)(tn_time_us() - start_us) / 1e6;
    sort(&b.first);
    sort(&b.gaps);
    sort(&b.per_token);
    sort(&b.whole);
    w->json         ? print_json(&b, seconds)
    : w->stream_one ? print_one(&b, seconds)
                    : print_table(&b, seconds);
    if (b.failed > 0 || b.succeeded < w->requests) {
      tn_fail(&err, tn_cli_stop_requested() ? TN_ERR_INTERRUPTED : TN_ERR_IO,
              "%" PRId64 " of %" PRId64 " requests did not succeed; the first: %s",
              w->requests - b.succeeded, w->requests, b.problem[0] ? b.problem : "not sent");
      code = tn_cli_fail(&err, NULL);
    }
  }
  tn_strbuf_clear(&b.url);
  tn_strbuf_clear(&b.body);
  tn_free(b.first.items);
  tn_free(b.gaps.items);
  tn_free(b.per_token.items);
  tn_free(b.whole.items);
  pthread_mutex_destroy(&b.lock);
  return code;
}

int tn_cmd_bench_serve(int argc, char **argv) {
  bench_words w = {.prompt = "It is a truth universally acknowledged, that",
                   .concurrency = 16,
                   .requests = 16,
                   .tokens_max = 64,
                   .seed = -1};
  const tn_option options[] = {
      {"--concurrency", 'c', TN_OPTION_INT, &w.concurrency, "N", "clients at once (16)"},
      {"--requests", 'n', TN_OPTION_INT, &w.requests, "N", "in all (16)"},
      {"--prompt", 0, TN_OPTION_TEXT, &w.prompt, "TEXT",
       "of every request (a sentence of Austen's)"},
      {"--prompt-file", 0, TN_OPTION_TEXT, &w.prompt_file, "FILE", "the same out of a file"},
      {"--max-tokens", 0, TN_OPTION_INT, &w.tokens_max, "N", "of each answer (64)"},
      {"--temperature", 0, TN_OPTION_REAL, &w.temperature, "T", "0: greedy (0)"},
      {"--seed", 0, TN_OPTION_INT, &w.seed, "N", "for the sampling (the server's choice)"},
      {"--ignore-eos", 0, TN_OPTION_FLAG, &w.ignore_eos, NULL,
       "go on to max-tokens (an extension)"},
      {"--model", 0, TN_OPTION_TEXT, &w.model, "NAME", "which (the first that the server lists)"},
      {"--stream-one", 0, TN_OPTION_FLAG, &w.stream_one, NULL,
       "one request; print its text as it comes"},
      {"--json", 0, TN_OPTION_FLAG, &w.json, NULL, "one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon bench serve [options] URL",
      .about =
          "Streams completions from an OpenAI-compatible server and reports time to first token, "
          "the gaps\nbetween tokens, tokens/s and errors. Exit code 1 when any request failed.",
      .example = "tenon bench serve http://127.0.0.1:8000 --concurrency 16 --requests 64",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (w.stream_one) w.requests = w.concurrency = 1;
  if (w.concurrency < 1 || w.concurrency > 256 || w.requests < 1 || w.tokens_max < 1) {
    return tn_cli_usage_error(
        "--concurrency wants 1 to 256, --requests and --max-tokens at least 1");
  }
  char url[256];
  snprintf(url, sizeof url, "%s", argv[1]);
  for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--) url[n - 1] = '\0';
  w.url = url;
  return bench_serve(&w);
}
