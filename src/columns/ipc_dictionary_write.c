/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_dictionary_write.h"

#include "columns/equal.h"
#include "columns/gather.h"

typedef struct sent {
  ArrowArray array;  /* a copy; released: nothing yet */
  uint64_t replaced; /* how often it has been */
  uint64_t made_of;  /* the same of the dictionaries inside */
} sent;

struct tn_ipc_dictionary_writer {
  const tn_ipc_schema *schema;
  sent *entries;
};

tn_status tn_ipc_dictionary_writer_new(tn_ipc_dictionary_writer **out, const tn_ipc_schema *schema,
                                       tn_error *err) {
  tn_ipc_dictionary_writer *w = tn_alloc(1, sizeof *w);
  sent *entries = tn_alloc((size_t)schema->dictionary_count, sizeof *entries);
  if (!w || !entries) {
    tn_free(w);
    tn_free(entries);
    return tn_fail_memory(err, "Arrow dictionaries",
                          (size_t)schema->dictionary_count * sizeof *entries);
  }
  *w = (tn_ipc_dictionary_writer){schema, entries};
  *out = w;
  return TN_OK;
}

void tn_ipc_dictionary_writer_free(tn_ipc_dictionary_writer *w) {
  if (!w) return;
  for (int32_t i = 0; i < w->schema->dictionary_count; i++) tn_array_clear(&w->entries[i].array);
  tn_free(w->entries);
  tn_free(w);
}

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

static tn_status keep(sent *s, const tn_field *field, const ArrowArray *dictionary, tn_error *err) {
  ArrowArray copy;
  TN_TRY(tn_array_concat(&copy, field, &dictionary, 1, err));
  tn_array_clear(&s->array);
  s->array = copy;
  return TN_OK;
}

tn_status tn_ipc_dictionary_writer_next(tn_ipc_dictionary_writer *w, int32_t number,
                                        const ArrowArray *dictionary, tn_ipc_dictionary_step *step,
                                        tn_error *err) {
  sent *s = &w->entries[number];
  const tn_ipc_node *values = w->schema->dictionaries[number].values;
  uint64_t inner = inner_replaced(w, values);
  bool is_there = s->array.release, agrees = false;
  *step = (tn_ipc_dictionary_step){.number = number, .count = dictionary->length};
  if (is_there && s->made_of == inner) TN_TRY(agree(values, &s->array, dictionary, &agrees, err));
  if (agrees && dictionary->length <= s->array.length) return TN_OK;
  step->is_new = true;
  step->is_delta = agrees;
  step->is_replacement = is_there && !agrees;
  step->from = agrees ? s->array.length : 0;
  step->count = dictionary->length - step->from;
  TN_TRY(keep(s, values->field, dictionary, err));
  s->replaced += step->is_replacement;
  s->made_of = inner;
  return TN_OK;
}
