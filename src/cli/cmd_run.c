/* cmd_run.c - `tenon run`: a conversation with a model in the terminal, or one answer in a pipe.
 *
 *     read a line -> prompt -> answer.h -> print what comes, until the answer ends */
/* SPDX-License-Identifier: Apache-2.0 */
#include <editline/readline.h>
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/conversation.h"
#include "cli/load_options.h"
#include "cli/served_model.h"
#include "serve/chat_prompt.h"
#include "serve/engine.h"

enum { STDIN_BYTES_MAX = 16 << 20 };

typedef struct run_words {
  const char *prompt, *system, *kv;
  tn_option_list stops;
  double temperature, top_p, min_p;
  int64_t top_k, seed, tokens_max, context, kv_bytes, threads;
  bool raw, json, quiet, no_cache;
} run_words;

typedef struct chat {
  const run_words *words;
  tn_served_model served;
  tn_engine *engine;
  tn_conversation turns;
  tn_answer answer; /* the last one */
} chat;

/* ---- the answer ---- */

static void show(tn_str text) {
  if (isatty(1))
    tn_cli_print_quoting(stdout, text);
  else
    fwrite(text.data, 1, text.length, stdout);
  fflush(stdout);
}

static tn_status generate(chat *c, const tn_ids *ids, int64_t room, tn_error *err) {
  const run_words *w = c->words;
  tn_generation g = {.ids = ids->items,
                     .count = (int64_t)ids->count,
                     .tokens_max = w->tokens_max > 0 && w->tokens_max < room ? w->tokens_max : room,
                     .sampling = {.temperature = w->temperature,
                                  .top_p = w->top_p,
                                  .min_p = w->min_p,
                                  .top_k = (int32_t)w->top_k,
                                  .seed = (uint64_t)w->seed,
                                  .stream = c->turns.count}};
  for (int32_t i = 0; i < w->stops.count; i++)
    g.stops[g.stop_count++] = tn_str_of(w->stops.items[i]);
  if (!w->raw && !c->served.chat_template) tn_chat_prompt_stops(g.stops, &g.stop_count);
  return tn_answer_run(&c->answer, c->engine, &g, w->json ? NULL : show, err);
}

/* ---- the prompt ---- */

/* `add`: no template has written what stands around a text (<s>). */
static tn_status encode(chat *c, tn_str text, bool special, bool add, tn_ids *ids, tn_error *err) {
  ids->count = 0;
  TN_TRY(tn_tokenizer_encode_prompt(c->served.tokenizer, text, special, add, ids, err));
  if (ids->count > 0) return TN_OK;
  if (c->served.start_id < 0) return tn_fail(err, TN_ERR_ARGUMENT, "the prompt is empty");
  ids->items = tn_alloc(1, sizeof *ids->items);
  if (!ids->items) return tn_fail_memory(err, "tokens", sizeof *ids->items);
  ids->items[0] = c->served.start_id;
  ids->count = ids->capacity = 1;
  return TN_OK;
}

/* The conversation as tokens; when it leaves less room than a quarter of the context (or than
 * --max-tokens), its oldest turns go. */
static tn_status encode_turns(chat *c, int64_t context, tn_ids *ids, tn_error *err) {
  int64_t wanted = c->words->tokens_max > 0 ? c->words->tokens_max : context / 4;
  int32_t dropped = 0;
  for (;;) {
    tn_strbuf text = {0};
    tn_status status = tn_conversation_render(&c->turns, c->served.chat_template, &text, err);
    if (status == TN_OK)
      status = encode(c, tn_strbuf_view(&text), c->served.chat_template != NULL,
                      c->served.chat_template == NULL, ids, err);
    tn_strbuf_clear(&text);
    TN_TRY(status);
    if ((int64_t)ids->count + wanted <= context) break;
    if (!tn_conversation_drop_oldest(&c->turns)) break;
    dropped++;
  }
  if (dropped > 0 && !c->words->quiet)
    fprintf(stderr,
            "(the context of %" PRId64
            " tokens is full: the oldest %d of the turns are forgotten)\n",
            context, dropped);
  return TN_OK;
}

