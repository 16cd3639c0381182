/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_schema.h"

/* The one walk over a schema in the order of its fields: a field, its children, its dictionary. */
typedef struct builder {
  tn_ipc_schema *out;
  const int64_t *ids;
  int64_t next;
  size_t capacity;
} builder;

static tn_status no_memory(size_t count, tn_error *err) {
  return tn_fail_memory(err, "an Arrow IPC schema", count * sizeof(tn_ipc_node));
}

/* Types only: names and metadata of two fields with one dictionary may differ. */
static bool same_types(const tn_field *a, const tn_field *b) {
  if (strcmp(a->schema->format, b->schema->format) != 0 || a->child_count != b->child_count ||
      !a->dictionary != !b->dictionary)
    return false;
  for (int64_t i = 0; i < a->child_count; i++)
    if (!same_types(&a->children[i], &b->children[i])) return false;
  return !a->dictionary || same_types(a->dictionary, b->dictionary);
}

/* The table's entry for an id; a new one where it is not there yet. */
static tn_status enter_dictionary(builder *w, tn_ipc_node *n, tn_error *err) {
  tn_ipc_schema *s = w->out;
  int64_t id = w->ids ? w->ids[w->next] : w->next;
  w->next++;
  for (int32_t i = 0; i < s->dictionary_count; i++) {
    if (s->dictionaries[i].id != id) continue;
    if (!same_types(s->dictionaries[i].values->field, n->values->field))
      return tn_fail(err, TN_ERR_DATA, "column \"%.100s\": dictionary %lld has two types",
                     n->field->name, (long long)id);
    n->dictionary = i;
    return TN_OK;
  }
  TN_TRY(tn_grow((void **)&s->dictionaries, &w->capacity, (size_t)s->dictionary_count + 1,
                 sizeof *s->dictionaries, err));
  n->dictionary = s->dictionary_count++;
  s->dictionaries[n->dictionary] = (tn_ipc_dictionary_type){id, n->values};
  return TN_OK;
}

static void count_own(tn_ipc_node *n) {
  tn_layout layout = n->field->type.layout;
  n->nodes = 1;
  n->views = layout == TN_LAYOUT_VIEW;
  n->unions = layout == TN_LAYOUT_DENSE_UNION || layout == TN_LAYOUT_SPARSE_UNION;
  /* The third buffer of a view array in memory, the sizes, is no buffer of IPC. */
  n->buffers = (uint32_t)tn_layout_buffers(layout) - n->views;
}

static tn_status build(builder *w, tn_ipc_node *n, const tn_field *field, tn_error *err) {
  *n = (tn_ipc_node){.field = field, .dictionary = -1};
  count_own(n);
  tn_arena *arena = &w->out->arena;
  n->children = tn_arena_alloc(arena, (size_t)field->child_count, sizeof *n->children);
  if (!n->children) return no_memory((size_t)field->child_count, err);
  /* Ids are dealt out before those of the children and inside the dictionary's own values. */
  int64_t id_at = w->next;
  if (field->dictionary) w->next++;
  for (int64_t i = 0; i < field->child_count; i++) {
    tn_ipc_node *child = &n->children[i];
    TN_TRY(build(w, child, &field->children[i], err));
    n->inner |= child->inner;
    n->nodes += child->nodes;
    n->buffers += child->buffers;
    n->views += child->views;
    n->unions += child->unions;
  }
  if (!field->dictionary) return TN_OK;
  if (field->dictionary->dictionary)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "column \"%.100s\": a dictionary whose values are dictionary indices again",
                   field->name);
  n->inner = true;
  n->values = tn_arena_alloc(arena, 1, sizeof *n->values);
  if (!n->values) return no_memory(1, err);
  TN_TRY(build(w, n->values, field->dictionary, err));
  int64_t behind = w->next;
  w->next = id_at;
  TN_TRY(enter_dictionary(w, n, err));
  w->next = behind;
  return TN_OK;
}

static tn_status take(tn_ipc_schema *out, const int64_t *ids, tn_error *err) {
  tn_field *root;
  builder w = {.out = out, .ids = ids};
  TN_TRY(tn_field_tree(&root, &out->arena, &out->schema, err));
  if (root->type.id != TN_TYPE_STRUCT || root->dictionary)
    return tn_fail(err, TN_ERR_ARGUMENT, "the schema of record batches must be a struct, not %s",
                   tn_type_name(root->type.id));
  out->root = tn_arena_alloc(&out->arena, 1, sizeof *out->root);
  if (!out->root) return no_memory(1, err);
  return build(&w, out->root, root, err);
}

tn_status tn_ipc_schema_take(tn_ipc_schema *out, ArrowSchema *schema, const int64_t *ids,
                             tn_error *err) {
  *out = (tn_ipc_schema){.schema = *schema};
  schema->release = NULL;
  tn_status status = take(out, ids, err);
  if (status != TN_OK) tn_ipc_schema_clear(out);
  return status;
}

tn_status tn_ipc_schema_copy(tn_ipc_schema *out, const ArrowSchema *schema, tn_error *err) {
  ArrowSchema copy;
  *out = (tn_ipc_schema){0};
  TN_TRY(tn_schema_copy(&copy, schema, err));
  return tn_ipc_schema_take(out, &copy, NULL, err);
}

void tn_ipc_schema_clear(tn_ipc_schema *schema) {
  tn_schema_clear(&schema->schema);
  tn_free(schema->dictionaries);
  tn_arena_clear(&schema->arena);
  *schema = (tn_ipc_schema){0};
}

/* ---- a choice of columns ---- */
static tn_status find_columns(const tn_ipc_schema *s, const char *const *names, int32_t *picks,
                              int32_t count, tn_error *err) {
  for (int32_t k = 0; k < count; k++) {
    int64_t at = names ? tn_schema_find(&s->schema, names[k]) : k;
    if (at < 0) return tn_schema_no_column(&s->schema, names[k], err);
    picks[k] = (int32_t)at;
  }
  return TN_OK;
}

static tn_status copy_columns(const tn_ipc_schema *s, const int32_t *picks, int32_t count,
                              ArrowSchema *out, tn_error *err) {
  TN_TRY(tn_schema_init(out, "+s", s->schema.name, s->schema.flags, err));
  TN_TRY(tn_schema_set_metadata(out, s->schema.metadata, err));
  TN_TRY(tn_schema_add_children(out, count, err));
  for (int32_t k = 0; k < count; k++)
    TN_TRY(tn_schema_copy(out->children[k], s->schema.children[picks[k]], err));
  return TN_OK;
}

tn_status tn_ipc_schema_pick(const tn_ipc_schema *schema, const char *const *names, int32_t count,
                             int32_t **picks, int32_t *pick_count, ArrowSchema *picked,
                             tn_error *err) {
  memset(picked, 0, sizeof *picked);
  *pick_count = names ? count : (int32_t)schema->schema.n_children;
  *picks = tn_alloc((size_t)*pick_count, sizeof **picks);
  if (!*picks) return tn_fail_memory(err, "a choice of columns", (size_t)*pick_count * 4);
  tn_status status = find_columns(schema, names, *picks, *pick_count, err);
  if (status == TN_OK) status = copy_columns(schema, *picks, *pick_count, picked, err);
  if (status == TN_OK) return TN_OK;
  tn_schema_clear(picked);
  tn_free(*picks);
  *picks = NULL;
  return status;
}
