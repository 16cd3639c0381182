/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/bounds.h"

#include <math.h>

#include "columns/parquet/bytes.h"
#include "columns/parquet/file.h"

enum { DECIMAL_BYTES_MAX = 32, JULIAN_DAY_OF_1970 = 2440588 };

/* ---- which order ----------------------------------------------------------------------------- */

static tn_parquet_compare compare_of_i32(const tn_parquet_logical *l) {
  switch (l->kind) {
    case TN_PARQUET_LOGICAL_INTEGER:
      return l->is_signed ? TN_PARQUET_COMPARE_I32 : TN_PARQUET_COMPARE_U32;
    case TN_PARQUET_LOGICAL_NONE:
    case TN_PARQUET_LOGICAL_DATE:
    case TN_PARQUET_LOGICAL_TIME:
    case TN_PARQUET_LOGICAL_DECIMAL:
      return TN_PARQUET_COMPARE_I32;
    default:
      return TN_PARQUET_COMPARE_NONE;
  }
}

static tn_parquet_compare compare_of_i64(const tn_parquet_logical *l) {
  switch (l->kind) {
    case TN_PARQUET_LOGICAL_INTEGER:
      return l->is_signed ? TN_PARQUET_COMPARE_I64 : TN_PARQUET_COMPARE_U64;
    case TN_PARQUET_LOGICAL_NONE:
    case TN_PARQUET_LOGICAL_TIME:
    case TN_PARQUET_LOGICAL_TIMESTAMP:
    case TN_PARQUET_LOGICAL_DECIMAL:
      return TN_PARQUET_COMPARE_I64;
    default:
      return TN_PARQUET_COMPARE_NONE;
  }
}

static tn_parquet_compare compare_of_bytes(const tn_parquet_element *e) {
  switch (e->logical.kind) {
    case TN_PARQUET_LOGICAL_DECIMAL:
      return TN_PARQUET_COMPARE_DECIMAL;
    case TN_PARQUET_LOGICAL_FLOAT16:
      return e->length == 2 ? TN_PARQUET_COMPARE_HALF : TN_PARQUET_COMPARE_NONE;
    case TN_PARQUET_LOGICAL_NONE:
    case TN_PARQUET_LOGICAL_STRING:
    case TN_PARQUET_LOGICAL_ENUM:
    case TN_PARQUET_LOGICAL_JSON:
    case TN_PARQUET_LOGICAL_BSON:
    case TN_PARQUET_LOGICAL_UUID:
      return TN_PARQUET_COMPARE_BYTES;
    default:
      return TN_PARQUET_COMPARE_NONE;
  }
}

static tn_parquet_compare compare_of_type(const tn_parquet_element *e) {
  bool plain = e->logical.kind == TN_PARQUET_LOGICAL_NONE;
  switch (e->physical) {
    case TN_PARQUET_BOOLEAN:
      return plain ? TN_PARQUET_COMPARE_BOOL : TN_PARQUET_COMPARE_NONE;
    case TN_PARQUET_INT32:
      return compare_of_i32(&e->logical);
    case TN_PARQUET_INT64:
      return compare_of_i64(&e->logical);
    case TN_PARQUET_INT96:
      return plain ? TN_PARQUET_COMPARE_INT96 : TN_PARQUET_COMPARE_NONE;
    case TN_PARQUET_FLOAT:
      return plain ? TN_PARQUET_COMPARE_FLOAT : TN_PARQUET_COMPARE_NONE;
    case TN_PARQUET_DOUBLE:
      return plain ? TN_PARQUET_COMPARE_DOUBLE : TN_PARQUET_COMPARE_NONE;
    case TN_PARQUET_BYTE_ARRAY:
    case TN_PARQUET_FIXED_LEN_BYTE_ARRAY:
      return compare_of_bytes(e);
    default:
      return TN_PARQUET_COMPARE_NONE;
  }
}

