/* SPDX-License-Identifier: Apache-2.0 */
/* The training pass: forward and backward over B whole sequences of T tokens.
 *
 * Of each layer the forward keeps what is dear to make again (the residual stream, q, k, v, the
 * attention's output, gate and up); the two norms and swiglu are computed a second time in the
 * backward, which saves about two fifths of the memory for a few percent of the time. */
#include <inttypes.h>
#include <math.h>

#include "model/op_calls.h"
#include "model/rope_table.h"
#include "model/workspace.h"

typedef struct saved_layer {
  tn_tensor x;   /* [N, C] the residual stream on entry */
  tn_tensor mid; /* [N, C] and between attention and feed-forward */
  tn_tensor x_rstd, mid_rstd;
  tn_tensor q, k, v, attended, lse; /* q and k after rope */
  tn_tensor gate, up;               /* their gradients once the backward has passed */
} saved_layer;

struct tn_train_pass {
  tn_model *model;
  tn_op_calls call;
  int64_t batch, tokens, rows; /* N = rows = batch * tokens */
  tn_workspace workspace;
  saved_layer *layers;
  tn_tensor last_x, last_rstd; /* the residual stream behind the last layer */
  tn_tensor h;                 /* [N, C] normed: input of the linear that runs now */
  tn_tensor act;               /* [N, F] swiglu's output */
  tn_tensor logits;            /* [N, V]; their gradient in the backward */
  tn_tensor dx, dh, dact;      /* gradients on their way down */
  tn_tensor dq, dk, dv, dattended;
  tn_tensor ids, positions, targets, losses, dlosses;
  tn_tensor rope;
  float *host_losses;  /* [N] */
  float *host_logits;  /* where the device's memory is not the host's */
  int64_t *grad_start; /* of each parameter in the flat gradients, in elements */
  int64_t counted;     /* targets of the last forward; -1: no forward to go back from */
};

/* ---- life ---- */

static void add_matrix(tn_train_pass *p, tn_tensor *t, int64_t columns) {
  tn_workspace_add(&p->workspace, t, TN_F32, 2, (const int64_t[]){p->rows, columns});
}

static void add_vector(tn_train_pass *p, tn_tensor *t, tn_dtype dtype) {
  tn_workspace_add(&p->workspace, t, dtype, 1, &p->rows);
}

static void plan_layer(tn_train_pass *p, saved_layer *s) {
  const tn_model_config *c = &p->model->config;
  add_matrix(p, &s->x, c->hidden_size);
  add_matrix(p, &s->mid, c->hidden_size);
  add_vector(p, &s->x_rstd, TN_F32);
  add_vector(p, &s->mid_rstd, TN_F32);
  add_matrix(p, &s->q, c->heads * c->head_dim);
  add_matrix(p, &s->k, c->kv_heads * c->head_dim);
  add_matrix(p, &s->v, c->kv_heads * c->head_dim);
  add_matrix(p, &s->attended, c->heads * c->head_dim);
  tn_workspace_add(&p->workspace, &s->lse, TN_F32, 3,
                   (const int64_t[]){p->batch, c->heads, p->tokens});
  add_matrix(p, &s->gate, c->intermediate_size);
  add_matrix(p, &s->up, c->intermediate_size);
}

static void plan_shared(tn_train_pass *p) {
  const tn_model_config *c = &p->model->config;
  add_matrix(p, &p->last_x, c->hidden_size);
  add_vector(p, &p->last_rstd, TN_F32);
  add_matrix(p, &p->h, c->hidden_size);
  add_matrix(p, &p->act, c->intermediate_size);
  add_matrix(p, &p->logits, c->vocab_size);
  add_matrix(p, &p->dx, c->hidden_size);
  add_matrix(p, &p->dh, c->hidden_size);
  add_matrix(p, &p->dact, c->intermediate_size);
  add_matrix(p, &p->dq, c->heads * c->head_dim);
  add_matrix(p, &p->dk, c->kv_heads * c->head_dim);
  add_matrix(p, &p->dv, c->kv_heads * c->head_dim);
  add_matrix(p, &p->dattended, c->heads * c->head_dim);
  add_vector(p, &p->ids, TN_I32);
  add_vector(p, &p->positions, TN_I32);
  add_vector(p, &p->targets, TN_I32);
  add_vector(p, &p->losses, TN_F32);
  add_vector(p, &p->dlosses, TN_F32);
}

