/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/stored.h"

#include "columns/parquet/bits.h"

/* Every loop below is written twice by this macro: over a run of places, and over a list of them.
 * `at` is the place, `i` the number of the value. */
#define EACH_VALUE(...)                     \
  do {                                      \
    if (places) {                           \
      for (int64_t i = 0; i < count; i++) { \
        const int64_t at = places[i];       \
        __VA_ARGS__                         \
      }                                     \
    } else {                                \
      for (int64_t i = 0; i < count; i++) { \
        const int64_t at = from + i;        \
        __VA_ARGS__                         \
      }                                     \
    }                                       \
  } while (0)

/* ---- fixed width ----------------------------------------------------------------------------- */

#define WIDEN(name, type)                                                                  \
  static void name(const void *values, const int64_t *places, int64_t from, int64_t count, \
                   int32_t *out) {                                                         \
    const type *in = values;                                                               \
    EACH_VALUE(out[i] = (int32_t)in[at];);                                                 \
  }
WIDEN(widen_i8, int8_t)
WIDEN(widen_u8, uint8_t)
WIDEN(widen_i16, int16_t)
WIDEN(widen_u16, uint16_t)
#undef WIDEN

static void pick_raw(const uint8_t *in, int32_t width, const int64_t *places, int64_t count,
                     uint8_t *out) {
  if (width == 8) {
    for (int64_t i = 0; i < count; i++) memcpy(out + i * 8, in + places[i] * 8, 8);
  } else if (width == 4) {
    for (int64_t i = 0; i < count; i++) memcpy(out + i * 4, in + places[i] * 4, 4);
  } else {
    size_t n = (size_t)width;
    for (int64_t i = 0; i < count; i++) memcpy(out + i * width, in + places[i] * width, n);
  }
}

static tn_status cannot_hold(int64_t value, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "%s %lld has no place in Parquet", what, (long long)value);
}

static tn_status put_days(const int64_t *in, const int64_t *places, int64_t from, int64_t count,
                          int32_t *out, tn_error *err) {
  const int64_t day = 86400000;
  EACH_VALUE({
    int64_t days = in[at] / day;
    if (in[at] % day != 0 || days != (int32_t)days) {
      return cannot_hold(in[at], "date64 (whole days, in milliseconds)", err);
    }
    out[i] = (int32_t)days;
  });
  return TN_OK;
}

static tn_status put_seconds32(const int32_t *in, const int64_t *places, int64_t from,
                               int64_t count, int32_t *out, tn_error *err) {
  EACH_VALUE(if (__builtin_mul_overflow(in[at], 1000, &out[i])) return cannot_hold(
                 in[at], "time of seconds", err););
  return TN_OK;
}

static tn_status put_seconds64(const int64_t *in, const int64_t *places, int64_t from,
                               int64_t count, int64_t *out, tn_error *err) {
  EACH_VALUE(if (__builtin_mul_overflow(in[at], (int64_t)1000, &out[i])) return cannot_hold(
                 in[at], "timestamp of seconds", err););
  return TN_OK;
}

/* INT96: eight bytes of nanoseconds since midnight, four of the Julian day, little-endian. */
static tn_status put_int96(tn_time_unit unit, const int64_t *in, const int64_t *places,
                           int64_t from, int64_t count, uint8_t *out, tn_error *err) {
  static const int64_t units[] = {
      [TN_SECONDS] = 1, [TN_MILLIS] = 1000, [TN_MICROS] = 1000000, [TN_NANOS] = 1000000000};
  const int64_t second = units[unit], day = 86400 * second, epoch = 2440588; /* 1970-01-01 */
  EACH_VALUE({
    int64_t days = in[at] / day, rest = in[at] % day;
    if (rest < 0) days--, rest += day;
    if (days + epoch < 0 || days + epoch > INT32_MAX) {
      return cannot_hold(in[at], "as INT96 (days from 4713 BC on) a timestamp of", err);
    }
    tn_store_u64(out + i * 12, (uint64_t)(rest * (1000000000 / second)));
    tn_store_u32(out + i * 12 + 8, (uint32_t)(days + epoch));
  });
  return TN_OK;
}

/* ---- decimals: little-endian words of 4 to 32 bytes ------------------------------------------ */

/* Whether the bytes from `keep` on only repeat the sign of those before. */
static bool fits(const uint8_t *value, int32_t bytes, int32_t keep) {
  uint8_t sign = value[keep - 1] & 0x80 ? 0xff : 0;
  for (int32_t i = keep; i < bytes; i++) {
    if (value[i] != sign) return false;
  }
  return true;
}

