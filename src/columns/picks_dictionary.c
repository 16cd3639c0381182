/* SPDX-License-Identifier: Apache-2.0 */
/* Dictionary-encoded rows of several arrays: one dictionary, and the indices put into its terms. */
#include "base/map.h"
#include "columns/array.h"
#include "columns/picks.h"
#include "columns/value.h"

/* The same memory, which is how batches of one file share a dictionary. */
static bool same_memory(const ArrowArray *a, const ArrowArray *b) {
  if (a == b) return true;
  if (a->length != b->length || a->offset != b->offset || a->n_buffers != b->n_buffers ||
      a->n_children != b->n_children || !a->dictionary != !b->dictionary)
    return false;
  for (int64_t i = 0; i < a->n_buffers; i++)
    if (a->buffers[i] != b->buffers[i]) return false;
  for (int64_t i = 0; i < a->n_children; i++)
    if (!same_memory(a->children[i], b->children[i])) return false;
  return !a->dictionary || same_memory(a->dictionary, b->dictionary);
}

typedef struct source { /* one of the dictionaries */
  const ArrowArray *values;
  int64_t *places; /* of each value in the one that comes out; NULL: the same */
} source;

typedef struct unifier {
  const tn_field *field; /* of the dictionary's values */
  source *sources;
  size_t count, capacity;
  tn_map seen; /* bytes of a flat value -> its place */
  int64_t null_place;
  tn_picks picks; /* the values of the dictionary that comes out */
} unifier;

static void unifier_clear(unifier *u) {
  for (size_t i = 0; i < u->count; i++) tn_free(u->sources[i].places);
  tn_free(u->sources);
  tn_map_clear(&u->seen);
  tn_picks_clear(&u->picks);
}

static tn_status find_source(unifier *u, const ArrowArray *values, size_t *index, tn_error *err) {
  for (size_t i = u->count; i-- > 0;) { /* most likely the last */
    *index = i;
    if (same_memory(u->sources[i].values, values)) return TN_OK;
  }
  void *items = u->sources;
  TN_TRY(tn_grow(&items, &u->capacity, u->count + 1, sizeof *u->sources, err));
  u->sources = items;
  *index = u->count;
  u->sources[u->count++] = (source){.values = values};
  return TN_OK;
}

/* The bytes by which equal values are known; false: they are not looked for. */
static bool key_of(const tn_field *f, const ArrowArray *a, int64_t row, uint8_t *bit, tn_str *key) {
  tn_layout layout = f->type.layout;
  if (f->dictionary) return false;
  if (layout == TN_LAYOUT_BITS) {
    *bit = (uint8_t)tn_value_i64(f, a, row);
    *key = (tn_str){(const char *)bit, 1};
    return true;
  }
  *key = tn_value_bytes(f, a, row);
  return layout == TN_LAYOUT_FIXED || layout == TN_LAYOUT_BYTES ||
         layout == TN_LAYOUT_LARGE_BYTES || layout == TN_LAYOUT_VIEW;
}

static tn_status place_value(unifier *u, const ArrowArray *values, int64_t row, int64_t *place,
                             tn_error *err) {
  tn_str key;
  uint8_t bit;
  uint64_t known;
  bool null = tn_array_is_null(values, row);
  bool keyed = !null && key_of(u->field, values, row, &bit, &key);
  *place = u->picks.rows;
  if (null && tn_layout_has_validity(u->field->type.layout)) {
    if (u->null_place >= 0) {
      *place = u->null_place;
      return TN_OK;
    }
    u->null_place = *place;
  } else if (keyed && tn_map_get(&u->seen, key, &known)) {
    *place = (int64_t)known;
    return TN_OK;
  }
  if (keyed) TN_TRY(tn_map_put(&u->seen, key, (uint64_t)*place, err));
  return tn_picks_add(&u->picks, values, row, 1, err);
}