/* Answers what has been said last; with --raw, `text` goes on. */
static tn_status answer_to(chat *c, tn_str text, tn_error *err) {
  int64_t context = tn_engine_look(c->engine).context;
  tn_ids ids = {0};
  c->answer.text.length = 0;
  tn_status status =
      c->words->raw ? encode(c, text, true, true, &ids, err) : encode_turns(c, context, &ids, err);
  int64_t room = context - (int64_t)ids.count;
  if (status == TN_OK && room < 1)
    status = tn_fail(err, TN_ERR_LIMIT,
                     "the prompt has %zu tokens, limit %" PRId64
                     " tokens with at least one for the answer",
                     ids.count, context);
  if (status == TN_OK) status = generate(c, &ids, room, err);
  tn_ids_clear(&ids);
  return status;
}

static tn_status ask(chat *c, tn_str question, tn_error *err) {
  if (c->words->raw) return answer_to(c, question, err);
  TN_TRY(tn_conversation_add(&c->turns, "user", question, err));
  tn_status status = answer_to(c, question, err);
  if (status == TN_OK)
    return tn_conversation_add(&c->turns, "assistant", tn_strbuf_view(&c->answer.text), err);
  (void)tn_conversation_undo(&c->turns);
  return status;
}

/* ---- what is told about an answer ---- */

static double tokens_per_second(const chat *c) {
  int64_t us = c->answer.total_us - c->answer.first_us;
  return c->answer.sampled > 1 && us > 0 ? (double)(c->answer.sampled - 1) * 1e6 / (double)us : 0;
}

static void print_json(const chat *c) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "text"), tn_json_str(&j.w, tn_strbuf_view(&c->answer.text));
  tn_json_key(&j.w, "finish"), tn_json_cstr(&j.w, tn_finish_name(c->answer.finish));
  tn_json_key(&j.w, "prompt_tokens"), tn_json_i64(&j.w, c->answer.prompt_tokens);
  tn_json_key(&j.w, "tokens"), tn_json_i64(&j.w, c->answer.sampled);
  tn_json_key(&j.w, "first_token_seconds"), tn_json_f64(&j.w, (double)c->answer.first_us / 1e6);
  tn_json_key(&j.w, "tokens_per_second"), tn_json_f64(&j.w, tokens_per_second(c));
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void print_speed(const chat *c) {
  if (c->words->quiet) return;
  fprintf(stderr, "(%" PRId64 " tokens, %.1f tokens/s, first after %.2f s%s)\n", c->answer.sampled,
          tokens_per_second(c), (double)c->answer.first_us / 1e6,
          c->answer.finish == TN_FINISH_LENGTH ? "; cut at the limit"
          : c->answer.finish == TN_FINISH_GONE ? "; stopped"
                                               : "");
}

/* ---- in the terminal ---- */

static void say_commands(void) {
  fputs(
      "/reset          forget the conversation      /undo   take the last question back\n"
      "/system TEXT    how the model shall behave   /save FILE   the conversation as JSON\n"
      "/exit           leave (or Ctrl-D)            \"\"\"         begins and ends a text of "
      "several lines\n"
      "Ctrl-C stops an answer, or drops what is typed; twice at an empty prompt, it leaves.\n",
      stdout);
}

