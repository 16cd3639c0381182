/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/picks.h"

#include "columns/array.h"
#include "columns/parquet/bits.h"
#include "columns/value.h"

tn_status tn_picks_add(tn_picks *p, const ArrowArray *array, int64_t from, int64_t count,
                       tn_error *err) {
  if (count == 0) return TN_OK;
  tn_pick *last = p->count ? &p->items[p->count - 1] : NULL;
  if (__builtin_add_overflow(p->rows, count, &p->rows))
    return tn_fail(err, TN_ERR_LIMIT, "an array of more than 2^63 rows");
  if (last && last->array == array && (!array || last->from + last->count == from)) {
    last->count += count;
    return TN_OK;
  }
  if (p->count == p->capacity) {
    void *items = p->items;
    TN_TRY(tn_grow(&items, &p->capacity, p->count + 1, sizeof *p->items, err));
    p->items = items;
  }
  p->items[p->count++] = (tn_pick){array, from, count};
  return TN_OK;
}

void tn_picks_clear(tn_picks *p) {
  tn_free(p->items);
  *p = (tn_picks){0};
}

/* ---- validity ---- */
static const void *bitmap_of(const ArrowArray *a) {
  return a->n_buffers > 0 && a->null_count != 0 ? a->buffers[0] : NULL;
}

tn_status tn_picks_validity(tn_buffer **out, bool nullable, const tn_picks *p, int64_t *nulls,
                            tn_error *err) {
  bool any = false;
  *nulls = 0;
  for (size_t i = 0; i < p->count && !any; i++)
    any = p->items[i].array ? bitmap_of(p->items[i].array) != NULL : nullable;
  if (!any) return TN_OK;
  tn_buffer *valid;
  TN_TRY(tn_buffer_new(&valid, (size_t)(p->rows + 7) / 8, err));
  int64_t at = 0;
  for (size_t i = 0; i < p->count; i++) {
    const tn_pick *pick = &p->items[i];
    const void *bits = pick->array ? bitmap_of(pick->array) : NULL;
    if (bits)
      tn_bits_copy(valid->data, at, bits, pick->array->offset + pick->from, pick->count);
    else if (pick->array || !nullable)
      tn_bits_fill(valid->data, at, pick->count, true);
    at += pick->count;
  }
  *nulls = p->rows - tn_bits_count(valid->data, 0, p->rows);
  if (*nulls > 0)
    *out = valid;
  else
    tn_buffer_drop(valid);
  return TN_OK;
}

/* ---- a node in the making ---- */
enum { BUFFERS_FEW = 4 };
typedef struct node {
  tn_buffer *few[BUFFERS_FEW];
  tn_buffer **buffers; /* few, or a table of views' data */
  ArrowArray *children;
  tn_picks *picks; /* of each child */
  int64_t buffer_count, child_count, nulls;
} node;

typedef struct shape { /* what a node is to become */
  const tn_field *field;
  bool nullable, plain;
} shape;

static tn_status node_children(node *n, int64_t count, tn_error *err) {
  n->children = tn_alloc((size_t)count, sizeof *n->children);
  n->picks = tn_alloc((size_t)count, sizeof *n->picks);
  n->child_count = count;
  if (n->children && n->picks) return TN_OK;
  return tn_fail_memory(err, "Arrow arrays", (size_t)count * sizeof *n->children);
}

static tn_status assemble_children(node *n, const shape *s, tn_error *err) {
  for (int64_t i = 0; i < n->child_count; i++) {
    const tn_field *child = &s->field->children[i];
    TN_TRY(tn_picks_assemble(&n->children[i], child, child->nullable, s->plain, &n->picks[i], err));
  }
  return TN_OK;
}

static void node_clear(node *n) {
  for (int64_t i = 0; i < n->child_count; i++) {
    if (n->children) tn_array_clear(&n->children[i]);
    if (n->picks) tn_picks_clear(&n->picks[i]);
  }
  for (int64_t i = 0; n->buffers && i < n->buffer_count; i++) tn_buffer_drop(n->buffers[i]);
  if (n->buffers != n->few) tn_free(n->buffers);
  tn_free(n->children);
  tn_free(n->picks);
}

