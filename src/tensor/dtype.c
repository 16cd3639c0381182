/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dtype.h"

#include <math.h>

#include "tensor/quant.h"

static const struct {
  int32_t elements, bytes;
  const char *name, *safetensors_name;
} dtypes[TN_DTYPE_COUNT] = {
#define X(id, elements, bytes, name, st) [id] = {elements, bytes, name, st},
    TN_DTYPE_LIST(X)
#undef X
};

int32_t tn_dtype_bytes(tn_dtype dtype) {
  return dtypes[dtype].bytes;
}

int32_t tn_dtype_block(tn_dtype dtype) {
  return dtypes[dtype].elements;
}

int64_t tn_dtype_bytes_of(tn_dtype dtype, int64_t count) {
  int64_t bytes;
  bool over = __builtin_mul_overflow(count / dtypes[dtype].elements, dtypes[dtype].bytes, &bytes);
  return over ? -1 : bytes;
}

const char *tn_dtype_name(tn_dtype dtype) {
  return dtypes[dtype].name;
}

const char *tn_dtype_safetensors_name(tn_dtype dtype) {
  return dtypes[dtype].safetensors_name;
}

bool tn_dtype_of_name(tn_str name, tn_dtype *out) {
  for (int32_t i = 0; i < TN_DTYPE_COUNT; i++) {
    const char *st = dtypes[i].safetensors_name;
    if (!tn_str_is(name, dtypes[i].name) && !(st && tn_str_is(name, st))) continue;
    *out = (tn_dtype)i;
    return true;
  }
  return false;
}

bool tn_dtype_is_real(tn_dtype dtype) {
  return dtype == TN_F32 || dtype == TN_F64 || dtype == TN_F16 || dtype == TN_BF16;
}

bool tn_dtype_is_weight(tn_dtype dtype) {
  return tn_dtype_is_real(dtype) || dtype == TN_F8_E4M3 || dtype == TN_F8_E5M2 ||
         dtypes[dtype].elements > 1;
}

float tn_f16_to_f32(uint16_t x) {
  uint32_t sign = (uint32_t)(x & 0x8000u) << 16, exponent = (x >> 10) & 0x1fu,
           mantissa = x & 0x3ffu;
  float f;
  if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24 is exact in float */
    f = (float)mantissa * 0x1p-24f;
    return sign ? -f : f;
  }
  uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  memcpy(&f, &bits, 4);
  return f;
}

uint16_t tn_f32_to_f16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to 65536 or more */
  if (magnitude >= 0x38800000u) { /* normal: drop 13 bits, ties to even; a carry moves up right */
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
  }
  /* Subnormal: adding 0.5 leaves the value in units of 2^-24 in the low bits, rounded to even. */
  float shifted;
  memcpy(&shifted, &magnitude, 4);
  shifted += 0.5f;
  memcpy(&magnitude, &shifted, 4);
  return (uint16_t)(sign | (magnitude - 0x3f000000u));
}

/* E4M3 and E5M2 are what a half is with fewer bits: E5M2 its upper byte, E4M3 of another bias. */
float tn_f8_e5m2_to_f32(uint8_t x) {
  return tn_f16_to_f32((uint16_t)(x << 8));
}

float tn_f8_e4m3_to_f32(uint8_t x) {
  int32_t exponent = x >> 3 & 15, mantissa = x & 7;
  float f =
      exponent == 0 ? (float)mantissa * 0x1p-9f : ldexpf((float)(8 + mantissa), exponent - 10);
  if ((x & 0x7f) == 0x7f) f = NAN;
  return x & 0x80 ? -f : f;
}

/* To `bits` of mantissa, the least exponent being `least`; f is finite. */
static float round_mantissa(float f, int32_t bits, int32_t least) {
  int32_t exponent;
  frexpf(f, &exponent); /* |f| = m 2^exponent, m in [0.5, 1) */
  int32_t unit = (exponent - 1 < least ? least : exponent - 1) - bits;
  return ldexpf(nearbyintf(ldexpf(f, -unit)), unit);
}

/* A rounded magnitude as exponent and mantissa fields. */
static uint8_t f8_fields(float magnitude, int32_t bits, int32_t least) {
  if (magnitude == 0) return 0;
  int32_t exponent;
  frexpf(magnitude, &exponent);
  int32_t e = exponent - 1 < least ? least : exponent - 1;
  int32_t scaled = (int32_t)ldexpf(magnitude, bits - e); /* 1.mmm as an integer, or 0.mmm */
  return (uint8_t)(((e - least) << bits) + scaled);
}

