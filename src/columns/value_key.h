/* value_key.h - values as bytes, to find equal ones by.
 *
 * Two values of one field have the same key just when they are the same value (columns/equal.h),
 * but for NaN, whose bits count.  How they are laid out does not matter: dictionaries, run ends and
 * views are followed.  A null has a key of its own.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_VALUE_KEY_H
#define TN_COLUMNS_VALUE_KEY_H
#include "columns/value.h"

/* Appends the key; no key is the beginning of another.  Failures stay in the buffer's sticky flag.
 */
void tn_value_key(tn_value value, tn_strbuf *out);

#endif