static tn_status send_positions(tn_train_pass *p, tn_error *err) {
  int32_t *positions = tn_alloc((size_t)p->rows, sizeof *positions);
  if (!positions) return tn_fail_memory(err, "positions", (size_t)p->rows * sizeof *positions);
  for (int64_t i = 0; i < p->rows; i++) positions[i] = (int32_t)(i % p->tokens);
  tn_status status = tn_to_device(p->call.stream, &p->positions, positions, p->rows, err);
  if (status == TN_OK) status = tn_stream_synchronize(p->call.stream, err);
  tn_free(positions);
  return status;
}

static tn_status allocate_host(tn_train_pass *p, tn_error *err) {
  const tn_model *m = p->model;
  p->layers = tn_alloc((size_t)m->config.layers, sizeof *p->layers);
  p->grad_start = tn_alloc((size_t)m->parameter_count, sizeof *p->grad_start);
  p->host_losses = tn_alloc((size_t)p->rows, sizeof *p->host_losses);
  if (!p->layers || !p->grad_start || !p->host_losses)
    return tn_fail_memory(err, "a training pass", (size_t)p->rows * sizeof *p->host_losses);
  for (int64_t i = 1; i < m->parameter_count; i++)
    p->grad_start[i] = p->grad_start[i - 1] + tn_tensor_count(&m->parameters[i - 1].tensor);
  return TN_OK;
}

static tn_status allocate(tn_train_pass *p, tn_error *err) {
  const tn_model_config *c = &p->model->config;
  TN_TRY(allocate_host(p, err));
  for (int64_t i = 0; i < c->layers; i++) plan_layer(p, &p->layers[i]);
  plan_shared(p);
  TN_TRY(tn_workspace_allocate(&p->workspace, p->model->device, "a training pass", err));
  if (p->model->device->kind != TN_CPU) {
    p->host_logits = tn_alloc((size_t)tn_tensor_count(&p->logits), sizeof(float));
    if (!p->host_logits) return tn_fail_memory(err, "logits", (size_t)tn_tensor_bytes(&p->logits));
  }
  TN_TRY(tn_rope_table_new(&p->rope, c, (tn_rope_options){0}, p->tokens, p->call.stream, err));
  return send_positions(p, err);
}

static tn_status check_size(const tn_model *m, int64_t batch, int64_t tokens, int64_t *rows,
                            tn_error *err) {
  if (batch < 1 || tokens < 1 || __builtin_mul_overflow(batch, tokens, rows) || *rows > INT32_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "training pass: %" PRId64 " sequences of %" PRId64
                   " tokens, must be 1 to %d tokens in all",
                   batch, tokens, INT32_MAX);
  if (tokens > m->config.positions_max)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "training pass: sequences of %" PRId64
                   " tokens, the model's max_position_embeddings is %" PRId64,
                   tokens, m->config.positions_max);
  return TN_OK;
}

/* The backward pass knows Llama's arithmetic. */
static tn_status check_variations(const tn_model *m, tn_error *err) {
  const tn_model_config *c = &m->config;
  bool plain = c->task == TN_TASK_GENERATE && c->norm == TN_NORM_RMS && !c->encoder &&
               c->norm_place == TN_NORM_BEFORE && !c->norm_adds_one && !c->parallel &&
               c->activation == TN_ACT_SILU && !c->ungated && !c->qkv_bias && !c->o_bias &&
               !c->feed_forward_bias && c->qk_norm == TN_QK_NORM_NONE && c->attention_scale == 0 &&
               c->attention_softcap == 0 && c->logit_softcap == 0 && !c->embedding_scaled &&
               c->rotary_dim == c->head_dim && c->rope.kind != TN_ROPE_LONGROPE && c->experts == 0;
  for (int64_t i = 0; i < c->layers && plain; i++) plain = tn_model_config_window(c, i) == 0;
  if (plain) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "training pass: a %s model is not supported, only those of Llama's form",
                 tn_architecture_of(c->arch)->model_type);
}

