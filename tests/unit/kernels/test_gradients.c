/* Every TN_GRAD line: the backward rows of ref/ in double against central differences of the
 * forward row, for all inputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

/* The tensor that holds the gradient of `name` in a backward row; -1: none. */
static int32_t find_gradient(const tn_op_info *backward, const char *name) {
  char text[64] = "d";
  strncat(text, name, sizeof text - 2);
  return call_find(backward, text);
}

/* L = the sum over the forward row's outputs y, as far as the backward row takes a dy, of y . dy */
static double objective(call *forward, call *backward) {
  double sum = 0;
  call_must_run(tn_ops_ref(), NULL, forward);
  for (int32_t i = 0; i < forward->info->tensor_count; i++) {
    int32_t j = find_gradient(backward->info, forward->info->tensors[i].name);
    if (forward->info->tensors[i].role != TN_ROLE_OUT || j < 0) continue;
    const tn_tensor *y = call_tensor(forward, i), *dy = call_tensor(backward, j);
    int64_t count = tn_tensor_count(y);
    for (int64_t k = 0; k < count; k++) sum += get(y, k) * get(dy, k);
  }
  return sum;
}

/* Inputs of the backward row that the forward row also has are the same, outputs (rstd, lse) too.
 */
static void give_values(call *backward, call *forward) {
  for (int32_t i = 0; i < backward->info->tensor_count; i++) {
    int32_t j = call_find(forward->info, backward->info->tensors[i].name);
    if (j < 0 || is_written(backward, i)) continue;
    const tn_tensor *from = call_tensor(forward, j);
    int64_t count = tn_tensor_count(from);
    for (int64_t k = 0; k < count; k++) set(call_tensor(backward, i), k, get(from, k));
  }
}

static void give_scalars(call *backward, call *forward) {
  for (int32_t i = 0; i < backward->info->scalar_count; i++)
    for (int32_t j = 0; j < forward->info->scalar_count; j++) {
      const tn_op_scalar_info *to = &backward->info->scalars[i], *from = &forward->info->scalars[j];
      if (strcmp(to->name, from->name) == 0 && strcmp(to->name, "accumulate") != 0)
        memcpy(backward->args + to->offset, forward->args + from->offset, sizeof(int32_t));
    }
}

/* ReLU has no slope at 0: differences must not step across it. */
static void step_off_corners(call *forward) {
  if (forward->op != TN_OP_activate && forward->op != TN_OP_glu) return;
  const tn_tensor *x = call_named(forward, forward->op == TN_OP_glu ? "gate" : "x");
  int64_t count = tn_tensor_count(x);
  for (int64_t k = 0; k < count; k++)
    if (fabs(get(x, k)) < 1e-3) set(x, k, 1e-3);
}

static double central(call *forward, call *backward, const tn_tensor *x, int64_t k, double h) {
  double old = get(x, k);
  set(x, k, old + h);
  double above = objective(forward, backward);
  set(x, k, old - h);
  double below = objective(forward, backward);
  set(x, k, old);
  return (above - below) / (2 * h);
}

static void check_input(call *forward, call *backward, call *before, int32_t input,
                        int32_t gradient) {
  const tn_tensor *x = call_tensor(forward, input), *dx = call_tensor(backward, gradient);
  bool adds = backward->info->tensors[gradient].role == TN_ROLE_ACC;
  int64_t count = tn_tensor_count(x);
  assert_int_equal(count, tn_tensor_count(dx));
  for (int64_t k = 0; k < count; k++) {
    /* Richardson: two steps cancel the h^2 term, which is large where a norm's input is near 0. */
    double want =
        (4 * central(forward, backward, x, k, 1e-5) - central(forward, backward, x, k, 2e-5)) / 3;
    double got = get(dx, k) - (adds ? get(call_tensor(before, gradient), k) : 0);
    if (fabs(want - got) <= 1e-7 * (1 + fabs(want))) continue;
    describe_call(forward);
    fail_msg("%s: %s[%" PRId64 "] is %.12g, differences say %.12g", backward->info->name,
             backward->info->tensors[gradient].name, k, got, want);
  }
}

/* Checks every gradient that the backward row writes; returns how many. */
static int32_t check_pair(const tn_grad_info *grad) {
  call forward = {0}, backward = {0}, before;
  int32_t checked = 0;
  call_open(&forward, grad->forward, SIZES_SMALL, TN_F64, NULL);
  memcpy(backward.names, forward.names, sizeof backward.names); /* one size, one name, in both */
  memcpy(backward.sizes, forward.sizes, sizeof backward.sizes);
  backward.name_count = forward.name_count;
  call_open(&backward, grad->backward, SIZES_SMALL, TN_F64, NULL);
  give_scalars(&backward, &forward);
  step_off_corners(&forward);
  call_must_run(tn_ops_ref(), NULL, &forward);
  give_values(&backward, &forward);
  call_copy(&before, &backward, TN_DTYPE_COUNT);
  call_must_run(tn_ops_ref(), NULL, &backward);
  for (int32_t i = 0; i < forward.info->tensor_count; i++) {
    int32_t j = find_gradient(backward.info, forward.info->tensors[i].name);
    if (j < 0 || !is_written(&backward, j)) continue;
    check_input(&forward, &backward, &before, i, j);
    checked++;
  }
  call_close(&before);
  call_close(&backward);
  call_close(&forward);
  return checked;
}

static void backward_rows_agree_with_differences(void **state) {
  int32_t count;
  const tn_grad_info *grads = tn_grad_list(&count);
  assert_true(count >= 8);
  for (int32_t i = 0; i < count; i++)
    for (int32_t round = 0; round < 8; round++) assert_true(check_pair(&grads[i]) > 0);
}

/* Every real input of a forward row has its gradient in some backward row. */
static void no_input_is_forgotten(void **state) {
  int32_t count;
  const tn_grad_info *grads = tn_grad_list(&count);
  for (int32_t i = 0; i < count; i++) {
    const tn_op_info *forward = tn_op_describe(grads[i].forward);
    for (int32_t t = 0; t < forward->tensor_count; t++) {
      bool real = forward->tensors[t].kind == TN_KIND_REAL;
      if (!real || forward->tensors[t].role != TN_ROLE_IN) continue;
      bool found = false;
      for (int32_t j = 0; j < count; j++) {
        const tn_op_info *backward = tn_op_describe(grads[j].backward);
        int32_t at = find_gradient(backward, forward->tensors[t].name);
        found |= grads[j].forward == grads[i].forward && at >= 0 &&
                 backward->tensors[at].role != TN_ROLE_IN;
      }
      if (!found) fail_msg("%s: no gradient of %s", forward->name, forward->tensors[t].name);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(backward_rows_agree_with_differences, seed_setup),
      cmocka_unit_test(no_input_is_forgotten),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
