/* jinja_value.h - what a template computes with: Python's values, as far as chat templates need
 * them.
 *
 * A value is small and copied; strings are views, lists and dicts are shared by reference (a list
 * that is appended to changes for everyone who holds it, as in Python).  All memory is the run's
 * arena.  A dict keeps insertion order.
 *
 * Every helper that can fail reports once through tn_jinja_fail and gives undefined; the evaluator
 * looks at run->status. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_JINJA_VALUE_H
#define TN_MODEL_JINJA_VALUE_H
#include "model/jinja_ast.h"

typedef enum tn_jinja_value_kind {
  TN_JINJA_UNDEFINED, /* text: the name that was not there */
  TN_JINJA_NONE,
  TN_JINJA_BOOL,
  TN_JINJA_INT,
  TN_JINJA_REAL,
  TN_JINJA_STR,
  TN_JINJA_LIST,
  TN_JINJA_TUPLE, /* a list that prints with parentheses */
  TN_JINJA_DICT,
  TN_JINJA_SPACE, /* namespace(): a dict whose members can be set */
  TN_JINJA_CALLABLE,
} tn_jinja_value_kind;

typedef struct tn_jinja_value tn_jinja_value;

typedef struct tn_jinja_list {
  tn_jinja_value *items;
  size_t count, capacity;
} tn_jinja_list;

typedef struct tn_jinja_dict {
  tn_jinja_value *keys, *values;
  size_t count, capacity;
} tn_jinja_dict;

struct tn_jinja_value {
  tn_jinja_value_kind kind;
  union {
    bool boolean;
    int64_t integer;
    double number;
    tn_str text;
    tn_jinja_list *list;
    tn_jinja_dict *dict;
    struct tn_jinja_callable *callable;
  };
};

/* Positional arguments, then keywords. */
enum { TN_JINJA_ARGUMENTS_MAX = 32 };
typedef struct tn_jinja_args {
  tn_jinja_value positional[TN_JINJA_ARGUMENTS_MAX];
  int32_t count;
  tn_str names[TN_JINJA_ARGUMENTS_MAX];
  tn_jinja_value keywords[TN_JINJA_ARGUMENTS_MAX];
  int32_t keyword_count;
} tn_jinja_args;

typedef struct tn_jinja_scope {
  struct tn_jinja_scope *above;
  tn_jinja_dict names;
} tn_jinja_scope;

typedef struct tn_jinja_run {
  const tn_jinja *jinja;
  tn_arena *arena;
  tn_strbuf *out; /* of the innermost capture */
  tn_jinja_scope *scope, *root;
  int64_t steps_left, output_left, time_us;
  int32_t depth, line;
  int32_t leaving; /* 1: break, 2: continue */
  tn_status status;
  tn_error *err;
} tn_jinja_run;

typedef struct tn_jinja_callable {
  enum { TN_JINJA_FUNCTION, TN_JINJA_METHOD, TN_JINJA_MACRO, TN_JINJA_CYCLE } kind;
  tn_str name;
  tn_jinja_value self;       /* METHOD: its object; CYCLE: the loop's index */
  int32_t function;          /* FUNCTION, METHOD */
  const tn_jinja_node *node; /* MACRO */
  tn_jinja_scope *scope;     /* MACRO: where its free names are looked up */
  tn_jinja_value caller;     /* MACRO: of a call block */
} tn_jinja_callable;

