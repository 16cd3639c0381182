/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/scorer.h"

#include <inttypes.h>
#include <math.h>

enum { BLOCK_TOKENS = 16, ROWS_MAX = 512, ROWS_MIN = 16, LOGIT_BYTES_MAX = 64 << 20 };

struct tn_scorer {
  tn_model *model;
  tn_dtype kv_dtype;
  tn_pool *pool;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  int64_t tokens_max, rows_max, blocks;
  int32_t *ids; /* whose keys and values the cache holds */
  int64_t cached;
  int32_t *positions, *sequences, *block_table;
  int64_t rows_run;
};

/* ---- life ---- */

/* As many rows a step as keep the logits small. */
static int64_t rows_a_step(const tn_model_config *c, int64_t tokens_max) {
  int64_t rows = LOGIT_BYTES_MAX / ((int64_t)sizeof(float) * c->vocab_size);
  if (rows < ROWS_MIN) rows = ROWS_MIN;
  if (rows > ROWS_MAX) rows = ROWS_MAX;
  return rows < tokens_max - 1 ? rows : tokens_max - 1;
}

static tn_status allocate(tn_scorer *s, tn_error *err) {
  size_t n = (size_t)s->tokens_max;
  s->blocks = (s->tokens_max - 1 + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
  s->ids = tn_alloc(n, sizeof *s->ids);
  s->positions = tn_alloc(n, sizeof *s->positions);
  s->sequences = tn_alloc(n, sizeof *s->sequences);
  s->block_table = tn_alloc((size_t)s->blocks, sizeof *s->block_table);
  if (!s->ids || !s->positions || !s->sequences || !s->block_table)
    return tn_fail_memory(err, "a scorer", 4 * n * sizeof(int32_t));
  for (int64_t i = 0; i < s->tokens_max; i++) s->positions[i] = (int32_t)i;
  for (int64_t i = 0; i < s->blocks; i++) s->block_table[i] = (int32_t)i;
  TN_TRY(tn_stream_open(tn_device_cpu(), s->pool, &s->stream, err));
  TN_TRY(tn_kv_cache_new(&s->kv, s->model, s->kv_dtype, s->blocks, BLOCK_TOKENS, err));
  return tn_forward_new(&s->forward, s->model, s->stream, s->rows_max, s->rows_max, 1, s->blocks,
                        err);
}

tn_status tn_scorer_new(tn_scorer **out, tn_model *model, tn_dtype kv_dtype, tn_pool *pool,
                        int64_t tokens_max, tn_error *err) {
  const tn_model_config *c = tn_model_config_of(model);
  if (c->task != TN_TASK_GENERATE)
    return tn_fail(
        err, TN_ERR_UNSUPPORTED,
        "%s has no head over a vocabulary, so it gives no probabilities of tokens; models "
        "that generate text do",
        tn_model_config_class(c));
  if (tokens_max < 2 || tokens_max > c->positions_max + 1)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "sequences of %" PRId64 " tokens, must be 2 to %" PRId64
                   ": the model has %" PRId64 " positions",
                   tokens_max, c->positions_max + 1, c->positions_max);
  tn_scorer *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a scorer", sizeof *s);
  s->model = model;
  s->kv_dtype = kv_dtype;
  s->pool = pool;
  s->tokens_max = tokens_max;
  s->rows_max = rows_a_step(c, tokens_max);
  tn_status status = allocate(s, err);
  if (status != TN_OK) {
    tn_scorer_free(s);
    return status;
  }
  *out = s;
  return TN_OK;
}

void tn_scorer_free(tn_scorer *s) {
  if (!s) return;
  tn_forward_free(s->forward);
  tn_kv_cache_free(s->kv);
  tn_stream_close(s->stream);
  tn_free(s->ids);
  tn_free(s->positions);
  tn_free(s->sequences);
  tn_free(s->block_table);
  tn_free(s);
}

int64_t tn_scorer_tokens_max(const tn_scorer *s) {
  return s->tokens_max;
}