tn_status tn_train_pass_new(tn_train_pass **out, tn_model *model, tn_stream *stream, int64_t batch,
                            int64_t tokens, tn_error *err) {
  int64_t rows = 0;
  TN_TRY(check_variations(model, err));
  TN_TRY(check_size(model, batch, tokens, &rows, err));
  tn_train_pass *p = tn_alloc(1, sizeof *p);
  if (!p) return tn_fail_memory(err, "a training pass", sizeof *p);
  p->model = model;
  p->call = (tn_op_calls){tn_ops_for(model->device), stream};
  p->batch = batch;
  p->tokens = tokens;
  p->rows = rows;
  p->counted = -1;
  tn_status status = allocate(p, err);
  if (status != TN_OK) {
    tn_train_pass_free(p);
    return status;
  }
  *out = p;
  return TN_OK;
}

void tn_train_pass_free(tn_train_pass *pass) {
  if (!pass) return;
  tn_workspace_clear(&pass->workspace);
  tn_buffer_drop(pass->rope.buffer);
  tn_free(pass->layers);
  tn_free(pass->grad_start);
  tn_free(pass->host_losses);
  tn_free(pass->host_logits);
  tn_free(pass);
}

int64_t tn_train_pass_bytes(const tn_train_pass *pass) {
  int64_t bytes = pass->workspace.bytes + tn_tensor_bytes(&pass->rope);
  bytes += pass->rows * (int64_t)sizeof(float);
  return pass->host_logits ? bytes + tn_tensor_bytes(&pass->logits) : bytes;
}

/* ---- forward ---- */

static tn_status attend(tn_train_pass *p, saved_layer *s, tn_error *err) {
  int64_t D = p->model->config.head_dim;
  const tn_attention_args args = {.out = tn_view_sequences(s->attended, p->batch, D),
                                  .lse = s->lse,
                                  .q = tn_view_sequences(s->q, p->batch, D),
                                  .k = tn_view_sequences(s->k, p->batch, D),
                                  .v = tn_view_sequences(s->v, p->batch, D),
                                  .scale = 1.0f / sqrtf((float)D)};
  return p->call.ops->attention(p->call.stream, &args, err);
}

/* sum += x */
static tn_status add_into(tn_train_pass *p, tn_tensor sum, tn_tensor x, tn_error *err) {
  tn_tensor y = tn_view_flat(sum);
  const tn_add_args args = {.y = y, .a = y, .b = tn_view_flat(x)};
  return p->call.ops->add(p->call.stream, &args, err);
}

static tn_status forward_attention(tn_train_pass *p, int64_t layer, tn_error *err) {
  const tn_model *m = p->model;
  const tn_op_calls *c = &p->call;
  saved_layer *s = &p->layers[layer];
  TN_TRY(tn_call_rmsnorm(c, m, p->h, s->x_rstd, s->x, tn_layer_tensor(m, layer, TN_W_INPUT_NORM),
                         err));
  TN_TRY(tn_call_linear(c, s->q, p->h, tn_layer_tensor(m, layer, TN_W_Q), false, err));
  TN_TRY(tn_call_linear(c, s->k, p->h, tn_layer_tensor(m, layer, TN_W_K), false, err));
  TN_TRY(tn_call_linear(c, s->v, p->h, tn_layer_tensor(m, layer, TN_W_V), false, err));
  TN_TRY(tn_call_rope(c, m, s->q, p->rope, p->positions, err));
  TN_TRY(tn_call_rope(c, m, s->k, p->rope, p->positions, err));
  TN_TRY(attend(p, s, err));
  TN_TRY(tn_call_linear(c, s->mid, s->attended, tn_layer_tensor(m, layer, TN_W_O), false, err));
  return add_into(p, s->mid, s->x, err);
}

static tn_status forward_feed_forward(tn_train_pass *p, int64_t layer, tn_tensor out,
                                      tn_error *err) {
  const tn_model *m = p->model;
  const tn_op_calls *c = &p->call;
  saved_layer *s = &p->layers[layer];
  TN_TRY(tn_call_rmsnorm(c, m, p->h, s->mid_rstd, s->mid, tn_layer_tensor(m, layer, TN_W_POST_NORM),
                         err));
  TN_TRY(tn_call_linear(c, s->gate, p->h, tn_layer_tensor(m, layer, TN_W_GATE), false, err));
  TN_TRY(tn_call_linear(c, s->up, p->h, tn_layer_tensor(m, layer, TN_W_UP), false, err));
  TN_TRY(tn_call_swiglu(c, p->act, s->gate, s->up, err));
  TN_TRY(tn_call_linear(c, out, p->act, tn_layer_tensor(m, layer, TN_W_DOWN), false, err));
  return add_into(p, out, s->mid, err);
}

