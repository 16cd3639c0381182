/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/shred.h"

#include "columns/parquet/bits.h"

void tn_parquet_shred_clear(tn_parquet_shred *s) {
  tn_parquet_bytes_clear(&s->def);
  tn_parquet_bytes_clear(&s->rep);
  tn_parquet_bytes_clear(&s->places);
  tn_parquet_bytes_clear(&s->at);
  tn_parquet_bytes_clear(&s->next_at);
  tn_parquet_bytes_clear(&s->next_def);
  tn_parquet_bytes_clear(&s->next_rep);
}

static int64_t *longs(const tn_parquet_bytes *bytes) {
  return (int64_t *)(void *)bytes->data;
}

static tn_status room_for(tn_parquet_bytes *at, tn_parquet_bytes *def, tn_parquet_bytes *rep,
                          int64_t entries, tn_error *err) {
  size_t n = (size_t)entries + 1;
  at->length = def->length = rep->length = 0;
  TN_TRY(tn_parquet_bytes_reserve(at, n * sizeof(int64_t), err));
  TN_TRY(tn_parquet_bytes_reserve(def, n, err));
  return tn_parquet_bytes_reserve(rep, n, err);
}

static tn_status outside(const ArrowArray *a, int64_t row, tn_error *err) {
  return tn_fail(err, TN_ERR_ARGUMENT, "row %lld of %lld points outside its values", (long long)row,
                 (long long)a->length);
}

/* Entries that are null in this array end here.  The bitmap of a dictionary's values counts like
 * that of its indices. */
static tn_status end_nulls(tn_parquet_shred *s, const ArrowArray *a, bool has_validity,
                           bool optional, uint8_t null_def, tn_error *err) {
  int64_t *at = longs(&s->at);
  const uint8_t *valid = has_validity && a->null_count != 0 ? a->buffers[0] : NULL;
  if (!valid) return TN_OK;
  for (int64_t i = 0; i < s->entries; i++) {
    if (at[i] < 0 || tn_bit_get(valid, a->offset + at[i])) continue;
    if (!optional) {
      return tn_fail(err, TN_ERR_ARGUMENT, "a null in a column declared without nulls (row %lld)",
                     (long long)at[i]);
    }
    at[i] = -1;
    s->def.data[i] = null_def;
  }
  return TN_OK;
}

/* ---- struct, dictionary, runs: one entry stays one entry ------------------------------------- */

static tn_status into_struct(tn_parquet_shred *s, const ArrowArray *a, const ArrowArray *child,
                             tn_error *err) {
  int64_t *at = longs(&s->at);
  for (int64_t i = 0; i < s->entries; i++) {
    if (at[i] < 0) continue;
    at[i] += a->offset;
    if (at[i] >= child->length) return outside(a, at[i], err);
  }
  return TN_OK;
}

static int64_t load_index(const void *values, int32_t bits, bool is_signed, int64_t at) {
  switch (bits) {
    case 8:
      return is_signed ? ((const int8_t *)values)[at] : ((const uint8_t *)values)[at];
    case 16:
      return is_signed ? ((const int16_t *)values)[at] : ((const uint16_t *)values)[at];
    case 32:
      return is_signed ? ((const int32_t *)values)[at] : (int64_t)((const uint32_t *)values)[at];
    default:
      return ((const int64_t *)values)[at];
  }
}

static tn_status into_dictionary(tn_parquet_shred *s, const tn_parquet_step *step,
                                 const ArrowArray *a, tn_error *err) {
  int64_t *at = longs(&s->at);
  for (int64_t i = 0; i < s->entries; i++) {
    if (at[i] < 0) continue;
    int64_t index =
        load_index(a->buffers[1], step->index_bits, step->index_signed, a->offset + at[i]);
    if (index < 0 || index >= a->dictionary->length) return outside(a, at[i], err);
    at[i] = index;
  }
  return TN_OK;
}

