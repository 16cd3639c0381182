/* rope_table.h - the angles of rotary position embedding (Su et al. 2021, arXiv:2104.09864, section
 * 3.2.2), half-split as Hugging Face Llama has it.  Private to model/.
 *
 *     table[p] = cos(p f_0) .. cos(p f_half-1), sin(p f_0) .. sin(p f_half-1),  f_i = theta^(-2i /
 * D)
 *
 * Computed in double and rounded once to float32. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_ROPE_TABLE_H
#define TN_MODEL_ROPE_TABLE_H
#include "model/config.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

/* out: float32 [positions, head_dim] in a buffer of its own, which the caller drops. */
TN_NODISCARD tn_status tn_rope_table_new(tn_tensor *out, const tn_model_config *config,
                                         int64_t positions, tn_stream *stream, tn_error *err);

#endif
