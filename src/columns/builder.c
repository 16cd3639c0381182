/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/builder.h"

#include <assert.h>
#include <string.h>

#include "columns/array.h"
#include "columns/half.h"

#define ROWS_MAX  ((int64_t)1 << 40)
#define BYTES_MAX ((int64_t)1 << 40) /* of the large layouts */
enum { ROWS_STEP = 64 };             /* capacities are multiples */

/* ---- memory ---- */
static int32_t offset_bits(tn_layout layout) {
  switch (layout) {
    case TN_LAYOUT_BYTES:
    case TN_LAYOUT_LIST:
    case TN_LAYOUT_LIST_VIEW:
      return 32;
    case TN_LAYOUT_LARGE_BYTES:
    case TN_LAYOUT_LARGE_LIST:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return 64;
    default:
      return 0;
  }
}

/* Of an entry of the first buffer behind the validity; 0: none. */
static int32_t entry_bits_of(const tn_type *t) {
  switch (t->layout) {
    case TN_LAYOUT_BITS:
    case TN_LAYOUT_FIXED:
      return t->bits;
    case TN_LAYOUT_VIEW:
      return 128;
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_SPARSE_UNION:
      return 8;
    default:
      return offset_bits(t->layout);
  }
}

static int64_t extra_width(const tn_builder *b) {
  switch (b->type.layout) {
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_LIST_VIEW:
      return 4;
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return 8;
    default:
      return 0;
  }
}

/* Offsets of n values are n + 1. */
static bool has_end_offset(tn_layout layout) {
  return layout == TN_LAYOUT_BYTES || layout == TN_LAYOUT_LARGE_BYTES || layout == TN_LAYOUT_LIST ||
         layout == TN_LAYOUT_LARGE_LIST;
}

static int64_t values_bytes(const tn_builder *b, int64_t rows) {
  if (b->entry_bits == 1) return (rows + 7) / 8;
  return (rows + has_end_offset(b->type.layout)) * (b->entry_bits / 8);
}

static bool has_bytes(const tn_builder *b) {
  tn_layout layout = b->type.layout;
  return layout == TN_LAYOUT_BYTES || layout == TN_LAYOUT_LARGE_BYTES || layout == TN_LAYOUT_VIEW;
}

/* A zeroed aligned block with the first `used` bytes of `old`. */
static void *moved(const void *old, int64_t used, int64_t bytes) {
  void *fresh = tn_alloc_aligned((size_t)((bytes + 63) & ~(int64_t)63));
  if (fresh && old && used > 0) memcpy(fresh, old, (size_t)used);
  return fresh;
}

