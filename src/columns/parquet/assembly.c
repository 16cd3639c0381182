/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/assembly.h"

#include "columns/gather.h"
#include "columns/parquet/bits.h"
#include "columns/parquet/level_masks.h"
#include "columns/parquet/variant.h"

/* What a node's levels say about its slots. */
typedef struct shape {
  tn_parquet_bytes valid; /* bits, when the node may be null */
  tn_parquet_bytes ends;  /* lists: slots + 1 int32 */
  int64_t nulls, items;
} shape;

static void shape_clear(shape *s) {
  tn_parquet_bytes_clear(&s->valid);
  tn_parquet_bytes_clear(&s->ends);
}

static tn_status shape_init(shape *s, const tn_parquet_node *node, int64_t slots, tn_error *err) {
  bool list = node->kind == TN_PARQUET_NODE_LIST || node->kind == TN_PARQUET_NODE_MAP;
  *s = (shape){0};
  if (node->nullable) {
    TN_TRY(tn_parquet_bytes_reserve(&s->valid, tn_bits_bytes(slots), err));
    s->valid.length = tn_bits_bytes(slots);
    memset(s->valid.data, 0, s->valid.length);
  }
  if (!list) return TN_OK;
  TN_TRY(tn_parquet_bytes_reserve(&s->ends, ((size_t)slots + 1) * sizeof(int32_t), err));
  s->ends.length = ((size_t)slots + 1) * sizeof(int32_t);
  return TN_OK;
}

static tn_status no_fit(const tn_parquet_node *node, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "\"%s\": the columns below it do not have the same structure",
                 node->name);
}

/* ---- levels to validity and offsets ---------------------------------------------------------- */

/* Nullable structs. */
static bool struct_shape(const tn_parquet_node *node, const tn_parquet_part *p, int64_t slots,
                         shape *s) {
  const uint8_t *defs = p->defs.data, *reps = p->reps.data;
  int64_t k = 0;
  if (node->rep == 0) { /* an entry of a row that begins is a slot */
    if (!reps) {
      if (p->entries != slots) return false;
      tn_parquet_levels_mask(defs, slots, node->def, s->valid.data, 0);
      s->nulls = slots - tn_parquet_levels_count(defs, slots, node->def);
      return true;
    }
  }
  for (int64_t i = 0; i < p->entries; i++) {
    if ((reps && reps[i] > node->rep) || defs[i] < node->slot_def) continue;
    if (k == slots) return false;
    bool valid = defs[i] >= node->def;
    s->valid.data[k >> 3] |= (uint8_t)(valid << (k & 7));
    s->nulls += !valid;
    k++;
  }
  return k == slots;
}

static bool list_shape(const tn_parquet_node *node, const tn_parquet_part *p, int64_t slots,
                       shape *s) {
  const uint8_t *defs = p->defs.data, *reps = p->reps.data;
  int32_t *ends = (int32_t *)(void *)s->ends.data;
  uint8_t item_rep = (uint8_t)(node->rep + 1), item_def = (uint8_t)(node->def + 1);
  int64_t k = 0;
  int32_t items = 0; /* entries are fewer than 2^31 */
  ends[0] = 0;
  for (int64_t i = 0; i < p->entries; i++) {
    if (reps[i] > item_rep || defs[i] < node->slot_def) continue;
    bool item = defs[i] >= item_def;
    if (reps[i] == item_rep) { /* another item of the list at hand */
      if (k == 0 || !item) return false;
      ends[k] = ++items;
      continue;
    }
    if (k == slots) return false;
    bool valid = defs[i] >= node->def;
    if (node->nullable) s->valid.data[k >> 3] |= (uint8_t)(valid << (k & 7));
    s->nulls += !valid;
    items += item;
    ends[++k] = items;
  }
  s->items = items;
  return k == slots;
}

static tn_status shape_of(const tn_parquet_node *node, const tn_parquet_part *part, int64_t slots,
                          shape *out, tn_error *err) {
  bool list = node->kind != TN_PARQUET_NODE_STRUCT;
  TN_TRY(shape_init(out, node, slots, err));
  if (!list && !node->nullable) return TN_OK;
  bool good = list ? list_shape(node, part, slots, out) : struct_shape(node, part, slots, out);
  return good ? TN_OK : no_fit(node, err);
}