static tn_status node_buffer(node *n, size_t bytes, tn_error *err) {
  return tn_buffer_new(&n->buffers[n->buffer_count++], bytes, err);
}

/* The validity bitmap as the first buffer. */
static tn_status node_validity(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  return tn_picks_validity(&n->buffers[n->buffer_count++], s->nullable, p, &n->nulls, err);
}

/* ---- flat layouts ---- */
static tn_status fill_bits(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  TN_TRY(node_validity(n, s, p, err));
  TN_TRY(node_buffer(n, (size_t)(p->rows + 7) / 8, err));
  int64_t at = 0;
  for (size_t i = 0; i < p->count; at += p->items[i].count, i++) {
    const tn_pick *pick = &p->items[i];
    if (pick->array)
      tn_bits_copy(n->buffers[1]->data, at, pick->array->buffers[1],
                   pick->array->offset + pick->from, pick->count);
  }
  return TN_OK;
}

#define COPY_VALUES(type)                                                                      \
  for (size_t i = 0; i < p->count; at += p->items[i].count, i++) {                             \
    const tn_pick *pick = &p->items[i];                                                        \
    if (!pick->array) continue;                                                                \
    const type *in = (const type *)pick->array->buffers[1] + pick->array->offset + pick->from; \
    if (pick->count == 1)                                                                      \
      ((type *)out)[at] = *in;                                                                 \
    else                                                                                       \
      memcpy((type *)out + at, in, (size_t)pick->count * sizeof(type));                        \
  }

static void copy_values(void *out, const tn_picks *p, size_t width) {
  int64_t at = 0;
  switch (width) { /* single rows are loads and stores */
    case 1:
      COPY_VALUES(uint8_t)
      return;
    case 2:
      COPY_VALUES(uint16_t)
      return;
    case 4:
      COPY_VALUES(uint32_t)
      return;
    case 8:
      COPY_VALUES(uint64_t)
      return;
    default:
      break;
  }
  for (size_t i = 0; i < p->count; at += p->items[i].count, i++) {
    const tn_pick *pick = &p->items[i];
    if (!pick->array || !width) continue;
    memcpy(
        (char *)out + (size_t)at * width,
        (const char *)pick->array->buffers[1] + (size_t)(pick->array->offset + pick->from) * width,
        (size_t)pick->count * width);
  }
}

static tn_status fill_fixed(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  size_t width = (size_t)s->field->type.bits / 8, bytes;
  TN_TRY(node_validity(n, s, p, err));
  if (!tn_mul_size((size_t)p->rows, width, &bytes)) return tn_fail_memory(err, "values", SIZE_MAX);
  TN_TRY(node_buffer(n, bytes, err));
  copy_values(n->buffers[1]->data, p, width);
  return TN_OK;
}

static int64_t offset_at(const ArrowArray *a, bool large, int64_t i) {
  const void *offsets = a->buffers[1];
  return large ? ((const int64_t *)offsets)[i] : ((const int32_t *)offsets)[i];
}

static void put_offset(tn_buffer *offsets, bool large, int64_t i, int64_t value) {
  if (large)
    ((int64_t *)offsets->data)[i] = value;
  else
    ((int32_t *)offsets->data)[i] = (int32_t)value;
}

static tn_status check_offset(const shape *s, bool large, int64_t total, const char *what,
                              tn_error *err) {
  if (large || total <= INT32_MAX) return TN_OK;
  return tn_fail(err, TN_ERR_LIMIT, "%lld %s in one %s array, limit 2^31 - 1", (long long)total,
                 what, tn_type_name(s->field->type.id));
}

/* The offsets behind rows [at, at + pick->count), and where the pick's own first one was. */
static void copy_offsets(tn_buffer *offsets, bool large, const tn_pick *pick, int64_t at,
                         int64_t end) {
  int64_t first = pick->array->offset + pick->from, base = offset_at(pick->array, large, first);
  if (large) {
    const int64_t *in = (const int64_t *)pick->array->buffers[1] + first + 1;
    int64_t *out = (int64_t *)offsets->data + at + 1;
    for (int64_t k = 0; k < pick->count; k++) out[k] = in[k] - base + end;
  } else {
    const int32_t *in = (const int32_t *)pick->array->buffers[1] + first + 1;
    int32_t *out = (int32_t *)offsets->data + at + 1, shift = (int32_t)(end - base);
    for (int64_t k = 0; k < pick->count; k++) out[k] = in[k] + shift;
  }
}

