/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/thread.h"
#include "model/weight_room.h"

enum { WEIGHTS = 300 };

typedef struct taking {
  tn_weight_room *room;
  tn_buffer *buffers[WEIGHTS];
  int64_t at[WEIGHTS];
  _Atomic int32_t failed;
} taking;

/* Sizes of no order, from one byte to more than a piece of the smallest room. */
static size_t bytes_of(int64_t i) {
  return i % 97 == 0 ? (size_t)3 << 20 : (size_t)(i * 7919 % 50000 + 1);
}

static void take_one(void *context, int64_t i, int32_t worker) {
  taking *t = context;
  (void)worker;
  if (tn_weight_room_take(t->room, bytes_of(i), &t->buffers[i], &t->at[i], NULL) != TN_OK) {
    t->failed++;
    return;
  }
  uint8_t *bytes = (uint8_t *)t->buffers[i]->data + t->at[i];
  for (size_t k = 0; k < bytes_of(i); k++) {
    if (bytes[k]) t->failed++; /* not zeroed, or another's */
    bytes[k] = (uint8_t)(1 + i % 255);
  }
}

static void weights_lie_apart(void **state) {
  for (int32_t threads = 1; threads <= 4; threads++) {
    tn_weight_room room;
    tn_pool *pool;
    taking t = {.room = &room};
    assert_true(TN_OK == tn_pool_new(&pool, threads, NULL));
    tn_weight_room_init(&room, 0);
    tn_pool_run(pool, WEIGHTS, take_one, &t);
    assert_int_equal(t.failed, 0);
    tn_weight_room_clear(&room); /* what was taken stays */
    for (int64_t i = 0; i < WEIGHTS; i++) {
      const uint8_t *bytes = (const uint8_t *)t.buffers[i]->data + t.at[i];
      assert_int_equal(t.at[i] % 64, 0);
      assert_int_equal((uintptr_t)bytes % 64, 0);
      assert_true((size_t)t.at[i] + bytes_of(i) <= t.buffers[i]->bytes);
      for (size_t k = 0; k < bytes_of(i); k++) assert_int_equal(bytes[k], 1 + i % 255);
    }
    for (int64_t i = 0; i < WEIGHTS; i++) tn_buffer_drop(t.buffers[i]);
    tn_pool_free(pool);
  }
}

static void weights_share_pieces(void **state) {
  tn_weight_room room;
  tn_buffer *first, *second;
  int64_t at, behind;
  tn_weight_room_init(&room, (size_t)100 << 20);
  assert_true(TN_OK == tn_weight_room_take(&room, 1000, &first, &at, NULL));
  assert_true(TN_OK == tn_weight_room_take(&room, 1000, &second, &behind, NULL));
  assert_ptr_equal(first, second);
  assert_int_equal(behind - at, 1024);
  tn_buffer_drop(first);
  tn_buffer_drop(second);
  tn_weight_room_clear(&room);
}

static void what_has_no_room_is_an_error(void **state) {
  tn_weight_room room;
  tn_buffer *buffer;
  int64_t at;
  tn_error err = {0};
  tn_weight_room_init(&room, 1000);
  assert_int_equal(tn_weight_room_take(&room, SIZE_MAX, &buffer, &at, &err), TN_ERR_MEMORY);
  assert_int_equal(tn_weight_room_take(&room, SIZE_MAX / 2, &buffer, &at, &err), TN_ERR_MEMORY);
  assert_true(TN_OK == tn_weight_room_take(&room, 8, &buffer, &at, &err)); /* and it goes on */
  tn_buffer_drop(buffer);
  tn_weight_room_clear(&room);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(weights_lie_apart),
      cmocka_unit_test(weights_share_pieces),
      cmocka_unit_test(what_has_no_room_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
