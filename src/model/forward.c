/* SPDX-License-Identifier: Apache-2.0 */
/* The serving pass: rows of many sequences over paged KV, logits for the rows that want them. */
#include <inttypes.h>
#include <math.h>

#include "model/op_calls.h"
#include "model/rope_table.h"
#include "model/workspace.h"

enum { ROPE_ROWS_FIRST = 4096 }; /* the table grows when a longer sequence comes */

struct tn_forward {
  tn_model *model;
  tn_op_calls call;
  int64_t rows_max, logit_rows_max, sequences_max, blocks_max;
  int64_t width; /* of a row of logits; 0: the model has none */
  tn_workspace workspace;
  tn_tensor x, h, branch, q, k, v, attended, k_normed, gate, up, act; /* [rows_max, ...] */
  tn_tensor mean, rstd;
  tn_tensor picked, normed, pooled, logits; /* [logit_rows_max, ...] */
  tn_tensor last; /* what came out of the layers of the last run; no rows: there was none */
  tn_tensor ids, positions, sequences, slots, logit_indices, block_table;
  tn_tensor reach; /* encoder: the last position of a row's sequence */
  tn_tensor places, types;
  struct {
    tn_tensor logits, chosen, weights, rows, places, counts; /* of the router */
    tn_tensor in, gate, up, act, out;                        /* [rows_max * experts a token, ...] */
  } experts;
  tn_tensor rope, rope_local; /* [positions so far, rotary_dim], buffers of their own */
  bool rope_extended;
  tn_tensor ordered;      /* buffer NULL: no weight has an order */
  tn_forward_watch watch; /* NULL: nobody looks */
  void *watch_context;
  int64_t *last_positions; /* [sequences_max], for the check of a batch */
  int64_t *row_counts;     /* [sequences_max] */
  int32_t *host_rows;      /* [rows_max], on their way to the device */
  int32_t *host_counts;    /* [experts] */
  float *host_logits;      /* where the device's memory is not the host's */
};

/* ---- life ---- */

static void add_rows(tn_forward *f, tn_tensor *t, int64_t rows, int64_t columns) {
  tn_workspace_add(&f->workspace, t, TN_F32, 2, (const int64_t[]){rows, columns});
}

static void add_indices(tn_forward *f, tn_tensor *t, int64_t count) {
  tn_workspace_add(&f->workspace, t, TN_I32, 1, &count);
}

static void plan_experts(tn_forward *f) {
  const tn_model_config *c = &f->model->config;
  int64_t R = f->rows_max, A = c->experts_per_token, X = c->experts, F = c->expert_size;
  const int64_t choices[2] = {R, A};
  if (X == 0) return;
  add_rows(f, &f->experts.logits, R, X);
  tn_workspace_add(&f->workspace, &f->experts.chosen, TN_I32, 2, choices);
  tn_workspace_add(&f->workspace, &f->experts.weights, TN_F32, 2, choices);
  tn_workspace_add(&f->workspace, &f->experts.places, TN_I32, 2, choices);
  add_indices(f, &f->experts.rows, R * A);
  add_indices(f, &f->experts.counts, X);
  add_rows(f, &f->experts.in, R * A, c->hidden_size);
  add_rows(f, &f->experts.gate, R * A, F);
  add_rows(f, &f->experts.up, R * A, F);
  add_rows(f, &f->experts.act, R * A, F);
  add_rows(f, &f->experts.out, R * A, c->hidden_size);
}

/* Inputs of weights whose columns lie in another order. */
static void plan_ordered(tn_forward *f) {
  int64_t columns = 0,
          choices = f->model->config.experts > 0 ? f->model->config.experts_per_token : 1;
  for (int64_t i = 0; i < f->model->parameter_count; i++) {
    const tn_parameter *p = &f->model->parameters[i];
    if (p->order.buffer && p->order.shape[0] > columns) columns = p->order.shape[0];
  }
  if (columns > 0) add_rows(f, &f->ordered, f->rows_max * choices, columns);
}

static void plan_logits(tn_forward *f) {
  const tn_model_config *c = &f->model->config;
  int64_t L = f->logit_rows_max, C = c->hidden_size;
  add_rows(f, &f->picked, L, C);
  add_rows(f, &f->normed, L, C);
  if (c->task == TN_TASK_CLASSIFY) add_rows(f, &f->pooled, L, C);
  if (f->width > 0) add_rows(f, &f->logits, L, f->width);
}

static void plan_workspace(tn_forward *f) {
  const tn_model_config *c = &f->model->config;
  int64_t R = f->rows_max, L = f->logit_rows_max, C = c->hidden_size, F = c->intermediate_size;
  int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
  int64_t stats = R * (c->qk_norm == TN_QK_NORM_HEAD ? c->heads : 1);
  if (stats < L) stats = L;
  add_rows(f, &f->x, R, C);
  add_rows(f, &f->h, R, C);
  add_rows(f, &f->q, R, q);
  add_rows(f, &f->k, R, kv);
  add_rows(f, &f->v, R, kv);
  add_rows(f, &f->attended, R, q);
  if (c->qk_norm != TN_QK_NORM_NONE) add_rows(f, &f->k_normed, R, kv);
  if (c->parallel || c->norm_place != TN_NORM_BEFORE) add_rows(f, &f->branch, R, C);
  if (!c->ungated) add_rows(f, &f->gate, R, F);
  add_rows(f, &f->up, R, F);
  add_rows(f, &f->act, R, F);
  tn_workspace_add(&f->workspace, &f->mean, TN_F32, 1, &stats);
  tn_workspace_add(&f->workspace, &f->rstd, TN_F32, 1, &stats);
  plan_experts(f);
  plan_ordered(f);
  plan_logits(f);
  add_indices(f, &f->ids, R);
  add_indices(f, &f->positions, R);
  add_indices(f, &f->sequences, R);
  add_indices(f, &f->slots, R);
  add_indices(f, &f->logit_indices, L);
  if (c->encoder) add_indices(f, &f->reach, R);
  if (c->learned_positions) add_indices(f, &f->places, R);
  if (c->token_types > 0) add_indices(f, &f->types, R);
  tn_workspace_add(&f->workspace, &f->block_table, TN_I32, 2,
                   (const int64_t[]){f->sequences_max, f->blocks_max});
}

