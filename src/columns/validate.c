/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/validate.h"

#include "columns/parquet/bits.h"
#include "columns/value.h"

enum { VIEW_INLINE_MAX = 12, VIEW_BYTES = 16 };

/* ---- one node's own numbers ---- */
static tn_status bad(tn_error *err, const char *what, int64_t number) {
  return tn_fail(err, TN_ERR_DATA, "%s %lld", what, (long long)number);
}

static bool needs_buffer(const tn_field *f, const ArrowArray *a, int64_t i) {
  tn_layout layout = f->type.layout;
  if (tn_layout_has_validity(layout) && i == 0) return a->null_count > 0;
  if (layout == TN_LAYOUT_FIXED && f->type.bits == 0) return false;
  if ((layout == TN_LAYOUT_BYTES || layout == TN_LAYOUT_LARGE_BYTES) && i == 2) return false;
  if (layout == TN_LAYOUT_VIEW && i > 1) return false; /* by its size, when a view looks there */
  return true;
}

static tn_status check_buffers(const tn_field *f, const ArrowArray *a, tn_error *err) {
  int64_t want = tn_layout_buffers(f->type.layout);
  bool view = f->type.layout == TN_LAYOUT_VIEW;
  if (view ? a->n_buffers < want : a->n_buffers != want)
    return tn_fail(err, TN_ERR_DATA, "a %s with %lld buffers, expected %lld%s",
                   tn_type_name(f->type.id), (long long)a->n_buffers, (long long)want,
                   view ? " or more" : "");
  if (want > 0 && !a->buffers) return tn_fail(err, TN_ERR_DATA, "no table of buffers");
  for (int64_t i = 0; a->length > 0 && i < a->n_buffers; i++)
    if (!a->buffers[i] && needs_buffer(f, a, i))
      return tn_fail(err, TN_ERR_DATA, "%lld rows of %s, but buffer %lld is missing",
                     (long long)a->length, tn_type_name(f->type.id), (long long)i);
  return TN_OK;
}

/* The count, where given, is that of the bitmap. */
static tn_status check_nulls(const tn_field *f, const ArrowArray *a, tn_error *err) {
  if (a->null_count < 0 || a->length == 0 || !tn_layout_has_validity(f->type.layout)) return TN_OK;
  int64_t nulls = 0;
  if (a->buffers[0]) nulls = a->length - tn_bits_count(a->buffers[0], a->offset, a->length);
  if (nulls == a->null_count) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%lld nulls, but %lld are said", (long long)nulls,
                 (long long)a->null_count);
}

static tn_status check_head(const tn_field *f, const ArrowArray *a, tn_error *err) {
  int64_t end;
  if (!a->release) return tn_fail(err, TN_ERR_DATA, "a released array");
  if (a->length < 0) return bad(err, "an array of length", a->length);
  if (a->offset < 0) return bad(err, "an array at offset", a->offset);
  if (__builtin_add_overflow(a->length, a->offset, &end) || end > INT64_MAX / 64)
    return bad(err, "an array that ends at", a->length);
  if (a->null_count < -1 || a->null_count > a->length)
    return tn_fail(err, TN_ERR_DATA, "%lld nulls in %lld rows", (long long)a->null_count,
                   (long long)a->length);
  if (a->n_children != f->child_count)
    return tn_fail(err, TN_ERR_DATA, "a %s with %lld children, expected %lld",
                   tn_type_name(f->type.id), (long long)a->n_children, (long long)f->child_count);
  for (int64_t i = 0; i < a->n_children; i++)
    if (!a->children || !a->children[i]) return bad(err, "no array for child", i);
  if (!a->dictionary != !f->dictionary)
    return tn_fail(
        err, TN_ERR_DATA,
        f->dictionary ? "indices without their dictionary" : "a dictionary nobody declared");
  TN_TRY(check_buffers(f, a, err));
  return check_nulls(f, a, err);
}

/* Children of the same rows: at least as long as the parent needs. */
static tn_status check_child_rows(const tn_field *f, const ArrowArray *a, int64_t child,
                                  int64_t rows, tn_error *err) {
  if (a->children[child]->length >= rows) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "child \"%s\" has %lld rows, %lld are needed",
                 f->children[child].name, (long long)a->children[child]->length, (long long)rows);
}

/* ---- offsets ---- */
static int64_t offset_at(const void *offsets, bool large, int64_t i) {
  return large ? ((const int64_t *)offsets)[i] : ((const int32_t *)offsets)[i];
}

/* `limit`: what the last may be; -1: not known. */
static tn_status check_offsets(const ArrowArray *a, bool large, int64_t limit, tn_error *err) {
  if (a->length == 0) return TN_OK; /* the buffer may be empty */
  int64_t last = 0;
  for (int64_t i = 0; i <= a->length; i++) {
    int64_t offset = offset_at(a->buffers[1], large, a->offset + i);
    if (offset < last)
      return tn_fail(err, TN_ERR_DATA, "row %lld: offset %lld behind %lld", (long long)i,
                     (long long)offset, (long long)last);
    last = offset;
  }
  if (limit < 0 || last <= limit) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "offsets reach %lld, the child has %lld rows", (long long)last,
                 (long long)limit);
}