static int64_t max_of(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* No array is larger than 2^46 bytes, so that sizes never overflow. */
static int64_t rows_max(const tn_builder *b) {
  int64_t width = b->entry_bits / 8;
  return width > 64 ? ((int64_t)1 << 46) / width : ROWS_MAX;
}

static tn_status grow_rows(tn_builder *b, int64_t want, tn_error *err) {
  int64_t most = rows_max(b);
  if (want > most)
    return tn_fail(err, TN_ERR_LIMIT, "%s array of %lld rows, limit %lld", tn_type_name(b->type.id),
                   (long long)want, (long long)most);
  int64_t rows = max_of(max_of(want, b->row_hint), max_of(ROWS_STEP, 2 * b->row_capacity));
  rows = (rows + ROWS_STEP - 1) & ~(int64_t)(ROWS_STEP - 1);
  int64_t bytes = b->entry_bits ? values_bytes(b, rows) : 0, width = extra_width(b);
  void *values = bytes ? moved(b->values, values_bytes(b, b->length), bytes) : NULL;
  void *extra = width ? moved(b->extra, b->length * width, rows * width) : NULL;
  uint8_t *valid = b->valid ? moved(b->valid, (b->length + 7) / 8, rows / 8) : NULL;
  if ((bytes && !values) || (width && !extra) || (b->valid && !valid)) {
    tn_free(values);
    tn_free(extra);
    tn_free(valid);
    return tn_fail_memory(err, "column values", (unsigned long long)(bytes + rows * width));
  }
  tn_free(b->values);
  tn_free(b->extra);
  tn_free(b->valid);
  b->values = values;
  b->extra = extra;
  b->valid = valid;
  b->row_capacity = rows;
  return TN_OK;
}

static tn_status grow_bytes(tn_builder *b, int64_t want, tn_error *err) {
  bool large = b->type.layout == TN_LAYOUT_LARGE_BYTES;
  if (want > (large ? BYTES_MAX : INT32_MAX))
    return tn_fail(err, TN_ERR_LIMIT, "%lld bytes of text in one %s array, limit %s",
                   (long long)want, tn_type_name(b->type.id), large ? "1 TiB" : "2 GiB");
  int64_t bytes = max_of(max_of(want, b->bytes_hint), max_of(256, 2 * b->bytes_capacity));
  uint8_t *fresh = moved(b->bytes, b->bytes_length, bytes);
  if (!fresh) return tn_fail_memory(err, "column text", (unsigned long long)bytes);
  tn_free(b->bytes);
  b->bytes = fresh;
  b->bytes_capacity = bytes;
  return TN_OK;
}

tn_status tn_builder_reserve(tn_builder *b, int64_t rows, int64_t bytes, tn_error *err) {
  if (b->length + rows > b->row_capacity || !b->row_capacity)
    TN_TRY(grow_rows(b, b->length + rows, err));
  if (has_bytes(b) && (!b->bytes || b->bytes_length + bytes > b->bytes_capacity))
    TN_TRY(grow_bytes(b, b->bytes_length + bytes, err));
  return TN_OK;
}

static void forget_memory(tn_builder *b) {
  if (b->length > 0) {
    b->row_hint = b->length;
    b->bytes_hint = b->bytes_length + b->bytes_length / 8;
    if (b->bytes_hint > INT32_MAX) b->bytes_hint = INT32_MAX;
  }
  b->length = b->null_count = b->row_capacity = b->bytes_length = b->bytes_capacity = 0;
  b->closed = b->used = 0;
  b->valid = NULL;
  b->values = NULL;
  b->bytes = NULL;
  b->extra = NULL;
}

/* Empties the whole tree. */
static void discard(tn_builder *b) {
  tn_free(b->valid);
  tn_free(b->values);
  tn_free(b->bytes);
  tn_free(b->extra);
  forget_memory(b);
  for (int64_t i = 0; i < b->child_count; i++) discard(b->children[i]);
  if (b->dictionary) discard(b->dictionary);
}

/* ---- making ---- */
static tn_status builder_new(tn_builder **out, const tn_type *type, bool nullable, tn_error *err) {
  tn_builder *b = tn_alloc(1, sizeof *b);
  if (!b) return tn_fail_memory(err, "array builder", sizeof *b);
  b->type = *type;
  b->type.timezone = (tn_str){0};
  b->bits = type->layout == TN_LAYOUT_BITS || type->layout == TN_LAYOUT_FIXED ? type->bits : 0;
  b->entry_bits = entry_bits_of(type);
  b->nullable = nullable;
  *out = b;
  return TN_OK;
}

tn_status tn_builder_new_type(tn_builder **out, const tn_type *flat, tn_error *err) {
  if (tn_type_is_nested(flat->id))
    return tn_fail(err, TN_ERR_ARGUMENT, "a builder of a %s needs the whole field",
                   tn_type_name(flat->id));
  return builder_new(out, flat, true, err);
}

tn_status tn_builder_new_format(tn_builder **out, const char *flat, tn_error *err) {
  tn_type type;
  TN_TRY(tn_type_parse(flat, &type, err));
  return tn_builder_new_type(out, &type, err);
}

static tn_status add_below(tn_builder *b, const tn_field *field, tn_error *err) {
  if (field->dictionary) TN_TRY(tn_builder_new_field(&b->dictionary, field->dictionary, err));
  if (field->child_count == 0) return TN_OK;
  b->children = tn_alloc((size_t)field->child_count, sizeof *b->children);
  if (!b->children)
    return tn_fail_memory(err, "array builder", (size_t)field->child_count * sizeof *b->children);
  for (; b->child_count < field->child_count; b->child_count++)
    TN_TRY(
        tn_builder_new_field(&b->children[b->child_count], &field->children[b->child_count], err));
  return TN_OK;
}

tn_status tn_builder_new_field(tn_builder **out, const tn_field *field, tn_error *err) {
  tn_builder *b;
  TN_TRY(builder_new(&b, &field->type, field->nullable, err));
  tn_status status = add_below(b, field, err);
  if (status == TN_OK)
    *out = b;
  else
    tn_builder_free(b);
  return status;
}

void tn_builder_free(tn_builder *b) {
  if (!b) return;
  tn_free(b->valid);
  tn_free(b->values);
  tn_free(b->bytes);
  tn_free(b->extra);
  for (int64_t i = 0; i < b->child_count; i++) tn_builder_free(b->children[i]);
  tn_free(b->children);
  tn_builder_free(b->dictionary);
  tn_free(b);
}

int64_t tn_builder_length(const tn_builder *b) {
  return b->length;
}

tn_builder *tn_builder_child(tn_builder *b, int64_t i) {
  return b->children[i];
}

tn_builder *tn_builder_dictionary(tn_builder *b) {
  return b->dictionary;
}

/* ---- nulls and placeholders ---- */
/* The first null: everything before it was valid. */
static tn_status start_validity(tn_builder *b, tn_error *err) {
  b->valid = tn_alloc_aligned((size_t)((b->row_capacity / 8 + 63) & ~(int64_t)63));
  if (!b->valid) return tn_fail_memory(err, "column validity", (size_t)b->row_capacity / 8);
  memset(b->valid, 0xff, (size_t)(b->length / 8));
  if (b->length % 8) b->valid[b->length / 8] = (uint8_t)((1u << (b->length % 8)) - 1);
  return TN_OK;
}

/* The offsets of the row that comes next, which holds nothing: where the last one ended. */
static void put_empty(tn_builder *b) {
  int64_t next = b->length + 1;
  switch (b->type.layout) {
    case TN_LAYOUT_BYTES:
      ((int32_t *)b->values)[next] = (int32_t)b->bytes_length;
      break;
    case TN_LAYOUT_LARGE_BYTES:
      ((int64_t *)b->values)[next] = b->bytes_length;
      break;
    case TN_LAYOUT_LIST:
      ((int32_t *)b->values)[next] = (int32_t)b->closed;
      break;
    case TN_LAYOUT_LARGE_LIST:
      ((int64_t *)b->values)[next] = b->closed;
      break;
    case TN_LAYOUT_LIST_VIEW:
      ((int32_t *)b->values)[next - 1] = (int32_t)b->closed;
      break;
    case TN_LAYOUT_LARGE_LIST_VIEW:
      ((int64_t *)b->values)[next - 1] = b->closed;
      break;
    default:
      break;
  }
}

static tn_status append_placeholder(tn_builder *b, tn_error *err);

/* Placeholders until the child has `want` values. */
static tn_status fill_child(tn_builder *child, int64_t want, tn_error *err) {
  if (want > ROWS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "array of %lld rows, limit %lld", (long long)want,
                   (long long)ROWS_MAX);
  while (child->length < want) TN_TRY(append_placeholder(child, err));
  return TN_OK;
}

/* Children of a null or zero value whose layout gives them as many values anyhow. */
static tn_status fill_children(tn_builder *b, tn_error *err) {
  if (b->type.layout == TN_LAYOUT_FIXED_LIST)
    return fill_child(b->children[0], (b->length + 1) * b->type.size, err);
  if (b->type.layout != TN_LAYOUT_STRUCT) return TN_OK;
  for (int64_t i = 0; i < b->child_count; i++)
    TN_TRY(fill_child(b->children[i], b->length + 1, err));
  return TN_OK;
}

/* Layouts without a validity bitmap: the null is a child's. */
static tn_status append_child_null(tn_builder *b, bool zero, tn_error *err) {
  if (b->type.layout == TN_LAYOUT_NONE) {
    b->length++;
    b->null_count++;
    return TN_OK;
  }
  if (b->child_count == 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "a null in a %s without children",
                   tn_type_name(b->type.id));
  bool run_end = b->type.layout == TN_LAYOUT_RUN_END;
  tn_builder *child = b->children[run_end];
  TN_TRY(zero ? append_placeholder(child, err) : tn_builder_append_null(child, err));
  return run_end ? tn_builder_append_run(b, 1, err) : tn_builder_append_union(b, 0, err);
}

tn_status tn_builder_append_null(tn_builder *b, tn_error *err) {
  if (!tn_layout_has_validity(b->type.layout)) return append_child_null(b, false, err);
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  if (!b->valid) TN_TRY(start_validity(b, err));
  TN_TRY(fill_children(b, err));
  put_empty(b);
  b->length++;
  b->null_count++;
  return TN_OK;
}

static tn_status append_zero(tn_builder *b, tn_error *err) {
  if (!tn_layout_has_validity(b->type.layout)) return append_child_null(b, true, err);
  if (b->dictionary) TN_TRY(fill_child(b->dictionary, 1, err)); /* what index 0 names */
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  TN_TRY(fill_children(b, err));
  put_empty(b);
  tn_builder_mark_valid(b);
  return TN_OK;
}

static tn_status append_placeholder(tn_builder *b, tn_error *err) {
  return b->nullable ? tn_builder_append_null(b, err) : append_zero(b, err);
}

/* ---- flat values ---- */
static bool fits(const tn_builder *b, int64_t value) {
  switch (b->type.id) {
    case TN_TYPE_BOOL:
      return value == 0 || value == 1;
    case TN_TYPE_UINT8:
      return value == (uint8_t)value;
    case TN_TYPE_UINT16:
      return value == (uint16_t)value;
    case TN_TYPE_UINT32:
      return value == (uint32_t)value;
    default: /* 64 bits and more: always; a uint64 travels as its bit pattern */
      return b->bits >= 64 || value >> (b->bits - 1) == 0 || value >> (b->bits - 1) == -1;
  }
}

static bool takes_i64(tn_type_id id) {
  return id == TN_TYPE_BOOL || tn_type_is_integer(id) || tn_type_is_decimal(id) ||
         (id >= TN_TYPE_DATE32 && id <= TN_TYPE_INTERVAL_MONTHS);
}

static tn_status wrong_kind(const tn_builder *b, const char *kind, tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT, "a %s column takes no %s", tn_type_name(b->type.id), kind);
}