uint8_t tn_f32_to_f8_e4m3(float f) {
  uint8_t sign = signbit(f) ? 0x80 : 0;
  if (isnan(f)) return sign | 0x7f;
  float magnitude = fabsf(f);
  magnitude = magnitude >= 448 ? 448 : round_mantissa(magnitude, 3, -6);
  return sign | f8_fields(magnitude, 3, -6);
}

uint8_t tn_f32_to_f8_e5m2(float f) {
  uint8_t sign = signbit(f) ? 0x80 : 0;
  if (isnan(f)) return sign | 0x7f;
  float magnitude = fabsf(f);
  if (magnitude >= 61440) return sign | 0x7c; /* halfway between 57344 and the next */
  return sign | f8_fields(round_mantissa(magnitude, 2, -14), 2, -14);
}

/* Unaligned-safe: views of files may start anywhere. */
#define LOAD(type)                                            \
  do {                                                        \
    type value;                                               \
    memcpy(&value, (const type *)data + index, sizeof value); \
    return (double)value;                                     \
  } while (0)

double tn_element_get(const void *data, tn_dtype dtype, int64_t index) {
  if (tn_dtype_block(dtype) > 1) return tn_quant_element(data, dtype, index);
  const uint8_t *at = (const uint8_t *)data + index * tn_dtype_bytes(dtype);
  uint16_t half;
  memcpy(&half, at, tn_dtype_bytes(dtype) >= 2 ? 2 : 1);
  switch (dtype) {
    case TN_F32:
      LOAD(float);
    case TN_F64:
      LOAD(double);
    case TN_F16:
      return (double)tn_f16_to_f32(half);
    case TN_BF16:
      return (double)tn_bf16_to_f32(half);
    case TN_I64:
      LOAD(int64_t);
    case TN_I32:
      LOAD(int32_t);
    case TN_I16:
      LOAD(int16_t);
    case TN_I8:
      LOAD(int8_t);
    case TN_U16:
      LOAD(uint16_t);
    case TN_U8:
      return (double)*at;
    case TN_BOOL:
      return *at ? 1.0 : 0.0;
    case TN_F8_E4M3:
      return (double)tn_f8_e4m3_to_f32(*at);
    case TN_F8_E5M2:
      return (double)tn_f8_e5m2_to_f32(*at);
    default:
      break;
  }
  return 0.0;
}

/* A double rounded to float and then to 16 bits may round twice; rounding to odd first cannot. */
static float to_float_odd(double value) {
  float f = (float)value;
  if ((double)f == value || isnan(value) || isinf(f)) return f;
  uint32_t bits;
  memcpy(&bits, &f, 4);
  if (bits & 1u) return f;
  /* f is even and inexact: the odd neighbour is on the side of value. */
  bool up = fabs(value) > fabs((double)f);
  bits = up ? bits + 1 : bits - 1;
  memcpy(&f, &bits, 4);
  return f;
}

static double saturate(double value, double min, double max) {
  if (isnan(value)) return 0.0;
  value = nearbyint(value);
  return value < min ? min : value > max ? max : value;
}

#define STORE(type, expr)                                 \
  do {                                                    \
    type stored = (type)(expr);                           \
    memcpy((type *)data + index, &stored, sizeof stored); \
    return;                                               \
  } while (0)

void tn_element_set(void *data, tn_dtype dtype, int64_t index, double value) {
  switch (dtype) {
    case TN_F32:
      STORE(float, value);
    case TN_F64:
      STORE(double, value);
    case TN_F16:
      STORE(uint16_t, tn_f32_to_f16(to_float_odd(value)));
    case TN_BF16:
      STORE(uint16_t, tn_f32_to_bf16(to_float_odd(value)));
    case TN_I64:
      if (value >= 0x1p63) STORE(int64_t, INT64_MAX);
      STORE(int64_t, saturate(value, -0x1p63, 0x1p63));
    case TN_I32:
      STORE(int32_t, saturate(value, INT32_MIN, INT32_MAX));
    case TN_I16:
      STORE(int16_t, saturate(value, INT16_MIN, INT16_MAX));
    case TN_I8:
      STORE(int8_t, saturate(value, INT8_MIN, INT8_MAX));
    case TN_U16:
      STORE(uint16_t, saturate(value, 0, UINT16_MAX));
    case TN_U8:
      STORE(uint8_t, saturate(value, 0, UINT8_MAX));
    case TN_BOOL:
      STORE(uint8_t, value != 0.0);
    case TN_F8_E4M3:
      STORE(uint8_t, tn_f32_to_f8_e4m3(to_float_odd(value)));
    case TN_F8_E5M2:
      STORE(uint8_t, tn_f32_to_f8_e5m2(to_float_odd(value)));
    default:
      break;
  }
}
