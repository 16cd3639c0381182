/* json_guard.h - whether bytes can still become one JSON object (RFC 8259), byte by byte.
 *
 *     {"a": [1, 2     can: more digits, a comma, a bracket ...
 *     {"a": [1, }     cannot
 *     {"a": [1]}      is one, and takes no byte more
 *
 * The guard of an answer is small enough to be copied, so that every token of a vocabulary can be
 * tried on it.  Stricter than the grammar where a reader or an end is in danger: halves of a
 * surrogate pair come together, nesting and runs of white space have a limit.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_JSON_GUARD_H
#define TN_SERVE_JSON_GUARD_H
#include "base/str.h"

enum { TN_JSON_GUARD_DEPTH_MAX = 64, TN_JSON_GUARD_SPACES_MAX = 80 };

typedef struct tn_json_guard { /* all zero: nothing has come; all of it is private */
  uint8_t state;
  uint8_t digits;   /* of \u so far */
  uint8_t spaces;   /* in a row */
  bool is_key;      /* of a string */
  bool wants_low;   /* the second half of a pair has to follow */
  uint16_t unit;    /* of \u */
  int32_t depth;    /* containers that are open */
  uint64_t arrays;  /* bit d: that at depth d is an array */
  const char *rest; /* of true, false or null */
} tn_json_guard;

/* false: these bytes cannot follow; the guard is of no use any more. */
bool tn_json_guard_feed(tn_json_guard *g, tn_str bytes);
bool tn_json_guard_done(const tn_json_guard *g); /* the object is whole */
/* Within a string: all may follow but quotes, backslashes and control characters, which may or not.
 */
bool tn_json_guard_in_string(const tn_json_guard *g);

#endif
