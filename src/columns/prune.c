/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/prune.h"

#include <math.h>
#include <stdlib.h>

#include "columns/expr_tree.h"
#include "columns/parquet/bloom.h"
#include "columns/parquet/bounds.h"
#include "columns/parquet/file.h"
#include "columns/parquet/index.h"

/* Answers that may occur. */
enum { MAY_TRUE = 1, MAY_FALSE = 2, MAY_UNKNOWN = 4, ANYTHING = 7 };

typedef struct place { /* a column of the predicate in the file */
  const tn_expr_node *node;
  int64_t column; /* of the row groups' chunks; -1: not found, nothing is known of it */
  const tn_parquet_element *element;
  tn_parquet_bounds chunk;
  bool has_pages;
  tn_parquet_column_index index;
  tn_parquet_offset_index offsets;
  uint32_t page; /* the one looked at, where has_pages */
  bool bloom_tried, has_bloom;
  tn_parquet_bloom bloom;
} place;

typedef struct pruner {
  tn_parquet_file *file;
  const tn_expr *where;
  tn_arena arena, group_arena;
  place *places;
  int32_t place_count;
  const tn_parquet_element **leaves; /* one a column chunk */
  bool *wanted;                      /* chunks that will be read */
  int64_t group;
  bool by_page, by_bloom;
  bool *dead; /* pages of the column counted at the moment */
  tn_row_range *ranges;
  size_t range_count, range_capacity;
  tn_prune_report report;
  tn_error *err;
  tn_status status; /* out of memory while evaluating */
} pruner;

/* ---- where the predicate's columns are ---- */
static int64_t column_of(const tn_parquet_footer *footer, const tn_expr_node *node) {
  const tn_parquet_group_meta *group = &footer->groups[0];
  int64_t found = -1;
  for (int64_t c = 0; c < group->chunk_count; c++) {
    const tn_parquet_chunk_meta *chunk = &group->chunks[c];
    bool same = chunk->path_count == (uint32_t)node->path_count;
    for (int32_t i = 0; same && i < node->path_count; i++)
      same = tn_str_is(chunk->path[i], node->path[i]->name);
    if (!same) continue;
    if (found >= 0) return -1; /* two of one name */
    found = c;
  }
  return found;
}

static void find_leaves(pruner *p) {
  const tn_parquet_footer *footer = &p->file->footer;
  int64_t chunks = footer->groups[0].chunk_count, leaf = 0;
  p->leaves = tn_arena_alloc(&p->arena, (size_t)chunks, sizeof *p->leaves);
  for (int64_t i = 1; p->leaves && i < footer->element_count && leaf < chunks; i++)
    if (footer->elements[i].children == 0) p->leaves[leaf++] = &footer->elements[i];
}

static void find_places(pruner *p, const tn_expr_node *node) {
  if (!node) return;
  if (node->kind == TN_EXPR_COLUMN) {
    for (int32_t i = 0; i < p->place_count; i++)
      if (p->places[i].node == node) return;
    place *new = &p->places[p->place_count++];
    new->node = node;
    new->column = column_of(&p->file->footer, node);
    if (new->column >= 0) new->element = p->leaves[new->column];
    if (!new->element) new->column = -1;
  }
  find_places(p, node->left);
  if (node->kind != TN_EXPR_IN) find_places(p, node->right);
}

static void find_wanted(pruner *p, const char *const *columns, int32_t count) {
  const tn_parquet_group_meta *group = &p->file->footer.groups[0];
  p->wanted = tn_arena_alloc(&p->arena, (size_t)group->chunk_count, 1);
  for (int64_t c = 0; p->wanted && c < group->chunk_count; c++) {
    const tn_parquet_chunk_meta *chunk = &group->chunks[c];
    p->wanted[c] = !columns;
    for (int32_t i = 0; columns && i < count && chunk->path_count > 0; i++)
      p->wanted[c] |= tn_str_is(chunk->path[0], columns[i]);
  }
}

