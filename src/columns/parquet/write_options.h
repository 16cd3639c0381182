/* write_options.h - the options of a Parquet writer, checked and with every default filled in. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_WRITE_OPTIONS_H
#define TN_COLUMNS_PARQUET_WRITE_OPTIONS_H
#include "columns/parquet/parquet.h"
#include "columns/parquet/schema_write.h"

TN_NODISCARD tn_status tn_parquet_write_options_fill(tn_parquet_write_options *options,
                                                     tn_error *err);
/* The training profile's page_rows, where the caller gave none, and row groups of whole pages;
 * `first` shows how wide rows are. */
void tn_parquet_write_options_fit(tn_parquet_write_options *options, const tn_field *root,
                                  const ArrowArray *first);
/* The last of the column options that is for this leaf; NULL: none. */
const tn_parquet_column_options *tn_parquet_options_for(const tn_parquet_write_options *options,
                                                        const tn_parquet_write_leaf *leaf);
/* Columns are stored as the options ask.  TN_ERR_NOT_FOUND: options or sort keys name a column that
 * is not there; TN_ERR_ARGUMENT: a column that cannot be stored so. */
TN_NODISCARD tn_status tn_parquet_options_apply(const tn_parquet_write_options *options,
                                                tn_parquet_write_schema *schema, tn_error *err);
/* Leaf number of a path; -1: none, or more than one. */
int64_t tn_parquet_leaf_find(const tn_parquet_write_schema *schema, const char *path);

#endif