static tn_status save(const chat *c, tn_str path, tn_error *err) {
  tn_strbuf json = {0}, name = {0};
  tn_json_writer w = {.out = &json, .indent = 2};
  tn_conversation_write(&c->turns, &w);
  tn_strbuf_add_char(&json, '\n');
  tn_strbuf_add_str(&name, path);
  tn_status status = tn_strbuf_check(&json, err);
  if (status == TN_OK) status = tn_strbuf_check(&name, err);
  if (status == TN_OK && name.length == 0)
    status = tn_fail(err, TN_ERR_ARGUMENT, "/save wants a file: /save talk.json");
  if (status == TN_OK) status = tn_file_write_atomic(name.data, tn_strbuf_view(&json), err);
  if (status == TN_OK) printf("saved %zu messages to %s\n", c->turns.count, name.data);
  tn_strbuf_clear(&json);
  tn_strbuf_clear(&name);
  return status;
}

static void forget(chat *c) {
  while (tn_conversation_undo(&c->turns)) {
  }
  puts("forgotten");
}

/* A line that begins with a slash; false: leave. */
static bool obey(chat *c, tn_str line) {
  tn_error err;
  tn_status status = TN_OK;
  tn_str rest = line, word = tn_str_cut(&rest, ' ');
  if (!rest.data) rest = TN_STR("");
  if (tn_str_is(word, "/exit") || tn_str_is(word, "/bye") || tn_str_is(word, "/quit")) return false;
  if (tn_str_is(word, "/reset")) {
    forget(c);
  } else if (tn_str_is(word, "/undo")) {
    puts(tn_conversation_undo(&c->turns) ? "taken back" : "there is nothing to take back");
  } else if (tn_str_is(word, "/system")) {
    status = tn_conversation_set_system(&c->turns, rest, &err);
  } else if (tn_str_is(word, "/save")) {
    status = save(c, rest, &err);
  } else {
    if (!tn_str_is(word, "/help")) printf("no command %.*s; these there are:\n", TN_STR_ARG(word));
    say_commands();
  }
  if (status != TN_OK) fprintf(stderr, "error: %s\n", err.text);
  return true;
}

#define LOOK_EVERY_MS 50 /* a signal that comes just before poll does not end it */

/* read(2), but -1 once the program is to stop. */
static ssize_t read_until_stopped(int fd, void *to, size_t bytes) {
  struct pollfd input = {.fd = fd, .events = POLLIN};
  while (!tn_cli_stop_requested()) {
    int ready = poll(&input, 1, LOOK_EVERY_MS);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    ssize_t got = read(fd, to, bytes);
    if (got >= 0 || errno != EINTR) return got;
  }
  return -1;
}

/* Ctrl-C at the prompt.  libedit sees it as this key, since it says what has been typed to keys
 * alone; where it does not heed the key, the line ends when it asks for the next. */
#define INTERRUPT_KEY 3
static struct {
  bool sent;
  bool typed; /* there was text on the line */
} interrupt;

static int on_interrupt(int count, int key) {
  interrupt.typed = rl_end > 0;
  rl_done = 1; /* no line comes of it */
  return 0;
}

/* The next character, for libedit: it must not go on waiting after Ctrl-C. */
static int read_character(FILE *input) {
  unsigned char bytes[4];
  int32_t count = 0, wanted = 1;
  while (count < wanted) {
    ssize_t got = read_until_stopped(fileno(input), bytes + count, 1);
    if (got != 1 && (interrupt.sent || !tn_cli_stop_requested())) return EOF;
    if (got != 1) {
      interrupt.sent = true;
      return INTERRUPT_KEY;
    }
    if (count++ == 0) wanted = bytes[0] < 0xc2 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
  }
  wchar_t c = bytes[0];
  if (wanted > 1) c &= 0x7f >> wanted;
  for (int32_t i = 1; i < wanted; i++) c = c << 6 | (bytes[i] & 63);
  return (int)c;
}

static void prepare_terminal(void) {
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
  rl_catch_signals = 0;
  rl_getc_function = read_character;
  rl_initialize();
  rl_add_defun("tenon-interrupt", on_interrupt, INTERRUPT_KEY);
}

typedef enum input {
  INPUT_LINE,
  INPUT_DROPPED, /* Ctrl-C with text typed */
  INPUT_PRESS,   /* Ctrl-C alone */
  INPUT_END
} input;

