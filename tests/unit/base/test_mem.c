/* SPDX-License-Identifier: Apache-2.0 */
#include "base_test.h"

#include "base/thread.h"

static bool is_zero(const void *data, size_t bytes) {
  const unsigned char *at = data;
  for (size_t i = 0; i < bytes; i++)
    if (at[i]) return false;
  return true;
}

static void blocks_are_zeroed_aligned_and_counted(void **state) {
  int64_t live = tn_alloc_live();
  for (size_t bytes = 0; bytes < 5000; bytes = bytes * 2 + 1) {
    char *plain = tn_alloc(bytes, 1), *wide = tn_alloc_aligned(bytes);
    assert_non_null(plain);
    assert_non_null(wide);
    assert_int_equal((uintptr_t)plain % 16, 0);
    assert_int_equal((uintptr_t)wide % 64, 0);
    assert_true(is_zero(plain, bytes) && is_zero(wide, bytes));
    memset(plain, 0xA5, bytes);
    memset(wide, 0xA5, bytes);
    assert_int_equal(tn_alloc_live(), live + 2);
    tn_free(plain);
    tn_free(wide);
  }
  tn_free(NULL);
  assert_int_equal(tn_alloc_live(), live);
}

static void overflow_gives_null(void **state) {
  volatile size_t huge = SIZE_MAX;
  assert_null(tn_alloc(huge, 2));
  assert_null(tn_alloc(huge, 1));
  assert_null(tn_alloc_aligned(huge - 10));
  void *block = tn_alloc(4, 4);
  assert_null(tn_realloc(block, huge / 2, 3));
  assert_null(tn_realloc(block, huge, 1));
  tn_free(block);
  size_t out = 7;
  assert_false(tn_mul_size(huge, 2, &out));
  assert_false(tn_add_size(huge, 1, &out));
  assert_int_equal(out, 7);
}

static void realloc_keeps_content_and_alignment(void **state) {
  int64_t live = tn_alloc_live();
  for (int wide = 0; wide < 2; wide++) {
    uint8_t *block = wide ? tn_alloc_aligned(100) : tn_alloc(100, 1);
    for (int i = 0; i < 100; i++) block[i] = (uint8_t)i;
    block = tn_realloc(block, 9000, 1);
    assert_non_null(block);
    for (int i = 0; i < 100; i++) assert_int_equal(block[i], i);
    assert_int_equal((uintptr_t)block % (wide ? 64 : 16), 0);
    block = tn_realloc(block, 10, 1);
    for (int i = 0; i < 10; i++) assert_int_equal(block[i], i);
    tn_free(block);
  }
  void *fresh = tn_realloc(NULL, 3, 5);
  assert_non_null(fresh);
  tn_free(fresh);
  assert_int_equal(tn_alloc_live(), live);
}

static void the_nth_allocation_fails_once(void **state) {
  tn_alloc_fail_at(3);
  void *a = tn_alloc(1, 1), *b = tn_realloc(NULL, 1, 1), *c = tn_alloc_aligned(1),
       *d = tn_alloc(1, 1);
  assert_non_null(a);
  assert_non_null(b);
  assert_null(c);
  assert_non_null(d);
  tn_alloc_fail_at(1);
  assert_null(tn_realloc(a, 100, 1)); /* and a stays valid */
  tn_alloc_fail_at(1);
  tn_alloc_fail_at(0);
  void *e = tn_alloc(1, 1);
  assert_non_null(e);
  tn_free(a);
  tn_free(b);
  tn_free(d);
  tn_free(e);
}

static void strndup_terminates(void **state) {
  char *copy = tn_strndup("hello", 3);
  assert_string_equal(copy, "hel");
  tn_free(copy);
  copy = tn_strndup(NULL, 0);
  assert_string_equal(copy, "");
  tn_free(copy);
}

