/* slots.h - the Arrow array of one leaf while it is being read.
 *
 * A slot is a place of the array: a value, or a null of the leaf or of a struct around it.  Values
 * are appended densely behind the slots that are there and then moved to their own places:
 *
 *     valid  1 0 1 1 0 1        values  a b c d . .   -->   a 0 b c 0 d
 *
 * Bytes beyond a null are zero.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SLOTS_H
#define TN_COLUMNS_PARQUET_SLOTS_H
#include "columns/array.h"
#include "columns/parquet/bytes.h"
#include "columns/parquet/interner.h"
#include "columns/parquet/schema.h"
#include "columns/parquet/spare.h"

typedef struct tn_parquet_slots { /* all zero is valid for clear */
  const tn_parquet_leaf *leaf;
  tn_parquet_spare *spare;       /* where memory comes from and goes to; NULL: malloc */
  tn_parquet_interner *interner; /* of a dictionary: values of batches before; NULL: none */
  int64_t count, nulls;
  tn_parquet_bytes valid;  /* a bit a slot, when leaf->max_def > 0 */
  tn_parquet_bytes values; /* values, bits, or count + 1 int32 ends of bytes */
  tn_parquet_bytes data;   /* those bytes */
} tn_parquet_slots;

void tn_parquet_slots_start(tn_parquet_slots *s, const tn_parquet_leaf *leaf); /* keeps no memory */
void tn_parquet_slots_clear(tn_parquet_slots *s);
/* Room for `extra` more slots. */
TN_NODISCARD tn_status tn_parquet_slots_reserve(tn_parquet_slots *s, int64_t extra, tn_error *err);
/* `slots` more, of which `values` have a value: those were written densely from slot s->count on,
 * and the bits of `valid` say which are theirs (not looked at when all have one). */
void tn_parquet_slots_add(tn_parquet_slots *s, int64_t slots, int64_t values);
/* Where values begin that are appended: of fixed width, and the ends of bytes. */
static inline uint8_t *tn_parquet_slots_fixed(tn_parquet_slots *s) {
  return s->values.data + s->count * s->leaf->width;
}
static inline int32_t *tn_parquet_slots_ends(tn_parquet_slots *s) {
  return (int32_t *)(void *)s->values.data + s->count + 1;
}
/* Is it kept as ends and bytes? */
static inline bool tn_parquet_slots_are_bytes(const tn_parquet_leaf *leaf) {
  return leaf->form == TN_PARQUET_FORM_BYTES || leaf->form == TN_PARQUET_FORM_BIG_BYTES;
}
/* The finished array; the slots are empty then, also after a failure. */
TN_NODISCARD tn_status tn_parquet_slots_finish(tn_parquet_slots *s, ArrowArray *out, tn_error *err);

#endif
