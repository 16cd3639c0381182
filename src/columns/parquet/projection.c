/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/projection.h"

#include "columns/parquet/variant.h"
#include "columns/schema.h"

typedef struct choice { /* one column of the result */
  const tn_parquet_node *node;
  bool whole; /* all of it; else the leaves that are marked */
} choice;

typedef struct chooser {
  const tn_parquet_file *file;
  tn_arena *arena;
  choice *choices;
  int64_t choice_count;
  bool *marked; /* leaves of the file */
  int64_t *leaves;
  int64_t leaf_count;
} chooser;

/* ---- which leaves ---------------------------------------------------------------------------- */

static const char *field_name(const void *root, int64_t i) {
  return ((const tn_parquet_node *)root)->children[i].name;
}

static const char *leaf_name(const void *leaves, int64_t i) {
  return ((const tn_parquet_leaf *)leaves)[i].name;
}

/* Names those that there are: of "a.x" the leaves of a, where there is an a; else the columns. */
static tn_status not_found(const tn_parquet_file *file, const char *name, tn_error *err) {
  const tn_parquet_node *root = &file->tree.root;
  size_t first = strcspn(name, ".");
  const tn_parquet_node *column = NULL;
  for (int64_t i = 0; i < root->child_count && !column; i++) {
    const char *known = root->children[i].name;
    if (strlen(known) == first && memcmp(known, name, first) == 0) column = &root->children[i];
  }
  tn_status status = column && name[first]
                         ? tn_schema_name_missing(name, column->leaf_count, leaf_name,
                                                  &file->leaves[column->leaf], err)
                         : tn_schema_name_missing(name, root->child_count, field_name, root, err);
  return tn_error_context(err, status, "%s", file->source->name);
}

/* Is `name` the path of the leaf or of a field around it? */
static bool is_path_to(const char *name, const char *leaf) {
  size_t length = strlen(name);
  return strncmp(leaf, name, length) == 0 && (leaf[length] == '.' || leaf[length] == '\0');
}

/* A column that is there already in part grows; one that is new comes behind the others. */
static void add_choice(chooser *c, const tn_parquet_node *node, bool whole) {
  for (int64_t i = 0; i < c->choice_count && !whole; i++) {
    if (c->choices[i].node == node && !c->choices[i].whole) return;
  }
  c->choices[c->choice_count++] = (choice){node, whole};
}

static tn_status choose_name(chooser *c, const char *name, tn_error *err) {
  const tn_parquet_node *root = &c->file->tree.root;
  bool found = false;
  for (int64_t i = 0; i < root->child_count; i++) {
    if (strcmp(root->children[i].name, name) != 0) continue;
    add_choice(c, &root->children[i], true);
    return TN_OK;
  }
  for (int64_t i = 0; i < c->file->leaf_count; i++) {
    const tn_parquet_leaf *leaf = &c->file->leaves[i];
    if (!is_path_to(name, leaf->name)) continue;
    const tn_parquet_node *node = &root->children[leaf->field];
    if (found && c->choices[c->choice_count - 1].node != node) break; /* a name that occurs twice */
    if (!found) add_choice(c, node, false);
    c->marked[i] = found = true;
  }
  return found ? TN_OK : not_found(c->file, name, err);
}

static tn_status choose(chooser *c, const char *const *names, int32_t count, tn_error *err) {
  const tn_parquet_node *root = &c->file->tree.root;
  size_t choices = names ? (size_t)count : (size_t)root->child_count;
  c->choices = tn_arena_alloc(c->arena, choices, sizeof *c->choices);
  c->marked = tn_arena_alloc(c->arena, (size_t)c->file->leaf_count, sizeof *c->marked);
  if (!c->choices || !c->marked) return tn_fail_memory(err, "a projection", choices);
  if (!names) {
    for (int64_t i = 0; i < root->child_count; i++) add_choice(c, &root->children[i], true);
  }
  for (int32_t i = 0; names && i < count; i++) TN_TRY(choose_name(c, names[i], err));
  return TN_OK;
}

/* ---- the tree of them ------------------------------------------------------------------------ */

static int64_t count_marked(const chooser *c, const tn_parquet_node *node) {
  int64_t n = 0;
  for (int64_t i = 0; i < node->leaf_count; i++) n += c->marked[node->leaf + i];
  return n;
}

static tn_status prune(chooser *c, const tn_parquet_node *node, bool whole, tn_parquet_node *out,
                       tn_error *err) {
  *out = *node;
  out->leaf = c->leaf_count;
  if (node->kind == TN_PARQUET_NODE_LEAF) {
    c->leaves[c->leaf_count++] = node->leaf;
    return TN_OK;
  }
  whole |= node->kind == TN_PARQUET_NODE_MAP;
  out->child_count = 0;
  out->children = tn_arena_alloc(c->arena, (size_t)node->child_count, sizeof *out->children);
  if (!out->children) return tn_fail_memory(err, "a projection", sizeof *out->children);
  for (int64_t i = 0; i < node->child_count; i++) {
    if (!whole && count_marked(c, &node->children[i]) == 0) continue;
    TN_TRY(prune(c, &node->children[i], whole, &out->children[out->child_count++], err));
  }
  out->leaf_count = c->leaf_count - out->leaf;
  out->variant = node->kind == TN_PARQUET_NODE_STRUCT &&
                 node->element->logical.kind == TN_PARQUET_LOGICAL_VARIANT &&
                 out->leaf_count == node->leaf_count;
  return TN_OK;
}

