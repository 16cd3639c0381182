/* SPDX-License-Identifier: Apache-2.0 */
/* From the footer's elements, depth first, to nodes and leaves. */
#include "columns/parquet/schema.h"

/* No Arrow schema is deeper than a tree of this: every level here makes at most one there. */
enum { DEPTH_MAX = TN_FIELD_DEPTH_MAX - 2, PATH_BYTES_MAX = 4096 };

typedef struct levels { /* at the place of a field */
  uint8_t def, rep, slot_def;
} levels;

typedef struct tree_walk {
  const tn_parquet_footer *footer;
  tn_arena *arena;
  tn_parquet_leaf *leaves;
  int64_t leaf_count, at; /* at: next element */
  int64_t field;
  int32_t depth;
  tn_parquet_int96 int96;
  bool spark;
  size_t length; /* of the path */
  char path[PATH_BYTES_MAX];
  tn_error *err;
} tree_walk;

static tn_status walk_field(tree_walk *w, levels l, bool is_item, tn_parquet_node *out);

/* ---- elements -------------------------------------------------------------------------------- */

/* The first child of the group at w->at; NULL: none there. */
static const tn_parquet_element *first_child(const tree_walk *w) {
  return w->at + 1 < w->footer->element_count ? &w->footer->elements[w->at + 1] : NULL;
}

static tn_status push_name(tree_walk *w, const char *name) {
  size_t part = strlen(name);
  if (w->length + part + 2 > sizeof w->path) {
    return tn_fail(w->err, TN_ERR_LIMIT, "a column's path is longer than %d bytes", PATH_BYTES_MAX);
  }
  if (w->length > 0) w->path[w->length++] = '.';
  memcpy(w->path + w->length, name, part);
  w->length += part;
  return TN_OK;
}

/* Enters the element at w->at: its name joins the path. */
static tn_status enter(tree_walk *w, const tn_parquet_element **out) {
  if (w->at >= w->footer->element_count) {
    return tn_fail(w->err, TN_ERR_DATA, "the schema has %lld elements but names more children",
                   (long long)w->footer->element_count);
  }
  const tn_parquet_element *e = &w->footer->elements[w->at];
  if (++w->depth > DEPTH_MAX) {
    return tn_fail(w->err, TN_ERR_LIMIT, "the schema is nested deeper than %d levels", DEPTH_MAX);
  }
  if (e->repetition < TN_PARQUET_REQUIRED || e->repetition > TN_PARQUET_REPEATED) {
    return tn_fail(w->err, TN_ERR_DATA, "column \"%s\" has repetition type %d", e->name,
                   e->repetition);
  }
  *out = e;
  return push_name(w, e->name);
}

static tn_status add_children(tree_walk *w, tn_parquet_node *node, int64_t count) {
  node->children = tn_arena_alloc(w->arena, (size_t)count, sizeof *node->children);
  if (!node->children) {
    return tn_fail_memory(w->err, "the schema's nodes", (size_t)count * sizeof *node->children);
  }
  node->child_count = count;
  return TN_OK;
}

static levels items_of(levels l) {
  return (levels){(uint8_t)(l.def + 1), (uint8_t)(l.rep + 1), (uint8_t)(l.def + 1)};
}

/* ---- the kinds of nodes ---------------------------------------------------------------------- */

static tn_status walk_leaf(tree_walk *w, const tn_parquet_element *e, levels l, bool optional,
                           tn_parquet_node *out) {
  tn_parquet_leaf *leaf = &w->leaves[w->leaf_count];
  out->kind = TN_PARQUET_NODE_LEAF;
  out->leaf = w->leaf_count++;
  *leaf = (tn_parquet_leaf){.element = e,
                            .field = w->field,
                            .max_def = l.def,
                            .max_rep = l.rep,
                            .slot_def = l.slot_def,
                            .nullable = optional};
  leaf->name = tn_arena_strndup(w->arena, w->path, w->length);
  if (!leaf->name) return tn_fail_memory(w->err, "a column's name", w->length);
  w->at++;
  return tn_parquet_leaf_resolve(leaf, w->arena, w->int96, w->spark, w->err);
}

