/* table_parquet.h - what the options of table.h say in text, as the structs of parquet.h.
 *
 * A key file is a JSON object; a key is 32, 48 or 64 hexadecimal digits:
 *
 *     {"footer": KEY,                       the footer's key
 *      "columns": {"price": KEY, ...},      of columns with a key of their own
 *      "by_id": {"kf": KEY, ...},           reading: by the key metadata that the file holds
 *      "aad_prefix": "table-7",             where the file was, or shall be, written with one
 *      "ids": {"": "kf", "price": "kc1"},   writing: key metadata to store, "" for the footer
 *      "plain_footer": false, "ctr": false, "hide_aad_prefix": false}
 *
 * Everything lives in the caller's arena.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_TABLE_PARQUET_H
#define TN_COLUMNS_TABLE_PARQUET_H
#include "columns/table.h"

/* *out: options->parquet with codec, level, profile, encodings, sort keys, metadata filled in.
 * TN_ERR_ARGUMENT names the option and what it may be. */
TN_NODISCARD tn_status tn_table_parquet_write(tn_parquet_write_options *out, tn_arena *arena,
                                              const tn_table_write_options *options, tn_error *err);
/* What "auto", "ns" and "us" say; NULL leaves *out. */
TN_NODISCARD tn_status tn_table_parquet_int96(tn_parquet_int96 *out, const char *name,
                                              tn_error *err);
TN_NODISCARD tn_status tn_table_parquet_keys(tn_parquet_keys *out, tn_arena *arena,
                                             const char *key_file, tn_error *err);

TN_NODISCARD tn_status tn_table_parquet_encryption(tn_parquet_encryption *out, tn_arena *arena,
                                                   const char *key_file, tn_error *err);

#endif