tn_status tn_builder_append_i64(tn_builder *b, int64_t value, tn_error *err) {
  if (!takes_i64(b->type.id)) return wrong_kind(b, "integer", err);
  assert(fits(b, value));
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  switch (b->bits) {
    case 1:
      tn_builder_put_bit(b, value != 0);
      return TN_OK;
    case 8:
      ((int8_t *)b->values)[b->length] = (int8_t)value;
      break;
    case 16:
      ((int16_t *)b->values)[b->length] = (int16_t)value;
      break;
    case 32:
      ((int32_t *)b->values)[b->length] = (int32_t)value;
      break;
    default: { /* a wide decimal is little-endian 64-bit words */
      int64_t words = b->bits / 64, *at = (int64_t *)b->values + b->length * words;
      at[0] = value;
      for (int64_t i = 1; i < words; i++) at[i] = value < 0 ? -1 : 0;
      break;
    }
  }
  tn_builder_mark_valid(b);
  return TN_OK;
}

tn_status tn_builder_append_f64(tn_builder *b, double value, tn_error *err) {
  if (!tn_type_is_real(b->type.id)) return wrong_kind(b, "floating-point number", err);
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  if (b->type.id == TN_TYPE_DOUBLE)
    ((double *)b->values)[b->length] = value;
  else if (b->type.id == TN_TYPE_FLOAT)
    ((float *)b->values)[b->length] = (float)value;
  else
    ((uint16_t *)b->values)[b->length] = tn_half_of_f64(value);
  tn_builder_mark_valid(b);
  return TN_OK;
}

