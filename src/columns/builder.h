/* builder.h - building arrays of any type by appending values.
 *
 * A builder is a tree as its field is: flat ones take values, nested ones close what was appended
 * to their children since the last time.  [[1, 2], null, []] of a list<int64>:
 *
 *     tn_builder *items = tn_builder_child(b, 0);
 *     append_i64(items, 1); append_i64(items, 2); end_list(b); append_null(b); end_list(b);
 *
 * Invariants: all memory is zero beyond what was appended; `valid` is NULL as long as there is no
 * null; of text and binary, offsets[length] == bytes_length.  After tn_builder_reserve(b, rows,
 * bytes) the tn_builder_put_* functions may be called for that many rows and bytes without any
 * check.
 *
 * A flat builder is unchanged by a failed append; a nested one may have children that are ahead,
 * which tn_builder_cut puts right.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_BUILDER_H
#define TN_COLUMNS_BUILDER_H
#include "columns/type.h"

typedef struct tn_builder tn_builder;

/* One builder for the field and, below it, for each child and the dictionary's values.  The
 * field may die before them. */
TN_NODISCARD tn_status tn_builder_new_field(tn_builder **out, const tn_field *field, tn_error *err);
TN_NODISCARD tn_status tn_builder_new_type(tn_builder **out, const tn_type *flat, tn_error *err);
TN_NODISCARD tn_status tn_builder_new_format(tn_builder **out, const char *flat, tn_error *err);
void tn_builder_free(tn_builder *b);
int64_t tn_builder_length(const tn_builder *b);
/* Struct: its fields.  List and map: 0, the items (a map's are structs of key and value).  Union:
 * the children in the schema's order.  Run-end: 1, the values. */
tn_builder *tn_builder_child(tn_builder *b, int64_t i);
/* The builder of a dictionary's values; the indices go into `b` itself.  NULL: no dictionary. */
tn_builder *tn_builder_dictionary(tn_builder *b);

/* ---- flat values: one of another kind than the builder's type is TN_ERR_ARGUMENT ---- */
/* At any level and of every type.  Below a null struct, fixed-size list or union each child gets a
 * placeholder of its own: null, or a zero value when its field is required.  Whether a null is
 * allowed here is not checked. */
TN_NODISCARD tn_status tn_builder_append_null(tn_builder *b, tn_error *err);
/* bool, integers, dates, times, timestamps, durations, months, and decimals of any width (the
 * unscaled value): must fit (a bug otherwise); a uint64 is given as its bit pattern. */
TN_NODISCARD tn_status tn_builder_append_i64(tn_builder *b, int64_t value, tn_error *err);
TN_NODISCARD tn_status tn_builder_append_f64(tn_builder *b, double value, tn_error *err);
/* Text and binary of every layout; for every other type of whole bytes its little-endian bytes,
 * which must be as many as the type has.  TN_ERR_LIMIT beyond the 2 GiB of int32 offsets. */
TN_NODISCARD tn_status tn_builder_append_str(tn_builder *b, tn_str value, tn_error *err);

/* ---- nested values ---- */
/* List, large list, map, list view: one value of the items appended to child 0 since the last.
 * Fixed-size list: there must be exactly its size of them. */
TN_NODISCARD tn_status tn_builder_end_list(tn_builder *b, tn_error *err);
/* Struct: every child must be one value ahead. */
TN_NODISCARD tn_status tn_builder_end_struct(tn_builder *b, tn_error *err);
/* Union: one value, the last that was appended to `child`.  The others of a sparse union get
 * placeholders. */
TN_NODISCARD tn_status tn_builder_append_union(tn_builder *b, int64_t child, tn_error *err);
/* Run-end: `count` (at least 1) rows of the value that was appended to child 1. */
TN_NODISCARD tn_status tn_builder_append_run(tn_builder *b, int64_t count, tn_error *err);

/* Forgets all rows from `rows` on, and what children have beyond: cut(b, length(b)) drops a value
 * that was left half done.  The values of a dictionary stay. */
void tn_builder_cut(tn_builder *b, int64_t rows);
/* Moves everything into *out; the builder is empty and reusable, also after a failure.  Children
 * that are ahead are cut. */
TN_NODISCARD tn_status tn_builder_finish(tn_builder *b, ArrowArray *out, tn_error *err);

/* ---- the inside, for this room's hot loops ---- */
struct tn_builder {
  int32_t bits;       /* of a flat value; 0: variable size, or nested */
  int32_t entry_bits; /* of an entry of `values`; 0: there is no such buffer */
  int64_t length, null_count, row_capacity;
  uint8_t *valid; /* NULL: no null so far */
  void *values;   /* values, bits, views, int32 or int64 offsets, type codes */
  uint8_t *bytes; /* of text and binary; zero behind bytes_length */
  int64_t bytes_length, bytes_capacity;
  void *extra;    /* sizes of list views, int32 offsets of dense unions */
  int64_t closed; /* lists: items of the child that belong to a value */
  int64_t used;   /* a dense union's child: values that rows of the union refer to */
  tn_builder **children;
  tn_builder *dictionary;
  int64_t child_count;
  int64_t row_hint, bytes_hint; /* the size of the last batch: what the next one will want */
  bool nullable;
  tn_type type; /* without the time zone */
};

/* Room for `rows` more values with `bytes` more text bytes.  TN_ERR_LIMIT when the text of one
 * array would pass 2 GiB, what int32 offsets can address.  The builder is unchanged on failure. */
TN_NODISCARD tn_status tn_builder_reserve(tn_builder *b, int64_t rows, int64_t bytes,
                                          tn_error *err);

static inline void tn_builder_mark_valid(tn_builder *b) {
  if (b->valid) b->valid[b->length >> 3] |= (uint8_t)(1u << (b->length & 7));
  b->length++;
}
static inline void tn_builder_put_bit(tn_builder *b, bool value) {
  ((uint8_t *)b->values)[b->length >> 3] |= (uint8_t)((unsigned)value << (b->length & 7));
  tn_builder_mark_valid(b);
}
static inline void tn_builder_put_i32(tn_builder *b, int32_t value) {
  ((int32_t *)b->values)[b->length] = value;
  tn_builder_mark_valid(b);
}
static inline void tn_builder_put_i64(tn_builder *b, int64_t value) {
  ((int64_t *)b->values)[b->length] = value;
  tn_builder_mark_valid(b);
}
static inline void tn_builder_put_f64(tn_builder *b, double value) {
  ((double *)b->values)[b->length] = value;
  tn_builder_mark_valid(b);
}
/* string and binary, not the large and the view layouts.  The caller has already written `count`
 * bytes at bytes + bytes_length. */
static inline void tn_builder_put_written(tn_builder *b, int64_t count) {
  b->bytes_length += count;
  ((int32_t *)b->values)[b->length + 1] = (int32_t)b->bytes_length;
  tn_builder_mark_valid(b);
}

#endif
