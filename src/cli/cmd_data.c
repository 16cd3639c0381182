/* cmd_data.c - `tenon data`: the list of its subcommands, one file each. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_data.h"

#include "cli/cli.h"

static int run_data(int argc, char **argv) {
  static const tn_subcommand subs[] = {
      {"convert", "CSV, JSON lines, Parquet and Arrow IPC into each other", tn_cmd_data_convert},
      {"inspect", "schema, row groups, encodings, statistics", tn_cmd_data_inspect},
      {"head", "the first rows", tn_cmd_data_head},
      {"scan", "rows that a predicate wants, and only their bytes", tn_cmd_data_scan},
      {"bench", "row against column layout: bytes read and seconds", tn_cmd_data_bench},
      {0}};
  return tn_dispatch("data", "Tables: convert, look inside, read, compare layouts.", subs, argc,
                     argv);
}
const tn_command tn_command_data = {"data", "tables: convert, inspect, head, scan, bench",
                                    run_data};
