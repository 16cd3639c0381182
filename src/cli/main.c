/* main.c - the program `tenon`: a table of commands. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"

static const tn_command *const commands[] = {
#define X(name) &tn_command_##name,
    TN_COMMAND_LIST(X)
#undef X
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void log_to_stderr(void *context, tn_log_level level, const char *room, const char *text) {
  fprintf(stderr, "%s: %s: %s\n", tn_log_level_name(level), room, text);
}

static int run_command(int argc, char **argv) {
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    if (strcmp(argv[1], commands[i]->name) == 0) return commands[i]->run(argc - 1, argv + 1);
  return -1;
}

static void print_help(FILE *out) {
  fputs(
      "Tenon: the ML infrastructure stack in C, from raw rows to a served model.\n\n"
      "usage: tenon COMMAND ...\n\n",
      out);
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
  fputs(
      "\n`tenon COMMAND --help` says more; `tenon --version` names this build.\n\n"
      "example:\n  tenon data convert trips.csv trips.parquet\n",
      out);
}

/* A closed standard stream would lend its number to the next file opened, and messages would end up
 * inside that file. */
static void fill_standard_streams(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

static int unknown_command(const char *word) {
  const char *names[COMMAND_COUNT];
  for (size_t i = 0; i < COMMAND_COUNT; i++) names[i] = commands[i]->name;
  const char *near = tn_cli_nearest(word, names, (int32_t)COMMAND_COUNT);
  if (near) return tn_cli_usage_error("no command '%s'; did you mean '%s'?", word, near);
  return tn_cli_usage_error("no command '%s'; `tenon --help` lists them", word);
}

static int run_words(int argc, char **argv) {
  if (argc < 2) {
    print_help(stderr);
    return TN_EXIT_USAGE;
  }
  if (strcmp(argv[1], "--version") == 0) {
    puts("tenon " TENON_VERSION);
    return 0;
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
    print_help(stdout);
    return 0;
  }
  int code = run_command(argc, argv);
  return code >= 0 ? code : unknown_command(argv[1]);
}

int main(int argc, char **argv) {
  bool output_open = fcntl(STDOUT_FILENO, F_GETFD) >= 0;
  fill_standard_streams();
  tn_log_to(log_to_stderr, NULL, TN_LOG_WARN);
  tn_cli_catch_signals();
  int code = run_words(argc, argv);
  bool lost = tn_cli_output_lost();
  if (output_open && tn_cli_reader_gone()) return code == 0 || lost ? TN_EXIT_PIPE : code;
  if (code != 0 || (output_open && !lost)) return code;
  fputs("error: standard output could not be written (closed, or a full disk?)\n", stderr);
  return TN_EXIT_FAILED;
}