static void grow_zeroes_and_survives_failure(void **state) {
  void *items = NULL;
  size_t capacity = 0;
  tn_error err = {0};
  assert_ok(tn_grow(&items, &capacity, 3, 8, &err));
  assert_true(capacity >= 3 && is_zero(items, capacity * 8));
  memset(items, 1, capacity * 8);
  size_t before = capacity;
  void *old = items;
  tn_alloc_fail_at(1);
  assert_int_equal(tn_grow(&items, &capacity, 100, 8, &err), TN_ERR_MEMORY);
  assert_ptr_equal(items, old);
  assert_int_equal(capacity, before);
  assert_int_equal(tn_grow(&items, &capacity, SIZE_MAX / 4, 8, &err), TN_ERR_MEMORY);
  assert_ok(tn_grow(&items, &capacity, 100, 8, &err));
  assert_true(capacity >= 100);
  assert_true(is_zero((char *)items + before * 8, (capacity - before) * 8));
  assert_int_equal(((char *)items)[before * 8 - 1], 1);
  tn_free(items);
}

static void arena_gives_zeroed_aligned_pieces(void **state) {
  int64_t live = tn_alloc_live();
  tn_arena arena = {0};
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < 2000; i++) {
      size_t bytes = i % 7 == 0 ? i * 40 : i % 90;
      char *piece = tn_arena_alloc(&arena, bytes, 1);
      assert_non_null(piece);
      assert_int_equal((uintptr_t)piece % 16, 0);
      assert_true(is_zero(piece, bytes));
      memset(piece, 0xFF, bytes); /* an overlap would show as non-zero in a later piece */
    }
    assert_false(arena.failed);
    tn_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    assert_int_equal(tn_alloc_live(), live + 1); /* the largest chunk stays */
  }
  tn_arena_clear(&arena);
  assert_int_equal(tn_alloc_live(), live);
  assert_true(is_zero(&arena, sizeof arena));
}

static void arena_limit_and_sticky_failure(void **state) {
  tn_arena arena = {.limit_bytes = 1000};
  assert_non_null(tn_arena_alloc(&arena, 900, 1));
  assert_null(tn_arena_alloc(&arena, 200, 1));
  assert_true(arena.failed);
  assert_non_null(tn_arena_alloc(&arena, 10, 1));
  assert_true(arena.failed);
  tn_arena_reset(&arena);
  assert_false(arena.failed);
  assert_int_equal(arena.limit_bytes, 1000);
  volatile size_t huge = SIZE_MAX;
  assert_null(tn_arena_alloc(&arena, huge, 3));
  assert_null(tn_arena_alloc(&arena, huge, 1));
  assert_null(tn_arena_strndup(&arena, "x", huge));
  tn_arena_clear(&arena);
  tn_alloc_fail_at(1);
  assert_null(tn_arena_alloc(&arena, 1, 1));
  assert_true(arena.failed);
  char *copy = tn_arena_strndup(&arena, "abc", 3);
  assert_string_equal(copy, "abc");
  tn_arena_clear(&arena);
}

static void allocate_some(void *context, int64_t item, int32_t worker) {
  for (int i = 0; i < 50; i++) tn_free(tn_alloc((size_t)item + 1, 3));
}

static void counting_is_atomic(void **state) {
  int64_t live = tn_alloc_live();
  tn_pool *pool;
  assert_ok(tn_pool_new(&pool, 4, NULL));
  tn_pool_run(pool, 400, allocate_some, NULL);
  tn_pool_free(pool);
  assert_int_equal(tn_alloc_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocks_are_zeroed_aligned_and_counted),
      cmocka_unit_test(overflow_gives_null),
      cmocka_unit_test(realloc_keeps_content_and_alignment),
      cmocka_unit_test(the_nth_allocation_fails_once),
      cmocka_unit_test(strndup_terminates),
      cmocka_unit_test(grow_zeroes_and_survives_failure),
      cmocka_unit_test(arena_gives_zeroed_aligned_pieces),
      cmocka_unit_test(arena_limit_and_sticky_failure),
      cmocka_unit_test(counting_is_atomic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
