/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_body_write.h"

enum { VIEW_INLINE_MAX = 12, VIEW_BYTES = 16 };

void tn_ipc_parts_reset(tn_ipc_parts *p) {
  for (size_t i = 0; i < p->part_count; i++) tn_free(p->parts[i].owned);
  p->node_count = p->part_count = p->view_count = 0;
}

void tn_ipc_parts_clear(tn_ipc_parts *p) {
  tn_ipc_parts_reset(p);
  tn_free(p->nodes);
  tn_free(p->parts);
  tn_free(p->views);
  *p = (tn_ipc_parts){0};
}

/* ---- adding to the lists ---- */
/* Takes over part.owned, also on failure. */
static tn_status add_part(tn_ipc_parts *p, tn_ipc_part part, tn_error *err) {
  tn_status status =
      tn_grow((void **)&p->parts, &p->part_capacity, p->part_count + 1, sizeof *p->parts, err);
  if (status == TN_OK)
    p->parts[p->part_count++] = part;
  else
    tn_free(part.owned);
  return status;
}

static tn_status add_view_of(tn_ipc_parts *p, const void *data, int64_t bytes, tn_error *err) {
  return add_part(p, (tn_ipc_part){data, bytes, NULL}, err);
}

static tn_status add_node(tn_ipc_parts *p, int64_t rows, int64_t nulls, tn_error *err) {
  TN_TRY(tn_grow((void **)&p->nodes, &p->node_capacity, p->node_count + 1, sizeof *p->nodes, err));
  p->nodes[p->node_count++] = (tn_ipc_pair){rows, nulls};
  return TN_OK;
}

static tn_status add_view_count(tn_ipc_parts *p, int64_t count, tn_error *err) {
  TN_TRY(tn_grow((void **)&p->views, &p->view_capacity, p->view_count + 1, sizeof *p->views, err));
  p->views[p->view_count++] = count;
  return TN_OK;
}

/* Memory for a part that has to be made; NULL with the error set. */
static void *make(int64_t count, size_t size, const char *what, tn_error *err) {
  void *block = tn_alloc((size_t)count, size);
  if (!block) tn_fail_memory(err, what, (unsigned long long)count * size);
  return block;
}

static tn_status add_made(tn_ipc_parts *p, void *block, int64_t bytes, tn_error *err) {
  return add_part(p, (tn_ipc_part){block, bytes, block}, err);
}

/* An empty array may have no buffers, and nothing may be added to NULL. */
static const char *place(const void *buffer, int64_t offset) {
  return buffer ? (const char *)buffer + offset : NULL;
}

/* ---- bits ---- */
/* `count` bits from bit `from` on, moved to begin at a byte; none set behind the last. */
static tn_status add_bits(tn_ipc_parts *p, const uint8_t *bits, int64_t from, int64_t count,
                          tn_error *err) {
  int64_t bytes = (count + 7) / 8;
  int32_t shift = (int32_t)(from % 8), rest = (int32_t)(count % 8);
  const uint8_t *start = (const uint8_t *)place(bits, from / 8);
  if (bytes == 0) return add_view_of(p, NULL, 0, err);
  uint8_t mask = rest ? (uint8_t)((1u << rest) - 1) : 0xff;
  if (shift == 0 && (start[bytes - 1] & ~mask) == 0) return add_view_of(p, start, bytes, err);
  uint8_t *moved = make(bytes, 1, "shifted bits", err);
  if (!moved) return TN_ERR_MEMORY;
  int64_t last = (from + count - 1) / 8 - from / 8; /* no byte behind this one is read */
  for (int64_t i = 0; i < bytes; i++)
    moved[i] = (uint8_t)((start[i] >> shift) | (i < last ? start[i + 1] << (8 - shift) : 0));
  moved[bytes - 1] &= mask;
  return add_made(p, moved, bytes, err);
}

static int64_t count_nulls(const ArrowArray *a, int64_t from, int64_t rows) {
  const uint8_t *valid = a->n_buffers > 0 ? a->buffers[0] : NULL;
  int64_t nulls = 0;
  if (a->null_count == 0 || !valid) return 0;
  if (a->null_count > 0 && from == a->offset && rows == a->length) return a->null_count;
  for (int64_t i = from; i < from + rows; i++) nulls += !((valid[i >> 3] >> (i & 7)) & 1);
  return nulls;
}

