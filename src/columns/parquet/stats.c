/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/stats.h"

#include <math.h>

#include "columns/parquet/bits.h"

enum stats_kind { KIND_NONE, KIND_SIGNED, KIND_UNSIGNED, KIND_FLOAT, KIND_BYTES };

static enum stats_kind kind_of(const tn_parquet_stats *s) {
  switch (s->order) {
    case TN_PARQUET_BY_INT32:
    case TN_PARQUET_BY_INT64:
      return KIND_SIGNED;
    case TN_PARQUET_BY_BOOL:
    case TN_PARQUET_BY_UINT32:
    case TN_PARQUET_BY_UINT64:
      return KIND_UNSIGNED;
    case TN_PARQUET_BY_HALF:
    case TN_PARQUET_BY_FLOAT:
    case TN_PARQUET_BY_DOUBLE:
      return KIND_FLOAT;
    case TN_PARQUET_BY_BYTES:
    case TN_PARQUET_BY_TEXT:
    case TN_PARQUET_BY_DECIMAL:
      return s->width <= TN_PARQUET_STATS_BYTES ? KIND_BYTES : KIND_NONE;
    default:
      return KIND_NONE;
  }
}

void tn_parquet_stats_start(tn_parquet_stats *s, const tn_parquet_store *store) {
  s->order = store->order;
  s->width = store->width;
  s->seen = s->nan = false;
  switch (kind_of(s)) {
    case KIND_SIGNED:
      s->i.min = INT64_MAX, s->i.max = INT64_MIN;
      break;
    case KIND_UNSIGNED:
      s->u.min = UINT64_MAX, s->u.max = 0;
      break;
    case KIND_FLOAT:
      s->f.min = INFINITY, s->f.max = -INFINITY;
      break;
    default:
      s->s.min.length = s->s.max.length = 0;
  }
}

/* ---- numbers --------------------------------------------------------------------------------- */

#define INTEGERS(name, type, wide, field)                                      \
  static void name(tn_parquet_stats *s, const uint8_t *bytes, int64_t count) { \
    type min, max;                                                             \
    memcpy(&min, bytes, sizeof min);                                           \
    max = min;                                                                 \
    for (int64_t i = 1; i < count; i++) {                                      \
      type value;                                                              \
      memcpy(&value, bytes + (size_t)i * sizeof value, sizeof value);          \
      min = value < min ? value : min;                                         \
      max = value > max ? value : max;                                         \
    }                                                                          \
    if ((wide)min < s->field.min) s->field.min = min;                          \
    if ((wide)max > s->field.max) s->field.max = max;                          \
    s->seen = true;                                                            \
  }
INTEGERS(see_i32, int32_t, int64_t, i)
INTEGERS(see_u32, uint32_t, uint64_t, u)
INTEGERS(see_i64, int64_t, int64_t, i)
INTEGERS(see_u64, uint64_t, uint64_t, u)
#undef INTEGERS

/* Comparisons with NaN are false, so it changes nothing. */
#define FLOATS(name, type)                                                     \
  static void name(tn_parquet_stats *s, const uint8_t *bytes, int64_t count) { \
    type min = (type)s->f.min, max = (type)s->f.max;                           \
    int64_t numbers = 0;                                                       \
    for (int64_t i = 0; i < count; i++) {                                      \
      type value;                                                              \
      memcpy(&value, bytes + (size_t)i * sizeof value, sizeof value);          \
      min = value < min ? value : min;                                         \
      max = value > max ? value : max;                                         \
      numbers += value == value;                                               \
    }                                                                          \
    s->f.min = min, s->f.max = max;                                            \
    s->seen |= numbers > 0;                                                    \
    s->nan |= numbers < count;                                                 \
  }
FLOATS(see_f32, float)
FLOATS(see_f64, double)
#undef FLOATS

static double half_value(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  double value = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
                 : exponent == 0 ? ldexp(fraction, -24)
                                 : ldexp(fraction + 1024, exponent - 25);
  return h & 0x8000 ? -value : value;
}

