/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"
#include "train/optimizer.h"

typedef struct rig {
  tn_model *model;
  tn_stream *stream;
  tn_optimizer *optimizer;
  tn_buffer *buffer;
  tn_tensor grads;
  int64_t count;
} rig;

static const tn_model_config shape = {.vocab_size = 11,
                                      .hidden_size = 8,
                                      .intermediate_size = 12,
                                      .layers = 2,
                                      .heads = 2,
                                      .kv_heads = 1,
                                      .head_dim = 4,
                                      .positions_max = 16,
                                      .rope_theta = 10000,
                                      .norm_eps = 1e-5,
                                      .tied = true,
                                      .bos_id = -1,
                                      .eos_id = -1};
static const tn_optimizer_options usual = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 1.0};

static void open_rig(rig *r, const tn_optimizer_options *options) {
  tn_error err = {0};
  assert_int_equal(tn_model_new(&r->model, &shape, tn_device_cpu(), &err), TN_OK);
  tn_model_init(r->model, 5);
  assert_int_equal(tn_stream_open(tn_device_cpu(), NULL, &r->stream, &err), TN_OK);
  assert_int_equal(tn_optimizer_new(&r->optimizer, r->model, r->stream, options, &err), TN_OK);
  tn_tensor flat = tn_model_flat(r->model);
  r->count = tn_tensor_count(&flat);
  assert_int_equal(tn_buffer_new(&r->buffer, (size_t)r->count * 4, &err), TN_OK);
  assert_int_equal(tn_tensor_view(&r->grads, r->buffer, 0, TN_F32, 1, &r->count, &err), TN_OK);
}

static void close_rig(rig *r) {
  tn_optimizer_free(r->optimizer);
  tn_model_free(r->model);
  tn_stream_close(r->stream);
  tn_buffer_drop(r->buffer);
}

static float *weights_of(const rig *r) {
  tn_tensor flat = tn_model_flat(r->model);
  return tn_tensor_data(&flat);
}

/* Whether the i-th place of the flat array decays, found by names: everything but the norms. */
static bool decays_at(const rig *r, int64_t place) {
  int64_t count, start = 0;
  const tn_parameter *p = tn_model_parameters(r->model, &count);
  for (int64_t i = 0; i < count; i++) {
    start += tn_tensor_count(&p[i].tensor);
    if (place < start) return strstr(p[i].name, "norm") == NULL;
  }
  return false;
}

/* AdamW as its paper has it, in double, one element. */
static double reference(double w, double g, double *m, double *v, int64_t step, double lr,
                        double decay, const tn_optimizer_options *o) {
  *m = o->beta1 * *m + (1 - o->beta1) * g;
  *v = o->beta2 * *v + (1 - o->beta2) * g * g;
  double mean = *m / (1 - pow(o->beta1, (double)step));
  double variance = *v / (1 - pow(o->beta2, (double)step));
  return w * (1 - lr * decay) - lr * mean / (sqrt(variance) + o->eps);
}

static void follows_the_reference(void **state) {
  uint64_t seed = (uint64_t)time(NULL);
  printf("seed %llu\n", (unsigned long long)seed);
  rig r;
  open_rig(&r, &usual);
  double *w = tn_alloc((size_t)r.count, 8), *m = tn_alloc((size_t)r.count, 8),
         *v = tn_alloc((size_t)r.count, 8);
  for (int64_t i = 0; i < r.count; i++) w[i] = weights_of(&r)[i];
  for (int64_t step = 1; step <= 5; step++) {
    float *g = tn_tensor_data(&r.grads);
    double norm = 0, got, lr = 0.01 / (double)step;
    double size = step == 3 ? 1e-4 : 1.0; /* step 3 stays below the clip */
    for (int64_t i = 0; i < r.count; i++) {
      g[i] = (float)(size * tn_random_normal(seed, (uint64_t)step, (uint64_t)i));
      norm += (double)g[i] * g[i];
    }
    norm = sqrt(norm);
    tn_error err = {0};
    assert_int_equal(tn_optimizer_step(r.optimizer, &r.grads, step, lr, &got, &err), TN_OK);
    assert_true(fabs(got - norm) <= 1e-5 * norm);
    double factor = norm > usual.clip ? usual.clip / (norm + 1e-6) : 1;
    assert_true(step == 3 ? factor == 1 : factor < 1);
    for (int64_t i = 0; i < r.count; i++) {
      w[i] = reference(w[i], g[i] * factor, &m[i], &v[i], step, lr,
                       decays_at(&r, i) ? usual.weight_decay : 0, &usual);
      double found = weights_of(&r)[i];
      if (fabs(found - w[i]) > 2e-6 + 1e-5 * fabs(w[i]))
        fail_msg("step %lld, place %lld: %.9g, reference %.9g", (long long)step, (long long)i,
                 found, w[i]);
    }
  }
  tn_free(w), tn_free(m), tn_free(v);
  close_rig(&r);
}

/* With zero gradients only decay moves a weight: matrices shrink, norms stay. */
static void only_matrices_decay(void **state) {
  rig r;
  open_rig(&r, &usual);
  float before[4096];
  assert_true(r.count <= 4096);
  memcpy(before, weights_of(&r), (size_t)r.count * 4);
  double norm;
  tn_error err = {0};
  assert_int_equal(tn_optimizer_step(r.optimizer, &r.grads, 1, 0.5, &norm, &err), TN_OK);
  assert_true(norm == 0);
  int64_t kept = 0;
  for (int64_t i = 0; i < r.count; i++) {
    double want = decays_at(&r, i) ? before[i] * 0.95 : before[i];
    kept += !decays_at(&r, i);
    if (fabs(weights_of(&r)[i] - want) > 1e-7) fail_msg("place %lld", (long long)i);
  }
  assert_int_equal(kept, 5 * 8); /* two norms a layer and the last */
  close_rig(&r);
}

static void refuses_what_is_not_finite(void **state) {
  rig r;
  open_rig(&r, &usual);
  float before[4096];
  memcpy(before, weights_of(&r), (size_t)r.count * 4);
  float bad[] = {NAN, INFINITY};
  for (int i = 0; i < 2; i++) {
    ((float *)tn_tensor_data(&r.grads))[r.count / 2] = bad[i];
    double norm;
    tn_error err = {0};
    assert_int_equal(tn_optimizer_step(r.optimizer, &r.grads, 9, 0.5, &norm, &err), TN_ERR_DATA);
    assert_non_null(strstr(err.text, "step 9"));
    assert_memory_equal(before, weights_of(&r), (size_t)r.count * 4);
  }
  close_rig(&r);
}

static void every_allocation_may_fail(void **state) {
  rig r;
  open_rig(&r, &usual);
  int64_t before = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_optimizer *o;
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = tn_optimizer_new(&o, r.model, r.stream, &usual, &err);
    tn_alloc_fail_at(0);
    tn_optimizer_free(o);
    assert_int_equal(tn_alloc_live(), before);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
  }
  close_rig(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(follows_the_reference),
      cmocka_unit_test(only_matrices_decay),
      cmocka_unit_test(refuses_what_is_not_finite),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
