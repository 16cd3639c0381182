/* cmd_data.h - the subcommands of `tenon data`, one file each where they are long. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_CMD_DATA_H
#define TN_CLI_CMD_DATA_H
#include "base/json.h"
#include "columns/arrow.h"

int tn_cmd_data_inspect(int argc, char **argv);
int tn_cmd_data_bench(int argc, char **argv);

/* One value as JSON: numbers and booleans as such, everything else as its text, null as null. */
void tn_cli_json_value(tn_json_writer *w, const ArrowArray *column, tn_column_type type,
                       int64_t row);
/* Types of all columns of a batch schema; the caller frees *out with tn_free. */
tn_status tn_cli_column_types(const ArrowSchema *schema, tn_column_type **out, tn_error *err);

#endif