/* The mean in double, over the targets that count. */
static tn_status read_loss(tn_train_pass *p, const int32_t *targets, double *loss, tn_error *err) {
  TN_TRY(tn_from_device(p->call.stream, p->host_losses, &p->losses, p->rows, err));
  double sum = 0;
  int64_t counted = 0;
  for (int64_t i = 0; i < p->rows; i++) {
    if (targets[i] < 0) continue;
    sum += p->host_losses[i];
    counted++;
  }
  *loss = counted ? sum / (double)counted : 0.0;
  p->counted = counted;
  return TN_OK;
}

static tn_status check_tokens(const tn_train_pass *p, const int32_t *ids, const int32_t *targets,
                              tn_error *err) {
  int64_t vocab = p->model->config.vocab_size;
  for (int64_t i = 0; i < p->rows; i++) {
    if (ids[i] < 0 || ids[i] >= vocab)
      return tn_fail(err, TN_ERR_ARGUMENT,
                     "training pass: token %d at place %" PRId64 ", the vocabulary has %" PRId64,
                     ids[i], i, vocab);
    if (targets[i] >= vocab)
      return tn_fail(err, TN_ERR_ARGUMENT,
                     "training pass: target %d at place %" PRId64 ", the vocabulary has %" PRId64,
                     targets[i], i, vocab);
  }
  return TN_OK;
}

static tn_status forward_head(tn_train_pass *p, tn_error *err) {
  const tn_model *m = p->model;
  const tn_op_calls *c = &p->call;
  TN_TRY(tn_call_rmsnorm(c, m, p->h, p->last_rstd, p->last_x,
                         m->parameters[tn_final_norm_place(m)].tensor, err));
  TN_TRY(tn_call_linear(c, p->logits, p->h, m->parameters[tn_head_place(m)].tensor, false, err));
  const tn_cross_entropy_args args = {
      .loss = p->losses, .logits = p->logits, .targets = p->targets};
  TN_TRY(c->ops->cross_entropy(c->stream, &args, err));
  if (!p->host_logits) return TN_OK;
  return tn_from_device(c->stream, p->host_logits, &p->logits, tn_tensor_count(&p->logits), err);
}

tn_status tn_train_pass_forward(tn_train_pass *pass, const int32_t *ids, const int32_t *targets,
                                double *loss, int64_t *counted, tn_error *err) {
  tn_train_pass *p = pass;
  int64_t layers = p->model->config.layers;
  p->counted = -1;
  TN_TRY(check_tokens(p, ids, targets, err));
  TN_TRY(tn_to_device(p->call.stream, &p->ids, ids, p->rows, err));
  TN_TRY(tn_to_device(p->call.stream, &p->targets, targets, p->rows, err));
  TN_TRY(tn_call_gather(&p->call, p->layers[0].x, p->model->parameters[0].tensor, p->ids, err));
  for (int64_t i = 0; i < layers; i++) {
    TN_TRY(forward_attention(p, i, err));
    TN_TRY(forward_feed_forward(p, i, i + 1 < layers ? p->layers[i + 1].x : p->last_x, err));
  }
  TN_TRY(forward_head(p, err));
  TN_TRY(read_loss(p, targets, loss, err));
  if (counted) *counted = p->counted;
  return TN_OK;
}

const float *tn_train_pass_logits(const tn_train_pass *pass) {
  return pass->host_logits ? pass->host_logits : tn_tensor_data(&pass->logits);
}

/* ---- backward ---- */

/* The gradient of a parameter: its shape, in the caller's flat array. */
static tn_tensor grad_of(const tn_train_pass *p, const tn_tensor *grads, int64_t place) {
  tn_tensor g = p->model->parameters[place].tensor;
  g.buffer = grads->buffer;
  g.dtype = TN_F32;
  g.offset_bytes = grads->offset_bytes + p->grad_start[place] * (int64_t)sizeof(float);
  return g;
}

