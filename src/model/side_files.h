/* side_files.h - what lies beside a model's weights and makes a folder usable: tokenizer, chat
 * template, generation settings, the parts of a sentence encoder, licence.
 *
 * Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_SIDE_FILES_H
#define TN_MODEL_SIDE_FILES_H
#include <stdint.h>

#include "base/str.h"

/* Copies those that `from` has into the folder `to`, each whole or not at all.  *count (may be
 * NULL): how many. */
TN_NODISCARD tn_status tn_side_files_copy(const char *from, const char *to, int32_t *count,
                                          tn_error *err);
/* Whether the name, a file's or a folder's in a model folder, is of one of them. */
bool tn_side_files_know(tn_str name);

#endif
