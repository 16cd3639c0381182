/* ipc_dictionary_write.h - which dictionaries have gone out, and what has to go out next.
 *
 * Batches come with dictionaries of their own; most often it is the same one again, or it goes on
 * where the last ended.  A copy of the last is kept, and compared: by bytes, and where these differ
 * by value.  As long as they agree, indices mean what they meant and nothing else is done.
 *
 * A stream replaces a dictionary that differs.  A file has one for all its batches, which can only
 * grow: the values that it has not yet go behind, and indices are put into its terms.
 *
 *     file      a b c             a b c | d          a b c d
 *     batch     [a b c] 0 2 1     [c d] 0 1 1        [a b] 1 0
 *     places    none needed       [2 3]              [0 1]
 *     written   0 2 1             2 3 3              1 0
 *
 * The values of the file are then known by their bytes (columns/value_key.h), those of nested types
 * too, so that many inputs with the same values in any order come to one dictionary with each value
 * once, and inputs that take turns add nothing.  That costs a hash table with a copy of all values,
 * from the first dictionary on that differs; segments put one behind the other would need none, but
 * a hundred inputs would make a hundred dictionaries of a file.
 *
 * What a file cannot have is TN_ERR_UNSUPPORTED: more values than its indices can count, more text
 * than 32-bit offsets can, an ordered dictionary whose values come in another order than before
 * (new ones may only be the greatest).
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_DICTIONARY_WRITE_H
#define TN_COLUMNS_IPC_DICTIONARY_WRITE_H
#include "columns/ipc_body_write.h"

typedef struct tn_ipc_dictionary_writer tn_ipc_dictionary_writer;

typedef struct tn_ipc_dictionary_step {
  bool is_new;              /* rows [from, from + count) of `values` are to be written */
  bool is_delta;            /* behind what was written before, else instead of it */
  const ArrowArray *values; /* the batch's dictionary, or what of it is new: until the next step */
  int64_t from, count;
} tn_ipc_dictionary_step;

/* Borrows `schema`. */
TN_NODISCARD tn_status tn_ipc_dictionary_writer_new(tn_ipc_dictionary_writer **out,
                                                    const tn_ipc_schema *schema, bool stream,
                                                    tn_error *err);
void tn_ipc_dictionary_writer_free(tn_ipc_dictionary_writer *w); /* NULL is fine */
/* What a batch with this dictionary at `node` needs first.  Inner dictionaries must have been asked
 * for before.  After a failure only free may be called. */
TN_NODISCARD tn_status tn_ipc_dictionary_writer_next(tn_ipc_dictionary_writer *w,
                                                     const tn_ipc_node *node,
                                                     const ArrowArray *dictionary,
                                                     tn_ipc_dictionary_step *step, tn_error *err);
/* By number of the dictionary: where the values of the last one asked for lie in the file's.  Lives
 * as long as the writer, and changes with each step. */
const tn_ipc_places *tn_ipc_dictionary_writer_places(const tn_ipc_dictionary_writer *w);

#endif