/* ---- bounds in the class of the expression ---- */
static int32_t logical_digits(const tn_parquet_element *element, tn_parquet_compare compare) {
  if (compare == TN_PARQUET_COMPARE_INT96) return 9;
  int16_t kind = element->logical.kind;
  if (kind != TN_PARQUET_LOGICAL_TIMESTAMP && kind != TN_PARQUET_LOGICAL_TIME) return -1;
  switch (element->logical.unit) {
    case TN_PARQUET_MILLIS:
      return 3;
    case TN_PARQUET_MICROS:
      return 6;
    case TN_PARQUET_NANOS:
      return 9;
    default:
      return -1;
  }
}

/* A time in the file's unit as one in the column's; false: not surely the same instant. */
static bool scale_time(int32_t from, int32_t to, int64_t *value) {
  if (from < 0 || from > to) return false;
  for (; from < to; from++)
    if (__builtin_mul_overflow(*value, (int64_t)10, value)) return false;
  return true;
}

static bool decimal_bound(const place *at, tn_parquet_compare compare, tn_str bound,
                          tn_expr_constant *out) {
  tn_parquet_number number;
  if (at->element->logical.kind != TN_PARQUET_LOGICAL_DECIMAL ||
      at->element->logical.scale != at->node->scale)
    return false;
  if (compare == TN_PARQUET_COMPARE_DECIMAL) return tn_decimal_from_be(bound, &out->decimal);
  if (!tn_parquet_bound_number(compare, bound, &number) || number.kind != TN_PARQUET_SIGNED)
    return false;
  out->decimal = tn_decimal_of_i64(number.i);
  return true;
}

static bool bound_constant(const place *at, tn_parquet_compare compare, tn_str bound,
                           tn_expr_constant *out) {
  tn_parquet_number n;
  tn_expr_class class = at->node->class;
  *out = (tn_expr_constant){.exact = true};
  if (class == TN_EXPR_DECIMAL) return decimal_bound(at, compare, bound, out);
  if (class == TN_EXPR_TEXT) {
    out->text = bound;
    return compare == TN_PARQUET_COMPARE_BYTES;
  }
  if (!tn_parquet_bound_number(compare, bound, &n)) return false;
  bool whole = n.kind == TN_PARQUET_SIGNED;
  out->i64 = n.i;
  switch (class) {
    case TN_EXPR_U64:
      out->u64 = n.u;
      return n.kind == TN_PARQUET_UNSIGNED;
    case TN_EXPR_F64:
      out->f64 = n.f;
      return n.kind == TN_PARQUET_REAL && n.f == n.f;
    case TN_EXPR_BOOL:
      return compare == TN_PARQUET_COMPARE_BOOL;
    case TN_EXPR_I64:
      if (n.kind == TN_PARQUET_UNSIGNED) out->i64 = (int64_t)n.u;
      return whole || (n.kind == TN_PARQUET_UNSIGNED && n.u <= INT64_MAX);
    case TN_EXPR_DATE:
      return compare == TN_PARQUET_COMPARE_I32 && at->node->scale == 0 &&
             at->element->logical.kind == TN_PARQUET_LOGICAL_DATE;
    case TN_EXPR_TIMESTAMP:
    case TN_EXPR_TIME:
      return whole && scale_time(logical_digits(at->element, compare), at->node->scale, &out->i64);
    default:
      return false;
  }
}

typedef struct interval {
  bool has_min, has_max;
  tn_expr_constant min, max;
  bool all_null, maybe_null, maybe_nan, only_nan;
} interval;

static place *place_of(pruner *p, const tn_expr_node *node) {
  for (int32_t i = 0; i < p->place_count; i++)
    if (p->places[i].node == node) return &p->places[i];
  return NULL;
}

