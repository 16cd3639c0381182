/* model_path.h - which folder a user means by "the model".
 *
 *     models/llama      has config.json              -> itself
 *     llama.gguf        is a file                    -> itself
 *     models/llama-gguf has one GGUF file            -> that file
 *     runs/austen       has latest -> checkpoints/N  -> runs/austen/latest
 *
 * so that `tenon serve runs/austen` opens the newest checkpoint of a training run. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_MODEL_PATH_H
#define TN_CLI_MODEL_PATH_H
#include "base/str.h"

/* Writes the folder (or GGUF file) that is the model into *out.  TN_ERR_NOT_FOUND says what was
 * looked for.
 */
TN_NODISCARD tn_status tn_model_path(const char *folder, tn_strbuf *out, tn_error *err);
/* The words behind "hint: " for an error of opening a model; NULL: none. */
const char *tn_model_hint(const tn_error *err);
#endif
