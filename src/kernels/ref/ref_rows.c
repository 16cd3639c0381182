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
    for (int64_t c = 0; c < C; c++) {
      double weight = (double)args->weight_offset + d->weight[c];
      d->y[t * C + c] = x[c] * rstd * weight;
    }
  }
}

/* With g = dy weight and n = x rstd:  dx = rstd (g - n mean(g n)),  dweight = sum over rows dy n.
 */
void tn_ref_run_rmsnorm_backward(const tn_rmsnorm_backward_args *args,
                                 const tn_ref_rmsnorm_backward *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *x = d->x + t * C, *dy = d->dy + t * C;
    double rstd = d->rstd[t], mean = 0, offset = args->weight_offset;
    for (int64_t c = 0; c < C; c++)
      mean += dy[c] * (offset + d->weight[c]) * x[c] * rstd / (double)C;
    for (int64_t c = 0; c < C; c++) {
      d->dx[t * C + c] += rstd * (dy[c] * (offset + d->weight[c]) - x[c] * rstd * mean);
      d->dweight[c] += dy[c] * x[c] * rstd;
    }
  }
}

void tn_ref_run_layernorm(const tn_layernorm_args *args, const tn_ref_layernorm *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *x = d->x + t * C;
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < C; c++) mean += x[c] / (double)C;
    for (int64_t c = 0; c < C; c++) variance += (x[c] - mean) * (x[c] - mean) / (double)C;
    double rstd = 1.0 / sqrt(variance + (double)args->eps);
    d->mean[t] = mean;
    d->rstd[t] = rstd;
    for (int64_t c = 0; c < C; c++)
      d->y[t * C + c] = (x[c] - mean) * rstd * d->weight[c] + d->bias[c];
  }
}

/* With g = dy weight and n = (x - mean) rstd:  dx = rstd (g - mean(g) - n mean(g n)),
 * dweight = sum over rows dy n,  dbias = sum over rows dy. */
void tn_ref_run_layernorm_backward(const tn_layernorm_backward_args *args,
                                   const tn_ref_layernorm_backward *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1];
  for (int64_t t = 0; t < T; t++) {
    const double *x = d->x + t * C, *dy = d->dy + t * C;
    double rstd = d->rstd[t], g_mean = 0, gn_mean = 0;
    for (int64_t c = 0; c < C; c++) {
      double g = dy[c] * d->weight[c];
      g_mean += g / (double)C;
      gn_mean += g * (x[c] - d->mean[t]) * rstd / (double)C;
    }
    for (int64_t c = 0; c < C; c++) {
      double n = (x[c] - d->mean[t]) * rstd;
      d->dx[t * C + c] += rstd * (dy[c] * d->weight[c] - g_mean - n * gn_mean);
      d->dweight[c] += dy[c] * n;
      d->dbias[c] += dy[c];
    }
  }
}

void tn_ref_run_bias(const tn_bias_args *args, const tn_ref_bias *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1];
  for (int64_t i = 0; i < T * C; i++) d->y[i] = d->x[i] + d->bias[i % C];
}

void tn_ref_run_bias_backward(const tn_bias_backward_args *args, const tn_ref_bias_backward *d) {
  int64_t T = args->dy.shape[0], C = args->dy.shape[1];
  for (int64_t i = 0; i < T * C; i++) {
    d->dx[i] = d->dy[i];
    d->dbias[i % C] += d->dy[i];
  }
}

static double sigmoid(double x) {
  return 1.0 / (1.0 + exp(-x));
}

#define GELU_CUBE  0.044715
#define SQRT_2_PI  0.79788456080286535588 /* sqrt(2 / pi) */
#define SQRT_HALF  0.70710678118654752440
#define NORMAL_TOP 0.39894228040143267794 /* 1 / sqrt(2 pi) */

