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
  tn_workspace workspace;
  tn_tensor x, h, q, k, v, attended, gate, up, act, rstd; /* [rows_max, ...] */
  tn_tensor picked, normed, logits;                       /* [logit_rows_max, ...] */
  tn_tensor ids, positions, sequences, slots, logit_indices, block_table;
  tn_tensor rope;          /* [positions so far, head_dim], its own buffer */
  int64_t *last_positions; /* [sequences_max], for the check of a batch */
  tn_forward_watch watch;  /* NULL: nobody looks */
  void *watch_context;
  float *host_logits; /* where the device's memory is not the host's */
};

/* ---- life ---- */

static void plan_workspace(tn_forward *f) {
  const tn_model_config *c = &f->model->config;
  tn_workspace *w = &f->workspace;
  int64_t R = f->rows_max, L = f->logit_rows_max, C = c->hidden_size, F = c->intermediate_size;
  int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
  tn_workspace_add(w, &f->x, TN_F32, 2, (const int64_t[]){R, C});
  tn_workspace_add(w, &f->h, TN_F32, 2, (const int64_t[]){R, C});
  tn_workspace_add(w, &f->q, TN_F32, 2, (const int64_t[]){R, q});
  tn_workspace_add(w, &f->k, TN_F32, 2, (const int64_t[]){R, kv});
  tn_workspace_add(w, &f->v, TN_F32, 2, (const int64_t[]){R, kv});
  tn_workspace_add(w, &f->attended, TN_F32, 2, (const int64_t[]){R, q});
  tn_workspace_add(w, &f->gate, TN_F32, 2, (const int64_t[]){R, F});
  tn_workspace_add(w, &f->up, TN_F32, 2, (const int64_t[]){R, F});
  tn_workspace_add(w, &f->act, TN_F32, 2, (const int64_t[]){R, F});
  tn_workspace_add(w, &f->rstd, TN_F32, 1, (const int64_t[]){R > L ? R : L});
  tn_workspace_add(w, &f->picked, TN_F32, 2, (const int64_t[]){L, C});
  tn_workspace_add(w, &f->normed, TN_F32, 2, (const int64_t[]){L, C});
  tn_workspace_add(w, &f->logits, TN_F32, 2, (const int64_t[]){L, c->vocab_size});
  tn_workspace_add(w, &f->ids, TN_I32, 1, (const int64_t[]){R});
  tn_workspace_add(w, &f->positions, TN_I32, 1, (const int64_t[]){R});
  tn_workspace_add(w, &f->sequences, TN_I32, 1, (const int64_t[]){R});
  tn_workspace_add(w, &f->slots, TN_I32, 1, (const int64_t[]){R});
  tn_workspace_add(w, &f->logit_indices, TN_I32, 1, (const int64_t[]){L});
  tn_workspace_add(w, &f->block_table, TN_I32, 2,
                   (const int64_t[]){f->sequences_max, f->blocks_max});
}

static tn_status allocate(tn_forward *f, tn_error *err) {
  const tn_model_config *c = &f->model->config;
  plan_workspace(f);
  TN_TRY(tn_workspace_allocate(&f->workspace, f->model->device, "a serving workspace", err));
  f->last_positions = tn_alloc((size_t)f->sequences_max, sizeof *f->last_positions);
  if (!f->last_positions)
    return tn_fail_memory(err, "a serving workspace", (size_t)f->sequences_max * 8);
  if (f->model->device->kind != TN_CPU) {
    f->host_logits = tn_alloc((size_t)tn_tensor_count(&f->logits), sizeof(float));
    if (!f->host_logits) return tn_fail_memory(err, "logits", (size_t)tn_tensor_bytes(&f->logits));
  }
  int64_t rows = c->positions_max < ROPE_ROWS_FIRST ? c->positions_max : ROPE_ROWS_FIRST;
  return tn_rope_table_new(&f->rope, c, rows, f->call.stream, err);
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
  tn_free(f->last_positions);
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
  for (int64_t s = 0; s < b->sequence_count; s++) f->last_positions[s] = -1;
  for (int64_t r = 0; r < b->rows; r++) {
    int64_t id = b->ids[r], position = b->positions[r], sequence = b->sequences[r];
    if (id < 0 || id >= c->vocab_size) return fail_row(err, r, "token", id, c->vocab_size);
    if (position < 0 || position >= reach) return fail_row(err, r, "position", position, reach);
    if (sequence < 0 || sequence >= b->sequence_count)
      return fail_row(err, r, "sequence", sequence, b->sequence_count);
    if (b->slots[r] >= kv->blocks * kv->block_tokens)
      return fail_row(err, r, "slot", b->slots[r], kv->blocks * kv->block_tokens);
    if (position > f->last_positions[sequence]) f->last_positions[sequence] = position;
  }
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
      kv->k[0].shape[3] != c->head_dim)
    return tn_fail(err, TN_ERR_ARGUMENT, "serving pass: the KV cache is of another model");
  TN_TRY(check_count("rows", b->rows, f->rows_max, err));
  TN_TRY(check_count("logit_rows", b->logit_rows, f->logit_rows_max, err));
  TN_TRY(check_count("sequence_count", b->sequence_count, f->sequences_max, err));
  TN_TRY(check_count("blocks_per_sequence", b->blocks_per_sequence, f->blocks_max, err));
  TN_TRY(check_rows(f, kv, b, err));
  TN_TRY(check_blocks(f, kv, b, err));
  for (int64_t i = 0; i < b->logit_rows; i++)
    if (b->logit_indices[i] < 0 || b->logit_indices[i] >= b->rows)
      return fail_row(err, i, "of logits wants row", b->logit_indices[i], b->rows);
  return TN_OK;
}