static bool is_real(tn_parquet_compare compare) {
  return compare == TN_PARQUET_COMPARE_HALF || compare == TN_PARQUET_COMPARE_FLOAT ||
         compare == TN_PARQUET_COMPARE_DOUBLE;
}

tn_parquet_compare tn_parquet_compare_of(const tn_parquet_element *element, uint8_t order) {
  tn_parquet_compare compare = compare_of_type(element);
  switch (order) {
    case TN_PARQUET_ORDER_TYPE:
      return compare == TN_PARQUET_COMPARE_INT96 ? TN_PARQUET_COMPARE_NONE : compare;
    case TN_PARQUET_ORDER_IEEE754:
      return is_real(compare) ? compare : TN_PARQUET_COMPARE_NONE;
    case TN_PARQUET_ORDER_INT96:
      return compare == TN_PARQUET_COMPARE_INT96 ? compare : TN_PARQUET_COMPARE_NONE;
    default:
      return TN_PARQUET_COMPARE_NONE;
  }
}

/* The deprecated fields were filled by signed comparison, of bytes too. */
static tn_parquet_compare compare_of_old(const tn_parquet_element *element) {
  tn_parquet_compare compare = compare_of_type(element);
  switch (compare) {
    case TN_PARQUET_COMPARE_BOOL:
    case TN_PARQUET_COMPARE_I32:
    case TN_PARQUET_COMPARE_I64:
    case TN_PARQUET_COMPARE_FLOAT:
    case TN_PARQUET_COMPARE_DOUBLE:
      return compare;
    default:
      return TN_PARQUET_COMPARE_NONE;
  }
}

/* ---- values ---------------------------------------------------------------------------------- */

static double half_value(uint16_t bits) {
  int exponent = bits >> 10 & 31;
  double fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
  if (exponent == 0) return sign * ldexp(fraction, -24);
  return sign * ldexp(fraction + 1024, exponent - 25);
}

static double real_value(tn_parquet_compare compare, tn_str s) {
  float single = 0;
  double value = 0;
  if (compare == TN_PARQUET_COMPARE_HALF) {
    uint16_t bits;
    memcpy(&bits, s.data, sizeof bits);
    return half_value(bits);
  }
  if (compare == TN_PARQUET_COMPARE_FLOAT) {
    memcpy(&single, s.data, sizeof single);
    return single;
  }
  memcpy(&value, s.data, sizeof value);
  return value;
}

static bool valid(tn_parquet_compare compare, tn_str s) {
  switch (compare) {
    case TN_PARQUET_COMPARE_BOOL:
      return s.length == 1 && (uint8_t)s.data[0] <= 1;
    case TN_PARQUET_COMPARE_I32:
    case TN_PARQUET_COMPARE_U32:
    case TN_PARQUET_COMPARE_FLOAT:
      return s.length == 4;
    case TN_PARQUET_COMPARE_I64:
    case TN_PARQUET_COMPARE_U64:
    case TN_PARQUET_COMPARE_DOUBLE:
      return s.length == 8;
    case TN_PARQUET_COMPARE_HALF:
      return s.length == 2;
    case TN_PARQUET_COMPARE_BYTES:
      return true;
    case TN_PARQUET_COMPARE_DECIMAL:
      return s.length >= 1 && s.length <= DECIMAL_BYTES_MAX;
    case TN_PARQUET_COMPARE_INT96:
      return s.length == 12;
    default:
      return false;
  }
}

static int compare_decimals(tn_str a, tn_str b) {
  uint8_t wide[2][DECIMAL_BYTES_MAX];
  const tn_str both[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    size_t pad = DECIMAL_BYTES_MAX - both[i].length;
    memset(wide[i], (uint8_t)both[i].data[0] & 0x80 ? 0xff : 0, pad);
    memcpy(wide[i] + pad, both[i].data, both[i].length);
    wide[i][0] ^= 0x80; /* as unsigned bytes, negative numbers come first */
  }
  return memcmp(wide[0], wide[1], DECIMAL_BYTES_MAX);
}

