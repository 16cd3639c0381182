/* SPDX-License-Identifier: Apache-2.0 */
#include "train/optimizer.h"

#include <math.h>

#include "base/mem.h"

typedef struct run { /* neighbours in the flat array that decay alike */
  int64_t start, count;
  bool decays;
} run;

struct tn_optimizer {
  tn_stream *stream;
  const tn_ops *ops;
  tn_optimizer_options options;
  tn_tensor param, m, v;
  tn_buffer *m_buffer, *v_buffer, *norm_buffer;
  run *runs;
  int64_t run_count;
};

static tn_tensor slice(const tn_tensor *flat, const run *r) {
  return tn_tensor_rows(flat, r->start, r->count);
}

/* Parameters lie end to end in the flat array; whatever lies between two (padding) has a zero
 * gradient and joins the run before it without effect. */
static void find_runs(tn_optimizer *o, const tn_parameter *parameters, int64_t count) {
  int64_t end = tn_tensor_count(&o->param);
  for (int64_t i = 0; i < count; i++) {
    const tn_tensor *t = &parameters[i].tensor;
    int64_t start = (t->offset_bytes - o->param.offset_bytes) / (int64_t)sizeof(float);
    if (o->run_count == 0 || o->runs[o->run_count - 1].decays != parameters[i].decays)
      o->runs[o->run_count++] = (run){.start = start, .decays = parameters[i].decays};
  }
  for (int64_t i = 0; i < o->run_count; i++)
    o->runs[i].count = (i + 1 < o->run_count ? o->runs[i + 1].start : end) - o->runs[i].start;
}

static tn_status make_state(tn_optimizer *o, tn_error *err) {
  tn_device *device = o->stream->device;
  size_t bytes = (size_t)tn_tensor_bytes(&o->param);
  TN_TRY(tn_device_buffer_new(device, &o->m_buffer, bytes, err));
  TN_TRY(tn_device_buffer_new(device, &o->v_buffer, bytes, err));
  TN_TRY(tn_device_buffer_new(device, &o->norm_buffer, sizeof(float), err));
  int64_t shape[] = {tn_tensor_count(&o->param)};
  TN_TRY(tn_tensor_view(&o->m, o->m_buffer, 0, TN_F32, 1, shape, err));
  return tn_tensor_view(&o->v, o->v_buffer, 0, TN_F32, 1, shape, err);
}

tn_status tn_optimizer_new(tn_optimizer **out, const tn_model *model, tn_stream *stream,
                           const tn_optimizer_options *options, tn_error *err) {
  *out = NULL;
  tn_optimizer *o = tn_alloc(1, sizeof *o);
  if (!o) return tn_fail_memory(err, "an optimizer", sizeof *o);
  o->stream = stream;
  o->ops = tn_ops_for(stream->device);
  o->options = *options;
  o->param = tn_model_flat(model);
  int64_t count;
  const tn_parameter *parameters = tn_model_parameters(model, &count);
  tn_status status = make_state(o, err);
  if (status == TN_OK) {
    o->runs = tn_alloc((size_t)count, sizeof *o->runs);
    if (!o->runs) status = tn_fail_memory(err, "an optimizer", (size_t)count * sizeof *o->runs);
  }
  if (status != TN_OK) {
    tn_optimizer_free(o);
    return status;
  }
  find_runs(o, parameters, count);
  *out = o;
  return TN_OK;
}

void tn_optimizer_free(tn_optimizer *o) {
  if (!o) return;
  tn_buffer_drop(o->m_buffer);
  tn_buffer_drop(o->v_buffer);
  tn_buffer_drop(o->norm_buffer);
  tn_free(o->runs);
  tn_free(o);
}

/* sum_squares leaves its result on the device; the host decides on it. */
static tn_status global_norm(tn_optimizer *o, const tn_tensor *grads, double *norm, tn_error *err) {
  tn_tensor result;
  TN_TRY(tn_tensor_view(&result, o->norm_buffer, 0, TN_F32, 1, (int64_t[]){1}, err));
  TN_TRY(
      o->ops->sum_squares(o->stream, &(tn_sum_squares_args){.result = result, .x = *grads}, err));
  float sum = 0;
  tn_buffer *host;
  TN_TRY(tn_buffer_wrap(&host, &sum, sizeof sum, NULL, NULL, NULL, err));
  tn_status status =
      o->stream->device->table->copy(o->stream, host, 0, o->norm_buffer, 0, sizeof sum, err);
  if (status == TN_OK) status = tn_stream_synchronize(o->stream, err);
  tn_buffer_drop(host);
  *norm = sqrt((double)sum);
  return status;
}

static double clip_factor(double norm, double clip) {
  if (clip <= 0) return 1;
  double factor = clip / (norm + 1e-6); /* the same guard as torch's clip_grad_norm_ */
  return factor < 1 ? factor : 1;
}

tn_status tn_optimizer_step(tn_optimizer *o, const tn_tensor *grads, int64_t step, double lr,
                            double *grad_norm, tn_error *err) {
  const tn_optimizer_options *opt = &o->options;
  TN_TRY(global_norm(o, grads, grad_norm, err));
  if (!isfinite(*grad_norm))
    return tn_fail(err, TN_ERR_DATA, "step %lld: the gradient norm is %g", (long long)step,
                   *grad_norm);
  tn_adamw_args args = {
      .lr = (float)lr,
      .beta1 = (float)opt->beta1,
      .beta2 = (float)opt->beta2,
      .eps = (float)opt->eps,
      .correction1 = (float)(1 - pow(opt->beta1, (double)step)),
      .correction2 = (float)(1 - pow(opt->beta2, (double)step)),
      .grad_scale = (float)clip_factor(*grad_norm, opt->clip),
  };
  for (int64_t i = 0; i < o->run_count; i++) {
    args.param = slice(&o->param, &o->runs[i]);
    args.m = slice(&o->m, &o->runs[i]);
    args.v = slice(&o->v, &o->runs[i]);
    args.grad = slice(grads, &o->runs[i]);
    args.weight_decay = o->runs[i].decays ? (float)opt->weight_decay : 0;
    TN_TRY(o->ops->adamw(o->stream, &args, err));
  }
  return TN_OK;
}

tn_tensor tn_optimizer_m(const tn_optimizer *o) {
  return o->m;
}
tn_tensor tn_optimizer_v(const tn_optimizer *o) {
  return o->v;
}