/* What the chunk, or the page looked at, says of a column; false: nothing. */
static bool interval_of(pruner *p, place *at, interval *out) {
  tn_parquet_bounds page, *bounds = &at->chunk;
  if (!at || at->column < 0) return false;
  if (p->by_page && at->has_pages) {
    uint8_t order = tn_parquet_column_order(&p->file->footer, at->column);
    tn_parquet_bounds_of_page(at->element, order, &at->index, at->page, &page);
    bounds = &page;
  }
  *out = (interval){.all_null = bounds->all_null,
                    .maybe_null = bounds->nulls != 0 || bounds->all_null,
                    .maybe_nan = bounds->maybe_nan,
                    .only_nan = bounds->only_nan};
  out->has_min = bounds->has_min && bound_constant(at, bounds->compare, bounds->min, &out->min);
  out->has_max = bounds->has_max && bound_constant(at, bounds->compare, bounds->max, &out->max);
  return true;
}

/* ---- Bloom filters ---- */
static bool probe(const tn_parquet_bloom *bloom, const void *bytes, size_t count) {
  return tn_parquet_bloom_probe(bloom, tn_parquet_bloom_hash(bytes, count));
}

static bool probe_i64(const place *at, int64_t value, int32_t physical) {
  if (physical == TN_PARQUET_INT64) return probe(&at->bloom, &value, 8);
  int32_t narrow = (int32_t)value;
  return probe(&at->bloom, &narrow, 4);
}

static bool probe_real(const place *at, double value, int32_t physical) {
  float narrow = (float)value;
  for (int i = 0; i < 2; i++, value = -value, narrow = -narrow) {
    bool hit = physical == TN_PARQUET_DOUBLE ? probe(&at->bloom, &value, 8)
                                             : probe(&at->bloom, &narrow, 4);
    if (hit || value != 0) return hit; /* both zeros are equal */
  }
  return false;
}

/* Whether a value equal to the constant may be in the chunk.  Only stored forms that are the only
 * ones for their value are looked up. */
static bool bloom_may_hold(const place *at, const tn_expr_constant *c) {
  int32_t physical = at->element->physical;
  bool whole = physical == TN_PARQUET_INT32 || physical == TN_PARQUET_INT64;
  const tn_parquet_logical *logical = &at->element->logical;
  switch (at->node->class) {
    case TN_EXPR_I64:
      return !whole || logical->kind == TN_PARQUET_LOGICAL_DECIMAL ||
             probe_i64(at, c->i64, physical);
    case TN_EXPR_U64:
      return physical != TN_PARQUET_INT64 || probe_i64(at, (int64_t)c->u64, physical);
    case TN_EXPR_F64:
      return (physical != TN_PARQUET_DOUBLE && physical != TN_PARQUET_FLOAT) ||
             probe_real(at, c->f64, physical);
    case TN_EXPR_DATE:
      return physical != TN_PARQUET_INT32 || logical->kind != TN_PARQUET_LOGICAL_DATE ||
             at->node->scale != 0 || probe_i64(at, c->i64, physical);
    case TN_EXPR_TIMESTAMP:
    case TN_EXPR_TIME:
      return !whole || logical_digits(at->element, TN_PARQUET_COMPARE_I64) != at->node->scale ||
             probe_i64(at, c->i64, physical);
    case TN_EXPR_TEXT:
      if (physical == TN_PARQUET_FIXED_LEN_BYTE_ARRAY &&
          c->text.length != (size_t)at->element->length)
        return false;
      return probe(&at->bloom, c->text.data, c->text.length);
    default:
      return true;
  }
}

static bool load_bloom(pruner *p, place *at) {
  if (at->bloom_tried) return at->has_bloom;
  at->bloom_tried = true;
  if (at->column < 0) return false;
  tn_status status = tn_parquet_bloom_read(&at->bloom, p->file, p->group, at->column, p->err);
  if (status == TN_ERR_MEMORY || status == TN_ERR_IO) p->status = status;
  at->has_bloom = status == TN_OK && at->bloom.blocks > 0;
  return at->has_bloom;
}

static bool surely_absent(pruner *p, place *at, const tn_expr_constant *items, int64_t count) {
  if (!p->by_bloom || !load_bloom(p, at)) return false;
  for (int64_t i = 0; i < count; i++)
    if (bloom_may_hold(at, &items[i])) return false;
  return true;
}

