/* schema.h - making ArrowSchema trees node by node.
 *
 * A schema that this room makes owns copies of its format, name and metadata.  Build top down:
 * init a node, give it children, init each child:
 *
 *     tn_schema_init(&s, "+s", "", 0, err);
 *     tn_schema_add_children(&s, 2, err);
 *     tn_schema_init(s.children[0], "i", "id", ARROW_FLAG_NULLABLE, err); ...
 *
 * After a failure tn_schema_clear(&s) frees what there is.  Thread: one owner while building. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_SCHEMA_H
#define TN_COLUMNS_SCHEMA_H
#include "columns/type.h"

/* One node without children; *out is overwritten. */
TN_NODISCARD tn_status tn_schema_init(ArrowSchema *out, const char *format, const char *name,
                                      int64_t flags, tn_error *err);
TN_NODISCARD tn_status tn_schema_init_type(ArrowSchema *out, const tn_type *type, const char *name,
                                           int64_t flags, tn_error *err);
/* A record-batch schema ("+s") of nullable fields; formats as the C Data Interface spells them. */
TN_NODISCARD tn_status tn_schema_init_flat(ArrowSchema *out, const char *const *names,
                                           const char *const *formats, int64_t count,
                                           tn_error *err);
/* `count` zeroed (released) children, once a node. */
TN_NODISCARD tn_status tn_schema_add_children(ArrowSchema *schema, int64_t count, tn_error *err);
/* A zeroed dictionary node, for the caller to init. */
TN_NODISCARD tn_status tn_schema_add_dictionary(ArrowSchema *schema, tn_error *err);
TN_NODISCARD tn_status tn_schema_set_name(ArrowSchema *schema, const char *name, tn_error *err);
/* Adds one pair to the metadata (in front; the first of equal keys counts); any bytes may be in
 * the value. */
TN_NODISCARD tn_status tn_schema_add_metadata(ArrowSchema *schema, tn_str key, tn_str value,
                                              tn_error *err);
/* Value of a metadata key; data NULL: none. */
tn_str tn_schema_metadata(const ArrowSchema *schema, const char *key);
/* Types, names, nullability, children, dictionaries; `with_metadata` compares that too. */
bool tn_schema_equal(const ArrowSchema *a, const ArrowSchema *b, bool with_metadata);
/* TN_ERR_NOT_FOUND: `no column "fair" among 3: id, fare, tip`; name_at gives the i-th of them. */
tn_status tn_schema_name_missing(const char *wanted, int64_t count,
                                 const char *(*name_at)(const void *names, int64_t i),
                                 const void *names, tn_error *err);
tn_status tn_schema_no_column(const ArrowSchema *schema, const char *wanted, tn_error *err);

#endif
