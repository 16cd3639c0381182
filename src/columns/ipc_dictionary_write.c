/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_dictionary_write.h"

#include "base/map.h"
#include "columns/array.h"
#include "columns/equal.h"
#include "columns/gather.h"
#include "columns/value_key.h"

enum { PLACED_AT_ONCE = 64 };

typedef struct sent {
  ArrowArray last;   /* a copy of the dictionary that came last; released: none yet */
  uint64_t replaced; /* how often what is written has been */
  uint64_t made_of;  /* the same of the dictionaries inside */
  /* Of a file, from the first dictionary on that does not go on where the last ended: */
  tn_map known;     /* key of each value that is written -> its place */
  int64_t written;  /* values */
  int64_t bytes;    /* of these, as text or binary */
  ArrowArray fresh; /* values of the last step */
} sent;

struct tn_ipc_dictionary_writer {
  const tn_ipc_schema *schema;
  bool stream;
  sent *entries;
  tn_ipc_places *places; /* one an entry */
  tn_strbuf keys;
};

tn_status tn_ipc_dictionary_writer_new(tn_ipc_dictionary_writer **out, const tn_ipc_schema *schema,
                                       bool stream, tn_error *err) {
  size_t count = (size_t)schema->dictionary_count;
  tn_ipc_dictionary_writer *w = tn_alloc(1, sizeof *w);
  if (!w) return tn_fail_memory(err, "Arrow dictionaries", sizeof *w);
  *w = (tn_ipc_dictionary_writer){.schema = schema, .stream = stream};
  w->entries = tn_alloc(count, sizeof *w->entries);
  w->places = tn_alloc(count, sizeof *w->places);
  if (w->entries && w->places) {
    *out = w;
    return TN_OK;
  }
  tn_ipc_dictionary_writer_free(w);
  return tn_fail_memory(err, "Arrow dictionaries", count * sizeof *w->entries);
}

void tn_ipc_dictionary_writer_free(tn_ipc_dictionary_writer *w) {
  if (!w) return;
  for (int32_t i = 0; w->entries && w->places && i < w->schema->dictionary_count; i++) {
    tn_array_clear(&w->entries[i].last);
    tn_array_clear(&w->entries[i].fresh);
    tn_map_clear(&w->entries[i].known);
    tn_free(w->places[i].of);
  }
  tn_free(w->entries);
  tn_free(w->places);
  tn_strbuf_clear(&w->keys);
  tn_free(w);
}

const tn_ipc_places *tn_ipc_dictionary_writer_places(const tn_ipc_dictionary_writer *w) {
  return w->places;
}

/* ---- comparing ---- */
static bool same_parts(const tn_ipc_parts *a, const tn_ipc_parts *b) {
  if (a->node_count != b->node_count || a->part_count != b->part_count ||
      a->view_count != b->view_count)
    return false;
  for (size_t i = 0; i < a->node_count; i++)
    if (memcmp(&a->nodes[i], &b->nodes[i], sizeof a->nodes[i]) != 0) return false;
  for (size_t i = 0; i < a->part_count; i++) {
    const tn_ipc_part *x = &a->parts[i], *y = &b->parts[i];
    if (x->bytes != y->bytes || (x->bytes && memcmp(x->data, y->data, (size_t)x->bytes) != 0))
      return false;
  }
  return true;
}

/* The first `rows` of both as they would be written.  Fast, but equal values may differ here: in
 * how views are laid out, in what lies under a null. */
static tn_status same_bytes(const tn_ipc_node *n, const ArrowArray *a, const ArrowArray *b,
                            int64_t rows, bool *out, tn_error *err) {
  tn_ipc_parts x = {0}, y = {0};
  tn_status status = tn_ipc_parts_add(&x, n, a, 0, rows, err);
  if (status == TN_OK) status = tn_ipc_parts_add(&y, n, b, 0, rows, err);
  *out = status == TN_OK && same_parts(&x, &y);
  tn_ipc_parts_clear(&x);
  tn_ipc_parts_clear(&y);
  return status;
}

static ArrowArray head_of(const ArrowArray *a, int64_t rows) {
  ArrowArray head = *a;
  head.length = rows;
  if (rows != a->length && head.null_count != 0) head.null_count = -1;
  return head;
}

/* Whether one of the two begins with the other. */
static tn_status agree(const tn_ipc_node *n, const ArrowArray *a, const ArrowArray *b, bool *out,
                       tn_error *err) {
  int64_t rows = a->length < b->length ? a->length : b->length;
  /* Indices into dictionaries inside are no values: those are compared by what they mean. */
  if (!n->inner) TN_TRY(same_bytes(n, a, b, rows, out, err));
  if (*out) return TN_OK;
  ArrowArray x = head_of(a, rows), y = head_of(b, rows);
  *out = tn_array_equal(n->field, &x, n->field, &y);
  return TN_OK;
}

