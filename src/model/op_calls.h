/* op_calls.h - the operations that the passes call, and views of their operands.
 * Private to model/.  Everything here is a contiguous float32 activation or a weight. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_OP_CALLS_H
#define TN_MODEL_OP_CALLS_H
#include "model/weights.h"

typedef struct tn_op_calls {
  const tn_ops *ops;
  tn_stream *stream;
} tn_op_calls;

static inline tn_tensor tn_view_as(tn_tensor t, int32_t rank, const int64_t *shape) {
  int64_t stride = 1;
  t.rank = rank;
  for (int32_t d = rank - 1; d >= 0; d--) {
    t.shape[d] = shape[d];
    t.strides[d] = stride;
    stride *= shape[d];
  }
  return t;
}
/* [rows, H * D] seen as [rows, H, D] */
static inline tn_tensor tn_view_heads(tn_tensor t, int64_t head_dim) {
  return tn_view_as(t, 3, (const int64_t[]){t.shape[0], t.shape[1] / head_dim, head_dim});
}
/* [B * T, H * D] seen as [B, T, H, D] */
static inline tn_tensor tn_view_sequences(tn_tensor t, int64_t batch, int64_t head_dim) {
  return tn_view_as(t, 4,
                    (const int64_t[]){batch, t.shape[0] / batch, t.shape[1] / head_dim, head_dim});
}
static inline tn_tensor tn_view_flat(tn_tensor t) {
  return tn_view_as(t, 1, (const int64_t[]){tn_tensor_count(&t)});
}

static inline tn_status tn_call_linear(const tn_op_calls *c, tn_tensor y, tn_tensor x, tn_tensor w,
                                       bool accumulate, tn_error *err) {
  const tn_linear_args args = {.y = y, .x = x, .w = w, .accumulate = accumulate};
  return c->ops->linear(c->stream, &args, err);
}

/* y[t][k] = x[t][order[k]] */
static inline tn_status tn_call_take_columns(const tn_op_calls *c, tn_tensor y, tn_tensor x,
                                             tn_tensor order, tn_error *err) {
  const tn_take_columns_args args = {.y = y, .x = x, .order = order};
  return c->ops->take_columns(c->stream, &args, err);
}

/* In place: y[t] += the parameter at `place`; nothing for a model without it (place -1). */
static inline tn_status tn_call_bias(const tn_op_calls *c, const tn_model *m, tn_tensor y,
                                     int64_t place, tn_error *err) {
  if (place < 0) return TN_OK;
  const tn_bias_args args = {.y = y, .x = y, .bias = m->parameters[place].tensor};
  return c->ops->bias(c->stream, &args, err);
}

/* The norm that the model has; `bias` is -1 with RMSNorm.  mean and rstd: [rows] */
static inline tn_status tn_call_norm(const tn_op_calls *c, const tn_model *m, tn_tensor y,
                                     tn_tensor x, int64_t weight, int64_t bias, tn_tensor mean,
                                     tn_tensor rstd, tn_error *err) {
  float eps = (float)m->config.norm_eps;
  if (m->config.norm == TN_NORM_LAYER) {
    const tn_layernorm_args args = {.y = y,
                                    .mean = mean,
                                    .rstd = rstd,
                                    .x = x,
                                    .weight = m->parameters[weight].tensor,
                                    .bias = m->parameters[bias].tensor,
                                    .eps = eps};
    return c->ops->layernorm(c->stream, &args, err);
  }
  const tn_rmsnorm_args args = {.y = y,
                                .rstd = rstd,
                                .x = x,
                                .weight = m->parameters[weight].tensor,
                                .eps = eps,
                                .weight_offset = m->config.norm_adds_one ? 1.0f : 0.0f};
  return c->ops->rmsnorm(c->stream, &args, err);
}

/* sum += x */
static inline tn_status tn_call_add(const tn_op_calls *c, tn_tensor sum, tn_tensor x,
                                    tn_error *err) {
  tn_tensor y = tn_view_flat(sum);
  const tn_add_args args = {.y = y, .a = y, .b = tn_view_flat(x)};
  return c->ops->add(c->stream, &args, err);
}

/* x = cap tanh(x / cap), in place */
static inline tn_status tn_call_softcap(const tn_op_calls *c, tn_tensor x, double cap,
                                        tn_error *err) {
  tn_tensor flat = tn_view_flat(x);
  const tn_softcap_args args = {.y = flat, .x = flat, .cap = (float)cap};
  return c->ops->softcap(c->stream, &args, err);
}

static inline tn_status tn_call_rmsnorm(const tn_op_calls *c, const tn_model *m, tn_tensor y,
                                        tn_tensor rstd, tn_tensor x, tn_tensor weight,
                                        tn_error *err) {
  const tn_rmsnorm_args args = {
      .y = y, .rstd = rstd, .x = x, .weight = weight, .eps = (float)m->config.norm_eps};
  return c->ops->rmsnorm(c->stream, &args, err);
}

/* In place. */
static inline tn_status tn_call_rope(const tn_op_calls *c, const tn_model *m, tn_tensor x,
                                     tn_tensor table, tn_tensor positions, tn_error *err) {
  tn_tensor heads = tn_view_heads(x, m->config.head_dim);
  const tn_rope_args args = {.y = heads, .x = heads, .table = table, .positions = positions};
  return c->ops->rope(c->stream, &args, err);
}

/* y = act(gate) up, or act(up) for a model without gates; y may be up then. */
static inline tn_status tn_call_activation(const tn_op_calls *c, const tn_model *m, tn_tensor y,
                                           tn_tensor gate, tn_tensor up, tn_error *err) {
  if (m->config.ungated) {
    const tn_activate_args args = {.y = y, .x = up, .activation = (int32_t)m->config.activation};
    return c->ops->activate(c->stream, &args, err);
  }
  const tn_glu_args args = {
      .y = y, .gate = gate, .up = up, .activation = (int32_t)m->config.activation};
  return c->ops->glu(c->stream, &args, err);
}

static inline tn_status tn_call_swiglu(const tn_op_calls *c, tn_tensor y, tn_tensor gate,
                                       tn_tensor up, tn_error *err) {
  const tn_glu_args args = {.y = y, .gate = gate, .up = up, .activation = TN_ACT_SILU};
  return c->ops->glu(c->stream, &args, err);
}

/* out[t] = table[ids[t]]: the embedding, and any gathering of rows */
static inline tn_status tn_call_gather(const tn_op_calls *c, tn_tensor out, tn_tensor table,
                                       tn_tensor ids, tn_error *err) {
  const tn_embed_args args = {.out = out, .table = table, .ids = ids};
  return c->ops->embed(c->stream, &args, err);
}

static inline tn_tensor tn_layer_tensor(const tn_model *m, int64_t layer, tn_layer_weight_id id) {
  return m->parameters[tn_layer_weight_place(m, layer, id)].tensor;
}

#endif
