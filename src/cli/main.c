/* main.c - the program `tenon`: a table of commands. */
/* SPDX-License-Identifier: Apache-2.0 */
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
  fputs("\n`tenon COMMAND --help` says more; `tenon --version` names this build.\n", out);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--version") == 0) {
    puts("tenon " TENON_VERSION);
    return 0;
  }
  if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
    print_help(stdout);
    return 0;
  }
  tn_log_to(log_to_stderr, NULL, TN_LOG_WARN);
  tn_cli_catch_signals();
  int code = argc > 1 ? run_command(argc, argv) : -1;
  if (code >= 0) {
    /* A full disk shows up in the last flush of standard output at the latest. */
    if (fflush(stdout) != 0 && code == 0) {
      perror("error: standard output");
      return TN_EXIT_FAILED;
    }
    return code;
  }
  if (argc > 1) fprintf(stderr, "error: no command '%s'\n\n", argv[1]);
  print_help(stderr);
  return TN_EXIT_USAGE;
}