static tn_status walk_struct(tree_walk *w, const tn_parquet_element *e, levels l,
                             tn_parquet_node *out) {
  out->kind = TN_PARQUET_NODE_STRUCT;
  if (e->children == 0) {
    return tn_fail(w->err, TN_ERR_UNSUPPORTED,
                   "group \"%.*s\" has no fields, so nothing says how many values it has",
                   (int)w->length, w->path);
  }
  w->at++;
  if (e->children > w->footer->element_count - w->at) {
    return tn_fail(w->err, TN_ERR_DATA, "the schema has %lld elements but names more children",
                   (long long)w->footer->element_count);
  }
  TN_TRY(add_children(w, out, e->children));
  for (int32_t i = 0; i < e->children; i++) TN_TRY(walk_field(w, l, false, &out->children[i]));
  return TN_OK;
}

/* A repeated field that no annotation explains: a required list of itself, required. */
static tn_status walk_repeated(tree_walk *w, levels l, tn_parquet_node *out) {
  out->kind = TN_PARQUET_NODE_LIST;
  out->layout = TN_LAYOUT_LIST;
  TN_TRY(add_children(w, out, 1));
  return walk_field(w, items_of(l), true, &out->children[0]);
}

/* Is the repeated group itself the element, and not a layer around it? */
static bool is_element(const tn_parquet_element *list, const tn_parquet_element *repeated,
                       const tn_parquet_element *only_child) {
  tn_str name = tn_str_of(repeated->name), around = tn_str_of(list->name);
  if (repeated->physical >= 0 || repeated->children != 1) return true;
  if (only_child && only_child->repetition == TN_PARQUET_REPEATED) return true;
  if (tn_str_is(name, "array")) return true;
  return tn_str_starts(name, around) &&
         tn_str_is((tn_str){name.data + around.length, name.length - around.length}, "_tuple");
}

/* LIST, and a MAP of keys alone. */
static tn_status walk_list(tree_walk *w, const tn_parquet_element *e, levels l,
                           tn_parquet_node *out) {
  const tn_parquet_element *repeated;
  out->kind = TN_PARQUET_NODE_LIST;
  out->layout = TN_LAYOUT_LIST;
  TN_TRY(add_children(w, out, 1));
  w->at++;
  repeated = &w->footer->elements[w->at];
  const tn_parquet_element *only_child = repeated->physical < 0 ? first_child(w) : NULL;
  if (is_element(e, repeated, only_child)) {
    return walk_field(w, items_of(l), true, &out->children[0]);
  }
  size_t length = w->length;
  TN_TRY(enter(w, &repeated));
  w->at++;
  tn_status status = walk_field(w, items_of(l), false, &out->children[0]);
  w->depth--;
  w->length = length;
  return status;
}

static tn_status walk_map(tree_walk *w, levels l, tn_parquet_node *out) {
  const tn_parquet_element *repeated;
  levels items = items_of(l);
  size_t length = w->length;
  out->kind = TN_PARQUET_NODE_MAP;
  out->layout = TN_LAYOUT_LIST;
  TN_TRY(add_children(w, out, 1));
  tn_parquet_node *entries = &out->children[0], *key;
  w->at++;
  TN_TRY(enter(w, &repeated));
  w->at++;
  *entries = (tn_parquet_node){.name = "entries",
                               .element = repeated,
                               .kind = TN_PARQUET_NODE_STRUCT,
                               .def = items.def,
                               .rep = items.rep,
                               .slot_def = items.slot_def,
                               .leaf = w->leaf_count};
  TN_TRY(add_children(w, entries, 2));
  key = &entries->children[0];
  TN_TRY(walk_field(w, items, false, key));
  if (key->kind == TN_PARQUET_NODE_LEAF) w->leaves[key->leaf].is_key = true;
  key->nullable = false;
  key->name = "key";
  TN_TRY(walk_field(w, items, false, &entries->children[1]));
  entries->children[1].name = "value";
  entries->leaf_count = w->leaf_count - entries->leaf;
  w->depth--;
  w->length = length;
  return TN_OK;
}

/* ---- fields ---------------------------------------------------------------------------------- */

enum { AS_STRUCT, AS_LIST, AS_MAP };

/* What an annotated group at w->at is; one whose form does not fit is read as the groups it is made
 * of. */