static input read_line(const char *prompt, char **line) {
  interrupt.sent = interrupt.typed = false;
  *line = readline(prompt);
  if (!tn_cli_stop_requested()) return *line ? INPUT_LINE : INPUT_END;
  bool typed = interrupt.typed || (*line && **line);
  free(*line);
  *line = NULL;
  return typed ? INPUT_DROPPED : INPUT_PRESS;
}

/* One line, or what stands between two lines of """. */
static input read_question(tn_strbuf *out) {
  bool several = false;
  out->length = 0;
  do {
    char *line;
    input got = read_line(several ? "... " : ">>> ", &line);
    if (got != INPUT_LINE) return got == INPUT_PRESS && several ? INPUT_DROPPED : got;
    bool fence = strcmp(line, "\"\"\"") == 0;
    if (!several && !fence) {
      tn_strbuf_add(out, line);
      if (*line) add_history(line);
    } else if (several && !fence) {
      tn_strbuf_add(out, line);
      tn_strbuf_add_char(out, '\n');
    }
    if (fence) several = !several;
    free(line);
  } while (several);
  return out->failed ? INPUT_END : INPUT_LINE;
}

/* false: leave, after the end of input, a signal, or a second Ctrl-C in a row where nothing is
 * typed. */
static bool next_question(const chat *c, tn_strbuf *out) {
  for (bool warned = false;;) {
    input got = read_question(out);
    if (got == INPUT_LINE || got == INPUT_END) return got == INPUT_LINE;
    if (got == INPUT_PRESS && warned) return false;
    tn_cli_stop_forget();
    if (tn_cli_stop_requested()) return false;
    warned = got == INPUT_PRESS;
    puts(!warned         ? ""
         : c->words->raw ? "\n(Ctrl-D leaves, and so does Ctrl-C once more)"
                         : "\n(Ctrl-D or /exit leaves, and so does Ctrl-C once more)");
  }
}

static int talk(chat *c) {
  tn_strbuf question = {0};
  tn_error err;
  int code = 0;
  prepare_terminal();
  if (!c->words->quiet) {
    printf("%s: context %" PRId64 " tokens; /help lists commands, Ctrl-D leaves\n", c->served.name,
           tn_engine_look(c->engine).context);
    if (!c->words->raw && !c->served.chat_template)
      puts(
          "(this model brings no chat template, so it may never have learned to converse; --raw "
          "continues text)");
  }
  while (next_question(c, &question)) {
    tn_str text = tn_strbuf_view(&question);
    if (text.length == 0) continue;
    if (text.data[0] == '/' && !c->words->raw) {
      if (!obey(c, text)) break;
      continue;
    }
    tn_status status = ask(c, text, &err);
    putchar('\n');
    if (status == TN_OK)
      print_speed(c);
    else
      fprintf(stderr, "error: %s\n", err.text);
    tn_cli_stop_forget();
  }
  if (tn_cli_stop_requested()) code = TN_EXIT_INTERRUPTED;
  putchar('\n');
  tn_strbuf_clear(&question);
  return code;
}

/* ---- one answer ---- */

static tn_status read_stdin(tn_strbuf *out, tn_error *err) {
  char part[1 << 16];
  ssize_t got;
  while ((got = read_until_stopped(0, part, sizeof part)) != 0) {
    if (tn_cli_stop_requested()) return tn_fail(err, TN_ERR_INTERRUPTED, "stopped");
    if (got < 0) return tn_fail(err, TN_ERR_IO, "standard input: %s", strerror(errno));
    if (out->length + (size_t)got > STDIN_BYTES_MAX)
      return tn_fail(err, TN_ERR_LIMIT, "standard input has more than %d MiB",
                     STDIN_BYTES_MAX >> 20);
    tn_strbuf_add_str(out, (tn_str){part, (size_t)got});
  }
  return tn_strbuf_check(out, err);
}