static tn_status append_fixed(tn_builder *b, tn_str value, tn_error *err) {
  if (value.length != (size_t)b->bits / 8)
    return tn_fail(err, TN_ERR_ARGUMENT, "%zu bytes for a %s value of %d", value.length,
                   tn_type_name(b->type.id), b->bits / 8);
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  if (value.length)
    memcpy((char *)b->values + (size_t)b->length * value.length, value.data, value.length);
  tn_builder_mark_valid(b);
  return TN_OK;
}

/* Up to 12 bytes stand in the view itself; of longer text its first 4, and where the rest is. */
static void put_view(tn_builder *b, tn_str value) {
  enum { INLINE_MAX = 12, PREFIX = 4 };
  char *view = (char *)b->values + 16 * b->length;
  int32_t length = (int32_t)value.length, offset = (int32_t)b->bytes_length;
  memcpy(view, &length, 4);
  if (length <= INLINE_MAX) {
    if (length) memcpy(view + 4, value.data, value.length);
  } else {
    memcpy(view + 4, value.data, PREFIX);
    memcpy(view + 12, &offset, 4); /* in between the index of the only buffer, 0 */
    memcpy(b->bytes + b->bytes_length, value.data, value.length);
    b->bytes_length += length;
  }
  tn_builder_mark_valid(b);
}

