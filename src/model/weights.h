/* weights.h - the inside of a tn_model: which parameter is which.  Private to model/.
 *
 * Parameters are numbered: the embedding table, then TN_LAYER_WEIGHTS of each layer in the order of
 * tn_layer_weight_id, then the final norm, then the head when it is not tied. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WEIGHTS_H
#define TN_MODEL_WEIGHTS_H
#include "model/transformer.h"

typedef enum tn_layer_weight_id {
  TN_W_INPUT_NORM,
  TN_W_Q,
  TN_W_K,
  TN_W_V,
  TN_W_O,
  TN_W_POST_NORM,
  TN_W_GATE,
  TN_W_UP,
  TN_W_DOWN,
  TN_LAYER_WEIGHTS
} tn_layer_weight_id;

struct tn_model {
  tn_model_config config;
  tn_device *device;
  tn_parameter *parameters;
  int64_t parameter_count;
  tn_arena names;
  tn_tensor flat;      /* buffer NULL: an opened, read-only model */
  tn_buffer **buffers; /* what the parameters lie in; one reference each */
  size_t buffer_count, buffer_capacity;
};

/* Names and shapes of all parameters; no tensor has a buffer yet. */
TN_NODISCARD tn_status tn_model_new_shapes(tn_model **out, const tn_model_config *config,
                                           tn_device *device, tn_error *err);
/* Takes over one reference of `buffer`, also when it fails. */
TN_NODISCARD tn_status tn_model_own_buffer(tn_model *model, tn_buffer *buffer, tn_error *err);

static inline int64_t tn_layer_weight_place(int64_t layer, tn_layer_weight_id id) {
  return 1 + layer * TN_LAYER_WEIGHTS + id;
}
static inline int64_t tn_final_norm_place(const tn_model *m) {
  return tn_layer_weight_place(m->config.layers, TN_W_INPUT_NORM);
}
static inline int64_t tn_head_place(const tn_model *m) { /* the embedding table when tied */
  return m->config.tied ? 0 : tn_final_norm_place(m) + 1;
}

#endif