static tn_status put_decimal(const tn_parquet_store *s, const uint8_t *in, const int64_t *places,
                             int64_t from, int64_t count, uint8_t *out, tn_error *err) {
  const int32_t width = s->width, arrow = s->arrow, keep = width < arrow ? width : arrow;
  const bool big_endian = s->put == TN_PARQUET_PUT_DECIMAL_BYTES;
  EACH_VALUE({
    const uint8_t *value = in + at * arrow;
    uint8_t *to = out + i * width;
    uint8_t sign = value[arrow - 1] & 0x80 ? 0xff : 0;
    if (!fits(value, arrow, keep)) {
      return tn_fail(err, TN_ERR_DATA, "a decimal has more digits than its type");
    }
    if (big_endian) {
      for (int32_t b = 0; b < width; b++) to[width - 1 - b] = b < keep ? value[b] : sign;
    } else {
      for (int32_t b = 0; b < width; b++) to[b] = b < keep ? value[b] : sign;
    }
  });
  return TN_OK;
}

/* ---- intervals: INTERVAL is three uint32: months, days, milliseconds --------------------------
 */

static void put_interval(uint8_t *to, int32_t months, int32_t days, int32_t millis) {
  tn_store_u32(to, (uint32_t)months);
  tn_store_u32(to + 4, (uint32_t)days);
  tn_store_u32(to + 8, (uint32_t)millis);
}

static tn_status put_intervals(tn_parquet_put put, const uint8_t *in, const int64_t *places,
                               int64_t from, int64_t count, uint8_t *out, tn_error *err) {
  EACH_VALUE({
    uint8_t *to = out + i * 12;
    if (put == TN_PARQUET_PUT_MONTHS) {
      put_interval(to, (int32_t)tn_load_u32(in + at * 4), 0, 0);
    } else if (put == TN_PARQUET_PUT_DAY_TIME) {
      put_interval(to, 0, (int32_t)tn_load_u32(in + at * 8), (int32_t)tn_load_u32(in + at * 8 + 4));
    } else {
      int64_t nanos = (int64_t)tn_load_u64(in + at * 16 + 8), millis = nanos / 1000000;
      if (nanos % 1000000 != 0 || millis != (int32_t)millis) {
        return cannot_hold(nanos, "an interval (milliseconds, 32 bits) of nanoseconds", err);
      }
      put_interval(to, (int32_t)tn_load_u32(in + at * 16), (int32_t)tn_load_u32(in + at * 16 + 4),
                   (int32_t)millis);
    }
  });
  return TN_OK;
}

/* ---- booleans, text and binary --------------------------------------------------------------- */

static void put_bits(const uint8_t *in, const int64_t *places, int64_t from, int64_t count,
                     uint8_t *out) {
  if (!places) {
    tn_bits_copy(out, 0, in, from, count);
    return;
  }
  memset(out, 0, tn_bits_bytes(count));
  for (int64_t i = 0; i < count; i++) {
    out[i >> 3] |= (uint8_t)((unsigned)tn_bit_get(in, places[i]) << (i & 7));
  }
}

static tn_status backwards(int64_t at, tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT, "row %lld: offsets of the array run backwards",
                 (long long)at);
}

#define PUT_BYTES(name, type)                                                                    \
  static tn_status name(const ArrowArray *a, const int64_t *places, int64_t from, int64_t count, \
                        tn_str *out, int64_t *total, tn_error *err) {                            \
    const type *offsets = a->buffers[1];                                                         \
    const char *data = a->buffers[2];                                                            \
    int64_t sum = 0;                                                                             \
    EACH_VALUE({                                                                                 \
      const int64_t start = offsets[at];                                                         \
      const int64_t length = (int64_t)offsets[at + 1] - start;                                   \
      if (length < 0 || start < 0) return backwards(at, err);                                    \
      out[i] = (tn_str){length ? data + start : "", (size_t)length};                             \
      sum += length;                                                                             \
    });                                                                                          \
    *total = sum;                                                                                \
    return TN_OK;                                                                                \
  }
PUT_BYTES(put_bytes, int32_t)
PUT_BYTES(put_large_bytes, int64_t)
#undef PUT_BYTES

/* A view: int32 length, then 12 bytes inline, or a prefix of 4, int32 buffer, int32 offset. */
static tn_status put_views(const ArrowArray *a, const int64_t *places, int64_t from, int64_t count,
                           tn_str *out, int64_t *total, tn_error *err) {
  const uint8_t *views = a->buffers[1];
  int64_t data_buffers = a->n_buffers - 3, sum = 0;
  EACH_VALUE({
    const uint8_t *view = views + at * 16;
    int32_t length = (int32_t)tn_load_u32(view), buffer = (int32_t)tn_load_u32(view + 8);
    int32_t offset = (int32_t)tn_load_u32(view + 12);
    if (length < 0 || (length > 12 && (buffer < 0 || buffer >= data_buffers || offset < 0))) {
      return tn_fail(err, TN_ERR_ARGUMENT, "row %lld: a view points outside its buffers",
                     (long long)at);
    }
    const char *data =
        length > 12 ? (const char *)a->buffers[2 + buffer] + offset : (const char *)view + 4;
    out[i] = (tn_str){data, (size_t)length};
    sum += length;
  });
  *total = sum;
  return TN_OK;
}

