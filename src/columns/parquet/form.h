/* form.h - stored values to Arrow values, for the forms whose Arrow values have a fixed width.
 *
 * Encodings give values in their stored (PLAIN) form; this turns runs of them into what an Arrow
 * array holds.  A value that its declared type cannot hold is an error, never cut. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_FORM_H
#define TN_COLUMNS_PARQUET_FORM_H
#include "columns/parquet/schema.h"

/* Is an Arrow value the stored value as it is? */
static inline bool tn_parquet_form_is_same(const tn_parquet_leaf *leaf) {
  return leaf->form == TN_PARQUET_FORM_COPY;
}
/* `count` values of leaf->stored bytes each at `in`, to leaf->width bytes each at `out`. */
TN_NODISCARD tn_status tn_parquet_form_convert(const tn_parquet_leaf *leaf, const uint8_t *in,
                                               int64_t count, void *out, tn_error *err);
/* One big-endian number of `bytes` bytes as a little-endian one of `width`; false: does not fit. */
TN_NODISCARD bool tn_parquet_big_to_little(const uint8_t *in, size_t bytes, uint8_t *out,
                                           size_t width);

#endif