static tn_status new_rope_tables(tn_forward *f, int64_t rows, bool extended, tn_error *err) {
  const tn_model_config *c = &f->model->config;
  const tn_rope_options local = {.local = true}, global = {.extended = extended};
  tn_tensor table = {0}, table_local = {0};
  if (c->learned_positions) return TN_OK;
  TN_TRY(tn_rope_table_new(&table, c, global, rows, f->call.stream, err));
  tn_status status = TN_OK;
  if (c->rope_theta_local != 0)
    status = tn_rope_table_new(&table_local, c, local, rows, f->call.stream, err);
  if (status != TN_OK) {
    tn_buffer_drop(table.buffer);
    return status;
  }
  tn_buffer_drop(f->rope.buffer);
  tn_buffer_drop(f->rope_local.buffer);
  f->rope = table;
  f->rope_local = table_local;
  f->rope_extended = extended;
  return TN_OK;
}

static tn_status allocate_host(tn_forward *f, tn_error *err) {
  size_t sequences = (size_t)f->sequences_max, rows = (size_t)f->rows_max;
  size_t experts = (size_t)f->model->config.experts;
  f->last_positions = tn_alloc(sequences, sizeof *f->last_positions);
  f->row_counts = tn_alloc(sequences, sizeof *f->row_counts);
  f->host_rows = tn_alloc(rows, sizeof *f->host_rows);
  f->host_counts = tn_alloc(experts + 1, sizeof *f->host_counts);
  if (!f->last_positions || !f->row_counts || !f->host_rows || !f->host_counts)
    return tn_fail_memory(err, "a serving workspace", sequences * 16 + rows * 4 + experts * 4);
  if (f->model->device->kind == TN_CPU) return TN_OK;
  const tn_tensor *largest = f->width > f->model->config.hidden_size ? &f->logits : &f->normed;
  f->host_logits = tn_alloc((size_t)tn_tensor_count(largest), sizeof(float));
  if (f->host_logits) return TN_OK;
  return tn_fail_memory(err, "logits", (size_t)tn_tensor_bytes(largest));
}

static int64_t width_of(const tn_model_config *c) {
  if (c->task == TN_TASK_EMBED) return 0;
  return c->task == TN_TASK_CLASSIFY ? c->labels : c->vocab_size;
}

static tn_status allocate(tn_forward *f, tn_error *err) {
  int64_t max = f->model->config.positions_max;
  f->width = width_of(&f->model->config);
  plan_workspace(f);
  TN_TRY(tn_workspace_allocate(&f->workspace, f->model->device, "a serving workspace", err));
  TN_TRY(allocate_host(f, err));
  return new_rope_tables(f, max < ROPE_ROWS_FIRST ? max : ROPE_ROWS_FIRST, false, err);
}

static tn_status check_limit(const char *what, int64_t value, tn_error *err) {
  if (value >= 1 && value <= INT32_MAX) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "serving pass: %s is %" PRId64 ", must be 1 to %d", what,
                 value, INT32_MAX);
}

tn_status tn_forward_new(tn_forward **out, tn_model *model, tn_stream *stream, int64_t rows_max,
                         int64_t logit_rows_max, int64_t sequences_max,
                         int64_t blocks_per_sequence_max, tn_error *err) {
  TN_TRY(check_limit("rows_max", rows_max, err));
  TN_TRY(check_limit("logit_rows_max", logit_rows_max, err));
  TN_TRY(check_limit("sequences_max", sequences_max, err));
  TN_TRY(check_limit("blocks_per_sequence_max", blocks_per_sequence_max, err));
  tn_forward *f = tn_alloc(1, sizeof *f);
  if (!f) return tn_fail_memory(err, "a serving pass", sizeof *f);
  f->model = model;
  f->call = (tn_op_calls){tn_ops_for(model->device), stream};
  f->rows_max = rows_max;
  f->logit_rows_max = logit_rows_max;
  f->sequences_max = sequences_max;
  f->blocks_max = blocks_per_sequence_max;
  tn_status status = allocate(f, err);
  if (status != TN_OK) {
    tn_forward_free(f);
    return status;
  }
  *out = f;
  return TN_OK;
}

void tn_forward_free(tn_forward *f) {
  if (!f) return;
  tn_workspace_clear(&f->workspace);
  tn_buffer_drop(f->rope.buffer);
  tn_buffer_drop(f->rope_local.buffer);
  tn_free(f->last_positions);
  tn_free(f->row_counts);
  tn_free(f->host_rows);
  tn_free(f->host_counts);
  tn_free(f->host_logits);
  tn_free(f);
}

/* ---- the check of a batch: after it no op can reach outside ---- */

static tn_status fail_row(tn_error *err, int64_t row, const char *what, int64_t value,
                          int64_t limit) {
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "serving pass: row %" PRId64 ": %s %" PRId64 ", must be below %" PRId64, row, what,
                 value, limit);
}

static tn_status check_count(const char *what, int64_t value, int64_t max, tn_error *err) {
  if (value >= 0 && value <= max) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "serving pass: %s is %" PRId64 ", workspace made for %" PRId64, what, value, max);
}

static tn_status check_rows(tn_forward *f, const tn_kv_cache *kv, const tn_forward_batch *b,
                            tn_error *err) {
  const tn_model_config *c = &f->model->config;
  int64_t reach = b->blocks_per_sequence * kv->block_tokens;
  if (reach > c->positions_max) reach = c->positions_max;
  for (int64_t s = 0; s < b->sequence_count; s++) f->last_positions[s] = -1, f->row_counts[s] = 0;
  for (int64_t r = 0; r < b->rows; r++) {
    int64_t id = b->ids[r], position = b->positions[r], sequence = b->sequences[r];
    if (id < 0 || id >= c->vocab_size) return fail_row(err, r, "token", id, c->vocab_size);
    if (position < 0 || position >= reach) return fail_row(err, r, "position", position, reach);
    if (sequence < 0 || sequence >= b->sequence_count)
      return fail_row(err, r, "sequence", sequence, b->sequence_count);
    if (b->slots[r] >= kv->blocks * kv->block_tokens)
      return fail_row(err, r, "slot", b->slots[r], kv->blocks * kv->block_tokens);
    if (position > f->last_positions[sequence]) f->last_positions[sequence] = position;
    f->row_counts[sequence]++;
    if (b->types && (b->types[r] < 0 || b->types[r] >= c->token_types))
      return fail_row(err, r, "token type", b->types[r], c->token_types);
  }
  return TN_OK;
}