/* ---- the answers that may occur ---- */
static uint32_t swapped(uint32_t answers) {
  return (answers & MAY_UNKNOWN) | (answers & MAY_TRUE ? MAY_FALSE : 0) |
         (answers & MAY_FALSE ? MAY_TRUE : 0);
}

static uint32_t both_ways(bool may_true, bool may_false) {
  return (may_true ? MAY_TRUE : 0u) | (may_false ? MAY_FALSE : 0u);
}

/* Of values within [min, max], nulls and NaN apart. */
static uint32_t compare_within(tn_expr_class class, tn_expr_op op, const interval *in,
                               const tn_expr_constant *c) {
  int low = in->has_min ? tn_expr_compare_constants(class, &in->min, c) : -1; /* min against c */
  int high = in->has_max ? tn_expr_compare_constants(class, &in->max, c) : 1;
  bool one_value = in->has_min && in->has_max && low == 0 && high == 0;
  switch (op) {
    case TN_EXPR_EQ:
      return both_ways(low <= 0 && high >= 0, !one_value);
    case TN_EXPR_NE:
      return both_ways(!one_value, low <= 0 && high >= 0);
    case TN_EXPR_LT:
      return both_ways(low < 0, high >= 0);
    case TN_EXPR_LE:
      return both_ways(low <= 0, high > 0);
    case TN_EXPR_GT:
      return both_ways(high > 0, low <= 0);
    default:
      return both_ways(high >= 0, low < 0);
  }
}

static uint32_t compare_answers(pruner *p, const tn_expr_node *node) {
  interval in;
  place *at = place_of(p, node->left);
  if (node->left->kind != TN_EXPR_COLUMN || node->right->kind != TN_EXPR_LITERAL || !at ||
      !interval_of(p, at, &in))
    return ANYTHING;
  const tn_expr_constant *c = &node->constant;
  tn_expr_op op = node->op;
  uint32_t unknown = in.maybe_null ? MAY_UNKNOWN : 0u, answers;
  bool less = op == TN_EXPR_LT || op == TN_EXPR_LE;
  bool equal = op == TN_EXPR_EQ || op == TN_EXPR_NE;
  if (in.all_null) return MAY_UNKNOWN;
  if (node->left->class == TN_EXPR_NULL) return ANYTHING;
  if (c->outside || (!c->exact && equal)) {
    bool yes = equal ? op == TN_EXPR_NE : (c->outside > 0) == less;
    answers = both_ways(yes, !yes);
  } else {
    if (!c->exact) op = less ? TN_EXPR_LE : TN_EXPR_GT;
    answers = in.only_nan ? 0 : compare_within(node->left->class, op, &in, c);
    if (op == TN_EXPR_EQ && (answers & MAY_TRUE) && surely_absent(p, at, c, 1)) answers = MAY_FALSE;
  }
  if (in.maybe_nan) answers |= op == TN_EXPR_NE ? MAY_TRUE : MAY_FALSE;
  return answers | unknown;
}

static uint32_t in_answers(pruner *p, const tn_expr_node *node) {
  interval in;
  place *at = place_of(p, node->left);
  if (node->left->kind != TN_EXPR_COLUMN || !at || !interval_of(p, at, &in)) return ANYTHING;
  if (in.all_null) return MAY_UNKNOWN;
  bool may_true = false;
  for (int64_t i = 0; i < node->item_count && !may_true; i++)
    may_true =
        (compare_within(node->left->class, TN_EXPR_EQ, &in, &node->items[i]) & MAY_TRUE) != 0;
  if (may_true && surely_absent(p, at, node->items, node->item_count)) may_true = false;
  uint32_t answers = both_ways(may_true, !node->has_null_item);
  if (in.maybe_null || node->has_null_item) answers |= MAY_UNKNOWN;
  return node->negated ? swapped(answers) : answers;
}

static uint32_t null_answers(pruner *p, const tn_expr_node *node) {
  interval in;
  place *at = place_of(p, node->left);
  if (node->left->kind != TN_EXPR_COLUMN || !at || !interval_of(p, at, &in)) return ANYTHING;
  uint32_t answers = both_ways(in.maybe_null, !in.all_null);
  return node->negated ? swapped(answers) : answers;
}

