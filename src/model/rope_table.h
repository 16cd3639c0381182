/* rope_table.h - the angles of rotary position embedding (Su et al. 2021, arXiv:2104.09864, section
 * 3.2.2), half-split as Hugging Face Llama has it.  Private to model/.
 *
 *     table[p] = a cos(p f_0) .. a cos(p f_half-1), a sin(p f_0) .. a sin(p f_half-1)
 *
 * with f_i = theta^(-2i / R) over the R dimensions that turn, a = 1, and by scaling:
 *
 *     linear     f_i / factor
 *     dynamic    position p >= original has a theta of its own, that of a sequence which ends
 * there: what transformers computes when it generates token by token (NTK-aware scaling) yarn f_i
 * for fast dimensions, f_i / factor for slow ones, a ramp between; a > 1 (arXiv:2309.00071) llama3
 * the same with a ramp in wavelengths; a = 1 longrope   f_i / long_factor_i in a table for more
 * than `original` positions, else f_i / short_factor_i; a > 1 (arXiv:2402.13753)
 *
 * A row is a function of its position alone, but for longrope's choice.  Computed in double and
 * rounded once to float32. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_ROPE_TABLE_H
#define TN_MODEL_ROPE_TABLE_H
#include "model/config.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

typedef struct tn_rope_options { /* zero: of a layer that sees everything, short sequences */
  bool local;                    /* rope_theta_local, unscaled */
  bool extended;                 /* longrope: sequences may pass its original positions */
} tn_rope_options;

/* out: float32 [positions, rotary_dim] in a buffer of its own, which the caller drops. */
TN_NODISCARD tn_status tn_rope_table_new(tn_tensor *out, const tn_model_config *config,
                                         tn_rope_options options, int64_t positions,
                                         tn_stream *stream, tn_error *err);

#endif