/* Every token of an encoder sees all others, so they must be here. */
static tn_status check_whole(const tn_forward *f, const tn_forward_batch *b, tn_error *err) {
  for (int64_t s = 0; s < b->sequence_count && f->model->config.encoder; s++)
    if (f->row_counts[s] != f->last_positions[s] + 1)
      return tn_fail(err, TN_ERR_ARGUMENT,
                     "serving pass: sequence %" PRId64 " has %" PRId64
                     " rows up to position %" PRId64 ": an encoder wants it whole",
                     s, f->row_counts[s], f->last_positions[s]);
  return TN_OK;
}

static tn_status check_blocks(const tn_forward *f, const tn_kv_cache *kv, const tn_forward_batch *b,
                              tn_error *err) {
  for (int64_t s = 0; s < b->sequence_count; s++) {
    if (f->last_positions[s] < 0) continue;
    int64_t used = f->last_positions[s] / kv->block_tokens + 1;
    const int32_t *blocks = b->block_table + s * b->blocks_per_sequence;
    for (int64_t i = 0; i < used; i++)
      if (blocks[i] < 0 || blocks[i] >= kv->blocks)
        return tn_fail(err, TN_ERR_ARGUMENT,
                       "serving pass: sequence %" PRId64 ": block %" PRId64
                       " of its table is %d, the cache has %" PRId64,
                       s, i, blocks[i], kv->blocks);
  }
  return TN_OK;
}

static tn_status check_batch(tn_forward *f, const tn_kv_cache *kv, const tn_forward_batch *b,
                             tn_error *err) {
  const tn_model_config *c = &f->model->config;
  if (kv->layers != c->layers || kv->k[0].shape[1] != c->kv_heads ||
      kv->v[0].shape[3] != c->head_dim)
    return tn_fail(err, TN_ERR_ARGUMENT, "serving pass: the KV cache is of another model");
  TN_TRY(check_count("rows", b->rows, f->rows_max, err));
  TN_TRY(check_count("logit_rows", b->logit_rows, f->logit_rows_max, err));
  TN_TRY(check_count("sequence_count", b->sequence_count, f->sequences_max, err));
  TN_TRY(check_count("blocks_per_sequence", b->blocks_per_sequence, f->blocks_max, err));
  TN_TRY(check_rows(f, kv, b, err));
  TN_TRY(check_whole(f, b, err));
  TN_TRY(check_blocks(f, kv, b, err));
  for (int64_t i = 0; i < b->logit_rows; i++)
    if (b->logit_indices[i] < 0 || b->logit_indices[i] >= b->rows)
      return fail_row(err, i, "of logits wants row", b->logit_indices[i], b->rows);
  return TN_OK;
}

/* ---- running ---- */

static tn_status grow_rope(tn_forward *f, const tn_kv_cache *kv, const tn_forward_batch *b,
                           tn_error *err) {
  const tn_model_config *c = &f->model->config;
  int64_t rows = f->rope.shape[0], need = 0, max = c->positions_max;
  int64_t reach = f->blocks_max * kv->block_tokens < max ? f->blocks_max * kv->block_tokens : max;
  bool extended = c->rope.kind == TN_ROPE_LONGROPE && reach > c->rope.original_positions;
  if (c->learned_positions) return TN_OK;
  for (int64_t s = 0; s < b->sequence_count; s++)
    if (f->last_positions[s] >= need) need = f->last_positions[s] + 1;
  if (need <= rows && extended == f->rope_extended) return TN_OK;
  while (rows < need) rows *= 2;
  return new_rope_tables(f, rows < max ? rows : max, extended, err);
}

/* What a row of the device needs beside what the caller gave. */
static tn_status send_derived(const tn_forward *f, const tn_forward_batch *b, tn_error *err) {
  const tn_model_config *c = &f->model->config;
  tn_stream *s = f->call.stream;
  if (c->encoder) {
    for (int64_t r = 0; r < b->rows; r++)
      f->host_rows[r] = (int32_t)f->last_positions[b->sequences[r]];
    TN_TRY(tn_to_device(s, &f->reach, f->host_rows, b->rows, err));
    TN_TRY(tn_stream_synchronize(s, err)); /* host_rows is used again */
  }
  if (c->learned_positions) {
    for (int64_t r = 0; r < b->rows; r++)
      f->host_rows[r] = b->positions[r] + (int32_t)c->position_offset;
    TN_TRY(tn_to_device(s, &f->places, f->host_rows, b->rows, err));
    TN_TRY(tn_stream_synchronize(s, err));
  }
  if (c->token_types == 0) return TN_OK;
  for (int64_t r = 0; r < b->rows; r++) f->host_rows[r] = b->types ? b->types[r] : 0;
  TN_TRY(tn_to_device(s, &f->types, f->host_rows, b->rows, err));
  return tn_stream_synchronize(s, err);
}

static tn_status send_batch(const tn_forward *f, const tn_forward_batch *b, tn_error *err) {
  tn_stream *s = f->call.stream;
  TN_TRY(tn_to_device(s, &f->ids, b->ids, b->rows, err));
  TN_TRY(tn_to_device(s, &f->positions, b->positions, b->rows, err));
  TN_TRY(tn_to_device(s, &f->sequences, b->sequences, b->rows, err));
  TN_TRY(tn_to_device(s, &f->slots, b->slots, b->rows, err));
  TN_TRY(tn_to_device(s, &f->logit_indices, b->logit_indices, b->logit_rows, err));
  TN_TRY(send_derived(f, b, err));
  return tn_to_device(s, &f->block_table, b->block_table,
                      b->sequence_count * b->blocks_per_sequence, err);
}

