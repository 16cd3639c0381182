/* assembly.h - leaves and their levels joined into nested Arrow arrays.
 *
 * Every leaf tells by its levels where the structs and lists above it are null, empty, begin and
 * end.  One pass over the levels of a node's first leaf gives its validity and offsets; every other
 * leaf below it must tell the same.
 *
 *     reps  0 1 0 0      list offsets  0 2 2 3
 *     defs  3 3 1 3      valid         1 1 1      items 3
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_ASSEMBLY_H
#define TN_COLUMNS_PARQUET_ASSEMBLY_H
#include "columns/parquet/column_reader.h"

/* The array of `node`, which has `slots` slots; parts[node->leaf] is the part of its first leaf.
 * Parts are used up, also after a failure.  TN_ERR_DATA: leaves do not fit together. */
TN_NODISCARD tn_status tn_parquet_assemble(const tn_parquet_node *node, tn_parquet_part *parts,
                                           int64_t slots, ArrowArray *out, tn_error *err);

#endif
