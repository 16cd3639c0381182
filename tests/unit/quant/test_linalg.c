/* SPDX-License-Identifier: Apache-2.0 */
/* Factors multiplied back, on sizes around the block, and what is not positive definite. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"
#include "quant/linalg.h"

static const int64_t sizes[] = {1, 2, 3, 63, 64, 65, 150, 200};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* B B^T + 0.1 I, with the upper triangle right too. */
static double *positive_matrix(int64_t n) {
  double *b = tn_alloc((size_t)(n * n), sizeof *b), *a = tn_alloc((size_t)(n * n), sizeof *a);
  for (int64_t i = 0; i < n * n; i++) b[i] = tn_random_normal(5, (uint64_t)n, (uint64_t)i);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) {
      for (int64_t k = 0; k < n; k++) a[i * n + j] += b[i * n + k] * b[j * n + k];
      if (i == j) a[i * n + j] += 0.1;
    }
  tn_free(b);
  return a;
}

static void cholesky_multiplies_back(void **state) {
  for (int s = 0; s < SIZES; s++) {
    tn_error err;
    int64_t n = sizes[s];
    double *a = positive_matrix(n), *l = tn_alloc((size_t)(n * n), sizeof *l);
    memcpy(l, a, (size_t)(n * n) * sizeof *l);
    assert_int_equal(tn_cholesky(l, n, NULL, &err), TN_OK);
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j <= i; j++) {
        double sum = 0;
        for (int64_t k = 0; k <= j; k++) sum += l[i * n + k] * l[j * n + k];
        assert_true(fabs(sum - a[i * n + j]) < 1e-10 * (double)n);
        if (i != j) assert_true(l[j * n + i] == a[j * n + i]); /* the upper one is untouched */
      }
    tn_free(a);
    tn_free(l);
  }
}

static void inverse_is_one(void **state) {
  for (int s = 0; s < SIZES; s++) {
    tn_error err;
    int64_t n = sizes[s];
    double *a = positive_matrix(n), *x = tn_alloc((size_t)(n * n), sizeof *x);
    assert_int_equal(tn_cholesky(a, n, NULL, &err), TN_OK);
    memcpy(x, a, (size_t)(n * n) * sizeof *x);
    assert_int_equal(tn_lower_inverse(x, n, NULL, &err), TN_OK);
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j <= i; j++) {
        double sum = 0;
        for (int64_t k = j; k <= i; k++) sum += a[i * n + k] * x[k * n + j];
        assert_true(fabs(sum - (i == j ? 1.0 : 0.0)) < 1e-9);
      }
    tn_free(a);
    tn_free(x);
  }
}

static void threads_change_no_bit(void **state) {
  tn_error err;
  tn_pool *pool;
  const int64_t n = 200;
  size_t bytes = (size_t)(n * n) * sizeof(double);
  double *a = positive_matrix(n), *b = tn_alloc(bytes, 1);
  memcpy(b, a, bytes);
  assert_int_equal(tn_pool_new(&pool, 3, &err), TN_OK);
  assert_int_equal(tn_cholesky(a, n, NULL, &err), TN_OK);
  assert_int_equal(tn_lower_inverse(a, n, NULL, &err), TN_OK);
  assert_int_equal(tn_cholesky(b, n, pool, &err), TN_OK);
  assert_int_equal(tn_lower_inverse(b, n, pool, &err), TN_OK);
  assert_memory_equal(a, b, bytes);
  tn_pool_free(pool);
  tn_free(a);
  tn_free(b);
}

static void what_is_not_positive_is_named(void **state) {
  tn_error err;
  double a[9] = {4, 0, 0, 2, 1, 0, 0, 0, 1}; /* row 1: 1 - 2 * 2 / 4 = 0 */
  assert_int_equal(tn_cholesky(a, 3, NULL, &err), TN_ERR_DATA);
  assert_non_null(strstr(err.text, "row 1 leaves"));
  double nan_inside[4] = {1, 0, NAN, 1};
  assert_int_equal(tn_cholesky(nan_inside, 2, NULL, &err), TN_ERR_DATA);
}

static void flip_turns_round_and_back(void **state) {
  double a[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  tn_flip(a, 3);
  assert_true(a[0] == 9 && a[1] == 8 && a[4] == 5 && a[8] == 1);
  tn_flip(a, 3);
  assert_true(a[0] == 1 && a[5] == 6);
}

static void out_of_memory_is_reported(void **state) {
  tn_error err;
  double a[4] = {1, 0, 0, 1};
  tn_alloc_fail_at(1);
  assert_int_equal(tn_lower_inverse(a, 2, NULL, &err), TN_ERR_MEMORY);
  tn_alloc_fail_at(0);
  assert_int_equal(tn_lower_inverse(a, INT64_MAX / 2, NULL, &err), TN_ERR_LIMIT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cholesky_multiplies_back),  cmocka_unit_test(inverse_is_one),
      cmocka_unit_test(threads_change_no_bit),     cmocka_unit_test(what_is_not_positive_is_named),
      cmocka_unit_test(flip_turns_round_and_back), cmocka_unit_test(out_of_memory_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
