/* ipc_dictionary_write.h - which dictionaries have gone out, and what has to go out next.
 *
 * Batches come with dictionaries of their own; most often it is the same one again.  A copy of what
 * was sent is kept, and compared: by bytes, and where these differ by value.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_DICTIONARY_WRITE_H
#define TN_COLUMNS_IPC_DICTIONARY_WRITE_H
#include "columns/ipc_body_write.h"

typedef struct tn_ipc_dictionary_writer tn_ipc_dictionary_writer;

typedef struct tn_ipc_dictionary_step {
  int32_t number;
  bool is_new;         /* rows [from, from + count) are to be written */
  bool is_delta;       /* behind what was sent before */
  bool is_replacement; /* instead of it */
  int64_t from, count;
} tn_ipc_dictionary_step;

/* Borrows `schema`. */
TN_NODISCARD tn_status tn_ipc_dictionary_writer_new(tn_ipc_dictionary_writer **out,
                                                    const tn_ipc_schema *schema, tn_error *err);
void tn_ipc_dictionary_writer_free(tn_ipc_dictionary_writer *w); /* NULL is fine */
/* What a batch with this dictionary needs first.  Inner dictionaries must have been asked for
 * before. */
TN_NODISCARD tn_status tn_ipc_dictionary_writer_next(tn_ipc_dictionary_writer *w, int32_t number,
                                                     const ArrowArray *dictionary,
                                                     tn_ipc_dictionary_step *step, tn_error *err);

#endif
