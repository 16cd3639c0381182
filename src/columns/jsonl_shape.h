/* jsonl_shape.h - what values were seen at each place of a JSON table, and the schema that follows.
 *
 * A shape stands for one place ("a.b", "a.item"): the kinds of values seen there as bits.  Joining
 * two shapes is or and and of bits, so the order of blocks decides nothing but the order of keys,
 * which is that of first appearance.  Shapes live in an arena.
 *
 * tn_jsonl_keys finds a member by its key; both the inference and the parser try the key that
 * followed last time first, as raw bytes with quotes and colon.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_JSONL_SHAPE_H
#define TN_COLUMNS_JSONL_SHAPE_H
#include "base/mem.h"
#include "base/str.h"
#include "columns/arrow.h"

typedef struct tn_jsonl_key {
  tn_str text;               /* without escapes */
  tn_str literal;            /* "\"text\":" as it stands in most files; data NULL: never so */
  uint64_t word[2], mask[2]; /* the literal's first 16 bytes, to compare at once */
  uint32_t hash;
} tn_jsonl_key;

typedef struct tn_jsonl_keys { /* all zero: empty */
  tn_jsonl_key *items;
  int32_t count, capacity;
  int32_t *table; /* of table_size (a power of two): index + 1; NULL: few keys, looked at in turn */
  int32_t table_size;
} tn_jsonl_keys;

/* Adds a key that is not there yet; its text is copied.  TN_ERR_MEMORY. */
TN_NODISCARD tn_status tn_jsonl_keys_add(tn_jsonl_keys *keys, tn_arena *arena, tn_str text,
                                         tn_error *err);
int32_t tn_jsonl_keys_find(const tn_jsonl_keys *keys, tn_str text); /* -1: none */

enum { /* kinds of values seen */
       TN_JSONL_SEEN_NULL = 1,
       TN_JSONL_SEEN_BOOL = 2,
       TN_JSONL_SEEN_INT = 4,      /* fits int64 */
       TN_JSONL_SEEN_NEGATIVE = 8, /* an INT below zero */
       TN_JSONL_SEEN_BIG = 16,     /* fits uint64, not int64 */
       TN_JSONL_SEEN_HUGE = 32,    /* whole, fits neither */
       TN_JSONL_SEEN_REAL = 64,    /* with a point or an exponent; -0 */
       TN_JSONL_SEEN_BEYOND = 128, /* a number that double cannot hold */
       TN_JSONL_SEEN_TEXT = 256,
       TN_JSONL_SEEN_OBJECT = 512,
       TN_JSONL_SEEN_ARRAY = 1024,
       TN_JSONL_SEEN_OPAQUE = 2048, /* an object with too many keys, or nested too deep */
};

typedef struct tn_jsonl_shape tn_jsonl_shape;
struct tn_jsonl_shape {
  uint32_t seen;
  uint32_t text_kinds; /* TN_CSV_DATE ...: what every string here may be */
  tn_jsonl_keys keys;  /* of objects */
  tn_jsonl_shape **members;
  int32_t member_capacity;
  tn_jsonl_shape *item; /* of arrays */
  bool root;            /* the rows themselves: never opaque */
};

enum { TN_JSONL_SHAPE_DEPTH_MAX = 60 };

tn_jsonl_shape *tn_jsonl_shape_new(tn_arena *arena, bool dates); /* NULL: out of memory */
/* The member of that key, made when it is new. */
TN_NODISCARD tn_status tn_jsonl_shape_member(tn_jsonl_shape *shape, tn_arena *arena, tn_str key,
                                             bool dates, int32_t *index, tn_error *err);
/* Joins `from` into `into`; an empty `into` becomes a copy. */
TN_NODISCARD tn_status tn_jsonl_shape_join(tn_jsonl_shape *into, tn_arena *arena,
                                           const tn_jsonl_shape *from, bool dates, tn_error *err);
/* The record-batch schema of a root shape. */
TN_NODISCARD tn_status tn_jsonl_shape_schema(const tn_jsonl_shape *root, ArrowSchema *out,
                                             tn_error *err);

#endif