static int form_of_group(const tree_walk *w, const tn_parquet_element *e) {
  int16_t kind = e->logical.kind;
  const tn_parquet_element *repeated = first_child(w);
  bool annotated = kind == TN_PARQUET_LOGICAL_LIST_ || kind == TN_PARQUET_LOGICAL_MAP;
  if (!annotated || e->children != 1 || !repeated || repeated->repetition != TN_PARQUET_REPEATED) {
    return AS_STRUCT;
  }
  if (kind == TN_PARQUET_LOGICAL_LIST_) return AS_LIST;
  if (repeated->physical >= 0 || repeated->children < 1 || repeated->children > 2) return AS_STRUCT;
  if (repeated->children == 1) return AS_LIST;
  tree_walk below = {.footer = w->footer, .at = w->at + 1};
  const tn_parquet_element *key = first_child(&below);
  bool good = key && (key->repetition == TN_PARQUET_REQUIRED ||
                      (key->repetition == TN_PARQUET_OPTIONAL && key->physical >= 0));
  return good ? AS_MAP : AS_LIST;
}

static tn_status walk_group(tree_walk *w, const tn_parquet_element *e, levels l,
                            tn_parquet_node *out) {
  switch (form_of_group(w, e)) {
    case AS_LIST:
      return walk_list(w, e, l, out);
    case AS_MAP:
      return walk_map(w, l, out);
    default:
      return walk_struct(w, e, l, out);
  }
}

/* `is_item`: the element is repeated, and is the required item of the list around it. */
static tn_status walk_field(tree_walk *w, levels l, bool is_item, tn_parquet_node *out) {
  const tn_parquet_element *e = NULL;
  size_t length = w->length;
  TN_TRY(enter(w, &e));
  bool repeated = !is_item && e->repetition == TN_PARQUET_REPEATED;
  bool optional = !is_item && e->repetition == TN_PARQUET_OPTIONAL;
  *out = (tn_parquet_node){.name = e->name, .element = e, .nullable = optional};
  l.def = (uint8_t)(l.def + optional);
  out->def = l.def;
  out->rep = l.rep;
  out->slot_def = l.slot_def;
  out->leaf = w->leaf_count;
  if (repeated) { /* comes back for the same element, as an item */
    w->length = length;
    TN_TRY(walk_repeated(w, l, out));
  } else {
    TN_TRY(e->physical >= 0 ? walk_leaf(w, e, l, optional, out) : walk_group(w, e, l, out));
  }
  w->depth--;
  w->length = length;
  out->leaf_count = w->leaf_count - out->leaf;
  return TN_OK;
}

static bool written_by_spark(const tn_parquet_footer *footer) {
  for (uint32_t i = 0; i < footer->pair_count; i++) {
    if (tn_str_is(footer->pairs[i].key, "org.apache.spark.version")) return true;
  }
  return false;
}

tn_status tn_parquet_tree_new(tn_parquet_tree *out, const tn_parquet_footer *footer,
                              tn_parquet_int96 int96, tn_arena *arena, tn_error *err) {
  const tn_parquet_element *root = &footer->elements[0];
  tree_walk *w = tn_arena_alloc(arena, 1, sizeof *w);
  if (!w) return tn_fail_memory(err, "the schema's columns", sizeof *w);
  *w = (tree_walk){.footer = footer, .arena = arena, .at = 1, .err = err};
  w->int96 = int96;
  w->spark = int96 == TN_PARQUET_INT96_AUTO && written_by_spark(footer);
  if (root->physical >= 0) return tn_fail(err, TN_ERR_DATA, "the schema's root is not a group");
  int64_t leaves = 0;
  for (int64_t i = 1; i < footer->element_count; i++) leaves += footer->elements[i].physical >= 0;
  w->leaves = tn_arena_alloc(arena, (size_t)leaves, sizeof *w->leaves);
  if (!w->leaves) return tn_fail_memory(err, "the schema's columns", sizeof *w->leaves);
  out->root = (tn_parquet_node){.name = "", .element = root, .kind = TN_PARQUET_NODE_STRUCT};
  if (root->children > footer->element_count - 1) {
    return tn_fail(err, TN_ERR_DATA, "the schema has %lld elements but names more children",
                   (long long)footer->element_count);
  }
  TN_TRY(add_children(w, &out->root, root->children));
  for (int32_t i = 0; i < root->children; i++) {
    w->field = i;
    TN_TRY(walk_field(w, (levels){0}, false, &out->root.children[i]));
  }
  if (w->at != footer->element_count) {
    return tn_fail(err, TN_ERR_DATA, "the schema has %lld elements, its tree has %lld",
                   (long long)footer->element_count, (long long)w->at);
  }
  out->leaves = w->leaves;
  out->root.leaf_count = out->leaf_count = w->leaf_count;
  return TN_OK;
}
