/* arrow_schema_write.h - the Arrow schema in a Parquet file's metadata.
 *
 * Parquet's own schema knows no large types, durations, dictionaries, time zones by name or
 * extension types.  Arrow's Parquet writers therefore keep the schema beside it, as the value of
 * "ARROW:schema": its IPC message in base64; their readers put the types back. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_ARROW_SCHEMA_WRITE_H
#define TN_COLUMNS_PARQUET_ARROW_SCHEMA_WRITE_H
#include "columns/arrow.h"

#define TN_PARQUET_ARROW_SCHEMA_KEY "ARROW:schema"

/* Appends the value of that key. */
TN_NODISCARD tn_status tn_parquet_arrow_schema_write(const ArrowSchema *schema, tn_strbuf *out,
                                                     tn_error *err);

#endif
