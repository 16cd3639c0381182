/* weight_gguf.h - the weights of a GGUF file as Hugging Face has them: found by their names there,
 * and with what the converter did to them undone (gguf_arch.h).  What needs no change is not
 * copied.
 *
 * Private to model/.  Thread: constant once made, but for the marks `used` of the files. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WEIGHT_GGUF_H
#define TN_MODEL_WEIGHT_GGUF_H
#include "model/gguf_arch.h"
#include "model/weight_source.h"

typedef struct tn_gguf_weights { /* arch NULL: not of a GGUF file */
  const tn_gguf_arch *arch;
  int64_t heads, kv_heads;
} tn_gguf_weights;

TN_NODISCARD tn_status tn_gguf_weights_init(tn_gguf_weights *out, const tn_weight_files *files,
                                            tn_error *err);
bool tn_gguf_weights_has(const tn_gguf_weights *w, const tn_weight_files *files, const char *name);
TN_NODISCARD tn_status tn_gguf_weights_find(const tn_gguf_weights *w, const tn_weight_files *files,
                                            const char *name, tn_weight *out, tn_error *err);

#endif