/* The workspace cut to the rows of one batch. */
typedef struct rows_view {
  int64_t count;
  tn_tensor x, h, branch, q, k, v, attended, k_normed, gate, up, act;
  tn_tensor ids, positions, sequences, slots, reach, places, types, block_table;
} rows_view;

static tn_tensor cut(const tn_tensor *t, int64_t rows) {
  return t->buffer ? tn_tensor_rows(t, 0, rows) : *t;
}

static rows_view cut_rows(const tn_forward *f, const tn_forward_batch *b) {
  int64_t R = b->rows;
  tn_tensor positions = cut(&f->positions, R);
  return (rows_view){
      .count = R,
      .x = cut(&f->x, R),
      .h = cut(&f->h, R),
      .branch = cut(&f->branch, R),
      .q = cut(&f->q, R),
      .k = cut(&f->k, R),
      .v = cut(&f->v, R),
      .attended = cut(&f->attended, R),
      .k_normed = cut(&f->k_normed, R),
      .gate = cut(&f->gate, R),
      .up = cut(&f->up, R),
      .act = cut(&f->act, R),
      .ids = cut(&f->ids, R),
      .positions = positions,
      .sequences = cut(&f->sequences, R),
      .slots = cut(&f->slots, R),
      .reach = f->model->config.encoder ? cut(&f->reach, R) : positions,
      .places = cut(&f->places, R),
      .types = cut(&f->types, R),
      .block_table = tn_view_as(f->block_table, 2,
                                (const int64_t[]){b->sequence_count, b->blocks_per_sequence}),
  };
}

static void swap(tn_tensor *a, tn_tensor *b) {
  tn_tensor t = *a;
  *a = *b;
  *b = t;
}

/* y = norm(x); weight and bias are places of parameters. */
static tn_status norm(const tn_forward *f, tn_tensor y, tn_tensor x, int64_t weight, int64_t bias,
                      tn_error *err) {
  int64_t rows = y.shape[0];
  return tn_call_norm(&f->call, f->model, y, x, weight, bias, cut(&f->mean, rows),
                      cut(&f->rstd, rows), err);
}

static tn_status norm_layer(const tn_forward *f, tn_tensor y, tn_tensor x, int64_t layer,
                            tn_layer_weight_id weight, tn_error *err) {
  const tn_model *m = f->model; /* a norm's bias follows its weight */
  return norm(f, y, x, tn_layer_weight_place(m, layer, weight),
              tn_layer_weight_place(m, layer, (tn_layer_weight_id)(weight + 1)), err);
}

/* y = W x, or y += */
static tn_status run_linear(const tn_forward *f, tn_tensor y, tn_tensor x, int64_t place,
                            bool accumulate, tn_error *err) {
  if (f->watch) TN_TRY(f->watch(f->watch_context, place, &x, err));
  const tn_parameter *p = &f->model->parameters[place];
  if (p->order.buffer) {
    const int64_t shape[2] = {x.shape[0], x.shape[1]};
    tn_tensor ordered = tn_view_as(f->ordered, 2, shape);
    TN_TRY(tn_call_take_columns(&f->call, ordered, x, p->order, err));
    x = ordered;
  }
  return tn_call_linear(&f->call, y, x, p->tensor, accumulate, err);
}

/* y = W x + b; places of parameters, bias -1: none */
typedef struct projection {
  tn_tensor y;
  int64_t weight, bias;
} projection;

static projection projection_of(const tn_forward *f, tn_tensor y, int64_t layer,
                                tn_layer_weight_id weight, tn_layer_weight_id bias) {
  return (projection){y, tn_layer_weight_place(f->model, layer, weight),
                      tn_layer_weight_place(f->model, layer, bias)};
}

/* Products of two or three weights with one x. */
static tn_status multiply_together(const tn_forward *f, tn_tensor x, const projection *p,
                                   int32_t count, tn_error *err) {
  tn_tensor w[3] = {{0}};
  for (int32_t i = 0; i < count; i++) w[i] = f->model->parameters[p[i].weight].tensor;
  const tn_linear_pair_args pair = {.y0 = p[0].y, .y1 = p[1].y, .x = x, .w0 = w[0], .w1 = w[1]};
  if (count == 2) return f->call.ops->linear_pair(f->call.stream, &pair, err);
  const tn_linear_triple_args triple = {
      .y0 = p[0].y, .y1 = p[1].y, .y2 = p[2].y, .x = x, .w0 = w[0], .w1 = w[1], .w2 = w[2]};
  return f->call.ops->linear_triple(f->call.stream, &triple, err);
}

/* p: two or three, of one x */
static tn_status project_together(const tn_forward *f, tn_tensor x, const projection *p,
                                  int32_t count, tn_error *err) {
  bool alone = f->watch; /* which may exchange the x of one of them */
  for (int32_t i = 0; i < count; i++)
    alone = alone || f->model->parameters[p[i].weight].order.buffer;
  if (!alone) TN_TRY(multiply_together(f, x, p, count, err));
  for (int32_t i = 0; i < count; i++) {
    if (alone) TN_TRY(run_linear(f, p[i].y, x, p[i].weight, false, err));
    TN_TRY(tn_call_bias(&f->call, f->model, p[i].y, p[i].bias, err));
  }
  return TN_OK;
}

/* y = W x + b, or y += */
static tn_status project(const tn_forward *f, tn_tensor y, tn_tensor x, int64_t layer,
                         tn_layer_weight_id weight, tn_layer_weight_id bias, bool accumulate,
                         tn_error *err) {
  const tn_model *m = f->model;
  TN_TRY(run_linear(f, y, x, tn_layer_weight_place(m, layer, weight), accumulate, err));
  return tn_call_bias(&f->call, m, y, tn_layer_weight_place(m, layer, bias), err);
}

/* ---- attention ---- */

static double attention_scale(const tn_model_config *c, int64_t layer) {
  double scale =
      c->attention_scale != 0 ? c->attention_scale : (double)(1.0f / sqrtf((float)c->head_dim));
  return c->scale_by_layer ? scale / (double)(layer + 1) : scale;
}

