/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/projection.h"

#include <stdio.h>

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

static tn_status not_found(const tn_parquet_file *file, const char *name, tn_error *err) {
  char names[300] = "";
  size_t used = 0;
  for (int64_t i = 0; i < file->leaf_count && used < sizeof names - 1; i++) {
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                             file->leaves[i].name);
  }
  return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no column \"%s\"; it has %s%s", file->source->name,
                 name, names, used < sizeof names - 1 ? "" : "...");
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

static tn_status copy_schema(tn_parquet_node *node, ArrowSchema *out, tn_error *err) {
  const ArrowSchema *from = node->schema;
  TN_TRY(tn_schema_init(out, from->format, from->name, from->flags, err));
  node->schema = out;
  if (from->metadata) TN_TRY(tn_schema_set_metadata(out, from->metadata, err));
  if (from->dictionary) {
    TN_TRY(tn_schema_add_dictionary(out, err));
    TN_TRY(tn_schema_copy(out->dictionary, from->dictionary, err));
  }
  if (node->child_count == 0) return TN_OK;
  TN_TRY(tn_schema_add_children(out, node->child_count, err));
  for (int64_t i = 0; i < node->child_count; i++) {
    TN_TRY(copy_schema(&node->children[i], out->children[i], err));
  }
  return TN_OK;
}

tn_status tn_parquet_projection_new(tn_parquet_projection *out, const tn_parquet_file *file,
                                    const char *const *names, int32_t count, tn_arena *arena,
                                    tn_error *err) {
  chooser c = {.file = file, .arena = arena};
  *out = (tn_parquet_projection){0};
  TN_TRY(choose(&c, names, count, err));
  TN_TRY(build(&c, &out->root, err));
  out->leaves = c.leaves;
  out->leaf_count = c.leaf_count;
  return copy_schema(&out->root, &out->schema, err);
}

void tn_parquet_projection_clear(tn_parquet_projection *projection) {
  tn_schema_clear(&projection->schema);
}
