/* run_folder.h - the folder of one run: its lock, its files, and where to go on from.
 *
 * The lock is the kernel's (flock), so a killed process leaves none behind. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_RUN_FOLDER_H
#define TN_TRAIN_RUN_FOLDER_H
#include "train/checkpoint.h"

typedef struct tn_run_folder {
  const char *path; /* borrowed */
  int lock;         /* descriptor; -1: not held */
} tn_run_folder;

/* Makes the folder when absent and takes its lock; TN_ERR_EXISTS: another process trains there. */
TN_NODISCARD tn_status tn_run_folder_open(tn_run_folder *out, const char *path, tn_error *err);
void tn_run_folder_close(tn_run_folder *folder);

/* "<path>/<name>" */
TN_NODISCARD tn_status tn_run_folder_file(const tn_run_folder *folder, const char *name,
                                          tn_strbuf *out, tn_error *err);
/* Removes what an earlier run left: checkpoints (set aside ones too), latest, log and picture. */
TN_NODISCARD tn_status tn_run_folder_empty(const tn_run_folder *folder, tn_error *err);
/* Which checkpoint to resume: that of `from` ("step-000100", "100" or a path that ends so), else
 * the latest; *step -1: none, begin anew.  An unknown `from` is TN_ERR_NOT_FOUND listing what is
 * there. */
TN_NODISCARD tn_status tn_run_folder_choose(const tn_run_folder *folder, const char *from,
                                            int64_t *step, tn_error *err);
#endif