static void repeat_offset(tn_buffer *offsets, bool large, int64_t at, int64_t count, int64_t end) {
  for (int64_t k = 0; k < count; k++) put_offset(offsets, large, at + 1 + k, end);
}

/* What a pick's rows hold, in bytes or items. */
static int64_t extent(const tn_pick *pick, bool large) {
  int64_t first = pick->array->offset + pick->from;
  return offset_at(pick->array, large, first + pick->count) - offset_at(pick->array, large, first);
}

static tn_status fill_bytes(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  bool large = s->field->type.layout == TN_LAYOUT_LARGE_BYTES;
  int64_t total = 0, at = 0, end = 0;
  for (size_t i = 0; i < p->count; i++)
    if (p->items[i].array) total += extent(&p->items[i], large);
  TN_TRY(check_offset(s, large, total, "bytes", err));
  TN_TRY(node_validity(n, s, p, err));
  TN_TRY(node_buffer(n, (size_t)(p->rows + 1) * (large ? 8 : 4), err));
  TN_TRY(node_buffer(n, (size_t)total, err));
  for (size_t i = 0; i < p->count; at += p->items[i].count, i++) {
    const tn_pick *pick = &p->items[i];
    if (!pick->array) {
      repeat_offset(n->buffers[1], large, at, pick->count, end);
      continue;
    }
    int64_t bytes = extent(pick, large);
    copy_offsets(n->buffers[1], large, pick, at, end);
    if (bytes)
      memcpy((char *)n->buffers[2]->data + end,
             (const char *)pick->array->buffers[2] +
                 offset_at(pick->array, large, pick->array->offset + pick->from),
             (size_t)bytes);
    end += bytes;
  }
  return TN_OK;
}

/* ---- views ---- */
enum { VIEW_BYTES = 16, VIEW_INLINE_MAX = 12 };

/* The text of row k of a pick; what stands in a null's view means nothing. */
static tn_str view_at(const tn_field *f, const tn_pick *pick, int64_t k) {
  return pick->array ? tn_value_bytes(f, pick->array, pick->from + k) : (tn_str){0};
}

/* Views become offsets and bytes. */
static tn_status fill_unviewed(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  int64_t total = 0, at = 0, end = 0;
  for (size_t i = 0; i < p->count; i++)
    for (int64_t k = 0; k < p->items[i].count; k++)
      total += (int64_t)view_at(s->field, &p->items[i], k).length;
  TN_TRY(check_offset(s, false, total, "bytes", err));
  TN_TRY(node_validity(n, s, p, err));
  TN_TRY(node_buffer(n, (size_t)(p->rows + 1) * 4, err));
  TN_TRY(node_buffer(n, (size_t)total, err));
  for (size_t i = 0; i < p->count; i++) {
    for (int64_t k = 0; k < p->items[i].count; k++) {
      tn_str text = view_at(s->field, &p->items[i], k);
      if (text.length) memcpy((char *)n->buffers[2]->data + end, text.data, text.length);
      end += (int64_t)text.length;
      put_offset(n->buffers[1], false, ++at, end);
    }
  }
  return TN_OK;
}

/* Long text goes into data buffers, each filled up to what an int32 offset reaches.  Without
 * `write` they are only counted: *count, and sizes when not NULL. */
static void lay_views(node *n, const shape *s, const tn_picks *p, bool write, int64_t *sizes,
                      int64_t *count) {
  int64_t at = 0, used = 0, buffer = -1;
  for (size_t i = 0; i < p->count; i++) {
    for (int64_t k = 0; k < p->items[i].count; k++, at++) {
      tn_str text = view_at(s->field, &p->items[i], k);
      bool is_long = text.length > VIEW_INLINE_MAX;
      if (is_long && (buffer < 0 || used + (int64_t)text.length > INT32_MAX)) {
        buffer++;
        used = 0;
      }
      if (write) {
        char *view = (char *)n->buffers[1]->data + at * VIEW_BYTES;
        int32_t head[] = {(int32_t)text.length, 0, (int32_t)buffer, (int32_t)used};
        memcpy(view, head, is_long ? VIEW_BYTES : 4);
        if (text.length) memcpy(view + 4, text.data, is_long ? 4 : text.length);
        if (is_long) memcpy((char *)n->buffers[2 + buffer]->data + used, text.data, text.length);
      }
      if (is_long) used += (int64_t)text.length;
      if (is_long && sizes) sizes[buffer] = used;
    }
  }
  *count = buffer + 1;
}