static void see_f16(tn_parquet_stats *s, const uint8_t *bytes, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double value = half_value((uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8));
    see_f64(s, (const uint8_t *)&value, 1);
  }
}

static uint16_t half_bits(double value) { /* of one that came from a half: nothing is lost */
  int exponent;
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  value = fabs(value);
  if (value == 0) return sign;
  if (isinf(value)) return sign | 0x7c00;
  double fraction = frexp(value, &exponent); /* 0.5 to 1, value = fraction * 2^exponent */
  if (exponent < -13) return (uint16_t)(sign | (uint16_t)ldexp(value, 24));
  return (uint16_t)(sign | (exponent + 14) << 10 | ((int)ldexp(fraction, 11) & 1023));
}

static void see_bits(tn_parquet_stats *s, const uint8_t *bits, int64_t count) {
  int64_t trues = tn_bits_count(bits, 0, count);
  if (trues < count) s->u.min = 0;
  if (trues > 0 && s->u.min > 1) s->u.min = 1;
  if (trues > 0) s->u.max = 1;
  s->seen |= count > 0;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static uint64_t prefix_of(const tn_parquet_stats *s, const char *data, size_t length) {
  uint64_t word = 0;
  if (length >= 8) {
    word = tn_load_u64(data);
  } else if (length > 0) {
    memcpy(&word, data, length);
  }
  word = __builtin_bswap64(word);
  return s->order == TN_PARQUET_BY_DECIMAL ? word ^ (uint64_t)1 << 63 : word;
}

/* A bound keeps only a beginning, and beginnings compare like the whole values as far as they go.
 */
static int compare(tn_str a, uint64_t a_prefix, const tn_parquet_bound *b) {
  if (a_prefix != b->prefix) return a_prefix < b->prefix ? -1 : 1;
  size_t length = a.length < sizeof b->bytes ? a.length : sizeof b->bytes;
  size_t common = length < b->length ? length : b->length;
  int order = common ? memcmp(a.data, b->bytes, common) : 0;
  if (order) return order;
  return (length > b->length) - (length < b->length);
}

static void set_bound(tn_parquet_bound *bound, tn_str value, uint64_t prefix) {
  size_t length = value.length < sizeof bound->bytes ? value.length : sizeof bound->bytes;
  if (length) memcpy(bound->bytes, value.data, length);
  bound->length = (uint32_t)length;
  bound->prefix = prefix;
}

static void see_one(tn_parquet_stats *s, tn_str value, uint64_t prefix) {
  if (!s->seen || compare(value, prefix, &s->s.min) < 0) set_bound(&s->s.min, value, prefix);
  if (!s->seen || compare(value, prefix, &s->s.max) > 0) set_bound(&s->s.max, value, prefix);
  s->seen = true;
}

static void see_strings(tn_parquet_stats *s, const tn_str *values, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint64_t prefix = prefix_of(s, values[i].data, values[i].length);
    if (s->seen && prefix > s->s.min.prefix && prefix < s->s.max.prefix) continue;
    see_one(s, values[i], prefix);
  }
}

static void see_fixed_bytes(tn_parquet_stats *s, const uint8_t *values, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    tn_str value = {(const char *)values + i * s->width, (size_t)s->width};
    uint64_t prefix = prefix_of(s, value.data, value.length);
    if (s->seen && prefix > s->s.min.prefix && prefix < s->s.max.prefix) continue;
    see_one(s, value, prefix);
  }
}

