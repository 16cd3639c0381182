/* hive.h - columns that are in the path of a file: folder/country=DE/year=2024/part-00000.parquet.
 *
 * What partition.h writes, read back: every file of a table has the same names in its path; values
 * are int64 where all of them are such numbers, else string; __HIVE_DEFAULT_PARTITION__ is null;
 * %XX is a byte.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_HIVE_H
#define TN_COLUMNS_HIVE_H
#include "columns/schema.h"

typedef struct tn_hive { /* all zero: no columns */
  int32_t count;         /* columns */
  int64_t files;
  const char **names;
  bool *numbers;      /* int64; else string */
  const char **texts; /* [file * count + column]; NULL: null */
  tn_arena arena;
} tn_hive;

/* TN_ERR_DATA names a file whose path has other names than the first one's. */
TN_NODISCARD tn_status tn_hive_open(tn_hive *out, const char *const *paths, int64_t count,
                                    tn_error *err);
void tn_hive_clear(tn_hive *hive);
int32_t tn_hive_find(const tn_hive *hive, const char *name); /* -1: none */
/* Puts the columns behind those of *schema, and behind those of a batch of file `file`; both are
 * replaced, and cleared on failure. */
TN_NODISCARD tn_status tn_hive_add_schema(const tn_hive *hive, ArrowSchema *schema, tn_error *err);
/* One column of file `file`, `rows` times its value. */
TN_NODISCARD tn_status tn_hive_column(const tn_hive *hive, int64_t file, int32_t column,
                                      int64_t rows, ArrowArray *out, tn_error *err);
TN_NODISCARD tn_status tn_hive_add_batch(const tn_hive *hive, int64_t file, ArrowArray *batch,
                                         tn_error *err);

#endif