/* Texts that begin with the pattern's plain beginning lie between it and what follows it. */
static uint32_t match_answers(pruner *p, const tn_expr_node *node) {
  interval in;
  place *at = place_of(p, node->left);
  if (node->left->kind != TN_EXPR_COLUMN || !at || !interval_of(p, at, &in)) return ANYTHING;
  if (in.all_null) return MAY_UNKNOWN;
  const tn_expr_pattern *m = node->pattern;
  bool prefixed = !m->fold && (m->form == TN_MATCH_EXACT || m->form == TN_MATCH_PREFIX);
  bool may_true = true;
  if (prefixed) {
    tn_expr_constant prefix = {.text = m->text}, low = in.min;
    if (in.has_min && low.text.length > prefix.text.length) low.text.length = prefix.text.length;
    may_true = (!in.has_max || tn_expr_compare_constants(TN_EXPR_TEXT, &in.max, &prefix) >= 0) &&
               (!in.has_min || tn_expr_compare_constants(TN_EXPR_TEXT, &low, &prefix) <= 0);
  }
  uint32_t answers = both_ways(may_true, true) | (in.maybe_null ? MAY_UNKNOWN : 0u);
  return node->negated ? swapped(answers) : answers;
}

static uint32_t flag_answers(pruner *p, const tn_expr_node *node) {
  interval in;
  place *at = place_of(p, node);
  const tn_expr_constant yes = {.i64 = 1, .exact = true};
  if (!at || !interval_of(p, at, &in)) return ANYTHING;
  if (in.all_null) return MAY_UNKNOWN;
  return compare_within(TN_EXPR_BOOL, TN_EXPR_EQ, &in, &yes) | (in.maybe_null ? MAY_UNKNOWN : 0u);
}

/* All pairs of answers: and is the smaller of false, unknown, true, or the larger. */
static uint32_t join_answers(uint32_t a, uint32_t b, bool and) {
  static const uint32_t by_rank[] = {MAY_FALSE, MAY_UNKNOWN, MAY_TRUE};
  uint32_t joined = 0;
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++)
      if ((a & by_rank[i]) && (b & by_rank[k])) joined |= by_rank[(i < k) == and? i : k];
  return joined;
}

static uint32_t answers_of(pruner *p, const tn_expr_node *node) {
  switch (node->kind) {
    case TN_EXPR_LITERAL:
      return node->is_null ? MAY_UNKNOWN : node->boolean ? MAY_TRUE : MAY_FALSE;
    case TN_EXPR_COLUMN:
      return flag_answers(p, node);
    case TN_EXPR_COMPARE:
      return compare_answers(p, node);
    case TN_EXPR_IN:
      return in_answers(p, node);
    case TN_EXPR_IS_NULL:
      return null_answers(p, node);
    case TN_EXPR_MATCH:
      return match_answers(p, node);
    case TN_EXPR_NOT:
      return swapped(answers_of(p, node->left));
    case TN_EXPR_AND:
    case TN_EXPR_OR:
      return join_answers(answers_of(p, node->left), answers_of(p, node->right),
                          node->kind == TN_EXPR_AND);
    default:
      return ANYTHING;
  }
}

static bool may_be_true(pruner *p) {
  return (answers_of(p, p->where->top) & MAY_TRUE) != 0;
}

/* ---- row groups and pages ---- */
static int64_t wanted_bytes(const pruner *p) {
  const tn_parquet_group_meta *group = &p->file->footer.groups[p->group];
  int64_t bytes = 0;
  for (int64_t c = 0; c < group->chunk_count; c++)
    if (p->wanted[c]) bytes += group->chunks[c].compressed_bytes;
  return bytes;
}

