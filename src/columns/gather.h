/* gather.h - new arrays out of rows of others: chosen rows, several in a row, plain layouts.
 *
 * What comes out owns all its memory and has offset 0; arrays that go in must be valid.  Strings
 * and lists beyond what int32 offsets, indices or run ends can count are TN_ERR_LIMIT, named.
 * Dictionaries are kept: one that all rows share as it is, several as one with each value once
 * (nested values one behind the other).  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_GATHER_H
#define TN_COLUMNS_GATHER_H
#include "columns/schema.h"

/* rows[i] of the array, in any order, also repeatedly; -1: null (zero when the field is required;
 * TN_ERR_ARGUMENT when a row is outside). */
TN_NODISCARD tn_status tn_array_gather(ArrowArray *out, const tn_field *field,
                                       const ArrowArray *array, const int64_t *rows, int64_t count,
                                       tn_error *err);
/* All rows of the first, then of the second ...; count 0 gives an empty array. */
TN_NODISCARD tn_status tn_array_concat(ArrowArray *out, const tn_field *field,
                                       const ArrowArray *const *arrays, int64_t count,
                                       tn_error *err);

/* The plain form, for writers of formats without the others: dictionary and run-end encoded become
 * their values, views string or binary, list views lists; at every depth, the dictionary flags
 * gone.  Unions stay. */
TN_NODISCARD tn_status tn_plain_schema(ArrowSchema *out, const ArrowSchema *schema, tn_error *err);
bool tn_field_is_plain(const tn_field *field); /* the plain form of it is itself */
/* Takes *array over (also on failure); `field` is its own, not the plain one.  What is plain
 * already is moved, not copied. */
TN_NODISCARD tn_status tn_array_plain(ArrowArray *out, const tn_field *field, ArrowArray *array,
                                      tn_error *err);

#endif