static int compare_bytes(tn_str a, tn_str b) {
  size_t common = a.length < b.length ? a.length : b.length;
  int c = common ? memcmp(a.data, b.data, common) : 0;
  return c ? c : (a.length > b.length) - (a.length < b.length);
}

/* The day follows 8 bytes of nanoseconds. */
static int compare_int96(tn_str a, tn_str b) {
  int32_t day_a = (int32_t)tn_load_u32(a.data + 8), day_b = (int32_t)tn_load_u32(b.data + 8);
  int64_t ns_a = (int64_t)tn_load_u64(a.data), ns_b = (int64_t)tn_load_u64(b.data);
  if (day_a != day_b) return day_a < day_b ? -1 : 1;
  return (ns_a > ns_b) - (ns_a < ns_b);
}

static bool int96_number(tn_str s, int64_t *out) {
  int64_t days = (int64_t)(int32_t)tn_load_u32(s.data + 8) - JULIAN_DAY_OF_1970;
  return !__builtin_mul_overflow(days, (int64_t)86400 * 1000000000, out) &&
         !__builtin_add_overflow(*out, (int64_t)tn_load_u64(s.data), out);
}

static bool decimal_number(tn_str s, int64_t *out) {
  uint8_t sign = (uint8_t)s.data[0] & 0x80 ? 0xff : 0;
  while (s.length > 8 && (uint8_t)s.data[0] == sign) s.data++, s.length--;
  if (s.length > 8 || ((uint8_t)s.data[0] & 0x80) != (sign & 0x80)) return false;
  uint64_t value = sign ? UINT64_MAX : 0;
  for (size_t i = 0; i < s.length; i++) value = value << 8 | (uint8_t)s.data[i];
  *out = (int64_t)value;
  return true;
}

bool tn_parquet_bound_number(tn_parquet_compare compare, tn_str s, tn_parquet_number *out) {
  out->kind = TN_PARQUET_SIGNED;
  switch (compare) {
    case TN_PARQUET_COMPARE_BOOL:
      out->i = s.data[0];
      return true;
    case TN_PARQUET_COMPARE_I32:
      out->i = (int32_t)tn_load_u32(s.data);
      return true;
    case TN_PARQUET_COMPARE_I64:
      out->i = (int64_t)tn_load_u64(s.data);
      return true;
    case TN_PARQUET_COMPARE_U32:
      out->kind = TN_PARQUET_UNSIGNED;
      out->u = tn_load_u32(s.data);
      return true;
    case TN_PARQUET_COMPARE_U64:
      out->kind = TN_PARQUET_UNSIGNED;
      out->u = tn_load_u64(s.data);
      return true;
    case TN_PARQUET_COMPARE_HALF:
    case TN_PARQUET_COMPARE_FLOAT:
    case TN_PARQUET_COMPARE_DOUBLE:
      out->kind = TN_PARQUET_REAL;
      out->f = real_value(compare, s);
      return true;
    case TN_PARQUET_COMPARE_DECIMAL:
      return decimal_number(s, &out->i);
    case TN_PARQUET_COMPARE_INT96:
      return int96_number(s, &out->i);
    default:
      return false;
  }
}