static bool is_null(const ArrowArray *a, int64_t at) { /* `at` counts the array's offset */
  const uint8_t *valid = a->null_count == 0 ? NULL : a->buffers[0];
  return valid && !((valid[at >> 3] >> (at & 7)) & 1);
}

/* ---- offsets ---- */
static int64_t offset_at(const void *offsets, bool large, int64_t i) {
  return large ? ((const int64_t *)offsets)[i] : ((const int32_t *)offsets)[i];
}

/* Offsets that begin with 0; what they cover is [*first, *end) of the values. */
static tn_status add_offsets(tn_ipc_parts *p, const void *offsets, bool large, int64_t from,
                             int64_t rows, int64_t *first, int64_t *end, tn_error *err) {
  static const int64_t zero;
  size_t width = large ? 8 : 4;
  *first = *end = 0;
  if (rows == 0) return add_view_of(p, &zero, (int64_t)width, err);
  *first = offset_at(offsets, large, from);
  *end = offset_at(offsets, large, from + rows);
  int64_t bytes = (rows + 1) * (int64_t)width;
  if (*first == 0) return add_view_of(p, place(offsets, from * (int64_t)width), bytes, err);
  void *moved = make(rows + 1, width, "offsets", err);
  if (!moved) return TN_ERR_MEMORY;
  for (int64_t i = 0; large && i <= rows; i++)
    ((int64_t *)moved)[i] = ((const int64_t *)offsets)[from + i] - *first;
  for (int64_t i = 0; !large && i <= rows; i++)
    ((int32_t *)moved)[i] = ((const int32_t *)offsets)[from + i] - (int32_t)*first;
  return add_made(p, moved, bytes, err);
}

static tn_status add_bytes(tn_ipc_parts *p, bool large, const ArrowArray *a, int64_t from,
                           int64_t rows, tn_error *err) {
  int64_t first, end;
  TN_TRY(add_offsets(p, a->buffers[1], large, from, rows, &first, &end, err));
  if (first == end) return add_view_of(p, NULL, 0, err);
  return add_view_of(p, place(a->buffers[2], first), end - first, err);
}

static tn_status add_list(tn_ipc_parts *p, const tn_ipc_node *n, bool large, const ArrowArray *a,
                          int64_t from, int64_t rows, tn_error *err) {
  int64_t first, end;
  TN_TRY(add_offsets(p, a->buffers[1], large, from, rows, &first, &end, err));
  return tn_ipc_parts_add(p, &n->children[0], a->children[0], first, end - first, err);
}

/* ---- list views ---- */
typedef struct range {
  int64_t first, end; /* end 0: nothing */
} range;

static void widen(range *r, int64_t from, int64_t count) {
  if (r->end == 0 || from < r->first) r->first = from;
  if (from + count > r->end) r->end = from + count;
}

/* Offsets and sizes are made anew.  Null and empty lists lead nowhere in particular: they are
 * written as 0, 0. */
static tn_status add_list_view(tn_ipc_parts *p, const tn_ipc_node *n, bool large,
                               const ArrowArray *a, int64_t from, int64_t rows, tn_error *err) {
  const void *offsets = a->buffers[1], *sizes = a->buffers[2];
  size_t width = large ? 8 : 4;
  int64_t bytes = rows * (int64_t)width;
  range used = {0};
  for (int64_t i = from; i < from + rows; i++) {
    int64_t size = is_null(a, i) ? 0 : offset_at(sizes, large, i);
    if (size > 0) widen(&used, offset_at(offsets, large, i), size);
  }
  char *moved = make(rows, width, "list views", err);
  if (!moved) return TN_ERR_MEMORY;
  TN_TRY(add_made(p, moved, bytes, err));
  char *counts = make(rows, width, "list views", err);
  if (!counts) return TN_ERR_MEMORY;
  TN_TRY(add_made(p, counts, bytes, err));
  for (int64_t i = 0; i < rows; i++) {
    int64_t size = is_null(a, from + i) ? 0 : offset_at(sizes, large, from + i);
    int64_t offset = size > 0 ? offset_at(offsets, large, from + i) - used.first : 0;
    memcpy(moved + (size_t)i * width, &offset, width); /* little-endian: the low bytes */
    memcpy(counts + (size_t)i * width, &size, width);
  }
  return tn_ipc_parts_add(p, &n->children[0], a->children[0], used.first, used.end - used.first,
                          err);
}

