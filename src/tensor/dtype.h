/* dtype.h - the element types of tensors, and their conversions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TENSOR_DTYPE_H
#define TN_TENSOR_DTYPE_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* id, elements of a block, bytes of a block, name, safetensors name.  A new type is a new row at
 * the end.  Blocks of more than one element are quantized weights (quant.h says how they lie): they
 * run along the last dimension, whose size is a multiple of the block's. */
#define TN_DTYPE_LIST(X)                          \
  X(TN_F32, 1, 4, "float32", "F32")               \
  X(TN_F64, 1, 8, "float64", "F64")               \
  X(TN_F16, 1, 2, "float16", "F16")               \
  X(TN_BF16, 1, 2, "bfloat16", "BF16")            \
  X(TN_I64, 1, 8, "int64", "I64")                 \
  X(TN_I32, 1, 4, "int32", "I32")                 \
  X(TN_I16, 1, 2, "int16", "I16")                 \
  X(TN_I8, 1, 1, "int8", "I8")                    \
  X(TN_U16, 1, 2, "uint16", "U16")                \
  X(TN_U8, 1, 1, "uint8", "U8")                   \
  X(TN_BOOL, 1, 1, "bool", "BOOL")                \
  X(TN_F8_E4M3, 1, 1, "float8_e4m3fn", "F8_E4M3") \
  X(TN_F8_E5M2, 1, 1, "float8_e5m2", "F8_E5M2")   \
  X(TN_Q4_0, 32, 18, "q4_0", NULL)                \
  X(TN_Q4_1, 32, 20, "q4_1", NULL)                \
  X(TN_Q5_0, 32, 22, "q5_0", NULL)                \
  X(TN_Q5_1, 32, 24, "q5_1", NULL)                \
  X(TN_Q8_0, 32, 34, "q8_0", NULL)                \
  X(TN_Q4_K, 256, 144, "q4_k", NULL)              \
  X(TN_Q5_K, 256, 176, "q5_k", NULL)              \
  X(TN_Q6_K, 256, 210, "q6_k", NULL)              \
  X(TN_I4_G32, 32, 24, "int4_g32", NULL)          \
  X(TN_I4_G64, 64, 40, "int4_g64", NULL)          \
  X(TN_I4_G128, 128, 72, "int4_g128", NULL)       \
  X(TN_I8_G32, 32, 40, "int8_g32", NULL)          \
  X(TN_I8_G128, 128, 136, "int8_g128", NULL)      \
  X(TN_F8_G32, 32, 36, "float8_g32", NULL)        \
  X(TN_F8_G128, 128, 132, "float8_g128", NULL)

typedef enum tn_dtype {
#define X(id, elements, bytes, name, st) id,
  TN_DTYPE_LIST(X)
#undef X
      TN_DTYPE_COUNT
} tn_dtype;

int32_t tn_dtype_bytes(tn_dtype dtype);                /* of a block */
int32_t tn_dtype_block(tn_dtype dtype);                /* elements of a block: 1 but for weights */
const char *tn_dtype_name(tn_dtype dtype);             /* "bfloat16" */
const char *tn_dtype_safetensors_name(tn_dtype dtype); /* "BF16"; NULL: it has none */
/* Takes either name; false if there is none. */
bool tn_dtype_of_name(tn_str name, tn_dtype *out);
bool tn_dtype_is_real(tn_dtype dtype);   /* F32 F64 F16 BF16 */
bool tn_dtype_is_weight(tn_dtype dtype); /* the reals, float8 and the quantized blocks */
/* Bytes of `count` elements that fill whole blocks; of more than 63 bits: -1. */
int64_t tn_dtype_bytes_of(tn_dtype dtype, int64_t count);

static inline float tn_bf16_to_f32(uint16_t x) {
  uint32_t bits = (uint32_t)x << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}
/* Round to nearest even; NaN stays a (quiet) NaN. */
static inline uint16_t tn_f32_to_bf16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40);
  return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}
float tn_f16_to_f32(uint16_t x);
uint16_t tn_f32_to_f16(float f); /* round to nearest even, overflow to infinity */

float tn_f8_e4m3_to_f32(uint8_t x); /* OCP FP8: no infinity, 0x7f is NaN */
float tn_f8_e5m2_to_f32(uint8_t x);
uint8_t tn_f32_to_f8_e4m3(float f); /* round to nearest even, saturates at 448; NaN stays NaN */
uint8_t tn_f32_to_f8_e5m2(float f); /* round to nearest even, overflow to infinity */

/* One element as double, and back (rounded, integers saturated): for references and tests.  An
 * element of a quantized block can be read alone, not written. */
double tn_element_get(const void *data, tn_dtype dtype, int64_t index);
void tn_element_set(void *data, tn_dtype dtype, int64_t index, double value);

#endif
