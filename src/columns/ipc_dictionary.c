/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_dictionary.h"

#include <stdio.h>

#include "columns/gather.h"
#include "columns/ipc_body_read.h"
#include "columns/ipc_format.h"

typedef struct entry {
  tn_ipc_message **chunks; /* the whole dictionary, then deltas, not yet in `array` */
  size_t chunk_count, chunk_capacity;
  tn_shared_array *array; /* as far as decoded */
  uint64_t version;       /* grows with every message */
  uint64_t made_of;       /* versions of the dictionaries inside when `array` was made */
  int64_t bytes;          /* of the bodies that came */
  bool wanted;
  bool decoding; /* a dictionary that holds itself would never end */
} entry;

struct tn_ipc_dictionaries {
  const char *name;
  const tn_ipc_schema *schema;
  int64_t bytes_max;
  entry *entries;
};

tn_status tn_ipc_dictionaries_new(tn_ipc_dictionaries **out, const char *name,
                                  const tn_ipc_schema *schema, int64_t bytes_max, tn_error *err) {
  tn_ipc_dictionaries *d = tn_alloc(1, sizeof *d);
  entry *entries = tn_alloc((size_t)schema->dictionary_count, sizeof *entries);
  if (!d || !entries) {
    tn_free(d);
    tn_free(entries);
    return tn_fail_memory(err, "Arrow dictionaries",
                          (size_t)schema->dictionary_count * sizeof *entries);
  }
  *d = (tn_ipc_dictionaries){name, schema, bytes_max, entries};
  *out = d;
  return TN_OK;
}

static void drop_chunks(entry *e) {
  for (size_t i = 0; i < e->chunk_count; i++) tn_ipc_message_free(e->chunks[i]);
  e->chunk_count = 0;
}

static void forget(entry *e) {
  drop_chunks(e);
  tn_shared_array_drop(e->array);
  e->array = NULL;
  e->bytes = 0;
}

void tn_ipc_dictionaries_free(tn_ipc_dictionaries *d) {
  if (!d) return;
  for (int32_t i = 0; i < d->schema->dictionary_count; i++) {
    forget(&d->entries[i]);
    tn_free(d->entries[i].chunks);
  }
  tn_free(d->entries);
  tn_free(d);
}

void tn_ipc_dictionaries_forget(tn_ipc_dictionaries *d) {
  for (int32_t i = 0; i < d->schema->dictionary_count; i++) forget(&d->entries[i]);
}

void tn_ipc_dictionaries_want(tn_ipc_dictionaries *d, const tn_ipc_node *node) {
  if (!node->inner) return;
  if (node->dictionary >= 0) {
    entry *e = &d->entries[node->dictionary];
    if (e->wanted) return;
    e->wanted = true;
    tn_ipc_dictionaries_want(d, d->schema->dictionaries[node->dictionary].values);
  }
  for (int64_t i = 0; i < node->field->child_count; i++)
    tn_ipc_dictionaries_want(d, &node->children[i]);
}

/* ---- coming ---- */
static int32_t find(const tn_ipc_schema *schema, int64_t id) {
  for (int32_t i = 0; i < schema->dictionary_count; i++)
    if (schema->dictionaries[i].id == id) return i;
  return -1;
}

/* Sets *kept where the message is held from now on. */
static tn_status add(tn_ipc_dictionaries *d, tn_ipc_message *m, bool replace, bool *kept,
                     tn_error *err) {
  int64_t id = tn_flat_int(&m->header, TN_IPC_DICTIONARY_ID, 8, 0);
  bool is_delta = tn_flat_int(&m->header, TN_IPC_DICTIONARY_IS_DELTA, 1, 0) != 0;
  int32_t number = find(d->schema, id);
  if (m->kind != TN_IPC_HEADER_DICTIONARY || m->view.bad || number < 0)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: the message at byte %lld is no dictionary of the schema (id %lld)",
                   m->source->name, (long long)m->at, (long long)id);
  entry *e = &d->entries[number];
  if (!e->wanted) return TN_OK;
  bool is_there = e->chunk_count > 0 || e->array;
  if (is_delta && !is_there)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: dictionary %lld at byte %lld continues one that is not there",
                   m->source->name, (long long)id, (long long)m->at);
  if (is_there && !is_delta && !replace)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: dictionary %lld at byte %lld replaces another, which a file may not do",
                   m->source->name, (long long)id, (long long)m->at);
  if (m->body_bytes > d->bytes_max - (is_delta ? e->bytes : 0))
    return tn_fail(err, TN_ERR_LIMIT, "%s: dictionary %lld at byte %lld outgrows %lld bytes",
                   m->source->name, (long long)id, (long long)m->at, (long long)d->bytes_max);
  TN_TRY(tn_ipc_message_load(m, err));
  TN_TRY(
      tn_grow((void **)&e->chunks, &e->chunk_capacity, e->chunk_count + 1, sizeof *e->chunks, err));
  if (!is_delta) forget(e);
  e->chunks[e->chunk_count++] = m;
  e->bytes += m->body_bytes;
  e->version++;
  *kept = true;
  return TN_OK;
}

