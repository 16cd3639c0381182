/* cmd_serve.c - `tenon serve`: a model folder behind OpenAI's HTTP interface. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/load_options.h"
#include "cli/served_model.h"
#include "serve/api.h"

typedef struct serve_words {
  const char *host, *port_file, *name, *kv;
  int64_t port, running_max, step_tokens, queue_max, kv_bytes, body_bytes, context, threads,
      drain_seconds, connections;
  bool json, no_cache, verbose;
} serve_words;

/* All that one server consists of, in the order in which it is made. */
typedef struct service {
  tn_served_model served;
  tn_metrics *metrics;
  tn_engine *engine;
  tn_api *api;
  tn_http_server *server;
} service;

static void close_service(service *s) {
  tn_http_server_close(s->server, 2000);
  tn_engine_free(s->engine);
  tn_api_free(s->api);
  tn_served_model_clear(&s->served);
  tn_metrics_free(s->metrics);
}

static tn_status open_service(service *s, const char *word, const serve_words *w, tn_error *err) {
  const tn_served_model *m = &s->served;
  tn_load_options load;
  tn_load_options_init(&load, (int32_t)w->threads, w->json, w->no_cache);
  TN_TRY(tn_served_model_open(&s->served, word, w->name, &load.model, err));
  TN_TRY(tn_metrics_new(&s->metrics, err));
  tn_dtype kv_dtype;
  TN_TRY(tn_kv_dtype_of_word(&kv_dtype, m->model, w->kv, err));
  const tn_model_config *config = tn_model_config_of(m->model);
  tn_engine_options engine = {
      .running_max = (int32_t)w->running_max,
      .step_tokens = (int32_t)w->step_tokens,
      .queue_max = (int32_t)w->queue_max,
      .kv_bytes = w->kv_bytes,
      .kv_dtype = kv_dtype,
      .context = w->context,
      .eos_ids = m->eos_ids,
      .eos_count = m->eos_count,
      .tokenizer = m->tokenizer,
      .pool = tn_cli_pool((int32_t)w->threads),
      .metrics = s->metrics,
  };
  TN_TRY(tn_engine_new(&s->engine, m->model, &engine, err));
  tn_api_options api = {
      .engine = s->engine,
      .tokenizer = m->tokenizer,
      .chat_template = m->chat_template,
      .metrics = s->metrics,
      .model_name = m->name,
      .version = TENON_VERSION,
      .parameters = tn_model_config_parameters(config),
      .vocab_size = config->vocab_size,
      .start_id = m->start_id,
  };
  TN_TRY(tn_api_new(&s->api, &api, err));
  tn_http_server_options server = {
      .host = w->host,
      .port = (int32_t)w->port,
      .connections_max = (int32_t)w->connections,
      .body_bytes_max = w->body_bytes,
      .error_body = tn_api_error_body,
      .observe = tn_api_observe,
      .context = s->api,
  };
  return tn_http_server_open(&s->server, tn_api_routes(s->api), &server, err);
}

/* ---- telling
 * -------------------------------------------------------------------------------------------- */

static void say_ready(const service *s, const serve_words *w) {
  tn_engine_stats e = tn_engine_look(s->engine);
  int64_t parameters = tn_model_config_parameters(tn_model_config_of(s->served.model));
  char url[160];
  bool six = strchr(w->host, ':') != NULL;
  snprintf(url, sizeof url, "http://%s%s%s:%d", six ? "[" : "", w->host, six ? "]" : "",
           tn_http_server_port(s->server));
  if (w->json) {
    tn_cli_json j;
    tn_cli_json_begin(&j);
    tn_json_begin_object(&j.w);
    tn_cli_json_text(&j.w, "url", url);
    tn_cli_json_text(&j.w, "model", s->served.name);
    tn_cli_json_i64(&j.w, "parameters", parameters);
    tn_cli_json_i64(&j.w, "context", e.context);
    tn_cli_json_i64(&j.w, "kv_blocks", e.blocks_total);
    tn_cli_json_text(&j.w, "kv_type", tn_kv_dtype_word(e.kv_dtype));
    tn_cli_json_i64(&j.w, "kv_bytes_per_1000_tokens", e.kv_bytes_per_1000_tokens);
    tn_json_end_object(&j.w);
    tn_cli_json_finish(&j);
  } else {
    tn_strbuf text = {0};
    tn_strbuf_addf(&text, "serving %s at %s  (", s->served.name, url);
    tn_strbuf_add_count_human(&text, parameters);
    tn_strbuf_addf(&text,
                   " parameters, context %" PRId64 ", %" PRId64 " KV blocks of 16 tokens in %s, ",
                   e.context, e.blocks_total, tn_kv_dtype_word(e.kv_dtype));
    tn_strbuf_add_bytes_human(&text, (double)(e.blocks_total * e.block_bytes));
    tn_strbuf_add(&text, ")");
    if (!text.failed) puts(text.data);
    tn_strbuf_clear(&text);
  }
  fflush(stdout);
}

