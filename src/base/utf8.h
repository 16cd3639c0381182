/* utf8.h - bytes that may be no UTF-8, as text (str.h has what judges and decodes it). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_UTF8_H
#define TN_BASE_UTF8_H
#include "base/str.h"

/* Length of the longest start of a well-formed character at s, which is not whole: 1 to 3.
 * *may_go_on (may be NULL): the end cut it, so more bytes could complete it. */
size_t tn_utf8_part_length(const uint8_t *s, size_t available, bool *may_go_on);
/* Appends `bytes` with U+FFFD for each maximal ill-formed part (Unicode 15, section 3.9). */
void tn_utf8_append_repaired(tn_strbuf *out, tn_str bytes);

#endif
