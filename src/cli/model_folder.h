/* model_folder.h - a model's folder that a command writes: it takes its name when it is whole.
 *
 *     OUT.part-XXXXXX   nobody else's, beside OUT, or a folder that the caller has a place for;
 *                       filled, then renamed
 *     OUT               whole, or as it was before; after a failure nothing stays behind
 *
 * Thread: one caller. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_MODEL_FOLDER_H
#define TN_CLI_MODEL_FOLDER_H
#include <stdbool.h>

#include "base/error.h"

/* TN_ERR_EXISTS when `out` is there and may not be replaced: without force, or when it holds
 * anything that is no part of a model.  TN_ERR_ARGUMENT when it is a file, or one of the places
 * that the model is read from (source may be NULL). */
TN_NODISCARD tn_status tn_model_folder_check(const char *out, bool force, const char *model,
                                             const char *source, tn_error *err);
/* The same file or folder under two names. */
bool tn_is_same_place(const char *a, const char *b);
/* Whether the file, or what it is a link to, is in that folder, and in none below it. */
bool tn_lies_in(const char *file, const char *folder);
/* TN_ERR_ARGUMENT when writing `out` would replace `input`: the same file, through links too, or a
 * file in the folder that `out` is. */
TN_NODISCARD tn_status tn_input_check(const char *out, const char *input, tn_error *err);

/* Writes into `folder`, which is there and empty. */
typedef tn_status (*tn_model_folder_fill)(void *context, const char *folder, tn_error *err);
/* replace: a folder of that name, which tn_model_folder_check has let pass, changes places with the
 * new one.  part: the folder that is filled, where the caller has one that is nobody else's (what a
 * kill has left in it goes), in the same file system; NULL: OUT.part-XXXXXX. */
TN_NODISCARD tn_status tn_model_folder_write(const char *out, bool replace, const char *part,
                                             tn_model_folder_fill fill, void *context,
                                             tn_error *err);
#endif
