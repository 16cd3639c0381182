/* SPDX-License-Identifier: Apache-2.0 */
#include "model/encoder.h"

#include <inttypes.h>
#include <math.h>

enum { BLOCK_TOKENS = 32, SEQUENCES_MAX = 64, ROWS_MIN = 512, TOKENS_MAX = 8192 };

struct tn_encoder {
  tn_encoder_form form;
  tn_model *model;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  int64_t rows_max, blocks_per_sequence;
  /* one batch, packed: [rows_max] */
  int32_t *ids, *types, *positions, *sequences, *slots, *wanted;
  int32_t *block_table; /* [SEQUENCES_MAX, blocks_per_sequence]: sequence s owns a run of blocks */
  int64_t rows, wanted_count, sequence_count;
  int64_t blocks_used;
};

/* ---- pooling ---- */

static const char *const POOLING_NAMES[TN_POOLING_COUNT] = {
    [TN_POOL_MEAN] = "mean",
    [TN_POOL_FIRST] = "cls",
    [TN_POOL_LAST] = "lasttoken",
    [TN_POOL_MAX] = "max",
    [TN_POOL_MEAN_SQRT] = "mean_sqrt_len_tokens",
    [TN_POOL_WEIGHTED_MEAN] = "weightedmean"};

const char *tn_pooling_name(tn_pooling pooling) {
  return POOLING_NAMES[pooling];
}

bool tn_pooling_of_name(tn_str name, tn_pooling *out) {
  for (int i = 0; i < TN_POOLING_COUNT; i++)
    if (tn_str_is(name, POOLING_NAMES[i])) {
      *out = (tn_pooling)i;
      return true;
    }
  return false;
}

/* The sum over tokens in their order, in double. */
static double pool_column(const float *states, int64_t tokens, int64_t width, int64_t column,
                          tn_pooling pooling) {
  double sum = 0, weights = 0, max = -INFINITY;
  for (int64_t t = 0; t < tokens; t++) {
    double x = states[t * width + column], weight = 1;
    if (pooling == TN_POOL_WEIGHTED_MEAN) weight = (double)(t + 1);
    sum += weight * x;
    weights += weight;
    if (x > max) max = x;
  }
  if (pooling == TN_POOL_MAX) return max;
  return pooling == TN_POOL_MEAN_SQRT ? sum / sqrt(weights) : sum / weights;
}

static void normalise(float *x, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; i++) squares += (double)x[i] * x[i];
  double length = sqrt(squares);
  if (length < 1e-12) length = 1e-12;
  for (int64_t i = 0; i < count; i++) x[i] = (float)((double)x[i] / length);
}

static bool is_single_token(tn_pooling pooling) {
  return pooling == TN_POOL_FIRST || pooling == TN_POOL_LAST;
}

/* ---- life ---- */

static tn_status allocate_batch(tn_encoder *e, tn_error *err) {
  size_t rows = (size_t)e->rows_max;
  size_t table = (size_t)SEQUENCES_MAX * (size_t)e->blocks_per_sequence;
  e->ids = tn_alloc(rows, sizeof(int32_t));
  e->types = tn_alloc(rows, sizeof(int32_t));
  e->positions = tn_alloc(rows, sizeof(int32_t));
  e->sequences = tn_alloc(rows, sizeof(int32_t));
  e->slots = tn_alloc(rows, sizeof(int32_t));
  e->wanted = tn_alloc(rows, sizeof(int32_t));
  e->block_table = tn_alloc(table, sizeof(int32_t));
  if (e->ids && e->types && e->positions && e->sequences && e->slots && e->wanted && e->block_table)
    return TN_OK;
  return tn_fail_memory(err, "an encoder's batch", (6 * rows + table) * sizeof(int32_t));
}