/* act(x), and its slope */
static double activation(int32_t kind, double x, double *slope) {
  double s;
  switch (kind) {
    case TN_ACT_GELU_TANH: /* x / 2 (1 + tanh(u)) is x sigmoid(2 u) */
      s = sigmoid(2 * SQRT_2_PI * (x + GELU_CUBE * x * x * x));
      *slope = s + x * s * (1 - s) * 2 * SQRT_2_PI * (1 + 3 * GELU_CUBE * x * x);
      return x * s;
    case TN_ACT_GELU_ERF:
      s = 0.5 * erfc(-x * SQRT_HALF);
      *slope = s + x * NORMAL_TOP * exp(-0.5 * x * x);
      return x * s;
    case TN_ACT_RELU:
      *slope = x > 0 ? 1 : 0;
      return x > 0 ? x : 0;
    default:
      s = sigmoid(x);
      *slope = s * (1 + x * (1 - s));
      return x * s;
  }
}

void tn_ref_run_activate(const tn_activate_args *args, const tn_ref_activate *d) {
  int64_t count = tn_tensor_count(&args->y);
  double slope;
  for (int64_t i = 0; i < count; i++) d->y[i] = activation(args->activation, d->x[i], &slope);
}

void tn_ref_run_activate_backward(const tn_activate_backward_args *args,
                                  const tn_ref_activate_backward *d) {
  int64_t count = tn_tensor_count(&args->dy);
  for (int64_t i = 0; i < count; i++) {
    double slope;
    activation(args->activation, d->x[i], &slope);
    d->dx[i] = d->dy[i] * slope;
  }
}

void tn_ref_run_glu(const tn_glu_args *args, const tn_ref_glu *d) {
  int64_t count = tn_tensor_count(&args->y);
  double slope;
  for (int64_t i = 0; i < count; i++)
    d->y[i] = activation(args->activation, d->gate[i], &slope) * d->up[i];
}

void tn_ref_run_glu_backward(const tn_glu_backward_args *args, const tn_ref_glu_backward *d) {
  int64_t count = tn_tensor_count(&args->dy);
  for (int64_t i = 0; i < count; i++) {
    double slope, act = activation(args->activation, d->gate[i], &slope);
    d->dgate[i] = d->dy[i] * d->up[i] * slope;
    d->dup[i] = d->dy[i] * act;
  }
}

void tn_ref_run_softcap(const tn_softcap_args *args, const tn_ref_softcap *d) {
  int64_t n = args->y.shape[0];
  double cap = args->cap;
  for (int64_t i = 0; i < n; i++) d->y[i] = cap * tanh(d->x[i] / cap);
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

static double logit(const double *x, const double *w, int64_t C) {
  double sum = 0;
  for (int64_t c = 0; c < C; c++) sum += x[c] * w[c];
  return sum;
}

void tn_ref_run_linear_cross_entropy(const tn_linear_cross_entropy_args *args,
                                     const tn_ref_linear_cross_entropy *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1], V = args->w.shape[0];
  for (int64_t t = 0; t < T; t++) {
    const double *x = d->x + t * C;
    int64_t target = (int64_t)d->targets[t];
    double max = -INFINITY, sum = 0;
    d->loss[t] = d->lse[t] = 0;
    if (target < 0) continue;
    for (int64_t i = 0; i < V; i++) max = fmax(max, logit(x, d->w + i * C, C));
    for (int64_t i = 0; i < V; i++) sum += exp(logit(x, d->w + i * C, C) - max);
    d->lse[t] = max + log(sum);
    d->loss[t] = d->lse[t] - logit(x, d->w + target * C, C);
  }
}

void tn_ref_run_linear_cross_entropy_backward(const tn_linear_cross_entropy_backward_args *args,
                                              const tn_ref_linear_cross_entropy_backward *d) {
  int64_t T = args->x.shape[0], C = args->x.shape[1], V = args->w.shape[0];
  for (int64_t t = 0; t < T; t++) {
    const double *x = d->x + t * C;
    int64_t target = (int64_t)d->targets[t];
    for (int64_t i = 0; target >= 0 && i < V; i++) {
      double share = exp(logit(x, d->w + i * C, C) - d->lse[t]);
      double dlogit = d->dloss[t] * (share - (i == target ? 1.0 : 0.0));
      for (int64_t c = 0; c < C; c++) {
        d->dx[t * C + c] += dlogit * d->w[i * C + c];
        d->dw[i * C + c] += dlogit * x[c];
      }
    }
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
