/* data_options.h - the options of columns/table_options.h as words of a command line.
 *
 * "row_group_rows" is --row-group-rows.  A command gives its own options and says whether it
 * reads, writes or both; where both have an option of one name, reading has --name and writing
 * --out-name, but --threads is of both.
 *
 *     data_options_init(&o, own, true, true);  usage.options = o.rows;  tn_args(...);
 *     data_options_read(&o, &read, err);  data_options_write(&o, &write, err); */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_DATA_OPTIONS_H
#define TN_CLI_DATA_OPTIONS_H
#include "cli/cli.h"
#include "columns/table_options.h"

enum { DATA_OPTIONS_MAX = 160 };

typedef struct data_options {
  tn_option rows[DATA_OPTIONS_MAX]; /* ends in a row without a name */
  int32_t own;                      /* rows of the command itself, in front */
  int32_t count;
  const tn_table_option *options[DATA_OPTIONS_MAX]; /* of each row; NULL: the command's own */
  bool writes[DATA_OPTIONS_MAX];
  char names[DATA_OPTIONS_MAX][40];
  const char *texts[DATA_OPTIONS_MAX];
  bool flags[DATA_OPTIONS_MAX];
  tn_arena arena; /* texts that the options structs point at */
} data_options;

/* `own` ends in a row without a name, as in tn_usage. */
void data_options_init(data_options *o, const tn_option *own, bool reads, bool writes);
void data_options_clear(data_options *o);
/* What was given, into a struct of defaults that lives no longer than `o`. */
TN_NODISCARD tn_status data_options_read(data_options *o, tn_table_read_options *read,
                                         tn_error *err);
TN_NODISCARD tn_status data_options_write(data_options *o, tn_table_write_options *write,
                                          tn_error *err);
/* TN_ERR_ARGUMENT names an option that was given and is for none of the formats (a bit each) of
 * what is read, or written; the second, any option of writing where nothing is written. */
TN_NODISCARD tn_status data_options_check(const data_options *o, bool writing, uint32_t formats,
                                          const char *path, tn_error *err);
TN_NODISCARD tn_status data_options_refuse_writing(const data_options *o, const char *why,
                                                   tn_error *err);

#endif