static tn_status fill_views(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  int64_t count;
  lay_views(n, s, p, false, NULL, &count);
  n->buffers = tn_alloc((size_t)count + 3, sizeof *n->buffers);
  if (!n->buffers) return tn_fail_memory(err, "views' buffers", (size_t)count * 8);
  TN_TRY(node_validity(n, s, p, err));
  TN_TRY(node_buffer(n, (size_t)p->rows * VIEW_BYTES, err));
  n->buffer_count = count + 3;
  tn_buffer **last = &n->buffers[count + 2];
  TN_TRY(tn_buffer_new(last, (size_t)count * sizeof(int64_t), err));
  int64_t *sizes = (*last)->data;
  lay_views(n, s, p, false, sizes, &count);
  for (int64_t i = 0; i < count; i++)
    TN_TRY(tn_buffer_new(&n->buffers[2 + i], (size_t)sizes[i], err));
  lay_views(n, s, p, true, NULL, &count);
  return TN_OK;
}

/* ---- lists ---- */
static tn_status fill_list(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  bool large = s->field->type.layout == TN_LAYOUT_LARGE_LIST;
  int64_t at = 0;
  TN_TRY(node_children(n, 1, err));
  TN_TRY(node_validity(n, s, p, err));
  TN_TRY(node_buffer(n, (size_t)(p->rows + 1) * (large ? 8 : 4), err));
  for (size_t i = 0; i < p->count; at += p->items[i].count, i++) {
    const tn_pick *pick = &p->items[i];
    int64_t end = n->picks[0].rows;
    if (!pick->array) {
      repeat_offset(n->buffers[1], large, at, pick->count, end);
      continue;
    }
    int64_t items = extent(pick, large);
    TN_TRY(check_offset(s, large, end + items, "items", err));
    copy_offsets(n->buffers[1], large, pick, at, end);
    TN_TRY(tn_picks_add(&n->picks[0], pick->array->children[0],
                        offset_at(pick->array, large, pick->array->offset + pick->from), items,
                        err));
  }
  return assemble_children(n, s, err);
}

/* List views come out in order; as plain lists with one offset more instead of sizes. */
static tn_status fill_list_views(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  bool large = s->field->type.layout == TN_LAYOUT_LARGE_LIST_VIEW;
  size_t width = large ? 8 : 4;
  int64_t at = 0;
  TN_TRY(node_children(n, 1, err));
  TN_TRY(node_validity(n, s, p, err));
  TN_TRY(node_buffer(n, (size_t)(p->rows + 1) * width, err));
  if (!s->plain) TN_TRY(node_buffer(n, (size_t)p->rows * width, err));
  for (size_t i = 0; i < p->count; i++) {
    const tn_pick *pick = &p->items[i];
    for (int64_t k = 0; k < pick->count; k++, at++) {
      int64_t from = 0, end = n->picks[0].rows;
      int64_t items =
          pick->array ? tn_value_items(s->field, pick->array, pick->from + k, &from) : 0;
      if (items) TN_TRY(tn_picks_add(&n->picks[0], pick->array->children[0], from, items, err));
      TN_TRY(check_offset(s, large, end + items, "items", err));
      put_offset(n->buffers[1], large, s->plain ? at + 1 : at, s->plain ? end + items : end);
      if (!s->plain) put_offset(n->buffers[2], large, at, items);
    }
  }
  return assemble_children(n, s, err);
}