void tn_parquet_stats_see(tn_parquet_stats *s, const tn_parquet_slice *v) {
  if (v->count == 0 || kind_of(s) == KIND_NONE) return;
  switch (s->order) {
    case TN_PARQUET_BY_INT32:
      see_i32(s, v->fixed, v->count);
      break;
    case TN_PARQUET_BY_INT64:
      see_i64(s, v->fixed, v->count);
      break;
    case TN_PARQUET_BY_UINT32:
      see_u32(s, v->fixed, v->count);
      break;
    case TN_PARQUET_BY_UINT64:
      see_u64(s, v->fixed, v->count);
      break;
    case TN_PARQUET_BY_BOOL:
      see_bits(s, v->bits, v->count);
      break;
    case TN_PARQUET_BY_HALF:
      see_f16(s, v->fixed, v->count);
      break;
    case TN_PARQUET_BY_FLOAT:
      see_f32(s, v->fixed, v->count);
      break;
    case TN_PARQUET_BY_DOUBLE:
      see_f64(s, v->fixed, v->count);
      break;
    default:
      if (v->bytes) see_strings(s, v->bytes, v->count);
      if (v->fixed) see_fixed_bytes(s, v->fixed, v->count);
  }
}

static tn_str bound_str(const tn_parquet_bound *b) {
  return (tn_str){(const char *)b->bytes, b->length};
}

void tn_parquet_stats_merge(tn_parquet_stats *s, const tn_parquet_stats *other) {
  s->nan |= other->nan;
  if (!other->seen) return;
  switch (kind_of(s)) {
    case KIND_SIGNED:
      if (other->i.min < s->i.min) s->i.min = other->i.min;
      if (other->i.max > s->i.max) s->i.max = other->i.max;
      break;
    case KIND_UNSIGNED:
      if (other->u.min < s->u.min) s->u.min = other->u.min;
      if (other->u.max > s->u.max) s->u.max = other->u.max;
      break;
    case KIND_FLOAT:
      if (other->f.min < s->f.min) s->f.min = other->f.min;
      if (other->f.max > s->f.max) s->f.max = other->f.max;
      break;
    case KIND_BYTES:
      see_one(s, bound_str(&other->s.min), other->s.min.prefix);
      see_one(s, bound_str(&other->s.max), other->s.max.prefix);
      break;
    default:
      return;
  }
  s->seen = true;
}

void tn_parquet_stats_compare(const tn_parquet_stats *a, const tn_parquet_stats *b, int *min,
                              int *max) {
  switch (kind_of(a)) {
    case KIND_SIGNED:
      *min = (a->i.min > b->i.min) - (a->i.min < b->i.min);
      *max = (a->i.max > b->i.max) - (a->i.max < b->i.max);
      break;
    case KIND_UNSIGNED:
      *min = (a->u.min > b->u.min) - (a->u.min < b->u.min);
      *max = (a->u.max > b->u.max) - (a->u.max < b->u.max);
      break;
    case KIND_FLOAT:
      *min = (a->f.min > b->f.min) - (a->f.min < b->f.min);
      *max = (a->f.max > b->f.max) - (a->f.max < b->f.max);
      break;
    case KIND_BYTES:
      *min = compare(bound_str(&a->s.min), a->s.min.prefix, &b->s.min);
      *max = compare(bound_str(&a->s.max), a->s.max.prefix, &b->s.max);
      break;
    default:
      *min = *max = 0;
  }
}

/* How much of the first `limit` bytes to keep so that no character is cut, where it is UTF-8. */
static size_t cut_at_character(const uint8_t *bytes, size_t limit) {
  size_t at = 0;
  while (at < limit) {
    int length = tn_utf8_length(bytes + at, limit - at);
    if (length == 0) break;
    at += (size_t)length;
  }
  return limit - at < 4 ? at : limit; /* broken long before the cut: not UTF-8 at all */
}

static bool raise_bytes(char *bytes, size_t *length) {
  while (*length > 0 && (uint8_t)bytes[*length - 1] == 0xff) --*length;
  if (*length == 0) return false;
  bytes[*length - 1]++;
  return true;
}

