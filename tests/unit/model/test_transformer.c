/* SPDX-License-Identifier: Apache-2.0 */
/* The transformer's two passes against each other and against finite differences, and checkpoints.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"
#include "model/safetensors.h"
#include "model/transformer.h"

enum { SEED = 42 };

static void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

static const tn_model_config gqa_tied = {.vocab_size = 61,
                                         .hidden_size = 24,
                                         .intermediate_size = 40,
                                         .layers = 2,
                                         .heads = 4,
                                         .kv_heads = 2,
                                         .head_dim = 10, /* not hidden / heads */
                                         .positions_max = 64,
                                         .tied = true,
                                         .bos_id = -1,
                                         .eos_id = -1};

static tn_model_config mha_untied(void) {
  tn_model_config c = gqa_tied;
  c.kv_heads = c.heads;
  c.head_dim = 6;
  c.tied = false;
  return c;
}

static tn_model *new_model(const tn_model_config *config) {
  tn_error err;
  tn_model *m;
  must(tn_model_new(&m, config, tn_device_cpu(), &err));
  tn_model_init(m, SEED);
  /* At 0.02 a tiny model says the same everywhere; larger weights make every part matter. */
  tn_tensor flat = tn_model_flat(m);
  float *x = tn_tensor_data(&flat);
  for (int64_t i = 0; i < tn_tensor_count(&flat); i++)
    x[i] = x[i] == 1.0f ? (float)(0.8 + 0.4 * tn_random_f64(SEED, 99, (uint64_t)i)) : x[i] * 8;
  return m;
}

static tn_stream *new_stream(tn_pool *pool) {
  tn_error err;
  tn_stream *s;
  must(tn_stream_open(tn_device_cpu(), pool, &s, &err));
  return s;
}

static void fill_ids(int32_t *ids, int64_t count, int64_t vocab, uint64_t stream) {
  for (int64_t i = 0; i < count; i++)
    ids[i] = (int32_t)tn_random_below(SEED, stream, (uint64_t)i, (uint64_t)vocab);
}

/* ---- parameters ---- */

static void test_parameters_and_init(void **state) {
  tn_error err;
  for (int tied = 0; tied < 2; tied++) {
    tn_model_config c = tied ? gqa_tied : mha_untied();
    tn_model *m, *again;
    must(tn_model_new(&m, &c, tn_device_cpu(), &err));
    must(tn_model_new(&again, &c, tn_device_cpu(), &err));
    int64_t count, sum = 0;
    const tn_parameter *p = tn_model_parameters(m, &count);
    assert_int_equal(count, 2 + 9 * c.layers + (tied ? 0 : 1));
    tn_tensor flat = tn_model_flat(m), other = tn_model_flat(again);
    for (int64_t i = 0; i < count; i++) {
      assert_int_equal(p[i].tensor.offset_bytes, 4 * sum);
      assert_int_equal(p[i].decays, p[i].tensor.rank == 2);
      sum += tn_tensor_count(&p[i].tensor);
    }
    assert_int_equal(sum, tn_tensor_count(&flat));
    assert_int_equal(sum, tn_model_config_parameters(&c));
    assert_int_equal(tn_model_weight_bytes(m), 4 * sum);
    assert_string_equal(p[0].name, "model.embed_tokens.weight");
    assert_string_equal(p[2].name, "model.layers.0.self_attn.q_proj.weight");
    assert_string_equal(p[count - 1].name, tied ? "model.norm.weight" : "lm_head.weight");
    tn_model_init(m, 7);
    tn_model_init(again, 7);
    assert_memory_equal(tn_tensor_data(&flat), tn_tensor_data(&other), (size_t)sum * 4);
    double squares = 0, small = 0;
    const float *table = tn_tensor_data(&p[0].tensor), *down = tn_tensor_data(&p[9].tensor);
    int64_t n = tn_tensor_count(&p[0].tensor), nd = tn_tensor_count(&p[9].tensor);
    for (int64_t i = 0; i < n; i++) squares += (double)table[i] * table[i];
    for (int64_t i = 0; i < nd; i++) small += (double)down[i] * down[i];
    assert_true(fabs(sqrt(squares / (double)n) - 0.02) < 0.002);
    assert_true(fabs(sqrt(small / (double)nd) - 0.01) < 0.001); /* 0.02 / sqrt(2 x 2 layers) */
    tn_model_init(again, 8);
    assert_memory_not_equal(tn_tensor_data(&flat), tn_tensor_data(&other), (size_t)sum * 4);
    tn_model_free(m);
    tn_model_free(again);
  }
}

static void test_refuses_impossible_models(void **state) {
  tn_error err;
  tn_model *m;
  tn_model_config c = gqa_tied;
  c.kv_heads = 3;
  assert_int_equal(tn_model_new(&m, &c, tn_device_cpu(), &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "num_key_value_heads 3"));
  bool said_how_large = false;
  for (int64_t n = 1; n < 50; n++) {
    tn_alloc_fail_at(n);
    tn_status status = tn_model_new(&m, &gqa_tied, tn_device_cpu(), &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) {
      tn_model_free(m);
      break;
    }
    assert_int_equal(status, TN_ERR_MEMORY);
    said_how_large |= strstr(err.text, "a model of ") && strstr(err.text, " parameters: ");
  }
  assert_true(said_how_large);
}

/* ---- the training pass against finite differences ---- */

typedef struct trainer {
  tn_model *model;
  tn_stream *stream;
  tn_train_pass *pass;
  tn_buffer *buffer;
  tn_tensor grads;
  int32_t ids[2 * 7], targets[2 * 7];
} trainer;

static void start_trainer(trainer *t, const tn_model_config *config) {
  tn_error err;
  t->model = new_model(config);
  t->stream = new_stream(NULL);
  must(tn_train_pass_new(&t->pass, t->model, t->stream, 2, 7, &err));
  int64_t count = tn_model_config_parameters(config);
  must(tn_buffer_new(&t->buffer, (size_t)count * 4, &err));
  must(tn_tensor_view(&t->grads, t->buffer, 0, TN_F32, 1, &count, &err));
  fill_ids(t->ids, 14, config->vocab_size, 1);
  fill_ids(t->targets, 14, config->vocab_size, 2);
  t->ids[3] = t->ids[9]; /* a token twice: gradients add up */
  t->targets[2] = t->targets[13] = -1;
}

static void stop_trainer(trainer *t) {
  tn_train_pass_free(t->pass);
  tn_stream_close(t->stream);
  tn_buffer_drop(t->buffer);
  tn_model_free(t->model);
}

static double loss_of(trainer *t) {
  tn_error err;
  double loss;
  must(tn_train_pass_forward(t->pass, t->ids, t->targets, &loss, NULL, &err));
  return loss;
}

/* Along the direction of a parameter's own gradient the loss must rise by |g| h: one number that
 * all its elements take part in, large against float32's rounding. */
