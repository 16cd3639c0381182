/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/activations.h"

static void round_row(const tn_grid *grid, const float *x, float *out, int64_t count) {
  tn_grid_scale s = tn_grid_fit_weights(grid, x, count);
  for (int64_t i = 0; i < count; i++) out[i] = tn_grid_value(grid, s, tn_grid_code(grid, s, x[i]));
}

static tn_status make_room(tn_activations *a, size_t bytes, tn_error *err) {
  if (a->buffer && a->buffer->bytes >= bytes) return TN_OK;
  tn_activations_clear(a);
  return tn_buffer_new(&a->buffer, bytes, err);
}

tn_status tn_activations_round(void *context, int64_t weight, tn_tensor *x, tn_error *err) {
  tn_activations *a = context;
  if (!a->quantized->tensors[weight].is_quantized) return TN_OK;
  const tn_grid grid = {
      .is_float = a->is_float, .bits = 8, .symmetric = true, .scale_dtype = TN_F32};
  TN_TRY(make_room(a, (size_t)tn_tensor_bytes(x), err));
  const float *in = tn_tensor_data(x);
  float *out = a->buffer->data;
  int64_t columns = x->shape[1];
  for (int64_t r = 0; r < x->shape[0]; r++)
    round_row(&grid, in + r * columns, out + r * columns, columns);
  x->buffer = a->buffer;
  x->offset_bytes = 0;
  return TN_OK;
}

void tn_activations_clear(tn_activations *a) {
  tn_buffer_drop(a->buffer);
  a->buffer = NULL;
}