static int64_t count_leaves(const chooser *c) {
  int64_t n = 0;
  for (int64_t i = 0; i < c->choice_count; i++) n += c->choices[i].node->leaf_count;
  return n;
}

static tn_status build(chooser *c, tn_parquet_node *root, tn_error *err) {
  c->leaves = tn_arena_alloc(c->arena, (size_t)count_leaves(c), sizeof *c->leaves);
  *root = c->file->tree.root;
  root->children = tn_arena_alloc(c->arena, (size_t)c->choice_count, sizeof *root->children);
  root->child_count = c->choice_count;
  if (!c->leaves || !root->children) return tn_fail_memory(err, "a projection", sizeof *c->leaves);
  for (int64_t i = 0; i < c->choice_count; i++) {
    TN_TRY(prune(c, c->choices[i].node, c->choices[i].whole, &root->children[i], err));
  }
  root->leaf = 0;
  root->leaf_count = c->leaf_count;
  return TN_OK;
}

typedef struct schema_copy {
  bool variant_json;
  tn_arena *arena;
  tn_error *err;
} schema_copy;

/* The extension of what comes out counts, all else is the stored column's. */
static tn_status copy_metadata(ArrowSchema *out, const char *metadata, tn_error *err) {
  int64_t at = 4, bytes = tn_metadata_bytes(metadata);
  while (metadata && at < bytes) {
    tn_str key = tn_metadata_next(metadata, &at), value = tn_metadata_next(metadata, &at);
    if (tn_str_starts(key, TN_STR("ARROW:extension:"))) continue;
    TN_TRY(tn_schema_add_metadata(out, key, value, err));
  }
  return TN_OK;
}

static tn_status plan_variant(const schema_copy *c, tn_parquet_node *node, tn_field **stored) {
  TN_TRY(tn_field_tree(stored, c->arena, node->schema, c->err));
  TN_TRY(tn_variant_plan_new(&node->unshred, *stored, c->variant_json, c->err));
  return TN_OK;
}

static tn_status copy_schema(const schema_copy *c, tn_parquet_node *node, ArrowSchema *out);

/* A Variant that is stored as it is wanted stays as it is. */
static tn_status variant_schema(const schema_copy *c, tn_parquet_node *node, ArrowSchema *out) {
  tn_field *stored = NULL;
  const ArrowSchema *from = node->schema;
  tn_status status = plan_variant(c, node, &stored);
  if (status != TN_OK) return tn_error_context(c->err, status, "column \"%s\"", node->name);
  if (c->variant_json || tn_variant_plan_is_shredded(node->unshred)) {
    TN_TRY(tn_variant_schema(out, stored, c->variant_json, c->err));
    node->schema = out;
    return copy_metadata(out, from->metadata, c->err);
  }
  tn_variant_plan_free(node->unshred);
  node->unshred = NULL;
  node->variant = false;
  TN_TRY(copy_schema(c, node, out));
  if (tn_schema_metadata(out, "ARROW:extension:name").data) return TN_OK;
  TN_TRY(tn_schema_add_metadata(out, TN_STR("ARROW:extension:metadata"), TN_STR(""), c->err));
  return tn_schema_add_metadata(out, TN_STR("ARROW:extension:name"),
                                TN_STR("arrow.parquet.variant"), c->err);
}

static tn_status copy_schema(const schema_copy *c, tn_parquet_node *node, ArrowSchema *out) {
  const ArrowSchema *from = node->schema;
  if (node->variant) return variant_schema(c, node, out);
  TN_TRY(tn_schema_init(out, from->format, from->name, from->flags, c->err));
  node->schema = out;
  if (from->metadata) TN_TRY(tn_schema_set_metadata(out, from->metadata, c->err));
  if (from->dictionary) {
    TN_TRY(tn_schema_add_dictionary(out, c->err));
    TN_TRY(tn_schema_copy(out->dictionary, from->dictionary, c->err));
  }
  if (node->child_count == 0) return TN_OK;
  TN_TRY(tn_schema_add_children(out, node->child_count, c->err));
  for (int64_t i = 0; i < node->child_count; i++) {
    TN_TRY(copy_schema(c, &node->children[i], out->children[i]));
  }
  return TN_OK;
}

tn_status tn_parquet_projection_new(tn_parquet_projection *out, const tn_parquet_file *file,
                                    const char *const *names, int32_t count, bool variant_json,
                                    tn_arena *arena, tn_error *err) {
  chooser c = {.file = file, .arena = arena};
  *out = (tn_parquet_projection){0};
  TN_TRY(choose(&c, names, count, err));
  TN_TRY(build(&c, &out->root, err));
  out->leaves = c.leaves;
  out->leaf_count = c.leaf_count;
  schema_copy copy = {variant_json, arena, err};
  return copy_schema(&copy, &out->root, &out->schema);
}

static void free_plans(tn_parquet_node *node) {
  tn_variant_plan_free(node->unshred);
  node->unshred = NULL;
  for (int64_t i = 0; node->children && i < node->child_count; i++) free_plans(&node->children[i]);
}

void tn_parquet_projection_clear(tn_parquet_projection *projection) {
  free_plans(&projection->root);
  tn_schema_clear(&projection->schema);
}