tn_status tn_ipc_dictionaries_add(tn_ipc_dictionaries *d, tn_ipc_message *message, bool replace,
                                  tn_error *err) {
  bool kept = false;
  tn_status status = add(d, message, replace, &kept, err);
  if (!kept) tn_ipc_message_free(message);
  return status;
}

/* ---- going ---- */
static tn_status decode(void *context, int32_t number, tn_shared_array **out, tn_error *err) {
  return tn_ipc_dictionaries_get(context, number, out, err);
}

static tn_status read_chunk(tn_ipc_dictionaries *d, int32_t number, const tn_ipc_message *m,
                            ArrowArray *out, tn_error *err) {
  const tn_ipc_dictionary_type *type = &d->schema->dictionaries[number];
  char what[48];
  snprintf(what, sizeof what, "dictionary %lld", (long long)type->id);
  tn_ipc_batch_reader r = {.message = m,
                           .schema = d->schema,
                           .what = what,
                           .dictionary = decode,
                           .context = d,
                           .bytes_max = d->bytes_max};
  return tn_ipc_read_values(&r, type->values, out, err);
}

/* All that has come, behind what is decoded already, in one array. */
static tn_status concat(tn_ipc_dictionaries *d, int32_t number, ArrowArray *pieces,
                        const ArrowArray **list, ArrowArray *out, tn_error *err) {
  entry *e = &d->entries[number];
  int64_t count = 0;
  if (e->array) list[count++] = tn_shared_array_get(e->array);
  for (size_t i = 0; i < e->chunk_count; i++) {
    TN_TRY(read_chunk(d, number, e->chunks[i], &pieces[i], err));
    list[count++] = &pieces[i];
  }
  return tn_array_concat(out, d->schema->dictionaries[number].values->field, list, count, err);
}

static tn_status join(tn_ipc_dictionaries *d, int32_t number, ArrowArray *out, tn_error *err) {
  entry *e = &d->entries[number];
  if (e->chunk_count == 1 && !e->array) return read_chunk(d, number, e->chunks[0], out, err);
  ArrowArray *pieces = tn_alloc(e->chunk_count, sizeof *pieces);
  const ArrowArray **list = tn_alloc(e->chunk_count + 1, sizeof *list);
  tn_status status = TN_OK;
  if (!pieces || !list)
    status = tn_fail_memory(err, "the parts of a dictionary", e->chunk_count * sizeof *pieces);
  if (status == TN_OK) status = concat(d, number, pieces, list, out, err);
  for (size_t i = 0; pieces && i < e->chunk_count; i++) tn_array_clear(&pieces[i]);
  tn_free(pieces);
  tn_free(list);
  return status;
}

/* How often the dictionaries inside this one have changed. */
static uint64_t inner_versions(const tn_ipc_dictionaries *d, const tn_ipc_node *n) {
  uint64_t sum = 0;
  if (!n->inner) return 0;
  if (n->values) sum = d->entries[n->dictionary].version + inner_versions(d, n->values);
  for (int64_t i = 0; i < n->field->child_count; i++) sum += inner_versions(d, &n->children[i]);
  return sum;
}

static tn_status make(tn_ipc_dictionaries *d, int32_t number, uint64_t inner, tn_error *err) {
  entry *e = &d->entries[number];
  bool nested = d->schema->dictionaries[number].values->inner;
  ArrowArray whole;
  tn_shared_array *box;
  if (nested) { /* made again of all chunks: its values lead into dictionaries that have changed */
    tn_shared_array_drop(e->array);
    e->array = NULL;
  }
  TN_TRY(join(d, number, &whole, err));
  TN_TRY(tn_shared_array_new(&box, &whole, err));
  tn_shared_array_drop(e->array);
  e->array = box;
  e->made_of = inner + e->version;
  if (!nested) drop_chunks(e);
  return TN_OK;
}

tn_status tn_ipc_dictionaries_get(tn_ipc_dictionaries *d, int32_t number, tn_shared_array **out,
                                  tn_error *err) {
  entry *e = &d->entries[number];
  const tn_ipc_dictionary_type *type = &d->schema->dictionaries[number];
  if (e->chunk_count == 0 && !e->array)
    return tn_fail(err, TN_ERR_DATA, "%s: dictionary %lld has not come before its first use",
                   d->name, (long long)type->id);
  if (e->decoding)
    return tn_fail(err, TN_ERR_DATA, "%s: dictionary %lld holds itself", d->name,
                   (long long)type->id);
  uint64_t inner = inner_versions(d, type->values);
  if (!e->array || e->made_of != inner + e->version) {
    e->decoding = true;
    tn_status status = make(d, number, inner, err);
    e->decoding = false;
    TN_TRY(status);
  }
  *out = e->array;
  return TN_OK;
}

tn_status tn_ipc_dictionaries_prepare(tn_ipc_dictionaries *d, const tn_ipc_node *node,
                                      tn_error *err) {
  tn_shared_array *unused;
  if (!node->inner) return TN_OK;
  if (node->values) TN_TRY(tn_ipc_dictionaries_get(d, node->dictionary, &unused, err));
  for (int64_t i = 0; i < node->field->child_count; i++)
    TN_TRY(tn_ipc_dictionaries_prepare(d, &node->children[i], err));
  return TN_OK;
}