/* ---- the one door ---------------------------------------------------------------------------- */

static tn_status gather_bytes(const tn_parquet_store *s, const ArrowArray *a, const int64_t *places,
                              int64_t from, int64_t count, tn_str *strings, tn_parquet_slice *out,
                              tn_error *err) {
  int64_t total = 0;
  if (s->put == TN_PARQUET_PUT_BYTES) {
    TN_TRY(put_bytes(a, places, from, count, strings, &total, err));
  } else if (s->put == TN_PARQUET_PUT_LARGE_BYTES) {
    TN_TRY(put_large_bytes(a, places, from, count, strings, &total, err));
  } else {
    TN_TRY(put_views(a, places, from, count, strings, &total, err));
  }
  out->bytes = strings;
  out->plain_bytes = total + 4 * count;
  return TN_OK;
}

static tn_status convert(const tn_parquet_store *s, const void *in, const int64_t *places,
                         int64_t from, int64_t count, void *out, tn_error *err) {
  switch (s->put) {
    case TN_PARQUET_PUT_I8:
      widen_i8(in, places, from, count, out);
      return TN_OK;
    case TN_PARQUET_PUT_U8:
      widen_u8(in, places, from, count, out);
      return TN_OK;
    case TN_PARQUET_PUT_I16:
      widen_i16(in, places, from, count, out);
      return TN_OK;
    case TN_PARQUET_PUT_U16:
      widen_u16(in, places, from, count, out);
      return TN_OK;
    case TN_PARQUET_PUT_DATE64:
      return put_days(in, places, from, count, out, err);
    case TN_PARQUET_PUT_SECONDS32:
      return put_seconds32(in, places, from, count, out, err);
    case TN_PARQUET_PUT_SECONDS64:
      return put_seconds64(in, places, from, count, out, err);
    case TN_PARQUET_PUT_INT96:
      return put_int96(s->unit, in, places, from, count, out, err);
    case TN_PARQUET_PUT_DECIMAL_INT:
    case TN_PARQUET_PUT_DECIMAL_BYTES:
      return put_decimal(s, in, places, from, count, out, err);
    case TN_PARQUET_PUT_MONTHS:
    case TN_PARQUET_PUT_DAY_TIME:
    case TN_PARQUET_PUT_MONTH_DAY_NANO:
      return put_intervals(s->put, in, places, from, count, out, err);
    default: /* RAW, from a list of places */
      pick_raw(in, s->width, places, count, out);
      return TN_OK;
  }
}

tn_status tn_parquet_gather(const tn_parquet_store *s, const ArrowArray *a, const int64_t *places,
                            int64_t from, int64_t count, tn_parquet_bytes *room,
                            tn_parquet_slice *out, tn_error *err) {
  size_t each = s->width > (int32_t)sizeof(tn_str) ? (size_t)s->width : sizeof(tn_str), bytes;
  *out = (tn_parquet_slice){.count = count};
  room->length = 0;
  if (!tn_mul_size(each, (size_t)count + 1, &bytes)) {
    return tn_fail_memory(err, "values of a column", SIZE_MAX);
  }
  TN_TRY(tn_parquet_bytes_reserve(room, bytes, err));
  if (count == 0 || s->put == TN_PARQUET_PUT_NONE) { /* an empty array may have no buffers */
    out->fixed = s->width ? room->data : NULL;
    if (s->put == TN_PARQUET_PUT_BITS) out->bits = room->data;
    if (!out->fixed && !out->bits) out->bytes = (const tn_str *)(const void *)room->data;
    return TN_OK;
  }
  if (s->put >= TN_PARQUET_PUT_BYTES) {
    return gather_bytes(s, a, places, from, count, (tn_str *)(void *)room->data, out, err);
  }
  if (s->put == TN_PARQUET_PUT_BITS) {
    put_bits(a->buffers[1], places, from, count, room->data);
    out->bits = room->data;
    out->plain_bytes = (int64_t)tn_bits_bytes(count);
    return TN_OK;
  }
  out->plain_bytes = count * s->width;
  out->fixed = room->data;
  if (s->put == TN_PARQUET_PUT_RAW && !places) {
    out->fixed = (const uint8_t *)a->buffers[1] + from * s->width;
    return TN_OK;
  }
  return convert(s, a->buffers[1], places, from, count, room->data, err);
}
