/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rope_table.h"

#include <math.h>

#include "model/workspace.h"

static void fill_column(float *table, int64_t positions, int64_t head_dim, int64_t i,
                        double theta) {
  int64_t half = head_dim / 2;
  double frequency = pow(theta, -2.0 * (double)i / (double)head_dim);
  for (int64_t p = 0; p < positions; p++) {
    double angle = (double)p * frequency;
    table[p * head_dim + i] = (float)cos(angle);
    table[p * head_dim + half + i] = (float)sin(angle);
  }
}

tn_status tn_rope_table_new(tn_tensor *out, const tn_model_config *config, int64_t positions,
                            tn_stream *stream, tn_error *err) {
  const int64_t shape[2] = {positions, config->head_dim};
  size_t bytes = (size_t)(positions * config->head_dim) * sizeof(float);
  tn_buffer *host = NULL, *buffer = NULL;
  TN_TRY(tn_buffer_new(&host, bytes, err));
  for (int64_t i = 0; i < config->head_dim / 2; i++)
    fill_column(host->data, positions, config->head_dim, i, config->rope_theta);
  if (stream->device->kind == TN_CPU) return tn_tensor_view(out, host, 0, TN_F32, 2, shape, err);
  tn_status status = tn_device_buffer_new(stream->device, &buffer, bytes, err);
  if (status == TN_OK) status = tn_tensor_view(out, buffer, 0, TN_F32, 2, shape, err);
  if (status == TN_OK) status = tn_to_device(stream, out, host->data, tn_tensor_count(out), err);
  if (status == TN_OK) status = tn_stream_synchronize(stream, err);
  tn_buffer_drop(host);
  if (status == TN_OK) return TN_OK;
  tn_buffer_drop(buffer);
  *out = (tn_tensor){0};
  return status;
}
