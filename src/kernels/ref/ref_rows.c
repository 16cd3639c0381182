/* Rows that work row by row or element by element. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/ref/ref.h"

void tn_ref_run_rmsnorm(const tn_rmsnorm_args *args, const tn_ref_rmsnorm *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *x = d->x + t * C;
    double sum = 0;
    for (int64_t c = 0; c < C; c++) sum += x[c] * x[c];
    double rstd = 1.0 / sqrt(sum / (double)C + (double)args->eps);
    d->rstd[t] = rstd;
    for (int64_t c = 0; c < C; c++) d->y[t * C + c] = x[c] * rstd * d->weight[c];
  }
}

/* With g = dy weight and n = x rstd:  dx = rstd (g - n mean(g n)),  dweight = sum over rows dy n.
 */
void tn_ref_run_rmsnorm_backward(const tn_rmsnorm_backward_args *args,
                                 const tn_ref_rmsnorm_backward *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *x = d->x + t * C, *dy = d->dy + t * C;
    double rstd = d->rstd[t], mean = 0;
    for (int64_t c = 0; c < C; c++) mean += dy[c] * d->weight[c] * x[c] * rstd / (double)C;
    for (int64_t c = 0; c < C; c++) {
      d->dx[t * C + c] += rstd * (dy[c] * d->weight[c] - x[c] * rstd * mean);
      d->dweight[c] += dy[c] * x[c] * rstd;
    }
  }
}

static double sigmoid(double x) {
  return 1.0 / (1.0 + exp(-x));
}

void tn_ref_run_swiglu(const tn_swiglu_args *args, const tn_ref_swiglu *d) {
  int64_t count = tn_tensor_count(&args->y);
  for (int64_t i = 0; i < count; i++) d->y[i] = d->gate[i] * sigmoid(d->gate[i]) * d->up[i];
}

void tn_ref_run_swiglu_backward(const tn_swiglu_backward_args *args,
                                const tn_ref_swiglu_backward *d) {
  int64_t count = tn_tensor_count(&args->dy);
  for (int64_t i = 0; i < count; i++) {
    double g = d->gate[i], s = sigmoid(g);
    d->dgate[i] = d->dy[i] * d->up[i] * s * (1.0 + g * (1.0 - s));
    d->dup[i] = d->dy[i] * g * s;
  }
}

void tn_ref_run_add(const tn_add_args *args, const tn_ref_add *d) {
  int64_t n = args->y.shape[0];
  for (int64_t i = 0; i < n; i++) d->y[i] = d->a[i] + d->b[i];
}

static double log_sum_exp(const double *x, int64_t count) {
  double max = -INFINITY, sum = 0;
  for (int64_t i = 0; i < count; i++) max = fmax(max, x[i]);
  for (int64_t i = 0; i < count; i++) sum += exp(x[i] - max);
  return max + log(sum);
}

void tn_ref_run_cross_entropy(const tn_cross_entropy_args *args, const tn_ref_cross_entropy *d) {
  int64_t T = args->logits.shape[0], V = args->logits.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *logits = d->logits + t * V;
    int64_t target = (int64_t)d->targets[t];
    d->loss[t] = target < 0 ? 0.0 : log_sum_exp(logits, V) - logits[target];
  }
}

void tn_ref_run_cross_entropy_backward(const tn_cross_entropy_backward_args *args,
                                       const tn_ref_cross_entropy_backward *d) {
  int64_t T = args->logits.shape[0], V = args->logits.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *logits = d->logits + t * V;
    int64_t target = (int64_t)d->targets[t];
    if (target < 0) continue; /* dlogits arrives as zeros */
    double lse = log_sum_exp(logits, V);
    for (int64_t i = 0; i < V; i++)
      d->dlogits[t * V + i] = d->dloss[t] * (exp(logits[i] - lse) - (i == target ? 1.0 : 0.0));
  }
}

/* Decoupled weight decay (Loshchilov, Hutter: "Decoupled weight decay regularization", 2019). */
void tn_ref_run_adamw(const tn_adamw_args *args, const tn_ref_adamw *d) {
  int64_t n = args->param.shape[0];
  double beta1 = args->beta1, beta2 = args->beta2;
  for (int64_t i = 0; i < n; i++) {
    double g = d->grad[i] * (double)args->grad_scale;
    d->m[i] = beta1 * d->m[i] + (1.0 - beta1) * g;
    d->v[i] = beta2 * d->v[i] + (1.0 - beta2) * g * g;
    double step = d->m[i] / (double)args->correction1 /
                  (sqrt(d->v[i] / (double)args->correction2) + (double)args->eps);
    d->param[i] -= (double)args->lr * (step + (double)args->weight_decay * d->param[i]);
  }
}

void tn_ref_run_sum_squares(const tn_sum_squares_args *args, const tn_ref_sum_squares *d) {
  int64_t n = args->x.shape[0];
  for (int64_t i = 0; i < n; i++) d->result[0] += d->x[i] * d->x[i];
}

void tn_ref_run_scale(const tn_scale_args *args, const tn_ref_scale *d) {
  int64_t n = args->x.shape[0];
  for (int64_t i = 0; i < n; i++) d->x[i] *= (double)args->factor;
}

void tn_ref_run_fill(const tn_fill_args *args, const tn_ref_fill *d) {
  int64_t n = args->x.shape[0];
  for (int64_t i = 0; i < n; i++) d->x[i] = (double)args->value;
}

void tn_ref_run_cast(const tn_cast_args *args, const tn_ref_cast *d) {
  int64_t n = args->y.shape[0];
  for (int64_t i = 0; i < n; i++) d->y[i] = d->x[i];
}