/* One dictionary stays as it is; of several each value is placed. */
static tn_status unify(unifier *u, tn_error *err) {
  u->null_place = -1;
  if (u->count == 1)
    return tn_picks_add(&u->picks, u->sources[0].values, 0, u->sources[0].values->length, err);
  for (size_t i = 0; i < u->count; i++) {
    source *s = &u->sources[i];
    s->places = tn_alloc((size_t)s->values->length, sizeof *s->places);
    if (!s->places)
      return tn_fail_memory(err, "a dictionary's places", (size_t)s->values->length * 8);
    for (int64_t row = 0; row < s->values->length; row++)
      TN_TRY(place_value(u, s->values, row, &s->places[row], err));
  }
  return TN_OK;
}

static void put_index(void *indices, int32_t bits, int64_t i, int64_t value) {
  switch (bits) {
    case 8:
      ((uint8_t *)indices)[i] = (uint8_t)value;
      break;
    case 16:
      ((uint16_t *)indices)[i] = (uint16_t)value;
      break;
    case 32:
      ((uint32_t *)indices)[i] = (uint32_t)value;
      break;
    default:
      ((int64_t *)indices)[i] = value;
      break;
  }
}

/* An index type holds so many values. */
static tn_status check_indices(const tn_field *f, int64_t values, tn_error *err) {
  int32_t bits = f->type.bits - tn_type_is_signed(f->type.id);
  if (bits >= 63 || values <= (int64_t)1 << bits) return TN_OK;
  return tn_fail(err, TN_ERR_LIMIT, "%lld values in one dictionary, indices are %s",
                 (long long)values, tn_type_name(f->type.id));
}

/* Where the value of a row went; what a null row has as its index means nothing. */
static int64_t place_of(const tn_field *f, const source *s, const tn_pick *pick, int64_t k) {
  if (tn_array_is_null(pick->array, pick->from + k)) return 0;
  int64_t index = tn_value_index(f, pick->array, pick->from + k);
  return s->places ? s->places[index] : index;
}

static tn_status make_indices(tn_buffer *out, const tn_field *f, unifier *u, const tn_picks *p,
                              tn_error *err) {
  int64_t at = 0;
  for (size_t i = 0; i < p->count; at += p->items[i].count, i++) {
    const tn_pick *pick = &p->items[i];
    size_t which = 0;
    if (!pick->array) continue;
    TN_TRY(find_source(u, pick->array->dictionary, &which, err));
    for (int64_t k = 0; k < pick->count; k++)
      put_index(out->data, f->type.bits, at + k, place_of(f, &u->sources[which], pick, k));
  }
  return TN_OK;
}

static tn_status build(ArrowArray *out, ArrowArray *dictionary, tn_buffer *buffers[2],
                       const tn_field *f, bool nullable, unifier *u, const tn_picks *p,
                       tn_error *err) {
  tn_array_parts parts = {
      .length = p->rows, .buffers = buffers, .buffer_count = 2, .dictionary = dictionary};
  size_t which;
  for (size_t i = 0; i < p->count; i++)
    if (p->items[i].array) TN_TRY(find_source(u, p->items[i].array->dictionary, &which, err));
  TN_TRY(unify(u, err));
  if (u->picks.rows == 0 && p->rows > 0 && !nullable) /* index 0 must name something */
    TN_TRY(tn_picks_add(&u->picks, NULL, 0, 1, err));
  TN_TRY(check_indices(f, u->picks.rows, err));
  TN_TRY(tn_picks_validity(&buffers[0], nullable, p, &parts.null_count, err));
  TN_TRY(tn_buffer_new(&buffers[1], (size_t)p->rows * (size_t)f->type.bits / 8, err));
  TN_TRY(make_indices(buffers[1], f, u, p, err));
  TN_TRY(
      tn_picks_assemble(dictionary, f->dictionary, f->dictionary->nullable, false, &u->picks, err));
  return tn_array_make(out, &parts, err);
}

tn_status tn_picks_dictionary(ArrowArray *out, const tn_field *field, bool nullable,
                              const tn_picks *picks, tn_error *err) {
  unifier u = {.field = field->dictionary};
  tn_buffer *buffers[2] = {NULL, NULL};
  ArrowArray dictionary = {0};
  tn_status status = build(out, &dictionary, buffers, field, nullable, &u, picks, err);
  tn_array_clear(&dictionary);
  tn_buffer_drop(buffers[0]);
  tn_buffer_drop(buffers[1]);
  unifier_clear(&u);
  return status;
}