/* How often the dictionaries inside have been replaced. */
static uint64_t inner_replaced(const tn_ipc_dictionary_writer *w, const tn_ipc_node *n) {
  uint64_t sum = 0;
  if (!n->inner) return 0;
  if (n->values) sum = w->entries[n->dictionary].replaced + inner_replaced(w, n->values);
  for (int64_t i = 0; i < n->field->child_count; i++) sum += inner_replaced(w, &n->children[i]);
  return sum;
}

/* ---- a file's values by their keys ---- */
/* Of rows [from, from + count): keys[i] are views of the writer's buffer until the next call. */
static tn_status keys_of(tn_ipc_dictionary_writer *w, const tn_field *field,
                         const ArrowArray *values, int64_t from, int64_t count, tn_str *keys,
                         tn_error *err) {
  size_t start = 0;
  tn_strbuf_reset(&w->keys);
  for (int64_t i = 0; i < count; i++) {
    tn_value_key((tn_value){field, values, from + i}, &w->keys);
    keys[i].length = w->keys.length - start;
    start = w->keys.length;
  }
  TN_TRY(tn_strbuf_check(&w->keys, err));
  for (int64_t i = 0; i < count; start -= keys[i++].length)
    keys[i].data = w->keys.data + w->keys.length - start;
  return TN_OK;
}

/* Bytes under 32-bit offsets, which cannot count more than 2 GiB; 0 of every other layout. */
static int64_t text_bytes(const tn_field *field, const ArrowArray *values, int64_t from,
                          int64_t count) {
  if (field->type.layout != TN_LAYOUT_BYTES || count == 0) return 0;
  const int32_t *offsets = (const int32_t *)values->buffers[1] + values->offset + from;
  return (int64_t)offsets[count] - offsets[0];
}

/* All that is written so far, which is `last`; of equal values the first is found. */
static tn_status know_last(tn_ipc_dictionary_writer *w, sent *s, const tn_field *field,
                           tn_error *err) {
  tn_str key;
  for (int64_t row = 0; row < s->last.length; row++) {
    TN_TRY(keys_of(w, field, &s->last, row, 1, &key, err));
    if (!tn_map_get(&s->known, key, NULL)) TN_TRY(tn_map_put(&s->known, key, (uint64_t)row, err));
  }
  s->written = s->last.length;
  s->bytes = text_bytes(field, &s->last, 0, s->last.length);
  return TN_OK;
}

typedef struct placing { /* of the values of a dictionary */
  const tn_field *field;
  const ArrowArray *dictionary;
  int64_t *of;    /* the place of each */
  int64_t *fresh; /* rows of those that the file has not yet */
  int64_t fresh_count;
} placing;

static tn_status place_values(tn_ipc_dictionary_writer *w, sent *s, placing *p, int64_t from,
                              tn_error *err) {
  tn_str keys[PLACED_AT_ONCE];
  uint64_t known[PLACED_AT_ONCE];
  for (int64_t n; from < p->dictionary->length; from += n) {
    n = p->dictionary->length - from;
    if (n > PLACED_AT_ONCE) n = PLACED_AT_ONCE;
    TN_TRY(keys_of(w, p->field, p->dictionary, from, n, keys, err));
    tn_map_get_many(&s->known, keys, (size_t)n, known);
    for (int64_t i = 0; i < n; i++) {
      /* Not there before; it may have come a moment ago. */
      if (known[i] == TN_MAP_NONE && !tn_map_get(&s->known, keys[i], &known[i])) {
        known[i] = (uint64_t)s->written++;
        TN_TRY(tn_map_put(&s->known, keys[i], known[i], err));
        p->fresh[p->fresh_count++] = from + i;
      }
      p->of[from + i] = (int64_t)known[i];
    }
  }
  return TN_OK;
}

static tn_status check_order(const tn_ipc_node *n, const ArrowArray *dictionary,
                             const int64_t *places, tn_error *err) {
  int64_t before = -1;
  if (!(n->field->schema->flags & ARROW_FLAG_DICTIONARY_ORDERED)) return TN_OK;
  for (int64_t row = 0; row < dictionary->length; row++) {
    if (tn_value_is_null(n->values->field, dictionary, row)) continue;
    if (places[row] < before)
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "column \"%.100s\": an ordered dictionary whose values come in another order "
                     "than before: a file holds one for all batches, a stream (.arrows) may change "
                     "it",
                     n->field->name);
    before = places[row];
  }
  return TN_OK;
}