tn_status tn_builder_append_str(tn_builder *b, tn_str value, tn_error *err) {
  if (b->type.layout == TN_LAYOUT_FIXED) return append_fixed(b, value, err);
  if (!has_bytes(b)) return wrong_kind(b, "text", err);
  if (value.length > (size_t)BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "text of %zu bytes, limit 1 TiB", value.length);
  TN_TRY(tn_builder_reserve(b, 1, (int64_t)value.length, err));
  if (b->type.layout == TN_LAYOUT_VIEW) {
    put_view(b, value);
    return TN_OK;
  }
  if (value.length) memcpy(b->bytes + b->bytes_length, value.data, value.length);
  b->bytes_length += (int64_t)value.length;
  put_empty(b); /* the offset behind the row: now that of the new end */
  tn_builder_mark_valid(b);
  return TN_OK;
}

/* ---- nested values ---- */
static tn_status not_ahead(const tn_builder *b, int64_t child, int64_t want, tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "value %lld of a %s: child %lld has %lld values, wanted %lld",
                 (long long)b->length, tn_type_name(b->type.id), (long long)child,
                 (long long)b->children[child]->length, (long long)want);
}

tn_status tn_builder_end_list(tn_builder *b, tn_error *err) {
  tn_layout layout = b->type.layout;
  bool fixed = layout == TN_LAYOUT_FIXED_LIST;
  if (!fixed && (offset_bits(layout) == 0 || has_bytes(b))) return wrong_kind(b, "list", err);
  int64_t items = b->children[0]->length, want = (b->length + 1) * b->type.size;
  if (fixed && items != want) return not_ahead(b, 0, want, err);
  if (offset_bits(layout) == 32 && items > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%lld items in one %s array, limit 2^31 - 1",
                   (long long)items, tn_type_name(b->type.id));
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  if (layout == TN_LAYOUT_LIST_VIEW)
    ((int32_t *)b->extra)[b->length] = (int32_t)(items - b->closed);
  if (layout == TN_LAYOUT_LARGE_LIST_VIEW) ((int64_t *)b->extra)[b->length] = items - b->closed;
  if (extra_width(b)) put_empty(b); /* a view's offset is where it begins */
  b->closed = items;
  if (!extra_width(b)) put_empty(b);
  tn_builder_mark_valid(b);
  return TN_OK;
}

