/* weight_source.h - the weights of a model by the names that Hugging Face gives them, whatever the
 * files call them and however they are packed.
 *
 *     files of a folder or a GGUF file -> name found -> unpacked -> tn_weight
 *
 * A weight comes out as a tensor of one of the types of tensor/dtype.h, [out features, in features]
 * where it is a matrix; what needs no change is a view of the mapped file.  Every tensor that
 * somebody has asked for is marked, so that a loader can refuse a file that holds more than its
 * model uses.
 *
 * Thread: find from any thread at once; the rest from one. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WEIGHT_SOURCE_H
#define TN_MODEL_WEIGHT_SOURCE_H
#include "base/progress.h"
#include "base/thread.h"
#include "model/quant_config.h"
#include "tensor/tensor.h"

typedef struct tn_weight_source tn_weight_source;

typedef struct tn_weight {
  tn_tensor tensor; /* host memory, contiguous, maybe at an odd address */
  /* int32 [in features] where the columns are stored in another order (GPTQ's desc_act): column k
   * belongs to input order[k].  buffer NULL: they are in order. */
  tn_tensor order;
  const char *path; /* of the file it comes from, for messages; lives as long as the source */
  /* Where Hugging Face has [in, out] (GPT-2) or q, k, v head by head (GPT-NeoX): this one is
   * [out, in] all the same, or has q, k and v one behind the other. */
  bool out_in, parts_apart;
} tn_weight;
/* Gives up both references that a weight holds; all zero is fine. */
void tn_weight_clear(tn_weight *weight);
/* All elements as float32 in the order of inputs: [count of tensor]. */
void tn_weight_to_f32(const tn_weight *weight, float *out);

/* A folder of Hugging Face, a folder with one GGUF file, or a GGUF file.  Recorded checksums are
 * verified, on `pool` (NULL: the caller alone).  What is damaged or not supported is named with its
 * file. */
TN_NODISCARD tn_status tn_weight_source_open(tn_weight_source **out, const char *path,
                                             tn_pool *pool, tn_error *err);
void tn_weight_source_close(tn_weight_source *source); /* weights found stay valid */
/* The text of config.json, or one made from a GGUF file's metadata; and where it comes from. */
tn_str tn_weight_source_config(const tn_weight_source *source, const char **path);
const tn_quant_config *tn_weight_source_quant(const tn_weight_source *source);
/* Appends what tells these files from others and from what they were before: names, sizes, times
 * and inodes, and a hash of the configuration.  A file put in another's place under its old time
 * has another time of change (st_ctime), which nobody can set. */
TN_NODISCARD tn_status tn_weight_source_identity(const tn_weight_source *source, tn_strbuf *out,
                                                 tn_error *err);
/* The same of the same contents wherever they lie: xxh64 of names, types, shapes and bytes of all
 * tensors and of the configuration.  Reads the files whole. */
uint64_t tn_weight_source_content(const tn_weight_source *source);
bool tn_weight_source_has(const tn_weight_source *source, const char *name);
/* The caller clears *out.  TN_ERR_NOT_FOUND names file and tensor. */
TN_NODISCARD tn_status tn_weight_source_find(tn_weight_source *source, const char *name,
                                             tn_weight *out, tn_error *err);
/* Walks over the tensors of the files that nothing has asked for, under the names that a Hugging
 * Face file gives them: *place starts at 0.  False: no more. */
bool tn_weight_source_unused(const tn_weight_source *source, int64_t *place, tn_str *name,
                             const char **path);

#endif
