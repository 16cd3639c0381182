/* validate.h - whether an array that somebody else made can be read without harm.
 *
 * Everything in this room trusts offsets, indices and run ends; an array that came through the C
 * Data Interface, or whose bytes came from a file, is checked once here.  The interface does not
 * say how large buffers are: what only that could show (a values buffer too short) is the
 * producer's word.  Known and checked: numbers of buffers and children, lengths, offsets in order
 * and inside their child, views inside their data buffers, union codes and offsets, run ends,
 * dictionary indices, at every depth.
 *
 * Not checked: nulls in a required field, and what stands where a bitmap says null.  Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_VALIDATE_H
#define TN_COLUMNS_VALIDATE_H
#include "columns/type.h"

/* TN_ERR_DATA names the field by its path, the row, and what is wrong.  `utf8`: text must be valid
 * UTF-8 too. */
TN_NODISCARD tn_status tn_array_validate(const tn_field *field, const ArrowArray *array, bool utf8,
                                         tn_error *err);

#endif