static void check_parameter(trainer *t, const tn_parameter *p, const float *grad) {
  float *x = tn_tensor_data(&p->tensor);
  int64_t count = tn_tensor_count(&p->tensor);
  float *kept = tn_alloc((size_t)count, 4);
  double norm = 0;
  memcpy(kept, x, (size_t)count * 4);
  for (int64_t i = 0; i < count; i++) norm += (double)grad[i] * grad[i];
  norm = sqrt(norm);
  if (strstr(p->name, "c_attn.bias[1]")) { /* one vector added to all keys moves no softmax */
    assert_true(norm < 1e-6);
    tn_free(kept);
    return;
  }
  assert_true(norm > 1e-6);
  /* two steps, extrapolated to a step of zero (Richardson) */
  double slope[2], step = 0.02;
  for (int k = 0; k < 2; k++, step /= 2) {
    for (int64_t i = 0; i < count; i++) x[i] = (float)(kept[i] + step * grad[i] / norm);
    double above = loss_of(t);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(kept[i] - step * grad[i] / norm);
    slope[k] = (above - loss_of(t)) / (2 * step);
  }
  memcpy(x, kept, (size_t)count * 4);
  double measured = (4 * slope[1] - slope[0]) / 3;
  if (fabs(measured - norm) > 2e-3 * norm + 2e-5)
    fail_msg("%s: gradient's norm is %.8g, finite differences say %.8g", p->name, norm, measured);
  tn_free(kept);
}

/* And against directions that have nothing to do with the gradient. */
static void check_random_direction(trainer *t, uint64_t stream) {
  tn_tensor flat = tn_model_flat(t->model);
  float *x = tn_tensor_data(&flat), *grad = tn_tensor_data(&t->grads);
  int64_t count = tn_tensor_count(&flat);
  float *kept = tn_alloc((size_t)count, 4);
  double expected = 0, slope[2], step = 1e-3;
  memcpy(kept, x, (size_t)count * 4);
  for (int64_t i = 0; i < count; i++)
    expected += grad[i] * tn_random_normal(SEED, stream, (uint64_t)i);
  for (int k = 0; k < 2; k++, step /= 2) {
    double loss[2];
    for (int side = 0; side < 2; side++) {
      double h = side ? -step : step;
      for (int64_t i = 0; i < count; i++)
        x[i] = (float)(kept[i] + h * tn_random_normal(SEED, stream, (uint64_t)i));
      loss[side] = loss_of(t);
    }
    slope[k] = (loss[0] - loss[1]) / (2 * step);
  }
  memcpy(x, kept, (size_t)count * 4);
  double measured = (4 * slope[1] - slope[0]) / 3;
  if (fabs(measured - expected) > 5e-3 * fabs(expected) + 2e-3)
    fail_msg("direction %d: gradient says %.8g, finite differences %.8g", (int)stream, expected,
             measured);
  tn_free(kept);
}

static void check_gradients(const tn_model_config *config) {
  tn_error err;
  trainer t;
  start_trainer(&t, config);
  loss_of(&t);
  must(tn_train_pass_backward(t.pass, &t.grads, 1.0, false, &err));
  int64_t count, start = 0;
  const tn_parameter *p = tn_model_parameters(t.model, &count);
  for (int64_t i = 0; i < count; i++) {
    check_parameter(&t, &p[i], (const float *)tn_tensor_data(&t.grads) + start);
    start += tn_tensor_count(&p[i].tensor);
  }
  for (uint64_t stream = 10; stream < 15; stream++) check_random_direction(&t, stream);
  stop_trainer(&t);
}

static void test_gradients_gqa_tied(void **state) {
  check_gradients(&gqa_tied);
}
static void test_gradients_mha_untied(void **state) {
  tn_model_config c = mha_untied();
  check_gradients(&c);
}

static tn_model_config gpt2(void) {
  tn_model_config c = gqa_tied;
  c.arch = TN_ARCH_GPT2;
  c.kv_heads = c.heads;
  c.head_dim = 6;
  c.norm = TN_NORM_LAYER;
  c.activation = TN_ACT_GELU_TANH;
  c.ungated = c.qkv_bias = c.o_bias = c.feed_forward_bias = c.learned_positions = true;
  return c;
}
static void test_gradients_gpt2(void **state) {
  tn_model_config c = gpt2();
  check_gradients(&c);
}

/* What a fresh backward finds in the array does not show. */
static void test_fresh_gradients(void **state) {
  const tn_model_config configs[] = {gqa_tied, mha_untied(), gpt2()};
  for (int i = 0; i < 3; i++) {
    tn_error err;
    trainer t;
    start_trainer(&t, &configs[i]);
    size_t bytes = (size_t)tn_tensor_bytes(&t.grads);
    float *grads = tn_tensor_data(&t.grads), *added = tn_alloc(bytes, 1);
    loss_of(&t);
    must(tn_train_pass_backward(t.pass, &t.grads, 1.0, false, &err));
    memcpy(added, grads, bytes);
    for (size_t k = 0; k < bytes / 4; k++) grads[k] = NAN;
    loss_of(&t);
    must(tn_train_pass_backward(t.pass, &t.grads, 1.0, true, &err));
    for (size_t k = 0; k < bytes / 4; k++) assert_true(grads[k] == added[k]);
    tn_free(added);
    stop_trainer(&t);
  }
}

/* Logits of more than 256 MiB are never held: a batch of two sequences has the loss and the
 * gradients of the sequences one by one, which do hold them. */
static void test_logits_that_are_never_held(void **state) {
  enum { T = 300, V = 120000 };
  const tn_model_config c = {.vocab_size = V,
                             .hidden_size = 4,
                             .intermediate_size = 8,
                             .layers = 1,
                             .heads = 1,
                             .kv_heads = 1,
                             .head_dim = 4,
                             .positions_max = T,
                             .tied = true,
                             .bos_id = -1,
                             .eos_id = -1};
  tn_error err;
  tn_model *m = new_model(&c);
  tn_stream *stream = new_stream(NULL);
  tn_train_pass *both, *one;
  must(tn_train_pass_new(&both, m, stream, 2, T, &err));
  must(tn_train_pass_new(&one, m, stream, 1, T, &err));
  int64_t count = tn_model_config_parameters(&c);
  tn_buffer *buffers[2];
  tn_tensor grads[2];
  for (int i = 0; i < 2; i++) {
    must(tn_buffer_new(&buffers[i], (size_t)count * 4, &err));
    must(tn_tensor_view(&grads[i], buffers[i], 0, TN_F32, 1, &count, &err));
  }
  int32_t *ids = tn_alloc(2 * T, 4), *targets = tn_alloc(2 * T, 4);
  fill_ids(ids, 2 * T, V, 1);
  fill_ids(targets, 2 * T, V, 2);
  double loss, half[2];
  must(tn_train_pass_forward(both, ids, targets, &loss, NULL, &err));
  assert_null(tn_train_pass_logits(both));
  must(tn_train_pass_backward(both, &grads[0], 1, true, &err));
  for (int i = 0; i < 2; i++) {
    must(tn_train_pass_forward(one, ids + i * T, targets + i * T, &half[i], NULL, &err));
    assert_non_null(tn_train_pass_logits(one));
    must(tn_train_pass_backward(one, &grads[1], 0.5, i == 0, &err));
  }
  assert_true(fabs(loss - (half[0] + half[1]) / 2) < 1e-6);
  const float *a = tn_tensor_data(&grads[0]), *b = tn_tensor_data(&grads[1]);
  double largest = 0;
  for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)b[i]));
  for (int64_t i = 0; i < count; i++) assert_true(fabs((double)a[i] - b[i]) < 1e-5 * largest);
  assert_true(largest > 1e-4);
  tn_free(ids);
  tn_free(targets);
  for (int i = 0; i < 2; i++) tn_buffer_drop(buffers[i]);
  tn_train_pass_free(both);
  tn_train_pass_free(one);
  tn_stream_close(stream);
  tn_model_free(m);
}

