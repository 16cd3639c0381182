/* metadata_parts.h - pieces of metadata that both footers and page headers hold (private to the
 * files that parse and write metadata).
 *
 * A parser begins behind the header of its field, on the struct itself; a writer writes the header
 * of field `id` too. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_METADATA_PARTS_H
#define TN_COLUMNS_PARQUET_METADATA_PARTS_H
#include "columns/parquet/metadata.h"
#include "columns/parquet/thrift.h"

void tn_parquet_logical_parse(tn_thrift_reader *r, tn_parquet_logical *out);
void tn_parquet_logical_write(tn_thrift_writer *w, int16_t id, const tn_parquet_logical *logical);
/* What a ConvertedType means in the words of LogicalType. */
tn_parquet_logical tn_parquet_logical_of_converted(int32_t converted);

void tn_parquet_range_parse(tn_thrift_reader *r, tn_parquet_range *out);
void tn_parquet_range_write(tn_thrift_writer *w, int16_t id, const tn_parquet_range *range);

/* The field `f` is the list; NULL and 0 when it is empty or memory ran out. */
int64_t *tn_parquet_i64s_parse(tn_thrift_reader *r, const tn_thrift_field *f, tn_arena *arena,
                               uint32_t *count);
void tn_parquet_i64s_write(tn_thrift_writer *w, int16_t id, const int64_t *values, uint32_t count);

#endif
