/* ipc_dictionary.h - the dictionaries of a stream or a file, as far as they have come.
 *
 * A message is kept as it came and decoded when a batch first asks: what only unwanted columns use
 * is never touched, and in a file the order of dictionaries does not matter, nested ones included.
 * A delta is appended to what there is; a later whole dictionary takes the place of the earlier.
 *
 * Thread: one at a time; the arrays that it gives may be shared freely. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_DICTIONARY_H
#define TN_COLUMNS_IPC_DICTIONARY_H
#include "columns/array.h"
#include "columns/ipc_message.h"
#include "columns/ipc_schema.h"

typedef struct tn_ipc_dictionaries tn_ipc_dictionaries;
/* Borrows `name` (of the source, for messages) and `schema`.  bytes_max: of one dictionary, and of
 * what one message may decompress to. */
TN_NODISCARD tn_status tn_ipc_dictionaries_new(tn_ipc_dictionaries **out, const char *name,
                                               const tn_ipc_schema *schema, int64_t bytes_max,
                                               tn_error *err);
void tn_ipc_dictionaries_free(tn_ipc_dictionaries *d); /* NULL is fine */
/* What `node` and all below it use is wanted; messages of other dictionaries are let go. */
void tn_ipc_dictionaries_want(tn_ipc_dictionaries *d, const tn_ipc_node *node);
void tn_ipc_dictionaries_forget(tn_ipc_dictionaries *d); /* all that came; not what is wanted */
/* Takes over the message, also on failure.  `replace`: a second whole dictionary of one id is fine,
 * as it is in a stream. */
TN_NODISCARD tn_status tn_ipc_dictionaries_add(tn_ipc_dictionaries *d, tn_ipc_message *message,
                                               bool replace, tn_error *err);
/* The dictionary of that number as it is now, borrowed until the next call.  TN_ERR_DATA when none
 * has come yet. */
TN_NODISCARD tn_status tn_ipc_dictionaries_get(tn_ipc_dictionaries *d, int32_t number,
                                               tn_shared_array **out, tn_error *err);
/* Decodes what the fields below `node` use, so that later tn_ipc_dictionaries_get only reads. */
TN_NODISCARD tn_status tn_ipc_dictionaries_prepare(tn_ipc_dictionaries *d, const tn_ipc_node *node,
                                                   tn_error *err);

#endif