static tn_status make_parts(tn_encoder *e, tn_pool *pool, tn_error *err) {
  int64_t max = tn_model_config_of(e->model)->positions_max;
  int64_t tokens = e->form.tokens_max > 0 && e->form.tokens_max < max ? e->form.tokens_max : max;
  e->form.tokens_max = tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
  e->rows_max = e->form.tokens_max > ROWS_MIN ? e->form.tokens_max : ROWS_MIN;
  e->blocks_per_sequence = (e->form.tokens_max + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
  /* every sequence may leave part of a block empty */
  int64_t blocks = e->rows_max / BLOCK_TOKENS + SEQUENCES_MAX + 1;
  TN_TRY(tn_stream_open(tn_device_cpu(), pool, &e->stream, err));
  TN_TRY(tn_kv_cache_new(&e->kv, e->model, TN_F32, blocks, BLOCK_TOKENS, err));
  TN_TRY(tn_forward_new(&e->forward, e->model, e->stream, e->rows_max, e->rows_max, SEQUENCES_MAX,
                        e->blocks_per_sequence, err));
  return allocate_batch(e, err);
}

static tn_status open_model(tn_encoder *e, const char *folder, tn_error *err) {
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s%s%s", folder, e->form.model[0] ? "/" : "", e->form.model);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = tn_model_open(&e->model, path.data, tn_device_cpu(), err);
  tn_strbuf_clear(&path);
  return status;
}

tn_status tn_encoder_open(tn_encoder **out, const char *folder, const tn_encoder_form *form,
                          tn_pool *pool, tn_error *err) {
  tn_encoder *e = tn_alloc(1, sizeof *e);
  if (!e) return tn_fail_memory(err, "an encoder", sizeof *e);
  tn_status status = TN_OK;
  if (form)
    e->form = *form;
  else
    status = tn_encoder_form_read(&e->form, folder, err);
  if (status == TN_OK) status = open_model(e, folder, err);
  if (status == TN_OK) status = make_parts(e, pool, err);
  if (status != TN_OK) {
    tn_encoder_free(e);
    return status;
  }
  *out = e;
  return TN_OK;
}

void tn_encoder_free(tn_encoder *e) {
  if (!e) return;
  tn_forward_free(e->forward);
  tn_kv_cache_free(e->kv);
  tn_stream_close(e->stream);
  tn_model_free(e->model);
  tn_free(e->ids);
  tn_free(e->types);
  tn_free(e->positions);
  tn_free(e->sequences);
  tn_free(e->slots);
  tn_free(e->wanted);
  tn_free(e->block_table);
  tn_free(e);
}

const tn_encoder_form *tn_encoder_form_of(const tn_encoder *e) {
  return &e->form;
}

const tn_model *tn_encoder_model(const tn_encoder *e) {
  return e->model;
}

/* ---- a batch ---- */

static tn_status check_input(const tn_encoder *e, const tn_encoder_input *input, int64_t index,
                             tn_error *err) {
  if (input->count >= 1 && input->count <= e->form.tokens_max) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "encoder: sequence %" PRId64 " has %" PRId64 " tokens, must be 1 to %" PRId64,
                 index, input->count, e->form.tokens_max);
}

static void clear_batch(tn_encoder *e) {
  e->rows = e->wanted_count = e->sequence_count = e->blocks_used = 0;
}

static bool has_room(const tn_encoder *e, const tn_encoder_input *input) {
  return e->sequence_count < SEQUENCES_MAX && e->rows + input->count <= e->rows_max;
}

