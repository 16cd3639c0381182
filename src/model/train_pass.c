/* SPDX-License-Identifier: Apache-2.0 */
/* The training pass: forward and backward over B whole sequences of T tokens, for Llama and what
 * differs from it in norms, biases, activation and positions: GPT-2, Qwen 2, Gemma's norms.
 *
 * Of each layer the forward keeps what is dear to make again (the residual stream, q, k, v, the
 * attention's output, gate and up); the two norms and the activation are computed a second time in
 * the backward, which saves about two fifths of the memory for a few percent of the time. */
#include <inttypes.h>
#include <math.h>

#include "model/op_calls.h"
#include "model/rope_table.h"
#include "model/workspace.h"

#define LOGITS_KEPT_BYTES (256 << 20)

typedef struct saved_layer {
  tn_tensor x;                                  /* [N, C] the residual stream on entry */
  tn_tensor mid;                                /* [N, C] and between attention and feed-forward */
  tn_tensor x_mean, x_rstd, mid_mean, mid_rstd; /* means of LayerNorm alone */
  tn_tensor q, k, v, attended, lse;             /* q and k after rope */
  tn_tensor gate, up; /* their gradients once the backward has passed; ungated: up alone */
} saved_layer;

struct tn_train_pass {
  tn_model *model;
  tn_op_calls call;
  int64_t batch, tokens, rows; /* N = rows = batch * tokens */
  tn_workspace workspace;
  saved_layer *layers;
  tn_tensor last_x, last_mean, last_rstd; /* the residual stream behind the last layer */
  tn_tensor h;                            /* [N, C] normed: input of the linear that runs now */
  tn_tensor act;                          /* [N, F] the activation's output */
  bool keeps_logits;      /* N V is not large: they are made once, else twice, in chunks */
  tn_tensor logits;       /* [N, V]; their gradient in the backward */
  tn_tensor logits_lse;   /* [N], instead of them */
  tn_tensor dx, dh, dact; /* gradients on their way down */
  tn_tensor dq, dk, dv, dattended;
  tn_tensor ids, positions, targets, losses, dlosses;
  tn_tensor rope;
  float *host_losses;  /* [N] */
  float *host_logits;  /* where the device's memory is not the host's */
  int64_t *grad_start; /* of each parameter in the flat gradients, in elements */
  bool fresh;          /* this backward: gradients begin at zero */
  int64_t counted;     /* targets of the last forward; -1: no forward to go back from */
};

/* ---- life ---- */

static void add_matrix(tn_train_pass *p, tn_tensor *t, int64_t columns) {
  tn_workspace_add(&p->workspace, t, TN_F32, 2, (const int64_t[]){p->rows, columns});
}

static void add_vector(tn_train_pass *p, tn_tensor *t, tn_dtype dtype) {
  tn_workspace_add(&p->workspace, t, dtype, 1, &p->rows);
}

static void add_statistics(tn_train_pass *p, tn_tensor *mean, tn_tensor *rstd) {
  if (p->model->config.norm == TN_NORM_LAYER) add_vector(p, mean, TN_F32);
  add_vector(p, rstd, TN_F32);
}

static void plan_layer(tn_train_pass *p, saved_layer *s) {
  const tn_model_config *c = &p->model->config;
  add_matrix(p, &s->x, c->hidden_size);
  add_matrix(p, &s->mid, c->hidden_size);
  add_statistics(p, &s->x_mean, &s->x_rstd);
  add_statistics(p, &s->mid_mean, &s->mid_rstd);
  add_matrix(p, &s->q, c->heads * c->head_dim);
  add_matrix(p, &s->k, c->kv_heads * c->head_dim);
  add_matrix(p, &s->v, c->kv_heads * c->head_dim);
  add_matrix(p, &s->attended, c->heads * c->head_dim);
  tn_workspace_add(&p->workspace, &s->lse, TN_F32, 3,
                   (const int64_t[]){p->batch, c->heads, p->tokens});
  if (!c->ungated) add_matrix(p, &s->gate, c->intermediate_size);
  add_matrix(p, &s->up, c->intermediate_size);
}

