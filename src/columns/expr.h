/* expr.h - the language of --where: which rows of a table are wanted.
 *
 *     price > 10 and country = "DE"          not flag or qty in (1, 2, 3)
 *     name like 'A%' and note is not null    ts between '2024-01-01' and '2024-02-01T12:00'
 *     address.city ilike '%haven'            `odd name` <> [other name] * 2 + 1
 *
 * Words are not case-sensitive, names are.  'x' is a text; "x" is the column of that name when the
 * table has one, else a text; `x` and [x] are always columns; a.b is member b of struct a (or the
 * column "a.b" where there is no a).  Operators, from the loosest: or, and, not; = == <> != < <= >
 * >=, [not] in (...), [not] between a and b, is [not] null, [not] like and ilike (% any text, _ one
 * character, escape 'c'); + - and * / %, unary -.  Functions: starts_with(a, 'x'), ends_with,
 * contains.
 *
 * Null is SQL's: a comparison with null is unknown, `and` and `or` know three values, and a row is
 * wanted when the whole is true.  How values compare:
 *
 *     numbers      by their value, exactly, whatever their types; a literal is first rounded to
 * double (float: to float) against a real column; a decimal against a real as double NaN as IEEE
 * says: only <> is true text         by its bytes; ilike folds the letters A to Z; binary as text
 *     dates, times against text in ISO form ('2024-01-31', '2024-01-31T10:00:00.5', '10:30'); a
 * literal finer than the column's unit lies between its values; without a zone it is UTC durations
 * with whole numbers of their unit dictionary, run-end encoded and view columns as their values
 *     lists, maps, structs, unions, intervals: only `is null`
 *
 * Arithmetic is on int64 (overflow is an error) or double; / gives a double, a zero divisor null.
 *
 * Thread: one owner; an expression holds scratch memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_EXPR_H
#define TN_COLUMNS_EXPR_H
#include "columns/arrow.h"

enum { TN_EXPR_TEXT_MAX = 1 << 20, TN_EXPR_DEPTH_MAX = 200, TN_EXPR_NODES_MAX = 2000 };

typedef struct tn_expr tn_expr;
/* Parses and checks `text` against the columns of a record-batch schema (copied).  Errors name the
 * character, what was expected, the nearest column. */
TN_NODISCARD tn_status tn_expr_new(tn_expr **out, tn_str text, const ArrowSchema *schema,
                                   tn_error *err);
/* Columns behind those of the schema that have one value in every batch, known here: what a file's
 * path says.  `schema` and `row`, a struct of one row, have the same children.  Conditions on them
 * are decided at once; batches do not hold them.  One of them cannot be compared with a column of
 * the batches: TN_ERR_ARGUMENT. */
typedef struct tn_expr_bound {
  const ArrowSchema *schema;
  const ArrowArray *row;
} tn_expr_bound;
/* `bound` may be NULL. */
TN_NODISCARD tn_status tn_expr_new_bound(tn_expr **out, tn_str text, const ArrowSchema *schema,
                                         const tn_expr_bound *bound, tn_error *err);
/* From now on its batches are of `schema`, which has the columns that it reads, by name, and maybe
 * others.  Once only. */
TN_NODISCARD tn_status tn_expr_narrow(tn_expr *e, const ArrowSchema *schema, tn_error *err);
void tn_expr_free(tn_expr *e); /* NULL is fine */

/* The top-level columns that it reads, in ascending order; *count of them. */
const int64_t *tn_expr_columns(const tn_expr *e, int64_t *count);
/* What is left after folding when no column decides: 1 every row, 0 none; -1: it depends. */
int tn_expr_decided(const tn_expr *e);

/* One byte a row of a batch of the schema: 2 true, 0 false, 1 unknown.  Lives until the next call.
 */
TN_NODISCARD tn_status tn_expr_evaluate(tn_expr *e, const ArrowArray *batch, const uint8_t **out,
                                        tn_error *err);
/* The rows for which it is true, ascending; lives until the next call. */
TN_NODISCARD tn_status tn_expr_select(tn_expr *e, const ArrowArray *batch, const int64_t **rows,
                                      int64_t *count, tn_error *err);

#endif