static void test_loss_is_the_mean_of_the_counted(void **state) {
  tn_error err;
  trainer t;
  start_trainer(&t, &gqa_tied);
  double loss, want = 0;
  int64_t counted, V = gqa_tied.vocab_size;
  must(tn_train_pass_forward(t.pass, t.ids, t.targets, &loss, &counted, &err));
  assert_int_equal(counted, 12);
  const float *logits = tn_train_pass_logits(t.pass);
  for (int i = 0; i < 14; i++) {
    double sum = 0;
    for (int64_t j = 0; j < V; j++) sum += exp(logits[i * V + j]);
    if (t.targets[i] >= 0) want += log(sum) - logits[i * V + t.targets[i]];
  }
  assert_true(fabs(want / 12 - loss) < 1e-5);
  for (int i = 0; i < 14; i++) t.targets[i] = -1;
  must(tn_train_pass_forward(t.pass, t.ids, t.targets, &loss, &counted, &err));
  assert_int_equal(counted, 0);
  assert_true(loss == 0);
  must(tn_train_pass_backward(t.pass, &t.grads, 1.0, false, &err));
  const float *grads = tn_tensor_data(&t.grads);
  for (int64_t i = 0; i < tn_tensor_count(&t.grads); i++) assert_true(grads[i] == 0);
  stop_trainer(&t);
}

static void test_gradients_add_up_and_scale(void **state) {
  tn_error err;
  trainer t;
  start_trainer(&t, &gqa_tied);
  int64_t count = tn_tensor_count(&t.grads);
  float *grads = tn_tensor_data(&t.grads), *once = tn_alloc((size_t)count, 4);
  loss_of(&t);
  must(tn_train_pass_backward(t.pass, &t.grads, 1.0, false, &err));
  memcpy(once, grads, (size_t)count * 4);
  loss_of(&t);
  must(tn_train_pass_backward(t.pass, &t.grads, 0.5, false, &err));
  for (int64_t i = 0; i < count; i++)
    assert_true(fabs(grads[i] - 1.5 * once[i]) <= 1e-5 * fabs(once[i]) + 1e-7);
  tn_free(once);
  stop_trainer(&t);
}

static void test_a_step_allocates_nothing(void **state) {
  tn_error err;
  trainer t;
  start_trainer(&t, &gqa_tied);
  loss_of(&t); /* kernels' scratch settles */
  must(tn_train_pass_backward(t.pass, &t.grads, 1.0, false, &err));
  tn_alloc_fail_at(1);
  loss_of(&t);
  must(tn_train_pass_backward(t.pass, &t.grads, 1.0, false, &err));
  void *probe = tn_alloc(1, 1); /* the failure is still waiting: nothing has allocated */
  assert_null(probe);
  tn_alloc_fail_at(0);
  stop_trainer(&t);
}

