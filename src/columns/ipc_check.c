/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_check.h"

enum { VIEW_INLINE_MAX = 12 };

typedef struct view { /* 16 bytes, read by memcpy: text may lie anywhere */
  int32_t length;
  uint8_t prefix[4];
  int32_t buffer, offset;
} view;
_Static_assert(sizeof(view) == 16, "the view layout");

static bool is_valid(const tn_ipc_bytes *validity, int64_t row) {
  return !validity->data || (validity->data[row >> 3] >> (row & 7)) & 1;
}

static int64_t count_valid(const uint8_t *bits, int64_t rows) {
  int64_t valid = 0, i = 0;
  for (uint64_t word; i + 64 <= rows; i += 64) {
    memcpy(&word, bits + i / 8, 8);
    valid += __builtin_popcountll(word);
  }
  for (; i < rows; i++) valid += (bits[i / 8] >> (i % 8)) & 1;
  return valid;
}

static const char *check_validity(const tn_ipc_bytes *validity, int64_t rows, int64_t nulls) {
  if (nulls < 0 || nulls > rows) return "an impossible number of nulls";
  if (!validity->data) return nulls == 0 ? NULL : "nulls without a validity buffer";
  if (rows - count_valid(validity->data, rows) != nulls)
    return "the validity bits do not add up to the number of nulls";
  return NULL;
}

/* ---- offsets ---- */
/* Ascending from 0 or more to at most `end`. */
static const char *check_offsets32(const int32_t *p, int64_t rows, int64_t end) {
  int32_t out_of_order = p[0] < 0;
  for (int64_t i = 0; i < rows; i++) out_of_order |= p[i + 1] < p[i];
  return out_of_order || p[rows] > end ? "offsets out of order or beyond what they lead to" : NULL;
}
static const char *check_offsets64(const int64_t *p, int64_t rows, int64_t end) {
  int64_t out_of_order = p[0] < 0;
  for (int64_t i = 0; i < rows; i++) out_of_order |= p[i + 1] < p[i];
  return out_of_order || p[rows] > end ? "offsets out of order or beyond what they lead to" : NULL;
}

static const char *check_ranges(const tn_ipc_bytes *b, bool large, int64_t rows, int64_t end) {
  const int32_t *offset32 = (const void *)b[1].data, *size32 = (const void *)b[2].data;
  const int64_t *offset64 = (const void *)b[1].data, *size64 = (const void *)b[2].data;
  for (int64_t i = 0; i < rows; i++) {
    int64_t offset = large ? offset64[i] : offset32[i], size = large ? size64[i] : size32[i];
    if (offset < 0 || size < 0 || offset > end || size > end - offset)
      return "a list view lies outside its values";
  }
  return NULL;
}

/* ---- views, unions, run ends, indices ---- */
static const char *check_views(const tn_ipc_bytes *b, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < rows; i++) {
    view v;
    if (!is_valid(&b[0], i)) continue;
    memcpy(&v, b[1].data + 16 * i, 16);
    if (v.length < 0) return "a view of less than no bytes";
    if (v.length <= VIEW_INLINE_MAX) continue;
    if (v.buffer < 0 || v.buffer >= count - 2 || v.offset < 0 ||
        (int64_t)v.offset + v.length > b[2 + v.buffer].bytes)
      return "a view lies outside its data buffers";
    if (memcmp(v.prefix, b[2 + v.buffer].data + v.offset, 4) != 0)
      return "a view's first bytes are not those that it leads to";
  }
  return NULL;
}

static const char *check_union(const tn_field *f, int64_t rows, const tn_ipc_bytes *b,
                               const ArrowArray *children) {
  const tn_type *t = &f->type;
  bool dense = t->layout == TN_LAYOUT_DENSE_UNION;
  const int8_t *codes = (const int8_t *)b[0].data;
  const int32_t *offsets = dense ? (const void *)b[1].data : NULL;
  int64_t lengths[256]; /* by code as an unsigned byte; -1: no such code */
  for (int i = 0; i < 256; i++) lengths[i] = -1;
  for (int32_t i = 0; i < t->code_count; i++) {
    lengths[(uint8_t)t->codes[i]] = children[i].length;
    if (!dense && children[i].length < rows) return "a child of a sparse union is too short";
  }
  for (int64_t i = 0; i < rows; i++) {
    int64_t length = lengths[(uint8_t)codes[i]];
    if (length < 0) return "a type code that the union does not have";
    if (dense && (offsets[i] < 0 || offsets[i] >= length))
      return "an offset of a dense union beyond its child";
  }
  return NULL;
}