static tn_status check_bytes(const ArrowArray *a, bool large, tn_error *err) {
  TN_TRY(check_offsets(a, large, -1, err));
  if (a->length == 0 || a->buffers[2] ||
      offset_at(a->buffers[1], large, a->offset) ==
          offset_at(a->buffers[1], large, a->offset + a->length))
    return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "text without a buffer of bytes");
}

static tn_status check_list_views(const ArrowArray *a, bool large, tn_error *err) {
  for (int64_t row = 0; row < a->length; row++) {
    if (tn_array_is_null(a, row)) continue;
    int64_t from = offset_at(a->buffers[1], large, a->offset + row);
    int64_t count = offset_at(a->buffers[2], large, a->offset + row);
    int64_t length = a->children[0]->length;
    if (from < 0 || count < 0 || from > length || count > length - from)
      return tn_fail(err, TN_ERR_DATA, "row %lld: items %lld to %lld more of %lld", (long long)row,
                     (long long)from, (long long)count, (long long)length);
  }
  return TN_OK;
}

static tn_status check_views(const ArrowArray *a, tn_error *err) {
  const int64_t *sizes = a->buffers[a->n_buffers - 1];
  for (int64_t row = 0; row < a->length; row++) {
    int32_t view[4];
    if (tn_array_is_null(a, row)) continue;
    memcpy(view, (const char *)a->buffers[1] + (a->offset + row) * VIEW_BYTES, VIEW_BYTES);
    if (view[0] < 0)
      return tn_fail(err, TN_ERR_DATA, "row %lld: text of %d bytes", (long long)row, view[0]);
    if (view[0] <= VIEW_INLINE_MAX) continue;
    bool inside = sizes && view[2] >= 0 && view[2] < a->n_buffers - 3 && view[3] >= 0 &&
                  (int64_t)view[3] + view[0] <= sizes[view[2]] && a->buffers[2 + view[2]];
    if (!inside)
      return tn_fail(err, TN_ERR_DATA, "row %lld: %d bytes at %d of data buffer %d are outside",
                     (long long)row, view[0], view[3], view[2]);
    if (memcmp(&view[1], (const char *)a->buffers[2 + view[2]] + view[3], 4) != 0)
      return tn_fail(err, TN_ERR_DATA, "row %lld: a view's prefix is not that of its text",
                     (long long)row);
  }
  return TN_OK;
}

static tn_status check_fixed_list(const tn_field *f, const ArrowArray *a, tn_error *err) {
  int64_t rows;
  if (__builtin_mul_overflow(a->length + a->offset, (int64_t)f->type.size, &rows))
    return bad(err, "fixed-size lists, a number of", a->length);
  return check_child_rows(f, a, 0, a->length ? rows : 0, err);
}

/* ---- unions, runs, dictionaries ---- */
static tn_status check_union(const tn_field *f, const ArrowArray *a, bool dense, tn_error *err) {
  int32_t child_of[256];
  for (int i = 0; i < 256; i++) child_of[i] = -1;
  for (int32_t c = 0; c < f->type.code_count; c++) child_of[(uint8_t)f->type.codes[c]] = c;
  for (int64_t c = 0; !dense && c < f->child_count; c++)
    TN_TRY(check_child_rows(f, a, c, a->length ? a->offset + a->length : 0, err));
  for (int64_t row = 0; row < a->length; row++) {
    int8_t code = ((const int8_t *)a->buffers[0])[a->offset + row];
    int32_t child = child_of[(uint8_t)code];
    if (child < 0)
      return tn_fail(err, TN_ERR_DATA, "row %lld: type code %d of no child", (long long)row, code);
    if (!dense) continue;
    int32_t at = ((const int32_t *)a->buffers[1])[a->offset + row];
    if (at < 0 || at >= a->children[child]->length)
      return tn_fail(err, TN_ERR_DATA, "row %lld: value %d of child \"%s\", which has %lld",
                     (long long)row, at, f->children[child].name,
                     (long long)a->children[child]->length);
  }
  return TN_OK;
}

static tn_status check_runs(const tn_field *f, const ArrowArray *a, tn_error *err) {
  const ArrowArray *ends = a->children[0];
  int64_t last = 0;
  TN_TRY(check_child_rows(f, a, 1, ends->length, err));
  for (int64_t run = 0; run < ends->length; run++) {
    int64_t end = tn_value_i64(&f->children[0], ends, run);
    if (tn_array_is_null(ends, run) || end <= last)
      return tn_fail(err, TN_ERR_DATA, "run %lld ends at %lld, the one before at %lld",
                     (long long)run, (long long)end, (long long)last);
    last = end;
  }
  if (a->length == 0 || last >= a->offset + a->length) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "runs end at %lld, rows %lld to %lld are shown", (long long)last,
                 (long long)a->offset, (long long)(a->offset + a->length));
}