static tn_tensor rope_of(const tn_forward *f, int64_t layer) {
  const tn_model_config *c = &f->model->config;
  bool local = c->rope_theta_local != 0 && tn_layer_set_has(&c->sliding, layer);
  return local ? f->rope_local : f->rope;
}

static tn_status write_kv(const tn_forward *f, const rows_view *r, const tn_kv_cache *kv,
                          int64_t layer, tn_error *err) {
  int64_t D = f->model->config.head_dim;
  const tn_kv_write_args write = {.k_cache = kv->k[layer],
                                  .v_cache = kv->v[layer],
                                  .k_scale = kv->k_scale[layer],
                                  .v_scale = kv->v_scale[layer],
                                  .k = tn_view_heads(r->k, D),
                                  .v = tn_view_heads(r->v, D),
                                  .slots = r->slots};
  return f->call.ops->kv_write(f->call.stream, &write, err);
}

static tn_status attend(tn_forward *f, const rows_view *r, const tn_kv_cache *kv, int64_t layer,
                        tn_error *err) {
  const tn_model_config *c = &f->model->config;
  int64_t D = c->head_dim;
  const tn_attention_paged_args attention = {.out = tn_view_heads(r->attended, D),
                                             .q = tn_view_heads(r->q, D),
                                             .k_cache = kv->k[layer],
                                             .v_cache = kv->v[layer],
                                             .k_scale = kv->k_scale[layer],
                                             .v_scale = kv->v_scale[layer],
                                             .block_table = r->block_table,
                                             .row_sequence = r->sequences,
                                             .row_position = r->reach,
                                             .scale = (float)attention_scale(c, layer),
                                             .window = (int32_t)tn_model_config_window(c, layer),
                                             .softcap = (float)c->attention_softcap};
  return f->call.ops->attention_paged(f->call.stream, &attention, err);
}

/* Each head by itself, or all of a row together. */
static tn_status norm_heads(const tn_forward *f, tn_tensor y, tn_tensor x, int64_t layer,
                            tn_layer_weight_id id, tn_error *err) {
  int64_t place = tn_layer_weight_place(f->model, layer, id);
  if (f->model->config.qk_norm == TN_QK_NORM_HEAD) {
    int64_t D = f->model->config.head_dim;
    const int64_t shape[2] = {tn_tensor_count(&x) / D, D};
    y = tn_view_as(y, 2, shape);
    x = tn_view_as(x, 2, shape);
  }
  return norm(f, y, x, place, -1, err);
}

static tn_status norm_queries_and_keys(const tn_forward *f, rows_view *r, int64_t layer,
                                       tn_error *err) {
  if (f->model->config.qk_norm == TN_QK_NORM_NONE) return TN_OK;
  TN_TRY(norm_heads(f, r->attended, r->q, layer, TN_W_Q_NORM, err));
  TN_TRY(norm_heads(f, r->k_normed, r->k, layer, TN_W_K_NORM, err));
  swap(&r->attended, &r->q);
  swap(&r->k_normed, &r->k);
  return TN_OK;
}

static tn_status rotate(const tn_forward *f, const rows_view *r, int64_t layer, tn_error *err) {
  const tn_model_config *c = &f->model->config;
  if (c->learned_positions) return TN_OK;
  tn_tensor table = rope_of(f, layer);
  TN_TRY(tn_call_rope(&f->call, f->model, r->q, table, r->positions, err));
  return tn_call_rope(&f->call, f->model, r->k, table, r->positions, err);
}

/* Norms of single heads, rotation and KV write at once, where a model has nothing else there. */
static bool is_fused(const tn_model_config *c) {
  bool norms_heads = c->qk_norm == TN_QK_NORM_HEAD && c->norm == TN_NORM_RMS;
  return !c->learned_positions && (c->qk_norm == TN_QK_NORM_NONE || norms_heads);
}

static tn_tensor head_norm(const tn_forward *f, int64_t layer, tn_layer_weight_id id) {
  if (f->model->config.qk_norm == TN_QK_NORM_NONE) return (tn_tensor){0};
  return tn_layer_tensor(f->model, layer, id);
}

static tn_status prepare_fused(const tn_forward *f, const rows_view *r, const tn_kv_cache *kv,
                               int64_t layer, tn_error *err) {
  const tn_model_config *c = &f->model->config;
  tn_tensor q = tn_view_heads(r->q, c->head_dim);
  const tn_rope_kv_write_args args = {.y = q,
                                      .k_cache = kv->k[layer],
                                      .v_cache = kv->v[layer],
                                      .k_scale = kv->k_scale[layer],
                                      .v_scale = kv->v_scale[layer],
                                      .q = q,
                                      .k = tn_view_heads(r->k, c->head_dim),
                                      .v = tn_view_heads(r->v, c->head_dim),
                                      .q_norm = head_norm(f, layer, TN_W_Q_NORM),
                                      .k_norm = head_norm(f, layer, TN_W_K_NORM),
                                      .table = rope_of(f, layer),
                                      .positions = r->positions,
                                      .slots = r->slots,
                                      .eps = (float)c->norm_eps,
                                      .weight_offset = c->norm_adds_one ? 1.0f : 0.0f};
  return f->call.ops->rope_kv_write(f->call.stream, &args, err);
}

/* From the projections to queries that attend, and to the cache. */
static tn_status prepare_heads(tn_forward *f, rows_view *r, const tn_kv_cache *kv, int64_t layer,
                               tn_error *err) {
  if (is_fused(&f->model->config)) return prepare_fused(f, r, kv, layer, err);
  TN_TRY(norm_queries_and_keys(f, r, layer, err));
  TN_TRY(rotate(f, r, layer, err));
  return write_kv(f, r, kv, layer, err);
}

