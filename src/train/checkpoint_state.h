/* checkpoint_state.h - state.json: where a run stands, and what every file beside it must hash to.
 *
 *     {"format": "tenon-checkpoint-1", "step": 200, ..., "config": {...},
 *      "files": [{"name": "model.safetensors", "bytes": 33554, "sum": "6f1c..."}, ...],
 *      "hash": "0d2a..."}              <- of all bytes before this key
 *
 * So one flipped byte anywhere in the folder is noticed, in state.json too. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_CHECKPOINT_STATE_H
#define TN_TRAIN_CHECKPOINT_STATE_H
#include "train/checkpoint.h"

typedef struct tn_state_file { /* all zero is empty; clear frees */
  tn_train_state state;
  const tn_json *config; /* the keys that decide the numbers; lives in the arena */
  const tn_json *files;
  tn_strbuf text;
  tn_arena arena;
} tn_state_file;

/* Reads and checks <folder>/state.json itself, not yet the files that it names. */
TN_NODISCARD tn_status tn_state_file_read(tn_state_file *out, const char *folder, tn_error *err);
void tn_state_file_clear(tn_state_file *file);
/* Every file that it names: size and hash. */
TN_NODISCARD tn_status tn_state_file_check(const tn_state_file *file, const char *folder,
                                           tn_error *err);
/* Hashes all files of `folder` and writes state.json beside them. */
TN_NODISCARD tn_status tn_state_file_write(const char *folder, const tn_train_state *state,
                                           const tn_run_config *config, tn_error *err);
#endif