/* Reports an error once ("name: line 7: ..."); the value is undefined. */
tn_jinja_value tn_jinja_fail(tn_jinja_run *run, tn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One unit of work; false when the budget is spent or the run has failed. */
bool tn_jinja_step(tn_jinja_run *run, int64_t units);
/* One step, and more for a long text that is about to be read from end to end. */
bool tn_jinja_step_over(tn_jinja_run *run, tn_jinja_value v);
void *tn_jinja_alloc(tn_jinja_run *run, size_t count, size_t size); /* NULL: reported */

/* ---- making ---- */
static inline tn_jinja_value tn_jinja_undefined(const char *name) {
  return (tn_jinja_value){.kind = TN_JINJA_UNDEFINED, .text = tn_str_of(name)};
}
static inline tn_jinja_value tn_jinja_none(void) {
  return (tn_jinja_value){.kind = TN_JINJA_NONE};
}
static inline tn_jinja_value tn_jinja_bool(bool value) {
  return (tn_jinja_value){.kind = TN_JINJA_BOOL, .boolean = value};
}
static inline tn_jinja_value tn_jinja_int(int64_t value) {
  return (tn_jinja_value){.kind = TN_JINJA_INT, .integer = value};
}
static inline tn_jinja_value tn_jinja_real(double value) {
  return (tn_jinja_value){.kind = TN_JINJA_REAL, .number = value};
}
static inline tn_jinja_value tn_jinja_str(tn_str text) {
  return (tn_jinja_value){.kind = TN_JINJA_STR, .text = text};
}
/* Copies a buffer into the arena and clears it. */
tn_jinja_value tn_jinja_take(tn_jinja_run *run, tn_strbuf *text);
tn_jinja_value tn_jinja_list_new(tn_jinja_run *run);
tn_jinja_value tn_jinja_dict_new(tn_jinja_run *run);
void tn_jinja_push(tn_jinja_run *run, tn_jinja_list *list, tn_jinja_value item);
void tn_jinja_put(tn_jinja_run *run, tn_jinja_dict *dict, tn_jinja_value key, tn_jinja_value value);
/* NULL: no such key. */
tn_jinja_value *tn_jinja_find(tn_jinja_run *run, const tn_jinja_dict *dict, tn_jinja_value key);
tn_jinja_value *tn_jinja_find_str(tn_jinja_run *run, const tn_jinja_dict *dict, tn_str key);
tn_jinja_value tn_jinja_of_json(tn_jinja_run *run, const tn_json *json);

/* ---- asking ---- */
bool tn_jinja_truth(tn_jinja_value value);
bool tn_jinja_equal(tn_jinja_run *run, tn_jinja_value a, tn_jinja_value b);
/* -1, 0, 1; types that have no order are an error. */
int tn_jinja_order(tn_jinja_run *run, tn_jinja_value a, tn_jinja_value b);
bool tn_jinja_contains(tn_jinja_run *run, tn_jinja_value container, tn_jinja_value item);
const char *tn_jinja_kind_name(tn_jinja_value value); /* Python's: "str", "int" ... */
static inline bool tn_jinja_is_sequence(tn_jinja_value v) {
  return v.kind == TN_JINJA_LIST || v.kind == TN_JINJA_TUPLE;
}
static inline bool tn_jinja_is_number(tn_jinja_value v) {
  return v.kind == TN_JINJA_BOOL || v.kind == TN_JINJA_INT || v.kind == TN_JINJA_REAL;
}
double tn_jinja_number(tn_jinja_value value);                     /* of a number */
int64_t tn_jinja_integer(tn_jinja_value value);                   /* of BOOL and INT */
int64_t tn_jinja_length(tn_jinja_run *run, tn_jinja_value value); /* -1: has none, reported */
/* What a for loop sees: items of a list, keys of a dict, characters of a string; undefined: none.
 */
tn_jinja_value tn_jinja_iterate(tn_jinja_run *run, tn_jinja_value value);

/* ---- text ---- */
void tn_jinja_print(tn_jinja_run *run, tn_jinja_value value, tn_strbuf *out); /* str() */
void tn_jinja_repr(tn_jinja_run *run, tn_jinja_value value, tn_strbuf *out);
tn_str tn_jinja_text(tn_jinja_run *run, tn_jinja_value value); /* str(), as a view */
int64_t tn_jinja_chars(tn_str text);                           /* characters */
size_t tn_jinja_char_at(tn_str text, int64_t index);           /* byte of a character */
typedef struct tn_jinja_dump {
  int32_t indent; /* -1: one line */
  bool ascii, sort_keys;
  tn_str item_separator, key_separator;
} tn_jinja_dump;
/* json.dumps */
void tn_jinja_to_json(tn_jinja_run *run, tn_jinja_value value, const tn_jinja_dump *how,
                      tn_strbuf *out);

/* ---- evaluating (jinja_eval.c) ---- */
tn_jinja_value tn_jinja_call(tn_jinja_run *run, tn_jinja_value function, const tn_jinja_args *args);
/* object.name as Jinja looks it up: methods first for '.', items first for '[]'. */
tn_jinja_value tn_jinja_attribute(tn_jinja_run *run, tn_jinja_value object, tn_str name);
tn_jinja_value tn_jinja_item(tn_jinja_run *run, tn_jinja_value object, tn_jinja_value key);
tn_jinja_value tn_jinja_arithmetic(tn_jinja_run *run, tn_str operator, tn_jinja_value a,
                                   tn_jinja_value b);

/* ---- the tables ---- */
tn_jinja_value tn_jinja_filter(tn_jinja_run *run, int32_t filter, tn_jinja_value value,
                               const tn_jinja_args *args);
bool tn_jinja_test(tn_jinja_run *run, int32_t test, tn_jinja_value value,
                   const tn_jinja_args *args);
/* The method of a value's type, -1: none. */
int32_t tn_jinja_method_find(tn_jinja_value self, tn_str name);
tn_jinja_value tn_jinja_method(tn_jinja_run *run, int32_t method, tn_jinja_value self,
                               const tn_jinja_args *args);
/* The i-th positional argument or the keyword `name`; NULL: not given. */
const tn_jinja_value *tn_jinja_arg(const tn_jinja_args *args, int32_t index, const char *name);
/* Python's "%s of %d" and "{} of {name}". */
tn_jinja_value tn_jinja_format_percent(tn_jinja_run *run, tn_str format, const tn_jinja_args *args);
tn_str tn_jinja_strip(tn_str text, const tn_str *characters, bool left, bool right);
tn_jinja_value tn_jinja_replace(tn_jinja_run *run, tn_str text, tn_str from, tn_str to,
                                int64_t count);

#endif