static void test_training_pass_refuses(void **state) {
  tn_error err;
  trainer t;
  double loss;
  tn_train_pass *pass;
  start_trainer(&t, &gqa_tied);
  assert_int_equal(tn_train_pass_backward(t.pass, &t.grads, 1, false, &err), TN_ERR_ARGUMENT);
  loss_of(&t);
  tn_tensor small = t.grads;
  small.shape[0]--;
  assert_int_equal(tn_train_pass_backward(t.pass, &small, 1, false, &err), TN_ERR_ARGUMENT);
  must(tn_train_pass_backward(t.pass, &t.grads, 1, false, &err));
  assert_int_equal(tn_train_pass_backward(t.pass, &t.grads, 1, false, &err), TN_ERR_ARGUMENT);
  t.ids[5] = 61;
  assert_int_equal(tn_train_pass_forward(t.pass, t.ids, t.targets, &loss, NULL, &err),
                   TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "place 5"));
  t.ids[5] = 0;
  t.targets[5] = 61;
  assert_int_equal(tn_train_pass_forward(t.pass, t.ids, t.targets, &loss, NULL, &err),
                   TN_ERR_ARGUMENT);
  assert_int_equal(tn_train_pass_new(&pass, t.model, t.stream, 1, 65, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_train_pass_new(&pass, t.model, t.stream, 0, 8, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_train_pass_new(&pass, t.model, t.stream, INT64_MAX / 2, 8, &err),
                   TN_ERR_ARGUMENT);
  stop_trainer(&t);
}

/* ---- the serving pass ---- */

enum { BLOCK = 4, BLOCKS = 24, PER_SEQUENCE = 6, ROWS_MAX = 48, SEQUENCES = 4 };

typedef struct server {
  tn_model *model;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  int32_t table[SEQUENCES * PER_SEQUENCE];
} server;

static void start_server_in(server *s, const tn_model_config *config, tn_dtype kv, tn_pool *pool) {
  tn_error err;
  s->model = new_model(config);
  s->stream = new_stream(pool);
  must(tn_kv_cache_new(&s->kv, s->model, kv, BLOCKS, BLOCK, &err));
  must(tn_forward_new(&s->forward, s->model, s->stream, ROWS_MAX, ROWS_MAX, SEQUENCES, PER_SEQUENCE,
                      &err));
  for (int i = 0; i < SEQUENCES * PER_SEQUENCE; i++) /* blocks in no order at all */
    s->table[i] = (int32_t)tn_random_permute(SEED, 3, (uint64_t)i, BLOCKS);
}

static void start_server(server *s, const tn_model_config *config, tn_pool *pool) {
  start_server_in(s, config, TN_F32, pool);
}

static void stop_server(server *s) {
  tn_forward_free(s->forward);
  tn_kv_cache_free(s->kv);
  tn_stream_close(s->stream);
  tn_model_free(s->model);
}

typedef struct rows {
  int64_t count;
  int32_t ids[ROWS_MAX], positions[ROWS_MAX], sequences[ROWS_MAX], slots[ROWS_MAX];
  int32_t wanted[ROWS_MAX];
} rows;

static void add_rows(const server *s, rows *r, int32_t sequence, const int32_t *ids, int from,
                     int to) {
  for (int p = from; p < to; p++) {
    int64_t i = r->count++;
    r->ids[i] = ids[p];
    r->positions[i] = p;
    r->sequences[i] = sequence;
    r->slots[i] = s->table[sequence * PER_SEQUENCE + p / BLOCK] * BLOCK + p % BLOCK;
    r->wanted[i] = (int32_t)i;
  }
}

static tn_forward_batch batch_of(const server *s, const rows *r) {
  return (tn_forward_batch){.rows = r->count,
                            .ids = r->ids,
                            .positions = r->positions,
                            .sequences = r->sequences,
                            .slots = r->slots,
                            .sequence_count = SEQUENCES,
                            .blocks_per_sequence = PER_SEQUENCE,
                            .block_table = s->table,
                            .logit_rows = r->count,
                            .logit_indices = r->wanted};
}

static const float *run_rows(server *s, const rows *r) {
  tn_error err;
  const float *logits = NULL;
  tn_forward_batch b = batch_of(s, r);
  must(tn_forward_run(s->forward, s->kv, &b, &logits, &err));
  return logits;
}

static void check_against_training(const tn_model_config *config) {
  tn_error err;
  enum { T = 19 };
  server s;
  start_server(&s, config, NULL);
  int32_t ids[T], targets[T] = {0};
  fill_ids(ids, T, config->vocab_size, 4);
  tn_train_pass *pass;
  double loss, worst = 0, largest = 0;
  must(tn_train_pass_new(&pass, s.model, s.stream, 1, T, &err));
  must(tn_train_pass_forward(pass, ids, targets, &loss, NULL, &err));
  rows r = {0};
  add_rows(&s, &r, 2, ids, 0, T);
  const float *served = run_rows(&s, &r), *trained = tn_train_pass_logits(pass);
  for (int64_t i = 0; i < T * config->vocab_size; i++) {
    worst = fmax(worst, fabs((double)served[i] - trained[i]));
    largest = fmax(largest, fabs((double)trained[i]));
  }
  assert_true(largest > 0.5);
  if (worst > 1e-5) fail_msg("logits differ by %.3g (largest is %.3g)", worst, largest);
  tn_train_pass_free(pass);
  stop_server(&s);
}

static void test_serving_equals_training(void **state) {
  tn_model_config c = mha_untied();
  check_against_training(&gqa_tied);
  check_against_training(&c);
}

/* Prefill whole, in chunks, and token by token; alone and among others; on one thread and on
 * three: every way gives the same bits. */
static void check_batching(tn_dtype kv) {
  tn_error err;
  enum { T = 17, OTHER = 15 };
  int64_t V = gqa_tied.vocab_size;
  size_t row_bytes = (size_t)V * 4;
  int32_t ids[T], other[OTHER];
  fill_ids(ids, T, V, 5);
  fill_ids(other, OTHER, V, 6);
  float *want = tn_alloc(T, row_bytes);
  for (int threads = 1; threads <= 3; threads += 2) {
    tn_pool *pool;
    server s;
    must(tn_pool_new(&pool, threads, &err));
    start_server_in(&s, &gqa_tied, kv, pool);
    rows whole = {0};
    add_rows(&s, &whole, 0, ids, 0, T);
    const float *got = run_rows(&s, &whole);
    if (threads == 1) memcpy(want, got, T * row_bytes);
    assert_memory_equal(got, want, T * row_bytes);
    /* chunks of 5, each beside a piece of another sequence's prefill */
    for (int at = 0; at < T; at += 5) {
      int end = at + 5 < T ? at + 5 : T;
      rows r = {0};
      add_rows(&s, &r, 3, other, at < OTHER ? at : 0, at + 3 < OTHER ? at + 3 : OTHER);
      int64_t first = r.count;
      add_rows(&s, &r, 1, ids, at, end);
      got = run_rows(&s, &r);
      assert_memory_equal(got + first * V, want + at * V, (size_t)(end - at) * row_bytes);
    }
    for (int at = 0; at < T; at++) { /* decode, beside rows before and behind */
      rows r = {0};
      if (at % 2) add_rows(&s, &r, 3, other, 0, OTHER);
      int64_t place = r.count;
      add_rows(&s, &r, 2, ids, at, at + 1);
      add_rows(&s, &r, 0, ids, 0, at % 3);
      got = run_rows(&s, &r);
      assert_memory_equal(got + place * V, want + at * V, row_bytes);
    }
    stop_server(&s);
    tn_pool_free(pool);
  }
  tn_free(want);
}

static const tn_dtype kv_dtypes[] = {TN_F32, TN_F16, TN_BF16, TN_I8, TN_F8_E4M3};
enum { KV_DTYPES = sizeof kv_dtypes / sizeof *kv_dtypes };

static void test_bit_equal_however_batched(void **state) {
  for (int i = 0; i < KV_DTYPES; i++) check_batching(kv_dtypes[i]);
}

/* Each type rounds by what it has, and none of them is another. */
static void test_types_of_the_kv_cache(void **state) {
  enum { T = 17 };
  static const double limits[KV_DTYPES] = {0, 2e-3, 2e-2, 2e-2, 0.1};
  int64_t count = T * gqa_tied.vocab_size;
  int32_t ids[T];
  fill_ids(ids, T, gqa_tied.vocab_size, 5);
  float *want = tn_alloc((size_t)count, sizeof *want);
  for (int i = 0; i < KV_DTYPES; i++) {
    server s;
    rows r = {0};
    start_server_in(&s, &gqa_tied, kv_dtypes[i], NULL);
    add_rows(&s, &r, 0, ids, 0, T);
    const float *got = run_rows(&s, &r);
    if (i == 0) memcpy(want, got, (size_t)count * sizeof *want);
    double worst = 0, largest = 0;
    for (int64_t k = 0; k < count; k++) {
      worst = fmax(worst, fabs((double)got[k] - want[k]));
      largest = fmax(largest, fabs((double)want[k]));
    }
    if (worst > limits[i] * largest || (i > 0 && worst < 1e-6 * largest))
      fail_msg("%s: logits differ by %.3g (largest is %.3g)", tn_dtype_name(kv_dtypes[i]), worst,
               largest);
    stop_server(&s);
  }
  tn_free(want);
}

static void test_logits_of_wanted_rows_only(void **state) {
  tn_error err;
  enum { T = 9 };
  int64_t V = gqa_tied.vocab_size;
  server s;
  start_server(&s, &gqa_tied, NULL);
  int32_t ids[T];
  fill_ids(ids, T, V, 7);
  rows r = {0};
  add_rows(&s, &r, 0, ids, 0, T);
  float *all = tn_alloc(T, (size_t)V * 4);
  memcpy(all, run_rows(&s, &r), T * (size_t)V * 4);
  static const int32_t wanted[3] = {8, 0, 5};
  tn_forward_batch b = batch_of(&s, &r);
  b.logit_rows = 3;
  b.logit_indices = wanted;
  const float *logits;
  must(tn_forward_run(s.forward, s.kv, &b, &logits, &err));
  for (int i = 0; i < 3; i++)
    assert_memory_equal(logits + i * V, all + wanted[i] * V, (size_t)V * 4);
  b.logit_rows = 0;
  must(tn_forward_run(s.forward, s.kv, &b, &logits, &err));
  for (int i = 0; i < T; i += 2) {
    const int32_t later[2] = {i, T - 1 - i};
    must(tn_forward_logits(s.forward, later, 2, &logits, &err));
    for (int k = 0; k < 2; k++)
      assert_memory_equal(logits + k * V, all + later[k] * V, (size_t)V * 4);
  }
  must(tn_forward_logits(s.forward, wanted, 0, &logits, &err));
  static const int32_t none[2] = {T, -1};
  for (int i = 0; i < 2; i++)
    assert_int_equal(tn_forward_logits(s.forward, &none[i], 1, &logits, &err), TN_ERR_ARGUMENT);
  b.rows = 0;
  must(tn_forward_run(s.forward, s.kv, &b, &logits, &err));
  assert_int_equal(tn_forward_logits(s.forward, wanted, 1, &logits, &err), TN_ERR_ARGUMENT);
  tn_free(all);
  stop_server(&s);
}

static void refuse(server *s, const tn_forward_batch *b, const char *word) {
  tn_error err = {0};
  const float *logits;
  tn_status status = tn_forward_run(s->forward, s->kv, b, &logits, &err);
  if (status != TN_ERR_ARGUMENT || !strstr(err.text, word))
    fail_msg("wanted \"%s\", got %s: %s", word, tn_status_text(status), err.text);
}

static void test_serving_pass_refuses(void **state) {
  enum { T = 6 };
  server s;
  start_server(&s, &gqa_tied, NULL);
  int32_t ids[T];
  fill_ids(ids, T, gqa_tied.vocab_size, 8);
  rows good = {0}, bad;
  add_rows(&s, &good, 0, ids, 0, T);
  tn_forward_batch b = batch_of(&s, &good);
  b.rows = ROWS_MAX + 1;
  refuse(&s, &b, "rows is 49");
  b = batch_of(&s, &good);
  b.sequence_count = SEQUENCES + 1;
  refuse(&s, &b, "sequence_count");
#define BAD(field, value, word) \
  bad = good;                   \
  bad.field[4] = value;         \
  b = batch_of(&s, &bad);       \
  refuse(&s, &b, word)
  BAD(ids, 61, "row 4: token 61");
  BAD(ids, -1, "row 4: token -1");
  BAD(positions, PER_SEQUENCE * BLOCK, "row 4: position 24");
  BAD(positions, -1, "position -1");
  BAD(sequences, SEQUENCES, "sequence 4");
  BAD(slots, BLOCKS * BLOCK, "slot 96");
  BAD(wanted, T, "wants row 6");
  int32_t kept = s.table[1];
  s.table[1] = BLOCKS;
  b = batch_of(&s, &good);
  refuse(&s, &b, "block 1");
  s.table[1] = kept;
  tn_model_config c = mha_untied();
  server other;
  start_server(&other, &c, NULL);
  tn_kv_cache *mine = s.kv;
  s.kv = other.kv;
  refuse(&s, &b, "another model");
  s.kv = mine;
  stop_server(&other);
  stop_server(&s);
}

/* Inputs of every linear, in the order of the calls; and, when told to, of one weight's only,
 * halved on the way. */
typedef struct watched {
  int64_t calls, weights[2 * 7];
  double sums[2 * 7];
  int64_t halved; /* a weight; -1: none */
  tn_tensor half;
} watched;

static tn_status watch_linear(void *context, int64_t weight, tn_tensor *x, tn_error *err) {
  watched *w = context;
  const float *data = tn_tensor_data(x);
  double sum = 0;
  for (int64_t i = 0; i < tn_tensor_count(x); i++) sum += (double)data[i] * (double)(i % 13 + 1);
  assert_true(w->calls < 2 * 7);
  w->weights[w->calls] = weight;
  w->sums[w->calls++] = sum;
  if (weight != w->halved) return TN_OK;
  float *half = tn_tensor_data(&w->half);
  for (int64_t i = 0; i < tn_tensor_count(x); i++) half[i] = data[i] / 2;
  tn_tensor other = *x;
  other.buffer = w->half.buffer;
  other.offset_bytes = 0;
  *x = other;
  return TN_OK;
}

static void test_a_layer_at_a_time(void **state) {
  enum { T = 11, DOWN = 2 * 9, NEXT = 2 };
  tn_error err;
  server s;
  start_server(&s, &gqa_tied, NULL);
  int32_t ids[T];
  float hidden[T * 24];
  rows r = {0};
  fill_ids(ids, T, gqa_tied.vocab_size, 8);
  add_rows(&s, &r, 1, ids, 0, T);
  watched whole = {.halved = -1}, steps = {.halved = -1}, changed = {.halved = DOWN};
  tn_forward_set_watch(s.forward, watch_linear, &whole);
  const float *logits = run_rows(&s, &r);
  float last[61];
  memcpy(last, logits + (T - 1) * 61, sizeof last);
  tn_forward_set_watch(s.forward, watch_linear, &steps);
  tn_forward_batch b = batch_of(&s, &r);
  must(tn_forward_embed(s.forward, s.kv, &b, hidden, &err));
  for (int64_t layer = 0; layer < 2; layer++)
    must(tn_forward_layer(s.forward, s.kv, &b, layer, hidden, &err));
  assert_int_equal(whole.calls, 2 * 7);
  assert_int_equal(steps.calls, 2 * 7);
  assert_memory_equal(whole.weights, steps.weights, sizeof whole.weights);
  assert_memory_equal(whole.sums, steps.sums, sizeof whole.sums);
  assert_int_equal(whole.weights[0], NEXT);
  assert_int_equal(whole.weights[13], DOWN);
  /* An exchanged input counts. */
  must(tn_buffer_new(&changed.half.buffer, T * 40 * sizeof(float), &err));
  changed.half = (tn_tensor){.buffer = changed.half.buffer, .rank = 1, .shape = {T * 40}};
  tn_forward_set_watch(s.forward, watch_linear, &changed);
  logits = run_rows(&s, &r);
  assert_memory_equal(changed.sums, whole.sums, sizeof whole.sums);
  assert_memory_not_equal(last, logits + (T - 1) * 61, sizeof last);
  tn_buffer_drop(changed.half.buffer);
  tn_forward_set_watch(s.forward, NULL, NULL);
  assert_memory_equal(last, run_rows(&s, &r) + (T - 1) * 61, sizeof last);
  assert_int_equal(tn_forward_layer(s.forward, s.kv, &b, 2, hidden, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "layer 2"));
  /* A parameter may be another tensor. */
  int64_t count;
  tn_tensor down = tn_model_parameters(s.model, &count)[DOWN].tensor, zeros = down;
  must(tn_buffer_new(&zeros.buffer, (size_t)tn_tensor_bytes(&down), &err));
  zeros.offset_bytes = 0;
  tn_model_set_parameter(s.model, DOWN, &zeros);
  assert_memory_not_equal(last, run_rows(&s, &r) + (T - 1) * 61, sizeof last);
  tn_model_set_parameter(s.model, DOWN, &down);
  assert_memory_equal(last, run_rows(&s, &r) + (T - 1) * 61, sizeof last);
  tn_buffer_drop(zeros.buffer);
  stop_server(&s);
}

/* Half the inputs of one linear are half its weights, bit for bit; those that read the same inputs
 * have them whole. */
static void test_an_exchanged_input_is_one_linears(void **state) {
  enum { T = 11, Q = 2, K = 3, V = 4, GATE = 7, UP = 8 };
  static const int64_t places[] = {Q, K, V, GATE, UP};
  tn_error err;
  server s;
  start_server(&s, &gqa_tied, NULL);
  int32_t ids[T];
  float watched_logits[T * 61];
  rows r = {0};
  fill_ids(ids, T, gqa_tied.vocab_size, 8);
  add_rows(&s, &r, 1, ids, 0, T);
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    watched w = {.halved = places[i]};
    must(tn_buffer_new(&w.half.buffer, T * 24 * sizeof(float), &err));
    w.half = (tn_tensor){.buffer = w.half.buffer, .rank = 1, .shape = {T * 24}};
    tn_forward_set_watch(s.forward, watch_linear, &w);
    memcpy(watched_logits, run_rows(&s, &r), sizeof watched_logits);
    tn_forward_set_watch(s.forward, NULL, NULL);
    int64_t count;
    tn_tensor weight = tn_model_parameters(s.model, &count)[places[i]].tensor, half = weight;
    must(tn_buffer_new(&half.buffer, (size_t)tn_tensor_bytes(&weight), &err));
    half.offset_bytes = 0;
    for (int64_t j = 0; j < tn_tensor_count(&weight); j++)
      ((float *)tn_tensor_data(&half))[j] = ((float *)tn_tensor_data(&weight))[j] / 2;
    tn_model_set_parameter(s.model, places[i], &half);
    assert_memory_equal(watched_logits, run_rows(&s, &r), sizeof watched_logits);
    tn_model_set_parameter(s.model, places[i], &weight);
    tn_buffer_drop(half.buffer);
    tn_buffer_drop(w.half.buffer);
  }
  stop_server(&s);
}

