/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/block_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"

static void takes_each_block_once(void **state) {
  (void)state;
  tn_block_pool *pool;
  assert_int_equal(tn_block_pool_new(&pool, 5, NULL), TN_OK);
  bool seen[5] = {false};
  for (int i = 0; i < 5; i++) {
    int32_t block = tn_block_pool_take(pool);
    assert_in_range(block, 0, 4);
    assert_false(seen[block]);
    seen[block] = true;
  }
  assert_int_equal(tn_block_pool_take(pool), -1);
  assert_int_equal(tn_block_pool_free_count(pool), 0);
  tn_block_pool_free(pool);
}

static void freed_longest_ago_comes_first(void **state) {
  (void)state;
  tn_block_pool *pool;
  assert_int_equal(tn_block_pool_new(&pool, 3, NULL), TN_OK);
  int32_t a = tn_block_pool_take(pool), b = tn_block_pool_take(pool), c = tn_block_pool_take(pool);
  tn_block_pool_drop(pool, b);
  tn_block_pool_drop(pool, a);
  tn_block_pool_drop(pool, c);
  assert_int_equal(tn_block_pool_take(pool), b);
  tn_block_pool_share(pool, c); /* a free one is picked out of the middle */
  assert_int_equal(tn_block_pool_take(pool), a);
  assert_int_equal(tn_block_pool_take(pool), -1);
  tn_block_pool_free(pool);
}

static void random_walk_keeps_the_invariants(void **state) {
  (void)state;
  enum { BLOCKS = 13, STEPS = 5000 };
  for (uint64_t seed = 1; seed <= 5; seed++) {
    tn_block_pool *pool;
    tn_error err;
    int32_t refs[BLOCKS] = {0}, free_blocks = BLOCKS;
    assert_int_equal(tn_block_pool_new(&pool, BLOCKS, &err), TN_OK);
    for (uint64_t i = 0; i < STEPS; i++) {
      int32_t block = (int32_t)tn_random_below(seed, 1, i, BLOCKS);
      switch (tn_random_below(seed, 2, i, 3)) {
        case 0:
          block = tn_block_pool_take(pool);
          assert_int_equal(block < 0, free_blocks == 0);
          if (block >= 0) assert_int_equal(refs[block]++, 0);
          break;
        case 1:
          tn_block_pool_share(pool, block);
          refs[block]++;
          break;
        default:
          if (refs[block] == 0) break;
          tn_block_pool_drop(pool, block);
          refs[block]--;
      }
      free_blocks = 0;
      for (int b = 0; b < BLOCKS; b++) {
        free_blocks += refs[b] == 0;
        assert_int_equal(tn_block_pool_refs(pool, b), refs[b]);
      }
      assert_int_equal(tn_block_pool_free_count(pool), free_blocks);
      if (tn_block_pool_check(pool, &err) != TN_OK) {
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
      }
    }
    tn_block_pool_free(pool);
  }
}

static void bad_sizes_and_memory(void **state) {
  (void)state;
  tn_block_pool *pool;
  tn_error err;
  int64_t live = tn_alloc_live();
  assert_int_equal(tn_block_pool_new(&pool, 0, &err), TN_ERR_ARGUMENT);
  for (int64_t n = 1; n <= 2; n++) {
    tn_alloc_fail_at(n);
    assert_int_equal(tn_block_pool_new(&pool, 4, &err), TN_ERR_MEMORY);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(takes_each_block_once),
      cmocka_unit_test(freed_longest_ago_comes_first),
      cmocka_unit_test(random_walk_keeps_the_invariants),
      cmocka_unit_test(bad_sizes_and_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
