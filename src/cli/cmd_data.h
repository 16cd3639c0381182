/* cmd_data.h - the subcommands of `tenon data`, one file each, and what they share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_CMD_DATA_H
#define TN_CLI_CMD_DATA_H
#include "base/json.h"
#include "columns/type.h"

int tn_cmd_data_convert(int argc, char **argv);
int tn_cmd_data_inspect(int argc, char **argv);
int tn_cmd_data_head(int argc, char **argv);
int tn_cmd_data_scan(int argc, char **argv);
int tn_cmd_data_bench(int argc, char **argv);

TN_NODISCARD tn_status tn_cmd_data_inspect_parquet(const char *path, const char *key_file,
                                                   bool json, int64_t groups, tn_error *err);
/* A batch schema as an indented tree; nulls of its columns, or NULL. */
void tn_cli_print_schema(const tn_field *root, const int64_t *nulls);
/* One field, its children inside it, as an object. */
void tn_cli_json_schema(tn_json_writer *w, const tn_field *field, const int64_t *nulls);
/* Key-value metadata in the C Data Interface's encoding (NULL: none): lines; a member "metadata".
 */
void tn_cli_print_metadata(const char *metadata);
void tn_cli_json_metadata(tn_json_writer *w, const char *metadata);

#endif
