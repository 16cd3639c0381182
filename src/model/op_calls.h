/* op_calls.h - the few operations that both passes call all the time, and views of their operands.
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
  return m->parameters[tn_layer_weight_place(layer, id)].tensor;
}

#endif
