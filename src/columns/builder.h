/* builder.h - the inside of a tn_builder, for this room's hot loops.
 *
 * A builder holds `length` values in the Arrow layout.  Invariants: all memory is zero beyond what
 * was appended; `valid` is NULL as long as there is no null; offsets[length] == bytes_length. After
 * tn_builder_reserve(b, rows, bytes) the tn_builder_put_* functions may be called for that many
 * rows and bytes without any check.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_BUILDER_H
#define TN_COLUMNS_BUILDER_H
#include "columns/arrow.h"

struct tn_builder {
  tn_column_type type;
  int32_t bits; /* of a value, 0: string or binary */
  int64_t length, null_count, row_capacity;
  uint8_t *valid; /* NULL: no null so far */
  void *values;   /* values, bits, or int32 offsets */
  uint8_t *bytes; /* of strings */
  int64_t bytes_length, bytes_capacity;
  int64_t row_hint, bytes_hint; /* the size of the last batch: what the next one will want */
};

/* Room for `rows` more values with `bytes` more string bytes.  TN_ERR_LIMIT when the strings of one
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
/* The caller has already written `count` bytes at bytes + bytes_length. */
static inline void tn_builder_put_written(tn_builder *b, int64_t count) {
  b->bytes_length += count;
  ((int32_t *)b->values)[b->length + 1] = (int32_t)b->bytes_length;
  tn_builder_mark_valid(b);
}

#endif