/* ---- views ---- */
typedef struct view {
  int32_t length;
  uint8_t prefix[4];
  int32_t buffer, offset;
} view;
_Static_assert(sizeof(view) == VIEW_BYTES, "the view layout");

/* The bytes of each data buffer that the rows use; true where views must be moved for it. */
static bool find_used(const ArrowArray *a, int64_t from, int64_t rows, range *used) {
  const char *views = a->buffers[1];
  bool moves = false;
  for (int64_t i = from; i < from + rows; i++) {
    view v;
    memcpy(&v, views + i * VIEW_BYTES, VIEW_BYTES);
    if (v.length > VIEW_INLINE_MAX && !is_null(a, i)) widen(&used[v.buffer], v.offset, v.length);
  }
  for (int64_t b = 0; b < a->n_buffers - 3; b++) moves |= used[b].first > 0;
  return moves;
}

static tn_status add_moved_views(tn_ipc_parts *p, const ArrowArray *a, int64_t from, int64_t rows,
                                 const range *used, tn_error *err) {
  const char *views = place(a->buffers[1], from * VIEW_BYTES);
  char *moved = make(rows, VIEW_BYTES, "views", err);
  if (!moved) return TN_ERR_MEMORY;
  for (int64_t i = 0; i < rows; i++) {
    view v;
    if (is_null(a, from + i)) continue; /* zeros */
    memcpy(&v, views + i * VIEW_BYTES, VIEW_BYTES);
    if (v.length > VIEW_INLINE_MAX) v.offset -= (int32_t)used[v.buffer].first;
    memcpy(moved + i * VIEW_BYTES, &v, VIEW_BYTES);
  }
  return add_made(p, moved, rows * VIEW_BYTES, err);
}

static tn_status add_views(tn_ipc_parts *p, const ArrowArray *a, int64_t from, int64_t rows,
                           tn_error *err) {
  int64_t count = a->n_buffers - 3;
  range *used = make(count, sizeof *used, "data buffers", err);
  if (!used) return TN_ERR_MEMORY;
  tn_status status = TN_OK;
  if (find_used(a, from, rows, used))
    status = add_moved_views(p, a, from, rows, used, err);
  else
    status = add_view_of(p, place(a->buffers[1], from * VIEW_BYTES), rows * VIEW_BYTES, err);
  for (int64_t b = 0; status == TN_OK && b < count; b++)
    status = add_view_of(p, used[b].end ? (const char *)a->buffers[2 + b] + used[b].first : NULL,
                         used[b].end - used[b].first, err);
  tn_free(used);
  return status == TN_OK ? add_view_count(p, count, err) : status;
}

/* ---- unions ---- */
static tn_status add_dense_union(tn_ipc_parts *p, const tn_ipc_node *n, const ArrowArray *a,
                                 int64_t from, int64_t rows, tn_error *err) {
  const tn_type *t = &n->field->type;
  const int8_t *codes = (const void *)place(a->buffers[0], from);
  const int32_t *offsets = (const void *)place(a->buffers[1], from * 4);
  range used[128] = {{0}}; /* by type code */
  bool moves = false;
  for (int64_t i = 0; i < rows; i++) widen(&used[codes[i] & 127], offsets[i], 1);
  for (int32_t c = 0; c < t->code_count; c++) moves |= used[t->codes[c]].first > 0;
  TN_TRY(add_view_of(p, codes, rows, err));
  if (moves) {
    int32_t *moved = make(rows, 4, "offsets", err);
    if (!moved) return TN_ERR_MEMORY;
    for (int64_t i = 0; i < rows; i++) moved[i] = offsets[i] - (int32_t)used[codes[i] & 127].first;
    TN_TRY(add_made(p, moved, rows * 4, err));
  } else {
    TN_TRY(add_view_of(p, offsets, rows * 4, err));
  }
  for (int32_t c = 0; c < t->code_count; c++) {
    range r = used[t->codes[c]];
    TN_TRY(tn_ipc_parts_add(p, &n->children[c], a->children[c], r.first, r.end - r.first, err));
  }
  return TN_OK;
}

