/* SPDX-License-Identifier: Apache-2.0 */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "feed/loader.h"

enum { PATH_BYTES = 4352 };

struct tn_trainer {
  const tn_run_config *config;
  tn_stream *stream;
  const tn_ops *ops;
  tn_corpus corpus;
  tn_model *model;
  tn_optimizer *optimizer;
  tn_train_pass *pass;
  tn_loader *loader;
  tn_buffer *grad_buffer;
  tn_tensor grads;
  int32_t *targets; /* of a validation batch, with the rows beyond the end masked */
  tn_train_state state;
};

/* ---- making
 * ---------------------------------------------------------------------------------------- */

/* Tokenizers may have added tokens above the model's: what counts is whether the data holds any. */
static tn_status check_tokens(const tn_trainer *t, int64_t vocab_size, tn_error *err) {
  for (int64_t s = 0; s < tn_token_set_shards(t->corpus.set); s++) {
    int64_t count;
    const int32_t *ids = tn_token_set_shard(t->corpus.set, s, &count, NULL);
    for (int64_t i = 0; i < count; i++)
      if (ids[i] >= vocab_size)
        return tn_fail(err, TN_ERR_DATA,
                       "the data has %lld tokens and holds id %d, the model of %s knows %lld",
                       (long long)t->corpus.vocab_size, ids[i], t->config->init,
                       (long long)vocab_size);
  }
  return TN_OK;
}

static tn_status check_vocabulary(const tn_trainer *t, tn_error *err) {
  const tn_model_config *shape = tn_model_config_of(t->model);
  if (t->corpus.vocab_size > shape->vocab_size) TN_TRY(check_tokens(t, shape->vocab_size, err));
  if (t->config->batch.tokens > shape->positions_max)
    return tn_fail(err, TN_ERR_DATA, "batch.tokens is %lld, the model of %s has %lld positions",
                   (long long)t->config->batch.tokens, t->config->init,
                   (long long)shape->positions_max);
  return TN_OK;
}

/* With `init` the shape is the foreign model's, which the checkpoint remembers. */
static tn_status remembered_shape(const char *checkpoint, tn_model_config *shape, tn_error *err) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s/config.json", checkpoint);
  return tn_model_config_read(shape, path, err);
}

static tn_status make_model(tn_trainer *t, const char *checkpoint, tn_error *err) {
  tn_device *device = t->stream->device;
  tn_model_config shape;
  if (t->config->init && !checkpoint) {
    TN_TRY(tn_model_open_trainable(&t->model, t->config->init, device, err));
    return check_vocabulary(t, err);
  }
  if (t->config->init)
    TN_TRY(remembered_shape(checkpoint, &shape, err));
  else
    TN_TRY(tn_run_config_model(t->config, t->corpus.vocab_size, t->corpus.eos_id, &shape, err));
  TN_TRY(tn_model_new(&t->model, &shape, device, err));
  if (!checkpoint) tn_model_init(t->model, (uint64_t)t->config->seed);
  return TN_OK;
}

static tn_status make_gradients(tn_trainer *t, tn_error *err) {
  tn_tensor flat = tn_model_flat(t->model);
  TN_TRY(tn_device_buffer_new(t->stream->device, &t->grad_buffer, (size_t)tn_tensor_bytes(&flat),
                              err));
  return tn_tensor_view(&t->grads, t->grad_buffer, 0, TN_F32, 1,
                        (int64_t[]){tn_tensor_count(&flat)}, err);
}

static tn_status make_optimizer(tn_trainer *t, tn_error *err) {
  tn_optimizer_options options = {
      .beta1 = t->config->optimizer.beta1,
      .beta2 = t->config->optimizer.beta2,
      .eps = t->config->optimizer.eps,
      .weight_decay = t->config->optimizer.weight_decay,
      .clip = t->config->optimizer.clip,
  };
  return tn_optimizer_new(&t->optimizer, t->model, t->stream, &options, err);
}

static tn_status check_same_data(const tn_trainer *t, const char *checkpoint, tn_error *err) {
  uint64_t now = tn_token_set_hash(t->corpus.set);
  if (t->state.token_set_hash == now) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT,
                 "%s: was trained on other tokens (their hash is %016llx, the data's now %016llx)",
                 checkpoint, (unsigned long long)t->state.token_set_hash, (unsigned long long)now);
}

