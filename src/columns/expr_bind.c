/* SPDX-License-Identifier: Apache-2.0 */
/* A checked predicate and the batches it will see: columns whose one value is known beforehand,
 * where conditions on them alone are decided; and batches that hold some columns only. */
#include <stdlib.h>

#include "columns/expr_tree.h"
#include "columns/schema.h"

typedef struct binding {
  tn_expr *e;
  int64_t from;     /* columns of the expression from here on are bound */
  ArrowArray batch; /* one row; only the bound columns are there */
  tn_error *err;
} binding;

enum { USES_BOUND = 1, USES_OPEN = 2 };

static int uses(const binding *b, const tn_expr_node *node) {
  if (!node) return 0;
  if (node->kind == TN_EXPR_COLUMN) return node->indices[0] >= b->from ? USES_BOUND : USES_OPEN;
  return uses(b, node->left) | (node->kind == TN_EXPR_IN ? 0 : uses(b, node->right));
}

static int32_t bound_at(const binding *b, const tn_expr_node *node) {
  if (!node || !(uses(b, node) & USES_BOUND)) return -1;
  if (node->kind == TN_EXPR_COLUMN) return node->at;
  int32_t left = bound_at(b, node->left);
  return left >= 0 ? left : bound_at(b, node->right);
}

static tn_status decide(binding *b, tn_expr_node *node) {
  tn_expr *e = b->e;
  tn_expr_node *top = e->top;
  const uint8_t *answer;
  e->top = node;
  tn_status status = tn_expr_evaluate(e, &b->batch, &answer, b->err);
  e->top = top;
  TN_TRY(status);
  tn_expr_become_bool(node, answer[0] == 1, answer[0] == 2);
  return TN_OK;
}

static tn_status bind_node(binding *b, tn_expr_node *node) {
  int used = uses(b, node);
  if (!(used & USES_BOUND)) return TN_OK;
  if (used == USES_BOUND) return decide(b, node);
  if (node->kind != TN_EXPR_AND && node->kind != TN_EXPR_OR && node->kind != TN_EXPR_NOT)
    return tn_expr_fail(b->e, bound_at(b, node), b->err,
                        "a column of the path is compared with one of the file; only a value can "
                        "stand there");
  TN_TRY(bind_node(b, node->left));
  if (node->right) TN_TRY(bind_node(b, node->right));
  return tn_expr_check_again(b->e, node, b->err);
}

tn_status tn_expr_bind(tn_expr *e, int64_t from, const ArrowArray *row, tn_error *err) {
  size_t count = (size_t)e->root->child_count;
  binding b = {.e = e, .from = from, .err = err};
  ArrowArray **children = tn_arena_alloc(&e->arena, count, sizeof *children);
  if (!children) return tn_fail_memory(err, "a predicate", count * sizeof *children);
  for (int64_t i = 0; i < row->n_children; i++) children[from + i] = row->children[i];
  b.batch = (ArrowArray){.length = 1, .n_children = (int64_t)count, .children = children};
  TN_TRY(bind_node(&b, e->top));
  e->batch_columns = from;
  return TN_OK;
}

/* ---- fewer columns ---- */
/* A column that is moved is negative (~place) until all are: `between` has one node in two places.
 */
static void move_columns(tn_expr_node *node, const int64_t *to) {
  if (!node) return;
  if (node->kind == TN_EXPR_COLUMN && node->indices[0] >= 0)
    node->indices[0] = ~(int32_t)to[node->indices[0]];
  move_columns(node->left, to);
  if (node->kind != TN_EXPR_IN) move_columns(node->right, to);
}

static void settle_columns(tn_expr_node *node) {
  if (!node) return;
  if (node->kind == TN_EXPR_COLUMN && node->indices[0] < 0) node->indices[0] = ~node->indices[0];
  settle_columns(node->left);
  if (node->kind != TN_EXPR_IN) settle_columns(node->right);
}

static int by_number(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

tn_status tn_expr_narrow(tn_expr *e, const ArrowSchema *schema, tn_error *err) {
  size_t count = (size_t)e->root->child_count;
  int64_t *to = tn_arena_alloc(&e->arena, count, sizeof *to);
  if (!to) return tn_fail_memory(err, "a predicate", count * sizeof *to);
  for (int64_t i = 0; i < e->column_count; i++) {
    const char *name = e->root->children[e->columns[i]].name;
    int64_t at = tn_schema_find(schema, name);
    if (at < 0) return tn_schema_no_column(schema, name, err);
    to[e->columns[i]] = at;
    e->columns[i] = at;
  }
  move_columns(e->top, to);
  settle_columns(e->top);
  if (e->column_count > 0) qsort(e->columns, (size_t)e->column_count, sizeof *to, by_number);
  e->batch_columns = schema->n_children;
  return TN_OK;
}