/* out = attention(h), or out += */
static tn_status run_attention(tn_forward *f, rows_view *r, const tn_kv_cache *kv, int64_t layer,
                               tn_tensor h, tn_tensor out, bool accumulate, tn_error *err) {
  const projection heads[] = {projection_of(f, r->q, layer, TN_W_Q, TN_W_Q_BIAS),
                              projection_of(f, r->k, layer, TN_W_K, TN_W_K_BIAS),
                              projection_of(f, r->v, layer, TN_W_V, TN_W_V_BIAS)};
  TN_TRY(project_together(f, h, heads, 3, err));
  TN_TRY(prepare_heads(f, r, kv, layer, err));
  TN_TRY(attend(f, r, kv, layer, err));
  return project(f, out, r->attended, layer, TN_W_O, TN_W_O_BIAS, accumulate, err);
}

/* ---- feed-forward ---- */

static tn_status run_dense(tn_forward *f, const rows_view *r, int64_t layer, tn_tensor h,
                           tn_tensor out, bool accumulate, tn_error *err) {
  const tn_model *m = f->model;
  if (m->config.ungated) {
    TN_TRY(project(f, r->up, h, layer, TN_W_UP, TN_W_UP_BIAS, false, err));
  } else {
    const projection gated[] = {projection_of(f, r->gate, layer, TN_W_GATE, TN_W_GATE_BIAS),
                                projection_of(f, r->up, layer, TN_W_UP, TN_W_UP_BIAS)};
    TN_TRY(project_together(f, h, gated, 2, err));
  }
  TN_TRY(tn_call_activation(&f->call, m, r->act, r->gate, r->up, err));
  return project(f, out, r->act, layer, TN_W_DOWN, TN_W_DOWN_BIAS, accumulate, err);
}

/* Chooses experts for each row and sorts the rows by expert; host_counts: rows of each. */
static tn_status route(tn_forward *f, const rows_view *r, int64_t layer, tn_tensor h,
                       tn_error *err) {
  const tn_model_config *c = &f->model->config;
  const tn_ops *ops = f->call.ops;
  tn_tensor chosen = cut(&f->experts.chosen, r->count);
  const tn_route_args choose = {.experts = chosen,
                                .weights = cut(&f->experts.weights, r->count),
                                .logits = cut(&f->experts.logits, r->count),
                                .normalised = !c->experts_unnormalised};
  const tn_route_order_args order = {.rows = cut(&f->experts.rows, r->count * c->experts_per_token),
                                     .places = cut(&f->experts.places, r->count),
                                     .counts = f->experts.counts,
                                     .experts = chosen};
  TN_TRY(run_linear(f, choose.logits, h, tn_layer_weight_place(f->model, layer, TN_W_ROUTER), false,
                    err));
  TN_TRY(ops->route(f->call.stream, &choose, err));
  TN_TRY(ops->route_order(f->call.stream, &order, err));
  return tn_from_device(f->call.stream, f->host_counts, &f->experts.counts, c->experts, err);
}

static tn_status run_expert(tn_forward *f, int64_t layer, int64_t expert, int64_t first,
                            int64_t count, tn_error *err) {
  const tn_model *m = f->model;
  int64_t place = tn_expert_place(m, layer, expert, TN_E_GATE);
  tn_tensor in = tn_tensor_rows(&f->experts.in, first, count);
  tn_tensor gate = tn_tensor_rows(&f->experts.gate, first, count);
  tn_tensor up = tn_tensor_rows(&f->experts.up, first, count);
  tn_tensor act = tn_tensor_rows(&f->experts.act, first, count);
  tn_tensor out = tn_tensor_rows(&f->experts.out, first, count);
  const projection gated[] = {{gate, place + TN_E_GATE, -1}, {up, place + TN_E_UP, -1}};
  TN_TRY(project_together(f, in, gated, 2, err));
  TN_TRY(tn_call_activation(&f->call, m, act, gate, up, err));
  return run_linear(f, out, act, place + TN_E_DOWN, false, err);
}

/* A row's experts add up in the order of their weights, whatever other rows are here. */
static tn_status run_experts(tn_forward *f, const rows_view *r, int64_t layer, tn_tensor h,
                             tn_tensor out, bool accumulate, tn_error *err) {
  const tn_model_config *c = &f->model->config;
  int64_t choices = r->count * c->experts_per_token, first = 0;
  TN_TRY(route(f, r, layer, h, err));
  TN_TRY(tn_call_gather(&f->call, cut(&f->experts.in, choices), h, cut(&f->experts.rows, choices),
                        err));
  for (int64_t e = 0; e < c->experts; e++) {
    int64_t count = f->host_counts[e];
    if (count > 0) TN_TRY(run_expert(f, layer, e, first, count, err));
    first += count;
  }
  const tn_fill_args zero = {.x = tn_view_flat(out), .value = 0};
  if (!accumulate) TN_TRY(f->call.ops->fill(f->call.stream, &zero, err));
  const tn_route_combine_args combine = {.out = out,
                                         .y = cut(&f->experts.out, choices),
                                         .places = cut(&f->experts.places, r->count),
                                         .weights = cut(&f->experts.weights, r->count)};
  return f->call.ops->route_combine(f->call.stream, &combine, err);
}

static tn_status run_feed_forward(tn_forward *f, const rows_view *r, int64_t layer, tn_tensor h,
                                  tn_tensor out, bool accumulate, tn_error *err) {
  return tn_model_config_routes(&f->model->config, layer)
             ? run_experts(f, r, layer, h, out, accumulate, err)
             : run_dense(f, r, layer, h, out, accumulate, err);
}

/* ---- a layer: how branches and norms are put together ---- */

static tn_status layer_norm_before(tn_forward *f, rows_view *r, const tn_kv_cache *kv,
                                   int64_t layer, tn_error *err) {
  TN_TRY(norm_layer(f, r->h, r->x, layer, TN_W_INPUT_NORM, err));
  TN_TRY(run_attention(f, r, kv, layer, r->h, r->x, true, err));
  TN_TRY(norm_layer(f, r->h, r->x, layer, TN_W_POST_NORM, err));
  return run_feed_forward(f, r, layer, r->h, r->x, true, err);
}