tn_status tn_builder_end_struct(tn_builder *b, tn_error *err) {
  if (b->type.layout != TN_LAYOUT_STRUCT) return wrong_kind(b, "struct", err);
  for (int64_t i = 0; i < b->child_count; i++)
    if (b->children[i]->length != b->length + 1) return not_ahead(b, i, b->length + 1, err);
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  tn_builder_mark_valid(b);
  return TN_OK;
}

tn_status tn_builder_append_union(tn_builder *b, int64_t child, tn_error *err) {
  bool dense = b->type.layout == TN_LAYOUT_DENSE_UNION;
  if (!dense && b->type.layout != TN_LAYOUT_SPARSE_UNION) return wrong_kind(b, "union", err);
  if (child < 0 || child >= b->child_count)
    return tn_fail(err, TN_ERR_ARGUMENT, "child %lld of a %s with %lld", (long long)child,
                   tn_type_name(b->type.id), (long long)b->child_count);
  int64_t length = b->children[child]->length;
  if (dense ? length == 0 : length != b->length + 1)
    return not_ahead(b, child, dense ? 1 : b->length + 1, err);
  if (length > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%lld values in a child of a union, limit 2^31 - 1",
                   (long long)length);
  for (int64_t i = 0; !dense && i < b->child_count; i++)
    TN_TRY(fill_child(b->children[i], b->length + 1, err));
  TN_TRY(tn_builder_reserve(b, 1, 0, err));
  ((int8_t *)b->values)[b->length] = b->type.codes[child];
  if (dense) ((int32_t *)b->extra)[b->length] = (int32_t)(length - 1);
  b->children[child]->used = length;
  b->length++;
  return TN_OK;
}

tn_status tn_builder_append_run(tn_builder *b, int64_t count, tn_error *err) {
  if (b->type.layout != TN_LAYOUT_RUN_END) return wrong_kind(b, "run", err);
  tn_builder *ends = b->children[0];
  if (count < 1) return tn_fail(err, TN_ERR_ARGUMENT, "a run of %lld rows", (long long)count);
  if (b->children[1]->length != ends->length + 1) return not_ahead(b, 1, ends->length + 1, err);
  if (count > ROWS_MAX - b->length || !fits(ends, b->length + count))
    return tn_fail(err, TN_ERR_LIMIT, "%lld rows more in a run-end array of %lld, run ends are %s",
                   (long long)count, (long long)b->length, tn_type_name(ends->type.id));
  TN_TRY(tn_builder_append_i64(ends, b->length + count, err));
  b->length += count;
  return TN_OK;
}

/* ---- cutting ---- */
/* The bits from `from` up to `to` become 0; returns how many were set. */
static int64_t clear_bits(uint8_t *bits, int64_t from, int64_t to) {
  int64_t set = 0;
  for (int64_t i = from; i < to; i++) {
    set += bits[i >> 3] >> (i & 7) & 1;
    bits[i >> 3] &= (uint8_t) ~(1u << (i & 7));
  }
  return set;
}

/* What belongs to rows that stay, of text or items. */
static int64_t offset_at(const tn_builder *b, int64_t row) {
  if (!b->values) return 0;
  return offset_bits(b->type.layout) == 32 ? ((const int32_t *)b->values)[row]
                                           : ((const int64_t *)b->values)[row];
}

static int64_t kept_items(const tn_builder *b, int64_t rows) {
  if (!extra_width(b)) return offset_at(b, rows);
  return rows < b->length ? offset_at(b, rows) : b->closed; /* views: where the next one began */
}

