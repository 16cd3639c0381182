/* picks.h - ranges of rows of arrays, and the array that they make one behind the other.
 *
 * Inside of gather.h.  Gathering, concatenating and making plain all come down to one list of
 * picks a node: a nested node makes the lists of its children and goes on.
 *
 *     rows 7, 8, 3 of a     {a, 7, 2} {a, 3, 1}
 *     list<...>, same       children: {c, offsets[7], to offsets[9]} {c, offsets[3], ...}
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PICKS_H
#define TN_COLUMNS_PICKS_H
#include "columns/type.h"

typedef struct tn_pick {
  const ArrowArray *array; /* NULL: nulls */
  int64_t from, count;     /* from the array's own offset; count > 0 */
} tn_pick;

typedef struct tn_picks { /* all zero is a valid empty list */
  tn_pick *items;
  size_t count, capacity;
  int64_t rows; /* of all */
} tn_picks;

/* Joins what continues the last pick; count 0 adds nothing. */
TN_NODISCARD tn_status tn_picks_add(tn_picks *picks, const ArrowArray *array, int64_t from,
                                    int64_t count, tn_error *err);
void tn_picks_clear(tn_picks *picks);

/* `nullable`: whether a null pick may be null, else it is a zero value.  `plain`: the layouts of
 * tn_plain_schema come out. */
TN_NODISCARD tn_status tn_picks_assemble(ArrowArray *out, const tn_field *field, bool nullable,
                                         bool plain, const tn_picks *picks, tn_error *err);
/* Indices and one dictionary for picks of dictionary-encoded arrays. */
TN_NODISCARD tn_status tn_picks_dictionary(ArrowArray *out, const tn_field *field, bool nullable,
                                           const tn_picks *picks, tn_error *err);
/* Validity bitmap of the picks; *out stays NULL when nothing is null.  Sets *nulls. */
TN_NODISCARD tn_status tn_picks_validity(tn_buffer **out, bool nullable, const tn_picks *picks,
                                         int64_t *nulls, tn_error *err);

#endif