/* ---- running ---- */

static tn_status grow_rope(tn_forward *f, const tn_forward_batch *b, tn_error *err) {
  int64_t rows = f->rope.shape[0], need = 0, max = f->model->config.positions_max;
  for (int64_t s = 0; s < b->sequence_count; s++)
    if (f->last_positions[s] >= need) need = f->last_positions[s] + 1;
  if (need <= rows) return TN_OK;
  while (rows < need) rows *= 2;
  tn_tensor table;
  TN_TRY(
      tn_rope_table_new(&table, &f->model->config, rows < max ? rows : max, f->call.stream, err));
  tn_buffer_drop(f->rope.buffer);
  f->rope = table;
  return TN_OK;
}

static tn_status send_batch(const tn_forward *f, const tn_forward_batch *b, tn_error *err) {
  tn_stream *s = f->call.stream;
  TN_TRY(tn_to_device(s, &f->ids, b->ids, b->rows, err));
  TN_TRY(tn_to_device(s, &f->positions, b->positions, b->rows, err));
  TN_TRY(tn_to_device(s, &f->sequences, b->sequences, b->rows, err));
  TN_TRY(tn_to_device(s, &f->slots, b->slots, b->rows, err));
  TN_TRY(tn_to_device(s, &f->logit_indices, b->logit_indices, b->logit_rows, err));
  return tn_to_device(s, &f->block_table, b->block_table,
                      b->sequence_count * b->blocks_per_sequence, err);
}

/* The workspace cut to the rows of one batch. */
typedef struct rows_view {
  tn_tensor x, h, q, k, v, attended, gate, up, act, rstd;
  tn_tensor ids, positions, sequences, slots, block_table;
} rows_view;

static rows_view cut_rows(const tn_forward *f, const tn_forward_batch *b) {
  int64_t R = b->rows;
  return (rows_view){
      .x = tn_tensor_rows(&f->x, 0, R),
      .h = tn_tensor_rows(&f->h, 0, R),
      .q = tn_tensor_rows(&f->q, 0, R),
      .k = tn_tensor_rows(&f->k, 0, R),
      .v = tn_tensor_rows(&f->v, 0, R),
      .attended = tn_tensor_rows(&f->attended, 0, R),
      .gate = tn_tensor_rows(&f->gate, 0, R),
      .up = tn_tensor_rows(&f->up, 0, R),
      .act = tn_tensor_rows(&f->act, 0, R),
      .rstd = tn_tensor_rows(&f->rstd, 0, R),
      .ids = tn_tensor_rows(&f->ids, 0, R),
      .positions = tn_tensor_rows(&f->positions, 0, R),
      .sequences = tn_tensor_rows(&f->sequences, 0, R),
      .slots = tn_tensor_rows(&f->slots, 0, R),
      .block_table = tn_view_as(f->block_table, 2,
                                (const int64_t[]){b->sequence_count, b->blocks_per_sequence}),
  };
}

static tn_status attend(tn_forward *f, const rows_view *r, const tn_kv_cache *kv, int64_t layer,
                        tn_error *err) {
  int64_t D = f->model->config.head_dim;
  const tn_kv_write_args write = {.k_cache = kv->k[layer],
                                  .v_cache = kv->v[layer],
                                  .k = tn_view_heads(r->k, D),
                                  .v = tn_view_heads(r->v, D),
                                  .slots = r->slots};
  const tn_attention_paged_args attention = {.out = tn_view_heads(r->attended, D),
                                             .q = tn_view_heads(r->q, D),
                                             .k_cache = kv->k[layer],
                                             .v_cache = kv->v[layer],
                                             .block_table = r->block_table,
                                             .row_sequence = r->sequences,
                                             .row_position = r->positions,
                                             .scale = 1.0f / sqrtf((float)D)};
  TN_TRY(f->call.ops->kv_write(f->call.stream, &write, err));
  return f->call.ops->attention_paged(f->call.stream, &attention, err);
}

static tn_status run_linear(tn_forward *f, tn_tensor y, tn_tensor x, int64_t layer,
                            tn_layer_weight_id id, bool accumulate, tn_error *err) {
  if (f->watch) TN_TRY(f->watch(f->watch_context, tn_layer_weight_place(layer, id), &x, err));
  return tn_call_linear(&f->call, y, x, tn_layer_tensor(f->model, layer, id), accumulate, err);
}