static void log_as_json(void *context, tn_log_level level, const char *room, const char *text) {
  (void)context;
  tn_strbuf line = {0};
  tn_json_writer w = {.out = &line};
  tn_json_begin_object(&w);
  tn_cli_json_f64(&w, "time", (double)(tn_time_unix_us() / 1000) / 1e3);
  tn_cli_json_text(&w, "level", tn_log_level_name(level));
  tn_cli_json_text(&w, "room", room);
  tn_cli_json_text(&w, "text", text);
  tn_json_end_object(&w);
  if (!line.failed) fprintf(stderr, "%s\n", line.data);
  tn_strbuf_clear(&line);
}

static void log_as_text(void *context, tn_log_level level, const char *room, const char *text) {
  (void)context;
  fprintf(stderr, "%s: %s: %s\n", tn_log_level_name(level), room, text);
}

/* ---- running
 * -------------------------------------------------------------------------------------------- */

/* What runs may finish, new requests get 503 meanwhile; then the rest is cut. */
static void drain(service *s, const serve_words *w) {
  tn_engine_stats e = tn_engine_look(s->engine);
  if (!w->json) {
    fprintf(stderr,
            "stopping: %" PRId64 " running and %" PRId64
            " waiting requests may finish within %" PRId64 " s\n",
            e.running, e.waiting, w->drain_seconds);
  }
  tn_api_drain(s->api);
  tn_engine_drain(s->engine);
  if (tn_engine_wait(s->engine, w->drain_seconds * 1000000)) return;
  tn_engine_cancel(s->engine);
  (void)tn_engine_wait(s->engine, 10000000);
}

static tn_status write_port_file(const service *s, const serve_words *w, tn_error *err) {
  char text[16];
  if (!w->port_file) return TN_OK;
  snprintf(text, sizeof text, "%d\n", tn_http_server_port(s->server));
  return tn_file_write_atomic(w->port_file, tn_str_of(text), err);
}

static const char *hint_for(const tn_error *err) {
  if (strstr(err->text, "listening on"))
    return "another port: --port 8001, or --port 0 for any free one";
  return tn_served_model_hint(err);
}

static int serve(const char *word, const serve_words *w) {
  service s = {0};
  tn_error err;
  tn_log_to(w->json ? log_as_json : log_as_text, NULL,
            w->json || w->verbose ? TN_LOG_INFO : TN_LOG_WARN);
  tn_status status = open_service(&s, word, w, &err);
  if (status == TN_OK) status = write_port_file(&s, w, &err);
  if (status == TN_OK) {
    say_ready(&s, w);
    while (!tn_cli_stop_requested()) usleep(20000);
    drain(&s, w);
  }
  close_service(&s);
  return status == TN_OK ? 0 : tn_cli_fail(&err, hint_for(&err));
}

static bool in_range(const char *name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return true;
  tn_cli_usage_error("%s %" PRId64 ", wants %" PRId64 " to %" PRId64, name, value, low, high);
  return false;
}

