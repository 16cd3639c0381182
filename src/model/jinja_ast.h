/* jinja_ast.h - a compiled template: tokens and the tree made of them.
 *
 *     text --lexer--> tokens --parser--> nodes: statements chained by `next`, expressions below
 *
 * Everything lies in the template's arena. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_JINJA_AST_H
#define TN_MODEL_JINJA_AST_H
#include "model/jinja.h"

typedef enum tn_jinja_token_kind {
  TN_JINJA_TEXT,        /* outside of tags */
  TN_JINJA_BEGIN_PRINT, /* {{ */
  TN_JINJA_END_PRINT,
  TN_JINJA_BEGIN_BLOCK, /* {% */
  TN_JINJA_END_BLOCK,
  TN_JINJA_NAME,
  TN_JINJA_STRING, /* text: unescaped */
  TN_JINJA_INTEGER,
  TN_JINJA_FLOAT,
  TN_JINJA_OPERATOR, /* text: "==", "." ... */
  TN_JINJA_EOF,
} tn_jinja_token_kind;

typedef struct tn_jinja_token {
  tn_jinja_token_kind kind;
  int32_t line;
  tn_str text;
  int64_t integer;
  double number;
} tn_jinja_token;

typedef struct tn_jinja_tokens {
  tn_jinja_token *items;
  size_t count, capacity;
} tn_jinja_tokens;

/* The list is freed by the caller (tn_free(items)); texts lie in the arena or the source. */
TN_NODISCARD tn_status tn_jinja_lex(tn_str source, tn_arena *arena, tn_jinja_tokens *out,
                                    tn_error *err);

typedef enum tn_jinja_kind {
  /* expressions: operands a, b, c; lists hang at `list`, chained by next */
  TN_JINJA_NODE_NONE,
  TN_JINJA_NODE_BOOL,    /* integer */
  TN_JINJA_NODE_INTEGER, /* integer */
  TN_JINJA_NODE_FLOAT,   /* number */
  TN_JINJA_NODE_STRING,  /* text */
  TN_JINJA_NODE_NAME,    /* text */
  TN_JINJA_NODE_LIST,
  TN_JINJA_NODE_TUPLE,
  TN_JINJA_NODE_DICT,   /* list of PAIR */
  TN_JINJA_NODE_PAIR,   /* a: key, b: value */
  TN_JINJA_NODE_ATTR,   /* a.text */
  TN_JINJA_NODE_ITEM,   /* a[b] */
  TN_JINJA_NODE_SLICE,  /* of ITEM's b: [a:b:c], each may be NULL */
  TN_JINJA_NODE_CALL,   /* a(list of ARG) */
  TN_JINJA_NODE_ARG,    /* a; text: keyword, or empty */
  TN_JINJA_NODE_FILTER, /* a | text(list); a NULL: of a filter block */
  TN_JINJA_NODE_TEST,   /* a is text(list) */
  TN_JINJA_NODE_NOT,
  TN_JINJA_NODE_NEGATE,
  TN_JINJA_NODE_PLUS,
  TN_JINJA_NODE_BINARY,  /* a text b: + - * / // % ** ~ */
  TN_JINJA_NODE_COMPARE, /* a, then list of COMPARE with text and a: chained */
  TN_JINJA_NODE_AND,
  TN_JINJA_NODE_OR,
  TN_JINJA_NODE_CHOOSE, /* a if b else c */
  /* statements */
  TN_JINJA_NODE_TEXT,         /* text */
  TN_JINJA_NODE_PRINT,        /* a */
  TN_JINJA_NODE_IF,           /* a; list; other: else branch */
  TN_JINJA_NODE_FOR,          /* target a in b if c; list; other */
  TN_JINJA_NODE_SET,          /* target a = b */
  TN_JINJA_NODE_SET_BLOCK,    /* target a; list; b: filters */
  TN_JINJA_NODE_MACRO,        /* text; other: ARG parameters with defaults; list */
  TN_JINJA_NODE_CALL_BLOCK,   /* a: the call; other: parameters; list */
  TN_JINJA_NODE_FILTER_BLOCK, /* a: FILTER chain; list */
  TN_JINJA_NODE_WITH,         /* other: SETs; list */
  TN_JINJA_NODE_GROUP,        /* list: generation */
  TN_JINJA_NODE_BREAK,
  TN_JINJA_NODE_CONTINUE,
} tn_jinja_kind;

typedef struct tn_jinja_node {
  tn_jinja_kind kind;
  int32_t line;
  int32_t function; /* FILTER, TEST: index in its table */
  tn_str text;
  int64_t integer;
  double number;
  struct tn_jinja_node *a, *b, *c, *list, *other, *next;
} tn_jinja_node;

struct tn_jinja {
  tn_arena arena;
  char *name;
  tn_jinja_node *body;
};

/* The tables' index of a filter or test, -1: unknown (jinja_filter.c, jinja_test.c). */
int32_t tn_jinja_filter_find(tn_str name);
int32_t tn_jinja_test_find(tn_str name);

TN_NODISCARD tn_status tn_jinja_parse(tn_jinja *jinja, const tn_jinja_tokens *tokens,
                                      tn_error *err);

enum { TN_JINJA_DEPTH_MAX = 100, TN_JINJA_SOURCE_BYTES_MAX = 1 << 20 };

#endif