static tn_status fill_fixed_list(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  int64_t size = s->field->type.size;
  TN_TRY(node_children(n, 1, err));
  TN_TRY(node_validity(n, s, p, err));
  for (size_t i = 0; i < p->count; i++) {
    const tn_pick *pick = &p->items[i];
    const ArrowArray *a = pick->array;
    int64_t items;
    if (__builtin_mul_overflow(pick->count, size, &items))
      return tn_fail(err, TN_ERR_LIMIT, "%lld lists of %lld items", (long long)pick->count,
                     (long long)size);
    TN_TRY(tn_picks_add(&n->picks[0], a ? a->children[0] : NULL,
                        a ? (a->offset + pick->from) * size : 0, items, err));
  }
  return assemble_children(n, s, err);
}

/* ---- structs, unions, runs ---- */
static tn_status pick_children(node *n, const tn_picks *p, tn_error *err) {
  for (size_t i = 0; i < p->count; i++) {
    const tn_pick *pick = &p->items[i];
    for (int64_t c = 0; c < n->child_count; c++)
      TN_TRY(tn_picks_add(&n->picks[c], pick->array ? pick->array->children[c] : NULL,
                          pick->array ? pick->array->offset + pick->from : 0, pick->count, err));
  }
  return TN_OK;
}

static tn_status fill_struct(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  TN_TRY(node_children(n, s->field->child_count, err));
  TN_TRY(node_validity(n, s, p, err));
  TN_TRY(pick_children(n, p, err));
  return assemble_children(n, s, err);
}

/* A null pick is one of the first child. */
static tn_status copy_codes(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  int64_t at = 0;
  TN_TRY(node_buffer(n, (size_t)p->rows, err));
  for (size_t i = 0; i < p->count; at += p->items[i].count, i++) {
    const tn_pick *pick = &p->items[i];
    int8_t *codes = (int8_t *)n->buffers[0]->data + at;
    if (pick->array)
      memcpy(codes, (const int8_t *)pick->array->buffers[0] + pick->array->offset + pick->from,
             (size_t)pick->count);
    else
      memset(codes, s->field->type.codes[0], (size_t)pick->count);
  }
  return TN_OK;
}

static tn_status fill_sparse_union(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  TN_TRY(node_children(n, s->field->child_count, err));
  TN_TRY(copy_codes(n, s, p, err));
  TN_TRY(pick_children(n, p, err));
  return assemble_children(n, s, err);
}

static tn_status fill_dense_union(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  int64_t child_of[TN_UNION_CHILDREN_MAX] = {0}, at = 0;
  for (int64_t c = 0; c < s->field->child_count; c++) child_of[s->field->type.codes[c]] = c;
  TN_TRY(node_children(n, s->field->child_count, err));
  TN_TRY(copy_codes(n, s, p, err));
  TN_TRY(node_buffer(n, (size_t)p->rows * 4, err));
  const int8_t *codes = n->buffers[0]->data;
  for (size_t i = 0; i < p->count; i++) {
    const tn_pick *pick = &p->items[i];
    const ArrowArray *a = pick->array;
    for (int64_t k = 0; k < pick->count; k++, at++) {
      int64_t c = child_of[codes[at] & 127];
      TN_TRY(check_offset(s, false, n->picks[c].rows, "values of a child", err));
      put_offset(n->buffers[1], false, at, n->picks[c].rows);
      int64_t row = a ? offset_at(a, false, a->offset + pick->from + k) : 0;
      TN_TRY(tn_picks_add(&n->picks[c], a ? a->children[c] : NULL, row, 1, err));
    }
  }
  return assemble_children(n, s, err);
}

/* ---- run ends ---- */
typedef struct runs { /* walks the runs of a pick */
  const ArrowArray *ends, *values;
  int32_t bits;
  int64_t row, stop, run; /* rows from the start of the run-end array's own memory */
} runs;

static int64_t end_of(const ArrowArray *ends, int32_t bits, int64_t run) {
  int64_t i = ends->offset + run;
  if (bits == 16) return ((const int16_t *)ends->buffers[1])[i];
  return bits == 32 ? ((const int32_t *)ends->buffers[1])[i]
                    : ((const int64_t *)ends->buffers[1])[i];
}