static int run_serve(int argc, char **argv) {
  serve_words w = {.host = "127.0.0.1",
                   .kv = "auto",
                   .port = 8000,
                   .running_max = 16,
                   .step_tokens = 512,
                   .queue_max = 64,
                   .kv_bytes = INT64_C(1) << 30,
                   .body_bytes = 4 << 20,
                   .drain_seconds = 30,
                   .connections = 1024};
  const tn_option options[] = {
      {"--host", 0, TN_OPTION_TEXT, &w.host, "ADDRESS",
       "where to listen (127.0.0.1: this machine only)"},
      {"--port", 'p', TN_OPTION_INT, &w.port, "N", "0: any free one, which is printed (8000)"},
      {"--port-file", 0, TN_OPTION_TEXT, &w.port_file, "FILE",
       "write the port there once it listens"},
      {"--name", 0, TN_OPTION_TEXT, &w.name, "NAME", "the model's name for clients (the folder's)"},
      {"--max-running", 0, TN_OPTION_INT, &w.running_max, "N", "requests in one step (16)"},
      {"--step-tokens", 0, TN_OPTION_INT, &w.step_tokens, "N", "tokens in one step (512)"},
      {"--queue", 0, TN_OPTION_INT, &w.queue_max, "N", "requests that may wait; more get 429 (64)"},
      {"--context", 0, TN_OPTION_COUNT, &w.context, "N",
       "tokens of prompt and answer (what the model can)"},
      {"--kv", 0, TN_OPTION_TEXT, &w.kv, "TYPE", TN_KV_HELP},
      {"--kv-memory", 0, TN_OPTION_INT, &w.kv_bytes, "BYTES", "for keys and values (1GiB)"},
      {"--max-body", 0, TN_OPTION_INT, &w.body_bytes, "BYTES",
       "of a request; more gets 413 (4MiB)"},
      {"--max-connections", 0, TN_OPTION_INT, &w.connections, "N", "open at once (1024)"},
      {"--threads", 't', TN_OPTION_INT, &w.threads, "N", "for the model (0: all CPUs)"},
      {"--drain-seconds", 0, TN_OPTION_INT, &w.drain_seconds, "N",
       "for running requests after SIGTERM (30)"},
      {"--verbose", 'v', TN_OPTION_FLAG, &w.verbose, NULL, "a line for each request"},
      {"--no-cache", 0, TN_OPTION_FLAG, &w.no_cache, NULL, TN_NO_CACHE_HELP},
      {"--json", 0, TN_OPTION_FLAG, &w.json, NULL, "the ready line and the log as JSON"},
      {0}};
  const tn_usage usage = {
      .words = "tenon serve [options] FOLDER",
      .about =
          "Serves a model folder (or the newest checkpoint of a training run) with OpenAI's HTTP "
          "interface:\n/v1/models, /v1/completions, /v1/chat/completions, /health, /metrics. "
          "Ctrl-C or SIGTERM lets\nrunning requests finish and stops.",
      .example =
          "tenon serve runs/austen --port 8000\n  curl http://127.0.0.1:8000/v1/completions -d "
          "'{\"prompt\": \"It is a truth\", \"max_tokens\": 20}'",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (!tn_kv_word_is_good(w.kv) || !in_range("--port", w.port, 0, 65535) ||
      !in_range("--max-running", w.running_max, 1, 1024) ||
      !in_range("--step-tokens", w.step_tokens, w.running_max, 1 << 16) ||
      !in_range("--queue", w.queue_max, 1, 1 << 16) ||
      !in_range("--context", w.context, 0, 1 << 24) ||
      !in_range("--kv-memory", w.kv_bytes, 1, INT64_C(1) << 50) ||
      !in_range("--max-body", w.body_bytes, 1, 1 << 30) ||
      !in_range("--max-connections", w.connections, 2, 1 << 16) ||
      !in_range("--threads", w.threads, 0, 1024) ||
      !in_range("--drain-seconds", w.drain_seconds, 0, 86400)) {
    return TN_EXIT_USAGE;
  }
  return serve(argv[1], &w);
}

const tn_command tn_command_serve = {"serve", "answer requests with a model (OpenAI's interface)",
                                     run_serve};
