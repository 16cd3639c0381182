/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_dictionary_write.h"

typedef struct sent { /* nodes, sizes of the parts, then their bytes */
  bool is_there;
  int64_t rows;
  size_t node_count, part_count;
  tn_strbuf bytes;
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
  for (int32_t i = 0; i < w->schema->dictionary_count; i++) tn_strbuf_clear(&w->entries[i].bytes);
  tn_free(w->entries);
  tn_free(w);
}

static void append(tn_strbuf *out, const void *bytes, size_t count) {
  if (count) tn_strbuf_append(out, bytes, count);
}

static void keep(sent *s, const tn_ipc_parts *p, int64_t rows) {
  tn_strbuf_reset(&s->bytes);
  s->rows = rows;
  s->node_count = p->node_count;
  s->part_count = p->part_count;
  append(&s->bytes, p->nodes, p->node_count * sizeof *p->nodes);
  for (size_t i = 0; i < p->part_count; i++) append(&s->bytes, &p->parts[i].bytes, 8);
  for (size_t i = 0; i < p->part_count; i++)
    append(&s->bytes, p->parts[i].data, (size_t)p->parts[i].bytes);
}

static bool eat(const sent *s, size_t *at, const void *bytes, size_t count) {
  if (count > s->bytes.length - *at || (count && memcmp(s->bytes.data + *at, bytes, count) != 0))
    return false;
  *at += count;
  return true;
}

static bool is_same(const sent *s, const tn_ipc_parts *p) {
  size_t at = 0;
  if (s->node_count != p->node_count || s->part_count != p->part_count ||
      !eat(s, &at, p->nodes, p->node_count * sizeof *p->nodes))
    return false;
  for (size_t i = 0; i < p->part_count; i++)
    if (!eat(s, &at, &p->parts[i].bytes, 8)) return false;
  for (size_t i = 0; i < p->part_count; i++)
    if (!eat(s, &at, p->parts[i].data, (size_t)p->parts[i].bytes)) return false;
  return true;
}

static uint64_t inner_replaced(const tn_ipc_dictionary_writer *w, const tn_ipc_node *n) {
  uint64_t sum = 0;
  if (!n->inner) return 0;
  if (n->values) sum = w->entries[n->dictionary].replaced + inner_replaced(w, n->values);
  for (int64_t i = 0; i < n->field->child_count; i++) sum += inner_replaced(w, &n->children[i]);
  return sum;
}

/* Whether `dictionary` begins with what was sent. */
static tn_status begins_with(const sent *s, const tn_ipc_node *values, const ArrowArray *dictionary,
                             bool *out, tn_error *err) {
  tn_ipc_parts head = {0};
  *out = false;
  if (dictionary->length < s->rows) return TN_OK;
  tn_status status = tn_ipc_parts_add(&head, values, dictionary, 0, s->rows, err);
  if (status == TN_OK) *out = is_same(s, &head);
  tn_ipc_parts_clear(&head);
  return status;
}

static tn_status keep_all(sent *s, const tn_ipc_node *values, const ArrowArray *dictionary,
                          tn_error *err) {
  tn_ipc_parts all = {0};
  tn_status status = tn_ipc_parts_add(&all, values, dictionary, 0, dictionary->length, err);
  if (status == TN_OK) keep(s, &all, dictionary->length);
  tn_ipc_parts_clear(&all);
  return status == TN_OK ? tn_strbuf_check(&s->bytes, err) : status;
}

tn_status tn_ipc_dictionary_writer_next(tn_ipc_dictionary_writer *w, int32_t number,
                                        const ArrowArray *dictionary, tn_ipc_dictionary_step *step,
                                        tn_error *err) {
  sent *s = &w->entries[number];
  const tn_ipc_node *values = w->schema->dictionaries[number].values;
  uint64_t inner = inner_replaced(w, values);
  bool begins = false;
  *step = (tn_ipc_dictionary_step){.number = number, .count = dictionary->length};
  if (s->is_there && s->made_of == inner) TN_TRY(begins_with(s, values, dictionary, &begins, err));
  if (begins && dictionary->length == s->rows) return TN_OK;
  step->is_new = true;
  step->is_delta = begins;
  step->is_replacement = s->is_there && !begins;
  step->from = begins ? s->rows : 0;
  step->count = dictionary->length - step->from;
  TN_TRY(keep_all(s, values, dictionary, err));
  s->replaced += step->is_replacement;
  s->is_there = true;
  s->made_of = inner;
  return TN_OK;
}
