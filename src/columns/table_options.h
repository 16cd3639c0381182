/* table_options.h - the options of table.h by name: one list for the command line, the library's
 * public interface and Python.
 *
 *     --row-group-rows 50000      {"row_group_rows", "50000"}      row_group_rows=50000
 *
 * A flag's value is "true" or "false".  A list is separated by commas, or is a JSON array of
 * strings where an item holds a comma.  Numbers may end in k, M, G, KiB, MiB, GiB.
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_TABLE_OPTIONS_H
#define TN_COLUMNS_TABLE_OPTIONS_H
#include "columns/table.h"

typedef enum tn_table_option_kind {
  TN_TABLE_FLAG, /* bool */
  TN_TABLE_TEXT, /* const char * */
  TN_TABLE_INT,  /* int64_t */
  TN_TABLE_INT32,
  TN_TABLE_LIST, /* const char *const * and an int32_t count */
} tn_table_option_kind;

typedef struct tn_table_option {
  const char *key;   /* "row_group_rows" */
  const char *value; /* "N", for --help; NULL: a flag */
  const char *help;  /* one line, default included */
  tn_table_option_kind kind;
  size_t at, count_at; /* places in the options struct */
  uint32_t formats;    /* that it is for, a bit each (1 << tn_table_format); 0: all */
  int64_t least, most; /* of a number; most 0: as large as the number's type */
} tn_table_option;

/* The options of reading and of writing, in the order of --help. */
const tn_table_option *tn_table_read_option_list(int32_t *count);
const tn_table_option *tn_table_write_option_list(int32_t *count);

/* Sets one option; texts are copied into the arena.  TN_ERR_ARGUMENT names key and value, and for
 * an unknown key lists those that are known. */
TN_NODISCARD tn_status tn_table_read_option(tn_table_read_options *options, tn_arena *arena,
                                            const char *key, const char *value, tn_error *err);
TN_NODISCARD tn_status tn_table_write_option(tn_table_write_options *options, tn_arena *arena,
                                             const char *key, const char *value, tn_error *err);

/* TN_ERR_ARGUMENT when an option is for none of `formats`; `name` as the user wrote it. */
TN_NODISCARD tn_status tn_table_option_check(const tn_table_option *option, const char *name,
                                             uint32_t formats, const char *path, tn_error *err);
/* The same of pairs of key and value, ended by NULL, and the format of one file. */
TN_NODISCARD tn_status tn_table_options_check(bool writing, const char *const *pairs,
                                              const char *path, const char *format, tn_error *err);

#endif
