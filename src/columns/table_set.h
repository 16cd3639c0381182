/* table_set.h - several files as one table, one after the other.
 *
 * With more than one file, CSV files are read by csv.h as one: types hold the values of all of
 * them.  JSON lines: each file's types are found first; int64 here and double there is double, what
 * has nothing in common is text, any file may lack keys.  Parquet and Arrow files have the same
 * columns and types; what differs is an error that names both files
 * and, of a column, both types.  One table is of one format.
 *
 * A declared schema, and what becomes of bad rows, are options by text (table_options.h); the set
 * keeps what they need: the schema, the error file.
 *
 *     paths ---> survey ---> schema ---> file 0, file 1, ...  one open at a time ---> batches
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_TABLE_SET_H
#define TN_COLUMNS_TABLE_SET_H
#include "columns/table.h"

typedef struct tn_table_set tn_table_set;

/* Paths and options (their texts too) must outlive the set. */
TN_NODISCARD tn_status tn_table_set_open(tn_table_set **out, const char *const *paths,
                                         int64_t count, const tn_table_read_options *options,
                                         tn_error *err);
void tn_table_set_close(tn_table_set *set); /* NULL is fine; without the end, no error file stays */
TN_NODISCARD tn_status tn_table_set_schema(tn_table_set *set, ArrowSchema *out, tn_error *err);
/* TN_END behind the last batch of the last file; the error file is committed then. */
TN_NODISCARD tn_status tn_table_set_next(tn_table_set *set, ArrowArray *out, tn_error *err);

int64_t tn_table_set_bytes(const tn_table_set *set);      /* of all files; -1: not known */
int64_t tn_table_set_bytes_read(const tn_table_set *set); /* so far, of the files as they are */
/* The file that the last batch came from; *more: rows before it came from others. */
const char *tn_table_set_path(const tn_table_set *set, bool *more);
tn_table_format tn_table_set_format(const tn_table_set *set);
const tn_bad_rows *tn_table_set_bad(const tn_table_set *set); /* counts so far */

#endif