static tn_status add_range(pruner *p, int64_t first, int64_t rows) {
  tn_row_range *last = p->range_count ? &p->ranges[p->range_count - 1] : NULL;
  p->report.rows_left += rows;
  if (last && last->first_row + last->rows == first) {
    last->rows += rows;
    return TN_OK;
  }
  void *ranges = p->ranges;
  TN_TRY(tn_grow(&ranges, &p->range_capacity, p->range_count + 1, sizeof *p->ranges, p->err));
  p->ranges = ranges;
  p->ranges[p->range_count++] = (tn_row_range){first, rows};
  return TN_OK;
}

static void forget_group(pruner *p) {
  for (int32_t i = 0; i < p->place_count; i++) {
    place *at = &p->places[i];
    if (at->has_bloom) tn_parquet_bloom_clear(&at->bloom);
    at->bloom_tried = at->has_bloom = at->has_pages = false;
  }
  tn_arena_reset(&p->group_arena);
}

/* A damaged index is as good as none; memory is another matter. */
static tn_status index_status(tn_status status) {
  return status == TN_ERR_MEMORY || status == TN_ERR_IO ? status : TN_OK;
}

static tn_status load_pages(pruner *p, place *at) {
  if (at->column < 0) return TN_OK;
  tn_error err;
  tn_status status = tn_parquet_column_index_read(&at->index, p->file, p->group, at->column,
                                                  &p->group_arena, &err);
  if (status == TN_OK)
    status = tn_parquet_offset_index_get(&at->offsets, p->file, p->group, at->column,
                                         &p->group_arena, &err);
  at->has_pages = status == TN_OK && at->index.page_count == at->offsets.page_count &&
                  at->offsets.page_count > 0;
  if (index_status(status) != TN_OK && p->err) *p->err = err;
  return index_status(status);
}

static int order_i64(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Rows of the group at which some page of a predicate column begins, ascending. */
static tn_status page_starts(pruner *p, int64_t **out, int64_t *count) {
  size_t most = 1;
  for (int32_t i = 0; i < p->place_count; i++)
    if (p->places[i].has_pages) most += p->places[i].offsets.page_count;
  int64_t *starts = tn_arena_alloc(&p->group_arena, most, sizeof *starts), n = 1;
  if (!starts) return tn_fail_memory(p->err, "page boundaries", most * sizeof *starts);
  for (int32_t i = 0; i < p->place_count; i++)
    for (uint32_t k = 0; p->places[i].has_pages && k < p->places[i].offsets.page_count; k++)
      starts[n++] = p->places[i].offsets.pages[k].first_row;
  qsort(starts, (size_t)n, sizeof *starts, order_i64);
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++)
    if (kept == 0 || starts[i] != starts[kept - 1]) starts[kept++] = starts[i];
  *out = starts;
  *count = kept;
  return TN_OK;
}

static void look_at_row(pruner *p, int64_t row) {
  for (int32_t i = 0; i < p->place_count; i++) {
    place *at = &p->places[i];
    if (!at->has_pages) continue;
    while (at->page + 1 < at->offsets.page_count &&
           at->offsets.pages[at->page + 1].first_row <= row)
      at->page++;
  }
}

static bool touches(const tn_row_range *ranges, size_t count, int64_t from, int64_t to) {
  size_t low = 0, high = count;
  while (low < high) { /* the first range that ends behind `from` */
    size_t middle = low + (high - low) / 2;
    if (ranges[middle].first_row + ranges[middle].rows <= from)
      low = middle + 1;
    else
      high = middle;
  }
  return low < count && ranges[low].first_row < to;
}

/* Bytes of the pages that no range touches; without an offset index a chunk is read whole. */
static tn_status count_pages(pruner *p, int64_t group_row, size_t first_range) {
  const tn_parquet_group_meta *group = &p->file->footer.groups[p->group];
  for (int64_t c = 0; c < group->chunk_count; c++) {
    tn_parquet_offset_index offsets;
    if (!p->wanted[c]) continue;
    tn_status status =
        tn_parquet_offset_index_get(&offsets, p->file, p->group, c, &p->group_arena, NULL);
    if (status == TN_ERR_MEMORY) return tn_fail_memory(p->err, "an offset index", 0);
    for (uint32_t k = 0; status == TN_OK && k < offsets.page_count; k++) {
      int64_t from = offsets.pages[k].first_row;
      int64_t to = k + 1 < offsets.page_count ? offsets.pages[k + 1].first_row : group->rows;
      if (touches(p->ranges + first_range, p->range_count - first_range, group_row + from,
                  group_row + to))
        continue;
      p->report.pages_by_index++;
      p->report.bytes_by_index += offsets.pages[k].bytes;
    }
  }
  return TN_OK;
}