int tn_parquet_bound_compare(tn_parquet_compare compare, tn_str a, tn_str b) {
  tn_parquet_number x, y;
  if (compare == TN_PARQUET_COMPARE_BYTES) return compare_bytes(a, b);
  if (compare == TN_PARQUET_COMPARE_DECIMAL) return compare_decimals(a, b);
  if (compare == TN_PARQUET_COMPARE_INT96) return compare_int96(a, b);
  if (!tn_parquet_bound_number(compare, a, &x) || !tn_parquet_bound_number(compare, b, &y)) {
    return 0;
  }
  if (x.kind == TN_PARQUET_SIGNED) return (x.i > y.i) - (x.i < y.i);
  if (x.kind == TN_PARQUET_UNSIGNED) return (x.u > y.u) - (x.u < y.u);
  return (x.f > y.f) - (x.f < y.f);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Drops what cannot be relied on.  In IEEE 754 order a NaN bound says that there is nothing else;
 * in the older order it says nothing. */
static void settle(tn_parquet_bounds *b, uint8_t order) {
  b->has_min = b->has_min && valid(b->compare, b->min);
  b->has_max = b->has_max && valid(b->compare, b->max);
  if (is_real(b->compare)) {
    bool min_nan = b->has_min && isnan(real_value(b->compare, b->min));
    bool max_nan = b->has_max && isnan(real_value(b->compare, b->max));
    if (order == TN_PARQUET_ORDER_IEEE754 && (min_nan || max_nan)) b->only_nan = true;
    b->has_min = b->has_min && !min_nan && !b->only_nan;
    b->has_max = b->has_max && !max_nan && !b->only_nan;
    if (b->only_nan) b->maybe_nan = true;
  }
  if (b->has_min && b->has_max && tn_parquet_bound_compare(b->compare, b->min, b->max) > 0) {
    b->has_min = b->has_max = false;
  }
  b->min_exact = b->min_exact && b->has_min;
  b->max_exact = b->max_exact && b->has_max;
}

/* Old writers did not say whether a bound is a value; byte arrays they may have cut. */
static bool exact(tn_parquet_compare compare, bool said, bool value) {
  return said ? value : compare != TN_PARQUET_COMPARE_BYTES;
}

void tn_parquet_bounds_of_range(const tn_parquet_element *element, uint8_t order,
                                const tn_parquet_range *range, int64_t values,
                                tn_parquet_bounds *out) {
  *out = (tn_parquet_bounds){.nulls = range->nulls};
  out->compare = range->old_order ? compare_of_old(element) : tn_parquet_compare_of(element, order);
  out->has_min = range->has_min || range->present;
  out->has_max = range->has_max || range->present;
  out->min = range->min;
  out->max = range->max;
  out->min_exact = exact(out->compare, range->has_min_exact, range->min_exact);
  out->max_exact = exact(out->compare, range->has_max_exact, range->max_exact);
  out->all_null = values >= 0 && range->nulls == values;
  bool real = is_real(compare_of_type(element));
  out->maybe_nan = real && !(range->has_nans && range->nans == 0) && !out->all_null;
  out->only_nan = real && range->has_nans && range->nans > 0 && range->nulls >= 0 &&
                  values - range->nulls == range->nans;
  settle(out, order);
}

void tn_parquet_bounds_of_page(const tn_parquet_element *element, uint8_t order,
                               const tn_parquet_column_index *index, uint32_t page,
                               tn_parquet_bounds *out) {
  *out = (tn_parquet_bounds){.nulls = index->nulls ? index->nulls[page] : -1};
  out->compare = tn_parquet_compare_of(element, order);
  out->all_null = index->null_pages[page];
  out->has_min = out->has_max = !out->all_null;
  out->min = index->min[page];
  out->max = index->max[page];
  bool real = is_real(compare_of_type(element));
  out->maybe_nan = real && !(index->nans && index->nans[page] == 0) && !out->all_null;
  settle(out, order);
}

uint8_t tn_parquet_column_order(const tn_parquet_footer *footer, int64_t column) {
  return column < (int64_t)footer->order_count ? footer->orders[column]
                                               : (uint8_t)TN_PARQUET_ORDER_UNDEFINED;
}

void tn_parquet_bounds_of_chunk(const tn_parquet_file *file, int64_t group, int64_t column,
                                tn_parquet_bounds *out) {
  const tn_parquet_chunk_meta *chunk = &file->footer.groups[group].chunks[column];
  tn_parquet_bounds_of_range(file->leaves[column].element,
                             tn_parquet_column_order(&file->footer, column), &chunk->range,
                             chunk->values, out);
}