static void test_rope_table_grows(void **state) {
  tn_error err;
  tn_model_config c = gqa_tied;
  c.positions_max = 10000;
  tn_model *m = new_model(&c);
  tn_stream *stream = new_stream(NULL);
  tn_kv_cache *kv;
  tn_forward *f, *fresh;
  must(tn_kv_cache_new(&kv, m, TN_F32, 2, 8192, &err));
  must(tn_forward_new(&f, m, stream, 4, 4, 1, 2, &err));
  must(tn_forward_new(&fresh, m, stream, 4, 4, 1, 2, &err));
  int32_t id = 5, position = 0, sequence = 0, slot = 0, wanted = 0, table[2] = {0, 1};
  tn_forward_batch b = {1, &id, &position, &sequence, &slot, 1, 2, table, 1, &wanted};
  const float *logits;
  float before[61];
  must(tn_forward_run(f, kv, &b, &logits, &err));
  memcpy(before, logits, sizeof before);
  position = slot = 9999;
  must(tn_forward_run(f, kv, &b, &logits, &err));
  position = 10000;
  assert_int_equal(tn_forward_run(f, kv, &b, &logits, &err), TN_ERR_ARGUMENT);
  position = slot = 0;
  must(tn_forward_run(f, kv, &b, &logits, &err)); /* the larger table begins like the smaller */
  assert_memory_equal(logits, before, sizeof before);
  tn_forward_free(f);
  tn_forward_free(fresh);
  tn_kv_cache_free(kv);
  tn_stream_close(stream);
  tn_model_free(m);
}

