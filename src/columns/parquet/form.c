/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/form.h"

#include "columns/calendar.h"
#include "columns/parquet/bytes.h"

/* Narrows INT32 values; the differences are gathered and looked at once. */
#define NARROW(name, type)                                        \
  static bool name(const uint8_t *in, int64_t count, type *out) { \
    int32_t wrong = 0;                                            \
    for (int64_t i = 0; i < count; i++) {                         \
      int32_t v = (int32_t)tn_load_u32(in + 4 * i);               \
      out[i] = (type)v;                                           \
      wrong |= (int32_t)out[i] ^ v;                               \
    }                                                             \
    return wrong == 0;                                            \
  }
NARROW(narrow_i8, int8_t)
NARROW(narrow_u8, uint8_t)
NARROW(narrow_i16, int16_t)
NARROW(narrow_u16, uint16_t)
#undef NARROW

enum { JULIAN_1970 = 2440588 };

static bool int96_to_ns(const uint8_t *in, int64_t count, int64_t *out) {
  const int64_t day_ns = 86400 * (int64_t)1000000000;
  bool wrong = false;
  for (int64_t i = 0; i < count; i++, in += 12) {
    int64_t day = (int64_t)(int32_t)tn_load_u32(in + 8) - JULIAN_1970, ns;
    wrong |= __builtin_mul_overflow(day, day_ns, &ns);
    wrong |= __builtin_add_overflow(ns, (int64_t)tn_load_u64(in), &out[i]);
  }
  return !wrong;
}

/* Spark's microseconds: it makes INT96 of them in arithmetic that wraps, so they come back the same
 * way, whatever their year. */
static bool int96_to_us(const uint8_t *in, int64_t count, int64_t *out) {
  const uint64_t day_us = 86400 * (uint64_t)1000000;
  bool wrong = false;
  for (int64_t i = 0; i < count; i++, in += 12) {
    int64_t day = (int64_t)(int32_t)tn_load_u32(in + 8) - JULIAN_1970;
    int64_t ns = (int64_t)tn_load_u64(in);
    wrong |= ns % 1000 != 0;
    out[i] = (int64_t)((uint64_t)day * day_us + (uint64_t)(ns / 1000));
  }
  return !wrong;
}

/* Of any writer: rounded down, and the time of day may be any number. */
static bool int96_cut_to_us(const uint8_t *in, int64_t count, int64_t *out) {
  const int64_t day_us = 86400 * (int64_t)1000000;
  bool wrong = false;
  for (int64_t i = 0; i < count; i++, in += 12) {
    int64_t day = (int64_t)(int32_t)tn_load_u32(in + 8) - JULIAN_1970, us;
    wrong |= __builtin_mul_overflow(day, day_us, &us);
    wrong |= __builtin_add_overflow(us, tn_floor_div((int64_t)tn_load_u64(in), 1000), &out[i]);
  }
  return !wrong;
}

static bool widen(const uint8_t *in, int64_t count, int32_t stored, uint8_t *out, int32_t width) {
  bool wrong = false;
  for (int64_t i = 0; i < count; i++, in += stored, out += width) {
    int64_t v = stored == 4 ? (int32_t)tn_load_u32(in) : (int64_t)tn_load_u64(in);
    if (width == 4) {
      wrong |= v != (int32_t)v;
      tn_store_u32(out, (uint32_t)v);
      continue;
    }
    tn_store_u64(out, (uint64_t)v);
    for (int32_t at = 8; at < width; at += 8) tn_store_u64(out + at, v < 0 ? UINT64_MAX : 0);
  }
  return !wrong;
}

bool tn_parquet_big_to_little(const uint8_t *in, size_t bytes, uint8_t *out, size_t width) {
  uint8_t sign = bytes > 0 && in[0] & 0x80 ? 0xff : 0;
  size_t n = bytes < width ? bytes : width;
  for (size_t i = 0; i < n; i++) out[i] = in[bytes - 1 - i];
  for (size_t i = n; i < width; i++) out[i] = sign;
  for (size_t i = width; i < bytes; i++) { /* what is too much must be the sign again */
    if (in[bytes - 1 - i] != sign) return false;
  }
  return bytes <= width || (out[width - 1] & 0x80) == (sign & 0x80);
}

static bool big_to_little(const tn_parquet_leaf *leaf, const uint8_t *in, int64_t count,
                          uint8_t *out) {
  size_t stored = (size_t)leaf->stored, width = (size_t)leaf->width;
  bool good = true;
  for (int64_t i = 0; i < count; i++, in += stored, out += width) {
    good &= tn_parquet_big_to_little(in, stored, out, width);
  }
  return good;
}

tn_status tn_parquet_form_convert(const tn_parquet_leaf *leaf, const uint8_t *in, int64_t count,
                                  void *out, tn_error *err) {
  bool fits = true;
  if (count == 0) return TN_OK;
  switch (leaf->form) {
    case TN_PARQUET_FORM_COPY:
      memcpy(out, in, (size_t)count * (size_t)leaf->width);
      break;
    case TN_PARQUET_FORM_I8:
      fits = narrow_i8(in, count, out);
      break;
    case TN_PARQUET_FORM_U8:
      fits = narrow_u8(in, count, out);
      break;
    case TN_PARQUET_FORM_I16:
      fits = narrow_i16(in, count, out);
      break;
    case TN_PARQUET_FORM_U16:
      fits = narrow_u16(in, count, out);
      break;
    case TN_PARQUET_FORM_INT96_NS:
      fits = int96_to_ns(in, count, out);
      break;
    case TN_PARQUET_FORM_INT96_US:
      fits = int96_to_us(in, count, out);
      break;
    case TN_PARQUET_FORM_INT96_CUT:
      fits = int96_cut_to_us(in, count, out);
      break;
    case TN_PARQUET_FORM_WIDEN:
      fits = widen(in, count, leaf->stored, out, leaf->width);
      break;
    default:
      fits = big_to_little(leaf, in, count, out);
  }
  if (fits) return TN_OK;
  if (leaf->form == TN_PARQUET_FORM_INT96_NS)
    return tn_fail(err, TN_ERR_DATA,
                   "among %lld values one is beyond the range of %s; option int96 us reads "
                   "microseconds",
                   (long long)count, leaf->text);
  return tn_fail(err, TN_ERR_DATA, "among %lld values one is beyond the range of %s",
                 (long long)count, leaf->text);
}
