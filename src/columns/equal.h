/* equal.h - whether two arrays hold the same values, however they are laid out.
 *
 * What only says how values are stored does not matter: offsets, dictionaries, run ends, views,
 * large or list-view layouts, fixed-size against variable lists and binary, the width of decimals
 * of one scale, what stands under a null.  What the values are does: type, unit, time zone, names
 * of struct fields, the code of a union.  NaN equals NaN; 0.0 and -0.0 differ.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_EQUAL_H
#define TN_COLUMNS_EQUAL_H
#include "columns/type.h"

bool tn_array_equal(const tn_field *field_a, const ArrowArray *a, const tn_field *field_b,
                    const ArrowArray *b);
/* The first row that differs; the shorter length when only that does; -1: equal. */
int64_t tn_array_difference(const tn_field *field_a, const ArrowArray *a, const tn_field *field_b,
                            const ArrowArray *b);

#endif