static void test_kv_cache(void **state) {
  tn_error err;
  tn_model *m = new_model(&gqa_tied);
  tn_kv_cache *kv;
  assert_int_equal(tn_kv_cache_block_bytes(&gqa_tied, TN_F32, 16), 2 * 2 * 2 * 10 * 16 * 4);
  assert_int_equal(tn_kv_cache_block_bytes(&gqa_tied, TN_F32, INT64_MAX / 2), -1);
  assert_int_equal(tn_kv_cache_new(&kv, m, TN_F32, 0, 16, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_kv_cache_new(&kv, m, TN_F32, 1 << 30, 16, &err), TN_ERR_LIMIT);
  must(tn_kv_cache_new(&kv, m, TN_F32, 3, 16, &err));
  assert_int_equal(kv->buffer->bytes, 3 * tn_kv_cache_block_bytes(&gqa_tied, TN_F32, 16));
  assert_int_equal(kv->v[1].offset_bytes + tn_tensor_bytes(&kv->v[1]), kv->buffer->bytes);
  tn_kv_cache_free(kv);
  for (int i = 0; i < KV_DTYPES; i++) { /* coded types have a scale of 4 bytes a token and head */
    bool coded = i >= 3;
    int64_t bytes = 2 * 2 * 2 * 16 * (10 * tn_dtype_bytes(kv_dtypes[i]) + (coded ? 4 : 0));
    assert_int_equal(tn_kv_cache_block_bytes(&gqa_tied, kv_dtypes[i], 16), bytes);
    must(tn_kv_cache_new(&kv, m, kv_dtypes[i], 3, 16, &err));
    assert_int_equal(kv->buffer->bytes, 3 * bytes);
    assert_int_equal(kv->v[1].offset_bytes + tn_tensor_bytes(&kv->v[1]), kv->buffer->bytes);
    assert_int_equal(kv->v_scale[1].buffer != NULL, coded);
    if (coded)
      assert_int_equal(kv->v_scale[1].offset_bytes + 3 * 2 * 16 * 4, kv->k[0].offset_bytes);
    tn_kv_cache_free(kv);
  }
  assert_int_equal(tn_kv_cache_new(&kv, m, TN_F64, 3, 16, &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "float64"));
  tn_model_free(m);
}

static void test_words_for_the_kv_cache(void **state) {
  tn_error err;
  tn_dtype dtype;
  tn_model *m = new_model(&gqa_tied);
  must(tn_kv_dtype_of_word(&dtype, m, "auto", &err));
  assert_int_equal(dtype, TN_F16);
  for (int i = 0; i < KV_DTYPES; i++) {
    must(tn_kv_dtype_of_word(&dtype, m, tn_kv_dtype_word(kv_dtypes[i]), &err));
    assert_int_equal(dtype, kv_dtypes[i]);
  }
  assert_int_equal(tn_kv_dtype_of_word(&dtype, m, "int4", &err), TN_ERR_ARGUMENT);
  assert_non_null(strstr(err.text, "int4"));
  tn_model_free(m);
}

/* ---- checkpoints ---- */

static char folder[] = "/tmp/tenon_model_XXXXXX";
static char weights_path[96];

static int make_folder(void **state) {
  if (!mkdtemp(folder)) return -1;
  snprintf(weights_path, sizeof weights_path, "%s/model.safetensors", folder);
  return 0;
}

static int remove_folder(void **state) {
  tn_error err;
  return tn_dir_remove(folder, &err) == TN_OK ? 0 : -1;
}

static void compare_models(const tn_model *a, const tn_model *b, tn_dtype dtype) {
  int64_t count, other;
  const tn_parameter *x = tn_model_parameters(a, &count), *y = tn_model_parameters(b, &other);
  assert_int_equal(count, other);
  for (int64_t i = 0; i < count; i++) {
    assert_string_equal(x[i].name, y[i].name);
    int64_t n = tn_tensor_count(&x[i].tensor);
    assert_int_equal(n, tn_tensor_count(&y[i].tensor));
    const float *wide = tn_tensor_data(&x[i].tensor);
    for (int64_t k = 0; k < n; k++) {
      double got = tn_element_get(tn_tensor_data(&y[i].tensor), y[i].tensor.dtype, k);
      double want = dtype == TN_BF16 ? tn_bf16_to_f32(tn_f32_to_bf16(wide[k])) : wide[k];
      assert_true(got == want);
    }
  }
}

static void test_save_and_open(void **state) {
  tn_error err;
  for (int k = 0; k < 4; k++) {
    tn_model_config c = k & 1 ? gqa_tied : mha_untied();
    tn_dtype dtype = k & 2 ? TN_BF16 : TN_F32;
    tn_model *m = new_model(&c), *opened, *trainable;
    must(tn_model_save(m, folder, dtype, &err));
    must(tn_model_open(&opened, folder, tn_device_cpu(), &err));
    compare_models(m, opened, dtype);
    int64_t count;
    assert_int_equal(tn_model_parameters(opened, &count)[0].tensor.dtype, dtype);
    assert_null(tn_model_flat(opened).buffer);
    must(tn_model_open_trainable(&trainable, folder, tn_device_cpu(), &err));
    compare_models(m, trainable, dtype);
    assert_non_null(tn_model_flat(trainable).buffer);
    must(tn_model_save(opened, folder, dtype, &err)); /* over the file that it is mapped from */
    tn_model *again;
    must(tn_model_open(&again, folder, tn_device_cpu(), &err));
    compare_models(m, again, dtype);
    tn_model_free(again);
    tn_model_free(opened);
    tn_model_free(trainable);
    tn_model_free(m);
  }
  tn_model *m = new_model(&gqa_tied);
  assert_int_equal(tn_model_save(m, folder, TN_I8, &err), TN_ERR_ARGUMENT);
  tn_model_free(m);
}

/* Rewrites the saved weights with one thing changed. */
typedef void (*change_list)(tn_named_tensor *list, int64_t *count);

static void write_changed(change_list change, tn_dtype dtype) {
  tn_error err;
  tn_model *m = new_model(&gqa_tied);
  must(tn_model_save(m, folder, TN_F32, &err));
  int64_t count;
  const tn_parameter *p = tn_model_parameters(m, &count);
  tn_named_tensor *list = tn_alloc((size_t)count + 4, sizeof *list);
  for (int64_t i = 0; i < count; i++) list[i] = (tn_named_tensor){p[i].name, p[i].tensor};
  if (change) change(list, &count);
  must(tn_safetensors_write_as(weights_path, list, count, dtype, NULL, 0, &err));
  tn_free(list);
  tn_model_free(m);
}

static void drop_tensor(tn_named_tensor *list, int64_t *count) {
  list[4] = list[--*count];
}
static void turn_tensor(tn_named_tensor *list, int64_t *count) {
  tn_tensor *t = &list[7].tensor; /* gate_proj [40, 24] */
  t->shape[0] = 24, t->shape[1] = 40, t->strides[0] = 40;
}
static void add_bias(tn_named_tensor *list, int64_t *count) {
  list[*count] = list[1];
  list[(*count)++].name = "model.layers.0.self_attn.q_proj.bias";
}
static void add_harmless(tn_named_tensor *list, int64_t *count) {
  list[*count] = list[0]; /* the tied head, written all the same */
  list[(*count)++].name = "lm_head.weight";
  list[*count] = list[1];
  list[(*count)++].name = "model.layers.0.self_attn.rotary_emb.inv_freq";
}

static void expect_open(tn_status status, const char *a, const char *b) {
  tn_error err = {0};
  tn_model *m = NULL;
  tn_status got = tn_model_open(&m, folder, tn_device_cpu(), &err);
  if (got != status || !strstr(err.text, a) || !strstr(err.text, b))
    fail_msg("wanted %s with \"%s\" and \"%s\", got %s: %s", tn_status_text(status), a, b,
             tn_status_text(got), err.text);
  tn_model_free(m);
}

static void test_wrong_checkpoints(void **state) {
  tn_error err;
  write_changed(drop_tensor, TN_F32);
  expect_open(TN_ERR_NOT_FOUND, "model.safetensors", "model.layers.0.self_attn.v_proj.weight");
  write_changed(turn_tensor, TN_F32);
  expect_open(TN_ERR_DATA, "model.layers.0.mlp.gate_proj.weight",
              "float32[24, 40], config.json wants [40, 24]");
  write_changed(add_bias, TN_F32);
  expect_open(TN_ERR_UNSUPPORTED, "model.safetensors", "q_proj.bias");
  write_changed(NULL, TN_F64);
  expect_open(TN_ERR_UNSUPPORTED, "model.embed_tokens.weight", "float64");
  write_changed(add_harmless, TN_F32);
  expect_open(TN_OK, "", "");
  must(tn_file_write_atomic(weights_path, TN_STR("not one"), &err));
  expect_open(TN_ERR_DATA, "model.safetensors", "7 bytes");
  assert_int_equal(unlink(weights_path), 0);
  expect_open(TN_ERR_NOT_FOUND, folder, "index.json");
}

/* Matrices are used as they are, vectors become float32. */
static void test_half_precision(void **state) {
  tn_error err;
  write_changed(NULL, TN_F16);
  tn_model *m = new_model(&gqa_tied), *opened;
  must(tn_model_open(&opened, folder, tn_device_cpu(), &err));
  int64_t count;
  const tn_parameter *x = tn_model_parameters(m, &count), *y = tn_model_parameters(opened, NULL);
  for (int64_t i = 0; i < count; i++) {
    assert_int_equal(y[i].tensor.dtype, y[i].tensor.rank == 2 ? TN_F16 : TN_F32);
    const float *a = tn_tensor_data(&x[i].tensor);
    const void *b = tn_tensor_data(&y[i].tensor);
    for (int64_t k = 0; k < tn_tensor_count(&x[i].tensor); k++)
      assert_true(tn_element_get(b, y[i].tensor.dtype, k) ==
                  (double)tn_f16_to_f32(tn_f32_to_f16(a[k])));
  }
  tn_model_free(opened);
  tn_model_free(m);
}

/* Old writers did not pad the header: data at any byte. */
static void test_unaligned_data(void **state) {
  tn_error err;
  write_changed(NULL, TN_F32);
  tn_strbuf file = {0};
  must(tn_file_read(weights_path, 0, &file, &err));
  uint64_t length;
  memcpy(&length, file.data, 8);
  /* no checksums, one blank more: rebuild the header from the entries behind __metadata__ */
  const char *entries = strstr(file.data + 8, "},\"model.");
  assert_non_null(entries);
  entries += 2;
  size_t tail = (size_t)(file.data + 8 + length - entries);
  while (entries[tail - 1] == ' ') tail--;
  tn_strbuf moved = {0};
  uint64_t header = tail + 1;
  if (header % 4 == 0) header++;
  tn_strbuf_append(&moved, &header, 8);
  tn_strbuf_add(&moved, "{");
  tn_strbuf_append(&moved, entries, tail);
  while (moved.length < 8 + header) tn_strbuf_add_char(&moved, ' ');
  tn_strbuf_append(&moved, file.data + 8 + length, file.length - 8 - length);
  must(tn_file_write_atomic(weights_path, tn_strbuf_view(&moved), &err));
  tn_model *m = new_model(&gqa_tied), *opened;
  must(tn_model_open(&opened, folder, tn_device_cpu(), &err));
  compare_models(m, opened, TN_F32);
  int64_t count;
  const tn_parameter *p = tn_model_parameters(opened, &count);
  for (int64_t i = 0; i < count; i++)
    assert_int_equal((uintptr_t)tn_tensor_data(&p[i].tensor) % 4, 0);
  tn_model_free(opened);
  tn_model_free(m);
  tn_strbuf_clear(&file);
  tn_strbuf_clear(&moved);
}

static void test_flipped_byte_is_noticed(void **state) {
  tn_error err;
  write_changed(NULL, TN_F32);
  tn_strbuf file = {0};
  must(tn_file_read(weights_path, 0, &file, &err));
  file.data[file.length - 10] ^= 1;
  must(tn_file_write_atomic(weights_path, tn_strbuf_view(&file), &err));
  expect_open(TN_ERR_CHECKSUM, "model.safetensors", "model.norm.weight");
  tn_strbuf_clear(&file);
}

static void put_text(const char *name, const char *text) {
  tn_error err;
  char path[160];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  must(tn_file_write_atomic(path, tn_str_of(text), &err));
}

static void test_bad_index(void **state) {
  write_changed(NULL, TN_F32);
  assert_int_equal(unlink(weights_path), 0);
  put_text("model.safetensors.index.json", "{}");
  expect_open(TN_ERR_DATA, "index.json", "weight_map");
  put_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"../b.safetensors\"}}");
  expect_open(TN_ERR_DATA, "index.json", "\"a\"");
  put_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"\"}}");
  expect_open(TN_ERR_DATA, "index.json", "\"a\"");
  put_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"gone.safetensors\"}}");
  expect_open(TN_ERR_NOT_FOUND, "gone.safetensors", folder);
  put_text("model.safetensors.index.json", "{\"weight_map\":{}}");
  expect_open(TN_ERR_NOT_FOUND, "index.json", "model.embed_tokens.weight");
  put_text("model.safetensors.index.json", "{\"weight_map\":");
  expect_open(TN_ERR_DATA, "index.json", "line 1");
  char path[160];
  snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
  assert_int_equal(unlink(path), 0);
}