/* Both gradients of y = x w^T; dx is overwritten, or added to. */
static tn_status backward_linear(tn_train_pass *p, const tn_tensor *grads, int64_t place,
                                 tn_tensor dy, tn_tensor x, tn_tensor dx, bool accumulate,
                                 tn_error *err) {
  const tn_ops *ops = p->call.ops;
  const tn_linear_backward_weight_args weight = {.dw = grad_of(p, grads, place), .dy = dy, .x = x};
  const tn_linear_backward_input_args input = {
      .dx = dx, .dy = dy, .w = p->model->parameters[place].tensor, .accumulate = accumulate};
  TN_TRY(ops->linear_backward_weight(p->call.stream, &weight, err));
  return ops->linear_backward_input(p->call.stream, &input, err);
}

/* dx += the way through the norm, whose output's gradient is dh. */
static tn_status backward_norm(tn_train_pass *p, const tn_tensor *grads, int64_t place, tn_tensor x,
                               tn_tensor rstd, tn_error *err) {
  const tn_rmsnorm_backward_args args = {.dx = p->dx,
                                         .dweight = grad_of(p, grads, place),
                                         .dy = p->dh,
                                         .x = x,
                                         .weight = p->model->parameters[place].tensor,
                                         .rstd = rstd};
  return p->call.ops->rmsnorm_backward(p->call.stream, &args, err);
}

static tn_status send_loss_grads(tn_train_pass *p, double grad_scale, tn_error *err) {
  float each = p->counted > 0 ? (float)(grad_scale / (double)p->counted) : 0.0f;
  const tn_fill_args fill = {.x = p->dlosses, .value = each};
  return p->call.ops->fill(p->call.stream, &fill, err);
}

/* h still holds the final norm's output from the forward. */
static tn_status backward_head(tn_train_pass *p, const tn_tensor *grads, double grad_scale,
                               tn_error *err) {
  const tn_model *m = p->model;
  const tn_cross_entropy_backward_args loss = {
      .dlogits = p->logits, .dloss = p->dlosses, .logits = p->logits, .targets = p->targets};
  const tn_fill_args zero = {.x = tn_view_flat(p->dx), .value = 0.0f};
  TN_TRY(send_loss_grads(p, grad_scale, err));
  TN_TRY(p->call.ops->cross_entropy_backward(p->call.stream, &loss, err));
  TN_TRY(backward_linear(p, grads, tn_head_place(m), p->logits, p->h, p->dh, false, err));
  TN_TRY(p->call.ops->fill(p->call.stream, &zero, err));
  return backward_norm(p, grads, tn_final_norm_place(m), p->last_x, p->last_rstd, err);
}

/* On entry dx is the gradient of the layer's output, on return that of `mid`. */
static tn_status backward_feed_forward(tn_train_pass *p, const tn_tensor *grads, int64_t layer,
                                       tn_error *err) {
  const tn_model *m = p->model;
  saved_layer *s = &p->layers[layer];
  int64_t down = tn_layer_weight_place(m, layer, TN_W_DOWN);
  int64_t gate = tn_layer_weight_place(m, layer, TN_W_GATE);
  int64_t up = tn_layer_weight_place(m, layer, TN_W_UP);
  int64_t norm = tn_layer_weight_place(m, layer, TN_W_POST_NORM);
  const tn_glu_backward_args swiglu = {.dgate = s->gate,
                                       .dup = s->up,
                                       .dy = p->dact,
                                       .gate = s->gate,
                                       .up = s->up,
                                       .activation = TN_ACT_SILU};
  TN_TRY(tn_call_swiglu(&p->call, p->act, s->gate, s->up, err));
  TN_TRY(backward_linear(p, grads, down, p->dx, p->act, p->dact, false, err));
  TN_TRY(p->call.ops->glu_backward(p->call.stream, &swiglu, err));
  TN_TRY(tn_call_rmsnorm(&p->call, m, p->h, s->mid_rstd, s->mid, m->parameters[norm].tensor, err));
  TN_TRY(backward_linear(p, grads, gate, s->gate, p->h, p->dh, false, err));
  TN_TRY(backward_linear(p, grads, up, s->up, p->h, p->dh, true, err));
  return backward_norm(p, grads, norm, s->mid, s->mid_rstd, err);
}