static runs runs_of(const tn_field *f, const tn_pick *pick) {
  runs r = {pick->array->children[0],
            pick->array->children[1],
            f->children[0].type.bits,
            pick->array->offset + pick->from,
            0,
            0};
  r.stop = r.row + pick->count;
  int64_t high = r.ends->length - 1;
  while (r.run < high) {
    int64_t middle = r.run + (high - r.run) / 2;
    if (end_of(r.ends, r.bits, middle) > r.row)
      high = middle;
    else
      r.run = middle + 1;
  }
  return r;
}

/* Rows of the current run inside the pick, and which run; 0: no more. */
static int64_t runs_next(runs *r, int64_t *run) {
  if (r->row >= r->stop || r->run >= r->ends->length) return 0;
  int64_t end = end_of(r->ends, r->bits, r->run);
  int64_t rows = (end < r->stop ? end : r->stop) - r->row;
  *run = r->run++;
  r->row += rows;
  return rows;
}

typedef struct run_list {
  int64_t *ends;
  size_t count, capacity;
  const ArrowArray *last_values; /* NULL: a null run */
  int64_t last_run;
} run_list;

/* A run cut in two by picks that follow each other stays one. */
static tn_status add_run(run_list *list, tn_picks *values, const ArrowArray *array, int64_t run,
                         int64_t rows, tn_error *err) {
  bool again = list->count && list->last_values == array && list->last_run == run;
  if (again) {
    list->ends[list->count - 1] += rows;
    return TN_OK;
  }
  void *ends = list->ends;
  TN_TRY(tn_grow(&ends, &list->capacity, list->count + 1, sizeof *list->ends, err));
  list->ends = ends;
  list->ends[list->count] = (list->count ? list->ends[list->count - 1] : 0) + rows;
  list->count++;
  list->last_values = array;
  list->last_run = run;
  return tn_picks_add(values, array, run, 1, err);
}

static tn_status list_runs(run_list *list, tn_picks *values, const tn_field *f, const tn_picks *p,
                           tn_error *err) {
  for (size_t i = 0; i < p->count; i++) {
    if (!p->items[i].array) {
      TN_TRY(add_run(list, values, NULL, 0, p->items[i].count, err));
      continue;
    }
    runs r = runs_of(f, &p->items[i]);
    int64_t run, rows;
    while ((rows = runs_next(&r, &run)) > 0)
      TN_TRY(add_run(list, values, r.values, run, rows, err));
  }
  return TN_OK;
}

static tn_status ends_array(ArrowArray *out, const tn_field *f, const run_list *list,
                            tn_error *err) {
  int32_t bits = f->type.bits;
  int64_t last = list->count ? list->ends[list->count - 1] : 0;
  if (bits < 64 && last >> (bits - 1))
    return tn_fail(err, TN_ERR_LIMIT, "%lld rows in one run-end array, run ends are %s",
                   (long long)last, tn_type_name(f->type.id));
  tn_buffer *buffers[2] = {NULL, NULL};
  TN_TRY(tn_buffer_new(&buffers[1], list->count * (size_t)bits / 8, err));
  for (size_t i = 0; i < list->count; i++) {
    if (bits == 16)
      ((int16_t *)buffers[1]->data)[i] = (int16_t)list->ends[i];
    else
      put_offset(buffers[1], bits == 64, (int64_t)i, list->ends[i]);
  }
  tn_array_parts parts = {.length = (int64_t)list->count, .buffers = buffers, .buffer_count = 2};
  tn_status status = tn_array_make(out, &parts, err);
  tn_buffer_drop(buffers[1]);
  return status;
}

static tn_status fill_runs(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  const tn_field *values = &s->field->children[1];
  run_list list = {0};
  TN_TRY(node_children(n, 2, err));
  tn_status status = list_runs(&list, &n->picks[1], s->field, p, err);
  if (status == TN_OK) status = ends_array(&n->children[0], &s->field->children[0], &list, err);
  tn_free(list.ends);
  if (status != TN_OK) return status;
  return tn_picks_assemble(&n->children[1], values, values->nullable, s->plain, &n->picks[1], err);
}