static tn_status check_limits(const sent *s, const tn_ipc_node *n, tn_error *err) {
  const tn_type *index = &n->field->type;
  int32_t bits = index->bits - tn_type_is_signed(index->id);
  if (bits < 63 && s->written > (int64_t)1 << bits)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "column \"%.100s\": the file's dictionary grows to %lld values, indices of %s "
                   "count %lld: take a stream (.arrows), whose dictionary may change, or wider "
                   "indices",
                   n->field->name, (long long)s->written, tn_type_name(index->id), 1LL << bits);
  if (n->values->field->type.layout == TN_LAYOUT_BYTES && s->bytes > INT32_MAX)
    return tn_fail(
        err, TN_ERR_UNSUPPORTED,
        "column \"%.100s\": the file's dictionary grows to %lld bytes, the offsets of %s "
        "count 2 GiB: take a stream (.arrows), whose dictionary may change",
        n->field->name, (long long)s->bytes, tn_type_name(n->values->field->type.id));
  return TN_OK;
}

/* The fresh values: mostly they are the last of the dictionary, and lie there one behind the other.
 */
static tn_status take_fresh(sent *s, const placing *p, tn_ipc_dictionary_step *step,
                            tn_error *err) {
  int64_t count = p->fresh_count, from = p->dictionary->length - count;
  if (count == 0) return TN_OK;
  *step = (tn_ipc_dictionary_step){true, true, p->dictionary, from, count};
  if (p->fresh[0] != from) {
    TN_TRY(tn_array_gather(&s->fresh, p->field, p->dictionary, p->fresh, count, err));
    step->values = &s->fresh;
    step->from = 0;
  }
  s->bytes += text_bytes(p->field, step->values, step->from, count);
  return TN_OK;
}

/* Of the first `same` values of a dictionary the places are there already. */
static tn_status place(tn_ipc_dictionary_writer *w, const tn_ipc_node *n,
                       const ArrowArray *dictionary, int64_t same, tn_ipc_dictionary_step *step,
                       tn_error *err) {
  sent *s = &w->entries[n->dictionary];
  tn_ipc_places *places = &w->places[n->dictionary];
  int64_t length = dictionary->length;
  placing p = {.field = n->values->field, .dictionary = dictionary};
  p.of = tn_alloc((size_t)length + 1, sizeof *p.of); /* one more: NULL would mean something */
  p.fresh = tn_alloc((size_t)(length - same), sizeof *p.fresh);
  tn_status status = TN_OK;
  if (!p.of || !p.fresh)
    status = tn_fail_memory(err, "places of a dictionary", (unsigned long long)length * 16);
  if (status == TN_OK && same > 0) memcpy(p.of, places->of, (size_t)same * sizeof *p.of);
  if (status == TN_OK) status = place_values(w, s, &p, same, err);
  if (status == TN_OK) status = take_fresh(s, &p, step, err);
  if (status == TN_OK) status = check_order(n, dictionary, p.of, err);
  if (status == TN_OK) status = check_limits(s, n, err);
  tn_free(p.fresh);
  tn_free(places->of);
  *places = (tn_ipc_places){p.of, length};
  return status;
}

/* ---- the next dictionary ---- */
static tn_status keep(sent *s, const tn_field *field, const ArrowArray *dictionary, tn_error *err) {
  ArrowArray copy;
  TN_TRY(tn_array_concat(&copy, field, &dictionary, 1, err));
  tn_array_clear(&s->last);
  s->last = copy;
  return TN_OK;
}

tn_status tn_ipc_dictionary_writer_next(tn_ipc_dictionary_writer *w, const tn_ipc_node *n,
                                        const ArrowArray *dictionary, tn_ipc_dictionary_step *step,
                                        tn_error *err) {
  sent *s = &w->entries[n->dictionary];
  const tn_field *field = n->values->field;
  uint64_t inner = inner_replaced(w, n->values);
  bool is_there = s->last.release, agrees = false, is_placed = w->places[n->dictionary].of;
  *step = (tn_ipc_dictionary_step){.values = dictionary};
  tn_array_clear(&s->fresh);
  if (is_there && s->made_of == inner) TN_TRY(agree(n->values, &s->last, dictionary, &agrees, err));
  if (agrees && dictionary->length <= s->last.length) return TN_OK;
  int64_t same = agrees ? s->last.length : 0;
  if (is_placed || (is_there && !agrees && !w->stream)) {
    if (!is_placed) TN_TRY(know_last(w, s, field, err));
    TN_TRY(place(w, n, dictionary, same, step, err));
  } else {
    step->is_new = true;
    step->is_delta = agrees;
    step->from = same;
    step->count = dictionary->length - same;
    s->replaced += is_there && !agrees;
    s->made_of = inner;
  }
  return keep(s, field, dictionary, err);
}