static bool is_blank(const tn_strbuf *text) {
  return tn_str_trim(tn_strbuf_view(text)).length == 0;
}

static int answer_once(chat *c) {
  tn_strbuf question = {0};
  tn_error err;
  tn_status status = TN_OK;
  if (c->words->prompt)
    tn_strbuf_add(&question, c->words->prompt);
  else
    status = read_stdin(&question, &err);
  if (status == TN_OK && !(c->words->prompt && c->words->raw) && is_blank(&question)) {
    tn_strbuf_clear(&question);
    return tn_cli_usage_error(c->words->prompt
                                  ? "--prompt is empty: there is nothing to answer"
                                  : "standard input is empty: give a text there, or --prompt TEXT");
  }
  if (status == TN_OK) status = ask(c, tn_strbuf_view(&question), &err);
  tn_strbuf_clear(&question);
  if (status != TN_OK) return tn_cli_fail(&err, NULL);
  if (c->words->json) {
    print_json(c);
  } else {
    putchar('\n');
    print_speed(c);
  }
  return c->answer.finish == TN_FINISH_GONE ? TN_EXIT_INTERRUPTED : 0;
}

/* ---- opening ---- */

static tn_status open_chat(chat *c, const char *word, tn_error *err) {
  const run_words *w = c->words;
  tn_load_options load;
  tn_load_options_init(&load, (int32_t)w->threads, w->quiet || w->json, w->no_cache);
  TN_TRY(tn_served_model_open(&c->served, word, NULL, &load.model, err));
  tn_dtype kv_dtype;
  TN_TRY(tn_kv_dtype_of_word(&kv_dtype, c->served.model, w->kv, err));
  tn_engine_options options = {.running_max = 1,
                               .kv_bytes = w->kv_bytes,
                               .kv_dtype = kv_dtype,
                               .context = w->context,
                               .eos_ids = c->served.eos_ids,
                               .eos_count = c->served.eos_count,
                               .tokenizer = c->served.tokenizer,
                               .pool = tn_cli_pool((int32_t)w->threads)};
  TN_TRY(tn_engine_new(&c->engine, c->served.model, &options, err));
  return w->system ? tn_conversation_set_system(&c->turns, tn_str_of(w->system), err) : TN_OK;
}

static void close_chat(chat *c) {
  tn_engine_free(c->engine);
  tn_served_model_clear(&c->served);
  tn_conversation_clear(&c->turns);
  tn_answer_clear(&c->answer);
}

static int run_model(const char *word, const run_words *w) {
  chat c = {.words = w};
  tn_error err;
  tn_status status = open_chat(&c, word, &err);
  int code;
  if (status != TN_OK)
    code = tn_cli_fail(&err, tn_served_model_hint(&err));
  else
    code = !w->prompt && isatty(0) ? talk(&c) : answer_once(&c);
  close_chat(&c);
  return code;
}

static int check_words(const run_words *w) {
  const tn_sampling sampling = {
      .temperature = w->temperature, .top_p = w->top_p, .min_p = w->min_p};
  tn_error err;
  if (w->top_k < 0 || w->top_k > INT32_MAX)
    return tn_cli_usage_error("--top-k %" PRId64 ", wants 0 (off) or more", w->top_k);
  if (w->stops.count > TN_STOPS_MAX - TN_CHAT_STOPS)
    return tn_cli_usage_error("--stop is given %d times, limit %d", w->stops.count,
                              TN_STOPS_MAX - TN_CHAT_STOPS);
  for (int32_t i = 0; i < w->stops.count; i++)
    if (w->stops.items[i][0] == 0 || strlen(w->stops.items[i]) > TN_STOP_BYTES_MAX)
      return tn_cli_usage_error("--stop wants 1 to %d bytes", TN_STOP_BYTES_MAX);
  if (w->kv_bytes < 1) return tn_cli_usage_error("--kv-memory wants 1 byte or more");
  if (w->threads < 0 || w->threads > 1024) return tn_cli_usage_error("--threads: 0 to 1024");
  if (w->json && !w->prompt && isatty(0))
    return tn_cli_usage_error(
        "--json is for one answer: give --prompt TEXT or a text on standard input");
  if (!tn_kv_word_is_good(w->kv)) return TN_EXIT_USAGE;
  if (w->raw && w->system) return tn_cli_usage_error("--system has no place in --raw text");
  if (tn_sampling_check(&sampling, &err) != TN_OK) return tn_cli_usage_error("%s", err.text);
  return 0;
}