/* ---- dictionary and run-end values, each on its own row ---- */
static tn_status pick_indexed(tn_picks *out, const tn_field *f, const tn_pick *pick, bool *nullable,
                              tn_error *err) {
  const ArrowArray *a = pick->array;
  for (int64_t k = 0; k < pick->count; k++) {
    bool null = tn_array_is_null(a, pick->from + k);
    *nullable |= null;
    TN_TRY(tn_picks_add(out, null ? NULL : a->dictionary,
                        null ? 0 : tn_value_index(f, a, pick->from + k), 1, err));
  }
  return TN_OK;
}

static tn_status pick_runs(tn_picks *out, const tn_field *f, const tn_pick *pick, tn_error *err) {
  runs r = runs_of(f, pick);
  int64_t run, rows;
  while ((rows = runs_next(&r, &run)) > 0)
    for (int64_t k = 0; k < rows; k++) TN_TRY(tn_picks_add(out, r.values, run, 1, err));
  return TN_OK;
}

static tn_status assemble_values(ArrowArray *out, const shape *s, const tn_picks *p,
                                 tn_error *err) {
  const tn_field *f = s->field, *values = f->dictionary ? f->dictionary : &f->children[1];
  bool nullable = s->nullable || values->nullable;
  tn_picks picks = {0};
  tn_status status = TN_OK;
  for (size_t i = 0; status == TN_OK && i < p->count; i++) {
    const tn_pick *pick = &p->items[i];
    if (!pick->array)
      status = tn_picks_add(&picks, NULL, 0, pick->count, err);
    else
      status = f->dictionary ? pick_indexed(&picks, f, pick, &nullable, err)
                             : pick_runs(&picks, f, pick, err);
  }
  if (status == TN_OK) status = tn_picks_assemble(out, values, nullable, true, &picks, err);
  tn_picks_clear(&picks);
  return status;
}

/* ---- any layout ---- */
static tn_status fill(node *n, const shape *s, const tn_picks *p, tn_error *err) {
  switch (s->field->type.layout) {
    case TN_LAYOUT_NONE:
      n->nulls = p->rows;
      return TN_OK;
    case TN_LAYOUT_BITS:
      return fill_bits(n, s, p, err);
    case TN_LAYOUT_FIXED:
      return fill_fixed(n, s, p, err);
    case TN_LAYOUT_BYTES:
    case TN_LAYOUT_LARGE_BYTES:
      return fill_bytes(n, s, p, err);
    case TN_LAYOUT_VIEW:
      return s->plain ? fill_unviewed(n, s, p, err) : fill_views(n, s, p, err);
    case TN_LAYOUT_LIST:
    case TN_LAYOUT_LARGE_LIST:
      return fill_list(n, s, p, err);
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return fill_list_views(n, s, p, err);
    case TN_LAYOUT_FIXED_LIST:
      return fill_fixed_list(n, s, p, err);
    case TN_LAYOUT_STRUCT:
      return fill_struct(n, s, p, err);
    case TN_LAYOUT_DENSE_UNION:
      return fill_dense_union(n, s, p, err);
    case TN_LAYOUT_SPARSE_UNION:
      return fill_sparse_union(n, s, p, err);
    case TN_LAYOUT_RUN_END:
      return fill_runs(n, s, p, err);
  }
  return tn_fail(err, TN_ERR_ARGUMENT, "layout %d", (int)s->field->type.layout);
}

tn_status tn_picks_assemble(ArrowArray *out, const tn_field *field, bool nullable, bool plain,
                            const tn_picks *picks, tn_error *err) {
  shape s = {field, nullable, plain};
  memset(out, 0, sizeof *out);
  bool indirect = field->dictionary || field->type.layout == TN_LAYOUT_RUN_END;
  if (indirect && plain) return assemble_values(out, &s, picks, err);
  if (field->dictionary) return tn_picks_dictionary(out, field, nullable, picks, err);
  node n = {0};
  n.buffers = n.few;
  tn_status status = fill(&n, &s, picks, err);
  if (status == TN_OK) {
    tn_array_parts parts = {.length = picks->rows,
                            .null_count = n.nulls,
                            .buffers = n.buffers,
                            .buffer_count = n.buffer_count,
                            .children = n.children,
                            .child_count = n.child_count};
    status = tn_array_make(out, &parts, err);
  }
  node_clear(&n);
  return status;
}