/* Both branches read what came in. */
static tn_status layer_parallel(tn_forward *f, rows_view *r, const tn_kv_cache *kv, int64_t layer,
                                tn_error *err) {
  TN_TRY(norm_layer(f, r->h, r->x, layer, TN_W_INPUT_NORM, err));
  TN_TRY(norm_layer(f, r->branch, r->x, layer, TN_W_POST_NORM, err));
  TN_TRY(run_attention(f, r, kv, layer, r->h, r->x, true, err));
  return run_feed_forward(f, r, layer, r->branch, r->x, true, err);
}

/* x += norm(branch) */
static tn_status add_normed(const tn_forward *f, const rows_view *r, int64_t layer,
                            tn_layer_weight_id id, tn_error *err) {
  TN_TRY(norm_layer(f, r->h, r->branch, layer, id, err));
  return tn_call_add(&f->call, r->x, r->h, err);
}

static tn_status layer_norm_behind(tn_forward *f, rows_view *r, const tn_kv_cache *kv,
                                   int64_t layer, tn_error *err) {
  bool around = f->model->config.norm_place == TN_NORM_AROUND;
  if (around) TN_TRY(norm_layer(f, r->h, r->x, layer, TN_W_INPUT_NORM, err));
  TN_TRY(run_attention(f, r, kv, layer, around ? r->h : r->x, r->branch, false, err));
  TN_TRY(add_normed(f, r, layer, TN_W_ATTENTION_OUT_NORM, err));
  if (around) TN_TRY(norm_layer(f, r->h, r->x, layer, TN_W_POST_NORM, err));
  TN_TRY(run_feed_forward(f, r, layer, around ? r->h : r->x, r->branch, false, err));
  return add_normed(f, r, layer, TN_W_FEED_FORWARD_OUT_NORM, err);
}

/* x = norm(x + branch) */
static tn_status norm_sum(const tn_forward *f, rows_view *r, int64_t layer, tn_layer_weight_id id,
                          tn_error *err) {
  TN_TRY(tn_call_add(&f->call, r->x, r->branch, err));
  TN_TRY(norm_layer(f, r->h, r->x, layer, id, err));
  swap(&r->x, &r->h);
  return TN_OK;
}

static tn_status layer_norm_of_sum(tn_forward *f, rows_view *r, const tn_kv_cache *kv,
                                   int64_t layer, tn_error *err) {
  TN_TRY(run_attention(f, r, kv, layer, r->x, r->branch, false, err));
  TN_TRY(norm_sum(f, r, layer, TN_W_ATTENTION_OUT_NORM, err));
  TN_TRY(run_feed_forward(f, r, layer, r->x, r->branch, false, err));
  return norm_sum(f, r, layer, TN_W_FEED_FORWARD_OUT_NORM, err);
}

static tn_status run_layer(tn_forward *f, rows_view *r, const tn_kv_cache *kv, int64_t layer,
                           tn_error *err) {
  const tn_model_config *c = &f->model->config;
  switch (c->norm_place) {
    case TN_NORM_BEFORE:
      return c->parallel ? layer_parallel(f, r, kv, layer, err)
                         : layer_norm_before(f, r, kv, layer, err);
    case TN_NORM_OF_SUM:
      return layer_norm_of_sum(f, r, kv, layer, err);
    default:
      return layer_norm_behind(f, r, kv, layer, err);
  }
}

/* ---- in front of the layers and behind ---- */

/* x += table[rows] */
static tn_status add_gathered(const tn_forward *f, const rows_view *r, tn_global_weight_id table,
                              tn_tensor rows, tn_error *err) {
  const tn_model *m = f->model;
  TN_TRY(
      tn_call_gather(&f->call, r->h, m->parameters[tn_global_place(m, table)].tensor, rows, err));
  return tn_call_add(&f->call, r->x, r->h, err);
}

static tn_status run_embedding(tn_forward *f, rows_view *r, tn_error *err) {
  const tn_model *m = f->model;
  const tn_model_config *c = &m->config;
  TN_TRY(tn_call_gather(&f->call, r->x, m->parameters[tn_global_place(m, TN_G_EMBED)].tensor,
                        r->ids, err));
  if (c->embedding_scaled) {
    const tn_scale_args scale = {.x = tn_view_flat(r->x),
                                 .factor = (float)sqrt((double)c->hidden_size)};
    TN_TRY(f->call.ops->scale(f->call.stream, &scale, err));
  }
  if (c->token_types > 0) TN_TRY(add_gathered(f, r, TN_G_TYPES, r->types, err));
  if (c->learned_positions) TN_TRY(add_gathered(f, r, TN_G_POSITIONS, r->places, err));
  if (!c->embedding_norm) return TN_OK;
  TN_TRY(norm(f, r->h, r->x, tn_global_place(m, TN_G_EMBED_NORM),
              tn_global_place(m, TN_G_EMBED_NORM_BIAS), err));
  swap(&r->x, &r->h);
  return TN_OK;
}

/* What comes before the first operation: the batch checked, sent, and the workspace cut to it. */
static tn_status begin(tn_forward *f, const tn_kv_cache *kv, const tn_forward_batch *batch,
                       rows_view *rows, tn_error *err) {
  f->last = cut(&f->x, 0);
  TN_TRY(check_batch(f, kv, batch, err));
  TN_TRY(grow_rope(f, kv, batch, err));
  TN_TRY(send_batch(f, batch, err));
  *rows = cut_rows(f, batch);
  return TN_OK;
}

static tn_status run_layers(tn_forward *f, const tn_kv_cache *kv, rows_view *rows, tn_error *err) {
  TN_TRY(run_embedding(f, rows, err));
  for (int64_t i = 0; i < f->model->config.layers; i++) TN_TRY(run_layer(f, rows, kv, i, err));
  return TN_OK;
}

/* Hidden states of the wanted rows, behind the final norm where there is one. */
static tn_status run_final_norm(tn_forward *f, tn_tensor x, int64_t wanted, tn_tensor *out,
                                tn_error *err) {
  const tn_model *m = f->model;
  tn_tensor picked = cut(&f->picked, wanted), normed = cut(&f->normed, wanted);
  TN_TRY(tn_call_gather(&f->call, picked, x, cut(&f->logit_indices, wanted), err));
  *out = picked;
  if (tn_final_norm_place(m) < 0) return TN_OK;
  *out = normed;
  return norm(f, normed, picked, tn_final_norm_place(m), tn_global_place(m, TN_G_FINAL_NORM_BIAS),
              err);
}

