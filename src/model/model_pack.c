/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model_pack.h"

#include "kernels/pack.h"
#include "model/weights.h"

/* 0: a vector, packed already, or of a type without a packed layout */
static int64_t bytes_of(const tn_model *model, int64_t i) {
  const tn_tensor *t = &model->parameters[i].tensor;
  if (model->device->kind != TN_CPU || t->rank != 2 || t->layout || !t->buffer) return 0;
  int64_t bytes = tn_pack_bytes(t->dtype, t->shape[0], t->shape[1]);
  return bytes > 0 ? bytes : 0;
}

int64_t tn_model_pack_bytes(const tn_model *model) {
  int64_t sum = 0;
  for (int64_t i = 0; i < model->parameter_count; i++) sum += bytes_of(model, i);
  return sum;
}

static tn_status pack_one(tn_model *model, int64_t i, tn_pool *pool, tn_error *err) {
  int64_t bytes = bytes_of(model, i);
  tn_tensor packed;
  tn_buffer *buffer;
  if (bytes == 0) return TN_OK;
  TN_TRY(tn_pack_buffer_new(&buffer, (size_t)bytes, err));
  tn_status status = tn_pack(&packed, &model->parameters[i].tensor, buffer, 0, pool, err);
  if (status != TN_OK) {
    tn_buffer_drop(buffer);
    return status;
  }
  TN_TRY(tn_model_own_buffer(model, buffer, err));
  tn_model_set_parameter(model, i, &packed);
  return TN_OK;
}

tn_status tn_model_pack(tn_model *model, tn_pool *pool, tn_error *err) {
  for (int64_t i = 0; i < model->parameter_count; i++) {
    tn_status status = pack_one(model, i, pool, err);
    if (status != TN_OK) return tn_error_context(err, status, "%s", model->parameters[i].name);
  }
  return TN_OK;
}
