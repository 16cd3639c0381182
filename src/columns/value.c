/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/value.h"

#include <math.h>

#include "columns/decimal.h"
#include "columns/half.h"

static int64_t int_at(const void *values, int32_t bits, int64_t i) {
  switch (bits) {
    case 8:
      return ((const int8_t *)values)[i];
    case 16:
      return ((const int16_t *)values)[i];
    case 32:
      return ((const int32_t *)values)[i];
    default:
      return ((const int64_t *)values)[i];
  }
}

/* Integers of any width; a uint64 as its bits. */
static int64_t integer_at(tn_type_id id, const void *values, int64_t i) {
  switch (id) {
    case TN_TYPE_INT8:
      return ((const int8_t *)values)[i];
    case TN_TYPE_UINT8:
      return ((const uint8_t *)values)[i];
    case TN_TYPE_INT16:
      return ((const int16_t *)values)[i];
    case TN_TYPE_UINT16:
      return ((const uint16_t *)values)[i];
    case TN_TYPE_INT32:
      return ((const int32_t *)values)[i];
    case TN_TYPE_UINT32:
      return ((const uint32_t *)values)[i];
    default:
      return ((const int64_t *)values)[i];
  }
}

/* ---- finding ---- */
/* The first run whose end lies behind the row. */
static int64_t run_of(const tn_field *ends_field, const ArrowArray *ends, int64_t row) {
  int64_t low = 0, high = ends->length - 1;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (int_at(ends->buffers[1], ends_field->type.bits, ends->offset + middle) > row)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static int32_t child_of_code(const tn_type *t, int8_t code) {
  int32_t child = 0;
  while (child < t->code_count - 1 && t->codes[child] != code) child++;
  return child;
}

/* One step into what a union, run-end or dictionary array refers to. */
static void step(tn_value *v) {
  const tn_field *f = v->field;
  const ArrowArray *a = v->array;
  int64_t i = a->offset + v->row, child;
  switch (f->type.layout) {
    case TN_LAYOUT_RUN_END:
      v->row = run_of(&f->children[0], a->children[0], i);
      child = 1;
      break;
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_SPARSE_UNION:
      child = child_of_code(&f->type, ((const int8_t *)a->buffers[0])[i]);
      v->row = f->type.layout == TN_LAYOUT_DENSE_UNION ? ((const int32_t *)a->buffers[1])[i] : i;
      break;
    default:
      v->row = tn_value_index(f, a, v->row);
      v->field = f->dictionary;
      v->array = a->dictionary;
      return;
  }
  v->field = &f->children[child];
  v->array = a->children[child];
}

static bool is_union(tn_layout layout) {
  return layout == TN_LAYOUT_DENSE_UNION || layout == TN_LAYOUT_SPARSE_UNION;
}

static bool find(tn_value *v, bool through_unions) {
  for (;;) {
    tn_layout layout = v->field->type.layout;
    if (tn_layout_has_validity(layout)) {
      if (tn_array_is_null(v->array, v->row)) return false;
      if (!v->field->dictionary) return true;
    } else if (layout == TN_LAYOUT_NONE) {
      return false;
    } else if (!through_unions && is_union(layout)) {
      return true;
    }
    step(v);
  }
}

bool tn_value_find(tn_value *v) {
  return find(v, true);
}

bool tn_value_find_union(tn_value *v) {
  return find(v, false);
}

tn_value tn_value_of_union(const tn_value *v) {
  tn_value inner = *v;
  step(&inner);
  return inner;
}

bool tn_value_is_null(const tn_field *field, const ArrowArray *array, int64_t row) {
  tn_value v = {field, array, row};
  return !tn_value_find(&v);
}

/* ---- reading ---- */
static tn_str view_bytes(const ArrowArray *a, int64_t i) {
  const char *view = (const char *)a->buffers[1] + 16 * i;
  int32_t length, buffer, offset;
  memcpy(&length, view, 4);
  if (length <= 12) return (tn_str){view + 4, (size_t)length};
  memcpy(&buffer, view + 8, 4);
  memcpy(&offset, view + 12, 4);
  return (tn_str){(const char *)a->buffers[2 + buffer] + offset, (size_t)length};
}

tn_str tn_value_bytes(const tn_field *field, const ArrowArray *array, int64_t row) {
  tn_value v = {field, array, row};
  if (!tn_value_find(&v)) return (tn_str){0};
  const ArrowArray *a = v.array;
  int64_t i = a->offset + v.row;
  switch (v.field->type.layout) {
    case TN_LAYOUT_BYTES: {
      const int32_t *offsets = (const int32_t *)a->buffers[1] + i;
      return (tn_str){(const char *)a->buffers[2] + offsets[0], (size_t)(offsets[1] - offsets[0])};
    }
    case TN_LAYOUT_LARGE_BYTES: {
      const int64_t *offsets = (const int64_t *)a->buffers[1] + i;
      return (tn_str){(const char *)a->buffers[2] + offsets[0], (size_t)(offsets[1] - offsets[0])};
    }
    case TN_LAYOUT_VIEW:
      return view_bytes(a, i);
    case TN_LAYOUT_FIXED: {
      size_t width = (size_t)v.field->type.bits / 8;
      return (tn_str){(const char *)a->buffers[1] + (size_t)i * width, width};
    }
    default:
      return (tn_str){0};
  }
}

static double real_at(tn_type_id id, const void *values, int64_t i) {
  if (id == TN_TYPE_DOUBLE) return ((const double *)values)[i];
  if (id == TN_TYPE_FLOAT) return (double)((const float *)values)[i];
  return (double)tn_half_to_f32(((const uint16_t *)values)[i]);
}

static int64_t cut_to_i64(double value) {
  if (value >= 0x1p63) return INT64_MAX;
  if (value < -0x1p63) return INT64_MIN;
  return value == value ? (int64_t)value : 0;
}

int64_t tn_value_index(const tn_field *field, const ArrowArray *array, int64_t row) {
  return integer_at(field->type.id, array->buffers[1], array->offset + row);
}

int64_t tn_value_i64(const tn_field *field, const ArrowArray *array, int64_t row) {
  tn_value v = {field, array, row};
  if (!tn_value_find(&v)) return 0;
  const tn_type *t = &v.field->type;
  const void *values = v.array->n_buffers > 1 ? v.array->buffers[1] : NULL;
  int64_t i = v.array->offset + v.row;
  if (t->id == TN_TYPE_BOOL) return ((const uint8_t *)values)[i >> 3] >> (i & 7) & 1;
  if (tn_type_is_integer(t->id)) return integer_at(t->id, values, i);
  if (tn_type_is_real(t->id)) return cut_to_i64(real_at(t->id, values, i));
  if (t->id >= TN_TYPE_DATE32 && t->id <= TN_TYPE_INTERVAL_MONTHS)
    return int_at(values, t->bits, i);
  if (!tn_type_is_decimal(t->id)) return 0;
  return t->bits == 32 ? ((const int32_t *)values)[i] : ((const int64_t *)values)[i * t->bits / 64];
}

static double decimal_f64(const tn_type *t, const void *bytes) {
  tn_decimal_value v = tn_decimal_load(bytes, t->bits);
  tn_strbuf text = {0};
  double value = 0;
  tn_decimal_text(&v, 0, &text);
  tn_strbuf_addf(&text, "e%d", -t->scale);
  if (!text.failed && !tn_str_to_f64(tn_strbuf_view(&text), &value))
    value = tn_decimal_negative(&v) ? -INFINITY : INFINITY;
  tn_strbuf_clear(&text);
  return value;
}

double tn_value_f64(const tn_field *field, const ArrowArray *array, int64_t row) {
  tn_value v = {field, array, row};
  if (!tn_value_find(&v)) return 0;
  const tn_type *t = &v.field->type;
  if (tn_type_is_real(t->id)) return real_at(t->id, v.array->buffers[1], v.array->offset + v.row);
  if (tn_type_is_decimal(t->id))
    return decimal_f64(t, tn_value_bytes(v.field, v.array, v.row).data);
  int64_t value = tn_value_i64(v.field, v.array, v.row);
  return t->id == TN_TYPE_UINT64 ? (double)(uint64_t)value : (double)value;
}

int64_t tn_value_items(const tn_field *field, const ArrowArray *array, int64_t row, int64_t *from) {
  tn_value v = {field, array, row};
  *from = 0;
  if (!tn_value_find(&v)) return 0;
  const ArrowArray *a = v.array;
  int64_t i = a->offset + v.row;
  int32_t bits =
      v.field->type.layout == TN_LAYOUT_LIST || v.field->type.layout == TN_LAYOUT_LIST_VIEW ? 32
                                                                                            : 64;
  switch (v.field->type.layout) {
    case TN_LAYOUT_LIST:
    case TN_LAYOUT_LARGE_LIST:
      *from = int_at(a->buffers[1], bits, i);
      return int_at(a->buffers[1], bits, i + 1) - *from;
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      *from = int_at(a->buffers[1], bits, i);
      return int_at(a->buffers[2], bits, i);
    case TN_LAYOUT_FIXED_LIST:
      *from = i * v.field->type.size;
      return v.field->type.size;
    default:
      return 0;
  }
}