/* logits = labels(tanh(pooler(hidden))) */
static tn_status run_classifier(tn_forward *f, tn_tensor hidden, tn_tensor logits, tn_error *err) {
  const tn_model *m = f->model;
  const tn_op_calls *c = &f->call;
  tn_tensor pooled = cut(&f->pooled, hidden.shape[0]);
  TN_TRY(tn_call_linear(c, pooled, hidden, m->parameters[tn_global_place(m, TN_G_POOLER)].tensor,
                        false, err));
  TN_TRY(tn_call_bias(c, m, pooled, tn_global_place(m, TN_G_POOLER_BIAS), err));
  TN_TRY(tn_call_softcap(c, pooled, 1, err));
  TN_TRY(tn_call_linear(c, logits, pooled, m->parameters[tn_global_place(m, TN_G_LABELS)].tensor,
                        false, err));
  return tn_call_bias(c, m, logits, tn_global_place(m, TN_G_LABELS_BIAS), err);
}

static tn_status run_head(tn_forward *f, tn_tensor x, int64_t wanted, tn_error *err) {
  const tn_model *m = f->model;
  tn_tensor hidden, logits = cut(&f->logits, wanted);
  TN_TRY(run_final_norm(f, x, wanted, &hidden, err));
  if (m->config.task == TN_TASK_CLASSIFY) return run_classifier(f, hidden, logits, err);
  TN_TRY(
      tn_call_linear(&f->call, logits, hidden, m->parameters[tn_head_place(m)].tensor, false, err));
  if (m->config.logit_softcap == 0) return TN_OK;
  return tn_call_softcap(&f->call, logits, m->config.logit_softcap, err);
}

static tn_status show(tn_forward *f, const tn_tensor *t, int64_t count, const float **out,
                      tn_error *err) {
  if (!f->host_logits) {
    TN_TRY(tn_stream_synchronize(f->call.stream, err));
    *out = tn_tensor_data(t);
    return TN_OK;
  }
  *out = f->host_logits;
  return tn_from_device(f->call.stream, f->host_logits, t, count, err);
}

tn_status tn_forward_run(tn_forward *f, tn_kv_cache *kv, const tn_forward_batch *batch,
                         const float **logits, tn_error *err) {
  rows_view rows;
  *logits = NULL;
  if (f->width == 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "serving pass: this %s model has no head, only hidden "
                   "states",
                   tn_architecture_of(f->model->config.arch)->model_type);
  TN_TRY(begin(f, kv, batch, &rows, err));
  if (batch->rows == 0) return TN_OK;
  TN_TRY(run_layers(f, kv, &rows, err));
  f->last = rows.x;
  if (batch->logit_rows == 0) return tn_stream_synchronize(f->call.stream, err);
  TN_TRY(run_head(f, rows.x, batch->logit_rows, err));
  return show(f, &f->logits, batch->logit_rows * f->width, logits, err);
}

tn_status tn_forward_logits(tn_forward *f, const int32_t *rows, int64_t count, const float **logits,
                            tn_error *err) {
  int64_t rows_run = f->last.buffer ? f->last.shape[0] : 0;
  *logits = NULL;
  TN_TRY(check_count("logit_rows", count, f->logit_rows_max, err));
  for (int64_t i = 0; i < count; i++)
    if (rows[i] < 0 || rows[i] >= rows_run)
      return fail_row(err, i, "of logits wants row", rows[i], rows_run);
  if (count == 0) return TN_OK;
  TN_TRY(tn_to_device(f->call.stream, &f->logit_indices, rows, count, err));
  TN_TRY(run_head(f, f->last, count, err));
  return show(f, &f->logits, count * f->width, logits, err);
}

tn_status tn_forward_run_hidden(tn_forward *f, tn_kv_cache *kv, const tn_forward_batch *batch,
                                const float **hidden, tn_error *err) {
  rows_view rows;
  tn_tensor out;
  *hidden = NULL;
  TN_TRY(begin(f, kv, batch, &rows, err));
  if (batch->rows == 0) return TN_OK;
  TN_TRY(run_layers(f, kv, &rows, err));
  if (batch->logit_rows == 0) return tn_stream_synchronize(f->call.stream, err);
  TN_TRY(run_final_norm(f, rows.x, batch->logit_rows, &out, err));
  return show(f, &out, tn_tensor_count(&out), hidden, err);
}

/* ---- one layer at a time ---- */

void tn_forward_set_watch(tn_forward *f, tn_forward_watch watch, void *context) {
  f->watch = watch;
  f->watch_context = context;
}

const float *tn_forward_residual(const tn_forward *f) {
  return tn_tensor_data(&f->x);
}

tn_status tn_forward_embed(tn_forward *f, tn_kv_cache *kv, const tn_forward_batch *batch,
                           float *hidden, tn_error *err) {
  rows_view rows;
  TN_TRY(begin(f, kv, batch, &rows, err));
  if (batch->rows == 0) return TN_OK;
  TN_TRY(run_embedding(f, &rows, err));
  return tn_from_device(f->call.stream, hidden, &rows.x, tn_tensor_count(&rows.x), err);
}

tn_status tn_forward_layer(tn_forward *f, tn_kv_cache *kv, const tn_forward_batch *batch,
                           int64_t layer, float *hidden, tn_error *err) {
  rows_view rows;
  int64_t layers = f->model->config.layers;
  if (layer < 0 || layer >= layers)
    return tn_fail(err, TN_ERR_ARGUMENT, "serving pass: layer %" PRId64 ", the model has %" PRId64,
                   layer, layers);
  TN_TRY(begin(f, kv, batch, &rows, err));
  if (batch->rows == 0) return TN_OK;
  TN_TRY(tn_to_device(f->call.stream, &rows.x, hidden, tn_tensor_count(&rows.x), err));
  TN_TRY(run_layer(f, &rows, kv, layer, err));
  return tn_from_device(f->call.stream, hidden, &rows.x, tn_tensor_count(&rows.x), err);
}
