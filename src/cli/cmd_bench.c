/* cmd_bench.c - `tenon bench`: measures what runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int tn_cmd_bench_cpu(int argc, char **argv);   /* cmd_bench_cpu.c */
int tn_cmd_bench_serve(int argc, char **argv); /* cmd_bench_serve.c */

static int run_bench(int argc, char **argv) {
  static const tn_subcommand subs[] = {
      {"serve", "a running server: time to first token, tokens/s, latency", tn_cmd_bench_serve},
      {"cpu", "every kernel against what this machine can do", tn_cmd_bench_cpu},
      {0}};
  return tn_dispatch("bench", "Measures what runs.", subs, argc, argv);
}
const tn_command tn_command_bench = {"bench", "measure a running server, or this machine's kernels",
                                     run_bench};
