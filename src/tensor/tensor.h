/* tensor.h - a typed, shaped view of a buffer.
 *
 * A tn_tensor is a value: copy it freely.  It borrows its buffer; whoever made the view makes
 * sure that the buffer lives longer.  Strides count elements; a fresh tensor is contiguous, last
 * dimension fastest.  There is no arithmetic here: that is kernels/. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TENSOR_TENSOR_H
#define TN_TENSOR_TENSOR_H
#include "base/buffer.h"
#include "tensor/dtype.h"

#define TN_RANK_MAX 6

typedef struct tn_tensor {
  tn_buffer *buffer; /* borrowed; NULL: no tensor */
  int64_t offset_bytes;
  tn_dtype dtype;
  int32_t layout; /* 0: rows as above; else a packed weight, in a layout of its device's kernels */
  int32_t rank;
  int64_t shape[TN_RANK_MAX];
  int64_t strides[TN_RANK_MAX]; /* in elements */
} tn_tensor;

static inline void *tn_tensor_data(const tn_tensor *t) {
  return (char *)t->buffer->data + t->offset_bytes;
}
int64_t tn_tensor_count(const tn_tensor *t); /* elements */
int64_t tn_tensor_bytes(const tn_tensor *t); /* of a contiguous tensor */
bool tn_tensor_is_contiguous(const tn_tensor *t);
/* A contiguous view at offset_bytes of buffer; fails when it would reach past the buffer's end or a
 * dimension is negative or the size overflows. */
TN_NODISCARD tn_status tn_tensor_view(tn_tensor *out, tn_buffer *buffer, int64_t offset_bytes,
                                      tn_dtype dtype, int32_t rank, const int64_t *shape,
                                      tn_error *err);
/* The same elements under another shape; contiguous only, of a type whose blocks are one element.
 */
TN_NODISCARD tn_status tn_tensor_reshape(tn_tensor *out, const tn_tensor *t, int32_t rank,
                                         const int64_t *shape, tn_error *err);
/* Rows [start, start + count) of the first dimension. */
tn_tensor tn_tensor_rows(const tn_tensor *t, int64_t start, int64_t count);
/* "float32[2, 128]" */
void tn_tensor_describe(const tn_tensor *t, tn_strbuf *out);

#endif
