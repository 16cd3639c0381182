/* k_quant.h - float32 into the super-blocks of 256 that GGUF files call Q4_K and Q6_K.
 *
 *     Q4_K   8 groups of 32:   x = d scale q - m minimum   q 4 bits, scale and minimum 6 bits
 *     Q6_K   16 groups of 16:  x = d scale (q - 32)        q 6 bits, scale 8 bits
 *
 * d and m are float16 (tensor/quant.h reads them; ggml's k-quants are the format's source).  Each
 * group's scale is searched for: several ranges are rounded to, and for the codes of each the scale
 * (and minimum) that has the least error is solved for; an error counts by the weight's own size.
 *
 * Thread: pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_K_QUANT_H
#define TN_QUANT_K_QUANT_H
#include "tensor/dtype.h"

enum { TN_K_BLOCK = 256 };

void tn_q4_k_put(uint8_t *block, const float *x); /* 144 bytes of TN_K_BLOCK weights */
void tn_q6_k_put(uint8_t *block, const float *x); /* 210 bytes */
#endif