/* The first run that ends behind `row`. */
static int64_t find_run(const ArrowArray *ends, int32_t bits, int64_t row) {
  int64_t low = 0, high = ends->length;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (load_index(ends->buffers[1], bits, true, ends->offset + middle) > row) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

static tn_status into_runs(tn_parquet_shred *s, const tn_parquet_step *step, const ArrowArray *a,
                           tn_error *err) {
  int64_t *at = longs(&s->at);
  const ArrowArray *ends = a->children[0], *values = a->children[1];
  int64_t run = 0;
  for (int64_t i = 0; i < s->entries; i++) {
    if (at[i] < 0) continue;
    int64_t row = a->offset + at[i];
    int64_t first =
        run == 0 ? 0 : load_index(ends->buffers[1], step->index_bits, true, ends->offset + run - 1);
    bool here = run < ends->length && row >= first &&
                row < load_index(ends->buffers[1], step->index_bits, true, ends->offset + run);
    if (!here) run = find_run(ends, step->index_bits, row);
    if (run >= ends->length || run >= values->length) return outside(a, at[i], err);
    at[i] = run;
  }
  return TN_OK;
}

/* ---- lists: one entry becomes as many as there are items, or one that says "none" -------------
 */

typedef struct list_span {
  int64_t start, length;
} list_span;

static list_span span_of(const tn_parquet_step *step, const ArrowArray *a, int64_t at) {
  int64_t row = a->offset + at;
  switch (step->layout) {
    case TN_LAYOUT_LIST: {
      const int32_t *offsets = a->buffers[1];
      return (list_span){offsets[row], (int64_t)offsets[row + 1] - offsets[row]};
    }
    case TN_LAYOUT_LARGE_LIST: {
      const int64_t *offsets = a->buffers[1];
      bool whole = offsets[row] >= 0 && offsets[row + 1] >= offsets[row];
      return (list_span){offsets[row], whole ? offsets[row + 1] - offsets[row] : -1};
    }
    case TN_LAYOUT_LIST_VIEW:
      return (list_span){((const int32_t *)a->buffers[1])[row],
                         ((const int32_t *)a->buffers[2])[row]};
    case TN_LAYOUT_LARGE_LIST_VIEW:
      return (list_span){((const int64_t *)a->buffers[1])[row],
                         ((const int64_t *)a->buffers[2])[row]};
    default:
      return (list_span){row * step->size, step->size};
  }
}

static tn_status count_items(const tn_parquet_shred *s, const tn_parquet_step *step,
                             const ArrowArray *a, int64_t *out, tn_error *err) {
  const int64_t *at = longs(&s->at);
  int64_t total = 0, items = a->children[0]->length;
  for (int64_t i = 0; i < s->entries; i++) {
    if (at[i] < 0) {
      total++;
      continue;
    }
    list_span span = span_of(step, a, at[i]);
    if (span.length < 0 || (span.length > 0 && (span.start < 0 || span.start > items ||
                                                span.length > items - span.start))) {
      return outside(a, at[i], err);
    }
    total += span.length ? span.length : 1;
  }
  *out = total;
  return TN_OK;
}

static void expand(tn_parquet_shred *s, const tn_parquet_step *step, const ArrowArray *a) {
  const int64_t *at = longs(&s->at);
  int64_t *next_at = longs(&s->next_at), n = 0;
  for (int64_t i = 0; i < s->entries; i++) {
    list_span span = at[i] < 0 ? (list_span){0} : span_of(step, a, at[i]);
    s->next_rep.data[n] = s->rep.data[i];
    if (span.length == 0) {
      s->next_def.data[n] = at[i] < 0 ? s->def.data[i] : step->empty_def;
      next_at[n++] = -1;
      continue;
    }
    for (int64_t k = 0; k < span.length; k++, n++) {
      next_at[n] = span.start + k;
      s->next_def.data[n] = 0;
      if (k) s->next_rep.data[n] = step->rep;
    }
  }
  s->entries = n;
}

static void swap_bytes(tn_parquet_bytes *a, tn_parquet_bytes *b) {
  tn_parquet_bytes t = *a;
  *a = *b;
  *b = t;
}

static tn_status into_list(tn_parquet_shred *s, const tn_parquet_step *step, const ArrowArray *a,
                           bool one_row, tn_error *err) {
  int64_t total = 0;
  TN_TRY(count_items(s, step, a, &total, err));
  if (total > TN_PARQUET_SHRED_ENTRIES && !one_row) return TN_FULL;
  if (total > INT32_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "a row of %lld items, limit %d", (long long)total, INT32_MAX);
  }
  TN_TRY(room_for(&s->next_at, &s->next_def, &s->next_rep, total, err));
  expand(s, step, a);
  swap_bytes(&s->at, &s->next_at);
  swap_bytes(&s->def, &s->next_def);
  swap_bytes(&s->rep, &s->next_rep);
  return TN_OK;
}

/* ---- the way down ---------------------------------------------------------------------------- */

static tn_status take_step(tn_parquet_shred *s, const tn_parquet_step *step, bool one_row,
                           const ArrowArray **array, tn_error *err) {
  const ArrowArray *a = *array;
  bool runs = !step->dictionary && step->layout == TN_LAYOUT_RUN_END;
  TN_TRY(end_nulls(s, a, !runs, step->optional, step->null_def, err));
  if (step->dictionary) {
    *array = a->dictionary;
    return into_dictionary(s, step, a, err);
  }
  if (runs) {
    *array = a->children[1];
    return into_runs(s, step, a, err);
  }
  if (step->layout == TN_LAYOUT_STRUCT) {
    *array = a->children[step->child];
    return into_struct(s, a, *array, err);
  }
  *array = a->children[0];
  return into_list(s, step, a, one_row, err);
}

/* What is left is a value, or null. */
static tn_status finish(tn_parquet_shred *s, const tn_parquet_write_leaf *leaf, tn_error *err) {
  const ArrowArray *a = s->leaf;
  int64_t *at = longs(&s->at), n = 0;
  if (leaf->store.put == TN_PARQUET_PUT_NONE) {
    for (int64_t i = 0; i < s->entries; i++) {
      if (at[i] >= 0) s->def.data[i] = leaf->null_def;
      at[i] = -1;
    }
  } else {
    TN_TRY(end_nulls(s, a, true, leaf->optional, leaf->null_def, err));
  }
  s->places.length = 0;
  TN_TRY(tn_parquet_bytes_reserve(&s->places, (size_t)s->entries * sizeof(int64_t), err));
  int64_t *places = longs(&s->places);
  for (int64_t i = 0; i < s->entries; i++) {
    if (at[i] < 0) continue;
    s->def.data[i] = leaf->max_def;
    places[n++] = a->offset + at[i];
  }
  s->values = n;
  return TN_OK;
}

tn_status tn_parquet_shred_rows(tn_parquet_shred *s, const tn_parquet_write_leaf *leaf,
                                const ArrowArray *column, int64_t from, int64_t count,
                                tn_error *err) {
  const ArrowArray *array = column;
  TN_TRY(room_for(&s->at, &s->def, &s->rep, count, err));
  int64_t *at = longs(&s->at);
  for (int64_t i = 0; i < count; i++) at[i] = from + i;
  memset(s->def.data, 0, (size_t)count);
  memset(s->rep.data, 0, (size_t)count);
  s->entries = count;
  for (int32_t i = 0; i < leaf->step_count; i++) {
    TN_TRY(take_step(s, &leaf->steps[i], count == 1, &array, err));
  }
  s->leaf = array;
  return finish(s, leaf, err);
}
