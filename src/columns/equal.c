/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/equal.h"

#include "columns/decimal.h"
#include "columns/value.h"

static bool is_list(tn_type_id id) {
  return id >= TN_TYPE_LIST && id <= TN_TYPE_FIXED_LIST;
}

static bool same_kind(const tn_type *a, const tn_type *b) {
  if (tn_type_is_text(a->id)) return tn_type_is_text(b->id);
  if (tn_type_is_bytes(a->id)) return tn_type_is_bytes(b->id) && !tn_type_is_text(b->id);
  if (tn_type_is_decimal(a->id)) return tn_type_is_decimal(b->id) && a->scale == b->scale;
  if (is_list(a->id)) return is_list(b->id);
  return a->id == b->id && a->unit == b->unit && tn_str_equal(a->timezone, b->timezone);
}

static bool same_value(tn_value a, tn_value b);

static bool same_bytes(const tn_value *a, const tn_value *b) {
  return tn_str_equal(tn_value_bytes(a->field, a->array, a->row),
                      tn_value_bytes(b->field, b->array, b->row));
}

static bool same_decimal(const tn_value *a, const tn_value *b) {
  tn_decimal_value x =
      tn_decimal_load(tn_value_bytes(a->field, a->array, a->row).data, a->field->type.bits);
  tn_decimal_value y =
      tn_decimal_load(tn_value_bytes(b->field, b->array, b->row).data, b->field->type.bits);
  return tn_decimal_compare(&x, &y) == 0;
}

static bool same_real(const tn_value *a, const tn_value *b) {
  double x = tn_value_f64(a->field, a->array, a->row);
  double y = tn_value_f64(b->field, b->array, b->row);
  return same_bytes(a, b) || (x != x && y != y);
}

static tn_value child_at(const tn_value *v, int64_t child, int64_t row) {
  return (tn_value){&v->field->children[child], v->array->children[child], row};
}

static bool same_list(const tn_value *a, const tn_value *b) {
  int64_t from_a, from_b, count = tn_value_items(a->field, a->array, a->row, &from_a);
  if (tn_value_items(b->field, b->array, b->row, &from_b) != count) return false;
  for (int64_t i = 0; i < count; i++)
    if (!same_value(child_at(a, 0, from_a + i), child_at(b, 0, from_b + i))) return false;
  return true;
}

static bool same_struct(const tn_value *a, const tn_value *b) {
  if (a->field->child_count != b->field->child_count) return false;
  for (int64_t i = 0; i < a->field->child_count; i++) {
    if (strcmp(a->field->children[i].name, b->field->children[i].name) != 0) return false;
    if (!same_value(child_at(a, i, a->array->offset + a->row),
                    child_at(b, i, b->array->offset + b->row)))
      return false;
  }
  return true;
}

/* A map's entries and their fields may have any name. */
static bool same_map(const tn_value *a, const tn_value *b) {
  int64_t from_a, from_b, count = tn_value_items(a->field, a->array, a->row, &from_a);
  if (tn_value_items(b->field, b->array, b->row, &from_b) != count) return false;
  tn_value x = child_at(a, 0, 0), y = child_at(b, 0, 0);
  for (int64_t i = 0; i < 2 * count; i++) {
    int64_t row_a = x.array->offset + from_a + i / 2, row_b = y.array->offset + from_b + i / 2;
    if (!same_value(child_at(&x, i % 2, row_a), child_at(&y, i % 2, row_b))) return false;
  }
  return true;
}

static bool is_union(const tn_value *v) {
  return v->field->type.code_count > 0;
}

static bool same_union(tn_value a, tn_value b) {
  const int8_t *codes_a = a.array->buffers[0], *codes_b = b.array->buffers[0];
  if (!is_union(&a) || !is_union(&b)) return false;
  if (codes_a[a.array->offset + a.row] != codes_b[b.array->offset + b.row]) return false;
  return same_value(tn_value_of_union(&a), tn_value_of_union(&b));
}

static bool same_value(tn_value a, tn_value b) {
  bool in_a = tn_value_find_union(&a), in_b = tn_value_find_union(&b);
  if (!in_a || !in_b) return in_a == in_b;
  if (is_union(&a) || is_union(&b)) return same_union(a, b);
  const tn_type *t = &a.field->type;
  if (!same_kind(t, &b.field->type)) return false;
  if (t->id == TN_TYPE_STRUCT) return same_struct(&a, &b);
  if (t->id == TN_TYPE_MAP) return same_map(&a, &b);
  if (is_list(t->id)) return same_list(&a, &b);
  if (tn_type_is_decimal(t->id)) return same_decimal(&a, &b);
  if (tn_type_is_real(t->id)) return same_real(&a, &b);
  if (t->id == TN_TYPE_BOOL)
    return tn_value_i64(a.field, a.array, a.row) == tn_value_i64(b.field, b.array, b.row);
  return same_bytes(&a, &b);
}

int64_t tn_array_difference(const tn_field *field_a, const ArrowArray *a, const tn_field *field_b,
                            const ArrowArray *b) {
  int64_t length = a->length < b->length ? a->length : b->length;
  for (int64_t row = 0; row < length; row++)
    if (!same_value((tn_value){field_a, a, row}, (tn_value){field_b, b, row})) return row;
  return a->length == b->length ? -1 : length;
}

bool tn_array_equal(const tn_field *field_a, const ArrowArray *a, const tn_field *field_b,
                    const ArrowArray *b) {
  return tn_array_difference(field_a, a, field_b, b) < 0;
}
