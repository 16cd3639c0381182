/* quant.h - how the blocks of quantized weights lie in memory, and their values.
 *
 * q4_0 to q6_k are the blocks of GGUF files, byte for byte.  The others are ours, for what AWQ,
 * GPTQ and compressed-tensors files hold; their zero points need not be whole:
 *
 *     int4_gN   { float scale, zero; uint8 q[N / 2] }    scale (q - zero)
 *               of every 32 elements, byte j holds element j below and element j + 16 above
 *     int8_gN   { float scale, zero; int8 q[N] }         scale (q - zero)
 *     float8_gN { float scale; uint8 e4m3[N] }           scale e4m3
 *
 * All little-endian, blocks packed without gaps, so no field need be aligned.  Source of the first
 * group: ggml's block structures as GGUF version 3 stores them.
 *
 * Thread: pure functions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TENSOR_QUANT_H
#define TN_TENSOR_QUANT_H
#include "tensor/dtype.h"

/* One element, in double: the truth that fast kernels are tested against. */
double tn_quant_element(const void *blocks, tn_dtype dtype, int64_t index);
/* `count` elements, whole blocks, as floats: each is tn_quant_element rounded once or, for types of
 * two factors, a product of two floats away from it. */
void tn_quant_to_f32(float *out, const void *blocks, tn_dtype dtype, int64_t count);
/* Scale and minimum (6 bits each) of sub-block j of 8, of the 12 bytes in q4_k and q5_k. */
static inline void tn_quant_k_scale(const uint8_t *packed, int32_t j, int32_t *scale,
                                    int32_t *minimum) {
  if (j < 4) {
    *scale = packed[j] & 63;
    *minimum = packed[j + 4] & 63;
  } else {
    *scale = (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
    *minimum = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
  }
}

#endif
