/* half.h - IEEE 754 binary16, Arrow's halffloat and Parquet's Float16, to and from float.
 *
 * To float is exact; from float rounds to nearest, ties to even, and keeps a NaN a NaN.  Thread:
 * any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_HALF_H
#define TN_COLUMNS_HALF_H
#include <stdint.h>
#include <string.h>

static inline float tn_half_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16, bits;
  uint32_t exponent = (half >> 10) & 0x1Fu, fraction = half & 0x3FFu;
  float value;
  if (exponent == 0) { /* zero and subnormals: fraction * 2^-24 */
    value = (float)fraction * 0x1p-24f;
    memcpy(&bits, &value, 4);
    bits |= sign;
  } else {
    bits = sign | (exponent == 0x1F ? 0x7F800000u : (exponent + 112) << 23) | fraction << 13;
  }
  memcpy(&value, &bits, 4);
  return value;
}

/* (x + half a unit - 1 + the last bit kept) >> shift: to nearest, ties to even. */
static inline uint32_t tn_half_round(uint32_t x, uint32_t shift) {
  return (x + (1u << (shift - 1)) - 1 + ((x >> shift) & 1)) >> shift;
}

static inline uint16_t tn_half_of_f32(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) /* NaN: stays one, whatever is cut off */
    return (uint16_t)(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
  if (magnitude >= 0x47800000u) return (uint16_t)(sign | 0x7C00u); /* from 2^16 on: infinite */
  if (magnitude >= 0x38800000u) /* normal; a carry into the exponent is right, up to infinity */
    return (uint16_t)(sign | tn_half_round(magnitude - 0x38000000u, 13));
  uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return (uint16_t)sign; /* below half of the smallest subnormal */
  uint32_t fraction = (magnitude & 0x7FFFFFu) | 0x800000u;
  return (uint16_t)(sign | tn_half_round(fraction, 126 - exponent));
}

/* Rounds once: by way of the float that is cut to odd, which no tie of a half can be. */
static inline uint16_t tn_half_of_f64(double value) {
  float near = (float)value;
  if ((double)near != value && value == value) {
    double magnitude = value < 0 ? -value : value;
    uint32_t bits;
    memcpy(&bits, &near, 4);
    if ((double)(near < 0 ? -near : near) > magnitude) bits--;
    bits |= 1;
    memcpy(&near, &bits, 4);
  }
  return tn_half_of_f32(near);
}

#endif