static bool same_bytes(const tn_parquet_bytes *a, const tn_parquet_bytes *b) {
  return a->length == b->length && (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

/* Every leaf below the node must tell what the first one does. */
static tn_status check_others(const tn_parquet_node *node, const tn_parquet_part *parts,
                              int64_t slots, const shape *want, tn_error *err) {
  if (node->kind == TN_PARQUET_NODE_STRUCT && !node->nullable) return TN_OK;
  for (int64_t i = 1; i < node->leaf_count; i++) {
    shape other;
    tn_status status = shape_of(node, &parts[node->leaf + i], slots, &other, err);
    if (status == TN_OK &&
        (!same_bytes(&want->valid, &other.valid) || !same_bytes(&want->ends, &other.ends))) {
      status = no_fit(node, err);
    }
    shape_clear(&other);
    TN_TRY(status);
  }
  return TN_OK;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static tn_status make_leaf(const tn_parquet_node *node, tn_parquet_part *part, int64_t slots,
                           ArrowArray *out, tn_error *err) {
  if (part->slots.count != slots) {
    return tn_fail(err, TN_ERR_DATA, "\"%s\" has %lld values, its neighbours have %lld", node->name,
                   (long long)part->slots.count, (long long)slots);
  }
  return tn_parquet_slots_finish(&part->slots, out, err);
}

static tn_status make_children(const tn_parquet_node *node, tn_parquet_part *parts, int64_t slots,
                               ArrowArray *children, tn_error *err) {
  for (int64_t i = 0; i < node->child_count; i++) {
    TN_TRY(tn_parquet_assemble(&node->children[i], parts, slots, &children[i], err));
  }
  return TN_OK;
}

/* A null list takes no items in Parquet, but as many as any in a fixed-size list. */
static tn_status pad_items(const tn_parquet_node *node, const shape *s, int64_t slots,
                           ArrowArray *items, tn_error *err) {
  const int32_t *ends = (const int32_t *)(const void *)s->ends.data;
  size_t count;
  tn_arena arena = {0};
  tn_field *field;
  ArrowArray padded = {0};
  if (!tn_mul_size((size_t)slots, (size_t)node->list_size, &count) || count > INT32_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "%lld lists of %d items", (long long)slots, node->list_size);
  }
  int64_t *rows = tn_alloc(count, sizeof *rows);
  if (!rows) return tn_fail_memory(err, "the items of a fixed-size list", count * sizeof *rows);
  for (int64_t i = 0, at = 0; i < slots; i++) {
    bool null = ends[i] == ends[i + 1];
    for (int32_t k = 0; k < node->list_size; k++) rows[at++] = null ? -1 : ends[i] + k;
  }
  tn_status status = tn_field_tree(&field, &arena, node->children[0].schema, err);
  if (status == TN_OK) {
    status = tn_array_gather(&padded, field, items, rows, (int64_t)count, err);
  }
  if (status == TN_OK) {
    tn_array_clear(items);
    *items = padded;
  }
  tn_arena_clear(&arena);
  tn_free(rows);
  return status;
}

static tn_status fit_fixed_list(const tn_parquet_node *node, const shape *s, int64_t slots,
                                ArrowArray *items, tn_error *err) {
  const int32_t *ends = (const int32_t *)(const void *)s->ends.data;
  for (int64_t i = 0; i < slots; i++) {
    int32_t count = ends[i + 1] - ends[i];
    bool valid = !node->nullable || tn_bit_get(s->valid.data, i);
    /* Under a null struct a required list has no items either. */
    if (count == node->list_size || (count == 0 && (!valid || node->slot_def < node->def)))
      continue;
    return tn_fail(err, TN_ERR_DATA, "\"%s\": a list of %d items, its type says %d", node->name,
                   count, node->list_size);
  }
  if (s->items == slots * node->list_size) return TN_OK;
  return pad_items(node, s, slots, items, err);
}

/* The int32 ends in the form that the list's layout has: buffers [1], and [2] of views. */
static tn_status list_buffers(const tn_parquet_node *node, shape *s, int64_t slots,
                              tn_buffer **buffers, int64_t *count, tn_error *err) {
  const int32_t *ends = (const int32_t *)(const void *)s->ends.data;
  bool large = node->layout == TN_LAYOUT_LARGE_LIST || node->layout == TN_LAYOUT_LARGE_LIST_VIEW;
  bool view = node->layout == TN_LAYOUT_LIST_VIEW || node->layout == TN_LAYOUT_LARGE_LIST_VIEW;
  size_t width = large ? 8 : 4;
  *count = view ? 3 : 2;
  if (!large && !view) return tn_parquet_spare_wrap(NULL, &s->ends, &buffers[1], err);
  TN_TRY(tn_buffer_new(&buffers[1], ((size_t)slots + 1) * width, err));
  if (view) TN_TRY(tn_buffer_new(&buffers[2], (size_t)slots * width, err));
  for (int64_t i = 0; i <= slots; i++) {
    if (large) {
      ((int64_t *)buffers[1]->data)[i] = ends[i];
      if (view && i < slots) ((int64_t *)buffers[2]->data)[i] = ends[i + 1] - ends[i];
    } else {
      ((int32_t *)buffers[1]->data)[i] = ends[i];
      if (i < slots) ((int32_t *)buffers[2]->data)[i] = ends[i + 1] - ends[i];
    }
  }
  return TN_OK;
}

static tn_status finish(const tn_parquet_node *node, shape *s, int64_t slots, ArrowArray *children,
                        tn_buffer **buffers, ArrowArray *out, tn_error *err) {
  bool list = node->kind != TN_PARQUET_NODE_STRUCT;
  tn_array_parts parts = {.length = slots,
                          .null_count = node->nullable ? s->nulls : 0,
                          .buffers = buffers,
                          .buffer_count = 1,
                          .children = children,
                          .child_count = node->child_count};
  if (list && node->layout == TN_LAYOUT_FIXED_LIST) {
    TN_TRY(fit_fixed_list(node, s, slots, &children[0], err)); /* looks at `valid` */
  } else if (list) {
    TN_TRY(list_buffers(node, s, slots, buffers, &parts.buffer_count, err));
  }
  if (node->nullable && s->nulls) TN_TRY(tn_parquet_spare_wrap(NULL, &s->valid, &buffers[0], err));
  return tn_array_make(out, &parts, err);
}

static tn_status make_nested(const tn_parquet_node *node, tn_parquet_part *parts, int64_t slots,
                             ArrowArray *children, shape *s, ArrowArray *out, tn_error *err) {
  tn_buffer *buffers[3] = {0};
  TN_TRY(shape_of(node, &parts[node->leaf], slots, s, err));
  TN_TRY(check_others(node, parts, slots, s, err));
  int64_t below = node->kind == TN_PARQUET_NODE_STRUCT ? slots : s->items;
  TN_TRY(make_children(node, parts, below, children, err));
  tn_status status = finish(node, s, slots, children, buffers, out, err);
  for (int i = 0; i < 3; i++) tn_buffer_drop(buffers[i]);
  return status;
}

/* A shredded Variant as one piece. */
static tn_status unshred(const tn_parquet_node *node, int64_t slots, ArrowArray *array,
                         tn_error *err) {
  ArrowArray whole = {0};
  TN_TRY(tn_variant_plan_run(node->unshred, array, 0, slots, &whole, err));
  tn_array_clear(array);
  *array = whole;
  return TN_OK;
}

tn_status tn_parquet_assemble(const tn_parquet_node *node, tn_parquet_part *parts, int64_t slots,
                              ArrowArray *out, tn_error *err) {
  if (node->kind == TN_PARQUET_NODE_LEAF) {
    return make_leaf(node, &parts[node->leaf], slots, out, err);
  }
  size_t count = (size_t)node->child_count;
  ArrowArray *children = tn_alloc(count, sizeof *children);
  shape s = {0};
  if (!children) return tn_fail_memory(err, "a nested array", count * sizeof *children);
  tn_status status = make_nested(node, parts, slots, children, &s, out, err);
  if (status == TN_OK && node->unshred) {
    status = unshred(node, slots, out, err);
    if (status != TN_OK) tn_array_clear(out);
  }
  shape_clear(&s);
  for (size_t i = 0; i < count; i++) tn_array_clear(&children[i]);
  tn_free(children);
  return status;
}