static void plan_shared(tn_train_pass *p) {
  const tn_model_config *c = &p->model->config;
  add_matrix(p, &p->last_x, c->hidden_size);
  add_statistics(p, &p->last_mean, &p->last_rstd);
  add_matrix(p, &p->h, c->hidden_size);
  add_matrix(p, &p->act, c->intermediate_size);
  if (p->keeps_logits)
    add_matrix(p, &p->logits, c->vocab_size);
  else
    add_vector(p, &p->logits_lse, TN_F32);
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
  if (p->model->device->kind != TN_CPU && p->keeps_logits) {
    p->host_logits = tn_alloc((size_t)tn_tensor_count(&p->logits), sizeof(float));
    if (!p->host_logits) return tn_fail_memory(err, "logits", (size_t)tn_tensor_bytes(&p->logits));
  }
  if (!c->learned_positions)
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

/* What the backward pass knows. */
static tn_status check_variations(const tn_model *m, tn_error *err) {
  const tn_model_config *c = &m->config;
  bool known = c->task == TN_TASK_GENERATE && !c->encoder && c->norm_place == TN_NORM_BEFORE &&
               !c->parallel && c->qk_norm == TN_QK_NORM_NONE && !c->scale_by_layer &&
               c->attention_softcap == 0 && c->logit_softcap == 0 && !c->embedding_scaled &&
               !c->embedding_norm && c->token_types == 0 && c->position_offset == 0 &&
               c->rope.kind != TN_ROPE_LONGROPE && c->experts == 0;
  for (int64_t i = 0; i < c->layers && known; i++) known = tn_model_config_window(c, i) == 0;
  if (known) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "training pass: a %s model is not supported, only those of the form of Llama, "
                 "Qwen 2 and GPT-2",
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
  p->keeps_logits = rows <= LOGITS_KEPT_BYTES / (int64_t)sizeof(float) / model->config.vocab_size;
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

static float attention_scale(const tn_train_pass *p) {
  const tn_model_config *c = &p->model->config;
  return c->attention_scale != 0 ? (float)c->attention_scale : 1.0f / sqrtf((float)c->head_dim);
}

static tn_status attend(tn_train_pass *p, saved_layer *s, tn_error *err) {
  int64_t D = p->model->config.head_dim;
  const tn_attention_args args = {.out = tn_view_sequences(s->attended, p->batch, D),
                                  .lse = s->lse,
                                  .q = tn_view_sequences(s->q, p->batch, D),
                                  .k = tn_view_sequences(s->k, p->batch, D),
                                  .v = tn_view_sequences(s->v, p->batch, D),
                                  .scale = attention_scale(p)};
  return p->call.ops->attention(p->call.stream, &args, err);
}

/* y = x w^T and, where the model has one, its bias */
static tn_status project(tn_train_pass *p, int64_t layer, tn_layer_weight_id weight,
                         tn_layer_weight_id bias, tn_tensor y, tn_tensor x, tn_error *err) {
  const tn_model *m = p->model;
  TN_TRY(tn_call_linear(&p->call, y, x, tn_layer_tensor(m, layer, weight), false, err));
  return tn_call_bias(&p->call, m, y, tn_layer_weight_place(m, layer, bias), err);
}

/* h = norm(x) of a layer */
static tn_status norm(tn_train_pass *p, int64_t layer, tn_layer_weight_id weight, tn_tensor x,
                      tn_tensor mean, tn_tensor rstd, tn_error *err) {
  const tn_model *m = p->model; /* a norm's bias follows its weight */
  int64_t place = tn_layer_weight_place(m, layer, weight);
  int64_t bias = tn_layer_weight_place(m, layer, (tn_layer_weight_id)(weight + 1));
  return tn_call_norm(&p->call, m, p->h, x, place, bias, mean, rstd, err);
}

static tn_status forward_attention(tn_train_pass *p, int64_t layer, tn_error *err) {
  const tn_model *m = p->model;
  const tn_op_calls *c = &p->call;
  saved_layer *s = &p->layers[layer];
  TN_TRY(norm(p, layer, TN_W_INPUT_NORM, s->x, s->x_mean, s->x_rstd, err));
  TN_TRY(project(p, layer, TN_W_Q, TN_W_Q_BIAS, s->q, p->h, err));
  TN_TRY(project(p, layer, TN_W_K, TN_W_K_BIAS, s->k, p->h, err));
  TN_TRY(project(p, layer, TN_W_V, TN_W_V_BIAS, s->v, p->h, err));
  if (!m->config.learned_positions) {
    TN_TRY(tn_call_rope(c, m, s->q, p->rope, p->positions, err));
    TN_TRY(tn_call_rope(c, m, s->k, p->rope, p->positions, err));
  }
  TN_TRY(attend(p, s, err));
  TN_TRY(project(p, layer, TN_W_O, TN_W_O_BIAS, s->mid, s->attended, err));
  return tn_call_add(c, s->mid, s->x, err);
}

static tn_status forward_feed_forward(tn_train_pass *p, int64_t layer, tn_tensor out,
                                      tn_error *err) {
  const tn_model *m = p->model;
  const tn_op_calls *c = &p->call;
  saved_layer *s = &p->layers[layer];
  TN_TRY(norm(p, layer, TN_W_POST_NORM, s->mid, s->mid_mean, s->mid_rstd, err));
  if (!m->config.ungated) TN_TRY(project(p, layer, TN_W_GATE, TN_W_GATE_BIAS, s->gate, p->h, err));
  TN_TRY(project(p, layer, TN_W_UP, TN_W_UP_BIAS, s->up, p->h, err));
  TN_TRY(tn_call_activation(c, m, p->act, s->gate, s->up, err));
  TN_TRY(project(p, layer, TN_W_DOWN, TN_W_DOWN_BIAS, out, p->act, err));
  return tn_call_add(c, out, s->mid, err);
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
  TN_TRY(tn_call_norm(c, m, p->h, p->last_x, tn_final_norm_place(m),
                      tn_global_place(m, TN_G_FINAL_NORM_BIAS), p->last_mean, p->last_rstd, err));
  tn_tensor head = m->parameters[tn_head_place(m)].tensor;
  if (!p->keeps_logits) {
    const tn_linear_cross_entropy_args args = {
        .loss = p->losses, .lse = p->logits_lse, .x = p->h, .w = head, .targets = p->targets};
    return c->ops->linear_cross_entropy(c->stream, &args, err);
  }
  TN_TRY(tn_call_linear(c, p->logits, p->h, head, false, err));
  const tn_cross_entropy_args args = {
      .loss = p->losses, .logits = p->logits, .targets = p->targets};
  TN_TRY(c->ops->cross_entropy(c->stream, &args, err));
  if (!p->host_logits) return TN_OK;
  return tn_from_device(c->stream, p->host_logits, &p->logits, tn_tensor_count(&p->logits), err);
}

static tn_status embed(tn_train_pass *p, tn_error *err) {
  const tn_model *m = p->model;
  tn_tensor x = p->layers[0].x;
  TN_TRY(tn_call_gather(&p->call, x, m->parameters[tn_global_place(m, TN_G_EMBED)].tensor, p->ids,
                        err));
  if (!m->config.learned_positions) return TN_OK;
  TN_TRY(tn_call_gather(&p->call, p->h, m->parameters[tn_global_place(m, TN_G_POSITIONS)].tensor,
                        p->positions, err));
  return tn_call_add(&p->call, x, p->h, err);
}

tn_status tn_train_pass_forward(tn_train_pass *pass, const int32_t *ids, const int32_t *targets,
                                double *loss, int64_t *counted, tn_error *err) {
  tn_train_pass *p = pass;
  int64_t layers = p->model->config.layers;
  p->counted = -1;
  TN_TRY(check_tokens(p, ids, targets, err));
  TN_TRY(tn_to_device(p->call.stream, &p->ids, ids, p->rows, err));
  TN_TRY(tn_to_device(p->call.stream, &p->targets, targets, p->rows, err));
  TN_TRY(embed(p, err));
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
  if (!pass->keeps_logits) return NULL;
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
  const tn_linear_backward_weight_args weight = {
      .dw = grad_of(p, grads, place), .dy = dy, .x = x, .accumulate = !p->fresh};
  const tn_linear_backward_input_args input = {
      .dx = dx, .dy = dy, .w = p->model->parameters[place].tensor, .accumulate = accumulate};
  TN_TRY(ops->linear_backward_weight(p->call.stream, &weight, err));
  return ops->linear_backward_input(p->call.stream, &input, err);
}

/* The gradient of a bias, which is the sum of dy over its rows; place -1: there is none */
static tn_status backward_bias(tn_train_pass *p, const tn_tensor *grads, int64_t place,
                               tn_tensor dy, tn_error *err) {
  if (place < 0) return TN_OK;
  const tn_bias_backward_args args = {.dx = dy, .dbias = grad_of(p, grads, place), .dy = dy};
  return p->call.ops->bias_backward(p->call.stream, &args, err);
}

/* Back through project(). */
static tn_status backward_project(tn_train_pass *p, const tn_tensor *grads, int64_t layer,
                                  tn_layer_weight_id weight, tn_layer_weight_id bias, tn_tensor dy,
                                  tn_tensor x, tn_tensor dx, bool accumulate, tn_error *err) {
  const tn_model *m = p->model;
  TN_TRY(backward_bias(p, grads, tn_layer_weight_place(m, layer, bias), dy, err));
  return backward_linear(p, grads, tn_layer_weight_place(m, layer, weight), dy, x, dx, accumulate,
                         err);
}

/* dx += the way through the norm, whose output's gradient is dh.  bias: -1 with RMSNorm. */
static tn_status backward_norm(tn_train_pass *p, const tn_tensor *grads, int64_t weight,
                               int64_t bias, tn_tensor x, tn_tensor mean, tn_tensor rstd,
                               tn_error *err) {
  const tn_model *m = p->model;
  if (m->config.norm == TN_NORM_LAYER) {
    const tn_layernorm_backward_args args = {.dx = p->dx,
                                             .dweight = grad_of(p, grads, weight),
                                             .dbias = grad_of(p, grads, bias),
                                             .dy = p->dh,
                                             .x = x,
                                             .weight = m->parameters[weight].tensor,
                                             .mean = mean,
                                             .rstd = rstd};
    return p->call.ops->layernorm_backward(p->call.stream, &args, err);
  }
  const tn_rmsnorm_backward_args args = {.dx = p->dx,
                                         .dweight = grad_of(p, grads, weight),
                                         .dy = p->dh,
                                         .x = x,
                                         .weight = m->parameters[weight].tensor,
                                         .rstd = rstd,
                                         .weight_offset = m->config.norm_adds_one ? 1.0f : 0.0f};
  return p->call.ops->rmsnorm_backward(p->call.stream, &args, err);
}

/* Back through norm(). */
static tn_status backward_layer_norm(tn_train_pass *p, const tn_tensor *grads, int64_t layer,
                                     tn_layer_weight_id weight, tn_tensor x, tn_tensor mean,
                                     tn_tensor rstd, tn_error *err) {
  int64_t place = tn_layer_weight_place(p->model, layer, weight);
  int64_t bias = tn_layer_weight_place(p->model, layer, (tn_layer_weight_id)(weight + 1));
  return backward_norm(p, grads, place, bias, x, mean, rstd, err);
}

static tn_status send_loss_grads(tn_train_pass *p, double grad_scale, tn_error *err) {
  float each = p->counted > 0 ? (float)(grad_scale / (double)p->counted) : 0.0f;
  const tn_fill_args fill = {.x = p->dlosses, .value = each};
  return p->call.ops->fill(p->call.stream, &fill, err);
}

/* dh and the head's gradient; h still holds the final norm's output from the forward. */
static tn_status backward_logits(tn_train_pass *p, const tn_tensor *grads, tn_error *err) {
  int64_t head = tn_head_place(p->model);
  if (!p->keeps_logits) {
    const tn_linear_cross_entropy_backward_args args = {.dx = p->dh,
                                                        .dw = grad_of(p, grads, head),
                                                        .dloss = p->dlosses,
                                                        .x = p->h,
                                                        .w = p->model->parameters[head].tensor,
                                                        .lse = p->logits_lse,
                                                        .targets = p->targets};
    return p->call.ops->linear_cross_entropy_backward(p->call.stream, &args, err);
  }
  const tn_cross_entropy_backward_args loss = {
      .dlogits = p->logits, .dloss = p->dlosses, .logits = p->logits, .targets = p->targets};
  TN_TRY(p->call.ops->cross_entropy_backward(p->call.stream, &loss, err));
  return backward_linear(p, grads, head, p->logits, p->h, p->dh, false, err);
}

static tn_status backward_head(tn_train_pass *p, const tn_tensor *grads, double grad_scale,
                               tn_error *err) {
  const tn_model *m = p->model;
  const tn_fill_args zero = {.x = tn_view_flat(p->dx), .value = 0.0f};
  TN_TRY(send_loss_grads(p, grad_scale, err));
  TN_TRY(backward_logits(p, grads, err));
  TN_TRY(p->call.ops->fill(p->call.stream, &zero, err));
  return backward_norm(p, grads, tn_final_norm_place(m), tn_global_place(m, TN_G_FINAL_NORM_BIAS),
                       p->last_x, p->last_mean, p->last_rstd, err);
}

/* In place of gate and up, from the gradient of the activation's output. */
static tn_status backward_activation(tn_train_pass *p, saved_layer *s, tn_error *err) {
  const tn_model_config *c = &p->model->config;
  if (c->ungated) {
    const tn_activate_backward_args args = {
        .dx = s->up, .dy = p->dact, .x = s->up, .activation = (int32_t)c->activation};
    return p->call.ops->activate_backward(p->call.stream, &args, err);
  }
  const tn_glu_backward_args args = {.dgate = s->gate,
                                     .dup = s->up,
                                     .dy = p->dact,
                                     .gate = s->gate,
                                     .up = s->up,
                                     .activation = (int32_t)c->activation};
  return p->call.ops->glu_backward(p->call.stream, &args, err);
}

/* On entry dx is the gradient of the layer's output, on return that of `mid`. */
static tn_status backward_feed_forward(tn_train_pass *p, const tn_tensor *grads, int64_t layer,
                                       tn_error *err) {
  const tn_model *m = p->model;
  saved_layer *s = &p->layers[layer];
  bool gated = !m->config.ungated;
  TN_TRY(tn_call_activation(&p->call, m, p->act, s->gate, s->up, err));
  TN_TRY(backward_project(p, grads, layer, TN_W_DOWN, TN_W_DOWN_BIAS, p->dx, p->act, p->dact, false,
                          err));
  TN_TRY(backward_activation(p, s, err));
  TN_TRY(norm(p, layer, TN_W_POST_NORM, s->mid, s->mid_mean, s->mid_rstd, err));
  if (gated)
    TN_TRY(backward_project(p, grads, layer, TN_W_GATE, TN_W_GATE_BIAS, s->gate, p->h, p->dh, false,
                            err));
  TN_TRY(backward_project(p, grads, layer, TN_W_UP, TN_W_UP_BIAS, s->up, p->h, p->dh, gated, err));
  return backward_layer_norm(p, grads, layer, TN_W_POST_NORM, s->mid, s->mid_mean, s->mid_rstd,
                             err);
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
                                           .scale = attention_scale(p)};
  TN_TRY(p->call.ops->attention_backward(p->call.stream, &args, err));
  if (p->model->config.learned_positions) return TN_OK;
  TN_TRY(backward_rope(p, p->dq, err));
  return backward_rope(p, p->dk, err);
}

/* On entry dx is the gradient of `mid`, on return that of the layer's input. */
static tn_status backward_attention(tn_train_pass *p, const tn_tensor *grads, int64_t layer,
                                    tn_error *err) {
  saved_layer *s = &p->layers[layer];
  TN_TRY(backward_project(p, grads, layer, TN_W_O, TN_W_O_BIAS, p->dx, s->attended, p->dattended,
                          false, err));
  TN_TRY(backward_attend(p, s, err));
  TN_TRY(norm(p, layer, TN_W_INPUT_NORM, s->x, s->x_mean, s->x_rstd, err));
  TN_TRY(backward_project(p, grads, layer, TN_W_Q, TN_W_Q_BIAS, p->dq, p->h, p->dh, false, err));
  TN_TRY(backward_project(p, grads, layer, TN_W_K, TN_W_K_BIAS, p->dk, p->h, p->dh, true, err));
  TN_TRY(backward_project(p, grads, layer, TN_W_V, TN_W_V_BIAS, p->dv, p->h, p->dh, true, err));
  return backward_layer_norm(p, grads, layer, TN_W_INPUT_NORM, s->x, s->x_mean, s->x_rstd, err);
}

/* dx is the gradient of what embed() made. */
static tn_status backward_embed(tn_train_pass *p, const tn_tensor *grads, tn_error *err) {
  const tn_model *m = p->model;
  tn_embed_backward_args args = {
      .dtable = grad_of(p, grads, tn_global_place(m, TN_G_EMBED)), .dout = p->dx, .ids = p->ids};
  TN_TRY(p->call.ops->embed_backward(p->call.stream, &args, err));
  if (!m->config.learned_positions) return TN_OK;
  args.dtable = grad_of(p, grads, tn_global_place(m, TN_G_POSITIONS));
  args.ids = p->positions;
  return p->call.ops->embed_backward(p->call.stream, &args, err);
}

/* Of a fresh backward: the gradients that are added to, which are those of all but linear layers'
 * matrices, and among these a tied head's is written first. */
static tn_status clear_gradients(tn_train_pass *p, const tn_tensor *grads, tn_error *err) {
  const tn_model *m = p->model;
  for (int64_t i = 0; i < m->parameter_count; i++) {
    bool table = i == tn_global_place(m, TN_G_EMBED) || i == tn_global_place(m, TN_G_POSITIONS);
    bool written = m->parameters[i].tensor.rank == 2 && !table;
    if (i == tn_head_place(m) ? p->keeps_logits : written) continue;
    const tn_fill_args zero = {.x = tn_view_flat(grad_of(p, grads, i)), .value = 0};
    TN_TRY(p->call.ops->fill(p->call.stream, &zero, err));
  }
  return TN_OK;
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
                                 bool fresh, tn_error *err) {
  tn_train_pass *p = pass;
  TN_TRY(check_backward(p, grads, err));
  p->fresh = fresh;
  if (fresh) TN_TRY(clear_gradients(p, grads, err));
  TN_TRY(backward_head(p, grads, grad_scale, err));
  p->counted = -1;
  for (int64_t i = p->model->config.layers - 1; i >= 0; i--) {
    TN_TRY(backward_feed_forward(p, grads, i, err));
    TN_TRY(backward_attention(p, grads, i, err));
  }
  TN_TRY(backward_embed(p, grads, err));
  return tn_stream_synchronize(p->call.stream, err);
}