static tn_status restore(tn_trainer *t, const char *checkpoint, tn_error *err) {
  if (checkpoint) {
    TN_TRY(tn_checkpoint_load(checkpoint, t->config, t->model, t->optimizer, &t->state, err));
    return check_same_data(t, checkpoint, err);
  }
  t->state.seed = (uint64_t)t->config->seed;
  t->state.token_set_hash = tn_token_set_hash(t->corpus.set);
  return TN_OK;
}

static tn_status make_loader(tn_trainer *t, tn_error *err) {
  tn_loader_options options = {
      .batch = t->config->batch.sequences,
      .tokens = t->config->batch.tokens,
      .seed = t->state.seed,
      .order = t->config->data.order == TN_SAMPLES_RANDOM ? TN_ORDER_RANDOM : TN_ORDER_SHUFFLE,
      .start = t->state.samples,
      .token_count = t->corpus.train_tokens,
  };
  return tn_loader_new(&t->loader, t->corpus.set, &options, err);
}

static tn_status make_parts(tn_trainer *t, tn_pool *pool, const char *checkpoint, tn_error *err) {
  int64_t batch = t->config->batch.sequences, tokens = t->config->batch.tokens;
  TN_TRY(tn_stream_open(tn_device_cpu(), pool, &t->stream, err));
  t->ops = tn_ops_for(t->stream->device);
  TN_TRY(tn_corpus_open(&t->corpus, t->config, err));
  TN_TRY(make_model(t, checkpoint, err));
  TN_TRY(make_optimizer(t, err));
  TN_TRY(restore(t, checkpoint, err));
  TN_TRY(make_gradients(t, err));
  TN_TRY(tn_train_pass_new(&t->pass, t->model, t->stream, batch, tokens, err));
  t->targets = tn_alloc((size_t)batch, (size_t)tokens * sizeof *t->targets);
  if (!t->targets) return tn_fail_memory(err, "a batch", (size_t)batch * (size_t)tokens * 4);
  return make_loader(t, err);
}

tn_status tn_trainer_new(tn_trainer **out, const tn_run_config *config, tn_pool *pool,
                         const char *checkpoint, tn_error *err) {
  *out = NULL;
  tn_trainer *t = tn_alloc(1, sizeof *t);
  if (!t) return tn_fail_memory(err, "a trainer", sizeof *t);
  t->config = config;
  tn_status status = make_parts(t, pool, checkpoint, err);
  if (status != TN_OK) {
    tn_trainer_free(t);
    return status;
  }
  *out = t;
  return TN_OK;
}

void tn_trainer_free(tn_trainer *t) {
  if (!t) return;
  tn_loader_free(t->loader);
  tn_train_pass_free(t->pass);
  tn_optimizer_free(t->optimizer);
  tn_model_free(t->model);
  tn_corpus_close(&t->corpus);
  tn_buffer_drop(t->grad_buffer);
  tn_stream_close(t->stream);
  tn_free(t->targets);
  tn_free(t);
}

/* ---- one step
 * ---------------------------------------------------------------------------------------- */

/* Every micro-batch counts the same number of targets, so the mean of their means is the mean. */
static tn_status accumulate(tn_trainer *t, double *loss, tn_error *err) {
  int64_t times = t->config->batch.accumulate;
  *loss = 0;
  for (int64_t i = 0; i < times; i++) {
    tn_token_batch batch;
    double part;
    TN_TRY(tn_loader_next(t->loader, &batch, err));
    TN_TRY(tn_train_pass_forward(t->pass, batch.ids, batch.targets, &part, NULL, err));
    if (!isfinite(part))
      return tn_fail(err, TN_ERR_DATA, "step %lld: the loss is %g", (long long)t->state.step + 1,
                     part);
    TN_TRY(tn_train_pass_backward(t->pass, &t->grads, 1.0 / (double)times, i == 0, err));
    *loss += part / (double)times;
  }
  return TN_OK;
}

static void advance(tn_trainer *t, double loss) {
  int64_t samples = t->config->batch.sequences * t->config->batch.accumulate;
  t->state.loss_average = t->state.step == 0 ? loss : 0.98 * t->state.loss_average + 0.02 * loss;
  t->state.step++;
  t->state.samples += samples;
  t->state.tokens += samples * t->config->batch.tokens;
}

