/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/plain.h"

#include "columns/parquet/bits.h"

int32_t tn_parquet_form_stored(tn_parquet_form form) {
  switch (form) {
    case TN_PARQUET_FORM_32:
    case TN_PARQUET_FORM_I8:
    case TN_PARQUET_FORM_U8:
    case TN_PARQUET_FORM_I16:
    case TN_PARQUET_FORM_U16:
      return 4;
    case TN_PARQUET_FORM_64:
    case TN_PARQUET_FORM_MS_TO_US:
      return 8;
    case TN_PARQUET_FORM_INT96:
      return 12;
    default:
      return 0;
  }
}

int32_t tn_parquet_form_arrow(tn_parquet_form form) {
  switch (form) {
    case TN_PARQUET_FORM_I8:
    case TN_PARQUET_FORM_U8:
      return 1;
    case TN_PARQUET_FORM_I16:
    case TN_PARQUET_FORM_U16:
      return 2;
    case TN_PARQUET_FORM_32:
      return 4;
    case TN_PARQUET_FORM_64:
    case TN_PARQUET_FORM_MS_TO_US:
    case TN_PARQUET_FORM_INT96:
      return 8;
    default:
      return 0;
  }
}

/* ---- decoding fixed width -------------------------------------------------------------------- */

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

static bool ms_to_us(const uint8_t *in, int64_t count, int64_t *out) {
  bool wrong = false;
  for (int64_t i = 0; i < count; i++) {
    wrong |= __builtin_mul_overflow((int64_t)tn_load_u64(in + 8 * i), (int64_t)1000, &out[i]);
  }
  return !wrong;
}

static bool int96_to_ns(const uint8_t *in, int64_t count, int64_t *out) {
  const int64_t julian_1970 = 2440588, day_ns = 86400 * (int64_t)1000000000;
  bool wrong = false;
  for (int64_t i = 0; i < count; i++, in += 12) {
    int64_t day = (int64_t)(int32_t)tn_load_u32(in + 8) - julian_1970, ns;
    wrong |= __builtin_mul_overflow(day, day_ns, &ns);
    wrong |= __builtin_add_overflow(ns, (int64_t)tn_load_u64(in), &out[i]);
  }
  return !wrong;
}

tn_status tn_parquet_plain_fixed(tn_parquet_form form, const uint8_t *in, int64_t count, void *out,
                                 tn_error *err) {
  bool fits = true;
  if (count == 0) return TN_OK;
  switch (form) {
    case TN_PARQUET_FORM_32:
      memcpy(out, in, (size_t)count * 4);
      break;
    case TN_PARQUET_FORM_64:
      memcpy(out, in, (size_t)count * 8);
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
    case TN_PARQUET_FORM_MS_TO_US:
      fits = ms_to_us(in, count, out);
      break;
    default:
      fits = int96_to_ns(in, count, out);
  }
  if (fits) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "among %lld values one is beyond the range of its %d-bit type",
                 (long long)count, 8 * tn_parquet_form_arrow(form));
}

/* ---- decoding byte arrays -------------------------------------------------------------------- */

static tn_status bytes_end_early(int64_t done, int64_t count, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the page ends after %lld of %lld byte arrays", (long long)done,
                 (long long)count);
}

tn_status tn_parquet_plain_bytes(const uint8_t **in, const uint8_t *end, int32_t fixed,
                                 int64_t count, int32_t *offsets, tn_parquet_bytes *data,
                                 tn_error *err) {
  const uint8_t *p = *in;
  /* What the page has left bounds what its values can take, so the loop needs no other check. */
  TN_TRY(tn_parquet_bytes_reserve(data, (size_t)(end - p), err));
  uint8_t *to = data->data;
  size_t length = data->length;
  for (int64_t i = 0; i < count; i++) {
    size_t room = (size_t)(end - p), bytes = (size_t)fixed;
    if (fixed < 0) {
      if (room < 4) return bytes_end_early(i, count, err);
      bytes = tn_load_u32(p);
      p += 4, room -= 4;
    }
    if (bytes > room) return bytes_end_early(i, count, err);
    tn_copy_short(to + length, p, bytes, room);
    p += bytes;
    length += bytes;
    if (length > INT32_MAX) {
      return tn_fail(err, TN_ERR_LIMIT,
                     "a batch wants more than 2 GiB of one column's bytes; ask for fewer rows");
    }
    offsets[i] = (int32_t)length;
  }
  data->length = length;
  *in = p;
  return TN_OK;
}

/* ---- encoding -------------------------------------------------------------------------------- */

#define GATHER(name, from_type, to_type)                                                    \
  static int64_t name(const from_type *in, int64_t rows, const uint8_t *valid, int64_t bit, \
                      to_type *out) {                                                       \
    int64_t n = 0;                                                                          \
    if (!valid) {                                                                           \
      for (int64_t i = 0; i < rows; i++) out[i] = (to_type)in[i];                           \
      return rows;                                                                          \
    }                                                                                       \
    for (int64_t i = 0; i < rows; i++) {                                                    \
      out[n] = (to_type)in[i];                                                              \
      n += tn_bit_get(valid, bit + i);                                                      \
    }                                                                                       \
    return n;                                                                               \
  }
GATHER(gather_i8, int8_t, int32_t)
GATHER(gather_u8, uint8_t, int32_t)
GATHER(gather_i16, int16_t, int32_t)
GATHER(gather_u16, uint16_t, int32_t)
GATHER(gather_32, uint32_t, uint32_t)
GATHER(gather_64, uint64_t, uint64_t)
#undef GATHER

int64_t tn_parquet_plain_gather(tn_column_type type, const void *values, int64_t from, int64_t rows,
                                const uint8_t *valid, int64_t valid_from, void *out) {
  if (rows == 0) return 0; /* an empty array may have no buffers at all */
  switch (type) {
    case TN_COLUMN_INT8:
      return gather_i8((const int8_t *)values + from, rows, valid, valid_from, out);
    case TN_COLUMN_UINT8:
      return gather_u8((const uint8_t *)values + from, rows, valid, valid_from, out);
    case TN_COLUMN_INT16:
      return gather_i16((const int16_t *)values + from, rows, valid, valid_from, out);
    case TN_COLUMN_UINT16:
      return gather_u16((const uint16_t *)values + from, rows, valid, valid_from, out);
    default:
      break;
  }
  if (tn_parquet_stored_bytes(type) == 4) {
    return gather_32((const uint32_t *)values + from, rows, valid, valid_from, out);
  }
  return gather_64((const uint64_t *)values + from, rows, valid, valid_from, out);
}
