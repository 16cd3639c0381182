/* cli.h - the frame that every command hangs in.
 *
 * One file a command, cmd_<name>.c, with one tn_command; main.c is a table of them.  A command
 * parses its words with tn_args, does its work through the rooms, prints for people or (--json) for
 * programs, and returns an exit code: 0 done   1 failed (one "error: ..." line on stderr)   2 wrong
 * usage   130 stopped by Ctrl-C   141 nobody reads the output any more An error line is followed by
 * a "hint: ..." line when there is a sensible next step. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_CLI_H
#define TN_CLI_CLI_H
#include <stdio.h>

#include "base/json.h"
#include "base/progress.h"
#include "base/str.h"
#include "base/thread.h"
#include "tensor/dtype.h"

#define TN_EXIT_FAILED      1
#define TN_EXIT_USAGE       2
#define TN_EXIT_INTERRUPTED 130
#define TN_EXIT_PIPE        141 /* as a shell reports a death by SIGPIPE */

typedef struct tn_command {
  const char *name;                  /* "data" */
  const char *summary;               /* one line for `tenon --help` */
  int (*run)(int argc, char **argv); /* argv[0] is the command's own name */
} tn_command;

#define TN_COMMAND_LIST(X) \
  X(data)                  \
  X(tokenizer)             \
  X(feed)                  \
  X(train)                 \
  X(model)                 \
  X(models)                \
  X(eval)                  \
  X(quantize)              \
  X(serve)                 \
  X(run)                   \
  X(bench)                 \
  X(doctor)
#define X(name) extern const tn_command tn_command_##name;
TN_COMMAND_LIST(X)
#undef X

/* ---- words of the command line ------------------------------------------------------------------
 */
typedef enum tn_option_kind {
  TN_OPTION_FLAG,  /* --json            -> *(bool *)      */
  TN_OPTION_TEXT,  /* --out DIR         -> *(const char **) */
  TN_OPTION_INT,   /* --rows 100        -> *(int64_t *), suffixes k M G (1000) and KiB MiB GiB */
  TN_OPTION_COUNT, /* as INT, but 1 or more: 0 would read as "none" and mean the default */
  TN_OPTION_REAL,  /* --temperature 0.7 -> *(double *)    */
  TN_OPTION_LIST,  /* may be repeated   -> tn_option_list */
} tn_option_kind;

typedef struct tn_option_list {
  const char *items[64];
  int32_t count;
} tn_option_list;

typedef struct tn_option {
  const char *name; /* "--out"; NULL ends the table */
  char letter;      /* 'o' for -o, 0: none */
  tn_option_kind kind;
  void *target;
  const char *value; /* "DIR", shown in --help; NULL for flags */
  const char *help;  /* one line, default included */
} tn_option;

typedef struct tn_usage {
  const char *words;   /* "tenon data convert [options] IN OUT" */
  const char *about;   /* a paragraph */
  const char *example; /* one or more whole command lines, with what they do */
  const tn_option *options;
  int32_t words_min, words_max; /* positional words; words_max -1: any number */
} tn_usage;

/* Parses argv[1..]; positional words are left in argv[1..*count] in order.  Returns -1 to go on,
 * else the exit code (after --help: 0; after a mistake, which it has printed with the nearest
 * option: 2). */
int tn_args(const tn_usage *usage, int argc, char **argv, int32_t *count);

/* A command with subcommands: prints their list on --help, runs the one named, says which is
 * nearest to a wrong word. */
typedef struct tn_subcommand {
  const char *name, *summary;
  int (*run)(int argc, char **argv); /* argv[0] is the subcommand's name; NULL name ends */
} tn_subcommand;
/* The candidate that `wanted` was probably meant to be, NULL when none is near. */
const char *tn_cli_nearest(const char *wanted, const char *const *candidates, int32_t count);
int tn_dispatch(const char *command, const char *about, const tn_subcommand *subs, int argc,
                char **argv);

/* The type that "f32" or "bf16", the value of --dtype, names.  Returns -1, or the exit code of the
 * mistake that it has printed. */
int tn_cli_float_type(const char *name, tn_dtype *out);

/* ---- talking to people ---- */
/* Prints "error: <err text>" and, when hint is not NULL, "hint: <hint>"; returns the exit code: 130
 * for TN_ERR_INTERRUPTED, else 1.  Wrong words are tn_cli_usage_error's business. */
int tn_cli_fail(const tn_error *err, const char *hint);
int tn_cli_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a file or a model says, for a terminal: its control characters, but for newlines and tabs,
 * and bytes that are no UTF-8 are printed as \x1b is here. */
void tn_cli_print_quoting(FILE *to, tn_str text);

/* A progress bar on stderr when it is a terminal, a line every few seconds otherwise; nothing when
 * --quiet or --json.  Its `show` says stop after Ctrl-C. */
tn_progress tn_cli_progress(bool quiet);
/* SIGINT, SIGTERM or SIGHUP has come.  They end a command that never asked (and had no progress)
 * at once. */
bool tn_cli_stop_requested(void);
void tn_cli_stop_forget(void); /* a SIGINT has stopped what it was meant for; others stay */
/* Called once by main.  The third signal kills: a terminal and `make` may both pass on the first.
 */
void tn_cli_catch_signals(void);
/* Flushes standard output; true when any of it could not be written (full disk, closed pipe). */
bool tn_cli_output_lost(void);

/* Standard output is a pipe that nobody reads any more (`... | head -1`): no error to speak of. */
bool tn_cli_reader_gone(void);

tn_pool *tn_cli_pool(
    int32_t threads); /* threads 0: all CPUs; made once, freed at exit; NULL on failure */

/* A JSON writer on stdout: begin, write, then finish prints the line. */
typedef struct tn_cli_json {
  tn_strbuf text;
  tn_json_writer w;
} tn_cli_json;
void tn_cli_json_begin(tn_cli_json *j);
void tn_cli_json_finish(tn_cli_json *j);
/* A key and its value. */
void tn_cli_json_text(tn_json_writer *w, const char *key, const char *value);
void tn_cli_json_i64(tn_json_writer *w, const char *key, int64_t value);
void tn_cli_json_f64(tn_json_writer *w, const char *key, double value);
void tn_cli_json_bool(tn_json_writer *w, const char *key, bool value);

#endif
