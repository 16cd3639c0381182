/* Embedding and linear rows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ref/ref.h"

void tn_ref_run_embed(const tn_embed_args *args, const tn_ref_embed *d) {
  int64_t T = args->out.shape[0], C = args->out.shape[1];
  for (int64_t t = 0; t < T; t++)
    for (int64_t c = 0; c < C; c++) d->out[t * C + c] = d->table[(int64_t)d->ids[t] * C + c];
}

void tn_ref_run_embed_backward(const tn_embed_backward_args *args, const tn_ref_embed_backward *d) {
  int64_t T = args->dout.shape[0], C = args->dout.shape[1];
  for (int64_t t = 0; t < T; t++)
    for (int64_t c = 0; c < C; c++) d->dtable[(int64_t)d->ids[t] * C + c] += d->dout[t * C + c];
}

void tn_ref_run_take_columns(const tn_take_columns_args *args, const tn_ref_take_columns *d) {
  int64_t T = args->y.shape[0], K = args->y.shape[1], C = args->x.shape[1];
  for (int64_t t = 0; t < T; t++)
    for (int64_t k = 0; k < K; k++) d->y[t * K + k] = d->x[t * C + (int64_t)d->order[k]];
}

/* An OUT tensor arrives as zeros; these two rows may have been told to add to it. */
static void load_old(const tn_tensor *t, double *into) {
  int64_t count = tn_tensor_count(t);
  for (int64_t i = 0; i < count; i++) into[i] = tn_element_get(tn_tensor_data(t), t->dtype, i);
}

/* y[M][N] += x[M][K] w[N][K]^T */
static void add_products(double *y, const tn_tensor *shape_of_x, const double *x, const double *w,
                         int64_t N) {
  int64_t M = shape_of_x->shape[0], K = shape_of_x->shape[1];
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < N; n++) {
      double sum = 0;
      for (int64_t k = 0; k < K; k++) sum += x[m * K + k] * w[n * K + k];
      y[m * N + n] += sum;
    }
}

void tn_ref_run_linear(const tn_linear_args *args, const tn_ref_linear *d) {
  if (args->accumulate) load_old(&args->y, d->y);
  add_products(d->y, &args->x, d->x, d->w, args->w.shape[0]);
}

void tn_ref_run_linear_pair(const tn_linear_pair_args *args, const tn_ref_linear_pair *d) {
  add_products(d->y0, &args->x, d->x, d->w0, args->w0.shape[0]);
  add_products(d->y1, &args->x, d->x, d->w1, args->w1.shape[0]);
}

void tn_ref_run_linear_triple(const tn_linear_triple_args *args, const tn_ref_linear_triple *d) {
  add_products(d->y0, &args->x, d->x, d->w0, args->w0.shape[0]);
  add_products(d->y1, &args->x, d->x, d->w1, args->w1.shape[0]);
  add_products(d->y2, &args->x, d->x, d->w2, args->w2.shape[0]);
}

void tn_ref_run_linear_backward_input(const tn_linear_backward_input_args *args,
                                      const tn_ref_linear_backward_input *d) {
  int64_t M = args->dy.shape[0], N = args->dy.shape[1], K = args->w.shape[1];
  if (args->accumulate) load_old(&args->dx, d->dx);
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < N; n++)
      for (int64_t k = 0; k < K; k++) d->dx[m * K + k] += d->dy[m * N + n] * d->w[n * K + k];
}

void tn_ref_run_linear_backward_weight(const tn_linear_backward_weight_args *args,
                                       const tn_ref_linear_backward_weight *d) {
  int64_t M = args->dy.shape[0], N = args->dy.shape[1], K = args->x.shape[1];
  for (int64_t i = 0; !args->accumulate && i < N * K; i++) d->dw[i] = 0;
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < N; n++)
      for (int64_t k = 0; k < K; k++) d->dw[n * K + k] += d->dy[m * N + n] * d->x[m * K + k];
}