/* ---- run ends ---- */
static int64_t run_end(const ArrowArray *ends, int32_t bits, int64_t run) {
  int64_t i = ends->offset + run;
  return bits == 16   ? ((const int16_t *)ends->buffers[1])[i]
         : bits == 32 ? ((const int32_t *)ends->buffers[1])[i]
                      : ((const int64_t *)ends->buffers[1])[i];
}

/* The run that holds a row: the first that ends behind it. */
static int64_t find_run(const ArrowArray *ends, int32_t bits, int64_t row) {
  int64_t low = 0, high = ends->length;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (run_end(ends, bits, middle) > row)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static tn_status add_runs(tn_ipc_parts *p, const tn_ipc_node *n, const ArrowArray *a, int64_t from,
                          int64_t rows, tn_error *err) {
  const ArrowArray *ends = a->children[0];
  int32_t bits = n->children[0].field->type.bits;
  int64_t first = rows ? find_run(ends, bits, from) : 0;
  int64_t runs = rows ? find_run(ends, bits, from + rows - 1) - first + 1 : 0;
  size_t width = (size_t)bits / 8;
  char *moved = make(runs, width, "run ends", err);
  if (!moved) return TN_ERR_MEMORY;
  for (int64_t i = 0; i < runs; i++) {
    int64_t end = run_end(ends, bits, first + i) - from;
    if (end > rows) end = rows;
    memcpy(moved + (size_t)i * width, &end, width); /* little-endian: the low bytes */
  }
  tn_status status = add_node(p, runs, 0, err);
  if (status == TN_OK) status = add_view_of(p, NULL, 0, err);
  if (status != TN_OK) {
    tn_free(moved);
    return status;
  }
  TN_TRY(add_made(p, moved, runs * (int64_t)width, err));
  return tn_ipc_parts_add(p, &n->children[1], a->children[1], first, runs, err);
}

/* ---- any array ---- */
static tn_status wrong_shape(const tn_ipc_node *n, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT, "column \"%.100s\": an array of %s %s", n->field->name,
                 tn_type_name(n->field->type.id), what);
}

static tn_status check_shape(const tn_ipc_node *n, const ArrowArray *a, int64_t from, int64_t rows,
                             tn_error *err) {
  const tn_type *t = &n->field->type;
  if (a->n_buffers < tn_layout_buffers(t->layout)) return wrong_shape(n, "lacks buffers", err);
  if (a->n_children != n->field->child_count) return wrong_shape(n, "lacks children", err);
  if (n->values && !a->dictionary) return wrong_shape(n, "lacks its dictionary", err);
  if (rows < 0 || from < 0 || from > a->length || rows > a->length - from)
    return wrong_shape(n, "has fewer rows than what holds it", err);
  bool validity_first = tn_layout_has_validity(t->layout);
  if (rows > 0 && t->layout == TN_LAYOUT_FIXED && t->bits > 0 && !a->buffers[1])
    return wrong_shape(n, "has no values", err);
  if (rows > 0 && a->n_buffers > validity_first && t->bits == 0 && !a->buffers[validity_first])
    return wrong_shape(n, "has no offsets, views or type codes", err);
  return TN_OK;
}

static tn_status add_children(tn_ipc_parts *p, const tn_ipc_node *n, const ArrowArray *a,
                              int64_t from, int64_t rows, tn_error *err) {
  for (int64_t i = 0; i < n->field->child_count; i++)
    TN_TRY(tn_ipc_parts_add(p, &n->children[i], a->children[i], from, rows, err));
  return TN_OK;
}

static tn_status add_fixed(tn_ipc_parts *p, const tn_type *t, const ArrowArray *a, int64_t from,
                           int64_t rows, tn_error *err) {
  int64_t width = t->bits / 8;
  if (rows == 0 || width == 0) return add_view_of(p, NULL, 0, err);
  return add_view_of(p, place(a->buffers[1], from * width), rows * width, err);
}