static tn_status prune_pages(pruner *p, int64_t group_row, int64_t rows) {
  int64_t *starts = NULL, count = 0, left = 0;
  bool any = false;
  for (int32_t i = 0; i < p->place_count; i++) {
    p->places[i].page = 0;
    TN_TRY(load_pages(p, &p->places[i]));
    any |= p->places[i].has_pages;
  }
  if (!any) return add_range(p, group_row, rows);
  TN_TRY(page_starts(p, &starts, &count));
  size_t first_range = p->range_count ? p->range_count - 1 : 0; /* the last one may grow */
  p->by_page = true;
  for (int64_t i = 0; i < count; i++) {
    int64_t end = i + 1 < count ? starts[i + 1] : rows;
    look_at_row(p, starts[i]);
    if (!may_be_true(p)) continue;
    TN_TRY(add_range(p, group_row + starts[i], end - starts[i]));
    left += end - starts[i];
  }
  p->by_page = false;
  if (left == rows) return TN_OK;
  if (left > 0) return count_pages(p, group_row, first_range);
  p->report.groups_by_index++;
  p->report.bytes_by_index += wanted_bytes(p);
  return TN_OK;
}

static tn_status prune_group(pruner *p, int64_t group_row) {
  int64_t rows = p->file->footer.groups[p->group].rows, bytes = wanted_bytes(p);
  p->report.bytes += bytes;
  for (int32_t i = 0; i < p->place_count; i++)
    if (p->places[i].column >= 0)
      tn_parquet_bounds_of_chunk(p->file, p->group, p->places[i].column, &p->places[i].chunk);
  if (!may_be_true(p)) {
    p->report.groups_by_statistics++;
    p->report.bytes_by_statistics += bytes;
    return TN_OK;
  }
  p->by_bloom = true;
  bool left = may_be_true(p);
  p->by_bloom = false;
  if (p->status != TN_OK) return p->status;
  if (left) return prune_pages(p, group_row, rows);
  p->report.groups_by_bloom++;
  p->report.bytes_by_bloom += bytes;
  return TN_OK;
}

static tn_status prune_all(pruner *p, const char *const *columns, int32_t count) {
  const tn_parquet_footer *footer = &p->file->footer;
  if (footer->group_count == 0) return TN_OK;
  find_leaves(p);
  find_wanted(p, columns, count);
  p->places = tn_arena_alloc(&p->arena, (size_t)p->where->nodes, sizeof *p->places);
  if (!p->leaves || !p->wanted || !p->places)
    return tn_fail_memory(p->err, "pruning", (size_t)p->where->nodes * sizeof *p->places);
  find_places(p, p->where->top);
  int64_t row = 0;
  for (p->group = 0; p->group < footer->group_count; p->group++) {
    tn_status status = prune_group(p, row);
    forget_group(p);
    TN_TRY(status);
    row += footer->groups[p->group].rows;
  }
  p->report.groups = footer->group_count;
  p->report.rows = row;
  return TN_OK;
}

tn_status tn_prune_parquet(tn_parquet_file *file, const tn_expr *where, const char *const *columns,
                           int32_t column_count, tn_row_range **out, int64_t *count,
                           tn_prune_report *report, tn_error *err) {
  pruner p = {.file = file, .where = where, .err = err};
  tn_status status = prune_all(&p, columns, column_count);
  *report = p.report;
  *out = p.ranges;
  *count = (int64_t)p.range_count;
  if (status != TN_OK) {
    tn_free(p.ranges);
    *out = NULL;
    *count = 0;
  }
  tn_arena_clear(&p.arena);
  tn_arena_clear(&p.group_arena);
  return status;
}
