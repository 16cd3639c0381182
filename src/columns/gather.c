/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/gather.h"

#include "columns/array.h"
#include "columns/picks.h"

static tn_status pick_rows(tn_picks *picks, const ArrowArray *array, const int64_t *rows,
                           int64_t count, tn_error *err) {
  for (int64_t i = 0; i < count; i++) {
    if (rows[i] < -1 || rows[i] >= array->length)
      return tn_fail(err, TN_ERR_ARGUMENT, "row %lld of an array of %lld", (long long)rows[i],
                     (long long)array->length);
    bool null = rows[i] < 0;
    TN_TRY(tn_picks_add(picks, null ? NULL : array, null ? 0 : rows[i], 1, err));
  }
  return TN_OK;
}

tn_status tn_array_gather(ArrowArray *out, const tn_field *field, const ArrowArray *array,
                          const int64_t *rows, int64_t count, tn_error *err) {
  tn_picks picks = {0};
  memset(out, 0, sizeof *out);
  tn_status status = pick_rows(&picks, array, rows, count, err);
  if (status == TN_OK) status = tn_picks_assemble(out, field, field->nullable, false, &picks, err);
  tn_picks_clear(&picks);
  return status;
}

tn_status tn_array_concat(ArrowArray *out, const tn_field *field, const ArrowArray *const *arrays,
                          int64_t count, tn_error *err) {
  tn_picks picks = {0};
  tn_status status = TN_OK;
  memset(out, 0, sizeof *out);
  for (int64_t i = 0; status == TN_OK && i < count; i++)
    status = tn_picks_add(&picks, arrays[i], 0, arrays[i]->length, err);
  if (status == TN_OK) status = tn_picks_assemble(out, field, field->nullable, false, &picks, err);
  tn_picks_clear(&picks);
  return status;
}

/* ---- plain ---- */
bool tn_field_is_plain(const tn_field *field) {
  tn_layout layout = field->type.layout;
  if (field->dictionary || layout == TN_LAYOUT_VIEW || layout == TN_LAYOUT_RUN_END ||
      layout == TN_LAYOUT_LIST_VIEW || layout == TN_LAYOUT_LARGE_LIST_VIEW)
    return false;
  for (int64_t i = 0; i < field->child_count; i++)
    if (!tn_field_is_plain(&field->children[i])) return false;
  return true;
}

static const char *plain_format(const char *format) {
  static const char *const pairs[][2] = {{"vu", "u"}, {"vz", "z"}, {"+vl", "+l"}, {"+vL", "+L"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (strcmp(format, pairs[i][0]) == 0) return pairs[i][1];
  return format;
}

/* `flags` holds what the encodings on the way here allowed. */
static tn_status plain_schema(ArrowSchema *out, const ArrowSchema *named, const ArrowSchema *from,
                              int64_t flags, int32_t depth, tn_error *err) {
  if (depth > TN_FIELD_DEPTH_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "Arrow schema: nested deeper than %d", TN_FIELD_DEPTH_MAX);
  flags |= from->flags & ARROW_FLAG_NULLABLE;
  if (from->dictionary) return plain_schema(out, named, from->dictionary, flags, depth + 1, err);
  if (strcmp(from->format, "+r") == 0 && from->n_children == 2)
    return plain_schema(out, named, from->children[1], flags, depth + 1, err);
  flags |= from->flags & ARROW_FLAG_MAP_KEYS_SORTED;
  TN_TRY(
      tn_schema_init(out, plain_format(from->format), named->name ? named->name : "", flags, err));
  if (named->metadata) TN_TRY(tn_schema_set_metadata(out, named->metadata, err));
  TN_TRY(tn_schema_add_children(out, from->n_children, err));
  for (int64_t i = 0; i < from->n_children; i++)
    TN_TRY(plain_schema(out->children[i], from->children[i], from->children[i], 0, depth + 1, err));
  return TN_OK;
}

tn_status tn_plain_schema(ArrowSchema *out, const ArrowSchema *schema, tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_status status = plain_schema(out, schema, schema, 0, 0, err);
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}

/* The child as rows [array->offset, + length) of it, which is what the parent shows; moved. */
static ArrowArray take_child(ArrowArray *array, int64_t i) {
  ArrowArray child = *array->children[i];
  array->children[i]->release = NULL;
  child.offset += array->offset;
  if (child.length != array->length && child.null_count != 0) child.null_count = -1;
  child.length = array->length;
  return child;
}

static tn_status plain_struct(ArrowArray *out, const tn_field *field, ArrowArray *array,
                              tn_error *err) {
  tn_picks picks = {0};
  tn_buffer *valid = NULL;
  tn_array_parts parts = {.length = array->length, .buffers = &valid, .buffer_count = 1};
  ArrowArray *children = tn_alloc((size_t)field->child_count, sizeof *children);
  tn_status status =
      children ? TN_OK
               : tn_fail_memory(err, "Arrow arrays", (size_t)field->child_count * sizeof *children);
  if (status == TN_OK) status = tn_picks_add(&picks, array, 0, array->length, err);
  if (status == TN_OK) status = tn_picks_validity(&valid, true, &picks, &parts.null_count, err);
  for (int64_t i = 0; status == TN_OK && i < field->child_count; i++) {
    ArrowArray child = take_child(array, i);
    status = tn_array_plain(&children[i], &field->children[i], &child, err);
  }
  parts.children = children;
  parts.child_count = children ? field->child_count : 0;
  if (status == TN_OK) status = tn_array_make(out, &parts, err);
  for (int64_t i = 0; i < parts.child_count; i++) tn_array_clear(&children[i]);
  tn_free(children);
  tn_buffer_drop(valid);
  tn_picks_clear(&picks);
  tn_array_clear(array);
  return status;
}

tn_status tn_array_plain(ArrowArray *out, const tn_field *field, ArrowArray *array, tn_error *err) {
  memset(out, 0, sizeof *out);
  if (tn_field_is_plain(field)) {
    *out = *array;
    array->release = NULL;
    return TN_OK;
  }
  if (field->type.layout == TN_LAYOUT_STRUCT) return plain_struct(out, field, array, err);
  tn_picks picks = {0};
  tn_status status = tn_picks_add(&picks, array, 0, array->length, err);
  if (status == TN_OK) status = tn_picks_assemble(out, field, field->nullable, true, &picks, err);
  tn_picks_clear(&picks);
  tn_array_clear(array);
  return status;
}