static int run_run(int argc, char **argv) {
  run_words w = {
      .temperature = 0.7, .top_p = 0.95, .seed = -1, .kv = "auto", .kv_bytes = INT64_C(1) << 30};
  const tn_option options[] = {
      {"--prompt", 'p', TN_OPTION_TEXT, &w.prompt, "TEXT",
       "one question; the answer is printed and that is all"},
      {"--system", 0, TN_OPTION_TEXT, &w.system, "TEXT", "how the model shall behave"},
      {"--raw", 0, TN_OPTION_FLAG, &w.raw, NULL,
       "continue the text as it is, without a chat template"},
      {"--max-tokens", 'n', TN_OPTION_COUNT, &w.tokens_max, "N",
       "of an answer (what fits the context)"},
      {"--temperature", 0, TN_OPTION_REAL, &w.temperature, "X",
       "0: always the likeliest token (0.7)"},
      {"--top-p", 0, TN_OPTION_REAL, &w.top_p, "X",
       "of the likeliest tokens that make up this share (0.95)"},
      {"--top-k", 0, TN_OPTION_INT, &w.top_k, "N", "of the N likeliest tokens (0: of all)"},
      {"--min-p", 0, TN_OPTION_REAL, &w.min_p, "X",
       "of tokens at least X times as likely as the likeliest (0)"},
      {"--seed", 0, TN_OPTION_INT, &w.seed, "N", "the same seed gives the same answer (random)"},
      {"--stop", 0, TN_OPTION_LIST, &w.stops, "TEXT", "ends an answer; may be repeated"},
      {"--context", 0, TN_OPTION_COUNT, &w.context, "N",
       "tokens of conversation and answer (what the model can)"},
      {"--kv", 0, TN_OPTION_TEXT, &w.kv, "TYPE", TN_KV_HELP},
      {"--kv-memory", 0, TN_OPTION_INT, &w.kv_bytes, "BYTES", "for keys and values (1GiB)"},
      {"--threads", 't', TN_OPTION_INT, &w.threads, "N", "for the model (0: all CPUs)"},
      {"--no-cache", 0, TN_OPTION_FLAG, &w.no_cache, NULL, TN_NO_CACHE_HELP},
      {"--quiet", 'q', TN_OPTION_FLAG, &w.quiet, NULL, "the answers alone"},
      {"--json", 0, TN_OPTION_FLAG, &w.json, NULL, "one answer with its counts and times, as JSON"},
      {0}};
  const tn_usage usage = {
      .words = "tenon run [options] FOLDER",
      .about =
          "Talks with a model in the terminal. With --prompt, or with a text on standard input, it "
          "gives one\nanswer. The conversation is spelled as the model's own chat template has it.",
      .example =
          "tenon run runs/austen\n  tenon run models/qwen --prompt 'Why is the sky blue?'\n  tenon "
          "run "
          "runs/austen --raw -p 'It is a truth' -n 40 --seed 1",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  code = check_words(&w);
  if (code != 0) return code;
  if (w.seed < 0 && getrandom(&w.seed, sizeof w.seed, 0) != (ssize_t)sizeof w.seed)
    w.seed = tn_time_us();
  return run_model(argv[1], &w);
}

const tn_command tn_command_run = {"run", "talk with a model in the terminal", run_run};
