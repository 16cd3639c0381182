/* json.h - strict JSON (RFC 8259): a parser into an arena, and a writer.
 *
 * The parser takes exactly one value with white space around it.  It refuses what the RFC refuses
 * (trailing commas, comments, NaN, leading zeros, raw control characters, invalid UTF-8, lone
 * surrogates) and has limits for depth and bytes.  Nodes and unescaped strings live in the caller's
 * arena; a string without escapes points into the input, which must outlive the tree. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_JSON_H
#define TN_BASE_JSON_H
#include "base/mem.h"
#include "base/str.h"

typedef enum tn_json_kind {
  TN_JSON_NULL,
  TN_JSON_BOOL,
  TN_JSON_NUMBER,
  TN_JSON_STRING,
  TN_JSON_ARRAY,
  TN_JSON_OBJECT,
} tn_json_kind;

typedef struct tn_json {
  tn_json_kind kind;
  bool is_integer;       /* NUMBER: no fraction or exponent, and fits int64_t */
  bool boolean;          /* BOOL */
  tn_str key;            /* when a member of an object */
  tn_str text;           /* STRING: the unescaped bytes (may hold NUL); NUMBER: as written */
  int64_t integer;       /* NUMBER when is_integer */
  double number;         /* NUMBER: correctly rounded; +-inf when out of range */
  struct tn_json *first; /* ARRAY, OBJECT: first child in input order */
  struct tn_json *next;  /* sibling */
  int64_t count;         /* ARRAY, OBJECT: number of children */
} tn_json;

typedef struct tn_json_options { /* zero: the default */
  int32_t depth_max;             /* default 512 */
  bool unique_keys; /* a repeated key is an error; else tn_json_get finds its last value */
} tn_json_options;

/* Errors name line, column and what was expected: "line 3, column 14: expected ',' or '}'". */
TN_NODISCARD tn_status tn_json_parse(tn_json **out, tn_arena *arena, tn_str text,
                                     const tn_json_options *options, tn_error *err);

const tn_json *tn_json_get(const tn_json *object, const char *key); /* NULL: none, or no object */
const tn_json *tn_json_at(const tn_json *array, int64_t index);     /* walks; NULL when outside */

/* Typed members of an object.  Absent: *out keeps its value, TN_OK.  Present with another type or
 * out of range: TN_ERR_DATA naming the key, the wanted and the found type.  JSON null counts as
 * absent. */
TN_NODISCARD tn_status tn_json_get_i64(const tn_json *object, const char *key, int64_t min,
                                       int64_t max, int64_t *out, tn_error *err);
TN_NODISCARD tn_status tn_json_get_f64(const tn_json *object, const char *key, double *out,
                                       tn_error *err);
TN_NODISCARD tn_status tn_json_get_bool(const tn_json *object, const char *key, bool *out,
                                        tn_error *err);
TN_NODISCARD tn_status tn_json_get_str(const tn_json *object, const char *key, tn_str *out,
                                       tn_error *err);
const char *tn_json_kind_name(tn_json_kind kind); /* "object", "number" ... */

/* What a backslash and `c` stand for ('n': a line end); 0: no such escape, or one of \u. */
char tn_json_plain_escape(char c);

/* Writes JSON text into a tn_strbuf; commas, escapes and indentation are its business.  Misuse (a
 * value without a key inside an object) is a programming error and asserts. */
typedef struct tn_json_writer {
  tn_strbuf *out;
  int32_t indent;     /* spaces a level; 0: one line */
  int64_t not_finite; /* counts what was written as null because JSON has no such number */
  int32_t depth;      /* private from here */
  bool has_items;     /* of the innermost open level; every level around it has one: that level */
  bool after_key;
  uint64_t objects; /* bit a level: an object, not an array; only for asserts */
} tn_json_writer;

void tn_json_begin_object(tn_json_writer *w);
void tn_json_end_object(tn_json_writer *w);
void tn_json_begin_array(tn_json_writer *w);
void tn_json_end_array(tn_json_writer *w);
void tn_json_key(tn_json_writer *w, const char *key);
void tn_json_key_str(tn_json_writer *w, tn_str key);
void tn_json_str(tn_json_writer *w, tn_str value); /* invalid UTF-8 becomes U+FFFD */
void tn_json_cstr(tn_json_writer *w, const char *value);
void tn_json_i64(tn_json_writer *w, int64_t value);
void tn_json_u64(tn_json_writer *w, uint64_t value);
void tn_json_f64(tn_json_writer *w, double value); /* shortest that reads back; inf, nan: null */
void tn_json_bool(tn_json_writer *w, bool value);
void tn_json_null(tn_json_writer *w);
void tn_json_raw(tn_json_writer *w, tn_str json); /* already JSON */
void tn_json_copy(tn_json_writer *w, const tn_json *value);

#endif
