/* projection.h - the part of a file's schema that a scan wants.
 *
 * A name is a column of the file or a dotted path into one, in Parquet's names ("a.list.element.b")
 * or a beginning of such a path; what is wanted of a struct or list keeps its shape and loses its
 * other fields.  A map keeps key and value together.  A VARIANT that is wanted as a whole becomes
 * what it was before it was shredded, or text in JSON.
 *
 *     a: struct<x, y>, b   "b", "a.y"  -->  b, a: struct<y> */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_PROJECTION_H
#define TN_COLUMNS_PARQUET_PROJECTION_H
#include "columns/parquet/file.h"

typedef struct tn_parquet_projection {
  tn_parquet_node root;  /* STRUCT of the chosen columns, its leaves numbered anew */
  const int64_t *leaves; /* of the file, by those numbers */
  int64_t leaf_count;
  ArrowSchema schema; /* the nodes' schemas point into it */
} tn_parquet_projection;

/* Everything but the schema is in the arena.  names NULL: all columns.  TN_ERR_NOT_FOUND names what
 * there is. */
TN_NODISCARD tn_status tn_parquet_projection_new(tn_parquet_projection *out,
                                                 const tn_parquet_file *file,
                                                 const char *const *names, int32_t count,
                                                 bool variant_json, tn_arena *arena, tn_error *err);
void tn_parquet_projection_clear(tn_parquet_projection *projection);

#endif