static int64_t kept_view_bytes(const tn_builder *b, int64_t rows) {
  for (int64_t row = rows; row < b->length; row++) { /* the first long text that goes */
    int32_t length, offset;
    memcpy(&length, (const char *)b->values + 16 * row, 4);
    memcpy(&offset, (const char *)b->values + 16 * row + 12, 4);
    if (length > 12) return offset;
  }
  return b->bytes_length;
}

static void cut_bytes(tn_builder *b, int64_t rows) {
  int64_t keep = b->type.layout == TN_LAYOUT_VIEW ? kept_view_bytes(b, rows) : offset_at(b, rows);
  if (b->bytes_length > keep) memset(b->bytes + keep, 0, (size_t)(b->bytes_length - keep));
  b->bytes_length = keep;
}

static int64_t run_end_at(const tn_builder *ends, int64_t run) {
  if (ends->bits == 16) return ((const int16_t *)ends->values)[run];
  return ends->bits == 32 ? ((const int32_t *)ends->values)[run]
                          : ((const int64_t *)ends->values)[run];
}

/* The run that holds the last row that stays ends there. */
static void cut_runs(tn_builder *b, int64_t rows) {
  tn_builder *ends = b->children[0];
  int64_t runs = ends->length;
  while (runs > 0 && (runs > 1 ? run_end_at(ends, runs - 2) : 0) >= rows) runs--;
  bool inside = runs > 0 && run_end_at(ends, runs - 1) > rows;
  tn_builder_cut(ends, runs - inside);
  if (inside) { /* room is there */
    tn_status status = tn_builder_append_i64(ends, rows, NULL);
    assert(status == TN_OK);
    (void)status;
  }
  tn_builder_cut(b->children[1], runs);
}

/* Values of a dense union's child that rows up to `rows` use. */
static int64_t kept_union_items(const tn_builder *b, int64_t child, int64_t rows) {
  const int8_t *codes = b->values;
  if (rows == b->length) return b->children[child]->used;
  for (int64_t row = rows - 1; row >= 0; row--)
    if (codes[row] == b->type.codes[child]) return ((const int32_t *)b->extra)[row] + 1;
  return 0;
}

static void cut_children(tn_builder *b, int64_t rows) {
  switch (b->type.layout) {
    case TN_LAYOUT_LIST:
    case TN_LAYOUT_LARGE_LIST:
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      b->closed = kept_items(b, rows);
      tn_builder_cut(b->children[0], b->closed);
      break;
    case TN_LAYOUT_FIXED_LIST:
      tn_builder_cut(b->children[0], rows * b->type.size);
      break;
    case TN_LAYOUT_RUN_END:
      cut_runs(b, rows);
      break;
    default:
      for (int64_t i = 0; i < b->child_count; i++) {
        bool dense = b->type.layout == TN_LAYOUT_DENSE_UNION;
        b->children[i]->used = dense ? kept_union_items(b, i, rows) : 0;
        tn_builder_cut(b->children[i], dense ? b->children[i]->used : rows);
      }
      break;
  }
}

static void cut_entries(tn_builder *b, int64_t rows) {
  int64_t dropped = b->length - rows, width = extra_width(b);
  if (b->valid)
    b->null_count -= dropped - clear_bits(b->valid, rows, b->length);
  else if (b->type.layout == TN_LAYOUT_NONE)
    b->null_count = rows;
  if (b->entry_bits == 1) {
    clear_bits(b->values, rows, b->length);
  } else if (b->values) {
    int64_t keep = values_bytes(b, rows);
    memset((char *)b->values + keep, 0, (size_t)(values_bytes(b, b->length) - keep));
  }
  if (b->extra) memset((char *)b->extra + rows * width, 0, (size_t)(dropped * width));
}

void tn_builder_cut(tn_builder *b, int64_t rows) {
  assert(rows >= 0);
  if (rows > b->length) rows = b->length;
  if (b->child_count) cut_children(b, rows);
  if (rows == b->length) return;
  if (has_bytes(b)) cut_bytes(b, rows);
  cut_entries(b, rows);
  b->length = rows;
}