static void add_sequence(tn_encoder *e, const tn_encoder_input *input) {
  int64_t s = e->sequence_count++, blocks = (input->count + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
  int64_t first_slot = e->blocks_used * BLOCK_TOKENS;
  for (int64_t b = 0; b < blocks; b++)
    e->block_table[s * e->blocks_per_sequence + b] = (int32_t)(e->blocks_used + b);
  for (int64_t i = 0; i < input->count; i++) {
    int64_t r = e->rows + i;
    e->ids[r] = input->ids[i];
    e->types[r] = input->types ? input->types[i] : 0;
    e->positions[r] = (int32_t)i;
    e->sequences[r] = (int32_t)s;
    e->slots[r] = (int32_t)(first_slot + i);
  }
  e->rows += input->count;
  e->blocks_used += blocks;
}

static void want_rows(tn_encoder *e, int64_t first, int64_t count) {
  for (int64_t i = 0; i < count; i++) e->wanted[e->wanted_count++] = (int32_t)(first + i);
}

/* A table of types has rows for those that the model knows; without one they mean nothing. */
static tn_forward_batch batch_of(const tn_encoder *e) {
  bool typed = tn_model_config_of(e->model)->token_types > 0;
  return (tn_forward_batch){.rows = e->rows,
                            .ids = e->ids,
                            .positions = e->positions,
                            .sequences = e->sequences,
                            .slots = e->slots,
                            .sequence_count = e->sequence_count,
                            .blocks_per_sequence = e->blocks_per_sequence,
                            .block_table = e->block_table,
                            .logit_rows = e->wanted_count,
                            .logit_indices = e->wanted,
                            .types = typed ? e->types : NULL};
}

/* Fills the batch with inputs from `at` on; what each wants is first, last or all of its rows. */
static tn_status pack(tn_encoder *e, const tn_encoder_input *inputs, int64_t count, int64_t at,
                      tn_pooling pooling, int64_t *taken, tn_error *err) {
  clear_batch(e);
  for (*taken = 0; at + *taken < count; ++*taken) {
    const tn_encoder_input *input = &inputs[at + *taken];
    TN_TRY(check_input(e, input, at + *taken, err));
    if (!has_room(e, input)) break;
    int64_t first = e->rows;
    add_sequence(e, input);
    if (pooling == TN_POOL_FIRST)
      want_rows(e, first, 1);
    else if (pooling == TN_POOL_LAST)
      want_rows(e, first + input->count - 1, 1);
    else
      want_rows(e, first, input->count);
  }
  return TN_OK;
}

static tn_status run_hidden(tn_encoder *e, const float **hidden, tn_error *err) {
  const tn_forward_batch batch = batch_of(e);
  return tn_forward_run_hidden(e->forward, e->kv, &batch, hidden, err);
}

/* ---- what callers ask for ---- */

static void pool_sequence(const tn_encoder *e, const float *states, int64_t tokens, float *out) {
  int64_t width = tn_model_config_of(e->model)->hidden_size;
  bool single = is_single_token(e->form.pooling);
  for (int64_t c = 0; c < width; c++)
    out[c] = single ? states[c] : (float)pool_column(states, tokens, width, c, e->form.pooling);
  if (e->form.normalised) normalise(out, width);
}

tn_status tn_encoder_embed(tn_encoder *e, const tn_encoder_input *inputs, int64_t count, float *out,
                           tn_error *err) {
  int64_t width = tn_model_config_of(e->model)->hidden_size, taken = 0;
  for (int64_t at = 0; at < count; at += taken) {
    const float *hidden;
    TN_TRY(pack(e, inputs, count, at, e->form.pooling, &taken, err));
    TN_TRY(run_hidden(e, &hidden, err));
    for (int64_t i = 0; i < taken; i++) {
      int64_t tokens = is_single_token(e->form.pooling) ? 1 : inputs[at + i].count;
      pool_sequence(e, hidden, tokens, out + (at + i) * width);
      hidden += tokens * width;
    }
  }
  return TN_OK;
}

tn_status tn_encoder_states(tn_encoder *e, const tn_encoder_input *input, float *out,
                            tn_error *err) {
  int64_t width = tn_model_config_of(e->model)->hidden_size, taken;
  const float *hidden;
  TN_TRY(pack(e, input, 1, 0, TN_POOL_MEAN, &taken, err));
  TN_TRY(run_hidden(e, &hidden, err));
  memcpy(out, hidden, (size_t)(input->count * width) * sizeof *out);
  return TN_OK;
}

tn_status tn_encoder_classify(tn_encoder *e, const tn_encoder_input *inputs, int64_t count,
                              float *out, tn_error *err) {
  const tn_model_config *c = tn_model_config_of(e->model);
  int64_t taken = 0;
  if (c->task != TN_TASK_CLASSIFY)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s has no classifier; a reranker is a *ForSequenceClassification",
                   tn_model_config_class(c));
  for (int64_t at = 0; at < count; at += taken) {
    const float *logits;
    TN_TRY(pack(e, inputs, count, at, TN_POOL_FIRST, &taken, err));
    const tn_forward_batch batch = batch_of(e);
    TN_TRY(tn_forward_run(e->forward, e->kv, &batch, &logits, err));
    memcpy(out + at * c->labels, logits, (size_t)(taken * c->labels) * sizeof *out);
  }
  return TN_OK;
}
