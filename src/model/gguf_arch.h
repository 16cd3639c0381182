/* gguf_arch.h - what a GGUF file of each architecture means in the words of Hugging Face: its
 * config.json, the names of its tensors, and what its converter has done to them.
 *
 * Converters permute and add: rows of q and k of Llama files lie interleaved (row 2i + half of a
 * head, where Hugging Face has half * D/2 + i), norms of Gemma hold 1 + w.  GPT-2's matrices are
 * turned to [out, in], and q, k and v of GPT-NeoX lie apart: weight_source.h has flags for these.
 * Source: llama.cpp's conversion scripts, gguf-py's constants.py and tensor_mapping.py.
 *
 * For model/ and the exporter in quant/.  Thread: constant tables, pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_GGUF_ARCH_H
#define TN_MODEL_GGUF_ARCH_H
#include "model/weight_files.h"

enum { TN_GGUF_NAME_BYTES = 128 };

typedef struct tn_gguf_name { /* '#' stands for the layer's number, '*' for the expert's */
  const char *hf, *gguf;      /* without ".weight" or ".bias" */
} tn_gguf_name;

typedef struct tn_gguf_arch {
  const char *name;                    /* general.architecture */
  const char *model_type, *class_name; /* of config.json */
  const char *prefix;                  /* that a Hugging Face name may have in front; NULL: none */
  const tn_gguf_name *names;           /* hf NULL ends */
  bool rows_interleaved, norms_plus_one;
} tn_gguf_arch;

/* TN_ERR_UNSUPPORTED names the architecture and those that are there. */
TN_NODISCARD tn_status tn_gguf_arch_of(const tn_gguf_arch **out, const tn_gguf *file,
                                       tn_error *err);
/* The one for a config.json's model_type; NULL: none. */
const tn_gguf_arch *tn_gguf_arch_for(tn_str model_type);
/* "model.layers.3.mlp.up_proj.weight" -> "blk.3.ffn_up.weight"; *expert: which of the experts that
 * the tensor holds, -1: it is not one of experts.  False: no such name. */
bool tn_gguf_arch_name(const tn_gguf_arch *arch, tn_str hf, char out[TN_GGUF_NAME_BYTES],
                       int64_t *expert);
/* Appends the text of a config.json.  Tensors that only say something about the model (rope_freqs)
 * are marked used. */
TN_NODISCARD tn_status tn_gguf_arch_config(const tn_gguf_arch *arch, const tn_weight_files *files,
                                           tn_strbuf *out, tn_error *err);
/* An integer of the architecture: "llama.block_count" is (arch, "block_count").  Absent: *out keeps
 * its value.  An array (a number a layer) must hold one number throughout. */
TN_NODISCARD tn_status tn_gguf_arch_i64(const tn_gguf_arch *arch, const tn_gguf *file,
                                        const char *key, int64_t *out, tn_error *err);

#endif
