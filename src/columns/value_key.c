/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/value_key.h"

enum { KEY_NULL, KEY_VALUE };

static void add_count(tn_strbuf *out, int64_t count) {
  tn_strbuf_append(out, &count, sizeof count);
}

static tn_value child_at(const tn_value *v, int64_t child, int64_t row) {
  return (tn_value){&v->field->children[child], v->array->children[child], row};
}

static void add_struct(const tn_value *v, tn_strbuf *out) {
  for (int64_t i = 0; i < v->field->child_count; i++)
    tn_value_key(child_at(v, i, v->array->offset + v->row), out);
}

static void add_list(const tn_value *v, tn_strbuf *out) {
  int64_t from, count = tn_value_items(v->field, v->array, v->row, &from);
  add_count(out, count);
  for (int64_t i = 0; i < count; i++) tn_value_key(child_at(v, 0, from + i), out);
}

static void add_union(const tn_value *v, tn_strbuf *out) {
  const int8_t *codes = v->array->buffers[0];
  tn_strbuf_append(out, &codes[v->array->offset + v->row], 1);
  tn_value_key(tn_value_of_union(v), out);
}

static void add_bytes(const tn_value *v, tn_strbuf *out) {
  tn_str bytes = tn_value_bytes(v->field, v->array, v->row);
  if (v->field->type.layout != TN_LAYOUT_FIXED) add_count(out, (int64_t)bytes.length);
  tn_strbuf_add_str(out, bytes);
}

void tn_value_key(tn_value v, tn_strbuf *out) {
  char first = tn_value_find_union(&v) ? KEY_VALUE : KEY_NULL;
  tn_strbuf_append(out, &first, 1);
  if (first == KEY_NULL) return;
  if (tn_layout_is_list(v.field->type.layout)) {
    add_list(&v, out);
    return;
  }
  switch (v.field->type.layout) {
    case TN_LAYOUT_BITS:
      first = (char)tn_value_i64(v.field, v.array, v.row);
      tn_strbuf_append(out, &first, 1);
      break;
    case TN_LAYOUT_STRUCT:
      add_struct(&v, out);
      break;
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_SPARSE_UNION:
      add_union(&v, out);
      break;
    default:
      add_bytes(&v, out);
      break;
  }
}
