/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/stats.h"

#include <math.h>

#include "columns/parquet/bytes.h"

enum stats_order { ORDER_SIGNED, ORDER_UNSIGNED, ORDER_FLOAT, ORDER_BYTES };

static enum stats_order order_of(tn_column_type type) {
  switch (type) {
    case TN_COLUMN_BOOL:
    case TN_COLUMN_UINT8:
    case TN_COLUMN_UINT16:
    case TN_COLUMN_UINT32:
    case TN_COLUMN_UINT64:
      return ORDER_UNSIGNED;
    case TN_COLUMN_FLOAT:
    case TN_COLUMN_DOUBLE:
      return ORDER_FLOAT;
    case TN_COLUMN_STRING:
    case TN_COLUMN_BINARY:
      return ORDER_BYTES;
    default:
      return ORDER_SIGNED;
  }
}

void tn_parquet_stats_start(tn_parquet_stats *s, tn_column_type type) {
  s->type = type;
  s->seen = false;
  switch (order_of(type)) {
    case ORDER_SIGNED:
      s->i.min = INT64_MAX, s->i.max = INT64_MIN;
      break;
    case ORDER_UNSIGNED:
      s->u.min = UINT64_MAX, s->u.max = 0;
      break;
    case ORDER_FLOAT:
      s->f.min = INFINITY, s->f.max = -INFINITY;
      break;
    default:
      s->s.min.length = s->s.max.length = 0;
  }
}

/* ---- numbers --------------------------------------------------------------------------------- */

#define INTEGERS(name, type, wide, field)                                    \
  static void name(tn_parquet_stats *s, const type *values, int64_t count) { \
    type min = values[0], max = values[0];                                   \
    for (int64_t i = 1; i < count; i++) {                                    \
      min = values[i] < min ? values[i] : min;                               \
      max = values[i] > max ? values[i] : max;                               \
    }                                                                        \
    if ((wide)min < s->field.min) s->field.min = min;                        \
    if ((wide)max > s->field.max) s->field.max = max;                        \
    s->seen = true;                                                          \
  }
INTEGERS(see_i32, int32_t, int64_t, i)
INTEGERS(see_u32, uint32_t, uint64_t, u)
INTEGERS(see_i64, int64_t, int64_t, i)
INTEGERS(see_u64, uint64_t, uint64_t, u)
#undef INTEGERS

/* Comparisons with NaN are false, so it changes nothing. */
#define FLOATS(name, type)                                                   \
  static void name(tn_parquet_stats *s, const type *values, int64_t count) { \
    type min = (type)s->f.min, max = (type)s->f.max;                         \
    bool seen = s->seen;                                                     \
    for (int64_t i = 0; i < count; i++) {                                    \
      min = values[i] < min ? values[i] : min;                               \
      max = values[i] > max ? values[i] : max;                               \
      seen |= values[i] == values[i];                                        \
    }                                                                        \
    s->f.min = min, s->f.max = max, s->seen = seen;                          \
  }
FLOATS(see_f32, float)
FLOATS(see_f64, double)
#undef FLOATS

void tn_parquet_stats_fixed(tn_parquet_stats *s, const void *values, int64_t count) {
  if (count == 0) return;
  bool wide = tn_column_type_bits(s->type) == 64;
  switch (order_of(s->type)) {
    case ORDER_SIGNED:
      if (wide) see_i64(s, values, count);
      if (!wide) see_i32(s, values, count);
      break;
    case ORDER_UNSIGNED:
      if (wide) see_u64(s, values, count);
      if (!wide) see_u32(s, values, count);
      break;
    default:
      if (wide) see_f64(s, values, count);
      if (!wide) see_f32(s, values, count);
  }
}

void tn_parquet_stats_bools(tn_parquet_stats *s, int64_t falses, int64_t trues) {
  if (falses > 0) s->u.min = 0;
  if (trues > 0 && s->u.min > 1) s->u.min = 1;
  if (trues > 0) s->u.max = 1;
  s->seen |= falses + trues > 0;
}

/* ---- byte arrays ----------------------------------------------------------------------------- */

static uint64_t prefix_of(const char *data, size_t length) {
  uint64_t word = 0;
  if (length >= 8) {
    word = tn_load_u64(data);
  } else if (length > 0) {
    memcpy(&word, data, length);
  }
  return __builtin_bswap64(word);
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

void tn_parquet_stats_bytes(tn_parquet_stats *s, const tn_str *values, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint64_t prefix = prefix_of(values[i].data, values[i].length);
    if (s->seen && prefix > s->s.min.prefix && prefix < s->s.max.prefix) continue;
    if (!s->seen || compare(values[i], prefix, &s->s.min) < 0) {
      set_bound(&s->s.min, values[i], prefix);
    }
    if (!s->seen || compare(values[i], prefix, &s->s.max) > 0) {
      set_bound(&s->s.max, values[i], prefix);
    }
    s->seen = true;
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
  bool is_text = s->type == TN_COLUMN_STRING;
  out->min_exact = min_length <= TN_PARQUET_STATS_BYTES;
  out->max_exact = max_length <= TN_PARQUET_STATS_BYTES;
  out->present = true;
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
    out->present = is_text ? raise_text(max_room, &max_length) : raise_bytes(max_room, &max_length);
  }
  out->min = (tn_str){room, min_length};
  out->max = (tn_str){max_room, max_length};
}

/* ---- what the footer says -------------------------------------------------------------------- */

static void float_range(const tn_parquet_stats *s, char *room, char *max_room) {
  double min = s->f.min == 0 ? -0.0 : s->f.min, max = s->f.max == 0 ? 0.0 : s->f.max;
  if (s->type == TN_COLUMN_DOUBLE) {
    memcpy(room, &min, sizeof min);
    memcpy(max_room, &max, sizeof max);
  } else {
    float narrow_min = (float)min, narrow_max = (float)max;
    memcpy(room, &narrow_min, sizeof narrow_min);
    memcpy(max_room, &narrow_max, sizeof narrow_max);
  }
}

void tn_parquet_stats_range(const tn_parquet_stats *s, char *room, tn_parquet_range *out) {
  char *max_room = room + TN_PARQUET_STATS_BYTES;
  out->present = s->seen;
  out->min_exact = out->max_exact = true;
  if (!s->seen) return;
  int32_t bits = tn_column_type_bits(s->type);
  size_t bytes = bits == 1 ? 1 : bits <= 32 ? 4 : 8;
  switch (order_of(s->type)) {
    case ORDER_BYTES:
      byte_range(s, room, out);
      return;
    case ORDER_FLOAT:
      float_range(s, room, max_room);
      break;
    default: /* little-endian: the low bytes come first */
      memcpy(room, &s->u.min, bytes);
      memcpy(max_room, &s->u.max, bytes);
  }
  out->min = (tn_str){room, bytes};
  out->max = (tn_str){max_room, bytes};
}
