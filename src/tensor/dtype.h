/* dtype.h - the element types of tensors, and their conversions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TENSOR_DTYPE_H
#define TN_TENSOR_DTYPE_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* id, bits, name, safetensors name.  A new type is a new row at the end. */
#define TN_DTYPE_LIST(X)             \
  X(TN_F32, 32, "float32", "F32")    \
  X(TN_F64, 64, "float64", "F64")    \
  X(TN_F16, 16, "float16", "F16")    \
  X(TN_BF16, 16, "bfloat16", "BF16") \
  X(TN_I64, 64, "int64", "I64")      \
  X(TN_I32, 32, "int32", "I32")      \
  X(TN_I16, 16, "int16", "I16")      \
  X(TN_I8, 8, "int8", "I8")          \
  X(TN_U16, 16, "uint16", "U16")     \
  X(TN_U8, 8, "uint8", "U8")         \
  X(TN_BOOL, 8, "bool", "BOOL")

typedef enum tn_dtype {
#define X(id, bits, name, st) id,
  TN_DTYPE_LIST(X)
#undef X
      TN_DTYPE_COUNT
} tn_dtype;

int32_t tn_dtype_bytes(tn_dtype dtype);
const char *tn_dtype_name(tn_dtype dtype);             /* "bfloat16" */
const char *tn_dtype_safetensors_name(tn_dtype dtype); /* "BF16" */
/* Takes either name; false if there is none. */
bool tn_dtype_of_name(tn_str name, tn_dtype *out);
bool tn_dtype_is_real(tn_dtype dtype); /* F32 F64 F16 BF16 */

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

/* One element as double, and back (rounded, integers saturated): for references and tests. */
double tn_element_get(const void *data, tn_dtype dtype, int64_t index);
void tn_element_set(void *data, tn_dtype dtype, int64_t index, double value);

#endif
