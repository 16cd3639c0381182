/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/quant.h"

static float half_at(const uint8_t *at) {
  return tn_f16_to_f32((uint16_t)(at[0] | at[1] << 8));
}

static float float_at(const uint8_t *at) {
  float f;
  memcpy(&f, at, sizeof f);
  return f;
}

static uint32_t word_at(const uint8_t *at) {
  uint32_t w;
  memcpy(&w, at, sizeof w);
  return w;
}

/* Of 32 elements in 16 bytes: the low nibbles come first. */
static int32_t nibble(const uint8_t *q, int32_t i) {
  return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
}

/* Of 64 elements in 32 bytes, 256 in 128. */
static int32_t k_nibble(const uint8_t *q, int32_t i) {
  uint8_t byte = q[i / 64 * 32 + i % 32];
  return i / 32 % 2 ? byte >> 4 : byte & 15;
}

static double q4_k(const uint8_t *b, int32_t i) {
  int32_t scale, minimum;
  tn_quant_k_scale(b + 4, i / 32, &scale, &minimum);
  return (double)half_at(b) * scale * k_nibble(b + 16, i) - (double)half_at(b + 2) * minimum;
}

static double q5_k(const uint8_t *b, int32_t i) {
  int32_t scale, minimum, high = b[16 + i % 32] >> i / 32 & 1;
  tn_quant_k_scale(b + 4, i / 32, &scale, &minimum);
  return (double)half_at(b) * scale * (k_nibble(b + 48, i) | high << 4) -
         (double)half_at(b + 2) * minimum;
}

/* 128 elements have 64 bytes of low halves, 32 bytes of high pairs and 8 scales. */
static double q6_k(const uint8_t *b, int32_t i) {
  int32_t part = i / 128, quarter = i % 128 / 32, l = i % 32;
  uint8_t low = b[part * 64 + quarter % 2 * 32 + l], high = b[128 + part * 32 + l];
  int32_t q = (quarter < 2 ? low & 15 : low >> 4) | (high >> 2 * quarter & 3) << 4;
  return (double)half_at(b + 208) * (int8_t)b[192 + i / 16] * (q - 32);
}

static double element(const uint8_t *b, tn_dtype dtype, int32_t i) {
  switch (dtype) {
    case TN_Q4_0:
      return (double)half_at(b) * (nibble(b + 2, i) - 8);
    case TN_Q4_1:
      return (double)half_at(b) * nibble(b + 4, i) + (double)half_at(b + 2);
    case TN_Q5_0:
      return (double)half_at(b) *
             ((nibble(b + 6, i) | (int32_t)(word_at(b + 2) >> i & 1) << 4) - 16);
    case TN_Q5_1:
      return (double)half_at(b) * (nibble(b + 8, i) | (int32_t)(word_at(b + 4) >> i & 1) << 4) +
             (double)half_at(b + 2);
    case TN_Q8_0:
      return (double)half_at(b) * (int8_t)b[2 + i];
    case TN_Q4_K:
      return q4_k(b, i);
    case TN_Q5_K:
      return q5_k(b, i);
    case TN_Q6_K:
      return q6_k(b, i);
    case TN_I4_G32:
    case TN_I4_G64:
    case TN_I4_G128:
      return (double)float_at(b) *
             ((double)nibble(b + 8 + i / 32 * 16, i % 32) - (double)float_at(b + 4));
    case TN_I8_G32:
    case TN_I8_G128:
      return (double)float_at(b) * ((double)(int8_t)b[8 + i] - (double)float_at(b + 4));
    case TN_F8_G32:
    case TN_F8_G128:
      return (double)float_at(b) * (double)tn_f8_e4m3_to_f32(b[4 + i]);
    default:
      return 0;
  }
}

double tn_quant_element(const void *blocks, tn_dtype dtype, int64_t index) {
  int64_t elements = tn_dtype_block(dtype);
  const uint8_t *block = (const uint8_t *)blocks + index / elements * tn_dtype_bytes(dtype);
  return element(block, dtype, (int32_t)(index % elements));
}

void tn_quant_to_f32(float *out, const void *blocks, tn_dtype dtype, int64_t count) {
  int32_t elements = tn_dtype_block(dtype), bytes = tn_dtype_bytes(dtype);
  const uint8_t *block = blocks;
  for (int64_t i = 0; i < count; i += elements, block += bytes)
    for (int32_t j = 0; j < elements; j++) out[i + j] = (float)element(block, dtype, j);
}
