/* checkpoint.h - a run's state on disk, whole or not at all.
 *
 *     runs/austen/
 *       latest -> checkpoints/step-000200      what `tenon serve runs/austen` opens
 *       checkpoints/
 *         step-000100/
 *         step-000200/  config.json  model.safetensors  tokenizer.json ...    as Hugging Face has
 * it optimizer.safetensors    m and v state.json               step, sample position, seed, hashes
 * of all files
 *
 * Invariant: a folder named step-N is complete.  A save writes and syncs everything in a temporary
 * folder, renames it, syncs the parent, then swaps `latest`; a kill or a full disk at any moment
 * leaves the checkpoints from before as they were.  Loading checks every byte: tensors by their own
 * sums, every file by the hash in state.json, and state.json by the hash in its last line.
 *
 * Thread: one writer a run folder (the loop holds its lock). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_CHECKPOINT_H
#define TN_TRAIN_CHECKPOINT_H
#include "train/corpus.h"
#include "train/optimizer.h"

enum { TN_CHECKPOINT_NAME_BYTES = 32 };

typedef struct tn_train_state { /* all that a run is, beside weights and moments */
  int64_t step;                 /* updates done */
  int64_t samples;              /* position in the loader's order: windows consumed */
  int64_t tokens;               /* trained on so far */
  uint64_t seed;
  uint64_t token_set_hash;
  double loss_average;
} tn_train_state;

typedef struct tn_checkpoint { /* what a save writes; all borrowed */
  const tn_run_config *config;
  const tn_model *model;
  const tn_optimizer *optimizer;
  const tn_side_file *files;
  int32_t file_count;
  tn_train_state state;
} tn_checkpoint;

/* Saves as <run>/checkpoints/step-<step>, which must not exist yet. */
TN_NODISCARD tn_status tn_checkpoint_save(const char *run, const tn_checkpoint *checkpoint,
                                          tn_error *err);

/* Verifies the folder, then fills model and optimizer (made for the same shape) and *state.
 * TN_ERR_CHECKSUM and TN_ERR_DATA name file and tensor; a config that would compute other numbers
 * is TN_ERR_ARGUMENT naming the key. */
TN_NODISCARD tn_status tn_checkpoint_load(const char *folder, const tn_run_config *config,
                                          tn_model *model, tn_optimizer *optimizer,
                                          tn_train_state *state, tn_error *err);
TN_NODISCARD tn_status tn_checkpoint_verify(const char *folder, tn_error *err);

/* The step of a name like "step-000200", -1 for any other. */
int64_t tn_checkpoint_step(const char *name);

typedef struct tn_checkpoint_list { /* all zero is empty; clear frees */
  int64_t *steps;                   /* ascending */
  size_t count, capacity;
} tn_checkpoint_list;
/* No folder: an empty list. */
TN_NODISCARD tn_status tn_checkpoint_list_read(tn_checkpoint_list *out, const char *run,
                                               tn_error *err);
void tn_checkpoint_list_clear(tn_checkpoint_list *list);

/* The one to go on from: where `latest` leads, else the highest step; TN_END: none. */
TN_NODISCARD tn_status tn_checkpoint_latest(const char *run, int64_t *step, tn_error *err);
/* The highest step below `below` that verifies; TN_END: none. */
TN_NODISCARD tn_status tn_checkpoint_newest_whole(const char *run, int64_t below, int64_t *step,
                                                  tn_error *err);
/* Going back to `step`: points `latest` there and renames every later checkpoint to
 * "step-N.set-aside", so that no history is mixed and none is lost. */
TN_NODISCARD tn_status tn_checkpoint_go_back(const char *run, int64_t step, tn_error *err);
/* Removes all but the `keep` newest (0: none), and temporary folders of killed saves. */
TN_NODISCARD tn_status tn_checkpoint_prune(const char *run, int64_t keep, tn_error *err);

/* "<run>/checkpoints/step-000200" */
TN_NODISCARD tn_status tn_checkpoint_path(tn_strbuf *out, const char *run, int64_t step,
                                          tn_error *err);
#endif
