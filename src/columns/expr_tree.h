/* expr_tree.h - the inside of a tn_expr: a checked, folded tree that evaluation and pruning walk.
 *
 * After checking, a comparison with a literal has the literal on the right and made ready for the
 * column's own type: a tn_expr_constant.  A literal between two values of the type ("day > 2.5") or
 * beyond all of them is marked so, and never rounded.  Between is two comparisons.  Thread:
 * immutable.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_EXPR_TREE_H
#define TN_COLUMNS_EXPR_TREE_H
#include "columns/decimal.h"
#include "columns/expr.h"
#include "columns/type.h"

typedef enum tn_expr_kind {
  TN_EXPR_LITERAL,
  TN_EXPR_COLUMN,
  TN_EXPR_ARITHMETIC, /* left op right */
  TN_EXPR_COMPARE,    /* left op right; right may be a literal */
  TN_EXPR_IN,         /* left in items */
  TN_EXPR_IS_NULL,    /* left, a column */
  TN_EXPR_MATCH,      /* left like pattern */
  TN_EXPR_NOT,
  TN_EXPR_AND,
  TN_EXPR_OR,
} tn_expr_kind;

typedef enum tn_expr_op {
  TN_EXPR_EQ,
  TN_EXPR_NE,
  TN_EXPR_LT,
  TN_EXPR_LE,
  TN_EXPR_GT,
  TN_EXPR_GE,
  TN_EXPR_ADD,
  TN_EXPR_SUB,
  TN_EXPR_MUL,
  TN_EXPR_DIV,
  TN_EXPR_MOD,
} tn_expr_op;

typedef enum tn_expr_class {               /* how values are held while evaluating */
                             TN_EXPR_NULL, /* the literal null */
                             TN_EXPR_BOOL,
                             TN_EXPR_I64,
                             TN_EXPR_U64,
                             TN_EXPR_F64,
                             TN_EXPR_DECIMAL,
                             TN_EXPR_TEXT, /* and binary */
                             TN_EXPR_DATE, /* an int64 of days (date64: of milliseconds, by `scale`)
                                            */
                             TN_EXPR_TIMESTAMP,
                             TN_EXPR_TIME,
                             TN_EXPR_DURATION,
                             TN_EXPR_OTHER, /* only null or not */
} tn_expr_class;

typedef struct tn_expr_constant { /* a literal in a column's type */
  int8_t outside;                 /* +1 above every value of the type, -1 below, 0 within */
  bool exact;                     /* false: strictly between `floor` and the next value */
  int64_t i64;                    /* floors; of the column's class only one counts */
  uint64_t u64;
  tn_decimal_value decimal;
  double f64; /* always exact: rounded to the column's type */
  tn_str text;
} tn_expr_constant;

typedef struct tn_expr_pattern {
  enum {
    TN_MATCH_EXACT,
    TN_MATCH_PREFIX,
    TN_MATCH_SUFFIX,
    TN_MATCH_CONTAINS,
    TN_MATCH_GENERAL
  } form;
  tn_str text;    /* without wildcards, for all but GENERAL */
  tn_str general; /* the pattern; special[i]: its byte i is a wildcard */
  const bool *special;
  bool fold; /* letters A to Z as a to z */
} tn_expr_pattern;

typedef struct tn_expr_node tn_expr_node;
struct tn_expr_node {
  tn_expr_kind kind;
  tn_expr_op op;
  tn_expr_class class;
  int32_t at;    /* where it begins in the text, from 0 */
  int32_t scale; /* DECIMAL: digits; times: of a second (0, 3, 6, 9); date64: 3 */
  int32_t bits;  /* DECIMAL, F64: of the column's values */
  bool zoned;    /* TIMESTAMP with a time zone */
  bool negated;  /* not in, is not null, not like */
  tn_expr_node *left, *right;
  /* COLUMN */
  const tn_field **path; /* path[0] top-level, path[path_count - 1] the value's */
  int32_t *indices;      /* of each in its parent */
  int32_t path_count;
  /* LITERAL */
  bool is_null, boolean;
  bool has_decimal; /* a number that 76 digits hold: decimal at `scale` */
  tn_decimal_value decimal;
  double number;
  tn_str text;
  /* COMPARE with a literal, IN */
  tn_expr_constant constant;
  tn_expr_constant *items; /* sorted, exact ones only */
  int64_t item_count;
  bool has_null_item;
  tn_expr_pattern *pattern; /* MATCH */
};

struct tn_expr {
  tn_arena arena, scratch;
  ArrowSchema schema;
  tn_field *root;
  tn_str text;
  tn_expr_node *top;
  int64_t batch_columns; /* of `root`; those behind them are bound */
  int64_t *columns;
  int64_t column_count;
  int32_t nodes;
  uint8_t *results; /* of the last batch, and its selected rows */
  int64_t *selected;
  size_t result_capacity, selected_capacity;
};

/* Compares two constants of one class (I64, dates and times; U64; F64; DECIMAL; TEXT). */
int tn_expr_compare_constants(tn_expr_class class, const tn_expr_constant *a,
                              const tn_expr_constant *b);
bool tn_expr_matches(const tn_expr_pattern *pattern, tn_str text);
/* The class of a column's values, and what goes with it. */
void tn_expr_classify(tn_expr_node *node, const tn_field *field);

/* expr_check.c: types, literals into column types, folding; after it the tree can be evaluated. */
TN_NODISCARD tn_status tn_expr_check(tn_expr *e, tn_error *err);
/* One node, after what is below it was folded further. */
TN_NODISCARD tn_status tn_expr_check_again(tn_expr *e, tn_expr_node *node, tn_error *err);
void tn_expr_become_bool(tn_expr_node *node, bool is_null, bool value);
/* expr_bind.c: decides what the columns from `from` on decide; `row` holds them alone. */
TN_NODISCARD tn_status tn_expr_bind(tn_expr *e, int64_t from, const ArrowArray *row, tn_error *err);
/* "predicate, character 9: ...", TN_ERR_ARGUMENT. */
tn_status tn_expr_fail(const tn_expr *e, int32_t at, tn_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Fills a number literal from its text; false: beyond double. */
bool tn_expr_set_number(tn_expr_node *node, tn_str text);

/* Whether `a op b` holds of two values, by their order: below 0, 0, above 0. */
bool tn_expr_holds(tn_expr_op op, int order);

#endif