static tn_status run_attention(tn_forward *f, const rows_view *r, const tn_kv_cache *kv,
                               int64_t layer, tn_error *err) {
  const tn_model *m = f->model;
  const tn_op_calls *c = &f->call;
  TN_TRY(
      tn_call_rmsnorm(c, m, r->h, r->rstd, r->x, tn_layer_tensor(m, layer, TN_W_INPUT_NORM), err));
  TN_TRY(run_linear(f, r->q, r->h, layer, TN_W_Q, false, err));
  TN_TRY(run_linear(f, r->k, r->h, layer, TN_W_K, false, err));
  TN_TRY(run_linear(f, r->v, r->h, layer, TN_W_V, false, err));
  TN_TRY(tn_call_rope(c, m, r->q, f->rope, r->positions, err));
  TN_TRY(tn_call_rope(c, m, r->k, f->rope, r->positions, err));
  TN_TRY(attend(f, r, kv, layer, err));
  return run_linear(f, r->x, r->attended, layer, TN_W_O, true, err);
}

static tn_status run_feed_forward(tn_forward *f, const rows_view *r, int64_t layer, tn_error *err) {
  const tn_model *m = f->model;
  const tn_op_calls *c = &f->call;
  TN_TRY(
      tn_call_rmsnorm(c, m, r->h, r->rstd, r->x, tn_layer_tensor(m, layer, TN_W_POST_NORM), err));
  TN_TRY(run_linear(f, r->gate, r->h, layer, TN_W_GATE, false, err));
  TN_TRY(run_linear(f, r->up, r->h, layer, TN_W_UP, false, err));
  TN_TRY(tn_call_swiglu(c, r->act, r->gate, r->up, err));
  return run_linear(f, r->x, r->act, layer, TN_W_DOWN, true, err);
}

/* Final norm and head, for the rows that want logits only. */
static tn_status run_head(tn_forward *f, const rows_view *r, int64_t logit_rows, tn_error *err) {
  const tn_model *m = f->model;
  const tn_op_calls *c = &f->call;
  tn_tensor picked = tn_tensor_rows(&f->picked, 0, logit_rows);
  tn_tensor normed = tn_tensor_rows(&f->normed, 0, logit_rows);
  tn_tensor rstd = tn_tensor_rows(&f->rstd, 0, logit_rows);
  tn_tensor logits = tn_tensor_rows(&f->logits, 0, logit_rows);
  TN_TRY(tn_call_gather(c, picked, r->x, tn_tensor_rows(&f->logit_indices, 0, logit_rows), err));
  TN_TRY(tn_call_rmsnorm(c, m, normed, rstd, picked, m->parameters[tn_final_norm_place(m)].tensor,
                         err));
  return tn_call_linear(c, logits, normed, m->parameters[tn_head_place(m)].tensor, false, err);
}

static tn_status show_logits(tn_forward *f, int64_t logit_rows, const float **logits,
                             tn_error *err) {
  if (!f->host_logits) {
    TN_TRY(tn_stream_synchronize(f->call.stream, err));
    *logits = tn_tensor_data(&f->logits);
    return TN_OK;
  }
  *logits = f->host_logits;
  return tn_from_device(f->call.stream, f->host_logits, &f->logits,
                        logit_rows * f->model->config.vocab_size, err);
}

static tn_status run_layer(tn_forward *f, const rows_view *r, const tn_kv_cache *kv, int64_t layer,
                           tn_error *err) {
  TN_TRY(run_attention(f, r, kv, layer, err));
  return run_feed_forward(f, r, layer, err);
}

static tn_status run_embedding(tn_forward *f, const rows_view *r, tn_error *err) {
  return tn_call_gather(&f->call, r->x, f->model->parameters[0].tensor, r->ids, err);
}

/* What comes before the first operation: the batch checked, sent, and the workspace cut to it. */
static tn_status begin(tn_forward *f, const tn_kv_cache *kv, const tn_forward_batch *batch,
                       rows_view *rows, tn_error *err) {
  TN_TRY(check_batch(f, kv, batch, err));
  TN_TRY(grow_rope(f, batch, err));
  TN_TRY(send_batch(f, batch, err));
  *rows = cut_rows(f, batch);
  return TN_OK;
}

tn_status tn_forward_run(tn_forward *f, tn_kv_cache *kv, const tn_forward_batch *batch,
                         const float **logits, tn_error *err) {
  rows_view rows;
  *logits = NULL;
  TN_TRY(begin(f, kv, batch, &rows, err));
  if (batch->rows == 0) return TN_OK;
  TN_TRY(run_embedding(f, &rows, err));
  for (int64_t layer = 0; layer < f->model->config.layers; layer++)
    TN_TRY(run_layer(f, &rows, kv, layer, err));
  if (batch->logit_rows == 0) return tn_stream_synchronize(f->call.stream, err);
  TN_TRY(run_head(f, &rows, batch->logit_rows, err));
  return show_logits(f, batch->logit_rows, logits, err);
}

/* ---- one layer at a time ---- */

void tn_forward_set_watch(tn_forward *f, tn_forward_watch watch, void *context) {
  f->watch = watch;
  f->watch_context = context;
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