static int64_t integer_at(const void *p, int32_t bits, int64_t i) {
  switch (bits) {
    case 8:
      return ((const int8_t *)p)[i];
    case 16:
      return ((const int16_t *)p)[i];
    case 32:
      return ((const int32_t *)p)[i];
    default:
      return ((const int64_t *)p)[i];
  }
}

static const char *check_run_ends(const tn_field *f, int64_t rows, const ArrowArray *children) {
  const ArrowArray *ends = &children[0];
  int32_t bits = f->children[0].type.bits;
  int64_t last = 0;
  if (ends->null_count != 0) return "run ends that are null";
  if (children[1].length < ends->length) return "fewer values than runs";
  for (int64_t i = 0; i < ends->length; i++) {
    int64_t end = integer_at(ends->buffers[1], bits, i);
    if (end <= last) return "run ends out of order";
    last = end;
  }
  return last < rows ? "the runs end before the rows do" : NULL;
}

static const char *check_indices(const tn_field *f, int64_t rows, const tn_ipc_bytes *b,
                                 int64_t length) {
  for (int64_t i = 0; i < rows; i++) {
    if (!is_valid(&b[0], i)) continue;
    int64_t index = integer_at(b[1].data, f->type.bits, i);
    if (!tn_type_is_signed(f->type.id) && f->type.bits < 64)
      index &= ((int64_t)1 << f->type.bits) - 1;
    if (index < 0 || index >= length) return "a dictionary index beyond the dictionary";
  }
  return NULL;
}

/* ---- nested ---- */
static const char *check_fixed_list(const tn_field *f, int64_t rows, const ArrowArray *children) {
  int64_t items;
  if (__builtin_mul_overflow(rows, (int64_t)f->type.size, &items) || children[0].length < items)
    return "a fixed-size list with too few values";
  return NULL;
}

static const char *check_struct(const tn_field *f, int64_t rows, const ArrowArray *children) {
  for (int64_t i = 0; i < f->child_count; i++)
    if (children[i].length < rows) return "a child of a struct is too short";
  return NULL;
}

static const char *check_map(const ArrowArray *entries) {
  return entries->null_count != 0 || entries->children[0]->null_count != 0
             ? "a map with null entries or keys"
             : NULL;
}

/* Rows there are: a buffer of one entry a row is never missing here. */
static const char *check_rows(const tn_field *f, int64_t rows, const tn_ipc_bytes *b, int64_t count,
                              const ArrowArray *children) {
  switch (f->type.layout) {
    case TN_LAYOUT_BYTES:
      return check_offsets32((const void *)b[1].data, rows, b[2].bytes);
    case TN_LAYOUT_LARGE_BYTES:
      return check_offsets64((const void *)b[1].data, rows, b[2].bytes);
    case TN_LAYOUT_LIST:
      return check_offsets32((const void *)b[1].data, rows, children[0].length);
    case TN_LAYOUT_LARGE_LIST:
      return check_offsets64((const void *)b[1].data, rows, children[0].length);
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return check_ranges(b, f->type.layout == TN_LAYOUT_LARGE_LIST_VIEW, rows, children[0].length);
    case TN_LAYOUT_VIEW:
      return check_views(b, count, rows);
    case TN_LAYOUT_FIXED_LIST:
      return check_fixed_list(f, rows, children);
    case TN_LAYOUT_STRUCT:
      return check_struct(f, rows, children);
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_SPARSE_UNION:
      return check_union(f, rows, b, children);
    default:
      return NULL;
  }
}

const char *tn_ipc_check_array(const tn_field *f, int64_t rows, int64_t nulls,
                               const tn_ipc_bytes *buffers, int64_t count,
                               const ArrowArray *children, const ArrowArray *dictionary) {
  const char *wrong = NULL;
  if (tn_layout_has_validity(f->type.layout)) wrong = check_validity(&buffers[0], rows, nulls);
  if (!wrong && rows > 0) wrong = check_rows(f, rows, buffers, count, children);
  if (!wrong && f->type.layout == TN_LAYOUT_RUN_END) wrong = check_run_ends(f, rows, children);
  if (!wrong && f->type.id == TN_TYPE_MAP) wrong = check_map(&children[0]);
  if (!wrong && dictionary) wrong = check_indices(f, rows, buffers, dictionary->length);
  return wrong;
}