const tn_model_config *tn_scorer_config(const tn_scorer *s) {
  return tn_model_config_of(s->model);
}

tn_forward *tn_scorer_forward(tn_scorer *s) {
  return s->forward;
}

int64_t tn_scorer_rows_run(const tn_scorer *s) {
  return s->rows_run;
}

/* ---- logits to log-probabilities ---- */

typedef struct score_rows {
  const float *logits;
  const int32_t *targets;
  int64_t vocab;
  tn_token_score *out;
} score_rows;

static void score_row(void *context, int64_t row, int32_t worker) {
  const score_rows *c = context;
  const float *x = c->logits + row * c->vocab, wanted = x[c->targets[row]];
  float largest = x[0];
  for (int64_t i = 1; i < c->vocab; i++)
    if (x[i] > largest) largest = x[i];
  double sum = 0;
  for (int64_t i = 0; i < c->vocab; i++) sum += (double)expf(x[i] - largest);
  c->out[row] = (tn_token_score){(double)wanted - largest - log(sum), wanted == largest};
}

/* ---- running ---- */

static int64_t common_beginning(const tn_scorer *s, const int32_t *ids, int64_t count) {
  int64_t n = 0;
  while (n < count && n < s->cached && ids[n] == s->ids[n]) n++;
  return n;
}

/* Rows [start, start + rows); those that predict a scored token give its score. */
static tn_status run_step(tn_scorer *s, const int32_t *ids, int64_t start, int64_t rows,
                          int64_t from, tn_token_score *out, tn_error *err) {
  int64_t first = from - 1 > start ? from - 1 - start : 0; /* row of the first logits wanted */
  const tn_forward_batch batch = {.rows = rows,
                                  .ids = ids + start,
                                  .positions = s->positions + start,
                                  .sequences = s->sequences,
                                  .slots = s->positions + start,
                                  .sequence_count = 1,
                                  .blocks_per_sequence = s->blocks,
                                  .block_table = s->block_table,
                                  .logit_rows = first < rows ? rows - first : 0,
                                  .logit_indices = s->positions + (first < rows ? first : 0)};
  const float *logits;
  TN_TRY(tn_forward_run(s->forward, s->kv, &batch, &logits, err));
  s->rows_run += rows;
  if (batch.logit_rows == 0) return TN_OK;
  score_rows c = {logits, ids + start + first + 1, tn_model_config_of(s->model)->vocab_size,
                  out + start + first + 1 - from};
  tn_pool_run(s->pool, batch.logit_rows, score_row, &c);
  for (int64_t i = 0; i < batch.logit_rows; i++)
    if (isnan(c.out[i].log_probability))
      return tn_fail(err, TN_ERR_DATA,
                     "the model's logits behind token %" PRId64
                     " of a sequence hold nan or infinity: are its weights damaged?",
                     start + first + i);
  return TN_OK;
}

tn_status tn_scorer_run(tn_scorer *s, const int32_t *ids, int64_t count, int64_t from,
                        tn_token_score *out, tn_error *err) {
  int64_t vocab = tn_model_config_of(s->model)->vocab_size;
  if (from < 1 || from >= count || count > s->tokens_max)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "a sequence of %" PRId64 " tokens, scored from %" PRId64
                   ": a scorer for %" PRId64 " tokens cannot",
                   count, from, s->tokens_max);
  if (ids[count - 1] < 0 || ids[count - 1] >= vocab) /* the model itself never sees the last */
    return tn_fail(err, TN_ERR_ARGUMENT, "token %d, must be below %" PRId64, ids[count - 1], vocab);
  int64_t start = common_beginning(s, ids, count);
  if (start > from - 1) start = from - 1;
  s->cached = start;
  while (start < count - 1) {
    int64_t rows = count - 1 - start < s->rows_max ? count - 1 - start : s->rows_max;
    TN_TRY(run_step(s, ids, start, rows, from, out, err));
    memcpy(s->ids + start, ids + start, (size_t)rows * sizeof *ids);
    start += rows;
    s->cached = start;
  }
  return TN_OK;
}