/* Raises the last character that has a successor; those behind it go. */
static bool raise_text(char *bytes, size_t *length) {
  while (*length > 0) {
    size_t start = *length - 1;
    while (start > 0 && ((uint8_t)bytes[start] & 0xc0) == 0x80) start--;
    uint32_t code = 0;
    uint8_t next[4];
    if (tn_utf8_decode((uint8_t *)bytes + start, *length - start, &code) == 0) return false;
    code = code + 1 == 0xd800 ? 0xe000 : code + 1;
    int size = tn_utf8_encode(code, next);
    if (size > 0 && start + (size_t)size <= TN_PARQUET_STATS_BYTES) {
      memcpy(bytes + start, next, (size_t)size);
      *length = start + (size_t)size;
      return true;
    }
    *length = start;
  }
  return false;
}

static void byte_range(const tn_parquet_stats *s, char *room, tn_parquet_range *out) {
  const tn_parquet_bound *min = &s->s.min, *max = &s->s.max;
  char *max_room = room + TN_PARQUET_STATS_BYTES;
  size_t min_length = min->length, max_length = max->length;
  bool is_text = s->order == TN_PARQUET_BY_TEXT;
  out->min_exact = min_length <= TN_PARQUET_STATS_BYTES;
  out->max_exact = max_length <= TN_PARQUET_STATS_BYTES;
  out->has_max = true;
  if (!out->min_exact) {
    min_length = TN_PARQUET_STATS_BYTES;
    if (is_text) min_length = cut_at_character(min->bytes, min_length);
  }
  memcpy(room, min->bytes, min_length);
  if (!out->max_exact) {
    max_length = TN_PARQUET_STATS_BYTES;
    if (is_text) max_length = cut_at_character(max->bytes, max_length);
  }
  memcpy(max_room, max->bytes, max_length);
  if (!out->max_exact) {
    is_text = is_text && tn_utf8_valid((tn_str){max_room, max_length});
    out->has_max = is_text ? raise_text(max_room, &max_length) : raise_bytes(max_room, &max_length);
  }
  out->min = (tn_str){room, min_length};
  out->max = (tn_str){max_room, max_length};
}

/* ---- what the footer says -------------------------------------------------------------------- */

static void float_range(const tn_parquet_stats *s, char *room, char *max_room) {
  double min = s->f.min == 0 ? -0.0 : s->f.min, max = s->f.max == 0 ? 0.0 : s->f.max;
  if (s->order == TN_PARQUET_BY_DOUBLE) {
    memcpy(room, &min, sizeof min);
    memcpy(max_room, &max, sizeof max);
  } else if (s->order == TN_PARQUET_BY_FLOAT) {
    float narrow_min = (float)min, narrow_max = (float)max;
    memcpy(room, &narrow_min, sizeof narrow_min);
    memcpy(max_room, &narrow_max, sizeof narrow_max);
  } else {
    uint16_t half_min = half_bits(min), half_max = half_bits(max);
    memcpy(room, &half_min, sizeof half_min);
    memcpy(max_room, &half_max, sizeof half_max);
  }
}

void tn_parquet_stats_range(const tn_parquet_stats *s, char *room, tn_parquet_range *out) {
  char *max_room = room + TN_PARQUET_STATS_BYTES;
  out->present = out->has_min = out->has_max = s->seen;
  out->min_exact = out->max_exact = true;
  if (!s->seen) return;
  size_t bytes = s->order == TN_PARQUET_BY_BOOL ? 1 : (size_t)s->width;
  switch (kind_of(s)) {
    case KIND_BYTES:
      byte_range(s, room, out);
      break;
    case KIND_FLOAT:
      float_range(s, room, max_room);
      break;
    default: /* little-endian: the low bytes come first */
      memcpy(room, &s->u.min, bytes);
      memcpy(max_room, &s->u.max, bytes);
  }
  if (kind_of(s) != KIND_BYTES) {
    out->min = (tn_str){room, bytes};
    out->max = (tn_str){max_room, bytes};
  }
  out->has_min_exact = out->has_max_exact = true;
  out->present = out->has_max;
}
