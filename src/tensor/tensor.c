/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <inttypes.h>

static void describe(tn_dtype dtype, int32_t rank, const int64_t *shape, tn_strbuf *out) {
  tn_strbuf_addf(out, "%s[", tn_dtype_name(dtype));
  for (int32_t i = 0; i < rank; i++) tn_strbuf_addf(out, i ? ", %" PRId64 : "%" PRId64, shape[i]);
  tn_strbuf_add(out, "]");
}

void tn_tensor_describe(const tn_tensor *t, tn_strbuf *out) {
  describe(t->dtype, t->rank, t->shape, out);
}

int64_t tn_tensor_count(const tn_tensor *t) {
  int64_t count = 1;
  for (int32_t i = 0; i < t->rank; i++) count *= t->shape[i];
  return count;
}

int64_t tn_tensor_bytes(const tn_tensor *t) {
  return tn_dtype_bytes_of(t->dtype, tn_tensor_count(t));
}

bool tn_tensor_is_contiguous(const tn_tensor *t) {
  if (tn_tensor_count(t) == 0) return true;
  int64_t stride = 1;
  for (int32_t i = t->rank - 1; i >= 0; i--) {
    if (t->shape[i] != 1 && t->strides[i] != stride) return false;
    stride *= t->shape[i];
  }
  return true;
}

/* A size of zero may stand beside sizes whose product overflows, so it is multiplied last. */
static bool count_elements(int32_t rank, const int64_t *shape, int64_t *out) {
  int64_t count = 1;
  bool empty = false;
  for (int32_t i = 0; i < rank; i++) {
    if (shape[i] == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(count, shape[i], &count)) {
      return false;
    }
  }
  *out = empty ? 0 : count;
  return true;
}

static void set_shape(tn_tensor *t, int32_t rank, const int64_t *shape) {
  int64_t stride = 1;
  t->rank = rank;
  for (int32_t i = rank - 1; i >= 0; i--) {
    t->shape[i] = shape[i];
    t->strides[i] = stride;
    stride *= shape[i] ? shape[i] : 1;
  }
}

static tn_status check_shape(tn_dtype dtype, int32_t rank, const int64_t *shape, int64_t *bytes,
                             tn_error *err) {
  if ((uint32_t)dtype >= TN_DTYPE_COUNT)
    return tn_fail(err, TN_ERR_ARGUMENT, "tensor: element type %d, there are %d", (int)dtype,
                   (int)TN_DTYPE_COUNT);
  if (rank < 0 || rank > TN_RANK_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "tensor: rank %d, limit %d", (int)rank, TN_RANK_MAX);
  for (int32_t i = 0; i < rank; i++)
    if (shape[i] < 0)
      return tn_fail(err, TN_ERR_ARGUMENT, "tensor: dimension %d is %" PRId64, (int)i, shape[i]);
  int64_t count, last = rank > 0 ? shape[rank - 1] : 1;
  if (last % tn_dtype_block(dtype) != 0)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "tensor: rows of %" PRId64 " elements, %s wants a multiple of %d", last,
                   tn_dtype_name(dtype), (int)tn_dtype_block(dtype));
  *bytes = count_elements(rank, shape, &count) ? tn_dtype_bytes_of(dtype, count) : -1;
  if (*bytes < 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "tensor: size of %d dimensions overflows 63 bits",
                   (int)rank);
  return TN_OK;
}

tn_status tn_tensor_view(tn_tensor *out, tn_buffer *buffer, int64_t offset_bytes, tn_dtype dtype,
                         int32_t rank, const int64_t *shape, tn_error *err) {
  int64_t bytes, end;
  if (!buffer) return tn_fail(err, TN_ERR_ARGUMENT, "tensor: no buffer");
  TN_TRY(check_shape(dtype, rank, shape, &bytes, err));
  if (offset_bytes < 0 || __builtin_add_overflow(offset_bytes, bytes, &end) ||
      (uint64_t)end > buffer->bytes)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "tensor: %" PRId64 " bytes at byte %" PRId64 " reach past a buffer of %zu bytes",
                   bytes, offset_bytes, buffer->bytes);
  *out = (tn_tensor){.buffer = buffer, .offset_bytes = offset_bytes, .dtype = dtype};
  set_shape(out, rank, shape);
  return TN_OK;
}

tn_status tn_tensor_reshape(tn_tensor *out, const tn_tensor *t, int32_t rank, const int64_t *shape,
                            tn_error *err) {
  int64_t bytes;
  TN_TRY(check_shape(t->dtype, rank, shape, &bytes, err));
  if (!tn_tensor_is_contiguous(t))
    return tn_fail(err, TN_ERR_ARGUMENT, "reshape: the tensor is not contiguous");
  if (bytes != tn_tensor_bytes(t))
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "reshape: the new shape has %" PRId64 " elements, the tensor %" PRId64,
                   bytes / tn_dtype_bytes(t->dtype) * tn_dtype_block(t->dtype), tn_tensor_count(t));
  *out = *t; /* out may be t */
  int64_t copy[TN_RANK_MAX];
  for (int32_t i = 0; i < rank; i++) copy[i] = shape[i];
  set_shape(out, rank, copy);
  return TN_OK;
}

tn_tensor tn_tensor_rows(const tn_tensor *t, int64_t start, int64_t count) {
  tn_tensor rows = *t;
  rows.offset_bytes += tn_dtype_bytes_of(t->dtype, start * t->strides[0]);
  rows.shape[0] = count;
  return rows;
}
