/* layer_weights.h - the weights of one layer while it is quantized, by the roles that their names
 * give them, and scales moved from one to another.
 *
 *     input_layernorm -> q_proj k_proj v_proj     v_proj -> o_proj
 *     post_attention_layernorm -> gate_proj up_proj     up_proj -> down_proj
 *
 * Experts of a mixture are linears too, in the names of their own; nothing is folded into them,
 * since the norm before them belongs to all of them and to the router.
 *
 * GPT-NeoX has other names (attention.query_key_value, mlp.dense_h_to_4h ...) and no gate: its
 * norms take scales with their biases, its up_proj, behind which is no product, takes none.
 *
 * Folding scales s into a site multiplies the columns of its linears by s and divides the outputs
 * of what stands before them: the layer computes the same function.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_LAYER_WEIGHTS_H
#define TN_QUANT_LAYER_WEIGHTS_H
#include "model/transformer.h"
#include "model/weight_source.h"
#include "quant/calibration.h"

typedef struct tn_layer_tensor_copy {
  int64_t place;    /* in tn_model_parameters */
  const char *name; /* behind the layer's prefix: "self_attn.q_proj.weight", also where a file holds
                     * q, k and v in one tensor or has another name */
  const char *file_name; /* as tn_model_parameters has it, with the part: "...qkv_proj.weight[0]" */
  bool is_linear;        /* to be quantized */
  bool is_changed;       /* no longer what the file holds */
  tn_dtype file_dtype;   /* as the file holds it */
  int64_t rows, columns;
  tn_tensor before;    /* what the model had */
  tn_tensor became;    /* what the model has, while the original is in its place */
  tn_buffer *original; /* float32 of a linear as it was kept; NULL: not kept */
  tn_buffer *buffer; /* float32 [rows, columns], in the model's place; whoever takes it sets NULL */
} tn_layer_tensor_copy;

typedef struct tn_layer_weights { /* all zero is valid and empty */
  tn_model *model;
  int64_t layer;
  bool is_original; /* kept weights are in the model */
  tn_layer_tensor_copy *tensors;
  int32_t count;
  size_t capacity;
} tn_layer_weights;

/* Refuses a model that is not quantized here, or already is, before any work is done; path is for
 * the message. */
TN_NODISCARD tn_status tn_layer_weights_check(const tn_model *model, const char *path,
                                              tn_error *err);
/* Whether the layer has a linear that is quantized: known by name, and of no ignored name (as in
 * tn_layer_weights_load). */
bool tn_layer_has_linears(const tn_model *model, int64_t layer, const char *const *ignore,
                          int32_t ignore_count);
/* TN_ERR_UNSUPPORTED names a layer none of whose linears are known; TN_ERR_ARGUMENT where all of
 * all layers are ignored. */
TN_NODISCARD tn_status tn_layer_linears_check(const tn_model *model, const char *const *ignore,
                                              int32_t ignore_count, tn_error *err);
/* Copies the layer's weights out of the files as float32 and puts the copies into the model.
 * `ignore` (count of them): linears whose names contain one of these stay as they are. */
TN_NODISCARD tn_status tn_layer_weights_load(tn_layer_weights *l, tn_model *model,
                                             tn_weight_source *source, int64_t layer,
                                             const char *const *ignore, int32_t ignore_count,
                                             tn_error *err);
/* Puts back what the model had, but for tensors whose buffer was taken. */
void tn_layer_weights_clear(tn_layer_weights *l);
tn_layer_tensor_copy *tn_layer_weights_at(tn_layer_weights *l, int64_t place); /* NULL: none */
/* Keeps a second copy of the linears as they are now, and puts the kept ones into the model or what
 * has become of them since. */
TN_NODISCARD tn_status tn_layer_weights_keep(tn_layer_weights *l, tn_error *err);
void tn_layer_weights_use(tn_layer_weights *l, bool original);
static inline float *tn_layer_data(const tn_layer_tensor_copy *t) {
  return t->buffer->data;
}

/* Whether scales can be folded into the site: something stands before it that can take them.  For
 * the outputs of attention *run and *share say which of its columns come from one output (heads of
 * a group read one value head); else they are 1. */
bool tn_layer_can_fold(tn_layer_weights *l, const tn_site *site, int64_t *run, int64_t *share);
/* Folds scales[columns] in.  What a norm takes is rounded to the type of its file first and the
 * scales corrected by that, so the function stays the same; scales holds them afterwards. */
void tn_layer_fold(tn_layer_weights *l, const tn_site *site, float *scales);
#endif
