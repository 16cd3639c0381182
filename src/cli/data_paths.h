/* data_paths.h - the input words of a data command as files.
 *
 *     trips.csv          itself             'trips/2024-*.csv'   what matches, in order
 *     trips/             every table below it, in order of path     -    standard input
 *
 * A word that names a file is that file, even when it holds * or [. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_DATA_PATHS_H
#define TN_CLI_DATA_PATHS_H
#include "base/io.h"

typedef struct data_paths { /* all zero is empty */
  char **items;
  size_t capacity;
  int64_t count;
  bool hive; /* a folder was given, and in it are folders like country=DE */
} data_paths;

/* TN_ERR_NOT_FOUND names a word that nothing matches, or a folder without a table.  `any`: files of
 * any extension count (a format was named). */
TN_NODISCARD tn_status data_paths_add(data_paths *p, const char *word, bool any, tn_error *err);
/* The formats of all of them, a bit each; `name` NULL: by their extensions. */
TN_NODISCARD tn_status data_paths_formats(const data_paths *p, const char *name, uint32_t *out,
                                          tn_error *err);
void data_paths_clear(data_paths *p);
/* Whether writing `out` would replace one of the inputs: the same file by device and number. */
bool data_paths_hold(const data_paths *p, const char *out);

#endif