static tn_status check_indices(const tn_field *f, const ArrowArray *a, tn_error *err) {
  int64_t values = a->dictionary->length;
  for (int64_t row = 0; row < a->length; row++) {
    if (tn_array_is_null(a, row)) continue;
    int64_t index = tn_value_index(f, a, row);
    if (index < 0 || index >= values)
      return tn_fail(err, TN_ERR_DATA, "row %lld: index %lld of a dictionary of %lld",
                     (long long)row, (long long)index, (long long)values);
  }
  return TN_OK;
}

/* ---- text ---- */
static tn_status check_text(const tn_field *f, const ArrowArray *a, tn_error *err) {
  for (int64_t row = 0; row < a->length; row++) {
    if (tn_utf8_valid(tn_value_bytes(f, a, row))) continue;
    return tn_fail(err, TN_ERR_DATA, "row %lld: text that is not UTF-8", (long long)row);
  }
  return TN_OK;
}

static bool begins_inside(const uint8_t *bytes, int64_t at, int64_t end) {
  return at < end && (bytes[at] & 0xC0) == 0x80;
}

/* All text at once: valid, and no row begins inside a character.  False: row by row then, since
 * what is wrong may stand under a null. */
static bool all_text_valid(const ArrowArray *a, bool large) {
  if (a->length == 0) return true;
  const uint8_t *bytes = a->buffers[2];
  int64_t from = offset_at(a->buffers[1], large, a->offset);
  int64_t end = offset_at(a->buffers[1], large, a->offset + a->length);
  if (from == end) return true;
  if (!tn_utf8_valid((tn_str){(const char *)bytes + from, (size_t)(end - from)})) return false;
  bool inside = false;
  for (int64_t i = 0; i < a->length; i++)
    inside |= begins_inside(bytes, offset_at(a->buffers[1], large, a->offset + i), end);
  return !inside;
}

static tn_status check_utf8(const tn_field *f, const ArrowArray *a, tn_error *err) {
  bool large = f->type.layout == TN_LAYOUT_LARGE_BYTES;
  if (f->type.layout != TN_LAYOUT_VIEW && all_text_valid(a, large)) return TN_OK;
  return check_text(f, a, err);
}

/* ---- the tree ---- */
static tn_status check_layout(const tn_field *f, const ArrowArray *a, tn_error *err) {
  switch (f->type.layout) {
    case TN_LAYOUT_NONE:
    case TN_LAYOUT_BITS:
    case TN_LAYOUT_FIXED:
      return TN_OK;
    case TN_LAYOUT_BYTES:
    case TN_LAYOUT_LARGE_BYTES:
      return check_bytes(a, f->type.layout == TN_LAYOUT_LARGE_BYTES, err);
    case TN_LAYOUT_VIEW:
      return check_views(a, err);
    case TN_LAYOUT_LIST:
    case TN_LAYOUT_LARGE_LIST:
      return check_offsets(a, f->type.layout == TN_LAYOUT_LARGE_LIST, a->children[0]->length, err);
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return check_list_views(a, f->type.layout == TN_LAYOUT_LARGE_LIST_VIEW, err);
    case TN_LAYOUT_FIXED_LIST:
      return check_fixed_list(f, a, err);
    case TN_LAYOUT_STRUCT:
      for (int64_t i = 0; a->length && i < a->n_children; i++)
        TN_TRY(check_child_rows(f, a, i, a->offset + a->length, err));
      return TN_OK;
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_SPARSE_UNION:
      return check_union(f, a, f->type.layout == TN_LAYOUT_DENSE_UNION, err);
    case TN_LAYOUT_RUN_END:
      return check_runs(f, a, err);
  }
  return TN_OK;
}

static tn_status check_below(const tn_field *f, const ArrowArray *a, bool utf8, tn_error *err) {
  for (int64_t i = 0; i < f->child_count; i++) {
    tn_status status = tn_array_validate(&f->children[i], a->children[i], utf8, err);
    if (status != TN_OK) return tn_error_context(err, status, "\"%s\"", f->children[i].name);
  }
  if (!f->dictionary) return TN_OK;
  tn_status status = tn_array_validate(f->dictionary, a->dictionary, utf8, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "dictionary");
}

tn_status tn_array_validate(const tn_field *field, const ArrowArray *array, bool utf8,
                            tn_error *err) {
  TN_TRY(check_head(field, array, err));
  TN_TRY(check_below(field, array, utf8, err)); /* first: what the parent looks into */
  TN_TRY(check_layout(field, array, err));
  if (field->dictionary) TN_TRY(check_indices(field, array, err));
  return utf8 && tn_type_is_text(field->type.id) ? check_utf8(field, array, err) : TN_OK;
}
