/* weights.h - the inside of a tn_model: which parameter is which.  Private to model/.
 *
 * Parameters are numbered: what lies in front of the layers, then each layer's weights in the order
 * of tn_layer_weight_id and its experts (gate, up, down of each), then what lies behind.  A model
 * has some of them; `places` says which. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WEIGHTS_H
#define TN_MODEL_WEIGHTS_H
#include "model/architecture.h"
#include "model/transformer.h"

enum { TN_LAYER_EXPERTS = TN_LAYER_WEIGHTS, TN_LAYER_PLACES }; /* the first expert's gate */

typedef enum tn_weight_start {                    /* of tn_model_init */
                               TN_START_PLAIN,    /* matrices normal, vectors zero */
                               TN_START_RESIDUAL, /* normal, smaller: writes into the residual
                                                     stream */
                               TN_START_ONE
} tn_weight_start;

/* How the file has a parameter: whole, or a part of the tensor `name`. */
typedef struct tn_origin {
  const char *name; /* with the prefix that tn_architecture_prefix gives */
  tn_weight_form form;
  int32_t part, parts;
  int64_t first_row, rows_total; /* of the part, of all parts: [out] */
  tn_weight_start start;
} tn_origin;

struct tn_model {
  tn_model_config config;
  tn_device *device;
  tn_dtype kv_dtype; /* that its file wants keys and values held in; F32: it says nothing */
  tn_parameter *parameters;
  tn_origin *origins; /* of each parameter */
  int64_t parameter_count;
  int64_t *places; /* [TN_GLOBAL_WEIGHTS + layers * TN_LAYER_PLACES]; -1: it has no such weight */
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

/* -1: this model has no such weight */
static inline int64_t tn_global_place(const tn_model *m, tn_global_weight_id id) {
  return m->places[id];
}
static inline int64_t tn_layer_weight_place(const tn_model *m, int64_t layer,
                                            tn_layer_weight_id id) {
  return m->places[TN_GLOBAL_WEIGHTS + layer * TN_LAYER_PLACES + id];
}
static inline int64_t tn_expert_place(const tn_model *m, int64_t layer, int64_t expert,
                                      tn_expert_weight_id id) {
  return m->places[TN_GLOBAL_WEIGHTS + layer * TN_LAYER_PLACES + TN_LAYER_EXPERTS] +
         expert * TN_EXPERT_WEIGHTS + id;
}
static inline int64_t tn_final_norm_place(const tn_model *m) {
  return m->places[TN_G_FINAL_NORM];
}
static inline int64_t tn_head_place(const tn_model *m) { /* the embedding table when tied */
  return m->places[m->config.tied ? TN_G_EMBED : TN_G_HEAD];
}

#endif