/* ---- every allocation failing in turn ---- */

static tn_status whole_life(tn_error *err) {
  tn_model *m = NULL;
  tn_stream *stream = NULL;
  tn_kv_cache *kv = NULL;
  tn_forward *f = NULL;
  tn_train_pass *pass = NULL;
  tn_buffer *buffer = NULL;
  int32_t ids[4] = {1, 2, 3, 4}, targets[4] = {2, 3, 4, 5}, zero[4] = {0}, table[1] = {0};
  int32_t places[4] = {0, 1, 2, 3};
  double loss;
  const float *logits;
  tn_status status = tn_model_open_trainable(&m, folder, tn_device_cpu(), err);
  if (status == TN_OK) status = tn_stream_open(tn_device_cpu(), NULL, &stream, err);
  if (status == TN_OK) status = tn_kv_cache_new(&kv, m, TN_F32, 1, 4, err);
  if (status == TN_OK) status = tn_forward_new(&f, m, stream, 4, 4, 1, 1, err);
  if (status == TN_OK) status = tn_train_pass_new(&pass, m, stream, 1, 4, err);
  tn_forward_batch b = {4, ids, places, zero, places, 1, 1, table, 4, places};
  if (status == TN_OK) status = tn_forward_run(f, kv, &b, &logits, err);
  if (status == TN_OK) status = tn_train_pass_forward(pass, ids, targets, &loss, NULL, err);
  if (status == TN_OK)
    status = tn_buffer_new(&buffer, (size_t)tn_model_config_parameters(&gqa_tied) * 4, err);
  if (status == TN_OK) {
    tn_tensor grads = tn_model_flat(m);
    grads.buffer = buffer;
    status = tn_train_pass_backward(pass, &grads, 1, false, err);
  }
  if (status == TN_OK) status = tn_model_save(m, folder, TN_BF16, err);
  tn_train_pass_free(pass);
  tn_buffer_drop(buffer);
  tn_forward_free(f);
  tn_kv_cache_free(kv);
  tn_stream_close(stream);
  tn_model_free(m);
  if (status != TN_OK) return status;
  status = tn_model_open(&m, folder, tn_device_cpu(), err);
  if (status == TN_OK) tn_model_free(m);
  return status;
}