/* ---- finishing ---- */
static void free_data(tn_buffer *buffer) {
  tn_free(buffer->data);
}

/* The buffer takes `memory` over; on failure it is still the builder's. */
static tn_status to_buffer(tn_buffer **out, void *memory, int64_t bytes, tn_error *err) {
  return memory ? tn_buffer_wrap(out, memory, (size_t)bytes, NULL, free_data, NULL, err) : TN_OK;
}

/* Views name the sizes of their data buffers in a last one. */
static tn_status view_sizes(tn_buffer **out, int64_t bytes, tn_error *err) {
  TN_TRY(tn_buffer_new(out, sizeof bytes, err));
  memcpy((*out)->data, &bytes, sizeof bytes);
  return TN_OK;
}

/* In the layout's order: validity, values, extra, bytes, sizes; *count of them. */
static tn_status take_buffers(tn_builder *b, tn_buffer *out[4], int64_t *count, tn_error *err) {
  bool view = b->type.layout == TN_LAYOUT_VIEW;
  int64_t n = 0, width = extra_width(b), bytes_length = b->bytes_length;
  if (!tn_layout_has_validity(b->type.layout) && b->entry_bits) /* codes: never NULL */
    TN_TRY(tn_builder_reserve(b, 0, 0, err));
  if (tn_layout_has_validity(b->type.layout)) {
    TN_TRY(to_buffer(&out[n++], b->valid, (b->length + 7) / 8, err));
    b->valid = NULL;
  }
  if (b->entry_bits || b->type.layout == TN_LAYOUT_FIXED) {
    TN_TRY(to_buffer(&out[n++], b->values, values_bytes(b, b->length), err));
    b->values = NULL;
  }
  if (width) {
    TN_TRY(to_buffer(&out[n++], b->extra, b->length * width, err));
    b->extra = NULL;
  }
  if (has_bytes(b) && (!view || bytes_length > 0)) {
    TN_TRY(to_buffer(&out[n++], b->bytes, bytes_length, err));
    b->bytes = NULL;
  }
  if (view && bytes_length > 0)
    TN_TRY(view_sizes(&out[n++], bytes_length, err));
  else if (view)
    n++;
  *count = n;
  return TN_OK;
}

static tn_status finish_below(tn_builder *b, ArrowArray **children, ArrowArray *dictionary,
                              tn_error *err) {
  if (b->dictionary) TN_TRY(tn_builder_finish(b->dictionary, dictionary, err));
  if (b->child_count == 0) return TN_OK;
  *children = tn_alloc((size_t)b->child_count, sizeof **children);
  if (!*children)
    return tn_fail_memory(err, "Arrow arrays", (size_t)b->child_count * sizeof **children);
  for (int64_t i = 0; i < b->child_count; i++)
    TN_TRY(tn_builder_finish(b->children[i], &(*children)[i], err));
  return TN_OK;
}

tn_status tn_builder_finish(tn_builder *b, ArrowArray *out, tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_builder_cut(b, b->length);
  ArrowArray *children = NULL, dictionary = {0};
  tn_buffer *buffers[4] = {0};
  tn_array_parts parts = {.length = b->length, .null_count = b->null_count, .buffers = buffers};
  tn_status status = take_buffers(b, buffers, &parts.buffer_count, err);
  if (status == TN_OK) status = finish_below(b, &children, &dictionary, err);
  if (status == TN_OK) {
    parts.children = children;
    parts.child_count = b->child_count;
    parts.dictionary = b->dictionary ? &dictionary : NULL;
    status = tn_array_make(out, &parts, err);
  }
  if (children)
    for (int64_t i = 0; i < b->child_count; i++) tn_array_clear(&children[i]);
  tn_array_clear(&dictionary);
  tn_free(children);
  for (int i = 0; i < 4; i++) tn_buffer_drop(buffers[i]);
  discard(b);
  return status;
}