tn_status tn_trainer_step(tn_trainer *t, tn_step_record *record, tn_error *err) {
  tn_schedule schedule = tn_run_config_schedule(t->config);
  int64_t started_us = tn_time_us(), tokens = t->state.tokens;
  double waited = tn_loader_wait_seconds(t->loader), loss, grad_norm;
  double lr = tn_schedule_lr(&schedule, t->state.step);
  TN_TRY(accumulate(t, &loss, err));
  TN_TRY(tn_optimizer_step(t->optimizer, &t->grads, t->state.step + 1, lr, &grad_norm, err));
  TN_TRY(tn_stream_synchronize(t->stream, err));
  advance(t, loss);
  double seconds = fmax((double)(tn_time_us() - started_us), 1) / 1e6;
  record->step = t->state.step;
  record->loss = loss;
  record->loss_average = t->state.loss_average;
  record->lr = lr;
  record->grad_norm = grad_norm;
  record->tokens_per_second = (double)(t->state.tokens - tokens) / seconds;
  record->wait_share = fmin((tn_loader_wait_seconds(t->loader) - waited) / seconds, 1);
  return TN_OK;
}

/* ---- validation
 * ---------------------------------------------------------------------------------------- */

/* A loader goes round; rows beyond the last window are not counted. */
static const int32_t *masked_targets(tn_trainer *t, const tn_token_batch *batch, int64_t windows) {
  int64_t rows = t->config->batch.sequences, tokens = t->config->batch.tokens;
  if (batch->first_sample + rows <= windows) return batch->targets;
  memcpy(t->targets, batch->targets, (size_t)(rows * tokens) * sizeof *t->targets);
  for (int64_t r = windows - batch->first_sample; r < rows; r++)
    for (int64_t i = 0; i < tokens; i++) t->targets[r * tokens + i] = -1;
  return t->targets;
}

static tn_status evaluate_with(tn_trainer *t, tn_loader *loader, bool (*stop)(void *),
                               void *context, double *loss, tn_error *err) {
  int64_t windows = tn_loader_epoch_samples(loader), rows = t->config->batch.sequences;
  int64_t batches = (windows + rows - 1) / rows, counted_all = 0,
          limit = t->config->evaluate.batches;
  if (limit > 0 && batches > limit) batches = limit;
  double sum = 0;
  for (int64_t i = 0; i < batches; i++) {
    if (stop && stop(context)) return tn_fail(err, TN_ERR_INTERRUPTED, "validation: stopped");
    tn_token_batch batch;
    double part;
    int64_t counted;
    TN_TRY(tn_loader_next(loader, &batch, err));
    const int32_t *targets = masked_targets(t, &batch, windows);
    TN_TRY(tn_train_pass_forward(t->pass, batch.ids, targets, &part, &counted, err));
    sum += part * (double)counted;
    counted_all += counted;
  }
  *loss = sum / (double)counted_all;
  return TN_OK;
}

tn_status tn_trainer_evaluate(tn_trainer *t, bool (*stop)(void *), void *context, double *loss,
                              tn_error *err) {
  if (t->corpus.validation_tokens == 0) return TN_END;
  tn_loader *loader;
  tn_loader_options options = {
      .batch = t->config->batch.sequences,
      .tokens = t->config->batch.tokens,
      .order = TN_ORDER_LINEAR,
      .token_start = t->corpus.train_tokens,
      .token_count = t->corpus.validation_tokens,
  };
  TN_TRY(tn_loader_new(&loader, t->corpus.set, &options, err));
  tn_status status = evaluate_with(t, loader, stop, context, loss, err);
  tn_loader_free(loader);
  return status;
}

/* ---- views
 * ---------------------------------------------------------------------------------------------- */

tn_checkpoint tn_trainer_checkpoint(const tn_trainer *t) {
  return (tn_checkpoint){
      .config = t->config,
      .model = t->model,
      .optimizer = t->optimizer,
      .files = t->corpus.files,
      .file_count = t->corpus.file_count,
      .state = t->state,
  };
}

const tn_train_state *tn_trainer_state(const tn_trainer *t) {
  return &t->state;
}
const tn_corpus *tn_trainer_corpus(const tn_trainer *t) {
  return &t->corpus;
}
const tn_model *tn_trainer_model(const tn_trainer *t) {
  return t->model;
}
int64_t tn_trainer_epoch_samples(const tn_trainer *t) {
  return tn_loader_epoch_samples(t->loader);
}

tn_trainer_memory tn_trainer_memory_of(const tn_trainer *t) {
  tn_tensor m = tn_optimizer_m(t->optimizer), v = tn_optimizer_v(t->optimizer);
  return (tn_trainer_memory){
      .weights = tn_model_weight_bytes(t->model),
      .gradients = tn_tensor_bytes(&t->grads),
      .moments = tn_tensor_bytes(&m) + tn_tensor_bytes(&v),
      .activations = tn_train_pass_bytes(t->pass),
  };
}