static tn_status backward_rope(tn_train_pass *p, tn_tensor dx, tn_error *err) {
  tn_tensor heads = tn_view_heads(dx, p->model->config.head_dim);
  const tn_rope_backward_args args = {
      .dx = heads, .dy = heads, .table = p->rope, .positions = p->positions};
  return p->call.ops->rope_backward(p->call.stream, &args, err);
}

static tn_status backward_attend(tn_train_pass *p, saved_layer *s, tn_error *err) {
  int64_t D = p->model->config.head_dim, B = p->batch;
  const tn_attention_backward_args args = {.dq = tn_view_sequences(p->dq, B, D),
                                           .dk = tn_view_sequences(p->dk, B, D),
                                           .dv = tn_view_sequences(p->dv, B, D),
                                           .dout = tn_view_sequences(p->dattended, B, D),
                                           .q = tn_view_sequences(s->q, B, D),
                                           .k = tn_view_sequences(s->k, B, D),
                                           .v = tn_view_sequences(s->v, B, D),
                                           .out = tn_view_sequences(s->attended, B, D),
                                           .lse = s->lse,
                                           .scale = 1.0f / sqrtf((float)D)};
  TN_TRY(p->call.ops->attention_backward(p->call.stream, &args, err));
  TN_TRY(backward_rope(p, p->dq, err));
  return backward_rope(p, p->dk, err);
}

/* On entry dx is the gradient of `mid`, on return that of the layer's input. */
static tn_status backward_attention(tn_train_pass *p, const tn_tensor *grads, int64_t layer,
                                    tn_error *err) {
  const tn_model *m = p->model;
  saved_layer *s = &p->layers[layer];
  int64_t norm = tn_layer_weight_place(m, layer, TN_W_INPUT_NORM);
  int64_t q = tn_layer_weight_place(m, layer, TN_W_Q), k = tn_layer_weight_place(m, layer, TN_W_K);
  int64_t v = tn_layer_weight_place(m, layer, TN_W_V), o = tn_layer_weight_place(m, layer, TN_W_O);
  TN_TRY(backward_linear(p, grads, o, p->dx, s->attended, p->dattended, false, err));
  TN_TRY(backward_attend(p, s, err));
  TN_TRY(tn_call_rmsnorm(&p->call, m, p->h, s->x_rstd, s->x, m->parameters[norm].tensor, err));
  TN_TRY(backward_linear(p, grads, q, p->dq, p->h, p->dh, false, err));
  TN_TRY(backward_linear(p, grads, k, p->dk, p->h, p->dh, true, err));
  TN_TRY(backward_linear(p, grads, v, p->dv, p->h, p->dh, true, err));
  return backward_norm(p, grads, norm, s->x, s->x_rstd, err);
}

static tn_status check_backward(const tn_train_pass *p, const tn_tensor *grads, tn_error *err) {
  int64_t want = tn_model_config_parameters(&p->model->config);
  if (p->counted < 0)
    return tn_fail(err, TN_ERR_ARGUMENT, "training pass: backward without a forward before it");
  if (!grads->buffer || grads->dtype != TN_F32 || tn_tensor_count(grads) != want ||
      !tn_tensor_is_contiguous(grads))
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "training pass: gradients must be a flat float32 array of %" PRId64, want);
  return TN_OK;
}

tn_status tn_train_pass_backward(tn_train_pass *pass, const tn_tensor *grads, double grad_scale,
                                 tn_error *err) {
  tn_train_pass *p = pass;
  TN_TRY(check_backward(p, grads, err));
  TN_TRY(backward_head(p, grads, grad_scale, err));
  p->counted = -1;
  for (int64_t i = p->model->config.layers - 1; i >= 0; i--) {
    TN_TRY(backward_feed_forward(p, grads, i, err));
    TN_TRY(backward_attention(p, grads, i, err));
  }
  const tn_embed_backward_args embed = {
      .dtable = grad_of(p, grads, 0), .dout = p->dx, .ids = p->ids};
  TN_TRY(p->call.ops->embed_backward(p->call.stream, &embed, err));
  return tn_stream_synchronize(p->call.stream, err);
}