/* ---- dictionary indices ---- */
/* As an unsigned number: one below 0 is beyond every dictionary. */
static uint64_t index_at(const void *indices, int32_t bits, int64_t i) {
  switch (bits) {
    case 8:
      return ((const uint8_t *)indices)[i];
    case 16:
      return ((const uint16_t *)indices)[i];
    case 32:
      return ((const uint32_t *)indices)[i];
    default:
      return ((const uint64_t *)indices)[i];
  }
}

/* What stands under a null, and a placeholder where the dictionary is empty, is written as 0. */
static tn_status add_indices(tn_ipc_parts *p, const tn_ipc_node *n, const ArrowArray *a,
                             int64_t from, int64_t rows, const tn_ipc_places *places,
                             tn_error *err) {
  int32_t bits = n->field->type.bits;
  size_t width = (size_t)bits / 8;
  char *moved = make(rows, width, "dictionary indices", err);
  if (!moved) return TN_ERR_MEMORY;
  TN_TRY(add_made(p, moved, rows * (int64_t)width, err));
  for (int64_t i = 0; places->count > 0 && i < rows; i++) {
    if (is_null(a, from + i)) continue;
    uint64_t index = index_at(a->buffers[1], bits, from + i);
    if (index >= (uint64_t)places->count)
      return wrong_shape(n, "has an index beyond its dictionary", err);
    memcpy(moved + (size_t)i * width, &places->of[index], width); /* little-endian: the low bytes */
  }
  return TN_OK;
}

/* Everything behind node and validity. */
static tn_status add_values(tn_ipc_parts *p, const tn_ipc_node *n, const ArrowArray *a,
                            int64_t from, int64_t rows, tn_error *err) {
  const tn_type *t = &n->field->type;
  switch (t->layout) {
    case TN_LAYOUT_NONE:
      return TN_OK;
    case TN_LAYOUT_BITS:
      return add_bits(p, a->buffers[1], from, rows, err);
    case TN_LAYOUT_FIXED:
      if (n->values && p->places && p->places[n->dictionary].of)
        return add_indices(p, n, a, from, rows, &p->places[n->dictionary], err);
      return add_fixed(p, t, a, from, rows, err);
    case TN_LAYOUT_BYTES:
    case TN_LAYOUT_LARGE_BYTES:
      return add_bytes(p, t->layout == TN_LAYOUT_LARGE_BYTES, a, from, rows, err);
    case TN_LAYOUT_VIEW:
      return add_views(p, a, from, rows, err);
    case TN_LAYOUT_LIST:
    case TN_LAYOUT_LARGE_LIST:
      return add_list(p, n, t->layout == TN_LAYOUT_LARGE_LIST, a, from, rows, err);
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return add_list_view(p, n, t->layout == TN_LAYOUT_LARGE_LIST_VIEW, a, from, rows, err);
    case TN_LAYOUT_FIXED_LIST:
      return add_children(p, n, a, from * t->size, rows * t->size, err);
    case TN_LAYOUT_STRUCT:
      return add_children(p, n, a, from, rows, err);
    case TN_LAYOUT_DENSE_UNION:
      return add_dense_union(p, n, a, from, rows, err);
    case TN_LAYOUT_SPARSE_UNION:
      TN_TRY(add_view_of(p, place(a->buffers[0], from), rows, err));
      return add_children(p, n, a, from, rows, err);
    case TN_LAYOUT_RUN_END:
      return add_runs(p, n, a, from, rows, err);
  }
  return TN_OK;
}

tn_status tn_ipc_parts_add(tn_ipc_parts *p, const tn_ipc_node *n, const ArrowArray *a, int64_t from,
                           int64_t rows, tn_error *err) {
  TN_TRY(check_shape(n, a, from, rows, err));
  tn_layout layout = n->field->type.layout;
  bool has_validity = tn_layout_has_validity(layout);
  from += a->offset;
  int64_t nulls = has_validity ? count_nulls(a, from, rows) : layout == TN_LAYOUT_NONE ? rows : 0;
  TN_TRY(add_node(p, rows, nulls, err));
  if (has_validity && nulls > 0)
    TN_TRY(add_bits(p, a->buffers[0], from, rows, err));
  else if (has_validity)
    TN_TRY(add_view_of(p, NULL, 0, err));
  return add_values(p, n, a, from, rows, err);
}
