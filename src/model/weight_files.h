/* weight_files.h - every tensor in the files of one model, under the name that the file gives it.
 *
 *     folder    model.safetensors, or the shards that model.safetensors.index.json lists;
 *               neither there: the only .gguf file in it
 *     file      a GGUF file, or the first of a split one (name-00001-of-00003.gguf)
 *
 * Nothing is copied: tensors are views of mapped files.  Private to model/.
 *
 * Thread: constant once open, but for the marks `used` (each a byte of its own, only ever set). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WEIGHT_FILES_H
#define TN_MODEL_WEIGHT_FILES_H
#include "base/map.h"
#include "base/thread.h"
#include "model/gguf.h"
#include "model/safetensors.h"

typedef struct tn_file_tensor {
  tn_str name;
  tn_tensor tensor;
  const char *path; /* of its file */
  bool used;        /* somebody has asked for it */
} tn_file_tensor;

typedef struct tn_weight_files { /* all zero: none open */
  tn_arena arena;
  const char *folder;    /* NULL: a GGUF file was named */
  const char *list_path; /* the file that says which tensors there are; for messages */
  const tn_gguf *gguf;   /* the (first) GGUF file; NULL: safetensors */
  tn_safetensors **shards;
  tn_gguf **ggufs;
  size_t shard_count, shard_capacity, gguf_count, gguf_capacity;
  tn_file_tensor *tensors; /* in the order of files and of tensors in them */
  size_t count, capacity;
  tn_map places; /* name -> place in tensors */
} tn_weight_files;

/* Checks recorded checksums.  pool may be NULL.  On failure nothing stays open. */
TN_NODISCARD tn_status tn_weight_files_open(tn_weight_files *out, const char *path, tn_pool *pool,
                                            tn_error *err);
void tn_weight_files_clear(tn_weight_files *files); /* maps live on in the buffers of others */
tn_file_tensor *tn_weight_files_find(const tn_weight_files *files, tn_str name); /* NULL: none */
/* The path of `name` in the model's folder; arena memory, NULL when out of memory. */
const char *tn_path_join(tn_arena *arena, const char *folder, tn_str name);

#endif
