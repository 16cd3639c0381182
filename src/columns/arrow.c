/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/arrow.h"

#include <string.h>

#include "columns/array.h"
#include "columns/parquet/bits.h"

void tn_array_clear(ArrowArray *array) {
  if (array && array->release) array->release(array);
}

tn_status tn_batch_new(ArrowArray *out, ArrowArray *children, int64_t count, int64_t rows,
                       tn_error *err) {
  memset(out, 0, sizeof *out);
  for (int64_t i = 0; i < count; i++)
    if (children[i].length != rows)
      return tn_fail(err, TN_ERR_ARGUMENT, "record batch of %lld rows: column %lld has %lld",
                     (long long)rows, (long long)i, (long long)children[i].length);
  tn_buffer *const no_validity[] = {NULL};
  tn_array_parts parts = {.length = rows,
                          .buffers = no_validity,
                          .buffer_count = 1,
                          .children = children,
                          .child_count = count};
  return tn_array_make(out, &parts, err);
}

int64_t tn_array_null_count(const ArrowArray *a) {
  if (a->null_count >= 0) return a->null_count;
  const uint8_t *valid = a->n_buffers > 0 ? a->buffers[0] : NULL;
  return valid ? a->length - tn_bits_count(valid, a->offset, a->length) : 0;
}
