/* terminal.c - what people see while a command works, and their Ctrl-C. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mapped.h"
#include "cli/cli.h"

/* ---- signals ---- */
static volatile sig_atomic_t stop_signals, ending; /* ending: one that was no SIGINT */
static volatile sig_atomic_t heeded; /* this command asks now and then whether to stop */

static void on_stop_signal(int signal_number) {
  stop_signals++;
  if (signal_number != SIGINT) ending = 1;
  if (stop_signals >= 3 || !heeded) { /* the user insists, or nobody asks: die the ordinary way */
    signal(signal_number, SIG_DFL);
    raise(signal_number);
  }
}
static void say(const char *text) {
  ssize_t written = write(STDERR_FILENO, text, strlen(text));
  (void)written; /* there is nobody else to tell */
}

/* A page of a mapped file is gone.  Anything else keeps its default: the instruction runs again. */
static void on_bus_error(int signal_number, siginfo_t *info, void *context) {
  const char *path = tn_mapped_path(info->si_addr);
  (void)context;
  if (!path) {
    signal(signal_number, SIG_DFL);
    return;
  }
  say("\nerror: ");
  say(path);
  say(": was cut short, or its disk failed, while it was in use\n"
      "hint: put a new file into its place by a rename (mv), not by writing over it\n");
  _exit(TN_EXIT_FAILED);
}

void tn_cli_catch_signals(void) {
  struct sigaction action = {.sa_handler = on_stop_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  struct sigaction hangup; /* a closed terminal; nohup has it ignored already, and that stays */
  if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
    sigaction(SIGHUP, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  struct sigaction gone = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
  sigaction(SIGBUS, &gone, NULL);
}
bool tn_cli_stop_requested(void) {
  heeded = 1;
  return stop_signals > 0;
}

void tn_cli_stop_forget(void) {
  if (!ending) stop_signals = 0;
}

/* ---- progress ---- */
#define BAR_CELLS 24

static void add_amount(tn_strbuf *out, const tn_progress *p, double amount) {
  if (strcmp(p->unit, "B") == 0) {
    tn_strbuf_add_bytes_human(out, amount);
    return;
  }
  if (amount >= 100 || amount == (double)(int64_t)amount)
    tn_strbuf_add_count_human(out, (int64_t)amount);
  else
    tn_strbuf_addf(out, "%.1f", amount);
}

static void add_line(tn_strbuf *out, const tn_progress *p, bool last) {
  tn_strbuf_addf(out, "%s ", p->label);
  if (p->total > 0) {
    int64_t cells = p->done * BAR_CELLS / p->total;
    tn_strbuf_add_char(out, '[');
    for (int64_t i = 0; i < BAR_CELLS; i++) tn_strbuf_add_char(out, i < cells ? '#' : '.');
    tn_strbuf_addf(out, "] %3d%%  ", (int)(p->done * 100 / p->total));
  }
  add_amount(out, p, (double)p->done);
  if (p->total > 0) {
    tn_strbuf_add(out, " of ");
    add_amount(out, p, (double)p->total);
  }
  bool bytes = strcmp(p->unit, "B") == 0;
  tn_strbuf_addf(out, "%s%s, ", bytes ? "" : " ", bytes ? "" : p->unit);
  add_amount(out, p, tn_progress_rate(p));
  tn_strbuf_add(out, "/s");
  double left = tn_progress_seconds_left(p);
  if (last) {
    tn_strbuf_add(out, ", took ");
    tn_strbuf_add_duration_human(out, (double)(tn_time_us() - p->started_us) / 1e6);
  } else if (left >= 0) {
    tn_strbuf_add(out, ", ");
    tn_strbuf_add_duration_human(out, left);
    tn_strbuf_add(out, " left");
  }
  if (p->note[0]) tn_strbuf_addf(out, "  %s", p->note);
}

static bool show_bar(void *context, const tn_progress *p, bool last) {
  tn_strbuf line = {0};
  add_line(&line, p, last);
  if (!line.failed) fprintf(stderr, "\r\033[K%s%s", line.data, last ? "\n" : "");
  tn_strbuf_clear(&line);
  return !tn_cli_stop_requested();
}
/* A log wants a line every few seconds, but Ctrl-C an answer at once: asked often, prints seldom.
 */
#define LINE_EVERY_US 5000000
static bool show_lines(void *context, const tn_progress *p, bool last) {
  static int64_t printed_us;
  int64_t now_us = tn_time_us(), since_us = printed_us > p->started_us ? printed_us : p->started_us;
  if (!last && now_us - since_us < LINE_EVERY_US) return !tn_cli_stop_requested();
  printed_us = now_us;
  tn_strbuf line = {0};
  add_line(&line, p, last);
  if (!line.failed) fprintf(stderr, "%s\n", line.data);
  tn_strbuf_clear(&line);
  return !tn_cli_stop_requested();
}
/* Draws nothing, but still answers whether to go on. */
static bool show_nothing(void *context, const tn_progress *p, bool last) {
  return !tn_cli_stop_requested();
}

tn_progress tn_cli_progress(bool quiet) {
  heeded = 1;
  bool terminal = isatty(STDERR_FILENO);
  tn_progress p = {.show = quiet      ? show_nothing
                           : terminal ? show_bar
                                      : show_lines,
                   .every_us = 100000};
  return p;
}

/* ---- one pool for the whole program ---- */
static tn_pool *the_pool;
static void free_pool(void) {
  tn_pool_free(the_pool);
}

tn_pool *tn_cli_pool(int32_t threads) {
  if (the_pool) return the_pool;
  if (tn_pool_new(&the_pool, threads, NULL) != TN_OK) return NULL;
  atexit(free_pool);
  return the_pool;
}

/* ---- JSON on stdout ---- */
static bool json_lost;

bool tn_cli_reader_gone(void) {
  struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
  return poll(&out, 1, 0) > 0 && (out.revents & POLLERR);
}

bool tn_cli_output_lost(void) {
  return fflush(stdout) != 0 || ferror(stdout) || json_lost;
}
void tn_cli_json_begin(tn_cli_json *j) {
  *j = (tn_cli_json){0};
  j->w.out = &j->text;
}
void tn_cli_json_finish(tn_cli_json *j) {
  if (j->text.failed || !j->text.data || puts(j->text.data) < 0) json_lost = true;
  tn_strbuf_clear(&j->text);
}

void tn_cli_json_text(tn_json_writer *w, const char *key, const char *value) {
  tn_json_key(w, key);
  tn_json_cstr(w, value);
}
void tn_cli_json_i64(tn_json_writer *w, const char *key, int64_t value) {
  tn_json_key(w, key);
  tn_json_i64(w, value);
}
void tn_cli_json_f64(tn_json_writer *w, const char *key, double value) {
  tn_json_key(w, key);
  tn_json_f64(w, value);
}
void tn_cli_json_bool(tn_json_writer *w, const char *key, bool value) {
  tn_json_key(w, key);
  tn_json_bool(w, value);
}