static void test_failing_allocations(void **state) {
  tn_error err;
  tn_model *m = new_model(&gqa_tied);
  must(tn_model_save(m, folder, TN_BF16, &err));
  tn_model_free(m);
  must(whole_life(&err)); /* what is made once for the process */
  int64_t live = tn_alloc_live();
  int failures = 0;
  for (int64_t n = 1;; n++) {
    tn_alloc_fail_at(n);
    tn_status status = whole_life(&err);
    tn_alloc_fail_at(0);
    if (tn_alloc_live() != live) fail_msg("allocation %lld: leak", (long long)n);
    if (status == TN_OK) break;
    if (status != TN_ERR_MEMORY)
      fail_msg("allocation %lld: %s: %s", (long long)n, tn_status_text(status), err.text);
    failures++;
  }
  assert_true(failures > 40);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parameters_and_init),
      cmocka_unit_test(test_refuses_impossible_models),
      cmocka_unit_test(test_gradients_gqa_tied),
      cmocka_unit_test(test_gradients_mha_untied),
      cmocka_unit_test(test_gradients_gpt2),
      cmocka_unit_test(test_fresh_gradients),
      cmocka_unit_test(test_logits_that_are_never_held),
      cmocka_unit_test(test_loss_is_the_mean_of_the_counted),
      cmocka_unit_test(test_gradients_add_up_and_scale),
      cmocka_unit_test(test_a_step_allocates_nothing),
      cmocka_unit_test(test_training_pass_refuses),
      cmocka_unit_test(test_serving_equals_training),
      cmocka_unit_test(test_bit_equal_however_batched),
      cmocka_unit_test(test_logits_of_wanted_rows_only),
      cmocka_unit_test(test_serving_pass_refuses),
      cmocka_unit_test(test_a_layer_at_a_time),
      cmocka_unit_test(test_an_exchanged_input_is_one_linears),
      cmocka_unit_test(test_rope_table_grows),
      cmocka_unit_test(test_kv_cache),
      cmocka_unit_test(test_types_of_the_kv_cache),
      cmocka_unit_test(test_words_for_the_kv_cache),
      cmocka_unit_test(test_save_and_open),
      cmocka_unit_test(test_wrong_checkpoints),
      cmocka_unit_test(test_half_precision),
      cmocka_unit_test(test_unaligned_data),
      cmocka_unit_test(test_flipped_byte_is_noticed),
      cmocka_unit_test(test_bad_index),
      cmocka_unit_test(test_failing_allocations),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
